/*
 * task_group.c - a group waits for its members.
 *
 * coir_group_wait() is the end of Python's `async with` block: no task is
 * awaited one by one.  COIR_TASK_TYPE() makes say_what_group(), whose argument
 * the compiler checks.
 */
#include <coir.h>
#include <stdio.h>

struct saying {
    coir_duration delay;
    const char *what;
};

COIR_TASK_TYPE(say_what, struct saying);
static int say_what(struct saying *saying)
{
    int rc = coir_sleep(saying->delay);
    if (rc < 0)
        return rc;
    puts(saying->what);
    return 0;
}

static int program(void *arg)
{
    (void)arg;
    struct saying hello = { COIR_SECONDS(0.1), "hello" };
    struct saying world = { COIR_SECONDS(0.2), "world" };
    coir_group group;

    coir_group_init(&group);
    puts("Before running tasks");
    int rc = say_what_group(&group, &hello);
    if (rc == 0)
        rc = say_what_group(&group, &world);
    puts("After running tasks");
    int failure = coir_group_wait(&group);
    return failure < 0 ? failure : rc;
}

int main(void)
{
    return coir_run(program, NULL) < 0;
}
