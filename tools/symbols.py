#!/usr/bin/env python3
"""Makes the kernel's symbol table from a first link of its image.

usage: symbols.py NM IMAGE OUTPUT.S

The table (kernel/x86/symbols.c reads it) has the functions of .text, sorted: for each its offset from
image_start and where its name is. It is placed behind .text, so the second link does not move a function.
"""
import subprocess
import sys


def functions(nm, image):
    start = end = None
    found = {}
    for line in subprocess.run([nm, image], check=True, capture_output=True, text=True).stdout.splitlines():
        parts = line.split()
        if len(parts) != 3:
            continue
        address, kind, name = int(parts[0], 16), parts[1], parts[2]
        if name == 'image_start':
            start = address
        elif name == 'text_end':
            end = address
        elif kind in 'tT' and name not in ('uaccess_start', 'uaccess_end'):
            found.setdefault(address, name)
    return start, sorted((a - start, n.split('.')[0]) for a, n in found.items() if start <= a < end)


def main():
    nm, image, output = sys.argv[1:]
    _, table = functions(nm, image)
    names = {}
    offset = 0
    for _, name in table:
        if name not in names:
            names[name] = offset
            offset += len(name) + 1
    with open(output, 'w', encoding='ascii') as out:
        out.write('    .section .symbol_table, "a"\n    .balign 8\n'
                  '    .globl symbol_table, symbol_count, symbol_names\nsymbol_table:\n')
        for address, name in table:
            out.write(f'    .long {address}, {names[name]}\n')
        out.write(f'symbol_count:\n    .long {len(table)}\nsymbol_names:\n')
        for name in names:
            out.write(f'    .asciz "{name}"\n')
        out.write('    .section .note.GNU-stack, "", @progbits\n')


main()
