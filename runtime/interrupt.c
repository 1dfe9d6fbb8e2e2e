/*
 * interrupt.c - see interrupt.h.
 */
#include "interrupt.h"

#include "atomics.h"
#include "sys.h"

static COIR_ATOMIC(int) event = -1;
static COIR_ATOMIC(uint32_t) came;
static COIR_ATOMIC(int) in_handler;

static void on_interrupt(int signal)
{
    int now;

    (void)signal;
    coir_add_seq_cst(&in_handler, 1);
    now = coir_load_seq_cst(&event);
    if (now >= 0) {
        coir_store_relaxed(&came, 1);
        coir_sys_event_signal(now);
    }
    coir_sub_seq_cst(&in_handler, 1);
}

bool coir_interrupt_take(int its_event)
{
    struct sigaction old, action = { .sa_handler = on_interrupt,
                                     .sa_flags = (int)(SA_RESETHAND | SA_RESTART | SA_ONSTACK) };
    int nobody = -1;

    if (coir_sys_sigaction(SIGINT, NULL, &old) < 0 || old.sa_handler != SIG_DFL)
        return false;
    if (!coir_cas_seq_cst(&event, &nobody, its_event))
        return false;
    coir_store_relaxed(&came, 0);
    coir_sys_sigaction(SIGINT, &action, NULL);
    return true;
}

bool coir_interrupt_came(void)
{
    return coir_load_relaxed(&came);
}

static void put_default_back(void)
{
    struct sigaction now, action = { .sa_handler = SIG_DFL };

    if (coir_sys_sigaction(SIGINT, NULL, &now) == 0 && now.sa_handler == on_interrupt)
        coir_sys_sigaction(SIGINT, &action, NULL);
}

void coir_interrupt_return(void)
{
    put_default_back();
    coir_store_seq_cst(&event, -1);
    while (coir_load_seq_cst(&in_handler))
        coir_sys_yield(); /* it may still write to the event */
}

void coir_interrupt_forget(void)
{
    if (coir_load_seq_cst(&event) < 0)
        return;
    coir_store_seq_cst(&event, -1);
    put_default_back();
}
