/*
 * coir_read, coir_write and their whole-buffer forms, on every kind of
 * descriptor.
 */
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#include "io/ends.h"

RunTest(read, returns_what_was_written)
{
    FOR_ALL_ENDS(make) {
        int ends[2];
        char buf[16] = "";
        make(ends);
        cr_assert_eq(coir_write(ends[1], "hello", 5), 5);
        cr_assert_eq(coir_read(ends[0], buf, sizeof buf), 5);
        cr_assert_str_eq(buf, "hello");
        close_ends(ends);
    }
    return 0;
}

RunTest(read, of_less_than_is_there_leaves_the_rest)
{
    FOR_ALL_ENDS(make) {
        int ends[2];
        char buf[4] = "";
        make(ends);
        cr_assert_eq(coir_write(ends[1], "abcdef", 6), 6);
        cr_assert_eq(coir_read(ends[0], buf, 2), 2);
        cr_assert_eq(coir_read(ends[0], buf + 2, 2), 2);
        cr_assert_eq(memcmp(buf, "abcd", 4), 0);
        cr_assert_eq(coir_read(ends[0], buf, 4), 2);
        close_ends(ends);
    }
    return 0;
}

struct reading {
    int fd;
    char buf[64];
    ssize_t n;
    atomic_int started;
};

static int read_once(void *arg)
{
    struct reading *reading = arg;
    atomic_store(&reading->started, 1);
    reading->n = coir_read(reading->fd, reading->buf, sizeof reading->buf);
    return 0;
}

RunTest(read, waits_until_there_is_something)
{
    FOR_ALL_ENDS(make) {
        int ends[2];
        make(ends);
        struct reading reading = { .fd = ends[0] };
        coir_task *task = coir_create_task(read_once, &reading);
        yield_until(&reading.started, 1);
        let_them_wait();
        cr_assert_not(coir_task_done(task));
        cr_assert_eq(coir_write(ends[1], "late", 4), 4);
        cr_assert_eq(coir_await(task), 0);
        cr_assert_eq(reading.n, 4);
        close_ends(ends);
    }
    return 0;
}

RunTest(read, wakes_when_a_plain_write_arrives)
{
    FOR_ALL_ENDS(make) {
        int ends[2];
        make(ends);
        struct reading reading = { .fd = ends[0] };
        coir_task *task = coir_create_task(read_once, &reading);
        let_them_wait();
        cr_assert_eq(write(ends[1], "plain", 5), 5);
        cr_assert_eq(coir_await(task), 0);
        cr_assert_eq(reading.n, 5);
        close_ends(ends);
    }
    return 0;
}

RunTest(read, at_the_end_is_zero_and_stays_zero)
{
    FOR_ALL_ENDS(make) {
        int ends[2];
        char buf[8];
        make(ends);
        cr_assert_eq(coir_write(ends[1], "end", 3), 3);
        cr_assert_eq(coir_close(ends[1]), 0);
        cr_assert_eq(coir_read(ends[0], buf, sizeof buf), 3);
        cr_assert_eq(coir_read(ends[0], buf, sizeof buf), 0);
        cr_assert_eq(coir_read(ends[0], buf, sizeof buf), 0);
        cr_assert_eq(coir_close(ends[0]), 0);
    }
    return 0;
}

RunTest(read, that_waits_is_ended_by_the_end)
{
    FOR_ALL_ENDS(make) {
        int ends[2];
        make(ends);
        struct reading reading = { .fd = ends[0], .n = 99 };
        coir_task *task = coir_create_task(read_once, &reading);
        let_them_wait();
        cr_assert_eq(coir_close(ends[1]), 0);
        cr_assert_eq(coir_await(task), 0);
        cr_assert_eq(reading.n, 0);
        cr_assert_eq(coir_close(ends[0]), 0);
    }
    return 0;
}

static make_ends *const sockets[] = { make_socketpair, make_tcp4 };

RunTest(read, goes_on_after_the_other_half_was_shut_down)
{
    for (size_t i = 0; i < LENGTH(sockets); i++) {
        int ends[2];
        char buf[8];
        sockets[i](ends);
        cr_assert_eq(shutdown(ends[1], SHUT_WR), 0);
        cr_assert_eq(coir_read(ends[0], buf, sizeof buf), 0, "this side sees the end");
        cr_assert_eq(coir_write(ends[0], "answer", 6), 6);
        cr_assert_eq(coir_read(ends[1], buf, sizeof buf), 6, "and may still answer");
        close_ends(ends);
    }
    return 0;
}

RunTest(read, of_nothing_is_zero)
{
    FOR_ALL_ENDS(make) {
        int ends[2];
        make(ends);
        cr_assert_eq(coir_write(ends[1], "x", 1), 1);
        cr_assert_eq(coir_read(ends[0], NULL, 0), 0);
        cr_assert_eq(coir_write(ends[1], NULL, 0), 0);
        close_ends(ends);
    }
    return 0;
}

RunTest(read, into_no_memory_is_efault)
{
    int ends[2];
    make_pipe(ends);
    cr_assert_eq(coir_write(ends[1], "x", 1), 1);
    cr_assert_eq(coir_read(ends[0], NULL, 1), -EFAULT);
    cr_assert_eq(coir_write(ends[1], NULL, 1), -EFAULT);
    close_ends(ends);
    return 0;
}

RunTest(read, of_what_is_no_open_descriptor_is_ebadf)
{
    int ends[2];
    char byte = 0;
    make_pipe(ends);
    close_ends(ends);
    int bad[] = { -1, -100, INT32_MIN, ends[0], 1000000, INT32_MAX };
    for (size_t i = 0; i < LENGTH(bad); i++) {
        size_t done = 0;
        cr_assert_eq(coir_read(bad[i], &byte, 1), -EBADF);
        cr_assert_eq(coir_write(bad[i], &byte, 1), -EBADF);
        cr_assert_eq(coir_read_exact(bad[i], &byte, 1, NULL), -EBADF);
        cr_assert_eq(coir_write_all(bad[i], &byte, 1), -EBADF);
        cr_assert_eq(coir_write_all_from(bad[i], &byte, 1, &done), -EBADF);
        cr_assert_eq(done, 0);
    }
    return 0;
}

RunTest(read, of_a_write_end_and_write_to_a_read_end_are_ebadf)
{
    int ends[2];
    char byte = 0;
    make_pipe(ends);
    cr_assert_eq(coir_read(ends[1], &byte, 1), -EBADF);
    cr_assert_eq(coir_write(ends[0], &byte, 1), -EBADF);
    close_ends(ends);
    return 0;
}

RunTest(read, works_on_any_descriptor)
{
    uint64_t number = 3;
    int event = eventfd(0, EFD_CLOEXEC);
    cr_assert_eq(coir_write(event, &number, 8), 8);
    number = 0;
    cr_assert_eq(coir_read(event, &number, 8), 8);
    cr_assert_eq(number, 3);
    cr_assert_eq(coir_close(event), 0);

    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    struct itimerspec soon = { .it_value.tv_nsec = 1000000 };
    cr_assert_eq(timerfd_settime(timer, 0, &soon, NULL), 0);
    cr_assert_eq(coir_read(timer, &number, 8), 8);
    cr_assert_eq(number, 1);
    cr_assert_eq(coir_close(timer), 0);

    char zeros[100];
    int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    cr_assert_eq(coir_read(zero, zeros, sizeof zeros), sizeof zeros);
    cr_assert_eq(coir_close(zero), 0);
    return 0;
}

RunTest(read, leaves_the_flags_of_the_descriptor_alone)
{
    FOR_ALL_ENDS(make) {
        int ends[2], before[2];
        char buf[8];
        make(ends);
        for (int i = 0; i < 2; i++)
            before[i] = fcntl(ends[i], F_GETFL);
        struct reading reading = { .fd = ends[0] };
        coir_task *task = coir_create_task(read_once, &reading);
        let_them_wait();
        for (int i = 0; i < 2; i++)
            cr_assert_eq(fcntl(ends[i], F_GETFL), before[i], "while it waits");
        cr_assert_eq(coir_write(ends[1], "x", 1), 1);
        cr_assert_eq(coir_await(task), 0);
        cr_assert_eq(coir_write_all(ends[1], "abc", 3), 3);
        cr_assert_eq(coir_read_exact(ends[0], buf, 3, NULL), 0);
        for (int i = 0; i < 2; i++)
            cr_assert_eq(fcntl(ends[i], F_GETFL), before[i], "and afterwards");
        close_ends(ends);
    }
    return 0;
}

RunTest(read, by_several_tasks_gives_each_byte_to_one)
{
    enum { READERS = 10 };
    FOR_ALL_ENDS(make) {
        int ends[2];
        make(ends);
        struct reading readings[READERS];
        coir_task *tasks[READERS];
        for (int i = 0; i < READERS; i++) {
            readings[i] = (struct reading){ .fd = ends[0] };
            tasks[i] = coir_create_task(read_once, &readings[i]);
        }
        let_them_wait();
        ssize_t read_in_all = 0;
        cr_assert_eq(coir_write_all(ends[1], "0123456789", 10), 10);
        cr_assert_eq(coir_close(ends[1]), 0);
        for (int i = 0; i < READERS; i++) {
            cr_assert_eq(coir_await(tasks[i]), 0);
            cr_assert_geq(readings[i].n, 0);
            read_in_all += readings[i].n;
        }
        cr_assert_eq(read_in_all, 10);
        cr_assert_eq(coir_close(ends[0]), 0);
    }
    return 0;
}

/* -------------------------------------------------------------- write --- */

RunTest(write, to_nobody_is_epipe_and_no_signal)
{
    FOR_ALL_ENDS(make) {
        int ends[2];
        ssize_t rc = 0;
        make(ends);
        cr_assert_eq(coir_close(ends[0]), 0);
        for (int i = 0; i < 1000 && rc >= 0; i++) /* TCP learns of it a little later */
            rc = coir_write(ends[1], "x", 1);
        cr_assert(rc == -EPIPE || (make == make_tcp4 || make == make_tcp6 ? rc == -ECONNRESET : 0),
                  "%zd", rc);
        cr_assert_eq(coir_write(ends[1], "x", 1), -EPIPE);
        cr_assert_eq(coir_write_all(ends[1], "x", 1), -EPIPE);
        cr_assert_eq(coir_close(ends[1]), 0);
    }
    return 0;
}

struct writing {
    int fd;
    const unsigned char *buf;
    size_t len;
    size_t done;
    ssize_t rc;
    atomic_int started;
};

static int write_once(void *arg)
{
    struct writing *writing = arg;
    atomic_store(&writing->started, 1);
    writing->rc = coir_write(writing->fd, writing->buf, writing->len);
    return 0;
}

RunTest(write, waits_for_room)
{
    FOR_ALL_ENDS(make) {
        int ends[2];
        static char sink[1 << 16];
        make(ends);
        size_t filled = fill(ends[1]);
        struct writing writing = { .fd = ends[1], .buf = (const unsigned char *)"y", .len = 1 };
        coir_task *task = coir_create_task(write_once, &writing);
        yield_until(&writing.started, 1);
        while (filled > 0)
            filled -= (size_t)coir_read(ends[0], sink, filled < sizeof sink ? filled
                                                                            : sizeof sink);
        cr_assert_eq(coir_await(task), 0);
        cr_assert_eq(writing.rc, 1);
        cr_assert_eq(coir_read(ends[0], sink, sizeof sink), 1);
        cr_assert_eq(sink[0], 'y');
        close_ends(ends);
    }
    return 0;
}

RunTest(write, that_waits_for_room_is_ended_when_the_reader_goes)
{
    FOR_ALL_ENDS(make) {
        int ends[2];
        make(ends);
        fill(ends[1]);
        struct writing writing = { .fd = ends[1], .buf = (const unsigned char *)"y", .len = 1 };
        coir_task *task = coir_create_task(write_once, &writing);
        yield_until(&writing.started, 1);
        let_them_wait();
        cr_assert_eq(coir_close(ends[0]), 0);
        cr_assert_eq(coir_await(task), 0);
        cr_assert(writing.rc == -EPIPE || writing.rc == -ECONNRESET, "%zd", writing.rc);
        cr_assert_eq(coir_close(ends[1]), 0);
    }
    return 0;
}

/* --------------------------------------------------- the whole buffer --- */

static int write_all(void *arg)
{
    struct writing *writing = arg;
    writing->rc = coir_write_all(writing->fd, writing->buf, writing->len);
    return 0;
}

static int write_all_from(void *arg)
{
    struct writing *writing = arg;
    writing->rc = coir_write_all_from(writing->fd, writing->buf, writing->len, &writing->done);
    return 0;
}

RunTest(exact, reads_and_writes_megabytes)
{
    size_t len = (size_t)check_scale(4 << 20);
    unsigned char *out = malloc(len), *in = malloc(len);
    write_bytes_at(out, len, 0);
    FOR_ALL_ENDS(make) {
        int ends[2];
        size_t done = 0;
        make(ends);
        memset(in, 0, len);
        struct writing writing = { .fd = ends[1], .buf = out, .len = len };
        coir_task *task = coir_create_task(write_all, &writing);
        cr_assert_eq(coir_read_exact(ends[0], in, len, &done), 0);
        cr_assert_eq(done, len);
        cr_assert_eq(coir_await(task), 0);
        cr_assert_eq(writing.rc, (ssize_t)len);
        cr_assert(are_bytes_at(in, len, 0));
        close_ends(ends);
    }
    free(out);
    free(in);
    return 0;
}

RunTest(exact, of_nothing_is_done_at_once)
{
    int ends[2];
    size_t done = 0;
    make_pipe(ends);
    cr_assert_eq(coir_read_exact(ends[0], NULL, 0, NULL), 0);
    cr_assert_eq(coir_read_exact(ends[0], NULL, 0, &done), 0);
    cr_assert_eq(coir_write_all(ends[1], NULL, 0), 0);
    cr_assert_eq(coir_write_all_from(ends[1], NULL, 0, &done), 0);
    done = 5;
    cr_assert_eq(coir_read_exact(ends[0], "12345", 5, &done), 0, "all there already");
    cr_assert_eq(coir_write_all_from(ends[1], "12345", 5, &done), 0);
    close_ends(ends);
    return 0;
}

RunTest(exact, read_that_meets_the_end_is_epipe_and_tells_how_far_it_came)
{
    FOR_ALL_ENDS(make) {
        int ends[2];
        char buf[8] = "";
        size_t done = 0;
        make(ends);
        cr_assert_eq(coir_write(ends[1], "abc", 3), 3);
        cr_assert_eq(coir_close(ends[1]), 0);
        cr_assert_eq(coir_read_exact(ends[0], buf, 8, &done), -EPIPE);
        cr_assert_eq(done, 3);
        cr_assert_str_eq(buf, "abc");
        cr_assert_eq(coir_read_exact(ends[0], buf, 8, NULL), -EPIPE);
        cr_assert_eq(coir_close(ends[0]), 0);
    }
    return 0;
}

RunTest(exact, read_starts_where_it_left_off)
{
    FOR_ALL_ENDS(make) {
        int ends[2];
        char buf[9] = "";
        size_t done = 0;
        coir_timeout limit;
        make(ends);
        cr_assert_eq(coir_write(ends[1], "abc", 3), 3);
        coir_timeout_begin(&limit, COIR_MILLISECONDS(2));
        cr_assert_eq(coir_read_exact(ends[0], buf, 8, &done), -ETIMEDOUT);
        cr_assert_eq(coir_timeout_end(&limit), 1);
        cr_assert_leq(done, 3);
        cr_assert_eq(coir_write(ends[1], "defgh", 5), 5);
        cr_assert_eq(coir_read_exact(ends[0], buf, 8, &done), 0);
        cr_assert_eq(done, 8);
        cr_assert_str_eq(buf, "abcdefgh");
        close_ends(ends);
    }
    return 0;
}

RunTest(exact, write_tells_how_much_went_before_a_deadline_and_goes_on_from_there)
{
    size_t len = 8 << 20;
    unsigned char *out = malloc(len), *in = malloc(len);
    write_bytes_at(out, len, 0);
    FOR_ALL_ENDS(make) {
        int ends[2];
        coir_timeout limit;
        make(ends);
        struct writing writing = { .fd = ends[1], .buf = out, .len = len };
        coir_timeout_begin(&limit, COIR_MILLISECONDS(5));
        write_all_from(&writing);
        cr_assert_eq(writing.rc, -ETIMEDOUT);
        cr_assert_eq(coir_timeout_end(&limit), 1);
        cr_assert_lt(writing.done, len);

        size_t first = writing.done;
        cr_assert_eq(coir_read_exact(ends[0], in, first, NULL), 0);
        coir_task *task = coir_create_task(write_all_from, &writing);
        cr_assert_eq(coir_read_exact(ends[0], in, len, &first), 0);
        cr_assert_eq(coir_await(task), 0);
        cr_assert_eq(writing.rc, 0);
        cr_assert_eq(writing.done, len);
        cr_assert(are_bytes_at(in, len, 0));
        close_ends(ends);
    }
    free(out);
    free(in);
    return 0;
}

RunTest(exact, write_to_nobody_is_epipe)
{
    int ends[2];
    size_t done = 0;
    make_socketpair(ends);
    cr_assert_eq(coir_close(ends[0]), 0);
    cr_assert_eq(coir_write_all(ends[1], "abc", 3), -EPIPE);
    cr_assert_eq(coir_write_all_from(ends[1], "abc", 3, &done), -EPIPE);
    cr_assert_eq(done, 0);
    return coir_close(ends[1]);
}

/* -------------------------------------------------------------- reset --- */

RunTest(read, after_a_reset_is_econnreset)
{
    int ends[2];
    char byte;
    struct linger at_once = { .l_onoff = 1, .l_linger = 0 };
    make_tcp4(ends);
    struct reading reading = { .fd = ends[0] };
    coir_task *task = coir_create_task(read_once, &reading);
    let_them_wait();
    cr_assert_eq(setsockopt(ends[1], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    cr_assert_eq(coir_close(ends[1]), 0);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(reading.n, -ECONNRESET);
    cr_assert_eq(coir_read(ends[0], &byte, 1), 0, "the error was reported once");
    return coir_close(ends[0]);
}
