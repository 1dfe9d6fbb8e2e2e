/*
 * coir_cancel and coir_check: a cancel is an error code, and stays one.
 */
#include <pthread.h>
#include <string.h>

#include "api/in_run.h"

RunTest(cancel, is_reported_by_every_call_from_then_on)
{
    coir_cancel(coir_current_task());
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(coir_yield(), -ECANCELED);
        cr_assert_eq(coir_sleep(0), -ECANCELED);
        cr_assert_eq(coir_sleep(COIR_FOREVER), -ECANCELED);
        cr_assert_eq(coir_sleep_until(0), -ECANCELED);
        cr_assert_eq(coir_check(), -ECANCELED);
    }
    return 0;
}

RunTest(cancel, of_null_does_nothing)
{
    coir_cancel(NULL);
    cr_assert_eq(coir_yield(), 0);
    return 0;
}

Test(cancel, of_null_does_nothing_outside_a_run)
{
    coir_cancel(NULL);
}

RunTest(cancel, of_a_task_that_has_ended_leaves_its_value)
{
    int value = 7;
    coir_task *task = coir_create_task(return_int, &value);
    while (!coir_task_done(task))
        cr_assert_eq(coir_yield(), 0);
    coir_cancel(task);
    coir_cancel(task);
    cr_assert_eq(coir_await(task), 7);
    return 0;
}

RunTest(cancel, twice_is_as_once)
{
    atomic_int told = 0;
    coir_task *task = coir_create_task(count_cancel, &told);
    coir_cancel(task);
    coir_cancel(task);
    let_them_wait();
    coir_cancel(task);
    cr_assert_eq(coir_await(task), -ECANCELED);
    cr_assert_eq(atomic_load(&told), 1);
    return 0;
}

struct first_calls {
    int check;
    int yield;
};

static int record_first_calls(void *arg)
{
    struct first_calls *calls = arg;
    calls->check = coir_check();
    calls->yield = coir_yield();
    return 17;
}

RunTestOn(1, cancel, before_the_start_lets_the_body_run_and_tells_it)
{
    struct first_calls calls = { 1, 1 };
    coir_task *task = coir_create_task(record_first_calls, &calls);
    coir_cancel(task);
    cr_assert_eq(coir_yield(), 0);
    cr_assert(coir_task_done(task));
    cr_assert_eq(calls.check, -ECANCELED);
    cr_assert_eq(calls.yield, -ECANCELED);
    cr_assert_eq(coir_await(task), 17);
    return 0;
}

RunTestOn(1, cancel, before_an_await_starts_the_body_tells_it_too)
{
    struct first_calls calls = { 1, 1 };
    coir_task *task = coir_create_task(record_first_calls, &calls);
    coir_cancel(task);
    cr_assert_eq(coir_await(task), 17);
    cr_assert_eq(calls.check, -ECANCELED);
    cr_assert_eq(calls.yield, -ECANCELED);
    cr_assert_eq(coir_yield(), 0, "the awaiter is not cancelled");
    return 0;
}

RunTest(cancel, wakes_a_sleeper)
{
    atomic_int told = 0;
    coir_task *task = coir_create_task(count_cancel, &told);
    let_them_wait();
    coir_cancel(task);
    yield_until(&told, 1);
    cr_assert_eq(coir_await(task), -ECANCELED);
    return 0;
}

static int count_refused_yields(void *arg)
{
    atomic_int *started = arg;
    atomic_store(started, 1);
    while (coir_yield() == 0)
        ;
    return coir_yield();
}

RunTest(cancel, ends_a_loop_of_yields)
{
    atomic_int started = 0;
    coir_task *task = coir_create_task(count_refused_yields, &started);
    yield_until(&started, 1);
    coir_cancel(task);
    cr_assert_eq(coir_await(task), -ECANCELED);
    return 0;
}

static int cancel_task(void *task)
{
    coir_cancel(task);
    return 0;
}

RunTest(cancel, works_from_a_child_upwards)
{
    coir_task *child = coir_create_task(cancel_task, coir_current_task());
    cr_assert_eq(coir_sleep(COIR_FOREVER), -ECANCELED);
    cr_assert_eq(coir_await(child), 0);
    return 0;
}

static void *cancel_from_thread(void *task)
{
    coir_cancel(task);
    return NULL;
}

RunTest(cancel, works_from_a_foreign_thread)
{
    for (int i = 0; i < check_scale(100); i++) {
        atomic_int told = 0;
        coir_task *task = coir_create_task(count_cancel, &told);
        if (i % 2)
            cr_assert_eq(coir_yield(), 0);
        pthread_t thread;
        cr_assert_eq(pthread_create(&thread, NULL, cancel_from_thread, task), 0);
        cr_assert_eq(coir_await(task), -ECANCELED);
        pthread_join(thread, NULL);
    }
    return 0;
}

RunTest(cancel, from_a_foreign_thread_wakes_a_program_where_all_sleep)
{
    coir_task *self = coir_current_task();
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, cancel_from_thread, self), 0);
    cr_assert_eq(coir_sleep(COIR_FOREVER), -ECANCELED);
    pthread_join(thread, NULL);
    return 0;
}

/* A parent that starts a child and ends without waiting for it. */
struct handed_on {
    coir_task *child;
    atomic_int go;
    int value;
};

static int return_value_once_told(void *arg)
{
    struct handed_on *handed_on = arg;
    while (!atomic_load(&handed_on->go)) {
        int rc = coir_yield();
        if (rc < 0)
            return rc;
    }
    return handed_on->value;
}

static int start_child_and_sleep(void *arg)
{
    struct handed_on *handed_on = arg;
    handed_on->child = coir_create_task(return_value_once_told, handed_on);
    return coir_sleep(COIR_FOREVER);
}

RunTest(cancel, does_not_spread_to_tasks_that_are_not_waited_for)
{
    struct handed_on handed_on = { .value = 11 };
    coir_task *parent = coir_create_task(start_child_and_sleep, &handed_on);
    let_them_wait();
    coir_cancel(parent);
    cr_assert_eq(coir_await(parent), -ECANCELED);
    atomic_store(&handed_on.go, 1);
    cr_assert_eq(coir_await(handed_on.child), 11);
    return 0;
}

RunTest(cancel, of_the_middle_of_a_chain_spares_the_top)
{
    struct handed_on handed_on = { .value = 0 };
    coir_task *parent = coir_create_task(start_child_and_sleep, &handed_on);
    coir_cancel(parent);
    cr_assert_eq(coir_await(parent), -ECANCELED);
    cr_assert_eq(coir_yield(), 0);
    cr_assert_eq(coir_cancel_await(handed_on.child), -ECANCELED);
    return 0;
}

RunTest(cancel, of_many_sleepers_in_any_order_ends_each)
{
    enum { N = 1000 };
    static coir_task *tasks[N];
    atomic_int told = 0;
    for (int i = 0; i < N; i++)
        tasks[i] = coir_create_task(count_cancel, &told);
    let_them_wait();
    for (int i = 0; i < N; i++)
        coir_cancel(tasks[i * 389 % N]);
    for (int i = 0; i < N; i++)
        cr_assert_eq(coir_await(tasks[i]), -ECANCELED);
    cr_assert_eq(atomic_load(&told), N);
    return 0;
}

static int sleep_briefly(void *arg)
{
    return coir_sleep(*(coir_duration *)arg);
}

RunTest(cancel, races_with_a_timer_and_one_of_them_wins)
{
    int ended[2] = { 0 };
    for (int i = 0; i < check_scale(5000); i++) {
        coir_duration duration = COIR_MICROSECONDS(i % 50);
        coir_task *task = coir_create_task(sleep_briefly, &duration);
        if (i % 3)
            cr_assert_eq(coir_sleep(COIR_MICROSECONDS(i % 50)), 0);
        coir_cancel(task);
        int rc = coir_await(task);
        cr_assert(rc == 0 || rc == -ECANCELED, "%d", rc);
        ended[rc == 0]++;
    }
    cr_assert_eq(ended[0] + ended[1], check_scale(5000));
    return 0;
}

static int keep_cancelling(void *arg)
{
    coir_task *victim = arg;
    while (!coir_task_done(victim)) {
        coir_cancel(victim);
        if (coir_yield() < 0)
            break;
    }
    return 0;
}

RunTest(cancel, by_several_tasks_at_once_is_one_cancel)
{
    for (int i = 0; i < check_scale(200); i++) {
        atomic_int told = 0;
        coir_task *victim = coir_create_task(count_cancel, &told);
        coir_task *cancellers[4];
        for (int k = 0; k < 4; k++)
            cancellers[k] = coir_create_task(keep_cancelling, victim);
        for (int k = 0; k < 4; k++)
            cr_assert_eq(coir_await(cancellers[k]), 0);
        cr_assert_eq(coir_await(victim), -ECANCELED);
        cr_assert_eq(atomic_load(&told), 1);
    }
    return 0;
}

RunTest(cancel, leaves_calls_that_never_suspend_alone)
{
    atomic_int told = 0;
    coir_timeout limit;
    coir_task *self = coir_current_task();
    coir_task *other = coir_create_task(count_cancel, &told);
    int64_t deadline = coir_now() + COIR_SECONDS(1000);

    coir_cancel(self);
    coir_timeout_begin(&limit, COIR_FOREVER);
    coir_timeout_reschedule(&limit, deadline);
    cr_assert_eq(coir_deadline(), deadline);
    cr_assert_eq(coir_timeout_end(&limit), 0);
    cr_assert_eq(coir_current_task(), self);
    cr_assert_eq(coir_task_done(self), false);
    cr_assert_not_null(coir_task_name(self));
    cr_assert_str_eq(coir_err_name(-ECANCELED), "ECANCELED");
    cr_assert_gt(strlen(coir_strerror(-ECANCELED)), 0);
    coir_cancel(other);
    cr_assert_eq(coir_await(other), -ECANCELED);
    cr_assert_eq(atomic_load(&told), 1);
    return 0;
}

/* -------------------------------------------------------------- check --- */

RunTest(check, is_zero_while_nothing_is_wrong)
{
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(coir_check(), 0);
    return 0;
}

RunTestOn(1, check, never_suspends)
{
    atomic_int runs = 0;
    coir_task *task = coir_create_task(count, &runs);
    for (int i = 0; i < 100000; i++)
        cr_assert_eq(coir_check(), 0);
    cr_assert_eq(atomic_load(&runs), 0);
    return coir_await(task);
}

static int compute_until_told(void *arg)
{
    atomic_store((atomic_int *)arg, 1);
    int rc;
    while ((rc = coir_check()) == 0)
        ;
    return rc;
}

struct computing {
    coir_task *task;
    atomic_int started;
};

static void *cancel_once_started(void *arg)
{
    struct computing *computing = arg;
    while (!atomic_load(&computing->started))
        sched_yield();
    coir_cancel(computing->task);
    return NULL;
}

RunTest(check, ends_a_computation_when_cancelled_from_a_thread)
{
    struct computing computing = { 0 };
    computing.task = coir_create_task(compute_until_told, &computing.started);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, cancel_once_started, &computing), 0);
    cr_assert_eq(coir_await(computing.task), -ECANCELED);
    pthread_join(thread, NULL);
    return 0;
}

RunTestOn(2, check, ends_a_computation_when_cancelled_from_a_task)
{
    atomic_int started = 0;
    coir_task *task = coir_create_task(compute_until_told, &started);
    yield_until(&started, 1);
    cr_assert_eq(coir_cancel_await(task), -ECANCELED);
    return 0;
}

RunTest(check, ends_a_computation_at_a_deadline)
{
    coir_timeout limit;
    atomic_int started = 0;
    coir_timeout_begin(&limit, COIR_MILLISECONDS(2));
    cr_assert_eq(compute_until_told(&started), -ETIMEDOUT);
    coir_timeout_end(&limit);
    cr_assert_eq(coir_check(), 0);
    return 0;
}

RunTest(check, ends_an_awaited_computation_at_the_awaiters_deadline)
{
    coir_timeout limit;
    atomic_int started = 0;
    coir_timeout_begin(&limit, COIR_MILLISECONDS(2));
    coir_task *task = coir_create_task(compute_until_told, &started);
    cr_assert_eq(coir_await(task), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    return 0;
}

RunTest(check, is_zero_inside_a_shield)
{
    coir_shield shield;
    coir_cancel(coir_current_task());
    coir_shield_begin(&shield);
    cr_assert_eq(coir_check(), 0);
    coir_shield_end(&shield);
    cr_assert_eq(coir_check(), -ECANCELED);
    return 0;
}
