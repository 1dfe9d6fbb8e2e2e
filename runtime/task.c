/*
 * task.c - where task descriptors come from, and their names.
 */
#include "task.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "sys.h"

#define SLAB_BYTES ((size_t)64 * 1024)
#define BATCH (COIR_TASK_CACHE_MAX / 2)

#define PAGE_BYTES ((size_t)4096) /* a larger one of the system's keeps its memory */
#define TIDY_BATCHES 4

struct coir_task_slab {
    struct coir_task_slab *next;
    struct coir_runtime *runtime;
    size_t used; /* descriptors that were handed out since it was last empty */
    struct coir_task *home; /* free ones that were sorted */
    size_t home_count;
    struct coir_task_slab *next_emptied;
    struct coir_task_slab *next_partial;
    bool is_partial; /* in that list; it may have no more at home */
};

#define SLAB_HEADER ((sizeof(struct coir_task_slab) + 63) / 64 * 64)
#define SLAB_TASKS ((SLAB_BYTES - SLAB_HEADER) / sizeof(struct coir_task))

_Static_assert(sizeof(struct coir_task) == 192, "three cache lines");
_Static_assert(offsetof(struct coir_task, group) == 64, "the first line is the hot one");

static struct coir_task_slab *slab_of(const struct coir_task *task)
{
    return (struct coir_task_slab *)((uintptr_t)task & ~(SLAB_BYTES - 1));
}

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
    memset(slab, 0, sizeof *slab);
    slab->next = pool->slabs;
    slab->runtime = pool->runtime;
    pool->slabs = slab;
    return slab;
}

/* In all that follows, the pool is locked. */

static struct coir_task_slab *slab_to_cut(struct coir_task_pool *pool)
{
    struct coir_task_slab *slab = pool->emptied;

    if (pool->current && pool->current->used < SLAB_TASKS)
        return pool->current;
    if (slab)
        pool->emptied = slab->next_emptied;
    else
        slab = new_slab(pool);
    pool->current = slab;
    return slab;
}

/* Take a batch of descriptors that were never used. */
static struct coir_task *carve(struct coir_task_pool *pool, uint32_t *ret_count)
{
    struct coir_task_slab *slab = slab_to_cut(pool);
    struct coir_task *chain = NULL;
    uint32_t n = 0;

    if (!slab)
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

/* Everything of the slab is at home. */
static void empty(struct coir_task_pool *pool, struct coir_task_slab *slab)
{
    slab->home = NULL;
    slab->home_count = 0;
    slab->used = 0;
    if (pool->current == slab)
        pool->current = NULL;
    slab->next_emptied = pool->emptied;
    pool->emptied = slab;
    coir_sys_madvise((char *)slab + PAGE_BYTES, SLAB_BYTES - PAGE_BYTES, MADV_DONTNEED);
}

static void take_home(struct coir_task_pool *pool, struct coir_task *task)
{
    struct coir_task_slab *slab = slab_of(task);

    task->next = slab->home;
    slab->home = task;
    if (!slab->is_partial) {
        slab->is_partial = true;
        slab->next_partial = pool->partial;
        pool->partial = slab;
    }
    if (++slab->home_count == SLAB_TASKS)
        empty(pool, slab);
}

static void take_chain_home(struct coir_task_pool *pool, struct coir_task *chain)
{
    while (chain) {
        struct coir_task *next = chain->next;

        take_home(pool, chain);
        chain = next;
    }
}

/* Take some of those at home; NULL if there are none. */
static struct coir_task *take_from_home(struct coir_task_pool *pool, uint32_t most,
                                        uint32_t *ret_count)
{
    struct coir_task *chain = NULL;
    uint32_t n = 0;

    while (n < most && pool->partial) {
        struct coir_task_slab *slab = pool->partial;
        struct coir_task *task = slab->home;

        if (!task) {
            pool->partial = slab->next_partial;
            slab->is_partial = false;
            continue;
        }
        slab->home = task->next;
        slab->home_count--;
        task->next = chain;
        chain = task;
        n++;
    }
    *ret_count = n;
    return chain;
}

static bool refill(struct coir_task_pool *pool, struct coir_task_cache *cache)
{
    if (pool->batches) {
        cache->free = pool->batches;
        cache->count = BATCH;
        pool->batches = cache->free->site;
    } else {
        cache->free = take_from_home(pool, BATCH, &cache->count);
        if (!cache->free)
            cache->free = carve(pool, &cache->count);
    }
    return cache->free != NULL;
}

/* What workers call. */

bool coir_task_cache_refill(struct coir_task_pool *pool, struct coir_task_cache *cache)
{
    bool any;

    pthread_mutex_lock(&pool->lock);
    any = refill(pool, cache);
    pthread_mutex_unlock(&pool->lock);
    return any;
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
    task = take_from_home(pool, 1, &n);
    if (!task) {
        take_chain_home(pool, carve(pool, &n));
        task = take_from_home(pool, 1, &n);
    }
    pthread_mutex_unlock(&pool->lock);
    return task;
}

void coir_task_free_foreign(struct coir_task_pool *pool, struct coir_task *task)
{
    if (coir_load_relaxed(&task->shared) & COIR_TASK_OWNS)
        coir_task_drop_extra(pool, task);
    pthread_mutex_lock(&pool->lock);
    task->fn = NULL;
    take_home(pool, task);
    pthread_mutex_unlock(&pool->lock);
}

void coir_task_cache_empty(struct coir_task_pool *pool, struct coir_task_cache *cache)
{
    pthread_mutex_lock(&pool->lock);
    take_chain_home(pool, cache->free);
    pthread_mutex_unlock(&pool->lock);
    cache->free = NULL;
    cache->count = 0;
}

bool coir_task_pool_tidy(struct coir_task_pool *pool)
{
    bool more;

    pthread_mutex_lock(&pool->lock);
    for (int i = 0; i < TIDY_BATCHES && pool->batches; i++) {
        struct coir_task *batch = pool->batches;

        pool->batches = batch->site;
        take_chain_home(pool, batch);
    }
    more = pool->batches != NULL;
    pthread_mutex_unlock(&pool->lock);
    return more;
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
    return slab_of(task)->runtime;
}

static COIR_ATOMIC(uint32_t) numbers;

/* Only for those who are asked, so that most need not be told apart. */
uint32_t coir_task_number(struct coir_task *task)
{
    uint32_t number = coir_load_relaxed(&task->number), none = 0;

    if (number)
        return number;
    number = coir_add_relaxed(&numbers, 1) + 1;
    if (!coir_cas_acq_rel(&task->number, &none, number))
        number = none;
    coir_or_acq_rel(&task->shared, COIR_TASK_NUMBERED);
    return number;
}

void coir_task_copy_name(struct coir_task *task, char buf[COIR_NAME_MAX + 1])
{
    if ((coir_load_acquire(&task->shared) & COIR_TASK_EXTRA) && task->extra->name[0])
        memcpy(buf, task->extra->name, COIR_NAME_MAX + 1);
    else
        snprintf(buf, COIR_NAME_MAX + 1, "Task-%u", coir_task_number(task));
}

bool coir_task_pool_name(struct coir_task_pool *pool, struct coir_task *task,
                         char buf[COIR_NAME_MAX + 1])
{
    struct coir_task_slab *slab = pool->slabs;

    while (slab && slab != slab_of(task))
        slab = slab->next;
    if (!slab || !is_used(task))
        return false;
    coir_task_copy_name(task, buf);
    return true;
}

void coir_task_drop_extra(struct coir_task_pool *pool, struct coir_task *task)
{
    struct coir_task_extra *extra = task->extra;

    if (coir_load_relaxed(&task->shared) & COIR_TASK_AUTOPSY)
        pool->drop_autopsy(task);
    pthread_mutex_lock(&pool->lock); /* under which the dump reads names */
    task->extra = NULL;
    coir_store_relaxed(&task->number, 0);
    coir_store_relaxed(&task->shared, COIR_TASK_DONE);
    pthread_mutex_unlock(&pool->lock);
    coir_sys_free(extra);
}
