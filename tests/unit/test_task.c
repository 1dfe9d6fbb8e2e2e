/*
 * test_task.c - descriptors: layout, stock, pool.
 */
#include "support/check.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "runtime/inbox.h"
#include "runtime/task.h"

Test(task, a_descriptor_starts_on_a_cache_line_and_ends_on_one)
{
    cr_assert_eq(sizeof(struct coir_task) % 64, 0);
    cr_assert_leq(offsetof(struct coir_task, site) + sizeof(void *), 64);
}

Test(task, descriptors_are_distinct_and_come_back_to_the_stock)
{
    enum { COUNT = 5000 };
    struct coir_task_pool pool;
    struct coir_task_cache cache = { 0 };
    static struct coir_task *task[COUNT];

    coir_task_pool_init(&pool, NULL);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < COUNT; i++) {
            task[i] = coir_task_alloc(&pool, &cache);
            cr_assert_not_null(task[i]);
            cr_assert_null(task[i]->fn, "handed out twice, or not cleared");
            coir_store_relaxed(&task[i]->shared, 0);
            task[i]->fn = (coir_fn *)(uintptr_t)(i + 1);
        }
        for (int i = 0; i < COUNT; i++) {
            cr_assert_eq((int)(uintptr_t)task[i]->fn, i + 1);
            coir_task_free(&pool, &cache, task[i]);
        }
        cr_assert_leq(cache.count, COIR_TASK_CACHE_MAX);
    }
    coir_task_pool_destroy(&pool);
}

static void count_one(struct coir_task *task, void *arg)
{
    (void)task;
    ++*(int *)arg;
}

/* How much memory the pool has: the slabs are linked through their first word. */
static int slabs(const struct coir_task_pool *pool)
{
    int n = 0;

    for (void **slab = (void **)pool->slabs; slab; slab = *slab)
        n++;
    return n;
}

Test(task, what_one_worker_frees_another_gets)
{
    enum { COUNT = 4 * COIR_TASK_CACHE_MAX };
    int after_one = 0;
    struct coir_task_pool pool;
    struct coir_task_cache maker = { 0 }, ender = { 0 };
    int in_use = 0;

    coir_task_pool_init(&pool, NULL);
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < COUNT; i++) {
            struct coir_task *task = coir_task_alloc(&pool, &maker);
            coir_store_relaxed(&task->shared, 0);
            task->fn = (coir_fn *)(uintptr_t)1;
            coir_task_free(&pool, &ender, task);
        }
        if (round == 0)
            after_one = slabs(&pool);
    }
    coir_task_pool_each(&pool, count_one, &in_use);
    cr_assert_eq(in_use, 0);
    cr_assert_eq(slabs(&pool), after_one, "memory grew");
    coir_task_pool_destroy(&pool);
}

static struct coir_task *use(struct coir_task_pool *pool, struct coir_task_cache *cache)
{
    struct coir_task *task = coir_task_alloc(pool, cache);

    cr_assert_not_null(task);
    cr_assert_null(task->fn, "handed out twice, or not cleared");
    coir_store_relaxed(&task->shared, 0);
    task->fn = (coir_fn *)(uintptr_t)1;
    return task;
}

/* The pages of so many descriptors that have memory. */
static int resident(struct coir_task *const *task, int count)
{
    unsigned char is_resident;
    int n = 0;

    for (int i = 0; i < count; i++) {
        uintptr_t page = (uintptr_t)task[i] & ~(uintptr_t)4095;
        cr_assert_eq(mincore((void *)page, 4096, &is_resident), 0);
        n += is_resident & 1;
    }
    return n;
}

Test(task, what_is_sorted_gives_its_memory_back_and_is_used_again)
{
    enum { COUNT = 20000, LEFT = COUNT / 8 };
    struct coir_task_pool pool;
    struct coir_task_cache cache = { 0 };
    static struct coir_task *task[COUNT];
    int before;

    coir_task_pool_init(&pool, NULL);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < COUNT; i++)
            task[i] = use(&pool, &cache);
        before = round ? before : slabs(&pool);
        cr_assert_eq(slabs(&pool), before, "memory grew");
        for (int i = 0; i < COUNT; i++)
            coir_task_free(&pool, &cache, task[(i * 7919l) % COUNT]);
        coir_task_cache_empty(&pool, &cache);
        while (coir_task_pool_tidy(&pool))
            ;
        cr_assert_leq(resident(task, COUNT), LEFT);
    }
    coir_task_pool_destroy(&pool);
}

/* Whether or not the last slab is cut up when all are sorted. */
Test(task, any_number_is_sorted_and_used_again)
{
    enum { MOST = 1100 };
    static struct coir_task *task[2 * MOST];

    for (int count = 1; count <= MOST; count += 5) {
        struct coir_task_pool pool;
        struct coir_task_cache cache = { 0 };
        int in_use = 0;

        coir_task_pool_init(&pool, NULL);
        for (int round = 0; round < 3; round++) {
            for (int i = 0; i < count + round * count / 2; i++)
                task[i] = use(&pool, &cache);
            for (int i = 0; i < count + round * count / 2; i++)
                coir_task_free(&pool, &cache, task[i]);
            coir_task_cache_empty(&pool, &cache);
            while (coir_task_pool_tidy(&pool))
                ;
        }
        coir_task_pool_each(&pool, count_one, &in_use);
        cr_assert_eq(in_use, 0);
        coir_task_pool_destroy(&pool);
    }
}

Test(task, sorting_leaves_those_alone_that_are_in_use)
{
    enum { COUNT = 5000 };
    struct coir_task_pool pool;
    struct coir_task_cache cache = { 0 };
    static struct coir_task *task[COUNT];
    int in_use = 0;

    coir_task_pool_init(&pool, NULL);
    for (int i = 0; i < COUNT; i++)
        task[i] = use(&pool, &cache);
    for (int i = 0; i < COUNT; i++)
        if (i % 100)
            coir_task_free(&pool, &cache, task[i]);
    coir_task_cache_empty(&pool, &cache);
    while (coir_task_pool_tidy(&pool))
        ;
    coir_task_pool_each(&pool, count_one, &in_use);
    cr_assert_eq(in_use, COUNT / 100);
    for (int i = 0; i < COUNT; i += 100)
        cr_assert_eq((uintptr_t)task[i]->fn, 1);
    for (int i = 0; i < COUNT - COUNT / 100; i++)
        use(&pool, &cache);
    coir_task_pool_each(&pool, count_one, &in_use);
    cr_assert_eq(in_use, COUNT / 100 + COUNT);
    coir_task_pool_destroy(&pool);
}

Test(task, one_freed_by_a_foreign_thread_is_used_again)
{
    struct coir_task_pool pool;
    struct coir_task_cache cache = { 0 };
    struct coir_task *task;

    coir_task_pool_init(&pool, NULL);
    task = coir_task_alloc(&pool, &cache);
    coir_store_relaxed(&task->shared, 0);
    coir_task_free_foreign(&pool, task);
    while (cache.free)
        coir_task_alloc(&pool, &cache);
    cr_assert_eq(coir_task_alloc(&pool, &cache), task);
    coir_task_pool_destroy(&pool);
}

Test(inbox, gives_back_the_oldest_first_tasks_and_fibers_alike)
{
    static struct coir_task a, b;
    static struct coir_fiber f;
    struct coir_inbox inbox = { 0 };
    coir_item item;

    cr_assert(coir_inbox_empty(&inbox));
    coir_inbox_push(&inbox, coir_item_of_task(&a));
    coir_inbox_push(&inbox, coir_item_of_fiber(&f));
    coir_inbox_push(&inbox, coir_item_of_task(&b));
    item = coir_inbox_drain(&inbox);
    cr_assert_eq(item, coir_item_of_task(&a));
    item = *coir_inbox_link(item);
    cr_assert_eq(item, coir_item_of_fiber(&f));
    item = *coir_inbox_link(item);
    cr_assert_eq(item, coir_item_of_task(&b));
    cr_assert_eq(*coir_inbox_link(item), 0);
    cr_assert(coir_inbox_empty(&inbox));
    cr_assert_eq(coir_inbox_drain(&inbox), 0);
}
