/*
 * A server that is out of descriptors.
 */
#include <sys/resource.h>
#include <time.h>

#include "ends.h"

enum { CLIENTS = 3, BACKOFF_MS = 10 };

/* From now on no descriptor can be made; returns the limit as it was. */
static struct rlimit exhaust(void)
{
    struct rlimit old, limit;
    int lowest = dup(STDERR_FILENO);
    close(lowest);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
    limit = old;
    limit.rlim_cur = (rlim_t)lowest;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return old;
}

static void connect_to(int fd, int listener)
{
    struct sockaddr_in address;
    socklen_t len = sizeof address;
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, len), 0);
}

static int accept_all(void *arg)
{
    int listener = *(int *)arg;
    for (int i = 0; i < CLIENTS; i++) {
        int fd = coir_accept(listener);
        if (fd < 0)
            return fd;
        cr_assert_eq(coir_close(fd), 0);
    }
    return 0;
}

static uint64_t operations(void)
{
    coir_stats stats;
    coir_stats_get(&stats);
    return stats.ops_submitted;
}

/* So many attempts, whose pauses double from 10 ms on, fit into a duration. */
static uint64_t attempts_within(int64_t ns)
{
    uint64_t attempts = 2;
    for (int64_t pause = COIR_MILLISECONDS(BACKOFF_MS); ns >= pause; pause *= 2) {
        ns -= pause;
        attempts++;
    }
    return attempts;
}

RunTest(exhausted, accept_tries_ever_more_rarely_and_goes_on_once_there_are_descriptors)
{
    int clients[CLIENTS], listener = coir_listen("127.0.0.1", "0");
    cr_assert_geq(listener, 0);
    for (int i = 0; i < CLIENTS; i++)
        clients[i] = socket(AF_INET, SOCK_STREAM, 0);
    struct rlimit old = exhaust();
    for (int i = 0; i < CLIENTS; i++)
        connect_to(clients[i], listener);

    uint64_t before = operations();
    int64_t began = coir_now();
    coir_task *server = coir_create_task(accept_all, &listener);
    while (operations() - before < 5)
        cr_assert_eq(coir_sleep(COIR_MILLISECONDS(20)), 0);
    uint64_t attempts = operations() - before;
    int64_t took = coir_now() - began;
    cr_assert_leq(attempts, attempts_within(took), "%llu attempts in %lld ns",
                  (unsigned long long)attempts, (long long)took);
    cr_assert(!coir_task_done(server));

    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
    before = operations();
    began = coir_now();
    cr_assert_eq(coir_await(server), 0);
    printf("accepted again after %lld ms, at the next attempt\n",
           (long long)(coir_now() - began) / 1000000);
    cr_assert_leq(operations() - before, CLIENTS); /* none was in vain */
    for (int i = 0; i < CLIENTS; i++)
        close(clients[i]);
    return coir_close(listener);
}
