/*
 * coir/select.h - waiting for the first of several things.
 *
 *     coir_select_case cases[] = {
 *         coir_select_get(&jobs, &job),
 *         coir_select_event(&stop),
 *     };
 *     switch (coir_select(cases, 2)) {
 *     case 0: ...                  cases[0].result: 0, or -EPIPE: closed and empty
 *     case 1: ...
 *     default: ...                 an error: told to stop
 *     }
 */
#ifndef COIR_SELECT_H
#define COIR_SELECT_H

#include <stddef.h>

#include "coir/defs.h"
#include "coir/future.h"
#include "coir/queue.h"
#include "coir/sync.h"
#include "coir/task.h"

COIR_BEGIN_DECLS

/* Made by one of the functions below.  All zero: never happens. */
typedef struct coir_select_case {
    int result; /* of the one that happened */
    int kind_;
    void *object_, *place_;
    void *opaque_[24];
} coir_select_case;

/* An item is put, or taken.  result: 0; -EPIPE: the queue is closed (and empty); -ENOMEM.
   Pointers are borrowed until coir_select() returns. */
COIR_API coir_select_case coir_select_put(coir_queue *queue, const void *item);
COIR_API coir_select_case coir_select_get(coir_queue *queue, void *ret_item);

/* The event is set.  result: 0. */
COIR_API coir_select_case coir_select_event(coir_event *event);

/* The future is set or failed.  result: 0, or its error.  ret_value: NULL if unwanted. */
COIR_API coir_select_case coir_select_future(coir_future *future, void **ret_value);

/* The task has ended.  result: 0.  It stays the caller's, to be awaited. */
COIR_API coir_select_case coir_select_task(coir_task *task);

/* The descriptor is ready, as for coir_wait_fd().  result: poll(2) bits, > 0; or -EBADF
   and the like. */
COIR_API coir_select_case coir_select_fd(int fd, short events);

/*
 * Wait until one of the cases can happen, and let it happen.  Of several, one at random.
 * The others have not happened: nothing was put, taken, or lost.  A time limit is a
 * coir_timeout around it.  (Go's select; asyncio.wait(FIRST_COMPLETED) without the tasks)
 *
 * Tasks only.  The cases can be used again.
 *
 * Returns   the index of the one that happened; its result is in cases[i].result.
 *           -ENOENT if all are zero; -EINVAL if n is above INT_MAX; -ECANCELED,
 *           -ETIMEDOUT or -ENOMEM: none has happened.
 * Suspends  unless one can happen at once.
 */
COIR_API int coir_select(coir_select_case *cases, size_t n);

/*
 * The same without waiting.
 *
 * Returns   as coir_select(); -EAGAIN if none can happen at once.
 * Suspends  never.
 */
COIR_API int coir_try_select(coir_select_case *cases, size_t n);

COIR_END_DECLS

#endif
