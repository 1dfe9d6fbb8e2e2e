/*
 * Descriptors of unusual kinds, shared ones, and numbers used again: the same on
 * every driver.
 */
#include <pty.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <termios.h>

#include "io/ends.h"

struct reading {
    int fd;
    size_t len; /* 0: all of buf */
    char buf[64];
    ssize_t n;
    atomic_int started;
};

static int read_once(void *arg)
{
    struct reading *reading = arg;
    atomic_store(&reading->started, 1);
    reading->n = coir_read(reading->fd, reading->buf,
                           reading->len ? reading->len : sizeof reading->buf);
    return 0;
}

static coir_task *start_reading(struct reading *reading)
{
    coir_task *task = coir_create_task(read_once, reading);
    yield_until(&reading->started, 1);
    let_them_wait();
    return task;
}

/* ---------------------------------------------------------- terminals --- */

struct terminal {
    int user, program; /* what is typed at one is read from the other */
};

static struct terminal make_terminal(void)
{
    struct terminal terminal;
    struct termios raw;
    cr_assert_eq(openpty(&terminal.user, &terminal.program, NULL, NULL, NULL), 0);
    cr_assert_eq(tcgetattr(terminal.program, &raw), 0);
    cfmakeraw(&raw);
    cr_assert_eq(tcsetattr(terminal.program, TCSANOW, &raw), 0);
    return terminal;
}

static void close_terminal(const struct terminal *terminal)
{
    cr_assert_eq(coir_close(terminal->program), 0);
    cr_assert_eq(coir_close(terminal->user), 0);
}

RunTest(terminal, is_read_when_something_is_typed)
{
    struct terminal terminal = make_terminal();
    struct reading reading = { .fd = terminal.program };
    coir_task *task = start_reading(&reading);
    cr_assert_not(coir_task_done(task));
    cr_assert_eq(write(terminal.user, "typed", 5), 5);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(reading.n, 5);
    cr_assert_eq(memcmp(reading.buf, "typed", 5), 0);
    close_terminal(&terminal);
    return 0;
}

RunTest(terminal, is_written_to)
{
    struct terminal terminal = make_terminal();
    char buf[8];
    cr_assert_eq(coir_write_all(terminal.program, "prompt", 6), 6);
    cr_assert_eq(coir_read_exact(terminal.user, buf, 6, NULL), 0);
    cr_assert_eq(memcmp(buf, "prompt", 6), 0);
    close_terminal(&terminal);
    return 0;
}

RunTest(terminal, read_is_ended_by_a_cancel_and_takes_nothing)
{
    struct terminal terminal = make_terminal();
    struct reading reading = { .fd = terminal.program };
    char byte;
    coir_task *task = start_reading(&reading);
    coir_cancel(task);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(reading.n, -ECANCELED);
    cr_assert_eq(write(terminal.user, "x", 1), 1);
    cr_assert_eq(coir_read(terminal.program, &byte, 1), 1);
    close_terminal(&terminal);
    return 0;
}

RunTest(terminal, read_is_ended_by_close)
{
    struct terminal terminal = make_terminal();
    struct reading reading = { .fd = terminal.program };
    coir_task *task = start_reading(&reading);
    cr_assert_eq(coir_close(terminal.program), 0);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_eq(reading.n, -EBADF);
    return coir_close(terminal.user);
}

/* Also while one of them has been let into the call and the data taken from
   under it. */
RunTest(terminal, read_by_several_tasks_gives_each_byte_to_one)
{
    enum { READERS = 6 };
    struct terminal terminal = make_terminal();
    struct reading readings[READERS];
    coir_task *tasks[READERS];
    int seen[READERS] = { 0 };
    for (int i = 0; i < READERS; i++) {
        readings[i] = (struct reading){ .fd = terminal.program, .len = 1 };
        tasks[i] = start_reading(&readings[i]);
    }
    for (char i = 0; i < READERS; i++) {
        cr_assert_eq(write(terminal.user, &i, 1), 1);
        cr_assert_eq(coir_yield(), 0);
    }
    for (int i = 0; i < READERS; i++) {
        cr_assert_eq(coir_await(tasks[i]), 0);
        cr_assert_eq(readings[i].n, 1);
        seen[(int)readings[i].buf[0]]++;
    }
    for (int i = 0; i < READERS; i++)
        cr_assert_eq(seen[i], 1);
    close_terminal(&terminal);
    return 0;
}

RunTest(terminal, as_standard_input_and_output_keeps_its_flags)
{
    struct terminal terminal = make_terminal();
    int before = fcntl(terminal.program, F_GETFL), saved[2] = { dup(0), dup(1) };
    char buf[4];
    cr_assert_eq(dup2(terminal.program, 0), 0);
    cr_assert_eq(dup2(terminal.program, 1), 1);
    struct reading reading = { .fd = 0 };
    coir_task *task = start_reading(&reading);
    int during = fcntl(terminal.program, F_GETFL);
    ssize_t n = coir_write(1, "out", 3);
    cr_assert_eq(write(terminal.user, "in", 2), 2);
    cr_assert_eq(coir_await(task), 0);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(dup2(saved[i], i), i);
        close(saved[i]);
    }
    cr_assert_eq(during, before, "while it is read");
    cr_assert_eq(fcntl(terminal.program, F_GETFL), before, "and afterwards");
    cr_assert_eq(n, 3);
    cr_assert_eq(reading.n, 2);
    cr_assert_eq(coir_read(terminal.user, buf, 4), 3);
    close_terminal(&terminal);
    return 0;
}

/* --------------------------------------------------------- other kinds --- */

RunTest(kinds, an_event_is_waited_for)
{
    int flags[] = { 0, EFD_NONBLOCK };
    for (size_t i = 0; i < LENGTH(flags); i++) {
        uint64_t number = 7;
        int event = eventfd(0, flags[i]);
        struct reading reading = { .fd = event };
        coir_task *task = start_reading(&reading);
        cr_assert_eq(write(event, &number, 8), 8);
        cr_assert_eq(coir_await(task), 0);
        cr_assert_eq(reading.n, 8);
        memcpy(&number, reading.buf, 8);
        cr_assert_eq(number, 7);
        cr_assert_eq(coir_close(event), 0);
    }
    return 0;
}

RunTest(kinds, a_timer_that_blocks_is_waited_for)
{
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    struct itimerspec soon = { .it_value.tv_nsec = 2000000 };
    uint64_t number = 0;
    cr_assert_eq(timerfd_settime(timer, 0, &soon, NULL), 0);
    cr_assert_eq(coir_read(timer, &number, 8), 8);
    cr_assert_eq(number, 1);
    return coir_close(timer);
}

RunTest(kinds, what_happens_in_a_directory_is_waited_for)
{
    char path[] = "/dev/shm/coir-test-XXXXXX", file[64];
    cr_assert_not_null(mkdtemp(path));
    snprintf(file, sizeof file, "%s/new", path);
    int notes = inotify_init1(IN_CLOEXEC);
    cr_assert_geq(inotify_add_watch(notes, path, IN_CREATE), 0);
    struct reading reading = { .fd = notes };
    coir_task *task = start_reading(&reading);
    cr_assert_not(coir_task_done(task));
    int fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(coir_await(task), 0);
    cr_assert_geq(reading.n, (ssize_t)sizeof(struct inotify_event));
    close(fd);
    unlink(file);
    rmdir(path);
    return coir_close(notes);
}

/* Partly in memory and partly not. */
RunTest(kinds, a_file_is_read_in_one_call_wherever_it_is)
{
    enum { LEN = 1 << 20 };
    char path[] = "./coir-test-XXXXXX";
    unsigned char *bytes = malloc(LEN);
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    unlink(path);
    write_bytes_at(bytes, LEN, 0);
    cr_assert_eq(coir_write_all(fd, bytes, LEN), LEN);
    for (int warm = 0; warm < 3; warm++) {
        cr_assert_eq(fsync(fd), 0);
        cr_assert_eq(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
        cr_assert_eq(posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM), 0);
        if (warm)
            cr_assert_eq(pread(fd, bytes, 8192, warm == 1 ? 0 : LEN / 2), 8192);
        memset(bytes, 0, LEN);
        cr_assert_eq(lseek(fd, 0, SEEK_SET), 0);
        cr_assert_eq(coir_read(fd, bytes, LEN), LEN);
        cr_assert(are_bytes_at(bytes, LEN, 0));
        cr_assert_eq(coir_read(fd, bytes, LEN), 0);
    }
    free(bytes);
    return coir_close(fd);
}

static int read_zeros(void *stop)
{
    int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    char byte;
    while (!atomic_load((atomic_int *)stop))
        cr_assert_eq(coir_read(fd, &byte, 1), 1);
    return coir_close(fd);
}

RunTestOn(1, kinds, what_is_always_ready_lets_others_run_and_deadlines_pass)
{
    atomic_int stop = 0;
    coir_task *reader = coir_create_task(read_zeros, &stop);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(coir_yield(), 0);
    cr_assert_eq(coir_sleep(COIR_MILLISECONDS(1)), 0);
    atomic_store(&stop, 1);
    return coir_await(reader);
}

/* ---------------------------------------------------- FIFOs and opening --- */

struct fifo {
    const char *path;
    int flags;
    int rc;
};

static int open_fifo(void *arg)
{
    struct fifo *fifo = arg;
    int fd = coir_open(fifo->path, fifo->flags, 0);
    fifo->rc = fd;
    return fd < 0 ? fd : coir_close(fd);
}

RunTest(open, of_both_ends_of_fifos_by_many_tasks_ends)
{
    enum { N = 8 };
    char path[] = "/dev/shm/coir-test-XXXXXX", names[N][64];
    struct fifo fifos[2 * N];
    coir_group group;
    cr_assert_not_null(mkdtemp(path));
    coir_group_init(&group);
    for (int i = 0; i < 2 * N; i++) {
        if (i < N) {
            snprintf(names[i], sizeof names[i], "%s/%d", path, i);
            cr_assert_eq(mkfifo(names[i], 0600), 0);
        }
        fifos[i] = (struct fifo){ .path = names[i % N], .flags = i < N ? O_RDONLY : O_WRONLY };
        cr_assert_eq(coir_group_create_task(&group, open_fifo, &fifos[i]), 0);
    }
    coir_group_wait(&group); /* io_uring lets readers through, and a writer gets -ENXIO */
    for (int i = 0; i < 2 * N; i++)
        cr_assert(fifos[i].rc >= 0 || fifos[i].rc == -ENXIO || fifos[i].rc == -ECANCELED, "%d",
                  fifos[i].rc);
    for (int i = 0; i < N; i++)
        unlink(names[i]);
    rmdir(path);
    return 0;
}

/* ------------------------------------------------------------- sharing --- */

RunTest(sharing, a_reader_and_a_writer_wait_for_one_socket_at_once)
{
    int ends[2];
    static char sink[1 << 20];
    make_socketpair(ends);
    size_t filled = fill(ends[0]);
    struct reading reading = { .fd = ends[0] };
    coir_task *reader = start_reading(&reading);
    coir_timeout limit;
    coir_timeout_begin(&limit, COIR_MILLISECONDS(1));
    cr_assert_eq(coir_write(ends[0], "x", 1), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    cr_assert_not(coir_task_done(reader));
    cr_assert_eq(coir_write(ends[1], "hello", 5), 5);
    cr_assert_eq(coir_await(reader), 0);
    cr_assert_eq(reading.n, 5);
    cr_assert_leq(filled, sizeof sink);
    cr_assert_eq(coir_read_exact(ends[1], sink, filled, NULL), 0);
    cr_assert_eq(coir_write(ends[0], "x", 1), 1);
    close_ends(ends);
    return 0;
}

static int write_one(void *fd)
{
    ssize_t n = coir_write(*(int *)fd, "x", 1);
    return n == 1 ? 0 : (int)n;
}

RunTest(sharing, a_peer_that_goes_wakes_readers_and_writers)
{
    int ends[2];
    make_socketpair(ends);
    fill(ends[0]);
    struct reading reading = { .fd = ends[0] };
    coir_task *reader = start_reading(&reading);
    coir_task *writer = coir_create_task(write_one, &ends[0]);
    let_them_wait();
    cr_assert_eq(coir_close(ends[1]), 0);
    cr_assert_eq(coir_await(reader), 0);
    int rc = coir_await(writer);
    cr_assert(rc == -EPIPE || rc == -ECONNRESET, "%d", rc);
    cr_assert(reading.n == 0 || reading.n == -ECONNRESET, "%zd", reading.n);
    return coir_close(ends[0]);
}

static int read_to_the_end(void *arg)
{
    struct reading *reading = arg;
    ssize_t n;
    while ((n = coir_read(reading->fd, reading->buf, 1)) == 1)
        reading->n++;
    return (int)n;
}

/* A pipe that blocks, which a task of each of several and another process read. */
RunTest(sharing, with_readers_in_another_process_loses_no_byte)
{
    enum { READERS = 4, BYTES = 3000 };
    int ends[2], counted[2];
    make_pipe(ends);
    make_pipe(counted);
    pid_t child = fork();
    if (child == 0) {
        int n = 0;
        char byte;
        close(ends[1]);
        while (read(ends[0], &byte, 1) == 1)
            n++;
        _exit(write(counted[1], &n, sizeof n) != sizeof n);
    }
    struct reading readings[READERS] = { { .fd = 0 } };
    coir_task *tasks[READERS];
    for (int i = 0; i < READERS; i++) {
        readings[i].fd = ends[0];
        tasks[i] = coir_create_task(read_to_the_end, &readings[i]);
    }
    for (int i = 0; i < BYTES; i++)
        cr_assert_eq(coir_write(ends[1], "x", 1), 1);
    cr_assert_eq(coir_close(ends[1]), 0);
    int total = 0, theirs, status;
    for (int i = 0; i < READERS; i++) {
        cr_assert_eq(coir_await(tasks[i]), 0);
        total += (int)readings[i].n;
    }
    cr_assert_eq(coir_read_exact(counted[0], &theirs, sizeof theirs, NULL), 0);
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(total + theirs, BYTES);
    cr_assert_eq(coir_close(ends[0]), 0);
    close_ends(counted);
    return 0;
}

/* A listener that this program made itself, and that blocks. */
static int make_listener(struct sockaddr_in *ret_address)
{
    socklen_t len = sizeof *ret_address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *ret_address = (struct sockaddr_in){ .sin_family = AF_INET,
                                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    cr_assert_eq(bind(fd, (struct sockaddr *)ret_address, len), 0);
    cr_assert_eq(listen(fd, 100), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)ret_address, &len), 0);
    return fd;
}

static void connect_to(const struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(fd, (const struct sockaddr *)address, sizeof *address), 0);
    close(fd);
}

struct acceptor {
    int listener;
    atomic_int accepted;
};

static int accept_on(void *arg)
{
    struct acceptor *acceptor = arg;
    int fd;
    while ((fd = coir_accept(acceptor->listener)) >= 0) {
        cr_assert_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
        cr_assert_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
        atomic_fetch_add(&acceptor->accepted, 1);
        cr_assert_eq(coir_close(fd), 0);
    }
    return fd;
}

/* The child accepts, and counts by writing a byte for each, until it is killed. */
static pid_t accept_in_child(int listener, int counter)
{
    pid_t child = fork();
    if (child == 0)
        for (;;) {
            int fd = accept(listener, NULL, NULL);
            if (fd < 0 || write(counter, "x", 1) != 1)
                _exit(1);
            close(fd);
        }
    return child;
}

RunTest(sharing, a_listener_that_blocks_with_another_process_ends_when_cancelled)
{
    enum { TASKS = 3, CONNECTIONS = 200 };
    struct sockaddr_in address;
    struct acceptor acceptor = { .listener = make_listener(&address) };
    coir_task *tasks[TASKS];
    int counter[2], status;
    make_nonblocking_pipe(counter);
    pid_t child = accept_in_child(acceptor.listener, counter[1]);
    for (int i = 0; i < TASKS; i++)
        tasks[i] = coir_create_task(accept_on, &acceptor);
    for (int i = 0; i < check_scale(CONNECTIONS); i++) {
        connect_to(&address);
        cr_assert_eq(coir_yield(), 0);
    }
    char byte;
    int theirs = 0;
    while (theirs + atomic_load(&acceptor.accepted) < check_scale(CONNECTIONS)) {
        theirs += read(counter[0], &byte, 1) == 1;
        cr_assert_eq(coir_yield(), 0);
    }
    for (int i = 0; i < TASKS; i++)
        cr_assert_eq(coir_cancel_await(tasks[i]), -ECANCELED);
    kill(child, SIGKILL);
    cr_assert_eq(waitpid(child, &status, 0), child);
    close_ends(counter);
    return coir_close(acceptor.listener);
}

/* ------------------------------------------------------ numbers reused --- */

RunTest(numbers, closed_by_plain_close_and_used_again_are_waited_for)
{
    for (int i = 0; i < check_scale(300); i++)
        FOR_LOCAL_ENDS(make) {
            int ends[2];
            char byte;
            coir_timeout limit;
            make(ends);
            coir_timeout_begin(&limit, COIR_MICROSECONDS(20));
            cr_assert_eq(coir_read(ends[0], &byte, 1), -ETIMEDOUT);
            coir_timeout_end(&limit);
            cr_assert_eq(coir_write(ends[1], "x", 1), 1);
            cr_assert_eq(coir_read(ends[0], &byte, 1), 1);
            close(ends[0]);
            close(ends[1]);
        }
    return 0;
}

/* The file that had the number lives on in a dup, and has something to say. */
RunTest(numbers, taken_from_a_file_that_lives_on_are_waited_for)
{
    FOR_LOCAL_ENDS(make) {
        int old[2], new[2];
        make(old);
        struct reading reading = { .fd = old[0] };
        coir_task *task = start_reading(&reading);
        cr_assert_eq(coir_write(old[1], "x", 1), 1);
        cr_assert_eq(coir_await(task), 0);
        int number = old[0], again = dup(old[0]);
        close(old[0]);
        make(new);
        if (new[0] != number) {
            cr_assert_eq(dup2(new[0], number), number);
            close(new[0]);
            new[0] = number;
        }
        reading = (struct reading){ .fd = number };
        task = start_reading(&reading);
        cr_assert_eq(write(old[1], "old", 3), 3);
        let_them_wait();
        cr_assert_not(coir_task_done(task));
        cr_assert_eq(coir_write(new[1], "new!", 4), 4);
        cr_assert_eq(coir_await(task), 0);
        cr_assert_eq(reading.n, 4);
        char buf[8];
        cr_assert_eq(coir_read(again, buf, 8), 3);
        close(again);
        close(old[1]);
        close_ends(new);
    }
    return 0;
}

RunTest(numbers, of_one_file_are_waited_for_each)
{
    int ends[2];
    make_socketpair(ends);
    struct reading a = { .fd = ends[0], .len = 1 }, b = { .fd = dup(ends[0]), .len = 1 };
    coir_task *first = start_reading(&a), *second = start_reading(&b);
    cr_assert_eq(coir_write(ends[1], "xy", 2), 2);
    cr_assert_eq(coir_await(first), 0);
    cr_assert_eq(coir_await(second), 0);
    cr_assert_eq(a.n + b.n, 2);
    cr_assert_eq(coir_close(b.fd), 0);
    close_ends(ends);
    return 0;
}
