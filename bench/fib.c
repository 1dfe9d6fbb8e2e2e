/*
 * fib.c - what does a task cost that is created and awaited straight away?
 *
 * Measures  fib(35) with a task for every call of fib(n - 1), a plain call for
 *           fib(n - 2), and no cut-off: time / number of tasks.  Nearly every
 *           task is run by its own awaiter, so this is the cost of the fast
 *           path of coir_create_task() and coir_await(), and with several
 *           workers how well work spreads that divides itself.
 *           Beside it, in the same process, the serial function: a compiler
 *           barrier between the two calls keeps it from being optimised into
 *           something else.
 *
 * Not       tasks that suspend, and start-up: a smaller fib runs first.
 *
 * Would lie if the compiler saw through coir_create_task() (it is behind a
 *           library call), if serial and parallel ran at different clock
 *           speeds (serial runs before and after; the better counts), or if
 *           another program took a CPU.
 */
#include "harness.h"

#include <coir.h>

#define WARM_UP 22

struct measurement {
    int n;
    int serial_answer, answer;
    int64_t serial_time, time;
};

static __attribute__((noinline)) int fib_serial(int n)
{
    if (n < 2)
        return n;
    int left = fib_serial(n - 1);
    __asm__ volatile("" ::: "memory");
    return left + fib_serial(n - 2);
}

static int fib(void *arg)
{
    intptr_t n = (intptr_t)arg;

    if (n < 2)
        return (int)n;
    coir_task *left = coir_create_task(fib, (void *)(n - 1));
    int right = fib((void *)(n - 2));
    return coir_await(left) + right;
}

static void measure_serial(struct measurement *m)
{
    int64_t start = bench_now();
    m->serial_answer = fib_serial(m->n);
    int64_t time = bench_now() - start;

    if (m->serial_time == 0 || time < m->serial_time)
        m->serial_time = time;
}

static int measure(void *arg)
{
    struct measurement *m = arg;

    fib((void *)WARM_UP);
    measure_serial(m);
    int64_t start = bench_now();
    m->answer = fib((void *)(intptr_t)m->n);
    m->time = bench_now() - start;
    measure_serial(m);
    return 0;
}

int main(int argc, char **argv)
{
    struct bench_args args = { .workers = 1, .n = 35 };
    bench_parse(&args, argc, argv);

    struct measurement m = { .n = (int)args.n };
    coir_options options = { .workers = args.workers };
    bool ran = coir_run_with(&options, measure, &m) == 0;

    double tasks = bench_fib_tasks(m.n);
    int64_t expected = bench_fibonacci(m.n);
    struct bench_result serial = {
        .bench = "fib", .peer = "serial", .workers = 1, .unit = "ns/task", .n = tasks,
        .value = (double)m.serial_time / tasks,
        .ok = ran && m.serial_answer == expected,
    };
    struct bench_result coir = {
        .bench = "fib", .peer = "coir", .workers = args.workers, .unit = "ns/task", .n = tasks,
        .value = (double)m.time / tasks,
        .ok = ran && m.answer == expected,
        .extra = { { "times_serial", (double)m.time / (double)m.serial_time } },
    };
    return bench_print(&serial) | bench_print(&coir);
}
