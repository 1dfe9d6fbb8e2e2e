#define _GNU_SOURCE
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static _Noreturn void usage(const char *program)
{
    fprintf(stderr, "usage: %s [NAME] [-w WORKERS] [-n SIZE]\n", program);
    exit(2);
}

void bench_parse(struct bench_args *args, int argc, char **argv)
{
    int option;

    while ((option = getopt(argc, argv, "w:n:")) != -1) {
        if (option == 'w')
            args->workers = atoi(optarg);
        else if (option == 'n')
            args->n = atol(optarg);
        else
            usage(argv[0]);
    }
    if (optind < argc)
        args->name = argv[optind++];
    if (optind < argc || args->workers < 1 || args->n < 1)
        usage(argv[0]);
    unsetenv("COIR_WORKERS");
}

int64_t bench_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void bench_spin_for(int64_t duration)
{
    int64_t until = bench_now() + duration;

    while (bench_now() < until)
        ;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

double bench_ranked_us(int64_t *times, long n, long rank)
{
    if (n == 0)
        return 0;
    qsort(times, (size_t)n, sizeof *times, by_value);
    return (double)times[rank] / 1000;
}

/* A figure in kilobytes from /proc/self/status.  Not getrusage(): its ru_maxrss
   still holds the peak of the program that called exec. */
static int64_t status_bytes(const char *field)
{
    char line[256];
    long long kilobytes = -1;
    size_t length = strlen(field);
    FILE *status = fopen("/proc/self/status", "r");

    if (!status)
        return -1;
    while (kilobytes < 0 && fgets(line, sizeof line, status))
        if (strncmp(line, field, length) == 0)
            kilobytes = atoll(line + length);
    fclose(status);
    return kilobytes < 0 ? -1 : kilobytes * 1024;
}

int64_t bench_memory_now(void)
{
    return status_bytes("VmRSS:");
}

int64_t bench_memory_peak(void)
{
    return status_bytes("VmHWM:");
}

int64_t bench_memory_page_tables(void)
{
    return status_bytes("VmPTE:");
}

int bench_print(const struct bench_result *result)
{
    printf("{\"bench\":\"%s\",\"peer\":\"%s\",\"workers\":%d,\"unit\":\"%s\","
           "\"value\":%.4g,\"n\":%.0f,\"ok\":%s",
           result->bench, result->peer, result->workers, result->unit, result->value,
           result->n, result->ok ? "true" : "false");
    for (int i = 0; i < BENCH_EXTRAS && result->extra[i].name; i++)
        printf(",\"%s\":%.6g", result->extra[i].name, result->extra[i].value);
    printf("}\n");
    fflush(stdout);
    return result->ok ? 0 : 1;
}

int64_t bench_fibonacci(int n)
{
    int64_t a = 0, b = 1;

    while (n-- > 0) {
        int64_t sum = a + b;
        a = b;
        b = sum;
    }
    return a;
}

double bench_fib_tasks(int n)
{
    return (double)bench_fibonacci(n + 1) - 1;
}

double bench_skynet_tasks(int64_t leaves)
{
    int64_t tasks = 0;

    for (; leaves > 1; leaves /= BENCH_SKYNET_FANOUT)
        tasks += leaves;
    return (double)tasks;
}

int64_t bench_skynet_sum(int64_t leaves)
{
    return leaves * (leaves - 1) / 2;
}
