/*
 * queue.c - queues between tasks: see waiters.h for the protocol.
 *
 *   Q1  Tasks wait for items only while there are none, and wait for room only while
 *       there is none.  So an item goes straight to the one that has waited longest;
 *       and who takes an item puts that of the longest waiting in its place.
 *   Q2  Items are copied under the lock, from and to the frames of those that wait, who
 *       cannot leave then.  So each is in one place.
 *   Q3  A closed queue has nobody waiting to put; if it is empty, nobody waiting.
 *
 * Checked by  tests/model/sync.cpp (this file), tests/api/test_queue.c
 */
#include "coir/queue.h"

#include <errno.h>
#include <string.h>

#ifndef COIR_MODEL
#include "cancel.h"
#include "current.h"
#include "enter.h"
#include "park.h"
#include "sys.h"
#endif
#include "select.h"
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

#define SLOTS_LEAST 16
#define AT_ONCE 64 /* items that are copied under one lock */

_Static_assert(sizeof(struct coir_queue_state) <= sizeof(coir_queue), "fits");

static struct coir_queue_state *state_of(coir_queue *queue)
{
    return (struct coir_queue_state *)queue;
}

/* The store.  By priority, a number follows each item. */

static char *slot(const struct coir_queue_state *queue, size_t i)
{
    size_t at = queue->head + i;

    return queue->items + (at < queue->slots ? at : at - queue->slots) * queue->stride;
}

static bool is_before(const struct coir_queue_state *queue, const char *a, const char *b)
{
    int order = queue->compare(a, b);
    uint64_t number_a, number_b;

    if (order)
        return order < 0;
    memcpy(&number_a, a + queue->item_size, sizeof number_a);
    memcpy(&number_b, b + queue->item_size, sizeof number_b);
    return number_a < number_b;
}

static void swap(char *a, char *b, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        char byte = a[i];
        a[i] = b[i];
        b[i] = byte;
    }
}

static void sift_up(struct coir_queue_state *queue, size_t i)
{
    for (; i > 0 && is_before(queue, slot(queue, i), slot(queue, (i - 1) / 2)); i = (i - 1) / 2)
        swap(slot(queue, i), slot(queue, (i - 1) / 2), queue->stride);
}

static void sift_down(struct coir_queue_state *queue)
{
    size_t i = 0, least;

    for (;; i = least) {
        least = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < queue->count; child++)
            if (is_before(queue, slot(queue, child), slot(queue, least)))
                least = child;
        if (least == i)
            return;
        swap(slot(queue, i), slot(queue, least), queue->stride);
    }
}

static bool grow(struct coir_queue_state *queue)
{
    size_t slots = queue->slots ? queue->slots * 2 : SLOTS_LEAST, first;
    char *items = slots > SIZE_MAX / 2 / queue->stride ? NULL
                                                       : coir_sys_malloc(slots * queue->stride);

    if (!items)
        return false;
    if (queue->count) {
        first = queue->slots - queue->head < queue->count ? queue->slots - queue->head
                                                          : queue->count;
        memcpy(items, slot(queue, 0), first * queue->stride);
        memcpy(items + first * queue->stride, queue->items,
               (queue->count - first) * queue->stride);
    }
    coir_sys_free(queue->items);
    queue->items = items;
    queue->slots = slots;
    queue->head = 0;
    return true;
}

/* Most are of a word. */
static inline void copy_item(void *to, const void *from, size_t size)
{
    if (size == sizeof(void *))
        memcpy(to, from, sizeof(void *));
    else
        memcpy(to, from, size);
}

static __attribute__((noinline)) void store_by_priority(struct coir_queue_state *queue,
                                                        const void *item)
{
    char *place = slot(queue, queue->count++);

    memcpy(place, item, queue->item_size);
    memcpy(place + queue->item_size, &queue->sequence, sizeof queue->sequence);
    queue->sequence++;
    sift_up(queue, queue->count - 1);
}

static __attribute__((noinline)) void fetch_by_priority(struct coir_queue_state *queue,
                                                        void *ret_item)
{
    size_t last = --queue->count;

    memcpy(ret_item, slot(queue, 0), queue->item_size);
    if (last)
        memcpy(slot(queue, 0), slot(queue, last), queue->stride);
    sift_down(queue);
}

/* There is a slot. */
static inline void store(struct coir_queue_state *queue, const void *item)
{
    if (queue->order == COIR_QUEUE_PRIORITY)
        store_by_priority(queue, item);
    else
        copy_item(slot(queue, queue->count++), item, queue->item_size);
}

/* There is an item. */
static inline void fetch(struct coir_queue_state *queue, void *ret_item)
{
    if (queue->order == COIR_QUEUE_FIFO) {
        copy_item(ret_item, queue->items + queue->head * queue->stride, queue->item_size);
        queue->count--;
        if (++queue->head == queue->slots)
            queue->head = 0;
    } else if (queue->order == COIR_QUEUE_LIFO) {
        copy_item(ret_item, slot(queue, --queue->count), queue->item_size);
    } else {
        fetch_by_priority(queue, ret_item);
    }
}

/* The protocol.  With the lock held: do it, if that needs no waiting.  0, -EAGAIN, -EPIPE,
   -ENOMEM.  ret_woken: one that waited and is to be woken once the lock is released; or
   NULL. */

static inline int give(struct coir_queue_state *queue, const void *item,
                       struct coir_waiter **ret_woken)
{
    *ret_woken = NULL;
    if (queue->closed)
        return -EPIPE;
    *ret_woken = coir_waiters_take(&queue->getters);
    if (*ret_woken) {
        copy_item((*ret_woken)->place, item, queue->item_size);
        (*ret_woken)->result = 0;
    } else if (queue->count >= queue->capacity) {
        return -EAGAIN;
    } else if (queue->count == queue->slots && !grow(queue)) {
        return -ENOMEM;
    } else {
        store(queue, item);
    }
    queue->unfinished++;
    return 0;
}

static inline int take(struct coir_queue_state *queue, void *ret_item,
                       struct coir_waiter **ret_woken)
{
    bool has = queue->count > 0;

    *ret_woken = NULL;
    if (has)
        fetch(queue, ret_item);
    *ret_woken = coir_waiters_take(&queue->putters);
    if (*ret_woken) {
        (*ret_woken)->result = 0;
        queue->unfinished++;
        if (has)
            store(queue, (*ret_woken)->place);
        else
            copy_item(ret_item, (*ret_woken)->place, queue->item_size);
    } else if (!has) {
        return queue->closed ? -EPIPE : -EAGAIN;
    }
    return 0;
}

/* With the lock held, which is released. */
static inline __attribute__((always_inline)) int
wait_among(struct coir_queue_state *queue, struct coir_waiters *waiters, struct coir_fiber *fiber,
           void *place, const char *reason)
{
    struct coir_waiter waiter;
    int rc;

    coir_waiter_init(&waiter, fiber);
    waiter.place = place;
    coir_waiters_add(waiters, &waiter);
    coir_unlock(&queue->lock);
    rc = coir_waiter_wait(&queue->lock, waiters, &waiter, reason, queue);
    return rc < 0 ? rc : waiter.result;
}

static inline __attribute__((always_inline)) int
wait_to_put(struct coir_queue_state *queue, struct coir_fiber *fiber, const void *item)
{
    return wait_among(queue, &queue->putters, fiber, (void *)(uintptr_t)item, "queue put");
}

static inline __attribute__((always_inline)) int
wait_to_get(struct coir_queue_state *queue, struct coir_fiber *fiber, void *ret_item)
{
    return wait_among(queue, &queue->getters, fiber, ret_item, "queue get");
}

/* The worker of a caller that runs a task, or that which runs on its thread. */
static inline struct coir_worker *worker_of(struct coir_fiber *fiber)
{
    return fiber ? coir_fiber_worker(fiber) : coir_current_worker();
}

/* The calls. */

/* fiber: the caller's; NULL: a thread that runs no task, which may not wait. */
static inline __attribute__((always_inline)) int put(struct coir_fiber *fiber,
                                                     struct coir_queue_state *queue,
                                                     const void *item, bool may_wait)
{
    struct coir_waiter *woken;
    int rc = fiber ? coir_cancel_pending(fiber) : 0;

    if (rc < 0)
        return rc;
    if (may_wait)
        coir_enter_steps(fiber, 1);
    coir_lock(&queue->lock);
    rc = give(queue, item, &woken);
    if (rc == -EAGAIN && may_wait)
        return wait_to_put(queue, fiber, item);
    coir_unlock(&queue->lock);
    coir_waiter_wake_from(worker_of(fiber), woken, true);
    return rc;
}

static inline __attribute__((always_inline)) int get(struct coir_fiber *fiber,
                                                     struct coir_queue_state *queue,
                                                     void *ret_item, bool may_wait)
{
    struct coir_waiter *woken;
    int rc = fiber ? coir_cancel_pending(fiber) : 0;

    if (rc < 0)
        return rc;
    if (may_wait)
        coir_enter_steps(fiber, 1);
    coir_lock(&queue->lock);
    rc = take(queue, ret_item, &woken);
    if (rc == -EAGAIN && may_wait)
        return wait_to_get(queue, fiber, ret_item);
    coir_unlock(&queue->lock);
    coir_waiter_wake_from(worker_of(fiber), woken, false);
    return rc;
}

int coir_queue_put(coir_queue *queue, const void *item)
{
    return put(coir_enter("coir_queue_put"), state_of(queue), item, true);
}

int coir_queue_get(coir_queue *queue, void *ret_item)
{
    return get(coir_enter("coir_queue_get"), state_of(queue), ret_item, true);
}

int coir_queue_try_put(coir_queue *queue, const void *item)
{
    return put(coir_fiber_or_none("coir_queue_try_put"), state_of(queue), item, false);
}

int coir_queue_try_get(coir_queue *queue, void *ret_item)
{
    return get(coir_fiber_or_none("coir_queue_try_get"), state_of(queue), ret_item, false);
}

/* Many at once.  With the lock held: as many as go without waiting, and those that are
   to be woken, linked by next. */

static int give_many(struct coir_queue_state *queue, const char *items, size_t n,
                     size_t *ret_n, struct coir_waiter **end)
{
    size_t most = n < AT_ONCE ? n : AT_ONCE;
    int rc = 0;

    for (*ret_n = 0; *ret_n < most; ++*ret_n) {
        rc = give(queue, items + *ret_n * queue->item_size, end);
        if (rc < 0)
            break;
        if (*end)
            end = &(*end)->next;
    }
    *end = NULL;
    return rc;
}

static int take_many(struct coir_queue_state *queue, char *ret_items, size_t n, size_t *ret_n,
                     struct coir_waiter **end)
{
    size_t most = n < AT_ONCE ? n : AT_ONCE;
    int rc = 0;

    for (*ret_n = 0; *ret_n < most; ++*ret_n) {
        rc = take(queue, ret_items + *ret_n * queue->item_size, end);
        if (rc < 0)
            break;
        if (*end)
            end = &(*end)->next;
    }
    *end = NULL;
    return rc;
}

ssize_t coir_queue_put_many(coir_queue *memory, const void *items, size_t n)
{
    struct coir_fiber *fiber = coir_enter("coir_queue_put_many");
    struct coir_queue_state *queue = state_of(memory);
    struct coir_waiter *woken;
    size_t put = 0, more;
    int rc = coir_cancel_pending(fiber);

    while (rc == 0 && put < n) {
        const char *rest = (const char *)items + put * queue->item_size;

        coir_enter_steps(fiber, 1);
        coir_lock(&queue->lock);
        rc = give_many(queue, rest, n - put, &more, &woken);
        put += more;
        if (rc == -EAGAIN && !woken) {
            rc = wait_to_put(queue, fiber, rest + more * queue->item_size);
            put += rc == 0;
            continue;
        }
        coir_unlock(&queue->lock);
        coir_waiters_wake_all(woken);
        if (rc == -EAGAIN)
            rc = coir_cancel_pending(fiber);
    }
    return put ? (ssize_t)put : rc;
}

ssize_t coir_queue_get_many(coir_queue *memory, void *ret_items, size_t n)
{
    struct coir_fiber *fiber = coir_enter("coir_queue_get_many");
    struct coir_queue_state *queue = state_of(memory);
    struct coir_waiter *woken;
    size_t got = 0, more;
    int rc = coir_cancel_pending(fiber);

    while (rc == 0 && got < n) {
        char *rest = (char *)ret_items + got * queue->item_size;

        coir_enter_steps(fiber, 1);
        coir_lock(&queue->lock);
        rc = take_many(queue, rest, n - got, &more, &woken);
        got += more;
        if (rc == -EAGAIN && !got) {
            rc = wait_to_get(queue, fiber, rest);
            got += rc == 0;
            continue;
        }
        coir_unlock(&queue->lock);
        coir_waiters_wake_all(woken);
    }
    return got ? (ssize_t)got : rc;
}

static void end_queue(struct coir_queue_state *queue, bool forget)
{
    struct coir_waiter *getters, *putters, *joiners = NULL;

    if (coir_is_forked())
        return;
    coir_lock(&queue->lock);
    queue->closed = true;
    if (forget) {
        queue->unfinished -= queue->count < queue->unfinished ? queue->count
                                                              : queue->unfinished;
        queue->count = queue->head = 0;
        if (!queue->unfinished)
            joiners = coir_waiters_take_all(&queue->joiners, 0);
    }
    putters = coir_waiters_take_all(&queue->putters, -EPIPE);
    getters = coir_waiters_take_all(&queue->getters, -EPIPE); /* Q1: it is empty */
    coir_unlock(&queue->lock);
    coir_waiters_wake_all(putters);
    coir_waiters_wake_all(getters);
    coir_waiters_wake_all(joiners);
}

void coir_queue_close(coir_queue *queue)
{
    end_queue(state_of(queue), false);
}

void coir_queue_shutdown(coir_queue *queue)
{
    end_queue(state_of(queue), true);
}

size_t coir_queue_size(coir_queue *memory)
{
    struct coir_queue_state *queue = state_of(memory);
    size_t count;

    if (coir_is_forked())
        return 0;
    coir_lock(&queue->lock);
    count = queue->count;
    coir_unlock(&queue->lock);
    return count;
}

bool coir_queue_is_closed(coir_queue *memory)
{
    struct coir_queue_state *queue = state_of(memory);
    bool closed;

    if (coir_is_forked())
        return true;
    coir_lock(&queue->lock);
    closed = queue->closed;
    coir_unlock(&queue->lock);
    return closed;
}

int coir_queue_task_done(coir_queue *memory)
{
    struct coir_queue_state *queue = state_of(memory);
    struct coir_waiter *joiners = NULL;
    int rc = -EINVAL;

    if (coir_is_forked())
        return -ECHILD;
    coir_lock(&queue->lock);
    if (queue->unfinished) {
        rc = 0;
        if (--queue->unfinished == 0)
            joiners = coir_waiters_take_all(&queue->joiners, 0);
    }
    coir_unlock(&queue->lock);
    coir_waiters_wake_all(joiners);
    return rc;
}

int coir_queue_join(coir_queue *memory)
{
    struct coir_fiber *fiber = coir_enter("coir_queue_join");
    struct coir_queue_state *queue = state_of(memory);
    int rc = coir_cancel_pending(fiber);

    if (rc < 0)
        return rc;
    coir_enter_steps(fiber, 1);
    coir_lock(&queue->lock);
    if (queue->unfinished)
        return wait_among(queue, &queue->joiners, fiber, NULL, "queue join");
    coir_unlock(&queue->lock);
    return 0;
}

/* As sources of coir_select(). */

static struct coir_lock *lock_of(void *queue)
{
    return &((struct coir_queue_state *)queue)->lock;
}

static struct coir_waiters *putters_of(void *queue)
{
    return &((struct coir_queue_state *)queue)->putters;
}

static struct coir_waiters *getters_of(void *queue)
{
    return &((struct coir_queue_state *)queue)->getters;
}

static bool attempt_put(void *queue, void *place, int *ret_result, struct coir_waiter **ret_woken)
{
    *ret_result = give((struct coir_queue_state *)queue, place, ret_woken);
    return *ret_result != -EAGAIN;
}

static bool attempt_get(void *queue, void *place, int *ret_result, struct coir_waiter **ret_woken)
{
    *ret_result = take((struct coir_queue_state *)queue, place, ret_woken);
    return *ret_result != -EAGAIN;
}

static int result_of(const struct coir_waiter *waiter, void *place)
{
    (void)place;
    return waiter->result;
}

const struct coir_source coir_source_put = { lock_of, putters_of, attempt_put, result_of };
const struct coir_source coir_source_get = { lock_of, getters_of, attempt_get, result_of };

/* Beginning and end. */

int coir_queue_init_with(coir_queue *memory, const coir_queue_options *options)
{
    struct coir_queue_state *queue = state_of(memory);
    bool bounded = options->capacity != COIR_UNBOUNDED;

    if (coir_is_forked())
        return -ECHILD;
    if (!options->item_size || options->order < COIR_QUEUE_FIFO ||
        options->order > COIR_QUEUE_PRIORITY ||
        (options->order == COIR_QUEUE_PRIORITY && !options->compare))
        return -EINVAL;
    memset(memory, 0, sizeof *memory);
    queue->order = (uint32_t)options->order;
    queue->capacity = options->capacity;
    queue->item_size = queue->stride = options->item_size;
    queue->compare = options->compare;
    if (options->item_size > SIZE_MAX / 2 - sizeof(uint64_t))
        return -ENOMEM;
    if (options->order == COIR_QUEUE_PRIORITY)
        queue->stride += sizeof queue->sequence;
    if (!bounded || !options->capacity)
        return 0;
    if (options->capacity > SIZE_MAX / 2 / queue->stride)
        return -ENOMEM;
    queue->items = coir_sys_malloc(options->capacity * queue->stride);
    queue->slots = options->capacity;
    return queue->items ? 0 : -ENOMEM;
}

int coir_queue_init(coir_queue *queue, size_t capacity, size_t item_size)
{
    coir_queue_options options = { .capacity = capacity, .item_size = item_size };

    return coir_queue_init_with(queue, &options);
}

void coir_queue_destroy(coir_queue *memory)
{
    struct coir_queue_state *queue = state_of(memory);
    bool waited_for;

    if (coir_is_forked())
        return;
    coir_lock(&queue->lock); /* whoever used it has left */
    waited_for = queue->getters.first || queue->putters.first || queue->joiners.first;
    coir_unlock(&queue->lock);
    if (waited_for)
        coir_misuse("coir_queue_destroy", "tasks still wait for the queue");
    coir_sys_free(queue->items);
    queue->items = NULL;
}
