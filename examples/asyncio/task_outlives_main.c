/*
 * task_outlives_main.c - main ends while its task still sleeps.
 *
 * coir_run(), like asyncio.run(), cancels what is left over: the task's sleep
 * returns -ECANCELED after 0.05 s, and its last line is never printed.
 */
#include <coir.h>
#include <stdio.h>

static int foo(void *text)
{
    puts(text);
    int rc = coir_sleep(COIR_SECONDS(1));
    if (rc < 0)
        return rc;
    puts("not reached");
    return 0;
}

static int program(void *arg)
{
    (void)arg;
    puts("shav");
    coir_task *task = coir_create_task(foo, "text");
    coir_detach(task);
    int rc = coir_sleep(COIR_SECONDS(0.05));
    if (rc < 0)
        return rc;
    puts("finished");
    return 0;
}

int main(void)
{
    return coir_run(program, NULL) < 0;
}
