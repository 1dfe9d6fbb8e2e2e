/*
 * A storm of cancels, deadlines and shields over all that waits for a value: futures
 * that tasks and threads set, fail and destroy; wait_any and race over tasks that wait
 * for those; calls on threads; a descriptor.  Each future is settled once, and all who
 * got something out of it agree on what; nobody is refused who was not told to stop;
 * every argument is freed, and every function submitted runs once.
 */
#include <poll.h>
#include <pthread.h>

#include "stress/stress.h"

enum {
    WAITERS = 96,
    PROMISES = 16,
    MEDDLERS = 3, /* tasks, and as many threads less one */
    THREADS = 2,
    MEDDLES = 100, /* of each */
    GAMES = 20,    /* in a run */
    OF_THEM = 3,   /* raced, or waited for any */
    ERRORS = 1000, /* a future's own are below -ERRORS */
};

static _Atomic(uint64_t) cancels, refusals, deadlines, settlements, submissions;

/* A future that goes with the last who holds it. */
struct promise {
    coir_future *future;
    atomic_int holders;
    atomic_int times_settled;
    atomic_int outcome; /* as the first saw it: a number, or an error; 0: nobody has */
};

struct game;

struct waiter {
    struct game *game;
    struct promise *promise;
    uint64_t random;
    coir_task *task;   /* NULL: no longer to be cancelled */
    atomic_bool asked; /* to stop */
};

struct game {
    struct promise promises[PROMISES];
    struct waiter waiters[WAITERS];
    pthread_mutex_t handles; /* guards the waiters' tasks */
    coir_runner *runner;
    coir_future all_over;
    int pipe[2]; /* nothing is written to it but at the end */
    atomic_bool written;
    atomic_int outcomes; /* numbers them */
    atomic_int ended;    /* waiters */
    atomic_int made, carried_out; /* errands */
    atomic_int submitted, ran;
};

/* ------------------------------------------------------------ promises --- */

static bool hold(struct promise *promise)
{
    int holders = atomic_load(&promise->holders);
    while (holders > 0 &&
           !atomic_compare_exchange_weak(&promise->holders, &holders, holders + 1))
        ;
    return holders > 0;
}

static void let_go(struct promise *promise)
{
    if (atomic_fetch_sub(&promise->holders, 1) > 1)
        return;
    coir_future_destroy(promise->future);
    free(promise->future);
}

static void agree(struct promise *promise, int outcome)
{
    int others = 0;
    must(atomic_compare_exchange_strong(&promise->outcome, &others, outcome) ||
         others == outcome);
}

static void settle(struct game *game, struct promise *promise, uint64_t *random)
{
    if (!hold(promise))
        return;
    int number = atomic_fetch_add(&game->outcomes, 1) + 1;
    int outcome = pick(random, 4) ? number : -ERRORS - number;
    int rc = outcome > 0 ? coir_future_set(promise->future, (void *)(intptr_t)outcome)
                         : coir_future_fail(promise->future, outcome);
    must(rc == 0 || rc == -EALREADY);
    if (rc == 0) {
        must(atomic_fetch_add(&promise->times_settled, 1) == 0);
        agree(promise, outcome);
        atomic_fetch_add(&settlements, 1);
    }
    let_go(promise);
}

static bool is_refused(int rc)
{
    return rc == -ECANCELED || rc == -ETIMEDOUT;
}

/* arg: a promise that the caller holds.  0, its error, or why the wait was refused. */
static int await_promise(void *arg)
{
    struct promise *promise = arg;
    void *value = NULL;
    int rc = coir_future_await(promise->future, &value);
    must((value != NULL) == (rc == 0));
    if (!is_refused(rc))
        agree(promise, rc == 0 ? (int)(intptr_t)value : rc);
    return rc;
}

/* ------------------------------------------------- who meddles, and how --- */

static void ask_to_stop(struct waiter *waiter)
{
    if (!atomic_exchange(&waiter->asked, true))
        atomic_fetch_add(&cancels, 1);
}

static void cancel_one(struct game *game, uint64_t *random)
{
    struct waiter *waiter = &game->waiters[pick(random, WAITERS)];
    pthread_mutex_lock(&game->handles);
    if (waiter->task) {
        ask_to_stop(waiter);
        coir_cancel(waiter->task);
    }
    pthread_mutex_unlock(&game->handles);
}

/* Any thread. */
static void meddle(struct game *game, uint64_t *random)
{
    if (pick(random, 12) == 0)
        settle(game, &game->promises[pick(random, PROMISES)], random);
    else
        cancel_one(game, random);
}

struct meddler {
    struct game *game;
    uint64_t random;
};

static int meddle_in_a_task(void *arg)
{
    struct meddler *meddler = arg;
    for (int i = 0; i < MEDDLES; i++) {
        meddle(meddler->game, &meddler->random);
        if (pick(&meddler->random, 1000) == 0)
            compute_for(COIR_MILLISECONDS(2));
        if (pick(&meddler->random, 32) == 0)
            must(coir_sleep(COIR_MICROSECONDS(pick(&meddler->random, 30))) == 0);
        else
            must(coir_yield() == 0);
    }
    return 0;
}

/* What threads submit; it owns its argument, or has a copy. */
struct submission {
    struct game *game;
    uint64_t random;
    bool is_copy;
};

static int run_submission(void *arg)
{
    struct submission submission = *(struct submission *)arg;
    struct game *game = submission.game;
    if (!submission.is_copy)
        free(arg);
    meddle(game, &submission.random);
    int rc = coir_yield();
    must(rc == 0 || rc == -ECANCELED);
    atomic_fetch_add(&game->ran, 1);
    return rc;
}

static coir_task *submit(struct game *game, uint64_t *random)
{
    struct submission submission = { game, next_random(random), pick(random, 2) };
    struct submission *own = submission.is_copy ? NULL : malloc(sizeof *own);
    coir_task *task;
    if (own)
        *own = submission;
    atomic_fetch_add(&game->submitted, 1);
    task = own ? coir_submit(game->runner, run_submission, own)
               : coir_submit_copy(game->runner, run_submission, &submission, sizeof submission);
    must(task);
    atomic_fetch_add(&submissions, 1);
    return task;
}

static void submit_and_give_up(struct game *game, uint64_t *random)
{
    coir_task *task = submit(game, random);
    bool cancelled = pick(random, 2);
    if (cancelled)
        coir_cancel(task);
    if (pick(random, 3) == 0)
        coir_detach(task);
    else
        must(coir_join(task) == 0 || cancelled);
}

static void *meddle_in_a_thread(void *arg)
{
    struct meddler *meddler = arg;
    for (int i = 0; i < MEDDLES; i++) {
        if (pick(&meddler->random, 8) == 0)
            submit_and_give_up(meddler->game, &meddler->random);
        else
            meddle(meddler->game, &meddler->random);
    }
    return NULL;
}

/* ------------------------------------------------------- ways of waiting --- */

/* An argument that its task frees: wait for a promise, and let go of it. */
struct errand {
    struct game *game;
    struct promise *promise;
};

static struct errand *new_errand(struct waiter *waiter)
{
    struct errand *errand = malloc(sizeof *errand);
    struct promise *promise = &waiter->game->promises[pick(&waiter->random, PROMISES)];
    if (!hold(promise)) {
        promise = waiter->promise;
        must(hold(promise));
    }
    *errand = (struct errand){ waiter->game, promise };
    atomic_fetch_add(&waiter->game->made, 1);
    return errand;
}

static int carry_out(void *arg)
{
    struct errand errand = *(struct errand *)arg;
    free(arg);
    int rc = await_promise(errand.promise);
    let_go(errand.promise);
    atomic_fetch_add(&errand.game->carried_out, 1);
    return rc;
}

/* One suspending call, in a scope or none; who was not told to stop is not refused. */
static int in_some_scope(struct waiter *waiter, coir_fn *call, void *arg)
{
    enum { NONE, LIMITED, SHIELDED, SHIELDED_FOR, SCOPES } scope = pick(&waiter->random, SCOPES);
    coir_duration duration = COIR_MICROSECONDS(pick(&waiter->random, 200));
    coir_timeout limit;
    coir_shield shield;
    int late = 0;

    if (scope == LIMITED)
        coir_timeout_begin(&limit, duration);
    else if (scope == SHIELDED)
        coir_shield_begin(&shield);
    else if (scope == SHIELDED_FOR)
        coir_shield_begin_for(&shield, duration);
    int rc = call(arg);
    if (scope == LIMITED)
        late = coir_timeout_end(&limit);
    else if (scope != NONE)
        coir_shield_end(&shield);

    must(rc >= 0 || rc < -ERRORS || is_refused(rc));
    must(rc != -ECANCELED || (scope != SHIELDED && atomic_load(&waiter->asked)));
    must(late == (rc == -ETIMEDOUT));
    atomic_fetch_add(&refusals, rc == -ECANCELED);
    atomic_fetch_add(&deadlines, late);
    return rc;
}

/* Whoever was refused may come again; but not again and again. */
static void wait_for_promise(struct waiter *waiter)
{
    coir_shield shield;
    if (!is_refused(in_some_scope(waiter, await_promise, waiter->promise)) ||
        pick(&waiter->random, 2))
        return;
    coir_shield_begin(&shield);
    must(!is_refused(await_promise(waiter->promise)));
    coir_shield_end(&shield);
}

static int call_wait_any(void *tasks)
{
    return coir_wait_any(tasks, OF_THEM);
}

static void wait_for_any(struct waiter *waiter)
{
    coir_task *tasks[OF_THEM];
    for (int i = 0; i < OF_THEM; i++)
        tasks[i] = coir_create_task(carry_out, new_errand(waiter));
    int first = in_some_scope(waiter, call_wait_any, tasks);
    must(first < 0 || coir_task_done(tasks[first]));
    for (int i = 0; i < OF_THEM; i++) {
        bool cancelled = pick(&waiter->random, 2);
        int rc = cancelled ? coir_cancel_await(tasks[i]) : coir_await(tasks[i]);
        must(!is_refused(rc) || (i != first && (cancelled || atomic_load(&waiter->asked))));
    }
}

static int call_race(void *calls)
{
    return coir_race(calls, OF_THEM);
}

static void race(struct waiter *waiter)
{
    coir_call calls[OF_THEM];
    for (int i = 0; i < OF_THEM; i++)
        calls[i] = COIR_CALL(carry_out, new_errand(waiter));
    int winner = in_some_scope(waiter, call_race, calls);
    must(winner < 0 || calls[winner].value == 0);
    for (int i = 0; i < OF_THEM && winner < 0; i++)
        must(calls[i].value < 0);
}

static int meddle_in_the_pool(void *arg)
{
    struct waiter *waiter = arg;
    meddle(waiter->game, &waiter->random);
    return is_refused(coir_check()) ? -ECANCELED : 0;
}

static int call_to_thread(void *waiter)
{
    return coir_to_thread(meddle_in_the_pool, waiter);
}

static int call_wait_fd(void *arg)
{
    struct game *game = arg;
    int rc = coir_wait_fd(game->pipe[0], POLLIN);
    must(rc < 0 || (rc == POLLIN && atomic_load(&game->written)));
    return rc;
}

static int wait_somehow(void *arg)
{
    struct waiter *waiter = arg;
    struct game *game = waiter->game;
    switch (pick(&waiter->random, 8)) {
    case 0:
        wait_for_any(waiter);
        break;
    case 1:
        race(waiter);
        break;
    case 2:
        in_some_scope(waiter, call_to_thread, waiter);
        break;
    case 3:
        in_some_scope(waiter, call_wait_fd, game);
        break;
    default:
        wait_for_promise(waiter);
    }
    let_go(waiter->promise);
    if (atomic_fetch_add(&game->ended, 1) == WAITERS - 1)
        must(coir_future_set(&game->all_over, NULL) == 0); /* and game may be gone */
    return 0;
}

/* ---------------------------------------------------------------- games --- */

static coir_task *take_back(struct waiter *waiter)
{
    pthread_mutex_lock(&waiter->game->handles);
    coir_task *task = waiter->task;
    waiter->task = NULL;
    pthread_mutex_unlock(&waiter->game->handles);
    return task;
}

/* False: it is to be waited for with others. */
static bool give_up(struct waiter *waiter, uint64_t *random)
{
    int rc = 0;
    switch (pick(random, 8)) {
    case 0:
        coir_detach(take_back(waiter));
        break;
    case 1:
        ask_to_stop(waiter);
        rc = coir_cancel_await(take_back(waiter));
        break;
    case 2:
        ask_to_stop(waiter);
        rc = coir_wait_for(take_back(waiter), COIR_MICROSECONDS(pick(random, 50)));
        break;
    default:
        return false;
    }
    must(rc == 0);
    return true;
}

static void give_up_all(struct game *game, uint64_t *random)
{
    coir_task *tasks[WAITERS];
    coir_timeout limit;
    int i, late;
    for (i = 0; i < WAITERS; i++)
        tasks[i] = give_up(&game->waiters[i], random) ? NULL : game->waiters[i].task;
    for (;;) {
        coir_timeout_begin(&limit, COIR_MICROSECONDS(pick(random, 500)));
        i = coir_wait_any(tasks, WAITERS);
        late = coir_timeout_end(&limit);
        must(late == (i == -ETIMEDOUT));
        if (i == -ENOENT)
            return;
        if (late) {
            meddle(game, random);
            continue;
        }
        must(take_back(&game->waiters[i]) == tasks[i]);
        must(coir_await(tasks[i]) == 0);
        tasks[i] = NULL;
    }
}

static int join_thread(void *thread)
{
    return -pthread_join(*(pthread_t *)thread, NULL);
}

/* Let them meddle; then see to it that everybody gets what he waits for. */
static int raise_the_storm(void *arg)
{
    struct meddler *own = arg, meddlers[MEDDLERS + THREADS];
    struct game *game = own->game;
    coir_task *tasks[MEDDLERS];
    pthread_t threads[THREADS];
    for (int i = 0; i < MEDDLERS + THREADS; i++)
        meddlers[i] = (struct meddler){ game, next_random(&own->random) };
    for (int i = 0; i < THREADS; i++)
        must(pthread_create(&threads[i], NULL, meddle_in_a_thread, &meddlers[i]) == 0);
    for (int i = 0; i < MEDDLERS; i++)
        tasks[i] = coir_create_task(meddle_in_a_task, &meddlers[THREADS + i]);
    for (int i = 0; i < MEDDLERS; i++)
        must(coir_await(tasks[i]) == 0);
    for (int i = 0; i < THREADS; i++)
        must(coir_to_thread(join_thread, &threads[i]) == 0);

    for (int i = 0; i < PROMISES; i++)
        settle(game, &game->promises[i], &own->random);
    atomic_store(&game->written, true);
    must(coir_write(game->pipe[1], "", 1) == 1);
    return 0;
}

static void begin_game(struct game *game, uint64_t *random)
{
    *game = (struct game){ .runner = coir_current_runner() };
    must(pipe(game->pipe) == 0);
    pthread_mutex_init(&game->handles, NULL);
    coir_future_init(&game->all_over);
    for (int i = 0; i < PROMISES; i++) {
        game->promises[i].future = malloc(sizeof(coir_future));
        coir_future_init(game->promises[i].future);
        atomic_store(&game->promises[i].holders, WAITERS / PROMISES);
    }
    for (int i = 0; i < WAITERS; i++)
        game->waiters[i] = (struct waiter){ .game = game,
                                            .promise = &game->promises[i % PROMISES],
                                            .random = next_random(random) };
    pthread_mutex_lock(&game->handles); /* some cancel others at once */
    for (int i = 0; i < WAITERS; i++)
        game->waiters[i].task = coir_create_task(wait_somehow, &game->waiters[i]);
    pthread_mutex_unlock(&game->handles);
}

static void end_game(struct game *game)
{
    for (int i = 0; i < PROMISES; i++) {
        must(atomic_load(&game->promises[i].holders) == 0);
        must(atomic_load(&game->promises[i].times_settled) ==
             (atomic_load(&game->promises[i].outcome) != 0));
    }
    must(atomic_load(&game->made) == atomic_load(&game->carried_out));
    must(atomic_load(&game->submitted) == atomic_load(&game->ran));
    must(coir_close(game->pipe[0]) == 0 && coir_close(game->pipe[1]) == 0);
    pthread_mutex_destroy(&game->handles);
}

static void play(uint64_t *random)
{
    struct game *game = malloc(sizeof *game); /* for tasks that are detached */
    begin_game(game, random);
    struct meddler meddler = { game, next_random(random) };
    coir_task *storm = coir_create_task(raise_the_storm, &meddler);
    give_up_all(game, random);
    must(coir_await(storm) == 0);
    must(coir_future_await(&game->all_over, NULL) == 0);
    coir_future_destroy(&game->all_over);
    while (atomic_load(&game->ran) < atomic_load(&game->submitted))
        must(coir_yield() == 0); /* those detached */
    end_game(game);
    free(game);
}

static int storm(void *random)
{
    for (int i = 0; i < GAMES; i++)
        play(random);
    return 0;
}

int main(int argc, char **argv)
{
    struct stress stress;
    int descriptors;
    stress_begin(&stress, argc, argv);
    descriptors = count_entries("/proc/self/fd");
    while (storm_goes_on(&stress, atomic_load(&cancels))) {
        uint64_t random = next_random(&stress.random);
        must(run_round(&stress, storm, &random) == 0);
        must(count_entries("/proc/self/fd") == descriptors);
        check_laws();
    }
    printf("future_storm: %" PRIu64 " cancels, %" PRIu64 " refusals, %" PRIu64
           " deadlines, %" PRIu64 " futures settled, %" PRIu64 " submissions\n",
           atomic_load(&cancels), atomic_load(&refusals), atomic_load(&deadlines),
           atomic_load(&settlements), atomic_load(&submissions));
    return stress_end(&stress);
}
