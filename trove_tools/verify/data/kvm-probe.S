# SPDX-License-Identifier: Apache-2.0
#
# A boot sector that does what a kernel does first: enter long mode with
# paging, use SSE, and run some hundred million instructions.  At the end it
# writes one byte to the port of QEMU's isa-debug-exit device.
#
# A virtual machine monitor that only emulates the guest's instructions gets
# through firmware and boot loader, but not through this: it stumbles over
# the SSE instruction, or needs minutes for the loop.  A processor needs a
# tenth of a second.
#
# kvm-probe.bin, beside this file, is made from it:
#   as --64 -o probe.o kvm-probe.S
#   ld -m elf_x86_64 -Ttext 0x7c00 --oformat binary -o kvm-probe.bin probe.o

        .set    CODE64, 0x8
        .set    EFER, 0xc0000080
        .set    PAGES, 0x1000           # three pages of page tables
        .set    LOOPS, 50000000
        .set    EXIT_PORT, 0xf4
        .set    WORD, 0x2a

        .code16
        .globl  _start
_start:
        cli
        cld
        xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movw    $0x7c00, %sp

        # map the first 2 MiB onto themselves
        movw    $PAGES, %di
        xorl    %eax, %eax
        movw    $(3 * 4096 / 4), %cx
        rep stosl
        movw    $(PAGES + 0x1003), PAGES
        movw    $(PAGES + 0x2003), PAGES + 0x1000
        movw    $0x0083, PAGES + 0x2000

        lgdt    gdt_pointer
        movl    %cr4, %eax
        orl     $0x620, %eax            # PAE, OSFXSR, OSXMMEXCPT
        movl    %eax, %cr4
        movl    $PAGES, %eax
        movl    %eax, %cr3
        movl    $EFER, %ecx
        rdmsr
        orl     $0x100, %eax            # LME
        wrmsr
        movl    %cr0, %eax
        andl    $~0x4, %eax             # EM off
        orl     $0x80000003, %eax       # PG, MP, PE
        movl    %eax, %cr0
        ljmp    $CODE64, $long_mode

        .code64
long_mode:
        movl    $LOOPS, %ecx
        xorps   %xmm0, %xmm0
        movaps  %xmm0, %xmm1
again:
        addps   %xmm1, %xmm0
        incq    %rax
        decl    %ecx
        jnz     again

        movb    $WORD, %al
        outb    %al, $EXIT_PORT
stop:
        hlt
        jmp     stop

        .balign 8
gdt:
        .quad   0
        .quad   0x00209a0000000000      # code, long mode
gdt_pointer:
        .word   . - gdt - 1
        .long   gdt

        .org    510
        .word   0xaa55
