/*
 * blind_tsan.c - a deliberate bug: two tasks, held on two workers, write the
 * same variable, and nothing orders them: relaxed operations do not.
 */
#include <coir.h>

#include <stdatomic.h>

static atomic_int arrived;
static volatile int shared;

static int write_when_both_are_here(void *arg)
{
    (void)arg;
    atomic_fetch_add_explicit(&arrived, 1, memory_order_relaxed);
    while (atomic_load_explicit(&arrived, memory_order_relaxed) < 2)
        coir_check();
    for (int i = 0; i < 10000; i++)
        shared++;
    return 0;
}

static int program(void *arg)
{
    coir_task *other = coir_create_task(write_when_both_are_here, arg);
    write_when_both_are_here(arg);
    return coir_await(other);
}

int main(void)
{
    return coir_run_with(&(coir_options){ .workers = 2 }, program, 0) < 0;
}
