/*
 * Runs started and stopped, many times over, some of them while workers ask others for
 * their tasks, by signals.  Descriptors, threads, mappings and memory stay level.
 *
 *     start_stop [runs [seed]]      default 10,000; 100,000 with STRESS_SECONDS set
 */
#include <pthread.h>

#include "stress/stress.h"

/* What malloc() may do with its arenas and the stacks of threads that it keeps. */
enum { PAGES_MORE = 512, MAPPINGS_MORE = 64 };

static int sleep_forever(UNUSED void *arg)
{
    return coir_sleep(COIR_FOREVER);
}

static int return_at_once(UNUSED void *arg)
{
    return 0;
}

/* Keeps its worker for a while, so that the others ask for what lies behind it. */
static void compute(unsigned microseconds)
{
    int64_t until = coir_now() + COIR_MICROSECONDS(microseconds);
    while (coir_now() < until)
        ;
}

static int hog(void *arg)
{
    compute(*(unsigned *)arg);
    return 0;
}

static void leave_a_hog(uint64_t *random)
{
    unsigned microseconds = pick(random, 400);
    coir_detach(coir_create_task_copy(hog, &microseconds, sizeof microseconds));
    for (int i = 0; i < 4; i++)
        coir_detach(coir_create_task(return_at_once, NULL));
    compute(pick(random, 400));
}

/* Ends with tasks and operations of every kind still going on. */
static int leave_much(void *arg)
{
    uint64_t random = *(uint64_t *)arg;
    if (pick(&random, 8) == 0)
        leave_a_hog(&random);
    for (unsigned i = pick(&random, 8); i > 0; i--)
        coir_detach(coir_create_task(pick(&random, 2) ? sleep_forever : return_at_once, NULL));
    if (pick(&random, 2))
        must(coir_yield() == 0);
    if (pick(&random, 4) == 0)
        must(coir_sleep(COIR_MICROSECONDS(pick(&random, 100))) == 0);
    return (int)pick(&random, 100);
}

/* The thread of a run that has ended is listed for a moment longer. */
static bool threads_are_back_to(int before)
{
    for (int i = 0; i < 2000; i++) {
        if (count_entries("/proc/self/task") <= before)
            return true;
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    }
    return false;
}

static long resident_pages(void)
{
    long size, resident = 0;
    FILE *statm = fopen("/proc/self/statm", "r");
    must(statm && fscanf(statm, "%ld %ld", &size, &resident) == 2);
    fclose(statm);
    return resident;
}

static int count_mappings(void)
{
    int n = 0, c;
    FILE *maps = fopen("/proc/self/maps", "r");
    must(maps != NULL);
    while ((c = getc(maps)) != EOF)
        n += c == '\n';
    fclose(maps);
    return n;
}

static void run_so_often(struct stress *stress, uint64_t runs)
{
    for (uint64_t i = 0; i < runs; i++) {
        uint64_t random = next_random(&stress->random);
        stress->rounds++;
        must(run_round(stress, leave_much, &random) >= 0);
    }
}

static uint64_t default_runs(void)
{
    return (getenv("STRESS_SECONDS") ? 100000 : 10000) / COIR_TEST_SCALE;
}

int main(int argc, char **argv)
{
    struct stress stress;
    uint64_t runs = argc > 1 ? strtoull(argv[1], NULL, 0) : default_runs();
    stress_begin(&stress, argc, argv);

    run_so_often(&stress, runs / 10 + 1); /* fill caches that stay */
    int descriptors = count_entries("/proc/self/fd");
    int threads = count_entries("/proc/self/task");
    int mappings = count_mappings();
    long pages = resident_pages();
    int64_t start = coir_now();

    run_so_often(&stress, runs);
    int64_t each = (coir_now() - start) / (int64_t)(runs ? runs : 1);
    printf("%s: %" PRId64 " us a run; %ld resident pages before, %ld after; %d and %d mappings\n",
           stress.name, each / 1000, pages, resident_pages(), mappings, count_mappings());
    must(count_entries("/proc/self/fd") == descriptors);
    must(threads_are_back_to(threads));
    must(COIR_TEST_SCALE > 1 || count_mappings() <= mappings + MAPPINGS_MORE);
    must(COIR_TEST_SCALE > 1 || resident_pages() < pages + PAGES_MORE);
    stress.rounds++;
    return stress_end(&stress);
}
