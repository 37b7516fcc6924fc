/* Finding pieces by their text: exactly (an open-addressing hash table) and as the longest
 * beginning of a text (a sorted array). Both hold ids; the vocabulary stays the caller's. */
#ifndef SOTI_IO_PIECE_INDEX_H
#define SOTI_IO_PIECE_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "io/vocabulary.h"
#include "sot/status.h"

typedef struct soti_piece_slot {
    uint32_t hash;
    int32_t id; /* -1: empty */
} soti_piece_slot;

typedef struct soti_piece_map {
    soti_piece_slot *slots; /* (mask + 1), a power of two, at most half of them used */
    uint32_t mask;
    uint32_t longest; /* bytes of the longest piece; longer texts are not looked for */
    uint32_t reach;   /* slots that a piece lies behind its own, at most; not looked for beyond */
} soti_piece_map;

/* Enters all pieces. Returns FORMAT (two have the same text; over a thousand were made to collide),
 * MEMORY. */
sot_status soti_piece_map_create(const soti_vocabulary *vocabulary, soti_piece_map *out);
int32_t soti_piece_map_find(const soti_piece_map *map, const soti_vocabulary *vocabulary,
                            const char *text, size_t size); /* -1: none */
void soti_piece_map_free(soti_piece_map *map);

typedef struct soti_piece_list {
    int32_t *ids; /* (n_ids), sorted by text as unsigned bytes */
    uint32_t n_ids;
    uint32_t first[256 + 1]; /* ids[first[b]..first[b + 1]) begin with byte b */
} soti_piece_list;

/* Enters the pieces of one type. Returns MEMORY. */
sot_status soti_piece_list_create(const soti_vocabulary *vocabulary, uint32_t type,
                                  soti_piece_list *out);

/* The id of the longest piece that text[0..size) begins with, or -1. Its size is the match's. */
int32_t soti_piece_list_match(const soti_piece_list *list, const soti_vocabulary *vocabulary,
                              const char *text, size_t size);
void soti_piece_list_free(soti_piece_list *list);

#endif
