/*
 * model_atomics.hpp - the names of runtime/atomics.h for the model checker.
 *
 * relacy explores the orders in which threads may run, and for each load the
 * stores that the C++11 memory model lets it see.  It finds data races on
 * rl::var, failed assertions and deadlocks.
 *
 * What it does not do: read a value before it is written in the order in which
 * it runs the threads (load buffering), and let a read-modify-write see
 * anything but the last value in that order.  model_slot makes up for the first
 * where it matters: see there.
 */
#ifndef COIR_MODEL_ATOMICS_HPP
#define COIR_MODEL_ATOMICS_HPP

#include <relacy/relacy.hpp>

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The mutation under test: one line of one file, and what its order becomes. */
struct model_mutation {
    const char *file;
    int line;
    const char *order; /* "none": the fence is not there */
    unsigned long hits;
};

extern struct model_mutation model_mutation;

static inline const char *model_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static inline rl::memory_order model_order_of(const char *name)
{
    return !strcmp(name, "relaxed") ? rl::mo_relaxed
         : !strcmp(name, "acquire") ? rl::mo_acquire
         : !strcmp(name, "release") ? rl::mo_release
         : !strcmp(name, "acq_rel") ? rl::mo_acq_rel
                                    : rl::mo_seq_cst;
}

static inline bool model_is_mutated(const char *file, int line)
{
    if (line != model_mutation.line || strcmp(model_base_name(file), model_mutation.file))
        return false;
    model_mutation.hits++;
    return true;
}

static inline rl::memory_order model_order(rl::memory_order order, const char *file, int line)
{
    if (order == rl::mo_relaxed || !model_is_mutated(file, line))
        return order;
    return model_order_of(model_mutation.order);
}

static inline void model_fence(rl::debug_info_param info, const char *file, int line)
{
    if (!model_is_mutated(file, line))
        rl::atomic_thread_fence(rl::mo_seq_cst, info);
}

/* What a failed compare-and-swap may read with. */
static inline rl::memory_order model_failure_order(rl::memory_order order)
{
    return order == rl::mo_relaxed || order == rl::mo_release ? rl::mo_relaxed : rl::mo_acquire;
}

/* Called before every operation: a model may put a signal handler here. */
extern void (*model_before_operation)(void);

static inline void model_step(void)
{
    if (model_before_operation)
        model_before_operation();
}

/*
 * A word that is only ever accessed in an order that other words establish: it
 * could be a plain variable.  A model that defines MODEL_SLOTS declares those of type
 * uintptr_t as such, so every access that is not ordered is a data race.
 */
struct model_slot {
    rl::var<uintptr_t> value;

    uintptr_t load(rl::memory_order, rl::debug_info_param info) const { return value(info).load(); }
    void store(uintptr_t v, rl::memory_order, rl::debug_info_param info) { value(info).store(v); }
};

template <typename T> struct model_type {
    typedef rl::atomic<T> atomic;
};

#ifdef MODEL_SLOTS
template <> struct model_type<uintptr_t> {
    typedef model_slot atomic;
};
#endif

#define COIR_ATOMIC(type) model_type<type>::atomic

#define MODEL_ORDER(order) model_order(rl::mo_##order, __FILE__, __LINE__)
#define MODEL_LOAD(p, order) (model_step(), (p)->load(MODEL_ORDER(order), $))
#define MODEL_STORE(p, v, order) (model_step(), (p)->store((v), MODEL_ORDER(order), $))
#define MODEL_RMW(p, v, order, operation)                                              \
    (model_step(), (*(p))($).operation((v), MODEL_ORDER(order)))
#define MODEL_CAS(p, expected, v, order)                                               \
    (model_step(),                                                                     \
     model_cas((p), (expected), (v), MODEL_ORDER(order), $))

template <typename T, typename V>
static inline bool model_cas(rl::atomic<T> *p, T *expected, V v, rl::memory_order order,
                             rl::debug_info_param info)
{
    return (*p)(info).compare_exchange_strong(*expected, (T)v, order, model_failure_order(order));
}

#define coir_load_relaxed(p) MODEL_LOAD(p, relaxed)
#define coir_load_acquire(p) MODEL_LOAD(p, acquire)
#define coir_load_seq_cst(p) MODEL_LOAD(p, seq_cst)

#define coir_store_relaxed(p, v) MODEL_STORE(p, v, relaxed)
#define coir_store_release(p, v) MODEL_STORE(p, v, release)
#define coir_store_seq_cst(p, v) MODEL_STORE(p, v, seq_cst)

#define coir_xchg_acquire(p, v) MODEL_RMW(p, v, acquire, exchange)
#define coir_xchg_acq_rel(p, v) MODEL_RMW(p, v, acq_rel, exchange)
#define coir_xchg_seq_cst(p, v) MODEL_RMW(p, v, seq_cst, exchange)

#define coir_add_relaxed(p, v) MODEL_RMW(p, v, relaxed, fetch_add)
#define coir_add_acq_rel(p, v) MODEL_RMW(p, v, acq_rel, fetch_add)
#define coir_add_seq_cst(p, v) MODEL_RMW(p, v, seq_cst, fetch_add)
#define coir_sub_relaxed(p, v) MODEL_RMW(p, v, relaxed, fetch_sub)
#define coir_sub_acq_rel(p, v) MODEL_RMW(p, v, acq_rel, fetch_sub)
#define coir_sub_seq_cst(p, v) MODEL_RMW(p, v, seq_cst, fetch_sub)
#define coir_or_seq_cst(p, v) MODEL_RMW(p, v, seq_cst, fetch_or)
#define coir_or_acq_rel(p, v) MODEL_RMW(p, v, acq_rel, fetch_or)

#define coir_cas_relaxed(p, expected, v) MODEL_CAS(p, expected, v, relaxed)
#define coir_cas_acquire(p, expected, v) MODEL_CAS(p, expected, v, acquire)
#define coir_cas_release(p, expected, v) MODEL_CAS(p, expected, v, release)
#define coir_cas_acq_rel(p, expected, v) MODEL_CAS(p, expected, v, acq_rel)
#define coir_cas_seq_cst(p, expected, v) MODEL_CAS(p, expected, v, seq_cst)

#define coir_fence_seq_cst() (model_step(), model_fence($, __FILE__, __LINE__))
#define coir_fence_after_rmw() coir_fence_seq_cst()

#endif
