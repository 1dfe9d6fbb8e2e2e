/*
 * echo_load.c - what does an echo server's processor time go to, per request?
 *
 * A closed loop over loopback: each of c connections sends a message, waits
 * until all of it has come back, compares it, and sends the next.
 *
 * Measures  processor time of the server's process per request, from
 *           /proc/PID/task/TID/schedstat, all its threads, over the measured
 *           seconds only.  With it: requests per second, and the time from
 *           sending to having it back, at the 50th and 99th percentile.
 *           -d puts several requests into each message, as pipelining does.
 *
 * Not       latency under a fixed rate: a closed loop slows down with its
 *           server, so p99 says little about a server that is overloaded.
 *
 * Would lie if client and server shared a CPU (pin them to different ones, or
 *           read the processor time only), if the server finished work on
 *           threads that end while it is measured (their time is lost), or if
 *           the echo were wrong: every byte of every message is compared, and
 *           each message differs from the one before.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <liburing.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_PATIENCE 5000000000 /* ns that a server may take to come up */
#define RING_ENTRIES 4096

struct settings {
    const char *peer;
    int port;
    int server; /* process id */
    int workers;
    int connections;
    int bytes, depth;
    double warm_up, seconds;
};

struct connection {
    int fd;
    uint32_t sequence;
    size_t received;
    int64_t sent_at;
    char *request, *reply;
};

/* Latencies in nanoseconds, of as many messages as fit. */
struct samples {
    uint32_t *values;
    size_t count, capacity;
};

struct client {
    struct settings settings;
    struct io_uring ring;
    struct connection *connections;
    size_t message; /* bytes */
    bool recording;
    long messages;
    struct samples samples;
};

static _Noreturn void fail(const char *what, int error)
{
    fprintf(stderr, "echo_load: %s: %s\n", what, strerror(error));
    exit(1);
}

/* Connecting */

static int try_connect(int port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        fail("socket", errno);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    if (errno != ECONNREFUSED)
        fail("connect", errno);
    close(fd);
    return -1;
}

static int connect_patiently(int port)
{
    int64_t give_up = bench_now() + CONNECT_PATIENCE;
    int fd;

    while ((fd = try_connect(port)) < 0) {
        if (bench_now() > give_up)
            fail("connect", ECONNREFUSED);
        usleep(1000);
    }
    return fd;
}

static void open_connections(struct client *client)
{
    const struct settings *s = &client->settings;

    client->connections = calloc((size_t)s->connections, sizeof *client->connections);
    if (!client->connections)
        fail("connections", ENOMEM);
    for (int i = 0; i < s->connections; i++) {
        struct connection *c = &client->connections[i];
        c->fd = connect_patiently(s->port);
        c->request = malloc(client->message);
        c->reply = malloc(client->message);
        if (!c->request || !c->reply)
            fail("buffers", ENOMEM);
        for (size_t k = 0; k < client->message; k++)
            c->request[k] = (char)(i + (int)k);
    }
}

/* The loop */

static struct io_uring_sqe *next_sqe(struct client *client)
{
    struct io_uring_sqe *sqe;

    while (!(sqe = io_uring_get_sqe(&client->ring)))
        io_uring_submit(&client->ring);
    return sqe;
}

/* Only a send that failed, or that fell short, posts a completion: it carries
   no connection. */
static void queue_send(struct client *client, struct connection *c)
{
    struct io_uring_sqe *sqe = next_sqe(client);

    io_uring_prep_send(sqe, c->fd, c->request, client->message, MSG_WAITALL | MSG_NOSIGNAL);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data(sqe, NULL);
}

static void queue_recv(struct client *client, struct connection *c)
{
    struct io_uring_sqe *sqe = next_sqe(client);

    io_uring_prep_recv(sqe, c->fd, c->reply + c->received, client->message - c->received, 0);
    io_uring_sqe_set_data(sqe, c);
}

static void send_next_message(struct client *client, struct connection *c, int64_t now)
{
    size_t stamp = client->message < sizeof c->sequence ? client->message : sizeof c->sequence;

    c->sequence++;
    memcpy(c->request, &c->sequence, stamp);
    c->received = 0;
    c->sent_at = now;
    queue_send(client, c);
    queue_recv(client, c);
}

static void record(struct client *client, int64_t latency)
{
    struct samples *s = &client->samples;

    if (!client->recording)
        return;
    client->messages++;
    if (s->count < s->capacity)
        s->values[s->count++] = latency > UINT32_MAX ? UINT32_MAX : (uint32_t)latency;
}

static void handle(struct client *client, const struct io_uring_cqe *cqe, int64_t now)
{
    struct connection *c = io_uring_cqe_get_data(cqe);

    if (!c)
        fail("send", cqe->res < 0 ? -cqe->res : EIO);
    if (cqe->res <= 0)
        fail("recv", cqe->res < 0 ? -cqe->res : ECONNRESET);
    c->received += (size_t)cqe->res;
    if (c->received < client->message) {
        queue_recv(client, c);
        return;
    }
    if (memcmp(c->request, c->reply, client->message) != 0)
        fail("the echo differs from what was sent", EBADMSG);
    record(client, now - c->sent_at);
    send_next_message(client, c, now);
}

static void run_until(struct client *client, int64_t end)
{
    int64_t now;

    do {
        int rc = io_uring_submit_and_wait(&client->ring, 1);
        if (rc < 0 && rc != -EINTR)
            fail("io_uring_enter", -rc);

        struct io_uring_cqe *cqe;
        unsigned head, handled = 0;
        now = bench_now();
        io_uring_for_each_cqe(&client->ring, head, cqe) {
            handle(client, cqe, now);
            handled++;
        }
        io_uring_cq_advance(&client->ring, handled);
    } while (now < end);
}

/* The figures */

static double thread_time(int process, const char *thread)
{
    char path[300];
    double nanoseconds = 0;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", process, thread);
    file = fopen(path, "r");
    if (!file)
        return 0; /* it has just ended */
    if (fscanf(file, "%lf", &nanoseconds) != 1)
        nanoseconds = 0;
    fclose(file);
    return nanoseconds;
}

/* Nanoseconds that all threads of a process have run. */
static double process_time(int process)
{
    char path[64];
    double nanoseconds = 0;
    struct dirent *thread;

    snprintf(path, sizeof path, "/proc/%d/task", process);
    DIR *threads = opendir(path);
    if (!threads)
        fail(path, errno);
    while ((thread = readdir(threads)))
        if (thread->d_name[0] != '.')
            nanoseconds += thread_time(process, thread->d_name);
    closedir(threads);
    return nanoseconds;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* In microseconds; the samples must be in order. */
static double percentile(const struct samples *s, double fraction)
{
    return s->count ? s->values[(size_t)((double)(s->count - 1) * fraction)] / 1e3 : 0;
}

static int measure(struct client *client)
{
    const struct settings *s = &client->settings;

    int64_t now = bench_now();
    for (int i = 0; i < s->connections; i++)
        send_next_message(client, &client->connections[i], now);
    run_until(client, now + (int64_t)(s->warm_up * 1e9));

    client->recording = true;
    double server_time = process_time(s->server);
    int64_t start = bench_now();
    run_until(client, start + (int64_t)(s->seconds * 1e9));
    double elapsed = (double)(bench_now() - start) / 1e9;
    server_time = process_time(s->server) - server_time;

    double requests = (double)client->messages * s->depth;
    qsort(client->samples.values, client->samples.count, sizeof(uint32_t), compare);
    struct bench_result result = {
        .bench = "echo", .peer = s->peer, .workers = s->workers, .unit = "us/request",
        .value = server_time / 1e3 / requests,
        .n = requests,
        .ok = client->messages > 0 && server_time > 0,
        .extra = {
            { "connections", s->connections },
            { "bytes", s->bytes },
            { "depth", s->depth },
            { "requests_per_s", requests / elapsed },
            { "p50_us", percentile(&client->samples, 0.50) },
            { "p99_us", percentile(&client->samples, 0.99) },
        },
    };
    return bench_print(&result);
}

static void open_ring(struct io_uring *ring, int connections)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
        .cq_entries = (unsigned)connections * 2 + RING_ENTRIES,
    };
    int rc = io_uring_queue_init_params(RING_ENTRIES, ring, &params);

    if (rc < 0)
        fail("io_uring_setup", -rc);
    io_uring_register_ring_fd(ring);
}

/* Two million messages a second are more than loopback carries. */
static void make_samples(struct samples *samples, double seconds)
{
    samples->capacity = (size_t)(seconds * 2e6);
    samples->values = malloc(samples->capacity * sizeof *samples->values);
    if (!samples->values)
        fail("samples", ENOMEM);
    memset(samples->values, 0, samples->capacity * sizeof *samples->values);
}

static _Noreturn void usage(void)
{
    fputs("usage: echo_load -p PORT -s SERVER_PID [-l PEER] [-w WORKERS] [-c CONNECTIONS]\n"
          "                 [-b BYTES] [-d DEPTH] [-u WARM_UP_SECONDS] [-t SECONDS]\n",
          stderr);
    exit(2);
}

static void parse(struct settings *s, int argc, char **argv)
{
    int option;

    while ((option = getopt(argc, argv, "p:s:l:w:c:b:d:u:t:")) != -1) {
        switch (option) {
        case 'p': s->port = atoi(optarg); break;
        case 's': s->server = atoi(optarg); break;
        case 'l': s->peer = optarg; break;
        case 'w': s->workers = atoi(optarg); break;
        case 'c': s->connections = atoi(optarg); break;
        case 'b': s->bytes = atoi(optarg); break;
        case 'd': s->depth = atoi(optarg); break;
        case 'u': s->warm_up = atof(optarg); break;
        case 't': s->seconds = atof(optarg); break;
        default: usage();
        }
    }
    if (!s->port || !s->server || s->connections < 1 || s->bytes < 1 || s->depth < 1 ||
        s->seconds <= 0)
        usage();
}

int main(int argc, char **argv)
{
    struct client client = {
        .settings = {
            .peer = "coir", .workers = 1, .connections = 50, .bytes = 64, .depth = 1,
            .warm_up = 0.5, .seconds = 2,
        },
    };
    parse(&client.settings, argc, argv);
    client.message = (size_t)client.settings.bytes * (size_t)client.settings.depth;

    open_ring(&client.ring, client.settings.connections);
    make_samples(&client.samples, client.settings.seconds);
    open_connections(&client);
    return measure(&client);
}
