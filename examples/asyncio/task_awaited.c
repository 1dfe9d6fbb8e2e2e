/*
 * task_awaited.c - create a task, then wait for it.
 *
 * coir_await() returns what the task returned, and releases the handle.
 */
#include <coir.h>
#include <stdio.h>

static int foo(void *text)
{
    puts(text);
    return coir_sleep(COIR_SECONDS(0.1));
}

static int program(void *arg)
{
    (void)arg;
    puts("shav");
    coir_task *task = coir_create_task(foo, "text");
    int rc = coir_await(task);
    if (rc < 0)
        return rc;
    puts("finished");
    return 0;
}

int main(void)
{
    return coir_run(program, NULL) < 0;
}
