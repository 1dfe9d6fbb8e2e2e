/*
 * Timeout scopes and coir_wait_for(), after asyncio's tests of timeout() and
 * wait_for(): see cpython.txt.
 */
#include "api/forked.h"

static void spin_until(int64_t when)
{
    while (coir_now() < when)
        ;
}

/* test_timeouts.TimeoutTests.test_nested_timeouts */
RunTest(timeout, nested_with_equal_deadlines_is_the_outers_doing)
{
    coir_timeout outer, inner;
    int64_t deadline = coir_now() + COIR_MILLISECONDS(2);
    coir_timeout_begin_at(&outer, deadline);
    coir_timeout_begin_at(&inner, deadline);
    cr_assert_eq(coir_sleep(COIR_FOREVER), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&inner), 0);
    cr_assert_eq(coir_yield(), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&outer), 1);
    cr_assert_eq(coir_yield(), 0);
    return 0;
}

/* test_timeouts.TimeoutTests.test_nested_timeouts_concurrent */
RunTest(timeout, nested_of_which_the_outer_passes_while_computing_is_the_outers_doing)
{
    coir_timeout outer, inner;
    coir_timeout_begin(&outer, COIR_MILLISECONDS(1));
    coir_timeout_begin(&inner, COIR_SECONDS(1000));
    spin_until(coir_now() + COIR_MILLISECONDS(2));
    cr_assert_eq(coir_sleep(COIR_FOREVER), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&inner), 0);
    cr_assert_eq(coir_timeout_end(&outer), 1);
    return 0;
}

static int fail_when_late(void)
{
    return coir_sleep(COIR_FOREVER) == -ETIMEDOUT ? -EDOM : 0;
}

/* test_timeouts.TimeoutTests.test_foreign_exception_on_timeout */
RunTest(timeout, that_ended_a_call_is_told_whatever_error_was_made_of_it)
{
    coir_timeout limit;
    coir_timeout_begin(&limit, COIR_MILLISECONDS(1));
    cr_assert_eq(fail_when_late(), -EDOM);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    return 0;
}

struct rescheduled {
    atomic_int ready;
    int slept, timed_out;
};

static int reschedule_and_sleep(void *arg)
{
    struct rescheduled *self = arg;
    int64_t first = coir_now() + COIR_SECONDS(1000), second = first + COIR_SECONDS(20);
    coir_timeout limit;
    coir_timeout_begin_at(&limit, first);
    cr_assert_eq(coir_deadline(), first);
    coir_timeout_reschedule(&limit, second);
    cr_assert_eq(coir_deadline(), second);
    coir_timeout_reschedule(&limit, COIR_FOREVER);
    cr_assert_eq(coir_deadline(), COIR_FOREVER);
    atomic_store(&self->ready, 1);
    self->slept = coir_sleep(COIR_FOREVER);
    self->timed_out = coir_timeout_end(&limit);
    return self->slept;
}

/* test_timeouts.TimeoutTests.test_reschedule: there another task does it. */
RunTest(timeout, rescheduled_and_then_cancelled_has_not_expired)
{
    struct rescheduled self = { 0 };
    coir_task *task = coir_create_task(reschedule_and_sleep, &self);
    yield_until(&self.ready, 1);
    cr_assert_eq(coir_cancel_await(task), -ECANCELED);
    cr_assert_eq(self.slept, -ECANCELED);
    cr_assert_eq(self.timed_out, 0);
    return 0;
}

static int begin_twice(UNUSED void *arg)
{
    coir_timeout limit;
    coir_timeout_begin(&limit, COIR_SECONDS(1000));
    coir_timeout_begin(&limit, COIR_SECONDS(1000));
    return coir_timeout_end(&limit);
}

/* test_timeouts.TimeoutTests.test_timeout_already_entered */
Test(misuse, timeout_begin_of_a_scope_that_is_open)
{
    expect_abort(begin_twice, "coir_timeout_begin");
}

static int reschedule_too_late(UNUSED void *arg)
{
    coir_timeout limit;
    coir_timeout_begin(&limit, COIR_SECONDS(1000));
    coir_timeout_end(&limit);
    coir_timeout_reschedule(&limit, COIR_FOREVER);
    return 0;
}

/* test_timeouts.TimeoutTests.test_timeout_finished */
Test(misuse, timeout_reschedule_of_a_scope_that_has_ended)
{
    expect_abort(reschedule_too_late, "coir_timeout_reschedule");
}

/* ------------------------------------------------------------ wait_for --- */

/* A task that is told to stop, and what it does then. */
struct slow {
    coir_duration limit; /* of the one that waits for it */
    atomic_int started, told, let_go, ended;
    int value;
};

static int end_when_let_go(void *arg)
{
    struct slow *slow = arg;
    coir_shield shield;
    atomic_store(&slow->started, 1);
    int rc = coir_sleep(COIR_FOREVER);
    coir_shield_begin(&shield);
    atomic_store(&slow->told, 1);
    yield_until(&slow->let_go, 1);
    coir_shield_end(&shield);
    atomic_store(&slow->ended, 1);
    return slow->value ? slow->value : rc;
}

/* test_waitfor.AsyncioWaitForTest.test_wait_for_timeout_less_then_0_or_0,
   test_wait_for_waits_for_task_cancellation_w_timeout_0 */
RunTest(wait_for, no_time_cancels_a_task_that_waits_and_waits_for_its_clean_up)
{
    coir_duration none[] = { 0, -1 };
    for (size_t i = 0; i < LENGTH(none); i++) {
        struct slow slow = { .let_go = 1 };
        coir_task *task = coir_create_task(end_when_let_go, &slow);
        yield_until(&slow.started, 1);
        cr_assert_eq(coir_wait_for(task, none[i]), -ETIMEDOUT);
        cr_assert_eq(atomic_load(&slow.ended), 1);
        cr_assert_eq(coir_yield(), 0);
    }
    return 0;
}

static int wait_for_slow(void *arg)
{
    struct slow *slow = arg;
    int rc = coir_wait_for(coir_create_task(end_when_let_go, slow), slow->limit);
    cr_assert_eq(atomic_load(&slow->ended), 1);
    cr_assert_eq(coir_yield(), -ECANCELED);
    return rc;
}

/* test_waitfor.AsyncioWaitForTest.test_wait_for_self_cancellation: asyncio's wait_for()
   leaves the task to itself, coir's has its value. */
RunTest(wait_for, cancelled_while_the_task_holds_up_the_deadline_still_waits_for_its_value)
{
    struct slow slow = { .limit = COIR_MILLISECONDS(1), .value = 42 };
    coir_task *waiter = coir_create_task(wait_for_slow, &slow);
    yield_until(&slow.told, 1);
    coir_cancel(waiter);
    let_them_wait();
    cr_assert_not(coir_task_done(waiter));
    atomic_store(&slow.let_go, 1);
    cr_assert_eq(coir_await(waiter), 42);
    return 0;
}

/* test_waitfor.AsyncioWaitForTest.test_cancel_blocking_wait_for, test_cancel_wait_for,
   test_asyncio_wait_for_cancelled */
RunTest(wait_for, with_or_without_an_end_that_is_cancelled_cancels_the_task_and_waits)
{
    coir_duration limits[] = { COIR_FOREVER, COIR_SECONDS(1000) };
    for (size_t i = 0; i < LENGTH(limits); i++) {
        struct slow slow = { .limit = limits[i] };
        coir_task *waiter = coir_create_task(wait_for_slow, &slow);
        yield_until(&slow.started, 1);
        coir_cancel(waiter);
        yield_until(&slow.told, 1);
        cr_assert_not(coir_task_done(waiter));
        atomic_store(&slow.let_go, 1);
        cr_assert_eq(coir_await(waiter), -ECANCELED);
    }
    return 0;
}
