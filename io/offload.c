/*
 * offload.c - see offload.h.
 */
#include "offload.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

#include "attempt.h"
#include "runtime/sys.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static COIR_ATOMIC(int) interrupt_signal; /* 0: not chosen yet; -1: there is none */

static void on_interrupt(int signal)
{
    (void)signal; /* it only interrupts */
}

static int choose_signal(void)
{
    struct sigaction old, action = { .sa_handler = on_interrupt };

    for (int signal = SIGRTMAX - 1; signal >= SIGRTMIN; signal--)
        if (coir_sys_sigaction(signal, NULL, &old) == 0 && old.sa_handler == SIG_DFL &&
            coir_sys_sigaction(signal, &action, NULL) == 0)
            return signal;
    return -1;
}

static int the_signal(void)
{
    int signal = coir_load_acquire(&interrupt_signal);

    if (signal)
        return signal;
    pthread_mutex_lock(&lock);
    signal = coir_load_relaxed(&interrupt_signal);
    if (!signal) {
        signal = choose_signal();
        coir_store_release(&interrupt_signal, signal);
    }
    pthread_mutex_unlock(&lock);
    return signal;
}

/* The pool's threads inherit a mask in which nearly every signal is blocked. */
static void take_signal(void)
{
    sigset_t set;

    sigemptyset(&set);
    if (the_signal() > 0)
        sigaddset(&set, the_signal());
    coir_sys_thread_mask(SIG_UNBLOCK, &set, NULL);
}

static ssize_t call(struct coir_offload *offload)
{
    ssize_t rc = -EINTR;

    while (rc == -EINTR && !coir_load_seq_cst(&offload->asked))
        rc = coir_attempt_on_thread(offload->op, offload->done);
    return rc == -EINTR ? -ECANCELED : rc;
}

static void run(struct coir_job *job)
{
    struct coir_offload *offload = (struct coir_offload *)job;

    take_signal();
    coir_store_seq_cst(&offload->thread, coir_sys_gettid());
    coir_fence_seq_cst(); /* [N] */
    offload->result = call(offload);
    coir_store_seq_cst(&offload->thread, 0);
    offload->ended(offload);
}

int coir_offload_start(struct coir_offload *offload, const struct coir_op *op, size_t done)
{
    offload->job.run = run;
    offload->op = op;
    offload->done = done;
    coir_store_relaxed(&offload->thread, 0);
    coir_store_relaxed(&offload->asked, 0);
    return coir_blocking_post(COIR_BLOCKING_DRIVER, &offload->job) < 0 ? -ENOMEM : 0;
}

bool coir_offload_withdraw(struct coir_offload *offload)
{
    return coir_blocking_withdraw(COIR_BLOCKING_DRIVER, &offload->job);
}

void coir_offload_interrupt(struct coir_offload *offload)
{
    int signal = coir_load_acquire(&interrupt_signal);
    pid_t thread;

    coir_store_seq_cst(&offload->asked, 1);
    coir_fence_seq_cst(); /* [N] */
    thread = coir_load_seq_cst(&offload->thread);
    if (thread && signal > 0)
        coir_sys_tgkill(thread, signal);
}
