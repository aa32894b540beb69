#include "consumer.h"

#include <inttypes.h>
#include <stdio.h>

static int show(const char *whose, enum status (*look)(uint64_t, uint64_t *), uint64_t address)
{
    uint64_t physical = 0;
    enum status status = look(address, &physical);

    if (status != ST_OK) {
        fprintf(stderr, "%s: %#" PRIx64 ": %s\n", whose, address, status_name(status));
        return 1;
    }
    printf("%s: %#" PRIx64 " -> %#" PRIx64 "\n", whose, address, physical);
    return 0;
}

int main(void)
{
    return show("x86-64", host_table, 0x400012345678) | show("Sv39", guest_table, 0xffffffd000003210);
}
