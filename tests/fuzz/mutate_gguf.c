/* Mutations for fuzz_gguf.c that keep to the format: half of the time a file is taken apart into
 * its pairs and tensor entries, one of them is changed, left out or put in twice, and the file put
 * together again with its counts, lengths and padding right. Otherwise, and where a file cannot be
 * taken apart, libFuzzer's own mutations. Linked into the fuzzer alone. */
#include <string.h>

#include "../random_source.h"
#include "fuzz_input.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

enum { HEADER_BYTES = 24, ITEMS_MAX = 256, FILE_BYTES_MAX = 1 << 16, STRING = 8, ARRAY = 9 };

typedef struct item { /* a pair or a tensor entry */
    uint8_t *data;
    size_t size;
} item;

typedef struct file {
    uint8_t bytes[FILE_BYTES_MAX];
    uint8_t changed[FILE_BYTES_MAX]; /* the item that was changed */
    item items[ITEMS_MAX + 1];       /* pairs, then tensors */
    size_t n_pairs, n_tensors;
    size_t alignment, i_data, size;
} file;

static uint64_t load(const uint8_t *data, size_t n)
{
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++) {
        value |= (uint64_t)data[i] << (8 * i);
    }
    return value;
}

static void store(uint8_t *data, size_t n, uint64_t value)
{
    for (size_t i = 0; i < n; i++) {
        data[i] = (uint8_t)(value >> (8 * i));
    }
}

/* Each returns bytes, 0: none, or more than are left. */
static size_t string_bytes(const uint8_t *data, size_t left)
{
    return left < 8 || load(data, 8) > left - 8 ? 0 : 8 + (size_t)load(data, 8);
}

static size_t value_bytes(uint32_t type, const uint8_t *data, size_t left)
{
    static const uint8_t sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    size_t size = type < sizeof sizes ? sizes[type] : 0;
    if (type == STRING) {
        return string_bytes(data, left);
    }
    return size <= left ? size : 0;
}

static size_t array_bytes(const uint8_t *data, size_t left)
{
    size_t size = 12;
    if (left < size) {
        return 0;
    }
    uint32_t type = (uint32_t)load(data, 4);
    for (uint64_t i = load(data + 4, 8); i > 0; i--) {
        size_t item_size = value_bytes(type, data + size, left - size);
        if (item_size == 0) {
            return 0;
        }
        size += item_size;
    }
    return size;
}

static size_t pair_bytes(const uint8_t *data, size_t left)
{
    size_t key = string_bytes(data, left);
    if (key == 0 || left - key < 4) {
        return 0;
    }
    uint32_t type = (uint32_t)load(data + key, 4);
    size_t at = key + 4;
    size_t value =
        type == ARRAY ? array_bytes(data + at, left - at) : value_bytes(type, data + at, left - at);
    return value > 0 ? at + value : 0;
}

static size_t tensor_bytes(const uint8_t *data, size_t left)
{
    size_t name = string_bytes(data, left);
    if (name == 0 || left - name < 4 || load(data + name, 4) > 8) {
        return 0;
    }
    size_t rest = 4 + 8 * (size_t)load(data + name, 4) + 4 + 8;
    return rest <= left - name ? name + rest : 0;
}

static bool take_apart(file *file)
{
    uint64_t n_tensors = load(file->bytes + 8, 8);
    uint64_t n_pairs = load(file->bytes + 16, 8);
    if (file->size < HEADER_BYTES || n_pairs > ITEMS_MAX || n_tensors > ITEMS_MAX - n_pairs) {
        return false;
    }
    file->n_pairs = (size_t)n_pairs;
    file->n_tensors = (size_t)n_tensors;
    file->alignment = 32;
    size_t at = HEADER_BYTES;
    for (size_t i = 0; i < file->n_pairs + file->n_tensors; i++) {
        uint8_t *data = file->bytes + at;
        size_t left = file->size - at;
        size_t n = i < file->n_pairs ? pair_bytes(data, left) : tensor_bytes(data, left);
        if (n == 0) {
            return false;
        }
        file->items[i] = (item){data, n};
        at += n;
        if (n == 8 + 17 + 8 && memcmp(data + 8, "general.alignment", 17) == 0) {
            size_t stated = (size_t)load(data + 8 + 17 + 4, 4);
            file->alignment = stated > 0 && stated <= 4096 ? stated : 1;
        }
    }
    at += (file->alignment - at % file->alignment) % file->alignment;
    file->i_data = at < file->size ? at : file->size;
    return true;
}

/* A text, with its length in front, of other bytes. Returns its new size. */
static size_t change_string(uint8_t *data, size_t room)
{
    size_t n = LLVMFuzzerMutate(data + 8, (size_t)load(data, 8), room - 8);
    store(data, 8, n);
    return 8 + n;
}

/* Numbers of whatever is there: in place, so that lengths stay right. */
static void change_bytes(uint8_t *data, size_t n, random_source *random)
{
    static const uint64_t numbers[] = {0,          1,          2,         3,
                                       INT32_MAX,  UINT32_MAX, INT64_MAX, UINT64_MAX,
                                       1ull << 31, 1ull << 63, 1ull << 24};
    uint64_t value = load(data, n < 8 ? n : 8);
    switch (random_between(random, 0, 3)) {
    case 0:
        value = numbers[random_between(random, 0, sizeof numbers / sizeof *numbers - 1)];
        break;
    case 1:
        value += random_between(random, 0, 8) - UINT64_C(4);
        break;
    case 2:
        value = random_between(random, 0, 1) ? value * 2 : value / 2;
        break;
    default:
        LLVMFuzzerMutate(data, n, n);
        return;
    }
    store(data, n < 8 ? n : 8, value);
}

/* An array's last item left out, or its first repeated at the end. Returns the new size. */
static size_t change_array(uint8_t *data, size_t size, size_t room, random_source *random)
{
    uint32_t type = (uint32_t)load(data, 4);
    uint64_t n = load(data + 4, 8);
    size_t first = n > 0 ? value_bytes(type, data + 12, size - 12) : 0;
    if (n > 0 && first <= room - size && random_between(random, 0, 1)) {
        memcpy(data + size, data + 12, first);
        store(data + 4, 8, n + 1);
        return size + first;
    }
    size_t at = 12;
    for (uint64_t i = 1; i < n; i++) {
        at += value_bytes(type, data + at, size - at);
    }
    store(data + 4, 8, n > 0 ? n - 1 : 0);
    return at;
}

/* A pair: its key, its type or its value. room bytes are there; returns the new size. */
static size_t change_pair(uint8_t *data, size_t size, size_t room, random_source *random)
{
    size_t key = string_bytes(data, size);
    uint8_t *value = data + key + 4;
    size_t n_value = size - key - 4;
    uint32_t type = (uint32_t)load(data + key, 4);
    if (random_between(random, 0, 15) == 0) {
        uint8_t rest[64];
        size_t n_rest = n_value + 4 < sizeof rest ? n_value + 4 : sizeof rest;
        memcpy(rest, data + key, n_rest);
        key = change_string(data, room - n_rest);
        memcpy(data + key, rest, n_rest);
        return key + n_rest;
    }
    if (type != ARRAY && random_between(random, 0, 7) == 0) {
        uint32_t other = random_between(random, 0, 12);
        size_t n = other == ARRAY ? 12 : other == STRING ? 8 : 0;
        memset(value, 0, n);
        store(data + key, 4, other);
        return key + 4 + (n > 0 ? n : value_bytes(other, value, 8));
    }
    if (type == STRING) {
        return key + 4 + change_string(value, room - key - 4);
    }
    if (type == ARRAY && random_between(random, 0, 1)) {
        return key + 4 + change_array(value, n_value, room - key - 4, random);
    }
    if (type == ARRAY) { /* one of its bytes, or of the 12 in front */
        uint32_t at = random_between(random, 0, (uint32_t)n_value - 1);
        change_bytes(value + at, n_value - at < 4 ? n_value - at : 4, random);
    } else {
        change_bytes(value, n_value, random);
    }
    return size;
}

static void change_tensor(uint8_t *data, size_t size, random_source *random)
{
    size_t name = string_bytes(data, size);
    size_t n_dims = (size_t)load(data + name, 4);
    uint32_t which = random_between(random, 0, (uint32_t)n_dims + 3);
    if (which < n_dims) {
        change_bytes(data + name + 4 + 8 * which, 8, random);
    } else if (which == n_dims) {
        change_bytes(data + size - 8, 8, random); /* its place */
    } else if (which == n_dims + 1) {
        static const uint8_t types[] = {0, 1, 30, 8, 28};
        store(data + size - 12, 4, types[random_between(random, 0, sizeof types - 1)]);
    } else if (which == n_dims + 2) {
        change_bytes(data + name, 4, random);
    } else if (name > 8) {
        LLVMFuzzerMutate(data + 8, name - 8, name - 8);
    }
}

static void change(file *file, random_source *random)
{
    size_t n = file->n_pairs + file->n_tensors;
    size_t i = random_between(random, 0, (uint32_t)n - 1);
    size_t *count = i < file->n_pairs ? &file->n_pairs : &file->n_tensors;
    item chosen = file->items[i];
    uint32_t way = random_between(random, 0, 9);
    if (way == 0) {
        memmove(file->items + i, file->items + i + 1, (n - i - 1) * sizeof *file->items);
        --*count;
    } else if (way == 1) {
        memmove(file->items + i + 1, file->items + i, (n - i) * sizeof *file->items);
        ++*count;
    } else {
        memcpy(file->changed, chosen.data, chosen.size);
        if (i < file->n_pairs) {
            chosen.size = change_pair(file->changed, chosen.size, chosen.size + 64, random);
        } else {
            change_tensor(file->changed, chosen.size, random);
        }
        file->items[i] = (item){file->changed, chosen.size};
    }
}

/* Returns the size, 0: it does not fit. */
static size_t put_together(const file *file, uint8_t *out, size_t room)
{
    size_t at = HEADER_BYTES;
    size_t n_data = file->size - file->i_data;
    memcpy(out, file->bytes, 8);
    store(out + 8, 8, file->n_tensors);
    store(out + 16, 8, file->n_pairs);
    for (size_t i = 0; i < file->n_pairs + file->n_tensors; i++) {
        if (file->items[i].size > room - at) {
            return 0;
        }
        memcpy(out + at, file->items[i].data, file->items[i].size);
        at += file->items[i].size;
    }
    size_t padding = (file->alignment - at % file->alignment) % file->alignment;
    if (padding > room - at || n_data > room - at - padding) {
        return 0;
    }
    memset(out + at, 0, padding);
    memcpy(out + at + padding, file->bytes + file->i_data, n_data);
    return at + padding + n_data;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    static file file;
    random_source random = {seed};
    if (random_between(&random, 0, 1) && size >= HEADER_BYTES && size + 128 <= FILE_BYTES_MAX &&
        max_size >= HEADER_BYTES) {
        memcpy(file.bytes, data, size);
        file.size = size;
        if (take_apart(&file) && file.n_pairs + file.n_tensors > 0) {
            change(&file, &random);
            size_t n = put_together(&file, data, max_size);
            if (n > 0) {
                return n;
            }
            memcpy(data, file.bytes, size);
        }
    }
    return LLVMFuzzerMutate(data, size, max_size);
}
