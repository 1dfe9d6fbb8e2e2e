/*
 * coir/fd.h - reading, writing and closing descriptors.
 *
 * Plain int descriptors, of any kind: sockets, pipes, terminals, files; made
 * by coir or not; blocking or not.  coir never changes the flags of one.
 *
 * coir_close() is a fence: operations in flight on the descriptor end with
 * -EBADF, or with their result, before it is closed.  Plain close(2) is safe
 * only while none is in flight.
 *
 * Data that has arrived is never lost to a cancel: a call that was already
 * waiting returns what it got, and the next call reports the cancel.
 *
 * All of these are for tasks only.
 */
#ifndef COIR_FD_H
#define COIR_FD_H

#include <stddef.h>
#include <sys/types.h>

#include "coir/defs.h"

COIR_BEGIN_DECLS

/*
 * Read up to len bytes.
 *
 * buf       Written until the call returns.
 *
 * Returns   the number of bytes, 0 at end of file; -ECANCELED or -ETIMEDOUT,
 *           nothing read; -EBADF if fd is, or is being, closed; what read(2)
 *           fails with, save EINTR and EAGAIN.
 * Suspends  until there is something to return.
 */
COIR_API ssize_t coir_read(int fd, void *buf, size_t len);

/*
 * Write up to len bytes.
 *
 * buf       Borrowed until the call returns.
 *
 * Returns   the number of bytes taken, at least 1 unless len is 0; -EPIPE if
 *           nobody reads any more (there is no SIGPIPE); else as coir_read().
 * Suspends  until at least one byte could be written.
 */
COIR_API ssize_t coir_write(int fd, const void *buf, size_t len);

/*
 * Read len bytes, no fewer.
 *
 * done      How many of them are there already: reading starts at buf[*done],
 *           and *done is advanced on every return, so that a call cut short by
 *           a deadline can be made again.  NULL starts at 0 and tells nothing.
 *
 * Returns   0 when all len bytes are there; -EPIPE if the stream ended before;
 *           else as coir_read().
 * Suspends  until done.
 */
COIR_API int coir_read_exact(int fd, void *buf, size_t len, size_t *done);

/*
 * Write all len bytes.
 *
 * Returns   len, or an error after which a prefix may have been written;
 *           coir_write_all_from() tells how much.
 * Suspends  until done.
 */
COIR_API ssize_t coir_write_all(int fd, const void *buf, size_t len);

/* The same, starting at buf[*done], which is advanced on every return; 0 when
   all is written.  done must not be NULL. */
COIR_API int coir_write_all_from(int fd, const void *buf, size_t len, size_t *done);

/*
 * Close a descriptor, once no operation is in flight on it.
 *
 * Operations in flight, of any task of this run on any worker, are ended (those of
 * another run are only waited for): each returns its
 * result if it has one, or else -EBADF.  Calls that begin meanwhile get
 * -EBADF.  Does its whole work even if the caller is cancelled or late.
 *
 * Returns   0; -EBADF if fd is not open, or another task is closing it; what
 *           close(2) reports, the descriptor being closed all the same.
 * Suspends  only while operations are in flight.
 */
COIR_API int coir_close(int fd);

/*
 * Wait until a descriptor is ready, and leave it at that: for libraries that read and
 * write by themselves.  An epoll descriptor works too.
 *
 * events    poll(2) bits: POLLIN, POLLOUT, POLLPRI.
 *
 * Tasks only.
 *
 * Returns   the bits that are set, > 0, POLLERR and POLLHUP among them; -EBADF;
 *           -EINVAL if events is 0; -ECANCELED or -ETIMEDOUT; -ENOMEM.
 * Suspends  always.
 */
COIR_API int coir_wait_fd(int fd, short events);

COIR_END_DECLS

#endif
