/*
 * Shields: what comes from outside waits, what was begun inside does not.
 */
#include "api/in_run.h"

RunTest(shield, holds_back_a_cancel_that_was_pending)
{
    coir_shield shield;
    coir_cancel(coir_current_task());
    cr_assert_eq(coir_yield(), -ECANCELED);
    coir_shield_begin(&shield);
    cr_assert_eq(coir_yield(), 0);
    cr_assert_eq(coir_sleep(COIR_MICROSECONDS(10)), 0);
    cr_assert_eq(coir_check(), 0);
    coir_shield_end(&shield);
    cr_assert_eq(coir_yield(), -ECANCELED);
    return 0;
}

struct clean_up {
    atomic_int inside;
    atomic_int go;
    int waited;
    int afterwards;
};

static int clean_up_in_a_shield(void *arg)
{
    struct clean_up *clean_up = arg;
    coir_shield shield;
    coir_shield_begin(&shield);
    atomic_store(&clean_up->inside, 1);
    do
        clean_up->waited = coir_sleep(COIR_MICROSECONDS(100));
    while (!atomic_load(&clean_up->go) && clean_up->waited == 0);
    coir_shield_end(&shield);
    clean_up->afterwards = coir_yield();
    return 0;
}

RunTest(shield, holds_back_a_cancel_that_comes_while_it_waits)
{
    struct clean_up clean_up = { 0 };
    coir_task *task = coir_create_task(clean_up_in_a_shield, &clean_up);
    yield_until(&clean_up.inside, 1);
    coir_cancel(task);
    let_them_wait();
    cr_assert_not(coir_task_done(task));
    atomic_store(&clean_up.go, 1);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(clean_up.waited, 0);
    cr_assert_eq(clean_up.afterwards, -ECANCELED);
    return 0;
}

RunTest(shield, holds_back_a_timeout_from_outside)
{
    coir_timeout limit;
    coir_shield shield;
    coir_timeout_begin(&limit, 0);
    coir_shield_begin(&shield);
    cr_assert_eq(coir_deadline(), COIR_FOREVER);
    cr_assert_eq(coir_sleep(COIR_MICROSECONDS(10)), 0);
    coir_shield_end(&shield);
    cr_assert_eq(coir_yield(), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    return 0;
}

RunTest(shield, holds_back_a_timeout_that_passes_while_it_waits)
{
    coir_timeout limit;
    coir_shield shield;
    int64_t deadline = coir_now() + COIR_MILLISECONDS(1);
    coir_timeout_begin_at(&limit, deadline);
    coir_shield_begin(&shield);
    cr_assert_eq(coir_sleep_until(deadline + COIR_MILLISECONDS(1)), 0);
    coir_shield_end(&shield);
    cr_assert_eq(coir_timeout_end(&limit), 0, "no call was refused");
    return 0;
}

RunTest(shield, lets_a_timeout_inside_it_work)
{
    coir_shield shield;
    coir_timeout limit;
    coir_cancel(coir_current_task());
    coir_shield_begin(&shield);
    coir_timeout_begin(&limit, COIR_MILLISECONDS(1));
    cr_assert_neq(coir_deadline(), COIR_FOREVER);
    cr_assert_eq(coir_sleep(COIR_FOREVER), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    cr_assert_eq(coir_yield(), 0);
    coir_shield_end(&shield);
    cr_assert_eq(coir_yield(), -ECANCELED);
    return 0;
}

RunTest(shield, nests)
{
    coir_shield outer, inner;
    coir_cancel(coir_current_task());
    coir_shield_begin(&outer);
    coir_shield_begin(&inner);
    cr_assert_eq(coir_yield(), 0);
    coir_shield_end(&inner);
    cr_assert_eq(coir_yield(), 0);
    coir_shield_end(&outer);
    cr_assert_eq(coir_yield(), -ECANCELED);
    return 0;
}

RunTest(shield, inside_a_timeout_inside_a_shield_holds_that_timeout_back_too)
{
    coir_shield outer, inner;
    coir_timeout limit;
    coir_shield_begin(&outer);
    coir_timeout_begin(&limit, 0);
    coir_shield_begin(&inner);
    cr_assert_eq(coir_yield(), 0);
    coir_shield_end(&inner);
    cr_assert_eq(coir_yield(), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    cr_assert_eq(coir_yield(), 0);
    coir_shield_end(&outer);
    return 0;
}

RunTest(shield, protects_what_the_task_awaits)
{
    coir_shield shield;
    atomic_int told = 0;
    coir_cancel(coir_current_task());
    coir_shield_begin(&shield);
    coir_task *task = coir_create_task(count_cancel, &told);
    cr_assert_eq(coir_wait_for(task, COIR_MILLISECONDS(1)), -ETIMEDOUT);
    cr_assert_eq(atomic_load(&told), 1, "by the timeout inside the shield");
    cr_assert_eq(coir_await(coir_create_task(return_zero, NULL)), 0);
    coir_shield_end(&shield);
    return 0;
}

static int look_whether_told(UNUSED void *arg)
{
    return coir_yield();
}

RunTest(shield, lets_an_awaited_child_run_untold)
{
    coir_shield shield;
    coir_cancel(coir_current_task());
    coir_shield_begin(&shield);
    cr_assert_eq(coir_await(coir_create_task(look_whether_told, NULL)), 0);
    cr_assert_eq(coir_gather(COIR_CALL(look_whether_told, NULL),
                             COIR_CALL(look_whether_told, NULL)), 0);
    coir_shield_end(&shield);
    cr_assert_eq(coir_await(coir_create_task(sleep_forever, NULL)), -ECANCELED);
    return 0;
}

RunTest(shield, is_not_inherited_by_a_child_that_is_cancelled_itself)
{
    coir_shield shield;
    coir_shield_begin(&shield);
    cr_assert_eq(coir_cancel_await(coir_create_task(sleep_forever, NULL)), -ECANCELED);
    coir_shield_end(&shield);
    return 0;
}

static int shield_around_a_sleep(void *arg)
{
    coir_shield shield;
    coir_shield_begin(&shield);
    int rc = coir_sleep(COIR_MILLISECONDS(2));
    coir_shield_end(&shield);
    *(int *)arg = rc;
    return coir_sleep(COIR_FOREVER);
}

RunTest(shield, in_a_child_holds_back_what_its_awaiter_passes_on)
{
    int slept = 1;
    coir_task *task = coir_create_task(shield_around_a_sleep, &slept);
    cr_assert_eq(coir_wait_for(task, COIR_MICROSECONDS(100)), -ETIMEDOUT);
    cr_assert_eq(slept, 0);
    return 0;
}

RunTest(shield, of_the_owner_holds_back_the_cancel_of_its_group)
{
    coir_group group;
    coir_shield shield;
    coir_group_init(&group);
    coir_group_cancel(&group);
    cr_assert_eq(coir_yield(), -ECANCELED);
    coir_shield_begin(&shield);
    cr_assert_eq(coir_yield(), 0);
    coir_shield_end(&shield);
    cr_assert_eq(coir_yield(), -ECANCELED);
    cr_assert_eq(coir_group_wait(&group), 0);
    cr_assert_eq(coir_yield(), 0);
    return 0;
}

/* One member hides in a shield, and goes on as soon as another has been told. */
struct hiding {
    atomic_int started;
    atomic_int told;
};

static int hide_until_the_other_is_told(void *arg)
{
    struct hiding *hiding = arg;
    coir_shield shield;
    coir_shield_begin(&shield);
    atomic_fetch_add(&hiding->started, 1);
    while (atomic_load(&hiding->told) == 0)
        cr_assert_eq(coir_yield(), 0);
    coir_shield_end(&shield);
    return 0;
}

static int be_told(void *arg)
{
    struct hiding *hiding = arg;
    atomic_fetch_add(&hiding->started, 1);
    return count_cancel(&hiding->told);
}

static int own_both(void *hiding)
{
    coir_group group;
    coir_group_init(&group);
    cr_assert_eq(coir_group_create_task(&group, hide_until_the_other_is_told, hiding), 0);
    cr_assert_eq(coir_group_create_task(&group, be_told, hiding), 0);
    return coir_group_wait(&group);
}

RunTest(shield, of_a_member_that_yields_holds_nothing_back_from_the_others)
{
    struct hiding hiding = { 0 };
    coir_task *task = coir_create_task(own_both, &hiding);
    yield_until(&hiding.started, 2);
    let_them_wait();
    cr_assert_eq(coir_cancel_await(task), -ECANCELED);
    return 0;
}

RunTest(shield, of_a_member_that_yields_holds_no_deadline_back_from_the_others)
{
    struct hiding hiding = { 0 };
    cr_assert_eq(coir_wait_for(coir_create_task(own_both, &hiding), COIR_MILLISECONDS(1)),
                 -ETIMEDOUT);
    return 0;
}
