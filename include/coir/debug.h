/*
 * coir/debug.h - looking inside a run.
 */
#ifndef COIR_DEBUG_H
#define COIR_DEBUG_H

#include <stdint.h>

#include "coir/defs.h"

COIR_BEGIN_DECLS

/*
 * Write a line about every task of every run to a descriptor: its name, where
 * it was created, its state, what it waits for.  Then the backtraces of tasks that
 * wait, 100 of each run at most, and of those that run; they need libunwind, and
 * the latter the rescue signal.
 *
 * Any thread, any time.  The tasks go on meanwhile: each line is true of a
 * moment, and the lines of different moments.
 *
 * fd        Borrowed.  Written to with write(2), which may block.
 *
 * Suspends  never.
 */
COIR_API void coir_dump(int fd);

/*
 * Counters.  In a task: of its run so far.  Outside: the sum over all the runs
 * of this process that have ended, in which the laws of conservation hold
 * exactly: spawned = finished, ops_submitted = ops_completed,
 * timers_armed = timers_fired + timers_cancelled, stacks_mapped =
 * stacks_unmapped.
 */
typedef struct coir_stats {
    uint64_t tasks_spawned;
    uint64_t tasks_finished;
    uint64_t tasks_inlined;  /* of those finished: run on their awaiter's stack */
    uint64_t tasks_unowned;  /* given up by nobody, reaped at the end of a run */
    uint64_t switches;       /* from one stack to another */
    uint64_t migrations;     /* resumed on another worker than suspended on */
    uint64_t handovers;      /* tasks that an idle worker took from another */
    uint64_t wakeups;        /* sleeping workers woken by another thread */
    uint64_t sleeps;         /* times a worker went to sleep */
    uint64_t barriers;       /* membarrier calls */
    uint64_t signals;        /* sent to workers that did not hand over */
    uint64_t ops_submitted;
    uint64_t ops_completed;
    uint64_t timers_armed;
    uint64_t timers_fired;
    uint64_t timers_cancelled;
    uint64_t stacks_mapped;
    uint64_t stacks_unmapped;
    uint64_t jobs_queued; /* calls given to threads that may block */
    uint64_t jobs_done;
    int64_t workers;      /* in a task: of this run; outside: 0 */
} coir_stats;

/*
 * Read the counters.
 *
 * ret_stats  Written.  In a task the numbers of other workers may be a moment
 *            old.
 *
 * Any thread, any time.
 *
 * Suspends  never.
 */
COIR_API void coir_stats_get(coir_stats *ret_stats);

COIR_END_DECLS

#endif
