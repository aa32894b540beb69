#!/usr/bin/python3
"""The simulator predicts the kernel: a recording of references made in the machine, replayed with the same policy, memory and
scope, has as many page-ins as the kernel has, within 5 %. What is kept the same, and why, is in docs/AGREEMENT.md.

Everything is counted in instructions (--icount) at the same addresses, so figures hardly depend on how busy the host is."""

import json
import os
import shutil

import harness
from harness import QUIRE, boot, case, expect, run

REFERENCES = os.path.join(harness.BUILD, "tests", "guest", "guest-references")
WITHIN = 0.05
BATCH = 32  # pages that the kernel evicts at once
POLICIES = ["clock", "second-chance", "wsclock", "aging"]
SAME = ["--icount", "--no-aslr", "--json"]


def report_of(result):
    return json.loads(result.err[result.err.index(b"{") :])


def record(words, options, window):
    """Where memory is plenty: what a program refers to does not depend on what is in memory. Returns the recording's name, its
    pages, what the program wrote, and how many pages of files were read, which is the same number when memory is short."""
    name = os.path.join(harness.scratch(), "recording")
    result = boot(*options, *SAME, "--memory", "256M", "--record", name, "--record-window", window, "--", *words, limit=250)
    expect(result.status in (0, 3), f"recording: {result!r}")
    info = json.loads(run([QUIRE, "trace", "info", "--json", name]).out)["traces"][0]
    return name, info["pages"], result.out, report_of(result)["paging"]["page_ins"]


def kernel(policy, words, options, memory, out):
    """Page-ins, the pages that the policy has when the cleaner begins, and how many the cleaner then evicts."""
    paging = ["--swap", "128M", "--read-ahead", "1", "--policy", policy]
    result = boot(*options, *SAME, *paging, "--memory", memory, "--", *words, limit=100)
    expect(result.out == out, f"{policy}: the output is another one: {result!r}")
    report = report_of(result)
    expect("reclaim" in report, f"{policy}: memory was never short")
    marks = report["reclaim"]
    return report["swap"]["page_ins"] + report["paging"]["page_ins"], marks["room_mean"], (marks["high"] - marks["low"] + 1) // BATCH * BATCH


def simulator(policy, recording, frames, ahead):
    words = ["--policy", policy, "--frames", str(frames), "--ahead", str(ahead), "--json", "--db", "none"]
    return json.loads(run([QUIRE, "sim", recording, *words]).out)["runs"][0]["faults"]


def compare(words, memory, window, options=(), least=500, policies=tuple(POLICIES)):
    recording, pages, out, files = record(words, options, window)
    wrong = []
    for policy in policies:
        real, frames, ahead = kernel(policy, words, options, memory, out)
        # First touches read nothing, but for files.
        predicted = simulator(policy, recording, frames, ahead) - pages + files
        apart = abs(predicted - real) / max(real, 1)
        print(f"# {policy}: kernel {real}, predicted {predicted} in {frames} frames: {100 * apart:.1f} % apart")
        if real < least or apart > WITHIN:
            wrong.append(f"{policy}: kernel {real}, predicted {predicted} in {frames} frames")
    expect(not wrong, "; ".join(wrong))


@case(timeout=120)
def a_program_of_no_order():
    compare([REFERENCES, "sum", "9000"], "32M", 16)


def host_program(name):
    if not shutil.which(name):
        raise harness.Skip(f"{name} is not installed")
    return name


# The host's programs: those policies that agree there (docs/AGREEMENT.md has the others, too).
@case(timeout=400)
def a_table_of_awk():
    script = """BEGIN {
        for (i = 0; i < 12000; i++) a[i * 7919 % 12007] = sprintf("%600d", i)
        for (r = 0; r < 2; r++) for (i = 0; i < 12000; i++) s += length(a[i * 10007 % 12007])
        print s
    }"""
    compare([host_program("mawk"), script], "9M", 64, ["--root", "/"], policies=("clock", "second-chance"))


@case(timeout=400)
def a_table_of_sqlite():
    numbers = "with recursive n(i) as (select 0 union all select i + 1 from n where i < %d)"
    script = f"""create table t(a integer primary key, b text);
        {numbers % 9000} insert into t select i, hex(zeroblob(300 + i % 200)) from n;
        select sum(length(b)) from t where a in ({numbers % 6000} select i * 7919 % 9001 from n);"""
    compare([host_program("sqlite3"), ":memory:", script], "10M", 64, ["--root", "/"], policies=("clock", "second-chance"))


harness.main()
