/*
 * timeout.c - stop in time, and leave nothing behind.
 *
 * A job that would take ten seconds gets a fifth of one.  At the deadline its
 * sleep returns, it undoes what it has begun, and only then does the await
 * return.  A ticker runs beside it until it is cancelled.
 */
#include <coir.h>
#include <stdio.h>

/* Undoing takes time itself.  The job has been cancelled, so that it needs a
   shield to wait at all, and a limit of its own, so that it ends for sure. */
static void undo(void)
{
    coir_shield shield;
    coir_timeout limit;

    coir_shield_begin(&shield);
    coir_timeout_begin(&limit, COIR_SECONDS(1));
    int rc = coir_sleep(COIR_MILLISECONDS(10));
    coir_timeout_end(&limit);
    coir_shield_end(&shield);
    printf("job: undone (%s)\n", coir_err_name(rc));
}

static int job(void *arg)
{
    (void)arg;
    puts("job: begins");
    int rc = coir_sleep(COIR_SECONDS(10));
    printf("job: sleep returned %s\n", coir_err_name(rc));
    if (rc < 0)
        undo();
    return rc;
}

static int ticker(void *arg)
{
    int rc;

    (void)arg;
    while ((rc = coir_sleep(COIR_MILLISECONDS(50))) == 0)
        puts("tick");
    return rc;
}

static int program(void *arg)
{
    (void)arg;
    coir_task *ticking = coir_create_task(ticker, NULL);

    coir_timeout limit;
    coir_timeout_begin(&limit, COIR_SECONDS(0.2));
    int rc = coir_await(coir_create_task(job, NULL));
    if (coir_timeout_end(&limit))
        printf("main: the job was too slow (%s)\n", coir_err_name(rc));

    rc = coir_cancel_await(ticking);
    printf("main: the ticker has ended (%s)\n", coir_err_name(rc));
    return 0;
}

int main(void)
{
    return coir_run(program, NULL) < 0;
}
