/*
 * park.c - see park.h.
 */
#include "park.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "parking.h"
#include "sys.h"
#include "worker.h"

/* A scope that lies on the stack below the frame of the public function that was
   called belongs to a function that has returned. */
static void check_top_scope(const char *function, struct coir_fiber *fiber, const char *frame)
{
    const char *top = (const char *)fiber->task->scopes;

    if (top < frame && top >= fiber->stack.low)
        coir_misuse_left_open(function);
}

/* Refuses whatever is asked for in a forked child. */
static struct coir_fiber nobodys = { .stopping = &coir_forked };

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wframe-address"

struct coir_fiber *coir_fiber_of_caller(const char *function)
{
    struct coir_worker *worker = coir_current_worker();

    if (__builtin_expect(!worker || !coir_worker_is_running_task(worker), 0)) {
        if (coir_is_forked())
            return &nobodys;
        coir_misuse(function, "called outside a task");
    }
    if (__builtin_expect(worker->fiber->task->scopes != NULL, 0))
        check_top_scope(function, worker->fiber, __builtin_frame_address(1));
    return worker->fiber;
}

struct coir_fiber *coir_fiber_or_none(const char *function)
{
    struct coir_worker *worker = coir_current_worker();

    if (!worker || !coir_worker_is_running_task(worker))
        return coir_is_forked() ? &nobodys : NULL;
    if (__builtin_expect(worker->fiber->task->scopes != NULL, 0))
        check_top_scope(function, worker->fiber, __builtin_frame_address(1));
    return worker->fiber;
}

#pragma GCC diagnostic pop

bool coir_fiber_is_alone(const struct coir_fiber *fiber)
{
    return coir_load_relaxed(&fiber->worker)->runtime->worker_count == 1;
}

int64_t coir_about_now(void)
{
    struct coir_worker *worker = coir_current_worker();

    return worker ? worker->tick_time : coir_sys_now();
}

uint32_t coir_random(struct coir_fiber *fiber)
{
    uint32_t *state = &coir_load_relaxed(&fiber->worker)->random;

    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

void coir_worker_make_ready(struct coir_worker *self, struct coir_fiber *fiber, bool next)
{
    struct coir_worker *last = coir_load_relaxed(&fiber->worker);
    coir_item item = coir_item_of_fiber(fiber);

    if (self && __builtin_expect(self->in_rescue, 0)) {
        coir_worker_send(fiber->pinned ? last : self, item);
    } else if (self == last && !(last->runtime->migrate && !fiber->pinned)) {
        coir_worker_push_woken(self, item, next);
    } else if (fiber->pinned) {
        coir_worker_send(last, item);
    } else if (last->runtime->migrate) {
        int other = (last->index + 1) % last->runtime->worker_count;
        coir_worker_send(&last->runtime->workers[other], item);
    } else if (self && self->runtime == last->runtime) {
        coir_worker_push_woken(self, item, next);
    } else {
        coir_worker_send(coir_worker_rested(last), item);
    }
}

void coir_unpark(struct coir_fiber *fiber)
{
    coir_unpark_from(coir_current_worker(), fiber, false);
}

bool coir_park_hold(struct coir_fiber *fiber)
{
    return coir_parking_hold(&fiber->state);
}

void coir_park_release(struct coir_fiber *fiber)
{
    if (!coir_parking_commit(&fiber->state))
        coir_worker_make_ready(coir_current_worker(), fiber, false);
}

void coir_reschedule(struct coir_fiber *fiber)
{
    coir_worker_yield(coir_load_relaxed(&fiber->worker));
}

void coir_take_steps(struct coir_fiber *fiber, int steps)
{
    struct coir_worker *worker = coir_load_relaxed(&fiber->worker);

    worker->ticks -= steps;
    if ((worker->ticks < 0 && coir_worker_turn_is_over(worker)) || worker->runtime->migrate)
        coir_reschedule(fiber);
}

_Noreturn void coir_misuse(const char *function, const char *format, ...)
{
    struct coir_worker *worker = coir_current_worker();
    char text[512];
    int n = snprintf(text, sizeof text, "coir: %s: ", function);
    va_list args;

    va_start(args, format);
    n += vsnprintf(text + n, sizeof text - (size_t)n, format, args);
    va_end(args);
    if (worker && coir_worker_is_running_task(worker) && n < 400) {
        struct coir_task *task = worker->fiber->task;
        n += snprintf(text + n, sizeof text - (size_t)n, " (in task '%s', created at %p)",
                      coir_task_name(task), task->site);
    }
    if (n > (int)sizeof text - 2)
        n = (int)sizeof text - 2;
    text[n++] = '\n';
    coir_sys_write(2, text, (size_t)n);
    abort();
}

void coir_misuse_left_open(const char *function)
{
    coir_misuse(function, "a timeout, shield or group was left open by a function that has "
                          "returned");
}
