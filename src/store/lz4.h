/*
 * LZ4 as a packer of pages: liblz4 of the system, of which only what neither allocates nor keeps anything is
 * used.
 */
#ifndef STORE_LZ4_H
#define STORE_LZ4_H

#include "quire/store_compressed.h"

enum { STORE_LZ4_STATE_BYTES = 16416 };

extern const struct store_packer store_lz4;

#endif
