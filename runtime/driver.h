/*
 * driver.h - what a worker needs from input and output.
 *
 * runtime/ knows nothing of sockets or rings: it calls a driver through this
 * table, and io/ provides the drivers.
 *
 * An operation is begun on the worker that the task runs on, and belongs to
 * that worker's driver until its terminal completion, which calls
 * coir_op_complete() once; the task waits for that, cancelled or not, so the
 * operation and the buffers it names may live in the task's frames.
 */
#ifndef COIR_RUNTIME_DRIVER_H
#define COIR_RUNTIME_DRIVER_H

#include <sys/socket.h>

#include "atomics.h"
#include "inbox.h"

struct coir_fiber;
struct coir_worker;

enum coir_op_code {
    COIR_OP_READ,    /* fd, memory, len: at the file's position */
    COIR_OP_WRITE,   /* the same */
    COIR_OP_ACCEPT,  /* fd */
    COIR_OP_CONNECT, /* fd, memory: the address, len */
    COIR_OP_POLL,    /* fd, len: the poll(2) events */
    COIR_OP_OPEN,    /* memory: the path, flags, len: the mode */
};

struct coir_op {
    enum coir_op_code code;
    int fd;
    int flags;
    void *memory;
    size_t len;

    COIR_ATOMIC(uint32_t) done;
    ssize_t result;              /* >= 0 or -errno, once done */
    struct coir_fiber *fiber;    /* to unpark */
    struct coir_worker *worker;  /* whose driver has it */
    uint64_t id;                 /* the driver's own */
    struct coir_request request; /* to cancel it from another worker */
};

struct coir_driver {
    const char *name;
    int listener_flags; /* for socket(2) of the listeners that coir makes */

    /* On the worker's thread, at its start and end.  -errno. */
    int (*open)(struct coir_worker *worker);
    void (*close)(struct coir_worker *worker);

    /* When every worker's thread has ended, so that nobody calls wake. */
    void (*release)(struct coir_worker *worker);

    /* What to do where open fails with this; NULL if nothing is known. */
    const char *(*cure)(int rc);

    /* Begin op on the calling worker.  0; 1: it has ended already (coir_op_ended);
       or -errno: not begun. */
    int (*submit)(struct coir_worker *worker, struct coir_op *op);

    /* On op->worker's thread: ask for op, or whatever is in flight on fd, to
       end soon. */
    void (*cancel)(struct coir_worker *worker, struct coir_op *op);
    void (*cancel_fd)(struct coir_worker *worker, int fd);

    /* Whether a poll would do something.  A few loads. */
    bool (*ready)(struct coir_worker *worker);

    /* Submit what has been begun and complete what has ended. */
    void (*poll)(struct coir_worker *worker);

    /* The same, and if nothing has ended, sleep until something does, until
       the worker is woken, or until `deadline`. */
    void (*wait)(struct coir_worker *worker, int64_t deadline);

    /* Make the worker's wait return, now or when it is next called.  Any
       thread, and signal handlers. */
    void (*wake)(struct coir_worker *worker);

    /* Whether something lies with the worker's driver that only its own thread
       can get on with: begun and not submitted, ended and not completed.  A
       hint.  Any thread, from open to release. */
    bool (*stranded)(struct coir_worker *worker);

    /* In a signal handler on the worker's thread, which may have interrupted any
       of these functions: run the worker's requests, submit what has been begun,
       and complete a bounded number of what has ended; or nothing, if the
       driver's state is in the middle of a change.  See rescue.h. */
    void (*rescue)(struct coir_worker *worker);
};

extern const struct coir_driver coir_driver_uring, coir_driver_epoll;

/* Called by drivers: op has ended.  It is the waiting task's again. */
void coir_op_complete(struct coir_op *op, ssize_t result);

/* The same in submit, which then returns 1: the task is not waiting. */
void coir_op_ended(struct coir_op *op, ssize_t result);

/* A worker's place for its driver's state. */
void **coir_worker_driver_state(struct coir_worker *worker);

const struct coir_driver *coir_worker_driver(const struct coir_worker *worker);

/* Its number in its runtime, from 0; and the worker with that number in the same
   runtime, or NULL if there is none. */
int coir_worker_index(const struct coir_worker *worker);
struct coir_worker *coir_worker_at(const struct coir_worker *worker, int index);

/* Count for coir_stats. */
void coir_worker_count_submitted(struct coir_worker *worker);

/* Run what others have requested.  On the worker's thread, or in rescue. */
void coir_worker_run_requests(struct coir_worker *worker);

/* From any thread: let `worker` run the request. */
void coir_worker_request(struct coir_worker *worker, struct coir_request *request);

/*
 * In io/, for coir_select(): let the running fiber be unparked when a descriptor is
 * ready, and go on; op->done then.  0; -EBADF, -ENOMEM and the like: not begun.
 */
int coir_poll_begin(struct coir_op *op, struct coir_fiber *fiber, int fd, int events);

/* Wait for its end, which is asked for.  poll(2) bits; -ECANCELED if it was that which
   ended it; -EBADF if it was somebody who closes the descriptor. */
ssize_t coir_poll_end(struct coir_op *op);

#endif
