/*
 * probe.h - what is a worker doing right now?
 *
 * Only its own thread can tell where a running task is.  It is asked by the rescue
 * signal, whose handler answers from what it has interrupted; so a task that
 * computes, or sits in a system call of the program's own, is seen where it is.
 *
 *     IDLE  --> ASKED      the asker, who then sends the signal
 *     ASKED --> ANSWERING  the handler; fills in the answer
 *     ANSWERING --> READY  the handler
 *     READY --> IDLE       the asker, who has copied the answer
 *     ASKED --> IDLE       the asker, whose patience is over
 *
 *   [Q] handler stores READY (release)  ->  asker (acquire): the answer is whole.
 *
 * A worker has one asker at a time, under a lock that no handler takes.
 */
#ifndef COIR_RUNTIME_PROBE_H
#define COIR_RUNTIME_PROBE_H

#include "backtrace.h"

struct coir_runtime;
struct coir_task;
struct coir_worker;

struct coir_probe {
    COIR_ATOMIC(uint32_t) state;
    struct coir_task *task; /* that runs; NULL: none, or it could not be told */
    struct coir_backtrace backtrace;
};

/* Ask.  Any thread; coir_backtrace_load() has been called.  Returns the task that
   runs, or NULL: none, the thread does not answer, the run has no rescue signal. */
struct coir_task *coir_probe_ask(struct coir_worker *worker, struct coir_backtrace *ret_backtrace);

/* Ask all at once, and call fn for each that answers with a task. */
typedef void coir_probe_fn(struct coir_worker *worker, struct coir_task *task,
                           const struct coir_backtrace *backtrace, void *arg);
void coir_probe_ask_all(struct coir_runtime *runtime, coir_probe_fn *fn, void *arg);

/* In the handler, on the worker's thread: answer, if asked. */
void coir_probe_answer(struct coir_worker *worker, const void *signal_context);

/* The task that seems to run on a worker, or NULL.  A hint; the descriptor is
   type-stable.  Any thread. */
struct coir_task *coir_probe_guess(struct coir_worker *worker);

/* "task 'NAME' (created at ADDRESS)", or "" if it has ended.  Any thread. */
#define COIR_PROBE_NAME_MAX 128
void coir_probe_describe(struct coir_worker *worker, struct coir_task *task,
                         char buf[COIR_PROBE_NAME_MAX]);

#endif
