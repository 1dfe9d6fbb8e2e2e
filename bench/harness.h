/*
 * harness.h - what every benchmark, floor and peer shares: the command line,
 * the clock, the memory counters, and the line that each prints.
 *
 * It knows nothing of coir, so that peers use the very same code.  A program
 * measures once and prints one line per question; run.py repeats it, alternates
 * it with its peers, and takes medians.
 */
#ifndef BENCH_HARNESS_H
#define BENCH_HARNESS_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* PROGRAM [NAME] [-w WORKERS] [-n SIZE]; NAME for programs that hold several
   benchmarks. */
struct bench_args {
    const char *name;
    int workers;
    long n;
};

/* Replace in *args, which holds the defaults, what the command line says; exit
   with the usage text if it makes no sense.  COIR_WORKERS is removed from the
   environment: it would override -w. */
void bench_parse(struct bench_args *args, int argc, char **argv);

/* Nanoseconds on the monotonic clock. */
int64_t bench_now(void);

/* Keep this CPU busy for so many nanoseconds. */
void bench_spin_for(int64_t duration);

/* The one of n times in nanoseconds that comes `rank` places after the least, in
   microseconds; 0 of none.  Sorts them. */
double bench_ranked_us(int64_t *times, long n, long rank);

/* Resident memory of this process in bytes: now, at its highest, and what its
   page tables take in the kernel. */
int64_t bench_memory_now(void);
int64_t bench_memory_peak(void);
int64_t bench_memory_page_tables(void);

#define BENCH_EXTRAS 6

struct bench_extra {
    const char *name;
    double value;
};

struct bench_result {
    const char *bench;
    const char *peer;
    int workers;
    const char *unit;
    double value;
    double n;  /* how many operations the value is the mean of */
    bool ok;   /* whether the answer was right */
    struct bench_extra extra[BENCH_EXTRAS]; /* up to the first without a name */
};

/* Print the result as one line of JSON.  Returns the exit status: 0 if ok. */
int bench_print(const struct bench_result *result);

/* The Fibonacci numbers F(0) = 0, F(1) = 1, ..., by addition. */
int64_t bench_fibonacci(int n);

/* How many tasks fib(n) spawns: one per call with an argument above 1. */
double bench_fib_tasks(int n);

/* The tree of skynet: each inner node has ten children, the leaves are numbered
   from 0, and the answer is the sum of those numbers. */
#define BENCH_SKYNET_FANOUT 10
double bench_skynet_tasks(int64_t leaves);
int64_t bench_skynet_sum(int64_t leaves);

#ifdef __cplusplus
}
#endif

#endif
