/*
 * Once: done by one, waited for by the others.
 */
#include "api/in_run.h"

struct job {
    coir_once *once;
    atomic_int *runs;
    coir_event *go; /* waited for inside, unless NULL */
    int result;
    int value; /* written inside */
    coir_fn *fn;
    struct job *first; /* whose value is read afterwards */
    int seen;
    int rc, next_call;
};

static int do_it(void *arg)
{
    struct job *job = arg;
    int rc = 0;
    atomic_fetch_add(job->runs, 1);
    if (job->go)
        rc = coir_event_wait(job->go);
    job->first->value++;
    return rc < 0 ? rc : job->result;
}

static int run_once(void *arg)
{
    struct job *job = arg;
    job->rc = coir_once_run(job->once, do_it, job);
    job->next_call = coir_check();
    if (job->rc >= 0)
        job->seen = job->first->value;
    return job->rc;
}

RunTest(once, runs_it_once_and_says_the_same_to_everybody)
{
    coir_once once = { { 0 } };
    atomic_int runs = 0;
    struct job job = { .once = &once, .runs = &runs, .result = 7, .first = &job };
    for (int i = 0; i < 3; i++)
        cr_assert_eq(coir_once_run(&once, do_it, &job), 7);
    cr_assert_eq(atomic_load(&runs), 1);
    return 0;
}

RunTest(once, makes_those_who_come_meanwhile_wait_for_its_end)
{
    enum { N = 20 };
    for (int round = 0; round < check_scale(200); round++) {
        coir_once once = { { 0 } };
        atomic_int runs = 0;
        coir_event go = { { 0 } };
        struct job jobs[N];
        coir_task *tasks[N];
        for (int i = 0; i < N; i++) {
            jobs[i] = (struct job){ .once = &once, .runs = &runs, .result = 5,
                                    .go = round % 2 ? &go : NULL, .first = &jobs[0] };
            tasks[i] = coir_create_task(run_once, &jobs[i]);
        }
        if (round % 2)
            yield_until(&runs, 1);
        coir_event_set(&go);
        for (int i = 0; i < N; i++) {
            cr_assert_eq(coir_await(tasks[i]), 5);
            cr_assert_eq(jobs[i].seen, 1);
        }
        cr_assert_eq(atomic_load(&runs), 1);
    }
    return 0;
}

RunTest(once, that_failed_is_tried_by_the_next_that_comes)
{
    coir_once once = { { 0 } };
    atomic_int runs = 0;
    struct job job = { .once = &once, .runs = &runs, .result = -EIO, .first = &job };
    cr_assert_eq(coir_once_run(&once, do_it, &job), -EIO);
    cr_assert_eq(coir_once_run(&once, do_it, &job), -EIO);
    job.result = 0;
    cr_assert_eq(coir_once_run(&once, do_it, &job), 0);
    cr_assert_eq(coir_once_run(&once, do_it, &job), 0);
    cr_assert_eq(atomic_load(&runs), 3);
    return 0;
}

/* The first fails, and each of the others tries in its turn until one succeeds. */
RunTestOn(1, once, that_failed_is_tried_by_the_next_that_waits)
{
    enum { N = 5 };
    coir_once once = { { 0 } };
    atomic_int runs = 0;
    coir_event go = { { 0 } };
    struct job jobs[N];
    coir_task *tasks[N];
    for (int i = 0; i < N; i++) {
        jobs[i] = (struct job){ .once = &once, .runs = &runs, .go = &go,
                                .result = i < 3 ? -EIO : i, .first = &jobs[0] };
        tasks[i] = coir_create_task(run_once, &jobs[i]);
        let_all_wait();
    }
    coir_event_set(&go);
    for (int i = 0; i < N; i++)
        cr_assert_eq(coir_await(tasks[i]), i < 3 ? -EIO : 3);
    cr_assert_eq(atomic_load(&runs), 4);
    return 0;
}

/* ----------------------------------------------------------- being told --- */

RunTest(once, run_by_a_cancelled_task_refuses_and_does_nothing)
{
    coir_once once = { { 0 } };
    atomic_int runs = 0;
    struct job job = { .once = &once, .runs = &runs, .first = &job };
    coir_cancel(coir_current_task());
    cr_assert_eq(coir_once_run(&once, do_it, &job), -ECANCELED);
    cr_assert_eq(atomic_load(&runs), 0);
    return 0;
}

RunTest(once, run_past_a_deadline_refuses_and_does_nothing)
{
    coir_once once = { { 0 } };
    atomic_int runs = 0;
    coir_timeout limit;
    struct job job = { .once = &once, .runs = &runs, .first = &job };
    coir_timeout_begin(&limit, 0);
    cr_assert_eq(coir_once_run(&once, do_it, &job), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    cr_assert_eq(coir_once_run(&once, do_it, &job), 0);
    cr_assert_eq(atomic_load(&runs), 1);
    return 0;
}

RunTest(once, whose_waiter_is_cancelled_goes_on)
{
    coir_once once = { { 0 } };
    atomic_int runs = 0;
    coir_event go = { { 0 } };
    struct job jobs[3];
    coir_task *tasks[3];
    for (int i = 0; i < 3; i++) {
        jobs[i] = (struct job){ .once = &once, .runs = &runs, .go = &go, .result = 2,
                                .first = &jobs[0] };
        tasks[i] = coir_create_task(run_once, &jobs[i]);
        if (i == 0)
            yield_until(&runs, 1);
    }
    let_them_wait();
    cr_assert_eq(coir_cancel_await(tasks[1]), -ECANCELED);
    cr_assert_eq(coir_wait_for(tasks[2], COIR_MILLISECONDS(1)), -ETIMEDOUT);
    coir_event_set(&go);
    cr_assert_eq(coir_await(tasks[0]), 2);
    cr_assert_eq(atomic_load(&runs), 1);
    return 0;
}

RunTest(once, whose_runner_is_cancelled_is_tried_by_who_waits)
{
    coir_once once = { { 0 } };
    atomic_int runs = 0;
    coir_event go = { { 0 } };
    struct job first = { .once = &once, .runs = &runs, .go = &go, .first = &first };
    struct job second = { .once = &once, .runs = &runs, .result = 3, .first = &first };
    coir_task *a = coir_create_task(run_once, &first);
    yield_until(&runs, 1);
    coir_task *b = coir_create_task(run_once, &second);
    let_them_wait();
    cr_assert_not(coir_task_done(b));
    cr_assert_eq(coir_cancel_await(a), -ECANCELED);
    cr_assert_eq(coir_await(b), 3);
    cr_assert_eq(atomic_load(&runs), 2);
    return 0;
}

RunTest(once, that_was_done_before_the_cancel_keeps_its_result)
{
    coir_once once = { { 0 } };
    atomic_int runs = 0;
    struct job job = { .once = &once, .runs = &runs, .result = 1, .first = &job };
    cr_assert_eq(coir_await(coir_create_task(run_once, &job)), 1);
    coir_cancel(coir_current_task());
    cr_assert_eq(coir_once_run(&once, do_it, &job), -ECANCELED);
    cr_assert_eq(job.rc, 1);
    return 0;
}

/* The one whose turn it is to try is cancelled: it tries all the same, and what it runs
   is told; the others are not left waiting. */
RunTestOn(1, once, whose_next_is_cancelled_passes_the_turn_on)
{
    coir_once once = { { 0 } };
    atomic_int runs = 0;
    coir_event go = { { 0 } };
    struct job jobs[3];
    coir_task *tasks[3];
    for (int i = 0; i < 3; i++) {
        jobs[i] = (struct job){ .once = &once, .runs = &runs, .go = &go,
                                .result = i ? i : -EIO, .first = &jobs[0] };
        tasks[i] = coir_create_task(run_once, &jobs[i]);
        let_all_wait();
    }
    coir_event_set(&go);
    while (!coir_task_done(tasks[0]))
        cr_assert_eq(coir_yield(), 0);
    coir_cancel(tasks[1]); /* which has been woken, and should not have run */
    cr_assert_eq(coir_await(tasks[0]), -EIO);
    int second = coir_await(tasks[1]);
    cr_assert(second == -ECANCELED || second == 1);
    cr_assert_eq(coir_await(tasks[2]), second == 1 ? 1 : 2);
    return 0;
}

/* Cancels against runs that fail: at most one success, told to all that were not stopped. */
RunTest(once, failing_and_cancelled_at_once_leaves_nobody_waiting)
{
    enum { N = 5 };
    for (int i = 0; i < check_scale(2000); i++) {
        coir_once once = { { 0 } };
        atomic_int runs = 0;
        struct job jobs[N];
        coir_task *tasks[N];
        int value = 0;
        for (int k = 0; k < N; k++) {
            jobs[k] = (struct job){ .once = &once, .runs = &runs, .first = &jobs[0],
                                    .result = (i >> k) % 3 ? -EIO : k + 1 };
            tasks[k] = coir_create_task(run_once, &jobs[k]);
        }
        if (i % 3)
            cr_assert_eq(coir_yield(), 0);
        coir_cancel(tasks[i % N]);
        for (int k = 0; k < N; k++) {
            int rc = coir_await(tasks[k]);
            cr_assert(rc > 0 || rc == -EIO || (rc == -ECANCELED && k == i % N), "%d", rc);
            cr_assert(rc < 0 || value == 0 || rc == value);
            value = rc > 0 ? rc : value;
        }
    }
    return 0;
}
