/*
 * mutex.c - a lock that tasks wait for.
 *
 * `owner` says who holds it, and whether it is CONTENDED.  While it is not, that word is
 * all there is to a mutex:
 *
 *     lock                                  unlock
 *     compare-and-swap 0 --> the task       compare-and-swap the owner --> 0       [X]
 *       it is held?  the lock; make it        it is CONTENDED?  the lock; hand it
 *       CONTENDED; add a node; wait           on; wake whom it was handed on to
 *
 * Two ways to hand it on:
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
 *   M1  waiters, woken and CONTENDED are changed under the lock.  While it is not
 *       CONTENDED, nobody is listed or woken.  While it is, the owner is changed under
 *       the lock, too; save that whoever comes may take the mutex when it is free.
 *   M2  While nobody holds the mutex and one waits, one is woken and not cancelled in
 *       that: it takes the mutex, or finds it held, and then its unlock wakes the next.
 *   M3  Who was woken to try does not return before it has taken itself out of `woken`.
 *   M4  Whoever makes the mutex free and not CONTENDED does so by unlock's compare-and-
 *       swap, without the lock, and that is the last it does: the next to hold it may
 *       free it.  In any other unlock one who waits is still in its call, and passes
 *       through the lock, or is woken, after the unlock has left the mutex alone (W3).
 *
 * Those that wait may all be cancelled, and the mutex still be CONTENDED: the next unlock
 * sees that, takes the mark off while it holds the mutex, and begins again.
 *
 * Memory orders
 *
 *   [X] the owner is changed to 0, or to none while others wait (release)  ->  taken from
 *       that (acquire): what the mutex guards.  What is given passes through [K] and [W].
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

/* At another worker's short critical section, rather than two switches of tasks. */
#define LOOKS 8
#define SPINS 16 /* before each: who looks takes the cache line from who is to unlock */

enum how { RETRY, GIVEN }; /* a waiter's result */

_Static_assert(sizeof(struct coir_mutex_state) <= sizeof(coir_mutex), "fits");
_Static_assert(offsetof(struct coir_mutex_state, fifo) == offsetof(coir_mutex, fifo_), "as set");

static struct coir_mutex_state *state_of(coir_mutex *mutex)
{
    return (struct coir_mutex_state *)mutex;
}

/* Take the mutex if it is free, also if others wait.  owner: what it is likely to be. */
static inline bool take(struct coir_mutex_state *mutex, struct coir_task *task, uintptr_t owner)
{
    while (!coir_mutex_owner_in(owner))
        if (coir_cas_acquire(&mutex->owner, &owner, owner | (uintptr_t)task)) /* [X] */
            return true;
    return false;
}

/* With the lock held: the same, or it is CONTENDED. */
static bool take_or_contend(struct coir_mutex_state *mutex, struct coir_task *task)
{
    uintptr_t owner = coir_load_relaxed(&mutex->owner), wanted;

    do
        wanted = owner | (coir_mutex_owner_in(owner) ? COIR_MUTEX_CONTENDED : (uintptr_t)task);
    while (wanted != owner && !coir_cas_acquire(&mutex->owner, &owner, wanted)); /* [X] */
    return !coir_mutex_owner_in(owner);
}

/* With the lock held, by the owner.  NULL only if somebody is woken: M4. */
static void set_owner(struct coir_mutex_state *mutex, struct coir_task *task)
{
    bool contended = mutex->woken || mutex->waiters.first;

    coir_store_release(&mutex->owner, /* [X] */
                       (uintptr_t)task | (contended ? COIR_MUTEX_CONTENDED : 0));
}

/* Whether the mutex was taken. */
static bool spin(struct coir_mutex_state *mutex, struct coir_fiber *fiber)
{
    uintptr_t owner = coir_load_relaxed(&mutex->owner);

    if (coir_fiber_is_alone(fiber))
        return false;
    for (int looks = 0; looks < LOOKS; looks++) {
        if (owner & COIR_MUTEX_CONTENDED)
            return false;
        for (int i = 0; i < SPINS; i++)
            coir_pause();
        owner = coir_load_relaxed(&mutex->owner);
        if (take(mutex, fiber->task, owner))
            return true;
    }
    return false;
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

/* The mutex is held by another. */
static __attribute__((noinline)) int wait_for(struct coir_mutex_state *mutex,
                                              struct coir_fiber *fiber, bool always)
{
    struct coir_waiter waiter;
    int64_t since;
    int rc;

    if (spin(mutex, fiber))
        return 0;
    since = mutex->fifo ? 0 : coir_sys_now();
    coir_waiter_init(&waiter, fiber);
    waiter.place = &since;
    coir_lock(&mutex->lock);
    if (take_or_contend(mutex, fiber->task)) {
        coir_unlock(&mutex->lock);
        return 0;
    }
    coir_waiters_add(&mutex->waiters, &waiter);
    for (;;) {
        coir_unlock(&mutex->lock);
        rc = wait_until_woken(mutex, &waiter, always);
        if (rc < 0 || waiter.result == GIVEN)
            return rc;

        coir_lock(&mutex->lock);
        mutex->woken = NULL;
        if (coir_mutex_owner(mutex) == fiber->task ||
            take(mutex, fiber->task, coir_load_relaxed(&mutex->owner))) {
            set_owner(mutex, fiber->task);
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
    return take(mutex, fiber->task, 0) ? 0 : wait_for(mutex, fiber, false);
}

void coir_mutex_lock_always(coir_mutex *memory)
{
    struct coir_fiber *fiber = coir_enter("coir_mutex_lock_always");
    struct coir_mutex_state *mutex = state_of(memory);

    if (coir_is_forked())
        return;
    if (!take(mutex, fiber->task, 0))
        wait_for(mutex, fiber, true);
}

int coir_mutex_try_lock(coir_mutex *memory)
{
    struct coir_fiber *fiber = coir_fiber_or_none("coir_mutex_try_lock");
    struct coir_mutex_state *mutex = state_of(memory);
    int rc = fiber ? coir_cancel_pending(fiber) : 0;

    if (rc < 0)
        return rc;
    return take(mutex, fiber ? fiber->task : COIR_NO_TASK, coir_load_relaxed(&mutex->owner))
               ? 0
               : -EAGAIN;
}

/* With the lock held: whom the mutex is given to, or who is to try, if he is not awake. */
static struct coir_waiter *hand_on(struct coir_mutex_state *mutex)
{
    struct coir_waiter *first = mutex->woken ? mutex->woken : mutex->waiters.first;
    bool give = mutex->fifo || has_waited_long(first), awake = first == mutex->woken;

    if (!awake) {
        coir_waiters_take(&mutex->waiters);
        first->result = give ? GIVEN : RETRY;
        mutex->woken = give ? NULL : first;
    }
    set_owner(mutex, give ? first->fiber->task : NULL);
    return awake ? NULL : first;
}

/* It is CONTENDED, or there is something to be checked. */
static __attribute__((noinline)) void unlock_slowly(struct coir_mutex_state *mutex)
{
    struct coir_waiter *next;
    uintptr_t owner;

    do {
        coir_lock(&mutex->lock);
        owner = (uintptr_t)coir_mutex_owner(mutex);
        if (!owner)
            coir_misuse("coir_mutex_unlock", "nobody holds the mutex");
        coir_deadlock_check_owner((struct coir_task *)owner);
        if (mutex->woken || mutex->waiters.first) {
            next = hand_on(mutex);
            coir_unlock(&mutex->lock);
            coir_waiter_wake(next);
            return;
        }
        coir_store_relaxed(&mutex->owner, owner);
        coir_unlock(&mutex->lock);
    } while (!coir_cas_release(&mutex->owner, &owner, 0)); /* [X] */
}

void coir_mutex_unlock(coir_mutex *memory)
{
    struct coir_mutex_state *mutex = state_of(memory);
    uintptr_t owner = coir_load_relaxed(&mutex->owner);

    if (coir_is_forked())
        return;
    if (!owner || (owner & COIR_MUTEX_CONTENDED) || coir_deadlock_is_wanted() ||
        !coir_cas_release(&mutex->owner, &owner, 0)) /* [X] */
        unlock_slowly(mutex);
}
