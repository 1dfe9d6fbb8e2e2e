/*
 * queue.h - the inside of a coir_queue, for coir_select().
 */
#ifndef COIR_RUNTIME_QUEUE_H
#define COIR_RUNTIME_QUEUE_H

#include "coir/queue.h"
#include "waiters.h"

struct coir_queue_state {
    /* What every put and get changes: */
    struct coir_lock lock;
    bool closed;
    size_t head, count;
    size_t unfinished; /* put, and not done */
    struct coir_waiters getters, putters; /* place: where the item goes, or comes from */

    /* and looks at. */
    char *items;       /* a ring of `slots` from `head` on; by priority a heap */
    size_t slots, capacity, item_size;
    size_t stride; /* from item to item */
    uint32_t order;
    coir_compare_fn *compare;
    uint64_t sequence; /* of the items that were put: makes equal ones different */
    struct coir_waiters joiners;
};

/*
 * With the lock held: do it, if that needs no waiting.  0, -EAGAIN, -EPIPE, -ENOMEM.
 * ret_woken: one that waited and is to be woken once the lock is released; or NULL.
 */
int coir_queue_give(struct coir_queue_state *queue, const void *item,
                    struct coir_waiter **ret_woken);
int coir_queue_take(struct coir_queue_state *queue, void *ret_item,
                    struct coir_waiter **ret_woken);

#endif
