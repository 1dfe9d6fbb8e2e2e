/*
 * event.c - something that has happened or not: see waiters.h for the protocol.
 */
#include "coir/sync.h"

#include "cancel.h"
#include "current.h"
#include "enter.h"
#include "park.h"
#include "select.h"

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
    struct coir_fiber *fiber = coir_enter("coir_event_wait");
    int rc = coir_cancel_pending(fiber);

    if (rc < 0)
        return rc;
    coir_lock(&event->lock);
    if (event->set) {
        coir_unlock(&event->lock);
        coir_enter_steps(fiber, 1);
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

    if (coir_is_forked())
        return;
    coir_lock(&event->lock);
    event->set = 1;
    all = coir_waiters_take_all(&event->waiters, 0);
    coir_unlock(&event->lock);
    coir_waiters_wake_all(all);
}

void coir_event_clear(coir_event *memory)
{
    struct event *event = (struct event *)memory;

    if (coir_is_forked())
        return;
    coir_lock(&event->lock);
    event->set = 0;
    coir_unlock(&event->lock);
}

bool coir_event_is_set(coir_event *memory)
{
    struct event *event = (struct event *)memory;
    bool set;

    if (coir_is_forked())
        return true; /* or a loop until it is would not end */
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
