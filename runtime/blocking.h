/*
 * blocking.h - threads for calls that can only block.
 *
 * A runtime has three pools, so that none starves another: for names, for what the
 * epoll driver can do in no other way, and for coir_to_thread().  Threads start on
 * demand, up to the pool's limit, end when they have had nothing to do for a while,
 * and end with the run.  The driver's limit is not lower because a call may wait
 * for another of them: the two who open a FIFO.
 *
 * A job that a task waits for belongs to the pool from the call on; the task may
 * leave first, when it is cancelled, and then the pool drops the job once it has
 * run.
 *
 *   state      left by
 *   WAITED     the thread, having run the job: to DONE, and unparks the task,
 *              whose it then is; or the task, cancelled: to ABANDONED
 *   ABANDONED  the thread, having run the job, calls drop
 *   POSTED     nobody: no task waits for it here, and the thread does not touch
 *              the job once it has run
 */
#ifndef COIR_RUNTIME_BLOCKING_H
#define COIR_RUNTIME_BLOCKING_H

#include <pthread.h>

#include "atomics.h"

struct coir_fiber;
struct coir_runtime;

enum coir_blocking_pool {
    COIR_BLOCKING_NAMES,
    COIR_BLOCKING_DRIVER,
    COIR_BLOCKING_CALLS, /* coir_to_thread() */
    COIR_BLOCKING_POOLS
};

struct coir_job {
    void (*run)(struct coir_job *job);  /* on a thread of the pool */
    void (*drop)(struct coir_job *job); /* the same; nobody waits any more */
    void (*describe)(const struct coir_job *job, char *buf, size_t cap); /* of one that has
                                           drop: what it does, for the report */
    struct coir_job *next;
    struct coir_fiber *fiber;
    COIR_ATOMIC(uint32_t) state;
};

struct coir_blocking_thread;

struct coir_blocking {
    pthread_mutex_t lock;
    pthread_cond_t work; /* a job, or the end */
    pthread_cond_t gone; /* a thread has ended */
    struct coir_job *first, **last;
    int length; /* of that list */
    int limit;  /* how many threads there may be */
    int threads, idle;
    struct coir_blocking_thread *all; /* of them */
    int stopping;
    COIR_ATOMIC(uint64_t) queued, done; /* counters */
};

void coir_blocking_init(struct coir_blocking *blocking, int limit);
void coir_blocking_destroy(struct coir_blocking *blocking);

/*
 * Run the job on a pool and wait.  Tasks only.
 *
 * Returns  0: it has run, and is the caller's again; -EAGAIN: no thread could be
 *          started, and it is the caller's; -ECANCELED, -ETIMEDOUT or -ENOMEM: it
 *          is the pool's, which drops it, having run it or not.
 */
int coir_blocking_run(enum coir_blocking_pool pool, struct coir_job *job);

/* On a worker: run the job on a pool; run tells whoever wants to know, and drop
   is not called.  0; -EAGAIN: no thread could be started, and it is not run. */
int coir_blocking_post(enum coir_blocking_pool pool, struct coir_job *job);

/* On a worker of the same runtime: take a posted job back, if it has not been
   begun.  The caller sees to it that it has not been run and told of. */
bool coir_blocking_withdraw(enum coir_blocking_pool pool, struct coir_job *job);

/* End the threads of all pools, once no task is left.  0, or -ETIMEDOUT if a job
   outlasted shutdown_grace: it is named on stderr. */
int coir_blocking_stop(struct coir_runtime *runtime);

#endif
