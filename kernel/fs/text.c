/*
 * A text that grows.
 */
#include "kernel/fs/text.h"
#include "kernel/fs/internal.h"
#include "kernel/klib.h"
#include "quire/slab.h"

enum { TEXT_FIRST_BYTES = 256, TEXT_PIECE_BYTES = 256 };

static bool text_reserve(struct text *text, size_t count)
{
    size_t capacity = text->capacity != 0 ? text->capacity * 2 : TEXT_FIRST_BYTES;
    char *data;

    if (text->capacity - text->length >= count)
        return true;
    while (capacity - text->length < count)
        capacity *= 2;
    data = text->failed ? NULL : slab_alloc(capacity);
    if (data == NULL) {
        text->failed = true;
        return false;
    }
    if (text->length != 0)
        memcpy(data, text->data, text->length);
    slab_free(text->data);
    text->data = data;
    text->capacity = capacity;
    return true;
}

void text_add(struct text *text, const void *bytes, size_t count)
{
    if (count == 0 || !text_reserve(text, count))
        return;
    memcpy(text->data + text->length, bytes, count);
    text->length += count;
}

void text_printf(struct text *text, const char *format, ...)
{
    char piece[TEXT_PIECE_BYTES];
    va_list args;
    int length;

    va_start(args, format);
    length = vsnprintf(piece, sizeof piece, format, args);
    va_end(args);
    if (length > 0)
        text_add(text, piece, (size_t)length < sizeof piece ? (size_t)length : sizeof piece - 1);
}

void text_pad(struct text *text, size_t line, size_t column)
{
    do
        text_add(text, " ", 1);
    while (!text->failed && text->length - line < column);
}

void text_free(struct text *text)
{
    slab_free(text->data);
    *text = (struct text){.data = NULL};
}
