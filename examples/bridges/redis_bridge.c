/*
 * redis_bridge.c - see redis_bridge.h.
 */
#include "redis_bridge.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { STACK_BYTES = 256 * 1024 };

/* A command that is sent cannot be taken back, so a request outlives the task that
   gave up waiting: whoever of the two lets go last, task or driver, frees it. */
struct request {
    struct redis_bridge *bridge;
    struct errand send;
    char *command;
    int length;
    coir_future answered;
    redisReply *reply; /* once `answered` is set */
    atomic_int holders;
};

static void let_go(struct request *request)
{
    if (atomic_fetch_sub(&request->holders, 1) > 1)
        return;
    if (request->reply)
        freeReplyObject(request->reply);
    redisFreeCommand(request->command);
    coir_future_destroy(&request->answered);
    free(request);
}

static void fail(struct request *request, int error)
{
    coir_future_fail(&request->answered, error);
    let_go(request);
}

/* What hiredis calls, while the driver is in one of hiredis's functions. */

static void watch(struct redis_bridge *bridge, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = bridge };

    if (events != bridge->events)
        epoll_ctl(bridge->set, EPOLL_CTL_MOD, bridge->context->c.fd, &event);
    bridge->events = events;
}

static void add_read(void *arg)
{
    watch(arg, ((struct redis_bridge *)arg)->events | EPOLLIN);
}

static void del_read(void *arg)
{
    watch(arg, ((struct redis_bridge *)arg)->events & ~(uint32_t)EPOLLIN);
}

static void add_write(void *arg)
{
    watch(arg, ((struct redis_bridge *)arg)->events | EPOLLOUT);
}

static void del_write(void *arg)
{
    watch(arg, ((struct redis_bridge *)arg)->events & ~(uint32_t)EPOLLOUT);
}

/* The connection is gone: hiredis frees the context. */
static void cleanup(void *arg)
{
    struct redis_bridge *bridge = arg;

    epoll_ctl(bridge->set, EPOLL_CTL_DEL, bridge->context->c.fd, NULL);
    bridge->context = NULL;
}

/* hiredis frees a reply after its callback.  What it holds is moved elsewhere, and
   the shell that is left has nothing to free. */
static redisReply *take(redisReply *reply)
{
    redisReply *taken = malloc(sizeof *taken);

    if (taken) {
        *taken = *reply;
        reply->type = REDIS_REPLY_NIL;
    }
    return taken;
}

/* reply: NULL if there will be none, as the connection ends. */
static void on_reply(redisAsyncContext *context, void *reply, void *arg)
{
    struct request *request = arg;

    (void)context;
    if (!reply) {
        fail(request, request->bridge->reason);
    } else if (!(request->reply = take(reply))) {
        fail(request, -ENOMEM);
    } else {
        coir_future_set(&request->answered, NULL);
        let_go(request);
    }
}

/* The driver. */

static void send_command(void *arg)
{
    struct request *request = arg;
    struct redis_bridge *bridge = request->bridge;

    if (!bridge->context ||
        redisAsyncFormattedCommand(bridge->context, on_reply, request, request->command,
                                   (size_t)request->length) != REDIS_OK)
        fail(request, bridge->reason);
}

static void act(struct redis_bridge *bridge, const struct epoll_event *event)
{
    if (event->data.ptr != bridge)
        return; /* the mailbox is looked at in any case */
    if (bridge->context && event->events & (EPOLLIN | EPOLLERR | EPOLLHUP))
        redisAsyncHandleRead(bridge->context);
    if (bridge->context && event->events & EPOLLOUT)
        redisAsyncHandleWrite(bridge->context);
}

static int drive(void *arg)
{
    struct redis_bridge *bridge = arg;
    struct epoll_event events[2];
    int rc = 0;

    while (bridge->context && (rc = coir_wait_fd(bridge->set, POLLIN)) >= 0) {
        int n = epoll_wait(bridge->set, events, 2, 0);
        for (int i = 0; i < n; i++)
            act(bridge, &events[i]);
        mailbox_run(&bridge->mailbox);
    }
    if (bridge->context)
        bridge->reason = -EPIPE;
    mailbox_close(&bridge->mailbox, bridge->reason);
    if (bridge->context)
        redisAsyncFree(bridge->context);
    return rc < 0 ? rc : 0;
}

/* What tasks call. */

static struct request *make_request(struct redis_bridge *bridge, int *ret_error,
                                    const char *format, va_list values)
{
    struct request *request = calloc(1, sizeof *request);

    *ret_error = -ENOMEM;
    if (!request)
        return NULL;
    request->length = redisvFormatCommand(&request->command, format, values);
    if (request->length < 0) {
        *ret_error = request->length == -1 ? -ENOMEM : -EINVAL;
        free(request);
        return NULL;
    }
    request->bridge = bridge;
    request->send = (struct errand){ .run = send_command, .arg = request };
    request->holders = 2;
    coir_future_init(&request->answered);
    return request;
}

int redis_bridge_command(struct redis_bridge *bridge, redisReply **ret_reply,
                         const char *format, ...)
{
    int rc = coir_check();
    va_list values;

    if (rc < 0)
        return rc;
    va_start(values, format);
    struct request *request = make_request(bridge, &rc, format, values);
    va_end(values);
    if (!request)
        return rc;

    rc = mailbox_post(&bridge->mailbox, &request->send);
    if (rc < 0)
        let_go(request); /* for the driver, which will not see it */
    else
        rc = coir_future_await(&request->answered, NULL);
    if (rc == 0) {
        *ret_reply = request->reply;
        request->reply = NULL;
    }
    let_go(request);
    return rc;
}

static void set_hooks(struct redis_bridge *bridge)
{
    bridge->context->ev.data = bridge;
    bridge->context->ev.addRead = add_read;
    bridge->context->ev.delRead = del_read;
    bridge->context->ev.addWrite = add_write;
    bridge->context->ev.delWrite = del_write;
    bridge->context->ev.cleanup = cleanup;
}

/* The socket, and at once for writing: that is how hiredis learns that it is connected. */
static int fill_set(struct redis_bridge *bridge)
{
    struct epoll_event box = { .events = EPOLLIN, .data.ptr = &bridge->mailbox };
    struct epoll_event socket = { .events = EPOLLOUT, .data.ptr = bridge };

    bridge->events = socket.events;
    if (epoll_ctl(bridge->set, EPOLL_CTL_ADD, bridge->mailbox.fd, &box) < 0 ||
        epoll_ctl(bridge->set, EPOLL_CTL_ADD, bridge->context->c.fd, &socket) < 0)
        return -errno;
    return 0;
}

static int start_driver(struct redis_bridge *bridge)
{
    coir_task_options options = { .name = "redis", .stack_bytes = STACK_BYTES };
    int rc = fill_set(bridge);

    if (rc < 0)
        return rc;
    set_hooks(bridge);
    bridge->driver = coir_create_task_with(&options, drive, bridge);
    return bridge->driver ? 0 : -ENOMEM;
}

static int open_with(struct redis_bridge *bridge)
{
    bridge->set = epoll_create1(EPOLL_CLOEXEC);
    if (bridge->set < 0)
        return -errno;
    int rc = mailbox_open(&bridge->mailbox);
    if (rc == 0) {
        rc = start_driver(bridge);
        if (rc < 0)
            mailbox_destroy(&bridge->mailbox);
    }
    if (rc < 0)
        close(bridge->set);
    return rc;
}

int redis_bridge_open(struct redis_bridge *bridge, redisAsyncContext *context)
{
    *bridge = (struct redis_bridge){ .context = context, .reason = -ECONNRESET };
    int rc = context && !context->err ? open_with(bridge) : -ENOTCONN;
    if (rc < 0 && bridge->context)
        redisAsyncFree(bridge->context);
    return rc;
}

int redis_bridge_close(struct redis_bridge *bridge)
{
    int rc = coir_cancel_await(bridge->driver);

    mailbox_destroy(&bridge->mailbox);
    coir_close(bridge->set);
    return rc == -ECANCELED ? 0 : rc;
}
