/*
 * mutex.c - what does a lock cost that 64 tasks share?
 *
 * Measures  "mutex": each of 64 tasks locks, counts and unlocks again and again: time /
 *           number of locks.  With one worker nobody ever waits; with two, two threads
 *           want it all the time.  "mutex_held": the holder yields before it unlocks,
 *           so that the others, all of them, come and wait.
 *
 * Not       fairness: a task may take the lock many times in a row, here as in Go.
 *
 * Would lie if two tasks could hold the lock at once: the counter is a plain one, and
 *           must be exact; or if the tasks ran one after the other with nobody waiting:
 *           "mutex_held" reports how many found the lock held.
 */
#include "harness.h"

#include <coir.h>

#define TASKS 64

static coir_mutex mutex;
static long locks_each, counter, met;

static int count(void *arg)
{
    int rc = 0;

    (void)arg;
    for (long i = 0; i < locks_each && (rc = coir_mutex_lock(&mutex)) == 0; i++) {
        counter++;
        coir_mutex_unlock(&mutex);
    }
    return rc;
}

static int count_holding(void *arg)
{
    int rc = 0;

    (void)arg;
    for (long i = 0; i < locks_each && rc == 0; i++) {
        bool held = coir_mutex_try_lock(&mutex) < 0;
        if (held && (rc = coir_mutex_lock(&mutex)) < 0)
            break;
        met += held;
        counter++;
        rc = coir_yield();
        coir_mutex_unlock(&mutex);
    }
    return rc;
}

static int64_t took;

static int run_all(coir_fn *fn, long locks)
{
    coir_group group;
    int64_t start = bench_now();

    locks_each = locks / TASKS;
    counter = met = 0;
    coir_group_init(&group);
    for (int i = 0; i < TASKS; i++)
        coir_group_create_task(&group, fn, NULL);
    int rc = coir_group_wait(&group);
    took = bench_now() - start;
    return rc;
}

static long n;

static int measure(void *arg)
{
    coir_fn *fn = *(coir_fn **)arg;
    int rc = run_all(fn, n / 10); /* every task's stack gets its memory */

    return rc < 0 ? rc : run_all(fn, n);
}

static int run(const char *name, coir_fn *fn, long locks, int workers)
{
    coir_options options = { .workers = workers };

    n = locks;
    bool ran = coir_run_with(&options, measure, &fn) == 0;
    struct bench_result result = {
        .bench = name, .peer = "coir", .workers = workers, .unit = "ns/lock",
        .value = (double)took / (double)counter,
        .n = (double)counter,
        .ok = ran && counter == locks / TASKS * TASKS,
        .extra = { { "met", (double)met } },
    };
    return bench_print(&result);
}

int main(int argc, char **argv)
{
    struct bench_args args = { .workers = 1, .n = 4000000 };
    bench_parse(&args, argc, argv);

    return run("mutex", count, args.n, args.workers) |
           run("mutex_held", count_holding, args.n / 10, args.workers);
}
