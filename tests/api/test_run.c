/*
 * coir_run and coir_run_with: values, options, environment, what is left over
 * at the end, several runs.
 */
#include <dirent.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>

#include "api/forked.h"

Test(run, returns_the_value_of_the_main_task)
{
    int values[] = { 0, 1, 42, -EIO, -ECANCELED };
    for (size_t i = 0; i < LENGTH(values); i++) {
        cr_assert_eq(coir_run(return_int, &values[i]), values[i]);
        cr_assert_eq(coir_run_with(NULL, return_int, &values[i]), values[i]);
    }
}

static int cancel_oneself(UNUSED void *arg)
{
    coir_cancel(coir_current_task());
    return coir_sleep(COIR_FOREVER);
}

Test(run, returns_ecanceled_if_the_main_task_was_cancelled)
{
    cr_assert_eq(coir_run(cancel_oneself, NULL), -ECANCELED);
}

static int cancel_oneself_and_succeed(void *arg)
{
    cancel_oneself(NULL);
    return *(int *)arg;
}

Test(run, returns_the_value_of_a_main_task_that_succeeds_though_cancelled)
{
    int value = 6;
    cr_assert_eq(coir_run(cancel_oneself_and_succeed, &value), 6);
}

/* ------------------------------------------------ options, environment --- */

static int count_workers(void *arg)
{
    coir_stats stats;
    coir_stats_get(&stats);
    *(int64_t *)arg = stats.workers;
    return 0;
}

Test(run, options_set_the_number_of_workers)
{
    unsetenv("COIR_WORKERS");
    for (int n = 1; n <= 9; n++) {
        int64_t workers = 0;
        coir_options options = { .workers = n };
        cr_assert_eq(coir_run_with(&options, count_workers, &workers), 0);
        cr_assert_eq(workers, n);
    }
}

Test(run, environment_overrides_the_number_of_workers)
{
    int64_t workers = 0;
    coir_options options = { .workers = 3 };
    setenv("COIR_WORKERS", "2", 1);
    cr_assert_eq(coir_run_with(&options, count_workers, &workers), 0);
    cr_assert_eq(workers, 2);
    cr_assert_eq(coir_run(count_workers, &workers), 0);
    cr_assert_eq(workers, 2);
}

Test(run, default_is_a_worker_per_cpu_allowed)
{
    unsetenv("COIR_WORKERS");
    cpu_set_t allowed;
    cr_assert_eq(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    int64_t workers = 0;
    cr_assert_eq(coir_run(count_workers, &workers), 0);
    cr_assert_geq(workers, 1);
    cr_assert_leq(workers, CPU_COUNT(&allowed));

    int first = 0;
    while (!CPU_ISSET(first, &allowed))
        first++;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    cr_assert_eq(sched_setaffinity(0, sizeof one, &one), 0);
    cr_assert_eq(coir_run(count_workers, &workers), 0);
    cr_assert_eq(workers, 1);
    cr_assert_eq(sched_getaffinity(0, sizeof one, &one), 0);
    cr_assert_eq(CPU_COUNT(&one), 1);
}

static void assert_refused(const coir_options *options)
{
    atomic_int runs = 0;
    cr_assert_eq(coir_run_with(options, count, &runs), -EINVAL);
    cr_assert_eq(atomic_load(&runs), 0);
}

Test(run, options_that_make_no_sense_are_einval)
{
    unsetenv("COIR_WORKERS");
    coir_options senseless[] = {
        { .workers = -1 },
        { .workers = COIR_WORKERS_MAX + 1 },
        { .driver = -1 },
        { .driver = 99 },
        { .shutdown_grace = -1 },
        { .stack_bytes = SIZE_MAX },
        { .rescue_signal = SIGKILL },
        { .rescue_signal = SIGUSR1 },
        { .rescue_signal = 9999 },
    };
    for (size_t i = 0; i < LENGTH(senseless); i++)
        assert_refused(&senseless[i]);
}

Test(run, worker_numbers_in_the_environment_that_make_no_sense_are_einval)
{
    static const char *const texts[] = { "many", "2x", "-1", "1.5", "257",
                                         "99999999999999999999" };
    for (size_t i = 0; i < LENGTH(texts); i++) {
        setenv("COIR_WORKERS", texts[i], 1);
        assert_refused(NULL);
    }
}

Test(run, other_environment_that_makes_no_sense_is_einval)
{
    setenv("COIR_DRIVER", "abacus", 1);
    assert_refused(NULL);
    unsetenv("COIR_DRIVER");
    setenv("COIR_DEBUG", "gremlins", 1);
    assert_refused(NULL);
}

Test(run, environment_names_the_driver)
{
    setenv("COIR_DRIVER", "io_uring", 1);
    cr_assert_eq(coir_run(return_zero, NULL), 0);
}

static NOINLINE int use_stack(size_t bytes)
{
    volatile unsigned char *frame = __builtin_alloca(bytes);
    for (size_t i = 0; i < bytes; i += 512)
        frame[i] = 1;
    return frame[0];
}

static int use_a_big_stack(void *arg)
{
    return use_stack(*(size_t *)arg);
}

static int use_big_stacks(void *arg)
{
    coir_task *task = coir_create_task(use_a_big_stack, arg);
    while (!coir_task_done(task))
        cr_assert_eq(coir_yield(), 0);
    cr_assert_eq(coir_await(task), 1);
    cr_assert_eq(coir_await(coir_create_task(use_a_big_stack, arg)), 1);
    return use_a_big_stack(arg);
}

Test(run, options_set_the_stack_of_every_task)
{
    size_t used = 900 << 10;
    coir_options options = { .stack_bytes = 1 << 20 };
    cr_assert_eq(coir_run_with(&options, use_big_stacks, &used), 1);
}

Test(run, smallest_stack_is_rounded_up)
{
    size_t used = 8 << 10;
    coir_options options = { .stack_bytes = 1 };
    cr_assert_eq(coir_run_with(&options, use_big_stacks, &used), 1);
}

static int count_own_cpus(void *arg)
{
    cpu_set_t allowed;
    cr_assert_eq(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    *(int *)arg = CPU_COUNT(&allowed);
    return 0;
}

Test(run, cpu_pinning_keeps_workers_on_one_cpu_and_the_caller_free)
{
    cpu_set_t before, after;
    int cpus = 0;
    coir_options options = { .cpu_pinning = 1 };
    cr_assert_eq(sched_getaffinity(0, sizeof before, &before), 0);
    cr_assert_eq(coir_run_with(&options, count_own_cpus, &cpus), 0);
    cr_assert_eq(cpus, 1);
    cr_assert_eq(sched_getaffinity(0, sizeof after, &after), 0);
    cr_assert(CPU_EQUAL(&before, &after));
}

Test(run, without_cpu_pinning_workers_may_use_every_cpu_allowed)
{
    cpu_set_t allowed;
    int cpus = 0;
    cr_assert_eq(sched_getaffinity(0, sizeof allowed, &allowed), 0);
    cr_assert_eq(coir_run(count_own_cpus, &cpus), 0);
    cr_assert_eq(cpus, CPU_COUNT(&allowed));
}

/* A task behind a worker that computes, without a call of coir, until it has
   started elsewhere. */
static int compute_until_child_started(void *started)
{
    coir_task *child = coir_create_task(count, started);
    while (!atomic_load((atomic_int *)started))
        ;
    return coir_await(child);
}

Test(run, tasks_behind_a_busy_worker_start_whatever_the_rescue_signal)
{
    int signals[] = { 0, SIGURG, SIGCHLD, SIGWINCH };
    setenv("COIR_WORKERS", "2", 1);
    for (size_t i = 0; i < LENGTH(signals); i++) {
        atomic_int started = 0;
        coir_options options = { .rescue_signal = signals[i] };
        cr_assert_eq(coir_run_with(&options, compute_until_child_started, &started), 0);
    }
}

static int compute_for_a_while(void *ended)
{
    coir_task *child = coir_create_task(count, ended);
    int64_t until = coir_now() + COIR_MILLISECONDS(20);
    while (coir_now() < until)
        ;
    return coir_await(child);
}

Test(run, without_a_rescue_signal_sends_none)
{
    atomic_int ended = 0;
    coir_stats stats;
    coir_options options = { .rescue_signal = -1 };
    setenv("COIR_WORKERS", "2", 1);
    cr_assert_eq(coir_run_with(&options, compute_for_a_while, &ended), 0);
    coir_stats_get(&stats);
    cr_assert_eq(stats.signals, 0);
}

static int compare_thread(void *arg)
{
    return thread_id() != *(pid_t *)arg;
}

Test(run, never_runs_tasks_on_the_calling_thread)
{
    pid_t caller = thread_id();
    cr_assert_eq(coir_run(compare_thread, &caller), 1);
}

/* -------------------------------------------------------- what is refused --- */

static void run_and_exit_with_errno(UNUSED void *arg)
{
    atomic_int runs = 0;
    setenv("COIR_WORKERS", "2", 1);
    int rc = coir_run(count, &runs);
    _exit(atomic_load(&runs) == 0 && rc < 0 ? -rc : 0);
}

/* Let io_uring_setup() fail with this, as containers do. */
static void forbid_io_uring(int error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { LENGTH(filter), filter };
    cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void run_without_io_uring(void *error)
{
    forbid_io_uring(*(int *)error);
    run_and_exit_with_errno(NULL);
}

static int refusals[] = { EPERM, ENOSYS, ENOMEM };

Test(run, that_insists_on_io_uring_where_it_is_refused_returns_the_errno_and_says_why)
{
    setenv("COIR_DRIVER", "io_uring", 1);
    for (size_t i = 0; i < LENGTH(refusals); i++) {
        struct outcome outcome = in_child(run_without_io_uring, &refusals[i]);
        cr_assert(WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == refusals[i],
                  "status %#x, stderr: %s", outcome.status, outcome.err);
        cr_assert_eq(count_lines(outcome.err), 1, "stderr: %s", outcome.err);
        cr_assert_not_null(strstr(outcome.err, "io_uring"), "stderr: %s", outcome.err);
        cr_assert_null(strstr(outcome.err, "epoll"), "stderr: %s", outcome.err);
    }
}

LOAD_BACKTRACES_FIRST;

static int dump_to_stderr(UNUSED void *arg)
{
    coir_dump(STDERR_FILENO);
    return 0;
}

static void run_twice_without_io_uring(void *error)
{
    forbid_io_uring(*(int *)error);
    cr_assert_eq(coir_run(return_zero, NULL), 0);
    cr_assert_eq(coir_run(dump_to_stderr, NULL), 0);
}

Test(run, where_io_uring_is_refused_uses_epoll_and_says_so_once)
{
    unsetenv("COIR_DRIVER");
    for (size_t i = 0; i < LENGTH(refusals); i++) {
        struct outcome outcome = in_child(run_twice_without_io_uring, &refusals[i]);
        cr_assert_eq(outcome.status, 0, "stderr: %s", outcome.err);
        const char *line = strstr(outcome.err, "refuses io_uring");
        cr_assert_not_null(line, "stderr: %s", outcome.err);
        cr_assert_not_null(strstr(line, "going on with epoll\n"), "stderr: %s", outcome.err);
        cr_assert_null(strstr(line + 1, "refuses"), "stderr: %s", outcome.err);
        cr_assert_not_null(strstr(line, "workers, epoll:"), "stderr: %s", outcome.err);
    }
}

static int run_and_dump(int driver, const char *environment, struct outcome *ret_outcome)
{
    setenv("COIR_DRIVER", environment, 1);
    coir_options options = { .driver = driver };
    int err[2], rc, saved = dup(STDERR_FILENO);
    cr_assert_eq(pipe(err), 0);
    dup2(err[1], STDERR_FILENO);
    rc = coir_run_with(&options, dump_to_stderr, NULL);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(err[1]);
    ssize_t n = read(err[0], ret_outcome->err, sizeof ret_outcome->err - 1);
    ret_outcome->err[n > 0 ? n : 0] = '\0';
    close(err[0]);
    return rc;
}

Test(run, uses_the_driver_of_the_options_else_of_the_environment)
{
    struct outcome outcome;
    cr_assert_eq(run_and_dump(COIR_DRIVER_AUTO, "epoll", &outcome), 0);
    cr_assert_not_null(strstr(outcome.err, "workers, epoll:"), "%s", outcome.err);
    cr_assert_eq(run_and_dump(COIR_DRIVER_EPOLL, "io_uring", &outcome), 0);
    cr_assert_not_null(strstr(outcome.err, "workers, epoll:"), "%s", outcome.err);
}

/* Limits on threads do not hold for root. */
static void run_without_threads(void *arg)
{
    struct rlimit one = { 1, 1 };
    if (getuid() == 0)
        cr_assert_eq(setuid(65534), 0);
    cr_assert_eq(setrlimit(RLIMIT_NPROC, &one), 0);
    run_and_exit_with_errno(arg);
}

Test(run, where_no_thread_can_be_started_is_eagain)
{
    struct outcome outcome = in_child(run_without_threads, NULL);
    cr_assert(WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == EAGAIN,
              "status %#x, stderr: %s", outcome.status, outcome.err);
}

static void run_without_descriptors(void *arg)
{
    int lowest = dup(STDERR_FILENO);
    close(lowest);
    struct rlimit limit = { (rlim_t)lowest, (rlim_t)lowest };
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    run_and_exit_with_errno(arg);
}

Test(run, without_a_free_descriptor_is_emfile)
{
    struct outcome outcome = in_child(run_without_descriptors, NULL);
    cr_assert(WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == EMFILE,
              "status %#x, stderr: %s", outcome.status, outcome.err);
}

/* ---------------------------------------------------------- left over --- */

static uint64_t unowned_so_far(void)
{
    coir_stats stats;
    coir_stats_get(&stats);
    return stats.tasks_unowned;
}

static int leave_sleepers(void *told)
{
    for (int i = 0; i < 10; i++) {
        coir_task *task = coir_create_task(count_cancel, told);
        if (i % 2)
            coir_detach(task);
    }
    return 7;
}

static int leave_sleepers_asleep(void *told)
{
    leave_sleepers(told);
    let_them_wait();
    return 7;
}

Test(run, cancels_and_reaps_what_is_left_over)
{
    atomic_int told = 0;
    uint64_t before = unowned_so_far();
    cr_assert_eq(coir_run(leave_sleepers_asleep, &told), 7);
    cr_assert_eq(atomic_load(&told), 10);
    cr_assert_eq(unowned_so_far() - before, 5);
}

Test(run, lets_left_over_tasks_start_and_tells_them)
{
    atomic_int told = 0;
    cr_assert_eq(coir_run(leave_sleepers, &told), 7);
    cr_assert_eq(atomic_load(&told), 10);
}

static int leave_ended_tasks(void *runs)
{
    for (int i = 0; i < 10; i++) {
        coir_task *unowned = coir_create_task(count, runs);
        cr_assert_not_null(unowned);
    }
    yield_until(runs, 10);
    return -EIO;
}

Test(run, reaps_unowned_tasks_that_have_ended)
{
    atomic_int runs = 0;
    cr_assert_eq(coir_run(leave_ended_tasks, &runs), -EIO);
    cr_assert_eq(atomic_load(&runs), 10);
}

static int spawn_when_cancelled(void *told)
{
    int rc = coir_sleep(COIR_FOREVER);
    cr_assert_eq(rc, -ECANCELED);
    cr_assert_eq(coir_await(coir_create_task(count_cancel, told)), -ECANCELED);
    coir_task *unowned = coir_create_task(count_cancel, told);
    cr_assert_not_null(unowned);
    return rc;
}

static int leave_spawners(void *told)
{
    for (int i = 0; i < 5; i++)
        coir_detach(coir_create_task(spawn_when_cancelled, told));
    let_them_wait();
    return 0;
}

Test(run, cancels_also_what_left_over_tasks_create)
{
    static atomic_int told;
    cr_assert_eq(coir_run(leave_spawners, &told), 0);
    cr_assert_eq(atomic_load(&told), 10);
}

static int shielded_clean_up(void *cleaned)
{
    coir_shield shield;
    int rc = coir_sleep(COIR_FOREVER);
    coir_shield_begin(&shield);
    cr_assert_eq(coir_sleep(COIR_MILLISECONDS(2)), 0);
    coir_shield_end(&shield);
    atomic_fetch_add((atomic_int *)cleaned, 1);
    return rc;
}

static int leave_clean_ups(void *cleaned)
{
    for (int i = 0; i < 5; i++)
        coir_detach(coir_create_task(shielded_clean_up, cleaned));
    let_them_wait();
    return 0;
}

Test(run, waits_for_the_clean_up_of_left_over_tasks)
{
    static atomic_int cleaned;
    cr_assert_eq(coir_run(leave_clean_ups, &cleaned), 0);
    cr_assert_eq(atomic_load(&cleaned), 5);
}

/* -------------------------------------------------------------- grace --- */

static int never_end(UNUSED void *arg)
{
    coir_shield shield;
    coir_shield_begin(&shield);
    coir_sleep(COIR_FOREVER);
    coir_shield_end(&shield);
    return 0;
}

static int spin_for_ever(UNUSED void *arg)
{
    while (coir_yield() <= 0)
        ;
    return 0;
}

static int leave_one_that_never_ends(void *arg)
{
    coir_fn **fn = arg;
    coir_task_options options = { .name = "stubborn" };
    coir_task *unowned = coir_create_task_with(&options, *fn, NULL);
    cr_assert_not_null(unowned);
    let_them_wait();
    return 0;
}

static void run_with_little_grace(void *fn)
{
    coir_options options = { .shutdown_grace = COIR_MILLISECONDS(30) };
    int rc = coir_run_with(&options, leave_one_that_never_ends, fn);
    _exit(rc == -ETIMEDOUT ? 33 : 34);
}

static void assert_grace_passes(coir_fn *fn)
{
    struct outcome outcome = in_child(run_with_little_grace, &fn);
    cr_assert(WIFEXITED(outcome.status), "status %#x", outcome.status);
    cr_assert_eq(WEXITSTATUS(outcome.status), 33, "stderr: %s", outcome.err);
    cr_assert_not_null(strstr(outcome.err, "stubborn"), "stderr: %s", outcome.err);
}

Test(run, that_outlasts_its_grace_is_etimedout_and_names_the_task)
{
    assert_grace_passes(never_end);
}

Test(run, that_outlasts_its_grace_because_a_task_ignores_the_cancel_is_etimedout_too)
{
    assert_grace_passes(spin_for_ever);
}

static int fail_and_leave_one(void *arg)
{
    leave_one_that_never_ends(arg);
    return -EIO;
}

static void fail_with_little_grace(void *fn)
{
    coir_options options = { .shutdown_grace = COIR_MILLISECONDS(30) };
    int rc = coir_run_with(&options, fail_and_leave_one, fn);
    _exit(rc == -EIO ? 33 : 34);
}

Test(run, that_failed_keeps_its_error_though_the_grace_passes)
{
    coir_fn *fn = never_end;
    struct outcome outcome = in_child(fail_with_little_grace, &fn);
    cr_assert(WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == 33);
    cr_assert_not_null(strstr(outcome.err, "stubborn"), "stderr: %s", outcome.err);
}

Test(run, within_its_grace_says_nothing)
{
    static atomic_int cleaned;
    coir_options options = { .shutdown_grace = COIR_FOREVER };
    cr_assert_eq(coir_run_with(&options, leave_clean_ups, &cleaned), 0);
    cr_assert_eq(atomic_load(&cleaned), 5);
}

/* ------------------------------------------------------- several runs --- */

static int nested_run(UNUSED void *arg)
{
    return coir_run(return_zero, NULL);
}

Test(run, inside_a_task_aborts)
{
    expect_abort(nested_run, "coir_run");
}

static void *run_a_group(void *ret_rc)
{
    atomic_int told = 0;
    *(int *)ret_rc = coir_run(leave_sleepers_asleep, &told);
    return NULL;
}

Test(run, works_in_several_threads_at_once)
{
    enum { N = 4 };
    pthread_t threads[N];
    int rc[N];
    for (int i = 0; i < N; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, run_a_group, &rc[i]), 0);
    for (int i = 0; i < N; i++) {
        pthread_join(threads[i], NULL);
        cr_assert_eq(rc[i], 7);
    }
}

static int meet(void *arg)
{
    atomic_int *met = arg;
    atomic_fetch_add(met, 1);
    yield_until(met, 2);
    return 0;
}

static void *run_meet(void *met)
{
    cr_assert_eq(coir_run(meet, met), 0);
    return NULL;
}

Test(run, two_at_once_go_on_side_by_side)
{
    atomic_int met = 0;
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, run_meet, &met), 0);
    cr_assert_eq(coir_run(meet, &met), 0);
    pthread_join(thread, NULL);
}

static int run_in_a_thread(void *met)
{
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, run_meet, met), 0);
    int rc = meet(met);
    pthread_join(thread, NULL);
    return rc;
}

Test(run, works_in_a_thread_that_a_task_started)
{
    atomic_int met = 0;
    cr_assert_eq(coir_run(run_in_a_thread, &met), 0);
}

struct other_run {
    atomic_int told;
    _Atomic(coir_task *) victim;
    atomic_int cancelled; /* the cancel has returned: the run may end */
};

static int publish_and_sleep(void *arg)
{
    struct other_run *other = arg;
    coir_shield shield;
    atomic_store(&other->victim, coir_current_task());
    int rc = count_cancel(&other->told);
    coir_shield_begin(&shield);
    yield_until(&other->cancelled, 1);
    coir_shield_end(&shield);
    return rc;
}

static void *run_victim(void *arg)
{
    cr_assert_eq(coir_run(publish_and_sleep, arg), -ECANCELED);
    return NULL;
}

static int cancel_in_the_other_run(void *arg)
{
    struct other_run *other = arg;
    while (!atomic_load(&other->victim))
        cr_assert_eq(coir_yield(), 0);
    coir_cancel(atomic_load(&other->victim));
    atomic_store(&other->cancelled, 1);
    return 0;
}

Test(run, cancel_works_across_runs)
{
    struct other_run other = { 0 };
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, run_victim, &other), 0);
    cr_assert_eq(coir_run(cancel_in_the_other_run, &other), 0);
    pthread_join(thread, NULL);
    cr_assert_eq(atomic_load(&other.told), 1);
}

static int count_entries(const char *path)
{
    DIR *directory = opendir(path);
    int n = 0;
    while (readdir(directory))
        n++;
    closedir(directory);
    return n;
}

static int sleep_and_yield(void *runs)
{
    coir_task *task = coir_create_task(count, runs);
    cr_assert_eq(coir_yield(), 0);
    cr_assert_eq(coir_sleep(COIR_MICROSECONDS(1)), 0);
    return coir_await(task);
}

Test(run, a_thousand_in_a_row_leave_no_descriptor_and_no_thread, .timeout = 120)
{
    int n = check_scale(1000);
    atomic_int runs = 0;
    cr_assert_eq(coir_run(sleep_and_yield, &runs), 0);
    int descriptors = count_entries("/proc/self/fd");
    for (int i = 0; i < n; i++)
        cr_assert_eq(coir_run(sleep_and_yield, &runs), 0, "run %d", i);
    cr_assert_eq(count_entries("/proc/self/fd"), descriptors);
    cr_assert_eq(atomic_load(&runs), n + 1);
}
