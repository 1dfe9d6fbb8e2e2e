/*
 * worker.c - the loop of a worker: run what is queued, look at everything else
 * now and then, ask others, sleep.
 *
 * There is no call into a scheduler between two tasks.  A fiber that suspends
 * picks its successor itself and switches to it; one whose task has ended runs
 * the next new task on its own stack; only when the queue is empty does the
 * worker's own context, coir_worker_main(), run.
 */
#include "worker.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <string.h>

#include "cancel.h"
#include "group.h"
#include "lend.h"
#include "local.h"
#include "park.h"
#include "parking.h"
#include "rescue.h"
#include "sys.h"
#include "tidy.h"

#define LOOK_EVERY_TICKS 64
#define LOOK_EVERY_NS 200000
#define CALM_TICKS 7 /* looks in a row that may do without the clock */
#define SPIN_NS 50000
#define ASK_AGAIN_NS 3000
#define LONE_FIBER_NS 50000 /* so long a turn that another worker is worth its waking */
#define LONE_BACKOFF_LEAST 1000000
#define LONE_BACKOFF_MOST 64000000
#define STARVED_RETRY_NS 1000000
#define STARVED_PAUSE_NS 100000000 /* between two times of starving */
#define WATCH_EVERY_NS 1000000
#define LOOKOUT_NS 5000000
#define LOOKOUTS_MOST 2

#ifdef COIR_SMALL
#define STACK_CACHE_MAX 2
#else
#define STACK_CACHE_MAX 128
#endif

/* Queueing. */

/* False: memory is out, and the item went to the inbox, which needs none. */
static __attribute__((noinline)) bool make_room(struct coir_worker *worker, coir_item item)
{
    if (coir_runqueue_grow(&worker->queue))
        return true;
    coir_inbox_push(&worker->inbox, item);
    return false;
}

void coir_worker_push(struct coir_worker *worker, coir_item item)
{
    struct coir_runqueue *q = &worker->queue;

    if (__builtin_expect(coir_runqueue_full(q), 0) && !make_room(worker, item))
        return;
    if (!(item & COIR_ITEM_FIBER))
        coir_store_relaxed(&coir_item_task(item)->qpos, coir_load_relaxed(&q->tail));
    coir_runqueue_push(q, item);

    /* Woken fibers: the worker will run one of them itself, soon. */
    if (coir_runqueue_length_hint(q) - 1 > coir_load_relaxed(&worker->keep))
        coir_worker_offer(worker);
}

static void wake(struct coir_worker *worker)
{
    coir_add_relaxed(&worker->counters.wakeups, 1);
    worker->runtime->driver->wake(worker);
}

void coir_worker_send(struct coir_worker *worker, coir_item item)
{
    coir_inbox_push(&worker->inbox, item);
    coir_fence_seq_cst(); /* [S] */
    if (coir_idle_claim(&worker->runtime->idle, &worker->state))
        wake(worker);
}

struct coir_worker *coir_worker_rested(struct coir_worker *last)
{
    struct coir_runtime *runtime = last->runtime;

    for (int i = 0; i < runtime->worker_count; i++) {
        struct coir_worker *worker =
            &runtime->workers[(last->index + i) % runtime->worker_count];
        if (coir_load_relaxed(&worker->state) == COIR_WORKER_SLEEPING)
            return worker;
    }
    return last;
}

void coir_worker_request(struct coir_worker *worker, struct coir_request *request)
{
    coir_requests_push(&worker->requests, request);
    coir_fence_seq_cst(); /* [S] */
    if (coir_idle_claim(&worker->runtime->idle, &worker->state))
        wake(worker);
}

void coir_worker_wake_one(struct coir_runtime *runtime)
{
    if (!coir_idle_must_wake(&runtime->idle))
        return;
    for (int i = 0; i < runtime->worker_count; i++) {
        struct coir_worker *worker = &runtime->workers[i];
        if (coir_idle_claim(&runtime->idle, &worker->state)) {
            wake(worker);
            return;
        }
    }
}

/* Handing over. */

/*
 * A single task.  Its creator may be about to compute, and then somebody else
 * should run it; or about to await it, and then handing it over costs more than
 * the task.  So: it is handed over, unless that turned out to be wrong lately.
 */
static bool may_give_lone(struct coir_worker *worker)
{
    if (worker->lone_allowed_at == 0)
        return true;
    if (coir_sys_now() < worker->lone_allowed_at)
        return false;
    worker->lone_allowed_at = 0;
    return true;
}

/* It was wrong to hand over the last single task. */
static void regret_lone(struct coir_worker *worker)
{
    int64_t backoff = worker->lone_backoff * 2;

    if (backoff < LONE_BACKOFF_LEAST)
        backoff = LONE_BACKOFF_LEAST;
    if (backoff > LONE_BACKOFF_MOST)
        backoff = LONE_BACKOFF_MOST;
    worker->lone_backoff = backoff;
    worker->lone_allowed_at = coir_sys_now() + backoff;
    worker->lone = NULL;
}

void coir_worker_awaits_handed(struct coir_worker *worker, const struct coir_task *task)
{
    if (worker->lone == task)
        regret_lone(worker);
}

/* Raise `keep`, if that is still right once it has been raised. */
static bool nobody_wants(struct coir_worker *worker)
{
    struct coir_idle *idle = &worker->runtime->idle;

    if (coir_idle_any(idle) && !coir_outbox_full(&worker->outbox))
        return false;
    coir_store_relaxed(&worker->keep, COIR_KEEP_ALL);
    coir_fence_seq_cst();
    if (!coir_idle_any(idle))
        return true;
    if (coir_outbox_full(&worker->outbox)) {
        coir_worker_wake_one(worker->runtime);
        return true;
    }
    coir_store_relaxed(&worker->keep, COIR_KEEP_NONE);
    return false;
}

static void give(struct coir_worker *worker, int64_t n)
{
    coir_store_relaxed(&worker->keep, COIR_KEEP_ALL); /* [H4] */
    if (coir_handover_give(&worker->queue, &worker->outbox, NULL, n))
        coir_worker_wake_one(worker->runtime);
    else
        coir_store_relaxed(&worker->keep, COIR_KEEP_ONE);
}

void coir_worker_offer(struct coir_worker *worker)
{
    int64_t length = coir_runqueue_length_hint(&worker->queue);

    if (nobody_wants(worker) || length <= 0)
        return;
    if (length > 1) {
        give(worker, length / 2);
    } else if (may_give_lone(worker)) {
        coir_item item = coir_load_relaxed(
            &worker->queue.slots[coir_load_relaxed(&worker->queue.head) & worker->queue.mask]);
        if (worker->lone)
            worker->lone_backoff = 0; /* the last one was right */
        worker->lone = item & COIR_ITEM_FIBER ? NULL : coir_item_task(item);
        give(worker, 1);
    } else {
        coir_store_relaxed(&worker->keep, COIR_KEEP_ONE);
    }
}

/* Whether the running task has made no step since others found that it computes. */
static __attribute__((noinline)) bool is_stuck(struct coir_worker *worker)
{
    if (coir_load_relaxed(&worker->stuck) == coir_worker_pulse(worker))
        return coir_worker_is_running_task(worker);
    coir_store_relaxed(&worker->stuck, 0);
    return false;
}

/* The outbox is full, and whoever comes for that may be busy with it for long. */
static bool send_to_sleeper(struct coir_worker *worker, coir_item item)
{
    struct coir_worker *other;

    if (!coir_outbox_full(&worker->outbox) || (item & COIR_ITEM_PINNED))
        return false;
    other = coir_worker_rested(worker);
    if (other != worker)
        coir_worker_send(other, item);
    return other != worker;
}

void coir_worker_push_woken_slow(struct coir_worker *worker, coir_item item, bool next)
{
    bool stuck = coir_load_relaxed(&worker->stuck) != 0 && is_stuck(worker);

    if (stuck && send_to_sleeper(worker, item))
        return;
    if (!coir_runqueue_full(&worker->queue) || make_room(worker, item))
        coir_worker_push_in_turn(worker, item, next);
    if (stuck)
        give(worker, COIR_OUTBOX_MAX);
}

/* Whether the oldest item has been waiting since the last look, untouched. */
static bool oldest_is_stale(struct coir_worker *worker, int64_t now)
{
    return coir_runqueue_length_hint(&worker->queue) > 0 &&
           coir_load_relaxed(&worker->queue.head) == worker->tick_head &&
           coir_load_relaxed(&worker->counters.spawned) == worker->tick_spawned &&
           now - worker->tick_time >= ASK_AGAIN_NS;
}

/* Two that send each other messages are one at a time in the queue.  To hand that one
   over at every look would cost more than what they do. */
static bool is_brisk(struct coir_worker *worker, int64_t now)
{
    struct coir_runqueue *q = &worker->queue;

    return coir_runqueue_length_hint(q) == 1 && now - worker->tick_time < LONE_FIBER_NS &&
           (coir_load_relaxed(&q->slots[coir_load_relaxed(&q->head) & q->mask]) &
            COIR_ITEM_FIBER);
}

static void offer_at_tick(struct coir_worker *worker, int64_t now)
{
    if (coir_idle_any(&worker->runtime->idle) &&
        coir_runqueue_length_hint(&worker->queue) > 0 && !is_brisk(worker, now)) {
        if (oldest_is_stale(worker, now))
            worker->lone_allowed_at = 0;
        if (worker->lone_allowed_at <= now)
            coir_store_relaxed(&worker->keep, COIR_KEEP_NONE);
        if (coir_runqueue_length_hint(&worker->queue) > coir_load_relaxed(&worker->keep))
            coir_worker_offer(worker);
    }
    if (coir_load_relaxed(&worker->queue.head) != worker->tick_head)
        worker->head_since = now;
    worker->tick_head = coir_load_relaxed(&worker->queue.head);
    worker->tick_spawned = coir_load_relaxed(&worker->counters.spawned);
}

bool coir_worker_take_from(struct coir_worker *worker, struct coir_worker *victim)
{
    coir_item items[COIR_OUTBOX_MAX];
    uint32_t n = coir_outbox_take(&victim->outbox, items);

    if (n && victim != worker)
        coir_store_relaxed(&worker->counters.handovers,
                           coir_load_relaxed(&worker->counters.handovers) + n);
    if (n && coir_idle_any(&worker->runtime->idle))
        coir_store_relaxed(&victim->keep, COIR_KEEP_NONE); /* after [A] */
    for (uint32_t i = 0; i < n; i++)
        coir_worker_push(worker, items[i]);
    return n > 0;
}

bool coir_worker_take_inbox(struct coir_worker *worker, struct coir_worker *other)
{
    coir_item item = coir_inbox_drain(&other->inbox), next;
    bool any = false;

    for (; item; item = next) {
        next = *coir_inbox_link(item);
        *coir_inbox_link(item) = 0;
        if (other != worker && (item & COIR_ITEM_PINNED)) {
            coir_worker_send(other, item);
        } else {
            coir_worker_push(worker, item);
            any = true;
        }
    }
    return any;
}

/* Looking at everything else. */

void coir_worker_run_requests(struct coir_worker *worker)
{
    struct coir_request *request = coir_requests_drain(&worker->requests), *next;

    for (; request; request = next) {
        struct coir_fiber *fiber = request->fiber;
        next = request->next;
        request->run(worker, request);
        coir_store_release(&request->done, 1);
        coir_unpark(fiber);
    }
}

static uint64_t count_ended(struct coir_runtime *runtime)
{
    uint64_t ended = 0;

    for (int i = 0; i < runtime->worker_count; i++)
        ended += coir_load_relaxed(&runtime->workers[i].counters.finished) +
                 coir_load_relaxed(&runtime->workers[i].counters.inlined);
    return ended;
}

/* Those that have all the stacks may be waiting for what those that have none would
   do; that no runtime can see.  If for as long as the grace no task ends while others
   starve, the run is over. */
static void give_up(struct coir_runtime *runtime, int64_t now)
{
    static const char line[] = "coir: no memory for stacks: the main task is cancelled\n";
    uint64_t ended = count_ended(runtime);

    if (ended != coir_load_relaxed(&runtime->starved_ended) ||
        now - coir_load_relaxed(&runtime->starved_last) > STARVED_PAUSE_NS)
        coir_store_relaxed(&runtime->starved_since, now);
    coir_store_relaxed(&runtime->starved_ended, ended);
    coir_store_relaxed(&runtime->starved_last, now);
    if (now - coir_load_relaxed(&runtime->starved_since) < runtime->shutdown_grace ||
        coir_xchg_acq_rel(&runtime->gave_up, 1))
        return;
    coir_sys_write(2, line, sizeof line - 1);
    if (runtime->main_task)
        coir_cancel_task(runtime->main_task,
                         &(struct coir_blame){ .kind = COIR_CAUSE_MEMORY });
}

/* Tasks that could not be given a stack try again now and then, each time on another
   worker: that one may have some left. */
static void retry_starved(struct coir_worker *worker, int64_t now)
{
    struct coir_runtime *runtime = worker->runtime;
    struct coir_worker *other = &runtime->workers[(worker->index + 1) % runtime->worker_count];
    struct coir_task *task = worker->starved, *next;

    if (!task || now < worker->starved_until)
        return;
    give_up(runtime, now);
    worker->starved = NULL;
    worker->starved_last = &worker->starved;
    for (; task; task = next) {
        next = task->next;
        if (other != worker)
            coir_worker_send(other, coir_item_of_task(task));
        else
            coir_worker_push(worker, coir_item_of_task(task));
    }
}

/* All but the driver.  Returns the time. */
static int64_t look(struct coir_worker *worker)
{
    int64_t now = coir_sys_now();

    coir_worker_take_inbox(worker, worker);
    coir_worker_run_requests(worker);
    coir_timers_drain(&worker->timers);
    coir_timers_expire(&worker->timers, now, coir_unpark);
    retry_starved(worker, now);
    return now;
}

/* Choose the ticks until the next look so that it comes after LOOK_EVERY_NS,
   were ticks to go on as they did. */
static void adapt_budget(struct coir_worker *worker, int64_t now)
{
    int64_t took = now - worker->tick_time;

    if (took > LOOK_EVERY_NS)
        worker->tick_budget = worker->tick_budget * LOOK_EVERY_NS / took;
    else if (worker->tick_budget < LOOK_EVERY_TICKS)
        worker->tick_budget *= 2;
    if (worker->tick_budget < 1)
        worker->tick_budget = 1;
    if (worker->tick_budget > LOOK_EVERY_TICKS)
        worker->tick_budget = LOOK_EVERY_TICKS;
    worker->ticks = worker->tick_budget;
    worker->tick_time = now;
}

/* A batch that nobody came for between two looks is the owner's again: whoever
   was to come may have found work of its own, and this queue may never run dry. */
static void look_after_outbox(struct coir_worker *worker)
{
    if (!coir_outbox_full(&worker->outbox)) {
        worker->batch_waits = false;
    } else if (worker->batch_waits || !coir_idle_any(&worker->runtime->idle)) {
        worker->batch_waits = false;
        coir_worker_take_from(worker, worker);
    } else {
        worker->batch_waits = true;
        coir_worker_wake_one(worker->runtime);
    }
}

/* Whoever is stuck must not wait until somebody is idle. */
static void look_after_others(struct coir_worker *worker, int64_t now)
{
    if (worker->runtime->worker_count == 1 || now < worker->watch_at)
        return;
    worker->watch_at = now + WATCH_EVERY_NS;
    coir_rescue_look(worker, now, WATCH_EVERY_NS);
}

/* Nothing to look at, as far as can be seen without the clock. */
static bool is_calm(struct coir_worker *worker)
{
    return coir_inbox_empty(&worker->inbox) && !coir_load_relaxed(&worker->requests.head) &&
           coir_timers_next(&worker->timers) == INT64_MAX &&
           !coir_load_relaxed(&worker->timers.returns) && !worker->starved &&
           !coir_outbox_full(&worker->outbox) && !coir_idle_any(&worker->runtime->idle) &&
           worker->tick_budget == LOOK_EVERY_TICKS && !worker->runtime->driver->ready(worker);
}

/* Those who look after this worker are told that it is here, and will come back. */
static void poll_driver(struct coir_worker *worker)
{
    if (!worker->runtime->driver->ready(worker))
        return;
    coir_store_relaxed(&worker->in_driver, 1);
    worker->runtime->driver->poll(worker);
    coir_store_relaxed(&worker->in_driver, 0);
}

void coir_worker_tick(struct coir_worker *worker)
{
    uint64_t stuck;
    int64_t now;

    if (worker->calm_ticks < CALM_TICKS && is_calm(worker)) {
        worker->calm_ticks++;
        worker->ticks = LOOK_EVERY_TICKS;
        return;
    }
    worker->calm_ticks = 0;
    stuck = coir_load_relaxed(&worker->stuck);
    if (stuck)
        coir_store_relaxed(&worker->stuck, 0); /* what is due by now it runs itself */
    now = look(worker);
    poll_driver(worker);
    if (stuck)
        coir_store_relaxed(&worker->stuck, stuck);

    look_after_outbox(worker);
    look_after_others(worker, now);
    offer_at_tick(worker, now);
    adapt_budget(worker, now);
}

bool coir_worker_turn_is_over(struct coir_worker *worker)
{
    coir_worker_tick(worker);
    if (worker->calm_ticks)
        return false; /* it did not read the clock */
    return coir_runqueue_length_hint(&worker->queue) > 0 &&
           worker->tick_time - worker->head_since >= LOOK_EVERY_NS;
}

/* Fibers. */

static void fiber_main(void *arg);

static void prepare_fiber(struct coir_worker *worker, struct coir_fiber *fiber, size_t promised)
{
    char *low = fiber->stack.low;

    coir_context_init(&fiber->context, low, (size_t)(fiber->stack.top - low), fiber_main);
    coir_store_relaxed(&fiber->state, COIR_FIBER_RUNNING);
    fiber->inline_floor = worker->runtime->inline_tasks ? (uintptr_t)low + promised : UINTPTR_MAX;
    fiber->stopping = &worker->runtime->stopping;
    fiber->depth = 0;
    fiber->pinned = 0;
    coir_store_relaxed(&fiber->worker, worker);
    coir_store_relaxed(&fiber->stack.fresh, 0);
}

/* The stack that a task was given when it was created. */
static struct coir_fiber *take_own_fiber(struct coir_worker *worker, struct coir_task *task)
{
    struct coir_stack *stack = task->extra->stack;

    task->extra->stack = NULL;
    if (coir_load_relaxed(&stack->fresh))
        prepare_fiber(worker, (struct coir_fiber *)stack,
                      worker->runtime->stack_bytes << stack->size_class);
    return (struct coir_fiber *)stack;
}

static struct coir_fiber *get_fiber(struct coir_worker *worker)
{
    struct coir_stack *stack = worker->stacks;

    if (!stack) {
        worker->stack_count = (uint32_t)coir_stack_pool_get_batch(
            &worker->runtime->stacks, STACK_CACHE_MAX / 8 + 1, &worker->stacks);
        stack = worker->stacks;
        if (!stack)
            return NULL;
    }
    worker->stacks = stack->next;
    worker->stack_count--;
    if (coir_load_relaxed(&stack->fresh))
        prepare_fiber(worker, (struct coir_fiber *)stack, worker->runtime->stack_bytes);
    return (struct coir_fiber *)stack;
}

static void put_fiber(struct coir_worker *worker, struct coir_fiber *fiber)
{
    struct coir_stack *stack = &fiber->stack, *last;

    if (stack->size_class != 0) {
        stack->next = NULL;
        coir_stack_pool_put(&worker->runtime->stacks, stack, 1);
        return;
    }
    stack->next = worker->stacks;
    worker->stacks = stack;
    if (++worker->stack_count <= STACK_CACHE_MAX)
        return;
    last = stack;
    for (int i = 1; i < STACK_CACHE_MAX / 2; i++)
        last = last->next;
    worker->stacks = last->next;
    worker->stack_count -= STACK_CACHE_MAX / 2;
    last->next = NULL;
    coir_stack_pool_put(&worker->runtime->stacks, stack, STACK_CACHE_MAX / 2);
}

static bool has_own_stack(const struct coir_task *task)
{
    return coir_load_relaxed(&task->shared) & COIR_TASK_OWN_STACK;
}

/* Memory is out.  Whoever waits for the task may have room for it. */
static bool lend(struct coir_task *task)
{
    uint64_t shared = coir_load_acquire(&task->shared);
    struct coir_fiber *waiter = (struct coir_fiber *)(shared & COIR_TASK_JOINER);
    const void *what = task;

    if (shared & COIR_TASK_MEMBER) {
        what = task->group;
        waiter = coir_load_acquire(&task->group->waited_for) ? task->group->owner : NULL;
    }
    if (!waiter || (shared & COIR_TASK_FOREIGN) || !coir_lend_to(waiter, what, task))
        return false;
    coir_unpark(waiter);
    return true;
}

/* ... or it waits, until one that has ended leaves its stack. */
static __attribute__((noinline)) void starve(struct coir_worker *worker, struct coir_task *task)
{
    if (lend(task))
        return;
    task->next = NULL;
    *worker->starved_last = task;
    worker->starved_last = &task->next;
    worker->starved_until = coir_sys_now() + STARVED_RETRY_NS;
}

/* The fiber to switch to for an item; NULL if a stack is needed and there is
   none: then the item waits. */
static struct coir_fiber *fiber_for(struct coir_worker *worker, coir_item item)
{
    struct coir_fiber *fiber;
    struct coir_task *task;

    if (item & COIR_ITEM_FIBER)
        return coir_item_fiber(item);
    task = coir_item_task(item);
    fiber = has_own_stack(task) ? take_own_fiber(worker, task) : get_fiber(worker);
    if (!fiber) {
        starve(worker, task);
        return NULL;
    }
    fiber->base = task;
    return fiber;
}

/*
 * After a switch, on the new stack: see to the one that was left.  All return the worker,
 * so that each is the last thing its caller does.
 */

static __attribute__((noinline)) struct coir_worker *queue_again(struct coir_worker *worker)
{
    struct coir_runtime *runtime = worker->runtime;
    struct coir_fiber *fiber = worker->previous;
    int next = (worker->index + 1) % runtime->worker_count;

    if (__builtin_expect(runtime->migrate, 0) && !fiber->pinned)
        coir_worker_send(&runtime->workers[next], coir_item_of_fiber(fiber));
    else
        coir_worker_push(worker, coir_item_of_fiber(fiber));
    return worker;
}

static inline struct coir_worker *commit_yield(struct coir_worker *worker)
{
    struct coir_runqueue *q = &worker->queue;
    int64_t length = coir_runqueue_length_hint(q);

    if (__builtin_expect(length > (int64_t)q->mask || worker->runtime->migrate ||
                             length > coir_load_relaxed(&worker->keep), 0))
        return queue_again(worker);
    coir_runqueue_push(q, coir_item_of_fiber(worker->previous));
    return worker;
}

static __attribute__((noinline)) struct coir_worker *commit_park(struct coir_worker *worker)
{
    struct coir_fiber *fiber = worker->previous;

    if (!coir_parking_commit(&fiber->state))
        coir_worker_push(worker, coir_item_of_fiber(fiber));
    return worker;
}

static __attribute__((noinline)) struct coir_worker *recycle(struct coir_worker *worker)
{
    put_fiber(worker, worker->previous);
    return worker;
}

/* The first thing a fiber does after being switched to. */
static inline struct coir_worker *arrive(struct coir_worker *worker)
{
    struct coir_fiber *fiber = worker->fiber;

    if (__builtin_expect(coir_load_relaxed(&fiber->worker) != worker, 0)) {
        coir_count(&worker->counters.migrations);
        coir_store_relaxed(&fiber->worker, worker);
    }
    switch (worker->commit) {
    case COIR_COMMIT_NONE:
        return worker;
    case COIR_COMMIT_YIELD:
        return commit_yield(worker);
    case COIR_COMMIT_PARK:
        return commit_park(worker);
    case COIR_COMMIT_RECYCLE:
        return recycle(worker);
    }
    return worker;
}

/* Never inlined, nor cloned: the CPU predicts where a switch returns to because all of
   them are made here. */
#ifdef __clang__
#define ONE_PLACE __attribute__((noinline))
#else
#define ONE_PLACE __attribute__((noipa))
#endif

static ONE_PLACE struct coir_worker *
switch_to(struct coir_worker *worker, struct coir_fiber *next, enum coir_commit what)
{
    struct coir_fiber *fiber = worker->fiber;

    worker->previous = fiber;
    worker->commit = what;
    worker->fiber = next;
    coir_count(&worker->counters.switches);
    return arrive(coir_context_switch(&fiber->context, &next->context, worker));
}

/* item: the oldest; 0: there is none. */
static __attribute__((noinline)) void switch_to_item(struct coir_worker *worker, coir_item item,
                                                     enum coir_commit what)
{
    struct coir_fiber *next = NULL;

    while (item && !(next = fiber_for(worker, item)))
        item = coir_runqueue_pop(&worker->queue);
    if (!next)
        next = &worker->scheduler;

    /* A yield to nobody.  The scheduler would only find this fiber again. */
    if (next == &worker->scheduler && (next == worker->fiber ||
                                       (what == COIR_COMMIT_YIELD && !worker->runtime->migrate)))
        return;
    switch_to(worker, next, what);
}

static __attribute__((noinline)) void switch_away_after_tick(struct coir_worker *worker,
                                                             enum coir_commit what)
{
    coir_worker_tick(worker);
    switch_to_item(worker, coir_runqueue_pop(&worker->queue), what);
}

static inline void switch_away(struct coir_worker *worker, enum coir_commit what)
{
    coir_item item;

    if (__builtin_expect(--worker->ticks < 0, 0)) {
        switch_away_after_tick(worker, what);
        return;
    }
    item = coir_runqueue_pop(&worker->queue);
    if (item & COIR_ITEM_FIBER)
        switch_to(worker, coir_item_fiber(item), what);
    else
        switch_to_item(worker, item, what);
}

void coir_worker_park(struct coir_worker *worker)
{
    switch_away(worker, COIR_COMMIT_PARK);
}

void coir_worker_yield(struct coir_worker *worker)
{
    switch_away(worker, COIR_COMMIT_YIELD);
}

static void tell_joiner(uint64_t shared)
{
    void *joiner = (void *)(shared & COIR_TASK_JOINER);

    if (__builtin_expect(!(shared & COIR_TASK_FOREIGN), 1)) {
        coir_unpark(joiner);
    } else {
        coir_store_release(&((struct coir_foreign_joiner *)joiner)->done, 1);
        coir_sys_futex_wake(joiner);
    }
}

/* A task has ended that was started by the loop. */
static void finish(struct coir_worker *worker, struct coir_task *task, int value)
{
    struct coir_runtime *runtime = worker->runtime;
    uint64_t shared, watched;

    if (__builtin_expect(coir_load_relaxed(&task->shared) & COIR_TASK_LOCALS, 0))
        coir_locals_drop(task);
    if (coir_load_relaxed(&task->fiber))
        coir_store_relaxed(&task->fiber, NULL);
    if (coir_load_relaxed(&task->shared) & COIR_TASK_MEMBER) {
        coir_group_member_done(worker, task, value, false);
    } else {
        coir_store_relaxed(&task->qpos, (uint64_t)(uint32_t)value);
        shared = coir_load_acquire(&task->shared);
        watched = shared & COIR_TASK_WATCHED;
        if (__builtin_expect(watched, 0))
            task->ended = coir_add_relaxed(&runtime->ends, 1) + 1;
        while (!coir_cas_acq_rel(&task->shared, &shared, /* [J] */
                                 COIR_TASK_DONE | watched | (shared & COIR_TASK_OWNS)))
            ;
        if (shared & COIR_TASK_JOINER)
            tell_joiner(shared);
        if (shared & COIR_TASK_DETACHED)
            coir_task_free(&runtime->tasks, &worker->tasks, task);
    }
    coir_count_end(&worker->counters.finished);
    if (__builtin_expect(coir_load_relaxed(&runtime->stopping), 0))
        coir_runtime_check_quiet(runtime);
}

static void run_base(struct coir_worker *worker, struct coir_fiber *fiber)
{
    struct coir_task *task = fiber->base;
    bool pinned = coir_load_relaxed(&task->shared) & COIR_TASK_PINNED;
    int value;

    (void)worker;
    task->next = NULL;
    fiber->task = task;
    fiber->calm = COIR_NEVER_CALM;
    fiber->pinned = pinned ? COIR_ITEM_PINNED : 0;
    value = task->fn(task->arg);
    fiber->pinned = 0;
    if (__builtin_expect(task->scopes != NULL, 0))
        coir_scope_left(task);
    finish(coir_current_worker(), task, value);
    fiber->task = NULL;
}

/* What runs at the bottom of every fiber. */
static void fiber_main(void *arg)
{
    struct coir_worker *worker = arg;
    struct coir_fiber *fiber = worker->fiber;
    coir_item item;

    arrive(worker);
    for (;;) {
        struct coir_fiber *next;

        run_base(worker, fiber);
        worker = coir_current_worker();
        if (--worker->ticks < 0)
            coir_worker_tick(worker);

        /* A new task needs no other stack than this one. */
        item = coir_runqueue_pop(&worker->queue);
        if (item && !(item & COIR_ITEM_FIBER) && fiber->stack.size_class == 0 &&
            !has_own_stack(coir_item_task(item))) {
            fiber->base = coir_item_task(item);
            continue;
        }
        next = item ? fiber_for(worker, item) : NULL;
        worker = switch_to(worker, next ? next : &worker->scheduler, COIR_COMMIT_RECYCLE);
    }
}

/* Being idle. */

static bool take_from_anyone(struct coir_worker *worker)
{
    struct coir_runtime *runtime = worker->runtime;

    for (int i = 1; i < runtime->worker_count; i++) {
        int other = (worker->index + i) % runtime->worker_count;
        if (coir_worker_take_from(worker, &runtime->workers[other]))
            return true;
    }
    return false;
}

/* Tell everybody that this worker has nothing to do.  Reads before it writes:
   a worker that has been told is left its cache line. */
static void ask(struct coir_worker *worker, int64_t keep)
{
    struct coir_runtime *runtime = worker->runtime;

    for (int i = 0; i < runtime->worker_count; i++) {
        struct coir_worker *other = &runtime->workers[i];
        if (other != worker && coir_load_relaxed(&other->keep) > keep)
            coir_store_relaxed(&other->keep, keep);
    }
}

/* Whether something has been given that nobody has taken. */
static bool anything_given(struct coir_runtime *runtime)
{
    for (int i = 0; i < runtime->worker_count; i++)
        if (coir_outbox_full(&runtime->workers[i].outbox))
            return true;
    return false;
}

/* Whether another worker that is awake has more queued than it will run next. */
static bool somebody_has_work(struct coir_worker *worker)
{
    struct coir_runtime *runtime = worker->runtime;

    for (int i = 0; i < runtime->worker_count; i++) {
        struct coir_worker *other = &runtime->workers[i];
        if (other != worker && coir_runqueue_length_hint(&other->queue) > 1 &&
            coir_load_relaxed(&other->state) == COIR_WORKER_AWAKE)
            return true;
    }
    return false;
}

/* Anything of this worker's own?  Cheap: asked in a loop. */
static bool has_own_work(struct coir_worker *worker, int64_t now)
{
    return !coir_inbox_empty(&worker->inbox) || coir_load_relaxed(&worker->requests.head) ||
           coir_timers_next(&worker->timers) <= now ||
           coir_load_relaxed(&worker->timers.returns) ||
           (worker->starved && worker->starved_until <= now) ||
           worker->runtime->driver->ready(worker) || coir_load_relaxed(&worker->runtime->stop);
}

/* Look at all that is this worker's own.  True if there is something to run. */
static bool find_own(struct coir_worker *worker)
{
    worker->tick_time = look(worker);
    poll_driver(worker);
    if (coir_runqueue_length_hint(&worker->queue) > 0)
        return true;
    if (!coir_worker_take_from(worker, worker))
        return false;
    if (worker->lone)
        regret_lone(worker);
    return true;
}

/* Help those that are stuck.  True if that gave this worker something to do. */
static bool help(struct coir_worker *worker, int64_t patience)
{
    switch (coir_rescue_look(worker, coir_sys_now(), patience)) {
    case COIR_RESCUE_NOTHING:
        return false;
    case COIR_RESCUE_TOOK:
        return true;
    case COIR_RESCUE_SIGNALLED:
        break;
    }
    coir_sys_sleep(SPIN_NS); /* rather than spin: the victim may need this CPU */
    return take_from_anyone(worker) ||
           coir_rescue_look(worker, coir_sys_now(), patience) == COIR_RESCUE_TOOK;
}

/* Look around for a while.  True if something was found, or should be looked
   at.  The caller counts as searching. */
static bool search(struct coir_worker *worker)
{
    int64_t start = coir_sys_now(), asked = start, now = start;

    ask(worker, COIR_KEEP_ONE);
    if (coir_rescue_look(worker, now, SPIN_NS) == COIR_RESCUE_TOOK)
        return true;
    do {
        if (take_from_anyone(worker) || has_own_work(worker, now))
            return true;
        if (worker->runtime->one_cpu)
            coir_sys_sleep(SPIN_NS);
        for (int i = 0; i < 8; i++)
            coir_pause();
        now = coir_sys_now();
        if (now - asked >= ASK_AGAIN_NS) {
            ask(worker, COIR_KEEP_NONE);
            asked = now;
        }
    } while (now - start < SPIN_NS);
    return help(worker, SPIN_NS);
}

static bool somebody_runs(struct coir_worker *worker)
{
    struct coir_runtime *runtime = worker->runtime;

    for (int i = 0; i < runtime->worker_count; i++)
        if (&runtime->workers[i] != worker &&
            coir_load_relaxed(&runtime->workers[i].state) == COIR_WORKER_AWAKE)
            return true;
    return false;
}

/* Changes whenever any worker does anything. */
static uint64_t all_activity(struct coir_runtime *runtime)
{
    uint64_t sum = 0;

    for (int i = 0; i < runtime->worker_count; i++)
        sum += coir_load_relaxed(&runtime->workers[i].counters.switches);
    return sum;
}

/*
 * Somebody must be awake enough to see that a worker is stuck, also one that runs
 * what its own ring brought while all others slept.  So two of the sleepers wake up
 * every 5 ms to look around, as long as anything happens.  When nothing has, and
 * nobody runs, they sleep on without an alarm; and who wakes up then by himself
 * wakes another.
 *
 *     sleeper                           one who has found work
 *     lookouts -= 1                     state = AWAKE             (idle.h)
 *     reads all states             [L]  lookouts == 0?  wake one
 */
static bool must_look_out(struct coir_worker *worker)
{
    struct coir_runtime *runtime = worker->runtime;
    uint64_t activity;

    if (runtime->worker_count == 1 || !runtime->rescue_signal)
        return false;
    if (worker->in_doubt)
        return true;
    if (coir_load_seq_cst(&runtime->idle.lookouts) >= LOOKOUTS_MOST)
        return false;
    activity = all_activity(runtime);
    if (activity == worker->activity && !somebody_runs(worker))
        return false;
    worker->activity = activity;
    return true;
}

static int64_t own_deadline(struct coir_worker *worker)
{
    int64_t deadline = coir_timers_next(&worker->timers), tidy_at = coir_tidy_at(worker);

    if (tidy_at < deadline)
        deadline = tidy_at;
    return worker->starved && worker->starved_until < deadline ? worker->starved_until : deadline;
}

static void wait_in_driver(struct coir_worker *worker)
{
    struct coir_runtime *runtime = worker->runtime;
    int64_t deadline = own_deadline(worker), look_at;

    coir_count(&worker->counters.sleeps);
    worker->looked_out = must_look_out(worker);
    if (!worker->looked_out) {
        runtime->driver->wait(worker, deadline);
        return;
    }
    look_at = coir_sys_now() + (worker->in_doubt ? COIR_RESCUE_DOUBT_NS : LOOKOUT_NS);
    coir_add_seq_cst(&runtime->idle.lookouts, 1);
    runtime->driver->wait(worker, look_at < deadline ? look_at : deadline);
    coir_sub_seq_cst(&runtime->idle.lookouts, 1); /* [L] */
}

/* Others may have given, and woken nobody, because this worker searched or was on
   its way to; and it has found something else. */
static void pass_on(struct coir_worker *worker)
{
    if (coir_idle_must_wake(&worker->runtime->idle) && anything_given(worker->runtime))
        coir_worker_wake_one(worker->runtime);
}

/* This worker has found work, and may be busy with it for long. */
static void appoint_lookout(struct coir_worker *worker)
{
    struct coir_runtime *runtime = worker->runtime;

    if (runtime->rescue_signal && coir_load_seq_cst(&runtime->idle.lookouts) == 0 && /* [L] */
        coir_load_relaxed(&runtime->idle.sleeping) > 0)
        coir_worker_wake_one(runtime);
}

/*
 * Sleep until there is a reason not to.  was_last: this worker was the last to
 * search.  Returns whether the worker counts as searching again.
 */
static bool sleep_in_driver(struct coir_worker *worker, bool was_last)
{
    struct coir_runtime *runtime = worker->runtime;

    coir_idle_announce(&runtime->idle, &worker->state);
    was_last |= coir_load_relaxed(&runtime->idle.searching) <= 0;
    ask(worker, COIR_KEEP_NONE);
    if (was_last && runtime->worker_count > 1 && !worker->looked_out) {
        coir_count(&worker->counters.barriers);
        coir_sys_membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
    }
    if (has_own_work(worker, coir_sys_now()) || anything_given(runtime) ||
        (was_last && somebody_has_work(worker))) {
        worker->looked_out = false;
        return coir_idle_retract(&runtime->idle, &worker->state);
    }

    wait_in_driver(worker);
    return coir_idle_retract(&runtime->idle, &worker->state);
}

/* Find something to run, however long it takes.  False: the end. */
static bool find_work(struct coir_worker *worker)
{
    struct coir_runtime *runtime = worker->runtime;
    bool searching = false, found = false;

    while (!found && !coir_load_acquire(&runtime->stop)) {
        bool was_last = false; /* of those who searched */

        found = find_own(worker) || take_from_anyone(worker) ||
                (worker->looked_out && help(worker, SPIN_NS));
        if (found)
            break;
        if (!searching && !worker->looked_out)
            searching = coir_idle_search(&runtime->idle, runtime->max_searchers);
        if (searching) {
            worker->looked_out = false;
            if (search(worker))
                continue;
            was_last = coir_idle_stop_search(&runtime->idle);
            searching = false;
        }
        if (!coir_tidy(worker))
            searching = sleep_in_driver(worker, was_last);
    }
    if (searching)
        coir_idle_stop_search(&runtime->idle);
    worker->looked_out = false;
    if (found && coir_runqueue_length_hint(&worker->queue) > 1 && coir_idle_any(&runtime->idle))
        coir_worker_offer(worker);
    if (found) {
        coir_tidy_later(worker, worker->tick_time);
        pass_on(worker);
        appoint_lookout(worker);
    }
    return found;
}

/* Start and end. */

static void settle_on_cpu(struct coir_worker *worker)
{
    cpu_set_t all, own;

    /* A new thread starts on its creator's CPU and may stay there for
       milliseconds, while others are free. */
    if (worker->cpu < 0 || coir_sys_get_affinity(sizeof all, &all) < 0)
        return;
    CPU_ZERO(&own);
    CPU_SET(worker->cpu, &own);
    coir_sys_set_affinity(sizeof own, &own);
    if (!worker->runtime->pin_cpus)
        coir_sys_set_affinity(sizeof all, &all);
}

static int open_worker(struct coir_worker *worker)
{
    int rc;

    worker->tid = coir_sys_gettid();
    coir_sys_drop_timer_slack();
    settle_on_cpu(worker);
    rc = coir_stack_altstack_set(&worker->altstack);
    if (rc < 0)
        return rc;
    rc = worker->runtime->driver->open(worker);
    if (rc < 0) {
        coir_store_relaxed(&worker->runtime->refusal, rc);
        coir_stack_altstack_clear(worker->altstack);
    } else {
        coir_store_release(&worker->open, 1); /* [O] */
    }
    return rc;
}

void *coir_worker_main(void *arg)
{
    struct coir_worker *worker = arg;
    struct coir_runtime *runtime = worker->runtime;
    int rc;

    coir_set_current_worker(worker);
    coir_context_init_thread(&worker->scheduler.context);
    rc = open_worker(worker);
    if (rc < 0)
        coir_store_relaxed(&runtime->start_error, rc);
    coir_add_acq_rel(&runtime->started, 1);
    coir_sys_event_write(runtime->event);
    if (rc < 0)
        return NULL;

    while (find_work(worker))
        switch_away(worker, COIR_COMMIT_NONE);
    coir_store_release(&worker->open, 0);
    runtime->driver->close(worker);
    coir_stack_altstack_clear(worker->altstack);
    coir_context_destroy(&worker->scheduler.context);
    coir_set_current_worker(NULL);
    return NULL;
}

int coir_worker_init(struct coir_worker *worker, struct coir_runtime *runtime, int index)
{
    memset(worker, 0, sizeof *worker);
    worker->runtime = runtime;
    worker->index = index;
    worker->random = 2463534242u + (uint32_t)index;
    worker->fiber = &worker->scheduler;
    worker->starved_last = &worker->starved;
    worker->tick_budget = LOOK_EVERY_TICKS;
    worker->ticks = LOOK_EVERY_TICKS;
    worker->tidy_at = INT64_MAX;
    coir_store_relaxed(&worker->scheduler.worker, worker);
    coir_store_relaxed(&worker->keep, COIR_KEEP_ALL);
    coir_timers_init(&worker->timers);
    worker->watches = coir_sys_calloc((size_t)runtime->worker_count, sizeof *worker->watches);
    return !worker->watches || coir_runqueue_init(&worker->queue) < 0 ? -ENOMEM : 0;
}

void coir_worker_destroy(struct coir_worker *worker)
{
    coir_timers_destroy(&worker->timers);
    coir_sys_free((void *)worker->queue.slots);
    coir_sys_free(worker->watches);
}

/* For the drivers. */

void coir_op_complete(struct coir_op *op, ssize_t result)
{
    struct coir_fiber *fiber = op->fiber;
    struct coir_worker *worker = op->worker;

    coir_count(&worker->counters.completed);
    op->result = result;
    coir_store_release(&op->done, 1); /* [D]: it is the waiter's again */
    coir_unpark(fiber);
}

void coir_op_ended(struct coir_op *op, ssize_t result)
{
    coir_count(&op->worker->counters.completed);
    op->result = result;
}

void **coir_worker_driver_state(struct coir_worker *worker)
{
    return &worker->driver_state;
}

const struct coir_driver *coir_worker_driver(const struct coir_worker *worker)
{
    return worker->runtime->driver;
}

int coir_worker_index(const struct coir_worker *worker)
{
    return worker->index;
}

struct coir_worker *coir_worker_at(const struct coir_worker *worker, int index)
{
    return index < worker->runtime->worker_count ? &worker->runtime->workers[index] : NULL;
}

void coir_worker_count_submitted(struct coir_worker *worker)
{
    coir_count(&worker->counters.submitted);
}
