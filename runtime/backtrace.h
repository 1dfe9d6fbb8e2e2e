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
 *     of_frame       the same
 *     by_pointers    anywhere, also without libunwind
 *     describe       not in signal handlers; names once loaded
 *     write          the same
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
    bool guessed;     /* by_pointers */
    uintptr_t frames[COIR_BACKTRACE_MOST];
};

/* Returns whether there is something that can walk. */
bool coir_backtrace_load(void);

/* signal_context  the third argument of a signal handler: what it interrupted. */
void coir_backtrace_of_signal(struct coir_backtrace *ret, const void *signal_context);

void coir_backtrace_of_context(struct coir_backtrace *ret, const struct coir_context *context);

/* The calling function is the second frame. */
void coir_backtrace_of_caller(struct coir_backtrace *ret);

/* From who called the function whose frame this is, __builtin_frame_address(0) of a
   function that has not returned. */
void coir_backtrace_of_frame(struct coir_backtrace *ret, const void *frame);

/*
 * The same without libunwind: along the frame pointers, as far as there are any.  Fast,
 * and touches nothing but the calling thread's stack, up to `top`.  A function that was
 * compiled without them is left out, or is the last.  top  NULL: the first one only.
 */
void coir_backtrace_by_pointers(struct coir_backtrace *ret, const void *frame, const char *top);

/* Where a function returns to, by its frame. */
const void *coir_backtrace_return_address(const void *frame);

/* The place that a call returns to:    0x55d0c8a3f0b1 serve+0x41 (echo_server) */
#define COIR_PLACE_TEXT_MAX 256
void coir_backtrace_describe(char buf[COIR_PLACE_TEXT_MAX], const void *return_address);

/* A line for each frame:     #3 0x55d0c8a3f0b1 serve+0x41 (echo_server) */
void coir_backtrace_write(const struct coir_backtrace *backtrace, int fd);

#endif
