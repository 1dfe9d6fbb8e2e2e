/*
 * Groups that keep going, groups with a limit, members from everywhere; shields
 * with an end; scopes that close themselves.
 */
#include <pthread.h>

#include "api/in_run.h"

struct member {
    coir_group *group;
    atomic_int *alive, *most, *runs;
    int rc;
};

static int live_for_a_while(void *arg)
{
    struct member *member = arg;
    int alive = atomic_fetch_add(member->alive, 1) + 1, most = atomic_load(member->most);
    while (alive > most && !atomic_compare_exchange_weak(member->most, &most, alive))
        ;
    int rc = coir_yield();
    if (rc == 0 && atomic_load(member->runs) % 3 == 0)
        rc = coir_sleep(COIR_MICROSECONDS(50));
    atomic_fetch_sub(member->alive, 1);
    atomic_fetch_add(member->runs, 1);
    return rc < 0 ? rc : member->rc;
}

RunTest(group_limit, is_never_exceeded_and_everyone_runs)
{
    atomic_int alive = 0, most = 0, runs = 0;
    coir_group group;
    struct member member = { &group, &alive, &most, &runs, 0 };
    coir_group_init_with(&group, &(coir_group_options){ .limit = 3 });
    for (int i = 0; i < 200; i++)
        cr_assert_eq(coir_group_create_task(&group, live_for_a_while, &member), 0);
    cr_assert_eq(coir_group_wait(&group), 0);
    cr_assert_eq(atomic_load(&runs), 200);
    cr_assert_leq(atomic_load(&most), 3);
    return 0;
}

static int create_many(void *arg)
{
    struct member *member = arg;
    for (int i = 0; i < 20; i++) {
        int rc = coir_group_create_task(member->group, live_for_a_while, member);
        if (rc < 0)
            return rc;
    }
    return 0;
}

RunTest(group_limit, holds_for_all_that_create)
{
    atomic_int alive = 0, most = 0, runs = 0;
    coir_group group, creators;
    struct member member = { &group, &alive, &most, &runs, 0 };
    coir_group_init_with(&group, &(coir_group_options){ .limit = 4 });
    coir_group_init(&creators);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(coir_group_create_task(&creators, create_many, &member), 0);
    cr_assert_eq(coir_group_wait(&creators), 0);
    cr_assert_eq(coir_group_wait(&group), 0);
    cr_assert_eq(atomic_load(&runs), 100);
    cr_assert_leq(atomic_load(&most), 4);
    return 0;
}

RunTest(group_limit, a_creator_that_waits_is_told_of_the_groups_cancel)
{
    coir_group group;
    coir_group_init_with(&group, &(coir_group_options){ .limit = 1 });
    cr_assert_eq(coir_group_create_task(&group, sleep_forever, NULL), 0);
    coir_timeout limit;
    coir_timeout_begin(&limit, COIR_MILLISECONDS(1));
    cr_assert_eq(coir_group_create_task(&group, sleep_forever, NULL), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    coir_group_cancel(&group);
    cr_assert_eq(coir_group_create_task(&group, sleep_forever, NULL), -ECANCELED);
    cr_assert_eq(coir_group_wait(&group), 0);
    return 0;
}

static int create_one_more(void *group)
{
    return coir_group_create_task(group, sleep_forever, NULL);
}

RunTest(group_limit, a_task_that_waits_for_room_is_told_when_it_is_cancelled)
{
    coir_group group;
    coir_group_init_with(&group, &(coir_group_options){ .limit = 1 });
    cr_assert_eq(coir_group_create_task(&group, sleep_forever, NULL), 0);
    coir_task *creator = coir_create_task(create_one_more, &group);
    let_them_wait();
    cr_assert_eq(coir_cancel_await(creator), -ECANCELED);
    creator = coir_create_task(create_one_more, &group);
    let_them_wait();
    coir_group_cancel(&group);
    cr_assert_eq(coir_await(creator), -ECANCELED);
    return coir_group_wait(&group);
}

static int fail_after_a_while(void *arg)
{
    int rc = coir_sleep(COIR_MILLISECONDS(1));
    return rc < 0 ? rc : *(int *)arg;
}

RunTest(group_keep_going, a_failure_cancels_nobody_and_is_the_result)
{
    int eio = -EIO;
    atomic_int alive = 0, most = 0, runs = 0;
    coir_group group;
    struct member member = { &group, &alive, &most, &runs, 0 };
    coir_group_init_with(&group, &(coir_group_options){ .keep_going = true });
    cr_assert_eq(coir_group_create_task(&group, fail_after_a_while, &eio), 0);
    cr_assert_eq(coir_sleep(COIR_MILLISECONDS(3)), 0);
    for (int i = 0; i < 20; i++)
        cr_assert_eq(coir_group_create_task(&group, live_for_a_while, &member), 0);
    cr_assert_eq(coir_group_wait(&group), -EIO);
    cr_assert_eq(atomic_load(&runs), 20);
    return 0;
}

RunTest(group_keep_going, is_still_cancelled_by_a_cancel)
{
    atomic_int told = 0;
    coir_group group;
    coir_group_init_with(&group, &(coir_group_options){ .keep_going = true });
    cr_assert_eq(coir_group_create_task(&group, count_cancel, &told), 0);
    cr_assert_eq(coir_group_cancel_wait(&group), 0);
    cr_assert_eq(atomic_load(&told), 1);
    return 0;
}

RunTest(group_cancel_wait, cancels_and_waits)
{
    atomic_int told = 0;
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(coir_group_create_task(&group, count_cancel, &told), 0);
    cr_assert_eq(coir_group_cancel_wait(&group), 0);
    cr_assert_eq(atomic_load(&told), 10);
    return 0;
}

static void *create_from_thread(void *arg)
{
    struct member *member = arg;
    for (int i = 0; i < 100; i++)
        cr_assert_eq(coir_group_create_task_copy(member->group, live_for_a_while, member,
                                                 sizeof *member), 0);
    return NULL;
}

RunTest(group_foreign, threads_of_the_program_create_members)
{
    atomic_int alive = 0, most = 0, runs = 0;
    coir_group group;
    struct member member = { &group, &alive, &most, &runs, 0 };
    pthread_t threads[3];
    coir_group_init(&group);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, create_from_thread, &member), 0);
    while (atomic_load(&runs) < 300)
        cr_assert_eq(coir_yield(), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(coir_group_wait(&group), 0);
    cr_assert_eq(atomic_load(&runs), 300);
    return 0;
}

static void *create_one_too_many(void *arg)
{
    struct member *member = arg;
    member->rc = coir_group_create_task(member->group, return_zero, NULL);
    return NULL;
}

RunTest(group_foreign, a_thread_is_refused_where_the_group_is_full)
{
    coir_group group;
    struct member member = { .group = &group };
    pthread_t thread;
    coir_group_init_with(&group, &(coir_group_options){ .limit = 1 });
    cr_assert_eq(coir_group_create_task(&group, sleep_forever, NULL), 0);
    cr_assert_eq(pthread_create(&thread, NULL, create_one_too_many, &member), 0);
    pthread_join(thread, NULL);
    cr_assert_eq(member.rc, -EAGAIN);
    return coir_group_cancel_wait(&group);
}

/* --------------------------------------------------------------- shield --- */

static int hide_for(void *arg)
{
    coir_duration duration = *(coir_duration *)arg;
    coir_shield shield;
    int64_t begun = coir_now();
    coir_shield_begin_for(&shield, duration);
    int rc = coir_sleep(COIR_FOREVER);
    cr_assert_geq(coir_now() - begun, duration);
    coir_shield_end(&shield);
    return rc;
}

RunTest(shield_for, lets_a_cancel_through_when_its_time_is_over)
{
    coir_duration duration = COIR_MILLISECONDS(5);
    coir_task *task = coir_create_task(hide_for, &duration);
    cr_assert_eq(coir_yield(), 0);
    cr_assert_eq(coir_cancel_await(task), -ECANCELED);
    return 0;
}

RunTest(shield_for, that_is_over_at_once_holds_nothing_back)
{
    coir_duration none = 0;
    coir_task *task = coir_create_task(hide_for, &none);
    cr_assert_eq(coir_cancel_await(task), -ECANCELED);
    return 0;
}

RunTest(shield_for, holds_a_cancel_back_before)
{
    coir_shield shield;
    coir_cancel(coir_current_task());
    coir_shield_begin_for(&shield, COIR_SECONDS(1000));
    cr_assert_eq(coir_check(), 0);
    cr_assert_eq(coir_sleep(COIR_MICROSECONDS(10)), 0);
    coir_shield_end(&shield);
    cr_assert_eq(coir_check(), -ECANCELED);
    return 0;
}

RunTest(shield_for, lets_an_outer_deadline_through_when_its_time_is_over)
{
    coir_timeout limit;
    coir_shield shield;
    coir_timeout_begin(&limit, COIR_MILLISECONDS(1));
    coir_shield_begin_for(&shield, COIR_SECONDS(1000));
    cr_assert_eq(coir_deadline(), COIR_FOREVER);
    coir_shield_end(&shield);
    coir_shield_begin_for(&shield, COIR_MILLISECONDS(5));
    cr_assert_eq(coir_sleep(COIR_FOREVER), -ETIMEDOUT);
    cr_assert_neq(coir_deadline(), COIR_FOREVER);
    coir_shield_end(&shield);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    return 0;
}

/* --------------------------------------------------------- with_timeout --- */

RunTest(with_timeout, ends_calls_inside_and_closes_itself)
{
    int rc = 0;
    COIR_WITH_TIMEOUT(COIR_MILLISECONDS(1))
        rc = coir_sleep(COIR_FOREVER);
    cr_assert_eq(rc, -ETIMEDOUT);
    cr_assert_eq(coir_deadline(), COIR_FOREVER);
    return coir_sleep(0);
}

static int return_from_inside(void)
{
    COIR_WITH_TIMEOUT(COIR_SECONDS(1000)) {
        COIR_WITH_TIMEOUT(COIR_SECONDS(500)) {
            return coir_deadline() != COIR_FOREVER;
        }
    }
    return -1;
}

RunTest(with_timeout, closes_itself_on_return_break_and_goto)
{
    int passes = 0;
    cr_assert_eq(return_from_inside(), 1);
    cr_assert_eq(coir_deadline(), COIR_FOREVER);
    COIR_WITH_TIMEOUT(COIR_SECONDS(1000)) {
        passes++;
        break;
    }
    cr_assert_eq(passes, 1);
    cr_assert_eq(coir_deadline(), COIR_FOREVER);
    COIR_WITH_TIMEOUT(COIR_SECONDS(1000)) {
        cr_assert_neq(coir_deadline(), COIR_FOREVER);
        goto outside;
    }
    passes++;
outside:
    cr_assert_eq(passes, 1);
    cr_assert_eq(coir_deadline(), COIR_FOREVER);
    return 0;
}

static void count_down(int **counter)
{
    --**counter;
}

static int leave_in_the_middle(int *counter)
{
    ++*counter;
    COIR_CLEANUP(count_down) int *it = counter;
    int rc = coir_sleep(0);
    return rc < 0 ? rc : *it;
}

RunTest(cleanup, runs_when_the_scope_is_left)
{
    int counter = 0;
    cr_assert_eq(leave_in_the_middle(&counter), 1);
    cr_assert_eq(counter, 0);
    return 0;
}
