/*
 * stack.h - the stacks that tasks run on.
 *
 *     low end                                              high end
 *     | guard, 64 KiB | low ... frames grow down ... top | header | colour |
 *
 * Stacks are cut from slabs, one mapping for many, so that a million of them
 * need few mappings.  Below each lies a guard that faults; without one, no stack
 * is handed out.  A stack has twice the bytes that were asked for: half for its
 * task, half for tasks that are awaited before they have started, which run on
 * their awaiter's stack.
 *
 * The header is memory for the owner's use, next to the first frames, in the
 * same page.  Headers and frames are shifted by a multiple of 128 bytes, the
 * colour, or else those of all stacks would compete for the same few lines of
 * the CPU's cache.
 *
 * A stack is never unmapped before its pool is destroyed, and the pool writes to
 * no more of a header than struct coir_stack.
 *
 *
 * Memory goes back to the system in two ways, neither of them on the way of a
 * task that starts or ends.
 *
 *   Deep      What a stack has used beyond COIR_STACK_KEPT goes when the stack is
 *             given back by coir_stack_pool_put_cold(); and by
 *             coir_stack_pool_put(), while many others are free.
 *   Unused    A stack that nobody took for COIR_STACK_IDLE_NS gives back all it
 *             has, its header as well, and keeps its guard alone.
 *
 * For the second, free stacks are in two lists.  `free` is given to and taken
 * from, the last one first.  Once per COIR_STACK_IDLE_NS is a turn: what is in
 * `free` becomes `old`, and is taken only when `free` is empty.  What is still
 * there at the next turn has not been wanted for so long.  It is emptied, a small
 * batch at a time, by workers that have nothing to do (coir_stack_pool_tidy());
 * a bit in its slab says so, and it is made anew before more of the slab is used.
 *
 * An emptied header reads as zeroes, to which somebody may still write who was
 * late (park.h): `guard` stays 0, and so the header counts as none.
 */
#ifndef COIR_RUNTIME_STACK_H
#define COIR_RUNTIME_STACK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "atomics.h"

#define COIR_STACK_GUARD ((size_t)64 * 1024)
#define COIR_STACK_MOST ((size_t)1 << 36)
#define COIR_STACK_CLASSES 24 /* the default size, and powers of two above it */

/* The start of a header.  What follows it is the owner's. */
struct coir_stack {
    struct coir_stack *next;     /* in a chain */
    char *low;                   /* lowest usable byte */
    char *top;                   /* one past the highest, 16-aligned */
    uint16_t size_class;         /* 0: the default */
    COIR_ATOMIC(uint16_t) guard; /* the pool's */
    COIR_ATOMIC(uint32_t) fresh; /* 1, and zeroes follow, until the owner stores 0 */
};

struct coir_slab;

struct coir_stack_class {
    struct coir_stack *free;      /* since the last turn */
    struct coir_stack *old;       /* since before it */
    struct coir_stack *unguarded; /* could not be handed out, for want of a guard */
    struct coir_slab *newest; /* the one that may have stacks never handed out */
    size_t next_count;        /* stacks in the next slab; 0: as in a first one */
};

struct coir_stack_pool {
    pthread_mutex_t lock;
    struct coir_stack_class classes[COIR_STACK_CLASSES];
    COIR_ATOMIC(struct coir_slab *) slabs;
    size_t header_bytes;
    size_t default_bytes;
    COIR_ATOMIC(bool) no_guard_advice; /* the kernel lacks MADV_GUARD_INSTALL */
    COIR_ATOMIC(size_t) split_guards;  /* guards made without it */
    COIR_ATOMIC(size_t) free;          /* stacks in the three lists, of all classes */
    COIR_ATOMIC(int64_t) tidy_at;      /* when to call coir_stack_pool_tidy() */
    COIR_ATOMIC(uint64_t) mapped;      /* stacks cut from a slab, each counted once */
    COIR_ATOMIC(uint64_t) unmapped;

    /* Set by the owner, or NULL: a stack that is not fresh is about to be emptied. */
    void (*forget)(struct coir_stack *stack);
};

/* Returns 0, or -ENOMEM for a size that cannot be.  Maps nothing yet. */
int coir_stack_pool_init(struct coir_stack_pool *pool, size_t header_bytes, size_t default_bytes);

/* Unmaps every stack.  The two counters may still be read. */
void coir_stack_pool_destroy(struct coir_stack_pool *pool);

/* A stack for a task that needs `bytes`; 0 for the default, which is also the
   least.  Any thread.  Returns 0 or -ENOMEM. */
int coir_stack_pool_get(struct coir_stack_pool *pool, size_t bytes, struct coir_stack **ret_stack);

/* Up to n stacks of the default size, chained.  Any thread.  Returns how many,
   at least 1 unless memory is exhausted. */
size_t coir_stack_pool_get_batch(struct coir_stack_pool *pool, size_t n,
                                 struct coir_stack **ret_chain);

/* Give back a chain of n stacks, of any sizes.  Any thread.  What lies deeper
   than COIR_STACK_KEPT below the top may read as zeroes afterwards. */
#define COIR_STACK_KEPT ((size_t)16 * 1024)
void coir_stack_pool_put(struct coir_stack_pool *pool, struct coir_stack *chain, size_t n);

/* The same for stacks that their owner has no use for.  It looks at each of them,
   which is slow, so that a stack that was used deeply once does not stay so. */
void coir_stack_pool_put_cold(struct coir_stack_pool *pool, struct coir_stack *chain, size_t n);

/*
 * Empty a few stacks that nobody took for COIR_STACK_IDLE_NS.  Any thread that has
 * nothing better to do for 100 us, at `tidy_at` or later.
 *
 * Returns whether there are more.  If not, tidy_at is the time of the next turn,
 * or INT64_MAX if no stack is left that could grow old.
 */
#define COIR_STACK_IDLE_NS INT64_C(1000000000)
bool coir_stack_pool_tidy(struct coir_stack_pool *pool, int64_t now);

static inline int64_t coir_stack_pool_tidy_at(struct coir_stack_pool *pool)
{
    return coir_load_relaxed(&pool->tidy_at);
}

/* Call fn for every stack that is no longer fresh, in use or not, but for those
   that were emptied.  Any thread, no lock; stacks handed out meanwhile may be
   missed. */
void coir_stack_pool_each(struct coir_stack_pool *pool,
                          void (*fn)(struct coir_stack *stack, void *arg), void *arg);

/*
 * The overflow report: from the first install to the last uninstall, a SIGSEGV
 * by a task that has run into its stack's guard prints a line, and the process
 * goes on to die of it.  Every other SIGSEGV goes to the handler that was there
 * before, which also gets this one.
 *
 * describe  Writes a string about the stack's task.  In a signal handler.
 *
 * Returns 0 or -errno.
 */
typedef void coir_stack_describe_fn(struct coir_stack *stack, char *buf, size_t cap);
int coir_stack_fault_install(coir_stack_describe_fn *describe);
void coir_stack_fault_uninstall(void);

/* Give the calling thread an alternate signal stack, which the report needs.
   Clear, on the same thread, puts back what was there before. */
int coir_stack_altstack_set(void **ret_memory);
void coir_stack_altstack_clear(void *memory);

#endif
