/*
 * hog.c - what does a task that makes no call cost the others?
 *
 * Measures  how late others are while one task computes, or sits in a system call
 *           of the program's own: "timer", by how much a sleep of 1 ms is too long;
 *           "message", one byte over a socket pair to another task and back;
 *           "task", from the creation of a task to its first instruction.  All
 *           are created by the task that becomes the hog, on its worker, and go
 *           on for -n milliseconds.  The median is the value; p99, the worst, and
 *           the signals sent per second stand beside it.
 *
 * Floor     the same without a hog, in the same run: "..._alone".
 *
 * Not       the cost of the machinery to programs without a hog.
 *
 * Would lie if the hog were not on a worker all the time: it counts nothing and
 *           calls nothing, and only looks at the clock.  With one
 *           worker nobody can help, and only the run without a hog is made.
 */
#include "harness.h"

#include <coir.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define SAMPLES_MAX 200000
#define OTHERS 20 /* of each kind */

struct samples {
    const char *name;
    long n;
    int64_t delay[SAMPLES_MAX];
};

static struct samples timers = { .name = "timer" }, messages = { .name = "message" },
                      tasks = { .name = "task" };
static int64_t until;

static bool is_over(void)
{
    return bench_now() >= until;
}

static void note(struct samples *samples, int64_t delay)
{
    long i = __atomic_fetch_add(&samples->n, 1, __ATOMIC_RELAXED);

    if (i < SAMPLES_MAX)
        samples->delay[i] = delay;
}

static int sleep_on(void *arg)
{
    (void)arg;
    while (!is_over()) {
        int64_t start = bench_now();
        int rc = coir_sleep(COIR_MILLISECONDS(1));
        if (rc < 0)
            return rc;
        note(&timers, bench_now() - start - COIR_MILLISECONDS(1));
    }
    return 0;
}

static int answer(void *arg)
{
    int fd = *(int *)arg;
    char byte;

    while (coir_read(fd, &byte, 1) == 1)
        if (coir_write(fd, &byte, 1) != 1)
            return -EIO;
    return coir_close(fd);
}

static int ask(void *arg)
{
    int fd = *(int *)arg;
    char byte = 'x';

    while (!is_over()) {
        int64_t start = bench_now();
        if (coir_write(fd, &byte, 1) != 1 || coir_read(fd, &byte, 1) != 1)
            return -EIO;
        note(&messages, bench_now() - start);
        if (coir_sleep(COIR_MILLISECONDS(1)) < 0)
            return -ECANCELED;
    }
    return coir_close(fd);
}

static int note_start(void *arg)
{
    note(&tasks, bench_now() - *(int64_t *)arg);
    return 0;
}

static int create_on(void *arg)
{
    (void)arg;
    while (!is_over()) {
        int64_t now = bench_now();
        coir_task *task = coir_create_task_copy(note_start, &now, sizeof now);
        int rc = coir_sleep(COIR_MILLISECONDS(1));
        coir_await(task);
        if (rc < 0)
            return rc;
    }
    return 0;
}

enum hog { ALONE, COMPUTING, BLOCKED };

static void be_a_hog(enum hog hog)
{
    if (hog == BLOCKED)
        while (!is_over()) {
            struct pollfd none = { .fd = -1 };
            poll(&none, 1, (int)((until - bench_now()) / 1000000 + 1));
        }
    while (hog == COMPUTING && !is_over())
        ;
}

static int create_others(coir_group *group)
{
    int rc = 0;

    for (int i = 0; i < OTHERS && rc == 0; i++) {
        int fd[2];
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd) < 0)
            return -EMFILE;
        rc |= coir_group_create_task(group, sleep_on, NULL);
        rc |= coir_group_create_task(group, create_on, NULL);
        rc |= coir_group_create_task_copy(group, answer, &fd[0], sizeof fd[0]);
        rc |= coir_group_create_task_copy(group, ask, &fd[1], sizeof fd[1]);
    }
    return rc;
}

struct trial {
    enum hog hog;
    int64_t ms;
    uint64_t signals;
};

static int measure(void *arg)
{
    struct trial *trial = arg;
    coir_stats before, after;
    coir_group group;
    int rc;

    coir_stats_get(&before);
    until = bench_now() + trial->ms * 1000000;
    coir_group_init(&group);
    rc = create_others(&group);
    coir_yield();
    be_a_hog(trial->hog);
    rc |= coir_group_wait(&group);
    coir_stats_get(&after);
    trial->signals = after.signals - before.signals;
    return rc;
}

static int report(struct samples *samples, const struct trial *trial, int workers, bool ok)
{
    static const char *const hogs[] = { "alone", "computing", "blocked" };
    long n = samples->n < SAMPLES_MAX ? samples->n : SAMPLES_MAX;
    char name[40];

    snprintf(name, sizeof name, "%s_%s", samples->name, hogs[trial->hog]);
    return bench_print(&(struct bench_result){
        .bench = name, .peer = "coir", .workers = workers, .unit = "us late",
        .value = bench_ranked_us(samples->delay, n, n / 2),
        .n = (double)n,
        .ok = ok && n > 0,
        .extra = { { "p99 us", bench_ranked_us(samples->delay, n, n - 1 - n / 100) },
                   { "worst us", bench_ranked_us(samples->delay, n, n - 1) },
                   { "signals/s", (double)trial->signals * 1000 / (double)trial->ms } },
    });
}

static int run(enum hog hog, const struct bench_args *args)
{
    struct trial trial = { .hog = hog, .ms = args->n };
    coir_options options = { .workers = args->workers };
    bool ok;

    timers.n = messages.n = tasks.n = 0;
    ok = coir_run_with(&options, measure, &trial) == 0;
    return report(&timers, &trial, args->workers, ok) |
           report(&messages, &trial, args->workers, ok) |
           report(&tasks, &trial, args->workers, ok);
}

int main(int argc, char **argv)
{
    struct bench_args args = { .workers = 2, .n = 1000 };
    int status;

    bench_parse(&args, argc, argv);
    status = run(ALONE, &args);
    if (args.workers > 1)
        status |= run(COMPUTING, &args) | run(BLOCKED, &args);
    return status;
}
