/*
 * echo_uring.c - the floor for an echo server on io_uring: no tasks, no stacks,
 * no scheduler, one ring per thread, and for each request one receive and one
 * send, submitted together with everything else that has become ready.
 */
#define _GNU_SOURCE
#include "echo_common.h"

#include <errno.h>
#include <liburing.h>

#define RING_ENTRIES 4096
#define CQ_ENTRIES 32768

enum operation { ACCEPTED, RECEIVED, SENT };

/* Connections are aligned, so the operation fits into the low bits. */
static void tag(struct io_uring_sqe *sqe, struct echo_connection *connection, enum operation op)
{
    io_uring_sqe_set_data64(sqe, (uintptr_t)connection | op);
}

static struct io_uring_sqe *next_sqe(struct io_uring *ring)
{
    struct io_uring_sqe *sqe;

    while (!(sqe = io_uring_get_sqe(ring)))
        io_uring_submit(ring);
    return sqe;
}

static void queue_accept(struct io_uring *ring, int pipe, int *ret_fd)
{
    struct io_uring_sqe *sqe = next_sqe(ring);

    io_uring_prep_read(sqe, pipe, ret_fd, sizeof *ret_fd, 0);
    tag(sqe, NULL, ACCEPTED);
}

static void queue_recv(struct io_uring *ring, struct echo_connection *c)
{
    struct io_uring_sqe *sqe = next_sqe(ring);

    io_uring_prep_recv(sqe, c->fd, c->buffer, sizeof c->buffer, 0);
    tag(sqe, c, RECEIVED);
}

static void queue_send(struct io_uring *ring, struct echo_connection *c)
{
    struct io_uring_sqe *sqe = next_sqe(ring);

    io_uring_prep_send(sqe, c->fd, c->buffer + c->sent, c->length - c->sent, MSG_NOSIGNAL);
    tag(sqe, c, SENT);
}

static void received(struct io_uring *ring, struct echo_connection *c, int bytes)
{
    if (bytes <= 0) {
        echo_connection_free(c);
        return;
    }
    c->length = (unsigned)bytes;
    c->sent = 0;
    queue_send(ring, c);
}

static void sent(struct io_uring *ring, struct echo_connection *c, int bytes)
{
    if (bytes < 0) {
        echo_connection_free(c);
        return;
    }
    c->sent += (unsigned)bytes;
    if (c->sent < c->length)
        queue_send(ring, c);
    else
        queue_recv(ring, c);
}

static void open_ring(struct io_uring *ring)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
        .cq_entries = CQ_ENTRIES,
    };
    int rc = io_uring_queue_init_params(RING_ENTRIES, ring, &params);

    if (rc < 0)
        echo_fail("io_uring_setup", -rc);
    io_uring_register_ring_fd(ring);
}

static void handle(struct io_uring *ring, const struct io_uring_cqe *cqe, int pipe, int *fd)
{
    uintptr_t data = (uintptr_t)io_uring_cqe_get_data64(cqe);
    struct echo_connection *c = (struct echo_connection *)(data & ~(uintptr_t)3);

    switch ((enum operation)(data & 3)) {
    case ACCEPTED:
        if (cqe->res != sizeof *fd)
            echo_fail("read", cqe->res < 0 ? -cqe->res : EIO);
        queue_recv(ring, echo_connection_new(*fd));
        queue_accept(ring, pipe, fd);
        break;
    case RECEIVED:
        received(ring, c, cqe->res);
        break;
    case SENT:
        sent(ring, c, cqe->res);
        break;
    }
}

static void *serve(void *arg)
{
    int pipe = *(int *)arg, fd;
    struct io_uring ring;

    open_ring(&ring);
    queue_accept(&ring, pipe, &fd);
    for (;;) {
        int rc = io_uring_submit_and_wait(&ring, 1);
        if (rc < 0 && rc != -EINTR)
            echo_fail("io_uring_enter", -rc);

        struct io_uring_cqe *cqe;
        unsigned head, handled = 0;
        io_uring_for_each_cqe(&ring, head, cqe) {
            handle(&ring, cqe, pipe, &fd);
            handled++;
        }
        io_uring_cq_advance(&ring, handled);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    echo_serve(argc, argv, serve);
}
