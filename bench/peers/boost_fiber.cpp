/*
 * boost_fiber.cpp - yield, queues and a mutex with Boost.Fiber.
 *
 * One worker is a thread under the default scheduler, round robin.  More are
 * threads under work_stealing, which never sleep: in its other mode nobody tells
 * those that sleep of new work, and one thread does everything.
 *
 * No victim beside hogs: nobody takes the thread from a fiber that always gets
 * its lock at once.
 */
#include "../harness.h"

#include <atomic>
#include <boost/fiber/all.hpp>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace fibers = boost::fibers;
using fibers::fiber;

static bench_args args = { .name = "yield", .workers = 1, .n = 4000000 };

static int report(const char *bench, const char *unit, int64_t time, long n, bool ok)
{
    bench_result result = {
        .bench = bench, .peer = "boost_fiber", .workers = args.workers, .unit = unit,
        .value = double(time) / double(n), .n = double(n), .ok = ok,
        .extra = {},
    };
    return bench_print(&result);
}

/* The threads that share the work, with the one that creates it.  A thread takes
   part for as long as its own fiber waits. */
class crew {
public:
    explicit crew(unsigned workers)
    {
        if (workers == 1)
            return;
        for (unsigned i = 1; i < workers; i++)
            threads.emplace_back([this, workers] {
                fibers::use_scheduling_algorithm<fibers::algo::work_stealing>(workers);
                std::unique_lock<fibers::mutex> lock(mutex);
                changed.wait(lock, [this] { return over; });
            });
        fibers::use_scheduling_algorithm<fibers::algo::work_stealing>(workers);
    }

    ~crew()
    {
        {
            std::unique_lock<fibers::mutex> lock(mutex);
            over = true;
        }
        changed.notify_all();
        for (auto &thread : threads)
            thread.join();
    }

private:
    std::vector<std::thread> threads;
    fibers::mutex mutex;
    fibers::condition_variable changed;
    bool over = false;
};

/* Yield. */

struct game {
    long yields;
    int last_player = -1;
    long turns = 0;
};

static void play(game &game, int number)
{
    for (long i = 0; i < game.yields; i++) {
        if (game.last_player != number) {
            game.last_player = number;
            game.turns++;
        }
        boost::this_fiber::yield();
    }
}

static int64_t play_once(game &game, int tasks)
{
    std::vector<fiber> players;
    int64_t start = bench_now();
    for (int i = 0; i < tasks; i++)
        players.emplace_back([&game, i] { play(game, i); });
    for (auto &player : players)
        player.join();
    return bench_now() - start;
}

/* Without pooled stacks every pass would pay for fresh memory, which is not the
   question: the first turn of each fiber is part of the time here, so there
   are many turns. */
static int run_yield(const char *name, int tasks, long yields)
{
    game game = { .yields = yields };
    int64_t time = play_once(game, tasks);
    long total = tasks * yields;

    return report(name, "ns/yield", time, total, game.turns == total);
}

/* Queues.  A channel keeps one of its places empty. */

using channel = fibers::buffered_channel<long>;

static const size_t one_slot = 2, many_slots = 128;

static bool get(channel &from, long &number)
{
    return from.pop(number) == fibers::channel_op_status::success;
}

struct measured {
    int64_t time = 0;
    long sum = 0;
};

static measured ping_pong(long n)
{
    channel there(one_slot), back(one_slot);
    measured all;

    fiber answer([&] {
        long number;
        while (get(there, number))
            back.push(number);
    });
    fiber ask([&] {
        int64_t start = bench_now();
        for (long i = 0; i < n; i++) {
            long number = 0;
            there.push(i);
            get(back, number);
            all.sum += number;
        }
        all.time = bench_now() - start;
        there.close();
    });
    ask.join();
    answer.join();
    return all;
}

static measured many_to_many(long n, int pairs)
{
    channel shared(many_slots);
    std::atomic<long> sum{ 0 };
    std::atomic<int> producing{ pairs };
    std::vector<fiber> all;
    int64_t start = bench_now();

    for (int i = 0; i < pairs; i++) {
        all.emplace_back([&] {
            for (long k = 0; k < n / pairs; k++)
                shared.push(k);
            if (--producing == 0)
                shared.close();
        });
        all.emplace_back([&] {
            long number, mine = 0;
            while (get(shared, number))
                mine += number;
            sum += mine;
        });
    }
    for (auto &one : all)
        one.join();
    return { bench_now() - start, sum };
}

/* One item at a time: channels know no batches. */
static measured pipeline(long n)
{
    const int count = 8;
    std::vector<std::unique_ptr<channel>> stages;
    std::vector<fiber> all;
    long sum = 0;

    for (int i = 0; i <= count; i++)
        stages.push_back(std::make_unique<channel>(many_slots));
    int64_t start = bench_now();
    all.emplace_back([&] {
        for (long i = 0; i < n; i++)
            stages[0]->push(i);
        stages[0]->close();
    });
    for (int i = 0; i < count; i++)
        all.emplace_back([&from = *stages[i], &to = *stages[i + 1]] {
            long number;
            while (get(from, number))
                to.push(number + 1);
            to.close();
        });
    all.emplace_back([&] {
        long number;
        while (get(*stages[count], number))
            sum += number;
    });
    for (auto &one : all)
        one.join();
    return { bench_now() - start, sum };
}

static int run_queue()
{
    long n = args.n / 64 * 64;
    ping_pong(n / 10);
    measured all = ping_pong(n);
    int failed = report("ping_pong", "ns/round trip", all.time, n, all.sum == n * (n - 1) / 2);

    for (int pairs : { 1, 2, 8 }) {
        char name[16];
        snprintf(name, sizeof name, "mpmc%d", pairs);
        long each = n / pairs;
        all = many_to_many(n, pairs);
        failed |= report(name, "ns/item", all.time, n, all.sum == pairs * (each * (each - 1) / 2));
    }
    all = pipeline(n);
    return failed | report("pipeline", "ns/item", all.time, n, all.sum == n * (n - 1) / 2 + n * 8);
}

/* A mutex. */

static int64_t lock_all(long n, bool hold, long &counter)
{
    const int tasks = 64;
    fibers::mutex mutex;
    std::vector<fiber> all;
    int64_t start = bench_now();

    counter = 0;
    for (int i = 0; i < tasks; i++)
        all.emplace_back([&] {
            for (long k = 0; k < n / tasks; k++) {
                mutex.lock();
                counter++;
                if (hold)
                    boost::this_fiber::yield();
                mutex.unlock();
            }
        });
    for (auto &one : all)
        one.join();
    return bench_now() - start;
}

static int run_mutex(const char *name, long n, bool hold)
{
    long counter;
    lock_all(n / 10, hold, counter);
    int64_t time = lock_all(n, hold, counter);

    return report(name, "ns/lock", time, counter, counter == n / 64 * 64);
}

int main(int argc, char **argv)
{
    bench_parse(&args, argc, argv);
    crew crew(unsigned(args.workers));

    if (strcmp(args.name, "yield") == 0)
        return run_yield("yield2", 2, args.n / 2) | run_yield("yield1000", 1000, args.n / 1000);
    if (strcmp(args.name, "queue") == 0)
        return run_queue();
    if (strcmp(args.name, "mutex") == 0)
        return run_mutex("mutex", args.n, false) | run_mutex("mutex_held", args.n / 10, true);
    return 2;
}
