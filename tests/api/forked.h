/*
 * forked.h - run something in a process of its own, and look at how it ended
 * and at what it wrote to stderr.
 */
#ifndef TESTS_API_FORKED_H
#define TESTS_API_FORKED_H

#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "api/in_run.h"

#ifdef CHECK_PLAIN
/* The watchdog is a second thread, and the child starts threads of its own. */
const char *__tsan_default_options(void);
__attribute__((no_sanitize("thread"))) const char *__tsan_default_options(void)
{
    return "die_after_fork=0";
}
#endif

/* libunwind keeps two descriptors for itself: for programs whose tests dump, so that
   these are there before a test begins. */
#define LOAD_BACKTRACES_FIRST                                               \
    __attribute__((constructor)) static void load_backtraces_first(void)    \
    {                                                                       \
        coir_dump(-1);                                                      \
    }                                                                       \
    struct semicolon_

struct outcome {
    int status; /* as waitpid() gives it */
    char err[8192];
};

/* No core, no handlers; and an end, should the process hang. */
static UNUSED void become_plain(void)
{
    struct rlimit no_core = { 0, 0 };
    setrlimit(RLIMIT_CORE, &no_core);
    signal(SIGABRT, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    signal(SIGALRM, SIG_DFL);
    alarm(20 * COIR_TEST_SCALE);
}

static UNUSED void run_child(int err, void (*fn)(void *), void *arg)
{
    become_plain();
    dup2(err, STDERR_FILENO);
    close(err);
    fn(arg);
    _exit(0);
}

static UNUSED struct outcome in_child(void (*fn)(void *), void *arg)
{
    struct outcome outcome = { 0 };
    int err[2];
    cr_assert_eq(pipe(err), 0);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        close(err[0]);
        run_child(err[1], fn, arg);
    }
    close(err[1]);

    size_t len = 0;
    ssize_t n;
    while ((n = read(err[0], outcome.err + len, sizeof outcome.err - 1 - len)) > 0)
        len += (size_t)n;
    close(err[0]);
    cr_assert_eq(waitpid(child, &outcome.status, 0), child);
    return outcome;
}

static UNUSED int count_lines(const char *text)
{
    int lines = 0;
    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

/* The process died of abort(), after one line that has these words in it. */
static UNUSED void assert_aborted(const struct outcome *outcome, const char *function,
                                  const char *task)
{
    cr_assert(WIFSIGNALED(outcome->status) && WTERMSIG(outcome->status) == SIGABRT,
              "status %#x, stderr: %s", outcome->status, outcome->err);
    cr_assert_eq(count_lines(outcome->err), 1, "stderr: %s", outcome->err);
    if (function)
        cr_assert_not_null(strstr(outcome->err, function), "no %s in: %s", function,
                           outcome->err);
    if (task)
        cr_assert_not_null(strstr(outcome->err, task), "no %s in: %s", task, outcome->err);
}

static UNUSED int run_culprit(void *body)
{
    coir_task_options options = { .name = "culprit" };
    coir_await(coir_create_task_with(&options, *(coir_fn **)body, NULL));
    return 0;
}

static UNUSED void run_culprit_process(void *body)
{
    coir_run(run_culprit, body);
}

/* Body, as a task named "culprit", aborts the process after one line that
   names the task and `function`; NULL if any function may notice. */
static UNUSED void expect_abort(coir_fn *body, const char *function)
{
    struct outcome outcome = in_child(run_culprit_process, &body);
    assert_aborted(&outcome, function, "culprit");
}

#endif
