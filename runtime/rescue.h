/*
 * rescue.h - work queued behind a worker that does not come to hand it over.
 *
 * A worker that computes, or sits in a system call of the program's own, does
 * not see that somebody asks.  An idle worker that has looked around for 50 us,
 * found items in another's queue, and seen that one make no step meanwhile,
 * sends its thread a signal.  The handler runs on the owner's thread and hands
 * over in its stead: the run queue is made for being interrupted at any
 * instruction (runqueue.h).
 *
 * Signals are sent on that evidence only, one to a victim at a time, and ever
 * more rarely, 50 us to 10 ms, as long as they bring nothing.
 *
 * The handler touches no task, takes no lock, allocates nothing and makes no
 * system call.  It ignores signals that were not sent to its thread by this
 * process, and hands those to the handler that was there before.
 */
#ifndef COIR_RUNTIME_RESCUE_H
#define COIR_RUNTIME_RESCUE_H

#include <stdbool.h>

struct coir_runtime;
struct coir_worker;

/* Install the handler for the runtime's signal, for the rest of the process's
   life.  0 or -errno. */
int coir_rescue_install(int signal);

/* Note how far every other worker has come. */
void coir_rescue_observe(struct coir_worker *worker);

/* 50 us later: signal those that have work queued and made no step since.
   Returns whether any was signalled. */
bool coir_rescue_signal(struct coir_worker *worker);

#endif
