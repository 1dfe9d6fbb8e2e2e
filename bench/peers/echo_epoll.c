/*
 * echo_epoll.c - the floor for an echo server on epoll: one epoll descriptor
 * per thread, level-triggered; for each request one recv and one send.
 */
#define _GNU_SOURCE
#include "echo_common.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS 256

static void watch(int epoll, int operation, int fd, uint32_t events, void *data)
{
    struct epoll_event event = { .events = events, .data.ptr = data };

    if (epoll_ctl(epoll, operation, fd, &event) < 0)
        echo_fail("epoll_ctl", errno);
}

static void accept_one(int epoll, int pipe)
{
    int fd;

    if (read(pipe, &fd, sizeof fd) != sizeof fd)
        echo_fail("read", errno);
    struct echo_connection *c = echo_connection_new(fd);
    c->length = c->sent = 0;
    watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN, c);
}

/* Send what is left.  What does not fit waits for room in the socket. */
static void flush(int epoll, struct echo_connection *c, bool has_waited)
{
    ssize_t n = send(c->fd, c->buffer + c->sent, c->length - c->sent, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (n < 0 && errno != EAGAIN) {
        echo_connection_free(c);
        return;
    }
    c->sent += n < 0 ? 0 : (unsigned)n;
    if (c->sent < c->length && !has_waited)
        watch(epoll, EPOLL_CTL_MOD, c->fd, EPOLLOUT, c);
    else if (c->sent == c->length && has_waited)
        watch(epoll, EPOLL_CTL_MOD, c->fd, EPOLLIN, c);
}

static void echo(int epoll, struct echo_connection *c)
{
    ssize_t n = recv(c->fd, c->buffer, sizeof c->buffer, MSG_DONTWAIT);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        echo_connection_free(c);
        return;
    }
    c->length = (unsigned)n;
    c->sent = 0;
    flush(epoll, c, false);
}

static void *serve(void *arg)
{
    int pipe = *(int *)arg;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event events[EVENTS];

    if (epoll < 0)
        echo_fail("epoll_create1", errno);
    watch(epoll, EPOLL_CTL_ADD, pipe, EPOLLIN, NULL);
    for (;;) {
        int n = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            struct echo_connection *c = events[i].data.ptr;
            if (!c)
                accept_one(epoll, pipe);
            else if (events[i].events & EPOLLOUT)
                flush(epoll, c, true);
            else
                echo(epoll, c);
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    echo_serve(argc, argv, serve);
}
