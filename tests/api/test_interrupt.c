/*
 * SIGINT during a run, each in a process of its own that is sent the signal.
 */
#include <pthread.h>

#include "api/forked.h"

/* The process under test writes a byte when it is ready for the next signal;
   its exit status tells what became of it. */
struct interrupted {
    void (*body)(struct interrupted *);
    int ready[2]; /* a pipe from it */
    int go[2];    /* a pipe to it */
};

static void say_ready(struct interrupted *process)
{
    cr_assert_eq(write(process->ready[1], "r", 1), 1);
}

static pid_t start(struct interrupted *process)
{
    cr_assert_eq(pipe(process->ready), 0);
    cr_assert_eq(pipe(process->go), 0);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        become_plain();
        process->body(process);
        _exit(99);
    }
    close(process->ready[1]);
    close(process->go[0]);
    return child;
}

static void interrupt_when_ready(struct interrupted *process, pid_t child)
{
    char byte;
    cr_assert_eq(read(process->ready[0], &byte, 1), 1);
    cr_assert_eq(kill(child, SIGINT), 0);
}

static int finish(struct interrupted *process, pid_t child)
{
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    close(process->ready[0]);
    close(process->go[1]);
    return status;
}

static int sleep_until_interrupted(void *process)
{
    say_ready(process);
    return coir_sleep(COIR_FOREVER) == -ECANCELED ? 41 : 1;
}

static void run_and_exit(struct interrupted *process)
{
    _exit(coir_run(sleep_until_interrupted, process));
}

Test(interrupt, first_cancels_the_main_task_whose_value_is_returned)
{
    struct interrupted process = { .body = run_and_exit };
    pid_t child = start(&process);
    interrupt_when_ready(&process, child);
    int status = finish(&process, child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 41, "status %#x", status);
}

static int stay_when_interrupted(void *process)
{
    coir_shield shield;
    sleep_until_interrupted(process);
    coir_shield_begin(&shield);
    say_ready(process);
    coir_sleep(COIR_FOREVER);
    coir_shield_end(&shield);
    return 1;
}

static void run_and_stay(struct interrupted *process)
{
    _exit(coir_run(stay_when_interrupted, process));
}

Test(interrupt, second_ends_the_process)
{
    struct interrupted process = { .body = run_and_stay };
    pid_t child = start(&process);
    interrupt_when_ready(&process, child);
    interrupt_when_ready(&process, child);
    int status = finish(&process, child);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT, "status %#x", status);
}

/* Ends with 42 if it is told to go on before it is cancelled. */
static int wait_to_go_on(void *arg)
{
    struct interrupted *process = arg;
    char byte;
    say_ready(process);
    return coir_read(process->go[0], &byte, 1) == 1 ? 42 : 2;
}

static void run_ignoring(struct interrupted *process)
{
    signal(SIGINT, SIG_IGN);
    _exit(coir_run(wait_to_go_on, process));
}

Test(interrupt, that_is_ignored_stays_ignored)
{
    struct interrupted process = { .body = run_ignoring };
    pid_t child = start(&process);
    interrupt_when_ready(&process, child);
    cr_assert_eq(write(process.go[1], "g", 1), 1);
    int status = finish(&process, child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 42, "status %#x", status);
}

static volatile sig_atomic_t own_handler_ran;

static void own_handler(UNUSED int signal)
{
    own_handler_ran = 1;
}

static void run_with_own_handler(struct interrupted *process)
{
    signal(SIGINT, own_handler);
    int rc = coir_run(wait_to_go_on, process);
    _exit(own_handler_ran ? rc : 3);
}

Test(interrupt, with_a_handler_of_the_programs_own_is_left_to_it)
{
    struct interrupted process = { .body = run_with_own_handler };
    pid_t child = start(&process);
    interrupt_when_ready(&process, child);
    cr_assert_eq(write(process.go[1], "g", 1), 1);
    int status = finish(&process, child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 42, "status %#x", status);
}

static void run_then_look_at_the_handler(UNUSED struct interrupted *process)
{
    struct sigaction action;
    coir_run(return_zero, NULL);
    sigaction(SIGINT, NULL, &action);
    _exit(action.sa_handler == SIG_DFL ? 43 : 4);
}

Test(interrupt, after_a_run_has_its_default_again)
{
    struct interrupted process = { .body = run_then_look_at_the_handler };
    pid_t child = start(&process);
    int status = finish(&process, child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 43, "status %#x", status);
}

static void run_twice(struct interrupted *process)
{
    int first = coir_run(sleep_until_interrupted, process);
    int second = coir_run(sleep_until_interrupted, process);
    _exit(first == 41 ? second : 5);
}

Test(interrupt, of_a_second_run_cancels_again)
{
    struct interrupted process = { .body = run_twice };
    pid_t child = start(&process);
    interrupt_when_ready(&process, child);
    interrupt_when_ready(&process, child);
    int status = finish(&process, child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 41, "status %#x", status);
}

static int child_sleeps(void *process)
{
    return coir_await(coir_create_task(sleep_until_interrupted, process));
}

static void run_with_a_child(struct interrupted *process)
{
    _exit(coir_run(child_sleeps, process));
}

Test(interrupt, reaches_what_the_main_task_awaits)
{
    struct interrupted process = { .body = run_with_a_child };
    pid_t child = start(&process);
    interrupt_when_ready(&process, child);
    int status = finish(&process, child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 41, "status %#x", status);
}

/* ------------------------------------------------ while much goes on --- */

/* The handler works once: then the first has come. */
static void await_first(void)
{
    struct sigaction now;
    do
        sigaction(SIGINT, NULL, &now);
    while (now.sa_handler != SIG_DFL);
}

static int compute_for_ever(void *process)
{
    say_ready(process);
    await_first();
    say_ready(process);
    volatile unsigned i = 0;
    while (i < 2)
        i ^= 1;
    return 0;
}

static void run_and_compute(struct interrupted *process)
{
    _exit(coir_run(compute_for_ever, process));
}

static void expect_second_to_kill(void (*body)(struct interrupted *))
{
    struct interrupted process = { .body = body };
    pid_t child = start(&process);
    interrupt_when_ready(&process, child);
    interrupt_when_ready(&process, child);
    int status = finish(&process, child);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT, "status %#x", status);
}

Test(interrupt, second_ends_a_process_whose_main_task_computes)
{
    expect_second_to_kill(run_and_compute);
}

static int stay_on(void *process)
{
    coir_shield shield;
    coir_sleep(COIR_FOREVER);
    coir_shield_begin(&shield);
    say_ready(process);
    coir_sleep(COIR_FOREVER);
    coir_shield_end(&shield);
    return 0;
}

static int leave_one_when_interrupted(void *process)
{
    coir_detach(coir_create_task(stay_on, process));
    return sleep_until_interrupted(process);
}

static void run_and_leave_one(struct interrupted *process)
{
    _exit(coir_run(leave_one_when_interrupted, process));
}

Test(interrupt, second_ends_a_process_that_waits_for_what_is_left)
{
    expect_second_to_kill(run_and_leave_one);
}

/* The main task has returned by the time that its child is told to end. */
static int clean_up_in_spite_of_it(void *process)
{
    coir_shield shield;
    coir_sleep(COIR_FOREVER);
    coir_shield_begin(&shield);
    say_ready(process);
    await_first();
    coir_sleep(COIR_MILLISECONDS(1));
    coir_shield_end(&shield);
    return 0;
}

static int leave_clean_up(void *process)
{
    coir_detach(coir_create_task(clean_up_in_spite_of_it, process));
    return 44;
}

static void run_and_clean_up(struct interrupted *process)
{
    _exit(coir_run(leave_clean_up, process));
}

Test(interrupt, that_is_the_first_while_a_run_ends_lets_it_end)
{
    struct interrupted process = { .body = run_and_clean_up };
    pid_t child = start(&process);
    interrupt_when_ready(&process, child);
    int status = finish(&process, child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 44, "status %#x", status);
}

static int install_own_handler(UNUSED void *arg)
{
    signal(SIGINT, own_handler);
    return 0;
}

static void run_and_install(UNUSED struct interrupted *process)
{
    struct sigaction now;
    int rc = coir_run(install_own_handler, NULL);
    sigaction(SIGINT, NULL, &now);
    _exit(rc == 0 && now.sa_handler == own_handler ? 45 : 5);
}

Test(interrupt, a_handler_that_the_program_sets_during_the_run_stays)
{
    struct interrupted process = { .body = run_and_install };
    pid_t child = start(&process);
    int status = finish(&process, child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 45, "status %#x", status);
}

static int sleep_for_46(UNUSED void *arg)
{
    return coir_sleep(COIR_FOREVER) == -ECANCELED ? 46 : 6;
}

static void *run_first(void *ret_value)
{
    *(int *)ret_value = coir_run(sleep_for_46, NULL);
    return NULL;
}

struct two {
    struct interrupted *process;
    pthread_t first;
    int value; /* of the first */
};

static int run_until_first_has_ended(void *arg)
{
    struct two *two = arg;
    say_ready(two->process);
    while (pthread_tryjoin_np(two->first, NULL) != 0)
        if (coir_sleep(COIR_MILLISECONDS(1)) < 0)
            return 7;
    return two->value;
}

/* The second run begins while the first has the handler, and outlives it. */
static void run_two(struct interrupted *process)
{
    struct two two = { .process = process };
    struct sigaction now;
    pthread_create(&two.first, NULL, run_first, &two.value);
    do
        sigaction(SIGINT, NULL, &now);
    while (now.sa_handler == SIG_DFL);
    _exit(coir_run(run_until_first_has_ended, &two));
}

Test(interrupt, of_two_runs_at_once_cancels_the_first)
{
    struct interrupted process = { .body = run_two };
    pid_t child = start(&process);
    interrupt_when_ready(&process, child);
    int status = finish(&process, child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 46, "status %#x", status);
}
