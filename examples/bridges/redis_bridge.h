/*
 * redis_bridge.h - hiredis's asynchronous commands, awaited by tasks.
 *
 *     struct redis_bridge bridge;
 *     redis_bridge_open(&bridge, redisAsyncConnect("127.0.0.1", 6379));
 *     ...
 *     redisReply *reply;                                             in any task:
 *     int rc = redis_bridge_command(&bridge, &reply, "GET %s", key);
 *     if (rc == 0)
 *         freeReplyObject(reply);
 *     ...
 *     redis_bridge_close(&bridge);
 *
 * One task drives the connection for all of them.  hiredis tells by its hooks what
 * it waits for on its socket; the driver waits for that by coir_wait_fd().  hiredis's
 * callback for a reply sets the future of the task that asked.  Commands of many
 * tasks are pipelined: what came together is sent together.
 */
#ifndef REDIS_BRIDGE_H
#define REDIS_BRIDGE_H

#include <coir.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#include "mailbox.h"

struct redis_bridge {
    redisAsyncContext *context; /* the driver's, as is all but the mailbox; NULL once
                                   the connection is gone */
    int set;         /* epoll: the connection's socket, and the mailbox */
    uint32_t events; /* that hiredis waits for */
    int reason;      /* why nothing is answered any more */
    struct mailbox mailbox;
    coir_task *driver;
};

/*
 * Start the driver of a connection that hiredis has just begun.  The program ignores
 * SIGPIPE.
 *
 * context   The bridge's from now on, even if this fails.  NULL, or with an error in
 *           it, is refused.
 *
 * Returns   0; -ENOTCONN if it is refused, or -errno: then there is nothing to close.
 */
int redis_bridge_open(struct redis_bridge *bridge, redisAsyncContext *context);

/*
 * Send a command, and wait for its reply.  Not for SUBSCRIBE and MONITOR, which have
 * many.
 *
 * ret_reply  The reply, the caller's to free; also what redis calls an error, which
 *            is of type REDIS_REPLY_ERROR.  Untouched by errors.
 * format     As redisCommand()'s.
 *
 * Returns   0; -ECANCELED or -ETIMEDOUT if the caller was told to stop: whether the
 *           command was executed is not known; -ECONNRESET if the connection was lost,
 *           with the same doubt; -EPIPE if the bridge is closed; -EINVAL for a format
 *           that makes no sense; -ENOMEM.
 */
int redis_bridge_command(struct redis_bridge *bridge, redisReply **ret_reply,
                         const char *format, ...);

/*
 * Disconnect, and end the driver.  Those who wait for a reply get -EPIPE, and must
 * have returned before the bridge's memory goes.
 *
 * Returns   0, or what ended the driver before; a lost connection is not that.
 */
int redis_bridge_close(struct redis_bridge *bridge);

#endif
