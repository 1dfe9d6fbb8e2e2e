/*
 * yield_ring.c - the floor for yield: stacks in a ring, each of which switches
 * to the next.  No scheduler, no queue, no checks; one thread; x86-64 only.
 *
 * The switch saves what the System V ABI calls callee-saved, less the floating
 * point control words, and leaves by an indirect jump: a `ret` would be
 * mispredicted whenever the two sides return to different places.  The stacks
 * begin at different offsets in their pages, or they would fight over the same
 * few sets of the first-level cache.
 */
#define _GNU_SOURCE
#include "../harness.h"

#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>

#define STACK_BYTES 16384
#define COLOURS 32
#define COLOUR_BYTES 128

/* Save the caller on its own stack, its stack pointer in *from; go on in to. */
void switch_stack(void **from, void *to);
void enter_stack(void);

__asm__("    .text\n"
        "switch_stack:\n"
        "    push %rbp\n"
        "    push %rbx\n"
        "    push %r12\n"
        "    push %r13\n"
        "    push %r14\n"
        "    push %r15\n"
        "    mov %rsp, (%rdi)\n"
        "    mov %rsi, %rsp\n"
        "    pop %r15\n"
        "    pop %r14\n"
        "    pop %r13\n"
        "    pop %r12\n"
        "    pop %rbx\n"
        "    pop %rbp\n"
        "    pop %rcx\n"
        "    jmp *%rcx\n"
        "enter_stack:\n" /* r12: the function, r13: its argument */
        "    mov %r13, %rdi\n"
        "    call *%r12\n"
        "    ud2\n");

struct saved_registers {
    void *r15, *r14, *r13, *r12, *rbx, *rbp;
    void *resume_at;
    void *alignment;
};

struct member {
    void *stack_pointer;
    struct member *next;
    int number;
};

static int last_member = -1;
static long turns;

static void yield(struct member *me)
{
    if (last_member != me->number) {
        last_member = me->number;
        turns++;
    }
    switch_stack(&me->stack_pointer, me->next->stack_pointer);
}

static void yield_for_ever(void *me)
{
    for (;;)
        yield(me);
}

static void prepare(struct member *member, char *stack)
{
    size_t colour = (size_t)(member->number % COLOURS) * COLOUR_BYTES;
    struct saved_registers *saved =
        (struct saved_registers *)(stack + STACK_BYTES - colour) - 1;

    saved->r12 = (void *)yield_for_ever;
    saved->r13 = member;
    saved->resume_at = (void *)enter_stack;
    member->stack_pointer = saved;
}

/* The calling thread is member 0 and decides how often the ring turns. */
static int run(const char *name, int members, long rounds)
{
    struct member *ring = calloc((size_t)members, sizeof *ring);
    char *stacks = mmap(NULL, (size_t)members * STACK_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (!ring || stacks == MAP_FAILED)
        return 1;
    for (int i = 0; i < members; i++) {
        ring[i].number = i;
        ring[i].next = &ring[(i + 1) % members];
        prepare(&ring[i], stacks + (ptrdiff_t)i * STACK_BYTES);
    }
    yield(&ring[0]); /* every stack has its memory now */

    last_member = -1;
    turns = 0;
    int64_t start = bench_now();
    for (long i = 0; i < rounds; i++)
        yield(&ring[0]);
    int64_t time = bench_now() - start;
    double total = (double)members * (double)rounds;
    struct bench_result result = {
        .bench = name, .peer = "switch", .workers = 1, .unit = "ns/yield",
        .value = (double)time / total, .n = total, .ok = turns == (long)members * rounds,
    };
    munmap(stacks, (size_t)members * STACK_BYTES);
    free(ring);
    return bench_print(&result);
}

int main(int argc, char **argv)
{
    struct bench_args args = { .workers = 1, .n = 4000000 };
    bench_parse(&args, argc, argv);

    return run("yield2", 2, args.n / 2) | run("yield1000", 1000, args.n / 1000);
}
