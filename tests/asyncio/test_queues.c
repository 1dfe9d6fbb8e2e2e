/*
 * Queues, after asyncio's tests of them: see cpython.txt.  What asyncio makes sure of with
 * sleep(0) is made sure of here by one worker.
 */
#include "api/in_run.h"

struct user {
    coir_queue *queue;
    int item;
    int n; /* how often */
};

static int put_it(void *arg)
{
    struct user *user = arg;
    return coir_queue_put(user->queue, &user->item);
}

static int get_it(void *arg)
{
    struct user *user = arg;
    return coir_queue_get(user->queue, &user->item);
}

static int join_it(void *queue)
{
    return coir_queue_join(queue);
}

static coir_task *start_put(struct user *user, coir_queue *queue, int item)
{
    *user = (struct user){ .queue = queue, .item = item };
    coir_task *task = coir_create_task(put_it, user);
    let_all_wait();
    return task;
}

static coir_task *start_get(struct user *user, coir_queue *queue)
{
    *user = (struct user){ .queue = queue };
    coir_task *task = coir_create_task(get_it, user);
    let_all_wait();
    return task;
}

static int compare_ints(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

static void make(coir_queue *queue, size_t capacity, int order)
{
    coir_queue_options options = { .capacity = capacity, .item_size = sizeof(int),
                                   .order = order, .compare = compare_ints };
    cr_assert_eq(coir_queue_init_with(queue, &options), 0);
}

static void put_now(coir_queue *queue, int item)
{
    cr_assert_eq(coir_queue_try_put(queue, &item), 0);
}

static int get_now(coir_queue *queue)
{
    int item = -1;
    cr_assert_eq(coir_queue_try_get(queue, &item), 0);
    return item;
}

static void get_in_order(int order, const int *items)
{
    coir_queue queue;
    make(&queue, COIR_UNBOUNDED, order);
    for (int item = 1; item <= 3; item++) {
        int put = item == 2 ? 3 : item == 3 ? 2 : 1;
        cr_assert_eq(coir_queue_put(&queue, &put), 0);
    }
    for (int i = 0; i < 3; i++) {
        int got;
        cr_assert_eq(coir_queue_get(&queue, &got), 0);
        cr_assert_eq(got, items[i]);
    }
    coir_queue_destroy(&queue);
}

/* test_queues.QueueBasicTests.test_order, test_queues.LifoQueueTests.test_order,
   test_queues.PriorityQueueTests.test_order */
RunTest(queue, of_one_three_two_gives_them_in_its_order)
{
    get_in_order(COIR_QUEUE_FIFO, (int[]){ 1, 3, 2 });
    get_in_order(COIR_QUEUE_LIFO, (int[]){ 2, 3, 1 });
    get_in_order(COIR_QUEUE_PRIORITY, (int[]){ 1, 2, 3 });
    return 0;
}

struct putter {
    coir_queue *queue;
    atomic_int put;
    int n;
};

static int put_several(void *arg)
{
    struct putter *putter = arg;
    for (int i = 0; i < putter->n; i++) {
        cr_assert_eq(coir_queue_put(putter->queue, &i), 0);
        atomic_fetch_add(&putter->put, 1);
    }
    return 0;
}

static int get_several(void *arg)
{
    struct putter *putter = arg;
    for (int i = 0, got; i < putter->n; i++) {
        cr_assert_eq(coir_queue_get(putter->queue, &got), 0);
        cr_assert_eq(got, i);
    }
    return 0;
}

/* test_queues.QueueBasicTests.test_maxsize */
RunTestOn(1, queue, that_is_full_takes_the_next_once_one_is_gone)
{
    coir_queue queue;
    struct putter putter = { .queue = &queue, .n = 3 };
    make(&queue, 2, COIR_QUEUE_FIFO);
    coir_task *task = coir_create_task(put_several, &putter);
    let_all_wait();
    cr_assert_eq(atomic_load(&putter.put), 2);
    cr_assert_eq(get_now(&queue), 0);
    let_all_wait();
    cr_assert_eq(atomic_load(&putter.put), 3);
    cr_assert_eq(get_now(&queue), 1);
    cr_assert_eq(get_now(&queue), 2);
    cr_assert_eq(coir_await(task), 0);
    coir_queue_destroy(&queue);
    return 0;
}

/* test_queues.QueueGetTests.test_get_cancelled_race */
RunTestOn(1, queue, put_after_the_first_getter_was_cancelled_is_got_by_the_second)
{
    coir_queue queue;
    struct user first, second;
    make(&queue, COIR_UNBOUNDED, COIR_QUEUE_FIFO);
    coir_task *a = start_get(&first, &queue), *b = start_get(&second, &queue);
    coir_cancel(a);
    let_all_wait();
    cr_assert(coir_task_done(a));
    put_now(&queue, 7);
    cr_assert_eq(coir_await(a), -ECANCELED);
    cr_assert_eq(coir_await(b), 0);
    cr_assert_eq(second.item, 7);
    coir_queue_destroy(&queue);
    return 0;
}

/* test_queues.QueueGetTests.test_get_with_waiting_putters */
RunTestOn(1, queue, with_putters_that_wait_gives_their_items_in_their_order)
{
    coir_queue queue;
    struct user users[2];
    int got;
    make(&queue, 1, COIR_QUEUE_FIFO);
    coir_task *a = start_put(&users[0], &queue, 1), *b = start_put(&users[1], &queue, 2);
    for (int i = 1; i <= 2; i++) {
        cr_assert_eq(coir_queue_get(&queue, &got), 0);
        cr_assert_eq(got, i);
    }
    cr_assert_eq(coir_await(a), 0);
    cr_assert_eq(coir_await(b), 0);
    coir_queue_destroy(&queue);
    return 0;
}

/* test_queues.QueueGetTests.test_why_are_getters_waiting */
RunTest(queue, of_one_passes_all_from_a_producer_to_a_consumer)
{
    coir_queue queue;
    struct putter putter = { .queue = &queue, .n = 5 }, getter = { .queue = &queue, .n = 5 };
    make(&queue, 1, COIR_QUEUE_FIFO);
    coir_call calls[] = { { put_several, &putter, 0 }, { get_several, &getter, 0 } };
    cr_assert_eq(coir_gather_array(calls, 2), 0);
    cr_assert_eq(coir_queue_size(&queue), 0);
    coir_queue_destroy(&queue);
    return 0;
}

/* test_queues.QueuePutTests.test_get_cancel_drop_one_pending_reader */
RunTestOn(1, queue, whose_getter_is_cancelled_after_a_put_gives_the_first_item_all_the_same)
{
    coir_queue queue;
    struct user user;
    make(&queue, COIR_UNBOUNDED, COIR_QUEUE_FIFO);
    coir_task *task = start_get(&user, &queue);
    put_now(&queue, 1);
    put_now(&queue, 2);
    coir_cancel(task);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(user.item, 1);
    cr_assert_eq(get_now(&queue), 2);
    coir_queue_destroy(&queue);
    return 0;
}

/* test_queues.QueuePutTests.test_get_cancel_drop_many_pending_readers */
RunTestOn(1, queue, whose_first_of_three_getters_is_cancelled_after_two_puts_loses_none)
{
    coir_queue queue;
    struct user users[3];
    coir_task *tasks[3];
    int sum = 0;
    make(&queue, COIR_UNBOUNDED, COIR_QUEUE_FIFO);
    for (int i = 0; i < 3; i++)
        tasks[i] = start_get(&users[i], &queue);
    put_now(&queue, 1);
    put_now(&queue, 2);
    coir_cancel(tasks[0]);
    let_all_wait();
    put_now(&queue, 4);
    for (int i = 0; i < 3; i++)
        sum += coir_await(tasks[i]) == 0 ? users[i].item : 0;
    cr_assert_eq(sum, 7);
    cr_assert_eq(coir_queue_size(&queue), 0);
    coir_queue_destroy(&queue);
    return 0;
}

/* test_queues.QueuePutTests.test_put_cancel_drop,
   test_cancelled_put_silence_value_error_exception */
RunTestOn(1, queue, whose_putter_is_cancelled_after_a_get_has_its_item)
{
    coir_queue queue;
    struct user user;
    make(&queue, 1, COIR_QUEUE_FIFO);
    put_now(&queue, 1);
    coir_task *task = start_put(&user, &queue, 2);
    cr_assert_eq(get_now(&queue), 1);
    coir_cancel(task);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(get_now(&queue), 2);
    cr_assert_eq(coir_queue_size(&queue), 0);
    coir_queue_destroy(&queue);
    return 0;
}

/* test_queues.QueuePutTests.test_put_cancelled_race */
RunTestOn(1, queue, whose_last_putter_is_cancelled_takes_the_item_before_it)
{
    coir_queue queue;
    struct user users[3];
    make(&queue, 1, COIR_QUEUE_FIFO);
    coir_task *a = start_put(&users[0], &queue, 1);
    coir_task *b = start_put(&users[1], &queue, 2);
    coir_task *c = start_put(&users[2], &queue, 9);
    cr_assert(coir_task_done(a));
    cr_assert_not(coir_task_done(b));
    coir_cancel(c);
    let_all_wait();
    cr_assert(coir_task_done(c));
    cr_assert_eq(get_now(&queue), 1);
    let_all_wait();
    cr_assert_eq(get_now(&queue), 2);
    cr_assert_eq(coir_await(a), 0);
    cr_assert_eq(coir_await(b), 0);
    cr_assert_eq(coir_await(c), -ECANCELED);
    coir_queue_destroy(&queue);
    return 0;
}

/* test_queues.QueuePutTests.test_why_are_putters_waiting */
RunTestOn(1, queue, emptied_of_what_it_had_lets_those_that_waited_put)
{
    coir_queue queue;
    struct user users[4];
    coir_task *tasks[4];
    make(&queue, 2, COIR_QUEUE_FIFO);
    for (int i = 0; i < 4; i++)
        tasks[i] = start_put(&users[i], &queue, i);
    for (size_t n = coir_queue_size(&queue); n > 0; n--)
        get_now(&queue);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(coir_await(tasks[i]), 0);
    cr_assert_eq(get_now(&queue), 2);
    cr_assert_eq(get_now(&queue), 3);
    coir_queue_destroy(&queue);
    return 0;
}

/* ----------------------------------------------------------------- join --- */

struct workers {
    coir_queue queue;
    atomic_int sum;
};

static int work(void *arg)
{
    struct workers *workers = arg;
    int item, rc;
    while ((rc = coir_queue_get(&workers->queue, &item)) == 0) {
        atomic_fetch_add(&workers->sum, item);
        cr_assert_eq(coir_queue_task_done(&workers->queue), 0);
    }
    return rc;
}

/* test_queues._QueueJoinTestMixin.test_task_done */
RunTest(queue, joined_has_had_all_its_items_worked_on)
{
    for (int order = COIR_QUEUE_FIFO; order <= COIR_QUEUE_PRIORITY; order++) {
        struct workers workers = { .sum = 0 };
        coir_task *tasks[2];
        make(&workers.queue, COIR_UNBOUNDED, order);
        for (int i = 0; i < 100; i++)
            put_now(&workers.queue, i);
        for (int i = 0; i < 2; i++)
            tasks[i] = coir_create_task(work, &workers);
        cr_assert_eq(coir_queue_join(&workers.queue), 0);
        cr_assert_eq(atomic_load(&workers.sum), 4950);
        coir_queue_close(&workers.queue);
        cr_assert_eq(coir_await(tasks[0]), -EPIPE);
        cr_assert_eq(coir_await(tasks[1]), -EPIPE);
        coir_queue_destroy(&workers.queue);
    }
    return 0;
}

/* test_queues._QueueJoinTestMixin.test_task_done_underflow, test_join_empty_queue */
RunTest(queue, that_never_had_an_item_is_joined_and_has_nothing_to_be_done)
{
    for (int order = COIR_QUEUE_FIFO; order <= COIR_QUEUE_PRIORITY; order++) {
        coir_queue queue;
        make(&queue, COIR_UNBOUNDED, order);
        cr_assert_eq(coir_queue_join(&queue), 0);
        cr_assert_eq(coir_queue_join(&queue), 0);
        cr_assert_eq(coir_queue_task_done(&queue), -EINVAL);
        coir_queue_destroy(&queue);
    }
    return 0;
}

/* ------------------------------------------------------------- shutdown --- */

static void expect_shut_down(coir_queue *queue)
{
    int item = 0;
    cr_assert_eq(coir_queue_put(queue, &item), -EPIPE);
    cr_assert_eq(coir_queue_try_put(queue, &item), -EPIPE);
    cr_assert_eq(coir_queue_get(queue, &item), -EPIPE);
    cr_assert_eq(coir_queue_try_get(queue, &item), -EPIPE);
}

/* test_queues._QueueShutdownTestMixin.test_shutdown_empty */
RunTestOn(1, queue, closed_while_it_is_empty_ends_those_that_get)
{
    for (int order = COIR_QUEUE_FIFO; order <= COIR_QUEUE_PRIORITY; order++) {
        coir_queue queue;
        struct user user;
        make(&queue, COIR_UNBOUNDED, order);
        coir_task *task = start_get(&user, &queue);
        coir_queue_close(&queue);
        cr_assert_eq(coir_queue_size(&queue), 0);
        cr_assert_eq(coir_queue_join(&queue), 0);
        cr_assert_eq(coir_await(task), -EPIPE);
        expect_shut_down(&queue);
        coir_queue_destroy(&queue);
    }
    return 0;
}

/* test_queues._QueueShutdownTestMixin.test_shutdown_nonempty */
RunTestOn(1, queue, closed_while_it_is_full_gives_its_items_and_ends_those_that_put)
{
    for (int order = COIR_QUEUE_FIFO; order <= COIR_QUEUE_PRIORITY; order++) {
        coir_queue queue;
        struct user user;
        int got;
        make(&queue, 1, order);
        put_now(&queue, 1);
        coir_task *join = coir_create_task(join_it, &queue);
        coir_task *put = start_put(&user, &queue, 2);
        cr_assert_not(coir_task_done(put));
        coir_queue_close(&queue);
        cr_assert_eq(coir_queue_size(&queue), 1);
        cr_assert_eq(coir_await(put), -EPIPE);
        cr_assert_eq(coir_queue_get(&queue, &got), 0);
        cr_assert_eq(got, 1);
        let_all_wait();
        cr_assert_not(coir_task_done(join));
        expect_shut_down(&queue);
        cr_assert_eq(coir_queue_task_done(&queue), 0);
        cr_assert_eq(coir_await(join), 0);
        cr_assert_eq(coir_queue_task_done(&queue), -EINVAL);
        coir_queue_destroy(&queue);
    }
    return 0;
}

/* test_queues._QueueShutdownTestMixin.test_shutdown_immediate */
RunTestOn(1, queue, shut_down_with_items_is_joined_at_once)
{
    for (int order = COIR_QUEUE_FIFO; order <= COIR_QUEUE_PRIORITY; order++) {
        coir_queue queue;
        make(&queue, COIR_UNBOUNDED, order);
        put_now(&queue, 1);
        coir_task *join = coir_create_task(join_it, &queue);
        let_all_wait();
        coir_queue_shutdown(&queue);
        cr_assert_eq(coir_queue_size(&queue), 0);
        cr_assert_eq(coir_await(join), 0);
        expect_shut_down(&queue);
        cr_assert_eq(coir_queue_task_done(&queue), -EINVAL);
        coir_queue_destroy(&queue);
    }
    return 0;
}

/* test_queues._QueueShutdownTestMixin.test_shutdown_immediate_with_unfinished */
RunTestOn(1, queue, shut_down_while_one_item_is_worked_on_is_joined_after_that)
{
    for (int order = COIR_QUEUE_FIFO; order <= COIR_QUEUE_PRIORITY; order++) {
        coir_queue queue;
        make(&queue, COIR_UNBOUNDED, order);
        put_now(&queue, 1);
        put_now(&queue, 1);
        coir_task *join = coir_create_task(join_it, &queue);
        cr_assert_eq(get_now(&queue), 1);
        coir_queue_shutdown(&queue);
        cr_assert_eq(coir_queue_size(&queue), 0);
        let_all_wait();
        cr_assert_not(coir_task_done(join));
        expect_shut_down(&queue);
        cr_assert_eq(coir_queue_task_done(&queue), 0);
        cr_assert_eq(coir_queue_task_done(&queue), -EINVAL);
        cr_assert_eq(coir_await(join), 0);
        coir_queue_destroy(&queue);
    }
    return 0;
}
