/*
 * runner.c - a run with settings of its own.
 *
 * asyncio.Runner(debug=...) is where Python puts the loop's settings.  Here
 * they are a struct, of which every field left out has its default.
 */
#include <coir.h>
#include <stdio.h>

static int program(void *arg)
{
    (void)arg;
    int rc = coir_sleep(COIR_SECONDS(0.1));
    if (rc < 0)
        return rc;
    puts("hello");
    return 0;
}

int main(void)
{
    coir_options options = { .shutdown_grace = COIR_SECONDS(1) };

    return coir_run_with(&options, program, NULL) < 0;
}
