/*
 * to_thread.c - a call of the program's on a thread of the blocking pool.
 */
#include "coir/blocking.h"

#include <errno.h>

#include "blocking.h"
#include "cancel.h"
#include "current.h"
#include "park.h"
#include "worker.h"

/* Lives in the frame of the task that waits until `done`. */
struct call {
    struct coir_job job; /* first */
    struct coir_thread_call told;
    coir_fn *fn;
    void *arg;
    int value;
    struct coir_fiber *fiber;
    COIR_ATOMIC(uint32_t) done;
};

/* On the thread. */
static void run(struct coir_job *job)
{
    struct call *call = (struct call *)job;
    struct coir_fiber *fiber = call->fiber;

    coir_set_current_call(&call->told);
    call->value = call->fn(call->arg);
    if (coir_is_forked())
        coir_misuse("fork", "a call of coir_to_thread() has returned in the child, which must "
                            "end by _exit() or exec");
    coir_set_current_call(NULL);
    coir_store_release(&call->done, 1); /* the call may be gone after this */
    coir_unpark(fiber);
}

/* What the task was told to do while it waited: end the call, or take it back.
   True: it has not been begun. */
static bool stop(struct call *call, int reason)
{
    coir_store_relaxed(&call->told.reason, reason);
    return coir_blocking_withdraw(COIR_BLOCKING_CALLS, &call->job);
}

int coir_to_thread(coir_fn *fn, void *arg)
{
    struct coir_fiber *fiber = coir_fiber_of_caller("coir_to_thread");
    struct call call = { .job = { .run = run }, .fn = fn, .arg = arg, .fiber = fiber };
    int reason = 0, rc = coir_cancel_pending(fiber);

    if (rc < 0)
        return rc;
    call.told.runtime = coir_current_worker()->runtime;
    rc = coir_blocking_post(COIR_BLOCKING_CALLS, &call.job);
    if (rc < 0)
        return rc;
    while (!coir_load_acquire(&call.done)) {
        if (!reason &&
            (reason = coir_cancel_prepare(fiber, "thread", (void *)(uintptr_t)fn)) != 0) {
            if (stop(&call, reason))
                return coir_cancel_deliver(fiber, reason);
        } else {
            coir_park(fiber, "thread", (void *)(uintptr_t)fn);
        }
    }
    return call.value == -ECANCELED && reason ? coir_cancel_deliver(fiber, reason) : call.value;
}
