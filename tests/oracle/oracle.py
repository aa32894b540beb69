#!/usr/bin/python3
"""The library's page tables in QEMU's MMUs.

usage: tests/oracle/oracle.py [-l] [NAME...]      with QUIRE_BUILD in the environment

A case is a format and a seed. The program oracle-FORMAT builds random tables in the machine's memory and compares what the
guest met with what the library says (host/oracle.c). Then QEMU's monitor lists the last of these tables, which is compared
with pt_dump().
"""

import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "e2e")]

import dump  # pylint: disable=wrong-import-position
from harness import BUILD, Failure, case, expect, main, scratch  # pylint: disable=wrong-import-position
from machines import FORMATS, MACHINES, Qemu  # pylint: disable=wrong-import-position

SEEDS, STEPS, PROBES = 6, 20, 400
MARKS_SECONDS = 4


def first_difference(ours, theirs):
    for one, other in zip(ours, theirs):
        if one != other:
            return f"the dump says {one}, QEMU says {other}"
    return f"the dump has {len(ours)}, QEMU {len(theirs)}; the first that only one has: {(ours + theirs)[min(len(ours), len(theirs))]}"


def compare(what, ours, theirs):
    ours, theirs = list(ours), list(theirs)
    expect(len(ours) > 0, f"{what}: nothing to compare")
    if ours != theirs:
        raise Failure(f"{what}: {first_difference(ours, theirs)}")


def compare_listings(qemu, name, seed, text):
    """QEMU's own listing of the tables. Its `info mem` of 5 levels of x86-64 lists nothing: it asks for tables that are absent
    where it means present ones (target/i386/monitor.c, mem_info_la57(), in 7.2). It has none for aarch64."""
    pages = list(dump.read_dump(text))
    if FORMATS[name] == "x86_64":
        compare("info tlb", map(dump.x86_tlb, pages), dump.x86_tlb_lines(qemu.ask("info tlb")))
    if name == "x86_64":
        compare("info mem", dump.x86_mem(pages), dump.x86_mem_ranges(qemu.ask("info mem")))
    if FORMATS[name] == "riscv64":
        # QEMU takes a group's mark (Svnapot) for a part of the address; odd seeds map groups.
        ours, theirs = dump.riscv_mem(pages), dump.riscv_mem_ranges(qemu.ask("info mem"))
        compare("info mem", *((dump.without_memory(one) for one in (ours, theirs)) if seed % 2 else (ours, theirs)))


def run_oracle(name, seed):
    folder = scratch()
    machine = FORMATS[name]
    program, dumped = os.path.join(BUILD, "tests", "oracle", "oracle-" + name), os.path.join(folder, "dump")
    qemu = Qemu(machine, folder)
    try:
        done = subprocess.run([program, qemu.memory, str(seed), str(STEPS), str(PROBES), dumped], capture_output=True, text=True,
                              check=False)
        expect(done.returncode == 0, f"{done.stdout.strip()} {done.stderr.strip()}")
        with open(dumped, encoding="ascii") as file:
            compare_listings(qemu, name, seed, file.read())
    finally:
        qemu.end()


def run_marks(name):
    """The MMU marks pages while the library changes their entries. aarch64 marks them itself with this seed (machine_control())."""
    folder = scratch()
    qemu = Qemu(FORMATS[name], folder)
    try:
        program = os.path.join(BUILD, "tests", "oracle", "marks-" + name)
        done = subprocess.run([program, qemu.memory, "6", str(MARKS_SECONDS)], capture_output=True, text=True, check=False)
        expect(done.returncode == 0, f"{done.stdout.strip()} {done.stderr.strip()}")
    finally:
        qemu.end()


for format_name in FORMATS:
    assert FORMATS[format_name] in MACHINES
    for number in range(1, SEEDS + 1):
        case(timeout=90, name=f"{FORMATS[format_name]} {format_name} seed {number}")(lambda name=format_name, seed=number: run_oracle(name, seed))
    if format_name in ("x86_64", "sv48", "aarch64"):
        case(timeout=90, name=f"{FORMATS[format_name]} {format_name} marks")(lambda name=format_name: run_marks(name))

main()
