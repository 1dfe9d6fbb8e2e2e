/*
 * timers.c - what do very many timers cost that are set and cancelled?
 *
 * Measures  100,000 tasks that each wait for the same future under a deadline of an
 *           hour or more, no two alike, until it is set: from the first creation to
 *           the end of all, per task.  Each arms a timer and cancels it; all are
 *           armed when the first is cancelled.  The second pass in the same process
 *           counts; the first is given beside it.
 *
 * Floor     the same without the deadlines, in the same process.
 *
 * Not       timers that fire: see sleepers.
 *
 * Would lie if timers were not armed, or not all at once: the runtime counts those
 *           that were cancelled, and the tasks that wait when the future is set.
 */
#include "harness.h"

#include <coir.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

struct measurement {
    long n;
    bool limited; /* in this pass */
    coir_future gate;
    atomic_long waiting, late;
    int64_t first, second, plain;
};

static struct measurement m;

/* Deadlines in no order, as those of requests to many servers. */
static coir_duration limit_of(long number)
{
    return COIR_SECONDS(3600) + (int64_t)((uint64_t)number * 2654435761u % 1000003) * 1000000;
}

static int wait_for_gate(void *arg)
{
    long number = *(long *)arg;
    coir_timeout limit;
    int rc;

    atomic_fetch_add(&m.waiting, 1);
    if (!m.limited)
        return coir_future_await(&m.gate, NULL);
    coir_timeout_begin(&limit, limit_of(number));
    rc = coir_future_await(&m.gate, NULL);
    if (coir_timeout_end(&limit))
        atomic_fetch_add(&m.late, 1);
    return rc;
}

/* All wait before any is woken. */
static int open_gate(void)
{
    while (atomic_load(&m.waiting) < m.n)
        if (coir_yield() < 0)
            return -ECANCELED;
    return coir_future_set(&m.gate, NULL);
}

static uint64_t timers_cancelled(void)
{
    coir_stats stats;

    coir_stats_get(&stats);
    return stats.timers_cancelled;
}

static int pass(bool limited, int64_t *time)
{
    coir_group group;
    int rc = 0;

    m.limited = limited;
    atomic_store(&m.waiting, 0);
    coir_future_init(&m.gate);
    uint64_t before = timers_cancelled();
    int64_t start = bench_now();
    coir_group_init(&group);
    for (long i = 0; i < m.n; i++)
        rc |= coir_group_create_task_copy(&group, wait_for_gate, &i, sizeof i);
    rc |= open_gate();
    rc |= coir_group_wait(&group);
    *time = bench_now() - start;
    coir_future_destroy(&m.gate);

    uint64_t cancelled = timers_cancelled() - before;
    return rc == 0 && cancelled < (limited ? (uint64_t)m.n * 99 / 100 : 0) ? -EIO : rc;
}

static int measure(void *arg)
{
    (void)arg;
    int rc = pass(true, &m.first);
    rc |= pass(false, &m.plain);
    rc |= pass(true, &m.second);
    return rc;
}

static int report(const char *peer, int64_t time, int workers, bool ok)
{
    struct bench_result result = {
        .bench = "timers", .peer = peer, .workers = workers, .unit = "ns/task",
        .value = (double)time / (double)m.n, .n = (double)m.n,
        .ok = ok,
        .extra = { { "first_pass", (double)m.first / (double)m.n } },
    };
    if (time == m.plain)
        result.extra[0].name = NULL;
    return bench_print(&result);
}

int main(int argc, char **argv)
{
    struct bench_args args = { .workers = 1, .n = 100000 };
    bench_parse(&args, argc, argv);

    m.n = args.n;
    coir_options options = { .workers = args.workers };
    bool ok = coir_run_with(&options, measure, NULL) == 0 && m.late == 0;
    return report("coir", m.second, args.workers, ok) |
           report("no_timers", m.plain, args.workers, ok);
}
