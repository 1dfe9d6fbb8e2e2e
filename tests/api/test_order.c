/*
 * With one worker the order is asyncio's, and nobody starves.
 */
#include <string.h>

#include "api/in_run.h"

struct line {
    char text[200];
    size_t len;
};

struct writer {
    struct line *line;
    char letter;
    int times;
};

static void write_letter(struct line *line, char letter)
{
    cr_assert_lt(line->len, sizeof line->text - 1);
    line->text[line->len++] = letter;
}

static int write_and_yield(void *arg)
{
    struct writer *writer = arg;
    for (int i = 0; i < writer->times; i++) {
        write_letter(writer->line, writer->letter);
        cr_assert_eq(coir_yield(), 0);
    }
    return 0;
}

static coir_task *start_writer(struct line *line, char letter, int times)
{
    struct writer writer = { line, letter, times };
    return coir_create_task_copy(write_and_yield, &writer, sizeof writer);
}

RunTestOn(1, order, children_start_at_the_creators_next_suspension_in_creation_order,
          .init = forget_debug)
{
    struct line line = { 0 };
    coir_task *tasks[5];
    for (int i = 0; i < 5; i++)
        tasks[i] = start_writer(&line, (char)('a' + i), 1);
    write_letter(&line, 'M');
    cr_assert_eq(coir_yield(), 0);
    write_letter(&line, 'N');
    cr_assert_str_eq(line.text, "MabcdeN");
    for (int i = 0; i < 5; i++)
        cr_assert_eq(coir_await(tasks[i]), 0);
    return 0;
}

RunTestOn(1, order, yielding_tasks_take_turns, .init = forget_debug)
{
    struct line line = { 0 };
    coir_task *a = start_writer(&line, 'a', 4);
    coir_task *b = start_writer(&line, 'b', 4);
    coir_task *c = start_writer(&line, 'c', 4);
    for (int i = 0; i < 6; i++)
        cr_assert_eq(coir_yield(), 0);
    cr_assert_str_eq(line.text, "abcabcabcabc");
    coir_await(a);
    coir_await(b);
    return coir_await(c);
}

RunTestOn(1, order, yield_goes_behind_tasks_created_before_it, .init = forget_debug)
{
    struct line line = { 0 };
    coir_task *a = start_writer(&line, 'a', 2);
    cr_assert_eq(coir_yield(), 0); /* a is in the queue again */
    coir_task *b = start_writer(&line, 'b', 2);
    cr_assert_eq(coir_yield(), 0);
    write_letter(&line, 'M');
    cr_assert_eq(coir_yield(), 0);
    cr_assert_str_eq(line.text, "aabMb");
    coir_await(a);
    return coir_await(b);
}

RunTestOn(1, order, await_of_an_unstarted_task_runs_it_ahead_of_older_ones, .init = forget_debug)
{
    struct line line = { 0 };
    coir_task *older = start_writer(&line, 'o', 1);
    coir_task *newer = start_writer(&line, 'n', 1);
    cr_assert_eq(coir_await(newer), 0);
    cr_assert_eq(line.text[0], 'n');
    return coir_await(older);
}

static int write_once(void *arg)
{
    struct writer *writer = arg;
    write_letter(writer->line, writer->letter);
    return 0;
}

RunTestOn(1, order, gather_starts_its_calls_in_their_order, .init = forget_debug)
{
    struct line line = { 0 };
    struct writer a = { &line, 'a', 1 }, b = { &line, 'b', 1 }, c = { &line, 'c', 1 };
    cr_assert_eq(coir_gather(COIR_CALL(write_once, &a), COIR_CALL(write_once, &b),
                             COIR_CALL(write_once, &c)), 0);
    cr_assert_str_eq(line.text, "abc");
    return 0;
}

RunTestOn(1, order, gather_begins_with_its_first_call_ahead_of_older_tasks, .init = forget_debug)
{
    struct line line = { 0 };
    struct writer a = { &line, 'a', 1 }, b = { &line, 'b', 1 };
    coir_task *older = start_writer(&line, 'o', 1);
    cr_assert_eq(coir_gather(COIR_CALL(write_once, &a), COIR_CALL(write_once, &b)), 0);
    cr_assert_eq(line.text[0], 'a');
    return coir_await(older);
}

static int sleep_then_write(void *arg)
{
    struct writer *writer = arg;
    cr_assert_eq(coir_sleep(COIR_FOREVER), -ECANCELED);
    write_letter(writer->line, writer->letter);
    return 0;
}

RunTestOn(1, order, woken_tasks_run_in_the_order_in_which_they_were_woken, .init = forget_debug)
{
    struct line line = { 0 };
    struct writer writers[5];
    coir_task *tasks[5];
    for (int i = 0; i < 5; i++) {
        writers[i] = (struct writer){ &line, (char)('a' + i), 1 };
        tasks[i] = coir_create_task(sleep_then_write, &writers[i]);
    }
    cr_assert_eq(coir_yield(), 0);
    static const int order[] = { 3, 0, 4, 1, 2 };
    for (int i = 0; i < 5; i++)
        coir_cancel(tasks[order[i]]);
    cr_assert_eq(coir_yield(), 0);
    cr_assert_str_eq(line.text, "daebc");
    for (int i = 0; i < 5; i++)
        cr_assert_eq(coir_await(tasks[i]), 0);
    return 0;
}

RunTestOn(1, order, woken_and_new_tasks_share_one_queue, .init = forget_debug)
{
    struct line line = { 0 };
    struct writer sleeper = { &line, 's', 1 };
    coir_task *asleep = coir_create_task(sleep_then_write, &sleeper);
    cr_assert_eq(coir_yield(), 0);
    coir_task *before = start_writer(&line, 'b', 1);
    coir_cancel(asleep);
    coir_task *after = start_writer(&line, 'a', 1);
    cr_assert_eq(coir_yield(), 0);
    cr_assert_str_eq(line.text, "bsa");
    coir_await(before);
    coir_await(after);
    return coir_await(asleep);
}

RunTestOn(1, order, yield_with_nobody_else_ready_comes_back, .init = forget_debug)
{
    for (int i = 0; i < check_scale(100000); i++)
        cr_assert_eq(coir_yield(), 0);
    return 0;
}

/* ------------------------------------------------------------ fairness --- */

RunTestOn(1, fairness, a_loop_of_awaits_lets_another_task_run)
{
    atomic_int flag = 0;
    coir_task *other = coir_create_task(count, &flag);
    while (!atomic_load(&flag))
        cr_assert_eq(coir_await(coir_create_task(return_zero, NULL)), 0);
    return coir_await(other);
}

static int set_after_ten_milliseconds(void *flag)
{
    int rc = coir_sleep(COIR_MILLISECONDS(10));
    atomic_store((atomic_int *)flag, 1);
    return rc;
}

RunTestOn(1, fairness, a_loop_of_awaits_lets_a_timer_fire)
{
    atomic_int flag = 0;
    coir_task *other = coir_create_task(set_after_ten_milliseconds, &flag);
    while (!atomic_load(&flag))
        cr_assert_eq(coir_await(coir_create_task(return_zero, NULL)), 0);
    return coir_await(other);
}

RunTestOn(1, fairness, a_loop_of_gathers_lets_a_timer_fire)
{
    atomic_int flag = 0;
    coir_task *other = coir_create_task(set_after_ten_milliseconds, &flag);
    while (!atomic_load(&flag))
        cr_assert_eq(coir_gather(COIR_CALL(return_zero, NULL), COIR_CALL(return_zero, NULL)), 0);
    return coir_await(other);
}

RunTestOn(1, fairness, a_loop_of_groups_lets_a_timer_fire)
{
    atomic_int flag = 0;
    coir_task *other = coir_create_task(set_after_ten_milliseconds, &flag);
    while (!atomic_load(&flag)) {
        coir_group group;
        coir_group_init(&group);
        cr_assert_eq(coir_group_create_task(&group, return_zero, NULL), 0);
        cr_assert_eq(coir_group_wait(&group), 0);
    }
    return coir_await(other);
}

RunTestOn(1, fairness, a_loop_of_yields_lets_a_timer_fire)
{
    atomic_int flag = 0;
    coir_task *other = coir_create_task(set_after_ten_milliseconds, &flag);
    yield_until(&flag, 1);
    return coir_await(other);
}

static int yield_until_set(void *flag)
{
    yield_until(flag, 1);
    return 0;
}

RunTestOn(1, fairness, two_yielding_tasks_let_a_timer_fire)
{
    atomic_int flag = 0;
    coir_task *other = coir_create_task(set_after_ten_milliseconds, &flag);
    coir_task *yielder = coir_create_task(yield_until_set, &flag);
    yield_until(&flag, 1);
    cr_assert_eq(coir_await(yielder), 0);
    return coir_await(other);
}

static int read_a_byte(void *arg)
{
    int *pipe_and_flag = arg;
    char byte;
    ssize_t n = coir_read(pipe_and_flag[0], &byte, 1);
    __atomic_store_n(&pipe_and_flag[1], 1, __ATOMIC_SEQ_CST);
    return n == 1 ? 0 : -EIO;
}

RunTestOn(1, fairness, a_loop_of_awaits_lets_input_arrive)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    int pipe_and_flag[2] = { ends[0], 0 };
    coir_task *reader = coir_create_task(read_a_byte, pipe_and_flag);
    cr_assert_eq(coir_yield(), 0);
    cr_assert_eq(write(ends[1], "x", 1), 1);
    while (!__atomic_load_n(&pipe_and_flag[1], __ATOMIC_SEQ_CST))
        cr_assert_eq(coir_await(coir_create_task(return_zero, NULL)), 0);
    cr_assert_eq(coir_await(reader), 0);
    coir_close(ends[0]);
    return coir_close(ends[1]);
}

/* Chains that keep waking each other must not keep the rest from running. */
struct pair {
    int in, out;
    atomic_int *stop;
};

static int pass_on(void *arg)
{
    struct pair *pair = arg;
    char byte;
    while (!atomic_load(pair->stop)) {
        if (coir_read(pair->in, &byte, 1) != 1)
            break;
        if (coir_write(pair->out, &byte, 1) != 1)
            break;
    }
    return 0;
}

RunTestOn(1, fairness, a_ping_pong_lets_a_third_task_sleep_and_wake)
{
    int there[2], back[2];
    atomic_int stop = 0;
    cr_assert_eq(pipe(there), 0);
    cr_assert_eq(pipe(back), 0);
    struct pair ping = { back[0], there[1], &stop }, pong = { there[0], back[1], &stop };
    coir_task *a = coir_create_task(pass_on, &ping);
    coir_task *b = coir_create_task(pass_on, &pong);
    cr_assert_eq(coir_write(there[1], "x", 1), 1);
    for (int i = 0; i < 20; i++)
        cr_assert_eq(coir_sleep(COIR_MICROSECONDS(500)), 0);
    atomic_store(&stop, 1);
    coir_cancel(a);
    coir_cancel(b);
    cr_assert_eq(coir_await(a), 0);
    cr_assert_eq(coir_await(b), 0);
    for (int i = 0; i < 2; i++) {
        coir_close(there[i]);
        coir_close(back[i]);
    }
    return 0;
}
