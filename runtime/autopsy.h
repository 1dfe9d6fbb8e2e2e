/*
 * autopsy.h - what is kept of a task that was told to stop: who, and in which wait.
 *
 * A cancel is noted by whoever cancels, before the flag is set: who it is, and where
 * it was called.  The wait that it ends is noted by the task that waited, on its own
 * stack, before the call returns; so its backtrace is exact, and nobody looks at a
 * stack that is not its own.  What runs inline is on the stack of those that await it:
 * they are told with it, as far out as the reason comes from.
 *
 *     canceller                                 the task, woken
 *     note the cause; flag; unpark              a reason: which?  (cancel.c walks)
 *                                               note the wait, and the cause, if that
 *                                               was not noted by a canceller
 *
 * A task that does not wait at that moment is told by its next call, which is refused.
 * Then that call is noted: the first of each timeout, and of a cancel if nothing was
 * noted by a canceller.
 *
 * A note belongs to a task, or to an open group, whose field points to it, and goes
 * when that does.  All of them are read, written, and taken away under one lock.
 *
 * Cancelling a million tasks must neither take longer for it nor more memory.  In each
 * tenth of a second 64 notes are made, and beyond 128 the oldest makes room for the
 * next; with COIR_DEBUG=autopsy 1024.  Where memory is short, or the stack, nothing is
 * noted.
 *
 * The backtraces follow the frame pointers, on the task's own stack, which takes no
 * longer than the rest: they are right for this library, up to who called it, and from
 * there on for what was compiled with frame pointers.  With COIR_DEBUG=autopsy they are
 * libunwind's.
 */
#ifndef COIR_RUNTIME_AUTOPSY_H
#define COIR_RUNTIME_AUTOPSY_H

#include "backtrace.h"
#include "task.h"

enum coir_cause_kind {
    COIR_CAUSE_UNKNOWN,   /* nothing was noted */
    COIR_CAUSE_CALL,      /* `task`, or a thread, called `function` */
    COIR_CAUSE_DEADLINE,  /* of a scope that `task` began at `site` */
    COIR_CAUSE_FAILURE,   /* member `task` of a group returned `error` */
    COIR_CAUSE_SUCCESS,   /* member `task` won a race */
    COIR_CAUSE_INTERRUPT, /* SIGINT */
    COIR_CAUSE_END,       /* of the run */
    COIR_CAUSE_MEMORY,    /* there was none */
};

typedef COIR_ATOMIC(struct coir_autopsy *) coir_autopsy_place;

/* What whoever finds a reason says of it. */
struct coir_blame {
    enum coir_cause_kind kind;
    int error;
    struct coir_task *task;
    const char *function;
    const void *frame;    /* of the function; or of the one that found that a wait ends */
    const void *site;
    int64_t when;         /* the deadline */
    const void *origin;   /* the scope */
    coir_autopsy_place *noted; /* it is that which is noted there: the rest is not needed */
    struct coir_task *at; /* who has the reason, and passes it on if that is another */
};

/* For a public function by which somebody is cancelled: the caller of it. */
#define COIR_BLAME_CALLER(function_)                                                     \
    ((struct coir_blame){ .kind = COIR_CAUSE_CALL, .function = (function_),              \
                          .frame = __builtin_frame_address(0) })

/* Of a run. */
struct coir_autopsies {
    pthread_mutex_t lock;
    struct coir_autopsy *oldest, *newest;
    uint32_t count;
    uint32_t most;
    int32_t per_spell; /* of a tenth of a second */
    bool thorough;     /* backtraces are libunwind's */
    COIR_ATOMIC(int64_t) since; /* the spell began, */
    COIR_ATOMIC(int32_t) left;  /* in which so many may still be noted */
};

void coir_autopsies_init(struct coir_autopsies *autopsies);
void coir_autopsies_destroy(struct coir_autopsies *autopsies);

/* COIR_DEBUG=autopsy. */
void coir_autopsies_be_thorough(struct coir_autopsies *autopsies);

/* The task is about to be cancelled.  Any thread. */
void coir_autopsy_cancels(struct coir_task *task, const struct coir_blame *blame);

/* The same for a group.  place: of the group; owner: the task that opened it. */
void coir_autopsy_cancels_group(coir_autopsy_place *place, struct coir_task *owner,
                                const struct coir_blame *blame);

/* Whether nothing will be noted for now: to be looked at by a task that is told to stop,
   before it calls what touches more of its stack, which is cold. */
#define COIR_AUTOPSY_SPELL_NS 100000000
static inline bool coir_autopsies_spent(const struct coir_autopsies *autopsies, int64_t now)
{
    return coir_load_relaxed(&autopsies->left) <= 0 &&
           now - coir_load_relaxed(&autopsies->since) < COIR_AUTOPSY_SPELL_NS;
}

/* Whether there is room for a note, of which there is one less then. */
bool coir_autopsy_is_wanted(struct coir_runtime *runtime);

/* The running fiber's wait, as coir_park() was told of it, ends for a reason.  If it is
   wanted. */
void coir_autopsy_ends_wait(struct coir_fiber *fiber, const char *wait, const void *object,
                            const struct coir_blame *blame);

/* The same for a call of it that is refused. */
void coir_autopsy_refuses(struct coir_fiber *fiber, const struct coir_blame *blame);

/* What it belongs to goes.  Of a group only if something was noted. */
void coir_autopsy_drop(struct coir_task *task);
void coir_autopsy_drop_group(coir_autopsy_place *place, struct coir_runtime *runtime);

/* Write what is noted of a run.  only_left: not of tasks that have ended. */
void coir_autopsies_write(struct coir_runtime *runtime, bool only_left, int fd);

/* What a wait is for, in words: "sleep", "coir_read on descriptor 5".  What it waits for
   must be there meanwhile.  pool: of the task that waits; locked. */
#define COIR_WAIT_TEXT_MAX 128
void coir_wait_describe(char buf[COIR_WAIT_TEXT_MAX], const char *wait, const void *object,
                        struct coir_task_pool *pool);

#endif
