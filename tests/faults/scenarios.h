/*
 * scenarios.h - small programs, each of which uses one part of the library in every
 * way, and can tell afterwards whether anything was lost.
 */
#ifndef TESTS_FAULTS_SCENARIOS_H
#define TESTS_FAULTS_SCENARIOS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "coir.h"

#define must(ok)                                                                      \
    ((ok) ? (void)0                                                                   \
          : (dprintf(2, "%s:%d: not so: %s\n", __FILE__, __LINE__, #ok), _exit(1)))

#define CONSEQUENCES_MAX 4

struct scenario {
    const char *name;
    void (*reset)(void);
    coir_fn *main;
    /* Look at what was done, after the run.  result: of the run, or the first error
       that one of its tasks has seen. */
    void (*check)(int result);
    /* Errors that one side of a connection gets for a fault of the other's. */
    int consequences[CONSEQUENCES_MAX];
};

extern const struct scenario scenarios[];
extern const int scenario_count;

/* The first error that a task has seen since the reset, or 0. */
int scenario_error(void);
void scenario_reset(const struct scenario *scenario);

#endif
