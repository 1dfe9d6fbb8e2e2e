/*
 * attempt.h - doing an operation without waiting, whatever the descriptor is.
 *
 * For drivers that are told when a descriptor is ready.  coir does not change
 * the flags of a descriptor, which may be shared with other processes; so a
 * call must be told not to wait, each time it is made:
 *
 *     sockets          recv, send with MSG_DONTWAIT
 *     pipes, events    preadv2, pwritev2 with RWF_NOWAIT
 *     cached files     the same
 *     what does not block already                  the plain call
 *     terminals, inotify, ...: what cannot be told   poll(2); and when that says
 *     listeners that block                           yes, the plain call, on a
 *                                                    thread: somebody else may
 *                                                    take the data in between
 *     files that are not in memory, writing files, opening
 *                                                    the plain call, on a thread
 *     connecting       coir's own socket, which nobody else knows yet: it does
 *                      not block until it is connected
 */
#ifndef COIR_IO_ATTEMPT_H
#define COIR_IO_ATTEMPT_H

#include "runtime/driver.h"

/* No errno: only a call that may block will tell. */
#define COIR_ATTEMPT_BLOCKS (-100000)

/*
 * Try to do op, and go on from *done, which starts at 0.
 *
 * Returns  its result; -EAGAIN if it must wait until the descriptor is ready;
 *          COIR_ATTEMPT_BLOCKS.  Never -EINTR.
 */
ssize_t coir_attempt(const struct coir_op *op, size_t *done);

/* The plain call that is left to do, on a thread that may block.  -EINTR comes
   back, and -EAGAIN if the descriptor does not block after all. */
ssize_t coir_attempt_on_thread(const struct coir_op *op, size_t done);

/* The poll(2) events that op waits for. */
int coir_attempt_events(const struct coir_op *op);

#endif
