/*
 * hello_world.c - the least that can be run: a function, and coir_run().
 *
 * A coroutine is an ordinary function of type coir_fn.  Calling it calls it;
 * coir_run() starts the workers and runs it as the main task.
 */
#include <coir.h>
#include <stdio.h>

static int say_hello(void *arg)
{
    (void)arg;
    puts("Hello World!");
    return 0;
}

int main(void)
{
    return coir_run(say_hello, NULL) < 0;
}
