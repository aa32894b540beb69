/*
 * LZ4 in the kernel: the packer of compressed swap.
 */
#ifndef KERNEL_SWAP_LZ4_H
#define KERNEL_SWAP_LZ4_H

#include "store/lz4.h"

extern const struct store_packer swap_lz4;

#endif
