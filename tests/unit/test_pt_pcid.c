/*
 * The instructions of quire/pt_tlb_x86_64.h, with PCIDs, on a CPU that is played here: in user mode each of
 * them traps, and the signal's handler decodes it and does to a model of the TLB what the manual says (Intel
 * SDM vol. 3A, 4.10.4.1; vol. 2A, INVLPG, INVPCID). QEMU's TCG has no PCIDs.
 *
 * Checked: what a flush leaves in the TLB, of the space it is for and of others; and that the entry had been
 * changed when the CPU was told to forget it.
 */
#include "pt_fixture.h"

#include "quire/pt_tlb_x86_64.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

enum { SPACES = 3, PAGES = 64 };
#define AT FOUR_GIB
#define CR3_KEEP ((uint64_t)1 << 63)

/* Pages from AT on that the TLB holds, by space; the last row is of global ones. */
static struct {
    uint64_t cr3;
    bool holds[SPACES + 1][PAGES];
    unsigned invlpg, invpcid, cr3_loads, too_early;
    const struct pt *pt; /* whose entries are to be gone when they are forgotten */
} cpu;

/* ------------------------------------------------------------------ the CPU */

static unsigned current_space(void)
{
    return (unsigned)(cpu.cr3 & PAGE_MASK);
}

static void drop_page(unsigned row, uint64_t address)
{
    struct pt_translation found;

    if (address - AT < PAGES * PAGE_SIZE)
        cpu.holds[row][(address - AT) / PAGE_SIZE] = false;
    cpu.too_early += pt_translate(cpu.pt, vaddr(address), &found) == ST_OK;
}

static void drop_space(unsigned row)
{
    struct pt_translation found;

    memset(cpu.holds[row], 0, sizeof cpu.holds[row]);
    cpu.too_early += pt_translate(cpu.pt, vaddr(AT), &found) == ST_OK;
}

static void do_invlpg(uint64_t address)
{
    cpu.invlpg++;
    drop_page(current_space(), address);
    drop_page(SPACES, address);
}

static void do_invpcid(uint64_t type, const uint64_t descriptor[2])
{
    cpu.invpcid++;
    if (descriptor[0] >= SPACES || type > PT_INVPCID_SPACE) /* (reserved bits are in there, too) */
        abort();
    if (type == PT_INVPCID_PAGE)
        drop_page((unsigned)descriptor[0], descriptor[1]);
    else
        drop_space((unsigned)descriptor[0]);
}

static void load_cr3(uint64_t cr3)
{
    cpu.cr3_loads++;
    cpu.cr3 = cr3 & ~CR3_KEEP;
    if (!(cr3 & CR3_KEEP))
        drop_space(current_space());
}

/* ------------------------------------------------------------------ decoding */

struct instruction {
    const unsigned char *at;
    uint64_t rex;
    greg_t *registers;
};

/* A register by the number that instructions have for it. */
static greg_t *number(const struct instruction *in, unsigned n, unsigned rex_bit)
{
    static const int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                  REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

    return &in->registers[order[n | (in->rex >> rex_bit & 1) << 3]];
}

/* The address of a memory operand; in->at is at its ModRM byte, and behind it afterwards (SDM vol.
 * 2A, 2.1.5). */
static uint64_t operand(struct instruction *in)
{
    unsigned modrm = *in->at++, mod = modrm >> 6;
    bool has_base = true;
    uint64_t address = 0;
    int32_t distance = 0;

    if ((modrm & 7) == 4) {
        unsigned sib = *in->at++;

        has_base = (sib & 7) != 5 || mod != 0;
        if (has_base)
            address = (uint64_t)*number(in, sib & 7, 0);
        if ((sib >> 3 & 7) != 4 || in->rex & 2)
            address += (uint64_t)*number(in, sib >> 3 & 7, 1) << (sib >> 6);
    } else if (mod == 0 && (modrm & 7) == 5) {
        memcpy(&distance, in->at, 4);
        in->at += 4;
        return (uint64_t)(uintptr_t)in->at + (uint64_t)(int64_t)distance;
    } else {
        address = (uint64_t)*number(in, modrm & 7, 0);
    }
    if (mod == 1)
        distance = (signed char)*in->at++;
    else if (mod == 2 || !has_base) {
        memcpy(&distance, in->at, 4);
        in->at += 4;
    }
    return address + (uint64_t)(int64_t)distance;
}

static void on_trap(int signal_number, siginfo_t *info, void *context)
{
    struct instruction in = {.registers = ((ucontext_t *)context)->uc_mcontext.gregs};
    unsigned prefix = 0;

    (void)info;
    in.at = (const unsigned char *)(uintptr_t)in.registers[REG_RIP];
    for (; *in.at == 0x66; in.at++)
        prefix = *in.at;
    if ((*in.at & 0xf0) == 0x40)
        in.rex = *in.at++;
    if (in.at[0] == 0x0f && in.at[1] == 0x01 && (in.at[2] >> 3 & 7) == 7) {
        in.at += 2;
        do_invlpg(operand(&in));
    } else if (in.at[0] == 0x0f && (in.at[1] == 0x20 || in.at[1] == 0x22) && (in.at[2] >> 3 & 7) == 3) {
        greg_t *other = number(&in, in.at[2] & 7, 0);

        if (in.at[1] == 0x20)
            *other = (greg_t)cpu.cr3;
        else
            load_cr3((uint64_t)*other);
        in.at += 3;
    } else if (prefix == 0x66 && in.at[0] == 0x0f && in.at[1] == 0x38 && in.at[2] == 0x82) {
        uint64_t type = (uint64_t)*number(&in, in.at[3] >> 3 & 7, 2);

        in.at += 3;
        do_invpcid(type, (const uint64_t *)(uintptr_t)operand(&in));
    } else { /* a fault like any other */
        signal(signal_number, SIG_DFL);
        return;
    }
    in.registers[REG_RIP] = (greg_t)(uintptr_t)in.at;
}

/* ------------------------------------------------------------------ cases */

static unsigned held(unsigned row)
{
    unsigned count = 0;

    for (unsigned i = 0; i < PAGES; i++)
        count += cpu.holds[row][i];
    return count;
}

/* (cmocka sets handlers of its own before each case.) */
static void begin(struct fixture *f, unsigned loaded)
{
    struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};

    assert_int_equal(sigaction(SIGSEGV, &action, NULL), 0);
    assert_int_equal(sigaction(SIGILL, &action, NULL), 0); /* a CPU without INVPCID */
    fixture_open(f, WAY_OFFSET);
    memset(&cpu, 0, sizeof cpu);
    memset(cpu.holds, 1, sizeof cpu.holds);
    cpu.cr3 = f->pt.root.v | loaded;
    cpu.pt = &f->pt;
    assert_ok(map(f, AT, 0x1000, PAGES * PAGE_SIZE, PT_SIZE_4K));
}

/* Unmaps `pages` of space 1, of which every trace has to go, with `loaded` in CR3. */
static void unmap_of_space_1(struct fixture *f, unsigned loaded, unsigned pages)
{
    struct pt_tlb tlb = {
        .space = 1, .forget_page = pt_x86_64_forget_page, .forget_space = pt_x86_64_forget_space};
    struct pt_flusher flusher = pt_tlb_flusher(&tlb);

    begin(f, loaded);
    assert_ok(pt_flush_now(pt_unmap(&f->pt, vaddr(AT), pages * PAGE_SIZE, PT_STRICT), &flusher));
    assert_int_equal(cpu.too_early, 0);
    assert_int_equal(cpu.cr3, f->pt.root.v | loaded);
    assert_int_equal(held(0), PAGES);
    assert_int_equal(held(2), PAGES);
}

static void the_loaded_space_forgets_pages_by_invlpg(void **state)
{
    struct fixture f;

    unmap_of_space_1(&f, 1, 5);
    assert_int_equal(held(1), PAGES - 5);
    assert_int_equal(held(SPACES), PAGES - 5);
    assert_int_equal(cpu.invlpg, 5);
    assert_int_equal(cpu.invpcid + cpu.cr3_loads, 0);
    fixture_close(&f);
}

static void another_space_forgets_pages_by_invpcid(void **state)
{
    struct fixture f;

    unmap_of_space_1(&f, 2, 5);
    assert_int_equal(held(1), PAGES - 5);
    assert_int_equal(held(SPACES), PAGES); /* what is global is nobody's */
    assert_int_equal(cpu.invpcid, 5);
    assert_int_equal(cpu.invlpg + cpu.cr3_loads, 0);
    fixture_close(&f);
}

static void many_pages_are_the_whole_space(void **state)
{
    struct fixture f;

    unmap_of_space_1(&f, 1, PT_FLUSH_PAGES_MAX + 1);
    assert_int_equal(held(1), 0);
    assert_int_equal(cpu.cr3_loads, 1);
    assert_int_equal(cpu.invlpg + cpu.invpcid, 0);
    fixture_close(&f);
    unmap_of_space_1(&f, 0, PT_FLUSH_PAGES_MAX + 1);
    assert_int_equal(held(1), 0);
    assert_int_equal(cpu.invpcid, 1);
    assert_int_equal(cpu.invlpg + cpu.cr3_loads, 0);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_loaded_space_forgets_pages_by_invlpg),
        cmocka_unit_test(another_space_forgets_pages_by_invpcid),
        cmocka_unit_test(many_pages_are_the_whole_space),
    };

    return cmocka_run_group_tests_name("pt_pcid", tests, NULL, NULL);
}
