/*
 * Swap on the machine's disk, or in compressed memory, or both: what the command line says.
 */
#ifndef KERNEL_SWAP_DEVICE_H
#define KERNEL_SWAP_DEVICE_H

#include "quire/store_compressed.h"
#include "quire/swap.h"

/* After the devices have been found; once. The words are swap=BYTES and swap-compress=BYTES, or
 * swap-ram=BYTES. Gives up booting when what they ask for is not there. */
void swap_device_init(void);

/* For reports and checks (compressed_count(), compressed_check()); NULL: there is none. */
const struct store *swap_device_compressed(void);

#endif
