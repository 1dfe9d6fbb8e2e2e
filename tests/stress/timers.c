/*
 * A storm of timers: sleeps, deadlines that pass and deadlines that do not,
 * rescheduled ones, cancelled ones.  None fires early, each fires once.
 */
#include "stress/stress.h"

enum { TASKS = 500 / COIR_TEST_SCALE, STEPS = 40 };

struct sleeper {
    uint64_t random;
    int steps;
};

static coir_duration short_time(struct sleeper *sleeper)
{
    return COIR_MICROSECONDS(pick(&sleeper->random, 300));
}

static int sleep_whole(struct sleeper *sleeper)
{
    int64_t until = coir_now() + short_time(sleeper);
    int rc = coir_sleep_until(until);
    must(rc == 0 ? coir_now() >= until : rc == -ECANCELED);
    return rc;
}

static int sleep_in_nested_scopes(struct sleeper *sleeper)
{
    coir_timeout outer, inner;
    int64_t start = coir_now();
    int64_t first = start + short_time(sleeper), second = start + short_time(sleeper);
    coir_timeout_begin_at(&outer, first);
    coir_timeout_begin_at(&inner, second);
    int rc = coir_sleep(COIR_FOREVER);
    must(rc == -ETIMEDOUT || rc == -ECANCELED);
    must(rc == -ECANCELED || coir_now() >= (first < second ? first : second));
    int inner_late = coir_timeout_end(&inner), outer_late = coir_timeout_end(&outer);
    must((inner_late || outer_late) == (rc == -ETIMEDOUT));
    return rc == -ETIMEDOUT ? 0 : rc;
}

static int sleep_with_a_moving_deadline(struct sleeper *sleeper)
{
    coir_timeout limit;
    coir_timeout_begin(&limit, COIR_SECONDS(1000));
    for (unsigned i = pick(&sleeper->random, 5); i > 0; i--)
        coir_timeout_reschedule(&limit, coir_now() + COIR_SECONDS(1000));
    int64_t last = coir_now() + short_time(sleeper);
    coir_timeout_reschedule(&limit, last);
    int rc = coir_sleep(COIR_FOREVER);
    int late = coir_timeout_end(&limit);
    must(rc == -ECANCELED || (rc == -ETIMEDOUT && coir_now() >= last));
    must(late == (rc == -ETIMEDOUT));
    return late ? 0 : rc;
}

static int begin_and_end_scopes(struct sleeper *sleeper)
{
    int rc = 0;
    for (unsigned i = 0; i < 20 && rc == 0; i++) {
        coir_timeout limit;
        coir_timeout_begin(&limit, COIR_SECONDS(1 + pick(&sleeper->random, 100)));
        rc = i % 8 == 7 ? coir_yield() : coir_check();
        must(coir_timeout_end(&limit) == 0);
    }
    return rc;
}

static int sleep_forever(UNUSED void *arg)
{
    return coir_sleep(COIR_FOREVER);
}

static int wait_for_a_sleeper(struct sleeper *sleeper)
{
    int rc = coir_wait_for(coir_create_task(sleep_forever, NULL), short_time(sleeper));
    must(rc == -ETIMEDOUT || rc == -ECANCELED);
    return rc == -ETIMEDOUT ? 0 : rc;
}

static int take_a_step(struct sleeper *sleeper)
{
    switch (pick(&sleeper->random, 5)) {
    case 0:
        return sleep_whole(sleeper);
    case 1:
        return sleep_in_nested_scopes(sleeper);
    case 2:
        return sleep_with_a_moving_deadline(sleeper);
    case 3:
        return begin_and_end_scopes(sleeper);
    default:
        return wait_for_a_sleeper(sleeper);
    }
}

static int take_steps(void *arg)
{
    struct sleeper *sleeper = arg;
    int rc = 0;
    while (rc == 0 && sleeper->steps < STEPS) {
        rc = take_a_step(sleeper);
        sleeper->steps++;
    }
    must(rc == 0 || rc == -ECANCELED);
    return rc;
}

static int storm(void *arg)
{
    static struct sleeper sleepers[TASKS];
    coir_task *tasks[TASKS];
    uint64_t random = *(uint64_t *)arg;
    for (int i = 0; i < TASKS; i++) {
        sleepers[i] = (struct sleeper){ .random = next_random(&random) };
        tasks[i] = coir_create_task(take_steps, &sleepers[i]);
    }
    for (int i = 0; i < TASKS; i++) {
        bool cancelled = pick(&random, 4) == 0;
        int rc = cancelled ? coir_cancel_await(tasks[i]) : coir_await(tasks[i]);
        must(rc == 0 || (cancelled && rc == -ECANCELED));
        must(rc != 0 || sleepers[i].steps == STEPS);
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct stress stress;
    stress_begin(&stress, argc, argv);
    while (stress_goes_on(&stress)) {
        uint64_t random = next_random(&stress.random);
        must(run_round(&stress, storm, &random) == 0);
        check_laws();
    }
    return stress_end(&stress);
}
