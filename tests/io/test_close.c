/*
 * coir_close is a fence: what is in flight ends first.
 */
#include "io/ends.h"

RunTest(close, closes)
{
    FOR_ALL_ENDS(make) {
        int ends[2];
        make(ends);
        close_ends(ends);
        cr_assert_not(is_open(ends[0]));
        cr_assert_not(is_open(ends[1]));
    }
    return 0;
}

RunTest(close, of_what_is_not_open_is_ebadf)
{
    int ends[2];
    make_pipe(ends);
    close_ends(ends);
    int bad[] = { -1, INT32_MIN, ends[0], ends[1], 1000000, INT32_MAX };
    for (size_t i = 0; i < LENGTH(bad); i++)
        cr_assert_eq(coir_close(bad[i]), -EBADF);
    return 0;
}

RunTest(close, works_in_a_cancelled_task)
{
    int ends[2];
    make_pipe(ends);
    coir_cancel(coir_current_task());
    cr_assert_eq(coir_close(ends[0]), 0);
    cr_assert_eq(coir_close(ends[1]), 0);
    cr_assert_not(is_open(ends[0]));
    cr_assert_eq(coir_yield(), -ECANCELED);
    return 0;
}

RunTest(close, works_past_a_deadline)
{
    int ends[2];
    coir_timeout limit;
    make_pipe(ends);
    coir_timeout_begin(&limit, 0);
    close_ends(ends);
    coir_timeout_end(&limit);
    cr_assert_not(is_open(ends[0]));
    return 0;
}

RunTest(close, that_returned_before_the_cancel_has_closed)
{
    int ends[2];
    make_pipe(ends);
    close_ends(ends);
    coir_cancel(coir_current_task());
    cr_assert_not(is_open(ends[0]));
    cr_assert_eq(coir_yield(), -ECANCELED);
    return 0;
}

struct user {
    int fd;
    ssize_t rc;
    atomic_int started;
};

static int read_it(void *arg)
{
    struct user *user = arg;
    char buf[16];
    atomic_store(&user->started, 1);
    user->rc = coir_read(user->fd, buf, sizeof buf);
    return 0;
}

static int write_it(void *arg)
{
    struct user *user = arg;
    atomic_store(&user->started, 1);
    user->rc = coir_write(user->fd, "x", 1);
    return 0;
}

static int accept_it(void *arg)
{
    struct user *user = arg;
    atomic_store(&user->started, 1);
    user->rc = coir_accept(user->fd);
    return 0;
}

/* Closes fd under a task that waits in it, and returns what that task got. */
static ssize_t close_under(coir_fn *fn, int fd, bool wait)
{
    struct user user = { .fd = fd };
    coir_task *task = coir_create_task(fn, &user);
    if (wait) {
        yield_until(&user.started, 1);
        let_them_wait();
    }
    cr_assert_eq(coir_close(fd), 0);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_not(is_open(fd));
    return user.rc;
}

RunTest(close, ends_a_read_in_flight_with_ebadf)
{
    FOR_ALL_ENDS(make)
        for (int wait = 0; wait < 2; wait++) {
            int ends[2];
            make(ends);
            cr_assert_eq(close_under(read_it, ends[0], wait), -EBADF);
            cr_assert_eq(coir_close(ends[1]), 0);
        }
    return 0;
}

RunTest(close, ends_a_write_in_flight_with_ebadf)
{
    FOR_LOCAL_ENDS(make)
        for (int wait = 0; wait < 2; wait++) {
            int ends[2];
            make(ends);
            fill(ends[1]);
            cr_assert_eq(close_under(write_it, ends[1], wait), -EBADF);
            cr_assert_eq(coir_close(ends[0]), 0);
        }
    return 0;
}

RunTest(close, ends_an_accept_in_flight_with_ebadf)
{
    for (int wait = 0; wait < 2; wait++) {
        int listener = coir_listen("127.0.0.1", "0");
        cr_assert_geq(listener, 0);
        cr_assert_eq(close_under(accept_it, listener, wait), -EBADF);
    }
    return 0;
}

RunTest(close, ends_every_operation_of_many_tasks)
{
    FOR_LOCAL_ENDS(make) {
        enum { N = 50 };
        int ends[2];
        make(ends);
        struct user users[N];
        coir_task *tasks[N];
        for (int i = 0; i < N; i++) {
            users[i] = (struct user){ .fd = ends[0] };
            tasks[i] = coir_create_task(read_it, &users[i]);
        }
        let_them_wait();
        cr_assert_eq(coir_close(ends[0]), 0);
        for (int i = 0; i < N; i++) {
            cr_assert_eq(coir_await(tasks[i]), 0);
            cr_assert_eq(users[i].rc, -EBADF);
        }
        cr_assert_eq(coir_close(ends[1]), 0);
    }
    return 0;
}

RunTest(close, in_a_cancelled_task_still_ends_what_is_in_flight)
{
    int ends[2];
    coir_shield shield;
    make_pipe(ends);
    struct user user = { .fd = ends[0] };
    coir_task *task = coir_create_task(read_it, &user);
    let_them_wait();
    coir_cancel(coir_current_task());
    cr_assert_eq(coir_close(ends[0]), 0);
    cr_assert_not(is_open(ends[0]));
    coir_shield_begin(&shield); /* what it waits for would be cancelled, too */
    cr_assert_eq(coir_await(task), 0);
    coir_shield_end(&shield);
    cr_assert_eq(user.rc, -EBADF, "%zd", user.rc);
    return coir_close(ends[1]);
}

static int close_fd(void *fd)
{
    return coir_close(*(int *)fd);
}

RunTest(close, cancelled_at_random_always_does_its_whole_work)
{
    for (int i = 0; i < check_scale(1000); i++) {
        int ends[2];
        make_pipe(ends);
        struct user user = { .fd = ends[0] };
        coir_task *reader = coir_create_task(read_it, &user);
        coir_task *closer = coir_create_task(close_fd, &ends[0]);
        for (int k = 0; k < i % 5; k++)
            cr_assert_eq(coir_yield(), 0);
        cr_assert_eq(coir_cancel_await(closer), 0);
        cr_assert_not(is_open(ends[0]));
        cr_assert_eq(coir_await(reader), 0);
        cr_assert_eq(user.rc, -EBADF);
        cr_assert_eq(coir_close(ends[1]), 0);
    }
    return 0;
}

struct closer {
    int fd;
    int rc;
    atomic_int *go;
};

static int close_it(void *arg)
{
    struct closer *closer = arg;
    atomic_fetch_add(closer->go, 1);
    yield_until(closer->go, 2);
    closer->rc = coir_close(closer->fd);
    return 0;
}

RunTest(close, by_two_tasks_at_once_closes_once)
{
    for (int i = 0; i < check_scale(1000); i++) {
        int ends[2];
        atomic_int go = 0;
        make_pipe(ends);
        struct closer a = { ends[0], 1, &go }, b = { ends[0], 1, &go };
        cr_assert_eq(coir_gather(COIR_CALL(close_it, &a), COIR_CALL(close_it, &b)), 0);
        cr_assert((a.rc == 0 && b.rc == -EBADF) || (a.rc == -EBADF && b.rc == 0), "%d %d", a.rc,
                  b.rc);
        cr_assert_eq(coir_close(ends[1]), 0);
    }
    return 0;
}

/* A number that is used again at once must not meet operations of its past.  They
   race for it, and ThreadSanitizer says so where it sees the calls. */
#ifndef CHECK_TSAN
RunTest(close, of_numbers_used_again_and_again_never_mixes_them_up)
{
    for (int i = 0; i < check_scale(3000); i++) {
        int ends[2];
        char byte = 0;
        make_pipe(ends);
        struct user reader = { .fd = ends[0] };
        coir_task *task = coir_create_task(read_it, &reader);
        if (i % 2)
            cr_assert_eq(coir_yield(), 0);
        cr_assert_eq(coir_close(ends[0]), 0);

        int again[2];
        make_pipe(again);
        cr_assert_eq(coir_write(again[1], "n", 1), 1);
        cr_assert_eq(coir_await(task), 0);
        cr_assert(reader.rc == -EBADF || (again[0] == ends[0] && reader.rc == 1), "%zd",
                  reader.rc);
        if (reader.rc < 0)
            cr_assert_eq(coir_read(again[0], &byte, 1), 1);
        cr_assert_eq(coir_close(ends[1]), 0);
        close_ends(again);
    }
    return 0;
}
#endif

/* What was to be written to the old connection never reaches the new one.  With one
   worker it is known whether the write had begun: its entry waits, unsubmitted. */
static int write_old(void *arg)
{
    struct user *user = arg;
    user->rc = coir_write(user->fd, "o", 1);
    return 0;
}

RunTestOn(1, close, of_a_number_used_again_lets_no_byte_reach_the_wrong_connection)
{
    for (int i = 0; i < check_scale(3000); i++) {
        int ends[2], again[2];
        char byte = 0;
        make_socketpair(ends);
        struct user writer = { .fd = ends[1] };
        coir_task *task = coir_create_task(write_old, &writer);
        if (i % 2)
            cr_assert_eq(coir_yield(), 0);
        cr_assert_eq(coir_close(ends[1]), 0);

        make_socketpair(again);
        cr_assert_eq(coir_write(again[1], "n", 1), 1);
        cr_assert_eq(coir_read(again[0], &byte, 1), 1);
        bool begun_on_new = byte == 'o'; /* it had not begun when the old one was closed */
        cr_assert(!begun_on_new || again[1] == ends[1]);
        cr_assert_eq(coir_await(task), 0);
        cr_assert(writer.rc == 1 || writer.rc == -EBADF, "%zd", writer.rc);
        cr_assert(!begun_on_new || i % 2 == 0);
        if (i % 2) {
            cr_assert_eq(byte, 'n');
            cr_assert_eq(coir_read(ends[0], &byte, 1), writer.rc == 1 ? 1 : 0);
        }
        cr_assert_eq(coir_close(ends[0]), 0);
        close_ends(again);
    }
    return 0;
}

static int open_use_close(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg;
    for (int i = 0; i < check_scale(2000); i++) {
        int ends[2];
        unsigned char sent = (unsigned char)next_random(&seed), got = 0;
        make_pipe(ends);
        cr_assert_eq(coir_write(ends[1], &sent, 1), 1);
        if (sent % 4 == 0)
            cr_assert_eq(coir_yield(), 0);
        cr_assert_eq(coir_read(ends[0], &got, 1), 1);
        cr_assert_eq(got, sent);
        close_ends(ends);
    }
    return 0;
}

RunTest(close, by_many_tasks_that_share_the_same_numbers_over_time)
{
    coir_group group;
    coir_group_init(&group);
    for (uintptr_t i = 1; i <= 8; i++)
        cr_assert_eq(coir_group_create_task(&group, open_use_close, (void *)(i * 77777)), 0);
    return coir_group_wait(&group);
}

static int read_until_closed(void *arg)
{
    int fd = *(int *)arg;
    char byte;
    ssize_t n;
    while ((n = coir_read(fd, &byte, 1)) > 0)
        ;
    return n == -EBADF || n == 0 || n == -ECONNRESET ? 0 : (int)n;
}

static int write_until_closed(void *arg)
{
    int fd = *(int *)arg;
    ssize_t n;
    while ((n = coir_write(fd, "x", 1)) > 0)
        ;
    return n == -EBADF || n == -EPIPE || n == -ECONNRESET ? 0 : (int)n;
}

RunTest(close, in_the_middle_of_traffic_both_ways_ends_all_of_it)
{
    for (int i = 0; i < check_scale(300); i++) {
        int ends[2];
        make_socketpair(ends);
        coir_group group;
        coir_group_init(&group);
        for (int k = 0; k < 2; k++) {
            cr_assert_eq(coir_group_create_task(&group, read_until_closed, &ends[k]), 0);
            cr_assert_eq(coir_group_create_task(&group, write_until_closed, &ends[k]), 0);
        }
        for (int k = 0; k < i % 10; k++)
            cr_assert_eq(coir_yield(), 0);
        close_ends(ends);
        cr_assert_eq(coir_group_wait(&group), 0);
    }
    return 0;
}
