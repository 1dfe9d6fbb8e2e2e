/*
 * Task-locals.
 */
#include "api/in_run.h"

static coir_local plain, inherited, copied;
static atomic_int copies, destroyed;

static void *copy_number(void *value)
{
    int *copy = malloc(sizeof *copy);
    *copy = *(int *)value + 1;
    atomic_fetch_add(&copies, 1);
    return copy;
}

static void destroy_number(void *value)
{
    atomic_fetch_add(&destroyed, 1);
    free(value);
}

static void make_keys(void)
{
    cr_assert_eq(coir_local_create(&plain, NULL), 0);
    cr_assert_eq(coir_local_create(&inherited, &(coir_local_options){ .inherit = true }), 0);
    cr_assert_eq(coir_local_create(&copied, &(coir_local_options){ .copy = copy_number,
                                                                   .destroy = destroy_number }),
                 0);
}

RunTest(local, is_null_until_it_is_set_and_then_what_was_set)
{
    int x, y;
    make_keys();
    cr_assert_null(coir_local_get(plain));
    cr_assert_eq(coir_local_set(plain, &x), 0);
    cr_assert_eq(coir_local_get(plain), &x);
    cr_assert_eq(coir_local_set(plain, &y), 0);
    cr_assert_eq(coir_local_get(plain), &y);
    cr_assert_null(coir_local_get(inherited));
    return 0;
}

static int look(UNUSED void *arg)
{
    int *copy = coir_local_get(copied);
    cr_assert_null(coir_local_get(plain));
    cr_assert_eq(coir_local_get(inherited), arg);
    cr_assert_eq(copy ? *copy : 0, 6);
    cr_assert_eq(coir_yield(), 0);
    cr_assert_eq(coir_local_get(copied), copy);
    cr_assert_eq(coir_local_set(inherited, &copies), 0);
    return 0;
}

RunTest(local, is_inherited_as_its_key_says_and_changes_stay_with_the_child)
{
    int x = 5;
    make_keys();
    atomic_store(&copies, 0);
    atomic_store(&destroyed, 0);
    cr_assert_eq(coir_local_set(plain, &x), 0);
    cr_assert_eq(coir_local_set(inherited, &x), 0);
    cr_assert_eq(coir_local_set(copied, &x), 0);
    for (int i = 0; i < 100; i++) {
        coir_task *tasks[3];
        for (int k = 0; k < 3; k++)
            tasks[k] = coir_create_task(look, &x);
        for (int k = 0; k < 3; k++)
            cr_assert_eq(coir_await(tasks[k]), 0);
    }
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i < 100; i++)
        cr_assert_eq(coir_group_create_task(&group, look, &x), 0);
    cr_assert_eq(coir_group_wait(&group), 0);
    cr_assert_eq(coir_local_get(inherited), &x);
    cr_assert_eq(atomic_load(&copies), 400);
    cr_assert_eq(atomic_load(&destroyed), 400);
    return 0;
}

static int set_again(void *arg)
{
    cr_assert_eq(coir_local_set(copied, arg), 0);
    return 0;
}

RunTest(local, a_copy_that_is_replaced_is_destroyed_and_what_was_set_is_not)
{
    int x = 5;
    make_keys();
    atomic_store(&destroyed, 0);
    cr_assert_eq(coir_local_set(copied, &x), 0);
    cr_assert_eq(coir_await(coir_create_task(set_again, &x)), 0);
    cr_assert_eq(atomic_load(&destroyed), 1);
    return 0;
}

static int set_own(void *arg)
{
    int number = *(int *)arg;
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(coir_local_set(plain, (void *)(intptr_t)(number * 1000 + i + 1)), 0);
        cr_assert_eq(coir_yield(), 0);
        cr_assert_eq(coir_local_get(plain), (void *)(intptr_t)(number * 1000 + i + 1));
    }
    return 0;
}

RunTest(local, of_one_task_is_not_another_tasks)
{
    make_keys();
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i < 50; i++)
        cr_assert_eq(coir_group_create_task_copy(&group, set_own, &i, sizeof i), 0);
    return coir_group_wait(&group);
}

static int has_inherited(UNUSED void *arg)
{
    return coir_local_get(inherited) != NULL || coir_local_get(copied) != NULL;
}

RunTest(local, is_not_inherited_by_a_task_that_is_submitted)
{
    int x = 5;
    make_keys();
    cr_assert_eq(coir_local_set(inherited, &x), 0);
    cr_assert_eq(coir_local_set(copied, &x), 0);
    cr_assert_eq(coir_await(coir_submit(coir_current_runner(), has_inherited, NULL)), 0);
    return 0;
}

RunTest(local, under_a_key_that_was_not_made_is_einval_and_null)
{
    cr_assert_eq(coir_local_set(COIR_LOCAL_MAX, NULL), -EINVAL);
    cr_assert_eq(coir_local_set(COIR_LOCAL_MAX - 1, NULL), -EINVAL);
    cr_assert_null(coir_local_get(COIR_LOCAL_MAX));
    return 0;
}

RunTest(local, of_too_many_keys_is_enospc)
{
    coir_local key;
    int made = 0, rc;
    while ((rc = coir_local_create(&key, NULL)) == 0)
        made++;
    cr_assert_eq(rc, -ENOSPC);
    cr_assert_eq(made, COIR_LOCAL_MAX);
    return 0;
}

RunTest(local, works_in_a_cancelled_task)
{
    int x;
    make_keys();
    coir_cancel(coir_current_task());
    cr_assert_eq(coir_local_set(plain, &x), 0);
    cr_assert_eq(coir_local_get(plain), &x);
    return 0;
}
