/*
 * Timeout scopes: whose deadline ended a call, and who is told.
 */
#include <time.h>

#include "api/in_run.h"

/* Compute, without a call of coir, until a point in time has passed. */
static void spin_until(int64_t when)
{
    while (coir_now() < when)
        ;
}

RunTest(timeout, ends_a_sleep)
{
    coir_timeout limit;
    coir_timeout_begin(&limit, COIR_MILLISECONDS(1));
    cr_assert_eq(coir_sleep(COIR_FOREVER), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    return 0;
}

RunTest(timeout, at_a_point_in_time_ends_a_sleep_not_before_it)
{
    coir_timeout limit;
    int64_t when = coir_now() + COIR_MILLISECONDS(2);
    coir_timeout_begin_at(&limit, when);
    cr_assert_eq(coir_sleep(COIR_FOREVER), -ETIMEDOUT);
    cr_assert_geq(coir_now(), when);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    return 0;
}

RunTest(timeout, that_is_not_needed_returns_zero)
{
    coir_timeout limit;
    coir_timeout_begin(&limit, COIR_SECONDS(1000));
    cr_assert_eq(coir_sleep(COIR_MICROSECONDS(10)), 0);
    cr_assert_eq(coir_timeout_end(&limit), 0);
    return 0;
}

RunTest(timeout, ends_with_its_scope)
{
    coir_timeout limit;
    coir_timeout_begin(&limit, 0);
    cr_assert_eq(coir_yield(), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    cr_assert_eq(coir_yield(), 0);
    cr_assert_eq(coir_check(), 0);
    return 0;
}

RunTest(timeout, that_has_passed_refuses_every_call)
{
    coir_duration passed[] = { 0, -1, -COIR_SECONDS(11), INT64_MIN };
    for (size_t i = 0; i < LENGTH(passed); i++) {
        coir_timeout limit;
        coir_timeout_begin(&limit, passed[i]);
        cr_assert_eq(coir_yield(), -ETIMEDOUT);
        cr_assert_eq(coir_sleep(0), -ETIMEDOUT);
        cr_assert_eq(coir_sleep_until(0), -ETIMEDOUT);
        cr_assert_eq(coir_sleep(COIR_FOREVER), -ETIMEDOUT);
        cr_assert_eq(coir_check(), -ETIMEDOUT);
        cr_assert_eq(coir_timeout_end(&limit), 1);
    }
    return 0;
}

RunTest(timeout, at_a_past_point_in_time_refuses_every_call)
{
    int64_t past[] = { 0, -1, INT64_MIN, coir_now() };
    for (size_t i = 0; i < LENGTH(past); i++) {
        coir_timeout limit;
        coir_timeout_begin_at(&limit, past[i]);
        cr_assert_eq(coir_yield(), -ETIMEDOUT);
        cr_assert_eq(coir_timeout_end(&limit), 1);
    }
    return 0;
}

RunTest(timeout, that_no_call_noticed_returns_zero)
{
    coir_timeout limit;
    coir_timeout_begin(&limit, 0);
    cr_assert_eq(coir_timeout_end(&limit), 0);

    coir_timeout_begin(&limit, COIR_MILLISECONDS(1));
    spin_until(coir_now() + COIR_MILLISECONDS(2));
    cr_assert_eq(coir_timeout_end(&limit), 0);
    cr_assert_eq(coir_yield(), 0);
    return 0;
}

RunTest(timeout, that_passed_while_computing_is_noticed_by_the_next_call)
{
    coir_timeout limit;
    coir_timeout_begin(&limit, COIR_MILLISECONDS(1));
    spin_until(coir_now() + COIR_MILLISECONDS(2));
    cr_assert_eq(coir_yield(), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    return 0;
}

RunTest(timeout, of_forever_sets_no_deadline)
{
    coir_timeout limit;
    coir_timeout_begin(&limit, COIR_FOREVER);
    cr_assert_eq(coir_deadline(), COIR_FOREVER);
    cr_assert_eq(coir_yield(), 0);
    cr_assert_eq(coir_timeout_end(&limit), 0);

    coir_timeout_begin_at(&limit, COIR_FOREVER);
    cr_assert_eq(coir_deadline(), COIR_FOREVER);
    cr_assert_eq(coir_yield(), 0);
    cr_assert_eq(coir_timeout_end(&limit), 0);
    return 0;
}

RunTest(timeout, of_nearly_forever_does_not_overflow)
{
    coir_duration nearly[] = { INT64_MAX - 1, INT64_MAX / 2 + 1, COIR_SECONDS(9e9) };
    for (size_t i = 0; i < LENGTH(nearly); i++) {
        coir_timeout limit;
        coir_timeout_begin(&limit, nearly[i]);
        cr_assert_gt(coir_deadline(), coir_now());
        cr_assert_eq(coir_sleep(COIR_MICROSECONDS(1)), 0);
        cr_assert_eq(coir_timeout_end(&limit), 0);
    }
    return 0;
}

static int look_at_the_deadline(UNUSED void *arg)
{
    return coir_deadline() == COIR_FOREVER && coir_check() == 0;
}

RunTest(timeout, is_not_inherited_by_other_tasks)
{
    coir_timeout limit;
    coir_timeout_begin(&limit, COIR_SECONDS(1000));
    coir_task *awaited = coir_create_task(look_at_the_deadline, NULL);
    cr_assert_eq(coir_await(awaited), 1);
    coir_task *apart = coir_create_task(look_at_the_deadline, NULL);
    while (!coir_task_done(apart))
        cr_assert_eq(coir_yield(), 0);
    cr_assert_eq(coir_await(apart), 1);
    cr_assert_eq(coir_timeout_end(&limit), 0);
    return 0;
}

RunTest(timeout, does_not_cancel_tasks_that_are_not_waited_for)
{
    atomic_int told = 0;
    coir_timeout limit;
    coir_timeout_begin(&limit, COIR_MILLISECONDS(1));
    coir_task *task = coir_create_task(count_cancel, &told);
    cr_assert_eq(coir_sleep(COIR_FOREVER), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    let_them_wait();
    cr_assert_eq(atomic_load(&told), 0);
    cr_assert_eq(coir_cancel_await(task), -ECANCELED);
    return 0;
}

struct asker {
    int64_t when; /* the deadline of whoever waits for it */
    int before, after;
};

/* With one worker nobody else runs between the yield's end and the last question. */
static int ask_before_and_after(void *arg)
{
    struct asker *asker = arg;
    asker->before = coir_yield();
    spin_until(asker->when);
    asker->after = coir_check();
    return 0;
}

RunTestOn(1, timeout, is_found_by_a_child_that_had_asked_before_it_was_awaited)
{
    struct asker asker = { .when = coir_now() + COIR_MILLISECONDS(5) };
    coir_task *child = coir_create_task(ask_before_and_after, &asker);
    coir_timeout limit;
    cr_assert_eq(coir_yield(), 0);
    coir_timeout_begin_at(&limit, asker.when);
    cr_assert_eq(coir_await(child), 0);
    coir_timeout_end(&limit);
    cr_assert_eq(asker.before, 0);
    cr_assert_eq(asker.after, -ECANCELED);
    return 0;
}

RunTestOn(1, timeout, is_found_by_a_member_that_had_asked_before_it_was_waited_for)
{
    struct asker asker = { .when = coir_now() + COIR_SECONDS(3600) };
    coir_timeout limit;
    coir_group group;
    coir_timeout_begin_at(&limit, asker.when);
    coir_group_init(&group);
    cr_assert_eq(coir_group_create_task(&group, ask_before_and_after, &asker), 0);
    cr_assert_eq(coir_yield(), 0);
    asker.when = coir_now() + COIR_MILLISECONDS(5);
    coir_timeout_reschedule(&limit, asker.when);
    coir_group_wait(&group);
    coir_timeout_end(&limit);
    cr_assert_eq(asker.before, 0);
    cr_assert_eq(asker.after, -ECANCELED);
    return 0;
}

RunTest(timeout, can_be_begun_in_a_cancelled_task)
{
    coir_timeout limit;
    coir_cancel(coir_current_task());
    coir_timeout_begin(&limit, COIR_SECONDS(1));
    cr_assert_eq(coir_yield(), -ECANCELED);
    cr_assert_eq(coir_timeout_end(&limit), 0);
    return 0;
}

RunTest(timeout, of_a_million_scopes_leaves_nothing_behind)
{
    for (int i = 0; i < check_scale(1000000); i++) {
        coir_timeout limit;
        coir_timeout_begin(&limit, COIR_SECONDS(30));
        if (i % 64 == 0)
            cr_assert_eq(coir_yield(), 0);
        cr_assert_eq(coir_timeout_end(&limit), 0);
    }
    return 0;
}

/* -------------------------------------------------------------- nested --- */

RunTest(timeout, nested_inner_first_ends_only_the_inner)
{
    coir_timeout outer, inner;
    coir_timeout_begin(&outer, COIR_SECONDS(1000));
    coir_timeout_begin(&inner, COIR_MILLISECONDS(1));
    cr_assert_eq(coir_sleep(COIR_FOREVER), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&inner), 1);
    cr_assert_eq(coir_yield(), 0);
    cr_assert_eq(coir_timeout_end(&outer), 0);
    return 0;
}

RunTest(timeout, nested_outer_first_is_the_outers_doing)
{
    coir_timeout outer, inner;
    coir_timeout_begin(&outer, COIR_MILLISECONDS(1));
    coir_timeout_begin(&inner, COIR_SECONDS(1000));
    cr_assert_eq(coir_sleep(COIR_FOREVER), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&inner), 0);
    cr_assert_eq(coir_yield(), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&outer), 1);
    cr_assert_eq(coir_yield(), 0);
    return 0;
}

RunTest(timeout, nested_both_passed_refuses_until_the_outer_ends)
{
    coir_timeout outer, inner;
    coir_timeout_begin(&outer, 0);
    coir_timeout_begin(&inner, 0);
    cr_assert_eq(coir_sleep(COIR_FOREVER), -ETIMEDOUT);
    coir_timeout_end(&inner);
    cr_assert_eq(coir_sleep(COIR_FOREVER), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&outer), 1);
    cr_assert_eq(coir_yield(), 0);
    return 0;
}

/* asyncio: test_nested_timeouts_loop_busy. */
RunTest(timeout, nested_both_pass_while_computing_and_the_outer_still_ends_what_follows)
{
    coir_timeout outer, inner;
    coir_timeout_begin(&outer, COIR_MILLISECONDS(2));
    coir_timeout_begin(&inner, COIR_MILLISECONDS(1));
    spin_until(coir_now() + COIR_MILLISECONDS(3));
    cr_assert_eq(coir_sleep(COIR_FOREVER), -ETIMEDOUT);
    coir_timeout_end(&inner);
    cr_assert_eq(coir_sleep(COIR_FOREVER), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&outer), 1);
    return 0;
}

/* asyncio: test_nested_timeout_in_finally. */
RunTest(timeout, inside_a_shield_works_in_a_scope_that_has_passed)
{
    coir_timeout outer, inner;
    coir_shield shield;
    coir_timeout_begin(&outer, COIR_MILLISECONDS(1));
    cr_assert_eq(coir_sleep(COIR_FOREVER), -ETIMEDOUT);
    coir_shield_begin(&shield);
    coir_timeout_begin(&inner, COIR_MILLISECONDS(1));
    cr_assert_eq(coir_sleep(COIR_FOREVER), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&inner), 1);
    coir_shield_end(&shield);
    cr_assert_eq(coir_timeout_end(&outer), 1);
    return 0;
}

RunTest(timeout, nested_a_hundred_deep_only_the_expired_one_counts)
{
    enum { DEPTH = 100, EXPIRED = 40 };
    coir_timeout limits[DEPTH];
    for (int i = 0; i < DEPTH; i++)
        coir_timeout_begin(&limits[i], i == EXPIRED ? 0 : COIR_SECONDS(1000));
    for (int i = DEPTH - 1; i >= 0; i--) {
        cr_assert_eq(coir_yield(), i >= EXPIRED ? -ETIMEDOUT : 0);
        cr_assert_eq(coir_timeout_end(&limits[i]), i == EXPIRED);
    }
    return 0;
}

RunTest(timeout, deadline_is_that_of_the_earliest_scope)
{
    coir_timeout outer, inner;
    int64_t now = coir_now();
    cr_assert_eq(coir_deadline(), COIR_FOREVER);
    coir_timeout_begin_at(&outer, now + COIR_SECONDS(100));
    cr_assert_eq(coir_deadline(), now + COIR_SECONDS(100));
    coir_timeout_begin_at(&inner, now + COIR_SECONDS(200));
    cr_assert_eq(coir_deadline(), now + COIR_SECONDS(100));
    coir_timeout_reschedule(&inner, now + COIR_SECONDS(50));
    cr_assert_eq(coir_deadline(), now + COIR_SECONDS(50));
    coir_timeout_end(&inner);
    cr_assert_eq(coir_deadline(), now + COIR_SECONDS(100));
    coir_timeout_end(&outer);
    cr_assert_eq(coir_deadline(), COIR_FOREVER);
    return 0;
}

RunTest(timeout, begin_counts_from_now)
{
    coir_timeout limit;
    int64_t before = coir_now();
    coir_timeout_begin(&limit, COIR_SECONDS(100));
    int64_t after = coir_now();
    cr_assert_geq(coir_deadline(), before + COIR_SECONDS(100));
    cr_assert_leq(coir_deadline(), after + COIR_SECONDS(100));
    coir_timeout_end(&limit);
    return 0;
}

/* -------------------------------------------------- against a cancel --- */

RunTest(timeout, a_cancel_wins_over_a_deadline)
{
    coir_timeout limit;
    coir_timeout_begin(&limit, 0);
    coir_cancel(coir_current_task());
    cr_assert_eq(coir_yield(), -ECANCELED);
    cr_assert_eq(coir_check(), -ECANCELED);
    cr_assert_eq(coir_timeout_end(&limit), 0);
    return 0;
}

RunTest(timeout, a_cancel_after_the_deadline_was_noticed_wins_from_then_on)
{
    coir_timeout limit;
    coir_timeout_begin(&limit, 0);
    cr_assert_eq(coir_yield(), -ETIMEDOUT);
    coir_cancel(coir_current_task());
    cr_assert_eq(coir_yield(), -ECANCELED);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    cr_assert_eq(coir_yield(), -ECANCELED);
    return 0;
}

/* Ways to wait for ever. */
static int sleep_on(void)
{
    return coir_sleep(COIR_FOREVER);
}

static int await_a_sleeper(void)
{
    return coir_await(coir_create_task(sleep_forever, NULL));
}

static int gather_sleepers(void)
{
    return coir_gather(COIR_CALL(sleep_forever, NULL), COIR_CALL(sleep_forever, NULL));
}

static int gather_all_sleepers(void)
{
    coir_call calls[] = { COIR_CALL(sleep_forever, NULL), COIR_CALL(sleep_forever, NULL) };
    return coir_gather_all(calls, 2);
}

static int group_of_sleepers(void)
{
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(coir_group_create_task(&group, sleep_forever, NULL), 0);
    return coir_group_wait(&group);
}

static int group_of_a_sleeping_owner(void)
{
    coir_group group;
    coir_group_init(&group);
    int slept = coir_sleep(COIR_FOREVER);
    int waited = coir_group_wait(&group);
    cr_assert(waited == slept || waited == -ECANCELED, "%d after %d", waited, slept);
    return slept;
}

static int yield_on(void)
{
    int rc;
    while ((rc = coir_yield()) == 0)
        ;
    return rc;
}

static int (*const ways_to_wait[])(void) = {
    sleep_on,          await_a_sleeper,           gather_sleepers, gather_all_sleepers,
    group_of_sleepers, group_of_a_sleeping_owner, yield_on,
};

struct limited {
    int (*wait)(void);
    coir_duration limit;
    int waited;
    int timed_out;
    int next_call;
};

static int wait_in_a_scope(void *arg)
{
    struct limited *limited = arg;
    coir_timeout limit;
    coir_timeout_begin(&limit, limited->limit);
    limited->waited = limited->wait();
    limited->timed_out = coir_timeout_end(&limit);
    limited->next_call = coir_yield();
    return 0;
}

/* asyncio: test_foreign_cancel_doesnt_timeout_if_not_expired. */
RunTest(timeout, a_cancel_from_outside_is_not_taken_for_the_scopes)
{
    for (size_t way = 0; way < LENGTH(ways_to_wait); way++) {
        struct limited limited = { .wait = ways_to_wait[way], .limit = COIR_SECONDS(1000) };
        coir_task *task = coir_create_task(wait_in_a_scope, &limited);
        let_them_wait();
        coir_cancel(task);
        cr_assert_eq(coir_await(task), 0);
        cr_assert_eq(limited.waited, -ECANCELED, "way %zu", way);
        cr_assert_eq(limited.timed_out, 0, "way %zu", way);
        cr_assert_eq(limited.next_call, -ECANCELED, "way %zu", way);
    }
    return 0;
}

RunTest(timeout, ends_every_way_to_wait)
{
    for (size_t way = 0; way < LENGTH(ways_to_wait); way++) {
        struct limited limited = { .wait = ways_to_wait[way], .limit = COIR_MILLISECONDS(1) };
        wait_in_a_scope(&limited);
        cr_assert_eq(limited.waited, -ETIMEDOUT, "way %zu", way);
        cr_assert_eq(limited.timed_out, 1, "way %zu", way);
        cr_assert_eq(limited.next_call, 0, "way %zu", way);
    }
    return 0;
}

RunTest(timeout, races_with_a_cancel_and_each_is_told_apart)
{
    for (int i = 0; i < check_scale(7000); i++) {
        size_t way = (size_t)i % LENGTH(ways_to_wait);
        struct limited limited = { .wait = ways_to_wait[way],
                                   .limit = COIR_MICROSECONDS(i % 100) };
        coir_task *task = coir_create_task(wait_in_a_scope, &limited);
        cr_assert_eq(coir_sleep(COIR_MICROSECONDS(i * 7 % 100)), 0);
        coir_cancel(task);
        cr_assert_eq(coir_await(task), 0);
        cr_assert_eq(limited.timed_out, limited.waited == -ETIMEDOUT, "way %zu: %d but %d", way,
                     limited.timed_out, limited.waited);
        cr_assert(limited.timed_out || limited.waited == -ECANCELED, "way %zu: %d", way,
                  limited.waited);
    }
    return 0;
}

/* --------------------------------------------------------- reschedule --- */

RunTest(timeout, rescheduled_earlier_ends_the_call_earlier)
{
    coir_timeout limit;
    coir_timeout_begin(&limit, COIR_SECONDS(10000));
    coir_timeout_reschedule(&limit, coir_now() + COIR_MILLISECONDS(1));
    cr_assert_eq(coir_sleep(COIR_FOREVER), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    return 0;
}

RunTest(timeout, rescheduled_into_the_past_has_passed)
{
    coir_timeout limit;
    coir_timeout_begin(&limit, COIR_SECONDS(10000));
    coir_timeout_reschedule(&limit, coir_now() - 1);
    cr_assert_eq(coir_yield(), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    return 0;
}

/* Begin a scope and move it to `later` before its first deadline. */
static int64_t begin_and_put_off(coir_timeout *limit, int64_t later)
{
    for (;;) {
        int64_t first = coir_now() + COIR_MILLISECONDS(20);
        coir_timeout_begin_at(limit, first);
        coir_timeout_reschedule(limit, later);
        if (coir_now() < first)
            return first;
        coir_timeout_end(limit); /* too slow; once more */
    }
}

RunTest(timeout, rescheduled_later_lets_the_first_deadline_pass)
{
    coir_timeout limit;
    int64_t first = begin_and_put_off(&limit, coir_now() + COIR_SECONDS(10000));
    cr_assert_eq(coir_sleep_until(first + COIR_MILLISECONDS(1)), 0);
    cr_assert_eq(coir_timeout_end(&limit), 0);
    return 0;
}

RunTest(timeout, rescheduled_to_never_lets_the_first_deadline_pass)
{
    coir_timeout limit;
    int64_t first = begin_and_put_off(&limit, COIR_FOREVER);
    cr_assert_eq(coir_deadline(), COIR_FOREVER);
    cr_assert_eq(coir_sleep_until(first + COIR_MILLISECONDS(1)), 0);
    cr_assert_eq(coir_timeout_end(&limit), 0);
    return 0;
}

RunTest(timeout, rescheduled_after_it_has_passed_stays_passed)
{
    coir_timeout limit;
    coir_timeout_begin(&limit, COIR_MILLISECONDS(1));
    cr_assert_eq(coir_sleep(COIR_FOREVER), -ETIMEDOUT);
    coir_timeout_reschedule(&limit, COIR_FOREVER);
    cr_assert_eq(coir_yield(), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);

    coir_timeout_begin(&limit, 0);
    coir_timeout_reschedule(&limit, COIR_FOREVER);
    cr_assert_eq(coir_yield(), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    return 0;
}

RunTest(timeout, rescheduled_a_thousand_times_keeps_the_last_deadline)
{
    coir_timeout limit;
    coir_timeout_begin(&limit, COIR_FOREVER);
    for (int i = 1; i <= 1000; i++)
        coir_timeout_reschedule(&limit, coir_now() + COIR_SECONDS(1000 + i * 7 % 100));
    int64_t last = coir_now() + COIR_MILLISECONDS(1);
    coir_timeout_reschedule(&limit, last);
    cr_assert_eq(coir_sleep(COIR_FOREVER), -ETIMEDOUT);
    cr_assert_geq(coir_now(), last);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    return 0;
}

RunTest(timeout, rescheduled_between_suspensions_on_any_worker)
{
    coir_timeout limit;
    coir_timeout_begin(&limit, COIR_SECONDS(1000));
    for (int i = 0; i < check_scale(2000); i++) {
        cr_assert_eq(i % 16 ? coir_yield() : coir_sleep(COIR_MICROSECONDS(1)), 0);
        coir_timeout_reschedule(&limit, coir_now() + COIR_SECONDS(1000));
    }
    cr_assert_eq(coir_timeout_end(&limit), 0);
    return 0;
}
