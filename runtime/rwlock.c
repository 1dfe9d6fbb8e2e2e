/*
 * rwlock.c - a lock for many readers or one writer: see waiters.h for the protocol.
 *
 * In order of arrival.  What is given back is given to the first that waits, and if
 * that is a reader, to all readers up to the next writer; so nobody who comes later
 * gets in before, and neither kind starves the other.
 */
#include "coir/sync.h"

#include <errno.h>

#include "cancel.h"
#include "current.h"
#include "park.h"
#include "waiters.h"

enum kind { READER, WRITER }; /* a waiter's number */

struct rwlock {
    struct coir_lock lock;
    uint32_t readers; /* that hold it */
    struct coir_waiters waiters;
    bool written; /* one writer holds it */
};

_Static_assert(sizeof(struct rwlock) <= sizeof(coir_rwlock), "fits");

/* All below: with the lock held. */

static bool take(struct rwlock *rwlock, enum kind kind)
{
    if (rwlock->written || (kind == WRITER && rwlock->readers))
        return false;
    if (kind == WRITER)
        rwlock->written = true;
    else
        rwlock->readers++;
    return true;
}

static bool take_in_order(struct rwlock *rwlock, enum kind kind)
{
    return !rwlock->waiters.first && take(rwlock, kind);
}

/* Give it to whoever is next, as far as it goes. */
static struct coir_waiter *hand_on(struct rwlock *rwlock)
{
    struct coir_waiter *chain = NULL, **end = &chain;

    while (rwlock->waiters.first &&
           take(rwlock, (enum kind)rwlock->waiters.first->number)) {
        *end = coir_waiters_take(&rwlock->waiters);
        end = &(*end)->next;
    }
    return chain;
}

static int wait_for(struct rwlock *rwlock, struct coir_fiber *fiber, enum kind kind)
{
    struct coir_waiter waiter, *others;
    int rc;

    coir_waiter_init(&waiter, fiber);
    waiter.number = kind;
    coir_waiters_add(&rwlock->waiters, &waiter);
    coir_unlock(&rwlock->lock);
    rc = coir_waiter_wait(&rwlock->lock, &rwlock->waiters, &waiter,
                          kind == WRITER ? "rwlock to write" : "rwlock to read", rwlock);
    if (rc < 0) { /* readers may have waited behind this writer */
        coir_lock(&rwlock->lock);
        others = hand_on(rwlock);
        coir_unlock(&rwlock->lock);
        coir_waiters_wake_all(others);
    }
    return rc;
}

/* The calls. */

static int lock_as(struct coir_fiber *fiber, coir_rwlock *memory, enum kind kind)
{
    struct rwlock *rwlock = (struct rwlock *)memory;
    int rc = coir_cancel_pending(fiber);

    if (rc < 0)
        return rc;
    coir_take_steps(fiber, 1);
    coir_lock(&rwlock->lock);
    if (!take_in_order(rwlock, kind))
        return wait_for(rwlock, fiber, kind);
    coir_unlock(&rwlock->lock);
    return 0;
}

static int try_as(struct coir_fiber *fiber, coir_rwlock *memory, enum kind kind)
{
    struct rwlock *rwlock = (struct rwlock *)memory;
    int rc = fiber ? coir_cancel_pending(fiber) : 0;

    if (rc < 0)
        return rc;
    coir_lock(&rwlock->lock);
    rc = take_in_order(rwlock, kind) ? 0 : -EAGAIN;
    coir_unlock(&rwlock->lock);
    return rc;
}

int coir_rwlock_read_lock(coir_rwlock *lock)
{
    return lock_as(coir_fiber_of_caller("coir_rwlock_read_lock"), lock, READER);
}

int coir_rwlock_write_lock(coir_rwlock *lock)
{
    return lock_as(coir_fiber_of_caller("coir_rwlock_write_lock"), lock, WRITER);
}

int coir_rwlock_try_read_lock(coir_rwlock *lock)
{
    return try_as(coir_fiber_or_none("coir_rwlock_try_read_lock"), lock, READER);
}

int coir_rwlock_try_write_lock(coir_rwlock *lock)
{
    return try_as(coir_fiber_or_none("coir_rwlock_try_write_lock"), lock, WRITER);
}

void coir_rwlock_unlock(coir_rwlock *memory)
{
    struct rwlock *rwlock = (struct rwlock *)memory;
    struct coir_waiter *next;

    if (coir_is_forked())
        return;
    coir_lock(&rwlock->lock);
    if (rwlock->written)
        rwlock->written = false;
    else if (rwlock->readers)
        rwlock->readers--;
    else
        coir_misuse("coir_rwlock_unlock", "nobody holds the lock");
    next = hand_on(rwlock);
    coir_unlock(&rwlock->lock);
    coir_waiters_wake_all(next);
}
