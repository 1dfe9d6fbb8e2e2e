/*
 * Futures: set once, from anywhere, for any number of waiters.
 */
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "api/in_run.h"

struct wait {
    coir_future *future;
    void *value;
    int rc;
    atomic_int *woken;
    int place;
};

static int await_it(void *arg)
{
    struct wait *wait = arg;
    wait->rc = coir_future_await(wait->future, &wait->value);
    if (wait->woken)
        wait->place = atomic_fetch_add(wait->woken, 1);
    return wait->rc;
}

RunTest(future, set_before_gives_its_value_at_once)
{
    coir_future future;
    int x;
    void *value = NULL;
    coir_future_init(&future);
    cr_assert_not(coir_future_done(&future));
    cr_assert_eq(coir_future_set(&future, &x), 0);
    cr_assert(coir_future_done(&future));
    cr_assert_eq(coir_future_await(&future, &value), 0);
    cr_assert_eq(value, &x);
    cr_assert_eq(coir_future_await(&future, NULL), 0);
    coir_future_destroy(&future);
    return 0;
}

RunTest(future, set_later_wakes_who_waits)
{
    coir_future future;
    int x;
    coir_future_init(&future);
    struct wait wait = { .future = &future };
    coir_task *task = coir_create_task(await_it, &wait);
    let_them_wait();
    cr_assert_eq(coir_future_set(&future, &x), 0);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(wait.value, &x);
    coir_future_destroy(&future);
    return 0;
}

RunTest(future, a_second_set_is_ealready_and_changes_nothing)
{
    coir_future future;
    int x, y;
    void *value;
    coir_future_init(&future);
    cr_assert_eq(coir_future_set(&future, &x), 0);
    cr_assert_eq(coir_future_set(&future, &y), -EALREADY);
    cr_assert_eq(coir_future_fail(&future, -EIO), -EALREADY);
    cr_assert_eq(coir_future_await(&future, &value), 0);
    cr_assert_eq(value, &x);
    coir_future_destroy(&future);
    return 0;
}

RunTest(future, that_failed_gives_every_await_the_error)
{
    coir_future future;
    void *value = &future;
    coir_future_init(&future);
    struct wait wait = { .future = &future };
    coir_task *task = coir_create_task(await_it, &wait);
    let_them_wait();
    cr_assert_eq(coir_future_fail(&future, -EHOSTUNREACH), 0);
    cr_assert_eq(coir_await(task), -EHOSTUNREACH);
    cr_assert_eq(coir_future_await(&future, &value), -EHOSTUNREACH);
    cr_assert_eq(value, &future);
    coir_future_destroy(&future);
    return 0;
}

RunTest(future, failed_with_what_is_no_error_is_einval)
{
    coir_future future;
    coir_future_init(&future);
    cr_assert_eq(coir_future_fail(&future, 0), -EINVAL);
    cr_assert_eq(coir_future_fail(&future, EIO), -EINVAL);
    cr_assert_not(coir_future_done(&future));
    coir_future_destroy(&future);
    return 0;
}

RunTestOn(1, future, wakes_its_waiters_in_the_order_in_which_they_came)
{
    enum { N = 20 };
    struct wait waits[N];
    coir_task *tasks[N];
    atomic_int woken = 0;
    coir_future future;
    coir_future_init(&future);
    for (int i = 0; i < N; i++) {
        waits[i] = (struct wait){ .future = &future, .woken = &woken };
        tasks[i] = coir_create_task(await_it, &waits[i]);
    }
    cr_assert_eq(coir_yield(), 0);
    cr_assert_eq(coir_future_set(&future, NULL), 0);
    for (int i = 0; i < N; i++) {
        cr_assert_eq(coir_await(tasks[i]), 0);
        cr_assert_eq(waits[i].place, i);
    }
    coir_future_destroy(&future);
    return 0;
}

RunTest(future, awaited_by_a_cancelled_task_refuses_though_it_is_set)
{
    coir_future future;
    coir_future_init(&future);
    cr_assert_eq(coir_future_set(&future, NULL), 0);
    coir_cancel(coir_current_task());
    cr_assert_eq(coir_future_await(&future, NULL), -ECANCELED);
    coir_future_destroy(&future);
    return 0;
}

RunTest(future, awaited_past_a_deadline_refuses)
{
    coir_future future;
    coir_timeout limit;
    coir_future_init(&future);
    coir_timeout_begin(&limit, 0);
    cr_assert_eq(coir_future_await(&future, NULL), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    coir_future_destroy(&future);
    return 0;
}

RunTest(future, whose_waiter_is_cancelled_is_as_it_was)
{
    coir_future future;
    int x;
    coir_future_init(&future);
    struct wait first = { .future = &future }, second = { .future = &future };
    coir_task *a = coir_create_task(await_it, &first), *b = coir_create_task(await_it, &second);
    let_them_wait();
    cr_assert_eq(coir_cancel_await(a), -ECANCELED);
    cr_assert_eq(coir_future_set(&future, &x), 0);
    cr_assert_eq(coir_await(b), 0);
    cr_assert_eq(second.value, &x);
    coir_future_destroy(&future);
    return 0;
}

RunTest(future, whose_waiter_is_late_is_as_it_was)
{
    coir_future future;
    coir_future_init(&future);
    struct wait wait = { .future = &future };
    cr_assert_eq(coir_wait_for(coir_create_task(await_it, &wait), COIR_MILLISECONDS(1)),
                 -ETIMEDOUT);
    cr_assert_not(coir_future_done(&future));
    coir_future_destroy(&future);
    return 0;
}

RunTest(future, that_was_set_before_the_cancel_keeps_its_value)
{
    coir_future future;
    int x;
    void *value = NULL;
    coir_future_init(&future);
    coir_future_set(&future, &x);
    cr_assert_eq(coir_future_await(&future, &value), 0);
    coir_cancel(coir_current_task());
    cr_assert_eq(value, &x);
    cr_assert_eq(coir_check(), -ECANCELED);
    coir_future_destroy(&future);
    return 0;
}

static int cancel_and_set(void *arg)
{
    struct { coir_task *task; coir_future *future; int n; } *both = arg;
    if (both->n % 2)
        coir_cancel(both->task);
    cr_assert_eq(coir_future_set(both->future, both), 0);
    if (both->n % 2 == 0)
        coir_cancel(both->task);
    return 0;
}

RunTest(future, set_and_cancelled_at_once_gives_one_of_the_two)
{
    for (int i = 0; i < check_scale(5000); i++) {
        coir_future future;
        coir_future_init(&future);
        struct wait wait = { .future = &future };
        coir_task *waiter = coir_create_task(await_it, &wait);
        if (i % 3)
            cr_assert_eq(coir_yield(), 0);
        struct { coir_task *task; coir_future *future; int n; } both = { waiter, &future, i };
        coir_task *setter = coir_create_task(cancel_and_set, &both);
        if (i % 5)
            cr_assert_eq(coir_yield(), 0);
        cr_assert_eq(coir_await(setter), 0);
        int rc = coir_await(waiter);
        cr_assert(rc == 0 || rc == -ECANCELED);
        cr_assert_eq(wait.value, rc == 0 ? &both : NULL);
        coir_future_destroy(&future);
    }
    return 0;
}

/* The waiter destroys the future while the thread may still be inside. */
struct from_thread {
    coir_future *_Atomic *mailbox;
    atomic_bool over;
};

static void *set_from_thread(void *arg)
{
    struct from_thread *from = arg;
    while (!atomic_load(&from->over)) {
        coir_future *future = atomic_exchange(from->mailbox, NULL);
        if (future)
            cr_assert_eq(coir_future_set(future, from), 0);
        else
            sched_yield(); /* the worker may need this CPU */
    }
    return NULL;
}

RunTest(future, set_by_a_thread_may_be_destroyed_at_once)
{
    coir_future *_Atomic mailbox = NULL;
    struct from_thread from = { .mailbox = &mailbox };
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, set_from_thread, &from), 0);
    for (int i = 0; i < check_scale(300); i++) {
        coir_future future;
        void *value = NULL;
        coir_future_init(&future);
        atomic_store(&mailbox, &future);
        cr_assert_eq(coir_future_await(&future, &value), 0);
        cr_assert_eq(value, &from);
        coir_future_destroy(&future);
        memset(&future, 0xff, sizeof future);
    }
    atomic_store(&from.over, true);
    pthread_join(thread, NULL);
    return 0;
}

#ifndef CHECK_ASAN
RunTestOn(1, future, destroyed_with_a_waiter_aborts, .signal = SIGABRT)
{
    coir_future future;
    coir_future_init(&future);
    struct wait wait = { .future = &future };
    coir_task *task = coir_create_task(await_it, &wait);
    let_all_wait();
    coir_future_destroy(&future);
    return coir_await(task);
}
#endif
