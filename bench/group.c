/*
 * group.c - what does a member of a group cost, when there are a million?
 *
 * Measures  one task opens a group, creates a million tiny members, and waits for
 *           the group: time / number of members.  The second pass in the same
 *           process counts, when the descriptors have memory; the first is given
 *           beside it.
 *
 * Not       members that suspend, fail or are cancelled: see sleepers and timers.
 *           A member has no handle, so spawn's array of a million pointers, and its
 *           walk through them, are not here.
 *
 * Would lie if a member ran twice or never (each adds 1 to a number of its own, and
 *           all are checked), or if the group did not know of failures: the last
 *           thing it does, untimed, is to report that of the very last member.
 */
#include "harness.h"

#include <coir.h>
#include <errno.h>
#include <stdlib.h>

struct measurement {
    long n;
    int *counts;
    int64_t first, second;
};

static int add_one(void *arg)
{
    int *count = arg;

    *count += 1;
    return 0;
}

static int fail(void *arg)
{
    (void)arg;
    return -EDOM;
}

static int create_and_wait(struct measurement *m, int64_t *time)
{
    coir_group group;
    int rc = 0;

    int64_t start = bench_now();
    coir_group_init(&group);
    for (long i = 0; i < m->n; i++)
        rc |= coir_group_create_task(&group, add_one, &m->counts[i]);
    int waited = coir_group_wait(&group);
    *time = bench_now() - start;
    return rc < 0 ? rc : waited;
}

static int group_tells_of_failures(void)
{
    static int counts[100];
    coir_group group;

    coir_group_init(&group);
    for (int i = 0; i < 100; i++)
        coir_group_create_task(&group, i < 99 ? add_one : fail, &counts[i]);
    return coir_group_wait(&group) == -EDOM ? 0 : -EIO;
}

static int measure(void *arg)
{
    struct measurement *m = arg;
    int rc = create_and_wait(m, &m->first);

    if (rc == 0)
        rc = create_and_wait(m, &m->second);
    return rc == 0 ? group_tells_of_failures() : rc;
}

static bool all_ran_twice(const struct measurement *m)
{
    for (long i = 0; i < m->n; i++)
        if (m->counts[i] != 2)
            return false;
    return true;
}

int main(int argc, char **argv)
{
    struct bench_args args = { .workers = 1, .n = 1000000 };
    bench_parse(&args, argc, argv);

    struct measurement m = { .n = args.n };
    m.counts = calloc((size_t)m.n, sizeof *m.counts);
    if (!m.counts)
        return 1;

    coir_options options = { .workers = args.workers };
    bool ran = coir_run_with(&options, measure, &m) == 0;
    struct bench_result result = {
        .bench = "group", .peer = "coir", .workers = args.workers, .unit = "ns/member",
        .value = (double)m.second / (double)m.n,
        .n = (double)m.n,
        .ok = ran && all_ran_twice(&m),
        .extra = { { "first_pass", (double)m.first / (double)m.n } },
    };
    free(m.counts);
    return bench_print(&result);
}
