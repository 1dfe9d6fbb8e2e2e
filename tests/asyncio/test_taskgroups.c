/*
 * Groups, after asyncio's tests of TaskGroup: see cpython.txt.
 */
#include "api/forked.h"

static int fail_with_eio(UNUSED void *arg)
{
    return -EIO;
}

/* ------------------------------------------- the owner is cancelled, and --- */

/* A task that owns groups, and what its calls gave. */
struct owner {
    atomic_int started;   /* members */
    coir_future crash;    /* what a member waits for that then fails by itself */
    atomic_int crashing;
    bool outer_member;
    int slept;
    int inner, outer;     /* what the groups gave */
    int next_call;
};

static int fail_once_cancelled(void *arg)
{
    struct owner *owner = arg;
    atomic_fetch_add(&owner->started, 1);
    return coir_sleep(COIR_FOREVER) == -ECANCELED ? -EDOM : 0;
}

static void create_failing(coir_group *group, struct owner *owner)
{
    for (int i = 0; i < 5; i++)
        cr_assert_eq(coir_group_create_task(group, fail_once_cancelled, owner), 0);
}

static int own_members_that_fail(void *arg)
{
    struct owner *owner = arg;
    coir_group group;
    coir_group_init(&group);
    create_failing(&group, owner);
    owner->slept = coir_sleep(COIR_FOREVER);
    owner->inner = coir_group_wait(&group);
    owner->next_call = coir_yield();
    return owner->inner;
}

/* test_taskgroups.TestTaskGroup.test_taskgroup_08 */
RunTest(group, errors_of_members_win_over_the_cancel_of_the_owner)
{
    struct owner owner = { 0 };
    coir_task *task = coir_create_task(own_members_that_fail, &owner);
    yield_until(&owner.started, 5);
    cr_assert_eq(coir_cancel_await(task), -EDOM);
    cr_assert_eq(owner.slept, -ECANCELED);
    cr_assert_eq(owner.next_call, -ECANCELED);
    return 0;
}

static int own_a_group_in_a_group(void *arg)
{
    struct owner *owner = arg;
    coir_group outer, inner;
    coir_group_init(&outer);
    if (owner->outer_member)
        cr_assert_eq(coir_group_create_task(&outer, sleep_forever, NULL), 0);
    coir_group_init(&inner);
    create_failing(&inner, owner);
    owner->slept = coir_sleep(COIR_FOREVER);
    owner->inner = coir_group_wait(&inner);
    owner->outer = coir_group_wait(&outer);
    owner->next_call = coir_yield();
    return owner->inner;
}

/* test_taskgroups.TestTaskGroup.test_taskgroup_11, test_taskgroup_12 */
RunTest(group, errors_of_an_inner_groups_members_win_over_the_cancel_of_the_owner)
{
    for (int outer_member = 0; outer_member < 2; outer_member++) {
        struct owner owner = { .outer_member = outer_member };
        coir_task *task = coir_create_task(own_a_group_in_a_group, &owner);
        yield_until(&owner.started, 5);
        cr_assert_eq(coir_cancel_await(task), -EDOM);
        cr_assert_eq(owner.slept, -ECANCELED);
        cr_assert_eq(owner.outer, -ECANCELED);
        cr_assert_eq(owner.next_call, -ECANCELED);
    }
    return 0;
}

static int crash_when_asked(void *arg)
{
    struct owner *owner = arg;
    int rc = coir_future_await(&owner->crash, NULL);
    atomic_store(&owner->crashing, 1);
    return rc < 0 ? rc : -EDOM;
}

static int own_one_that_crashes_meanwhile(void *arg)
{
    struct owner *owner = arg;
    coir_group group;
    coir_shield shield;
    coir_group_init(&group);
    cr_assert_eq(coir_group_create_task(&group, crash_when_asked, owner), 0);
    atomic_store(&owner->started, 1);
    owner->slept = coir_sleep(COIR_FOREVER);
    coir_shield_begin(&shield);
    cr_assert_eq(coir_future_set(&owner->crash, NULL), 0);
    yield_until(&owner->crashing, 1);
    coir_shield_end(&shield);
    owner->inner = coir_group_wait(&group);
    owner->next_call = coir_yield();
    return owner->inner;
}

static int await_the_owner(void *arg)
{
    return coir_await(coir_create_task(own_one_that_crashes_meanwhile, arg));
}

/* test_taskgroups.TestTaskGroup.test_taskgroup_15, test_taskgroup_16 */
RunTest(group, a_member_that_fails_while_the_cancelled_owner_cleans_up_is_the_outcome)
{
    coir_fn *ways[] = { own_one_that_crashes_meanwhile, await_the_owner };
    for (size_t way = 0; way < LENGTH(ways); way++) {
        struct owner owner = { 0 };
        coir_future_init(&owner.crash);
        coir_task *task = coir_create_task(ways[way], &owner);
        yield_until(&owner.started, 1);
        cr_assert_eq(coir_cancel_await(task), -EDOM);
        cr_assert_eq(owner.slept, -ECANCELED);
        cr_assert_eq(owner.next_call, -ECANCELED);
        coir_future_destroy(&owner.crash);
    }
    return 0;
}

static int own_nobody(void *arg)
{
    struct owner *owner = arg;
    coir_group group;
    coir_group_init(&group);
    atomic_store(&owner->started, 1);
    owner->slept = coir_sleep(COIR_FOREVER);
    owner->inner = coir_group_wait(&group);
    owner->next_call = coir_yield();
    return -EPROTO;
}

/* test_taskgroups.TestTaskGroup.test_taskgroup_17, test_taskgroup_18 */
RunTest(group, that_is_empty_gives_the_cancel_that_its_owner_was_refused_for)
{
    struct owner owner = { 0 };
    coir_task *task = coir_create_task(own_nobody, &owner);
    yield_until(&owner.started, 1);
    cr_assert_eq(coir_cancel_await(task), -EPROTO, "which may end with an error of its own");
    cr_assert_eq(owner.slept, -ECANCELED);
    cr_assert_eq(owner.inner, -ECANCELED);
    cr_assert_eq(owner.next_call, -ECANCELED);
    return 0;
}

static int yield_once_and_fail(void *arg)
{
    struct owner *owner = arg;
    atomic_store(&owner->started, 1);
    coir_yield();
    return -EIO;
}

static int own_one_that_fails_anyway(void *arg)
{
    struct owner *owner = arg;
    coir_group group;
    coir_group_init(&group);
    cr_assert_eq(coir_group_create_task(&group, yield_once_and_fail, owner), 0);
    owner->slept = coir_sleep(COIR_FOREVER);
    owner->inner = coir_group_wait(&group);
    owner->next_call = coir_sleep(COIR_FOREVER);
    return owner->next_call;
}

/* test_taskgroups.TestTaskGroup.test_error_and_cancel */
RunTest(group, a_failure_and_a_cancel_at_once_give_the_error_and_then_the_cancel)
{
    struct owner owner = { 0 };
    coir_task *task = coir_create_task(own_one_that_fails_anyway, &owner);
    yield_until(&owner.started, 1);
    cr_assert_eq(coir_cancel_await(task), -ECANCELED);
    cr_assert_eq(owner.slept, -ECANCELED);
    cr_assert_eq(owner.inner, -EIO);
    return 0;
}

/* ---------------------------------------------------- two that fail, and --- */

/* test_taskgroups.TestTaskGroup.test_nested_groups_both_cancelled */
RunTest(group, and_the_group_around_it_that_both_fail_give_each_its_own_error)
{
    int edom = -EDOM;
    coir_group outer, inner;
    coir_group_init(&outer);
    coir_group_init(&inner);
    cr_assert_eq(coir_group_create_task(&inner, fail_with_eio, NULL), 0);
    cr_assert_eq(coir_group_create_task(&outer, return_int, &edom), 0);
    cr_assert_eq(coir_group_wait(&inner), -EIO);
    cr_assert_eq(coir_sleep(COIR_FOREVER), -ECANCELED, "by the failure in the outer group");
    cr_assert_eq(coir_group_wait(&outer), -EDOM);
    cr_assert_eq(coir_yield(), 0);
    return 0;
}

/* ------------------------------------- members that create while it fails --- */

struct creator {
    coir_group *group;
    atomic_int runs;
    int slept, created;
};

static int create_when_told(void *arg)
{
    struct creator *creator = arg;
    creator->slept = coir_sleep(COIR_FOREVER);
    creator->created = coir_group_create_task(creator->group, count, &creator->runs);
    return creator->slept;
}

/* test_taskgroups.TestTaskGroup.test_taskgroup_no_create_task_after_failure */
RunTest(group, a_member_that_is_told_of_a_failure_can_create_no_other)
{
    coir_group group;
    struct creator creator = { .group = &group };
    coir_group_init(&group);
    cr_assert_eq(coir_group_create_task(&group, create_when_told, &creator), 0);
    cr_assert_eq(coir_group_create_task(&group, fail_with_eio, NULL), 0);
    cr_assert_eq(coir_group_wait(&group), -EIO);
    cr_assert_eq(creator.slept, -ECANCELED);
    cr_assert_eq(creator.created, -ECANCELED);
    cr_assert_eq(atomic_load(&creator.runs), 0);
    return 0;
}

static int create_a_failure(void *arg)
{
    struct creator *creator = arg;
    creator->created = coir_group_create_task(creator->group, fail_with_eio, NULL);
    creator->slept = coir_sleep(COIR_FOREVER);
    return creator->slept;
}

/* test_taskgroups.TestTaskGroup.test_cancels_task_if_created_during_creation */
RunTest(group, a_member_is_told_of_the_failure_of_one_that_it_created)
{
    coir_group group;
    struct creator creator = { .group = &group };
    coir_group_init(&group);
    cr_assert_eq(coir_group_create_task(&group, create_a_failure, &creator), 0);
    cr_assert_eq(coir_group_wait(&group), -EIO);
    cr_assert_eq(creator.created, 0);
    cr_assert_eq(creator.slept, -ECANCELED);
    return 0;
}

/* -------------------------------------------------- a member by itself --- */

static int cancel_oneself(UNUSED void *arg)
{
    coir_cancel(coir_current_task());
    return coir_sleep(COIR_FOREVER);
}

/* test_taskgroups.TestTaskGroup.test_taskgroup_03: asyncio's group goes on. */
RunTest(group, a_member_that_cancels_itself_and_ends_so_has_failed)
{
    atomic_int told = 0;
    coir_group group;
    coir_group_init(&group);
    cr_assert_eq(coir_group_create_task(&group, count_cancel, &told), 0);
    cr_assert_eq(coir_group_create_task(&group, cancel_oneself, NULL), 0);
    cr_assert_eq(coir_group_wait(&group), -ECANCELED);
    cr_assert_eq(atomic_load(&told), 1);
    cr_assert_eq(coir_yield(), 0);
    return 0;
}

/* --------------------------------------------------------------- misuse --- */

static int init_twice(UNUSED void *arg)
{
    coir_group group;
    coir_group_init(&group);
    coir_group_init(&group);
    return coir_group_wait(&group);
}

/* test_taskgroups.TestTaskGroup.test_taskgroup_already_entered */
Test(misuse, init_of_a_group_that_is_open)
{
    expect_abort(init_twice, "coir_group_init");
}
