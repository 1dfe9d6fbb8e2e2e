/*
 * atomics.h - every atomic operation of the project, with its memory order in
 * its name.
 *
 * Values are declared with COIR_ATOMIC(type).  The same text compiles as C11,
 * under ThreadSanitizer, and as C++11 for the model checker, which defines
 * COIR_MODEL and supplies these names itself (tests/model/model_atomics.hpp).
 */
#ifndef COIR_RUNTIME_ATOMICS_H
#define COIR_RUNTIME_ATOMICS_H

#ifdef COIR_MODEL
#include "model_atomics.hpp"
#else

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COIR_ATOMIC(type) _Atomic(type)

#define coir_load_relaxed(p) atomic_load_explicit((p), memory_order_relaxed)
#define coir_load_acquire(p) atomic_load_explicit((p), memory_order_acquire)
#define coir_load_seq_cst(p) atomic_load_explicit((p), memory_order_seq_cst)

#define coir_store_relaxed(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define coir_store_release(p, v) atomic_store_explicit((p), (v), memory_order_release)
#define coir_store_seq_cst(p, v) atomic_store_explicit((p), (v), memory_order_seq_cst)

#define coir_xchg_acquire(p, v) atomic_exchange_explicit((p), (v), memory_order_acquire)
#define coir_xchg_acq_rel(p, v) atomic_exchange_explicit((p), (v), memory_order_acq_rel)
#define coir_xchg_seq_cst(p, v) atomic_exchange_explicit((p), (v), memory_order_seq_cst)

#define coir_add_relaxed(p, v) atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define coir_add_acq_rel(p, v) atomic_fetch_add_explicit((p), (v), memory_order_acq_rel)
#define coir_add_seq_cst(p, v) atomic_fetch_add_explicit((p), (v), memory_order_seq_cst)
#define coir_sub_relaxed(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_relaxed)
#define coir_sub_acq_rel(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_acq_rel)
#define coir_sub_seq_cst(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_seq_cst)
#define coir_or_seq_cst(p, v) atomic_fetch_or_explicit((p), (v), memory_order_seq_cst)
#define coir_or_acq_rel(p, v) atomic_fetch_or_explicit((p), (v), memory_order_acq_rel)

/* Compare and swap: true if *p was *expected and is now v; else *expected is
   what *p was, read with acquire, or relaxed. */
#define coir_cas_relaxed(p, expected, v)                                              \
    atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_relaxed, \
                                            memory_order_relaxed)
#define coir_cas_acquire(p, expected, v)                                              \
    atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_acquire, \
                                            memory_order_acquire)
#define coir_cas_release(p, expected, v)                                              \
    atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_release, \
                                            memory_order_relaxed)
#define coir_cas_acq_rel(p, expected, v)                                              \
    atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_acq_rel, \
                                            memory_order_acquire)
#define coir_cas_seq_cst(p, expected, v)                                              \
    atomic_compare_exchange_strong_explicit((p), (expected), (v), memory_order_seq_cst, \
                                            memory_order_acquire)

/*
 * A full barrier between what stands before and what stands after it.
 * ThreadSanitizer does not model fences, so there it is a read-modify-write of
 * a word of no meaning, which it does model.
 */
#if defined(__SANITIZE_THREAD__)
#define COIR_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define COIR_TSAN 1
#endif
#endif

#ifdef COIR_TSAN
static inline void coir_fence_seq_cst(void)
{
    static _Atomic(int) word;
    atomic_fetch_add_explicit(&word, 0, memory_order_seq_cst);
}
#else
static inline void coir_fence_seq_cst(void)
{
    atomic_thread_fence(memory_order_seq_cst);
}
#endif

/*
 * A full barrier where a seq_cst read-modify-write stands directly before it.
 * On x86-64 that instruction is the barrier, and the compiler must only not
 * move anything across.
 */
static inline void coir_fence_after_rmw(void)
{
#if defined(__x86_64__) && !defined(COIR_TSAN)
    __asm__ volatile("" ::: "memory");
#else
    coir_fence_seq_cst();
#endif
}

/* For functions that look at what others may be changing, and say so. */
#if defined(__clang__)
#define COIR_RACY __attribute__((no_sanitize("thread"), noinline))
#else
#define COIR_RACY __attribute__((no_sanitize_thread, noinline))
#endif

/* Order against a signal handler on the same thread only: no instruction. */
static inline void coir_compiler_barrier(void)
{
    __asm__ volatile("" ::: "memory");
}

/*
 * Add to a counter that only this thread and its signal handlers change, in one
 * instruction: a handler sees the addition done or not begun.  Other threads
 * may read the counter.  Returns the old value.
 */
static inline uint64_t coir_local_add(_Atomic(uint64_t) *p, uint64_t n)
{
#if defined(__x86_64__) && !defined(COIR_TSAN)
    __asm__ volatile("xaddq %0, %1" : "+r"(n), "+m"(*(uint64_t *)p) : : "memory", "cc");
    return n;
#else
    n = atomic_fetch_add_explicit(p, n, memory_order_relaxed);
    __asm__ volatile("" ::: "memory");
    return n;
#endif
}

/*
 * Compare and swap, against signal handlers on the same thread only, in one
 * instruction.  True if *p was `expected` and is now `value`.
 */
static inline bool coir_local_cas(_Atomic(uintptr_t) *p, uintptr_t expected, uintptr_t value)
{
#if defined(__x86_64__) && !defined(COIR_TSAN)
    bool swapped;

    __asm__ volatile("cmpxchgq %3, %1"
                     : "=@ccz"(swapped), "+m"(*(uintptr_t *)p), "+a"(expected)
                     : "r"(value)
                     : "memory");
    return swapped;
#else
    bool swapped = atomic_compare_exchange_strong_explicit(
        p, &expected, value, memory_order_relaxed, memory_order_relaxed);
    __asm__ volatile("" ::: "memory");
    return swapped;
#endif
}

/* Tell the CPU that this is a loop that waits for another thread. */
static inline void coir_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield" ::: "memory");
#endif
}

#endif /* COIR_MODEL */
#endif
