/*
 * What is so on the epoll driver, whichever else the other tests run on.
 */
#include <pthread.h>
#include <sys/stat.h>

#include "io/ends.h"

/* A test whose body is the main task of a run on epoll. */
#define EpollTest(suite, name, ...)                                          \
    static int suite##_##name(void *);                                       \
    Test(suite, name, ##__VA_ARGS__)                                         \
    {                                                                        \
        coir_options options = { .driver = COIR_DRIVER_EPOLL };              \
        cr_assert_eq(coir_run_with(&options, suite##_##name, NULL), 0);      \
    }                                                                        \
    static int suite##_##name(UNUSED void *unused_)

struct fifo {
    char directory[32], path[64];
};

static struct fifo make_fifo(void)
{
    struct fifo fifo = { .directory = "/dev/shm/coir-test-XXXXXX" };
    cr_assert_not_null(mkdtemp(fifo.directory));
    snprintf(fifo.path, sizeof fifo.path, "%s/fifo", fifo.directory);
    cr_assert_eq(mkfifo(fifo.path, 0600), 0);
    return fifo;
}

static void remove_fifo(const struct fifo *fifo)
{
    cr_assert_eq(unlink(fifo->path), 0);
    cr_assert_eq(rmdir(fifo->directory), 0);
}

static int open_to_read(void *path)
{
    return coir_open(path, O_RDONLY, 0);
}

/* A thread is in the call, or about to be: a cancel ends it, however often. */
EpollTest(epoll, an_open_that_waits_for_ever_is_ended_by_a_cancel)
{
    struct fifo fifo = make_fifo();
    for (int i = 0; i < check_scale(500); i++) {
        coir_task *task = coir_create_task(open_to_read, fifo.path);
        for (int k = 0; k < i % 5; k++)
            cr_assert_eq(coir_yield(), 0);
        if (i % 3 == 0)
            cr_assert_eq(coir_sleep(COIR_MICROSECONDS(i % 100)), 0);
        cr_assert_eq(coir_cancel_await(task), -ECANCELED);
    }
    remove_fifo(&fifo);
    return 0;
}

EpollTest(epoll, an_open_that_waits_for_ever_is_ended_by_a_deadline)
{
    struct fifo fifo = make_fifo();
    coir_timeout limit;
    coir_timeout_begin(&limit, COIR_MILLISECONDS(1));
    cr_assert_eq(coir_open(fifo.path, O_RDONLY, 0), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    remove_fifo(&fifo);
    return 0;
}

/* More of them than there are threads. */
EpollTest(epoll, many_opens_that_wait_for_ever_are_ended_by_a_cancel)
{
    enum { N = 50 };
    struct fifo fifo = make_fifo();
    coir_task *tasks[N];
    for (int i = 0; i < N; i++)
        tasks[i] = coir_create_task(open_to_read, fifo.path);
    let_them_wait();
    for (int i = N - 1; i >= 0; i--)
        cr_assert_eq(coir_cancel_await(tasks[i]), -ECANCELED);
    remove_fifo(&fifo);
    return 0;
}

EpollTest(epoll, an_open_returns_when_the_other_end_is_opened)
{
    struct fifo fifo = make_fifo();
    coir_task *task = coir_create_task(open_to_read, fifo.path);
    let_them_wait();
    cr_assert_not(coir_task_done(task));
    int both = coir_open(fifo.path, O_RDWR, 0);
    cr_assert_geq(both, 0);
    int fd = coir_await(task);
    cr_assert_geq(fd, 0);
    cr_assert_eq(coir_close(fd), 0);
    cr_assert_eq(coir_close(both), 0);
    remove_fifo(&fifo);
    return 0;
}

struct reading {
    int fd;
    char byte;
    ssize_t n;
    atomic_int started;
};

static int read_one(void *arg)
{
    struct reading *reading = arg;
    atomic_store(&reading->started, 1);
    reading->n = coir_read(reading->fd, &reading->byte, 1);
    return 0;
}

static void be_served_in_order(void)
{
    enum { N = 20 };
    FOR_LOCAL_ENDS(make) {
        int ends[2];
        struct reading readings[N];
        coir_task *tasks[N];
        make(ends);
        for (int i = 0; i < N; i++) {
            readings[i] = (struct reading){ .fd = ends[0] };
            tasks[i] = coir_create_task(read_one, &readings[i]);
            yield_until(&readings[i].started, 1);
        }
        for (char i = 0; i < N; i++)
            cr_assert_eq(write(ends[1], &i, 1), 1);
        for (int i = 0; i < N; i++) {
            cr_assert_eq(coir_await(tasks[i]), 0);
            cr_assert_eq(readings[i].n, 1);
            cr_assert_eq(readings[i].byte, i);
        }
        close_ends(ends);
    }
}

static int main_of_order(UNUSED void *arg)
{
    be_served_in_order();
    return 0;
}

Test(epoll, those_who_wait_on_one_worker_are_served_in_their_order, .init = forget_debug)
{
    coir_options options = { .driver = COIR_DRIVER_EPOLL };
    setenv("COIR_WORKERS", "1", 1);
    cr_assert_eq(coir_run_with(&options, main_of_order, NULL), 0);
}

/* A call that waits comes after those who wait already, though data is there. */
static int main_of_no_overtaking(UNUSED void *arg)
{
    int ends[2];
    char byte;
    make_pipe(ends);
    struct reading reading = { .fd = ends[0] };
    coir_task *task = coir_create_task(read_one, &reading);
    yield_until(&reading.started, 1);
    cr_assert_eq(write(ends[1], "ab", 2), 2);
    cr_assert_eq(coir_read(ends[0], &byte, 1), 1);
    cr_assert_eq(byte, 'b');
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(reading.byte, 'a');
    close_ends(ends);
    return 0;
}

Test(epoll, nobody_overtakes_those_who_wait, .init = forget_debug)
{
    coir_options options = { .driver = COIR_DRIVER_EPOLL };
    setenv("COIR_WORKERS", "1", 1);
    cr_assert_eq(coir_run_with(&options, main_of_no_overtaking, NULL), 0);
}

static int leave_waiting(UNUSED void *arg)
{
    struct fifo fifo = make_fifo();
    int ends[2];
    make_pipe(ends);
    struct reading reading = { .fd = ends[0] };
    coir_task *open = coir_create_task(open_to_read, fifo.path);
    coir_task *read = coir_create_task(read_one, &reading);
    cr_assert(open && read);
    yield_until(&reading.started, 1);
    let_them_wait();
    coir_cancel(open);
    cr_assert_eq(coir_await(open), -ECANCELED);
    coir_cancel(read);
    cr_assert_eq(coir_await(read), 0);
    cr_assert_eq(reading.n, -ECANCELED);
    close_ends(ends);
    remove_fifo(&fifo);
    return 0;
}

static void *run_on_epoll(void *arg)
{
    coir_options options = { .driver = COIR_DRIVER_EPOLL };
    cr_assert_eq(coir_run_with(&options, leave_waiting, arg), 0);
    return NULL;
}

Test(epoll, several_runs_at_once_do_not_disturb_each_other, .init = skip_where_descriptors_are_few)
{
    pthread_t threads[4];
    for (size_t i = 0; i < LENGTH(threads); i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, run_on_epoll, NULL), 0);
    for (size_t i = 0; i < LENGTH(threads); i++)
        pthread_join(threads[i], NULL);
}
