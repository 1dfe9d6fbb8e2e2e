/*
 * Deep chains of awaits, much stack, many tasks.
 */
#include "api/in_run.h"

static int await_to_depth(void *arg)
{
    int depth = *(int *)arg;
    if (depth == 0)
        return 0;
    int less = depth - 1;
    int rc = coir_await(coir_create_task(await_to_depth, &less));
    return rc < 0 ? rc : rc + 1;
}

/* Run inline, for a hundred thousand stacks at once would be many. */
RunTest(depth, a_chain_of_a_hundred_thousand_awaits_comes_back, .init = forget_debug)
{
    int depth = check_scale(100000);
    cr_assert_eq(await_to_depth(&depth), depth);
    return 0;
}

RunTest(depth, a_chain_of_ten_thousand_awaits_comes_back_twice)
{
    for (int i = 0; i < 2; i++) {
        int depth = check_scale(10000);
        cr_assert_eq(await_to_depth(&depth), depth);
    }
    return 0;
}

static int yield_at_depth(void *arg)
{
    int depth = *(int *)arg;
    int rc = coir_yield();
    if (rc < 0 || depth == 0)
        return rc;
    int less = depth - 1;
    return coir_await(coir_create_task(yield_at_depth, &less));
}

RunTest(depth, a_chain_whose_links_suspend_comes_back)
{
    int depth = check_scale(5000);
    cr_assert_eq(yield_at_depth(&depth), 0);
    return 0;
}

static int gather_to_depth(void *arg)
{
    int depth = *(int *)arg;
    if (depth == 0)
        return 0;
    int less = depth - 1;
    return coir_gather(COIR_CALL(gather_to_depth, &less), COIR_CALL(return_zero, NULL));
}

RunTest(depth, a_chain_of_gathers_comes_back)
{
    int depth = check_scale(5000);
    cr_assert_eq(gather_to_depth(&depth), 0);
    return 0;
}

static int group_to_depth(void *arg)
{
    int depth = *(int *)arg;
    if (depth == 0)
        return 0;
    int less = depth - 1;
    coir_group group;
    coir_group_init(&group);
    int rc = coir_group_create_task(&group, group_to_depth, &less);
    int first = coir_group_wait(&group);
    return rc < 0 ? rc : first;
}

RunTest(depth, a_chain_of_groups_comes_back)
{
    int depth = check_scale(5000);
    cr_assert_eq(group_to_depth(&depth), 0);
    return 0;
}

/* How many tasks there are, of a tree; created, and not ended. */
struct tree {
    atomic_int alive, most;
};

struct node {
    struct tree *tree;
    int depth;
};

enum { TREE_DEPTH = COIR_TEST_SCALE > 1 ? 4 : 5, TREE_FAN_OUT = 10 };

static void count_in(struct tree *tree)
{
    int alive = atomic_fetch_add(&tree->alive, 1) + 1, most = atomic_load(&tree->most);
    while (alive > most && !atomic_compare_exchange_weak(&tree->most, &most, alive))
        ;
}

static int grow_groups(void *arg)
{
    struct node *node = arg;
    struct node less = { node->tree, node->depth - 1 };
    coir_group group;
    int rc = 0;
    if (node->depth > 0) {
        coir_group_init(&group);
        for (int i = 0; i < TREE_FAN_OUT && rc == 0; i++) {
            count_in(node->tree);
            rc = coir_group_create_task(&group, grow_groups, &less);
        }
        int first = coir_group_wait(&group);
        rc = rc < 0 ? rc : first;
    }
    atomic_fetch_sub(&node->tree->alive, 1);
    return rc;
}

/* Depth-first there are some 50 for each worker, and as many more for each that went
   first because its turn had come; level by level there would be all the leaves. */
RunTest(depth, a_tree_of_groups_is_never_a_level_wide, .init = forget_debug)
{
    struct tree tree = { .alive = 1 };
    struct node root = { &tree, TREE_DEPTH };
    int leaves = TREE_DEPTH == 4 ? 10000 : 100000;
    cr_assert_eq(grow_groups(&root), 0);
    cr_assert_eq(atomic_load(&tree.alive), 0);
    cr_assert_lt(atomic_load(&tree.most), leaves / 4);
    return 0;
}

/* ----------------------------------------------------------- much stack --- */

static NOINLINE int use_56_kib(void)
{
    volatile unsigned char frame[56 * 1024];
    for (size_t i = 0; i < sizeof frame; i += 256)
        frame[i] = 1;
    return frame[sizeof frame - 256];
}

static int use_much_stack_at_depth(void *arg)
{
    int depth = *(int *)arg;
    if (depth == 0)
        return use_56_kib();
    int less = depth - 1;
    return coir_await(coir_create_task(use_much_stack_at_depth, &less));
}

RunTest(depth, a_default_stack_holds_56_kib_at_any_depth_of_a_chain)
{
    int most = check_scale(10000);
    for (int depth = 1; depth <= most; depth += depth < 130 ? 1 : depth / 2)
        cr_assert_eq(use_much_stack_at_depth(&depth), 1, "depth %d", depth);
    return 0;
}

static int use_much_stack_at_every_depth(void *arg)
{
    int depth = *(int *)arg;
    int rc = use_56_kib();
    if (depth == 0)
        return rc;
    int less = depth - 1;
    return coir_await(coir_create_task(use_much_stack_at_every_depth, &less));
}

RunTest(depth, every_link_of_a_chain_may_use_56_kib)
{
    int depth = check_scale(2000);
    cr_assert_eq(use_much_stack_at_every_depth(&depth), 1);
    return 0;
}

static int keep_much_stack(void *arg)
{
    int depth = *(int *)arg;
    int less = depth - 1;
    volatile unsigned char frame[40 * 1024];
    for (size_t i = 0; i < sizeof frame; i += 256)
        frame[i] = (unsigned char)depth;
    int rc = depth == 0 ? 0 : coir_await(coir_create_task(keep_much_stack, &less));
    for (size_t i = 0; i < sizeof frame; i += 256)
        if (frame[i] != (unsigned char)depth)
            return -EILSEQ;
    return rc;
}

RunTest(depth, frames_of_40_kib_below_each_other_stay_whole)
{
    for (int depth = 0; depth < check_scale(300); depth += 7)
        cr_assert_eq(keep_much_stack(&depth), 0);
    return 0;
}

/* ---------------------------------------------------------- many tasks --- */

RunTest(depth, a_million_tasks_one_after_the_other)
{
    int n = check_scale(1000000);
    atomic_int runs = 0;
    for (int i = 0; i < n; i++)
        cr_assert_eq(coir_await(coir_create_task(count, &runs)), 0);
    cr_assert_eq(atomic_load(&runs), n);
    return 0;
}

RunTest(depth, a_hundred_thousand_tasks_at_once)
{
    int n = check_scale(100000);
    atomic_int runs = 0;
    coir_task **tasks = calloc((size_t)n, sizeof *tasks);
    for (int i = 0; i < n; i++)
        tasks[i] = coir_create_task(count, &runs);
    for (int i = 0; i < n; i++)
        cr_assert_eq(coir_await(tasks[i]), 0);
    cr_assert_eq(atomic_load(&runs), n);
    free(tasks);
    return 0;
}

RunTest(depth, ten_thousand_suspended_tasks_at_once)
{
    int n = check_scale(10000);
    atomic_int told = 0;
    coir_task **tasks = calloc((size_t)n, sizeof *tasks);
    for (int i = 0; i < n; i++)
        tasks[i] = coir_create_task(count_cancel, &told);
    let_them_wait();
    for (int i = 0; i < n; i++)
        cr_assert_eq(coir_cancel_await(tasks[i]), -ECANCELED);
    cr_assert_eq(atomic_load(&told), n);
    free(tasks);
    return 0;
}

static int fib(void *arg)
{
    int n = *(int *)arg;
    if (n < 2)
        return n;
    int a = n - 1, b = n - 2;
    coir_task *left = coir_create_task(fib, &a);
    int right = fib(&b);
    return coir_await(left) + right;
}

RunTest(depth, fork_and_join_counts_right)
{
    int n = COIR_TEST_SCALE > 1 ? 15 : 23;
    cr_assert_eq(fib(&n), n == 15 ? 610 : 28657);
    return 0;
}
