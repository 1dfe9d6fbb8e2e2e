/*
 * current.h - which worker the calling thread is.
 *
 * The only thread-local variable of the project is behind these functions.  A
 * task that suspends may go on on another thread, and compilers keep the
 * address of a thread-local across the suspension (gcc and clang both do, in a
 * shared library); so nobody may hold the result across a call that suspends:
 * ask again.
 */
#ifndef COIR_RUNTIME_CURRENT_H
#define COIR_RUNTIME_CURRENT_H

struct coir_worker;

/* The worker that runs on this thread, or NULL on any other thread. */
struct coir_worker *coir_current_worker(void);
void coir_set_current_worker(struct coir_worker *worker);

#endif
