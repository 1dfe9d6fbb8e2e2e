/*
 * fdtable.h - which descriptors have operations in flight, so that closing one
 * is a fence.
 *
 * One word per descriptor number, in a table of two levels that grows and never
 * moves, for the whole process:
 *
 *     in flight   operations begun and not ended
 *     state       OPEN       operations may begin
 *                 DRAINING   somebody waits for those in flight to end; new ones
 *                            get -EBADF
 *                 CLOSING    close(2) is being called.  The number may already
 *                            be somebody else's: that one waits a moment
 *     rings       a bit for each worker (modulo 30) whose driver an operation
 *                 was begun on since the descriptor was opened
 *
 * Who may call what
 *
 *     begin, again    the task that operates, on the worker whose driver it is
 *                     about to use, with no suspension between the two
 *     end             the same task, once its operation is over
 *     coir_close()    any task
 *
 * Memory orders [F]: every change is a sequentially consistent read-modify-write of
 * the one word.  begin's either comes before the closer's change to DRAINING,
 * and then the closer sees the count and the ring's bit; or after, and then
 * begin sees DRAINING.  The last end unparks the closer.
 */
#ifndef COIR_IO_FDTABLE_H
#define COIR_IO_FDTABLE_H

struct coir_worker;

/* 0; -EBADF if fd is negative or being closed; -ENOMEM. */
int coir_fd_begin(struct coir_worker *worker, int fd);

/* Before another driver operation of the same call.  0 or -EBADF. */
int coir_fd_again(struct coir_worker *worker, int fd);

void coir_fd_end(int fd);

#endif
