/*
 * idle.h - who sleeps, who searches, and who must be woken.
 *
 * A worker without work searches for a while, if not too many do already, and
 * then sleeps in its driver.  Waking a sleeping thread costs its waker some
 * 17 us and takes 45 us on a virtual machine: nobody is woken while somebody
 * searches, and whoever wakes a sleeper has put work where a searcher looks.
 *
 *     publisher                            sleeper
 *     P1 put work in outbox or inbox       S1 searching -= 1 if it searched,
 *     P2 full barrier                         sleeping += 1, state = SLEEPING
 *     P3 searching <= 0, sleeping > 0?     S2 full barrier
 *     P4 claim one: SLEEPING -> AWAKE,     S3 look at every source again
 *        searching += 1, wake its driver   S4 something there: take S1 back, or
 *                                             find that somebody claimed us
 *                                          S5 sleep in the driver
 *
 * Why no work is stranded.  Between P1 and P3, and between S1 and S3, stands a
 * full barrier [S].  So either P3 sees the sleeper announced, and wakes it; or
 * S3 sees the work.  A publisher that finds a searcher leaves the work to it: a
 * searcher goes to sleep only through S1 to S4, and one that has found other work
 * does as a publisher does, P2 to P4, if anything is left in an outbox.
 *
 * So `searching` must never count one who does not search.  A claim counts after
 * it has succeeded; the claimed worker may have stopped by then, and the number
 * be too small for a moment, or negative.  Then one too many is woken.
 *
 * A claimed worker counts as searching from the claim on, although it takes a
 * while to get up, so that two publishers in that time do not wake two.
 *
 * Work in a private queue is published by no barrier: push is plain stores.  The
 * asker has lowered `keep`; its owner sees that at its next push or tick.  To
 * bound how long a stale `keep` may be read, the last searcher executes a
 * membarrier, which is a barrier in every running thread, between lowering
 * `keep` and reading the lengths of the queues; those who go to sleep while
 * another searches do so under that one's cover.
 *
 * Checked by  tests/model/idle.cpp (this file), tests/model/idle.pml,
 *             tests/unit/test_idle.c
 */
#ifndef COIR_RUNTIME_IDLE_H
#define COIR_RUNTIME_IDLE_H

#include "atomics.h"

#define COIR_WORKER_AWAKE 0u
#define COIR_WORKER_SLEEPING 1u

struct coir_idle {
    COIR_ATOMIC(int32_t) searching; /* looking for work, or woken to do so */
    COIR_ATOMIC(int32_t) sleeping;
    COIR_ATOMIC(int32_t) lookouts; /* sleepers that will look again by themselves */
};

/* Whether anybody is without work.  A hint. */
static inline bool coir_idle_any(struct coir_idle *idle)
{
    return coir_load_relaxed(&idle->searching) > 0 || coir_load_relaxed(&idle->sleeping) > 0;
}

/* P2, P3: work has been published; must somebody be woken for it? */
static inline bool coir_idle_must_wake(struct coir_idle *idle)
{
    coir_fence_seq_cst(); /* [S] */
    return coir_load_relaxed(&idle->searching) <= 0 && coir_load_relaxed(&idle->sleeping) > 0;
}

/* P4: try to claim the worker with this state.  True: wake its driver. */
static inline bool coir_idle_claim(struct coir_idle *idle, COIR_ATOMIC(uint32_t) *state)
{
    uint32_t sleeping = COIR_WORKER_SLEEPING;

    if (coir_load_relaxed(state) != COIR_WORKER_SLEEPING)
        return false;
    if (!coir_cas_seq_cst(state, &sleeping, COIR_WORKER_AWAKE))
        return false;
    coir_add_seq_cst(&idle->searching, 1);
    coir_sub_seq_cst(&idle->sleeping, 1);
    return true;
}

/* Become a searcher, unless `limit` search already. */
static inline bool coir_idle_search(struct coir_idle *idle, int32_t limit)
{
    if (coir_load_relaxed(&idle->searching) >= limit)
        return false;
    coir_add_seq_cst(&idle->searching, 1);
    return true;
}

/* Stop searching.  Returns whether the caller was the last. */
static inline bool coir_idle_stop_search(struct coir_idle *idle)
{
    return coir_sub_seq_cst(&idle->searching, 1) <= 1;
}

/* S1, S2: a worker that does not count as searching is about to sleep. */
static inline void coir_idle_announce(struct coir_idle *idle, COIR_ATOMIC(uint32_t) *state)
{
    coir_add_seq_cst(&idle->sleeping, 1);
    coir_store_seq_cst(state, COIR_WORKER_SLEEPING);
    coir_fence_seq_cst(); /* [S] */
}

/*
 * S4, and after waking up: no longer asleep.  Returns true if somebody had
 * claimed the worker, which then counts as searching.
 */
static inline bool coir_idle_retract(struct coir_idle *idle, COIR_ATOMIC(uint32_t) *state)
{
    uint32_t sleeping = COIR_WORKER_SLEEPING;

    if (!coir_cas_seq_cst(state, &sleeping, COIR_WORKER_AWAKE))
        return true;
    coir_sub_seq_cst(&idle->sleeping, 1);
    return false;
}

#endif
