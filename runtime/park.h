/*
 * park.h - suspend and wake a fiber: the one way anything waits.
 *
 * Waking is a token, and the waiter decides.  Whoever changes something that a
 * fiber may wait for makes the change first and then unparks the fiber; the
 * waiter loops: is it so?  no: park.  A fiber may be unparked once too often,
 * or for something it no longer waits for; fibers are type-stable, so the worst
 * is one more turn of somebody's loop.
 *
 * The word `state` of a fiber; its transitions are in parking.h.
 *
 *   state       on a queue?  running?  stack owned by   left by
 *   RUNNING     maybe        maybe     its worker, or   park: to PARKED, after
 *                                      the queue        the switch away
 *   NOTIFIED    maybe        maybe     the same         park: back to RUNNING,
 *                                                       without waiting
 *   PARKED      no           no        nobody           one unpark: to RUNNING;
 *                                                       it then queues the fiber
 *
 * Publish after the switch.  The change to PARKED is made by whatever runs next
 * on the worker, once the registers are saved; so no waker can let another
 * worker run a fiber that has not left its stack.
 *
 * Whoever only wants to look at a parked fiber does as a waker does, but does not
 * queue it: it is RUNNING then, and nobody runs it.  To let go of it is to park it
 * again, as is done after a switch; a wake-up that came meanwhile is then seen.
 *
 * Memory orders
 *
 *   [U] unpark's compare-and-swap (release)  ->  park's, or its exchange
 *       (acquire): the waiter sees what was changed before it was unparked.
 *       Unpark always writes, also over NOTIFIED: a plain look would not order
 *       the change before the waiter's next look at it.  One that is found parked
 *       needs no more than an acquire: the queue that it goes to releases.
 *   [V] park's compare-and-swap to PARKED (release)  ->  unpark's (acquire):
 *       whoever queues the fiber sees its registers.
 *
 * Checked by  tests/model/park.cpp
 */
#ifndef COIR_RUNTIME_PARK_H
#define COIR_RUNTIME_PARK_H

#include "parking.h"
#include "task.h"

/* The running fiber; aborts, naming `function`, outside a task, or if a scope was
   left open by a function that has returned.  For public functions to call: looks
   at its caller's frame.  In a forked child it is nobody's, without a task: all that
   may be done with it is to ask coir_cancel_pending(), which says -ECHILD. */
struct coir_fiber *coir_fiber_of_caller(const char *function);

/* The same; NULL on a thread that runs no task. */
struct coir_fiber *coir_fiber_or_none(const char *function);

/* Whether its run has one worker alone. */
bool coir_fiber_is_alone(const struct coir_fiber *fiber);

/* The time, as the worker on the caller's thread has seen it last: about a millisecond ago
   at most, unless its task computed meanwhile.  On other threads the time. */
int64_t coir_about_now(void);

/* A number that looks random, of the running fiber's worker. */
uint32_t coir_random(struct coir_fiber *fiber);

/*
 * Wait until the running fiber is unparked, or nothing.
 *
 * reason  What for, two or three words, for the dump: a constant.
 * object  The task, descriptor or lock it waits for; only shown.
 */
static inline void coir_park(struct coir_fiber *fiber, const char *reason, const void *object);

/* Any thread. */
void coir_unpark(struct coir_fiber *fiber);

/* Look at a fiber that waits: it stays where it is from hold, if that is true, to
   release.  Any thread; not for long. */
bool coir_park_hold(struct coir_fiber *fiber);
void coir_park_release(struct coir_fiber *fiber);

/* Let every other ready task of this worker run once. */
void coir_reschedule(struct coir_fiber *fiber);

/* For a call that could have waited and did not have to: it counts as steps, and
   when the running fiber has had its turn, the others go first. */
void coir_take_steps(struct coir_fiber *fiber, int steps);

/* Print "coir: FUNCTION: ... (in task 'NAME', created at SITE)" and abort. */
_Noreturn void coir_misuse(const char *function, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The same for a timeout, shield or group that was left open. */
_Noreturn void coir_misuse_left_open(const char *function);

/* Of worker.h, which not all who park need to know. */
void coir_worker_park(struct coir_worker *worker);

static inline void coir_park(struct coir_fiber *fiber, const char *reason, const void *object)
{
    if (coir_parking_consume(&fiber->state))
        return;
    coir_store_relaxed(&fiber->object, object);
    coir_store_relaxed(&fiber->reason, reason);
    coir_worker_park(coir_load_relaxed(&fiber->worker));
    coir_store_relaxed(&fiber->reason, NULL);
}

#endif
