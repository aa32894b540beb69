#!/usr/bin/python3
"""The recursive way on RISC-V, in QEMU's MMU: a program in supervisor mode changes its own tables through it.

usage: tests/oracle/recursive.py [-l] [NAME...]

The library is compiled into the program (guest/recursive.c), once for each format.
"""

import glob
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "e2e")]

from harness import case, expect, main, scratch  # pylint: disable=wrong-import-position
from machines import MACHINES, TOP  # pylint: disable=wrong-import-position

QEMU_SECONDS = 30


def build(form, path):
    machine = MACHINES["riscv64"]
    guest = os.path.join(HERE, "guest")
    sources = [os.path.join(guest, "recursive.c"), os.path.join(guest, "recursive.S"), os.path.join(TOP, "src", "base", "status.c"),
               *sorted(glob.glob(os.path.join(TOP, "src", "pt", "*.c")))]
    subprocess.run(["clang", "--target=" + machine.target, *machine.compile_args, "-std=gnu17", "-O1", "-Wall", "-Wextra", "-Werror",
                    "-Wno-unused-parameter", "-ffreestanding", "-nostdlib", "-static", "-fuse-ld=lld", "-ffunction-sections", "-Wl,--gc-sections",
                    "-DPT_FORMAT=" + form, "-I" + os.path.join(TOP, "include"), "-I" + os.path.join(TOP, "src"), "-Wl,--build-id=none",
                    "-Wl,-T," + os.path.join(guest, "riscv64.ld"), "-o", path, *sources], check=True)


def run(form):
    guest = os.path.join(scratch(), "guest.elf")
    build(form, guest)
    done = subprocess.run(["qemu-system-riscv64", "-M", "virt", "-cpu", "rv64", "-m", "64", "-accel", "tcg", "-bios", "none", "-nodefaults", "-display",
                           "none", "-serial", "stdio", "-no-reboot", "-kernel", guest], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=QEMU_SECONDS, check=False)
    expect(done.returncode == 0 and done.stdout.startswith("ok: "), f"{done.stdout.strip()} {done.stderr.strip()}")


for name in ("sv39", "sv48", "sv57"):
    case(timeout=120, name=f"recursive {name}")(lambda name=name: run(name))

main()
