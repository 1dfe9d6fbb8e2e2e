/*
 * mailbox.h - errands for the one task that may touch a library's handle.
 *
 * Most callback libraries allow one thread at a time.  So one task, the driver,
 * owns the handle and makes all calls; whoever wants something of it posts an
 * errand, from any task.  (loop.call_soon_threadsafe)
 *
 * The descriptor is readable while there are errands, so that the driver can
 * wait for them beside the library's sockets, in one epoll set.
 */
#ifndef MAILBOX_H
#define MAILBOX_H

#include <pthread.h>

/* Belongs to whoever posts it, but from post until run() has been called. */
struct errand {
    void (*run)(void *arg); /* on the driver's task */
    void *arg;
    struct errand *next;
};

struct mailbox {
    pthread_mutex_t lock; /* never held by a task that suspends */
    struct errand *first, **end;
    int fd;
    int closed; /* why nothing is taken any more, or 0 */
};

int mailbox_open(struct mailbox *box);

/* Of a mailbox that is closed.  A post is refused, as long as the memory is there. */
void mailbox_destroy(struct mailbox *box);

/* Any task.  Returns 0; or why the mailbox is closed: the errand will not be run. */
int mailbox_post(struct mailbox *box, struct errand *errand);

/* The driver: run what there is, oldest first. */
void mailbox_run(struct mailbox *box);

/* The driver: take nothing more, and run what there is. */
void mailbox_close(struct mailbox *box, int reason);

#endif
