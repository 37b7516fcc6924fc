/* Any bytes as a JSON object, by the reader of all JSON files and by jansson alone: both accept the
 * same texts and read the same values. */
#include "fuzz_input.h"
#include "io/json_file.h"
#include "io/json_parse.h"
#include "sot/sot.h"

static void check_error(const uint8_t *data, size_t size)
{
    json_error_t error;
    json_t *root = soti_json_load((const char *)data, size, &error);
    if (root == NULL) {
        fuzz_check(error.text[0] != '\0');
        fuzz_check(error.position >= 0 && (size_t)error.position <= size);
        fuzz_check(error.line >= 1);
    }
    json_decref(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_error_t error;
    json_t *expected = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, &error);
    if (expected != NULL && !json_is_object(expected)) {
        json_decref(expected);
        expected = NULL;
    }
    json_t *root;
    sot_status status = soti_json_parse("fuzz", data, size, &root);
    fuzz_check(status == SOT_OK || status == SOT_ERR_FORMAT);
    fuzz_check((status == SOT_OK) == (root != NULL));
    fuzz_check((root != NULL) == (expected != NULL));
    fuzz_check(root == NULL || json_equal(root, expected));
    fuzz_check_text(sot_error_message());
    check_error(data, size);
    json_decref(root);
    json_decref(expected);
    return 0;
}
