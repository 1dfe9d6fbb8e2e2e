/*
 * deadlock.c - see deadlock.h.
 */
#include "deadlock.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

#include "current.h"
#include "group.h"
#include "park.h"
#include "sys.h"
#include "worker.h"

COIR_ATOMIC(uint32_t) coir_deadlock_runs;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct coir_deadlock_wait *waits;

/* A task that does not go on; so do neither those below it on its fiber. */
struct blocked {
    struct coir_fiber *fiber;
    struct coir_task *task;
};

static bool is_among(const struct blocked *blocked, const struct coir_task *task)
{
    for (struct coir_task *on = blocked->task; on; on = on->next)
        if (on == task)
            return true;
    return false;
}

/* Go on to the task that waits for the end of these, if there is one. */
static bool next_blocked(struct blocked *blocked)
{
    struct coir_task *base = blocked->fiber->base;
    uint64_t shared = coir_load_acquire(&base->shared);

    if (shared & COIR_TASK_MEMBER) {
        if (!coir_load_acquire(&base->group->waited_for))
            return false;
        blocked->fiber = base->group->owner;
        blocked->task = base->group->scope.task;
        return true;
    }
    if ((shared & (COIR_TASK_WATCHED | COIR_TASK_FOREIGN)) || !(shared & COIR_TASK_JOINER))
        return false;
    blocked->fiber = (struct coir_fiber *)(shared & COIR_TASK_JOINER);
    blocked->task = blocked->fiber->task;
    return true;
}

static struct coir_task *task_of(const struct coir_deadlock_wait *wait)
{
    return wait->waiter->fiber->task;
}

static bool blocks(const struct coir_deadlock_wait *wait, const struct coir_task *task)
{
    struct blocked blocked = { wait->waiter->fiber, task_of(wait) };

    do {
        if (is_among(&blocked, task))
            return true;
    } while (next_blocked(&blocked));
    return false;
}

/* NULL also if the mutex has just been given to the one that waits, or it is to try. */
static struct coir_task *owner_for(struct coir_deadlock_wait *wait)
{
    struct coir_task *owner = NULL;

    coir_lock(&wait->mutex->lock);
    if (coir_load_relaxed(&wait->waiter->state) == COIR_WAITER_LISTED)
        owner = coir_mutex_owner(wait->mutex);
    coir_unlock(&wait->mutex->lock);
    return owner;
}

static const char *name_of(struct coir_task *task)
{
    return task == COIR_NO_TASK ? "(a thread)" : coir_task_name(task);
}

static void say(const char *format, ...)
{
    char line[256];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    coir_sys_write(2, line, n < (int)sizeof line ? (size_t)n : sizeof line - 1);
}

/* wait's mutex is held by a task that `by` blocks. */
static void report_one(struct coir_deadlock_wait *wait, struct coir_deadlock_wait *by)
{
    wait->reported = true;
    say("coir:   task '%s' waits for the mutex %p, held by task '%s'\n",
        coir_task_name(task_of(wait)), (void *)wait->mutex, name_of(wait->owner));
    if (wait->owner != task_of(by))
        say("coir:   task '%s' waits for the end of task '%s'\n", name_of(wait->owner),
            coir_task_name(task_of(by)));
}

/* The causes lead from the last back to the first, which blocks the last. */
static void report(struct coir_deadlock_wait *first, struct coir_deadlock_wait *last)
{
    struct coir_deadlock_wait *by = first;

    say("coir: deadlock: these tasks wait for each other\n");
    for (struct coir_deadlock_wait *wait = last; wait; by = wait, wait = wait->cause)
        report_one(wait, by);
}

/* Breadth first, from one wait to those that block the owner of its mutex.  Returns the
   one whose owner is blocked by the first, or NULL. */
static struct coir_deadlock_wait *find_last(struct coir_deadlock_wait *first)
{
    struct coir_deadlock_wait *wait, **end = &first->then;

    for (wait = waits; wait; wait = wait->next)
        wait->seen = false;
    first->cause = first->then = NULL;
    for (wait = first; wait; wait = wait->then) {
        wait->owner = owner_for(wait);
        for (struct coir_deadlock_wait *other = waits; other; other = other->next) {
            if (other->seen || !wait->owner || !blocks(other, wait->owner))
                continue;
            if (other == first)
                return wait;
            other->seen = true;
            other->cause = wait;
            other->then = NULL;
            *end = other;
            end = &other->then;
        }
    }
    return NULL;
}

/* An owner may have unlocked the mutex, and only then begun to wait.  Who is blocked
   unlocks nothing: what is so after all were found to be blocked, stays so. */
static bool is_still_so(struct coir_deadlock_wait *last)
{
    for (struct coir_deadlock_wait *wait = last; wait; wait = wait->cause)
        if (owner_for(wait) != wait->owner)
            return false;
    return true;
}

static void look(struct coir_deadlock_wait *first)
{
    struct coir_deadlock_wait *last;

    do
        last = find_last(first);
    while (last && !is_still_so(last));
    if (last)
        report(first, last);
}

void coir_deadlock_look_through(struct coir_fiber *fiber)
{
    pthread_mutex_lock(&lock);
    for (struct coir_deadlock_wait *wait = waits; wait; wait = wait->next)
        if (!wait->reported && blocks(wait, fiber->task))
            look(wait);
    pthread_mutex_unlock(&lock);
}

void coir_deadlock_list(struct coir_deadlock_wait *wait)
{
    wait->reported = false;
    pthread_mutex_lock(&lock);
    wait->next = waits;
    wait->link = &waits;
    if (waits)
        waits->link = &wait->next;
    waits = wait;
    look(wait);
    pthread_mutex_unlock(&lock);
}

void coir_deadlock_unlist(struct coir_deadlock_wait *wait)
{
    pthread_mutex_lock(&lock);
    *wait->link = wait->next;
    if (wait->next)
        wait->next->link = wait->link;
    pthread_mutex_unlock(&lock);
}

void coir_deadlock_check(struct coir_task *owner)
{
    struct coir_worker *worker = coir_current_worker();
    struct coir_task *caller =
        worker && coir_worker_is_running_task(worker) ? worker->fiber->task : COIR_NO_TASK;

    if (owner != caller)
        coir_misuse("coir_mutex_unlock", "the mutex is held by task '%s'", name_of(owner));
}
