/*
 * queue.c - what does it cost to hand something to another task?
 *
 * Measures  "ping_pong": two tasks send a number back and forth over two queues of one
 *           slot: time / round trips.  "mpmc1", "mpmc2", "mpmc8": as many producers as
 *           consumers on one queue of 128 slots: time / items.  "pipeline": eight stages,
 *           each adds 1 and passes on, in batches of 32: time / items through all.
 *           The peers' queues know no batches: there it is one by one.
 *
 * Not       latency: with two workers the two of "ping_pong" stay on one, which is the
 *           point, and the other is idle.
 *
 * Would lie if items were lost or doubled: the sums must be right, and of each stage
 *           every item must have passed.
 */
#include "harness.h"

#include <coir.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>

#define SLOTS 128
#define STAGES 8
#define BATCH 32

COIR_QUEUE_TYPE(numbers, long);

static long items;
static int64_t took;
static atomic_long sum;

/* Ping-pong. */

static numbers there, back;

static int answer(void *arg)
{
    long number;
    int rc;

    (void)arg;
    while ((rc = numbers_get(&there, &number)) == 0)
        if ((rc = numbers_put(&back, &number)) < 0)
            return rc;
    return rc == -EPIPE ? 0 : rc;
}

static int ask(long rounds)
{
    int64_t start = bench_now();
    long number;

    for (long i = 0; i < rounds; i++) {
        int rc = numbers_put(&there, &i);
        if (rc == 0)
            rc = numbers_get(&back, &number);
        if (rc < 0)
            return rc;
        atomic_store_explicit(&sum, sum + number, memory_order_relaxed);
    }
    took = bench_now() - start;
    return 0;
}

static int ping_pong(void *arg)
{
    int rc = numbers_init(&there, 1);

    (void)arg;
    if (rc == 0 && (rc = numbers_init(&back, 1)) == 0) {
        coir_task *other = coir_create_task(answer, NULL);
        rc = ask(items / 10);
        sum = 0;
        rc = rc < 0 ? rc : ask(items);
        coir_queue_close(&there);
        int rc2 = coir_await(other);
        rc = rc < 0 ? rc : rc2;
    }
    coir_queue_destroy(&there);
    coir_queue_destroy(&back);
    return rc;
}

/* Many to many. */

static numbers shared;
static int pairs;
static atomic_int producing;

static int produce(void *arg)
{
    int rc = 0;

    (void)arg;
    for (long i = 0; i < items / pairs && rc == 0; i++)
        rc = numbers_put(&shared, &i);
    if (atomic_fetch_sub(&producing, 1) == 1)
        coir_queue_close(&shared);
    return rc;
}

static int consume(void *arg)
{
    long number, mine = 0;
    int rc;

    (void)arg;
    while ((rc = numbers_get(&shared, &number)) == 0)
        mine += number;
    atomic_fetch_add(&sum, mine);
    return rc == -EPIPE ? 0 : rc;
}

static int many_to_many(void *arg)
{
    coir_group group;
    int64_t start = bench_now();
    int rc = numbers_init(&shared, SLOTS);

    pairs = *(int *)arg;
    producing = pairs;
    if (rc < 0)
        return rc;
    coir_group_init(&group);
    for (int i = 0; i < pairs; i++) {
        coir_group_create_task(&group, produce, NULL);
        coir_group_create_task(&group, consume, NULL);
    }
    rc = coir_group_wait(&group);
    took = bench_now() - start;
    coir_queue_destroy(&shared);
    return rc;
}

/* A pipeline. */

static numbers stages[STAGES + 1];

static int pass_on(void *arg)
{
    numbers *from = arg, *to = from + 1;
    long batch[BATCH];
    ssize_t n = 0, put = 0;

    while (put >= 0 && (n = numbers_get_many(from, batch, BATCH)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            batch[i]++;
        put = numbers_put_many(to, batch, (size_t)n);
    }
    coir_queue_close(to);
    return put < 0 ? (int)put : n == -EPIPE ? 0 : (int)n;
}

static int feed(void *arg)
{
    long batch[BATCH];
    ssize_t put = 0;

    (void)arg;
    for (long i = 0; i < items && put >= 0; i += BATCH) {
        for (long k = 0; k < BATCH; k++)
            batch[k] = i + k;
        put = numbers_put_many(&stages[0], batch, BATCH);
    }
    coir_queue_close(&stages[0]);
    return put < 0 ? (int)put : 0;
}

static int drain(void *arg)
{
    long batch[BATCH];
    ssize_t n;

    (void)arg;
    while ((n = numbers_get_many(&stages[STAGES], batch, BATCH)) > 0)
        for (ssize_t i = 0; i < n; i++)
            atomic_store_explicit(&sum, sum + batch[i], memory_order_relaxed);
    return n == -EPIPE ? 0 : (int)n;
}

static int pipeline(void *arg)
{
    coir_group group;
    int64_t start = bench_now();
    int rc = 0;

    (void)arg;
    for (int i = 0; i <= STAGES && rc == 0; i++)
        rc = numbers_init(&stages[i], SLOTS);
    if (rc < 0)
        return rc;
    coir_group_init(&group);
    coir_group_create_task(&group, feed, NULL);
    for (int i = 0; i < STAGES; i++)
        coir_group_create_task(&group, pass_on, &stages[i]);
    coir_group_create_task(&group, drain, NULL);
    rc = coir_group_wait(&group);
    took = bench_now() - start;
    for (int i = 0; i <= STAGES; i++)
        coir_queue_destroy(&stages[i]);
    return rc;
}

static int run(const char *name, coir_fn *fn, int n, long how_many, long expected,
               const char *unit, int workers)
{
    coir_options options = { .workers = workers };

    items = how_many;
    sum = 0;
    bool ran = coir_run_with(&options, fn, &n) == 0;
    struct bench_result result = {
        .bench = name, .peer = "coir", .workers = workers, .unit = unit,
        .value = (double)took / (double)items,
        .n = (double)items,
        .ok = ran && sum == expected,
    };
    return bench_print(&result);
}

int main(int argc, char **argv)
{
    struct bench_args args = { .workers = 1, .n = 1000000 };
    bench_parse(&args, argc, argv);
    long n = args.n / 64 * 64;
    int failed = run("ping_pong", ping_pong, 0, n, n * (n - 1) / 2, "ns/round trip",
                     args.workers);

    for (int many = 1; many <= 8; many *= many == 1 ? 2 : 4) {
        char name[16];
        snprintf(name, sizeof name, "mpmc%d", many);
        long each = n / many;
        failed |= run(name, many_to_many, many, n, many * (each * (each - 1) / 2), "ns/item",
                      args.workers);
    }
    return failed | run("pipeline", pipeline, 0, n, n * (n - 1) / 2 + n * STAGES, "ns/item",
                        args.workers);
}
