/*
 * Files that exec loads: opening, checking, mapping; and the stack that a new program starts with.
 *
 * A segment is a private mapping of the file's object, read on demand; its bss is anonymous. Where both share
 * a page, the rest of the page is zeroed now (the page becomes the program's own copy).
 */
#include <asm-generic/errno.h>
#include <linux/auxvec.h>

#include "kernel/fs/internal.h"
#include "kernel/klib.h"
#include "kernel/linux/syscalls.h"
#include "kernel/task/exec_internal.h"
#include "quire/slab.h"

/* ---------------------------------------------------------------- opening and checking */

static int may_run(struct vnode *node)
{
    struct vattr attributes;
    int error;

    if (node->type != S_IFREG || !node->object)
        return -EACCES;
    error = vnode_getattr(node, &attributes);
    if (error)
        return error;
    return (attributes.mode & 0111) ? 0 : -EACCES; /* root needs one of the three bits */
}

static int find(const struct exec_request *request, const char *path, struct vnode **out, char *resolved)
{
    if (!request)
        return path_resolve(NULL, NULL, path, WALK_FOLLOW, out, NULL, resolved);
    if (!request->node)
        return path_resolve(request->base, request->base_path, path, request->no_follow ? 0 : WALK_FOLLOW,
                            out, NULL, resolved);
    *out = vnode_ref(request->node);
    strlcpy(resolved, path, PATH_BYTES);
    return 0;
}

int exec_open(const struct exec_request *request, const char *path, struct vnode **out, char *resolved)
{
    struct vnode *node;
    int error = find(request, path, &node, resolved);

    *out = NULL;
    if (error)
        return error;
    error = node->type == S_IFLNK ? -ELOOP : may_run(node);
    if (error) {
        vnode_unref(node);
        return error;
    }
    vnode_name_object(node, resolved ? resolved : path);
    *out = node;
    return 0;
}

static const struct elf_limits user_limits = {SPACE_START, SPACE_END};

static int read_headers(struct exec_image *image)
{
    size_t bytes = image->header.e_phnum * sizeof(struct elf64_phdr), done;
    int error;

    image->headers = image->few_headers;
    if (image->header.e_phnum > HEADERS_INLINE) {
        image->headers = fs_alloc(bytes);
        if (!image->headers)
            return -ENOMEM;
    }
    error =
        (int)errno_of(object_read(image->node->object, image->header.e_phoff, image->headers, bytes, &done));
    if (error)
        return error;
    return done == bytes ? 0 : -ENOEXEC;
}

static enum elf_verdict last_verdict;

const char *exec_refusal(void)
{
    return elf_verdict_name(last_verdict);
}

int exec_image_check(struct exec_image *image, const void *first, size_t first_bytes)
{
    uint64_t file_bytes = object_size(image->node->object);
    size_t bytes = first_bytes < sizeof(image->header) ? first_bytes : sizeof(image->header);
    int error;

    memset(&image->header, 0, sizeof(image->header));
    memcpy(&image->header, first, bytes);
    last_verdict = elf_check_header(&image->header, bytes, file_bytes);
    if (last_verdict != ELF_GOOD)
        return -ENOEXEC;
    error = read_headers(image);
    if (error)
        return error;
    last_verdict = elf_check_segments(&image->header, image->headers, file_bytes, &user_limits, &image->elf);
    return last_verdict == ELF_GOOD ? 0 : -ENOEXEC;
}

void exec_image_free(struct exec_image *image)
{
    if (image->headers != image->few_headers)
        slab_free(image->headers);
    if (image->node)
        vnode_unref(image->node);
    image->headers = NULL;
    image->node = NULL;
}

/* ---------------------------------------------------------------- mapping */

static const char zeroes[PAGE_SIZE];

static unsigned segment_access(const struct elf64_phdr *segment)
{
    return ((segment->p_flags & PF_R) ? ACCESS_READ : 0u) | ((segment->p_flags & PF_W) ? ACCESS_WRITE : 0u) |
           ((segment->p_flags & PF_X) ? ACCESS_EXEC : 0u);
}

/*
 * What a program will soon touch is mapped at once, where its file is in memory: a fault costs as much as
 * mapping some sixty pages. Of a writable segment nearly every page is written when a program starts
 * (relocations, the C library's own data), so a small one is copied at once.
 */
enum { AHEAD_PAGES = 256, AHEAD_COPIES = 16, RELOCATED_PAGES = 2 };

/* But a program that does not move has next to nothing to relocate: of what is read-only afterwards only the
 * end is written, where the table of offsets lies and the C library keeps what it found out about the
 * machine. How many pages from `start` on are before that. */
static uint64_t pages_only_read(const struct elf_image *elf, uint64_t start, uint64_t end)
{
    uint64_t pages = (elf->read_only_end - start) >> PAGE_SHIFT;

    if (elf->moves || elf->read_only_end <= start || elf->read_only_end > end || pages < RELOCATED_PAGES)
        return 0;
    return pages - RELOCATED_PAGES;
}

static unsigned ahead_flag(const struct elf64_phdr *segment, uint64_t pages, uint64_t pages_read)
{
    bool copied = segment->p_flags & PF_W;

    return pages - (copied ? pages_read : 0) <= (copied ? AHEAD_COPIES : AHEAD_PAGES) ? SPACE_AHEAD : 0;
}

static enum status map_file_part(const struct exec_image *image, const struct elf64_phdr *segment,
                                 struct space *space, uint64_t start, uint64_t file_end)
{
    uint64_t bytes = align_up(file_end, PAGE_SIZE) - start;
    uint64_t pages_read = pages_only_read(&image->elf, start, start + bytes);
    struct vaddr at;
    const struct space_map map = {
        .hint = vaddr(start),
        .length_bytes = bytes,
        .access = segment_access(segment),
        .flags = SPACE_FIXED | ahead_flag(segment, bytes >> PAGE_SHIFT, pages_read),
        .object = image->node->object,
        .first_page = align_down(segment->p_offset, PAGE_SIZE) >> PAGE_SHIFT,
        .pages_read = pages_read,
    };

    return space_map(space, &map, &at);
}

/* [file_end, end) reads as zeroes. */
static enum status map_bss(const struct elf64_phdr *segment, struct space *space, uint64_t file_end,
                           uint64_t end)
{
    uint64_t whole = align_up(file_end, PAGE_SIZE);
    struct vaddr at;
    size_t done;

    if ((segment->p_flags & PF_W) && segment->p_filesz && whole > file_end) {
        uint64_t stop = whole < end ? whole : align_up(end, PAGE_SIZE);
        enum status status = space_write(space, vaddr(file_end), zeroes, stop - file_end, &done);

        if (status != ST_OK)
            return status;
    }
    if (align_up(end, PAGE_SIZE) <= whole)
        return ST_OK;
    const struct space_map map = {
        .hint = vaddr(whole),
        .length_bytes = align_up(end, PAGE_SIZE) - whole,
        .access = segment_access(segment),
        .flags = SPACE_FIXED | SPACE_AHEAD_LAST,
    };
    return space_map(space, &map, &at);
}

static enum status map_segment(const struct exec_image *image, const struct elf64_phdr *segment,
                               struct space *space)
{
    uint64_t address = segment->p_vaddr + image->bias, start = align_down(address, PAGE_SIZE);
    uint64_t file_end = address + segment->p_filesz, end = address + segment->p_memsz;
    enum status status;

    if (segment->p_filesz == 0) {
        file_end = start;
    } else {
        status = map_file_part(image, segment, space, start, file_end);
        if (status != ST_OK)
            return status;
    }
    return file_end < end ? map_bss(segment, space, file_end, end) : ST_OK;
}

int exec_image_map(const struct exec_image *image, struct space *space)
{
    for (unsigned i = 0; i < image->header.e_phnum; i++) {
        const struct elf64_phdr *segment = &image->headers[i];
        enum status status;

        if (segment->p_type != PT_LOAD || segment->p_memsz == 0)
            continue;
        status = map_segment(image, segment, space);
        if (status != ST_OK)
            return status == ST_IO_ERROR ? -EIO : -ENOMEM;
    }
    return 0;
}

int exec_image_place(struct exec_image *image, struct space *space)
{
    uint64_t span = image->elf.end - image->elf.start, extra = image->elf.alignment - PAGE_SIZE;
    const struct space_map map = {.length_bytes = span + extra, .access = ACCESS_NONE};
    struct vaddr at;

    image->bias = 0;
    if (!image->elf.moves)
        return 0;
    if (space_map(space, &map, &at) != ST_OK || space_unmap(space, at, span + extra) != ST_OK)
        return -ENOMEM;
    image->bias = align_up(at.v, image->elf.alignment) - align_down(image->elf.start, image->elf.alignment);
    return 0;
}

/* ---------------------------------------------------------------- the first stack */

/*
 *   top    -> 8 zero bytes
 *             platform, file name
 *             environment, arguments        <- args_at
 *             16 random bytes
 *             auxiliary vector, ended by AT_NULL
 *             environment pointers, NULL
 *             argument pointers, NULL
 *   rsp    -> argc                          (16-byte aligned)
 */
enum { STACK_SPARE = 128 * 1024, RANDOM_BYTES = 16, AUXILIARY_MAX = 24 };
static const char platform[] = "x86_64";

struct words {
    uint64_t *at;
};

static void put(struct words *words, uint64_t value)
{
    *words->at++ = value;
}

static void put_auxiliary(struct words *words, uint64_t type, uint64_t value)
{
    put(words, type);
    put(words, value);
}

static uint32_t cpuid_1_edx(void)
{
    uint32_t eax = 1, ebx, ecx = 0, edx;

    __asm__("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
    return edx;
}

enum { HWCAP2_FSGSBASE = 2, AT_MINSIGSTKSZ_FRAME = 440 + 128 + 64 + 16 };

static void put_auxiliary_vector(struct words *words, const struct exec_stack *stack, uint64_t names_at,
                                 uint64_t random_at)
{
    const struct process *process = process_current();
    const struct exec_image *program = stack->program;

    put_auxiliary(words, AT_HWCAP, cpuid_1_edx());
    put_auxiliary(words, AT_PAGESZ, PAGE_SIZE);
    put_auxiliary(words, AT_CLKTCK, 100);
    if (program->elf.headers)
        put_auxiliary(words, AT_PHDR, program->elf.headers + program->bias);
    put_auxiliary(words, AT_PHENT, sizeof(struct elf64_phdr));
    put_auxiliary(words, AT_PHNUM, program->header.e_phnum);
    put_auxiliary(words, AT_BASE, stack->interpreter ? stack->interpreter->bias : 0);
    put_auxiliary(words, AT_FLAGS, 0);
    put_auxiliary(words, AT_ENTRY, program->elf.entry + program->bias);
    put_auxiliary(words, AT_UID, process->uid[CREDENTIAL_REAL]);
    put_auxiliary(words, AT_EUID, process->uid[CREDENTIAL_EFFECTIVE]);
    put_auxiliary(words, AT_GID, process->gid[CREDENTIAL_REAL]);
    put_auxiliary(words, AT_EGID, process->gid[CREDENTIAL_EFFECTIVE]);
    put_auxiliary(words, AT_SECURE, 0);
    put_auxiliary(words, AT_RANDOM, random_at);
    put_auxiliary(words, AT_HWCAP2, cpu_features.fsgsbase ? HWCAP2_FSGSBASE : 0);
    put_auxiliary(words, AT_MINSIGSTKSZ, fpu_bytes() + AT_MINSIGSTKSZ_FRAME);
    put_auxiliary(words, AT_EXECFN, names_at);
    put_auxiliary(words, AT_PLATFORM, names_at + strlen(stack->file_name) + 1);
    put_auxiliary(words, AT_NULL, 0);
}

/* `count` pointers to strings that follow one another from `from`, which lies at `address` in the end. */
static uint64_t put_pointers(struct words *words, const char *from, uint64_t address, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        size_t bytes = strlen(from) + 1;

        put(words, address);
        from += bytes;
        address += bytes;
    }
    put(words, 0);
    return address;
}

static int map_stack(struct exec_stack *stack, struct space *space)
{
    uint64_t used = stack->top - stack->pointer, bytes = align_up(used + STACK_SPARE, PAGE_SIZE);
    struct vaddr at;

    if (bytes > stack->limit_bytes)
        bytes =
            align_up(used, PAGE_SIZE) > stack->limit_bytes ? align_up(used, PAGE_SIZE) : stack->limit_bytes;
    bytes = align_up(bytes, PAGE_SIZE);
    stack->end = align_up(stack->top, PAGE_SIZE);
    stack->start = stack->end - bytes;
    const struct space_map map = {
        .hint = vaddr(stack->start),
        .length_bytes = bytes,
        .access = ACCESS_READ | ACCESS_WRITE | (stack->program->elf.stack_executes ? ACCESS_EXEC : 0u),
        .flags = SPACE_FIXED | SPACE_GROWS_DOWN | SPACE_AHEAD_LAST,
    };
    return space_map(space, &map, &at) == ST_OK ? 0 : -ENOMEM;
}

/* Behind the strings: file name, platform, 8 zero bytes. Returns the size of what goes to the top of the
 * stack. */
static size_t append_names(struct exec_stack *stack, struct exec_strings *strings)
{
    char *at = strings->bytes + strings->used;
    size_t name_bytes = strlen(stack->file_name) + 1, bytes;

    memcpy(at, stack->file_name, name_bytes);
    memcpy(at + name_bytes, platform, sizeof(platform));
    memset(at + name_bytes + sizeof(platform), 0, sizeof(uint64_t));
    bytes = strings->used + name_bytes + sizeof(platform) + sizeof(uint64_t);
    stack->args_at = stack->top - bytes;
    return bytes;
}

/* The words below, made at `first` in kernel memory; sets stack->pointer and returns their size. */
static size_t build_words(struct exec_stack *stack, const struct exec_strings *strings, uint64_t *first)
{
    uint64_t random_at = align_down(stack->args_at, 16) - RANDOM_BYTES, environment_at;
    struct words words = {first};
    size_t bytes;

    put(&words, strings->argc);
    environment_at = put_pointers(&words, strings->bytes, stack->args_at, strings->argc);
    (void)put_pointers(&words, strings->bytes + strings->args_bytes, environment_at, strings->envc);
    put_auxiliary_vector(&words, stack, stack->args_at + strings->used, random_at);
    bytes = (size_t)((char *)words.at - (char *)first);
    if (!is_aligned(random_at - bytes, 16)) { /* the stack pointer must be: a word of room */
        put(&words, 0);
        bytes += sizeof(uint64_t);
    }
    random_bytes(words.at, RANDOM_BYTES);
    stack->pointer = random_at - bytes;
    return bytes + RANDOM_BYTES;
}

int exec_stack_build(struct exec_stack *stack, struct exec_strings *strings, struct space *space)
{
    size_t words_most = 4 + strings->argc + strings->envc + 2 * (size_t)AUXILIARY_MAX;
    size_t names_most = strlen(stack->file_name) + 1 + sizeof(platform) + 2 * sizeof(uint64_t);
    int error = exec_strings_reserve(strings, names_most + words_most * sizeof(uint64_t) + RANDOM_BYTES);
    size_t top_bytes, low_bytes, done;
    uint64_t *words;

    if (error)
        return error;
    top_bytes = append_names(stack, strings);
    words = (uint64_t *)(void *)(strings->bytes + align_up(top_bytes, sizeof(uint64_t)));
    low_bytes = build_words(stack, strings, words);
    error = map_stack(stack, space);
    if (error)
        return error;
    if (space_write(space, vaddr(stack->pointer), words, low_bytes, &done) != ST_OK ||
        space_write(space, vaddr(stack->args_at), strings->bytes, top_bytes, &done) != ST_OK)
        return -ENOMEM;
    return 0;
}
