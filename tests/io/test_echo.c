/*
 * Servers and clients in one program, over TCP.
 */
#include "io/ends.h"

static int echo(void *arg)
{
    int fd = *(int *)arg;
    char buf[256];
    ssize_t n;
    while ((n = coir_read(fd, buf, sizeof buf)) > 0)
        if ((n = coir_write_all(fd, buf, (size_t)n)) < 0)
            break;
    coir_close(fd);
    return (int)n;
}

/* Serves until it is cancelled. */
static int serve(void *arg)
{
    int listener = *(int *)arg, fd;
    coir_group clients;
    coir_group_init(&clients);
    while ((fd = coir_accept(listener)) >= 0)
        if (coir_group_create_task_copy(&clients, echo, &fd, sizeof fd) < 0)
            coir_close(fd);
    return coir_group_wait(&clients);
}

struct client {
    const char *port;
    unsigned seed;
    int messages;
};

static int talk(void *arg)
{
    struct client *client = arg;
    int fd = coir_connect("127.0.0.1", client->port), rc = 0;
    if (fd < 0)
        return fd;
    for (int i = 0; i < client->messages && rc == 0; i++) {
        unsigned char out[200], in[200];
        size_t len = next_random(&client->seed) % sizeof out + 1;
        write_bytes_at(out, len, client->seed);
        ssize_t n = coir_write_all(fd, out, len);
        rc = n < 0 ? (int)n : coir_read_exact(fd, in, len, NULL);
        if (rc == 0 && memcmp(in, out, len) != 0)
            rc = -EILSEQ;
    }
    coir_close(fd);
    return rc;
}

static void echo_to_clients(int clients, int messages)
{
    char port[8];
    int listener = coir_listen("127.0.0.1", "0");
    port_of(listener, port);
    coir_task *server = coir_create_task(serve, &listener);
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i < clients; i++) {
        struct client client = { port, (unsigned)i * 7919 + 1, messages };
        cr_assert_eq(coir_group_create_task_copy(&group, talk, &client, sizeof client), 0);
    }
    cr_assert_eq(coir_group_wait(&group), 0);
    cr_assert_eq(coir_cancel_await(server), -ECANCELED);
    cr_assert_eq(coir_close(listener), 0);
}

static int echo_to_two_hundred(UNUSED void *arg)
{
    echo_to_clients(200, check_scale(50));
    return 0;
}

Test(echo, two_hundred_connections_on_one_worker, .init = skip_where_descriptors_are_few)
{
    cr_assert_eq(run_on(1, echo_to_two_hundred, NULL), 0);
}

Test(echo, two_hundred_connections_on_two_workers, .init = skip_where_descriptors_are_few)
{
    cr_assert_eq(run_on(2, echo_to_two_hundred, NULL), 0);
}

Test(echo, two_hundred_connections_on_eight_workers, .init = skip_where_descriptors_are_few)
{
    cr_assert_eq(run_on(8, echo_to_two_hundred, NULL), 0);
}

RunTest(echo, one_connection_with_many_messages)
{
    echo_to_clients(1, check_scale(5000));
    return 0;
}

RunTest(echo, many_short_connections, .init = skip_where_descriptors_are_few)
{
    for (int i = 0; i < 5; i++)
        echo_to_clients(check_scale(100), 1);
    return 0;
}

/* Cancelling the server while its clients talk ends them all, with no
   descriptor left: the end of the test counts. */
static int talk_until_the_end(void *arg)
{
    struct client *client = arg;
    int rc = talk(client);
    return rc == -EPIPE || rc == -ECONNRESET || rc == -ECONNREFUSED ? 0 : rc;
}

RunTest(echo, server_cancelled_under_load_ends, .init = skip_where_descriptors_are_few)
{
    char port[8];
    int listener = coir_listen("127.0.0.1", "0");
    port_of(listener, port);
    coir_task *server = coir_create_task(serve, &listener);
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i < 50; i++) {
        struct client client = { port, (unsigned)i + 1, 1000000 };
        cr_assert_eq(coir_group_create_task_copy(&group, talk_until_the_end, &client,
                                                 sizeof client), 0);
    }
    cr_assert_eq(coir_sleep(COIR_MILLISECONDS(20)), 0);
    coir_cancel(server);
    cr_assert_eq(coir_await(server), -ECANCELED);
    cr_assert_eq(coir_close(listener), 0);
    cr_assert_eq(coir_group_wait(&group), 0);
    return 0;
}

RunTest(echo, server_whose_listener_is_closed_ends)
{
    char port[8];
    int listener = coir_listen("127.0.0.1", "0");
    port_of(listener, port);
    coir_task *server = coir_create_task(serve, &listener);
    struct client client = { port, 3, 10 };
    cr_assert_eq(talk(&client), 0);
    cr_assert_eq(coir_close(listener), 0);
    cr_assert_eq(coir_await(server), 0);
    return 0;
}
