/*
 * check_plain.h - the part of Criterion's interface that the plain runner has.
 */
#ifndef TESTS_SUPPORT_CHECK_PLAIN_H
#define TESTS_SUPPORT_CHECK_PLAIN_H

#include <stdio.h>
#include <string.h>

struct check_test {
    const char *suite;
    const char *name;
    void (*body)(void);
    struct check_options options;
    struct check_test *next;
};

void check_register(struct check_test *test);

/* Print where and what; fatal ones end the test's process. */
void check_failed(bool fatal, const char *file, int line, const char *claim, const char *format,
                  ...) __attribute__((format(printf, 5, 6)));
_Noreturn void check_skip(void);

#define CHECK_TEST_(suite_, name_, ...)                                                  \
    static void suite_##_##name_##_body_(void);                                          \
    static struct check_test suite_##_##name_##_test_ = {                                \
        .suite = #suite_,                                                                \
        .name = #name_,                                                                  \
        .body = suite_##_##name_##_body_,                                                \
        .options = { __VA_ARGS__ },                                                      \
    };                                                                                   \
    __attribute__((constructor)) static void suite_##_##name_##_register_(void)          \
    {                                                                                    \
        check_register(&suite_##_##name_##_test_);                                       \
    }                                                                                    \
    static void suite_##_##name_##_body_(void)

/* The trailing " " lets the message be left out. */
#define CHECK_THAT_(fatal, ok, claim, ...) \
    ((ok) ? (void)0 : check_failed((fatal), __FILE__, __LINE__, (claim), " " __VA_ARGS__))

#define cr_assert(ok, ...) CHECK_THAT_(true, ok, #ok, __VA_ARGS__)
#define cr_assert_not(ok, ...) CHECK_THAT_(true, !(ok), "not " #ok, __VA_ARGS__)
#define cr_assert_eq(a, b, ...) CHECK_THAT_(true, (a) == (b), #a " == " #b, __VA_ARGS__)
#define cr_assert_neq(a, b, ...) CHECK_THAT_(true, (a) != (b), #a " != " #b, __VA_ARGS__)
#define cr_assert_lt(a, b, ...) CHECK_THAT_(true, (a) < (b), #a " < " #b, __VA_ARGS__)
#define cr_assert_leq(a, b, ...) CHECK_THAT_(true, (a) <= (b), #a " <= " #b, __VA_ARGS__)
#define cr_assert_gt(a, b, ...) CHECK_THAT_(true, (a) > (b), #a " > " #b, __VA_ARGS__)
#define cr_assert_geq(a, b, ...) CHECK_THAT_(true, (a) >= (b), #a " >= " #b, __VA_ARGS__)
#define cr_assert_null(a, ...) CHECK_THAT_(true, (a) == NULL, #a " is null", __VA_ARGS__)
#define cr_assert_not_null(a, ...) CHECK_THAT_(true, (a) != NULL, #a " is not null", __VA_ARGS__)
#define cr_assert_str_eq(a, b, ...) \
    CHECK_THAT_(true, strcmp((a), (b)) == 0, #a " is the string " #b, __VA_ARGS__)
#define cr_assert_str_neq(a, b, ...) \
    CHECK_THAT_(true, strcmp((a), (b)) != 0, #a " is not the string " #b, __VA_ARGS__)
#define cr_assert_arr_eq(a, b, size, ...) \
    CHECK_THAT_(true, memcmp((a), (b), (size)) == 0, #a " is the array " #b, __VA_ARGS__)
#define cr_assert_fail(...) CHECK_THAT_(true, false, "failed", __VA_ARGS__)
#define cr_fail cr_assert_fail

#define cr_expect(ok, ...) CHECK_THAT_(false, ok, #ok, __VA_ARGS__)
#define cr_expect_eq(a, b, ...) CHECK_THAT_(false, (a) == (b), #a " == " #b, __VA_ARGS__)
#define cr_expect_neq(a, b, ...) CHECK_THAT_(false, (a) != (b), #a " != " #b, __VA_ARGS__)

#define cr_skip_test(...) (printf("skipped: " __VA_ARGS__), putchar('\n'), check_skip())
#define cr_skip cr_skip_test

#define cr_log_info(...) (fprintf(stderr, __VA_ARGS__), (void)fputc('\n', stderr))
#define cr_log_warn cr_log_info
#define cr_log_error cr_log_info

#endif
