/*
 * test_context.c - the switch between stacks, without a scheduler.
 */
#include <execinfo.h>
#include <fenv.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "support/check.h"

#include "runtime/context.h"
#include "hold_registers.h"

enum { STACK_BYTES = 256 * 1024 };

/* A context on a stack of its own, and the one to go back to. */
struct fiber {
    struct coir_context context;
    struct coir_context caller;
    char *stack;
};

static void map_stack(struct fiber *fiber)
{
    void *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    cr_assert(stack != MAP_FAILED);
    fiber->stack = stack;
}

static void fiber_init(struct fiber *fiber, void (*entry)(void *))
{
    map_stack(fiber);
    coir_context_init(&fiber->context, fiber->stack, STACK_BYTES, entry);
    coir_context_init_thread(&fiber->caller);
}

static void fiber_destroy(struct fiber *fiber)
{
    coir_context_destroy(&fiber->context);
    coir_context_destroy(&fiber->caller);
    coir_context_forget_memory(fiber->stack, STACK_BYTES);
    munmap(fiber->stack, STACK_BYTES);
}

static void *resume(struct fiber *fiber, void *arg)
{
    return coir_context_switch(&fiber->caller, &fiber->context, arg);
}

static void *suspend(struct fiber *fiber, void *arg)
{
    return coir_context_switch(&fiber->context, &fiber->caller, arg);
}

static void *number(uintptr_t n)
{
    return (void *)n;
}

/* Adds one to whatever it is sent. */
static void add_one(void *arg)
{
    struct fiber *self = arg;
    uintptr_t n = 0;

    for (;;)
        n = (uintptr_t)suspend(self, number(n + 1));
}

Test(context, the_argument_of_a_switch_arrives_on_the_other_side)
{
    struct fiber fiber;

    fiber_init(&fiber, add_one);
    cr_assert_eq((uintptr_t)resume(&fiber, &fiber), 1);
    cr_assert_eq((uintptr_t)resume(&fiber, number(41)), 42);
    cr_assert_eq((uintptr_t)resume(&fiber, number(UINTPTR_MAX)), 0);
    fiber_destroy(&fiber);
}

Test(context, a_million_switches_lose_nothing)
{
    const uintptr_t rounds = (uintptr_t)check_scale(500000);
    struct fiber fiber;
    uintptr_t n;

    fiber_init(&fiber, add_one);
    n = (uintptr_t)resume(&fiber, &fiber);
    for (uintptr_t i = 0; i < rounds; i++)
        n = (uintptr_t)resume(&fiber, number(n));
    cr_assert_eq(n, rounds + 1);
    fiber_destroy(&fiber);
}

/* Registers. */

static void *switch_call(struct coir_context *from, struct coir_context *to, void *arg)
{
    return coir_context_switch(from, to, arg);
}

static void hold(struct coir_context *from, struct coir_context *to, uint64_t seed,
                 uint64_t *values)
{
    for (int i = 0; i < HELD_REGISTERS; i++)
        values[i] = seed + (uint64_t)i;
    hold_registers(from, to, values, switch_call);
}

static int first_lost(const uint64_t *values, uint64_t seed)
{
    for (int i = 0; i < HELD_REGISTERS; i++)
        if (values[i] != seed + (uint64_t)i)
            return i;
    return -1;
}

static int lost_in_fiber;

static void hold_others(void *arg)
{
    struct fiber *self = arg;
    uint64_t values[HELD_REGISTERS];

    for (;;) {
        hold(&self->context, &self->caller, 0xf1be50000000, values);
        lost_in_fiber = first_lost(values, 0xf1be50000000);
    }
}

Test(context, callee_saved_registers_survive_a_switch)
{
    struct fiber fiber;
    uint64_t values[HELD_REGISTERS];

    lost_in_fiber = 99;
    fiber_init(&fiber, hold_others);
    resume(&fiber, &fiber);
    hold(&fiber.caller, &fiber.context, 0xca11e40000, values);
    cr_assert_eq(first_lost(values, 0xca11e40000), -1);
    cr_assert_eq(lost_in_fiber, -1);
    fiber_destroy(&fiber);
}

/* Floating-point modes. */

/* The last bit of 1/3 tells how SSE rounds (FPCR on ARM).  Inline, the division
   might move across a change of modes. */
__attribute__((noinline)) static double third(void)
{
    volatile double one = 1, three = 3;

    return one / three;
}

/* The same for the x87 on x86. */
__attribute__((noinline)) static long double long_third(void)
{
    volatile long double one = 1, three = 3;

    return one / three;
}

static struct {
    int mode;
    double third;
    long double long_third;
} seen;

static void look_at_rounding(void)
{
    seen.mode = fegetround();
    seen.third = third();
    seen.long_third = long_third();
}

static void round_up_and_down(void *arg)
{
    struct fiber *self = arg;

    look_at_rounding();
    suspend(self, NULL);
    fesetround(FE_DOWNWARD);
    for (;;) {
        suspend(self, NULL);
        look_at_rounding();
    }
}

Test(context, floating_point_modes_belong_to_the_context)
{
    struct fiber fiber;
    double down, up;
    long double long_down;

    fesetround(FE_DOWNWARD);
    down = third();
    long_down = long_third();
    fesetround(FE_UPWARD);
    up = third();
    cr_assert_lt(down, up);

    fiber_init(&fiber, round_up_and_down);
    resume(&fiber, &fiber);
    resume(&fiber, NULL);
    cr_assert_eq(fegetround(), FE_UPWARD);
    cr_assert(third() == up);

    resume(&fiber, NULL);
    cr_assert_eq(seen.mode, FE_DOWNWARD);
    cr_assert(seen.third == down);
    cr_assert(seen.long_third == long_down);
    cr_assert_eq(fegetround(), FE_UPWARD);
    fiber_destroy(&fiber);
}

Test(context, a_fresh_context_has_the_default_modes)
{
    struct fiber fiber;
    double nearest = third();
    long double long_nearest = long_third();

    fesetround(FE_UPWARD);
    cr_assert(third() != nearest);
    fiber_init(&fiber, round_up_and_down);
    resume(&fiber, &fiber);
    cr_assert_eq(seen.mode, FE_TONEAREST);
    cr_assert(seen.third == nearest);
    cr_assert(seen.long_third == long_nearest);
    fiber_destroy(&fiber);
}

static bool fiber_could_divide;

static void divide_by_zero(void *arg)
{
    volatile double one = 1, zero = 0;

    fiber_could_divide = one / zero > 1;
    suspend(arg, NULL);
}

Test(context, a_fresh_context_traps_no_floating_point_exception)
{
    struct fiber fiber;

    fiber_init(&fiber, divide_by_zero);
    resume(&fiber, &fiber);
    cr_assert(fiber_could_divide);
    fiber_destroy(&fiber);
}

/* Stacks. */

static uintptr_t entry_frame;

static void show_frame(void *arg)
{
    entry_frame = (uintptr_t)__builtin_frame_address(0);
    suspend(arg, NULL);
}

Test(context, the_entry_has_an_aligned_frame_near_the_top)
{
    struct fiber fiber;
    uintptr_t top;

    fiber_init(&fiber, show_frame);
    top = (uintptr_t)fiber.stack + STACK_BYTES;
    resume(&fiber, &fiber);
    cr_assert_eq(entry_frame % 16, 0);
    cr_assert_lt(entry_frame, top);
    cr_assert_gt(entry_frame, top - 256);
    fiber_destroy(&fiber);
}

Test(context, a_top_that_is_not_aligned_is_rounded_down)
{
    struct fiber fiber;

    map_stack(&fiber);
    coir_context_init(&fiber.context, fiber.stack, STACK_BYTES - 7, show_frame);
    coir_context_init_thread(&fiber.caller);
    resume(&fiber, &fiber);
    cr_assert_eq(entry_frame % 16, 0);
    fiber_destroy(&fiber);
}

/* Suspends at every depth, on the way down and on the way up. */
__attribute__((noinline)) static unsigned long descend(struct fiber *self, unsigned depth)
{
    volatile unsigned long local = depth;

    suspend(self, number(depth));
    if (depth > 0)
        local += descend(self, depth - 1);
    suspend(self, number(depth));
    return local;
}

static unsigned long descend_result;

static void descend_entry(void *arg)
{
    descend_result = descend(arg, 200);
    suspend(arg, NULL);
}

Test(context, frames_outlive_switches)
{
    struct fiber fiber;

    fiber_init(&fiber, descend_entry);
    resume(&fiber, &fiber);
    for (int i = 0; i < 2 * 201; i++)
        resume(&fiber, NULL);
    cr_assert_eq(descend_result, 200 * 201 / 2);
    fiber_destroy(&fiber);
}

enum { RING = 300 };

static struct coir_context ring_main;
static struct coir_context ring_contexts[RING];

/* Goes round: each context hands the count to its neighbour. */
static void ring_entry(void *arg)
{
    uintptr_t count = (uintptr_t)arg;
    uintptr_t self = count;

    for (;;) {
        struct coir_context *next = self + 1 < RING ? &ring_contexts[self + 1] : &ring_main;

        count = (uintptr_t)coir_context_switch(&ring_contexts[self], next, number(count + 1));
    }
}

Test(context, each_of_many_contexts_goes_on_where_it_left_off)
{
    const int rounds = (int)check_scale(1000);
    struct fiber fibers[RING];
    uintptr_t count = 0;

    coir_context_init_thread(&ring_main);
    for (int i = 0; i < RING; i++) {
        map_stack(&fibers[i]);
        coir_context_init(&ring_contexts[i], fibers[i].stack, STACK_BYTES, ring_entry);
    }
    for (int i = 0; i < rounds; i++) {
        count = (uintptr_t)coir_context_switch(&ring_main, &ring_contexts[0], number(0));
        cr_assert_eq(count, RING);
    }
    for (int i = 0; i < RING; i++) {
        coir_context_destroy(&ring_contexts[i]);
        coir_context_forget_memory(fibers[i].stack, STACK_BYTES);
        munmap(fibers[i].stack, STACK_BYTES);
    }
}

/* Threads. */

/* The compiler must not remember who we were before the switch. */
__attribute__((noinline)) static pthread_t who_am_i(void)
{
    __asm__ volatile("");
    return pthread_self();
}

static pthread_t ran_on[2];

static void note_thread(void *arg)
{
    struct fiber *self = arg;
    int mark = 4711;
    int *volatile mine = &mark;

    ran_on[0] = who_am_i();
    self = suspend(self, NULL);
    ran_on[1] = who_am_i();
    *mine += 1;
    suspend(self, number((uintptr_t)mark));
}

static void *resume_elsewhere(void *arg)
{
    struct fiber *fiber = arg;

    coir_context_init_thread(&fiber->caller);
    arg = resume(fiber, fiber);
    coir_context_destroy(&fiber->caller);
    return arg;
}

Test(context, a_context_may_go_on_on_another_thread)
{
    struct fiber fiber;
    pthread_t thread;
    void *result = NULL;

    fiber_init(&fiber, note_thread);
    resume(&fiber, &fiber);
    cr_assert_eq(pthread_create(&thread, NULL, resume_elsewhere, &fiber), 0);
    cr_assert_eq(pthread_join(thread, &result), 0);
    cr_assert_eq((uintptr_t)result, 4712);
    cr_assert(pthread_equal(ran_on[0], pthread_self()));
    cr_assert(pthread_equal(ran_on[1], thread));
    fiber_destroy(&fiber);
}

static void *ascend_elsewhere(void *arg)
{
    struct fiber *fiber = arg;

    coir_context_init_thread(&fiber->caller);
    for (int i = 0; i < 201 + 1; i++)
        resume(fiber, NULL);
    coir_context_destroy(&fiber->caller);
    return NULL;
}

Test(context, frames_made_on_one_thread_may_return_on_another)
{
    struct fiber fiber;
    pthread_t thread;

    fiber_init(&fiber, descend_entry);
    resume(&fiber, &fiber);
    for (int i = 0; i < 200; i++)
        resume(&fiber, NULL);
    cr_assert_eq(pthread_create(&thread, NULL, ascend_elsewhere, &fiber), 0);
    pthread_join(thread, NULL);
    cr_assert_eq(descend_result, 200 * 201 / 2);
    fiber_destroy(&fiber);
}

/* One fiber that two threads resume in turn. */
static struct {
    struct fiber fiber;
    pthread_mutex_t lock;
    uintptr_t sum;
    bool wrong;
} shared = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void *resume_often(void *arg)
{
    struct coir_context own;
    const int rounds = (int)check_scale(20000);

    (void)arg;
    coir_context_init_thread(&own);
    for (int i = 0; i < rounds; i++) {
        uintptr_t n;

        pthread_mutex_lock(&shared.lock);
        shared.fiber.caller = own;
        n = (uintptr_t)resume(&shared.fiber, number(shared.sum));
        shared.wrong |= n != shared.sum + 1;
        shared.sum = n;
        own = shared.fiber.caller;
        pthread_mutex_unlock(&shared.lock);
    }
    coir_context_destroy(&own);
    return NULL;
}

Test(context, threads_may_take_turns_on_one_context)
{
    pthread_t threads[2];

    fiber_init(&shared.fiber, add_one);
    resume(&shared.fiber, &shared.fiber);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, resume_often, NULL), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    cr_assert(!shared.wrong);
    cr_assert_eq(shared.sum, 2 * (uintptr_t)check_scale(20000));
    fiber_destroy(&shared.fiber);
}

/* Sanitizers and unwinders. */

/* Frames with red zones around their arrays. */
__attribute__((noinline)) static int use_arrays(int depth)
{
    volatile char small[24];
    volatile char large[200];

    for (size_t i = 0; i < sizeof large; i++)
        large[i] = small[i % sizeof small] = (char)depth;
    return depth == 0 ? large[100] : use_arrays(depth - 1) + small[20] - large[199];
}

/* Frames too large for AddressSanitizer's fake stack. */
static void leave_amid_frames(void *arg)
{
    char first[70 * 1024];
    char second[70 * 1024];

    memset(first, 1, sizeof first);
    memset(second, 1, sizeof second);
    suspend(arg, number((uintptr_t)&first[sizeof first / 2]));
    abort();
}

static void use_whole_stack(void *arg)
{
    char all[200 * 1024];

    memset(all, 1, sizeof all);
    suspend(arg, number((uintptr_t)use_arrays(100) + (uintptr_t)all[999] - 1));
}

Test(context, stack_of_an_abandoned_context_can_be_a_stack_again)
{
    struct fiber fiber;

    fiber_init(&fiber, leave_amid_frames);
    resume(&fiber, &fiber);
    coir_context_destroy(&fiber.context);
    coir_context_init(&fiber.context, fiber.stack, STACK_BYTES, use_whole_stack);
    cr_assert_eq((uintptr_t)resume(&fiber, &fiber), 0);
    fiber_destroy(&fiber);
}

Test(context, stack_of_an_abandoned_context_can_be_anything_again)
{
    struct fiber fiber;

    fiber_init(&fiber, leave_amid_frames);
    resume(&fiber, &fiber);
    coir_context_destroy(&fiber.context);
    coir_context_forget_memory(fiber.stack, STACK_BYTES);
    memset(fiber.stack, 2, STACK_BYTES);
    munmap(fiber.stack, STACK_BYTES);
}

static void work_for_ever(void *arg)
{
    struct fiber *self = arg;

    for (;;)
        suspend(self, number((uintptr_t)use_arrays(50)));
}

Test(context, a_pooled_context_does_one_job_after_the_other)
{
    struct fiber fiber;

    fiber_init(&fiber, work_for_ever);
    for (int i = 0; i < (int)check_scale(10000); i++) {
        cr_assert_eq((uintptr_t)resume(&fiber, &fiber), 0);
        cr_assert_eq(use_arrays(50), 0);
    }
    fiber_destroy(&fiber);
}

#ifdef COIR_TSAN

#include <sanitizer/tsan_interface.h>

static void *tsan_fiber;

static void note_tsan_fiber(void *arg)
{
    tsan_fiber = __tsan_get_current_fiber();
    suspend(arg, NULL);
}

Test(context, thread_sanitizer_takes_it_for_a_thread_of_its_own)
{
    void *own = __tsan_get_current_fiber();
    struct fiber fiber;

    fiber_init(&fiber, note_tsan_fiber);
    resume(&fiber, &fiber);
    cr_assert(tsan_fiber && tsan_fiber != own);
    cr_assert_eq(__tsan_get_current_fiber(), own);
    fiber_destroy(&fiber);
}

#endif

static long mapped_pages(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long pages = -1;

    cr_assert(file && fscanf(file, "%ld", &pages) == 1);
    fclose(file);
    return pages;
}

static void come_and_go(int rounds)
{
    while (rounds-- > 0) {
        struct fiber fiber;

        fiber_init(&fiber, use_whole_stack);
        resume(&fiber, &fiber);
        fiber_destroy(&fiber);
    }
}

Test(context, a_destroyed_context_leaves_nothing_behind)
{
    long before;

    come_and_go(200);
    before = mapped_pages();
    come_and_go(2000);
    cr_assert_lt(mapped_pages() - before, 2000);
}

void coir_context_bottom(void);

enum { MANY_FRAMES = 64 };

static void *frames[MANY_FRAMES];
static int frame_count;

static void take_backtrace(void *arg)
{
    frame_count = backtrace(frames, MANY_FRAMES);
    suspend(arg, NULL);
}

Test(context, a_backtrace_ends_at_the_bottom_of_the_stack)
{
    struct fiber fiber;
    uintptr_t bottom = (uintptr_t)coir_context_bottom;

    fiber_init(&fiber, take_backtrace);
    resume(&fiber, &fiber);
    cr_assert_gt(frame_count, 1);
    cr_assert_lt(frame_count, MANY_FRAMES);
    cr_assert_gt((uintptr_t)frames[frame_count - 1], bottom);
    cr_assert_lt((uintptr_t)frames[frame_count - 1], bottom + 32);
    fiber_destroy(&fiber);
}
