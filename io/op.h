/*
 * op.h - running one operation on a driver, and waiting for it.
 */
#ifndef COIR_IO_OP_H
#define COIR_IO_OP_H

#include "runtime/driver.h"

/*
 * Begin op on the caller's worker and wait for its end.
 *
 * If the caller is cancelled or late meanwhile, the driver is asked to end it
 * soon, and its end is waited for: the kernel is then finished with its memory.
 * A result that came first wins.
 *
 * Returns  the result; -ECANCELED or -ETIMEDOUT, the caller's own reason;
 *          -EBADF if it was ended for another's, who closes the descriptor;
 *          -ENOMEM.  Does not look whether the caller is cancelled before it
 *          begins.
 */
ssize_t coir_op_run(struct coir_op *op, const char *reason);

/*
 * The same for an operation on a descriptor of the user's: refused if the
 * caller is cancelled or late, counted in the table of descriptors, begun again
 * when interrupted; where the descriptor does not block, waits for `events`
 * (poll(2) bits) and tries again.
 */
ssize_t coir_op_run_on_fd(struct coir_op *op, int events, const char *reason);

#endif
