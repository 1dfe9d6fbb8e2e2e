/*
 * waiters.c - see waiters.h.
 */
#include "waiters.h"

#ifndef COIR_MODEL
#include "sys.h"
#include "worker.h"
#endif

#define SPINS_LEAST 4
#define SPINS_MOST 32

/* Without a look in between: whoever looks takes the cache line away from the holder, who
   fetches it back at the next turn, and neither gets on.  Who stays away for a moment
   finds that the other has done a few things at once. */
void coir_lock_slow(struct coir_lock *lock)
{
    for (int spins = SPINS_LEAST;; spins *= 2) {
        for (int i = 0; i < spins; i++)
            coir_pause();
        if (!coir_load_relaxed(&lock->held) && coir_lock_try(lock))
            return;
        if (spins == SPINS_MOST) {
            coir_sys_yield(); /* whoever holds it may not be running */
            spins /= 2;
        }
    }
}

void coir_waiters_add_first(struct coir_waiters *waiters, struct coir_waiter *waiter)
{
    struct coir_waiter *first = waiters->first;

    waiter->prev = NULL;
    waiter->next = first;
    *(first ? &first->prev : &waiters->last) = waiter;
    waiters->first = waiter;
    waiters->count++;
    coir_store_relaxed(&waiter->state, COIR_WAITER_LISTED);
}

void coir_waiters_remove(struct coir_waiters *waiters, struct coir_waiter *waiter)
{
    if (coir_load_relaxed(&waiter->state) == COIR_WAITER_LISTED)
        coir_waiters_unlink(waiters, waiter, COIR_WAITER_LEFT);
}

static bool wins(struct coir_waiter *waiter)
{
    int32_t undecided = COIR_UNDECIDED;

    return !waiter->choice ||
           coir_cas_relaxed(&waiter->choice->winner, &undecided, waiter->number);
}

struct coir_waiter *coir_waiters_take_chosen(struct coir_waiters *waiters)
{
    struct coir_waiter *waiter;

    while ((waiter = waiters->first) != NULL) {
        bool won = wins(waiter);

        coir_waiters_unlink(waiters, waiter, won ? COIR_WAITER_TAKEN : COIR_WAITER_LEFT);
        if (won) {
            waiter->next = NULL;
            return waiter;
        }
    }
    return NULL;
}

struct coir_waiter *coir_waiters_take_all(struct coir_waiters *waiters, int32_t result)
{
    struct coir_waiter *first = NULL, **end = &first;

    while ((*end = coir_waiters_take(waiters)) != NULL) {
        (*end)->result = result;
        end = &(*end)->next;
    }
    return first;
}

static inline void wake(struct coir_worker *self, struct coir_waiter *taken,
                        struct coir_fiber *fiber, bool next)
{
    coir_store_release(&taken->state, COIR_WAITER_WOKEN); /* [W] */
    coir_unpark_from(self, fiber, next);
}

/* For a run that the caller's thread may not belong to. */
static __attribute__((noinline)) void wake_as_visitor(struct coir_worker *self,
                                                      struct coir_waiter *taken, bool next)
{
    struct coir_fiber *fiber = taken->fiber;
    struct coir_runtime *visited = coir_visit(self, fiber);

    wake(self, taken, fiber, next);
    coir_visit_end(visited);
}

void coir_waiter_wake_taken(struct coir_worker *self, struct coir_waiter *taken, bool next)
{
    if (coir_worker_ran(self, taken->fiber))
        wake(self, taken, taken->fiber, next);
    else
        wake_as_visitor(self, taken, next);
}

void coir_waiters_wake_all(struct coir_waiter *chain)
{
    struct coir_waiter *next;

    for (; chain; chain = next) {
        next = chain->next;
        coir_waiter_wake(chain);
    }
}

void coir_waiter_wait_always(struct coir_waiter *waiter, const char *reason,
                             const void *object)
{
    while (!coir_waiter_is_woken(waiter))
        coir_park(waiter->fiber, reason, object);
}

/* False if it was taken: W2. */
static bool leave(struct coir_lock *lock, struct coir_waiters *waiters,
                  struct coir_waiter *waiter)
{
    bool left;

    coir_lock(lock);
    coir_waiters_remove(waiters, waiter);
    left = coir_load_relaxed(&waiter->state) == COIR_WAITER_LEFT;
    coir_unlock(lock);
    return left;
}

int coir_waiter_wait_slow(struct coir_lock *lock, struct coir_waiters *waiters,
                          struct coir_waiter *waiter, const char *reason, const void *object)
{
    int rc;

    while (!coir_waiter_is_woken(waiter)) {
        rc = coir_cancel_prepare(waiter->fiber, reason, object);
        if (!rc) {
            coir_park(waiter->fiber, reason, object);
        } else if (leave(lock, waiters, waiter)) {
            return coir_cancel_deliver(waiter->fiber, rc);
        } else {
            coir_waiter_wait_always(waiter, reason, object);
        }
    }
    return 0;
}
