/*
 * coir/blocking.h - calls that block their thread: on another thread.
 */
#ifndef COIR_BLOCKING_H
#define COIR_BLOCKING_H

#include "coir/task.h"

COIR_BEGIN_DECLS

/*
 * Run fn(arg) on a thread where it may block, and wait for it.  (asyncio.to_thread)
 *
 *     struct query query = { .text = text };
 *     int rc = coir_to_thread(run_query, &query);
 *
 * Threads start on demand, up to options.blocking_threads, and end when they have had
 * nothing to do for some seconds; what finds none free waits in a queue.
 *
 * fn runs outside of any task: of coir it may call coir_check(), what any thread may
 * call, and coir_run(), which is then a run of its own.
 *
 * A caller that is cancelled or late before fn has begun takes it back.  Afterwards it
 * waits for fn, which can see by coir_check() that it should end.
 *
 * arg       Borrowed until the call returns.
 *
 * Tasks only.
 *
 * Returns   what fn returned; -ECANCELED or -ETIMEDOUT if fn did not run, or returned
 *           -ECANCELED on account of that; -EAGAIN if no thread could be started, and
 *           fn did not run; -ENOMEM.
 * Suspends  always, unless it fails at once.
 */
COIR_API int coir_to_thread(coir_fn *fn, void *arg);

COIR_END_DECLS

#endif
