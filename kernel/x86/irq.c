/*
 * Interrupts of devices: message-signalled ones, one vector each.
 */
#include "base/check.h"
#include "kernel/x86/trap.h"

struct irq {
    irq_handler *handler;
    void *context;
};

static struct irq irqs[VECTOR_MSI_END - VECTOR_MSI_FIRST];
static unsigned next;

void timer_interrupt(void);

unsigned irq_allocate(irq_handler *handler, void *context)
{
    if (next == VECTOR_MSI_END - VECTOR_MSI_FIRST)
        return 0;
    irqs[next] = (struct irq){handler, context};
    return VECTOR_MSI_FIRST + next++;
}

uint64_t irq_msi_address(void)
{
    return 0xfee00000; /* destination: the local APIC with number 0 (Intel SDM vol. 3A, 11.11.1) */
}

void irq_dispatch(unsigned vector)
{
    if (vector == VECTOR_SPURIOUS)
        return;
    if (vector == VECTOR_TIMER)
        timer_interrupt();
    else if (vector >= VECTOR_MSI_FIRST && vector < VECTOR_MSI_FIRST + next)
        irqs[vector - VECTOR_MSI_FIRST].handler(irqs[vector - VECTOR_MSI_FIRST].context);
    lapic_end_of_interrupt();
}
