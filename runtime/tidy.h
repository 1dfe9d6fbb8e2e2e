/*
 * tidy.h - memory that an idle worker gives back.
 *
 * A burst of tasks leaves free stacks and descriptors, a long heap of timers and a
 * long queue behind.  A worker that has found nothing to do and is about to sleep
 * tidies: once in COIR_TIDY_EVERY_NS its own stock, by putting its free stacks and
 * descriptors into the pools, and shrinking what is larger than it need be; and a
 * batch of the pools' descriptors and old stacks at a time (task.h, stack.h),
 * looking for work between two batches.  It lets itself be woken for that, until
 * there is no more to do: at most once for its own stock after it has worked, and
 * then while the pool has stacks that grow old.
 *
 * So what nobody has used for two or three seconds goes back to the system, and a
 * runtime that has been idle for longer sleeps undisturbed.
 */
#ifndef COIR_RUNTIME_TIDY_H
#define COIR_RUNTIME_TIDY_H

#include "worker.h"

#define COIR_TIDY_EVERY_NS COIR_STACK_IDLE_NS

/* On the worker's thread, in no task.  True: there is more, and nobody has looked
   for work meanwhile. */
bool coir_tidy(struct coir_worker *worker);

/* When to call it, or INT64_MAX. */
static inline int64_t coir_tidy_at(struct coir_worker *worker)
{
    int64_t pool = coir_stack_pool_tidy_at(&worker->runtime->stacks);

    return worker->tidy_at < pool ? worker->tidy_at : pool;
}

/* The worker has something to do, which will leave something behind. */
static inline void coir_tidy_later(struct coir_worker *worker, int64_t now)
{
    if (worker->tidy_at == INT64_MAX)
        worker->tidy_at = now + COIR_TIDY_EVERY_NS;
}

#endif
