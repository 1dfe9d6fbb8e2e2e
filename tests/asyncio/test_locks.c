/*
 * Locks, conditions, semaphores and barriers, after asyncio's tests of them: see
 * cpython.txt.  What asyncio makes sure of with sleep(0) is made sure of here by one worker.
 */
#include <string.h>

#include "api/in_run.h"

/* Numbers in the order in which tasks wrote them, with one worker. */
struct story {
    int written[32];
    int n;
};

static void write_down(struct story *story, int number)
{
    story->written[story->n++] = number;
}

static void expect_story(const struct story *story, const int *numbers, int n)
{
    cr_assert_eq(story->n, n, "%d of %d", story->n, n);
    for (int i = 0; i < n; i++)
        cr_assert_eq(story->written[i], numbers[i], "at %d: %d", i, story->written[i]);
}

#define EXPECT_STORY(story, ...) \
    expect_story(story, (const int[]){ __VA_ARGS__ }, LENGTH(((const int[]){ __VA_ARGS__ })))

/* ---------------------------------------------------------------- locks --- */

/* One that locks, and keeps the lock. */
struct taker {
    coir_mutex *mutex;
    struct story *story;
    int number;
    coir_event *leave; /* where it unlocks, unless NULL */
};

static int take_it(void *arg)
{
    struct taker *taker = arg;
    int rc = coir_mutex_lock(taker->mutex);
    if (rc < 0)
        return rc;
    write_down(taker->story, taker->number);
    if (!taker->leave)
        return 0;
    rc = coir_event_wait(taker->leave);
    coir_mutex_unlock(taker->mutex);
    return rc;
}

static void start_takers(struct taker *takers, coir_task **tasks, int n, coir_mutex *mutex,
                         struct story *story, coir_event *leave)
{
    for (int i = 0; i < n; i++) {
        takers[i] = (struct taker){ mutex, story, i + 1, leave };
        tasks[i] = coir_create_task(take_it, &takers[i]);
        let_all_wait();
    }
}

/* test_locks.LockTests.test_acquire */
RunTestOn(1, mutex, each_unlock_lets_the_next_in_and_no_other)
{
    coir_mutex mutex = COIR_MUTEX_FIFO;
    struct story story = { .n = 0 };
    struct taker takers[3];
    coir_task *tasks[3];
    cr_assert_eq(coir_mutex_lock(&mutex), 0);
    start_takers(takers, tasks, 2, &mutex, &story, NULL);
    cr_assert_eq(story.n, 0);
    coir_mutex_unlock(&mutex);
    let_all_wait();
    EXPECT_STORY(&story, 1);
    takers[2] = (struct taker){ &mutex, &story, 3, NULL };
    tasks[2] = coir_create_task(take_it, &takers[2]);
    coir_mutex_unlock(&mutex);
    let_all_wait();
    EXPECT_STORY(&story, 1, 2);
    coir_mutex_unlock(&mutex);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(coir_await(tasks[i]), 0);
    EXPECT_STORY(&story, 1, 2, 3);
    coir_mutex_unlock(&mutex);
    return 0;
}

/* test_locks.LockTests.test_cancel_race */
RunTestOn(1, mutex, unlocked_as_the_next_is_cancelled_goes_to_the_one_after)
{
    for (int fifo = 0; fifo < 2; fifo++) {
        coir_mutex mutex = { { 0 }, (unsigned)fifo };
        coir_event leave = { { 0 } };
        struct story story = { .n = 0 };
        struct taker takers[3];
        coir_task *tasks[3];
        start_takers(takers, tasks, 3, &mutex, &story, &leave);
        coir_event_set(&leave); /* the first will unlock, */
        coir_cancel(tasks[1]);  /* and the second will leave, after that */
        let_all_wait();
        cr_assert_eq(coir_await(tasks[0]), 0);
        cr_assert_eq(coir_await(tasks[1]), -ECANCELED);
        cr_assert_eq(coir_await(tasks[2]), 0);
        cr_assert_eq(coir_mutex_try_lock(&mutex), 0);
        coir_mutex_unlock(&mutex);
    }
    return 0;
}

/* test_locks.LockTests.test_cancel_release_race */
RunTestOn(1, mutex, unlocked_after_the_next_was_cancelled_is_taken_once)
{
    for (int fifo = 0; fifo < 2; fifo++) {
        coir_mutex mutex = { { 0 }, (unsigned)fifo };
        struct story story = { .n = 0 };
        struct taker takers[3];
        coir_task *tasks[3];
        cr_assert_eq(coir_mutex_lock(&mutex), 0);
        start_takers(takers, tasks, 3, &mutex, &story, NULL);
        cr_assert_eq(coir_cancel_await(tasks[0]), -ECANCELED);
        coir_mutex_unlock(&mutex);
        let_all_wait();
        EXPECT_STORY(&story, 2);
        cr_assert_eq(coir_await(tasks[1]), 0);
        cr_assert_eq(coir_cancel_await(tasks[2]), -ECANCELED);
        coir_mutex_unlock(&mutex);
    }
    return 0;
}

/* test_locks.LockTests.test_finished_waiter_cancelled */
RunTestOn(1, mutex, unlocked_at_once_with_a_cancel_is_not_left_to_nobody)
{
    for (int i = 0; i < 4; i++) {
        coir_mutex mutex = { { 0 }, (unsigned)i / 2 };
        coir_event leave = { { 0 } };
        struct story story = { .n = 0 };
        struct taker takers[2];
        coir_task *tasks[2];
        coir_event_set(&leave);
        cr_assert_eq(coir_mutex_lock(&mutex), 0);
        start_takers(takers, tasks, 2, &mutex, &story, &leave);
        if (i % 2)
            coir_mutex_unlock(&mutex);
        coir_cancel(tasks[0]);
        if (i % 2 == 0)
            coir_mutex_unlock(&mutex);
        coir_await(tasks[0]);
        cr_assert_eq(coir_await(tasks[1]), 0);
        cr_assert_eq(coir_mutex_try_lock(&mutex), 0);
        coir_mutex_unlock(&mutex);
    }
    return 0;
}

/* ----------------------------------------------------------- conditions --- */

struct listener {
    coir_cond *cond;
    coir_mutex *mutex;
    struct story *story;
    int number;
    bool keeps;    /* the mutex */
    const int *of; /* waits until this is not 0, unless NULL */
};

static int listen_once(void *arg)
{
    struct listener *listener = arg;
    int rc = coir_mutex_lock(listener->mutex);
    if (rc < 0)
        return rc;
    do
        rc = coir_cond_wait(listener->cond, listener->mutex);
    while (rc == 0 && listener->of && !*listener->of);
    if (rc == 0)
        write_down(listener->story, listener->number);
    if (!listener->keeps)
        coir_mutex_unlock(listener->mutex);
    return rc;
}

static void start_listeners(struct listener *listeners, coir_task **tasks, int n,
                            const struct listener *like)
{
    for (int i = 0; i < n; i++) {
        listeners[i] = *like;
        listeners[i].number = i + 1;
        tasks[i] = coir_create_task(listen_once, &listeners[i]);
        let_all_wait();
    }
}

/* test_locks.ConditionTests.test_wait */
RunTestOn(1, cond, those_that_were_notified_take_the_mutex_one_after_the_other)
{
    coir_cond cond = { { 0 } };
    coir_mutex mutex = COIR_MUTEX_FIFO;
    struct story story = { .n = 0 };
    struct listener listeners[3], like = { .cond = &cond, .mutex = &mutex, .story = &story,
                                           .keeps = true };
    coir_task *tasks[3];
    start_listeners(listeners, tasks, 3, &like);
    cr_assert_eq(coir_mutex_try_lock(&mutex), 0, "nobody holds it while all wait");
    coir_cond_notify(&cond);
    let_all_wait();
    cr_assert_eq(story.n, 0);
    coir_mutex_unlock(&mutex);
    let_all_wait();
    EXPECT_STORY(&story, 1);
    coir_cond_notify(&cond);
    coir_cond_notify(&cond);
    let_all_wait();
    EXPECT_STORY(&story, 1);
    coir_mutex_unlock(&mutex);
    let_all_wait();
    EXPECT_STORY(&story, 1, 2);
    coir_mutex_unlock(&mutex);
    let_all_wait();
    EXPECT_STORY(&story, 1, 2, 3);
    cr_assert_eq(coir_mutex_try_lock(&mutex), -EAGAIN);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(coir_await(tasks[i]), 0);
    coir_mutex_unlock(&mutex);
    return 0;
}

/* test_locks.ConditionTests.test_wait_cancel_contested, test_wait_cancel_after_notify */
RunTestOn(1, cond, notified_and_then_cancelled_while_it_waits_for_the_mutex_returns_0)
{
    coir_cond cond = { { 0 } };
    coir_mutex mutex = { { 0 }, 0 };
    struct story story = { .n = 0 };
    struct listener listener, like = { .cond = &cond, .mutex = &mutex, .story = &story };
    coir_task *task;
    start_listeners(&listener, &task, 1, &like);
    cr_assert_eq(coir_mutex_lock(&mutex), 0);
    coir_cond_notify(&cond);
    let_all_wait(); /* it is about to lock */
    coir_cancel(task);
    let_all_wait();
    cr_assert_not(coir_task_done(task));
    coir_mutex_unlock(&mutex);
    cr_assert_eq(coir_await(task), 0);
    EXPECT_STORY(&story, 1);
    return 0;
}

/* test_locks.ConditionTests.test_wait_for */
RunTestOn(1, cond, waited_for_in_a_loop_goes_on_once_it_is_so)
{
    coir_cond cond = { { 0 } };
    coir_mutex mutex = { { 0 }, 0 };
    struct story story = { .n = 0 };
    int so = 0;
    struct listener listener, like = { .cond = &cond, .mutex = &mutex, .story = &story,
                                       .of = &so };
    coir_task *task;
    start_listeners(&listener, &task, 1, &like);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(coir_mutex_lock(&mutex), 0);
        coir_cond_notify(&cond);
        so = i;
        coir_mutex_unlock(&mutex);
        let_all_wait();
        cr_assert_eq(story.n, i);
    }
    cr_assert_eq(coir_await(task), 0);
    return 0;
}

/* test_locks.ConditionTests.test_notify */
RunTestOn(1, cond, notified_once_and_then_often_wakes_one_and_then_all)
{
    coir_cond cond = { { 0 } };
    coir_mutex mutex = COIR_MUTEX_FIFO;
    struct story story = { .n = 0 };
    struct listener listeners[3], like = { .cond = &cond, .mutex = &mutex, .story = &story };
    coir_task *tasks[3];
    start_listeners(listeners, tasks, 3, &like);
    cr_assert_eq(coir_mutex_lock(&mutex), 0);
    coir_cond_notify(&cond);
    coir_mutex_unlock(&mutex);
    let_all_wait();
    EXPECT_STORY(&story, 1);
    cr_assert_eq(coir_mutex_lock(&mutex), 0);
    for (int i = 0; i < 100; i++)
        coir_cond_notify(&cond);
    coir_mutex_unlock(&mutex);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(coir_await(tasks[i]), 0);
    EXPECT_STORY(&story, 1, 2, 3);
    return 0;
}

/* ----------------------------------------------------------- semaphores --- */

struct guest {
    coir_semaphore *places;
    struct story *story;
    int number, again; /* what it writes down; 0: it does not come again */
    bool leaves;
};

static int come(struct guest *guest, int number)
{
    int rc = coir_semaphore_acquire(guest->places);
    if (rc < 0)
        return rc;
    write_down(guest->story, number);
    if (guest->leaves) {
        let_all_wait();
        coir_semaphore_release(guest->places);
    }
    return rc;
}

static int come_once_or_twice(void *arg)
{
    struct guest *guest = arg;
    int rc = come(guest, guest->number);
    return rc == 0 && guest->again ? come(guest, guest->again) : rc;
}

static void start_guests(struct guest *guests, coir_task **tasks, int n, coir_semaphore *places,
                         struct story *story)
{
    for (int i = 0; i < n; i++) {
        guests[i] = (struct guest){ .places = places, .story = story, .number = i + 1 };
        tasks[i] = coir_create_task(come_once_or_twice, &guests[i]);
        let_all_wait();
    }
}

/* test_locks.SemaphoreTests.test_acquire */
RunTestOn(1, semaphore, released_twice_lets_two_in_and_the_last_waits)
{
    coir_semaphore places = COIR_SEMAPHORE(3);
    struct story story = { .n = 0 };
    struct guest guests[4];
    coir_task *tasks[4];
    cr_assert_eq(coir_semaphore_acquire(&places), 0);
    cr_assert_eq(coir_semaphore_acquire(&places), 0);
    start_guests(guests, tasks, 3, &places, &story);
    EXPECT_STORY(&story, 1);
    cr_assert_eq(coir_semaphore_try_acquire(&places), -EAGAIN);
    guests[3] = (struct guest){ .places = &places, .story = &story, .number = 4 };
    tasks[3] = coir_create_task(come_once_or_twice, &guests[3]);
    coir_semaphore_release(&places);
    coir_semaphore_release(&places);
    let_all_wait();
    EXPECT_STORY(&story, 1, 2, 3);
    cr_assert_eq(coir_semaphore_try_acquire(&places), -EAGAIN);
    cr_assert_not(coir_task_done(tasks[3]));
    coir_semaphore_release(&places);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(coir_await(tasks[i]), 0);
    return 0;
}

/* test_locks.SemaphoreTests.test_acquire_cancel_before_awoken */
RunTestOn(1, semaphore, whose_first_waiters_are_cancelled_goes_to_the_third_or_to_nobody)
{
    coir_semaphore places = COIR_SEMAPHORE(0);
    struct story story = { .n = 0 };
    struct guest guests[4];
    coir_task *tasks[4];
    start_guests(guests, tasks, 4, &places, &story);
    cr_assert_eq(coir_cancel_await(tasks[0]), -ECANCELED);
    cr_assert_eq(coir_cancel_await(tasks[1]), -ECANCELED);
    coir_semaphore_release(&places);
    let_all_wait();
    EXPECT_STORY(&story, 3);
    cr_assert_eq(coir_await(tasks[2]), 0);
    cr_assert_not(coir_task_done(tasks[3]));
    cr_assert_eq(coir_cancel_await(tasks[3]), -ECANCELED);
    return 0;
}

/* test_locks.SemaphoreTests.test_acquire_hang */
RunTestOn(1, semaphore, released_as_the_first_is_cancelled_is_not_lost)
{
    coir_semaphore places = COIR_SEMAPHORE(0);
    struct story story = { .n = 0 };
    struct guest guests[2];
    coir_task *tasks[2];
    start_guests(guests, tasks, 2, &places, &story);
    coir_cancel(tasks[0]); /* it has not left yet */
    coir_semaphore_release(&places);
    int first = coir_await(tasks[0]);
    if (first == 0) /* so it has the place, and is to give it back */
        coir_semaphore_release(&places);
    cr_assert_eq(coir_await(tasks[1]), 0);
    cr_assert_eq(coir_semaphore_try_acquire(&places), -EAGAIN);
    return 0;
}

static int leave_and_cancel(void *arg)
{
    struct { coir_semaphore *places; coir_task *task; } *both = arg;
    cr_assert_eq(coir_semaphore_acquire(both->places), 0);
    let_all_wait();
    coir_semaphore_release(both->places);
    coir_cancel(both->task);
    return 0;
}

static int come_and_leave(void *places)
{
    int rc = coir_semaphore_acquire(places);
    if (rc < 0)
        return rc;
    rc = coir_check();
    coir_semaphore_release(places);
    return rc;
}

/* test_locks.SemaphoreTests.test_acquire_no_hang */
RunTestOn(1, semaphore, released_for_one_that_is_cancelled_then_can_be_acquired_again)
{
    coir_semaphore places = COIR_SEMAPHORE(1);
    struct { coir_semaphore *places; coir_task *task; } both = { &places, NULL };
    coir_task *first = coir_create_task(leave_and_cancel, &both);
    both.task = coir_create_task(come_and_leave, &places);
    cr_assert_eq(coir_await(first), 0);
    cr_assert_eq(coir_await(both.task), -ECANCELED);
    cr_assert_eq(coir_semaphore_acquire(&places), 0);
    return 0;
}

/* test_locks.SemaphoreTests.test_acquire_fifo_order */
RunTestOn(1, semaphore, acquired_again_by_each_goes_round)
{
    coir_semaphore places = COIR_SEMAPHORE(0);
    struct story story = { .n = 0 };
    struct guest guests[3];
    coir_task *tasks[3];
    for (int i = 0; i < 3; i++) {
        guests[i] = (struct guest){ &places, &story, i + 1, i + 11, true };
        tasks[i] = coir_create_task(come_once_or_twice, &guests[i]);
        let_all_wait();
    }
    coir_semaphore_release(&places);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(coir_await(tasks[i]), 0);
    EXPECT_STORY(&story, 1, 2, 3, 11, 12, 13);
    return 0;
}

/* The second leaves at once, and comes again. */
static int come_leave_and_come(void *arg)
{
    struct guest *guest = arg;
    cr_assert_eq(coir_semaphore_acquire(guest->places), 0);
    write_down(guest->story, guest->number);
    coir_semaphore_release(guest->places);
    cr_assert_eq(coir_semaphore_acquire(guest->places), 0);
    write_down(guest->story, guest->again);
    return 0;
}

/* test_locks.SemaphoreTests.test_acquire_fifo_order_2 */
RunTestOn(1, semaphore, released_and_acquired_at_once_does_not_overtake)
{
    coir_semaphore places = COIR_SEMAPHORE(1);
    struct story story = { .n = 0 };
    struct guest guests[3];
    coir_task *tasks[3];
    for (int i = 0; i < 3; i++) {
        guests[i] = (struct guest){ &places, &story, i + 1, 4, false };
        if (i != 1)
            guests[i].again = 0;
        tasks[i] = coir_create_task(i == 1 ? come_leave_and_come : come_once_or_twice, &guests[i]);
        let_all_wait();
    }
    coir_semaphore_release(&places);
    let_all_wait();
    EXPECT_STORY(&story, 1, 2, 3);
    coir_semaphore_release(&places);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(coir_await(tasks[i]), 0);
    EXPECT_STORY(&story, 1, 2, 3, 4);
    return 0;
}

/* test_locks.SemaphoreTests.test_acquire_fifo_order_3 */
RunTestOn(1, semaphore, whose_first_waiter_was_cancelled_keeps_the_order_of_the_others)
{
    coir_semaphore places = COIR_SEMAPHORE(0);
    struct story story = { .n = 0 };
    struct guest guests[3];
    coir_task *tasks[3];
    start_guests(guests, tasks, 3, &places, &story);
    cr_assert_eq(coir_cancel_await(tasks[0]), -ECANCELED);
    coir_semaphore_release(&places);
    coir_semaphore_release(&places);
    cr_assert_eq(coir_await(tasks[1]), 0);
    cr_assert_eq(coir_await(tasks[2]), 0);
    EXPECT_STORY(&story, 2, 3);
    return 0;
}

/* ------------------------------------------------------------- barriers --- */

enum { N = 5 };

/* What all do; the numbers are counts of what happened to them. */
struct meeting {
    coir_barrier barrier, other;
    atomic_int passed, broken, passed_again, came;
    atomic_int numbers; /* one bit each, of those that passed last */
    int again;          /* how many come a second time before the others */
};

static void init_meeting(struct meeting *meeting, int parties, int others)
{
    memset(meeting, 0, sizeof *meeting);
    coir_barrier_init(&meeting->barrier, (unsigned)parties);
    coir_barrier_init(&meeting->other, (unsigned)others);
}

static void start_all(coir_fn *fn, struct meeting *meeting, coir_task **tasks, int n)
{
    for (int i = 0; i < n; i++)
        tasks[i] = coir_create_task(fn, meeting);
}

static void await_all(coir_task **tasks, int n)
{
    for (int i = 0; i < n; i++)
        cr_assert_eq(coir_await(tasks[i]), 0);
}

static void run_all(coir_fn *fn, struct meeting *meeting)
{
    coir_task *tasks[N];
    start_all(fn, meeting, tasks, N);
    await_all(tasks, N);
}

static int pass_or_break(coir_barrier *barrier, atomic_int *passed, atomic_int *broken)
{
    int rc = coir_barrier_wait(barrier);
    cr_assert(rc >= 0 || rc == -EPIPE, "%d", rc);
    atomic_fetch_add(rc >= 0 ? passed : broken, 1);
    return rc;
}

static int pass_twice(void *arg)
{
    struct meeting *meeting = arg;
    pass_or_break(&meeting->barrier, &meeting->passed, &meeting->broken);
    cr_assert_eq(atomic_load(&meeting->passed) >= 1, 1);
    int number = pass_or_break(&meeting->barrier, &meeting->passed_again, &meeting->broken);
    atomic_fetch_or(&meeting->numbers, 1 << number);
    return 0;
}

/* test_locks.BarrierTests.test_filling_tasks_wait_twice,
   test_filling_tasks_check_return_value */
RunTest(barrier, passed_twice_gives_the_numbers_anew)
{
    struct meeting meeting;
    init_meeting(&meeting, N, 1);
    run_all(pass_twice, &meeting);
    cr_assert_eq(atomic_load(&meeting.passed), N);
    cr_assert_eq(atomic_load(&meeting.passed_again), N);
    cr_assert_eq(atomic_load(&meeting.broken), 0);
    cr_assert_eq(atomic_load(&meeting.numbers), (1 << N) - 1);
    return 0;
}

/* Two are back before the others have met elsewhere. */
static int come_back_early_or_late(void *arg)
{
    struct meeting *meeting = arg;
    pass_or_break(&meeting->barrier, &meeting->passed, &meeting->broken);
    if (atomic_fetch_add(&meeting->came, 1) >= 2)
        pass_or_break(&meeting->other, &meeting->passed_again, &meeting->broken);
    pass_or_break(&meeting->barrier, &meeting->passed, &meeting->broken);
    return 0;
}

/* test_locks.BarrierTests.test_blocking_tasks_while_draining */
RunTest(barrier, that_some_wait_for_again_keeps_its_rounds_apart)
{
    struct meeting meeting;
    init_meeting(&meeting, N, N - 2);
    run_all(come_back_early_or_late, &meeting);
    cr_assert_eq(atomic_load(&meeting.passed), 2 * N);
    cr_assert_eq(atomic_load(&meeting.passed_again), N - 2);
    cr_assert_eq(atomic_load(&meeting.broken), 0);
    return 0;
}

static int break_and_pass(void *arg)
{
    struct meeting *meeting = arg;
    pass_or_break(&meeting->barrier, &meeting->passed, &meeting->broken);
    pass_or_break(&meeting->barrier, &meeting->passed_again, &meeting->broken);
    return 0;
}

static int pass_once(void *arg)
{
    struct meeting *meeting = arg;
    pass_or_break(&meeting->barrier, &meeting->passed_again, &meeting->broken);
    return 0;
}

/* test_locks.BarrierTests.test_reset_barrier_while_tasks_waiting_and_waiting_again */
RunTestOn(1, barrier, reset_under_those_that_wait_lets_them_wait_again)
{
    struct meeting meeting;
    coir_task *tasks[N];
    init_meeting(&meeting, N, 1);
    start_all(break_and_pass, &meeting, tasks, N - 1);
    let_all_wait();
    coir_barrier_reset(&meeting.barrier);
    let_all_wait();
    start_all(pass_once, &meeting, &tasks[N - 1], 1);
    await_all(tasks, N);
    cr_assert_eq(atomic_load(&meeting.broken), N - 1);
    cr_assert_eq(atomic_load(&meeting.passed), 0);
    cr_assert_eq(atomic_load(&meeting.passed_again), N);
    return 0;
}

/* Who is the first to pass resets it. */
static int pass_and_reset(void *arg)
{
    struct meeting *meeting = arg;
    int rc = pass_or_break(&meeting->barrier, &meeting->passed, &meeting->broken);
    if (rc >= 0 && atomic_fetch_add(&meeting->came, 1) == 0)
        coir_barrier_reset(&meeting->barrier);
    return 0;
}

/* test_locks.BarrierTests.test_reset_barrier_when_tasks_half_draining */
RunTest(barrier, reset_by_one_that_passed_takes_nothing_from_the_others)
{
    struct meeting meeting;
    init_meeting(&meeting, N, 1);
    run_all(pass_and_reset, &meeting);
    cr_assert_eq(atomic_load(&meeting.passed), N);
    cr_assert_eq(atomic_load(&meeting.broken), 0);
    return 0;
}

/* All pass; some wait again, and the last to pass sends these away; then all meet. */
static int wait_again_or_reset(void *arg)
{
    struct meeting *meeting = arg;
    pass_or_break(&meeting->barrier, &meeting->passed, &meeting->broken);
    if (atomic_fetch_add(&meeting->came, 1) < N - 1)
        pass_or_break(&meeting->barrier, &meeting->passed_again, &meeting->broken);
    else
        while (atomic_load(&meeting->broken) < N - 1) {
            coir_barrier_reset(&meeting->barrier);
            cr_assert_eq(coir_yield(), 0);
        }
    if (pass_or_break(&meeting->other, &meeting->passed, &meeting->broken) >= 0)
        pass_or_break(&meeting->barrier, &meeting->passed, &meeting->broken);
    return 0;
}

/* test_locks.BarrierTests.test_reset_barrier_when_tasks_half_draining_half_blocking,
   test_reset_barrier_while_tasks_draining */
RunTest(barrier, reset_under_those_that_wait_again_sends_only_these_away)
{
    struct meeting meeting;
    init_meeting(&meeting, N, N);
    run_all(wait_again_or_reset, &meeting);
    cr_assert_eq(atomic_load(&meeting.passed), 3 * N);
    cr_assert_eq(atomic_load(&meeting.passed_again), 0);
    cr_assert_eq(atomic_load(&meeting.broken), N - 1);
    return 0;
}

static int wait_again_or_abort(void *arg)
{
    struct meeting *meeting = arg;
    pass_or_break(&meeting->barrier, &meeting->passed, &meeting->broken);
    if (atomic_fetch_add(&meeting->came, 1) == N / 2)
        coir_barrier_abort(&meeting->barrier);
    else
        pass_or_break(&meeting->barrier, &meeting->passed_again, &meeting->broken);
    return 0;
}

/* test_locks.BarrierTests.test_abort_barrier_when_tasks_half_draining_half_blocking,
   test_abort_barrier_when_exception */
RunTest(barrier, aborted_by_one_that_passed_sends_those_away_that_wait_again)
{
    struct meeting meeting;
    init_meeting(&meeting, N, 1);
    run_all(wait_again_or_abort, &meeting);
    cr_assert_eq(atomic_load(&meeting.passed), N);
    cr_assert_eq(atomic_load(&meeting.passed_again), 0);
    cr_assert_eq(atomic_load(&meeting.broken), N - 1);
    cr_assert_eq(coir_barrier_wait(&meeting.barrier), -EPIPE);
    return 0;
}

static int abort_meet_reset_and_pass(void *arg)
{
    struct meeting *meeting = arg;
    int number = pass_or_break(&meeting->barrier, &meeting->passed, &meeting->broken);
    if (number == N / 2)
        coir_barrier_abort(&meeting->barrier);
    else
        pass_or_break(&meeting->barrier, &meeting->passed_again, &meeting->broken);

    number = coir_barrier_wait(&meeting->other);
    cr_assert_geq(number, 0);
    if (number == N / 2)
        coir_barrier_reset(&meeting->barrier);
    cr_assert_geq(coir_barrier_wait(&meeting->other), 0);
    pass_or_break(&meeting->barrier, &meeting->passed, &meeting->broken);
    return 0;
}

/* test_locks.BarrierTests.test_abort_barrier_when_exception_then_resetting */
RunTest(barrier, aborted_and_then_reset_is_as_new)
{
    struct meeting meeting;
    init_meeting(&meeting, N, N);
    run_all(abort_meet_reset_and_pass, &meeting);
    cr_assert_eq(atomic_load(&meeting.passed), 2 * N);
    cr_assert_eq(atomic_load(&meeting.passed_again), 0);
    cr_assert_eq(atomic_load(&meeting.broken), N - 1);
    return 0;
}
