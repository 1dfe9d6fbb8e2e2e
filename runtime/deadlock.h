/*
 * deadlock.h - tasks that wait for themselves, found when the last of them begins to
 * wait.  Only with COIR_DEBUG=locks.
 *
 * Tasks that wait for a mutex are listed, under one lock for the whole process.  A task
 * that comes looks whether what it waits for waits for it:
 *
 *     the mutex's owner is blocked by every listed task that it is, or that it awaits,
 *     or that is a member of the group that it waits for; and that one by the owner of
 *     its mutex; and so on
 *
 * So does a task that begins to await another, or to wait for a group, for the listed
 * ones that block it then.
 *
 * Who is listed cannot go on before it has taken itself out under the lock, and so can
 * neither those that await it.  That makes it safe to look at them: mutex, fiber and
 * joiner stay.  The owner of a group may run members on its fiber meanwhile; but it
 * does not go on itself, nor do the tasks below it.
 */
#ifndef COIR_RUNTIME_DEADLOCK_H
#define COIR_RUNTIME_DEADLOCK_H

#include "mutex.h"

struct coir_fiber;

/* In the frame of the one that waits. */
struct coir_deadlock_wait {
    struct coir_deadlock_wait *next, **link;
    struct coir_waiter *waiter;
    struct coir_mutex_state *mutex;
    struct coir_deadlock_wait *cause, *then; /* while somebody looks, */
    struct coir_task *owner;                 /* and the mutex's then */
    bool listed, seen, reported;
};

/* How many runs want it. */
extern COIR_ATOMIC(uint32_t) coir_deadlock_runs;

static inline bool coir_deadlock_is_wanted(void)
{
    return __builtin_expect(coir_load_relaxed(&coir_deadlock_runs), 0);
}

void coir_deadlock_list(struct coir_deadlock_wait *wait);
void coir_deadlock_unlist(struct coir_deadlock_wait *wait);
void coir_deadlock_look_through(struct coir_fiber *fiber);
void coir_deadlock_check(struct coir_task *owner);

/* The waiter, which is among the mutex's, waits from here to end. */
static inline void coir_deadlock_begin(struct coir_deadlock_wait *wait,
                                       struct coir_waiter *waiter,
                                       struct coir_mutex_state *mutex)
{
    wait->listed = coir_deadlock_is_wanted();
    if (!wait->listed)
        return;
    wait->waiter = waiter;
    wait->mutex = mutex;
    coir_deadlock_list(wait);
}

static inline void coir_deadlock_end(struct coir_deadlock_wait *wait)
{
    if (wait->listed)
        coir_deadlock_unlist(wait);
}

/* The running task of the fiber can be found as one that waits for others' end. */
static inline void coir_deadlock_awaits(struct coir_fiber *fiber)
{
    if (coir_deadlock_is_wanted())
        coir_deadlock_look_through(fiber);
}

/* Aborts unless the caller is the owner. */
static inline void coir_deadlock_check_owner(struct coir_task *owner)
{
    if (coir_deadlock_is_wanted())
        coir_deadlock_check(owner);
}

#endif
