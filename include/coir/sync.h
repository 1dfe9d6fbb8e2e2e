/*
 * coir/sync.h - locks, conditions, events, semaphores, barriers, once.
 *
 *     static coir_mutex lock;                     all zero is unlocked
 *     int rc = coir_mutex_lock(&lock);
 *     if (rc < 0)
 *         return rc;                              told to stop: it is not held
 *     ...
 *     coir_mutex_unlock(&lock);
 *
 * What waits is the task; its worker runs others meanwhile.  None of these allocates
 * memory, but what waits while a timeout is open may, for its timer.
 *
 * Each is anywhere in memory, must not be copied or moved, and works between the tasks
 * of several runs.  A call that waits is refused when the caller is cancelled or late,
 * and has then changed nothing; one that has been given what it waited for has it, and
 * the next call reports the cancel.  There are no time limits in the arguments: use
 * coir_timeout.
 *
 * "Any thread" below means tasks, threads of the program's own, and callbacks on them,
 * but not signal handlers.
 */
#ifndef COIR_SYNC_H
#define COIR_SYNC_H

#include <stdbool.h>

#include "coir/defs.h"
#include "coir/task.h"

COIR_BEGIN_DECLS

/*
 * A lock that one task holds at a time, also while it waits for something else.
 * All zero, or COIR_MUTEX_FIFO.  (asyncio.Lock)
 *
 * Who unlocks wakes the task that has waited longest; whoever asks meanwhile may be
 * faster.  Once that task has waited for about a millisecond, it is given the lock.
 * With COIR_MUTEX_FIFO the lock always goes to the one that has waited longest, which
 * is asyncio's order, and costs a switch of tasks for every time that somebody waits.
 *
 * With COIR_DEBUG=locks, a task that would wait for itself, by way of any number of
 * mutexes, awaited tasks and groups, is reported on stderr with all tasks of the cycle,
 * and waits; and coir_mutex_unlock() aborts if another task holds the lock.
 */
typedef struct coir_mutex {
    void *opaque_[6];
    unsigned fifo_;
} coir_mutex;

#define COIR_MUTEX_FIFO { { 0, 0, 0, 0, 0, 0 }, 1 }

/*
 * Take the lock.  Not recursive: a task that holds it already waits for itself.
 *
 * Tasks only.
 *
 * Returns   0; -ECANCELED or -ETIMEDOUT if the caller was cancelled or late, and
 *           -ENOMEM: it does not hold the lock.
 * Suspends  if another task holds the lock.
 */
COIR_API int coir_mutex_lock(coir_mutex *mutex);

/*
 * The same, cancelled or late or not: for cleaning up.  Whoever holds the lock
 * should be about to unlock it.
 *
 * Suspends  if another task holds the lock.
 */
COIR_API void coir_mutex_lock_always(coir_mutex *mutex);

/*
 * Take the lock if that needs no waiting.  Any thread; one that is no task holds it for
 * all such threads.
 *
 * Returns   0; -EAGAIN if it is held; in a task -ECANCELED or -ETIMEDOUT.
 * Suspends  never.
 */
COIR_API int coir_mutex_try_lock(coir_mutex *mutex);

/*
 * Give the lock back.  Aborts if nobody holds it.  Any thread.
 *
 * Suspends  never.
 */
COIR_API void coir_mutex_unlock(coir_mutex *mutex);

/*
 * A lock that many readers or one writer hold at a time.  All zero is unlocked.
 *
 * In order of arrival: a reader that comes while a writer waits, waits behind it, and
 * readers next to each other go together.  So who reads must not ask to read again.
 */
typedef struct coir_rwlock {
    void *opaque_[6];
} coir_rwlock;

/*
 * As coir_mutex_lock().
 *
 * Suspends  if that is not to be had at once.
 */
COIR_API int coir_rwlock_read_lock(coir_rwlock *lock);
COIR_API int coir_rwlock_write_lock(coir_rwlock *lock);

/*
 * As coir_mutex_try_lock().
 *
 * Suspends  never.
 */
COIR_API int coir_rwlock_try_read_lock(coir_rwlock *lock);
COIR_API int coir_rwlock_try_write_lock(coir_rwlock *lock);

/*
 * Give either kind back.  Aborts if nobody holds the lock.  Any thread.
 *
 * Suspends  never.
 */
COIR_API void coir_rwlock_unlock(coir_rwlock *lock);

/*
 * Waiting for what a mutex guards to change.  All zero.  (asyncio.Condition)
 *
 *     while (!is_ready(thing) && (rc = coir_cond_wait(&cond, &mutex)) == 0)
 *         ;
 */
typedef struct coir_cond {
    void *opaque_[4];
} coir_cond;

/*
 * Unlock the mutex and wait for a notification, and lock the mutex again, however long
 * that takes: it is held on every return.  A task that was notified returns 0, also if
 * it has been cancelled since, so no notification is lost.
 *
 * Tasks only.  Aborts if the caller does not hold the mutex.
 *
 * Returns   0; -ECANCELED, -ETIMEDOUT or -ENOMEM: no notification was taken.
 * Suspends  always, unless it is refused at once.
 */
COIR_API int coir_cond_wait(coir_cond *cond, coir_mutex *mutex);

/*
 * Wake the task that has waited longest; or all that wait.  With or without the mutex.
 * Any thread.
 *
 * Suspends  never.
 */
COIR_API void coir_cond_notify(coir_cond *cond);
COIR_API void coir_cond_notify_all(coir_cond *cond);

/* Something that has happened or not.  All zero: it has not.  (asyncio.Event) */
typedef struct coir_event {
    void *opaque_[4];
} coir_event;

/*
 * Wait until the event is set.
 *
 * Tasks only.
 *
 * Returns   0, also if it has been cleared since; -ECANCELED, -ETIMEDOUT, -ENOMEM.
 * Suspends  unless it is set.
 */
COIR_API int coir_event_wait(coir_event *event);

/*
 * Set it, and wake all that wait; once one of them has returned, the event may be gone,
 * even if the setter has not.  Unset it.  Look.  Any thread.
 *
 * Suspends  never.
 */
COIR_API void coir_event_set(coir_event *event);
COIR_API void coir_event_clear(coir_event *event);
COIR_API bool coir_event_is_set(coir_event *event);

/*
 * A number of places.  (asyncio.Semaphore)
 *
 *     coir_semaphore places = COIR_SEMAPHORE(8);
 *
 * In order of arrival: a place that is released goes to the one that has waited longest,
 * and nobody overtakes it.
 */
typedef struct coir_semaphore {
    unsigned free_, most_;
    void *opaque_[4];
} coir_semaphore;

#define COIR_SEMAPHORE(n) { (n), 0, { 0, 0, 0, 0 } }

/* That aborts when more is released than n.  (asyncio.BoundedSemaphore)  n: not 0. */
#define COIR_SEMAPHORE_BOUNDED(n) { (n), (n), { 0, 0, 0, 0 } }

/*
 * The same two, at run time.  Any thread.
 *
 * Suspends  never.
 */
COIR_API void coir_semaphore_init(coir_semaphore *semaphore, unsigned n);
COIR_API void coir_semaphore_init_bounded(coir_semaphore *semaphore, unsigned n);

/*
 * Take a place.
 *
 * Tasks only.
 *
 * Returns   0; -ECANCELED, -ETIMEDOUT or -ENOMEM: no place was taken.
 * Suspends  if none is free.
 */
COIR_API int coir_semaphore_acquire(coir_semaphore *semaphore);

/*
 * Take one if that needs no waiting.  Any thread.
 *
 * Returns   0; -EAGAIN if none is free; in a task -ECANCELED or -ETIMEDOUT.
 * Suspends  never.
 */
COIR_API int coir_semaphore_try_acquire(coir_semaphore *semaphore);

/*
 * Give one back, or add one.  Any thread.  What coir_event_set() says of the event's end
 * holds here, too.
 *
 * Suspends  never.
 */
COIR_API void coir_semaphore_release(coir_semaphore *semaphore);

/* Where n tasks wait for each other, again and again.  (asyncio.Barrier) */
typedef struct coir_barrier {
    void *opaque_[5];
} coir_barrier;

/*
 * For n tasks; aborts if that is 0.
 *
 * Suspends  never.
 */
COIR_API void coir_barrier_init(coir_barrier *barrier, unsigned n);

/*
 * Wait until n tasks do.  One that is cancelled or late just leaves: the others go on
 * waiting.
 *
 * Tasks only.
 *
 * Returns   a number from 0 to n - 1, a different one to each of the n, in the order of
 *           their arrival; -EPIPE if the barrier was reset meanwhile, or is aborted;
 *           -ECANCELED, -ETIMEDOUT, -ENOMEM.
 * Suspends  unless it is the last to come.
 */
COIR_API int coir_barrier_wait(coir_barrier *barrier);

/*
 * Those that wait get -EPIPE.  After a reset the barrier is as new; after an abort all
 * that come get -EPIPE, too, until a reset.  Any thread.
 *
 * Suspends  never.
 */
COIR_API void coir_barrier_reset(coir_barrier *barrier);
COIR_API void coir_barrier_abort(coir_barrier *barrier);

/* Something to be done once.  All zero.  Must outlive all calls. */
typedef struct coir_once {
    void *opaque_[6];
} coir_once;

/*
 * Run fn(arg), unless that has been done; who comes while it runs waits for its end.
 * If it fails, it counts as not done: the next who waits, or who comes, tries.
 *
 * Tasks only.  Aborts when fn calls it again.
 *
 * Returns   what fn returned, to everybody if that is >= 0; else to the one whose call
 *           ran it; -ECANCELED, -ETIMEDOUT or -ENOMEM: fn did not run for this call.
 * Suspends  as fn does, and while another runs it.
 */
COIR_API int coir_once_run(coir_once *once, coir_fn *fn, void *arg);

COIR_END_DECLS

#endif
