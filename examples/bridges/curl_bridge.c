/*
 * curl_bridge.c - see curl_bridge.h.
 */
#include "curl_bridge.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    EVENTS_MOST = 64,
    STACK_BYTES = 256 * 1024, /* curl, and what it calls, is not sparing of it */
};

/* Lives in the frame of the task that waits for it. */
struct transfer {
    struct curl_bridge *bridge;
    CURL *easy;
    struct errand start, withdraw;
    coir_future ended, withdrawn;
    int result; /* once `ended` is set */
    struct transfer *next, *prev;
};

/* What curl calls, while the driver is in one of curl's functions. */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
    struct curl_bridge *bridge = arg;
    struct epoll_event event = { .data.fd = fd };

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(bridge->set, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    event.events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
    curl_multi_assign(bridge->multi, fd, bridge); /* known from now on */
    return epoll_ctl(bridge->set, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
}

static int on_timer(CURLM *multi, long ms, void *arg)
{
    struct curl_bridge *bridge = arg;

    (void)multi;
    bridge->deadline = ms < 0 ? COIR_FOREVER : coir_now() + COIR_MILLISECONDS(ms);
    return 0;
}

/* Transfers: errands of their tasks, and their ends. */

static void forget(struct transfer *transfer)
{
    struct curl_bridge *bridge = transfer->bridge;

    curl_multi_remove_handle(bridge->multi, transfer->easy);
    if (transfer->next)
        transfer->next->prev = transfer->prev;
    if (transfer->prev)
        transfer->prev->next = transfer->next;
    else
        bridge->transfers = transfer->next;
}

static void end(struct transfer *transfer, int result)
{
    forget(transfer);
    transfer->result = result;
    coir_future_set(&transfer->ended, NULL); /* its task, and its frame, may be gone now */
}

static void start(void *arg)
{
    struct transfer *transfer = arg;
    struct curl_bridge *bridge = transfer->bridge;

    transfer->prev = NULL;
    transfer->next = bridge->transfers;
    if (transfer->next)
        transfer->next->prev = transfer;
    bridge->transfers = transfer;
    if (curl_multi_add_handle(bridge->multi, transfer->easy) != CURLM_OK)
        end(transfer, CURLE_FAILED_INIT);
}

static void withdraw(void *arg)
{
    struct transfer *transfer = arg;

    if (!coir_future_done(&transfer->ended))
        forget(transfer);
    coir_future_set(&transfer->withdrawn, NULL);
}

static void end_those_done(struct curl_bridge *bridge)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(bridge->multi, &left))) {
        struct transfer *transfer;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
        end(transfer, (int)message->data.result);
    }
}

/* The driver. */

static int wait_for_events(struct curl_bridge *bridge)
{
    coir_timeout limit;

    coir_timeout_begin_at(&limit, bridge->deadline);
    int rc = coir_wait_fd(bridge->set, POLLIN);
    return coir_timeout_end(&limit) ? 0 : rc;
}

static void act(struct curl_bridge *bridge, const struct epoll_event *event)
{
    int bits = 0, running;

    if (event->data.fd == bridge->mailbox.fd)
        return; /* looked at in any case */
    if (event->events & EPOLLIN)
        bits |= CURL_CSELECT_IN;
    if (event->events & EPOLLOUT)
        bits |= CURL_CSELECT_OUT;
    if (event->events & (EPOLLERR | EPOLLHUP))
        bits |= CURL_CSELECT_ERR;
    curl_multi_socket_action(bridge->multi, event->data.fd, bits, &running);
}

static void act_on_all(struct curl_bridge *bridge)
{
    struct epoll_event events[EVENTS_MOST];
    int running, n = epoll_wait(bridge->set, events, EVENTS_MOST, 0);

    for (int i = 0; i < n; i++)
        act(bridge, &events[i]);
    if (coir_now() >= bridge->deadline) {
        bridge->deadline = COIR_FOREVER; /* unless curl sets another one */
        curl_multi_socket_action(bridge->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
}

static int drive(void *arg)
{
    struct curl_bridge *bridge = arg;
    int rc;

    while ((rc = wait_for_events(bridge)) >= 0) {
        act_on_all(bridge);
        mailbox_run(&bridge->mailbox);
        end_those_done(bridge);
    }
    mailbox_close(&bridge->mailbox, -EPIPE);
    while (bridge->transfers)
        end(bridge->transfers, -EPIPE);
    curl_multi_cleanup(bridge->multi);
    return rc;
}

/* What tasks call. */

/* Have the driver forget a transfer.  To wait for that takes a shield: the task
   has been told to stop. */
static void take_back(struct transfer *transfer)
{
    coir_shield shield;

    coir_future_init(&transfer->withdrawn);
    transfer->withdraw = (struct errand){ .run = withdraw, .arg = transfer };
    coir_shield_begin(&shield);
    if (mailbox_post(&transfer->bridge->mailbox, &transfer->withdraw) == 0)
        coir_future_await(&transfer->withdrawn, NULL);
    else
        coir_future_await(&transfer->ended, NULL); /* the driver ends them all */
    coir_shield_end(&shield);
    coir_future_destroy(&transfer->withdrawn);
}

int curl_bridge_perform(struct curl_bridge *bridge, CURL *easy)
{
    struct transfer transfer = { .bridge = bridge, .easy = easy };
    int rc = coir_check();

    if (rc < 0)
        return rc;
    transfer.start = (struct errand){ .run = start, .arg = &transfer };
    coir_future_init(&transfer.ended);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, &transfer);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);

    rc = mailbox_post(&bridge->mailbox, &transfer.start);
    if (rc == 0) {
        rc = coir_future_await(&transfer.ended, NULL);
        if (rc < 0)
            take_back(&transfer);
        if (coir_future_done(&transfer.ended))
            rc = transfer.result; /* wins, if it came in time */
    }
    coir_future_destroy(&transfer.ended);
    return rc;
}

static int add_mailbox(struct curl_bridge *bridge)
{
    struct epoll_event event = { .events = EPOLLIN, .data.fd = bridge->mailbox.fd };

    return epoll_ctl(bridge->set, EPOLL_CTL_ADD, bridge->mailbox.fd, &event) < 0 ? -errno : 0;
}

static int start_driver(struct curl_bridge *bridge)
{
    coir_task_options options = { .name = "curl", .stack_bytes = STACK_BYTES };

    bridge->multi = curl_multi_init();
    if (!bridge->multi)
        return -ENOMEM;
    curl_multi_setopt(bridge->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(bridge->multi, CURLMOPT_SOCKETDATA, bridge);
    curl_multi_setopt(bridge->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(bridge->multi, CURLMOPT_TIMERDATA, bridge);
    bridge->driver = coir_create_task_with(&options, drive, bridge);
    if (!bridge->driver)
        curl_multi_cleanup(bridge->multi);
    return bridge->driver ? 0 : -ENOMEM;
}

int curl_bridge_open(struct curl_bridge *bridge)
{
    *bridge = (struct curl_bridge){ .deadline = COIR_FOREVER };
    bridge->set = epoll_create1(EPOLL_CLOEXEC);
    if (bridge->set < 0)
        return -errno;
    int rc = mailbox_open(&bridge->mailbox);
    if (rc == 0) {
        rc = add_mailbox(bridge);
        if (rc == 0)
            rc = start_driver(bridge);
        if (rc < 0)
            mailbox_destroy(&bridge->mailbox);
    }
    if (rc < 0)
        close(bridge->set);
    return rc;
}

int curl_bridge_close(struct curl_bridge *bridge)
{
    int rc = coir_cancel_await(bridge->driver);

    mailbox_destroy(&bridge->mailbox);
    coir_close(bridge->set);
    return rc == -ECANCELED ? 0 : rc;
}
