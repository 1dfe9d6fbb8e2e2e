/*
 * tidy.c - see tidy.h.
 */
#include "tidy.h"

#include "sys.h"

static void tidy_own(struct coir_worker *worker)
{
    struct coir_stack *stacks = worker->stacks;
    uint32_t count = worker->stack_count;

    worker->stacks = NULL;
    worker->stack_count = 0;
    if (count)
        coir_stack_pool_put_cold(&worker->runtime->stacks, stacks, count);
    coir_timers_shrink(&worker->timers);
    coir_runqueue_shrink(&worker->queue);
}

bool coir_tidy(struct coir_worker *worker)
{
    int64_t now = coir_sys_now();

    if (now >= worker->tidy_at) {
        worker->tidy_at = INT64_MAX;
        tidy_own(worker);
    }
    return coir_stack_pool_tidy(&worker->runtime->stacks, now);
}
