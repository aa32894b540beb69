/*
 * Break before make: an MMU must never hold an old and a new translation that differ in more than rights.
 *
 *   break   the entries lose their present bit in one locked instruction each, and keep all other bits
 *   flush   now no MMU holds what they said, or marks them
 *   make    the changed entries are written
 *
 * In between an access faults, and readers of the table see a mark. Arm ARM (DDI 0487), D8.16.1.
 */
#include "pt/pt_internal.h"

void break_and_change(const struct pt *pt, struct pt_entry *run, unsigned count, uint64_t at, unsigned level,
                      struct pt_change change)
{
    change = pt_change_at(change, level);
    for (unsigned i = 0, end; i < count; i = end + 1) {
        for (end = i; end < count && pt_entry_present(pt_entry_load(&run[end]));)
            end++;
        if (end == i) /* a hole, or a mark */
            continue;
        break_run(pt, &run[i], end - i, at + ((uint64_t)i << pt_level_shift(level)), level, PT_FLUSH_PAGES);
        for (unsigned k = i; k < end; k++)
            pt_entry_store(&run[k], pt_entry_changed(broken_entry(&run[k]), change));
    }
}
