/*
 * Queues and select as channels: what Go's own tests of channels claim (Go 1.19), where a
 * queue of coir's is like one.  The comments name their files:
 *
 *   test/chan/    fifo, doubleselect, goroutines, nonblock, select, select2, select3,
 *                 select4, select5, select6, select7, sieve1
 *                 not: perm, select8, sendstmt, zerosize (they are about the language);
 *                 powser1, powser2, sieve2 (larger programs of the kind of sieve1)
 *   test/         chancap, closedchan
 *   src/runtime/  chan_test: TestChan, TestNonblockRecvRace, TestNonblockSelectRace,
 *                 TestNonblockSelectRace2, TestSelfSelect, TestSelectStress,
 *                 TestSelectFairness, TestPseudoRandomSend, TestMultiConsumer,
 *                 TestSelectDuplicateChannel
 *                 not: what is about moving stacks, or interfaces
 *
 * Different here: to put into a closed queue is -EPIPE and not a panic; what is closed and
 * empty gives -EPIPE and not a zero; a select from nothing is -ENOENT and not for ever.
 */
#include <malloc.h>
#include <string.h>

#include "api/in_run.h"

COIR_QUEUE_TYPE(ints, int);

static void make(coir_queue *queue, size_t capacity)
{
    cr_assert_eq(ints_init(queue, capacity), 0);
}

static void put(coir_queue *queue, int item)
{
    cr_assert_eq(ints_put(queue, &item), 0);
}

static int get(coir_queue *queue)
{
    int item = -1;
    cr_assert_eq(ints_get(queue, &item), 0);
    return item;
}

static int select_one(coir_select_case which)
{
    int rc = coir_select(&which, 1);
    return rc < 0 ? rc : which.result;
}

/* ---------------------------------------------------------------- order --- */

/* chan/fifo: AsynchFifo */
RunTest(channels, with_room_for_all_give_them_in_order)
{
    coir_queue queue;
    make(&queue, 10);
    for (int i = 0; i < 10; i++)
        put(&queue, i);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(get(&queue), i);
    coir_queue_destroy(&queue);
    return 0;
}

/* A task that waits for its turn, gets one item and lets the next have its turn. */
struct link {
    coir_queue *items, *in, *out;
    int number;
};

static int take_turn(void *arg)
{
    struct link *link = arg;
    get(link->in);
    cr_assert_eq(get(link->items), link->number);
    put(link->out, 1);
    return 0;
}

/* chan/fifo: SynchFifo */
RunTest(channels, without_room_give_each_getter_the_next)
{
    enum { N = 10 };
    coir_queue items, turns[N + 1];
    struct link links[N];
    coir_task *tasks[N];
    make(&items, 0);
    for (int i = 0; i <= N; i++)
        make(&turns[i], 0);
    for (int i = 0; i < N; i++) {
        links[i] = (struct link){ &items, &turns[i], &turns[i + 1], i };
        tasks[i] = coir_create_task(take_turn, &links[i]);
    }
    put(&turns[0], 0);
    for (int i = 0; i < N; i++)
        put(&items, i);
    get(&turns[N]);
    for (int i = 0; i < N; i++)
        cr_assert_eq(coir_await(tasks[i]), 0);
    for (int i = 0; i <= N; i++)
        coir_queue_destroy(&turns[i]);
    coir_queue_destroy(&items);
    return 0;
}

static int pass_on(void *arg)
{
    struct link *link = arg;
    put(link->out, get(link->in));
    return 0;
}

/* chan/goroutines: a chain of tasks, each of which passes one item on */
RunTest(channels, in_a_long_chain_pass_an_item_along)
{
    int n = check_scale(3000);
    coir_queue *queues = calloc((size_t)n + 1, sizeof *queues);
    struct link *links = calloc((size_t)n, sizeof *links);
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i <= n; i++)
        make(&queues[i], 0);
    for (int i = 0; i < n; i++) {
        links[i] = (struct link){ .in = &queues[i + 1], .out = &queues[i] };
        cr_assert_eq(coir_group_create_task(&group, pass_on, &links[i]), 0);
    }
    put(&queues[n], 1);
    cr_assert_eq(get(&queues[0]), 1);
    cr_assert_eq(coir_group_wait(&group), 0);
    for (int i = 0; i <= n; i++)
        coir_queue_destroy(&queues[i]);
    free(queues);
    free(links);
    return 0;
}

/* A prime sieve: numbers, and one filter for each prime. */
struct filter {
    coir_queue *in, *out;
    int prime;
};

static int send_numbers(void *arg)
{
    struct filter *filter = arg;
    for (int i = 2, rc; ; i++)
        if ((rc = ints_put(filter->out, &i)) < 0)
            return rc == -ECANCELED ? 0 : rc;
}

static int drop_multiples(void *arg)
{
    struct filter *filter = arg;
    int number, rc;
    while ((rc = ints_get(filter->in, &number)) == 0)
        if (number % filter->prime && (rc = ints_put(filter->out, &number)) < 0)
            break;
    return rc == -ECANCELED ? 0 : rc;
}

/* chan/sieve1 */
RunTest(channels, sieve_the_primes)
{
    static const int primes[] = { 2,  3,  5,  7,  11, 13, 17, 19, 23, 29, 31, 37, 41,
                                  43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97 };
    coir_queue queues[LENGTH(primes) + 1];
    struct filter filters[LENGTH(primes) + 1];
    coir_group group;
    coir_group_init(&group);
    make(&queues[0], 0);
    filters[0] = (struct filter){ .out = &queues[0] };
    cr_assert_eq(coir_group_create_task(&group, send_numbers, &filters[0]), 0);
    for (size_t i = 0; i < LENGTH(primes); i++) {
        int prime = get(&queues[i]);
        cr_assert_eq(prime, primes[i]);
        make(&queues[i + 1], 0);
        filters[i + 1] = (struct filter){ &queues[i], &queues[i + 1], prime };
        cr_assert_eq(coir_group_create_task(&group, drop_multiples, &filters[i + 1]), 0);
    }
    cr_assert_eq(coir_group_cancel_wait(&group), 0);
    for (size_t i = 0; i < LENGTH(queues); i++)
        coir_queue_destroy(&queues[i]);
    return 0;
}

/* ------------------------------------------------------ without waiting --- */

struct wide {
    char text[40];
};

static int get_wide(void *queue)
{
    struct wide item = { "" };
    cr_assert_eq(coir_queue_get(queue, &item), 0);
    return strcmp(item.text, "hello") ? -EIO : 0;
}

static int put_wide(void *queue)
{
    struct wide item = { "hello again" };
    return coir_queue_put(queue, &item);
}

/* chan/nonblock: neither end waits, until there is one at the other, or room */
RunTest(channels, that_cannot_at_once_say_so)
{
    for (size_t capacity = 0; capacity < 2; capacity++) {
        coir_queue queue;
        struct wide item = { "hello" };
        int rc;
        cr_assert_eq(coir_queue_init(&queue, capacity, sizeof item), 0);
        cr_assert_eq(coir_queue_try_get(&queue, &item), -EAGAIN);
        if (capacity == 0)
            cr_assert_eq(coir_queue_try_put(&queue, &item), -EAGAIN);
        coir_task *getter = coir_create_task(get_wide, &queue);
        while ((rc = coir_queue_try_put(&queue, &item)) == -EAGAIN)
            cr_assert_eq(coir_yield(), 0);
        cr_assert_eq(rc, 0);
        cr_assert_eq(coir_await(getter), 0);

        coir_task *putter = coir_create_task(put_wide, &queue);
        while ((rc = coir_queue_try_get(&queue, &item)) == -EAGAIN)
            cr_assert_eq(coir_yield(), 0);
        cr_assert_eq(rc, 0);
        cr_assert_str_eq(item.text, "hello again");
        cr_assert_eq(coir_await(putter), 0);
        coir_queue_destroy(&queue);
    }
    return 0;
}

static int send_what_goes(coir_queue *a, coir_queue *b)
{
    int sent = 0, bit = 1;
    for (int which; ; bit <<= 1) {
        coir_select_case cases[2] = { { 0 } };
        if (a)
            cases[0] = coir_select_put(a, &bit);
        if (b)
            cases[1] = coir_select_put(b, &bit);
        if ((which = coir_try_select(cases, 2)) < 0) {
            cr_assert_eq(which, a || b ? -EAGAIN : -ENOENT);
            return sent;
        }
        sent++;
        if (which == 0)
            a = NULL;
        else
            b = NULL;
    }
}

/* chan/select */
RunTest(channels, that_are_left_out_of_a_select_do_not_happen)
{
    coir_queue a, b;
    make(&a, 1);
    make(&b, 1);
    cr_assert_eq(send_what_goes(&a, &b), 2);
    cr_assert_eq(get(&a) | get(&b), 3);
    cr_assert_eq(send_what_goes(&a, NULL), 1);
    cr_assert_eq(get(&a), 1);
    coir_queue_destroy(&a);
    coir_queue_destroy(&b);
    return 0;
}

/* Whatever makes an operation wait for ever is ended by a timeout. */
static void expect_wait(coir_select_case *cases, size_t n)
{
    coir_timeout limit;
    cr_assert_eq(coir_try_select(cases, n), -EAGAIN);
    coir_timeout_begin(&limit, COIR_MILLISECONDS(1));
    cr_assert_eq(coir_select(cases, n), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
}

/* chan/select3, closedchan */
RunTest(channels, wait_or_not_in_a_select_as_without)
{
    coir_queue closed, empty, roomy;
    int item = 7, got = 5;
    make(&closed, 0);
    make(&empty, 0);
    make(&roomy, 1);
    coir_queue_close(&closed);

    for (int i = 0; i < 3; i++) {
        cr_assert_eq(ints_get(&closed, &got), -EPIPE);
        cr_assert_eq(select_one(coir_select_get(&closed, &got)), -EPIPE);
        cr_assert_eq(ints_put(&closed, &item), -EPIPE);
        cr_assert_eq(select_one(coir_select_put(&closed, &item)), -EPIPE);
    }
    cr_assert_eq(got, 5);

    coir_select_case get_empty = coir_select_get(&empty, &got);
    coir_select_case put_empty = coir_select_put(&empty, &item);
    coir_select_case itself[] = { put_empty, get_empty };
    coir_select_case with_nothing[3] = { { 0 }, get_empty, { 0 } };
    expect_wait(&get_empty, 1);
    expect_wait(&put_empty, 1);
    expect_wait(itself, 2);
    expect_wait(with_nothing, 3);

    cr_assert_eq(select_one(coir_select_put(&roomy, &item)), 0);
    coir_select_case put_roomy = coir_select_put(&roomy, &item);
    expect_wait(&put_roomy, 1);
    cr_assert_eq(select_one(coir_select_get(&roomy, &got)), 0);
    cr_assert_eq(got, 7);
    coir_queue_destroy(&closed);
    coir_queue_destroy(&empty);
    coir_queue_destroy(&roomy);
    return 0;
}

/* chan/select4 */
RunTest(channels, that_did_not_happen_leave_the_place_for_the_item_alone)
{
    coir_queue full, empty;
    int got = 0, untouched = 9;
    make(&full, 1);
    make(&empty, 0);
    put(&full, 42);
    coir_select_case cases[] = { coir_select_get(&empty, &untouched),
                                 coir_select_get(&full, &got) };
    cr_assert_eq(coir_select(cases, 2), 1);
    cr_assert_eq(got, 42);
    cr_assert_eq(untouched, 9);
    coir_queue_destroy(&full);
    coir_queue_destroy(&empty);
    return 0;
}

/* What each of three cases may be. */
enum form { NONE, GET_EMPTY, PUT_FULL, GET_FULL, PUT_EMPTY, GET_CLOSED, PUT_CLOSED, FORMS };

static bool can_happen(enum form form)
{
    return form >= GET_FULL;
}

/* chan/select5: every mixture of those that can and those that cannot, both ways */
static void select_in_every_way(const enum form *forms, bool wait)
{
    coir_queue queues[3];
    coir_select_case cases[3];
    int items[3] = { 10, 11, 12 }, able = 0, present = 0;
    for (int i = 0; i < 3; i++) {
        bool puts = forms[i] == PUT_FULL || forms[i] == PUT_EMPTY || forms[i] == PUT_CLOSED;
        make(&queues[i], 1);
        if (forms[i] == GET_FULL || forms[i] == PUT_FULL)
            put(&queues[i], 20 + i);
        if (forms[i] >= GET_CLOSED)
            coir_queue_close(&queues[i]);
        cases[i] = puts ? coir_select_put(&queues[i], &items[i])
                        : coir_select_get(&queues[i], &items[i]);
        if (forms[i] == NONE)
            memset(&cases[i], 0, sizeof cases[i]);
        able += can_happen(forms[i]);
        present += forms[i] != NONE;
    }
    int which = wait && able ? coir_select(cases, 3) : coir_try_select(cases, 3);
    if (!able) {
        cr_assert_eq(which, present ? -EAGAIN : -ENOENT);
    } else {
        cr_assert(which >= 0 && which < 3);
        cr_assert(can_happen(forms[which]));
        cr_assert_eq(cases[which].result, forms[which] >= GET_CLOSED ? -EPIPE : 0);
    }
    for (int i = 0; i < 3; i++) {
        bool full = forms[i] == PUT_FULL || (forms[i] == GET_FULL && which != i) ||
                    (forms[i] == PUT_EMPTY && which == i);
        cr_assert_eq(items[i], forms[i] == GET_FULL && which == i ? 20 + i : 10 + i);
        cr_assert_eq(coir_queue_size(&queues[i]), full);
        if (full)
            cr_assert_eq(get(&queues[i]), forms[i] == PUT_EMPTY ? 10 + i : 20 + i);
        coir_queue_destroy(&queues[i]);
    }
}

RunTest(channels, in_a_select_happen_alone_whatever_the_others_are)
{
    for (int mix = 0; mix < FORMS * FORMS * FORMS; mix++) {
        enum form forms[3] = { mix % FORMS, mix / FORMS % FORMS, mix / FORMS / FORMS };
        select_in_every_way(forms, true);
        select_in_every_way(forms, false);
    }
    return 0;
}

/* -------------------------------------------------------------- waiting --- */

/* One end: get or put, plainly, in a select of one, or of two. */
struct end {
    coir_queue *queue, *never;
    int form, item;
    bool puts;
};

static int use_end(void *arg)
{
    struct end *end = arg;
    coir_select_case cases[2];
    if (end->form == 0)
        return end->puts ? ints_put(end->queue, &end->item) : ints_get(end->queue, &end->item);
    for (int i = 0; i < 2; i++) {
        coir_queue *queue = i ? end->never : end->queue;
        cases[i] = end->puts ? coir_select_put(queue, &end->item)
                             : coir_select_get(queue, &end->item);
    }
    int rc = coir_select(cases, (size_t)end->form);
    return rc < 0 ? rc : rc == 0 ? cases[0].result : -EIO;
}

/* chan/select7: each way to put with each way to get, whoever comes first */
RunTest(channels, meet_however_either_side_waits)
{
    for (int i = 0; i < 3 * 3 * 2; i++) {
        coir_queue queue, never[2];
        make(&queue, 0);
        make(&never[0], 0);
        make(&never[1], 0);
        struct end ends[2] = {
            { .queue = &queue, .never = &never[0], .form = i % 3, .item = 5, .puts = true },
            { .queue = &queue, .never = &never[1], .form = i / 3 % 3 },
        };
        coir_task *first = coir_create_task(use_end, &ends[i / 9]);
        let_them_wait();
        cr_assert_eq(use_end(&ends[1 - i / 9]), 0);
        cr_assert_eq(coir_await(first), 0);
        cr_assert_eq(ends[1].item, 5);
        coir_queue_destroy(&queue);
        coir_queue_destroy(&never[0]);
        coir_queue_destroy(&never[1]);
    }
    return 0;
}

/* chan/select6: of three that wait, the one in the middle was in a select, and is gone */
RunTestOn(1, channels, whose_waiter_in_the_middle_left_serve_the_others)
{
    coir_queue queues[2];
    struct end ends[3];
    coir_task *tasks[3];
    make(&queues[0], 0);
    make(&queues[1], 0);
    for (int i = 0; i < 3; i++) {
        ends[i] = (struct end){ &queues[0], &queues[1], i == 1 ? 2 : 0, 0, false };
        tasks[i] = coir_create_task(use_end, &ends[i]);
        let_all_wait();
    }
    put(&queues[1], 8);
    cr_assert_eq(coir_await(tasks[1]), -EIO, "it was the second case");
    put(&queues[0], 1);
    put(&queues[0], 2);
    cr_assert_eq(coir_await(tasks[0]), 0);
    cr_assert_eq(coir_await(tasks[2]), 0);
    cr_assert_eq(ends[0].item, 1);
    cr_assert_eq(ends[2].item, 2);
    coir_queue_destroy(&queues[0]);
    coir_queue_destroy(&queues[1]);
    return 0;
}

static int get_twice_in_one(void *arg)
{
    coir_queue *queues = arg;
    int got[3];
    coir_select_case cases[] = { coir_select_get(&queues[0], &got[0]),
                                 coir_select_get(&queues[0], &got[1]),
                                 coir_select_get(&queues[1], &got[2]) };
    return coir_select(cases, 3);
}

/* chan_test: TestSelectDuplicateChannel */
RunTestOn(1, channels, that_are_twice_in_a_select_leave_nothing_behind)
{
    coir_queue queues[2];
    make(&queues[0], 0);
    make(&queues[1], 0);
    struct end end = { .queue = &queues[0] };
    coir_task *twice = coir_create_task(get_twice_in_one, queues);
    let_all_wait();
    coir_task *other = coir_create_task(use_end, &end);
    let_all_wait();
    put(&queues[1], 1);
    put(&queues[0], 2); /* for the other: the first has chosen, though it has not run */
    cr_assert_eq(coir_await(twice), 2);
    cr_assert_eq(coir_await(other), 0);
    cr_assert_eq(end.item, 2);
    coir_queue_destroy(&queues[0]);
    coir_queue_destroy(&queues[1]);
    return 0;
}

/* ---------------------------------------------------------------- races --- */

struct race {
    coir_queue queues[2];
    int ways; /* 0: try_get, 1: try_select from one, 2: from both */
};

static int look_once(void *arg)
{
    struct race *race = arg;
    int got;
    if (race->ways == 0)
        return coir_queue_try_get(&race->queues[0], &got);
    coir_select_case cases[] = { coir_select_get(&race->queues[0], &got),
                                 coir_select_get(&race->queues[1], &got) };
    int which = coir_try_select(cases, (size_t)race->ways);
    return which < 0 ? which : 0;
}

/* chan_test: TestNonblockRecvRace, TestNonblockSelectRace, TestNonblockSelectRace2: at each
   moment there is an item, or the end; so nobody may see nothing */
RunTest(channels, that_always_have_something_never_say_there_is_nothing)
{
    for (int i = 0; i < check_scale(6000); i++) {
        struct race race = { .ways = i % 3 };
        int got;
        make(&race.queues[0], 1);
        make(&race.queues[1], 1);
        put(&race.queues[0], 1);
        coir_task *task = coir_create_task(look_once, &race);
        if (i % 5)
            cr_assert_eq(coir_yield(), 0);
        if (race.ways < 2)
            coir_queue_close(&race.queues[0]);
        else if (i % 2)
            put(&race.queues[1], 1);
        else
            coir_queue_close(&race.queues[1]);
        if (race.ways == 2)
            (void)coir_queue_try_get(&race.queues[0], &got);
        int rc = coir_await(task);
        cr_assert(rc == 0 || rc == -EPIPE, "%d", rc);
        coir_queue_destroy(&race.queues[0]);
        coir_queue_destroy(&race.queues[1]);
    }
    return 0;
}

/* Two that put their own number and get the other's, in one select each. */
struct self {
    coir_queue *queue;
    int number, rounds;
};

static int put_and_get_in_one(void *arg)
{
    struct self *self = arg;
    for (int i = 0; i < self->rounds; i++) {
        int got = -1;
        coir_select_case put = coir_select_put(self->queue, &self->number);
        coir_select_case get = coir_select_get(self->queue, &got);
        coir_select_case cases[] = { i % 2 ? put : get, i % 2 ? get : put };
        int which = coir_select(cases, 2);
        cr_assert_geq(which, 0);
        if (cases[which].result == -EPIPE)
            break;
        cr_assert_neq(got, self->number);
    }
    coir_queue_close(self->queue);
    return 0;
}

/* chan_test: TestSelfSelect */
RunTest(channels, in_both_directions_never_give_back_ones_own)
{
    coir_queue queue;
    make(&queue, 0);
    struct self selves[2] = { { &queue, 0, check_scale(3000) }, { &queue, 1, check_scale(3000) } };
    coir_task *task = coir_create_task(put_and_get_in_one, &selves[1]);
    cr_assert_eq(put_and_get_in_one(&selves[0]), 0);
    cr_assert_eq(coir_await(task), 0);
    coir_queue_destroy(&queue);
    return 0;
}

/* One puts into any of four, each of which is carried on to one place. */
struct mux {
    coir_queue in[4], out;
    int n;
};

struct carrier {
    struct mux *mux;
    int number;
};

static int send_to_any(void *arg)
{
    struct mux *mux = arg;
    for (int i = 0; i < mux->n; i++) {
        coir_select_case cases[4];
        for (int k = 0; k < 4; k++)
            cases[k] = coir_select_put(&mux->in[k], &i);
        int which = coir_select(cases, 4);
        cr_assert(which >= 0 && cases[which].result == 0);
    }
    for (int k = 0; k < 4; k++)
        coir_queue_close(&mux->in[k]);
    return 0;
}

static int carry(void *arg)
{
    struct carrier *carrier = arg;
    int item, rc;
    while ((rc = ints_get(&carrier->mux->in[carrier->number], &item)) == 0)
        put(&carrier->mux->out, item);
    return rc == -EPIPE ? 0 : rc;
}

static int carry_all(void *arg)
{
    struct carrier carriers[4];
    coir_call calls[4];
    for (int i = 0; i < 4; i++) {
        carriers[i] = (struct carrier){ arg, i };
        calls[i] = (coir_call){ carry, &carriers[i], 0 };
    }
    int rc = coir_gather_array(calls, 4);
    coir_queue_close(&((struct mux *)arg)->out);
    return rc;
}

/* chan/doubleselect */
RunTest(channels, chosen_among_several_get_no_item_twice)
{
    struct mux mux = { .n = check_scale(5000) };
    char *seen = calloc((size_t)mux.n, 1);
    int item, count = 0;
    for (int i = 0; i < 4; i++)
        make(&mux.in[i], 0);
    make(&mux.out, 0);
    coir_task *sender = coir_create_task(send_to_any, &mux);
    coir_task *carriers = coir_create_task(carry_all, &mux);
    while (ints_get(&mux.out, &item) == 0) {
        cr_assert_eq(seen[item], 0);
        seen[item] = 1;
        count++;
    }
    cr_assert_eq(count, mux.n);
    cr_assert_eq(coir_await(sender), 0);
    cr_assert_eq(coir_await(carriers), 0);
    for (int i = 0; i < 4; i++)
        coir_queue_destroy(&mux.in[i]);
    coir_queue_destroy(&mux.out);
    free(seen);
    return 0;
}

/* Four queues; four tasks each put into one and get from one, four choose among all. */
struct stress {
    coir_queue queues[4];
    int n;
};

struct part {
    struct stress *stress;
    int number;
    bool puts, chooses;
};

static int play_part(void *arg)
{
    struct part *part = arg;
    for (int i = 0; i < part->stress->n; i++) {
        coir_select_case cases[4];
        int item = i;
        coir_queue *own = &part->stress->queues[part->number];
        if (!part->chooses) {
            cr_assert_eq(part->puts ? ints_put(own, &item) : ints_get(own, &item), 0);
            continue;
        }
        for (int k = 0; k < 4; k++) {
            coir_queue *queue = &part->stress->queues[(k + i) % 4];
            cases[k] = part->puts ? coir_select_put(queue, &item) : coir_select_get(queue, &item);
        }
        int which = coir_select(cases, 4);
        cr_assert(which >= 0 && cases[which].result == 0);
    }
    return 0;
}

/* chan_test: TestSelectStress, with room: what plain putters put into one, those that
   choose must find there */
RunTest(channels, under_stress_keep_their_counts)
{
    enum { PARTS = 16 };
    struct stress stress = { .n = check_scale(500) };
    struct part parts[PARTS];
    coir_call calls[PARTS];
    for (int i = 0; i < 4; i++)
        make(&stress.queues[i], COIR_UNBOUNDED);
    for (int i = 0; i < PARTS; i++) {
        bool puts = i < PARTS / 2;
        parts[i] = (struct part){ &stress, i % 4, puts, !puts || i % 8 < 4 };
        calls[i] = (coir_call){ play_part, &parts[i], 0 };
    }
    cr_assert_eq(coir_gather_array(calls, PARTS), 0);
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(coir_queue_size(&stress.queues[i]), 0);
        coir_queue_destroy(&stress.queues[i]);
    }
    return 0;
}

/* ------------------------------------------------------------- fairness --- */

/* chan_test: TestSelectFairness, TestPseudoRandomSend: both happen, about equally often */
RunTest(channels, that_can_always_happen_do_so_equally_often)
{
    enum { N = 10000 };
    coir_queue queue;
    int zero = 0, once = 1, put_once = 0, ones = 0;
    make(&queue, N);
    coir_select_case cases[] = { coir_select_put(&queue, &zero), coir_select_put(&queue, &once) };
    for (int i = 0; i < N; i++)
        put_once += coir_select(cases, 2);
    cr_assert(put_once > N / 2 - N / 10 && put_once < N / 2 + N / 10, "%d", put_once);
    for (int i = 0; i < N; i++)
        ones += get(&queue);
    cr_assert_eq(ones, put_once);
    coir_queue_destroy(&queue);
    return 0;
}

struct forever {
    coir_queue *queue;
    int got;
};

static int put_for_ever(void *arg)
{
    int item = 1, rc;
    while ((rc = ints_put(((struct forever *)arg)->queue, &item)) == 0)
        ;
    return rc == -EPIPE ? 0 : rc;
}

/* chan_test: TestSelectFairness, of tasks that wait: neither starves */
RunTest(channels, whose_putters_never_end_are_both_got_from)
{
    coir_queue queues[2];
    struct forever putters[2] = { { &queues[0], 0 }, { &queues[1], 0 } };
    coir_task *tasks[2];
    int got;
    for (int i = 0; i < 2; i++) {
        make(&queues[i], 0);
        tasks[i] = coir_create_task(put_for_ever, &putters[i]);
    }
    while (putters[0].got < 100 || putters[1].got < 100) {
        coir_select_case cases[] = { coir_select_get(&queues[0], &got),
                                     coir_select_get(&queues[1], &got) };
        int which = coir_select(cases, 2);
        cr_assert(which >= 0 && cases[which].result == 0);
        putters[which].got++;
    }
    for (int i = 0; i < 2; i++) {
        coir_queue_close(&queues[i]);
        cr_assert_eq(coir_await(tasks[i]), 0);
        coir_queue_destroy(&queues[i]);
    }
    return 0;
}

/* --------------------------------------------------------------- memory --- */

#if !defined(CHECK_ASAN) && !defined(CHECK_TSAN)
static void select_often(int n)
{
    coir_queue queue, never;
    struct forever putter = { &queue, 0 };
    int got;
    make(&queue, 0);
    make(&never, 0);
    coir_task *task = coir_create_task(put_for_ever, &putter);
    coir_select_case cases[] = { coir_select_get(&queue, &got), coir_select_get(&never, &got) };
    for (int i = 0; i < n; i++)
        cr_assert_eq(coir_select(cases, 2), 0);
    coir_queue_close(&queue);
    cr_assert_eq(coir_await(task), 0);
    coir_queue_destroy(&queue);
    coir_queue_destroy(&never);
}

/* chan/select2 */
RunTest(channels, selected_from_often_take_no_memory)
{
    select_often(1000);
    size_t before = mallinfo2().uordblks;
    select_often(20000);
    size_t after = mallinfo2().uordblks;
    cr_assert_leq(after, before + 110000);
    return 0;
}
#endif

/* chancap */
RunTest(channels, have_the_size_of_what_is_in_them)
{
    coir_queue queue;
    make(&queue, 10);
    for (size_t i = 0; i < 10; i++) {
        cr_assert_eq(coir_queue_size(&queue), i);
        put(&queue, 0);
    }
    int item = 0;
    cr_assert_eq(ints_try_put(&queue, &item), -EAGAIN);
    cr_assert_eq(coir_queue_size(&queue), 10);
    coir_queue_destroy(&queue);
    cr_assert_eq(ints_init(&queue, SIZE_MAX - 1), -ENOMEM);
    return 0;
}
