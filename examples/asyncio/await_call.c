/*
 * await_call.c - one function waits for another.
 *
 * foo() suspends the whole task that called it: "finished" comes last.
 */
#include <coir.h>
#include <stdio.h>

static int foo(const char *text)
{
    puts(text);
    return coir_sleep(COIR_SECONDS(0.1));
}

static int program(void *arg)
{
    (void)arg;
    puts("shav");
    int rc = foo("text");
    if (rc < 0)
        return rc;
    puts("finished");
    return 0;
}

int main(void)
{
    return coir_run(program, NULL) < 0;
}
