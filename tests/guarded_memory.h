/* Include last: malloc(), calloc() and aligned_alloc() then give memory that ends where a page
 * ends, with a page behind it that nobody may touch, so that reading behind an array is a crash in
 * every build and on every machine (CK-2). Sizes for aligned_alloc() are multiples of the
 * alignment. With the address sanitizer memory stays its own: it watches both ends. */
#ifndef SOT_TESTS_GUARDED_MEMORY_H
#define SOT_TESTS_GUARDED_MEMORY_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define SOT_HAS_GUARDS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SOT_HAS_GUARDS 0
#endif
#endif

#ifndef SOT_HAS_GUARDS
#define SOT_HAS_GUARDS 1

typedef struct guarded_block {
    char *first; /* of room bytes, up to the page that nobody may touch */
    size_t room;
    char *data; /* NULL: free, and kept for the next one that fits */
} guarded_block;

static guarded_block guarded_blocks[64];

static inline void *guarded_alloc(size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t room = bytes == 0 ? page : (bytes + page - 1) / page * page;
    guarded_block *empty = NULL;
    for (size_t i = 0; i < sizeof guarded_blocks / sizeof guarded_blocks[0]; i++) {
        guarded_block *block = &guarded_blocks[i];
        if (block->first != NULL && block->data == NULL && block->room == room) {
            block->data = block->first + (room - bytes);
            return block->data;
        }
        if (empty == NULL && block->data == NULL) {
            empty = block;
        }
    }
    if (empty == NULL) {
        return NULL;
    }
    if (empty->first != NULL) {
        munmap(empty->first, empty->room + page);
        empty->first = NULL;
    }
    char *first =
        mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (first == MAP_FAILED) {
        return NULL;
    }
    mprotect(first + room, page, PROT_NONE);
    *empty = (guarded_block){first, room, first + (room - bytes)};
    return empty->data;
}

static inline void *guarded_calloc(size_t count, size_t size)
{
    void *data = guarded_alloc(count * size);
    return data == NULL ? NULL : memset(data, 0, count * size);
}

static inline void guarded_free(void *data)
{
    for (size_t i = 0; i < sizeof guarded_blocks / sizeof guarded_blocks[0]; i++) {
        if (data != NULL && guarded_blocks[i].data == data) {
            guarded_blocks[i].data = NULL;
        }
    }
}

#define malloc(bytes)                   guarded_alloc(bytes)
#define calloc(count, size)             guarded_calloc(count, size)
#define aligned_alloc(alignment, bytes) guarded_alloc(bytes)
#define free(data)                      guarded_free(data)
#endif

#endif
