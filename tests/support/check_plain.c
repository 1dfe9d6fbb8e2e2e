/*
 * check_plain.c - a runner for tests where Criterion cannot run.
 *
 *     test_group [--filter 'group/first_*'] [--list]
 *
 * One forked process per test, one after the other.  A test passes if its
 * process ends as its options say: by .signal, or with .exit_code, 0 if not
 * given.  ThreadSanitizer ends a process with another code when it has found
 * something.
 */
#include "support/check.h"

#ifdef CHECK_PLAIN

#include <fnmatch.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_FAILED = 113, EXIT_SKIPPED = 77 };

static struct check_test *first_test;
static struct check_test **last_test = &first_test;
static int expectations_failed;

void check_register(struct check_test *test)
{
    *last_test = test;
    last_test = &test->next;
}

void check_failed(bool fatal, const char *file, int line, const char *claim, const char *format,
                  ...)
{
    char message[512];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);

    printf("%s:%d: not so: %s%s\n", file, line, claim, message);
    fflush(stdout);
    __atomic_fetch_add(&expectations_failed, 1, __ATOMIC_RELAXED);
    if (fatal)
        _exit(EXIT_FAILED);
}

_Noreturn void check_skip(void)
{
    fflush(stdout);
    _exit(EXIT_SKIPPED);
}

static void name_of(const struct check_test *test, char *buf, size_t size)
{
    snprintf(buf, size, "%s/%s", test->suite, test->name);
}

static _Noreturn void run_in_child(const struct check_test *test)
{
    const struct check_options *options = &test->options;
    char name[256];
    name_of(test, name, sizeof name);
    if (options->init)
        options->init();
    check_run(name, options, test->body);
    if (options->fini)
        options->fini();
    exit(expectations_failed > 0 ? EXIT_FAILED : 0);
}

static bool ended_as_told(const struct check_options *options, int status)
{
    if (options->signal)
        return WIFSIGNALED(status) && WTERMSIG(status) == options->signal;
    return WIFEXITED(status) && WEXITSTATUS(status) == options->exit_code;
}

static const char *describe_end(int status, char *buf, size_t size)
{
    if (WIFSIGNALED(status))
        snprintf(buf, size, "died of %s", strsignal(WTERMSIG(status)));
    else
        snprintf(buf, size, "exited with %d", WEXITSTATUS(status));
    return buf;
}

enum result { PASSED, FAILED, SKIPPED };

static enum result run_test(const struct check_test *test)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        run_in_child(test);

    int status;
    if (child < 0 || waitpid(child, &status, 0) != child) {
        perror("check_plain: fork");
        return FAILED;
    }
    if (ended_as_told(&test->options, status))
        return PASSED;
    if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIPPED)
        return SKIPPED;

    char end[64];
    printf("FAIL %s/%s: %s\n", test->suite, test->name, describe_end(status, end, sizeof end));
    return FAILED;
}

static bool selected(const struct check_test *test, const char *pattern)
{
    char name[256];
    name_of(test, name, sizeof name);
    return !test->options.disabled && (!pattern || fnmatch(pattern, name, 0) == 0);
}

int main(int argc, char **argv)
{
    const char *pattern = NULL;
    bool list = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--filter") == 0 && i + 1 < argc)
            pattern = argv[++i];
        else if (strcmp(argv[i], "--list") == 0)
            list = true;
        else if (strncmp(argv[i], "-j", 2) != 0) /* Criterion's; here always 1 */
            return fprintf(stderr, "%s: what is %s?\n", argv[0], argv[i]), 2;
    }

    int count[3] = { 0 };
    for (const struct check_test *test = first_test; test; test = test->next) {
        if (!selected(test, pattern))
            continue;
        if (list)
            printf("%s/%s\n", test->suite, test->name);
        else
            count[run_test(test)]++;
    }
    if (!list)
        printf("%d passed, %d failed, %d skipped\n", count[PASSED], count[FAILED],
               count[SKIPPED]);
    return count[FAILED] > 0;
}

#endif
