/*
 * hello_in_sequence.c - calling is not concurrency.
 *
 * `await f(x)` of asyncio is a plain call here, f(x).  The second call begins
 * when the first has returned, so that the two sleeps add up to 0.3 s.
 */
#include <coir.h>
#include <stdio.h>
#include <time.h>

static int say_hello_after(coir_duration delay)
{
    int rc = coir_sleep(delay);
    if (rc < 0)
        return rc;
    puts("Hello World!");
    return 0;
}

static int program(void *arg)
{
    (void)arg;
    int rc = say_hello_after(COIR_SECONDS(0.1));
    if (rc < 0)
        return rc;
    return say_hello_after(COIR_SECONDS(0.2));
}

static void print_time(const char *event)
{
    time_t now = time(NULL);
    char clock[16];

    strftime(clock, sizeof clock, "%H:%M:%S", localtime(&now));
    printf("%s at: %s\n", event, clock);
}

int main(void)
{
    print_time("started");
    int rc = coir_run(program, NULL);
    print_time("finished");
    return rc < 0;
}
