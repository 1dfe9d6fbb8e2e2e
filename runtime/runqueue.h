/*
 * runqueue.h - the run queue of one worker: a ring buffer that only its owner,
 * and signal handlers on the owner's thread, ever touch.
 *
 *              head                         tail
 *               v                            v
 *     ... | x | a | b | 0 | c | d | e | f |   | ...
 *               ^ oldest      newest ^
 *
 * The owner adds at the tail and takes the oldest from the head.  Only await
 * takes from the new end, and only tasks that have not started; one further
 * down it replaces by 0, a tombstone.  Idle workers get tasks by asking: see
 * handover.h.
 *
 *
 * Who may call what
 *
 *     push, push_first, pop, take_newest,
 *     take_middle, grow, shrink                     the owner, between signals
 *     give (in handover.h)                          the owner, or a signal
 *                                                   handler on its thread that
 *                                                   may interrupt any of these
 *     length_hint                                   anyone; stale when returned
 *
 *
 * Signal-atomic, without locked instructions and without a flag
 *
 *   A handler interrupts between two instructions of the owner, does what give
 *   does - take items from the head, leaving 0 in their slots - and the owner
 *   goes on.  It never moves the tail.
 *
 *   push         stores the slot, then the tail: before the second store the
 *                item is not there yet.
 *   pop          claims a position by adding 1 to the head in one instruction,
 *                then looks whether that position was below the tail.  If not,
 *                it takes the claim back; meanwhile a handler finds a negative
 *                length, so the length is signed.
 *   push_first   stores the slot below the head, then lowers the head in one
 *                instruction, which fails if a handler has moved it.
 *   take_newest  lowers the tail, then looks at the head: if a handler had
 *                taken the task before, head is above the position, and the
 *                tail is put back.  So does trim, for tombstones.
 *   take_middle  exchanges the item for a tombstone in one instruction, and
 *                fails if the slot does not hold the item any more.
 *   grow, shrink set `busy`, and the handler leaves.
 *
 * Positions are 64 bits, and only push_first goes back by one.  A position names a
 * slot modulo the capacity, and is alive when head <= position < tail.
 *
 * Checked by  tests/unit/test_runqueue.c   every boundary; and each instruction
 *             of create, create, await, await interrupted by give (trap flag)
 */
#ifndef COIR_RUNTIME_RUNQUEUE_H
#define COIR_RUNTIME_RUNQUEUE_H

#include "sys.h"
#include "task.h"

struct coir_runqueue {
    COIR_ATOMIC(uint64_t) head;
    COIR_ATOMIC(uint64_t) tail;
    uint64_t mask;
    COIR_ATOMIC(coir_item) *slots;
    COIR_ATOMIC(uint32_t) busy; /* a handler must not look */
};

#ifdef COIR_SMALL
#define COIR_RUNQUEUE_START 2
#else
#define COIR_RUNQUEUE_START 256
#endif

/* Items and tombstones; negative for a moment inside pop. */
static inline int64_t coir_runqueue_length_hint(const struct coir_runqueue *q)
{
    uint64_t head = coir_load_relaxed(&q->head);

    return (int64_t)(coir_load_relaxed(&q->tail) - head);
}

static inline bool coir_runqueue_full(const struct coir_runqueue *q)
{
    return coir_runqueue_length_hint(q) > (int64_t)q->mask;
}

static inline int coir_runqueue_init(struct coir_runqueue *q)
{
    q->slots = coir_sys_calloc(COIR_RUNQUEUE_START, sizeof *q->slots);
    q->mask = COIR_RUNQUEUE_START - 1;
    coir_store_relaxed(&q->head, 0);
    coir_store_relaxed(&q->tail, 0);
    coir_store_relaxed(&q->busy, 0);
    return q->slots ? 0 : -1;
}

/* Change the number of slots to mask + 1, which must hold what is queued.  False
   when memory is out: the queue is as it was. */
static inline bool coir_runqueue_resize(struct coir_runqueue *q, uint64_t mask)
{
    COIR_ATOMIC(coir_item) *slots = coir_sys_calloc(mask + 1, sizeof *slots);
    COIR_ATOMIC(coir_item) *old = q->slots;

    if (!slots)
        return false;
    coir_store_relaxed(&q->busy, 1);
    coir_compiler_barrier();
    for (uint64_t i = coir_load_relaxed(&q->head); i != coir_load_relaxed(&q->tail); i++)
        coir_store_relaxed(&slots[i & mask], coir_load_relaxed(&old[i & q->mask]));
    q->slots = slots;
    q->mask = mask;
    coir_compiler_barrier();
    coir_store_relaxed(&q->busy, 0);
    coir_sys_free((void *)old);
    return true;
}

/* Make room. */
static inline bool coir_runqueue_grow(struct coir_runqueue *q)
{
    return coir_runqueue_resize(q, q->mask * 2 + 1);
}

/* Give back what an empty queue takes beyond its need. */
static inline void coir_runqueue_shrink(struct coir_runqueue *q)
{
    if (q->mask >= COIR_RUNQUEUE_START && coir_runqueue_length_hint(q) == 0)
        coir_runqueue_resize(q, COIR_RUNQUEUE_START - 1);
}

/* Add at the new end.  The queue must not be full.  Returns the position. */
static inline uint64_t coir_runqueue_push(struct coir_runqueue *q, coir_item item)
{
    uint64_t position = coir_load_relaxed(&q->tail);

    coir_store_relaxed(&q->slots[position & q->mask], item);
    coir_compiler_barrier();
    coir_store_relaxed(&q->tail, position + 1);
    coir_compiler_barrier();
    return position;
}

/* Add at the old end: it is next.  The queue must not be full. */
static inline void coir_runqueue_push_first(struct coir_runqueue *q, coir_item item)
{
    uint64_t head;

    do {
        head = coir_load_relaxed(&q->head);
        coir_store_relaxed(&q->slots[(head - 1) & q->mask], item);
        coir_compiler_barrier();
    } while (!coir_local_cas(&q->head, head, head - 1));
}

/* Take the oldest item; 0 if there is none. */
static inline coir_item coir_runqueue_pop(struct coir_runqueue *q)
{
    while (coir_runqueue_length_hint(q) > 0) {
        uint64_t position = coir_local_add(&q->head, 1);
        coir_item item;

        if ((int64_t)(coir_load_relaxed(&q->tail) - position) <= 0) {
            coir_local_add(&q->head, (uint64_t)-1);
            return 0;
        }
        item = coir_load_relaxed(&q->slots[position & q->mask]);
        if (item)
            return item;
    }
    return 0;
}

/* Take `item` back if it is the newest, at `position`. */
static inline bool coir_runqueue_take_newest(struct coir_runqueue *q, uint64_t position,
                                             coir_item item)
{
    if (coir_load_relaxed(&q->tail) - 1 != position ||
        coir_load_relaxed(&q->slots[position & q->mask]) != item)
        return false;
    coir_store_relaxed(&q->tail, position);
    coir_compiler_barrier();
    if (__builtin_expect((int64_t)(position - coir_load_relaxed(&q->head)) >= 0, 1))
        return true;
    coir_store_relaxed(&q->tail, position + 1);
    return false;
}

/* Take `item` out of the middle, if that is where `position` says. */
static inline bool coir_runqueue_take_middle(struct coir_runqueue *q, uint64_t position,
                                             coir_item item)
{
    uint64_t head = coir_load_relaxed(&q->head);

    return position - head < coir_load_relaxed(&q->tail) - head &&
           coir_local_cas(&q->slots[position & q->mask], item, 0);
}

/* Forget tombstones at the old end.  Returns the position of the oldest item. */
static inline uint64_t coir_runqueue_oldest(struct coir_runqueue *q)
{
    uint64_t head = coir_load_relaxed(&q->head);

    while (coir_runqueue_length_hint(q) > 0 &&
           coir_load_relaxed(&q->slots[head & q->mask]) == 0) {
        coir_local_cas(&q->head, head, head + 1);
        head = coir_load_relaxed(&q->head);
    }
    return head;
}

/* Forget tombstones at the new end, so that they do not pile up. */
static inline void coir_runqueue_trim(struct coir_runqueue *q)
{
    while (coir_runqueue_length_hint(q) > 0) {
        uint64_t last = coir_load_relaxed(&q->tail) - 1;

        if (!coir_runqueue_take_newest(q, last, 0))
            return;
    }
}

#endif
