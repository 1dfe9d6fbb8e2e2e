/*
 * coir.h - structured concurrency for C on Linux.
 *
 * coir lets a C program be written the way Python's asyncio programs are, and
 * runs its tasks in parallel on every core.  This header includes all the
 * others; read them in this order:
 *
 *   coir/runtime.h   coir_run(): the one call that main() makes; runners
 *   coir/task.h      create, await, cancel, gather, group
 *   coir/time.h      sleep, deadlines
 *   coir/future.h    a value that somebody will set
 *   coir/sync.h      mutex, condition, event, semaphore, barrier, once
 *   coir/queue.h     queues between tasks
 *   coir/select.h    the first of several things
 *   coir/blocking.h  calls that block, on a thread
 *   coir/fd.h        read, write, close, any descriptor
 *   coir/file.h      open
 *   coir/net.h       listen, accept, connect
 *   coir/error.h     what the negative numbers mean
 *   coir/debug.h     dump, counters
 *
 * Three things hold everywhere:
 *
 *   1. >= 0 is success, negative is -errno; errno itself is never used.
 *   2. A call marked "Suspends" may return on another thread than it was
 *      called on.  errno and thread-local variables of the program's own must
 *      not be carried across it.
 *   3. When a call returns, for whatever reason, the kernel has finished with
 *      the caller's buffers: memory on a task's stack is safe to pass.
 *
 * Misuse - an await of a task given up already, a scope left open by a
 * function that has returned, a call outside a task where one is needed -
 * prints one line that names function and task, and aborts.
 */
#ifndef COIR_H
#define COIR_H

#include "coir/blocking.h"
#include "coir/debug.h"
#include "coir/error.h"
#include "coir/fd.h"
#include "coir/file.h"
#include "coir/future.h"
#include "coir/net.h"
#include "coir/queue.h"
#include "coir/runtime.h"
#include "coir/select.h"
#include "coir/sync.h"
#include "coir/task.h"
#include "coir/time.h"

#endif
