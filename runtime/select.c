/*
 * select.c - waiting for the first of several things.
 *
 * With the locks of all sources, taken in the order of their addresses: if something
 * can happen at once, one such thing does, tried in a random order.  Else a node goes
 * into each list, and the locks are released.  A changer that takes one of the nodes decides
 * the choice; what is left of the others is then removed, lock by lock.
 *
 * Tasks and descriptors have no locks: when the waiting fiber is woken, it looks at
 * them, and decides for itself.  So does it when it is told to stop (NOBODY).
 *
 *   S1  The choice is decided once, by compare-and-swap: see W4 in waiters.h.
 *   S2  Before coir_select() returns, no node is in a list, no task has the fiber as its
 *       joiner, and no operation is in flight.
 *
 * After Go's selectgo().
 *
 * Checked by  tests/model/sync.cpp (this file), tests/api/test_select.c
 */
#include "select.h"

#include <errno.h>
#include <limits.h>

#include "coir/select.h"

#ifndef COIR_MODEL
#include "await.h"
#include "cancel.h"
#include "driver.h"
#include "enter.h"
#include "park.h"
#include "sys.h"
#include "worker.h"
#endif

enum kind { NEVER, PUT, GET, EVENT, FUTURE, TASK, DESCRIPTOR };

#define NOBODY INT32_MAX

/* Behind opaque_. */
struct entry {
    union {
        struct coir_waiter waiter; /* of a source */
        struct coir_op op;         /* of a descriptor */
    } as;
    bool begun;  /* the operation */
    int32_t nth; /* the case whose lock is the nth to be taken */
    int32_t turn; /* the case that is the nth to be tried */
};

_Static_assert(sizeof(struct entry) <= sizeof(((coir_select_case *)0)->opaque_), "fits");

static struct entry *entry_of(coir_select_case *which)
{
    return (struct entry *)which->opaque_;
}

static const struct coir_source *source_of(const coir_select_case *which)
{
    switch (which->kind_) {
    case PUT:
        return &coir_source_put;
    case GET:
        return &coir_source_get;
    case EVENT:
        return &coir_source_event;
    case FUTURE:
        return &coir_source_future;
    default:
        return NULL;
    }
}

/* Making cases. */

static coir_select_case make(enum kind kind, void *object, void *place)
{
    coir_select_case made = { .kind_ = kind, .object_ = object, .place_ = place };

    return made;
}

coir_select_case coir_select_put(coir_queue *queue, const void *item)
{
    return make(PUT, queue, (void *)(uintptr_t)item);
}

coir_select_case coir_select_get(coir_queue *queue, void *ret_item)
{
    return make(GET, queue, ret_item);
}

coir_select_case coir_select_event(coir_event *event)
{
    return make(EVENT, event, NULL);
}

coir_select_case coir_select_future(coir_future *future, void **ret_value)
{
    return make(FUTURE, future, ret_value);
}

coir_select_case coir_select_task(coir_task *task)
{
    return make(task ? TASK : NEVER, task, NULL);
}

coir_select_case coir_select_fd(int fd, short events)
{
    return make(DESCRIPTOR, (void *)(intptr_t)fd, (void *)(intptr_t)events);
}

static int fd_of(const coir_select_case *which)
{
    return (int)(intptr_t)which->object_;
}

static int events_of(const coir_select_case *which)
{
    return (unsigned short)(intptr_t)which->place_;
}

/* The locks. */

static struct coir_lock *nth_lock(coir_select_case *cases, size_t n)
{
    coir_select_case *which = &cases[entry_of(&cases[n])->nth];

    return source_of(which)->lock(which->object_);
}

/* Sort the cases that have locks by the locks' addresses.  Returns how many. */
static size_t sort(coir_select_case *cases, size_t n)
{
    size_t sorted = 0;

    for (size_t i = 0; i < n; i++)
        if (source_of(&cases[i]))
            entry_of(&cases[sorted++])->nth = (int32_t)i;
    for (size_t gap = sorted / 2; gap > 0; gap /= 2) {
        for (size_t i = gap; i < sorted; i++) {
            for (size_t j = i; j >= gap; j -= gap) {
                int32_t *a = &entry_of(&cases[j - gap])->nth, *b = &entry_of(&cases[j])->nth, c;
                if ((uintptr_t)nth_lock(cases, j - gap) <= (uintptr_t)nth_lock(cases, j))
                    break;
                c = *a;
                *a = *b;
                *b = c;
            }
        }
    }
    return sorted;
}

static void lock_all(coir_select_case *cases, size_t sorted)
{
    for (size_t i = 0; i < sorted; i++)
        if (i == 0 || nth_lock(cases, i) != nth_lock(cases, i - 1))
            coir_lock(nth_lock(cases, i));
}

static void unlock_all(coir_select_case *cases, size_t sorted)
{
    for (size_t i = 0; i < sorted; i++)
        if (i == 0 || nth_lock(cases, i) != nth_lock(cases, i - 1))
            coir_unlock(nth_lock(cases, i));
}

/* What can happen at once. */

static bool task_has_ended(coir_select_case *which)
{
    which->result = 0;
    return coir_task_done(which->object_);
}

static bool attempt(coir_select_case *which, struct coir_waiter **ret_woken)
{
    *ret_woken = NULL;
    switch (which->kind_) {
    case NEVER:
        return false;
    case TASK:
        return task_has_ended(which);
    case DESCRIPTOR:
        return which->result != 0; /* see look_at_descriptors() */
    default:
        return source_of(which)->attempt(which->object_, which->place_, &which->result,
                                         ret_woken);
    }
}

/* Before the locks: it is a system call. */
static void look_at_descriptors(coir_select_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (cases[i].kind_ == DESCRIPTOR)
            cases[i].result = fd_of(&cases[i]) < 0
                                  ? -EBADF
                                  : coir_sys_poll_now(fd_of(&cases[i]), events_of(&cases[i]));
}

/* Try them in a random order.  The case that happened; -1. */
static int attempt_any(coir_select_case *cases, size_t n, struct coir_fiber *fiber,
                       struct coir_waiter **ret_woken)
{
    for (size_t i = 0; i < n; i++)
        entry_of(&cases[i])->turn = (int32_t)i;
    for (size_t i = 0; i < n; i++) {
        int32_t *other = &entry_of(&cases[i + coir_random(fiber) % (n - i)])->turn, at = *other;

        *other = entry_of(&cases[i])->turn;
        if (attempt(&cases[at], ret_woken))
            return at;
    }
    return -1;
}

/* Waiting. */

static void enlist(coir_select_case *cases, size_t n, struct coir_fiber *fiber,
                   struct coir_choice *choice)
{
    for (size_t i = 0; i < n; i++) {
        const struct coir_source *source = source_of(&cases[i]);
        struct coir_waiter *waiter = &entry_of(&cases[i])->as.waiter;

        if (!source)
            continue;
        coir_waiter_init(waiter, fiber);
        waiter->choice = choice;
        waiter->number = (int32_t)i;
        waiter->place = cases[i].place_;
        coir_waiters_add(source->waiters(cases[i].object_), waiter);
    }
}

static void withdraw(coir_select_case *which)
{
    const struct coir_source *source = source_of(which);

    coir_lock(source->lock(which->object_));
    coir_waiters_remove(source->waiters(which->object_), &entry_of(which)->as.waiter);
    coir_unlock(source->lock(which->object_));
}

/* An error other than -ENOMEM has happened, then. */
static int begin_to_poll(coir_select_case *which, struct coir_fiber *fiber)
{
    struct entry *entry = entry_of(which);
    int rc = coir_poll_begin(&entry->as.op, fiber, fd_of(which), events_of(which));

    entry->begun = rc == 0;
    which->result = rc == -ENOMEM ? 0 : rc;
    return rc == -ENOMEM ? rc : 0;
}

/* Let what has no lock wake the fiber, too.  -ENOMEM. */
static int begin_others(coir_select_case *cases, size_t n, struct coir_fiber *fiber)
{
    int rc = 0;

    for (size_t i = 0; i < n; i++) {
        entry_of(&cases[i])->begun = false;
        if (cases[i].kind_ == TASK)
            coir_task_watch("coir_select", cases[i].object_, fiber);
        else if (cases[i].kind_ == DESCRIPTOR && rc == 0)
            rc = begin_to_poll(&cases[i], fiber);
    }
    return rc;
}

static void end_others(coir_select_case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (cases[i].kind_ == TASK)
            coir_task_unwatch(cases[i].object_);
        else if (cases[i].kind_ == DESCRIPTOR && entry_of(&cases[i])->begun)
            coir_poll_end(&entry_of(&cases[i])->as.op);
    }
}

static bool has_happened(coir_select_case *which, struct coir_fiber *fiber)
{
    struct entry *entry = entry_of(which);

    if (which->kind_ == TASK)
        return task_has_ended(which);
    if (which->kind_ != DESCRIPTOR)
        return false;
    if (entry->begun && coir_load_acquire(&entry->as.op.done)) { /* [D] */
        entry->begun = false;
        which->result = (int)coir_poll_end(&entry->as.op);
        if (which->result == -EINTR && begin_to_poll(which, fiber) < 0)
            which->result = -ENOMEM;
    }
    return which->result != 0;
}

/* Decide for one of those that have no lock.  False: it has been decided otherwise, or
   there is none. */
static bool decide_for_other(coir_select_case *cases, size_t n, struct coir_fiber *fiber,
                             struct coir_choice *choice)
{
    int32_t undecided = COIR_UNDECIDED;

    for (size_t i = 0; i < n; i++)
        if (has_happened(&cases[i], fiber))
            return coir_cas_relaxed(&choice->winner, &undecided, (int32_t)i);
    return false;
}

/* Until the choice is decided: the case, or the caller's reason. */
static int wait_for_any(coir_select_case *cases, size_t n, struct coir_fiber *fiber,
                        struct coir_choice *choice)
{
    int32_t winner, undecided = COIR_UNDECIDED;
    int rc = begin_others(cases, n, fiber);

    while (coir_load_relaxed(&choice->winner) == COIR_UNDECIDED &&
           !decide_for_other(cases, n, fiber, choice)) {
        if (rc == 0)
            rc = coir_cancel_prepare(fiber, "select", cases);
        if (rc == 0)
            coir_park(fiber, "select", cases);
        else if (coir_cas_relaxed(&choice->winner, &undecided, NOBODY))
            return rc;
        undecided = COIR_UNDECIDED;
    }
    winner = coir_load_relaxed(&choice->winner);
    if (source_of(&cases[winner])) {
        struct coir_waiter *waiter = &entry_of(&cases[winner])->as.waiter;
        coir_waiter_wait_always(waiter, "select", cases);
        cases[winner].result = source_of(&cases[winner])->result(waiter, cases[winner].place_);
    }
    return winner;
}

static int wait_in_lists(coir_select_case *cases, size_t n, struct coir_fiber *fiber,
                         struct coir_choice *choice)
{
    int which = wait_for_any(cases, n, fiber, choice);

    for (size_t i = 0; i < n; i++)
        if (source_of(&cases[i]) && (int)i != which)
            withdraw(&cases[i]);
    end_others(cases, n);
    return which < 0 ? coir_cancel_deliver(fiber, which) : which;
}

static int check_cases(const char *function, coir_select_case *cases, size_t n)
{
    int rc = -ENOENT;

    if (n > INT_MAX)
        return -EINVAL;
    for (size_t i = 0; i < n; i++) {
        if (cases[i].kind_ < NEVER || cases[i].kind_ > DESCRIPTOR)
            coir_misuse(function, "case %zu is none", i);
        if (cases[i].kind_ == TASK)
            coir_task_check_handle(function, cases[i].object_);
        if (cases[i].kind_ != NEVER)
            rc = 0;
    }
    return rc;
}

static int select_from(const char *function, struct coir_fiber *fiber, coir_select_case *cases,
                       size_t n, bool may_wait)
{
    struct coir_choice choice;
    struct coir_waiter *woken = NULL;
    size_t sorted;
    int which, rc = coir_cancel_pending(fiber);

    if (rc == 0)
        rc = check_cases(function, cases, n);
    if (rc < 0)
        return rc;
    if (may_wait)
        coir_enter_steps(fiber, 1);
    coir_store_relaxed(&choice.winner, COIR_UNDECIDED);
    look_at_descriptors(cases, n);
    sorted = sort(cases, n);
    lock_all(cases, sorted);
    which = attempt_any(cases, n, fiber, &woken);
    if (which < 0 && may_wait)
        enlist(cases, n, fiber, &choice);
    unlock_all(cases, sorted);
    coir_waiter_wake_from(coir_current_worker(), woken, true);
    if (which >= 0)
        return which;
    return may_wait ? wait_in_lists(cases, n, fiber, &choice) : -EAGAIN;
}

int coir_select(coir_select_case *cases, size_t n)
{
    return select_from("coir_select", coir_enter("coir_select"), cases, n, true);
}

int coir_try_select(coir_select_case *cases, size_t n)
{
    return select_from("coir_try_select", coir_enter("coir_try_select"), cases, n,
                       false);
}
