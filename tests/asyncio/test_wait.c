/*
 * Waiting for several: wait_any, as_completed, gather, and shields around them, after
 * asyncio's tests of tasks: see cpython.txt.
 */
#include <string.h>

#include "api/forked.h"

/* One of several that wait, each for a future of its own. */
struct one {
    coir_future future;
    atomic_int started;
    atomic_int told; /* the wait was refused */
    int value;
    int next_call;
};

static int wait_for_own_future(void *arg)
{
    struct one *one = arg;
    atomic_store(&one->started, 1);
    int rc = coir_future_await(&one->future, NULL);
    atomic_fetch_add(&one->told, rc == -ECANCELED);
    return rc < 0 ? rc : one->value;
}

static int wait_in_a_shield(void *arg)
{
    struct one *one = arg;
    coir_shield shield;
    coir_shield_begin(&shield);
    int rc = wait_for_own_future(one);
    coir_shield_end(&shield);
    one->next_call = coir_yield();
    return rc;
}

static void init(struct one *ones, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        ones[i] = (struct one){ .value = (int)i + 1 };
        coir_future_init(&ones[i].future);
    }
}

static void destroy(struct one *ones, size_t n)
{
    for (size_t i = 0; i < n; i++)
        coir_future_destroy(&ones[i].future);
}

static void yield_until_started(struct one *ones, size_t n)
{
    for (size_t i = 0; i < n; i++)
        yield_until(&ones[i].started, 1);
}

static void set(struct one *one)
{
    cr_assert_eq(coir_future_set(&one->future, NULL), 0);
}

static void fail(struct one *one, int error)
{
    cr_assert_eq(coir_future_fail(&one->future, error), 0);
}

/* ------------------------------------------------------------ wait_any --- */

/* test_tasks.BaseTaskTests.test_wait_duplicate_coroutines,
   test_as_completed_duplicate_coroutines */
RunTest(wait_any, takes_a_task_that_is_there_twice_for_one)
{
    struct one ones[2];
    init(ones, 2);
    coir_task *tasks[3] = { NULL };
    tasks[0] = tasks[2] = coir_create_task(wait_for_own_future, &ones[0]);
    tasks[1] = coir_create_task(wait_for_own_future, &ones[1]);
    coir_timeout limit;
    coir_timeout_begin(&limit, COIR_MILLISECONDS(1));
    cr_assert_eq(coir_wait_any(tasks, 3), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    set(&ones[0]);
    int first = coir_wait_any(tasks, 3);
    cr_assert(first == 0 || first == 2, "%d", first);
    cr_assert_eq(coir_await(tasks[0]), 1);
    tasks[0] = tasks[2] = NULL;
    set(&ones[1]);
    cr_assert_eq(coir_wait_any(tasks, 3), 1);
    cr_assert_eq(coir_await(tasks[1]), 2);
    destroy(ones, 2);
    return 0;
}

/* test_tasks.BaseTaskTests.test_wait_with_exception, test_wait_first_exception,
   test_wait_first_exception_in_wait */
RunTest(wait_any, gives_a_task_that_failed_as_any_other_and_cancels_nobody)
{
    struct one ones[2];
    init(ones, 2);
    coir_task *tasks[2];
    for (int i = 0; i < 2; i++)
        tasks[i] = coir_create_task(wait_for_own_future, &ones[i]);
    yield_until_started(ones, 2);
    fail(&ones[1], -EDOM);
    cr_assert_eq(coir_wait_any(tasks, 2), 1);
    cr_assert_eq(coir_await(tasks[1]), -EDOM);
    tasks[1] = NULL;
    set(&ones[0]);
    cr_assert_eq(coir_wait_any(tasks, 2), 0);
    cr_assert_eq(coir_await(tasks[0]), 1);
    destroy(ones, 2);
    return 0;
}

/* test_tasks.BaseTaskTests.test_wait_with_timeout, test_wait_concurrent_complete,
   test_as_completed_with_timeout */
RunTest(wait_any, within_a_deadline_gives_those_that_ended_and_leaves_the_rest_running)
{
    struct one ones[2];
    init(ones, 2);
    coir_task *tasks[2];
    for (int i = 0; i < 2; i++)
        tasks[i] = coir_create_task(wait_for_own_future, &ones[i]);
    coir_timeout limit;
    coir_timeout_begin(&limit, COIR_SECONDS(1000));
    set(&ones[0]);
    cr_assert_eq(coir_wait_any(tasks, 2), 0);
    cr_assert_eq(coir_await(tasks[0]), 1);
    tasks[0] = NULL;
    coir_timeout_reschedule(&limit, coir_now() + COIR_MILLISECONDS(1));
    cr_assert_eq(coir_wait_any(tasks, 2), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    set(&ones[1]);
    cr_assert_eq(coir_await(tasks[1]), 2);
    destroy(ones, 2);
    return 0;
}

/* test_tasks.BaseTaskTests.test_as_completed_with_unused_timeout */
RunTest(wait_any, that_needs_not_all_of_its_time_leaves_no_timeout_behind)
{
    int value = 5;
    coir_task *task = coir_create_task(return_int, &value);
    coir_timeout limit;
    coir_timeout_begin(&limit, COIR_SECONDS(1000));
    cr_assert_eq(coir_wait_any(&task, 1), 0);
    cr_assert_eq(coir_await(task), 5);
    cr_assert_eq(coir_timeout_end(&limit), 0);
    return 0;
}

struct borrower {
    coir_task *task;
    coir_duration limit;
};

static int wait_for_any_of_one(void *arg)
{
    struct borrower *borrower = arg;
    coir_timeout limit;
    coir_timeout_begin(&limit, borrower->limit);
    int rc = coir_wait_any(&borrower->task, 1);
    coir_timeout_end(&limit);
    return rc;
}

/* test_tasks.BaseTaskTests.test_shield_effect, test_shield_cancel_outer,
   test_yield_wait_does_not_shield_cancel */
RunTest(wait_any, that_is_cancelled_lets_the_task_go_on_to_its_end)
{
    struct one one;
    init(&one, 1);
    struct borrower borrower = { coir_create_task(wait_for_own_future, &one), COIR_FOREVER };
    coir_task *waiter = coir_create_task(wait_for_any_of_one, &borrower);
    let_them_wait();
    cr_assert_eq(coir_cancel_await(waiter), -ECANCELED);
    cr_assert_not(coir_task_done(borrower.task));
    set(&one);
    cr_assert_eq(coir_await(borrower.task), 1);
    cr_assert_eq(atomic_load(&one.told), 0);
    destroy(&one, 1);
    return 0;
}

/* test_waitfor.WaitForShieldTests.test_zero_timeout, test_shielded_timeout */
RunTest(wait_any, that_is_late_lets_the_task_go_on_to_its_end)
{
    coir_duration limits[] = { 0, COIR_MILLISECONDS(1) };
    for (size_t i = 0; i < LENGTH(limits); i++) {
        struct one one;
        init(&one, 1);
        struct borrower borrower = { coir_create_task(wait_for_own_future, &one), limits[i] };
        cr_assert_eq(wait_for_any_of_one(&borrower), -ETIMEDOUT);
        cr_assert_not(coir_task_done(borrower.task));
        set(&one);
        cr_assert_eq(coir_await(borrower.task), 1);
        destroy(&one, 1);
    }
    return 0;
}

/* test_waitfor.WaitForShieldTests.test_none_timeout */
RunTest(wait_any, of_one_task_gives_it_when_it_has_ended_and_await_its_value)
{
    struct one one;
    init(&one, 1);
    coir_task *task = coir_create_task(wait_in_a_shield, &one);
    yield_until_started(&one, 1);
    set(&one);
    cr_assert_eq(coir_wait_any(&task, 1), 0);
    cr_assert(coir_task_done(task));
    cr_assert_eq(coir_await(task), 1);
    destroy(&one, 1);
    return 0;
}

static int wait_for_any_in_two_tasks(UNUSED void *arg)
{
    struct borrower borrower = { coir_create_task(sleep_forever, NULL), COIR_FOREVER };
    coir_task *first = coir_create_task(wait_for_any_of_one, &borrower);
    let_them_wait();
    wait_for_any_of_one(&borrower);
    return coir_await(first);
}

/* test_tasks.BaseTaskTests.test_as_completed_concurrent: two may in asyncio. */
Test(misuse, wait_any_by_two_tasks_at_once)
{
    coir_fn *body = wait_for_any_in_two_tasks;
    struct outcome outcome = in_child(run_culprit_process, &body);
    assert_aborted(&outcome, "coir_wait_any", NULL);
}

/* Many, so that both have looked at all before either is known to wait. */
struct start_line {
    coir_task *tasks[500];
    atomic_int ready;
};

static int wait_for_any_when_both_are_ready(void *arg)
{
    struct start_line *line = arg;
    atomic_fetch_add(&line->ready, 1);
    while (atomic_load(&line->ready) < 2)
        ;
    return coir_wait_any(line->tasks, LENGTH(line->tasks));
}

static int wait_for_any_on_two_workers(UNUSED void *arg)
{
    struct start_line line = { .ready = 0 };
    for (size_t i = 0; i < LENGTH(line.tasks); i++)
        line.tasks[i] = coir_create_task(sleep_forever, NULL);
    let_them_wait();
    return coir_gather(COIR_CALL(wait_for_any_when_both_are_ready, &line),
                       COIR_CALL(wait_for_any_when_both_are_ready, &line));
}

/* test_tasks.BaseTaskTests.test_as_completed_concurrent, where nobody comes first. */
Test(misuse, wait_any_by_two_workers_at_once)
{
    setenv("COIR_WORKERS", "2", 1);
    for (int i = 0; i < check_scale(4); i++) {
        coir_fn *body = wait_for_any_on_two_workers;
        struct outcome outcome = in_child(run_culprit_process, &body);
        assert_aborted(&outcome, "coir_wait_any", NULL);
    }
}

/* --------------------------------------------------------------- shield --- */

/* test_tasks.BaseTaskTests.test_shield_result, test_shield_exception,
   test_shield_shortcut, test_shield_cancel_inner */
RunTest(shield, around_an_await_gives_what_the_task_gives)
{
    coir_shield shield;
    coir_cancel(coir_current_task());
    coir_shield_begin(&shield);
    int results[] = { 42, -EIO, -ECANCELED };
    for (size_t i = 0; i < LENGTH(results); i++) {
        coir_task *unstarted = coir_create_task(return_int, &results[i]);
        cr_assert_eq(coir_await(unstarted), results[i]);
        coir_task *ended = coir_create_task(return_int, &results[i]);
        while (!coir_task_done(ended))
            cr_assert_eq(coir_yield(), 0);
        cr_assert_eq(coir_await(ended), results[i]);
    }
    coir_shield_end(&shield);
    cr_assert_eq(coir_yield(), -ECANCELED);
    return 0;
}

struct gathering {
    struct one ones[6];
    int (*gather)(coir_call *, size_t);
    coir_fn *fn;
    size_t n;
    bool shielded;
    coir_call calls[6];
    int rc, next_call;
};

static int gather_all_of_them(void *arg)
{
    struct gathering *gathering = arg;
    coir_shield shield;
    for (size_t i = 0; i < gathering->n; i++)
        gathering->calls[i] = COIR_CALL(gathering->fn, &gathering->ones[i]);
    if (gathering->shielded)
        coir_shield_begin(&shield);
    gathering->rc = gathering->gather(gathering->calls, gathering->n);
    if (gathering->shielded)
        coir_shield_end(&shield);
    gathering->next_call = coir_yield();
    return gathering->rc;
}

static coir_task *start_gathering(struct gathering *gathering)
{
    init(gathering->ones, gathering->n);
    coir_task *task = coir_create_task(gather_all_of_them, gathering);
    yield_until_started(gathering->ones, gathering->n);
    return task;
}

/* test_tasks.BaseTaskTests.test_shield_gather */
RunTest(shield, around_a_gather_lets_every_call_end_untold)
{
    struct gathering gathering = { .gather = coir_gather_array, .fn = wait_for_own_future,
                                   .n = 2, .shielded = true };
    coir_task *task = start_gathering(&gathering);
    coir_cancel(task);
    let_them_wait();
    cr_assert_not(coir_task_done(task));
    set(&gathering.ones[0]);
    set(&gathering.ones[1]);
    cr_assert_eq(coir_await(task), 0);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(gathering.calls[i].value, i + 1);
    cr_assert_eq(gathering.next_call, -ECANCELED);
    destroy(gathering.ones, 2);
    return 0;
}

/* test_tasks.BaseTaskTests.test_gather_shield */
RunTest(gather, cancelled_whose_calls_are_shielded_waits_for_them_to_succeed)
{
    struct gathering gathering = { .gather = coir_gather_array, .fn = wait_in_a_shield, .n = 2 };
    coir_task *task = start_gathering(&gathering);
    coir_cancel(task);
    let_them_wait();
    cr_assert_not(coir_task_done(task));
    set(&gathering.ones[0]);
    set(&gathering.ones[1]);
    cr_assert_eq(coir_await(task), 0);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(gathering.calls[i].value, i + 1);
        cr_assert_eq(gathering.ones[i].next_call, -ECANCELED);
    }
    cr_assert_eq(gathering.next_call, -ECANCELED);
    destroy(gathering.ones, 2);
    return 0;
}

/* --------------------------------------------------------------- gather --- */

/* test_tasks.GatherTestsBase.test_success, test_result_exception_success */
RunTest(gather, whose_calls_end_in_any_order_ends_with_the_last_and_keeps_each_value)
{
    int (*gathers[])(coir_call *, size_t) = { coir_gather_array, coir_gather_all };
    for (size_t way = 0; way < LENGTH(gathers); way++) {
        struct gathering gathering = { .gather = gathers[way], .fn = wait_for_own_future, .n = 3 };
        coir_task *task = start_gathering(&gathering);
        set(&gathering.ones[1]);
        set(&gathering.ones[0]);
        let_them_wait();
        cr_assert_not(coir_task_done(task));
        set(&gathering.ones[2]);
        cr_assert_eq(coir_await(task), 0);
        for (int i = 0; i < 3; i++)
            cr_assert_eq(gathering.calls[i].value, i + 1);
        cr_assert_eq(gathering.next_call, 0);
        destroy(gathering.ones, 3);
    }
    return 0;
}

/* test_tasks.GatherTestsBase.test_return_exceptions,
   test_tasks.FutureGatherTests.test_result_exception_one_cancellation */
RunTest(gather_all, ends_with_the_last_and_keeps_each_value_error_and_cancel)
{
    struct gathering gathering = { .gather = coir_gather_all, .fn = wait_for_own_future, .n = 6 };
    static const int wanted[] = { 1, -EIO, -ECANCELED, 4, -ECANCELED, -EPIPE };
    static const int order[] = { 1, 2, 0, 3, 4, 5 };
    coir_task *task = start_gathering(&gathering);
    for (int i = 0; i < 6; i++) {
        struct one *one = &gathering.ones[order[i]];
        cr_assert_not(coir_task_done(task));
        wanted[order[i]] < 0 ? fail(one, wanted[order[i]]) : set(one);
        cr_assert_eq(coir_yield(), 0);
    }
    cr_assert_eq(coir_await(task), 0);
    for (int i = 0; i < 6; i++)
        cr_assert_eq(gathering.calls[i].value, wanted[i]);
    cr_assert_eq(gathering.next_call, 0);
    destroy(gathering.ones, 6);
    return 0;
}

static int cancel_and_return(void *arg)
{
    coir_cancel(*(coir_task **)arg);
    return 42;
}

/* test_tasks.BaseTaskTests.test_cancel_gather_1 */
RunTest(gather, cancelled_by_its_last_call_as_it_ends_keeps_its_value)
{
    coir_task *self = coir_current_task();
    coir_call calls[] = { COIR_CALL(cancel_and_return, &self) };
    cr_assert_eq(coir_gather_array(calls, 1), 0);
    cr_assert_eq(calls[0].value, 42);
    cr_assert_eq(coir_yield(), -ECANCELED);
    return 0;
}
