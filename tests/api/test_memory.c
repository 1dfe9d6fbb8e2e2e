/*
 * Memory that is not to be had: an error, and the argument is still the
 * caller's.
 */
#include "api/in_run.h"

/* Let malloc() return NULL, as it does without a sanitizer. */
const char *__asan_default_options(void);
const char *__tsan_default_options(void);

__attribute__((no_sanitize_address)) const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

__attribute__((no_sanitize("thread"))) const char *__tsan_default_options(void)
{
    return "allocator_may_return_null=1";
}

static const size_t too_large[] = { SIZE_MAX, SIZE_MAX - 4096, SIZE_MAX / 2, (size_t)1 << 46 };

RunTest(memory, for_a_copy_too_large_is_null_and_await_says_enomem)
{
    atomic_int runs = 0;
    for (size_t i = 0; i < LENGTH(too_large); i++) {
        coir_task *task = coir_create_task_copy(count, &runs, too_large[i]);
        cr_assert_null(task);
        cr_assert_eq(coir_await(task), -ENOMEM);
        coir_task_options options = { .arg_size = too_large[i] };
        cr_assert_null(coir_create_task_with(&options, count, &runs));
    }
    cr_assert_eq(atomic_load(&runs), 0);
    return 0;
}

RunTest(memory, for_a_members_copy_too_large_is_enomem_and_the_group_goes_on)
{
    atomic_int runs = 0;
    coir_group group;
    coir_group_init(&group);
    for (size_t i = 0; i < LENGTH(too_large); i++) {
        coir_task_options options = { .arg_size = too_large[i] };
        cr_assert_eq(coir_group_create_task_copy(&group, count, &runs, too_large[i]), -ENOMEM);
        cr_assert_eq(coir_group_create_task_with(&group, &options, count, &runs), -ENOMEM);
    }
    cr_assert_eq(coir_group_create_task(&group, count, &runs), 0);
    cr_assert_eq(coir_group_wait(&group), 0);
    cr_assert_eq(atomic_load(&runs), 1);
    return 0;
}

RunTest(memory, for_a_stack_too_large_is_enomem)
{
    atomic_int runs = 0;
    for (size_t i = 0; i < LENGTH(too_large); i++) {
        coir_task_options options = { .stack_bytes = too_large[i] };
        coir_task *task = coir_create_task_with(&options, count, &runs);
        cr_assert_eq(coir_await(task), -ENOMEM);
    }
    cr_assert_eq(atomic_load(&runs), 0);
    return 0;
}

RunTest(memory, for_a_members_stack_too_large_is_enomem_or_fails_the_group)
{
    atomic_int runs = 0;
    for (size_t i = 0; i < LENGTH(too_large); i++) {
        coir_task_options options = { .stack_bytes = too_large[i] };
        coir_group group;
        coir_group_init(&group);
        int created = coir_group_create_task_with(&group, &options, count, &runs);
        int waited = coir_group_wait(&group);
        cr_assert(created == -ENOMEM ? waited == 0 : created == 0 && waited == -ENOMEM,
                  "%d, %d", created, waited);
    }
    cr_assert_eq(atomic_load(&runs), 0);
    return 0;
}
