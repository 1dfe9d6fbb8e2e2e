/*
 * in_thread.h - threads of the program's own, which run no tasks.
 */
#ifndef TESTS_API_IN_THREAD_H
#define TESTS_API_IN_THREAD_H

#include <pthread.h>
#include <sched.h>

#include "api/in_run.h"

struct in_thread_call {
    void (*fn)(void *);
    void *arg;
};

static UNUSED void *in_thread_(void *arg)
{
    struct in_thread_call *call = arg;
    call->fn(call->arg);
    return NULL;
}

/* Run fn(arg) in a thread, and wait for its end. */
static UNUSED void in_thread(void (*fn)(void *), void *arg)
{
    struct in_thread_call call = { fn, arg };
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, in_thread_, &call), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
}

/*
 * A thread that does the same to each object it is lent, once.  It does not look at the
 * object afterwards, so whoever sees what it has done may free it.
 */
struct helper {
    pthread_t thread;
    void (*fn)(void *);
    void *_Atomic object;
    atomic_bool over;
};

static UNUSED void *help(void *arg)
{
    struct helper *helper = arg;
    while (!atomic_load(&helper->over)) {
        void *object = atomic_exchange(&helper->object, NULL);
        if (object)
            helper->fn(object);
        else
            sched_yield();
    }
    return NULL;
}

static UNUSED void helper_start(struct helper *helper, void (*fn)(void *))
{
    helper->fn = fn;
    atomic_init(&helper->object, NULL);
    atomic_init(&helper->over, false);
    cr_assert_eq(pthread_create(&helper->thread, NULL, help, helper), 0);
}

/* The one before must have been dealt with. */
static UNUSED void helper_lend(struct helper *helper, void *object)
{
    atomic_store(&helper->object, object);
}

static UNUSED void helper_stop(struct helper *helper)
{
    atomic_store(&helper->over, true);
    cr_assert_eq(pthread_join(helper->thread, NULL), 0);
}

/* Free it, and let what is written to it afterwards be noticed without a sanitizer. */
static UNUSED void free_and_spoil(void *object, size_t size)
{
    volatile unsigned char *byte = object;
    for (size_t i = 0; i < size; i++)
        byte[i] = 0xff;
    free(object);
}

#endif
