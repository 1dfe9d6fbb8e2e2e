/*
 * Cancels and deadlines of reads and writes: refused before, ended during,
 * too late afterwards, and no byte ever lost or doubled.
 */
#include "io/ends.h"

RunTest(cancel_io, before_refuses_though_data_is_there)
{
    FOR_ALL_ENDS(make) {
        int ends[2];
        char buf[8];
        size_t done = 0;
        coir_shield shield;
        make(ends);
        cr_assert_eq(write(ends[1], "data", 4), 4);
        coir_cancel(coir_current_task());
        cr_assert_eq(coir_read(ends[0], buf, sizeof buf), -ECANCELED);
        cr_assert_eq(coir_read_exact(ends[0], buf, 4, &done), -ECANCELED);
        cr_assert_eq(done, 0);
        cr_assert_eq(coir_write(ends[1], "more", 4), -ECANCELED);
        cr_assert_eq(coir_write_all(ends[1], "more", 4), -ECANCELED);
        cr_assert_eq(coir_write_all_from(ends[1], "more", 4, &done), -ECANCELED);
        cr_assert_eq(done, 0);

        coir_shield_begin(&shield);
        cr_assert_eq(coir_read(ends[0], buf, sizeof buf), 4, "nothing read, nothing written");
        coir_shield_end(&shield);
        close_ends(ends);
    }
    return 0;
}

RunTest(cancel_io, past_a_deadline_refuses_though_data_is_there)
{
    FOR_ALL_ENDS(make) {
        int ends[2];
        char buf[8];
        size_t done = 0;
        coir_timeout limit;
        make(ends);
        cr_assert_eq(write(ends[1], "data", 4), 4);
        coir_timeout_begin(&limit, 0);
        cr_assert_eq(coir_read(ends[0], buf, sizeof buf), -ETIMEDOUT);
        cr_assert_eq(coir_read_exact(ends[0], buf, 4, &done), -ETIMEDOUT);
        cr_assert_eq(coir_write(ends[1], "more", 4), -ETIMEDOUT);
        cr_assert_eq(coir_write_all(ends[1], "more", 4), -ETIMEDOUT);
        cr_assert_eq(coir_write_all_from(ends[1], "more", 4, &done), -ETIMEDOUT);
        cr_assert_eq(coir_timeout_end(&limit), 1);
        cr_assert_eq(coir_read(ends[0], buf, sizeof buf), 4);
        close_ends(ends);
    }
    return 0;
}

struct transfer {
    int fd;
    char buf[16];
    size_t done;
    ssize_t rc;
    atomic_int started;
};

static int read_some(void *arg)
{
    struct transfer *transfer = arg;
    atomic_store(&transfer->started, 1);
    transfer->rc = coir_read(transfer->fd, transfer->buf, sizeof transfer->buf);
    return 0;
}

static int read_exact(void *arg)
{
    struct transfer *transfer = arg;
    atomic_store(&transfer->started, 1);
    transfer->rc = coir_read_exact(transfer->fd, transfer->buf, sizeof transfer->buf,
                                   &transfer->done);
    return 0;
}

static int write_some(void *arg)
{
    struct transfer *transfer = arg;
    atomic_store(&transfer->started, 1);
    transfer->rc = coir_write(transfer->fd, transfer->buf, sizeof transfer->buf);
    return 0;
}

static int write_all(void *arg)
{
    struct transfer *transfer = arg;
    atomic_store(&transfer->started, 1);
    transfer->rc = coir_write_all(transfer->fd, transfer->buf, sizeof transfer->buf);
    return 0;
}

static int write_all_from(void *arg)
{
    struct transfer *transfer = arg;
    atomic_store(&transfer->started, 1);
    transfer->rc = coir_write_all_from(transfer->fd, transfer->buf, sizeof transfer->buf,
                                       &transfer->done);
    return 0;
}

static ssize_t cancel_while_it_waits(coir_fn *fn, int fd)
{
    struct transfer transfer = { .fd = fd };
    coir_task *task = coir_create_task(fn, &transfer);
    yield_until(&transfer.started, 1);
    let_them_wait();
    cr_assert_not(coir_task_done(task));
    coir_cancel(task);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(transfer.done, 0);
    return transfer.rc;
}

RunTest(cancel_io, during_ends_a_read_that_waits)
{
    FOR_ALL_ENDS(make) {
        int ends[2];
        char buf[4];
        make(ends);
        cr_assert_eq(cancel_while_it_waits(read_some, ends[0]), -ECANCELED);
        cr_assert_eq(cancel_while_it_waits(read_exact, ends[0]), -ECANCELED);
        cr_assert_eq(coir_write(ends[1], "x", 1), 1);
        cr_assert_eq(coir_read(ends[0], buf, 4), 1, "the cancelled ones took nothing");
        close_ends(ends);
    }
    return 0;
}

RunTest(cancel_io, during_ends_a_write_that_waits_for_room)
{
    FOR_LOCAL_ENDS(make) {
        int ends[2];
        make(ends);
        fill(ends[1]);
        cr_assert_eq(cancel_while_it_waits(write_some, ends[1]), -ECANCELED);
        cr_assert_eq(cancel_while_it_waits(write_all, ends[1]), -ECANCELED);
        cr_assert_eq(cancel_while_it_waits(write_all_from, ends[1]), -ECANCELED);
        close_ends(ends);
    }
    return 0;
}

RunTest(cancel_io, a_deadline_ends_a_read_that_waits)
{
    FOR_ALL_ENDS(make) {
        int ends[2];
        char buf[4];
        coir_timeout limit;
        make(ends);
        coir_timeout_begin(&limit, COIR_MILLISECONDS(1));
        cr_assert_eq(coir_read(ends[0], buf, 4), -ETIMEDOUT);
        cr_assert_eq(coir_timeout_end(&limit), 1);
        cr_assert_eq(coir_write(ends[1], "x", 1), 1);
        cr_assert_eq(coir_read(ends[0], buf, 4), 1);
        close_ends(ends);
    }
    return 0;
}

RunTest(cancel_io, a_deadline_ends_a_write_that_waits_for_room)
{
    FOR_LOCAL_ENDS(make) {
        int ends[2];
        coir_timeout limit;
        make(ends);
        fill(ends[1]);
        coir_timeout_begin(&limit, COIR_MILLISECONDS(1));
        cr_assert_eq(coir_write(ends[1], "x", 1), -ETIMEDOUT);
        cr_assert_eq(coir_timeout_end(&limit), 1);
        close_ends(ends);
    }
    return 0;
}

RunTest(cancel_io, afterwards_leaves_the_result_and_is_told_by_the_next_call)
{
    FOR_ALL_ENDS(make) {
        int ends[2];
        make(ends);
        struct transfer transfer = { .fd = ends[0] };
        coir_task *task = coir_create_task(read_some, &transfer);
        cr_assert_eq(coir_write(ends[1], "x", 1), 1);
        while (!coir_task_done(task))
            cr_assert_eq(coir_yield(), 0);
        coir_cancel(task);
        cr_assert_eq(coir_await(task), 0);
        cr_assert_eq(transfer.rc, 1);
        close_ends(ends);
    }
    return 0;
}

static int do_all_then_look(void *arg)
{
    int *ends = arg;
    char buf[4];
    size_t done = 0;
    cr_assert_eq(coir_write(ends[1], "ab", 2), 2);
    cr_assert_eq(coir_write_all(ends[1], "cd", 2), 2);
    cr_assert_eq(coir_write_all_from(ends[1], "ef", 2, &done), 0);
    cr_assert_eq(coir_read(ends[0], buf, 2), 2);
    cr_assert_eq(coir_read_exact(ends[0], buf, 4, NULL), 0);
    coir_cancel(coir_current_task());
    return coir_yield();
}

RunTest(cancel_io, after_every_call_has_its_result_is_told_by_the_next)
{
    FOR_ALL_ENDS(make) {
        int ends[2];
        make(ends);
        cr_assert_eq(coir_await(coir_create_task(do_all_then_look, ends)), -ECANCELED);
        close_ends(ends);
    }
    return 0;
}

struct limited {
    int fd;
    coir_duration limit;
    ssize_t n;
    int timed_out;
};

static int read_in_a_scope(void *arg)
{
    struct limited *limited = arg;
    coir_timeout limit;
    char byte;
    coir_timeout_begin(&limit, limited->limit);
    limited->n = coir_read(limited->fd, &byte, 1);
    limited->timed_out = coir_timeout_end(&limit);
    return 0;
}

RunTest(cancel_io, races_with_a_deadline_and_each_is_told_apart)
{
    int ends[2];
    make_socketpair(ends);
    for (int i = 0; i < check_scale(3000); i++) {
        struct limited limited = { .fd = ends[0], .limit = COIR_MICROSECONDS(i % 100) };
        coir_task *task = coir_create_task(read_in_a_scope, &limited);
        cr_assert_eq(coir_sleep(COIR_MICROSECONDS(i * 7 % 100)), 0);
        coir_cancel(task);
        cr_assert_eq(coir_await(task), 0);
        cr_assert_eq(limited.timed_out, limited.n == -ETIMEDOUT, "%d but %zd", limited.timed_out,
                     limited.n);
        cr_assert(limited.timed_out || limited.n == -ECANCELED, "%zd", limited.n);
    }
    close_ends(ends);
    return 0;
}

RunTest(cancel_io, inside_a_shield_lets_a_read_wait)
{
    int ends[2];
    char byte;
    coir_shield shield;
    make_pipe(ends);
    coir_cancel(coir_current_task());
    coir_shield_begin(&shield);
    cr_assert_eq(coir_write(ends[1], "x", 1), 1);
    cr_assert_eq(coir_read(ends[0], &byte, 1), 1);
    coir_shield_end(&shield);
    close_ends(ends);
    return 0;
}

/* ------------------------------------------------- every byte just once --- */

struct stream {
    int ends[2];
    size_t written;
    size_t read;
    atomic_int stop;
    unsigned seed;
    bool by_deadline;
};

/* Writes on and on; the reader sees each number in its place or not at all. */
static int write_stream(void *arg)
{
    struct stream *stream = arg;
    unsigned char buf[512];
    unsigned seed = 12345;
    while (!atomic_load(&stream->stop)) {
        size_t len = next_random(&seed) % sizeof buf + 1;
        write_bytes_at(buf, len, stream->written);
        ssize_t n = coir_write(stream->ends[1], buf, len);
        cr_assert_gt(n, 0);
        stream->written += (size_t)n;
        if (next_random(&seed) % 4 == 0)
            cr_assert_eq(coir_yield(), 0);
    }
    return coir_close(stream->ends[1]);
}

static int read_stream(void *arg)
{
    struct stream *stream = arg;
    unsigned char buf[1024];
    for (;;) {
        size_t len = next_random(&stream->seed) % sizeof buf + 1;
        ssize_t n = coir_read(stream->ends[0], buf, len);
        if (n <= 0)
            return (int)n;
        cr_assert(are_bytes_at(buf, (size_t)n, stream->read), "at %zu", stream->read);
        stream->read += (size_t)n;
    }
}

static int read_stream_exactly(void *arg)
{
    struct stream *stream = arg;
    unsigned char buf[1024];
    for (;;) {
        size_t len = next_random(&stream->seed) % sizeof buf + 1, done = 0;
        int rc = coir_read_exact(stream->ends[0], buf, len, &done);
        cr_assert(are_bytes_at(buf, done, stream->read), "at %zu", stream->read);
        stream->read += done;
        if (rc < 0)
            return rc == -EPIPE ? 0 : rc;
    }
}

static void cancel_a_reader(struct stream *stream, coir_fn *reader, unsigned *seed)
{
    coir_task *task = coir_create_task(reader, stream);
    for (unsigned i = next_random(seed) % 8; i > 0; i--)
        cr_assert_eq(coir_yield(), 0);
    if (next_random(seed) % 16 == 0)
        cr_assert_eq(coir_sleep(COIR_MICROSECONDS(next_random(seed) % 50)), 0);
    int rc = stream->by_deadline
                 ? coir_wait_for(task, COIR_MICROSECONDS(next_random(seed) % 30))
                 : coir_cancel_await(task);
    cr_assert_eq(rc, stream->by_deadline ? -ETIMEDOUT : -ECANCELED);
}

static void conserve(make_ends *make, coir_fn *reader, bool by_deadline, int cancels)
{
    struct stream stream = { .seed = 99, .by_deadline = by_deadline };
    unsigned seed = 4711;
    make(stream.ends);
    coir_task *writer = coir_create_task(write_stream, &stream);
    for (int i = 0; i < cancels; i++)
        cancel_a_reader(&stream, reader, &seed);

    atomic_store(&stream.stop, 1);
    cr_assert_eq(reader(&stream), 0);
    cr_assert_eq(coir_await(writer), 0);
    cr_assert_eq(stream.read, stream.written);
    cr_assert_eq(coir_close(stream.ends[0]), 0);
}

RunTest(conservation, twenty_thousand_cancels_lose_and_double_no_byte)
{
    FOR_ALL_ENDS(make)
        conserve(make, read_stream, false, check_scale(20000 / (int)LENGTH(all_ends)));
    return 0;
}

RunTest(conservation, deadlines_lose_and_double_no_byte)
{
    FOR_ALL_ENDS(make)
        conserve(make, read_stream, true, check_scale(6000 / (int)LENGTH(all_ends)));
    return 0;
}

RunTest(conservation, cancels_of_exact_reads_lose_and_double_no_byte)
{
    FOR_ALL_ENDS(make)
        conserve(make, read_stream_exactly, false, check_scale(6000 / (int)LENGTH(all_ends)));
    return 0;
}

/* The writer is cancelled, and knows by *done how far it came. */
struct sending {
    int ends[2];
    unsigned char buf[8192];
    size_t position; /* of buf in the stream */
    size_t done;
    size_t received;
};

static int send_on(void *arg)
{
    struct sending *sending = arg;
    for (;;) {
        int rc = coir_write_all_from(sending->ends[1], sending->buf, sizeof sending->buf,
                                     &sending->done);
        if (rc < 0)
            return rc;
        sending->position += sending->done;
        sending->done = 0;
        write_bytes_at(sending->buf, sizeof sending->buf, sending->position);
    }
}

static int receive(void *arg)
{
    struct sending *sending = arg;
    unsigned char buf[1500];
    ssize_t n;
    while ((n = coir_read(sending->ends[0], buf, sizeof buf)) > 0) {
        cr_assert(are_bytes_at(buf, (size_t)n, sending->received));
        sending->received += (size_t)n;
        if (sending->received % 7 == 0)
            cr_assert_eq(coir_yield(), 0);
    }
    return (int)n;
}

RunTest(conservation, cancels_of_writes_lose_and_double_no_byte)
{
    FOR_ALL_ENDS(make) {
        static struct sending sending;
        unsigned seed = 815;
        sending = (struct sending){ .done = 0 };
        make(sending.ends);
        write_bytes_at(sending.buf, sizeof sending.buf, 0);
        coir_task *receiver = coir_create_task(receive, &sending);
        for (int i = 0; i < check_scale(1000); i++) {
            coir_task *sender = coir_create_task(send_on, &sending);
            for (unsigned k = next_random(&seed) % 8; k > 0; k--)
                cr_assert_eq(coir_yield(), 0);
            cr_assert_eq(coir_cancel_await(sender), -ECANCELED);
        }
        cr_assert_eq(coir_close(sending.ends[1]), 0);
        cr_assert_eq(coir_await(receiver), 0);
        cr_assert_eq(sending.received, sending.position + sending.done);
        cr_assert_eq(coir_close(sending.ends[0]), 0);
    }
    return 0;
}
