/*
 * coir_wait_any() and coir_race().
 */
#include "api/in_run.h"

static int sleep_ms(void *arg)
{
    int rc = coir_sleep(COIR_MILLISECONDS(*(int *)arg));
    return rc < 0 ? rc : *(int *)arg;
}

RunTest(wait_any, gives_the_one_that_ended_first_and_keeps_the_handles)
{
    int ms[] = { 30, 1, 15 };
    coir_task *tasks[3];
    for (int i = 0; i < 3; i++)
        tasks[i] = coir_create_task(sleep_ms, &ms[i]);
    int first = coir_wait_any(tasks, 3);
    cr_assert(first >= 0 && first < 3);
    cr_assert(coir_task_done(tasks[first]));
    cr_assert_eq(coir_wait_any(tasks, 3), first);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(coir_await(tasks[i]), ms[i]);
    return 0;
}

RunTest(wait_any, again_and_again_is_as_completed)
{
    enum { N = 50 };
    int values[N];
    coir_task *tasks[N];
    bool seen[N] = { false };
    for (int i = 0; i < N; i++) {
        values[i] = i % 7;
        tasks[i] = coir_create_task(i % 3 ? sleep_ms : return_int, &values[i]);
    }
    for (int i, n = 0; n < N; n++) {
        cr_assert_geq(i = coir_wait_any(tasks, N), 0);
        cr_assert_not(seen[i]);
        seen[i] = true;
        cr_assert_eq(coir_await(tasks[i]), values[i]);
        tasks[i] = NULL;
    }
    cr_assert_eq(coir_wait_any(tasks, N), -ENOENT);
    return 0;
}

static int wait_and_count(void *arg)
{
    coir_future *future = arg;
    return coir_future_await(future, NULL);
}

RunTestOn(1, wait_any, gives_them_in_the_order_of_their_ends)
{
    enum { N = 8 };
    coir_future futures[N];
    coir_task *tasks[N];
    for (int i = 0; i < N; i++) {
        coir_future_init(&futures[i]);
        tasks[i] = coir_create_task(wait_and_count, &futures[i]);
    }
    cr_assert_eq(coir_yield(), 0);
    static const int order[N] = { 3, 1, 7, 0, 2, 6, 5, 4 };
    for (int n = 0; n < N; n++) {
        cr_assert_eq(coir_future_set(&futures[order[n]], NULL), 0);
        int first = coir_wait_any(tasks, N);
        cr_assert_eq(first, order[n]);
        cr_assert_eq(coir_await(tasks[first]), 0);
        tasks[first] = NULL;
    }
    for (int i = 0; i < N; i++)
        coir_future_destroy(&futures[i]);
    return 0;
}

static int set_second_then_first(void *arg)
{
    coir_future *futures = arg;
    cr_assert_eq(coir_future_set(&futures[1], NULL), 0);
    return coir_future_set(&futures[0], NULL);
}

RunTestOn(1, wait_any, knows_which_of_two_that_ended_while_it_waited_was_first)
{
    coir_future futures[2];
    coir_task *tasks[2];
    for (int i = 0; i < 2; i++) {
        coir_future_init(&futures[i]);
        tasks[i] = coir_create_task(wait_and_count, &futures[i]);
    }
    coir_task *setter = coir_create_task(set_second_then_first, futures);
    cr_assert_eq(coir_wait_any(tasks, 2), 1);
    cr_assert_eq(coir_await(tasks[0]), 0);
    cr_assert_eq(coir_await(tasks[1]), 0);
    cr_assert_eq(coir_await(setter), 0);
    coir_future_destroy(&futures[0]);
    coir_future_destroy(&futures[1]);
    return 0;
}

RunTest(wait_any, of_nothing_is_enoent)
{
    coir_task *none[2] = { NULL, NULL };
    cr_assert_eq(coir_wait_any(none, 2), -ENOENT);
    cr_assert_eq(coir_wait_any(NULL, 0), -ENOENT);
    return 0;
}

RunTest(wait_any, of_more_than_an_int_holds_is_einval)
{
    cr_assert_eq(coir_wait_any(NULL, (size_t)INT32_MAX + 1), -EINVAL);
    return 0;
}

RunTest(wait_any, in_a_cancelled_task_begins_nothing)
{
    coir_task *task = coir_create_task(return_zero, NULL);
    coir_cancel(coir_current_task());
    cr_assert_eq(coir_wait_any(&task, 1), -ECANCELED);
    cr_assert_eq(coir_await(task), 0);
    return 0;
}

static int wait_for_both(void *tasks)
{
    return coir_wait_any(tasks, 2);
}

RunTest(wait_any, that_is_cancelled_cancels_nobody)
{
    atomic_int told[2] = { 0, 0 };
    coir_task *tasks[2] = { coir_create_task(count_cancel, &told[0]),
                            coir_create_task(count_cancel, &told[1]) };
    coir_task *waiter = coir_create_task(wait_for_both, tasks);
    let_them_wait();
    cr_assert_eq(coir_cancel_await(waiter), -ECANCELED);
    let_them_wait();
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(atomic_load(&told[i]), 0);
        cr_assert_eq(coir_cancel_await(tasks[i]), -ECANCELED);
    }
    return 0;
}

RunTest(wait_any, past_a_deadline_cancels_nobody)
{
    atomic_int told = 0;
    coir_task *task = coir_create_task(count_cancel, &told);
    coir_timeout limit;
    coir_timeout_begin(&limit, COIR_MILLISECONDS(1));
    cr_assert_eq(coir_wait_any(&task, 1), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    cr_assert_eq(atomic_load(&told), 0);
    cr_assert_eq(coir_cancel_await(task), -ECANCELED);
    return 0;
}

RunTest(wait_any, that_returned_before_the_cancel_keeps_its_index)
{
    coir_task *task = coir_create_task(return_zero, NULL);
    int first = coir_wait_any(&task, 1);
    coir_cancel(coir_current_task());
    cr_assert_eq(first, 0);
    cr_assert_eq(coir_await(task), 0);
    return 0;
}

RunTest(wait_any, racing_with_ends_and_cancels_loses_none)
{
    unsigned seed = 7;
    for (int i = 0; i < check_scale(2000); i++) {
        coir_future futures[3];
        coir_task *tasks[3];
        for (int k = 0; k < 3; k++) {
            coir_future_init(&futures[k]);
            tasks[k] = coir_create_task(wait_and_count, &futures[k]);
        }
        coir_task *waiter = coir_create_task(wait_for_both, tasks);
        for (unsigned k = next_random(&seed) % 4; k > 0; k--)
            cr_assert_eq(coir_yield(), 0);
        cr_assert_eq(coir_future_set(&futures[next_random(&seed) % 2], NULL), 0);
        if (next_random(&seed) % 2)
            coir_cancel(waiter);
        int rc = coir_await(waiter);
        cr_assert(rc == 0 || rc == 1 || rc == -ECANCELED);
        for (int k = 0; k < 3; k++) {
            coir_future_set(&futures[k], NULL);
            cr_assert_eq(coir_await(tasks[k]), 0);
            coir_future_destroy(&futures[k]);
        }
    }
    return 0;
}

/* ----------------------------------------------------------------- race --- */

struct runner {
    int ms;
    int rc;
    atomic_int ended;
    struct runner *after; /* it ends only when this one has */
};

static int run_race(void *arg)
{
    struct runner *runner = arg;
    int rc = coir_sleep(COIR_MILLISECONDS(runner->ms));
    atomic_store(&runner->ended, rc < 0 ? rc : 1);
    return rc < 0 ? rc : runner->rc;
}

RunTest(race, the_first_success_wins_and_the_rest_are_cancelled_and_joined)
{
    struct runner a = { .ms = 60000 }, b = { .ms = 1, .rc = 42 }, c = { .ms = 60000 };
    coir_call calls[] = { COIR_CALL(run_race, &a), COIR_CALL(run_race, &b),
                          COIR_CALL(run_race, &c) };
    cr_assert_eq(coir_race(calls, 3), 1);
    cr_assert_eq(calls[1].value, 42);
    cr_assert_eq(calls[0].value, -ECANCELED);
    cr_assert_eq(calls[2].value, -ECANCELED);
    cr_assert_eq(atomic_load(&a.ended), -ECANCELED);
    cr_assert_eq(atomic_load(&c.ended), -ECANCELED);
    return 0;
}

RunTest(race, a_failure_does_not_end_it)
{
    struct runner a = { .ms = 0, .rc = -EIO }, b = { .ms = 5, .rc = 7 };
    coir_call calls[] = { COIR_CALL(run_race, &a), COIR_CALL(run_race, &b) };
    cr_assert_eq(coir_race(calls, 2), 1);
    cr_assert_eq(calls[0].value, -EIO);
    cr_assert_eq(calls[1].value, 7);
    return 0;
}

static int run_after(void *arg)
{
    struct runner *runner = arg;
    yield_until(&runner->after->ended, 1);
    return runner->rc;
}

/* With one worker the other has lost by the time that it is seen to have ended. */
RunTestOn(1, race, that_all_lose_gives_the_error_that_came_last)
{
    struct runner b = { .ms = 1, .rc = -EIO }, a = { .rc = -EPIPE, .after = &b };
    coir_call calls[] = { COIR_CALL(run_after, &a), COIR_CALL(run_race, &b) };
    cr_assert_eq(coir_race(calls, 2), -EPIPE);
    cr_assert_eq(calls[0].value, -EPIPE);
    cr_assert_eq(calls[1].value, -EIO);
    return 0;
}

RunTest(race, of_nothing_is_einval)
{
    cr_assert_eq(coir_race(NULL, 0), -EINVAL);
    return 0;
}

static int race_two_sleepers(UNUSED void *arg)
{
    coir_call calls[] = { COIR_CALL(sleep_forever, NULL), COIR_CALL(sleep_forever, NULL) };
    int rc = coir_race(calls, 2);
    cr_assert_eq(calls[0].value, -ECANCELED);
    cr_assert_eq(calls[1].value, -ECANCELED);
    return rc;
}

RunTest(race, that_is_cancelled_cancels_every_call_and_waits)
{
    coir_task *task = coir_create_task(race_two_sleepers, NULL);
    let_them_wait();
    cr_assert_eq(coir_cancel_await(task), -ECANCELED);
    return 0;
}

RunTest(race, past_a_deadline_is_etimedout)
{
    cr_assert_eq(coir_wait_for(coir_create_task(race_two_sleepers, NULL), COIR_MILLISECONDS(1)),
                 -ETIMEDOUT);
    return 0;
}

RunTest(race, entered_while_cancelled_makes_every_call_and_tells_it)
{
    atomic_int told = 0;
    coir_call calls[] = { COIR_CALL(count_cancel, &told), COIR_CALL(count_cancel, &told) };
    coir_cancel(coir_current_task());
    cr_assert_eq(coir_race(calls, 2), -ECANCELED);
    cr_assert_eq(atomic_load(&told), 2);
    return 0;
}

RunTest(race, won_past_a_deadline_keeps_its_index_and_the_scope_is_not_told)
{
    coir_timeout limit;
    coir_call calls[] = { COIR_CALL(return_zero, NULL), COIR_CALL(sleep_forever, NULL) };
    coir_timeout_begin(&limit, 0);
    cr_assert_eq(coir_race(calls, 2), 0);
    cr_assert_eq(calls[1].value, -ECANCELED);
    cr_assert_eq(coir_timeout_end(&limit), 0);
    return 0;
}

RunTest(race, won_before_the_cancel_keeps_its_index)
{
    coir_call calls[] = { COIR_CALL(return_zero, NULL), COIR_CALL(return_zero, NULL) };
    int rc = coir_race(calls, 2);
    coir_cancel(coir_current_task());
    cr_assert(rc == 0 || rc == 1);
    cr_assert_eq(calls[rc].value, 0);
    return 0;
}
