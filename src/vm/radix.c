/*
 * See radix.h.
 *
 * Invariant: no node but the root is without a non-NULL slot; the root of height h covers indices below 64^h.
 */
#include "vm/radix.h"

#include "quire/slab.h"

static bool in_reach(const struct radix *tree, uint64_t index)
{
    return tree->height * RADIX_BITS >= 64 || index >> (tree->height * RADIX_BITS) == 0;
}

static unsigned slot_of(uint64_t index, unsigned level)
{
    return (unsigned)(index >> (level * RADIX_BITS)) & (RADIX_SLOTS - 1);
}

static struct radix_node *lowest_node(const struct radix *tree, uint64_t index)
{
    struct radix_node *node = tree->root;

    if (!node || !in_reach(tree, index))
        return NULL;
    for (unsigned level = tree->height - 1; level > 0 && node; level--)
        node = node->slots[slot_of(index, level)];
    return node;
}

void *radix_get(const struct radix *tree, uint64_t index)
{
    struct radix_node *node = lowest_node(tree, index);

    return node ? node->slots[slot_of(index, 0)] : NULL;
}

void **radix_slots(const struct radix *tree, uint64_t first)
{
    struct radix_node *node = lowest_node(tree, first);

    return node ? node->slots : NULL;
}

static bool node_empty(const struct radix_node *node)
{
    for (unsigned i = 0; i < RADIX_SLOTS; i++)
        if (node->slots[i])
            return false;
    return true;
}

/* Free the nodes on the way to `index` that hold nothing, from the lowest up. */
static void free_empty(struct radix *tree, uint64_t index)
{
    for (unsigned lowest = 0; lowest < tree->height; lowest++) {
        struct radix_node **link = &tree->root;

        for (unsigned level = tree->height - 1; level > lowest && *link; level--)
            link = (struct radix_node **)&(*link)->slots[slot_of(index, level)];
        if (!*link)
            continue;
        if (!node_empty(*link))
            return;
        slab_free(*link);
        *link = NULL;
    }
    if (!tree->root)
        tree->height = 0;
}

static enum status add_height(struct radix *tree)
{
    struct radix_node *node = slab_alloc(sizeof *node);

    if (!node)
        return ST_NO_MEMORY;
    node->slots[0] = tree->root;
    tree->root = node;
    tree->height++;
    return ST_OK;
}

/* Undo added levels above a tree that does not need them. */
static void trim_height(struct radix *tree)
{
    while (tree->height > 1) {
        struct radix_node *root = tree->root;

        for (unsigned i = 1; i < RADIX_SLOTS; i++)
            if (root->slots[i])
                return;
        tree->root = root->slots[0];
        tree->height--;
        slab_free(root);
    }
}

static unsigned height_for(uint64_t index)
{
    unsigned height = 1;

    while (height * RADIX_BITS < 64 && index >> (height * RADIX_BITS) != 0)
        height++;
    return height;
}

enum status radix_insert(struct radix *tree, uint64_t index, void *value)
{
    struct radix_node **link = &tree->root;

    if (!tree->root)
        tree->height = height_for(index);
    while (!in_reach(tree, index))
        if (add_height(tree) != ST_OK)
            goto no_memory;
    for (unsigned level = tree->height; level-- > 0;) {
        if (!*link && !(*link = slab_alloc(sizeof **link)))
            goto no_memory;
        if (level > 0)
            link = (struct radix_node **)&(*link)->slots[slot_of(index, level)];
    }
    (*link)->slots[slot_of(index, 0)] = value;
    return ST_OK;

no_memory:
    free_empty(tree, index);
    if (tree->root)
        trim_height(tree);
    return ST_NO_MEMORY;
}

void radix_replace(struct radix *tree, uint64_t index, void *value)
{
    lowest_node(tree, index)->slots[slot_of(index, 0)] = value;
}

void *radix_remove(struct radix *tree, uint64_t index)
{
    struct radix_node *node = lowest_node(tree, index);
    void *value;

    if (!node)
        return NULL;
    value = node->slots[slot_of(index, 0)];
    if (value) {
        node->slots[slot_of(index, 0)] = NULL;
        if (node_empty(node))
            free_empty(tree, index);
    }
    return value;
}

static void *next_in(const struct radix_node *node, unsigned level, uint64_t *index)
{
    uint64_t span = (uint64_t)1 << (level * RADIX_BITS);

    for (unsigned i = slot_of(*index, level); i < RADIX_SLOTS; i++) {
        uint64_t next = align_down(*index, span) + span;
        void *found = node->slots[i];

        if (found && level > 0)
            found = next_in(found, level - 1, index);
        if (found)
            return found;
        *index = next;
    }
    return NULL;
}

void *radix_next(const struct radix *tree, uint64_t *index)
{
    if (!tree->root || !in_reach(tree, *index))
        return NULL;
    return next_in(tree->root, tree->height - 1, index);
}
