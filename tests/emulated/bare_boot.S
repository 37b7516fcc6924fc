/* From a multiboot loader to 64-bit C (run, in bare_amx.c) on a bare machine: the first GiB mapped to
 * itself, AVX-512 and AMX switched on. */
    .section .multiboot, "a"
    .align 4
    .long 0x1BADB002, 0, -0x1BADB002

    .text
    .code32
    .globl _start
_start:
    cli
    movl $pdpt + 3, pml4
    movl $pd + 3, pdpt
    mov $pd, %edi
    mov $0x83, %eax             /* 2 MiB, writable, present */
    mov $512, %ecx
1:  mov %eax, (%edi)
    add $0x200000, %eax
    add $8, %edi
    loop 1b
    mov $pml4, %eax
    mov %eax, %cr3
    mov $0x40620, %eax          /* PAE, OSFXSR, OSXMMEXCPT, OSXSAVE */
    mov %eax, %cr4
    mov $0xC0000080, %ecx       /* EFER: long mode */
    rdmsr
    or $0x100, %eax
    wrmsr
    mov %cr0, %eax
    and $~0x4, %eax             /* not EM */
    or $0x80000003, %eax        /* PG, MP, PE */
    mov %eax, %cr0
    lgdt gdt_pointer
    ljmp $8, $long_mode

    .code64
long_mode:
    mov $16, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    xor %ecx, %ecx
    xor %edx, %edx
    mov $0x600e7, %eax          /* XCR0: AVX-512 and tiles */
    xsetbv
    mov $stack_top, %rsp
    call run
2:  hlt
    jmp 2b

    .align 16
gdt:
    .quad 0, 0x00AF9A000000FFFF, 0x00CF92000000FFFF
gdt_pointer:
    .word 23
    .long gdt

    .bss
    .align 4096
pml4:
    .skip 4096
pdpt:
    .skip 4096
pd:
    .skip 4096
    .skip 1 << 20
stack_top:

    .section .note.GNU-stack, "", @progbits
