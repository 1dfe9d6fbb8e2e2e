/*
 * two_tasks_not_awaited.c - two tasks start, and go no further.
 *
 * Every task that was created is started, as in asyncio, also when main has
 * ended.  Each runs up to its first sleep, which tells it to end.
 *
 * Here the handles are simply dropped.  coir_detach() would say that this is
 * meant; the run ends in the same way.
 */
#include <coir.h>
#include <errno.h>
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

static int program(void *result)
{
    coir_task *fetching = coir_create_task(fetch_data, result);
    coir_task *printing = coir_create_task(print_numbers, NULL);

    return fetching && printing ? 0 : -ENOMEM;
}

int main(void)
{
    struct data result;

    return coir_run(program, &result) < 0;
}
