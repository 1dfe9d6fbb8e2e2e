/*
 * Semaphores: so many places and no more, first come, first served.
 */
#include "api/in_thread.h"

struct guest {
    coir_semaphore *places;
    int *arrivals; /* with one place: changed by whoever has it */
    int place;
    int rc;
    int next_call;
};

static int acquire_once(void *arg)
{
    struct guest *guest = arg;
    guest->rc = coir_semaphore_acquire(guest->places);
    guest->next_call = coir_check();
    if (guest->rc < 0)
        return guest->rc;
    if (guest->arrivals)
        guest->place = (*guest->arrivals)++;
    coir_semaphore_release(guest->places);
    return 0;
}

RunTest(semaphore, has_as_many_places_as_it_was_made_with)
{
    coir_semaphore three = COIR_SEMAPHORE(3), none = COIR_SEMAPHORE(0), made;
    coir_semaphore_init(&made, 2);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(coir_semaphore_acquire(&three), 0);
    cr_assert_eq(coir_semaphore_try_acquire(&three), -EAGAIN);
    cr_assert_eq(coir_semaphore_try_acquire(&none), -EAGAIN);
    cr_assert_eq(coir_semaphore_try_acquire(&made), 0);
    cr_assert_eq(coir_semaphore_try_acquire(&made), 0);
    cr_assert_eq(coir_semaphore_try_acquire(&made), -EAGAIN);
    coir_semaphore_release(&made);
    cr_assert_eq(coir_semaphore_acquire(&made), 0);
    return 0;
}

RunTest(semaphore, released_more_often_than_acquired_has_more_places)
{
    coir_semaphore places = COIR_SEMAPHORE(0);
    coir_semaphore_release(&places);
    coir_semaphore_release(&places);
    cr_assert_eq(coir_semaphore_acquire(&places), 0);
    cr_assert_eq(coir_semaphore_acquire(&places), 0);
    cr_assert_eq(coir_semaphore_try_acquire(&places), -EAGAIN);
    return 0;
}

RunTest(semaphore, bounded_takes_back_what_it_gave)
{
    coir_semaphore places = COIR_SEMAPHORE_BOUNDED(2), made;
    coir_semaphore_init_bounded(&made, 2);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(coir_semaphore_acquire(&places), 0);
        cr_assert_eq(coir_semaphore_try_acquire(&places), 0);
        cr_assert_eq(coir_semaphore_try_acquire(&places), -EAGAIN);
        coir_semaphore_release(&places);
        coir_semaphore_release(&places);
    }
    cr_assert_eq(coir_semaphore_acquire(&made), 0);
    coir_semaphore_release(&made);
    return 0;
}

RunTest(semaphore, without_a_free_place_makes_tasks_wait)
{
    coir_semaphore places = COIR_SEMAPHORE(1);
    struct guest guest = { .places = &places };
    cr_assert_eq(coir_semaphore_acquire(&places), 0);
    coir_task *task = coir_create_task(acquire_once, &guest);
    let_them_wait();
    cr_assert_not(coir_task_done(task));
    coir_semaphore_release(&places);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(coir_semaphore_try_acquire(&places), 0);
    return 0;
}

struct crowd {
    coir_semaphore places;
    atomic_int inside, most;
    int rounds;
};

static int come_and_go(void *arg)
{
    struct crowd *crowd = arg;
    for (int i = 0; i < crowd->rounds; i++) {
        if (i % 8)
            cr_assert_eq(coir_semaphore_acquire(&crowd->places), 0);
        else if (coir_semaphore_try_acquire(&crowd->places) < 0)
            continue;
        int inside = atomic_fetch_add(&crowd->inside, 1) + 1, most = atomic_load(&crowd->most);
        while (inside > most && !atomic_compare_exchange_weak(&crowd->most, &most, inside))
            ;
        if (i % 4 == 0)
            cr_assert_eq(coir_yield(), 0);
        atomic_fetch_sub(&crowd->inside, 1);
        coir_semaphore_release(&crowd->places);
    }
    return 0;
}

RunTest(semaphore, lets_no_more_in_than_it_has_places)
{
    enum { TASKS = 20, PLACES = 3 };
    struct crowd crowd = { .places = COIR_SEMAPHORE_BOUNDED(PLACES), .rounds = check_scale(300) };
    coir_call calls[TASKS];
    for (int i = 0; i < TASKS; i++)
        calls[i] = (coir_call){ come_and_go, &crowd, 0 };
    cr_assert_eq(coir_gather_array(calls, TASKS), 0);
    cr_assert_leq(atomic_load(&crowd.most), PLACES);
    for (int i = 0; i < PLACES; i++)
        cr_assert_eq(coir_semaphore_try_acquire(&crowd.places), 0);
    cr_assert_eq(coir_semaphore_try_acquire(&crowd.places), -EAGAIN);
    return 0;
}

/* ---------------------------------------------------------------- order --- */

RunTestOn(1, semaphore, goes_to_its_waiters_in_the_order_in_which_they_came)
{
    enum { N = 20 };
    coir_semaphore places = COIR_SEMAPHORE(0);
    struct guest guests[N];
    coir_task *tasks[N];
    int arrivals = 0;
    for (int i = 0; i < N; i++) {
        guests[i] = (struct guest){ .places = &places, .arrivals = &arrivals };
        tasks[i] = coir_create_task(acquire_once, &guests[i]);
        let_all_wait();
    }
    coir_semaphore_release(&places);
    for (int i = 0; i < N; i++) {
        cr_assert_eq(coir_await(tasks[i]), 0);
        cr_assert_eq(guests[i].place, i);
    }
    return 0;
}

RunTestOn(1, semaphore, that_was_released_for_a_waiter_cannot_be_overtaken)
{
    coir_semaphore places = COIR_SEMAPHORE(0);
    struct guest guest = { .places = &places };
    coir_task *task = coir_create_task(acquire_once, &guest);
    let_all_wait();
    coir_semaphore_release(&places);
    cr_assert_eq(coir_semaphore_try_acquire(&places), -EAGAIN);
    cr_assert_eq(coir_semaphore_acquire(&places), 0); /* once the other has released it */
    cr_assert_eq(coir_await(task), 0);
    return 0;
}

/* -------------------------------------------------------- being refused --- */

RunTest(semaphore, acquired_by_a_cancelled_task_refuses_and_keeps_its_places)
{
    coir_semaphore places = COIR_SEMAPHORE(1);
    coir_shield shield;
    coir_cancel(coir_current_task());
    cr_assert_eq(coir_semaphore_acquire(&places), -ECANCELED);
    cr_assert_eq(coir_semaphore_try_acquire(&places), -ECANCELED);
    coir_shield_begin(&shield);
    cr_assert_eq(coir_semaphore_try_acquire(&places), 0);
    coir_shield_end(&shield);
    return 0;
}

RunTest(semaphore, acquired_past_a_deadline_refuses_and_keeps_its_places)
{
    coir_semaphore places = COIR_SEMAPHORE(1);
    coir_timeout limit;
    coir_timeout_begin(&limit, 0);
    cr_assert_eq(coir_semaphore_acquire(&places), -ETIMEDOUT);
    cr_assert_eq(coir_semaphore_try_acquire(&places), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    cr_assert_eq(coir_semaphore_try_acquire(&places), 0);
    return 0;
}

RunTest(semaphore, whose_waiter_is_cancelled_goes_to_the_next)
{
    coir_semaphore places = COIR_SEMAPHORE(0);
    struct guest first = { .places = &places }, second = { .places = &places };
    coir_task *a = coir_create_task(acquire_once, &first);
    let_them_wait();
    coir_task *b = coir_create_task(acquire_once, &second);
    let_them_wait();
    cr_assert_eq(coir_cancel_await(a), -ECANCELED);
    coir_semaphore_release(&places);
    cr_assert_eq(coir_await(b), 0);
    return 0;
}

RunTest(semaphore, whose_waiter_is_late_is_as_it_was)
{
    coir_semaphore places = COIR_SEMAPHORE(0);
    struct guest guest = { .places = &places };
    cr_assert_eq(coir_wait_for(coir_create_task(acquire_once, &guest), COIR_MILLISECONDS(1)),
                 -ETIMEDOUT);
    cr_assert_eq(coir_semaphore_try_acquire(&places), -EAGAIN);
    coir_semaphore_release(&places);
    cr_assert_eq(coir_semaphore_try_acquire(&places), 0);
    return 0;
}

RunTestOn(1, semaphore, released_to_a_waiter_that_is_cancelled_then_is_acquired_by_it)
{
    coir_semaphore places = COIR_SEMAPHORE(0);
    struct guest guest = { .places = &places };
    coir_task *task = coir_create_task(acquire_once, &guest);
    let_all_wait();
    coir_semaphore_release(&places);
    coir_cancel(task);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(guest.next_call, -ECANCELED);
    cr_assert_eq(coir_semaphore_try_acquire(&places), 0);
    return 0;
}

/* Whoever said 0 had a place; in the end all places are there. */
RunTest(semaphore, released_and_cancelled_at_once_loses_no_place)
{
    enum { N = 4 };
    coir_semaphore places = COIR_SEMAPHORE_BOUNDED(2);
    for (int i = 0; i < check_scale(3000); i++) {
        struct guest guests[N];
        coir_task *tasks[N];
        cr_assert_eq(coir_semaphore_acquire(&places), 0);
        cr_assert_eq(coir_semaphore_acquire(&places), 0);
        for (int k = 0; k < N; k++) {
            guests[k] = (struct guest){ .places = &places };
            tasks[k] = coir_create_task(acquire_once, &guests[k]);
        }
        if (i % 3)
            cr_assert_eq(coir_yield(), 0);
        coir_cancel(tasks[i % N]);
        coir_semaphore_release(&places);
        coir_cancel(tasks[i % 3]);
        coir_semaphore_release(&places);
        for (int k = 0; k < N; k++) {
            int rc = coir_await(tasks[k]);
            cr_assert(rc == 0 || (rc == -ECANCELED && (k == i % N || k == i % 3)));
        }
    }
    cr_assert_eq(coir_semaphore_try_acquire(&places), 0);
    cr_assert_eq(coir_semaphore_try_acquire(&places), 0);
    return 0;
}

/* -------------------------------------------------------------- threads --- */

static void release_it(void *places)
{
    coir_semaphore_release(places);
}

static void try_and_release_it(void *places)
{
    cr_assert_eq(coir_semaphore_try_acquire(places), 0);
    cr_assert_eq(coir_semaphore_try_acquire(places), -EAGAIN);
    coir_semaphore_release(places);
}

RunTest(semaphore, is_acquired_and_released_by_a_thread)
{
    coir_semaphore places = COIR_SEMAPHORE(1);
    struct guest guest = { .places = &places };
    in_thread(try_and_release_it, &places);
    cr_assert_eq(coir_semaphore_acquire(&places), 0);
    coir_task *task = coir_create_task(acquire_once, &guest);
    let_them_wait();
    cr_assert_not(coir_task_done(task));
    in_thread(release_it, &places);
    cr_assert_eq(coir_await(task), 0);
    return 0;
}

/* The waiter frees it while the thread may still be inside. */
RunTest(semaphore, released_by_a_thread_may_be_freed_at_once)
{
    struct helper helper;
    helper_start(&helper, release_it);
    for (int i = 0; i < check_scale(600); i++) {
        coir_semaphore *places = malloc(sizeof *places);
        coir_semaphore_init(places, 0);
        helper_lend(&helper, places);
        if (i % 2)
            cr_assert_eq(coir_semaphore_acquire(places), 0);
        else
            while (coir_semaphore_try_acquire(places) == -EAGAIN)
                cr_assert_eq(coir_yield(), 0);
        free_and_spoil(places, sizeof *places);
    }
    helper_stop(&helper);
    return 0;
}
