/*
 * The C library's functions that the kernel needs (klib.h).
 *
 * Copies and fills of 16 bytes and less are made of overlapping moves without a loop; longer ones of string
 * instructions on words, because general registers are all that the kernel uses, and where each repetition
 * counts as an instruction (QEMU) a word a repetition is the best there is.
 */
#include "kernel/klib.h"
#include <stdbool.h>

/* Or the compiler makes calls of these functions out of their own loops. */
#pragma GCC optimize("no-tree-loop-distribute-patterns")

static inline uint64_t load_64(const void *from)
{
    uint64_t v;
    __builtin_memcpy(&v, from, sizeof v);
    return v;
}

static inline uint32_t load_32(const void *from)
{
    uint32_t v;
    __builtin_memcpy(&v, from, sizeof v);
    return v;
}

static inline uint16_t load_16(const void *from)
{
    uint16_t v;
    __builtin_memcpy(&v, from, sizeof v);
    return v;
}

static inline void store_64(void *to, uint64_t v)
{
    __builtin_memcpy(to, &v, sizeof v);
}

static inline void store_32(void *to, uint32_t v)
{
    __builtin_memcpy(to, &v, sizeof v);
}

static inline void store_16(void *to, uint16_t v)
{
    __builtin_memcpy(to, &v, sizeof v);
}

/* At most 16 bytes; everything is loaded before anything is stored, so they may overlap. */
static inline void move_small(char *to, const char *from, size_t n)
{
    if (n >= 8) {
        uint64_t first = load_64(from);
        uint64_t last = load_64(from + n - 8);

        store_64(to, first);
        store_64(to + n - 8, last);
    } else if (n >= 4) {
        uint32_t first = load_32(from);
        uint32_t last = load_32(from + n - 4);

        store_32(to, first);
        store_32(to + n - 4, last);
    } else if (n >= 2) {
        uint16_t first = load_16(from);
        uint16_t last = load_16(from + n - 2);

        store_16(to, first);
        store_16(to + n - 2, last);
    } else if (n == 1) {
        *to = *from;
    }
}

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
    if (n <= 16) {
        move_small(to, from, n);
        return to;
    }
    uint64_t last = load_64((const char *)from + n - 8);
    void *at = to;
    size_t words = (n - 1) / 8;

    __asm__ volatile("rep movsq" : "+D"(at), "+S"(from), "+c"(words)::"memory");
    store_64((char *)to + n - 8, last);
    return to;
}

void *memmove(void *to, const void *from, size_t n)
{
    if (n <= 16) {
        move_small(to, from, n);
        return to;
    }
    if ((uintptr_t)to - (uintptr_t)from >= n) /* not behind `from` within the source: forwards is right */
        return memcpy(to, from, n);

    /* From the end, words; the first word is loaded before it can be overwritten. */
    uint64_t first = load_64(from);
    char *at = (char *)to + n;
    const char *source = (const char *)from + n;

    for (size_t words = (n - 1) / 8; words != 0; words--) {
        at -= 8;
        source -= 8;
        store_64(at, load_64(source));
    }
    store_64(to, first);
    return to;
}

void *memset(void *to, int byte, size_t n)
{
    uint64_t word = (uint8_t)byte * (uint64_t)0x0101010101010101;
    char *start = to;

    if (n >= 8) {
        void *at = to;
        size_t words = n / 8;

        store_64(start + n - 8, word);
        __asm__ volatile("rep stosq" : "+D"(at), "+c"(words) : "a"(word) : "memory");
    } else if (n >= 4) {
        store_32(start, (uint32_t)word);
        store_32(start + n - 4, (uint32_t)word);
    } else if (n >= 2) {
        store_16(start, (uint16_t)word);
        store_16(start + n - 2, (uint16_t)word);
    } else if (n == 1) {
        *start = (char)byte;
    }
    return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const uint8_t *x = a;
    const uint8_t *y = b;

    while (n >= 8 && load_64(x) == load_64(y)) {
        x += 8;
        y += 8;
        n -= 8;
    }
    for (; n != 0; n--, x++, y++)
        if (*x != *y)
            return *x - *y;
    return 0;
}

void *memchr(const void *s, int c, size_t n)
{
    for (const uint8_t *at = s; n != 0; n--, at++)
        if (*at == (uint8_t)c)
            return (void *)(uintptr_t)at;
    return NULL;
}

size_t strlen(const char *s)
{
    size_t length = 0;

    for (;; length += 4) {
        if (s[length] == '\0')
            return length;
        if (s[length + 1] == '\0')
            return length + 1;
        if (s[length + 2] == '\0')
            return length + 2;
        if (s[length + 3] == '\0')
            return length + 3;
    }
}

size_t strnlen(const char *s, size_t n)
{
    size_t length = 0;

    while (length < n && s[length] != '\0')
        length++;
    return length;
}

int strcmp(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return (uint8_t)*a - (uint8_t)*b;
}

int strncmp(const char *a, const char *b, size_t n)
{
    for (; n != 0; n--, a++, b++)
        if (*a != *b || *a == '\0')
            return (uint8_t)*a - (uint8_t)*b;
    return 0;
}

char *strchr(const char *s, int c)
{
    for (;; s++) {
        if (*s == (char)c)
            return (char *)(uintptr_t)s;
        if (*s == '\0')
            return NULL;
    }
}

char *strrchr(const char *s, int c)
{
    const char *found = NULL;

    for (;; s++) {
        if (*s == (char)c)
            found = s;
        if (*s == '\0')
            return (char *)(uintptr_t)found;
    }
}

size_t strlcpy(char *to, const char *from, size_t size)
{
    size_t length = strlen(from);

    if (size != 0) {
        size_t copied = length < size ? length : size - 1;

        memcpy(to, from, copied);
        to[copied] = '\0';
    }
    return length;
}

/* What __builtin_popcountll() becomes, where the CPU need not have POPCNT. Bits are added up in pairs, fours
 * and bytes; the multiplication adds the bytes. */
__attribute__((used)) int __popcountdi2(int64_t value);
int __popcountdi2(int64_t value)
{
    uint64_t v = (uint64_t)value;

    v -= v >> 1 & 0x5555555555555555;
    v = (v & 0x3333333333333333) + (v >> 2 & 0x3333333333333333);
    v = (v + (v >> 4)) & 0x0f0f0f0f0f0f0f0f;
    return (int)(v * 0x0101010101010101 >> 56);
}

/* ------------------------------------------------------------------------------- formatted output */

enum { FLAG_LEFT = 1, FLAG_ZERO = 2, FLAG_PLUS = 4, FLAG_SPACE = 8, FLAG_ALTERNATE = 16 };

struct output {
    char *to;
    size_t size;
    size_t length; /* what there would be if it had room */
};

struct directive {
    unsigned flags;
    int width;
    int precision; /* -1: none */
    int length;    /* 2: ll, 1: l, z, j, t; -1: h, -2: hh */
    char conversion;
};

static void put(struct output *out, char c)
{
    if (out->length + 1 < out->size)
        out->to[out->length] = c;
    out->length++;
}

static void put_repeated(struct output *out, char c, int count)
{
    while (count-- > 0)
        put(out, c);
}

static const char *parse_number(const char *format, int *value, va_list *args)
{
    if (*format == '*') {
        *value = va_arg(*args, int);
        return format + 1;
    }
    *value = 0;
    while (*format >= '0' && *format <= '9')
        *value = *value * 10 + (*format++ - '0');
    return format;
}

static const char *parse_flags(const char *format, unsigned *flags)
{
    for (;; format++) {
        switch (*format) {
        case '-':
            *flags |= FLAG_LEFT;
            break;
        case '0':
            *flags |= FLAG_ZERO;
            break;
        case '+':
            *flags |= FLAG_PLUS;
            break;
        case ' ':
            *flags |= FLAG_SPACE;
            break;
        case '#':
            *flags |= FLAG_ALTERNATE;
            break;
        default:
            return format;
        }
    }
}

static const char *parse_length(const char *format, int *length)
{
    for (;; format++) {
        switch (*format) {
        case 'l':
            ++*length;
            break;
        case 'z':
        case 'j':
        case 't':
            *length = 1;
            break;
        case 'h':
            --*length;
            break;
        default:
            return format;
        }
    }
}

static const char *parse_directive(const char *format, struct directive *d, va_list *args)
{
    *d = (struct directive){.precision = -1};
    format = parse_flags(format, &d->flags);
    format = parse_number(format, &d->width, args);
    if (d->width < 0) {
        d->flags |= FLAG_LEFT;
        d->width = -d->width;
    }
    if (*format == '.')
        format = parse_number(format + 1, &d->precision, args);
    format = parse_length(format, &d->length);
    d->conversion = *format;
    return *format == '\0' ? format : format + 1;
}

static void put_text(struct output *out, const struct directive *d, const char *text, size_t length)
{
    int padding = d->width - (int)length;

    if (!(d->flags & FLAG_LEFT))
        put_repeated(out, ' ', padding);
    for (size_t i = 0; i < length; i++)
        put(out, text[i]);
    if (d->flags & FLAG_LEFT)
        put_repeated(out, ' ', padding);
}

static void put_number(struct output *out, const struct directive *d, uint64_t value, unsigned base,
                       const char *prefix)
{
    const char *digits = d->conversion == 'X' ? "0123456789ABCDEF" : "0123456789abcdef";
    char text[24]; /* 22 octal digits */
    int count = 0;

    for (; value != 0; value /= base)
        text[count++] = digits[value % base];
    int wanted = d->precision >= 0 ? d->precision : 1;
    int zeroes = wanted > count ? wanted - count : 0;
    int padding = d->width - count - zeroes - (int)strlen(prefix);

    if ((d->flags & FLAG_ZERO) && !(d->flags & FLAG_LEFT) && d->precision < 0 && padding > 0) {
        zeroes += padding;
        padding = 0;
    }
    if (!(d->flags & FLAG_LEFT))
        put_repeated(out, ' ', padding);
    while (*prefix != '\0')
        put(out, *prefix++);
    put_repeated(out, '0', zeroes);
    while (count > 0)
        put(out, text[--count]);
    if (d->flags & FLAG_LEFT)
        put_repeated(out, ' ', padding);
}

static void put_signed(struct output *out, const struct directive *d, va_list *args)
{
    int64_t value = d->length >= 1 ? va_arg(*args, long) : va_arg(*args, int);

    if (d->length == -1)
        value = (int16_t)value;
    if (d->length <= -2)
        value = (int8_t)value;
    put_number(out, d, value < 0 ? -(uint64_t)value : (uint64_t)value, 10,
               value < 0               ? "-"
               : d->flags & FLAG_PLUS  ? "+"
               : d->flags & FLAG_SPACE ? " "
                                       : "");
}

static void put_unsigned(struct output *out, const struct directive *d, va_list *args)
{
    uint64_t value = d->length >= 1 ? va_arg(*args, unsigned long) : va_arg(*args, unsigned);
    bool alternate = (d->flags & FLAG_ALTERNATE) != 0 && value != 0;

    if (d->length == -1)
        value = (uint16_t)value;
    if (d->length <= -2)
        value = (uint8_t)value;
    switch (d->conversion) {
    case 'u':
        put_number(out, d, value, 10, "");
        break;
    case 'o':
        put_number(out, d, value, 8, alternate ? "0" : "");
        break;
    case 'X':
        put_number(out, d, value, 16, alternate ? "0X" : "");
        break;
    default:
        put_number(out, d, value, 16, alternate ? "0x" : "");
    }
}

static void put_directive(struct output *out, const struct directive *d, va_list *args)
{
    char c;
    const char *text;

    switch (d->conversion) {
    case 'd':
    case 'i':
        put_signed(out, d, args);
        break;
    case 'u':
    case 'x':
    case 'X':
    case 'o':
        put_unsigned(out, d, args);
        break;
    case 'p':
        put_number(out, d, va_arg(*args, uintptr_t), 16, "0x");
        break;
    case 'c':
        c = (char)va_arg(*args, int);
        put_text(out, d, &c, 1);
        break;
    case 's':
        text = va_arg(*args, const char *);
        if (text == NULL)
            text = "(null)";
        put_text(out, d, text, d->precision < 0 ? strlen(text) : strnlen(text, (size_t)d->precision));
        break;
    case '%':
        put(out, '%');
        break;
    default: /* not one of ours: shown as it is */
        put(out, '%');
        put(out, d->conversion);
    }
}

int vsnprintf(char *to, size_t size, const char *format, va_list args)
{
    struct output out = {to, size, 0};
    va_list mine;

    va_copy(mine, args);
    while (*format != '\0') {
        struct directive d;

        if (*format != '%') {
            put(&out, *format++);
            continue;
        }
        format = parse_directive(format + 1, &d, &mine);
        if (d.conversion == '\0')
            break;
        put_directive(&out, &d, &mine);
    }
    va_end(mine);
    if (size != 0)
        to[out.length < size ? out.length : size - 1] = '\0';
    return (int)out.length;
}

int snprintf(char *to, size_t size, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int length = vsnprintf(to, size, format, args);

    va_end(args);
    return length;
}
