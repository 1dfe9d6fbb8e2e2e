/*
 * lend.h - room on a waiting fiber's stack for what it waits for.
 *
 * A task that cannot be given a stack waits until there is one.  But those that
 * have all the stacks may be waiting for it; so whoever waits for a task that has
 * not started offers it the room on its own stack, as it would have run it had it
 * found it in its own queue:
 *
 *     waiter                                  worker without a stack
 *     lend = what it waits for | 1
 *     let itself be found: joiner, waited_for
 *     park                                    has taken the task from a queue
 *                                             lend: what | 1 -> the task
 *                                             unpark
 *     lend is a task: lend = 0, run it
 *
 * What a fiber waits for cannot end without the task that is being lent to, which
 * nobody else can start: so the waiter is still there.  It waits for one thing at a
 * time, and has taken its offer back when it runs something.
 *
 * Memory order
 *
 *   [R] the lender's compare-and-swap (release)  ->  the waiter's load (acquire): it
 *       sees the task as it was queued.
 */
#ifndef COIR_RUNTIME_LEND_H
#define COIR_RUNTIME_LEND_H

#include "task.h"

#define COIR_LEND_OFFER ((uintptr_t)1)

/* The running fiber waits for `what`, a task or a group, and has room for one more. */
static inline void coir_lend_offer(struct coir_fiber *fiber, const void *what)
{
    coir_store_release(&fiber->lend, (uintptr_t)what | COIR_LEND_OFFER);
}

static inline void coir_lend_withdraw(struct coir_fiber *fiber)
{
    coir_store_relaxed(&fiber->lend, 0);
}

/* The task that has been lent to: it is the running fiber's to run.  The offer is no
   longer there then.  NULL if there is none. */
static inline struct coir_task *coir_lend_take(struct coir_fiber *fiber)
{
    uintptr_t lend = coir_load_acquire(&fiber->lend); /* [R] */

    if (lend == 0 || (lend & COIR_LEND_OFFER))
        return NULL;
    coir_lend_withdraw(fiber);
    return (struct coir_task *)lend;
}

/* Put a task that is in no queue on a fiber that waits for `what`.  False if that does
   not wait for it, or has no room.  The fiber is then to be unparked. */
static inline bool coir_lend_to(struct coir_fiber *fiber, const void *what,
                                struct coir_task *task)
{
    uintptr_t offer = (uintptr_t)what | COIR_LEND_OFFER;

    return coir_cas_acq_rel(&fiber->lend, &offer, (uintptr_t)task); /* [R] */
}

#endif
