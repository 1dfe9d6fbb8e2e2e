/*
 * backtrace.c - see backtrace.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "backtrace.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>

#ifdef COIR_HAVE_VALGRIND
#include <valgrind/memcheck.h>
#endif

#include "sys.h"

#ifdef COIR_HAVE_LIBUNWIND

#define UNW_LOCAL_ONLY
#include <libunwind.h>

/* libunwind's names are macros that add the machine's. */
#define NAME_(name) #name
#define NAME(name) NAME_(name)

static struct {
    pthread_mutex_t lock;
    bool tried;
    COIR_ATOMIC(uint32_t) there;
    int (*init)(unw_cursor_t *, unw_context_t *, int);
    int (*step)(unw_cursor_t *);
    int (*get_reg)(unw_cursor_t *, int, unw_word_t *);
    int (*get_proc_name)(unw_cursor_t *, char *, size_t, unw_word_t *);
} unwind = { .lock = PTHREAD_MUTEX_INITIALIZER };

static bool find_functions(void *library)
{
    return library && coir_sys_find(library, NAME(unw_init_local2), &unwind.init) &&
           coir_sys_find(library, NAME(unw_step), &unwind.step) &&
           coir_sys_find(library, NAME(unw_get_reg), &unwind.get_reg) &&
           coir_sys_find(library, NAME(unw_get_proc_name), &unwind.get_proc_name);
}

static void walk(struct coir_backtrace *ret, const ucontext_t *registers, bool interrupted)
{
    unw_context_t *start = (unw_context_t *)(uintptr_t)registers;
    unw_cursor_t cursor;
    unw_word_t address;

    ret->count = 0;
    ret->interrupted = interrupted;
    ret->guessed = false;
    if (!coir_load_acquire(&unwind.there) ||
        unwind.init(&cursor, start, interrupted ? UNW_INIT_SIGNAL_FRAME : 0) < 0)
        return;
    do {
        if (unwind.get_reg(&cursor, UNW_REG_IP, &address) < 0 || !address)
            return;
        ret->frames[ret->count++] = address;
    } while (ret->count < COIR_BACKTRACE_MOST && unwind.step(&cursor) > 0);
}

/* The function that the instruction is in.  Also static ones, if the program was
   not stripped. */
static bool name_of(uintptr_t instruction, char *buf, size_t cap, uintptr_t *ret_offset)
{
    unw_cursor_t cursor;
    ucontext_t there;
    unw_word_t offset = 0;
    int rc;

    if (!coir_load_acquire(&unwind.there))
        return false;
    memset(&there, 0, sizeof there);
    coir_context_set_instruction(&there, instruction);
    if (unwind.init(&cursor, (unw_context_t *)&there, UNW_INIT_SIGNAL_FRAME) < 0)
        return false;
    rc = unwind.get_proc_name(&cursor, buf, cap, &offset);
    *ret_offset = offset;
    return rc == 0 || rc == -UNW_ENOMEM; /* the latter: cut short */
}

/* The first walk sets up what libunwind needs. */
bool coir_backtrace_load(void)
{
    struct coir_backtrace first;

    pthread_mutex_lock(&unwind.lock);
    if (!unwind.tried && find_functions(coir_sys_load("libunwind.so.8"))) {
        coir_store_release(&unwind.there, 1);
        coir_backtrace_of_caller(&first);
    }
    unwind.tried = true;
    pthread_mutex_unlock(&unwind.lock);
    return coir_load_acquire(&unwind.there);
}

#else

static void walk(struct coir_backtrace *ret, const ucontext_t *registers, bool interrupted)
{
    (void)registers;
    ret->count = 0;
    ret->interrupted = interrupted;
    ret->guessed = false;
}

static bool name_of(uintptr_t instruction, char *buf, size_t cap, uintptr_t *ret_offset)
{
    (void)instruction;
    (void)buf;
    (void)cap;
    (void)ret_offset;
    return false;
}

bool coir_backtrace_load(void)
{
    return false;
}

#endif

void coir_backtrace_of_signal(struct coir_backtrace *ret, const void *signal_context)
{
    walk(ret, signal_context, true);
}

void coir_backtrace_of_context(struct coir_backtrace *ret, const struct coir_context *context)
{
    ucontext_t registers;

    coir_context_registers(context, &registers);
    walk(ret, &registers, false);
}

__attribute__((noinline)) void coir_backtrace_of_caller(struct coir_backtrace *ret)
{
    ucontext_t registers;

    ret->count = 0;
    if (getcontext(&registers) == 0)
        walk(ret, &registers, false);
}

void coir_backtrace_of_frame(struct coir_backtrace *ret, const void *frame)
{
    uintptr_t first = (uintptr_t)coir_backtrace_return_address(frame);
    int i;

    coir_backtrace_of_caller(ret);
    for (i = 0; i < ret->count && ret->frames[i] != first; i++)
        ;
    if (i == ret->count)
        return;
    ret->count -= i;
    memmove(ret->frames, ret->frames + i, (size_t)ret->count * sizeof ret->frames[0]);
}

/* On both machines a frame pointer points to the caller's, and above that lies where
   the function returns to.  What follows the frames of this library may be anything. */
struct frame {
    uintptr_t caller;
    uintptr_t returns_to;
};

__attribute__((noinline, no_sanitize_address)) static COIR_RACY struct frame
read_frame(uintptr_t at)
{
    struct frame frame = *(const struct frame *)at;

#ifdef COIR_HAVE_VALGRIND
    (void)VALGRIND_MAKE_MEM_DEFINED(&frame, sizeof frame);
#endif
    return frame;
}

void coir_backtrace_by_pointers(struct coir_backtrace *ret, const void *from, const char *top)
{
    uintptr_t at = (uintptr_t)from, end = top ? (uintptr_t)top : at + sizeof(struct frame);
    struct frame frame;

    ret->count = 0;
    ret->interrupted = false;
    ret->guessed = true;
    for (; at % 16 == 0 && at <= end - sizeof frame; at = frame.caller) {
        frame = read_frame(at);
        if (!frame.returns_to)
            return;
        ret->frames[ret->count++] = frame.returns_to;
        if (frame.caller <= at || ret->count == COIR_BACKTRACE_MOST)
            return;
    }
}

const void *coir_backtrace_return_address(const void *frame)
{
    return (const void *)read_frame((uintptr_t)frame).returns_to;
}

/* Writing. */

/* NULL: in none. */
static const char *file_of(uintptr_t instruction)
{
    Dl_info info;
    const char *slash;

    if (!dladdr((void *)instruction, &info) || !info.dli_fname)
        return NULL;
    slash = strrchr(info.dli_fname, '/');
    return slash ? slash + 1 : info.dli_fname;
}

static void describe(char buf[COIR_PLACE_TEXT_MAX], uintptr_t address, bool after_call,
                     const char *file)
{
    char name[128] = "";
    uintptr_t offset;

    if (name_of(address - after_call, name, sizeof name, &offset))
        snprintf(buf, COIR_PLACE_TEXT_MAX, "0x%012lx %s+0x%lx (%.64s)", (unsigned long)address,
                 name, (unsigned long)(offset + after_call), file ? file : "?");
    else
        snprintf(buf, COIR_PLACE_TEXT_MAX, "0x%012lx (%.64s)", (unsigned long)address,
                 file ? file : "?");
}

void coir_backtrace_describe(char buf[COIR_PLACE_TEXT_MAX], const void *return_address)
{
    uintptr_t address = (uintptr_t)return_address;

    describe(buf, address, true, file_of(address - 1));
}

static void write_frame(int fd, int number, uintptr_t address, bool after_call, const char *file)
{
    char place[COIR_PLACE_TEXT_MAX], line[COIR_PLACE_TEXT_MAX + 32];

    describe(place, address, after_call, file);
    coir_sys_write(fd, line, (size_t)snprintf(line, sizeof line, "    #%d %s\n", number, place));
}

void coir_backtrace_write(const struct coir_backtrace *backtrace, int fd)
{
    for (int i = 0; i < backtrace->count; i++) {
        bool after_call = i > 0 || !backtrace->interrupted;
        const char *file = file_of(backtrace->frames[i] - after_call);

        if (backtrace->guessed && !file)
            return; /* no code is there: it was no frame pointer */
        write_frame(fd, i, backtrace->frames[i], after_call, file);
    }
}
