#!/usr/bin/python3
"""Whose pages go: load control, scopes, classes, groups of programs."""

import json
import os
import shutil

import harness
from harness import boot, case, expect, expect_equal, expect_run


def tools(*names):
    """A folder with guest programs, to be shared."""
    folder = harness.scratch()
    for name in names:
        path = os.path.join(harness.BUILD, "tests", "guest", "guest-" + name)
        if not os.path.exists(path):
            raise harness.Skip(f"{path} is not built")
        shutil.copy(path, os.path.join(folder, name))
    return folder


def run_reported(folder, *words, script, limit=170):
    """Runs a shell script in a small machine; its output's lines and the report."""
    path = os.path.join(folder, "report")
    result = boot("--icount", "--no-aslr", "--share", folder, "--json", "--report", path, *words, "--", "sh", "-c", script, limit=limit)
    expect_run(result, 0)
    with open(path, encoding="utf-8") as file:
        return result.out.decode().split("\n"), json.load(file)


# Four programs that need 5 MiB each, a quarter of 12 MiB for each: all of them wait for pages nearly all the time.
FOUR = "for i in 1 2 3 4; do /share/worker 5 %d $i 200 & done; wait"
THRASHING = ("--memory", "16M", "--swap", "64M", "--scope", "local")


@case(timeout=200)
def load_control_ends_thrashing():
    folder = tools("worker")
    script = FOUR % 10000
    expected, without = run_reported(folder, *THRASHING, script=script)
    events = os.path.join(folder, "events")
    sums, with_it = run_reported(folder, *THRASHING, "--load-control", "--events", events, script=script)
    expect_equal(sorted(sums), sorted(expected), "the sums")
    expect_equal(without["reclaim"]["swap_outs"], 0, "swapped out without load control")
    outs, ins = with_it["reclaim"]["swap_outs"], with_it["reclaim"]["swap_ins"]
    expect(outs >= 2 and outs == ins, f"swapped out {outs} times, in {ins} times")
    before, after = without["swap"]["page_ins"], with_it["swap"]["page_ins"]
    expect(before > 10000 and 2 * after < before, f"page-ins: {before} without, {after} with load control")
    with open(events, encoding="utf-8") as file:
        kinds = [event["event"] for event in map(json.loads, file)]
    expect_equal((kinds.count("swap-out"), kinds.count("swap-in")), (outs, ins), "events")


harness.main()
