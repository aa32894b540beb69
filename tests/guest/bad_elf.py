#!/usr/bin/python3
"""Writes ELF files that must not run, each for one reason; their names say which.

usage: bad_elf.py DIRECTORY

Linux refuses each with ENOEXEC or another error, or kills the program at its first instruction. The file
`good` is the same program without a fault: it exits with status 42.
"""

import os
import struct
import sys

BASE = 0x400000
# mov $42, %edi; mov $60, %eax; syscall
CODE = bytes.fromhex("bf2a000000b83c0000000f05")
EXEC, LOAD, INTERP = 2, 1, 3
READ_EXECUTE, READ_WRITE = 5, 6


def header(segments=1, machine=62, kind=EXEC, entry=BASE + 0x1000, elf_class=2, data=1, table=64, size=56):
    ident = b"\x7fELF" + bytes([elf_class, data, 1, 0]) + bytes(8)
    return ident + struct.pack("<HHIQQQIHHHHHH", kind, machine, 1, entry, table, 0, 0, 64, size, segments, 0, 0, 0)


def segment(offset, address, in_file, in_memory, flags=READ_EXECUTE, kind=LOAD, align=0x1000):
    return struct.pack("<IIQQQQQQ", kind, flags, offset, address, address, in_file, in_memory, align)


def program(*segments, **changes):
    """A file with these segments; the code is at offset 0x1000."""
    start = header(len(segments), **changes) + b"".join(segments)
    return start.ljust(0x1000, b"\0") + CODE.ljust(0x1000, b"\x90")


def files():
    text = segment(0x1000, BASE + 0x1000, 0x1000, 0x1000)
    good = program(text)
    return {
        "good": good,
        "empty": b"",
        "one-byte": b"\x7f",
        "magic-only": b"\x7fELF",
        "header-cut": good[:40],
        "segments-cut": good[:70],
        "text-cut": good[:0x1008],
        "not-elf": b"\x7fELG" + good[4:],
        "random": bytes((i * 7919 >> 3) & 255 for i in range(5000)),
        "wrong-machine": program(text, machine=183),
        "wrong-class": program(text, elf_class=1),
        "wrong-byte-order": program(text, data=2),
        "object-file": program(text, kind=1),
        "core-file": program(text, kind=4),
        "no-segments": program(),
        "only-data-headers": program(segment(0, 0, 0, 0, kind=4)),
        "segment-table-far": program(text, table=1 << 40),
        "segment-table-wraps": program(text, table=(1 << 64) - 8),
        "segment-size-odd": program(text, size=32),
        "too-many-segments": header(65535) + bytes(200),
        "kernel-segment": program(segment(0x1000, 0xFFFFFFFF80000000, 0x1000, 0x1000)),
        "kernel-half-segment": program(segment(0x1000, 0xFFFF888000000000, 0x1000, 0x1000)),
        "non-canonical-segment": program(segment(0x1000, 0x800000000000, 0x1000, 0x1000)),
        "last-user-page-segment": program(segment(0x1000, 0x7FFFFFFFF000, 0x1000, 0x1000)),
        "page-zero-segment": program(segment(0x1000, 0, 0x1000, 0x1000), entry=0),
        "over-the-end": program(segment(0x1000, 0x7FFFFFFFE000, 0x1000, 0x3000)),
        "huge-memory": program(text, segment(0, BASE + 0x200000, 0, 1 << 60, READ_WRITE)),
        "huge-memory-wraps": program(text, segment(0, BASE + 0x200000, 0, (1 << 64) - 1, READ_WRITE)),
        "huge-file-size": program(segment(0x1000, BASE + 0x1000, 1 << 50, 1 << 50)),
        "file-larger-than-memory": program(segment(0x1000, BASE + 0x1000, 0x1000, 0x10)),
        "misaligned": program(segment(0x1001, BASE + 0x1000, 0x100, 0x100)),
        "offset-far": program(segment(1 << 40, BASE + 0x1000, 0x1000, 0x1000)),
        "offset-wraps": program(segment((1 << 64) - 0x1000, BASE + 0x1000, 0x2000, 0x2000)),
        "overlapping": program(text, segment(0, BASE + 0x1000, 0x1000, 0x1000, READ_WRITE)),
        "overlapping-in-part": program(segment(0, BASE, 0x2000, 0x2000), segment(0, BASE + 0x1000, 0x10, 0x3000, READ_WRITE)),
        "entry-in-kernel": program(text, entry=0xFFFFFFFF80100000),
        "entry-unmapped": program(text, entry=0x12345000),
        "entry-not-executable": program(segment(0x1000, BASE + 0x1000, 0x1000, 0x1000, READ_WRITE)),
        "interpreter-missing": program(segment(0x1010, 0, 8, 8, kind=INTERP), text),
        "interpreter-huge": program(segment(0x1000, 0, 1 << 30, 1 << 30, kind=INTERP), text),
        "interpreter-empty": program(segment(0x1000, 0, 0, 0, kind=INTERP), text),
    }


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    os.makedirs(sys.argv[1], exist_ok=True)
    for name, content in files().items():
        path = os.path.join(sys.argv[1], name)
        with open(path, "wb") as out:
            out.write(content)
        os.chmod(path, 0o755)


if __name__ == "__main__":
    main()
