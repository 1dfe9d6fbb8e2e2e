/*
 * server.h - the servers that the tests of the bridges talk to: other programs,
 * started before the run and ended after it.
 */
#ifndef TESTS_BRIDGES_SERVER_H
#define TESTS_BRIDGES_SERVER_H

#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "api/in_run.h"

struct server {
    pid_t pid;
    int out; /* what it prints */
    char line[512];
};

/* The next line that it prints, without its end. */
static UNUSED const char *read_server_line(struct server *server)
{
    size_t length = 0;
    while (length < sizeof server->line - 1) {
        cr_assert_eq(read(server->out, server->line + length, 1), 1, "%s ended", server->line);
        if (server->line[length] == '\n')
            break;
        length++;
    }
    server->line[length] = '\0';
    return server->line;
}

/* It lives no longer than the test, whatever happens: see limit_child() in ends.c. */
static UNUSED void start_server(struct server *server, char *const argv[])
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    server->pid = fork();
    cr_assert_geq(server->pid, 0);
    if (server->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGINT, SIG_DFL);
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        execvp(argv[0], argv);
        _exit(127);
    }
    close(ends[1]);
    server->out = ends[0];
}

/* Wait for its end.  Returns its status, as waitpid(2) does. */
static UNUSED int reap_server(struct server *server)
{
    int status;
    cr_assert_eq(waitpid(server->pid, &status, 0), server->pid);
    close(server->out);
    return status;
}

/* End it as a user would, and see that it ends well. */
static UNUSED void stop_server(struct server *server)
{
    char rest[4096];
    cr_assert_eq(kill(server->pid, SIGINT), 0);
    while (read(server->out, rest, sizeof rest) > 0)
        ;
    cr_assert_eq(reap_server(server), 0);
}

/* All that a program prints, and its exit status. */
static UNUSED int read_program(char *const argv[], char *text, size_t size)
{
    struct server program;
    size_t length = 0;
    ssize_t n;
    start_server(&program, argv);
    while ((n = read(program.out, text + length, size - 1 - length)) > 0)
        length += (size_t)n;
    text[length] = '\0';
    int status = reap_server(&program);
    cr_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

#endif
