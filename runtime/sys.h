/*
 * sys.h - every call that the outside world decides: the clock, memory,
 * threads, signals, descriptors.
 *
 * Each returns >= 0 or -errno; errno is read here and nowhere else.  All of
 * them are real functions, never inlined: a task that suspends may wake up on
 * another thread, and a compiler that saw errno being read would keep the old
 * thread's address of it.  Tests replace them to inject faults.
 *
 * Those that may be interrupted are called again on EINTR, except where it
 * says otherwise.
 */
#ifndef COIR_RUNTIME_SYS_H
#define COIR_RUNTIME_SYS_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

struct addrinfo;
struct epoll_event;

/* Time. */
int64_t coir_sys_now(void);
void coir_sys_sleep(int64_t ns);

/* Memory.  coir_sys_mmap maps anonymous private memory, read and write. */
int coir_sys_mmap(size_t bytes, int extra_flags, void **ret_memory);
int coir_sys_munmap(void *memory, size_t bytes);
int coir_sys_madvise(void *memory, size_t bytes, int advice);
int coir_sys_mprotect(void *memory, size_t bytes, int protection);
int coir_sys_mincore(void *memory, size_t bytes, unsigned char *ret_pages);
void *coir_sys_malloc(size_t bytes);
void *coir_sys_calloc(size_t n, size_t bytes);
void *coir_sys_realloc(void *memory, size_t bytes);
void *coir_sys_aligned_alloc(size_t alignment, size_t bytes);
void coir_sys_free(void *memory);

/* Threads. */
int coir_sys_thread_create(pthread_t *ret_thread, const pthread_attr_t *attr,
                           void *(*fn)(void *), void *arg);
int coir_sys_thread_join(pthread_t thread);
int coir_sys_thread_mask(int how, const sigset_t *set, sigset_t *ret_old);
int coir_sys_get_affinity(size_t bytes, void *ret_set);
int coir_sys_set_affinity(size_t bytes, const void *set);
pid_t coir_sys_gettid(void);
void coir_sys_drop_timer_slack(void); /* timers of the calling thread, not up to 50 us later */
int64_t coir_sys_thread_time(pid_t thread); /* that it had a CPU; 0 if it is not there */
pid_t coir_sys_getpid(void);
void coir_sys_yield(void);
/* Waits while *word is `value`; may return early.  wake: all that wait, and the word
   may be gone already. */
void coir_sys_futex_wait(void *word, uint32_t value);
void coir_sys_futex_wake(void *word);
int coir_sys_atfork(void (*in_child)(void)); /* for the rest of the process's life */
int coir_sys_membarrier(int command);

/* Signals.  A handler puts errno back with the last two. */
int coir_sys_tgkill(pid_t thread, int signal); /* of this process */
int coir_sys_sigaction(int signal, const struct sigaction *action, struct sigaction *ret_old);
int coir_sys_sigaltstack(const stack_t *stack, stack_t *ret_old);
int coir_sys_raise(int signal); /* to the calling thread */
int coir_sys_errno(void);
void coir_sys_set_errno(int value);

/* Libraries.  A library that was loaded stays so; NULL if it is not there.  Find
   stores a function's address in the function pointer at ret_function. */
void *coir_sys_load(const char *name);
bool coir_sys_find(void *library, const char *function, void *ret_function);

/* Descriptors. */
int coir_sys_eventfd(unsigned value, int flags);
int coir_sys_event_write(int fd);
void coir_sys_event_signal(int fd); /* the same, in a signal handler: errno stays */
/* Blocks until the event is written to; -ETIMEDOUT after `timeout` ns, INT64_MAX
   for never; -EINTR comes back. */
int coir_sys_event_wait(int fd, int64_t timeout);
ssize_t coir_sys_read(int fd, void *buf, size_t len);
ssize_t coir_sys_write(int fd, const void *buf, size_t len);
int coir_sys_open(const char *path, int flags, mode_t mode);
int coir_sys_close(int fd);

/* The same, for a thread that is to be interrupted: -EINTR comes back. */
ssize_t coir_sys_read_once(int fd, void *buf, size_t len);
ssize_t coir_sys_write_once(int fd, const void *buf, size_t len);
int coir_sys_open_once(const char *path, int flags, mode_t mode);

/* Without ever waiting: -EAGAIN if it would have to, -EOPNOTSUPP if such a file
   cannot be asked. */
ssize_t coir_sys_read_now(int fd, void *buf, size_t len);
ssize_t coir_sys_write_now(int fd, const void *buf, size_t len);

/* Which of these poll(2) events there are, 0 if none; -EBADF. */
int coir_sys_poll_now(int fd, int events);

int coir_sys_is_nonblocking(int fd); /* 0, 1 or -errno */
int coir_sys_set_nonblocking(int fd, bool on);
bool coir_sys_is_regular(int fd); /* a file, on a disk or in memory */

/* Sets of descriptors.  coir_sys_epoll_wait sleeps for `timeout` ns, INT64_MAX
   for ever; -EINTR comes back. */
int coir_sys_epoll_create(void);
int coir_sys_epoll_ctl(int set, int operation, int fd, struct epoll_event *event);
int coir_sys_epoll_wait(int set, struct epoll_event *ret_events, int most, int64_t timeout);

/* Sockets.  coir_sys_accept and coir_sys_connect may return -EINTR. */
int coir_sys_socket(int family, int type, int protocol);
ssize_t coir_sys_recv(int fd, void *buf, size_t len, int flags);
ssize_t coir_sys_send(int fd, const void *buf, size_t len, int flags);
int coir_sys_accept(int fd, int flags);
int coir_sys_connect(int fd, const struct sockaddr *address, socklen_t len);
int coir_sys_setsockopt(int fd, int level, int option, const void *value, socklen_t len);
int coir_sys_getsockopt(int fd, int level, int option, int *ret_value);
int coir_sys_bind(int fd, const struct sockaddr *address, socklen_t len);
int coir_sys_listen(int fd, int backlog);
/* 0 or a getaddrinfo code, or -errno for EAI_SYSTEM. */
int coir_sys_getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                         struct addrinfo **ret_list, int *ret_eai);
void coir_sys_freeaddrinfo(struct addrinfo *list);

/* How much of a resource the process may use: RLIMIT_..., UINT64_MAX for no limit. */
uint64_t coir_sys_limit(int resource);

/* What the kernel told the process at its start: AT_...; 0 if it did not. */
unsigned long coir_sys_auxval(unsigned long type);

#endif
