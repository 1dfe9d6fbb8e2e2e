/*
 * sleepers.c - how many tasks can wait at the same time, and what does each
 * take?
 *
 * Measures  n tasks (default 100,000; -n 1000000) that each sleep one second:
 *           seconds from the first creation until all have ended, so 1.0 is the
 *           floor; and resident memory at its peak, less what was there before,
 *           per task.  The kernel's page tables are not resident memory and
 *           are given beside it.  The second pass in the same process counts,
 *           when stacks have memory; "first_pass" mostly shows how fast the
 *           machine supplies pages.
 *
 * Not       the precision of the timer: late_ms, how late the last sleeper
 *           woke, is about the queue of tasks that all became ready at once.
 *
 * Would lie if a sleeper woke early (each is checked against the clock), or if
 *           the first sleepers had ended before the last began: their memory
 *           would be used twice.  all_asleep_s, when the last one fell asleep,
 *           must be below 1 for bytes_per_task to mean much.
 */
#include "harness.h"

#include <coir.h>

#include <stdlib.h>
#include <string.h>

#define NAP COIR_SECONDS(1)

struct nap {
    int64_t start, end;
};

struct measurement {
    long n;
    struct nap *naps;
    int64_t memory_before, memory_peak, page_tables;
    int64_t first, second, second_began;
};

static int nap(void *arg)
{
    struct nap *nap = arg;

    nap->start = bench_now();
    int rc = coir_sleep(NAP);
    nap->end = bench_now();
    return rc;
}

static int all_nap(struct measurement *m, int64_t *time)
{
    coir_group group;
    int rc = 0;

    int64_t start = bench_now();
    coir_group_init(&group);
    for (long i = 0; i < m->n && rc == 0; i++)
        rc = coir_group_create_task(&group, nap, &m->naps[i]);
    int waited = coir_group_wait(&group);
    *time = bench_now() - start;
    m->second_began = start;
    return rc < 0 ? rc : waited;
}

static int measure(void *arg)
{
    struct measurement *m = arg;

    m->memory_before = bench_memory_now();
    int rc = all_nap(m, &m->first);
    if (rc == 0)
        rc = all_nap(m, &m->second);
    m->memory_peak = bench_memory_peak();
    m->page_tables = bench_memory_page_tables(); /* before the stacks are unmapped */
    return rc;
}

static double per_task(const struct measurement *m, int64_t bytes)
{
    return (double)bytes / (double)m->n;
}

struct summary {
    int64_t last_start, latest, earliest; /* against a second after the start */
};

static struct summary summarize(const struct measurement *m)
{
    struct summary s = { .earliest = INT64_MAX };

    for (long i = 0; i < m->n; i++) {
        int64_t late = m->naps[i].end - m->naps[i].start - NAP;
        if (late > s.latest)
            s.latest = late;
        if (late < s.earliest)
            s.earliest = late;
        if (m->naps[i].start > s.last_start)
            s.last_start = m->naps[i].start;
    }
    return s;
}

int main(int argc, char **argv)
{
    struct bench_args args = { .workers = 1, .n = 100000 };
    bench_parse(&args, argc, argv);

    struct measurement m = { .n = args.n };
    size_t size = (size_t)m.n * sizeof *m.naps;
    m.naps = malloc(size);
    if (!m.naps)
        return 1;
    memset(m.naps, 1, size); /* has its memory before the counting begins */

    coir_options options = { .workers = args.workers };
    int rc = coir_run_with(&options, measure, &m);
    struct summary s = summarize(&m);
    struct bench_result result = {
        .bench = "sleepers", .peer = "coir", .workers = args.workers, .unit = "s",
        .value = (double)m.second / 1e9,
        .n = (double)m.n,
        .ok = rc == 0 && s.earliest >= 0,
        .extra = {
            { "first_pass", (double)m.first / 1e9 },
            { "all_asleep_s", (double)(s.last_start - m.second_began) / 1e9 },
            { "late_ms", (double)s.latest / 1e6 },
            { "bytes_per_task", per_task(&m, m.memory_peak - m.memory_before) },
            { "page_table_bytes_per_task", per_task(&m, m.page_tables) },
        },
    };
    free(m.naps);
    return bench_print(&result);
}
