/*
 * hello_concurrently.c - tasks make it concurrent.
 *
 * Both tasks sleep at the same time: 0.2 s in all.  Their arguments are local
 * variables of program(), so it awaits both tasks before it returns.
 */
#include <coir.h>
#include <stdio.h>
#include <time.h>

static int say_hello_after(void *arg)
{
    const coir_duration *delay = arg;

    int rc = coir_sleep(*delay);
    if (rc < 0)
        return rc;
    puts("Hello World!");
    return 0;
}

static int program(void *arg)
{
    (void)arg;
    coir_duration shorter = COIR_SECONDS(0.1), longer = COIR_SECONDS(0.2);

    coir_task *first = coir_create_task(say_hello_after, &shorter);
    coir_task *second = coir_create_task(say_hello_after, &longer);

    int rc = coir_await(first);
    int rc_second = coir_await(second);
    return rc < 0 ? rc : rc_second;
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
