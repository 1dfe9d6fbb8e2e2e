/*
 * A storm of cancels and deadlines over streams of numbered bytes.  Readers are
 * stopped at random moments, and the next goes on where the last one was: each
 * byte arrives once, in its place.  Beside them connections are begun and
 * accepted, and stopped: no descriptor is left.
 */
#include <netinet/in.h>
#include <sys/socket.h>

#include "stress/stress.h"

enum { STREAMS = 6, STOPS = 1000 / COIR_TEST_SCALE, CONNECTS = 200 / COIR_TEST_SCALE };

static _Atomic(uint64_t) stops_made, bytes_moved, connections_made;

struct stream {
    int in, out;
    uint64_t random, reader_random, writer_random; /* one for each task */
    size_t read, written;
    atomic_bool over;
};

static unsigned char byte_at(size_t position)
{
    return (unsigned char)(position * 2654435761u >> 13);
}

static int write_on(void *arg)
{
    struct stream *stream = arg;
    unsigned char buf[600];
    while (!atomic_load(&stream->over)) {
        size_t len = pick(&stream->writer_random, sizeof buf) + 1;
        for (size_t i = 0; i < len; i++)
            buf[i] = byte_at(stream->written + i);
        ssize_t n = coir_write(stream->out, buf, len);
        must(n > 0);
        stream->written += (size_t)n;
        if (pick(&stream->writer_random, 4) == 0)
            must(coir_yield() == 0);
    }
    return coir_close(stream->out);
}

static int read_on(void *arg)
{
    struct stream *stream = arg;
    unsigned char buf[1000];
    for (;;) {
        ssize_t n = coir_read(stream->in, buf, pick(&stream->reader_random, sizeof buf) + 1);
        if (n <= 0)
            return (int)n;
        for (ssize_t i = 0; i < n; i++)
            must(buf[i] == byte_at(stream->read + (size_t)i));
        stream->read += (size_t)n;
    }
}

static void stop_a_reader(struct stream *stream)
{
    coir_task *task = coir_create_task(read_on, stream);
    for (unsigned i = pick(&stream->random, 6); i > 0; i--)
        must(coir_yield() == 0);
    if (pick(&stream->random, 16) == 0)
        must(coir_sleep(COIR_MICROSECONDS(pick(&stream->random, 50))) == 0);
    if (pick(&stream->random, 3) == 0)
        must(coir_wait_for(task, COIR_MICROSECONDS(pick(&stream->random, 30))) == -ETIMEDOUT);
    else
        must(coir_cancel_await(task) == -ECANCELED);
}

static int run_stream(void *arg)
{
    struct stream *stream = arg;
    coir_task *writer = coir_create_task(write_on, stream);
    for (int i = 0; i < STOPS; i++)
        stop_a_reader(stream);
    atomic_store(&stream->over, true);
    must(read_on(stream) == 0);
    must(coir_await(writer) == 0);
    must(stream->read == stream->written);
    must(coir_close(stream->in) == 0);
    atomic_fetch_add(&stops_made, STOPS);
    atomic_fetch_add(&bytes_moved, stream->read);
    return 0;
}

/* Accepting and connecting, each stopped at random. */
struct listening {
    int fd;
    char port[8];
    uint64_t random;
};

static int accept_on(void *arg)
{
    struct listening *listening = arg;
    for (;;) {
        int fd = coir_accept(listening->fd);
        if (fd < 0)
            return fd;
        must(coir_close(fd) == 0);
    }
}

static int connect_once(void *arg)
{
    struct listening *listening = arg;
    int fd = coir_connect("127.0.0.1", listening->port);
    if (fd < 0)
        return fd;
    atomic_fetch_add(&connections_made, 1);
    return coir_close(fd);
}

static void open_listener(struct listening *listening)
{
    struct sockaddr_in address;
    socklen_t len = sizeof address;
    listening->fd = coir_listen("127.0.0.1", "0");
    must(listening->fd >= 0);
    must(getsockname(listening->fd, (struct sockaddr *)&address, &len) == 0);
    snprintf(listening->port, sizeof listening->port, "%d", ntohs(address.sin_port));
}

static int run_connections(void *arg)
{
    struct listening *listening = arg;
    open_listener(listening);
    for (int i = 0; i < CONNECTS; i++) {
        coir_task *acceptor = coir_create_task(accept_on, listening);
        coir_task *client = coir_create_task(connect_once, listening);
        for (unsigned k = pick(&listening->random, 6); k > 0; k--)
            must(coir_yield() == 0);
        if (pick(&listening->random, 2)) {
            int rc = coir_cancel_await(client);
            must(rc == 0 || rc == -ECANCELED);
        } else {
            must(coir_await(client) == 0);
        }
        must(coir_cancel_await(acceptor) == -ECANCELED);
        atomic_fetch_add(&stops_made, 2);
    }
    return coir_close(listening->fd);
}

static int storm(void *arg)
{
    struct stress *stress = arg;
    static struct stream streams[STREAMS];
    struct listening listening = { .random = next_random(&stress->random) };
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i < STREAMS; i++) {
        int ends[2];
        must((i % 2 ? pipe(ends) : socketpair(AF_UNIX, SOCK_STREAM, 0, ends)) == 0);
        streams[i] = (struct stream){ .in = ends[0], .out = ends[1],
                                      .random = next_random(&stress->random),
                                      .reader_random = next_random(&stress->random),
                                      .writer_random = next_random(&stress->random) };
        must(coir_group_create_task(&group, run_stream, &streams[i]) == 0);
    }
    must(coir_group_create_task(&group, run_connections, &listening) == 0);
    return coir_group_wait(&group);
}

int main(int argc, char **argv)
{
    struct stress stress;
    int descriptors;
    stress_begin(&stress, argc, argv);
    descriptors = count_entries("/proc/self/fd");
    while (stress_goes_on(&stress)) {
        must(run_round(&stress, storm, &stress) == 0);
        must(count_entries("/proc/self/fd") == descriptors);
        check_laws();
    }
    printf("cancel_storm: %" PRIu64 " stops, %" PRIu64 " bytes, %" PRIu64 " connections\n",
           atomic_load(&stops_made), atomic_load(&bytes_moved), atomic_load(&connections_made));
    return stress_end(&stress);
}
