/*
 * current.c - the project's only thread-local variables.
 */
#include "current.h"

#include <stddef.h>

#ifdef __clang__
#define OPAQUE __attribute__((noinline))
#else
#define OPAQUE __attribute__((noipa))
#endif

static __thread struct coir_worker *current __attribute__((tls_model("initial-exec")));
static __thread struct coir_thread_call *call __attribute__((tls_model("initial-exec")));

COIR_ATOMIC(uint32_t) coir_forked;

OPAQUE struct coir_worker *coir_current_worker(void)
{
    struct coir_worker *worker = current;

    /* Not pure: two calls with a suspension between them are two reads. */
    __asm__ volatile("" : "+r"(worker) : : "memory");
    return worker;
}

OPAQUE void coir_set_current_worker(struct coir_worker *worker)
{
    current = worker;
    __asm__ volatile("" ::: "memory");
}

OPAQUE struct coir_thread_call *coir_current_call(void)
{
    struct coir_thread_call *mine = call;

    __asm__ volatile("" : "+r"(mine) : : "memory");
    return mine;
}

OPAQUE void coir_set_current_call(struct coir_thread_call *mine)
{
    call = mine;
    __asm__ volatile("" ::: "memory");
}
