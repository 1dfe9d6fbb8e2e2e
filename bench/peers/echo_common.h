/*
 * echo_common.h - what the two hand-written echo servers share: a listener, and
 * one accepting thread that deals the connections out to the workers in turn.
 *
 * The workers thus get the same number of connections each, and none of them
 * has to accept.  The accepting thread sleeps once all have connected.
 */
#ifndef ECHO_COMMON_H
#define ECHO_COMMON_H

#define ECHO_BUFFER 4096
#define ECHO_WORKERS_MAX 64

struct echo_connection {
    int fd;
    unsigned length, sent; /* of what is in the buffer */
    char buffer[ECHO_BUFFER];
};

/* Never fails: ends the program instead. */
struct echo_connection *echo_connection_new(int fd);
void echo_connection_free(struct echo_connection *connection);

/* What a worker thread runs, with the descriptor of a pipe from which it reads
   its connections, an int each. */
typedef void *echo_worker(void *pipe);

/* PROGRAM [-w WORKERS] -n PORT.  Does not return. */
_Noreturn void echo_serve(int argc, char **argv, echo_worker *worker);

_Noreturn void echo_fail(const char *what, int error);

#endif
