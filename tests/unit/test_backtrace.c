/*
 * test_backtrace.c - walking the caller's stack and that of a context that is
 * switched out.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/check.h"

#include "runtime/backtrace.h"

static struct coir_backtrace backtrace;

static const char *written(void)
{
    static char text[8192];
    int ends[2];
    ssize_t n;

    cr_assert_eq(pipe(ends), 0);
    coir_backtrace_write(&backtrace, ends[1]);
    close(ends[1]);
    n = read(ends[0], text, sizeof text - 1);
    cr_assert_geq(n, 0);
    text[n] = '\0';
    close(ends[0]);
    return text;
}

Test(backtrace, is_empty_before_anything_can_walk)
{
    coir_backtrace_of_caller(&backtrace);
    cr_assert_eq(backtrace.count, 0);
    cr_assert_str_eq(written(), "");
}

/* What functions with frame pointers leave on a stack: the caller's frame, and where
   they return to. */
struct frame {
    _Alignas(16) struct frame *caller;
    uintptr_t returns_to;
};

enum { FRAMES = 60 };

static struct frame *make_frames(void)
{
    static struct frame frames[FRAMES];

    for (int i = 0; i < FRAMES; i++)
        frames[i] = (struct frame){ &frames[i + 1], 1000 + (uintptr_t)i };
    return frames;
}

static int walk(const struct frame *from, const struct frame *top)
{
    coir_backtrace_by_pointers(&backtrace, from, (const char *)top);
    return backtrace.count;
}

Test(backtrace, by_pointers_goes_from_frame_to_frame_up_to_the_top)
{
    struct frame *frames = make_frames();

    cr_assert_eq(walk(frames, frames + 5), 5);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(backtrace.frames[i], 1000u + (unsigned)i);
    cr_assert_eq(walk(frames, frames + FRAMES), COIR_BACKTRACE_MOST);
    cr_assert_eq(walk(frames, NULL), 1, "of a stack whose end is not known");
}

Test(backtrace, by_pointers_ends_at_what_is_no_frame)
{
    struct frame *frames = make_frames(), *top = frames + FRAMES;

    frames[10].caller = NULL;
    cr_assert_eq(walk(frames, top), 11, "the outermost");
    frames[9].caller = &frames[9];
    cr_assert_eq(walk(frames, top), 10, "itself");
    frames[8].caller = &frames[3];
    cr_assert_eq(walk(frames, top), 9, "backwards");
    frames[7].caller = top;
    cr_assert_eq(walk(frames, top), 8, "out of the stack");
    frames[6].caller = (struct frame *)((char *)&frames[7] + 8);
    cr_assert_eq(walk(frames, top), 7, "not aligned");
    frames[5].caller = (struct frame *)~(uintptr_t)15;
    cr_assert_eq(walk(frames, top), 6, "the end of memory");
    frames[4].returns_to = 0;
    cr_assert_eq(walk(frames, top), 4, "returns nowhere");
}

#ifdef CHECK_BACKTRACES

/* libunwind keeps two descriptors for itself: the first test must do without. */
static void load(void)
{
    cr_assert(coir_backtrace_load());
}

/* Counted after a call, so that it is no jump. */
static volatile int returned;

__attribute__((noinline)) static void note_where_this_is(void)
{
    coir_backtrace_of_caller(&backtrace);
    returned++;
}

__attribute__((noinline)) static void call_it(void)
{
    note_where_this_is();
    returned++;
}

Test(backtrace, of_the_caller_names_the_functions_innermost_first, .init = load)
{
    const char *text, *inner, *outer;

    call_it();
    text = written();
    inner = strstr(text, " note_where_this_is+0x");
    outer = strstr(text, " call_it+0x");
    cr_assert(inner && outer && inner < outer, "%s", text);
    cr_assert_eq(strncmp(text, "    #0 0x", 9), 0, "%s", text);
}

__attribute__((noinline)) static void recurse(int depth)
{
    if (depth > 0)
        recurse(depth - 1);
    else
        note_where_this_is();
    returned++;
}

Test(backtrace, of_a_deep_stack_is_cut, .init = load)
{
    recurse(1000);
    cr_assert_eq(backtrace.count, COIR_BACKTRACE_MOST);
}

static struct coir_context fiber, thread;

__attribute__((noinline)) static void leave_from_here(void)
{
    coir_context_switch(&fiber, &thread, NULL);
    returned++;
}

static void enter(void *arg)
{
    leave_from_here();
    (void)arg;
    abort();
}

Test(backtrace, of_a_context_goes_from_where_it_left_to_its_entry, .init = load)
{
    enum { BYTES = 256 * 1024 };
    char *stack = aligned_alloc(4096, BYTES);
    const char *text, *inner, *outer;

    coir_context_init(&fiber, stack, BYTES, enter);
    coir_context_init_thread(&thread);
    coir_backtrace_of_context(&backtrace, &fiber);
    cr_assert_eq(backtrace.count, 1, "nothing has called anything yet");

    coir_context_switch(&thread, &fiber, NULL);
    coir_backtrace_of_context(&backtrace, &fiber);
    text = written();
    inner = strstr(text, " leave_from_here+0x");
    outer = strstr(text, " enter+0x");
    cr_assert(inner && outer && inner < outer, "%s", text);
    cr_assert_not_null(strstr(outer, " coir_context_bottom+0x"), "%s", text);
    coir_context_destroy(&fiber);
    coir_context_destroy(&thread);
    free(stack);
}

#endif
