/*
 * task.c - where task descriptors come from, and their names.
 */
#include "task.h"

#include <stdio.h>
#include <string.h>

#include "sys.h"

#define SLAB_BYTES ((size_t)64 * 1024)
#define BATCH (COIR_TASK_CACHE_MAX / 2)

struct coir_task_slab {
    struct coir_task_slab *next;
    struct coir_runtime *runtime;
    size_t used; /* descriptors that were ever handed out */
};

#define SLAB_HEADER ((sizeof(struct coir_task_slab) + 63) / 64 * 64)
#define SLAB_TASKS ((SLAB_BYTES - SLAB_HEADER) / sizeof(struct coir_task))

_Static_assert(sizeof(struct coir_task) == 192, "three cache lines");
_Static_assert(offsetof(struct coir_task, group) == 64, "the first line is the hot one");

static struct coir_task *slab_task(struct coir_task_slab *slab, size_t i)
{
    return (struct coir_task *)((char *)slab + SLAB_HEADER) + i;
}

void coir_task_pool_init(struct coir_task_pool *pool, struct coir_runtime *runtime)
{
    memset(pool, 0, sizeof *pool);
    pthread_mutex_init(&pool->lock, NULL);
    pool->runtime = runtime;
}

void coir_task_pool_destroy(struct coir_task_pool *pool)
{
    struct coir_task_slab *next;

    for (struct coir_task_slab *slab = pool->slabs; slab; slab = next) {
        next = slab->next;
        for (size_t i = 0; i < slab->used; i++)
            if (slab_task(slab, i)->fn)
                coir_sys_free(slab_task(slab, i)->extra);
        coir_sys_free(slab);
    }
    pthread_mutex_destroy(&pool->lock);
}

static struct coir_task_slab *new_slab(struct coir_task_pool *pool)
{
    struct coir_task_slab *slab = coir_sys_aligned_alloc(SLAB_BYTES, SLAB_BYTES);

    if (!slab)
        return NULL;
    slab->next = pool->slabs;
    slab->runtime = pool->runtime;
    slab->used = 0;
    pool->slabs = slab;
    return slab;
}

/* Take a batch of descriptors that were never used.  The pool is locked. */
static struct coir_task *carve(struct coir_task_pool *pool, uint32_t *ret_count)
{
    struct coir_task_slab *slab = pool->slabs;
    struct coir_task *chain = NULL;
    uint32_t n = 0;

    if ((!slab || slab->used == SLAB_TASKS) && !(slab = new_slab(pool)))
        return NULL;
    for (; n < BATCH && slab->used < SLAB_TASKS; n++) {
        struct coir_task *task = slab_task(slab, slab->used++);
        memset(task, 0, sizeof *task);
        task->next = chain;
        chain = task;
    }
    *ret_count = n;
    return chain;
}

bool coir_task_cache_refill(struct coir_task_pool *pool, struct coir_task_cache *cache)
{
    pthread_mutex_lock(&pool->lock);
    if (pool->batches) {
        cache->free = pool->batches;
        cache->count = BATCH;
        pool->batches = cache->free->site;
    } else if (pool->loose) {
        cache->free = pool->loose;
        pool->loose = cache->free->next;
        cache->free->next = NULL;
        cache->count = 1;
    } else {
        cache->free = carve(pool, &cache->count);
    }
    pthread_mutex_unlock(&pool->lock);
    return cache->free != NULL;
}

void coir_task_cache_spill(struct coir_task_pool *pool, struct coir_task_cache *cache)
{
    struct coir_task *first = cache->free, *last = first;

    for (int i = 1; i < BATCH; i++)
        last = last->next;
    cache->free = last->next;
    cache->count -= BATCH;
    last->next = NULL;

    pthread_mutex_lock(&pool->lock);
    first->site = pool->batches;
    pool->batches = first;
    pthread_mutex_unlock(&pool->lock);
}

struct coir_task *coir_task_alloc_foreign(struct coir_task_pool *pool)
{
    struct coir_task *task;
    uint32_t n;

    pthread_mutex_lock(&pool->lock);
    if (!pool->loose)
        pool->loose = carve(pool, &n);
    task = pool->loose;
    if (task)
        pool->loose = task->next;
    pthread_mutex_unlock(&pool->lock);
    return task;
}

void coir_task_free_foreign(struct coir_task_pool *pool, struct coir_task *task)
{
    if (coir_load_relaxed(&task->shared) & COIR_TASK_OWNS)
        coir_task_drop_extra(pool, task);
    pthread_mutex_lock(&pool->lock);
    task->fn = NULL;
    task->next = pool->loose;
    pool->loose = task;
    pthread_mutex_unlock(&pool->lock);
}

static COIR_RACY bool is_used(struct coir_task *task)
{
    return task->fn != NULL;
}

void coir_task_pool_each(struct coir_task_pool *pool, void (*fn)(struct coir_task *, void *),
                         void *arg)
{
    pthread_mutex_lock(&pool->lock);
    for (struct coir_task_slab *slab = pool->slabs; slab; slab = slab->next)
        for (size_t i = 0; i < slab->used; i++)
            if (is_used(slab_task(slab, i)))
                fn(slab_task(slab, i), arg);
    pthread_mutex_unlock(&pool->lock);
}

struct coir_runtime *coir_task_runtime(const struct coir_task *task)
{
    return ((struct coir_task_slab *)((uintptr_t)task & ~(SLAB_BYTES - 1)))->runtime;
}

void coir_task_drop_extra(struct coir_task_pool *pool, struct coir_task *task)
{
    struct coir_task_extra *extra = task->extra;

    pthread_mutex_lock(&pool->lock); /* under which the dump reads names */
    task->extra = NULL;
    coir_store_relaxed(&task->number, 0);
    coir_store_relaxed(&task->shared, COIR_TASK_DONE);
    pthread_mutex_unlock(&pool->lock);
    coir_sys_free(extra);
}
