/*
 * barrier.c - where n tasks wait for each other: see waiters.h for the protocol.
 */
#include "coir/sync.h"

#include <errno.h>

#include "cancel.h"
#include "current.h"
#include "park.h"
#include "waiters.h"

struct barrier {
    struct coir_lock lock;
    unsigned n;
    struct coir_waiters waiters;
    bool broken;
};

_Static_assert(sizeof(struct barrier) <= sizeof(coir_barrier), "fits");

void coir_barrier_init(coir_barrier *barrier, unsigned n)
{
    if (n == 0)
        coir_misuse("coir_barrier_init", "a barrier for nobody");
    *(struct barrier *)barrier = (struct barrier){ .n = n };
}

/* With the lock held.  Numbers those that wait, in their order. */
static struct coir_waiter *take_numbered(struct barrier *barrier)
{
    struct coir_waiter *all = coir_waiters_take_all(&barrier->waiters, 0);
    int32_t number = 0;

    for (struct coir_waiter *waiter = all; waiter; waiter = waiter->next)
        waiter->result = number++;
    return all;
}

int coir_barrier_wait(coir_barrier *memory)
{
    struct barrier *barrier = (struct barrier *)memory;
    struct coir_waiter waiter, *others;
    struct coir_fiber *fiber = coir_fiber_of_caller("coir_barrier_wait");
    int rc = coir_cancel_pending(fiber);

    if (rc < 0)
        return rc;
    coir_take_steps(fiber, 1);
    coir_waiter_init(&waiter, fiber);
    coir_lock(&barrier->lock);
    if (barrier->broken) {
        coir_unlock(&barrier->lock);
        return -EPIPE;
    }
    if (barrier->waiters.count == barrier->n - 1) {
        others = take_numbered(barrier);
        rc = (int)barrier->n - 1;
        coir_unlock(&barrier->lock);
        coir_waiters_wake_all(others);
        return rc;
    }
    coir_waiters_add(&barrier->waiters, &waiter);
    coir_unlock(&barrier->lock);
    rc = coir_waiter_wait(&barrier->lock, &barrier->waiters, &waiter, "barrier", barrier);
    return rc < 0 ? rc : waiter.result;
}

static void send_away(struct barrier *barrier, bool broken)
{
    struct coir_waiter *all;

    if (coir_is_forked())
        return;
    coir_lock(&barrier->lock);
    barrier->broken = broken;
    all = coir_waiters_take_all(&barrier->waiters, -EPIPE);
    coir_unlock(&barrier->lock);
    coir_waiters_wake_all(all);
}

void coir_barrier_reset(coir_barrier *barrier)
{
    send_away((struct barrier *)barrier, false);
}

void coir_barrier_abort(coir_barrier *barrier)
{
    send_away((struct barrier *)barrier, true);
}
