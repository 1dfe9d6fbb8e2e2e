/*
 * Misuse aborts, after one line on stderr that names function and task.
 */
#include <fcntl.h>
#include <pthread.h>

#include "api/forked.h"

/* ------------------------------------------------------------- handles --- */

static int await_twice(UNUSED void *arg)
{
    coir_task *task = coir_create_task(return_zero, NULL);
    coir_await(task);
    return coir_await(task);
}

Test(misuse, await_of_a_task_given_up_already)
{
    expect_abort(await_twice, "coir_await");
}

static int await_a_detached_task(UNUSED void *arg)
{
    coir_task *task = coir_create_task(sleep_forever, NULL);
    coir_detach(task);
    return coir_await(task);
}

Test(misuse, await_of_a_detached_task)
{
    expect_abort(await_a_detached_task, "coir_await");
}

static int await_it(void *task)
{
    return coir_await(task);
}

static int await_from_two_tasks(UNUSED void *arg)
{
    coir_task_options options = { .name = "first" };
    coir_task *task = coir_create_task(sleep_forever, NULL);
    coir_task *first = coir_create_task_with(&options, await_it, task);
    let_them_wait();
    coir_await(task);
    return coir_await(first);
}

Test(misuse, await_by_two_tasks_at_once)
{
    coir_fn *body = await_from_two_tasks;
    struct outcome outcome = in_child(run_culprit_process, &body);
    assert_aborted(&outcome, "coir_await", NULL);
}

static int await_oneself(UNUSED void *arg)
{
    return coir_await(coir_current_task());
}

Test(misuse, await_of_oneself)
{
    expect_abort(await_oneself, "coir_await");
}

static int wait_for_oneself(UNUSED void *arg)
{
    return coir_wait_for(coir_current_task(), COIR_SECONDS(1));
}

Test(misuse, wait_for_oneself)
{
    expect_abort(wait_for_oneself, "coir_wait_for");
}

static int cancel_await_oneself(UNUSED void *arg)
{
    return coir_cancel_await(coir_current_task());
}

Test(misuse, cancel_await_of_oneself)
{
    expect_abort(cancel_await_oneself, "coir_cancel_await");
}

static _Atomic(coir_task *) member;

static int publish_member(UNUSED void *arg)
{
    atomic_store(&member, coir_current_task());
    return coir_sleep(COIR_FOREVER);
}

static coir_task *start_member(coir_group *group)
{
    coir_group_init(group);
    cr_assert_eq(coir_group_create_task(group, publish_member, NULL), 0);
    while (!atomic_load(&member))
        coir_yield();
    return atomic_load(&member);
}

static int await_a_member(UNUSED void *arg)
{
    coir_group group;
    coir_await(start_member(&group));
    return coir_group_wait(&group);
}

Test(misuse, await_of_a_group_member)
{
    expect_abort(await_a_member, "coir_await");
}

static int detach_a_member(UNUSED void *arg)
{
    coir_group group;
    coir_detach(start_member(&group));
    return coir_group_wait(&group);
}

Test(misuse, detach_of_a_group_member)
{
    expect_abort(detach_a_member, "coir_detach");
}

static int detach_twice(UNUSED void *arg)
{
    coir_task *task = coir_create_task(sleep_forever, NULL);
    coir_detach(task);
    coir_detach(task);
    return 0;
}

Test(misuse, detach_of_a_task_given_up_already)
{
    expect_abort(detach_twice, "coir_detach");
}

/* AddressSanitizer keeps locals elsewhere than on the stack. */
#define ON_THE_STACK __attribute__((no_sanitize_address))

ON_THE_STACK static int detach_with_a_local_argument(UNUSED void *arg)
{
    int local = 0;
    coir_detach(coir_create_task(sleep_forever, &local));
    return coir_yield();
}

Test(misuse, detach_of_a_task_whose_argument_lies_on_the_own_stack)
{
    expect_abort(detach_with_a_local_argument, "coir_detach");
}

/* -------------------------------------------------------------- scopes --- */

enum kind { TIMEOUT, SHIELD, SHIELD_FOR, GROUP, KINDS };

struct scope {
    enum kind kind;
    union {
        coir_timeout timeout;
        coir_shield shield;
        coir_group group;
    };
};

static const char *const ends[KINDS] = {
    "coir_timeout_end", "coir_shield_end", "coir_shield_end", "coir_group_wait",
};

static void begin(struct scope *scope, enum kind kind)
{
    scope->kind = kind;
    if (kind == TIMEOUT)
        coir_timeout_begin(&scope->timeout, COIR_SECONDS(1000));
    else if (kind == SHIELD)
        coir_shield_begin(&scope->shield);
    else if (kind == SHIELD_FOR)
        coir_shield_begin_for(&scope->shield, COIR_SECONDS(1000));
    else
        coir_group_init(&scope->group);
}

static int end(void *arg)
{
    struct scope *scope = arg;
    if (scope->kind == TIMEOUT)
        return coir_timeout_end(&scope->timeout);
    if (scope->kind == GROUP)
        return coir_group_wait(&scope->group);
    coir_shield_end(&scope->shield);
    return 0;
}

/* What the culprit is to do wrong. */
static struct {
    enum kind kind, inner;
    unsigned call;
} wrong;

ON_THE_STACK static NOINLINE void leave_open(void)
{
    struct scope scope;
    begin(&scope, wrong.kind);
    coir_yield();
    __asm__ volatile("" : : "r"(&scope) : "memory");
}

/* AddressSanitizer keeps variables whose address is taken in frames of its own,
   not on the stack: there their address does not tell that the function is over. */
#ifndef CHECK_ASAN
static void yield(void)
{
    coir_yield();
}

static void sleep_a_moment(void)
{
    coir_sleep(COIR_MILLISECONDS(1));
}

static void check(void)
{
    coir_check();
}

static void begin_and_end(void)
{
    struct scope scope;
    begin(&scope, TIMEOUT);
    end(&scope);
}

static void wait_for_a_group(void)
{
    struct scope scope;
    begin(&scope, GROUP);
    end(&scope);
}

static void gather(void)
{
    coir_gather(COIR_CALL(return_zero, NULL));
}

static void wait_for_any(void)
{
    coir_task *none = NULL;
    coir_wait_any(&none, 1);
}

static void await_a_future(void)
{
    coir_future future;
    coir_future_init(&future);
    coir_future_set(&future, NULL);
    coir_future_await(&future, NULL);
}

static void call_a_thread(void)
{
    coir_to_thread(return_zero, NULL);
}

static void read_nothing(void)
{
    coir_read(-1, NULL, 0);
}

static void (*const noticing[])(void) = {
    sleep_a_moment, yield, check, begin_and_end, wait_for_a_group, gather, wait_for_any,
    await_a_future, call_a_thread, read_nothing,
};

/* Below all frames that are to come. */
ON_THE_STACK static NOINLINE void leave_open_far_down(void)
{
    char frame[4096];
    leave_open();
    __asm__ volatile("" : : "r"(frame) : "memory");
}

static int leave_open_then_call(UNUSED void *arg)
{
    leave_open_far_down();
    noticing[wrong.call]();
    _exit(1);
}

Test(misuse, suspending_after_a_function_left_a_scope_open)
{
    for (wrong.kind = 0; wrong.kind < KINDS; wrong.kind++)
        expect_abort(leave_open_then_call, "left open");
}

Test(misuse, any_call_after_a_function_left_a_scope_open)
{
    for (wrong.call = 0; wrong.call < LENGTH(noticing); wrong.call++)
        expect_abort(leave_open_then_call, "left open");
}
#endif

/* The second time it lies where it lay the first time. */
ON_THE_STACK static int leave_open_twice(UNUSED void *arg)
{
    for (int i = 0; i < 2; i++)
        leave_open();
    return coir_sleep(COIR_MILLISECONDS(1));
}

Test(misuse, leaving_a_scope_open_again_and_again)
{
    for (wrong.kind = 0; wrong.kind < KINDS; wrong.kind++)
        expect_abort(leave_open_twice, "left open");
}

static int leave_open_then_return(UNUSED void *arg)
{
    leave_open();
    return 0;
}

Test(misuse, returning_with_a_scope_open)
{
    for (wrong.kind = 0; wrong.kind < KINDS; wrong.kind++)
        expect_abort(leave_open_then_return, "left open");
}

static int give_up_a_culprit(UNUSED void *arg)
{
    coir_task_options options = { .name = "culprit" };
    coir_detach(coir_create_task_with(&options, leave_open_then_return, NULL));
    return coir_sleep(COIR_FOREVER);
}

static int have_a_culprit_as_member(UNUSED void *arg)
{
    coir_task_options options = { .name = "culprit" };
    coir_group group;
    coir_group_init(&group);
    coir_group_create_task_with(&group, &options, leave_open_then_return, NULL);
    return coir_group_wait(&group);
}

static int return_with_a_scope_open(UNUSED void *arg)
{
    struct scope scope;
    begin(&scope, wrong.kind);
    return coir_yield();
}

static void expect_abort_in(coir_fn *body, const char *function, const char *task)
{
    struct outcome outcome = in_child(run_culprit_process, &body);
    assert_aborted(&outcome, function, task);
}

Test(misuse, a_task_that_is_not_awaited_returns_with_a_scope_open)
{
    for (wrong.kind = 0; wrong.kind < KINDS; wrong.kind++) {
        expect_abort_in(give_up_a_culprit, "left open", "culprit");
        expect_abort_in(have_a_culprit_as_member, "left open", "culprit");
    }
}

Test(misuse, a_task_that_has_suspended_returns_with_a_scope_open)
{
    for (wrong.kind = 0; wrong.kind < KINDS; wrong.kind++)
        expect_abort(return_with_a_scope_open, "left open");
}

static int end_the_outer_first(UNUSED void *arg)
{
    struct scope outer, inner;
    begin(&outer, wrong.kind);
    begin(&inner, wrong.inner);
    end(&outer);
    return end(&inner);
}

Test(misuse, end_of_any_outer_scope_before_any_inner)
{
    for (wrong.kind = 0; wrong.kind < KINDS; wrong.kind++)
        for (wrong.inner = 0; wrong.inner < KINDS; wrong.inner++)
            expect_abort(end_the_outer_first, ends[wrong.kind]);
}

static int cancel_wait_around_a_shield(UNUSED void *arg)
{
    struct scope outer, inner;
    begin(&outer, GROUP);
    begin(&inner, SHIELD);
    return coir_group_cancel_wait(&outer.group);
}

Test(misuse, group_cancel_wait_around_an_open_shield)
{
    expect_abort(cancel_wait_around_a_shield, "coir_group_cancel_wait");
}

static int end_a_timeout_twice(UNUSED void *arg)
{
    coir_timeout limit;
    coir_timeout_begin(&limit, COIR_SECONDS(1000));
    coir_timeout_end(&limit);
    return coir_timeout_end(&limit);
}

Test(misuse, timeout_end_twice)
{
    expect_abort(end_a_timeout_twice, "coir_timeout_end");
}

static int end_a_shield_twice(UNUSED void *arg)
{
    coir_shield shield;
    coir_shield_begin(&shield);
    coir_shield_end(&shield);
    coir_shield_end(&shield);
    return 0;
}

Test(misuse, shield_end_twice)
{
    expect_abort(end_a_shield_twice, "coir_shield_end");
}

static int wait_for_a_group_twice(UNUSED void *arg)
{
    coir_group group;
    coir_group_init(&group);
    coir_group_wait(&group);
    return coir_group_wait(&group);
}

Test(misuse, group_wait_twice)
{
    expect_abort(wait_for_a_group_twice, "coir_group_wait");
}

static int create_in_a_closed_group(UNUSED void *arg)
{
    coir_group group;
    coir_group_init(&group);
    coir_group_wait(&group);
    return coir_group_create_task(&group, return_zero, NULL);
}

Test(misuse, group_create_task_after_group_wait)
{
    expect_abort(create_in_a_closed_group, "coir_group_create_task");
}

/* What belongs to the culprit, in another task's hands. */
static int hand_over(coir_fn *fn, void *scope)
{
    coir_task_options options = { .name = "thief" };
    return coir_await(coir_create_task_with(&options, fn, scope));
}

static int hand_over_a_scope(UNUSED void *arg)
{
    struct scope scope;
    begin(&scope, wrong.kind);
    hand_over(end, &scope);
    return end(&scope);
}

Test(misuse, end_of_any_scope_by_another_task)
{
    for (wrong.kind = 0; wrong.kind < KINDS; wrong.kind++)
        expect_abort_in(hand_over_a_scope, ends[wrong.kind], "thief");
}

static int reschedule(void *timeout)
{
    coir_timeout_reschedule(timeout, COIR_FOREVER);
    return 0;
}

static int hand_over_reschedule(UNUSED void *arg)
{
    struct scope scope;
    begin(&scope, TIMEOUT);
    hand_over(reschedule, &scope.timeout);
    return end(&scope);
}

Test(misuse, timeout_reschedule_by_another_task)
{
    expect_abort_in(hand_over_reschedule, "coir_timeout_reschedule", "thief");
}

static int cancel_wait(void *group)
{
    return coir_group_cancel_wait(group);
}

static int hand_over_cancel_wait(UNUSED void *arg)
{
    struct scope scope;
    begin(&scope, GROUP);
    hand_over(cancel_wait, &scope.group);
    return end(&scope);
}

Test(misuse, group_cancel_wait_by_another_task)
{
    expect_abort_in(hand_over_cancel_wait, "coir_group_cancel_wait", "thief");
}

/* ------------------------------------------- locks, queues and select --- */

static int unlock_what_nobody_holds(UNUSED void *arg)
{
    coir_mutex mutex = { 0 };
    coir_mutex_unlock(&mutex);
    return 0;
}

static int unlock_twice(UNUSED void *arg)
{
    coir_mutex mutex = COIR_MUTEX_FIFO;
    coir_mutex_lock(&mutex);
    coir_mutex_unlock(&mutex);
    coir_mutex_unlock(&mutex);
    return 0;
}

Test(misuse, mutex_unlock_of_what_nobody_holds)
{
    expect_abort(unlock_what_nobody_holds, "coir_mutex_unlock");
    expect_abort(unlock_twice, "coir_mutex_unlock");
}

static int unlock_what_is_neither_read_nor_written(UNUSED void *arg)
{
    coir_rwlock lock = { { 0 } };
    coir_rwlock_read_lock(&lock);
    coir_rwlock_unlock(&lock);
    coir_rwlock_unlock(&lock);
    return 0;
}

Test(misuse, rwlock_unlock_of_what_nobody_holds)
{
    expect_abort(unlock_what_is_neither_read_nor_written, "coir_rwlock_unlock");
}

static int wait_without_the_mutex(UNUSED void *arg)
{
    coir_cond cond = { { 0 } };
    coir_mutex mutex = { 0 };
    return coir_cond_wait(&cond, &mutex);
}

static int wait_with_it(void *mutex)
{
    coir_cond cond = { { 0 } };
    return coir_cond_wait(&cond, mutex);
}

static int wait_with_anothers_mutex(UNUSED void *arg)
{
    coir_mutex mutex = { 0 };
    coir_task_options options = { .name = "thief" };
    coir_mutex_lock(&mutex);
    return coir_await(coir_create_task_with(&options, wait_with_it, &mutex));
}

Test(misuse, cond_wait_without_the_mutex)
{
    expect_abort(wait_without_the_mutex, "coir_cond_wait");
    expect_abort_in(wait_with_anothers_mutex, "coir_cond_wait", "thief");
}

static int release_too_often(UNUSED void *arg)
{
    coir_semaphore places = COIR_SEMAPHORE_BOUNDED(2);
    coir_semaphore_acquire(&places);
    coir_semaphore_release(&places);
    coir_semaphore_release(&places);
    return 0;
}

Test(misuse, semaphore_release_of_more_than_there_is)
{
    expect_abort(release_too_often, "coir_semaphore_release");
}

static int bound_to_nothing(UNUSED void *arg)
{
    coir_semaphore places;
    coir_semaphore_init_bounded(&places, 0);
    return 0;
}

Test(misuse, semaphore_init_bounded_without_places)
{
    expect_abort(bound_to_nothing, "coir_semaphore_init_bounded");
}

static int make_a_barrier_for_nobody(UNUSED void *arg)
{
    coir_barrier barrier;
    coir_barrier_init(&barrier, 0);
    return 0;
}

Test(misuse, barrier_init_for_nobody)
{
    expect_abort(make_a_barrier_for_nobody, "coir_barrier_init");
}

static int run_it_again(void *once)
{
    return coir_once_run(once, run_it_again, once);
}

static int run_once_in_itself(UNUSED void *arg)
{
    coir_once once = { { 0 } };
    return run_it_again(&once);
}

Test(misuse, once_run_by_what_it_runs)
{
    expect_abort(run_once_in_itself, "coir_once_run");
}

static int get_from(void *queue)
{
    char item;
    return coir_queue_get(queue, &item);
}

static int put_into(void *queue)
{
    return coir_queue_put(queue, "x");
}

static int join_it(void *queue)
{
    return coir_queue_join(queue);
}

/* With one worker, who is let run before waits then. */
static int destroy_with(coir_fn *fn, bool full)
{
    coir_queue queue;
    cr_assert_eq(coir_queue_init(&queue, 1, 1), 0);
    if (full)
        cr_assert_eq(coir_queue_put(&queue, "x"), 0);
    coir_task *task = coir_create_task(fn, &queue);
    let_all_wait();
    coir_queue_destroy(&queue);
    return coir_await(task);
}

static int destroy_with_a_getter(UNUSED void *arg)
{
    return destroy_with(get_from, false);
}

static int destroy_with_a_putter(UNUSED void *arg)
{
    return destroy_with(put_into, true);
}

static int destroy_with_one_that_joins(UNUSED void *arg)
{
    return destroy_with(join_it, true);
}

Test(misuse, queue_destroy_with_tasks_that_wait)
{
    setenv("COIR_WORKERS", "1", 1);
    expect_abort(destroy_with_a_getter, "coir_queue_destroy");
    expect_abort(destroy_with_a_putter, "coir_queue_destroy");
    expect_abort(destroy_with_one_that_joins, "coir_queue_destroy");
}

static int select_from_what_is_no_case(UNUSED void *arg)
{
    coir_select_case cases[2] = { { 0 } };
    cases[1].kind_ = 99;
    return coir_select(cases, 2);
}

static int try_what_is_no_case(UNUSED void *arg)
{
    coir_select_case cases[2] = { { 0 } };
    cases[1].kind_ = -1;
    return coir_try_select(cases, 2);
}

Test(misuse, select_from_what_is_no_case)
{
    expect_abort(select_from_what_is_no_case, "coir_select");
    expect_abort(try_what_is_no_case, "coir_try_select");
}

static int select_oneself(UNUSED void *arg)
{
    coir_select_case self = coir_select_task(coir_current_task());
    return coir_select(&self, 1);
}

static int select_a_task_given_up(UNUSED void *arg)
{
    coir_task *task = coir_create_task(sleep_forever, NULL);
    coir_select_case which = coir_select_task(task);
    coir_detach(task);
    return coir_select(&which, 1);
}

static int select_a_member(UNUSED void *arg)
{
    coir_group group;
    coir_select_case which = coir_select_task(start_member(&group));
    coir_select(&which, 1);
    return coir_group_wait(&group);
}

Test(misuse, select_of_a_task_that_cannot_be_awaited)
{
    expect_abort(select_oneself, "coir_select");
    expect_abort(select_a_task_given_up, "coir_select");
    expect_abort(select_a_member, "coir_select");
}

/* ------------------------------------------------------ outside a task --- */

static struct {
    coir_timeout timeout;
    coir_shield shield;
    coir_group group;
    coir_group_options options;
    coir_future future;
    coir_mutex mutex;
    coir_rwlock rwlock;
    coir_cond cond;
    coir_event event;
    coir_semaphore places;
    coir_barrier barrier;
    coir_once once;
    coir_queue queue;
    coir_select_case choice;
    coir_task *task;
    coir_call call;
    char buf[8];
    size_t done;
} own = { .call = { return_zero, NULL, 0 } };

#define OUTSIDE(name, call)                                                  \
    static void name##_outside(UNUSED void *arg)                             \
    {                                                                        \
        __auto_type unused = (call);                                         \
        (void)unused;                                                        \
    }
#define OUTSIDE_VOID(name, call)                                             \
    static void name##_outside(UNUSED void *arg)                             \
    {                                                                        \
        call;                                                                \
    }

OUTSIDE(coir_create_task, coir_create_task(return_zero, NULL))
OUTSIDE(coir_create_task_copy, coir_create_task_copy(return_zero, own.buf, 1))
OUTSIDE(coir_create_task_with, coir_create_task_with(NULL, return_zero, NULL))
OUTSIDE(coir_yield, coir_yield())
OUTSIDE(coir_check, coir_check())
OUTSIDE(coir_deadline, coir_deadline())
OUTSIDE(coir_sleep, coir_sleep(0))
OUTSIDE(coir_sleep_until, coir_sleep_until(0))
OUTSIDE(coir_gather_array, coir_gather_array(&own.call, 1))
OUTSIDE(coir_gather_all, coir_gather_all(&own.call, 1))
OUTSIDE_VOID(coir_group_init, coir_group_init(&own.group))
OUTSIDE_VOID(coir_group_init_with, coir_group_init_with(&own.group, &own.options))
OUTSIDE(coir_race, coir_race(&own.call, 1))
OUTSIDE(coir_wait_any, coir_wait_any(&own.task, 1))
OUTSIDE(coir_future_await, coir_future_await(&own.future, NULL))
OUTSIDE(coir_local_get, coir_local_get(0))
OUTSIDE(coir_local_set, coir_local_set(0, NULL))
OUTSIDE(coir_to_thread, coir_to_thread(return_zero, NULL))
OUTSIDE(coir_wait_fd, coir_wait_fd(0, 1))
OUTSIDE_VOID(coir_shield_begin_for, coir_shield_begin_for(&own.shield, 1))
OUTSIDE_VOID(coir_shield_begin, coir_shield_begin(&own.shield))
OUTSIDE_VOID(coir_timeout_begin, coir_timeout_begin(&own.timeout, 1))
OUTSIDE_VOID(coir_timeout_begin_at, coir_timeout_begin_at(&own.timeout, 1))
OUTSIDE(coir_mutex_lock, coir_mutex_lock(&own.mutex))
OUTSIDE_VOID(coir_mutex_lock_always, coir_mutex_lock_always(&own.mutex))
OUTSIDE(coir_rwlock_read_lock, coir_rwlock_read_lock(&own.rwlock))
OUTSIDE(coir_rwlock_write_lock, coir_rwlock_write_lock(&own.rwlock))
OUTSIDE(coir_cond_wait, coir_cond_wait(&own.cond, &own.mutex))
OUTSIDE(coir_event_wait, coir_event_wait(&own.event))
OUTSIDE(coir_semaphore_acquire, coir_semaphore_acquire(&own.places))
OUTSIDE(coir_barrier_wait, coir_barrier_wait(&own.barrier))
OUTSIDE(coir_once_run, coir_once_run(&own.once, return_zero, NULL))
OUTSIDE(coir_queue_put, coir_queue_put(&own.queue, own.buf))
OUTSIDE(coir_queue_get, coir_queue_get(&own.queue, own.buf))
OUTSIDE(coir_queue_put_many, coir_queue_put_many(&own.queue, own.buf, 1))
OUTSIDE(coir_queue_get_many, coir_queue_get_many(&own.queue, own.buf, 1))
OUTSIDE(coir_queue_join, coir_queue_join(&own.queue))
OUTSIDE(coir_select, coir_select(&own.choice, 1))
OUTSIDE(coir_try_select, coir_try_select(&own.choice, 1))
OUTSIDE(coir_read, coir_read(0, own.buf, 1))
OUTSIDE(coir_write, coir_write(1, own.buf, 1))
OUTSIDE(coir_read_exact, coir_read_exact(0, own.buf, 1, NULL))
OUTSIDE(coir_write_all, coir_write_all(1, own.buf, 1))
OUTSIDE(coir_write_all_from, coir_write_all_from(1, own.buf, 1, &own.done))
OUTSIDE(coir_close, coir_close(0))
OUTSIDE(coir_open, coir_open("/dev/null", O_RDONLY, 0))
OUTSIDE(coir_listen, coir_listen("127.0.0.1", "0"))
OUTSIDE(coir_accept, coir_accept(0))
OUTSIDE(coir_connect, coir_connect("127.0.0.1", "1"))

struct outside {
    const char *function;
    void (*call)(void *);
};

#define CALL(name) { #name, name##_outside }

static void expect_aborts_outside(const struct outside *calls, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct outcome outcome = in_child(calls[i].call, NULL);
        assert_aborted(&outcome, calls[i].function, NULL);
    }
}

Test(misuse, task_calls_outside_a_task)
{
    static const struct outside calls[] = {
        CALL(coir_create_task),  CALL(coir_create_task_copy), CALL(coir_create_task_with),
        CALL(coir_yield),        CALL(coir_check),            CALL(coir_gather_array),
        CALL(coir_gather_all),   CALL(coir_group_init),       CALL(coir_shield_begin),
        CALL(coir_race),         CALL(coir_group_init_with),  CALL(coir_shield_begin_for),
        CALL(coir_wait_any),     CALL(coir_future_await),     CALL(coir_to_thread),
        CALL(coir_local_get),    CALL(coir_local_set),
    };
    expect_aborts_outside(calls, LENGTH(calls));
}

Test(misuse, time_calls_outside_a_task)
{
    static const struct outside calls[] = {
        CALL(coir_sleep),
        CALL(coir_sleep_until),
        CALL(coir_timeout_begin),
        CALL(coir_timeout_begin_at),
        CALL(coir_deadline),
    };
    expect_aborts_outside(calls, LENGTH(calls));
}

Test(misuse, sync_calls_outside_a_task)
{
    static const struct outside calls[] = {
        CALL(coir_mutex_lock),        CALL(coir_mutex_lock_always), CALL(coir_rwlock_read_lock),
        CALL(coir_rwlock_write_lock), CALL(coir_cond_wait),         CALL(coir_event_wait),
        CALL(coir_semaphore_acquire), CALL(coir_barrier_wait),      CALL(coir_once_run),
        CALL(coir_queue_put),         CALL(coir_queue_get),         CALL(coir_queue_put_many),
        CALL(coir_queue_get_many),    CALL(coir_queue_join),        CALL(coir_select),
        CALL(coir_try_select),
    };
    expect_aborts_outside(calls, LENGTH(calls));
}

Test(misuse, io_calls_outside_a_task)
{
    static const struct outside calls[] = {
        CALL(coir_read),          CALL(coir_write), CALL(coir_read_exact), CALL(coir_write_all),
        CALL(coir_write_all_from), CALL(coir_close), CALL(coir_open),       CALL(coir_listen),
        CALL(coir_accept),        CALL(coir_connect), CALL(coir_wait_fd),
    };
    expect_aborts_outside(calls, LENGTH(calls));
}

/* What needs something from inside a run is called by a thread that a task
   has started. */
static void *call_in_a_thread(void *call)
{
    (*(void (**)(void *))call)(NULL);
    return NULL;
}

static struct {
    coir_timeout *timeout;
    coir_shield *shield;
    coir_group *group;
    coir_task *task;
} lent;

static int lend_to_a_thread(void *call)
{
    coir_timeout timeout;
    coir_shield shield;
    coir_group group;
    coir_timeout_begin(&timeout, COIR_SECONDS(1000));
    coir_shield_begin(&shield);
    coir_group_init(&group);
    lent.timeout = &timeout;
    lent.shield = &shield;
    lent.group = &group;
    lent.task = coir_create_task(sleep_forever, NULL);

    pthread_t thread;
    pthread_create(&thread, NULL, call_in_a_thread, call);
    pthread_join(thread, NULL);
    _exit(1);
}

static void run_and_lend(void *call)
{
    coir_run(lend_to_a_thread, call);
}

OUTSIDE(coir_await, coir_await(lent.task))
OUTSIDE(coir_wait_for, coir_wait_for(lent.task, COIR_SECONDS(1)))
OUTSIDE(coir_cancel_await, coir_cancel_await(lent.task))
OUTSIDE(coir_group_wait, coir_group_wait(lent.group))
OUTSIDE(coir_group_cancel_wait, coir_group_cancel_wait(lent.group))
OUTSIDE_VOID(coir_shield_end, coir_shield_end(lent.shield))
OUTSIDE(coir_timeout_end, coir_timeout_end(lent.timeout))
OUTSIDE_VOID(coir_timeout_reschedule, coir_timeout_reschedule(lent.timeout, 1))

Test(misuse, calls_on_a_tasks_things_from_a_foreign_thread)
{
    static const struct outside calls[] = {
        CALL(coir_await),
        CALL(coir_wait_for),
        CALL(coir_cancel_await),
        CALL(coir_group_wait),
        CALL(coir_group_cancel_wait),
        CALL(coir_shield_end),
        CALL(coir_timeout_end),
        CALL(coir_timeout_reschedule),
    };
    for (size_t i = 0; i < LENGTH(calls); i++) {
        void (*call)(void *) = calls[i].call;
        struct outcome outcome = in_child(run_and_lend, &call);
        assert_aborted(&outcome, calls[i].function, NULL);
    }
}
