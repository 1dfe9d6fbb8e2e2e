/*
 * test_idle.c - the idle protocol's counting, from one thread, and its promise,
 * with threads that really sleep: what is published is taken.
 */
#include "support/check.h"

#include <pthread.h>
#include <semaphore.h>

#include "runtime/idle.h"

static struct coir_idle idle;
static COIR_ATOMIC(uint32_t) state;

static int searching(void)
{
    return coir_load_relaxed(&idle.searching);
}

static int sleeping(void)
{
    return coir_load_relaxed(&idle.sleeping);
}

Test(idle, a_worker_that_is_claimed_counts_as_searching_at_once)
{
    coir_idle_announce(&idle, &state);
    cr_assert_eq(sleeping(), 1);
    cr_assert(coir_idle_must_wake(&idle));
    cr_assert(coir_idle_claim(&idle, &state));
    cr_assert_eq(sleeping(), 0);
    cr_assert_eq(searching(), 1);
    cr_assert_not(coir_idle_must_wake(&idle), "somebody has been woken already");
    cr_assert_not(coir_idle_claim(&idle, &state), "nobody sleeps any more");
    cr_assert_eq(searching(), 1);
    cr_assert(coir_idle_retract(&idle, &state), "the sleeper learns that it was claimed");
    cr_assert(coir_idle_stop_search(&idle));
    cr_assert_eq(searching(), 0);
}

Test(idle, a_worker_that_wakes_by_itself_counts_as_nothing)
{
    coir_idle_announce(&idle, &state);
    cr_assert_not(coir_idle_retract(&idle, &state));
    cr_assert_eq(sleeping(), 0);
    cr_assert_eq(searching(), 0);
    cr_assert_not(coir_idle_any(&idle));
}

Test(idle, no_more_than_the_limit_search)
{
    cr_assert(coir_idle_search(&idle, 1));
    cr_assert_not(coir_idle_search(&idle, 1));
    cr_assert(coir_idle_search(&idle, 2));
    cr_assert_not(coir_idle_stop_search(&idle));
    cr_assert(coir_idle_stop_search(&idle));
    cr_assert_not(coir_idle_search(&idle, 0));
}

/* A publisher of `work`, and sleepers that sleep on semaphores. */
enum { SLEEPERS = 3 };

static struct sleeper {
    COIR_ATOMIC(uint32_t) state;
    sem_t wake;
} sleepers[SLEEPERS];

static COIR_ATOMIC(int64_t) work, taken;
static COIR_ATOMIC(int) over;

static bool take(void)
{
    int64_t n = coir_load_relaxed(&work);

    while (n > 0)
        if (coir_cas_acq_rel(&work, &n, n - 1)) {
            coir_add_relaxed(&taken, 1);
            return true;
        }
    return false;
}

static void *sleeper_main(void *arg)
{
    struct sleeper *self = arg;
    bool counted = false;

    while (!coir_load_acquire(&over)) {
        if (take())
            continue;
        if (counted || coir_idle_search(&idle, 1)) {
            if (take()) {
                counted = true;
                continue;
            }
            coir_idle_stop_search(&idle);
        }
        coir_idle_announce(&idle, &self->state);
        if (coir_load_relaxed(&work) == 0 && !coir_load_relaxed(&over))
            while (sem_wait(&self->wake))
                ;
        counted = coir_idle_retract(&idle, &self->state);
    }
    return NULL;
}

static void wake_one(void)
{
    if (!coir_idle_must_wake(&idle))
        return;
    for (int i = 0; i < SLEEPERS; i++)
        if (coir_idle_claim(&idle, &sleepers[i].state)) {
            sem_post(&sleepers[i].wake);
            return;
        }
}

Test(idle, whatever_is_published_is_taken)
{
    const int64_t count = check_scale(200000);
    pthread_t threads[SLEEPERS];

    for (int i = 0; i < SLEEPERS; i++) {
        sem_init(&sleepers[i].wake, 0, 0);
        pthread_create(&threads[i], NULL, sleeper_main, &sleepers[i]);
    }
    for (int64_t i = 0; i < count; i++) {
        coir_add_acq_rel(&work, 1);
        wake_one();
        if (i % 64 == 0) /* let them all go to sleep: the next must wake one */
            while (coir_load_acquire(&taken) <= i)
                coir_pause();
    }
    while (coir_load_acquire(&taken) < count)
        coir_pause();
    coir_store_seq_cst(&over, 1);
    for (int i = 0; i < SLEEPERS; i++)
        sem_post(&sleepers[i].wake);
    for (int i = 0; i < SLEEPERS; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(coir_load_relaxed(&work), 0);
}
