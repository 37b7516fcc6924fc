/* libFuzzer target: any bytes as a skeleton response. What must hold of every parse is checked, so
 * a finding is a wrong result as well as a crash. */
#include "fuzz_input.h"
#include "sot/points.h"

static sot_points *parse(const char *text, size_t size, uint32_t max_points)
{
    sot_points *points;
    fuzz_check_ok(sot_points_parse(text, size, max_points, &points));
    return points;
}

static void check_equal(const sot_points *a, const sot_points *b)
{
    fuzz_check(a->n_points == b->n_points && a->n_dropped == b->n_dropped);
    fuzz_check(a->source_size == b->source_size &&
               memcmp(a->source, b->source, a->source_size) == 0);
    for (size_t i = 0; i < a->n_points; i++) {
        fuzz_check(strcmp(a->points[i].index, b->points[i].index) == 0);
        fuzz_check(a->points[i].text_size == b->points[i].text_size);
        fuzz_check(memcmp(a->points[i].text, b->points[i].text, a->points[i].text_size) == 0);
    }
}

/* Where "index." next ends: points stand in order of appearance. */
static const char *find_index(const char *from, const char *end, const char *index, size_t n_index)
{
    do {
        from = memmem(from, (size_t)(end - from), index, n_index);
        fuzz_check(from != NULL);
        from += n_index;
    } while (*from != '.');
    return from;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t max_points = size > 0 ? data[0] % 8 : 0;
    sot_points *points = parse((const char *)data, size, max_points);
    fuzz_check(soti_utf8_find_invalid(points->source, points->source_size) == points->source_size);
    fuzz_check(points->n_points <= (max_points ? max_points : SOTI_POINTS_DEFAULT_MAX));
    fuzz_check(points->n_dropped == 0 || points->n_points > 0);
    const char *behind = points->source;
    for (size_t i = 0; i < points->n_points; i++) {
        const soti_point *point = &points->points[i];
        size_t n_index = strlen(point->index);
        fuzz_check(n_index > 0 && point->text_size > 0);
        fuzz_check(memchr(point->text + 1, '\n', point->text_size - 1) == NULL);
        for (size_t k = 0; k < i; k++) {
            fuzz_check(strcmp(point->index, points->points[k].index) != 0);
        }
        behind = find_index(behind, points->source + points->source_size, point->index, n_index);
    }
    sot_points *again = parse(points->source, points->source_size, max_points);
    sot_points *copy;
    fuzz_check_ok(soti_points_copy(points, &copy));
    check_equal(points, again);
    check_equal(points, copy);
    sot_points_free(points);
    sot_points_free(again);
    sot_points_free(copy);
    return 0;
}
