/* The exported sot_points functions: arguments are checked here, sot/points.c does the work. */
#include "sot/sot.h"

#include "base/fail.h"
#include "sot/points.h"

sot_status sot_points_parse(const char *text, size_t text_size, uint32_t max_points,
                            sot_points **out)
{
    if (out == NULL) {
        return soti_fail(SOT_ERR_ARGUMENT, "sot_points_parse: out is NULL");
    }
    *out = NULL;
    if (text == NULL && text_size > 0) {
        return soti_fail(SOT_ERR_ARGUMENT, "sot_points_parse: text is NULL, its size is %zu",
                         text_size);
    }
    return soti_points_parse(text ? text : "", text_size, max_points, out);
}

size_t sot_points_count(const sot_points *points)
{
    return points ? points->n_points : 0;
}

size_t sot_points_dropped(const sot_points *points)
{
    return points ? points->n_dropped : 0;
}

const char *sot_points_index(const sot_points *points, size_t i)
{
    return i < sot_points_count(points) ? points->points[i].index : NULL;
}

const char *sot_points_text(const sot_points *points, size_t i)
{
    return i < sot_points_count(points) ? points->points[i].text : NULL;
}

size_t sot_points_text_size(const sot_points *points, size_t i)
{
    return i < sot_points_count(points) ? points->points[i].text_size : 0;
}

const char *sot_points_source(const sot_points *points)
{
    return points ? points->source : NULL;
}

size_t sot_points_source_size(const sot_points *points)
{
    return points ? points->source_size : 0;
}

void sot_points_free(sot_points *points)
{
    soti_points_free(points);
}
