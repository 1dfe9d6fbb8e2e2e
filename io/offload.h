/*
 * offload.h - one operation's blocking call, on a thread of the pool, that can be
 * asked to end.
 *
 * A call that blocks ends early only by a signal whose handler does not restart
 * it.  It is sent to the thread that is in the call, and to no other; the first
 * real-time signal from the top whose handler is the default is taken for it, the
 * first time that it is needed.  One that comes just before the call is lost: so
 * whoever asks, asks again until the call has ended.
 *
 *     the pool's thread                   the operation's worker
 *     thread = this one                   asked = true
 *     full barrier              [N]       full barrier
 *     asked?  then no call                thread? then signal it
 *
 * A signal that comes after the call interrupts the next one of that thread,
 * which was not asked, and is made again.
 *
 * Checked by  tests/io/test_cancel_io.c, test_kinds.c, with the epoll driver
 */
#ifndef COIR_IO_OFFLOAD_H
#define COIR_IO_OFFLOAD_H

#include "runtime/blocking.h"
#include "runtime/driver.h"

struct coir_offload {
    struct coir_job job; /* first */
    const struct coir_op *op;
    size_t done; /* see attempt.h */
    ssize_t result;
    void (*ended)(struct coir_offload *offload); /* on the thread; the last it does with it */
    COIR_ATOMIC(pid_t) thread;                   /* in the call, or 0 */
    COIR_ATOMIC(uint32_t) asked;
};

/* On the operation's worker: make op's call, with `ended` set.  0, or -ENOMEM if
   there is no thread. */
int coir_offload_start(struct coir_offload *offload, const struct coir_op *op, size_t done);

/* On the operation's worker, until it has heard of the end. */

/* True: the call has not been begun, and will not be; `ended` is not called. */
bool coir_offload_withdraw(struct coir_offload *offload);

/* Let it end soon, with -ECANCELED if nothing came of it.  Signal handlers, too. */
void coir_offload_interrupt(struct coir_offload *offload);

#endif
