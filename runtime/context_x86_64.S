/*
 * context_x86_64.S - leave one stack for another.
 *
 *     void *coir_switch_context(void **from_sp, void *to_sp, void *arg);
 *
 * The two stacks hold the same frame (struct frame in context.c), so that one
 * description of it tells an unwinder the truth on either side of the switch.
 *
 * It leaves by ret, which goes where the CPU's return predictor expects it to:
 * every switch is made by the one call in worker.c, so both stacks continue at the
 * same address.  (An indirect jump would leave the predictor one entry ahead, and
 * each return of the callers would be mispredicted: a yield takes twice the time.)
 *
 * The control words are loaded only where they differ, since loading them is
 * slow.  The lowest six bits of MXCSR are status flags, which no function has
 * to preserve.
 *
 * There is no note that promises shadow-stack support: with a shadow stack, the
 * first ret after a switch would fault.
 */
        .text

        .globl  coir_switch_context
        .hidden coir_switch_context
        .type   coir_switch_context, @function
        .p2align 4
coir_switch_context:
        .cfi_startproc
        pushq   %rbp
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbp, 0
        pushq   %rbx
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %rbx, 0
        pushq   %r12
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r12, 0
        pushq   %r13
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r13, 0
        pushq   %r14
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r14, 0
        pushq   %r15
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset %r15, 0
        subq    $8, %rsp
        .cfi_adjust_cfa_offset 8
        stmxcsr (%rsp)
        fnstcw  4(%rsp)
        movl    (%rsp), %eax
        movzwl  4(%rsp), %ecx

        movq    %rsp, (%rdi)
        movq    %rsi, %rsp

        xorl    (%rsp), %eax
        testl   $~0x3f, %eax
        jne     .Lload_mxcsr
.Lmxcsr_is_right:
        cmpw    4(%rsp), %cx
        jne     .Lload_x87_control
.Lx87_control_is_right:
        addq    $8, %rsp
        .cfi_adjust_cfa_offset -8
        popq    %r15
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r15
        popq    %r14
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r14
        popq    %r13
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r13
        popq    %r12
        .cfi_adjust_cfa_offset -8
        .cfi_restore %r12
        popq    %rbx
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbx
        popq    %rbp
        .cfi_adjust_cfa_offset -8
        .cfi_restore %rbp
        movq    %rdx, %rax
        ret

        /* Here the frame is whole, as after the subq above. */
        .cfi_def_cfa_offset 64
        .cfi_offset %rip, -8
        .cfi_offset %rbp, -16
        .cfi_offset %rbx, -24
        .cfi_offset %r12, -32
        .cfi_offset %r13, -40
        .cfi_offset %r14, -48
        .cfi_offset %r15, -56
.Lload_mxcsr:
        ldmxcsr (%rsp)
        jmp     .Lmxcsr_is_right
.Lload_x87_control:
        fldcw   4(%rsp)
        jmp     .Lx87_control_is_right
        .cfi_endproc
        .size   coir_switch_context, . - coir_switch_context

/*
 * Where the first switch to a context arrives, with the stack pointer at the
 * very top: the outermost frame, at which backtraces end.  The nop is for
 * unwinders, which look up the byte before a return address.
 */
        .globl  coir_context_bottom
        .hidden coir_context_bottom
        .type   coir_context_bottom, @function
        .p2align 4
        .cfi_startproc
        .cfi_undefined %rip
        nop
coir_context_bottom:
        movq    %rax, %rdi
        movq    %r13, %rsi
        callq   *%r12
        ud2
        .cfi_endproc
        .size   coir_context_bottom, . - coir_context_bottom

        .section .note.GNU-stack, "", @progbits
