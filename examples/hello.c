/*
 * hello.c - the smallest program that waits.
 */
#include <coir.h>
#include <stdio.h>

static int hello(void *arg)
{
    (void)arg;
    puts("Hello ...");
    int rc = coir_sleep(COIR_SECONDS(1));
    if (rc < 0)
        return rc;
    puts("... world!");
    return 0;
}

int main(void)
{
    return coir_run(hello, NULL) < 0;
}
