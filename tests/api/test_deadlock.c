/*
 * COIR_DEBUG=locks: tasks that wait for themselves are reported, and go on waiting; who
 * unlocks what another holds is stopped.
 *
 * Each body runs in a process of its own, which reads what it writes to stderr itself:
 * once the report is complete, it resolves the deadlock.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>

#include "api/forked.h"

static int report_fd = -1, real_stderr = -1;

static void catch_stderr(void)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    real_stderr = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    report_fd = ends[0];
}

/* Hand on what has been written, and say how many lines that was. */
static int pass_on(void)
{
    char buf[4096];
    int lines = 0;
    struct pollfd look = { .fd = report_fd, .events = POLLIN };
    while (poll(&look, 1, 0) > 0) {
        ssize_t n = read(report_fd, buf, sizeof buf);
        if (n <= 0)
            break;
        for (ssize_t i = 0; i < n; i++)
            lines += buf[i] == '\n';
        n = write(real_stderr, buf, (size_t)n);
    }
    return lines;
}

/* In a task: until so many lines have been reported. */
static void await_report(int lines)
{
    while ((lines -= pass_on()) > 0)
        coir_sleep(COIR_MILLISECONDS(1));
}

static void run_watched_with(const coir_options *options, coir_fn *body)
{
    catch_stderr();
    int rc = coir_run_with(options, body, NULL);
    pass_on();
    dup2(real_stderr, STDERR_FILENO);
    _exit(rc == 0 ? 0 : 1);
}

static void run_watched(void *body)
{
    run_watched_with(NULL, *(coir_fn **)body);
}

static const char *debug_words;

/* The process succeeds after this many lines with these words. */
static void expect_report(coir_fn *body, int lines, const char *const *words)
{
    setenv("COIR_DEBUG", debug_words ? debug_words : "locks", 1);
    struct outcome outcome = in_child(run_watched, &body);
    cr_assert(WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == 0,
              "status %#x, stderr: %s", outcome.status, outcome.err);
    cr_assert_eq(count_lines(outcome.err), lines, "stderr: %s", outcome.err);
    for (; words && *words; words++)
        cr_assert_not_null(strstr(outcome.err, *words), "no %s in: %s", *words, outcome.err);
}

#define EXPECT_REPORT(body, lines, ...) \
    expect_report(body, lines, (const char *const[]){ __VA_ARGS__, NULL })

static coir_task *start(const char *name, coir_fn *fn, void *arg)
{
    coir_task_options options = { .name = name };
    return coir_create_task_with(&options, fn, arg);
}

/* ---------------------------------------------------------- the circles --- */

/* A circle of tasks, each of which holds a mutex and then wants the next one's. */
struct circle {
    coir_mutex mutexes[3];
    int n;
    atomic_int holding, next;
};

static int hold_one_and_want_the_next(void *arg)
{
    struct circle *circle = arg;
    int self = atomic_fetch_add(&circle->next, 1);
    if (coir_mutex_lock(&circle->mutexes[self]) < 0)
        return -EIO;
    atomic_fetch_add(&circle->holding, 1);
    while (atomic_load(&circle->holding) < circle->n)
        coir_yield();
    int rc = coir_mutex_lock(&circle->mutexes[(self + 1) % circle->n]);
    if (rc == 0)
        coir_mutex_unlock(&circle->mutexes[(self + 1) % circle->n]);
    coir_mutex_unlock(&circle->mutexes[self]);
    return rc;
}

static int run_circle(int n)
{
    static const char *const names[] = { "anna", "bert", "carl" };
    struct circle circle = { .n = n };
    coir_task *tasks[3];
    for (int i = 0; i < n; i++)
        tasks[i] = start(names[i], hold_one_and_want_the_next, &circle);
    await_report(1 + n);
    if (coir_cancel_await(tasks[0]) != -ECANCELED)
        return -EIO;
    for (int i = 1; i < n; i++)
        if (coir_await(tasks[i]) != 0)
            return -EIO;
    return 0;
}

static int circle_of_one(UNUSED void *arg)
{
    return run_circle(1);
}

static int circle_of_two(UNUSED void *arg)
{
    return run_circle(2);
}

static int circle_of_three(UNUSED void *arg)
{
    return run_circle(3);
}

Test(deadlock, of_a_task_with_itself_is_reported)
{
    EXPECT_REPORT(circle_of_one, 2, "deadlock", "'anna' waits for the mutex",
                  "held by task 'anna'");
}

Test(deadlock, of_two_tasks_and_two_mutexes_is_reported_and_a_cancel_resolves_it)
{
    EXPECT_REPORT(circle_of_two, 3, "deadlock", "'anna' waits for the mutex",
                  "'bert' waits for the mutex", "held by task 'anna'", "held by task 'bert'");
}

Test(deadlock, of_three_tasks_and_three_mutexes_is_reported)
{
    EXPECT_REPORT(circle_of_three, 4, "deadlock", "'anna' waits for the mutex",
                  "'bert' waits for the mutex", "'carl' waits for the mutex",
                  "held by task 'anna'", "held by task 'bert'", "held by task 'carl'");
}

Test(deadlock, is_reported_whatever_runs_where)
{
    debug_words = "locks,noinline,migrate";
    EXPECT_REPORT(circle_of_three, 4, "deadlock", "held by task 'anna'", "held by task 'bert'",
                  "held by task 'carl'");
}

/* Two that the deadlock makes late, and a third that only waits for one of them. */
static int lock_until_late(void *arg)
{
    struct circle *circle = arg;
    coir_timeout limit;
    if (coir_mutex_lock(&circle->mutexes[1]) < 0)
        return -EIO;
    atomic_store(&circle->holding, 1);
    while (atomic_load(&circle->holding) < 2)
        coir_yield();
    coir_timeout_begin(&limit, COIR_MILLISECONDS(20));
    int rc = coir_mutex_lock(&circle->mutexes[0]);
    if (coir_timeout_end(&limit) != 1 || rc != -ETIMEDOUT)
        return -EIO;
    coir_mutex_unlock(&circle->mutexes[1]);
    return 0;
}

static int resolve_by_timeout(UNUSED void *arg)
{
    struct circle circle = { .n = 2 };
    coir_task *other = start("late", lock_until_late, &circle);
    while (atomic_load(&circle.holding) < 1)
        coir_yield();
    if (coir_mutex_lock(&circle.mutexes[0]) < 0)
        return -EIO;
    atomic_store(&circle.holding, 2);
    if (coir_mutex_lock(&circle.mutexes[1]) < 0) /* that the other gives up */
        return -EIO;
    coir_mutex_unlock(&circle.mutexes[1]);
    coir_mutex_unlock(&circle.mutexes[0]);
    return coir_await(other);
}

/* Whether it is a deadlock before one is late depends on the machine. */
Test(deadlock, is_resolved_by_a_timeout)
{
    coir_fn *body = resolve_by_timeout;
    setenv("COIR_DEBUG", "locks", 1);
    struct outcome outcome = in_child(run_watched, &body);
    cr_assert(WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == 0,
              "status %#x, stderr: %s", outcome.status, outcome.err);
    int lines = count_lines(outcome.err);
    cr_assert(lines == 0 || lines == 3, "stderr: %s", outcome.err);
}

/* ------------------------------------------- through those they wait for --- */

static coir_mutex wanted;

static int want_it(UNUSED void *arg)
{
    int rc = coir_mutex_lock(&wanted);
    if (rc == 0)
        coir_mutex_unlock(&wanted);
    return rc;
}

static int hold_it_and_await_another(UNUSED void *arg)
{
    if (coir_mutex_lock(&wanted) < 0)
        return -EIO;
    int rc = coir_await(start("child", want_it, NULL));
    coir_mutex_unlock(&wanted);
    return rc;
}

static int await_one_that_wants_it(UNUSED void *arg)
{
    return coir_await(start("middle", want_it, NULL));
}

static int hold_it_and_await_far(UNUSED void *arg)
{
    if (coir_mutex_lock(&wanted) < 0)
        return -EIO;
    int rc = coir_await(start("between", await_one_that_wants_it, NULL));
    coir_mutex_unlock(&wanted);
    return rc;
}

static int hold_it_and_wait_for_a_group(UNUSED void *arg)
{
    coir_group group;
    coir_task_options options = { .name = "member" };
    if (coir_mutex_lock(&wanted) < 0)
        return -EIO;
    coir_group_init(&group);
    if (coir_group_create_task_with(&group, &options, want_it, NULL) < 0)
        return -EIO;
    int rc = coir_group_wait(&group);
    coir_mutex_unlock(&wanted);
    return rc;
}

static int hold_it_and_gather(UNUSED void *arg)
{
    coir_call calls[] = { { return_zero, NULL, 0 }, { want_it, NULL, 0 } };
    if (coir_mutex_lock(&wanted) < 0)
        return -EIO;
    int rc = coir_gather_array(calls, 2);
    coir_mutex_unlock(&wanted);
    return rc;
}

static int report_of(coir_fn *fn)
{
    coir_task *task = start("holder", fn, NULL);
    await_report(3);
    return coir_cancel_await(task) == -ECANCELED ? 0 : -EIO;
}

static int through_an_await(UNUSED void *arg)
{
    return report_of(hold_it_and_await_another);
}

static int through_two_awaits(UNUSED void *arg)
{
    return report_of(hold_it_and_await_far);
}

static int through_a_group(UNUSED void *arg)
{
    return report_of(hold_it_and_wait_for_a_group);
}

static int through_a_gather(UNUSED void *arg)
{
    return report_of(hold_it_and_gather);
}

static const char *const ways[] = { "locks", "locks,noinline", "locks,migrate" };

Test(deadlock, through_an_awaited_task_is_reported)
{
    for (size_t i = 0; i < LENGTH(ways); i++) {
        debug_words = ways[i];
        EXPECT_REPORT(through_an_await, 3, "deadlock", "'child' waits for the mutex",
                      "held by task 'holder'", "'holder' waits for the end of task 'child'");
    }
}

Test(deadlock, through_two_awaited_tasks_is_reported)
{
    for (size_t i = 0; i < LENGTH(ways); i++) {
        debug_words = ways[i];
        EXPECT_REPORT(through_two_awaits, 3, "deadlock", "'middle' waits for the mutex",
                      "held by task 'holder'", "'holder' waits for the end of task 'middle'");
    }
}

Test(deadlock, through_a_group_is_reported)
{
    for (size_t i = 0; i < LENGTH(ways); i++) {
        debug_words = ways[i];
        EXPECT_REPORT(through_a_group, 3, "deadlock", "'member' waits for the mutex",
                      "held by task 'holder'", "'holder' waits for the end of task 'member'");
    }
}

Test(deadlock, through_a_gather_is_reported)
{
    for (size_t i = 0; i < LENGTH(ways); i++) {
        debug_words = ways[i];
        EXPECT_REPORT(through_a_gather, 3, "deadlock", "held by task 'holder'",
                      "'holder' waits for the end of task");
    }
}

/* A: holds 1, awaits B.  B: wants 2.  C: holds 2, wants 1. */
static struct {
    coir_mutex first, second;
    atomic_int held;
} knot;

static int want_the_second(UNUSED void *arg)
{
    int rc = coir_mutex_lock(&knot.second);
    if (rc == 0)
        coir_mutex_unlock(&knot.second);
    return rc;
}

static int hold_the_first(UNUSED void *arg)
{
    if (coir_mutex_lock(&knot.first) < 0)
        return -EIO;
    atomic_fetch_add(&knot.held, 1);
    while (atomic_load(&knot.held) < 2)
        coir_yield();
    int rc = coir_await(start("bert", want_the_second, NULL));
    coir_mutex_unlock(&knot.first);
    return rc;
}

static int hold_the_second(UNUSED void *arg)
{
    if (coir_mutex_lock(&knot.second) < 0)
        return -EIO;
    atomic_fetch_add(&knot.held, 1);
    while (atomic_load(&knot.held) < 2)
        coir_yield();
    int rc = coir_mutex_lock(&knot.first);
    if (rc == 0)
        coir_mutex_unlock(&knot.first);
    coir_mutex_unlock(&knot.second);
    return rc;
}

static int through_mutexes_and_an_await(UNUSED void *arg)
{
    coir_task *anna = start("anna", hold_the_first, NULL);
    coir_task *carl = start("carl", hold_the_second, NULL);
    await_report(4);
    if (coir_cancel_await(carl) != -ECANCELED)
        return -EIO;
    return coir_await(anna);
}

Test(deadlock, through_mutexes_and_an_await_is_reported)
{
    for (size_t i = 0; i < LENGTH(ways); i++) {
        debug_words = ways[i];
        EXPECT_REPORT(through_mutexes_and_an_await, 4, "deadlock", "'bert' waits for the mutex",
                      "'carl' waits for the mutex", "held by task 'anna'", "held by task 'carl'",
                      "'anna' waits for the end of task 'bert'");
    }
}

/* ----------------------------------------------------------- no circles --- */

/* Two mutexes that are always locked in the same order. */
static struct {
    coir_mutex outer, inner;
    int count;
} nested;

static int lock_both(UNUSED void *arg)
{
    for (int i = 0; i < check_scale(500); i++) {
        if (coir_mutex_lock(&nested.outer) < 0 || coir_mutex_lock(&nested.inner) < 0)
            return -EIO;
        nested.count++;
        coir_mutex_unlock(&nested.inner);
        coir_mutex_unlock(&nested.outer);
    }
    return 0;
}

static int lock_in_order(UNUSED void *arg)
{
    coir_call calls[8];
    for (size_t i = 0; i < LENGTH(calls); i++)
        calls[i] = (coir_call){ lock_both, NULL, 0 };
    return coir_gather_array(calls, LENGTH(calls));
}

Test(deadlock, is_not_seen_where_all_lock_in_the_same_order)
{
    for (int i = 0; i < 2; i++) {
        nested.outer = nested.inner = i ? (coir_mutex)COIR_MUTEX_FIFO : (coir_mutex){ { 0 }, 0 };
        expect_report(lock_in_order, 0, NULL);
    }
}

/* The holder's child only wants another mutex, held by one that goes on. */
static int await_one_that_waits(UNUSED void *arg)
{
    if (coir_mutex_lock(&wanted) < 0 || coir_mutex_lock(&nested.outer) < 0)
        return -EIO;
    coir_task *task = start("waits", lock_both, NULL);
    coir_yield();
    coir_mutex_unlock(&nested.outer);
    int rc = coir_await(task);
    coir_mutex_unlock(&wanted);
    return rc;
}

Test(deadlock, is_not_seen_where_the_awaited_task_will_go_on)
{
    expect_report(await_one_that_waits, 0, NULL);
}

static int lock_oneself_out(UNUSED void *arg)
{
    coir_mutex mutex = { 0 };
    coir_timeout limit;
    if (coir_mutex_lock(&mutex) < 0)
        return -EIO;
    coir_timeout_begin(&limit, COIR_MILLISECONDS(1));
    int rc = coir_mutex_lock(&mutex);
    coir_timeout_end(&limit);
    coir_mutex_unlock(&mutex);
    return rc == -ETIMEDOUT ? 0 : -EIO;
}

Test(deadlock, is_not_looked_for_without_the_word)
{
    debug_words = "noinline";
    expect_report(lock_oneself_out, 0, NULL);
}

static void run_with_debug(UNUSED void *arg)
{
    coir_options options = { .debug = 1 };
    run_watched_with(&options, circle_of_one);
}

Test(deadlock, is_looked_for_with_the_option_debug)
{
    unsetenv("COIR_DEBUG");
    struct outcome outcome = in_child(run_with_debug, NULL);
    cr_assert_eq(outcome.status, 0, "stderr: %s", outcome.err);
    cr_assert_eq(count_lines(outcome.err), 2, "stderr: %s", outcome.err);
}

/* -------------------------------------------------------------- strangers --- */

static int unlock_it(void *mutex)
{
    coir_mutex_unlock(mutex);
    return 0;
}

static int unlock_by_a_stranger(UNUSED void *arg)
{
    coir_mutex mutex = { 0 };
    if (coir_mutex_lock(&mutex) < 0)
        return -EIO;
    return coir_await(start("stranger", unlock_it, &mutex));
}

Test(deadlock, unlocking_what_another_task_holds_aborts)
{
    for (size_t i = 0; i < LENGTH(ways); i++) {
        coir_fn *body = unlock_by_a_stranger;
        setenv("COIR_DEBUG", ways[i], 1);
        struct outcome outcome = in_child(run_culprit_process, &body);
        assert_aborted(&outcome, "coir_mutex_unlock", "stranger");
        cr_assert_not_null(strstr(outcome.err, "held by task 'culprit'"), "%s", outcome.err);
    }
}

static void *unlock_in_a_thread(void *mutex)
{
    coir_mutex_unlock(mutex);
    return NULL;
}

static int unlock_by_a_thread(UNUSED void *arg)
{
    coir_mutex mutex = { 0 };
    pthread_t thread;
    if (coir_mutex_lock(&mutex) < 0)
        return -EIO;
    pthread_create(&thread, NULL, unlock_in_a_thread, &mutex);
    pthread_join(thread, NULL);
    return 0;
}

Test(deadlock, unlocking_from_a_thread_what_a_task_holds_aborts)
{
    coir_fn *body = unlock_by_a_thread;
    setenv("COIR_DEBUG", "locks", 1);
    struct outcome outcome = in_child(run_culprit_process, &body);
    assert_aborted(&outcome, "coir_mutex_unlock", "culprit");
}

static int lock_and_unlock(UNUSED void *arg)
{
    coir_mutex mutex = { 0 };
    if (coir_mutex_lock(&mutex) < 0)
        return -EIO;
    coir_mutex_unlock(&mutex);
    coir_mutex_lock_always(&mutex);
    coir_mutex_unlock(&mutex);
    if (coir_mutex_try_lock(&mutex) < 0)
        return -EIO;
    coir_mutex_unlock(&mutex);
    return 0;
}

Test(deadlock, unlocking_what_one_holds_is_right)
{
    for (size_t i = 0; i < LENGTH(ways); i++) {
        debug_words = ways[i];
        expect_report(lock_and_unlock, 0, NULL);
    }
}
