/*
 * group.c - groups, and gather, which is a group with its calls in an array.
 */
#include "group.h"

#include <errno.h>

#include "await.h"
#include "deadlock.h"
#include "lend.h"
#include "worker.h"

_Static_assert(sizeof(struct coir_group_state) <= sizeof(coir_group), "fits");

static struct coir_group_state *state_of(coir_group *group)
{
    return (struct coir_group_state *)group;
}

static void open_group(struct coir_group_state *group, const char *function)
{
    *group = (struct coir_group_state){ 0 };
    if (coir_is_forked())
        return;
    coir_store_relaxed(&group->count, COIR_GROUP_OPEN);
    pthread_mutex_init(&group->lock, NULL);
    coir_scope_open(&group->scope, COIR_SCOPE_GROUP, function);
    group->owner = coir_current_worker()->fiber;
}

void coir_group_init(coir_group *group)
{
    open_group(state_of(group), "coir_group_init");
}

void coir_group_init_with(coir_group *group, const coir_group_options *options)
{
    open_group(state_of(group), "coir_group_init_with");
    state_of(group)->keep_going = options->keep_going;
    state_of(group)->limit = options->limit;
}

/* The limit. */

/* A place for one more member.  0, or the creator's reason not to wait for it. */
static int take_place(struct coir_group_state *group, struct coir_fiber *fiber)
{
    struct coir_waiter waiter;

    if (!group->limit)
        return 0;
    coir_lock(&group->places);
    if (group->alive < group->limit) {
        group->alive++;
        coir_unlock(&group->places);
        return 0;
    }
    if (!fiber) {
        coir_unlock(&group->places);
        return -EAGAIN;
    }
    coir_waiter_init(&waiter, fiber);
    coir_waiters_add(&group->full, &waiter);
    coir_unlock(&group->places);
    return coir_waiter_wait(&group->places, &group->full, &waiter, "group limit", group);
}

static void leave_place(struct coir_group_state *group)
{
    struct coir_waiter *next;

    if (!group->limit)
        return;
    coir_lock(&group->places);
    next = coir_waiters_take(&group->full);
    if (!next)
        group->alive--;
    coir_unlock(&group->places);
    coir_waiter_wake(next);
}

/* Members. */

static void join_group(struct coir_task *task, struct coir_group_state *group, coir_call *call)
{
    task->group = group;
    task->call = call;
    task->linked = 0;
}

static int create(const char *function, struct coir_group_state *group,
                  const coir_task_options *options, coir_fn *fn, const void *arg, void *site,
                  coir_call *call)
{
    struct coir_worker *worker = coir_current_worker();
    struct coir_task *task;

    if (!group->scope.task)
        coir_misuse(function, "the group is not open");
    task = coir_task_make(worker, options, fn, arg, site, COIR_TASK_MEMBER);
    if (!task)
        return -ENOMEM;
    join_group(task, group, call);
    if (worker->fiber->task == group->scope.task) {
        if (group->queue != worker) {
            group->queue = worker;
            group->first = coir_load_relaxed(&worker->queue.tail);
        }
        group->created++;
    } else {
        coir_add_acq_rel(&group->count, 1);
    }
    coir_worker_push_new(worker, task);
    return 0;
}

/* The same on a thread of the program's. */
static int create_foreign(const char *function, struct coir_group_state *group,
                          const coir_task_options *options, coir_fn *fn, const void *arg,
                          void *site)
{
    struct coir_worker *worker = coir_load_relaxed(&group->owner->worker);
    struct coir_task *task;

    if (!group->scope.task)
        coir_misuse(function, "the group is not open");
    task = coir_task_make_foreign(worker->runtime, options, fn, arg, site, COIR_TASK_MEMBER);
    if (!task)
        return -ENOMEM;
    join_group(task, group, NULL);
    coir_add_acq_rel(&group->count, 1);
    coir_worker_send(coir_worker_rested(worker), coir_item_of_task(task));
    return 0;
}

static int create_unless_cancelled(const char *function, coir_group *memory,
                                   const coir_task_options *options, coir_fn *fn, const void *arg,
                                   void *site)
{
    struct coir_group_state *group = state_of(memory);
    bool in_task = coir_current_worker() != NULL;
    int rc;

    if (coir_is_forked())
        return -ECHILD;
    if (in_task)
        coir_fiber_of_caller(function);
    rc = take_place(group, in_task ? coir_current_worker()->fiber : NULL);
    if (rc < 0)
        return rc;
    rc = coir_group_is_cancelled(group) ? -ECANCELED
         : in_task ? create(function, group, options, fn, arg, site, NULL)
                   : create_foreign(function, group, options, fn, arg, site);
    if (rc < 0)
        leave_place(group);
    return rc;
}

int coir_group_create_task(coir_group *group, coir_fn *fn, void *arg)
{
    return create_unless_cancelled("coir_group_create_task", group, NULL, fn, arg,
                                   __builtin_return_address(0));
}

int coir_group_create_task_copy(coir_group *group, coir_fn *fn, const void *arg, size_t size)
{
    coir_task_options options = { .arg_size = size };

    return create_unless_cancelled("coir_group_create_task_copy", group, &options, fn, arg,
                                   __builtin_return_address(0));
}

int coir_group_create_task_with(coir_group *group, const coir_task_options *options, coir_fn *fn,
                                void *arg)
{
    return create_unless_cancelled("coir_group_create_task_with", group, options, fn, arg,
                                   __builtin_return_address(0));
}

void coir_group_enter(struct coir_group_state *group, struct coir_task *member)
{
    pthread_mutex_lock(&group->lock);
    member->members_before = NULL;
    member->members_after = group->members;
    if (group->members)
        group->members->members_before = member;
    group->members = member;
    pthread_mutex_unlock(&group->lock);
    member->linked = 1;
}

static void leave(struct coir_group_state *group, struct coir_task *member)
{
    pthread_mutex_lock(&group->lock);
    if (member->members_before)
        member->members_before->members_after = member->members_after;
    else
        group->members = member->members_after;
    if (member->members_after)
        member->members_after->members_before = member->members_before;
    pthread_mutex_unlock(&group->lock);
    member->linked = 0;
}

void coir_group_cancel_for(struct coir_group_state *group, const struct coir_blame *blame)
{
    if (!coir_group_is_cancelled(group))
        coir_autopsy_cancels_group(&group->autopsy, group->scope.task, blame);
    if (coir_or_seq_cst(&group->flags, COIR_GROUP_CANCELLED) & COIR_GROUP_CANCELLED)
        return;
    coir_calm_ends(&coir_cancel_epoch); /* [P] */
    pthread_mutex_lock(&group->lock);
    for (struct coir_task *member = group->members; member; member = member->members_after) {
        struct coir_fiber *fiber = coir_load_relaxed(&member->fiber);
        if (fiber)
            coir_unpark(fiber);
    }
    pthread_mutex_unlock(&group->lock);
    coir_unpark(group->owner);
}

void coir_group_cancel(coir_group *group)
{
    if (!coir_is_forked())
        coir_group_cancel_for(state_of(group), &COIR_BLAME_CALLER("coir_group_cancel"));
}

/* The owner is told to stop. */
static void cancel_with_owner(struct coir_group_state *group, struct coir_fiber *fiber)
{
    struct coir_blame why;

    coir_cancel_why(fiber, group->scope.task, group->scope.outer, &why);
    coir_group_cancel_for(group, &why);
}

static void cancel_after(struct coir_group_state *group, struct coir_task *member,
                         enum coir_cause_kind kind, int value)
{
    coir_group_cancel_for(
        group, &(struct coir_blame){ .kind = kind, .task = member, .error = value });
}

/* A member's value, as far as the group is concerned. */
static void note_value(struct coir_group_state *group, struct coir_fiber *fiber,
                       struct coir_task *member, int value)
{
    coir_call *nobody = NULL;
    int none = 0;

    if (value >= 0) {
        if (group->is_race && coir_cas_acq_rel(&group->winner, &nobody, member->call))
            cancel_after(group, member, COIR_CAUSE_SUCCESS, 0);
        return;
    }
    if (value == -ECANCELED && coir_load_acquire(&group->waited_for) &&
        coir_cancel_pending_outside(fiber, &group->scope, false))
        cancel_with_owner(group, fiber); /* the member knew before the group did */
    if (value == -ECANCELED &&
        (coir_group_is_cancelled(group) || coir_load_relaxed(fiber->stopping))) {
        coir_or_acq_rel(&group->flags, COIR_GROUP_REFUSED);
        return;
    }
    if (group->silent)
        return;
    if (group->is_race)
        coir_store_release(&group->error, value); /* the last in time */
    else
        coir_cas_acq_rel(&group->error, &none, value);
    if (!group->keep_going)
        cancel_after(group, member, COIR_CAUSE_FAILURE, value);
}

void coir_group_member_done(struct coir_worker *worker, struct coir_task *member, int value,
                            bool inlined)
{
    struct coir_group_state *group = member->group;
    struct coir_fiber *owner = group->owner;

    if (member->call)
        member->call->value = value;
    if (member->linked)
        leave(group, member);
    note_value(group, worker->fiber, member, value);
    leave_place(group);
    coir_task_free(&worker->runtime->tasks, &worker->tasks, member);
    if (inlined)
        group->inlined++;
    else if (coir_sub_acq_rel(&group->count, 1) == 1) /* [G] */
        coir_unpark(owner); /* the group may be gone */
}

/* Waiting. */

/* The owner's next member that has not started, taken out of its worker's
   queue: the oldest, so that members start in the order of their creation. */
static struct coir_task *take_own_member(struct coir_worker *worker, struct coir_group_state *group)
{
    struct coir_runqueue *q = &worker->queue;

    if (group->queue != worker)
        return NULL;
    if ((int64_t)(group->first - coir_load_relaxed(&q->head)) < 0)
        group->first = coir_load_relaxed(&q->head);
    if ((int64_t)(coir_load_relaxed(&q->tail) - group->first) < 0)
        group->first = coir_load_relaxed(&q->tail);
    for (; (int64_t)(coir_load_relaxed(&q->tail) - group->first) > 0; group->first++) {
        coir_item item = coir_load_relaxed(&q->slots[group->first & q->mask]);
        struct coir_task *task = coir_item_task(item);

        if (!item || (item & COIR_ITEM_BITS) ||
            !(coir_load_relaxed(&task->shared) & COIR_TASK_MEMBER) || task->group != group)
            continue;
        if (!coir_inline_allowed(worker, task) ||
            (group->in_order && coir_runqueue_oldest(q) != group->first))
            return NULL;
        group->in_order = group->is_gather;
        if (coir_runqueue_take_middle(q, group->first, item)) {
            coir_runqueue_trim(q);
            return task;
        }
    }
    return NULL;
}

/* Let others run if it is their turn: members run inline count as ticks. */
static struct coir_worker *tick(struct coir_worker *worker, struct coir_fiber *fiber)
{
    if (--worker->ticks >= 0 || !coir_worker_turn_is_over(worker))
        return worker;
    coir_reschedule(fiber);
    return coir_current_worker();
}

static void run_own_members(struct coir_group_state *group, struct coir_fiber *fiber)
{
    struct coir_worker *worker = coir_current_worker();
    struct coir_task *task;
    int value;

    while ((task = take_own_member(worker, group)) != NULL) {
        value = coir_inline_run(fiber, task);
        worker = coir_load_relaxed(&fiber->worker);
        coir_group_member_done(worker, task, value, true);
        coir_count_end(&worker->counters.inlined);
        worker = tick(worker, fiber);
    }
}

/* Run the member that found no stack, if there is one; and offer room to the next. */
static bool run_lent_member(struct coir_group_state *group, struct coir_fiber *fiber)
{
    struct coir_task *task = coir_lend_take(fiber);
    struct coir_worker *worker;
    int value;

    if (task) {
        value = coir_inline_run(fiber, task);
        worker = coir_load_relaxed(&fiber->worker);
        coir_group_member_done(worker, task, value, false);
        coir_count_end(&worker->counters.inlined);
    }
    if (coir_inline_has_room(fiber))
        coir_lend_offer(fiber, group);
    return task != NULL;
}

/* Wait for the members that others run. */
static void join(struct coir_group_state *group, struct coir_fiber *fiber)
{
    int64_t others = group->created - group->inlined - COIR_GROUP_OPEN;
    bool asked = false;

    if (coir_add_acq_rel(&group->count, others) + others == 0)
        return;
    while (coir_load_acquire(&group->count) != 0) { /* [G] */
        bool ran = run_lent_member(group, fiber);
        int rc = asked || ran ? 0 : coir_cancel_prepare(fiber, "group", group);

        if (ran)
            continue;
        if (rc == -ENOMEM || (!asked && coir_cancel_pending_outside(fiber, &group->scope, false))) {
            cancel_with_owner(group, fiber);
            asked = true;
        } else {
            coir_park(fiber, "group", group);
        }
    }
    coir_lend_withdraw(fiber);
}

static int outcome(struct coir_group_state *group, struct coir_fiber *fiber)
{
    int error = coir_load_relaxed(&group->error);
    bool refused = group->scope.told || (coir_load_relaxed(&group->flags) & COIR_GROUP_REFUSED);
    int reason = 0;

    if (coir_load_relaxed(&group->winner))
        return 0; /* and no scope is told */
    if ((refused && !error) || error == -ECANCELED)
        reason = coir_cancel_pending_outside(fiber, &group->scope, true);
    return reason ? reason : error;
}

static int wait_group(struct coir_group_state *group, const char *function)
{
    struct coir_fiber *fiber = coir_scope_check(&group->scope, COIR_SCOPE_GROUP, function);
    int rc;

    coir_store_release(&group->waited_for, 1);
    coir_deadlock_awaits(fiber);
    if (!coir_cancel_attached(fiber) && coir_cancel_pending_outside(fiber, &group->scope, false))
        cancel_with_owner(group, fiber);
    run_own_members(group, fiber);
    join(group, fiber);
    rc = outcome(group, fiber);
    coir_autopsy_drop_group(&group->autopsy, coir_task_runtime(group->scope.task));
    coir_scope_close(&group->scope);
    pthread_mutex_destroy(&group->lock);
    return rc;
}

int coir_group_wait(coir_group *group)
{
    return coir_is_forked() ? -ECHILD : wait_group(state_of(group), "coir_group_wait");
}

int coir_group_cancel_wait(coir_group *group)
{
    if (coir_is_forked())
        return -ECHILD;
    coir_scope_check(&state_of(group)->scope, COIR_SCOPE_GROUP, "coir_group_cancel_wait");
    coir_group_cancel_for(state_of(group), &COIR_BLAME_CALLER("coir_group_cancel_wait"));
    return wait_group(state_of(group), "coir_group_cancel_wait");
}

/* Gather. */

/* Make all calls, in a group that has been opened, and wait for it. */
static int run_calls(struct coir_group_state *group, coir_call *calls, size_t n,
                     const char *function, void *site)
{
    size_t made = 0;
    int rc, create_rc = coir_is_forked() ? -ECHILD : 0;

    group->is_gather = true;
    for (; made < n && !create_rc; made += !create_rc)
        create_rc = create(function, group, NULL, calls[made].fn, calls[made].arg, site,
                           &calls[made]);
    for (size_t i = made; i < n; i++)
        calls[i].value = create_rc;
    if (coir_is_forked())
        return create_rc;
    if (create_rc)
        coir_group_cancel_for(group, &(struct coir_blame){ .kind = COIR_CAUSE_MEMORY });
    rc = wait_group(group, function);
    return create_rc ? create_rc : rc;
}

int coir_gather_array(coir_call *calls, size_t n)
{
    coir_group group;

    open_group(state_of(&group), "coir_gather_array");
    return run_calls(state_of(&group), calls, n, "coir_gather_array",
                     __builtin_return_address(0));
}

int coir_gather_all(coir_call *calls, size_t n)
{
    coir_group group;

    open_group(state_of(&group), "coir_gather_all");
    state_of(&group)->keep_going = state_of(&group)->silent = true;
    return run_calls(state_of(&group), calls, n, "coir_gather_all", __builtin_return_address(0));
}

int coir_race(coir_call *calls, size_t n)
{
    coir_group memory;
    struct coir_group_state *group = state_of(&memory);
    coir_call *winner;
    int rc;

    if (n == 0 || n > INT32_MAX)
        return -EINVAL;
    open_group(group, "coir_race");
    group->keep_going = group->is_race = true;
    rc = run_calls(group, calls, n, "coir_race", __builtin_return_address(0));
    winner = coir_load_acquire(&group->winner);
    return winner ? (int)(winner - calls) : rc ? rc : -ECANCELED;
}
