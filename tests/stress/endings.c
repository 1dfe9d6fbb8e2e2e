/*
 * Runs that end in the middle: the main task returns while others wait in every way
 * there is, are about to, or have not started, and while a thread submits more.  All of
 * them are told, clean up, and end; and a submission runs or is refused.
 */
#include <poll.h>

#include "stress/stress.h"

enum { TASKS = 60, RUNS = COIR_TEST_SCALE > 1 ? 3 : 10 /* in a round */ };

struct ending {
    coir_future never; /* set */
    int pipe[2];       /* nothing is ever written to it */
    atomic_int begun, ended;
    atomic_int submitted, ran;
};

/* The argument of a task, which frees it. */
struct straggler {
    struct ending *ending;
    uint64_t random;
    int depth; /* how many it may have below it */
};

static coir_fn straggle;

static struct straggler *new_straggler(struct ending *ending, uint64_t *random, int depth)
{
    struct straggler *straggler = malloc(sizeof *straggler);
    *straggler = (struct straggler){ ending, next_random(random), depth };
    return straggler;
}

/* ------------------------------------------------------- ways of waiting --- */

static int until_told(void *arg)
{
    (void)arg;
    while (coir_check() == 0)
        usleep(100);
    return -ECANCELED;
}

static int yield_on(void)
{
    int rc;
    while ((rc = coir_yield()) == 0)
        ;
    return rc;
}

static int wait_alone(struct straggler *straggler)
{
    struct ending *ending = straggler->ending;
    char byte;
    switch (pick(&straggler->random, 7)) {
    case 0:
        return coir_future_await(&ending->never, NULL);
    case 1:
        return coir_wait_fd(ending->pipe[0], POLLIN);
    case 2:
        return (int)coir_read(ending->pipe[0], &byte, 1);
    case 3:
        return coir_to_thread(until_told, NULL);
    case 4:
        return yield_on();
    default:
        return coir_sleep(COIR_FOREVER);
    }
}

static int wait_for_group(struct straggler *straggler)
{
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i < 2; i++)
        must(coir_group_create_task(&group, straggle,
                                    new_straggler(straggler->ending, &straggler->random, 0)) == 0);
    return coir_group_wait(&group);
}

static int wait_with_others(struct straggler *straggler)
{
    struct straggler *a = new_straggler(straggler->ending, &straggler->random, 0);
    struct straggler *b = new_straggler(straggler->ending, &straggler->random, 0);
    coir_call calls[] = { COIR_CALL(straggle, a), COIR_CALL(straggle, b) };
    return pick(&straggler->random, 2) ? coir_race(calls, 2) : coir_gather_array(calls, 2);
}

/* The others are nobody's then. */
static int wait_for_any(struct straggler *straggler)
{
    coir_task *tasks[2];
    for (int i = 0; i < 2; i++)
        tasks[i] = coir_create_task(
            straggle, new_straggler(straggler->ending, &straggler->random, 0));
    int rc = coir_wait_any(tasks, 2);
    return rc >= 0 ? coir_await(tasks[rc]) : rc;
}

static int straggle(void *arg)
{
    struct straggler *straggler = arg;
    struct ending *ending = straggler->ending;
    coir_shield shield;
    atomic_fetch_add(&ending->begun, 1);
    unsigned way = straggler->depth ? pick(&straggler->random, 6) : 0;
    int rc = way == 1   ? wait_for_group(straggler)
             : way == 2 ? wait_with_others(straggler)
             : way == 3 ? wait_for_any(straggler)
                        : wait_alone(straggler);
    must(rc == -ECANCELED);
    coir_shield_begin(&shield);
    must(coir_sleep(COIR_MICROSECONDS(pick(&straggler->random, 50))) == 0);
    coir_shield_end(&shield);
    free(straggler);
    atomic_fetch_add(&ending->ended, 1);
    return rc;
}

/* ------------------------------------------------------------ submitting --- */

static int run_submission(void *arg)
{
    struct ending *ending = *(struct ending **)arg;
    free(arg);
    atomic_fetch_add(&ending->ran, 1);
    return 7;
}

static struct coir_runner *runner;

/* On a thread, which the run waits for: until it is told that the run is ending. */
static int submit_until_refused(void *ending)
{
    for (;;) {
        struct ending **argument = malloc(sizeof *argument);
        *argument = ending;
        coir_task *task = coir_submit(runner, run_submission, argument);
        if (!task) {
            free(argument);
            return 0;
        }
        atomic_fetch_add(&((struct ending *)ending)->submitted, 1);
        must(coir_join(task) == 7);
    }
}

static int outlive_the_main_task(void *ending)
{
    coir_shield shield;
    coir_shield_begin(&shield);
    must(coir_to_thread(submit_until_refused, ending) == 0);
    coir_shield_end(&shield);
    return 0;
}

/* ------------------------------------------------------------------ runs --- */

struct play {
    struct ending *ending;
    uint64_t random;
};

static int leave_in_the_middle(void *arg)
{
    struct play *play = arg;
    runner = coir_current_runner();
    for (int i = 0; i < TASKS; i++) {
        coir_task *task = coir_create_task(
            i == 0 ? outlive_the_main_task : straggle,
            i == 0 ? (void *)play->ending : new_straggler(play->ending, &play->random, 1));
        must(task);
        if (pick(&play->random, 2))
            coir_detach(task);
    }
    for (unsigned i = pick(&play->random, 6); i > 0; i--)
        must(coir_yield() == 0);
    if (pick(&play->random, 3) == 0)
        must(coir_sleep(COIR_MICROSECONDS(pick(&play->random, 500))) == 0);
    return 0;
}

static void play_once(struct stress *stress)
{
    struct ending ending = { .begun = 0 };
    struct play play = { &ending, next_random(&stress->random) };
    coir_future_init(&ending.never);
    must(pipe(ending.pipe) == 0);
    must(run_round(stress, leave_in_the_middle, &play) == 0);
    must(atomic_load(&ending.begun) == atomic_load(&ending.ended));
    must(atomic_load(&ending.begun) >= TASKS - 1);
    must(atomic_load(&ending.submitted) == atomic_load(&ending.ran));
    coir_future_destroy(&ending.never);
    must(close(ending.pipe[0]) == 0 && close(ending.pipe[1]) == 0);
}

int main(int argc, char **argv)
{
    struct stress stress;
    stress_begin(&stress, argc, argv);
    int descriptors = count_entries("/proc/self/fd");
    while (stress_goes_on(&stress)) {
        for (int i = 0; i < RUNS; i++)
            play_once(&stress);
        must(count_entries("/proc/self/fd") == descriptors);
        check_laws();
    }
    return stress_end(&stress);
}
