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
    struct coir_stack *free;
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
    COIR_ATOMIC(size_t) free;          /* stacks in the pool now, of all classes */
    COIR_ATOMIC(uint64_t) mapped;      /* stacks cut from a slab, each counted once */
    COIR_ATOMIC(uint64_t) unmapped;
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

/* Call fn for every stack that is no longer fresh, in use or not.  Any thread,
   no lock; stacks handed out meanwhile may be missed. */
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
