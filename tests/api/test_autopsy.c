/*
 * What coir_dump() tells of tasks that were told to stop: who did it, and in which wait.
 */
#include <pthread.h>
#include <string.h>

#include "api/forked.h"

LOAD_BACKTRACES_FIRST;

/* Dumps are as long as there are tasks. */
static char *read_dump(void)
{
    static char text[1 << 20];
    FILE *file = tmpfile();
    cr_assert_not_null(file);
    coir_dump(fileno(file));
    rewind(file);
    size_t n = fread(text, 1, sizeof text - 1, file);
    text[n] = '\0';
    fclose(file);
    return text;
}

/* The two lines that a dump has of a task that was told to stop; "" if none. */
static const char *told(const char *dump, const char *name)
{
    static char lines[1024];
    char begin[64];
    int found = 0;
    lines[0] = '\0';
    for (const char *at = dump; at && *at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL) {
        const char *end = strchr(at, '\n');
        snprintf(begin, sizeof begin, "  task '%s' (created", name);
        if (found || (strncmp(at, begin, strlen(begin)) == 0 && strstr(at, " s ago") &&
                      strstr(at, " s ago") < end)) {
            size_t len = strlen(lines);
            snprintf(lines + len, sizeof lines - len, "%.*s\n", (int)(end - at), at);
            if (++found == 2)
                break;
        }
    }
    return lines;
}

static void assert_told(const char *name, const char *words)
{
    char *dump = read_dump();
    cr_assert_not_null(strstr(told(dump, name), words), "not told '%s' '%s':\n%s", name, words,
                       dump);
}

static bool waits(const char *name)
{
    char begin[64];
    snprintf(begin, sizeof begin, "  task '%s' (", name);
    char *line = strstr(read_dump(), begin), *end = line ? strchr(line, '\n') : NULL;
    return end && memmem(line, (size_t)(end - line), ": waiting", 9);
}

/* Until the task is parked: a cancel then ends its wait. */
static void let_it_wait(const char *name)
{
    while (!waits(name))
        cr_assert_eq(coir_yield(), 0);
}

/* A task that waits until it is told to stop, and then where nobody can tell it. */
struct patient {
    coir_fn *wait;
    void *arg;
    atomic_int *told;
    coir_future *go_on;
};

static int be_patient(void *arg)
{
    struct patient *patient = arg;
    int rc = patient->wait(patient->arg);
    coir_shield shield;
    coir_shield_begin(&shield);
    atomic_fetch_add(patient->told, 1);
    cr_assert_eq(coir_future_await(patient->go_on, NULL), 0);
    coir_shield_end(&shield);
    return rc;
}

static coir_task *create_named(const char *name, coir_fn *fn, void *arg)
{
    coir_task_options options = { .name = name };
    return coir_create_task_with(&options, fn, arg);
}

/* What a test needs to look at a patient. */
struct ward {
    atomic_int told;
    coir_future go_on;
    struct patient patient;
};

static void open_ward(struct ward *ward, coir_fn *wait, void *arg)
{
    atomic_init(&ward->told, 0);
    coir_future_init(&ward->go_on);
    ward->patient = (struct patient){ wait, arg, &ward->told, &ward->go_on };
}

static void let_go_on(struct ward *ward)
{
    cr_assert_eq(coir_future_set(&ward->go_on, NULL), 0);
}

/* ------------------------------------------------------------- who ---- */

static int cancel_it(void *task)
{
    coir_cancel(task);
    return 0;
}

RunTest(autopsy, names_the_task_that_cancelled)
{
    struct ward ward;
    open_ward(&ward, sleep_forever, NULL);
    coir_task *task = create_named("patient", be_patient, &ward.patient);
    let_it_wait("patient");
    cr_assert_eq(coir_await(create_named("culprit", cancel_it, task)), 0);
    yield_until(&ward.told, 1);
    assert_told("patient", " was told to stop ");
    assert_told("patient", " (ECANCELED), waiting for sleep\n");
    assert_told("patient", "    by coir_cancel(), which task 'culprit' (created at 0x");
    let_go_on(&ward);
    cr_assert_eq(coir_await(task), -ECANCELED);
    return 0;
}

static void *cancel_on_a_thread(void *task)
{
    coir_cancel(task);
    return NULL;
}

RunTest(autopsy, tells_of_a_cancel_by_a_thread_outside)
{
    struct ward ward;
    pthread_t thread;
    open_ward(&ward, sleep_forever, NULL);
    coir_task *task = create_named("patient", be_patient, &ward.patient);
    let_it_wait("patient");
    cr_assert_eq(pthread_create(&thread, NULL, cancel_on_a_thread, task), 0);
    pthread_join(thread, NULL);
    yield_until(&ward.told, 1);
    assert_told("patient", "    by coir_cancel(), called on thread ");
    assert_told("patient", ", outside of tasks, at 0x");
    let_go_on(&ward);
    cr_assert_eq(coir_await(task), -ECANCELED);
    return 0;
}

static int wait_under_a_deadline(void *arg)
{
    struct patient *patient = arg;
    coir_timeout limit;
    coir_timeout_begin(&limit, COIR_MILLISECONDS(1));
    int rc = be_patient(patient);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    return rc;
}

RunTest(autopsy, tells_of_a_deadline_and_who_began_the_timeout)
{
    struct ward ward;
    open_ward(&ward, sleep_forever, NULL);
    coir_task *task = create_named("patient", wait_under_a_deadline, &ward.patient);
    yield_until(&ward.told, 1);
    assert_told("patient", " (ETIMEDOUT), ");
    assert_told("patient", "    by the deadline of a timeout that task 'patient' began at 0x");
    let_go_on(&ward);
    cr_assert_eq(coir_await(task), -ETIMEDOUT);
    return 0;
}

static int fail_when_told_to(void *go)
{
    cr_assert_eq(coir_future_await(go, NULL), 0);
    return -ECONNREFUSED;
}

struct team {
    struct ward *ward;
    coir_future fail;
};

static int lead_a_team(void *arg)
{
    struct team *team = arg;
    coir_group group;
    coir_task_options failer = { .name = "failer" }, patient = { .name = "patient" };
    coir_group_init(&group);
    cr_assert_eq(coir_group_create_task_with(&group, &patient, be_patient, &team->ward->patient),
                 0);
    cr_assert_eq(coir_group_create_task_with(&group, &failer, fail_when_told_to, &team->fail), 0);
    return coir_group_wait(&group);
}

RunTest(autopsy, names_the_member_that_failed_to_the_others_and_to_the_owner)
{
    struct ward ward;
    struct team team = { .ward = &ward };
    open_ward(&ward, sleep_forever, NULL);
    coir_future_init(&team.fail);
    coir_task *task = create_named("leader", lead_a_team, &team);
    let_it_wait("patient");
    cr_assert_eq(coir_future_set(&team.fail, NULL), 0);
    yield_until(&ward.told, 1);
    assert_told("patient", " (ECANCELED), waiting for sleep\n");
    assert_told("patient", "    by task 'failer' (created at 0x");
    assert_told("patient", " of its group, which returned ECONNREFUSED\n");
    const char *group = strstr(read_dump(), "  a group of task 'leader' was cancelled ");
    cr_assert_not_null(group, "%s", read_dump());
    const char *cause = strchr(group, '\n') + 1;
    cr_assert_eq(strncmp(cause, "    by task 'failer' ", 21), 0, "%s", group);
    let_go_on(&ward);
    cr_assert_eq(coir_await(task), -ECONNREFUSED);
    cr_assert_null(strstr(read_dump(), "a group of task"), "it is closed");
    return 0;
}

static int cancel_own_group(void *arg)
{
    struct ward *ward = arg;
    coir_group group;
    coir_task_options patient = { .name = "patient" };
    coir_group_init(&group);
    cr_assert_eq(coir_group_create_task_with(&group, &patient, be_patient, &ward->patient), 0);
    let_it_wait("patient");
    coir_group_cancel(&group);
    return coir_group_wait(&group);
}

RunTest(autopsy, names_who_cancelled_the_group)
{
    struct ward ward;
    open_ward(&ward, sleep_forever, NULL);
    coir_task *task = create_named("leader", cancel_own_group, &ward);
    yield_until(&ward.told, 1);
    assert_told("patient", " (ECANCELED), waiting for sleep\n");
    assert_told("patient", "    by coir_group_cancel(), which task 'leader' (created at 0x");
    let_go_on(&ward);
    cr_assert_eq(coir_await(task), 0);
    return 0;
}

static int win_when_told_to(void *go)
{
    return coir_future_await(go, NULL);
}

struct race {
    struct ward *ward;
    coir_future win;
};

static int hold_a_race(void *arg)
{
    struct race *race = arg;
    coir_call calls[] = { COIR_CALL(be_patient, &race->ward->patient),
                          COIR_CALL(win_when_told_to, &race->win) };
    return coir_race(calls, 2);
}

RunTest(autopsy, tells_the_losers_that_another_has_won)
{
    struct ward ward;
    struct race race = { .ward = &ward };
    open_ward(&ward, sleep_forever, NULL);
    coir_future_init(&race.win);
    coir_task *task = create_named("referee", hold_a_race, &race);
    cr_assert_eq(coir_future_set(&race.win, NULL), 0);
    yield_until(&ward.told, 1);
    char *dump = read_dump();
    cr_assert_not_null(strstr(dump, " of its race, which has won\n"), "%s", dump);
    let_go_on(&ward);
    cr_assert_eq(coir_await(task), 1);
    return 0;
}

/* ------------------------------------------------- through others ----- */

static int await_a_child(void *arg)
{
    return coir_await(create_named("child", be_patient, arg));
}

static int await_under_a_deadline(void *arg)
{
    coir_timeout limit;
    coir_timeout_begin(&limit, COIR_MILLISECONDS(1));
    int rc = await_a_child(arg);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    return rc;
}

/* Whether the child runs on its parent's stack or elsewhere; it may begin after the
   deadline, when its parent has passed it on: then it has been cancelled, and no wait of
   it has ended. */
RunTest(autopsy, tells_a_child_of_its_parents_deadline)
{
    struct ward ward;
    open_ward(&ward, sleep_forever, NULL);
    coir_task *task = create_named("parent", await_under_a_deadline, &ward.patient);
    yield_until(&ward.told, 1);
    assert_told("child", "    by the deadline of a timeout that task 'parent' began at 0x");
    let_go_on(&ward);
    while (!coir_task_done(task))
        cr_assert_eq(coir_yield(), 0);
    assert_told("parent", " (ETIMEDOUT), ");
    assert_told("parent", "    by the deadline of a timeout that task 'parent' began at 0x");
    cr_assert_eq(coir_await(task), -ETIMEDOUT);
    return 0;
}

/* A child that finds the deadline by itself, before its parent, on the same worker, can
   pass it on. */
struct busy {
    struct patient *patient;
    coir_duration limit;
    int64_t deadline;
    atomic_bool runs, awaited;
    bool in_time;
};

/* While the parent waits and is not late, it has passed nothing on; nor can it before
   the child waits, too. */
static int sleep_past_the_deadline(void *arg)
{
    struct busy *busy = arg;
    atomic_store(&busy->runs, true);
    while (!atomic_load(&busy->awaited))
        cr_assert_eq(coir_yield(), 0);
    while (!waits("parent") && coir_yield() == 0)
        ;
    busy->in_time = coir_now() < busy->deadline;
    while (coir_now() < busy->deadline)
        ;
    return coir_sleep(COIR_SECONDS(1000));
}

static coir_task *create_pinned(const char *name, coir_fn *fn, void *arg)
{
    coir_task_options options = { .name = name, .pinned = 1 };
    return coir_create_task_with(&options, fn, arg);
}

static int await_it_under_a_deadline(void *arg)
{
    struct busy *busy = arg;
    coir_task *child = create_pinned("child", be_patient, busy->patient);
    while (!atomic_load(&busy->runs))
        cr_assert_eq(coir_yield(), 0);
    coir_timeout limit;
    coir_timeout_begin(&limit, busy->limit);
    busy->deadline = coir_deadline();
    atomic_store(&busy->awaited, true);
    int rc = coir_await(child);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    return rc;
}

/* False if the deadline was too short for this machine. */
static bool finds_it_first(coir_duration limit)
{
    struct ward ward;
    struct busy busy = { .patient = &ward.patient, .limit = limit };
    open_ward(&ward, sleep_past_the_deadline, &busy);
    coir_task *task = create_pinned("parent", await_it_under_a_deadline, &busy);
    yield_until(&ward.told, 1);
    while (!*told(read_dump(), "parent")) /* until it has passed it on */
        cr_assert_eq(coir_yield(), 0);
    if (busy.in_time)
        assert_told("child", " (ECANCELED), at a call\n");
    assert_told("child", "    by the deadline of a timeout that task 'parent' began at 0x");
    let_go_on(&ward);
    cr_assert_eq(coir_await(task), -ETIMEDOUT);
    return busy.in_time;
}

RunTest(autopsy, keeps_what_a_child_was_told_when_its_parent_passes_it_on)
{
    coir_duration limit = COIR_MILLISECONDS(1);
    while (!finds_it_first(limit))
        limit *= 2;
    return 0;
}

static int await_a_parent(void *arg)
{
    return coir_await(create_named("parent", await_a_child, arg));
}

RunTest(autopsy, names_the_task_that_passed_a_cancel_on)
{
    struct ward ward;
    open_ward(&ward, sleep_forever, NULL);
    coir_task *task = create_named("grandparent", await_a_parent, &ward.patient);
    let_it_wait("child");
    coir_cancel(task);
    yield_until(&ward.told, 1);
    assert_told("child", " (ECANCELED), waiting for sleep\n");
    assert_told("child", "    by coir_cancel(), which task '");
    assert_told("child", ", passed on by task '");
    assert_told("grandparent", " (ECANCELED), waiting for task 'parent'\n");
    assert_told("grandparent", "    by coir_cancel(), which task '");
    let_go_on(&ward);
    cr_assert_eq(coir_await(task), -ECANCELED);
    return 0;
}

/* ------------------------------------------------------ which scope --- */

static unsigned long where_it_began(void)
{
    char *dump = read_dump();
    const char *at = strstr(told(dump, "patient"), " began at 0x");
    cr_assert_not_null(at, "%s", dump);
    return strtoul(at + strlen(" began at "), NULL, 16);
}

struct nested {
    struct patient *patient;
    coir_duration outer, inner;
};

NOINLINE static int wait_in_the_inner(struct nested *nested)
{
    coir_timeout limit;
    coir_timeout_begin(&limit, nested->inner);
    int rc = be_patient(nested->patient);
    int late = coir_timeout_end(&limit);
    cr_assert_eq(late, nested->inner < nested->outer);
    return rc;
}

NOINLINE static int wait_in_the_outer(void *arg)
{
    struct nested *nested = arg;
    coir_timeout limit;
    coir_timeout_begin(&limit, nested->outer);
    int rc = wait_in_the_inner(nested);
    int late = coir_timeout_end(&limit);
    cr_assert_eq(late, nested->outer < nested->inner);
    return rc;
}

/* Where the scope was begun whose deadline the patient was told of. */
static unsigned long begun_at(coir_duration outer, coir_duration inner)
{
    struct ward ward;
    struct nested nested = { &ward.patient, outer, inner };
    open_ward(&ward, sleep_forever, NULL);
    coir_task *task = create_named("patient", wait_in_the_outer, &nested);
    yield_until(&ward.told, 1);
    unsigned long address = where_it_began();
    let_go_on(&ward);
    cr_assert_eq(coir_await(task), -ETIMEDOUT);
    return address;
}

static bool is_near(unsigned long address, unsigned long function)
{
    return address > function && address < function + 4096;
}

RunTest(autopsy, tells_nested_timeouts_apart)
{
    unsigned long inner = begun_at(COIR_FOREVER, COIR_MILLISECONDS(1));
    unsigned long outer = begun_at(COIR_MILLISECONDS(1), COIR_FOREVER);
    cr_assert_neq(inner, outer);
    cr_assert(is_near(outer, (unsigned long)(uintptr_t)wait_in_the_outer), "%lx", outer);
    cr_assert(is_near(inner, (unsigned long)(uintptr_t)wait_in_the_inner), "%lx", inner);
    return 0;
}

static int wait_twice(void *arg)
{
    struct patient *patients = arg;
    coir_timeout limit;
    coir_timeout_begin(&limit, COIR_MILLISECONDS(1));
    cr_assert_eq(be_patient(&patients[0]), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    coir_timeout_begin(&limit, COIR_MILLISECONDS(1));
    cr_assert_eq(be_patient(&patients[1]), -ETIMEDOUT);
    return coir_timeout_end(&limit);
}

RunTest(autopsy, is_of_the_last_deadline)
{
    struct ward first, second;
    open_ward(&first, sleep_forever, NULL);
    open_ward(&second, sleep_forever, NULL);
    struct patient patients[] = { first.patient, second.patient };
    coir_task *task = create_named("patient", wait_twice, patients);
    yield_until(&first.told, 1);
    unsigned long began_first = where_it_began();
    let_go_on(&first);
    yield_until(&second.told, 1);
    cr_assert_neq(where_it_began(), began_first);
    let_go_on(&second);
    cr_assert_eq(coir_await(task), 1);
    return 0;
}

static int compute_under_a_deadline(UNUSED void *arg)
{
    coir_timeout limit;
    coir_timeout_begin(&limit, 0);
    cr_assert_eq(coir_sleep(COIR_FOREVER), -ETIMEDOUT);
    cr_assert_eq(coir_yield(), -ETIMEDOUT);
    return coir_timeout_end(&limit);
}

RunTest(autopsy, is_of_a_call_that_was_refused)
{
    coir_task *task = create_named("patient", compute_under_a_deadline, NULL);
    while (!coir_task_done(task))
        cr_assert_eq(coir_yield(), 0);
    assert_told("patient", " (ETIMEDOUT), at a call\n");
    assert_told("patient", "    by the deadline of a timeout that task 'patient' began at 0x");
    cr_assert_eq(coir_await(task), 1);
    return 0;
}

static int read_a_pipe(void *ends)
{
    char byte;
    return (int)coir_read(((int *)ends)[0], &byte, 1);
}

/* ------------------------------------------------------- which wait --- */

static int await_a_future(void *future)
{
    return coir_future_await(future, NULL);
}

static int block_until(void *go_on)
{
    while (!atomic_load((atomic_int *)go_on) && coir_check() == 0)
        usleep(1000);
    return -ECANCELED;
}

static int wait_on_a_thread(void *go_on)
{
    return coir_to_thread(block_until, go_on);
}

static int wait_for_any(void *arg)
{
    return coir_wait_any(arg, 1);
}

RunTest(autopsy, tells_what_was_waited_for)
{
    coir_future future;
    int ends[2];
    atomic_int never = 0;
    coir_task *sleeper = coir_create_task(sleep_forever, NULL);
    cr_assert_eq(pipe(ends), 0);
    coir_future_init(&future);
    const struct {
        coir_fn *wait;
        void *arg;
        const char *what;
    } waits[] = {
        { sleep_forever, NULL, "waiting for sleep\n" },
        { read_a_pipe, ends, "waiting for coir_read on descriptor " },
        { await_a_future, &future, "waiting for future 0x" },
        { wait_on_a_thread, &never, "waiting for thread 0x" },
        { wait_for_any, &sleeper, "waiting for wait_any 0x" },
    };
    for (size_t i = 0; i < LENGTH(waits); i++) {
        struct ward ward;
        open_ward(&ward, waits[i].wait, waits[i].arg);
        coir_task *task = create_named("patient", be_patient, &ward.patient);
        let_it_wait("patient");
        coir_cancel(task);
        yield_until(&ward.told, 1);
        assert_told("patient", waits[i].what);
        let_go_on(&ward);
        cr_assert_eq(coir_await(task), -ECANCELED, "%zu", i);
    }
    cr_assert_eq(coir_cancel_await(sleeper), -ECANCELED);
    coir_future_destroy(&future);
    close(ends[0]);
    close(ends[1]);
    return 0;
}

static int lock_and_be_patient(void *mutex)
{
    int rc = coir_mutex_lock(mutex);
    if (rc < 0)
        return rc;
    rc = coir_sleep(COIR_FOREVER);
    coir_mutex_unlock(mutex);
    return rc;
}

RunTest(autopsy, names_the_holder_of_a_mutex)
{
    struct ward ward;
    coir_mutex mutex = { 0 };
    open_ward(&ward, lock_and_be_patient, &mutex);
    coir_task *holder = create_named("holder", lock_and_be_patient, &mutex);
    let_it_wait("holder");
    coir_task *task = create_named("patient", be_patient, &ward.patient);
    let_it_wait("patient");
    char *dump = read_dump();
    cr_assert_not_null(strstr(dump, ": waiting, for mutex 0x"), "%s", dump);
    cr_assert_not_null(strstr(dump, ", held by task 'holder'\n"), "%s", dump);
    coir_cancel(task);
    yield_until(&ward.told, 1);
    cr_assert_eq(coir_cancel_await(holder), -ECANCELED);
    assert_told("patient", " (ECANCELED), waiting for mutex 0x");
    assert_told("patient", ", held by task 'holder'\n");
    let_go_on(&ward);
    cr_assert_eq(coir_await(task), -ECANCELED);
    return 0;
}

RunTestOn(1, autopsy, of_a_cancel_before_any_wait_names_the_canceller)
{
    coir_task *task = create_named("patient", sleep_forever, NULL);
    coir_cancel(task);
    assert_told("patient", " was cancelled ");
    assert_told("patient", "    by coir_cancel(), which task '");
    cr_assert_eq(coir_await(task), -ECANCELED);
    return 0;
}

RunTest(autopsy, goes_with_the_task)
{
    struct ward ward;
    open_ward(&ward, sleep_forever, NULL);
    let_go_on(&ward);
    coir_task *task = create_named("patient", wait_under_a_deadline, &ward.patient);
    while (!coir_task_done(task))
        cr_assert_eq(coir_yield(), 0);
    assert_told("patient", " (ETIMEDOUT), ");
    cr_assert_eq(coir_await(task), -ETIMEDOUT);
    cr_assert_null(strstr(read_dump(), "'patient'"), "%s", read_dump());
    return 0;
}

/* ---------------------------------------------------------- where ----- */

NOINLINE static int wait_down_here(UNUSED void *arg)
{
    int rc = coir_sleep(COIR_FOREVER);
    return rc + (*(volatile int *)&rc - rc); /* not a tail call */
}

/* Who called the library is known without libunwind, whatever the program was compiled
   with. */
RunTest(autopsy, has_the_place_of_the_wait)
{
    struct ward ward;
    open_ward(&ward, wait_down_here, NULL);
    coir_task *task = create_named("patient", be_patient, &ward.patient);
    let_it_wait("patient");
    coir_cancel(task);
    yield_until(&ward.told, 1);
    char *dump = read_dump();
    char *at = strstr(dump, "it waited in\n");
    cr_assert_not_null(at, "%s", dump);
    bool found = false;
    for (char *frame = strstr(at, "#0 0x"); frame && !found; frame = strstr(frame + 1, " 0x"))
        found = is_near(strtoul(strstr(frame, "0x"), NULL, 16),
                        (unsigned long)(uintptr_t)wait_down_here);
    cr_assert(found, "%s", dump);
    let_go_on(&ward);
    cr_assert_eq(coir_await(task), -ECANCELED);
    return 0;
}

#ifdef CHECK_BACKTRACES

static void be_thorough(void)
{
    setenv("COIR_DEBUG", "autopsy", 1);
}

RunTest(autopsy, in_debug_has_whole_backtraces, .init = be_thorough)
{
    struct ward ward;
    open_ward(&ward, wait_down_here, NULL);
    coir_task_options options = { .name = "patient", .stack_bytes = 1 << 20 };
    coir_task *task = coir_create_task_with(&options, be_patient, &ward.patient);
    let_it_wait("patient");
    coir_cancel(task);
    yield_until(&ward.told, 1);
    char *dump = read_dump();
    char *at = strstr(dump, "it waited in\n");
    cr_assert_not_null(at, "%s", dump);
    char *inner = strstr(at, " wait_down_here+0x");
    cr_assert_not_null(inner, "%s", dump);
    cr_assert_not_null(strstr(inner, " be_patient+0x"), "%s", dump);
    let_go_on(&ward);
    cr_assert_eq(coir_await(task), -ECANCELED);
    return 0;
}

#endif

/* ------------------------------------------------------------ many ---- */

enum { MANY = 1000 };

static int count_notes(const char *dump)
{
    int n = 0;
    for (const char *at = dump; (at = strstr(at, " was told to stop ")); at++)
        n++;
    return n;
}

RunTest(autopsy, of_many_keeps_a_bounded_number)
{
    struct ward ward;
    coir_group group;
    open_ward(&ward, sleep_forever, NULL);
    coir_group_init(&group);
    for (int i = 0; i < MANY; i++)
        cr_assert_eq(coir_group_create_task(&group, be_patient, &ward.patient), 0);
    let_them_wait();
    coir_group_cancel(&group);
    coir_shield shield;
    coir_shield_begin(&shield);
    yield_until(&ward.told, MANY);
    coir_shield_end(&shield);
    int notes = count_notes(read_dump());
    cr_assert(notes > 0 && notes <= 128, "%d", notes);
    let_go_on(&ward);
    return coir_group_wait(&group);
}

static int cancel_each_other(void *arg)
{
    coir_task **tasks = arg;
    for (int i = 0; i < 20; i++)
        coir_cancel(tasks[i]);
    return 0;
}

static int be_late(UNUSED void *arg)
{
    coir_timeout limit;
    coir_timeout_begin(&limit, COIR_MICROSECONDS(10));
    int rc = coir_sleep(COIR_FOREVER);
    coir_timeout_end(&limit);
    return rc;
}

/* Notes are made, displaced and dropped while they are read. */
RunTest(autopsy, can_be_read_while_tasks_are_cancelled)
{
    for (int round = 0; round < check_scale(20); round++) {
        coir_task *tasks[20], *cancellers[4];
        for (int i = 0; i < 20; i++)
            tasks[i] = coir_create_task(i % 2 ? be_late : sleep_forever, NULL);
        for (int i = 0; i < 4; i++)
            cancellers[i] = coir_create_task(cancel_each_other, tasks);
        coir_dump(-1);
        for (int i = 0; i < 4; i++)
            cr_assert_eq(coir_await(cancellers[i]), 0);
        for (int i = 0; i < 20; i++)
            cr_assert_lt(coir_await(tasks[i]), 0);
    }
    return 0;
}

/* ---------------------------------------------------- at the end ------ */

static int leave_a_patient(void *arg)
{
    struct ward *ward = arg;
    coir_task *task = create_named("stubborn", be_patient, &ward->patient);
    let_it_wait("stubborn");
    coir_cancel(task);
    yield_until(&ward->told, 1);
    return 0;
}

static void run_and_leave_a_patient(UNUSED void *arg)
{
    static struct ward ward;
    coir_options options = { .shutdown_grace = COIR_MILLISECONDS(10) };
    open_ward(&ward, sleep_forever, NULL);
    _exit(coir_run_with(&options, leave_a_patient, &ward) == -ETIMEDOUT ? 0 : 1);
}

Test(autopsy, is_in_the_report_of_tasks_that_did_not_end)
{
    struct outcome outcome = in_child(run_and_leave_a_patient, NULL);
    cr_assert(WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == 0, "%s", outcome.err);
    const char *report = strstr(outcome.err, "did not end");
    cr_assert_not_null(report, "%s", outcome.err);
    cr_assert_not_null(strstr(told(report, "stubborn"), "    by coir_cancel(), which task '"), "%s",
                       outcome.err);
}

static int dump_when_told(UNUSED void *arg)
{
    int rc = coir_sleep(COIR_FOREVER);
    coir_dump(STDERR_FILENO);
    return rc;
}

static int leave_one_that_dumps(UNUSED void *arg)
{
    cr_assert_not_null(create_named("left", dump_when_told, NULL));
    return 0;
}

static void run_and_leave_one_that_dumps(UNUSED void *arg)
{
    _exit(coir_run(leave_one_that_dumps, NULL));
}

Test(autopsy, tells_of_the_end_of_the_run)
{
    struct outcome outcome = in_child(run_and_leave_one_that_dumps, NULL);
    cr_assert_not_null(strstr(told(outcome.err, "left"), "    by the end of the run\n"), "%s",
                       outcome.err);
}

static int interrupt_oneself(UNUSED void *arg)
{
    kill(getpid(), SIGINT);
    return dump_when_told(NULL);
}

static void run_and_interrupt(UNUSED void *arg)
{
    _exit(coir_run(interrupt_oneself, NULL) == -ECANCELED ? 0 : 1);
}

Test(autopsy, tells_of_an_interrupt)
{
    struct outcome outcome = in_child(run_and_interrupt, NULL);
    cr_assert(WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == 0, "%s", outcome.err);
    cr_assert_not_null(strstr(outcome.err, "    by SIGINT\n"), "%s", outcome.err);
}
