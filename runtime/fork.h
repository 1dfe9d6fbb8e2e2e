/*
 * fork.h - a process that forks while it has a runtime.
 *
 * The child has a copy of the memory, and of the threads only the one that forked.  So
 * its runtimes are dead, and stay so: nobody runs their tasks, their locks may be held
 * for ever, their rings are not mapped, and their descriptors are the parent's.  The
 * child is told by coir_is_forked() (current.h), which every public function looks at
 * before it touches anything, where it is about to find that it is not in a task.
 *
 * A process that forks while it has no runtime has nothing to lose, and its child may
 * run one of its own.
 */
#ifndef COIR_RUNTIME_FORK_H
#define COIR_RUNTIME_FORK_H

/* Around the life of a runtime, first and last.  enter: 0 or -ENOMEM. */
int coir_fork_enter(void);
void coir_fork_leave(void);

#endif
