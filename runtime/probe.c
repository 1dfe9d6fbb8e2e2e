/*
 * probe.c - see probe.h.
 */
#include "probe.h"

#include <stdio.h>

#include "sys.h"
#include "worker.h"

/* ThreadSanitizer may deliver the signal at the thread's next system call only. */
#ifdef COIR_TSAN
#define PATIENCE_NS 20000000
#else
#define PATIENCE_NS 1000000000
#endif
#define LOOK_EVERY_NS 20000

enum { IDLE, ASKED, ANSWERING, READY };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool ask(struct coir_worker *worker)
{
    if (!worker->runtime->rescue_signal || !coir_probe_guess(worker))
        return false;
    coir_store_release(&worker->probe.state, ASKED);
    coir_sys_tgkill(worker->tid, worker->runtime->rescue_signal);
    return true;
}

/* Whether there is an answer.  False: nobody will write one any more. */
static bool wait_for_answer(struct coir_probe *probe, int64_t until)
{
    while (coir_load_acquire(&probe->state) != READY) { /* [Q] */
        uint32_t asked = ASKED;

        if (coir_sys_now() >= until && coir_cas_acq_rel(&probe->state, &asked, IDLE))
            return false;
        coir_sys_sleep(LOOK_EVERY_NS);
    }
    return true;
}

static struct coir_task *take_answer(struct coir_worker *worker, int64_t until,
                                     struct coir_backtrace *ret_backtrace)
{
    struct coir_probe *probe = &worker->probe;
    struct coir_task *task;

    if (!wait_for_answer(probe, until))
        return NULL;
    task = probe->task;
    *ret_backtrace = probe->backtrace;
    coir_store_relaxed(&probe->state, IDLE);
    return task;
}

struct coir_task *coir_probe_ask(struct coir_worker *worker, struct coir_backtrace *ret_backtrace)
{
    struct coir_task *task = NULL;

    pthread_mutex_lock(&lock);
    if (ask(worker))
        task = take_answer(worker, coir_sys_now() + PATIENCE_NS, ret_backtrace);
    pthread_mutex_unlock(&lock);
    return task;
}

void coir_probe_ask_all(struct coir_runtime *runtime, coir_probe_fn *fn, void *arg)
{
    bool asked[COIR_WORKERS_MAX];
    struct coir_backtrace backtrace;
    int64_t until;

    pthread_mutex_lock(&lock);
    for (int i = 0; i < runtime->worker_count; i++)
        asked[i] = ask(&runtime->workers[i]);
    until = coir_sys_now() + PATIENCE_NS;
    for (int i = 0; i < runtime->worker_count; i++) {
        struct coir_worker *worker = &runtime->workers[i];
        struct coir_task *task = asked[i] ? take_answer(worker, until, &backtrace) : NULL;

        if (task)
            fn(worker, task, &backtrace, arg);
    }
    pthread_mutex_unlock(&lock);
}

/* Amid a switch the fiber and the stack are not one. */
static bool is_on_its_stack(const struct coir_fiber *fiber, uintptr_t sp)
{
    return sp >= (uintptr_t)fiber->stack.low && sp < (uintptr_t)fiber->stack.top;
}

void coir_probe_answer(struct coir_worker *worker, const void *signal_context)
{
    struct coir_probe *probe = &worker->probe;
    struct coir_fiber *fiber = worker->fiber;
    uint32_t asked = ASKED;

    if (coir_load_relaxed(&probe->state) != ASKED ||
        !coir_cas_acq_rel(&probe->state, &asked, ANSWERING))
        return;
    probe->task = NULL;
    if (coir_worker_is_running_task(worker) &&
        is_on_its_stack(fiber, coir_context_stack_pointer(signal_context))) {
        probe->task = fiber->task;
        coir_backtrace_of_signal(&probe->backtrace, signal_context);
    }
    coir_store_release(&probe->state, READY); /* [Q] */
}

COIR_RACY struct coir_task *coir_probe_guess(struct coir_worker *worker)
{
    struct coir_fiber *fiber = worker->fiber;

    if (!coir_load_acquire(&worker->open) ||
        coir_load_relaxed(&worker->state) != COIR_WORKER_AWAKE || fiber == &worker->scheduler)
        return NULL;
    return fiber->task;
}

/* Names are freed under the lock of the pool. */
COIR_RACY void coir_probe_describe(struct coir_worker *worker, struct coir_task *task,
                                   char buf[COIR_PROBE_NAME_MAX])
{
    struct coir_task_pool *pool = &worker->runtime->tasks;

    buf[0] = '\0';
    pthread_mutex_lock(&pool->lock);
    if (task->fn)
        snprintf(buf, COIR_PROBE_NAME_MAX, "task '%s' (created at %p)", coir_task_name(task),
                 task->site);
    pthread_mutex_unlock(&pool->lock);
}
