/*
 * Checks of ELF headers: each fault that a file can have, a real file, and random damage against what a
 * good verdict promises.
 */
#include <stdio.h>

#include "kernel/task/elf.h"
#include "support.h"

enum { FILE_BYTES = 0x4000 };

static const struct elf_limits limits = {0x10000, 0x7ffffffff000};

struct sample {
    struct elf64_hdr header;
    struct elf64_phdr segments[5];
};

/* A program with a text, a data segment with bss, a stack flag and an interpreter. */
static struct sample good_sample(void)
{
    struct sample sample = {.header = {.e_type = ET_EXEC,
                                       .e_machine = EM_X86_64,
                                       .e_entry = 0x401000,
                                       .e_phoff = sizeof(struct elf64_hdr),
                                       .e_phentsize = sizeof(struct elf64_phdr),
                                       .e_phnum = 5},
                            .segments = {
                                {.p_type = PT_INTERP, .p_offset = 0x300, .p_filesz = 20},
                                {.p_type = PT_LOAD,
                                 .p_flags = PF_R | PF_X,
                                 .p_vaddr = 0x400000,
                                 .p_filesz = 0x1800,
                                 .p_memsz = 0x1800,
                                 .p_align = 0x1000},
                                {.p_type = PT_LOAD,
                                 .p_flags = PF_R | PF_W,
                                 .p_offset = 0x1800,
                                 .p_vaddr = 0x402800,
                                 .p_filesz = 0x900,
                                 .p_memsz = 0x3000,
                                 .p_align = 0x1000},
                                {.p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W},
                                {.p_type = PT_GNU_RELRO, .p_vaddr = 0x402800, .p_memsz = 0x800},
                            }};

    memcpy(sample.header.e_ident, ELFMAG, SELFMAG);
    sample.header.e_ident[EI_CLASS] = ELFCLASS64;
    sample.header.e_ident[EI_DATA] = ELFDATA2LSB;
    return sample;
}

static enum elf_verdict check(const struct sample *sample, struct elf_image *image)
{
    enum elf_verdict verdict = elf_check_header(&sample->header, sizeof(sample->header), FILE_BYTES);

    if (verdict != ELF_GOOD)
        return verdict;
    return elf_check_segments(&sample->header, sample->segments, FILE_BYTES, &limits, image);
}

static void expect(const struct sample *sample, enum elf_verdict verdict)
{
    struct elf_image image;

    assert_string_equal(elf_verdict_name(check(sample, &image)), elf_verdict_name(verdict));
}

static void good_program(void **state)
{
    struct sample sample = good_sample();
    struct elf_image image;

    assert_int_equal(check(&sample, &image), ELF_GOOD);
    assert_false(image.moves);
    assert_false(image.stack_executes);
    assert_int_equal(image.read_only_end, 0x403000);
    assert_int_equal(image.start, 0x400000);
    assert_int_equal(image.end, 0x406000);
    assert_int_equal(image.entry, 0x401000);
    assert_int_equal(image.headers, 0x400000 + sizeof(struct elf64_hdr));
    assert_int_equal(image.alignment, 0x1000);
    assert_int_equal(image.interpreter_offset, 0x300);
    assert_int_equal(image.interpreter_bytes, 20);
}

static void not_an_elf(void **state)
{
    struct sample sample = good_sample();

    for (size_t bytes = 0; bytes < SELFMAG; bytes++)
        assert_int_equal(elf_check_header(&sample.header, bytes, bytes), ELF_NOT_ELF);
    for (size_t bytes = SELFMAG; bytes < sizeof(sample.header); bytes++)
        assert_int_equal(elf_check_header(&sample.header, bytes, bytes), ELF_TRUNCATED);
    sample.header.e_ident[1] = 'X';
    expect(&sample, ELF_NOT_ELF);
}

static void other_machines(void **state)
{
    struct sample sample = good_sample();

    sample.header.e_machine = EM_AARCH64;
    expect(&sample, ELF_WRONG_MACHINE);
    sample = good_sample();
    sample.header.e_ident[EI_CLASS] = ELFCLASS32;
    expect(&sample, ELF_WRONG_MACHINE);
    sample = good_sample();
    sample.header.e_ident[EI_DATA] = ELFDATA2MSB;
    expect(&sample, ELF_WRONG_MACHINE);
    sample = good_sample();
    sample.header.e_type = ET_REL;
    expect(&sample, ELF_BAD_TYPE);
}

static void bad_program_headers(void **state)
{
    struct sample sample = good_sample();

    sample.header.e_phentsize = 32;
    expect(&sample, ELF_BAD_HEADER);
    sample = good_sample();
    sample.header.e_phnum = 0;
    expect(&sample, ELF_BAD_HEADER);
    sample.header.e_phnum = ELF_HEADERS_MAX + 1;
    expect(&sample, ELF_BAD_HEADER);
    sample = good_sample();
    sample.header.e_phoff = FILE_BYTES;
    expect(&sample, ELF_TRUNCATED);
    sample.header.e_phoff = UINT64_MAX - 8;
    expect(&sample, ELF_TRUNCATED);
}

static void truncated_segments(void **state)
{
    struct sample sample = good_sample();

    sample.segments[2].p_filesz = 0x2801;
    expect(&sample, ELF_TRUNCATED);
    sample = good_sample();
    sample.segments[2].p_offset = UINT64_MAX - 0x7ff;
    expect(&sample, ELF_TRUNCATED);
    sample = good_sample();
    sample.segments[0].p_offset = FILE_BYTES - 10;
    expect(&sample, ELF_TRUNCATED);
}

static void bad_segments(void **state)
{
    struct sample sample = good_sample();

    sample.segments[1].p_memsz = 0x17ff;
    expect(&sample, ELF_BAD_SEGMENT);
    sample = good_sample();
    sample.segments[2].p_vaddr += 0x10;
    expect(&sample, ELF_BAD_SEGMENT);
    sample = good_sample();
    sample.segments[2].p_align = 0x1800;
    expect(&sample, ELF_BAD_SEGMENT);
    sample = good_sample();
    sample.segments[0].p_filesz = 1;
    expect(&sample, ELF_BAD_SEGMENT);
    sample = good_sample();
    sample.segments[1].p_type = sample.segments[2].p_type = PT_NULL;
    expect(&sample, ELF_BAD_SEGMENT);
    sample = good_sample();
    sample.segments[3] = sample.segments[0];
    expect(&sample, ELF_BAD_SEGMENT);
}

static void overlapping_segments(void **state)
{
    struct sample sample = good_sample();

    sample.segments[2].p_vaddr = 0x401000 - 0x800;
    expect(&sample, ELF_OVERLAP);
    sample = good_sample();
    sample.segments[1].p_vaddr = 0x500000; /* not ascending */
    expect(&sample, ELF_OVERLAP);
    sample = good_sample();
    sample.segments[2].p_vaddr = 0x401800; /* touching is fine */
    expect(&sample, ELF_GOOD);
}

static void out_of_range(void **state)
{
    struct sample sample = good_sample();

    sample.segments[2].p_vaddr = 0xffffffff80000800;
    expect(&sample, ELF_OUT_OF_RANGE);
    sample = good_sample();
    sample.segments[2].p_memsz = UINT64_MAX - 0x400000;
    expect(&sample, ELF_OUT_OF_RANGE);
    sample = good_sample();
    sample.segments[2].p_vaddr = limits.end - 0x2800;
    expect(&sample, ELF_OUT_OF_RANGE);
    sample.segments[2].p_memsz = 0x2800;
    expect(&sample, ELF_GOOD);
    sample = good_sample();
    sample.segments[1].p_vaddr = 0;
    expect(&sample, ELF_OUT_OF_RANGE);
    sample.header.e_type = ET_DYN;
    sample.segments[2].p_vaddr = 0x2800;
    expect(&sample, ELF_GOOD);
    sample.header.e_entry = limits.end;
    expect(&sample, ELF_OUT_OF_RANGE);
}

/* This very program. */
static void real_file(void **state)
{
    static uint64_t bytes[8192];
    FILE *file = fopen("/proc/self/exe", "rb");
    struct elf_image image;
    struct elf64_hdr header;
    long size;

    assert_non_null(file);
    assert_int_equal(fread(bytes, 1, sizeof(bytes), file), sizeof(bytes));
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    size = ftell(file);
    fclose(file);
    memcpy(&header, bytes, sizeof(header));
    assert_int_equal(elf_check_header(&header, sizeof(header), (uint64_t)size), ELF_GOOD);
    assert_int_equal(elf_check_segments(&header, (void *)((char *)bytes + header.e_phoff), (uint64_t)size,
                                        &limits, &image),
                     ELF_GOOD);
    assert_true(image.end > image.start);
    assert_true(image.headers != 0);
}

/* ---------------------------------------------------------------- random damage */

static uint64_t seed = 0x9e3779b97f4a7c15;

static uint64_t next_random(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static uint64_t interesting(void)
{
    static const uint64_t values[] = {0,
                                      1,
                                      7,
                                      0xfff,
                                      0x1000,
                                      0x1800,
                                      0x10000,
                                      0x400000,
                                      0x401000,
                                      0x402800,
                                      FILE_BYTES,
                                      FILE_BYTES + 1,
                                      0x7fffffffe000,
                                      0x7ffffffff000,
                                      0x800000000000,
                                      0xffff800000000000,
                                      UINT64_MAX - 0xfff,
                                      UINT64_MAX};

    return next_random() % 4 ? values[next_random() % (sizeof(values) / sizeof(values[0]))] : next_random();
}

static void damage(struct sample *sample)
{
    for (uint64_t i = next_random() % 4; i-- > 0;) {
        struct elf64_phdr *segment = &sample->segments[next_random() % 4];

        switch (next_random() % 9) {
        case 0:
            segment->p_vaddr = interesting();
            break;
        case 1:
            segment->p_memsz = interesting();
            break;
        case 2:
            segment->p_filesz = interesting();
            break;
        case 3:
            segment->p_offset = interesting();
            break;
        case 4:
            segment->p_align = interesting();
            break;
        case 5:
            segment->p_type = next_random() % 4;
            break;
        case 6:
            sample->header.e_type = next_random() % 2 ? ET_DYN : ET_EXEC;
            break;
        case 7:
            sample->header.e_phoff = interesting();
            break;
        default:
            ((unsigned char *)sample)[next_random() % sizeof(*sample)] = (unsigned char)next_random();
        }
    }
}

/* What exec relies on after a good verdict. */
static void promises_hold(const struct sample *sample, const struct elf_image *image)
{
    uint64_t previous = 0;

    assert_true(image->start <= image->end && image->end <= limits.end);
    assert_true(image->moves || image->start >= limits.start);
    assert_true(image->alignment >= 4096 && (image->alignment & (image->alignment - 1)) == 0);
    assert_true(image->interpreter_bytes <= FILE_BYTES &&
                image->interpreter_offset <= FILE_BYTES - image->interpreter_bytes);
    for (unsigned i = 0; i < sample->header.e_phnum; i++) {
        const struct elf64_phdr *segment = &sample->segments[i];

        if (segment->p_type != PT_LOAD || segment->p_memsz == 0)
            continue;
        assert_true(segment->p_vaddr >= previous && segment->p_vaddr >= image->start);
        assert_true(segment->p_memsz <= image->end - segment->p_vaddr);
        assert_true(segment->p_filesz <= segment->p_memsz);
        assert_true(segment->p_filesz <= FILE_BYTES && segment->p_offset <= FILE_BYTES - segment->p_filesz);
        assert_true(segment->p_filesz == 0 || (segment->p_vaddr - segment->p_offset) % 4096 == 0);
        previous = segment->p_vaddr + segment->p_memsz;
    }
}

static void random_damage(void **state)
{
    enum { ROUNDS = 300000 };
    unsigned good = 0;

    for (unsigned round = 0; round < ROUNDS; round++) {
        struct sample sample = good_sample();
        struct elf_image image;

        damage(&sample);
        if (sample.header.e_phnum > 4) /* the others would have to be there */
            sample.header.e_phnum = 4;
        if (check(&sample, &image) != ELF_GOOD)
            continue;
        good++;
        promises_hold(&sample, &image);
    }
    assert_true(good > ROUNDS / 100 && good < ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_program),
        cmocka_unit_test(not_an_elf),
        cmocka_unit_test(other_machines),
        cmocka_unit_test(bad_program_headers),
        cmocka_unit_test(truncated_segments),
        cmocka_unit_test(bad_segments),
        cmocka_unit_test(overlapping_segments),
        cmocka_unit_test(out_of_range),
        cmocka_unit_test(real_file),
        cmocka_unit_test(random_damage),
    };

    return cmocka_run_group_tests_name("elf", tests, NULL, NULL);
}
