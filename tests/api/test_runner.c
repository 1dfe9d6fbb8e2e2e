/*
 * Runners: a runtime that stays, for threads that are none of its workers.
 */
#include <pthread.h>
#include <signal.h>

#include "api/forked.h"

static coir_runner *open_runner(void)
{
    coir_runner *runner = NULL;
    cr_assert_eq(coir_runner_open(&runner, NULL), 0);
    return runner;
}

Test(runner, runs_one_after_the_other_and_gives_each_value)
{
    coir_runner *runner = open_runner();
    for (int i = 0; i < check_scale(1000); i++)
        cr_assert_eq(coir_runner_run(runner, return_int, &i), i);
    int error = -EXDEV;
    cr_assert_eq(coir_runner_run(runner, return_int, &error), -EXDEV);
    cr_assert_eq(coir_runner_close(runner), 0);
}

struct thread {
    coir_runner *runner;
    pthread_t thread;
    atomic_int *runs;
};

static void *run_many(void *arg)
{
    struct thread *thread = arg;
    for (int i = 0; i < check_scale(500); i++)
        cr_assert_eq(coir_runner_run(thread->runner, count, thread->runs), 0);
    return NULL;
}

Test(runner, serves_several_threads_at_once)
{
    enum { THREADS = 6 };
    struct thread threads[THREADS];
    atomic_int runs = 0;
    coir_runner *runner = open_runner();
    for (int i = 0; i < THREADS; i++) {
        threads[i] = (struct thread){ .runner = runner, .runs = &runs };
        cr_assert_eq(pthread_create(&threads[i].thread, NULL, run_many, &threads[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i].thread, NULL);
    cr_assert_eq(atomic_load(&runs), THREADS * check_scale(500));
    cr_assert_eq(coir_runner_close(runner), 0);
}

Test(runner, that_is_null_closes_to_nothing)
{
    cr_assert_eq(coir_runner_close(NULL), 0);
}

Test(runner, with_options_that_make_no_sense_is_einval)
{
    coir_runner *runner = NULL;
    coir_options options = { .workers = -1 };
    cr_assert_eq(coir_runner_open(&runner, &options), -EINVAL);
    cr_assert_null(runner);
}

Test(runner, closed_cancels_what_still_runs)
{
    atomic_int told = 0;
    coir_runner *runner = open_runner();
    coir_task *task = coir_submit(runner, count_cancel, &told);
    cr_assert_not_null(task);
    cr_assert_eq(coir_runner_close(runner), 0);
    cr_assert_eq(atomic_load(&told), 1);
}

static int ignore_cancels(void *stop)
{
    coir_shield shield;
    coir_shield_begin(&shield);
    while (!atomic_load((atomic_int *)stop))
        coir_sleep(COIR_MILLISECONDS(1));
    coir_shield_end(&shield);
    return 0;
}

static void outlast_the_grace(void *unused)
{
    (void)unused;
    coir_options options = { .shutdown_grace = COIR_MILLISECONDS(20) };
    coir_runner *runner;
    static atomic_int stop;
    if (coir_runner_open(&runner, &options) < 0)
        _exit(1);
    coir_detach(coir_submit(runner, ignore_cancels, &stop));
    _exit(coir_runner_close(runner) == -ETIMEDOUT ? 0 : 2);
}

Test(runner, closed_past_its_grace_is_etimedout_and_names_the_task)
{
    struct outcome outcome = in_child(outlast_the_grace, NULL);
    cr_assert(WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == 0, "%s", outcome.err);
    cr_assert_not_null(strstr(outcome.err, "did not end"), "%s", outcome.err);
}

/* --------------------------------------------------------------- submit --- */

Test(submit, and_join_give_the_value)
{
    coir_runner *runner = open_runner();
    int value = 5;
    cr_assert_eq(coir_join(coir_submit(runner, return_int, &value)), 5);
    cr_assert_eq(coir_join(coir_submit_copy(runner, return_int, &value, sizeof value)), 5);
    cr_assert_eq(coir_runner_close(runner), 0);
}

Test(submit, of_many_runs_each_once_and_join_takes_them_in_any_order)
{
    enum { N = 500 };
    coir_task *tasks[N];
    coir_runner *runner = open_runner();
    for (int i = 0; i < N; i++)
        cr_assert_not_null(tasks[i] = coir_submit_copy(runner, return_int, &i, sizeof i));
    for (int i = N - 1; i >= 0; i--)
        cr_assert_eq(coir_join(tasks[i]), i);
    cr_assert_eq(coir_runner_close(runner), 0);
}

Test(submit, a_copy_of_any_size_travels_with_the_task)
{
    static char large[5000];
    coir_runner *runner = open_runner();
    *(int *)(void *)large = 77;
    coir_task *task = coir_submit_copy(runner, return_int, large, sizeof large);
    memset(large, 0, sizeof large);
    cr_assert_eq(coir_join(task), 77);
    cr_assert_eq(coir_runner_close(runner), 0);
}

Test(submit, to_nobody_is_null_and_joined_is_enomem)
{
    cr_assert_null(coir_submit(NULL, return_zero, NULL));
    cr_assert_null(coir_submit_copy(NULL, return_zero, NULL, 0));
    cr_assert_eq(coir_join(NULL), -ENOMEM);
}

Test(submit, a_cancel_from_a_thread_reaches_the_task)
{
    coir_runner *runner = open_runner();
    for (int i = 0; i < check_scale(200); i++) {
        coir_task *task = coir_submit(runner, sleep_forever, NULL);
        coir_cancel(task);
        cr_assert_eq(coir_join(task), -ECANCELED);
    }
    cr_assert_eq(coir_runner_close(runner), 0);
}

static void *submit_from_thread(void *arg)
{
    struct thread *thread = arg;
    for (int i = 0; i < check_scale(200); i++)
        cr_assert_eq(coir_join(coir_submit(thread->runner, count, thread->runs)), 0);
    return NULL;
}

RunTest(submit, works_under_run_too_by_the_current_runner)
{
    atomic_int runs = 0;
    struct thread thread = { .runner = coir_current_runner(), .runs = &runs };
    cr_assert_not_null(thread.runner);
    cr_assert_eq(pthread_create(&thread.thread, NULL, submit_from_thread, &thread), 0);
    yield_until(&runs, check_scale(200));
    pthread_join(thread.thread, NULL);
    return 0;
}

RunTest(submit, by_a_task_is_awaited_as_any_other)
{
    int value = 9;
    cr_assert_eq(coir_await(coir_submit(coir_current_runner(), return_int, &value)), 9);
    return 0;
}

Test(submit, there_is_no_current_runner_outside)
{
    cr_assert_null(coir_current_runner());
}

Test(submit, detached_is_released_when_it_ends)
{
    atomic_int runs = 0;
    coir_runner *runner = open_runner();
    for (int i = 0; i < 100; i++)
        coir_detach(coir_submit(runner, count, &runs));
    while (atomic_load(&runs) < 100)
        usleep(100);
    cr_assert_eq(coir_runner_close(runner), 0);
}

/* --------------------------------------------------------------- misuse --- */

static int join_in_task(UNUSED void *arg)
{
    return coir_join(coir_create_task(return_zero, NULL));
}

static int run_in_task(UNUSED void *arg)
{
    return coir_runner_run(coir_current_runner(), return_zero, NULL);
}

static int close_in_task(UNUSED void *arg)
{
    return coir_runner_close(coir_current_runner());
}

Test(runner, calls_that_would_block_a_worker_abort)
{
    expect_abort(join_in_task, "coir_join");
    expect_abort(run_in_task, "coir_runner_run");
    expect_abort(close_in_task, "coir_runner_close");
}

static int join_what_was_detached(void *unused)
{
    coir_runner *runner = open_runner();
    coir_task *task = coir_submit(runner, sleep_forever, NULL);
    (void)unused;
    coir_detach(task);
    return coir_join(task);
}

static void join_detached(void *unused)
{
    join_what_was_detached(unused);
}

Test(runner, join_of_a_task_given_up_aborts)
{
    struct outcome outcome = in_child(join_detached, NULL);
    assert_aborted(&outcome, "coir_join", NULL);
}

/* --------------------------------------------------------------- SIGINT --- */

static int raise_and_sleep(UNUSED void *arg)
{
    kill(getpid(), SIGINT);
    return coir_sleep(COIR_FOREVER);
}

static void interrupt_twice(void *unused)
{
    (void)unused;
    signal(SIGINT, SIG_DFL);
    coir_runner *runner = open_runner();
    for (int i = 0; i < 3; i++)
        if (coir_runner_run(runner, raise_and_sleep, NULL) != -ECANCELED)
            _exit(1);
    _exit(coir_runner_close(runner) < 0);
}

Test(runner, ctrl_c_cancels_the_task_each_time)
{
    struct outcome outcome = in_child(interrupt_twice, NULL);
    cr_assert(WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == 0, "%#x %s",
              outcome.status, outcome.err);
}
