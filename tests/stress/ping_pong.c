/*
 * Pairs of tasks that pass a number back and forth over pipes and socket
 * pairs, each adding one to it.
 */
#include <sys/socket.h>

#include "stress/stress.h"

enum { PAIRS = 64, PASSES = 2000 / COIR_TEST_SCALE };

struct player {
    int in, out;
    int first;
    uint64_t last; /* out: the number seen last */
};

static int play(void *arg)
{
    struct player *player = arg;
    uint64_t number = 0;
    if (player->first)
        must(coir_write_all(player->out, &number, sizeof number) == sizeof number);
    for (int i = 0; i < PASSES; i++) {
        must(coir_read_exact(player->in, &number, sizeof number, NULL) == 0);
        must(number == (uint64_t)(2 * i + player->first));
        number++;
        if (i < PASSES - 1 || !player->first)
            must(coir_write_all(player->out, &number, sizeof number) == sizeof number);
    }
    player->last = number;
    return 0;
}

struct table {
    int there[2], back[2];
    struct player players[2];
};

static void connect_by_pipes(struct table *table)
{
    must(pipe(table->there) == 0 && pipe(table->back) == 0);
    table->players[0] = (struct player){ .in = table->back[0], .out = table->there[1], .first = 1 };
    table->players[1] = (struct player){ .in = table->there[0], .out = table->back[1] };
}

static void connect_by_sockets(struct table *table)
{
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, table->there) == 0);
    table->back[0] = table->back[1] = -1;
    table->players[0] = (struct player){ .in = table->there[0], .out = table->there[0],
                                         .first = 1 };
    table->players[1] = (struct player){ .in = table->there[1], .out = table->there[1] };
}

static void take_down(const struct table *table)
{
    for (int i = 0; i < 2; i++) {
        must(coir_close(table->there[i]) == 0);
        if (table->back[i] >= 0)
            must(coir_close(table->back[i]) == 0);
    }
}

static int play_all(void *arg)
{
    static struct table tables[PAIRS];
    uint64_t random = *(uint64_t *)arg;
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i < PAIRS; i++) {
        (pick(&random, 2) ? connect_by_pipes : connect_by_sockets)(&tables[i]);
        for (int k = 0; k < 2; k++) {
            coir_task_options options = { .pinned = pick(&random, 8) == 0 };
            must(coir_group_create_task_with(&group, &options, play, &tables[i].players[k]) == 0);
        }
    }
    must(coir_group_wait(&group) == 0);
    for (int i = 0; i < PAIRS; i++) {
        must(tables[i].players[0].last == 2 * PASSES);
        take_down(&tables[i]);
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct stress stress;
    stress_begin(&stress, argc, argv);
    int descriptors = count_entries("/proc/self/fd");
    while (stress_goes_on(&stress)) {
        uint64_t random = next_random(&stress.random);
        must(run_round(&stress, play_all, &random) == 0);
        check_laws();
        must(count_entries("/proc/self/fd") == descriptors);
    }
    return stress_end(&stress);
}
