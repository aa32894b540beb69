#!/usr/bin/python3
"""What msync, fsync and their like have promised is on the host, whenever the machine is killed.

usage: kills.py [--kills N] [--seed N] [--ways NAME,...]

A program in the machine writes generations into pages of a file of the shared folder and says which after msync, or another of
WAYS in turn, has returned. QEMU is killed by SIGKILL at a random moment; each page of the file on the host must then have what was
said last of it, or something later. Prints one line a kill, and last `N passed, N failed`.
"""

import argparse
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import harness  # pylint: disable=wrong-import-position

PAGE, PAGES = 4096, 64
GUEST = os.path.join(harness.BUILD, "tests", "guest", "guest-generations")
WAYS = ("msync", "fsync", "mapped-fsync", "fdatasync", "sync", "syncfs", "O_DSYNC")  # of tests/guest/generations.c
FIRST_LINE_SECONDS = 60 * harness.SLOW


def kill_machine(machine):
    """QEMU is a child of the command, or the command itself; both go at once, and neither can say goodbye."""
    os.killpg(machine.pid, signal.SIGKILL)
    machine.wait()


def run_and_kill(share, way, seconds):
    """What the machine had said when it was killed, so many seconds after its first word."""
    machine = subprocess.Popen([harness.QUIRE, "boot", "--memory", "16M", "--share", share, "--timeout", str(int(FIRST_LINE_SECONDS + 30)), "--",
                                GUEST, "/share/file", way], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               start_new_session=True)
    said, deadline = b"", time.monotonic() + FIRST_LINE_SECONDS
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([machine.stdout], [], [], left)[0]:
            break
        block = os.read(machine.stdout.fileno(), 65536)
        if not block:
            break
        if not said:
            deadline = time.monotonic() + seconds
        said += block
    kill_machine(machine)
    said += machine.stdout.read()
    machine.stdout.close()
    return said


def promised(said):
    """The generation that each page has at least: a line that is not whole says nothing."""
    least = [0] * PAGES
    for line in said.split(b"\n")[:-1]:
        generation, *pages = (int(word) for word in line.split())
        for page in pages:
            least[page] = generation
    return least


def problem(path, least):
    with open(path, "rb") as file:
        data = file.read()
    for page, generation in enumerate(least):
        words = {data[at : at + 8] for at in range(page * PAGE, (page + 1) * PAGE, 8)}
        found = [int.from_bytes(word, "little") for word in words]
        if min(found) < generation:
            return f"page {page}: expected generation {generation} or later in all of it, found {min(found)}"
    return None


def main():
    parser = argparse.ArgumentParser(description="kills a machine whose program calls msync, fsync, ...")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ways", type=lambda text: text.split(","), default=WAYS)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    passed = failed = 0
    for number in range(options.kills):
        way = options.ways[number % len(options.ways)]
        share = tempfile.mkdtemp(prefix="quire-kills-")
        try:
            said = run_and_kill(share, way, rng.uniform(0, 0.7))
            least = promised(said)
            why = problem(os.path.join(share, "file"), least) if any(least) else "the program in the machine said nothing"
        finally:
            shutil.rmtree(share)
        print(f"FAIL kill {number}, {way}: {why}" if why else f"ok kill {number}, {way}, generation {max(least)}", flush=True)
        passed, failed = passed + (not why), failed + bool(why)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


main()
