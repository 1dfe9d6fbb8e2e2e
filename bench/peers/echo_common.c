#define _GNU_SOURCE
#include "echo_common.h"

#include "../harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void echo_fail(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, strerror(error));
    exit(1);
}

struct echo_connection *echo_connection_new(int fd)
{
    struct echo_connection *connection = malloc(sizeof *connection);

    if (!connection)
        echo_fail("connection", ENOMEM);
    connection->fd = fd;
    return connection;
}

void echo_connection_free(struct echo_connection *connection)
{
    close(connection->fd);
    free(connection);
}

static int listen_on(int port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        echo_fail("socket", errno);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 4096) < 0)
        echo_fail("listen", errno);
    return fd;
}

/* Returns the end of the pipe to write connections to. */
static int start_worker(echo_worker *worker)
{
    static int pipes[ECHO_WORKERS_MAX][2];
    static int count;
    pthread_t thread;
    int *ends = pipes[count++];

    if (pipe(ends) < 0)
        echo_fail("pipe", errno);
    int error = pthread_create(&thread, NULL, worker, &ends[0]);
    if (error)
        echo_fail("pthread_create", error);
    return ends[1];
}

static void deal_out(int listener, const int *workers, int count)
{
    int one = 1;

    for (int next = 0;; next = (next + 1) % count) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            echo_fail("accept", errno);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (write(workers[next], &fd, sizeof fd) != sizeof fd)
            echo_fail("write", errno);
    }
}

void echo_serve(int argc, char **argv, echo_worker *worker)
{
    struct bench_args args = { .workers = 1, .n = 7000 };
    int workers[ECHO_WORKERS_MAX];

    bench_parse(&args, argc, argv);
    if (args.workers > ECHO_WORKERS_MAX)
        echo_fail("workers", EINVAL);
    int listener = listen_on((int)args.n);
    for (int i = 0; i < args.workers; i++)
        workers[i] = start_worker(worker);
    deal_out(listener, workers, args.workers);
    abort();
}
