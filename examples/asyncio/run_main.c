/*
 * run_main.c - the event loop needs no name.
 *
 * asyncio.run(main()) makes a loop, runs main and takes the loop down.
 * coir_run(program, NULL) does the same with one worker per CPU.
 */
#include <coir.h>
#include <stdio.h>

static int program(void *arg)
{
    (void)arg;
    puts("shav");
    return 0;
}

int main(void)
{
    return coir_run(program, NULL) < 0;
}
