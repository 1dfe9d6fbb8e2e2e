/*
 * stall.h - name the tasks that keep a worker's CPU for too long.
 *
 * Where options.stall_ms or COIR_STALL_MS asks for it, a thread of its own looks
 * at every worker four times in that time.  One that runs a task, and has neither
 * switched nor ended a task since, is asked what it does (probe.h); the line with
 * the task's name, and its backtrace, go to stderr, and again after each further
 * second.  A worker that sleeps or makes steps is not disturbed: it gets no signal.
 */
#ifndef COIR_RUNTIME_STALL_H
#define COIR_RUNTIME_STALL_H

#include <stdint.h>

struct coir_runtime;
struct coir_stall;

/* Returns 0 or -errno. */
int coir_stall_start(struct coir_runtime *runtime, int64_t ns, struct coir_stall **ret_stall);

/* NULL is allowed. */
void coir_stall_stop(struct coir_stall *stall);

#endif
