/*
 * Pictures of curves in characters, and what both kinds share: cli/picture.h.
 *
 * Each curve has a letter, which stands in every column at the height of the curve; where several meet, the
 * first has its way.
 */
#include "cli/picture.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

enum { ROWS = 20, MARGIN = 10, LEAST_COLUMNS = 40, MOST_COLUMNS = 200, TICKS = 16, LABEL_GAP = 2 };

static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
_Static_assert(sizeof(letters) - 1 == PICTURE_LINES, "a letter for each line");

struct picture_range picture_range(const struct picture *picture)
{
    struct picture_range range = {INFINITY, -INFINITY, 0};

    for (size_t i = 0; i < picture->line_count; i++)
        for (size_t k = 0; k < picture->lines[i].count; k++) {
            const struct picture_point *point = &picture->lines[i].points[k];

            range.x_least = fmin(range.x_least, point->x);
            range.x_most = fmax(range.x_most, point->x);
            range.y_most = fmax(range.y_most, point->y);
        }
    if (range.x_least > range.x_most)
        range.x_least = range.x_most = 1;
    if (range.y_most <= 0)
        range.y_most = 1;
    return range;
}

static double scale(const struct picture *picture, double x)
{
    return picture->log_x ? log2(x) : x;
}

double picture_x(const struct picture *picture, const struct picture_range *range, double x)
{
    double least = scale(picture, range->x_least), most = scale(picture, range->x_most);

    return most > least ? (scale(picture, x) - least) / (most - least) : 0.5;
}

/* The first point that is not left of x. */
static size_t point_from(const struct picture_line *line, double x)
{
    size_t begin = 0, end = line->count;

    while (begin < end) {
        size_t middle = begin + (end - begin) / 2;

        if (line->points[middle].x < x)
            begin = middle + 1;
        else
            end = middle;
    }
    return begin;
}

bool picture_at(const struct picture *picture, const struct picture_line *line, double x, double *y)
{
    size_t right = point_from(line, x);
    const struct picture_point *to = &line->points[right], *from = to - 1;
    double part;

    if (right == line->count)
        return false;
    if (to->x <= x) {
        *y = to->y;
        return true;
    }
    if (right == 0)
        return false;
    part = (scale(picture, x) - scale(picture, from->x)) / (scale(picture, to->x) - scale(picture, from->x));
    *y = from->y + (to->y - from->y) * part;
    return true;
}

size_t picture_ticks(double least, double most, bool log, double *ticks, size_t count)
{
    size_t used = 0;

    if (log) {
        double step = pow(2, ceil(fmax(1, (log2(most) - log2(least)) / (double)count)));

        for (double at = pow(2, ceil(log2(least))); at <= most && used < count; at *= step)
            ticks[used++] = at;
    } else if (most > least) {
        double rough = (most - least) / (double)count, ten = pow(10, floor(log10(rough)));
        double step = ten * (rough <= ten ? 1 : rough <= ten * 2 ? 2 : rough <= ten * 5 ? 5 : 10);

        for (double at = ceil(least / step) * step; at <= most * (1 + 1e-9) && used < count; at += step)
            ticks[used++] = at;
    }
    return used;
}

struct canvas {
    const struct picture *picture;
    struct picture_range range;
    unsigned columns; /* of the plot */
    char *cells;      /* ROWS of them */
};

static double column_x(const struct canvas *canvas, unsigned column)
{
    double part = canvas->columns > 1 ? (double)column / (canvas->columns - 1) : 0;
    double least = scale(canvas->picture, canvas->range.x_least);
    double at = least + (scale(canvas->picture, canvas->range.x_most) - least) * part;

    return canvas->picture->log_x ? exp2(at) : at;
}

/* From the top. */
static unsigned row_of(const struct canvas *canvas, double y)
{
    double part = y / canvas->range.y_most;

    part = part < 0 ? 0 : part > 1 ? 1 : part;
    return ROWS - 1 - (unsigned)lround(part * (ROWS - 1));
}

static void put(const struct canvas *canvas, unsigned row, unsigned column, char letter)
{
    char *cell = &canvas->cells[row * canvas->columns + column];

    if (*cell == ' ')
        *cell = letter;
}

/* Steps of more than one row are filled up, so that the eye can follow. */
static void draw_line(const struct canvas *canvas, const struct picture_line *line, char letter)
{
    unsigned last = ROWS;

    for (unsigned column = 0; column < canvas->columns; column++) {
        double x = column_x(canvas, column), y;
        unsigned row;

        if (column == 0 || column == canvas->columns - 1) /* exactly there, whatever rounding says */
            x = column ? canvas->range.x_most : canvas->range.x_least;
        if (!picture_at(canvas->picture, line, x, &y))
            continue;
        row = row_of(canvas, y);
        put(canvas, row, column, letter);
        for (; last < ROWS && last + 1 < row; last++)
            put(canvas, last + 1, column, letter);
        for (; last < ROWS && last > row + 1; last--)
            put(canvas, last - 1, column, letter);
        last = row;
    }
}

static void print_rows(const struct canvas *canvas, FILE *out)
{
    for (unsigned row = 0; row < ROWS; row++) {
        char label[32] = "";
        unsigned end = canvas->columns;

        if (row % 4 == 0 || row == ROWS - 1)
            canvas->picture->y_label(canvas->range.y_most * (ROWS - 1 - row) / (ROWS - 1), label);
        while (end > 0 && canvas->cells[row * canvas->columns + end - 1] == ' ')
            end--;
        fprintf(out, "%*s |%.*s\n", MARGIN - 2, label, (int)end, canvas->cells + row * canvas->columns);
    }
}

static void print_x_axis(const struct canvas *canvas, FILE *out)
{
    char marks[MOST_COLUMNS + 1], labels[MOST_COLUMNS + 33], label[32];
    double ticks[TICKS];
    size_t most = canvas->columns / 10 < TICKS ? canvas->columns / 10 : TICKS;
    size_t count =
        picture_ticks(canvas->range.x_least, canvas->range.x_most, canvas->picture->log_x, ticks, most);
    unsigned free_from = 0, end = 0;

    memset(marks, '-', canvas->columns);
    memset(labels, ' ', sizeof(labels));
    for (size_t i = 0; i < count; i++) {
        unsigned at =
            (unsigned)lround(picture_x(canvas->picture, &canvas->range, ticks[i]) * (canvas->columns - 1));
        unsigned length;

        canvas->picture->x_label(ticks[i], label);
        length = (unsigned)strlen(label);
        marks[at] = '+';
        if (at < free_from || at + length > canvas->columns + MARGIN)
            continue;
        memcpy(labels + at, label, length);
        end = at + length;
        free_from = end + LABEL_GAP;
    }
    fprintf(out, "%*s+%.*s\n", MARGIN - 1, "", (int)canvas->columns, marks);
    fprintf(out, "%*s%.*s\n", MARGIN, "", (int)end, labels);
    fprintf(out, "%*s%s\n", MARGIN, "", canvas->picture->x_title);
}

static void print_names(const struct canvas *canvas, FILE *out)
{
    unsigned column = 0;

    for (size_t i = 0; i < canvas->picture->line_count && i < PICTURE_LINES; i++) {
        unsigned length = (unsigned)strlen(canvas->picture->lines[i].name) + 5;

        if (column > 0 && column + length > canvas->columns) {
            fputc('\n', out);
            column = 0;
        }
        if (column == 0)
            fprintf(out, "%*s", MARGIN, "");
        fprintf(out, "%c %s   ", letters[i], canvas->picture->lines[i].name);
        column += length;
    }
    fputc('\n', out);
}

void picture_text(const struct picture *picture, unsigned columns, FILE *out)
{
    struct canvas canvas = {.picture = picture, .range = picture_range(picture)};

    columns = columns < LEAST_COLUMNS ? LEAST_COLUMNS : columns > MOST_COLUMNS ? MOST_COLUMNS : columns;
    canvas.columns = columns - MARGIN - 1;
    canvas.cells = must_alloc((size_t)ROWS * canvas.columns);
    memset(canvas.cells, ' ', (size_t)ROWS * canvas.columns);
    for (size_t i = 0; i < picture->line_count && i < PICTURE_LINES; i++)
        draw_line(&canvas, &picture->lines[i], letters[i]);
    fprintf(out, "%*s%s\n", MARGIN, "", picture->y_title);
    print_rows(&canvas, out);
    print_x_axis(&canvas, out);
    print_names(&canvas, out);
    free(canvas.cells);
}
