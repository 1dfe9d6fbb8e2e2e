/*
 * stress.h - what the stress programs share.
 *
 *     spawn_trees [seconds [seed]]
 *
 * Each runs for so many seconds (default: STRESS_SECONDS in the environment, or 5),
 * in rounds with one to eight workers, prints its seed, counts exactly, and exits
 * with 0 or 1.
 */
#ifndef TESTS_STRESS_STRESS_H
#define TESTS_STRESS_STRESS_H

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "coir.h"
#include "support/entries.h"

#ifndef COIR_TEST_SCALE
#define COIR_TEST_SCALE 1
#endif

#define UNUSED __attribute__((unused))

struct stress {
    const char *name;
    double seconds;
    int64_t until; /* coir_now() of the end */
    uint64_t seed;
    uint64_t random;
    uint64_t rounds;
};

/* The program that runs, for the line that a failure prints. */
static struct stress *stress_;

#define must(ok)                                                                          \
    ((ok) ? (void)0                                                                       \
          : (fprintf(stderr, "%s:%d: not so: %s (%s, seed %" PRIu64 ", round %" PRIu64 ")\n", \
                     __FILE__, __LINE__, #ok, stress_->name, stress_->seed,               \
                     stress_->rounds),                                                    \
             abort()))

static UNUSED uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* A number from 0 to n - 1. */
static UNUSED unsigned pick(uint64_t *state, unsigned n)
{
    return (unsigned)(next_random(state) >> 33) % n;
}

static UNUSED void stress_begin(struct stress *stress, int argc, char **argv)
{
    const char *slash = strrchr(argv[0], '/');
    const char *environment = getenv("STRESS_SECONDS");
    double seconds = argc > 1 ? atof(argv[1]) : environment ? atof(environment) : 5;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL) * 1000003u;

    *stress = (struct stress){
        .name = slash ? slash + 1 : argv[0],
        .seconds = seconds,
        .until = coir_now() + COIR_SECONDS(seconds),
        .seed = seed,
        .random = seed * 2 + 1,
    };
    stress_ = stress;
    printf("%s: seed %" PRIu64 "\n", stress->name, seed);
    fflush(stdout);
}

/* Keep the worker from everything else, so that others have to look after it. */
static UNUSED void compute_for(coir_duration duration)
{
    int64_t end = coir_now() + duration;
    while (coir_now() < end)
        ;
}

/* Whether there is time for another round; at least one is played. */
static UNUSED bool stress_goes_on(struct stress *stress)
{
    return stress->rounds++ == 0 || coir_now() < stress->until;
}

/* The same for a storm, which has made so many cancels: 20,000 at least, or a million
   if it is a long one. */
static UNUSED bool storm_goes_on(struct stress *stress, uint64_t cancels)
{
    uint64_t least = (stress->seconds < 30 ? 20000 : 1000000) / COIR_TEST_SCALE;
    return stress_goes_on(stress) || cancels < least;
}

static UNUSED int run_round(struct stress *stress, coir_fn *fn, void *arg)
{
    coir_options options = { .workers = 1 + (int)pick(&stress->random, 8) };
    return coir_run_with(&options, fn, arg);
}

/* What holds after every run. */
static UNUSED void check_laws(void)
{
    coir_stats stats;
    coir_stats_get(&stats);
    must(stats.tasks_spawned == stats.tasks_finished);
    must(stats.ops_submitted == stats.ops_completed);
    must(stats.timers_armed == stats.timers_fired + stats.timers_cancelled);
    must(stats.stacks_mapped == stats.stacks_unmapped);
    must(stats.jobs_queued == stats.jobs_done);
}

static UNUSED int stress_end(const struct stress *stress)
{
    coir_stats stats;
    coir_stats_get(&stats);
    check_laws();
    printf("%s: %" PRIu64 " rounds, %" PRIu64 " tasks (%" PRIu64 " inline, %" PRIu64
           " handed over), %" PRIu64 " operations, %" PRIu64 " timers\n",
           stress->name, stress->rounds - 1, stats.tasks_spawned, stats.tasks_inlined,
           stats.handovers, stats.ops_submitted, stats.timers_armed);
    return 0;
}

#endif
