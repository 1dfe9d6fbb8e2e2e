/*
 * check.h - what every test file includes instead of <criterion/criterion.h>.
 *
 *     Test(group, first_failure_cancels_the_rest) { ... cr_assert(...); }
 *     Test(await, of_a_task_given_up_aborts, .signal = SIGABRT) { ... }
 *
 * It is Criterion, except under ThreadSanitizer, where Criterion cannot start
 * (its sandbox wants a fixed arena: Snaipe/Criterion#274), and where Criterion
 * is not installed.  There the same Test() and cr_assert() run on the plain
 * runner in check_plain.c: one forked process per test.
 *
 * Either way check_run() surrounds the body of each test.  It ends a test that
 * takes longer than .timeout seconds (default 60), after coir_dump(); and when
 * the body has returned it fails the test if a descriptor or thread is left
 * over, or if coir's counters do not add up.  See ends.c.
 *
 * What a test with .signal writes to stderr is thrown away, unless
 * CHECK_VERBOSE is set in the environment.
 */
#ifndef TESTS_SUPPORT_CHECK_H
#define TESTS_SUPPORT_CHECK_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#if defined(__SANITIZE_THREAD__)
#define CHECK_PLAIN 1
#define CHECK_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CHECK_PLAIN 1
#define CHECK_TSAN 1
#endif
#endif

#if defined(__SANITIZE_ADDRESS__)
#define CHECK_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CHECK_ASAN 1
#endif
#endif

/* How many times slower this build is than a release: 1, or more under
   sanitizers.  Loops shrink by it and timeouts grow. */
#ifndef COIR_TEST_SCALE
#define COIR_TEST_SCALE 1
#endif

/* So many iterations of something as this build has the time for. */
#define check_scale(n) ((n) / COIR_TEST_SCALE > 0 ? (n) / COIR_TEST_SCALE : 1)

/* What may follow the name of a test.  The field names are Criterion's. */
struct check_options {
    const char *description;
    void (*init)(void);
    void (*fini)(void);
    double timeout; /* seconds, of a release build */
    int signal;     /* the test must die of it */
    int exit_code;  /* the test must exit with it */
    bool disabled;
    int sentinel_;
};

void check_run(const char *name, const struct check_options *options, void (*body)(void));

/* Let -Wextra accept that an option is given twice: the last one holds. */
#define CHECK_OVERRIDE_BEGIN_                \
    _Pragma("GCC diagnostic push")           \
    _Pragma("GCC diagnostic ignored \"-Woverride-init\"")
#define CHECK_OVERRIDE_END_ _Pragma("GCC diagnostic pop")

#define Test(...) CHECK_TEST_(__VA_ARGS__, .sentinel_ = 0)

#ifdef CHECK_PLAIN
#include "support/check_plain.h"
#else
#include <criterion/criterion.h>
#include <criterion/logging.h>

#undef Test
#define Test(...) CHECK_TEST_(__VA_ARGS__, .sentinel_ = 0)

/* .timeout is check_run()'s business, which can say what hangs. */
#define CHECK_TEST_(suite, name, ...)                                                \
    static void suite##_##name##_body_(void);                                        \
    CHECK_OVERRIDE_BEGIN_                                                            \
    CR_TEST_BASE(suite, name, __VA_ARGS__, .timeout = 0)                             \
    {                                                                                \
        check_run(#suite "/" #name, &(struct check_options){ __VA_ARGS__ },          \
                  suite##_##name##_body_);                                           \
    }                                                                                \
    CHECK_OVERRIDE_END_                                                              \
    static void suite##_##name##_body_(void)
#endif

#endif
