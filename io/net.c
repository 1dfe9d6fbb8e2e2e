/*
 * net.c - names, listeners, connections.
 */
#include "coir/net.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "coir/error.h"
#include "coir/time.h"
#include "op.h"
#include "runtime/blocking.h"
#include "runtime/cancel.h"
#include "runtime/current.h"
#include "runtime/sys.h"

#define BACKLOG 4096
#define BACKOFF_LEAST COIR_MILLISECONDS(10)
#define BACKOFF_MOST COIR_MILLISECONDS(500)

/* Names. */

struct lookup {
    struct coir_job job; /* first */
    struct addrinfo hints, *list;
    int rc, eai;
    char *host, *service; /* NULL, or copies behind this struct */
    char text[];
};

static void run_lookup(struct coir_job *job)
{
    struct lookup *lookup = (struct lookup *)job;

    lookup->rc = coir_sys_getaddrinfo(lookup->host, lookup->service, &lookup->hints,
                                      &lookup->list, &lookup->eai);
}

static void drop_lookup(struct coir_job *job)
{
    struct lookup *lookup = (struct lookup *)job;

    if (lookup->rc == 0 && lookup->eai == 0)
        coir_sys_freeaddrinfo(lookup->list);
    coir_sys_free(lookup);
}

static void describe_lookup(const struct coir_job *job, char *buf, size_t cap)
{
    const struct lookup *lookup = (const struct lookup *)job;

    snprintf(buf, cap, "the lookup of host '%.80s', service '%.40s',",
             lookup->host ? lookup->host : "", lookup->service);
}

static char *copy_text(struct lookup *lookup, size_t *used, const char *text)
{
    char *copy = lookup->text + *used;
    size_t bytes = text ? strlen(text) + 1 : 0;

    memcpy(copy, text ? text : "", bytes);
    *used += bytes;
    return text ? copy : NULL;
}

static struct lookup *make_lookup(const char *host, const char *service, int flags)
{
    size_t bytes = (host ? strlen(host) + 1 : 0) + strlen(service) + 1, used = 0;
    struct lookup *lookup = coir_sys_calloc(1, sizeof *lookup + bytes);

    if (!lookup)
        return NULL;
    lookup->job.run = run_lookup;
    lookup->job.drop = drop_lookup;
    lookup->job.describe = describe_lookup;
    lookup->hints = (struct addrinfo){ .ai_socktype = SOCK_STREAM, .ai_flags = flags };
    lookup->host = copy_text(lookup, &used, host);
    lookup->service = copy_text(lookup, &used, service);
    return lookup;
}

/* The result of a lookup that has run, which is freed. */
static int finish_lookup(struct lookup *lookup, struct addrinfo **ret_list)
{
    int rc = lookup->rc < 0 ? lookup->rc : lookup->eai ? COIR_EAI(lookup->eai) : 0;

    *ret_list = lookup->list;
    coir_sys_free(lookup);
    return rc;
}

/* Addresses and numbers need no name server, and so no thread. */
static bool run_numeric(struct lookup *lookup)
{
    int flags = lookup->hints.ai_flags;

    lookup->hints.ai_flags |= AI_NUMERICHOST | AI_NUMERICSERV;
    run_lookup(&lookup->job);
    lookup->hints.ai_flags = flags;
    return lookup->eai != EAI_NONAME;
}

static int resolve(const char *host, const char *service, int flags, struct addrinfo **ret_list)
{
    struct lookup *lookup = make_lookup(host, service, flags);
    int rc;

    if (!lookup)
        return -ENOMEM;
    if (run_numeric(lookup))
        return finish_lookup(lookup, ret_list);
    rc = coir_blocking_run(COIR_BLOCKING_NAMES, &lookup->job);
    if (rc == 0)
        return finish_lookup(lookup, ret_list);
    if (rc != -EAGAIN)
        return rc; /* the pool drops it */
    coir_sys_free(lookup);
    return -ENOMEM; /* for a thread */
}

/* Listening. */

static int listen_at(const struct addrinfo *address, bool both_families)
{
    int one = 1, only6 = !both_families, rc;
    int flags = coir_worker_driver(coir_current_worker())->listener_flags;
    int fd = coir_sys_socket(address->ai_family, SOCK_STREAM | flags, 0);

    if (fd < 0)
        return fd;
    coir_sys_setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (address->ai_family == AF_INET6)
        coir_sys_setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only6, sizeof only6);
    rc = coir_sys_bind(fd, address->ai_addr, address->ai_addrlen);
    if (rc == 0)
        rc = coir_sys_listen(fd, BACKLOG);
    if (rc == 0)
        return fd;
    coir_sys_close(fd);
    return rc;
}

/* The first of the addresses that works; without a host, IPv6 for both. */
static int listen_at_first(const struct addrinfo *list, bool any)
{
    int fd = -EADDRNOTAVAIL;

    for (const struct addrinfo *at = list; any && at; at = at->ai_next)
        if (at->ai_family == AF_INET6 && (fd = listen_at(at, true)) >= 0)
            return fd;
    if (fd == -EADDRINUSE)
        return fd;
    for (const struct addrinfo *at = list; at; at = at->ai_next)
        if ((fd = listen_at(at, false)) >= 0)
            return fd;
    return fd;
}

int coir_listen(const char *host, const char *service)
{
    struct addrinfo *list;
    int rc = coir_cancel_pending(coir_fiber_of_caller("coir_listen"));

    if (rc < 0)
        return rc;
    if (!service)
        return -EINVAL;
    rc = resolve(host, service, AI_PASSIVE, &list);
    if (rc < 0)
        return rc;
    rc = listen_at_first(list, !host);
    coir_sys_freeaddrinfo(list);
    return rc;
}

/* Accepting. */

static bool is_exhausted(int rc)
{
    return rc == -EMFILE || rc == -ENFILE || rc == -ENOBUFS || rc == -ENOMEM;
}

/* The fault of one connection, which is gone: take the next. */
static bool is_connections_own(int rc)
{
    return rc == -ECONNABORTED || rc == -EPROTO || rc == -ENETDOWN || rc == -ENOPROTOOPT ||
           rc == -EHOSTDOWN || rc == -ENONET || rc == -EHOSTUNREACH || rc == -ENETUNREACH ||
           rc == -EPERM;
}

static void no_delay(int fd)
{
    int one = 1;

    coir_sys_setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* if it is TCP */
}

int coir_accept(int listener)
{
    coir_duration backoff = BACKOFF_LEAST;

    for (;;) {
        struct coir_op op = { .code = COIR_OP_ACCEPT, .fd = listener };
        int rc = (int)coir_op_run_on_fd(&op, POLLIN, "coir_accept");

        if (rc >= 0) {
            no_delay(rc);
            return rc;
        }
        if (is_exhausted(rc)) {
            rc = coir_sleep(backoff);
            if (rc < 0)
                return rc;
            backoff = backoff * 2 < BACKOFF_MOST ? backoff * 2 : BACKOFF_MOST;
        } else if (!is_connections_own(rc)) {
            return rc;
        }
    }
}

/* Connecting. */

static int try_to_connect(const struct addrinfo *address)
{
    struct coir_op op = { .code = COIR_OP_CONNECT, .memory = address->ai_addr,
                          .len = address->ai_addrlen };
    int rc;

    op.fd = coir_sys_socket(address->ai_family, SOCK_STREAM, 0);
    if (op.fd < 0)
        return op.fd;
    rc = coir_cancel_pending(coir_fiber_of_caller("coir_connect"));
    if (rc == 0)
        rc = (int)coir_op_run(&op, "coir_connect");
    if (rc == 0) {
        no_delay(op.fd);
        return op.fd;
    }
    coir_sys_close(op.fd);
    return rc;
}

/* A connect that was interrupted goes on without us, so the next has its own socket. */
static int connect_to(const struct addrinfo *address)
{
    int rc;

    while ((rc = try_to_connect(address)) == -EINTR)
        if (coir_cancel_pending(coir_fiber_of_caller("coir_connect")) < 0)
            break;
    return rc;
}

int coir_connect(const char *host, const char *service)
{
    struct addrinfo *list;
    int rc = coir_cancel_pending(coir_fiber_of_caller("coir_connect"));

    if (rc < 0)
        return rc;
    if (!host || !service)
        return -EINVAL;
    rc = resolve(host, service, 0, &list);
    if (rc < 0)
        return rc;
    for (const struct addrinfo *at = list; at; at = at->ai_next) {
        int pending;

        rc = connect_to(at);
        if (rc >= 0)
            break;
        pending = coir_cancel_pending(coir_fiber_of_caller("coir_connect"));
        if (pending < 0) {
            rc = pending;
            break;
        }
    }
    coir_sys_freeaddrinfo(list);
    return rc;
}
