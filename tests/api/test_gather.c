/*
 * coir_gather, coir_gather_array, coir_gather_all.
 */
#include "api/in_run.h"

static int fail_with_eio(UNUSED void *arg)
{
    return -EIO;
}

static int fail_once_cancelled(UNUSED void *arg)
{
    return coir_sleep(COIR_FOREVER) == -ECANCELED ? -EPROTO : 0;
}

RunTest(gather, of_no_calls_is_zero)
{
    cr_assert_eq(coir_gather_array(NULL, 0), 0);
    cr_assert_eq(coir_gather_all(NULL, 0), 0);
    return 0;
}

RunTest(gather, runs_every_call_and_returns_zero)
{
    atomic_int runs = 0;
    int rc = coir_gather(COIR_CALL(count, &runs), COIR_CALL(count, &runs),
                         COIR_CALL(count, &runs));
    cr_assert_eq(rc, 0);
    cr_assert_eq(atomic_load(&runs), 3);
    return 0;
}

RunTest(gather, of_one_call_runs_it)
{
    int value = 5;
    cr_assert_eq(coir_gather(COIR_CALL(return_int, &value)), 0, "success is 0, not the value");
    value = -EDOM;
    cr_assert_eq(coir_gather(COIR_CALL(return_int, &value)), -EDOM);
    return 0;
}

RunTest(gather, leaves_each_value_in_the_array)
{
    int values[] = { 3, 0, 7 };
    coir_call calls[3];
    for (int i = 0; i < 3; i++)
        calls[i] = COIR_CALL(return_int, &values[i]);
    cr_assert_eq(coir_gather_array(calls, 3), 0);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(calls[i].value, values[i]);
    return 0;
}

RunTest(gather, of_ten_thousand_calls_keeps_every_value)
{
    int n = check_scale(10000);
    coir_call *calls = calloc((size_t)n, sizeof *calls);
    int *values = calloc((size_t)n, sizeof *values);
    for (int i = 0; i < n; i++) {
        values[i] = i;
        calls[i] = COIR_CALL(return_int, &values[i]);
    }
    cr_assert_eq(coir_gather_array(calls, (size_t)n), 0);
    for (int i = 0; i < n; i++)
        cr_assert_eq(calls[i].value, i);
    free(values);
    free(calls);
    return 0;
}

RunTest(gather, first_failure_cancels_the_others_and_waits)
{
    atomic_int told = 0;
    coir_call calls[] = {
        COIR_CALL(count_cancel, &told),
        COIR_CALL(fail_with_eio, NULL),
        COIR_CALL(count_cancel, &told),
        COIR_CALL(return_zero, NULL),
    };
    cr_assert_eq(coir_gather_array(calls, LENGTH(calls)), -EIO);
    cr_assert_eq(atomic_load(&told), 2);
    cr_assert_eq(calls[0].value, -ECANCELED);
    cr_assert_eq(calls[1].value, -EIO);
    cr_assert_eq(calls[2].value, -ECANCELED);
    cr_assert_eq(calls[3].value, 0);
    cr_assert_eq(coir_yield(), 0, "the caller is not cancelled");
    return 0;
}

RunTest(gather, call_one_sleeps_inline_and_call_two_fails_elsewhere)
{
    for (int i = 0; i < check_scale(500); i++)
        cr_assert_eq(coir_gather(COIR_CALL(sleep_forever, NULL),
                                 COIR_CALL(fail_with_eio, NULL)), -EIO);
    return 0;
}

RunTest(gather, returns_the_first_error_in_time_not_in_order)
{
    cr_assert_eq(coir_gather(COIR_CALL(fail_once_cancelled, NULL),
                             COIR_CALL(fail_with_eio, NULL),
                             COIR_CALL(fail_once_cancelled, NULL)), -EIO);
    return 0;
}

static int return_ecanceled(UNUSED void *arg)
{
    return -ECANCELED;
}

RunTest(gather, a_call_that_returns_ecanceled_unasked_has_failed)
{
    cr_assert_eq(coir_gather(COIR_CALL(sleep_forever, NULL),
                             COIR_CALL(return_ecanceled, NULL)), -ECANCELED);
    cr_assert_eq(coir_yield(), 0);
    return 0;
}

RunTest(gather, never_returns_the_ecanceled_that_it_caused)
{
    for (int i = 0; i < check_scale(500); i++) {
        coir_call calls[10];
        for (int k = 0; k < 10; k++)
            calls[k] = COIR_CALL(k == i % 10 ? fail_with_eio : sleep_forever, NULL);
        cr_assert_eq(coir_gather_array(calls, 10), -EIO);
    }
    return 0;
}

static int sleep_a_moment(void *arg)
{
    return coir_sleep(COIR_MICROSECONDS(*(int *)arg));
}

static int gather_two(void *arg)
{
    return coir_gather(COIR_CALL(sleep_a_moment, arg), COIR_CALL(sleep_a_moment, arg));
}

RunTest(gather, nests)
{
    int moment = 20;
    cr_assert_eq(coir_gather(COIR_CALL(gather_two, &moment), COIR_CALL(gather_two, &moment),
                             COIR_CALL(gather_two, &moment)), 0);
    return 0;
}

static int gather_a_failure(UNUSED void *arg)
{
    return coir_gather(COIR_CALL(sleep_forever, NULL), COIR_CALL(fail_with_eio, NULL));
}

RunTest(gather, nested_failure_comes_up_and_cancels_the_uncles)
{
    atomic_int told = 0;
    cr_assert_eq(coir_gather(COIR_CALL(count_cancel, &told), COIR_CALL(gather_a_failure, NULL),
                             COIR_CALL(count_cancel, &told)), -EIO);
    cr_assert_eq(atomic_load(&told), 2);
    return 0;
}

/* ---------------------------------------------------------- cancelled --- */

struct gatherer {
    int (*gather)(coir_call *, size_t);
    coir_fn *fn;
    atomic_int started;
    atomic_int told;
    coir_call calls[5];
    int rc;
    int next_call;
};

static int start_and_count_cancel(void *arg)
{
    struct gatherer *gatherer = arg;
    atomic_fetch_add(&gatherer->started, 1);
    return count_cancel(&gatherer->told);
}

static int start_and_succeed(void *arg)
{
    start_and_count_cancel(arg);
    return 3;
}

static int gather_five(void *arg)
{
    struct gatherer *gatherer = arg;
    for (int i = 0; i < 5; i++)
        gatherer->calls[i] = COIR_CALL(gatherer->fn, gatherer);
    gatherer->rc = gatherer->gather(gatherer->calls, 5);
    gatherer->next_call = coir_yield();
    return 0;
}

static void cancel_the_gatherer(struct gatherer *gatherer)
{
    coir_task *task = coir_create_task(gather_five, gatherer);
    yield_until(&gatherer->started, 5);
    coir_cancel(task);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(atomic_load(&gatherer->told), 5);
    cr_assert_eq(gatherer->next_call, -ECANCELED);
}

RunTest(gather, cancelled_cancels_every_call_and_waits)
{
    struct gatherer gatherer = { .gather = coir_gather_array, .fn = start_and_count_cancel };
    cancel_the_gatherer(&gatherer);
    cr_assert_eq(gatherer.rc, -ECANCELED);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(gatherer.calls[i].value, -ECANCELED);
    return 0;
}

RunTest(gather, cancelled_whose_calls_succeed_keeps_their_values)
{
    struct gatherer gatherer = { .gather = coir_gather_array, .fn = start_and_succeed };
    cancel_the_gatherer(&gatherer);
    cr_assert_eq(gatherer.rc, 0);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(gatherer.calls[i].value, 3);
    return 0;
}

RunTest(gather, entered_while_cancelled_makes_every_call_and_tells_it)
{
    struct gatherer gatherer = { .gather = coir_gather_array, .fn = start_and_count_cancel };
    coir_cancel(coir_current_task());
    cr_assert_eq(gather_five(&gatherer), 0);
    cr_assert_eq(gatherer.rc, -ECANCELED);
    cr_assert_eq(atomic_load(&gatherer.started), 5);
    cr_assert_eq(atomic_load(&gatherer.told), 5);
    return 0;
}

RunTest(gather, that_returned_before_the_cancel_keeps_its_value)
{
    atomic_int runs = 0;
    cr_assert_eq(coir_gather(COIR_CALL(count, &runs), COIR_CALL(fail_with_eio, NULL)), -EIO);
    coir_cancel(coir_current_task());
    cr_assert_eq(coir_yield(), -ECANCELED);
    return 0;
}

RunTest(gather, past_a_deadline_returns_etimedout)
{
    atomic_int told = 0;
    coir_timeout limit;
    coir_timeout_begin(&limit, COIR_MILLISECONDS(1));
    cr_assert_eq(coir_gather(COIR_CALL(count_cancel, &told), COIR_CALL(count_cancel, &told)),
                 -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    cr_assert_eq(atomic_load(&told), 2);
    cr_assert_eq(coir_yield(), 0);
    return 0;
}

/* --------------------------------------------------------- gather_all --- */

RunTest(gather_all, a_failure_cancels_nobody)
{
    int moment = 200, value = 4;
    coir_call calls[] = {
        COIR_CALL(sleep_a_moment, &moment),
        COIR_CALL(fail_with_eio, NULL),
        COIR_CALL(return_int, &value),
        COIR_CALL(return_ecanceled, NULL),
    };
    cr_assert_eq(coir_gather_all(calls, LENGTH(calls)), 0);
    cr_assert_eq(calls[0].value, 0);
    cr_assert_eq(calls[1].value, -EIO);
    cr_assert_eq(calls[2].value, 4);
    cr_assert_eq(calls[3].value, -ECANCELED);
    return 0;
}

RunTest(gather_all, cancelled_cancels_every_call_and_waits)
{
    struct gatherer gatherer = { .gather = coir_gather_all, .fn = start_and_count_cancel };
    cancel_the_gatherer(&gatherer);
    cr_assert_eq(gatherer.rc, -ECANCELED);
    return 0;
}

RunTest(gather_all, cancelled_whose_calls_all_succeed_returns_zero)
{
    struct gatherer gatherer = { .gather = coir_gather_all, .fn = start_and_succeed };
    cancel_the_gatherer(&gatherer);
    cr_assert_eq(gatherer.rc, 0);
    return 0;
}

RunTest(gather_all, entered_while_cancelled_makes_every_call_and_tells_it)
{
    struct gatherer gatherer = { .gather = coir_gather_all, .fn = start_and_count_cancel };
    coir_cancel(coir_current_task());
    cr_assert_eq(gather_five(&gatherer), 0);
    cr_assert_eq(gatherer.rc, -ECANCELED);
    cr_assert_eq(atomic_load(&gatherer.told), 5);
    return 0;
}

RunTest(gather_all, that_returned_before_the_cancel_keeps_its_value)
{
    coir_call call = COIR_CALL(fail_with_eio, NULL);
    cr_assert_eq(coir_gather_all(&call, 1), 0);
    coir_cancel(coir_current_task());
    cr_assert_eq(call.value, -EIO);
    cr_assert_eq(coir_yield(), -ECANCELED);
    return 0;
}

RunTest(gather_all, past_a_deadline_returns_etimedout)
{
    atomic_int told = 0;
    coir_call calls[] = { COIR_CALL(count_cancel, &told), COIR_CALL(fail_with_eio, NULL) };
    coir_timeout limit;
    coir_timeout_begin(&limit, COIR_MILLISECONDS(1));
    cr_assert_eq(coir_gather_all(calls, LENGTH(calls)), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    cr_assert_eq(calls[0].value, -ECANCELED);
    cr_assert_eq(calls[1].value, -EIO);
    return 0;
}

/* -------------------------------------------------------- typed tasks --- */

struct doubled {
    int in, out;
};
COIR_TASK_TYPE(doubles, struct doubled);

static int doubles(struct doubled *doubled)
{
    doubled->out = 2 * doubled->in;
    return doubled->out;
}

RunTest(typed, wrappers_run_the_function)
{
    struct doubled a = { 1, 0 }, b = { 2, 0 }, c = { 3, 0 }, d = { 4, 0 };
    coir_group group;
    cr_assert_eq(coir_await(doubles_task(&a)), 2);
    cr_assert_eq(a.out, 2);
    cr_assert_eq(coir_await(doubles_copy(&b)), 4);
    cr_assert_eq(b.out, 0, "written into the copy");
    cr_assert_eq(coir_gather(doubles_call(&c)), 0);
    cr_assert_eq(c.out, 6);
    coir_group_init(&group);
    cr_assert_eq(doubles_group(&group, &d), 0);
    cr_assert_eq(coir_group_wait(&group), 0);
    cr_assert_eq(d.out, 8);
    return 0;
}
