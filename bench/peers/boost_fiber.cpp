/*
 * boost_fiber.cpp - yield with Boost.Fiber: fibers of one thread under its
 * default scheduler, round robin.
 */
#include "../harness.h"

#include <boost/fiber/fiber.hpp>
#include <boost/fiber/operations.hpp>
#include <vector>

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
    std::vector<boost::fibers::fiber> fibers;
    int64_t start = bench_now();
    for (int i = 0; i < tasks; i++)
        fibers.emplace_back([&game, i] { play(game, i); });
    for (auto &fiber : fibers)
        fiber.join();
    return bench_now() - start;
}

/* Without pooled stacks every pass would pay for fresh memory, which is not the
   question: the first turn of each fiber is part of the time here, so there
   are many turns. */
static int run(const char *name, int tasks, long yields)
{
    game game = { .yields = yields };
    int64_t time = play_once(game, tasks);

    double total = double(tasks) * double(yields);
    bench_result result = {
        .bench = name, .peer = "boost_fiber", .workers = 1, .unit = "ns/yield",
        .value = double(time) / total, .n = total, .ok = double(game.turns) == total,
        .extra = {},
    };
    return bench_print(&result);
}

int main(int argc, char **argv)
{
    bench_args args = { .name = "yield", .workers = 1, .n = 4000000 };
    bench_parse(&args, argc, argv);

    return run("yield2", 2, args.n / 2) | run("yield1000", 1000, args.n / 1000);
}
