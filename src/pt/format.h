/*
 * The entry format that src/pt is compiled for. A format is one header of inline functions; the build names
 * another one with -DPT_FORMAT_HEADER=..., and gets the same library for it.
 *
 * What a format header gives:
 *
 *   struct pt_entry                       one entry of any table
 *   PT_LEVELS, PT_ENTRIES, PT_INDEX_BITS  the shape; level 1 holds the leaves
 *   PT_PAGE_LEVELS                        the highest level whose entries may map a page
 *   pt_entry_load/store                   whole, in an order that the MMU may observe
 *   pt_entry_empty/present/is_page/is_table/is_mark/valid
 *   pt_entry_table/page/from_mark         making one
 *   pt_entry_paddr/flags/mark             reading one
 *   pt_entry_live, pt_entry_with_live     how many entries of the table are not empty, if the format has
 *                                         room for it in the entry that points to the table
 *   pt_entry_first_part                   the first of the smaller pages that a huge page is split into
 *   pt_change_masks                       changing flags as one AND and one OR
 *   pt_level_shift/span, pt_index, pt_canonical
 */
#ifndef QUIRE_PT_FORMAT_H
#define QUIRE_PT_FORMAT_H

#ifndef PT_FORMAT_HEADER
#define PT_FORMAT_HEADER "pt/fmt/x86_64.h"
#endif
#include PT_FORMAT_HEADER

#endif
