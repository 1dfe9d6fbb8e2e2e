/*
 * future.c - one value, set once.  See waiters.h for the protocol.
 */
#include "coir/future.h"

#include <errno.h>

#include "cancel.h"
#include "current.h"
#include "park.h"
#include "waiters.h"

struct future {
    struct coir_waiters waiters; /* its lock guards the rest, which changes once */
    bool done;
    int error;
    void *value;
};

_Static_assert(sizeof(struct future) <= sizeof(coir_future), "fits");

static struct future *state_of(coir_future *future)
{
    return (struct future *)future;
}

void coir_future_init(coir_future *future)
{
    *state_of(future) = (struct future){ 0 };
}

static int settle(struct future *future, void *value, int error)
{
    int rc = -EALREADY;

    if (coir_is_forked())
        return -ECHILD; /* the lock may be held for ever */
    coir_waiters_lock(&future->waiters);
    if (!future->done) {
        future->done = true;
        future->value = value;
        future->error = error;
        while (coir_waiters_wake(&future->waiters))
            ;
        rc = 0;
    }
    coir_waiters_unlock(&future->waiters);
    return rc;
}

int coir_future_set(coir_future *future, void *value)
{
    return settle(state_of(future), value, 0);
}

int coir_future_fail(coir_future *future, int error)
{
    return error < 0 || coir_is_forked() ? settle(state_of(future), NULL, error) : -EINVAL;
}

bool coir_future_done(coir_future *future)
{
    bool done;

    if (coir_is_forked())
        return true;
    coir_waiters_lock(&state_of(future)->waiters);
    done = state_of(future)->done;
    coir_waiters_unlock(&state_of(future)->waiters);
    return done;
}

int coir_future_await(coir_future *future, void **ret_value)
{
    struct coir_fiber *fiber = coir_fiber_of_caller("coir_future_await");
    struct future *state = state_of(future);
    struct coir_waiter waiter;
    int rc = coir_cancel_pending(fiber);

    if (rc < 0)
        return rc;
    coir_waiters_lock(&state->waiters);
    if (state->done) {
        coir_waiters_unlock(&state->waiters);
        coir_take_steps(fiber, 1);
    } else {
        coir_waiters_add(&state->waiters, &waiter, fiber);
        rc = coir_waiters_wait(&state->waiters, &waiter, "future", future);
        if (rc < 0)
            return rc;
    }
    if (ret_value && !state->error)
        *ret_value = state->value;
    return state->error;
}

void coir_future_destroy(coir_future *future)
{
    struct future *state = state_of(future);
    bool waited_for;

    if (coir_is_forked())
        return;
    coir_waiters_lock(&state->waiters); /* whoever set it has left */
    waited_for = state->waiters.first != NULL;
    coir_waiters_unlock(&state->waiters);
    if (waited_for)
        coir_misuse("coir_future_destroy", "tasks still wait for the future");
}
