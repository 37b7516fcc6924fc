/* A small trained router as the bytes of its file, put together by the tests as
 * lib/sot/router_file.h describes them. */
#ifndef SOT_TESTS_ROUTER_IMAGE_H
#define SOT_TESTS_ROUTER_IMAGE_H

#include <stdint.h>
#include <string.h>

#include "base/buffer.h"
#include "sot/question_words.h"

enum { IMAGE_CLASSES = 3, IMAGE_WORDS = 3, IMAGE_MAX_WEIGHTS = 64 };
enum { IMAGE_ADVICE = 0, IMAGE_COMPOSE = 1, IMAGE_GENRE = 2 };

typedef struct router_image {
    uint32_t version, n_classes, n_words, n_weights;
    uint64_t requests;
    float bias, threshold, scales[8];
    uint32_t symbols[IMAGE_CLASSES];
    struct {
        uint32_t hash;
        uint64_t mask;
    } words[IMAGE_WORDS];
    struct {
        uint32_t feature;
        float weight;
    } weights[IMAGE_MAX_WEIGHTS];
} router_image;

static inline uint32_t image_hash(const char *text)
{
    return soti_text_hash(text, strlen(text));
}

/* Classes advice ("tips"), compose ("write", a request) and genre ("poem", which is also of
 * compose); no weights. The words are in the order of their hashes. */
static inline router_image router_image_plain(void)
{
    router_image image = {.version = 1,
                          .n_classes = IMAGE_CLASSES,
                          .n_words = IMAGE_WORDS,
                          .requests = 1u << IMAGE_COMPOSE,
                          .threshold = 0.5f,
                          .scales = {1, 1, 1, 1, 1, 1, 1, 1}};
    static const char *const names[] = {"@advice", "@compose", "@genre"};
    static const struct {
        const char *text;
        uint64_t mask;
    } words[] = {{"tips", 1}, {"write", 2}, {"poem", 4 | 2}};
    for (int i = 0; i < IMAGE_CLASSES; i++) {
        image.symbols[i] = image_hash(names[i]);
    }
    for (int i = 0; i < IMAGE_WORDS; i++) {
        int at = i;
        for (; at > 0 && image.words[at - 1].hash > image_hash(words[i].text); at--) {
            image.words[at] = image.words[at - 1];
        }
        image.words[at].hash = image_hash(words[i].text);
        image.words[at].mask = words[i].mask;
    }
    return image;
}

/* The weights must be added in ascending order of their features. */
static inline void router_image_weigh(router_image *image, uint32_t feature, float weight)
{
    image->weights[image->n_weights].feature = feature;
    image->weights[image->n_weights++].weight = weight;
}

static inline void image_put_u32(soti_buffer *out, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        uint8_t byte = (uint8_t)(value >> (8 * i));
        soti_buffer_append(out, &byte, 1);
    }
}

static inline void image_put_u64(soti_buffer *out, uint64_t value)
{
    image_put_u32(out, (uint32_t)value);
    image_put_u32(out, (uint32_t)(value >> 32));
}

static inline void image_put_f32(soti_buffer *out, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    image_put_u32(out, bits);
}

/* By the table of the first 16 values, four bits at a time. */
static inline uint32_t image_crc32(const void *data, size_t n)
{
    static const uint32_t table[16] = {
        0x00000000, 0x1DB71064, 0x3B6E20C8, 0x26D930AC, 0x76DC4190, 0x6B6B51F4,
        0x4DB26158, 0x5005713C, 0xEDB88320, 0xF00F9344, 0xD6D6A3E8, 0xCB61B38C,
        0x9B64C2B0, 0x86D3D2D4, 0xA00AE278, 0xBDBDF21C,
    };
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = 0; i < n; i++) {
        uint8_t byte = ((const uint8_t *)data)[i];
        crc = table[(crc ^ byte) & 15] ^ crc >> 4;
        crc = table[(crc ^ (uint32_t)(byte >> 4)) & 15] ^ crc >> 4;
    }
    return ~crc;
}

/* Puts the checksum at the end of *out right, and states its size where restate is not 0. */
static inline void router_image_seal(soti_buffer *out, int restate)
{
    if (restate) {
        for (int i = 0; i < 4; i++) {
            out->data[12 + i] = (char)(uint8_t)(out->size >> (8 * i));
        }
    }
    uint32_t crc = image_crc32(out->data, out->size - 4);
    soti_buffer_truncate(out, out->size - 4);
    image_put_u32(out, crc);
}

static inline void router_image_put(const router_image *image, soti_buffer *out)
{
    soti_buffer_append(out, "SOTROUTR", 8);
    image_put_u32(out, image->version);
    image_put_u32(out, 0);
    image_put_u32(out, image->n_classes);
    image_put_u32(out, image->n_words);
    image_put_u32(out, image->n_weights);
    image_put_u64(out, image->requests);
    image_put_f32(out, image->bias);
    image_put_f32(out, image->threshold);
    for (int i = 0; i < 8; i++) {
        image_put_f32(out, image->scales[i]);
    }
    for (uint32_t i = 0; i < image->n_classes && i < IMAGE_CLASSES; i++) {
        image_put_u32(out, image->symbols[i]);
    }
    for (uint32_t i = 0; i < image->n_words && i < IMAGE_WORDS; i++) {
        image_put_u32(out, image->words[i].hash);
        image_put_u64(out, image->words[i].mask);
    }
    for (uint32_t i = 0; i < image->n_weights && i < IMAGE_MAX_WEIGHTS; i++) {
        image_put_u32(out, image->weights[i].feature);
        image_put_f32(out, image->weights[i].weight);
    }
    image_put_u32(out, 0);
    router_image_seal(out, 1);
}

#endif
