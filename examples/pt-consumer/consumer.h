/*
 * A table for an x86-64 host, and one for a RISC-V guest: two formats in one program, each in a file of its
 * own.
 */
#ifndef CONSUMER_H
#define CONSUMER_H

#include "quire/status.h"

#include <stdint.h>

enum status host_table(uint64_t address, uint64_t *physical);
enum status guest_table(uint64_t address, uint64_t *physical);

#endif
