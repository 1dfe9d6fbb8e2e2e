/*
 * test_timer.c - a worker's timers against a sorted list, and released from
 * another worker.
 */
#include "support/check.h"

#include <pthread.h>
#include <stdlib.h>

#include "runtime/timer.h"

/* The fiber is only a number here: wake() notes it. */
#define FIBER(n) ((struct coir_fiber *)(uintptr_t)(n))

static uintptr_t woken[200000];
static size_t woken_count;

static void wake(struct coir_fiber *fiber)
{
    woken[woken_count++] = (uintptr_t)fiber;
}

Test(timer, fires_in_the_order_of_deadlines_and_equal_ones_in_the_order_of_arming)
{
    static const int64_t when[] = { 50, 10, 30, 10, 50, 20, 10 };
    static const uintptr_t expected[] = { 2, 4, 7, 6, 3, 1, 5 };
    struct coir_timer *timer[7];
    struct coir_timers timers;

    coir_timers_init(&timers);
    for (uintptr_t i = 0; i < 7; i++)
        timer[i] = coir_timer_arm(&timers, when[i], FIBER(i + 1));
    cr_assert_eq(coir_timers_next(&timers), 10);
    coir_timers_expire(&timers, 9, wake);
    cr_assert_eq(woken_count, 0);
    coir_timers_expire(&timers, 100, wake);
    cr_assert_eq(woken_count, 7);
    for (size_t i = 0; i < 7; i++)
        cr_assert_eq(woken[i], expected[i], "place %zu", i);
    cr_assert_eq(coir_timers_next(&timers), INT64_MAX);
    for (size_t i = 0; i < 7; i++)
        cr_assert(coir_timer_release(&timers, timer[i]));
    coir_timers_destroy(&timers);
}

Test(timer, one_that_is_released_does_not_fire_and_says_so)
{
    struct coir_timers timers;
    struct coir_timer *a, *b;

    coir_timers_init(&timers);
    a = coir_timer_arm(&timers, 10, FIBER(1));
    b = coir_timer_arm(&timers, 20, FIBER(2));
    cr_assert_not(coir_timer_release(&timers, a));
    cr_assert_eq(coir_timers_next(&timers), 20);
    coir_timers_expire(&timers, 100, wake);
    cr_assert_eq(woken_count, 1);
    cr_assert_eq(woken[0], 2);
    cr_assert(coir_timer_release(&timers, b));
    coir_timers_destroy(&timers);
}

Test(timer, forever_is_never)
{
    struct coir_timers timers;
    struct coir_timer *timer;

    coir_timers_init(&timers);
    timer = coir_timer_arm(&timers, INT64_MAX, FIBER(1));
    coir_timers_expire(&timers, INT64_MAX - 1, wake);
    cr_assert_eq(woken_count, 0);
    cr_assert_not(coir_timer_release(&timers, timer));
    coir_timers_destroy(&timers);
}

static int by_when_then_order(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;

    if (x[0] != y[0])
        return x[0] < y[0] ? -1 : 1;
    return x[1] < y[1] ? -1 : x[1] > y[1];
}

Test(timer, agrees_with_a_sorted_list_whatever_is_armed_and_released)
{
    const size_t count = (size_t)check_scale(100000);
    struct coir_timer **armed = calloc(count, sizeof *armed);
    int64_t (*expected)[2] = calloc(count, sizeof *expected);
    struct coir_timers timers;
    size_t left = 0;

    srand(1);
    coir_timers_init(&timers);
    for (size_t i = 0; i < count; i++) {
        expected[i][0] = rand() % 1000;
        expected[i][1] = (int64_t)i + 1;
        armed[i] = coir_timer_arm(&timers, expected[i][0], FIBER(i + 1));
        if (i % 3 == 2) { /* release an earlier one */
            size_t victim = (size_t)rand() % (i + 1);
            if (armed[victim]) {
                cr_assert_not(coir_timer_release(&timers, armed[victim]));
                armed[victim] = NULL;
            }
        }
    }
    for (size_t i = 0; i < count; i++)
        if (armed[i]) {
            expected[left][0] = expected[i][0];
            expected[left++][1] = expected[i][1];
        }
    qsort(expected, left, sizeof *expected, by_when_then_order);
    for (int64_t now = 0; now <= 1000; now += 1 + rand() % 50)
        coir_timers_expire(&timers, now, wake);
    coir_timers_expire(&timers, 1000, wake);
    cr_assert_eq(woken_count, left);
    for (size_t i = 0; i < left; i++)
        cr_assert_eq((int64_t)woken[i], expected[i][1]);
    for (size_t i = 0; i < count; i++)
        if (armed[i])
            cr_assert(coir_timer_release(&timers, armed[i]));
    cr_assert_eq(timers.count, 0);
    coir_timers_destroy(&timers);
    free(armed);
    free(expected);
}

/* A holder on another worker: releases what the home arms, while the home's
   clock runs. */
enum { SLOTS = 64 };
static COIR_ATOMIC(struct coir_timer *) slots[SLOTS];
static COIR_ATOMIC(int) over;
static struct coir_timers elsewhere;
static size_t released_armed, released_fired;

static void *holder(void *arg)
{
    (void)arg;
    for (int i = 0; !coir_load_acquire(&over); i = (i + 1) % SLOTS) {
        struct coir_timer *timer = coir_xchg_acquire(&slots[i], (struct coir_timer *)NULL);
        if (!timer)
            continue;
        if (coir_timer_release(&elsewhere, timer))
            released_fired++;
        else
            released_armed++;
    }
    return NULL;
}

static void wake_nobody(struct coir_fiber *fiber)
{
    (void)fiber;
}

Test(timer, released_from_another_worker_it_fires_or_is_cancelled_and_comes_home)
{
    const int64_t count = check_scale(300000);
    struct coir_timers home;
    pthread_t thread;
    int64_t now = 0;

    coir_timers_init(&home);
    coir_timers_init(&elsewhere);
    pthread_create(&thread, NULL, holder, NULL);
    for (int64_t i = 0; i < count; i++) {
        struct coir_timer *timer = coir_timer_arm(&home, now + i % 5, FIBER(1));
        while (coir_load_relaxed(&slots[i % SLOTS]))
            coir_timers_expire(&home, ++now, wake_nobody);
        coir_store_release(&slots[i % SLOTS], timer);
        coir_timers_drain(&home);
    }
    for (int i = 0; i < SLOTS; i++)
        while (coir_load_acquire(&slots[i]))
            ;
    coir_store_release(&over, 1);
    pthread_join(thread, NULL);
    coir_timers_drain(&home);
    coir_timers_expire(&home, INT64_MAX - 1, wake_nobody);
    cr_assert_eq(home.count, 0);
    cr_assert_eq(released_armed + released_fired, (size_t)count);
    cr_assert_eq(coir_load_relaxed(&home.fired), released_fired);
    coir_timers_destroy(&home);
    coir_timers_destroy(&elsewhere);
}
