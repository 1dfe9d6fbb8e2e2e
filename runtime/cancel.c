/*
 * cancel.c - see cancel.h; and the timeout and shield scopes.
 */
#include "cancel.h"

#include <errno.h>

#include "group.h"
#include "sys.h"
#include "worker.h"

_Static_assert(sizeof(struct coir_timeout_state) <= sizeof(coir_timeout), "fits");
_Static_assert(sizeof(struct coir_timeout_state) <= sizeof(coir_shield), "fits");

_Alignas(128) COIR_ATOMIC(int64_t) coir_cancel_epoch = 1;

/* One walk's findings. */
struct walk {
    bool through; /* in: shields, too */
    bool cancelled;
    struct coir_task *task;   /* whose reason that is, the first that was found; NULL: the run's */
    struct coir_scope *scope; /* and which; NULL: its flag, or its group's */
    struct coir_timeout_state *late; /* the running task's outermost late scope */
    int64_t now;                     /* read at most once */
};

static bool is_late(struct coir_timeout_state *timeout, struct walk *walk)
{
    if (coir_load_relaxed(&timeout->late))
        return true;
    if (timeout->deadline == COIR_FOREVER)
        return false;
    if (!walk->now)
        walk->now = coir_sys_now();
    if (walk->now < timeout->deadline)
        return false;
    coir_store_relaxed(&timeout->late, 1);
    return true;
}

static void find_cancelled(struct walk *walk, struct coir_task *task, struct coir_scope *scope)
{
    if (walk->cancelled)
        return;
    walk->cancelled = true;
    walk->task = task;
    walk->scope = scope;
}

/* Look at the scopes of one task, from `scope` outwards.  False at a shield that
   holds. */
static bool look_at_scopes(struct coir_scope *scope, bool own, struct walk *walk)
{
    for (; scope; scope = scope->outer) {
        switch ((enum coir_scope_kind)scope->kind) {
        case COIR_SCOPE_SHIELD:
            if (!walk->through && !is_late((struct coir_timeout_state *)scope, walk))
                return false;
            break;
        case COIR_SCOPE_GROUP:
            if (coir_group_is_cancelled((struct coir_group_state *)scope))
                find_cancelled(walk, scope->task, scope);
            break;
        case COIR_SCOPE_TIMEOUT:
            if (!is_late((struct coir_timeout_state *)scope, walk))
                break;
            if (own)
                walk->late = (struct coir_timeout_state *)scope;
            else
                find_cancelled(walk, scope->task, scope);
            break;
        }
    }
    return true;
}

static bool is_asked(struct coir_task *task)
{
    uint64_t shared = coir_load_seq_cst(&task->shared);

    return (shared & COIR_TASK_CANCELLED) ||
           ((shared & COIR_TASK_MEMBER) && coir_group_is_cancelled(task->group));
}

/* The task that waits for this one, and the scopes that count: awaiting it, or
   waiting for its group.  NULL if there is none, yet. */
static struct coir_task *waiter_of(struct coir_task *task, struct coir_scope **ret_scope)
{
    uint64_t shared = coir_load_seq_cst(&task->shared);
    struct coir_fiber *joiner = (struct coir_fiber *)(shared & COIR_TASK_JOINER);

    if (task->next) {
        *ret_scope = task->next->scopes;
        return task->next;
    }
    if (shared & COIR_TASK_MEMBER) {
        if (!coir_load_acquire(&task->group->waited_for))
            return NULL;
        *ret_scope = task->group->scope.outer;
        return task->group->scope.task;
    }
    if (!joiner || (shared & (COIR_TASK_WATCHED | COIR_TASK_FOREIGN)))
        return NULL;
    *ret_scope = joiner->task->scopes;
    return joiner->task;
}

/* So many tasks are looked at: all that can be on one fiber, and a few more.  Those
   further out pass a cancel on by themselves, as they are woken. */
#define LOOK_AT_MOST 64

_Static_assert(LOOK_AT_MOST >= COIR_INLINE_MAX, "one fiber's tasks are all looked at");

/* Walk outwards, beginning with a scope of `task`. */
static void walk_task(struct coir_fiber *fiber, struct coir_task *task, struct coir_scope *scope,
                      struct walk *walk)
{
    for (int looked = 0; look_at_scopes(scope, task == fiber->task, walk); looked++) {
        if (is_asked(task))
            find_cancelled(walk, task, NULL);
        task = looked < LOOK_AT_MOST ? waiter_of(task, &scope) : NULL;
        if (!task) {
            if (coir_load_seq_cst(fiber->stopping))
                find_cancelled(walk, NULL, NULL);
            return;
        }
    }
}

static bool has_no_reason(struct coir_task *task, struct coir_scope *scope)
{
    for (; scope; scope = scope->outer)
        if (scope->kind != COIR_SCOPE_GROUP ||
            coir_group_is_cancelled((struct coir_group_state *)scope))
            return false;
    return !is_asked(task);
}

/* What a walk would say of nearly all: nothing but groups, and none is cancelled.  Then
   nobody has a reason, nor a deadline, and that is noted. */
static bool find_calm(struct coir_fiber *fiber)
{
    int64_t epoch = coir_calm_before_walk(&coir_cancel_epoch); /* [P] */
    struct coir_task *task = fiber->task;
    struct coir_scope *scope = task ? task->scopes : NULL;

    if (fiber->calm == epoch)
        return true;
    for (int looked = 0; task && has_no_reason(task, scope); looked++)
        task = looked < LOOK_AT_MOST ? waiter_of(task, &scope) : NULL;
    if (task || coir_load_seq_cst(fiber->stopping))
        return false;
    fiber->calm = epoch;
    return true;
}

bool coir_cancel_attached_slow(struct coir_fiber *fiber)
{
    bool calm = find_calm(fiber);

    if (!calm)
        coir_calm_ends(&coir_cancel_epoch); /* [P] */
    return calm;
}

static void walk_from(struct coir_fiber *fiber, struct coir_scope *scope, struct walk *walk)
{
    walk_task(fiber, fiber->task, scope, walk);
}

static int reason_of(const struct walk *walk)
{
    return walk->cancelled ? -ECANCELED : walk->late ? -ETIMEDOUT : 0;
}

/* What a walk has found, to be told. */

static void blame_timeout(const struct coir_timeout_state *timeout, struct coir_blame *blame)
{
    blame->kind = COIR_CAUSE_DEADLINE;
    blame->task = blame->at = timeout->scope.task;
    blame->site = timeout->site;
    blame->when = timeout->deadline;
    blame->origin = timeout;
}

static void blame_cancel(const struct walk *walk, struct coir_blame *blame)
{
    struct coir_group_state *group = (struct coir_group_state *)walk->scope;

    blame->at = walk->task;
    if (!walk->task)
        blame->kind = COIR_CAUSE_END;
    else if (group)
        blame->noted = &group->autopsy;
    else if (coir_load_relaxed(&walk->task->shared) & COIR_TASK_CANCELLED)
        blame->noted = &walk->task->autopsy;
    else
        blame->noted = &walk->task->group->autopsy;
}

static void blame(const struct walk *walk, struct coir_blame *ret_blame)
{
    *ret_blame = (struct coir_blame){ .kind = COIR_CAUSE_MEMORY };
    if (walk->cancelled && walk->scope && walk->scope->kind == COIR_SCOPE_TIMEOUT)
        blame_timeout((struct coir_timeout_state *)walk->scope, ret_blame);
    else if (walk->cancelled)
        blame_cancel(walk, ret_blame);
    else if (walk->late)
        blame_timeout(walk->late, ret_blame);
}

void coir_cancel_why(struct coir_fiber *fiber, struct coir_task *task, struct coir_scope *scope,
                     struct coir_blame *ret_blame)
{
    struct walk walk = { 0 };

    walk_task(fiber, task, scope, &walk);
    blame(&walk, ret_blame);
}

/* wait: of coir_park(); NULL: a call is refused.  frame: where that was found. */
static __attribute__((noinline)) void note_reason(struct coir_fiber *fiber,
                                                  const struct walk *walk, const char *wait,
                                                  const void *object, const void *frame)
{
    struct coir_blame why;

    if (!coir_autopsy_is_wanted(coir_task_runtime(fiber->task)))
        return;
    blame(walk, &why);
    why.frame = frame;
    if (wait)
        coir_autopsy_ends_wait(fiber, wait, object, &why);
    else
        coir_autopsy_refuses(fiber, &why);
}

/* Tell the groups, from `scope` outwards, that a call of their owner's has been refused
   for a reason from outside of them. */
static void tell_groups(struct coir_fiber *fiber, struct coir_scope *scope)
{
    for (; scope; scope = scope->outer) {
        if (scope->kind == COIR_SCOPE_SHIELD &&
            !coir_load_relaxed(&((struct coir_timeout_state *)scope)->late))
            return;
        if (scope->kind == COIR_SCOPE_GROUP) {
            struct walk outside = { 0 };
            walk_from(fiber, scope->outer, &outside);
            scope->told |= reason_of(&outside) != 0;
        }
    }
}

static void pass_on_to(struct coir_group_state *group, const struct walk *walk)
{
    struct coir_blame why;

    blame(walk, &why);
    coir_group_cancel_for(group, &why);
}

/* A task below that runs a member of its group inline, in coir_group_wait(),
   cannot look by itself whether it should stop, and tell the other members. */
static void pass_on(struct coir_fiber *fiber)
{
    struct walk all = { .through = true };

    walk_from(fiber, fiber->task->scopes, &all);
    if (!reason_of(&all))
        return; /* nor has anybody below */
    for (struct coir_task *task = fiber->task->next; task; task = task->next) {
        struct coir_group_state *group = (struct coir_group_state *)task->scopes;
        struct walk walk = { 0 };

        if (!group || group->scope.kind != COIR_SCOPE_GROUP ||
            !coir_load_relaxed(&group->waited_for) || coir_group_is_cancelled(group))
            continue;
        walk_task(fiber, task, group->scope.outer, &walk);
        if (reason_of(&walk))
            pass_on_to(group, &walk);
    }
}

static bool is_spent(struct coir_fiber *fiber)
{
    struct coir_worker *worker = coir_load_relaxed(&fiber->worker);

    return coir_autopsies_spent(&worker->runtime->autopsies, worker->tick_time);
}

/* refused: the frame of a call that is, for the first time for all that is known. */
static __attribute__((noinline)) int pending_slow(struct coir_fiber *fiber, const void *refused)
{
    struct walk walk = { 0 };
    int reason;

    if (!fiber->task)
        return -ECHILD; /* see park.c */
    if (fiber->depth)
        pass_on(fiber);
    walk_from(fiber, fiber->task->scopes, &walk);
    reason = reason_of(&walk);
    if (!reason)
        return 0;
    if (refused && !is_spent(fiber) &&
        (reason == -ETIMEDOUT ? !walk.late->scope.told
                              : !coir_load_relaxed(&fiber->task->autopsy)))
        note_reason(fiber, &walk, NULL, NULL, refused);
    if (reason == -ETIMEDOUT)
        walk.late->scope.told = 1;
    tell_groups(fiber, fiber->task->scopes);
    return reason;
}

int coir_cancel_pending_slow(struct coir_fiber *fiber)
{
    return find_calm(fiber) ? 0 : pending_slow(fiber, __builtin_frame_address(0));
}

int coir_cancel_deliver(struct coir_fiber *fiber, int reason)
{
    int pending = pending_slow(fiber, NULL);

    return pending ? pending : reason;
}

int coir_cancel_pending_outside(struct coir_fiber *fiber, struct coir_scope *scope, bool tell)
{
    struct walk walk = { 0 };
    int reason;

    walk_task(fiber, scope->task, scope->outer, &walk);
    reason = reason_of(&walk);
    if (tell && reason == -ETIMEDOUT)
        walk.late->scope.told = 1;
    if (tell && reason)
        tell_groups(fiber, scope->outer);
    return reason;
}

/* Make the fiber findable for those who cancel its tasks. */
static void publish(struct coir_fiber *fiber)
{
    struct coir_task *task = fiber->task;

    if (coir_load_relaxed(&task->fiber))
        return; /* then those below it are published too */
    for (; task && !coir_load_relaxed(&task->fiber); task = task->next) {
        coir_store_relaxed(&task->fiber, fiber);
        if (coir_load_relaxed(&task->shared) & COIR_TASK_MEMBER)
            coir_group_enter(task->group, task);
    }
    coir_fence_seq_cst(); /* [C] */
}

/* Arm the deadlines that could end the wait.  False when memory is out. */
static bool arm(struct coir_fiber *fiber)
{
    struct coir_worker *worker = coir_current_worker();

    for (struct coir_task *task = fiber->task; task; task = task->next) {
        for (struct coir_scope *scope = task->scopes; scope; scope = scope->outer) {
            struct coir_timeout_state *timeout = (struct coir_timeout_state *)scope;
            if (scope->kind == COIR_SCOPE_GROUP)
                continue;
            if (!timeout->timer && timeout->deadline != COIR_FOREVER &&
                !(timeout->timer = coir_timer_arm(&worker->timers, timeout->deadline, fiber)))
                return false;
            if (scope->kind == COIR_SCOPE_SHIELD && !coir_load_relaxed(&timeout->late))
                break; /* but a task below may wait for a group: see pass_on() */
        }
    }
    return true;
}

int coir_cancel_prepare(struct coir_fiber *fiber, const char *wait, const void *object)
{
    struct walk walk = { 0 };
    int reason;

    publish(fiber);
    if (find_calm(fiber))
        return 0;
    if (fiber->depth)
        pass_on(fiber);
    walk_from(fiber, fiber->task->scopes, &walk);
    reason = reason_of(&walk);
    if (!reason)
        return arm(fiber) ? 0 : -ENOMEM;
    if (!is_spent(fiber))
        note_reason(fiber, &walk, wait, object, __builtin_frame_address(0));
    return reason;
}

void coir_cancel_task(struct coir_task *task, const struct coir_blame *blame)
{
    struct coir_fiber *fiber;

    if (!(coir_load_relaxed(&task->shared) & (COIR_TASK_CANCELLED | COIR_TASK_DONE)))
        coir_autopsy_cancels(task, blame);
    if (coir_or_seq_cst(&task->shared, COIR_TASK_CANCELLED) & COIR_TASK_DONE)
        return;
    coir_calm_ends(&coir_cancel_epoch); /* [P] */
    coir_fence_after_rmw(); /* [C] */
    fiber = coir_load_relaxed(&task->fiber);
    if (fiber)
        coir_unpark(fiber);
}

/* Scopes. */

void coir_scope_open(struct coir_scope *scope, enum coir_scope_kind kind, const char *function)
{
    struct coir_fiber *fiber = coir_fiber_of_caller(function);
    struct coir_task *task = fiber->task;

    if (coir_is_forked())
        return;
    if (task->scopes == scope)
        coir_misuse(function, "open already, or left open by a function that has returned");
    scope->kind = kind;
    scope->told = 0;
    scope->task = task;
    scope->outer = task->scopes;
    task->scopes = scope;
    if (kind != COIR_SCOPE_GROUP)
        fiber->calm = COIR_NEVER_CALM;
}

_Noreturn void coir_scope_left(const struct coir_task *task)
{
    if (coir_is_forked())
        coir_misuse("fork", "the task '%s' has returned in the child, which must end by "
                            "_exit() or exec", coir_task_name(task));
    coir_misuse_left_open("coir");
}

struct coir_fiber *coir_scope_check(struct coir_scope *scope, enum coir_scope_kind kind,
                                    const char *function)
{
    struct coir_fiber *fiber = coir_fiber_of_caller(function);

    if (scope->task != fiber->task || scope->kind != (uint32_t)kind)
        coir_misuse(function, "not opened by this task");
    if (fiber->task->scopes != scope)
        coir_misuse(function, "not the innermost timeout, shield or group");
    return fiber;
}

void coir_scope_close(struct coir_scope *scope)
{
    scope->task->scopes = scope->outer;
    scope->task = NULL;
}

static void drop_timer(struct coir_timeout_state *timeout)
{
    struct coir_worker *worker = coir_current_worker();

    if (!timeout->timer)
        return;
    if (!coir_timer_release(&worker->timers, timeout->timer))
        coir_count(&worker->counters.timers_cancelled);
    timeout->timer = NULL;
}

static int64_t deadline_after(coir_duration duration)
{
    int64_t when, now = coir_sys_now();

    if (duration <= 0)
        return now; /* has passed */
    return __builtin_add_overflow(now, duration, &when) ? COIR_FOREVER : when;
}

static void begin(void *memory, enum coir_scope_kind kind, int64_t when, const char *function,
                  const void *site)
{
    struct coir_timeout_state *state = memory;

    state->deadline = when;
    state->site = site;
    state->timer = NULL;
    coir_store_relaxed(&state->late, 0);
    coir_scope_open(&state->scope, kind, function);
}

void coir_timeout_begin_at(coir_timeout *timeout, int64_t when)
{
    begin(timeout, COIR_SCOPE_TIMEOUT, when, "coir_timeout_begin_at",
          __builtin_return_address(0));
}

void coir_timeout_begin(coir_timeout *timeout, coir_duration duration)
{
    begin(timeout, COIR_SCOPE_TIMEOUT, deadline_after(duration), "coir_timeout_begin",
          __builtin_return_address(0));
}

void coir_timeout_begin_from(coir_timeout *timeout, coir_duration duration, const void *site)
{
    begin(timeout, COIR_SCOPE_TIMEOUT, deadline_after(duration), "coir_timeout_begin", site);
}

void coir_timeout_reschedule(coir_timeout *timeout, int64_t when)
{
    struct coir_timeout_state *state = (struct coir_timeout_state *)timeout;
    struct coir_fiber *fiber = coir_fiber_of_caller("coir_timeout_reschedule");
    struct walk walk = { 0 };

    if (coir_is_forked())
        return;
    if (state->scope.task != fiber->task || state->scope.kind != COIR_SCOPE_TIMEOUT)
        coir_misuse("coir_timeout_reschedule", "not opened by this task");
    if (is_late(state, &walk))
        return;
    drop_timer(state);
    state->deadline = when;
}

int coir_timeout_end(coir_timeout *timeout)
{
    struct coir_timeout_state *state = (struct coir_timeout_state *)timeout;

    if (coir_is_forked())
        return -ECHILD;
    coir_scope_check(&state->scope, COIR_SCOPE_TIMEOUT, "coir_timeout_end");
    drop_timer(state);
    coir_scope_close(&state->scope);
    return (int)state->scope.told;
}

int64_t coir_deadline(void)
{
    struct coir_fiber *fiber = coir_fiber_of_caller("coir_deadline");
    int64_t least = COIR_FOREVER;
    struct walk walk = { 0 };

    if (coir_is_forked())
        return least;
    for (struct coir_scope *scope = fiber->task->scopes; scope; scope = scope->outer) {
        if (scope->kind == COIR_SCOPE_SHIELD &&
            !is_late((struct coir_timeout_state *)scope, &walk))
            break;
        if (scope->kind == COIR_SCOPE_TIMEOUT &&
            ((struct coir_timeout_state *)scope)->deadline < least)
            least = ((struct coir_timeout_state *)scope)->deadline;
    }
    return least;
}

void coir_shield_begin(coir_shield *shield)
{
    begin(shield, COIR_SCOPE_SHIELD, COIR_FOREVER, "coir_shield_begin", NULL);
}

void coir_shield_begin_for(coir_shield *shield, coir_duration duration)
{
    begin(shield, COIR_SCOPE_SHIELD, deadline_after(duration), "coir_shield_begin_for", NULL);
}

void coir_shield_end(coir_shield *shield)
{
    struct coir_timeout_state *state = (struct coir_timeout_state *)shield;

    if (coir_is_forked())
        return;
    coir_scope_check(&state->scope, COIR_SCOPE_SHIELD, "coir_shield_end");
    drop_timer(state);
    coir_scope_close(&state->scope);
}

int coir_check(void)
{
    struct coir_thread_call *call = coir_current_call();
    struct coir_worker *worker = coir_current_worker();
    struct coir_fiber *fiber;

    if (!worker && call)
        return coir_load_relaxed(&call->reason);
    fiber = coir_fiber_of_caller("coir_check");
    if (coir_is_forked())
        return -ECHILD;

    if (--worker->ticks < 0)
        coir_worker_tick(worker);
    return coir_cancel_pending(fiber);
}
