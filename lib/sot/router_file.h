/* The file of a trained router: reading it, and finding the one that is installed.
 *
 * Little-endian, without padding, at most SOTI_ROUTER_FILE_MAX bytes:
 *
 *      0  8 bytes  "SOTROUTR"
 *      8  u32      version, 1
 *     12  u32      bytes of the file
 *     16  u32      C, word classes, 1 to 64
 *     20  u32      W, words of the lexicon
 *     24  u32      F, features with a weight
 *     28  u64      classes whose words begin a request, bit i for class i
 *     36  f32      bias
 *     40  f32      threshold, above 0 and below 1
 *     44  f32 x 8  scales of the families of features
 *     76  C times  u32 symbol of a class
 *         W times  u32 hash of a word, ascending; u64 its classes, at least one
 *         F times  u32 feature, ascending; f32 weight
 *         u32      CRC-32 (IEEE 802.3) of everything before it
 *
 * Every float is finite. What hashes, classes and features are is question_words.h's and
 * question_features.h's. */
#ifndef SOTI_SOT_ROUTER_FILE_H
#define SOTI_SOT_ROUTER_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "sot/classifier.h"

enum { SOTI_ROUTER_FILE_MAX = 512 * 1024 };

/* name is for messages. Returns MEMORY, FORMAT, UNSUPPORTED (another version of the format). */
sot_status soti_router_file_read(const char *name, const uint8_t *data, size_t size,
                                 sot_router **out);

/* path NULL: the installed file. Returns also IO. */
sot_status soti_router_file_load(const char *path, sot_router **out);

#endif
