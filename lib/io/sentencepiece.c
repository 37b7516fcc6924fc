/* Reads tokenizer.model, SentencePiece's ModelProto (sentencepiece_model.proto), into a vocabulary.
 * Accepts what LLaMA's model is: BPE with identity normalization and escaped spaces. Field numbers
 * and defaults are those of the proto file; unknown fields are skipped. */
#include "vocabulary.h"

#include <stdbool.h>
#include <string.h>

#include "base/alloc.h"
#include "base/fail.h"
#include "base/utf8.h"
#include "protobuf.h"

enum { MODEL_PIECE = 1, MODEL_TRAINER = 2, MODEL_NORMALIZER = 3, MODEL_DENORMALIZER = 5 };
enum { PIECE_TEXT = 1, PIECE_SCORE = 2, PIECE_TYPE = 3 };
enum {
    TRAINER_MODEL_TYPE = 3,
    TRAINER_SPACE_SUFFIX = 24,
    TRAINER_BYTE_FALLBACK = 35,
    TRAINER_UNK_SURFACE = 44,
    TRAINER_BOS_PIECE = 46,
    TRAINER_EOS_PIECE = 47
};
enum {
    NORMALIZER_CHARSMAP = 2,
    NORMALIZER_DUMMY_PREFIX = 3,
    NORMALIZER_EXTRA_SPACES = 4,
    NORMALIZER_ESCAPE_SPACES = 5
};
enum { MODEL_TYPE_UNIGRAM = 1, MODEL_TYPE_BPE = 2 };

typedef struct reader {
    const char *path;
    soti_vocabulary *out;
    uint64_t model_type;
    bool has_trainer, has_normalizer;
    bool space_suffix, byte_fallback, escape_spaces;
    size_t charsmap_bytes;                /* of normalizer and denormalizer, the larger */
    const uint8_t *bos_piece, *eos_piece; /* NULL: "<s>", "</s>" */
    size_t bos_size, eos_size;
} reader;

static sot_status fail_malformed(const reader *r, const char *where)
{
    return soti_fail(SOT_ERR_FORMAT, "%s: %s is cut short or not protobuf", r->path, where);
}

static sot_status expect_wire(const reader *r, const soti_protobuf_field *field, uint32_t wire,
                              const char *where)
{
    if (field->wire != wire) {
        return soti_fail(SOT_ERR_FORMAT, "%s: %s: field %u has wire type %u, expected %u", r->path,
                         where, field->number, field->wire, wire);
    }
    return SOT_OK;
}

static sot_status read_piece(reader *r, const uint8_t *data, size_t size)
{
    soti_protobuf message = {data, size};
    soti_protobuf_field field;
    const uint8_t *text = NULL;
    size_t text_size = 0;
    uint64_t type = SOTI_PIECE_NORMAL;
    float score = 0.0f;
    while (soti_protobuf_next(&message, &field)) {
        if (field.number == PIECE_TEXT) {
            RETURN_IF_ERROR(expect_wire(r, &field, SOTI_WIRE_BYTES, "a piece"));
            text = field.data;
            text_size = field.size;
        } else if (field.number == PIECE_SCORE) {
            RETURN_IF_ERROR(expect_wire(r, &field, SOTI_WIRE_FIXED32, "a piece"));
            uint32_t bits = (uint32_t)field.value;
            memcpy(&score, &bits, sizeof score);
        } else if (field.number == PIECE_TYPE) {
            RETURN_IF_ERROR(expect_wire(r, &field, SOTI_WIRE_VARINT, "a piece"));
            type = field.value;
        }
    }
    if (!soti_protobuf_ended(&message)) {
        return fail_malformed(r, "a piece");
    }
    sot_status status = soti_vocabulary_append(r->out, (const char *)text, text_size, score,
                                               type > UINT32_MAX ? UINT32_MAX : (uint32_t)type);
    return status == SOT_ERR_FORMAT ? soti_fail_in(status, "%s: ", r->path) : status;
}

static sot_status read_unk_surface(reader *r, const soti_protobuf_field *field)
{
    const char *text = (const char *)field->data;
    if (memchr(text, '\0', field->size) != NULL ||
        soti_utf8_find_invalid(text, field->size) < field->size) {
        return soti_fail(SOT_ERR_FORMAT, "%s: the text of unknown pieces is not UTF-8", r->path);
    }
    soti_free(r->out->unk_surface);
    r->out->unk_surface = soti_copy_text(text, field->size);
    return r->out->unk_surface == NULL ? SOT_ERR_MEMORY : SOT_OK;
}

static sot_status read_trainer_field(reader *r, const soti_protobuf_field *field)
{
    switch (field->number) {
    case TRAINER_MODEL_TYPE:
    case TRAINER_SPACE_SUFFIX:
    case TRAINER_BYTE_FALLBACK:
        RETURN_IF_ERROR(expect_wire(r, field, SOTI_WIRE_VARINT, "the trainer's part"));
        break;
    case TRAINER_UNK_SURFACE:
    case TRAINER_BOS_PIECE:
    case TRAINER_EOS_PIECE:
        RETURN_IF_ERROR(expect_wire(r, field, SOTI_WIRE_BYTES, "the trainer's part"));
        break;
    default:
        return SOT_OK;
    }
    switch (field->number) {
    case TRAINER_MODEL_TYPE:
        r->model_type = field->value;
        break;
    case TRAINER_SPACE_SUFFIX:
        r->space_suffix = field->value != 0;
        break;
    case TRAINER_BYTE_FALLBACK:
        r->byte_fallback = field->value != 0;
        break;
    case TRAINER_UNK_SURFACE:
        return read_unk_surface(r, field);
    case TRAINER_BOS_PIECE:
        r->bos_piece = field->size > 0 ? field->data : NULL;
        r->bos_size = field->size;
        break;
    default:
        r->eos_piece = field->size > 0 ? field->data : NULL;
        r->eos_size = field->size;
        break;
    }
    return SOT_OK;
}

static sot_status read_trainer(reader *r, const uint8_t *data, size_t size)
{
    soti_protobuf message = {data, size};
    soti_protobuf_field field;
    while (soti_protobuf_next(&message, &field)) {
        RETURN_IF_ERROR(read_trainer_field(r, &field));
    }
    return soti_protobuf_ended(&message) ? SOT_OK : fail_malformed(r, "the trainer's part");
}

static sot_status read_normalizer(reader *r, const uint8_t *data, size_t size, bool denormalizer)
{
    soti_protobuf message = {data, size};
    soti_protobuf_field field;
    while (soti_protobuf_next(&message, &field)) {
        uint32_t wire = field.number == NORMALIZER_CHARSMAP ? SOTI_WIRE_BYTES : SOTI_WIRE_VARINT;
        if (field.number < NORMALIZER_CHARSMAP || field.number > NORMALIZER_ESCAPE_SPACES) {
            continue;
        }
        RETURN_IF_ERROR(expect_wire(r, &field, wire, "the normalizer's part"));
        if (field.number == NORMALIZER_CHARSMAP) {
            r->charsmap_bytes = field.size > r->charsmap_bytes ? field.size : r->charsmap_bytes;
        } else if (!denormalizer && field.number == NORMALIZER_DUMMY_PREFIX) {
            r->out->add_dummy_prefix = field.value != 0;
        } else if (!denormalizer && field.number == NORMALIZER_EXTRA_SPACES) {
            r->out->remove_extra_whitespaces = field.value != 0;
        } else if (!denormalizer) {
            r->escape_spaces = field.value != 0;
        }
    }
    r->has_normalizer = r->has_normalizer || !denormalizer;
    return soti_protobuf_ended(&message) ? SOT_OK : fail_malformed(r, "the normalizer's part");
}

static sot_status read_model(reader *r, const uint8_t *data, size_t size)
{
    soti_protobuf message = {data, size};
    soti_protobuf_field field;
    while (soti_protobuf_next(&message, &field)) {
        if (field.number != MODEL_PIECE && field.number != MODEL_TRAINER &&
            field.number != MODEL_NORMALIZER && field.number != MODEL_DENORMALIZER) {
            continue;
        }
        RETURN_IF_ERROR(expect_wire(r, &field, SOTI_WIRE_BYTES, "the model"));
        if (field.number == MODEL_PIECE) {
            RETURN_IF_ERROR(read_piece(r, field.data, field.size));
        } else if (field.number == MODEL_TRAINER) {
            r->has_trainer = true;
            RETURN_IF_ERROR(read_trainer(r, field.data, field.size));
        } else {
            RETURN_IF_ERROR(
                read_normalizer(r, field.data, field.size, field.number == MODEL_DENORMALIZER));
        }
    }
    return soti_protobuf_ended(&message) ? SOT_OK : fail_malformed(r, "the file");
}

static sot_status check_supported(const reader *r)
{
    if (r->model_type != MODEL_TYPE_BPE) {
        return soti_fail(SOT_ERR_UNSUPPORTED, "%s: model type %llu%s, only BPE (2) is supported",
                         r->path, (unsigned long long)r->model_type,
                         r->model_type == MODEL_TYPE_UNIGRAM ? " (unigram)" : "");
    }
    if (r->charsmap_bytes > 0) {
        return soti_fail(SOT_ERR_UNSUPPORTED,
                         "%s: normalizes by a map of %zu bytes, only identity is supported",
                         r->path, r->charsmap_bytes);
    }
    if (r->space_suffix || !r->escape_spaces) {
        return soti_fail(SOT_ERR_UNSUPPORTED, "%s: %s", r->path,
                         r->space_suffix ? "treats spaces as suffixes"
                                         : "does not escape spaces as U+2581");
    }
    return SOT_OK;
}

/* The id of the control piece with this text, or -1; SentencePiece finds BOS and EOS this way and
 * ignores the ids in the trainer's part. */
static int32_t find_control(const soti_vocabulary *vocabulary, const void *text, size_t size)
{
    for (uint32_t i = 0; i < vocabulary->n_pieces; i++) {
        const soti_piece *piece = &vocabulary->pieces[i];
        if (piece->type == SOTI_PIECE_CONTROL && piece->size == size &&
            memcmp(vocabulary->text + piece->offset, text, size) == 0) {
            return (int32_t)i;
        }
    }
    return -1;
}

static sot_status finish(const reader *r)
{
    soti_vocabulary *out = r->out;
    if (out->n_pieces == 0 || !r->has_trainer || !r->has_normalizer) {
        return soti_fail(SOT_ERR_FORMAT, "%s: has no %s", r->path,
                         out->n_pieces == 0 ? "pieces"
                         : r->has_trainer   ? "normalizer's part"
                                            : "trainer's part");
    }
    RETURN_IF_ERROR(check_supported(r));
    uint32_t n_bytes = 0;
    for (uint32_t i = 0; i < out->n_pieces; i++) {
        uint32_t type = out->pieces[i].type;
        n_bytes += type == SOTI_PIECE_BYTE;
        if (type == SOTI_PIECE_UNKNOWN && out->unk_id >= 0) {
            return soti_fail(SOT_ERR_FORMAT, "%s: pieces %d and %u are both the unknown piece",
                             r->path, out->unk_id, i);
        }
        out->unk_id = type == SOTI_PIECE_UNKNOWN ? (int32_t)i : out->unk_id;
    }
    if (out->unk_id < 0) {
        return soti_fail(SOT_ERR_FORMAT, "%s: no unknown piece", r->path);
    }
    if (n_bytes != (r->byte_fallback ? 256u : 0u)) {
        return soti_fail(SOT_ERR_FORMAT, "%s: %u byte pieces with byte fallback %s, expected %d",
                         r->path, n_bytes, r->byte_fallback ? "on" : "off",
                         r->byte_fallback ? 256 : 0);
    }
    out->bos_id =
        r->bos_piece ? find_control(out, r->bos_piece, r->bos_size) : find_control(out, "<s>", 3);
    out->eos_id =
        r->eos_piece ? find_control(out, r->eos_piece, r->eos_size) : find_control(out, "</s>", 4);
    return SOT_OK;
}

sot_status soti_vocabulary_read_sentencepiece(const char *path, const uint8_t *data, size_t size,
                                              soti_vocabulary *out)
{
    *out = (soti_vocabulary){.unk_id = -1,
                             .bos_id = -1,
                             .eos_id = -1,
                             .add_dummy_prefix = 1,
                             .remove_extra_whitespaces = 1};
    reader r = {.path = path, .out = out, .model_type = MODEL_TYPE_UNIGRAM, .escape_spaces = true};
    sot_status status = read_model(&r, data, size);
    if (status == SOT_OK) {
        status = finish(&r);
    }
    if (status != SOT_OK) {
        soti_vocabulary_free(out);
    }
    return status;
}
