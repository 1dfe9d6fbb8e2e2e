/*
 * hold_registers.h - a function that keeps values in every callee-saved
 * register while it calls another.
 *
 * hold_registers(from, to, values, call) loads the registers from values, calls
 * call(from, to, NULL), and stores what the registers hold then in values.
 */
#ifndef TESTS_UNIT_HOLD_REGISTERS_H
#define TESTS_UNIT_HOLD_REGISTERS_H

#include <stdint.h>

struct coir_context;

typedef void *held_call(struct coir_context *from, struct coir_context *to, void *arg);

void hold_registers(struct coir_context *from, struct coir_context *to, uint64_t *values,
                    held_call *call);

#if defined(__x86_64__)

enum { HELD_REGISTERS = 6 };

__asm__(".text\n"
        ".type hold_registers, @function\n"
        "hold_registers:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    pushq %rdx\n"
        "    movq 0(%rdx), %rbp\n"
        "    movq 8(%rdx), %rbx\n"
        "    movq 16(%rdx), %r12\n"
        "    movq 24(%rdx), %r13\n"
        "    movq 32(%rdx), %r14\n"
        "    movq 40(%rdx), %r15\n"
        "    xorl %edx, %edx\n"
        "    callq *%rcx\n"
        "    popq %rdx\n"
        "    movq %rbp, 0(%rdx)\n"
        "    movq %rbx, 8(%rdx)\n"
        "    movq %r12, 16(%rdx)\n"
        "    movq %r13, 24(%rdx)\n"
        "    movq %r14, 32(%rdx)\n"
        "    movq %r15, 40(%rdx)\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n");

#else

enum { HELD_REGISTERS = 19 };

__asm__(".text\n"
        ".type hold_registers, %function\n"
        "hold_registers:\n"
        "    stp x29, x30, [sp, #-176]!\n"
        "    stp x19, x20, [sp, #16]\n"
        "    stp x21, x22, [sp, #32]\n"
        "    stp x23, x24, [sp, #48]\n"
        "    stp x25, x26, [sp, #64]\n"
        "    stp x27, x28, [sp, #80]\n"
        "    stp d8, d9, [sp, #96]\n"
        "    stp d10, d11, [sp, #112]\n"
        "    stp d12, d13, [sp, #128]\n"
        "    stp d14, d15, [sp, #144]\n"
        "    str x2, [sp, #160]\n"
        "    ldp x19, x20, [x2]\n"
        "    ldp x21, x22, [x2, #16]\n"
        "    ldp x23, x24, [x2, #32]\n"
        "    ldp x25, x26, [x2, #48]\n"
        "    ldp x27, x28, [x2, #64]\n"
        "    ldp d8, d9, [x2, #80]\n"
        "    ldp d10, d11, [x2, #96]\n"
        "    ldp d12, d13, [x2, #112]\n"
        "    ldp d14, d15, [x2, #128]\n"
        "    ldr x29, [x2, #144]\n"
        "    mov x2, #0\n"
        "    blr x3\n"
        "    ldr x2, [sp, #160]\n"
        "    stp x19, x20, [x2]\n"
        "    stp x21, x22, [x2, #16]\n"
        "    stp x23, x24, [x2, #32]\n"
        "    stp x25, x26, [x2, #48]\n"
        "    stp x27, x28, [x2, #64]\n"
        "    stp d8, d9, [x2, #80]\n"
        "    stp d10, d11, [x2, #96]\n"
        "    stp d12, d13, [x2, #112]\n"
        "    stp d14, d15, [x2, #128]\n"
        "    str x29, [x2, #144]\n"
        "    ldp x19, x20, [sp, #16]\n"
        "    ldp x21, x22, [sp, #32]\n"
        "    ldp x23, x24, [sp, #48]\n"
        "    ldp x25, x26, [sp, #64]\n"
        "    ldp x27, x28, [sp, #80]\n"
        "    ldp d8, d9, [sp, #96]\n"
        "    ldp d10, d11, [sp, #112]\n"
        "    ldp d12, d13, [sp, #128]\n"
        "    ldp d14, d15, [sp, #144]\n"
        "    ldp x29, x30, [sp], #176\n"
        "    ret\n");

#endif

#endif
