/*
 * A storm of cancels, failures and deadlines over trees of groups: with a limit or
 * without, that keep going or do not, whose members are created by the owner, by
 * members, and by threads, and are cancelled by any of these.  Each member that was
 * taken runs once and frees its argument; none outlives its group, nor are there ever
 * more than the limit; a group returns an error of its members' own if there is one,
 * and nobody is told to stop whom nobody asked to.
 */
#include <pthread.h>

#include "stress/stress.h"

enum {
    ROOTS = 8, /* trees that grow at once */
    DEPTH = 3,
    FAN_OUT = 5,
    GAMES = 20,    /* in a run */
    ERRORS = 1000, /* members' own are below -ERRORS */
};

static _Atomic(uint64_t) cancels, refusals, members, failures;

struct game {
    atomic_int made, freed; /* nodes */
    atomic_bool over;       /* the threads' end */
};

/* A group, and what is known of it. */
struct house {
    coir_group group;
    unsigned limit; /* 0: none */
    bool keep_going, hidden; /* hidden: a race's or gather's */
    atomic_int taken, ended, alive, failed;
    atomic_bool asked; /* its members, to stop, by anybody */
};

/* The argument of a task, which frees it, but for the roots. */
struct node {
    struct game *game;
    struct node *parent; /* which cannot end before */
    struct house *house; /* the parent's; NULL: a root */
    uint64_t random;
    int depth;
    atomic_bool asked; /* a root, or the owner of a house, to stop */
};

static coir_fn grow;

static void ask(atomic_bool *asked)
{
    if (!atomic_exchange(asked, true))
        atomic_fetch_add(&cancels, 1);
}

/* Whether anybody has asked the node, or those that wait for it, to stop. */
static bool was_asked(const struct node *node)
{
    for (; node; node = node->parent)
        if (atomic_load(&node->asked) || (node->house && atomic_load(&node->house->asked)))
            return true;
    return false;
}

static bool is_refused(int rc)
{
    return rc == -ECANCELED || rc == -ETIMEDOUT;
}

static struct node *new_node(struct game *game, struct node *parent, struct house *house,
                             uint64_t *random)
{
    struct node *node = malloc(sizeof *node);
    *node = (struct node){ .game = game, .parent = parent, .house = house,
                           .random = next_random(random),
                           .depth = parent->depth - 1 };
    atomic_fetch_add(&game->made, 1);
    return node;
}

static void free_node(struct node *node)
{
    atomic_fetch_add(&node->game->freed, 1);
    free(node);
}

/* Any thread.  owner: of the house. */
static int move_in(struct house *house, struct node *owner, uint64_t *random)
{
    struct node *node = new_node(owner->game, owner, house, random);
    coir_task_options options = { .name = "named", .pinned = pick(random, 4) == 0 };
    bool with_options = coir_current_task() && pick(random, 4) == 0;
    int rc = with_options ? coir_group_create_task_with(&house->group, &options, grow, node)
                          : coir_group_create_task(&house->group, grow, node);
    if (rc == 0)
        atomic_fetch_add(&house->taken, 1);
    else
        free_node(node);
    return rc;
}

static void cancel_house(struct house *house)
{
    ask(&house->asked);
    coir_group_cancel(&house->group);
}

/* -------------------------------------------------------------- members --- */

/* A member that creates others does not wait for room for ever: it takes some. */
static int invite(struct node *node)
{
    coir_timeout limit;
    coir_timeout_begin(&limit, COIR_MICROSECONDS(pick(&node->random, 100)));
    int rc = move_in(node->house, node->parent, &node->random);
    int late = coir_timeout_end(&limit);
    must(rc == 0 || is_refused(rc));
    must(late == (rc == -ETIMEDOUT));
    must(rc != -ECANCELED || was_asked(node));
    return rc == -ECANCELED ? rc : 0;
}

/* A thread creates members, or cancels the group, while this member keeps it open. */
static int invite_from_thread(void *arg)
{
    struct node *node = arg;
    for (unsigned i = pick(&node->random, 3); i > 0; i--) {
        int rc = move_in(node->house, node->parent, &node->random);
        must(rc == 0 || (rc == -ECANCELED && was_asked(node)) ||
             (rc == -EAGAIN && node->house->limit));
    }
    if (pick(&node->random, 4) == 0)
        cancel_house(node->house);
    return 0;
}

static int sleep_in_a_shield(struct node *node)
{
    coir_shield shield;
    coir_shield_begin(&shield);
    must(coir_sleep(COIR_MICROSECONDS(pick(&node->random, 50))) == 0);
    coir_shield_end(&shield);
    return coir_check();
}

static int fail(void)
{
    return -ERRORS - 1 - (int)(atomic_fetch_add(&failures, 1) % 1000000);
}

static int be_a_member(struct node *node)
{
    switch (pick(&node->random, node->house->hidden ? 6 : 9)) {
    case 0:
        return coir_sleep(COIR_MICROSECONDS(pick(&node->random, 200)));
    case 1:
        return coir_sleep(COIR_FOREVER);
    case 2:
        return sleep_in_a_shield(node);
    case 3:
        return fail();
    case 6:
        return invite(node);
    case 7:
        return coir_to_thread(invite_from_thread, node);
    case 8:
        cancel_house(node->house);
        return coir_yield();
    default:
        if (pick(&node->random, 500) == 0)
            compute_for(COIR_MILLISECONDS(2));
        return coir_yield();
    }
}

/* ------------------------------------------------------- those with groups --- */

static void fill(struct house *house, struct node *owner)
{
    for (int i = 0; i < FAN_OUT; i++) {
        int rc = move_in(house, owner, &owner->random);
        must(rc == 0 || is_refused(rc));
        must(rc == 0 || was_asked(owner) || atomic_load(&house->asked));
        if (rc == 0 && pick(&owner->random, 8) == 0)
            coir_yield();
    }
}

static int leave(struct house *house, struct node *owner)
{
    switch (pick(&owner->random, 4)) {
    case 0:
        ask(&house->asked);
        return coir_group_cancel_wait(&house->group);
    case 1:
        cancel_house(house);
        return coir_group_wait(&house->group);
    default:
        return coir_group_wait(&house->group);
    }
}

static void check_house(struct house *house, struct node *owner, int rc)
{
    must(atomic_load(&house->taken) == atomic_load(&house->ended));
    must(atomic_load(&house->alive) == 0);
    must((rc < -ERRORS) == (atomic_load(&house->failed) > 0));
    must(rc == 0 || rc < -ERRORS || is_refused(rc));
    must(rc != -ECANCELED || was_asked(owner));
}

static int own_a_group(struct node *node)
{
    struct house house = { .limit = pick(&node->random, 2) ? pick(&node->random, 4) : 0,
                           .keep_going = pick(&node->random, 2) };
    coir_group_options options = { .keep_going = house.keep_going, .limit = house.limit };
    coir_group_init_with(&house.group, &options);
    fill(&house, node);
    int rc = leave(&house, node);
    check_house(&house, node, rc);
    return rc;
}

/* The same, with a deadline around it. */
static int own_a_group_for_a_while(struct node *node)
{
    coir_timeout limit;
    atomic_store(&node->asked, true); /* by the deadline, perhaps */
    coir_timeout_begin(&limit, COIR_MICROSECONDS(pick(&node->random, 500)));
    int rc = own_a_group(node);
    int late = coir_timeout_end(&limit);
    must(rc != -ETIMEDOUT || late);
    return rc == -ETIMEDOUT ? 0 : rc;
}

static int own_a_group_in_a_shield(struct node *node)
{
    coir_shield shield;
    coir_shield_begin_for(&shield, COIR_MICROSECONDS(pick(&node->random, 100)));
    int rc = own_a_group(node);
    coir_shield_end(&shield);
    return rc;
}

/* Calls in a group of which nothing is seen; those that lose are asked to stop. */
static int call_several(struct node *node)
{
    struct house house = { .hidden = true };
    coir_call calls[FAN_OUT];
    bool is_race = pick(&node->random, 2);
    atomic_store(&house.asked, is_race);
    atomic_store(&house.taken, FAN_OUT);
    for (int i = 0; i < FAN_OUT; i++)
        calls[i] = COIR_CALL(grow, new_node(node->game, node, &house, &node->random));
    int rc = is_race ? coir_race(calls, FAN_OUT) : coir_gather_array(calls, FAN_OUT);
    must(atomic_load(&house.ended) == FAN_OUT);
    if (is_race && rc >= 0) {
        must(calls[rc].value >= 0);
        return 0;
    }
    check_house(&house, node, rc);
    return rc;
}

static int be_an_owner(struct node *node)
{
    switch (pick(&node->random, 6)) {
    case 0:
        return own_a_group_for_a_while(node);
    case 1:
        return own_a_group_in_a_shield(node);
    case 2:
        return call_several(node);
    default:
        return own_a_group(node);
    }
}

static void enter(struct house *house)
{
    int alive = atomic_fetch_add(&house->alive, 1) + 1;
    must(house->limit == 0 || alive <= (int)house->limit);
    atomic_fetch_add(&members, 1);
}

/* What the group may conclude from how a member has ended. */
static void go(struct house *house, int rc)
{
    if (rc < -ERRORS)
        atomic_fetch_add(&house->failed, 1);
    if (rc < 0 && !house->keep_going)
        ask(&house->asked);
    atomic_fetch_add(&house->ended, 1);
    atomic_fetch_sub(&house->alive, 1);
}

static int grow(void *arg)
{
    struct node *node = arg;
    struct house *house = node->house;
    if (house)
        enter(house);
    bool is_branch = node->depth > 0 && (!house || pick(&node->random, 3));
    int rc = is_branch ? be_an_owner(node) : house ? be_a_member(node) : 0;
    must(rc >= 0 || rc < -ERRORS || is_refused(rc));
    must(rc != -ECANCELED || was_asked(node));
    atomic_fetch_add(&refusals, is_refused(rc));
    if (house) {
        free_node(node);
        go(house, rc);
    }
    return rc;
}

/* ---------------------------------------------------------------- games --- */

struct canceller {
    coir_task **tasks;
    struct node *roots;
    uint64_t random;
    struct game *game;
};

static void cancel_a_root(struct canceller *canceller)
{
    unsigned i = pick(&canceller->random, ROOTS);
    ask(&canceller->roots[i].asked);
    coir_cancel(canceller->tasks[i]);
}

static void *cancel_from_thread(void *arg)
{
    struct canceller *canceller = arg;
    while (!atomic_load(&canceller->game->over)) {
        struct timespec pause = { .tv_nsec = pick(&canceller->random, 500000) };
        nanosleep(&pause, NULL);
        cancel_a_root(canceller);
    }
    return NULL;
}

static int join_thread(void *thread)
{
    return -pthread_join(*(pthread_t *)thread, NULL);
}

static void play(uint64_t *random)
{
    struct game game = { .over = false };
    struct node roots[ROOTS];
    coir_task *tasks[ROOTS];
    struct canceller own = { tasks, roots, next_random(random), &game };
    struct canceller other = { tasks, roots, next_random(random), &game };
    pthread_t thread;

    for (int i = 0; i < ROOTS; i++) {
        roots[i] = (struct node){ .game = &game, .random = next_random(random), .depth = DEPTH };
        tasks[i] = coir_create_task(grow, &roots[i]);
    }
    must(pthread_create(&thread, NULL, cancel_from_thread, &other) == 0);
    for (int i = 0; i < ROOTS / 2; i++) {
        must(coir_sleep(COIR_MICROSECONDS(pick(random, 300))) == 0);
        cancel_a_root(&own);
    }
    atomic_store(&game.over, true);
    must(coir_to_thread(join_thread, &thread) == 0);
    for (int i = 0; i < ROOTS; i++) {
        ask(&roots[i].asked);
        coir_cancel_await(tasks[i]);
    }
    must(atomic_load(&game.made) == atomic_load(&game.freed));
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
    stress_begin(&stress, argc, argv);
    while (storm_goes_on(&stress, atomic_load(&cancels))) {
        uint64_t random = next_random(&stress.random);
        must(run_round(&stress, storm, &random) == 0);
        check_laws();
    }
    printf("group_storm: %" PRIu64 " cancels, %" PRIu64 " members, %" PRIu64 " refused, %" PRIu64
           " failures\n",
           atomic_load(&cancels), atomic_load(&members), atomic_load(&refusals),
           atomic_load(&failures));
    return stress_end(&stress);
}
