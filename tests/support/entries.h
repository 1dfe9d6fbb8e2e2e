/*
 * entries.h - how many descriptors or threads a process has, by /proc.
 */
#ifndef TESTS_SUPPORT_ENTRIES_H
#define TESTS_SUPPORT_ENTRIES_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

/* How many entries /proc/self/fd or /proc/self/task has; aborts if it cannot tell. */
static inline int count_entries(const char *path)
{
    DIR *directory = opendir(path);
    int n = 0;

    if (!directory) {
        perror(path);
        abort();
    }
    for (struct dirent *entry; (entry = readdir(directory));)
        n += entry->d_name[0] != '.';
    closedir(directory);
    return n;
}

#endif
