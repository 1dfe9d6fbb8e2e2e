/*
 * debug.c - names, the dump, and the counters.
 *
 * The dump looks at tasks while they run.  It reads words that others write and
 * takes no lock that a task could hold, so a line may be a moment old, and is
 * never wrong about more than that: descriptors and fibers are type-stable.
 */
#include "debug.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "coir/debug.h"
#include "park.h"
#include "parking.h"
#include "probe.h"
#include "sys.h"
#include "worker.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct coir_runtime *runtimes;
static coir_stats ended;

/* Names. */

#define TRACES_MOST 100

const char *coir_task_name(const coir_task *handle)
{
    coir_task *task = (coir_task *)(uintptr_t)handle;

    if (!task)
        return "none";
    if ((coir_load_acquire(&task->shared) & COIR_TASK_EXTRA) && task->extra->name[0])
        return task->extra->name;
    snprintf(task->numbered, sizeof task->numbered, "Task-%u", coir_task_number(task));
    return task->numbered;
}

/* The dump. */

static COIR_RACY const char *state_of(struct coir_task *task, struct coir_fiber *fiber)
{
    if (coir_load_relaxed(&task->shared) & COIR_TASK_DONE)
        return "done";
    if (!fiber)
        return "ready or running";
    if (fiber->task != task)
        return "awaits inline";
    return coir_load_relaxed(&fiber->state) == COIR_FIBER_PARKED ? "waiting" : "running";
}

/* What it waits for.  Held, so that this is there as long as it is looked at. */
static bool tell_wait(struct coir_task *task, struct coir_fiber *fiber,
                      char buf[COIR_WAIT_TEXT_MAX])
{
    const char *reason;
    bool waits;

    if (!coir_park_hold(fiber))
        return false;
    reason = coir_load_relaxed(&fiber->reason);
    waits = fiber->task == task && reason; /* it may be another's by now */
    if (waits)
        coir_wait_describe(buf, reason, coir_load_relaxed(&fiber->object),
                           &coir_task_runtime(task)->tasks);
    coir_park_release(fiber);
    return waits;
}

struct dump {
    int fd;
    const char *title;                /* not yet written, or NULL */
    const struct coir_task *leave_out;
    bool only_left;                   /* not those that have ended */
};

static void write_line(int fd, char *line, int n, int cap)
{
    if (n > cap - 2)
        n = cap - 2;
    line[n++] = '\n';
    coir_sys_write(fd, line, (size_t)n);
}

static COIR_RACY void dump_task(struct coir_task *task, void *arg)
{
    struct dump *dump = arg;
    struct coir_fiber *fiber = coir_load_relaxed(&task->fiber);
    const char *state = state_of(task, fiber);
    uint64_t shared = coir_load_relaxed(&task->shared);
    char line[320], wait[COIR_WAIT_TEXT_MAX], name[COIR_NAME_MAX + 1];
    int n;

    if (task == dump->leave_out || (dump->only_left && (shared & COIR_TASK_DONE)))
        return;
    if (dump->title)
        coir_sys_write(dump->fd, dump->title, strlen(dump->title));
    dump->title = NULL;
    coir_task_copy_name(task, name);
    n = snprintf(line, sizeof line, "  task '%s' (%p, created at %p): %s%s", name,
                 (void *)(uintptr_t)task->fn, task->site, state,
                 shared & COIR_TASK_CANCELLED ? ", cancelled" : "");
    if (fiber && tell_wait(task, fiber, wait))
        n += snprintf(line + n, sizeof line - (size_t)n, ", for %s", wait);
    write_line(dump->fd, line, n, sizeof line);
}

void coir_debug_dump_left(struct coir_runtime *runtime, const char *title, int fd)
{
    struct dump dump = { fd, title, runtime->main_task, true };

    coir_task_pool_each(&runtime->tasks, dump_task, &dump);
    coir_autopsies_write(runtime, true, fd);
}

/* Backtraces.  They are taken under the lock of the pool, and written, which takes
   a hundred times as long, without it. */

struct trace {
    char name[COIR_NAME_MAX + 1];
    struct coir_backtrace backtrace;
};

struct traces {
    int count;
    bool more; /* than there is room for */
    struct trace trace[TRACES_MOST];
};

/* Of a task that waits.  One that awaits another inline is below that one, on the
   same stack, and has no backtrace of its own. */
static bool trace_waiting(struct coir_task *task, struct coir_backtrace *ret)
{
    struct coir_fiber *fiber = coir_load_relaxed(&task->fiber);
    bool is_there;

    if (!fiber || !coir_park_hold(fiber))
        return false;
    is_there = fiber->task == task; /* it may have been another's by then */
    if (is_there)
        coir_backtrace_of_context(ret, &fiber->context);
    coir_park_release(fiber);
    return is_there && ret->count > 0;
}

static void collect_trace(struct coir_task *task, void *arg)
{
    struct traces *traces = arg;
    struct trace *trace = &traces->trace[traces->count];

    traces->more = traces->count == TRACES_MOST;
    if (traces->more || !trace_waiting(task, &trace->backtrace))
        return;
    coir_task_copy_name(task, trace->name);
    traces->count++;
}

static void dump_waiting(struct coir_runtime *runtime, int fd)
{
    struct traces *traces = coir_sys_calloc(1, sizeof *traces);
    char line[128];

    if (!traces)
        return;
    coir_task_pool_each(&runtime->tasks, collect_trace, traces);
    for (int i = 0; i < traces->count; i++) {
        struct trace *trace = &traces->trace[i];

        write_line(fd, line, snprintf(line, sizeof line, "  task '%s' waits in", trace->name),
                   sizeof line);
        coir_backtrace_write(&trace->backtrace, fd);
    }
    if (traces->more)
        write_line(fd, line, snprintf(line, sizeof line, "  and so on"), sizeof line);
    coir_sys_free(traces);
}

static void dump_running(struct coir_worker *worker, struct coir_task *task,
                         const struct coir_backtrace *backtrace, void *arg)
{
    int fd = *(int *)arg, n;
    char name[COIR_PROBE_NAME_MAX], line[256];

    coir_probe_describe(worker, task, name);
    if (!name[0])
        return; /* it has ended since */
    n = snprintf(line, sizeof line, "  worker %d runs %s", worker->index, name);
    write_line(fd, line, n, sizeof line);
    coir_backtrace_write(backtrace, fd);
}

static void dump_backtraces(struct coir_runtime *runtime, int fd)
{
    dump_waiting(runtime, fd);
    coir_probe_ask_all(runtime, dump_running, &fd);
}

static void dump_runtime(struct coir_runtime *runtime, int fd)
{
    struct dump dump = { fd, NULL, NULL, false };
    char line[128];
    int n = snprintf(line, sizeof line, "coir: %d workers, %s:", runtime->worker_count,
                     runtime->driver->name);

    write_line(fd, line, n, sizeof line);
    coir_task_pool_each(&runtime->tasks, dump_task, &dump);
}

void coir_dump(int fd)
{
    bool walks;

    if (coir_is_forked())
        return; /* the lock may be held for ever */
    pthread_mutex_lock(&lock);
    for (struct coir_runtime *runtime = runtimes; runtime; runtime = runtime->next)
        dump_runtime(runtime, fd);
    walks = coir_backtrace_load(); /* which may be what hangs: so it comes last */
    for (struct coir_runtime *runtime = runtimes; runtime; runtime = runtime->next) {
        coir_autopsies_write(runtime, false, fd);
        if (walks)
            dump_backtraces(runtime, fd);
    }
    pthread_mutex_unlock(&lock);
}

void coir_debug_describe_stack(struct coir_stack *stack, char *buf, size_t cap)
{
    struct coir_fiber *fiber = (struct coir_fiber *)stack;
    struct coir_task *task = fiber->task ? fiber->task : fiber->base;

    if (!task)
        snprintf(buf, cap, "no task");
    else
        snprintf(buf, cap, "task '%s' (created at %p)", coir_task_name(task), task->site);
}

/* Counters. */

static void add_worker(struct coir_worker *worker, coir_stats *stats)
{
    struct coir_counters *counters = &worker->counters;

    /* Finished first: a task that is seen to have ended is seen to have been
       created. */
    stats->tasks_finished +=
        coir_load_acquire(&counters->finished) + coir_load_acquire(&counters->inlined);
    stats->tasks_inlined += coir_load_relaxed(&counters->inlined);
    stats->switches += coir_load_relaxed(&counters->switches);
    stats->migrations += coir_load_relaxed(&counters->migrations);
    stats->handovers += coir_load_relaxed(&counters->handovers);
    stats->wakeups += coir_load_relaxed(&counters->wakeups);
    stats->sleeps += coir_load_relaxed(&counters->sleeps);
    stats->barriers += coir_load_relaxed(&counters->barriers);
    stats->signals += coir_load_relaxed(&counters->signals);
    stats->ops_completed += coir_load_relaxed(&counters->completed);
    stats->ops_submitted += coir_load_relaxed(&counters->submitted);
    stats->timers_fired += coir_load_relaxed(&worker->timers.fired);
    stats->timers_cancelled += coir_load_relaxed(&counters->timers_cancelled);
    stats->timers_armed += coir_load_relaxed(&worker->timers.armed);
}

static void add_runtime(struct coir_runtime *runtime, coir_stats *stats)
{
    for (int i = 0; i < runtime->worker_count; i++)
        add_worker(&runtime->workers[i], stats);
    for (int i = 0; i < runtime->worker_count; i++)
        stats->tasks_spawned += coir_load_relaxed(&runtime->workers[i].counters.spawned);
    stats->tasks_spawned += coir_load_relaxed(&runtime->spawned);
    for (int i = 0; i < COIR_BLOCKING_POOLS; i++)
        stats->jobs_done += coir_load_relaxed(&runtime->blocking[i].done);
    for (int i = 0; i < COIR_BLOCKING_POOLS; i++)
        stats->jobs_queued += coir_load_relaxed(&runtime->blocking[i].queued);
    stats->stacks_mapped += coir_load_relaxed(&runtime->stacks.mapped);
    stats->stacks_unmapped += coir_load_relaxed(&runtime->stacks.unmapped);
}

/* All have ended: what is still there was given up by nobody. */
static void count_unowned(struct coir_task *task, void *arg)
{
    (void)task;
    ++*(uint64_t *)arg;
}

void coir_debug_add(struct coir_runtime *runtime)
{
    pthread_mutex_lock(&lock);
    runtime->next = runtimes;
    runtimes = runtime;
    pthread_mutex_unlock(&lock);
}

void coir_debug_remove(struct coir_runtime *runtime)
{
    struct coir_runtime **link = &runtimes;

    pthread_mutex_lock(&lock);
    while (*link != runtime)
        link = &(*link)->next;
    *link = runtime->next;
    add_runtime(runtime, &ended);
    coir_task_pool_each(&runtime->tasks, count_unowned, &ended.tasks_unowned);
    ended.tasks_unowned -= runtime->main_task != NULL;
    pthread_mutex_unlock(&lock);
}

void coir_stats_get(coir_stats *ret_stats)
{
    struct coir_worker *worker = coir_current_worker();

    memset(ret_stats, 0, sizeof *ret_stats);
    if (coir_is_forked())
        return;
    if (worker) {
        add_runtime(worker->runtime, ret_stats);
        ret_stats->workers = worker->runtime->worker_count;
        return;
    }
    pthread_mutex_lock(&lock);
    *ret_stats = ended;
    pthread_mutex_unlock(&lock);
}
