/*
 * Queues: what is put is got once, in order; who waits, who is refused, and the end.
 */
#include "api/in_thread.h"

COIR_QUEUE_TYPE(numbers, int);

/* A task that puts or gets, once. */
struct user {
    coir_queue *queue;
    int item;
    int rc;
    int next_call;
    int *turns; /* with one worker */
    int turn;
};

static int put_once(void *arg)
{
    struct user *user = arg;
    user->rc = coir_queue_put(user->queue, &user->item);
    user->turn = user->turns ? (*user->turns)++ : 0;
    user->next_call = coir_check();
    return user->rc;
}

static int get_once(void *arg)
{
    struct user *user = arg;
    user->rc = coir_queue_get(user->queue, &user->item);
    user->turn = user->turns ? (*user->turns)++ : 0;
    user->next_call = coir_check();
    return user->rc;
}

static void make(coir_queue *queue, size_t capacity)
{
    cr_assert_eq(numbers_init(queue, capacity), 0);
}

static void make_ordered(coir_queue *queue, size_t capacity, int order, coir_compare_fn *compare)
{
    coir_queue_options options = { .capacity = capacity, .item_size = sizeof(int),
                                   .order = order, .compare = compare };
    cr_assert_eq(coir_queue_init_with(queue, &options), 0);
}

static void put_all(coir_queue *queue, const int *items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        cr_assert_eq(numbers_try_put(queue, &items[i]), 0);
}

static void expect(coir_queue *queue, int item)
{
    int got = -1;
    cr_assert_eq(numbers_try_get(queue, &got), 0);
    cr_assert_eq(got, item);
}

static void expect_all(coir_queue *queue, const int *items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        expect(queue, items[i]);
    cr_assert_eq(coir_queue_size(queue), 0);
}

static const int one = 1, two = 2, three = 3;

/* ----------------------------------------------------------- being made --- */

RunTest(queue, options_that_make_no_sense_are_einval)
{
    coir_queue queue;
    coir_queue_options no_size = { .capacity = 1 };
    coir_queue_options no_order = { .capacity = 1, .item_size = 1, .order = 3 };
    coir_queue_options less = { .capacity = 1, .item_size = 1, .order = -1 };
    coir_queue_options no_compare = { .capacity = 1, .item_size = 1,
                                      .order = COIR_QUEUE_PRIORITY };
    cr_assert_eq(coir_queue_init_with(&queue, &no_size), -EINVAL);
    cr_assert_eq(coir_queue_init_with(&queue, &no_order), -EINVAL);
    cr_assert_eq(coir_queue_init_with(&queue, &less), -EINVAL);
    cr_assert_eq(coir_queue_init_with(&queue, &no_compare), -EINVAL);
    cr_assert_eq(coir_queue_init(&queue, 1, 0), -EINVAL);
    return 0;
}

static int compare_ints(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

RunTest(queue, too_large_for_memory_is_enomem)
{
    coir_queue queue;
    coir_queue_options large = { .capacity = SIZE_MAX / 16, .item_size = 8,
                                 .order = COIR_QUEUE_PRIORITY, .compare = compare_ints };
    cr_assert_eq(coir_queue_init(&queue, SIZE_MAX - 1, 1), -ENOMEM);
    cr_assert_eq(coir_queue_init(&queue, SIZE_MAX / 4, 8), -ENOMEM);
    cr_assert_eq(coir_queue_init(&queue, 1, SIZE_MAX), -ENOMEM);
    cr_assert_eq(coir_queue_init_with(&queue, &large), -ENOMEM);
    return 0;
}

RunTest(queue, destroyed_with_items_forgets_them)
{
    coir_queue queue;
    for (int i = 0; i < 2; i++) {
        make(&queue, i ? 3 : COIR_UNBOUNDED);
        put_all(&queue, (int[]){ 1, 2, 3 }, 3);
        coir_queue_destroy(&queue);
    }
    return 0;
}

/* Items larger than anything, and of one byte. */
RunTest(queue, copies_items_of_any_size)
{
    struct large { char bytes[5000]; } *in = malloc(sizeof *in), *out = malloc(sizeof *out);
    coir_queue queue;
    for (size_t i = 0; i < sizeof *in; i++)
        in->bytes[i] = (char)(i * 7);
    cr_assert_eq(coir_queue_init(&queue, COIR_UNBOUNDED, sizeof *in), 0);
    cr_assert_eq(coir_queue_put(&queue, in), 0);
    in->bytes[17]++;
    cr_assert_eq(coir_queue_put(&queue, in), 0);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(coir_queue_get(&queue, out), 0);
        cr_assert_eq(out->bytes[17], (char)(17 * 7 + i));
        cr_assert_eq(out->bytes[4999], (char)(4999 * 7));
    }
    coir_queue_destroy(&queue);
    free(in);
    free(out);

    char byte = 'x';
    cr_assert_eq(coir_queue_init(&queue, 1, 1), 0);
    cr_assert_eq(coir_queue_put(&queue, &byte), 0);
    byte = 0;
    cr_assert_eq(coir_queue_get(&queue, &byte), 0);
    cr_assert_eq(byte, 'x');
    coir_queue_destroy(&queue);
    return 0;
}

/* ---------------------------------------------------------------- order --- */

RunTest(queue, gives_the_oldest_first)
{
    enum { N = 100 };
    coir_queue queue;
    int items[N];
    for (int i = 0; i < N; i++)
        items[i] = i;
    make(&queue, N);
    for (int round = 0; round < 3; round++) {
        put_all(&queue, items, N);
        cr_assert_eq(coir_queue_size(&queue), N);
        cr_assert_eq(numbers_try_put(&queue, &one), -EAGAIN);
        expect_all(&queue, items, N);
        cr_assert_eq(numbers_try_put(&queue, &items[0]), 0); /* elsewhere in the ring */
        expect(&queue, 0);
    }
    coir_queue_destroy(&queue);
    return 0;
}

/* It grows while its ring is turned. */
RunTest(queue, without_bound_keeps_the_order_while_it_grows)
{
    coir_queue queue;
    int put = 0, got = 0;
    make(&queue, COIR_UNBOUNDED);
    for (int round = 1; round < 40; round++) {
        for (int i = 0; i < 3 * round; i++, put++)
            cr_assert_eq(numbers_put(&queue, &put), 0);
        for (int i = 0; i < 2 * round; i++)
            expect(&queue, got++);
    }
    cr_assert_eq(coir_queue_size(&queue), (size_t)(put - got));
    while (got < put)
        expect(&queue, got++);
    coir_queue_destroy(&queue);
    return 0;
}

RunTest(queue, last_in_first_out_gives_the_newest_first)
{
    for (int i = 0; i < 2; i++) {
        coir_queue queue;
        make_ordered(&queue, i ? 40 : COIR_UNBOUNDED, COIR_QUEUE_LIFO, NULL);
        for (int item = 0; item < 40; item++)
            cr_assert_eq(numbers_put(&queue, &item), 0);
        for (int item = 39; item >= 20; item--)
            expect(&queue, item);
        put_all(&queue, &three, 1);
        expect(&queue, 3);
        for (int item = 19; item >= 0; item--)
            expect(&queue, item);
        coir_queue_destroy(&queue);
    }
    return 0;
}

struct ranked {
    int rank, number;
};

static int compare_ranks(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

/* Put and got at random, against a search through all. */
RunTest(queue, by_priority_gives_the_least_first_and_of_equals_the_oldest)
{
    enum { N = 60 };
    coir_queue_options options = { .capacity = COIR_UNBOUNDED, .item_size = sizeof(struct ranked),
                                   .order = COIR_QUEUE_PRIORITY, .compare = compare_ranks };
    coir_queue queue;
    struct ranked held[N];
    int n = 0, number = 0;
    unsigned random = 1;
    cr_assert_eq(coir_queue_init_with(&queue, &options), 0);
    for (int i = 0; i < check_scale(20000); i++) {
        if (n == 0 || (n < N && next_random(&random) % 2)) {
            held[n] = (struct ranked){ (int)(next_random(&random) % 8), number++ };
            cr_assert_eq(coir_queue_put(&queue, &held[n++]), 0);
            continue;
        }
        struct ranked got;
        int best = 0;
        for (int k = 1; k < n; k++)
            if (compare_ranks(&held[k], &held[best]) < 0)
                best = k;
        cr_assert_eq(coir_queue_get(&queue, &got), 0);
        cr_assert_eq(got.rank, held[best].rank);
        cr_assert_eq(got.number, held[best].number);
        for (n--; best < n; best++)
            held[best] = held[best + 1];
    }
    coir_queue_destroy(&queue);
    return 0;
}

RunTestOn(1, queue, serves_getters_in_the_order_in_which_they_came, .init = forget_debug)
{
    enum { N = 10 };
    coir_queue queue;
    struct user users[N];
    coir_task *tasks[N];
    int turns = 0;
    make(&queue, 2);
    for (int i = 0; i < N; i++) {
        users[i] = (struct user){ .queue = &queue, .turns = &turns };
        tasks[i] = coir_create_task(get_once, &users[i]);
        let_all_wait();
    }
    for (int i = 0; i < N; i++)
        cr_assert_eq(numbers_put(&queue, &i), 0);
    for (int i = 0; i < N; i++) {
        cr_assert_eq(coir_await(tasks[i]), 0);
        cr_assert_eq(users[i].item, i);
        cr_assert_eq(users[i].turn, i);
    }
    coir_queue_destroy(&queue);
    return 0;
}

RunTestOn(1, queue, serves_putters_in_the_order_in_which_they_came)
{
    enum { N = 10 };
    for (size_t capacity = 0; capacity < 3; capacity++) {
        coir_queue queue;
        struct user users[N];
        coir_task *tasks[N];
        make(&queue, capacity);
        for (int i = 0; i < N; i++) {
            users[i] = (struct user){ .queue = &queue, .item = i };
            tasks[i] = coir_create_task(put_once, &users[i]);
            let_all_wait();
        }
        cr_assert_eq(coir_queue_size(&queue), capacity);
        for (int i = 0; i < N; i++)
            expect(&queue, i);
        for (int i = 0; i < N; i++)
            cr_assert_eq(coir_await(tasks[i]), 0);
        coir_queue_destroy(&queue);
    }
    return 0;
}

/* A putter's item goes in behind those that are there: where its rank says, though. */
RunTestOn(1, queue, by_priority_ranks_the_item_of_one_that_waited)
{
    coir_queue queue;
    struct user user = { .queue = &queue, .item = 1 };
    make_ordered(&queue, 2, COIR_QUEUE_PRIORITY, compare_ints);
    put_all(&queue, (int[]){ 3, 2 }, 2);
    coir_task *task = coir_create_task(put_once, &user);
    let_all_wait();
    expect_all(&queue, (int[]){ 2, 1, 3 }, 3);
    cr_assert_eq(coir_await(task), 0);
    coir_queue_destroy(&queue);
    return 0;
}

/* -------------------------------------------------------------- waiting --- */

RunTest(queue, that_is_full_makes_who_puts_wait)
{
    coir_queue queue;
    struct user user = { .queue = &queue, .item = 2 };
    make(&queue, 1);
    cr_assert_eq(numbers_put(&queue, &one), 0);
    coir_task *task = coir_create_task(put_once, &user);
    let_them_wait();
    cr_assert_not(coir_task_done(task));
    cr_assert_eq(coir_queue_size(&queue), 1);
    int got;
    cr_assert_eq(numbers_get(&queue, &got), 0);
    cr_assert_eq(got, 1);
    cr_assert_eq(coir_await(task), 0);
    expect(&queue, 2);
    coir_queue_destroy(&queue);
    return 0;
}

RunTest(queue, that_is_empty_makes_who_gets_wait)
{
    coir_queue queue;
    struct user user = { .queue = &queue };
    make(&queue, COIR_UNBOUNDED);
    coir_task *task = coir_create_task(get_once, &user);
    let_them_wait();
    cr_assert_not(coir_task_done(task));
    cr_assert_eq(numbers_put(&queue, &one), 0);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(user.item, 1);
    cr_assert_eq(coir_queue_size(&queue), 0);
    coir_queue_destroy(&queue);
    return 0;
}

RunTest(queue, of_capacity_0_holds_nothing_and_hands_over)
{
    coir_queue queue;
    struct user putter = { .queue = &queue, .item = 2 }, getter = { .queue = &queue };
    make(&queue, 0);
    cr_assert_eq(numbers_try_put(&queue, &one), -EAGAIN);
    cr_assert_eq(numbers_try_get(&queue, &getter.item), -EAGAIN);
    coir_task *task = coir_create_task(put_once, &putter);
    let_them_wait();
    cr_assert_not(coir_task_done(task));
    cr_assert_eq(coir_queue_size(&queue), 0);
    int got;
    cr_assert_eq(numbers_get(&queue, &got), 0);
    cr_assert_eq(got, 2);
    cr_assert_eq(coir_await(task), 0);

    task = coir_create_task(get_once, &getter);
    cr_assert_eq(numbers_put(&queue, &three), 0);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(getter.item, 3);
    coir_queue_destroy(&queue);
    return 0;
}

/* Many to many; every number once. */
struct traffic {
    coir_queue queue;
    int per_task;
    atomic_int next;
    atomic_int *seen;
};

static int send_numbers(void *arg)
{
    struct traffic *traffic = arg;
    for (int i = 0; i < traffic->per_task; i++) {
        int item = atomic_fetch_add(&traffic->next, 1);
        cr_assert_eq(numbers_put(&traffic->queue, &item), 0);
    }
    return 0;
}

static int receive_numbers(void *arg)
{
    struct traffic *traffic = arg;
    int item, rc;
    while ((rc = numbers_get(&traffic->queue, &item)) == 0)
        atomic_fetch_add(&traffic->seen[item], 1);
    return rc == -EPIPE ? 0 : rc;
}

static void run_traffic(struct traffic *traffic)
{
    enum { SENDERS = 5, RECEIVERS = 7 };
    coir_call senders[SENDERS];
    coir_group receivers;
    traffic->per_task = check_scale(400);
    traffic->seen = calloc((size_t)(SENDERS * traffic->per_task), sizeof(atomic_int));
    coir_group_init(&receivers);
    for (int i = 0; i < RECEIVERS; i++)
        cr_assert_eq(coir_group_create_task(&receivers, receive_numbers, traffic), 0);
    for (int i = 0; i < SENDERS; i++)
        senders[i] = (coir_call){ send_numbers, traffic, 0 };
    cr_assert_eq(coir_gather_array(senders, SENDERS), 0);
    coir_queue_close(&traffic->queue);
    cr_assert_eq(coir_group_wait(&receivers), 0);
    for (int i = 0; i < SENDERS * traffic->per_task; i++)
        cr_assert_eq(atomic_load(&traffic->seen[i]), 1);
    free(traffic->seen);
    coir_queue_destroy(&traffic->queue);
}

RunTest(queue, passes_every_item_once_from_many_to_many)
{
    static const size_t capacities[] = { 0, 1, 3, 64, COIR_UNBOUNDED };
    for (size_t i = 0; i < LENGTH(capacities); i++) {
        struct traffic traffic = { .next = 0 };
        make(&traffic.queue, capacities[i]);
        run_traffic(&traffic);
    }
    return 0;
}

RunTest(queue, of_any_order_passes_every_item_once)
{
    for (int order = COIR_QUEUE_LIFO; order <= COIR_QUEUE_PRIORITY; order++) {
        for (size_t capacity = 0; capacity < 9; capacity += 4) {
            struct traffic traffic = { .next = 0 };
            make_ordered(&traffic.queue, capacity, order, compare_ints);
            run_traffic(&traffic);
        }
    }
    return 0;
}

/* ----------------------------------------------------------------- many --- */

RunTest(queue, takes_many_at_once_and_gives_what_there_is)
{
    enum { N = 300 };
    coir_queue queue;
    int in[N], out[N];
    for (int i = 0; i < N; i++)
        in[i] = i;
    make(&queue, COIR_UNBOUNDED);
    cr_assert_eq(numbers_put_many(&queue, in, 0), 0);
    cr_assert_eq(numbers_put_many(&queue, in, N), N);
    cr_assert_eq(numbers_get_many(&queue, out, 0), 0);
    cr_assert_eq(numbers_get_many(&queue, out, 10), 10);
    cr_assert_eq(numbers_get_many(&queue, out + 10, N), N - 10);
    for (int i = 0; i < N; i++)
        cr_assert_eq(out[i], i);
    coir_queue_destroy(&queue);
    return 0;
}

struct batch {
    coir_queue *queue;
    int items[200];
    size_t n;
    ssize_t done;
};

static int put_batch(void *arg)
{
    struct batch *batch = arg;
    batch->done = numbers_put_many(batch->queue, batch->items, batch->n);
    return 0;
}

static int get_batch(void *arg)
{
    struct batch *batch = arg;
    batch->done = numbers_get_many(batch->queue, batch->items, batch->n);
    return 0;
}

RunTest(queue, put_many_waits_until_all_have_room)
{
    for (size_t capacity = 0; capacity < 4; capacity++) {
        coir_queue queue;
        struct batch batch = { .queue = &queue, .n = 200 };
        make(&queue, capacity);
        for (int i = 0; i < 200; i++)
            batch.items[i] = i;
        coir_task *task = coir_create_task(put_batch, &batch);
        for (int i = 0; i < 200; i++) {
            int got = -1;
            cr_assert_eq(numbers_get(&queue, &got), 0);
            cr_assert_eq(got, i);
        }
        cr_assert_eq(coir_await(task), 0);
        cr_assert_eq(batch.done, 200);
        coir_queue_destroy(&queue);
    }
    return 0;
}

RunTest(queue, get_many_waits_for_one)
{
    coir_queue queue;
    struct batch batch = { .queue = &queue, .n = 200 };
    make(&queue, 8);
    coir_task *task = coir_create_task(get_batch, &batch);
    let_them_wait();
    cr_assert_not(coir_task_done(task));
    cr_assert_eq(numbers_put(&queue, &one), 0);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(batch.done, 1);
    cr_assert_eq(batch.items[0], 1);
    coir_queue_destroy(&queue);
    return 0;
}

RunTestOn(1, queue, put_many_serves_all_that_wait)
{
    enum { N = 10 };
    coir_queue queue;
    struct user users[N];
    coir_task *tasks[N];
    int items[N];
    make(&queue, 1);
    for (int i = 0; i < N; i++) {
        items[i] = i;
        users[i] = (struct user){ .queue = &queue };
        tasks[i] = coir_create_task(get_once, &users[i]);
        let_all_wait();
    }
    cr_assert_eq(numbers_put_many(&queue, items, N), N);
    for (int i = 0; i < N; i++) {
        cr_assert_eq(coir_await(tasks[i]), 0);
        cr_assert_eq(users[i].item, i);
    }
    coir_queue_destroy(&queue);
    return 0;
}

RunTestOn(1, queue, get_many_takes_also_from_those_that_wait_to_put)
{
    enum { N = 10 };
    for (size_t capacity = 0; capacity < 4; capacity++) {
        coir_queue queue;
        struct user users[N];
        coir_task *tasks[N];
        int items[N];
        make(&queue, capacity);
        for (int i = 0; i < N; i++) {
            users[i] = (struct user){ .queue = &queue, .item = i };
            tasks[i] = coir_create_task(put_once, &users[i]);
            let_all_wait();
        }
        cr_assert_eq(numbers_get_many(&queue, items, N), N);
        for (int i = 0; i < N; i++) {
            cr_assert_eq(coir_await(tasks[i]), 0);
            cr_assert_eq(items[i], i);
        }
        coir_queue_destroy(&queue);
    }
    return 0;
}

RunTest(queue, put_many_that_is_stopped_says_how_many_were_put)
{
    for (int close = 0; close < 2; close++) {
        coir_queue queue;
        struct batch batch = { .queue = &queue, .n = 200 };
        int got;
        make(&queue, 3);
        coir_task *task = coir_create_task(put_batch, &batch);
        while (coir_queue_size(&queue) < 3)
            cr_assert_eq(coir_yield(), 0);
        let_them_wait();
        if (close)
            coir_queue_close(&queue);
        else
            coir_cancel(task);
        cr_assert_eq(coir_await(task), 0);
        cr_assert_eq(batch.done, 3);
        for (int i = 0; i < 3; i++)
            cr_assert_eq(numbers_get(&queue, &got), 0);
        cr_assert_eq(numbers_try_get(&queue, &got), close ? -EPIPE : -EAGAIN);
        coir_queue_destroy(&queue);
    }
    return 0;
}

RunTest(queue, many_that_are_refused_are_none)
{
    coir_queue queue;
    int items[2] = { 1, 2 };
    coir_timeout limit;
    make(&queue, 0);
    coir_timeout_begin(&limit, COIR_MILLISECONDS(1));
    cr_assert_eq(numbers_put_many(&queue, items, 2), -ETIMEDOUT);
    cr_assert_eq(numbers_get_many(&queue, items, 2), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    coir_queue_close(&queue);
    cr_assert_eq(numbers_put_many(&queue, items, 2), -EPIPE);
    cr_assert_eq(numbers_get_many(&queue, items, 2), -EPIPE);
    coir_cancel(coir_current_task());
    cr_assert_eq(numbers_put_many(&queue, items, 2), -ECANCELED);
    cr_assert_eq(numbers_get_many(&queue, items, 2), -ECANCELED);
    coir_queue_destroy(&queue);
    return 0;
}

RunTest(queue, many_that_wait_and_are_cancelled_are_none)
{
    coir_queue queue;
    struct batch putting = { .queue = &queue, .n = 2 }, getting = { .queue = &queue, .n = 2 };
    make(&queue, 0);
    coir_task *task = coir_create_task(put_batch, &putting);
    let_them_wait();
    cr_assert_eq(coir_cancel_await(task), 0);
    cr_assert_eq(putting.done, -ECANCELED);
    task = coir_create_task(get_batch, &getting);
    let_them_wait();
    cr_assert_eq(coir_cancel_await(task), 0);
    cr_assert_eq(getting.done, -ECANCELED);
    coir_queue_destroy(&queue);
    return 0;
}

/* -------------------------------------------------------- being refused --- */

RunTest(queue, used_by_a_cancelled_task_refuses_and_is_as_it_was)
{
    coir_queue queue;
    int got = 7;
    coir_shield shield;
    make(&queue, 2);
    put_all(&queue, &two, 1);
    coir_cancel(coir_current_task());
    cr_assert_eq(numbers_put(&queue, &one), -ECANCELED);
    cr_assert_eq(numbers_get(&queue, &got), -ECANCELED);
    cr_assert_eq(numbers_try_put(&queue, &one), -ECANCELED);
    cr_assert_eq(numbers_try_get(&queue, &got), -ECANCELED);
    cr_assert_eq(coir_queue_join(&queue), -ECANCELED);
    cr_assert_eq(got, 7);
    coir_shield_begin(&shield);
    expect_all(&queue, &two, 1);
    coir_shield_end(&shield);
    coir_queue_destroy(&queue);
    return 0;
}

RunTest(queue, used_past_a_deadline_refuses_and_is_as_it_was)
{
    coir_queue queue;
    int got = 7;
    coir_timeout limit;
    make(&queue, 2);
    put_all(&queue, &two, 1);
    coir_timeout_begin(&limit, 0);
    cr_assert_eq(numbers_put(&queue, &one), -ETIMEDOUT);
    cr_assert_eq(numbers_get(&queue, &got), -ETIMEDOUT);
    cr_assert_eq(numbers_try_put(&queue, &one), -ETIMEDOUT);
    cr_assert_eq(numbers_try_get(&queue, &got), -ETIMEDOUT);
    cr_assert_eq(coir_queue_join(&queue), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    cr_assert_eq(got, 7);
    expect_all(&queue, &two, 1);
    coir_queue_destroy(&queue);
    return 0;
}

RunTest(queue, whose_getter_is_cancelled_loses_no_item)
{
    coir_queue queue;
    struct user users[2] = { { .queue = &queue, .item = 9 }, { .queue = &queue } };
    make(&queue, 1);
    coir_task *a = coir_create_task(get_once, &users[0]);
    coir_task *b = coir_create_task(get_once, &users[1]);
    let_them_wait();
    cr_assert_eq(coir_cancel_await(a), -ECANCELED);
    cr_assert_eq(users[0].item, 9);
    cr_assert_eq(numbers_put(&queue, &one), 0);
    cr_assert_eq(coir_await(b), 0);
    cr_assert_eq(users[1].item, 1);
    coir_queue_destroy(&queue);
    return 0;
}

RunTest(queue, whose_putter_is_cancelled_has_not_got_its_item)
{
    for (size_t capacity = 0; capacity < 2; capacity++) {
        coir_queue queue;
        struct user users[2] = { { .queue = &queue, .item = 2 }, { .queue = &queue, .item = 3 } };
        make(&queue, capacity);
        if (capacity)
            put_all(&queue, &one, 1);
        coir_task *a = coir_create_task(put_once, &users[0]);
        coir_task *b = coir_create_task(put_once, &users[1]);
        let_them_wait();
        cr_assert_eq(coir_cancel_await(a), -ECANCELED);
        int got;
        if (capacity)
            expect(&queue, 1);
        cr_assert_eq(numbers_get(&queue, &got), 0);
        cr_assert_eq(got, 3);
        cr_assert_eq(coir_await(b), 0);
        coir_queue_destroy(&queue);
    }
    return 0;
}

RunTest(queue, whose_users_are_late_is_as_it_was)
{
    coir_queue queue;
    struct user user = { .queue = &queue, .item = 2 };
    make(&queue, 1);
    cr_assert_eq(coir_wait_for(coir_create_task(get_once, &user), COIR_MILLISECONDS(1)),
                 -ETIMEDOUT);
    put_all(&queue, &one, 1);
    cr_assert_eq(coir_wait_for(coir_create_task(put_once, &user), COIR_MILLISECONDS(1)),
                 -ETIMEDOUT);
    expect_all(&queue, &one, 1);
    coir_queue_destroy(&queue);
    return 0;
}

RunTestOn(1, queue, that_served_a_waiter_before_its_cancel_returned_0)
{
    coir_queue queue;
    struct user getter = { .queue = &queue }, putter = { .queue = &queue, .item = 5 };
    make(&queue, 0);
    coir_task *task = coir_create_task(get_once, &getter);
    let_all_wait();
    cr_assert_eq(numbers_put(&queue, &one), 0);
    coir_cancel(task);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(getter.item, 1);
    cr_assert_eq(getter.next_call, -ECANCELED);

    task = coir_create_task(put_once, &putter);
    let_all_wait();
    expect(&queue, 5);
    coir_cancel(task);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(putter.next_call, -ECANCELED);
    coir_queue_destroy(&queue);
    return 0;
}

/* Each put that said 0 is got once, each that was stopped never. */
RunTest(queue, used_and_cancelled_at_once_neither_loses_nor_doubles)
{
    enum { N = 3 };
    for (int i = 0; i < check_scale(2000); i++) {
        coir_queue queue;
        struct user putters[N], getters[N];
        coir_task *puts[N], *gets[N];
        int put = 0, got = 0;
        make(&queue, (size_t)(i % 3));
        for (int k = 0; k < N; k++) {
            putters[k] = (struct user){ .queue = &queue, .item = 1 << (4 * k) };
            getters[k] = (struct user){ .queue = &queue };
            puts[k] = coir_create_task(put_once, &putters[k]);
            gets[k] = coir_create_task(get_once, &getters[k]);
        }
        if (i % 5)
            cr_assert_eq(coir_yield(), 0);
        coir_cancel(puts[i % N]);
        coir_cancel(gets[i % 7 % N]);
        if (i % 2)
            cr_assert_eq(coir_yield(), 0);
        coir_queue_close(&queue);
        for (int k = 0; k < N; k++) {
            put += coir_await(puts[k]) == 0 ? putters[k].item : 0;
            got += coir_await(gets[k]) == 0 ? getters[k].item : 0;
        }
        int left = 0;
        while (numbers_try_get(&queue, &left) == 0)
            got += left;
        cr_assert_eq(put, got);
        coir_queue_destroy(&queue);
    }
    return 0;
}

/* -------------------------------------------------------------- the end --- */

RunTest(queue, closed_gives_what_it_has_and_takes_nothing_more)
{
    coir_queue queue;
    int got = 7;
    make(&queue, 4);
    put_all(&queue, (int[]){ 1, 2, 3 }, 3);
    cr_assert_not(coir_queue_is_closed(&queue));
    coir_queue_close(&queue);
    coir_queue_close(&queue);
    cr_assert(coir_queue_is_closed(&queue));
    cr_assert_eq(numbers_put(&queue, &one), -EPIPE);
    cr_assert_eq(numbers_try_put(&queue, &one), -EPIPE);
    cr_assert_eq(coir_queue_size(&queue), 3);
    cr_assert_eq(numbers_get(&queue, &got), 0);
    cr_assert_eq(got, 1);
    expect_all(&queue, (int[]){ 2, 3 }, 2);
    cr_assert_eq(numbers_get(&queue, &got), -EPIPE);
    cr_assert_eq(numbers_try_get(&queue, &got), -EPIPE);
    cr_assert_eq(got, 1);
    coir_queue_destroy(&queue);
    return 0;
}

RunTest(queue, shut_down_forgets_what_it_has)
{
    coir_queue queue;
    int got;
    make(&queue, 4);
    put_all(&queue, (int[]){ 1, 2, 3 }, 3);
    coir_queue_shutdown(&queue);
    cr_assert(coir_queue_is_closed(&queue));
    cr_assert_eq(coir_queue_size(&queue), 0);
    cr_assert_eq(numbers_get(&queue, &got), -EPIPE);
    cr_assert_eq(numbers_put(&queue, &one), -EPIPE);
    cr_assert_eq(coir_queue_join(&queue), 0);
    coir_queue_destroy(&queue);
    return 0;
}

RunTest(queue, closed_sends_all_that_wait_away)
{
    enum { N = 5 };
    for (int i = 0; i < 4; i++) {
        bool puts = i % 2;
        coir_queue queue;
        struct user users[N];
        coir_task *tasks[N];
        make(&queue, puts);
        if (puts)
            put_all(&queue, &one, 1);
        for (int k = 0; k < N; k++) {
            users[k] = (struct user){ .queue = &queue, .item = 9 };
            tasks[k] = coir_create_task(puts ? put_once : get_once, &users[k]);
        }
        let_them_wait();
        if (i / 2)
            coir_queue_shutdown(&queue);
        else
            coir_queue_close(&queue);
        for (int k = 0; k < N; k++) {
            cr_assert_eq(coir_await(tasks[k]), -EPIPE);
            cr_assert_eq(users[k].item, 9);
        }
        cr_assert_eq(coir_queue_size(&queue), puts && i < 2);
        coir_queue_destroy(&queue);
    }
    return 0;
}

RunTest(queue, shut_down_after_it_was_closed_forgets_too)
{
    coir_queue queue;
    make(&queue, 4);
    put_all(&queue, (int[]){ 1, 2 }, 2);
    coir_queue_close(&queue);
    coir_queue_shutdown(&queue);
    cr_assert_eq(coir_queue_size(&queue), 0);
    cr_assert_eq(coir_queue_join(&queue), 0);
    coir_queue_destroy(&queue);
    return 0;
}

/* -------------------------------------------------------- being done --- */

static int join_once(void *arg)
{
    struct user *user = arg;
    user->rc = coir_queue_join(user->queue);
    user->next_call = coir_check();
    return user->rc;
}

RunTest(queue, joined_waits_until_all_that_was_put_is_done)
{
    coir_queue queue;
    struct user user = { .queue = &queue };
    make(&queue, 4);
    cr_assert_eq(coir_queue_join(&queue), 0);
    put_all(&queue, (int[]){ 1, 2 }, 2);
    coir_task *task = coir_create_task(join_once, &user);
    expect_all(&queue, (int[]){ 1, 2 }, 2);
    cr_assert_eq(coir_queue_task_done(&queue), 0);
    let_them_wait();
    cr_assert_not(coir_task_done(task));
    cr_assert_eq(coir_queue_task_done(&queue), 0);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(coir_queue_join(&queue), 0);
    coir_queue_destroy(&queue);
    return 0;
}

RunTest(queue, done_more_often_than_put_is_einval)
{
    coir_queue queue;
    make(&queue, 4);
    cr_assert_eq(coir_queue_task_done(&queue), -EINVAL);
    put_all(&queue, &one, 1);
    cr_assert_eq(coir_queue_task_done(&queue), 0);
    cr_assert_eq(coir_queue_task_done(&queue), -EINVAL);
    coir_queue_destroy(&queue);
    return 0;
}

RunTest(queue, whose_join_is_cancelled_or_late_is_as_it_was)
{
    coir_queue queue;
    struct user user = { .queue = &queue };
    make(&queue, 4);
    put_all(&queue, &one, 1);
    coir_task *task = coir_create_task(join_once, &user);
    let_them_wait();
    cr_assert_eq(coir_cancel_await(task), -ECANCELED);
    cr_assert_eq(coir_wait_for(coir_create_task(join_once, &user), COIR_MILLISECONDS(1)),
                 -ETIMEDOUT);
    cr_assert_eq(coir_queue_task_done(&queue), 0);
    cr_assert_eq(coir_queue_join(&queue), 0);
    coir_queue_destroy(&queue);
    return 0;
}

RunTestOn(1, queue, whose_last_item_was_done_before_the_cancel_is_joined)
{
    coir_queue queue;
    struct user user = { .queue = &queue };
    make(&queue, 4);
    put_all(&queue, &one, 1);
    coir_task *task = coir_create_task(join_once, &user);
    let_all_wait();
    cr_assert_eq(coir_queue_task_done(&queue), 0);
    coir_cancel(task);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(user.next_call, -ECANCELED);
    coir_queue_destroy(&queue);
    return 0;
}

/* Items of those that waited count, and those that were sent away do not. */
RunTest(queue, shut_down_with_items_taken_waits_for_those)
{
    coir_queue queue;
    struct user putter = { .queue = &queue, .item = 3 }, joiner = { .queue = &queue };
    make(&queue, 2);
    put_all(&queue, (int[]){ 1, 2 }, 2);
    expect(&queue, 1);
    put_all(&queue, &two, 1);
    coir_task *put = coir_create_task(put_once, &putter);
    coir_task *join = coir_create_task(join_once, &joiner);
    let_them_wait();
    coir_queue_shutdown(&queue);
    cr_assert_eq(coir_await(put), -EPIPE);
    let_them_wait();
    cr_assert_not(coir_task_done(join));
    cr_assert_eq(coir_queue_task_done(&queue), 0);
    cr_assert_eq(coir_queue_task_done(&queue), -EINVAL);
    cr_assert_eq(coir_await(join), 0);
    coir_queue_destroy(&queue);
    return 0;
}

RunTest(queue, handed_over_items_are_to_be_done_too)
{
    coir_queue queue;
    struct user putter = { .queue = &queue, .item = 3 };
    make(&queue, 0);
    coir_task *put = coir_create_task(put_once, &putter);
    int got;
    cr_assert_eq(numbers_get(&queue, &got), 0);
    cr_assert_eq(coir_await(put), 0);
    cr_assert_eq(coir_queue_task_done(&queue), 0);
    cr_assert_eq(coir_queue_task_done(&queue), -EINVAL);
    coir_queue_destroy(&queue);
    return 0;
}

/* -------------------------------------------------------------- threads --- */

static void use_it(void *queue)
{
    int got = 0;
    cr_assert_eq(numbers_try_get(queue, &got), -EAGAIN);
    cr_assert_eq(numbers_try_put(queue, &one), 0);
    cr_assert_eq(numbers_try_put(queue, &two), -EAGAIN);
    cr_assert_eq(coir_queue_size(queue), 1);
    cr_assert_eq(numbers_try_get(queue, &got), 0);
    cr_assert_eq(got, 1);
    cr_assert_eq(coir_queue_task_done(queue), 0);
    cr_assert_not(coir_queue_is_closed(queue));
    coir_queue_close(queue);
    cr_assert_eq(numbers_try_get(queue, &got), -EPIPE);
    coir_queue_shutdown(queue);
}

Test(queue, works_without_a_run)
{
    coir_queue queue;
    make(&queue, 1);
    use_it(&queue);
    coir_queue_destroy(&queue);
}

static void put_one(void *queue)
{
    cr_assert_eq(numbers_try_put(queue, &one), 0);
}

static void get_one(void *queue)
{
    int got = 0;
    cr_assert_eq(numbers_try_get(queue, &got), 0);
    cr_assert_eq(got, 5);
}

static void close_it(void *queue)
{
    coir_queue_close(queue);
}

RunTest(queue, used_by_a_thread_wakes_tasks)
{
    coir_queue queue;
    struct user getter = { .queue = &queue }, putter = { .queue = &queue, .item = 6 };
    make(&queue, 1);
    coir_task *task = coir_create_task(get_once, &getter);
    let_them_wait();
    in_thread(put_one, &queue);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(getter.item, 1);

    put_all(&queue, (int[]){ 5 }, 1);
    task = coir_create_task(put_once, &putter);
    let_them_wait();
    in_thread(get_one, &queue);
    cr_assert_eq(coir_await(task), 0);
    expect(&queue, 6);

    task = coir_create_task(get_once, &getter);
    let_them_wait();
    in_thread(close_it, &queue);
    cr_assert_eq(coir_await(task), -EPIPE);
    coir_queue_destroy(&queue);
    return 0;
}

/* The getter destroys and frees it while the thread may still be inside. */
RunTest(queue, put_by_a_thread_may_be_destroyed_at_once)
{
    struct helper helper;
    helper_start(&helper, put_one);
    for (int i = 0; i < check_scale(600); i++) {
        coir_queue *queue = malloc(sizeof *queue);
        int got = 0;
        make(queue, 1);
        helper_lend(&helper, queue);
        if (i % 2)
            cr_assert_eq(numbers_get(queue, &got), 0);
        else
            while (numbers_try_get(queue, &got) == -EAGAIN)
                cr_assert_eq(coir_yield(), 0);
        cr_assert_eq(got, 1);
        coir_queue_destroy(queue);
        free_and_spoil(queue, sizeof *queue);
    }
    helper_stop(&helper);
    return 0;
}

RunTest(queue, closed_by_a_thread_may_be_destroyed_at_once)
{
    struct helper helper;
    helper_start(&helper, close_it);
    for (int i = 0; i < check_scale(600); i++) {
        coir_queue *queue = malloc(sizeof *queue);
        int got;
        make(queue, 1);
        helper_lend(&helper, queue);
        cr_assert_eq(numbers_get(queue, &got), -EPIPE);
        coir_queue_destroy(queue);
        free_and_spoil(queue, sizeof *queue);
    }
    helper_stop(&helper);
    return 0;
}

/* Producers in one run, consumers in another. */
static void *receive_in_a_run(void *traffic)
{
    cr_assert_eq(coir_run(receive_numbers, traffic), 0);
    return NULL;
}

Test(queue, works_between_the_tasks_of_several_runs)
{
    struct traffic traffic = { .per_task = check_scale(3000) };
    pthread_t thread;
    make(&traffic.queue, 4);
    traffic.seen = calloc((size_t)traffic.per_task, sizeof(atomic_int));
    cr_assert_eq(pthread_create(&thread, NULL, receive_in_a_run, &traffic), 0);
    cr_assert_eq(coir_run(send_numbers, &traffic), 0);
    coir_queue_close(&traffic.queue);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    for (int i = 0; i < traffic.per_task; i++)
        cr_assert_eq(atomic_load(&traffic.seen[i]), 1);
    free(traffic.seen);
    coir_queue_destroy(&traffic.queue);
}
