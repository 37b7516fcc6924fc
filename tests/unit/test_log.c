/* Log lines as the host's callback gets them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "base/log.h"

typedef struct heard {
    int32_t level;
    int n_lines;
    char line[2048];
} heard;

static void hear(int32_t level, const char *line, void *user)
{
    heard *all = user;
    all->level = level;
    all->n_lines++;
    strncpy(all->line, line, sizeof all->line - 1);
}

static void log_line_is_formatted_for_the_host(void **state)
{
    (void)state;
    heard all = {0};
    const soti_log log = {hear, &all};
    soti_log_line(&log, SOT_LOG_WARNING, "%s: %d tensors", "a.gguf", 7);
    assert_int_equal(all.n_lines, 1);
    assert_int_equal(all.level, SOT_LOG_WARNING);
    assert_string_equal(all.line, "a.gguf: 7 tensors");
    soti_log_line(&log, SOT_LOG_INFO, "%s", "\x1b[2J");
    assert_string_equal(all.line, "?[2J");
}

static void log_without_callback_is_silent(void **state)
{
    (void)state;
    const soti_log log = {NULL, NULL};
    soti_log_line(&log, SOT_LOG_INFO, "%d", 1);
}

static void log_line_that_is_too_long_is_cut(void **state)
{
    (void)state;
    heard all = {0};
    const soti_log log = {hear, &all};
    char text[1500];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    soti_log_line(&log, SOT_LOG_DEBUG, "%s", text);
    assert_int_equal(strlen(all.line), 1023);
    assert_int_equal(strspn(all.line, "x"), 1023);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_line_is_formatted_for_the_host),
        cmocka_unit_test(log_without_callback_is_silent),
        cmocka_unit_test(log_line_that_is_too_long_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
