/*
 * Runs, runners, tasks from threads, and Ctrl-C, after asyncio's tests of them: see
 * cpython.txt.
 */
#include <signal.h>
#include <string.h>

#include "api/forked.h"

/* ------------------------------------------------------------ left over --- */

static int fail_once_cancelled(void *told)
{
    int rc = coir_sleep(COIR_FOREVER);
    atomic_fetch_add((atomic_int *)told, 1);
    return rc == -ECANCELED ? -EDOM : 0;
}

struct leaving {
    atomic_int told;
    int value;
};

static int leave_failing(void *arg)
{
    struct leaving *leaving = arg;
    for (int i = 0; i < 3; i++)
        coir_detach(coir_create_task(fail_once_cancelled, &leaving->told));
    coir_task *unowned = coir_create_task(fail_once_cancelled, &leaving->told);
    cr_assert_not_null(unowned);
    return leaving->value;
}

/* test_runners.RunTests.test_asyncio_run_reports_hanging_tasks_errors,
   test_asyncio_run_closes_gens_after_hanging_tasks_errors: nobody is told of errors. */
Test(run, keeps_its_value_or_error_though_left_over_tasks_fail)
{
    int values[] = { 123, -EXDEV };
    for (size_t i = 0; i < LENGTH(values); i++) {
        static struct leaving leaving;
        leaving = (struct leaving){ .value = values[i] };
        cr_assert_eq(coir_run(leave_failing, &leaving), values[i]);
        cr_assert_eq(atomic_load(&leaving.told), 4);
    }
}

static int leave_one_that_waits(UNUSED void *arg)
{
    coir_task_options options = { .name = "forgotten" };
    coir_task *unowned = coir_create_task_with(&options, sleep_forever, NULL);
    cr_assert_not_null(unowned);
    let_them_wait();
    return 0;
}

static void run_and_report(void *debug)
{
    setenv("COIR_DEBUG", debug, 1);
    _exit(coir_run(leave_one_that_waits, NULL) == 0 ? 0 : 1);
}

/* test_tasks.BaseTaskTests.test_log_destroyed_pending_task */
Test(run, names_the_tasks_that_nobody_waited_for_if_asked_to)
{
    char words[2][16] = { "report", "" };
    for (int i = 0; i < 2; i++) {
        struct outcome outcome = in_child(run_and_report, words[i]);
        cr_assert(WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == 0, "%s",
                  outcome.err);
        cr_assert_eq(strstr(outcome.err, "forgotten") != NULL, i == 0, "%s", outcome.err);
    }
}

/* -------------------------------------------------------------- runners --- */

static coir_runner *open_runner(void)
{
    coir_runner *runner = NULL;
    cr_assert_eq(coir_runner_open(&runner, NULL), 0);
    return runner;
}

/* test_runners.RunnerTests.test_explicit_close */
Test(runner, that_ran_nothing_can_be_closed)
{
    cr_assert_eq(coir_runner_close(open_runner()), 0);
}

static coir_local inherited;

static int get_and_set(void *arg)
{
    void *before = coir_local_get(inherited);
    cr_assert_eq(coir_yield(), 0);
    cr_assert_eq(coir_local_set(inherited, arg), 0);
    return before ? -EEXIST : 0;
}

/* test_runners.RunnerTests.test_run_keeps_context: asyncio's runs share a context. */
Test(runner, begins_each_run_without_the_locals_of_the_one_before)
{
    coir_runner *runner = open_runner();
    cr_assert_eq(coir_local_create(&inherited, &(coir_local_options){ .inherit = true }), 0);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(coir_runner_run(runner, get_and_set, runner), 0);
    cr_assert_eq(coir_runner_close(runner), 0);
}

/* --------------------------------------------------------- from threads --- */

static int sleep_and_return(void *arg)
{
    int rc = coir_sleep(COIR_MICROSECONDS(50));
    return rc < 0 ? rc : *(int *)arg;
}

static int cancel_oneself_and_yield(UNUSED void *arg)
{
    coir_cancel(coir_current_task());
    return coir_yield();
}

/* test_tasks.RunCoroutineThreadsafeTests.test_run_coroutine_threadsafe_with_exception,
   test_run_coroutine_threadsafe_task_cancelled */
Test(submit, and_join_give_the_error_or_the_cancel)
{
    coir_runner *runner = open_runner();
    int error = -EPROTO;
    cr_assert_eq(coir_join(coir_submit(runner, sleep_and_return, &error)), -EPROTO);
    cr_assert_eq(coir_join(coir_submit(runner, cancel_oneself_and_yield, NULL)), -ECANCELED);
    cr_assert_eq(coir_runner_close(runner), 0);
}

/* --------------------------------------------------------------- Ctrl-C --- */

static void interrupt_oneself(void)
{
    cr_assert_eq(kill(getpid(), SIGINT), 0);
}

static int be_interrupted_while_yielding(UNUSED void *arg)
{
    int rc;
    interrupt_oneself();
    while ((rc = coir_yield()) == 0)
        ;
    return rc;
}

static int be_interrupted_while_waiting(UNUSED void *arg)
{
    coir_future future;
    coir_future_init(&future);
    interrupt_oneself();
    int rc = coir_future_await(&future, NULL);
    cr_assert_not(coir_future_done(&future));
    coir_future_destroy(&future);
    return rc;
}

static int interrupt_and_cancel(void *task)
{
    interrupt_oneself();
    coir_cancel(task);
    return 0;
}

static int be_interrupted_and_cancelled(UNUSED void *arg)
{
    coir_task *other = coir_create_task(interrupt_and_cancel, coir_current_task());
    int rc = coir_sleep(COIR_FOREVER);
    cr_assert_eq(coir_await(other), 0);
    return rc;
}

/* Exits with 0 if the body ended with -ECANCELED, under a run and under a runner. */
static void run_interrupted(void *body)
{
    coir_fn *fn = *(coir_fn **)body;
    if (coir_run(fn, NULL) != -ECANCELED)
        _exit(1);
    coir_runner *runner = open_runner();
    if (coir_runner_run(runner, fn, NULL) != -ECANCELED)
        _exit(2);
    _exit(coir_runner_close(runner) == 0 ? 0 : 3);
}

static void expect_cancelled(coir_fn *body)
{
    struct outcome outcome = in_child(run_interrupted, &body);
    cr_assert(WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == 0, "%#x %s",
              outcome.status, outcome.err);
}

/* test_runners.RunnerTests.test_interrupt_call_soon */
Test(interrupt, ends_a_loop_of_yields)
{
    expect_cancelled(be_interrupted_while_yielding);
}

/* test_runners.RunnerTests.test_interrupt_wait: asyncio cancels the future, too. */
Test(interrupt, ends_the_wait_for_a_future_and_leaves_the_future_alone)
{
    expect_cancelled(be_interrupted_while_waiting);
}

/* test_runners.RunnerTests.test_interrupt_cancelled_task */
Test(interrupt, of_a_task_that_is_cancelled_as_well_is_one_cancel)
{
    expect_cancelled(be_interrupted_and_cancelled);
}
