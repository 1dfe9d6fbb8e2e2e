/*
 * mutex.c - what does a lock cost that 64 tasks share, and how long does it keep one
 * waiting whom two others leave no gap?
 *
 * Measures  "mutex": each of 64 tasks locks, counts and unlocks again and again: time /
 *           number of locks.  With one worker nobody ever waits; with two, two threads
 *           want it all the time.  "mutex_held": the holder yields before it unlocks,
 *           so that the others, all of them, come and wait.
 *
 *           "mutex_victim": two hogs lock, compute for 20 us and unlock, in a loop
 *           without a pause; a third task locks and unlocks and sleeps a millisecond,
 *           -n / 16000 times.  How long its call takes: the median is the value, p99
 *           and the worst stand beside it.  "mutex_victim_due": the same from when its
 *           sleep should have ended, as with few workers it is kept waiting before it
 *           can ask.  Both with the mutex as it comes, and with COIR_MUTEX_FIFO.
 *
 * Not       fairness, in the first two: a task may take the lock many times in a row,
 *           here as in Go.  In the others not who gets how much: there is one victim,
 *           and it asks for little.
 *
 * Would lie if two tasks could hold the lock at once: the counter is a plain one, and
 *           must be exact; if the tasks ran one after the other with nobody waiting:
 *           "mutex_held" reports how many found the lock held; or if the hogs left the
 *           lock alone: the victim begins when both have had it, and `held` is the
 *           part of the time for which they hold it.  A victim that waits asks less
 *           often, so the ranks are among the times it asks, not within the time that
 *           passes.  And a thread that the kernel does not let run keeps waiting who
 *           has been woken on it, and all if it holds the lock: with other programs
 *           about, p99 and the worst are the kernel's.
 */
#include "harness.h"

#include <coir.h>
#include <stdatomic.h>
#include <stdlib.h>

#define TASKS 64
#define HOGS 2
#define HOLD COIR_MICROSECONDS(20)
#define PAUSE COIR_MILLISECONDS(1)
#define LOCKS_PER_WAIT 16000 /* of -n: how many take about as long */

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

/* A victim beside two hogs. */

struct trial {
    coir_mutex mutex;
    long n;
    int64_t *waited, *late; /* ns */
    int64_t held, took;
    long counter;
    atomic_long hogs_locks;
    atomic_int hogs_begun;
    atomic_bool over;
};

static int be_a_hog(void *arg)
{
    struct trial *trial = arg;
    long locks = 0;
    int rc = 0;

    while (!atomic_load(&trial->over) && (rc = coir_mutex_lock(&trial->mutex)) == 0) {
        int64_t start = bench_now();
        bench_spin_for(HOLD);
        trial->counter++;
        trial->held += bench_now() - start;
        coir_mutex_unlock(&trial->mutex);
        if (locks++ == 0)
            atomic_fetch_add(&trial->hogs_begun, 1);
    }
    atomic_fetch_add(&trial->hogs_locks, locks);
    return rc;
}

static int sleep_and_lock(struct trial *trial, long i)
{
    int64_t due = bench_now() + PAUSE, asked;
    int rc = coir_sleep(PAUSE);

    asked = bench_now();
    if (rc < 0 || (rc = coir_mutex_lock(&trial->mutex)) < 0)
        return rc;
    int64_t got = bench_now();
    trial->counter++;
    coir_mutex_unlock(&trial->mutex);
    trial->waited[i] = got - asked;
    trial->late[i] = got - due;
    return 0;
}

static int be_the_victim(void *arg)
{
    struct trial *trial = arg;
    int rc = 0;

    while (atomic_load(&trial->hogs_begun) < HOGS && rc == 0)
        rc = coir_sleep(PAUSE);
    for (long i = 0; i < trial->n && rc == 0; i++)
        rc = sleep_and_lock(trial, i);
    atomic_store(&trial->over, true);
    return rc;
}

static int run_trial(void *arg)
{
    struct trial *trial = arg;
    coir_group group;
    int64_t start = bench_now();
    int rc;

    coir_group_init(&group);
    for (int i = 0; i < HOGS; i++)
        coir_group_create_task(&group, be_a_hog, trial);
    coir_group_create_task(&group, be_the_victim, trial);
    rc = coir_group_wait(&group);
    trial->took = bench_now() - start;
    return rc;
}

static int report_waits(const char *name, const char *peer, int64_t *waits,
                        const struct trial *trial, int workers, bool ok)
{
    struct bench_result result = {
        .bench = name, .peer = peer, .workers = workers, .unit = "us",
        .value = bench_ranked_us(waits, trial->n, trial->n / 2),
        .n = (double)trial->n,
        .ok = ok && trial->counter == trial->hogs_locks + trial->n,
        .extra = { { "p99_us", bench_ranked_us(waits, trial->n, trial->n - 1 - trial->n / 100) },
                   { "worst_us", bench_ranked_us(waits, trial->n, trial->n - 1) },
                   { "held", (double)trial->held / (double)trial->took } },
    };
    return bench_print(&result);
}

static int run_victim(const char *peer, coir_mutex kind, const struct bench_args *args)
{
    size_t waits = (size_t)args->n / LOCKS_PER_WAIT + 1;
    struct trial trial = {
        .mutex = kind,
        .n = (long)waits,
        .waited = calloc(waits, sizeof *trial.waited),
        .late = calloc(waits, sizeof *trial.late),
    };
    coir_options options = { .workers = args->workers };
    bool ran = coir_run_with(&options, run_trial, &trial) == 0;
    int failed =
        report_waits("mutex_victim", peer, trial.waited, &trial, args->workers, ran) |
        report_waits("mutex_victim_due", peer, trial.late, &trial, args->workers, ran);

    free(trial.waited);
    free(trial.late);
    return failed;
}

int main(int argc, char **argv)
{
    struct bench_args args = { .workers = 1, .n = 4000000 };
    bench_parse(&args, argc, argv);

    return run("mutex", count, args.n, args.workers) |
           run("mutex_held", count_holding, args.n / 10, args.workers) |
           run_victim("coir", (coir_mutex){ 0 }, &args) |
           run_victim("coir_fifo", (coir_mutex)COIR_MUTEX_FIFO, &args);
}
