/*
 * calm.cpp - a model of runtime/calm.h, with runtime/parking.h.
 *
 * A task C waits until it is told to stop.  Each time it is woken it asks: if it is
 * calm, nobody; else it walks, over itself and over who waits for it.  A wake-up that
 * is lost, and a reason that is not seen, is a deadlock.
 */
#include "model.hpp"

#define COIR_MODEL 1
#include "parking.h"
#include "calm.h"

struct task {
    COIR_ATOMIC(uint32_t) state, cancelled, published;
    COIR_ATOMIC(uint32_t) waiter; /* the number of the task that waits for it, + 1 */
    rl::var<int> deadlines;       /* what it brings those that it waits for */
    int64_t calm;
    rl::generic_event queued;

    void init()
    {
        state.store(COIR_FIBER_RUNNING, rl::mo_relaxed, $);
        cancelled.store(0, rl::mo_relaxed, $);
        published.store(0, rl::mo_relaxed, $);
        waiter.store(0, rl::mo_relaxed, $);
        deadlines($) = 0;
        calm = COIR_NEVER_CALM;
        queued.init(false, false, $);
    }

    void unpark()
    {
        if (coir_parking_notify(&state))
            queued.set($);
    }

    void park()
    {
        if (coir_parking_consume(&state))
            return;
        if (coir_parking_commit(&state))
            queued.wait(false, false, $);
    }
};

enum { B, C, TASKS };

template <class derived> struct told : rl::test_suite<derived, 3> {
    COIR_ATOMIC(int64_t) epoch;
    struct task tasks[TASKS];

    void before()
    {
        epoch.store(1, rl::mo_relaxed, $);
        for (int i = 0; i < TASKS; i++)
            tasks[i].init();
    }

    void after()
    {
        for (int i = 0; i < TASKS; i++)
            tasks[i].queued.deinit($);
    }

    /* As find_calm() in cancel.c. */
    bool is_calm(struct task *of)
    {
        int64_t before = coir_calm_before_walk(&epoch);
        struct task *task = of;
        uint32_t waiter;

        if (of->calm == before)
            return true;
        while (!coir_load_relaxed(&task->cancelled) && !task->deadlines($)) {
            waiter = coir_load_acquire(&task->waiter);
            if (!waiter) {
                of->calm = before;
                return true;
            }
            task = &tasks[waiter - 1];
        }
        return false;
    }

    bool is_told(struct task *task)
    {
        return !coir_calm_holds(task->calm, &epoch) && !is_calm(task);
    }

    /* As coir_cancel_task(). */
    void cancel(struct task *task)
    {
        coir_store_relaxed(&task->cancelled, 1);
        if (!model_without("cancel"))
            coir_calm_ends(&epoch);
        coir_fence_seq_cst();
        if (coir_load_relaxed(&task->published))
            task->unpark();
    }

    /* As a wait: publish, ask, park. */
    void wait_to_be_told(struct task *task)
    {
        for (bool first = true; !is_told(task); first = false) {
            if (first) {
                coir_store_relaxed(&task->published, 1);
                coir_fence_seq_cst();
            } else {
                task->park();
            }
        }
    }

    void attach(struct task *to, int who)
    {
        coir_store_release(&to->waiter, who + 1);
        if (!model_without("attach") && !is_calm(&tasks[who]))
            coir_calm_ends(&epoch);
    }
};

/* C is cancelled, while the epoch ends for reasons of others. */
struct cancelled : told<cancelled> {
    void thread(unsigned id)
    {
        if (id == 0) {
            wait_to_be_told(&tasks[C]);
        } else if (id == 1) {
            cancel(&tasks[C]);
        } else {
            coir_calm_ends(&epoch);
            tasks[C].unpark();
        }
    }
};

/* B begins to wait for C, and is cancelled before, meanwhile or after. */
struct passed_on : told<passed_on> {
    void thread(unsigned id)
    {
        if (id == 0) {
            wait_to_be_told(&tasks[C]);
        } else if (id == 1) {
            is_told(&tasks[B]);
            attach(&tasks[C], B);
            wait_to_be_told(&tasks[B]);
            cancel(&tasks[C]);
        } else {
            cancel(&tasks[B]);
        }
    }
};

/* B has a deadline, and begins to wait for C, who is awake and asks now and then: once it
   can know that, it is not calm. */
struct brought : told<brought> {
    COIR_ATOMIC(uint32_t) waits;

    void before()
    {
        told<brought>::before();
        waits.store(0, rl::mo_relaxed, $);
    }

    void thread(unsigned id)
    {
        if (id == 0) {
            bool waited_for = coir_load_acquire(&waits);
            RL_ASSERT(is_told(&tasks[C]) || !waited_for);
            waited_for = coir_load_acquire(&waits);
            RL_ASSERT(is_told(&tasks[C]) || !waited_for);
        } else if (id == 1) {
            tasks[B].deadlines($) = 1;
            attach(&tasks[C], B);
            coir_store_release(&waits, 1);
        } else {
            coir_calm_ends(&epoch);
        }
    }
};

static int checks()
{
    return model_check<cancelled>("a task that is cancelled finds it out", MODEL_PREEMPTIONS, 4) +
           model_check<passed_on>("so does one that the cancelled one waits for",
                                  MODEL_PREEMPTIONS, 3) +
           model_check<brought>("a deadline is seen by whom it is brought", MODEL_PREEMPTIONS, 4);
}

int main(int argc, char **argv)
{
    return model_main(argc, argv, checks);
}
