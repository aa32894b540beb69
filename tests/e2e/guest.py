#!/usr/bin/python3
"""The guest programs: the same static binary prints the same on this host's Linux and in the machine
(tests/guest/compare). Those that Linux cannot judge say by their status how it went."""

import importlib.machinery
import importlib.util
import os

import harness
from harness import boot, case, expect, expect_equal, expect_run

FOLDER = os.path.join(harness.TOP, "tests", "guest")
MEMORY = "128M"


def load_compare():
    loader = importlib.machinery.SourceFileLoader("compare", os.path.join(FOLDER, "compare"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("compare", loader))
    loader.exec_module(module)
    return module


compare = load_compare()


def guest_case(name):
    def run():
        differences = compare.compare(harness.BUILD, MEMORY, name)
        if differences is not None:
            raise harness.Failure(" / ".join(line.strip() for line in differences[:40]))

    case(timeout=230, name=name)(run)


for _name in compare.all_tests():
    guest_case(_name)


def tool(name):
    return os.path.join(harness.BUILD, "tests", "guest", "guest-" + name)


@case(timeout=280)
def thousand_lives_leave_no_frame():
    expect_run(boot("--memory", "64M", "--", tool("lives"), "1000", limit=270), 0)


@case(timeout=200)
def storm_of_forks():
    expect_run(boot("--memory", "64M", "--", tool("forkstorm"), "200", "4", limit=190), 0)


@case(timeout=200)
def largest_process_ends_and_others_live():
    result = boot("--memory", "64M", "--", tool("oomtest"), "3", limit=190)
    expect_equal(result.status, 0, f"status: {result!r}")
    expect_equal(result.out.count(b"the greedy one: SIGKILL"), 3, f"rounds: {result!r}")
    expect(b"out of memory" in result.err, f"no message: {result!r}")


harness.main()
