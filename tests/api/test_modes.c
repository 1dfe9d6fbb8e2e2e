/*
 * Where tasks run makes no difference to what they are told: the same story is
 * played with tasks run inline or not, moved or not, on one worker or several,
 * and must give the same numbers.
 */
#include <string.h>

#include "api/in_run.h"

enum { LINES = 64 };

struct story {
    int lines[LINES];
    int n;
};

static void tell(struct story *story, int number)
{
    cr_assert_lt(story->n, LINES);
    story->lines[story->n++] = number;
}

static int fail_with_eio(UNUSED void *arg)
{
    return -EIO;
}

static int swallow_the_cancel(UNUSED void *arg)
{
    return coir_sleep(COIR_FOREVER) == -ECANCELED ? 5 : 6;
}

/* Not told before it leaves its shield. */
static int sleep_in_a_shield(UNUSED void *arg)
{
    coir_shield shield;
    coir_shield_begin(&shield);
    int rc = coir_sleep(COIR_MILLISECONDS(1));
    coir_shield_end(&shield);
    return rc < 0 ? rc : coir_sleep(COIR_FOREVER);
}

struct awaiting {
    coir_fn *child;
    atomic_int started;
    int awaited;
    int next_call;
};

static int start_child(void *arg)
{
    struct awaiting *awaiting = arg;
    atomic_store(&awaiting->started, 1);
    return awaiting->child(NULL);
}

static int await_child(void *arg)
{
    struct awaiting *awaiting = arg;
    awaiting->awaited = coir_await(coir_create_task(start_child, awaiting));
    awaiting->next_call = coir_yield();
    return 3;
}

static void tell_a_cancelled_await(struct story *story, coir_fn *child)
{
    struct awaiting awaiting = { .child = child };
    coir_task *task = coir_create_task(await_child, &awaiting);
    yield_until(&awaiting.started, 1);
    coir_cancel(task);
    tell(story, coir_await(task));
    tell(story, awaiting.awaited);
    tell(story, awaiting.next_call);
}

static void tell_timeouts(struct story *story)
{
    coir_timeout outer, inner;
    coir_timeout_begin(&outer, COIR_MILLISECONDS(1));
    coir_timeout_begin(&inner, COIR_SECONDS(1000));
    tell(story, coir_await(coir_create_task(sleep_forever, NULL)));
    tell(story, coir_timeout_end(&inner));
    tell(story, coir_timeout_end(&outer));

    coir_timeout_begin(&outer, COIR_SECONDS(1000));
    coir_timeout_begin(&inner, COIR_MILLISECONDS(1));
    tell(story, coir_await(coir_create_task(sleep_forever, NULL)));
    tell(story, coir_timeout_end(&inner));
    tell(story, coir_yield());
    tell(story, coir_timeout_end(&outer));

    tell(story, coir_wait_for(coir_create_task(swallow_the_cancel, NULL), 1000));
    tell(story, coir_wait_for(coir_create_task(sleep_in_a_shield, NULL), 1000));
    tell(story, coir_yield());
}

static void tell_groups(struct story *story)
{
    coir_group outer, inner;
    atomic_int told = 0;
    coir_group_init(&outer);
    tell(story, coir_group_create_task(&outer, count_cancel, &told));
    coir_group_init(&inner);
    tell(story, coir_group_create_task(&inner, count_cancel, &told));
    tell(story, coir_group_create_task(&inner, fail_with_eio, NULL));
    tell(story, coir_await(coir_create_task(sleep_forever, NULL)));
    tell(story, coir_group_wait(&inner));
    tell(story, coir_yield());
    coir_group_cancel(&outer);
    tell(story, coir_await(coir_create_task(swallow_the_cancel, NULL)));
    tell(story, coir_group_wait(&outer));
    tell(story, atomic_load(&told));
    tell(story, coir_yield());
}

static void tell_gathers(struct story *story)
{
    coir_call calls[] = { COIR_CALL(sleep_forever, NULL), COIR_CALL(swallow_the_cancel, NULL),
                          COIR_CALL(fail_with_eio, NULL) };
    tell(story, coir_gather_array(calls, 3));
    for (int i = 0; i < 3; i++)
        tell(story, calls[i].value);

    coir_timeout limit;
    coir_timeout_begin(&limit, COIR_MILLISECONDS(1));
    tell(story, coir_gather_all(calls, 3));
    tell(story, coir_timeout_end(&limit));
    for (int i = 0; i < 3; i++)
        tell(story, calls[i].value);
}

static int tell_all(void *arg)
{
    struct story *story = arg;
    tell_a_cancelled_await(story, sleep_forever);
    tell_a_cancelled_await(story, swallow_the_cancel);
    tell_a_cancelled_await(story, sleep_in_a_shield);
    tell_timeouts(story);
    tell_groups(story);
    tell_gathers(story);
    return 0;
}

static const int expected[] = {
    /* cancelled awaits */ 3, -ECANCELED, -ECANCELED, 3, 5, -ECANCELED,
    3, -ECANCELED, -ECANCELED,
    /* timeouts */ -ETIMEDOUT, 0, 1, -ETIMEDOUT, 1, 0, 0, 5, -ETIMEDOUT, 0,
    /* groups */ 0, 0, 0, -ECANCELED, -EIO, 0, 5, 0, 2, 0,
    /* gathers */ -EIO, -ECANCELED, 5, -EIO, -ETIMEDOUT, 1, -ECANCELED, 5, -EIO,
};

static void play(const char *debug, int workers)
{
    setenv("COIR_DEBUG", debug, 1);
    for (int round = 0; round < check_scale(20); round++) {
        struct story story = { 0 };
        cr_assert_eq(run_on(workers, tell_all, &story), 0);
        cr_assert_eq(story.n, (int)LENGTH(expected));
        for (size_t i = 0; i < LENGTH(expected); i++)
            cr_assert_eq(story.lines[i], expected[i], "%s with %d workers, line %zu: %d", debug,
                         workers, i, story.lines[i]);
    }
}

Test(modes, one_worker_tells_the_story)
{
    play("", 1);
}

Test(modes, several_workers_tell_the_same_story)
{
    play("", 2);
    play("", 8);
}

Test(modes, tasks_that_are_never_run_inline_tell_the_same_story)
{
    play("noinline", 1);
    play("noinline", 2);
    play("noinline", 8);
}

Test(modes, tasks_that_move_at_every_suspension_tell_the_same_story)
{
    play("migrate", 1);
    play("migrate", 2);
    play("migrate", 8);
}

Test(modes, both_at_once_tell_the_same_story)
{
    play("migrate,noinline", 2);
    play("noinline,migrate", 8);
}

/* Unless the other worker gets no CPU: then the first takes its task back. */
static int suspend_until_moved(UNUSED void *arg)
{
    coir_stats stats;
    do {
        cr_assert_eq(coir_yield(), 0);
        coir_stats_get(&stats);
    } while (stats.migrations == 0);
    return 0;
}

Test(modes, migrate_moves_tasks)
{
    setenv("COIR_DEBUG", "migrate", 1);
    cr_assert_eq(run_on(2, suspend_until_moved, NULL), 0);
}

static int await_a_lot(UNUSED void *arg)
{
    for (int i = 0; i < 100; i++)
        cr_assert_eq(coir_await(coir_create_task(return_zero, NULL)), 0);
    return 0;
}

static uint64_t inlined_so_far(void)
{
    coir_stats stats;
    coir_stats_get(&stats);
    return stats.tasks_inlined;
}

Test(modes, noinline_runs_no_task_on_its_awaiters_stack)
{
    setenv("COIR_DEBUG", "noinline", 1);
    cr_assert_eq(run_on(1, await_a_lot, NULL), 0);
    cr_assert_eq(inlined_so_far(), 0);
    setenv("COIR_DEBUG", "", 1);
    cr_assert_eq(run_on(1, await_a_lot, NULL), 0);
    cr_assert_eq(inlined_so_far(), 100);
}
