/*
 * Runs started and stopped, many times over.  Descriptors, threads and memory
 * stay level.
 *
 *     start_stop [runs [seed]]      default 10,000
 */
#include <pthread.h>

#include "stress/stress.h"

static int sleep_forever(UNUSED void *arg)
{
    return coir_sleep(COIR_FOREVER);
}

static int return_at_once(UNUSED void *arg)
{
    return 0;
}

/* Ends with tasks and operations of every kind still going on. */
static int leave_much(void *arg)
{
    uint64_t random = *(uint64_t *)arg;
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

static void run_so_often(struct stress *stress, uint64_t runs)
{
    for (uint64_t i = 0; i < runs; i++) {
        uint64_t random = next_random(&stress->random);
        stress->rounds++;
        must(run_round(stress, leave_much, &random) >= 0);
    }
}

int main(int argc, char **argv)
{
    struct stress stress;
    uint64_t runs = argc > 1 ? strtoull(argv[1], NULL, 0) : 10000 / COIR_TEST_SCALE;
    stress_begin(&stress, argc, argv);

    run_so_often(&stress, runs / 10 + 1); /* fill caches that stay */
    int descriptors = count_entries("/proc/self/fd");
    int threads = count_entries("/proc/self/task");
    long pages = resident_pages();

    run_so_often(&stress, runs);
    must(count_entries("/proc/self/fd") == descriptors);
    must(threads_are_back_to(threads));
    printf("%s: %ld resident pages before, %ld after\n", stress.name, pages, resident_pages());
    must(COIR_TEST_SCALE > 1 || resident_pages() < pages + pages / 2 + 256);
    stress.rounds++;
    return stress_end(&stress);
}
