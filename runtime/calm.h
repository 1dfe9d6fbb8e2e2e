/*
 * calm.h - whether a fiber can have been told anything since it last asked.
 *
 * Every call that may suspend asks whether its task should stop, and to walk outwards
 * from task to task for that (cancel.h) would cost more than most calls.  So there is
 * an epoch, one number for the whole process, and a fiber notes the epoch in which a
 * walk found nothing, from its running task to the outermost: no reason to stop, and
 * no timeout or shield, which would make or unmake one by itself.  While the epoch is
 * the same, the next walk would find nothing either, and is left out.
 *
 *   P1  Whoever makes a reason lets it be seen, then begins a new epoch, and then
 *       unparks the fibers that it knows it for.
 *   P2  Whoever begins to wait for a task or a group lets that be seen, and then
 *       begins a new epoch, unless it is calm itself: what it waits for may have found
 *       calm before there was a waiter, who brings it a reason or a deadline.
 *   P3  A fiber clears its note when another task begins on it, and when a timeout or
 *       a shield is opened.  Only the fiber itself reads or writes it.
 *
 * A fiber that still reads the old epoch asks as if before the news; the token of P1
 * comes after that, and does not let it park.  One that was calm when it began to wait
 * (P2), and is told later, passes that on itself, by P1.
 *
 * Memory orders
 *
 *   [P] the new epoch (release)  ->  the walk's look at the epoch, which comes before
 *       all its others (acquire): it sees the reason, or the waiter.
 *
 * Checked by  tests/model/calm.cpp (this file), tests/api/test_timeout.c
 */
#ifndef COIR_RUNTIME_CALM_H
#define COIR_RUNTIME_CALM_H

#include "atomics.h"

#define COIR_NEVER_CALM ((int64_t)0) /* no epoch: they begin with 1 */

/* Whether `noted` still holds. */
static inline bool coir_calm_holds(int64_t noted, COIR_ATOMIC(int64_t) *epoch)
{
    return noted == coir_load_relaxed(epoch);
}

/* Before a walk: what to note if it finds nothing. */
static inline int64_t coir_calm_before_walk(COIR_ATOMIC(int64_t) *epoch)
{
    return coir_load_acquire(epoch); /* [P] */
}

/* There may be news. */
static inline void coir_calm_ends(COIR_ATOMIC(int64_t) *epoch)
{
    coir_add_seq_cst(epoch, 1); /* [P] */
}

#endif
