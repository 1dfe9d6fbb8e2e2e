/*
 * sync.cpp - a model of runtime/waiters.h, and of what stands on it: mutex.c,
 * semaphore.c, queue.c, as they are compiled into the library.
 *
 * Each task is a thread here, with a fiber whose parking is runtime/parking.h.  What
 * a mutex guards, and every item, is a plain variable: if two have it at once, or what
 * the one did is not ordered before the other, it is a data race.  A wake-up that is
 * lost is a deadlock.
 */
#include <errno.h>
#include <string.h>

#include "model.hpp"

#define COIR_MODEL 1
#define _Static_assert(...)
#undef offsetof
#include "parking.h"

/* What the library's files need of the rest of it. */

struct coir_task {
    int unused;
};

struct coir_fiber {
    COIR_ATOMIC(uint32_t) state;
    COIR_ATOMIC(uint32_t) cancelled;
    rl::generic_event queued;
    struct coir_task *task, own;
};

enum { THREADS = 3 };

static struct coir_fiber *fibers; /* of the threads, by their numbers */
static int64_t now;

static void coir_park(struct coir_fiber *fiber, const char *, const void *)
{
    if (coir_parking_consume(&fiber->state))
        return;
    if (coir_parking_commit(&fiber->state))
        fiber->queued.wait(false, false, $);
}

static void coir_unpark(struct coir_fiber *fiber)
{
    if (coir_parking_notify(&fiber->state))
        fiber->queued.set($);
}

#define coir_current_worker() ((struct coir_worker *)NULL)
#define coir_unpark_from(self, fiber, next) coir_unpark(fiber)
#define coir_worker_ran(self, fiber) true
#define coir_visit(self, fiber) ((struct coir_runtime *)(self))
#define coir_visit_end(visited) ((void)(visited))
#define coir_cancel_pending(fiber) \
    (coir_load_relaxed(&(fiber)->cancelled) ? -ECANCELED : 0)
#define coir_cancel_prepare(fiber, reason, object) coir_cancel_pending(fiber)
#define coir_cancel_is_prepared(fiber) (!coir_load_relaxed(&(fiber)->cancelled))
#define coir_fiber_worker(fiber) coir_current_worker()
#define coir_is_forked() false
#define coir_cancel_deliver(fiber, rc) (rc)
#define coir_fiber_of_caller(function) (&fibers[rl::thread_index()])
#define coir_enter coir_fiber_of_caller
#define coir_fiber_or_none coir_fiber_of_caller
#define coir_fiber_is_alone(fiber) true
#define coir_enter_steps(fiber, n) ((void)(n))
#define coir_misuse(...) RL_ASSERT(!"misuse")
#define coir_about_now coir_sys_now
#define coir_sys_now() (now += rl::rand(2) * PATIENCE_NS)
#define coir_sys_malloc(n) ((char *)malloc(n))
#define coir_sys_free(p) free(p)
#define coir_pause() rl::yield(1, $)
#define coir_sys_yield() rl::yield(1, $)
#define coir_deadlock_begin(wait, fiber, mutex) ((void)(wait))
#define coir_deadlock_end(wait) ((void)(wait))
#define coir_deadlock_check_owner(owner) ((void)(owner))
#define coir_deadlock_is_wanted() false
struct coir_deadlock_wait {};

#include "waiters.c"

#include "mutex.c"
#include "semaphore.c"
#include "queue.c"

/* What select.c needs of tasks and descriptors, which it does not get here. */
struct coir_op {
    COIR_ATOMIC(uint32_t) done;
};

#define coir_random(fiber) rl::rand(2)
#define coir_task_done(task) ((void)(task), false)
#define coir_task_watch(function, task, fiber) ((void)(task))
#define coir_task_unwatch(task) ((void)(task))
#define coir_task_check_handle(function, task) ((void)(task))
#define coir_poll_begin(op, fiber, fd, events) (-ENOMEM)
#define coir_poll_end(op) 0
#define coir_sys_poll_now(fd, events) 0
#define union struct
const struct coir_source coir_source_event = {}, coir_source_future = {};
#include "select.c"
#undef union

/* Three tasks, of which the last may be cancelled by the model. */
template <typename derived> struct tasks : rl::test_suite<derived, THREADS> {
    struct coir_fiber own[THREADS];

    void init()
    {
        fibers = own;
        now = 0;
        for (int i = 0; i < THREADS; i++) {
            own[i].state.store(COIR_FIBER_RUNNING, rl::mo_relaxed, $);
            own[i].cancelled.store(0, rl::mo_relaxed, $);
            own[i].queued.init(false, false, $);
            own[i].task = &own[i].own;
        }
    }

    void finish()
    {
        for (int i = 0; i < THREADS; i++)
            own[i].queued.deinit($);
    }

    void cancel(int task)
    {
        coir_store_relaxed(&own[task].cancelled, 1);
        coir_unpark(&own[task]);
    }

    static void clear(struct coir_lock *lock) { lock->held.store(0, rl::mo_relaxed, $); }
    static void clear(struct coir_waiters *list) { list->first = list->last = NULL, list->count = 0; }
};

/* Two or three tasks lock; or the last cancels the second, rather than lock, or tries to. */
enum rest { LOCKS, CANCELS, TRIES };

template <bool fifo, rest does> struct mutex : tasks<mutex<fifo, does> > {
    coir_mutex_state state;
    rl::var<int> guarded;
    int locked;

    static void make(coir_mutex_state *state)
    {
        tasks<mutex>::clear(&state->lock);
        tasks<mutex>::clear(&state->waiters);
        state->owner.store(0, rl::mo_relaxed, $);
        state->woken = NULL;
        state->fifo = fifo;
    }

    void before()
    {
        this->init();
        make(&state);
        guarded($) = 0;
        locked = 0;
    }

    void thread(unsigned id)
    {
        coir_mutex *mutex = (coir_mutex *)&state;

        if (does == CANCELS && id == 2) {
            this->cancel(1);
            return;
        }
        if ((does == TRIES && id == 2 ? coir_mutex_try_lock(mutex) : coir_mutex_lock(mutex)) < 0)
            return;
        guarded($) += 1;
        locked++;
        coir_mutex_unlock(mutex);
    }

    void after()
    {
        this->finish();
        RL_ASSERT(guarded($) == locked && locked >= 2 - (does == CANCELS));
        RL_ASSERT(!coir_mutex_owner(&state) && !state.waiters.first && !state.woken);
    }
};

/*
 * The same, and the mutex is part of what it guards: the last that needs that, as it finds
 * while it holds the mutex, destroys it.  Who is cancelled locks it all the same.
 */
template <bool fifo, rest does> struct last_user : tasks<last_user<fifo, does> > {
    alignas(16) char memory[sizeof(coir_mutex_state)];
    rl::var<int> users;

    void before()
    {
        this->init();
        mutex<fifo, does>::make(new (memory) coir_mutex_state);
        users($) = THREADS - (does == CANCELS);
    }

    void destroy()
    {
        ((coir_mutex_state *)memory)->~coir_mutex_state();
        memset(memory, 0xdd, sizeof memory);
    }

    void thread(unsigned id)
    {
        coir_mutex *mutex = (coir_mutex *)memory;
        bool last;

        if (does == CANCELS && id == 2) {
            this->cancel(1);
            return;
        }
        if (coir_mutex_lock(mutex) < 0)
            coir_mutex_lock_always(mutex);
        users($) -= 1;
        last = users($) == 0;
        coir_mutex_unlock(mutex);
        if (last)
            destroy();
    }

    void after()
    {
        this->finish();
        RL_ASSERT(users($) == 0);
    }
};

/* One place; the same. */
template <bool cancels> struct semaphore_model : tasks<semaphore_model<cancels> > {
    struct semaphore state;
    rl::var<int> guarded;

    void before()
    {
        this->init();
        this->clear(&state.lock);
        this->clear(&state.waiters);
        state.free = state.most = 1;
        guarded($) = 0;
    }

    void thread(unsigned id)
    {
        coir_semaphore *semaphore = (coir_semaphore *)&state;

        if (cancels && id == 2) {
            this->cancel(1);
            return;
        }
        if (coir_semaphore_acquire(semaphore) < 0)
            return;
        guarded($) += 1;
        coir_semaphore_release(semaphore);
    }

    void after()
    {
        this->finish();
        RL_ASSERT(state.free == 1 && !state.waiters.first);
    }
};

/*
 * A producer puts two items and closes the queue; a consumer takes them, or two do; or
 * somebody cancels one of them, or closes the queue.
 */
enum third { CONSUMES, CANCELS_CONSUMER, CANCELS_PRODUCER, CLOSES };

template <int capacity, third does> struct queue : tasks<queue<capacity, does> > {
    enum { ITEMS = 2 };

    coir_queue_state state;
    int slots[2];
    rl::var<int> content[ITEMS + 1];
    int put[ITEMS + 1];
    int got[ITEMS + 1];

    void before()
    {
        this->init();
        this->clear(&state.lock);
        this->clear(&state.getters);
        this->clear(&state.putters);
        this->clear(&state.joiners);
        state.order = COIR_QUEUE_FIFO;
        state.items = (char *)slots;
        state.slots = state.capacity = capacity;
        state.head = state.count = state.unfinished = 0;
        state.item_size = sizeof(int);
        state.closed = false;
        for (int i = 0; i <= ITEMS; i++)
            put[i] = got[i] = 0, content[i]($) = 0;
    }

    void produce()
    {
        for (int i = 1; i <= ITEMS; i++) {
            content[i]($) = i;
            put[i] = coir_queue_put((coir_queue *)&state, &i) == 0;
        }
        coir_queue_close((coir_queue *)&state);
    }

    void consume()
    {
        int item;

        while (coir_queue_get((coir_queue *)&state, &item) == 0) {
            RL_ASSERT(content[item]($) == item);
            content[item]($) = 0;
            got[item]++;
        }
        coir_queue_close((coir_queue *)&state); /* cancelled: nobody takes any more */
    }

    void thread(unsigned id)
    {
        if (id == 0)
            produce();
        else if (id == 1 || does == CONSUMES)
            consume();
        else if (does == CLOSES)
            coir_queue_close((coir_queue *)&state);
        else
            this->cancel(does == CANCELS_CONSUMER);
    }

    void after()
    {
        int left = 0;

        this->finish();
        for (int i = 1; i <= ITEMS; i++) {
            RL_ASSERT(got[i] == put[i] || (got[i] == 0 && does == CANCELS_CONSUMER));
            left += put[i] - got[i];
        }
        RL_ASSERT(left == (int)state.count);
        RL_ASSERT(!state.getters.first && !state.putters.first);
    }
};

/*
 * One task chooses between two queues, or between an item of the one and room in the
 * other; another puts into the first.  The third puts into the second, or takes from it,
 * or cancels the one that chooses, or chooses itself, the other way round.
 */
enum chooser { TWO_GETS, GET_OR_PUT, CANCELLED, BOTH_CHOOSE };

template <chooser does> struct choice : tasks<choice<does> > {
    coir_queue_state first, second;
    coir_select_case cases[2][2];
    int item[3], which[2], rc[3];

    void clear_queue(coir_queue_state *queue)
    {
        this->clear(&queue->lock);
        this->clear(&queue->getters);
        this->clear(&queue->putters);
        queue->order = COIR_QUEUE_FIFO;
        queue->items = NULL;
        queue->slots = queue->capacity = queue->head = queue->count = queue->unfinished = 0;
        queue->item_size = sizeof(int);
        queue->closed = false;
    }

    void before()
    {
        this->init();
        clear_queue(&first);
        clear_queue(&second);
        for (int i = 0; i < 3; i++)
            item[i] = 0, rc[i] = 1;
        which[0] = which[1] = -1;
        for (int i = 0; i < 4; i++)
            new (cases[i / 2][i % 2].opaque_) entry();
    }

    void make(coir_select_case *made, int kind, coir_queue_state *queue, int *place)
    {
        made->result = 1;
        made->kind_ = kind;
        made->object_ = queue;
        made->place_ = place;
    }

    void choose(int who)
    {
        coir_select_case *mine = cases[who];

        item[2] = 7;
        make(&mine[0], GET, who ? &second : &first, &item[who]);
        make(&mine[1], does == GET_OR_PUT || does == BOTH_CHOOSE ? PUT : GET,
             who ? &first : &second, does == GET_OR_PUT || does == BOTH_CHOOSE ? &item[2]
                                                                               : &item[who]);
        which[who] = coir_select(mine, 2);
        RL_ASSERT(which[who] == -ECANCELED || mine[which[who]].result == 0);
    }

    void thread(unsigned id)
    {
        int number = (int)id;

        if (id == 0)
            choose(0);
        else if (id == 2 && does == CANCELLED)
            this->cancel(0);
        else if (id == 1 && does == BOTH_CHOOSE)
            choose(1);
        else if (id == 1)
            rc[1] = coir_queue_put((coir_queue *)&first, &number);
        else if (does == TWO_GETS)
            rc[2] = coir_queue_put((coir_queue *)&second, &number);
        else if (does == GET_OR_PUT)
            rc[2] = coir_queue_get((coir_queue *)&second, &number);
        if (does != BOTH_CHOOSE && id == 0)
            let_the_other_go();
        if (id == 2 && does == GET_OR_PUT && rc[2] == 0)
            RL_ASSERT(number == 7);
    }

    /* Whoever was not chosen waits; the queues are closed for it. */
    void let_the_other_go()
    {
        coir_queue_close((coir_queue *)&first);
        coir_queue_close((coir_queue *)&second);
    }

    void after()
    {
        this->finish();
        for (int i = 0; i < 4; i++)
            entry_of(&cases[i / 2][i % 2])->~entry();
        RL_ASSERT(!first.getters.first && !first.putters.first);
        RL_ASSERT(!second.getters.first && !second.putters.first);
        if (does == BOTH_CHOOSE) { /* one gave what the other took */
            RL_ASSERT(which[0] >= 0 && which[1] >= 0 && which[0] != which[1]);
            RL_ASSERT(item[which[0] == 0 ? 0 : 1] == 7);
            return;
        }
        RL_ASSERT((rc[1] == 0) == (which[0] == 0));
        RL_ASSERT((rc[2] == 0) == (which[0] == 1));
        if (which[0] == 0 || (which[0] == 1 && does == TWO_GETS))
            RL_ASSERT(item[0] == which[0] + 1);
    }
};

static int checks()
{
    int failed = 0;

    failed += model_check<mutex<false, LOCKS> >("a mutex that barges: one at a time, none is "
                                                "forgotten", MODEL_PREEMPTIONS, 3);
    failed += model_check<mutex<true, LOCKS> >("a mutex in order: the same",
                                               MODEL_PREEMPTIONS, 3);
    failed += model_check<mutex<false, CANCELS> >("... and one that waits is cancelled",
                                                  MODEL_PREEMPTIONS, 3);
    failed += model_check<mutex<true, CANCELS> >("... in order", MODEL_PREEMPTIONS, 3);
    failed += model_check<mutex<false, TRIES> >("... and one only tries", MODEL_PREEMPTIONS, 3);
    failed += model_check<mutex<true, TRIES> >("... in order", MODEL_PREEMPTIONS, 3);
    failed += model_check<last_user<false, LOCKS> >("a mutex that its last user destroys",
                                                    MODEL_PREEMPTIONS, 3);
    failed += model_check<last_user<true, LOCKS> >("... in order", MODEL_PREEMPTIONS, 3);
    failed += model_check<last_user<false, CANCELS> >("... and one that waits is cancelled",
                                                      MODEL_PREEMPTIONS, 3);
    failed += model_check<last_user<true, CANCELS> >("... in order", MODEL_PREEMPTIONS, 3);
    failed += model_check<semaphore_model<false> >("a semaphore of one place: one at a time",
                                                   MODEL_PREEMPTIONS, 3);
    failed += model_check<semaphore_model<true> >("... and one that waits is cancelled",
                                                  MODEL_PREEMPTIONS, 3);
    failed += model_check<queue<1, CONSUMES> >("a queue of one slot: each item to one of two",
                                               MODEL_PREEMPTIONS, 3);
    failed += model_check<queue<1, CANCELS_CONSUMER> >("... and who takes is cancelled",
                                                       MODEL_PREEMPTIONS, 3);
    failed += model_check<queue<1, CANCELS_PRODUCER> >("... and who puts is cancelled",
                                                       MODEL_PREEMPTIONS, 3);
    failed += model_check<queue<1, CLOSES> >("... and it is closed", MODEL_PREEMPTIONS, 3);
    failed += model_check<queue<0, CONSUMES> >("a rendezvous: each item to one of two",
                                               MODEL_PREEMPTIONS, 3);
    failed += model_check<queue<0, CANCELS_CONSUMER> >("... and who takes is cancelled",
                                                       MODEL_PREEMPTIONS, 3);
    failed += model_check<queue<0, CANCELS_PRODUCER> >("... and who puts is cancelled",
                                                       MODEL_PREEMPTIONS, 3);
    failed += model_check<queue<0, CLOSES> >("... and it is closed", MODEL_PREEMPTIONS, 3);
    failed += model_check<choice<TWO_GETS> >("select of two gets takes one item",
                                             MODEL_PREEMPTIONS, 3);
    failed += model_check<choice<GET_OR_PUT> >("select of a get and a put does one",
                                               MODEL_PREEMPTIONS, 3);
    failed += model_check<choice<CANCELLED> >("... or is cancelled", MODEL_PREEMPTIONS, 3);
    failed += model_check<choice<BOTH_CHOOSE> >("two that select from each other meet",
                                                MODEL_PREEMPTIONS, 3);
    return failed;
}

int main(int argc, char **argv)
{
    return model_main(argc, argv, checks);
}
