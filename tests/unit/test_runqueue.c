/*
 * test_runqueue.c - the run queue, from one thread; and hand-over after every
 * single instruction of what its owner does.
 */
#include "support/check.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/handover.h"

#define ITEM(n) ((coir_item)(n) * 64)

static struct coir_runqueue q;

static void fresh(void)
{
    memset(&q, 0, sizeof q);
    cr_assert_eq(coir_runqueue_init(&q), 0);
}

static void done(void)
{
    free((void *)q.slots);
}

static void push(coir_item item)
{
    if (coir_runqueue_full(&q))
        cr_assert(coir_runqueue_grow(&q));
    coir_runqueue_push(&q, item);
}

Test(runqueue, is_first_in_first_out)
{
    fresh();
    for (size_t i = 1; i <= 5; i++)
        push(ITEM(i));
    for (size_t i = 1; i <= 5; i++)
        cr_assert_eq(coir_runqueue_pop(&q), ITEM(i));
    cr_assert_eq(coir_runqueue_pop(&q), 0);
    cr_assert_eq(coir_runqueue_length_hint(&q), 0);
    done();
}

Test(runqueue, grows_in_the_middle_of_its_ring_and_keeps_the_order)
{
    size_t next = 1;

    fresh();
    for (size_t i = 1; i <= 100; i++)
        push(ITEM(i));
    for (; next <= 90; next++)
        cr_assert_eq(coir_runqueue_pop(&q), ITEM(next));
    for (size_t i = 101; i <= 5000; i++)
        push(ITEM(i));
    for (; next <= 5000; next++)
        cr_assert_eq(coir_runqueue_pop(&q), ITEM(next));
    cr_assert_eq(coir_runqueue_pop(&q), 0);
    done();
}

Test(runqueue, what_is_pushed_first_comes_out_first)
{
    fresh();
    coir_runqueue_push_first(&q, ITEM(2)); /* below position 0 */
    push(ITEM(3));
    if (coir_runqueue_full(&q))
        cr_assert(coir_runqueue_grow(&q));
    coir_runqueue_push_first(&q, ITEM(1));
    cr_assert_eq(coir_runqueue_length_hint(&q), 3);
    for (int i = 1; i <= 3; i++)
        cr_assert_eq(coir_runqueue_pop(&q), ITEM(i));
    cr_assert_eq(coir_runqueue_pop(&q), 0);
    done();
}

Test(runqueue, the_newest_can_be_taken_back_and_nothing_else)
{
    fresh();
    push(ITEM(1));
    push(ITEM(2));
    cr_assert_not(coir_runqueue_take_newest(&q, 0, ITEM(1)));
    cr_assert_not(coir_runqueue_take_newest(&q, 1, ITEM(3)));
    cr_assert(coir_runqueue_take_newest(&q, 1, ITEM(2)));
    cr_assert(coir_runqueue_take_newest(&q, 0, ITEM(1)));
    cr_assert_not(coir_runqueue_take_newest(&q, 0, ITEM(1)));
    cr_assert_eq(coir_runqueue_length_hint(&q), 0);
    done();
}

Test(runqueue, one_taken_out_of_the_middle_leaves_a_gap_that_pop_skips)
{
    fresh();
    for (size_t i = 1; i <= 4; i++)
        push(ITEM(i));
    cr_assert(coir_runqueue_take_middle(&q, 1, ITEM(2)));
    cr_assert_not(coir_runqueue_take_middle(&q, 1, ITEM(2)));
    cr_assert_eq(coir_runqueue_pop(&q), ITEM(1));
    cr_assert_eq(coir_runqueue_pop(&q), ITEM(3));
    cr_assert_not(coir_runqueue_take_middle(&q, 2, ITEM(3)));
    cr_assert_eq(coir_runqueue_pop(&q), ITEM(4));
    done();
}

Test(runqueue, gaps_at_the_new_end_are_trimmed)
{
    fresh();
    for (size_t i = 1; i <= 3; i++)
        push(ITEM(i));
    cr_assert(coir_runqueue_take_middle(&q, 1, ITEM(2)));
    coir_runqueue_trim(&q);
    cr_assert_eq(coir_runqueue_length_hint(&q), 3);
    cr_assert(coir_runqueue_take_newest(&q, 2, ITEM(3)));
    coir_runqueue_trim(&q);
    cr_assert_eq(coir_runqueue_length_hint(&q), 1);
    done();
}

Test(runqueue, a_position_from_another_queue_is_not_believed)
{
    fresh();
    push(ITEM(1));
    cr_assert_not(coir_runqueue_take_middle(&q, 77, ITEM(1)));
    cr_assert_not(coir_runqueue_take_newest(&q, UINT64_MAX, ITEM(1)));
    cr_assert_not(coir_runqueue_take_middle(&q, UINT64_MAX, ITEM(1)));
    cr_assert_eq(coir_runqueue_pop(&q), ITEM(1));
    done();
}

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(COIR_ASAN) && \
    !defined(COIR_TSAN)

/*
 * The single-step test.  The trap flag raises SIGTRAP after each instruction;
 * after the n-th one, the handler does what a rescue would do, and takes all it
 * can.  For every n, each item must come out exactly once.
 */
static struct coir_outbox box;
static struct coir_inbox inbox;
static volatile long step, when;
static volatile int hit;
static coir_item given[64];
static volatile unsigned given_count;

static void take_given(void)
{
    coir_item items[COIR_OUTBOX_MAX];
    uint32_t n = coir_outbox_take(&box, items);

    for (uint32_t i = 0; i < n; i++)
        given[given_count++] = items[i];
}

static void on_trap(int signal)
{
    (void)signal;
    if (step++ != when)
        return;
    hit = 1;
    coir_handover_give(&q, &box, &inbox, COIR_OUTBOX_MAX);
    take_given();
}

static void single_step(void (*scenario)(void))
{
    __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq" ::: "memory", "cc");
    scenario();
    __asm__ volatile("pushfq; andq $~0x100, (%%rsp); popfq" ::: "memory", "cc");
}

static int seen[16];

static void saw(coir_item item)
{
    if (item)
        seen[item / 64]++;
}

static void create_create_await_await(void)
{
    uint64_t first, second;

    coir_runqueue_push(&q, ITEM(1));
    first = coir_load_relaxed(&q.tail) - 1;
    coir_runqueue_push(&q, ITEM(2));
    second = coir_load_relaxed(&q.tail) - 1;
    if (coir_runqueue_take_newest(&q, second, ITEM(2)))
        saw(ITEM(2));
    if (coir_runqueue_take_newest(&q, first, ITEM(1)))
        saw(ITEM(1));
}

static void create_create_await_the_older_first(void)
{
    uint64_t first, second;

    coir_runqueue_push(&q, ITEM(1));
    first = coir_load_relaxed(&q.tail) - 1;
    coir_runqueue_push(&q, ITEM(2));
    second = coir_load_relaxed(&q.tail) - 1;
    if (coir_runqueue_take_middle(&q, first, ITEM(1)))
        saw(ITEM(1));
    coir_runqueue_trim(&q);
    if (coir_runqueue_take_newest(&q, second, ITEM(2)))
        saw(ITEM(2));
    coir_runqueue_trim(&q);
}

/* The gap that is trimmed lies behind an item, and a push follows. */
static void trim_and_push(void)
{
    coir_runqueue_push(&q, ITEM(1));
    coir_runqueue_push(&q, ITEM(2));
    if (coir_runqueue_take_middle(&q, coir_load_relaxed(&q.tail) - 1, ITEM(2)))
        saw(ITEM(2));
    coir_runqueue_trim(&q);
    coir_runqueue_push(&q, ITEM(3));
}

static void give_and_give(void)
{
    coir_runqueue_push(&q, ITEM(1));
    coir_runqueue_push(&q, ITEM(2));
    coir_runqueue_push(&q, ITEM(3));
    coir_handover_give(&q, &box, &inbox, 2);
}

static void push_and_pop(void)
{
    coir_runqueue_push(&q, ITEM(1));
    coir_runqueue_push(&q, ITEM(2));
    saw(coir_runqueue_pop(&q));
    coir_runqueue_push(&q, ITEM(3));
    saw(coir_runqueue_pop(&q));
    saw(coir_runqueue_pop(&q));
    saw(coir_runqueue_pop(&q));
}

static void push_first_and_pop(void)
{
    coir_runqueue_push(&q, ITEM(1));
    coir_runqueue_push_first(&q, ITEM(2));
    saw(coir_runqueue_pop(&q));
    coir_runqueue_push_first(&q, ITEM(3));
    coir_runqueue_push(&q, ITEM(4));
    saw(coir_runqueue_pop(&q));
}

static void grow_between(void)
{
    coir_runqueue_push(&q, ITEM(1));
    coir_runqueue_push(&q, ITEM(2));
    coir_runqueue_grow(&q);
    coir_runqueue_push(&q, ITEM(3));
    saw(coir_runqueue_pop(&q));
}

static void give_and_pop(void)
{
    coir_runqueue_push(&q, ITEM(1));
    coir_runqueue_push(&q, ITEM(2));
    coir_runqueue_push(&q, ITEM(3));
    coir_handover_give(&q, &box, &inbox, 1);
    saw(coir_runqueue_pop(&q));
}

/* With so few slots that growing is a matter of few instructions. */
static void fresh_small(size_t slots)
{
    memset(&q, 0, sizeof q);
    q.slots = calloc(slots, sizeof *q.slots);
    q.mask = slots - 1;
}

/* Every item up to `items` exactly once, whenever the handler comes. */
static void step_through(void (*scenario)(void), int items, size_t slots)
{
    struct sigaction action = { .sa_handler = on_trap };

    sigaction(SIGTRAP, &action, NULL);
    for (when = 0;; when++) {
        coir_item left;

        fresh_small(slots);
        memset(&box, 0, sizeof box);
        memset(seen, 0, sizeof seen);
        given_count = 0;
        step = hit = 0;
        single_step(scenario);
        take_given();
        while ((left = coir_runqueue_pop(&q)) != 0)
            saw(left);
        for (unsigned i = 0; i < given_count; i++)
            saw(given[i]);
        done();
        for (int i = 1; i <= items; i++)
            cr_assert_eq(seen[i], 1, "item %d came out %d times; handler after instruction %ld",
                         i, seen[i], when);
        if (!hit)
            break;
    }
    cr_assert_gt(when, 20, "only %ld instructions were stepped", when);
}

Test(runqueue, hand_over_after_any_instruction_of_create_create_await_await)
{
    step_through(create_create_await_await, 2, 4);
}

Test(runqueue, hand_over_after_any_instruction_of_awaiting_the_older_first)
{
    step_through(create_create_await_the_older_first, 2, 4);
}

Test(runqueue, hand_over_after_any_instruction_of_push_and_pop)
{
    step_through(push_and_pop, 3, 4);
}

Test(runqueue, hand_over_after_any_instruction_of_pushing_first)
{
    step_through(push_first_and_pop, 4, 4);
}

Test(runqueue, hand_over_after_any_instruction_of_trimming_and_a_push)
{
    step_through(trim_and_push, 3, 4);
}

Test(runqueue, hand_over_after_any_instruction_of_giving_many)
{
    step_through(give_and_give, 3, 4);
}

Test(runqueue, hand_over_after_any_instruction_of_growing)
{
    step_through(grow_between, 3, 2);
}

Test(runqueue, hand_over_after_any_instruction_of_handing_over)
{
    step_through(give_and_pop, 3, 4);
}
#endif
