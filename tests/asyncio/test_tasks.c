/*
 * Tasks, their cancellation, and what belongs to them.  Each test says which of
 * asyncio's it has its claim from; cpython.txt says where the others are.
 */
#include <string.h>

#include "api/forked.h"

/* -------------------------------------------------------------- cancel --- */

/* A task that waits for one future after the other, whatever it is told. */
struct waits {
    coir_future futures[3];
    atomic_int reached; /* how many it has begun to wait for */
    int rc[3];
};

static int wait_for_each(void *arg)
{
    struct waits *waits = arg;
    for (int i = 0; i < 3; i++) {
        atomic_store(&waits->reached, i + 1);
        waits->rc[i] = coir_future_await(&waits->futures[i], NULL);
    }
    return 42;
}

static coir_task *start_waiting(struct waits *waits)
{
    *waits = (struct waits){ .rc = { 1, 1, 1 } };
    for (int i = 0; i < 3; i++)
        coir_future_init(&waits->futures[i]);
    return coir_create_task(wait_for_each, waits);
}

static void stop_waiting(struct waits *waits)
{
    for (int i = 0; i < 3; i++)
        coir_future_destroy(&waits->futures[i]);
}

/* test_tasks.BaseTaskTests.test_cancel_inner_future */
RunTest(cancel, of_a_future_ends_the_wait_for_it_but_does_not_cancel_the_task)
{
    struct waits waits;
    coir_task *task = start_waiting(&waits);
    yield_until(&waits.reached, 1);
    cr_assert_eq(coir_future_fail(&waits.futures[0], -ECANCELED), 0);
    cr_assert_eq(coir_future_set(&waits.futures[1], NULL), 0);
    cr_assert_eq(coir_future_set(&waits.futures[2], NULL), 0);
    cr_assert_eq(coir_await(task), 42);
    cr_assert_eq(waits.rc[0], -ECANCELED);
    cr_assert_eq(waits.rc[1], 0);
    cr_assert_eq(waits.rc[2], 0);
    stop_waiting(&waits);
    return 0;
}

/* test_tasks.BaseTaskTests.test_cancel_both_task_and_inner_future */
RunTest(cancel, of_both_a_task_and_the_future_it_waits_for_stays_after_the_future)
{
    struct waits waits;
    coir_task *task = start_waiting(&waits);
    yield_until(&waits.reached, 1);
    cr_assert_eq(coir_future_fail(&waits.futures[0], -ECANCELED), 0);
    coir_cancel(task);
    cr_assert_eq(coir_await(task), 42);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(waits.rc[i], -ECANCELED);
    stop_waiting(&waits);
    return 0;
}

/* test_tasks.BaseTaskTests.test_cancel_task_catching, test_cancel_task_ignoring,
   test_task_cancel_waiter_future: asyncio waits for the third, coir refuses it. */
RunTest(cancel, that_a_task_ignores_refuses_the_next_wait_too_and_leaves_the_futures_alone)
{
    struct waits waits;
    coir_task *task = start_waiting(&waits);
    cr_assert_eq(coir_future_set(&waits.futures[0], NULL), 0);
    yield_until(&waits.reached, 2);
    coir_cancel(task);
    cr_assert_eq(coir_future_set(&waits.futures[2], NULL), 0);
    cr_assert_eq(coir_await(task), 42);
    cr_assert_eq(waits.rc[0], 0);
    cr_assert_eq(waits.rc[1], -ECANCELED);
    cr_assert_eq(waits.rc[2], -ECANCELED);
    cr_assert_not(coir_future_done(&waits.futures[1]));
    stop_waiting(&waits);
    return 0;
}

static int cancel_oneself_and_return(void *arg)
{
    coir_cancel(coir_current_task());
    return *(int *)arg;
}

/* test_tasks.BaseTaskTests.test_cancel_at_end: in asyncio the value is lost. */
RunTest(cancel, right_before_a_task_returns_leaves_its_value)
{
    int value = 12;
    coir_task *awaited = coir_create_task(cancel_oneself_and_return, &value);
    cr_assert_eq(coir_await(awaited), 12);
    coir_task *apart = coir_create_task(cancel_oneself_and_return, &value);
    while (!coir_task_done(apart))
        cr_assert_eq(coir_yield(), 0);
    cr_assert_eq(coir_await(apart), 12);
    return 0;
}

struct nested {
    atomic_int started;
    coir_future future;
};

static int wait_for_a_future(void *arg)
{
    struct nested *nested = arg;
    atomic_store(&nested->started, 1);
    return coir_future_await(&nested->future, NULL);
}

static int cancel_oneself_and_await_another(void *arg)
{
    struct nested *nested = arg;
    coir_task *another = coir_create_task(wait_for_a_future, nested);
    yield_until(&nested->started, 1);
    coir_cancel(coir_current_task());
    return coir_await(another);
}

/* test_tasks.BaseTaskTests.test_cancel_awaited_task */
RunTest(cancel, of_oneself_before_an_await_reaches_the_awaited_task_that_waits_already)
{
    struct nested nested = { 0 };
    coir_future_init(&nested.future);
    coir_task *task = coir_create_task(cancel_oneself_and_await_another, &nested);
    cr_assert_eq(coir_await(task), -ECANCELED);
    cr_assert_not(coir_future_done(&nested.future));
    coir_future_destroy(&nested.future);
    return 0;
}

/* --------------------------------------------------------------- sleep --- */

static int count_twice(void *runs)
{
    atomic_fetch_add((atomic_int *)runs, 1);
    int rc = coir_sleep(0);
    atomic_fetch_add((atomic_int *)runs, 1);
    return rc;
}

/* test_tasks.SleepTests.test_sleep_zero */
RunTestOn(1, order, a_sleep_of_nothing_lets_the_others_run_once, .init = forget_debug)
{
    atomic_int runs = 0;
    coir_task *other = coir_create_task(count_twice, &runs);
    cr_assert_eq(atomic_load(&runs), 0);
    cr_assert_eq(coir_sleep(0), 0);
    cr_assert_eq(atomic_load(&runs), 1);
    return coir_await(other);
}

static uint64_t timers_cancelled(void)
{
    coir_stats stats;
    coir_stats_get(&stats);
    return stats.timers_cancelled;
}

static int sleep_long(UNUSED void *arg)
{
    return coir_sleep(COIR_SECONDS(1000));
}

/* test_tasks.BaseTaskTests.test_sleep_cancel, test_task_cancel_sleeping_task */
RunTestOn(1, sleep, that_is_cancelled_gives_its_timer_up, .init = forget_debug)
{
    uint64_t before = timers_cancelled();
    coir_task *task = coir_create_task(sleep_long, NULL);
    cr_assert_eq(coir_yield(), 0);
    cr_assert_eq(timers_cancelled(), before);
    cr_assert_eq(coir_cancel_await(task), -ECANCELED);
    cr_assert_eq(timers_cancelled(), before + 1);
    return 0;
}

/* -------------------------------------------------------- several runs --- */

struct abroad {
    coir_future asked, answer;
    coir_task *task;
    void *got;
};

static int ask_and_wait(void *arg)
{
    struct abroad *abroad = arg;
    int rc = coir_future_set(&abroad->asked, abroad);
    return rc < 0 ? rc : coir_future_await(&abroad->answer, &abroad->got);
}

static int run_ask_and_wait(void *arg)
{
    return coir_run(ask_and_wait, arg);
}

static int go_abroad(void *arg)
{
    return coir_to_thread(run_ask_and_wait, arg);
}

/* test_tasks.BaseTaskTests.test_other_loop_future: an error in asyncio. */
RunTest(future, of_one_run_may_be_set_and_awaited_in_another)
{
    struct abroad abroad = { 0 };
    void *asked = NULL;
    coir_future_init(&abroad.asked);
    coir_future_init(&abroad.answer);
    coir_task *traveller = coir_create_task(go_abroad, &abroad);
    cr_assert_eq(coir_future_await(&abroad.asked, &asked), 0);
    cr_assert_eq(asked, &abroad);
    let_them_wait();
    cr_assert_eq(coir_future_set(&abroad.answer, &asked), 0);
    cr_assert_eq(coir_await(traveller), 0);
    cr_assert_eq(abroad.got, &asked);
    coir_future_destroy(&abroad.asked);
    coir_future_destroy(&abroad.answer);
    return 0;
}

static int await_the_foreign_task(void *arg)
{
    struct abroad *abroad = arg;
    return coir_await(abroad->task);
}

static int run_await_the_foreign_task(void *arg)
{
    return coir_run(await_the_foreign_task, arg);
}

static int hand_a_task_abroad(UNUSED void *arg)
{
    struct abroad abroad = { .task = coir_create_task(sleep_forever, NULL) };
    return coir_to_thread(run_await_the_foreign_task, &abroad);
}

static void run_hand_a_task_abroad(UNUSED void *arg)
{
    coir_run(hand_a_task_abroad, NULL);
}

/* test_tasks.BaseTaskTests.test_other_loop_future */
Test(misuse, await_of_a_task_of_another_run)
{
    struct outcome outcome = in_child(run_hand_a_task_abroad, NULL);
    assert_aborted(&outcome, "coir_await", NULL);
    cr_assert_not_null(strstr(outcome.err, "another run"), "%s", outcome.err);
}

/* --------------------------------------------------------- task-locals --- */

static coir_local inherited;

static void make_key(void)
{
    cr_assert_eq(coir_local_create(&inherited, &(coir_local_options){ .inherit = true }), 0);
}

/* What a task finds, and what it leaves. */
struct look {
    void *found, *leave;
};

static int look_and_leave(void *arg)
{
    struct look *look = arg;
    look->found = coir_local_get(inherited);
    return coir_local_set(inherited, look->leave);
}

/* test_tasks.BaseTaskTests.test_context_1 */
RunTest(local, that_changes_after_a_task_was_created_is_for_the_task_as_it_was)
{
    int before, after, inside;
    make_key();
    for (int i = 0; i < 3; i++) {
        struct look look = { .leave = &inside }, of_member = look;
        coir_group group;
        coir_group_init(&group);
        cr_assert_eq(coir_local_set(inherited, &before), 0);
        coir_task *task = coir_create_task(look_and_leave, &look);
        cr_assert_eq(coir_group_create_task(&group, look_and_leave, &of_member), 0);
        cr_assert_eq(coir_local_set(inherited, &after), 0);
        for (int k = 0; k < i; k++)
            cr_assert_eq(coir_yield(), 0);
        cr_assert_eq(coir_await(task), 0);
        cr_assert_eq(coir_group_wait(&group), 0);
        cr_assert_eq(look.found, &before);
        cr_assert_eq(of_member.found, &before);
        cr_assert_eq(coir_local_get(inherited), &after);
    }
    return 0;
}

static int get_on_a_thread(UNUSED void *arg)
{
    return coir_local_get(inherited) != NULL;
}

static int get_by_to_thread(UNUSED void *arg)
{
    make_key();
    return coir_to_thread(get_on_a_thread, NULL);
}

static void run_get_by_to_thread(UNUSED void *arg)
{
    coir_run(get_by_to_thread, NULL);
}

/* test_threads.ToThreadTests.test_to_thread_contextvars: asyncio copies the context. */
Test(misuse, task_locals_in_a_call_on_a_thread)
{
    struct outcome outcome = in_child(run_get_by_to_thread, NULL);
    assert_aborted(&outcome, "coir_local_get", NULL);
}
