/*
 * Timeouts, shields, groups and tasks inside each other: every order of three, with a
 * cancel at every depth or none.  What each call returns, and each end, is compared
 * with the rules of docs/cancellation.md, written here a second time as a walk over a
 * list.
 */
#include <string.h>

#include "api/in_run.h"

enum kind {
    TIMEOUT,
    TIMEOUT_LATE,
    SHIELD,
    SHIELD_FOR,
    SHIELD_FOR_OVER,
    GROUP,
    GROUP_CANCELLED,
    GROUP_FAILED,
    TASK, /* another, which is awaited */
    KINDS
};

enum { DEPTH = 3, PLACES = DEPTH + 1, ORDERS = KINDS * KINDS * KINDS };

struct nest {
    enum kind kinds[DEPTH]; /* outermost first */
    bool told[DEPTH];       /* a timeout: a call was refused for it; a group: for what is
                               outside of it */
    bool cancelled[PLACES]; /* the task that began there */
    int cancel_at;          /* the place where the task cancels itself; none: PLACES */
    int64_t when;           /* the late ones are; 0: from the beginning */
    unsigned calls;         /* made so far: each is another one */
    char name[80];
};

/* ---------------------------------------------------------- the rules --- */

static bool is_group(enum kind kind)
{
    return kind == GROUP || kind == GROUP_CANCELLED || kind == GROUP_FAILED;
}

/* Why a call inside of the first n is refused, if it is; and for which timeout.  late:
   have the deadlines passed? */
static int reason_at(const struct nest *nest, int n, bool late, int *ret_timeout)
{
    bool own = true, cancelled = false;
    int timeout = -1;
    for (int i = n - 1; i >= 0; i--) {
        enum kind kind = nest->kinds[i];
        if (kind == SHIELD || kind == SHIELD_FOR || (kind == SHIELD_FOR_OVER && !late))
            goto held_back;
        if (kind == GROUP_CANCELLED || kind == GROUP_FAILED)
            cancelled = true;
        if (kind == TIMEOUT_LATE && late && own)
            timeout = i;
        if (kind == TIMEOUT_LATE && late && !own)
            cancelled = true;
        if (kind == TASK) {
            cancelled |= nest->cancelled[i + 1];
            own = false;
        }
    }
    cancelled |= nest->cancelled[0];
held_back:
    if (ret_timeout)
        *ret_timeout = timeout;
    return cancelled ? -ECANCELED : timeout >= 0 ? -ETIMEDOUT : 0;
}

static int reason(const struct nest *nest, int n)
{
    return reason_at(nest, n, true, NULL);
}

/* A call there is refused, if it is: the scopes are told. */
static int refuse(struct nest *nest, int n)
{
    int timeout, rc = reason_at(nest, n, true, &timeout);
    if (rc == -ETIMEDOUT)
        nest->told[timeout] = true;
    for (int i = n - 1; rc && i >= 0; i--) {
        enum kind kind = nest->kinds[i];
        if (kind == SHIELD || kind == SHIELD_FOR || kind == TASK)
            break;
        if (is_group(kind) && reason(nest, i))
            nest->told[i] = true;
    }
    return rc;
}

/* ---------------------------------------------------------- the calls --- */

static int await_a_sleeper(void)
{
    return coir_await(coir_create_task(sleep_forever, NULL));
}

static int gather_sleepers(void)
{
    return coir_gather(COIR_CALL(sleep_forever, NULL), COIR_CALL(sleep_forever, NULL));
}

static int gather_all_sleepers(void)
{
    coir_call calls[] = { COIR_CALL(sleep_forever, NULL), COIR_CALL(sleep_forever, NULL) };
    return coir_gather_all(calls, LENGTH(calls));
}

static int race_sleepers(void)
{
    coir_call calls[] = { COIR_CALL(sleep_forever, NULL), COIR_CALL(sleep_forever, NULL) };
    return coir_race(calls, LENGTH(calls));
}

static int wait_for_a_group_of_sleepers(void)
{
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(coir_group_create_task(&group, sleep_forever, NULL), 0);
    return coir_group_wait(&group);
}

static int wait_for_any_sleeper(void)
{
    coir_task *task = coir_create_task(sleep_forever, NULL);
    int rc = coir_wait_any(&task, 1);
    cr_assert_lt(rc, 0, "it sleeps for ever");
    coir_cancel(task);
    coir_detach(task);
    return rc;
}

static int await_a_future(void)
{
    coir_future future;
    coir_future_init(&future);
    int rc = coir_future_await(&future, NULL);
    coir_future_destroy(&future);
    return rc;
}

static int sleep_on(void)
{
    return coir_sleep(COIR_FOREVER);
}

/* Wait for ever, unless there is a reason not to. */
static int (*const waits[])(void) = {
    sleep_on,      await_a_sleeper,      gather_sleepers, gather_all_sleepers,
    race_sleepers, wait_for_any_sleeper, await_a_future,  wait_for_a_group_of_sleepers,
};

static int sleep_for_nothing(void)
{
    return coir_sleep(0);
}

static int await_another(void)
{
    return coir_await(coir_create_task(return_zero, NULL));
}

/* Are allowed, unless there is a reason not to; but the last, which only asks. */
static int (*const passes[])(void) = { coir_yield, sleep_for_nothing, coir_check };

static void spin_until(int64_t when)
{
    while (coir_now() < when)
        ;
}

/* One of them; or none. */
static void call(struct nest *nest, int n)
{
    unsigned which = nest->calls++ % (unsigned)(LENGTH(passes) + LENGTH(waits) + 1);
    cr_assert_eq(await_another(), 0, "%s", nest->name);
    if (which < LENGTH(passes))
        cr_assert_eq(passes[which](), refuse(nest, n), "%s: pass %u at %d", nest->name, which, n);
    else if (which < LENGTH(passes) + LENGTH(waits) && reason(nest, n))
        cr_assert_eq(waits[which - LENGTH(passes)](), refuse(nest, n), "%s: wait %u at %d",
                     nest->name, which, n);
}

/* Timeouts here pass at the same moment, each shield at its own. */
static bool is_one_moment(const struct nest *nest)
{
    int timeouts = 0, shields = 0;
    for (int i = 0; i < DEPTH; i++) {
        timeouts += nest->kinds[i] == TIMEOUT_LATE;
        shields += nest->kinds[i] == SHIELD_FOR_OVER;
    }
    return shields + (timeouts > 0) == 1;
}

/* Where the deadlines are still to come: be waiting when they do, if all do at once. */
static void wait_for_deadlines(struct nest *nest)
{
    unsigned which = nest->calls++ % LENGTH(waits);
    if (is_one_moment(nest) && !reason_at(nest, DEPTH, false, NULL) && reason(nest, DEPTH))
        cr_assert_eq(waits[which](), refuse(nest, DEPTH), "%s: wait %u", nest->name, which);
    spin_until(nest->when);
    nest->when = 0;
}

/* --------------------------------------------------------- the nesting --- */

static void enter(struct nest *nest, int n);

static void nest_in_timeout(struct nest *nest, int n)
{
    coir_timeout limit;
    if (nest->kinds[n] == TIMEOUT)
        coir_timeout_begin(&limit, COIR_SECONDS(1000));
    else
        coir_timeout_begin_at(&limit, nest->when);
    enter(nest, n + 1);
    cr_assert_eq(coir_timeout_end(&limit), nest->told[n], "%s: timeout at %d", nest->name, n);
}

static void nest_in_shield(struct nest *nest, int n)
{
    coir_shield shield;
    coir_duration until_late = nest->when ? nest->when - coir_now() : 0;
    if (nest->kinds[n] == SHIELD)
        coir_shield_begin(&shield);
    else if (nest->kinds[n] == SHIELD_FOR)
        coir_shield_begin_for(&shield, COIR_SECONDS(1000));
    else
        coir_shield_begin_for(&shield, until_late);
    if (nest->when && nest->kinds[n] == SHIELD_FOR_OVER)
        nest->when = coir_now() + (until_late > 0 ? until_late : 0);
    enter(nest, n + 1);
    coir_shield_end(&shield);
}

static int fail_with_eio(UNUSED void *arg)
{
    return -EIO;
}

static void open_group(coir_group *group, enum kind kind)
{
    coir_shield shield;
    coir_group_init(group);
    if (kind == GROUP_CANCELLED) {
        cr_assert_eq(coir_group_create_task(group, sleep_forever, NULL), 0);
        coir_group_cancel(group);
    } else if (kind == GROUP_FAILED) {
        cr_assert_eq(coir_group_create_task(group, fail_with_eio, NULL), 0);
        coir_shield_begin(&shield);
        while (coir_group_create_task(group, return_zero, NULL) == 0)
            cr_assert_eq(coir_yield(), 0);
        coir_shield_end(&shield);
    }
}

static void nest_in_group(struct nest *nest, int n)
{
    enum kind kind = nest->kinds[n];
    bool refused = kind == GROUP_CANCELLED;
    coir_group group;
    open_group(&group, kind);
    enter(nest, n + 1);
    if (kind == GROUP && reason(nest, n) && nest->calls % 2) {
        cr_assert_eq(coir_group_create_task(&group, sleep_forever, NULL), 0);
        refused = true;
    }
    int expected = kind == GROUP_FAILED             ? -EIO
                   : refused || nest->told[n] ? refuse(nest, n)
                                                    : 0;
    cr_assert_eq(coir_group_wait(&group), expected, "%s: group at %d", nest->name, n);
}

struct inner {
    struct nest *nest;
    int n;
};

static int enter_in_a_task(void *arg)
{
    struct inner *inner = arg;
    /* Not before it is waited for is it told why. */
    if (reason(inner->nest, inner->n))
        while (coir_yield() == 0)
            ;
    enter(inner->nest, inner->n);
    return coir_check();
}

static void nest_in_task(struct nest *nest, int n)
{
    struct inner inner = { nest, n + 1 };
    int value = coir_await(coir_create_task(enter_in_a_task, &inner));
    int expected = reason(nest, n + 1);
    if (expected == -ECANCELED && reason(nest, n))
        expected = refuse(nest, n);
    cr_assert_eq(value, expected, "%s: task at %d", nest->name, n);
}

static int first_place_of_task(const struct nest *nest, int n)
{
    while (n > 0 && nest->kinds[n - 1] != TASK)
        n--;
    return n;
}

/* With the first n open. */
static void enter(struct nest *nest, int n)
{
    if (nest->cancel_at == n) {
        nest->cancelled[first_place_of_task(nest, n)] = true;
        coir_cancel(coir_current_task());
    }
    if (n == DEPTH && nest->when)
        wait_for_deadlines(nest);
    if (!nest->when)
        call(nest, n);
    if (n == DEPTH)
        return;
    if (nest->kinds[n] == TASK)
        nest_in_task(nest, n);
    else if (is_group(nest->kinds[n]))
        nest_in_group(nest, n);
    else if (nest->kinds[n] == TIMEOUT || nest->kinds[n] == TIMEOUT_LATE)
        nest_in_timeout(nest, n);
    else
        nest_in_shield(nest, n);
    call(nest, n);
}

static int play(void *nest)
{
    enter(nest, 0);
    return 0;
}

static void play_order(int order, int cancel_at, bool timed)
{
    static const char *const names[KINDS] = {
        "timeout", "timeout_late", "shield",       "shield_for", "shield_for_over",
        "group",   "group_cancelled", "group_failed", "task",
    };
    struct nest nest = { .cancel_at = cancel_at, .calls = (unsigned)order };
    for (int i = 0; i < DEPTH; i++, order /= KINDS)
        nest.kinds[i] = (enum kind)(order % KINDS);
    snprintf(nest.name, sizeof nest.name, "%s %s %s, cancel at %d%s", names[nest.kinds[0]],
             names[nest.kinds[1]], names[nest.kinds[2]], cancel_at, timed ? ", timed" : "");
    if (timed)
        nest.when = coir_now() + COIR_MICROSECONDS(20);
    cr_assert_eq(coir_await(coir_create_task(play, &nest)), 0);
}

/* Under sanitizers a part of them: which is the same in every run. */
static void play_all(bool timed)
{
    int step = COIR_TEST_SCALE > 1 ? 5 : 1;
    for (int cancel_at = 0; cancel_at <= PLACES; cancel_at++)
        for (int order = cancel_at % step; order < ORDERS; order += step)
            play_order(order, cancel_at, timed);
}

RunTest(nesting, every_order_of_three_follows_the_rules)
{
    play_all(false);
    return 0;
}

RunTest(nesting, every_order_of_three_follows_the_rules_as_deadlines_pass)
{
    play_all(true);
    return 0;
}
