/*
 * rescue.h - work that lies with a worker that does not come to see to it.
 *
 * A worker that computes, or sits in a system call of the program's own, looks
 * neither at who asks for its tasks, nor at its timers, nor at its ring.  Others
 * look after it: those that search, those that are on the lookout (worker.c), and
 * at their ticks those that are busy.  One that has made no step for a while is
 * helped:
 *
 *     its outbox and its inbox        the helper takes; they are anyone's
 *     its queue, its due timers,      only its own thread can get at: it is sent
 *     its requests, its driver        a signal, and the handler moves them on
 *                                     its behalf to the outbox and the inbox
 *
 *     helper                          stuck worker
 *     pulse unchanged; evidence
 *     tgkill                    -->   handler: driver->rescue, timers --> inbox
 *     ...                                      queue --> outbox
 *                                              wake a sleeper, if nobody searches
 *     takes outbox and inbox    <--   goes on
 *
 * Evidence: items queued, for 50 us in which its thread computed, or else 500 us; a
 * timer that is due, a request, operations that the driver calls stranded, for 1 ms.
 * A thread that waits for a CPU, or submits many operations in one system call, makes
 * no step either, but will, and a signal reaches it no sooner.  Without evidence there
 * is no signal.
 * One at a time is sent to a victim, and ever more rarely, 50 us to 10 ms, as long
 * as it makes no step and the signals are in vain.  The inbox is left to its owner for
 * 1 ms too: one who has just been woken for it needs a while to get up.
 *
 * What its task wakes while it computes
 *
 *   A worker keeps a single fiber that it wakes: two that send each other messages
 *   stay together.  One that computes will not come to run it.  So those who find that
 *   it makes no step for 500 us, and that its thread computes, tell it: they
 *   write its pulse to its word `stuck`.  As long as its pulse is that, it puts what
 *   it wakes, and all else that it has queued, into its outbox at once; or sends it
 *   to a sleeper, while the outbox is full; and only if nobody sleeps is a signal needed.
 *   The word is a hint: an old one differs from the pulse, and is forgotten.
 *
 * The handler's contract
 *
 *   It may interrupt the owner anywhere: in the program, in malloc, in a switch, in
 *   the runtime.  Run queue and outbox are made for that (runqueue.h, handover.h);
 *   timers and driver have a word `busy`, set by plain stores around every change,
 *   and the handler leaves those alone that it finds busy: the owner is in the
 *   runtime then, and if it goes on to compute, the next signal finds it there.
 *   It allocates nothing, takes no lock, moves a bounded number of each kind, and
 *   does not touch errno.  What it wakes goes to the worker's own inbox, by one
 *   compare-and-swap (coir_unpark looks at `in_rescue`).
 *   Signals that this process did not send to this very thread are handed to the
 *   handler that was there before.
 *
 * Checked by  tests/api/test_rescue.c, tests/io/test_rescue_io.c
 *             tests/unit/test_runqueue.c (the handler after every instruction)
 */
#ifndef COIR_RUNTIME_RESCUE_H
#define COIR_RUNTIME_RESCUE_H

#include <stdbool.h>
#include <stdint.h>

struct coir_runtime;
struct coir_worker;

/* For so long it is doubtful whether one with items queued, whose thread does not
   compute, is stuck; the caller of coir_rescue_look() looks again after that time. */
#define COIR_RESCUE_DOUBT_NS 500000

enum coir_rescue_result {
    COIR_RESCUE_NOTHING,
    COIR_RESCUE_SIGNALLED, /* somebody was; it takes a moment */
    COIR_RESCUE_TOOK,      /* there is something in the caller's queue now */
};

/* Install the handler for the runtime's signal, for the rest of the process's
   life.  0 or -errno. */
int coir_rescue_install(int signal);

/* Note how far every other worker has come, and help those that have made no step
   for `patience` nanoseconds. */
enum coir_rescue_result coir_rescue_look(struct coir_worker *worker, int64_t now,
                                         int64_t patience);

#endif
