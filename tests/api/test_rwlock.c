/*
 * Readers and writers.
 */
#include "api/in_thread.h"

struct visitor {
    coir_rwlock *lock;
    bool writes;
    int *places; /* of writers, and of readers that are alone */
    int place;
    int rc;
    int next_call;
    atomic_int *inside;
    coir_event *leave; /* NULL: at once */
};

static int visit(void *arg)
{
    struct visitor *visitor = arg;
    visitor->rc = visitor->writes ? coir_rwlock_write_lock(visitor->lock)
                                  : coir_rwlock_read_lock(visitor->lock);
    visitor->next_call = coir_check();
    if (visitor->rc < 0)
        return visitor->rc;
    if (visitor->places)
        visitor->place = (*visitor->places)++;
    if (visitor->inside)
        atomic_fetch_add(visitor->inside, 1);
    if (visitor->leave)
        coir_event_wait(visitor->leave);
    coir_rwlock_unlock(visitor->lock);
    return 0;
}

RunTest(rwlock, of_zeros_is_unlocked)
{
    coir_rwlock lock = { { 0 } };
    cr_assert_eq(coir_rwlock_write_lock(&lock), 0);
    coir_rwlock_unlock(&lock);
    cr_assert_eq(coir_rwlock_read_lock(&lock), 0);
    coir_rwlock_unlock(&lock);
    return 0;
}

RunTest(rwlock, is_read_by_many_or_written_by_one)
{
    coir_rwlock lock = { { 0 } };
    cr_assert_eq(coir_rwlock_try_read_lock(&lock), 0);
    cr_assert_eq(coir_rwlock_try_read_lock(&lock), 0);
    cr_assert_eq(coir_rwlock_read_lock(&lock), 0);
    cr_assert_eq(coir_rwlock_try_write_lock(&lock), -EAGAIN);
    coir_rwlock_unlock(&lock);
    coir_rwlock_unlock(&lock);
    cr_assert_eq(coir_rwlock_try_write_lock(&lock), -EAGAIN);
    coir_rwlock_unlock(&lock);
    cr_assert_eq(coir_rwlock_try_write_lock(&lock), 0);
    cr_assert_eq(coir_rwlock_try_write_lock(&lock), -EAGAIN);
    cr_assert_eq(coir_rwlock_try_read_lock(&lock), -EAGAIN);
    coir_rwlock_unlock(&lock);
    cr_assert_eq(coir_rwlock_try_read_lock(&lock), 0);
    coir_rwlock_unlock(&lock);
    return 0;
}

/* All readers are in at once: none leaves before the last has come. */
RunTest(rwlock, unlocked_by_a_writer_lets_all_readers_in_at_once)
{
    enum { N = 10 };
    coir_rwlock lock = { { 0 } };
    coir_event leave = { { 0 } };
    atomic_int inside = 0;
    struct visitor visitors[N];
    coir_task *tasks[N];
    cr_assert_eq(coir_rwlock_write_lock(&lock), 0);
    for (int i = 0; i < N; i++) {
        visitors[i] = (struct visitor){ .lock = &lock, .inside = &inside, .leave = &leave };
        tasks[i] = coir_create_task(visit, &visitors[i]);
    }
    let_them_wait();
    cr_assert_eq(atomic_load(&inside), 0);
    coir_rwlock_unlock(&lock);
    yield_until(&inside, N);
    coir_event_set(&leave);
    for (int i = 0; i < N; i++)
        cr_assert_eq(coir_await(tasks[i]), 0);
    return 0;
}

RunTest(rwlock, writer_waits_for_the_last_reader)
{
    coir_rwlock lock = { { 0 } };
    struct visitor writer = { .lock = &lock, .writes = true };
    cr_assert_eq(coir_rwlock_read_lock(&lock), 0);
    cr_assert_eq(coir_rwlock_read_lock(&lock), 0);
    coir_task *task = coir_create_task(visit, &writer);
    let_them_wait();
    coir_rwlock_unlock(&lock);
    let_them_wait();
    cr_assert_not(coir_task_done(task));
    coir_rwlock_unlock(&lock);
    cr_assert_eq(coir_await(task), 0);
    return 0;
}

/* Read, written, read: each waits for those before, though two could read at once. */
RunTestOn(1, rwlock, reader_that_comes_while_a_writer_waits_goes_behind_it)
{
    coir_rwlock lock = { { 0 } };
    int places = 0;
    struct visitor writer = { .lock = &lock, .writes = true, .places = &places };
    struct visitor reader = { .lock = &lock, .places = &places };
    cr_assert_eq(coir_rwlock_read_lock(&lock), 0);
    coir_task *a = coir_create_task(visit, &writer);
    let_all_wait();
    cr_assert_eq(coir_rwlock_try_read_lock(&lock), -EAGAIN);
    coir_task *b = coir_create_task(visit, &reader);
    let_all_wait();
    cr_assert_not(coir_task_done(b));
    coir_rwlock_unlock(&lock);
    cr_assert_eq(coir_await(a), 0);
    cr_assert_eq(coir_await(b), 0);
    cr_assert_eq(writer.place, 0);
    cr_assert_eq(reader.place, 1);
    return 0;
}

RunTestOn(1, rwlock, goes_to_writers_in_the_order_in_which_they_came)
{
    enum { N = 10 };
    coir_rwlock lock = { { 0 } };
    struct visitor visitors[N];
    coir_task *tasks[N];
    int places = 0;
    cr_assert_eq(coir_rwlock_write_lock(&lock), 0);
    for (int i = 0; i < N; i++) {
        visitors[i] = (struct visitor){ .lock = &lock, .writes = true, .places = &places };
        tasks[i] = coir_create_task(visit, &visitors[i]);
        let_all_wait();
    }
    coir_rwlock_unlock(&lock);
    cr_assert_eq(coir_rwlock_try_write_lock(&lock), -EAGAIN);
    for (int i = 0; i < N; i++) {
        cr_assert_eq(coir_await(tasks[i]), 0);
        cr_assert_eq(visitors[i].place, i);
    }
    return 0;
}

/* Two fields that a writer changes one after the other. */
struct pair {
    coir_rwlock lock;
    int a, b, rounds;
};

static int write_pairs(void *arg)
{
    struct pair *pair = arg;
    for (int i = 0; i < pair->rounds; i++) {
        cr_assert_eq(coir_rwlock_write_lock(&pair->lock), 0);
        pair->a++;
        if (i % 4 == 0)
            cr_assert_eq(coir_yield(), 0);
        pair->b++;
        coir_rwlock_unlock(&pair->lock);
    }
    return 0;
}

static int read_pairs(void *arg)
{
    struct pair *pair = arg;
    for (int i = 0; i < pair->rounds; i++) {
        cr_assert_eq(coir_rwlock_read_lock(&pair->lock), 0);
        int a = pair->a;
        if (i % 4 == 0)
            cr_assert_eq(coir_yield(), 0);
        cr_assert_eq(a, pair->b);
        coir_rwlock_unlock(&pair->lock);
    }
    return 0;
}

RunTest(rwlock, readers_never_see_half_of_what_a_writer_does)
{
    enum { TASKS = 16 };
    struct pair pair = { .rounds = check_scale(300) };
    coir_call calls[TASKS];
    for (int i = 0; i < TASKS; i++)
        calls[i] = (coir_call){ i % 4 ? read_pairs : write_pairs, &pair, 0 };
    cr_assert_eq(coir_gather_array(calls, TASKS), 0);
    cr_assert_eq(pair.a, TASKS / 4 * pair.rounds);
    return 0;
}

/* -------------------------------------------------------- being refused --- */

RunTest(rwlock, locked_by_a_cancelled_task_refuses_and_stays_unlocked)
{
    coir_rwlock lock = { { 0 } };
    coir_task *self = coir_current_task();
    coir_cancel(self);
    cr_assert_eq(coir_rwlock_read_lock(&lock), -ECANCELED);
    cr_assert_eq(coir_rwlock_write_lock(&lock), -ECANCELED);
    cr_assert_eq(coir_rwlock_try_read_lock(&lock), -ECANCELED);
    cr_assert_eq(coir_rwlock_try_write_lock(&lock), -ECANCELED);
    coir_shield shield;
    coir_shield_begin(&shield);
    cr_assert_eq(coir_rwlock_try_write_lock(&lock), 0);
    coir_rwlock_unlock(&lock);
    coir_shield_end(&shield);
    return 0;
}

RunTest(rwlock, locked_past_a_deadline_refuses_and_stays_unlocked)
{
    coir_rwlock lock = { { 0 } };
    coir_timeout limit;
    coir_timeout_begin(&limit, 0);
    cr_assert_eq(coir_rwlock_read_lock(&lock), -ETIMEDOUT);
    cr_assert_eq(coir_rwlock_write_lock(&lock), -ETIMEDOUT);
    cr_assert_eq(coir_rwlock_try_read_lock(&lock), -ETIMEDOUT);
    cr_assert_eq(coir_rwlock_try_write_lock(&lock), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    cr_assert_eq(coir_rwlock_try_write_lock(&lock), 0);
    coir_rwlock_unlock(&lock);
    return 0;
}

RunTest(rwlock, whose_waiting_writer_is_cancelled_lets_the_readers_behind_it_in)
{
    coir_rwlock lock = { { 0 } };
    struct visitor writer = { .lock = &lock, .writes = true }, reader = { .lock = &lock };
    cr_assert_eq(coir_rwlock_read_lock(&lock), 0);
    coir_task *a = coir_create_task(visit, &writer);
    let_them_wait();
    coir_task *b = coir_create_task(visit, &reader);
    let_them_wait();
    cr_assert_eq(coir_cancel_await(a), -ECANCELED);
    cr_assert_eq(coir_await(b), 0); /* the first reader is still in */
    coir_rwlock_unlock(&lock);
    cr_assert_eq(coir_rwlock_try_write_lock(&lock), 0);
    coir_rwlock_unlock(&lock);
    return 0;
}

RunTest(rwlock, whose_waiting_reader_is_cancelled_is_as_it_was)
{
    coir_rwlock lock = { { 0 } };
    struct visitor reader = { .lock = &lock }, writer = { .lock = &lock, .writes = true };
    cr_assert_eq(coir_rwlock_write_lock(&lock), 0);
    coir_task *a = coir_create_task(visit, &reader), *b = coir_create_task(visit, &writer);
    let_them_wait();
    cr_assert_eq(coir_cancel_await(a), -ECANCELED);
    coir_rwlock_unlock(&lock);
    cr_assert_eq(coir_await(b), 0);
    return 0;
}

RunTest(rwlock, whose_waiters_are_late_is_as_it_was)
{
    coir_rwlock lock = { { 0 } };
    struct visitor reader = { .lock = &lock }, writer = { .lock = &lock, .writes = true };
    cr_assert_eq(coir_rwlock_write_lock(&lock), 0);
    cr_assert_eq(coir_wait_for(coir_create_task(visit, &reader), COIR_MILLISECONDS(1)),
                 -ETIMEDOUT);
    cr_assert_eq(coir_wait_for(coir_create_task(visit, &writer), COIR_MILLISECONDS(1)),
                 -ETIMEDOUT);
    coir_rwlock_unlock(&lock);
    cr_assert_eq(coir_rwlock_try_write_lock(&lock), 0);
    coir_rwlock_unlock(&lock);
    return 0;
}

RunTestOn(1, rwlock, given_to_a_waiter_that_is_cancelled_then_is_held_by_it)
{
    for (int writes = 0; writes < 2; writes++) {
        coir_rwlock lock = { { 0 } };
        struct visitor visitor = { .lock = &lock, .writes = writes };
        cr_assert_eq(coir_rwlock_write_lock(&lock), 0);
        coir_task *task = coir_create_task(visit, &visitor);
        let_all_wait();
        coir_rwlock_unlock(&lock);
        coir_cancel(task);
        cr_assert_eq(coir_await(task), 0);
        cr_assert_eq(visitor.next_call, -ECANCELED);
        cr_assert_eq(coir_rwlock_try_write_lock(&lock), 0);
        coir_rwlock_unlock(&lock);
    }
    return 0;
}

/* Cancels against unlocks: nobody hangs, and in the end it is unlocked. */
RunTest(rwlock, unlocked_and_cancelled_at_once_is_held_or_not)
{
    enum { N = 4 };
    coir_rwlock lock = { { 0 } };
    for (int i = 0; i < check_scale(3000); i++) {
        struct visitor visitors[N];
        coir_task *tasks[N];
        cr_assert_eq(i % 2 ? coir_rwlock_read_lock(&lock) : coir_rwlock_write_lock(&lock), 0);
        for (int k = 0; k < N; k++) {
            visitors[k] = (struct visitor){ .lock = &lock, .writes = (i >> k) % 2 };
            tasks[k] = coir_create_task(visit, &visitors[k]);
        }
        if (i % 3)
            cr_assert_eq(coir_yield(), 0);
        coir_cancel(tasks[i % 5 % N]);
        coir_rwlock_unlock(&lock);
        coir_cancel(tasks[i % 7 % N]);
        for (int k = 0; k < N; k++) {
            int rc = coir_await(tasks[k]);
            cr_assert(rc == 0 || rc == -ECANCELED);
        }
        cr_assert_eq(coir_rwlock_try_write_lock(&lock), 0);
        coir_rwlock_unlock(&lock);
    }
    return 0;
}

/* -------------------------------------------------------------- threads --- */

static void try_both(void *lock)
{
    cr_assert_eq(coir_rwlock_try_read_lock(lock), 0);
    cr_assert_eq(coir_rwlock_try_read_lock(lock), 0);
    cr_assert_eq(coir_rwlock_try_write_lock(lock), -EAGAIN);
    coir_rwlock_unlock(lock);
}

static void unlock_it(void *lock)
{
    coir_rwlock_unlock(lock);
}

RunTest(rwlock, locked_by_a_thread_makes_tasks_wait)
{
    coir_rwlock lock = { { 0 } };
    struct visitor writer = { .lock = &lock, .writes = true };
    in_thread(try_both, &lock);
    coir_task *task = coir_create_task(visit, &writer);
    let_them_wait();
    cr_assert_not(coir_task_done(task));
    in_thread(unlock_it, &lock);
    cr_assert_eq(coir_await(task), 0);
    return 0;
}

/* Who was let in frees it, while the thread that let it in may still be inside. */
RunTest(rwlock, unlocked_by_a_thread_may_be_freed_at_once)
{
    struct helper helper;
    helper_start(&helper, unlock_it);
    for (int i = 0; i < check_scale(2000); i++) {
        coir_rwlock *lock = calloc(1, sizeof *lock);
        cr_assert_eq(coir_rwlock_write_lock(lock), 0);
        helper_lend(&helper, lock);
        cr_assert_eq(i % 2 ? coir_rwlock_read_lock(lock) : coir_rwlock_write_lock(lock), 0);
        coir_rwlock_unlock(lock);
        free_and_spoil(lock, sizeof *lock);
    }
    helper_stop(&helper);
    return 0;
}
