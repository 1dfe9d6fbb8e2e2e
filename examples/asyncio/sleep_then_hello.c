/*
 * sleep_then_hello.c - a main that suspends.
 *
 * While it sleeps no worker is kept busy.  COIR_SECONDS() takes fractions; a
 * bare number would be nanoseconds.
 */
#include <coir.h>
#include <stdio.h>

static int program(void *arg)
{
    (void)arg;
    int rc = coir_sleep(COIR_SECONDS(0.1));
    if (rc < 0)
        return rc;
    puts("hello");
    return 0;
}

int main(void)
{
    return coir_run(program, NULL) < 0;
}
