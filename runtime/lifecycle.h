/*
 * lifecycle.h - the beginning and the end of a runtime, for runs and runners.
 */
#ifndef COIR_RUNTIME_LIFECYCLE_H
#define COIR_RUNTIME_LIFECYCLE_H

#include "coir/runtime.h"
#include "worker.h"

/* Configure it, and start its workers.  0 or -errno. */
int coir_runtime_open(const coir_options *options, struct coir_runtime **ret_runtime);

/* Cancel what still runs, wait for it, and stop.  0; -ETIMEDOUT: something outlasted
   shutdown_grace, and the runtime is left alone. */
int coir_runtime_close(struct coir_runtime *runtime);

/* Run fn(arg) as a task that Ctrl-C cancels.  False if Ctrl-C cannot be taken for it,
   as another run has it, or the program: then nothing has been run. */
bool coir_runtime_run_interruptibly(struct coir_runtime *runtime, coir_fn *fn, void *arg,
                                    int *ret_value);

#endif
