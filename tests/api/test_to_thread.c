/*
 * coir_to_thread(): calls that block, on threads.
 */
#include <pthread.h>

#include "api/in_run.h"

struct blocked {
    int pipe[2];
    int value;
    pid_t thread;
    atomic_int began, told;
};

static int read_plainly(void *arg)
{
    struct blocked *blocked = arg;
    char byte;
    blocked->thread = thread_id();
    atomic_store(&blocked->began, 1);
    return read(blocked->pipe[0], &byte, 1) == 1 ? blocked->value : -EIO;
}

static int read_on_thread(void *arg)
{
    return coir_to_thread(read_plainly, arg);
}

static int write_a_byte(struct blocked *blocked)
{
    return write(blocked->pipe[1], "x", 1) == 1 ? 0 : -EIO;
}

static void open_pipe(struct blocked *blocked)
{
    *blocked = (struct blocked){ .value = 42 };
    cr_assert_eq(pipe(blocked->pipe), 0);
}

static void close_pipe(struct blocked *blocked)
{
    close(blocked->pipe[0]);
    close(blocked->pipe[1]);
}

RunTest(to_thread, gives_the_calls_value_while_others_run)
{
    struct blocked blocked;
    open_pipe(&blocked);
    coir_task *task = coir_create_task(read_on_thread, &blocked);
    yield_until(&blocked.began, 1);
    cr_assert_eq(write_a_byte(&blocked), 0);
    cr_assert_eq(coir_await(task), 42);
    cr_assert_neq(blocked.thread, thread_id());
    close_pipe(&blocked);
    return 0;
}

static int fail(UNUSED void *arg)
{
    return -EXDEV;
}

RunTest(to_thread, gives_the_calls_error)
{
    cr_assert_eq(coir_to_thread(fail, NULL), -EXDEV);
    return 0;
}

RunTest(to_thread, in_a_cancelled_task_runs_nothing)
{
    atomic_int runs = 0;
    coir_cancel(coir_current_task());
    cr_assert_eq(coir_to_thread(count, &runs), -ECANCELED);
    cr_assert_eq(atomic_load(&runs), 0);
    return 0;
}

RunTest(to_thread, past_a_deadline_runs_nothing)
{
    atomic_int runs = 0;
    coir_timeout limit;
    coir_timeout_begin(&limit, 0);
    cr_assert_eq(coir_to_thread(count, &runs), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    cr_assert_eq(atomic_load(&runs), 0);
    return 0;
}

RunTest(to_thread, cancelled_after_it_began_waits_and_gives_the_value)
{
    struct blocked blocked;
    open_pipe(&blocked);
    coir_task *task = coir_create_task(read_on_thread, &blocked);
    yield_until(&blocked.began, 1);
    coir_cancel(task);
    let_them_wait();
    cr_assert_not(coir_task_done(task));
    cr_assert_eq(write_a_byte(&blocked), 0);
    cr_assert_eq(coir_await(task), 42);
    close_pipe(&blocked);
    return 0;
}

static int check_until_told(void *arg)
{
    struct blocked *blocked = arg;
    int rc;
    atomic_store(&blocked->began, 1);
    while ((rc = coir_check()) == 0)
        usleep(100);
    atomic_store(&blocked->told, 1);
    return -ECANCELED;
}

static int check_on_thread(void *arg)
{
    return coir_to_thread(check_until_told, arg);
}

RunTest(to_thread, a_call_learns_by_check_that_it_should_end)
{
    struct blocked blocked = { .value = 0 };
    coir_task *task = coir_create_task(check_on_thread, &blocked);
    yield_until(&blocked.began, 1);
    cr_assert_eq(coir_cancel_await(task), -ECANCELED);
    cr_assert_eq(atomic_load(&blocked.told), 1);
    return 0;
}

RunTest(to_thread, a_call_that_ends_for_a_deadlines_sake_is_etimedout)
{
    struct blocked blocked = { .value = 0 };
    cr_assert_eq(coir_wait_for(coir_create_task(check_on_thread, &blocked), COIR_MILLISECONDS(5)),
                 -ETIMEDOUT);
    return 0;
}

static int count_on_thread(void *arg)
{
    return coir_to_thread(count, arg);
}

static int fill_the_pool(UNUSED void *arg)
{
    struct blocked blocked;
    atomic_int runs = 0;
    open_pipe(&blocked);
    coir_task *first = coir_create_task(read_on_thread, &blocked);
    yield_until(&blocked.began, 1);
    coir_task *second = coir_create_task(count_on_thread, &runs);
    let_them_wait();
    cr_assert_eq(coir_cancel_await(second), -ECANCELED);
    cr_assert_eq(write_a_byte(&blocked), 0);
    cr_assert_eq(coir_await(first), 42);
    cr_assert_eq(atomic_load(&runs), 0);
    cr_assert_eq(coir_to_thread(count, &runs), 0);
    cr_assert_eq(atomic_load(&runs), 1);
    close_pipe(&blocked);
    return 0;
}

Test(to_thread, cancelled_in_the_queue_is_taken_back)
{
    coir_options options = { .blocking_threads = 1 };
    cr_assert_eq(coir_run_with(&options, fill_the_pool, NULL), 0);
}

RunTest(to_thread, of_many_at_once_runs_each_once)
{
    atomic_int runs = 0;
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i < check_scale(2000); i++)
        cr_assert_eq(coir_group_create_task(&group, count_on_thread, &runs), 0);
    cr_assert_eq(coir_group_wait(&group), 0);
    cr_assert_eq(atomic_load(&runs), check_scale(2000));
    return 0;
}

RunTest(to_thread, cancelled_at_random_runs_whole_or_not_at_all)
{
    unsigned seed = 3;
    int succeeded = 0;
    atomic_int runs = 0;
    for (int i = 0; i < check_scale(2000); i++) {
        coir_task *task = coir_create_task(count_on_thread, &runs);
        for (unsigned k = next_random(&seed) % 5; k > 0; k--)
            cr_assert_eq(coir_yield(), 0);
        int rc = coir_cancel_await(task);
        cr_assert(rc == 0 || rc == -ECANCELED);
        succeeded += rc == 0;
    }
    cr_assert_eq(atomic_load(&runs), succeeded);
    return 0;
}

static int run_inside(void *arg)
{
    return coir_run(return_int, arg);
}

RunTest(to_thread, may_run_a_runtime_of_its_own)
{
    int value = 17;
    cr_assert_eq(coir_to_thread(run_inside, &value), 17);
    return 0;
}

Test(to_thread, with_a_negative_number_of_threads_is_einval)
{
    coir_options options = { .blocking_threads = -1 };
    cr_assert_eq(coir_run_with(&options, return_zero, NULL), -EINVAL);
}
