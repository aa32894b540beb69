/*
 * The entry format that src/pt, or a user of it, is compiled for: the macro PT_FORMAT, one of
 *
 *   x86_64      x86-64, 4 levels (when nothing is said)
 *   x86_64_5    x86-64, 5 levels
 *   sv39 sv48 sv57    RISC-V with 3, 4, 5 levels
 *   aarch64     AArch64, 4 KiB granule, 4 levels
 *
 * Say -DPT_FORMAT=sv39, or #define PT_FORMAT sv39 before the first header of the library. A translation unit
 * speaks one format; units of several formats make one program (names.h).
 *
 * A format is one header of inline functions, fmt/<format>.h. What it gives:
 *
 *   PT_LEVELS, PT_PAGE_LEVELS     the shape: level 1 holds the leaves; the highest level with pages
 *   PT_PHYSICAL_BITS              the width of a physical address
 *   PT_ROOT_HALVES                2: the upper half of the root is for the addresses at the end;
 *                                 1: each half of the addresses has a root, and a register of its own
 *   PT_GROUP_ENTRIES, _LEVELS     so many neighbours may be one translation, up to this level;
 *   pt_entry_is_grouped, _grouped, _ungrouped
 *   pt_entry_span                 how much of the address an entry leaves to the offset
 *   PT_HAS_RECURSIVE              there is a recursive way
 *   PT_RECURSIVE_WINDOWS          1: the MMU does not take an entry that points to a table for one of a
 *                                 page at the end of a walk, so that windows show the tables; else 0
 *   PT_FLUSH_OF_MAP               what is promised when an empty entry gets a page
 *   PT_BREAK_BEFORE_MAKE          some changes take the entry out and flush before they write it
 *   PT_FLAGS_PAGE, _TABLE         the flags that a page's or a table's entry has
 *   pt_flags_fit, pt_change_fits  does the format have these flags, and together
 *   pt_canonical                  an address that can be translated
 *   pt_entry_is_page, _is_table, _valid, _may_get_dirty       telling what an entry is
 *   pt_entry_table, _page, _step  making one; what the entry of the next page is larger by
 *   pt_entry_paddr, _page_paddr, _flags, pt_table_flags       reading one
 *   pt_entry_first_part, _whole   the first of the smaller pages that a huge page is split into; and back
 *   pt_entry_live, _with_live, _add_live, PT_LIVE_IS_COUNTED
 *                                 how many entries of the table are not empty, if the format has room for it
 *                                 in the entry that points to the table
 *   pt_change, pt_change_at       changing the flags of pages of level 1, of any level;
 *   pt_entry_changed, _may_change PT_CHANGE_IS_MASKS: it is one AND and one OR
 *   pt_change_breaks              the change is one that breaks before it makes
 *   pt_table_masks                changing the flags of an entry that points to a table
 *   pt_rights_flags               what a page's flags are with the rights of the whole walk
 *
 * and from fmt/common.h struct pt_entry with its loads and stores, marks, and the arithmetic of levels.
 */
#ifndef QUIRE_PT_FORMAT_H
#define QUIRE_PT_FORMAT_H

#ifndef PT_FORMAT
#define PT_FORMAT x86_64
#endif
/* (clang-format would put blanks into the name of the file.) */
/* clang-format off */
#define PT_FORMAT_TEXT(file) #file
#define PT_FORMAT_FILE(format) PT_FORMAT_TEXT(pt/fmt/format.h)
#include PT_FORMAT_FILE(PT_FORMAT)
/* clang-format on */

#include "pt/names.h"

/* The page that entry number `index` of its table maps: of a group, one of its pages. */
static inline struct paddr pt_entry_page_at(struct pt_entry page, unsigned level, unsigned index)
{
    uint64_t inside = ((uint64_t)index << pt_level_shift(level)) & (pt_entry_span(page, level) - 1);

    return paddr(pt_entry_page_paddr(page, level).v + inside);
}

/* What a present entry says, table or page. */
static inline struct pt_flags pt_flags_at(struct pt_entry entry, unsigned level)
{
    return pt_entry_is_table(entry, level) ? pt_table_flags(entry) : pt_entry_flags(entry, level);
}

#endif
