/*
 * waiters.h - those that wait for something to be changed by somebody: the one
 * mechanism beneath futures, locks, queues and select.
 *
 * An object has a lock, and one list or several of those that wait for it.  What a
 * task waits with is a node in its own frame:
 *
 *     waiter                               changer, any thread
 *     lock; there is nothing for it        lock; change the object
 *     add the node; unlock                 take nodes out, oldest first, and settle
 *     wait: park until WOKEN               what each gets; unlock
 *       told to stop?  lock; take the      wake: WOKEN, unpark              [W]
 *       node out, unless it was taken
 *
 * A node is LISTED, then TAKEN, then WOKEN; or LISTED and then taken out by its owner
 * or, if it was one of several that a task chooses from and lost, by a changer: LEFT.
 *
 *   W1  LISTED, TAKEN and LEFT are changed under the lock, and a node is in the list
 *       exactly while it is LISTED.
 *   W2  A node that was taken has got what it waited for, and cannot be refused any
 *       more: cancelled or not, its owner waits until it is WOKEN.
 *   W3  The object is not touched by a changer after its unlock, nor the node after
 *       the store of WOKEN.  So both may be gone when the waiter returns, also if the
 *       changer is a thread that has not returned from its call.  Whoever finds an
 *       object changed without having waited has passed through the lock for it.
 *   W4  Of the nodes of one choice at most one is taken: by whoever changes `winner`
 *       from COIR_UNDECIDED, which needs no common lock, and no order: what is given
 *       passes through [K] and [W].
 *
 * The lock is held for a few instructions, and never while a fiber is woken, save by
 * coir_select(), which takes all of its objects' in the order of their addresses.  It
 * spins, and then lets others have the CPU.  No signal handler takes it.
 *
 * Memory orders
 *
 *   [W] the store of WOKEN (release)  ->  the waiter's load (acquire): it sees what it
 *       was given.  The unpark after it may find another wait of the same fiber; that
 *       is one turn more of some loop (park.h).
 *   [K] unlock's store (release)  ->  the next lock (acquire).
 *
 * Checked by  tests/model/sync.cpp (this file and waiters.c)
 */
#ifndef COIR_RUNTIME_WAITERS_H
#define COIR_RUNTIME_WAITERS_H

#ifndef COIR_MODEL
#include "cancel.h"
#include "current.h"
#include "park.h"
#endif

enum coir_waiter_state { COIR_WAITER_LISTED, COIR_WAITER_TAKEN, COIR_WAITER_WOKEN,
                         COIR_WAITER_LEFT };

#define COIR_UNDECIDED (-1)

/* Several nodes of one task, of which one is to be taken: see select.c. */
struct coir_choice {
    COIR_ATOMIC(int32_t) winner; /* `number` of the node */
};

struct coir_waiter {
    struct coir_waiter *next, *prev;
    struct coir_fiber *fiber;
    struct coir_choice *choice; /* NULL: waits for this alone */
    void *place;                /* the object's: what it brings, where it gets */
    COIR_ATOMIC(uint32_t) state;
    int32_t number;
    int32_t result;             /* the object's: settled before it is woken */
};

struct coir_lock {
    COIR_ATOMIC(uint32_t) held;
};

struct coir_waiters {
    struct coir_waiter *first, *last;
    uint32_t count;
};

static inline void coir_waiter_init(struct coir_waiter *waiter, struct coir_fiber *fiber)
{
    waiter->fiber = fiber;
    waiter->choice = NULL;
    waiter->place = NULL;
}

void coir_lock_slow(struct coir_lock *lock);

static inline bool coir_lock_try(struct coir_lock *lock)
{
    uint32_t free = 0;

    return coir_cas_acquire(&lock->held, &free, 1); /* [K] */
}

static inline void coir_lock(struct coir_lock *lock)
{
    if (!coir_lock_try(lock))
        coir_lock_slow(lock);
}

static inline void coir_unlock(struct coir_lock *lock)
{
    coir_store_release(&lock->held, 0); /* [K] */
}

/* With the lock held. */

/* As the last, or as the first. */
static inline void coir_waiters_add(struct coir_waiters *waiters, struct coir_waiter *waiter)
{
    struct coir_waiter *last = waiters->last;

    waiter->next = NULL;
    waiter->prev = last;
    *(last ? &last->next : &waiters->first) = waiter;
    waiters->last = waiter;
    waiters->count++;
    coir_store_relaxed(&waiter->state, COIR_WAITER_LISTED);
}

void coir_waiters_add_first(struct coir_waiters *waiters, struct coir_waiter *waiter);

/* Take a node out that is LISTED, and say what it is now. */
static inline void coir_waiters_unlink(struct coir_waiters *waiters, struct coir_waiter *waiter,
                                       enum coir_waiter_state state)
{
    struct coir_waiter *next = waiter->next, *prev = waiter->prev;

    *(prev ? &prev->next : &waiters->first) = next;
    *(next ? &next->prev : &waiters->last) = prev;
    waiters->count--;
    coir_store_relaxed(&waiter->state, state);
}

/* The owner takes its node out, if it is LISTED. */
void coir_waiters_remove(struct coir_waiters *waiters, struct coir_waiter *waiter);

/* The slow part of: one of several of its task's is the first. */
struct coir_waiter *coir_waiters_take_chosen(struct coir_waiters *waiters);

/*
 * Take the oldest out that is still to be had.  NULL if there is none.  The caller
 * settles its result, and wakes it once the lock is released.
 */
static inline struct coir_waiter *coir_waiters_take(struct coir_waiters *waiters)
{
    struct coir_waiter *first = waiters->first;

    if (!first)
        return NULL;
    if (__builtin_expect(first->choice != NULL, 0))
        return coir_waiters_take_chosen(waiters);
    coir_waiters_unlink(waiters, first, COIR_WAITER_TAKEN);
    first->next = NULL;
    return first;
}

/* Take all, linked by next; `result` is settled for each. */
struct coir_waiter *coir_waiters_take_all(struct coir_waiters *waiters, int32_t result);

/* Without the lock. */

static inline bool coir_waiter_is_woken(struct coir_waiter *waiter)
{
    return coir_load_acquire(&waiter->state) == COIR_WAITER_WOKEN; /* [W] */
}

/* Wake one that was taken, or all of a chain linked by next.  NULL: nothing. */
void coir_waiter_wake_taken(struct coir_worker *self, struct coir_waiter *taken, bool next);
void coir_waiters_wake_all(struct coir_waiter *chain);

static inline void coir_waiter_wake(struct coir_waiter *taken)
{
    if (taken)
        coir_waiter_wake_taken(coir_current_worker(), taken, false);
}

/* The same for the worker that runs on the caller's thread; NULL: none.  next: it was sent
   a message, and runs next there (worker.h). */
static inline void coir_waiter_wake_from(struct coir_worker *self, struct coir_waiter *taken,
                                         bool next)
{
    if (taken)
        coir_waiter_wake_taken(self, taken, next);
}

/* The slow part of: */
int coir_waiter_wait_slow(struct coir_lock *lock, struct coir_waiters *waiters,
                          struct coir_waiter *waiter, const char *reason, const void *object);

/*
 * Wait until the node, which has been added, is woken.
 *
 * Returns  0: it was, and has its result; or -ECANCELED, -ETIMEDOUT, -ENOMEM: it was
 *          not, and is out of the list.
 */
static inline int coir_waiter_wait(struct coir_lock *lock, struct coir_waiters *waiters,
                                   struct coir_waiter *waiter, const char *reason,
                                   const void *object)
{
    if (coir_cancel_is_prepared(waiter->fiber)) {
        coir_park(waiter->fiber, reason, object);
        if (coir_waiter_is_woken(waiter))
            return 0;
    }
    return coir_waiter_wait_slow(lock, waiters, waiter, reason, object);
}

/* The same, whatever is asked of the task meanwhile. */
void coir_waiter_wait_always(struct coir_waiter *waiter, const char *reason,
                             const void *object);

#endif
