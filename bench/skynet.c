/*
 * skynet.c - what does a wide tree of tasks cost?
 *
 * Measures  a tree in which every inner node creates ten tasks and waits for
 *           them, down to a million leaves that return their number; each node
 *           adds up.  time / number of tasks (1,111,110 for a million leaves).
 *           Twice: "skynet" keeps the ten tasks in an array and awaits each,
 *           "skynet_group" makes them members of a coir_group.  Beside them,
 *           in the same process, the serial recursion.
 *
 * Not       the memory of a breadth-first order: coir runs such a tree depth
 *           first, schedulers that do not need gigabytes for it.
 *
 * Would lie if peers were let off work: the peers here create all ten children
 *           too, none calls the tenth directly.
 */
#include "harness.h"

#include <coir.h>

#define FANOUT BENCH_SKYNET_FANOUT
#define WARM_UP 1000

struct node {
    int64_t first, leaves; /* the numbers of the leaves below it */
    int64_t sum;
};

struct measurement {
    int64_t leaves;
    coir_fn *skynet;
    int64_t sum, time;
    int64_t serial_sum, serial_time;
};

static struct node child_of(const struct node *node, int i)
{
    int64_t leaves = node->leaves / FANOUT;

    return (struct node){ .first = node->first + i * leaves, .leaves = leaves };
}

static void add_up(struct node *node, const struct node *children)
{
    for (int i = 0; i < FANOUT; i++)
        node->sum += children[i].sum;
}

static __attribute__((noinline)) int64_t skynet_serial(int64_t first, int64_t leaves)
{
    int64_t sum = 0;

    if (leaves == 1)
        return first;
    for (int i = 0; i < FANOUT; i++) {
        sum += skynet_serial(first + i * (leaves / FANOUT), leaves / FANOUT);
        __asm__ volatile("" ::: "memory");
    }
    return sum;
}

static int skynet(void *arg)
{
    struct node *node = arg;
    struct node children[FANOUT];
    coir_task *tasks[FANOUT];
    int rc = 0;

    if (node->leaves == 1) {
        node->sum = node->first;
        return 0;
    }
    for (int i = 0; i < FANOUT; i++) {
        children[i] = child_of(node, i);
        tasks[i] = coir_create_task(skynet, &children[i]);
    }
    for (int i = FANOUT - 1; i >= 0; i--)
        rc |= coir_await(tasks[i]);
    add_up(node, children);
    return rc;
}

static int skynet_group(void *arg)
{
    struct node *node = arg;
    struct node children[FANOUT];
    coir_group group;

    if (node->leaves == 1) {
        node->sum = node->first;
        return 0;
    }
    coir_group_init(&group);
    for (int i = 0; i < FANOUT; i++) {
        children[i] = child_of(node, i);
        if (coir_group_create_task(&group, skynet_group, &children[i]) < 0)
            break;
    }
    int rc = coir_group_wait(&group);
    if (rc == 0)
        add_up(node, children);
    return rc;
}

static int measure(void *arg)
{
    struct measurement *m = arg;
    struct node warm_up = { .leaves = WARM_UP };
    struct node root = { .leaves = m->leaves };

    m->skynet(&warm_up);
    int64_t start = bench_now();
    int rc = m->skynet(&root);
    m->time = bench_now() - start;
    m->sum = root.sum;

    start = bench_now();
    m->serial_sum = skynet_serial(0, m->leaves);
    m->serial_time = bench_now() - start;
    return rc;
}

static int run(const struct bench_args *args, const char *name, coir_fn *fn)
{
    struct measurement m = { .leaves = args->n, .skynet = fn };
    coir_options options = { .workers = args->workers };
    bool ran = coir_run_with(&options, measure, &m) == 0;

    double tasks = bench_skynet_tasks(m.leaves);
    int64_t expected = bench_skynet_sum(m.leaves);
    struct bench_result serial = {
        .bench = name, .peer = "serial", .workers = 1, .unit = "ns/task", .n = tasks,
        .value = (double)m.serial_time / tasks,
        .ok = ran && m.serial_sum == expected,
    };
    struct bench_result coir = {
        .bench = name, .peer = "coir", .workers = args->workers, .unit = "ns/task",
        .value = (double)m.time / tasks,
        .n = tasks,
        .ok = ran && m.sum == expected,
    };
    return bench_print(&serial) | bench_print(&coir);
}

int main(int argc, char **argv)
{
    struct bench_args args = { .workers = 1, .n = 1000000 };
    bench_parse(&args, argc, argv);

    return run(&args, "skynet", skynet) | run(&args, "skynet_group", skynet_group);
}
