/*
 * local.h - task-locals, as creating and ending a task see them.
 */
#ifndef COIR_RUNTIME_LOCAL_H
#define COIR_RUNTIME_LOCAL_H

#include "task.h"

/* Whether any key is inherited at all. */
extern COIR_ATOMIC(uint32_t) coir_locals_inherited;

/* Give the child what it inherits.  By the parent.  False when memory is out. */
bool coir_locals_inherit(struct coir_task *parent, struct coir_task *child);

/* The task has ended.  On its own fiber. */
void coir_locals_drop(struct coir_task *task);

#endif
