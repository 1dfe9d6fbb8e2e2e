/*
 * faults.h - let calls to the outside world fail.
 *
 * A program linked with faults_dep (meson.build) makes every call of sys.h and of
 * liburing through a wrapper (ld --wrap): the library is the real one, and the
 * n-th call of a kind fails as a plan says.
 *
 *     faults_begin(&(struct fault_plan){ FAULT_MMAP, ENOMEM, .first = 3, .times = 1 });
 *     int rc = coir_run(program, NULL);
 *     faults_end();
 *
 * Calls are counted per kind, over all threads, while a plan is in force, from 1.
 *
 * An operation on a ring is a call too, and is counted as it goes to the kernel: one
 * that is to fail is replaced by an entry that does nothing and completes with the
 * error, and one that is to be short has its length cut; so what did not happen is
 * not told to have happened, nor the other way round.
 */
#ifndef TESTS_SUPPORT_FAULTS_H
#define TESTS_SUPPORT_FAULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum fault_kind {
    FAULT_NONE,
    /* Memory. */
    FAULT_MMAP, FAULT_MUNMAP, FAULT_GUARD, FAULT_MADVISE, FAULT_MPROTECT, FAULT_MINCORE,
    FAULT_MALLOC, FAULT_CALLOC, FAULT_REALLOC, FAULT_ALIGNED_ALLOC,
    /* Threads and signals. */
    FAULT_THREAD_CREATE, FAULT_GET_AFFINITY, FAULT_SET_AFFINITY, FAULT_MEMBARRIER, FAULT_TGKILL,
    FAULT_SIGACTION, FAULT_SIGALTSTACK, FAULT_ATFORK,
    /* Descriptors and sockets. */
    FAULT_EVENTFD, FAULT_EVENT_WRITE, FAULT_EVENT_WAIT, FAULT_OPEN, FAULT_READ, FAULT_WRITE,
    FAULT_CLOSE, FAULT_SOCKET, FAULT_SETSOCKOPT, FAULT_BIND, FAULT_LISTEN, FAULT_GETADDRINFO,
    FAULT_RECV, FAULT_SEND, FAULT_READ_NOW, FAULT_WRITE_NOW, FAULT_READ_ONCE, FAULT_WRITE_ONCE,
    FAULT_OPEN_ONCE, FAULT_ACCEPT, FAULT_CONNECT, FAULT_POLL_NOW, FAULT_EPOLL_CREATE,
    FAULT_EPOLL_ADD, FAULT_EPOLL_WAIT, FAULT_LOAD,
    /* The ring. */
    FAULT_RING_INIT, FAULT_RING_FD, FAULT_RING_WORKERS, FAULT_RING_DONTFORK, FAULT_RING_SUBMIT,
    FAULT_RING_POLL, FAULT_RING_EVENTS, FAULT_RING_WAIT, FAULT_RING_PARTIAL,
    /* Operations on it. */
    FAULT_OP_READ, FAULT_OP_WRITE, FAULT_OP_ACCEPT, FAULT_OP_CONNECT, FAULT_OP_POLL,
    FAULT_OP_OPEN, FAULT_OP_CANCEL, FAULT_OP_WAKE,
    /* On either driver. */
    FAULT_SHORT_READ, FAULT_SHORT_WRITE,
    FAULT_KINDS
};

/* What a program that meets the fault must do. */
enum fault_answer {
    FAULT_SHOWS = 1, /* it may fail, with this error or what it is documented to become */
    FAULT_IGNORED,   /* it must succeed, even if every call fails from now on */
    FAULT_RETRIED,   /* it must succeed once the calls do */
};

struct fault_choice {
    int value; /* an errno; a getaddrinfo() code, which is negative; of short and partial
                  ones, how many, where -1 is all but one */
    enum fault_answer answer;
    int becomes; /* what is documented to be returned instead of value, or 0 */
};

#define FAULT_CHOICES_MAX 12

struct fault_info {
    const char *name;
    struct fault_choice choices[FAULT_CHOICES_MAX]; /* the last has answer 0 */
};

extern const struct fault_info fault_kinds[FAULT_KINDS];

#define FAULT_FOREVER UINT64_MAX

struct fault_plan {
    enum fault_kind kind;
    int value;
    uint64_t first, times;
};

/* Start to count; and, unless plan is NULL, to fail. */
void faults_begin(const struct fault_plan *plan);
void faults_end(void);

/* After faults_begin(), once at most: a second plan beside the first. */
void faults_also(const struct fault_plan *plan);

/* Calls counted and calls failed, since faults_begin(). */
uint64_t faults_seen(enum fault_kind kind);
uint64_t faults_made(void);

/* Bytes mapped and not unmapped since faults_begin(), but for those that the plan did
   not let be unmapped. */
int64_t faults_mapped(void);

/* Whether this kernel can complete an operation with an error of our choice. */
bool faults_in_operations(void);

bool fault_is_in_operation(enum fault_kind kind);

/* "mmap ENOMEM", "short_read by one". */
void fault_name(enum fault_kind kind, int value, char *buf, size_t size);

#endif
