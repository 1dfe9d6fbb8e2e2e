/*
 * Ten million scopes with a deadline that does not come, each begun on one worker
 * and ended on another: the timers of all workers are no more than what is in use at
 * once, and none is left in a heap.
 *
 *     deadlines [scopes]     default 10,000,000, with two workers and with eight
 */
#include <sys/resource.h>

#include "runtime/current.h"
#include "runtime/worker.h"
#include "stress/stress.h"

#if defined(COIR_ASAN) || defined(COIR_TSAN)
enum { SANITIZED = 1 }; /* which takes memory of its own */
#else
enum { SANITIZED = 0 };
#endif

enum { TASKS = 200, GROWTH_KIB = 16 << 10 };

/* A scope has a timer, and a sleep has one.  Those that were released elsewhere come
   home at the next look, and a look is at most 64 steps away. */
enum { IN_USE = 2 * TASKS, ON_THEIR_WAY = IN_USE + 2 * 64, SLAB = 128 };
enum { TIMERS_MOST = IN_USE + ON_THEIR_WAY + SLAB };

static long peak_kib(void)
{
    struct rusage usage;
    must(getrusage(RUSAGE_SELF, &usage) == 0);
    return usage.ru_maxrss;
}

/* The worker that the caller runs on, also after a suspension. */
static __attribute__((noinline)) struct coir_worker *here(void)
{
    return coir_current_worker();
}

/* A worker that has no CPU is not waited for: what was sent to it may come back. */
static int begin_and_end(void *arg)
{
    long scopes = *(const long *)arg;
    while (scopes > 0) {
        const struct coir_worker *home;
        coir_timeout limit;
        coir_timeout_begin(&limit, COIR_SECONDS(30));
        home = here();
        must(coir_sleep(1) == 0);
        scopes -= here() != home;
        must(coir_timeout_end(&limit) == 0);
    }
    return 0;
}

static int count_stock(const struct coir_timers *timers)
{
    int n = 0;
    for (const struct coir_timer *timer = timers->stock; timer; timer = timer->next)
        n++;
    return n;
}

/* The worker's own timers, when nobody holds any. */
static void look_at_timers(struct coir_timers *timers)
{
    coir_timers_drain(timers);
    must(timers->count == 0);
    must(timers->capacity <= 2 * TIMERS_MOST); /* it doubles */
    must(count_stock(timers) <= TIMERS_MOST);
}

/* Each yield goes to another worker. */
static void look_at_all_workers(void)
{
    int all = (1 << here()->runtime->worker_count) - 1, seen = 0;
    while (seen != all) {
        look_at_timers(&here()->timers);
        seen |= 1 << here()->index;
        must(coir_yield() == 0);
    }
}

static int play(void *arg)
{
    long scopes = *(long *)arg / TASKS;
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i < TASKS; i++)
        must(coir_group_create_task(&group, begin_and_end, &scopes) == 0);
    must(coir_group_wait(&group) == 0);
    look_at_all_workers();
    return 0;
}

int main(int argc, char **argv)
{
    struct stress stress;
    long scopes = argc > 1 ? atol(argv[1]) : 10000000;
    stress_begin(&stress, 1, argv);
    setenv("COIR_DEBUG", "migrate", 1);
    long before = peak_kib();
    for (int workers = 2; workers <= 8; workers *= 4) {
        coir_options options = { .workers = workers };
        int64_t start = coir_now();
        must(coir_run_with(&options, play, &scopes) == 0);
        check_laws();
        printf("%d workers: %ld scopes, %.0f ns each, %ld KiB more at most\n", workers, scopes,
               (double)(coir_now() - start) / (double)scopes, peak_kib() - before);
        fflush(stdout);
        must(SANITIZED || peak_kib() - before < GROWTH_KIB);
    }
    return 0;
}
