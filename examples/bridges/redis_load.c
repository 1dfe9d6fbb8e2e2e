/*
 * redis_load.c - many tasks on one connection to a redis server.
 *
 *     redis_load [-t TASKS] [-k KEYS] SOCKET
 *
 * Each task sets its keys, one after the other, and reads them back.  Every value
 * is compared.  SOCKET is the path of redis's unix socket.
 */
#include <coir.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "redis_bridge.h"

static struct redis_bridge bridge;
static int tasks = 100, keys = 100; /* keys of each task */

/* 0 if the reply came and is as wanted. */
static int expect(int rc, redisReply *reply, const char *wanted)
{
    if (rc < 0)
        return rc;
    if (reply->type == REDIS_REPLY_ERROR || !reply->str || strcmp(reply->str, wanted) != 0)
        rc = -EBADMSG;
    freeReplyObject(reply);
    return rc;
}

static int set_and_get(void *arg)
{
    int task = *(int *)arg, rc = 0;
    redisReply *reply = NULL;
    char key[40], value[40];

    for (int i = 0; i < 2 * keys && rc == 0; i++) {
        snprintf(key, sizeof key, "task:%d:%d", task, i % keys);
        snprintf(value, sizeof value, "%d/%d", i % keys, task);
        if (i < keys) {
            rc = redis_bridge_command(&bridge, &reply, "SET %s %s", key, value);
            rc = expect(rc, reply, "OK");
        } else {
            rc = redis_bridge_command(&bridge, &reply, "GET %s", key);
            rc = expect(rc, reply, value);
        }
    }
    return rc;
}

static int load(void *arg)
{
    coir_group group;
    int rc = redis_bridge_open(&bridge, redisAsyncConnectUnix(arg));

    if (rc < 0)
        return rc;
    int64_t start = coir_now();
    coir_group_init(&group);
    for (int i = 0; i < tasks && rc == 0; i++)
        rc = coir_group_create_task_copy(&group, set_and_get, &i, sizeof i);
    int failure = coir_group_wait(&group);
    double seconds = (double)(coir_now() - start) / 1e9;
    redis_bridge_close(&bridge);
    if (rc == 0 && failure == 0)
        printf("%d commands of %d tasks, %.0f a second\n", 2 * keys * tasks, tasks,
               2.0 * keys * tasks / seconds);
    return failure < 0 ? failure : rc;
}

int main(int argc, char **argv)
{
    for (int option; (option = getopt(argc, argv, "t:k:")) != -1;) {
        switch (option) {
        case 't': tasks = atoi(optarg); break;
        case 'k': keys = atoi(optarg); break;
        default: return 2;
        }
    }
    if (optind != argc - 1) {
        fprintf(stderr, "usage: redis_load [-t TASKS] [-k KEYS] SOCKET\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    int rc = coir_run(load, argv[optind]);
    if (rc < 0)
        fprintf(stderr, "redis_load: %s: %s\n", argv[optind], coir_strerror(rc));
    return rc < 0;
}
