/*
 * context_aarch64.S - leave one stack for another.
 *
 *     void *coir_switch_context(void **from_sp, void *to_sp, void *arg);
 *
 * As context_x86_64.S, whose comments hold here too.  Callee-saved are x19 to
 * x30, the low halves of v8 to v15, and FPCR.
 */
        .text

        .globl  coir_switch_context
        .hidden coir_switch_context
        .type   coir_switch_context, %function
        .p2align 4
coir_switch_context:
        .cfi_startproc
        sub     sp, sp, #176
        .cfi_def_cfa_offset 176
        stp     d8, d9, [sp, #16]
        stp     d10, d11, [sp, #32]
        stp     d12, d13, [sp, #48]
        stp     d14, d15, [sp, #64]
        stp     x19, x20, [sp, #80]
        stp     x21, x22, [sp, #96]
        stp     x23, x24, [sp, #112]
        stp     x25, x26, [sp, #128]
        stp     x27, x28, [sp, #144]
        stp     x29, x30, [sp, #160]
        .cfi_offset d8, -160
        .cfi_offset d9, -152
        .cfi_offset d10, -144
        .cfi_offset d11, -136
        .cfi_offset d12, -128
        .cfi_offset d13, -120
        .cfi_offset d14, -112
        .cfi_offset d15, -104
        .cfi_offset x19, -96
        .cfi_offset x20, -88
        .cfi_offset x21, -80
        .cfi_offset x22, -72
        .cfi_offset x23, -64
        .cfi_offset x24, -56
        .cfi_offset x25, -48
        .cfi_offset x26, -40
        .cfi_offset x27, -32
        .cfi_offset x28, -24
        .cfi_offset x29, -16
        .cfi_offset x30, -8
        mrs     x9, fpcr
        str     x9, [sp]

        mov     x10, sp
        str     x10, [x0]
        mov     sp, x1

        ldr     x10, [sp]
        cmp     x9, x10
        b.eq    .Lfpcr_is_right
        msr     fpcr, x10
.Lfpcr_is_right:
        ldp     d8, d9, [sp, #16]
        ldp     d10, d11, [sp, #32]
        ldp     d12, d13, [sp, #48]
        ldp     d14, d15, [sp, #64]
        ldp     x19, x20, [sp, #80]
        ldp     x21, x22, [sp, #96]
        ldp     x23, x24, [sp, #112]
        ldp     x25, x26, [sp, #128]
        ldp     x27, x28, [sp, #144]
        ldp     x29, x30, [sp, #160]
        add     sp, sp, #176
        .cfi_def_cfa_offset 0
        .cfi_restore d8
        .cfi_restore d9
        .cfi_restore d10
        .cfi_restore d11
        .cfi_restore d12
        .cfi_restore d13
        .cfi_restore d14
        .cfi_restore d15
        .cfi_restore x19
        .cfi_restore x20
        .cfi_restore x21
        .cfi_restore x22
        .cfi_restore x23
        .cfi_restore x24
        .cfi_restore x25
        .cfi_restore x26
        .cfi_restore x27
        .cfi_restore x28
        .cfi_restore x29
        .cfi_restore x30
        mov     x0, x2
        ret
        .cfi_endproc
        .size   coir_switch_context, . - coir_switch_context

        .globl  coir_context_bottom
        .hidden coir_context_bottom
        .type   coir_context_bottom, %function
        .p2align 4
        .cfi_startproc
        .cfi_undefined x30
        nop
coir_context_bottom:
        mov     x1, x20
        blr     x19
        brk     #1
        .cfi_endproc
        .size   coir_context_bottom, . - coir_context_bottom

        .section .note.GNU-stack, "", %progbits
