/*
 * autopsy.c - see autopsy.h.
 */
#include "autopsy.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "coir/error.h"
#include "mutex.h"
#include "sys.h"
#include "worker.h"

/* What a note may take of the stack of a task, and what libunwind may. */
#if defined(COIR_ASAN) || defined(COIR_TSAN)
#define ROOM ((size_t)24 * 1024)
#define ROOM_TO_UNWIND ((size_t)96 * 1024)
#else
#define ROOM ((size_t)4 * 1024)
#define ROOM_TO_UNWIND ((size_t)24 * 1024)
#endif

/* A task, as it was. */
struct person {
    char name[COIR_NAME_MAX + 1]; /* "": nobody */
    const void *created;
};

struct cause {
    enum coir_cause_kind kind;
    int error;
    struct person who;
    pid_t thread;
    const char *function;
    const void *site;
    int64_t when;
    const void *origin; /* with `when`: no two causes have both */
    struct person through; /* who passed it on */
    struct coir_backtrace backtrace;
};

struct coir_autopsy {
    struct coir_autopsy *older, *newer;
    coir_autopsy_place *place;
    struct coir_task *task; /* a group's: its owner */
    bool of_group;
    bool of_cancel; /* the cause is of the task's CANCELLED flag */
    struct person whose;
    int64_t noted;
    struct cause cause;
    int reason; /* 0: no wait has ended for it */
    const char *wait;
    const void *object;
    char object_task[COIR_NAME_MAX + 1]; /* which is it, or holds it; or "" */
    struct coir_backtrace backtrace;
};

/* What a wait is for. */

enum object_kind { ADDRESS, NOTHING, TASK, DESCRIPTOR };

static struct coir_task *mutex_holder(const void *object)
{
    struct coir_task *owner = coir_mutex_owner(object);

    return owner == COIR_NO_TASK ? NULL : owner;
}

/* By the second argument of coir_park().  What is not here is shown by its address; but
   what is called like a function of io/ waits for a descriptor.
   holder: the task that has the object, whose doing would end the wait, or NULL. */
static const struct wait_kind {
    const char *wait;
    enum object_kind object;
    struct coir_task *(*holder)(const void *object);
} wait_kinds[] = {
    { "sleep", NOTHING, NULL },
    { "await", TASK, NULL },
    { "mutex", ADDRESS, mutex_holder },
    { "coir_open", NOTHING, NULL },
    { "ready", DESCRIPTOR, NULL },
    { "close", DESCRIPTOR, NULL },
};

static const struct wait_kind by_address = { "", ADDRESS, NULL };
static const struct wait_kind on_descriptor = { "", DESCRIPTOR, NULL };

static const struct wait_kind *kind_of(const char *wait)
{
    for (size_t i = 0; i < sizeof wait_kinds / sizeof *wait_kinds; i++)
        if (strcmp(wait_kinds[i].wait, wait) == 0)
            return &wait_kinds[i];
    return strncmp(wait, "coir_", 5) == 0 ? &on_descriptor : &by_address;
}

/* The task that is awaited, or that holds what is waited for; "" if none is known.  The
   latter may be about to let go, and end: hence the lock, under which its name stays. */
static void name_object(char name[COIR_NAME_MAX + 1], const struct wait_kind *kind,
                        const void *object, struct coir_task_pool *pool)
{
    struct coir_task *holder = kind->holder ? kind->holder(object) : NULL;

    name[0] = '\0';
    if (kind->object == TASK)
        coir_task_copy_name((struct coir_task *)(uintptr_t)object, name);
    else if (holder && !(coir_task_pool_name(pool, holder, name) && kind->holder(object) == holder))
        name[0] = '\0';
}

static int describe(char *buf, size_t cap, const char *wait, const void *object, const char *name)
{
    const struct wait_kind *kind = kind_of(wait);

    if (kind->object == DESCRIPTOR)
        return snprintf(buf, cap, "%s on descriptor %d", wait, (int)(intptr_t)object);
    if (kind->object == NOTHING)
        return snprintf(buf, cap, "%s", wait);
    if (kind->object == TASK)
        return snprintf(buf, cap, "task '%s'", name);
    return snprintf(buf, cap, "%s %p%s%s%s", wait, object, *name ? ", held by task '" : "", name,
                    *name ? "'" : "");
}

void coir_wait_describe(char buf[COIR_WAIT_TEXT_MAX], const char *wait, const void *object,
                        struct coir_task_pool *pool)
{
    char name[COIR_NAME_MAX + 1];

    name_object(name, kind_of(wait), object, pool);
    describe(buf, COIR_WAIT_TEXT_MAX, wait, object, name);
}

/* The list.  The lock is held. */

void coir_autopsies_init(struct coir_autopsies *autopsies)
{
    pthread_mutex_init(&autopsies->lock, NULL);
    autopsies->most = 128;
    autopsies->per_spell = 64;
}

void coir_autopsies_be_thorough(struct coir_autopsies *autopsies)
{
    autopsies->thorough = true;
    autopsies->most = 1024;
    autopsies->per_spell = 1024;
}

static void take_out(struct coir_autopsies *autopsies, struct coir_autopsy *autopsy)
{
    *(autopsy->older ? &autopsy->older->newer : &autopsies->oldest) = autopsy->newer;
    *(autopsy->newer ? &autopsy->newer->older : &autopsies->newest) = autopsy->older;
    autopsies->count--;
}

static void add(struct coir_autopsies *autopsies, struct coir_autopsy *autopsy)
{
    autopsy->newer = NULL;
    autopsy->older = autopsies->newest;
    *(autopsies->newest ? &autopsies->newest->newer : &autopsies->oldest) = autopsy;
    autopsies->newest = autopsy;
    autopsies->count++;
}

static void take_from(struct coir_autopsies *autopsies, struct coir_autopsy *autopsy)
{
    take_out(autopsies, autopsy);
    coir_store_relaxed(autopsy->place, NULL);
}

/* One for this place: its own, the oldest, a new one, or NULL. */
static struct coir_autopsy *one_for(struct coir_autopsies *autopsies, coir_autopsy_place *place)
{
    struct coir_autopsy *autopsy = coir_load_relaxed(place);

    if (!autopsy && autopsies->count >= autopsies->most)
        autopsy = autopsies->oldest;
    if (autopsy)
        take_from(autopsies, autopsy);
    else
        autopsy = coir_sys_malloc(sizeof *autopsy);
    if (!autopsy)
        return NULL;
    autopsy->place = place;
    add(autopsies, autopsy);
    coir_store_relaxed(place, autopsy);
    return autopsy;
}

void coir_autopsies_destroy(struct coir_autopsies *autopsies)
{
    struct coir_autopsy *newer;

    for (struct coir_autopsy *autopsy = autopsies->oldest; autopsy; autopsy = newer) {
        newer = autopsy->newer;
        coir_sys_free(autopsy);
    }
    pthread_mutex_destroy(&autopsies->lock);
}

static void drop(struct coir_autopsies *autopsies, coir_autopsy_place *place)
{
    struct coir_autopsy *autopsy;

    pthread_mutex_lock(&autopsies->lock);
    autopsy = coir_load_relaxed(place);
    if (autopsy)
        take_from(autopsies, autopsy);
    pthread_mutex_unlock(&autopsies->lock);
    coir_sys_free(autopsy);
}

void coir_autopsy_drop(struct coir_task *task)
{
    drop(&coir_task_runtime(task)->autopsies, &task->autopsy);
}

void coir_autopsy_drop_group(coir_autopsy_place *place, struct coir_runtime *runtime)
{
    if (coir_load_relaxed(place))
        drop(&runtime->autopsies, place);
}

/* Whether to note. */

/* The fiber that runs on this thread, or NULL. */
static struct coir_fiber *running_fiber(struct coir_worker **ret_worker)
{
    *ret_worker = coir_current_worker();
    return *ret_worker && coir_worker_is_running_task(*ret_worker) ? (*ret_worker)->fiber : NULL;
}

/* Whether so much is left of the fiber's stack, if the program does not run on another
   that is its own. */
static bool has_room(const struct coir_fiber *fiber, size_t bytes)
{
    const char *here = __builtin_frame_address(0);

    return here < fiber->stack.top && here >= fiber->stack.low &&
           (size_t)(here - fiber->stack.low) >= bytes;
}

static bool may_note(struct coir_autopsies *autopsies, const struct coir_worker *worker)
{
    int64_t now = worker ? worker->tick_time : coir_sys_now();

    if (now - coir_load_relaxed(&autopsies->since) >= COIR_AUTOPSY_SPELL_NS) {
        coir_store_relaxed(&autopsies->since, now);
        coir_store_relaxed(&autopsies->left, autopsies->per_spell);
    }
    return coir_load_relaxed(&autopsies->left) > 0 && coir_sub_relaxed(&autopsies->left, 1) > 0;
}

bool coir_autopsy_is_wanted(struct coir_runtime *runtime)
{
    struct coir_autopsies *autopsies = &runtime->autopsies;
    struct coir_worker *worker;
    struct coir_fiber *fiber = running_fiber(&worker);

    return !(fiber && !has_room(fiber, ROOM)) && may_note(autopsies, worker);
}

/* Noting.  The lock is held. */

static void note_person(struct person *person, struct coir_task *task)
{
    person->name[0] = '\0';
    person->created = NULL;
    if (!task)
        return;
    coir_task_copy_name(task, person->name);
    person->created = task->site;
}

/* From the function whose frame it is outwards; the first is who called it. */
static void note_backtrace(struct coir_backtrace *backtrace, const void *frame, bool thorough)
{
    struct coir_worker *worker;
    struct coir_fiber *fiber = running_fiber(&worker);

    backtrace->count = 0;
    if (fiber && thorough && has_room(fiber, ROOM_TO_UNWIND))
        coir_backtrace_of_frame(backtrace, frame);
    if (backtrace->count == 0)
        coir_backtrace_by_pointers(backtrace, frame, fiber ? fiber->stack.top : NULL);
}

static void note_call(struct cause *cause, const struct coir_blame *blame, bool thorough)
{
    cause->thread = coir_sys_gettid();
    cause->site = coir_backtrace_return_address(blame->frame);
    note_person(&cause->who, coir_current_task());
    note_backtrace(&cause->backtrace, blame->frame, thorough);
}

static void note_cause(struct cause *cause, const struct coir_blame *blame, bool thorough)
{
    bool lasts = blame->kind == COIR_CAUSE_DEADLINE || blame->kind == COIR_CAUSE_END;

    cause->kind = blame->noted ? COIR_CAUSE_UNKNOWN : blame->kind;
    cause->error = blame->error;
    cause->function = blame->function;
    cause->site = blame->site;
    cause->origin = blame->noted ? (const void *)blame->noted : blame->origin;
    cause->when = lasts || blame->noted ? blame->when : coir_sys_now();
    cause->through.name[0] = '\0';
    cause->backtrace.count = 0;
    note_person(&cause->who, blame->task);
    if (cause->kind == COIR_CAUSE_CALL)
        note_call(cause, blame, thorough);
}

/* The cause that was noted when what is to blame was cancelled, or NULL. */
static struct cause *noted_cause(struct coir_autopsies *autopsies, const struct coir_blame *blame)
{
    struct coir_autopsy *autopsy = blame->noted ? coir_load_relaxed(blame->noted) : NULL;

    if (!autopsy || !autopsy->of_cancel)
        return NULL;
    take_out(autopsies, autopsy); /* as the newest it does not make room for what follows */
    add(autopsies, autopsy);
    return &autopsy->cause;
}

static bool is_known(const struct coir_autopsy *autopsy, const struct cause *noted,
                     const struct coir_blame *blame)
{
    const struct cause *cause = &autopsy->cause;
    const void *origin = blame->noted ? (const void *)blame->noted : blame->origin;

    if (noted)
        return cause->kind == noted->kind && cause->origin == noted->origin &&
               cause->when == noted->when;
    return cause->kind == (blame->noted ? COIR_CAUSE_UNKNOWN : blame->kind) &&
           cause->origin == origin && cause->when == blame->when;
}

static void begin_note(struct coir_autopsy *autopsy, struct coir_task *task, bool of_group)
{
    autopsy->task = task;
    autopsy->of_group = of_group;
    autopsy->noted = coir_sys_now();
    autopsy->reason = 0;
    autopsy->backtrace.count = 0;
    note_person(&autopsy->whose, task);
}

/* noted: what is known of the cause, and may be the autopsy's own. */
static void set_cause(struct coir_autopsy *autopsy, const struct cause *noted,
                      const struct coir_blame *blame, bool thorough)
{
    if (!noted)
        note_cause(&autopsy->cause, blame, thorough);
    else if (noted != &autopsy->cause)
        autopsy->cause = *noted;
    if (blame->at && blame->at != autopsy->task)
        note_person(&autopsy->cause.through, blame->at);
}

/* What is noted of a cancel stays until it has ended a wait.  A task may have found the
   cause by itself, before whoever waits for it passes it on: then it has been told. */
static void note_cancel(struct coir_autopsies *autopsies, coir_autopsy_place *place,
                        struct coir_task *task, bool of_group, const struct coir_blame *blame)
{
    struct coir_autopsy *autopsy = coir_load_relaxed(place);
    struct cause *noted = noted_cause(autopsies, blame);

    if (autopsy && autopsy->of_cancel)
        return;
    if (autopsy && autopsy->reason && is_known(autopsy, noted, blame)) {
        autopsy->of_cancel = true;
        return;
    }
    autopsy = one_for(autopsies, place);
    if (!autopsy)
        return;
    begin_note(autopsy, task, of_group);
    set_cause(autopsy, noted, blame, autopsies->thorough);
    autopsy->of_cancel = true;
}

static void note_object(struct coir_autopsy *autopsy)
{
    struct coir_task_pool *pool = &coir_task_runtime(autopsy->task)->tasks;

    pthread_mutex_lock(&pool->lock);
    name_object(autopsy->object_task, kind_of(autopsy->wait), autopsy->object, pool);
    pthread_mutex_unlock(&pool->lock);
}

/* wait: NULL if a call was refused. */
static void note_told(struct coir_autopsies *autopsies, struct coir_task *task, int reason,
                      const char *wait, const void *object, const struct coir_blame *blame)
{
    struct coir_autopsy *autopsy = coir_load_relaxed(&task->autopsy);
    struct cause *noted = noted_cause(autopsies, blame);
    bool own = autopsy && noted == &autopsy->cause;

    if (autopsy && autopsy->reason && is_known(autopsy, noted, blame))
        return; /* it was told before, and waits for something to end */
    if (!own)
        autopsy = one_for(autopsies, &task->autopsy);
    if (!autopsy)
        return;
    begin_note(autopsy, task, false);
    set_cause(autopsy, noted, blame, autopsies->thorough);
    autopsy->of_cancel = own;
    autopsy->reason = reason;
    autopsy->wait = wait;
    autopsy->object = object;
    if (wait)
        note_object(autopsy);
    note_backtrace(&autopsy->backtrace, blame->frame, autopsies->thorough);
}

/* For others to call. */

void coir_autopsy_cancels(struct coir_task *task, const struct coir_blame *blame)
{
    struct coir_runtime *runtime = coir_task_runtime(task);
    struct coir_autopsies *autopsies = &runtime->autopsies;

    if (!coir_autopsy_is_wanted(runtime))
        return;
    pthread_mutex_lock(&autopsies->lock);
    note_cancel(autopsies, &task->autopsy, task, false, blame);
    pthread_mutex_unlock(&autopsies->lock);
    coir_or_acq_rel(&task->shared, COIR_TASK_AUTOPSY);
}

void coir_autopsy_cancels_group(coir_autopsy_place *place, struct coir_task *owner,
                                const struct coir_blame *blame)
{
    struct coir_runtime *runtime = coir_task_runtime(owner);
    struct coir_autopsies *autopsies = &runtime->autopsies;

    if (!coir_autopsy_is_wanted(runtime))
        return;
    pthread_mutex_lock(&autopsies->lock);
    note_cancel(autopsies, place, owner, true, blame);
    pthread_mutex_unlock(&autopsies->lock);
}

static int reason_for(struct coir_task *task, const struct coir_blame *blame)
{
    return blame->kind == COIR_CAUSE_DEADLINE && !blame->noted && blame->at == task ? -ETIMEDOUT
                                                                                    : -ECANCELED;
}

void coir_autopsy_refuses(struct coir_fiber *fiber, const struct coir_blame *blame)
{
    struct coir_task *task = fiber->task;
    struct coir_autopsies *autopsies = &coir_task_runtime(task)->autopsies;

    pthread_mutex_lock(&autopsies->lock);
    note_told(autopsies, task, reason_for(task, blame), NULL, NULL, blame);
    pthread_mutex_unlock(&autopsies->lock);
    coir_or_acq_rel(&task->shared, COIR_TASK_AUTOPSY);
}

void coir_autopsy_ends_wait(struct coir_fiber *fiber, const char *wait, const void *object,
                            const struct coir_blame *blame)
{
    struct coir_task *task = fiber->task, *above = NULL;
    struct coir_autopsies *autopsies = &coir_task_runtime(task)->autopsies;

    pthread_mutex_lock(&autopsies->lock);
    for (; task; above = task, task = task == blame->at ? NULL : task->next) {
        if (above && (coir_load_relaxed(&above->shared) & COIR_TASK_MEMBER)) {
            wait = "group";
            object = above->group;
        } else if (above) {
            wait = "await";
            object = above;
        }
        note_told(autopsies, task, reason_for(task, blame), wait, object, blame);
        coir_or_acq_rel(&task->shared, COIR_TASK_AUTOPSY);
    }
    pthread_mutex_unlock(&autopsies->lock);
}

/* Writing. */

static void write_line(int fd, char *line, int n, int cap)
{
    if (n > cap - 2)
        n = cap - 2;
    line[n++] = '\n';
    coir_sys_write(fd, line, (size_t)n);
}

static int tell_caller(const struct cause *cause, const char *place, char *buf, size_t cap)
{
    if (cause->who.name[0])
        return snprintf(buf, cap, "by %s(), which task '%s' (created at %p) called at %s",
                        cause->function, cause->who.name, cause->who.created, place);
    return snprintf(buf, cap, "by %s(), called on thread %d, outside of tasks, at %s",
                    cause->function, (int)cause->thread, place);
}

static int tell_cause(const struct cause *cause, char *buf, size_t cap)
{
    char place[COIR_PLACE_TEXT_MAX] = "";

    if (cause->site)
        coir_backtrace_describe(place, cause->site);
    switch (cause->kind) {
    case COIR_CAUSE_CALL:
        return tell_caller(cause, place, buf, cap);
    case COIR_CAUSE_DEADLINE:
        return snprintf(buf, cap, "by the deadline of a timeout that task '%s' began at %s",
                        cause->who.name, place);
    case COIR_CAUSE_FAILURE:
        return snprintf(buf, cap, "by task '%s' (created at %p) of its group, which returned %s",
                        cause->who.name, cause->who.created, coir_err_name(cause->error));
    case COIR_CAUSE_SUCCESS:
        return snprintf(buf, cap, "by task '%s' (created at %p) of its race, which has won",
                        cause->who.name, cause->who.created);
    case COIR_CAUSE_INTERRUPT:
        return snprintf(buf, cap, "by SIGINT");
    case COIR_CAUSE_END:
        return snprintf(buf, cap, "by the end of the run");
    case COIR_CAUSE_MEMORY:
        return snprintf(buf, cap, "for want of memory");
    case COIR_CAUSE_UNKNOWN:
        break;
    }
    return snprintf(buf, cap, "by a cancel of which nothing was noted");
}

static bool is_same(const struct person *one, const struct person *other)
{
    return one->created == other->created && strcmp(one->name, other->name) == 0;
}

static void write_cause(const struct cause *cause, int fd)
{
    char line[512] = "    ";
    int n = 4 + tell_cause(cause, line + 4, sizeof line - 4);

    if (cause->through.name[0] && !is_same(&cause->through, &cause->who))
        n += snprintf(line + n, sizeof line - (size_t)n, ", passed on by task '%s'",
                      cause->through.name);
    write_line(fd, line, n, sizeof line);
}

static void write_title(const struct coir_autopsy *autopsy, int fd)
{
    double ago = (double)(coir_sys_now() - autopsy->noted) / 1e9;
    char line[320], wait[COIR_WAIT_TEXT_MAX];
    int n;

    if (autopsy->of_group)
        n = snprintf(line, sizeof line, "  a group of task '%s' was cancelled %.3f s ago",
                     autopsy->whose.name, ago);
    else
        n = snprintf(line, sizeof line, "  task '%s' (created at %p) was %s %.3f s ago",
                     autopsy->whose.name, autopsy->whose.created,
                     autopsy->reason ? "told to stop" : "cancelled", ago);
    if (autopsy->reason)
        n += snprintf(line + n, sizeof line - (size_t)n, " (%s), %s",
                      coir_err_name(autopsy->reason), autopsy->wait ? "waiting for " : "at a call");
    if (autopsy->reason && autopsy->wait) {
        describe(wait, sizeof wait, autopsy->wait, autopsy->object, autopsy->object_task);
        n += snprintf(line + n, sizeof line - (size_t)n, "%s", wait);
    }
    write_line(fd, line, n, sizeof line);
}

static void write_one(const struct coir_autopsy *autopsy, int fd)
{
    char line[128];

    write_title(autopsy, fd);
    write_cause(&autopsy->cause, fd);
    if (autopsy->reason && autopsy->backtrace.count) {
        write_line(fd, line,
                   snprintf(line, sizeof line, "    it %s in", autopsy->wait ? "waited" : "was"),
                   sizeof line);
        coir_backtrace_write(&autopsy->backtrace, fd);
    }
    if (autopsy->cause.backtrace.count) {
        write_line(fd, line,
                   snprintf(line, sizeof line, "    %s() was called in", autopsy->cause.function),
                   sizeof line);
        coir_backtrace_write(&autopsy->cause.backtrace, fd);
    }
}

/* A copy of all, so that nobody has to wait while they are written. */
static struct coir_autopsy *copy_all(struct coir_autopsies *autopsies, uint32_t *ret_count)
{
    struct coir_autopsy *copies = NULL, *next;
    uint32_t n = 0;

    pthread_mutex_lock(&autopsies->lock);
    if (autopsies->count)
        copies = coir_sys_calloc(autopsies->count, sizeof *copies);
    for (next = autopsies->oldest; copies && next; next = next->newer)
        copies[n++] = *next;
    pthread_mutex_unlock(&autopsies->lock);
    *ret_count = n;
    return copies;
}

static bool is_left(const struct coir_runtime *runtime, struct coir_task *task)
{
    return task != runtime->main_task && !(coir_load_relaxed(&task->shared) & COIR_TASK_DONE);
}

void coir_autopsies_write(struct coir_runtime *runtime, bool only_left, int fd)
{
    uint32_t count;
    struct coir_autopsy *copies = copy_all(&runtime->autopsies, &count);

    for (uint32_t i = 0; i < count; i++)
        if (!only_left || is_left(runtime, copies[i].task))
            write_one(&copies[i], fd);
    coir_sys_free(copies);
}
