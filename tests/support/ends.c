/*
 * ends.c - what surrounds the body of every test.
 *
 * A watchdog thread ends a test that hangs, and lets coir say what it hangs on;
 * a child that the test forks lives no longer.
 * When the body has returned, nothing may be left over: no descriptor, no
 * thread, no task, operation, timer or stack.  A test that ends by a signal or
 * exits does not come so far.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "coir.h"
#include "support/check.h"
#include "support/entries.h"

/* A unit test may be linked without the part that counts. */
#pragma weak coir_dump
#pragma weak coir_stats_get

static struct {
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct timespec deadline;
    bool watching, done;
    const char *test;
    int report_fd; /* stderr as it was before the test */
} watchdog = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static void report_hang(void)
{
    dprintf(watchdog.report_fd, "check: %s hangs\n", watchdog.test);
    if (coir_dump)
        coir_dump(watchdog.report_fd);
}

/* The end of a process that the watchdog cannot end: one whose dump hangs, or a
   child that the test has forked, which has no such thread. */
static void alarm_after(unsigned seconds, void (*handler)(int))
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESETHAND | SA_NODEFER };
    sigaction(SIGALRM, &action, NULL);
    sigset_t alarm_only;
    sigemptyset(&alarm_only);
    sigaddset(&alarm_only, SIGALRM);
    pthread_sigmask(SIG_UNBLOCK, &alarm_only, NULL);
    alarm(seconds);
}

static void child_hangs(int signal)
{
    (void)signal;
    alarm_after(5, SIG_DFL);
    report_hang();
    raise(SIGALRM);
}

static void limit_child(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    time_t left = watchdog.deadline.tv_sec - now.tv_sec;
    alarm_after(left > 2 ? (unsigned)left - 1 : 1, child_hangs);
}

static void *watch(void *arg)
{
    (void)arg;
    int rc = 0;
    pthread_mutex_lock(&watchdog.mutex);
    watchdog.watching = true;
    pthread_cond_signal(&watchdog.changed);
    while (!watchdog.done && rc != ETIMEDOUT)
        rc = pthread_cond_timedwait(&watchdog.changed, &watchdog.mutex, &watchdog.deadline);
    bool done = watchdog.done;
    pthread_mutex_unlock(&watchdog.mutex);
    if (done)
        return NULL;

    alarm_after(5, SIG_DFL);
    report_hang();
    _exit(124);
}

/* The watchdog takes no signal: those that a test sends are for coir. */
static void start_watchdog(double seconds)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&watchdog.changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    clock_gettime(CLOCK_MONOTONIC, &watchdog.deadline);
    watchdog.deadline.tv_sec += (time_t)(seconds * COIR_TEST_SCALE) + 1;

    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&watchdog.thread, NULL, watch, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    cr_assert(rc == 0, "no watchdog: %s", strerror(rc));

    /* A fork amid the start of a thread would inherit the locks of a sanitizer. */
    pthread_mutex_lock(&watchdog.mutex);
    while (!watchdog.watching)
        pthread_cond_wait(&watchdog.changed, &watchdog.mutex);
    pthread_mutex_unlock(&watchdog.mutex);
    pthread_atfork(NULL, NULL, limit_child);
}

static void stop_watchdog(void)
{
    pthread_mutex_lock(&watchdog.mutex);
    watchdog.done = true;
    pthread_cond_signal(&watchdog.changed);
    pthread_mutex_unlock(&watchdog.mutex);
    pthread_join(watchdog.thread, NULL);
}

static void list_descriptors(char *buf, size_t size)
{
    size_t used = 0;
    buf[0] = '\0';
    for (int fd = 3; fd < 1024; fd++) {
        char path[32], target[PATH_MAX];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(path, target, sizeof target - 1);
        if (n < 0 || used >= size)
            continue;
        target[n] = '\0';
        used += (size_t)snprintf(buf + used, size - used, " %d=%s", fd, target);
    }
}

static void check_descriptors(int before)
{
    int after = count_entries("/proc/self/fd");
    char list[1024] = "";
    if (after != before)
        list_descriptors(list, sizeof list);
    cr_assert(after == before, "%d descriptors open before the test and %d after it:%s", before,
              after, list);
}

/* A thread that was joined is listed for a moment longer. */
static void check_threads(int before)
{
    int after = count_entries("/proc/self/task");
    for (int ms = 0; after > before && ms < 2000 * COIR_TEST_SCALE; ms++) {
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
        after = count_entries("/proc/self/task");
    }
    cr_assert(after <= before, "%d threads before the test and %d after it", before, after);
}

static void check_same(const char *left_name, uint64_t left, const char *right_name,
                       uint64_t right)
{
    cr_assert(left == right, "%s is %" PRIu64 ", but %s is %" PRIu64, left_name, left, right_name,
              right);
}

static void check_conservation(void)
{
    if (!coir_stats_get)
        return;
    coir_stats s;
    coir_stats_get(&s);
    check_same("tasks_spawned", s.tasks_spawned, "tasks_finished", s.tasks_finished);
    check_same("ops_submitted", s.ops_submitted, "ops_completed", s.ops_completed);
    check_same("timers_armed", s.timers_armed, "fired + cancelled",
               s.timers_fired + s.timers_cancelled);
    check_same("stacks_mapped", s.stacks_mapped, "stacks_unmapped", s.stacks_unmapped);
    check_same("jobs_queued", s.jobs_queued, "jobs_done", s.jobs_done);
}

/* A test that must die says on stderr what the programmer did wrong.  That is
   as it should be, and nobody wants to read it. */
static void silence_expected_death(const struct check_options *options)
{
    watchdog.report_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 100);
    setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
    if (!options->signal || getenv("CHECK_VERBOSE"))
        return;
    int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(null_fd, STDERR_FILENO);
    close(null_fd);
}

void check_run(const char *name, const struct check_options *options, void (*body)(void))
{
    watchdog.test = name;
    silence_expected_death(options);
    start_watchdog(options->timeout > 0 ? options->timeout : 60);
    int descriptors = count_entries("/proc/self/fd");
    int threads = count_entries("/proc/self/task");

    body();

    stop_watchdog();
    check_descriptors(descriptors);
    check_threads(threads - 1);
    check_conservation();
}
