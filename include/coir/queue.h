/*
 * coir/queue.h - queues between tasks.
 *
 *     COIR_QUEUE_TYPE(jobs, struct job);          the type jobs, jobs_put(), ...
 *
 *     jobs queue;
 *     int rc = jobs_init(&queue, 16);
 *     producer:  rc = jobs_put(&queue, &job);     waits while 16 are in it
 *     consumer:  while ((rc = jobs_get(&queue, &job)) == 0)
 *                    work(&job);                  -EPIPE: closed, and empty
 *     at last:   coir_queue_close(&queue);
 *
 * Items are copied in and out.  What pointers in them point to is the program's.
 *
 * A call that waits is refused when the caller is cancelled or late; its item has then
 * not been put, and none has been taken for it.  One whose item has been put, or that
 * has been given an item, returns 0, and the next call reports the cancel.
 *
 * Who puts an item for a task that waits for one lets that task run next on its own
 * worker, unless there is one worker alone, or it has just done so three times in a row.
 */
#ifndef COIR_QUEUE_H
#define COIR_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "coir/defs.h"

COIR_BEGIN_DECLS

/* Anywhere in memory; must not be copied or moved. */
typedef struct coir_queue {
    void *opaque_[22];
} coir_queue;

enum coir_queue_order {
    COIR_QUEUE_FIFO,
    COIR_QUEUE_LIFO,
    COIR_QUEUE_PRIORITY, /* the least first; equal ones in the order of their coming */
};

/* Less than, equal to or greater than 0, as in qsort().  Called while the queue is
   locked: it must not call coir. */
typedef int coir_compare_fn(const void *a, const void *b);

typedef struct coir_queue_options {
    size_t capacity;  /* 0: rendezvous, each put waits for a get; COIR_UNBOUNDED */
    size_t item_size; /* at least 1 */
    int order;        /* a coir_queue_order; of a rendezvous always FIFO */
    coir_compare_fn *compare; /* of COIR_QUEUE_PRIORITY */
} coir_queue_options;

#define COIR_UNBOUNDED SIZE_MAX

/*
 * Prepare a queue.  Any thread.
 *
 * Returns   0; -EINVAL if item_size is 0, the order is none, or compare is missing;
 *           -ENOMEM: the memory for `capacity` items is allocated here.
 * Suspends  never.
 */
COIR_API int coir_queue_init(coir_queue *queue, size_t capacity, size_t item_size);
COIR_API int coir_queue_init_with(coir_queue *queue, const coir_queue_options *options);

/*
 * Done with it; what is left in it is forgotten.  Aborts if tasks still wait.  Any
 * thread.
 *
 * Suspends  never.
 */
COIR_API void coir_queue_destroy(coir_queue *queue);

/*
 * Put a copy of an item, when there is room.  (asyncio.Queue.put)
 *
 * Tasks only.
 *
 * Returns   0; -EPIPE if the queue is closed, also if that happens meanwhile;
 *           -ECANCELED, -ETIMEDOUT; -ENOMEM, also if an unbounded queue cannot grow.
 *           With an error the item has not been put.
 * Suspends  if there is no room.
 */
COIR_API int coir_queue_put(coir_queue *queue, const void *item);

/*
 * Take an item, when there is one.  (asyncio.Queue.get)
 *
 * Tasks only.
 *
 * Returns   0; -EPIPE if the queue is closed and empty; -ECANCELED, -ETIMEDOUT,
 *           -ENOMEM.  With an error ret_item is untouched.
 * Suspends  if there is none.
 */
COIR_API int coir_queue_get(coir_queue *queue, void *ret_item);

/*
 * The same without waiting.  Any thread, and callbacks; not in signal handlers.
 *
 * Returns   0; -EAGAIN if there is no room, or no item; -EPIPE; -ENOMEM; in a task
 *           -ECANCELED or -ETIMEDOUT.
 * Suspends  never.
 */
COIR_API int coir_queue_try_put(coir_queue *queue, const void *item);
COIR_API int coir_queue_try_get(coir_queue *queue, void *ret_item);

/*
 * Put n items, in their order, at less than the cost of so many puts; others may come
 * between them.
 *
 * Tasks only.
 *
 * Returns   n; or how many were put before one could not be, if that is not 0; or the
 *           error, as coir_queue_put().
 * Suspends  while there is no room.
 */
COIR_API ssize_t coir_queue_put_many(coir_queue *queue, const void *items, size_t n);

/*
 * Take what there is, up to n items, but at least one.
 *
 * Tasks only.
 *
 * Returns   how many; 0 if n is 0; or an error, as coir_queue_get().
 * Suspends  if there is none.
 */
COIR_API ssize_t coir_queue_get_many(coir_queue *queue, void *ret_items, size_t n);

/*
 * Nothing more may be put; what is in the queue may be taken.  All that wait to put get
 * -EPIPE, and all that wait for an item.  Again: nothing.  Any thread.
 * (asyncio.Queue.shutdown())
 *
 * Suspends  never.
 */
COIR_API void coir_queue_close(coir_queue *queue);

/* The same, and what is in the queue is forgotten, and counts as done.
   (shutdown(immediate=True)) */
COIR_API void coir_queue_shutdown(coir_queue *queue);

/* Items in the queue; whether it is closed.  Any thread; another may change it. */
COIR_API size_t coir_queue_size(coir_queue *queue);
COIR_API bool coir_queue_is_closed(coir_queue *queue);

/*
 * An item that was taken has been dealt with.  Any thread.
 *
 * Returns   0; -EINVAL if that has been said of all that were put.
 * Suspends  never.
 */
COIR_API int coir_queue_task_done(coir_queue *queue);

/*
 * Wait until all that were put have been dealt with.
 *
 * Tasks only.
 *
 * Returns   0; -ECANCELED, -ETIMEDOUT, -ENOMEM.
 * Suspends  unless they have been.
 */
COIR_API int coir_queue_join(coir_queue *queue);

/*
 * Define the type `name`, another name of coir_queue, and for items of type `type` the
 * functions name_init(queue, capacity), name_put, name_get, name_try_put, name_try_get,
 * name_put_many and name_get_many: the ones above, with items that the compiler checks.
 * The other calls are the same for all queues.
 */
#define COIR_QUEUE_TYPE(name, type)                                                    \
    typedef coir_queue name;                                                           \
    COIR_MAYBE_UNUSED static inline int name##_init(coir_queue *queue,                 \
                                                    size_t capacity)                   \
    {                                                                                  \
        return coir_queue_init(queue, capacity, sizeof(type));                         \
    }                                                                                  \
    COIR_MAYBE_UNUSED static inline int name##_put(coir_queue *queue,                  \
                                                   type const *item)                   \
    {                                                                                  \
        return coir_queue_put(queue, item);                                            \
    }                                                                                  \
    COIR_MAYBE_UNUSED static inline int name##_get(coir_queue *queue, type *ret_item)  \
    {                                                                                  \
        return coir_queue_get(queue, ret_item);                                        \
    }                                                                                  \
    COIR_MAYBE_UNUSED static inline int name##_try_put(coir_queue *queue,              \
                                                       type const *item)               \
    {                                                                                  \
        return coir_queue_try_put(queue, item);                                        \
    }                                                                                  \
    COIR_MAYBE_UNUSED static inline int name##_try_get(coir_queue *queue,              \
                                                       type *ret_item)                 \
    {                                                                                  \
        return coir_queue_try_get(queue, ret_item);                                    \
    }                                                                                  \
    COIR_MAYBE_UNUSED static inline ssize_t name##_put_many(coir_queue *queue,         \
                                        type const *items, size_t n)                   \
    {                                                                                  \
        return coir_queue_put_many(queue, items, n);                                   \
    }                                                                                  \
    COIR_MAYBE_UNUSED static inline ssize_t name##_get_many(coir_queue *queue,         \
                                                            type *ret_items, size_t n) \
    {                                                                                  \
        return coir_queue_get_many(queue, ret_items, n);                               \
    }                                                                                  \
    struct coir_semicolon_

COIR_END_DECLS

#endif
