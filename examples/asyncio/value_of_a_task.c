/*
 * value_of_a_task.c - a result that will be there later.
 *
 * The task fills the struct it was given; after coir_await() it may be read.
 * What it returns is only whether that worked.  The other task, which nobody
 * waits for, is cancelled when main has ended.
 */
#include <coir.h>
#include <stdio.h>

struct data {
    int data;
};

static int fetch_data(void *arg)
{
    struct data *result = arg;

    puts("start fetching");
    int rc = coir_sleep(COIR_SECONDS(0.2));
    if (rc < 0)
        return rc;
    puts("done fetching");
    result->data = 1;
    return 0;
}

static int print_numbers(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++) {
        printf("%d\n", i);
        int rc = coir_sleep(COIR_SECONDS(0.625));
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int program(void *arg)
{
    (void)arg;
    struct data value;

    coir_task *fetching = coir_create_task(fetch_data, &value);
    coir_detach(coir_create_task(print_numbers, NULL));

    int rc = coir_await(fetching);
    if (rc < 0)
        return rc;
    printf("{'data': %d}\n", value.data);
    return 0;
}

int main(void)
{
    return coir_run(program, NULL) < 0;
}
