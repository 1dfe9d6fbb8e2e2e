/*
 * op.c - see op.h.
 */
#include "op.h"

#include <errno.h>

#include "fdtable.h"
#include "runtime/cancel.h"
#include "runtime/current.h"
#include "runtime/park.h"

#define STEPS_PER_OP 8 /* a system call at least, rather than 20 ns */

static struct coir_op *op_of(struct coir_request *request)
{
    return (struct coir_op *)((char *)request - offsetof(struct coir_op, request));
}

/* On the worker whose driver has the operation. */
static void run_cancel(struct coir_worker *worker, struct coir_request *request)
{
    struct coir_op *op = op_of(request);

    if (!coir_load_relaxed(&op->done))
        coir_worker_driver(worker)->cancel(worker, op);
}

/* Returns whether the request is under way on another worker. */
static bool ask_to_end(struct coir_op *op)
{
    if (op->worker == coir_current_worker()) {
        run_cancel(op->worker, &op->request);
        return false;
    }
    op->request = (struct coir_request){ .run = run_cancel, .fiber = op->fiber };
    coir_worker_request(op->worker, &op->request);
    return true;
}

static void park(struct coir_op *op, const char *reason)
{
    coir_park(op->fiber, reason, (void *)(intptr_t)op->fd);
}

/* On the running fiber's worker.  1: it has ended already. */
static int begin(struct coir_op *op, struct coir_fiber *fiber)
{
    struct coir_worker *worker = coir_current_worker();
    int rc;

    op->fiber = fiber;
    op->worker = worker;
    coir_store_relaxed(&op->done, 0);
    rc = coir_worker_driver(worker)->submit(worker, op);
    if (rc >= 0)
        coir_worker_count_submitted(worker);
    return rc;
}

/* elsewhere: another worker has been asked to end it. */
static void wait_for_end(struct coir_op *op, bool elsewhere, const char *reason)
{
    while (!coir_load_acquire(&op->done)) /* [D] */
        park(op, reason);
    while (elsewhere && !coir_load_acquire(&op->request.done))
        park(op, reason); /* the request is part of op */
}

ssize_t coir_op_run(struct coir_op *op, const char *reason)
{
    struct coir_fiber *fiber = coir_fiber_of_caller(reason);
    bool asked = false, elsewhere = false;
    int rc = begin(op, fiber);

    if (rc < 0)
        return rc;
    if (rc > 0) {
        coir_take_steps(fiber, STEPS_PER_OP);
        return op->result;
    }
    while (!asked && !coir_load_acquire(&op->done)) { /* [D] */
        if ((rc = coir_cancel_prepare(fiber, reason, (void *)(intptr_t)op->fd)) != 0) {
            elsewhere = ask_to_end(op);
            asked = true;
        } else {
            park(op, reason);
        }
    }
    wait_for_end(op, elsewhere, reason);
    if (op->result != -ECANCELED && !(op->result == -EINTR && asked))
        return op->result;
    if (rc == -ENOMEM)
        return rc;
    rc = coir_cancel_pending(fiber);
    return rc ? rc : -EBADF;
}

int coir_poll_begin(struct coir_op *op, struct coir_fiber *fiber, int fd, int events)
{
    int rc = coir_fd_begin(coir_current_worker(), fd);

    if (rc < 0)
        return rc;
    *op = (struct coir_op){ .code = COIR_OP_POLL, .fd = fd, .len = (size_t)events };
    rc = begin(op, fiber);
    if (rc > 0)
        coir_store_relaxed(&op->done, 1);
    else if (rc < 0)
        coir_fd_end(fd);
    return rc < 0 ? rc : 0;
}

ssize_t coir_poll_end(struct coir_op *op)
{
    bool asked = !coir_load_acquire(&op->done);

    wait_for_end(op, asked && ask_to_end(op), "ready");
    coir_fd_end(op->fd);
    return op->result == -ECANCELED && !asked ? -EBADF : op->result;
}

/* Wait until a descriptor that does not block is ready. */
static ssize_t wait_ready(int fd, int events)
{
    struct coir_op op = { .code = COIR_OP_POLL, .fd = fd, .len = (size_t)events };

    return coir_op_run(&op, "ready");
}

static ssize_t run_again(struct coir_op *op, int events, const char *reason)
{
    ssize_t rc;

    while ((rc = coir_op_run(op, reason)) == -EINTR || rc == -EAGAIN) {
        if (rc == -EAGAIN) {
            rc = coir_fd_again(coir_current_worker(), op->fd);
            if (rc == 0)
                rc = wait_ready(op->fd, events);
            if (rc < 0 && rc != -EINTR)
                return rc;
        } else if ((rc = coir_cancel_pending(op->fiber)) < 0) {
            return rc;
        }
        rc = coir_fd_again(coir_current_worker(), op->fd);
        if (rc < 0)
            return rc;
    }
    return rc;
}

ssize_t coir_op_run_on_fd(struct coir_op *op, int events, const char *reason)
{
    ssize_t rc = coir_cancel_pending(coir_fiber_of_caller(reason));

    if (rc < 0)
        return rc;
    rc = coir_fd_begin(coir_current_worker(), op->fd);
    if (rc < 0)
        return rc;
    rc = run_again(op, events, reason);
    coir_fd_end(op->fd);
    return rc;
}
