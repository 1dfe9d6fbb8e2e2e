/*
 * runner.c - a runtime that stays, for threads that are none of its workers.
 *
 * A thread that waits for a task puts the address of a word of its own into the task's
 * place for the joiner, with FOREIGN, and sleeps on that word.  The finisher sets it and
 * wakes the thread, whose frame, and the word, may be gone by then: the wake-up
 * is of an address, and waking too many is allowed.
 */
#include <errno.h>

#include "await.h"
#include "cancel.h"
#include "lifecycle.h"
#include "park.h"
#include "sys.h"

static struct coir_runtime *runtime_of(coir_runner *runner)
{
    return (struct coir_runtime *)runner;
}

static void refuse_in_task(const char *function)
{
    if (coir_current_worker())
        coir_misuse(function, "called inside a task, whose worker it would block");
}

int coir_runner_open(coir_runner **ret_runner, const coir_options *options)
{
    struct coir_runtime *runtime;
    int rc = coir_runtime_open(options, &runtime);

    if (rc == 0)
        *ret_runner = (coir_runner *)runtime;
    return rc;
}

int coir_runner_close(coir_runner *runner)
{
    refuse_in_task("coir_runner_close");
    if (coir_is_forked())
        return -ECHILD;
    return runner ? coir_runtime_close(runtime_of(runner)) : 0;
}

coir_runner *coir_current_runner(void)
{
    struct coir_worker *worker = coir_current_worker();

    return worker ? (coir_runner *)worker->runtime : NULL;
}

/* Submitting. */

static coir_task *submit(coir_runner *runner, const coir_task_options *options, coir_fn *fn,
                         const void *arg, void *site)
{
    struct coir_runtime *runtime = runtime_of(runner);
    struct coir_task *task;

    if (!runner || coir_is_forked() || coir_load_seq_cst(&runtime->stopping))
        return NULL;
    task = coir_task_make_foreign(runtime, options, fn, arg, site, 0);
    if (task)
        coir_worker_send(coir_worker_rested(&runtime->workers[0]), coir_item_of_task(task));
    return task;
}

coir_task *coir_submit(coir_runner *runner, coir_fn *fn, void *arg)
{
    return submit(runner, NULL, fn, arg, __builtin_return_address(0));
}

coir_task *coir_submit_copy(coir_runner *runner, coir_fn *fn, const void *arg, size_t size)
{
    coir_task_options options = { .arg_size = size };

    return submit(runner, &options, fn, arg, __builtin_return_address(0));
}

/* Joining. */

static void check_handle(struct coir_task *task, uint64_t shared)
{
    if (!task->fn)
        coir_misuse("coir_join", "the task was given up already");
    if (shared & (COIR_TASK_MEMBER | COIR_TASK_DETACHED))
        coir_misuse("coir_join", "the task '%s' %s", coir_task_name(task),
                    shared & COIR_TASK_MEMBER ? "is a member of a group" : "is detached");
    if (!(shared & COIR_TASK_DONE) && (shared & COIR_TASK_JOINER))
        coir_misuse("coir_join", "the task '%s' is being awaited already", coir_task_name(task));
}

static void wait_until_done(struct coir_task *task)
{
    struct coir_foreign_joiner self = { 0 };
    uint64_t shared = coir_load_acquire(&task->shared);

    do {
        check_handle(task, shared);
        if (shared & COIR_TASK_DONE)
            return;
    } while (!coir_cas_acq_rel(&task->shared, &shared, /* [J] */
                               shared | (uintptr_t)&self | COIR_TASK_FOREIGN));
    while (!coir_load_acquire(&self.done))
        coir_sys_futex_wait((void *)&self.done, 0);
}

int coir_join(coir_task *task)
{
    int value;

    refuse_in_task("coir_join");
    if (coir_is_forked())
        return -ECHILD;
    if (!task)
        return -ENOMEM;
    wait_until_done(task);
    value = (int)(uint32_t)coir_load_relaxed(&task->qpos);
    coir_task_free_foreign(&coir_task_runtime(task)->tasks, task);
    return value;
}

int coir_runner_run(coir_runner *runner, coir_fn *fn, void *arg)
{
    int value;

    refuse_in_task("coir_runner_run");
    if (coir_is_forked())
        return -ECHILD;
    if (coir_runtime_run_interruptibly(runtime_of(runner), fn, arg, &value))
        return value;
    return coir_join(submit(runner, NULL, fn, arg, __builtin_return_address(0)));
}
