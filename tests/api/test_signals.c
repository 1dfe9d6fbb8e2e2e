/*
 * Signals: the rescue signal where nobody expects it, and a profiler's on small stacks.
 */
#include <sys/time.h>

#include "api/forked.h"

#ifndef CHECK_TSAN /* which runs handlers only where it chooses to */

static atomic_int seen;

static void count_signal(UNUSED int signal)
{
    atomic_fetch_add(&seen, 1);
}

static void install(int signal, int flags)
{
    struct sigaction action = { .sa_handler = count_signal, .sa_flags = flags };
    sigemptyset(&action.sa_mask);
    cr_assert_eq(sigaction(signal, &action, NULL), 0);
}

/* Keep the worker, so that others ask for what is queued behind: with signals. */
static void compute_for(coir_duration duration)
{
    int64_t until = coir_now() + duration;
    while (coir_now() < until)
        ;
}

enum { BEHIND = 100 };

/* Returns when every one of them has run, on whatever worker. */
static int be_asked(UNUSED void *arg)
{
    atomic_int runs = 0;
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i < BEHIND; i++)
        cr_assert_eq(coir_group_create_task(&group, count, &runs), 0);
    compute_for(COIR_MILLISECONDS(2));
    cr_assert_eq(coir_group_wait(&group), 0);
    cr_assert_eq(atomic_load(&runs), BEHIND);
    return 0;
}

/* ------------------------------------------------- the rescue signal --- */

Test(signals, the_rescue_signal_after_the_run_does_nothing)
{
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(coir_run(be_asked, NULL), 0);
        raise(SIGURG);
        kill(getpid(), SIGURG);
    }
}

static int send_to_all(UNUSED void *arg)
{
    for (int i = 0; i < 10; i++) {
        cr_assert_eq(be_asked(NULL), 0);
        kill(getpid(), SIGURG); /* the thread in coir_run() may get it */
        yield_until(&seen, i + 1);
    }
    return 0;
}

/* As one who has set F_SETOWN. */
Test(signals, that_others_send_go_to_the_programs_handler_and_ours_do_not)
{
    install(SIGURG, SA_RESTART);
    atomic_store(&seen, -1);
    raise(SIGURG);
    cr_assert_eq(atomic_load(&seen), 0);
    cr_assert_eq(coir_run(send_to_all, NULL), 0);
    cr_assert_eq(atomic_load(&seen), 10);
    kill(getpid(), SIGURG);
    cr_assert_eq(atomic_load(&seen), 11);
}

/* From another process, as fast as it can. */
static int under_fire(UNUSED void *arg)
{
    for (int i = 0; i < 10; i++)
        cr_assert_eq(be_asked(NULL), 0);
    return 0;
}

Test(signals, from_another_process_do_no_harm)
{
    pid_t parent = getpid(), shooter = fork();
    if (shooter == 0)
        while (kill(parent, SIGURG) == 0)
            usleep(20);
    cr_assert_eq(coir_run(under_fire, NULL), 0);
    kill(shooter, SIGKILL);
    cr_assert_eq(waitpid(shooter, NULL, 0), shooter);
}

/* A signal that is pending when another program is executed is that program's. */
static int exec_while_asked(void *microseconds)
{
    for (int i = 0; i < BEHIND; i++)
        coir_detach(coir_create_task(sleep_forever, NULL));
    compute_for(COIR_MICROSECONDS(*(int *)microseconds));
    execl("/bin/sh", "sh", "-c", "exit 7", NULL);
    return 1;
}

static void run_and_exec(void *microseconds)
{
    _exit(coir_run(exec_while_asked, microseconds) + 1);
}

Test(signals, exec_in_a_storm_of_them_starts_the_program)
{
    for (int i = 0; i < check_scale(20); i++) {
        int microseconds = 37 * i;
        struct outcome outcome = in_child(run_and_exec, &microseconds);
        cr_assert(WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == 7,
                  "status %#x, stderr: %s", outcome.status, outcome.err);
    }
}

/* -------------------------------------------------------- a profiler --- */

enum { ENOUGH = 40 };

static NOINLINE int use_stack(size_t bytes)
{
    volatile char *frame = __builtin_alloca(bytes);
    for (size_t i = 0; i < bytes; i += 256)
        frame[i] = 1;
    return frame[0];
}

static int count_down(void *arg)
{
    int n = *(int *)arg, less = n - 1;
    if (n == 0)
        return use_stack(COIR_STACK_MIN / 4);
    int rc = coir_await(coir_create_task(count_down, &less));
    return rc < 0 ? rc : rc + 1;
}

static int work_until_profiled(UNUSED void *arg)
{
    int depth = 20;
    while (atomic_load(&seen) < check_scale(ENOUGH)) {
        cr_assert_eq(coir_await(coir_create_task(count_down, &depth)), depth + 1);
        cr_assert_eq(be_asked(NULL), 0);
        cr_assert_eq(coir_sleep(COIR_MICROSECONDS(50)), 0);
    }
    return 0;
}

static int work_in_many(UNUSED void *arg)
{
    coir_call calls[8];
    for (size_t i = 0; i < LENGTH(calls); i++)
        calls[i] = COIR_CALL(work_until_profiled, NULL);
    return coir_gather_array(calls, LENGTH(calls));
}

static void run_profiled(int flags)
{
    struct itimerval often = { { 0, 1000 }, { 0, 1000 } }, never = { { 0, 0 }, { 0, 0 } };
    coir_options options = { .stack_bytes = COIR_STACK_MIN };
    atomic_store(&seen, 0);
    install(SIGPROF, SA_RESTART | flags);
    cr_assert_eq(setitimer(ITIMER_PROF, &often, NULL), 0);
    cr_assert_eq(coir_run_with(&options, work_in_many, NULL), 0);
    cr_assert_eq(setitimer(ITIMER_PROF, &never, NULL), 0);
    signal(SIGPROF, SIG_IGN);
}

Test(signals, of_a_profiler_find_room_on_small_stacks)
{
    run_profiled(0);
}

Test(signals, of_a_profiler_and_ours_share_the_alternate_stack)
{
    run_profiled((int)SA_ONSTACK);
}

#endif
