/*
 * waiters.h - those that wait for something to be changed by somebody.
 *
 * A list under a lock, and the object that it belongs to changes under the same
 * lock.  What a task waits with is a node in its own frame:
 *
 *     waiter                                 changer, any thread
 *     lock; nothing to be had yet            lock; change the object
 *     add the node; unlock                   take nodes out, oldest first, give
 *     wait: park until the node is woken     them what is theirs, wake them
 *                                            unlock
 *
 *   W1  A node is in the list, or woken, or its owner has taken it out again.
 *   W2  A woken node has got what it waited for: it cannot be refused any more.  A
 *       cancelled waiter looks at that under the lock, before it leaves.
 *   W3  The waker touches the node, and the object, only under the lock; and a
 *       woken waiter passes through the lock before it returns.  So node and object
 *       may be gone after that, also if the waker was a foreign thread that is just
 *       about to return from its unlock.
 *
 * The lock is held for a few instructions, and for waking.  It spins, and then lets
 * others have the CPU.  No handler takes it.
 */
#ifndef COIR_RUNTIME_WAITERS_H
#define COIR_RUNTIME_WAITERS_H

#include "atomics.h"

struct coir_fiber;

struct coir_waiter {
    struct coir_waiter *next, *prev;
    struct coir_fiber *fiber;
    COIR_ATOMIC(uint32_t) woken;
};

struct coir_waiters {
    COIR_ATOMIC(uint32_t) locked;
    struct coir_waiter *first, *last;
};

void coir_waiters_lock(struct coir_waiters *waiters);

static inline void coir_waiters_unlock(struct coir_waiters *waiters)
{
    coir_store_release(&waiters->locked, 0);
}

/* All below: the lock is held. */

/* As the last.  fiber: the caller's. */
void coir_waiters_add(struct coir_waiters *waiters, struct coir_waiter *waiter,
                      struct coir_fiber *fiber);

/* Take the oldest out and wake it.  False if there is none. */
bool coir_waiters_wake(struct coir_waiters *waiters);

/*
 * Unlock, and wait until the node, which has been added, is woken.
 *
 * Returns  0: it was; or -ECANCELED, -ETIMEDOUT, -ENOMEM: it was not, and is out of
 *          the list.
 */
int coir_waiters_wait(struct coir_waiters *waiters, struct coir_waiter *waiter,
                      const char *reason, const void *object);

#endif
