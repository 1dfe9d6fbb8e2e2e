/*
 * cpus.c - see cpus.h.
 *
 * A control group limits CPU time by a quota per period; the group's parents
 * may limit it further.  Version 2 has both numbers in cpu.max, version 1 has
 * them in two files.  Inside a container the group's own path may not exist
 * below the mount; then the mount's root is the container's group.
 */
#include "cpus.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sys.h"

/* Read a small file as a string.  Returns its length or -errno. */
static ssize_t read_text(const char *path, char *buf, size_t cap)
{
    int fd = coir_sys_open(path, O_RDONLY | O_CLOEXEC, 0);
    ssize_t n;

    if (fd < 0)
        return fd;
    n = coir_sys_read(fd, buf, cap - 1);
    coir_sys_close(fd);
    buf[n > 0 ? n : 0] = '\0';
    return n;
}

static int cpus_of(long long quota, long long period)
{
    long long cpus = quota > 0 && period > 0 ? (quota + period - 1) / period : INT_MAX;

    return cpus < 1 ? 1 : cpus > INT_MAX ? INT_MAX : (int)cpus;
}

static int limit_v2(const char *group)
{
    char path[PATH_MAX], text[64];
    long long quota, period;

    snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", group);
    if (read_text(path, text, sizeof text) <= 0 ||
        sscanf(text, "%lld %lld", &quota, &period) != 2)
        return INT_MAX; /* "max 100000" */
    return cpus_of(quota, period);
}

static long long number_v1(const char *group, const char *file)
{
    char path[PATH_MAX], text[64];

    snprintf(path, sizeof path, "/sys/fs/cgroup/cpu%s/%s", group, file);
    return read_text(path, text, sizeof text) > 0 ? strtoll(text, NULL, 10) : -1;
}

static int limit_v1(const char *group)
{
    return cpus_of(number_v1(group, "cpu.cfs_quota_us"), number_v1(group, "cpu.cfs_period_us"));
}

/* The least limit of a group and its parents. */
static int limit_up(char *group, int (*limit)(const char *))
{
    int least = limit("");
    char *slash;

    if (strcmp(group, "/") == 0)
        return least;
    for (;;) {
        int here = limit(group);
        least = here < least ? here : least;
        slash = strrchr(group, '/');
        if (!slash || slash == group)
            return least;
        *slash = '\0';
    }
}

/* Lines are "0::/path" (version 2) and "3:cpu,cpuacct:/path" (version 1). */
static int quota(void)
{
    char text[8192], *save = NULL;
    int least = INT_MAX;

    if (read_text("/proc/self/cgroup", text, sizeof text) <= 0)
        return least;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
        int here = INT_MAX;

        if (!path)
            continue;
        *path++ = '\0';
        if (names[1] == '\0')
            here = limit_up(path, limit_v2);
        else if (strcmp(names, ":cpu") == 0 || strncmp(names, ":cpu,", 5) == 0 ||
                 strstr(names, ",cpu,"))
            here = limit_up(path, limit_v1);
        least = here < least ? here : least;
    }
    return least;
}

int coir_cpus_allowed(int *ret_cpus, int cap, int *ret_n)
{
    cpu_set_t set;
    int n = 0, limit = quota();

    if (coir_sys_get_affinity(sizeof set, &set) < 0)
        CPU_ZERO(&set);
    for (int cpu = 0; cpu < CPU_SETSIZE && n < cap; cpu++)
        if (CPU_ISSET(cpu, &set))
            ret_cpus[n++] = cpu;
    *ret_n = n;
    if (n == 0)
        n = 1;
    return n < limit ? n : limit;
}
