/*
 * future.c - one value, set once.  See waiters.h for the protocol.
 */
#include "coir/future.h"

#include <errno.h>

#include "cancel.h"
#include "current.h"
#include "enter.h"
#include "park.h"
#include "select.h"
#include "waiters.h"

struct future {
    struct coir_lock lock;
    struct coir_waiters waiters;
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
    struct coir_waiter *woken;

    if (coir_is_forked())
        return -ECHILD; /* the lock may be held for ever */
    coir_lock(&future->lock);
    if (future->done) {
        coir_unlock(&future->lock);
        return -EALREADY;
    }
    future->done = true;
    future->value = value;
    future->error = error;
    woken = coir_waiters_take_all(&future->waiters, error);
    for (struct coir_waiter *waiter = woken; waiter; waiter = waiter->next)
        waiter->place = value;
    coir_unlock(&future->lock);
    coir_waiters_wake_all(woken);
    return 0;
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
    coir_lock(&state_of(future)->lock);
    done = state_of(future)->done;
    coir_unlock(&state_of(future)->lock);
    return done;
}

int coir_future_await(coir_future *future, void **ret_value)
{
    struct coir_fiber *fiber = coir_enter("coir_future_await");
    struct future *state = state_of(future);
    struct coir_waiter waiter;
    int rc = coir_cancel_pending(fiber);

    if (rc < 0)
        return rc;
    coir_waiter_init(&waiter, fiber);
    coir_lock(&state->lock);
    if (state->done) {
        waiter.place = state->value;
        waiter.result = state->error;
        coir_unlock(&state->lock);
        coir_enter_steps(fiber, 1);
    } else {
        coir_waiters_add(&state->waiters, &waiter);
        coir_unlock(&state->lock);
        rc = coir_waiter_wait(&state->lock, &state->waiters, &waiter, "future", future);
        if (rc < 0)
            return rc;
    }
    if (ret_value && !waiter.result)
        *ret_value = waiter.place;
    return waiter.result;
}

static struct coir_lock *lock_of(void *future)
{
    return &((struct future *)future)->lock;
}

static struct coir_waiters *waiters_of(void *future)
{
    return &((struct future *)future)->waiters;
}

static bool attempt(void *memory, void *place, int *ret_result, struct coir_waiter **ret_woken)
{
    struct future *future = memory;

    (void)ret_woken;
    *ret_result = future->error;
    if (future->done && !future->error && place)
        *(void **)place = future->value;
    return future->done;
}

static int result_of(const struct coir_waiter *waiter, void *place)
{
    if (!waiter->result && place)
        *(void **)place = waiter->place;
    return waiter->result;
}

const struct coir_source coir_source_future = { lock_of, waiters_of, attempt, result_of };

void coir_future_destroy(coir_future *future)
{
    struct future *state = state_of(future);
    bool waited_for;

    if (coir_is_forked())
        return;
    coir_lock(&state->lock); /* whoever set it has left */
    waited_for = state->waiters.first != NULL;
    coir_unlock(&state->lock);
    if (waited_for)
        coir_misuse("coir_future_destroy", "tasks still wait for the future");
}
