/*
 * Pictures of curves as SVG 1.1, without scripts or fonts of its own: cli/picture.h.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/picture.h"

/* Of the picture and the plot within, in pixels. */
enum { WIDTH = 960, HEIGHT = 560, LEFT = 80, TOP = 50, PLOT_WIDTH = 660, PLOT_HEIGHT = 430, TICKS = 10 };
enum { NAMES_LEFT = LEFT + PLOT_WIDTH + 24, NAME_HEIGHT = 18 };

/* Colours that people who see no red or no green tell apart as well (M. Okabe and K. Ito, 2008). */
static const char *const colours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                      "#e69f00", "#56b4e9", "#000000", "#8c6d31"};
static const char *const dashes[] = {"none", "8 4", "2 3", "10 3 2 3"};
enum { COLOURS = sizeof(colours) / sizeof(colours[0]), DASHES = sizeof(dashes) / sizeof(dashes[0]) };

static const char *colour_of(size_t line)
{
    return colours[line % COLOURS];
}

static const char *dash_of(size_t line)
{
    return dashes[line / COLOURS % DASHES];
}

/* As XML's text: bytes that are no character there become '?'. */
static void put_text(const char *text, FILE *out)
{
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;

        if (byte == '<')
            fputs("&lt;", out);
        else if (byte == '>')
            fputs("&gt;", out);
        else if (byte == '&')
            fputs("&amp;", out);
        else if (byte == '"')
            fputs("&quot;", out);
        else
            fputc(byte < 32 || byte > 126 ? '?' : byte, out);
    }
}

static double x_of(const struct picture *picture, const struct picture_range *range, double x)
{
    return LEFT + PLOT_WIDTH * picture_x(picture, range, x);
}

static double y_of(const struct picture_range *range, double y)
{
    return TOP + PLOT_HEIGHT * (1 - fmin(1, fmax(0, y / range->y_most)));
}

static void put_label(double x, double y, const char *anchor, const char *text, FILE *out)
{
    fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">", x, y, anchor);
    put_text(text, out);
    fputs("</text>\n", out);
}

static void put_axes(const struct picture *picture, const struct picture_range *range, FILE *out)
{
    double ticks[TICKS];
    char label[32];
    size_t count = picture_ticks(range->x_least, range->x_most, picture->log_x, ticks, TICKS);

    fputs("<g stroke=\"#dddddd\" stroke-width=\"1\">\n", out);
    for (size_t i = 0; i < count; i++)
        fprintf(out, "<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\"/>\n", x_of(picture, range, ticks[i]),
                TOP, x_of(picture, range, ticks[i]), TOP + PLOT_HEIGHT);
    fputs("</g>\n<g fill=\"#333333\">\n", out);
    for (size_t i = 0; i < count; i++) {
        picture->x_label(ticks[i], label);
        put_label(x_of(picture, range, ticks[i]), TOP + PLOT_HEIGHT + 20, "middle", label, out);
    }
    count = picture_ticks(0, range->y_most, false, ticks, TICKS);
    for (size_t i = 0; i < count; i++) {
        double y = y_of(range, ticks[i]);

        picture->y_label(ticks[i], label);
        fprintf(out, "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"#dddddd\"/>\n", LEFT, y,
                LEFT + PLOT_WIDTH, y);
        put_label(LEFT - 8, y + 4, "end", label, out);
    }
    put_label(LEFT + PLOT_WIDTH / 2.0, TOP + PLOT_HEIGHT + 46, "middle", picture->x_title, out);
    fprintf(out, "<text transform=\"translate(20 %d) rotate(-90)\" text-anchor=\"middle\">",
            TOP + PLOT_HEIGHT / 2);
    put_text(picture->y_title, out);
    fputs("</text>\n</g>\n", out);
}

/* Where the truth is, as an area: along the upper side and back along the lower one. */
static void put_errors(const struct picture *picture, const struct picture_range *range, size_t index,
                       FILE *out)
{
    const struct picture_line *line = &picture->lines[index];
    bool any = false;

    for (size_t i = 0; i < line->count; i++)
        any |= line->points[i].error > 0;
    if (!any)
        return;
    fprintf(out, "<polygon fill=\"%s\" fill-opacity=\"0.18\" stroke=\"none\" points=\"", colour_of(index));
    for (size_t i = 0; i < line->count; i++)
        fprintf(out, "%.1f,%.1f ", x_of(picture, range, line->points[i].x),
                y_of(range, line->points[i].y + line->points[i].error));
    for (size_t i = line->count; i-- > 0;)
        fprintf(out, "%.1f,%.1f ", x_of(picture, range, line->points[i].x),
                y_of(range, line->points[i].y - line->points[i].error));
    fputs("\"/>\n", out);
}

/* Points that would fall on the one before are left out. */
static void put_line(const struct picture *picture, const struct picture_range *range, size_t index,
                     FILE *out)
{
    const struct picture_line *line = &picture->lines[index];
    double last_x = -1, last_y = -1;

    put_errors(picture, range, index, out);
    fprintf(out, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" stroke-dasharray=\"%s\" points=\"",
            colour_of(index), dash_of(index));
    for (size_t i = 0; i < line->count; i++) {
        double x = x_of(picture, range, line->points[i].x), y = y_of(range, line->points[i].y);

        if (i > 0 && i + 1 < line->count && fabs(x - last_x) < 0.5 && fabs(y - last_y) < 0.5)
            continue;
        fprintf(out, "%.1f,%.1f ", x, y);
        last_x = x;
        last_y = y;
    }
    fputs("\"><title>", out);
    put_text(line->name, out);
    fputs("</title></polyline>\n", out);
}

static void put_names(const struct picture *picture, FILE *out)
{
    for (size_t i = 0; i < picture->line_count && i < PICTURE_LINES; i++) {
        double y = TOP + 8 + (double)i * NAME_HEIGHT;

        fprintf(out,
                "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"%s\" stroke-width=\"2\" "
                "stroke-dasharray=\"%s\"/>\n",
                NAMES_LEFT, y, NAMES_LEFT + 28, y, colour_of(i), dash_of(i));
        put_label(NAMES_LEFT + 36, y + 4, "start", picture->lines[i].name, out);
    }
}

void picture_svg(const struct picture *picture, FILE *out)
{
    struct picture_range range = picture_range(picture);
    size_t lines = picture->line_count < PICTURE_LINES ? picture->line_count : PICTURE_LINES;
    unsigned height = TOP + 40 + (unsigned)lines * NAME_HEIGHT;

    height = height < HEIGHT ? HEIGHT : height;
    fprintf(out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%u\" viewBox=\"0 0 %d %u\" "
            "font-family=\"sans-serif\" font-size=\"13\">\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n",
            WIDTH, height, WIDTH, height);
    fprintf(out, "<text x=\"%d\" y=\"28\" font-size=\"16\" fill=\"#111111\">", LEFT);
    put_text(picture->title, out);
    fputs("</text>\n", out);
    put_axes(picture, &range, out);
    fprintf(out, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"none\" stroke=\"#888888\"/>\n",
            LEFT, TOP, PLOT_WIDTH, PLOT_HEIGHT);
    for (size_t i = 0; i < lines; i++)
        put_line(picture, &range, i, out);
    put_names(picture, out);
    fputs("</svg>\n", out);
}
