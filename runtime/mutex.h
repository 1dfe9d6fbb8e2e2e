/*
 * mutex.h - the inside of a coir_mutex: see mutex.c.
 */
#ifndef COIR_RUNTIME_MUTEX_H
#define COIR_RUNTIME_MUTEX_H

#include "coir/sync.h"
#include "waiters.h"

struct coir_task;

struct coir_mutex_state {
    struct coir_lock lock;
    COIR_ATOMIC(struct coir_task *) owner; /* NULL: unlocked; COIR_NO_TASK: a thread of
                                              the program's */
    struct coir_waiters waiters;
    struct coir_waiter *woken; /* has been woken, and has not tried yet */
    unsigned fifo;
};

#define COIR_NO_TASK ((struct coir_task *)1)

/* Whether the task holds the mutex: as far as only itself could change that. */
static inline bool coir_mutex_is_held_by(coir_mutex *mutex, const struct coir_task *task)
{
    return coir_load_relaxed(&((struct coir_mutex_state *)mutex)->owner) == task;
}

#endif
