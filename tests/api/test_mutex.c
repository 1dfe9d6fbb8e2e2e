/*
 * Mutexes: one task at a time, who waits, who is refused, and who is next.
 */
#include "api/in_thread.h"

/* A task that locks, notes its place among those that did, and unlocks. */
struct locker {
    coir_mutex *mutex;
    int *places; /* changed by the holder alone */
    int place;
    int rc;
    int next_call; /* what a call said that came after the lock */
};

static int lock_once(void *arg)
{
    struct locker *locker = arg;
    locker->rc = coir_mutex_lock(locker->mutex);
    locker->next_call = coir_check();
    if (locker->rc < 0)
        return locker->rc;
    locker->place = locker->places ? (*locker->places)++ : 0;
    coir_mutex_unlock(locker->mutex);
    return 0;
}

RunTest(mutex, of_zeros_is_unlocked)
{
    coir_mutex mutex = { 0 };
    cr_assert_eq(coir_mutex_lock(&mutex), 0);
    cr_assert_eq(coir_mutex_try_lock(&mutex), -EAGAIN);
    coir_mutex_unlock(&mutex);
    cr_assert_eq(coir_mutex_try_lock(&mutex), 0);
    coir_mutex_unlock(&mutex);
    coir_mutex_lock_always(&mutex);
    cr_assert_eq(coir_mutex_try_lock(&mutex), -EAGAIN);
    coir_mutex_unlock(&mutex);
    return 0;
}

RunTest(mutex, locked_makes_another_wait_until_it_is_unlocked)
{
    coir_mutex mutex = { 0 };
    struct locker locker = { .mutex = &mutex };
    cr_assert_eq(coir_mutex_lock(&mutex), 0);
    coir_task *task = coir_create_task(lock_once, &locker);
    let_them_wait();
    cr_assert_not(coir_task_done(task));
    coir_mutex_unlock(&mutex);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(coir_mutex_try_lock(&mutex), 0);
    coir_mutex_unlock(&mutex);
    return 0;
}

/* Tasks that count, with a suspension between the look and the store. */
struct counted {
    coir_mutex mutex;
    int value, rounds;
};

static int count_up(void *arg)
{
    struct counted *counted = arg;
    for (int i = 0; i < counted->rounds; i++) {
        if (i % 16)
            cr_assert_eq(coir_mutex_lock(&counted->mutex), 0);
        else
            coir_mutex_lock_always(&counted->mutex);
        int value = counted->value;
        if (i % 8 == 0)
            cr_assert_eq(coir_yield(), 0);
        counted->value = value + 1;
        coir_mutex_unlock(&counted->mutex);
    }
    return 0;
}

static void count_with_tasks(struct counted *counted)
{
    enum { TASKS = 20 };
    coir_call calls[TASKS];
    counted->rounds = check_scale(500);
    for (int i = 0; i < TASKS; i++)
        calls[i] = (coir_call){ count_up, counted, 0 };
    cr_assert_eq(coir_gather_array(calls, TASKS), 0);
    cr_assert_eq(counted->value, TASKS * counted->rounds);
}

RunTest(mutex, guards_what_many_tasks_change)
{
    struct counted counted = { .mutex = { { 0 }, 0 } };
    count_with_tasks(&counted);
    return 0;
}

RunTest(mutex, in_order_guards_what_many_tasks_change)
{
    struct counted counted = { .mutex = COIR_MUTEX_FIFO };
    count_with_tasks(&counted);
    return 0;
}

/* A mutex that lies in what it guards: who finds that he is the last frees both. */
struct shared {
    coir_mutex mutex;
    int users;
};

static int leave_shared(void *arg)
{
    struct shared *shared = arg;
    int rc = coir_mutex_lock(&shared->mutex);
    if (rc < 0)
        coir_mutex_lock_always(&shared->mutex);
    bool last = --shared->users == 0;
    coir_mutex_unlock(&shared->mutex);
    if (last)
        free(shared);
    return rc;
}

RunTest(mutex, may_be_freed_by_its_last_user)
{
    enum { USERS = 4 };
    for (int i = 0; i < check_scale(3000); i++) {
        struct shared *shared = calloc(1, sizeof *shared);
        coir_task *tasks[USERS];
        if (i % 2)
            shared->mutex = (coir_mutex)COIR_MUTEX_FIFO;
        shared->users = USERS + 1;
        cr_assert_eq(coir_mutex_lock(&shared->mutex), 0);
        for (int k = 0; k < USERS; k++)
            tasks[k] = coir_create_task(leave_shared, shared);
        if (i % 3)
            cr_assert_eq(coir_yield(), 0);
        if (i % 5 < USERS)
            coir_cancel(tasks[i % 5]);
        shared->users--;
        coir_mutex_unlock(&shared->mutex);
        for (int k = 0; k < USERS; k++) {
            int rc = coir_await(tasks[k]);
            cr_assert(rc == 0 || rc == -ECANCELED);
        }
    }
    return 0;
}

/* -------------------------------------------------------- being refused --- */

RunTest(mutex, locked_by_a_cancelled_task_refuses_and_stays_unlocked)
{
    coir_mutex mutex = { 0 };
    coir_cancel(coir_current_task());
    cr_assert_eq(coir_mutex_lock(&mutex), -ECANCELED);
    cr_assert_eq(coir_mutex_try_lock(&mutex), -ECANCELED);
    coir_mutex_lock_always(&mutex);
    coir_mutex_unlock(&mutex);
    return 0;
}

RunTest(mutex, locked_past_a_deadline_refuses_and_stays_unlocked)
{
    coir_mutex mutex = { 0 };
    coir_timeout limit;
    coir_timeout_begin(&limit, 0);
    cr_assert_eq(coir_mutex_lock(&mutex), -ETIMEDOUT);
    cr_assert_eq(coir_mutex_try_lock(&mutex), -ETIMEDOUT);
    coir_mutex_lock_always(&mutex);
    coir_mutex_unlock(&mutex);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    return 0;
}

RunTest(mutex, whose_waiter_is_cancelled_goes_to_the_next)
{
    coir_mutex mutex = { 0 };
    struct locker first = { .mutex = &mutex }, second = { .mutex = &mutex };
    cr_assert_eq(coir_mutex_lock(&mutex), 0);
    coir_task *a = coir_create_task(lock_once, &first), *b = coir_create_task(lock_once, &second);
    let_them_wait();
    cr_assert_eq(coir_cancel_await(a), -ECANCELED);
    cr_assert_not(coir_task_done(b));
    coir_mutex_unlock(&mutex);
    cr_assert_eq(coir_await(b), 0);
    return 0;
}

RunTest(mutex, whose_waiter_is_late_is_as_it_was)
{
    coir_mutex mutex = { 0 };
    struct locker locker = { .mutex = &mutex };
    cr_assert_eq(coir_mutex_lock(&mutex), 0);
    cr_assert_eq(coir_wait_for(coir_create_task(lock_once, &locker), COIR_MILLISECONDS(1)),
                 -ETIMEDOUT);
    coir_mutex_unlock(&mutex);
    cr_assert_eq(coir_mutex_try_lock(&mutex), 0);
    coir_mutex_unlock(&mutex);
    return 0;
}

RunTest(mutex, locked_twice_by_a_task_makes_it_wait_for_itself)
{
    coir_mutex mutex = { 0 };
    coir_timeout limit;
    cr_assert_eq(coir_mutex_lock(&mutex), 0);
    coir_timeout_begin(&limit, COIR_MILLISECONDS(1));
    cr_assert_eq(coir_mutex_lock(&mutex), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    coir_mutex_unlock(&mutex);
    return 0;
}

RunTestOn(1, mutex, given_to_a_waiter_that_is_cancelled_then_is_held_by_it)
{
    coir_mutex mutex = COIR_MUTEX_FIFO;
    struct locker locker = { .mutex = &mutex };
    cr_assert_eq(coir_mutex_lock(&mutex), 0);
    coir_task *task = coir_create_task(lock_once, &locker);
    let_all_wait();
    coir_mutex_unlock(&mutex);
    coir_cancel(task);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(locker.rc, 0);
    cr_assert_eq(locker.next_call, -ECANCELED);
    cr_assert_eq(coir_mutex_try_lock(&mutex), 0);
    coir_mutex_unlock(&mutex);
    return 0;
}

/* The woken one comes too late and is cancelled: nobody's turn is lost.  It has not waited
   for a millisecond, for all that the worker knows: that has not looked at the clock. */
RunTestOn(1, mutex, whose_woken_waiter_is_cancelled_while_another_was_faster_goes_to_the_next,
          .init = forget_debug)
{
    coir_mutex mutex = { 0 };
    struct locker first = { .mutex = &mutex }, second = { .mutex = &mutex };
    cr_assert_eq(coir_mutex_lock(&mutex), 0);
    coir_task *a = coir_create_task(lock_once, &first), *b = coir_create_task(lock_once, &second);
    let_all_wait();
    coir_mutex_unlock(&mutex);
    cr_assert_eq(coir_mutex_try_lock(&mutex), 0);
    cr_assert_eq(coir_cancel_await(a), -ECANCELED);
    cr_assert_not(coir_task_done(b));
    coir_mutex_unlock(&mutex);
    cr_assert_eq(coir_await(b), 0);
    return 0;
}

static int lock_always_once(void *arg)
{
    struct locker *locker = arg;
    coir_mutex_lock_always(locker->mutex);
    locker->next_call = coir_check();
    locker->place = 1;
    coir_mutex_unlock(locker->mutex);
    return locker->next_call;
}

RunTest(mutex, locked_always_waits_though_cancelled)
{
    coir_mutex mutex = { 0 };
    struct locker before = { .mutex = &mutex }, during = { .mutex = &mutex };
    cr_assert_eq(coir_mutex_lock(&mutex), 0);
    coir_task *a = coir_create_task(lock_always_once, &during);
    let_them_wait();
    coir_cancel(a);
    coir_task *b = coir_create_task(lock_always_once, &before);
    coir_cancel(b);
    let_them_wait();
    cr_assert_not(coir_task_done(a));
    cr_assert_not(coir_task_done(b));
    coir_mutex_unlock(&mutex);
    cr_assert_eq(coir_await(a), -ECANCELED);
    cr_assert_eq(coir_await(b), -ECANCELED);
    cr_assert_eq(before.place + during.place, 2);
    return 0;
}

static int unlock_soon(void *mutex)
{
    int rc = coir_sleep(COIR_MILLISECONDS(3));
    coir_mutex_unlock(mutex);
    return rc;
}

RunTest(mutex, locked_always_waits_though_late)
{
    coir_mutex mutex = { 0 };
    coir_timeout limit;
    cr_assert_eq(coir_mutex_lock(&mutex), 0);
    coir_timeout_begin(&limit, 0);
    cr_assert_eq(coir_mutex_lock(&mutex), -ETIMEDOUT);
    coir_task *task = coir_create_task(unlock_soon, &mutex);
    coir_mutex_lock_always(&mutex);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    cr_assert_eq(coir_mutex_try_lock(&mutex), -EAGAIN);
    coir_mutex_unlock(&mutex);
    cr_assert_eq(coir_await(task), 0);
    return 0;
}

/* Cancels against unlocks, at every distance: whoever said 0 held it, and nobody hangs. */
RunTest(mutex, unlocked_and_cancelled_at_once_is_held_or_not)
{
    coir_mutex mutex = { 0 }, ordered = COIR_MUTEX_FIFO;
    for (int i = 0; i < check_scale(3000); i++) {
        coir_mutex *this = i % 2 ? &mutex : &ordered;
        int places = 0;
        struct locker lockers[3];
        coir_task *tasks[3];
        cr_assert_eq(coir_mutex_lock(this), 0);
        for (int k = 0; k < 3; k++) {
            lockers[k] = (struct locker){ .mutex = this, .places = &places };
            tasks[k] = coir_create_task(lock_once, &lockers[k]);
        }
        if (i % 3)
            cr_assert_eq(coir_yield(), 0);
        if (i % 5 < 3)
            coir_cancel(tasks[i % 5]);
        coir_mutex_unlock(this);
        if (i % 7 < 3)
            coir_cancel(tasks[i % 7]);
        int held = 0;
        for (int k = 0; k < 3; k++) {
            int rc = coir_await(tasks[k]);
            cr_assert(rc == 0 || rc == -ECANCELED);
            held += rc == 0;
        }
        cr_assert_eq(places, held);
    }
    return 0;
}

/* ---------------------------------------------------------------- order --- */

static void lock_in_turn(coir_mutex *mutex)
{
    enum { N = 20 };
    struct locker lockers[N];
    coir_task *tasks[N];
    int places = 0;
    cr_assert_eq(coir_mutex_lock(mutex), 0);
    for (int i = 0; i < N; i++) {
        lockers[i] = (struct locker){ .mutex = mutex, .places = &places };
        tasks[i] = coir_create_task(lock_once, &lockers[i]);
        let_all_wait();
    }
    coir_mutex_unlock(mutex);
    for (int i = 0; i < N; i++) {
        cr_assert_eq(coir_await(tasks[i]), 0);
        cr_assert_eq(lockers[i].place, i);
    }
}

RunTestOn(1, mutex, goes_to_its_waiters_in_the_order_in_which_they_came, .init = forget_debug)
{
    coir_mutex mutex = { 0 }, ordered = COIR_MUTEX_FIFO;
    lock_in_turn(&mutex);
    lock_in_turn(&ordered);
    return 0;
}

RunTestOn(1, mutex, unlocked_is_free_for_whoever_comes_first, .init = forget_debug)
{
    coir_mutex mutex = { 0 };
    struct locker locker = { .mutex = &mutex };
    cr_assert_eq(coir_mutex_lock(&mutex), 0);
    coir_task *task = coir_create_task(lock_once, &locker);
    let_all_wait();
    coir_mutex_unlock(&mutex);
    cr_assert_eq(coir_mutex_try_lock(&mutex), 0);
    coir_mutex_unlock(&mutex);
    cr_assert_eq(coir_await(task), 0);
    return 0;
}

RunTestOn(1, mutex, in_order_that_is_unlocked_belongs_to_who_waits)
{
    coir_mutex mutex = COIR_MUTEX_FIFO;
    struct locker locker = { .mutex = &mutex };
    cr_assert_eq(coir_mutex_lock(&mutex), 0);
    coir_task *task = coir_create_task(lock_once, &locker);
    let_all_wait();
    coir_mutex_unlock(&mutex);
    cr_assert_eq(coir_mutex_try_lock(&mutex), -EAGAIN);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(coir_mutex_try_lock(&mutex), 0);
    coir_mutex_unlock(&mutex);
    return 0;
}

/* One task unlocks and locks again at once, for ever: the other gets it all the same. */
RunTest(mutex, is_given_to_who_was_woken_in_vain_too_long)
{
    coir_mutex mutex = { 0 };
    struct locker locker = { .mutex = &mutex };
    cr_assert_eq(coir_mutex_lock(&mutex), 0);
    coir_task *task = coir_create_task(lock_once, &locker);
    while (!coir_task_done(task)) {
        cr_assert_eq(coir_yield(), 0);
        coir_mutex_unlock(&mutex);
        cr_assert_eq(coir_mutex_lock(&mutex), 0);
    }
    coir_mutex_unlock(&mutex);
    cr_assert_eq(coir_await(task), 0);
    return 0;
}

/* -------------------------------------------------------------- threads --- */

static void try_from_thread(void *arg)
{
    struct locker *locker = arg;
    locker->rc = coir_mutex_try_lock(locker->mutex);
}

static void unlock_it(void *mutex)
{
    coir_mutex_unlock(mutex);
}

RunTest(mutex, locked_by_a_thread_makes_threads_and_tasks_wait)
{
    coir_mutex mutex = { 0 };
    struct locker thread = { .mutex = &mutex }, locker = { .mutex = &mutex };
    in_thread(try_from_thread, &thread);
    cr_assert_eq(thread.rc, 0);
    in_thread(try_from_thread, &thread);
    cr_assert_eq(thread.rc, -EAGAIN);
    cr_assert_eq(coir_mutex_try_lock(&mutex), -EAGAIN);
    coir_task *task = coir_create_task(lock_once, &locker);
    let_them_wait();
    cr_assert_not(coir_task_done(task));
    in_thread(unlock_it, &mutex);
    cr_assert_eq(coir_await(task), 0);
    return 0;
}

Test(mutex, works_without_a_run)
{
    static coir_mutex mutex;
    cr_assert_eq(coir_mutex_try_lock(&mutex), 0);
    cr_assert_eq(coir_mutex_try_lock(&mutex), -EAGAIN);
    coir_mutex_unlock(&mutex);
}

static int unlock_for_another(void *mutex)
{
    coir_mutex_unlock(mutex);
    return 0;
}

RunTest(mutex, may_be_unlocked_by_another_task)
{
    coir_mutex mutex = { 0 };
    cr_assert_eq(coir_mutex_lock(&mutex), 0);
    cr_assert_eq(coir_await(coir_create_task(unlock_for_another, &mutex)), 0);
    cr_assert_eq(coir_mutex_try_lock(&mutex), 0);
    coir_mutex_unlock(&mutex);
    return 0;
}

static void *run_in_thread(void *counted)
{
    cr_assert_eq(coir_run(count_up, counted), 0);
    return NULL;
}

Test(mutex, works_between_the_tasks_of_several_runs)
{
    enum { RUNS = 3 };
    struct counted counted = { .rounds = check_scale(2000) };
    pthread_t threads[RUNS];
    for (int i = 0; i < RUNS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, run_in_thread, &counted), 0);
    for (int i = 0; i < RUNS; i++)
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
    cr_assert_eq(counted.value, RUNS * counted.rounds);
}

/* Who has got it frees it, while the thread that unlocked it may still be inside. */
RunTest(mutex, unlocked_by_a_thread_may_be_freed_at_once)
{
    struct helper helper;
    helper_start(&helper, unlock_it);
    for (int i = 0; i < check_scale(2000); i++) {
        coir_mutex *mutex = malloc(sizeof *mutex);
        *mutex = i % 2 ? (coir_mutex){ { 0 }, 0 } : (coir_mutex)COIR_MUTEX_FIFO;
        cr_assert_eq(coir_mutex_lock(mutex), 0);
        helper_lend(&helper, mutex);
        cr_assert_eq(coir_mutex_lock(mutex), 0);
        coir_mutex_unlock(mutex);
        free_and_spoil(mutex, sizeof *mutex);
    }
    helper_stop(&helper);
    return 0;
}
