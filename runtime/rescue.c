/*
 * rescue.c - see rescue.h.
 */
#include "rescue.h"

#include <string.h>

#include "context.h"
#include "park.h"
#include "probe.h"
#include "sys.h"
#include "worker.h"

#define PATIENCE_LONG 1000000
#define COMPUTED_LEAST 25000
#define BACKOFF_LEAST 50000
#define BACKOFF_MOST 10000000

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction before[65];
static bool installed[65];
static COIR_ATOMIC(pid_t) process; /* not a forked child's */

static bool is_ours(const siginfo_t *info)
{
    return info->si_code == SI_TKILL && info->si_pid == coir_load_relaxed(&process);
}

static void chain(int signal, siginfo_t *info, void *context)
{
    const struct sigaction *old = &before[signal];

    if (old->sa_flags & SA_SIGINFO)
        old->sa_sigaction(signal, info, context);
    else if (old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN)
        old->sa_handler(signal);
}

/* On the thread of a stuck worker: move what only this thread can get at. */
static void rescue(struct coir_worker *worker)
{
    struct coir_runtime *runtime = worker->runtime;
    uint32_t given;

    worker->in_rescue = true;
    runtime->driver->rescue(worker);
    coir_timers_rescue(&worker->timers, coir_sys_now(), coir_unpark);
    worker->in_rescue = false;

    given = coir_handover_give(&worker->queue, &worker->outbox, &worker->inbox, COIR_OUTBOX_MAX);
    if (given && coir_load_relaxed(&worker->stuck) == coir_worker_pulse(worker))
        coir_count(&worker->rescued);
    if (given || !coir_inbox_empty(&worker->inbox))
        coir_worker_wake_one(runtime);
}

static void on_rescue(int signal, siginfo_t *info, void *context)
{
    struct coir_worker *worker = coir_current_worker();
    int saved = coir_sys_errno();

    if (!worker || !is_ours(info)) {
        chain(signal, info, context);
    } else {
        coir_probe_answer(worker, context);
        rescue(worker);
    }
    coir_sys_set_errno(saved);
}

/* Where another thread runs during a handler that is on a stack of its own, valgrind
   takes the next large frame of what was interrupted for a switch to another stack,
   and every access to it for an error. */
static int where_to_run(void)
{
    return coir_context_under_valgrind() ? 0 : SA_ONSTACK;
}

int coir_rescue_install(int signal)
{
    struct sigaction action = { .sa_sigaction = on_rescue,
                                .sa_flags = SA_SIGINFO | SA_RESTART | where_to_run() };
    int rc = 0;

    sigfillset(&action.sa_mask);
    coir_store_relaxed(&process, coir_sys_getpid());
    pthread_mutex_lock(&lock);
    if (!installed[signal]) {
        rc = coir_sys_sigaction(signal, &action, &before[signal]);
        installed[signal] = rc == 0;
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

/* Watching. */

/* For how long a worker has made no step, as far as this one knows. */
static int64_t stuck_for(struct coir_watch *watch, struct coir_worker *other, int64_t now)
{
    uint64_t steps = coir_worker_pulse(other);

    if (watch->since && watch->pulse == steps)
        return now - watch->since;
    *watch = (struct coir_watch){ .pulse = steps, .since = now };
    return 0;
}

static bool has_queued(struct coir_worker *worker)
{
    return coir_runqueue_length_hint(&worker->queue) > 0 && !coir_outbox_full(&worker->outbox);
}

/* Whether its thread has computed, and not waited for a CPU or in a system call, since
   it was first asked, which is noted in *first. */
static bool has_computed(int64_t *first, struct coir_worker *other)
{
    int64_t used = coir_sys_thread_time(other->tid);

    if (!*first)
        *first = used;
    return used - *first >= COMPUTED_LEAST;
}

/* The next look may be the one that counts. */
static void prepare_to_judge(struct coir_watch *watch, struct coir_worker *other)
{
    if (!watch->used && has_queued(other))
        has_computed(&watch->used, other);
}

/* Whether only the worker's own thread can get at something. */
static bool may_strand(struct coir_worker *victim, int64_t now)
{
    return has_queued(victim) || coir_timers_next(&victim->timers) <= now ||
           coir_load_relaxed(&victim->requests.head) ||
           victim->runtime->driver->stranded(victim);
}

/* One who has no CPU, or is in a system call of the driver's, sees to its queue as soon
   as it goes on, and a signal would not reach it sooner. */
static bool must_signal(struct coir_watch *watch, struct coir_worker *victim, int64_t now,
                        int64_t stuck)
{
    if (stuck >= PATIENCE_LONG)
        return may_strand(victim, now);
    if (!has_queued(victim))
        return false;
    return stuck >= COIR_RESCUE_DOUBT_NS ||
           (!coir_load_relaxed(&victim->in_driver) && has_computed(&watch->used, victim));
}

/* Changes with its pulse, and while it computes with every signal that was not in vain. */
static uint64_t steps_of(struct coir_worker *victim)
{
    return coir_worker_pulse(victim) + coir_load_relaxed(&victim->rescued);
}

/* Whether it is this worker's turn to signal that one. */
static bool take_turn(struct coir_worker *victim, int64_t now)
{
    int64_t next = coir_load_relaxed(&victim->rescue_at);
    int64_t backoff = coir_load_relaxed(&victim->rescue_backoff);
    uint64_t steps = steps_of(victim);

    if (steps != coir_load_relaxed(&victim->rescue_steps))
        backoff = 0; /* it did something since */
    else if (now < next)
        return false;
    backoff = backoff * 2 < BACKOFF_LEAST ? BACKOFF_LEAST : backoff * 2;
    if (backoff > BACKOFF_MOST)
        backoff = BACKOFF_MOST;
    if (!coir_cas_acq_rel(&victim->rescue_at, &next, now + backoff))
        return false;
    coir_store_relaxed(&victim->rescue_backoff, backoff);
    coir_store_relaxed(&victim->rescue_steps, steps);
    return true;
}

static bool signal_to(struct coir_worker *worker, struct coir_worker *victim, int64_t now)
{
    if (!take_turn(victim, now))
        return false;
    coir_count(&worker->counters.signals);
    return coir_sys_tgkill(victim->tid, worker->runtime->rescue_signal) == 0;
}

/* From now on, until it makes a step, it gives away what it wakes. */
static void tell_stuck(struct coir_watch *watch, struct coir_worker *other)
{
    if (coir_load_relaxed(&other->stuck) != watch->pulse &&
        has_computed(&watch->used_at_all, other))
        coir_store_relaxed(&other->stuck, watch->pulse);
}

enum coir_rescue_result coir_rescue_look(struct coir_worker *worker, int64_t now,
                                         int64_t patience)
{
    struct coir_runtime *runtime = worker->runtime;
    enum coir_rescue_result result = COIR_RESCUE_NOTHING;

    worker->in_doubt = false;
    for (int i = 0; i < runtime->worker_count; i++) {
        struct coir_worker *other = &runtime->workers[i];
        int64_t stuck;

        if (other == worker || !coir_load_acquire(&other->open)) /* [O] */
            continue;
        stuck = stuck_for(&worker->watches[i], other, now);
        if (coir_load_relaxed(&other->state) != COIR_WORKER_AWAKE)
            continue;
        if (stuck < patience) {
            if (patience < COIR_RESCUE_DOUBT_NS)
                prepare_to_judge(&worker->watches[i], other);
            continue;
        }
        if (stuck >= COIR_RESCUE_DOUBT_NS)
            tell_stuck(&worker->watches[i], other);
        if (coir_worker_take_from(worker, other) ||
            (stuck >= PATIENCE_LONG && coir_worker_take_inbox(worker, other)))
            result = COIR_RESCUE_TOOK;
        else if (runtime->rescue_signal &&
                 must_signal(&worker->watches[i], other, now, stuck) &&
                 signal_to(worker, other, now) && result == COIR_RESCUE_NOTHING)
            result = COIR_RESCUE_SIGNALLED;
        else if (stuck < COIR_RESCUE_DOUBT_NS && has_queued(other))
            worker->in_doubt = true;
    }
    return result;
}
