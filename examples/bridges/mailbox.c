/*
 * mailbox.c - see mailbox.h.
 */
#include "mailbox.h"

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

int mailbox_open(struct mailbox *box)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    *box = (struct mailbox){ .lock = PTHREAD_MUTEX_INITIALIZER, .end = &box->first, .fd = fd };
    return 0;
}

void mailbox_destroy(struct mailbox *box)
{
    close(box->fd); /* the lock stays: a post that comes too late learns that it is closed */
}

int mailbox_post(struct mailbox *box, struct errand *errand)
{
    errand->next = NULL;
    pthread_mutex_lock(&box->lock);
    int rc = box->closed;
    if (rc == 0) {
        if (!box->first)
            eventfd_write(box->fd, 1);
        *box->end = errand;
        box->end = &errand->next;
    }
    pthread_mutex_unlock(&box->lock);
    return rc;
}

/* Take all there is.  It is read under the lock that a post would write under. */
static struct errand *take(struct mailbox *box, int closed)
{
    eventfd_t count;

    pthread_mutex_lock(&box->lock);
    struct errand *first = box->first;
    if (first)
        eventfd_read(box->fd, &count);
    box->first = NULL;
    box->end = &box->first;
    box->closed = closed;
    pthread_mutex_unlock(&box->lock);
    return first;
}

static void run_all(struct errand *errand)
{
    struct errand *next;

    for (; errand; errand = next) {
        next = errand->next; /* its owner may be gone after run() */
        errand->run(errand->arg);
    }
}

void mailbox_run(struct mailbox *box)
{
    run_all(take(box, 0));
}

void mailbox_close(struct mailbox *box, int reason)
{
    run_all(take(box, reason));
}
