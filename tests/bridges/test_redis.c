/*
 * examples/bridges/redis_bridge against a redis server: futures that are set in the
 * callbacks of a library that knows nothing of coir.
 */
#include "redis_bridge.h"

#include "bridges/server.h"

static char folder[] = "/tmp/coir-redis-XXXXXX";
static char path[64];
static struct server redis;
static struct redis_bridge bridge;

/* It keeps nothing, and listens on a socket of its own. */
static void begin(void)
{
    cr_assert(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/socket", folder);
    char *const argv[] = { "redis-server", "--port", "0", "--unixsocket", path, "--save", "",
                           "--appendonly", "no", "--dir", folder, NULL };
    signal(SIGPIPE, SIG_IGN);
    start_server(&redis, argv);
    while (!strstr(read_server_line(&redis), "ready to accept connections at"))
        ;
}

static void end(bool killed)
{
    if (killed) {
        cr_assert_eq(WTERMSIG(reap_server(&redis)), SIGKILL);
        unlink(path);
    } else {
        stop_server(&redis);
    }
    cr_assert_eq(rmdir(folder), 0);
}

static void open_bridge(struct redis_bridge *opened)
{
    cr_assert_eq(redis_bridge_open(opened, redisAsyncConnectUnix(path)), 0);
}

static int in_bridge(void *fn)
{
    open_bridge(&bridge);
    cr_assert_eq(((coir_fn *)fn)(NULL), 0);
    cr_assert_eq(redis_bridge_close(&bridge), 0);
    return 0;
}

static void run_in_bridge(coir_fn *fn, bool killed)
{
    begin();
    cr_assert_eq(coir_run(in_bridge, fn), 0);
    end(killed);
}

/* A test whose body is the main task of a run, with redis beside it and an open
   bridge; killed: whether it kills redis. */
#define RedisTest_(name, killed)                                             \
    static int redis_##name(void *);                                         \
    Test(redis, name)                                                        \
    {                                                                        \
        run_in_bridge(redis_##name, killed);                                 \
    }                                                                        \
    static int redis_##name(UNUSED void *unused_)

#define RedisTest(name) RedisTest_(name, false)

/* Commands whose reply is known. */

static void expect_status(const char *wanted, redisReply *reply)
{
    cr_assert_eq(reply->type, REDIS_REPLY_STATUS);
    cr_assert_str_eq(reply->str, wanted);
    freeReplyObject(reply);
}

static void expect_bytes(const void *wanted, size_t length, redisReply *reply)
{
    cr_assert_eq(reply->type, REDIS_REPLY_STRING);
    cr_assert_eq((size_t)reply->len, length);
    cr_assert_eq(memcmp(reply->str, wanted, length), 0);
    freeReplyObject(reply);
}

static long long take_integer(redisReply *reply)
{
    cr_assert_eq(reply->type, REDIS_REPLY_INTEGER);
    long long integer = reply->integer;
    freeReplyObject(reply);
    return integer;
}

static redisReply *ask(const char *command)
{
    redisReply *reply = NULL;
    cr_assert_eq(redis_bridge_command(&bridge, &reply, command), 0);
    cr_assert(reply);
    return reply;
}

/* arg: a number.  Fifty keys of its own, set, and then read. */
static int set_and_get(void *arg)
{
    int number = *(int *)arg;
    redisReply *reply;
    char value[40];
    for (int i = 0; i < 100; i++) {
        int key = i % 50, length = snprintf(value, sizeof value, "%d of %d", key, number);
        if (i < 50) {
            cr_assert_eq(redis_bridge_command(&bridge, &reply, "SET %d:%d %s", number, key, value),
                         0);
            expect_status("OK", reply);
        } else {
            cr_assert_eq(redis_bridge_command(&bridge, &reply, "GET %d:%d", number, key), 0);
            expect_bytes(value, (size_t)length, reply);
        }
    }
    return 0;
}

RedisTest(many_tasks_set_and_get_thousands_of_keys)
{
    int tasks = (int)check_scale(100);
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i < tasks; i++)
        cr_assert_eq(coir_group_create_task_copy(&group, set_and_get, &i, sizeof i), 0);
    cr_assert_eq(coir_group_wait(&group), 0);
    cr_assert_eq(take_integer(ask("DBSIZE")), 50 * tasks);
    return 0;
}

RedisTest(replies_of_every_kind_arrive_whole)
{
    expect_status("PONG", ask("PING"));
    cr_assert_eq(take_integer(ask("INCRBY n 41")), 41);
    cr_assert_eq(take_integer(ask("RPUSH list a b c")), 3);

    redisReply *reply = ask("GET nonesuch");
    cr_assert_eq(reply->type, REDIS_REPLY_NIL);
    freeReplyObject(reply);

    reply = ask("NONESUCH");
    cr_assert_eq(reply->type, REDIS_REPLY_ERROR);
    freeReplyObject(reply);

    reply = ask("LRANGE list 0 -1");
    cr_assert_eq(reply->type, REDIS_REPLY_ARRAY);
    cr_assert_eq(reply->elements, 3);
    cr_assert_str_eq(reply->element[2]->str, "c");
    freeReplyObject(reply);
    return 0;
}

/* More than a socket takes at once, in both directions. */
RedisTest(large_values_with_any_byte_come_back)
{
    size_t length = 3000000;
    char *value = malloc(length);
    redisReply *reply;
    for (size_t i = 0; i < length; i++)
        value[i] = (char)(i * 2654435761u >> 13);
    cr_assert_eq(redis_bridge_command(&bridge, &reply, "SET large %b", value, length), 0);
    expect_status("OK", reply);
    cr_assert_eq(redis_bridge_command(&bridge, &reply, "GET large"), 0);
    expect_bytes(value, length, reply);
    free(value);
    return 0;
}

RedisTest(format_that_makes_no_sense_is_einval)
{
    redisReply *reply = NULL;
    cr_assert_eq(redis_bridge_command(&bridge, &reply, "SET a %y"), -EINVAL);
    cr_assert_null(reply);
    return 0;
}

static int wait_for_item(UNUSED void *arg)
{
    redisReply *reply;
    int rc = redis_bridge_command(&bridge, &reply, "BLPOP items 0");
    if (rc == 0)
        freeReplyObject(reply);
    return rc;
}

static int ping(UNUSED void *arg)
{
    redisReply *reply;
    int rc = redis_bridge_command(&bridge, &reply, "PING");
    if (rc == 0)
        expect_status("PONG", reply);
    return rc;
}

/* Asked of another connection: whether somebody waits in BLPOP. */
static bool somebody_waits(struct redis_bridge *other)
{
    redisReply *reply;
    cr_assert_eq(redis_bridge_command(other, &reply, "INFO clients"), 0);
    bool waits = strstr(reply->str, "blocked_clients:1") != NULL;
    freeReplyObject(reply);
    return waits;
}

static void until_somebody_waits(struct redis_bridge *other)
{
    while (!somebody_waits(other))
        cr_assert_eq(coir_yield(), 0);
}

/* Its reply comes all the same, much later, and must go to nobody. */
RedisTest(cancelled_task_leaves_its_reply_behind)
{
    struct redis_bridge other;
    redisReply *reply;
    open_bridge(&other);
    coir_task *waiting = coir_create_task(wait_for_item, NULL);
    until_somebody_waits(&other);
    coir_task *next = coir_create_task(ping, NULL);
    cr_assert_eq(coir_cancel_await(waiting), -ECANCELED);

    cr_assert_eq(redis_bridge_command(&other, &reply, "RPUSH items x"), 0);
    cr_assert_eq(take_integer(reply), 1);
    cr_assert_eq(coir_await(next), 0);
    cr_assert_eq(take_integer(ask("LLEN items")), 0);
    cr_assert_eq(redis_bridge_close(&other), 0);
    return 0;
}

RedisTest(command_in_a_cancelled_task_is_not_sent)
{
    coir_shield shield;
    redisReply *reply;
    coir_cancel(coir_current_task());
    cr_assert_eq(redis_bridge_command(&bridge, &reply, "INCR n"), -ECANCELED);
    coir_shield_begin(&shield);
    cr_assert_eq(take_integer(ask("INCR n")), 1);
    coir_shield_end(&shield);
    return 0;
}

RedisTest(deadline_ends_the_wait_and_not_the_connection)
{
    struct redis_bridge other;
    redisReply *reply;
    cr_assert_eq(coir_wait_for(coir_create_task(wait_for_item, NULL), COIR_MILLISECONDS(20)),
                 -ETIMEDOUT);
    open_bridge(&other);
    cr_assert_eq(redis_bridge_command(&other, &reply, "RPUSH items x"), 0);
    freeReplyObject(reply);
    cr_assert_eq(redis_bridge_close(&other), 0);
    return ping(NULL);
}

/* arg: where the numbers are noted that replies brought; each number at most once. */
static int count_up(void *arg)
{
    atomic_int *seen = arg;
    redisReply *reply;
    int rc;
    while ((rc = redis_bridge_command(&bridge, &reply, "INCR n")) == 0) {
        long long number = take_integer(reply);
        cr_assert_eq(atomic_fetch_add(&seen[number % 1000000], 1), 0);
    }
    return rc;
}

RedisTest(cancels_at_any_moment_mix_no_replies_up)
{
    enum { TASKS = 20 };
    static atomic_int seen[1000000];
    unsigned random = 1;
    coir_task *tasks[TASKS];
    for (int i = 0; i < TASKS; i++)
        tasks[i] = coir_create_task(count_up, seen);
    for (int i = 0; i < TASKS; i++) {
        cr_assert_eq(coir_sleep(COIR_MICROSECONDS(next_random(&random) % 1000)), 0);
        cr_assert_eq(coir_cancel_await(tasks[i]), -ECANCELED);
    }

    int replies = 0;
    for (size_t i = 0; i < LENGTH(seen); i++)
        replies += seen[i];
    long long commands = take_integer(ask("INCRBY n 0"));
    cr_assert_geq(commands, replies);
    cr_assert_leq(commands, replies + TASKS); /* one of each task was on its way */
    return 0;
}

RedisTest_(server_that_is_killed_ends_every_wait, true)
{
    struct redis_bridge other;
    coir_task *tasks[50];
    open_bridge(&other);
    tasks[0] = coir_create_task(wait_for_item, NULL);
    until_somebody_waits(&other);
    for (size_t i = 1; i < LENGTH(tasks); i++)
        tasks[i] = coir_create_task(ping, NULL); /* never answered, for the first blocks */
    let_them_wait();
    cr_assert_eq(kill(redis.pid, SIGKILL), 0);
    for (size_t i = 0; i < LENGTH(tasks); i++)
        cr_assert_eq(coir_await(tasks[i]), -ECONNRESET);
    cr_assert_eq(ping(NULL), -ECONNRESET);
    cr_assert_eq(redis_bridge_close(&other), 0);
    return 0;
}

RedisTest(closed_bridge_ends_every_wait)
{
    struct redis_bridge other;
    open_bridge(&other);
    coir_task *waiting = coir_create_task(wait_for_item, NULL);
    until_somebody_waits(&other);
    coir_task *next = coir_create_task(ping, NULL);
    let_them_wait();
    cr_assert_eq(redis_bridge_close(&bridge), 0);
    cr_assert_eq(coir_await(waiting), -EPIPE);
    cr_assert_eq(coir_await(next), -EPIPE);
    cr_assert_eq(ping(NULL), -EPIPE);
    cr_assert_eq(redis_bridge_close(&other), 0);
    open_bridge(&bridge);
    return 0;
}

static int without_server(UNUSED void *arg)
{
    cr_assert_eq(redis_bridge_open(&bridge, NULL), -ENOTCONN);
    cr_assert_eq(redis_bridge_open(&bridge, redisAsyncConnectUnix("/nonesuch")), -ENOTCONN);
    return 0;
}

Test(redis, connection_that_fails_is_refused)
{
    cr_assert_eq(coir_run(without_server, NULL), 0);
}

Test(redis, load_program_checks_every_value)
{
    char text[512];
    begin();
    char *const argv[] = { REDIS_LOAD, "-t", "10", "-k", "7", path, NULL };
    cr_assert_eq(read_program(argv, text, sizeof text), 0);
    cr_assert_eq(strncmp(text, "140 commands of 10 tasks, ", 26), 0);
    end(false);
}
