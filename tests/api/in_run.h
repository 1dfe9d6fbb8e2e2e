/*
 * in_run.h - what the tests of the public interface share: tests whose body is
 * the main task of a run, and a few task bodies.
 */
#ifndef TESTS_API_IN_RUN_H
#define TESTS_API_IN_RUN_H

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "coir.h"
#include "support/check.h"

#define UNUSED __attribute__((unused))
#define NOINLINE __attribute__((noinline))
#define LENGTH(array) (sizeof(array) / sizeof(array)[0])

/* Run fn(arg) with so many workers, whatever the environment says. */
static UNUSED int run_on(int workers, coir_fn *fn, void *arg)
{
    char number[16];
    snprintf(number, sizeof number, "%d", workers);
    setenv("COIR_WORKERS", number, 1);
    return coir_run(fn, arg);
}

/* A test whose body is the main task of a run, and returns 0.  What Test()
   takes may follow. */
#define RunTest(suite, name, ...)                                            \
    static int suite##_##name(void *);                                       \
    Test(suite, name, ##__VA_ARGS__)                                         \
    {                                                                        \
        cr_assert_eq(coir_run(suite##_##name, NULL), 0);                     \
    }                                                                        \
    static int suite##_##name(UNUSED void *unused_)

/* The same with so many workers. */
#define RunTestOn(workers, suite, name, ...)                                 \
    static int suite##_##name(void *);                                       \
    Test(suite, name, ##__VA_ARGS__)                                         \
    {                                                                        \
        cr_assert_eq(run_on(workers, suite##_##name, NULL), 0);              \
    }                                                                        \
    static int suite##_##name(UNUSED void *unused_)

/* The .init of tests whose outcome depends on where tasks run. */
static UNUSED void forget_debug(void)
{
    unsetenv("COIR_DEBUG");
}

/* Let other tasks run until the counter has reached n. */
static UNUSED void yield_until(const atomic_int *counter, int n)
{
    while (atomic_load(counter) < n)
        cr_assert_eq(coir_yield(), 0);
}

/* Give other tasks time to reach the call they are to wait in.  What is
   asserted afterwards must hold also if they have not. */
static UNUSED void let_them_wait(void)
{
    cr_assert_eq(coir_sleep(COIR_MILLISECONDS(1)), 0);
}

/* With one worker: let all others run until they wait, or have ended.  A call may let
   others run before it begins, if its turn is over, so once is not enough. */
static UNUSED void let_all_wait(void)
{
    for (int i = 0; i < 30; i++)
        cr_assert_eq(coir_yield(), 0);
}

static UNUSED int sleep_forever(UNUSED void *arg)
{
    return coir_sleep(COIR_FOREVER);
}

/* arg: an int, which is returned. */
static UNUSED int return_int(void *arg)
{
    return *(int *)arg;
}

static UNUSED int return_zero(UNUSED void *arg)
{
    return 0;
}

/* arg: an atomic_int, which is counted up. */
static UNUSED int count(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

/* arg: an atomic_int, which is counted up once a call was refused because of a
   cancel, and not otherwise. */
static UNUSED int count_cancel(void *arg)
{
    int rc = coir_sleep(COIR_FOREVER);
    if (rc == -ECANCELED)
        atomic_fetch_add((atomic_int *)arg, 1);
    return rc;
}

static UNUSED pid_t thread_id(void)
{
    return (pid_t)syscall(SYS_gettid);
}

/* Numbers that look random, the same in every run for the same seed. */
static UNUSED unsigned next_random(unsigned *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

#endif
