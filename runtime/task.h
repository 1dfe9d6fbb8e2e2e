/*
 * task.h - the task descriptor, and the fiber it runs on.
 *
 * A task is a descriptor from creation to release.  It gets a stack when it
 * first runs: a fiber of its own, or a place on its awaiter's.  So several
 * tasks may be on one fiber, each awaited by the one below it:
 *
 *     fiber --> base task A  <--next--  task B  <--next--  task C  (fiber->task)
 *               called B inline         called C inline    runs
 *
 * What suspends, is queued and is woken is the fiber; what is cancelled,
 * awaited and named is the task.
 *
 *
 * Who may touch what
 *
 *   shared    anyone who holds the handle, by read-modify-write only
 *   fiber     written by the task's own fiber; read by whoever cancels
 *   qpos      written by the worker in whose queue the task is; read by others
 *             as a hint, checked against the slot it names.  Once the task has
 *             ended: its value, written before DONE is set
 *   the rest  the creator until the task is queued; then whoever runs it
 *
 * The shared word
 *
 *   DONE        set by the finisher, in one step; nothing of the task is
 *               touched after it, unless DETACHED was set before
 *   CANCELLED   set by coir_cancel(), never cleared
 *   DETACHED    set by coir_detach(); if DONE was set before, the detacher
 *               frees the descriptor, else the finisher does
 *   JOINER      the fiber that waits in coir_await(), put there by
 *               compare-and-swap while DONE is clear; with WATCHED one in
 *               coir_wait_any(), which takes itself out again, likewise
 *   the others  set at creation, constant
 *
 * Descriptors are type-stable: a runtime never unmaps their memory before its end.
 * A free descriptor has fn, fiber and scopes NULL.
 *
 * Free descriptors are in the stocks of the workers, 512 at most in each; beyond
 * that in batches, which need no look at any of them to change hands.  A worker
 * without work sorts the batches: each descriptor goes home to the slab it was cut
 * from, and a slab that has all of its own gives its memory back, except for one
 * page.  What is left reads as zeroes, that is, as free descriptors.
 */
#ifndef COIR_RUNTIME_TASK_H
#define COIR_RUNTIME_TASK_H

#include "coir/task.h"
#include "atomics.h"
#include "context.h"
#include "stack.h"

struct coir_autopsy;
struct coir_fiber;
struct coir_group_state;
struct coir_locals;
struct coir_runtime;
struct coir_scope;
struct coir_worker;

#define COIR_TASK_DONE ((uint64_t)1)
#define COIR_TASK_CANCELLED ((uint64_t)2)
#define COIR_TASK_DETACHED ((uint64_t)4)
#define COIR_TASK_MEMBER ((uint64_t)8)  /* of a group: released when it ends */
#define COIR_TASK_PINNED ((uint64_t)16) /* never leaves its worker */
#define COIR_TASK_EXTRA ((uint64_t)32)  /* has memory of its own behind `extra` */
#define COIR_TASK_LOCALS ((uint64_t)1 << 58)  /* has task-locals */
#define COIR_TASK_AUTOPSY ((uint64_t)1 << 63) /* why it was told to stop may be noted */
#define COIR_TASK_FOREIGN ((uint64_t)1 << 59) /* JOINER is a thread: see runner.c */
#define COIR_TASK_WATCHED ((uint64_t)1 << 60) /* JOINER only looks: coir_wait_any() */
#define COIR_TASK_LARGE ((uint64_t)1 << 62) /* needs a larger stack than others */
#define COIR_TASK_NUMBERED ((uint64_t)1 << 61) /* was asked for a name */

/* These run on no other's stack, and get one of their own when they are created. */
#define COIR_TASK_OWN_STACK (COIR_TASK_LARGE | COIR_TASK_PINNED)
#define COIR_TASK_OWNS (COIR_TASK_EXTRA | COIR_TASK_NUMBERED | COIR_TASK_AUTOPSY)
#define COIR_TASK_JOINER ((((uint64_t)1 << 57) - 1) & ~(uint64_t)63)

struct coir_task_extra {
    char name[COIR_NAME_MAX + 1];
    struct coir_stack *stack; /* its own, until it starts: see below */
    _Alignas(16) char arg[];
};

/* Where a thread waits for a task, in its own frame. */
struct coir_foreign_joiner {
    _Alignas(64) COIR_ATOMIC(uint32_t) done;
};

struct coir_task {
    /* The first cache line is all that create, await and an end without a
       suspension touch. */
    _Alignas(64) coir_fn *fn; /* NULL: free */
    void *arg;
    COIR_ATOMIC(uint64_t) shared;
    COIR_ATOMIC(uint64_t) qpos;               /* place in the queue; later, value */
    COIR_ATOMIC(struct coir_fiber *) fiber;   /* once it has been suspended */
    struct coir_scope *scopes;                /* open ones, innermost first */
    struct coir_task *next; /* on a fiber: the task below; else a list's link */
    void *site;             /* the return address of the call that created it */

    struct coir_group_state *group;
    coir_call *call;                  /* of a gather: where the value goes */
    union {
        struct coir_task *members_before; /* the group's list of suspended members */
        uint64_t ended; /* if WATCHED and DONE: its place among all such */
    };
    struct coir_task *members_after;
    struct coir_task_extra *extra;
    COIR_ATOMIC(uint32_t) number; /* for the name, given when first asked for */
    uint32_t linked;              /* in the group's list */
    char numbered[16];            /* "Task-7", once asked for */

    struct coir_locals *locals; /* with LOCALS */
    COIR_ATOMIC(struct coir_autopsy *) autopsy; /* with AUTOPSY */
    _Alignas(16) char copy[COIR_ARG_INLINE];
};

/*
 * What the run queue, the outbox and the inbox hold: a task that has not
 * started, or a fiber that goes on, told apart by the low bits.
 */
typedef uintptr_t coir_item;

#define COIR_ITEM_PINNED ((coir_item)1) /* must not leave this worker */
#define COIR_ITEM_FIBER ((coir_item)2)
#define COIR_ITEM_BITS ((coir_item)3)

struct coir_fiber {
    struct coir_stack stack; /* first: the stack's header is the fiber */
    struct coir_context context;
    COIR_ATOMIC(uint32_t) state; /* running, parked or notified: see parking.h */
    uint32_t depth;          /* tasks above the base */
    struct coir_task *base;  /* what the fiber was started for */
    struct coir_task *task;  /* what runs on it now, or was suspended */
    uintptr_t inline_floor;  /* tasks may be inlined while the stack is above */
    COIR_ATOMIC(struct coir_worker *) worker; /* where it ran last */
    uint32_t pinned;         /* COIR_ITEM_PINNED while a pinned task is on it, else 0 */
    COIR_ATOMIC(uint32_t) *stopping; /* the runtime's */
    int64_t calm;            /* the epoch in which it was found calm: see calm.h */
    COIR_ATOMIC(const char *) reason; /* why it waits: a constant, for the dump */
    COIR_ATOMIC(const void *) object; /* what it waits for */
    coir_item link;          /* of the inbox */
    COIR_ATOMIC(uintptr_t) lend; /* room for what it waits for: see lend.h */
};

static inline coir_item coir_item_of_task(struct coir_task *task)
{
    return (coir_item)task |
           (coir_load_relaxed(&task->shared) & COIR_TASK_PINNED ? COIR_ITEM_PINNED : 0);
}

static inline coir_item coir_item_of_fiber(struct coir_fiber *fiber)
{
    return (coir_item)fiber | COIR_ITEM_FIBER | fiber->pinned;
}

static inline struct coir_fiber *coir_item_fiber(coir_item item)
{
    return (struct coir_fiber *)(item & ~COIR_ITEM_BITS);
}

static inline struct coir_task *coir_item_task(coir_item item)
{
    return (struct coir_task *)(item & ~COIR_ITEM_BITS);
}

/* Tasks on one fiber, one awaited by the other. */
#ifdef COIR_SMALL
#define COIR_INLINE_MAX 3
#else
#define COIR_INLINE_MAX 64
#endif

/* A worker's own stock. */
struct coir_task_cache {
    struct coir_task *free;
    uint32_t count;
};

/* Where the tasks of one runtime come from. */
struct coir_task_pool {
    pthread_mutex_t lock;
    struct coir_runtime *runtime;
    struct coir_task_slab *slabs;   /* all of them */
    struct coir_task_slab *current; /* the one that is being cut */
    struct coir_task_slab *emptied; /* to be cut again */
    struct coir_task_slab *partial; /* that have free ones at home; and some others */
    struct coir_task *batches;      /* free ones, in batches linked by `site` */

    /* Set by the owner: a task with AUTOPSY is about to be freed. */
    void (*drop_autopsy)(struct coir_task *task);
};

void coir_task_pool_init(struct coir_task_pool *pool, struct coir_runtime *runtime);
void coir_task_pool_destroy(struct coir_task_pool *pool);

/* Slow ways of the two below: refill from the pool, false when memory is out;
   return a batch to it. */
bool coir_task_cache_refill(struct coir_task_pool *pool, struct coir_task_cache *cache);
void coir_task_cache_spill(struct coir_task_pool *pool, struct coir_task_cache *cache);

/* The same on a thread that is no worker of the tasks' runtime. */
struct coir_task *coir_task_alloc_foreign(struct coir_task_pool *pool);
void coir_task_free_foreign(struct coir_task_pool *pool, struct coir_task *task);

/* Give the whole stock back; sort a few batches.  By a worker that has nothing to
   do.  The latter returns whether there are more. */
void coir_task_cache_empty(struct coir_task_pool *pool, struct coir_task_cache *cache);
bool coir_task_pool_tidy(struct coir_task_pool *pool);

/* Call fn for every descriptor in use. */
void coir_task_pool_each(struct coir_task_pool *pool, void (*fn)(struct coir_task *, void *),
                         void *arg);

/* What a task without a name of its own is called by; given when first asked for. */
uint32_t coir_task_number(struct coir_task *task);

/* coir_task_name(), which is the task's own to call: its string has one place. */
void coir_task_copy_name(struct coir_task *task, char buf[COIR_NAME_MAX + 1]);

/* The same of a task that may have ended; false if it has, or is of another pool.  The
   pool is locked. */
bool coir_task_pool_name(struct coir_task_pool *pool, struct coir_task *task,
                         char buf[COIR_NAME_MAX + 1]);

struct coir_runtime *coir_task_runtime(const struct coir_task *task);

/* Free what a task owns besides its descriptor, its name included. */
void coir_task_drop_extra(struct coir_task_pool *pool, struct coir_task *task);

#ifdef COIR_SMALL
#define COIR_TASK_CACHE_MAX 4
#else
#define COIR_TASK_CACHE_MAX 512
#endif

static inline struct coir_task *coir_task_alloc(struct coir_task_pool *pool,
                                                struct coir_task_cache *cache)
{
    struct coir_task *task;

    if (__builtin_expect(!cache->free, 0) && !coir_task_cache_refill(pool, cache))
        return NULL;
    task = cache->free;
    cache->free = task->next;
    cache->count--;
    return task;
}

/* The task has ended and nobody holds its handle any more. */
static inline void coir_task_free(struct coir_task_pool *pool, struct coir_task_cache *cache,
                                  struct coir_task *task)
{
    if (__builtin_expect(coir_load_relaxed(&task->shared) & COIR_TASK_OWNS, 0))
        coir_task_drop_extra(pool, task);
    task->fn = NULL;
    task->next = cache->free;
    cache->free = task;
    if (__builtin_expect(++cache->count > COIR_TASK_CACHE_MAX, 0))
        coir_task_cache_spill(pool, cache);
}

#endif
