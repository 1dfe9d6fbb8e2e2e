/*
 * A storm of cancels and deadlines over queues, select, locks, conditions, semaphores and
 * barriers, used by tasks and by a thread, while the queues are closed and shut down.
 *
 * An item whose put said so is got once, or was in a queue that was shut down; any other
 * is never got.  What is got or forgotten is all that was put, as task_done sees it.  A
 * counter under a mutex is exact, also if holders suspend; a semaphore's places are never
 * more, and all there in the end; writers are alone.  Nobody is told to stop whom nobody
 * asked to, and all come to an end once the queues are closed.
 */
#include <pthread.h>

#include "stress/stress.h"

enum {
    QUEUES = 4,
    USERS = 12,
    STEPS = 40,  /* of a user */
    STOPS = 60,  /* of users, in a game */
    GAMES = 10,  /* in a run */
    ITEMS = 1 << 15,
    PLACES = 3,
    PARTIES = 3,
};

static _Atomic(uint64_t) operations, stops, items_got, items_forgotten;

struct item {
    uint32_t number;
    uint32_t rank;
};

struct game {
    coir_queue queues[QUEUES];
    atomic_bool shut[QUEUES];
    atomic_uint made;               /* items */
    atomic_uchar put[ITEMS], got[ITEMS], where[ITEMS];
    coir_mutex mutex, fifo;
    int64_t counted[2];             /* under either mutex */
    _Atomic(int64_t) counts[2];
    coir_rwlock lock;
    atomic_int readers, writers;
    coir_semaphore places;
    atomic_int inside;
    coir_cond cond;
    coir_event event;
    coir_barrier barrier;
    atomic_bool over;               /* the thread's end */
};

struct user {
    struct game *game;
    uint64_t random;
    atomic_bool asked;
};

static int compare_ranks(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

/* ----------------------------------------------------------- the ledger --- */

/* False: there are no more. */
static bool make_item(struct game *game, uint64_t *random, struct item *ret_item)
{
    unsigned number = atomic_fetch_add(&game->made, 1);
    if (number >= ITEMS)
        return false;
    *ret_item = (struct item){ number, pick(random, 5) };
    return true;
}

static void note_put(struct game *game, unsigned at, const struct item *item)
{
    atomic_store(&game->where[item->number], (unsigned char)at);
    atomic_store(&game->put[item->number], 1);
}

static void note_got(struct game *game, unsigned at, const struct item *item)
{
    must(item->number < ITEMS);
    must(atomic_fetch_add(&game->got[item->number], 1) == 0);
    must(coir_queue_task_done(&game->queues[at]) == 0);
}

static void check_ledger(struct game *game)
{
    unsigned made = atomic_load(&game->made);
    for (unsigned i = 0; i < (made < ITEMS ? made : ITEMS); i++) {
        bool put = atomic_load(&game->put[i]), got = atomic_load(&game->got[i]);
        must(put || !got);
        must(got || !put || atomic_load(&game->shut[atomic_load(&game->where[i])]));
        atomic_fetch_add(&items_got, got);
        atomic_fetch_add(&items_forgotten, put && !got);
    }
}

/* ------------------------------------------------------------- the steps --- */

static int put_one(struct user *user, unsigned at)
{
    coir_queue *queue = &user->game->queues[at];
    struct item item;
    if (!make_item(user->game, &user->random, &item))
        return coir_yield();
    int rc = pick(&user->random, 4) ? coir_queue_put(queue, &item)
                                    : coir_queue_try_put(queue, &item);
    if (rc == 0)
        note_put(user->game, at, &item);
    return rc;
}

static int put_many(struct user *user, unsigned at)
{
    struct item items[5];
    int n = 0;
    while (n < 5 && make_item(user->game, &user->random, &items[n]))
        n++;
    ssize_t put = coir_queue_put_many(&user->game->queues[at], items, (size_t)n);
    must(put <= n);
    for (ssize_t i = 0; i < put; i++)
        note_put(user->game, at, &items[i]);
    return put < 0 ? (int)put : 0;
}

static int get_one(struct user *user, unsigned at)
{
    coir_queue *queue = &user->game->queues[at];
    struct item item = { ITEMS, 0 };
    int rc = pick(&user->random, 4) ? coir_queue_get(queue, &item)
                                    : coir_queue_try_get(queue, &item);
    if (rc == 0)
        note_got(user->game, at, &item);
    else
        must(item.number == ITEMS);
    return rc;
}

static int get_many(struct user *user, unsigned at)
{
    struct item items[5];
    ssize_t n = coir_queue_get_many(&user->game->queues[at], items, 5);
    must(n != 0 && n <= 5);
    for (ssize_t i = 0; i < n; i++)
        note_got(user->game, at, &items[i]);
    return n < 0 ? (int)n : 0;
}

/* Some of the queues, both ways, one perhaps twice; and the event. */
static int choose(struct user *user)
{
    struct game *game = user->game;
    coir_select_case cases[5];
    struct item items[4];
    unsigned at[4];
    bool puts[4];
    for (int i = 0; i < 4; i++) {
        at[i] = pick(&user->random, QUEUES);
        puts[i] = pick(&user->random, 2) && make_item(game, &user->random, &items[i]);
        cases[i] = puts[i] ? coir_select_put(&game->queues[at[i]], &items[i])
                           : coir_select_get(&game->queues[at[i]], &items[i]);
    }
    cases[4] = coir_select_event(&game->event);
    size_t n = 1 + pick(&user->random, 5);
    int which = pick(&user->random, 4) ? coir_select(cases, n) : coir_try_select(cases, n);
    if (which < 0 || which == 4 || cases[which].result < 0)
        return which < 0 ? which : cases[which].result;
    if (puts[which])
        note_put(game, at[which], &items[which]);
    else
        note_got(game, at[which], &items[which]);
    return 0;
}

static void pause_inside(struct user *user)
{
    if (pick(&user->random, 4) == 0)
        (void)coir_yield();
}

static int lock_and_count(struct user *user)
{
    struct game *game = user->game;
    unsigned which = pick(&user->random, 2), how = pick(&user->random, 8);
    coir_mutex *mutex = which ? &game->fifo : &game->mutex;
    int rc = 0;
    if (how == 0)
        coir_mutex_lock_always(mutex);
    else
        rc = how == 1 ? coir_mutex_try_lock(mutex) : coir_mutex_lock(mutex);
    if (rc < 0)
        return rc;
    int64_t counted = game->counted[which];
    if (!which && pick(&user->random, 4) == 0) {
        rc = coir_cond_wait(&game->cond, mutex);
        counted = game->counted[which];
    }
    pause_inside(user);
    game->counted[which] = counted + 1;
    coir_mutex_unlock(mutex);
    atomic_fetch_add(&game->counts[which], 1);
    return rc;
}

static int read_or_write(struct user *user)
{
    struct game *game = user->game;
    bool writes = pick(&user->random, 3) == 0;
    int rc = writes ? coir_rwlock_write_lock(&game->lock) : coir_rwlock_read_lock(&game->lock);
    if (rc < 0)
        return rc;
    atomic_fetch_add(writes ? &game->writers : &game->readers, 1);
    pause_inside(user);
    must(atomic_load(&game->writers) == writes);
    must(!writes || atomic_load(&game->readers) == 0);
    atomic_fetch_sub(writes ? &game->writers : &game->readers, 1);
    coir_rwlock_unlock(&game->lock);
    return 0;
}

static int take_a_place(struct user *user)
{
    struct game *game = user->game;
    int rc = pick(&user->random, 4) ? coir_semaphore_acquire(&game->places)
                                    : coir_semaphore_try_acquire(&game->places);
    if (rc < 0)
        return rc;
    must(atomic_fetch_add(&game->inside, 1) < PLACES);
    pause_inside(user);
    atomic_fetch_sub(&game->inside, 1);
    coir_semaphore_release(&game->places);
    return 0;
}

/* Any thread. */
static void wake(struct game *game, unsigned how)
{
    switch (how) {
    case 2:
        coir_event_set(&game->event);
        break;
    case 3:
        coir_event_clear(&game->event);
        break;
    case 4:
        coir_barrier_reset(&game->barrier);
        break;
    case 5:
        coir_cond_notify_all(&game->cond);
        break;
    default:
        coir_cond_notify(&game->cond);
    }
}

static int wait_or_wake(struct user *user)
{
    unsigned how = pick(&user->random, 8);
    int rc = 0;
    if (how == 0) {
        rc = coir_barrier_wait(&user->game->barrier);
        must(rc < PARTIES);
    } else if (how == 1) {
        rc = coir_event_wait(&user->game->event);
    } else {
        wake(user->game, how);
    }
    return rc < 0 ? rc : 0;
}

static int step(struct user *user)
{
    unsigned at = pick(&user->random, QUEUES);
    switch (pick(&user->random, 12)) {
    case 0:
    case 1:
        return put_one(user, at);
    case 2:
        return put_many(user, at);
    case 3:
    case 4:
        return get_one(user, at);
    case 5:
        return get_many(user, at);
    case 6:
    case 7:
        return choose(user);
    case 8:
        return lock_and_count(user);
    case 9:
        return read_or_write(user);
    case 10:
        return take_a_place(user);
    default:
        return wait_or_wake(user);
    }
}

/* A step, in a hurry or not. */
static int limited_step(struct user *user)
{
    coir_timeout limit;
    bool limited = pick(&user->random, 3) == 0;
    if (limited)
        coir_timeout_begin(&limit, COIR_MICROSECONDS(pick(&user->random, 100)));
    int rc = step(user);
    atomic_fetch_add(&operations, 1);
    must(rc == 0 || rc == -EPIPE || rc == -EAGAIN || rc == -ECANCELED ||
         (rc == -ETIMEDOUT && limited));
    if (limited)
        coir_timeout_end(&limit);
    return rc;
}

static int use(void *arg)
{
    struct user *user = arg;
    for (int i = 0; i < STEPS; i++) {
        if (limited_step(user) == -ECANCELED) {
            must(atomic_load(&user->asked));
            return -ECANCELED;
        }
    }
    return 0;
}

/* -------------------------------------------------------------- the game --- */

/* What a thread may do, and with queues only what never waits. */
static void *use_from_thread(void *arg)
{
    struct user *user = arg;
    struct game *game = user->game;
    while (!atomic_load(&game->over)) {
        struct timespec pause = { .tv_nsec = pick(&user->random, 200000) };
        unsigned at = pick(&user->random, QUEUES);
        struct item item;
        nanosleep(&pause, NULL);
        if (pick(&user->random, 2)) {
            if (make_item(game, &user->random, &item) &&
                coir_queue_try_put(&game->queues[at], &item) == 0)
                note_put(game, at, &item);
        } else if (coir_queue_try_get(&game->queues[at], &item) == 0) {
            note_got(game, at, &item);
        }
        wake(game, 2 + pick(&user->random, 6));
        if (coir_semaphore_try_acquire(&game->places) == 0)
            coir_semaphore_release(&game->places);
    }
    return NULL;
}

static void open_game(struct game *game, uint64_t *random)
{
    static const size_t capacities[] = { 0, 1, 3, 8, COIR_UNBOUNDED };
    memset(game, 0, sizeof *game);
    for (int i = 0; i < QUEUES; i++) {
        coir_queue_options options = { .capacity = capacities[pick(random, 5)],
                                       .item_size = sizeof(struct item),
                                       .order = (int)pick(random, 3),
                                       .compare = compare_ranks };
        must(coir_queue_init_with(&game->queues[i], &options) == 0);
    }
    game->fifo = (coir_mutex)COIR_MUTEX_FIFO;
    coir_semaphore_init_bounded(&game->places, PLACES);
    coir_barrier_init(&game->barrier, PARTIES);
}

static void end_queue(struct game *game, unsigned at, bool forget)
{
    if (forget) {
        atomic_store(&game->shut[at], true);
        coir_queue_shutdown(&game->queues[at]);
    } else {
        coir_queue_close(&game->queues[at]);
    }
    must(coir_queue_is_closed(&game->queues[at]));
}

static void stop(struct user *user, coir_task *task, uint64_t *random)
{
    int rc;
    atomic_store(&user->asked, true);
    rc = pick(random, 3) ? coir_cancel_await(task)
                         : coir_wait_for(task, COIR_MICROSECONDS(pick(random, 200)));
    must(rc == 0 || rc == -ECANCELED || rc == -ETIMEDOUT);
    atomic_fetch_add(&stops, 1);
}

/* Nothing is left for anybody to wait for. */
static void end_users(struct game *game, coir_task **tasks, uint64_t *random)
{
    for (unsigned i = 0; i < QUEUES; i++)
        end_queue(game, i, pick(random, 2));
    for (int i = 0; i < USERS; i++) {
        while (!coir_task_done(tasks[i])) {
            coir_barrier_abort(&game->barrier);
            coir_cond_notify_all(&game->cond);
            coir_event_set(&game->event);
            must(coir_yield() == 0);
        }
        must(coir_await(tasks[i]) == 0);
    }
}

static void close_game(struct game *game)
{
    struct item item;
    for (unsigned i = 0; i < QUEUES; i++) {
        while (coir_queue_try_get(&game->queues[i], &item) == 0)
            note_got(game, i, &item);
        must(coir_queue_task_done(&game->queues[i]) == -EINVAL);
        must(coir_queue_join(&game->queues[i]) == 0);
        coir_queue_destroy(&game->queues[i]);
    }
    check_ledger(game);
    for (int i = 0; i < 2; i++)
        must(game->counted[i] == atomic_load(&game->counts[i]));
    must(coir_mutex_try_lock(&game->mutex) == 0);
    must(coir_mutex_try_lock(&game->fifo) == 0);
    must(coir_rwlock_try_write_lock(&game->lock) == 0);
    for (int i = 0; i < PLACES; i++)
        must(coir_semaphore_try_acquire(&game->places) == 0);
    must(coir_semaphore_try_acquire(&game->places) == -EAGAIN);
}

static int join_thread(void *thread)
{
    return -pthread_join(*(pthread_t *)thread, NULL);
}

static void play(struct game *game, uint64_t *random)
{
    struct user users[USERS], outside = { .game = game, .random = next_random(random) };
    coir_task *tasks[USERS];
    pthread_t thread;

    open_game(game, random);
    for (int i = 0; i < USERS; i++) {
        users[i] = (struct user){ .game = game, .random = next_random(random) };
        tasks[i] = coir_create_task(use, &users[i]);
    }
    must(pthread_create(&thread, NULL, use_from_thread, &outside) == 0);
    for (int i = 0; i < STOPS; i++) {
        unsigned at = pick(random, USERS);
        for (unsigned k = pick(random, 4); k > 0; k--)
            must(coir_yield() == 0);
        stop(&users[at], tasks[at], random);
        if (pick(random, STOPS / 2) == 0)
            end_queue(game, pick(random, QUEUES), pick(random, 2));
        users[at] = (struct user){ .game = game, .random = next_random(random) };
        tasks[at] = coir_create_task(use, &users[at]);
    }
    end_users(game, tasks, random);
    atomic_store(&game->over, true);
    must(coir_to_thread(join_thread, &thread) == 0);
    close_game(game);
}

static int storm(void *random)
{
    static struct game game;
    for (int i = 0; i < GAMES; i++)
        play(&game, random);
    return 0;
}

int main(int argc, char **argv)
{
    struct stress stress;
    stress_begin(&stress, argc, argv);
    while (storm_goes_on(&stress, atomic_load(&operations))) {
        uint64_t random = next_random(&stress.random);
        must(run_round(&stress, storm, &random) == 0);
        check_laws();
    }
    printf("queue_storm: %" PRIu64 " operations, %" PRIu64 " stops, %" PRIu64 " items got, %" PRIu64
           " forgotten\n",
           atomic_load(&operations), atomic_load(&stops), atomic_load(&items_got),
           atomic_load(&items_forgotten));
    return stress_end(&stress);
}
