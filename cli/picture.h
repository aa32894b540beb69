/*
 * Pictures of curves: in characters for a terminal, and as SVG.
 */
#ifndef CLI_PICTURE_H
#define CLI_PICTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { PICTURE_LINES = 62 };

struct picture_point {
    double x, y;
    double error; /* the truth is between y - error and y + error; 0: y is exact */
};

struct picture_line {
    const char *name;
    struct picture_point *points; /* by x, ascending */
    size_t count;
};

/* How a number is written at an axis. */
typedef void picture_label_fn(double value, char out[32]);

struct picture {
    const char *title, *x_title, *y_title;
    bool log_x; /* powers of two; x > 0 */
    picture_label_fn *x_label, *y_label;
    struct picture_line *lines;
    size_t line_count; /* at most PICTURE_LINES; further ones are not drawn */
};

void picture_text(const struct picture *picture, unsigned columns, FILE *out);
void picture_svg(const struct picture *picture, FILE *out);

/* The ranges of the axes; y begins at 0. */
struct picture_range {
    double x_least, x_most, y_most;
};
struct picture_range picture_range(const struct picture *picture);
/* 0 … 1 along the axis. */
double picture_x(const struct picture *picture, const struct picture_range *range, double x);
/* The line's height at x: on the straight line between its neighbours. False: the line is not there. */
bool picture_at(const struct picture *picture, const struct picture_line *line, double x, double *y);
/* Round numbers along an axis: fills in up to `most`, returns how many. */
size_t picture_ticks(double least, double most, bool log, double *ticks, size_t count);

#endif
