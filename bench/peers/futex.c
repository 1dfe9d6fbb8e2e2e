/*
 * futex.c - the floor for wake: two threads and a word.  For wake_..._asleep the
 * waiter sleeps in futex(2); for wake_..._awake it spins on the word.
 */
#define _GNU_SOURCE
#include "../harness.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

struct game {
    long n;
    bool asleep;
    int64_t *woken, *delay, *call; /* ns */
    atomic_int word;               /* rounds that the setter has set */
    atomic_long waits, ran;
};

static void wait_for(struct game *game, int round)
{
    int seen;

    while ((seen = atomic_load(&game->word)) < round)
        if (game->asleep)
            syscall(SYS_futex, &game->word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void pin_to(int cpu)
{
    cpu_set_t own;

    CPU_ZERO(&own);
    CPU_SET(cpu, &own);
    sched_setaffinity(0, sizeof own, &own); /* where it fails, it runs where it may */
}

static void *wait_again_and_again(void *arg)
{
    struct game *game = arg;

    pin_to(1);
    for (long i = 0; i < game->n; i++) {
        atomic_store(&game->waits, i + 1);
        wait_for(game, (int)i + 1);
        game->woken[i] = bench_now();
        atomic_store(&game->ran, i + 1);
    }
    return NULL;
}

static void spin_until(const atomic_long *word, long value)
{
    while (atomic_load(word) < value)
        ;
}

static void set_again_and_again(struct game *game)
{
    for (long i = 0; i < game->n; i++) {
        spin_until(&game->waits, i + 1);
        bench_spin_for(game->asleep ? 1000000 : 10000);
        int64_t start = bench_now();
        atomic_store(&game->word, (int)i + 1);
        if (game->asleep)
            syscall(SYS_futex, &game->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
        game->call[i] = bench_now() - start;
        spin_until(&game->ran, i + 1);
        game->delay[i] = game->woken[i] - start;
    }
}

static int run(const char *name, bool asleep, const struct bench_args *args)
{
    long n = args->n;
    struct game game = {
        .n = n,
        .asleep = asleep,
        .woken = calloc((size_t)n, sizeof *game.woken),
        .delay = calloc((size_t)n, sizeof *game.delay),
        .call = calloc((size_t)n, sizeof *game.call),
    };
    pthread_t waiter;
    pin_to(0);
    bool ok = pthread_create(&waiter, NULL, wait_again_and_again, &game) == 0;
    if (ok) {
        set_again_and_again(&game);
        pthread_join(waiter, NULL);
    }
    struct bench_result result = {
        .bench = name, .peer = "futex", .workers = args->workers, .unit = "us",
        .value = bench_ranked_us(game.delay, n, n / 2),
        .n = (double)n,
        .ok = ok,
        .extra = { { "p99_us", bench_ranked_us(game.delay, n, n - 1 - n / 100) },
                   { "call_us", bench_ranked_us(game.call, n, n / 2) } },
    };
    free(game.woken);
    free(game.delay);
    free(game.call);
    return bench_print(&result);
}

int main(int argc, char **argv)
{
    struct bench_args args = { .workers = 2, .n = 1000 };
    bench_parse(&args, argc, argv);

    return run("wake_asleep", true, &args) | run("wake_awake", false, &args) |
           run("wake_pinned_asleep", true, &args) | run("wake_pinned_awake", false, &args);
}
