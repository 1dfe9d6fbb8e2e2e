/*
 * wake.c - how long until a task runs whose future is set on another worker?
 *
 * Measures  one task waits for a future, another, on the other worker, sets it and
 *           computes on: from just before coir_future_set() to the first instruction
 *           after coir_future_await(), -n times; the median is the value, p99 and the
 *           median time of the setter in its call stand beside it.  "wake_asleep": a
 *           millisecond after the waiter began to wait, when its worker sleeps in the
 *           kernel; "wake_awake": 10 us after, when it still looks for work.
 *           "wake_pinned_...": the same with a waiter that may run on that worker
 *           only.  One that may run anywhere is queued by the setter's worker, which
 *           expects to run it itself, soon; that it computes must first be noticed,
 *           and then it gives away what it wakes.
 *
 * Floor     two threads: futex(2) wakes one that sleeps in it, and a word in memory
 *           one that spins (peers/futex.c).
 *
 * Both      have their threads pinned to CPUs of their own: where the kernel puts a
 *           thread that it wakes is not the question here.  Go's are not.
 *
 * Not       a wake on the same worker, which is a switch (see yield).
 *
 * Would lie if the future were set before the waiter waits: it tells when it is about
 *           to, and the pause after that is far longer than it needs; if the waiter
 *           ran on the setter's thread: each says where it runs, and the setter never
 *           suspends; or if the setter stopped: it spins until the waiter has run.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <coir.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

struct game {
    long n;
    int64_t pause;
    bool pinned;
    coir_future *futures;
    int64_t *woken, *delay, *call; /* ns */
    atomic_long waits, ran;        /* rounds begun, and ended, by the waiter */
    pid_t waiter_thread;
};

static int wait_again_and_again(void *arg)
{
    struct game *game = arg;

    for (long i = 0; i < game->n; i++) {
        atomic_store(&game->waits, i + 1);
        int rc = coir_future_await(&game->futures[i], NULL);
        game->woken[i] = bench_now();
        game->waiter_thread = gettid();
        atomic_store(&game->ran, i + 1);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static void spin_until(const atomic_long *word, long value)
{
    while (atomic_load(word) < value)
        ;
}

static int set_again_and_again(struct game *game)
{
    for (long i = 0; i < game->n; i++) {
        spin_until(&game->waits, i + 1);
        bench_spin_for(game->pause);
        int64_t start = bench_now();
        coir_future_set(&game->futures[i], NULL);
        game->call[i] = bench_now() - start;
        spin_until(&game->ran, i + 1);
        game->delay[i] = game->woken[i] - start;
        if (game->waiter_thread == gettid())
            return -EIO;
    }
    return 0;
}

/* On the other worker: the main task's is busy.  There its task is pinned. */
static int begin_to_wait(void *arg)
{
    struct game *game = arg;
    coir_task_options options = { .pinned = game->pinned };

    return coir_await(coir_create_task_with(&options, wait_again_and_again, game));
}

static int play(void *arg)
{
    struct game *game = arg;

    for (long i = 0; i < game->n; i++)
        coir_future_init(&game->futures[i]);
    coir_task *waiter = coir_create_task(begin_to_wait, game);
    int rc = set_again_and_again(game);
    int waited = coir_await(waiter);
    for (long i = 0; i < game->n; i++)
        coir_future_destroy(&game->futures[i]);
    return rc < 0 ? rc : waited;
}

static int run(const char *name, bool pinned, int64_t pause, const struct bench_args *args)
{
    long n = args->n;
    struct game game = {
        .n = n,
        .pause = pause,
        .pinned = pinned,
        .futures = calloc((size_t)n, sizeof *game.futures),
        .woken = calloc((size_t)n, sizeof *game.woken),
        .delay = calloc((size_t)n, sizeof *game.delay),
        .call = calloc((size_t)n, sizeof *game.call),
    };
    coir_options options = { .workers = args->workers, .cpu_pinning = 1 };
    bool ok = coir_run_with(&options, play, &game) == 0;
    struct bench_result result = {
        .bench = name, .peer = "coir", .workers = args->workers, .unit = "us",
        .value = bench_ranked_us(game.delay, n, n / 2),
        .n = (double)n,
        .ok = ok,
        .extra = { { "p99_us", bench_ranked_us(game.delay, n, n - 1 - n / 100) },
                   { "call_us", bench_ranked_us(game.call, n, n / 2) } },
    };
    free(game.futures);
    free(game.woken);
    free(game.delay);
    free(game.call);
    return bench_print(&result);
}

int main(int argc, char **argv)
{
    struct bench_args args = { .workers = 2, .n = 1000 };
    bench_parse(&args, argc, argv);
    if (args.workers < 2)
        return 2; /* the setter would spin for ever */

    return run("wake_asleep", false, COIR_MILLISECONDS(1), &args) |
           run("wake_awake", false, COIR_MICROSECONDS(10), &args) |
           run("wake_pinned_asleep", true, COIR_MILLISECONDS(1), &args) |
           run("wake_pinned_awake", true, COIR_MICROSECONDS(10), &args);
}
