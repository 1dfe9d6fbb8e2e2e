/*
 * Tasks that keep a worker's CPU are named on stderr, others are not.
 *
 * Nobody waits for time to pass: what hogs goes on until the report has come, which
 * a thread reads from a pipe in the place of stderr.
 */
#include <dirent.h>
#include <pthread.h>
#include <string.h>

#include "api/forked.h"

LOAD_BACKTRACES_FIRST;

#if defined(CHECK_BACKTRACES) && !defined(CHECK_TSAN) /* which defers signals */
#define EXPECT_BACKTRACE 1
#else
#define EXPECT_BACKTRACE 0
#endif

enum { STALL_MS = 20 };

static struct {
    int saved; /* the true stderr */
    int pipe[2];
    pthread_t thread;
    char text[65536];
    size_t len;
    const char *last_word; /* of the report that is waited for */
    int reports;           /* that are waited for */
    atomic_int has_come;
    int let_go[2];         /* written to then */
} err;

static int count_words(const char *text, const char *word)
{
    int n = 0;
    for (; (text = strstr(text, word)); text++)
        n++;
    return n;
}

static void *read_err(UNUSED void *arg)
{
    ssize_t n;
    while ((n = read(err.pipe[0], err.text + err.len, sizeof err.text - 1 - err.len)) > 0) {
        err.len += (size_t)n;
        err.text[err.len] = '\0';
        if (!atomic_load(&err.has_come) && count_words(err.text, err.last_word) >= err.reports) {
            atomic_store(&err.has_come, 1);
            cr_assert_eq(write(err.let_go[1], "", 1), 1);
        }
    }
    return NULL;
}

static void catch_err(int reports, const char *last_word)
{
    err.reports = reports;
    err.last_word = last_word;
    cr_assert_eq(pipe(err.pipe), 0);
    cr_assert_eq(pipe(err.let_go), 0);
    err.saved = dup(STDERR_FILENO);
    dup2(err.pipe[1], STDERR_FILENO);
    close(err.pipe[1]);
    cr_assert_eq(pthread_create(&err.thread, NULL, read_err, NULL), 0);
}

static void release_err(void)
{
    dup2(err.saved, STDERR_FILENO);
    close(err.saved);
    pthread_join(err.thread, NULL);
    close(err.pipe[0]);
    close(err.let_go[0]);
    close(err.let_go[1]);
}

NOINLINE static int spin_until_reported(UNUSED void *arg)
{
    while (!atomic_load(&err.has_come))
        ;
    return 0;
}

NOINLINE static int read_until_reported(UNUSED void *arg)
{
    char byte;
    return (int)read(err.let_go[0], &byte, 1) - 1;
}

static int run_hog(void *fn)
{
    coir_task_options options = { .name = "hog" };
    return coir_await(coir_create_task_with(&options, *(coir_fn **)fn, NULL));
}

/* Let it keep its worker until it has been reported so often. */
static void report_hog(const coir_options *options, coir_fn *fn, int reports,
                       const char *last_word)
{
    catch_err(reports, last_word);
    int rc = coir_run_with(options, run_hog, &fn);
    release_err();
    cr_assert_eq(rc, 0, "%s", err.text);
    cr_assert_not_null(strstr(err.text, "coir: task 'hog' (created at"), "%s", err.text);
    cr_assert_not_null(strstr(err.text, "has been on the CPU of worker"), "%s", err.text);
}

Test(stall, a_task_that_computes_for_long_is_named_with_its_backtrace)
{
    coir_options options = { .stall_ms = STALL_MS };
    report_hog(&options, spin_until_reported, 1,
               EXPECT_BACKTRACE ? "spin_until_reported+0x" : "task 'hog'");
}

Test(stall, a_task_that_blocks_its_thread_is_named_and_goes_on_blocking)
{
    coir_options options = { .stall_ms = STALL_MS };
    report_hog(&options, read_until_reported, 1,
               EXPECT_BACKTRACE ? "read_until_reported+0x" : "task 'hog'");
}

Test(stall, is_reported_again_while_it_lasts)
{
    coir_options options = { .stall_ms = STALL_MS };
    report_hog(&options, spin_until_reported, 2, "task 'hog'");
}

Test(stall, is_reported_without_a_rescue_signal_but_without_a_backtrace)
{
    coir_options options = { .stall_ms = STALL_MS, .rescue_signal = -1 };
    report_hog(&options, spin_until_reported, 1, "task 'hog'");
    cr_assert_null(strstr(err.text, "#0"), "%s", err.text);
}

Test(stall, is_reported_if_the_environment_says_so)
{
    setenv("COIR_STALL_MS", "20", 1);
    report_hog(NULL, spin_until_reported, 1, "task 'hog'");
}

/* Short tasks, and nothing to do for longer than the limit. */
static int work_and_rest(UNUSED void *arg)
{
    atomic_int runs = 0;
    for (int i = 0; i < check_scale(100000); i++)
        cr_assert_eq(coir_await(coir_create_task(count, &runs)), 0);
    cr_assert_eq(coir_sleep(COIR_MILLISECONDS(1500)), 0);
    return 0;
}

Test(stall, tasks_that_do_not_keep_their_worker_are_not_named)
{
    coir_options options = { .stall_ms = 1000 };
    catch_err(1, "coir: ");
    int rc = coir_run_with(&options, work_and_rest, NULL);
    release_err();
    cr_assert_eq(rc, 0, "%s", err.text);
    cr_assert_str_eq(err.text, "");
}

static int count_threads(UNUSED void *arg)
{
    DIR *threads = opendir("/proc/self/task");
    int n = 0;
    while (readdir(threads))
        n++;
    closedir(threads);
    return n;
}

static void run_and_count_threads(void *options)
{
    _exit(coir_run_with(options, count_threads, NULL));
}

/* In a process of its own: a thread that has been joined is listed for a moment longer. */
static int threads_of_a_run(coir_options *options)
{
    struct outcome outcome = in_child(run_and_count_threads, options);
    cr_assert(WIFEXITED(outcome.status), "status %#x", outcome.status);
    return WEXITSTATUS(outcome.status);
}

Test(stall, costs_a_thread_only_where_it_is_asked_for)
{
    coir_options options = { .stall_ms = STALL_MS };
    cr_assert_eq(threads_of_a_run(&options), threads_of_a_run(NULL) + 1);
}

Test(stall, of_negative_or_senseless_length_is_refused)
{
    coir_options options = { .stall_ms = -1 };
    cr_assert_eq(coir_run_with(&options, return_zero, NULL), -EINVAL);
    static const char *const senseless[] = { "-1", "soon", "20ms", "99999999999999" };
    catch_err(1, "makes no sense");
    for (size_t i = 0; i < LENGTH(senseless); i++) {
        setenv("COIR_STALL_MS", senseless[i], 1);
        cr_assert_eq(coir_run(return_zero, NULL), -EINVAL, "%s", senseless[i]);
    }
    release_err();
    cr_assert_eq(count_words(err.text, "makes no sense"), (int)LENGTH(senseless));
}
