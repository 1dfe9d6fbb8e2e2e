/*
 * create_task.c - the same work in a task of its own.
 *
 * Between create and await, main could do something else.  Awaiting a task
 * that has not started yet runs it at once, on the awaiter's own stack.
 */
#include <coir.h>
#include <stdio.h>

static int my_async_function(void *arg)
{
    (void)arg;
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
    coir_task *task = coir_create_task(my_async_function, NULL);
    return coir_await(task);
}

int main(void)
{
    return coir_run(program, NULL) < 0;
}
