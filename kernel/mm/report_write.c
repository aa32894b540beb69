/*
 * Writing JSON. See report_write.h.
 */
#include "kernel/mm/report_write.h"

#include "kernel/klib.h"

void report_put(struct report *w, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    int length = vsnprintf(w->to + w->length, w->size - w->length, format, args);

    va_end(args);
    w->length += (size_t)length;
    if (w->length >= w->size)
        w->length = w->size - 1; /* cut */
}

void report_name(struct report *w, const char *name)
{
    report_put(w, "%s\"%s\":", w->comma ? "," : "", name);
    w->comma = true;
}

void report_number(struct report *w, const char *name, uint64_t value)
{
    report_name(w, name);
    report_put(w, "%lu", value);
}

void report_text(struct report *w, const char *name, const char *value)
{
    report_name(w, name);
    report_put(w, "\"");
    for (; *value != '\0'; value++) { /* programs may call themselves what they want */
        bool plain = *value >= ' ' && *value < 0x7f && *value != '"' && *value != '\\';

        report_put(w, "%c", plain ? *value : '?');
    }
    report_put(w, "\"");
}

void report_begin_list(struct report *w, const char *name)
{
    report_name(w, name);
    report_put(w, "[");
    w->comma = false;
}

void report_end_list(struct report *w)
{
    report_put(w, "]");
    w->comma = true;
}

void report_item(struct report *w)
{
    report_put(w, "%s{", w->comma ? "," : "");
    w->comma = false;
}

void report_begin(struct report *w, const char *name)
{
    report_name(w, name);
    report_put(w, "{");
    w->comma = false;
}

void report_end(struct report *w)
{
    report_put(w, "}");
    w->comma = true;
}
