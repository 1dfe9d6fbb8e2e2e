/*
 * coir/error.h - what the negative numbers mean.
 *
 * Every function of coir returns >= 0 for success and a negative number for
 * failure: an errno value negated, or, from name resolution, a code in a band
 * of its own, COIR_EAI().  `errno` itself is never used: a task may wake up on
 * another thread, and compilers keep the old thread's address of errno.
 *
 * Codes with a meaning of coir's own:
 *
 *   -ECANCELED  the caller was cancelled; or what it awaited
 *   -ETIMEDOUT  a deadline passed: a timeout scope's, or TCP's own;
 *               coir_timeout_end() tells which
 *   -EPIPE      the stream ended, or its other side is closed
 *   -EBADF      the descriptor is closed, also when it was closed while the
 *               operation was in flight
 *   -ECHILD     this is a forked child, and its parent's run is not its own:
 *               coir/runtime.h
 *
 * -EINTR never comes back, and -EAGAIN only where a call's own comment has it.
 */
#ifndef COIR_ERROR_H
#define COIR_ERROR_H

#include "coir/defs.h"

COIR_BEGIN_DECLS

/* A getaddrinfo() code (EAI_NONAME and its like), as coir returns it. */
#define COIR_EAI_BASE 20000
#define COIR_EAI(code) (-(COIR_EAI_BASE + ((code) < 0 ? -(code) : (code))))

/*
 * Describe a return value of coir in words, resolver codes included.
 *
 * Any thread, any time, also outside a run.
 *
 * Returns   a string that lives as long as the program; "success" for >= 0.
 * Suspends  never.
 */
COIR_API const char *coir_strerror(int rc);

/*
 * The symbolic name of a return value: "ECANCELED", "EAI_NONAME".
 *
 * Any thread, any time, also outside a run.
 *
 * Returns   a string that lives as long as the program; "OK" for >= 0 and
 *           "E?" for a number that has no name.
 * Suspends  never.
 */
COIR_API const char *coir_err_name(int rc);

COIR_END_DECLS

#endif
