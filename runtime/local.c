/*
 * local.c - values that belong to a task.  (contextvars)
 *
 * A task that has none pays for a look at one flag when it is created and one when it
 * ends.  The first value gives it an array with a place for every key.
 */
#include "local.h"

#include <errno.h>

#include "current.h"
#include "park.h"
#include "sys.h"

struct coir_locals {
    uint64_t copied; /* which values were made by copy: a bit for each key */
    void *values[COIR_LOCAL_MAX];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static coir_local_options keys[COIR_LOCAL_MAX]; /* written once, before the count */
static COIR_ATOMIC(uint32_t) key_count;

COIR_ATOMIC(uint32_t) coir_locals_inherited;

_Static_assert(COIR_LOCAL_MAX <= 64, "a bit for each");

int coir_local_create(coir_local *ret_key, const coir_local_options *options)
{
    uint32_t key;

    if (coir_is_forked())
        return -ECHILD;
    pthread_mutex_lock(&lock);
    key = coir_load_relaxed(&key_count);
    if (key < COIR_LOCAL_MAX) {
        keys[key] = options ? *options : (coir_local_options){ 0 };
        if (keys[key].inherit || keys[key].copy)
            coir_store_relaxed(&coir_locals_inherited, 1);
        coir_store_release(&key_count, key + 1);
    }
    pthread_mutex_unlock(&lock);
    if (key == COIR_LOCAL_MAX)
        return -ENOSPC;
    *ret_key = key;
    return 0;
}

static struct coir_locals *locals_of(struct coir_task *task)
{
    return coir_load_relaxed(&task->shared) & COIR_TASK_LOCALS ? task->locals : NULL;
}

static struct coir_locals *make_locals(struct coir_task *task)
{
    task->locals = coir_sys_calloc(1, sizeof *task->locals);
    if (task->locals)
        coir_or_acq_rel(&task->shared, COIR_TASK_LOCALS);
    return task->locals;
}

static void forget(struct coir_locals *locals, coir_local key)
{
    if ((locals->copied >> key & 1) && keys[key].destroy)
        keys[key].destroy(locals->values[key]);
    locals->copied &= ~((uint64_t)1 << key);
    locals->values[key] = NULL;
}

int coir_local_set(coir_local key, void *value)
{
    struct coir_task *task = coir_fiber_of_caller("coir_local_set")->task;
    struct coir_locals *locals;

    if (!task)
        return -ECHILD;
    locals = locals_of(task);
    if (key >= coir_load_acquire(&key_count))
        return -EINVAL;
    if (!locals && !(locals = make_locals(task)))
        return -ENOMEM;
    forget(locals, key);
    locals->values[key] = value;
    return 0;
}

void *coir_local_get(coir_local key)
{
    struct coir_task *task = coir_fiber_of_caller("coir_local_get")->task;
    struct coir_locals *locals = task ? locals_of(task) : NULL;

    return locals && key < COIR_LOCAL_MAX ? locals->values[key] : NULL;
}

static void inherit(struct coir_locals *from, struct coir_locals *to, uint32_t key)
{
    if (keys[key].copy) {
        to->values[key] = keys[key].copy(from->values[key]);
        to->copied |= (uint64_t)1 << key;
    } else if (keys[key].inherit) {
        to->values[key] = from->values[key];
    }
}

bool coir_locals_inherit(struct coir_task *parent, struct coir_task *child)
{
    struct coir_locals *from = locals_of(parent), *to;
    uint32_t count = coir_load_acquire(&key_count);

    if (!from)
        return true;
    to = make_locals(child);
    if (!to)
        return false;
    for (uint32_t key = 0; key < count; key++)
        if (from->values[key])
            inherit(from, to, key);
    return true;
}

void coir_locals_drop(struct coir_task *task)
{
    struct coir_locals *locals = task->locals;

    for (uint32_t key = 0; key < COIR_LOCAL_MAX; key++)
        forget(locals, key);
    coir_sys_free(locals);
}
