/*
 * test_stack.c - the stack pool, its guards, and the overflow report.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/check.h"

#include "runtime/context.h"
#include "runtime/stack.h"

enum { HEADER_BYTES = 200, DEFAULT_BYTES = 64 * 1024, MADV_GUARD = 102 };

static void pool_init(struct coir_stack_pool *pool)
{
    cr_assert_eq(coir_stack_pool_init(pool, HEADER_BYTES, DEFAULT_BYTES), 0);
}

static struct coir_stack *get(struct coir_stack_pool *pool, size_t bytes)
{
    struct coir_stack *stack = NULL;

    cr_assert_eq(coir_stack_pool_get(pool, bytes, &stack), 0);
    cr_assert(stack);
    return stack;
}

static size_t usable(const struct coir_stack *stack)
{
    return (size_t)(stack->top - stack->low);
}

static struct coir_stack *get_chain(struct coir_stack_pool *pool, size_t n)
{
    struct coir_stack *chain = NULL, **end = &chain;
    size_t got;

    for (; n > 0; n -= got) {
        got = coir_stack_pool_get_batch(pool, n, end);
        cr_assert(got > 0 && got <= n);
        while (*end)
            end = &(*end)->next;
    }
    return chain;
}

/* Without a fault of our own: whether the kernel can read the byte there. */
static bool is_readable(const char *address)
{
    int ends[2];
    bool readable;

    cr_assert_eq(pipe(ends), 0);
    readable = syscall(SYS_write, ends[1], address, 1) == 1;
    close(ends[0]);
    close(ends[1]);
    return readable;
}

/* How many mappings the stacks of a chain lie in, or among. */
static int count_mappings(const struct coir_stack *chain)
{
    FILE *file = fopen("/proc/self/maps", "r");
    uintptr_t lowest = UINTPTR_MAX, highest = 0, low, high;
    int count = 0;
    char line[512];

    for (; chain; chain = chain->next) {
        lowest = (uintptr_t)chain->low < lowest ? (uintptr_t)chain->low : lowest;
        highest = (uintptr_t)chain->top > highest ? (uintptr_t)chain->top : highest;
    }
    cr_assert(file);
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "%lx-%lx", &low, &high) == 2)
            count += low < highest && high > lowest;
    fclose(file);
    return count;
}

/* What a stack is. */

Test(stack, has_twice_the_bytes_that_were_promised)
{
    static const size_t wanted[] = { 0, 1, 65536, 65537, 200000, 1 << 20, (1 << 20) + 1 };
    static const size_t promised[] = { 65536, 65536, 65536, 131072, 262144, 1 << 20, 1 << 21 };
    struct coir_stack_pool pool;

    pool_init(&pool);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        struct coir_stack *stack = get(&pool, wanted[i]);

        cr_assert_leq(usable(stack), 2 * promised[i]);
        cr_assert_gt(usable(stack), 2 * promised[i] - 4096);
    }
    coir_stack_pool_destroy(&pool);
}

Test(stack, of_the_least_size_too)
{
    struct coir_stack_pool pool;

    cr_assert_eq(coir_stack_pool_init(&pool, HEADER_BYTES, 16 * 1024), 0);
    cr_assert_gt(usable(get(&pool, 0)), 28 * 1024);
    coir_stack_pool_destroy(&pool);
}

Test(stack, larger_than_the_address_space_is_refused)
{
    struct coir_stack_pool pool;
    struct coir_stack *stack;

    pool_init(&pool);
    cr_assert_eq(coir_stack_pool_get(&pool, SIZE_MAX, &stack), -ENOMEM);
    cr_assert_eq(coir_stack_pool_get(&pool, (size_t)1 << 46, &stack), -ENOMEM);
    coir_stack_pool_destroy(&pool);
    cr_assert_eq(coir_stack_pool_init(&pool, HEADER_BYTES, SIZE_MAX / 2), -ENOMEM);
    coir_stack_pool_destroy(&pool);
    cr_assert_eq(coir_stack_pool_init(&pool, HEADER_BYTES, (size_t)1 << 46), 0);
    cr_assert_eq(coir_stack_pool_get(&pool, 0, &stack), -ENOMEM);
    cr_assert_eq(coir_stack_pool_get(&pool, (size_t)1 << 47, &stack), -ENOMEM);
    coir_stack_pool_destroy(&pool);
}

Test(stack, its_header_starts_as_zeroes)
{
    struct coir_stack_pool pool;

    pool_init(&pool);
    for (int i = 0; i < 100; i++) {
        struct coir_stack *stack = get(&pool, 0);
        const char *object = (const char *)(stack + 1);

        cr_assert_eq(stack->fresh, 1);
        for (size_t k = 0; k < HEADER_BYTES - sizeof *stack; k++)
            cr_assert_eq(object[k], 0);
        memset(stack + 1, 0xff, HEADER_BYTES - sizeof *stack);
        stack->fresh = 0;
    }
    coir_stack_pool_destroy(&pool);
}

Test(stack, its_header_outlives_a_stay_in_the_pool)
{
    struct coir_stack_pool pool;
    struct coir_stack *stack, *again;

    pool_init(&pool);
    stack = get(&pool, 0);
    memset(stack + 1, 0x5a, HEADER_BYTES - sizeof *stack);
    stack->fresh = 0;
    coir_stack_pool_put(&pool, stack, 1);
    again = get(&pool, 0);
    cr_assert_eq(again, stack);
    cr_assert_eq(again->fresh, 0);
    for (size_t k = sizeof *stack; k < HEADER_BYTES; k++)
        cr_assert_eq(((const char *)again)[k], 0x5a);
    coir_stack_pool_destroy(&pool);
}

Test(stack, header_and_first_frames_share_a_page_at_varied_offsets)
{
    struct coir_stack_pool pool;
    unsigned offsets_seen = 0;

    pool_init(&pool);
    for (int i = 0; i < 64; i++) {
        struct coir_stack *stack = get(&pool, 0);
        uintptr_t top = (uintptr_t)stack->top;

        cr_assert_eq(top % 16, 0);
        cr_assert_eq((uintptr_t)stack % 64, 0);
        cr_assert_leq(top, (uintptr_t)stack);
        cr_assert_gt(top % 4096, 2048);
        cr_assert_eq((uintptr_t)stack / 4096, top / 4096);
        cr_assert_eq(((uintptr_t)stack + HEADER_BYTES - 1) / 4096, top / 4096);
        offsets_seen |= 1u << (top % 4096 / 128);
    }
    cr_assert_eq(__builtin_popcount(offsets_seen), 8);
    coir_stack_pool_destroy(&pool);
}

static void fill(struct coir_stack *stack, unsigned char byte)
{
    memset(stack->low, byte, usable(stack));
}

static bool is_filled(const struct coir_stack *stack, unsigned char byte)
{
    for (const char *p = stack->low; p < stack->top; p++)
        if (*p != (char)byte)
            return false;
    return true;
}

Test(stack, no_two_overlap)
{
    enum { N = 100 };
    struct coir_stack *stacks[N];
    struct coir_stack_pool pool;

    pool_init(&pool);
    for (int i = 0; i < N; i++) {
        stacks[i] = get(&pool, i % 10 ? 0 : 100000);
        memset(stacks[i] + 1, i + 100, HEADER_BYTES - sizeof *stacks[i]);
        fill(stacks[i], (unsigned char)i);
    }
    for (int i = 0; i < N; i++) {
        cr_assert(is_filled(stacks[i], (unsigned char)i));
        cr_assert_eq(*(unsigned char *)(stacks[i] + 1), i + 100);
    }
    coir_stack_pool_destroy(&pool);
}

static void assert_guarded(const struct coir_stack *stack)
{
    for (size_t below = 1; below <= COIR_STACK_GUARD; below += 4095)
        cr_assert(!is_readable(stack->low - below), "%zu below the stack", below);
    cr_assert(!is_readable(stack->low - COIR_STACK_GUARD));
    cr_assert(is_readable(stack->low));
}

Test(stack, each_has_a_guard)
{
    struct coir_stack_pool pool;

    pool_init(&pool);
    for (int i = 0; i < 100; i++)
        assert_guarded(get(&pool, i % 7 ? 0 : 1 << 20));
    coir_stack_pool_destroy(&pool);
}

Test(stack, the_guard_outlives_a_stay_in_the_pool)
{
    struct coir_stack_pool pool;
    struct coir_stack *chain;

    pool_init(&pool);
    coir_stack_pool_put(&pool, get_chain(&pool, 1000), 1000);
    coir_stack_pool_put(&pool, get_chain(&pool, 1000), 1000);
    for (chain = get_chain(&pool, 1000); chain; chain = chain->next)
        assert_guarded(chain);
    coir_stack_pool_destroy(&pool);
}

/* What the pool does. */

static size_t length(const struct coir_stack *chain)
{
    size_t n = 0;

    for (; chain; chain = chain->next)
        n++;
    return n;
}

Test(stack_pool, a_batch_is_a_chain_of_that_length)
{
    struct coir_stack_pool pool;
    struct coir_stack *chain;

    pool_init(&pool);
    cr_assert_eq(length(get_chain(&pool, 1)), 1);
    chain = get_chain(&pool, 100);
    cr_assert_eq(length(chain), 100);
    coir_stack_pool_put(&pool, chain, 60);
    cr_assert_eq(length(get_chain(&pool, 100)), 100);
    cr_assert_eq(pool.mapped, 141);
    coir_stack_pool_destroy(&pool);
}

Test(stack_pool, what_was_given_back_is_handed_out_again)
{
    struct coir_stack_pool pool;

    pool_init(&pool);
    for (int i = 0; i < 100; i++) {
        struct coir_stack *large = get(&pool, 200000);
        struct coir_stack *small = get(&pool, 0);

        large->next = small;
        coir_stack_pool_put(&pool, large, 2);
    }
    cr_assert_eq(pool.mapped, 2);
    coir_stack_pool_destroy(&pool);
}

static void count_stack(struct coir_stack *stack, void *arg)
{
    size_t *counts = arg;

    counts[stack->size_class]++;
}

Test(stack_pool, each_visits_every_stack_that_is_no_longer_fresh)
{
    struct coir_stack_pool pool;
    struct coir_stack *chain;
    size_t counts[COIR_STACK_CLASSES] = { 0 };

    pool_init(&pool);
    for (int i = 0; i < 150; i++)
        coir_store_release(&get(&pool, i % 3 ? 0 : 100000)->fresh, i % 2 ? 0 : 1);
    chain = get_chain(&pool, 20);
    for (struct coir_stack *stack = chain; stack; stack = stack->next)
        coir_store_release(&stack->fresh, 0);
    coir_stack_pool_put(&pool, chain, 20);
    coir_stack_pool_each(&pool, count_stack, counts);
    cr_assert_eq(counts[0], 50 + 20);
    cr_assert_eq(counts[1], 25);
    coir_stack_pool_destroy(&pool);
}

static void *get_many(void *pool)
{
    struct coir_stack *chain;
    size_t n = 0;

    while (n < 20000)
        n += coir_stack_pool_get_batch(pool, 1000, &chain);
    return NULL;
}

Test(stack_pool, each_may_run_while_stacks_are_made)
{
    size_t counts[COIR_STACK_CLASSES] = { 0 };
    struct coir_stack_pool pool;
    pthread_t thread;

    pool_init(&pool);
    cr_assert_eq(pthread_create(&thread, NULL, get_many, &pool), 0);
    while (coir_load_relaxed(&pool.mapped) < 20000)
        coir_stack_pool_each(&pool, count_stack, counts);
    pthread_join(thread, NULL);
    coir_stack_pool_each(&pool, count_stack, counts);
    cr_assert_eq(counts[0], 0);
    coir_stack_pool_destroy(&pool);
}

Test(stack_pool, unmaps_as_many_as_it_mapped)
{
    enum { N = 500 };
    struct coir_stack_pool pool;
    struct coir_stack *chain;
    const char *lows[N];

    pool_init(&pool);
    get(&pool, 1 << 20);
    chain = get_chain(&pool, N);
    for (int i = 0; i < N; i++, chain = chain->next)
        lows[i] = chain->low;
    cr_assert_eq(pool.mapped, N + 1);
    cr_assert_eq(pool.unmapped, 0);
    coir_stack_pool_destroy(&pool);
    cr_assert_eq(pool.mapped, N + 1);
    cr_assert_eq(pool.unmapped, N + 1);
    for (int i = 0; i < N; i++)
        cr_assert(!is_readable(lows[i]));
}

Test(stack_pool, comes_and_goes)
{
    for (int i = 0; i < 1000; i++) {
        struct coir_stack_pool pool;

        pool_init(&pool);
        fill(get(&pool, 0), 1);
        coir_stack_pool_destroy(&pool);
    }
}

Test(stack_pool, twenty_thousand_stacks_need_few_mappings)
{
    struct coir_stack_pool pool;
    struct coir_stack *chain;

    pool_init(&pool);
    chain = get_chain(&pool, 20000);
    if (pool.no_guard_advice)
        cr_skip("the kernel has no MADV_GUARD_INSTALL");
    cr_assert_leq(count_mappings(chain), 10);
    coir_stack_pool_destroy(&pool);
}

static bool is_resident(const char *address)
{
    unsigned char resident = 0;
    uintptr_t page = (uintptr_t)address & ~(uintptr_t)4095;

    cr_assert_eq(mincore((void *)page, 4096, &resident), 0);
    return resident & 1;
}

enum { BURST = 1024 };

/* Use so many bytes of many stacks, and give these back, so many at a time. */
static void burst(struct coir_stack_pool *pool, size_t bytes, size_t at_a_time)
{
    struct coir_stack *chain = get_chain(pool, BURST);

    for (struct coir_stack *stack = chain; stack; stack = stack->next)
        memset(stack->top - bytes, 1, bytes);
    while (chain) {
        struct coir_stack *first = chain;

        for (size_t i = 0; i < at_a_time; i++)
            chain = chain->next;
        coir_stack_pool_put(pool, first, at_a_time);
    }
}

/* How many of the stacks still have the page that is so far below the top. */
static int count_resident(struct coir_stack_pool *pool, size_t below_top)
{
    struct coir_stack *chain = get_chain(pool, BURST);
    int n = 0;

    for (struct coir_stack *stack = chain; stack; stack = stack->next)
        n += is_resident(stack->top - below_top);
    coir_stack_pool_put(pool, chain, BURST);
    return n;
}

Test(stack_pool, memory_of_a_burst_goes_back_to_the_system)
{
    struct coir_stack_pool pool;

    pool_init(&pool);
    burst(&pool, 100000, 1);
    cr_assert_eq(count_resident(&pool, COIR_STACK_KEPT), BURST);
    cr_assert_eq(count_resident(&pool, 100000), 256);
    burst(&pool, 30000, 128);
    cr_assert_eq(count_resident(&pool, COIR_STACK_KEPT), BURST);
    cr_assert_eq(count_resident(&pool, 30000), 256);
    coir_stack_pool_destroy(&pool);
}

/* Put them all back, and empty what a second without use leaves for it.  Returns how
   many calls it took. */
static int let_grow_old(struct coir_stack_pool *pool, struct coir_stack *chain, size_t n)
{
    int calls = 0;

    coir_stack_pool_put(pool, chain, n);
    while (pool->tidy_at != INT64_MAX) {
        coir_stack_pool_tidy(pool, pool->tidy_at);
        calls++;
    }
    return calls;
}

static bool is_empty(const char *low, const char *top)
{
    for (const char *page = low; page < top; page += 4096)
        if (is_resident(page))
            return false;
    return !is_resident(top);
}

Test(stack_pool, a_stack_that_nobody_wants_gives_back_all_it_has)
{
    struct coir_stack_pool pool;
    struct coir_stack *chain;
    char *low[BURST], *top[BURST];
    int n = 0;

    pool_init(&pool);
    chain = get_chain(&pool, BURST);
    for (struct coir_stack *stack = chain; stack; stack = stack->next) {
        low[n] = stack->low;
        top[n++] = stack->top;
        memset(stack->top - 30000, 1, 30000);
    }
    cr_assert_geq(let_grow_old(&pool, chain, BURST), BURST / 64, "a bounded number at a time");
    for (int i = 0; i < n; i++)
        cr_assert(is_empty(low[i], top[i]), "stack %d", i);
    cr_assert_eq(pool.free, 0);
    coir_stack_pool_destroy(&pool);
    cr_assert_eq(pool.mapped, pool.unmapped);
}

Test(stack_pool, an_emptied_stack_comes_back_as_a_fresh_one_with_its_guard)
{
    struct coir_stack_pool pool;
    struct coir_stack *chain;

    pool_init(&pool);
    for (int round = 0; round < 3; round++) {
        chain = get_chain(&pool, BURST);
        cr_assert_eq(pool.mapped, BURST, "others were mapped instead");
        for (struct coir_stack *stack = chain; stack; stack = stack->next) {
            const char *header = (const char *)(stack + 1);
            for (size_t i = 0; i < HEADER_BYTES - sizeof *stack; i++)
                cr_assert_eq(header[i], 0);
            cr_assert_eq(stack->fresh, 1);
            assert_guarded(stack);
            fill(stack, 1);
            coir_store_relaxed(&stack->fresh, 0);
        }
        let_grow_old(&pool, chain, BURST);
    }
    coir_stack_pool_destroy(&pool);
}

static size_t forgotten;

static void forget(struct coir_stack *stack)
{
    cr_assert_eq(stack->fresh, 0);
    forgotten++;
}

Test(stack_pool, tells_the_owner_of_each_stack_that_it_empties)
{
    struct coir_stack_pool pool;
    struct coir_stack *chain;
    size_t counts[COIR_STACK_CLASSES] = { 0 };

    pool_init(&pool);
    pool.forget = forget;
    chain = get_chain(&pool, BURST);
    for (struct coir_stack *stack = chain->next; stack; stack = stack->next)
        coir_store_relaxed(&stack->fresh, 0);
    let_grow_old(&pool, chain, BURST);
    cr_assert_eq(forgotten, BURST - 1, "all but the one that is fresh");
    coir_stack_pool_each(&pool, count_stack, counts);
    cr_assert_eq(counts[0], 0);
    coir_stack_pool_destroy(&pool);
}

Test(stack_pool, a_stack_that_is_wanted_does_not_grow_old)
{
    struct coir_stack_pool pool;
    struct coir_stack *stack, *chain;

    pool_init(&pool);
    chain = get_chain(&pool, 10);
    coir_stack_pool_put(&pool, chain, 10);
    for (int turns = 0; turns < 10; turns++) {
        stack = get(&pool, 0);
        coir_store_relaxed(&stack->fresh, 0);
        coir_stack_pool_put(&pool, stack, 1);
        while (coir_stack_pool_tidy(&pool, pool.tidy_at))
            ;
    }
    cr_assert_eq(pool.free, 1);
    cr_assert_eq(get(&pool, 0)->fresh, 0, "it is the same one");
    coir_stack_pool_destroy(&pool);
}

Test(stack_pool, before_its_time_nothing_is_tidied)
{
    struct coir_stack_pool pool;
    struct coir_stack *chain;

    pool_init(&pool);
    cr_assert_eq(pool.tidy_at, INT64_MAX);
    cr_assert_not(coir_stack_pool_tidy(&pool, 0));
    chain = get_chain(&pool, 10);
    coir_stack_pool_put(&pool, chain, 10);
    for (int i = 0; i < 10; i++)
        cr_assert_not(coir_stack_pool_tidy(&pool, pool.tidy_at - 1));
    cr_assert_eq(pool.free, 10);
    coir_stack_pool_destroy(&pool);
}

Test(stack_pool, what_was_used_deeply_once_does_not_stay_so_when_put_back_cold)
{
    struct coir_stack_pool pool;
    struct coir_stack *stack;

    pool_init(&pool);
    stack = get(&pool, 0);
    memset(stack->top - 40000, 1, 40000);
    coir_stack_pool_put_cold(&pool, stack, 1);
    cr_assert_eq(get(&pool, 0), stack);
    cr_assert(is_resident(stack->top - COIR_STACK_KEPT));
    cr_assert_not(is_resident(stack->top - 40000));
    coir_stack_pool_destroy(&pool);
}

static struct coir_stack_pool hammered;

/* Takes and gives back stacks, and makes sure that each is its own meanwhile. */
static void *hammer(void *arg)
{
    const unsigned rounds = (unsigned)check_scale(20000);
    unsigned mine = (unsigned)(uintptr_t)arg;
    uintptr_t clashes = 0;

    for (unsigned i = 0; i < rounds; i++) {
        struct coir_stack *chain = NULL;
        size_t n = coir_stack_pool_get_batch(&hammered, 1 + i % 5, &chain);

        for (struct coir_stack *stack = chain; stack; stack = stack->next)
            *(volatile unsigned *)(stack + 1) = mine;
        for (struct coir_stack *stack = chain; stack; stack = stack->next)
            clashes += *(volatile unsigned *)(stack + 1) != mine;
        coir_stack_pool_put(&hammered, chain, n);
        if (i % 7 == mine)
            coir_stack_pool_tidy(&hammered, INT64_MAX - COIR_STACK_IDLE_NS);
    }
    return (void *)clashes;
}

Test(stack_pool, no_stack_is_handed_to_two_threads)
{
    pthread_t threads[4];
    void *clashes;

    pool_init(&hammered);
    for (uintptr_t i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, hammer, (void *)i), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &clashes);
        cr_assert_eq((uintptr_t)clashes, 0);
    }
    cr_assert_leq(hammered.mapped, 200, "each holds five at most, or is emptying 64");
    cr_assert_leq(hammered.free, hammered.mapped);
    coir_stack_pool_destroy(&hammered);
}

/* When the outside world says no. */

/* From here on, this system call fails if that argument of it has that value. */
static void refuse(unsigned call, int argument, unsigned value, unsigned error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[argument])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { sizeof filter / sizeof filter[0], filter };

    cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

Test(stack_pool, guards_where_the_kernel_has_no_advice_for_them)
{
    struct coir_stack_pool pool;

    refuse(SYS_madvise, 2, MADV_GUARD, EINVAL);
    pool_init(&pool);
    for (int i = 0; i < 100; i++)
        assert_guarded(get(&pool, i % 7 ? 0 : 1 << 20));
    cr_assert(pool.no_guard_advice);
    coir_stack_pool_put(&pool, get(&pool, 0), 1);
    get(&pool, 0);
    cr_assert_eq(pool.split_guards, 101);
    coir_stack_pool_destroy(&pool);
}

static long max_map_count(void)
{
    FILE *file = fopen("/proc/sys/vm/max_map_count", "r");
    long n = -1;

    cr_assert(file && fscanf(file, "%ld", &n) == 1);
    fclose(file);
    return n;
}

Test(stack_pool, refuses_to_take_more_than_a_quarter_of_the_mappings)
{
    const long max = max_map_count();
    struct coir_stack_pool pool, second;
    struct coir_stack *chain, *none;

    if (max > 300000)
        cr_skip("vm.max_map_count is so large that this would take a GiB");
    refuse(SYS_madvise, 2, MADV_GUARD, EINVAL);
    pool_init(&pool);
    chain = get_chain(&pool, (size_t)max / 8);
    cr_assert_leq(count_mappings(chain), max / 4 + 10);
    cr_assert_eq(coir_stack_pool_get(&pool, 0, &none), -ENOMEM);

    pool_init(&second);
    cr_assert_eq(coir_stack_pool_get(&second, 0, &none), -ENOMEM);
    coir_stack_pool_destroy(&pool);
    assert_guarded(get_chain(&second, (size_t)max / 8));
    coir_stack_pool_destroy(&second);
}

Test(stack_pool, hands_out_no_stack_without_a_guard)
{
    struct coir_stack_pool pool;
    struct coir_stack *stack, *chain;

    refuse(SYS_madvise, 2, MADV_GUARD, EINVAL);
    refuse(SYS_mprotect, 1, COIR_STACK_GUARD, EACCES);
    pool_init(&pool);
    for (int i = 0; i < 100; i++) {
        cr_assert_eq(coir_stack_pool_get(&pool, 0, &stack), -ENOMEM);
        cr_assert_eq(coir_stack_pool_get(&pool, 100000, &stack), -ENOMEM);
        cr_assert_eq(coir_stack_pool_get_batch(&pool, 10, &chain), 0);
    }
    cr_assert_eq(pool.mapped, 2);
    coir_stack_pool_destroy(&pool);
}

#if !defined(COIR_ASAN) && !defined(COIR_TSAN) /* they need address space of their own */

Test(stack_pool, makes_do_with_little_address_space)
{
    const struct rlimit little = { 512 << 20, 512 << 20 };
    struct coir_stack_pool pool;
    struct coir_stack *chain;
    size_t n = 0, got;

    cr_assert_eq(setrlimit(RLIMIT_AS, &little), 0);
    pool_init(&pool);
    while ((got = coir_stack_pool_get_batch(&pool, 1000, &chain)) > 0)
        n += got;
    cr_assert_gt(n, 1500);
    cr_assert_lt(n, 2731);
    coir_stack_pool_destroy(&pool);
}

#endif

/* The overflow report. */

static void describe(struct coir_stack *stack, char *buf, size_t cap)
{
    (void)stack;
    snprintf(buf, cap, "task '%s' (created at %s)", (const char *)(stack + 1), "here");
}

static struct {
    struct coir_stack_pool pool;
    struct coir_stack *stack; /* with a neighbour below it in the same slab */
    struct coir_context context;
    struct coir_context caller;
} victim;

static void make_victim(void)
{
    struct coir_stack *other;

    pool_init(&victim.pool);
    other = get(&victim.pool, 0);
    victim.stack = get(&victim.pool, 0);
    cr_assert_lt((uintptr_t)other, (uintptr_t)victim.stack);
    strcpy((char *)(victim.stack + 1), "deep");
    strcpy((char *)(other + 1), "other");
}

static void run_victim(void (*entry)(void *))
{
    coir_context_init(&victim.context, victim.stack->low, usable(victim.stack), entry);
    coir_context_init_thread(&victim.caller);
    coir_context_switch(&victim.caller, &victim.context, NULL);
}

static void leave_amid_frames(void *arg)
{
    char frame[100 * 1024];

    (void)arg;
    memset(frame, 1, sizeof frame);
    coir_context_switch(&victim.context, &victim.caller, frame);
    abort();
}

Test(stack_pool, a_new_pool_may_get_the_memory_of_abandoned_contexts)
{
    make_victim();
    for (int i = 0; i < 10; i++) {
        run_victim(leave_amid_frames);
        coir_context_destroy(&victim.context);
        coir_context_destroy(&victim.caller);
        coir_stack_pool_destroy(&victim.pool);
        make_victim();
        fill(victim.stack, 1);
    }
    coir_stack_pool_destroy(&victim.pool);
}

/* How a child process ended, and what it wrote to stderr until then. */
struct end {
    int status;
    char text[8192];
};

static void read_all(int fd, char *buf, size_t cap)
{
    size_t used = 0;
    ssize_t n;

    while ((n = read(fd, buf + used, cap - 1 - used)) > 0)
        used += (size_t)n;
    buf[used] = '\0';
}

static struct end run_child(void (*body)(void))
{
    struct end end;
    int ends[2];
    pid_t child;

    cr_assert_eq(pipe(ends), 0);
    child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
        dup2(ends[1], STDERR_FILENO);
        body();
        _exit(0);
    }
    close(ends[1]);
    read_all(ends[0], end.text, sizeof end.text);
    close(ends[0]);
    cr_assert_eq(waitpid(child, &end.status, 0), child);
    return end;
}

/* A sanitizer has a handler of its own, and the signal is passed on to it. */
static bool died_of_fault(const struct end *end)
{
#if defined(COIR_ASAN) || defined(COIR_TSAN)
    return WIFEXITED(end->status) ? WEXITSTATUS(end->status) != 0
                                  : WTERMSIG(end->status) == SIGSEGV;
#else
    return WIFSIGNALED(end->status) && WTERMSIG(end->status) == SIGSEGV;
#endif
}

#define REPORT "coir: stack overflow in task 'deep' (created at here): 131072 bytes\n"

static bool begins_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static void install(void)
{
    void *altstack;

    make_victim();
    cr_assert_eq(coir_stack_altstack_set(&altstack), 0);
    cr_assert_eq(coir_stack_fault_install(describe), 0);
}

__attribute__((noinline)) static unsigned recurse(unsigned n)
{
    volatile char frame[200];

    frame[n % sizeof frame] = (char)n;
    return n == UINT32_MAX ? 0 : recurse(n + 1) + (unsigned char)frame[0];
}

static void recurse_entry(void *arg)
{
    (void)arg;
    _exit((int)recurse(0) & 1);
}

static void overflow(void)
{
    install();
    run_victim(recurse_entry);
}

Test(stack_fault, an_overflow_is_reported_and_ends_the_process)
{
    struct end end = run_child(overflow);

    cr_assert(begins_with(end.text, REPORT), "stderr: %s", end.text);
    cr_assert(died_of_fault(&end));
}

/* Larger than stack and guard together: but for -fstack-clash-protection, the
   neighbour's stack would be written to. */
__attribute__((noinline)) static char use_large_frame(void)
{
    char frame[220 * 1024];
    char *lowest = frame;

    __asm__ volatile("" : "+r"(lowest) : : "memory"); /* the frame is there in full */
    *lowest = 1;
    return *lowest;
}

static void large_frame_entry(void *arg)
{
    (void)arg;
    _exit(use_large_frame());
}

static void overflow_by_one_frame(void)
{
    install();
    run_victim(large_frame_entry);
}

Test(stack_fault, a_large_frame_does_not_jump_the_guard)
{
    struct end end = run_child(overflow_by_one_frame);

    cr_assert(begins_with(end.text, REPORT), "stderr: %s", end.text);
    cr_assert(died_of_fault(&end));
}

static volatile char *volatile stray;

static void write_astray(void)
{
    install();
    stray = victim.stack->low - 100;
    *stray = 1;
}

Test(stack_fault, a_stray_write_into_a_guard_is_no_overflow)
{
    struct end end = run_child(write_astray);

    cr_assert(died_of_fault(&end));
    cr_assert_null(strstr(end.text, "coir:"), "stderr: %s", end.text);
}

static void write_to_null(void)
{
    install();
    stray = NULL;
    *stray = 1;
}

Test(stack_fault, any_other_fault_ends_the_process_in_silence)
{
    struct end end = run_child(write_to_null);

    cr_assert(died_of_fault(&end));
    cr_assert_null(strstr(end.text, "coir:"), "stderr: %s", end.text);
}

static void previous_handler(int signal, siginfo_t *info, void *context)
{
    static const char line[] = "previous handler\n";

    (void)signal;
    (void)context;
    if (info->si_addr == stray)
        write(STDERR_FILENO, line, sizeof line - 1);
    _exit(3);
}

static void old_style_handler(int signal)
{
    _exit(signal == SIGSEGV ? 4 : 5);
}

static void set_handler(struct sigaction action)
{
    sigemptyset(&action.sa_mask);
    cr_assert_eq(sigaction(SIGSEGV, &action, NULL), 0);
}

static void overflow_with_handler(void)
{
    set_handler((struct sigaction){ .sa_sigaction = previous_handler, .sa_flags = SA_SIGINFO });
    overflow();
}

static void fault_with_handler(void)
{
    set_handler((struct sigaction){ .sa_sigaction = previous_handler, .sa_flags = SA_SIGINFO });
    write_astray();
}

static void fault_with_old_style_handler(void)
{
    set_handler((struct sigaction){ .sa_handler = old_style_handler });
    write_astray();
}

Test(stack_fault, the_handler_from_before_gets_every_fault)
{
    struct end end = run_child(overflow_with_handler);

    cr_assert_str_eq(end.text, REPORT);
    cr_assert(WIFEXITED(end.status) && WEXITSTATUS(end.status) == 3);

    end = run_child(fault_with_handler);
    cr_assert_str_eq(end.text, "previous handler\n");
    cr_assert(WIFEXITED(end.status) && WEXITSTATUS(end.status) == 3);

    end = run_child(fault_with_old_style_handler);
    cr_assert(WIFEXITED(end.status) && WEXITSTATUS(end.status) == 4);
}

static void raise_with_default(void)
{
    set_handler((struct sigaction){ .sa_handler = SIG_DFL });
    install();
    raise(SIGSEGV);
}

static void raise_ignored(void)
{
    set_handler((struct sigaction){ .sa_handler = SIG_IGN });
    install();
    raise(SIGSEGV);
    _exit(6);
}

static void fault_ignored(void)
{
    set_handler((struct sigaction){ .sa_handler = SIG_IGN });
    write_astray();
}

static bool killed_by_fault(const struct end *end)
{
    return WIFSIGNALED(end->status) && WTERMSIG(end->status) == SIGSEGV;
}

Test(stack_fault, a_signal_that_was_sent_does_what_it_did_before)
{
    struct end end = run_child(raise_with_default);

    cr_assert(killed_by_fault(&end));
    end = run_child(raise_ignored);
    cr_assert(WIFEXITED(end.status) && WEXITSTATUS(end.status) == 6);
}

Test(stack_fault, a_fault_cannot_be_ignored)
{
    struct end end = run_child(fault_ignored);

    cr_assert(killed_by_fault(&end));
}

static struct sigaction current_action(void)
{
    struct sigaction action;

    cr_assert_eq(sigaction(SIGSEGV, NULL, &action), 0);
    return action;
}

Test(stack_fault, the_last_uninstall_puts_back_the_handler_from_before)
{
    set_handler((struct sigaction){ .sa_handler = old_style_handler });
    cr_assert_eq(coir_stack_fault_install(describe), 0);
    cr_assert_eq(coir_stack_fault_install(describe), 0);
    cr_assert(current_action().sa_handler != old_style_handler);
    coir_stack_fault_uninstall();
    cr_assert(current_action().sa_handler != old_style_handler);
    coir_stack_fault_uninstall();
    cr_assert(current_action().sa_handler == old_style_handler);
}

Test(stack_fault, a_handler_set_since_stays)
{
    cr_assert_eq(coir_stack_fault_install(describe), 0);
    set_handler((struct sigaction){ .sa_handler = old_style_handler });
    coir_stack_fault_uninstall();
    cr_assert(current_action().sa_handler == old_style_handler);
}

static struct sigaction handler_below;

static void chaining_handler(int signal, siginfo_t *info, void *context)
{
    handler_below.sa_sigaction(signal, info, context);
}

/* Ours, theirs on top of it, and ours again, which must not call in circles. */
static void install_twice_around_a_handler(void)
{
    set_handler((struct sigaction){ .sa_sigaction = previous_handler, .sa_flags = SA_SIGINFO });
    cr_assert_eq(coir_stack_fault_install(describe), 0);
    handler_below = current_action();
    set_handler((struct sigaction){ .sa_sigaction = chaining_handler, .sa_flags = SA_SIGINFO });
    coir_stack_fault_uninstall();
    write_astray();
}

Test(stack_fault, handlers_that_chain_do_not_call_in_circles)
{
    struct end end = run_child(install_twice_around_a_handler);

    cr_assert_str_eq(end.text, "previous handler\n");
    cr_assert(WIFEXITED(end.status) && WEXITSTATUS(end.status) == 3);
}

static volatile uintptr_t handler_frame;

static void note_frame(int signal)
{
    (void)signal;
    handler_frame = (uintptr_t)__builtin_frame_address(0);
}

Test(altstack, handlers_run_on_it_until_it_is_cleared)
{
    struct sigaction action = { .sa_handler = note_frame, .sa_flags = SA_ONSTACK };
    stack_t before, during, after;
    uintptr_t low;
    void *memory;

    sigemptyset(&action.sa_mask);
    sigaction(SIGUSR1, &action, NULL);
    sigaltstack(NULL, &before);
    cr_assert_eq(coir_stack_altstack_set(&memory), 0);
    sigaltstack(NULL, &during);
    low = (uintptr_t)during.ss_sp;
    raise(SIGUSR1);
    cr_assert_gt(handler_frame, low);
    cr_assert_lt(handler_frame, low + during.ss_size);
    cr_assert_geq(during.ss_size, 32 * 1024);
    cr_assert(!is_readable((char *)low - 1));

    coir_stack_altstack_clear(memory);
    sigaltstack(NULL, &after);
    cr_assert_eq(after.ss_flags, before.ss_flags);
    if (!(before.ss_flags & SS_DISABLE))
        cr_assert_eq(after.ss_sp, before.ss_sp);
}
