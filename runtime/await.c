/*
 * await.c - creating tasks, awaiting them, and giving them up.
 *
 * The fast path.  create takes a descriptor from the worker's stock and pushes
 * it; await, if the task is still the newest in the worker's own queue, takes
 * it back and calls it like a function; its end returns the descriptor.  No
 * locked instruction, no stack, no switch.  tests/rules/fast_path.py checks the
 * compiled code for that.
 *
 * An inlined task runs on its awaiter's fiber, which could not have gone on
 * anyway.  It is allowed while the stack has at least what a task is promised,
 * and COIR_INLINE_MAX deep, so that walks over the chain stay short.  An awaiter
 * never runs tasks other than the one it awaits: that could bury what it waits
 * for under something that waits for it.
 */
#include "await.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cancel.h"
#include "deadlock.h"
#include "group.h"
#include "lend.h"
#include "local.h"
#include "park.h"
#include "sys.h"
#include "worker.h"

#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define LIKELY(x) __builtin_expect(!!(x), 1)

/* Creating. */

/* NULL in a forked child. */
static struct coir_worker *creator(const char *function)
{
    coir_fiber_of_caller(function);
    return coir_current_worker();
}

/* A stack for a task that cannot do with any that comes along. */
static bool give_stack(struct coir_worker *worker, struct coir_task *task,
                       const coir_task_options *options, uint64_t *flags)
{
    bool large = options->stack_bytes > worker->runtime->stack_bytes;

    *flags |= (large ? COIR_TASK_LARGE : 0) | (options->pinned ? COIR_TASK_PINNED : 0);
    return !(*flags & COIR_TASK_OWN_STACK) ||
           coir_stack_pool_get(&worker->runtime->stacks, large ? options->stack_bytes : 0,
                               &task->extra->stack) == 0;
}

/* Everything but a plain task. */
static __attribute__((noinline)) bool equip(struct coir_worker *worker, struct coir_task *task,
                                            const coir_task_options *options, const void *arg)
{
    size_t in_extra = options->arg_size > COIR_ARG_INLINE ? options->arg_size : 0;
    uint64_t flags = coir_load_relaxed(&task->shared);

    if (options->name || options->stack_bytes || options->pinned || in_extra) {
        if (in_extra > SIZE_MAX - sizeof *task->extra ||
            options->stack_bytes > COIR_STACK_MOST)
            return false;
        task->extra = coir_sys_malloc(sizeof *task->extra + in_extra);
        if (!task->extra)
            return false;
        memset(task->extra, 0, sizeof *task->extra);
        if (options->name)
            snprintf(task->extra->name, sizeof task->extra->name, "%s", options->name);
        if (!give_stack(worker, task, options, &flags)) {
            coir_sys_free(task->extra);
            task->extra = NULL;
            return false;
        }
        flags |= COIR_TASK_EXTRA;
        coir_store_release(&task->shared, flags); /* for the dump: extra is there */
    }
    if (options->arg_size) {
        task->arg = in_extra ? task->extra->arg : task->copy;
        memcpy(task->arg, arg, options->arg_size);
    }
    return true;
}

static inline bool inherit(struct coir_worker *worker, struct coir_task *task)
{
    return LIKELY(!coir_load_relaxed(&coir_locals_inherited)) ||
           coir_locals_inherit(worker->fiber->task, task);
}

struct coir_task *coir_task_make(struct coir_worker *worker, const coir_task_options *options,
                                 coir_fn *fn, const void *arg, void *site, uint64_t flags)
{
    struct coir_task *task = coir_task_alloc(&worker->runtime->tasks, &worker->tasks);

    if (UNLIKELY(!task))
        return NULL;
    task->fn = fn;
    task->arg = (void *)(uintptr_t)arg;
    task->site = site;
    coir_store_relaxed(&task->shared, flags);
    if (!inherit(worker, task) || (options && !equip(worker, task, options, arg))) {
        if (coir_load_relaxed(&task->shared) & COIR_TASK_LOCALS)
            coir_locals_drop(task);
        coir_task_free(&worker->runtime->tasks, &worker->tasks, task);
        return NULL;
    }
    coir_count(&worker->counters.spawned);
    return task;
}

struct coir_task *coir_task_make_foreign(struct coir_runtime *runtime,
                                         const coir_task_options *options, coir_fn *fn,
                                         const void *arg, void *site, uint64_t flags)
{
    struct coir_task *task = coir_task_alloc_foreign(&runtime->tasks);

    if (!task)
        return NULL;
    task->fn = fn;
    task->arg = (void *)(uintptr_t)arg;
    task->site = site;
    coir_store_relaxed(&task->shared, flags);
    if (options && !equip(&runtime->workers[0], task, options, arg)) {
        coir_task_free_foreign(&runtime->tasks, task);
        return NULL;
    }
    coir_add_acq_rel(&runtime->spawned, 1);
    return task;
}

coir_task *coir_create_task(coir_fn *fn, void *arg)
{
    struct coir_worker *worker = coir_current_worker();
    struct coir_task *task;

    if (UNLIKELY((!worker || !coir_worker_is_running_task(worker)) &&
                 !creator("coir_create_task")))
        return NULL;
    task = coir_task_alloc(&worker->runtime->tasks, &worker->tasks);
    if (UNLIKELY(!task))
        return NULL;
    task->fn = fn;
    task->arg = arg;
    task->site = __builtin_return_address(0);
    coir_store_relaxed(&task->shared, 0);
    if (UNLIKELY(!inherit(worker, task))) {
        coir_task_free(&worker->runtime->tasks, &worker->tasks, task);
        return NULL;
    }
    coir_count(&worker->counters.spawned);
    coir_worker_push_new(worker, task);
    return task;
}

static struct coir_task *create(struct coir_worker *worker, const coir_task_options *options,
                                coir_fn *fn, const void *arg, void *site)
{
    struct coir_task *task = worker ? coir_task_make(worker, options, fn, arg, site, 0) : NULL;

    if (task)
        coir_worker_push_new(worker, task);
    return task;
}

coir_task *coir_create_task_copy(coir_fn *fn, const void *arg, size_t size)
{
    coir_task_options options = { .arg_size = size };
    struct coir_worker *worker = creator("coir_create_task_copy");

    return create(worker, &options, fn, arg, __builtin_return_address(0));
}

coir_task *coir_create_task_with(const coir_task_options *options, coir_fn *fn, void *arg)
{
    struct coir_worker *worker = creator("coir_create_task_with");

    return create(worker, options, fn, arg, __builtin_return_address(0));
}

/* Running a task on its awaiter's stack. */

static inline bool has_room(const struct coir_fiber *fiber)
{
    return (uintptr_t)__builtin_frame_address(0) > fiber->inline_floor &&
           fiber->depth < COIR_INLINE_MAX;
}

bool coir_inline_has_room(const struct coir_fiber *fiber)
{
    return has_room(fiber);
}

bool coir_inline_allowed(struct coir_worker *worker, struct coir_task *task)
{
    uint64_t flags = coir_load_relaxed(&task->shared);

    return has_room(worker->fiber) &&
           !(flags & (COIR_TASK_PINNED | COIR_TASK_LARGE | COIR_TASK_DETACHED |
                      COIR_TASK_JOINER));
}

int coir_inline_run(struct coir_fiber *fiber, struct coir_task *task)
{
    struct coir_task *below = fiber->task;
    int value;

    task->next = below;
    fiber->task = task;
    fiber->calm = COIR_NEVER_CALM;
    fiber->depth++;
    value = task->fn(task->arg);
    if (UNLIKELY(task->scopes))
        coir_scope_left(task);
    if (UNLIKELY(coir_load_relaxed(&task->shared) & COIR_TASK_LOCALS))
        coir_locals_drop(task);
    fiber->depth--;
    fiber->task = below;
    if (coir_load_relaxed(&task->fiber))
        coir_store_relaxed(&task->fiber, NULL);
    return value;
}

/* Awaiting. */

/* The value of a task that the caller waited for: its own, or, if it only ended
   because the caller was told to, the caller's reason. */
static int value_for(struct coir_fiber *fiber, int value)
{
    int reason;

    if (LIKELY(value != -ECANCELED))
        return value;
    reason = coir_cancel_pending(fiber);
    return reason ? reason : value;
}

static int run_and_release(struct coir_worker *worker, struct coir_task *task)
{
    struct coir_fiber *fiber = worker->fiber;
    int value = coir_inline_run(fiber, task);

    worker = coir_load_relaxed(&fiber->worker); /* it may have moved */
    coir_count_end(&worker->counters.inlined);
    coir_task_free(&worker->runtime->tasks, &worker->tasks, task);
    return value_for(fiber, value);
}

void coir_task_check_handle(const char *function, struct coir_task *task)
{
    struct coir_worker *worker = coir_current_worker();
    uint64_t shared = coir_load_acquire(&task->shared);

    if (!task->fn)
        coir_misuse(function, "the task was given up already");
    if (shared & (COIR_TASK_MEMBER | COIR_TASK_DETACHED))
        coir_misuse(function, "the task '%s' %s", coir_task_name(task),
                    shared & COIR_TASK_MEMBER ? "is a member of a group" : "is detached");
    if (!(shared & COIR_TASK_DONE) && (shared & COIR_TASK_JOINER))
        coir_misuse(function, "the task '%s' is being awaited already", coir_task_name(task));
    for (struct coir_task *below = worker->fiber->task; below; below = below->next)
        if (below == task)
            coir_misuse(function, "the task '%s' would wait for itself",
                        coir_task_name(task));
    if (coir_task_runtime(task) != worker->runtime)
        coir_misuse(function, "the task '%s' belongs to another run", coir_task_name(task));
}

/* Ask to be unparked when the task ends.  False: it has ended. */
static bool register_joiner(const char *function, struct coir_task *task,
                            struct coir_fiber *fiber)
{
    uint64_t shared = coir_load_acquire(&task->shared);

    do {
        if (shared & COIR_TASK_DONE)
            return false;
        if (shared & COIR_TASK_JOINER)
            coir_misuse(function, "the task '%s' is being awaited already",
                        coir_task_name(task));
    } while (!coir_cas_acq_rel(&task->shared, &shared, shared | (uintptr_t)fiber)); /* [J] */
    return true;
}

static void pass_cancel_on(struct coir_fiber *fiber, struct coir_task *task)
{
    struct coir_blame why;

    coir_cancel_why(fiber, fiber->task, fiber->task->scopes, &why);
    coir_cancel_task(task, &why);
}

static int park_until_done(const char *function, struct coir_fiber *fiber,
                           struct coir_task *task)
{
    bool asked = false;
    int value;
    struct coir_worker *worker;

    if (coir_inline_has_room(fiber))
        coir_lend_offer(fiber, task);
    register_joiner(function, task, fiber);
    coir_cancel_attached(fiber);
    coir_deadlock_awaits(fiber);
    while (!(coir_load_acquire(&task->shared) & COIR_TASK_DONE)) {
        if (coir_lend_take(fiber))
            return run_and_release(coir_current_worker(), task);
        if (!asked && coir_cancel_prepare(fiber, "await", task)) {
            pass_cancel_on(fiber, task);
            asked = true;
        } else {
            coir_park(fiber, "await", task);
        }
    }
    coir_lend_withdraw(fiber);
    value = (int)(uint32_t)coir_load_relaxed(&task->qpos);
    worker = coir_current_worker();
    coir_task_free(&worker->runtime->tasks, &worker->tasks, task);
    return value_for(fiber, value);
}

static __attribute__((noinline)) int await_slow(const char *function,
                                                struct coir_worker *worker,
                                                struct coir_task *task)
{
    struct coir_fiber *fiber = worker->fiber;

    coir_task_check_handle(function, task);
    if (worker->ticks < 0 && coir_worker_turn_is_over(worker)) {
        coir_reschedule(fiber);
        worker = coir_current_worker();
    }
    if (coir_inline_allowed(worker, task) &&
        coir_runqueue_take_middle(&worker->queue, coir_load_relaxed(&task->qpos),
                                  coir_item_of_task(task))) {
        coir_runqueue_trim(&worker->queue);
        return run_and_release(worker, task);
    }
    coir_worker_awaits_handed(worker, task);
    return park_until_done(function, fiber, task);
}

static inline int await_as(const char *function, struct coir_task *task)
{
    struct coir_worker *worker = coir_current_worker();

    if (UNLIKELY(!worker || !coir_worker_is_running_task(worker))) {
        coir_fiber_of_caller(function);
        return -ECHILD;
    }
    if (UNLIKELY(!task))
        return -ENOMEM;
    if (LIKELY(--worker->ticks >= 0 && coir_inline_allowed(worker, task) &&
               coir_runqueue_take_newest(&worker->queue, coir_load_relaxed(&task->qpos),
                                         coir_item_of_task(task))))
        return run_and_release(worker, task);
    return await_slow(function, worker, task);
}

int coir_await(coir_task *task)
{
    return await_as("coir_await", task);
}

int coir_wait_for(coir_task *task, coir_duration duration)
{
    coir_timeout limit;
    int value;

    coir_fiber_of_caller("coir_wait_for");
    coir_timeout_begin_from(&limit, duration, __builtin_return_address(0));
    value = await_as("coir_wait_for", task);
    coir_timeout_end(&limit);
    return value;
}

void coir_cancel(coir_task *task)
{
    if (task && !coir_is_forked())
        coir_cancel_task(task, &COIR_BLAME_CALLER("coir_cancel"));
}

int coir_cancel_await(coir_task *task)
{
    coir_fiber_of_caller("coir_cancel_await");
    if (task && !coir_is_forked())
        coir_cancel_task(task, &COIR_BLAME_CALLER("coir_cancel_await"));
    return await_as("coir_cancel_await", task);
}

/* Waiting for any. */

bool coir_task_watch(const char *function, struct coir_task *task, struct coir_fiber *fiber)
{
    uint64_t shared = coir_load_acquire(&task->shared), joiner, watched;

    do {
        if (shared & COIR_TASK_DONE)
            return false;
        joiner = shared & COIR_TASK_JOINER;
        if (joiner && joiner != (uintptr_t)fiber) /* its own: the task is there twice */
            coir_misuse(function, "the task '%s' is being awaited already",
                        coir_task_name(task));
        watched = (shared & ~COIR_TASK_JOINER) | (uintptr_t)fiber | COIR_TASK_WATCHED;
    } while (!coir_cas_acq_rel(&task->shared, &shared, watched)); /* [J] */
    return true;
}

void coir_task_unwatch(struct coir_task *task)
{
    uint64_t shared = coir_load_acquire(&task->shared);

    while (!(shared & COIR_TASK_DONE) &&
           !coir_cas_acq_rel(&task->shared, &shared,
                             shared & ~(COIR_TASK_JOINER | COIR_TASK_WATCHED)))
        ;
}

/* The one that ended first, as far as that is known: those that ended before
   somebody watched them count as equal, and as first.  -1 if none has ended. */
static int first_ended(struct coir_task **tasks, size_t n)
{
    uint64_t first_end = UINT64_MAX;
    int first = -1;

    for (size_t i = 0; i < n; i++) {
        uint64_t shared = tasks[i] ? coir_load_acquire(&tasks[i]->shared) : 0;
        uint64_t end;

        if (!(shared & COIR_TASK_DONE))
            continue;
        end = shared & COIR_TASK_WATCHED ? tasks[i]->ended : 0;
        if (end < first_end) {
            first_end = end;
            first = (int)i;
        }
    }
    return first;
}

static int check_handles(struct coir_task **tasks, size_t n)
{
    int rc = -ENOENT;

    if (n > INT32_MAX)
        return -EINVAL;
    for (size_t i = 0; i < n; i++) {
        if (tasks[i]) {
            coir_task_check_handle("coir_wait_any", tasks[i]);
            rc = 0;
        }
    }
    return rc;
}

static int wait_for_first(struct coir_fiber *fiber, struct coir_task **tasks, size_t n)
{
    int first = -1, rc = 0;

    for (size_t i = 0; i < n; i++)
        if (tasks[i])
            coir_task_watch("coir_wait_any", tasks[i], fiber);
    while ((first = first_ended(tasks, n)) < 0 &&
           (rc = coir_cancel_prepare(fiber, "wait_any", tasks)) == 0)
        coir_park(fiber, "wait_any", tasks);
    for (size_t i = 0; i < n; i++)
        if (tasks[i])
            coir_task_unwatch(tasks[i]);
    return first >= 0 ? first : coir_cancel_deliver(fiber, rc);
}

int coir_wait_any(coir_task **tasks, size_t n)
{
    struct coir_fiber *fiber = coir_fiber_of_caller("coir_wait_any");
    int rc = coir_cancel_pending(fiber), first;

    if (rc == 0)
        rc = check_handles(tasks, n);
    if (rc < 0)
        return rc;
    first = first_ended(tasks, n);
    if (first < 0)
        return wait_for_first(fiber, tasks, n);
    coir_take_steps(fiber, 1);
    return first;
}

/* Giving up. */

static bool on_own_stack(const struct coir_task *task)
{
    struct coir_worker *worker = coir_current_worker();
    const char *arg = task->arg;

    if (!worker || !coir_worker_is_running_task(worker))
        return false;
    return arg >= worker->fiber->stack.low && arg < worker->fiber->stack.top;
}

void coir_detach(coir_task *task)
{
    struct coir_worker *worker;
    uint64_t shared;

    if (!task || coir_is_forked())
        return;
    shared = coir_load_acquire(&task->shared);
    if (!task->fn || (shared & COIR_TASK_DETACHED))
        coir_misuse("coir_detach", "the task was given up already");
    if (shared & (COIR_TASK_MEMBER | COIR_TASK_JOINER))
        coir_misuse("coir_detach", "the task '%s' %s", coir_task_name(task),
                    shared & COIR_TASK_MEMBER ? "is a member of a group" : "is being awaited");
    if (!(shared & COIR_TASK_DONE) && on_own_stack(task))
        coir_misuse("coir_detach", "the argument of task '%s' lies on the caller's stack",
                    coir_task_name(task));
    if (!(coir_or_acq_rel(&task->shared, COIR_TASK_DETACHED) & COIR_TASK_DONE))
        return;
    worker = coir_current_worker();
    if (worker && worker->runtime == coir_task_runtime(task))
        coir_task_free(&worker->runtime->tasks, &worker->tasks, task);
    else
        coir_task_free_foreign(&coir_task_runtime(task)->tasks, task);
}

bool coir_task_done(const coir_task *task)
{
    return !task || coir_is_forked() ||
           (coir_load_acquire(&((coir_task *)(uintptr_t)task)->shared) & COIR_TASK_DONE);
}

coir_task *coir_current_task(void)
{
    struct coir_worker *worker = coir_current_worker();

    return worker && coir_worker_is_running_task(worker) ? worker->fiber->task : NULL;
}
