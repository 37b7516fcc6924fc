/* Profiles as files: there and back, and files that are damaged or made up. */
#include "model_files.h"

#include <errno.h>
#include <jansson.h>

#include "base/alloc.h"
#include "profile_case.h"
#include "sot/profile_file.h"

static char *read_text(const char *path)
{
    static char text[1 << 16];
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t size = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[size] = '\0';
    return text;
}

static void profile_saved_and_loaded_is_the_same(void **state)
{
    (void)state;
    sot_profile *profile = case_profile();
    sot_profile *loaded;
    profile->info.n_cells_left_out = 7;
    profile->info.flags = SOT_PROFILE_FULL;
    *soti_grid_find(&profile->tables[SOTI_TABLE_PREFILL], 4, 691) = 0; /* not measured */
    *soti_grid_find(&profile->tables[SOTI_TABLE_DECODE], 1, 1) = UINT64_C(1000000000000000000);
    soti_profile_complete(profile);
    assert_int_equal(soti_profile_save(profile, path_of("p.json")), SOT_OK);
    assert_int_equal(soti_profile_load(path_of("p.json"), &loaded), SOT_OK);
    const char *const texts[][2] = {{profile->info.libsot, loaded->info.libsot},
                                    {profile->info.machine, loaded->info.machine},
                                    {profile->info.device, loaded->info.device},
                                    {profile->info.isa, loaded->info.isa},
                                    {profile->info.model_name, loaded->info.model_name}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_string_equal(texts[i][0], texts[i][1]);
    }
    size_t numbers = offsetof(sot_profile_info, n_threads);
    assert_memory_equal((char *)&profile->info + numbers, (char *)&loaded->info + numbers,
                        sizeof profile->info - numbers);
    assert_int_equal(loaded->info.flags, SOT_PROFILE_FULL);
    for (uint32_t i = 0; i < SOTI_N_TABLES; i++) {
        const soti_profile_grid *a = &profile->tables[i];
        const soti_profile_grid *b = &loaded->tables[i];
        assert_int_equal(a->n_batches, b->n_batches);
        assert_int_equal(a->n_lengths, b->n_lengths);
        assert_memory_equal(a->batches, b->batches, a->n_batches * sizeof *a->batches);
        assert_memory_equal(a->lengths, b->lengths, a->n_lengths * sizeof *a->lengths);
        assert_memory_equal(a->ns, b->ns, a->n_batches * a->n_lengths * sizeof *a->ns);
    }
    soti_profile_free(loaded);
    soti_profile_free(profile);
}

static void profile_name_of_any_bytes_is_kept_as_utf_8(void **state)
{
    (void)state;
    sot_profile *profile = case_profile();
    sot_profile *loaded;
    const char *name = profile->info.model_name;
    profile->info.model_name = "a\xff\"b\xe2\x82";
    assert_int_equal(soti_profile_save(profile, path_of("p.json")), SOT_OK);
    assert_int_equal(soti_profile_load(path_of("p.json"), &loaded), SOT_OK);
    assert_string_equal(loaded->info.model_name, "a\xef\xbf\xbd\"b\xef\xbf\xbd");
    profile->info.model_name = name;
    soti_profile_free(loaded);
    soti_profile_free(profile);
}

static void profile_with_empty_tables_of_context_is_loaded(void **state)
{
    (void)state;
    sot_profile *profile = case_profile();
    sot_profile *loaded;
    soti_grid_free(&profile->tables[SOTI_TABLE_SHARED]);
    assert_int_equal(soti_profile_save(profile, path_of("p.json")), SOT_OK);
    assert_int_equal(soti_profile_load(path_of("p.json"), &loaded), SOT_OK);
    assert_int_equal(soti_grid_count(&loaded->tables[SOTI_TABLE_SHARED]), 0);
    soti_profile_free(loaded);
    soti_profile_free(profile);
}

/* The file of the case with one piece replaced by another. */
static sot_status parse_with(const char *piece, const char *other)
{
    static char changed[1 << 17];
    sot_profile *profile = case_profile();
    assert_int_equal(soti_profile_save(profile, path_of("p.json")), SOT_OK);
    soti_profile_free(profile);
    const char *text = read_text(path_of("p.json"));
    const char *at = strstr(text, piece);
    if (at == NULL) {
        fail_msg("the file has no '%s'", piece);
        return SOT_OK;
    }
    snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - text), text, other,
             at + strlen(piece));
    profile = NULL;
    sot_status status = soti_profile_parse("p.json", changed, strlen(changed), &profile);
    assert_int_equal(status == SOT_OK, profile != NULL);
    soti_profile_free(profile);
    return status;
}

static void profile_damaged_is_refused_with_file_and_member(void **state)
{
    (void)state;
    static const struct {
        const char *piece, *other, *names;
        sot_status status;
    } cases[] = {
        {"\"sot-profile\"", "\"profile\"", "format is not", SOT_ERR_FORMAT},
        {"\"format\": ", "\"formal\": ", "format is missing", SOT_ERR_FORMAT},
        {"\"format_version\": 1", "\"format_version\": 2", "format_version is 2",
         SOT_ERR_UNSUPPORTED},
        {"\"format_version\": 1", "\"format_version\": 1.5", "format_version", SOT_ERR_FORMAT},
        {"\"libsot\": \"0.1.0\"", "\"libsot\": 1", "libsot", SOT_ERR_FORMAT},
        {"\"device\"", "\"devise\"", "device is missing", SOT_ERR_FORMAT},
        {"\"sparse\"", "\"dense\"", "grid is neither", SOT_ERR_FORMAT},
        {"\"session\": {", "\"session\": [], \"s\": {", "session is something else",
         SOT_ERR_FORMAT},
        {"\"model\": {", "\"modell\": {", "model is missing", SOT_ERR_FORMAT},
        {"\"chunk_rows\": 32", "\"chunk_rows\": 0", "session.chunk_rows", SOT_ERR_FORMAT},
        {"\"max_batch\": 4", "\"max_batch\": -4", "session.max_batch", SOT_ERR_FORMAT},
        {"\"max_batch\": 4", "\"max_batch\": 33", "session.max_batch is 33", SOT_ERR_FORMAT},
        {"\"n_vocab\": 100", "\"n_vocab\": 1e2", "model.n_vocab", SOT_ERR_FORMAT},
        {"\"n_vocab\": 100", "\"n_vocab\": 3000000000", "model.n_vocab", SOT_ERR_FORMAT},
        {"\"weight_bytes\": 64000", "\"weight_bytes\": 0", "model.weight_bytes", SOT_ERR_FORMAT},
        {"\"decode\": {", "\"decoder\": {", "decode is missing", SOT_ERR_FORMAT},
        {"\"batches\": [1, 2, 4]", "\"batches\": [1, 4, 2]", "prefill.batches[2]", SOT_ERR_FORMAT},
        {"\"batches\": [1, 2, 4]", "\"batches\": [1, 2, 2]", "prefill.batches[2]", SOT_ERR_FORMAT},
        {"\"batches\": [1, 2, 4]", "\"batches\": {}", "prefill.batches", SOT_ERR_FORMAT},
        {"\"batches\": [1, 2, 4]", "\"batches\": [1, 2]", "prefill.ns", SOT_ERR_FORMAT},
        {"\"batches\": [1, 2, 4]", "\"batches\": [1, 2, 4, 8]", "prefill.ns", SOT_ERR_FORMAT},
        {"\"lengths\": [1, 101, 691]", "\"lengths\": [1, 101]", "prefill.ns[0]", SOT_ERR_FORMAT},
        {"\"lengths\": [1, 101, 691]", "\"lengths\": [1, 101, 691, 692]", "prefill.ns[0]",
         SOT_ERR_FORMAT},
        {"\"lengths\": [1, 8, 32]", "\"lengths\": [1, 8, -32]", "rows.lengths[2]", SOT_ERR_FORMAT},
        {"[921000, ", "[0, ", "decode.ns[0][0]", SOT_ERR_FORMAT},
        {"[921000, ", "[-5, ", "decode.ns[0][0]", SOT_ERR_FORMAT},
        {"[921000, ", "[0.5, ", "decode.ns[0][0]", SOT_ERR_FORMAT},
        {"[921000, ", "[2000000000000000000, ", "decode.ns[0][0]", SOT_ERR_FORMAT},
        {"[921000, ", "[\"921000\", ", "decode.ns[0][0]", SOT_ERR_FORMAT},
        {"[506000, 548000, 692000]", "[null, null, null]", "rows.ns has no time", SOT_ERR_FORMAT},
        {"\"past\": {", "\"past\": {\"batches\": [9],", "batches\" is there twice", SOT_ERR_FORMAT},
    };
    assert_int_equal(parse_with("\"avx2\"", "\"avx512\""), SOT_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sot_status status = parse_with(cases[i].piece, cases[i].other);
        const char *sentence = soti_fail_message();
        if (status != cases[i].status || strstr(sentence, cases[i].names) == NULL ||
            strstr(sentence, "p.json: ") != sentence) {
            fail_msg("%s for %s: %d, %s", cases[i].other, cases[i].piece, status, sentence);
        }
    }
}

/* Cut short anywhere, it is no profile and no accident. */
static void profile_cut_short_is_refused(void **state)
{
    (void)state;
    sot_profile *profile = case_profile();
    assert_int_equal(soti_profile_save(profile, path_of("p.json")), SOT_OK);
    soti_profile_free(profile);
    const char *text = read_text(path_of("p.json"));
    size_t size = strlen(text);
    for (size_t n = 1; n + 2 < size; n++) { /* the last two bytes: a brace and a newline */
        assert_int_equal(soti_profile_parse("p.json", text, n, &profile), SOT_ERR_FORMAT);
        assert_null(profile);
    }
}

static void profile_axis_too_long_is_refused(void **state)
{
    (void)state;
    static char axis[SOTI_GRID_AXIS_MAX * 8];
    size_t size = (size_t)snprintf(axis, sizeof axis, "\"batches\": [");
    for (int i = 1; i <= SOTI_GRID_AXIS_MAX + 1; i++) {
        size += (size_t)snprintf(axis + size, sizeof axis - size, "%s%d", i > 1 ? "," : "", i);
    }
    snprintf(axis + size, sizeof axis - size, "]");
    assert_int_equal(parse_with("\"batches\": [1, 2, 4]", axis), SOT_ERR_FORMAT);
    assert_non_null(strstr(soti_fail_message(), "prefill.batches is too long"));
}

static void profile_file_absent_or_unwritable_is_named(void **state)
{
    (void)state;
    sot_profile *profile = case_profile();
    sot_profile *loaded = profile;
    assert_int_equal(soti_profile_load(path_of("none.json"), &loaded), SOT_ERR_IO);
    assert_null(loaded);
    assert_non_null(strstr(soti_fail_message(), "none.json"));
    assert_int_equal(soti_profile_save(profile, path_of("no/such.json")), SOT_ERR_IO);
    assert_non_null(strstr(soti_fail_message(), "such.json"));
    soti_profile_free(profile);
}

static void profile_files_survive_every_allocation_failing(void **state)
{
    (void)state;
    sot_profile *profile = case_profile();
    for (long n = 0;; n++) {
        soti_alloc_fail_at(n);
        sot_status status = soti_profile_save(profile, path_of("p.json"));
        if (soti_alloc_fail_at(-1) >= 0) {
            assert_int_equal(status, SOT_OK);
            break;
        }
        /* What only makes sure that the name is on the disk may fail unnoticed. */
        assert_true(status == SOT_ERR_MEMORY || status == SOT_OK);
    }
    for (long n = 0;; n++) {
        sot_profile *loaded = profile;
        soti_alloc_fail_at(n);
        sot_status status = soti_profile_load(path_of("p.json"), &loaded);
        bool passed_all = soti_alloc_fail_at(-1) >= 0;
        assert_int_equal(status, passed_all ? SOT_OK : SOT_ERR_MEMORY);
        assert_int_equal(loaded != NULL, passed_all);
        if (passed_all) {
            soti_profile_free(loaded);
            break;
        }
    }
    soti_profile_free(profile);
}

static void *allocate_nothing(size_t n_bytes)
{
    (void)n_bytes;
    errno = ENOMEM;
    return NULL;
}

static void profile_without_memory_is_named(void **state)
{
    (void)state;
    sot_profile *profile = case_profile();
    json_malloc_t allocate;
    json_free_t release;
    json_get_alloc_funcs(&allocate, &release);
    json_set_alloc_funcs(allocate_nothing, free);
    sot_status status = soti_profile_save(profile, path_of("none.json"));
    json_set_alloc_funcs(allocate, release);
    assert_int_equal(status, SOT_ERR_MEMORY);
    assert_non_null(strstr(soti_fail_message(), path_of("none.json")));
    soti_profile_free(profile);
}

static void profile_too_large_is_not_read(void **state)
{
    (void)state;
    sot_profile *loaded = NULL;
    write_hole(path_of("p.json"), 400000001);
    assert_int_equal(soti_profile_load(path_of("p.json"), &loaded), SOT_ERR_FORMAT);
    assert_null(loaded);
    assert_non_null(strstr(soti_fail_message(), path_of("p.json")));
    assert_non_null(strstr(soti_fail_message(), "has 400000001 bytes; at most 400000000"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_setup, folder_teardown)
    const struct CMUnitTest tests[] = {
        TEST(profile_saved_and_loaded_is_the_same),
        TEST(profile_without_memory_is_named),
        TEST(profile_too_large_is_not_read),
        TEST(profile_name_of_any_bytes_is_kept_as_utf_8),
        TEST(profile_with_empty_tables_of_context_is_loaded),
        TEST(profile_damaged_is_refused_with_file_and_member),
        TEST(profile_cut_short_is_refused),
        TEST(profile_axis_too_long_is_refused),
        TEST(profile_file_absent_or_unwritable_is_named),
        TEST(profile_files_survive_every_allocation_failing),
    };
    return cmocka_run_group_tests_name("profile file", tests, NULL, NULL);
}
