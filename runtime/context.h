/*
 * context.h - the switch from one stack to another.
 *
 * A context is a flow of control that is switched out: its registers lie on
 * its own stack, and the context holds the stack pointer.  Switching saves the
 * caller in one context and goes on in another, on the same thread.  A context
 * may be resumed on another thread than it was saved on.  So, after a switch,
 * nothing that was read from a thread-local before it may be used.
 *
 * Preserved: the callee-saved registers, the SSE and x87 control words (FPCR on
 * ARM).  Floating-point status flags and the signal mask belong to the thread.
 *
 * A context may be switched to again only once it has been switched out, that
 * is, once somebody else runs on the thread that left it.  Whoever publishes a
 * context must do so from the other side of the switch.
 *
 * The sanitizers follow along: AddressSanitizer's fake stack, ThreadSanitizer's
 * fiber and valgrind's stack belong to the context.  A context whose work is
 * done may be switched away from for good, and destroyed then.
 */
#ifndef COIR_RUNTIME_CONTEXT_H
#define COIR_RUNTIME_CONTEXT_H

#include <stddef.h>
#include <stdint.h>
#include <ucontext.h>

#include "atomics.h"

#if defined(__SANITIZE_ADDRESS__)
#define COIR_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define COIR_ASAN 1
#endif
#endif

struct coir_context {
    void *sp;           /* while switched out */
    char *stack_low;    /* lowest usable byte */
    size_t stack_bytes; /* usable bytes above stack_low */
    unsigned valgrind_stack;
#ifdef COIR_ASAN
    void *asan_fake_stack;
#endif
#ifdef COIR_TSAN
    void *tsan_fiber;
#endif
};

/*
 * Make a context of the stack [low, low + bytes).  The first switch to it calls
 * entry(arg of that switch) at the top, with the default floating-point modes.
 * entry must not return.
 */
void coir_context_init(struct coir_context *context, char *low, size_t bytes,
                       void (*entry)(void *arg));

/* The context of the calling thread itself, to switch away from and back to. */
void coir_context_init_thread(struct coir_context *context);

/* Release what the sanitizers hold of a context that is switched out for good.
   For the calling thread's own context it does nothing. */
void coir_context_destroy(struct coir_context *context);

/* For unwinding: the registers of a context that is switched out, as it will find
   them; a context whose next instruction is that one; and the stack pointer of
   what a signal has interrupted, of the third argument of its handler. */
void coir_context_registers(const struct coir_context *context, ucontext_t *ret_registers);
void coir_context_set_instruction(ucontext_t *registers, uintptr_t instruction);
uintptr_t coir_context_stack_pointer(const void *signal_context);

/* Memory that held stacks goes back to the system, and may come back as
   something else. */
void coir_context_forget_memory(char *low, size_t bytes);

/* Whether the program runs under valgrind. */
bool coir_context_under_valgrind(void);

/* In assembly.  Saves the caller, stores its stack pointer in *from_sp. */
__attribute__((visibility("hidden")))
void *coir_switch_context(void **from_sp, void *to_sp, void *arg);

/* Save the caller in *from and go on in *to.  Returns the arg of the switch
   that comes back. */
#if defined(COIR_ASAN) || defined(COIR_TSAN)
void *coir_context_switch(struct coir_context *from, struct coir_context *to, void *arg);
#else
static inline void *coir_context_switch(struct coir_context *from, struct coir_context *to,
                                        void *arg)
{
    return coir_switch_context(&from->sp, to->sp, arg);
}
#endif

#endif
