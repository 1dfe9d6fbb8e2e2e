/*
 * mutex.h - the inside of a coir_mutex: see mutex.c.
 */
#ifndef COIR_RUNTIME_MUTEX_H
#define COIR_RUNTIME_MUTEX_H

#include "coir/sync.h"
#include "waiters.h"

struct coir_task;

struct coir_mutex_state {
    COIR_ATOMIC(uintptr_t) owner; /* a task, COIR_NO_TASK, or 0: unlocked; and CONTENDED */
    struct coir_lock lock;
    struct coir_waiters waiters;
    struct coir_waiter *woken; /* has been woken, and has not tried yet */
    unsigned fifo;
};

#define COIR_MUTEX_CONTENDED ((uintptr_t)1)

/* A thread of the program's. */
#define COIR_NO_TASK ((struct coir_task *)2)

static inline struct coir_task *coir_mutex_owner_in(uintptr_t owner)
{
    return (struct coir_task *)(owner & ~COIR_MUTEX_CONTENDED);
}

/* NULL: unlocked. */
static inline struct coir_task *coir_mutex_owner(const struct coir_mutex_state *mutex)
{
    return coir_mutex_owner_in(coir_load_relaxed(&mutex->owner));
}

/* Whether the task holds the mutex: as far as only itself could change that. */
static inline bool coir_mutex_is_held_by(coir_mutex *mutex, const struct coir_task *task)
{
    return coir_mutex_owner((struct coir_mutex_state *)mutex) == task;
}

#endif
