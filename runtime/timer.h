/*
 * timer.h - the deadlines of one worker.
 *
 * A heap of four children per node, ordered by (when, order of arming), so that
 * equal deadlines fire in the order in which they were armed.  Entries carry
 * their key, so that sifting touches no timer but to store its index.
 *
 * A timer is armed on the worker that arms it, its home, and wakes one fiber.
 * The fiber may have moved when it is done with the timer, so a timer is not
 * part of any frame: it comes from its home's stock, is type-stable, and one
 * compare-and-swap decides between the home's clock and the holder:
 *
 *     ARMED --> FIRED      by the home, when the deadline has passed
 *     ARMED --> CANCELLED  by the holder, who wants it no more
 *
 * Either way the holder releases it, once.  On the home worker that removes and
 * frees it; from elsewhere it goes to the home's list of returns, which the home
 * empties, and is removed and freed there.
 *
 * Who may call what
 *
 *     arm                    a worker, on its own timers
 *     release                the holder, on any worker
 *     expire, drain, shrink  the home
 *
 * Memory orders
 *
 *   [T] release pushes to returns (release)  ->  drain (acquire): what the
 *       holder did with the timer is over when the home frees it.
 *   The fiber is read before the compare-and-swap to FIRED.  After it the timer
 *   may be released at once; the fiber is type-stable, and a wake-up too many
 *   is allowed.
 */
#ifndef COIR_RUNTIME_TIMER_H
#define COIR_RUNTIME_TIMER_H

#include "atomics.h"

struct coir_fiber;
struct coir_timers;

enum coir_timer_state { COIR_TIMER_ARMED, COIR_TIMER_FIRED, COIR_TIMER_CANCELLED };

struct coir_timer {
    COIR_ATOMIC(struct coir_fiber *) fiber;
    COIR_ATOMIC(uint32_t) state;
    uint32_t index; /* in the heap, or COIR_TIMER_NOWHERE */
    struct coir_timers *home;
    struct coir_timer *next; /* of the stock, or of the returns */
};

#define COIR_TIMER_NOWHERE UINT32_MAX

struct coir_timer_entry {
    int64_t when;
    uint64_t order;
    struct coir_timer *timer;
};

struct coir_timers {
    struct coir_timer_entry *heap;
    uint32_t count, capacity;
    uint64_t order;
    struct coir_timer *stock;
    struct coir_timer_slab *slabs;
    COIR_ATOMIC(int64_t) next; /* the nearest deadline, for others to see */
    COIR_ATOMIC(struct coir_timer *) returns;
    COIR_ATOMIC(uint64_t) armed, fired; /* counters */
    COIR_ATOMIC(uint32_t) busy; /* in the middle of a change: a handler leaves */
};

void coir_timers_init(struct coir_timers *timers);
void coir_timers_destroy(struct coir_timers *timers);

/* Returns NULL when memory is out. */
struct coir_timer *coir_timer_arm(struct coir_timers *timers, int64_t when,
                                  struct coir_fiber *fiber);

/* timers: the caller's own worker's.  Returns whether the timer had fired. */
bool coir_timer_release(struct coir_timers *timers, struct coir_timer *timer);

static inline bool coir_timer_fired(struct coir_timer *timer)
{
    return coir_load_acquire(&timer->state) == COIR_TIMER_FIRED;
}

/* Fire what is due at `now`; wake is called once for each, in order. */
void coir_timers_expire(struct coir_timers *timers, int64_t now,
                        void (*wake)(struct coir_fiber *));

/* The same in a signal handler on the home's thread: at most 64, and none if it
   has interrupted one of these functions. */
void coir_timers_rescue(struct coir_timers *timers, int64_t now,
                        void (*wake)(struct coir_fiber *));

/* Take back what was released elsewhere. */
void coir_timers_drain(struct coir_timers *timers);

/* Give back what the heap takes beyond its need.  The home. */
void coir_timers_shrink(struct coir_timers *timers);

/* The nearest deadline, or INT64_MAX. */
static inline int64_t coir_timers_next(struct coir_timers *timers)
{
    return coir_load_relaxed(&timers->next);
}

#endif
