/*
 * file.c - opening files.
 */
#include "coir/file.h"

#include <errno.h>
#include <fcntl.h>

#include "op.h"
#include "runtime/cancel.h"

int coir_open(const char *path, int flags, mode_t mode)
{
    struct coir_op op = { .code = COIR_OP_OPEN, .fd = AT_FDCWD, .flags = flags | O_CLOEXEC,
                          .memory = (void *)(uintptr_t)path, .len = mode };
    struct coir_fiber *fiber = coir_fiber_of_caller("coir_open");
    int rc;

    do {
        rc = coir_cancel_pending(fiber);
        if (rc == 0)
            rc = (int)coir_op_run(&op, "coir_open");
    } while (rc == -EINTR || rc == -EAGAIN);
    return rc;
}
