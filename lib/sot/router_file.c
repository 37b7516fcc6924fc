/* See router_file.h. The whole file is checked before anything is allocated for it: its size
 * against its counts, then the checksum; then each table while it is copied. */
#include "sot/router_file.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "io/filemap.h"

#if !defined(SOT_DATA_FROM_LIBRARY) || !defined(SOT_DATA_FOLDER)
#error "the build states where data is installed"
#endif

enum { HEADER_BYTES = 76, WORD_BYTES = 12, WEIGHT_BYTES = 8, CHECKSUM_BYTES = 4 };

static const char magic[8] = "SOTROUTR";
static const char file_name[] = "lima.router";

typedef struct reader {
    const char *name;
    const uint8_t *data;
    size_t at; /* every read is within the size that the counts have been checked against */
} reader;

static uint32_t read_u32(reader *r)
{
    const uint8_t *bytes = r->data + r->at;
    r->at += 4;
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

static uint64_t read_u64(reader *r)
{
    uint64_t low = read_u32(r);
    return low | (uint64_t)read_u32(r) << 32;
}

static float read_f32(reader *r)
{
    uint32_t bits = read_u32(r);
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t crc32_of(const uint8_t *data, size_t n)
{
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < n; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
        }
    }
    return ~crc;
}

/* Bytes of a file with these counts; false where they do not fit any file. */
static bool size_of_file(uint32_t n_classes, uint32_t n_words, uint32_t n_weights, size_t *size)
{
    size_t words, weights;
    return soti_mul(n_words, WORD_BYTES, &words) && soti_mul(n_weights, WEIGHT_BYTES, &weights) &&
           soti_add(HEADER_BYTES + CHECKSUM_BYTES + 4 * (size_t)n_classes, words, size) &&
           soti_add(*size, weights, size);
}

static sot_status check_frame(reader *r, size_t size, sot_router *router)
{
    if (size < sizeof magic || memcmp(r->data, magic, sizeof magic) != 0) {
        return soti_fail(SOT_ERR_FORMAT, "%s: is not a router: it does not begin with %.8s",
                         r->name, magic);
    }
    if (size < HEADER_BYTES + CHECKSUM_BYTES) {
        return soti_fail(SOT_ERR_FORMAT, "%s: the file ends in its header, at byte %zu", r->name,
                         size);
    }
    r->at = sizeof magic;
    uint32_t version = read_u32(r);
    if (version != 1) {
        return soti_fail(SOT_ERR_UNSUPPORTED,
                         "%s: version %" PRIu32 " of the format; this library reads version 1",
                         r->name, version);
    }
    uint32_t stated = read_u32(r);
    if (stated != size || size > SOTI_ROUTER_FILE_MAX) {
        return soti_fail(SOT_ERR_FORMAT,
                         "%s: has %zu bytes and states %" PRIu32 "; at most %d are allowed",
                         r->name, size, stated, SOTI_ROUTER_FILE_MAX);
    }
    router->lexicon.n_classes = read_u32(r);
    router->lexicon.n_words = read_u32(r);
    router->n_weights = read_u32(r);
    size_t needed = 0;
    if (router->lexicon.n_classes < 1 || router->lexicon.n_classes > SOTI_LEXICON_MAX_CLASSES ||
        !size_of_file(router->lexicon.n_classes, router->lexicon.n_words, router->n_weights,
                      &needed) ||
        needed != size) {
        return soti_fail(SOT_ERR_FORMAT,
                         "%s: %" PRIu32 " classes, %" PRIu32 " words and %" PRIu32
                         " weights do not make a file of %zu bytes",
                         r->name, router->lexicon.n_classes, router->lexicon.n_words,
                         router->n_weights, size);
    }
    reader end = {r->name, r->data, size - CHECKSUM_BYTES};
    uint32_t wanted = read_u32(&end);
    uint32_t found = crc32_of(r->data, size - CHECKSUM_BYTES);
    if (wanted != found) {
        return soti_fail(SOT_ERR_FORMAT,
                         "%s: the file is damaged: its checksum is %08" PRIx32 ", not %08" PRIx32,
                         r->name, found, wanted);
    }
    return SOT_OK;
}

static uint64_t known_classes(const soti_lexicon *lexicon)
{
    /* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult): there is a class */
    return UINT64_MAX >> (SOTI_LEXICON_MAX_CLASSES - lexicon->n_classes);
}

static sot_status read_numbers(reader *r, sot_router *router)
{
    router->lexicon.requests = read_u64(r);
    if (router->lexicon.requests & ~known_classes(&router->lexicon)) {
        return soti_fail(SOT_ERR_FORMAT,
                         "%s: byte 28: a request may begin with classes that are not there",
                         r->name);
    }
    router->bias = read_f32(r);
    router->threshold = read_f32(r);
    if (!isfinite(router->bias) || !(router->threshold > 0.0f && router->threshold < 1.0f)) {
        return soti_fail(SOT_ERR_FORMAT, "%s: byte 36: bias %g, threshold %g", r->name,
                         (double)router->bias, (double)router->threshold);
    }
    for (size_t i = 0; i < SOTI_FEATURE_FAMILIES; i++) {
        router->scales[i] = read_f32(r);
        if (!isfinite(router->scales[i])) {
            return soti_fail(SOT_ERR_FORMAT, "%s: byte %zu: the scale is not a number", r->name,
                             r->at - 4);
        }
    }
    return SOT_OK;
}

static sot_status read_lexicon(reader *r, soti_lexicon *lexicon)
{
    lexicon->symbols = soti_alloc(lexicon->n_classes, sizeof *lexicon->symbols);
    lexicon->words = soti_alloc(lexicon->n_words, sizeof *lexicon->words);
    if (lexicon->symbols == NULL || lexicon->words == NULL) {
        return SOT_ERR_MEMORY;
    }
    for (uint32_t i = 0; i < lexicon->n_classes; i++) {
        lexicon->symbols[i] = read_u32(r);
    }
    for (uint32_t i = 0; i < lexicon->n_words; i++) {
        soti_lexicon_word *word = &lexicon->words[i];
        word->hash = read_u32(r);
        word->mask = read_u64(r);
        if (i > 0 && word->hash <= word[-1].hash) {
            return soti_fail(SOT_ERR_FORMAT, "%s: byte %zu: word %" PRIu32 " is out of order",
                             r->name, r->at - WORD_BYTES, i);
        }
        if (word->mask == 0 || (word->mask & ~known_classes(lexicon))) {
            return soti_fail(SOT_ERR_FORMAT,
                             "%s: byte %zu: word %" PRIu32 " has classes %" PRIx64 " of %" PRIu32,
                             r->name, r->at - 8, i, word->mask, lexicon->n_classes);
        }
    }
    return SOT_OK;
}

static sot_status read_weights(reader *r, sot_router *router)
{
    router->weights = soti_alloc(router->n_weights, sizeof *router->weights);
    if (router->weights == NULL) {
        return SOT_ERR_MEMORY;
    }
    for (uint32_t i = 0; i < router->n_weights; i++) {
        soti_router_weight *weight = &router->weights[i];
        weight->feature = read_u32(r);
        weight->weight = read_f32(r);
        if ((i > 0 && weight->feature <= weight[-1].feature) || !isfinite(weight->weight)) {
            return soti_fail(SOT_ERR_FORMAT,
                             "%s: byte %zu: feature %" PRIu32 " is out of order or its weight is "
                             "not a number",
                             r->name, r->at - WEIGHT_BYTES, i);
        }
    }
    return SOT_OK;
}

sot_status soti_router_file_read(const char *name, const uint8_t *data, size_t size,
                                 sot_router **out)
{
    *out = NULL;
    sot_router *router = soti_alloc(1, sizeof *router);
    if (router == NULL) {
        return SOT_ERR_MEMORY;
    }
    reader r = {.name = name, .data = data, .at = 0};
    sot_status status = check_frame(&r, size, router);
    if (status == SOT_OK) {
        status = read_numbers(&r, router);
    }
    if (status == SOT_OK) {
        status = read_lexicon(&r, &router->lexicon);
    }
    if (status == SOT_OK) {
        status = read_weights(&r, router);
    }
    if (status != SOT_OK) {
        soti_classifier_free(router);
        return status;
    }
    *out = router;
    return SOT_OK;
}

/* The file's path as it lies from the folder of the file that this code was loaded from; "" where
 * that is not known. */
static void path_from_library(char path[PATH_MAX])
{
    static const char here; /* any address of this file will do */
    Dl_info info;
    path[0] = '\0';
    if (dladdr(&here, &info) == 0 || info.dli_fname == NULL) {
        return;
    }
    const char *slash = strrchr(info.dli_fname, '/');
    if (slash == NULL) {
        return;
    }
    int n = snprintf(path, PATH_MAX, "%.*s/" SOT_DATA_FROM_LIBRARY "/sot/%s",
                     (int)(slash - info.dli_fname), info.dli_fname, file_name);
    if (n < 0 || n >= PATH_MAX) {
        path[0] = '\0';
    }
}

static sot_status find_installed(char path[PATH_MAX])
{
    static const char *const places[] = {
        SOT_DATA_FOLDER "/sot/lima.router",
        "/usr/share/sot/lima.router", /* a package's, whatever its build was configured for */
    };
    _Static_assert(sizeof SOT_DATA_FOLDER + sizeof "/sot/lima.router" <= PATH_MAX, "it fits");
    path_from_library(path);
    if (path[0] != '\0' && access(path, F_OK) == 0) {
        return SOT_OK;
    }
    size_t first = strcmp(places[0], places[1]) == 0; /* the same place once */
    for (size_t i = first; i < sizeof places / sizeof places[0]; i++) {
        if (access(places[i], F_OK) == 0) {
            memcpy(path, places[i], strlen(places[i]) + 1);
            return SOT_OK;
        }
    }
    return soti_fail(SOT_ERR_IO, "no trained router is installed: there is no %s%s%s or %s",
                     path[0] != '\0' ? path : "folder of the library", first == 0 ? ", " : "",
                     first == 0 ? places[0] : "", places[1]);
}

sot_status soti_router_file_load(const char *path, sot_router **out)
{
    char found[PATH_MAX];
    soti_filemap map;
    *out = NULL;
    if (path == NULL) {
        RETURN_IF_ERROR(find_installed(found));
        path = found;
    }
    RETURN_IF_ERROR(soti_filemap_read(path, SOTI_SMALL_FILE_MAX, NULL, &map));
    sot_status status = soti_router_file_read(path, map.data, map.size, out);
    soti_filemap_close(&map);
    return status;
}
