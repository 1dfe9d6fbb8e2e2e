/*
 * fd.c - reading and writing.
 */
#include "coir/fd.h"

#include <errno.h>
#include <poll.h>

#include "op.h"
#include "runtime/cancel.h"
#include "runtime/current.h"

#define LEN_MAX ((size_t)0x7ffff000) /* what the kernel does in one call */

static size_t clamp(size_t len)
{
    return len < LEN_MAX ? len : LEN_MAX;
}

ssize_t coir_read(int fd, void *buf, size_t len)
{
    struct coir_op op = { .code = COIR_OP_READ, .fd = fd, .memory = buf, .len = clamp(len) };

    return coir_op_run_on_fd(&op, POLLIN, "coir_read");
}

ssize_t coir_write(int fd, const void *buf, size_t len)
{
    struct coir_op op = { .code = COIR_OP_WRITE, .fd = fd, .memory = (void *)(uintptr_t)buf,
                          .len = clamp(len) };

    return coir_op_run_on_fd(&op, POLLOUT, "coir_write");
}

int coir_read_exact(int fd, void *buf, size_t len, size_t *done)
{
    size_t none = 0, *have = done ? done : &none;
    int rc;

    rc = coir_cancel_pending(coir_fiber_of_caller("coir_read_exact"));
    if (rc < 0)
        return rc;
    while (*have < len) {
        ssize_t n = coir_read(fd, (char *)buf + *have, len - *have);
        if (n <= 0)
            return n < 0 ? (int)n : -EPIPE;
        *have += (size_t)n;
    }
    return 0;
}

static int write_all(const char *function, int fd, const void *buf, size_t len, size_t *done)
{
    int rc = coir_cancel_pending(coir_fiber_of_caller(function));

    if (rc < 0)
        return rc;
    while (*done < len) {
        ssize_t n = coir_write(fd, (const char *)buf + *done, len - *done);
        if (n <= 0)
            return n < 0 ? (int)n : -EIO;
        *done += (size_t)n;
    }
    return 0;
}

int coir_write_all_from(int fd, const void *buf, size_t len, size_t *done)
{
    return write_all("coir_write_all_from", fd, buf, len, done);
}

ssize_t coir_write_all(int fd, const void *buf, size_t len)
{
    size_t done = 0;
    int rc = write_all("coir_write_all", fd, buf, len, &done);

    return rc < 0 ? rc : (ssize_t)len;
}

int coir_wait_fd(int fd, short events)
{
    struct coir_op op = { .code = COIR_OP_POLL, .fd = fd, .len = (size_t)(unsigned short)events };

    coir_fiber_of_caller("coir_wait_fd");
    if (coir_is_forked())
        return -ECHILD;
    return events ? (int)coir_op_run_on_fd(&op, events, "coir_wait_fd") : -EINVAL;
}
