#!/usr/bin/python3
"""The simulator predicts the kernel: a recording of references made in the machine, replayed with the same policy, memory and
scope, has as many page-ins as the kernel has, within 5 %. What is kept the same, and why, is in docs/AGREEMENT.md.

Everything is counted in instructions (--icount) at the same addresses, so figures hardly depend on how busy the host is. Programs are
such that many pages come in, and under shortage there are some ten ticks at least: what a tick's moment does to aging then hardly
matters. QUIRE_AGREEMENT="POLICY=MEMORY[,MEMORY...];..." runs other memory sizes and policies and prints them, holding them to nothing."""

import json
import os
import shutil

import harness
from harness import QUIRE, boot, case, expect, run

REFERENCES = os.path.join(harness.BUILD, "tests", "guest", "guest-references")
WITHIN = 0.05
# WSClock takes a clean page among the next 32: where there are many clean pages of files one frame moves both figures by up to 8 %.
WITHIN_SENSITIVE = 0.15
LEAST = 500  # page-ins: fewer would say nothing
BATCH = 32  # pages that the kernel evicts at once
POLICIES = ["clock", "second-chance", "wsclock", "aging"]
SAME = ["--icount", "--no-aslr", "--json"]


def report_of(result):
    return json.loads(result.err[result.err.index(b"{") :])


def record(words, options, window):
    """Where memory is plenty: what a program refers to does not depend on what is in memory. Returns the recording's name,
    what the program wrote, and how many pages of files were read, which is the same number when memory is short."""
    name = os.path.join(harness.scratch(), "recording")
    result = boot(*options, *SAME, "--memory", "256M", "--record", name, "--record-window", window, "--", *words, limit=250)
    expect(result.status in (0, 3), f"recording: {result!r}")
    return name, result.out, report_of(result)["paging"]["page_ins"]


def kernel(policy, words, options, memory, out):
    """Page-ins, and what the replay needs to know of the machine: its pages, the cleaner's mark and batches, and how many pages there
    were when policies learnt of them."""
    paging = ["--swap", "128M", "--read-ahead", "1", "--policy", policy]
    result = boot(*options, *SAME, *paging, "--memory", memory, "--", *words, limit=200)
    expect(sorted(result.out) == sorted(out), f"{policy}: the output is another one: {result!r}")
    report = report_of(result)
    expect("reclaim" in report, f"{policy}: memory was never short")
    return report["swap"]["page_ins"] + report["paging"]["page_ins"], report["reclaim"]


def replay(policy, recording, marks, scope):
    """Under local scope the cleaner has hardly anything to do, so there is no mean of what there is when it begins."""
    low = marks["low"] if scope else 0
    frames = marks["divided_mean"] - low if scope else marks["room_mean"]
    ahead = (marks["high"] - marks["low"] + 1) // BATCH * BATCH
    # What the kernel has moves by some frames in a run, and WSClock by some per cent for one frame: the mean of neighbours.
    sizes = ",".join(str(frames + apart) for apart in range(-4, 5))
    words = ["--replay", "--policy", policy, "--frames", sizes, "--low", low, "--ahead", ahead, "--known", marks["known_first"]]
    runs = json.loads(run([QUIRE, "sim", recording, *map(str, words), *scope, "--json"]).out)["runs"]
    return round(sum(one["page_ins"] for one in runs) / len(runs)), frames


def one(policy, words, options, memory, recorded, scope, within=WITHIN):
    """What is wrong, or None. First touches read nothing, but for files."""
    recording, out, files = recorded
    real, marks = kernel(policy, words, [*options, *scope], memory, out)
    back, frames = replay(policy, recording, marks, scope)
    apart = abs(back + files - real) / max(real, 1)
    line = f"{policy}, {memory}: kernel {real}, predicted {back + files} in {frames} frames: {100 * apart:.1f} % apart"
    print("#", line, flush=True)
    return line if real < LEAST or apart > within else None


def compare(words, memory, window, options=(), policies=tuple(POLICIES), scope=(), sensitive=()):
    recorded = record(words, options, window)
    other = os.environ.get("QUIRE_AGREEMENT")
    for entry in filter(None, (other or "").split(";")):
        policy, sizes = entry.rsplit("=", 1)
        for size in sizes.split(","):
            one(policy, words, options, size, recorded, scope)
    wrong = []
    for policy in () if other else policies:
        within = WITHIN_SENSITIVE if policy in sensitive else WITHIN
        wrong.append(one(policy, words, options, memory, recorded, scope, within))
    expect(not any(wrong), "; ".join(filter(None, wrong)))


@case(timeout=300)
def a_program_of_no_order():
    compare([REFERENCES, "sum", "9000"], "32M", 16)


def host_program(name):
    if not shutil.which(name):
        raise harness.Skip(f"{name} is not installed")
    return name


# Strings of 600 bytes; each round goes through two thirds of them, in another order, some of them several times.
TABLE = """BEGIN {
    for (i = 0; i < %(rows)d; i++) a[i * %(step)d %% %(prime)d] = sprintf("%%600d", i)
    for (r = 0; r < %(rounds)d; r++)
        for (i = 0; i < %(rows)d * 2 / 3; i++) {
            text = a[(i * i + r * 555 * i) %% %(prime)d]
            for (k = 0; k < %(work)d; k++) s += index(text, "7")
        }
    print s
    %(end)s
}"""


@case(timeout=500)
def a_table_of_awk():
    script = TABLE % {"rows": 9000, "step": 7919, "prime": 9001, "rounds": 10, "work": 1, "end": ""}
    compare([host_program("mawk"), script], "7M", 64, ["--root", "/"])


@case(timeout=500)
def a_table_of_sqlite():
    numbers = "with recursive n(i) as (select 0 union all select i + 1 from n where i < %d) select %s from n"
    queries = [(6000, "i * i %% 9001"), (6000, "(i * i + 7 * i) %% 9001"), (9000, "i * 7919 %% 9001"), (6000, "i * i * i %% 9001")]
    script = "create table t(a integer primary key, b text);"
    script += "insert into t " + numbers % (9000, "i, hex(zeroblob(300 + i % 200))") + ";"
    for count, keys in queries:
        script += f"select sum(length(b)) from t where a in ({numbers % (count, keys % ())});"
    compare([host_program("sqlite3"), ":memory:", script], "10M", 128, ["--root", "/"], sensitive=["wsclock"])


@case(timeout=500)
def two_programs_in_local_scope():
    """Each waits for the other before it ends: how far one is when the other leaves it its frames depends on how long faults take."""
    folder = harness.scratch()
    for name, step, end in (("a", 7919, 'print "" > "/tmp/end"'), ("b", 7907, 'getline < "/tmp/end"')):
        with open(os.path.join(folder, name), "w", encoding="ascii") as file:
            file.write(TABLE % {"rows": 6000, "step": step, "prime": 6007, "rounds": 3, "work": 1, "end": end})
    host_program("mawk")
    words = ["sh", "-c", "mkfifo /tmp/end; mawk -f /share/a & mawk -f /share/b & wait"]
    compare(words, "8M", 64, ["--root", "/", "--share", folder], ("clock", "second-chance"), ["--scope", "local", "--allocation", "equal:strict"])


harness.main()
