/*
 * time.c - the clock and sleeping.
 */
#include "coir/time.h"

#include <errno.h>

#include "cancel.h"
#include "enter.h"
#include "park.h"
#include "sys.h"
#include "worker.h"

int64_t coir_now(void)
{
    return coir_sys_now();
}

static int yield(const char *function)
{
    struct coir_fiber *fiber = coir_enter(function);
    int rc = coir_cancel_pending(fiber);

    if (rc == 0)
        coir_worker_yield(coir_load_relaxed(&fiber->worker));
    return rc;
}

int coir_yield(void)
{
    return yield("coir_yield");
}

/* Wait for a timer of the caller's own, or for a reason not to. */
static int wait_for_timer(struct coir_fiber *fiber, struct coir_timer *timer)
{
    struct coir_worker *worker;
    int rc = 0;

    while (!coir_timer_fired(timer) && !(rc = coir_cancel_prepare(fiber, "sleep", NULL)))
        coir_park(fiber, "sleep", NULL);
    worker = coir_current_worker();
    if (coir_timer_release(&worker->timers, timer))
        return 0;
    coir_count(&worker->counters.timers_cancelled);
    return coir_cancel_deliver(fiber, rc);
}

static int sleep_until(const char *function, int64_t when)
{
    struct coir_fiber *fiber = coir_fiber_of_caller(function);
    struct coir_timer *timer;
    int rc = coir_cancel_pending(fiber);

    if (rc < 0)
        return rc;
    timer = coir_timer_arm(&coir_current_worker()->timers, when, fiber);
    return timer ? wait_for_timer(fiber, timer) : -ENOMEM;
}

int coir_sleep(coir_duration duration)
{
    int64_t when;

    if (duration <= 0)
        return yield("coir_sleep");
    if (__builtin_add_overflow(coir_sys_now(), duration, &when))
        when = COIR_FOREVER;
    return sleep_until("coir_sleep", when);
}

int coir_sleep_until(int64_t when)
{
    if (when <= coir_sys_now())
        return yield("coir_sleep_until");
    return sleep_until("coir_sleep_until", when);
}
