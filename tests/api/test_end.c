/*
 * The end of a run: what does not end within shutdown_grace is named, and the run ends
 * all the same, with -ETIMEDOUT.
 *
 * Each in a process of its own, for what did not end goes on there.
 */
#include <netdb.h>

#include "api/forked.h"

LOAD_BACKTRACES_FIRST;

enum { GRACE_MS = 30 };

/* ------------------------------------------------- names that hang --- */

static struct {
    int begun[2]; /* a byte from each lookup that hangs */
    int end[2];   /* closed: they end */
} lookups;

/* In place of the system's.  "stuck" is a name that no server answers for. */
int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret_list)
{
    char byte;
    (void)service;
    (void)ret_list;
    if (!host || strcmp(host, "stuck") != 0 || (hints->ai_flags & AI_NUMERICHOST))
        return EAI_NONAME;
    if (write(lookups.begun[1], "b", 1) == 1)
        while (read(lookups.end[0], &byte, 1) > 0)
            ;
    return EAI_AGAIN;
}

static int connect_to_stuck(UNUSED void *arg)
{
    return coir_connect("stuck", "http");
}

static int leave_a_lookup(UNUSED void *arg)
{
    char byte;
    cr_assert_eq(pipe(lookups.begun), 0);
    cr_assert_eq(pipe(lookups.end), 0);
    coir_task *task = coir_create_task(connect_to_stuck, NULL);
    cr_assert_eq(coir_read(lookups.begun[0], &byte, 1), 1);
    return coir_cancel_await(task) == -ECANCELED ? 3 : 4;
}

/* ---------------------------------------------- tasks that do not end --- */

static int forever[2]; /* a pipe that nobody writes to, but for the one test */
static atomic_int begun;

static int swallow_cancels(UNUSED void *arg)
{
    atomic_store(&begun, 1);
    while (coir_sleep(COIR_MILLISECONDS(1)) <= 0)
        ;
    return 0;
}

static int compute(UNUSED void *arg)
{
    volatile unsigned i = 0;
    while (i < 2)
        i ^= 1;
    return 0;
}

static int read_shielded(UNUSED void *arg)
{
    coir_shield shield;
    char byte;
    coir_shield_begin(&shield);
    atomic_store(&begun, 1);
    coir_read(forever[0], &byte, 1);
    coir_shield_end(&shield);
    return 0;
}

static int block(UNUSED void *arg)
{
    char byte;
    atomic_store(&begun, 1);
    return (int)read(forever[0], &byte, 1);
}

static int call_a_thread(UNUSED void *arg)
{
    return coir_to_thread(block, NULL);
}

static int wait_for_a_future(void *future)
{
    coir_shield shield;
    coir_shield_begin(&shield);
    atomic_store(&begun, 1);
    coir_future_await(future, NULL);
    coir_shield_end(&shield);
    return 0;
}

/* What is left over, and what the report must say of it. */
struct left {
    coir_fn *fn;
    void *arg;
    const char *waits_for;
    bool computes; /* and would keep a single worker from the main task */
};

static int leave(void *arg)
{
    const struct left *left = arg;
    coir_task_options options = { .name = "stubborn" };
    cr_assert_eq(pipe(forever), 0);
    coir_detach(coir_create_task_with(&options, left->fn, left->arg));
    if (!left->computes)
        yield_until(&begun, 1);
    return 5;
}

static const coir_options little_grace = { .shutdown_grace = COIR_MILLISECONDS(GRACE_MS) };

static void run_and_leave(void *left)
{
    int64_t start = coir_now();
    int rc = coir_run_with(&little_grace, leave, left);
    _exit(coir_now() - start < COIR_MILLISECONDS(GRACE_MS) ? 1 : rc == -ETIMEDOUT ? 33 : 2);
}

static void close_and_leave(void *left)
{
    coir_runner *runner;
    if (coir_runner_open(&runner, &little_grace) < 0)
        _exit(1);
    if (coir_runner_run(runner, leave, left) != 5)
        _exit(2);
    _exit(coir_runner_close(runner) == -ETIMEDOUT ? 33 : 3);
}

static void assert_ended(const struct outcome *outcome)
{
    cr_assert(WIFEXITED(outcome->status) && WEXITSTATUS(outcome->status) == 33,
              "status %#x, stderr: %s", outcome->status, outcome->err);
    cr_assert_not_null(strstr(outcome->err, "did not end within shutdown_grace"), "stderr: %s",
                       outcome->err);
}

/* A line is true of a moment, and just then a task that waits may have been woken to
   look about: so there are a few tries. */
static void expect_words(void (*body)(void *), void *arg, const char *who, const char *what)
{
    struct outcome outcome;
    for (int i = 0; i < 20; i++) {
        outcome = in_child(body, arg);
        assert_ended(&outcome);
        cr_assert_not_null(strstr(outcome.err, who), "no %s in: %s", who, outcome.err);
        if (strstr(outcome.err, what))
            return;
    }
    cr_assert(false, "no %s in: %s", what, outcome.err);
}

static void expect_report(coir_fn *fn, void *arg, const char *waits_for)
{
    struct left left = { fn, arg, waits_for, fn == compute };
    expect_words(run_and_leave, &left, "stubborn", waits_for);
    expect_words(close_and_leave, &left, "stubborn", waits_for);
}

Test(end, names_a_task_that_swallows_cancels)
{
    expect_report(swallow_cancels, NULL, "task");
}

Test(end, names_a_task_that_computes)
{
    expect_report(compute, NULL, "running");
}

Test(end, names_an_operation_that_does_not_end)
{
    expect_report(read_shielded, NULL, "coir_read");
}

Test(end, names_a_task_whose_blocking_call_does_not_end)
{
    expect_report(call_a_thread, NULL, "thread");
}

Test(end, names_a_task_that_waits_for_what_nobody_sets)
{
    static coir_future future;
    coir_future_init(&future);
    expect_report(wait_for_a_future, &future, "future");
}

/* --------------------------------------------- calls that do not end --- */

static void run_and_leave_a_lookup(UNUSED void *arg)
{
    _exit(coir_run_with(&little_grace, leave_a_lookup, NULL) == -ETIMEDOUT ? 33 : 2);
}

static void close_and_leave_a_lookup(UNUSED void *arg)
{
    coir_runner *runner;
    if (coir_runner_open(&runner, &little_grace) < 0)
        _exit(1);
    if (coir_runner_run(runner, leave_a_lookup, NULL) != 3)
        _exit(2);
    _exit(coir_runner_close(runner) == -ETIMEDOUT ? 33 : 3);
}

Test(end, names_a_lookup_that_does_not_end)
{
    expect_words(run_and_leave_a_lookup, NULL, "lookup", "'stuck'");
    expect_words(close_and_leave_a_lookup, NULL, "lookup", "'stuck'");
}

static int leave_a_lookup_that_ends(UNUSED void *arg)
{
    int rc = leave_a_lookup(NULL);
    close(lookups.end[1]);
    return rc;
}

Test(end, waits_for_a_lookup_that_was_given_up_and_says_nothing)
{
    coir_options options = { .shutdown_grace = COIR_FOREVER };
    cr_assert_eq(coir_run_with(&options, leave_a_lookup_that_ends, NULL), 3);
    close(lookups.end[0]);
    close(lookups.begun[0]);
    close(lookups.begun[1]);
}

/* ------------------------------------------------------- afterwards --- */

static atomic_int ended;

static int end_late(UNUSED void *arg)
{
    coir_fn *const calls[] = { call_a_thread, read_shielded };
    for (size_t i = 0; i < LENGTH(calls); i++)
        if (coir_await(coir_create_task(calls[i], NULL)) < 0)
            _exit(4);
    atomic_store(&ended, 1);
    return 0;
}

/* It outlasts the run, and then gets what it waits for: its memory is still there. */
static void outlast_and_go_on(UNUSED void *arg)
{
    struct left left = { .fn = end_late };
    if (coir_run_with(&little_grace, leave, &left) != -ETIMEDOUT)
        _exit(1);
    if (coir_run(return_zero, NULL) != 0)
        _exit(2);
    while (!atomic_load(&ended))
        if (write(forever[1], "x", 1) == 1)
            usleep(1000);
    coir_dump(-1);
    exit(33);
}

Test(end, leaves_what_did_not_end_its_memory_and_others_their_runs)
{
    expect_words(outlast_and_go_on, NULL, "stubborn", "thread");
}
