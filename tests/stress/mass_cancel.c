/*
 * Trees of tasks that wait in every way there is, and cancels of random nodes
 * from tasks and from foreign threads.  However it goes, every node that
 * started ends, none ends before its children, and a node that was refused a
 * call was told why.
 */
#include <pthread.h>

#include "stress/stress.h"

enum { TREES = 40, FAN_OUT = 4, DEPTH = 4 };

struct forest {
    int pipe[2]; /* nothing is ever written to it */
    atomic_int started;
    atomic_int ended;
    atomic_bool stop;
};

struct node {
    struct forest *forest;
    uint64_t random;
    int depth;
};

static coir_fn grow;

static int await_child(struct node *child)
{
    return coir_await(coir_create_task(grow, child));
}

static int wait_for_child(struct node *child)
{
    coir_duration duration = COIR_MICROSECONDS(pick(&child->random, 3000));
    return coir_wait_for(coir_create_task(grow, child), duration);
}

static int gather_children(struct node *children, bool all)
{
    coir_call calls[FAN_OUT];
    for (int i = 0; i < FAN_OUT; i++)
        calls[i] = COIR_CALL(grow, &children[i]);
    return all ? coir_gather_all(calls, FAN_OUT) : coir_gather_array(calls, FAN_OUT);
}

static int group_children(struct node *children, bool cancel)
{
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i < FAN_OUT; i++)
        if (coir_group_create_task(&group, grow, &children[i]) < 0)
            break;
    if (cancel)
        coir_group_cancel(&group);
    return coir_group_wait(&group);
}

static int clean_up_in_a_shield(struct node *node)
{
    coir_shield shield;
    coir_shield_begin(&shield);
    int rc = coir_sleep(COIR_MICROSECONDS(pick(&node->random, 100)));
    coir_shield_end(&shield);
    must(rc == 0);
    return coir_check();
}

static int read_in_a_scope(struct node *node)
{
    char byte;
    coir_timeout limit;
    coir_timeout_begin(&limit, COIR_MICROSECONDS(pick(&node->random, 3000)));
    ssize_t n = coir_read(node->forest->pipe[0], &byte, 1);
    int late = coir_timeout_end(&limit);
    must(n == -ECANCELED || n == -ETIMEDOUT);
    must(late == (n == -ETIMEDOUT));
    return n == -ETIMEDOUT ? 0 : (int)n;
}

static int be_a_leaf(struct node *node)
{
    switch (pick(&node->random, 5)) {
    case 0:
        return coir_sleep(COIR_MICROSECONDS(pick(&node->random, 2000)));
    case 1:
        return coir_sleep(COIR_FOREVER);
    case 2:
        return read_in_a_scope(node);
    case 3:
        return clean_up_in_a_shield(node);
    default:
        return pick(&node->random, 8) ? coir_yield() : -EIO;
    }
}

static int be_a_branch(struct node *node)
{
    struct node children[FAN_OUT];
    for (int i = 0; i < FAN_OUT; i++)
        children[i] = (struct node){ node->forest, next_random(&node->random), node->depth - 1 };
    switch (pick(&node->random, 6)) {
    case 0:
        return await_child(&children[0]);
    case 1:
        return wait_for_child(&children[0]);
    case 2:
        return gather_children(children, true);
    case 3:
        return gather_children(children, false);
    default:
        return group_children(children, pick(&node->random, 4) == 0);
    }
}

static int grow(void *arg)
{
    struct node *node = arg;
    atomic_fetch_add(&node->forest->started, 1);
    int rc = node->depth > 0 ? be_a_branch(node) : be_a_leaf(node);
    must(rc >= 0 || rc == -ECANCELED || rc == -ETIMEDOUT || rc == -EIO);
    atomic_fetch_add(&node->forest->ended, 1);
    return rc;
}

/* A foreign thread that cancels at random until there is nothing left. */
struct canceller {
    struct forest *forest;
    coir_task **roots;
    uint64_t random;
};

static void *cancel_at_random(void *arg)
{
    struct canceller *canceller = arg;
    while (!atomic_load(&canceller->forest->stop)) {
        coir_cancel(canceller->roots[pick(&canceller->random, TREES)]);
        struct timespec pause = { .tv_nsec = pick(&canceller->random, 200000) };
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static int play(void *arg)
{
    struct forest forest = { .ended = 0 };
    struct node nodes[TREES];
    coir_task *roots[TREES];
    uint64_t random = *(uint64_t *)arg;

    must(pipe(forest.pipe) == 0);
    for (int i = 0; i < TREES; i++) {
        nodes[i] = (struct node){ &forest, next_random(&random), (int)pick(&random, DEPTH + 1) };
        roots[i] = coir_create_task(grow, &nodes[i]);
    }
    struct canceller canceller = { &forest, roots, next_random(&random) };
    pthread_t thread;
    must(pthread_create(&thread, NULL, cancel_at_random, &canceller) == 0);
    for (int i = 0; i < TREES; i++) {
        coir_cancel(roots[pick(&random, TREES)]);
        must(coir_sleep(COIR_MICROSECONDS(pick(&random, 300))) == 0);
    }
    atomic_store(&forest.stop, true);
    pthread_join(thread, NULL);

    for (int i = 0; i < TREES; i++)
        coir_cancel_await(roots[i]);
    must(atomic_load(&forest.started) == atomic_load(&forest.ended));
    must(coir_close(forest.pipe[0]) == 0 && coir_close(forest.pipe[1]) == 0);
    return 0;
}

int main(int argc, char **argv)
{
    struct stress stress;
    stress_begin(&stress, argc, argv);
    while (stress_goes_on(&stress)) {
        uint64_t random = next_random(&stress.random);
        must(run_round(&stress, play, &random) == 0);
        check_laws();
    }
    return stress_end(&stress);
}
