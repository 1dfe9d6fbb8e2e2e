/*
 * test_handover.c - the outbox: between threads every item goes to one taker.
 */
#include "support/check.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/handover.h"

#define ITEM(n) ((coir_item)(n) * 64)

static struct coir_runqueue q;
static struct coir_outbox box;
static struct coir_inbox inbox;

static void fill(size_t n)
{
    memset(&q, 0, sizeof q);
    cr_assert_eq(coir_runqueue_init(&q), 0);
    for (size_t i = 1; i <= n; i++) {
        if (coir_runqueue_full(&q))
            cr_assert(coir_runqueue_grow(&q));
        coir_runqueue_push(&q, ITEM(i));
    }
}

Test(handover, gives_the_oldest_and_no_more_than_asked)
{
    coir_item items[COIR_OUTBOX_MAX];

    fill(5);
    cr_assert_eq(coir_handover_give(&q, &box, &inbox, 2), 2);
    cr_assert_eq(coir_outbox_take(&box, items), 2);
    cr_assert_eq(items[0], ITEM(1));
    cr_assert_eq(items[1], ITEM(2));
    cr_assert_eq(coir_runqueue_pop(&q), ITEM(3));
    free((void *)q.slots);
}

Test(handover, is_bounded_by_the_outbox)
{
    coir_item items[COIR_OUTBOX_MAX];

    fill(1000);
    cr_assert_eq(coir_handover_give(&q, &box, &inbox, 1000), COIR_OUTBOX_MAX);
    cr_assert_eq(coir_outbox_take(&box, items), COIR_OUTBOX_MAX);
    cr_assert_eq(coir_runqueue_length_hint(&q), 1000 - COIR_OUTBOX_MAX);
    free((void *)q.slots);
}

Test(handover, gives_nothing_until_the_last_batch_has_been_taken)
{
    coir_item items[COIR_OUTBOX_MAX];

    fill(4);
    cr_assert_eq(coir_handover_give(&q, &box, &inbox, 1), 1);
    cr_assert_eq(coir_handover_give(&q, &box, &inbox, 1), 0);
    cr_assert_eq(coir_outbox_take(&box, items), 1);
    cr_assert_eq(coir_outbox_take(&box, items), 0);
    cr_assert_eq(coir_handover_give(&q, &box, &inbox, 1), 1);
    free((void *)q.slots);
}

Test(handover, stops_at_a_pinned_item_unless_it_can_be_put_aside)
{
    static struct coir_task task;
    coir_item items[COIR_OUTBOX_MAX], pinned = (coir_item)&task | COIR_ITEM_PINNED;

    fill(1);
    if (coir_runqueue_length_hint(&q) + 2 > (int64_t)q.mask + 1)
        cr_assert(coir_runqueue_grow(&q));
    coir_runqueue_push(&q, pinned);
    coir_runqueue_push(&q, ITEM(2));
    cr_assert_eq(coir_handover_give(&q, &box, NULL, 2), 1);
    cr_assert_eq(coir_outbox_take(&box, items), 1);
    cr_assert_eq(items[0], ITEM(1));
    cr_assert_eq(coir_handover_give(&q, &box, NULL, 2), 0);

    cr_assert_eq(coir_handover_give(&q, &box, &inbox, 2), 1);
    cr_assert_eq(coir_outbox_take(&box, items), 1);
    cr_assert_eq(items[0], ITEM(2));
    cr_assert_eq(coir_inbox_drain(&inbox), pinned);
    cr_assert_eq(coir_runqueue_pop(&q), 0);
    free((void *)q.slots);
}

Test(handover, an_empty_give_leaves_the_outbox_empty)
{
    fill(0);
    cr_assert_eq(coir_handover_give(&q, &box, &inbox, 5), 0);
    cr_assert_not(coir_outbox_full(&box));
    coir_runqueue_push(&q, ITEM(1));
    cr_assert_eq(coir_handover_give(&q, &box, &inbox, 5), 1);
    free((void *)q.slots);
}

enum { TAKERS = 3 };

static unsigned char *taken_by[TAKERS];
static _Atomic(int) over;

static void *taker(void *arg)
{
    unsigned char *seen = arg;
    coir_item items[COIR_OUTBOX_MAX];
    uint32_t n = 0;

    while (n || !over) {
        n = coir_outbox_take(&box, items);
        for (uint32_t i = 0; i < n; i++)
            seen[items[i] / 64]++;
    }
    return NULL;
}

Test(handover, each_of_many_items_goes_to_exactly_one_taker)
{
    const size_t count = (size_t)check_scale(400000);
    pthread_t threads[TAKERS];
    unsigned char *own = calloc(count + 1, 1);
    coir_item item;

    fill(0);
    for (int i = 0; i < TAKERS; i++) {
        taken_by[i] = calloc(count + 1, 1);
        pthread_create(&threads[i], NULL, taker, taken_by[i]);
    }
    for (size_t i = 1; i <= count; i++) {
        if (coir_runqueue_full(&q))
            coir_runqueue_grow(&q);
        coir_runqueue_push(&q, ITEM(i));
        if (i % 3 == 0)
            coir_handover_give(&q, &box, &inbox, 1 + (int64_t)(i % 7));
        if (i % 4 == 0 && (item = coir_runqueue_pop(&q)) != 0)
            own[item / 64]++;
    }
    while ((item = coir_runqueue_pop(&q)) != 0)
        own[item / 64]++;
    while (coir_outbox_full(&box))
        ;
    over = 1;
    for (int i = 0; i < TAKERS; i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 1; i <= count; i++)
        cr_assert_eq(own[i] + taken_by[0][i] + taken_by[1][i] + taken_by[2][i], 1,
                     "item %zu", i);
    for (int i = 0; i < TAKERS; i++)
        free(taken_by[i]);
    free(own);
    free((void *)q.slots);
}
