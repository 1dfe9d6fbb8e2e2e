/*
 * Creating tasks: arguments, copies, options, names, identity, detach.
 */
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "api/in_run.h"

RunTest(task, runs_its_function_with_its_argument)
{
    atomic_int runs = 0;
    coir_task *task = coir_create_task(count, &runs);
    cr_assert_not_null(task);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(atomic_load(&runs), 1);
    return 0;
}

RunTest(task, runs_though_nobody_awaits_it_yet)
{
    atomic_int runs = 0;
    coir_task *task = coir_create_task(count, &runs);
    yield_until(&runs, 1);
    return coir_await(task);
}

RunTest(task, create_works_in_a_cancelled_task)
{
    atomic_int runs = 0;
    coir_cancel(coir_current_task());
    coir_task *task = coir_create_task(count, &runs);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(atomic_load(&runs), 1);
    return 0;
}

/* ------------------------------------------------------------- copies --- */

struct add {
    atomic_int *sum;
    int value;
};

static int add_value(void *arg)
{
    const struct add *add = arg;
    atomic_fetch_add(add->sum, add->value);
    return add->value;
}

RunTest(task, copied_loop_variable_is_that_of_its_iteration)
{
    atomic_int sum = 0;
    coir_task *tasks[10];
    for (int i = 0; i < 10; i++) {
        struct add add = { &sum, 1 << i };
        tasks[i] = coir_create_task_copy(add_value, &add, sizeof add);
    }
    for (int i = 0; i < 10; i++)
        cr_assert_eq(coir_await(tasks[i]), 1 << i);
    cr_assert_eq(atomic_load(&sum), 1023);
    return 0;
}

struct big {
    unsigned char *original;
    unsigned char bytes[1000];
};

static int check_big(void *arg)
{
    struct big *big = arg;
    for (size_t i = 0; i < sizeof big->bytes; i++)
        if (big->bytes[i] != (unsigned char)i)
            return -EILSEQ;
    memset(big->bytes, 0xee, sizeof big->bytes);
    return big->bytes != big->original ? 0 : -EEXIST;
}

RunTest(task, copy_larger_than_inline_is_whole_and_apart)
{
    struct big big = { .original = big.bytes };
    for (size_t i = 0; i < sizeof big.bytes; i++)
        big.bytes[i] = (unsigned char)i;
    coir_task *task = coir_create_task_copy(check_big, &big, sizeof big);
    memset(big.bytes, 0xdd, sizeof big.bytes);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(big.bytes[999], 0xdd, "what the task writes goes into its copy");
    return 0;
}

static int address_modulo(void *arg)
{
    return (int)((uintptr_t)arg % _Alignof(max_align_t));
}

RunTest(task, copies_of_every_size_are_aligned_for_any_type)
{
    static const char bytes[300];
    for (size_t size = 1; size <= sizeof bytes; size++)
        cr_assert_eq(coir_await(coir_create_task_copy(address_modulo, bytes, size)), 0,
                     "%zu bytes", size);
    return 0;
}

static int sum_bytes(void *arg)
{
    const unsigned char *bytes = arg;
    int sum = 0;
    for (int i = 0; i < bytes[0]; i++)
        sum += bytes[i];
    return sum;
}

RunTest(task, copies_around_the_inline_limit_are_whole)
{
    for (int size = COIR_ARG_INLINE - 2; size <= COIR_ARG_INLINE + 2; size++) {
        unsigned char bytes[COIR_ARG_INLINE + 2];
        memset(bytes, 1, sizeof bytes);
        bytes[0] = (unsigned char)size;
        coir_task *task = coir_create_task_copy(sum_bytes, bytes, (size_t)size);
        memset(bytes, 0, sizeof bytes);
        cr_assert_eq(coir_await(task), size + size - 1);
    }
    return 0;
}

/* ------------------------------------------------------------ options --- */

RunTest(task, null_options_are_the_defaults)
{
    int value = 3;
    cr_assert_eq(coir_await(coir_create_task_with(NULL, return_int, &value)), 3);
    return 0;
}

RunTest(task, all_zero_options_are_the_defaults)
{
    int value = 4;
    coir_task_options options = { 0 };
    coir_task *task = coir_create_task_with(&options, return_int, &value);
    cr_assert_eq(strncmp(coir_task_name(task), "Task-", 5), 0);
    cr_assert_eq(coir_await(task), 4);
    return 0;
}

RunTest(task, arg_size_option_copies_the_argument)
{
    coir_task *tasks[10];
    for (int i = 0; i < 10; i++) {
        coir_task_options options = { .arg_size = sizeof i };
        tasks[i] = coir_create_task_with(&options, return_int, &i);
    }
    for (int i = 0; i < 10; i++)
        cr_assert_eq(coir_await(tasks[i]), i);
    return 0;
}

static NOINLINE int use_stack(size_t bytes)
{
    volatile unsigned char *frame = __builtin_alloca(bytes);
    for (size_t i = 0; i < bytes; i += 512)
        frame[i] = 1;
    frame[bytes - 1] = 1;
    return frame[0];
}

static int use_stack_of(void *arg)
{
    return use_stack(*(size_t *)arg);
}

RunTest(task, stack_bytes_option_gives_so_much_stack)
{
    static const size_t sizes[] = { 32 << 10, 128 << 10, 1 << 20, 8 << 20 };
    for (size_t i = 0; i < LENGTH(sizes); i++) {
        size_t used = sizes[i] / 8 * 7;
        coir_task_options options = { .stack_bytes = sizes[i] };
        cr_assert_eq(coir_await(coir_create_task_with(&options, use_stack_of, &used)), 1);
    }
    return 0;
}

RunTest(task, stack_bytes_option_holds_for_a_task_started_by_the_loop)
{
    size_t used = 900 << 10;
    coir_task_options options = { .stack_bytes = 1 << 20 };
    coir_task *task = coir_create_task_with(&options, use_stack_of, &used);
    while (!coir_task_done(task))
        cr_assert_eq(coir_yield(), 0);
    cr_assert_eq(coir_await(task), 1);
    return 0;
}

RunTest(task, smallest_stack_is_rounded_up)
{
    size_t used = 8 << 10;
    coir_task_options options = { .stack_bytes = 1 };
    cr_assert_eq(coir_await(coir_create_task_with(&options, use_stack_of, &used)), 1);
    return 0;
}

struct pinned {
    pid_t home;
    int strays;
    atomic_int *stop;
};

static int count_strays(void *arg)
{
    struct pinned *pinned = arg;
    for (int i = 0; i < check_scale(5000); i++) {
        pinned->strays += thread_id() != pinned->home;
        int rc = i % 100 ? coir_yield() : coir_sleep(COIR_MICROSECONDS(50));
        if (rc < 0)
            return rc;
    }
    atomic_store(pinned->stop, 1);
    return 0;
}

static int yield_until_stopped(void *arg)
{
    while (!atomic_load((atomic_int *)arg))
        if (coir_yield() < 0)
            break;
    return 0;
}

RunTest(task, pinned_task_stays_on_the_thread_it_was_created_on)
{
    atomic_int stop = 0;
    coir_group others;
    coir_group_init(&others);
    for (int i = 0; i < 8; i++)
        cr_assert_eq(coir_group_create_task(&others, yield_until_stopped, &stop), 0);

    struct pinned pinned = { .home = thread_id(), .stop = &stop };
    coir_task_options options = { .pinned = 1 };
    coir_task *task = coir_create_task_with(&options, count_strays, &pinned);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(pinned.strays, 0);
    return coir_group_wait(&others);
}

RunTest(task, pinned_task_stays_also_if_its_creator_moves_away)
{
    atomic_int stop = 0;
    struct pinned pinned = { .home = thread_id(), .stop = &stop };
    coir_task_options options = { .pinned = 1 };
    coir_task *task = coir_create_task_with(&options, count_strays, &pinned);
    yield_until(&stop, 1);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(pinned.strays, 0);
    return 0;
}

static int yield_a_little(UNUSED void *arg)
{
    for (int i = 0; i < 3; i++) {
        int rc = coir_yield();
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int gather_and_count_strays(void *arg)
{
    struct pinned *pinned = arg;
    for (int i = 0; i < check_scale(2000); i++) {
        coir_call calls[4];
        for (int k = 0; k < 4; k++)
            calls[k] = COIR_CALL(yield_a_little, NULL);
        int rc = coir_gather_array(calls, 4);
        if (rc < 0)
            return rc;
        pinned->strays += thread_id() != pinned->home;
    }
    return 0;
}

RunTest(task, pinned_task_stays_also_if_tasks_elsewhere_wake_it)
{
    struct pinned pinned = { .home = thread_id() };
    coir_task_options options = { .pinned = 1 };
    coir_task *task = coir_create_task_with(&options, gather_and_count_strays, &pinned);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(pinned.strays, 0);
    return 0;
}

/* -------------------------------------------------------------- names --- */

RunTest(task, name_is_the_one_given_and_is_copied)
{
    char name[] = "fetch";
    coir_task_options options = { .name = name };
    coir_task *task = coir_create_task_with(&options, return_zero, NULL);
    name[0] = 'X';
    cr_assert_str_eq(coir_task_name(task), "fetch");
    return coir_await(task);
}

RunTest(task, name_is_cut_at_its_longest)
{
    coir_task_options options = { .name = "0123456789abcdef0123456789abcdefXYZ" };
    coir_task *task = coir_create_task_with(&options, return_zero, NULL);
    cr_assert_eq(strlen(coir_task_name(task)), COIR_NAME_MAX);
    cr_assert_eq(strncmp(coir_task_name(task), options.name, COIR_NAME_MAX), 0);
    return coir_await(task);
}

RunTest(task, unnamed_tasks_are_numbered_and_differ)
{
    coir_task *a = coir_create_task(return_zero, NULL);
    coir_task *b = coir_create_task(return_zero, NULL);
    int number_a, number_b;
    cr_assert_eq(sscanf(coir_task_name(a), "Task-%d", &number_a), 1);
    cr_assert_eq(sscanf(coir_task_name(b), "Task-%d", &number_b), 1);
    cr_assert_neq(number_a, number_b);
    coir_await(a);
    return coir_await(b);
}

RunTest(task, name_outlives_the_function)
{
    coir_task_options options = { .name = "short-lived" };
    coir_task *task = coir_create_task_with(&options, return_zero, NULL);
    while (!coir_task_done(task))
        cr_assert_eq(coir_yield(), 0);
    cr_assert_str_eq(coir_task_name(task), "short-lived");
    return coir_await(task);
}

static int compare_own_name(void *arg)
{
    return strcmp(coir_task_name(coir_current_task()), arg) == 0;
}

RunTest(task, name_is_seen_from_inside)
{
    coir_task_options options = { .name = "inside" };
    cr_assert_eq(coir_await(coir_create_task_with(&options, compare_own_name, "inside")), 1);
    return 0;
}

Test(task, name_of_null_is_none)
{
    cr_assert_str_eq(coir_task_name(NULL), "none");
}

static void *read_name(void *task)
{
    return (void *)coir_task_name(task);
}

RunTest(task, name_can_be_read_by_any_thread)
{
    coir_task_options options = { .name = "from-afar" };
    coir_task *task = coir_create_task_with(&options, return_zero, NULL);
    pthread_t thread;
    void *name;
    cr_assert_eq(pthread_create(&thread, NULL, read_name, task), 0);
    pthread_join(thread, &name);
    cr_assert_str_eq(name, "from-afar");
    return coir_await(task);
}

/* ----------------------------------------------------------- identity --- */

static void *current_task_of_thread(UNUSED void *arg)
{
    return coir_current_task();
}

Test(task, current_task_is_null_outside)
{
    cr_assert_null(coir_current_task());
    cr_assert_eq(coir_run(return_zero, NULL), 0);
    cr_assert_null(coir_current_task());
}

RunTest(task, current_task_is_null_on_a_foreign_thread)
{
    pthread_t thread;
    void *current = &thread;
    cr_assert_eq(pthread_create(&thread, NULL, current_task_of_thread, NULL), 0);
    pthread_join(thread, &current);
    cr_assert_null(current);
    return 0;
}

struct identity {
    coir_task *parent;
    coir_task *seen;
    int changes;
};

static int look_at_oneself(void *arg)
{
    struct identity *identity = arg;
    identity->seen = coir_current_task();
    for (int i = 0; i < 200; i++) {
        identity->changes += coir_current_task() != identity->seen;
        int rc = i % 20 ? coir_yield() : coir_sleep(COIR_MICROSECONDS(20));
        if (rc < 0)
            return rc;
    }
    return identity->seen == identity->parent ? -EEXIST : 0;
}

RunTest(task, current_task_is_the_handle_and_stays_so)
{
    struct identity identity[8] = { 0 };
    coir_task *tasks[8];
    for (int i = 0; i < 8; i++) {
        identity[i].parent = coir_current_task();
        tasks[i] = coir_create_task(look_at_oneself, &identity[i]);
    }
    for (int i = 0; i < 8; i++) {
        coir_task *handle = tasks[i];
        cr_assert_eq(coir_await(tasks[i]), 0);
        cr_assert_eq(identity[i].seen, handle);
        cr_assert_eq(identity[i].changes, 0);
        cr_assert_eq(coir_current_task(), identity[i].parent);
    }
    return 0;
}

/* Awaits a chain of so many descendants, and looks before and after. */
static int identity_of_chain(void *arg)
{
    int depth = *(int *)arg;
    coir_task *self = coir_current_task();
    if (depth == 0)
        return coir_yield();
    int less = depth - 1;
    coir_task *child = coir_create_task(identity_of_chain, &less);
    if (child == self)
        return -EEXIST;
    int rc = coir_await(child);
    return coir_current_task() == self ? rc : -EILSEQ;
}

RunTest(task, current_task_is_ones_own_again_after_every_await_of_a_chain)
{
    for (int depth = 0; depth < 200; depth++)
        cr_assert_eq(identity_of_chain(&depth), 0, "depth %d", depth);
    return 0;
}

/* --------------------------------------------------------------- done --- */

Test(task, null_is_done)
{
    cr_assert(coir_task_done(NULL));
}

RunTest(task, done_is_false_before_the_end_and_true_after_it)
{
    coir_task *task = coir_create_task(sleep_forever, NULL);
    cr_assert_not(coir_task_done(task));
    let_them_wait();
    cr_assert_not(coir_task_done(task));
    coir_cancel(task);
    while (!coir_task_done(task))
        cr_assert_eq(coir_yield(), 0);
    cr_assert(coir_task_done(task));
    cr_assert_eq(coir_await(task), -ECANCELED);
    return 0;
}

static void *poll_done(void *task)
{
    while (!coir_task_done(task))
        sched_yield();
    return NULL;
}

RunTest(task, done_is_seen_by_a_foreign_thread)
{
    coir_task *task = coir_create_task(sleep_forever, NULL);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, poll_done, task), 0);
    let_them_wait();
    coir_cancel(task);
    while (!coir_task_done(task))
        cr_assert_eq(coir_yield(), 0);
    pthread_join(thread, NULL);
    cr_assert_eq(coir_await(task), -ECANCELED);
    return 0;
}

/* ------------------------------------------------------------- detach --- */

RunTest(task, detached_before_it_starts_still_runs)
{
    static atomic_int runs;
    coir_detach(coir_create_task(count, &runs));
    yield_until(&runs, 1);
    return 0;
}

static int wait_for_flag_then_count(void *arg)
{
    atomic_int *words = arg; /* started, go, ended */
    atomic_store(&words[0], 1);
    yield_until(&words[1], 1);
    atomic_store(&words[2], 1);
    return 0;
}

RunTest(task, detached_while_it_runs_goes_on)
{
    static atomic_int words[3];
    coir_task *task = coir_create_task(wait_for_flag_then_count, words);
    yield_until(&words[0], 1);
    coir_detach(task);
    atomic_store(&words[1], 1);
    yield_until(&words[2], 1);
    return 0;
}

RunTest(task, detached_after_its_end_is_released)
{
    static atomic_int runs;
    coir_task *task = coir_create_task(count, &runs);
    while (!coir_task_done(task))
        cr_assert_eq(coir_yield(), 0);
    coir_detach(task);
    return 0;
}

RunTest(task, detach_of_null_does_nothing)
{
    coir_detach(NULL);
    return 0;
}

RunTest(task, detach_of_a_copied_argument_is_fine_wherever_the_original_lies)
{
    static atomic_int sum;
    struct add add = { &sum, 5 };
    coir_detach(coir_create_task_copy(add_value, &add, sizeof add));
    yield_until(&sum, 5);
    return 0;
}

static int detach_while_cancelled(void *runs)
{
    coir_cancel(coir_current_task());
    coir_detach(coir_create_task(count, runs));
    return 0;
}

Test(task, detach_works_in_a_cancelled_task)
{
    atomic_int runs = 0;
    cr_assert_eq(coir_run(detach_while_cancelled, &runs), 0);
    cr_assert_eq(atomic_load(&runs), 1);
}

static void *detach_task(void *task)
{
    coir_detach(task);
    return NULL;
}

RunTest(task, detach_works_from_a_foreign_thread)
{
    static atomic_int words[3];
    coir_task *task = coir_create_task(wait_for_flag_then_count, words);
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, detach_task, task), 0);
    pthread_join(thread, NULL);
    atomic_store(&words[1], 1);
    yield_until(&words[2], 1);
    return 0;
}

RunTest(task, detach_races_with_the_end_and_loses_nothing)
{
    static atomic_int runs;
    int n = check_scale(50000);
    for (int i = 0; i < n; i++) {
        coir_task *task = coir_create_task(count, &runs);
        if (i % 3 == 0)
            cr_assert_eq(coir_yield(), 0);
        coir_detach(task);
    }
    yield_until(&runs, n);
    return 0;
}
