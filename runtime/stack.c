#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "stack.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "context.h"
#include "sys.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

#define COLOURS 8
#define COLOUR_BYTES 128
#define FIRST_SLAB_COUNT 16
#define FIRST_SLAB_BYTES ((size_t)64 << 20) /* where stacks are large */
#define LAST_SLAB_BYTES ((size_t)16 << 30)
#define MAX_STACK_BYTES ((size_t)1 << 46) /* no address space has room for two */
#define TRIM_SAMPLE 16

/* So many free stacks may keep all their memory, while they are in use now and then. */
#define UNTRIMMED 256

#define TIDY_BATCH 64

/*
 * One mapping, of `count` slots: guard, stack, header.  The fault handler walks
 * the list of all slabs of the process without a lock; so a slab's descriptor is
 * never freed, but used again, and `high` is what makes it valid.
 */
struct coir_slab {
    struct coir_slab *next_of_all;
    struct coir_slab *next; /* of the pool */
    COIR_ATOMIC(uint32_t) taken;
    uint16_t size_class;
    size_t slot_bytes;
    size_t header_bytes;
    size_t count;
    COIR_ATOMIC(size_t) used; /* slots cut off, the lowest ones */
    uint64_t *emptied;        /* a bit for each slot: it has a guard, and nothing else */
    size_t emptied_count;
    size_t emptied_from;      /* words before this one are 0 */
    char *low;
    COIR_ATOMIC(char *) high; /* NULL while nothing is mapped */
};

static COIR_ATOMIC(struct coir_slab *) all_slabs;

static size_t round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t page_size(void)
{
    size_t bytes = coir_sys_auxval(AT_PAGESZ);

    return bytes ? bytes : 4096;
}

/* Words of a bit for each slot. */
static size_t bit_words(size_t count)
{
    return (count + 63) / 64;
}

static struct coir_stack *slot_header(const struct coir_slab *slab, size_t i)
{
    char *end = slab->low + (i + 1) * slab->slot_bytes;

    return (struct coir_stack *)(end - i % COLOURS * COLOUR_BYTES - slab->header_bytes);
}

/* Guards. */

/*
 * The guards of kernels before 6.13 split the mapping.  The process may have
 * vm.max_map_count mappings, and this library takes a quarter of them at most.
 */
static COIR_ATOMIC(size_t) split_guards;

#define DEFAULT_MAX_MAP_COUNT 65530
#define MAPPINGS_PER_SPLIT_GUARD 2

static size_t read_max_map_count(void)
{
    char text[32] = "";
    int fd = coir_sys_open("/proc/sys/vm/max_map_count", O_RDONLY | O_CLOEXEC, 0);
    size_t count = DEFAULT_MAX_MAP_COUNT;

    if (fd >= 0) {
        if (coir_sys_read(fd, text, sizeof text - 1) > 0)
            count = strtoul(text, NULL, 10);
        coir_sys_close(fd);
    }
    return count;
}

static size_t max_split_guards(void)
{
    static COIR_ATOMIC(size_t) max;
    size_t guards = coir_load_relaxed(&max);

    if (!guards) {
        guards = read_max_map_count() / 4 / MAPPINGS_PER_SPLIT_GUARD;
        coir_store_relaxed(&max, guards);
    }
    return guards;
}

static int install_split_guard(struct coir_stack_pool *pool, char *low)
{
    int rc = -ENOMEM;

    if (coir_add_relaxed(&split_guards, 1) < max_split_guards())
        rc = coir_sys_mprotect(low, COIR_STACK_GUARD, PROT_NONE);
    if (rc < 0)
        coir_sub_relaxed(&split_guards, 1);
    else
        coir_add_relaxed(&pool->split_guards, 1);
    return rc;
}

static int install_guard(struct coir_stack_pool *pool, char *low)
{
    if (!coir_load_relaxed(&pool->no_guard_advice)) {
        int rc = coir_sys_madvise(low, COIR_STACK_GUARD, MADV_GUARD_INSTALL);

        if (rc == 0 || rc == -ENOMEM)
            return rc;
        coir_store_relaxed(&pool->no_guard_advice, true);
    }
    return install_split_guard(pool, low);
}

/* Slabs. */

static struct coir_slab *new_descriptor(void)
{
    struct coir_slab *slab;

    for (slab = coir_load_acquire(&all_slabs); slab; slab = slab->next_of_all) {
        uint32_t free = 0;

        if (coir_cas_acq_rel(&slab->taken, &free, 1))
            return slab;
    }
    slab = coir_sys_calloc(1, sizeof *slab);
    if (!slab)
        return NULL;
    coir_store_relaxed(&slab->taken, 1);
    slab->next_of_all = coir_load_acquire(&all_slabs);
    while (!coir_cas_acq_rel(&all_slabs, &slab->next_of_all, slab))
        ;
    return slab;
}

/* Map `count` slots, or as many as there is room for. */
static int map_slots(struct coir_slab *slab, size_t count)
{
    void *memory = NULL;
    int rc;

    while ((rc = coir_sys_mmap(count * slab->slot_bytes, MAP_NORESERVE | MAP_STACK, &memory)) < 0)
        if ((count /= 2) == 0)
            return rc;
    /* Fails where there are no huge pages, which is as well. */
    coir_sys_madvise(memory, count * slab->slot_bytes, MADV_NOHUGEPAGE);
    slab->emptied = coir_sys_calloc(bit_words(count), sizeof *slab->emptied);
    if (!slab->emptied) {
        coir_sys_munmap(memory, count * slab->slot_bytes);
        return -ENOMEM;
    }
    slab->emptied_count = 0;
    slab->count = count;
    slab->low = memory;
    coir_store_release(&slab->high, slab->low + count * slab->slot_bytes);
    return 0;
}

static int grow(struct coir_stack_pool *pool, uint16_t size_class)
{
    struct coir_stack_class *class = &pool->classes[size_class];
    struct coir_slab *slab = new_descriptor();

    if (!slab)
        return -ENOMEM;
    slab->size_class = size_class;
    slab->header_bytes = pool->header_bytes;
    slab->slot_bytes = COIR_STACK_GUARD + 2 * (pool->default_bytes << size_class);
    coir_store_relaxed(&slab->used, 0);
    if (!class->next_count)
        class->next_count = min_size(FIRST_SLAB_COUNT, 1 + FIRST_SLAB_BYTES / slab->slot_bytes);
    if (map_slots(slab, class->next_count) < 0) {
        coir_store_release(&slab->taken, 0);
        return -ENOMEM;
    }
    class->next_count = min_size(4 * class->next_count, 1 + LAST_SLAB_BYTES / slab->slot_bytes);
    class->newest = slab;
    slab->next = coir_load_relaxed(&pool->slabs);
    coir_store_release(&pool->slabs, slab);
    return 0;
}

static void unmap_slab(struct coir_stack_pool *pool, struct coir_slab *slab)
{
    size_t bytes = slab->count * slab->slot_bytes;

    coir_add_relaxed(&pool->unmapped, coir_load_relaxed(&slab->used));
    coir_store_release(&slab->high, NULL);
    coir_context_forget_memory(slab->low, bytes);
    coir_sys_munmap(slab->low, bytes);
    coir_sys_free(slab->emptied);
    coir_store_release(&slab->taken, 0);
}

/* Cutting stacks off slabs. */

/* The state of a stack's guard, where 0 is that of memory never written to. */
enum { NO_HEADER, NO_GUARD, GUARDED };

/* Slots that follow one another in a slab. */
struct run {
    struct coir_slab *slab;
    size_t first;
    size_t count;
    uint16_t guard;
};

static bool is_emptied(const struct coir_slab *slab, size_t i)
{
    return slab->emptied[i / 64] >> i % 64 & 1;
}

static size_t first_emptied(struct coir_slab *slab)
{
    size_t word = slab->emptied_from;

    while (!slab->emptied[word])
        word++;
    slab->emptied_from = word;
    return word * 64 + (size_t)__builtin_ctzll(slab->emptied[word]);
}

/* Take up to n emptied slots of one slab. */
static struct run revive_from(struct coir_slab *slab, size_t n)
{
    struct run run = { .slab = slab, .first = first_emptied(slab), .guard = GUARDED };

    for (size_t i = run.first; run.count < n && i < slab->count && is_emptied(slab, i); i++) {
        slab->emptied[i / 64] &= ~((uint64_t)1 << i % 64);
        run.count++;
    }
    slab->emptied_count -= run.count;
    return run;
}

static struct run revive(struct coir_stack_pool *pool, uint16_t size_class, size_t n)
{
    struct coir_slab *slab = coir_load_relaxed(&pool->slabs);

    for (; slab; slab = slab->next)
        if (slab->size_class == size_class && slab->emptied_count > 0)
            return revive_from(slab, n);
    return (struct run){ .slab = NULL };
}

/* Take up to n slots that were never cut off. */
static struct run cut(struct coir_stack_pool *pool, uint16_t size_class, size_t n)
{
    struct coir_slab *slab = pool->classes[size_class].newest;
    struct run run = { .guard = NO_GUARD };

    if (!slab || coir_load_relaxed(&slab->used) == slab->count) {
        if (grow(pool, size_class) < 0)
            return run;
        slab = pool->classes[size_class].newest;
    }
    run.slab = slab;
    run.first = coir_load_relaxed(&slab->used);
    run.count = min_size(n, slab->count - run.first);
    coir_store_release(&slab->used, run.first + run.count);
    coir_add_relaxed(&pool->mapped, run.count);
    return run;
}

static struct run reserve(struct coir_stack_pool *pool, uint16_t size_class, size_t n)
{
    struct run run = revive(pool, size_class, n);

    return run.count > 0 ? run : cut(pool, size_class, n);
}

static struct coir_stack *make_header(struct coir_slab *slab, size_t i, uint16_t guard)
{
    struct coir_stack *stack = slot_header(slab, i);

    stack->low = slab->low + i * slab->slot_bytes + COIR_STACK_GUARD;
    stack->top = (char *)stack;
    stack->size_class = slab->size_class;
    coir_store_relaxed(&stack->fresh, 1);
    coir_store_release(&stack->guard, guard);
    return stack;
}

/* Each header's page is touched for the first time here, which is slow. */
static struct coir_stack *make_stacks(struct run run)
{
    struct coir_stack *chain = NULL;

    while (run.count-- > 0) {
        struct coir_stack *stack = make_header(run.slab, run.first + run.count, run.guard);

        stack->next = chain;
        chain = stack;
    }
    return chain;
}

static int guard_stack(struct coir_stack_pool *pool, struct coir_stack *stack)
{
    int rc = 0;

    if (coir_load_relaxed(&stack->guard) != GUARDED)
        rc = install_guard(pool, stack->low - COIR_STACK_GUARD);
    if (rc == 0)
        coir_store_relaxed(&stack->guard, GUARDED);
    return rc;
}

/* Pools. */

int coir_stack_pool_init(struct coir_stack_pool *pool, size_t header_bytes, size_t default_bytes)
{
    memset(pool, 0, sizeof *pool);
    coir_store_relaxed(&pool->tidy_at, INT64_MAX);
    if (default_bytes > MAX_STACK_BYTES)
        return -ENOMEM;
    pthread_mutex_init(&pool->lock, NULL);
    pool->header_bytes = round_up(header_bytes, 64);
    pool->default_bytes = round_up(default_bytes, page_size());
    return 0;
}

void coir_stack_pool_destroy(struct coir_stack_pool *pool)
{
    struct coir_slab *slab = coir_load_acquire(&pool->slabs);

    while (slab) {
        struct coir_slab *next = slab->next;

        unmap_slab(pool, slab);
        slab = next;
    }
    coir_store_relaxed(&pool->slabs, NULL);
    coir_sub_relaxed(&split_guards, coir_load_relaxed(&pool->split_guards));
    pthread_mutex_destroy(&pool->lock);
}

static struct coir_stack *pop_from(struct coir_stack_pool *pool, struct coir_stack **list,
                                   size_t n)
{
    struct coir_stack *chain = *list, **end = &chain;
    size_t taken = 0;

    for (; taken < n && *end; taken++)
        end = &(*end)->next;
    *list = *end;
    *end = NULL;
    coir_sub_relaxed(&pool->free, taken);
    return chain;
}

static struct coir_stack *pop(struct coir_stack_pool *pool, uint16_t size_class, size_t n)
{
    struct coir_stack_class *class = &pool->classes[size_class];

    return pop_from(pool, class->free  ? &class->free
                          : class->old ? &class->old : &class->unguarded, n);
}

static struct coir_stack *take(struct coir_stack_pool *pool, uint16_t size_class, size_t n)
{
    struct run run = { .slab = NULL };
    struct coir_stack *chain;

    pthread_mutex_lock(&pool->lock);
    chain = pop(pool, size_class, n);
    if (!chain)
        run = reserve(pool, size_class, n);
    pthread_mutex_unlock(&pool->lock);
    return chain ? chain : make_stacks(run);
}

/* Put back what cannot be guarded.  Returns how many are left in the chain. */
static size_t guard_chain(struct coir_stack_pool *pool, struct coir_stack **chain)
{
    size_t n = 0;

    while (*chain) {
        struct coir_stack *stack = *chain;

        if (guard_stack(pool, stack) == 0) {
            chain = &stack->next;
            n++;
        } else {
            *chain = stack->next;
            coir_stack_pool_put(pool, stack, 1);
        }
    }
    return n;
}

int coir_stack_pool_get(struct coir_stack_pool *pool, size_t bytes, struct coir_stack **ret_stack)
{
    uint16_t size_class = 0;

    if (bytes > MAX_STACK_BYTES)
        return -ENOMEM;
    while (pool->default_bytes << size_class < bytes)
        if (++size_class == COIR_STACK_CLASSES)
            return -ENOMEM;
    *ret_stack = take(pool, size_class, 1);
    return guard_chain(pool, ret_stack) == 1 ? 0 : -ENOMEM;
}

size_t coir_stack_pool_get_batch(struct coir_stack_pool *pool, size_t n,
                                 struct coir_stack **ret_chain)
{
    *ret_chain = take(pool, 0, n);
    return guard_chain(pool, ret_chain);
}

/* Giving memory back to the system. */

/* How much of the stack below what is kept, in whole pages. */
static size_t trimmable(const struct coir_stack *stack, size_t page)
{
    size_t bytes = (size_t)(stack->top - stack->low);

    return bytes > COIR_STACK_KEPT ? (bytes - COIR_STACK_KEPT) / page * page : 0;
}

/* Whether the stack has memory to give back.  Frames leave no page out, so that
   a look at the uppermost pages tells. */
static bool was_used_deeply(const struct coir_stack *stack, size_t page)
{
    unsigned char resident[4] = { 0 };
    size_t bytes = trimmable(stack, page);
    size_t looked_at = min_size(bytes, sizeof resident * page);

    if (coir_sys_mincore(stack->low + bytes - looked_at, looked_at, resident) < 0)
        return true;
    return (resident[0] | resident[1] | resident[2] | resident[3]) & 1;
}

/* One stack in `sample` is looked at, which is slow, and its fate is that of those
   behind it in the chain. */
static void trim(struct coir_stack *chain, size_t n, size_t sample)
{
    size_t page = page_size();
    bool deep = false;

    for (size_t i = 0; i < n; i++, chain = chain->next) {
        if (i % sample == 0)
            deep = was_used_deeply(chain, page);
        if (deep)
            coir_sys_madvise(chain->low, trimmable(chain, page), MADV_DONTNEED);
    }
}

static void push(struct coir_stack_pool *pool, struct coir_stack *stack)
{
    struct coir_stack_class *class = &pool->classes[stack->size_class];
    bool guarded = coir_load_relaxed(&stack->guard) == GUARDED;
    struct coir_stack **list = guarded ? &class->free : &class->unguarded;

    stack->next = *list;
    *list = stack;
    coir_add_relaxed(&pool->free, 1);
}

static void put(struct coir_stack_pool *pool, struct coir_stack *chain, size_t n)
{
    pthread_mutex_lock(&pool->lock);
    while (n-- > 0) {
        struct coir_stack *next = chain->next;

        push(pool, chain);
        chain = next;
    }
    if (coir_load_relaxed(&pool->tidy_at) == INT64_MAX)
        coir_store_relaxed(&pool->tidy_at, coir_sys_now() + COIR_STACK_IDLE_NS);
    pthread_mutex_unlock(&pool->lock);
}

/* A burst of tasks is alike, mostly. */
void coir_stack_pool_put(struct coir_stack_pool *pool, struct coir_stack *chain, size_t n)
{
    if (coir_load_relaxed(&pool->free) >= UNTRIMMED)
        trim(chain, n, TRIM_SAMPLE);
    put(pool, chain, n);
}

void coir_stack_pool_put_cold(struct coir_stack_pool *pool, struct coir_stack *chain, size_t n)
{
    trim(chain, n, 1);
    put(pool, chain, n);
}

/* Stacks that nobody wants. */

struct slot {
    struct coir_slab *slab;
    size_t i;
};

static struct coir_slab *slab_of(const char *address);

/* What late wakers write to the header afterwards is one word (park.h). */
static struct slot empty(struct coir_stack_pool *pool, struct coir_stack *stack)
{
    struct coir_slab *slab = slab_of(stack->low);
    size_t i = (size_t)(stack->low - slab->low) / slab->slot_bytes;

    if (pool->forget && !coir_load_relaxed(&stack->fresh))
        pool->forget(stack);
    coir_store_relaxed(&stack->guard, NO_HEADER);
    coir_sys_madvise(stack->low, slab->slot_bytes - COIR_STACK_GUARD, MADV_DONTNEED);
    return (struct slot){ slab, i };
}

/* The pool is locked. */
static void note_emptied(struct slot slot)
{
    struct coir_slab *slab = slot.slab;

    slab->emptied[slot.i / 64] |= (uint64_t)1 << slot.i % 64;
    if (slab->emptied_count++ == 0 || slot.i / 64 < slab->emptied_from)
        slab->emptied_from = slot.i / 64;
}

static void empty_chain(struct coir_stack_pool *pool, struct coir_stack *chain)
{
    struct slot slots[TIDY_BATCH];
    size_t n = 0;

    for (struct coir_stack *next; chain; chain = next) {
        next = chain->next;
        slots[n++] = empty(pool, chain);
    }
    pthread_mutex_lock(&pool->lock);
    while (n-- > 0)
        note_emptied(slots[n]);
    pthread_mutex_unlock(&pool->lock);
}

/* The pool is locked. */
static struct coir_stack *pop_old(struct coir_stack_pool *pool)
{
    for (int i = 0; i < COIR_STACK_CLASSES; i++)
        if (pool->classes[i].old)
            return pop_from(pool, &pool->classes[i].old, TIDY_BATCH);
    return NULL;
}

/* No stack is old, and the pool is locked. */
static void turn(struct coir_stack_pool *pool, int64_t now)
{
    int64_t next = INT64_MAX;

    for (struct coir_stack_class *class = pool->classes;
         class < pool->classes + COIR_STACK_CLASSES; class++) {
        class->old = class->free;
        class->free = NULL;
        if (class->old)
            next = now + COIR_STACK_IDLE_NS;
    }
    coir_store_relaxed(&pool->tidy_at, next);
}

bool coir_stack_pool_tidy(struct coir_stack_pool *pool, int64_t now)
{
    struct coir_stack *chain = NULL;

    if (now < coir_load_relaxed(&pool->tidy_at))
        return false;
    pthread_mutex_lock(&pool->lock);
    if (now >= coir_load_relaxed(&pool->tidy_at)) {
        chain = pop_old(pool);
        if (!chain)
            turn(pool, now);
    }
    pthread_mutex_unlock(&pool->lock);
    if (chain)
        empty_chain(pool, chain);
    return chain != NULL;
}

void coir_stack_pool_each(struct coir_stack_pool *pool,
                          void (*fn)(struct coir_stack *stack, void *arg), void *arg)
{
    struct coir_slab *slab;

    for (slab = coir_load_acquire(&pool->slabs); slab; slab = slab->next) {
        size_t used = coir_load_acquire(&slab->used);

        for (size_t i = 0; i < used; i++) {
            struct coir_stack *stack = slot_header(slab, i);

            if (coir_load_acquire(&stack->guard) != NO_HEADER && !coir_load_acquire(&stack->fresh))
                fn(stack, arg);
        }
    }
}

/* The overflow report. */

static struct {
    pthread_mutex_t lock;
    unsigned users;
    bool installed;
    COIR_ATOMIC(coir_stack_describe_fn *) describe;
    struct sigaction previous;
} fault = { .lock = PTHREAD_MUTEX_INITIALIZER };

static struct coir_slab *slab_of(const char *address)
{
    struct coir_slab *slab = coir_load_acquire(&all_slabs);

    while (slab && !(address < coir_load_acquire(&slab->high) && address >= slab->low))
        slab = slab->next_of_all;
    return slab;
}

/* Whether a fault at that address, with that stack pointer, is a stack that ran
   into its own guard, and not, say, an overrun of the one below it. */
static bool is_overflow(const struct coir_slab *slab, const char *address, const char *sp)
{
    size_t offset = (size_t)(address - slab->low);
    const char *slot = address - offset % slab->slot_bytes;

    return offset % slab->slot_bytes < COIR_STACK_GUARD && sp >= slot &&
           sp < slot + slab->slot_bytes;
}

static char *append(char *at, const char *end, const char *text)
{
    while (*text && at < end)
        *at++ = *text++;
    return at;
}

static char *append_number(char *at, const char *end, size_t n)
{
    char digits[24];
    char *first = digits + sizeof digits - 1;

    *first = '\0';
    do
        *--first = (char)('0' + n % 10);
    while ((n /= 10) > 0);
    return append(at, end, first);
}

static void report(struct coir_stack *stack, size_t bytes)
{
    coir_stack_describe_fn *describe = coir_load_acquire(&fault.describe);
    char who[256] = "";
    char line[sizeof who + 64];
    char *end = line + sizeof line;
    char *at = append(line, end, "coir: stack overflow in ");

    describe(stack, who, sizeof who);
    at = append(at, end, who);
    at = append(at, end, ": ");
    at = append_number(at, end, bytes);
    at = append(at, end, " bytes\n");
    coir_sys_write(STDERR_FILENO, line, (size_t)(at - line));
}

/*
 * To the handler that was there before.  Where there was none, the default
 * action comes back: the instruction that faulted runs again, and the kernel
 * ends the process.  A signal that somebody sent does not come again by itself.
 */
static void pass_on(int signal, siginfo_t *info, void *signal_context)
{
    const struct sigaction *previous = &fault.previous;
    bool sent = info->si_code <= 0;

    if (previous->sa_flags & SA_SIGINFO) {
        previous->sa_sigaction(signal, info, signal_context);
    } else if (previous->sa_handler != SIG_DFL && previous->sa_handler != SIG_IGN) {
        previous->sa_handler(signal);
    } else if (previous->sa_handler == SIG_DFL || !sent) {
        coir_sys_sigaction(signal, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
        if (sent)
            coir_sys_raise(signal);
    }
}

static void on_fault(int signal, siginfo_t *info, void *signal_context)
{
    const char *address = info->si_addr;
    const char *sp = (const char *)coir_context_stack_pointer(signal_context);
    struct coir_slab *slab = info->si_code > 0 ? slab_of(address) : NULL;

    if (slab && is_overflow(slab, address, sp)) {
        size_t i = (size_t)(address - slab->low) / slab->slot_bytes;

        report(slot_header(slab, i), slab->slot_bytes - COIR_STACK_GUARD);
    }
    pass_on(signal, info, signal_context);
}

static bool is_ours(const struct sigaction *action)
{
    return (action->sa_flags & SA_SIGINFO) && action->sa_sigaction == on_fault;
}

/* The previous action is known before a fault can ask for it. */
static int install(void)
{
    struct sigaction action = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };
    int rc = coir_sys_sigaction(SIGSEGV, NULL, &fault.previous);

    sigemptyset(&action.sa_mask);
    return rc < 0 ? rc : coir_sys_sigaction(SIGSEGV, &action, NULL);
}

int coir_stack_fault_install(coir_stack_describe_fn *describe)
{
    int rc = 0;

    pthread_mutex_lock(&fault.lock);
    coir_store_release(&fault.describe, describe);
    if (!fault.installed)
        rc = install();
    if (rc == 0) {
        fault.installed = true;
        fault.users++;
    }
    pthread_mutex_unlock(&fault.lock);
    return rc;
}

/* If the program has set a handler since, ours may be the one it passes on to,
   and stays in that chain. */
void coir_stack_fault_uninstall(void)
{
    struct sigaction now;

    pthread_mutex_lock(&fault.lock);
    if (--fault.users == 0 && coir_sys_sigaction(SIGSEGV, NULL, &now) == 0 && is_ours(&now)) {
        coir_sys_sigaction(SIGSEGV, &fault.previous, NULL);
        fault.installed = false;
    }
    pthread_mutex_unlock(&fault.lock);
}

/* Alternate signal stacks. */

struct altstack {
    stack_t previous;
    char *low; /* of the mapping */
    size_t bytes;
};

static size_t altstack_bytes(void)
{
    size_t least = coir_sys_auxval(AT_MINSIGSTKSZ);

    return round_up(least ? 4 * least : 1, (size_t)64 * 1024);
}

int coir_stack_altstack_set(void **ret_memory)
{
    struct altstack *altstack;
    size_t bytes = COIR_STACK_GUARD + altstack_bytes();
    stack_t stack = { 0 };
    void *memory;
    int rc = coir_sys_mmap(bytes, MAP_NORESERVE | MAP_STACK, &memory);

    if (rc < 0)
        return rc;
    altstack = (struct altstack *)((char *)memory + bytes) - 1;
    altstack->low = memory;
    altstack->bytes = bytes;
    stack.ss_sp = altstack->low + COIR_STACK_GUARD;
    stack.ss_size = bytes - COIR_STACK_GUARD - sizeof *altstack;
    rc = coir_sys_mprotect(memory, COIR_STACK_GUARD, PROT_NONE);
    if (rc == 0)
        rc = coir_sys_sigaltstack(&stack, &altstack->previous);
    if (rc < 0) {
        coir_sys_munmap(memory, bytes);
        return rc;
    }
    *ret_memory = altstack;
    return 0;
}

void coir_stack_altstack_clear(void *memory)
{
    struct altstack *altstack = memory;

    coir_sys_sigaltstack(&altstack->previous, NULL);
    coir_sys_munmap(altstack->low, altstack->bytes);
}
