/*
 * Time: durations, the clock, sleeping, and who wakes first.
 */
#include <sys/prctl.h>
#include <time.h>

#include "api/in_run.h"

static int64_t monotonic(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

Test(time, now_is_the_monotonic_clock)
{
    for (int i = 0; i < 1000; i++) {
        int64_t before = monotonic();
        int64_t now = coir_now();
        int64_t after = monotonic();
        cr_assert_leq(before, now);
        cr_assert_leq(now, after);
    }
}

RunTest(time, now_works_in_a_cancelled_task)
{
    coir_cancel(coir_current_task());
    int64_t before = coir_now();
    cr_assert_leq(before, coir_now());
    return 0;
}

Test(time, durations_are_nanoseconds)
{
    cr_assert_eq(COIR_NANOSECONDS(5), 5);
    cr_assert_eq(COIR_MICROSECONDS(5), 5000);
    cr_assert_eq(COIR_MILLISECONDS(5), 5000000);
    cr_assert_eq(COIR_SECONDS(5), 5000000000);
    cr_assert_eq(COIR_SECONDS(-5), -5000000000);
}

Test(time, durations_take_fractions)
{
    cr_assert_eq(COIR_SECONDS(0.5), 500000000);
    cr_assert_eq(COIR_MILLISECONDS(1.5), 1500000);
    cr_assert_eq(COIR_MICROSECONDS(0.25), 250);
    cr_assert_eq(COIR_SECONDS(-0.5), -500000000);
}

Test(time, large_durations_are_exact)
{
    cr_assert_eq(COIR_NANOSECONDS(INT64_MAX - 1), INT64_MAX - 1);
    cr_assert_eq(COIR_SECONDS(9223372036), 9223372036000000000);
    cr_assert_eq(COIR_SECONDS(INT64_C(9223372035)), 9223372035000000000);
}

Test(time, durations_saturate)
{
    cr_assert_eq(COIR_SECONDS(1e30), COIR_FOREVER);
    cr_assert_eq(COIR_SECONDS(9223372037), COIR_FOREVER);
    cr_assert_eq(COIR_SECONDS(INT64_MAX), COIR_FOREVER);
    cr_assert_eq(COIR_MILLISECONDS(INT64_MAX), COIR_FOREVER);
    cr_assert_eq(COIR_NANOSECONDS(INT64_MAX), COIR_FOREVER);
    cr_assert_eq(COIR_SECONDS(-1e30), INT64_MIN);
    cr_assert_eq(COIR_MICROSECONDS(INT64_MIN), INT64_MIN);
}

/* -------------------------------------------------------------- sleep --- */

RunTest(sleep, lasts_at_least_as_long_as_asked)
{
    coir_duration durations[] = { 1, COIR_MICROSECONDS(1), COIR_MICROSECONDS(100),
                                  COIR_MILLISECONDS(3) };
    for (size_t i = 0; i < LENGTH(durations); i++) {
        int64_t before = coir_now();
        cr_assert_eq(coir_sleep(durations[i]), 0);
        cr_assert_geq(coir_now() - before, durations[i]);
    }
    return 0;
}

RunTest(sleep, until_a_point_in_time_ends_not_before_it)
{
    for (int i = 0; i < 20; i++) {
        int64_t when = coir_now() + COIR_MICROSECONDS(i * 50);
        cr_assert_eq(coir_sleep_until(when), 0);
        cr_assert_geq(coir_now(), when);
    }
    return 0;
}

RunTest(sleep, of_nothing_or_less_returns_zero)
{
    cr_assert_eq(coir_sleep(0), 0);
    cr_assert_eq(coir_sleep(-1), 0);
    cr_assert_eq(coir_sleep(INT64_MIN), 0);
    cr_assert_eq(coir_sleep_until(0), 0);
    cr_assert_eq(coir_sleep_until(-1), 0);
    cr_assert_eq(coir_sleep_until(INT64_MIN), 0);
    cr_assert_eq(coir_sleep_until(coir_now()), 0);
    return 0;
}

static int sleep_for(void *arg)
{
    return coir_sleep(*(coir_duration *)arg);
}

static int sleep_until(void *arg)
{
    return coir_sleep_until(*(int64_t *)arg);
}

RunTest(sleep, of_forever_or_nearly_so_ends_only_by_a_cancel)
{
    int64_t long_times[] = { INT64_MAX, INT64_MAX - 1, INT64_MAX / 2 + 1, COIR_SECONDS(9e9) };
    for (size_t i = 0; i < LENGTH(long_times); i++) {
        coir_task *a = coir_create_task(sleep_for, &long_times[i]);
        coir_task *b = coir_create_task(sleep_until, &long_times[i]);
        let_them_wait();
        cr_assert_not(coir_task_done(a));
        cr_assert_not(coir_task_done(b));
        cr_assert_eq(coir_cancel_await(a), -ECANCELED);
        cr_assert_eq(coir_cancel_await(b), -ECANCELED);
    }
    return 0;
}

RunTest(sleep, in_a_cancelled_task_is_refused_whatever_its_length)
{
    int64_t lengths[] = { INT64_MIN, -1, 0, 1, COIR_SECONDS(1), COIR_FOREVER };
    coir_cancel(coir_current_task());
    for (size_t i = 0; i < LENGTH(lengths); i++) {
        cr_assert_eq(coir_sleep(lengths[i]), -ECANCELED);
        cr_assert_eq(coir_sleep_until(lengths[i]), -ECANCELED);
    }
    return 0;
}

RunTest(sleep, that_ended_before_the_cancel_returns_zero)
{
    cr_assert_eq(coir_sleep(COIR_MICROSECONDS(1)), 0);
    cr_assert_eq(coir_sleep_until(coir_now() + 1), 0);
    coir_cancel(coir_current_task());
    cr_assert_eq(coir_sleep(COIR_MICROSECONDS(1)), -ECANCELED);
    return 0;
}

RunTest(sleep, is_cut_short_by_a_deadline)
{
    coir_timeout limit;
    coir_timeout_begin(&limit, COIR_MICROSECONDS(200));
    cr_assert_eq(coir_sleep_until(COIR_FOREVER), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    return 0;
}

/* -------------------------------------------------------------- order --- */

enum { SLEEPERS = 100 };

/* Tasks that sleep until given moments, and the order in which they woke.  The
   order means something only if all slept before the first moment came. */
struct dormitory {
    int64_t first;
    int64_t when[SLEEPERS];
    int woken[SLEEPERS];
    int n_woken;
    bool late;
};

struct sleeper {
    struct dormitory *dormitory;
    int index;
};

static int sleep_and_sign(void *arg)
{
    struct sleeper *sleeper = arg;
    struct dormitory *dormitory = sleeper->dormitory;
    int rc = coir_sleep_until(dormitory->when[sleeper->index]);
    dormitory->woken[dormitory->n_woken++] = sleeper->index;
    return rc;
}

static void sleep_in(struct dormitory *dormitory)
{
    struct sleeper sleepers[SLEEPERS];
    coir_task *tasks[SLEEPERS];
    for (int i = 0; i < SLEEPERS; i++) {
        sleepers[i] = (struct sleeper){ dormitory, i };
        tasks[i] = coir_create_task(sleep_and_sign, &sleepers[i]);
    }
    cr_assert_eq(coir_yield(), 0);
    dormitory->late = coir_now() >= dormitory->first;
    for (int i = 0; i < SLEEPERS; i++)
        cr_assert_eq(coir_await(tasks[i]), 0);
    cr_assert_eq(dormitory->n_woken, SLEEPERS);
}

/* Sleeper i sleeps until `first` plus step[i] microseconds. */
static struct dormitory sleep_by_steps(const int *step)
{
    for (coir_duration ahead = COIR_MILLISECONDS(5);; ahead *= 2) {
        struct dormitory dormitory = { .first = coir_now() + ahead };
        for (int i = 0; i < SLEEPERS; i++)
            dormitory.when[i] = dormitory.first + COIR_MICROSECONDS(step[i]);
        sleep_in(&dormitory);
        if (!dormitory.late)
            return dormitory;
    }
}

RunTestOn(1, sleep, until_the_same_moment_wakes_in_the_order_of_going_to_sleep)
{
    int steps[SLEEPERS] = { 0 };
    struct dormitory dormitory = sleep_by_steps(steps);
    for (int i = 0; i < SLEEPERS; i++)
        cr_assert_eq(dormitory.woken[i], i);
    return 0;
}

RunTestOn(1, sleep, until_different_moments_wakes_in_their_order)
{
    int steps[SLEEPERS];
    for (int i = 0; i < SLEEPERS; i++)
        steps[i] = i * 37 % SLEEPERS * 10;
    struct dormitory dormitory = sleep_by_steps(steps);
    for (int i = 1; i < SLEEPERS; i++)
        cr_assert_lt(steps[dormitory.woken[i - 1]], steps[dormitory.woken[i]]);
    return 0;
}

RunTestOn(1, sleep, until_few_moments_wakes_each_batch_in_the_order_of_going_to_sleep)
{
    int steps[SLEEPERS];
    for (int i = 0; i < SLEEPERS; i++)
        steps[i] = i * 37 % 5 * 100;
    struct dormitory dormitory = sleep_by_steps(steps);
    for (int i = 1; i < SLEEPERS; i++) {
        int before = dormitory.woken[i - 1], after = dormitory.woken[i];
        cr_assert_leq(steps[before], steps[after]);
        if (steps[before] == steps[after])
            cr_assert_lt(before, after);
    }
    return 0;
}

RunTest(sleep, by_many_at_once_wakes_each)
{
    enum { N = 2000 };
    static coir_task *tasks[N];
    static coir_duration durations[N];
    for (int i = 0; i < N; i++) {
        durations[i] = COIR_MICROSECONDS(i * 389 % N * 5);
        tasks[i] = coir_create_task(sleep_for, &durations[i]);
    }
    for (int i = 0; i < N; i++)
        cr_assert_eq(coir_await(tasks[i]), 0);
    return 0;
}

static int get_slack(void *ret_slack)
{
    *(int *)ret_slack = prctl(PR_GET_TIMERSLACK);
    return 0;
}

/* The kernel may add a thread's slack to what it sleeps. */
Test(sleep, has_no_slack_and_that_of_other_threads_is_their_own)
{
    int before = 0, slack = 0, after = 0;
    cr_assert_eq(prctl(PR_SET_TIMERSLACK, 40000ul), 0);
    get_slack(&before);
    cr_assert_eq(coir_run(get_slack, &slack), 0);
    get_slack(&after);
    cr_assert_eq(before, 40000);
    cr_assert_eq(slack, 1);
    cr_assert_eq(after, before);
}
