/* The wire format: values from the encoding page of the Protocol Buffers documentation, and the
 * malformed messages that it rules out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "io/protobuf.h"

static soti_protobuf message_of(const void *bytes, size_t n)
{
    return (soti_protobuf){bytes, n};
}

static void protobuf_documented_examples_are_read(void **state)
{
    (void)state;
    /* field 1: 150; field 2: "testing"; field 5: fixed32 0x01020304; field 3: fixed64 */
    static const uint8_t bytes[] = {0x08, 0x96, 0x01, 0x12, 0x07, 't',  'e',  's',  't',
                                    'i',  'n',  'g',  0x2D, 0x04, 0x03, 0x02, 0x01, 0x19,
                                    8,    7,    6,    5,    4,    3,    2,    1};
    soti_protobuf message = message_of(bytes, sizeof bytes);
    soti_protobuf_field field;
    assert_true(soti_protobuf_next(&message, &field));
    assert_int_equal(field.number, 1);
    assert_int_equal(field.wire, SOTI_WIRE_VARINT);
    assert_int_equal(field.value, 150);
    assert_true(soti_protobuf_next(&message, &field));
    assert_int_equal(field.number, 2);
    assert_int_equal(field.wire, SOTI_WIRE_BYTES);
    assert_int_equal(field.size, 7);
    assert_memory_equal(field.data, "testing", 7);
    assert_true(soti_protobuf_next(&message, &field));
    assert_int_equal(field.wire, SOTI_WIRE_FIXED32);
    assert_int_equal(field.value, 0x01020304);
    assert_true(soti_protobuf_next(&message, &field));
    assert_int_equal(field.wire, SOTI_WIRE_FIXED64);
    assert_true(field.value == 0x0102030405060708u);
    assert_false(soti_protobuf_next(&message, &field));
    assert_true(soti_protobuf_ended(&message));
}

static void protobuf_empty_message_ends_well(void **state)
{
    (void)state;
    soti_protobuf message = message_of("", 0);
    soti_protobuf_field field;
    assert_false(soti_protobuf_next(&message, &field));
    assert_true(soti_protobuf_ended(&message));
}

static void protobuf_largest_varint_is_read(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
                                    0xFF, 0xFF, 0xFF, 0xFF, 0x01};
    soti_protobuf message = message_of(bytes, sizeof bytes);
    soti_protobuf_field field;
    assert_true(soti_protobuf_next(&message, &field));
    assert_true(field.value == UINT64_MAX);
}

static void protobuf_malformed_is_refused(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[12];
        size_t n;
    } cases[] = {
        {{0x08}, 1},       /* no value */
        {{0x08, 0x96}, 2}, /* varint cut short */
        {{0x88}, 1},       /* tag cut short */
        {{0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02}, 11}, /* 65 bits */
        {{0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01}, 12},
        {{0x12, 0x01}, 2}, /* length beyond the end */
        {{0x12, 0x08, 1, 2, 3}, 5},
        {{0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01}, 11}, /* 2^64 - 1 */
        {{0x0D, 1, 2, 3}, 4},                         /* fixed32 cut short */
        {{0x09, 1, 2, 3, 4, 5, 6, 7}, 8},             /* fixed64 cut short */
        {{0x0B, 0x0C}, 2},                            /* group */
        {{0x0C}, 1},                                  /* end of group */
        {{0x0E, 0}, 2},                               /* wire type 6 */
        {{0x0F, 0}, 2},                               /* wire type 7 */
        {{0x00, 0}, 2},                               /* field number 0 */
        {{0xF8, 0xFF, 0xFF, 0xFF, 0xFF, 0x01, 0}, 7}, /* tag beyond 32 bits */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        soti_protobuf message = message_of(cases[i].bytes, cases[i].n);
        soti_protobuf_field field;
        if (soti_protobuf_next(&message, &field) || soti_protobuf_ended(&message)) {
            fail_msg("case %zu was read", i);
        }
        assert_false(soti_protobuf_next(&message, &field)); /* and stays so */
        assert_false(soti_protobuf_ended(&message));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(protobuf_documented_examples_are_read),
        cmocka_unit_test(protobuf_empty_message_ends_well),
        cmocka_unit_test(protobuf_largest_varint_is_read),
        cmocka_unit_test(protobuf_malformed_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
