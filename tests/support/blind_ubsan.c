/*
 * blind_ubsan.c - a deliberate bug: a sum that does not fit into an int.
 */
#include <coir.h>

#include <limits.h>

static int overflow(void *arg)
{
    volatile int *number = arg;
    coir_yield();
    *number += 1;
    return 0;
}

int main(void)
{
    volatile int number = INT_MAX;
    return coir_run(overflow, (void *)&number) < 0;
}
