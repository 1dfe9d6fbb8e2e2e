/*
 * yield.c - what does it cost to let another task run?
 *
 * Measures  "yield2": two tasks that do nothing but coir_yield(), and
 *           "yield1000": a thousand of them: time / number of yields.  One
 *           yield is one switch to the next ready task.  A first pass of the
 *           same length gives every task's stack its memory; the second counts.
 *
 * Not       waking: every task is always ready.  -w takes more workers, but
 *           then tasks spread over them, and with one task per worker a yield
 *           has nobody to let run.
 *
 * Would lie if a yield returned without having switched: with one worker the
 *           tasks count how often another one ran in between, and that must be
 *           every time.  Two tasks fit every cache; a thousand show what cold
 *           stacks cost.
 */
#include "harness.h"

#include <coir.h>

#define TASKS_MAX 1000

struct player {
    struct game *game;
    int number;
};

struct game {
    int tasks;
    long yields; /* of each task */
    int last_player;
    long turns;
    int64_t time;
    struct player players[TASKS_MAX];
};

/* Counted exactly with one worker only: with more, turns overlap. */
static void take_turn(struct game *game, int number)
{
    if (__atomic_load_n(&game->last_player, __ATOMIC_RELAXED) != number) {
        __atomic_store_n(&game->last_player, number, __ATOMIC_RELAXED);
        __atomic_store_n(&game->turns, game->turns + 1, __ATOMIC_RELAXED);
    }
}

static int play(void *arg)
{
    struct player *player = arg;

    for (long i = 0; i < player->game->yields; i++) {
        take_turn(player->game, player->number);
        coir_yield();
    }
    return 0;
}

static int play_once(struct game *game)
{
    coir_group group;

    game->last_player = -1;
    game->turns = 0;
    int64_t start = bench_now();
    coir_group_init(&group);
    for (int i = 0; i < game->tasks; i++)
        coir_group_create_task(&group, play, &game->players[i]);
    int rc = coir_group_wait(&group);
    game->time = bench_now() - start;
    return rc;
}

static int measure(void *arg)
{
    int rc = play_once(arg);
    return rc < 0 ? rc : play_once(arg);
}

static int run(const char *name, int tasks, long yields, int workers)
{
    static struct game game;
    game = (struct game){ .tasks = tasks, .yields = yields };
    for (int i = 0; i < tasks; i++)
        game.players[i] = (struct player){ .game = &game, .number = i };

    coir_options options = { .workers = workers };
    bool ran = coir_run_with(&options, measure, &game) == 0;
    long total = tasks * yields;
    struct bench_result result = {
        .bench = name, .peer = "coir", .workers = workers, .unit = "ns/yield",
        .value = (double)game.time / (double)total,
        .n = (double)total,
        .ok = ran && (workers > 1 || game.turns == total),
    };
    return bench_print(&result);
}

int main(int argc, char **argv)
{
    struct bench_args args = { .workers = 1, .n = 4000000 };
    bench_parse(&args, argc, argv);

    return run("yield2", 2, args.n / 2, args.workers) |
           run("yield1000", TASKS_MAX, args.n / TASKS_MAX, args.workers);
}
