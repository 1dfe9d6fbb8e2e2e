/*
 * await.h - what groups need of creating and inlining tasks.
 */
#ifndef COIR_RUNTIME_AWAIT_H
#define COIR_RUNTIME_AWAIT_H

#include "task.h"

/* Make a descriptor.  flags: for its shared word.  NULL when memory is out. */
struct coir_task *coir_task_make(struct coir_worker *worker, const coir_task_options *options,
                                 coir_fn *fn, const void *arg, void *site, uint64_t flags);

/* The same on a thread that is no worker of the runtime.  Not pinned. */
struct coir_task *coir_task_make_foreign(struct coir_runtime *runtime,
                                         const coir_task_options *options, coir_fn *fn,
                                         const void *arg, void *site, uint64_t flags);

/* Whether the task, not started, may run on the running fiber's stack. */
bool coir_inline_allowed(struct coir_worker *worker, struct coir_task *task);

/* Whether there is room for any, as the running fiber stands. */
bool coir_inline_has_room(const struct coir_fiber *fiber);

/* Run it there.  May return on another worker. */
int coir_inline_run(struct coir_fiber *fiber, struct coir_task *task);

/* Let the fiber be unparked at the task's end, unless that has come; or no more.  By the
   one who has the handle. */
bool coir_task_watch(const char *function, struct coir_task *task, struct coir_fiber *fiber);
void coir_task_unwatch(struct coir_task *task);

/* Abort unless the running task may wait for this one. */
void coir_task_check_handle(const char *function, struct coir_task *task);

#endif
