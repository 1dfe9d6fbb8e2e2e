/*
 * group.h - the group, as the rest of the runtime sees it.
 *
 * The count.  It starts at COIR_GROUP_OPEN.  The owner counts the members it
 * creates in a plain field; others add to the count.  Each member that ends
 * subtracts 1, save those that the owner ran inline in coir_group_wait().  The
 * owner, waiting, exchanges COIR_GROUP_OPEN for what it created and did not run
 * itself: from then on zero means that all have ended, and whoever brings the
 * count to zero unparks the owner, touching nothing of the group after its
 * subtraction.
 *
 * The limit.  Whoever creates a member of a group that is full waits; a member that
 * ends leaves its place to the one who has waited longest.  Gathers have none.
 *
 * The list.  A member enters itself into the group's list when it first waits,
 * under the lock, and leaves it when it ends.  Cancelling sets the CANCELLED
 * flag and then unparks those in the list: one that enters later sees the flag.
 */
#ifndef COIR_RUNTIME_GROUP_H
#define COIR_RUNTIME_GROUP_H

#include <pthread.h>

#include "cancel.h"
#include "waiters.h"

#define COIR_GROUP_OPEN ((int64_t)1 << 48)

#define COIR_GROUP_CANCELLED 1u
#define COIR_GROUP_REFUSED 2u /* a member ended with -ECANCELED, asked to */

struct coir_group_state {
    struct coir_scope scope;
    struct coir_fiber *owner;
    COIR_ATOMIC(int64_t) count;
    COIR_ATOMIC(uint32_t) flags;
    COIR_ATOMIC(int) error; /* the first in time */
    pthread_mutex_t lock;
    struct coir_task *members; /* those that have waited, under the lock */
    int64_t created;           /* by the owner */
    int64_t inlined;
    struct coir_worker *queue; /* where the owner's newest members were queued, */
    uint64_t first;            /* from this position on */
    COIR_ATOMIC(uint32_t) waited_for; /* the owner is in coir_group_wait() */
    bool is_gather;  /* its members start in their turn, but for the first */
    bool in_order;   /* which has started */
    bool keep_going; /* failures cancel nobody */
    bool silent;     /* and are nobody's result */
    bool is_race;    /* the first success cancels the others */
    COIR_ATOMIC(coir_call *) winner; /* of a race */
    uint32_t limit;  /* 0: none, or how many members there may be at a time; */
    uint32_t alive;  /* how many there are, */
    struct coir_waiters full; /* and who waits to create another, */
    struct coir_lock places;  /* under this lock */
    COIR_ATOMIC(struct coir_autopsy *) autopsy; /* who cancelled it, if that was noted */
};

static inline bool coir_group_is_cancelled(const struct coir_group_state *group)
{
    return coir_load_acquire(&group->flags) & COIR_GROUP_CANCELLED;
}

/* coir_group_cancel(), and who is to blame. */
void coir_group_cancel_for(struct coir_group_state *group, const struct coir_blame *blame);

/* The member waits for the first time. */
void coir_group_enter(struct coir_group_state *group, struct coir_task *member);

/* A member has ended on `worker`; its descriptor is released.  inlined: by the
   owner, in coir_group_wait(). */
void coir_group_member_done(struct coir_worker *worker, struct coir_task *member, int value,
                            bool inlined);

#endif
