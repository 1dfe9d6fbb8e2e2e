/*
 * mutex.c - a lock that tasks wait for.
 *
 * `owner` says who holds it.  Two ways to hand it on:
 *
 *   barging    unlock clears the owner and wakes the first that waits, which tries
 *              again.  Whoever comes in between may be faster, and that is what makes
 *              a short critical section cheap: no switch of tasks for each.  Only one
 *              is awake and trying at a time (`woken`); when it is too late, it is the
 *              first of those that wait again.
 *   giving     unlock makes the first that waits the owner, and nobody can come in
 *              between.  Always with COIR_MUTEX_FIFO; else once that one has waited
 *              for PATIENCE_NS, as far as the worker knows, so that nobody starves.
 *              It may have been woken before, and not have come to try yet: then it
 *              finds that it is the owner.
 *
 *   M1  waiters, woken and owner are changed under the lock.
 *   M2  While nobody holds the mutex and one waits, one is woken and not cancelled in
 *       that: it takes the mutex, or finds it held, and then its unlock wakes the next.
 *   M3  Who was woken to try does not return before it has taken itself out of `woken`.
 *
 * After Go's sync.Mutex and WebKit's WTF::Lock, in that both barge and give after about
 * a millisecond.
 *
 * Checked by  tests/model/sync.cpp (this file), tests/api/test_mutex.c
 */
#include "mutex.h"

#include <errno.h>

#ifndef COIR_MODEL
#include "cancel.h"
#include "current.h"
#include "deadlock.h"
#include "enter.h"
#include "park.h"
#include "sys.h"
#endif

#define PATIENCE_NS 1000000
#define SPINS 30 /* another worker's short critical section, rather than two switches */

enum how { RETRY, GIVEN }; /* a waiter's result */

_Static_assert(sizeof(struct coir_mutex_state) <= sizeof(coir_mutex), "fits");
_Static_assert(offsetof(struct coir_mutex_state, fifo) == offsetof(coir_mutex, fifo_), "as set");

static struct coir_mutex_state *state_of(coir_mutex *mutex)
{
    return (struct coir_mutex_state *)mutex;
}

static bool is_free(struct coir_mutex_state *mutex)
{
    return !coir_load_relaxed(&mutex->owner);
}

/* With the lock held, which is released: take the mutex, if it is free. */
static bool take(struct coir_mutex_state *mutex, struct coir_task *task)
{
    bool free = is_free(mutex);

    if (free)
        coir_store_relaxed(&mutex->owner, task);
    coir_unlock(&mutex->lock);
    return free;
}

/* With the lock held, again on return. */
static void spin(struct coir_mutex_state *mutex, struct coir_fiber *fiber)
{
    if (mutex->waiters.first || coir_fiber_is_alone(fiber))
        return;
    coir_unlock(&mutex->lock);
    for (int i = 0; i < SPINS && !is_free(mutex); i++)
        coir_pause();
    coir_lock(&mutex->lock);
}

/* A waiter's place is since when it waits.  About now will do: to read the clock would
   cost more than all the rest of an unlock. */
static bool has_waited_long(const struct coir_waiter *waiter)
{
    return coir_about_now() - *(const int64_t *)waiter->place >= PATIENCE_NS;
}

static int wait_until_woken(struct coir_mutex_state *mutex, struct coir_waiter *waiter,
                            bool always)
{
    struct coir_deadlock_wait wait;
    int rc = 0;

    coir_deadlock_begin(&wait, waiter, mutex);
    if (always)
        coir_waiter_wait_always(waiter, "mutex", mutex);
    else
        rc = coir_waiter_wait(&mutex->lock, &mutex->waiters, waiter, "mutex", mutex);
    coir_deadlock_end(&wait);
    return rc;
}

/* With the lock held, which is released. */
static __attribute__((noinline)) int wait_for(struct coir_mutex_state *mutex,
                                              struct coir_fiber *fiber, bool always)
{
    struct coir_waiter waiter;
    int64_t since = mutex->fifo ? 0 : coir_sys_now();
    int rc;

    spin(mutex, fiber);
    if (is_free(mutex)) {
        take(mutex, fiber->task);
        return 0;
    }
    coir_waiter_init(&waiter, fiber);
    waiter.place = &since;
    coir_waiters_add(&mutex->waiters, &waiter);
    for (;;) {
        coir_unlock(&mutex->lock);
        rc = wait_until_woken(mutex, &waiter, always);
        if (rc < 0 || waiter.result == GIVEN)
            return rc;

        coir_lock(&mutex->lock);
        mutex->woken = NULL;
        if (is_free(mutex) || coir_load_relaxed(&mutex->owner) == fiber->task) {
            coir_store_relaxed(&mutex->owner, fiber->task);
            coir_unlock(&mutex->lock);
            return 0;
        }
        coir_waiters_add_first(&mutex->waiters, &waiter);
    }
}

int coir_mutex_lock(coir_mutex *memory)
{
    struct coir_fiber *fiber = coir_enter("coir_mutex_lock");
    struct coir_mutex_state *mutex = state_of(memory);
    int rc = coir_cancel_pending(fiber);

    if (rc < 0)
        return rc;
    coir_enter_steps(fiber, 1); /* now: whoever holds it should not be the one to wait */
    coir_lock(&mutex->lock);
    if (!is_free(mutex))
        return wait_for(mutex, fiber, false);
    take(mutex, fiber->task);
    return 0;
}

void coir_mutex_lock_always(coir_mutex *memory)
{
    struct coir_fiber *fiber = coir_enter("coir_mutex_lock_always");
    struct coir_mutex_state *mutex = state_of(memory);

    if (coir_is_forked())
        return;
    coir_lock(&mutex->lock);
    if (!is_free(mutex))
        wait_for(mutex, fiber, true);
    else
        take(mutex, fiber->task);
}

int coir_mutex_try_lock(coir_mutex *memory)
{
    struct coir_fiber *fiber = coir_fiber_or_none("coir_mutex_try_lock");
    struct coir_mutex_state *mutex = state_of(memory);
    int rc = fiber ? coir_cancel_pending(fiber) : 0;

    if (rc < 0)
        return rc;
    coir_lock(&mutex->lock);
    return take(mutex, fiber ? fiber->task : COIR_NO_TASK) ? 0 : -EAGAIN;
}

/* With the lock held: whom the mutex is given to, or who is to try, if he is not awake. */
static struct coir_waiter *hand_on(struct coir_mutex_state *mutex)
{
    struct coir_waiter *first = mutex->woken ? mutex->woken : mutex->waiters.first;
    bool give = first && (mutex->fifo || has_waited_long(first));

    coir_store_relaxed(&mutex->owner, give ? first->fiber->task : NULL);
    if (first == mutex->woken)
        return NULL;
    coir_waiters_take(&mutex->waiters);
    first->result = give ? GIVEN : RETRY;
    mutex->woken = give ? NULL : first;
    return first;
}

void coir_mutex_unlock(coir_mutex *memory)
{
    struct coir_mutex_state *mutex = state_of(memory);
    struct coir_waiter *next;

    if (coir_is_forked())
        return;
    coir_lock(&mutex->lock);
    if (is_free(mutex))
        coir_misuse("coir_mutex_unlock", "nobody holds the mutex");
    coir_deadlock_check_owner(coir_load_relaxed(&mutex->owner));
    next = hand_on(mutex);
    coir_unlock(&mutex->lock);
    coir_waiter_wake(next);
}
