/* One source, two programs (amx_bochs.sh builds them). On a host: cpu_kernels_amx.c over emulated
 * tiles; prints a digest of each case's results as a header. With BARE: the real instructions on a
 * bare machine; compares with that header and reports on the first serial port. */
#ifndef BARE
#include <stdio.h>

#include "unit/amx_emulated.h"
#endif

#include "cpu/cpu_kernels_amx.c"

enum { N_CASES = 6, MAX_OUT = 70, MAX_IN = 640, MAX_ROWS = 150, MAX_PACKED = 160 * 656 };

/* n_out, n_in, n_rows: tails of each, several blocks, chunks and groups. */
static const unsigned cases[N_CASES][3] = {{1, 1, 1},     {16, 32, 16},  {33, 300, 17},
                                           {70, 129, 40}, {32, 640, 33}, {20, 260, 150}};

static uint16_t w[MAX_OUT * MAX_IN];
static float x[MAX_ROWS * MAX_IN];
static alignas(64) float packed[MAX_PACKED];
static float out[MAX_ROWS * MAX_OUT];
static uint64_t seed;

static uint32_t next_word(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 16);
}

/* Weights of every size that tiles hold, subnormal ones too, in every other case a larger one; some
 * activations far below the others. */
static uint64_t digest_of_case(unsigned i)
{
    size_t n_out = cases[i][0];
    size_t n_in = cases[i][1];
    size_t n_rows = cases[i][2];
    seed = 88172645463325252u + i;
    for (size_t j = 0; j < n_out * n_in; j++) {
        uint32_t word = next_word();
        w[j] = (uint16_t)((word & 0x8000) | (word % 0x4BF0));
    }
    if (i % 2) {
        w[(n_out - 1) * n_in] = 0x5000;
    }
    for (size_t j = 0; j < n_rows * n_in; j++) {
        uint32_t word = next_word();
        x[j] = (float)(int32_t)word * (word % 7 == 0 ? 0x1p-60f : 0x1p-31f);
    }
    soti_cpu_amx_pack(x, n_in, n_rows, n_in, packed);
    soti_cpu_amx_product(w, n_out, n_in, packed, n_rows, out, n_out);
    uint64_t digest = 14695981039346656037u; /* FNV-1a */
    for (size_t j = 0; j < n_out * n_rows * sizeof *out; j++) {
        digest = (digest ^ ((const unsigned char *)out)[j]) * 1099511628211u;
    }
    return digest;
}

#ifdef BARE

#include "bare_expected.h"

enum { COM1 = 0x3F8, LINE_CONTROL = COM1 + 3, LINE_STATUS = COM1 + 5, BOCHS_SHUTDOWN = 0x8900 };

static void out_byte(int port, int byte)
{
    __asm__ volatile("outb %0, %1" ::"a"((uint8_t)byte), "Nd"((uint16_t)port));
}

static int in_byte(int port)
{
    uint8_t byte;
    __asm__ volatile("inb %1, %0" : "=a"(byte) : "Nd"((uint16_t)port));
    return byte;
}

static void print(const char *text)
{
    for (; *text != '\0'; text++) {
        while (!(in_byte(LINE_STATUS) & 0x20)) {
        }
        out_byte(COM1, *text);
    }
}

static void print_number(uint64_t number)
{
    char text[2] = "";
    for (int shift = 60; shift >= 0; shift -= 4) {
        text[0] = "0123456789abcdef"[number >> shift & 15];
        print(text);
    }
}

/* What a compiler may call in a program without a library. */
void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int value, size_t n);
void run(void);

void *memcpy(void *to, const void *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        ((volatile char *)to)[i] = ((const char *)from)[i];
    }
    return to;
}

void *memset(void *to, int value, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        ((volatile char *)to)[i] = (char)value;
    }
    return to;
}

void run(void)
{
    unsigned n_different = 0;
    out_byte(LINE_CONTROL, 0x80); /* the divisor's turn */
    out_byte(COM1, 1);
    out_byte(COM1 + 1, 0);
    out_byte(LINE_CONTROL, 3); /* eight bits */
    for (unsigned i = 0; i < N_CASES; i++) {
        uint64_t digest = digest_of_case(i);
        n_different += digest != expected[i];
        print_number(digest);
        print(digest == expected[i] ? " as expected\n" : " DIFFERENT\n");
    }
    print(n_different == 0 ? "bare: all the same\n\n" : "bare: FAILED\n\n");
    while (!(in_byte(LINE_STATUS) & 0x40)) {
    }
    for (const char *word = "Shutdown"; *word != '\0'; word++) {
        out_byte(BOCHS_SHUTDOWN, *word);
    }
}

#else

int main(void)
{
    printf("static const uint64_t expected[] = {\n");
    for (unsigned i = 0; i < N_CASES; i++) {
        printf("    0x%016llxu,\n", (unsigned long long)digest_of_case(i));
    }
    printf("};\n");
    return 0;
}

#endif
