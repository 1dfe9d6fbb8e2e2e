/*
 * blind_asan.c - a deliberate bug: a task writes past an array on its stack,
 * after it has been switched away from and back to.  AddressSanitizer must see
 * it, or the whole job sees nothing.
 */
#include <coir.h>

static int overflow(void *arg)
{
    volatile int *index = arg;
    char array[16] = { 0 };
    char *volatile p = array; /* UBSan must not see it first */
    coir_yield();
    p[*index] = 1;
    return array[0];
}

int main(void)
{
    volatile int index = 16;
    return coir_run(overflow, (void *)&index) < 0;
}
