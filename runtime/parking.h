/*
 * parking.h - the transitions of park.h, as one word and nothing else.
 *
 * park.h says what they are for; here is only what the model checker can read.
 *
 * Checked by  tests/model/park.cpp (this file)
 */
#ifndef COIR_RUNTIME_PARKING_H
#define COIR_RUNTIME_PARKING_H

#include "atomics.h"

enum coir_fiber_state { COIR_FIBER_RUNNING, COIR_FIBER_PARKED, COIR_FIBER_NOTIFIED };

/* The waiter, before it switches away: if it has been notified, take that. */
static inline bool coir_parking_consume(COIR_ATOMIC(uint32_t) *state)
{
    if (coir_load_relaxed(state) != COIR_FIBER_NOTIFIED)
        return false;
    coir_xchg_acquire(state, COIR_FIBER_RUNNING); /* [U] */
    return true;
}

/*
 * After the switch away from the waiter.  True: it is parked, and may run
 * elsewhere by now.  False: it was notified meanwhile, and is to be queued.
 */
static inline bool coir_parking_commit(COIR_ATOMIC(uint32_t) *state)
{
    uint32_t running = COIR_FIBER_RUNNING;

    if (coir_cas_acq_rel(state, &running, COIR_FIBER_PARKED)) /* [V] */
        return true;
    coir_xchg_acquire(state, COIR_FIBER_RUNNING); /* [U] */
    return false;
}

/*
 * Anyone: hold the waiter, if it is parked, so that it stays where it is until
 * coir_parking_commit(), which is false if it was notified meanwhile.
 */
static inline bool coir_parking_hold(COIR_ATOMIC(uint32_t) *state)
{
    uint32_t parked = COIR_FIBER_PARKED;

    return coir_load_relaxed(state) == COIR_FIBER_PARKED &&
           coir_cas_acquire(state, &parked, COIR_FIBER_RUNNING); /* [V] */
}

/* Anyone: notify the waiter.  True: it was parked, and the caller queues it. */
static inline bool coir_parking_notify(COIR_ATOMIC(uint32_t) *state)
{
    uint32_t old = COIR_FIBER_PARKED;

    if (coir_cas_acquire(state, &old, COIR_FIBER_RUNNING)) /* [V]; queueing it is [U] */
        return true;
    while (!coir_cas_acq_rel(state, &old, /* [U], [V] */
                             old == COIR_FIBER_PARKED ? COIR_FIBER_RUNNING : COIR_FIBER_NOTIFIED))
        ;
    return old == COIR_FIBER_PARKED;
}

#endif
