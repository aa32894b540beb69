/*
 * Names of what the library gives to the linker, one for each format: pt_map() is pt_sv39_map to the linker
 * where PT_FORMAT is sv39. So one archive holds every format, and a program may use several, each in its own
 * translation units. The compiler and the debugger go on saying pt_map. (GCC and Clang; a pragma must come
 * before the first declaration of the name.)
 *
 * What is static inline needs no entry. tests/e2e/packaging.py finds a name that is missing here.
 */
#ifndef QUIRE_PT_NAMES_H
#define QUIRE_PT_NAMES_H

/* clang-format off */
#define PT_PRAGMA(text) _Pragma(#text)
#define PT_RENAME_TO(old, new) PT_PRAGMA(redefine_extname old new)
#define PT_RENAME_IN(format, old, name) PT_RENAME_TO(old, pt_##format##_##name)
#define PT_RENAME_FOR(format, old, name) PT_RENAME_IN(format, old, name)
#define PT_RENAME(name) PT_RENAME_FOR(PT_FORMAT, pt_##name, name)

PT_RENAME(alloc_none)
PT_RENAME(at)
PT_RENAME(batch_add)
PT_RENAME(batch_finish)
PT_RENAME(batch_init)
PT_RENAME(check)
PT_RENAME(clean)
PT_RENAME(clone_half)
PT_RENAME(create)
PT_RENAME(cursor_map_slowly)
PT_RENAME(cursor_translate_slowly)
PT_RENAME(cursor_unmap_slowly)
PT_RENAME(destroy)
PT_RENAME(dump)
PT_RENAME(dump_json)
PT_RENAME(fill_mark)
PT_RENAME(flush_now)
PT_RENAME(forget_half)
PT_RENAME(get_mark)
PT_RENAME(harvest)
PT_RENAME(iterate)
PT_RENAME(make_recursive)
PT_RENAME(make_tables)
PT_RENAME(map)
PT_RENAME(map_identity)
PT_RENAME(map_list)
PT_RENAME(map_page_slowly)
PT_RENAME(merge)
PT_RENAME(next)
PT_RENAME(protect)
PT_RENAME(protect_level)
PT_RENAME(put_mark)
PT_RENAME(reach_function)
PT_RENAME(reach_identity)
PT_RENAME(reach_offset)
PT_RENAME(reach_recursive)
PT_RENAME(reach_slots)
PT_RENAME(recursive_entry)
PT_RENAME(recursive_table)
PT_RENAME(recursive_window)
PT_RENAME(split)
PT_RENAME(tables_needed)
PT_RENAME(translate_end)
PT_RENAME(translate_slowly)
PT_RENAME(unmap)
PT_RENAME(unmap_give)
PT_RENAME(visit_all)
PT_RENAME(visit_range)
/* clang-format on */

#endif
