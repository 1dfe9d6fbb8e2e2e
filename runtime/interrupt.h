/*
 * interrupt.h - SIGINT while a run lasts: the first one is the run's, the second ends
 * the process.
 *
 * The handler works once, and the second SIGINT finds the default again.  Of several
 * runs at once the first that asks has it.
 */
#ifndef COIR_RUNTIME_INTERRUPT_H
#define COIR_RUNTIME_INTERRUPT_H

#include <stdbool.h>

/* Have SIGINT write to the event.  False: the program has a handler of its own, or
   ignores it, or another run has it. */
bool coir_interrupt_take(int event);

/* Whether it has come since. */
bool coir_interrupt_came(void);

/* Put the default back.  The event is not written to afterwards. */
void coir_interrupt_return(void);

/* In a forked child: the event is its parent's. */
void coir_interrupt_forget(void);

#endif
