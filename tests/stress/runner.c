/*
 * Runners that several threads use at once: they run, submit, cancel, join and detach,
 * as they like, and the last of them closes.  And threads that submit to a run while it
 * ends, until they are told that it does.
 *
 *     runner [seconds [seed]]
 */
#include <pthread.h>

#include "stress/stress.h"

enum { THREADS_MOST = 6, CALLS = 200 / COIR_TEST_SCALE };

static atomic_uint_fast64_t submitted, ran;

static int run_once(UNUSED void *arg)
{
    atomic_fetch_add(&ran, 1);
    return 0;
}

static int add_one(void *arg)
{
    atomic_fetch_add(&ran, 1);
    return *(int *)arg + 1;
}

static int sleep_a_little(void *arg)
{
    atomic_fetch_add(&ran, 1);
    return coir_sleep(COIR_MICROSECONDS(*(unsigned *)arg));
}

static int call_others(void *arg)
{
    int one = 1, two = 2;
    coir_call calls[] = { COIR_CALL(add_one, &one), COIR_CALL(add_one, &two) };
    atomic_fetch_add(&submitted, 2);
    atomic_fetch_add(&ran, 1);
    int rc = coir_gather_array(calls, 2);
    must(calls[0].value == 2 && calls[1].value == 3);
    return rc < 0 ? rc : *(int *)arg;
}

struct user {
    coir_runner *runner;
    pthread_t thread;
    uint64_t random;
};

static void call_runner(struct user *user)
{
    int number = (int)pick(&user->random, 1000);
    unsigned microseconds = pick(&user->random, 100);
    coir_task *task;

    atomic_fetch_add(&submitted, 1);
    switch (pick(&user->random, 6)) {
    case 0:
        must(coir_runner_run(user->runner, add_one, &number) == number + 1);
        break;
    case 1:
        must(coir_runner_run(user->runner, call_others, &number) == number);
        break;
    case 2:
        must(coir_join(coir_submit_copy(user->runner, add_one, &number, sizeof number)) ==
             number + 1);
        break;
    case 3:
        task = coir_submit(user->runner, run_once, NULL);
        must(task != NULL);
        coir_detach(task);
        break;
    case 4:
        task = coir_submit_copy(user->runner, sleep_a_little, &microseconds, sizeof microseconds);
        coir_cancel(task);
        int rc = coir_join(task);
        must(rc == 0 || rc == -ECANCELED);
        break;
    default:
        task = coir_submit_copy(user->runner, sleep_a_little, &microseconds, sizeof microseconds);
        while (pick(&user->random, 4) && !coir_task_done(task))
            ;
        must(coir_join(task) == 0);
    }
}

static void *use_runner(void *arg)
{
    struct user *user = arg;
    for (int i = 0; i < CALLS; i++)
        call_runner(user);
    return NULL;
}

static void share_a_runner(struct stress *stress)
{
    coir_options options = { .workers = 1 + (int)pick(&stress->random, 8) };
    struct user users[THREADS_MOST];
    unsigned n = 1 + pick(&stress->random, THREADS_MOST);
    coir_runner *runner;
    must(coir_runner_open(&runner, &options) == 0);
    for (unsigned i = 0; i < n; i++) {
        users[i] = (struct user){ .runner = runner, .random = next_random(&stress->random) };
        must(pthread_create(&users[i].thread, NULL, use_runner, &users[i]) == 0);
    }
    for (unsigned i = 0; i < n; i++)
        must(pthread_join(users[i].thread, NULL) == 0);
    must(coir_runner_close(runner) == 0);
    must(atomic_load(&submitted) == atomic_load(&ran));
}

/* ------------------------------------------------- while a run ends --- */

static void *submit_until_refused(void *arg)
{
    struct user *user = arg;
    coir_task *task;
    while ((task = coir_submit(user->runner, run_once, NULL)) != NULL) {
        atomic_fetch_add(&submitted, 1);
        if (pick(&user->random, 2)) {
            must(coir_join(task) == 0);
        } else {
            coir_cancel(task);
            coir_detach(task);
        }
    }
    return NULL;
}

static int join_thread(void *thread)
{
    return -pthread_join(*(pthread_t *)thread, NULL);
}

/* The run does not end before this does, told to or not, and so the runner lives as long
   as the thread. */
static int keep_a_thread(void *random)
{
    struct user user = { .runner = coir_current_runner(), .random = *(uint64_t *)random };
    must(pthread_create(&user.thread, NULL, submit_until_refused, &user) == 0);
    coir_sleep(COIR_FOREVER);
    coir_shield shield;
    coir_shield_begin(&shield);
    must(coir_to_thread(join_thread, &user.thread) == 0);
    coir_shield_end(&shield);
    return 0;
}

static int leave_threads(void *arg)
{
    uint64_t random = *(uint64_t *)arg;
    for (unsigned i = 1 + pick(&random, THREADS_MOST); i > 0; i--) {
        uint64_t seed = next_random(&random);
        coir_detach(coir_create_task_copy(keep_a_thread, &seed, sizeof seed));
    }
    must(coir_sleep(COIR_MICROSECONDS(pick(&random, 2000))) == 0);
    return 0;
}

static void end_amid_submits(struct stress *stress)
{
    uint64_t random = next_random(&stress->random);
    must(run_round(stress, leave_threads, &random) == 0);
    must(atomic_load(&submitted) == atomic_load(&ran));
}

int main(int argc, char **argv)
{
    struct stress stress;
    stress_begin(&stress, argc, argv);
    while (stress_goes_on(&stress)) {
        share_a_runner(&stress);
        end_amid_submits(&stress);
        check_laws();
    }
    return stress_end(&stress);
}
