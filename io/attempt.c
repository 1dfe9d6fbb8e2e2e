/*
 * attempt.c - see attempt.h.
 */
#include "attempt.h"

#include <errno.h>
#include <poll.h>

#include "runtime/sys.h"

int coir_attempt_events(const struct coir_op *op)
{
    switch (op->code) {
    case COIR_OP_READ:
    case COIR_OP_ACCEPT:
        return POLLIN;
    case COIR_OP_WRITE:
    case COIR_OP_CONNECT:
        return POLLOUT;
    case COIR_OP_POLL:
        return (int)op->len;
    case COIR_OP_OPEN:
        break;
    }
    return 0;
}

static ssize_t call(const struct coir_op *op, size_t done)
{
    switch (op->code) {
    case COIR_OP_READ:
        return coir_sys_read_once(op->fd, (char *)op->memory + done, op->len - done);
    case COIR_OP_WRITE:
        return coir_sys_write_once(op->fd, op->memory, op->len);
    case COIR_OP_ACCEPT:
        return coir_sys_accept(op->fd, SOCK_CLOEXEC);
    case COIR_OP_CONNECT:
        return coir_sys_connect(op->fd, op->memory, (socklen_t)op->len);
    case COIR_OP_OPEN:
        return coir_sys_open_once(op->memory, op->flags, (mode_t)op->len);
    case COIR_OP_POLL:
        break;
    }
    return -EINVAL;
}

ssize_t coir_attempt_on_thread(const struct coir_op *op, size_t done)
{
    ssize_t rc = call(op, done);

    if (op->code != COIR_OP_READ || done == 0)
        return rc;
    return rc < 0 ? (ssize_t)done : (ssize_t)done + rc; /* what has been read is read */
}

/* Of a kind that cannot be told not to wait. */
static ssize_t attempt_plainly(const struct coir_op *op)
{
    int rc = coir_sys_poll_now(op->fd, coir_attempt_events(op));
    ssize_t n;

    if (rc <= 0)
        return rc < 0 ? rc : -EAGAIN;
    rc = coir_sys_is_nonblocking(op->fd);
    if (rc <= 0)
        return rc < 0 ? rc : COIR_ATTEMPT_BLOCKS;
    while ((n = call(op, 0)) == -EINTR)
        ;
    return n;
}

/* Of a file whose end is not in memory the beginning may be: the whole is read, as
   read(2) does. */
static ssize_t read_file(const struct coir_op *op, size_t *done)
{
    ssize_t n;

    do {
        n = coir_sys_read_now(op->fd, (char *)op->memory + *done, op->len - *done);
        if (n < 0 && *done == 0)
            return n;
        if (n == -EAGAIN)
            return COIR_ATTEMPT_BLOCKS;
        if (n > 0)
            *done += (size_t)n;
    } while (n > 0 && *done < op->len && coir_sys_is_regular(op->fd));
    return (ssize_t)*done;
}

static ssize_t attempt_read(const struct coir_op *op, size_t *done)
{
    /* Reading nothing from a socket takes no packet. */
    ssize_t n = coir_sys_recv(op->fd, op->memory, op->len,
                              op->len ? MSG_DONTWAIT : MSG_DONTWAIT | MSG_PEEK);

    if (n != -ENOTSOCK)
        return op->len || n == -EBADF ? n : 0;
    n = read_file(op, done);
    return n == -EOPNOTSUPP ? attempt_plainly(op) : n;
}

/* A regular file takes a record whole, which it would not if told not to wait. */
static ssize_t attempt_write(const struct coir_op *op)
{
    ssize_t n = coir_sys_send(op->fd, op->memory, op->len, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (n != -ENOTSOCK)
        return n;
    if (coir_sys_is_regular(op->fd))
        return COIR_ATTEMPT_BLOCKS;
    n = coir_sys_write_now(op->fd, op->memory, op->len);
    return n == -EOPNOTSUPP ? attempt_plainly(op) : n;
}

static ssize_t attempt_accept(const struct coir_op *op)
{
    int listens, rc = coir_sys_is_nonblocking(op->fd);

    if (rc < 0)
        return rc;
    if (rc == 0) {
        rc = coir_sys_getsockopt(op->fd, SOL_SOCKET, SO_ACCEPTCONN, &listens);
        if (rc < 0)
            return rc;
        if (listens)
            return attempt_plainly(op);
    }
    while ((rc = coir_sys_accept(op->fd, SOCK_CLOEXEC)) == -EINTR)
        ;
    return rc;
}

static ssize_t begin_connect(const struct coir_op *op)
{
    int rc = coir_sys_set_nonblocking(op->fd, true);

    if (rc < 0)
        return rc;
    do
        rc = coir_sys_connect(op->fd, op->memory, (socklen_t)op->len);
    while (rc == -EINTR);
    if (rc == -EINPROGRESS || rc == -EALREADY)
        return -EAGAIN;
    if (rc == -EAGAIN)
        return COIR_ATTEMPT_BLOCKS; /* a local socket, whose peer is busy */
    return rc == -EISCONN ? 0 : rc;
}

static ssize_t finish_connect(const struct coir_op *op)
{
    int error, rc = coir_sys_poll_now(op->fd, POLLOUT);

    if (rc <= 0)
        return rc < 0 ? rc : -EAGAIN;
    rc = coir_sys_getsockopt(op->fd, SOL_SOCKET, SO_ERROR, &error);
    return rc < 0 ? rc : -error;
}

/* *done: whether it has been begun. */
static ssize_t attempt_connect(const struct coir_op *op, size_t *done)
{
    ssize_t rc = *done ? finish_connect(op) : begin_connect(op);
    int restored;

    *done = rc == -EAGAIN;
    if (rc == -EAGAIN)
        return rc;
    restored = coir_sys_set_nonblocking(op->fd, false);
    return rc == 0 ? restored : rc;
}

static ssize_t attempt_poll(const struct coir_op *op)
{
    int rc = coir_sys_poll_now(op->fd, (int)op->len);

    return rc ? rc : -EAGAIN;
}

ssize_t coir_attempt(const struct coir_op *op, size_t *done)
{
    switch (op->code) {
    case COIR_OP_READ:
        return attempt_read(op, done);
    case COIR_OP_WRITE:
        return attempt_write(op);
    case COIR_OP_ACCEPT:
        return attempt_accept(op);
    case COIR_OP_CONNECT:
        return attempt_connect(op, done);
    case COIR_OP_POLL:
        return attempt_poll(op);
    case COIR_OP_OPEN:
        break;
    }
    return COIR_ATTEMPT_BLOCKS;
}
