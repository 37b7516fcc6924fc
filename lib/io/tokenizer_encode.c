/* Text to ids, as SentencePiece's BPE does: normalize, split into characters, join the best pair of
 * neighbours until no pair is a piece, look the rest up.
 *
 *   TE-1  Symbols are a doubly linked list over an array in text order; a joined pair lives on in
 *         its left symbol, the right one's size becomes 0.
 *   TE-2  The agenda yields pairs by score, highest first (0 above -0, as SentencePiece 0.2.3 has
 *         it), then by left symbol, leftmost first.
 *   TE-3  An agenda entry is stale if its left symbol is gone or the pair's size has changed:
 *         symbols only grow, so an equal size means the same two symbols.
 *   TE-4  n symbols join at most n - 1 times, each adding two entries and taking one: the agenda
 *         never holds more than 2n.
 *   TE-5  Where no piece has a space behind something else, nothing joins across such a place, and
 *         the text is done in stretches that fit the cache. Unused pieces forbid it: how one is
 *         taken apart depends on the whole text. */
#include <string.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "base/utf8.h"
#include "tokenizer.h"
#include "tokenizer_core.h"

#define NO_SYMBOL UINT32_MAX

enum { STRETCH_BYTES = 4096 };

typedef struct symbol {
    uint32_t offset; /* into the normalized text */
    uint32_t size;   /* bytes; 0: joined into another (TE-1) */
    uint32_t prev, next;
    uint32_t frozen; /* user-defined: joins with nothing */
} symbol;

typedef struct pair {
    uint64_t order; /* smaller goes first (TE-2): score upside down, then the left symbol */
    uint32_t size;  /* bytes of both (TE-3) */
} pair;

typedef struct encoder {
    const soti_tokenizer *tokenizer;
    soti_buffer text; /* normalized */
    symbol *symbols;  /* (n_symbols) of the stretch at hand */
    uint32_t n_symbols;
    size_t capacity; /* symbols there is room for */
    pair *agenda;    /* (n_agenda), a heap with four children a node */
    size_t n_agenda;
    /* Unused pieces are joined like any other and taken apart again at the end. */
    uint32_t *left_sizes; /* (n_pieces) size of the left half last seen; NULL until one is seen */
    uint32_t *segments;   /* (n_symbols + 1) sizes still to be looked up, a stack */
    bool after_unknown;
    soti_tokens *tokens;
} encoder;

/* Reads one character of the raw text, or one user-defined piece, which goes unchanged; a byte that
 * is part of no character is read as U+FFFD. */
static size_t read_unit(const soti_tokenizer *tokenizer, const char *text, size_t size,
                        const char **unit, size_t *unit_size)
{
    *unit = text;
    int32_t id =
        soti_piece_list_match(&tokenizer->user_defined, &tokenizer->vocabulary, text, size);
    if (id >= 0) {
        *unit_size = tokenizer->vocabulary.pieces[id].size;
        return *unit_size;
    }
    uint32_t code;
    bool valid;
    *unit_size = soti_utf8_decode(text, size, &code, &valid);
    if (valid) {
        return *unit_size;
    }
    *unit = "\xEF\xBF\xBD";
    *unit_size = 3;
    return 1;
}

static sot_status append_unit(soti_buffer *out, const char *unit, size_t size)
{
    if (memchr(unit, ' ', size) == NULL) {
        return soti_buffer_append(out, unit, size);
    }
    for (size_t i = 0; i < size; i++) {
        bool space = unit[i] == ' ';
        RETURN_IF_ERROR(soti_buffer_append(out, space ? SOTI_SPACE_MARK : unit + i,
                                           space ? SOTI_SPACE_MARK_SIZE : 1));
    }
    return SOT_OK;
}

static void trim_space_marks(soti_buffer *out)
{
    while (out->size >= SOTI_SPACE_MARK_SIZE &&
           memcmp(out->data + out->size - SOTI_SPACE_MARK_SIZE, SOTI_SPACE_MARK,
                  SOTI_SPACE_MARK_SIZE) == 0) {
        soti_buffer_truncate(out, out->size - SOTI_SPACE_MARK_SIZE);
    }
}

/* Identity normalization: spaces become U+2581, one goes in front, and where the vocabulary asks
 * for it, runs of spaces become one and those at both ends go. Behind other ids nothing goes in
 * front and a first space stays. */
static sot_status normalize(const soti_tokenizer *tokenizer, const char *text, size_t size,
                            bool behind, soti_buffer *out)
{
    bool trims = tokenizer->vocabulary.remove_extra_whitespaces != 0;
    const char *unit;
    size_t unit_size;
    size_t i = 0;
    while (trims && !behind && i < size) {
        size_t taken = read_unit(tokenizer, text + i, size - i, &unit, &unit_size);
        if (unit_size != 1 || unit[0] != ' ') {
            break;
        }
        i += taken;
    }
    if (i == size) {
        return SOT_OK;
    }
    RETURN_IF_ERROR(soti_buffer_reserve(out, size - i + SOTI_SPACE_MARK_SIZE));
    if (tokenizer->vocabulary.add_dummy_prefix && !behind) {
        RETURN_IF_ERROR(soti_buffer_append(out, SOTI_SPACE_MARK, SOTI_SPACE_MARK_SIZE));
    }
    bool after_space = trims && !behind;
    while (i < size) {
        i += read_unit(tokenizer, text + i, size - i, &unit, &unit_size);
        while (after_space && unit_size > 0 && unit[0] == ' ') {
            unit++;
            unit_size--;
        }
        if (unit_size > 0) {
            RETURN_IF_ERROR(append_unit(out, unit, unit_size));
            after_space = trims && unit[unit_size - 1] == ' ';
        }
    }
    if (trims) {
        trim_space_marks(out);
    }
    return SOT_OK;
}

/* Where the stretch that begins at start may end (TE-5). */
static size_t find_cut(const encoder *e, size_t start)
{
    const char *text = e->text.data;
    size_t size = e->text.size;
    if (!e->tokenizer->cuts_at_spaces || size - start <= STRETCH_BYTES) {
        return size;
    }
    for (size_t i = start + STRETCH_BYTES; i + SOTI_SPACE_MARK_SIZE <= size; i++) {
        if (memcmp(text + i, SOTI_SPACE_MARK, SOTI_SPACE_MARK_SIZE) == 0 &&
            memcmp(text + i - SOTI_SPACE_MARK_SIZE, SOTI_SPACE_MARK, SOTI_SPACE_MARK_SIZE) != 0) {
            return i;
        }
    }
    return size;
}

static sot_status reserve_symbols(encoder *e, size_t n)
{
    if (n <= e->capacity) {
        return SOT_OK;
    }
    soti_free(e->symbols);
    soti_free(e->agenda);
    e->capacity = n;
    e->symbols = soti_alloc(n, sizeof *e->symbols);
    e->agenda = e->symbols ? soti_alloc(n, 2 * sizeof *e->agenda) : NULL; /* TE-4 */
    return e->agenda ? SOT_OK : SOT_ERR_MEMORY;
}

/* Makes a symbol of every character and user-defined piece of the normalized text [start, end). */
static sot_status make_symbols(encoder *e, size_t start, size_t end)
{
    const soti_tokenizer *tokenizer = e->tokenizer;
    const char *text = e->text.data;
    size_t n_characters = 0;
    for (size_t i = start; i < end; i++) {
        n_characters += ((unsigned char)text[i] & 0xC0) != 0x80;
    }
    RETURN_IF_ERROR(reserve_symbols(e, n_characters));
    e->n_symbols = 0;
    for (size_t i = start; i < end;) {
        int32_t id = soti_piece_list_match(&tokenizer->user_defined, &tokenizer->vocabulary,
                                           text + i, end - i);
        uint32_t code;
        bool valid;
        size_t taken = id >= 0 ? tokenizer->vocabulary.pieces[id].size
                               : soti_utf8_decode(text + i, end - i, &code, &valid);
        uint32_t index = e->n_symbols++;
        e->symbols[index] = (symbol){
            .offset = (uint32_t)i,
            .size = (uint32_t)taken,
            .prev = index == 0 ? NO_SYMBOL : index - 1,
            .next = i + taken < end ? index + 1 : NO_SYMBOL,
            .frozen = id >= 0,
        };
        i += taken;
    }
    return SOT_OK;
}

static uint64_t pair_order(float score, uint32_t left)
{
    uint32_t bits;
    memcpy(&bits, &score, sizeof bits);
    uint32_t ascending = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return (uint64_t)~ascending << 32 | left;
}

/* The children of entry i are 4i + 1 to 4i + 4: half the depth of a binary heap, one or two cache
 * lines a level. */
static void agenda_push(encoder *e, pair added)
{
    size_t i = e->n_agenda++;
    while (i > 0 && e->agenda[(i - 1) / 4].order > added.order) {
        e->agenda[i] = e->agenda[(i - 1) / 4];
        i = (i - 1) / 4;
    }
    e->agenda[i] = added;
}

static pair agenda_pop(encoder *e)
{
    pair top = e->agenda[0];
    size_t n = --e->n_agenda;
    pair moved = e->agenda[n];
    size_t i = 0;
    for (size_t first = 1; first < n; first = 4 * i + 1) {
        size_t end = first + 4 < n ? first + 4 : n;
        size_t best = first;
        for (size_t child = first + 1; child < end; child++) {
            best = e->agenda[child].order < e->agenda[best].order ? child : best;
        }
        if (moved.order <= e->agenda[best].order) {
            break;
        }
        e->agenda[i] = e->agenda[best];
        i = best;
    }
    e->agenda[i] = moved;
    return top;
}

static sot_status note_unused(encoder *e, int32_t id, uint32_t left_size)
{
    if (e->left_sizes == NULL) {
        e->left_sizes = soti_alloc(e->tokenizer->vocabulary.n_pieces, sizeof *e->left_sizes);
        e->segments = soti_alloc((size_t)e->n_symbols + 1, sizeof *e->segments);
        if (e->left_sizes == NULL || e->segments == NULL) {
            return SOT_ERR_MEMORY;
        }
    }
    e->left_sizes[id] = left_size;
    return SOT_OK;
}

/* Reserved pieces (unknown, control, byte) are never read from plain text, whatever it spells. */
static int32_t find_formed(const soti_tokenizer *tokenizer, const char *text, size_t size)
{
    int32_t id = soti_piece_map_find(&tokenizer->map, &tokenizer->vocabulary, text, size);
    uint32_t type = id >= 0 ? tokenizer->vocabulary.pieces[id].type : SOTI_PIECE_UNKNOWN;
    bool formed =
        type == SOTI_PIECE_NORMAL || type == SOTI_PIECE_USER_DEFINED || type == SOTI_PIECE_UNUSED;
    return formed ? id : -1;
}

/* Enters the pair of two neighbours if together they are a piece. */
static sot_status consider(encoder *e, uint32_t left, uint32_t right)
{
    if (left == NO_SYMBOL || right == NO_SYMBOL) {
        return SOT_OK;
    }
    const symbol *l = &e->symbols[left];
    const symbol *r = &e->symbols[right];
    if (l->frozen || r->frozen) {
        return SOT_OK;
    }
    const soti_vocabulary *vocabulary = &e->tokenizer->vocabulary;
    uint32_t size = l->size + r->size;
    int32_t id = find_formed(e->tokenizer, e->text.data + l->offset, size);
    if (id < 0) {
        return SOT_OK;
    }
    const soti_piece *piece = &vocabulary->pieces[id];
    agenda_push(e, (pair){pair_order(piece->score, left), size});
    return piece->type == SOTI_PIECE_UNUSED ? note_unused(e, id, l->size) : SOT_OK;
}

static sot_status join(encoder *e)
{
    for (uint32_t i = 1; i < e->n_symbols; i++) {
        RETURN_IF_ERROR(consider(e, i - 1, i));
    }
    while (e->n_agenda > 0) {
        pair top = agenda_pop(e);
        uint32_t left = (uint32_t)(top.order & UINT32_MAX);
        symbol *l = &e->symbols[left];
        if (l->size == 0 || l->next == NO_SYMBOL ||
            l->size + e->symbols[l->next].size != top.size) {
            continue; /* TE-3 */
        }
        symbol *r = &e->symbols[l->next];
        l->size = top.size;
        l->next = r->next;
        r->size = 0;
        if (l->next != NO_SYMBOL) {
            e->symbols[l->next].prev = left;
        }
        RETURN_IF_ERROR(consider(e, l->prev, left));
        RETURN_IF_ERROR(consider(e, left, l->next));
    }
    return SOT_OK;
}

/* An unknown symbol (id -1) is spelt in bytes; without byte pieces a run of them is one unknown
 * piece. */
static sot_status emit(encoder *e, int32_t id, const char *text, size_t size)
{
    bool unknown = id < 0 || id == e->tokenizer->unk;
    if (unknown && e->tokenizer->byte_fallback) {
        for (size_t i = 0; i < size; i++) {
            RETURN_IF_ERROR(
                soti_tokens_append(e->tokens, &e->tokenizer->byte_ids[(unsigned char)text[i]], 1));
        }
    } else if (!unknown || !e->after_unknown) {
        RETURN_IF_ERROR(soti_tokens_append(e->tokens, unknown ? &e->tokenizer->unk : &id, 1));
    }
    e->after_unknown = unknown;
    return SOT_OK;
}

/* Emits one symbol; an unused piece as its two halves, and as unknown where it has none. */
static sot_status look_up(encoder *e, const symbol *s)
{
    const soti_vocabulary *vocabulary = &e->tokenizer->vocabulary;
    const char *text = e->text.data + s->offset;
    uint32_t size = s->size;
    size_t n_segments = 0;
    for (;;) {
        int32_t id = find_formed(e->tokenizer, text, size);
        bool unused = id >= 0 && vocabulary->pieces[id].type == SOTI_PIECE_UNUSED;
        if (unused && e->left_sizes != NULL && e->left_sizes[id] > 0) {
            e->segments[n_segments++] = size - e->left_sizes[id];
            size = e->left_sizes[id];
            continue;
        }
        RETURN_IF_ERROR(emit(e, unused ? -1 : id, text, size));
        if (n_segments == 0) {
            return SOT_OK;
        }
        text += size;
        size = e->segments[--n_segments];
    }
}

static sot_status encode(encoder *e, const char *text, size_t size, bool behind)
{
    RETURN_IF_ERROR(normalize(e->tokenizer, text, size, behind, &e->text));
    if (e->text.size >= NO_SYMBOL) {
        return soti_fail(SOT_ERR_ARGUMENT, "a text of %zu bytes is too long to tokenize", size);
    }
    for (size_t start = 0; start < e->text.size;) {
        size_t end = find_cut(e, start);
        RETURN_IF_ERROR(make_symbols(e, start, end));
        RETURN_IF_ERROR(join(e));
        for (uint32_t i = 0; i != NO_SYMBOL; i = e->symbols[i].next) {
            RETURN_IF_ERROR(look_up(e, &e->symbols[i]));
        }
        start = end;
    }
    return SOT_OK;
}

sot_status soti_tokenizer_encode_plain(const soti_tokenizer *tokenizer, const char *text,
                                       size_t size, bool behind, soti_tokens *tokens)
{
    encoder e = {.tokenizer = tokenizer, .tokens = tokens};
    sot_status status = encode(&e, text, size, behind);
    soti_buffer_free(&e.text);
    soti_free(e.symbols);
    soti_free(e.agenda);
    soti_free(e.left_sizes);
    soti_free(e.segments);
    return status;
}
