/* See piece_index.h. */
#include "piece_index.h"

#include <string.h>

#include "base/alloc.h"
#include "base/fail.h"

static uint64_t mix(uint64_t state, uint64_t word)
{
    state = (state ^ word) * 0x9FB21C651E98DF25u;
    return state ^ (state >> 32);
}

static uint32_t hash_text(const char *text, size_t size)
{
    uint64_t state = size;
    while (size >= 8) {
        uint64_t word;
        memcpy(&word, text, 8);
        state = mix(state, word);
        text += 8;
        size -= 8;
    }
    uint64_t rest = 0;
    for (size_t i = 0; i < size; i++) {
        rest |= (uint64_t)(unsigned char)text[i] << (8 * i);
    }
    state = mix(mix(state, rest), state >> 29);
    return (uint32_t)(state >> 16);
}

/* Longest way from a text's own slot to the one that holds it. Texts that nobody chose for it stay
 * below 100 at any size of vocabulary; with texts chosen to collide every look-up would take as
 * long as there are pieces. */
enum { REACH_MAX = 1024 };

/* The slot that holds the text, or the empty one where it would go; NULL: neither within reach. */
static soti_piece_slot *find_slot(const soti_piece_map *map, const soti_vocabulary *vocabulary,
                                  const char *text, size_t size, uint32_t hash, uint32_t reach)
{
    for (uint32_t distance = 0; distance <= reach; distance++) {
        soti_piece_slot *slot = &map->slots[(hash + distance) & map->mask];
        if (slot->id < 0) {
            return slot;
        }
        const soti_piece *piece = &vocabulary->pieces[slot->id];
        if (slot->hash == hash && piece->size == size &&
            memcmp(vocabulary->text + piece->offset, text, size) == 0) {
            return slot;
        }
    }
    return NULL;
}

static sot_status enter_piece(soti_piece_map *map, const soti_vocabulary *vocabulary, uint32_t id)
{
    const soti_piece *piece = &vocabulary->pieces[id];
    const char *text = vocabulary->text + piece->offset;
    uint32_t hash = hash_text(text, piece->size);
    soti_piece_slot *slot = find_slot(map, vocabulary, text, piece->size, hash, REACH_MAX);
    if (slot == NULL) {
        return soti_fail(SOT_ERR_FORMAT, "piece %u is one of more than %d made to collide", id,
                         REACH_MAX);
    }
    if (slot->id >= 0) {
        return soti_fail(SOT_ERR_FORMAT, "pieces %d and %u are both \"%.*s\"", slot->id, id,
                         (int)(piece->size & INT32_MAX), text);
    }
    *slot = (soti_piece_slot){hash, (int32_t)id};
    uint32_t distance = ((uint32_t)(slot - map->slots) - hash) & map->mask;
    map->reach = distance > map->reach ? distance : map->reach;
    map->longest = piece->size > map->longest ? piece->size : map->longest;
    return SOT_OK;
}

sot_status soti_piece_map_create(const soti_vocabulary *vocabulary, soti_piece_map *out)
{
    uint64_t capacity = 16;
    while (capacity < 2 * (uint64_t)vocabulary->n_pieces) {
        capacity *= 2;
    }
    *out = (soti_piece_map){.mask = (uint32_t)(capacity - 1)};
    out->slots = soti_alloc(capacity, sizeof *out->slots);
    if (out->slots == NULL) {
        return SOT_ERR_MEMORY;
    }
    for (uint64_t i = 0; i < capacity; i++) {
        out->slots[i].id = -1;
    }
    for (uint32_t i = 0; i < vocabulary->n_pieces; i++) {
        sot_status status = enter_piece(out, vocabulary, i);
        if (status != SOT_OK) {
            soti_piece_map_free(out);
            return status;
        }
    }
    return SOT_OK;
}

int32_t soti_piece_map_find(const soti_piece_map *map, const soti_vocabulary *vocabulary,
                            const char *text, size_t size)
{
    if (size > map->longest) {
        return -1;
    }
    const soti_piece_slot *slot =
        find_slot(map, vocabulary, text, size, hash_text(text, size), map->reach);
    return slot != NULL ? slot->id : -1;
}

void soti_piece_map_free(soti_piece_map *map)
{
    soti_free(map->slots);
    *map = (soti_piece_map){0};
}

static int compare_pieces(const soti_vocabulary *vocabulary, int32_t a, int32_t b)
{
    const soti_piece *x = &vocabulary->pieces[a];
    const soti_piece *y = &vocabulary->pieces[b];
    uint32_t size = x->size < y->size ? x->size : y->size;
    int order = memcmp(vocabulary->text + x->offset, vocabulary->text + y->offset, size);
    return order != 0 ? order : (x->size > y->size) - (x->size < y->size);
}

/* Restores "no child sorts behind its parent" below ids[i]. */
static void sift_down(const soti_vocabulary *vocabulary, int32_t *ids, size_t i, size_t n)
{
    for (size_t child = 2 * i + 1; child < n; child = 2 * i + 1) {
        if (child + 1 < n && compare_pieces(vocabulary, ids[child], ids[child + 1]) < 0) {
            child++;
        }
        if (compare_pieces(vocabulary, ids[i], ids[child]) >= 0) {
            return;
        }
        int32_t swapped = ids[i];
        ids[i] = ids[child];
        ids[child] = swapped;
        i = child;
    }
}

/* Heapsort: the comparison needs the vocabulary, which qsort cannot pass on. */
static void sort_pieces(const soti_vocabulary *vocabulary, int32_t *ids, size_t n)
{
    for (size_t i = n / 2; i > 0; i--) {
        sift_down(vocabulary, ids, i - 1, n);
    }
    for (size_t end = n; end > 1; end--) {
        int32_t largest = ids[0];
        ids[0] = ids[end - 1];
        ids[end - 1] = largest;
        sift_down(vocabulary, ids, 0, end - 1);
    }
}

sot_status soti_piece_list_create(const soti_vocabulary *vocabulary, uint32_t type,
                                  soti_piece_list *out)
{
    *out = (soti_piece_list){0};
    uint32_t n = 0;
    for (uint32_t i = 0; i < vocabulary->n_pieces; i++) {
        n += vocabulary->pieces[i].type == type;
    }
    out->ids = soti_alloc(n, sizeof *out->ids);
    if (out->ids == NULL) {
        return SOT_ERR_MEMORY;
    }
    for (uint32_t i = 0; i < vocabulary->n_pieces; i++) {
        const soti_piece *piece = &vocabulary->pieces[i];
        if (piece->type == type) {
            out->ids[out->n_ids++] = (int32_t)i;
            out->first[(unsigned char)vocabulary->text[piece->offset] + 1]++;
        }
    }
    for (size_t i = 0; i < 256; i++) {
        out->first[i + 1] += out->first[i];
    }
    sort_pieces(vocabulary, out->ids, out->n_ids);
    return SOT_OK;
}

/* The first of ids[low..high) whose byte number depth is at least byte; all share the bytes before
 * it and are longer. */
static uint32_t lower_bound(const soti_piece_list *list, const soti_vocabulary *vocabulary,
                            uint32_t low, uint32_t high, size_t depth, unsigned byte)
{
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const soti_piece *piece = &vocabulary->pieces[list->ids[middle]];
        if ((unsigned char)vocabulary->text[piece->offset + depth] < byte) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

int32_t soti_piece_list_match(const soti_piece_list *list, const soti_vocabulary *vocabulary,
                              const char *text, size_t size)
{
    if (size == 0) {
        return -1;
    }
    int32_t best = -1;
    unsigned byte = (unsigned char)text[0];
    uint32_t low = list->first[byte];
    uint32_t high = list->first[byte + 1];
    for (size_t depth = 1; low < high; depth++) {
        /* ids[low..high) all begin with text[0..depth); one that ends here sorts first. */
        if (vocabulary->pieces[list->ids[low]].size == depth) {
            best = list->ids[low++];
        }
        if (depth == size) {
            break;
        }
        byte = (unsigned char)text[depth];
        low = lower_bound(list, vocabulary, low, high, depth, byte);
        high = lower_bound(list, vocabulary, low, high, depth, byte + 1);
    }
    return best;
}

void soti_piece_list_free(soti_piece_list *list)
{
    soti_free(list->ids);
    *list = (soti_piece_list){0};
}
