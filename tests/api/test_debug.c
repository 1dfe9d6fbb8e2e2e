/*
 * Counters, the dump, and the names of error codes.
 */
#include <netdb.h>
#include <pthread.h>
#include <string.h>

#include "api/forked.h"

LOAD_BACKTRACES_FIRST;

static int spawn_some(UNUSED void *arg)
{
    atomic_int runs = 0;
    for (int i = 0; i < 10; i++)
        cr_assert_eq(coir_await(coir_create_task(count, &runs)), 0);
    cr_assert_eq(coir_sleep(COIR_MICROSECONDS(1)), 0);
    return 0;
}

static coir_stats stats_now(void)
{
    coir_stats stats;
    memset(&stats, 0xff, sizeof stats);
    coir_stats_get(&stats);
    return stats;
}

Test(stats, outside_add_up_over_the_runs_that_have_ended)
{
    for (int i = 1; i <= 3; i++) {
        cr_assert_eq(coir_run(spawn_some, NULL), 0);
        coir_stats stats = stats_now();
        cr_assert_eq(stats.tasks_spawned, 11u * (unsigned)i, "ten and the main task, %d times", i);
        cr_assert_eq(stats.tasks_finished, stats.tasks_spawned);
        cr_assert_eq(stats.timers_armed, stats.timers_fired + stats.timers_cancelled);
        cr_assert_eq(stats.ops_submitted, stats.ops_completed);
        cr_assert_eq(stats.stacks_mapped, stats.stacks_unmapped);
        cr_assert_gt(stats.stacks_mapped, 0);
        cr_assert_eq(stats.workers, 0);
    }
}

Test(stats, before_any_run_are_zero)
{
    coir_stats stats = stats_now(), zero = { 0 };
    cr_assert_eq(memcmp(&stats, &zero, sizeof zero), 0);
}

RunTestOn(1, stats, inside_count_this_run)
{
    atomic_int runs = 0;
    coir_stats before = stats_now();
    cr_assert_eq(before.workers, 1);
    cr_assert_eq(before.tasks_spawned - before.tasks_finished, 1, "the main task");
    for (int i = 0; i < 10; i++)
        cr_assert_eq(coir_await(coir_create_task(count, &runs)), 0);
    coir_stats after = stats_now();
    cr_assert_eq(after.tasks_spawned - before.tasks_spawned, 10);
    cr_assert_eq(after.tasks_finished - before.tasks_finished, 10);
    return 0;
}

RunTestOn(1, stats, count_timers_and_switches)
{
    coir_stats before = stats_now();
    cr_assert_eq(coir_sleep(COIR_MICROSECONDS(10)), 0);
    coir_task *task = coir_create_task(sleep_forever, NULL);
    cr_assert_eq(coir_yield(), 0);
    cr_assert_eq(coir_cancel_await(task), -ECANCELED);
    coir_stats after = stats_now();
    cr_assert_gt(after.timers_armed, before.timers_armed);
    cr_assert_gt(after.timers_fired, before.timers_fired);
    cr_assert_gt(after.switches, before.switches);
    return 0;
}

RunTest(stats, work_in_a_cancelled_task)
{
    coir_cancel(coir_current_task());
    cr_assert_geq(stats_now().tasks_spawned, 1);
    return 0;
}

/* --------------------------------------------------------------- dump --- */

static char *read_dump(void)
{
    static char text[65536];
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    coir_dump(ends[1]);
    close(ends[1]);
    ssize_t n = read(ends[0], text, sizeof text - 1);
    cr_assert_geq(n, 0);
    text[n] = '\0';
    close(ends[0]);
    return text;
}

RunTest(dump, names_every_task)
{
    coir_task_options sleeper = { .name = "sleeping-beauty" }, reader = { .name = "bookworm" };
    coir_task *a = coir_create_task_with(&sleeper, sleep_forever, NULL);
    coir_task *b = coir_create_task_with(&reader, sleep_forever, NULL);
    let_them_wait();
    char *text = read_dump();
    cr_assert_not_null(strstr(text, "sleeping-beauty"), "%s", text);
    cr_assert_not_null(strstr(text, "bookworm"), "%s", text);
    cr_assert_eq(coir_cancel_await(a), -ECANCELED);
    cr_assert_eq(coir_cancel_await(b), -ECANCELED);
    return 0;
}

RunTest(dump, works_in_a_cancelled_task)
{
    coir_cancel(coir_current_task());
    cr_assert_gt(count_lines(read_dump()), 0);
    return 0;
}

Test(dump, works_outside_a_run)
{
    read_dump();
}

RunTest(dump, to_a_descriptor_that_is_not_open_does_nothing)
{
    coir_dump(-1);
    cr_assert_eq(coir_yield(), 0);
    return 0;
}

static int keep_busy(void *stop)
{
    while (!atomic_load((atomic_int *)stop)) {
        cr_assert_eq(coir_await(coir_create_task(return_zero, NULL)), 0);
        cr_assert_eq(coir_yield(), 0);
    }
    return 0;
}

RunTest(dump, can_be_made_while_tasks_come_and_go)
{
    atomic_int stop = 0;
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(coir_group_create_task(&group, keep_busy, &stop), 0);
    for (int i = 0; i < 50; i++) {
        cr_assert_gt(count_lines(read_dump()), 0);
        cr_assert_eq(coir_yield(), 0);
    }
    atomic_store(&stop, 1);
    return coir_group_wait(&group);
}

#ifdef CHECK_BACKTRACES

NOINLINE static int wait_down_here(UNUSED void *arg)
{
    int rc = coir_sleep(COIR_FOREVER);
    return rc + (*(volatile int *)&rc - rc); /* not a tail call */
}

RunTest(dump, shows_where_a_task_waits)
{
    coir_task_options options = { .name = "waiter" };
    coir_task *task = coir_create_task_with(&options, wait_down_here, NULL);
    while (!strstr(read_dump(), "task 'waiter' waits in"))
        cr_assert_eq(coir_yield(), 0);
    char *text = strstr(read_dump(), "task 'waiter' waits in");
    cr_assert_not_null(strstr(text, " wait_down_here+0x"), "%s", text);
    cr_assert_eq(coir_cancel_await(task), -ECANCELED);
    return 0;
}

NOINLINE static int await_another(UNUSED void *arg)
{
    int rc = coir_await(coir_create_task(wait_down_here, NULL));
    return rc + (*(volatile int *)&rc - rc);
}

RunTestOn(1, dump, shows_tasks_that_share_a_stack_once, .init = forget_debug)
{
    coir_task_options options = { .name = "outer" };
    coir_task *task = coir_create_task_with(&options, await_another, NULL);
    cr_assert_eq(coir_yield(), 0);
    char *text = read_dump();
    cr_assert_not_null(strstr(text, "awaits inline"), "%s", text);
    cr_assert_null(strstr(text, "'outer' waits in"), "%s", text);
    char *inner = strstr(text, " wait_down_here+0x");
    cr_assert_not_null(inner, "%s", text);
    cr_assert_not_null(strstr(inner, " await_another+0x"), "%s", text);
    cr_assert_null(strstr(inner + 1, " wait_down_here+0x"), "%s", text);
    cr_assert_eq(coir_cancel_await(task), -ECANCELED);
    return 0;
}

#ifndef CHECK_TSAN /* which defers signals */

NOINLINE static int spin_down_here(void *stop)
{
    while (!atomic_load((atomic_int *)stop))
        ;
    return 0;
}

RunTestOn(2, dump, shows_where_a_task_computes, .init = forget_debug)
{
    atomic_int stop = 0;
    coir_task_options options = { .name = "spinner" };
    coir_task *task = coir_create_task_with(&options, spin_down_here, &stop);
    while (!strstr(read_dump(), " spin_down_here+0x"))
        cr_assert_eq(coir_yield(), 0);
    atomic_store(&stop, 1);
    return coir_await(task);
}

RunTest(dump, shows_where_it_was_called)
{
    char *text = strstr(read_dump(), "runs task '");
    cr_assert_not_null(text);
    cr_assert_not_null(strstr(text, " coir_dump+0x"), "%s", text);
    cr_assert_not_null(strstr(text, " dump_shows_where_it_was_called+0x"), "%s", text);
    return 0;
}

#endif
#endif

enum { SLEEPS = 100 };

static int sleep_often(void *asleep)
{
    for (int i = 0; i < check_scale(SLEEPS); i++)
        cr_assert_eq(coir_sleep(COIR_MICROSECONDS(20)), 0);
    atomic_fetch_sub((atomic_int *)asleep, 1);
    return 0;
}

static void *dump_meanwhile(void *asleep)
{
    while (atomic_load((atomic_int *)asleep))
        coir_dump(-1);
    return NULL;
}

/* A wake-up that gets lost lets this hang. */
static int dump_and_wake(UNUSED void *arg)
{
    atomic_int asleep = 20;
    pthread_t thread;
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i < 20; i++)
        cr_assert_eq(coir_group_create_task(&group, sleep_often, &asleep), 0);
    cr_assert_eq(pthread_create(&thread, NULL, dump_meanwhile, &asleep), 0);
    cr_assert_eq(coir_group_wait(&group), 0);
    pthread_join(thread, NULL);
    return 0;
}

/* Without the signal, for which there need be no waiting here. */
Test(dump, disturbs_nobody_who_is_woken_while_it_looks)
{
    coir_options options = { .rescue_signal = -1 };
    cr_assert_eq(coir_run_with(&options, dump_and_wake, NULL), 0);
}

enum { MANY = 300 };

/* Reads while the dump is written, which is longer than a pipe. */
static void *count_traces(void *end)
{
    static char text[1 << 20];
    size_t len = 0;
    ssize_t n;
    while ((n = read(*(int *)end, text + len, sizeof text - 1 - len)) > 0)
        len += (size_t)n;
    text[len] = '\0';
    uintptr_t traces = 0;
    for (char *at = text; (at = strstr(at, " waits in")); at++)
        traces++;
    return (void *)traces;
}

RunTest(dump, shows_a_bounded_number_of_backtraces)
{
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i < MANY; i++)
        cr_assert_eq(coir_group_create_task(&group, sleep_forever, NULL), 0);
    let_them_wait();
    int ends[2];
    void *traces;
    pthread_t thread;
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(pthread_create(&thread, NULL, count_traces, &ends[0]), 0);
    coir_dump(ends[1]);
    close(ends[1]);
    pthread_join(thread, &traces);
    close(ends[0]);
    cr_assert_leq((uintptr_t)traces, 100);
    coir_group_cancel(&group);
    return coir_group_wait(&group);
}

/* ------------------------------------------------------------- errors --- */

Test(error, names_are_the_symbolic_ones)
{
    cr_assert_str_eq(coir_err_name(-ECANCELED), "ECANCELED");
    cr_assert_str_eq(coir_err_name(-ETIMEDOUT), "ETIMEDOUT");
    cr_assert_str_eq(coir_err_name(-EPIPE), "EPIPE");
    cr_assert_str_eq(coir_err_name(-EBADF), "EBADF");
    cr_assert_str_eq(coir_err_name(-ENOMEM), "ENOMEM");
    cr_assert_str_eq(coir_err_name(COIR_EAI(EAI_NONAME)), "EAI_NONAME");
    cr_assert_str_eq(coir_err_name(COIR_EAI(EAI_AGAIN)), "EAI_AGAIN");
}

Test(error, names_of_success_and_of_unknown_numbers)
{
    cr_assert_str_eq(coir_err_name(0), "OK");
    cr_assert_str_eq(coir_err_name(4711), "OK");
    cr_assert_str_eq(coir_err_name(-9999), "E?");
    cr_assert_str_eq(coir_err_name(COIR_EAI(9999)), "E?");
}

Test(error, every_errno_has_a_name_and_a_description)
{
    for (int error = 1; error <= 133; error++) {
        const char *name = strerrorname_np(error);
        if (!name)
            continue;
        cr_assert_str_eq(coir_err_name(-error), name);
        cr_assert_str_eq(coir_strerror(-error), strerrordesc_np(error));
    }
}

Test(error, descriptions_are_words)
{
    cr_assert_str_eq(coir_strerror(0), "success");
    cr_assert_str_eq(coir_strerror(4711), "success");
    cr_assert_str_eq(coir_strerror(COIR_EAI(EAI_NONAME)), gai_strerror(EAI_NONAME));
    cr_assert_gt(strlen(coir_strerror(-9999)), 0);
    cr_assert_gt(strlen(coir_strerror(INT32_MIN)), 0);
}

Test(error, resolver_codes_lie_in_a_band_of_their_own)
{
    cr_assert_eq(COIR_EAI(EAI_NONAME), COIR_EAI(-EAI_NONAME));
    cr_assert_lt(COIR_EAI(EAI_NONAME), -COIR_EAI_BASE);
    cr_assert_gt(-COIR_EAI_BASE, -32768);
}
