/*
 * A million tasks asleep at once, each with a guard below its stack: how many
 * mappings they need, how much memory each, and that it goes back to the system
 * once they have ended and the run is idle.
 *
 *     million [tasks [workers]]     default 1,000,000, with one worker and with two
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "runtime/current.h"
#include "runtime/worker.h"
#include "stress/stress.h"

#if defined(COIR_ASAN) || defined(COIR_TSAN)
enum { SANITIZED = 1 }; /* which takes memory and mappings of its own */
#else
enum { SANITIZED = 0 };
#endif

enum { BYTES_PER_TASK = 4600, MAPPINGS = 100, LEFT_PERCENT = 5, SKIPPED = 77 };

#define NEEDED_KIB (8l << 20) /* for a million */
#define WATCHDOG_SECONDS 900

/* What the system says of this process. */

/* The number after "name:" in a file of /proc, mostly in KiB. */
static long number_in(const char *path, const char *name)
{
    char line[256];
    long n = -1;
    FILE *file = fopen(path, "r");
    must(file);
    while (n < 0 && fgets(line, sizeof line, file))
        if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
            n = atol(line + strlen(name) + 1);
    fclose(file);
    must(n >= 0);
    return n;
}

static long resident_kib(void)
{
    return number_in("/proc/self/smaps_rollup", "Rss");
}

/* Nearly the same, and quickly. */
static long resident_kib_about(void)
{
    long size, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    must(file && fscanf(file, "%ld %ld", &size, &resident) == 2);
    fclose(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static int count_mappings(void)
{
    char line[512];
    int n = 0;
    FILE *file = fopen("/proc/self/maps", "r");
    must(file);
    while (fgets(line, sizeof line, file))
        n++;
    fclose(file);
    return n;
}

static bool kernel_has_light_guards(void)
{
    void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(page != MAP_FAILED);
    bool has = madvise(page, 4096, 102 /* MADV_GUARD_INSTALL */) == 0;
    munmap(page, 4096);
    return has;
}

/* The tasks. */

static int sleep_until_cancelled(UNUSED void *arg)
{
    return coir_sleep(COIR_SECONDS(1000000));
}

static uint64_t timers_armed(void)
{
    coir_stats stats;
    coir_stats_get(&stats);
    return stats.timers_armed;
}

/* All of them have a stack and a timer.  A sleep would count as one of theirs. */
static void wait_until_asleep(uint64_t armed)
{
    while (timers_armed() < armed)
        must(coir_yield() == 0);
}

static void put_to_sleep(coir_group *group, long tasks)
{
    uint64_t before = timers_armed();
    coir_group_init(group);
    for (long i = 0; i < tasks; i++)
        must(coir_group_create_task(group, sleep_until_cancelled, NULL) == 0);
    wait_until_asleep(before + (uint64_t)tasks);
}

static void end(coir_group *group)
{
    coir_group_cancel(group);
    must(coir_group_wait(group) == 0);
}

/* The guards. */

struct looked_at {
    int pipe[2];
    long stacks;
};

/* Without a fault of our own: the kernel is to read there, and cannot. */
static bool faults(const struct looked_at *looked_at, const char *address)
{
    return write(looked_at->pipe[1], address, 1) < 0 && errno == EFAULT;
}

static void look_at_guard(struct coir_stack *stack, void *arg)
{
    struct looked_at *looked_at = arg;
    must(faults(looked_at, stack->low - 1));
    must(faults(looked_at, stack->low - COIR_STACK_GUARD));
    looked_at->stacks++;
}

static void look_at_all_guards(long tasks)
{
    struct looked_at looked_at = { .stacks = 0 };
    must(pipe(looked_at.pipe) == 0);
    coir_stack_pool_each(&coir_current_worker()->runtime->stacks, look_at_guard, &looked_at);
    close(looked_at.pipe[0]);
    close(looked_at.pipe[1]);
    must(looked_at.stacks >= tasks);
}

/* The claims. */

static void report(const char *what, long tasks, long kib, int mappings)
{
    if (SANITIZED)
        return;
    printf("  %-16s %7.0f bytes a task, %d mappings, %ld MiB of page tables\n", what,
           (double)kib * 1024 / (double)tasks, mappings,
           number_in("/proc/self/status", "VmPTE") / 1024);
    fflush(stdout);
}

/* Under a sanitizer memory says little; what is said of the stacks must do. */
static bool is_given_back(long before, long all)
{
    struct coir_stack_pool *pool = &coir_current_worker()->runtime->stacks;

    return SANITIZED ? coir_load_relaxed(&pool->free) == 0
                     : resident_kib_about() - before <= all * LEFT_PERCENT / 100;
}

static int sleep_and_end(void *arg)
{
    long tasks = *(long *)arg, before = resident_kib(), before_about = resident_kib_about(), all;
    int mappings = count_mappings();
    coir_group group;

    put_to_sleep(&group, tasks);
    all = resident_kib() - before;
    report("asleep:", tasks, all, count_mappings() - mappings);
    must(SANITIZED || count_mappings() - mappings < MAPPINGS);
    must(SANITIZED || (double)all * 1024 / (double)tasks < BYTES_PER_TASK);
    look_at_all_guards(tasks);

    end(&group);
    while (!is_given_back(before_about, all))
        must(coir_sleep(COIR_MILLISECONDS(50)) == 0);
    report("ended, and idle:", tasks, resident_kib() - before, count_mappings() - mappings);

    put_to_sleep(&group, tasks / 10);
    look_at_all_guards(tasks / 10);
    end(&group);
    return 0;
}

/* A process of its own for each claim. */

static void run(coir_fn *fn, long tasks, int workers)
{
    char number[16];
    snprintf(number, sizeof number, "%d", workers);
    setenv("COIR_WORKERS", number, 1);
    alarm(WATCHDOG_SECONDS);
    must(coir_run(fn, &tasks) == 0);
    check_laws();
}

static void measure(long tasks, int workers)
{
    printf("%ld tasks, %d worker%s\n", tasks, workers, workers > 1 ? "s" : "");
    fflush(stdout);
    pid_t child = fork();
    must(child >= 0);
    if (child == 0) {
        run(sleep_and_end, tasks, workers);
        exit(0);
    }
    int status;
    must(waitpid(child, &status, 0) == child);
    must(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* arg: never 0, but the compiler cannot know. */
static int dig(void *arg)
{
    volatile char frame[1024];
    frame[0] = 1;
    return *(long *)arg ? dig(arg) + frame[0] : 0;
}

static int overflow_one(void *arg)
{
    coir_task_options options = { .name = "digger" };
    coir_group group;
    put_to_sleep(&group, *(long *)arg);
    return coir_await(coir_create_task_with(&options, dig, arg));
}

/* One of many runs into its guard: the process dies of it, and says whose stack it
   was. */
static void overflow(long tasks, int workers)
{
    char text[4096];
    size_t len = 0;
    ssize_t n;
    int err[2], status;
    must(pipe(err) == 0);
    pid_t child = fork();
    must(child >= 0);
    if (child == 0) {
        dup2(err[1], STDERR_FILENO);
        close(err[0]);
        close(err[1]);
        run(overflow_one, tasks, workers);
        exit(0);
    }
    close(err[1]);
    while ((n = read(err[0], text + len, sizeof text - 1 - len)) > 0)
        len += (size_t)n;
    text[len] = '\0';
    must(waitpid(child, &status, 0) == child);
    must(SANITIZED || (WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV));
    must(strstr(text, "coir: stack overflow in task 'digger'"));
}

static int skip(const char *why)
{
    printf("million: skipped: %s\n", why);
    return SKIPPED;
}

int main(int argc, char **argv)
{
    struct stress stress;
    long tasks = argc > 1 ? atol(argv[1]) : 1000000;
    int workers = argc > 2 ? atoi(argv[2]) : 0;
    stress_begin(&stress, 1, argv);
    if (!kernel_has_light_guards())
        return skip("each guard is a mapping of its own on this kernel");
    if (number_in("/proc/meminfo", "MemAvailable") < NEEDED_KIB * tasks / 1000000)
        return skip("a million tasks need 8 GiB of free memory");
    if (SANITIZED)
        tasks /= COIR_TEST_SCALE;
    overflow(tasks < 20000 ? tasks : 20000, workers ? workers : 2);
    measure(tasks, workers ? workers : 1);
    if (!workers)
        measure(tasks, 2);
    return 0;
}
