/*
 * curl_bridge.h - libcurl's transfers, awaited by tasks.
 *
 *     struct curl_bridge bridge;
 *     curl_bridge_open(&bridge);
 *     ...
 *     CURL *easy = curl_easy_init();                       in any task:
 *     curl_easy_setopt(easy, CURLOPT_URL, url);
 *     int rc = curl_bridge_perform(&bridge, easy);         as curl_easy_perform()
 *     curl_easy_cleanup(easy);
 *     ...
 *     curl_bridge_close(&bridge);
 *
 * One task drives a multi handle for all of them.  curl's socket callback keeps
 * an epoll set, its timer callback a deadline; the driver waits for the two by
 * coir_wait_fd() in a timeout scope, and sets the future of each transfer that
 * has ended.
 */
#ifndef CURL_BRIDGE_H
#define CURL_BRIDGE_H

#include <coir.h>
#include <curl/curl.h>

#include "mailbox.h"

struct transfer;

struct curl_bridge {
    CURLM *multi; /* the driver's, as is all but the mailbox */
    int set;      /* epoll: curl's sockets, and the mailbox */
    int64_t deadline;
    struct transfer *transfers; /* under way */
    struct mailbox mailbox;
    coir_task *driver;
};

/*
 * Start the driver.  The caller has called curl_global_init() and made the program
 * ignore SIGPIPE.
 *
 * Returns  0 or -errno: then there is nothing to close.
 */
int curl_bridge_open(struct curl_bridge *bridge);

/*
 * Make a transfer, and wait for its end.
 *
 * easy      Back in the caller's hands when this returns, whatever it returns.  Its
 *           CURLOPT_PRIVATE is the bridge's.  Its callbacks are called on the driver's
 *           task, and must not suspend.
 *
 * Returns   a CURLcode: CURLE_OK, which is 0, or the transfer's error, > 0; -ECANCELED
 *           or -ETIMEDOUT if the caller was told to stop: the transfer is broken off;
 *           -EPIPE if the bridge is closed.
 */
int curl_bridge_perform(struct curl_bridge *bridge, CURL *easy);

/*
 * Break off what is under way, with -EPIPE, and end the driver.  What waits in
 * curl_bridge_perform() must have returned before the bridge's memory goes.
 *
 * Returns   0, or what ended the driver before.
 */
int curl_bridge_close(struct curl_bridge *bridge);

#endif
