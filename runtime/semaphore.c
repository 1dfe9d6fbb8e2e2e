/*
 * semaphore.c - a number of places: see waiters.h for the protocol.
 *
 * While some wait, none is free: a place goes from hand to hand.
 */
#include "coir/sync.h"

#include <errno.h>
#include <limits.h>

#ifndef COIR_MODEL
#include "cancel.h"
#include "current.h"
#include "enter.h"
#include "park.h"
#endif
#include "waiters.h"

struct semaphore {
    unsigned free;
    unsigned most; /* 0: no bound */
    struct coir_lock lock;
    struct coir_waiters waiters;
};

_Static_assert(sizeof(struct semaphore) <= sizeof(coir_semaphore), "fits");

void coir_semaphore_init(coir_semaphore *semaphore, unsigned n)
{
    *semaphore = (coir_semaphore)COIR_SEMAPHORE(n);
}

void coir_semaphore_init_bounded(coir_semaphore *semaphore, unsigned n)
{
    if (n == 0)
        coir_misuse("coir_semaphore_init_bounded", "no places at all");
    *semaphore = (coir_semaphore)COIR_SEMAPHORE_BOUNDED(n);
}

/* With the lock held. */
static bool take_place(struct semaphore *semaphore)
{
    if (!semaphore->free)
        return false;
    semaphore->free--;
    return true;
}

int coir_semaphore_acquire(coir_semaphore *memory)
{
    struct semaphore *semaphore = (struct semaphore *)memory;
    struct coir_waiter waiter;
    struct coir_fiber *fiber = coir_enter("coir_semaphore_acquire");
    int rc = coir_cancel_pending(fiber);

    if (rc < 0)
        return rc;
    coir_enter_steps(fiber, 1);
    coir_lock(&semaphore->lock);
    if (take_place(semaphore)) {
        coir_unlock(&semaphore->lock);
        return 0;
    }
    coir_waiter_init(&waiter, fiber);
    coir_waiters_add(&semaphore->waiters, &waiter);
    coir_unlock(&semaphore->lock);
    return coir_waiter_wait(&semaphore->lock, &semaphore->waiters, &waiter, "semaphore",
                            semaphore);
}

int coir_semaphore_try_acquire(coir_semaphore *memory)
{
    struct semaphore *semaphore = (struct semaphore *)memory;
    struct coir_fiber *fiber = coir_fiber_or_none("coir_semaphore_try_acquire");
    int rc = fiber ? coir_cancel_pending(fiber) : 0;

    if (rc < 0)
        return rc;
    coir_lock(&semaphore->lock);
    rc = take_place(semaphore) ? 0 : -EAGAIN;
    coir_unlock(&semaphore->lock);
    return rc;
}

void coir_semaphore_release(coir_semaphore *memory)
{
    struct semaphore *semaphore = (struct semaphore *)memory;
    struct coir_waiter *next;

    if (coir_is_forked())
        return;
    coir_lock(&semaphore->lock);
    next = coir_waiters_take(&semaphore->waiters);
    if (!next) {
        if (semaphore->free == (semaphore->most ? semaphore->most : UINT_MAX))
            coir_misuse("coir_semaphore_release", "more was released than there is");
        semaphore->free++;
    }
    coir_unlock(&semaphore->lock);
    coir_waiter_wake(next);
}
