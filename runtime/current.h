/*
 * current.h - which worker the calling thread is, or which call it makes.
 *
 * The only thread-local variables of the project are behind these functions.  A
 * task that suspends may go on on another thread, and compilers keep the
 * address of a thread-local across the suspension (gcc and clang both do, in a
 * shared library); so nobody may hold the result across a call that suspends:
 * ask again.
 */
#ifndef COIR_RUNTIME_CURRENT_H
#define COIR_RUNTIME_CURRENT_H

#include <stdbool.h>
#include <stdint.h>

#include "atomics.h"

struct coir_runtime;
struct coir_worker;

/* What a thread that runs a call for coir_to_thread() may look at. */
struct coir_thread_call {
    struct coir_runtime *runtime;
    COIR_ATOMIC(int) reason; /* to end soon: -ECANCELED, -ETIMEDOUT; or 0 */
};

/* The worker that runs on this thread, or NULL on any other thread. */
struct coir_worker *coir_current_worker(void);
void coir_set_current_worker(struct coir_worker *worker);

/* The call that this thread makes for a task, or NULL. */
struct coir_thread_call *coir_current_call(void);
void coir_set_current_call(struct coir_thread_call *call);

/* Whether this is a forked child, whose runtimes are dead: see fork.h. */
extern COIR_ATOMIC(uint32_t) coir_forked;

static inline bool coir_is_forked(void)
{
    return __builtin_expect(coir_load_relaxed(&coir_forked), 0);
}

#endif
