/*
 * Conditions: waiting for what a mutex guards to change.
 */
#include "api/in_thread.h"

struct waiter {
    coir_cond *cond;
    coir_mutex *mutex;
    atomic_int *waiting; /* that have the mutex, and are about to wait */
    int *woken;          /* changed by the holder of the mutex alone */
    int place;
    int rc;
    int next_call;
};

static void expect_held(coir_mutex *mutex)
{
    coir_shield shield;
    coir_shield_begin(&shield);
    cr_assert_eq(coir_mutex_try_lock(mutex), -EAGAIN);
    coir_shield_end(&shield);
}

static int wait_once(void *arg)
{
    struct waiter *waiter = arg;
    cr_assert_eq(coir_mutex_lock(waiter->mutex), 0);
    if (waiter->waiting)
        atomic_fetch_add(waiter->waiting, 1);
    waiter->place = -1;
    waiter->rc = coir_cond_wait(waiter->cond, waiter->mutex);
    waiter->next_call = coir_check();
    expect_held(waiter->mutex);
    if (waiter->rc == 0 && waiter->woken)
        waiter->place = (*waiter->woken)++;
    coir_mutex_unlock(waiter->mutex);
    return waiter->rc;
}

/* With the mutex held, again on return. */
static void let_it_change(const int *value, int n, coir_mutex *mutex)
{
    while (*value < n) {
        coir_mutex_unlock(mutex);
        cr_assert_eq(coir_yield(), 0);
        cr_assert_eq(coir_mutex_lock(mutex), 0);
    }
}

/* Who counted them and then gets the mutex knows that they wait. */
static void start_waiters(struct waiter *waiters, coir_task **tasks, int n,
                          const struct waiter *like)
{
    for (int i = 0; i < n; i++) {
        waiters[i] = *like;
        tasks[i] = coir_create_task(wait_once, &waiters[i]);
    }
    yield_until(like->waiting, n);
    cr_assert_eq(coir_mutex_lock(like->mutex), 0);
}

RunTest(cond, notified_wakes_one_with_the_mutex)
{
    coir_cond cond = { { 0 } };
    coir_mutex mutex = { 0 };
    atomic_int waiting = 0;
    struct waiter waiter;
    coir_task *task;
    start_waiters(&waiter, &task, 1, &(struct waiter){ &cond, &mutex, .waiting = &waiting });
    coir_cond_notify(&cond);
    coir_mutex_unlock(&mutex);
    cr_assert_eq(coir_await(task), 0);
    return 0;
}

RunTest(cond, notified_with_nobody_waiting_is_forgotten)
{
    coir_cond cond = { { 0 } };
    coir_mutex mutex = { 0 };
    coir_timeout limit;
    coir_cond_notify(&cond);
    coir_cond_notify_all(&cond);
    cr_assert_eq(coir_mutex_lock(&mutex), 0);
    coir_timeout_begin(&limit, COIR_MILLISECONDS(1));
    cr_assert_eq(coir_cond_wait(&cond, &mutex), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    coir_mutex_unlock(&mutex);
    return 0;
}

RunTest(cond, notified_wakes_as_many_as_notifications)
{
    enum { N = 10 };
    coir_cond cond = { { 0 } };
    coir_mutex mutex = { 0 };
    atomic_int waiting = 0;
    struct waiter waiters[N];
    coir_task *tasks[N];
    int woken = 0;
    struct waiter like = { &cond, &mutex, &waiting, .woken = &woken };
    start_waiters(waiters, tasks, N, &like);
    for (int i = 0; i < 4; i++)
        coir_cond_notify(&cond);
    let_it_change(&woken, 4, &mutex);
    coir_mutex_unlock(&mutex);
    let_them_wait();
    int cancelled = 0;
    for (int i = 0; i < N; i++)
        coir_cancel(tasks[i]);
    for (int i = 0; i < N; i++)
        cancelled += coir_await(tasks[i]) == -ECANCELED;
    cr_assert_eq(woken, 4);
    cr_assert_eq(cancelled, N - 4);
    return 0;
}

RunTest(cond, notified_all_wakes_all_that_wait_then)
{
    enum { N = 10 };
    coir_cond cond = { { 0 } };
    coir_mutex mutex = { 0 };
    atomic_int waiting = 0;
    struct waiter waiters[N];
    coir_task *tasks[N];
    start_waiters(waiters, tasks, N, &(struct waiter){ &cond, &mutex, .waiting = &waiting });
    coir_cond_notify_all(&cond);
    coir_mutex_unlock(&mutex);
    for (int i = 0; i < N; i++)
        cr_assert_eq(coir_await(tasks[i]), 0);
    return 0;
}

RunTestOn(1, cond, wakes_its_waiters_in_the_order_in_which_they_came)
{
    enum { N = 10 };
    for (int all = 0; all < 2; all++) {
        coir_cond cond = { { 0 } };
        coir_mutex mutex = COIR_MUTEX_FIFO;
        atomic_int waiting = 0;
        struct waiter waiters[N];
        coir_task *tasks[N];
        int woken = 0;
        struct waiter like = { &cond, &mutex, &waiting, .woken = &woken };
        for (int i = 0; i < N; i++) {
            waiters[i] = like;
            tasks[i] = coir_create_task(wait_once, &waiters[i]);
            let_all_wait();
        }
        cr_assert_eq(coir_mutex_lock(&mutex), 0);
        if (all)
            coir_cond_notify_all(&cond);
        for (int i = 0; i < N; i++)
            coir_cond_notify(&cond);
        coir_mutex_unlock(&mutex);
        for (int i = 0; i < N; i++) {
            cr_assert_eq(coir_await(tasks[i]), 0);
            cr_assert_eq(waiters[i].place, i);
        }
    }
    return 0;
}

/* A slot that one side fills and the other empties. */
struct handed {
    coir_mutex mutex;
    coir_cond changed;
    bool full;
    int item, rounds;
    int64_t sum;
};

static int fill(void *arg)
{
    struct handed *handed = arg;
    for (int i = 1; i <= handed->rounds; i++) {
        cr_assert_eq(coir_mutex_lock(&handed->mutex), 0);
        while (handed->full)
            cr_assert_eq(coir_cond_wait(&handed->changed, &handed->mutex), 0);
        handed->item = i;
        handed->full = true;
        coir_cond_notify_all(&handed->changed);
        coir_mutex_unlock(&handed->mutex);
    }
    return 0;
}

static int empty(void *arg)
{
    struct handed *handed = arg;
    for (int i = 1; i <= handed->rounds; i++) {
        cr_assert_eq(coir_mutex_lock(&handed->mutex), 0);
        while (!handed->full)
            cr_assert_eq(coir_cond_wait(&handed->changed, &handed->mutex), 0);
        handed->sum += handed->item;
        handed->full = false;
        coir_mutex_unlock(&handed->mutex);
        coir_cond_notify_all(&handed->changed); /* without the mutex is as good */
    }
    return 0;
}

RunTest(cond, hands_items_from_many_to_many)
{
    enum { PAIRS = 4 };
    struct handed handed = { .rounds = check_scale(300) };
    coir_call calls[2 * PAIRS];
    for (int i = 0; i < 2 * PAIRS; i++)
        calls[i] = (coir_call){ i % 2 ? fill : empty, &handed, 0 };
    cr_assert_eq(coir_gather_array(calls, 2 * PAIRS), 0);
    cr_assert_eq(handed.sum, (int64_t)PAIRS * handed.rounds * (handed.rounds + 1) / 2);
    return 0;
}

/* -------------------------------------------------------- being refused --- */

RunTest(cond, waited_for_by_a_cancelled_task_refuses_and_keeps_the_mutex)
{
    coir_cond cond = { { 0 } };
    coir_mutex mutex = { 0 };
    cr_assert_eq(coir_mutex_lock(&mutex), 0);
    coir_cancel(coir_current_task());
    cr_assert_eq(coir_cond_wait(&cond, &mutex), -ECANCELED);
    expect_held(&mutex);
    coir_mutex_unlock(&mutex);
    return 0;
}

RunTest(cond, waited_for_past_a_deadline_refuses_and_keeps_the_mutex)
{
    coir_cond cond = { { 0 } };
    coir_mutex mutex = { 0 };
    coir_timeout limit;
    cr_assert_eq(coir_mutex_lock(&mutex), 0);
    coir_timeout_begin(&limit, 0);
    cr_assert_eq(coir_cond_wait(&cond, &mutex), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    cr_assert_eq(coir_mutex_try_lock(&mutex), -EAGAIN);
    coir_mutex_unlock(&mutex);
    return 0;
}

RunTest(cond, whose_waiter_is_cancelled_wakes_the_next)
{
    coir_cond cond = { { 0 } };
    coir_mutex mutex = { 0 };
    atomic_int waiting = 0;
    struct waiter waiters[2];
    coir_task *tasks[2];
    start_waiters(waiters, tasks, 2, &(struct waiter){ &cond, &mutex, .waiting = &waiting });
    coir_mutex_unlock(&mutex);
    cr_assert_eq(coir_cancel_await(tasks[0]), -ECANCELED);
    coir_cond_notify(&cond);
    cr_assert_eq(coir_await(tasks[1]), 0);
    return 0;
}

/* It has the mutex when it is told so, and that may take long. */
RunTest(cond, whose_waiter_is_cancelled_waits_for_the_mutex)
{
    coir_cond cond = { { 0 } };
    coir_mutex mutex = { 0 };
    atomic_int waiting = 0;
    struct waiter waiter;
    coir_task *task;
    start_waiters(&waiter, &task, 1, &(struct waiter){ &cond, &mutex, .waiting = &waiting });
    coir_cancel(task);
    let_them_wait();
    cr_assert_not(coir_task_done(task));
    coir_mutex_unlock(&mutex);
    cr_assert_eq(coir_await(task), -ECANCELED);
    return 0;
}

RunTest(cond, whose_waiter_was_notified_and_then_cancelled_returns_0)
{
    coir_cond cond = { { 0 } };
    coir_mutex mutex = { 0 };
    atomic_int waiting = 0;
    struct waiter waiters[2];
    coir_task *tasks[2];
    start_waiters(waiters, tasks, 2, &(struct waiter){ &cond, &mutex, .waiting = &waiting });
    coir_cond_notify_all(&cond);
    coir_cancel(tasks[0]);
    coir_mutex_unlock(&mutex);
    cr_assert_eq(coir_await(tasks[0]), 0);
    cr_assert_eq(waiters[0].next_call, -ECANCELED);
    cr_assert_eq(coir_await(tasks[1]), 0);
    cr_assert_eq(waiters[1].next_call, 0);
    return 0;
}

/* As many wake as were notified, whoever is cancelled before, meanwhile, or later. */
RunTest(cond, loses_no_notification_to_a_cancel)
{
    enum { N = 4 };
    for (int i = 0; i < check_scale(1500); i++) {
        coir_cond cond = { { 0 } };
        coir_mutex mutex = { 0 };
        atomic_int waiting = 0;
        struct waiter waiters[N];
        coir_task *tasks[N];
        int woken = 0;
        struct waiter like = { &cond, &mutex, &waiting, .woken = &woken };
        start_waiters(waiters, tasks, N, &like);
        coir_mutex_unlock(&mutex);
        if (i % 2)
            coir_cancel(tasks[0]);
        coir_cond_notify(&cond);
        coir_cancel(tasks[i % 3 == 0]);
        coir_cond_notify(&cond);
        for (int k = 0; k < N; k++)
            coir_cancel(tasks[k]);
        int ended = 0;
        for (int k = 0; k < N; k++)
            ended += coir_await(tasks[k]) == 0;
        cr_assert_eq(ended, 2);
        cr_assert_eq(woken, 2);
    }
    return 0;
}

/* -------------------------------------------------------------- threads --- */

static void notify_it(void *cond)
{
    coir_cond_notify(cond);
}

static void notify_all_of_it(void *cond)
{
    coir_cond_notify_all(cond);
}

RunTest(cond, is_notified_by_a_thread)
{
    enum { N = 5 };
    coir_cond cond = { { 0 } };
    coir_mutex mutex = { 0 };
    atomic_int waiting = 0;
    struct waiter waiters[N];
    coir_task *tasks[N];
    int woken = 0;
    struct waiter like = { &cond, &mutex, &waiting, .woken = &woken };
    start_waiters(waiters, tasks, N, &like);
    in_thread(notify_it, &cond);
    let_it_change(&woken, 1, &mutex);
    cr_assert_eq(woken, 1);
    in_thread(notify_all_of_it, &cond);
    coir_mutex_unlock(&mutex);
    for (int i = 0; i < N; i++)
        cr_assert_eq(coir_await(tasks[i]), 0);
    return 0;
}

/* The waiter frees it while the thread may still be inside. */
struct freed {
    coir_cond cond;
    atomic_int waiting;
};

static void notify_when_it_waits(void *arg)
{
    struct freed *freed = arg;
    if (atomic_load(&freed->waiting) % 2)
        coir_cond_notify(&freed->cond);
    else
        coir_cond_notify_all(&freed->cond);
}

static int lend_it(void *arg)
{
    struct { coir_mutex *mutex; struct helper *helper; struct freed *freed; } *lend = arg;
    cr_assert_eq(coir_mutex_lock(lend->mutex), 0); /* so it waits */
    coir_mutex_unlock(lend->mutex);
    helper_lend(lend->helper, lend->freed);
    return 0;
}

RunTest(cond, notified_by_a_thread_may_be_freed_at_once)
{
    struct helper helper;
    coir_mutex mutex = { 0 };
    helper_start(&helper, notify_when_it_waits);
    for (int i = 0; i < check_scale(2000); i++) {
        struct freed *freed = calloc(1, sizeof *freed);
        struct { coir_mutex *mutex; struct helper *helper; struct freed *freed; } lend =
            { &mutex, &helper, freed };
        atomic_init(&freed->waiting, i);
        cr_assert_eq(coir_mutex_lock(&mutex), 0);
        coir_task *task = coir_create_task(lend_it, &lend);
        cr_assert_eq(coir_cond_wait(&freed->cond, &mutex), 0);
        coir_mutex_unlock(&mutex);
        free_and_spoil(freed, sizeof *freed);
        cr_assert_eq(coir_await(task), 0);
    }
    helper_stop(&helper);
    return 0;
}
