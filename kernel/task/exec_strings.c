/*
 * The argument and environment strings of exec.
 *
 * They are copied from the old program's memory before anything of it is given up, into one contiguous block
 * that doubles when it is full; one page is enough nearly always. Their order is the order they have on the
 * new stack.
 */
#include <asm-generic/errno.h>
#include <linux/limits.h>

#include "kernel/fs/internal.h"
#include "kernel/klib.h"
#include "kernel/task/exec_internal.h"

enum {
    BLOCK_ORDER_MAX = 11,             /* 8 MiB: more than the limit of 6 MiB */
    STRING_MAX = 32 * 4096,           /* one string, as Linux */
    POINTER_BYTES = sizeof(uint64_t), /* each string costs its pointer, too */
    BATCH = 16                        /* pointers read at once */
};

void exec_strings_init(struct exec_strings *strings, size_t limit)
{
    memset(strings, 0, sizeof(*strings));
    strings->limit = limit;
}

void exec_strings_free(struct exec_strings *strings)
{
    if (strings->block)
        frame_free(strings->block);
    strings->block = NULL;
}

static struct frame *block_alloc(unsigned order)
{
    struct frame *block = frame_alloc(order, FRAME_KERNEL, FRAME_ANY);

    if (!block && order > 0 && reclaim((uint64_t)1 << order) > 0)
        return frame_alloc(order, FRAME_KERNEL, FRAME_ANY);
    while (!block && order == 0 && fs_make_room())
        block = frame_alloc(order, FRAME_KERNEL, FRAME_ANY);
    return block;
}

int exec_strings_reserve(struct exec_strings *strings, size_t bytes)
{
    struct frame *block;
    unsigned order = 0;

    if (strings->used + bytes <= strings->capacity)
        return 0;
    while (((size_t)PAGE_SIZE << order) < strings->used + bytes)
        order++;
    if (order > BLOCK_ORDER_MAX)
        return -E2BIG;
    block = block_alloc(order);
    if (!block)
        return -ENOMEM;
    memcpy(frame_data(block), strings->bytes, strings->used);
    exec_strings_free(strings);
    strings->block = block;
    strings->bytes = frame_data(block);
    strings->capacity = (size_t)PAGE_SIZE << order;
    return 0;
}

/* The limit counts the pointers that the new stack will hold, too. */
static int check_limit(const struct exec_strings *strings)
{
    size_t pointers = (size_t)(strings->argc + strings->envc) * POINTER_BYTES;

    return strings->used + pointers > strings->limit ? -E2BIG : 0;
}

static int read_string(struct exec_strings *strings, uint64_t from)
{
    for (;;) {
        size_t room = strings->capacity - strings->used;
        long length;

        if (room > STRING_MAX)
            room = STRING_MAX;
        length = room ? user_read_string(strings->bytes + strings->used, from, room) : -ENAMETOOLONG;
        if (length >= 0) {
            strings->used += (size_t)length + 1;
            return check_limit(strings);
        }
        if (length != -ENAMETOOLONG)
            return -EFAULT;
        if (room >= STRING_MAX)
            return -E2BIG;
        if (strings->used + room > strings->limit)
            return -E2BIG;
        int error = exec_strings_reserve(strings, room + 1);
        if (error)
            return error;
    }
}

/* One NULL-terminated array of pointers. */
static int read_array(struct exec_strings *strings, uint64_t array, unsigned *count)
{
    uint64_t batch[BATCH];

    *count = 0;
    if (!array)
        return 0;
    for (;; array += sizeof(batch)) {
        size_t got = user_read_some(batch, array, sizeof(batch)) / POINTER_BYTES;

        for (size_t i = 0; i < got; i++) {
            int error;

            if (!batch[i])
                return 0;
            ++*count;
            error = read_string(strings, batch[i]);
            if (error)
                return error;
        }
        if (got < BATCH)
            return -EFAULT;
    }
}

/* A program may count on an argument 0. */
static int supply_argument(struct exec_strings *strings)
{
    int error;

    if (strings->argc > 0)
        return 0;
    error = exec_strings_reserve(strings, 1);
    if (error)
        return error;
    strings->bytes[strings->used++] = '\0';
    strings->argc = 1;
    return 0;
}

int exec_strings_read(struct exec_strings *strings, uint64_t argv, uint64_t envp)
{
    int error = read_array(strings, argv, &strings->argc);

    if (!error)
        error = supply_argument(strings);
    if (error)
        return error;
    strings->args_bytes = strings->used;
    return read_array(strings, envp, &strings->envc);
}

int exec_strings_take(struct exec_strings *strings, const struct exec_request *request)
{
    size_t at = 0;
    int error = exec_strings_reserve(strings, request->strings_bytes + 1);

    if (error)
        return error;
    memcpy(strings->bytes, request->strings, request->strings_bytes);
    strings->used = request->strings_bytes;
    strings->argc = request->argc;
    strings->envc = request->envc;
    for (unsigned i = 0; i < request->argc; i++)
        at += strlen(request->strings + at) + 1;
    strings->args_bytes = at;
    return 0;
}

int exec_strings_insert_script(struct exec_strings *strings, const char *interpreter, const char *argument,
                               const char *path)
{
    size_t first = strlen(strings->bytes) + 1, interpreter_bytes = strlen(interpreter) + 1;
    size_t argument_bytes = argument ? strlen(argument) + 1 : 0, path_bytes = strlen(path) + 1;
    size_t inserted = interpreter_bytes + argument_bytes + path_bytes;
    int error = exec_strings_reserve(strings, inserted);
    char *at;

    if (error)
        return error;
    at = strings->bytes;
    memmove(at + inserted, at + first, strings->used - first);
    memcpy(at, interpreter, interpreter_bytes);
    if (argument)
        memcpy(at + interpreter_bytes, argument, argument_bytes);
    memcpy(at + interpreter_bytes + argument_bytes, path, path_bytes);
    strings->used += inserted - first;
    strings->args_bytes += inserted - first;
    strings->argc += argument ? 2 : 1;
    return check_limit(strings);
}
