/*
 * Guards below the stacks, where the kernel refuses to make them: by advice, then by
 * protecting pages, then not at all, which is an error.
 */
#include <errno.h>
#include <sys/mman.h>

#include "api/forked.h"
#include "support/faults.h"

enum { TASKS = 40 };

static atomic_int ran;

static int sleep_a_little(UNUSED void *arg)
{
    atomic_fetch_add(&ran, 1);
    return coir_sleep(COIR_MICROSECONDS(300));
}

/* So that each needs a stack of its own. */
static int stay_until_all_have_come(UNUSED void *arg)
{
    atomic_fetch_add(&ran, 1);
    yield_until(&ran, TASKS);
    return 0;
}

static int run_together(void *fn)
{
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i < TASKS; i++)
        cr_assert_eq(coir_group_create_task(&group, *(coir_fn **)fn, NULL), 0);
    return coir_group_wait(&group);
}

static const struct fault_plan no_advice = { FAULT_GUARD, EINVAL, 1, FAULT_FOREVER };

/* Returns what the run does, where advice is refused, and protection from the n-th on. */
static int run_with_guards(uint64_t n, coir_fn *fn)
{
    faults_begin(&no_advice);
    faults_also(&(struct fault_plan){ FAULT_MPROTECT, ENOMEM, n, FAULT_FOREVER });
    int rc = coir_run(run_together, &fn);
    faults_end();
    return rc;
}

Test(guards, refused_as_advice_are_made_by_protection, .init = forget_debug)
{
    cr_assert_eq(run_with_guards(UINT64_MAX, stay_until_all_have_come), 0);
    cr_assert_eq(atomic_load(&ran), TASKS);
    cr_assert_geq(faults_seen(FAULT_MPROTECT), TASKS);
    cr_assert_eq(faults_mapped(), 0);
}

Test(guards, refused_for_good_are_enomem_before_the_run_begins)
{
    cr_assert_eq(run_with_guards(1, sleep_a_little), -ENOMEM);
    cr_assert_eq(atomic_load(&ran), 0);
    cr_assert_eq(faults_mapped(), 0);
}

/* One for the main task, one for each worker's signal stack, a few for others. */
Test(guards, refused_later_let_tasks_wait_for_the_stacks_there_are)
{
    cr_assert_eq(run_with_guards(1 + 8 + 4, sleep_a_little), 0);
    cr_assert_eq(atomic_load(&ran), TASKS);
    cr_assert_eq(faults_mapped(), 0);
}

static int create_a_large_one(UNUSED void *arg)
{
    coir_task_options options = { .stack_bytes = (size_t)1 << 20 };
    coir_task_options pinned = { .pinned = 1 };
    faults_also(&(struct fault_plan){ FAULT_MPROTECT, ENOMEM, 1, FAULT_FOREVER });
    cr_assert_null(coir_create_task_with(&options, sleep_a_little, NULL));
    cr_assert_eq(coir_await(coir_create_task_with(&pinned, sleep_a_little, NULL)), -ENOMEM);
    return 0;
}

Test(guards, refused_to_a_task_with_a_stack_of_its_own_fail_its_creation)
{
    faults_begin(&no_advice);
    cr_assert_eq(coir_run(create_a_large_one, NULL), 0);
    faults_end();
    cr_assert_eq(atomic_load(&ran), 0);
}

static NOINLINE int fall(volatile char *above, unsigned depth)
{
    volatile char frame[2048];
    frame[0] = *above;
    return depth ? fall(frame, depth - 1) + frame[0] : 0;
}

static int overflow(UNUSED void *arg)
{
    char start = 0;
    return fall(&start, 1 << 20);
}

static void run_into_the_guard(UNUSED void *arg)
{
    signal(SIGSEGV, SIG_DFL);
    faults_begin(&no_advice);
    coir_run(overflow, NULL);
}

#ifndef CHECK_ASAN /* which reports it itself */
Test(guards, made_by_protection_stop_an_overflow)
{
    struct outcome outcome = in_child(run_into_the_guard, NULL);
    cr_assert(WIFSIGNALED(outcome.status) && WTERMSIG(outcome.status) == SIGSEGV,
              "status %#x, stderr: %s", outcome.status, outcome.err);
    cr_assert_not_null(strstr(outcome.err, "stack overflow"), "stderr: %s", outcome.err);
}
#endif
