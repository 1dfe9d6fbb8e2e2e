/*
 * echo_server.c - sends every client back what it sends, until Ctrl-C.
 *
 *     echo_server [host [port]]          nc 127.0.0.1 7000
 */
#include <coir.h>
#include <errno.h>
#include <stdio.h>

static int serve(void *arg) /* one task per client */
{
    int fd = *(int *)arg;
    char buf[4096];
    ssize_t n;

    while ((n = coir_read(fd, buf, sizeof buf)) > 0)
        if (coir_write_all(fd, buf, (size_t)n) < 0)
            break;
    coir_close(fd);
    return 0; /* a client that fails is no failure of the server */
}

static int server(void *arg)
{
    char **argv = arg;
    int fd, listener = coir_listen(argv[0], argv[1]);
    if (listener < 0)
        return listener;

    coir_group clients;
    coir_group_init(&clients);
    while ((fd = coir_accept(listener)) >= 0)
        if (coir_group_create_task_copy(&clients, serve, &fd, sizeof fd) < 0)
            coir_close(fd);
    coir_group_cancel(&clients);
    coir_group_wait(&clients);
    coir_close(listener);
    return fd; /* why accepting ended */
}

int main(int argc, char **argv)
{
    char *address[] = { argc > 1 ? argv[1] : "0.0.0.0", argc > 2 ? argv[2] : "7000" };
    int rc = coir_run(server, address);

    if (rc < 0 && rc != -ECANCELED) { /* -ECANCELED: Ctrl-C, the usual end */
        fprintf(stderr, "echo_server: %s\n", coir_strerror(rc));
        return 1;
    }
    return 0;
}
