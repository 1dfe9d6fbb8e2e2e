/*
 * coir/time.h - durations, the clock, sleeping, and deadlines.
 *
 * A duration is a number of nanoseconds, and so is a point in time, counted on
 * the monotonic clock.  coir_sleep(5) therefore sleeps five nanoseconds: write
 * coir_sleep(COIR_SECONDS(5)).  The macros take fractions, COIR_SECONDS(0.5),
 * and saturate instead of overflowing.
 *
 * A deadline is a scope, not an argument of every call:
 *
 *     coir_timeout limit;
 *     coir_timeout_begin(&limit, COIR_SECONDS(2));
 *     ssize_t n = coir_read(fd, buf, sizeof buf);
 *     if (coir_timeout_end(&limit))
 *         ...                             too slow, and n is -ETIMEDOUT
 *
 * From the deadline on, every suspending call of this task inside the scope
 * returns -ETIMEDOUT.  Scopes nest, and end in the function they began in,
 * innermost first; a scope left open by a function that has returned aborts.
 * Other tasks do not inherit them, but what the scope's task waits for, it
 * cancels when the deadline passes.
 */
#ifndef COIR_TIME_H
#define COIR_TIME_H

#include <stdbool.h>
#include <stdint.h>

#include "coir/defs.h"

COIR_BEGIN_DECLS

typedef int64_t coir_duration; /* nanoseconds */

/* Never.  As a duration and as a point in time. */
#define COIR_FOREVER INT64_MAX

#define COIR_NANOSECONDS(x) COIR_DURATION_(x, 1)
#define COIR_MICROSECONDS(x) COIR_DURATION_(x, 1000)
#define COIR_MILLISECONDS(x) COIR_DURATION_(x, 1000000)
#define COIR_SECONDS(x) COIR_DURATION_(x, 1000000000)

/* An integer constant expression stays exact; too large becomes forever. */
#define COIR_DURATION_(x, unit)                                              \
    ((long double)(x) * (unit) >= (long double)INT64_MAX                     \
         ? INT64_MAX                                                         \
         : (long double)(x) * (unit) <= (long double)INT64_MIN               \
               ? INT64_MIN                                                   \
               : (coir_duration)((long double)(x) * (unit)))

/*
 * The time now, in nanoseconds on the monotonic clock.
 *
 * Any thread, any time.
 *
 * Returns   nanoseconds since a moment in the past.
 * Suspends  never.
 */
COIR_API int64_t coir_now(void);

/*
 * Let the calling task sleep for at least `duration`.  (asyncio.sleep)
 *
 * A duration of zero or less only lets every other ready task run first, once,
 * as coir_yield() does.  Tasks whose deadlines are equal wake in the order in
 * which they went to sleep.
 *
 * Tasks only.
 *
 * Returns   0; -ECANCELED or -ETIMEDOUT if the caller is, or becomes, cancelled
 *           or late, also for a duration of zero; -ENOMEM.
 * Suspends  always, unless it fails at once.
 */
COIR_API int coir_sleep(coir_duration duration);

/* The same, until coir_now() has reached `when`. */
COIR_API int coir_sleep_until(int64_t when);

/* A deadline around the calls of one function.  Lives in that function's
   frame; must not be copied or moved, nor begun while it is open. */
typedef struct coir_timeout {
    void *opaque_[8];
} coir_timeout;

/*
 * Open a scope that ends calls inside it once `duration` has passed.
 * (asyncio.timeout)
 *
 * timeout   Borrowed until coir_timeout_end().
 * duration  COIR_FOREVER sets no deadline; zero or less has passed already.
 *
 * Tasks only.
 *
 * Returns   nothing; it cannot fail.
 * Suspends  never.
 */
COIR_API void coir_timeout_begin(coir_timeout *timeout, coir_duration duration);

/* The same with a point in time.  (asyncio.timeout_at) */
COIR_API void coir_timeout_begin_at(coir_timeout *timeout, int64_t when);

/*
 * Move the deadline of an open scope.  No effect once it has passed.
 *
 * Only the task that opened the scope.
 *
 * Suspends  never.
 */
COIR_API void coir_timeout_reschedule(coir_timeout *timeout, int64_t when);

/*
 * Close the scope.
 *
 * Only the task that opened it, innermost scope first; anything else aborts.
 *
 * Returns   1 if a call inside was refused on account of this scope; else 0,
 *           also when the deadline passed and no call noticed.
 * Suspends  never.
 */
COIR_API int coir_timeout_end(coir_timeout *timeout);

/*
 * The deadline of the scopes around the caller, up to the innermost shield:
 * the earliest of them.
 *
 * Returns   a point in time, or COIR_FOREVER.
 * Suspends  never.
 */
COIR_API int64_t coir_deadline(void);

/*
 * GNU C and C++: the statement that follows, under a deadline.  The scope closes
 * itself, also on break, return and goto.
 *
 *     COIR_WITH_TIMEOUT(COIR_SECONDS(2))
 *         n = coir_read(fd, buf, sizeof buf);
 *     if (n == -ETIMEDOUT) ...
 */
#define COIR_WITH_TIMEOUT(duration) COIR_WITH_TIMEOUT_(duration, __LINE__)
#define COIR_WITH_TIMEOUT_(duration, line) COIR_WITH_TIMEOUT__(duration, line)
#define COIR_WITH_TIMEOUT__(duration, line)                                             \
    for (struct coir_with_timeout_ with_timeout_##line                                  \
             __attribute__((cleanup(coir_with_timeout_end_))) =                         \
                 coir_with_timeout_none_();                                             \
         coir_with_timeout_begin_(&with_timeout_##line, (duration));)

struct coir_with_timeout_ {
    coir_timeout timeout;
    bool begun;
};

COIR_MAYBE_UNUSED static inline struct coir_with_timeout_ coir_with_timeout_none_(void)
{
    struct coir_with_timeout_ none;
    none.begun = false;
    return none;
}

COIR_MAYBE_UNUSED static inline bool coir_with_timeout_begin_(struct coir_with_timeout_ *with,
                                                              coir_duration duration)
{
    if (with->begun)
        return false;
    coir_timeout_begin(&with->timeout, duration);
    with->begun = true;
    return true;
}

COIR_MAYBE_UNUSED static inline void coir_with_timeout_end_(struct coir_with_timeout_ *with)
{
    if (with->begun)
        coir_timeout_end(&with->timeout);
}

COIR_END_DECLS

#endif
