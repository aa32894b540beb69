/*
 * A program with three members in one pager of 4 MiB, for `quire top` to look at: "shop" keeps a table,
 * "scan" goes through more than there is within its maximum, and regions of no member are there too. Says
 * "ready" when it has done that, and ends when its input does.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <quire/quire.h>

enum { MIB = 1 << 20 };

static struct quire_error error;

static void must(enum status status)
{
    if (status == ST_OK)
        return;
    fprintf(stderr, "tenants: %s: %s\n", status_name(status), error.text);
    exit(status == ST_UNSUPPORTED ? 77 : 1);
}

static void work(struct quire_pager *pager, struct quire_member *member, size_t length)
{
    struct quire_mapping mapping = {.length = length, .flags = QUIRE_FRESH, .member = member};
    unsigned char *memory;

    must(quire_swap("/tmp", length, &mapping.store, &error));
    must(quire_map(pager, &mapping, (void **)&memory, &error));
    for (size_t at = 0; at < length; at += 4096)
        memory[at] = 1;
}

int main(void)
{
    const struct quire_options options = {
        .memory_bytes = 4 * MIB, .publish = true, .scope = "local", .allocation = "equal"};
    struct quire_pager *pager;
    struct quire_member *shop, *scan;
    char byte;

    must(quire_open(&options, &pager, &error));
    must(quire_member_create(pager, &(struct quire_member_options){.name = "shop", .class = "vvip:1M"}, &shop,
                             &error));
    must(quire_member_create(pager, &(struct quire_member_options){.name = "scan", .maximum_bytes = MIB},
                             &scan, &error));
    work(pager, shop, MIB);
    work(pager, scan, 8 * MIB);
    work(pager, NULL, 8 * MIB);
    puts("ready");
    fflush(stdout);
    return read(STDIN_FILENO, &byte, 1) < 0;
}
