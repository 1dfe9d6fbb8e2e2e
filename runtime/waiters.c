/*
 * waiters.c - see waiters.h.
 */
#include "waiters.h"

#include "cancel.h"
#include "park.h"
#include "sys.h"

#define SPINS 100

void coir_waiters_lock(struct coir_waiters *waiters)
{
    uint32_t free = 0;

    for (int spins = 0; !coir_cas_acquire(&waiters->locked, &free, 1); spins++) {
        free = 0;
        if (spins < SPINS)
            coir_pause();
        else
            coir_sys_yield();
    }
}

void coir_waiters_add(struct coir_waiters *waiters, struct coir_waiter *waiter,
                      struct coir_fiber *fiber)
{
    waiter->fiber = fiber;
    waiter->next = NULL;
    waiter->prev = waiters->last;
    if (waiters->last)
        waiters->last->next = waiter;
    else
        waiters->first = waiter;
    waiters->last = waiter;
    coir_store_relaxed(&waiter->woken, 0);
}

static void take_out(struct coir_waiters *waiters, struct coir_waiter *waiter)
{
    if (waiter->prev)
        waiter->prev->next = waiter->next;
    else
        waiters->first = waiter->next;
    if (waiter->next)
        waiter->next->prev = waiter->prev;
    else
        waiters->last = waiter->prev;
}

bool coir_waiters_wake(struct coir_waiters *waiters)
{
    struct coir_waiter *waiter = waiters->first;

    if (!waiter)
        return false;
    take_out(waiters, waiter);
    coir_store_release(&waiter->woken, 1);
    coir_unpark(waiter->fiber);
    return true;
}

int coir_waiters_wait(struct coir_waiters *waiters, struct coir_waiter *waiter,
                      const char *reason, const void *object)
{
    struct coir_fiber *fiber = waiter->fiber;
    int rc = 0;

    coir_waiters_unlock(waiters);
    while (!coir_load_acquire(&waiter->woken) &&
           !(rc = coir_cancel_prepare(fiber, reason, object)))
        coir_park(fiber, reason, object);

    coir_waiters_lock(waiters); /* W2, W3 */
    if (coir_load_relaxed(&waiter->woken))
        rc = 0;
    else
        take_out(waiters, waiter);
    coir_waiters_unlock(waiters);
    return rc ? coir_cancel_deliver(fiber, rc) : 0;
}
