#!/usr/bin/python3
"""Events while the machine runs, and recorded references: quire boot --events, --record; quire trace convert of a recording."""

import json
import os
import struct
import subprocess
import time

import harness
from harness import QUIRE, boot, case, expect, expect_equal, expect_run, run

GUEST = os.path.join(harness.BUILD, "tests", "guest")
REFERENCES = os.path.join(GUEST, "guest-references")
PAGES = 64
PRIVATE = 3 << 62
START, FORK, LOST, REFERENCE, GONE, SHORT = 11, 12, 1, 14, 15, 16
WRITES, BY_KERNEL = 1, 2
HEAD = struct.Struct("<8sIIQQ")
EVENT = struct.Struct("<QQQIHH")


def events_of(name):
    with open(name, encoding="ascii") as file:
        return [json.loads(line) for line in file]


def recording_of(name):
    """Events as (page, value, process, kind, detail)."""
    with open(name, "rb") as file:
        data = file.read()
    magic, version, window, page_bytes, _ = HEAD.unpack_from(data)
    expect_equal((magic, version, page_bytes), (b"\x89QEV\r\n\x1a\n", 2, 4096), "its head")
    return window, [EVENT.unpack_from(data, at)[1:] for at in range(HEAD.size, len(data), EVENT.size)]


def record(*words, window=8):
    """Records tests/guest/references.c: (page, write, process, the kernel's number for it) of its own memory, and the recording's name."""
    name = os.path.join(harness.scratch(), "out.events")
    # By instructions: a quantum that ends between a fault and the access lets another process have the window.
    result = boot("--icount", "--record", name, "--record-window", window, "--", REFERENCES, *words, limit=50)
    expect_run(result, 3)
    first = int(result.out.split()[0], 16)
    got_window, events = recording_of(name)
    expect_equal(got_window, window, "the window")
    own = [
        ((value - first) // 4096, detail & WRITES, process, page - PRIVATE)
        for page, value, process, kind, detail in events
        if kind == REFERENCE and page >= PRIVATE and 0 <= value - first < PAGES * 4096
    ]
    return own, events, name


@case()
def faults_as_they_happen():
    name = os.path.join(harness.scratch(), "events")
    result = expect_run(boot("--events", name, "--", REFERENCES, "pages", limit=50), 3)
    first = int(result.out.split()[0], 16)
    events = events_of(name)
    kinds = {event["event"] for event in events}
    expect({"start", "fault", "exit"} <= kinds, f"kinds: {kinds}")
    expect_equal([e["program"] for e in events if e["event"] == "start"], ["guest-reference"], "programs")  # 15 characters, as Linux's comm
    times = [event["time_ns"] for event in events]
    expect(times == sorted(times) and times[0] > 0, "time goes backwards")
    zero = [int(e["address"], 16) for e in events if e["event"] == "fault" and e["kind"] == "zero" and e["pid"] == 1]
    own = [(address - first) // 4096 for address in zero if 0 <= address - first < PAGES * 4096]
    expect_equal(own, list(range(PAGES)), "first touches of its pages")


@case()
def the_stream_and_the_report_agree():
    folder = harness.scratch()
    name = os.path.join(folder, "events")
    script = "for i in 1 2 3; do ls / | wc -l; done"
    result = expect_run(boot("--events", name, "--json", "--", "sh", "-c", script, limit=50), 0)
    report = json.loads(result.err[result.err.index(b"{") :])
    events = [event for event in events_of(name) if event["event"] == "fault"]
    for kind in ("zero", "copy", "minor", "reuse", "unmapped"):
        seen = sum(event["kind"] == kind for event in events)
        # What exec puts on a stack is faulted in by the kernel, before the program has begun: 1 to 3 a program.
        most = report["faults"][kind]
        expect(most - 40 <= seen <= most and (seen > 0 or most == 0), f"{kind}: {seen} events, the report says {most}")


@case()
def events_come_while_the_machine_runs():
    folder = harness.scratch()
    name = os.path.join(folder, "events")
    words = [QUIRE, "boot", "--events", name, "--timeout", "50", "--", "sh", "-c", "ls /; read x; ls /; exit 4"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as machine:
        deadline = time.monotonic() + 30 * harness.SLOW
        before = 0
        while before < 20 and time.monotonic() < deadline:
            before = len(open(name, "rb").read().splitlines()) if os.path.exists(name) else 0
            time.sleep(0.05)
        expect(before >= 20, f"{before} events while the program waits for input")
        machine.stdin.write(b"\n")
        machine.stdin.close()
        expect_equal(machine.wait(), 4, "status")
    expect(len(events_of(name)) > before, "nothing came after that")


@case()
def more_events_than_the_buffer_holds():
    name = os.path.join(harness.scratch(), "events")
    expect_run(boot("--memory", "96M", "--events", name, "--", REFERENCES, "sum", "9000", limit=55), 3)
    events = events_of(name)
    expect_equal([e for e in events if e["event"] == "lost"], [], "lost events")
    zero = sum(e["event"] == "fault" and e["kind"] in ("zero", "huge") for e in events)
    expect(zero > 20, f"{zero} first touches")


@case()
def every_reference_but_those_in_the_window():
    own, events, _ = record("pages")
    expect_equal([e for e in events if e[3] == LOST], [], "lost events")
    expect_equal([one[:2] for one in own[:PAGES]], [(i, 1) for i in range(PAGES)], "writes")
    down = [one[:2] for one in own[PAGES:]]
    expect(PAGES - 8 <= len(down) <= PAGES, f"{len(down)} reads")
    expect_equal(down, [(i, 0) for i in range(len(down) - 1, -1, -1)], "reads")


@case()
def a_write_to_a_page_that_was_read():
    # The child of `fork` reads its pages downwards: 0 to 7 are in the window when it writes to them.
    own, _, _ = record("fork")
    child = max(process for _, _, process, _ in own)
    writes = [page for page, write, process, _ in own if process == child and write]
    expect_equal(writes, list(range(0, PAGES, 2)), "the child's writes")


@case()
def pages_that_fork_shares_are_one():
    own, events, name = record("fork")
    parent, child = min(one[2] for one in own), max(one[2] for one in own)
    expect(any(kind == FORK and process == child and value == parent for _, value, process, kind, _ in events), "no fork")
    reads = [one for one in own if one[2] == child and not one[1]]
    of_parent = {page: number for page, _, process, number in own if process == parent}
    expect(len(reads) >= PAGES - 8 and all(of_parent[page] == number for page, _, _, number in reads), f"the child's reads: {reads[:5]}")
    copies = {number for _, write, process, number in own if process == child and write}
    expect_equal((len(copies), copies & set(of_parent.values())), (PAGES // 2, set()), "the child's copies")
    info = json.loads(run([QUIRE, "trace", "info", "--json", name]).out)["traces"][0]
    expect_equal(info["pages"], len({page for page, _, _, kind, _ in events if kind == REFERENCE}), "pages of the trace")


@case()
def what_the_kernel_copies():
    own, _, _ = record("kernel")
    writes = [page for page, write, _, _ in own if write]
    reads = [page for page, write, _, _ in own if not write]
    expect_equal(writes, list(range(PAGES)), "written by read(2)")
    expect_equal(reads, list(range(len(reads) - 1, -1, -1)), "read by write(2)")
    expect(len(reads) >= PAGES - 8, f"{len(reads)} reads")


@case()
def a_recording_is_a_trace():
    _, events, name = record("pages", window=16)
    out = name + ".qtrace"
    expect_run(run([QUIRE, "trace", "convert", name, out]), 0)
    info = json.loads(run([QUIRE, "trace", "info", "--json", out]).out)["traces"][0]
    references = [e for e in events if e[3] == REFERENCE]
    expect_equal(info["references"], len(references), "references")
    expect_equal(info["writes"], sum(e[4] & WRITES for e in references), "writes")
    expect_equal(info["filter"], 16, "the filter")
    result = expect_run(run([QUIRE, "sim", out, "--policy", "lru", "--frames", "100000", "--json", "--db", "none"]), 0)
    expect_equal(json.loads(result.out)["runs"][0]["faults"], info["pages"], "faults in a large memory")


@case()
def one_process_of_several():
    own, events, name = record("fork")
    child = max(one[2] for one in own)
    result = run([QUIRE, "trace", "info", "--json", "--process", str(child), name])
    info = json.loads(result.out)["traces"][0]
    expect_equal(info["references"], sum(e[3] == REFERENCE and e[2] == child for e in events), "references")
    result = run([QUIRE, "trace", "info", "--process", "77", name])
    expect(result.status == 2 and b"the file ends without a reference" in result.err, f"{result!r}")


@case()
def programs_run_as_ever_while_recorded():
    folder = harness.scratch()
    lines = "".join(f"{i * 7919 % 1009}\n" for i in range(1500))
    with open(os.path.join(folder, "numbers"), "w", encoding="ascii") as file:
        file.write(lines)
    script = "sort -n /share/numbers | md5sum; (sleep 0.1; echo b) & wait; cat /proc/self/status | grep -c Vm"
    plain = boot("--share", folder, "--", "sh", "-c", script, limit=50)
    name = os.path.join(folder, "out.events")
    recorded = boot("--share", folder, "--record", name, "--events", name + ".lines", "--", "sh", "-c", script, limit=55)
    expect_run(recorded, 0, plain.out)


@case()
def recordings_are_replayed():
    """Three pages too many for a machine of 60: some come back, and the report says whose."""
    _, _, name = record("up")
    replay = ("sim", name, "--replay", "--policy", "clock", "--frames", "40", "--json")
    one = json.loads(expect_run(run([QUIRE, *replay]), 0).out)["runs"][0]
    expect(one["first_touches"] > 64 and one["page_ins"] > 0, f"{one}")
    for figure in ("first_touches", "page_ins", "evictions"):
        expect_equal(sum(member[figure] for member in one["members"]), one[figure], figure)
    for words, expected in (
        (("--policy", "lru"), "reference bits"),
        (("--scope", "local", "--allocation", "pff"), "equal:strict or proportional:strict"),
        (("--mix",), "none of --mix"),
        (("--csv",), "--json"),
    ):
        refused = run([QUIRE, "sim", name, "--replay", "--frames", "9", *words])
        expect_equal(refused.status, 2, words)
        expect(expected in refused.err.decode(), f"{words}: {refused.err!r}")
    text = os.path.join(harness.scratch(), "text")
    with open(text, "w", encoding="ascii") as file:
        file.write("1 2 3")
    refused = run([QUIRE, "sim", text, "--replay", "--policy", "clock", "--frames", "9"])
    expect(refused.status == 2 and b"expected a recording" in refused.err, f"{refused!r}")


@case()
def wrong_recordings():
    folder = harness.scratch()
    head = HEAD.pack(b"\x89QEV\r\n\x1a\n", 2, 16, 4096, 0)
    one = EVENT.pack(1, PRIVATE, 0x5000, 1, REFERENCE, 0)
    wrong = [
        (head[:20], "the file ends after 20 bytes of its head, expected 32"),
        (HEAD.pack(b"\x89QEV\r\n\x1a\n", 3, 16, 4096, 0) + one, "a head of version 3 with pages of 4096 bytes, expected version 2 and 4096"),
        (head + one + one[:7], "at byte 64: the file ends after 7 bytes of an event, expected 32"),
        (head + EVENT.pack(1, 0, 5, 1, LOST, 0) + one, "at byte 32: 5 events are missing here, expected a recording that lost none"),
        (head + EVENT.pack(1, 0, 5, 1, 99, 0) + one, "at byte 32: an event of kind 99, expected one below"),
        (head + EVENT.pack(1, 1 << 52, 5, 1, REFERENCE, 0), "at byte 32: a page of object 1048576, expected one below 524288"),
        (head + one + EVENT.pack(1, 0, 5, 0, SHORT, 0), "at byte 64: memory was short from here on, expected a recording with more (--memory)"),
        (head, "the file ends without a reference, expected one at least"),
    ]
    for data, why in wrong:
        name = os.path.join(folder, "wrong")
        with open(name, "wb") as file:
            file.write(data)
        result = run([QUIRE, "trace", "info", name])
        expect(result.status == 2 and why.encode() in result.err, f"expected {why!r}, got {result!r}")


@case()
def pages_that_come_and_go():
    name = os.path.join(harness.scratch(), "events")
    words = ["--memory", "32M", "--swap", "128M", "--events", name, "--json"]
    result = expect_run(boot(*words, "--", os.path.join(GUEST, "guest-memhog"), "40", limit=50), 0)
    report = json.loads(result.err[result.err.index(b"{") :])
    events = events_of(name)

    def pages(kind):
        return sum(1 + event.get("more", 0) for event in events if event["event"] == kind)

    lost = sum(event["events"] for event in events if event["event"] == "lost")
    expect_equal(lost, 0, "lost events")
    expect_equal(pages("page-in"), report["swap"]["page_ins"] + report["paging"]["page_ins"], "page-ins")
    expect_equal(pages("page-out"), report["swap"]["page_outs"] + report["paging"]["write_backs"], "page-outs")
    expect_equal(pages("evict-dirty"), report["reclaim"]["evicted_dirty"], "dirty evictions")
    expect_equal(pages("refault"), report["reclaim"]["refaults"], "refaults")
    distances = [event["distance"] for event in events if event["event"] == "refault"]
    expect(len(distances) > 100 and min(distances) > 0, f"{len(distances)} distances")


@case()
def the_report_says_what_paging_did():
    hog = os.path.join(GUEST, "guest-memhog")
    words = ["--icount", "--memory", "32M", "--swap", "128M"]
    result = boot(*words, "--json", "--", hog, "50", limit=50)
    expect_run(result, 0)
    report = json.loads(result.err[result.err.index(b"{") :])
    swap, reclaim, time_ = report["swap"], report["reclaim"], report["over_time"]
    expect(report["policy"]["name"] == "clock" and report["policy"]["harvests"] > 0, f"policy: {report['policy']}")
    expect(swap["page_outs"] > 5000 and swap["page_ins"] > 3000, f"swap: {swap}")
    expect(reclaim["evicted_dirty"] >= 5000, f"reclaim: {reclaim}")
    distances = sum(bucket["count"] for bucket in reclaim["refault_distances"])
    expect(reclaim["refaults"] == distances > 3000, f"{reclaim['refaults']} refaults, {distances} by distance")
    program = [one for one in time_["processes"] if one["name"] == "guest-memhog"]
    expect(len(program) == 1 and program[0]["faults_major"] > 0, f"processes: {time_['processes']}")
    peak = max(program[0]["frames"])
    expect(4000 < peak <= program[0]["frames_peak"] < 8192, f"frames: {program[0]}")
    expect(4000 < time_["enrolled_mean"] <= time_["enrolled_most"] < 8192, f"enrolled: {time_}")
    expect_equal(len(time_["free"]), time_["samples"], "samples")
    worker = os.path.join(GUEST, "guest-worker")
    text = boot(*words, "--report", "-", "--", worker, "50", "40000", limit=50).err.decode()
    lines = [line for line in text.splitlines() if "guest-worker" in line and "|" in line]
    expect(len(lines) == 1 and ("*" in lines[0] or "#" in lines[0]), f"the chart: {lines}")


@case()
def wrong_options():
    nowhere = "/nonexistent/file"
    for words, why in (
        (("--events", nowhere), "--events: /nonexistent/file: No such file or directory"),
        (("--record", nowhere), "--record: /nonexistent/file: No such file or directory"),
        (("--record-window", "4"), "--record-window: expected 8 to 256 pages, got 4"),
        (("--record-window", "257"), "--record-window: expected 8 to 256 pages, got 257"),
    ):
        result = boot(*words, "--", "true", limit=20)
        expect(result.status == 2 and why.encode() in result.err, f"expected {why!r}, got {result!r}")


@case()
def a_full_disk():
    result = boot("--events", "/dev/full", "--", "ls", limit=30)
    expect(result.status == 2 and b"--events: /dev/full: No space left on device" in result.err, f"{result!r}")


harness.main()
