/*
 * test_rescue.c - a task that makes no call delays nobody else.
 *
 * The hog computes, or sits in a system call, until the others have done what
 * they are to do, however long that takes: if anything of theirs is stranded with
 * the hog's worker, the test hangs.
 *
 * ThreadSanitizer runs handlers where a thread uses an atomic, or sits in a system
 * call that it knows to block; so the hogs do one of the two.
 */
#include "api/in_run.h"

#include <fcntl.h>
#include <poll.h>
#include <time.h>

struct work {
    atomic_int left; /* until the hog may stop */
    int pipe[2];
};

/* One of the others writes it when all is done; after that it does nothing more. */
static int read_byte(struct work *work)
{
    char byte;

    return read(work->pipe[0], &byte, 1) == 1 ? 0 : -EIO;
}

static int compute(void *arg)
{
    struct work *work = arg;

    while (atomic_load(&work->left) > 0)
        ;
    return read_byte(work);
}

static int sit_in_read(void *arg)
{
    struct work *work = arg;

#ifdef CHECK_TSAN /* which does not know of read() */
    while (poll(&(struct pollfd){ .fd = work->pipe[0], .events = POLLIN }, 1, -1) < 0)
        ;
#endif
    return read_byte(work);
}

static int finish_one(struct work *work)
{
    if (atomic_fetch_sub(&work->left, 1) == 1)
        cr_assert_eq(write(work->pipe[1], "x", 1), 1);
    return 0;
}

static int sleep_and_finish(void *arg)
{
    int rc = coir_sleep(COIR_MICROSECONDS(100 + rand() % 5000));

    return rc < 0 ? rc : finish_one(arg);
}

static int just_finish(void *arg)
{
    return finish_one(arg);
}

static int yield_and_finish(void *arg)
{
    for (int i = 0; i < 3; i++)
        if (coir_yield() < 0)
            return -ECANCELED;
    return finish_one(arg);
}

/* Creates the next before it ends. */
static int chain(void *arg)
{
    struct work *work = arg;

    if (atomic_load(&work->left) > 1)
        coir_detach(coir_create_task(chain, work));
    return finish_one(work);
}

static int busy_until_done(void *arg)
{
    struct work *work = arg;

    while (atomic_load(&work->left) > 0)
        if (coir_yield() < 0)
            return -ECANCELED;
    return 0;
}

static void start(struct work *work, int n)
{
    cr_assert_eq(pipe2(work->pipe, O_CLOEXEC), 0);
    atomic_store(&work->left, n);
}

static void end(struct work *work)
{
    close(work->pipe[0]);
    close(work->pipe[1]);
}

/* n tasks of fn, all created by the task that then becomes the hog. */
static void hog_beside(coir_fn *hog, coir_fn *fn, int n, int busy)
{
    struct work work;
    coir_group group;

    start(&work, n);
    coir_group_init(&group);
    for (int i = 0; i < busy; i++)
        cr_assert_eq(coir_group_create_task(&group, busy_until_done, &work), 0);
    for (int i = 0; i < n; i++)
        cr_assert_eq(coir_group_create_task(&group, fn, &work), 0);
    if (fn == sleep_and_finish)
        cr_assert_eq(coir_sleep(COIR_MICROSECONDS(50)), 0); /* they start, here or elsewhere */
    cr_assert_eq(hog(&work), 0);
    cr_assert_eq(coir_group_wait(&group), 0);
    end(&work);
}

#define RESCUE_TEST(workers, name, ...)                    \
    RunTestOn(workers, rescue, name, .init = forget_debug) \
    {                                                      \
        hog_beside(__VA_ARGS__);                           \
        return 0;                                          \
    }

RESCUE_TEST(2, of_fresh_tasks_behind_a_computation, compute, just_finish, 1000, 0)
RESCUE_TEST(8, of_fresh_tasks_behind_a_computation_of_8, compute, just_finish, 1000, 0)
RESCUE_TEST(2, of_fresh_tasks_behind_a_system_call, sit_in_read, just_finish, 1000, 0)
RESCUE_TEST(8, of_fresh_tasks_behind_a_system_call_of_8, sit_in_read, just_finish, 1000, 0)
RESCUE_TEST(2, of_yielding_tasks_behind_a_computation, compute, yield_and_finish, 1000, 0)
RESCUE_TEST(2, of_timers_behind_a_computation, compute, sleep_and_finish, 1000, 0)
RESCUE_TEST(8, of_timers_behind_a_computation_of_8, compute, sleep_and_finish, 1000, 0)
RESCUE_TEST(2, of_timers_behind_a_system_call, sit_in_read, sleep_and_finish, 1000, 0)
RESCUE_TEST(8, of_timers_behind_a_system_call_of_8, sit_in_read, sleep_and_finish, 1000, 0)
RESCUE_TEST(2, of_timers_though_the_others_are_never_idle, compute, sleep_and_finish, 1000, 4)
RESCUE_TEST(8, of_timers_though_the_others_are_never_idle_of_8, compute, sleep_and_finish, 1000, 16)
RESCUE_TEST(2, of_fresh_tasks_though_the_others_are_never_idle, compute, just_finish, 1000, 4)
RESCUE_TEST(2, beside_a_system_call_though_the_others_are_never_idle, sit_in_read, sleep_and_finish,
            1000, 4)
RESCUE_TEST(2, of_a_chain_of_tasks, compute, chain, 1000, 0)

/* All workers sleep; then one is woken by its own timer, and becomes a hog. */
static int hog_after_a_sleep(coir_fn *hog, int workers)
{
    struct work work;
    coir_group group;

    start(&work, 100);
    coir_group_init(&group);
    for (int i = 0; i < 100; i++)
        cr_assert_eq(coir_group_create_task(&group, sleep_and_finish, &work), 0);
    atomic_fetch_add(&work.left, workers);
    for (int i = 0; i < workers; i++)
        cr_assert_eq(coir_group_create_task(&group, sleep_and_finish, &work), 0);
    cr_assert_eq(coir_sleep(COIR_MICROSECONDS(200)), 0);
    cr_assert_eq(hog(&work), 0);
    cr_assert_eq(coir_group_wait(&group), 0);
    end(&work);
    return 0;
}

RunTestOn(2, rescue, by_workers_that_slept_when_the_computation_began, .init = forget_debug)
{
    cr_assert_eq(coir_sleep(COIR_MILLISECONDS(50)), 0);
    return hog_after_a_sleep(compute, 2);
}

RunTestOn(8, rescue, by_workers_that_slept_when_the_system_call_began, .init = forget_debug)
{
    cr_assert_eq(coir_sleep(COIR_MILLISECONDS(50)), 0);
    return hog_after_a_sleep(sit_in_read, 8);
}

/* A pinned sleeper can be helped by nobody; the others still are. */
static int sleep_pinned(UNUSED void *arg)
{
    return coir_sleep(COIR_MICROSECONDS(100));
}

RunTestOn(2, rescue, of_the_others_though_a_pinned_task_must_wait, .init = forget_debug)
{
    coir_task_options options = { .pinned = 1 };
    coir_task *pinned = coir_create_task_with(&options, sleep_pinned, NULL);
    cr_assert_eq(coir_yield(), 0);
    hog_beside(compute, sleep_and_finish, 200, 0);
    return coir_await(pinned);
}

/* Nothing to give: no signals, each of which would end the sleep.  What is left to evidence
   is a few at the start.  Signals to others are not counted: one that has been woken, and
   has no CPU, looks stuck. */
RunTestOn(8, rescue, sends_no_signals_without_evidence, .init = forget_debug)
{
    struct timespec end;
    int signals = 0;

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_nsec += 300000000;
    end.tv_sec += end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL) == EINTR)
        signals++;
    cr_assert_leq(signals, 5);
    return 0;
}

/* What the hog has not handed over itself by then only a handler can get at.  Mostly
   that is something at once. */
RunTestOn(2, rescue, is_by_a_signal_handler, .init = forget_debug)
{
    coir_stats before, after;

    coir_stats_get(&before);
    do {
        hog_beside(compute, just_finish, 10, 0);
        coir_stats_get(&after);
    } while (after.signals == before.signals);
    return 0;
}

/* What a task wakes that goes on to compute: it rings bells, again and again, and makes
   no step in between. */

#define BELLS_MOST 4

struct bell {
    coir_future future;
    atomic_int waits, woken; /* rounds */
    atomic_int *held;        /* the round in which the hog wants it to keep its worker */
    atomic_ullong sleeps;    /* of all workers, before it began to wait */
    atomic_bool *over;
};

struct belfry {
    struct bell bells[BELLS_MOST];
    int n;
    int round;
    atomic_bool over;
    coir_group group;
};

static coir_stats stats_now(void)
{
    coir_stats stats;

    coir_stats_get(&stats);
    return stats;
}

static int wait_for_bell(void *arg)
{
    struct bell *bell = arg;
    int rc = 0;

    for (int i = 1; rc == 0 && !atomic_load(bell->over); i++) {
        coir_future_init(&bell->future);
        atomic_store(&bell->sleeps, stats_now().sleeps);
        atomic_store(&bell->waits, i);
        rc = coir_future_await(&bell->future, NULL);
        coir_future_destroy(&bell->future);
        atomic_store(&bell->woken, i);
        while (bell->held && atomic_load(bell->held) == i)
            ;
    }
    return rc;
}

static void hang_bells(struct belfry *belfry, int n)
{
    belfry->n = n;
    coir_group_init(&belfry->group);
    for (int i = 0; i < n; i++) {
        belfry->bells[i].over = &belfry->over;
        cr_assert_eq(coir_group_create_task(&belfry->group, wait_for_bell, &belfry->bells[i]), 0);
    }
}

/* Compute until all are about to wait. */
static void begin_round(struct belfry *belfry)
{
    belfry->round++;
    for (int i = 0; i < belfry->n; i++)
        while (atomic_load(&belfry->bells[i].waits) < belfry->round)
            ;
}

/* Compute until a worker has gone to sleep since each began to wait. */
static void await_sleep(struct belfry *belfry)
{
    for (int i = 0; i < belfry->n; i++)
        while (stats_now().sleeps <= atomic_load(&belfry->bells[i].sleeps))
            ;
}

static void ring(struct belfry *belfry, int first, int last)
{
    for (int i = first; i <= last; i++)
        cr_assert_eq(coir_future_set(&belfry->bells[i].future, NULL), 0);
}

/* Compute until they have been woken. */
static void await_answer(struct belfry *belfry, int first, int last)
{
    for (int i = first; i <= last; i++)
        while (atomic_load(&belfry->bells[i].woken) < belfry->round)
            ;
}

static void take_down(struct belfry *belfry)
{
    begin_round(belfry);
    atomic_store(&belfry->over, true);
    ring(belfry, 0, belfry->n - 1);
    cr_assert_eq(coir_group_wait(&belfry->group), 0);
}

/* The hog gives them away itself: nobody has to signal for them. */
static int ring_without_signals(int n)
{
    static struct belfry belfry;

    hang_bells(&belfry, n);
    for (int quiet = 0; quiet < 100;) {
        uint64_t signals;
        begin_round(&belfry);
        await_sleep(&belfry);
        signals = stats_now().signals;
        ring(&belfry, 0, n - 1);
        await_answer(&belfry, 0, n - 1);
        quiet += stats_now().signals == signals;
    }
    take_down(&belfry);
    return 0;
}

RunTestOn(2, rescue, of_one_that_is_woken_again_and_again, .init = forget_debug)
{
    return ring_without_signals(1);
}

RunTestOn(8, rescue, of_one_that_is_woken_again_and_again_of_8, .init = forget_debug)
{
    return ring_without_signals(1);
}

RunTestOn(8, rescue, of_some_that_are_woken_at_once, .init = forget_debug)
{
    return ring_without_signals(BELLS_MOST);
}

/* The first keeps the other worker until more have been woken, and of those the last
   finds the outbox full and nobody asleep.  A signal must come for it; and as long as
   that is not in vain, it comes at once, before the other worker sleeps. */
RunTestOn(2, rescue, of_more_than_can_be_given_away, .init = forget_debug)
{
    static struct belfry belfry;
    static atomic_int held;

    hang_bells(&belfry, 3);
    belfry.bells[0].held = &held;
    for (int soon = 0; soon < 50;) {
        coir_stats before, after;
        begin_round(&belfry);
        atomic_store(&held, belfry.round);
        ring(&belfry, 0, 0);
        await_answer(&belfry, 0, 0);
        ring(&belfry, 1, 2);
        before = stats_now();
        atomic_store(&held, 0);
        await_answer(&belfry, 1, 2);
        after = stats_now();
        soon += after.signals > before.signals && after.sleeps == before.sleeps;
    }
    take_down(&belfry);
    return 0;
}
