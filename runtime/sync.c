/*
 * sync.c - conditions, events, semaphores, barriers, once: each an object with a lock
 * and those that wait for it.  See waiters.h for the protocol.
 */
#include "coir/sync.h"

#include <errno.h>

#include "cancel.h"
#include "mutex.h"
#include "park.h"
#include "select.h"
#include "waiters.h"

/* Conditions. */

struct cond {
    struct coir_lock lock;
    struct coir_waiters waiters;
};

_Static_assert(sizeof(struct cond) <= sizeof(coir_cond), "fits");

int coir_cond_wait(coir_cond *memory, coir_mutex *mutex)
{
    struct cond *cond = (struct cond *)memory;
    struct coir_waiter waiter;
    struct coir_fiber *fiber = coir_fiber_of_caller("coir_cond_wait");
    int rc = coir_cancel_pending(fiber);

    if (!coir_mutex_is_held_by(mutex, fiber->task))
        coir_misuse("coir_cond_wait", "the task does not hold the mutex");
    if (rc < 0)
        return rc;
    coir_waiter_init(&waiter, fiber);
    coir_lock(&cond->lock);
    coir_waiters_add(&cond->waiters, &waiter);
    coir_unlock(&cond->lock);
    coir_mutex_unlock(mutex);
    rc = coir_waiter_wait(&cond->lock, &cond->waiters, &waiter, "condition", cond);
    coir_mutex_lock_always(mutex);
    return rc;
}

void coir_cond_notify(coir_cond *memory)
{
    struct cond *cond = (struct cond *)memory;
    struct coir_waiter *first;

    coir_lock(&cond->lock);
    first = coir_waiters_take(&cond->waiters);
    coir_unlock(&cond->lock);
    coir_waiter_wake(first);
}

void coir_cond_notify_all(coir_cond *memory)
{
    struct cond *cond = (struct cond *)memory;
    struct coir_waiter *all;

    coir_lock(&cond->lock);
    all = coir_waiters_take_all(&cond->waiters, 0);
    coir_unlock(&cond->lock);
    coir_waiters_wake_all(all);
}

/* Events. */

struct event {
    struct coir_lock lock;
    uint32_t set;
    struct coir_waiters waiters;
};

_Static_assert(sizeof(struct event) <= sizeof(coir_event), "fits");

int coir_event_wait(coir_event *memory)
{
    struct event *event = (struct event *)memory;
    struct coir_waiter waiter;
    struct coir_fiber *fiber = coir_fiber_of_caller("coir_event_wait");
    int rc = coir_cancel_pending(fiber);

    if (rc < 0)
        return rc;
    coir_lock(&event->lock);
    if (event->set) {
        coir_unlock(&event->lock);
        coir_take_steps(fiber, 1);
        return 0;
    }
    coir_waiter_init(&waiter, fiber);
    coir_waiters_add(&event->waiters, &waiter);
    coir_unlock(&event->lock);
    return coir_waiter_wait(&event->lock, &event->waiters, &waiter, "event", event);
}

void coir_event_set(coir_event *memory)
{
    struct event *event = (struct event *)memory;
    struct coir_waiter *all;

    coir_lock(&event->lock);
    event->set = 1;
    all = coir_waiters_take_all(&event->waiters, 0);
    coir_unlock(&event->lock);
    coir_waiters_wake_all(all);
}

void coir_event_clear(coir_event *memory)
{
    struct event *event = (struct event *)memory;

    coir_lock(&event->lock);
    event->set = 0;
    coir_unlock(&event->lock);
}

bool coir_event_is_set(coir_event *memory)
{
    struct event *event = (struct event *)memory;
    bool set;

    coir_lock(&event->lock);
    set = event->set;
    coir_unlock(&event->lock);
    return set;
}

static struct coir_lock *lock_of(void *event)
{
    return &((struct event *)event)->lock;
}

static struct coir_waiters *waiters_of(void *event)
{
    return &((struct event *)event)->waiters;
}

static bool attempt(void *event, void *place, int *ret_result, struct coir_waiter **ret_woken)
{
    (void)place;
    (void)ret_woken;
    *ret_result = 0;
    return ((struct event *)event)->set;
}

static int result_of(const struct coir_waiter *waiter, void *place)
{
    (void)place;
    return waiter->result;
}

const struct coir_source coir_source_event = { lock_of, waiters_of, attempt, result_of };

/* Semaphores.  While some wait, none is free: a place goes from hand to hand. */

struct semaphore {
    unsigned free;
    unsigned most; /* 0: no bound */
    struct coir_lock lock;
    struct coir_waiters waiters;
};

_Static_assert(sizeof(struct semaphore) <= sizeof(coir_semaphore), "fits");

void coir_semaphore_init(coir_semaphore *semaphore, unsigned n)
{
    *semaphore = (coir_semaphore)COIR_SEMAPHORE(n);
}

void coir_semaphore_init_bounded(coir_semaphore *semaphore, unsigned n)
{
    if (n == 0)
        coir_misuse("coir_semaphore_init_bounded", "no places at all");
    *semaphore = (coir_semaphore)COIR_SEMAPHORE_BOUNDED(n);
}

/* With the lock held. */
static bool take_place(struct semaphore *semaphore)
{
    if (!semaphore->free)
        return false;
    semaphore->free--;
    return true;
}

int coir_semaphore_acquire(coir_semaphore *memory)
{
    struct semaphore *semaphore = (struct semaphore *)memory;
    struct coir_waiter waiter;
    struct coir_fiber *fiber = coir_fiber_of_caller("coir_semaphore_acquire");
    int rc = coir_cancel_pending(fiber);

    if (rc < 0)
        return rc;
    coir_take_steps(fiber, 1);
    coir_lock(&semaphore->lock);
    if (take_place(semaphore)) {
        coir_unlock(&semaphore->lock);
        return 0;
    }
    coir_waiter_init(&waiter, fiber);
    coir_waiters_add(&semaphore->waiters, &waiter);
    coir_unlock(&semaphore->lock);
    return coir_waiter_wait(&semaphore->lock, &semaphore->waiters, &waiter, "semaphore",
                            semaphore);
}

int coir_semaphore_try_acquire(coir_semaphore *memory)
{
    struct semaphore *semaphore = (struct semaphore *)memory;
    struct coir_fiber *fiber = coir_fiber_or_none("coir_semaphore_try_acquire");
    int rc = fiber ? coir_cancel_pending(fiber) : 0;

    if (rc < 0)
        return rc;
    coir_lock(&semaphore->lock);
    rc = take_place(semaphore) ? 0 : -EAGAIN;
    coir_unlock(&semaphore->lock);
    return rc;
}

void coir_semaphore_release(coir_semaphore *memory)
{
    struct semaphore *semaphore = (struct semaphore *)memory;
    struct coir_waiter *next;

    coir_lock(&semaphore->lock);
    next = coir_waiters_take(&semaphore->waiters);
    if (!next) {
        if (semaphore->most && semaphore->free == semaphore->most)
            coir_misuse("coir_semaphore_release", "more was released than there is");
        semaphore->free++;
    }
    coir_unlock(&semaphore->lock);
    coir_waiter_wake(next);
}

/* Barriers. */

struct barrier {
    struct coir_lock lock;
    unsigned n;
    struct coir_waiters waiters;
    bool broken;
};

_Static_assert(sizeof(struct barrier) <= sizeof(coir_barrier), "fits");

void coir_barrier_init(coir_barrier *barrier, unsigned n)
{
    if (n == 0)
        coir_misuse("coir_barrier_init", "a barrier for nobody");
    *(struct barrier *)barrier = (struct barrier){ .n = n };
}

/* With the lock held.  Numbers those that wait, in their order. */
static struct coir_waiter *take_numbered(struct barrier *barrier)
{
    struct coir_waiter *all = coir_waiters_take_all(&barrier->waiters, 0);
    int32_t number = 0;

    for (struct coir_waiter *waiter = all; waiter; waiter = waiter->next)
        waiter->result = number++;
    return all;
}

int coir_barrier_wait(coir_barrier *memory)
{
    struct barrier *barrier = (struct barrier *)memory;
    struct coir_waiter waiter, *others;
    struct coir_fiber *fiber = coir_fiber_of_caller("coir_barrier_wait");
    int rc = coir_cancel_pending(fiber);

    if (rc < 0)
        return rc;
    coir_take_steps(fiber, 1);
    coir_waiter_init(&waiter, fiber);
    coir_lock(&barrier->lock);
    if (barrier->broken) {
        coir_unlock(&barrier->lock);
        return -EPIPE;
    }
    if (barrier->waiters.count == barrier->n - 1) {
        others = take_numbered(barrier);
        rc = (int)barrier->n - 1;
        coir_unlock(&barrier->lock);
        coir_waiters_wake_all(others);
        return rc;
    }
    coir_waiters_add(&barrier->waiters, &waiter);
    coir_unlock(&barrier->lock);
    rc = coir_waiter_wait(&barrier->lock, &barrier->waiters, &waiter, "barrier", barrier);
    return rc < 0 ? rc : waiter.result;
}

static void send_away(struct barrier *barrier, bool broken)
{
    struct coir_waiter *all;

    coir_lock(&barrier->lock);
    barrier->broken = broken;
    all = coir_waiters_take_all(&barrier->waiters, -EPIPE);
    coir_unlock(&barrier->lock);
    coir_waiters_wake_all(all);
}

void coir_barrier_reset(coir_barrier *barrier)
{
    send_away((struct barrier *)barrier, false);
}

void coir_barrier_abort(coir_barrier *barrier)
{
    send_away((struct barrier *)barrier, true);
}

/* Once. */

enum { NOT_DONE, RUNNING, DONE };

struct once {
    COIR_ATOMIC(int) value; /* if DONE */
    COIR_ATOMIC(uint32_t) state;
    struct coir_lock lock;
    struct coir_waiters waiters;
    struct coir_task *runner;
};

_Static_assert(sizeof(struct once) <= sizeof(coir_once), "fits");

static int run_it(struct once *once, struct coir_fiber *fiber, coir_fn *fn, void *arg)
{
    struct coir_waiter *woken;
    int rc;

    once->runner = fiber->task;
    coir_unlock(&once->lock);
    rc = fn(arg);
    coir_lock(&once->lock);
    once->runner = NULL;
    coir_store_relaxed(&once->value, rc);
    woken = rc < 0 ? coir_waiters_take(&once->waiters)
                   : coir_waiters_take_all(&once->waiters, 0);
    if (rc >= 0)
        coir_store_release(&once->state, DONE);
    else if (!woken) /* else it is that one's turn */
        coir_store_relaxed(&once->state, NOT_DONE);
    coir_unlock(&once->lock);
    coir_waiters_wake_all(woken);
    return rc;
}

int coir_once_run(coir_once *memory, coir_fn *fn, void *arg)
{
    struct once *once = (struct once *)memory;
    struct coir_waiter waiter;
    struct coir_fiber *fiber = coir_fiber_of_caller("coir_once_run");
    int rc = coir_cancel_pending(fiber);

    if (rc < 0)
        return rc;
    if (coir_load_acquire(&once->state) == DONE)
        return coir_load_relaxed(&once->value);
    coir_lock(&once->lock);
    if (coir_load_relaxed(&once->state) == RUNNING) {
        if (once->runner == fiber->task)
            coir_misuse("coir_once_run", "called by what it runs");
        coir_waiter_init(&waiter, fiber);
        coir_waiters_add(&once->waiters, &waiter);
        coir_unlock(&once->lock);
        rc = coir_waiter_wait(&once->lock, &once->waiters, &waiter, "once", once);
        if (rc < 0)
            return rc;
        coir_lock(&once->lock);
    }
    if (coir_load_relaxed(&once->state) == DONE) {
        coir_unlock(&once->lock);
        return coir_load_relaxed(&once->value);
    }
    coir_store_relaxed(&once->state, RUNNING);
    return run_it(once, fiber, fn, arg);
}
