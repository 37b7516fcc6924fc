/* Scattered points with lines through the origin, or with a line of means: see svg.h. */
#include <math.h>

#include "html.h"
#include "svg.h"

enum { WIDTH = 460, HEIGHT = 330, LEFT = 46, TOP = 10, RIGHT = 14, BOTTOM = 42, N_TICKS = 6 };

struct frame {
    double x_scale, y_scale, x_most, y_most, x_tick, y_tick;
};

static double at_x(const struct frame *frame, double x)
{
    return LEFT + x * frame->x_scale;
}

static double at_y(const struct frame *frame, double y)
{
    return HEIGHT - BOTTOM - y * frame->y_scale;
}

static double most_finite(const double *values, size_t n, double most)
{
    for (size_t i = 0; i < n; i++)
        most = isfinite(values[i]) && values[i] > most ? values[i] : most;
    return most;
}

static struct frame frame_make(const struct svg_scatter *chart)
{
    struct frame frame;
    double y_least = isfinite(chart->reference) ? chart->reference * 1.1 : 0;
    double x_most = most_finite(chart->x, chart->n, 0);
    double y_most = most_finite(chart->y, chart->n, y_least);
    frame.x_tick = svg_tick(x_most, N_TICKS);
    frame.y_tick = svg_tick(y_most, N_TICKS);
    frame.x_most = frame.x_tick * fmax(1, ceil(x_most / frame.x_tick - 1e-9));
    frame.y_most = frame.y_tick * fmax(1, ceil(y_most / frame.y_tick - 1e-9));
    frame.x_scale = (WIDTH - LEFT - RIGHT) / frame.x_most;
    frame.y_scale = (HEIGHT - TOP - BOTTOM) / frame.y_most;
    return frame;
}

static int decimals_of(double tick)
{
    return tick >= 1 ? 0 : tick >= 0.1 ? 1 : 2;
}

static void draw_frame(struct text *out, const struct svg_scatter *chart, const struct frame *frame)
{
    for (int i = 0; i * frame->x_tick <= frame->x_most * (1 + 1e-9); i++) {
        double x = i * frame->x_tick;
        text_format(out, "<path class=\"grid\" d=\"M%.1f %dV%d\"/>", at_x(frame, x), TOP,
                    HEIGHT - BOTTOM);
        text_format(out, "<text class=\"tick\" x=\"%.1f\" y=\"%d\">%.*f</text>", at_x(frame, x),
                    HEIGHT - BOTTOM + 15, decimals_of(frame->x_tick), x);
    }
    for (int i = 0; i * frame->y_tick <= frame->y_most * (1 + 1e-9); i++) {
        double y = i * frame->y_tick;
        text_format(out, "<path class=\"grid\" d=\"M%d %.1fH%d\"/>", LEFT, at_y(frame, y),
                    WIDTH - RIGHT);
        text_format(out, "<text class=\"row\" x=\"%d\" y=\"%.1f\">%.*f</text>", LEFT - 6,
                    at_y(frame, y) + 4, decimals_of(frame->y_tick), y);
    }
    text_format(out, "<text class=\"name\" x=\"%d\" y=\"%d\">", (WIDTH + LEFT - RIGHT) / 2,
                HEIGHT - 8);
    html_string(out, chart->x_name);
    text_format(out, "</text><text class=\"name\" transform=\"translate(12 %d) rotate(-90)\">",
                (HEIGHT - BOTTOM + TOP) / 2);
    html_string(out, chart->y_name);
    text_string(out, "</text>");
}

static void draw_line(struct text *out, const struct svg_line *line, const struct frame *frame)
{
    double x = fmin(frame->x_most, frame->y_most / line->slope);
    double y = line->slope * x;
    text_format(out, "<path class=\"reference\" d=\"M%.1f %.1fL%.1f %.1f\"/>", at_x(frame, 0),
                at_y(frame, 0), at_x(frame, x), at_y(frame, y));
    text_format(out, "<text class=\"row\" x=\"%.1f\" y=\"%.1f\">", at_x(frame, x) - 6,
                at_y(frame, y) + 14);
    html_string(out, line->name);
    text_string(out, "</text>");
}

void svg_scatter(struct text *out, const struct svg_scatter *chart)
{
    struct frame frame = frame_make(chart);
    text_format(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH, HEIGHT);
    html_string(out, chart->label);
    text_string(out, "\">");
    draw_frame(out, chart, &frame);
    for (size_t i = 0; i < chart->n_lines; i++)
        draw_line(out, &chart->lines[i], &frame);
    if (isfinite(chart->reference))
        text_format(out, "<path class=\"reference\" d=\"M%d %.1fH%d\"/>", LEFT,
                    at_y(&frame, chart->reference), WIDTH - RIGHT);
    for (size_t i = 0; i < chart->n; i++) {
        if (!isfinite(chart->x[i]) || !isfinite(chart->y[i]))
            continue;
        text_format(out, "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"><title>",
                    at_x(&frame, chart->x[i]), at_y(&frame, chart->y[i]));
        if (chart->names)
            html_string(out, chart->names[i]);
        text_format(out, " (%.4g, %.4g)</title></circle>", chart->x[i], chart->y[i]);
    }
    if (chart->n_means) {
        text_string(out, "<path class=\"means\" d=\"");
        for (size_t i = 0; i < chart->n_means; i++)
            text_format(out, "%c%.1f %.1f", i ? 'L' : 'M', at_x(&frame, chart->mean_x[i]),
                        at_y(&frame, chart->mean_y[i]));
        text_string(out, "\"/>");
    }
    text_string(out, "</svg>\n");
}
