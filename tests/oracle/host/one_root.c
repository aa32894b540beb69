/*
 * Machines with one root for all addresses, which do not tell what memory type they found.
 */
#include "machine.h"

bool machine_is_upper(struct machine_mode mode)
{
    (void)mode;
    return false;
}

bool machine_same_memory(const struct scene *scene, const struct probe *probe,
                         const struct pt_translation *found)
{
    (void)scene;
    (void)probe;
    (void)found;
    return true;
}
