/*
 * coir_await and coir_wait_for: values, and what a cancelled or late caller
 * gets.
 */
#include <limits.h>

#include "api/in_run.h"

RunTest(await, returns_the_value)
{
    int values[] = { 0, 1, 42, INT_MAX };
    for (size_t i = 0; i < LENGTH(values); i++)
        cr_assert_eq(coir_await(coir_create_task(return_int, &values[i])), values[i]);
    return 0;
}

RunTest(await, returns_the_error)
{
    int errors[] = { -1, -EIO, -ETIMEDOUT, -ECANCELED, -20002 };
    for (size_t i = 0; i < LENGTH(errors); i++)
        cr_assert_eq(coir_await(coir_create_task(return_int, &errors[i])), errors[i]);
    return 0;
}

RunTest(await, of_null_is_enomem)
{
    cr_assert_eq(coir_await(NULL), -ENOMEM);
    cr_assert_eq(coir_wait_for(NULL, COIR_SECONDS(1)), -ENOMEM);
    cr_assert_eq(coir_cancel_await(NULL), -ENOMEM);
    return 0;
}

RunTest(await, of_a_task_that_has_ended_returns_its_value)
{
    int value = 9;
    coir_task *task = coir_create_task(return_int, &value);
    while (!coir_task_done(task))
        cr_assert_eq(coir_yield(), 0);
    cr_assert_eq(coir_await(task), 9);
    return 0;
}

static int yield_then_return(void *arg)
{
    for (int i = 0; i < 10; i++)
        if (coir_yield() < 0)
            return -EINTR;
    return *(int *)arg;
}

RunTest(await, of_a_task_that_runs_already_returns_its_value)
{
    int value = 8;
    coir_task *task = coir_create_task(yield_then_return, &value);
    cr_assert_eq(coir_yield(), 0);
    cr_assert_eq(coir_await(task), 8);
    return 0;
}

RunTest(await, in_any_order)
{
    enum { N = 100 };
    int values[N];
    coir_task *tasks[N];
    for (int i = 0; i < N; i++) {
        values[i] = i;
        tasks[i] = coir_create_task(yield_then_return, &values[i]);
    }
    for (int i = 0; i < N; i++) {
        int k = i * 37 % N;
        cr_assert_eq(coir_await(tasks[k]), k);
    }
    return 0;
}

struct square {
    int in;
    int out[100];
};

static int compute_square(void *arg)
{
    struct square *square = arg;
    for (size_t i = 0; i < LENGTH(square->out); i++)
        square->out[i] = square->in * square->in;
    return 0;
}

RunTest(await, happens_after_everything_the_task_wrote)
{
    for (int round = 0; round < check_scale(2000); round++) {
        struct square squares[4];
        coir_task *tasks[4];
        for (int i = 0; i < 4; i++) {
            squares[i].in = round + i;
            tasks[i] = coir_create_task(compute_square, &squares[i]);
        }
        for (int i = 0; i < 4; i++) {
            cr_assert_eq(coir_await(tasks[i]), 0);
            cr_assert_eq(squares[i].out[99], (round + i) * (round + i));
        }
    }
    return 0;
}

static int await_handle(void *arg)
{
    return coir_await(*(coir_task **)arg);
}

RunTest(await, by_another_task_than_the_creator)
{
    int value = 21;
    coir_task *task = coir_create_task(yield_then_return, &value);
    coir_task *waiter = coir_create_task(await_handle, &task);
    cr_assert_eq(coir_await(waiter), 21);
    return 0;
}

RunTest(await, after_the_creator_went_through_many_suspensions)
{
    for (int i = 0; i < check_scale(500); i++) {
        coir_task *task = coir_create_task(yield_then_return, &i);
        for (int k = 0; k < i % 20; k++)
            cr_assert_eq(coir_yield(), 0);
        cr_assert_eq(coir_await(task), i);
    }
    return 0;
}

/* ---------------------------------------------------------- cancelled --- */

/* What a task does that is awaited by a task that is then cancelled, and what
   was seen of it. */
struct scene {
    coir_fn *child;
    atomic_int started;
    atomic_int told;      /* the child was refused a call with -ECANCELED */
    atomic_int cleaned;   /* and did its clean-up before it returned */
    int awaited;          /* what coir_await() gave the parent */
    int next_call;        /* what the parent's next call gave */
};

static int sleep_and_clean_up(void *arg)
{
    struct scene *scene = arg;
    atomic_store(&scene->started, 1);
    int rc = coir_sleep(COIR_FOREVER);
    atomic_store(&scene->told, rc == -ECANCELED);

    coir_shield shield;
    coir_shield_begin(&shield);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(coir_yield(), 0);
    coir_shield_end(&shield);
    atomic_store(&scene->cleaned, 1);
    return rc;
}

static int sleep_and_succeed(void *arg)
{
    sleep_and_clean_up(arg);
    return 5;
}

static int sleep_and_fail(void *arg)
{
    sleep_and_clean_up(arg);
    return -EIO;
}

static int await_child(void *arg)
{
    struct scene *scene = arg;
    scene->awaited = coir_await(coir_create_task(scene->child, scene));
    scene->next_call = coir_yield();
    return scene->awaited;
}

static void cancel_the_parent(struct scene *scene)
{
    coir_task *parent = coir_create_task(await_child, scene);
    yield_until(&scene->started, 1);
    coir_cancel(parent);
    cr_assert_eq(coir_await(parent), scene->awaited);
    cr_assert_eq(atomic_load(&scene->told), 1);
    cr_assert_eq(atomic_load(&scene->cleaned), 1, "await returned before the child had ended");
    cr_assert_eq(scene->next_call, -ECANCELED);
}

RunTest(await, passes_a_cancel_on_and_still_waits)
{
    struct scene scene = { .child = sleep_and_clean_up };
    cancel_the_parent(&scene);
    cr_assert_eq(scene.awaited, -ECANCELED);
    return 0;
}

RunTest(await, of_a_child_that_succeeds_though_cancelled_keeps_its_value)
{
    struct scene scene = { .child = sleep_and_succeed };
    cancel_the_parent(&scene);
    cr_assert_eq(scene.awaited, 5);
    return 0;
}

RunTest(await, of_a_child_that_fails_though_cancelled_keeps_its_error)
{
    struct scene scene = { .child = sleep_and_fail };
    cancel_the_parent(&scene);
    cr_assert_eq(scene.awaited, -EIO);
    return 0;
}

RunTest(await, entered_while_cancelled_runs_the_child_and_tells_it)
{
    struct scene scene = { .child = sleep_and_clean_up };
    coir_cancel(coir_current_task());
    cr_assert_eq(coir_await(coir_create_task(scene.child, &scene)), -ECANCELED);
    cr_assert_eq(atomic_load(&scene.told), 1);
    cr_assert_eq(atomic_load(&scene.cleaned), 1);
    return 0;
}

RunTest(await, entered_while_cancelled_returns_the_value_of_a_task_that_has_ended)
{
    int value = 6;
    coir_task *task = coir_create_task(return_int, &value);
    while (!coir_task_done(task))
        cr_assert_eq(coir_yield(), 0);
    coir_cancel(coir_current_task());
    cr_assert_eq(coir_await(task), 6);
    cr_assert_eq(coir_yield(), -ECANCELED);
    return 0;
}

RunTest(await, that_returned_before_the_cancel_keeps_its_value)
{
    int value = 7;
    cr_assert_eq(coir_await(coir_create_task(return_int, &value)), 7);
    coir_cancel(coir_current_task());
    cr_assert_eq(coir_yield(), -ECANCELED);
    return 0;
}

static int return_echild_if_cancelled(UNUSED void *arg)
{
    return coir_sleep(COIR_FOREVER) == -ECANCELED ? -ECHILD : 0;
}

RunTest(await, of_a_cancelled_child_does_not_cancel_the_caller)
{
    coir_task *child = coir_create_task(sleep_forever, NULL);
    coir_cancel(child);
    cr_assert_eq(coir_await(child), -ECANCELED);
    cr_assert_eq(coir_yield(), 0);
    return 0;
}

struct link {
    int depth;
    atomic_int *started;
    atomic_int *told;
};

static int sleep_at_the_end_of_a_chain(void *arg)
{
    struct link *link = arg;
    int rc;
    if (link->depth > 0) {
        struct link next = { link->depth - 1, link->started, link->told };
        rc = coir_await(coir_create_task(sleep_at_the_end_of_a_chain, &next));
    } else {
        atomic_store(link->started, 1);
        rc = coir_sleep(COIR_FOREVER);
    }
    atomic_fetch_add(link->told, coir_yield() == -ECANCELED);
    return rc;
}

RunTest(await, passes_a_cancel_down_a_chain)
{
    for (int depth = 0; depth < 200; depth += depth < 5 ? 1 : 39) {
        atomic_int started = 0, told = 0;
        struct link top = { depth, &started, &told };
        coir_task *task = coir_create_task(sleep_at_the_end_of_a_chain, &top);
        yield_until(&started, 1);
        coir_cancel(task);
        cr_assert_eq(coir_await(task), -ECANCELED);
        cr_assert_eq(atomic_load(&told), depth + 1);
    }
    return 0;
}

/* ------------------------------------------------------------- too late --- */

RunTest(await, past_a_deadline_cancels_the_child_and_returns_etimedout)
{
    atomic_int told = 0;
    coir_timeout limit;
    coir_timeout_begin(&limit, COIR_MILLISECONDS(2));
    cr_assert_eq(coir_await(coir_create_task(count_cancel, &told)), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    cr_assert_eq(atomic_load(&told), 1, "the child is cancelled, not late itself");
    cr_assert_eq(coir_yield(), 0);
    return 0;
}

RunTest(await, past_a_deadline_keeps_the_value_of_a_child_that_succeeds)
{
    struct scene scene = { .child = sleep_and_succeed };
    coir_timeout limit;
    coir_timeout_begin(&limit, COIR_MILLISECONDS(2));
    cr_assert_eq(coir_await(coir_create_task(scene.child, &scene)), 5);
    cr_assert_eq(coir_yield(), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    return 0;
}

RunTest(await, inside_a_shield_does_not_pass_the_cancel_on)
{
    int value = 4;
    coir_shield shield;
    coir_shield_begin(&shield);
    coir_cancel(coir_current_task());
    cr_assert_eq(coir_await(coir_create_task(yield_then_return, &value)), 4);
    coir_shield_end(&shield);
    cr_assert_eq(coir_yield(), -ECANCELED);
    return 0;
}

/* ------------------------------------------------------- cancel_await --- */

RunTest(cancel_await, ends_a_sleeper)
{
    atomic_int told = 0;
    coir_task *task = coir_create_task(count_cancel, &told);
    let_them_wait();
    cr_assert_eq(coir_cancel_await(task), -ECANCELED);
    cr_assert_eq(atomic_load(&told), 1);
    cr_assert_eq(coir_yield(), 0, "the caller itself is not cancelled");
    return 0;
}

RunTest(cancel_await, of_a_task_that_has_ended_returns_its_value)
{
    int value = 12;
    coir_task *task = coir_create_task(return_int, &value);
    while (!coir_task_done(task))
        cr_assert_eq(coir_yield(), 0);
    cr_assert_eq(coir_cancel_await(task), 12);
    return 0;
}

RunTest(cancel_await, of_a_task_that_has_not_started_runs_it_and_tells_it)
{
    atomic_int told = 0;
    cr_assert_eq(coir_cancel_await(coir_create_task(count_cancel, &told)), -ECANCELED);
    cr_assert_eq(atomic_load(&told), 1);
    return 0;
}

RunTest(cancel_await, returns_the_error_that_the_task_makes_of_it)
{
    coir_task *task = coir_create_task(return_echild_if_cancelled, NULL);
    cr_assert_eq(coir_cancel_await(task), -ECHILD);
    return 0;
}

RunTest(cancel_await, works_in_a_cancelled_task)
{
    struct scene scene = { .child = sleep_and_clean_up };
    coir_task *task = coir_create_task(scene.child, &scene);
    yield_until(&scene.started, 1);
    coir_cancel(coir_current_task());
    cr_assert_eq(coir_cancel_await(task), -ECANCELED);
    cr_assert_eq(atomic_load(&scene.cleaned), 1);
    return 0;
}

struct held_back {
    struct scene scene;
    atomic_int go;
};

static int succeed_once_let_go(void *arg)
{
    struct held_back *held_back = arg;
    atomic_store(&held_back->scene.started, 1);
    atomic_store(&held_back->scene.told, coir_sleep(COIR_FOREVER) == -ECANCELED);

    coir_shield shield;
    coir_shield_begin(&shield);
    yield_until(&held_back->go, 1);
    coir_shield_end(&shield);
    return 5;
}

static int cancel_await_scene(void *arg)
{
    struct scene *scene = arg;
    coir_task *task = coir_create_task(scene->child, scene);
    scene->awaited = coir_cancel_await(task);
    scene->next_call = coir_yield();
    return 0;
}

RunTest(cancel_await, goes_on_waiting_when_cancelled_meanwhile)
{
    struct held_back held_back = { .scene.child = succeed_once_let_go };
    struct scene *scene = &held_back.scene;
    coir_task *parent = coir_create_task(cancel_await_scene, scene);
    yield_until(&scene->started, 1);
    coir_cancel(parent);
    let_them_wait();
    cr_assert_not(coir_task_done(parent));
    atomic_store(&held_back.go, 1);
    cr_assert_eq(coir_await(parent), 0);
    cr_assert_eq(scene->awaited, 5);
    cr_assert_eq(atomic_load(&scene->told), 1);
    cr_assert_eq(scene->next_call, -ECANCELED);
    return 0;
}

/* ----------------------------------------------------------- wait_for --- */

RunTest(wait_for, returns_the_value_in_time)
{
    int value = 30;
    coir_task *task = coir_create_task(yield_then_return, &value);
    cr_assert_eq(coir_wait_for(task, COIR_SECONDS(1000)), 30);
    return 0;
}

RunTest(wait_for, ever_returns_the_value)
{
    int value = 31;
    coir_task *task = coir_create_task(yield_then_return, &value);
    cr_assert_eq(coir_wait_for(task, COIR_FOREVER), 31);
    return 0;
}

RunTest(wait_for, returns_the_error_in_time)
{
    int error = -EPROTO;
    cr_assert_eq(coir_wait_for(coir_create_task(return_int, &error), COIR_SECONDS(1000)),
                 -EPROTO);
    return 0;
}

RunTest(wait_for, too_long_cancels_the_task_and_waits_for_its_end)
{
    struct scene scene = { .child = sleep_and_clean_up };
    coir_task *task = coir_create_task(scene.child, &scene);
    cr_assert_eq(coir_wait_for(task, COIR_MILLISECONDS(1)), -ETIMEDOUT);
    cr_assert_eq(atomic_load(&scene.told), 1);
    cr_assert_eq(atomic_load(&scene.cleaned), 1);
    cr_assert_eq(coir_yield(), 0, "the scope ended with the call");
    return 0;
}

RunTest(wait_for, a_child_that_swallows_the_cancel_keeps_its_value)
{
    struct scene scene = { .child = sleep_and_succeed };
    coir_task *task = coir_create_task(scene.child, &scene);
    cr_assert_eq(coir_wait_for(task, COIR_MILLISECONDS(1)), 5);
    return 0;
}

RunTest(wait_for, a_child_that_fails_because_of_the_cancel_keeps_its_error)
{
    struct scene scene = { .child = sleep_and_fail };
    coir_task *task = coir_create_task(scene.child, &scene);
    cr_assert_eq(coir_wait_for(task, COIR_MILLISECONDS(1)), -EIO);
    return 0;
}

RunTest(wait_for, no_time_returns_the_value_of_a_task_that_has_ended)
{
    coir_duration none[] = { 0, -1, INT64_MIN };
    for (size_t i = 0; i < LENGTH(none); i++) {
        int value = 32;
        coir_task *task = coir_create_task(return_int, &value);
        while (!coir_task_done(task))
            cr_assert_eq(coir_yield(), 0);
        cr_assert_eq(coir_wait_for(task, none[i]), 32);
    }
    return 0;
}

RunTest(wait_for, no_time_cancels_a_task_that_has_not_ended)
{
    coir_duration none[] = { 0, -1, INT64_MIN };
    for (size_t i = 0; i < LENGTH(none); i++) {
        atomic_int told = 0;
        coir_task *task = coir_create_task(count_cancel, &told);
        cr_assert_eq(coir_wait_for(task, none[i]), -ETIMEDOUT);
        cr_assert_eq(atomic_load(&told), 1, "the body runs, and is told");
    }
    return 0;
}

static int wait_for_scene(void *arg)
{
    struct scene *scene = arg;
    scene->awaited = coir_wait_for(coir_create_task(scene->child, scene), COIR_SECONDS(1000));
    scene->next_call = coir_yield();
    return 0;
}

RunTest(wait_for, in_a_cancelled_task_cancels_the_child)
{
    struct scene scene = { .child = sleep_and_clean_up };
    coir_task *waiter = coir_create_task(wait_for_scene, &scene);
    yield_until(&scene.started, 1);
    coir_cancel(waiter);
    cr_assert_eq(coir_await(waiter), 0);
    cr_assert_eq(scene.awaited, -ECANCELED);
    cr_assert_eq(scene.next_call, -ECANCELED);
    cr_assert_eq(atomic_load(&scene.cleaned), 1);
    return 0;
}

RunTest(wait_for, entered_while_cancelled_runs_the_child_and_tells_it)
{
    struct scene scene = { .child = sleep_and_clean_up };
    coir_cancel(coir_current_task());
    wait_for_scene(&scene);
    cr_assert_eq(scene.awaited, -ECANCELED);
    cr_assert_eq(atomic_load(&scene.cleaned), 1);
    return 0;
}

RunTest(wait_for, that_returned_before_the_cancel_keeps_its_value)
{
    int value = 33;
    cr_assert_eq(coir_wait_for(coir_create_task(return_int, &value), COIR_SECONDS(1000)), 33);
    coir_cancel(coir_current_task());
    cr_assert_eq(coir_yield(), -ECANCELED);
    return 0;
}

RunTest(wait_for, an_outer_deadline_ends_it_too)
{
    coir_timeout outer;
    coir_timeout_begin(&outer, COIR_MILLISECONDS(1));
    coir_task *task = coir_create_task(sleep_forever, NULL);
    cr_assert_eq(coir_wait_for(task, COIR_SECONDS(1000)), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&outer), 1);
    return 0;
}

RunTest(wait_for, an_inner_timeout_leaves_the_outer_scope_alone)
{
    coir_timeout outer;
    coir_timeout_begin(&outer, COIR_SECONDS(1000));
    coir_task *task = coir_create_task(sleep_forever, NULL);
    cr_assert_eq(coir_wait_for(task, COIR_MILLISECONDS(1)), -ETIMEDOUT);
    cr_assert_eq(coir_yield(), 0);
    cr_assert_eq(coir_timeout_end(&outer), 0);
    return 0;
}

static int wait_for_a_sleeper(UNUSED void *arg)
{
    return coir_wait_for(coir_create_task(sleep_forever, NULL), COIR_MILLISECONDS(1));
}

RunTest(wait_for, nests)
{
    coir_task *task = coir_create_task(wait_for_a_sleeper, NULL);
    cr_assert_eq(coir_wait_for(task, COIR_SECONDS(1000)), -ETIMEDOUT);
    cr_assert_eq(coir_yield(), 0);
    return 0;
}

/* asyncio: test_wait_for_issue86296. */
static int wait_for_then_sleep(void *arg)
{
    int rc = coir_wait_for(coir_create_task(return_zero, NULL), COIR_SECONDS(100));
    if (rc < 0)
        return rc;
    rc = coir_sleep(COIR_FOREVER);
    if (rc == 0)
        *(int *)arg = 1;
    return rc;
}

RunTest(wait_for, never_swallows_a_cancel_that_comes_as_the_child_ends)
{
    for (int i = 0; i < check_scale(2000); i++) {
        int reached_end = 0;
        coir_task *task = coir_create_task(wait_for_then_sleep, &reached_end);
        for (int k = 0; k < i % 4; k++)
            cr_assert_eq(coir_yield(), 0);
        coir_cancel(task);
        cr_assert_eq(coir_await(task), -ECANCELED);
        cr_assert_eq(reached_end, 0);
    }
    return 0;
}
