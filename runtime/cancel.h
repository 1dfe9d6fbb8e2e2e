/*
 * cancel.h - whether a task should stop, and why.
 *
 * A task's reasons to stop are levels, not events: they stay until the scope
 * that they belong to ends.  Nobody stores "cancelled" into a task's future;
 * every call that suspends asks, before it begins and whenever it is woken,
 * walking from the innermost scope of the running task outwards:
 *
 *     running task C:  scopes, innermost first; its CANCELLED flag; its group
 *       awaited by B:  B's scopes, flag, group
 *         who waits for a group of which B is a member:  A's scopes, ...
 *           the runtime: is it stopping?
 *
 * A shield ends the walk.  A passed deadline of C's own means -ETIMEDOUT;
 * everything else, a deadline of A's included, means -ECANCELED, for waiting for
 * a task passes on the wish that it should end.  -ECANCELED wins.
 *
 * So a task pulls what is asked of those who wait for it, whether it runs on
 * their stack or elsewhere.  Those it looks at cannot go on before it has ended,
 * so their scopes do not change meanwhile.  Whoever cancels A sets A's flag and
 * unparks A's fiber, and never looks at what runs on it; A, when it finds itself
 * cancelled in a wait for others, wakes them in the same way.
 *
 *
 * Nearly all who ask are calm: a look at one number says that nothing has been asked
 * of anybody since their last walk.  See calm.h.
 *
 *
 * Finding the fiber.  A task's `fiber` is stored before it first parks in a
 * wait that may be cancelled, together with a full barrier:
 *
 *     first wait                            coir_cancel
 *     fiber = this one                      shared |= CANCELLED
 *     full barrier                [C]       full barrier
 *     look at CANCELLED                     look at fiber; unpark it
 *
 * One of the two sees the other.  Later waits need nothing: the canceller finds
 * the fiber, and unpark and park settle it (park.h).  A member of a group enters
 * itself into the group's list at the same moment, so that the group can be
 * cancelled; see group.h.
 *
 * Checked by  tests/api/test_cancel.c and its like, with every task inlined and
 * with none (COIR_DEBUG=noinline): the same results.
 */
#ifndef COIR_RUNTIME_CANCEL_H
#define COIR_RUNTIME_CANCEL_H

#include "coir/time.h"
#include "autopsy.h"
#include "calm.h"
#include "park.h"
#include "task.h"

struct coir_timer;

enum coir_scope_kind { COIR_SCOPE_TIMEOUT, COIR_SCOPE_SHIELD, COIR_SCOPE_GROUP };

/* What timeouts, shields and groups have in common; lives in the user's frame. */
struct coir_scope {
    struct coir_scope *outer;
    struct coir_task *task;
    uint32_t kind;
    uint32_t told; /* a call inside was refused for this scope (a timeout), or
                      for a reason from outside of it (a group) */
};

/* A timeout; or a shield, which gives way at its deadline. */
struct coir_timeout_state {
    struct coir_scope scope;
    int64_t deadline;
    struct coir_timer *timer; /* once a call inside has waited */
    COIR_ATOMIC(uint32_t) late; /* the deadline has passed: final */
    const void *site;           /* where it was begun */
};

/* Nothing in a forked child. */
void coir_scope_open(struct coir_scope *scope, enum coir_scope_kind kind, const char *function);

/* A function has returned and left a scope open: abort; or a task has returned in a
   forked child, and that is the end of it, too. */
_Noreturn void coir_scope_left(const struct coir_task *task);

/* Aborts unless `scope` is the caller's innermost. */
struct coir_fiber *coir_scope_check(struct coir_scope *scope, enum coir_scope_kind kind,
                                    const char *function);
void coir_scope_close(struct coir_scope *scope);

/* Of the process: see calm.h. */
extern COIR_ATOMIC(int64_t) coir_cancel_epoch;

/* Whether it is certain, at little cost, that there is no reason, and no deadline. */
static inline bool coir_cancel_is_calm(const struct coir_fiber *fiber)
{
    return coir_calm_holds(fiber->calm, &coir_cancel_epoch);
}

int coir_cancel_pending_slow(struct coir_fiber *fiber);

/*
 * The reason to refuse a call: 0, -ECANCELED or -ETIMEDOUT.  The scope that is
 * answerable is told: use it when the reason is what the caller will return.  In a
 * forked child it is -ECHILD.
 */
static inline int coir_cancel_pending(struct coir_fiber *fiber)
{
    return coir_cancel_is_calm(fiber) ? 0 : coir_cancel_pending_slow(fiber);
}

bool coir_cancel_attached_slow(struct coir_fiber *fiber);

/* The running task has made itself known as one that waits for a task or for a group
   (P2 in calm.h).  True: it is calm, and brings them nothing. */
static inline bool coir_cancel_attached(struct coir_fiber *fiber)
{
    return coir_cancel_is_calm(fiber) || coir_cancel_attached_slow(fiber);
}

/*
 * What a wait does before it parks: makes sure that whoever cancels finds the
 * fiber and that deadlines wake it, and returns the reason to stop waiting, if
 * there is one already, as above but without telling any scope; -ENOMEM if a
 * deadline could not be armed.  The rest as for coir_park(): what is noted of the
 * wait if there is a reason.
 */
int coir_cancel_prepare(struct coir_fiber *fiber, const char *wait, const void *object);

/* Whether it is certain, at little cost, that it would do nothing and return 0. */
static inline bool coir_cancel_is_prepared(const struct coir_fiber *fiber)
{
    return coir_load_relaxed(&fiber->task->fiber) == fiber && coir_cancel_is_calm(fiber);
}

/* What a wait returns that ended for the reason found while preparing it: what is
   pending now, and told to the scope that is answerable. */
int coir_cancel_deliver(struct coir_fiber *fiber, int reason);

/* The reason from outside of an open scope, for the task that opened it: the
   caller, or one that waits for the caller.  With tell, the scope that is
   answerable is told. */
int coir_cancel_pending_outside(struct coir_fiber *fiber, struct coir_scope *scope, bool tell);

/* What is to blame for the running task being told to stop, in a scope of its own or
   of one that waits for it; if there is nothing, it is that memory is out. */
void coir_cancel_why(struct coir_fiber *fiber, struct coir_task *task, struct coir_scope *scope,
                     struct coir_blame *ret_blame);

/* Set the flag and wake the task's fiber. */
void coir_cancel_task(struct coir_task *task, const struct coir_blame *blame);

/* coir_timeout_begin() for a caller of the program's, who is at `site`. */
void coir_timeout_begin_from(coir_timeout *timeout, coir_duration duration, const void *site);

#endif
