/* Bars and stacks: see svg.h. Scattered points are in svg_scatter.c. */
#include "svg.h"

#include <math.h>
#include <string.h>

#include "html.h"

enum { TOP = 6, AXIS = 26, BAR = 13, GAP = 9, RIGHT = 54, N_TICKS = 6 };

double svg_tick(double most, int n_ticks)
{
    double raw = most > 0 ? most / n_ticks : 1;
    double unit = pow(10, floor(log10(raw)));
    double share = raw / unit;
    return unit * (share <= 1 ? 1 : share <= 2 ? 2 : share <= 5 ? 5 : 10);
}

/* Where values lie: left + value * scale. */
struct axis {
    double left, scale, most, tick;
    unsigned bottom;
};

static struct axis axis_make(double most, unsigned left, unsigned width, unsigned bottom)
{
    struct axis axis = {.left = left, .bottom = bottom, .tick = svg_tick(most, N_TICKS)};
    axis.most = axis.tick * ceil(most / axis.tick - 1e-9);
    if (!(axis.most > 0))
        axis.most = axis.tick;
    axis.scale = (width - left - RIGHT) / axis.most;
    return axis;
}

static void open_svg(struct text *out, const char *label, unsigned width, unsigned height)
{
    text_format(out, "<svg viewBox=\"0 0 %u %u\" role=\"img\" aria-label=\"", width, height);
    html_string(out, label);
    text_string(out, "\">");
}

static void draw_axis(struct text *out, const struct axis *axis, const char *unit)
{
    int decimals = axis->tick >= 1 ? 0 : axis->tick >= 0.1 ? 1 : 2;
    for (int i = 0; i * axis->tick <= axis->most * (1 + 1e-9); i++) {
        double value = i * axis->tick;
        double x = axis->left + value * axis->scale;
        text_format(out, "<path class=\"grid\" d=\"M%.1f %dV%u\"/>", x, TOP, axis->bottom);
        text_format(out, "<text class=\"tick\" x=\"%.1f\" y=\"%u\">%.*f", x, axis->bottom + 15,
                    decimals, value);
        html_string(out, unit);
        text_string(out, "</text>");
    }
}

static void draw_row_name(struct text *out, const char *name, double x, double y, int strong)
{
    text_format(out, "<text class=\"row%s\" x=\"%.1f\" y=\"%.1f\">", strong ? " strong" : "", x, y);
    html_string(out, name[0] ? name : "(none)");
    text_string(out, "</text>");
}

static unsigned names_width(const char *const *rows, size_t n_rows)
{
    size_t most = 0;
    for (size_t i = 0; i < n_rows; i++)
        most = strlen(rows[i]) > most ? strlen(rows[i]) : most;
    return 20 + 7 * (unsigned)(most < 24 ? most : 24);
}

static double most_of(double most, const double *values, size_t n)
{
    for (size_t i = 0; values && i < n; i++)
        most = isfinite(values[i]) && values[i] > most ? values[i] : most;
    return most;
}

static void draw_paper(struct text *out, const struct svg_bars *chart, const struct axis *axis,
                       size_t i, double middle)
{
    double x = axis->left + chart->paper[i] * axis->scale;
    if (!isfinite(chart->paper[i]))
        return;
    text_string(out, "<g><title>paper: ");
    html_number(out, chart->paper[i], chart->decimals);
    if (chart->paper_low) {
        text_format(out, ", its models %.*f to %.*f", chart->decimals, chart->paper_low[i],
                    chart->decimals, chart->paper_high[i]);
    }
    text_string(out, "</title>");
    if (chart->paper_low)
        text_format(out, "<path class=\"range\" d=\"M%.1f %.1fH%.1f\"/>",
                    axis->left + chart->paper_low[i] * axis->scale, middle,
                    axis->left + chart->paper_high[i] * axis->scale);
    text_format(out, "<path class=\"paper\" d=\"M%.1f %.1fl5 5l-5 5l-5 -5z\"/></g>", x, middle - 5);
}

static void draw_group(struct text *out, const struct svg_bars *chart, const struct axis *axis,
                       size_t i, double top)
{
    double height = (double)chart->n_series * BAR;
    draw_row_name(out, chart->rows[i], axis->left - 8, top + height / 2 + 4, i == chart->i_strong);
    for (size_t j = 0; j < chart->n_series; j++) {
        double value = chart->series[j].values[i];
        double y = top + (double)j * BAR;
        if (!isfinite(value))
            continue;
        text_format(out, "<rect class=\"%s%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\">",
                    chart->series[j].css, i == chart->i_strong ? " own" : "", axis->left, y + 1,
                    value * axis->scale, BAR - 2);
        text_string(out, "<title>");
        html_string(out, chart->series[j].name);
        text_format(out, ": %.*f", chart->decimals, value);
        html_string(out, chart->unit);
        text_string(out, "</title></rect>");
    }
    if (chart->paper)
        draw_paper(out, chart, axis, i, top + height / 2);
    for (size_t j = 0; j < chart->n_series; j++) /* above the paper's line */
        if (isfinite(chart->series[j].values[i]))
            text_format(out, "<text class=\"value\" x=\"%.1f\" y=\"%.1f\">%.*f</text>",
                        axis->left + chart->series[j].values[i] * axis->scale + 4,
                        top + (double)(j + 1) * BAR - 3, chart->decimals,
                        chart->series[j].values[i]);
}

void svg_bars(struct text *out, const struct svg_bars *chart)
{
    double most = isfinite(chart->reference) ? chart->reference : 0;
    for (size_t j = 0; j < chart->n_series; j++)
        most = most_of(most, chart->series[j].values, chart->n_rows);
    most = most_of(most, chart->paper, chart->n_rows);
    most = most_of(most, chart->paper_high, chart->n_rows);
    unsigned step = (unsigned)chart->n_series * BAR + GAP;
    unsigned bottom = TOP + (unsigned)chart->n_rows * step + 2;
    struct axis axis =
        axis_make(most, names_width(chart->rows, chart->n_rows), chart->width, bottom);
    open_svg(out, chart->label, chart->width, bottom + AXIS);
    draw_axis(out, &axis, chart->unit);
    for (size_t i = 0; i < chart->n_rows; i++)
        draw_group(out, chart, &axis, i, TOP + (double)i * step + GAP / 2.0);
    if (isfinite(chart->reference))
        text_format(out, "<path class=\"reference\" d=\"M%.1f %dV%u\"/>",
                    axis.left + chart->reference * axis.scale, TOP, bottom);
    text_string(out, "</svg>\n");
}

/* One bar of parts. */
static void draw_stack(struct text *out, const struct svg_stacks *chart, const struct axis *axis,
                       size_t i_row, size_t j, double y)
{
    const double *values = &chart->values[(i_row * chart->n_bars + j) * chart->n_parts];
    double sum = 0;
    for (size_t k = 0; k < chart->n_parts; k++) {
        if (!isfinite(values[k]) || values[k] <= 0)
            continue;
        text_format(
            out, "<rect class=\"%s\" x=\"%.2f\" y=\"%.1f\" width=\"%.2f\" height=\"%d\"><title>",
            chart->css[k], axis->left + sum * axis->scale, y + 1, values[k] * axis->scale, BAR - 2);
        html_string(out, chart->bars[j]);
        text_string(out, ", ");
        html_string(out, chart->parts[k]);
        text_format(out, ": %.*f", chart->decimals, values[k]);
        html_string(out, chart->unit);
        text_string(out, "</title></rect>");
        sum += values[k];
    }
    if (sum > 0) {
        text_format(out, "<text class=\"value\" x=\"%.1f\" y=\"%.1f\">%.*f ",
                    axis->left + sum * axis->scale + 4, y + BAR - 3, chart->decimals, sum);
        html_string(out, chart->bars[j]);
        text_string(out, "</text>");
    }
}

void svg_stacks(struct text *out, const struct svg_stacks *chart)
{
    double most = 0;
    for (size_t i = 0; i < chart->n_rows * chart->n_bars; i++) {
        double sum = 0;
        for (size_t k = 0; k < chart->n_parts; k++) {
            double value = chart->values[i * chart->n_parts + k];
            sum += isfinite(value) ? value : 0;
        }
        most = sum > most ? sum : most;
    }
    unsigned step = (unsigned)chart->n_bars * BAR + GAP;
    unsigned bottom = TOP + (unsigned)chart->n_rows * step + 2;
    struct axis axis =
        axis_make(most, names_width(chart->rows, chart->n_rows), chart->width, bottom);
    open_svg(out, chart->label, chart->width, bottom + AXIS);
    draw_axis(out, &axis, chart->unit);
    for (size_t i = 0; i < chart->n_rows; i++) {
        double top = TOP + (double)i * step + GAP / 2.0;
        draw_row_name(out, chart->rows[i], axis.left - 8, top + (double)chart->n_bars * BAR / 2 + 4,
                      0);
        for (size_t j = 0; j < chart->n_bars; j++)
            draw_stack(out, chart, &axis, i, j, top + (double)j * BAR);
    }
    text_string(out, "</svg>\n");
}
