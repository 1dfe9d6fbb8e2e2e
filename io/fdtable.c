/*
 * fdtable.c - see fdtable.h; and coir_close().
 */
#include "fdtable.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>

#include "coir/fd.h"
#include "runtime/atomics.h"
#include "runtime/current.h"
#include "runtime/driver.h"
#include "runtime/park.h"
#include "runtime/sys.h"

#define IN_FLIGHT (((uint64_t)1 << 30) - 1)
#define STATE ((uint64_t)3 << 30)
#define OPEN ((uint64_t)0)
#define DRAINING ((uint64_t)1 << 30)
#define CLOSING ((uint64_t)2 << 30)
#define RING_BITS 30
#define RING(index) ((uint64_t)1 << (32 + (index) % RING_BITS))

#define CHUNK 1024
#define CHUNKS 4096

typedef COIR_ATOMIC(uint64_t) entry_t;

static COIR_ATOMIC(entry_t *) chunks[CHUNKS];

/* Those who wait in coir_close(). */
struct closer {
    struct closer *next;
    int fd;
    struct coir_fiber *fiber;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct closer *closers;

static entry_t *entry_of(int fd)
{
    COIR_ATOMIC(entry_t *) *place = &chunks[fd / CHUNK];
    entry_t *chunk = coir_load_acquire(place), *none = NULL;

    if (chunk)
        return &chunk[fd % CHUNK];
    chunk = coir_sys_calloc(CHUNK, sizeof *chunk);
    if (!chunk)
        return NULL;
    if (!coir_cas_acq_rel(place, &none, chunk)) {
        coir_sys_free((void *)chunk);
        chunk = none;
    }
    return &chunk[fd % CHUNK];
}

static void wake_closer(int fd)
{
    pthread_mutex_lock(&lock);
    for (struct closer *closer = closers; closer; closer = closer->next)
        if (closer->fd == fd)
            coir_unpark(closer->fiber);
    pthread_mutex_unlock(&lock);
}

static void leave(entry_t *entry, int fd)
{
    uint64_t old = coir_sub_seq_cst(entry, 1);

    if ((old & STATE) == DRAINING && (old & IN_FLIGHT) == 1)
        wake_closer(fd);
}

/* The number is new while its last holder is still inside close(2). */
static void await_closing(entry_t *entry)
{
    while ((coir_load_seq_cst(entry) & STATE) == CLOSING)
        coir_sys_yield();
}

int coir_fd_begin(struct coir_worker *worker, int fd)
{
    entry_t *entry;
    uint64_t old;

    if (fd < 0 || fd >= CHUNK * CHUNKS)
        return -EBADF;
    entry = entry_of(fd);
    if (!entry)
        return -ENOMEM;
    while (((old = coir_add_seq_cst(entry, 1)) & STATE) != OPEN) {
        leave(entry, fd);
        if ((old & STATE) == DRAINING)
            return -EBADF;
        await_closing(entry);
    }
    if (old & RING(coir_worker_index(worker)))
        return 0;
    if (coir_fd_again(worker, fd) == 0)
        return 0;
    leave(entry, fd);
    return -EBADF;
}

int coir_fd_again(struct coir_worker *worker, int fd)
{
    uint64_t old = coir_or_seq_cst(entry_of(fd), RING(coir_worker_index(worker)));

    return (old & STATE) == OPEN ? 0 : -EBADF;
}

void coir_fd_end(int fd)
{
    leave(entry_of(fd), fd);
}

/* Closing. */

struct cancel_request {
    struct coir_request request; /* first */
    int fd;
};

static void run_cancel(struct coir_worker *worker, struct coir_request *request)
{
    coir_worker_driver(worker)->cancel_fd(worker, ((struct cancel_request *)request)->fd);
}

/* Have one worker's driver end what is in flight, and wait until it was asked. */
static void cancel_on(struct coir_worker *target, struct coir_fiber *fiber, int fd)
{
    struct cancel_request cancel = { .request = { .run = run_cancel, .fiber = fiber }, .fd = fd };

    if (target == coir_current_worker()) {
        coir_worker_driver(target)->cancel_fd(target, fd);
        return;
    }
    coir_worker_request(target, &cancel.request);
    while (!coir_load_acquire(&cancel.request.done))
        coir_park(fiber, "close", (void *)(intptr_t)fd);
}

static void cancel_everywhere(struct coir_fiber *fiber, uint64_t word, int fd)
{
    struct coir_worker *self = coir_current_worker(), *target;

    for (int i = 0; (target = coir_worker_at(self, i)) != NULL; i++)
        if (word & RING(i))
            cancel_on(target, fiber, fd);
}

static void drain(entry_t *entry, uint64_t word, int fd)
{
    struct coir_fiber *fiber = coir_fiber_of_caller("coir_close");
    struct closer self = { .fd = fd, .fiber = fiber }, **link;

    pthread_mutex_lock(&lock);
    self.next = closers;
    closers = &self;
    pthread_mutex_unlock(&lock);

    cancel_everywhere(fiber, word, fd);
    while (coir_load_seq_cst(entry) & IN_FLIGHT)
        coir_park(fiber, "close", (void *)(intptr_t)fd);

    pthread_mutex_lock(&lock);
    for (link = &closers; *link != &self; link = &(*link)->next)
        ;
    *link = self.next;
    pthread_mutex_unlock(&lock);
}

int coir_close(int fd)
{
    entry_t *entry;
    uint64_t word;
    int rc;

    coir_fiber_of_caller("coir_close");
    if (coir_is_forked())
        return -ECHILD;
    if (fd < 0 || fd >= CHUNK * CHUNKS)
        return -EBADF;
    entry = entry_of(fd);
    if (!entry)
        return coir_sys_close(fd); /* nobody can have begun anything */
    await_closing(entry);
    word = coir_load_seq_cst(entry);
    do
        if ((word & STATE) != OPEN)
            return -EBADF;
    while (!coir_cas_seq_cst(entry, &word, word | (word & IN_FLIGHT ? DRAINING : CLOSING)));

    if (word & IN_FLIGHT) {
        drain(entry, word, fd);
        word = coir_load_seq_cst(entry);
        do
            word &= ~IN_FLIGHT; /* others come and go, only to be told -EBADF */
        while (!coir_cas_seq_cst(entry, &word, (word & ~STATE) | CLOSING));
    }
    rc = coir_sys_close(fd);
    word = coir_load_seq_cst(entry);
    while (!coir_cas_seq_cst(entry, &word, word & IN_FLIGHT))
        ;
    return rc;
}
