/*
 * idle.cpp - a model of runtime/idle.h, with the outbox of runtime/handover.h.
 *
 * Publishers put work where a worker looks, and end: as good as a task that
 * computes for ever.  Two workers search, announce themselves, look again and
 * sleep, as find_work() and sleep_in_driver() in runtime/worker.c do.  Whoever
 * runs the last task ends the others.  So a wake-up that is lost is a deadlock.
 *
 *   --without pass_on   a worker that has found work wakes nobody for what else
 *                       was given while it searched
 *   --without look      nobody looks at the outbox again before it sleeps
 */
#define MODEL_SLOTS
#include "model.hpp"

#define COIR_MODEL 1
#define COIR_SMALL 1
#include "handover.h"
#include "idle.h"

enum { TASKS = 2 };

/* The kernel's side of a driver: a wake-up stays until it is waited for, and
   whatever the wakers did before is seen after. */
struct driver {
    rl::generic_event event;
    COIR_ATOMIC(uint32_t) order;

    void init()
    {
        event.init(false, false, $);
        order.store(0, rl::mo_relaxed, $);
    }

    void wake()
    {
        coir_add_acq_rel(&order, 1);
        event.set($);
    }

    void wait()
    {
        event.wait(false, false, $);
        coir_add_acq_rel(&order, 1);
    }
};

struct worker {
    COIR_ATOMIC(uint32_t) state;
    COIR_ATOMIC(uint32_t) inbox; /* a task, or 0 */
    struct driver driver;
    int found;
};

template <typename derived> struct runtime : rl::test_suite<derived, 3> {
    coir_idle idle;
    worker workers[2];
    coir_outbox outbox;           /* a publisher's */
    rl::var<int> task[TASKS + 1]; /* 1: to be run; 2: has been run */
    COIR_ATOMIC(int32_t) left;    /* tasks that have not ended */
    COIR_ATOMIC(uint32_t) stop;
    int max_searchers;
    int hog; /* the task that ends only after the other, or 0 */
    rl::generic_event other_ended;

    void init(int limit, int hog_task)
    {
        idle.searching.store(0, rl::mo_relaxed, $);
        idle.sleeping.store(0, rl::mo_relaxed, $);
        outbox.state.store(COIR_OUTBOX_EMPTY, rl::mo_relaxed, $);
        for (int i = 0; i < COIR_OUTBOX_MAX; i++)
            outbox.slots[i].store(0, rl::mo_relaxed, $);
        left.store(TASKS, rl::mo_relaxed, $);
        stop.store(0, rl::mo_relaxed, $);
        max_searchers = limit;
        hog = hog_task;
        other_ended.init(true, false, $);
        for (int i = 1; i <= TASKS; i++)
            task[i]($) = 0;
        for (int i = 0; i < 2; i++) {
            workers[i].state.store(COIR_WORKER_AWAKE, rl::mo_relaxed, $);
            workers[i].inbox.store(0, rl::mo_relaxed, $);
            workers[i].driver.init();
        }
    }

    /* Publishers. */

    void wake_one()
    {
        if (!coir_idle_must_wake(&idle))
            return;
        for (int i = 0; i < 2; i++)
            if (coir_idle_claim(&idle, &workers[i].state)) {
                workers[i].driver.wake();
                return;
            }
    }

    void send(worker *to, int item)
    {
        task[item]($) = 1;
        coir_xchg_acq_rel(&to->inbox, item);
        coir_fence_seq_cst(); /* [S] */
        if (coir_idle_claim(&idle, &to->state))
            to->driver.wake();
    }

    bool give(int item)
    {
        task[item]($) = 1;
        if (!coir_outbox_claim(&outbox))
            return false;
        coir_store_relaxed(&outbox.slots[0], item);
        coir_outbox_publish(&outbox, 1);
        wake_one();
        return true;
    }

    /* Workers. */

    void run(int item)
    {
        RL_ASSERT(task[item]($) == 1);
        task[item]($) = 2;
        if (item == hog)
            other_ended.wait(false, false, $);

        int32_t still = coir_sub_acq_rel(&left, 1) - 1;
        if (still == 1 && hog)
            other_ended.set($);
        if (still > 0)
            return;
        coir_store_release(&stop, 1);
        for (int i = 0; i < 2; i++)
            workers[i].driver.wake();
    }

    bool take_from_anyone(worker *self)
    {
        uintptr_t items[COIR_OUTBOX_MAX];
        uint32_t n = coir_outbox_take(&outbox, items);

        if (n > 0)
            self->found = (int)items[0];
        return n > 0;
    }

    bool find_own(worker *self)
    {
        self->found = coir_load_relaxed(&self->inbox) ? coir_xchg_acquire(&self->inbox, 0) : 0;
        return self->found > 0;
    }

    bool has_own_work(worker *self)
    {
        return coir_load_relaxed(&self->inbox) || coir_load_relaxed(&stop);
    }

    bool sleep_in_driver(worker *self)
    {
        coir_idle_announce(&idle, &self->state);
        if (has_own_work(self) || (!model_without("look") && coir_outbox_full(&outbox)))
            return coir_idle_retract(&idle, &self->state);
        self->driver.wait();
        return coir_idle_retract(&idle, &self->state);
    }

    bool find_work(worker *self)
    {
        bool searching = false, found = false;

        while (!coir_load_acquire(&stop)) {
            found = find_own(self) || take_from_anyone(self);
            if (found)
                break;
            if (!searching)
                searching = coir_idle_search(&idle, max_searchers);
            if (searching) {
                found = take_from_anyone(self);
                if (found)
                    break;
                if (has_own_work(self))
                    continue;
                coir_idle_stop_search(&idle);
            }
            searching = sleep_in_driver(self);
        }
        if (searching)
            coir_idle_stop_search(&idle);
        if (found && !model_without("pass_on") && coir_idle_must_wake(&idle) &&
            coir_outbox_full(&outbox))
            wake_one();
        return found;
    }

    void work(worker *self)
    {
        while (find_work(self))
            run(self->found);
    }

    void after()
    {
        RL_ASSERT(idle.searching.debug_value() == 0);
        RL_ASSERT(idle.sleeping.debug_value() == 0);
        RL_ASSERT(left.debug_value() == 0);
        for (int i = 0; i < 2; i++) {
            RL_ASSERT(workers[i].state.debug_value() == COIR_WORKER_AWAKE);
            workers[i].driver.event.deinit($);
        }
        other_ended.deinit($);
    }
};

/* A worker gives twice, and runs itself what it cannot give. */
template <int limit> struct two_batches : runtime<two_batches<limit> > {
    void before() { this->init(limit, 0); }

    void thread(unsigned id)
    {
        if (id > 0) {
            this->work(&this->workers[id - 1]);
        } else {
            this->give(1);
            if (!this->give(2))
                this->run(2);
        }
    }
};

/* A thread that is no worker sends to both. */
template <int limit> struct inboxes : runtime<inboxes<limit> > {
    void before() { this->init(limit, 0); }

    void thread(unsigned id)
    {
        if (id > 0) {
            this->work(&this->workers[id - 1]);
        } else {
            this->send(&this->workers[0], 1);
            this->send(&this->workers[1], 2);
        }
    }
};

/* A worker gives one task, and sends one that computes until the first has
   ended: it must not be the sleep of the other worker that it waits for. */
template <int limit> struct given_and_sent : runtime<given_and_sent<limit> > {
    void before() { this->init(limit, 2); }

    void thread(unsigned id)
    {
        if (id > 0) {
            this->work(&this->workers[id - 1]);
        } else {
            this->give(1);
            this->send(&this->workers[0], 2);
        }
    }
};

/* A worker gives, and somebody else sends. */
template <int limit> struct two_publishers : runtime<two_publishers<limit> > {
    void before() { this->init(limit, 0); }

    void thread(unsigned id)
    {
        if (id == 0)
            this->give(1);
        else if (id == 1)
            this->send(&this->workers[1], 2);
        else
            this->work(&this->workers[1]);
    }
};

static int checks()
{
    return model_check<given_and_sent<1> >("one given, one sent", MODEL_RANDOM, 100000) +
           model_check<two_publishers<1> >("two publishers, one worker", MODEL_PREEMPTIONS, 3) +
           model_check<inboxes<1> >("two inboxes", MODEL_PREEMPTIONS, 2) +
           model_check<two_batches<1> >("two batches", MODEL_PREEMPTIONS, 2) +
           model_check<given_and_sent<2> >("one given, one sent, two may search",
                                            MODEL_PREEMPTIONS, 2);
}

int main(int argc, char **argv)
{
    return model_main(argc, argv, checks);
}
