"""Reads what pt_dump() prints, and what QEMU's monitor prints of the same tables."""

import re

SIZES = {"4K": 12, "64K": 16, "2M": 21, "1G": 30}
LINE = re.compile(r"^( *)([0-9a-f]{16})-([0-9a-f]{16}) L(\d)\[\d+\] +(.*)$")
PAGES = re.compile(r"^(\d+) x (\w+) -> ([0-9a-f]+) ([a-z-]+)")
TABLE = re.compile(r"^table [0-9a-f]+ ([a-z-]+)")


class Page:
    """One page: where, of which size, to where; its own flags' letters, and the rights that its tables leave it."""

    def __init__(self, start, shift, physical, letters, tables):
        self.start, self.shift, self.physical, self.letters, self.tables = start, shift, physical, letters, tables

    def has(self, letter):
        return letter in self.letters

    def allows(self, letter):
        """A right that each table on the way must give, too."""
        return letter in self.letters and all(letter in one for one in self.tables)


def read_dump(text):
    """Every page of a dump, by address."""
    tables = {}
    for line in text.splitlines():
        match = LINE.match(line)
        if not match:
            raise ValueError(f"not a line of a dump: {line!r}")
        start, level, rest = int(match[2], 16), int(match[4]), match[5]
        table, pages = TABLE.match(rest), PAGES.match(rest)
        for below in [one for one in tables if one <= level]:
            del tables[below]
        if table:
            tables[level] = table[1]
        elif pages:
            shift = SIZES[pages[2]]
            for i in range(int(pages[1])):
                yield Page(start + (i << shift), shift, int(pages[3], 16) + (i << shift), pages[4], tuple(tables.values()))


def x86_tlb(page):
    """The line of `info tlb` for a page, as far as both sides know its flags."""
    flags = "".join(letter if known else "-" for letter, known in (
        ("X", not page.has("x")), ("G", page.has("g")), ("D", page.has("d")), ("A", page.has("a")), ("C", page.has("n")),
        ("T", page.has("t")), ("U", page.has("u")), ("W", page.has("w"))))
    return f"{page.start:016x}: {page.physical:016x} {flags}"


def x86_tlb_lines(text):
    """`info tlb` without the column P, which is another bit at each level."""
    for line in text.split("\n"):
        line = line.strip("\r")
        if line:
            address, physical, flags = line.split()
            yield f"{address} {physical} {flags[:2] + flags[3:]}"


def merged(ranges):
    """Neighbours with the same rights as one."""
    result = []
    for start, end, rights in ranges:
        if result and result[-1][1] == start and result[-1][2] == rights:
            result[-1][1] = end
        else:
            result.append([start, end, rights])
    return result


def x86_mem(pages):
    return merged((one.start, one.start + (1 << one.shift), ("u" if one.allows("u") else "-") + "r" +
                   ("w" if one.allows("w") else "-")) for one in pages)


def x86_mem_ranges(text):
    return merged((int(start, 16), int(end, 16), rights)
                  for start, end, rights in re.findall(r"^([0-9a-f]+)-([0-9a-f]+) [0-9a-f]+ ([a-z-]+)", text, re.M))


def joined(ranges):
    """Neighbours that are in one piece in both memories, with the same rights, as one."""
    result = []
    for start, physical, size, rights in ranges:
        last = result[-1] if result else None
        if last and last[0] + last[2] == start and last[1] + last[2] == physical and last[3] == rights:
            last[2] += size
        else:
            result.append([start, physical, size, rights])
    return result


def low(address, bits):
    return address & ((1 << bits) - 1)


def riscv_mem(pages):
    return joined((low(one.start, 57), one.physical, 1 << one.shift, "".join(letter if one.has(letter) else "-" for letter in "wxugad"))
                  for one in pages)


def riscv_mem_ranges(text):
    """`info mem` without the column r. It takes bits of the memory type for some of the address, and does not extend the sign."""
    return joined((low(int(start, 16), 57), low(int(physical, 16), 56), int(size, 16), rights[1:])
                  for start, physical, size, rights in re.findall(r"^([0-9a-f]+) ([0-9a-f]+) ([0-9a-f]+) ([a-z-]+)", text, re.M))


def without_memory(ranges):
    """The ranges of addresses and their rights, wherever they lead."""
    return merged((start, start + size, rights) for start, _, size, rights in ranges)
