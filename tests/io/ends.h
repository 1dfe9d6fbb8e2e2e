/*
 * ends.h - pairs of connected descriptors of every kind, for the tests of
 * input and output.
 */
#ifndef TESTS_IO_ENDS_H
#define TESTS_IO_ENDS_H

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "api/in_run.h"

#define MANY_DESCRIPTORS 500

/* The .init of tests that hold hundreds of descriptors at once. */
static UNUSED void skip_where_descriptors_are_few(void)
{
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < MANY_DESCRIPTORS)
        cr_skip("a process may have %d descriptors here, and this holds hundreds",
                (int)limit.rlim_cur);
}

/* What is written to [1] is read from [0]. */
typedef void make_ends(int ends[2]);

static UNUSED void make_pipe(int ends[2])
{
    cr_assert_eq(pipe(ends), 0);
}

static UNUSED void make_nonblocking_pipe(int ends[2])
{
    cr_assert_eq(pipe2(ends, O_NONBLOCK), 0);
}

static UNUSED void make_socketpair(int ends[2])
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
}

static UNUSED void make_nonblocking_socketpair(int ends[2])
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
}

/* Made with plain system calls: connect() ends before anyone accepts. */
static UNUSED void make_tcp(int ends[2], int family)
{
    struct sockaddr_storage address = { .ss_family = (sa_family_t)family };
    socklen_t len = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    if (family == AF_INET)
        ((struct sockaddr_in *)&address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else
        ((struct sockaddr_in6 *)&address)->sin6_addr = in6addr_loopback;

    int small = 1 << 16; /* so that a few megabytes never fit */
    int listener = socket(family, SOCK_STREAM, 0);
    cr_assert_eq(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&address, len), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    ends[1] = socket(family, SOCK_STREAM, 0);
    cr_assert_eq(setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    cr_assert_eq(connect(ends[1], (struct sockaddr *)&address, len), 0);
    ends[0] = accept(listener, NULL, NULL);
    cr_assert_geq(ends[0], 0);
    close(listener);
}

static UNUSED void make_tcp4(int ends[2])
{
    make_tcp(ends, AF_INET);
}

static UNUSED void make_tcp6(int ends[2])
{
    make_tcp(ends, AF_INET6);
}

static UNUSED bool has_ipv6(void)
{
    struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return has;
}

static make_ends *const all_ends[] = {
    make_pipe, make_nonblocking_pipe, make_socketpair, make_nonblocking_socketpair,
    make_tcp4, make_tcp6,
};

/* A full TCP connection may have room again a moment later: what must wait is
   tried on the first four kinds only. */
enum { LOCAL_KINDS = 4 };

#define FOR_LOCAL_ENDS(make)                                                 \
    for (size_t kind_ = 0; kind_ < LOCAL_KINDS; kind_++)                     \
        for (make_ends *make = all_ends[kind_]; make; make = NULL)

/* For each kind of ends that this machine has. */
#define FOR_ALL_ENDS(make)                                                   \
    for (size_t kind_ = 0; kind_ < LENGTH(all_ends); kind_++)                \
        for (make_ends *make = all_ends[kind_];                              \
             make && (make != make_tcp6 || has_ipv6()); make = NULL)

static UNUSED void close_ends(int ends[2])
{
    cr_assert_eq(coir_close(ends[0]), 0);
    cr_assert_eq(coir_close(ends[1]), 0);
}

static UNUSED bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static UNUSED int count_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int n = 0;
    while (readdir(directory))
        n++;
    closedir(directory);
    return n;
}

/* Write, with plain system calls, until nothing more fits. */
static UNUSED size_t fill(int fd)
{
    static const char bytes[65536];
    int flags = fcntl(fd, F_GETFL);
    size_t filled = 0;
    ssize_t n;
    cr_assert_eq(fcntl(fd, F_SETFL, flags | O_NONBLOCK), 0);
    for (size_t size = sizeof bytes; size > 0; size /= 256)
        while ((n = write(fd, bytes, size)) > 0)
            filled += (size_t)n;
    cr_assert_eq(fcntl(fd, F_SETFL, flags), 0);
    return filled;
}

/* The port of a listening or bound socket, as text. */
static UNUSED const char *port_of(int fd, char text[8])
{
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    in_port_t port = address.ss_family == AF_INET
                         ? ((struct sockaddr_in *)&address)->sin_port
                         : ((struct sockaddr_in6 *)&address)->sin6_port;
    snprintf(text, 8, "%u", ntohs(port));
    return text;
}

/* The byte at a position of a stream in which none may be lost or doubled. */
static UNUSED unsigned char byte_at(size_t position)
{
    return (unsigned char)(position * 2654435761u >> 13);
}

static UNUSED void write_bytes_at(unsigned char *buf, size_t len, size_t position)
{
    for (size_t i = 0; i < len; i++)
        buf[i] = byte_at(position + i);
}

static UNUSED bool are_bytes_at(const unsigned char *buf, size_t len, size_t position)
{
    for (size_t i = 0; i < len; i++)
        if (buf[i] != byte_at(position + i))
            return false;
    return true;
}

#endif
