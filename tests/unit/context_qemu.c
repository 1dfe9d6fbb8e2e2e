/*
 * context_qemu.c - the switch between stacks on a machine that is only
 * emulated, with nothing else of the library.
 *
 *     aarch64-linux-gnu-gcc -static -I. -Iruntime tests/unit/context_qemu.c
 *         runtime/context.c runtime/context_aarch64.S -lm -o context_qemu
 *     qemu-aarch64 ./context_qemu
 *
 * It runs on the machine itself just as well.  Exit code 0 or 1.
 */
#include <fenv.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "runtime/context.h"
#include "hold_registers.h"

static _Alignas(16) char stack[256 * 1024];
static struct coir_context fiber, caller;
static int failures;

static void check(bool ok, const char *claim)
{
    if (!ok) {
        printf("not so: %s\n", claim);
        failures++;
    }
}

static void *resume(void *arg)
{
    return coir_context_switch(&caller, &fiber, arg);
}

static void *suspend(void *arg)
{
    return coir_context_switch(&fiber, &caller, arg);
}

static void start(void (*entry)(void *))
{
    coir_context_init(&fiber, stack, sizeof stack, entry);
    coir_context_init_thread(&caller);
}

static void add_one(void *arg)
{
    uintptr_t frame = (uintptr_t)__builtin_frame_address(0);

    check(frame % 16 == 0, "the entry's frame is aligned");
    check(frame > (uintptr_t)stack && frame < (uintptr_t)stack + sizeof stack,
          "the entry's frame is on the stack");
    for (;;)
        arg = suspend((void *)((uintptr_t)arg + 1));
}

static void arguments_arrive(void)
{
    uintptr_t n = 0;

    start(add_one);
    for (int i = 0; i < 1000000; i++)
        n = (uintptr_t)resume((void *)n);
    check(n == 1000000, "a million switches lose nothing");
}

static void *switch_call(struct coir_context *from, struct coir_context *to, void *arg)
{
    return coir_context_switch(from, to, arg);
}

static void hold(struct coir_context *from, struct coir_context *to, uint64_t seed)
{
    uint64_t values[HELD_REGISTERS];

    for (int i = 0; i < HELD_REGISTERS; i++)
        values[i] = seed + (uint64_t)i;
    hold_registers(from, to, values, switch_call);
    for (int i = 0; i < HELD_REGISTERS; i++)
        check(values[i] == seed + (uint64_t)i, "callee-saved registers survive a switch");
}

static void hold_others(void *arg)
{
    (void)arg;
    for (;;)
        hold(&fiber, &caller, 0xf1be50000000);
}

static void registers_survive(void)
{
    start(hold_others);
    resume(NULL);
    hold(&caller, &fiber, 0xca11e40000);
}

__attribute__((noinline)) static double third(void)
{
    volatile double one = 1, three = 3;

    return one / three;
}

static void round_downward(void *arg)
{
    (void)arg;
    check(fegetround() == FE_TONEAREST, "a fresh context has the default modes");
    fesetround(FE_DOWNWARD);
    for (;;) {
        suspend(NULL);
        check(fegetround() == FE_DOWNWARD, "a context keeps its rounding mode");
    }
}

static void modes_belong_to_the_context(void)
{
    double up;

    fesetround(FE_UPWARD);
    up = third();
    start(round_downward);
    resume(NULL);
    check(fegetround() == FE_UPWARD && third() == up, "the other's mode does not show");
    resume(NULL);
    check(fegetround() == FE_UPWARD && third() == up, "nor the second time");
    fesetround(FE_TONEAREST);
    check(third() != up, "rounding modes make a difference");
}

int main(void)
{
    arguments_arrive();
    registers_survive();
    modes_belong_to_the_context();
    printf("context: %s\n", failures ? "failed" : "passed");
    return failures > 0;
}
