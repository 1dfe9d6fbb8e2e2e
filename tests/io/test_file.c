/*
 * Regular files: coir_open, and reading, writing and closing what it opened.
 */
#include <sys/stat.h>

#include "io/ends.h"

/* A directory of its own, in memory or on disk, for one test. */
static char *make_directory(const char *parent)
{
    static char path[4096];
    snprintf(path, sizeof path, "%s/coir-test-XXXXXX", parent);
    cr_assert_not_null(mkdtemp(path));
    return path;
}

static const char *const parents[] = { "/dev/shm", "." };

struct place {
    char file[4200];
    char *directory;
};

static struct place make_place(const char *parent)
{
    struct place place = { .directory = make_directory(parent) };
    snprintf(place.file, sizeof place.file, "%s/file", place.directory);
    return place;
}

static void remove_place(const struct place *place)
{
    unlink(place->file);
    cr_assert_eq(rmdir(place->directory), 0);
}

RunTest(file, what_was_written_is_read_again)
{
    for (size_t i = 0; i < LENGTH(parents); i++) {
        struct place place = make_place(parents[i]);
        char buf[16] = "";
        int fd = coir_open(place.file, O_CREAT | O_EXCL | O_WRONLY, 0600);
        cr_assert_geq(fd, 0);
        cr_assert_eq(coir_write(fd, "one ", 4), 4);
        cr_assert_eq(coir_write(fd, "two", 3), 3);
        cr_assert_eq(coir_close(fd), 0);

        fd = coir_open(place.file, O_RDONLY, 0);
        cr_assert_geq(fd, 0);
        cr_assert_eq(coir_read(fd, buf, 3), 3, "reading goes on where it stopped");
        cr_assert_eq(coir_read(fd, buf + 3, 12), 4);
        cr_assert_str_eq(buf, "one two");
        cr_assert_eq(coir_read(fd, buf, sizeof buf), 0);
        cr_assert_eq(coir_read(fd, buf, sizeof buf), 0);
        cr_assert_eq(coir_close(fd), 0);
        remove_place(&place);
    }
    return 0;
}

RunTest(file, of_megabytes_is_read_back_whole)
{
    size_t len = 16 << 20;
    unsigned char *out = malloc(len), *in = malloc(len + 1);
    write_bytes_at(out, len, 0);
    for (size_t i = 0; i < LENGTH(parents); i++) {
        struct place place = make_place(parents[i]);
        size_t done = 0;
        memset(in, 0, len);
        int fd = coir_open(place.file, O_CREAT | O_RDWR, 0600);
        cr_assert_eq(coir_write_all(fd, out, len), (ssize_t)len);
        cr_assert_eq(lseek(fd, 0, SEEK_SET), 0);
        cr_assert_eq(coir_read_exact(fd, in, len, &done), 0);
        cr_assert_eq(memcmp(in, out, len), 0);
        cr_assert_eq(coir_read_exact(fd, in, len + 1, &done), -EPIPE, "the end");
        cr_assert_eq(done, len);
        cr_assert_eq(coir_close(fd), 0);
        remove_place(&place);
    }
    free(out);
    free(in);
    return 0;
}

RunTest(file, append_writes_at_the_end)
{
    struct place place = make_place(parents[0]);
    char buf[8] = "";
    for (int i = 0; i < 3; i++) {
        int fd = coir_open(place.file, O_CREAT | O_APPEND | O_WRONLY, 0600);
        cr_assert_eq(coir_write(fd, "ab", 2), 2);
        cr_assert_eq(coir_close(fd), 0);
    }
    int fd = coir_open(place.file, O_RDONLY, 0);
    cr_assert_eq(coir_read(fd, buf, sizeof buf), 6);
    cr_assert_str_eq(buf, "ababab");
    cr_assert_eq(coir_close(fd), 0);
    remove_place(&place);
    return 0;
}

RunTest(open, sets_close_on_exec)
{
    int fd = coir_open("/dev/null", O_RDONLY, 0);
    cr_assert_geq(fd, 0);
    cr_assert_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    return coir_close(fd);
}

RunTest(open, gives_a_new_file_its_mode)
{
    struct place place = make_place(parents[0]);
    struct stat status;
    umask(0);
    int fd = coir_open(place.file, O_CREAT | O_EXCL | O_WRONLY, 0640);
    cr_assert_eq(fstat(fd, &status), 0);
    cr_assert_eq(status.st_mode & 0777, 0640);
    cr_assert_eq(coir_close(fd), 0);
    remove_place(&place);
    return 0;
}

RunTest(open, reports_what_open_reports)
{
    struct place place = make_place(parents[0]);
    char below[4300];
    snprintf(below, sizeof below, "%s/below", place.file);
    cr_assert_eq(coir_open(place.file, O_RDONLY, 0), -ENOENT);
    cr_assert_eq(coir_open("", O_RDONLY, 0), -ENOENT);
    cr_assert_eq(coir_open(place.directory, O_WRONLY, 0), -EISDIR);
    cr_assert_eq(coir_open(NULL, O_RDONLY, 0), -EFAULT);
    int fd = coir_open(place.file, O_CREAT | O_WRONLY, 0600);
    cr_assert_eq(coir_open(place.file, O_CREAT | O_EXCL | O_WRONLY, 0600), -EEXIST);
    cr_assert_eq(coir_open(below, O_RDONLY, 0), -ENOTDIR);
    cr_assert_eq(coir_close(fd), 0);
    remove_place(&place);
    return 0;
}

RunTest(file, reading_and_writing_need_the_right_access)
{
    char byte = 0;
    int reader = coir_open("/dev/zero", O_RDONLY, 0);
    int writer = coir_open("/dev/null", O_WRONLY, 0);
    int directory = coir_open(".", O_RDONLY | O_DIRECTORY, 0);
    cr_assert_eq(coir_write(reader, &byte, 1), -EBADF);
    cr_assert_eq(coir_read(writer, &byte, 1), -EBADF);
    cr_assert_eq(coir_read(directory, &byte, 1), -EISDIR);
    cr_assert_eq(coir_close(directory), 0);
    cr_assert_eq(coir_close(reader), 0);
    return coir_close(writer);
}

RunTest(file, that_is_full_is_enospc)
{
    int full = coir_open("/dev/full", O_WRONLY, 0);
    cr_assert_eq(coir_write(full, "x", 1), -ENOSPC);
    cr_assert_eq(coir_write_all(full, "x", 1), -ENOSPC);
    return coir_close(full);
}

RunTest(open, in_a_cancelled_task_opens_nothing)
{
    struct place place = make_place(parents[0]);
    coir_cancel(coir_current_task());
    int before = count_descriptors();
    cr_assert_eq(coir_open(place.file, O_CREAT | O_WRONLY, 0600), -ECANCELED);
    cr_assert_eq(count_descriptors(), before);
    cr_assert_eq(access(place.file, F_OK), -1);
    remove_place(&place);
    return 0;
}

RunTest(open, past_a_deadline_opens_nothing)
{
    coir_timeout limit;
    coir_timeout_begin(&limit, 0);
    cr_assert_eq(coir_open("/dev/null", O_RDONLY, 0), -ETIMEDOUT);
    cr_assert_eq(coir_timeout_end(&limit), 1);
    return 0;
}

RunTest(open, that_returned_before_the_cancel_keeps_its_descriptor)
{
    int fd = coir_open("/dev/null", O_RDONLY, 0);
    coir_cancel(coir_current_task());
    cr_assert_geq(fd, 0);
    cr_assert(is_open(fd));
    return coir_close(fd);
}

static int open_and_close(UNUSED void *arg)
{
    for (;;) {
        int fd = coir_open("/dev/null", O_RDONLY, 0);
        if (fd < 0)
            return fd;
        coir_close(fd);
    }
}

RunTest(open, cancelled_at_random_leaks_no_descriptor)
{
    unsigned seed = 5;
    for (int i = 0; i < check_scale(2000); i++) {
        coir_task *task = coir_create_task(open_and_close, NULL);
        for (unsigned k = next_random(&seed) % 6; k > 0; k--)
            cr_assert_eq(coir_yield(), 0);
        cr_assert_eq(coir_cancel_await(task), -ECANCELED);
    }
    return 0; /* the end of the test counts descriptors */
}

/* Opening a FIFO waits for the other side. */
static int open_fifo(void *path)
{
    return coir_open(path, O_RDONLY, 0);
}

RunTest(open, that_waits_can_be_cancelled_or_ends_with_its_descriptor)
{
    struct place place = make_place(parents[0]);
    cr_assert_eq(mkfifo(place.file, 0600), 0);
    coir_task *task = coir_create_task(open_fifo, place.file);
    let_them_wait();
    coir_cancel(task);
    int other = open(place.file, O_RDWR | O_NONBLOCK); /* lets it through in any case */
    int fd = coir_await(task);
    cr_assert(fd == -ECANCELED || is_open(fd), "%d", fd);
    if (fd >= 0)
        cr_assert_eq(coir_close(fd), 0);
    close(other);
    remove_place(&place);
    return 0;
}

struct copy {
    const char *path;
    int index;
};

static int write_own_record(void *arg)
{
    const struct copy *copy = arg;
    char record[32];
    memset(record, 'a' + copy->index % 26, sizeof record);
    int fd = coir_open(copy->path, O_WRONLY | O_APPEND, 0);
    if (fd < 0)
        return fd;
    ssize_t n = coir_write_all(fd, record, sizeof record);
    int rc = coir_close(fd);
    return n == sizeof record ? rc : -EIO;
}

RunTest(file, appended_to_by_many_tasks_has_every_record_whole,
        .init = skip_where_descriptors_are_few)
{
    enum { N = 200 };
    struct place place = make_place(parents[0]);
    static char text[N * 32 + 1];
    int fd = coir_open(place.file, O_CREAT | O_RDWR, 0600);
    coir_group group;
    coir_group_init(&group);
    for (int i = 0; i < N; i++) {
        struct copy copy = { place.file, i };
        cr_assert_eq(coir_group_create_task_copy(&group, write_own_record, &copy, sizeof copy),
                     0);
    }
    cr_assert_eq(coir_group_wait(&group), 0);
    cr_assert_eq(coir_read_exact(fd, text, N * 32, NULL), 0);
    for (int i = 0; i < N; i++)
        for (int k = 1; k < 32; k++)
            cr_assert_eq(text[i * 32 + k], text[i * 32]);
    cr_assert_eq(coir_close(fd), 0);
    remove_place(&place);
    return 0;
}
