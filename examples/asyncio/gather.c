/*
 * gather.c - several calls at once.
 *
 * coir_gather() makes each call in a task of its own and returns when all of
 * them have ended: after the longest sleep, 0.2 s, not after the sum.
 */
#include <coir.h>
#include <stdio.h>

static int task1(void *arg)
{
    (void)arg;
    puts("Task 1 is doing its job!");
    int rc = coir_sleep(COIR_SECONDS(0.2));
    if (rc < 0)
        return rc;
    puts("Task 1 is done!");
    return 0;
}

static int task2(void *arg)
{
    (void)arg;
    puts("Task 2 is doing its job!");
    int rc = coir_sleep(COIR_SECONDS(0.1));
    if (rc < 0)
        return rc;
    puts("Task 2 is done!");
    return 0;
}

static int program(void *arg)
{
    (void)arg;
    return coir_gather(COIR_CALL(task1, NULL), COIR_CALL(task2, NULL));
}

int main(void)
{
    return coir_run(program, NULL) < 0;
}
