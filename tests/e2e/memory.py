#!/usr/bin/python3
"""Memory: files larger than the machine, dirty pages that reach the host, the report, and the end of memory."""

import json
import os
import random
import shutil
import struct
import subprocess

import harness
from harness import boot, case, expect, expect_equal, expect_run

GUEST = os.path.join(harness.BUILD, "tests", "guest")


def tool(name):
    path = os.path.join(GUEST, "guest-" + name)
    if not os.path.exists(path):
        raise harness.Skip(f"{path} is not built")
    return path


def report_of(result):
    """The JSON at the end of standard error."""
    text = result.err.decode()
    start = text.index("{")
    return json.loads(text[start:])


def numbers_file(path, mebibytes):
    """64-bit numbers; gives the line that mapsum prints."""
    block = 1 << 20
    pattern = random.Random(5).randbytes(block)
    total = 0
    base = sum(struct.unpack(f"<{block // 8}Q", pattern))
    with open(path, "wb") as file:
        for i in range(mebibytes):
            file.write(struct.pack("<Q", i) + pattern[8:])
            total += base - struct.unpack_from("<Q", pattern)[0] + i
    return f"{mebibytes * block} bytes, sum {total % (1 << 64):016x}\n".encode()


@case(timeout=280)
def file_larger_than_memory_is_summed():
    folder = harness.scratch()
    line = numbers_file(os.path.join(folder, "big"), 300)
    result = boot("--memory", "64M", "--share", folder, "--json", "--", tool("mapsum"), "/share/big", limit=270)
    expect_run(result, 0, line)
    report = report_of(result)
    expect(report["paging"]["page_ins"] >= 300 * 256, f"page-ins: {report['paging']}")
    expect(report["paging"]["drops"] >= 200 * 256, f"drops: {report['paging']}")


@case(timeout=280)
def dirty_pages_reach_the_host():
    folder = harness.scratch()
    path = os.path.join(folder, "data")
    count = 100 << 20
    result = boot("--memory", "32M", "--share", folder, "--json", "--", tool("mapdirty"), "/share/data", str(count), limit=270)
    expect_run(result, 0)
    report = report_of(result)
    expect(report["paging"]["write_backs"] >= 100 * 256, f"write-backs: {report['paging']}")
    expect_run(harness.run([tool("mapsum"), path]), 0, result.out)
    with open(path, "rb") as file:
        for at in (0, 8, 4096, 12345 * 8, count - 8):
            file.seek(at)
            expect_equal(struct.unpack("<Q", file.read(8))[0], (at // 8 + 1) * 0x9E3779B97F4A7C15 % (1 << 64), f"the word at {at}")


@case(timeout=120)
def report_is_plausible():
    result = boot("--memory", "64M", "--json", "--", "sh", "-c", "for i in 1 2 3 4 5; do busybox true; done", limit=100)
    expect_run(result, 0, b"")
    report = report_of(result)
    frames, faults, tables = report["frames"], report["faults"], report["tables"]
    expect(10000 < frames["total"] <= 16384, f"frames of 64 MB: {frames}")
    parts = sum(value for name, value in frames.items() if name not in ("total", "zeroed", "reserve"))
    expect(parts <= frames["total"], f"more frames by use than there are: {frames}")
    expect(0 < frames["free"] < frames["total"], f"free frames: {frames}")
    expect(faults["all"] >= faults["zero"] + faults["copy"] > 0, f"faults: {faults}")
    expect(faults["minor"] > 0, f"pages of the program are there from the start: {faults}")
    expect(tables["frames"] <= tables["frames_peak"] and 5 < tables["frames_peak"] < 2000, f"tables: {tables}")
    expect(tables["shares"] > 0, f"fork shares tables: {tables}")
    expect(report["tlb"]["switches_kept"] + report["tlb"]["switches_flushed"] > 0, f"{report['tlb']}")


@case(timeout=120)
def report_as_a_table():
    path = os.path.join(harness.scratch(), "report")
    expect_run(boot("--report", path, "--", "busybox", "true", limit=100), 0, b"", b"")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    for word in ("frames", "faults", "page ins", "write backs", "copies", "reuses", "tables", "flush"):
        expect(word in text, f"no {word} in {text}")


@case(timeout=60)
def file_systems_in_memory_have_half_of_it_each():
    """What they are full of is counted: by writing, by mapping, by fallocate; it comes back when it is cut off or removed, also after swap. Other
    file systems, and files that are in none, do not count."""
    folder = harness.scratch()
    for name in ("mapdirty", "memfd"):
        shutil.copy(tool(name), os.path.join(folder, name))
    script = """cd /tmp
dd if=/dev/zero of=a bs=100k count=200 2> /dev/null; echo dd $?
size=$(stat -c %s a); half=$(($(stat -f -c %b .) * 4096)); echo full $((size == half)) $(stat -f -c %f .)
echo x > b; echo echo $?
cat b; stat -c %s b
echo 1234 > /dev/shm/c; cat /dev/shm/c
/share/memfd > /share/out; echo memfd $?
fallocate -l 8192 /dev/shm/d; echo fallocate $?
fallocate -l 100M /dev/shm/e; echo fallocate $?; stat -c %s /dev/shm/e
truncate -s $((half - 8192)) a; stat -f -c %f .
echo x > b; /share/mapdirty m 4096; /share/mapdirty n 40960; echo mapdirty $?; stat -f -c %f .
rm *; stat -f -c "%f of %b" . > /share/free; /share/mapdirty m 10000000; rm m; stat -f -c "%f of %b" . >> /share/free
"""
    result = boot("--memory", "24M", "--swap", "64M", "--check", "--share", folder, "--", "sh", "-c", script, limit=50)
    expect_equal(result.status, 0, repr(result))
    with open(os.path.join(folder, "out"), "rb") as out:
        expect_equal(out.read(), harness.run([tool("memfd")]).out, "memfd, with /tmp full")
    with open(os.path.join(folder, "free"), "rb") as free:
        lines = free.read().split(b"\n")
    expect(lines[0] == lines[1] and lines[0].split()[0] == lines[0].split()[2], f"all is free again: {lines}")
    said = [line for line in result.out.decode().splitlines() if "sum" not in line]
    expect_equal(said, ["dd 1", "full 1 0", "echo 1", "0", "1234", "memfd 0", "fallocate 0", "fallocate 1", "0", "2", "mapdirty 135", "0"],
                 f"what the shell says: {result!r}")


@case(timeout=200)
def out_of_memory_ends_the_largest():
    """A shell lives on when the program that it started has taken all memory."""
    script = "/share/memhog 1000; echo status $?; seq 1 1000 | sort -n | tail -n 1"
    folder = harness.scratch()
    shutil.copy(tool("memhog"), os.path.join(folder, "memhog"))
    result = boot("--memory", "32M", "--share", folder, "--", "sh", "-c", script, limit=190)
    expect_equal(result.status, 0, f"status of {result!r}")
    expect(b"status 137\n1000\n" in result.out, repr(result))
    expect(b"out of memory" in result.err.lower(), f"no message in {result!r}")


@case(timeout=200)
def out_of_memory_of_the_first_program():
    result = boot("--memory", "32M", "--", tool("memhog"), "1000", limit=190)
    expect_equal(result.status, 137, f"status of {result!r}")
    expect(b"out of memory" in result.err.lower(), f"no message in {result!r}")


@case(timeout=120)
def out_of_memory_in_a_copy_with_a_signal_pending():
    """Who reads into memory while there is none gets all that he reads, though a signal waits for him: another ends, and the copy goes on."""
    result = boot("--memory", "32M", "--", tool("oomtest"), "signals", limit=100)
    expect_run(result, 0, b"pages read: 1024\na signal came: yes\nthe holder was ended: yes\n")


@case(timeout=60)
def out_of_memory_in_a_system_call():
    """A call that finds no memory for itself is no error, either: another ends, and the call goes on."""
    result = boot("--memory", "32M", "--", tool("oomtest"), "calls", limit=50)
    expect_run(result, 0, b"processes: the holder was ended: yes\npipes: the holder was ended: yes\na file: the holder was ended: yes\n")


@case(timeout=120)
def memory_that_is_given_up_is_used_again():
    """MADV_FREE: more than the machine has, with swap and without, and not a page of it is written."""
    for words in ((), ("--swap", "16M")):
        result = boot("--memory", "32M", "--report", "-", "--json", *words, "--", tool("memhog"), "80", "free", limit=50)
        expect_run(result, 0, b"80 MiB touched, 0 pages wrong\nsome are gone: yes\n")
        written = report_of(result)["reclaim"]["evicted_dirty"]
        expect(written < 4000, f"{written} of 20480 pages were written")  # the files of the initramfs, most of them


@case(timeout=120)
def no_aslr_repeats():
    script = "cat /proc/self/maps"
    first = boot("--no-aslr", "--", "sh", "-c", script, limit=100)
    second = boot("--no-aslr", "--", "sh", "-c", script, limit=100)
    expect_run(first, 0, second.out)
    expect(b"[stack]" in first.out and b"[heap]" in first.out and b"/bin/busybox" in first.out, f"maps: {first.out!r}")
    stack = lambda text: [line for line in text.splitlines() if b"[stack]" in line]
    places = {stack(boot("--", "sh", "-c", script, limit=100).out)[0] for _ in range(3)}
    expect(len(places) > 1, "the stack is at the same place each time")


@case(timeout=120)
def counted_instructions_repeat():
    """With --icount two runs give the same figures, to the digit, from the program's first instruction on. (Before
    it the kernel polls a device now and then, which answers in the host's time.)"""
    words = ("--icount", "--no-aslr", "--json", "--", "sh", "-c", "i=0; while [ $i -lt 20 ]; do busybox true; i=$((i+1)); done; seq 1 500 | sort | wc -l")
    first, second = boot(*words, limit=50), boot(*words, limit=50)
    expect_run(first, 0, b"500\n")
    reports = [report_of(first), report_of(second)]
    for report in reports:
        times = report.pop("boot")
        report["run"] = times["now_tsc"] - times["first_user_tsc"]
        expect(times["first_user_tsc"] < 40000000, f"instructions to the program's first: {times}")
    expect_equal(reports[1], reports[0], "the report")


@case(timeout=120)
def dump_of_a_running_machine():
    runtime = harness.scratch()
    process = subprocess.Popen([harness.QUIRE, "boot", "--timeout", "110", "--", "sh", "-c", "echo ready; sleep 100"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=dict(os.environ, XDG_RUNTIME_DIR=runtime))
    expect_equal(process.stdout.read(6), b"ready\n", "output")
    try:
        quire = lambda *words: harness.run([harness.QUIRE, "dump", *words], timeout=60, env={"XDG_RUNTIME_DIR": runtime})
        kernel, first, listed, none = quire("kernel"), quire("1"), quire(), quire("9999")
    finally:
        process.terminate()
        process.wait(20)
    expect_run(kernel, 0)
    expect(len(kernel.out.splitlines()) > 5, f"the kernel's tree: {kernel!r}")
    expect_run(first, 0)
    expect(len(first.out.splitlines()) > 5 and first.out != kernel.out, f"the tree of process 1: {first!r}")
    expect_run(listed, 0)
    expect(b"1 sleep" in listed.out, f"the processes: {listed!r}")
    expect_run(none, 2, b"", b"quire: dump: 9999: no such process\n")


@case(timeout=120)
def meminfo_and_statm():
    result = boot("--memory", "64M", "--", "sh", "-c", "grep -E '^(MemTotal|MemFree):' /proc/meminfo; free -k | head -n 2; cat /proc/self/statm", limit=100)
    expect_run(result, 0)
    total = int(result.out.split()[1])
    expect(50000 < total <= 65536, f"MemTotal: {result.out!r}")


harness.main()
