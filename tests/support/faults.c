/*
 * faults.c - see faults.h.
 *
 * What has no wrapper cannot fail, or fails only for a mistake of the caller's:
 * now, sleep, yield, futex_wait, futex_wake, gettid, thread_time, drop_timer_slack, getpid,
 * auxval, free, freeaddrinfo, thread_join, thread_mask, raise, event_signal, errno, set_errno,
 * find, limit, is_regular, is_nonblocking, set_nonblocking, getsockopt.
 * tests/rules/faults.py reads this list.
 */
#include "support/faults.h"

#include <errno.h>
#include <liburing.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include "runtime/sys.h"

#define SHOWS(e) { e, FAULT_SHOWS, 0 }
#define BECOMES(e, other) { e, FAULT_SHOWS, other }
#define IGNORED(e) { e, FAULT_IGNORED, 0 }
#define RETRIED(e) { e, FAULT_RETRIED, 0 }

/* Every call of a program's life, and what it can fail with. */
const struct fault_info fault_kinds[FAULT_KINDS] = {
    [FAULT_MMAP] = { "mmap", { SHOWS(ENOMEM), BECOMES(EAGAIN, ENOMEM) } },
    /* The memory stays mapped: nobody else can give it back. */
    [FAULT_MUNMAP] = { "munmap", { IGNORED(ENOMEM) } },
    [FAULT_GUARD] = { "guard", { SHOWS(ENOMEM), IGNORED(EINVAL), IGNORED(EPERM) } },
    [FAULT_MADVISE] = { "madvise", { IGNORED(EINVAL), IGNORED(ENOMEM), IGNORED(EAGAIN) } },
    [FAULT_MPROTECT] = { "mprotect", { SHOWS(ENOMEM), SHOWS(EACCES) } },
    [FAULT_MINCORE] = { "mincore", { IGNORED(EAGAIN), IGNORED(ENOMEM) } },
    [FAULT_MALLOC] = { "malloc", { SHOWS(ENOMEM) } },
    [FAULT_CALLOC] = { "calloc", { SHOWS(ENOMEM) } },
    [FAULT_REALLOC] = { "realloc", { SHOWS(ENOMEM) } },
    [FAULT_ALIGNED_ALLOC] = { "aligned_alloc", { SHOWS(ENOMEM) } },

    [FAULT_THREAD_CREATE] = { "thread_create", { BECOMES(EAGAIN, ENOMEM) } },
    [FAULT_GET_AFFINITY] = { "get_affinity", { IGNORED(EINVAL), IGNORED(EPERM) } },
    [FAULT_SET_AFFINITY] = { "set_affinity", { IGNORED(EINVAL), IGNORED(EPERM) } },
    [FAULT_MEMBARRIER] = { "membarrier", { IGNORED(ENOSYS), IGNORED(EPERM), IGNORED(EINVAL) } },
    [FAULT_TGKILL] = { "tgkill", { IGNORED(EAGAIN), IGNORED(ESRCH), IGNORED(EPERM) } },
    [FAULT_SIGACTION] = { "sigaction", { SHOWS(EINVAL) } },
    [FAULT_ATFORK] = { "atfork", { SHOWS(ENOMEM) } },
    [FAULT_SIGALTSTACK] = { "sigaltstack", { SHOWS(ENOMEM), SHOWS(EPERM) } },

    [FAULT_EVENTFD] = { "eventfd", { SHOWS(EMFILE), SHOWS(ENFILE), SHOWS(ENOMEM), SHOWS(ENODEV) } },
    /* Its reader has been told so often that the counter is full. */
    [FAULT_EVENT_WRITE] = { "event_write", { IGNORED(EAGAIN) } },
    [FAULT_EVENT_WAIT] = { "event_wait", { IGNORED(EINTR), IGNORED(ENOMEM), IGNORED(EAGAIN) } },
    [FAULT_OPEN] = { "open", { IGNORED(ENOENT), IGNORED(EACCES), IGNORED(EMFILE),
                               IGNORED(ENFILE), IGNORED(ENOMEM) } },
    [FAULT_READ] = { "read", { IGNORED(EIO), IGNORED(ENODEV) } },
    [FAULT_WRITE] = { "write", { IGNORED(EIO), IGNORED(EPIPE), IGNORED(EAGAIN) } },
    /* The descriptor is closed all the same. */
    [FAULT_CLOSE] = { "close", { SHOWS(EIO), SHOWS(ENOSPC), SHOWS(EDQUOT) } },
    [FAULT_SOCKET] = { "socket", { SHOWS(EMFILE), SHOWS(ENFILE), SHOWS(ENOBUFS), SHOWS(ENOMEM),
                                   SHOWS(EACCES), SHOWS(EAFNOSUPPORT) } },
    [FAULT_SETSOCKOPT] = { "setsockopt", { IGNORED(ENOPROTOOPT), IGNORED(EINVAL),
                                           IGNORED(ENOMEM) } },
    [FAULT_BIND] = { "bind", { SHOWS(EADDRINUSE), SHOWS(EACCES), SHOWS(EADDRNOTAVAIL),
                               SHOWS(ENOMEM) } },
    [FAULT_LISTEN] = { "listen", { SHOWS(EADDRINUSE), SHOWS(EOPNOTSUPP) } },
    [FAULT_GETADDRINFO] = { "getaddrinfo", { SHOWS(EAI_AGAIN), SHOWS(EAI_FAIL),
                                             SHOWS(EAI_MEMORY), SHOWS(EAI_NONAME),
                                             SHOWS(EMFILE), SHOWS(ENOMEM) } },

    [FAULT_RECV] = { "recv", { RETRIED(EAGAIN), SHOWS(ECONNRESET), SHOWS(ETIMEDOUT),
                               SHOWS(ENOMEM), SHOWS(ENOBUFS) } },
    [FAULT_SEND] = { "send", { RETRIED(EAGAIN), SHOWS(EPIPE), SHOWS(ECONNRESET), SHOWS(ENOMEM),
                               SHOWS(ENOBUFS) } },
    [FAULT_READ_NOW] = { "read_now", { RETRIED(EAGAIN), IGNORED(EOPNOTSUPP), SHOWS(EIO),
                                       SHOWS(ENOMEM) } },
    [FAULT_WRITE_NOW] = { "write_now", { RETRIED(EAGAIN), IGNORED(EOPNOTSUPP), SHOWS(EPIPE),
                                         SHOWS(EIO), SHOWS(ENOSPC) } },
    [FAULT_READ_ONCE] = { "read_once", { RETRIED(EINTR), RETRIED(EAGAIN), SHOWS(EIO),
                                         SHOWS(ENOMEM) } },
    [FAULT_WRITE_ONCE] = { "write_once", { RETRIED(EINTR), RETRIED(EAGAIN), SHOWS(EPIPE),
                                           SHOWS(EIO), SHOWS(ENOSPC) } },
    [FAULT_OPEN_ONCE] = { "open_once", { RETRIED(EINTR), SHOWS(EMFILE), SHOWS(ENFILE),
                                         SHOWS(ENOMEM), SHOWS(EACCES) } },
    [FAULT_ACCEPT] = { "accept", { RETRIED(EINTR), RETRIED(EAGAIN), RETRIED(EMFILE),
                                   RETRIED(ENFILE), RETRIED(ENOBUFS), RETRIED(ENOMEM),
                                   RETRIED(ECONNABORTED), RETRIED(EPROTO), RETRIED(EPERM),
                                   SHOWS(EINVAL) } },
    /* Interrupted, it goes on. */
    [FAULT_CONNECT] = { "connect", { RETRIED(EINTR), SHOWS(ECONNREFUSED), SHOWS(ETIMEDOUT),
                                     SHOWS(ENETUNREACH), SHOWS(EADDRNOTAVAIL), SHOWS(EACCES),
                                     SHOWS(ENOMEM) } },
    [FAULT_POLL_NOW] = { "poll_now", { SHOWS(ENOMEM) } },
    [FAULT_EPOLL_CREATE] = { "epoll_create", { SHOWS(EMFILE), SHOWS(ENFILE), SHOWS(ENOMEM) } },
    [FAULT_EPOLL_ADD] = { "epoll_add", { SHOWS(ENOMEM), BECOMES(ENOSPC, ENOMEM) } },
    [FAULT_EPOLL_WAIT] = { "epoll_wait", { RETRIED(EINTR) } },
    [FAULT_LOAD] = { "load", { IGNORED(ENOENT) } },

    [FAULT_RING_INIT] = { "ring_init", { SHOWS(ENOMEM), SHOWS(EPERM), SHOWS(ENOSYS),
                                         SHOWS(EINVAL), SHOWS(EMFILE), SHOWS(ENFILE) } },
    [FAULT_RING_FD] = { "ring_fd", { IGNORED(EINVAL), IGNORED(EBUSY), IGNORED(ENOMEM) } },
    [FAULT_RING_WORKERS] = { "ring_workers", { IGNORED(EINVAL), IGNORED(ENOMEM) } },
    [FAULT_RING_DONTFORK] = { "ring_dontfork", { IGNORED(EINVAL), IGNORED(ENOMEM) } },
    /* A kernel that never takes a call again is not one to go on with: retried for ever. */
    [FAULT_RING_SUBMIT] = { "ring_submit", { RETRIED(EINTR), RETRIED(EAGAIN), RETRIED(EBUSY),
                                             RETRIED(ENOMEM) } },
    [FAULT_RING_POLL] = { "ring_poll", { RETRIED(EINTR), RETRIED(EAGAIN), RETRIED(EBUSY),
                                         RETRIED(ENOMEM) } },
    [FAULT_RING_EVENTS] = { "ring_events", { RETRIED(EINTR), RETRIED(EAGAIN), RETRIED(EBUSY),
                                             RETRIED(ENOMEM) } },
    [FAULT_RING_WAIT] = { "ring_wait", { RETRIED(EINTR), RETRIED(EAGAIN), RETRIED(EBUSY),
                                         RETRIED(ENOMEM), RETRIED(ETIME) } },
    [FAULT_RING_PARTIAL] = { "ring_partial", { RETRIED(1), RETRIED(2), RETRIED(-1) } },

    [FAULT_OP_READ] = { "op_read", { RETRIED(EINTR), RETRIED(EAGAIN), SHOWS(EIO),
                                     SHOWS(ECONNRESET), SHOWS(ETIMEDOUT), SHOWS(ENOMEM),
                                     SHOWS(ENOBUFS), BECOMES(ECANCELED, EBADF) } },
    [FAULT_OP_WRITE] = { "op_write", { RETRIED(EINTR), RETRIED(EAGAIN), SHOWS(EIO), SHOWS(EPIPE),
                                       SHOWS(ECONNRESET), SHOWS(ENOSPC), SHOWS(ENOMEM),
                                       SHOWS(ENOBUFS), BECOMES(ECANCELED, EBADF) } },
    [FAULT_OP_ACCEPT] = { "op_accept", { RETRIED(EINTR), RETRIED(EAGAIN), RETRIED(EMFILE),
                                         RETRIED(ENFILE), RETRIED(ENOBUFS), RETRIED(ENOMEM),
                                         RETRIED(ECONNABORTED), RETRIED(EPROTO), RETRIED(EPERM),
                                         SHOWS(EINVAL), BECOMES(ECANCELED, EBADF) } },
    [FAULT_OP_CONNECT] = { "op_connect", { RETRIED(EINTR), SHOWS(ECONNREFUSED), SHOWS(ETIMEDOUT),
                                           SHOWS(ENETUNREACH), SHOWS(EADDRNOTAVAIL),
                                           SHOWS(EACCES), SHOWS(ENOMEM),
                                           BECOMES(ECANCELED, EBADF) } },
    [FAULT_OP_POLL] = { "op_poll", { RETRIED(EINTR), SHOWS(ENOMEM), BECOMES(ECANCELED, EBADF) } },
    [FAULT_OP_OPEN] = { "op_open", { RETRIED(EINTR), RETRIED(EAGAIN), SHOWS(EMFILE),
                                     SHOWS(ENFILE), SHOWS(ENOMEM), SHOWS(EACCES) } },
    [FAULT_OP_CANCEL] = { "op_cancel", { RETRIED(ENOENT) } },
    [FAULT_OP_WAKE] = { "op_wake", { RETRIED(ENOMEM), RETRIED(ECANCELED) } },
    [FAULT_SHORT_READ] = { "short_read", { IGNORED(1), IGNORED(2), IGNORED(-1) } },
    [FAULT_SHORT_WRITE] = { "short_write", { IGNORED(1), IGNORED(2), IGNORED(-1) } },
};

static struct fault_plan plans[2];
static atomic_int plan_count;
static atomic_bool counting;
static atomic_ullong seen[FAULT_KINDS], made;
static atomic_llong mapped;

void faults_begin(const struct fault_plan *plan)
{
    static const struct fault_plan none;

    plans[0] = plan ? *plan : none;
    atomic_store(&plan_count, 1);
    for (int i = 0; i < FAULT_KINDS; i++)
        atomic_store(&seen[i], 0);
    atomic_store(&made, 0);
    atomic_store(&mapped, 0);
    atomic_store(&counting, true);
}

void faults_also(const struct fault_plan *plan)
{
    plans[1] = *plan;
    atomic_store(&plan_count, 2); /* the others read it from here on */
}

void faults_end(void)
{
    atomic_store(&counting, false);
}

uint64_t faults_seen(enum fault_kind kind)
{
    return atomic_load(&seen[kind]);
}

uint64_t faults_made(void)
{
    return atomic_load(&made);
}

int64_t faults_mapped(void)
{
    return atomic_load(&mapped);
}

static bool is_planned(const struct fault_plan *plan, enum fault_kind kind, uint64_t n)
{
    return kind == plan->kind && n >= plan->first && n - plan->first < plan->times;
}

/* Count a call.  Returns the value it must fail with, or 0. */
static int fault(enum fault_kind kind)
{
    uint64_t n;

    if (!atomic_load(&counting))
        return 0;
    n = atomic_fetch_add(&seen[kind], 1) + 1;
    for (int i = 0; i < atomic_load(&plan_count); i++)
        if (is_planned(&plans[i], kind, n)) {
            atomic_fetch_add(&made, 1);
            return plans[i].value;
        }
    return 0;
}

bool fault_is_in_operation(enum fault_kind kind)
{
    return kind >= FAULT_OP_READ && kind <= FAULT_OP_WAKE;
}

static bool is_short(enum fault_kind kind)
{
    return kind == FAULT_SHORT_READ || kind == FAULT_SHORT_WRITE || kind == FAULT_RING_PARTIAL;
}

void fault_name(enum fault_kind kind, int value, char *buf, size_t size)
{
    const char *name = fault_kinds[kind].name;

    if (is_short(kind) && value < 0)
        snprintf(buf, size, "%s all-but-one", name);
    else if (is_short(kind))
        snprintf(buf, size, "%s %d", name, value);
    else if (value < 0)
        snprintf(buf, size, "%s EAI%d", name, value);
    else
        snprintf(buf, size, "%s %s", name, strerrorname_np(value));
}

/* sys.h. */

/* Calls that are not made when they fail. */
#define WRAP(kind, type, name, parameters, arguments)                                 \
    type __real_coir_sys_##name parameters;                                           \
    type __wrap_coir_sys_##name parameters;                                           \
    type __wrap_coir_sys_##name parameters                                            \
    {                                                                                 \
        int error = fault(kind);                                                      \
                                                                                      \
        return error ? -error : __real_coir_sys_##name arguments;                     \
    }

/* Calls that do their work, and report an error all the same. */
#define WRAP_DONE(kind, type, name, parameters, arguments)                            \
    type __real_coir_sys_##name parameters;                                           \
    type __wrap_coir_sys_##name parameters;                                           \
    type __wrap_coir_sys_##name parameters                                            \
    {                                                                                 \
        type rc = __real_coir_sys_##name arguments;                                   \
        int error = fault(kind);                                                      \
                                                                                      \
        return error && rc >= 0 ? -error : rc;                                        \
    }

#define WRAP_MEMORY(kind, name, parameters, arguments)                                \
    void *__real_coir_sys_##name parameters;                                          \
    void *__wrap_coir_sys_##name parameters;                                          \
    void *__wrap_coir_sys_##name parameters                                           \
    {                                                                                 \
        return fault(kind) ? NULL : __real_coir_sys_##name arguments;                 \
    }

int __real_coir_sys_mmap(size_t bytes, int extra_flags, void **ret_memory);
int __wrap_coir_sys_mmap(size_t bytes, int extra_flags, void **ret_memory);
int __wrap_coir_sys_mmap(size_t bytes, int extra_flags, void **ret_memory)
{
    int rc = -fault(FAULT_MMAP);

    if (rc == 0)
        rc = __real_coir_sys_mmap(bytes, extra_flags, ret_memory);
    if (rc == 0)
        atomic_fetch_add(&mapped, (long long)bytes);
    return rc;
}

int __real_coir_sys_munmap(void *memory, size_t bytes);
int __wrap_coir_sys_munmap(void *memory, size_t bytes);
int __wrap_coir_sys_munmap(void *memory, size_t bytes)
{
    int rc = -fault(FAULT_MUNMAP);

    atomic_fetch_sub(&mapped, (long long)bytes);
    return rc ? rc : __real_coir_sys_munmap(memory, bytes);
}

#define GUARD_INSTALL 102 /* MADV_GUARD_INSTALL */

int __real_coir_sys_madvise(void *memory, size_t bytes, int advice);
int __wrap_coir_sys_madvise(void *memory, size_t bytes, int advice);
int __wrap_coir_sys_madvise(void *memory, size_t bytes, int advice)
{
    int error = fault(advice == GUARD_INSTALL ? FAULT_GUARD : FAULT_MADVISE);

    return error ? -error : __real_coir_sys_madvise(memory, bytes, advice);
}

WRAP(FAULT_MPROTECT, int, mprotect, (void *memory, size_t bytes, int protection),
     (memory, bytes, protection))
WRAP(FAULT_MINCORE, int, mincore, (void *memory, size_t bytes, unsigned char *ret_pages),
     (memory, bytes, ret_pages))
WRAP_MEMORY(FAULT_MALLOC, malloc, (size_t bytes), (bytes))
WRAP_MEMORY(FAULT_CALLOC, calloc, (size_t n, size_t bytes), (n, bytes))
WRAP_MEMORY(FAULT_REALLOC, realloc, (void *memory, size_t bytes), (memory, bytes))
WRAP_MEMORY(FAULT_ALIGNED_ALLOC, aligned_alloc, (size_t alignment, size_t bytes),
            (alignment, bytes))

WRAP(FAULT_THREAD_CREATE, int, thread_create,
     (pthread_t *ret_thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg),
     (ret_thread, attr, fn, arg))
WRAP(FAULT_GET_AFFINITY, int, get_affinity, (size_t bytes, void *ret_set), (bytes, ret_set))
WRAP(FAULT_SET_AFFINITY, int, set_affinity, (size_t bytes, const void *set), (bytes, set))
WRAP(FAULT_MEMBARRIER, int, membarrier, (int command), (command))
WRAP(FAULT_TGKILL, int, tgkill, (pid_t thread, int signal), (thread, signal))
WRAP(FAULT_SIGACTION, int, sigaction,
     (int signal, const struct sigaction *action, struct sigaction *ret_old),
     (signal, action, ret_old))
WRAP(FAULT_ATFORK, int, atfork, (void (*in_child)(void)), (in_child))
WRAP(FAULT_SIGALTSTACK, int, sigaltstack, (const stack_t *stack, stack_t *ret_old),
     (stack, ret_old))

WRAP(FAULT_EVENTFD, int, eventfd, (unsigned value, int flags), (value, flags))
WRAP_DONE(FAULT_EVENT_WRITE, int, event_write, (int fd), (fd))
WRAP(FAULT_EVENT_WAIT, int, event_wait, (int fd, int64_t timeout), (fd, timeout))
WRAP(FAULT_OPEN, int, open, (const char *path, int flags, mode_t mode), (path, flags, mode))
WRAP(FAULT_READ, ssize_t, read, (int fd, void *buf, size_t len), (fd, buf, len))
WRAP(FAULT_WRITE, ssize_t, write, (int fd, const void *buf, size_t len), (fd, buf, len))
WRAP_DONE(FAULT_CLOSE, int, close, (int fd), (fd))

WRAP(FAULT_SOCKET, int, socket, (int family, int type, int protocol), (family, type, protocol))
WRAP(FAULT_SETSOCKOPT, int, setsockopt,
     (int fd, int level, int option, const void *value, socklen_t len),
     (fd, level, option, value, len))
WRAP(FAULT_BIND, int, bind, (int fd, const struct sockaddr *address, socklen_t len),
     (fd, address, len))
WRAP(FAULT_LISTEN, int, listen, (int fd, int backlog), (fd, backlog))

/* Those that may be short. */
#define WRAP_LENGTH(kind, shorter, name, parameters, arguments)                       \
    ssize_t __real_coir_sys_##name parameters;                                        \
    ssize_t __wrap_coir_sys_##name parameters;                                        \
    ssize_t __wrap_coir_sys_##name parameters                                         \
    {                                                                                 \
        int error = fault(kind), value = fault(shorter);                              \
                                                                                      \
        if (value)                                                                    \
            len = shortened(len, value);                                              \
        return error ? -error : __real_coir_sys_##name arguments;                     \
    }

static size_t shortened(size_t len, int value)
{
    size_t less = value > 0 ? (size_t)value : len - 1;

    return len > 1 && less < len ? less : len;
}

WRAP_LENGTH(FAULT_RECV, FAULT_SHORT_READ, recv, (int fd, void *buf, size_t len, int flags),
            (fd, buf, len, flags))
WRAP_LENGTH(FAULT_SEND, FAULT_SHORT_WRITE, send, (int fd, const void *buf, size_t len, int flags),
            (fd, buf, len, flags))
WRAP_LENGTH(FAULT_READ_NOW, FAULT_SHORT_READ, read_now, (int fd, void *buf, size_t len),
            (fd, buf, len))
WRAP_LENGTH(FAULT_WRITE_NOW, FAULT_SHORT_WRITE, write_now, (int fd, const void *buf, size_t len),
            (fd, buf, len))
WRAP_LENGTH(FAULT_READ_ONCE, FAULT_SHORT_READ, read_once, (int fd, void *buf, size_t len),
            (fd, buf, len))
WRAP_LENGTH(FAULT_WRITE_ONCE, FAULT_SHORT_WRITE, write_once,
            (int fd, const void *buf, size_t len), (fd, buf, len))
WRAP(FAULT_OPEN_ONCE, int, open_once, (const char *path, int flags, mode_t mode),
     (path, flags, mode))
WRAP(FAULT_ACCEPT, int, accept, (int fd, int flags), (fd, flags))
WRAP(FAULT_POLL_NOW, int, poll_now, (int fd, int events), (fd, events))
WRAP(FAULT_EPOLL_CREATE, int, epoll_create, (void), ())
WRAP(FAULT_EPOLL_WAIT, int, epoll_wait,
     (int set, struct epoll_event *ret_events, int most, int64_t timeout),
     (set, ret_events, most, timeout))
WRAP_MEMORY(FAULT_LOAD, load, (const char *name), (name))

int __real_coir_sys_connect(int fd, const struct sockaddr *address, socklen_t len);
int __wrap_coir_sys_connect(int fd, const struct sockaddr *address, socklen_t len);
int __wrap_coir_sys_connect(int fd, const struct sockaddr *address, socklen_t len)
{
    int error = fault(FAULT_CONNECT), rc;

    if (error && error != EINTR)
        return -error;
    rc = __real_coir_sys_connect(fd, address, len);
    return error && (rc == 0 || rc == -EINPROGRESS) ? -EINTR : rc;
}

int __real_coir_sys_epoll_ctl(int set, int operation, int fd, struct epoll_event *event);
int __wrap_coir_sys_epoll_ctl(int set, int operation, int fd, struct epoll_event *event);
int __wrap_coir_sys_epoll_ctl(int set, int operation, int fd, struct epoll_event *event)
{
    int error = operation == EPOLL_CTL_ADD ? fault(FAULT_EPOLL_ADD) : 0;

    return error ? -error : __real_coir_sys_epoll_ctl(set, operation, fd, event);
}

int __real_coir_sys_getaddrinfo(const char *host, const char *service,
                                const struct addrinfo *hints, struct addrinfo **ret_list,
                                int *ret_eai);
int __wrap_coir_sys_getaddrinfo(const char *host, const char *service,
                                const struct addrinfo *hints, struct addrinfo **ret_list,
                                int *ret_eai);
int __wrap_coir_sys_getaddrinfo(const char *host, const char *service,
                                const struct addrinfo *hints, struct addrinfo **ret_list,
                                int *ret_eai)
{
    int error = fault(FAULT_GETADDRINFO);

    if (!error)
        return __real_coir_sys_getaddrinfo(host, service, hints, ret_list, ret_eai);
    *ret_eai = error < 0 ? error : 0;
    return error < 0 ? 0 : -error;
}

/* Rests between attempts are shortened. */
#define REST_MOST 100000

void __real_coir_sys_sleep(int64_t ns);
void __wrap_coir_sys_sleep(int64_t ns);
void __wrap_coir_sys_sleep(int64_t ns)
{
    __real_coir_sys_sleep(ns < REST_MOST ? ns : REST_MOST);
}

/* The ring. */

#define NOP_INJECT_RESULT 1u /* IORING_NOP_INJECT_RESULT, Linux 6.10 */

static void make_fail(struct io_uring_sqe *entry, int error)
{
    uint64_t data = entry->user_data;

    memset(entry, 0, sizeof *entry);
    entry->opcode = IORING_OP_NOP;
    entry->rw_flags = NOP_INJECT_RESULT;
    entry->len = (unsigned)-error;
    entry->user_data = data;
}

static void make_short(struct io_uring_sqe *entry, int value)
{
    entry->len = (unsigned)shortened(entry->len, value);
}

static void consider(struct io_uring_sqe *entry, enum fault_kind kind, enum fault_kind shorter)
{
    int error = fault(kind), value = shorter ? fault(shorter) : 0;

    if (error)
        make_fail(entry, error);
    else if (value)
        make_short(entry, value);
}

static void consider_entry(struct io_uring_sqe *entry)
{
    switch (entry->opcode) {
    case IORING_OP_READ:
        consider(entry, FAULT_OP_READ, FAULT_SHORT_READ);
        break;
    case IORING_OP_WRITE:
        consider(entry, FAULT_OP_WRITE, FAULT_SHORT_WRITE);
        break;
    case IORING_OP_ACCEPT:
        consider(entry, FAULT_OP_ACCEPT, FAULT_NONE);
        break;
    case IORING_OP_CONNECT:
        consider(entry, FAULT_OP_CONNECT, FAULT_NONE);
        break;
    case IORING_OP_POLL_ADD:
        consider(entry, entry->len & IORING_POLL_ADD_MULTI ? FAULT_OP_WAKE : FAULT_OP_POLL,
                 FAULT_NONE);
        break;
    case IORING_OP_OPENAT:
        consider(entry, FAULT_OP_OPEN, FAULT_NONE);
        break;
    case IORING_OP_ASYNC_CANCEL:
        consider(entry, FAULT_OP_CANCEL, FAULT_NONE);
        break;
    }
}

/* The entries that are about to go to the kernel for the first time.  Returns how many
   of them are to be left out of this call. */
static unsigned consider_entries(struct io_uring *ring)
{
    struct io_uring_sq *sq = &ring->sq;
    unsigned n = sq->sqe_tail - sq->sqe_head, left;
    int value;

    for (unsigned i = sq->sqe_head; i != sq->sqe_tail; i++)
        consider_entry(&sq->sqes[i & sq->ring_mask]);
    value = n ? fault(FAULT_RING_PARTIAL) : 0;
    left = value < 0 ? n - 1 : (unsigned)value;
    return left < n ? left : n;
}

/* A call that submits: of those that are left out, the next one takes account again. */
#define SUBMIT(kind, ring, call)                                                      \
    do {                                                                              \
        int error_ = fault(kind), rc_;                                                \
        unsigned left_;                                                               \
                                                                                      \
        if (error_)                                                                   \
            return -error_;                                                           \
        left_ = consider_entries(ring);                                               \
        (ring)->sq.sqe_tail -= left_;                                                 \
        rc_ = (call);                                                                 \
        (ring)->sq.sqe_tail += left_;                                                 \
        return rc_;                                                                   \
    } while (0)

int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring)
{
    SUBMIT(FAULT_RING_SUBMIT, ring, __real_io_uring_submit(ring));
}

int __real_io_uring_submit_and_get_events(struct io_uring *ring);
int __wrap_io_uring_submit_and_get_events(struct io_uring *ring);
int __wrap_io_uring_submit_and_get_events(struct io_uring *ring)
{
    SUBMIT(FAULT_RING_POLL, ring, __real_io_uring_submit_and_get_events(ring));
}

int __real_io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe,
                                            unsigned n, struct __kernel_timespec *timeout,
                                            sigset_t *mask);
int __wrap_io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe,
                                            unsigned n, struct __kernel_timespec *timeout,
                                            sigset_t *mask);
int __wrap_io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe,
                                            unsigned n, struct __kernel_timespec *timeout,
                                            sigset_t *mask)
{
    SUBMIT(FAULT_RING_WAIT, ring,
           __real_io_uring_submit_and_wait_timeout(ring, cqe, left_ ? 0 : n, timeout, mask));
}

#define WRAP_RING(kind, name, parameters, arguments)                                  \
    int __real_io_uring_##name parameters;                                            \
    int __wrap_io_uring_##name parameters;                                            \
    int __wrap_io_uring_##name parameters                                             \
    {                                                                                 \
        int error = fault(kind);                                                      \
                                                                                      \
        return error ? -error : __real_io_uring_##name arguments;                     \
    }

WRAP_RING(FAULT_RING_EVENTS, get_events, (struct io_uring *ring), (ring))
WRAP_RING(FAULT_RING_INIT, queue_init_params,
          (unsigned entries, struct io_uring *ring, struct io_uring_params *params),
          (entries, ring, params))
WRAP_RING(FAULT_RING_FD, register_ring_fd, (struct io_uring *ring), (ring))
WRAP_RING(FAULT_RING_WORKERS, register_iowq_max_workers,
          (struct io_uring *ring, unsigned *values), (ring, values))
WRAP_RING(FAULT_RING_DONTFORK, ring_dontfork, (struct io_uring *ring), (ring))

bool faults_in_operations(void)
{
    struct io_uring ring;
    struct io_uring_cqe *cqe;
    struct io_uring_sqe *entry;
    bool can = false;

    if (io_uring_queue_init(2, &ring, 0) < 0)
        return false;
    entry = io_uring_get_sqe(&ring);
    memset(entry, 0, sizeof *entry);
    make_fail(entry, EIO);
    if (__real_io_uring_submit(&ring) == 1 && io_uring_peek_cqe(&ring, &cqe) == 0)
        can = cqe->res == -EIO;
    io_uring_queue_exit(&ring);
    return can;
}
