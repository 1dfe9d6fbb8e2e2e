/*
 * backtrace.h - which functions called which.
 *
 * The walking is libunwind's.  It is not linked but loaded, once, by
 * coir_backtrace_load(): a program without it runs as well, and nobody's C++
 * exceptions are unwound by another library than before.  Without libunwind, or
 * in a build without its headers, every backtrace is empty.
 *
 *     load           not in signal handlers: it allocates
 *     of_signal      also in signal handlers, once loaded
 *     of_context     also in signal handlers, once loaded; the context is switched
 *                    out, and stays so (coir_park_hold())
 *     of_caller      anywhere, once loaded
 *     write          not in signal handlers
 */
#ifndef COIR_RUNTIME_BACKTRACE_H
#define COIR_RUNTIME_BACKTRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "context.h"

#define COIR_BACKTRACE_MOST 48

struct coir_backtrace {
    int count;
    bool interrupted; /* frames[0] is an instruction; all others come after calls */
    uintptr_t frames[COIR_BACKTRACE_MOST];
};

/* Returns whether there is something that can walk. */
bool coir_backtrace_load(void);

/* signal_context  the third argument of a signal handler: what it interrupted. */
void coir_backtrace_of_signal(struct coir_backtrace *ret, const void *signal_context);

void coir_backtrace_of_context(struct coir_backtrace *ret, const struct coir_context *context);

/* The calling function is the second frame. */
void coir_backtrace_of_caller(struct coir_backtrace *ret);

/* A line for each frame:     #3 0x55d0c8a3f0b1 serve+0x41 (echo_server) */
void coir_backtrace_write(const struct coir_backtrace *backtrace, int fd);

#endif
