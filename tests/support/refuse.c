/*
 * refuse.c - run a program in surroundings that refuse something.
 *
 *     refuse [io_uring=EPERM] [io_uring=ENOSYS] [memlock=BYTES] [nofile=N]
 *            [user=nobody] PROGRAM ARGUMENTS...
 *
 * What is given is done to this process, which then becomes the program.  As
 * nobody, the program starts in a directory of its own: /tmp/refuse.
 */
#include <errno.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pwd.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void insist(int ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "refuse: %s: %s\n", what, strerror(errno));
    exit(125);
}

/* As a container's seccomp profile does. */
static void refuse_io_uring(const char *error)
{
    unsigned number = strcmp(error, "ENOSYS") == 0 ? ENOSYS : EPERM;
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, SYS_io_uring_setup, 0, 2),
        BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, SYS_io_uring_register, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | number),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { sizeof filter / sizeof *filter, filter };

    insist(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
    insist(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0, "seccomp");
}

static void limit(int resource, const char *number)
{
    rlim_t most = strtoull(number, NULL, 10);

    insist(setrlimit(resource, &(struct rlimit){ most, most }) == 0, "setrlimit");
}

static void become(const char *name)
{
    struct passwd *user = getpwnam(name);

    insist(user != NULL, name);
    mkdir("/tmp/refuse", 0700);
    insist(chown("/tmp/refuse", user->pw_uid, user->pw_gid) == 0, "chown");
    insist(setgroups(0, NULL) == 0 && setgid(user->pw_gid) == 0 && setuid(user->pw_uid) == 0,
           "setuid");
    insist(chdir("/tmp/refuse") == 0, "/tmp/refuse");
}

static int apply(const char *word)
{
    const char *value = strchr(word, '=');

    if (!value)
        return 0;
    value++;
    if (strncmp(word, "io_uring=", 9) == 0)
        refuse_io_uring(value);
    else if (strncmp(word, "memlock=", 8) == 0)
        limit(RLIMIT_MEMLOCK, value);
    else if (strncmp(word, "nofile=", 7) == 0)
        limit(RLIMIT_NOFILE, value);
    else if (strncmp(word, "user=", 5) == 0)
        become(value);
    else
        return 0;
    return 1;
}

int main(int argc, char **argv)
{
    int i = 1;

    while (i < argc && apply(argv[i]))
        i++;
    insist(i < argc, "no program");
    execvp(argv[i], argv + i);
    insist(0, argv[i]);
}
