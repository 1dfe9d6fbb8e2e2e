/*
 * debug.h - the list of all runtimes, for the dump, and the sums of those that
 * have ended.
 */
#ifndef COIR_RUNTIME_DEBUG_H
#define COIR_RUNTIME_DEBUG_H

#include <stddef.h>

struct coir_runtime;
struct coir_stack;

void coir_debug_add(struct coir_runtime *runtime);

/* Also adds the runtime's counters to the process's. */
void coir_debug_remove(struct coir_runtime *runtime);

/* Write a title and a line for each task of one runtime that has not ended, but
   for the main task; nothing if there is none. */
void coir_debug_dump_left(struct coir_runtime *runtime, const char *title, int fd);

/* Name the task whose stack this is; for the report of an overflow. */
void coir_debug_describe_stack(struct coir_stack *stack, char *buf, size_t cap);

#endif
