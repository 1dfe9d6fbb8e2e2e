/*
 * sys.c - calls to the outside world; the only file that reads errno.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "sys.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <netdb.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "atomics.h"

static int result(long rc)
{
    return rc < 0 ? -errno : (int)rc;
}

int64_t coir_sys_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void coir_sys_sleep(int64_t ns)
{
    struct timespec left = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };

    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        ;
}

int coir_sys_mmap(size_t bytes, int extra_flags, void **ret_memory)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | extra_flags, -1, 0);

    if (memory == MAP_FAILED)
        return -errno;
    *ret_memory = memory;
    return 0;
}

int coir_sys_munmap(void *memory, size_t bytes)
{
    return result(munmap(memory, bytes));
}

int coir_sys_madvise(void *memory, size_t bytes, int advice)
{
    return result(madvise(memory, bytes, advice));
}

int coir_sys_mprotect(void *memory, size_t bytes, int protection)
{
    return result(mprotect(memory, bytes, protection));
}

int coir_sys_mincore(void *memory, size_t bytes, unsigned char *ret_pages)
{
    return result(mincore(memory, bytes, ret_pages));
}

void *coir_sys_malloc(size_t bytes)
{
    return malloc(bytes);
}

void *coir_sys_calloc(size_t n, size_t bytes)
{
    return calloc(n, bytes);
}

void *coir_sys_realloc(void *memory, size_t bytes)
{
    return realloc(memory, bytes);
}

void *coir_sys_aligned_alloc(size_t alignment, size_t bytes)
{
    return aligned_alloc(alignment, bytes);
}

void coir_sys_free(void *memory)
{
    free(memory);
}

int coir_sys_thread_create(pthread_t *ret_thread, const pthread_attr_t *attr,
                           void *(*fn)(void *), void *arg)
{
    return -pthread_create(ret_thread, attr, fn, arg);
}

int coir_sys_thread_join(pthread_t thread)
{
    return -pthread_join(thread, NULL);
}

int coir_sys_thread_mask(int how, const sigset_t *set, sigset_t *ret_old)
{
    return -pthread_sigmask(how, set, ret_old);
}

int coir_sys_get_affinity(size_t bytes, void *ret_set)
{
    return result(sched_getaffinity(0, bytes, ret_set));
}

int coir_sys_set_affinity(size_t bytes, const void *set)
{
    return result(sched_setaffinity(0, bytes, set));
}

pid_t coir_sys_gettid(void)
{
    return (pid_t)syscall(SYS_gettid);
}

void coir_sys_drop_timer_slack(void)
{
    prctl(PR_SET_TIMERSLACK, 1ul, 0ul, 0ul, 0ul);
}

/* As pthread_getcpuclockid() makes the clock, for a thread whose id is at hand. */
int64_t coir_sys_thread_time(pid_t thread)
{
    clockid_t clock = (clockid_t)(~(unsigned)thread << 3 | 6);
    struct timespec used;

    if (clock_gettime(clock, &used) < 0)
        return 0;
    return (int64_t)used.tv_sec * 1000000000 + used.tv_nsec;
}

pid_t coir_sys_getpid(void)
{
    return getpid();
}

void coir_sys_yield(void)
{
    sched_yield();
}

void coir_sys_futex_wait(void *word, uint32_t value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

void coir_sys_futex_wake(void *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

int coir_sys_atfork(void (*in_child)(void))
{
    return -pthread_atfork(NULL, NULL, in_child);
}

int coir_sys_membarrier(int command)
{
    return result(syscall(SYS_membarrier, command, 0, 0));
}

int coir_sys_tgkill(pid_t thread, int signal)
{
    return result(syscall(SYS_tgkill, getpid(), thread, signal));
}

int coir_sys_sigaction(int signal, const struct sigaction *action, struct sigaction *ret_old)
{
    return result(sigaction(signal, action, ret_old));
}

int coir_sys_sigaltstack(const stack_t *stack, stack_t *ret_old)
{
    return result(sigaltstack(stack, ret_old));
}

int coir_sys_raise(int signal)
{
    return result(raise(signal));
}

int coir_sys_errno(void)
{
    return errno;
}

void coir_sys_set_errno(int value)
{
    errno = value;
}

void *coir_sys_load(const char *name)
{
    return dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
}

bool coir_sys_find(void *library, const char *function, void *ret_function)
{
    void *address = dlsym(library, function);

    memcpy(ret_function, &address, sizeof address);
    return address != NULL;
}

int coir_sys_eventfd(unsigned value, int flags)
{
    return result(eventfd(value, flags | EFD_CLOEXEC));
}

int coir_sys_event_write(int fd)
{
    uint64_t one = 1;
    ssize_t rc;

    do
        rc = write(fd, &one, sizeof one);
    while (rc < 0 && errno == EINTR);
    return rc < 0 ? -errno : 0;
}

void coir_sys_event_signal(int fd)
{
    int saved = errno;

    coir_sys_event_write(fd);
    errno = saved;
}

int coir_sys_event_wait(int fd, int64_t timeout)
{
    struct pollfd event = { .fd = fd, .events = POLLIN };
    struct timespec left = { .tv_sec = timeout / 1000000000, .tv_nsec = timeout % 1000000000 };
    uint64_t value;
    int rc = ppoll(&event, 1, timeout == INT64_MAX ? NULL : &left, NULL);

    if (rc < 0)
        return -errno;
    if (rc == 0)
        return -ETIMEDOUT;
    return read(fd, &value, sizeof value) < 0 ? -errno : 0;
}

ssize_t coir_sys_read(int fd, void *buf, size_t len)
{
    ssize_t n;

    do
        n = read(fd, buf, len);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

ssize_t coir_sys_write(int fd, const void *buf, size_t len)
{
    ssize_t n;

    do
        n = write(fd, buf, len);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

int coir_sys_open(const char *path, int flags, mode_t mode)
{
    int fd;

    do
        fd = open(path, flags, mode);
    while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

int coir_sys_close(int fd)
{
    /* After EINTR the descriptor is gone on Linux: a second close could hit
       somebody else's. */
    return close(fd) < 0 && errno != EINTR ? -errno : 0;
}

ssize_t coir_sys_read_once(int fd, void *buf, size_t len)
{
    ssize_t n = read(fd, buf, len);

    return n < 0 ? -errno : n;
}

ssize_t coir_sys_write_once(int fd, const void *buf, size_t len)
{
    ssize_t n = write(fd, buf, len);

    return n < 0 ? -errno : n;
}

int coir_sys_open_once(const char *path, int flags, mode_t mode)
{
    return result(syscall(SYS_openat, AT_FDCWD, path, flags, mode)); /* path may be NULL */
}

ssize_t coir_sys_read_now(int fd, void *buf, size_t len)
{
    struct iovec piece = { buf, len };
    ssize_t n;

    do
        n = preadv2(fd, &piece, 1, -1, RWF_NOWAIT);
    while (n < 0 && errno == EINTR);
    return n >= 0 ? n : errno == ENOSYS ? -EOPNOTSUPP : -errno;
}

ssize_t coir_sys_write_now(int fd, const void *buf, size_t len)
{
    struct iovec piece = { (void *)(uintptr_t)buf, len };
    ssize_t n;

    do
        n = pwritev2(fd, &piece, 1, -1, RWF_NOWAIT);
    while (n < 0 && errno == EINTR);
    return n >= 0 ? n : errno == ENOSYS ? -EOPNOTSUPP : -errno;
}

int coir_sys_poll_now(int fd, int events)
{
    struct pollfd look = { .fd = fd, .events = (short)events };
    int n;

    do
        n = poll(&look, 1, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    return look.revents & POLLNVAL ? -EBADF : (unsigned short)look.revents;
}

int coir_sys_is_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    return flags < 0 ? -errno : (flags & O_NONBLOCK) != 0;
}

int coir_sys_set_nonblocking(int fd, bool on)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0)
        return -errno;
    return result(fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK));
}

bool coir_sys_is_regular(int fd)
{
    struct stat status;

    return fstat(fd, &status) == 0 && (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode));
}

int coir_sys_epoll_create(void)
{
    return result(epoll_create1(EPOLL_CLOEXEC));
}

int coir_sys_epoll_ctl(int set, int operation, int fd, struct epoll_event *event)
{
    return result(epoll_ctl(set, operation, fd, event));
}

/* Milliseconds would be late by up to one.  epoll_pwait2 is of Linux 5.11, and
   seccomp profiles may be older. */
static int epoll_wait_finely(int set, struct epoll_event *ret_events, int most, int64_t timeout)
{
    static COIR_ATOMIC(bool) missing;
    struct timespec left = { .tv_sec = timeout / 1000000000, .tv_nsec = timeout % 1000000000 };
    struct pollfd look = { .fd = set, .events = POLLIN };

    if (!coir_load_relaxed(&missing)) {
        long n = syscall(SYS_epoll_pwait2, set, ret_events, most, &left, NULL, 0);
        if (n >= 0 || (errno != ENOSYS && errno != EPERM))
            return result(n);
        coir_store_relaxed(&missing, true);
    }
    if (ppoll(&look, 1, &left, NULL) < 0)
        return -errno;
    return result(epoll_wait(set, ret_events, most, 0));
}

int coir_sys_epoll_wait(int set, struct epoll_event *ret_events, int most, int64_t timeout)
{
    if (timeout > 0 && timeout != INT64_MAX)
        return epoll_wait_finely(set, ret_events, most, timeout);
    return result(epoll_wait(set, ret_events, most, timeout > 0 ? -1 : 0));
}

int coir_sys_socket(int family, int type, int protocol)
{
    return result(socket(family, type | SOCK_CLOEXEC, protocol));
}

ssize_t coir_sys_recv(int fd, void *buf, size_t len, int flags)
{
    ssize_t n;

    do
        n = recv(fd, buf, len, flags);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

ssize_t coir_sys_send(int fd, const void *buf, size_t len, int flags)
{
    ssize_t n;

    do
        n = send(fd, buf, len, flags);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

int coir_sys_accept(int fd, int flags)
{
    return result(accept4(fd, NULL, NULL, flags));
}

int coir_sys_connect(int fd, const struct sockaddr *address, socklen_t len)
{
    return result(connect(fd, address, len));
}

int coir_sys_setsockopt(int fd, int level, int option, const void *value, socklen_t len)
{
    return result(setsockopt(fd, level, option, value, len));
}

int coir_sys_getsockopt(int fd, int level, int option, int *ret_value)
{
    socklen_t len = sizeof *ret_value;

    return result(getsockopt(fd, level, option, ret_value, &len));
}

int coir_sys_bind(int fd, const struct sockaddr *address, socklen_t len)
{
    return result(bind(fd, address, len));
}

int coir_sys_listen(int fd, int backlog)
{
    return result(listen(fd, backlog));
}

int coir_sys_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                         struct addrinfo **ret_list, int *ret_eai)
{
    int rc = getaddrinfo(host, service, hints, ret_list);

    *ret_eai = rc == EAI_SYSTEM ? 0 : rc;
    return rc == EAI_SYSTEM ? -(errno ? errno : EIO) : 0;
}

void coir_sys_freeaddrinfo(struct addrinfo *list)
{
    freeaddrinfo(list);
}

uint64_t coir_sys_limit(int resource)
{
    struct rlimit limit;

    return getrlimit(resource, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX
                                                                              : limit.rlim_cur;
}

unsigned long coir_sys_auxval(unsigned long type)
{
    return getauxval(type);
}
