/* A vocabulary that goes through GGUF metadata tokenizes as the tokenizer.model it came from (whose
 * ids are SentencePiece's: golden/test_tokenizer_golden.c). The metadata is written here as
 * llama.cpp's converter writes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../unit/tokenizer_model.h"
#include "io/gguf_vocabulary.h"
#include "random_source.h"

enum { N_KEYS = 9, N_TEXTS = 3000 };

static void put(soti_buffer *out, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) {
        char byte = (char)(value >> (8 * i));
        soti_buffer_append(out, &byte, 1);
    }
}

static void put_text(soti_buffer *out, const char *text, size_t size)
{
    put(out, size, 8);
    soti_buffer_append(out, text, size);
}

static void put_key(soti_buffer *out, const char *key, uint32_t type)
{
    put_text(out, key, strlen(key));
    put(out, type, 4);
}

static void put_array_key(soti_buffer *out, const char *key, uint32_t item_type, uint64_t n)
{
    put_key(out, key, SOTI_GGUF_ARRAY);
    put(out, item_type, 4);
    put(out, n, 8);
}

static void write_metadata(const soti_vocabulary *v, soti_buffer *out)
{
    put_key(out, "tokenizer.ggml.model", SOTI_GGUF_STRING);
    put_text(out, "llama", 5);
    put_array_key(out, "tokenizer.ggml.tokens", SOTI_GGUF_STRING, v->n_pieces);
    for (uint32_t i = 0; i < v->n_pieces; i++) {
        put_text(out, v->text + v->pieces[i].offset, v->pieces[i].size);
    }
    put_array_key(out, "tokenizer.ggml.scores", SOTI_GGUF_FLOAT32, v->n_pieces);
    for (uint32_t i = 0; i < v->n_pieces; i++) {
        uint32_t bits;
        memcpy(&bits, &v->pieces[i].score, sizeof bits);
        put(out, bits, 4);
    }
    put_array_key(out, "tokenizer.ggml.token_type", SOTI_GGUF_INT32, v->n_pieces);
    for (uint32_t i = 0; i < v->n_pieces; i++) {
        put(out, v->pieces[i].type, 4);
    }
    put_key(out, "tokenizer.ggml.bos_token_id", SOTI_GGUF_UINT32);
    put(out, (uint32_t)v->bos_id, 4);
    put_key(out, "tokenizer.ggml.eos_token_id", SOTI_GGUF_UINT32);
    put(out, (uint32_t)v->eos_id, 4);
    put_key(out, "tokenizer.ggml.unknown_token_id", SOTI_GGUF_UINT32);
    put(out, (uint32_t)v->unk_id, 4);
    put_key(out, "tokenizer.ggml.add_space_prefix", SOTI_GGUF_BOOL);
    put(out, v->add_dummy_prefix, 1);
    put_key(out, "tokenizer.ggml.remove_extra_whitespaces", SOTI_GGUF_BOOL);
    put(out, v->remove_extra_whitespaces, 1);
}

static soti_tokenizer *through_gguf(const soti_vocabulary *v)
{
    soti_buffer bytes = {0};
    soti_gguf_metadata metadata;
    soti_checkpoint checkpoint = {0};
    soti_tokenizer *tokenizer;
    write_metadata(v, &bytes);
    soti_cursor cursor = {"a.gguf", (const uint8_t *)bytes.data, bytes.size, 0};
    checkpoint.shape.n_vocab = v->n_pieces;
    assert_int_equal(soti_gguf_metadata_read(&cursor, N_KEYS, &metadata), SOT_OK);
    metadata.file = "a.gguf";
    assert_int_equal(soti_gguf_read_vocabulary(&metadata, &checkpoint), SOT_OK);
    assert_int_equal(soti_tokenizer_create(&checkpoint.vocabulary, &tokenizer), SOT_OK);
    soti_gguf_metadata_free(&metadata);
    soti_buffer_free(&bytes);
    return tokenizer;
}

/* Pieces one behind the other, with a byte of any value now and then. */
static void make_text(random_source *random, const soti_vocabulary *v, soti_buffer *out)
{
    soti_buffer_truncate(out, 0);
    for (uint32_t n = random_between(random, 0, 12); n > 0; n--) {
        const soti_piece *piece = &v->pieces[random_between(random, 0, v->n_pieces - 1)];
        soti_buffer_append(out, v->text + piece->offset, piece->size);
        if (random_between(random, 0, 3) == 0) {
            char byte = random_between(random, 0, 1) ? ' ' : (char)random_between(random, 0, 255);
            soti_buffer_append(out, &byte, 1);
        }
    }
}

static void compare(const char *path)
{
    soti_vocabulary v;
    soti_vocabulary taken;
    soti_tokenizer *direct;
    assert_true(load_vocabulary(path, &v));
    assert_true(load_vocabulary(path, &taken));
    assert_int_equal(soti_tokenizer_create(&taken, &direct), SOT_OK);
    soti_tokenizer *gguf = through_gguf(&v);
    assert_int_equal(soti_tokenizer_bos(gguf), soti_tokenizer_bos(direct));
    assert_int_equal(soti_tokenizer_eos(gguf), soti_tokenizer_eos(direct));
    random_source random = {5};
    soti_buffer text = {0};
    soti_buffer texts[2] = {{0}, {0}};
    soti_tokens ids[2] = {{0}, {0}};
    for (int i = 0; i < N_TEXTS; i++) {
        make_text(&random, &v, &text);
        for (int k = 0; k < 2; k++) {
            const soti_tokenizer *tokenizer = k == 0 ? direct : gguf;
            ids[k].count = 0;
            soti_buffer_truncate(&texts[k], 0);
            assert_int_equal(soti_tokenizer_encode(tokenizer, soti_buffer_text(&text), text.size,
                                                   (uint32_t)i % 4, &ids[k]),
                             SOT_OK);
            assert_int_equal(
                soti_tokenizer_decode(tokenizer, ids[k].ids, ids[k].count, 0, &texts[k]), SOT_OK);
        }
        assert_int_equal(ids[0].count, ids[1].count);
        assert_int_equal(texts[0].size, texts[1].size);
        if (ids[0].count > 0) {
            assert_memory_equal(ids[0].ids, ids[1].ids, ids[0].count * sizeof *ids[0].ids);
        }
        assert_memory_equal(soti_buffer_text(&texts[0]), soti_buffer_text(&texts[1]),
                            texts[0].size);
    }
    for (int k = 0; k < 2; k++) {
        soti_tokens_free(&ids[k]);
        soti_buffer_free(&texts[k]);
    }
    soti_buffer_free(&text);
    soti_tokenizer_free(direct);
    soti_tokenizer_free(gguf);
    soti_vocabulary_free(&v);
}

static void gguf_small_vocabularies_tokenize_the_same(void **state)
{
    (void)state;
    static const char *const names[] = {"plain", "symbols", "spaces", "odd"};
    for (size_t i = 0; i < 4; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/golden/tokenizer/%s.model", SOT_TEST_DIR, names[i]);
        compare(path);
    }
}

static void gguf_llama_vocabulary_tokenizes_the_same(void **state)
{
    (void)state;
    soti_tokenizer *llama = load_llama(); /* says so if it is not there */
    if (llama == NULL) {
        skip();
    }
    soti_tokenizer_free(llama);
    char path[512];
    const char *folder = getenv("SOT_SHARED_DIR");
    snprintf(path, sizeof path, "%s/data/tokenizer/llama.model",
             folder ? folder : SOT_SOURCE_DIR "/../shared");
    compare(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gguf_small_vocabularies_tokenize_the_same),
        cmocka_unit_test(gguf_llama_vocabulary_tokenizes_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
