/*
 * inbox.h - a list that any thread may add to, and one empties whole.
 *
 * Two lists of this kind belong to each worker: the inbox, of items to run that
 * come from other threads, and the requests, of things to do on its thread.
 *
 * Memory order
 *
 *   [I] push's compare-and-swap (release)  ->  drain's exchange (acquire): the
 *       drainer sees what the pushers wrote to their nodes, and before.
 *
 * Push is lock-free, drain wait-free.  Nodes are returned oldest first.
 */
#ifndef COIR_RUNTIME_INBOX_H
#define COIR_RUNTIME_INBOX_H

#include "atomics.h"
#include "task.h"

struct coir_inbox {
    COIR_ATOMIC(coir_item) head; /* newest; linked through the items */
};

static inline coir_item *coir_inbox_link(coir_item item)
{
    if (item & COIR_ITEM_FIBER)
        return &coir_item_fiber(item)->link;
    return (coir_item *)&coir_item_task(item)->next;
}

static inline void coir_inbox_push(struct coir_inbox *inbox, coir_item item)
{
    coir_item head = coir_load_relaxed(&inbox->head);

    do
        *coir_inbox_link(item) = head;
    while (!coir_cas_acq_rel(&inbox->head, &head, item)); /* [I] */
}

static inline bool coir_inbox_empty(struct coir_inbox *inbox)
{
    return coir_load_relaxed(&inbox->head) == 0;
}

/* Take everything; the oldest first, linked through the items. */
static inline coir_item coir_inbox_drain(struct coir_inbox *inbox)
{
    coir_item item, reversed = 0;

    if (coir_inbox_empty(inbox))
        return 0;
    for (item = coir_xchg_acquire(&inbox->head, 0); item;) { /* [I] */
        coir_item *link = coir_inbox_link(item), next = *link;
        *link = reversed;
        reversed = item;
        item = next;
    }
    return reversed;
}

/*
 * Something to do on a worker's thread.  Lives in the frame of a task that
 * waits until `done`; run is called once, perhaps by a signal handler (see
 * rescue.h): it must not suspend, allocate or lock.
 */
struct coir_request {
    struct coir_request *next;
    void (*run)(struct coir_worker *worker, struct coir_request *request);
    struct coir_fiber *fiber; /* to unpark */
    COIR_ATOMIC(uint32_t) done;
};

struct coir_requests {
    COIR_ATOMIC(struct coir_request *) head;
};

static inline void coir_requests_push(struct coir_requests *list, struct coir_request *request)
{
    struct coir_request *head = coir_load_relaxed(&list->head);

    do
        request->next = head;
    while (!coir_cas_acq_rel(&list->head, &head, request)); /* [I] */
}

static inline struct coir_request *coir_requests_drain(struct coir_requests *list)
{
    if (!coir_load_relaxed(&list->head))
        return NULL;
    return coir_xchg_acquire(&list->head, (struct coir_request *)NULL); /* [I] */
}

#endif
