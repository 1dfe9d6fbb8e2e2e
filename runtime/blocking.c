/*
 * blocking.c - see blocking.h.
 */
#include "blocking.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cancel.h"
#include "sys.h"
#include "worker.h"

enum { WAITED, DONE, ABANDONED, POSTED };

/* In the frame of its thread. */
struct coir_blocking_thread {
    struct coir_blocking_thread *next, **link;
    struct coir_job *job; /* that runs, and that may be described; or NULL */
};

#define IDLE_NS (10 * (int64_t)1000000000) /* after which a thread ends */

static struct coir_blocking *pool_of(enum coir_blocking_pool pool)
{
    return &coir_current_worker()->runtime->blocking[pool];
}

static struct timespec timespec_of(int64_t ns)
{
    return (struct timespec){ .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
}

void coir_blocking_init(struct coir_blocking *blocking, int limit)
{
    pthread_condattr_t monotonic;

    memset(blocking, 0, sizeof *blocking);
    pthread_mutex_init(&blocking->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&blocking->work, &monotonic);
    pthread_cond_init(&blocking->gone, &monotonic);
    pthread_condattr_destroy(&monotonic);
    blocking->last = &blocking->first;
    blocking->limit = limit;
}

void coir_blocking_destroy(struct coir_blocking *blocking)
{
    pthread_cond_destroy(&blocking->work);
    pthread_cond_destroy(&blocking->gone);
    pthread_mutex_destroy(&blocking->lock);
}

/* The lock is held. */
static void unlink_job(struct coir_blocking *blocking, struct coir_job **link)
{
    *link = (*link)->next;
    if (!*link)
        blocking->last = link;
    blocking->length--;
}

/* The lock is held.  NULL: the thread ends. */
static struct coir_job *next_job(struct coir_blocking *blocking)
{
    struct timespec until = timespec_of(coir_sys_now() + IDLE_NS);
    struct coir_job *job;
    int rc = 0;

    while (!blocking->first && !blocking->stopping && rc == 0) {
        blocking->idle++;
        rc = pthread_cond_timedwait(&blocking->work, &blocking->lock, &until);
        blocking->idle--;
    }
    job = blocking->first;
    if (job)
        unlink_job(blocking, &blocking->first);
    return job;
}

static void note_job(struct coir_blocking *blocking, struct coir_blocking_thread *self,
                     struct coir_job *job)
{
    pthread_mutex_lock(&blocking->lock);
    self->job = job;
    pthread_mutex_unlock(&blocking->lock);
}

static void run_job(struct coir_blocking *blocking, struct coir_blocking_thread *self,
                    struct coir_job *job)
{
    struct coir_fiber *fiber = job->fiber;
    uint32_t state = coir_load_acquire(&job->state);

    if (state == WAITED) {
        note_job(blocking, self, job);
        job->run(job);
        note_job(blocking, self, NULL);
    } else if (state == POSTED) {
        job->run(job); /* it is gone when the caller has been told */
    }
    coir_add_relaxed(&blocking->done, 1);
    if (state == POSTED)
        return;
    state = WAITED;
    if (coir_cas_acq_rel(&job->state, &state, DONE))
        coir_unpark(fiber);
    else
        job->drop(job);
}

/* The lock is held. */
static void enter_list(struct coir_blocking *blocking, struct coir_blocking_thread *self)
{
    self->next = blocking->all;
    self->link = &blocking->all;
    if (self->next)
        self->next->link = &self->next;
    blocking->all = self;
}

static void leave_list(struct coir_blocking_thread *self)
{
    *self->link = self->next;
    if (self->next)
        self->next->link = self->link;
}

static void *thread_main(void *arg)
{
    struct coir_blocking *blocking = arg;
    struct coir_blocking_thread self = { 0 };
    struct coir_job *job;

    pthread_mutex_lock(&blocking->lock);
    enter_list(blocking, &self);
    while ((job = next_job(blocking)) != NULL) {
        pthread_mutex_unlock(&blocking->lock);
        run_job(blocking, &self, job);
        pthread_mutex_lock(&blocking->lock);
    }
    leave_list(&self);
    blocking->threads--;
    pthread_cond_signal(&blocking->gone);
    pthread_mutex_unlock(&blocking->lock);
    return NULL;
}

/* The lock is held.  Inherits the worker's signal mask. */
static int start_thread(struct coir_blocking *blocking)
{
    pthread_attr_t detached;
    pthread_t thread;
    int rc;

    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    rc = coir_sys_thread_create(&thread, &detached, thread_main, blocking);
    pthread_attr_destroy(&detached);
    if (rc == 0)
        blocking->threads++;
    return rc;
}

static int enqueue(struct coir_blocking *blocking, struct coir_job *job)
{
    int rc = 0;

    pthread_mutex_lock(&blocking->lock);
    if (blocking->idle <= blocking->length && blocking->threads < blocking->limit)
        rc = start_thread(blocking) < 0 ? -EAGAIN : 0;
    if (blocking->threads > 0) { /* one that could not be started is not missed */
        rc = 0;
        job->next = NULL;
        *blocking->last = job;
        blocking->last = &job->next;
        blocking->length++;
        pthread_cond_signal(&blocking->work);
        coir_add_relaxed(&blocking->queued, 1);
    }
    pthread_mutex_unlock(&blocking->lock);
    return rc;
}

int coir_blocking_run(enum coir_blocking_pool pool, struct coir_job *job)
{
    struct coir_fiber *fiber = coir_fiber_of_caller("coir_blocking_run");
    int rc;

    job->fiber = fiber;
    coir_store_relaxed(&job->state, WAITED);
    rc = enqueue(pool_of(pool), job);
    if (rc < 0)
        return rc;
    while (coir_load_acquire(&job->state) == WAITED) {
        uint32_t state = WAITED;
        rc = coir_cancel_prepare(fiber, "thread", (void *)(uintptr_t)job->run);
        if (rc == 0)
            coir_park(fiber, "thread", (void *)(uintptr_t)job->run);
        else if (coir_cas_acq_rel(&job->state, &state, ABANDONED))
            return coir_cancel_deliver(fiber, rc);
    }
    return 0;
}

int coir_blocking_post(enum coir_blocking_pool pool, struct coir_job *job)
{
    coir_store_relaxed(&job->state, POSTED);
    return enqueue(pool_of(pool), job);
}

bool coir_blocking_withdraw(enum coir_blocking_pool pool, struct coir_job *job)
{
    struct coir_blocking *blocking = pool_of(pool);
    struct coir_job **link;
    bool found;

    pthread_mutex_lock(&blocking->lock);
    for (link = &blocking->first; *link && *link != job; link = &(*link)->next)
        ;
    found = *link != NULL;
    if (found) {
        unlink_job(blocking, link);
        coir_add_relaxed(&blocking->done, 1);
    }
    pthread_mutex_unlock(&blocking->lock);
    return found;
}

/* The lock is held. */
static void report_jobs(const struct coir_blocking *blocking)
{
    char what[160], line[256];

    for (struct coir_blocking_thread *thread = blocking->all; thread; thread = thread->next) {
        int n;

        if (!thread->job)
            continue;
        thread->job->describe(thread->job, what, sizeof what);
        n = snprintf(line, sizeof line, "coir: %s did not end within shutdown_grace\n", what);
        coir_sys_write(2, line, (size_t)n);
    }
}

static int stop_pool(struct coir_blocking *blocking, const struct timespec *until)
{
    int rc = 0;

    pthread_mutex_lock(&blocking->lock);
    blocking->stopping = 1;
    pthread_cond_broadcast(&blocking->work);
    while (blocking->threads > 0 && rc == 0)
        rc = pthread_cond_timedwait(&blocking->gone, &blocking->lock, until);
    rc = blocking->threads > 0 ? -ETIMEDOUT : 0;
    if (rc < 0)
        report_jobs(blocking);
    pthread_mutex_unlock(&blocking->lock);
    return rc;
}

int coir_blocking_stop(struct coir_runtime *runtime)
{
    struct timespec until;
    int64_t deadline;
    int rc = 0;

    if (__builtin_add_overflow(coir_sys_now(), runtime->shutdown_grace, &deadline))
        deadline = INT64_MAX;
    until = timespec_of(deadline);
    for (int i = 0; i < COIR_BLOCKING_POOLS; i++)
        if (stop_pool(&runtime->blocking[i], &until) < 0)
            rc = -ETIMEDOUT;
    return rc;
}
