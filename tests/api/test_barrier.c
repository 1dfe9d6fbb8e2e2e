/*
 * Barriers: so many tasks wait for each other, again and again.
 */
#include "api/in_thread.h"

struct party {
    coir_barrier *barrier;
    int rc;
    int next_call;
};

static int meet(void *arg)
{
    struct party *party = arg;
    party->rc = coir_barrier_wait(party->barrier);
    party->next_call = coir_check();
    return party->rc;
}

static void start_parties(struct party *parties, coir_task **tasks, int n, coir_barrier *barrier)
{
    for (int i = 0; i < n; i++) {
        parties[i] = (struct party){ .barrier = barrier };
        tasks[i] = coir_create_task(meet, &parties[i]);
    }
}

/* The numbers from 0 to n - 1, each once. */
static void expect_numbered(coir_task **tasks, int n)
{
    unsigned seen = 0;
    for (int i = 0; i < n; i++) {
        int number = coir_await(tasks[i]);
        cr_assert(number >= 0 && number < n, "%d", number);
        seen |= 1u << number;
    }
    cr_assert_eq(seen, (1u << n) - 1);
}

RunTest(barrier, of_one_waits_for_nobody)
{
    coir_barrier barrier;
    coir_barrier_init(&barrier, 1);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(coir_barrier_wait(&barrier), 0);
    return 0;
}

RunTest(barrier, gives_each_that_waited_a_number_of_its_own)
{
    enum { N = 10 };
    coir_barrier barrier;
    struct party parties[N];
    coir_task *tasks[N];
    coir_barrier_init(&barrier, N);
    for (int round = 0; round < 3; round++) {
        start_parties(parties, tasks, N, &barrier);
        expect_numbered(tasks, N);
    }
    return 0;
}

RunTest(barrier, lets_nobody_through_before_the_last_has_come)
{
    enum { N = 5 };
    coir_barrier barrier;
    struct party parties[N];
    coir_task *tasks[N];
    coir_barrier_init(&barrier, N);
    start_parties(parties, tasks, N - 1, &barrier);
    let_them_wait();
    for (int i = 0; i < N - 1; i++)
        cr_assert_not(coir_task_done(tasks[i]));
    start_parties(&parties[N - 1], &tasks[N - 1], 1, &barrier);
    expect_numbered(tasks, N);
    return 0;
}

RunTestOn(1, barrier, numbers_those_that_wait_in_the_order_in_which_they_came)
{
    enum { N = 5 };
    coir_barrier barrier;
    struct party parties[N];
    coir_task *tasks[N];
    coir_barrier_init(&barrier, N + 1);
    for (int i = 0; i < N; i++) {
        start_parties(&parties[i], &tasks[i], 1, &barrier);
        let_all_wait();
    }
    cr_assert_eq(coir_barrier_wait(&barrier), N);
    for (int i = 0; i < N; i++)
        cr_assert_eq(coir_await(tasks[i]), i);
    return 0;
}

/* In each round everybody writes, all meet, everybody reads what all have written. */
enum { DANCERS = 6 };

struct dance {
    coir_barrier barrier;
    int steps[DANCERS];
    int rounds;
    atomic_int next;
};

static int dance_along(void *arg)
{
    struct dance *dance = arg;
    int self = atomic_fetch_add(&dance->next, 1);
    for (int round = 1; round <= dance->rounds; round++) {
        dance->steps[self] = round;
        cr_assert_geq(coir_barrier_wait(&dance->barrier), 0);
        for (int i = 0; i < DANCERS; i++)
            cr_assert_eq(dance->steps[i], round);
        cr_assert_geq(coir_barrier_wait(&dance->barrier), 0);
    }
    return 0;
}

RunTest(barrier, keeps_the_rounds_apart)
{
    struct dance dance = { .rounds = check_scale(500) };
    coir_call calls[DANCERS];
    coir_barrier_init(&dance.barrier, DANCERS);
    for (int i = 0; i < DANCERS; i++)
        calls[i] = (coir_call){ dance_along, &dance, 0 };
    cr_assert_eq(coir_gather_array(calls, DANCERS), 0);
    return 0;
}

/* -------------------------------------------------------- being refused --- */

RunTest(barrier, waited_for_by_a_cancelled_task_refuses_and_does_not_count_it)
{
    coir_barrier barrier;
    coir_barrier_init(&barrier, 1);
    coir_cancel(coir_current_task());
    cr_assert_eq(coir_barrier_wait(&barrier), -ECANCELED);
    return 0;
}

RunTest(barrier, waited_for_past_a_deadline_refuses_and_does_not_count_it)
{
    coir_barrier barrier;
    coir_timeout limit;
    coir_barrier_init(&barrier, 2);
    coir_timeout_begin(&limit, 0);
    cr_assert_eq(coir_barrier_wait(&barrier), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    coir_timeout_begin(&limit, COIR_MILLISECONDS(1));
    cr_assert_eq(coir_barrier_wait(&barrier), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    return 0;
}

RunTest(barrier, whose_waiter_is_cancelled_waits_for_one_more)
{
    coir_barrier barrier;
    struct party parties[3], stopped;
    coir_task *tasks[3], *task;
    coir_barrier_init(&barrier, 3);
    start_parties(&stopped, &task, 1, &barrier);
    let_them_wait();
    cr_assert_eq(coir_cancel_await(task), -ECANCELED);
    start_parties(parties, tasks, 2, &barrier);
    let_them_wait();
    cr_assert_not(coir_task_done(tasks[0]));
    cr_assert_not(coir_task_done(tasks[1]));
    start_parties(&parties[2], &tasks[2], 1, &barrier);
    expect_numbered(tasks, 3);
    return 0;
}

RunTestOn(1, barrier, that_let_a_waiter_through_before_its_cancel_returned_its_number)
{
    coir_barrier barrier;
    struct party party;
    coir_task *task;
    coir_barrier_init(&barrier, 2);
    start_parties(&party, &task, 1, &barrier);
    let_all_wait();
    cr_assert_eq(coir_barrier_wait(&barrier), 1);
    coir_cancel(task);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(party.next_call, -ECANCELED);
    return 0;
}

/* ---------------------------------------------------------------- broken --- */

RunTest(barrier, reset_sends_those_that_wait_away_and_is_as_new)
{
    coir_barrier barrier;
    struct party parties[3];
    coir_task *tasks[3];
    coir_barrier_init(&barrier, 3);
    start_parties(parties, tasks, 2, &barrier);
    while (!coir_task_done(tasks[0]) || !coir_task_done(tasks[1])) {
        coir_barrier_reset(&barrier);
        cr_assert_eq(coir_yield(), 0);
    }
    cr_assert_eq(coir_await(tasks[0]), -EPIPE);
    cr_assert_eq(coir_await(tasks[1]), -EPIPE);
    start_parties(parties, tasks, 3, &barrier);
    expect_numbered(tasks, 3);
    return 0;
}

RunTest(barrier, aborted_sends_everybody_away_until_a_reset)
{
    coir_barrier barrier;
    struct party parties[3];
    coir_task *tasks[3];
    coir_barrier_init(&barrier, 3);
    start_parties(parties, tasks, 2, &barrier);
    let_them_wait();
    coir_barrier_abort(&barrier);
    cr_assert_eq(coir_await(tasks[0]), -EPIPE);
    cr_assert_eq(coir_await(tasks[1]), -EPIPE);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(coir_barrier_wait(&barrier), -EPIPE);
    coir_barrier_abort(&barrier);
    cr_assert_eq(coir_barrier_wait(&barrier), -EPIPE);
    coir_barrier_reset(&barrier);
    start_parties(parties, tasks, 3, &barrier);
    expect_numbered(tasks, 3);
    return 0;
}

RunTest(barrier, aborted_refuses_a_cancelled_task_as_cancelled)
{
    coir_barrier barrier;
    coir_barrier_init(&barrier, 2);
    coir_barrier_abort(&barrier);
    coir_cancel(coir_current_task());
    cr_assert_eq(coir_barrier_wait(&barrier), -ECANCELED);
    return 0;
}

/* Cancels and resets against arrivals: everybody gets an end that is one of the three. */
RunTest(barrier, reset_and_cancelled_at_once_lets_everybody_go)
{
    enum { N = 4 };
    for (int i = 0; i < check_scale(2000); i++) {
        coir_barrier barrier;
        struct party parties[N];
        coir_task *tasks[N];
        int through = 0;
        coir_barrier_init(&barrier, 2);
        start_parties(parties, tasks, N, &barrier);
        if (i % 3)
            cr_assert_eq(coir_yield(), 0);
        coir_cancel(tasks[i % N]);
        if (i % 2)
            coir_barrier_reset(&barrier);
        coir_cancel(tasks[i % 3]);
        if (i % 5)
            cr_assert_eq(coir_yield(), 0);
        coir_barrier_abort(&barrier);
        for (int k = 0; k < N; k++) {
            int rc = coir_await(tasks[k]);
            cr_assert(rc == 0 || rc == 1 || rc == -EPIPE || rc == -ECANCELED, "%d", rc);
            through += rc >= 0;
        }
        cr_assert_eq(through % 2, 0);
    }
    return 0;
}

static void reset_it(void *barrier)
{
    coir_barrier_reset(barrier);
}

static void abort_it(void *barrier)
{
    coir_barrier_abort(barrier);
}

RunTest(barrier, is_reset_and_aborted_by_a_thread)
{
    coir_barrier barrier;
    struct party party;
    coir_task *task;
    coir_barrier_init(&barrier, 2);
    start_parties(&party, &task, 1, &barrier);
    let_them_wait();
    in_thread(abort_it, &barrier);
    cr_assert_eq(coir_await(task), -EPIPE);
    in_thread(reset_it, &barrier);
    start_parties(&party, &task, 1, &barrier);
    cr_assert_geq(coir_barrier_wait(&barrier), 0);
    cr_assert_geq(coir_await(task), 0);
    return 0;
}

/* Who was sent away frees it while the thread may still be inside. */
RunTest(barrier, aborted_by_a_thread_may_be_freed_at_once)
{
    struct helper helper;
    helper_start(&helper, abort_it);
    for (int i = 0; i < check_scale(3000); i++) {
        coir_barrier *barrier = malloc(sizeof *barrier);
        coir_barrier_init(barrier, 2);
        helper_lend(&helper, barrier);
        cr_assert_eq(coir_barrier_wait(barrier), -EPIPE);
        free_and_spoil(barrier, sizeof *barrier);
    }
    helper_stop(&helper);
    return 0;
}
