/*
 * coir/future.h - a value that somebody will set: another task, a thread, or a
 * callback of a library that knows nothing of coir.
 *
 *     coir_future answer;
 *     coir_future_init(&answer);
 *     ask(question, on_answer, &answer);       on_answer: coir_future_set(...)
 *     int rc = coir_future_await(&answer, &value);
 *     coir_future_destroy(&answer);
 */
#ifndef COIR_FUTURE_H
#define COIR_FUTURE_H

#include <stdbool.h>

#include "coir/defs.h"

COIR_BEGIN_DECLS

/* Set once, to a pointer or to an error.  Anywhere in memory; must not be copied or
   moved.  (asyncio.Future) */
typedef struct coir_future {
    void *opaque_[6];
} coir_future;

/*
 * Prepare a future that has no value yet.  Any thread.
 *
 * Suspends  never.
 */
COIR_API void coir_future_init(coir_future *future);

/*
 * Give the future its value, and wake all that wait for it, in the order in which
 * they came.  Any thread; not in signal handlers.
 *
 * value     Passed on as it is; what it points to is not coir's business.
 *
 * Returns   0; -EALREADY if it has been set or failed before: nothing changes.
 * Suspends  never.
 */
COIR_API int coir_future_set(coir_future *future, void *value);

/* The same with an error, which every await returns: a negative errno; anything else
   is refused with -EINVAL. */
COIR_API int coir_future_fail(coir_future *future, int error);

/*
 * Whether it has been set or failed.  Any thread.
 *
 * Suspends  never.
 */
COIR_API bool coir_future_done(coir_future *future);

/*
 * Wait until the future is set.  Any number of tasks may.
 *
 * ret_value  Where the value goes; NULL if it is not wanted.  Untouched by errors.
 *
 * Tasks only.
 *
 * Returns   0; the error given to coir_future_fail(); -ECANCELED or -ETIMEDOUT if the
 *           caller was cancelled or late: the future is as it was; -ENOMEM.
 * Suspends  unless it is set already.
 */
COIR_API int coir_future_await(coir_future *future, void **ret_value);

/*
 * Done with it.  Also while coir_future_set() has not returned yet, once an await has
 * given the value.  With tasks still waiting: aborts.
 *
 * Any thread.
 *
 * Suspends  never.
 */
COIR_API void coir_future_destroy(coir_future *future);

COIR_END_DECLS

#endif
