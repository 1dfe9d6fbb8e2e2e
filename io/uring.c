/*
 * uring.c - the io_uring driver: one ring per worker.
 *
 * The ring is made by its worker's own thread, which alone submits to it and
 * reaps from it (IORING_SETUP_SINGLE_ISSUER).  With DEFER_TASKRUN completions
 * are posted only when that thread enters the kernel, and TASKRUN_FLAG says in
 * the ring's flags that there are some to post, so `ready` is a few loads.
 *
 * Operations are begun by filling a submission entry; the entries of many tasks
 * go to the kernel in one call, when the worker has run dry or its ticks are
 * used up.
 *
 * An operation has a slot while it is in flight, and its entry's user_data names
 * slot and generation.  The terminal completion frees the slot and raises the
 * generation, so that a completion that comes twice, or for an operation that is
 * over, is recognised and dropped.
 *
 * A worker is woken by a write to its eventfd, which the ring polls.  The event
 * is never read: each write completes the (multishot) poll once more.
 */
#include <errno.h>
#include <liburing.h>
#include <sys/resource.h>

#include "runtime/driver.h"
#include "runtime/sys.h"

#ifdef COIR_SMALL
#define ENTRIES 4u
#define CQ_FACTOR 2u
#define SLOTS_START 2u
#else
#define ENTRIES 256u
#define CQ_FACTOR 4u
#define SLOTS_START 64u
#endif
#define ENTRIES_LEAST 4u
#define RESCUE_MOST 64u
#define PAUSE_LEAST 1000000
#define PAUSE_MOST 256000000
#define NOWHERE UINT32_MAX

/* user_data of what is no operation; a cancel has its operation's, and a bit. */
#define DATA_WAKE 1u
#define DATA_FIRST_SLOT 2u
#define DATA_CANCEL ((uint64_t)1 << 31)

struct slot {
    struct coir_op *op; /* NULL: free */
    uint32_t generation;
    uint32_t next_free;
    bool asked; /* to end */
};

struct ring {
    struct io_uring io;
    int event;
    bool wake_armed;
    bool missed; /* a cancel did not find its operation, which goes on */
    COIR_ATOMIC(uint32_t) busy;    /* in the middle of a change: see rescue */
    COIR_ATOMIC(uint32_t) pending; /* there are entries to submit */
    struct slot *slots;
    uint32_t slot_count, free_slot;
};

static struct ring *ring_of(struct coir_worker *worker)
{
    return *coir_worker_driver_state(worker);
}

/* Between these two a signal handler leaves the ring alone. */
static struct ring *enter(struct coir_worker *worker)
{
    struct ring *ring = ring_of(worker);

    coir_store_relaxed(&ring->busy, 1);
    coir_compiler_barrier();
    return ring;
}

static void leave(struct ring *ring)
{
    coir_compiler_barrier();
    coir_store_relaxed(&ring->busy, 0);
}

/* Slots. */

static bool grow_slots(struct ring *ring)
{
    uint32_t count = ring->slot_count ? ring->slot_count * 2 : SLOTS_START;
    struct slot *slots = coir_sys_realloc(ring->slots, count * sizeof *slots);

    if (!slots)
        return false;
    for (uint32_t i = ring->slot_count; i < count; i++)
        slots[i] = (struct slot){ .next_free = i + 1 < count ? i + 1 : NOWHERE };
    ring->free_slot = ring->slot_count;
    ring->slots = slots;
    ring->slot_count = count;
    return true;
}

static bool take_slot(struct ring *ring, struct coir_op *op)
{
    struct slot *slot;

    if (ring->free_slot == NOWHERE && !grow_slots(ring))
        return false;
    op->id = ring->free_slot;
    slot = &ring->slots[ring->free_slot];
    ring->free_slot = slot->next_free;
    slot->op = op;
    slot->asked = false;
    op->id = (op->id + DATA_FIRST_SLOT) | (uint64_t)slot->generation << 32;
    return true;
}

/* The slot that user_data names; NULL if its operation is over. */
static struct slot *slot_of(struct ring *ring, uint64_t data)
{
    uint32_t i = (uint32_t)data - DATA_FIRST_SLOT;

    if (i >= ring->slot_count || !ring->slots[i].op ||
        ring->slots[i].generation != (uint32_t)(data >> 32))
        return NULL;
    return &ring->slots[i];
}

/* The operation that user_data names, its slot freed; NULL if it is over. */
static struct coir_op *return_slot(struct ring *ring, uint64_t data)
{
    struct slot *slot = slot_of(ring, data);
    struct coir_op *op;

    if (!slot)
        return NULL;
    op = slot->op;
    slot->op = NULL;
    slot->generation++;
    slot->next_free = ring->free_slot;
    ring->free_slot = (uint32_t)(slot - ring->slots);
    return op;
}

/* Completions. */

static void arm_wake(struct ring *ring);
static void cancel_again(struct ring *ring);

static void complete(struct ring *ring, const struct io_uring_cqe *cqe)
{
    struct coir_op *op;

    if (cqe->user_data == DATA_WAKE) {
        ring->wake_armed = cqe->flags & IORING_CQE_F_MORE;
        return;
    }
    if (cqe->user_data & DATA_CANCEL) {
        ring->missed |= cqe->res == -ENOENT && slot_of(ring, cqe->user_data & ~DATA_CANCEL);
        return;
    }
    op = return_slot(ring, cqe->user_data);
    if (op)
        coir_op_complete(op, cqe->res);
}

static void reap(struct ring *ring, unsigned most)
{
    struct io_uring_cqe *cqe;
    unsigned head, n = 0;

    io_uring_for_each_cqe(&ring->io, head, cqe) {
        if (n == most)
            break;
        complete(ring, cqe);
        n++;
    }
    io_uring_cq_advance(&ring->io, n);
    if (!ring->wake_armed)
        arm_wake(ring);
    if (io_uring_sq_ready(&ring->io)) /* the kernel has not taken all of them */
        coir_store_relaxed(&ring->pending, 1);
}

static bool uring_ready(struct coir_worker *worker)
{
    struct ring *ring = ring_of(worker);

    return ring->missed || io_uring_sq_ready(&ring->io) || io_uring_cq_ready(&ring->io) ||
           (__atomic_load_n(ring->io.sq.kflags, __ATOMIC_RELAXED) &
            (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW));
}

/*
 * The kernel adds work for this thread to a list and then raises the flag; if the thread
 * has emptied the list in between, the flag stays up over nothing, to enter again does
 * not lower it, and an idle worker never sleeps.  Lowered before entering, it tells of
 * what has been added since.
 */
static void lower_flag(struct ring *ring)
{
    if (__atomic_load_n(ring->io.sq.kflags, __ATOMIC_RELAXED) & IORING_SQ_TASKRUN)
        __atomic_fetch_and(ring->io.sq.kflags, ~IORING_SQ_TASKRUN, __ATOMIC_SEQ_CST);
}

static void submit_and_reap(struct ring *ring, unsigned most)
{
    cancel_again(ring);
    coir_store_relaxed(&ring->pending, 0);
    lower_flag(ring);
    io_uring_submit_and_get_events(&ring->io);
    reap(ring, most);
}

static void uring_poll(struct coir_worker *worker)
{
    struct ring *ring = enter(worker);

    submit_and_reap(ring, UINT32_MAX);
    leave(ring);
}

static void uring_wait(struct coir_worker *worker, int64_t deadline)
{
    struct ring *ring = enter(worker);
    int64_t left = deadline == INT64_MAX ? 0 : deadline - coir_sys_now();
    struct __kernel_timespec timeout = { .tv_sec = left / 1000000000,
                                         .tv_nsec = left % 1000000000 };
    struct io_uring_cqe *cqe;

    if (!ring->wake_armed)
        arm_wake(ring);
    if (left < 0 || ring->missed || !ring->wake_armed) {
        submit_and_reap(ring, UINT32_MAX);
    } else {
        coir_store_relaxed(&ring->pending, 0);
        io_uring_submit_and_wait_timeout(&ring->io, &cqe, 1,
                                         deadline == INT64_MAX ? NULL : &timeout, NULL);
        reap(ring, UINT32_MAX);
    }
    leave(ring);
}

static void uring_wake(struct coir_worker *worker)
{
    if (ring_of(worker)) /* else it failed to open */
        coir_sys_event_write(ring_of(worker)->event);
}

static bool uring_stranded(struct coir_worker *worker)
{
    struct ring *ring = ring_of(worker);
    const struct io_uring_cq *cq = &ring->io.cq;

    return coir_load_relaxed(&ring->pending) ||
           __atomic_load_n(cq->ktail, __ATOMIC_RELAXED) !=
               __atomic_load_n(cq->khead, __ATOMIC_RELAXED) ||
           (__atomic_load_n(ring->io.sq.kflags, __ATOMIC_RELAXED) &
            (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW));
}

static void uring_rescue(struct coir_worker *worker)
{
    struct ring *ring = ring_of(worker);

    if (!ring || coir_load_relaxed(&ring->busy))
        return;
    coir_worker_run_requests(worker);
    submit_and_reap(ring, RESCUE_MOST);
}

/* Submissions. */

static struct io_uring_sqe *get_entry(struct ring *ring)
{
    struct io_uring_sqe *entry;

    while (!(entry = io_uring_get_sqe(&ring->io))) {
        int rc = io_uring_submit(&ring->io);
        if (rc == -EBUSY || rc == -EAGAIN) { /* completions have piled up */
            io_uring_get_events(&ring->io);
            reap(ring, UINT32_MAX);
        }
    }
    coir_store_relaxed(&ring->pending, 1);
    return entry;
}

static void arm_wake(struct ring *ring)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(&ring->io);

    if (!entry)
        return; /* the next reap tries again */
    io_uring_prep_poll_multishot(entry, ring->event, POLL_IN);
    io_uring_sqe_set_data64(entry, DATA_WAKE);
    ring->wake_armed = true;
}

static void prepare(struct io_uring_sqe *entry, const struct coir_op *op)
{
    switch (op->code) {
    case COIR_OP_READ:
        io_uring_prep_read(entry, op->fd, op->memory, (unsigned)op->len, (uint64_t)-1);
        break;
    case COIR_OP_WRITE:
        io_uring_prep_write(entry, op->fd, op->memory, (unsigned)op->len, (uint64_t)-1);
        break;
    case COIR_OP_ACCEPT:
        io_uring_prep_accept(entry, op->fd, NULL, NULL, SOCK_CLOEXEC);
        break;
    case COIR_OP_CONNECT:
        io_uring_prep_connect(entry, op->fd, op->memory, (socklen_t)op->len);
        break;
    case COIR_OP_POLL:
        io_uring_prep_poll_add(entry, op->fd, (unsigned)op->len);
        break;
    case COIR_OP_OPEN:
        io_uring_prep_openat(entry, op->fd, op->memory, op->flags, (mode_t)op->len);
        break;
    }
}

static int uring_submit(struct coir_worker *worker, struct coir_op *op)
{
    struct ring *ring = enter(worker);
    bool taken = take_slot(ring, op);

    if (taken) {
        struct io_uring_sqe *entry = get_entry(ring);
        prepare(entry, op);
        io_uring_sqe_set_data64(entry, op->id);
    }
    leave(ring);
    return taken ? 0 : -ENOMEM;
}

static void cancel_slot(struct ring *ring, struct slot *slot)
{
    uint64_t id = slot->op->id;
    struct io_uring_sqe *entry;

    slot->asked = true;
    entry = get_entry(ring);
    io_uring_prep_cancel64(entry, id, 0);
    io_uring_sqe_set_data64(entry, id | DATA_CANCEL);
}

/*
 * The kernel does not find an operation that it is about to try once more, its
 * descriptor having become ready; and if that try comes to nothing, because
 * somebody else took the data, the operation waits on.  So ask until it ends.
 */
static void cancel_again(struct ring *ring)
{
    if (!ring->missed)
        return;
    ring->missed = false;
    for (uint32_t i = 0; i < ring->slot_count; i++)
        if (ring->slots[i].op && ring->slots[i].asked)
            cancel_slot(ring, &ring->slots[i]);
}

static void uring_cancel(struct coir_worker *worker, struct coir_op *op)
{
    struct ring *ring = enter(worker);
    struct slot *slot = slot_of(ring, op->id);

    if (slot)
        cancel_slot(ring, slot);
    leave(ring);
}

static void uring_cancel_fd(struct coir_worker *worker, int fd)
{
    struct ring *ring = enter(worker);

    for (uint32_t i = 0; i < ring->slot_count; i++)
        if (ring->slots[i].op && ring->slots[i].op->fd == fd)
            cancel_slot(ring, &ring->slots[i]);
    leave(ring);
}

/* Set-up. */

static int try_setup(struct ring *ring, unsigned entries)
{
    static const unsigned ladder[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        0,
    };
    int rc = -EINVAL;

    for (size_t i = 0; i < sizeof ladder / sizeof *ladder && rc == -EINVAL; i++) {
        struct io_uring_params params = {
            .flags = ladder[i] | IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL,
            .cq_entries = entries * CQ_FACTOR,
        };
        rc = io_uring_queue_init_params(entries, &ring->io, &params);
    }
    return rc;
}

/* The memory of a ring, which counts as locked. */
static uint64_t ring_bytes(unsigned entries)
{
    uint64_t indices = 4 * entries + 16 * CQ_FACTOR * entries + 256;
    uint64_t submissions = 64 * entries;

    return (indices + 4095) / 4096 * 4096 + (submissions + 4095) / 4096 * 4096;
}

static int worker_count(struct coir_worker *worker)
{
    int n = 0;

    while (coir_worker_at(worker, n))
        n++;
    return n;
}

static int try_all_sizes(struct ring *ring, unsigned entries)
{
    int rc = try_setup(ring, entries);

    while (rc == -ENOMEM && (entries /= 2) >= ENTRIES_LEAST)
        rc = try_setup(ring, entries);
    return rc;
}

/*
 * Locked memory is limited per user: take so little that it lasts for all
 * workers.  The rings of a process that has just ended count for a moment longer:
 * if there is none left at all, wait for that, unless it would not help.
 */
static int setup(struct ring *ring, struct coir_worker *worker)
{
    uint64_t each = coir_sys_limit(RLIMIT_MEMLOCK) / (uint64_t)worker_count(worker);
    unsigned entries = ENTRIES;
    int rc;

    while (entries > ENTRIES_LEAST && ring_bytes(entries) > each)
        entries /= 2;
    rc = try_all_sizes(ring, entries);
    for (int64_t pause = PAUSE_LEAST; rc == -ENOMEM && pause <= PAUSE_MOST; pause *= 2) {
        if (ring_bytes(ENTRIES_LEAST) > each)
            break;
        coir_sys_sleep(pause);
        rc = try_all_sizes(ring, entries);
    }

    /* The ring may be mapped where another run's was, in another thread, until a moment
       ago; ThreadSanitizer does not see the kernel between the two. */
    coir_fence_seq_cst();
    return rc;
}

static const char *uring_cure(int rc)
{
    switch (-rc) {
    case EPERM:
        return "a container's seccomp profile or the sysctl kernel.io_uring_disabled forbids it";
    case ENOSYS:
        return "the kernel was built without it, or a seccomp profile hides it";
    case ENOMEM:
        return "the limit on locked memory is too small: raise ulimit -l";
    }
    return NULL;
}

static int uring_open(struct coir_worker *worker)
{
    unsigned most[2] = { 4, 16 }; /* kernel threads for what cannot be polled */
    struct ring *ring = coir_sys_calloc(1, sizeof *ring);
    int rc;

    if (!ring)
        return -ENOMEM;
    ring->free_slot = NOWHERE;
    coir_store_relaxed(&ring->busy, 1);
    rc = setup(ring, worker);
    if (rc < 0) {
        coir_sys_free(ring);
        return rc;
    }
    rc = ring->event = coir_sys_eventfd(0, 0);
    if (rc < 0) {
        io_uring_queue_exit(&ring->io);
        coir_sys_free(ring);
        return rc;
    }
    io_uring_register_ring_fd(&ring->io);
    io_uring_register_iowq_max_workers(&ring->io, most);
    io_uring_ring_dontfork(&ring->io);
    *coir_worker_driver_state(worker) = ring;
    arm_wake(ring);
    leave(ring);
    return 0;
}

/* The ring itself is looked at by others until all threads have ended. */
static void uring_close(struct coir_worker *worker)
{
    io_uring_unregister_ring_fd(&enter(worker)->io);
}

static void uring_release(struct coir_worker *worker)
{
    struct ring *ring = ring_of(worker);

    coir_fence_seq_cst(); /* see setup() */
    io_uring_queue_exit(&ring->io);
    coir_sys_close(ring->event);
    coir_sys_free(ring->slots);
    coir_sys_free(ring);
    *coir_worker_driver_state(worker) = NULL;
}

const struct coir_driver coir_driver_uring = {
    .name = "io_uring",
    .open = uring_open,
    .cure = uring_cure,
    .close = uring_close,
    .release = uring_release,
    .submit = uring_submit,
    .cancel = uring_cancel,
    .cancel_fd = uring_cancel_fd,
    .ready = uring_ready,
    .poll = uring_poll,
    .wait = uring_wait,
    .wake = uring_wake,
    .stranded = uring_stranded,
    .rescue = uring_rescue,
};
