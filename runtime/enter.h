/*
 * enter.h - how a public function begins that tasks call often: coir_fiber_of_caller()
 * and coir_take_steps(), inlined as far as there is nothing to be done.
 */
#ifndef COIR_RUNTIME_ENTER_H
#define COIR_RUNTIME_ENTER_H

#include "current.h"
#include "park.h"
#include "worker.h"

/* Always: coir_fiber_of_caller() looks at the frame of the function that calls it. */
static inline __attribute__((always_inline)) struct coir_fiber *
coir_enter(const char *function)
{
    struct coir_worker *worker = coir_current_worker();
    struct coir_fiber *fiber = worker ? worker->fiber : NULL;

    if (__builtin_expect(!fiber || !fiber->task || fiber->task->scopes, 0))
        return coir_fiber_of_caller(function);
    return fiber;
}

/* That it runs on. */
static inline struct coir_worker *coir_fiber_worker(const struct coir_fiber *fiber)
{
    return coir_load_relaxed(&fiber->worker);
}

static inline void coir_enter_steps(struct coir_fiber *fiber, int steps)
{
    struct coir_worker *worker = coir_fiber_worker(fiber);

    if (__builtin_expect(worker->ticks < steps || worker->runtime->migrate, 0))
        coir_take_steps(fiber, steps);
    else
        worker->ticks -= steps;
}

#endif
