/*
 * epoll.c - the epoll driver: one set of descriptors per worker.
 *
 * An operation is tried at once.  If it would have to wait, it becomes a waiter
 * in its descriptor's place, and the descriptor is put into the worker's set, for
 * one event (EPOLLONESHOT): so nothing that nobody waits for wakes a worker.  An
 * event is a hint and no more: the operations that wait are tried again, in the
 * order in which they came, until one would have to wait; and if any is left, the
 * descriptor is armed again.
 *
 *     place      readers   a - b - c      tried one after another: a at its head
 *     (of fd 7)  writers   d              may be on a thread (offload.h), and
 *                watchers  e - f          those behind it wait
 *                armed     IN|OUT|..      what the set was last told, 0 after an event
 *
 * Because events are hints, all of these are harmless: an event that was
 * collected before the descriptor was closed and its number used again; one of a
 * file that a plain close(2) has taken from its number, and that lives on in a
 * dup; readiness that another worker or process used up; and one from a forked
 * child's doings.  And because each wait tells the set anew, by the number and
 * whatever file it names now, none is missed: `known` is only a guess whether the
 * kernel wants to hear MOD or ADD.
 *
 * What may not be waited for (regular files: EPERM) or cannot be done without
 * blocking goes to a thread; its end comes back through `ended`, a list that
 * anyone may add to, and the worker is woken.
 *
 * A worker is woken by a write to its eventfd, which is in the set for edges and
 * never read.
 *
 *
 * The rescue
 *
 *   Every function here that changes anything sets `busy` meanwhile; the handler
 *   then does nothing.  It needs no memory, for a waiter has its place already; and
 *   what it may not do, hand a call to a thread, it puts off: the place is linked
 *   into `later`, and the owner's next poll sees to it.
 *
 *
 * Who may call what
 *
 *     wake, stranded     anyone, from open until release
 *     rescue             a signal handler on the owner's thread
 *     add_ended          a thread of the pool
 *     the rest           the owner
 *
 * Memory order
 *
 *   [I] add_ended's compare-and-swap (release)  ->  the owner's exchange (acquire)
 *   of `ended`: the owner sees the result.  The write to the eventfd comes after
 *   the first: a worker that sleeps through it finds the list not empty.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "attempt.h"
#include "offload.h"
#include "runtime/sys.h"

#ifdef COIR_SMALL
#define EVENTS 2
#define CHUNK 2
#else
#define EVENTS 64
#define CHUNK 64
#endif
#define WAKE UINT64_MAX
#define ASK_AGAIN_NS 1000000

enum side { READERS, WRITERS, WATCHERS, SIDES };

struct waiter {
    struct coir_offload offload; /* first */
    struct coir_op *op;
    struct set *set;
    struct place *place;
    struct waiter *next, **link; /* in its place; next: in the free list, too */
    struct waiter *next_ended, *next_asked;
    size_t done; /* see attempt.h */
    bool on_thread, asked;
};

/* A descriptor. */
struct place {
    struct waiter *first[SIDES], **last[SIDES];
    struct place *next_later;
    int fd;
    uint32_t armed;
    bool known, drained, is_later;
};

struct set {
    int poll; /* the epoll descriptor */
    int event;
    bool busy;
    bool in_handler;
    bool woken;
    COIR_ATOMIC(int32_t) collected; /* events not yet looked at */
    COIR_ATOMIC(int32_t) waiting;   /* operations in flight */
    COIR_ATOMIC(struct waiter *) ended;
    struct waiter *asked; /* on threads, to end */
    struct place *later;
    struct place **chunks; /* by number */
    uint32_t chunk_count;
    struct place opens; /* for what has no descriptor yet */
    struct waiter *free;
    struct waiters *blocks;
    struct epoll_event events[EVENTS];
};

struct waiters {
    struct waiters *next;
    struct waiter waiters[CHUNK];
};

static struct set *set_of(struct coir_worker *worker)
{
    return *coir_worker_driver_state(worker);
}

static void enter(struct set *set)
{
    set->busy = true;
    coir_compiler_barrier();
}

static void leave(struct set *set)
{
    coir_compiler_barrier();
    set->busy = false;
}

/* Places. */

static void init_place(struct place *place, int fd)
{
    memset(place, 0, sizeof *place);
    place->fd = fd;
    for (int side = 0; side < SIDES; side++)
        place->last[side] = &place->first[side];
}

/* NULL: nothing has ever waited for this descriptor, nor for its neighbours. */
static struct place *find_place(struct set *set, int fd)
{
    uint32_t i = (uint32_t)fd / CHUNK;

    return fd >= 0 && i < set->chunk_count && set->chunks[i] ? &set->chunks[i][fd % CHUNK] : NULL;
}

static bool grow_table(struct set *set, uint32_t least)
{
    uint32_t count = set->chunk_count ? set->chunk_count : 16;
    struct place **chunks;

    while (count < least)
        count *= 2;
    chunks = coir_sys_realloc(set->chunks, count * sizeof *chunks);
    if (!chunks)
        return false;
    memset(chunks + set->chunk_count, 0, (count - set->chunk_count) * sizeof *chunks);
    set->chunks = chunks;
    set->chunk_count = count;
    return true;
}

static struct place *make_place(struct set *set, int fd)
{
    uint32_t i = (uint32_t)fd / CHUNK;

    if (fd < 0 || (i >= set->chunk_count && !grow_table(set, i + 1)))
        return NULL;
    if (!set->chunks[i]) {
        set->chunks[i] = coir_sys_malloc(CHUNK * sizeof *set->chunks[i]);
        if (!set->chunks[i])
            return NULL;
        for (int k = 0; k < CHUNK; k++)
            init_place(&set->chunks[i][k], (int)i * CHUNK + k);
    }
    return &set->chunks[i][fd % CHUNK];
}

static void put_later(struct set *set, struct place *place)
{
    if (place->is_later)
        return;
    place->is_later = true;
    place->next_later = set->later;
    set->later = place;
}

/* Waiters. */

static bool make_waiters(struct set *set)
{
    struct waiters *block = coir_sys_calloc(1, sizeof *block);

    if (!block)
        return false;
    block->next = set->blocks;
    set->blocks = block;
    for (int i = 0; i < CHUNK; i++) {
        block->waiters[i].next = set->free;
        set->free = &block->waiters[i];
    }
    return true;
}

static enum side side_of(const struct coir_op *op)
{
    if (op->code == COIR_OP_POLL)
        return WATCHERS;
    return op->code == COIR_OP_WRITE || op->code == COIR_OP_CONNECT ? WRITERS : READERS;
}

static void append(struct place *place, struct waiter *waiter, enum side side)
{
    waiter->next = NULL;
    waiter->link = place->last[side];
    *waiter->link = waiter;
    place->last[side] = &waiter->next;
}

static struct waiter *add_waiter(struct set *set, struct coir_op *op, size_t done)
{
    struct place *place = op->code == COIR_OP_OPEN ? &set->opens : make_place(set, op->fd);
    struct waiter *waiter;

    if (!place || (!set->free && !make_waiters(set)))
        return NULL;
    waiter = set->free;
    set->free = waiter->next;
    waiter->op = op;
    waiter->set = set;
    waiter->place = place;
    waiter->done = done;
    waiter->on_thread = waiter->asked = false;
    append(place, waiter, side_of(op));
    op->id = (uintptr_t)waiter;
    coir_store_relaxed(&set->waiting, coir_load_relaxed(&set->waiting) + 1);
    return waiter;
}

static void remove_waiter(struct set *set, struct waiter *waiter)
{
    struct place *place = waiter->place;

    *waiter->link = waiter->next;
    if (waiter->next)
        waiter->next->link = waiter->link;
    else
        place->last[side_of(waiter->op)] = waiter->link;
    waiter->next = set->free;
    set->free = waiter;
    coir_store_relaxed(&set->waiting, coir_load_relaxed(&set->waiting) - 1);
}

static void finish(struct set *set, struct waiter *waiter, ssize_t result)
{
    struct coir_op *op = waiter->op;

    remove_waiter(set, waiter);
    coir_op_complete(op, result);
}

/* Threads. */

static void add_ended(struct coir_offload *offload)
{
    struct waiter *waiter = (struct waiter *)offload;
    struct set *set = waiter->set;
    struct waiter *head = coir_load_relaxed(&set->ended);

    do
        waiter->next_ended = head;
    while (!coir_cas_acq_rel(&set->ended, &head, waiter)); /* [I] */
    coir_sys_event_write(set->event);
}

static int send_to_thread(struct set *set, struct waiter *waiter)
{
    int rc;

    if (set->in_handler) {
        put_later(set, waiter->place);
        return 0;
    }
    waiter->offload.ended = add_ended;
    rc = coir_offload_start(&waiter->offload, waiter->op, waiter->done);
    waiter->on_thread = rc == 0;
    return rc;
}

static void forget_asked(struct set *set, struct waiter *waiter)
{
    struct waiter **link = &set->asked;

    if (!waiter->asked)
        return;
    while (*link != waiter)
        link = &(*link)->next_asked;
    *link = waiter->next_asked;
}

/* What the descriptor's waiters wait for; none: 0. */
static uint32_t wanted(const struct place *place)
{
    uint32_t events = 0;

    for (int side = 0; side < SIDES; side++)
        for (const struct waiter *waiter = place->first[side]; waiter && !waiter->on_thread;
             waiter = side == WATCHERS ? waiter->next : NULL)
            events |= (uint32_t)coir_attempt_events(waiter->op) | EPOLLONESHOT;
    return events;
}

/* The kernel does not watch such a descriptor. */
static int send_heads_to_threads(struct set *set, struct place *place)
{
    int rc = 0;

    for (int side = 0; side < WATCHERS && rc == 0; side++)
        if (place->first[side] && !place->first[side]->on_thread)
            rc = send_to_thread(set, place->first[side]);
    return rc;
}

/* Have the set wait for what is wanted.  It fails only where the set did not wait
   for this descriptor before, or the descriptor has been closed. */
static int arm(struct set *set, struct place *place)
{
    struct epoll_event event = { .events = wanted(place), .data.u64 = (uint32_t)place->fd };
    int rc;

    if (event.events == place->armed)
        return 0;
    place->armed = 0;
    if (!event.events) {
        place->known = false;
        coir_sys_epoll_ctl(set->poll, EPOLL_CTL_DEL, place->fd, &event); /* it may be closed */
        return 0;
    }
    rc = coir_sys_epoll_ctl(set->poll, place->known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, place->fd,
                            &event);
    if (rc == -ENOENT || rc == -EEXIST)
        rc = coir_sys_epoll_ctl(set->poll, place->known ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, place->fd,
                                &event);
    place->known = rc == 0;
    place->armed = rc == 0 ? event.events : 0;
    if (rc == -EPERM)
        return send_heads_to_threads(set, place);
    return rc == -ENOSPC ? -ENOMEM : rc; /* the user has too many in his sets */
}

static void fail_all(struct set *set, struct place *place, int rc)
{
    for (int side = 0; side < SIDES; side++)
        for (struct waiter *waiter = place->first[side], *next; waiter; waiter = next) {
            next = waiter->next;
            if (!waiter->on_thread)
                finish(set, waiter, rc);
        }
}

/* Trying again. */

static void serve(struct set *set, struct place *place, enum side side)
{
    struct waiter *waiter;

    while ((waiter = place->first[side]) != NULL && !waiter->on_thread) {
        ssize_t rc = coir_attempt(waiter->op, &waiter->done);
        if (rc == COIR_ATTEMPT_BLOCKS)
            rc = send_to_thread(set, waiter) < 0 ? -ENOMEM : -EAGAIN;
        if (rc == -EAGAIN)
            return;
        if (side == READERS)
            place->drained = rc > 0 && (size_t)rc < waiter->op->len;
        finish(set, waiter, rc);
    }
}

static void serve_watchers(struct set *set, struct place *place)
{
    for (struct waiter *waiter = place->first[WATCHERS], *next; waiter; waiter = next) {
        ssize_t rc = coir_attempt(waiter->op, &waiter->done);
        next = waiter->next;
        if (rc != -EAGAIN)
            finish(set, waiter, rc);
    }
}

/* After an end or an event. */
static void settle(struct set *set, struct place *place, uint32_t events)
{
    int rc;

    if (events & ~(uint32_t)EPOLLOUT)
        serve(set, place, READERS);
    if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
        serve(set, place, WRITERS);
    serve_watchers(set, place);
    if (place == &set->opens || place->is_later)
        return;
    rc = arm(set, place);
    if (rc < 0)
        fail_all(set, place, rc);
}

static void settle_later(struct set *set)
{
    struct place *place = set->later, *next;

    set->later = NULL;
    for (; place; place = next) {
        next = place->next_later;
        place->is_later = false;
        settle(set, place, ~0u);
    }
}

static void settle_ended(struct set *set)
{
    struct waiter *waiter, *next;

    if (!coir_load_relaxed(&set->ended))
        return;
    waiter = coir_xchg_acquire(&set->ended, (struct waiter *)NULL); /* [I] */
    for (; waiter; waiter = next) {
        struct place *place = waiter->place;
        ssize_t rc = waiter->offload.result;

        next = waiter->next_ended;
        waiter->on_thread = false;
        forget_asked(set, waiter);
        if (rc == -EAGAIN && waiter->asked)
            rc = -ECANCELED;
        if (rc != -EAGAIN || place == &set->opens)
            finish(set, waiter, rc);
        settle(set, place, ~0u); /* its descriptor does not block any more: tries again */
    }
}

/* Ending. */

/* In a handler a thread's lock must not be taken: the owner asks again. */
static void end_soon(struct set *set, struct waiter *waiter)
{
    if (!waiter->on_thread || (!set->in_handler && coir_offload_withdraw(&waiter->offload))) {
        forget_asked(set, waiter);
        finish(set, waiter, -ECANCELED);
        return;
    }
    if (!waiter->asked) {
        waiter->asked = true;
        waiter->next_asked = set->asked;
        set->asked = waiter;
    }
    coir_offload_interrupt(&waiter->offload);
}

/* A signal may have come just before the call. */
static void ask_again(struct set *set)
{
    for (struct waiter *waiter = set->asked, *next; waiter; waiter = next) {
        struct place *place = waiter->place;
        next = waiter->next_asked;
        end_soon(set, waiter);
        settle(set, place, ~0u);
    }
}

/* Collecting. */

static void collect(struct set *set, int64_t timeout)
{
    int n = coir_sys_epoll_wait(set->poll, set->events, EVENTS, timeout);

    coir_store_relaxed(&set->collected, n > 0 ? n : 0);
}

static void settle_collected(struct set *set)
{
    int n = coir_load_relaxed(&set->collected);

    coir_store_relaxed(&set->collected, 0);
    for (int i = 0; i < n; i++) {
        struct place *place;

        if (set->events[i].data.u64 == WAKE) {
            set->woken = true;
            continue;
        }
        place = find_place(set, (int)set->events[i].data.u64);
        place->armed = 0;
        settle(set, place, set->events[i].events);
    }
}

static void settle_all(struct set *set)
{
    settle_collected(set);
    settle_ended(set);
}

static bool anything_to_settle(struct set *set)
{
    return set->woken || set->later || coir_load_relaxed(&set->collected) ||
           coir_load_relaxed(&set->ended);
}

/* May ask the kernel: no memory tells whether there are events. */
static bool epoll_ready(struct coir_worker *worker)
{
    struct set *set = set_of(worker);

    if (anything_to_settle(set))
        return true;
    if (!coir_load_relaxed(&set->waiting))
        return false;
    enter(set);
    collect(set, 0);
    leave(set);
    return coir_load_relaxed(&set->collected) > 0;
}

static void settle_and_leave(struct set *set)
{
    settle_later(set);
    settle_all(set);
    ask_again(set);
    set->woken = false;
    leave(set);
}

static void epoll_poll(struct coir_worker *worker)
{
    struct set *set = set_of(worker);

    enter(set);
    if (!coir_load_relaxed(&set->collected))
        collect(set, 0);
    settle_and_leave(set);
}

static int64_t time_left(struct set *set, int64_t deadline)
{
    int64_t now = deadline == INT64_MAX && !set->asked ? 0 : coir_sys_now();

    if (set->asked && deadline > now + ASK_AGAIN_NS)
        deadline = now + ASK_AGAIN_NS;
    if (deadline == INT64_MAX)
        return INT64_MAX;
    return deadline > now ? deadline - now : 0;
}

static void epoll_wait_for_events(struct coir_worker *worker, int64_t deadline)
{
    struct set *set = set_of(worker);

    enter(set);
    if (!anything_to_settle(set))
        collect(set, time_left(set, deadline));
    settle_and_leave(set);
}

static void epoll_wake(struct coir_worker *worker)
{
    if (set_of(worker)) /* else it failed to open */
        coir_sys_event_write(set_of(worker)->event);
}

static bool epoll_stranded(struct coir_worker *worker)
{
    struct set *set = set_of(worker);

    return coir_load_relaxed(&set->collected) || coir_load_relaxed(&set->ended) ||
           (coir_load_relaxed(&set->waiting) && coir_sys_poll_now(set->poll, EPOLLIN) > 0);
}

static void epoll_rescue(struct coir_worker *worker)
{
    struct set *set = set_of(worker);

    if (!set || set->busy)
        return;
    set->in_handler = true;
    coir_worker_run_requests(worker);
    enter(set);
    if (!coir_load_relaxed(&set->collected))
        collect(set, 0);
    settle_all(set);
    leave(set);
    set->in_handler = false;
}

/* Beginning and ending. */

/* Behind others who wait.  Or, to save a call that nearly always is for nothing: to
   read from a stream that had less to give than was asked for, the last time. */
static bool must_wait(const struct place *place, enum side side)
{
    return (side != WATCHERS && place->first[side]) ||
           (side == READERS && place->known && place->drained);
}

static int begin(struct set *set, struct coir_op *op)
{
    enum side side = side_of(op);
    struct place *place = op->code == COIR_OP_OPEN ? NULL : find_place(set, op->fd);
    struct waiter *waiter;
    size_t done = 0;
    ssize_t rc = -EAGAIN;

    if (!place || !must_wait(place, side))
        rc = coir_attempt(op, &done);
    if (place && side == READERS)
        place->drained = rc > 0 && (size_t)rc < op->len;
    if (rc != -EAGAIN && rc != COIR_ATTEMPT_BLOCKS) {
        coir_op_ended(op, rc);
        return 1;
    }
    waiter = add_waiter(set, op, done);
    if (!waiter)
        return -ENOMEM;
    rc = rc == -EAGAIN ? arm(set, waiter->place) : send_to_thread(set, waiter);
    if (rc == 0)
        return 0;
    remove_waiter(set, waiter);
    return (int)rc;
}

static int epoll_submit(struct coir_worker *worker, struct coir_op *op)
{
    struct set *set = set_of(worker);
    int rc;

    enter(set);
    rc = begin(set, op);
    leave(set);
    return rc;
}

static void epoll_cancel(struct coir_worker *worker, struct coir_op *op)
{
    struct set *set = set_of(worker);

    enter(set);
    if (!coir_load_relaxed(&op->done)) { /* a handler may have been before us */
        struct waiter *waiter = (struct waiter *)(uintptr_t)op->id;
        struct place *place = waiter->place;
        end_soon(set, waiter);
        settle(set, place, ~0u);
    }
    leave(set);
}

static void epoll_cancel_fd(struct coir_worker *worker, int fd)
{
    struct set *set = set_of(worker);
    struct place *place;

    enter(set);
    place = find_place(set, fd);
    for (int side = 0; place && side < SIDES; side++)
        for (struct waiter *waiter = place->first[side], *next; waiter; waiter = next) {
            next = waiter->next;
            end_soon(set, waiter);
        }
    if (place)
        settle(set, place, ~0u);
    leave(set);
}

/* Set-up. */

static int open_set(struct set *set)
{
    struct epoll_event wake = { .events = EPOLLIN | EPOLLET, .data.u64 = WAKE };
    int rc;

    set->poll = coir_sys_epoll_create();
    if (set->poll < 0)
        return set->poll;
    rc = set->event = coir_sys_eventfd(0, 0);
    if (rc >= 0)
        rc = coir_sys_epoll_ctl(set->poll, EPOLL_CTL_ADD, set->event, &wake);
    if (rc >= 0)
        return 0;
    if (set->event >= 0)
        coir_sys_close(set->event);
    coir_sys_close(set->poll);
    return rc;
}

static int epoll_open(struct coir_worker *worker)
{
    struct set *set = coir_sys_calloc(1, sizeof *set);
    int rc;

    if (!set)
        return -ENOMEM;
    init_place(&set->opens, -1);
    rc = open_set(set);
    if (rc < 0)
        coir_sys_free(set);
    else
        *coir_worker_driver_state(worker) = set;
    return rc;
}

/* The others may still ask what is stranded, or wake. */
static void epoll_close(struct coir_worker *worker)
{
    (void)worker;
}

static void epoll_release(struct coir_worker *worker)
{
    struct set *set = set_of(worker);
    struct waiters *block, *next;

    coir_sys_close(set->event);
    coir_sys_close(set->poll);
    for (uint32_t i = 0; i < set->chunk_count; i++)
        coir_sys_free(set->chunks[i]);
    for (block = set->blocks; block; block = next) {
        next = block->next;
        coir_sys_free(block);
    }
    coir_sys_free(set->chunks);
    coir_sys_free(set);
    *coir_worker_driver_state(worker) = NULL;
}

const struct coir_driver coir_driver_epoll = {
    .name = "epoll",
    .listener_flags = SOCK_NONBLOCK,
    .open = epoll_open,
    .close = epoll_close,
    .release = epoll_release,
    .submit = epoll_submit,
    .cancel = epoll_cancel,
    .cancel_fd = epoll_cancel_fd,
    .ready = epoll_ready,
    .poll = epoll_poll,
    .wait = epoll_wait_for_events,
    .wake = epoll_wake,
    .stranded = epoll_stranded,
    .rescue = epoll_rescue,
};
