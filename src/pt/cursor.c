/*
 * Cursors: finding the table that the next page is in (quire/pt_cursor.h has the rest).
 */
#include "pt/pt_internal.h"
#include "quire/pt_cursor.h"

/* Remember the level-1 table of the address, if there is one. */
static void remember(struct pt_cursor *cursor, struct vaddr address)
{
    const struct pt *pt = cursor->pt;
    struct pt_rights rights = PT_RIGHTS_ALL;
    struct pt_path path;

    pt_cursor_forget(cursor);
    if (pt->reach.way != PT_WAY_OFFSET || !pt_canonical(address) ||
        path_walk(PT_WAY_OFFSET, pt, address, 1, &path) != ST_OK || path.level != 1)
        return;
    for (unsigned level = PT_LEVELS; level > 1; level--) {
        cursor->parent =
            &table_open(PT_WAY_OFFSET, pt, path.frames[level], address, level)[pt_index(address, level)];
        pt_rights_add(&rights, pt_entry_load(cursor->parent));
    }
    cursor->rights = rights;
    cursor->table = path.table;
    cursor->block = address.v >> pt_level_shift(2);
}

struct pt_flush pt_cursor_map_slowly(struct pt_cursor *cursor, struct vaddr page, struct paddr to,
                                     struct pt_flags flags)
{
    struct pt_map request = {
        .start = page, .to = to, .length_bytes = PAGE_SIZE, .flags = flags, .size = PT_SIZE_4K};
    struct pt_flush promise = pt_map(cursor->pt, &request);

    remember(cursor, page);
    return promise;
}

struct pt_flush pt_cursor_unmap_slowly(struct pt_cursor *cursor, struct vaddr page)
{
    struct pt_flush promise = pt_unmap(cursor->pt, page, PAGE_SIZE, PT_STRICT);

    remember(cursor, page);
    return promise;
}

enum status pt_cursor_translate_slowly(struct pt_cursor *cursor, struct vaddr address,
                                       struct pt_translation *out)
{
    remember(cursor, address);
    return pt_translate(cursor->pt, address, out);
}
