/*
 * coir_listen, coir_accept, coir_connect.
 */
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/resource.h>

#include "io/ends.h"

static const char nonexistent[] = "nonexistent.invalid";

/* In place of the system's, which would ask a server elsewhere, and wait for its answer.
   Other names are in files. */
int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret_list)
{
    int (*of_the_system)(const char *, const char *, const struct addrinfo *,
                         struct addrinfo **);
    if (host && strcmp(host, nonexistent) == 0 && !(hints->ai_flags & AI_NUMERICHOST)) {
        usleep(1000);
        return EAI_NONAME;
    }
    *(void **)&of_the_system = dlsym(RTLD_NEXT, "getaddrinfo");
    return of_the_system(host, service, hints, ret_list);
}

/* Connect with plain system calls to the listener's port on 127.0.0.1. */
static int plain_connect(int listener)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = ((struct sockaddr_in *)&address)->sin_port,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static int listen_on(const char *host, char port[8])
{
    int listener = coir_listen(host, "0");
    cr_assert_geq(listener, 0, "%s: %s", host ? host : "any", coir_err_name(listener));
    port_of(listener, port);
    return listener;
}

/* A bound socket that does not listen: nobody else gets its port. */
static int reserve_port(char port[8])
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    port_of(fd, port);
    return fd;
}

static void exchange(int client, int server)
{
    char buf[8] = "";
    cr_assert_eq(coir_write_all(client, "ping", 4), 4);
    cr_assert_eq(coir_read_exact(server, buf, 4, NULL), 0);
    cr_assert_eq(coir_write_all(server, "pong", 4), 4);
    cr_assert_eq(coir_read_exact(client, buf + 4, 4, NULL), 0);
    cr_assert_eq(memcmp(buf, "pingpong", 8), 0);
}

static void assert_connects(const char *listen_host, const char *connect_host)
{
    char port[8];
    int listener = listen_on(listen_host, port);
    int client = coir_connect(connect_host, port);
    cr_assert_geq(client, 0, "%s: %s", connect_host, coir_err_name(client));
    int server = coir_accept(listener);
    cr_assert_geq(server, 0);
    exchange(client, server);
    cr_assert_eq(coir_close(client), 0);
    cr_assert_eq(coir_close(server), 0);
    cr_assert_eq(coir_close(listener), 0);
}

RunTest(connect, reaches_a_listener_over_ipv4)
{
    assert_connects("127.0.0.1", "127.0.0.1");
    assert_connects("0.0.0.0", "127.0.0.1");
    return 0;
}

RunTest(connect, reaches_a_listener_over_ipv6)
{
    if (has_ipv6())
        assert_connects("::1", "::1");
    return 0;
}

RunTest(connect, resolves_names)
{
    assert_connects("127.0.0.1", "localhost");
    assert_connects(NULL, "localhost");
    return 0;
}

RunTest(connect, reaches_a_listener_on_every_address_over_both)
{
    assert_connects(NULL, "127.0.0.1");
    if (has_ipv6())
        assert_connects(NULL, "::1");
    return 0;
}

static int option_of(int fd, int level, int option)
{
    int value = -1;
    socklen_t len = sizeof value;
    cr_assert_eq(getsockopt(fd, level, option, &value, &len), 0);
    return value;
}

RunTest(connect, both_sides_have_no_delay_and_close_on_exec)
{
    char port[8];
    int listener = listen_on("127.0.0.1", port);
    int client = coir_connect("127.0.0.1", port);
    int server = coir_accept(listener);
    int fds[] = { client, server };
    for (int i = 0; i < 2; i++) {
        cr_assert_neq(option_of(fds[i], IPPROTO_TCP, TCP_NODELAY), 0);
        cr_assert_eq(fcntl(fds[i], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        cr_assert_eq(coir_close(fds[i]), 0);
    }
    cr_assert_eq(fcntl(listener, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    return coir_close(listener);
}

RunTest(connect, to_a_port_where_nobody_listens_is_econnrefused)
{
    char port[8];
    int reserved = reserve_port(port);
    cr_assert_eq(coir_connect("127.0.0.1", port), -ECONNREFUSED);
    cr_assert_eq(coir_connect("localhost", port), -ECONNREFUSED);
    return close(reserved);
}

static void assert_resolver_code(int rc)
{
    cr_assert_lt(rc, -COIR_EAI_BASE, "%d", rc);
    cr_assert_eq(strncmp(coir_err_name(rc), "EAI_", 4), 0);
}

RunTest(connect, to_no_such_name_is_a_resolver_code)
{
    assert_resolver_code(coir_connect("no such host", "80"));
    assert_resolver_code(coir_connect(nonexistent, "80"));
    assert_resolver_code(coir_connect("127.0.0.1", "nosuchservice"));
    return 0;
}

RunTest(connect, without_host_or_service_is_einval)
{
    cr_assert_eq(coir_connect(NULL, "80"), -EINVAL);
    cr_assert_eq(coir_connect("127.0.0.1", NULL), -EINVAL);
    cr_assert_eq(coir_connect(NULL, NULL), -EINVAL);
    return 0;
}

/* -------------------------------------------------------------- listen --- */

RunTest(listen, on_a_port_in_use_is_eaddrinuse)
{
    char port[8];
    int listener = listen_on("127.0.0.1", port);
    cr_assert_eq(coir_listen("127.0.0.1", port), -EADDRINUSE);
    cr_assert_eq(coir_listen(NULL, port), -EADDRINUSE);
    return coir_close(listener);
}

RunTest(listen, takes_the_port_again_at_once_after_a_close)
{
    char port[8];
    int listener = listen_on("127.0.0.1", port);
    int client = coir_connect("127.0.0.1", port);
    int server = coir_accept(listener);
    exchange(client, server);
    cr_assert_eq(coir_close(server), 0); /* this side waits in TIME_WAIT */
    cr_assert_eq(coir_close(client), 0);
    cr_assert_eq(coir_close(listener), 0);
    listener = coir_listen("127.0.0.1", port);
    cr_assert_geq(listener, 0, "%s", coir_err_name(listener));
    return coir_close(listener);
}

RunTest(listen, on_an_address_of_another_machine_is_eaddrnotavail)
{
    cr_assert_eq(coir_listen("192.0.2.1", "0"), -EADDRNOTAVAIL);
    return 0;
}

RunTest(listen, on_no_such_name_is_a_resolver_code)
{
    assert_resolver_code(coir_listen("no such host", "0"));
    assert_resolver_code(coir_listen("127.0.0.1", "nosuchservice"));
    return 0;
}

RunTest(listen, without_a_service_is_einval)
{
    cr_assert_eq(coir_listen(NULL, NULL), -EINVAL);
    cr_assert_eq(coir_listen("127.0.0.1", NULL), -EINVAL);
    return 0;
}

RunTest(listen, resolves_a_name)
{
    char port[8];
    int listener = listen_on("localhost", port);
    int client = coir_connect("localhost", port);
    cr_assert_geq(client, 0);
    cr_assert_eq(coir_close(client), 0);
    return coir_close(listener);
}

RunTest(listen, leaks_no_descriptor_when_it_fails)
{
    char port[8];
    int listener = listen_on("127.0.0.1", port);
    int before = count_descriptors();
    for (int i = 0; i < 20; i++)
        cr_assert_eq(coir_listen("127.0.0.1", port), -EADDRINUSE);
    cr_assert_eq(count_descriptors(), before);
    return coir_close(listener);
}

RunTest(listen, in_a_cancelled_task_opens_nothing)
{
    coir_cancel(coir_current_task());
    int before = count_descriptors();
    cr_assert_eq(coir_listen("localhost", "0"), -ECANCELED);
    cr_assert_eq(coir_listen("127.0.0.1", "0"), -ECANCELED);
    cr_assert_eq(count_descriptors(), before);
    return 0;
}

static int listen_on_a_name(UNUSED void *arg)
{
    return coir_listen(nonexistent, "0");
}

RunTest(listen, cancelled_while_it_resolves_ends_either_way)
{
    for (int i = 0; i < 20; i++) {
        coir_task *task = coir_create_task(listen_on_a_name, NULL);
        for (int k = 0; k < i; k++)
            cr_assert_eq(coir_yield(), 0);
        int rc = coir_cancel_await(task);
        cr_assert(rc == -ECANCELED || rc < -COIR_EAI_BASE, "%d", rc);
    }
    return 0;
}

RunTest(listen, that_returned_before_the_cancel_keeps_its_descriptor)
{
    char port[8];
    int listener = listen_on("127.0.0.1", port);
    coir_cancel(coir_current_task());
    cr_assert(is_open(listener));
    return coir_close(listener);
}

/* -------------------------------------------------------------- accept --- */

RunTest(accept, of_what_does_not_listen_is_an_error)
{
    int ends[2];
    char port[8];
    int bound = reserve_port(port);
    make_pipe(ends);
    cr_assert_eq(coir_accept(bound), -EINVAL);
    cr_assert_eq(coir_accept(ends[0]), -ENOTSOCK);
    cr_assert_eq(coir_accept(-1), -EBADF);
    close_ends(ends);
    cr_assert_eq(coir_accept(ends[0]), -EBADF);
    return coir_close(bound);
}

RunTest(accept, takes_connections_that_wait_already)
{
    enum { N = 20 };
    char port[8];
    int listener = listen_on("127.0.0.1", port), clients[N];
    for (int i = 0; i < N; i++)
        clients[i] = plain_connect(listener);
    for (int i = 0; i < N; i++) {
        int server = coir_accept(listener);
        cr_assert_geq(server, 0);
        cr_assert_eq(coir_close(server), 0);
        cr_assert_eq(coir_close(clients[i]), 0);
    }
    return coir_close(listener);
}

struct accepting {
    int listener;
    int fd;
    atomic_int started;
};

static int accept_one(void *arg)
{
    struct accepting *accepting = arg;
    atomic_store(&accepting->started, 1);
    accepting->fd = coir_accept(accepting->listener);
    return 0;
}

RunTest(accept, waits_for_a_connection)
{
    char port[8];
    struct accepting accepting = { .listener = listen_on("127.0.0.1", port) };
    coir_task *task = coir_create_task(accept_one, &accepting);
    yield_until(&accepting.started, 1);
    let_them_wait();
    cr_assert_not(coir_task_done(task));
    int client = plain_connect(accepting.listener);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_geq(accepting.fd, 0);
    exchange(client, accepting.fd);
    cr_assert_eq(coir_close(client), 0);
    cr_assert_eq(coir_close(accepting.fd), 0);
    return coir_close(accepting.listener);
}

RunTest(accept, by_several_tasks_gives_each_connection_to_one)
{
    enum { N = 10 };
    char port[8];
    int listener = listen_on("127.0.0.1", port), clients[N];
    struct accepting accepting[N];
    coir_task *tasks[N];
    for (int i = 0; i < N; i++) {
        accepting[i] = (struct accepting){ .listener = listener };
        tasks[i] = coir_create_task(accept_one, &accepting[i]);
    }
    for (int i = 0; i < N; i++)
        clients[i] = coir_connect("127.0.0.1", port);
    for (int i = 0; i < N; i++) {
        cr_assert_eq(coir_await(tasks[i]), 0);
        cr_assert_geq(accepting[i].fd, 0);
        for (int k = 0; k < i; k++)
            cr_assert_neq(accepting[i].fd, accepting[k].fd);
    }
    for (int i = 0; i < N; i++) {
        cr_assert_eq(coir_close(accepting[i].fd), 0);
        cr_assert_eq(coir_close(clients[i]), 0);
    }
    return coir_close(listener);
}

RunTest(accept, in_a_cancelled_task_takes_nothing)
{
    char port[8];
    coir_shield shield;
    int listener = listen_on("127.0.0.1", port);
    int client = plain_connect(listener);
    coir_cancel(coir_current_task());
    cr_assert_eq(coir_accept(listener), -ECANCELED);
    coir_shield_begin(&shield);
    int server = coir_accept(listener);
    coir_shield_end(&shield);
    cr_assert_geq(server, 0, "the connection is still there");
    cr_assert_eq(coir_close(server), 0);
    cr_assert_eq(coir_close(client), 0);
    return coir_close(listener);
}

RunTest(accept, that_returned_before_the_cancel_keeps_its_descriptor)
{
    char port[8];
    int listener = listen_on("127.0.0.1", port);
    int client = plain_connect(listener);
    int server = coir_accept(listener);
    coir_cancel(coir_current_task());
    cr_assert(is_open(server));
    cr_assert_eq(coir_close(server), 0);
    cr_assert_eq(coir_close(client), 0);
    return coir_close(listener);
}

RunTest(accept, is_ended_by_a_cancel)
{
    char port[8];
    struct accepting accepting = { .listener = listen_on("127.0.0.1", port) };
    coir_task *task = coir_create_task(accept_one, &accepting);
    yield_until(&accepting.started, 1);
    let_them_wait();
    coir_cancel(task);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(accepting.fd, -ECANCELED);
    return coir_close(accepting.listener);
}

RunTest(accept, is_ended_by_a_deadline)
{
    char port[8];
    coir_timeout limit;
    int listener = listen_on("127.0.0.1", port);
    coir_timeout_begin(&limit, COIR_MILLISECONDS(1));
    cr_assert_eq(coir_accept(listener), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    return coir_close(listener);
}

/* Cancels that race with connections: each is accepted once, or waits. */
RunTest(accept, cancelled_at_random_loses_no_connection)
{
    char port[8];
    unsigned seed = 31;
    int listener = listen_on("127.0.0.1", port), accepted = 0;
    int n = check_scale(1000);
    for (int i = 0; i < n; i++) {
        struct accepting accepting = { .listener = listener };
        coir_task *task = coir_create_task(accept_one, &accepting);
        for (unsigned k = next_random(&seed) % 4; k > 0; k--)
            cr_assert_eq(coir_yield(), 0);
        int client = plain_connect(listener);
        for (unsigned k = next_random(&seed) % 4; k > 0; k--)
            cr_assert_eq(coir_yield(), 0);
        coir_cancel(task);
        cr_assert_eq(coir_await(task), 0);
        if (accepting.fd < 0) {
            cr_assert_eq(accepting.fd, -ECANCELED);
            accepting.fd = coir_accept(listener);
        }
        cr_assert_geq(accepting.fd, 0);
        exchange(client, accepting.fd);
        accepted++;
        cr_assert_eq(coir_close(accepting.fd), 0);
        cr_assert_eq(coir_close(client), 0);
    }
    cr_assert_eq(accepted, n);
    return coir_close(listener);
}

RunTest(accept, skips_connections_that_went_away)
{
    char port[8];
    struct linger at_once = { .l_onoff = 1, .l_linger = 0 };
    int listener = listen_on("127.0.0.1", port);
    for (int i = 0; i < 20; i++) {
        int gone = plain_connect(listener);
        setsockopt(gone, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close(gone);
    }
    int client = plain_connect(listener), server;
    char byte = 0;
    for (;;) { /* Linux hands out the dead ones too; what counts is: no error */
        server = coir_accept(listener);
        cr_assert_geq(server, 0);
        cr_assert_eq(write(client, "x", 1), 1);
        if (coir_read(server, &byte, 1) == 1)
            break;
        cr_assert_eq(coir_close(server), 0);
    }
    cr_assert_eq(coir_close(server), 0);
    cr_assert_eq(coir_close(client), 0);
    return coir_close(listener);
}

RunTest(accept, out_of_descriptors_waits_and_goes_on_when_there_are_some)
{
    char port[8];
    int listener = listen_on("127.0.0.1", port);
    int client = plain_connect(listener);
    struct accepting accepting = { .listener = listener, .fd = -1 };

    struct rlimit limit, low;
    int spare[64], n = 0;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = limit;
    low.rlim_cur = 64;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    while (n < 64 && (spare[n] = dup(listener)) >= 0)
        n++;

    coir_task *task = coir_create_task(accept_one, &accepting);
    yield_until(&accepting.started, 1);
    cr_assert_eq(coir_sleep(COIR_MILLISECONDS(15)), 0);
    cr_assert_not(coir_task_done(task), "accept gave up: %d", accepting.fd);
    while (n > 0)
        close(spare[--n]);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_geq(accepting.fd, 0);
    exchange(client, accepting.fd);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    cr_assert_eq(coir_close(accepting.fd), 0);
    cr_assert_eq(coir_close(client), 0);
    return coir_close(listener);
}

RunTest(accept, that_waits_for_descriptors_can_be_cancelled)
{
    char port[8];
    int listener = listen_on("127.0.0.1", port);
    int client = plain_connect(listener);
    struct accepting accepting = { .listener = listener, .fd = -1 };
    struct rlimit limit, low;
    int spare[64], n = 0;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    low = limit;
    low.rlim_cur = 64;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    while (n < 64 && (spare[n] = dup(listener)) >= 0)
        n++;

    coir_task *task = coir_create_task(accept_one, &accepting);
    let_them_wait();
    coir_cancel(task);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(accepting.fd, -ECANCELED);
    while (n > 0)
        close(spare[--n]);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    cr_assert_eq(coir_close(client), 0);
    return coir_close(listener);
}

/* ------------------------------------------------------------- connect --- */

/* A listener with a full backlog: a connect to it waits. */
static int listen_and_fill(char port[8], int *clients, int n)
{
    int listener = reserve_port(port);
    cr_assert_eq(listen(listener, 0), 0);
    struct sockaddr_in to;
    socklen_t len = sizeof to;
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&to, &len), 0);
    for (int i = 0; i < n; i++) {
        clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        connect(clients[i], (struct sockaddr *)&to, len);
    }
    return listener;
}

enum { BACKLOG = 4 };

static int connect_to(void *port)
{
    return coir_connect("127.0.0.1", port);
}

RunTest(connect, is_ended_by_a_cancel_or_connected)
{
    char port[8];
    int clients[BACKLOG];
    int listener = listen_and_fill(port, clients, BACKLOG);
    coir_task *task = coir_create_task(connect_to, port);
    let_them_wait();
    int fd = coir_cancel_await(task);
    cr_assert(fd == -ECANCELED || is_open(fd), "%d", fd);
    if (fd >= 0)
        cr_assert_eq(coir_close(fd), 0);
    for (int i = 0; i < BACKLOG; i++)
        close(clients[i]);
    return coir_close(listener);
}

RunTest(connect, is_ended_by_a_deadline)
{
    char port[8];
    int clients[BACKLOG];
    coir_timeout limit;
    int listener = listen_and_fill(port, clients, BACKLOG);
    coir_timeout_begin(&limit, COIR_MILLISECONDS(2));
    int fd = coir_connect("127.0.0.1", port);
    int late = coir_timeout_end(&limit);
    cr_assert(late ? fd == -ETIMEDOUT : fd >= 0, "%d", fd);
    if (fd >= 0)
        cr_assert_eq(coir_close(fd), 0);
    for (int i = 0; i < BACKLOG; i++)
        close(clients[i]);
    return coir_close(listener);
}

RunTest(connect, in_a_cancelled_task_opens_nothing)
{
    char port[8];
    int listener = listen_on("127.0.0.1", port);
    coir_cancel(coir_current_task());
    int before = count_descriptors();
    cr_assert_eq(coir_connect("127.0.0.1", port), -ECANCELED);
    cr_assert_eq(coir_connect("localhost", port), -ECANCELED);
    cr_assert_eq(count_descriptors(), before);
    return coir_close(listener);
}

RunTest(connect, past_a_deadline_opens_nothing)
{
    char port[8];
    coir_timeout limit;
    int listener = listen_on("127.0.0.1", port);
    coir_timeout_begin(&limit, 0);
    cr_assert_eq(coir_connect("127.0.0.1", port), -ETIMEDOUT);
    cr_assert_eq(coir_listen("127.0.0.1", "0"), -ETIMEDOUT);
    cr_assert_eq(coir_accept(listener), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    return coir_close(listener);
}

RunTest(connect, that_returned_before_the_cancel_keeps_its_descriptor)
{
    char port[8];
    int listener = listen_on("127.0.0.1", port);
    int client = coir_connect("127.0.0.1", port);
    coir_cancel(coir_current_task());
    cr_assert(is_open(client));
    cr_assert_eq(coir_close(client), 0);
    return coir_close(listener);
}

RunTest(connect, cancelled_at_random_leaks_no_descriptor)
{
    char port[8];
    unsigned seed = 17;
    int listener = listen_on("127.0.0.1", port);
    for (int i = 0; i < check_scale(1000); i++) {
        coir_task *task = coir_create_task(connect_to, port);
        for (unsigned k = next_random(&seed) % 8; k > 0; k--)
            cr_assert_eq(coir_yield(), 0);
        int fd = coir_cancel_await(task);
        cr_assert(fd == -ECANCELED || is_open(fd), "%d", fd);
        if (fd >= 0)
            cr_assert_eq(coir_close(fd), 0);
        if (i % 50 == 49) { /* before those that did connect fill the backlog */
            cr_assert_eq(coir_close(listener), 0);
            listener = coir_listen("127.0.0.1", port);
            cr_assert_geq(listener, 0);
        }
    }
    return coir_close(listener);
}

static int connect_to_nowhere(UNUSED void *arg)
{
    return coir_connect(nonexistent, "80");
}

RunTest(connect, cancelled_while_it_resolves_ends_either_way)
{
    for (int i = 0; i < 20; i++) {
        coir_task *task = coir_create_task(connect_to_nowhere, NULL);
        for (int k = 0; k < i; k++)
            cr_assert_eq(coir_yield(), 0);
        int rc = coir_cancel_await(task);
        cr_assert(rc == -ECANCELED || rc < -COIR_EAI_BASE, "%d", rc);
    }
    return 0;
}

/* Resolving is done elsewhere; who ended the wait for it must be told apart. */
struct limited {
    coir_duration limit;
    int rc;
    int timed_out;
};

static int connect_in_a_scope(void *arg)
{
    struct limited *limited = arg;
    coir_timeout limit;
    coir_timeout_begin(&limit, limited->limit);
    limited->rc = coir_connect("no such host", "80");
    limited->timed_out = coir_timeout_end(&limit);
    return 0;
}

RunTest(connect, that_resolves_races_with_a_deadline_and_a_cancel)
{
    for (int i = 0; i < check_scale(1000); i++) {
        struct limited limited = { .limit = COIR_MICROSECONDS(i % 100) };
        coir_task *task = coir_create_task(connect_in_a_scope, &limited);
        cr_assert_eq(coir_sleep(COIR_MICROSECONDS(i * 7 % 100)), 0);
        coir_cancel(task);
        cr_assert_eq(coir_await(task), 0);
        cr_assert_eq(limited.timed_out, limited.rc == -ETIMEDOUT, "%d but %d", limited.timed_out,
                     limited.rc);
        cr_assert(limited.timed_out || limited.rc == -ECANCELED || limited.rc < -COIR_EAI_BASE,
                  "%d", limited.rc);
    }
    return 0;
}
