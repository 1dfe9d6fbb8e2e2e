/*
 * test_rescue_io.c - a task that makes no call delays nobody's input and output.
 *
 * As in tests/api/test_rescue.c the hog goes on until the others are done.
 */
#include "io/ends.h"

#include <pthread.h>

struct pair {
    int a, b;
    atomic_int *left;
};

static int serve_pair(void *arg)
{
    struct pair *pair = arg;
    char byte;

    while (coir_read(pair->b, &byte, 1) == 1)
        if (coir_write(pair->b, &byte, 1) != 1)
            return -EIO;
    return 0;
}

static int ask_pair(void *arg)
{
    struct pair *pair = arg;
    char byte = 0;

    while (atomic_load(pair->left) > 0) {
        byte++;
        if (coir_write(pair->a, &byte, 1) != 1 || coir_read(pair->a, &byte, 1) != 1)
            return -EIO;
        atomic_fetch_sub(pair->left, 1);
    }
    shutdown(pair->a, SHUT_WR);
    return 0;
}

static void compute(atomic_int *left)
{
    while (atomic_load(left) > 0)
        ;
}

/* Round trips of so many pairs, all begun on the worker of the hog. */
static void round_trips(int pairs, int n)
{
    struct pair pair[16];
    atomic_int left = n;
    coir_group group;

    coir_group_init(&group);
    for (int i = 0; i < pairs; i++) {
        int fd[2];
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
        pair[i] = (struct pair){ fd[0], fd[1], &left };
        cr_assert_eq(coir_group_create_task(&group, serve_pair, &pair[i]), 0);
        cr_assert_eq(coir_group_create_task(&group, ask_pair, &pair[i]), 0);
    }
    cr_assert_eq(coir_yield(), 0);
    compute(&left);
    cr_assert_eq(coir_group_wait(&group), 0);
    for (int i = 0; i < pairs; i++) {
        close(pair[i].a);
        close(pair[i].b);
    }
}

RunTestOn(2, rescue_io, of_round_trips_behind_a_computation, .init = forget_debug)
{
    round_trips(1, 1000);
    return 0;
}

RunTestOn(8, rescue_io, of_round_trips_behind_a_computation_of_8, .init = forget_debug)
{
    round_trips(16, 1000);
    return 0;
}

/* A thread of the program's plays the other end, and the data arrives when the
   reader's worker has long begun to compute. */
struct far_end {
    int fd;
    atomic_int *left, *computing;
};

static void *write_one_by_one(void *arg)
{
    struct far_end *end = arg;

    while (!atomic_load(end->computing))
        usleep(100);
    usleep(20000); /* so that the other workers sleep */
    while (atomic_load(end->left) > 0) {
        cr_assert_eq(write(end->fd, "x", 1), 1);
        usleep(100);
    }
    close(end->fd);
    return NULL;
}

struct reader {
    int fd;
    atomic_int *left;
};

static int read_to_the_end(void *arg)
{
    struct reader *reader = arg;
    char byte;
    ssize_t n;

    while ((n = coir_read(reader->fd, &byte, 1)) == 1)
        atomic_fetch_sub(reader->left, 1);
    return (int)n;
}

static int hog_before_a_thread(int n)
{
    atomic_int left = n, computing = 0;
    struct far_end far_end = { .left = &left, .computing = &computing };
    struct reader reader = { .left = &left };
    coir_task *task;
    pthread_t thread;
    int fd[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
    reader.fd = fd[0];
    far_end.fd = fd[1];
    cr_assert_eq(pthread_create(&thread, NULL, write_one_by_one, &far_end), 0);
    task = coir_create_task(read_to_the_end, &reader);
    cr_assert_eq(coir_yield(), 0);
    atomic_store(&computing, 1);
    compute(&left);
    cr_assert_eq(coir_await(task), 0);
    pthread_join(thread, NULL);
    close(fd[0]);
    return 0;
}

RunTestOn(2, rescue_io, of_what_a_thread_sends_while_all_others_sleep, .init = forget_debug)
{
    return hog_before_a_thread(50);
}

RunTestOn(8, rescue_io, of_what_a_thread_sends_while_seven_others_sleep, .init = forget_debug)
{
    return hog_before_a_thread(50);
}

/* A cancel, and a close, of an operation in the ring of the hog's worker. */
static int cancel_it(void *task)
{
    coir_cancel(task);
    return 0;
}

static int close_it(void *fd)
{
    return coir_close(*(int *)fd);
}

static int read_and_count(void *arg)
{
    struct reader *reader = arg;
    char byte;
    int rc = (int)coir_read(reader->fd, &byte, 1);

    atomic_fetch_sub(reader->left, 1);
    return rc;
}

static int hog_beside_the_end_of_a_read(bool by_close)
{
    for (int i = 0; i < check_scale(20); i++) {
        atomic_int left = 1;
        struct reader reader = { .left = &left };
        coir_task *task, *ender;
        int fd[2];

        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fd), 0);
        reader.fd = fd[0];
        task = coir_create_task(read_and_count, &reader);
        cr_assert_eq(coir_yield(), 0);
        ender = by_close ? coir_create_task(close_it, &fd[0]) : coir_create_task(cancel_it, task);
        compute(&left);
        cr_assert_eq(coir_await(ender), 0);
        cr_assert_eq(coir_await(task), by_close ? -EBADF : -ECANCELED);
        if (!by_close)
            close(fd[0]);
        close(fd[1]);
    }
    return 0;
}

RunTestOn(2, rescue_io, of_a_cancel_of_a_read_on_the_worker_that_computes, .init = forget_debug)
{
    return hog_beside_the_end_of_a_read(false);
}

RunTestOn(2, rescue_io, of_a_close_under_a_read_on_the_worker_that_computes, .init = forget_debug)
{
    return hog_beside_the_end_of_a_read(true);
}
