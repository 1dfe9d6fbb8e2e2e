/*
 * park.cpp - a model of runtime/parking.h.
 *
 * A fiber waits until two things are so; two wakers each make one of them so and
 * unpark it.  Whoever finds it parked runs it on, so it moves between threads.
 * Its registers are a plain variable: saved before the change to PARKED, used by
 * whoever runs it next.  Or the second waker is one who holds the fiber to look at
 * its registers.
 */
#include "model.hpp"

#define COIR_MODEL 1
#include "parking.h"

template <bool looks>
struct park : rl::test_suite<park<looks>, 3> {
    COIR_ATOMIC(uint32_t) state;
    COIR_ATOMIC(uint32_t) is_so[2];
    COIR_ATOMIC(uint32_t) queued; /* how often, now */
    rl::var<int> registers;
    bool ended;

    void before()
    {
        state.store(COIR_FIBER_RUNNING, rl::mo_relaxed, $);
        is_so[0].store(0, rl::mo_relaxed, $);
        is_so[1].store(looks, rl::mo_relaxed, $);
        queued.store(0, rl::mo_relaxed, $);
        registers($) = 0;
        ended = false;
    }

    /* The fiber, on whatever thread, until it is parked or has ended. */
    void run()
    {
        coir_sub_relaxed(&queued, 1);
        registers($) += 1;
        for (;;) {
            if (coir_load_relaxed(&is_so[0]) && coir_load_relaxed(&is_so[1])) {
                RL_ASSERT(!ended);
                ended = true;
                return;
            }
            if (coir_parking_consume(&state))
                continue;
            registers($) += 1;
            if (coir_parking_commit(&state))
                return;
        }
    }

    void enqueue()
    {
        RL_ASSERT(coir_add_relaxed(&queued, 1) == 0);
    }

    void look()
    {
        if (!coir_parking_hold(&state))
            return;
        RL_ASSERT(registers($) >= 2);
        if (!coir_parking_commit(&state)) {
            enqueue();
            run();
        }
    }

    void thread(unsigned id)
    {
        if (looks && id == 1) {
            look();
            return;
        }
        if (id == 2) {
            enqueue();
            run();
            return;
        }
        coir_store_relaxed(&is_so[id], 1);
        if (coir_parking_notify(&state)) {
            enqueue();
            run();
        }
    }

    void after()
    {
        RL_ASSERT(ended); /* else a wake-up was lost */
    }
};

static int checks()
{
    return model_check<park<false> >("no wake-up is lost, and the registers are seen",
                                     MODEL_PREEMPTIONS, 4) +
           model_check<park<true> >("whoever looks at a parked fiber sees its registers, and loses "
                                    "no wake-up", MODEL_PREEMPTIONS, 4);
}

int main(int argc, char **argv)
{
    return model_main(argc, argv, checks);
}
