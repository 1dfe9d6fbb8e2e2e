/*
 * worker.h - a worker thread's data, and the runtime's.
 *
 * Everything a worker owns is in its first part, and no other thread touches
 * it; what others may touch has cache lines of its own.
 */
#ifndef COIR_RUNTIME_WORKER_H
#define COIR_RUNTIME_WORKER_H

#include "coir/debug.h"
#include "coir/runtime.h"
#include "autopsy.h"
#include "blocking.h"
#include "current.h"
#include "driver.h"
#include "handover.h"
#include "idle.h"
#include "inbox.h"
#include "parking.h"
#include "probe.h"
#include "runqueue.h"
#include "stack.h"
#include "task.h"
#include "timer.h"

/* What is to be done with the fiber that was switched away from, by whoever
   runs next: only then are its registers saved. */
enum coir_commit {
    COIR_COMMIT_NONE,    /* it is the worker's own context */
    COIR_COMMIT_YIELD,   /* queue it again */
    COIR_COMMIT_PARK,    /* it waits, unless it was notified meanwhile */
    COIR_COMMIT_RECYCLE, /* its task has ended: it is free */
};

/* What a worker knows of another: see rescue.h. */
struct coir_watch {
    uint64_t pulse; /* its counters of steps, when last seen to change */
    int64_t since;  /* and when that was */
    int64_t used;   /* CPU time of its thread, when first asked since then with items
                       queued; or 0 */
    int64_t used_at_all; /* the same with or without */
};

struct coir_counters {
    /* finished: started by the loop; inlined: on another's stack. */
    COIR_ATOMIC(uint64_t) spawned, finished, inlined, switches, migrations, handovers, wakeups,
        sleeps, barriers, submitted, completed, timers_cancelled, signals;
};

struct coir_worker {
    /* Its own. */
    struct coir_runqueue queue;
    struct coir_task_cache tasks;
    struct coir_fiber *fiber; /* that runs; &scheduler's place when none does */
    int64_t ticks;            /* until the next look at everything else */
    struct coir_runtime *runtime;
    struct coir_stack *stacks; /* free fibers */
    uint32_t stack_count;
    enum coir_commit commit;
    struct coir_fiber *previous;
    struct coir_counters counters;
    struct coir_timers timers;
    struct coir_fiber scheduler; /* the thread's own stack */
    void *driver_state;
    struct coir_task *starved; /* could not be given a stack; linked by next */
    struct coir_task **starved_last;
    int64_t starved_until;
    int nexts;                /* messages in a row whose receivers ran next */
    int64_t tick_budget;    /* ticks per look, so that looks are 200 us apart */
    int64_t tick_time;      /* of the last look */
    int calm_ticks;         /* looks since that found nothing */
    uint64_t tick_spawned;  /* counters.spawned then */
    uint64_t tick_head;     /* queue.head then, */
    int64_t head_since;     /* and since when it has been that */
    int64_t lone_backoff;   /* see coir_worker_offer() */
    int64_t lone_allowed_at;
    struct coir_task *lone; /* the single task handed over last */
    bool batch_waits;       /* the outbox was full at the last look */
    uint32_t random;        /* see select.c */
    int index;
    int cpu;
    pthread_t thread;
    void *altstack;
    pid_t tid;
    bool in_rescue;         /* a signal handler runs: see rescue.h */
    bool looked_out;        /* it has woken up only to look around */
    bool in_doubt;          /* whether another is stuck: it looks again soon */
    int64_t watch_at;       /* when to look after the others, while busy */
    uint64_t activity;      /* of all workers, when it was last on the lookout */
    struct coir_watch *watches; /* of all workers */
    int64_t tidy_at;            /* see tidy.h */
    bool sorts;                 /* free descriptors, while it tidies */

    /* Asked by others: how many items it may keep to itself. */
    _Alignas(128) COIR_ATOMIC(int64_t) keep;
    COIR_ATOMIC(uint64_t) stuck; /* its pulse, when they found that it computes; or 0 */

    /* Anyone's. */
    _Alignas(128) struct coir_outbox outbox;
    _Alignas(128) struct coir_inbox inbox;
    struct coir_requests requests;
    COIR_ATOMIC(uint32_t) state; /* see idle.h */
    COIR_ATOMIC(uint32_t) open;  /* tid and driver_state are there */
    COIR_ATOMIC(uint32_t) in_driver; /* it submits and completes: see rescue.c */
    COIR_ATOMIC(int64_t) rescue_at, rescue_backoff; /* when it may be signalled again */
    COIR_ATOMIC(uint64_t) rescue_steps; /* when it was signalled last */
    COIR_ATOMIC(uint64_t) rescued;      /* signals that gave something, while it computed */
    struct coir_probe probe;
};

struct coir_stall;

struct coir_runtime {
    struct coir_worker *workers;
    int worker_count;
    int max_searchers;
    bool one_cpu;      /* a searcher must not spin */
    bool inline_tasks; /* false under COIR_DEBUG=noinline */
    bool migrate;      /* COIR_DEBUG=migrate */
    bool report;       /* COIR_DEBUG=report */
    bool watches_locks; /* COIR_DEBUG=locks */
    bool pin_cpus;
    int rescue_signal; /* 0: none */
    size_t stack_bytes;
    const struct coir_driver *driver;
    bool any_driver; /* another one will do, where the kernel refuses this */
    struct coir_stack_pool stacks;
    struct coir_task_pool tasks;
    struct coir_autopsies autopsies;
    struct coir_blocking blocking[COIR_BLOCKING_POOLS];
    coir_duration shutdown_grace;
    int64_t stall_ns;          /* 0: stalls are not reported */
    struct coir_stall *stall;
    sigset_t program_mask; /* of the thread that started the workers */
    sigset_t worker_mask;
    int event; /* written to when the thread in coir_run() has something to do */

    _Alignas(128) struct coir_idle idle;

    _Alignas(128) COIR_ATOMIC(uint32_t) stopping; /* every task is cancelled */
    COIR_ATOMIC(uint32_t) stop;                   /* workers end */
    COIR_ATOMIC(int32_t) started;                 /* workers that have opened, or failed */
    COIR_ATOMIC(int32_t) start_error;
    COIR_ATOMIC(int32_t) refusal; /* the same, if it was the driver's */
    COIR_ATOMIC(uint32_t) main_done;
    COIR_ATOMIC(uint64_t) ends;    /* of tasks that were watched */
    COIR_ATOMIC(uint64_t) spawned; /* by threads that are no workers */
    COIR_ATOMIC(int64_t) starved_since, starved_last; /* see worker.c: give_up() */
    COIR_ATOMIC(uint64_t) starved_ended;
    COIR_ATOMIC(int32_t) visitors; /* see coir_visit() */
    COIR_ATOMIC(uint32_t) gave_up; /* no stacks: the main task has been cancelled */
    bool listed; /* among the runtimes, for the dump */
    bool has_interrupt; /* SIGINT is this runtime's */
    int main_value;
    struct coir_task *main_task;
    struct coir_runtime *next; /* of all runtimes, for the dump */
};

/* The same for what is_quiet() in runtime.c relies on: whoever sees the count sees
   all counts before it. */
static inline void coir_count_end(COIR_ATOMIC(uint64_t) *counter)
{
    coir_store_release(counter, coir_load_relaxed(counter) + 1);
}

static inline void coir_count(COIR_ATOMIC(uint64_t) *counter)
{
    coir_store_relaxed(counter, coir_load_relaxed(counter) + 1);
}

/* Changes with everything a worker does for its tasks. */
static inline uint64_t coir_worker_pulse(const struct coir_worker *worker)
{
    const struct coir_counters *counters = &worker->counters;

    return coir_load_relaxed(&counters->spawned) + coir_load_relaxed(&counters->finished) +
           coir_load_relaxed(&counters->inlined) + coir_load_relaxed(&counters->submitted) +
           coir_load_relaxed(&counters->switches);
}

/* Put an item into the worker's own queue, which must be the caller's. */
void coir_worker_push(struct coir_worker *worker, coir_item item);

/* The same for a fiber that has been woken; next: before all others, if that is its
   due.  A worker that is known to compute gives it away. */
static inline void coir_worker_push_woken(struct coir_worker *worker, coir_item item, bool next);
void coir_worker_push_woken_slow(struct coir_worker *worker, coir_item item, bool next);

/* The same as the first, as the fast path of create: a task that has not started. */
static inline void coir_worker_push_new(struct coir_worker *worker, struct coir_task *task);

/* From any thread: let `worker` run the item, and wake it if it sleeps. */
void coir_worker_send(struct coir_worker *worker, coir_item item);

/* A worker that sleeps, rather than `last`, which may compute for long. */
struct coir_worker *coir_worker_rested(struct coir_worker *last);

/* Slow path of push and tick: the queue is longer than `keep`. */
void coir_worker_offer(struct coir_worker *worker);

/* The running task awaits one that was handed over. */
void coir_worker_awaits_handed(struct coir_worker *worker, const struct coir_task *task);

/* A look at everything but the run queue: inbox, requests, timers, driver. */
void coir_worker_tick(struct coir_worker *worker);

/* The same in a task that runs others inline.  True: the oldest item in the
   queue has waited for long enough, and the running fiber should let it go
   first. */
bool coir_worker_turn_is_over(struct coir_worker *worker);

/* Take what another worker has handed over; or what has been sent to it, except
   what is pinned there.  It is this worker's then.  False if there was nothing. */
bool coir_worker_take_from(struct coir_worker *worker, struct coir_worker *other);
bool coir_worker_take_inbox(struct coir_worker *worker, struct coir_worker *other);

/* Switch from the running fiber to whatever is next: until it is unparked, or until
   every other ready fiber has had a turn. */
void coir_worker_park(struct coir_worker *worker);
void coir_worker_yield(struct coir_worker *worker);

/* Wake a sleeping worker, if there is one, for work that has been published. */
void coir_worker_wake_one(struct coir_runtime *runtime);

void *coir_worker_main(void *worker);
int coir_worker_init(struct coir_worker *worker, struct coir_runtime *runtime, int index);
void coir_worker_destroy(struct coir_worker *worker);

/* In runtime.c: a task has ended while the runtime was stopping. */
void coir_runtime_check_quiet(struct coir_runtime *runtime);

static inline bool coir_worker_is_running_task(const struct coir_worker *worker)
{
    return worker->fiber != &worker->scheduler;
}

static inline void coir_worker_push_new(struct coir_worker *worker, struct coir_task *task)
{
    struct coir_runqueue *q = &worker->queue;
    coir_item item = coir_item_of_task(task);

    if (__builtin_expect(coir_runqueue_full(q), 0)) {
        coir_worker_push(worker, item);
        return;
    }
    coir_store_relaxed(&task->qpos, coir_load_relaxed(&q->tail));
    coir_runqueue_push(q, item);
    if (__builtin_expect(coir_runqueue_length_hint(q) > coir_load_relaxed(&worker->keep), 0))
        coir_worker_offer(worker);
}

/* So many in a row, so that what is queued has its turn. */
#define COIR_NEXTS_MOST 3

/* There is room. */
static inline void coir_worker_push_in_turn(struct coir_worker *worker, coir_item item, bool next)
{
    struct coir_runqueue *q = &worker->queue;
    int64_t length = coir_runqueue_length_hint(q);

    if (next && worker->nexts < COIR_NEXTS_MOST && worker->runtime->worker_count > 1) {
        worker->nexts++;
        coir_runqueue_push_first(q, item);
        return;
    }
    worker->nexts = 0;
    coir_runqueue_push(q, item);
    if (__builtin_expect(length > coir_load_relaxed(&worker->keep), 0))
        coir_worker_offer(worker); /* the worker will run one of them itself, soon */
}

static inline void coir_worker_push_woken(struct coir_worker *worker, coir_item item, bool next)
{
    if (__builtin_expect(coir_load_relaxed(&worker->stuck) != 0 ||
                             coir_runqueue_full(&worker->queue), 0))
        coir_worker_push_woken_slow(worker, item, next);
    else
        coir_worker_push_in_turn(worker, item, next);
}

/* Queue a fiber that this thread has just taken out of PARKED. */
void coir_worker_make_ready(struct coir_worker *self, struct coir_fiber *fiber, bool next);

/* Whether it ran the fiber last, and so belongs to its run. */
static inline bool coir_worker_ran(const struct coir_worker *self, const struct coir_fiber *fiber)
{
    return __builtin_expect(self && self == coir_load_relaxed(&fiber->worker), 1);
}

/* coir_unpark() for the worker that runs on the caller's thread; NULL: none.
   next: unless there is one worker alone, where order counts, the fiber runs next on the
   caller's: the caller has sent it a message and is likely to wait for the answer.  At
   most three in a row, so that what is queued has its turn. */
static inline void coir_unpark_from(struct coir_worker *self, struct coir_fiber *fiber, bool next)
{
    if (!coir_parking_notify(&fiber->state))
        return;
    if (coir_worker_ran(self, fiber) && !self->in_rescue && !self->runtime->migrate)
        coir_worker_push_woken(self, coir_item_of_fiber(fiber), next);
    else
        coir_worker_make_ready(self, fiber, next);
}

/*
 * A thread that does not belong to a fiber's run, and is about to do the last thing
 * that keeps it from ending, and then to unpark the fiber: the run stays from visit to
 * visit_end.  self: its worker.  NULL: it belongs to it.
 */
static inline struct coir_runtime *coir_visit(const struct coir_worker *self,
                                              struct coir_fiber *fiber)
{
    struct coir_runtime *runtime = coir_load_relaxed(&fiber->worker)->runtime;

    if (__builtin_expect(self && self->runtime == runtime, 1))
        return NULL;
    coir_add_seq_cst(&runtime->visitors, 1);
    return runtime;
}

static inline void coir_visit_end(struct coir_runtime *visited)
{
    if (visited)
        coir_sub_seq_cst(&visited->visitors, 1);
}

#endif
