/*
 * curl_fetch.c - fetch many URLs at once, with libcurl.
 *
 *     curl_fetch [-t SECONDS] URL...
 *
 * A task per URL, all on one curl_bridge.  -t is a limit for each: at its
 * deadline the transfer is broken off.  A line each, in the order of the
 * arguments: status, bytes, URL; or the error and the URL.
 */
#include <coir.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "curl_bridge.h"

static struct curl_bridge bridge;
static coir_duration limit = COIR_FOREVER;

struct page {
    const char *url;
    long status;
    size_t bytes;
    int result; /* a CURLcode, or a negative error */
};

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
    struct page *page = arg;

    (void)data;
    page->bytes += size * n;
    return size * n;
}

static int fetch(void *arg)
{
    struct page *page = arg;

    CURL *easy = curl_easy_init();
    if (!easy)
        return page->result = -ENOMEM;
    curl_easy_setopt(easy, CURLOPT_URL, page->url);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, page);
    COIR_WITH_TIMEOUT(limit)
        page->result = curl_bridge_perform(&bridge, easy);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &page->status);
    curl_easy_cleanup(easy);
    return page->result > 0 ? -EIO : page->result;
}

static int report(const struct page *pages, size_t n)
{
    int failed = 0;

    for (size_t i = 0; i < n; i++) {
        const struct page *page = &pages[i];
        failed |= page->result != CURLE_OK;
        if (page->result == CURLE_OK)
            printf("%ld %zu %s\n", page->status, page->bytes, page->url);
        else
            printf("%s: %s\n", page->url,
                   page->result > 0 ? curl_easy_strerror((CURLcode)page->result)
                                    : coir_strerror(page->result));
    }
    return failed;
}

/* arg: the URLs, and NULL. */
static int fetch_all(void *arg)
{
    char **urls = arg;
    size_t n = 0;

    while (urls[n])
        n++;
    struct page *pages = calloc(n, sizeof *pages);
    coir_call *calls = calloc(n, sizeof *calls);
    int rc = pages && calls ? curl_bridge_open(&bridge) : -ENOMEM;
    if (rc == 0) {
        for (size_t i = 0; i < n; i++) {
            pages[i] = (struct page){ .url = urls[i], .result = -ENOMEM };
            calls[i] = COIR_CALL(fetch, &pages[i]);
        }
        coir_gather_all(calls, n); /* each page has its own result */
        rc = curl_bridge_close(&bridge);
        if (rc == 0)
            rc = report(pages, n);
    }
    free(pages);
    free(calls);
    return rc;
}

int main(int argc, char **argv)
{
    for (int option; (option = getopt(argc, argv, "t:")) != -1;) {
        if (option != 't')
            return 2;
        limit = COIR_SECONDS(atof(optarg));
    }
    if (optind == argc) {
        fprintf(stderr, "usage: curl_fetch [-t SECONDS] URL...\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    int rc = coir_run(fetch_all, argv + optind);
    curl_global_cleanup();
    if (rc < 0)
        fprintf(stderr, "curl_fetch: %s\n", coir_strerror(rc));
    return rc != 0;
}
