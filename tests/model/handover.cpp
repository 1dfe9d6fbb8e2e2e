/*
 * handover.cpp - a model of runtime/handover.h.
 *
 * An owner hands over numbered items in batches, more than the outbox holds, and
 * takes some back; two others take.  Behind each item is a plain variable, which
 * its owner writes before and its taker reads after: if that is not ordered, it
 * is a data race.  The second check interrupts the owner, once, before any of its
 * operations, by a handler that gives.
 */
#define MODEL_SLOTS
#include "model.hpp"

#define COIR_MODEL 1
#define COIR_SMALL 1
#include "handover.h"

template <int batches, bool interrupted>
struct handover : rl::test_suite<handover<batches, interrupted>, 3> {
    static const int ITEMS = 2 * batches;

    coir_outbox box;
    COIR_ATOMIC(int64_t) keep;
    rl::var<int> task[ITEMS + 1]; /* 0: none; 1: to be run; 2: has been run */
    int next;                     /* the owner's queue is next..ITEMS */
    int signals;                  /* that may still come */
    bool taken_by_another;

    static handover *current;

    void before()
    {
        box.state.store(COIR_OUTBOX_EMPTY, rl::mo_relaxed, $);
        for (int i = 0; i < COIR_OUTBOX_MAX; i++)
            box.slots[i].store(0, rl::mo_relaxed, $);
        keep.store(COIR_KEEP_NONE, rl::mo_relaxed, $);
        for (int i = 0; i <= ITEMS; i++)
            task[i]($) = 0;
        next = 1;
        signals = interrupted;
        taken_by_another = false;
        current = this;
        model_before_operation = interrupted ? interrupt : NULL;
    }

    /* What coir_handover_give() does. */
    uint32_t fill()
    {
        uint32_t n = 0;

        if (!coir_outbox_claim(&box))
            return 0;
        while (n < COIR_OUTBOX_MAX && next <= ITEMS) {
            int item = next++;
            task[item]($) = 1;
            coir_store_relaxed(&box.slots[n++], (uintptr_t)item);
        }
        taken_by_another = false;
        coir_outbox_publish(&box, n);
        return n;
    }

    /* What give() in runtime/worker.c does. */
    void give()
    {
        coir_store_relaxed(&keep, COIR_KEEP_ALL); /* [H4] */
        if (!fill())
            coir_store_relaxed(&keep, COIR_KEEP_ONE);
    }

    /* A signal handler on the owner's thread, at any moment: on_rescue(). */
    static void interrupt()
    {
        if (rl::thread_index() != 0 || current->signals == 0 || rl::rand(2) == 0)
            return;
        current->signals--;
        current->fill();
    }

    void run(uintptr_t item)
    {
        RL_ASSERT(item >= 1 && item <= ITEMS);
        RL_ASSERT(task[item]($) == 1);
        task[item]($) = 2;
    }

    void take(bool mine)
    {
        uintptr_t items[COIR_OUTBOX_MAX];
        uint32_t n = coir_outbox_take(&box, items);

        if (n > 0 && !mine) {
            taken_by_another = true;
            coir_store_relaxed(&keep, COIR_KEEP_NONE);
        }
        for (uint32_t i = 0; i < n; i++)
            run(items[i]);
    }

    void thread(unsigned id)
    {
        if (id == 0) {
            for (int i = 0; i < batches; i++)
                give();
            take(true);
            give();
        } else {
            for (int i = 0; i < batches; i++)
                take(false);
        }
    }

    void after()
    {
        uint32_t state = box.state.debug_value();

        model_before_operation = NULL;
        RL_ASSERT(state <= COIR_OUTBOX_MAX);                             /* [H1] */
        RL_ASSERT(!taken_by_another || keep.debug_value() != COIR_KEEP_ALL); /* [H4] */
        take(false);
        for (int i = 1; i <= ITEMS; i++)
            RL_ASSERT(task[i]($) == (i < next ? 2 : 0)); /* [H3] */
    }
};

template <int batches, bool interrupted>
handover<batches, interrupted> *handover<batches, interrupted>::current;

static int checks()
{
    return model_check<handover<2, false> >("every item is taken once, and seen whole",
                                            MODEL_PREEMPTIONS, 3) +
           model_check<handover<2, true> >("so it is if a signal handler gives",
                                           MODEL_PREEMPTIONS, 2);
}

int main(int argc, char **argv)
{
    return model_main(argc, argv, checks);
}
