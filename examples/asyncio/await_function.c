/*
 * await_function.c - a function that does something before and after a wait.
 *
 * Any function may suspend, however deep in calls it is; it needs no keyword
 * and no special type.  Only what a task begins with has to be a coir_fn.
 */
#include <coir.h>
#include <stdio.h>

static int my_async_function(void)
{
    puts("Async function is doing its magic!");
    int rc = coir_sleep(COIR_SECONDS(0.1));
    if (rc < 0)
        return rc;
    puts("Async function has completed!");
    return 0;
}

static int program(void *arg)
{
    (void)arg;
    return my_async_function();
}

int main(void)
{
    return coir_run(program, NULL) < 0;
}
