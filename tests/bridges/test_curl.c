/*
 * examples/bridges/curl_bridge against examples/httpd: futures that are set on behalf of
 * a library that knows nothing of coir.
 */
#include "curl_bridge.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>

#include "bridges/server.h"

static char folder[] = "/tmp/coir-curl-XXXXXX";
static char base[64]; /* http://127.0.0.1:PORT */
static struct server httpd;
static struct curl_bridge bridge;

/* The files that httpd serves: each has a length and bytes of its own. */

static const size_t lengths[] = { 0, 1, 1000, 16383, 16384, 16385, 100000, 300001 };

static unsigned char byte_of(size_t file, size_t position)
{
    return (unsigned char)((position * 2654435761u >> 13) + file);
}

static void path_of(const char *name, char path[64])
{
    snprintf(path, 64, "%s/%s", folder, name);
}

static void make_file(const char *name, size_t file)
{
    char path[64];
    path_of(name, path);
    FILE *stream = fopen(path, "w");
    cr_assert(stream);
    for (size_t i = 0; i < lengths[file]; i++)
        fputc(byte_of(file, i), stream);
    cr_assert_eq(fclose(stream), 0);
}

/* Larger than any buffer on the way to a client. */
static void make_huge_file(void)
{
    char path[64];
    path_of("huge", path);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    cr_assert_eq(ftruncate(fd, 1 << 30), 0);
    close(fd);
}

static void for_each_file(void (*call)(const char *name, size_t file))
{
    for (size_t file = 0; file < LENGTH(lengths); file++) {
        char name[16];
        snprintf(name, sizeof name, "%zu", file);
        call(name, file);
    }
}

static void remove_file(const char *name, UNUSED size_t file)
{
    char path[64];
    path_of(name, path);
    unlink(path);
}

static void begin(void)
{
    char *const argv[] = { HTTPD, "-q", "-p", "0", folder, NULL };
    cr_assert(mkdtemp(folder));
    for_each_file(make_file);
    make_huge_file();
    signal(SIGPIPE, SIG_IGN);
    start_server(&httpd, argv);
    cr_assert_eq(sscanf(read_server_line(&httpd), "listening on %63s", base), 1);
}

static void end(bool killed)
{
    if (killed)
        cr_assert_eq(WTERMSIG(reap_server(&httpd)), SIGKILL);
    else
        stop_server(&httpd);
    for_each_file(remove_file);
    remove_file("huge", 0);
    cr_assert_eq(rmdir(folder), 0);
}

static int in_bridge(void *fn)
{
    cr_assert_eq(curl_bridge_open(&bridge), 0);
    cr_assert_eq(((coir_fn *)fn)(NULL), 0);
    cr_assert_null(bridge.transfers);
    cr_assert_eq(curl_bridge_close(&bridge), 0);
    return 0;
}

static void run_in_bridge(coir_fn *fn, bool killed)
{
    begin();
    cr_assert_eq(curl_global_init(CURL_GLOBAL_DEFAULT), CURLE_OK);
    cr_assert_eq(coir_run(in_bridge, fn), 0);
    curl_global_cleanup();
    end(killed);
}

/* A test whose body is the main task of a run, with httpd beside it and an open
   bridge; killed: whether it kills httpd. */
#define CurlTest_(name, killed)                                              \
    static int curl_##name(void *);                                          \
    Test(curl, name)                                                         \
    {                                                                        \
        run_in_bridge(curl_##name, killed);                                  \
    }                                                                        \
    static int curl_##name(UNUSED void *unused_)

#define CurlTest(name) CurlTest_(name, false)

/* Transfers */

/* A body that is compared as it comes. */
struct body {
    size_t file, got;
    bool wrong;
};

static size_t compare(char *data, size_t size, size_t n, void *arg)
{
    struct body *body = arg;
    for (size_t i = 0; i < size * n; i++)
        body->wrong |= (unsigned char)data[i] != byte_of(body->file, body->got + i);
    body->got += size * n;
    return size * n;
}

static CURL *make_easy(const char *url, curl_write_callback write, void *arg)
{
    CURL *easy = curl_easy_init();
    cr_assert(easy);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, write);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, arg);
    return easy;
}

static int fetch_file(size_t file)
{
    struct body body = { .file = file };
    char url[128];
    snprintf(url, sizeof url, "%s/%zu", base, file);
    CURL *easy = make_easy(url, compare, &body);
    int rc = curl_bridge_perform(&bridge, easy);
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(easy);

    cr_assert_not(body.wrong);
    if (rc == CURLE_OK) {
        cr_assert_eq(status, 200);
        cr_assert_eq(body.got, lengths[file]);
    }
    return rc;
}

/* arg: a number; fetches three files, each on a connection that curl may have kept. */
static int fetch_some(void *arg)
{
    size_t number = *(size_t *)arg;
    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(fetch_file((number + i) % LENGTH(lengths)), CURLE_OK);
    return 0;
}

CurlTest(many_tasks_fetch_at_once)
{
    coir_group group;
    coir_group_init(&group);
    for (size_t i = 0; i < check_scale(200); i++)
        cr_assert_eq(coir_group_create_task_copy(&group, fetch_some, &i, sizeof i), 0);
    return coir_group_wait(&group);
}

CurlTest(error_of_a_transfer_is_curls_code)
{
    /* Bound, but not listening: nobody else can listen there meanwhile. */
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, length), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &length), 0);

    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", ntohs(address.sin_port));
    CURL *easy = make_easy(url, compare, NULL);
    cr_assert_eq(curl_bridge_perform(&bridge, easy), CURLE_COULDNT_CONNECT);
    curl_easy_setopt(easy, CURLOPT_URL, "nonsense://127.0.0.1/");
    cr_assert_eq(curl_bridge_perform(&bridge, easy), CURLE_UNSUPPORTED_PROTOCOL);
    curl_easy_cleanup(easy);
    close(fd);
    return 0;
}

/* Again and again, until it is told to stop. */
static int fetch_forever(void *arg)
{
    int rc;
    while ((rc = fetch_file(*(size_t *)arg % LENGTH(lengths))) >= 0)
        cr_assert_eq(rc, CURLE_OK);
    return rc;
}

/* A server that takes a connection and never says a word. */
struct silent {
    int listener, client;
    char url[64];
};

static void open_silent(struct silent *silent)
{
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    silent->listener = coir_listen("127.0.0.1", "0");
    cr_assert_geq(silent->listener, 0);
    cr_assert_eq(getsockname(silent->listener, (struct sockaddr *)&address, &length), 0);
    snprintf(silent->url, sizeof silent->url, "http://127.0.0.1:%d/", ntohs(address.sin_port));
}

/* Until curl's request has come: the transfer is under way. */
static void accept_silent(struct silent *silent)
{
    char request[1024];
    silent->client = coir_accept(silent->listener);
    cr_assert_geq(silent->client, 0);
    cr_assert_gt(coir_read(silent->client, request, sizeof request), 0);
}

/* That curl has closed its end says that it has no transfer there any more. */
static void expect_given_up(struct silent *silent)
{
    char byte;
    cr_assert_eq(coir_read(silent->client, &byte, 1), 0);
    cr_assert_eq(coir_close(silent->client), 0);
}

static int fetch_silent(void *arg)
{
    CURL *easy = make_easy(((struct silent *)arg)->url, compare, NULL);
    int rc = curl_bridge_perform(&bridge, easy);
    curl_easy_cleanup(easy);
    return rc;
}

CurlTest(cancelled_task_breaks_its_transfer_off)
{
    struct silent silent;
    open_silent(&silent);
    coir_task *task = coir_create_task(fetch_silent, &silent);
    accept_silent(&silent);
    cr_assert_eq(coir_cancel_await(task), -ECANCELED);
    expect_given_up(&silent);

    task = coir_create_task(fetch_silent, &silent);
    coir_cancel(task); /* before, or while, its errand lies in the mailbox */
    cr_assert_eq(coir_await(task), -ECANCELED);
    cr_assert_eq(coir_close(silent.listener), 0);
    return fetch_file(3);
}

CurlTest(deadline_of_the_task_breaks_its_transfer_off)
{
    struct silent silent;
    coir_timeout limit;
    open_silent(&silent);
    coir_timeout_begin(&limit, COIR_MILLISECONDS(20));
    cr_assert_eq(fetch_silent(&silent), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    cr_assert_eq(coir_close(silent.listener), 0);
    return 0;
}

CurlTest(timer_of_curls_own_ends_a_transfer)
{
    struct silent silent;
    open_silent(&silent);
    CURL *easy = make_easy(silent.url, compare, NULL);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 20L);
    cr_assert_eq(curl_bridge_perform(&bridge, easy), CURLE_OPERATION_TIMEDOUT);
    curl_easy_cleanup(easy);
    cr_assert_eq(coir_close(silent.listener), 0);
    return 0;
}

CurlTest(cancels_at_any_moment_harm_nobody_else)
{
    enum { TASKS = 40 };
    static size_t numbers[TASKS];
    unsigned random = 1;
    coir_task *tasks[TASKS];
    for (size_t round = 0; round < check_scale(5); round++) {
        for (size_t i = 0; i < TASKS; i++) {
            numbers[i] = i;
            tasks[i] = coir_create_task(i % 4 ? fetch_some : fetch_forever, &numbers[i]);
        }
        for (size_t i = 0; i < TASKS; i += 4) {
            cr_assert_eq(coir_sleep(COIR_MICROSECONDS(next_random(&random) % 500)), 0);
            cr_assert_eq(coir_cancel_await(tasks[i]), -ECANCELED);
        }
        for (size_t i = 0; i < TASKS; i++)
            if (i % 4)
                cr_assert_eq(coir_await(tasks[i]), 0);
    }
    return 0;
}

/* Kills the server when the first bytes are there, while it cannot have sent the rest. */
static size_t kill_server(UNUSED char *data, size_t size, size_t n, UNUSED void *arg)
{
    kill(httpd.pid, SIGKILL);
    return size * n;
}

static int fetch_huge(UNUSED void *arg)
{
    char url[128];
    snprintf(url, sizeof url, "%s/huge", base);
    CURL *easy = make_easy(url, kill_server, NULL);
    int rc = curl_bridge_perform(&bridge, easy);
    curl_easy_cleanup(easy);
    cr_assert_gt(rc, CURLE_OK);
    return 0;
}

CurlTest_(server_that_dies_ends_every_transfer, true)
{
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i < 30; i++)
        cr_assert_eq(coir_group_create_task(&group, fetch_huge, NULL), 0);
    return coir_group_wait(&group);
}

CurlTest(closed_bridge_ends_what_is_under_way)
{
    struct silent silent;
    open_silent(&silent);
    coir_task *task = coir_create_task(fetch_silent, &silent);
    accept_silent(&silent);
    cr_assert_eq(curl_bridge_close(&bridge), 0);
    cr_assert_eq(coir_await(task), -EPIPE);
    expect_given_up(&silent);
    cr_assert_eq(coir_close(silent.listener), 0);
    return curl_bridge_open(&bridge);
}

/* The program */

Test(curl, fetch_program_has_a_line_for_each_url)
{
    char good[80], missing[80], text[512], wanted[512];
    begin();
    snprintf(good, sizeof good, "%s/6", base);
    snprintf(missing, sizeof missing, "%s/missing", base);
    char *const argv[] = { CURL_FETCH, good, missing, "nonsense://x", NULL };
    cr_assert_eq(read_program(argv, text, sizeof text), 1);
    snprintf(wanted, sizeof wanted, "200 %zu %s\n404 9 %s\nnonsense://x: Unsupported protocol\n",
             lengths[6], good, missing);
    cr_assert_str_eq(text, wanted);
    end(false);
}
