/*
 * Trees of tasks with random fan-out, whose nodes wait for their children by
 * await, gather or group, and suspend at random.  Every node is counted as it
 * starts, and the sum that comes up the tree must be the same.
 */
#include "stress/stress.h"

enum { FAN_OUT = 6, BUDGET = 20000 / COIR_TEST_SCALE };

struct tree {
    atomic_int started;
    atomic_int budget; /* how many nodes may still be made */
};

struct node {
    struct tree *tree;
    uint64_t random;
    int depth;
    int size; /* out: of the subtree */
};

static coir_fn grow;

static int wait_a_little(uint64_t *random)
{
    unsigned what = pick(random, 64);
    if (what == 0)
        return coir_sleep(COIR_MICROSECONDS(pick(random, 50)));
    return what < 8 ? coir_yield() : 0;
}

static int await_children(struct node *children, int n)
{
    coir_task *tasks[FAN_OUT];
    int rc = 0;
    for (int i = 0; i < n; i++)
        tasks[i] = coir_create_task(grow, &children[i]);
    for (int i = n - 1; i >= 0; i--) {
        int one = coir_await(tasks[i]);
        rc = one < 0 ? one : rc;
    }
    return rc;
}

static int gather_children(struct node *children, int n)
{
    coir_call calls[FAN_OUT];
    for (int i = 0; i < n; i++)
        calls[i] = COIR_CALL(grow, &children[i]);
    return coir_gather_array(calls, (size_t)n);
}

static int group_children(struct node *children, int n)
{
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i < n; i++)
        must(coir_group_create_task(&group, grow, &children[i]) == 0);
    return coir_group_wait(&group);
}

static int call_children(struct node *children, int n, unsigned how)
{
    switch (how) {
    case 0:
        return gather_children(children, n);
    case 1:
        return group_children(children, n);
    default:
        return await_children(children, n);
    }
}

static int grow(void *arg)
{
    struct node *node = arg;
    struct node children[FAN_OUT];
    int n = node->depth > 0 ? (int)pick(&node->random, FAN_OUT + 1) : 0;

    if (atomic_fetch_add(&node->tree->started, 1) == 0)
        n = FAN_OUT;
    if (atomic_fetch_sub(&node->tree->budget, n) < n)
        n = 0;
    for (int i = 0; i < n; i++)
        children[i] = (struct node){ node->tree, next_random(&node->random), node->depth - 1, 0 };

    int rc = wait_a_little(&node->random);
    if (rc == 0 && n > 0)
        rc = call_children(children, n, pick(&node->random, 4));
    node->size = 1;
    for (int i = 0; i < n; i++)
        node->size += children[i].size;
    return rc;
}

int main(int argc, char **argv)
{
    struct stress stress;
    stress_begin(&stress, argc, argv);
    while (stress_goes_on(&stress)) {
        struct tree tree = { .budget = BUDGET };
        struct node root = { &tree, next_random(&stress.random), 12, 0 };
        must(run_round(&stress, grow, &root) == 0);
        must(root.size == atomic_load(&tree.started));
        check_laws();
    }
    return stress_end(&stress);
}
