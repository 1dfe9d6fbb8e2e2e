/*
 * hash_files.c - a batch job: hash every file below a directory.
 *
 *     hash_files [-s] [-w WORKERS] DIRECTORY
 *
 * A fixed number of tasks share the list of files; each takes the next file
 * when it is done with its last one.  While some wait for the kernel, others
 * hash, on every worker.  -s does the same in one thread with read(2).
 *
 * The digest does not depend on the order: each file's hash is seeded with its
 * path, and the hashes are added up.
 */
#define _DEFAULT_SOURCE
#include <coir.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

enum {
    TASKS_PER_WORKER = 8,
    CHUNK_BYTES = 128 * 1024,
};

/* Where the bytes come from.  Negative is -errno. */
struct source {
    int (*open)(const char *path, int flags, mode_t mode);
    ssize_t (*read)(int fd, void *buf, size_t len);
    int (*close)(int fd);
};

struct batch {
    const struct source *source;
    char **paths;
    size_t count;
    _Atomic size_t next; /* index of the next file to take */
    _Atomic size_t failed;
    _Atomic uint64_t bytes;
    _Atomic uint64_t digest;
};

static int direct_open(const char *path, int flags, mode_t mode)
{
    int fd = open(path, flags, mode);
    return fd < 0 ? -errno : fd;
}

static ssize_t direct_read(int fd, void *buf, size_t len)
{
    ssize_t n = read(fd, buf, len);
    return n < 0 ? -errno : n;
}

static const struct source in_tasks = { coir_open, coir_read, coir_close };
static const struct source directly = { direct_open, direct_read, close };

static int hash_file(struct batch *batch, const char *path, XXH3_state_t *hash, char *chunk)
{
    const struct source *source = batch->source;
    uint64_t bytes = 0;
    ssize_t n;

    int fd = source->open(path, O_RDONLY, 0);
    if (fd < 0)
        return fd;
    XXH3_64bits_reset_withSeed(hash, XXH3_64bits(path, strlen(path)));
    while ((n = source->read(fd, chunk, CHUNK_BYTES)) > 0) {
        XXH3_64bits_update(hash, chunk, (size_t)n);
        bytes += (uint64_t)n;
    }
    source->close(fd);
    if (n < 0)
        return (int)n;

    batch->bytes += bytes;
    batch->digest += XXH3_64bits_digest(hash);
    return 0;
}

/* Take files until none is left.  One that cannot be read is passed over. */
static int hash_next_files(struct batch *batch, XXH3_state_t *hash, char *chunk)
{
    size_t i;

    while ((i = batch->next++) < batch->count) {
        int rc = hash_file(batch, batch->paths[i], hash, chunk);
        if (rc == -ECANCELED)
            return rc;
        if (rc < 0) {
            fprintf(stderr, "%s: %s\n", batch->paths[i], coir_strerror(rc));
            batch->failed++;
        }
    }
    return 0;
}

static int hash_files(void *batch)
{
    XXH3_state_t *hash = XXH3_createState();
    char *chunk = malloc(CHUNK_BYTES);

    int rc = hash && chunk ? hash_next_files(batch, hash, chunk) : -ENOMEM;
    free(chunk);
    XXH3_freeState(hash);
    return rc;
}

static int hash_in_tasks(void *batch)
{
    coir_stats run;
    coir_group group;
    int rc = 0;

    coir_stats_get(&run);
    coir_group_init(&group);
    for (int64_t i = 0; i < run.workers * TASKS_PER_WORKER && rc == 0; i++)
        rc = coir_group_create_task(&group, hash_files, batch);
    int failure = coir_group_wait(&group);
    return failure < 0 ? failure : rc;
}

static void *allocated(void *memory)
{
    if (!memory) {
        perror("hash_files");
        exit(1);
    }
    return memory;
}

static void add_file(struct batch *batch, const char *path)
{
    size_t n = batch->count;

    if ((n & (n - 1)) == 0) /* full at every power of two */
        batch->paths = allocated(realloc(batch->paths, (n ? 2 * n : 1) * sizeof(char *)));
    batch->paths[batch->count++] = allocated(strdup(path));
}

static void list_files(struct batch *batch)
{
    char *roots[] = { ".", NULL };
    FTS *tree = allocated(fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL));
    FTSENT *entry;

    while ((entry = fts_read(tree))) {
        if (entry->fts_info == FTS_F)
            add_file(batch, entry->fts_path);
        else if (entry->fts_info == FTS_DNR)
            fprintf(stderr, "%s: %s\n", entry->fts_path, strerror(entry->fts_errno));
    }
    fts_close(tree);
}

static void free_files(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        free(batch->paths[i]);
    free(batch->paths);
}

static void print_report(const struct batch *batch, double seconds)
{
    size_t files = batch->count - batch->failed;

    printf("files  %zu\n", files);
    printf("bytes  %" PRIu64 "\n", batch->bytes);
    printf("digest %016" PRIx64 "\n", batch->digest);
    printf("%.3f s, %.0f files/s, %.1f MB/s\n", seconds, (double)files / seconds,
           (double)batch->bytes / 1e6 / seconds);
}

int main(int argc, char **argv)
{
    struct batch batch = { .source = &in_tasks };
    coir_options options = { 0 };
    int option;

    while ((option = getopt(argc, argv, "sw:")) != -1) {
        if (option == 's')
            batch.source = &directly;
        else if (option == 'w')
            options.workers = atoi(optarg);
        else
            return 2;
    }
    if (optind != argc - 1) {
        fprintf(stderr, "usage: hash_files [-s] [-w WORKERS] DIRECTORY\n");
        return 2;
    }
    if (chdir(argv[optind]) < 0) {
        perror(argv[optind]);
        return 1;
    }

    list_files(&batch);
    int64_t start = coir_now();
    int rc = batch.source == &directly ? hash_files(&batch)
                                       : coir_run_with(&options, hash_in_tasks, &batch);
    double seconds = (double)(coir_now() - start) / 1e9;

    if (rc < 0)
        fprintf(stderr, "hash_files: %s\n", coir_strerror(rc));
    else
        print_report(&batch, seconds);
    free_files(&batch);
    return rc < 0 || batch.failed > 0;
}
