/*
 * cond.c - waiting for what a mutex guards to change: see waiters.h for the protocol.
 */
#include "coir/sync.h"

#include "cancel.h"
#include "current.h"
#include "mutex.h"
#include "park.h"

struct cond {
    struct coir_lock lock;
    struct coir_waiters waiters;
};

_Static_assert(sizeof(struct cond) <= sizeof(coir_cond), "fits");

int coir_cond_wait(coir_cond *memory, coir_mutex *mutex)
{
    struct cond *cond = (struct cond *)memory;
    struct coir_waiter waiter;
    struct coir_fiber *fiber = coir_fiber_of_caller("coir_cond_wait");
    int rc = coir_cancel_pending(fiber);

    if (rc < 0)
        return rc;
    if (!coir_mutex_is_held_by(mutex, fiber->task))
        coir_misuse("coir_cond_wait", "the task does not hold the mutex");
    coir_waiter_init(&waiter, fiber);
    coir_lock(&cond->lock);
    coir_waiters_add(&cond->waiters, &waiter);
    coir_unlock(&cond->lock);
    coir_mutex_unlock(mutex);
    rc = coir_waiter_wait(&cond->lock, &cond->waiters, &waiter, "condition", cond);
    coir_mutex_lock_always(mutex);
    return rc;
}

void coir_cond_notify(coir_cond *memory)
{
    struct cond *cond = (struct cond *)memory;
    struct coir_waiter *first;

    if (coir_is_forked())
        return;
    coir_lock(&cond->lock);
    first = coir_waiters_take(&cond->waiters);
    coir_unlock(&cond->lock);
    coir_waiter_wake(first);
}

void coir_cond_notify_all(coir_cond *memory)
{
    struct cond *cond = (struct cond *)memory;
    struct coir_waiter *all;

    if (coir_is_forked())
        return;
    coir_lock(&cond->lock);
    all = coir_waiters_take_all(&cond->waiters, 0);
    coir_unlock(&cond->lock);
    coir_waiters_wake_all(all);
}
