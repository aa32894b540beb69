/*
 * The PCI bus, through configuration mechanism 1: the address goes to port 0xcf8, the data through 0xcfc.
 *
 *     31      23    16 15   11 10  8 7      2 1 0
 *     enable  0  bus   device  func. register 0 0
 *
 * PCI Local Bus Specification 3.0, 3.2.2.3.2 (access), 6.2.5 (base address registers), 6.8.2 (MSI-X).
 *
 * SeaBIOS gives every device its addresses, qboot gives none. Then they are taken from a window below the I/O
 * APIC: QEMU never puts RAM between 0xe0000000 and 4 GiB, on any of its PC machines.
 */
#include "kernel/dev/pci.h"

#include <linux/pci_regs.h>

#include "kernel/mm/mmio.h"

enum { PORT_ADDRESS = 0xcf8, PORT_DATA = 0xcfc };
enum { CLASS_BRIDGE = 0x0604, HEADER_MANY_FUNCTIONS = 0x80, CAPABILITIES_MAX = 48 };
#define WINDOW_START ((uint64_t)0xe0000000)
#define WINDOW_END ((uint64_t)0xfec00000)
#define BRIDGE_UNIT                                                                                          \
    ((uint64_t)1 << 20) /* of the addresses that a bridge passes on (PCI-to-PCI Bridge 1.2, 3.2.5.8) */

static uint64_t window_next = WINDOW_START;

static void visit_bus(unsigned bus, void (*visit)(const struct pci_device *, void *), void *context);

void pci_for_each(void (*visit)(const struct pci_device *pci, void *context), void *context)
{
    visit_bus(0, visit, context);
}

/* False: there is no such function. */
static bool identify(struct pci_device *pci)
{
    uint32_t id = pci_read32(pci, PCI_VENDOR_ID);

    if ((id & 0xffff) == 0xffff)
        return false;
    pci->vendor = (uint16_t)id;
    pci->device = (uint16_t)(id >> 16);
    pci->class_code = pci_read32(pci, PCI_CLASS_REVISION) >> 8;
    return true;
}

/* The bridge passes on [start, end). */
static void bridge_window(const struct pci_device *bridge, uint64_t start, uint64_t end)
{
    pci_write16(bridge, PCI_MEMORY_BASE, (uint16_t)(start >> 16));
    pci_write16(bridge, PCI_MEMORY_LIMIT, (uint16_t)((end - 1) >> 16));
}

/* A bridge to which the firmware gave no addresses passes on those that the devices behind it are given. */
static void visit_behind(const struct pci_device *bridge, unsigned bus,
                         void (*visit)(const struct pci_device *, void *), void *context)
{
    uint16_t base = pci_read16(bridge, PCI_MEMORY_BASE), limit = pci_read16(bridge, PCI_MEMORY_LIMIT);
    bool ours = base == 0 || base > limit;
    uint64_t start = align_up(window_next, BRIDGE_UNIT), end;

    pci_enable(bridge);
    if (!ours || start >= WINDOW_END) {
        visit_bus(bus, visit, context);
        return;
    }
    window_next = start;
    bridge_window(bridge, start, WINDOW_END);
    visit_bus(bus, visit, context);
    end = align_up(window_next, BRIDGE_UNIT);
    bridge_window(bridge, start,
                  end != start ? end : start - BRIDGE_UNIT); /* nothing: it ends before it begins */
    window_next = end;
}

static void visit_function(const struct pci_device *pci, void (*visit)(const struct pci_device *, void *),
                           void *context)
{
    visit(pci, context);
    if (pci->class_code >> 8 == CLASS_BRIDGE) {
        unsigned behind = pci_read8(pci, PCI_SECONDARY_BUS);

        if (behind > pci->bus) /* 0: the firmware left it alone; lower: it would go in circles */
            visit_behind(pci, behind, visit, context);
    }
}

static void visit_bus(unsigned bus, void (*visit)(const struct pci_device *, void *), void *context)
{
    for (uint8_t slot = 0; slot < 32; slot++) {
        struct pci_device pci = {.bus = (uint8_t)bus, .slot = slot};
        bool many;

        if (!identify(&pci))
            continue;
        many = (pci_read8(&pci, PCI_HEADER_TYPE) & HEADER_MANY_FUNCTIONS) != 0;
        visit_function(&pci, visit, context);
        for (uint8_t function = 1; many && function < 8; function++) {
            pci.function = function;
            if (identify(&pci))
                visit_function(&pci, visit, context);
        }
    }
}

/* ---------------------------------------------------------------- configuration space */

static void point_at(const struct pci_device *pci, unsigned offset)
{
    outl(PORT_ADDRESS, 0x80000000u | (uint32_t)pci->bus << 16 | (uint32_t)pci->slot << 11 |
                           (uint32_t)pci->function << 8 | (offset & 0xfc));
}

uint32_t pci_read32(const struct pci_device *pci, unsigned offset)
{
    point_at(pci, offset);
    return inl(PORT_DATA);
}

uint16_t pci_read16(const struct pci_device *pci, unsigned offset)
{
    point_at(pci, offset);
    return inw((uint16_t)(PORT_DATA + (offset & 2)));
}

uint8_t pci_read8(const struct pci_device *pci, unsigned offset)
{
    point_at(pci, offset);
    return inb((uint16_t)(PORT_DATA + (offset & 3)));
}

void pci_write32(const struct pci_device *pci, unsigned offset, uint32_t value)
{
    point_at(pci, offset);
    outl(PORT_DATA, value);
}

void pci_write16(const struct pci_device *pci, unsigned offset, uint16_t value)
{
    point_at(pci, offset);
    outw((uint16_t)(PORT_DATA + (offset & 2)), value);
}

unsigned pci_capability(const struct pci_device *pci, uint8_t id, unsigned after)
{
    unsigned at;

    if ((pci_read16(pci, PCI_STATUS) & PCI_STATUS_CAP_LIST) == 0)
        return 0;
    at = pci_read8(pci, after == 0 ? PCI_CAPABILITY_LIST : after + PCI_CAP_LIST_NEXT) & 0xfcu;
    for (unsigned i = 0; at != 0 && i < CAPABILITIES_MAX; i++) {
        uint16_t header = pci_read16(pci, at);

        if ((header & 0xff) == id)
            return at;
        at = header >> 8 & 0xfcu;
    }
    return 0;
}

void pci_enable(const struct pci_device *pci)
{
    uint16_t command = pci_read16(pci, PCI_COMMAND);

    pci_write16(pci, PCI_COMMAND, command | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

/* ---------------------------------------------------------------- base address registers */

/* The size that a register decodes: the lowest address bit that can be set. 0: not there, or over 4 GiB. */
static uint64_t bar_size(const struct pci_device *pci, unsigned offset)
{
    uint32_t before = pci_read32(pci, offset);
    uint32_t sizes;

    pci_write32(pci, offset, 0xffffffff);
    sizes = pci_read32(pci, offset) & (uint32_t)PCI_BASE_ADDRESS_MEM_MASK;
    pci_write32(pci, offset, before);
    return sizes & -sizes;
}

/* Chooses an address. False: no room. */
static bool bar_place(const struct pci_device *pci, unsigned offset, bool wide, uint64_t *base)
{
    uint64_t bytes = bar_size(pci, offset);
    uint64_t start;

    if (bytes == 0)
        return false;
    if (bytes < PAGE_SIZE)
        bytes = PAGE_SIZE; /* nobody else in the page */
    start = align_up(window_next, bytes);
    if (start + bytes > WINDOW_END)
        return false;
    window_next = start + bytes;
    pci_write32(pci, offset, (uint32_t)start);
    if (wide)
        pci_write32(pci, offset + 4, 0);
    *base = start;
    return true;
}

void *pci_map(const struct pci_device *pci, unsigned bar, uint64_t offset, uint64_t bytes)
{
    unsigned at = PCI_BASE_ADDRESS_0 + 4 * bar;
    uint32_t low = bar < 6 ? pci_read32(pci, at) : PCI_BASE_ADDRESS_SPACE_IO;
    bool wide = (low & PCI_BASE_ADDRESS_MEM_TYPE_MASK) == PCI_BASE_ADDRESS_MEM_TYPE_64;
    uint64_t base = low & (uint32_t)PCI_BASE_ADDRESS_MEM_MASK;

    if ((low & PCI_BASE_ADDRESS_SPACE) == PCI_BASE_ADDRESS_SPACE_IO)
        return NULL;
    if (wide)
        base |= (uint64_t)pci_read32(pci, at + 4) << 32;
    if (base == 0 && !bar_place(pci, at, wide, &base))
        return NULL;
    return mmio_map(paddr(base + offset), bytes);
}

/* ---------------------------------------------------------------- MSI-X */

bool pci_msix_start(const struct pci_device *pci, struct pci_msix *msix)
{
    unsigned at = pci_capability(pci, PCI_CAP_ID_MSIX, 0);
    uint16_t control;
    uint32_t place;

    msix->table = NULL;
    msix->entries = 0;
    if (at == 0)
        return false;
    control = pci_read16(pci, at + PCI_MSIX_FLAGS);
    place = pci_read32(pci, at + PCI_MSIX_TABLE);
    msix->entries = (control & PCI_MSIX_FLAGS_QSIZE) + 1u;
    msix->table = pci_map(pci, place & PCI_MSIX_TABLE_BIR, place & PCI_MSIX_TABLE_OFFSET,
                          msix->entries * (uint64_t)PCI_MSIX_ENTRY_SIZE);
    if (msix->table == NULL)
        return false;
    /* After a reset every entry is masked (6.8.2.9). */
    control = (uint16_t)((control | PCI_MSIX_FLAGS_ENABLE) & ~PCI_MSIX_FLAGS_MASKALL);
    pci_write16(pci, at + PCI_MSIX_FLAGS, control);
    return true;
}

bool pci_msix_route(struct pci_msix *msix, unsigned entry, irq_handler *handler, void *context)
{
    volatile uint32_t *words = msix->table + 4 * entry;
    uint64_t address = irq_msi_address();
    unsigned vector;

    if (msix->table == NULL || entry >= msix->entries)
        return false;
    vector = irq_allocate(handler, context);
    if (vector == 0)
        return false;
    words[0] = (uint32_t)address;
    words[1] = (uint32_t)(address >> 32);
    words[2] = vector;
    words[3] = 0; /* not masked */
    return true;
}
