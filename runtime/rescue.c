/*
 * rescue.c - see rescue.h.
 */
#include "rescue.h"

#include <errno.h>
#include <string.h>

#include "sys.h"
#include "worker.h"

#define BACKOFF_LEAST 50000
#define BACKOFF_MOST 10000000

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction before[65];
static bool installed[65];

static bool is_ours(const siginfo_t *info)
{
    return info->si_code == SI_TKILL && info->si_pid == coir_sys_getpid();
}

static void chain(int signal, siginfo_t *info, void *context)
{
    const struct sigaction *old = &before[signal];

    if (old->sa_flags & SA_SIGINFO)
        old->sa_sigaction(signal, info, context);
    else if (old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN)
        old->sa_handler(signal);
}

static void on_rescue(int signal, siginfo_t *info, void *context)
{
    struct coir_worker *worker = coir_current_worker();

    if (!worker || !is_ours(info))
        chain(signal, info, context);
    else
        coir_handover_give(&worker->queue, &worker->outbox, COIR_OUTBOX_MAX);
}

int coir_rescue_install(int signal)
{
    struct sigaction action = { .sa_sigaction = on_rescue,
                                .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK };
    int rc = 0;

    sigfillset(&action.sa_mask);
    pthread_mutex_lock(&lock);
    if (!installed[signal]) {
        rc = coir_sys_sigaction(signal, &action, &before[signal]);
        installed[signal] = rc == 0;
    }
    pthread_mutex_unlock(&lock);
    return rc;
}

/* Changes with everything a worker does for its tasks. */
static uint64_t pulse(struct coir_worker *worker)
{
    return coir_load_relaxed(&worker->counters.spawned) +
           coir_load_relaxed(&worker->counters.finished) +
           coir_load_relaxed(&worker->counters.inlined) +
           coir_load_relaxed(&worker->counters.switches);
}

static bool may_strand(struct coir_worker *worker)
{
    return coir_load_relaxed(&worker->state) == COIR_WORKER_AWAKE &&
           coir_runqueue_length_hint(&worker->queue) > 0 && !coir_outbox_full(&worker->outbox);
}

void coir_rescue_observe(struct coir_worker *worker)
{
    struct coir_runtime *runtime = worker->runtime;

    for (int i = 0; i < runtime->worker_count; i++)
        worker->pulses[i] =
            may_strand(&runtime->workers[i]) ? pulse(&runtime->workers[i]) : UINT64_MAX;
}

/* Whether it is this worker's turn to signal that one. */
static bool take_turn(struct coir_worker *victim, int64_t now)
{
    int64_t next = coir_load_relaxed(&victim->rescue_at);
    int64_t backoff = coir_load_relaxed(&victim->rescue_backoff);

    if (pulse(victim) != coir_load_relaxed(&victim->rescue_pulse))
        backoff = 0; /* it did something since */
    else if (now < next)
        return false;
    backoff = backoff * 2 < BACKOFF_LEAST ? BACKOFF_LEAST : backoff * 2;
    if (backoff > BACKOFF_MOST)
        backoff = BACKOFF_MOST;
    if (!coir_cas_acq_rel(&victim->rescue_at, &next, now + backoff))
        return false;
    coir_store_relaxed(&victim->rescue_backoff, backoff);
    coir_store_relaxed(&victim->rescue_pulse, pulse(victim));
    return true;
}

bool coir_rescue_signal(struct coir_worker *worker)
{
    struct coir_runtime *runtime = worker->runtime;
    int64_t now = coir_sys_now();
    bool any = false;

    for (int i = 0; i < runtime->worker_count; i++) {
        struct coir_worker *victim = &runtime->workers[i];
        if (victim == worker || worker->pulses[i] == UINT64_MAX || !may_strand(victim) ||
            pulse(victim) != worker->pulses[i] || !take_turn(victim, now))
            continue;
        coir_count(&worker->counters.signals);
        any |= coir_sys_tgkill(victim->tid, runtime->rescue_signal) == 0;
    }
    return any;
}
