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
 * it was created, its state, what it waits for, and of a mutex who holds it.
 *
 * Then, of each task that was told to stop and is still there: what it waited for when
 * that came, where, and who told it.  "Who" is a task or thread that called coir_cancel()
 * or its like, and where; the timeout whose deadline passed, and where it was begun; the
 * member of a group that failed; SIGINT; the end of the run.  It is passed on to those
 * that a task waits for.  The same of each open group that was cancelled.
 *
 *     task 'fetch' (created at 0x55d0c8a3f2a4) was told to stop 0.012 s ago (ETIMEDOUT), \
 *                                              waiting for coir_read on descriptor 7
 *       by the deadline of a timeout that task 'fetch' began at 0x55d0c8a3f0b1 \
 *                                              get_page+0x1f (crawler)
 *       it waited in
 *       #0 0x7f31c2a6195c coir_read+0x46 (libcoir.so.0)
 *       #1 0x55d0c8a3f0d3 get_page+0x41 (crawler)
 *
 * That is kept of the first 64 in each tenth of a second, of the last 128 in all, and
 * goes with the task.  These backtraces are right up to who called this library, and
 * beyond for what was compiled with -fno-omit-frame-pointer.  With COIR_DEBUG=autopsy
 * they are whole, which takes libunwind, and 1024 are kept.
 *
 * Then the backtraces of tasks that wait, 100 of each run at most, and of those that
 * run; they need libunwind, and the latter the rescue signal.
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
