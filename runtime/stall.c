/*
 * stall.c - see stall.h.
 */
#include "stall.h"

#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>

#include "probe.h"
#include "sys.h"
#include "worker.h"

#define LOOKS_PER_STALL 4
#define REPORT_EVERY_NS 1000000000

/* What is known of a worker. */
struct watch {
    uint64_t steps;
    int64_t since; /* it has made no step */
    int64_t reported;
};

struct coir_stall {
    struct coir_runtime *runtime;
    int64_t ns;
    int event; /* written to at the end */
    pthread_t thread;
    struct watch watches[];
};

static uint64_t steps(struct coir_worker *worker)
{
    return coir_load_relaxed(&worker->counters.finished) +
           coir_load_relaxed(&worker->counters.inlined) +
           coir_load_relaxed(&worker->counters.switches);
}

static void report(struct coir_worker *worker, struct watch *watch, int64_t now)
{
    struct coir_backtrace backtrace = { .count = 0 };
    struct coir_task *task = coir_probe_ask(worker, &backtrace);
    char name[COIR_PROBE_NAME_MAX], line[256];
    int n;

    if (!task)
        task = coir_probe_guess(worker);
    if (!task || steps(worker) != watch->steps)
        return;
    coir_probe_describe(worker, task, name);
    if (!name[0])
        return;
    n = snprintf(line, sizeof line, "coir: %s has been on the CPU of worker %d for %ld ms\n", name,
                 worker->index, (long)((now - watch->since) / 1000000));
    coir_sys_write(2, line, (size_t)n);
    coir_backtrace_write(&backtrace, 2);
    watch->reported = now;
}

static void look_at(struct coir_stall *stall, struct coir_worker *worker, int64_t now)
{
    struct watch *watch = &stall->watches[worker->index];
    uint64_t done = steps(worker);

    if (!coir_probe_guess(worker) || watch->steps != done)
        *watch = (struct watch){ done, now, 0 };
    else if (now - watch->since >= stall->ns &&
             (!watch->reported || now - watch->reported >= REPORT_EVERY_NS))
        report(worker, watch, now);
}

static void *watch_all(void *arg)
{
    struct coir_stall *stall = arg;
    struct coir_runtime *runtime = stall->runtime;

    while (coir_sys_event_wait(stall->event, stall->ns / LOOKS_PER_STALL) != 0)
        for (int i = 0; i < runtime->worker_count; i++)
            look_at(stall, &runtime->workers[i], coir_sys_now());
    return NULL;
}

static int start_thread(struct coir_stall *stall)
{
    sigset_t all, old;
    int rc;

    sigfillset(&all);
    coir_sys_thread_mask(SIG_SETMASK, &all, &old);
    rc = coir_sys_thread_create(&stall->thread, NULL, watch_all, stall);
    coir_sys_thread_mask(SIG_SETMASK, &old, NULL);
    return rc;
}

int coir_stall_start(struct coir_runtime *runtime, int64_t ns, struct coir_stall **ret_stall)
{
    size_t bytes = (size_t)runtime->worker_count * sizeof(struct watch);
    struct coir_stall *stall = coir_sys_calloc(1, sizeof *stall + bytes);
    int rc;

    if (!stall)
        return -ENOMEM;
    coir_backtrace_load();
    stall->runtime = runtime;
    stall->ns = ns;
    rc = stall->event = coir_sys_eventfd(0, EFD_NONBLOCK);
    if (rc >= 0 && (rc = start_thread(stall)) < 0)
        coir_sys_close(stall->event);
    if (rc < 0) {
        coir_sys_free(stall);
        return rc;
    }
    *ret_stall = stall;
    return 0;
}

void coir_stall_stop(struct coir_stall *stall)
{
    if (!stall)
        return;
    coir_sys_event_write(stall->event);
    coir_sys_thread_join(stall->thread);
    coir_sys_close(stall->event);
    coir_sys_free(stall);
}
