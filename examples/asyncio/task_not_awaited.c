/*
 * task_not_awaited.c - a task is created, and main ends at once.
 *
 * With one worker the task starts only when main lets go of it, by ending.
 * It prints its text, and its sleep is cancelled: nobody waits 0.1 s.
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
    coir_detach(task);
    puts("finished");
    return 0;
}

int main(void)
{
    return coir_run(program, NULL) < 0;
}
