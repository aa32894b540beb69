/*
 * Checks of ELF files: System V ABI, chapters 4 and 5; AMD64 supplement.
 *
 * Nothing is believed: every sum is checked for a wrap, every range against the file and against the
 * addresses that a program may have. What passes can be mapped segment by segment, in order, without looking
 * again.
 */
#include "kernel/task/elf.h"

enum { PAGE_BYTES = 4096 };
static const uint64_t ALIGNMENT_MAX = (uint64_t)1 << 30;

const char *elf_verdict_name(enum elf_verdict verdict)
{
    static const char *const names[ELF_VERDICTS] = {
        [ELF_GOOD] = "good",
        [ELF_NOT_ELF] = "not an ELF file",
        [ELF_TRUNCATED] = "truncated",
        [ELF_WRONG_MACHINE] = "for another machine",
        [ELF_BAD_TYPE] = "not a program",
        [ELF_BAD_HEADER] = "bad header",
        [ELF_BAD_SEGMENT] = "bad segment",
        [ELF_OVERLAP] = "overlapping segments",
        [ELF_OUT_OF_RANGE] = "segment out of range",
    };

    return verdict < ELF_VERDICTS ? names[verdict] : "unknown";
}

static uint64_t page_down(uint64_t value)
{
    return value & ~(uint64_t)(PAGE_BYTES - 1);
}

static uint64_t page_up(uint64_t value)
{
    return page_down(value + PAGE_BYTES - 1);
}

/* [offset, offset + bytes) is a part of the file. */
static bool in_file(uint64_t offset, uint64_t bytes, uint64_t file_bytes)
{
    return offset <= file_bytes && bytes <= file_bytes - offset;
}

enum elf_verdict elf_check_header(const struct elf64_hdr *header, size_t header_bytes, uint64_t file_bytes)
{
    const unsigned char *ident = header->e_ident;

    if (header_bytes < SELFMAG || ident[EI_MAG0] != ELFMAG0 || ident[EI_MAG1] != ELFMAG1 ||
        ident[EI_MAG2] != ELFMAG2 || ident[EI_MAG3] != ELFMAG3)
        return ELF_NOT_ELF;
    if (header_bytes < sizeof(*header))
        return ELF_TRUNCATED;
    if (ident[EI_CLASS] != ELFCLASS64 || ident[EI_DATA] != ELFDATA2LSB || header->e_machine != EM_X86_64)
        return ELF_WRONG_MACHINE;
    if (header->e_type != ET_EXEC && header->e_type != ET_DYN)
        return ELF_BAD_TYPE;
    if (header->e_phentsize != sizeof(struct elf64_phdr) || header->e_phnum == 0 ||
        header->e_phnum > ELF_HEADERS_MAX)
        return ELF_BAD_HEADER;
    if (!in_file(header->e_phoff, (uint64_t)header->e_phnum * sizeof(struct elf64_phdr), file_bytes))
        return ELF_TRUNCATED;
    return ELF_GOOD;
}

/* One PT_LOAD; `image` holds what the ones before it have said. */
static enum elf_verdict check_load(const struct elf64_phdr *segment, uint64_t file_bytes,
                                   const struct elf_limits *limits, const struct elf_image *image,
                                   uint64_t previous_end)
{
    uint64_t start = segment->p_vaddr, bytes = segment->p_memsz;

    if (segment->p_filesz > bytes)
        return ELF_BAD_SEGMENT;
    if ((segment->p_align & (segment->p_align - 1)) != 0 || segment->p_align > ALIGNMENT_MAX)
        return ELF_BAD_SEGMENT;
    if (segment->p_filesz && (start - segment->p_offset) % PAGE_BYTES != 0)
        return ELF_BAD_SEGMENT;
    if (!in_file(segment->p_offset, segment->p_filesz, file_bytes))
        return ELF_TRUNCATED;
    if (start > limits->end || bytes > limits->end - start)
        return ELF_OUT_OF_RANGE;
    if (!image->moves && start < limits->start)
        return ELF_OUT_OF_RANGE;
    if (start < previous_end)
        return ELF_OVERLAP;
    return ELF_GOOD;
}

static bool holds_headers(const struct elf64_phdr *segment, const struct elf64_hdr *header)
{
    uint64_t bytes = (uint64_t)header->e_phnum * sizeof(struct elf64_phdr);

    return header->e_phoff >= segment->p_offset && bytes <= segment->p_filesz &&
           header->e_phoff - segment->p_offset <= segment->p_filesz - bytes;
}

static void note_load(const struct elf64_phdr *segment, const struct elf64_hdr *header, bool first,
                      struct elf_image *image)
{
    if (first)
        image->start = page_down(segment->p_vaddr);
    image->end = page_up(segment->p_vaddr + segment->p_memsz);
    if (segment->p_align > image->alignment)
        image->alignment = segment->p_align;
    if (!image->headers && holds_headers(segment, header))
        image->headers = segment->p_vaddr + (header->e_phoff - segment->p_offset);
}

static enum elf_verdict check_interpreter(const struct elf64_phdr *segment, uint64_t file_bytes,
                                          struct elf_image *image)
{
    enum { NAME_MAX_BYTES = 4096 };

    if (image->interpreter_bytes)
        return ELF_BAD_SEGMENT;
    if (segment->p_filesz < 2 || segment->p_filesz > NAME_MAX_BYTES)
        return ELF_BAD_SEGMENT;
    if (!in_file(segment->p_offset, segment->p_filesz, file_bytes))
        return ELF_TRUNCATED;
    image->interpreter_offset = segment->p_offset;
    image->interpreter_bytes = segment->p_filesz;
    return ELF_GOOD;
}

enum elf_verdict elf_check_segments(const struct elf64_hdr *header, const struct elf64_phdr *headers,
                                    uint64_t file_bytes, const struct elf_limits *limits,
                                    struct elf_image *image)
{
    enum elf_verdict verdict = ELF_GOOD;
    uint64_t previous_end = 0;
    bool any = false;

    *image = (struct elf_image){.moves = header->e_type == ET_DYN, .alignment = PAGE_BYTES};
    image->entry = header->e_entry;
    for (unsigned i = 0; i < header->e_phnum && verdict == ELF_GOOD; i++) {
        const struct elf64_phdr *segment = &headers[i];

        if (segment->p_type == PT_INTERP)
            verdict = check_interpreter(segment, file_bytes, image);
        if (segment->p_type == PT_GNU_STACK)
            image->stack_executes = segment->p_flags & PF_X;
        if (segment->p_type == PT_GNU_RELRO)
            image->read_only_end = segment->p_vaddr + segment->p_memsz;
        if (segment->p_type != PT_LOAD || segment->p_memsz == 0)
            continue;
        verdict = check_load(segment, file_bytes, limits, image, previous_end);
        if (verdict != ELF_GOOD)
            break;
        note_load(segment, header, !any, image);
        previous_end = segment->p_vaddr + segment->p_memsz;
        any = true;
    }
    if (verdict != ELF_GOOD)
        return verdict;
    if (!any)
        return ELF_BAD_SEGMENT;
    if (image->end > limits->end || image->end - image->start > limits->end - limits->start)
        return ELF_OUT_OF_RANGE;
    return image->entry < limits->end ? ELF_GOOD : ELF_OUT_OF_RANGE;
}
