/*
 * runtime.c - the beginning and the end of a run.
 *
 *     coir_run()      configure, start workers, send the main task to the first
 *                     wait for it; SIGINT meanwhile: cancel it
 *                     stopping = 1: every task is cancelled, and woken
 *                     wait until all have ended, at most shutdown_grace
 *                     stop = 1: the workers return, and are joined
 *
 * The thread in coir_run() waits for an eventfd, which is written to when a
 * worker has started, when the main task has ended, when the last task has, and
 * by the SIGINT handler; it then looks which it was.
 */
#include "coir/runtime.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "await.h"
#include "cancel.h"
#include "cpus.h"
#include "deadlock.h"
#include "debug.h"
#include "fork.h"
#include "interrupt.h"
#include "lifecycle.h"
#include "rescue.h"
#include "stall.h"
#include "sys.h"
#include "worker.h"

#define SHUTDOWN_GRACE COIR_SECONDS(10)
#define NAME_THREADS 4
#define DRIVER_THREADS 16
#define CALL_THREADS 32

/* The sanitizers' frames are several times as large. */
#if defined(COIR_ASAN) || defined(COIR_TSAN)
#define STACK_FACTOR 4
#else
#define STACK_FACTOR 1
#endif

/* Configuration. */

static bool has_word(const char *words, const char *word)
{
    size_t len = strlen(word);

    for (; words; words = strchr(words, ',') ? strchr(words, ',') + 1 : NULL)
        if (strncmp(words, word, len) == 0 && (words[len] == ',' || words[len] == '\0'))
            return true;
    return false;
}

static bool all_known(const char *words)
{
    static const char *const known[] = { "autopsy", "locks", "migrate", "noinline", "report" };
    size_t len, i;

    for (; words && *words; words += len + (words[len] == ',')) {
        len = strcspn(words, ",");
        for (i = 0; i < sizeof known / sizeof *known; i++)
            if (strlen(known[i]) == len && memcmp(known[i], words, len) == 0)
                break;
        if (len && i == sizeof known / sizeof *known)
            return false;
    }
    return true;
}

static int complain(const char *what, const char *value)
{
    char line[160];
    int n = snprintf(line, sizeof line, "coir: %s: '%.80s' makes no sense\n", what, value);

    coir_sys_write(2, line, (size_t)n);
    return -EINVAL;
}

static int workers_from_environment(int *ret_workers)
{
    const char *text = getenv("COIR_WORKERS");
    char *end;
    long n;

    if (!text || !*text)
        return 0;
    n = strtol(text, &end, 10);
    if (*end || n < 1 || n > COIR_WORKERS_MAX)
        return complain("COIR_WORKERS", text);
    *ret_workers = (int)n;
    return 0;
}

static int stall_from_environment(int64_t *ret_ns)
{
    const char *text = getenv("COIR_STALL_MS");
    char *end;
    long ms;

    if (*ret_ns || !text || !*text)
        return 0;
    ms = strtol(text, &end, 10);
    if (*end || ms < 0 || ms > INT32_MAX)
        return complain("COIR_STALL_MS", text);
    *ret_ns = COIR_MILLISECONDS(ms);
    return 0;
}

/* That io_uring is forbidden does not change while a process lives. */
static COIR_ATOMIC(uint32_t) forbidden, told;

static int choose_driver(struct coir_runtime *runtime, int kind)
{
    const char *text = getenv("COIR_DRIVER");

    if (kind == COIR_DRIVER_AUTO && text && *text) {
        if (strcmp(text, "epoll") == 0)
            kind = COIR_DRIVER_EPOLL;
        else if (strcmp(text, "io_uring") == 0)
            kind = COIR_DRIVER_IO_URING;
        else
            return complain("COIR_DRIVER", text);
    }
    runtime->any_driver = kind == COIR_DRIVER_AUTO && !coir_load_relaxed(&forbidden);
    runtime->driver = kind == COIR_DRIVER_IO_URING || runtime->any_driver ? &coir_driver_uring
                                                                          : &coir_driver_epoll;
    return 0;
}

/* Any other could kill a program that is started with exec while one is pending. */
static bool ignored_by_default(int signal)
{
    return signal == SIGURG || signal == SIGCHLD || signal == SIGWINCH;
}

static bool options_make_sense(const coir_options *options)
{
    return options->workers >= 0 && options->workers <= COIR_WORKERS_MAX &&
           options->stack_bytes <= COIR_STACK_MOST && options->driver >= COIR_DRIVER_AUTO &&
           options->driver <= COIR_DRIVER_EPOLL && options->shutdown_grace >= 0 &&
           options->stall_ms >= 0 && options->blocking_threads >= 0 &&
           (options->rescue_signal <= 0 || ignored_by_default(options->rescue_signal));
}

static int configure(struct coir_runtime *runtime, const coir_options *options)
{
    const char *debug = getenv("COIR_DEBUG");
    size_t stack_bytes = options->stack_bytes ? options->stack_bytes : COIR_STACK_DEFAULT;
    int rc;

    if (!options_make_sense(options))
        return -EINVAL;
    runtime->worker_count = options->workers;
    runtime->stall_ns = COIR_MILLISECONDS(options->stall_ms);
    rc = workers_from_environment(&runtime->worker_count);
    if (rc == 0)
        rc = stall_from_environment(&runtime->stall_ns);
    if (rc < 0)
        return rc;
    if (!all_known(debug))
        return complain("COIR_DEBUG", debug);
    if (stack_bytes < COIR_STACK_MIN)
        stack_bytes = COIR_STACK_MIN;
    runtime->stack_bytes = (stack_bytes + 4095) / 4096 * 4096 * STACK_FACTOR;
    runtime->inline_tasks = !has_word(debug, "noinline");
    runtime->migrate = has_word(debug, "migrate");
    runtime->report = options->debug || has_word(debug, "report");
    runtime->watches_locks = options->debug || has_word(debug, "locks");
    if (options->debug || has_word(debug, "autopsy"))
        coir_autopsies_be_thorough(&runtime->autopsies);
    runtime->rescue_signal = options->rescue_signal < 0 ? 0
                             : options->rescue_signal ? options->rescue_signal : SIGURG;
    runtime->pin_cpus = options->cpu_pinning;
    if (options->blocking_threads)
        runtime->blocking[COIR_BLOCKING_CALLS].limit = options->blocking_threads;
    runtime->shutdown_grace = options->shutdown_grace ? options->shutdown_grace : SHUTDOWN_GRACE;
    return choose_driver(runtime, options->driver);
}

/* Starting. */

/* Workers take no signals that are meant for the program, but those that a
   fault of their own raises, and the profiler's. */
static void worker_signals(sigset_t *set, int rescue_signal)
{
    static const int taken[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS,
                                 SIGPROF };

    sigfillset(set);
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        sigdelset(set, taken[i]);
    if (rescue_signal)
        sigdelset(set, rescue_signal);
}

static int make_workers(struct coir_runtime *runtime)
{
    int cpus[COIR_WORKERS_MAX], n, allowed = coir_cpus_allowed(cpus, COIR_WORKERS_MAX, &n);
    size_t bytes;

    if (runtime->worker_count == 0)
        runtime->worker_count = allowed;
    runtime->one_cpu = n < 2;
    runtime->max_searchers = runtime->worker_count == 1 ? !runtime->one_cpu : n < 3 ? 1 : 2;
    bytes = (size_t)runtime->worker_count * sizeof *runtime->workers;
    runtime->workers = coir_sys_aligned_alloc(128, bytes);
    if (!runtime->workers)
        return -ENOMEM;
    memset(runtime->workers, 0, bytes);
    for (int i = 0; i < runtime->worker_count; i++) {
        if (coir_worker_init(&runtime->workers[i], runtime, i) < 0)
            return -ENOMEM;
        runtime->workers[i].cpu = n ? cpus[i % n] : -1;
    }
    return 0;
}

/* Returns how many threads have been started, all of them unless *ret_rc < 0. */
static int start_threads(struct coir_runtime *runtime, int *ret_rc)
{
    sigset_t blocked;
    int i = 0, rc = 0;

    worker_signals(&blocked, runtime->rescue_signal);
    coir_sys_thread_mask(SIG_SETMASK, &blocked, &runtime->program_mask);
    coir_sys_thread_mask(SIG_SETMASK, NULL, &runtime->worker_mask);
    for (; i < runtime->worker_count; i++) {
        struct coir_worker *worker = &runtime->workers[i];
        rc = coir_sys_thread_create(&worker->thread, NULL, coir_worker_main, worker);
        if (rc < 0)
            break;
    }
    coir_sys_thread_mask(SIG_SETMASK, &runtime->program_mask, NULL);
    *ret_rc = rc;
    return i;
}

static void stop_threads(struct coir_runtime *runtime, int started)
{
    coir_store_seq_cst(&runtime->stop, 1);
    for (int i = 0; i < started; i++)
        runtime->driver->wake(&runtime->workers[i]);
    for (int i = 0; i < started; i++)
        coir_sys_thread_join(runtime->workers[i].thread);
    for (int i = 0; i < started; i++)
        if (runtime->workers[i].driver_state)
            runtime->driver->release(&runtime->workers[i]);
}

static int start_once(struct coir_runtime *runtime)
{
    int rc, threads;

    coir_store_relaxed(&runtime->started, 0);
    coir_store_relaxed(&runtime->start_error, 0);
    coir_store_relaxed(&runtime->refusal, 0);
    coir_store_seq_cst(&runtime->stop, 0);
    for (int i = 0; i < runtime->worker_count; i++)
        coir_store_relaxed(&runtime->workers[i].open, 0);
    threads = start_threads(runtime, &rc);
    while (coir_load_acquire(&runtime->started) < threads)
        coir_sys_event_wait(runtime->event, INT64_MAX);
    if (rc == 0)
        rc = coir_load_relaxed(&runtime->start_error);
    if (rc < 0)
        stop_threads(runtime, threads);
    return rc;
}

static void tell_of_refusal(struct coir_runtime *runtime, int rc, const char *cure)
{
    char line[256];
    int n;

    if (runtime->any_driver && coir_xchg_acq_rel(&told, 1))
        return;
    n = snprintf(line, sizeof line, "coir: the kernel refuses %s (%s): %s%s\n",
                 runtime->driver->name, strerrorname_np(-rc), cure,
                 runtime->any_driver ? "; going on with epoll" : "");
    coir_sys_write(2, line, (size_t)n);
}

/* All workers use the same driver. */
static int start(struct coir_runtime *runtime)
{
    int rc = start_once(runtime), refusal = coir_load_relaxed(&runtime->refusal);
    const char *cure = refusal && runtime->driver->cure ? runtime->driver->cure(refusal) : NULL;

    if (!cure)
        return rc;
    tell_of_refusal(runtime, refusal, cure);
    if (!runtime->any_driver)
        return refusal;
    if (refusal != -ENOMEM)
        coir_store_relaxed(&forbidden, 1);
    runtime->driver = &coir_driver_epoll;
    return start_once(runtime);
}

static void forget_fiber(struct coir_stack *stack)
{
    coir_context_destroy(&((struct coir_fiber *)stack)->context);
}

static int start_watched(struct coir_runtime *runtime)
{
    int rc = 0;

    if (runtime->stall_ns)
        rc = coir_stall_start(runtime, runtime->stall_ns, &runtime->stall);
    if (rc == 0 && (rc = start(runtime)) < 0)
        coir_stall_stop(runtime->stall);
    return rc;
}

static void destroy_fiber(struct coir_stack *stack, void *arg)
{
    (void)arg;
    forget_fiber(stack);
}

static void release(struct coir_runtime *runtime)
{
    coir_stack_pool_each(&runtime->stacks, destroy_fiber, NULL);
    coir_stack_pool_destroy(&runtime->stacks);
    if (runtime->listed)
        coir_debug_remove(runtime);
    if (runtime->listed && runtime->watches_locks)
        coir_sub_relaxed(&coir_deadlock_runs, 1);
    for (int i = 0; runtime->workers && i < runtime->worker_count; i++)
        coir_worker_destroy(&runtime->workers[i]);
    coir_sys_free(runtime->workers);
    coir_task_pool_destroy(&runtime->tasks);
    coir_autopsies_destroy(&runtime->autopsies);
    for (int i = 0; i < COIR_BLOCKING_POOLS; i++)
        coir_blocking_destroy(&runtime->blocking[i]);
    if (runtime->event >= 0)
        coir_sys_close(runtime->event);
    coir_sys_free(runtime);
}

static int create(const coir_options *options, struct coir_runtime **ret_runtime)
{
    static const coir_options defaults;
    struct coir_runtime *runtime = coir_sys_aligned_alloc(128, sizeof *runtime);
    int rc;

    if (!runtime)
        return -ENOMEM;
    memset(runtime, 0, sizeof *runtime);
    coir_task_pool_init(&runtime->tasks, runtime);
    runtime->tasks.drop_autopsy = coir_autopsy_drop;
    coir_autopsies_init(&runtime->autopsies);
    coir_blocking_init(&runtime->blocking[COIR_BLOCKING_NAMES], NAME_THREADS);
    coir_blocking_init(&runtime->blocking[COIR_BLOCKING_DRIVER], DRIVER_THREADS);
    coir_blocking_init(&runtime->blocking[COIR_BLOCKING_CALLS], CALL_THREADS);
    runtime->event = -1;
    rc = configure(runtime, options ? options : &defaults);
    if (rc == 0)
        rc = coir_stack_pool_init(&runtime->stacks, sizeof(struct coir_fiber),
                                  runtime->stack_bytes);
    runtime->stacks.forget = forget_fiber;
    if (rc == 0)
        rc = make_workers(runtime);
    if (rc == 0)
        rc = runtime->event = coir_sys_eventfd(0, EFD_NONBLOCK);
    if (rc < 0) {
        release(runtime);
        return rc;
    }
    *ret_runtime = runtime;
    return 0;
}

/* Ctrl-C. */

static bool take_interrupt(struct coir_runtime *runtime)
{
    if (!coir_interrupt_take(runtime->event))
        return false; /* another thread's run, or call of this runner, may have it */
    return runtime->has_interrupt = true;
}

static void return_interrupt(struct coir_runtime *runtime)
{
    if (!runtime->has_interrupt)
        return;
    runtime->has_interrupt = false; /* before another thread may take it */
    coir_interrupt_return();
}

/* The main task. */

struct main_call {
    struct coir_runtime *runtime;
    coir_fn *fn;
    void *arg;
};

static int run_main(void *arg)
{
    struct main_call *call = arg;
    struct coir_runtime *runtime = call->runtime;

    runtime->main_value = call->fn(call->arg);
    coir_store_release(&runtime->main_done, 1);
    coir_sys_event_write(runtime->event);
    return 0;
}

/* The main task could not be told that there is no memory for it. */
static int provide_for_main(struct coir_runtime *runtime)
{
    struct coir_worker *first = &runtime->workers[0];

    first->stack_count = (uint32_t)coir_stack_pool_get_batch(&runtime->stacks, 1, &first->stacks);
    return first->stack_count && coir_task_cache_refill(&runtime->tasks, &first->tasks) ? 0
                                                                                      : -ENOMEM;
}

static void submit_main(struct main_call *call)
{
    struct coir_worker *first = &call->runtime->workers[0];
    struct coir_task *task = coir_task_alloc(&call->runtime->tasks, &first->tasks);

    task->fn = run_main;
    task->arg = call;
    task->site = (void *)(uintptr_t)call->fn;
    coir_count(&first->counters.spawned);
    call->runtime->main_task = task;
    coir_worker_send(first, coir_item_of_task(task));
}

static void wait_for_main(struct coir_runtime *runtime)
{
    while (!coir_load_acquire(&runtime->main_done)) {
        coir_sys_event_wait(runtime->event, INT64_MAX);
        if (runtime->has_interrupt && coir_interrupt_came())
            coir_cancel_task(runtime->main_task,
                             &(struct coir_blame){ .kind = COIR_CAUSE_INTERRUPT });
    }
}

/* The end. */

/* Whether every task has ended.  Nothing can be created once that is so.  [E] */
static bool is_quiet(struct coir_runtime *runtime)
{
    uint64_t finished = 0, spawned = 0;

    coir_fence_seq_cst();
    for (int i = 0; i < runtime->worker_count; i++)
        finished += coir_load_acquire(&runtime->workers[i].counters.finished) +
                    coir_load_acquire(&runtime->workers[i].counters.inlined);
    for (int i = 0; i < runtime->worker_count; i++)
        spawned += coir_load_acquire(&runtime->workers[i].counters.spawned);
    spawned += coir_load_acquire(&runtime->spawned);
    return finished == spawned;
}

void coir_runtime_check_quiet(struct coir_runtime *runtime)
{
    if (is_quiet(runtime))
        coir_sys_event_write(runtime->event);
}

static void wake_fiber(struct coir_stack *stack, void *arg)
{
    (void)arg;
    coir_unpark((struct coir_fiber *)stack);
}

/*
 * Tell every worker that the runtime is stopping.  A worker counts a finished
 * task with a plain store, and then looks at `stopping` with a plain load.  The
 * membarrier orders the two on every running thread: afterwards either the count
 * is seen here, or `stopping` there.
 *
 * Returns false where the kernel has no membarrier.
 */
static bool announce_stop(struct coir_runtime *runtime)
{
    coir_store_seq_cst(&runtime->stopping, 1);
    coir_calm_ends(&coir_cancel_epoch); /* [P] */
    coir_fence_seq_cst();
    return coir_sys_membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0;
}

/* Cancel what still runs, and wait for it. */
static int wind_up(struct coir_runtime *runtime)
{
    int64_t now = coir_sys_now(), deadline, longest = INT64_MAX;

    if (__builtin_add_overflow(now, runtime->shutdown_grace, &deadline))
        deadline = INT64_MAX;
    if (runtime->report)
        coir_debug_dump_left(
            runtime, "coir: the main task has returned; these are cancelled:\n", 2);
    if (!announce_stop(runtime))
        longest = COIR_MILLISECONDS(1);
    coir_stack_pool_each(&runtime->stacks, wake_fiber, NULL);
    while (!is_quiet(runtime)) {
        now = deadline == INT64_MAX ? 0 : coir_sys_now();
        if (now >= deadline) {
            coir_debug_dump_left(
                runtime, "coir: tasks that did not end within shutdown_grace:\n", 2);
            return -ETIMEDOUT;
        }
        coir_sys_event_wait(runtime->event,
                            deadline - now < longest ? deadline - now : longest);
    }
    return 0;
}

static int open_runtime(const coir_options *options, struct coir_runtime **ret_runtime)
{
    struct coir_runtime *runtime;
    int rc = create(options, &runtime);

    if (rc < 0)
        return rc;
    if (runtime->autopsies.thorough)
        coir_backtrace_load();
    rc = provide_for_main(runtime);
    coir_sys_membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
    if (rc == 0 && runtime->rescue_signal)
        rc = coir_rescue_install(runtime->rescue_signal);
    if (rc == 0)
        rc = coir_stack_fault_install(coir_debug_describe_stack);
    if (rc == 0 && (rc = start_watched(runtime)) < 0)
        coir_stack_fault_uninstall();
    if (rc < 0) {
        release(runtime);
        return rc;
    }
    coir_debug_add(runtime);
    runtime->listed = true;
    if (runtime->watches_locks)
        coir_add_relaxed(&coir_deadlock_runs, 1);
    *ret_runtime = runtime;
    return 0;
}

int coir_runtime_open(const coir_options *options, struct coir_runtime **ret_runtime)
{
    int rc = coir_is_forked() ? -ECHILD : coir_fork_enter();

    if (rc < 0)
        return rc;
    rc = open_runtime(options, ret_runtime);
    if (rc < 0)
        coir_fork_leave();
    return rc;
}

int coir_runtime_close(struct coir_runtime *runtime)
{
    int rc = wind_up(runtime);

    coir_stall_stop(runtime->stall);
    if (rc == 0)
        rc = coir_blocking_stop(runtime);
    return_interrupt(runtime);
    if (rc < 0)
        return rc; /* what still runs keeps its memory */
    while (coir_load_seq_cst(&runtime->visitors))
        coir_sys_yield(); /* they are about to wake a worker, and to return */
    stop_threads(runtime, runtime->worker_count);
    coir_stack_fault_uninstall();
    release(runtime);
    coir_fork_leave();
    return 0;
}

static int run_main_task(struct main_call *call)
{
    struct coir_runtime *runtime = call->runtime;

    take_interrupt(runtime);
    submit_main(call);
    wait_for_main(runtime);
    return runtime->main_value == -ECANCELED && coir_load_relaxed(&runtime->gave_up)
               ? -ENOMEM
               : runtime->main_value;
}

int coir_run_with(const coir_options *options, coir_fn *fn, void *arg)
{
    struct coir_runtime *runtime;
    int rc, value;

    if (coir_current_worker())
        coir_misuse("coir_run", "called inside a task");
    rc = coir_runtime_open(options, &runtime);
    if (rc < 0)
        return rc;
    value = run_main_task(&(struct main_call){ runtime, fn, arg });
    rc = coir_runtime_close(runtime);
    return value < 0 || rc == 0 ? value : rc;
}

int coir_run(coir_fn *fn, void *arg)
{
    return coir_run_with(NULL, fn, arg);
}

/* The same for a runner, which may have run others before. */
bool coir_runtime_run_interruptibly(struct coir_runtime *runtime, coir_fn *fn, void *arg,
                                    int *ret_value)
{
    struct main_call call = { runtime, fn, arg };
    struct coir_task *task;

    if (!take_interrupt(runtime))
        return false;
    coir_store_relaxed(&runtime->main_done, 0);
    task = coir_task_make_foreign(runtime, NULL, run_main, &call, (void *)(uintptr_t)fn, 0);
    *ret_value = -ENOMEM;
    if (task) {
        runtime->main_task = task;
        coir_worker_send(coir_worker_rested(&runtime->workers[0]), coir_item_of_task(task));
        wait_for_main(runtime);
        *ret_value = runtime->main_value;
        runtime->main_task = NULL;
        coir_join(task);
    }
    return_interrupt(runtime);
    return true;
}
