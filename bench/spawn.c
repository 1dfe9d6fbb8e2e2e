/*
 * spawn.c - what does a task cost when very many are created before the first
 * is awaited?
 *
 * Measures  one task creates a million tiny tasks into an array, then awaits
 *           them in the order of their creation: time / number of tasks.  The
 *           second pass in the same process counts, when the descriptors have
 *           memory; the first is given beside it.
 *
 * Not       tasks that suspend.  With several workers it is dominated by tasks
 *           that move between cores one line of cache at a time, on purpose.
 *
 * Would lie if a task ran twice or never (each adds 1 to a number of its own,
 *           and all are checked), or if the first pass left the second with
 *           less to do than a first one has (memory, said above).
 */
#include "harness.h"

#include <coir.h>

#include <stdlib.h>

struct measurement {
    long n;
    int *counts;
    coir_task **tasks;
    int64_t first, second;
};

static int add_one(void *arg)
{
    int *count = arg;

    *count += 1;
    return 0;
}

static int64_t spawn_and_await_all(struct measurement *m)
{
    int64_t start = bench_now();

    for (long i = 0; i < m->n; i++)
        m->tasks[i] = coir_create_task(add_one, &m->counts[i]);
    for (long i = 0; i < m->n; i++)
        coir_await(m->tasks[i]);
    return bench_now() - start;
}

static int measure(void *arg)
{
    struct measurement *m = arg;

    m->first = spawn_and_await_all(m);
    m->second = spawn_and_await_all(m);
    return 0;
}

static bool all_ran_twice(const struct measurement *m)
{
    for (long i = 0; i < m->n; i++)
        if (m->counts[i] != 2)
            return false;
    return true;
}

int main(int argc, char **argv)
{
    struct bench_args args = { .workers = 1, .n = 1000000 };
    bench_parse(&args, argc, argv);

    struct measurement m = { .n = args.n };
    m.counts = calloc((size_t)m.n, sizeof *m.counts);
    m.tasks = calloc((size_t)m.n, sizeof *m.tasks);
    if (!m.counts || !m.tasks)
        return 1;

    coir_options options = { .workers = args.workers };
    bool ran = coir_run_with(&options, measure, &m) == 0;
    struct bench_result result = {
        .bench = "spawn", .peer = "coir", .workers = args.workers, .unit = "ns/task",
        .value = (double)m.second / (double)m.n,
        .n = (double)m.n,
        .ok = ran && all_ran_twice(&m),
        .extra = { { "first_pass", (double)m.first / (double)m.n } },
    };
    free(m.tasks);
    free(m.counts);
    return bench_print(&result);
}
