/* What the fuzz targets share: a check that ends the run, an input cut into fields, and bytes that
 * are a file without touching the disk. */
#ifndef SOT_TESTS_FUZZ_INPUT_H
#define SOT_TESTS_FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A wrong result is a finding like a crash. */
#define fuzz_check(holds) ((holds) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #holds))

static inline void fuzz_fail(const char *file, int line, const char *expected)
{
    fprintf(stderr, "%s:%d: not so: %s\n", file, line, expected);
    abort();
}

/* A status that cannot be; the sentence says more. */
#define fuzz_check_ok(call) fuzz_check_status(__FILE__, __LINE__, #call, call)

static inline void fuzz_check_status(const char *file, int line, const char *call,
                                     sot_status status)
{
    if (status != SOT_OK) {
        fprintf(stderr, "%d: %s\n", status, soti_fail_message());
        fuzz_fail(file, line, call);
    }
}

static inline void fuzz_check_text(const char *text)
{
    fuzz_check(text != NULL && soti_utf8_find_invalid(text, strlen(text)) == strlen(text));
}

typedef struct fuzz_bytes {
    const uint8_t *data; /* never NULL */
    size_t size;
} fuzz_bytes;

/* Takes what stands before the next byte 0xFF, which no UTF-8 text has, or all that is left. */
static inline fuzz_bytes fuzz_next_field(fuzz_bytes *input)
{
    static const uint8_t nothing;
    fuzz_bytes field = {input->size > 0 ? input->data : &nothing, input->size};
    const uint8_t *end = input->size > 0 ? memchr(input->data, 0xFF, input->size) : NULL;
    if (end == NULL) {
        *input = (fuzz_bytes){&nothing, 0};
        return field;
    }
    field.size = (size_t)(end - input->data);
    input->data += field.size + 1;
    input->size -= field.size + 1;
    return field;
}

/* Where files may come and go without a disk. */
static inline const char *fuzz_scratch(void)
{
    return access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
}

/* A file in memory; its path is good for this process. */
typedef struct fuzz_file {
    int descriptor; /* 0: not yet made */
    char path[64];
} fuzz_file;

static inline const char *fuzz_file_put(fuzz_file *file, const void *data, size_t size)
{
    if (file->descriptor == 0) {
        file->descriptor = memfd_create("fuzz", MFD_CLOEXEC);
        fuzz_check(file->descriptor > 0);
        snprintf(file->path, sizeof file->path, "/proc/self/fd/%d", file->descriptor);
    }
    fuzz_check(ftruncate(file->descriptor, 0) == 0);
    fuzz_check(pwrite(file->descriptor, data, size, 0) == (ssize_t)size);
    return file->path;
}

#endif
