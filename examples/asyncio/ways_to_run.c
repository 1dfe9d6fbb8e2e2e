/*
 * ways_to_run.c - four runs, one after the other, in one program.
 *
 * A main that is simply run, twice, the second time with settings; a main that
 * creates tasks and awaits them; a main that leaves the waiting to a group.
 */
#include <coir.h>
#include <stdio.h>

struct saying {
    coir_duration delay;
    const char *what;
};

static const struct saying hello = { COIR_SECONDS(0.1), "hello" };
static const struct saying world = { COIR_SECONDS(0.2), "world" };

static int say_what(void *arg)
{
    const struct saying *saying = arg;

    int rc = coir_sleep(saying->delay);
    if (rc < 0)
        return rc;
    puts(saying->what);
    return 0;
}

static int wait_once(void *arg)
{
    (void)arg;
    puts("hello, waiting for 0.3 seconds");
    int rc = coir_sleep(COIR_SECONDS(0.3));
    if (rc < 0)
        return rc;
    puts("world");
    return 0;
}

static int await_tasks(void *arg)
{
    (void)arg;
    coir_task *first = coir_create_task_copy(say_what, &hello, sizeof hello);
    coir_task *second = coir_create_task_copy(say_what, &world, sizeof world);

    int rc = coir_await(first);
    int rc_second = coir_await(second);
    return rc < 0 ? rc : rc_second;
}

static int use_a_group(void *arg)
{
    (void)arg;
    coir_group group;

    coir_group_init(&group);
    puts("Before running tasks");
    int rc = coir_group_create_task_copy(&group, say_what, &hello, sizeof hello);
    if (rc == 0)
        rc = coir_group_create_task_copy(&group, say_what, &world, sizeof world);
    puts("After running tasks");
    int failure = coir_group_wait(&group);
    return failure < 0 ? failure : rc;
}

int main(void)
{
    coir_options options = { .shutdown_grace = COIR_SECONDS(1) };

    if (coir_run(wait_once, NULL) < 0)
        return 1;
    if (coir_run_with(&options, wait_once, NULL) < 0)
        return 1;
    if (coir_run(await_tasks, NULL) < 0)
        return 1;
    return coir_run(use_a_group, NULL) < 0;
}
