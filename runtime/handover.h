/*
 * handover.h - how tasks get from a worker that has them to one that has none.
 *
 * A worker's run queue is private.  It keeps as many items to itself as `keep`
 * says; whoever lacks work lowers that number (asks), and the owner, who
 * compares the number with its queue's length at each push, moves a bounded
 * batch of its oldest items to its outbox (answers).  Anyone may take the
 * batch.  An ask is a hint, and an answer belongs to nobody in particular.
 *
 *     asker                               owner
 *     store keep = 0                      push; queue longer than keep?
 *     look at the outbox ...              give: head items --> outbox   [A]
 *     take the batch              [B]     nobody searching?  wake a sleeper
 *
 * Invariants
 *
 *   H1  The outbox is empty (0), full (1..COIR_OUTBOX_MAX items), or being
 *       emptied (TAKING) by exactly the one whose compare-and-swap made it so.
 *   H2  Only the owner fills it, and only when it is empty.
 *   H3  An item is in one place: the queue, the outbox, or with its taker.
 *   H4  The owner raises `keep` before it fills the outbox, so that what a taker
 *       lowers afterwards stays lowered.
 *
 * Memory orders
 *
 *   [A] put stores the state (release)  ->  take's compare-and-swap (acquire):
 *       the taker sees the slots, and the tasks behind them.
 *   [B] take stores empty (release)     ->  claim's compare-and-swap (acquire):
 *       the owner does not write slots that are still being read.
 *
 * give may be called by a signal handler on the owner's thread, and by the
 * owner: it touches no task, takes no lock, and moves at most COIR_OUTBOX_MAX
 * items.  If a handler interrupts the owner's own give, one of the two claims the
 * outbox, by one instruction, and the other moves nothing.
 *
 * Checked by  tests/model/handover.cpp      this file, exhaustively
 *             tests/unit/test_handover.c
 */
#ifndef COIR_RUNTIME_HANDOVER_H
#define COIR_RUNTIME_HANDOVER_H

#include "atomics.h"

#ifdef COIR_SMALL
#define COIR_OUTBOX_MAX 2
#else
#define COIR_OUTBOX_MAX 64
#endif

#define COIR_OUTBOX_EMPTY 0u
#define COIR_OUTBOX_TAKING 0x10000u
#define COIR_OUTBOX_FILLING 0x20000u

/* How many items an owner keeps to itself. */
#define COIR_KEEP_NONE 0      /* somebody is idle: even a single one is wanted */
#define COIR_KEEP_ONE 1       /* ... but not a single one, for now */
#define COIR_KEEP_ALL INT64_MAX /* nobody is idle */

struct coir_outbox {
    COIR_ATOMIC(uint32_t) state;
    COIR_ATOMIC(uintptr_t) slots[COIR_OUTBOX_MAX];
};

/* Owner: start to fill.  False if the last batch has not been taken. */
static inline bool coir_outbox_claim(struct coir_outbox *box)
{
    uint32_t empty = COIR_OUTBOX_EMPTY;

    return coir_load_relaxed(&box->state) == COIR_OUTBOX_EMPTY &&
           coir_cas_acquire(&box->state, &empty, COIR_OUTBOX_FILLING); /* [B] */
}

/* Owner: n items are in the slots; n may be 0. */
static inline void coir_outbox_publish(struct coir_outbox *box, uint32_t n)
{
    coir_store_release(&box->state, n); /* [A] */
}

/* Anyone: whether there is something to take.  A hint. */
static inline bool coir_outbox_full(struct coir_outbox *box)
{
    uint32_t state = coir_load_relaxed(&box->state);

    return state != COIR_OUTBOX_EMPTY && state <= COIR_OUTBOX_MAX;
}

/* Anyone: take the batch.  Returns the number of items written to ret_items. */
static inline uint32_t coir_outbox_take(struct coir_outbox *box, uintptr_t *ret_items)
{
    uint32_t n = coir_load_relaxed(&box->state);

    if (n == COIR_OUTBOX_EMPTY || n > COIR_OUTBOX_MAX)
        return 0;
    if (!coir_cas_acquire(&box->state, &n, COIR_OUTBOX_TAKING)) /* [A] */
        return 0;
    for (uint32_t i = 0; i < n; i++)
        ret_items[i] = coir_load_relaxed(&box->slots[i]);
    coir_store_release(&box->state, COIR_OUTBOX_EMPTY); /* [B] */
    return n;
}

#ifndef COIR_MODEL
#include "inbox.h"
#include "runqueue.h"

/*
 * Owner, or a handler on its thread: move up to max of the oldest items to the
 * outbox.  One that is pinned goes to `aside`, the worker's own inbox, so that it
 * does not stand in the way of what lies behind it; without `aside` it ends the
 * batch: an owner that is not stuck comes to run it.  Returns how many were given.
 */
static inline uint32_t coir_handover_give(struct coir_runqueue *q, struct coir_outbox *box,
                                          struct coir_inbox *aside, int64_t max)
{
    uint32_t n = 0;

    if (coir_load_relaxed(&q->busy) || !coir_outbox_claim(box))
        return 0;
    for (int steps = 0; steps < 4 * COIR_OUTBOX_MAX && n < COIR_OUTBOX_MAX && n < max &&
                        coir_runqueue_length_hint(q) > 0; steps++) {
        uint64_t position = coir_load_relaxed(&q->head);
        coir_item item = coir_load_relaxed(&q->slots[position & q->mask]);

        if (!aside && (item & COIR_ITEM_PINNED))
            break;
        position = coir_local_add(&q->head, 1);
        item = coir_load_relaxed(&q->slots[position & q->mask]);
        coir_store_relaxed(&q->slots[position & q->mask], 0); /* see take_middle */
        if (item & COIR_ITEM_PINNED)
            coir_inbox_push(aside, item);
        else if (item)
            coir_store_relaxed(&box->slots[n++], item);
    }
    coir_outbox_publish(box, n);
    return n;
}
#endif

#endif
