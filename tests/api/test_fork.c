/*
 * A process that forks while it has a run: the child's runtime is dead, and every call
 * says so; the parent's goes on as if nothing had happened.
 *
 * FORKED() has a row for every public function, which tests/rules/coverage.py checks.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <spawn.h>

#include "api/forked.h"

extern char **environ;

/* What the task that forks has at hand. */
static struct {
    coir_task *task;
    coir_timeout *timeout;
    coir_shield *shield;
    coir_group *group;
    coir_future *future;
    coir_runner *runner;
    coir_local key;
    int pipe[2]; /* with a byte in it */
    coir_call call;
    char buf[8];
    size_t done;
    coir_stats stats;
    coir_group other_group;
    coir_timeout other_timeout;
    coir_shield other_shield;
    coir_future other_future;
    coir_mutex mutex;
    coir_rwlock rwlock;
    coir_cond cond;
    coir_event event;
    coir_semaphore semaphore;
    coir_barrier barrier;
    coir_once once;
    coir_queue queue;
    void *value;
} here;

struct row {
    const char *function;
    int64_t (*call)(void);
    int64_t expected;
};

#define FORKED(name, expected, call)                                         \
    static int64_t name##_in_child(void)                                     \
    {                                                                        \
        return (int64_t)(call);                                              \
    }                                                                        \
    static const struct row name##_row = { #name, name##_in_child, expected };
#define REFUSED(name, call) FORKED(name, -ECHILD, call)
#define HARMLESS(name, call) FORKED(name, 0, ((call), 0))

REFUSED(coir_run, coir_run(return_zero, NULL))
REFUSED(coir_run_with, coir_run_with(NULL, return_zero, NULL))
REFUSED(coir_runner_open, coir_runner_open(&here.runner, NULL))
REFUSED(coir_runner_run, coir_runner_run(here.runner, return_zero, NULL))
REFUSED(coir_runner_close, coir_runner_close(here.runner))
FORKED(coir_current_runner, 0, coir_current_runner() != NULL)
FORKED(coir_submit, 0, coir_submit(here.runner, return_zero, NULL) != NULL)
FORKED(coir_submit_copy, 0, coir_submit_copy(here.runner, return_zero, here.buf, 8) != NULL)
REFUSED(coir_join, coir_join(here.task))

FORKED(coir_create_task, 0, coir_create_task(return_zero, NULL) != NULL)
FORKED(coir_create_task_copy, 0, coir_create_task_copy(return_zero, here.buf, 8) != NULL)
FORKED(coir_create_task_with, 0, coir_create_task_with(NULL, return_zero, NULL) != NULL)
REFUSED(coir_await, coir_await(here.task))
REFUSED(coir_wait_for, coir_wait_for(here.task, COIR_SECONDS(1)))
REFUSED(coir_cancel_await, coir_cancel_await(NULL))
HARMLESS(coir_cancel, coir_cancel(here.task))
HARMLESS(coir_detach, coir_detach(here.task))
FORKED(coir_task_done, true, coir_task_done(here.task))
FORKED(coir_task_name, 0, strcmp(coir_task_name(here.task), "sleeper"))
FORKED(coir_current_task, 0, coir_current_task() != NULL)
REFUSED(coir_yield, coir_yield())
REFUSED(coir_check, coir_check())
REFUSED(coir_gather_array, coir_gather_array(&here.call, 1) == here.call.value ? -ECHILD : 1)
REFUSED(coir_gather_all, coir_gather_all(&here.call, 1))
REFUSED(coir_race, coir_race(&here.call, 1))
REFUSED(coir_wait_any, coir_wait_any(&here.task, 1))

HARMLESS(coir_group_init, coir_group_init(&here.other_group))
HARMLESS(coir_group_init_with,
         coir_group_init_with(&here.other_group, &(coir_group_options){ .limit = 1 }))
REFUSED(coir_group_create_task, coir_group_create_task(here.group, return_zero, NULL))
REFUSED(coir_group_create_task_copy,
        coir_group_create_task_copy(here.group, return_zero, here.buf, 8))
REFUSED(coir_group_create_task_with,
        coir_group_create_task_with(here.group, NULL, return_zero, NULL))
HARMLESS(coir_group_cancel, coir_group_cancel(here.group))
REFUSED(coir_group_wait, coir_group_wait(here.group))
REFUSED(coir_group_cancel_wait, coir_group_cancel_wait(here.group))
HARMLESS(coir_shield_begin, coir_shield_begin(&here.other_shield))
HARMLESS(coir_shield_begin_for, coir_shield_begin_for(&here.other_shield, COIR_SECONDS(1)))
HARMLESS(coir_shield_end, coir_shield_end(here.shield))
REFUSED(coir_local_create, coir_local_create(&here.key, NULL))
REFUSED(coir_local_set, coir_local_set(here.key, NULL))
FORKED(coir_local_get, 0, coir_local_get(here.key) != NULL)

FORKED(coir_now, true, coir_now() > 0)
REFUSED(coir_sleep, coir_sleep(COIR_SECONDS(1000)))
REFUSED(coir_sleep_until, coir_sleep_until(COIR_FOREVER))
HARMLESS(coir_timeout_begin, coir_timeout_begin(&here.other_timeout, COIR_SECONDS(1)))
HARMLESS(coir_timeout_begin_at, coir_timeout_begin_at(&here.other_timeout, COIR_FOREVER))
HARMLESS(coir_timeout_reschedule, coir_timeout_reschedule(here.timeout, COIR_FOREVER))
REFUSED(coir_timeout_end, coir_timeout_end(here.timeout))
FORKED(coir_deadline, COIR_FOREVER, coir_deadline())

HARMLESS(coir_future_init, coir_future_init(&here.other_future))
REFUSED(coir_future_set, coir_future_set(here.future, NULL))
REFUSED(coir_future_fail, coir_future_fail(here.future, -EIO))
FORKED(coir_future_done, true, coir_future_done(here.future))
REFUSED(coir_future_await, coir_future_await(here.future, &here.value))
HARMLESS(coir_future_destroy, coir_future_destroy(here.future))
REFUSED(coir_to_thread, coir_to_thread(return_zero, NULL))

REFUSED(coir_read, coir_read(here.pipe[0], here.buf, 1))
REFUSED(coir_write, coir_write(here.pipe[1], here.buf, 1))
REFUSED(coir_read_exact, coir_read_exact(here.pipe[0], here.buf, 1, NULL))
REFUSED(coir_write_all, coir_write_all(here.pipe[1], here.buf, 1))
REFUSED(coir_write_all_from, coir_write_all_from(here.pipe[1], here.buf, 1, &here.done))
REFUSED(coir_wait_fd, coir_wait_fd(here.pipe[0], POLLIN))
REFUSED(coir_close, coir_close(here.pipe[0]))
REFUSED(coir_open, coir_open("/dev/null", O_RDONLY, 0))
REFUSED(coir_listen, coir_listen("127.0.0.1", "0"))
REFUSED(coir_accept, coir_accept(here.pipe[0]))
REFUSED(coir_connect, coir_connect("127.0.0.1", "1"))

HARMLESS(coir_dump, coir_dump(STDERR_FILENO))
FORKED(coir_stats_get, 0, (coir_stats_get(&here.stats), here.stats.workers))
FORKED(coir_strerror, 0, strcmp(coir_strerror(0), "success"))
FORKED(coir_err_name, 0, strcmp(coir_err_name(-ECHILD), "ECHILD"))

REFUSED(coir_mutex_lock, coir_mutex_lock(&here.mutex))
HARMLESS(coir_mutex_lock_always, coir_mutex_lock_always(&here.mutex))
REFUSED(coir_mutex_try_lock, coir_mutex_try_lock(&here.mutex))
HARMLESS(coir_mutex_unlock, coir_mutex_unlock(&here.mutex))
REFUSED(coir_rwlock_read_lock, coir_rwlock_read_lock(&here.rwlock))
REFUSED(coir_rwlock_write_lock, coir_rwlock_write_lock(&here.rwlock))
REFUSED(coir_rwlock_try_read_lock, coir_rwlock_try_read_lock(&here.rwlock))
REFUSED(coir_rwlock_try_write_lock, coir_rwlock_try_write_lock(&here.rwlock))
HARMLESS(coir_rwlock_unlock, coir_rwlock_unlock(&here.rwlock))
REFUSED(coir_cond_wait, coir_cond_wait(&here.cond, &here.mutex))
HARMLESS(coir_cond_notify, coir_cond_notify(&here.cond))
HARMLESS(coir_cond_notify_all, coir_cond_notify_all(&here.cond))
REFUSED(coir_event_wait, coir_event_wait(&here.event))
HARMLESS(coir_event_set, coir_event_set(&here.event))
HARMLESS(coir_event_clear, coir_event_clear(&here.event))
FORKED(coir_event_is_set, true, coir_event_is_set(&here.event))
HARMLESS(coir_semaphore_init, coir_semaphore_init(&here.semaphore, 1))
HARMLESS(coir_semaphore_init_bounded, coir_semaphore_init_bounded(&here.semaphore, 1))
REFUSED(coir_semaphore_acquire, coir_semaphore_acquire(&here.semaphore))
REFUSED(coir_semaphore_try_acquire, coir_semaphore_try_acquire(&here.semaphore))
HARMLESS(coir_semaphore_release, coir_semaphore_release(&here.semaphore))
HARMLESS(coir_barrier_init, coir_barrier_init(&here.barrier, 1))
REFUSED(coir_barrier_wait, coir_barrier_wait(&here.barrier))
HARMLESS(coir_barrier_reset, coir_barrier_reset(&here.barrier))
HARMLESS(coir_barrier_abort, coir_barrier_abort(&here.barrier))
REFUSED(coir_once_run, coir_once_run(&here.once, return_zero, NULL))

REFUSED(coir_queue_init, coir_queue_init(&here.queue, 1, 1))
REFUSED(coir_queue_init_with, coir_queue_init_with(&here.queue, &(coir_queue_options){ 0 }))
REFUSED(coir_queue_put, coir_queue_put(&here.queue, here.buf))
REFUSED(coir_queue_get, coir_queue_get(&here.queue, here.buf))
REFUSED(coir_queue_try_put, coir_queue_try_put(&here.queue, here.buf))
REFUSED(coir_queue_try_get, coir_queue_try_get(&here.queue, here.buf))
REFUSED(coir_queue_put_many, coir_queue_put_many(&here.queue, here.buf, 1))
REFUSED(coir_queue_get_many, coir_queue_get_many(&here.queue, here.buf, 1))
HARMLESS(coir_queue_close, coir_queue_close(&here.queue))
HARMLESS(coir_queue_shutdown, coir_queue_shutdown(&here.queue))
FORKED(coir_queue_size, 0, coir_queue_size(&here.queue))
FORKED(coir_queue_is_closed, true, coir_queue_is_closed(&here.queue))
REFUSED(coir_queue_task_done, coir_queue_task_done(&here.queue))
REFUSED(coir_queue_join, coir_queue_join(&here.queue))
HARMLESS(coir_queue_destroy, coir_queue_destroy(&here.queue))

HARMLESS(coir_select_put, coir_select_put(&here.queue, here.buf))
HARMLESS(coir_select_get, coir_select_get(&here.queue, here.buf))
HARMLESS(coir_select_event, coir_select_event(&here.event))
HARMLESS(coir_select_future, coir_select_future(here.future, NULL))
HARMLESS(coir_select_task, coir_select_task(here.task))
HARMLESS(coir_select_fd, coir_select_fd(here.pipe[0], POLLIN))
REFUSED(coir_select, coir_select(&(coir_select_case){ 0 }, 1))
REFUSED(coir_try_select, coir_try_select(&(coir_select_case){ 0 }, 1))

#define ROW(name) &name##_row

static const struct row *const rows[] = {
    ROW(coir_run), ROW(coir_run_with), ROW(coir_runner_open), ROW(coir_runner_run),
    ROW(coir_runner_close), ROW(coir_current_runner), ROW(coir_submit), ROW(coir_submit_copy),
    ROW(coir_join), ROW(coir_create_task), ROW(coir_create_task_copy),
    ROW(coir_create_task_with), ROW(coir_await), ROW(coir_wait_for), ROW(coir_cancel_await),
    ROW(coir_cancel), ROW(coir_detach), ROW(coir_task_done), ROW(coir_task_name),
    ROW(coir_current_task), ROW(coir_yield), ROW(coir_check), ROW(coir_gather_array),
    ROW(coir_gather_all), ROW(coir_race), ROW(coir_wait_any), ROW(coir_group_init),
    ROW(coir_group_init_with), ROW(coir_group_create_task), ROW(coir_group_create_task_copy),
    ROW(coir_group_create_task_with), ROW(coir_group_cancel), ROW(coir_group_wait),
    ROW(coir_group_cancel_wait), ROW(coir_shield_begin), ROW(coir_shield_begin_for),
    ROW(coir_shield_end), ROW(coir_local_create), ROW(coir_local_set), ROW(coir_local_get),
    ROW(coir_now), ROW(coir_sleep), ROW(coir_sleep_until), ROW(coir_timeout_begin),
    ROW(coir_timeout_begin_at), ROW(coir_timeout_reschedule), ROW(coir_timeout_end),
    ROW(coir_deadline), ROW(coir_future_init), ROW(coir_future_set), ROW(coir_future_fail),
    ROW(coir_future_done), ROW(coir_future_await), ROW(coir_future_destroy),
    ROW(coir_to_thread), ROW(coir_read), ROW(coir_write), ROW(coir_read_exact),
    ROW(coir_write_all), ROW(coir_write_all_from), ROW(coir_wait_fd), ROW(coir_close),
    ROW(coir_open), ROW(coir_listen), ROW(coir_accept), ROW(coir_connect), ROW(coir_dump),
    ROW(coir_stats_get), ROW(coir_strerror), ROW(coir_err_name),
    ROW(coir_mutex_lock), ROW(coir_mutex_lock_always), ROW(coir_mutex_try_lock),
    ROW(coir_mutex_unlock), ROW(coir_rwlock_read_lock), ROW(coir_rwlock_write_lock),
    ROW(coir_rwlock_try_read_lock), ROW(coir_rwlock_try_write_lock), ROW(coir_rwlock_unlock),
    ROW(coir_cond_wait), ROW(coir_cond_notify), ROW(coir_cond_notify_all), ROW(coir_event_wait),
    ROW(coir_event_set), ROW(coir_event_clear), ROW(coir_event_is_set), ROW(coir_semaphore_init),
    ROW(coir_semaphore_init_bounded), ROW(coir_semaphore_acquire),
    ROW(coir_semaphore_try_acquire), ROW(coir_semaphore_release), ROW(coir_barrier_init),
    ROW(coir_barrier_wait), ROW(coir_barrier_reset), ROW(coir_barrier_abort), ROW(coir_once_run),
    ROW(coir_queue_init), ROW(coir_queue_init_with), ROW(coir_queue_put), ROW(coir_queue_get),
    ROW(coir_queue_try_put), ROW(coir_queue_try_get), ROW(coir_queue_put_many),
    ROW(coir_queue_get_many), ROW(coir_queue_close), ROW(coir_queue_shutdown),
    ROW(coir_queue_size), ROW(coir_queue_is_closed), ROW(coir_queue_task_done),
    ROW(coir_queue_join), ROW(coir_queue_destroy), ROW(coir_select_put), ROW(coir_select_get),
    ROW(coir_select_event), ROW(coir_select_future), ROW(coir_select_task), ROW(coir_select_fd),
    ROW(coir_select), ROW(coir_try_select),
};

/* In a child, where Criterion is not: it exits with 1 and says why. */
static void must(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "not so in the child: %s\n", what);
    _exit(1);
}

static void make_every_call(UNUSED void *arg)
{
    for (size_t i = 0; i < LENGTH(rows); i++) {
        int64_t got = rows[i]->call();
        if (got == rows[i]->expected)
            continue;
        fprintf(stderr, "%s: %lld\n", rows[i]->function, (long long)got);
        _exit(1);
    }
}

static void assert_ended_well(const struct outcome *outcome)
{
    cr_assert_eq(outcome->status, 0, "status %#x, stderr: %s", outcome->status, outcome->err);
    cr_assert_eq(outcome->err[0], '\0', "stderr: %s", outcome->err);
}

static void expect_refusals(void)
{
    struct outcome outcome = in_child(make_every_call, NULL);
    assert_ended_well(&outcome);
}

/* Call fn with everything open, and then close it again. */
static int with_all_at_hand(void (*fn)(void))
{
    coir_task_options named = { .name = "sleeper" };
    coir_timeout timeout;
    coir_shield shield;
    coir_group group;
    coir_future future;
    here.call = (coir_call){ return_zero, NULL, 0 };
    here.task = coir_create_task_with(&named, sleep_forever, NULL);
    here.runner = coir_current_runner();
    cr_assert_eq(coir_local_create(&here.key, NULL), 0);
    cr_assert_eq(coir_local_set(here.key, &here), 0);
    cr_assert_eq(pipe(here.pipe), 0);
    cr_assert_eq(write(here.pipe[1], "x", 1), 1);
    coir_future_init(&future);
    coir_timeout_begin(&timeout, COIR_SECONDS(1000));
    coir_shield_begin(&shield);
    coir_group_init(&group);
    here.future = &future;
    here.timeout = &timeout;
    here.shield = &shield;
    here.group = &group;

    fn();

    cr_assert_eq(coir_group_create_task(&group, return_zero, NULL), 0);
    cr_assert_eq(coir_group_wait(&group), 0);
    coir_shield_end(&shield);
    cr_assert_eq(coir_timeout_end(&timeout), 0);
    cr_assert_eq(coir_future_set(&future, NULL), 0);
    coir_future_destroy(&future);
    cr_assert_eq(coir_read(here.pipe[0], here.buf, 8), 1);
    cr_assert_eq(coir_close(here.pipe[0]), 0);
    cr_assert_eq(coir_close(here.pipe[1]), 0);
    cr_assert_eq(coir_local_get(here.key), &here);
    cr_assert_eq(coir_cancel_await(here.task), -ECANCELED);
    return 0;
}

/* --------------------------------------------------------- every call --- */

RunTest(fork, in_a_task_every_call_in_the_child_says_echild)
{
    return with_all_at_hand(expect_refusals);
}

static int fork_inline(UNUSED void *arg)
{
    expect_refusals();
    return 5;
}

static void fork_in_an_awaited_task(void)
{
    cr_assert_eq(coir_await(coir_create_task(fork_inline, NULL)), 5);
}

RunTest(fork, in_a_task_that_runs_inline_too)
{
    return with_all_at_hand(fork_in_an_awaited_task);
}

static void *fork_in_thread(UNUSED void *arg)
{
    expect_refusals();
    return NULL;
}

static void fork_in_a_thread_of_the_programs(void)
{
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, fork_in_thread, NULL), 0);
    pthread_join(thread, NULL);
}

RunTest(fork, in_a_thread_of_the_programs_while_a_run_lasts_too)
{
    return with_all_at_hand(fork_in_a_thread_of_the_programs);
}

static void fork_in_a_blocking_call(void)
{
    cr_assert_eq(coir_to_thread(fork_inline, NULL), 5);
}

RunTest(fork, in_a_blocking_call_too)
{
    return with_all_at_hand(fork_in_a_blocking_call);
}

static void make_every_call_in_a_grandchild(UNUSED void *arg)
{
    pid_t child = fork();
    int status;
    must(child >= 0, "fork");
    if (child == 0) {
        make_every_call(NULL);
        _exit(0);
    }
    must(waitpid(child, &status, 0) == child && status == 0, "the grandchild ended well");
}

static void fork_twice(void)
{
    struct outcome outcome = in_child(make_every_call_in_a_grandchild, NULL);
    assert_ended_well(&outcome);
}

RunTest(fork, in_the_child_changes_nothing)
{
    return with_all_at_hand(fork_twice);
}

static void run_in_child(void *value)
{
    must(coir_run(return_int, value) == *(int *)value, "the child's own run");
}

static void expect_own_run(int value)
{
    struct outcome outcome = in_child(run_in_child, &value);
    assert_ended_well(&outcome);
}

Test(fork, while_there_is_no_run_leaves_the_child_free_to_have_one)
{
    expect_own_run(4);
    cr_assert_eq(coir_run(return_zero, NULL), 0);
    expect_own_run(5);
    coir_options senseless = { .workers = -1 };
    cr_assert_eq(coir_run_with(&senseless, return_zero, NULL), -EINVAL);
    expect_own_run(6);
}

/* ---------------------------------------------- the child as a process --- */

static int fork_and_assert(void (*body)(void *))
{
    struct outcome outcome = in_child(body, NULL);
    assert_ended_well(&outcome);
    return 0;
}

static void get_the_rescue_signal(UNUSED void *arg)
{
    for (int i = 0; i < 100; i++) {
        raise(SIGURG);
        kill(getpid(), SIGURG);
    }
}

RunTest(fork, the_rescue_signal_does_no_harm_in_the_child)
{
    return fork_and_assert(get_the_rescue_signal);
}

static void look_for_rings(UNUSED void *arg)
{
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "re");
    must(maps != NULL, "/proc/self/maps");
    while (fgets(line, sizeof line, maps))
        must(!strstr(line, "io_uring"), line);
    fclose(maps);
}

RunTest(fork, rings_are_not_the_childs)
{
    return fork_and_assert(look_for_rings);
}

static struct outcome exec_shell(const char *command)
{
    struct outcome outcome = { 0 };
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", command, NULL);
        _exit(127);
    }
    cr_assert_eq(waitpid(child, &outcome.status, 0), child);
    return outcome;
}

static void assert_exit(int status, int code)
{
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == code, "status %#x", status);
}

static void assert_killed(int status, int signal)
{
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == signal, "status %#x", status);
}

RunTest(fork, and_exec_run_another_program)
{
    assert_exit(exec_shell("exit 7").status, 7);
    return 0;
}

/* Workers block signals; their children do not. */
static int signals_end_programs(UNUSED void *arg)
{
    assert_killed(exec_shell("kill -TERM $$; exit 1").status, SIGTERM);
    assert_killed(exec_shell("kill -USR1 $$; exit 1").status, SIGUSR1);
    return 0;
}

RunTest(fork, and_exec_start_a_program_that_signals_reach)
{
    signals_end_programs(NULL);
    return coir_to_thread(signals_end_programs, NULL);
}

RunTest(fork, leaves_a_mask_alone_that_the_task_has_set)
{
    sigset_t mine, old;
    sigfillset(&mine);
    sigdelset(&mine, SIGQUIT);
    pthread_sigmask(SIG_SETMASK, &mine, &old);
    struct outcome outcome = exec_shell("kill -TERM $$; exit 1");
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    assert_exit(outcome.status, 1);
    return 0;
}

/* It is the library that puts the default back. */
static int fork_and_interrupt(UNUSED void *arg)
{
    pid_t child = fork();
    int status;
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
        kill(getpid(), SIGINT);
        _exit(3);
    }
    must(waitpid(child, &status, 0) == child, "waitpid");
    must(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT, "SIGINT ended the child");
    must(coir_sleep(COIR_MILLISECONDS(1)) == 0, "the parent was not interrupted");
    return 0;
}

static void run_and_interrupt_the_child(UNUSED void *arg)
{
    signal(SIGINT, SIG_DFL);
    must(coir_run(fork_and_interrupt, NULL) == 0, "the run");
}

Test(fork, an_interrupt_ends_the_child_and_leaves_the_parent_alone)
{
    struct outcome outcome = in_child(run_and_interrupt_the_child, NULL);
    assert_ended_well(&outcome);
}

static int exits;

static void count_exit(void)
{
    if (++exits == 1)
        _exit(9);
}

RunTest(fork, the_child_may_exit)
{
    pid_t child = fork();
    int status;
    if (child == 0) {
        atexit(count_exit);
        exit(3);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    assert_exit(status, 9);
    return 0;
}

/* --------------------------------------------- returning in the child --- */

static int fork_and_return(void *ret_child)
{
    *(pid_t *)ret_child = fork();
    if (*(pid_t *)ret_child == 0)
        become_plain();
    return 0;
}

static void reap_aborted(pid_t child)
{
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    assert_killed(status, SIGABRT);
}

static void return_in_child(void *start)
{
    must((*(int (**)(void))start)() == 0, "the parent went on");
}

static pid_t its_child;

static int await_it(UNUSED void *arg)
{
    int rc = coir_await(coir_create_task(fork_and_return, &its_child));
    if (its_child == 0)
        must(false, "a task returned to its awaiter");
    reap_aborted(its_child);
    return rc;
}

static int wait_for_it_elsewhere(UNUSED void *arg)
{
    coir_task *task = coir_create_task(fork_and_return, &its_child);
    while (!coir_task_done(task))
        if (coir_yield() < 0)
            must(false, "a task went on in the child");
    reap_aborted(its_child);
    return coir_await(task);
}

static int call_it_on_a_thread(UNUSED void *arg)
{
    int rc = coir_to_thread(fork_and_return, &its_child);
    if (its_child == 0)
        must(false, "a call returned to its task");
    reap_aborted(its_child);
    return rc;
}

static int run_await(void)
{
    return coir_run(await_it, NULL);
}

static int run_elsewhere(void)
{
    return coir_run(wait_for_it_elsewhere, NULL);
}

static int run_on_a_thread(void)
{
    return coir_run(call_it_on_a_thread, NULL);
}

static int run_as_main(void)
{
    int rc = coir_run(fork_and_return, &its_child);
    reap_aborted(its_child);
    return rc;
}

static void expect_one_line(int (*start)(void), const char *words)
{
    struct outcome outcome = in_child(return_in_child, &start);
    cr_assert_eq(outcome.status, 0, "status %#x, stderr: %s", outcome.status, outcome.err);
    cr_assert_eq(count_lines(outcome.err), 1, "stderr: %s", outcome.err);
    cr_assert_not_null(strstr(outcome.err, words), "stderr: %s", outcome.err);
}

Test(fork, a_task_that_returns_in_the_child_ends_it_with_a_line)
{
    expect_one_line(run_await, "has returned in the child");
    expect_one_line(run_elsewhere, "has returned in the child");
    expect_one_line(run_as_main, "has returned in the child");
}

Test(fork, a_blocking_call_that_returns_in_the_child_ends_it_with_a_line)
{
    expect_one_line(run_on_a_thread, "has returned in the child");
}

/* -------------------------------------------------- the parent goes on --- */

enum { FORKERS = 8, FORKS = 5, PINGS = 200 };

static void close_all_and_exit(void)
{
    for (int fd = 3; fd < 1024; fd++)
        close(fd);
    _exit(0);
}

static int fork_now_and_then(UNUSED void *arg)
{
    for (int i = 0; i < FORKS; i++) {
        int status;
        pid_t child = fork();
        if (child == 0)
            close_all_and_exit();
        cr_assert_eq(coir_sleep(COIR_MICROSECONDS(100)), 0);
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_assert_eq(status, 0);
    }
    return 0;
}

struct pair {
    int there[2], back[2];
};

static int answer(void *arg)
{
    struct pair *pair = arg;
    char byte;
    for (int i = 0; i < check_scale(PINGS); i++) {
        cr_assert_eq(coir_read(pair->there[0], &byte, 1), 1);
        cr_assert_eq(coir_write(pair->back[1], &byte, 1), 1);
    }
    return 0;
}

static int ask(void *arg)
{
    struct pair *pair = arg;
    for (int i = 0; i < check_scale(PINGS); i++) {
        char sent = (char)i, byte;
        cr_assert_eq(coir_write(pair->there[1], &sent, 1), 1);
        cr_assert_eq(coir_read(pair->back[0], &byte, 1), 1);
        cr_assert_eq(byte, sent);
    }
    return 0;
}

RunTest(fork, in_many_tasks_loses_nothing_of_the_parents)
{
    struct pair pairs[3];
    coir_group group;
    coir_group_init(&group);
    for (size_t i = 0; i < LENGTH(pairs); i++) {
        cr_assert_eq(pipe(pairs[i].there), 0);
        cr_assert_eq(pipe(pairs[i].back), 0);
        cr_assert_eq(coir_group_create_task(&group, answer, &pairs[i]), 0);
        cr_assert_eq(coir_group_create_task(&group, ask, &pairs[i]), 0);
    }
    for (int i = 0; i < FORKERS; i++)
        cr_assert_eq(coir_group_create_task(&group, fork_now_and_then, NULL), 0);
    cr_assert_eq(coir_group_wait(&group), 0);
    for (size_t i = 0; i < LENGTH(pairs); i++)
        for (int side = 0; side < 2; side++) {
            cr_assert_eq(coir_close(pairs[i].there[side]), 0);
            cr_assert_eq(coir_close(pairs[i].back[side]), 0);
        }
    return 0;
}

/* Threads that hold the locks of futures, pools and groups as often as they can. */
struct busy {
    coir_runner *runner;
    pthread_t thread;
    atomic_bool *stop;
};

static void *keep_locks_busy(void *arg)
{
    struct busy *busy = arg;
    while (!atomic_load(busy->stop)) {
        coir_future_done(here.future);
        cr_assert_eq(coir_join(coir_submit(busy->runner, return_zero, NULL)), 0);
        coir_stats_get(&(coir_stats){ 0 });
    }
    return NULL;
}

static void fork_amid_locks(void)
{
    atomic_bool stop = false;
    struct busy busy[2];
    for (size_t i = 0; i < LENGTH(busy); i++) {
        busy[i] = (struct busy){ .runner = here.runner, .stop = &stop };
        cr_assert_eq(pthread_create(&busy[i].thread, NULL, keep_locks_busy, &busy[i]), 0);
    }
    for (int i = 0; i < check_scale(20); i++)
        expect_refusals();
    atomic_store(&stop, true);
    for (size_t i = 0; i < LENGTH(busy); i++)
        while (pthread_tryjoin_np(busy[i].thread, NULL) != 0)
            cr_assert_eq(coir_yield(), 0);
}

RunTest(fork, while_others_hold_locks_lets_no_child_hang)
{
    return with_all_at_hand(fork_amid_locks);
}

/* ----------------------------------------------- other ways to a child --- */

RunTest(fork, system_works_in_a_task)
{
    assert_exit(system("exit 6"), 6);
    cr_assert_eq(coir_yield(), 0);
    return 0;
}

RunTest(fork, posix_spawn_works_in_a_task)
{
    char *argv[] = { "sh", "-c", "exit 8", NULL };
    pid_t child;
    int status;
    cr_assert_eq(posix_spawn(&child, "/bin/sh", NULL, NULL, argv, environ), 0);
    cr_assert_eq(waitpid(child, &status, 0), child);
    assert_exit(status, 8);
    cr_assert_eq(coir_yield(), 0);
    return 0;
}

#ifndef CHECK_TSAN /* which does not know vfork() */
static NOINLINE pid_t spawn_by_vfork(void)
{
    pid_t child = vfork();
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", "exit 9", NULL);
        _exit(127);
    }
    return child;
}

RunTest(fork, vfork_and_exec_work_in_a_task)
{
    int status;
    pid_t child = spawn_by_vfork();
    cr_assert_eq(waitpid(child, &status, 0), child);
    assert_exit(status, 9);
    cr_assert_eq(coir_yield(), 0);
    return 0;
}
#endif
