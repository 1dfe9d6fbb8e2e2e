/*
 * tbb.cpp - fib, spawn and skynet with oneTBB's task groups.  Its tasks cannot
 * block.
 */
#include "../harness.h"

#include <array>
#include <string>
#include <tbb/global_control.h>
#include <tbb/task_arena.h>
#include <tbb/task_group.h>
#include <vector>

static const char *const peer = "tbb";

static int64_t fib(int n)
{
    if (n < 2)
        return n;
    int64_t left;
    tbb::task_group group;
    group.run([&left, n] { left = fib(n - 1); });
    int64_t right = fib(n - 2);
    group.wait();
    return left + right;
}

static int run_fib(const bench_args &args)
{
    int n = static_cast<int>(args.n);
    fib(20);
    int64_t start = bench_now();
    int64_t answer = fib(n);
    int64_t time = bench_now() - start;

    double tasks = bench_fib_tasks(n);
    bench_result result = {
        .bench = "fib", .peer = peer, .workers = args.workers, .unit = "ns/task",
        .value = double(time) / tasks, .n = tasks, .ok = answer == bench_fibonacci(n),
        .extra = {},
    };
    return bench_print(&result);
}

static int64_t spawn_and_wait(std::vector<int> &counts)
{
    int64_t start = bench_now();
    tbb::task_group group;
    for (int &count : counts)
        group.run([&count] { count += 1; });
    group.wait();
    return bench_now() - start;
}

static int run_spawn(const bench_args &args)
{
    std::vector<int> counts(args.n);
    spawn_and_wait(counts);
    int64_t time = spawn_and_wait(counts);

    bool ok = true;
    for (int count : counts)
        ok = ok && count == 2;
    bench_result result = {
        .bench = "spawn", .peer = peer, .workers = args.workers, .unit = "ns/task",
        .value = double(time) / double(args.n), .n = double(args.n), .ok = ok, .extra = {},
    };
    return bench_print(&result);
}

static int64_t skynet(int64_t first, int64_t leaves)
{
    if (leaves == 1)
        return first;
    std::array<int64_t, BENCH_SKYNET_FANOUT> sums;
    int64_t below = leaves / BENCH_SKYNET_FANOUT;
    tbb::task_group group;
    for (int i = 0; i < BENCH_SKYNET_FANOUT; i++)
        group.run([&sums, i, first, below] { sums[i] = skynet(first + i * below, below); });
    group.wait();

    int64_t sum = 0;
    for (int64_t part : sums)
        sum += part;
    return sum;
}

static int run_skynet(const bench_args &args)
{
    skynet(0, 1000);
    int64_t start = bench_now();
    int64_t sum = skynet(0, args.n);
    int64_t time = bench_now() - start;

    double tasks = bench_skynet_tasks(args.n);
    bench_result result = {
        .bench = "skynet", .peer = peer, .workers = args.workers, .unit = "ns/task",
        .value = double(time) / tasks, .n = tasks, .ok = sum == bench_skynet_sum(args.n),
        .extra = {},
    };
    return bench_print(&result);
}

static int run(const bench_args &args)
{
    std::string name = args.name;
    if (name == "fib")
        return run_fib(args);
    if (name == "spawn")
        return run_spawn(args);
    if (name == "skynet")
        return run_skynet(args);
    return 2;
}

int main(int argc, char **argv)
{
    bench_args args = { .name = "fib", .workers = 1, .n = 30 };
    bench_parse(&args, argc, argv);

    tbb::global_control limit(tbb::global_control::max_allowed_parallelism, args.workers);
    tbb::task_arena arena(args.workers);
    return arena.execute([&args] { return run(args); });
}
