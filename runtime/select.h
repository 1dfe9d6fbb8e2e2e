/*
 * select.h - what coir_select() can wait for.
 *
 * An object with a lock and a list of waiters is a source.  Everything but `lock` is
 * called with the lock held.
 */
#ifndef COIR_RUNTIME_SELECT_H
#define COIR_RUNTIME_SELECT_H

#include "waiters.h"

struct coir_source {
    struct coir_lock *(*lock)(void *object);
    struct coir_waiters *(*waiters)(void *object);

    /*
     * Do it, if that needs no waiting: true, and its result.  ret_woken: who is to be
     * woken once the lock is released; or NULL.
     */
    bool (*attempt)(void *object, void *place, int *ret_result,
                    struct coir_waiter **ret_woken);

    /* It was done by a changer, who left this in the node. */
    int (*result)(const struct coir_waiter *waiter, void *place);
};

extern const struct coir_source coir_source_put, coir_source_get, coir_source_event,
    coir_source_future;

#endif
