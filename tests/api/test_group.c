/*
 * Task groups: join, first failure, cancel, the owner's part in it.  Tests
 * that name one of asyncio's check the behaviour that that test checks.
 */
#include <pthread.h>
#include <string.h>

#include "api/in_run.h"

RunTest(group, that_is_empty_returns_zero)
{
    coir_group group;
    coir_group_init(&group);
    cr_assert_eq(coir_group_wait(&group), 0);
    return 0;
}

RunTest(group, can_be_used_again_after_a_new_init)
{
    atomic_int runs = 0;
    coir_group group;
    for (int i = 1; i <= 3; i++) {
        coir_group_init(&group);
        cr_assert_eq(coir_group_create_task(&group, count, &runs), 0);
        cr_assert_eq(coir_group_wait(&group), 0);
        cr_assert_eq(atomic_load(&runs), i);
    }
    return 0;
}

static int yield_and_count(void *arg)
{
    for (int i = 0; i < 5; i++) {
        int rc = coir_yield();
        if (rc < 0)
            return rc;
    }
    return count(arg);
}

RunTest(group, waits_for_every_member)
{
    atomic_int runs = 0;
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i < 100; i++)
        cr_assert_eq(coir_group_create_task(&group, i % 2 ? count : yield_and_count, &runs), 0);
    cr_assert_eq(coir_group_wait(&group), 0);
    cr_assert_eq(atomic_load(&runs), 100);
    return 0;
}

/* asyncio: test_taskgroup_02 and _23. */
RunTest(group, takes_members_after_others_have_ended)
{
    atomic_int runs = 0;
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i < 10; i++) {
        cr_assert_eq(coir_group_create_task(&group, count, &runs), 0);
        yield_until(&runs, i + 1);
    }
    cr_assert_eq(coir_group_wait(&group), 0);
    cr_assert_eq(atomic_load(&runs), 10);
    return 0;
}

RunTest(group, returns_zero_whatever_members_return_that_succeed)
{
    int value = 42;
    coir_group group;
    coir_group_init(&group);
    cr_assert_eq(coir_group_create_task(&group, return_int, &value), 0);
    cr_assert_eq(coir_group_wait(&group), 0);
    return 0;
}

static int square(void *arg)
{
    int *number = arg;
    *number *= *number;
    return 0;
}

RunTest(group, wait_happens_after_everything_its_members_wrote)
{
    for (int round = 0; round < check_scale(500); round++) {
        int numbers[20];
        coir_group group;
        coir_group_init(&group);
        for (int i = 0; i < 20; i++) {
            numbers[i] = i;
            cr_assert_eq(coir_group_create_task(&group, square, &numbers[i]), 0);
        }
        cr_assert_eq(coir_group_wait(&group), 0);
        for (int i = 0; i < 20; i++)
            cr_assert_eq(numbers[i], i * i);
    }
    return 0;
}

/* ------------------------------------------------------------- create --- */

struct sum {
    int *total;
    int value;
};

static int add_to_total(void *arg)
{
    struct sum *sum = arg;
    __atomic_fetch_add(sum->total, sum->value, __ATOMIC_RELAXED);
    return 0;
}

RunTest(group, copies_the_loop_variable)
{
    int total = 0;
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i < 10; i++) {
        struct sum sum = { &total, 1 << i };
        cr_assert_eq(coir_group_create_task_copy(&group, add_to_total, &sum, sizeof sum), 0);
    }
    cr_assert_eq(coir_group_wait(&group), 0);
    cr_assert_eq(total, 1023);
    return 0;
}

static int check_bytes(void *arg)
{
    const unsigned char *bytes = arg;
    for (int i = 0; i < 500; i++)
        if (bytes[i] != (unsigned char)(bytes[0] + i))
            return -EILSEQ;
    return 0;
}

RunTest(group, copies_arguments_larger_than_inline)
{
    coir_group group;
    coir_group_init(&group);
    for (int first = 0; first < 50; first++) {
        unsigned char bytes[500];
        for (int i = 0; i < 500; i++)
            bytes[i] = (unsigned char)(first + i);
        cr_assert_eq(coir_group_create_task_copy(&group, check_bytes, bytes, sizeof bytes), 0);
    }
    cr_assert_eq(coir_group_wait(&group), 0);
    return 0;
}

static int is_named_yolo(UNUSED void *arg)
{
    return strcmp(coir_task_name(coir_current_task()), "yolo") == 0 ? 0 : -EILSEQ;
}

/* asyncio: test_taskgroup_task_name. */
RunTest(group, members_have_the_name_given)
{
    coir_group group;
    coir_task_options options = { .name = "yolo" };
    coir_group_init(&group);
    cr_assert_eq(coir_group_create_task_with(&group, &options, is_named_yolo, NULL), 0);
    cr_assert_eq(coir_group_wait(&group), 0);
    return 0;
}

RunTest(group, create_with_null_options_has_the_defaults)
{
    atomic_int runs = 0;
    coir_group group;
    coir_group_init(&group);
    cr_assert_eq(coir_group_create_task_with(&group, NULL, count, &runs), 0);
    cr_assert_eq(coir_group_wait(&group), 0);
    cr_assert_eq(atomic_load(&runs), 1);
    return 0;
}

struct tied {
    pid_t home;
    int strays;
};

static int count_strays(void *arg)
{
    struct tied *tied = arg;
    for (int i = 0; i < 200; i++) {
        tied->strays += thread_id() != tied->home;
        int rc = i % 20 ? coir_yield() : coir_sleep(COIR_MICROSECONDS(10));
        if (rc < 0)
            return rc;
    }
    return 0;
}

RunTest(group, pinned_members_stay_on_the_owners_thread)
{
    struct tied tied[10];
    coir_task_options options = { .pinned = 1 };
    coir_group group;
    coir_group_init(&group);
    for (size_t i = 0; i < LENGTH(tied); i++) {
        tied[i] = (struct tied){ .home = thread_id() };
        cr_assert_eq(coir_group_create_task_with(&group, &options, count_strays, &tied[i]), 0);
    }
    cr_assert_eq(coir_group_wait(&group), 0);
    for (size_t i = 0; i < LENGTH(tied); i++)
        cr_assert_eq(tied[i].strays, 0);
    return 0;
}

struct branch {
    coir_group *group;
    atomic_int *runs;
    int depth;
};

static int grow(void *arg)
{
    struct branch *branch = arg;
    atomic_fetch_add(branch->runs, 1);
    if (branch->depth == 0)
        return coir_yield();
    struct branch less = { branch->group, branch->runs, branch->depth - 1 };
    for (int i = 0; i < 3; i++) {
        int rc = coir_group_create_task_copy(branch->group, grow, &less, sizeof less);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* asyncio: test_taskgroup_24. */
RunTest(group, members_create_members_while_the_owner_waits)
{
    atomic_int runs = 0;
    coir_group group;
    struct branch root = { &group, &runs, 6 };
    coir_group_init(&group);
    cr_assert_eq(coir_group_create_task(&group, grow, &root), 0);
    cr_assert_eq(coir_group_wait(&group), 0);
    cr_assert_eq(atomic_load(&runs), 1 + 3 + 9 + 27 + 81 + 243 + 729);
    return 0;
}

RunTest(group, of_a_hundred_thousand_members_waits_for_all)
{
    int n = check_scale(100000);
    atomic_int runs = 0;
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i < n; i++)
        cr_assert_eq(coir_group_create_task(&group, count, &runs), 0);
    cr_assert_eq(coir_group_wait(&group), 0);
    cr_assert_eq(atomic_load(&runs), n);
    return 0;
}

RunTest(group, of_many_suspended_members_waits_for_all)
{
    int n = check_scale(10000);
    atomic_int runs = 0;
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i < n; i++)
        cr_assert_eq(coir_group_create_task(&group, yield_and_count, &runs), 0);
    cr_assert_eq(coir_group_wait(&group), 0);
    cr_assert_eq(atomic_load(&runs), n);
    return 0;
}

/* ------------------------------------------------------------ failure --- */

static int fail_with_eio(UNUSED void *arg)
{
    return -EIO;
}

/* asyncio: test_taskgroup_04, test_cancel_children_on_child_error. */
RunTest(group, first_failure_cancels_the_rest)
{
    atomic_int told = 0;
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(coir_group_create_task(&group, count_cancel, &told), 0);
    cr_assert_eq(coir_group_create_task(&group, fail_with_eio, NULL), 0);
    cr_assert_eq(coir_group_wait(&group), -EIO);
    cr_assert_eq(atomic_load(&told), 10);
    cr_assert_eq(coir_yield(), 0, "the group absorbs its own cancel");
    return 0;
}

static int fail_once_cancelled(UNUSED void *arg)
{
    return coir_sleep(COIR_FOREVER) == -ECANCELED ? -EPROTO : 0;
}

RunTest(group, returns_the_error_that_came_first_in_time)
{
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(coir_group_create_task(&group, fail_once_cancelled, NULL), 0);
    cr_assert_eq(coir_group_create_task(&group, fail_with_eio, NULL), 0);
    cr_assert_eq(coir_group_wait(&group), -EIO);
    return 0;
}

struct fail_after {
    atomic_int *turn;
    int mine;
    int error;
};

static int fail_in_turn(void *arg)
{
    struct fail_after *fail = arg;
    coir_shield shield;
    coir_shield_begin(&shield);
    while (atomic_load(fail->turn) < fail->mine)
        coir_yield();
    coir_shield_end(&shield);
    atomic_fetch_add(fail->turn, 1);
    return fail->error;
}

RunTest(group, returns_the_error_of_the_first_to_end_not_of_the_first_created)
{
    atomic_int turn = 0;
    coir_group group;
    struct fail_after late = { &turn, 2, -ENOENT }, first = { &turn, 0, -EPERM };
    coir_group_init(&group);
    cr_assert_eq(coir_group_create_task(&group, fail_in_turn, &late), 0);
    cr_assert_eq(coir_group_create_task(&group, fail_in_turn, &first), 0);
    while (coir_yield() == 0)
        ; /* until the first failure is told to the owner */
    atomic_store(&turn, 2);
    cr_assert_eq(coir_group_wait(&group), -EPERM);
    return 0;
}

static int return_ecanceled(UNUSED void *arg)
{
    return -ECANCELED;
}

RunTest(group, a_member_that_returns_ecanceled_unasked_has_failed)
{
    atomic_int told = 0;
    coir_group group;
    coir_group_init(&group);
    cr_assert_eq(coir_group_create_task(&group, count_cancel, &told), 0);
    cr_assert_eq(coir_group_create_task(&group, return_ecanceled, NULL), 0);
    cr_assert_eq(coir_group_wait(&group), -ECANCELED);
    cr_assert_eq(atomic_load(&told), 1);
    cr_assert_eq(coir_yield(), 0);
    return 0;
}

/* asyncio: test_taskgroup_04 with a body that runs. */
RunTest(group, a_failure_refuses_the_owners_sleep)
{
    coir_group group;
    coir_group_init(&group);
    cr_assert_eq(coir_group_create_task(&group, fail_with_eio, NULL), 0);
    cr_assert_eq(coir_sleep(COIR_FOREVER), -ECANCELED);
    cr_assert_eq(coir_yield(), -ECANCELED);
    cr_assert_eq(coir_check(), -ECANCELED);
    cr_assert_eq(coir_group_wait(&group), -EIO);
    cr_assert_eq(coir_sleep(0), 0);
    cr_assert_eq(coir_check(), 0);
    return 0;
}

RunTest(group, a_failure_refuses_the_owners_accept)
{
    int listener = coir_listen("127.0.0.1", "0");
    coir_group group;
    cr_assert_geq(listener, 0);
    coir_group_init(&group);
    cr_assert_eq(coir_group_create_task(&group, fail_with_eio, NULL), 0);
    cr_assert_eq(coir_accept(listener), -ECANCELED);
    cr_assert_eq(coir_group_wait(&group), -EIO);
    return coir_close(listener);
}

RunTest(group, a_failure_cancels_what_the_owner_awaits)
{
    atomic_int told = 0;
    coir_group group;
    coir_group_init(&group);
    cr_assert_eq(coir_group_create_task(&group, fail_with_eio, NULL), 0);
    cr_assert_eq(coir_await(coir_create_task(count_cancel, &told)), -ECANCELED);
    cr_assert_eq(atomic_load(&told), 1);
    cr_assert_eq(coir_group_wait(&group), -EIO);
    cr_assert_eq(coir_yield(), 0);
    return 0;
}

RunTest(group, after_a_failure_takes_no_member)
{
    atomic_int runs = 0;
    int value = 1;
    coir_group group;
    coir_group_init(&group);
    cr_assert_eq(coir_group_create_task(&group, fail_with_eio, NULL), 0);
    while (coir_yield() == 0)
        ;
    cr_assert_eq(coir_group_create_task(&group, count, &runs), -ECANCELED);
    cr_assert_eq(coir_group_create_task_copy(&group, return_int, &value, sizeof value),
                 -ECANCELED);
    cr_assert_eq(coir_group_create_task_with(&group, NULL, count, &runs), -ECANCELED);
    cr_assert_eq(coir_group_wait(&group), -EIO);
    cr_assert_eq(atomic_load(&runs), 0);
    return 0;
}

/* asyncio: test_taskgroup_09 and _10: the body fails, so it cancels. */
RunTest(group, an_owner_that_fails_cancels_and_waits)
{
    atomic_int told = 0;
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(coir_group_create_task(&group, count_cancel, &told), 0);
    coir_group_cancel(&group);
    cr_assert_eq(coir_group_wait(&group), 0);
    cr_assert_eq(atomic_load(&told), 5);
    return 0;
}

struct hydra {
    coir_group *group;
    atomic_int *heads;
};

static int grow_two_heads(void *arg)
{
    struct hydra *hydra = arg;
    atomic_fetch_add(hydra->heads, 1);
    int rc = coir_sleep(COIR_MICROSECONDS(100));
    for (int i = 0; i < 2 && rc >= 0; i++)
        rc = coir_group_create_task_copy(hydra->group, grow_two_heads, hydra, sizeof *hydra);
    return rc;
}

static int fail_at_ten_heads(void *arg)
{
    atomic_int *heads = arg;
    while (atomic_load(heads) < 10) {
        int rc = coir_sleep(COIR_MICROSECONDS(150));
        if (rc < 0)
            return rc;
    }
    return -EDOM;
}

/* asyncio: test_taskgroup_25. */
RunTest(group, that_keeps_growing_ends_all_the_same)
{
    atomic_int heads = 0;
    coir_group group;
    struct hydra hydra = { &group, &heads };
    coir_group_init(&group);
    cr_assert_eq(coir_group_create_task(&group, grow_two_heads, &hydra), 0);
    cr_assert_eq(coir_group_create_task(&group, fail_at_ten_heads, &heads), 0);
    cr_assert_eq(coir_group_wait(&group), -EDOM);
    cr_assert_geq(atomic_load(&heads), 10);
    return 0;
}

static int clean_up_when_cancelled(void *arg)
{
    int rc = coir_sleep(COIR_FOREVER);
    coir_shield shield;
    coir_shield_begin(&shield);
    for (int i = 0; i < 20; i++)
        coir_yield();
    coir_shield_end(&shield);
    atomic_fetch_add((atomic_int *)arg, 1);
    return rc;
}

RunTest(group, waits_for_the_clean_up_of_cancelled_members)
{
    atomic_int cleaned = 0;
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(coir_group_create_task(&group, clean_up_when_cancelled, &cleaned), 0);
    cr_assert_eq(coir_group_create_task(&group, fail_with_eio, NULL), 0);
    cr_assert_eq(coir_group_wait(&group), -EIO);
    cr_assert_eq(atomic_load(&cleaned), 5);
    return 0;
}

/* ------------------------------------------------------------- cancel --- */

RunTest(group, cancel_tells_every_member_and_returns_zero)
{
    atomic_int told = 0;
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(coir_group_create_task(&group, count_cancel, &told), 0);
    let_them_wait();
    coir_group_cancel(&group);
    coir_group_cancel(&group);
    cr_assert_eq(coir_group_wait(&group), 0);
    cr_assert_eq(atomic_load(&told), 10);
    cr_assert_eq(coir_yield(), 0);
    return 0;
}

RunTest(group, cancel_of_members_that_have_not_started_runs_and_tells_them)
{
    atomic_int told = 0;
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(coir_group_create_task(&group, count_cancel, &told), 0);
    coir_group_cancel(&group);
    cr_assert_eq(coir_group_wait(&group), 0);
    cr_assert_eq(atomic_load(&told), 10);
    return 0;
}

RunTest(group, cancelled_takes_no_member)
{
    atomic_int runs = 0;
    coir_group group;
    coir_group_init(&group);
    coir_group_cancel(&group);
    cr_assert_eq(coir_group_create_task(&group, count, &runs), -ECANCELED);
    cr_assert_eq(coir_group_wait(&group), 0);
    cr_assert_eq(atomic_load(&runs), 0);
    return 0;
}

RunTest(group, cancelled_refuses_the_owner_until_it_waits)
{
    coir_group group;
    coir_group_init(&group);
    coir_group_cancel(&group);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(coir_yield(), -ECANCELED);
    cr_assert_eq(coir_group_wait(&group), 0);
    cr_assert_eq(coir_yield(), 0);
    return 0;
}

RunTest(group, errors_after_a_cancel_are_returned)
{
    coir_group group;
    coir_group_init(&group);
    cr_assert_eq(coir_group_create_task(&group, fail_once_cancelled, NULL), 0);
    coir_group_cancel(&group);
    cr_assert_eq(coir_group_wait(&group), -EPROTO);
    return 0;
}

RunTest(group, cancel_works_in_a_cancelled_task)
{
    atomic_int told = 0;
    coir_group group;
    coir_group_init(&group);
    cr_assert_eq(coir_group_create_task(&group, count_cancel, &told), 0);
    coir_cancel(coir_current_task());
    coir_group_cancel(&group);
    cr_assert_eq(coir_group_create_task(&group, count_cancel, &told), -ECANCELED);
    int rc = coir_group_wait(&group);
    cr_assert(rc == 0 || rc == -ECANCELED, "%d", rc);
    cr_assert_eq(atomic_load(&told), 1);
    return 0;
}

static int cancel_group(void *group)
{
    coir_group_cancel(group);
    return 0;
}

RunTest(group, cancel_by_a_member_wakes_the_waiting_owner)
{
    atomic_int told = 0;
    coir_group group;
    coir_group_init(&group);
    cr_assert_eq(coir_group_create_task(&group, count_cancel, &told), 0);
    cr_assert_eq(coir_group_create_task(&group, cancel_group, &group), 0);
    cr_assert_eq(coir_group_wait(&group), 0);
    cr_assert_eq(atomic_load(&told), 1);
    return 0;
}

static void *cancel_group_from_thread(void *group)
{
    coir_group_cancel(group);
    return NULL;
}

RunTest(group, cancel_works_from_a_foreign_thread)
{
    for (int i = 0; i < check_scale(100); i++) {
        atomic_int told = 0;
        coir_group group;
        coir_group_init(&group);
        for (int k = 0; k < 5; k++)
            cr_assert_eq(coir_group_create_task(&group, count_cancel, &told), 0);
        pthread_t thread;
        cr_assert_eq(pthread_create(&thread, NULL, cancel_group_from_thread, &group), 0);
        if (i % 2)
            cr_assert_eq(coir_sleep(COIR_FOREVER), -ECANCELED);
        else
            pthread_join(thread, NULL);
        if (i % 2)
            pthread_join(thread, NULL);
        cr_assert_eq(coir_group_wait(&group), 0);
        cr_assert_eq(atomic_load(&told), 5);
        cr_assert_eq(coir_yield(), 0);
    }
    return 0;
}

static int sleep_a_moment(void *arg)
{
    return coir_sleep(COIR_MICROSECONDS(*(int *)arg));
}

RunTest(group, cancel_races_with_unstarted_running_suspended_and_ending_members)
{
    for (int i = 0; i < check_scale(500); i++) {
        int times[20];
        coir_group group;
        coir_group_init(&group);
        for (int k = 0; k < 20; k++) {
            times[k] = k * 3;
            cr_assert_eq(coir_group_create_task(&group, sleep_a_moment, &times[k]), 0);
        }
        for (int k = 0; k < i % 5; k++)
            cr_assert_eq(coir_yield(), 0);
        coir_group_cancel(&group);
        cr_assert_eq(coir_group_wait(&group), 0);
    }
    return 0;
}

/* -------------------------------------------------- the owner cancelled --- */

struct owner {
    coir_fn *member;
    bool sleep;           /* in the body, before the wait */
    atomic_int started;
    atomic_int told;
    int slept;
    int waited;
    int next_call;
};

static int count_cancel_of_owner(void *arg)
{
    struct owner *owner = arg;
    atomic_fetch_add(&owner->started, 1);
    return count_cancel(&owner->told);
}

static int succeed_when_cancelled(void *arg)
{
    count_cancel_of_owner(arg);
    return 0;
}

static int own_a_group(void *arg)
{
    struct owner *owner = arg;
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i < 5; i++)
        if (coir_group_create_task(&group, owner->member, owner) < 0)
            break;
    if (owner->sleep)
        owner->slept = coir_sleep(COIR_FOREVER);
    owner->waited = coir_group_wait(&group);
    owner->next_call = coir_yield();
    return owner->waited;
}

static void cancel_the_owner(struct owner *owner)
{
    coir_task *task = coir_create_task(own_a_group, owner);
    yield_until(&owner->started, 5);
    coir_cancel(task);
    cr_assert_eq(coir_await(task), owner->waited);
    cr_assert_eq(atomic_load(&owner->told), 5);
    cr_assert_eq(owner->next_call, -ECANCELED);
}

/* asyncio: test_cancellation, test_taskgroup_22. */
RunTest(group, cancel_of_the_waiting_owner_cancels_the_members)
{
    struct owner owner = { .member = count_cancel_of_owner };
    cancel_the_owner(&owner);
    cr_assert_eq(owner.waited, -ECANCELED);
    return 0;
}

/* asyncio: test_taskgroup_07. */
RunTest(group, cancel_of_the_owner_in_its_body_cancels_the_members)
{
    struct owner owner = { .member = count_cancel_of_owner, .sleep = true };
    cancel_the_owner(&owner);
    cr_assert_eq(owner.slept, -ECANCELED);
    cr_assert_eq(owner.waited, -ECANCELED);
    return 0;
}

RunTest(group, cancel_of_the_owner_whose_own_call_was_refused_is_returned)
{
    struct owner owner = { .member = succeed_when_cancelled, .sleep = true };
    cancel_the_owner(&owner);
    cr_assert_eq(owner.slept, -ECANCELED);
    cr_assert_eq(owner.waited, -ECANCELED);
    return 0;
}

RunTest(group, cancel_of_the_owner_whose_gather_was_refused_is_returned)
{
    coir_group group;
    coir_cancel(coir_current_task());
    coir_group_init(&group);
    cr_assert_eq(coir_gather(COIR_CALL(sleep_forever, NULL), COIR_CALL(sleep_forever, NULL)),
                 -ECANCELED);
    cr_assert_eq(coir_group_wait(&group), -ECANCELED);
    return 0;
}

RunTest(group, members_that_all_succeed_though_the_owner_is_cancelled_give_zero)
{
    atomic_int runs = 0;
    coir_group group;
    coir_cancel(coir_current_task());
    coir_group_init(&group);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(coir_group_create_task(&group, count, &runs), 0);
    cr_assert_eq(coir_group_wait(&group), 0);
    cr_assert_eq(atomic_load(&runs), 5);
    cr_assert_eq(coir_yield(), -ECANCELED);
    return 0;
}

struct late_comer {
    coir_group *group;
    atomic_int runs;
    int rc;
};

static int create_one_more(void *arg)
{
    struct late_comer *late_comer = arg;
    late_comer->rc = coir_group_create_task(late_comer->group, count, &late_comer->runs);
    return 0;
}

RunTestOn(1, group, wait_by_a_cancelled_owner_takes_no_member)
{
    coir_group group;
    struct late_comer late_comer = { .group = &group };
    coir_group_init(&group);
    cr_assert_eq(coir_group_create_task(&group, create_one_more, &late_comer), 0);
    coir_cancel(coir_current_task());
    int rc = coir_group_wait(&group);
    cr_assert(rc == 0 || rc == -ECANCELED, "%d", rc);
    cr_assert_eq(late_comer.rc, -ECANCELED);
    cr_assert_eq(atomic_load(&late_comer.runs), 0);
    return 0;
}

RunTest(group, in_a_cancelled_task_tells_its_members)
{
    atomic_int told = 0;
    coir_group group;
    coir_cancel(coir_current_task());
    coir_group_init(&group);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(coir_group_create_task(&group, count_cancel, &told), 0);
    cr_assert_eq(coir_group_wait(&group), -ECANCELED);
    cr_assert_eq(atomic_load(&told), 5);
    cr_assert_eq(coir_yield(), -ECANCELED);
    return 0;
}

RunTest(group, wait_that_returned_before_the_cancel_keeps_its_value)
{
    coir_group group;
    coir_group_init(&group);
    cr_assert_eq(coir_group_create_task(&group, fail_with_eio, NULL), 0);
    cr_assert_eq(coir_group_wait(&group), -EIO);
    coir_cancel(coir_current_task());
    cr_assert_eq(coir_yield(), -ECANCELED);
    return 0;
}

RunTest(group, a_deadline_around_the_wait_cancels_the_members)
{
    atomic_int told = 0;
    coir_timeout limit;
    coir_group group;
    coir_timeout_begin(&limit, COIR_MILLISECONDS(1));
    coir_group_init(&group);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(coir_group_create_task(&group, count_cancel, &told), 0);
    cr_assert_eq(coir_group_wait(&group), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    cr_assert_eq(atomic_load(&told), 5);
    cr_assert_eq(coir_yield(), 0);
    return 0;
}

RunTest(group, a_timeout_inside_it_ends_only_the_owners_call)
{
    atomic_int told = 0;
    coir_timeout limit;
    coir_group group;
    coir_group_init(&group);
    cr_assert_eq(coir_group_create_task(&group, count_cancel, &told), 0);
    coir_timeout_begin(&limit, COIR_MILLISECONDS(1));
    cr_assert_eq(coir_sleep(COIR_FOREVER), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    let_them_wait();
    cr_assert_eq(atomic_load(&told), 0);
    coir_group_cancel(&group);
    cr_assert_eq(coir_group_wait(&group), 0);
    return 0;
}

/* ------------------------------------------------------------- nested --- */

/* asyncio: test_taskgroup_14. */
RunTest(group, a_failure_in_an_inner_group_spares_the_outer)
{
    atomic_int told = 0;
    coir_group outer, inner;
    coir_group_init(&outer);
    cr_assert_eq(coir_group_create_task(&outer, count_cancel, &told), 0);
    coir_group_init(&inner);
    cr_assert_eq(coir_group_create_task(&inner, fail_with_eio, NULL), 0);
    cr_assert_eq(coir_group_wait(&inner), -EIO);
    cr_assert_eq(coir_yield(), 0);
    cr_assert_eq(atomic_load(&told), 0);
    coir_group_cancel(&outer);
    cr_assert_eq(coir_group_wait(&outer), 0);
    cr_assert_eq(atomic_load(&told), 1);
    return 0;
}

/* asyncio: test_taskgroup_13. */
RunTest(group, a_failure_in_an_outer_group_cancels_the_inner)
{
    atomic_int told = 0;
    coir_group outer, inner;
    coir_group_init(&outer);
    cr_assert_eq(coir_group_create_task(&outer, fail_with_eio, NULL), 0);
    coir_group_init(&inner);
    cr_assert_eq(coir_group_create_task(&inner, count_cancel, &told), 0);
    cr_assert_eq(coir_group_wait(&inner), -ECANCELED);
    cr_assert_eq(atomic_load(&told), 1);
    cr_assert_eq(coir_group_wait(&outer), -EIO);
    cr_assert_eq(coir_yield(), 0);
    return 0;
}

struct tree {
    int depth;
    atomic_int *told;
    atomic_int *leaves;
};

static int branch_out(void *arg)
{
    struct tree *tree = arg;
    if (tree->depth == 0) {
        atomic_fetch_add(tree->leaves, 1);
        return count_cancel(tree->told);
    }
    coir_group group;
    coir_group_init(&group);
    struct tree less = { tree->depth - 1, tree->told, tree->leaves };
    for (int i = 0; i < 3; i++)
        if (coir_group_create_task_copy(&group, branch_out, &less, sizeof less) < 0)
            break;
    return coir_group_wait(&group);
}

RunTest(group, cancel_reaches_the_leaves_of_a_tree_of_groups)
{
    atomic_int told = 0, leaves = 0;
    struct tree root = { 5, &told, &leaves };
    coir_group group;
    coir_group_init(&group);
    cr_assert_eq(coir_group_create_task(&group, branch_out, &root), 0);
    yield_until(&leaves, 243);
    coir_group_cancel(&group);
    cr_assert_eq(coir_group_wait(&group), 0);
    cr_assert_eq(atomic_load(&told), 243);
    return 0;
}

RunTest(group, failure_deep_in_a_tree_of_groups_comes_up)
{
    coir_group group;
    coir_group_init(&group);
    coir_group inner;
    coir_group_init(&inner);
    atomic_int told = 0;
    cr_assert_eq(coir_group_create_task(&group, count_cancel, &told), 0);
    cr_assert_eq(coir_group_create_task(&inner, count_cancel, &told), 0);
    cr_assert_eq(coir_group_create_task(&inner, fail_with_eio, NULL), 0);
    int rc = coir_group_wait(&inner);
    cr_assert_eq(rc, -EIO);
    coir_group_cancel(&group);
    cr_assert_eq(coir_group_wait(&group), 0);
    cr_assert_eq(atomic_load(&told), 2);
    return 0;
}

static int await_in_a_member(void *told)
{
    return coir_await(coir_create_task(count_cancel, told));
}

RunTest(group, cancel_reaches_what_members_await)
{
    atomic_int told = 0;
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(coir_group_create_task(&group, await_in_a_member, &told), 0);
    let_them_wait();
    coir_group_cancel(&group);
    cr_assert_eq(coir_group_wait(&group), 0);
    cr_assert_eq(atomic_load(&told), 5);
    return 0;
}

static int group_with_a_failure(UNUSED void *arg)
{
    atomic_int told = 0;
    coir_group group;
    coir_group_init(&group);
    cr_assert_eq(coir_group_create_task(&group, count_cancel, &told), 0);
    cr_assert_eq(coir_group_create_task(&group, fail_with_eio, NULL), 0);
    return coir_group_wait(&group);
}

RunTest(group, many_groups_side_by_side_each_get_their_own_error)
{
    coir_task *tasks[100];
    for (size_t i = 0; i < LENGTH(tasks); i++)
        tasks[i] = coir_create_task(group_with_a_failure, NULL);
    for (size_t i = 0; i < LENGTH(tasks); i++)
        cr_assert_eq(coir_await(tasks[i]), -EIO);
    return 0;
}
