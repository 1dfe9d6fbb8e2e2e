/*
 * timeout.c - what does a timeout cost that does not fire?
 *
 * Measures  "timeout": coir_timeout_begin() of 30 s and coir_timeout_end(), with
 *           nothing in between: time / number of scopes; "timeout_call": the same
 *           around coir_check(), a call that asks whether the deadline has passed;
 *           "timeout_wait": around a wait for another task, which arms the timer.
 *
 * Floor     reading the clock, in the same process: a scope has to once, to know its
 *           deadline; a call inside, once more, to see whether it has passed.  For
 *           timeout_wait the same wait without a scope.
 *
 * Not       many timers at once (see timers), nor one that fires.
 *
 * Would lie if the compiler saw through the calls (they are in a shared library), or
 *           if the scope did nothing: before and after, one of no time must refuse a
 *           call and say so.
 */
#include "harness.h"

#include <coir.h>
#include <errno.h>
#include <stdlib.h>

struct measurement {
    long n;
    int64_t clock, scope, call, plain_wait, wait;
    uint64_t sum; /* keeps the readings of the clock */
};

static int64_t time_clock(long n, uint64_t *sum)
{
    int64_t start = bench_now();

    for (long i = 0; i < n; i++)
        *sum += coir_now();
    return bench_now() - start;
}

static int64_t time_scope(long n)
{
    int64_t start = bench_now();

    for (long i = 0; i < n; i++) {
        coir_timeout limit;
        coir_timeout_begin(&limit, COIR_SECONDS(30));
        coir_timeout_end(&limit);
    }
    return bench_now() - start;
}

static int64_t time_call(long n)
{
    int64_t start = bench_now();

    for (long i = 0; i < n; i++) {
        coir_timeout limit;
        coir_timeout_begin(&limit, COIR_SECONDS(30));
        coir_check();
        coir_timeout_end(&limit);
    }
    return bench_now() - start;
}

static int set(void *future)
{
    return coir_future_set(future, NULL);
}

/* Wait for a future that another task sets once this one waits. */
static int64_t time_wait(long n, bool limited)
{
    int64_t start = bench_now();

    for (long i = 0; i < n; i++) {
        coir_future future;
        coir_timeout limit;
        coir_future_init(&future);
        coir_task *setter = coir_create_task(set, &future);
        if (limited)
            coir_timeout_begin(&limit, COIR_SECONDS(30));
        coir_future_await(&future, NULL);
        if (limited)
            coir_timeout_end(&limit);
        coir_await(setter);
        coir_future_destroy(&future);
    }
    return bench_now() - start;
}

/* Whether scopes do what they are for. */
static bool works(void)
{
    coir_timeout limit;

    coir_timeout_begin(&limit, 0);
    int refused = coir_check();
    return coir_timeout_end(&limit) == 1 && refused == -ETIMEDOUT && coir_check() == 0;
}

static int measure(void *arg)
{
    struct measurement *m = arg;
    bool worked = works();

    for (int pass = 0; pass < 2; pass++) { /* the second counts */
        m->clock = time_clock(m->n, &m->sum);
        m->scope = time_scope(m->n);
        m->call = time_call(m->n);
        m->plain_wait = time_wait(m->n / 10, false);
        m->wait = time_wait(m->n / 10, true);
    }
    return worked && works() ? 0 : -EIO;
}

static int report(const char *bench, const char *peer, int64_t time, long n, int workers, bool ok)
{
    struct bench_result result = {
        .bench = bench, .peer = peer, .workers = workers, .unit = "ns/scope",
        .value = (double)time / (double)n, .n = (double)n, .ok = ok,
    };
    return bench_print(&result);
}

int main(int argc, char **argv)
{
    struct bench_args args = { .workers = 1, .n = 2000000 };
    bench_parse(&args, argc, argv);

    struct measurement m = { .n = args.n };
    coir_options options = { .workers = args.workers };
    bool ok = coir_run_with(&options, measure, &m) == 0 && m.sum != 0;
    return report("timeout", "coir", m.scope, m.n, args.workers, ok) |
           report("timeout", "clock", m.clock, m.n, args.workers, ok) |
           report("timeout_call", "coir", m.call, m.n, args.workers, ok) |
           report("timeout_call", "clock", 2 * m.clock, m.n, args.workers, ok) |
           report("timeout_wait", "coir", m.wait, m.n / 10, args.workers, ok) |
           report("timeout_wait", "no_scope", m.plain_wait, m.n / 10, args.workers, ok);
}
