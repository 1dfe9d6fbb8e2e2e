/*
 * Futures, after asyncio's tests of them: see cpython.txt.  What asyncio's done
 * callbacks do is done here by tasks that wait.
 */
#include "api/in_run.h"

/* test_futures.BaseFutureTests.test_cancel, test_set_result_unless_cancelled */
RunTest(future, failed_with_ecanceled_is_done_and_cancels_nobody)
{
    coir_future future;
    int x;
    coir_future_init(&future);
    cr_assert_eq(coir_future_fail(&future, -ECANCELED), 0);
    cr_assert(coir_future_done(&future));
    cr_assert_eq(coir_future_set(&future, &x), -EALREADY);
    cr_assert_eq(coir_future_fail(&future, -EIO), -EALREADY);
    cr_assert_eq(coir_future_await(&future, NULL), -ECANCELED);
    cr_assert_eq(coir_check(), 0);
    coir_future_destroy(&future);
    return 0;
}

/* test_futures.BaseFutureTests.test_exception */
RunTest(future, that_failed_can_be_neither_set_nor_failed_again)
{
    coir_future future;
    int x;
    coir_future_init(&future);
    cr_assert_eq(coir_future_fail(&future, -EIO), 0);
    cr_assert_eq(coir_future_set(&future, &x), -EALREADY);
    cr_assert_eq(coir_future_fail(&future, -ECANCELED), -EALREADY);
    cr_assert_eq(coir_future_await(&future, NULL), -EIO);
    coir_future_destroy(&future);
    return 0;
}

/* One that waits: when it was woken, and what it got. */
struct waiter {
    coir_future *future;
    int *woken; /* how many have been, of those that got a value */
    int place;
    int rc;
    int next_call;
    coir_task *victim; /* whom it cancels once it is woken */
};

static int wait_once(void *arg)
{
    struct waiter *waiter = arg;
    waiter->rc = coir_future_await(waiter->future, NULL);
    if (waiter->rc == 0)
        waiter->place = (*waiter->woken)++;
    coir_cancel(waiter->victim);
    waiter->next_call = coir_yield();
    return waiter->rc;
}

/* Three waiters that wait: with one worker, one yield is enough. */
static void start_three(coir_future *future, int *woken, struct waiter *waiters,
                        coir_task **tasks)
{
    coir_future_init(future);
    *woken = 0;
    for (int i = 0; i < 3; i++) {
        waiters[i] = (struct waiter){ .future = future, .woken = woken, .place = -1 };
        tasks[i] = coir_create_task(wait_once, &waiters[i]);
    }
    cr_assert_eq(coir_yield(), 0);
}

/* test_futures.BaseFutureDoneCallbackTests.test_callbacks_remove_first_callback,
   test_callbacks_remove_first_and_second_callback,
   test_callbacks_remove_third_callback, test_remove_done_callback */
RunTestOn(1, future, whose_waiters_left_in_part_wakes_the_rest_in_their_order)
{
    for (int leaving = 0; leaving < 8; leaving++) {
        coir_future future;
        struct waiter waiters[3];
        coir_task *tasks[3];
        int woken, stay = 0;
        start_three(&future, &woken, waiters, tasks);
        for (int i = 0; i < 3; i++)
            if (leaving & 1 << i)
                cr_assert_eq(coir_cancel_await(tasks[i]), -ECANCELED);
        cr_assert_eq(coir_future_set(&future, NULL), 0);
        for (int i = 0; i < 3; i++) {
            if (leaving & 1 << i)
                continue;
            cr_assert_eq(coir_await(tasks[i]), 0);
            cr_assert_eq(waiters[i].place, stay++, "%d of %d", i, leaving);
        }
        cr_assert_eq(woken, stay);
        coir_future_destroy(&future);
    }
    return 0;
}

/* test_futures.BaseFutureDoneCallbackTests.test_schedule_callbacks_list_mutation_1 */
RunTestOn(1, future, that_is_set_cannot_be_taken_back_by_the_waiter_woken_first)
{
    coir_future future;
    struct waiter waiters[3];
    coir_task *tasks[3];
    int woken;
    start_three(&future, &woken, waiters, tasks);
    waiters[0].victim = tasks[1];
    cr_assert_eq(coir_future_set(&future, NULL), 0);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(coir_await(tasks[i]), 0);
    cr_assert_eq(woken, 3);
    cr_assert_eq(waiters[1].next_call, -ECANCELED);
    cr_assert_eq(waiters[2].next_call, 0);
    coir_future_destroy(&future);
    return 0;
}

/* test_futures.BaseFutureTests.test_wrap_future_cancel2: in asyncio the cancel wins. */
RunTestOn(1, future, that_is_set_before_its_waiters_are_cancelled_gives_them_its_value)
{
    coir_future future;
    struct waiter waiters[3];
    coir_task *tasks[3];
    int woken;
    start_three(&future, &woken, waiters, tasks);
    cr_assert_eq(coir_future_set(&future, NULL), 0);
    for (int i = 0; i < 3; i++)
        coir_cancel(tasks[i]);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(coir_await(tasks[i]), 0);
        cr_assert_eq(waiters[i].next_call, -ECANCELED);
    }
    coir_future_destroy(&future);
    return 0;
}
