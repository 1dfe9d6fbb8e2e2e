/*
 * httpd.c - an HTTP/1.1 server: the files under a directory, and a greeting at
 * /plaintext to measure it by.
 *
 *     httpd [-a address] [-p port] [-w workers] [-t seconds] [-k seconds] [-q] [ROOT]
 *
 * -t limits the time for the head of a request, -k that between requests.
 *
 * A task serves one connection from its first byte to its last, and reads as
 * if it were alone.  http_parser calls back for each part of a request; the
 * answer is written from the callback that reports the request's end, which
 * may suspend like any other code of the task.
 *
 * Answers collect in a buffer that is sent when it is full, or when all that
 * was read is parsed: requests that arrive together are answered together.
 */
#include <coir.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <http_parser.h>
#include <limits.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    IN_SIZE = 8 * 1024,
    OUT_SIZE = 16 * 1024,
    URL_MAX = 2 * 1024,     /* longer: 414 */
    HEAD_MAX = 8 * 1024,    /* longer: 431 */
    BODY_MAX = 1024 * 1024, /* longer: 413; bodies are read and thrown away */
    ROOT_MAX = PATH_MAX - URL_MAX - (int)sizeof "index.html",
};

#define BODY_LIMIT COIR_SECONDS(30)
#define SEND_LIMIT COIR_SECONDS(30) /* for OUT_SIZE bytes */
#define GOODBYE_LIMIT COIR_SECONDS(1)

/* Set before the run, and only read in it. */
static const char *address = "127.0.0.1", *port = "8080", *root;
static coir_duration head_limit = COIR_SECONDS(10), idle_limit = COIR_SECONDS(60);
static bool quiet;

/* What the next bytes of a connection belong to. */
enum phase { IDLE, HEAD, BODY };

struct connection {
    int fd;
    bool closing; /* no request will be answered any more */
    bool broken;  /* nothing can be sent any more */
    enum phase phase;
    int64_t deadline; /* of the phase; 0: its time has not begun */

    /* the request */
    http_parser parser;
    bool head_only;
    int refusal; /* the status to refuse it with, or 0 */
    size_t url_length, body_length;

    time_t date_time;
    char date[32];
    size_t out_length;
    char url[URL_MAX + 1];
    char in[IN_SIZE];
    char out[OUT_SIZE];
};

/* Sending */

static void flush(struct connection *c)
{
    if (c->out_length > 0 && !c->broken) {
        coir_timeout limit;
        coir_timeout_begin(&limit, SEND_LIMIT);
        if (coir_write_all(c->fd, c->out, c->out_length) < 0)
            c->broken = c->closing = true;
        coir_timeout_end(&limit);
    }
    c->out_length = 0;
}

static void put(struct connection *c, const char *data, size_t size)
{
    if (size > OUT_SIZE - c->out_length)
        flush(c);
    memcpy(c->out + c->out_length, data, size);
    c->out_length += size;
}

static inline void put_text(struct connection *c, const char *text)
{
    put(c, text, strlen(text));
}

static void put_number(struct connection *c, uint64_t number)
{
    char digits[20], *end = digits + sizeof digits, *first = end;
    do
        *--first = (char)('0' + number % 10);
    while (number /= 10);
    put(c, first, (size_t)(end - first));
}

/* The time as HTTP writes it, made anew once in a second. */
static const char *date(struct connection *c)
{
    time_t now = time(NULL);
    if (now != c->date_time) {
        struct tm utc;
        gmtime_r(&now, &utc);
        strftime(c->date, sizeof c->date, "%a, %d %b %Y %H:%M:%S GMT", &utc);
        c->date_time = now;
    }
    return c->date;
}

static void log_answer(const struct connection *c, int status)
{
    char line[URL_MAX + 16];
    int length = snprintf(line, sizeof line, "%d %s\n", status, c->url);
    coir_write_all(STDOUT_FILENO, line, (size_t)length);
}

static void put_head(struct connection *c, int status, const char *type, uint64_t length)
{
    put_text(c, "HTTP/1.1 ");
    put_number(c, (uint64_t)status);
    put_text(c, " ");
    put_text(c, http_status_str((enum http_status)status));
    put_text(c, "\r\nServer: coir\r\nDate: ");
    put_text(c, date(c));
    put_text(c, "\r\nContent-Type: ");
    put_text(c, type);
    put_text(c, "\r\nContent-Length: ");
    put_number(c, length);
    if (status == HTTP_STATUS_METHOD_NOT_ALLOWED)
        put_text(c, "\r\nAllow: GET, HEAD");
    if (c->closing)
        put_text(c, "\r\nConnection: close");
    else if (c->parser.http_minor == 0)
        put_text(c, "\r\nConnection: keep-alive");
    put_text(c, "\r\n\r\n");
    if (!quiet)
        log_answer(c, status);
}

static void answer_text(struct connection *c, int status, const char *text)
{
    put_head(c, status, "text/plain", strlen(text));
    if (!c->head_only)
        put_text(c, text);
}

static void answer_error(struct connection *c, int status)
{
    answer_text(c, status, http_status_str((enum http_status)status));
}

/* Files */

/* Decode the %xx in the path of a URL; a NUL must not come out. */
static bool decode(const char *from, size_t length, char *to)
{
    for (const char *end = from + length; from < end; from++) {
        unsigned byte = (unsigned char)*from;
        if (byte == '%') {
            if (!isxdigit((unsigned char)from[1]) || !isxdigit((unsigned char)from[2]))
                return false;
            sscanf(from + 1, "%2x", &byte);
            from += 2;
        }
        if (byte == 0)
            return false;
        *to++ = (char)byte;
    }
    *to = '\0';
    return true;
}

/* Whether a path has a component "..". */
static bool climbs(const char *path)
{
    for (const char *dots = path; (dots = strstr(dots, "/..")); dots++)
        if (dots[3] == '/' || dots[3] == '\0')
            return true;
    return false;
}

/* The file that a URL names.  Returns 0, or the status to refuse it with. */
static int find_path(const struct connection *c, char path[PATH_MAX])
{
    struct http_parser_url parts;
    http_parser_url_init(&parts);
    if (http_parser_parse_url(c->url, c->url_length, 0, &parts) != 0)
        return HTTP_STATUS_BAD_REQUEST;

    char *below = stpcpy(path, root);
    if (!decode(c->url + parts.field_data[UF_PATH].off, parts.field_data[UF_PATH].len, below))
        return HTTP_STATUS_BAD_REQUEST;
    if (below[0] != '/' || climbs(below))
        return HTTP_STATUS_NOT_FOUND;
    if (below[strlen(below) - 1] == '/')
        strcat(below, "index.html");
    return 0;
}

static const char *content_type(const char *path)
{
    static const char *const types[][2] = {
        { ".html", "text/html" },        { ".css", "text/css" },
        { ".js", "text/javascript" },    { ".txt", "text/plain" },
        { ".json", "application/json" }, { ".pdf", "application/pdf" },
        { ".png", "image/png" },         { ".jpg", "image/jpeg" },
        { ".svg", "image/svg+xml" },     { ".wasm", "application/wasm" },
    };
    const char *extension = strrchr(path, '.');
    for (size_t i = 0; extension && i < sizeof types / sizeof *types; i++)
        if (strcmp(extension, types[i][0]) == 0)
            return types[i][1];
    return "application/octet-stream";
}

/* Send a file's bytes: the first of them together with the head. */
static void put_file(struct connection *c, int file, uint64_t left)
{
    while (left > 0 && !c->broken) {
        if (c->out_length == OUT_SIZE)
            flush(c);
        size_t room = OUT_SIZE - c->out_length;
        ssize_t n = coir_read(file, c->out + c->out_length, left < room ? left : room);
        if (n <= 0) {
            c->closing = true; /* it shrank: only an early end can tell the client */
            return;
        }
        c->out_length += (size_t)n;
        left -= (uint64_t)n;
    }
}

static int status_of_open(int rc)
{
    switch (rc) {
    case -EACCES:
        return HTTP_STATUS_FORBIDDEN;
    case -EMFILE:
    case -ENFILE:
    case -ENOMEM:
        return HTTP_STATUS_SERVICE_UNAVAILABLE;
    default:
        return HTTP_STATUS_NOT_FOUND;
    }
}

static void answer_file(struct connection *c)
{
    char path[PATH_MAX];
    struct stat info;
    int status = find_path(c, path);
    int file = status ? -1 : coir_open(path, O_RDONLY | O_NONBLOCK, 0); /* for FIFOs */

    if (file < 0) {
        answer_error(c, status ? status : status_of_open(file));
        return;
    }
    if (fstat(file, &info) < 0 || !S_ISREG(info.st_mode)) {
        answer_error(c, HTTP_STATUS_NOT_FOUND);
    } else {
        put_head(c, HTTP_STATUS_OK, content_type(path), (uint64_t)info.st_size);
        if (!c->head_only)
            put_file(c, file, (uint64_t)info.st_size);
    }
    coir_close(file);
}

/* Requests: what http_parser calls.  A callback that returns -1 ends parsing. */

static void answer(struct connection *c)
{
    if (c->parser.method != HTTP_GET && c->parser.method != HTTP_HEAD)
        answer_error(c, HTTP_STATUS_METHOD_NOT_ALLOWED);
    else if (strcmp(c->url, "/plaintext") == 0 || (!root && strcmp(c->url, "/") == 0))
        answer_text(c, HTTP_STATUS_OK, "Hello, World!");
    else if (root)
        answer_file(c);
    else
        answer_error(c, HTTP_STATUS_NOT_FOUND);
}

static void enter(struct connection *c, enum phase phase)
{
    c->phase = phase;
    c->deadline = 0;
}

static int refuse(struct connection *c, int status)
{
    c->refusal = status;
    return -1;
}

static int on_message_begin(http_parser *p)
{
    struct connection *c = p->data;
    enter(c, HEAD);
    c->url_length = c->body_length = 0;
    return 0;
}

static int on_url(http_parser *p, const char *at, size_t length)
{
    struct connection *c = p->data;
    if (length > URL_MAX - c->url_length)
        return refuse(c, HTTP_STATUS_URI_TOO_LONG);
    memcpy(c->url + c->url_length, at, length);
    c->url_length += length;
    c->url[c->url_length] = '\0';
    return 0;
}

static int on_headers_complete(http_parser *p)
{
    struct connection *c = p->data;
    enter(c, BODY);
    c->head_only = p->method == HTTP_HEAD;
    if (p->http_major != 1)
        return refuse(c, HTTP_STATUS_HTTP_VERSION_NOT_SUPPORTED);
    if ((p->flags & F_CONTENTLENGTH) && p->content_length > BODY_MAX)
        return refuse(c, HTTP_STATUS_PAYLOAD_TOO_LARGE);
    return 0;
}

static int on_body(http_parser *p, const char *at, size_t length)
{
    struct connection *c = p->data;
    (void)at;
    c->body_length += length;
    return c->body_length > BODY_MAX ? refuse(c, HTTP_STATUS_PAYLOAD_TOO_LARGE) : 0;
}

static int on_message_complete(http_parser *p)
{
    struct connection *c = p->data;
    if (!http_should_keep_alive(p) || p->method == HTTP_CONNECT)
        c->closing = true;
    answer(c);
    c->head_only = false;
    enter(c, IDLE);
    return c->closing ? -1 : 0;
}

static const http_parser_settings callbacks = {
    .on_message_begin = on_message_begin,
    .on_url = on_url,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* Connections */

/* The last answer of a connection, to a request that cannot be read on. */
static void give_up(struct connection *c, int status)
{
    c->closing = true;
    answer_error(c, status);
}

/* Parse, and answer, what has been read; nothing is the end of the stream. */
static void parse(struct connection *c, size_t length)
{
    size_t used = 0;
    do /* once, unless a request asks for an upgrade: the parser stops after it */
        used += http_parser_execute(&c->parser, &callbacks, c->in + used, length - used);
    while (used < length && HTTP_PARSER_ERRNO(&c->parser) == HPE_OK);

    enum http_errno error = HTTP_PARSER_ERRNO(&c->parser);
    if (error == HPE_HEADER_OVERFLOW)
        give_up(c, HTTP_STATUS_REQUEST_HEADER_FIELDS_TOO_LARGE);
    else if (error != HPE_OK && !c->closing)
        give_up(c, c->refusal ? c->refusal : HTTP_STATUS_BAD_REQUEST);
}

/* Read within the time that the phase allows. */
static ssize_t receive(struct connection *c)
{
    const coir_duration limits[] = { idle_limit, head_limit, BODY_LIMIT };
    if (c->deadline == 0)
        c->deadline = coir_now() + limits[c->phase];

    coir_timeout limit;
    coir_timeout_begin_at(&limit, c->deadline);
    ssize_t n = coir_read(c->fd, c->in, sizeof c->in);
    coir_timeout_end(&limit);
    return n;
}

/* Let the client read to the end: a close with input unread would make the
   kernel reset the connection, and the last answer could be lost. */
static void say_goodbye(struct connection *c)
{
    coir_timeout limit;
    coir_timeout_begin(&limit, GOODBYE_LIMIT);
    shutdown(c->fd, SHUT_WR);
    while (coir_read(c->fd, c->in, sizeof c->in) > 0)
        ;
    coir_timeout_end(&limit);
}

static int serve(void *arg)
{
    struct connection c;
    memset(&c, 0, offsetof(struct connection, in));
    c.fd = *(int *)arg;
    c.parser.data = &c;
    http_parser_init(&c.parser, HTTP_REQUEST);

    ssize_t n = 1;
    while (!c.closing && n > 0) {
        n = receive(&c);
        if (n >= 0)
            parse(&c, (size_t)n);
        else if (n == -ETIMEDOUT && c.phase != IDLE)
            give_up(&c, HTTP_STATUS_REQUEST_TIMEOUT);
        flush(&c);
    }
    if (c.closing && !c.broken)
        say_goodbye(&c);
    coir_close(c.fd);
    return 0;
}

static void announce(int listener)
{
    struct sockaddr_storage name;
    socklen_t size = sizeof name;
    char host[NI_MAXHOST] = "?", service[NI_MAXSERV] = "?";
    getsockname(listener, (struct sockaddr *)&name, &size);
    getnameinfo((struct sockaddr *)&name, size, host, sizeof host, service, sizeof service,
                NI_NUMERICHOST | NI_NUMERICSERV);
    printf(strchr(host, ':') ? "listening on http://[%s]:%s\n" : "listening on http://%s:%s\n",
           host, service);
    fflush(stdout);
}

static int server(void *arg)
{
    (void)arg;
    int fd, listener = coir_listen(address, port);
    if (listener < 0)
        return listener;
    announce(listener);

    coir_group connections;
    coir_group_init(&connections);
    while ((fd = coir_accept(listener)) >= 0)
        if (coir_group_create_task_copy(&connections, serve, &fd, sizeof fd) < 0)
            coir_close(fd);
    coir_group_cancel(&connections);
    coir_group_wait(&connections);
    coir_close(listener);
    return fd; /* why accepting ended */
}

int main(int argc, char **argv)
{
    coir_options run = { 0 };
    for (int option; (option = getopt(argc, argv, "a:p:w:t:k:q")) != -1;) {
        switch (option) {
        case 'a': address = optarg; break;
        case 'p': port = optarg; break;
        case 'w': run.workers = atoi(optarg); break;
        case 't': head_limit = COIR_SECONDS(atof(optarg)); break;
        case 'k': idle_limit = COIR_SECONDS(atof(optarg)); break;
        case 'q': quiet = true; break;
        default: return 2;
        }
    }
    root = argv[optind];
    if (root && strlen(root) > ROOT_MAX) {
        fprintf(stderr, "httpd: ROOT is too long\n");
        return 2;
    }
    http_parser_set_max_header_size(HEAD_MAX);

    int rc = coir_run_with(&run, server, NULL);
    if (rc < 0 && rc != -ECANCELED) { /* -ECANCELED: Ctrl-C, the usual end */
        fprintf(stderr, "httpd: %s port %s: %s\n", address, port, coir_strerror(rc));
        return 1;
    }
    return 0;
}
