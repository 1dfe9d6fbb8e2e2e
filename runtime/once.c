/*
 * once.c - something to be done once: see waiters.h for the protocol.
 *
 * When it has failed, it is the turn of the first that waits, and nobody overtakes it.
 */
#include "coir/sync.h"

#include "cancel.h"
#include "park.h"
#include "waiters.h"

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
