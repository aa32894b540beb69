#!/usr/bin/python3
"""The simulator predicts the kernel: a reference trace recorded in the machine, replayed with the same policy, memory and
scope, has as many page-ins as the kernel has, within 5 %. What is kept the same, and why, is in docs/AGREEMENT.md."""

import json
import os

import harness
from harness import QUIRE, boot, case, expect, expect_run, run

REFERENCES = os.path.join(harness.BUILD, "tests", "guest", "guest-references")
WITHIN = 0.05
NEVER = 1 << 30  # WSClock's window, longer than any run: the two count time in different units
POLICIES = ["clock", "second-chance", f"wsclock:tau={NEVER}", "aging"]


def trace_of(words, memory, window, stdin):
    """Records where memory is plenty: what a program refers to does not depend on what is in memory."""
    folder = harness.scratch()
    recording, trace = os.path.join(folder, "events"), os.path.join(folder, "trace")
    result = boot("--memory", memory, "--record", recording, "--record-window", window, "--", *words, stdin=stdin, limit=150)
    expect(result.status in (0, 3), f"recording: {result!r}")
    expect_run(run([QUIRE, "trace", "convert", recording, trace]), 0)
    info = json.loads(run([QUIRE, "trace", "info", "--json", trace]).out)["traces"][0]
    return trace, info["pages"], result.out


def kernel(policy, words, memory, stdin, out):
    """Page-ins, and how many pages the policy had on the average while memory was short."""
    paging = ["--swap", "64M", "--read-ahead", "1", "--policy", policy]
    result = boot("--memory", memory, *paging, "--json", "--", *words, stdin=stdin, limit=150)
    expect(result.out == out, f"{policy}: the output is another one: {result!r}")
    report = json.loads(result.err[result.err.index(b"{") :])
    expect(report["over_time"]["enrolled_mean"] > 0, f"{policy}: memory was never short")
    return report["swap"]["page_ins"] + report["paging"]["page_ins"], report["over_time"]["enrolled_mean"]


def simulator(policy, trace, frames, pages):
    """Faults on pages that had been there before: first touches read nothing."""
    result = run([QUIRE, "sim", trace, "--policy", policy, "--frames", str(frames), "--json", "--db", "none"])
    return json.loads(result.out)["runs"][0]["faults"] - pages


def compare(words, short, plenty, window, stdin=b"", least=500):
    trace, pages, out = trace_of(words, plenty, window, stdin)
    wrong = []
    for policy in POLICIES:
        real, frames = kernel(policy, words, short, stdin, out)
        predicted = simulator(policy, trace, frames, pages)
        apart = abs(predicted - real) / max(real, 1)
        print(f"# {policy}: kernel {real}, predicted {predicted} in {frames} frames: {100 * apart:.1f} % apart")
        if real < least or apart > WITHIN:
            wrong.append(f"{policy}: kernel {real}, predicted {predicted} in {frames} frames")
    expect(not wrong, "; ".join(wrong))


@case(timeout=120)
def a_program_of_no_order():
    compare([REFERENCES, "sum", "9000"], "32M", "96M", 16)


harness.main()
