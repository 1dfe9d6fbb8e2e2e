/*
 * sweep.c - every call of a small program fails once, in every way that it can.
 *
 *     sweep SCENARIO WORKERS            a spread of positions
 *     sweep SCENARIO WORKERS all        every position
 *     sweep SCENARIO WORKERS KIND VALUE FIRST TIMES      one run; 0 times is for ever
 *
 * The driver is chosen by COIR_DRIVER, as in any program.
 *
 * A run without faults counts the calls of each kind.  Then, for each kind, each error
 * and each position, the program runs once more, in a process of its own: that call
 * fails; or that and all later ones; or that and the next two.
 *
 * Each such run must end; return the right result, or the error, if it may show (see
 * faults.c); and lose no task, no byte, no descriptor, no thread, no mapping and, under
 * AddressSanitizer, no memory.  A second run in the same process, without faults, must
 * then succeed.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "scenarios.h"
#include "support/entries.h"
#include "support/faults.h"

#if defined(__has_feature)
#define UNDER_TSAN __has_feature(thread_sanitizer)
#elif defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#else
#define UNDER_TSAN 0
#endif

#define SECONDS_MOST (60 * COIR_TEST_SCALE) /* of a run: then it hangs */
#define GRACE COIR_SECONDS(3)
#define JOBS 2
#define FEW 3
#define SLOW (COIR_TEST_SCALE > 1)
#define SPREAD (SLOW ? 2 : 5) /* positions, unless it is all of them */

int __lsan_do_recoverable_leak_check(void) __attribute__((weak));

static const struct scenario *scenario;
static int workers;

/* The process in which a run takes place. */

/* What a process tells its parent. */
struct report {
    uint64_t seen[FAULT_KINDS];
    uint64_t made;
};

static void die_of_hang(int signal)
{
    static const char text[] = "it hangs\n";

    (void)signal;
    alarm(5);
    (void)!write(2, text, sizeof text - 1);
    coir_dump(2);
    _exit(124);
}

static void watch(void)
{
    struct sigaction action = { .sa_handler = die_of_hang,
                                .sa_flags = (int)(SA_RESETHAND | SA_NODEFER) };

    sigaction(SIGALRM, &action, NULL);
    alarm(SECONDS_MOST);
}

/* A thread that has been joined is listed for a moment longer.  ThreadSanitizer has
   one of its own, in a forked child from the first thread on. */
static void check_threads(int before)
{
    while (count_entries("/proc/self/task") > before + UNDER_TSAN)
        nanosleep(&(struct timespec){ .tv_nsec = 100000 }, NULL);
}

static void check_laws(void)
{
    coir_stats stats;

    coir_stats_get(&stats);
    must(stats.tasks_spawned == stats.tasks_finished);
    must(stats.ops_submitted == stats.ops_completed);
    must(stats.timers_armed == stats.timers_fired + stats.timers_cancelled);
    must(stats.stacks_mapped == stats.stacks_unmapped);
    must(stats.jobs_queued == stats.jobs_done);
}

static const struct fault_choice *choice_of(const struct fault_plan *plan)
{
    const struct fault_choice *choice = fault_kinds[plan->kind].choices;

    while (choice->answer && choice->value != plan->value)
        choice++;
    return choice;
}

static bool may_return(const struct fault_plan *plan, int result)
{
    const struct fault_choice *choice = choice_of(plan);
    int eai = plan->kind == FAULT_GETADDRINFO && plan->value < 0;

    if (result == 0)
        return true;
    if (choice->answer != FAULT_SHOWS)
        return false;
    for (int i = 0; i < CONSEQUENCES_MAX; i++)
        if (result == scenario->consequences[i])
            return true;
    return result == (eai ? COIR_EAI(plan->value) : -plan->value) || result == -choice->becomes;
}

static bool began;

static int begin(void *unused)
{
    began = true;
    return scenario->main(unused);
}

static int run_scenario(const struct fault_plan *plan)
{
    coir_options options = { .workers = workers, .shutdown_grace = GRACE };
    int descriptors = count_entries("/proc/self/fd"), threads = count_entries("/proc/self/task");
    int rc;

    scenario_reset(scenario);
    began = false;
    faults_begin(plan);
    rc = coir_run_with(&options, begin, NULL);
    faults_end();
    if (rc == 0)
        rc = scenario_error();
    must(!began || (rc != -EAGAIN && rc != -EINTR)); /* what no call in a task returns */
    scenario->check(rc);
    if (count_entries("/proc/self/fd") != descriptors)
        (void)!system("ls -l /proc/$PPID/fd >&2");
    must(count_entries("/proc/self/fd") == descriptors);
    check_threads(threads);
    check_laws();
    must(faults_mapped() == 0);
    return rc;
}

static _Noreturn void be_child(const struct fault_plan *plan, struct report *report, int err)
{
    int rc;

    setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
    dup2(err, 2);
    close(err);
    watch();
    rc = run_scenario(plan);
    for (int i = 0; i < FAULT_KINDS; i++)
        report->seen[i] = faults_seen(i);
    report->made = faults_made();
    if (!plan || !may_return(plan, rc))
        dprintf(2, "the result is %s\n", coir_err_name(rc));
    if (plan) {
        must(may_return(plan, rc));
        must(run_scenario(NULL) == 0);
    } else {
        must(rc == 0);
    }
    must(!__lsan_do_recoverable_leak_check || !__lsan_do_recoverable_leak_check());
    _exit(0);
}

/* The process that starts them. */

struct job {
    pid_t child; /* 0: free */
    struct fault_plan plan;
    struct report *report;
    int err; /* a file that has what the child wrote to stderr */
};

static struct job jobs[JOBS];
static struct {
    int kinds, errors, positions, runs, not_reached, failures;
} total;

static void make_jobs(void)
{
    size_t bytes = (sizeof(struct report) + 4095) / 4096 * 4096;

    for (int i = 0; i < JOBS; i++) {
        jobs[i].report = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                              -1, 0);
        must(jobs[i].report != MAP_FAILED);
    }
}

static void start(struct job *job, const struct fault_plan *plan)
{
    memset(job->report, 0, sizeof *job->report);
    job->plan = plan ? *plan : (struct fault_plan){ .kind = FAULT_NONE };
    job->err = memfd_create("stderr", MFD_CLOEXEC);
    must(job->err >= 0);
    job->child = fork();
    must(job->child >= 0);
    if (job->child == 0)
        be_child(plan, job->report, job->err);
}

static void print_error_output(int err)
{
    char text[4096];
    ssize_t n;

    lseek(err, 0, SEEK_SET);
    while ((n = read(err, text, sizeof text)) > 0)
        fwrite(text, 1, (size_t)n, stdout);
}

static void complain(const struct job *job, int status)
{
    const struct fault_plan *plan = &job->plan;
    char name[64] = "no fault";

    if (plan->kind)
        fault_name(plan->kind, plan->value, name, sizeof name);
    printf("FAIL %s, %d workers: %s: ", scenario->name, workers, name);
    if (WIFSIGNALED(status))
        printf("died of %s", strsignal(WTERMSIG(status)));
    else
        printf("exited with %d", WEXITSTATUS(status));
    if (plan->kind)
        printf(" (sweep %s %d %s %d %" PRIu64 " %" PRIu64 ")", scenario->name, workers,
               fault_kinds[plan->kind].name, plan->value, plan->first,
               plan->times == FAULT_FOREVER ? 0 : plan->times);
    printf("\n");
    print_error_output(job->err);
    fflush(stdout);
}

/* Wait until a child has ended.  Returns its job, which is free. */
static struct job *reap(void)
{
    int status;
    pid_t child = waitpid(-1, &status, 0);
    struct job *job = jobs;

    must(child > 0);
    while (job->child != child)
        job++;
    job->child = 0;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        total.failures++;
        complain(job, status);
    }
    total.not_reached += job->plan.kind && job->report->made == 0;
    close(job->err);
    return job;
}

static struct job *free_job(void)
{
    for (int i = 0; i < JOBS; i++)
        if (!jobs[i].child)
            return &jobs[i];
    return reap();
}

static void reap_all(void)
{
    for (int i = 0; i < JOBS; i++)
        if (jobs[i].child) {
            reap();
            i = -1;
        }
}

static void run(enum fault_kind kind, int value, uint64_t first, uint64_t times)
{
    struct fault_plan plan = { kind, value, first, times };

    total.runs++;
    start(free_job(), &plan);
}

/* How many calls of each kind there are: the most of a few runs. */
static void count_calls(uint64_t seen[FAULT_KINDS])
{
    memset(seen, 0, FAULT_KINDS * sizeof *seen);
    for (int i = 0; i < 3; i++) {
        start(&jobs[0], NULL);
        reap_all();
        for (int kind = 0; kind < FAULT_KINDS; kind++)
            if (jobs[0].report->seen[kind] > seen[kind])
                seen[kind] = jobs[0].report->seen[kind];
    }
}

/* The i-th of n positions from 1 to count, spread evenly, the ends included. */
static uint64_t position(uint64_t i, uint64_t n, uint64_t count)
{
    return n > 1 ? 1 + i * (count - 1) / (n - 1) : 1;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void sweep_choice(enum fault_kind kind, const struct fault_choice *choice, uint64_t count,
                         bool all)
{
    uint64_t once = all || count <= FEW ? count : least(count, SPREAD);
    uint64_t longer = least(count, all ? 40 : SLOW ? 1 : 2);

    total.errors++;
    total.positions += (int)once;
    for (uint64_t i = 0; i < once; i++)
        run(kind, choice->value, position(i, once, count), 1);
    for (uint64_t i = 0; i < longer; i++) {
        if (choice->answer != FAULT_RETRIED)
            run(kind, choice->value, position(i, longer, count), FAULT_FOREVER);
        run(kind, choice->value, position(i, longer, count), FEW);
    }
}

static void sweep(bool all)
{
    bool operations = faults_in_operations();
    uint64_t seen[FAULT_KINDS];
    const char *driver = getenv("COIR_DRIVER");

    if (!operations)
        printf("%s: this kernel cannot let an operation fail: those are left out\n",
               scenario->name);
    count_calls(seen);
    for (int kind = 1; kind < FAULT_KINDS && total.failures < 20; kind++) {
        const struct fault_choice *choice = fault_kinds[kind].choices;

        if (!seen[kind] || (!operations && fault_is_in_operation(kind)))
            continue;
        total.kinds++;
        for (; choice->answer; choice++)
            sweep_choice(kind, choice, seen[kind], all);
    }
    reap_all();
    printf("%s, %d workers, %s: %d kinds of calls, %d errors, %d positions, %d runs "
           "(%d did not come to it), %d failures\n", scenario->name, workers,
           driver && *driver ? driver : "any driver", total.kinds, total.errors,
           total.positions, total.runs, total.not_reached, total.failures);
}

static int run_one(char **arguments)
{
    struct fault_plan plan = { FAULT_NONE, atoi(arguments[1]), strtoull(arguments[2], NULL, 10),
                               strtoull(arguments[3], NULL, 10) };

    for (int kind = 1; kind < FAULT_KINDS; kind++)
        if (strcmp(fault_kinds[kind].name, arguments[0]) == 0)
            plan.kind = kind;
    if (!plan.kind)
        return fprintf(stderr, "sweep: what is %s?\n", arguments[0]), 2;
    if (plan.times == 0)
        plan.times = FAULT_FOREVER;
    start(&jobs[0], &plan);
    reap_all();
    printf("%" PRIu64 " calls, of which %" PRIu64 " failed\n", jobs[0].report->seen[plan.kind],
           jobs[0].report->made);
    return total.failures > 0;
}

static int usage(void)
{
    fprintf(stderr, "usage: sweep SCENARIO WORKERS [all | KIND VALUE FIRST TIMES]\n");
    return 2;
}

int main(int argc, char **argv)
{
    bool all = argc == 4 && strcmp(argv[3], "all") == 0;

    if (argc != 3 && argc != 7 && !all)
        return usage();
    for (int i = 0; i < scenario_count; i++)
        if (strcmp(scenarios[i].name, argv[1]) == 0)
            scenario = &scenarios[i];
    workers = atoi(argv[2]);
    if (!scenario || workers < 1)
        return usage();
    unsetenv("COIR_WORKERS");
    make_jobs();
    if (argc == 7)
        return run_one(argv + 3);
    sweep(all);
    return total.failures > 0;
}
