/*
 * A text that grows: what the files of /proc are made of. Adding to it never sleeps.
 */
#ifndef KERNEL_FS_TEXT_H
#define KERNEL_FS_TEXT_H

#include <stdbool.h>
#include <stddef.h>

struct text {
    char *data; /* a slab cell; not NUL-terminated */
    size_t length, capacity;
    bool failed; /* no memory: the text is cut */
};

void text_add(struct text *text, const void *bytes, size_t count);
void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Spaces up to this column of a line that begins at `line`. */
void text_pad(struct text *text, size_t line, size_t column);
void text_free(struct text *text);

#endif
