/*
 * openmp.c - fib, spawn and skynet with OpenMP tasks.
 *
 * gcc's library runs a task inline at its creation when the team has one
 * thread, or when many are queued already: its figures for one worker are the
 * price of a call, not of a queue.  Its tasks cannot block.
 */
#include "../harness.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#define PEER "openmp"

static int64_t fib(int n)
{
    int64_t left, right;

    if (n < 2)
        return n;
#pragma omp task shared(left) firstprivate(n)
    left = fib(n - 1);
    right = fib(n - 2);
#pragma omp taskwait
    return left + right;
}

static int run_fib(const struct bench_args *args)
{
    fib(15);
    int64_t start = bench_now();
    int64_t answer = fib((int)args->n);
    int64_t time = bench_now() - start;

    double tasks = bench_fib_tasks((int)args->n);
    struct bench_result result = {
        .bench = "fib", .peer = PEER, .workers = args->workers, .unit = "ns/task",
        .value = (double)time / tasks, .n = tasks,
        .ok = answer == bench_fibonacci((int)args->n),
    };
    return bench_print(&result);
}

static int64_t spawn_and_wait(long n, int *counts)
{
    int64_t start = bench_now();

    for (long i = 0; i < n; i++) {
#pragma omp task firstprivate(i, counts)
        counts[i] += 1;
    }
#pragma omp taskwait
    return bench_now() - start;
}

static int run_spawn(const struct bench_args *args)
{
    int *counts = calloc((size_t)args->n, sizeof *counts);
    bool ok = counts != NULL;

    spawn_and_wait(args->n, counts);
    int64_t time = spawn_and_wait(args->n, counts);
    for (long i = 0; i < args->n; i++)
        ok = ok && counts[i] == 2;
    free(counts);

    struct bench_result result = {
        .bench = "spawn", .peer = PEER, .workers = args->workers, .unit = "ns/task",
        .value = (double)time / (double)args->n, .n = (double)args->n, .ok = ok,
    };
    return bench_print(&result);
}

static int64_t skynet(int64_t first, int64_t leaves)
{
    int64_t sums[BENCH_SKYNET_FANOUT], sum = 0;
    int64_t below = leaves / BENCH_SKYNET_FANOUT;

    if (leaves == 1)
        return first;
    for (int i = 0; i < BENCH_SKYNET_FANOUT; i++) {
#pragma omp task shared(sums) firstprivate(i, first, below)
        sums[i] = skynet(first + i * below, below);
    }
#pragma omp taskwait
    for (int i = 0; i < BENCH_SKYNET_FANOUT; i++)
        sum += sums[i];
    return sum;
}

static int run_skynet(const struct bench_args *args)
{
    skynet(0, 1000);
    int64_t start = bench_now();
    int64_t sum = skynet(0, args->n);
    int64_t time = bench_now() - start;

    double tasks = bench_skynet_tasks(args->n);
    struct bench_result result = {
        .bench = "skynet", .peer = PEER, .workers = args->workers, .unit = "ns/task",
        .value = (double)time / tasks, .n = tasks,
        .ok = sum == bench_skynet_sum(args->n),
    };
    return bench_print(&result);
}

static int run(const struct bench_args *args)
{
    if (strcmp(args->name, "fib") == 0)
        return run_fib(args);
    if (strcmp(args->name, "spawn") == 0)
        return run_spawn(args);
    if (strcmp(args->name, "skynet") == 0)
        return run_skynet(args);
    return 2;
}

int main(int argc, char **argv)
{
    struct bench_args args = { .name = "fib", .workers = 1, .n = 30 };
    int status = 2;

    bench_parse(&args, argc, argv);
    omp_set_num_threads(args.workers);
#pragma omp parallel
#pragma omp single
    status = run(&args);
    return status;
}
