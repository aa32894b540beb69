/*
 * RISC-V: loading tables, flushing, accesses. Traps are those of riscv64.S: a trap ends an access.
 */
#include "guest.h"

enum { CAUSE_BREAKPOINT = 3 };
#define MSTATUS_MPP_S ((uint64_t)1 << 11)
#define MSTATUS_MPRV ((uint64_t)1 << 17)
#define MSTATUS_SUM_MXR ((uint64_t)3 << 18)

void access_read(uint64_t address, uint64_t value, uint64_t mode);
void access_write(uint64_t address, uint64_t value, uint64_t mode);
void access_exec(uint64_t address, uint64_t value, uint64_t mode);
_Noreturn void guest_start(void);
_Noreturn void guest_panic(void);
extern uint64_t trap_a0;

static struct scene *const the_scene = (struct scene *)(uintptr_t)(0x80000000 + SCENE_OFFSET);

#define READ_CSR(name)                                                                                       \
    ({                                                                                                       \
        uint64_t value_;                                                                                     \
        __asm__ volatile("csrr %0, " #name : "=r"(value_));                                                  \
        value_;                                                                                              \
    })

_Noreturn void guest_start(void)
{
    guest_main(the_scene);
}

static _Noreturn void panic(uint64_t cause, uint64_t code, uint64_t at, uint64_t where)
{
    the_scene->panic[1] = code;
    the_scene->panic[2] = at;
    the_scene->panic[3] = where;
    __atomic_store_n(&the_scene->panic[0], cause + 1, __ATOMIC_RELEASE);
    for (;;)
        guest_pause();
}

_Noreturn void guest_panic(void)
{
    panic(READ_CSR(mcause), 0, READ_CSR(mtval), READ_CSR(mepc));
}

void guest_pause(void)
{
    __asm__ volatile("nop");
}

/* A mode that the machine lacks leaves satp as it was. */
void guest_load(const struct scene *scene)
{
    if (READ_CSR(satp) != scene->control[0]) {
        __asm__ volatile("csrw satp, %0; sfence.vma" ::"r"(scene->control[0]) : "memory");
        if (READ_CSR(satp) != scene->control[0])
            panic(99, READ_CSR(satp), scene->control[0], 0);
    }
    __asm__ volatile("csrc mstatus, %0; csrs mstatus, %1" ::"r"(MSTATUS_SUM_MXR), "r"(scene->control[1]));
}

/* With an address SFENCE.VMA orders leaf entries only ("Supervisor Memory-Management Fence Instruction"). */
void guest_flush(const struct scene_flush *flush)
{
    if (flush->kind != SCENE_FLUSH_PAGES || flush->pages > SCENE_FLUSH_PAGES_MAX) {
        __asm__ volatile("sfence.vma" ::: "memory");
        return;
    }
    for (uint64_t i = 0; i < flush->pages; i++)
        __asm__ volatile("sfence.vma %0" ::"r"(flush->start + i * 4096) : "memory");
}

void guest_probe(struct probe *probe)
{
    uint64_t mode = probe->user ? 0 : MSTATUS_MPP_S;

    if (probe->access == PROBE_READ)
        access_read(probe->address, 0, mode | MSTATUS_MPRV);
    else if (probe->access == PROBE_WRITE)
        access_write(probe->address, probe->value, mode | MSTATUS_MPRV);
    else
        access_exec(probe->address, 0, mode);
    probe->got = trap_a0;
    probe->cause = READ_CSR(mcause);
    probe->at = READ_CSR(mtval);
    probe->outcome = probe->cause == CAUSE_BREAKPOINT ? PROBE_DONE : PROBE_FAULT;
}
