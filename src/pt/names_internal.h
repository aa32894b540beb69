/*
 * As names.h, for what the library's files give to one another.
 */
#ifndef PT_NAMES_INTERNAL_H
#define PT_NAMES_INTERNAL_H

#include "pt/names.h"

/* clang-format off */
#define PT_RENAME_INTERNAL(name) PT_RENAME_FOR(PT_FORMAT, name, name)

PT_RENAME_INTERNAL(batch_cover)
PT_RENAME_INTERNAL(batch_drain)
PT_RENAME_INTERNAL(break_and_change)
PT_RENAME_INTERNAL(group_is_cut)
PT_RENAME_INTERNAL(range_cut)
PT_RENAME_INTERNAL(range_prepare)
PT_RENAME_INTERNAL(reach_can_park)
PT_RENAME_INTERNAL(reach_check_slowly)
PT_RENAME_INTERNAL(reach_forget_tables)
PT_RENAME_INTERNAL(reach_park)
PT_RENAME_INTERNAL(reach_recursive_open)
PT_RENAME_INTERNAL(reach_root_open)
PT_RENAME_INTERNAL(reach_slot_close)
PT_RENAME_INTERNAL(reach_slot_open)
PT_RENAME_INTERNAL(reach_unpark)
PT_RENAME_INTERNAL(split_tables)
PT_RENAME_INTERNAL(stash_drop)
PT_RENAME_INTERNAL(stash_fill)
PT_RENAME_INTERNAL(tables_below)
PT_RENAME_INTERNAL(ungroup_edges)
PT_RENAME_INTERNAL(ungroup_page)
/* clang-format on */

#endif
