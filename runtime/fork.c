/*
 * fork.c - see fork.h.
 *
 * The handler runs in the child, on the thread that forked, which may be in a task: it
 * goes on, on the task's stack, after fork() has returned.  What it must not do is
 * return from the task, into a worker that is none any more.
 */
#include "fork.h"

#include <stddef.h>

#include "cancel.h"
#include "interrupt.h"
#include "sys.h"
#include "worker.h"

static COIR_ATOMIC(int32_t) runtimes;
static COIR_ATOMIC(uint32_t) registered;

/* Whoever returns from a task looks whether it left a scope open. */
static void mark_tasks(struct coir_fiber *fiber)
{
    static struct coir_scope open_for_ever;

    for (struct coir_task *task = fiber->task; task; task = task->next)
        task->scopes = &open_for_ever;
}

/*
 * Workers block nearly every signal, which is of no use in a process of one thread, and
 * the program that it executes would do so too.  What has been unblocked since remains
 * so; and if something has been blocked that a worker leaves alone, as by who blocks all
 * signals around fork(), the mask is the program's own business.
 */
static void put_mask_back(const struct coir_runtime *runtime)
{
    sigset_t now, mask = runtime->program_mask;

    coir_sys_thread_mask(SIG_SETMASK, NULL, &now);
    for (int signal = 1; signal <= SIGRTMAX; signal++) {
        int is_blocked = sigismember(&now, signal);
        int was_blocked = sigismember(&runtime->worker_mask, signal);

        if (is_blocked && !was_blocked)
            return;
        if (was_blocked && !is_blocked)
            sigdelset(&mask, signal);
    }
    coir_sys_thread_mask(SIG_SETMASK, &mask, NULL);
}

static void in_child(void)
{
    struct coir_worker *worker = coir_current_worker();
    struct coir_thread_call *call = coir_current_call();

    coir_set_current_worker(NULL); /* first: the rescue signal is nobody's now */
    coir_set_current_call(NULL);
    if (coir_load_relaxed(&runtimes) == 0)
        return;
    coir_store_relaxed(&coir_forked, 1);
    coir_interrupt_forget();
    if (worker)
        mark_tasks(worker->fiber);
    if (worker || call)
        put_mask_back(worker ? worker->runtime : call->runtime);
}

/* Registered before there is anything to lose.  Twice, if two threads are the first,
   does no harm. */
int coir_fork_enter(void)
{
    int rc = coir_load_acquire(&registered) ? 0 : coir_sys_atfork(in_child);

    if (rc < 0)
        return rc;
    coir_store_release(&registered, 1);
    coir_add_acq_rel(&runtimes, 1);
    return 0;
}

void coir_fork_leave(void)
{
    coir_sub_acq_rel(&runtimes, 1);
}
