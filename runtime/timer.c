/*
 * timer.c - see timer.h.
 */
#include "timer.h"

#include <string.h>

#include "sys.h"

#ifdef COIR_SMALL
#define SLAB_TIMERS 2
#else
#define SLAB_TIMERS 128
#endif

#define RESCUE_MOST 64

struct coir_timer_slab {
    struct coir_timer_slab *next;
    struct coir_timer timers[SLAB_TIMERS];
};

void coir_timers_init(struct coir_timers *timers)
{
    memset(timers, 0, sizeof *timers);
    coir_store_relaxed(&timers->next, INT64_MAX);
}

void coir_timers_destroy(struct coir_timers *timers)
{
    struct coir_timer_slab *next;

    for (struct coir_timer_slab *slab = timers->slabs; slab; slab = next) {
        next = slab->next;
        coir_sys_free(slab);
    }
    coir_sys_free(timers->heap);
}

static void count(COIR_ATOMIC(uint64_t) *counter)
{
    coir_store_relaxed(counter, coir_load_relaxed(counter) + 1);
}

/* The heap. */

static bool before(const struct coir_timer_entry *a, const struct coir_timer_entry *b)
{
    return a->when < b->when || (a->when == b->when && a->order < b->order);
}

static void place(struct coir_timers *timers, uint32_t i, struct coir_timer_entry entry)
{
    timers->heap[i] = entry;
    entry.timer->index = i;
}

static void sift_up(struct coir_timers *timers, uint32_t i, struct coir_timer_entry entry)
{
    while (i > 0 && before(&entry, &timers->heap[(i - 1) / 4])) {
        place(timers, i, timers->heap[(i - 1) / 4]);
        i = (i - 1) / 4;
    }
    place(timers, i, entry);
}

static void sift_down(struct coir_timers *timers, uint32_t i, struct coir_timer_entry entry)
{
    for (;;) {
        uint64_t first = (uint64_t)i * 4 + 1;
        uint64_t last = first + 4 < timers->count ? first + 4 : timers->count;
        uint64_t least = first;

        for (uint64_t child = first + 1; child < last; child++)
            if (before(&timers->heap[child], &timers->heap[least]))
                least = child;
        if (first >= timers->count || !before(&timers->heap[least], &entry))
            break;
        place(timers, i, timers->heap[least]);
        i = (uint32_t)least;
    }
    place(timers, i, entry);
}

static void publish(struct coir_timers *timers)
{
    coir_store_relaxed(&timers->next, timers->count ? timers->heap[0].when : INT64_MAX);
}

static void remove_at(struct coir_timers *timers, uint32_t i)
{
    struct coir_timer_entry last;

    timers->heap[i].timer->index = COIR_TIMER_NOWHERE;
    last = timers->heap[--timers->count];
    if (i < timers->count) {
        if (i > 0 && before(&last, &timers->heap[(i - 1) / 4]))
            sift_up(timers, i, last);
        else
            sift_down(timers, i, last);
    }
    publish(timers);
}

static bool make_room(struct coir_timers *timers)
{
    uint32_t capacity = timers->capacity ? timers->capacity * 2 : SLAB_TIMERS;
    struct coir_timer_entry *heap;

    if (timers->count < timers->capacity)
        return true;
    heap = coir_sys_realloc(timers->heap, capacity * sizeof *heap);
    if (!heap)
        return false;
    timers->heap = heap;
    timers->capacity = capacity;
    return true;
}

/* The stock. */

static bool refill(struct coir_timers *timers)
{
    struct coir_timer_slab *slab = coir_sys_calloc(1, sizeof *slab);

    if (!slab)
        return false;
    slab->next = timers->slabs;
    timers->slabs = slab;
    for (int i = SLAB_TIMERS - 1; i >= 0; i--) {
        slab->timers[i].home = timers;
        slab->timers[i].next = timers->stock;
        timers->stock = &slab->timers[i];
    }
    return true;
}

static void put_back(struct coir_timers *timers, struct coir_timer *timer)
{
    if (timer->index != COIR_TIMER_NOWHERE)
        remove_at(timers, timer->index);
    timer->next = timers->stock;
    timers->stock = timer;
}

/* What callers see. */

static void enter(struct coir_timers *timers)
{
    coir_store_relaxed(&timers->busy, 1);
    coir_compiler_barrier();
}

static void leave(struct coir_timers *timers)
{
    coir_compiler_barrier();
    coir_store_relaxed(&timers->busy, 0);
}

static struct coir_timer *arm(struct coir_timers *timers, int64_t when, struct coir_fiber *fiber)
{
    struct coir_timer *timer;

    if (!make_room(timers) || (!timers->stock && !refill(timers)))
        return NULL;
    timer = timers->stock;
    timers->stock = timer->next;
    coir_store_relaxed(&timer->fiber, fiber);
    coir_store_relaxed(&timer->state, COIR_TIMER_ARMED);
    sift_up(timers, timers->count++, (struct coir_timer_entry){ when, timers->order++, timer });
    publish(timers);
    count(&timers->armed);
    return timer;
}

struct coir_timer *coir_timer_arm(struct coir_timers *timers, int64_t when,
                                  struct coir_fiber *fiber)
{
    struct coir_timer *timer;

    enter(timers);
    timer = arm(timers, when, fiber);
    leave(timers);
    return timer;
}

bool coir_timer_release(struct coir_timers *timers, struct coir_timer *timer)
{
    uint32_t state = COIR_TIMER_ARMED;
    bool fired = !coir_cas_acq_rel(&timer->state, &state, COIR_TIMER_CANCELLED);
    struct coir_timers *home = timer->home;
    struct coir_timer *head;

    if (home == timers) {
        enter(timers);
        put_back(timers, timer);
        leave(timers);
        return fired;
    }
    head = coir_load_relaxed(&home->returns);
    do
        timer->next = head;
    while (!coir_cas_acq_rel(&home->returns, &head, timer)); /* [T] */
    return fired;
}

static void expire(struct coir_timers *timers, int64_t now, void (*wake)(struct coir_fiber *),
                   uint32_t most)
{
    for (uint32_t n = 0; n < most && timers->count && timers->heap[0].when <= now; n++) {
        struct coir_timer *timer = timers->heap[0].timer;
        struct coir_fiber *fiber = coir_load_relaxed(&timer->fiber);
        uint32_t state = COIR_TIMER_ARMED;

        remove_at(timers, 0);
        if (!coir_cas_acq_rel(&timer->state, &state, COIR_TIMER_FIRED))
            continue; /* it is among the returns, or about to be */
        count(&timers->fired);
        wake(fiber);
    }
}

void coir_timers_expire(struct coir_timers *timers, int64_t now,
                        void (*wake)(struct coir_fiber *))
{
    enter(timers);
    expire(timers, now, wake, UINT32_MAX);
    leave(timers);
}

void coir_timers_rescue(struct coir_timers *timers, int64_t now,
                        void (*wake)(struct coir_fiber *))
{
    if (!coir_load_relaxed(&timers->busy))
        expire(timers, now, wake, RESCUE_MOST);
}

void coir_timers_drain(struct coir_timers *timers)
{
    struct coir_timer *timer, *next;

    if (!coir_load_relaxed(&timers->returns))
        return;
    timer = coir_xchg_acquire(&timers->returns, (struct coir_timer *)NULL); /* [T] */
    enter(timers);
    for (; timer; timer = next) {
        next = timer->next;
        put_back(timers, timer);
    }
    leave(timers);
}

static void shrink(struct coir_timers *timers)
{
    uint32_t capacity = timers->capacity;
    struct coir_timer_entry *heap;

    while (capacity > SLAB_TIMERS && timers->count < capacity / 4)
        capacity /= 2;
    if (capacity == timers->capacity)
        return;
    heap = coir_sys_realloc(timers->heap, capacity * sizeof *heap);
    if (!heap)
        return;
    timers->heap = heap;
    timers->capacity = capacity;
}

void coir_timers_shrink(struct coir_timers *timers)
{
    enter(timers);
    shrink(timers);
    leave(timers);
}
