/*
 * The PCI bus: what is on it, its configuration space, its memory, its messages (MSI-X).
 */
#ifndef KERNEL_PCI_H
#define KERNEL_PCI_H

#include "kernel/x86/x86.h"

struct pci_device {
    uint8_t bus, slot, function;
    uint16_t vendor, device;
    uint32_t class_code; /* class, subclass, interface: 24 bits */
};

/* Calls visit for each function on bus 0 and behind its bridges. */
void pci_for_each(void (*visit)(const struct pci_device *pci, void *context), void *context);

/* Configuration space; `offset` is aligned to the size. */
uint32_t pci_read32(const struct pci_device *pci, unsigned offset);
uint16_t pci_read16(const struct pci_device *pci, unsigned offset);
uint8_t pci_read8(const struct pci_device *pci, unsigned offset);
void pci_write32(const struct pci_device *pci, unsigned offset, uint32_t value);
void pci_write16(const struct pci_device *pci, unsigned offset, uint16_t value);

/* Offset of the next capability `id` behind the one at `after` (0: from the first); 0: there is none. */
unsigned pci_capability(const struct pci_device *pci, uint8_t id, unsigned after);

/* The registers at [offset, offset + bytes) of base address register `bar`, reachable. The firmware's address
 * is used; where it gave none, one is chosen. NULL: not a memory register, no room, no memory. */
void *pci_map(const struct pci_device *pci, unsigned bar, uint64_t offset, uint64_t bytes);
/* Let the device answer at its addresses and write to memory. */
void pci_enable(const struct pci_device *pci);

/* Message-signalled interrupts. */
struct pci_msix {
    volatile uint32_t *table; /* four words an entry; NULL: none */
    unsigned entries;
};
/* False when the device has no MSI-X. Every entry is masked. */
bool pci_msix_start(const struct pci_device *pci, struct pci_msix *msix);
/* Entry `entry` calls handler(context). False when no vector is left. */
bool pci_msix_route(struct pci_msix *msix, unsigned entry, irq_handler *handler, void *context);

#endif
