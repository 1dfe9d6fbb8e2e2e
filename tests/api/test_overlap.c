/*
 * With two workers two tasks run at the same time.  No clock: each task spins,
 * without a call of coir, until the other has started, so that the test ends
 * only if both run at once.
 */
#include "api/in_run.h"

static int start_and_wait_for_the_other(void *arg)
{
    atomic_int *started = arg;
    atomic_fetch_add(started, 1);
    while (atomic_load(started) < 2)
        ;
    return 0;
}

RunTestOn(2, overlap, of_a_task_and_its_creator_that_only_checks)
{
    for (int i = 0; i < check_scale(100); i++) {
        atomic_int started = 0;
        coir_task *task = coir_create_task(start_and_wait_for_the_other, &started);
        atomic_fetch_add(&started, 1);
        while (atomic_load(&started) < 2)
            cr_assert_eq(coir_check(), 0);
        cr_assert_eq(coir_await(task), 0);
    }
    return 0;
}

RunTestOn(2, overlap, of_the_calls_of_a_gather)
{
    for (int i = 0; i < check_scale(100); i++) {
        atomic_int started = 0;
        cr_assert_eq(coir_gather(COIR_CALL(start_and_wait_for_the_other, &started),
                                 COIR_CALL(start_and_wait_for_the_other, &started)), 0);
    }
    return 0;
}

RunTestOn(2, overlap, of_the_members_of_a_group)
{
    for (int i = 0; i < check_scale(100); i++) {
        atomic_int started = 0;
        coir_group group;
        coir_group_init(&group);
        for (int k = 0; k < 2; k++)
            cr_assert_eq(coir_group_create_task(&group, start_and_wait_for_the_other, &started),
                         0);
        cr_assert_eq(coir_group_wait(&group), 0);
    }
    return 0;
}

RunTestOn(2, overlap, of_two_tasks_awaited_one_after_the_other)
{
    for (int i = 0; i < check_scale(100); i++) {
        atomic_int started = 0;
        coir_task *a = coir_create_task(start_and_wait_for_the_other, &started);
        coir_task *b = coir_create_task(start_and_wait_for_the_other, &started);
        cr_assert_eq(coir_await(a), 0);
        cr_assert_eq(coir_await(b), 0);
    }
    return 0;
}

RunTestOn(2, overlap, of_a_task_and_its_creator_that_never_suspends)
{
    for (int i = 0; i < check_scale(100); i++) {
        atomic_int started = 0;
        coir_task *task = coir_create_task(start_and_wait_for_the_other, &started);
        start_and_wait_for_the_other(&started);
        cr_assert_eq(coir_await(task), 0);
    }
    return 0;
}

static int spin_until_set(void *flag)
{
    while (!atomic_load((atomic_int *)flag))
        ;
    return 0;
}

static int set_flag(void *flag)
{
    atomic_store((atomic_int *)flag, 1);
    return 0;
}

/* COIR_DEBUG=migrate would send the victim to the worker that computes. */
RunTestOn(2, overlap, of_a_cancel_from_a_worker_whose_victim_sleeps_on_another,
          .init = forget_debug)
{
    for (int i = 0; i < check_scale(100); i++) {
        atomic_int told = 0;
        coir_task *sleeper = coir_create_task(count_cancel, &told);
        cr_assert_eq(coir_yield(), 0);
        coir_cancel(sleeper);
        while (!atomic_load(&told))
            ;
        cr_assert_eq(coir_await(sleeper), -ECANCELED);
    }
    return 0;
}

static int fill_with_hogs(void *flag)
{
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i < 7; i++)
        cr_assert_eq(coir_group_create_task(&group, spin_until_set, flag), 0);
    cr_assert_eq(coir_group_create_task(&group, set_flag, flag), 0);
    return coir_group_wait(&group);
}

RunTestOn(8, overlap, of_eight_tasks_on_eight_workers)
{
    for (int i = 0; i < 10; i++) {
        atomic_int flag = 0;
        cr_assert_eq(fill_with_hogs(&flag), 0);
    }
    return 0;
}
