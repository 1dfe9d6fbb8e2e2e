/*
 * Events: something has happened, or not yet.
 */
#include "api/in_thread.h"

struct waiter {
    coir_event *event;
    atomic_int *woken;
    int place;
    int rc;
    int next_call;
};

static int wait_once(void *arg)
{
    struct waiter *waiter = arg;
    waiter->rc = coir_event_wait(waiter->event);
    if (waiter->woken)
        waiter->place = atomic_fetch_add(waiter->woken, 1);
    waiter->next_call = coir_check();
    return waiter->rc;
}

RunTest(event, of_zeros_has_not_happened)
{
    coir_event event = { { 0 } };
    cr_assert_not(coir_event_is_set(&event));
    coir_event_set(&event);
    cr_assert(coir_event_is_set(&event));
    coir_event_clear(&event);
    cr_assert_not(coir_event_is_set(&event));
    return 0;
}

RunTest(event, that_is_set_lets_everybody_through)
{
    coir_event event = { { 0 } };
    coir_event_set(&event);
    coir_event_set(&event);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(coir_event_wait(&event), 0);
    return 0;
}

RunTest(event, set_later_wakes_all_that_wait)
{
    enum { N = 20 };
    coir_event event = { { 0 } };
    struct waiter waiters[N];
    coir_task *tasks[N];
    for (int i = 0; i < N; i++) {
        waiters[i] = (struct waiter){ .event = &event };
        tasks[i] = coir_create_task(wait_once, &waiters[i]);
    }
    let_them_wait();
    for (int i = 0; i < N; i++)
        cr_assert_not(coir_task_done(tasks[i]));
    coir_event_set(&event);
    for (int i = 0; i < N; i++)
        cr_assert_eq(coir_await(tasks[i]), 0);
    cr_assert(coir_event_is_set(&event));
    return 0;
}

RunTestOn(1, event, set_and_cleared_at_once_wakes_who_waited_and_no_others)
{
    coir_event event = { { 0 } };
    struct waiter before = { .event = &event }, after = { .event = &event };
    coir_task *a = coir_create_task(wait_once, &before);
    let_all_wait();
    coir_event_set(&event);
    coir_event_clear(&event);
    coir_task *b = coir_create_task(wait_once, &after);
    cr_assert_eq(coir_await(a), 0);
    cr_assert_not(coir_event_is_set(&event));
    let_them_wait();
    cr_assert_not(coir_task_done(b));
    coir_event_set(&event);
    cr_assert_eq(coir_await(b), 0);
    return 0;
}

RunTestOn(1, event, wakes_its_waiters_in_the_order_in_which_they_came, .init = forget_debug)
{
    enum { N = 20 };
    coir_event event = { { 0 } };
    struct waiter waiters[N];
    coir_task *tasks[N];
    atomic_int woken = 0;
    for (int i = 0; i < N; i++) {
        waiters[i] = (struct waiter){ .event = &event, .woken = &woken };
        tasks[i] = coir_create_task(wait_once, &waiters[i]);
        let_all_wait();
    }
    coir_event_set(&event);
    for (int i = 0; i < N; i++) {
        cr_assert_eq(coir_await(tasks[i]), 0);
        cr_assert_eq(waiters[i].place, i);
    }
    return 0;
}

/* Two that tell each other when it is their turn. */
struct turns {
    coir_event mine, yours;
    int rounds, count;
};

static int take_turns(void *arg)
{
    struct turns *turns = arg;
    for (int i = 0; i < turns->rounds; i++) {
        cr_assert_eq(coir_event_wait(&turns->yours), 0);
        coir_event_clear(&turns->yours);
        turns->count++;
        coir_event_set(&turns->mine);
    }
    return 0;
}

RunTest(event, shows_what_was_done_before_it_was_set)
{
    struct turns turns = { .rounds = check_scale(2000) };
    coir_task *task = coir_create_task(take_turns, &turns);
    for (int i = 0; i < turns.rounds; i++) {
        turns.count++;
        coir_event_set(&turns.yours);
        cr_assert_eq(coir_event_wait(&turns.mine), 0);
        coir_event_clear(&turns.mine);
        cr_assert_eq(turns.count, 2 * i + 2);
    }
    return coir_await(task);
}

/* -------------------------------------------------------- being refused --- */

RunTest(event, waited_for_by_a_cancelled_task_refuses_though_it_is_set)
{
    coir_event event = { { 0 } };
    coir_cancel(coir_current_task());
    cr_assert_eq(coir_event_wait(&event), -ECANCELED);
    coir_event_set(&event);
    cr_assert_eq(coir_event_wait(&event), -ECANCELED);
    cr_assert(coir_event_is_set(&event));
    return 0;
}

RunTest(event, waited_for_past_a_deadline_refuses)
{
    coir_event event = { { 0 } };
    coir_timeout limit;
    coir_timeout_begin(&limit, 0);
    cr_assert_eq(coir_event_wait(&event), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    return 0;
}

RunTest(event, whose_waiter_is_cancelled_wakes_the_others)
{
    coir_event event = { { 0 } };
    struct waiter waiters[3];
    coir_task *tasks[3];
    for (int i = 0; i < 3; i++) {
        waiters[i] = (struct waiter){ .event = &event };
        tasks[i] = coir_create_task(wait_once, &waiters[i]);
    }
    let_them_wait();
    cr_assert_eq(coir_cancel_await(tasks[1]), -ECANCELED);
    coir_event_set(&event);
    cr_assert_eq(coir_await(tasks[0]), 0);
    cr_assert_eq(coir_await(tasks[2]), 0);
    return 0;
}

RunTest(event, whose_waiter_is_late_is_as_it_was)
{
    coir_event event = { { 0 } };
    struct waiter waiter = { .event = &event };
    cr_assert_eq(coir_wait_for(coir_create_task(wait_once, &waiter), COIR_MILLISECONDS(1)),
                 -ETIMEDOUT);
    cr_assert_not(coir_event_is_set(&event));
    coir_event_set(&event);
    return 0;
}

RunTestOn(1, event, that_woke_a_waiter_before_its_cancel_returned_0)
{
    coir_event event = { { 0 } };
    struct waiter waiter = { .event = &event };
    coir_task *task = coir_create_task(wait_once, &waiter);
    let_all_wait();
    coir_event_set(&event);
    coir_cancel(task);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(waiter.next_call, -ECANCELED);
    return 0;
}

RunTest(event, set_and_cancelled_at_once_gives_one_of_the_two)
{
    for (int i = 0; i < check_scale(3000); i++) {
        coir_event event = { { 0 } };
        struct waiter waiter = { .event = &event };
        coir_task *task = coir_create_task(wait_once, &waiter);
        if (i % 3)
            cr_assert_eq(coir_yield(), 0);
        if (i % 2)
            coir_cancel(task);
        coir_event_set(&event);
        coir_cancel(task);
        int rc = coir_await(task);
        cr_assert(rc == 0 || rc == -ECANCELED);
    }
    return 0;
}

/* -------------------------------------------------------------- threads --- */

static void set_it(void *event)
{
    coir_event_set(event);
}

static void set_and_clear_it(void *event)
{
    coir_event_set(event);
    cr_assert(coir_event_is_set(event));
    coir_event_clear(event);
    cr_assert_not(coir_event_is_set(event));
}

RunTest(event, is_set_and_cleared_by_a_thread)
{
    coir_event event = { { 0 } };
    struct waiter waiter = { .event = &event };
    in_thread(set_and_clear_it, &event);
    coir_task *task = coir_create_task(wait_once, &waiter);
    let_them_wait();
    cr_assert_not(coir_task_done(task));
    in_thread(set_it, &event);
    cr_assert_eq(coir_await(task), 0);
    return 0;
}

/* The waiter frees it while the thread may still be inside. */
RunTest(event, set_by_a_thread_may_be_freed_at_once)
{
    struct helper helper;
    helper_start(&helper, set_it);
    for (int i = 0; i < check_scale(600); i++) {
        coir_event *event = calloc(1, sizeof *event);
        helper_lend(&helper, event);
        while (i % 2 && !coir_event_is_set(event))
            cr_assert_eq(coir_yield(), 0);
        cr_assert_eq(coir_event_wait(event), 0);
        free_and_spoil(event, sizeof *event);
    }
    helper_stop(&helper);
    return 0;
}

/* The run may end while the thread that woke its last task is still inside. */
static int wait_for_the_end(void *event)
{
    return coir_event_wait(event);
}

static int run_briefly(void *arg)
{
    return coir_await(coir_create_task(wait_for_the_end, arg));
}

Test(event, set_by_a_thread_lets_a_run_end_at_once)
{
    struct helper helper;
    helper_start(&helper, set_it);
    for (int i = 0; i < check_scale(100); i++) {
        coir_event event = { { 0 } };
        helper_lend(&helper, &event);
        cr_assert_eq(coir_run(i % 2 ? wait_for_the_end : run_briefly, &event), 0);
    }
    helper_stop(&helper);
}
