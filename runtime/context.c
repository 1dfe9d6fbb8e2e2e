#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "context.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#ifdef COIR_ASAN
#include <sanitizer/asan_interface.h>
#endif
#ifdef COIR_TSAN
#include <sanitizer/tsan_interface.h>
#endif
#ifdef COIR_HAVE_VALGRIND
#include <valgrind/memcheck.h>
#endif

/* For code that runs while the stack pointer and the sanitizer disagree about
   which stack this is. */
#if defined(COIR_ASAN)
#define BETWEEN_STACKS __attribute__((noinline, no_sanitize_address))
#elif defined(COIR_TSAN)
#define BETWEEN_STACKS __attribute__((noinline, no_sanitize_thread))
#else
#define BETWEEN_STACKS
#endif

typedef void entry_fn(void *arg);
typedef void start_fn(void *arg, entry_fn *entry);

/* In assembly: calls start(arg of the first switch, entry). */
__attribute__((visibility("hidden"))) void coir_context_bottom(void);

/* What coir_switch_context leaves on a stack, from the stack pointer up. */
#if defined(__x86_64__)

struct frame {
    uint32_t mxcsr;
    uint32_t x87_control;
    void *r15;
    void *r14;
    entry_fn *r13;
    start_fn *r12;
    void *rbx;
    void *rbp;
    void (*rip)(void);
};

static_assert(sizeof(struct frame) == 64, "as context_x86_64.S lays it out");

BETWEEN_STACKS
static void read_frame(const struct frame *frame, mcontext_t *ret)
{
    ret->gregs[REG_R15] = (greg_t)frame->r15;
    ret->gregs[REG_R14] = (greg_t)frame->r14;
    ret->gregs[REG_R13] = (greg_t)frame->r13;
    ret->gregs[REG_R12] = (greg_t)frame->r12;
    ret->gregs[REG_RBX] = (greg_t)frame->rbx;
    ret->gregs[REG_RBP] = (greg_t)frame->rbp;
    ret->gregs[REG_RIP] = (greg_t)frame->rip;
    ret->gregs[REG_RSP] = (greg_t)(frame + 1);
}

void coir_context_set_instruction(ucontext_t *registers, uintptr_t instruction)
{
    registers->uc_mcontext.gregs[REG_RIP] = (greg_t)instruction;
}

uintptr_t coir_context_stack_pointer(const void *signal_context)
{
    return (uintptr_t)((const ucontext_t *)signal_context)->uc_mcontext.gregs[REG_RSP];
}

static struct frame first_frame(start_fn *start, entry_fn *entry)
{
    return (struct frame){
        .mxcsr = 0x1f80,
        .x87_control = 0x37f,
        .r13 = entry,
        .r12 = start,
        .rip = coir_context_bottom,
    };
}

#elif defined(__aarch64__)

struct frame {
    uint64_t fpcr;
    uint64_t unused;
    uint64_t d8_to_d15[8];
    start_fn *x19;
    entry_fn *x20;
    void *x21_to_x29[9];
    void (*x30)(void);
};

static_assert(sizeof(struct frame) == 176, "as context_aarch64.S lays it out");

BETWEEN_STACKS
static void read_frame(const struct frame *frame, mcontext_t *ret)
{
    ret->regs[19] = (uintptr_t)frame->x19;
    ret->regs[20] = (uintptr_t)frame->x20;
    for (int i = 0; i < 9; i++)
        ret->regs[21 + i] = (uintptr_t)frame->x21_to_x29[i];
    ret->regs[30] = (uintptr_t)frame->x30;
    ret->pc = (uintptr_t)frame->x30;
    ret->sp = (uintptr_t)(frame + 1);
}

void coir_context_set_instruction(ucontext_t *registers, uintptr_t instruction)
{
    registers->uc_mcontext.pc = instruction;
}

uintptr_t coir_context_stack_pointer(const void *signal_context)
{
    return ((const ucontext_t *)signal_context)->uc_mcontext.sp;
}

static struct frame first_frame(start_fn *start, entry_fn *entry)
{
    return (struct frame){ .x19 = start, .x20 = entry, .x30 = coir_context_bottom };
}

#else
#error "coir runs on x86-64 and aarch64"
#endif

void coir_context_registers(const struct coir_context *context, ucontext_t *ret_registers)
{
    memset(ret_registers, 0, sizeof *ret_registers);
    read_frame(context->sp, &ret_registers->uc_mcontext);
}

BETWEEN_STACKS
static void start_context(void *arg, entry_fn *entry)
{
#ifdef COIR_ASAN
    __sanitizer_finish_switch_fiber(NULL, NULL, NULL);
#endif
    entry(arg);
}

void coir_context_init(struct coir_context *context, char *low, size_t bytes, entry_fn *entry)
{
    uintptr_t top = ((uintptr_t)low + bytes) & ~(uintptr_t)15;
    struct frame *frame = (struct frame *)top - 1;

    memset(context, 0, sizeof *context);
    context->sp = frame;
    context->stack_low = low;
    context->stack_bytes = bytes;
#ifdef COIR_ASAN
    __asan_unpoison_memory_region(low, bytes);
#endif
#ifdef COIR_TSAN
    context->tsan_fiber = __tsan_create_fiber(0);
#endif
#ifdef COIR_HAVE_VALGRIND
    context->valgrind_stack = VALGRIND_STACK_REGISTER(low, top);
#endif
    *frame = first_frame(start_context, entry);
}

#ifdef COIR_ASAN

/*
 * The two functions below tell AddressSanitizer of switches that do not take
 * place.  It tells the bounds of a stack only to whoever leaves it, and frees a
 * fake stack only if its owner leaves it for good.
 */
BETWEEN_STACKS
static void find_thread_stack(struct coir_context *context)
{
    void *fake;
    const void *low;
    size_t bytes;

    __sanitizer_start_switch_fiber(&fake, NULL, 0);
    __sanitizer_finish_switch_fiber(fake, &low, &bytes);
    __sanitizer_start_switch_fiber(&fake, low, bytes);
    __sanitizer_finish_switch_fiber(fake, NULL, NULL);
    context->stack_low = (char *)low;
    context->stack_bytes = bytes;
}

BETWEEN_STACKS
static void free_fake_stack(void *fake)
{
    void *own;
    const void *low;
    size_t bytes;

    __sanitizer_start_switch_fiber(&own, NULL, 0);
    __sanitizer_finish_switch_fiber(fake, &low, &bytes);
    __sanitizer_start_switch_fiber(NULL, low, bytes);
    __sanitizer_finish_switch_fiber(own, NULL, NULL);
}

#endif

void coir_context_init_thread(struct coir_context *context)
{
    memset(context, 0, sizeof *context);
#ifdef COIR_ASAN
    find_thread_stack(context);
#endif
#ifdef COIR_TSAN
    context->tsan_fiber = __tsan_get_current_fiber();
#endif
}

void coir_context_destroy(struct coir_context *context)
{
#ifdef COIR_ASAN
    if (context->asan_fake_stack)
        free_fake_stack(context->asan_fake_stack);
#endif
#ifdef COIR_TSAN
    if (context->stack_low)
        __tsan_destroy_fiber(context->tsan_fiber);
#endif
#ifdef COIR_HAVE_VALGRIND
    if (context->stack_low)
        VALGRIND_STACK_DEREGISTER(context->valgrind_stack);
#endif
    memset(context, 0, sizeof *context);
}

void coir_context_forget_memory(char *low, size_t bytes)
{
    (void)low;
    (void)bytes;
#ifdef COIR_ASAN
    __asan_unpoison_memory_region(low, bytes);
#endif
#ifdef COIR_HAVE_VALGRIND
    (void)VALGRIND_MAKE_MEM_UNDEFINED(low, bytes);
#endif
}

bool coir_context_under_valgrind(void)
{
#ifdef COIR_HAVE_VALGRIND
    return RUNNING_ON_VALGRIND;
#else
    return false;
#endif
}

#if defined(COIR_ASAN)

BETWEEN_STACKS
void *coir_context_switch(struct coir_context *from, struct coir_context *to, void *arg)
{
    __sanitizer_start_switch_fiber(&from->asan_fake_stack, to->stack_low, to->stack_bytes);
    arg = coir_switch_context(&from->sp, to->sp, arg);
    __sanitizer_finish_switch_fiber(from->asan_fake_stack, NULL, NULL);
    from->asan_fake_stack = NULL;
    return arg;
}

#elif defined(COIR_TSAN)

BETWEEN_STACKS
void *coir_context_switch(struct coir_context *from, struct coir_context *to, void *arg)
{
    __tsan_switch_to_fiber(to->tsan_fiber, 0);
    return coir_switch_context(&from->sp, to->sp, arg);
}

#endif
