#include "scenarios.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>

#define LENGTH(array) ((int)(sizeof(array) / sizeof(array)[0]))

static atomic_int first_error;

/* Remember an error that is nobody's to return.  Returns it. */
static int note(int rc)
{
    int none = 0;

    if (rc < 0)
        atomic_compare_exchange_strong(&first_error, &none, rc);
    return rc;
}

int scenario_error(void)
{
    return atomic_load(&first_error);
}

/* An address of this machine that no other process uses: some runs leave clients behind
   that connect to a port after its listener has been closed, and it may be another's. */
static char own_address[16];

static void choose_address(void)
{
    unsigned pid = (unsigned)getpid();

    snprintf(own_address, sizeof own_address, "127.%u.%u.%u", 1 + (pid >> 16) % 128,
             pid >> 8 & 255, pid & 255);
}

void scenario_reset(const struct scenario *scenario)
{
    atomic_store(&first_error, 0);
    choose_address();
    scenario->reset();
}

/* Tasks that were created, and their bodies that ran and ended: by number. */
#define TASKS_MAX 256

static struct {
    atomic_int created[TASKS_MAX], ran[TASKS_MAX], ended[TASKS_MAX];
} tasks;

static void reset_tasks(void)
{
    memset(&tasks, 0, sizeof tasks);
}

/* What was created ran once, and nothing else did. */
static void check_tasks(void)
{
    for (int i = 0; i < TASKS_MAX; i++) {
        must(tasks.created[i] <= 1);
        must(tasks.ran[i] == tasks.created[i]);
        must(tasks.ended[i] == tasks.created[i]);
    }
}

static int count_created(void)
{
    int n = 0;

    for (int i = 0; i < TASKS_MAX; i++)
        n += tasks.created[i];
    return n;
}

/* Before the task is: it may run at once. */
static void expect(int number, bool created)
{
    tasks.created[number] += created ? 1 : -1;
}

static const char *port_of(int fd, char text[8])
{
    struct sockaddr_storage address;
    socklen_t len = sizeof address;

    must(getsockname(fd, (struct sockaddr *)&address, &len) == 0);
    snprintf(text, 8, "%u",
             ntohs(address.ss_family == AF_INET ? ((struct sockaddr_in *)&address)->sin_port
                                                : ((struct sockaddr_in6 *)&address)->sin6_port));
    return text;
}

/* A socket whose port is taken, on every address, and where nobody listens. */
static int make_deaf(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_ANY) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    must(bind(fd, (struct sockaddr *)&address, sizeof address) == 0);
    return fd;
}

/* spawn: a tree of tasks, created in every way. */

enum { TREE_DEPTH = 6, TREE_NODES = (1 << (TREE_DEPTH + 1)) - 1 };

struct node {
    int number, depth;
    char padding[COIR_ARG_INLINE]; /* too large to be copied into the descriptor */
};

static int tree_node(void *arg);

static coir_task *create_node(struct node *node, int way)
{
    coir_task_options options = { .name = "node", .arg_size = sizeof *node,
                                  .stack_bytes = (size_t)256 * 1024 };
    coir_task *task;

    expect(node->number, true);
    if (way == 0)
        task = coir_create_task(tree_node, node);
    else if (way == 1)
        task = coir_create_task_copy(tree_node, node, sizeof *node);
    else
        task = coir_create_task_with(&options, tree_node, node);
    if (!task)
        expect(node->number, false);
    return task;
}

static int grow_tasks(struct node children[2], int way)
{
    coir_task *first = create_node(&children[0], way), *second = create_node(&children[1], way);
    int rc = coir_await(first), rc2 = coir_await(second);

    return rc < 0 ? rc : rc2;
}

static int grow_group(struct node children[2])
{
    coir_group group;
    int rc = 0, rc2;

    coir_group_init(&group);
    for (int i = 0; i < 2 && rc == 0; i++) {
        expect(children[i].number, true);
        rc = coir_group_create_task_copy(&group, tree_node, &children[i], sizeof children[i]);
        if (rc < 0)
            expect(children[i].number, false);
    }
    rc2 = coir_group_wait(&group);
    return rc < 0 && rc != -ECANCELED ? rc : rc2;
}

static int grow(const struct node *node)
{
    struct node children[2] = { *node, *node };

    for (int i = 0; i < 2; i++) {
        children[i].number = node->number * 2 + 1 + i;
        children[i].depth++;
    }
    return node->depth % 4 == 3 ? grow_group(children) : grow_tasks(children, node->depth % 4);
}

static int tree_node(void *arg)
{
    struct node node = *(struct node *)arg;
    int rc;

    tasks.ran[node.number]++;
    rc = node.depth == TREE_DEPTH ? coir_yield() : grow(&node);
    tasks.ended[node.number]++;
    return rc;
}

static int spawn_main(void *unused)
{
    struct node root = { 0 };

    (void)unused;
    expect(0, true);
    return tree_node(&root);
}

static void spawn_check(int result)
{
    check_tasks();
    if (result == 0)
        must(count_created() == TREE_NODES);
}

/* sleepers: on time, late, cancelled. */

enum { SLEEPERS = 150 };

static int sleep_for(coir_duration duration)
{
    int64_t begin = coir_now();
    int rc = coir_sleep(duration);

    must(rc < 0 || coir_now() - begin >= duration);
    return rc;
}

static int sleep_too_long(void)
{
    coir_timeout limit;
    int rc, late;

    coir_timeout_begin(&limit, COIR_MICROSECONDS(300));
    rc = coir_sleep(COIR_FOREVER);
    late = coir_timeout_end(&limit);
    must(rc < 0 && late == (rc == -ETIMEDOUT));
    return rc == -ETIMEDOUT ? 0 : rc;
}

static int sleep_until_cancelled(void)
{
    int rc = coir_sleep(COIR_FOREVER);

    must(rc < 0);
    return rc == -ECANCELED ? 0 : rc;
}

static int sleeper(void *arg)
{
    int number = *(int *)arg, rc;

    tasks.ran[number]++;
    if (number % 4 == 0)
        rc = sleep_for(COIR_MICROSECONDS(number % 3 * 300));
    else if (number % 4 == 1)
        rc = sleep_too_long();
    else if (number % 4 == 2)
        rc = sleep_until_cancelled();
    else
        rc = coir_sleep_until(coir_now() + COIR_MICROSECONDS(700));
    tasks.ended[number]++;
    return rc;
}

static int sleepers_main(void *unused)
{
    coir_task *handles[SLEEPERS];

    (void)unused;
    for (int i = 0; i < SLEEPERS; i++) {
        expect(i, true);
        handles[i] = coir_create_task_copy(sleeper, &i, sizeof i);
        if (!handles[i])
            expect(i, false);
    }
    note(coir_sleep(COIR_MICROSECONDS(500)));
    for (int i = 2; i < SLEEPERS; i += 4)
        coir_cancel(handles[i]);
    for (int i = 0; i < SLEEPERS; i++)
        note(coir_await(handles[i]));
    return 0;
}

static void sleepers_check(int result)
{
    check_tasks();
    if (result == 0)
        must(count_created() == SLEEPERS);
}

/* echo: bytes there and back again. */

enum { CLIENTS = 3, ECHO_MOST = 1000 };

static const int echo_sizes[] = { 1, 50, ECHO_MOST };

static struct {
    char port[8];
    int listener;
    atomic_long echoed, received, sent;
} echo;

static unsigned char byte_at(long position)
{
    return (unsigned char)(position * 2654435761u >> 13);
}

static int serve(void *arg)
{
    int fd = *(int *)arg;
    char buf[700];
    ssize_t n;

    while ((n = coir_read(fd, buf, sizeof buf)) > 0) {
        size_t done = 0;
        int rc = coir_write_all_from(fd, buf, (size_t)n, &done);

        echo.echoed += (long)done;
        if (rc < 0) {
            note(rc == -ECANCELED ? 0 : rc);
            break;
        }
    }
    note(n == -ECANCELED ? 0 : (int)n);
    note(coir_close(fd));
    return 0;
}

/* Accept for fn until it is cancelled; then, or for an error, nobody can connect. */
static int accept_for(coir_fn *fn, int listener)
{
    coir_group clients;
    int fd, rc;

    coir_group_init(&clients);
    while ((fd = coir_accept(listener)) >= 0) {
        rc = coir_group_create_task_copy(&clients, fn, &fd, sizeof fd);
        if (rc < 0) {
            note(rc == -ECANCELED ? 0 : rc);
            note(coir_close(fd));
        }
    }
    if (fd != -ECANCELED)
        note(coir_close(listener));
    rc = coir_group_wait(&clients);
    if (fd == -ECANCELED)
        note(coir_close(listener));
    return fd == -ECANCELED ? rc == -ECANCELED ? 0 : rc : fd;
}

static int echo_server(void *unused)
{
    (void)unused;
    return accept_for(serve, echo.listener);
}

static int exchange(int fd, int size, long *position)
{
    unsigned char out[ECHO_MOST], in[ECHO_MOST];
    size_t sent = 0, received = 0;
    int rc;

    for (int i = 0; i < size; i++)
        out[i] = byte_at(*position + i);
    rc = coir_write_all_from(fd, out, (size_t)size, &sent);
    must(rc < 0 || sent == (size_t)size);
    echo.sent += (long)sent;
    if (rc == 0)
        rc = coir_read_exact(fd, in, (size_t)size, &received);
    must(rc < 0 || received == (size_t)size);
    must(memcmp(in, out, received) == 0);
    echo.received += (long)received;
    *position += size;
    return rc;
}

static int echo_client(void *arg)
{
    long position = (long)(intptr_t)arg * 1000;
    int fd = coir_connect(own_address, echo.port), rc = 0;

    if (fd < 0)
        return fd;
    for (int i = 0; i < LENGTH(echo_sizes) && rc == 0; i++)
        rc = exchange(fd, echo_sizes[i], &position);
    note(coir_close(fd));
    return rc;
}

/* Run the calls beside a server, which ends with them. */
static int with_server(coir_fn *server_fn, int listener, coir_call *calls, int n)
{
    coir_task *server = coir_create_task(server_fn, NULL);
    int rc;

    if (!server) {
        note(coir_close(listener));
        return -ENOMEM;
    }
    rc = coir_gather_all(calls, (size_t)n);
    for (int i = 0; i < n; i++)
        note(calls[i].value);
    note(coir_cancel_await(server));
    return rc;
}

static int echo_main(void *unused)
{
    coir_call calls[CLIENTS];

    (void)unused;
    echo.listener = coir_listen(own_address, "0");
    if (echo.listener < 0)
        return echo.listener;
    port_of(echo.listener, echo.port);
    for (int i = 0; i < CLIENTS; i++)
        calls[i] = COIR_CALL(echo_client, (void *)(intptr_t)i);
    return with_server(echo_server, echo.listener, calls, CLIENTS);
}

static void echo_reset(void)
{
    memset(&echo, 0, sizeof echo);
}

static void echo_check(int result)
{
    long all = 0;

    for (int i = 0; i < LENGTH(echo_sizes); i++)
        all += CLIENTS * echo_sizes[i];
    must(echo.received <= echo.echoed);
    must(echo.echoed <= echo.sent);
    must(echo.sent <= all);
    if (result == 0)
        must(echo.received == all);
}

/* connect: to an address, to a name, to nobody, with a deadline. */

static int greet(void *arg)
{
    int fd = *(int *)arg;
    char byte;
    ssize_t rc = coir_read_exact(fd, &byte, 1, NULL);

    if (rc == 0)
        rc = coir_write_all(fd, "x", 1);
    note(rc == -ECANCELED ? 0 : (int)rc);
    note(coir_close(fd));
    return 0;
}

static int greeter(void *unused)
{
    (void)unused;
    return accept_for(greet, echo.listener);
}

/* Speaks first: of a listener that is closed while a connection is being made the
   kernel does not always tell the other side, unless that sends something. */
static int visit(void *arg)
{
    int fd = coir_connect(arg, echo.port), rc;
    char byte = 0;

    if (fd < 0)
        return fd;
    rc = (int)coir_write_all(fd, "?", 1);
    if (rc > 0)
        rc = coir_read_exact(fd, &byte, 1, NULL);
    must(rc < 0 || byte == 'x');
    echo.received += rc == 0;
    note(coir_close(fd));
    return rc;
}

static int visit_in_time(void *arg)
{
    coir_timeout limit;
    int rc;

    coir_timeout_begin(&limit, COIR_SECONDS(30));
    rc = visit(arg);
    must(coir_timeout_end(&limit) == 0);
    return rc;
}

static int visit_nobody(void *unused)
{
    int deaf = make_deaf(), fd;
    char port[8];

    (void)unused;
    fd = coir_connect("127.0.0.1", port_of(deaf, port));
    note(coir_close(deaf));
    must(fd < 0);
    return fd == -ECONNREFUSED ? 0 : fd;
}

static int connect_main(void *unused)
{
    coir_call calls[] = {
        COIR_CALL(visit, (void *)(uintptr_t)"127.0.0.1"),
        COIR_CALL(visit, (void *)(uintptr_t)"localhost"),
        COIR_CALL(visit_in_time, (void *)(uintptr_t)"localhost"),
        COIR_CALL(visit_nobody, NULL),
    };

    (void)unused;
    echo.listener = coir_listen(NULL, "0");
    if (echo.listener < 0)
        return echo.listener;
    port_of(echo.listener, echo.port);
    return with_server(greeter, echo.listener, calls, LENGTH(calls));
}

static void connect_check(int result)
{
    if (result == 0)
        must(echo.received == 3);
}

/* cancel: whatever a task can wait in. */

static struct {
    bool open;
    int empty[2], nonblocking[2], full[2], closed[2], listener, deaf;
} victim;

static void victims_reset(void)
{
    memset(&victim, 0, sizeof victim);
    reset_tasks();
}

/* A call that only a cancel can end. */
static int end_of(ssize_t rc)
{
    must(rc < 0);
    return rc == -ECANCELED ? 0 : (int)rc;
}

static int read_empty(void *unused)
{
    char byte;

    (void)unused;
    return end_of(coir_read(victim.empty[0], &byte, 1));
}

static int read_nonblocking(void *unused)
{
    char byte;

    (void)unused;
    return end_of(coir_read(victim.nonblocking[0], &byte, 1));
}

static int write_full(void *unused)
{
    static const char bytes[1 << 17];

    (void)unused;
    return end_of(coir_write_all(victim.full[1], bytes, sizeof bytes));
}

static int accept_nobody(void *unused)
{
    (void)unused;
    return end_of(coir_accept(victim.listener));
}

static int sleep_forever(void *unused)
{
    (void)unused;
    return end_of(coir_sleep(COIR_FOREVER));
}

static int await_reader(void *unused)
{
    (void)unused;
    return coir_await(coir_create_task(read_empty, NULL));
}

static int wait_for_readers(void *unused)
{
    coir_group readers;
    int rc, rc2;

    (void)unused;
    coir_group_init(&readers);
    rc = coir_group_create_task(&readers, read_empty, NULL);
    if (rc == 0)
        rc = coir_group_create_task(&readers, read_nonblocking, NULL);
    rc2 = coir_group_wait(&readers);
    if (rc < 0 && rc != -ECANCELED)
        return rc;
    return rc2 == -ECANCELED ? 0 : rc2;
}

static int read_for_a_while(void *unused)
{
    coir_timeout limit;
    char byte;
    ssize_t rc;

    (void)unused;
    coir_timeout_begin(&limit, COIR_MICROSECONDS(200));
    rc = coir_read(victim.empty[0], &byte, 1);
    coir_timeout_end(&limit);
    must(rc < 0);
    return rc == -ETIMEDOUT || rc == -ECANCELED ? 0 : (int)rc;
}

static int read_closed(void *unused)
{
    char byte;
    ssize_t rc = coir_read(victim.closed[0], &byte, 1);

    (void)unused;
    must(rc < 0);
    return rc == -EBADF || rc == -ECANCELED ? 0 : (int)rc;
}

static int sleep_shielded(void *unused)
{
    coir_shield shield;
    int rc;

    (void)unused;
    coir_shield_begin(&shield);
    rc = coir_sleep(COIR_MICROSECONDS(200));
    coir_shield_end(&shield);
    must(rc != -ECANCELED && rc != -ETIMEDOUT);
    return rc;
}

static int open_file(void *unused)
{
    int fd = coir_open("/dev/null", O_RDONLY, 0);
    char byte;
    ssize_t n;

    (void)unused;
    if (fd < 0)
        return fd;
    n = coir_read(fd, &byte, 1);
    must(n <= 0);
    note(coir_close(fd));
    return (int)n;
}

static coir_fn *const victims[] = {
    read_empty, read_nonblocking, write_full, accept_nobody, sleep_forever, await_reader,
    wait_for_readers, read_for_a_while, read_closed, sleep_shielded,
};

static int run_victim(void *arg)
{
    int number = *(int *)arg, rc;

    tasks.ran[number]++;
    rc = victims[number % LENGTH(victims)](NULL);
    tasks.ended[number]++;
    return rc;
}

static coir_task *create_victim(int number)
{
    coir_task *task;

    expect(number, true);
    task = coir_create_task_copy(run_victim, &number, sizeof number);
    if (!task)
        expect(number, false);
    return task;
}

/* Returns -errno, with nothing open. */
static int open_victims(void)
{
    victim.listener = coir_listen(own_address, "0");
    if (victim.listener < 0)
        return victim.listener;
    victim.open = true;
    victim.deaf = make_deaf();
    must(pipe(victim.empty) == 0);
    must(pipe2(victim.nonblocking, O_NONBLOCK) == 0);
    must(pipe(victim.full) == 0);
    must(pipe(victim.closed) == 0);
    return 0;
}

/* With plain calls: nobody is left who uses them. */
static void close_victims(void)
{
    for (int i = 0; i < 2; i++) {
        must(close(victim.empty[i]) == 0);
        must(close(victim.nonblocking[i]) == 0);
        must(close(victim.full[i]) == 0);
    }
    must(close(victim.closed[1]) == 0);
    must(close(victim.listener) == 0);
    must(close(victim.deaf) == 0);
}

static int cancel_main(void *unused)
{
    coir_task *handles[LENGTH(victims)];
    int rc = open_victims();

    (void)unused;
    if (rc < 0)
        return rc;
    for (int i = 0; i < LENGTH(victims); i++)
        handles[i] = create_victim(i);
    note(coir_sleep(COIR_MICROSECONDS(500)));
    note(coir_close(victim.closed[0]));
    for (int i = 0; i < LENGTH(victims); i += 2)
        coir_cancel(handles[i]);
    for (int i = 0; i < LENGTH(victims); i++)
        note(i % 2 ? coir_cancel_await(handles[i]) : coir_await(handles[i]));
    close_victims();
    return open_file(NULL);
}

static void cancel_check(int result)
{
    check_tasks();
    if (result == 0)
        must(count_created() == LENGTH(victims));
}

/* shutdown: the main task returns while all of them wait. */

enum { LEFT_BEHIND = 40 };

static int look_up(void)
{
    int fd = coir_connect("localhost", echo.port);

    must(fd < 0);
    return fd == -ECANCELED || fd == -ECONNREFUSED ? 0 : fd;
}

static int left_behind(void *arg)
{
    int number = *(int *)arg, rc;

    tasks.ran[number]++;
    rc = number % 8 == 7 ? look_up() : victims[number % LENGTH(victims)](NULL);
    note(rc);
    tasks.ended[number]++;
    return rc;
}

static int shutdown_main(void *unused)
{
    int rc = open_victims();

    (void)unused;
    if (rc < 0)
        return rc;
    port_of(victim.deaf, echo.port);
    for (int i = 0; i < LEFT_BEHIND; i++) {
        coir_task *task;

        expect(i, true);
        task = coir_create_task_copy(left_behind, &i, sizeof i);
        if (task && i % 2)
            coir_detach(task);
        if (!task)
            expect(i, false), note(-ENOMEM);
    }
    note(coir_sleep(COIR_MICROSECONDS(500)));
    return 0;
}

static void shutdown_check(int result)
{
    check_tasks();
    if (victim.open) {
        must(close(victim.closed[0]) == 0);
        close_victims();
    }
    if (result == 0)
        must(count_created() == LEFT_BEHIND);
}

const struct scenario scenarios[] = {
    { "spawn", reset_tasks, spawn_main, spawn_check, { 0 } },
    { "sleepers", reset_tasks, sleepers_main, sleepers_check, { 0 } },
    { "echo", echo_reset, echo_main, echo_check, { -EPIPE, -ECONNRESET, -ECONNREFUSED } },
    { "connect", echo_reset, connect_main, connect_check,
      { -EPIPE, -ECONNRESET, -ECONNREFUSED } },
    { "cancel", victims_reset, cancel_main, cancel_check, { 0 } },
    { "shutdown", victims_reset, shutdown_main, shutdown_check, { 0 } },
};

const int scenario_count = LENGTH(scenarios);
