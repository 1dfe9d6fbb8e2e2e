/*
 * task_while_main_sleeps.c - a task runs while its creator sleeps.
 *
 * The sleeps overlap: 0.2 s in all.  The task has long ended when main awaits
 * it, which then only releases the handle.
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
    int rc = coir_sleep(COIR_SECONDS(0.2));
    if (rc == 0)
        puts("finished");

    int foo_rc = coir_await(task);
    return rc < 0 ? rc : foo_rc;
}

int main(void)
{
    return coir_run(program, NULL) < 0;
}
