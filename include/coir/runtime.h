/*
 * coir/runtime.h - running a program's tasks.
 *
 *     int main(void)
 *     {
 *         return coir_run(program, NULL) < 0;
 *     }
 *
 * coir_run() starts one worker thread per CPU, runs program(NULL) as the main
 * task, and takes everything down again when that task has returned, in this
 * order: what still runs is cancelled; it is waited for, at most
 * options.shutdown_grace, after which the tasks that did not end are named on
 * stderr, with what coir_dump() has of their being told to; the blocking pool is
 * stopped, and lookups of names that take longer than that again are named too; the
 * workers end and close their rings.
 *
 * Ctrl-C.  While coir_run() holds the default handler of SIGINT, the first
 * SIGINT cancels the main task, and the second ends the process.  A handler of
 * the program's own is left alone, and so is SIGINT ignored, as shells set it
 * for background jobs.  Of several runs at once it is the first's, until that
 * has ended.
 *
 * fork().  A child that was forked while the process had a run, by a task or by
 * another thread, has none: all that is left of it is a copy of its memory.  In
 * the child every call of coir, coir_run() included, returns -ECHILD, or NULL
 * where it returns a pointer; what asks whether something is done, set or closed
 * says true; the counters are 0; and what returns nothing does nothing, so that
 * coir_mutex_lock_always() guards nothing.  The child may exec, _exit() or exit().
 * A task, or a call of coir_to_thread(), that returns in the child aborts it, after
 * a line on stderr.  The child of a worker gets the signal mask of the thread that
 * began the run, for workers block nearly every signal, unless the task has blocked
 * others.  The parent is not touched by any of that.  A process that has no run
 * forks as ever.  vfork(), posix_spawn() and system() work in a task as ever, but
 * what they start inherits the worker's mask, if not told otherwise; _Fork() and
 * clone(2) do not tell the child, which may only exec.
 *
 * Environment (each read once, at the start of a run; options that are set in
 * the program win, save COIR_WORKERS, which overrides):
 *
 *   COIR_WORKERS=n        number of workers
 *   COIR_DRIVER=name      which driver does the input and output: io_uring or
 *                         epoll, and no other
 *   COIR_STALL_MS=n       options.stall_ms
 *   COIR_DEBUG=word,word  autopsy    whole backtraces of what cancels and deadlines
 *                                    ended: see coir_dump()
 *                         migrate    each suspension resumes on another worker
 *                         noinline   await never runs a task on its own stack
 *                         report     name the tasks a run had to cancel
 *                         locks      report tasks that wait for themselves, and
 *                                    abort if one unlocks what another holds: see
 *                                    coir_mutex
 */
#ifndef COIR_RUNTIME_H
#define COIR_RUNTIME_H

#include <stddef.h>

#include "coir/defs.h"
#include "coir/task.h"
#include "coir/time.h"

COIR_BEGIN_DECLS

/*
 * What does the input and output.  Programs do the same on each.
 *
 * Containers often refuse io_uring; then epoll is used, and a line on stderr, one
 * per process, says why, and what could be done about it.
 */
enum coir_driver_kind {
    COIR_DRIVER_AUTO, /* what the environment says, else io_uring, else epoll */
    COIR_DRIVER_IO_URING, /* or nothing */
    COIR_DRIVER_EPOLL,
};

/* How to run.  Every field's zero is its default. */
typedef struct coir_options {
    int workers;        /* default: the CPUs that affinity and the control
                           group's quota allow; at most COIR_WORKERS_MAX */
    size_t stack_bytes; /* of a task; default and least: COIR_STACK_DEFAULT,
                           COIR_STACK_MIN; rounded up */
    int driver;         /* a coir_driver_kind */
    coir_duration shutdown_grace; /* default 10 s; COIR_FOREVER waits */
    int blocking_threads; /* at most, for coir_to_thread(); default 32 */
    int debug;          /* 1: as COIR_DEBUG=autopsy,locks,report */
    int cpu_pinning;    /* 1: each worker stays on the CPU it started on */
    int rescue_signal;  /* sent to a worker that computes, or sits in a system call,
                           while tasks, timers or operations wait for it: 0 is
                           SIGURG; SIGCHLD and SIGWINCH will do, too; -1: none */
    int stall_ms;       /* > 0: a task that keeps its worker for so long, without a
                           call that lets others run, is named on stderr, with its
                           backtrace, now and after each further second.  Without a
                           rescue signal there is no backtrace */
} coir_options;

#define COIR_WORKERS_MAX 256
#define COIR_STACK_DEFAULT ((size_t)64 * 1024)
#define COIR_STACK_MIN ((size_t)16 * 1024)

/*
 * Run fn(arg) as the main task of a runtime of its own, until it returns and
 * every other task has ended.  (asyncio.run)
 *
 * Any thread that is not a worker; inside a task it aborts.  The calling
 * thread only waits.  Several runs may go on at once in several threads.
 *
 * arg       Borrowed until the call returns.
 *
 * Returns   what fn returned.  Before fn has begun: -ENOMEM; -EAGAIN if a
 *           thread could not be started; -EMFILE or -ENFILE if there are not
 *           two descriptors for each worker and one more; -EPERM, -ENOSYS or
 *           -ENOMEM if the kernel refuses io_uring, and nothing else was allowed
 *           (a line on stderr says why); -EINVAL for options or environment that
 *           make no sense.  If fn returned >= 0 but something outlived
 *           shutdown_grace: -ETIMEDOUT, and its memory is left alone.  If for
 *           shutdown_grace no task ended while others found no memory for their
 *           stacks, the main task is cancelled, and what would have been
 *           -ECANCELED is -ENOMEM.
 * Suspends  never; it blocks its thread.
 */
COIR_API int coir_run(coir_fn *fn, void *arg);

/* The same.  options is borrowed until the call returns; NULL is all defaults. */
COIR_API int coir_run_with(const coir_options *options, coir_fn *fn, void *arg);

/*
 * A runtime that stays: for a program that calls coir now and then, from threads of its
 * own.  (asyncio.Runner)
 *
 *     coir_runner *runner;
 *     int rc = coir_runner_open(&runner, NULL);
 *     if (rc == 0)
 *         rc = coir_runner_run(runner, fetch, &here);
 *     ...
 *     coir_runner_close(runner);
 */
typedef struct coir_runner coir_runner;

/*
 * Start the workers.  The calling thread is never one of them.
 *
 * ret_runner  Where the runner goes; to be closed.  Untouched by errors.
 * options     As for coir_run_with(); borrowed during the call.
 *
 * Any thread.
 *
 * Returns   0, or an error as coir_run_with() has them before it begins.
 * Suspends  never; it blocks its thread.
 */
COIR_API int coir_runner_open(coir_runner **ret_runner, const coir_options *options);

/*
 * Run fn(arg) in a task and wait for it.  As often as one likes, from several threads at
 * once too.  Ctrl-C cancels the task, where coir_run() would take it; that of the first
 * thread that asks.
 *
 * Threads that are no workers; in a task it aborts.
 *
 * Returns   what fn returned; -ENOMEM if it could not be started.
 * Suspends  never; it blocks its thread.
 */
COIR_API int coir_runner_run(coir_runner *runner, coir_fn *fn, void *arg);

/*
 * End the run, as coir_run() does when its main task has returned.  Threads of the
 * program's may not use the runner meanwhile or afterwards, not to submit either: join
 * them first.  What tasks, and threads that tasks wait for, submit meanwhile is refused.
 * NULL: nothing happens.
 *
 * Threads that are no workers; in a task it aborts.
 *
 * Returns   0; -ETIMEDOUT if tasks or lookups outlived shutdown_grace: they are named on
 *           stderr, and the runner's memory is left alone.
 * Suspends  never; it blocks its thread.
 */
COIR_API int coir_runner_close(coir_runner *runner);

/*
 * The runner of the task that calls, also under coir_run().  To be handed to threads
 * that submit; valid until the run ends.
 *
 * Any thread.
 *
 * Returns   the runner; NULL outside of tasks.
 * Suspends  never.
 */
COIR_API coir_runner *coir_current_runner(void);

/*
 * Create a task from any thread.  (asyncio.run_coroutine_threadsafe)
 *
 * The handle is the caller's, who gives it up once: coir_join() on a thread, coir_await()
 * in a task of this runner, or coir_detach().
 *
 * arg       As with coir_create_task(); _copy takes a copy.
 *
 * Any thread, from open to close.
 *
 * Returns   the task; NULL if memory is out, or the run is ending.
 * Suspends  never.
 */
COIR_API COIR_MUST_USE coir_task *coir_submit(coir_runner *runner, coir_fn *fn, void *arg);
COIR_API COIR_MUST_USE coir_task *coir_submit_copy(coir_runner *runner, coir_fn *fn,
                                                   const void *arg, size_t size);

/*
 * Wait for a task on a thread that is no worker, and release it.
 *
 * In a task it aborts: await there.
 *
 * Returns   what the task returned; -ENOMEM for NULL.
 * Suspends  never; it blocks its thread.
 */
COIR_API int coir_join(coir_task *task);

COIR_END_DECLS

#endif
