/*
 * coir/task.h - tasks: create, await, cancel, gather, group, shield.
 *
 * A task is a function that runs concurrently with the code that created it.
 * Many tasks share a few threads.  A task may go on on another thread whenever
 * it suspends, and at no other time.
 *
 * Three rules cover this file:
 *
 *   1. Whoever creates a task owns it, and gives it up exactly once: to
 *      coir_await(), to coir_detach(), or by having created it in a group.
 *      Tasks given up by nobody are cancelled and reaped when the main task
 *      has returned.
 *   2. A task function returns >= 0 for success and -errno for failure.
 *      Results travel through its argument, which belongs to the creator.
 *   3. Cancellation is an error code.  From the moment a task is cancelled,
 *      every call marked "Suspends" returns -ECANCELED at once, until the task
 *      returns.  Nothing unwinds its stack behind its back.  A call that was
 *      already waiting and has its result returns that result: nothing is
 *      lost.  Calls that wait for other tasks - coir_await(), coir_gather(),
 *      coir_group_wait() - pass the cancel on to them, and go on waiting.
 *
 * What a call that waits for other tasks returns to a caller that is itself
 * cancelled or late: a task's own value, unless that is -ECANCELED, in which
 * case the caller's own reason, -ECANCELED or -ETIMEDOUT.  A cancel wins over a
 * deadline.
 *
 * Order.  With one worker tasks start, and go on after waiting, in the order
 * in which they became ready, as in asyncio.  One difference: awaiting a task
 * that has not started runs it at once, ahead of older ones, and so do
 * coir_gather() and coir_group_wait().
 */
#ifndef COIR_TASK_H
#define COIR_TASK_H

#include <stdbool.h>
#include <stddef.h>

#include "coir/defs.h"
#include "coir/time.h"

COIR_BEGIN_DECLS

/* A task, seen from outside.  Opaque; the runtime owns the memory. */
typedef struct coir_task coir_task;

/* What a task runs: >= 0 is success, negative is -errno. */
typedef int coir_fn(void *arg);

/*
 * Start fn(arg) as a new task.  (asyncio.create_task)
 *
 * The new task is ready at once: another worker may run it, or even finish it,
 * before this call returns.
 *
 * arg       Borrowed until the task ends.  A local variable will do, as long
 *           as the task is awaited before the variable goes out of scope.  To
 *           hand over a copy, use coir_create_task_copy().
 *
 * Tasks only.
 *
 * Returns   a handle the caller owns, or NULL when memory is exhausted.  The
 *           check may be left to coir_await(), which returns -ENOMEM for NULL.
 * Suspends  never.
 */
COIR_API COIR_MUST_USE coir_task *coir_create_task(coir_fn *fn, void *arg);

/*
 * The same, with a copy of the `size` bytes at `arg`, which lives as long as
 * the task.  Pointers inside it are only borrowed; results written into it are
 * lost with it.  Up to COIR_ARG_INLINE bytes need no memory of their own.
 */
#define COIR_ARG_INLINE 48
COIR_API COIR_MUST_USE coir_task *coir_create_task_copy(coir_fn *fn, const void *arg,
                                                        size_t size);

/* How to create a task.  Every field's zero is its default. */
typedef struct coir_task_options {
    const char *name;   /* copied, at most COIR_NAME_MAX characters */
    size_t stack_bytes; /* default: the run's; rounded up */
    int pinned;         /* 1: the task never leaves the creator's worker */
    size_t arg_size;    /* > 0: copy so many bytes at arg */
} coir_task_options;

#define COIR_NAME_MAX 31

/* coir_create_task() with options.  options is borrowed until the call
   returns; NULL is all defaults. */
COIR_API COIR_MUST_USE coir_task *coir_create_task_with(const coir_task_options *options,
                                                        coir_fn *fn, void *arg);

/*
 * Wait for a task to end, release it, and return what its function returned.
 *
 * The handle is dead after this call, whatever the outcome.  A task is awaited
 * once; a second await, an await of oneself or of a group's member aborts.
 *
 * If the caller is cancelled or late, the task is cancelled, and still waited
 * for: no task ever uses an argument that has gone out of scope.
 *
 * Everything the task wrote happens before coir_await() returns.
 *
 * Tasks only.
 *
 * Returns   the task's value (see above for a cancelled caller); -ENOMEM if
 *           task is NULL.
 * Suspends  unless the task has ended.
 */
COIR_API int coir_await(coir_task *task);

/* coir_await() inside a timeout scope of its own: -ETIMEDOUT if the task had to
   be cancelled for the deadline's sake.  Consumes the handle too.
   (asyncio.wait_for) */
COIR_API int coir_wait_for(coir_task *task, coir_duration duration);

/* coir_cancel(), then coir_await(): the way to end a task on an error path. */
COIR_API int coir_cancel_await(coir_task *task);

/*
 * Ask a task to end: from now on its suspending calls return -ECANCELED.
 *
 * Only a request; it does not wait.  A task that has not started still runs,
 * and is told by its first suspending call, so that its argument is never
 * leaked.  NULL, or a task that has ended: nothing happens.
 *
 * Any thread that holds the handle.
 *
 * Suspends  never.
 */
COIR_API void coir_cancel(coir_task *task);

/*
 * Give a task up without waiting for it.  The handle is dead after this call.
 *
 * Aborts if the task's argument lies on the caller's stack.  NULL: nothing.
 *
 * Any thread that holds the handle.
 *
 * Suspends  never.
 */
COIR_API void coir_detach(coir_task *task);

/*
 * Whether a task has ended.  Any thread that holds the handle.
 *
 * Returns   true also for NULL.
 * Suspends  never.
 */
COIR_API bool coir_task_done(const coir_task *task);

/*
 * A task's name: the one it was created with, or "Task-" and a number.
 *
 * Any thread that holds the handle.
 *
 * Returns   a string that lives as long as the handle; "none" for NULL.
 * Suspends  never.
 */
COIR_API const char *coir_task_name(const coir_task *task);

/*
 * The calling task.  (asyncio.current_task)  Any thread.
 *
 * Returns   borrowed; NULL outside a task.
 * Suspends  never.
 */
COIR_API coir_task *coir_current_task(void);

/*
 * Let every other ready task run first, once.  (asyncio.sleep(0))  Tasks only.
 *
 * Returns   0; -ECANCELED or -ETIMEDOUT if the caller is cancelled or late.
 * Suspends  always, unless it fails or nobody else is ready.
 */
COIR_API int coir_yield(void);

/*
 * Whether the caller should go on: for long loops that never suspend.
 *
 * Tasks, and calls made by coir_to_thread().
 *
 * Returns   0; -ECANCELED or -ETIMEDOUT if a suspending call would be refused
 *           for it.  Inside a shield: 0 for what the shield holds back.
 * Suspends  never.
 */
COIR_API int coir_check(void);

/* One of several calls to make at once. */
typedef struct coir_call {
    coir_fn *fn;
    void *arg;
    int value; /* out: what fn returned */
} coir_call;

#ifdef __cplusplus
#define COIR_CALL(fn_, arg_) (coir_call{(fn_), (arg_), 0})
#else
#define COIR_CALL(fn_, arg_) ((coir_call){ (fn_), (arg_), 0 })
#endif

/*
 * Make n calls at once, each in a task, and wait until every one has ended.
 * (asyncio.gather)
 *
 *     struct fetch a = { .url = here }, b = { .url = there };
 *     int rc = coir_gather(COIR_CALL(fetch, &a), COIR_CALL(fetch, &b));
 *
 * The first call to fail cancels the others.  Unlike asyncio.gather() this
 * does not return before they have ended, so that arguments may be local.
 * Every call is made, also if the caller is cancelled already.
 *
 * coir_gather() takes the calls as its arguments; coir_gather_array() takes
 * them in an array and leaves each call's own value in calls[i].value.
 *
 * calls     Borrowed until the call returns.
 *
 * Tasks only.
 *
 * Returns   0 if every call returned >= 0, or the error that came first in
 *           time, never an -ECANCELED that it caused in the others; -ENOMEM if
 *           a task could not be created (the calls made before are cancelled
 *           and waited for; calls not made have the value -ENOMEM).
 * Suspends  unless n is 0.
 */
COIR_API int coir_gather_array(coir_call *calls, size_t n);

/* The same, but a failure cancels nobody (return_exceptions=True): 0, or the
   caller's own reason if a call was cut short by it, or -ENOMEM as above. */
COIR_API int coir_gather_all(coir_call *calls, size_t n);

#ifdef __cplusplus
COIR_END_DECLS
template <typename... Calls> static inline int coir_gather(Calls... call)
{
    coir_call calls[] = { call... };
    return coir_gather_array(calls, sizeof...(call));
}
COIR_BEGIN_DECLS
#else
#define coir_gather(...)                                                     \
    coir_gather_array((coir_call[]){ __VA_ARGS__ },                          \
                      sizeof((coir_call[]){ __VA_ARGS__ }) / sizeof(coir_call))
#endif

/*
 * Make n calls at once; the first to return >= 0 cancels the others.  Returns when
 * all have ended.
 *
 * calls     Borrowed until the call returns; each own value is in calls[i].value.  A
 *           loser may have succeeded too: look there if it made something.
 *
 * Tasks only.
 *
 * Returns   the index of the call that won, also if the caller was told to stop
 *           meanwhile; if none succeeded, the error of a call's own that came last in
 *           time; -ECANCELED or -ETIMEDOUT if there is none, as the caller was told to
 *           stop; -EINVAL if n is 0; -ENOMEM.
 * Suspends  unless n is 0.
 */
COIR_API int coir_race(coir_call *calls, size_t n);

/*
 * Wait until one of the tasks has ended.  (asyncio.wait, FIRST_COMPLETED)
 *
 *     while ((i = coir_wait_any(tasks, n)) >= 0) {        asyncio.as_completed
 *         use(coir_await(tasks[i]));
 *         tasks[i] = NULL;
 *     }
 *
 * tasks     Handles stay the caller's; NULL entries are skipped.  Nobody else may wait
 *           for one of them meanwhile: that aborts.
 *
 * Tasks only.
 *
 * Returns   the index of the one that ended first; -ENOENT if all entries are NULL;
 *           -ECANCELED or -ETIMEDOUT if the caller was told to stop: none of the
 *           tasks is cancelled by that; -ENOMEM; -EINVAL for more than INT_MAX.
 * Suspends  unless one has ended already.
 */
COIR_API int coir_wait_any(coir_task **tasks, size_t n);

/*
 * A task group: a gather whose calls are not known in advance.
 * (asyncio.TaskGroup)
 *
 *     coir_group clients;
 *     coir_group_init(&clients);
 *     int fd;
 *     while ((fd = coir_accept(listener)) >= 0)
 *         if (coir_group_create_task_copy(&clients, serve, &fd, sizeof fd) < 0)
 *             coir_close(fd);
 *     return coir_group_wait(&clients);
 *
 * A group lives in the frame of the task that called coir_group_init(), its
 * owner, and the owner must reach coir_group_wait() on every path; a function
 * that returns with a group still open aborts the program.
 *
 * Members are released as they end; they have no handle.  The first to fail
 * cancels the group.  A member that returns -ECANCELED unasked has failed.
 *
 * A group includes its owner: once it is cancelled, the owner's suspending
 * calls between init and wait (the coir_accept() above) return -ECANCELED too.
 * coir_group_wait() absorbs that; return its value, not the refused call's.
 */
typedef struct coir_group {
    void *opaque_[28];
} coir_group;

/* Every zero is a default. */
typedef struct coir_group_options {
    bool keep_going; /* a member's failure cancels nobody; coir_group_wait() still
                        returns the first */
    unsigned limit;  /* how many members there may be at a time: creating one more
                        waits until one has ended; 0: no limit */
} coir_group_options;

/*
 * Open a group in the caller's frame.  Tasks only.
 *
 * Suspends  never.
 */
COIR_API void coir_group_init(coir_group *group);

/* The same.  options: borrowed during the call. */
COIR_API void coir_group_init_with(coir_group *group, const coir_group_options *options);

/*
 * Start fn(arg) as a member of the group.
 *
 * The owner, the members, and whoever they let do it, on any thread, while the group
 * is open.  On a thread of the program's options may not ask for `pinned`.
 *
 * Returns   0; -ENOMEM; -ECANCELED if the group has been cancelled.  Of a group with
 *           a limit also -ECANCELED or -ETIMEDOUT if the caller was told to stop
 *           waiting, and -EAGAIN on a thread of the program's, which cannot wait.
 *           After an error fn does not run and the argument is still the caller's.
 * Suspends  if the group has a limit and is full.
 */
COIR_API int coir_group_create_task(coir_group *group, coir_fn *fn, void *arg);
COIR_API int coir_group_create_task_copy(coir_group *group, coir_fn *fn, const void *arg,
                                         size_t size);
COIR_API int coir_group_create_task_with(coir_group *group, const coir_task_options *options,
                                         coir_fn *fn, void *arg);

/*
 * Cancel every member, now and to come, and the owner up to coir_group_wait().
 * Does not wait.  A second time: nothing happens.
 *
 * Any thread, while the group is open.
 *
 * Suspends  never.
 */
COIR_API void coir_group_cancel(coir_group *group);

/*
 * Wait until every member has ended, those created meanwhile included, and
 * close the group.
 *
 * The owner only.  If the owner is cancelled or late, so is the group.
 *
 * Returns   0 if no member failed, also if the group was only cancelled; else
 *           the error that came first in time.  A caller that was itself
 *           cancelled or late gets its own reason, if a member, or a call of
 *           its own since coir_group_init(), was refused for it.
 * Suspends  unless the group is empty.
 */
COIR_API int coir_group_wait(coir_group *group);

/* coir_group_cancel() and coir_group_wait(). */
COIR_API int coir_group_cancel_wait(coir_group *group);

/*
 * A shield: cancels and deadlines from outside are held back between begin and
 * end, for clean-up that must suspend.  Scopes begun inside work as ever; open
 * a timeout inside so that the clean-up ends.  (asyncio.shield, for a block)
 *
 *     coir_shield_begin(&shield);
 *     coir_timeout_begin(&limit, COIR_SECONDS(1));
 *     say_goodbye(fd);
 *     coir_timeout_end(&limit);
 *     coir_shield_end(&shield);
 *
 * Tasks only; begin and end in one function, innermost scope first.
 *
 * Suspends  never.
 */
typedef struct coir_shield {
    void *opaque_[8];
} coir_shield;

COIR_API void coir_shield_begin(coir_shield *shield);

/* A shield that holds for so long, and then lets through what it held back. */
COIR_API void coir_shield_begin_for(coir_shield *shield, coir_duration duration);
COIR_API void coir_shield_end(coir_shield *shield);

/*
 * Task-locals: values that belong to a task, under keys that belong to the program.
 * (contextvars)  Every key chooses what a task has under it when it begins: nothing,
 * what its creator has at that moment, or a copy of that.  What is not created by a
 * task, but submitted, or made a member by a thread, begins with nothing.
 *
 *     static coir_local request_id;
 *     coir_local_create(&request_id, &(coir_local_options){ .inherit = true });
 */
typedef unsigned coir_local;

#define COIR_LOCAL_MAX 64 /* keys of a program */

/* Every zero is a default. */
typedef struct coir_local_options {
    bool inherit;                /* a task begins with its creator's pointer */
    void *(*copy)(void *value);  /* ... or with what this makes of it; called by the
                                    creator, while it creates */
    void (*destroy)(void *value); /* for what copy made, when the task ends; must not
                                     suspend, and copy neither */
} coir_local_options;

/*
 * Make a key.  Any thread, once for each key; keys are never given back.
 *
 * options   NULL: nothing is inherited.
 *
 * Returns   0; -ENOSPC after COIR_LOCAL_MAX keys.
 * Suspends  never.
 */
COIR_API int coir_local_create(coir_local *ret_key, const coir_local_options *options);

/*
 * Give the calling task a value under a key; the value remains the program's.
 *
 * Tasks only.
 *
 * Returns   0; -EINVAL if there is no such key; -ENOMEM.
 * Suspends  never.
 */
COIR_API int coir_local_set(coir_local key, void *value);

/*
 * The calling task's value.  Tasks only.
 *
 * Returns   what was set or inherited; NULL if nothing was.
 * Suspends  never.
 */
COIR_API void *coir_local_get(coir_local key);

/*
 * COIR_TASK_TYPE(fetch, struct fetch) declares `static int fetch(struct fetch
 * *)` and makes wrappers around it whose argument the compiler checks:
 *
 *     coir_task *fetch_task(struct fetch *);         coir_create_task
 *     coir_task *fetch_copy(const struct fetch *);   coir_create_task_copy
 *     coir_call  fetch_call(struct fetch *);         for coir_gather
 *     int fetch_group(coir_group *, struct fetch *); coir_group_create_task
 */
#define COIR_TASK_TYPE(name, type)                                                     \
    static int name(type *);                                                           \
    static int name##_entry_(void *arg)                                                \
    {                                                                                  \
        return name((type *)arg);                                                      \
    }                                                                                  \
    COIR_MAYBE_UNUSED static inline coir_task *name##_task(type *arg)                  \
    {                                                                                  \
        return coir_create_task(name##_entry_, arg);                                   \
    }                                                                                  \
    COIR_MAYBE_UNUSED static inline coir_task *name##_copy(const type *arg)            \
    {                                                                                  \
        return coir_create_task_copy(name##_entry_, arg, sizeof *arg);                 \
    }                                                                                  \
    COIR_MAYBE_UNUSED static inline coir_call name##_call(type *arg)                   \
    {                                                                                  \
        coir_call call = { name##_entry_, arg, 0 };                                    \
        return call;                                                                   \
    }                                                                                  \
    COIR_MAYBE_UNUSED static inline int name##_group(coir_group *group, type *arg)     \
    {                                                                                  \
        return coir_group_create_task(group, name##_entry_, arg);                      \
    }                                                                                  \
    struct coir_semicolon_

/*
 * GNU C and C++: call fn(&variable) when the variable's scope is left, however that
 * happens.
 *
 *     COIR_CLEANUP(close_it) int fd = coir_accept(listener);
 */
#define COIR_CLEANUP(fn) __attribute__((cleanup(fn)))

COIR_END_DECLS

#endif
