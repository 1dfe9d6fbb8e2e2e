/*
 * Select: the first of several things happens, and the others do not.
 */
#include <limits.h>
#include <poll.h>
#include <string.h>

#include "api/in_thread.h"

COIR_QUEUE_TYPE(numbers, int);

static const int one = 1, two = 2;

static void make(coir_queue *queue, size_t capacity)
{
    cr_assert_eq(numbers_init(queue, capacity), 0);
}

/* A task that selects once. */
struct chooser {
    coir_select_case *cases;
    size_t n;
    int rc;
    int next_call;
    atomic_int *done;
};

static int choose(void *arg)
{
    struct chooser *chooser = arg;
    chooser->rc = coir_select(chooser->cases, chooser->n);
    chooser->next_call = coir_check();
    if (chooser->done)
        atomic_fetch_add(chooser->done, 1);
    return chooser->rc;
}

static int put_one(void *queue)
{
    return numbers_put(queue, &one);
}

static int set_event(void *event)
{
    coir_event_set(event);
    return 0;
}

/* -------------------------------------------------------------- at once --- */

RunTest(select, of_nothing_is_enoent)
{
    coir_select_case none[3] = { { 0 } };
    cr_assert_eq(coir_select(NULL, 0), -ENOENT);
    cr_assert_eq(coir_select(none, 3), -ENOENT);
    cr_assert_eq(coir_try_select(NULL, 0), -ENOENT);
    cr_assert_eq(coir_try_select(none, 3), -ENOENT);
    none[0] = coir_select_task(NULL);
    cr_assert_eq(coir_select(none, 1), -ENOENT);
    return 0;
}

RunTest(select, of_more_than_an_int_holds_is_einval)
{
    coir_select_case none = { 0 };
    cr_assert_eq(coir_select(&none, (size_t)INT_MAX + 1), -EINVAL);
    cr_assert_eq(coir_try_select(&none, (size_t)INT_MAX + 1), -EINVAL);
    return 0;
}

RunTest(select, of_what_can_happen_does_it_and_says_which)
{
    coir_queue full, empty;
    coir_event event = { { 0 } };
    coir_future future;
    int got = 0;
    void *value = NULL;
    make(&full, 1);
    make(&empty, 1);
    coir_future_init(&future);
    cr_assert_eq(numbers_put(&full, &two), 0);
    coir_select_case cases[] = {
        coir_select_get(&empty, &got), coir_select_put(&full, &one), coir_select_event(&event),
        coir_select_future(&future, &value), { 0 },
    };
    size_t n = LENGTH(cases);
    cr_assert_eq(coir_try_select(cases, n), -EAGAIN);

    coir_event_set(&event);
    cr_assert_eq(coir_select(cases, n), 2);
    cr_assert_eq(cases[2].result, 0);
    cr_assert_eq(coir_try_select(cases, n), 2);
    coir_event_clear(&event);

    cr_assert_eq(numbers_put(&empty, &one), 0);
    cr_assert_eq(coir_select(cases, n), 0);
    cr_assert_eq(cases[0].result, 0);
    cr_assert_eq(got, 1);

    cr_assert_eq(numbers_get(&full, &got), 0);
    cr_assert_eq(coir_select(cases, n), 1);
    cr_assert_eq(cases[1].result, 0);
    cr_assert_eq(numbers_try_get(&full, &got), 0);
    cr_assert_eq(got, 1);
    cr_assert_eq(numbers_put(&full, &two), 0);

    cr_assert_eq(coir_future_set(&future, &event), 0);
    cr_assert_eq(coir_select(cases, n), 3);
    cr_assert_eq(cases[3].result, 0);
    cr_assert_eq(value, &event);
    coir_future_destroy(&future);
    coir_queue_destroy(&full);
    coir_queue_destroy(&empty);
    return 0;
}

RunTest(select, of_a_closed_queue_happens_and_is_epipe)
{
    coir_queue queue;
    int got = 7;
    make(&queue, 2);
    cr_assert_eq(numbers_put(&queue, &two), 0);
    coir_queue_close(&queue);
    coir_select_case put = coir_select_put(&queue, &one), get = coir_select_get(&queue, &got);
    cr_assert_eq(coir_select(&put, 1), 0);
    cr_assert_eq(put.result, -EPIPE);
    cr_assert_eq(coir_select(&get, 1), 0);
    cr_assert_eq(get.result, 0);
    cr_assert_eq(got, 2);
    cr_assert_eq(coir_select(&get, 1), 0);
    cr_assert_eq(get.result, -EPIPE);
    cr_assert_eq(coir_try_select(&get, 1), 0);
    cr_assert_eq(got, 2);
    coir_queue_destroy(&queue);
    return 0;
}

RunTest(select, of_a_future_that_failed_gives_its_error)
{
    coir_future future;
    void *value = &future;
    coir_future_init(&future);
    cr_assert_eq(coir_future_fail(&future, -EHOSTUNREACH), 0);
    coir_select_case which = coir_select_future(&future, &value);
    cr_assert_eq(coir_select(&which, 1), 0);
    cr_assert_eq(which.result, -EHOSTUNREACH);
    cr_assert_eq(value, &future);
    coir_future_destroy(&future);
    return 0;
}

RunTest(select, of_a_task_that_has_ended_leaves_it_to_be_awaited)
{
    int five = 5;
    coir_task *ended = coir_create_task(return_int, &five);
    coir_task *endless = coir_create_task(sleep_forever, NULL);
    coir_select_case cases[] = { coir_select_task(endless), coir_select_task(ended) };
    cr_assert_eq(coir_select(cases, 2), 1);
    cr_assert_eq(cases[1].result, 0);
    cr_assert_eq(coir_try_select(cases, 2), 1);
    cr_assert_eq(coir_await(ended), 5);
    cr_assert_eq(coir_cancel_await(endless), -ECANCELED);
    return 0;
}

/* Each of those that can happen does, again and again. */
RunTest(select, of_several_that_can_happen_takes_any)
{
    enum { N = 6, MOST = 100000 };
    coir_event events[N];
    coir_select_case cases[N];
    int seen = 0;
    memset(events, 0, sizeof events);
    for (int i = 0; i < N; i++) {
        coir_event_set(&events[i]);
        cases[i] = coir_select_event(&events[i]);
    }
    for (int i = 0; i < MOST && seen != (1 << N) - 1; i++) {
        int which = coir_select(cases, N);
        cr_assert(which >= 0 && which < N);
        seen |= 1 << which;
    }
    cr_assert_eq(seen, (1 << N) - 1);
    return 0;
}

/* -------------------------------------------------------------- waiting --- */

RunTest(select, waits_for_an_item)
{
    coir_queue queues[3];
    int got[3] = { 0 };
    coir_select_case cases[3];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 3; i++) {
            make(&queues[i], (size_t)i);
            cases[i] = coir_select_get(&queues[i], &got[i]);
        }
        coir_task *task = coir_create_task(put_one, &queues[round]);
        cr_assert_eq(coir_select(cases, 3), round);
        cr_assert_eq(cases[round].result, 0);
        cr_assert_eq(got[round], 1);
        cr_assert_eq(coir_await(task), 0);
        got[round] = 0;
        cr_assert_eq(got[0] + got[1] + got[2], 0);
        for (int i = 0; i < 3; i++)
            coir_queue_destroy(&queues[i]);
    }
    return 0;
}

RunTest(select, waits_for_room)
{
    for (size_t capacity = 0; capacity < 2; capacity++) {
        coir_queue queue, other;
        int got = 0;
        make(&queue, capacity);
        make(&other, 0);
        if (capacity)
            cr_assert_eq(numbers_put(&queue, &one), 0);
        coir_select_case cases[] = { coir_select_put(&queue, &two), coir_select_put(&other, &one) };
        struct chooser chooser = { .cases = cases, .n = 2 };
        coir_task *task = coir_create_task(choose, &chooser);
        let_them_wait();
        cr_assert_not(coir_task_done(task));
        if (capacity)
            cr_assert_eq(numbers_get(&queue, &got), 0);
        cr_assert_eq(numbers_get(&queue, &got), 0);
        cr_assert_eq(got, 2);
        cr_assert_eq(coir_await(task), 0);
        cr_assert_eq(cases[0].result, 0);
        cr_assert_eq(numbers_try_get(&queue, &got), -EAGAIN);
        cr_assert_eq(numbers_try_get(&other, &got), -EAGAIN);
        coir_queue_destroy(&queue);
        coir_queue_destroy(&other);
    }
    return 0;
}

RunTest(select, waits_for_an_event_and_a_future)
{
    coir_event events[2] = { { { 0 } } };
    coir_future future;
    void *value = NULL;
    coir_future_init(&future);
    coir_select_case cases[] = { coir_select_event(&events[0]), coir_select_event(&events[1]),
                                 coir_select_future(&future, &value) };
    coir_task *task = coir_create_task(set_event, &events[1]);
    cr_assert_eq(coir_select(cases, 3), 1);
    cr_assert_eq(coir_await(task), 0);
    coir_event_clear(&events[1]);

    struct chooser chooser = { .cases = cases, .n = 3 };
    task = coir_create_task(choose, &chooser);
    let_them_wait();
    cr_assert_eq(coir_future_set(&future, &chooser), 0);
    cr_assert_eq(coir_await(task), 2);
    cr_assert_eq(cases[2].result, 0);
    cr_assert_eq(value, &chooser);
    coir_future_destroy(&future);

    coir_future_init(&future);
    value = NULL;
    task = coir_create_task(choose, &chooser);
    let_them_wait();
    cr_assert_eq(coir_future_fail(&future, -EIO), 0);
    cr_assert_eq(coir_await(task), 2);
    cr_assert_eq(cases[2].result, -EIO);
    cr_assert_eq(value, NULL);
    coir_future_destroy(&future);
    return 0;
}

static int await_event(void *event)
{
    return coir_event_wait(event);
}

RunTest(select, waits_for_the_end_of_a_task)
{
    coir_event go[2] = { { { 0 } } };
    coir_task *tasks[2];
    coir_select_case cases[2];
    for (int i = 0; i < 2; i++) {
        tasks[i] = coir_create_task(await_event, &go[i]);
        cases[i] = coir_select_task(tasks[i]);
    }
    struct chooser chooser = { .cases = cases, .n = 2 };
    coir_task *task = coir_create_task(choose, &chooser);
    let_them_wait();
    cr_assert_not(coir_task_done(task));
    coir_event_set(&go[1]);
    cr_assert_eq(coir_await(task), 1);
    cr_assert_eq(cases[1].result, 0);
    cr_assert_eq(coir_await(tasks[1]), 0);

    cases[1] = coir_select_task(NULL);
    task = coir_create_task(choose, &chooser);
    let_them_wait();
    coir_event_set(&go[0]);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(coir_await(tasks[0]), 0);
    return 0;
}

RunTest(select, waits_for_a_descriptor)
{
    int ends[2], other[2];
    char byte;
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(pipe(other), 0);
    coir_select_case cases[] = { coir_select_fd(other[0], POLLIN),
                                 coir_select_fd(ends[0], POLLIN) };
    cr_assert_eq(coir_try_select(cases, 2), -EAGAIN);
    for (int round = 0; round < 3; round++) {
        struct chooser chooser = { .cases = cases, .n = 2 };
        coir_task *task = coir_create_task(choose, &chooser);
        if (round)
            let_them_wait();
        cr_assert_eq(write(ends[1], "x", 1), 1);
        cr_assert_eq(coir_await(task), 1);
        cr_assert_eq(cases[1].result, POLLIN);
        cr_assert_eq(coir_select(cases, 2), 1);
        cr_assert_eq(read(ends[0], &byte, 1), 1);
        cr_assert_eq(coir_try_select(cases, 2), -EAGAIN);
    }
    coir_select_case out = coir_select_fd(ends[1], POLLOUT);
    cr_assert_eq(coir_select(&out, 1), 0);
    cr_assert_eq(out.result, POLLOUT);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(coir_close(ends[i]), 0);
        cr_assert_eq(coir_close(other[i]), 0);
    }
    return 0;
}

RunTest(select, of_what_is_no_descriptor_is_ebadf)
{
    coir_event never = { { 0 } };
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(coir_close(ends[0]), 0);
    cr_assert_eq(coir_close(ends[1]), 0);
    coir_select_case cases[] = { coir_select_event(&never), coir_select_fd(ends[0], POLLIN) };
    cr_assert_eq(coir_select(cases, 2), 1);
    cr_assert_eq(cases[1].result, -EBADF);
    cases[1] = coir_select_fd(-1, POLLIN);
    cr_assert_eq(coir_select(cases, 2), 1);
    cr_assert_eq(cases[1].result, -EBADF);
    return 0;
}

RunTest(select, of_a_descriptor_that_is_closed_meanwhile_is_ebadf)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    coir_select_case which = coir_select_fd(ends[0], POLLIN);
    struct chooser chooser = { .cases = &which, .n = 1 };
    coir_task *task = coir_create_task(choose, &chooser);
    let_them_wait();
    cr_assert_eq(coir_close(ends[0]), 0);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(which.result, -EBADF);
    cr_assert_eq(coir_close(ends[1]), 0);
    return 0;
}

RunTest(select, waits_for_a_queue_to_be_closed)
{
    for (int i = 0; i < 4; i++) {
        coir_queue queue;
        coir_event never = { { 0 } };
        int got = 7;
        make(&queue, 0);
        coir_select_case cases[] = {
            i % 2 ? coir_select_put(&queue, &one) : coir_select_get(&queue, &got),
            coir_select_event(&never),
        };
        struct chooser chooser = { .cases = cases, .n = 2 };
        coir_task *task = coir_create_task(choose, &chooser);
        let_them_wait();
        if (i / 2)
            coir_queue_shutdown(&queue);
        else
            coir_queue_close(&queue);
        cr_assert_eq(coir_await(task), 0);
        cr_assert_eq(cases[0].result, -EPIPE);
        cr_assert_eq(got, 7);
        coir_queue_destroy(&queue);
    }
    return 0;
}

/* One thing of each kind, each in its turn the one that happens. */
struct all_kinds {
    coir_queue puts, gets;
    coir_event event, end;
    coir_future future;
    int ends[2], got;
    void *value;
    coir_task *task;
};

enum { KINDS = 6 };

static void make_all_kinds(struct all_kinds *all, coir_select_case *cases)
{
    memset(all, 0, sizeof *all);
    make(&all->puts, 0);
    make(&all->gets, 0);
    coir_future_init(&all->future);
    cr_assert_eq(pipe(all->ends), 0);
    all->task = coir_create_task(await_event, &all->end);
    cases[0] = coir_select_put(&all->puts, &two);
    cases[1] = coir_select_get(&all->gets, &all->got);
    cases[2] = coir_select_event(&all->event);
    cases[3] = coir_select_future(&all->future, &all->value);
    cases[4] = coir_select_task(all->task);
    cases[5] = coir_select_fd(all->ends[0], POLLIN);
}

static void let_happen(struct all_kinds *all, int which)
{
    int got = 0;
    switch (which) {
    case 0:
        cr_assert_eq(numbers_get(&all->puts, &got), 0);
        cr_assert_eq(got, 2);
        break;
    case 1:
        cr_assert_eq(numbers_put(&all->gets, &one), 0);
        break;
    case 2:
        coir_event_set(&all->event);
        break;
    case 3:
        cr_assert_eq(coir_future_set(&all->future, all), 0);
        break;
    case 4:
        coir_event_set(&all->end);
        break;
    default:
        cr_assert_eq(write(all->ends[1], "x", 1), 1);
    }
}

/* Nothing of it has happened, but for one. */
static void destroy_all_kinds(struct all_kinds *all, int which)
{
    int got;
    cr_assert_eq(numbers_try_get(&all->puts, &got), -EAGAIN);
    cr_assert_eq(numbers_try_put(&all->gets, &one), -EAGAIN);
    cr_assert_eq(all->got, which == 1);
    cr_assert_eq(all->value, which == 3 ? all : NULL);
    coir_event_set(&all->end);
    cr_assert_eq(coir_await(all->task), 0);
    cr_assert_eq(coir_close(all->ends[0]), 0);
    cr_assert_eq(coir_close(all->ends[1]), 0);
    coir_queue_destroy(&all->puts);
    coir_queue_destroy(&all->gets);
    coir_future_destroy(&all->future);
}

RunTest(select, of_all_kinds_lets_one_happen_and_no_other)
{
    for (int i = 0; i < 4 * KINDS; i++) {
        int which = i % KINDS;
        struct all_kinds all;
        coir_select_case cases[KINDS];
        make_all_kinds(&all, cases);
        struct chooser chooser = { .cases = cases, .n = KINDS };
        coir_task *task = coir_create_task(choose, &chooser);
        if (i < 2 * KINDS)
            let_them_wait();
        let_happen(&all, which);
        cr_assert_eq(coir_await(task), which);
        cr_assert_eq(cases[which].result, which == 5 ? POLLIN : 0);
        destroy_all_kinds(&all, which);
    }
    return 0;
}

RunTest(select, of_all_kinds_that_is_cancelled_or_late_lets_none_happen)
{
    for (int i = 0; i < 4; i++) {
        struct all_kinds all;
        coir_select_case cases[KINDS];
        make_all_kinds(&all, cases);
        struct chooser chooser = { .cases = cases, .n = KINDS };
        coir_task *task = coir_create_task(choose, &chooser);
        if (i % 2) {
            cr_assert_eq(coir_wait_for(task, COIR_MILLISECONDS(1)), -ETIMEDOUT);
        } else {
            let_them_wait();
            cr_assert_eq(coir_cancel_await(task), -ECANCELED);
        }
        destroy_all_kinds(&all, -1);
    }
    return 0;
}

RunTest(select, by_a_cancelled_or_late_task_is_refused_though_it_could_happen)
{
    coir_event event = { { 0 } };
    coir_queue queue;
    int got = 7;
    coir_timeout limit;
    coir_event_set(&event);
    make(&queue, 1);
    cr_assert_eq(numbers_put(&queue, &one), 0);
    coir_select_case cases[] = { coir_select_event(&event), coir_select_get(&queue, &got) };
    coir_timeout_begin(&limit, 0);
    cr_assert_eq(coir_select(cases, 2), -ETIMEDOUT);
    cr_assert_eq(coir_try_select(cases, 2), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    coir_cancel(coir_current_task());
    cr_assert_eq(coir_select(cases, 2), -ECANCELED);
    cr_assert_eq(coir_try_select(cases, 2), -ECANCELED);
    cr_assert_eq(got, 7);
    cr_assert_eq(coir_queue_size(&queue), 1);
    coir_queue_destroy(&queue);
    return 0;
}

RunTestOn(1, select, whose_case_happened_before_the_cancel_returned_it)
{
    coir_queue queue;
    int got = 0;
    make(&queue, 0);
    coir_select_case which = coir_select_get(&queue, &got);
    struct chooser chooser = { .cases = &which, .n = 1 };
    coir_task *task = coir_create_task(choose, &chooser);
    let_all_wait();
    cr_assert_eq(numbers_put(&queue, &one), 0);
    coir_cancel(task);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(chooser.next_call, -ECANCELED);
    cr_assert_eq(got, 1);
    coir_queue_destroy(&queue);
    return 0;
}

/* ------------------------------------------------------------- together --- */

/* Both ends of one queue: not with oneself. */
RunTest(select, to_put_and_to_get_in_one_queue_is_not_served_by_itself)
{
    coir_queue queue;
    int got = 0;
    coir_timeout limit;
    make(&queue, 0);
    coir_select_case cases[] = { coir_select_put(&queue, &one), coir_select_get(&queue, &got) };
    cr_assert_eq(coir_try_select(cases, 2), -EAGAIN);
    coir_timeout_begin(&limit, COIR_MILLISECONDS(1));
    cr_assert_eq(coir_select(cases, 2), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    coir_queue_destroy(&queue);
    return 0;
}

struct peer {
    coir_queue *queue;
    int rounds, puts, gets;
    int64_t put_sum, got_sum;
};

static int put_or_get(void *arg)
{
    struct peer *peer = arg;
    for (int i = 0; i < peer->rounds; i++) {
        int got = 0, item = i + 1;
        coir_select_case cases[] = { coir_select_put(peer->queue, &item),
                                     coir_select_get(peer->queue, &got) };
        int which = coir_select(cases, 2);
        if (which < 0)
            return which;
        if (cases[which].result == -EPIPE)
            break;
        cr_assert_eq(cases[which].result, 0);
        if (which == 0)
            peer->puts++, peer->put_sum += item;
        else
            peer->gets++, peer->got_sum += got;
    }
    return 0;
}

/* Who comes last of an even number finds a partner, or all the others have gone. */
RunTest(select, on_both_sides_of_one_queue_pairs_them)
{
    enum { PEERS = 4 };
    for (size_t capacity = 0; capacity < 3; capacity++) {
        coir_queue queue;
        struct peer peers[PEERS], sum = { 0 };
        coir_task *tasks[PEERS];
        make(&queue, capacity);
        for (int i = 0; i < PEERS; i++) {
            peers[i] = (struct peer){ .queue = &queue, .rounds = check_scale(500) };
            tasks[i] = coir_create_task(put_or_get, &peers[i]);
        }
        /* The last one may be left alone with what it wants. */
        cr_assert_geq(coir_wait_any(tasks, PEERS), 0);
        coir_queue_close(&queue);
        for (int i = 0; i < PEERS; i++) {
            cr_assert_eq(coir_await(tasks[i]), 0);
            sum.puts += peers[i].puts;
            sum.gets += peers[i].gets;
            sum.put_sum += peers[i].put_sum;
            sum.got_sum += peers[i].got_sum;
        }
        int left;
        while (numbers_try_get(&queue, &left) == 0)
            sum.gets++, sum.got_sum += left;
        cr_assert_eq(sum.puts, sum.gets);
        cr_assert_eq(sum.put_sum, sum.got_sum);
        coir_queue_destroy(&queue);
    }
    return 0;
}

/* The same queue twice, and the same event, task and descriptor. */
RunTest(select, of_the_same_thing_twice_lets_it_happen_once)
{
    coir_queue queue;
    coir_event event = { { 0 } }, end = { { 0 } };
    int first = 0, second = 0, ends[2];
    make(&queue, 0);
    cr_assert_eq(pipe(ends), 0);
    coir_task *ender = coir_create_task(await_event, &end);
    coir_select_case cases[] = {
        coir_select_get(&queue, &first), coir_select_get(&queue, &second),
        coir_select_event(&event),       coir_select_event(&event),
        coir_select_task(ender),         coir_select_task(ender),
        coir_select_fd(ends[0], POLLIN), coir_select_fd(ends[0], POLLIN),
    };
    struct chooser chooser = { .cases = cases, .n = LENGTH(cases) };
    for (int i = 0; i < 4; i++) {
        coir_task *task = coir_create_task(choose, &chooser);
        let_them_wait();
        if (i == 0)
            cr_assert_eq(numbers_put(&queue, &one), 0);
        else if (i == 1)
            coir_event_set(&event);
        else if (i == 2)
            coir_event_set(&end);
        else
            cr_assert_eq(write(ends[1], "x", 1), 1);
        cr_assert_eq(coir_await(task) / 2, i);
        coir_event_clear(&event);
        if (i == 2) {
            cr_assert_eq(coir_await(ender), 0);
            cases[4] = cases[5] = coir_select_task(NULL);
        }
    }
    cr_assert_eq(first + second, 1);
    cr_assert_eq(coir_close(ends[0]), 0);
    cr_assert_eq(coir_close(ends[1]), 0);
    coir_queue_destroy(&queue);
    return 0;
}

/* Two that choose among the same queues, in opposite orders. */
struct crossing {
    coir_queue *queues;
    int n, rounds;
    bool backwards, puts;
    int64_t sum;
};

static int cross(void *arg)
{
    struct crossing *crossing = arg;
    coir_select_case cases[4];
    int items[4];
    for (int i = 0; i < crossing->rounds; i++) {
        for (int k = 0; k < crossing->n; k++) {
            int at = crossing->backwards ? crossing->n - 1 - k : k;
            items[k] = 4 * i + k;
            cases[k] = crossing->puts ? coir_select_put(&crossing->queues[at], &items[k])
                                      : coir_select_get(&crossing->queues[at], &items[k]);
        }
        int which = coir_select(cases, (size_t)crossing->n);
        if (which < 0)
            return which;
        cr_assert_eq(cases[which].result, 0);
        crossing->sum += items[which];
    }
    return 0;
}

RunTest(select, in_opposite_orders_does_not_hang)
{
    enum { TASKS = 8, QUEUES = 4 };
    for (size_t capacity = 0; capacity < 2; capacity++) {
        coir_queue queues[QUEUES];
        struct crossing crossings[TASKS];
        coir_call calls[TASKS];
        int64_t put = 0, got = 0;
        for (int i = 0; i < QUEUES; i++)
            make(&queues[i], capacity);
        for (int i = 0; i < TASKS; i++) {
            crossings[i] = (struct crossing){ .queues = queues, .n = QUEUES,
                                              .rounds = check_scale(500),
                                              .backwards = i % 4 < 2, .puts = i % 2 };
            calls[i] = (coir_call){ cross, &crossings[i], 0 };
        }
        cr_assert_eq(coir_gather_array(calls, TASKS), 0);
        for (int i = 0; i < TASKS; i++)
            *(crossings[i].puts ? &put : &got) += crossings[i].sum;
        cr_assert_eq(put, got);
        for (int i = 0; i < QUEUES; i++)
            coir_queue_destroy(&queues[i]);
    }
    return 0;
}

/* Several things at once, a cancel among them: exactly one happens. */
RunTest(select, raced_for_is_won_by_one)
{
    for (int i = 0; i < check_scale(1000); i++) {
        coir_queue queue;
        coir_event event = { { 0 } };
        int got = 0;
        make(&queue, 1);
        coir_select_case cases[] = { coir_select_get(&queue, &got), coir_select_event(&event) };
        struct chooser chooser = { .cases = cases, .n = 2 };
        coir_task *task = coir_create_task(choose, &chooser);
        if (i % 3)
            cr_assert_eq(coir_yield(), 0);
        coir_task *putter = coir_create_task(put_one, &queue);
        coir_task *setter = coir_create_task(set_event, &event);
        if (i % 2)
            coir_cancel(task);
        cr_assert_eq(coir_await(putter), 0);
        cr_assert_eq(coir_await(setter), 0);
        int which = coir_await(task);
        cr_assert(which == 0 || which == 1 || (which == -ECANCELED && i % 2));
        cr_assert_eq(got, which == 0);
        cr_assert_eq(coir_queue_size(&queue), which != 0);
        coir_queue_destroy(&queue);
    }
    return 0;
}

/* -------------------------------------------------------------- threads --- */

struct shared {
    coir_queue queue;
    coir_event event;
    coir_future future;
    atomic_int rounds;
};

static void let_one_happen(void *arg)
{
    struct shared *shared = arg;
    switch (atomic_load(&shared->rounds) % 4) {
    case 0:
        cr_assert_eq(numbers_try_put(&shared->queue, &one), 0);
        break;
    case 1:
        coir_event_set(&shared->event);
        break;
    case 2:
        cr_assert_eq(coir_future_set(&shared->future, NULL), 0);
        break;
    default:
        coir_queue_close(&shared->queue);
    }
}

/* Who selected frees all of it while the thread may still be inside. */
RunTest(select, decided_by_a_thread_may_be_freed_at_once)
{
    struct helper helper;
    helper_start(&helper, let_one_happen);
    for (int i = 0; i < check_scale(3000); i++) {
        struct shared *shared = calloc(1, sizeof *shared);
        int got = 0;
        make(&shared->queue, 2);
        coir_future_init(&shared->future);
        atomic_init(&shared->rounds, i);
        coir_select_case cases[] = { coir_select_get(&shared->queue, &got),
                                     coir_select_event(&shared->event),
                                     coir_select_future(&shared->future, NULL) };
        helper_lend(&helper, shared);
        cr_assert_eq(coir_select(cases, 3), i % 4 % 3);
        cr_assert_eq(cases[i % 4 % 3].result, i % 4 == 3 ? -EPIPE : 0);
        coir_future_destroy(&shared->future);
        coir_queue_destroy(&shared->queue);
        free_and_spoil(shared, sizeof *shared);
    }
    helper_stop(&helper);
    return 0;
}

/* The same cases, again and again, while somebody serves them. */
static int serve(void *arg)
{
    struct shared *shared = arg;
    for (int i = 0; i < atomic_load(&shared->rounds); i++) {
        if (i % 2)
            cr_assert_eq(numbers_put(&shared->queue, &one), 0);
        else
            coir_event_set(&shared->event);
        if (i % 8 == 0)
            cr_assert_eq(coir_yield(), 0);
    }
    coir_queue_close(&shared->queue);
    return 0;
}

RunTest(select, is_used_again_and_again_with_the_same_cases)
{
    struct shared shared = { .rounds = check_scale(3000) };
    int got = 0, sum = 0, which;
    make(&shared.queue, 2);
    coir_select_case cases[] = { coir_select_get(&shared.queue, &got),
                                 coir_select_event(&shared.event) };
    coir_task *task = coir_create_task(serve, &shared);
    while ((which = coir_select(cases, 2)) != 0 || cases[0].result == 0) {
        cr_assert_geq(which, 0);
        if (which == 1)
            coir_event_clear(&shared.event);
        else
            sum += got;
    }
    cr_assert_eq(cases[0].result, -EPIPE);
    cr_assert_eq(sum, atomic_load(&shared.rounds) / 2);
    cr_assert_eq(coir_await(task), 0);
    coir_queue_destroy(&shared.queue);
    return 0;
}

/* More cases than fit on a small stack, on the heap. */
RunTest(select, of_many_finds_the_one)
{
    enum { N = 500 };
    coir_select_case *cases = calloc(N, sizeof *cases);
    coir_event *events = calloc(N, sizeof *events);
    for (int i = 0; i < N; i++)
        cases[i] = coir_select_event(&events[i]);
    for (int i = 0; i < 10; i++) {
        coir_task *task = coir_create_task(set_event, &events[37 * i + 11]);
        cr_assert_eq(coir_select(cases, N), 37 * i + 11);
        cr_assert_eq(coir_await(task), 0);
        coir_event_clear(&events[37 * i + 11]);
    }
    free(cases);
    free(events);
    return 0;
}
