/*
 * coir_wait_fd(): readiness, for those who read and write by themselves.
 */
#include <poll.h>
#include <sys/epoll.h>

#include "io/ends.h"

RunTest(wait_fd, of_what_is_ready_says_so)
{
    int ends[2];
    make_socketpair(ends);
    cr_assert_eq(coir_wait_fd(ends[1], POLLOUT), POLLOUT);
    cr_assert_eq(write(ends[1], "x", 1), 1);
    cr_assert_eq(coir_wait_fd(ends[0], POLLIN), POLLIN);
    cr_assert_eq(coir_wait_fd(ends[0], POLLIN | POLLOUT), POLLIN | POLLOUT);
    close_ends(ends);
    return 0;
}

static int wait_for_input(void *arg)
{
    return coir_wait_fd(*(int *)arg, POLLIN);
}

RunTest(wait_fd, waits_until_there_is_input)
{
    int ends[2];
    make_pipe(ends);
    coir_task *task = coir_create_task(wait_for_input, &ends[0]);
    let_them_wait();
    cr_assert_not(coir_task_done(task));
    cr_assert_eq(write(ends[1], "x", 1), 1);
    cr_assert_eq(coir_await(task), POLLIN);
    close_ends(ends);
    return 0;
}

RunTest(wait_fd, says_that_the_other_end_is_gone)
{
    int ends[2];
    make_pipe(ends);
    cr_assert_eq(coir_close(ends[1]), 0);
    cr_assert(coir_wait_fd(ends[0], POLLIN) & POLLHUP);
    cr_assert_eq(coir_close(ends[0]), 0);
    return 0;
}

RunTest(wait_fd, of_an_epoll_descriptor_waits_for_what_is_in_it)
{
    int ends[2], set = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = { .events = EPOLLIN };
    make_pipe(ends);
    cr_assert_eq(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event), 0);
    coir_task *task = coir_create_task(wait_for_input, &set);
    let_them_wait();
    cr_assert_eq(write(ends[1], "x", 1), 1);
    cr_assert_eq(coir_await(task), POLLIN);
    cr_assert_eq(coir_close(set), 0);
    close_ends(ends);
    return 0;
}

RunTest(wait_fd, of_no_events_is_einval)
{
    cr_assert_eq(coir_wait_fd(0, 0), -EINVAL);
    return 0;
}

RunTest(wait_fd, of_what_is_not_open_is_ebadf)
{
    cr_assert_eq(coir_wait_fd(-1, POLLIN), -EBADF);
    cr_assert_eq(coir_wait_fd(1000, POLLIN), -EBADF);
    return 0;
}

RunTest(wait_fd, whose_descriptor_is_closed_meanwhile_is_ebadf)
{
    int ends[2];
    make_pipe(ends);
    coir_task *task = coir_create_task(wait_for_input, &ends[0]);
    let_them_wait();
    cr_assert_eq(coir_close(ends[0]), 0);
    cr_assert_eq(coir_await(task), -EBADF);
    cr_assert_eq(coir_close(ends[1]), 0);
    return 0;
}

RunTest(wait_fd, in_a_cancelled_task_begins_nothing)
{
    int ends[2];
    make_socketpair(ends);
    coir_cancel(coir_current_task());
    cr_assert_eq(coir_wait_fd(ends[0], POLLOUT), -ECANCELED);
    close_ends(ends);
    return 0;
}

RunTest(wait_fd, is_ended_by_a_cancel_and_by_a_deadline)
{
    int ends[2];
    make_pipe(ends);
    coir_task *task = coir_create_task(wait_for_input, &ends[0]);
    let_them_wait();
    cr_assert_eq(coir_cancel_await(task), -ECANCELED);
    cr_assert_eq(coir_wait_for(coir_create_task(wait_for_input, &ends[0]), COIR_MILLISECONDS(1)),
                 -ETIMEDOUT);
    close_ends(ends);
    return 0;
}

RunTest(wait_fd, that_returned_before_the_cancel_keeps_its_events)
{
    int ends[2];
    make_socketpair(ends);
    int rc = coir_wait_fd(ends[0], POLLOUT);
    coir_cancel(coir_current_task());
    cr_assert_eq(rc, POLLOUT);
    close_ends(ends);
    return 0;
}
