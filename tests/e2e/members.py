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


def run_reported(folder, *words, script, limit=110):
    """Runs a shell script in a small machine; its output's lines and the report."""
    path = os.path.join(folder, "report")
    result = boot("--share", folder, "--json", "--report", path, *words, "--", "sh", "-c", script, limit=limit)
    expect_run(result, 0)
    with open(path, encoding="utf-8") as file:
        return result.out.decode().split("\n"), json.load(file)


# Four programs that need 5 MiB each, a quarter of 10 MiB for each: all of them wait for pages nearly all the time.
FOUR = "for i in 1 2 3 4; do /share/worker 5 %d $i 200 & done; wait"
THRASHING = ("--icount", "--no-aslr", "--memory", "14M", "--swap", "64M", "--scope", "local")


@case(timeout=200)
def load_control_ends_thrashing():
    folder = tools("worker")
    script = FOUR % 25000
    expected, without = run_reported(folder, *THRASHING, script=script)
    events = os.path.join(folder, "events")
    sums, with_it = run_reported(folder, *THRASHING, "--load-control", "--events", events, script=script)
    expect_equal(sorted(sums), sorted(expected), "the sums")
    expect_equal(without["reclaim"]["swap_outs"], 0, "swapped out without load control")
    outs, ins = with_it["reclaim"]["swap_outs"], with_it["reclaim"]["swap_ins"]
    expect(outs >= 2 and outs == ins, f"swapped out {outs} times, in {ins} times")
    before, after = without["swap"]["page_ins"], with_it["swap"]["page_ins"]
    expect(before > 20000 and 2 * after < before, f"page-ins: {before} without, {after} with load control")
    with open(events, encoding="utf-8") as file:
        kinds = [event["event"] for event in map(json.loads, file)]
    # An event names a process: a member whose last one is ending has none.
    noted = kinds.count("swap-out"), kinds.count("swap-in")
    expect(2 <= noted[0] <= outs and 2 <= noted[1] <= ins, f"events {noted}, swapped {outs} and {ins} times")


# The first of four is in a group, and leaves it when all of the group's memory has gone. The shell is never swapped out, for it must see that.
LEAVES = """
cd /sys/fs/cgroup; mkdir first
(echo 0 > first/cgroup.procs; exec /share/worker 5 12000 1 200) & pid=$!
for i in 2 3 4; do /share/worker 5 12000 $i 200 & done
until read bytes < first/memory.current; [ $bytes -gt 2000000 ]; do usleep 2000; done
until read bytes < first/memory.current; [ $bytes -lt 200000 ]; do usleep 2000; done
echo $pid > cgroup.procs; echo left; wait
"""


@case(timeout=200)
def who_leaves_a_member_that_is_out_goes_on():
    """It is held because its member is out, and no longer when it is another one's."""
    folder = tools("worker")
    words = ("--load-control", "--class", "sh=vvip:1M", "--share", folder)
    expected = boot(*THRASHING, "--share", folder, "--", "sh", "-c", FOUR % 12000, limit=60)
    result = boot(*THRASHING, *words, "--", "sh", "-c", LEAVES, limit=60)
    expect_run(result, 0)
    expect_equal(sorted(result.out.split()), sorted(expected.out.split() + [b"left"]), "the sums")


# ---------------------------------------------------------------- classes

# A hog takes all memory and most of swap; when it has ended everybody looks at his pages again.
CLASSES = """
/share/kept 6 1000 1 0 /tmp/over & /share/held 3 1000 2 0 /tmp/over & /share/worker 7 1000 3 0 /tmp/over &
sleep 0.3; /share/memhog 45; echo hog $?; >/tmp/over; wait
"""


def hog_and_others():
    folder = tools("worker", "memhog")
    for name in ("kept", "held"):
        shutil.copy(os.path.join(folder, "worker"), os.path.join(folder, name))
    return folder


def kept_pages(scope):
    folder = hog_and_others()
    words = ("--memory", "24M", "--swap", "64M", "--scope", scope, "--class", "kept=vvip:8M", "--class", "held=vip:5M")
    lines, report = run_reported(folder, *words, script=CLASSES)
    expect("hog 0" in lines, f"the hog ends: {lines}")
    majors = {line.split(":")[0]: int(line.split()[1]) for line in lines if "major faults" in line}
    expect_equal(majors.get("/share/kept"), 0, "pages that the vvip lost")
    expect_equal(majors.get("/share/held"), 0, "pages that the vip lost")
    expect("/share/worker" in majors and (scope == "local" or majors["/share/worker"] > 20), f"an ordinary program loses pages: {lines}")
    expect(report["reclaim"]["evicted_dirty"] > 5000, f"{report['reclaim']}")


@case(timeout=200)
def classes_keep_their_pages_in_global_scope():
    kept_pages("global")


@case(timeout=200)
def classes_keep_their_pages_in_local_scope():
    kept_pages("local")


@case(timeout=100)
def only_the_hog_ends_when_swap_is_full():
    """Its own end needs a page (the C library has it clear its thread's number), which nobody waits for, and nobody else ends."""
    folder = hog_and_others()
    words = ("--memory", "24M", "--swap", "32M", "--class", "kept=vvip:8M", "--class", "held=vip:4M")
    result = boot("--share", folder, *words, "--", "sh", "-c", CLASSES.replace("memhog 45", "memhog 200"), limit=80)
    expect(result.status == 0 and b"hog 137\n" in result.out and b"/share/worker: " in result.out, repr(result))
    expect_equal(result.err.count(b"out of memory"), 1, repr(result))


# ---------------------------------------------------------------- scope

# Who has more, by need: 7 MiB are referenced all the time, beside two programs that have done their work with 1 MiB each and wait.
NEEDS = """
/share/small 1 2000 1 0 /tmp/over & /share/small 1 2000 2 0 /tmp/over &
sleep 0.2; /share/large 7 60000 3; >/tmp/over; wait
"""


def needs(*allocation):
    folder = tools("worker")
    for name in ("large", "small"):
        shutil.copy(os.path.join(folder, "worker"), os.path.join(folder, name))
    words = ("--icount", "--no-aslr", "--memory", "13M", "--swap", "32M", "--scope", "local", *allocation)
    lines, report = run_reported(folder, *words, script=NEEDS)
    expect_equal(len(lines), 4, f"sums: {lines}")
    most = max(process["frames_peak"] for process in report["over_time"]["processes"] if process["name"] == "large")
    return report, report["swap"]["page_ins"], most


@case(timeout=250)
def shares_follow_needs():
    """Equal shares, kept strictly, leave the large program short; page-fault frequency and proportional shares give it what others do not use."""
    equal, equal_ins, equal_most = needs("--allocation", "equal:strict")
    pff, pff_ins, pff_most = needs("--allocation", "pff:window=5000,strict")
    proportional, proportional_ins, proportional_most = needs("--allocation", "proportional:strict")
    for report, rule in ((equal, "equal"), (pff, "pff"), (proportional, "proportional")):
        expect_equal(report["policy"]["allocation"], rule, "the rule of the report")
    shown = f"page-ins {equal_ins}, {pff_ins}, {proportional_ins}; frames {equal_most}, {pff_most}, {proportional_most}; {pff['reclaim']}"
    expect(equal_ins > 2000 and 2 * pff_ins < equal_ins and 2 * proportional_ins < equal_ins, shown)


@case(timeout=100)
def what_nobody_uses_is_lent():
    """An equal share is no bound as long as there is memory: the large program has all that the small ones and the shell leave."""
    report, page_ins, most = needs("--allocation", "equal")
    expect(page_ins < 500, f"page-ins {page_ins}, frames {most}; {report['reclaim']}")


# Two programs that each want more than half; then the first one stops, and the other one needs more still, for much longer
# than the 100 ms of work after which the first is idle.
STOPPED = """
/share/small %d 1000 1 0 /tmp/over & pid=$!
sleep 0.2; kill -%s $pid; /share/large 8 300000 3; kill -CONT $pid; >/tmp/over; wait
"""


def beside(signal, megabytes):
    folder = tools("worker")
    for name in ("large", "small"):
        shutil.copy(os.path.join(folder, "worker"), os.path.join(folder, name))
    script = STOPPED % (megabytes, signal)
    lines, report = run_reported(folder, "--memory", "13M", "--swap", "32M", "--scope", "local", script=script)
    lost = [int(line.split()[1]) for line in lines if "major faults" in line]
    return report["swap"]["page_ins"], lost[0]


@case(timeout=200)
def the_idle_give_first():
    """One that is stopped gives what it has, also below its target; one that runs keeps its target."""
    idle_ins, idle_lost = beside("STOP", 3)
    running_ins, running_lost = beside("CONT", 3)
    shown = f"page-ins {idle_ins} and {running_ins}, lost {idle_lost} and {running_lost}"
    expect(idle_lost > 0 and running_lost == 0, shown)
    expect(2 * idle_ins < running_ins, shown)


# ---------------------------------------------------------------- groups

CONTROLS = """
cd /sys/fs/cgroup
mkdir small
cat small/memory.max small/memory.min small/memory.low small/memory.high small/memory.current small/memory.class small/cgroup.events
for v in 8M 12345678 1g 4k max; do echo $v > small/memory.max; cat small/memory.max; done
for v in -1 8X "" M 0x10 "8M 9M"; do (echo "$v" > small/memory.high) 2>/dev/null || echo refused; done
echo 2M > small/memory.low; cat small/memory.class; echo 1M > small/memory.min; cat small/memory.class small/memory.low
echo ordinary > small/memory.class; cat small/memory.min small/memory.low; (echo royal > small/memory.class) 2>/dev/null || echo refused
(echo 100G > small/memory.min) 2>/dev/null || echo refused; cat small/memory.min
mkdir small; mkdir small/inner; mkdir nowhere/inner; cat nothing/memory.max; rmdir nothing; rmdir cgroup.procs; > small/new; rm small/memory.max
(echo 99999 > small/cgroup.procs) 2>/dev/null || echo refused
sleep 100 & pid=$!
echo $pid > small/cgroup.procs; [ $(cat small/cgroup.procs) = $pid ] && echo inside; cat /proc/$pid/cgroup small/cgroup.events; rmdir small
echo 1 > small/cgroup.kill; wait $pid 2>/dev/null; echo $?; cat small/cgroup.procs; rmdir small && ls -d small
cat /proc/self/cgroup cgroup.controllers
"""
CONTROLS_SAY = """max
0
0
max
0
ordinary
populated 0
8388608
12345344
1073741824
4096
max
refused
refused
refused
refused
refused
refused
vip
vvip
2097152
0
0
refused
refused
0
mkdir: can't create directory 'small': File exists
mkdir: can't create directory 'small/inner': Resource temporarily unavailable
mkdir: can't create directory 'nowhere/inner': No such file or directory
cat: can't open 'nothing/memory.max': No such file or directory
rmdir: 'nothing': No such file or directory
rmdir: 'cgroup.procs': Not a directory
/bin/sh: can't create small/new: Operation not permitted
rm: can't remove 'small/memory.max': Operation not permitted
refused
inside
0::/small
populated 1
rmdir: 'small': Device or resource busy
137
ls: small: No such file or directory
0::/
memory
"""


@case(timeout=60)
def files_of_groups():
    result = boot("--memory", "32M", "--", "sh", "-c", "exec 2>&1" + CONTROLS, limit=50)
    for got, wanted in zip(result.out.decode().splitlines(), CONTROLS_SAY.splitlines()):
        expect_equal(got, wanted, "a line of the shell")
    expect_equal(len(result.out.splitlines()), len(CONTROLS_SAY.splitlines()), "lines")


BOUND = """
cd /sys/fs/cgroup; mkdir small; echo 6M > small/memory.max
(echo 0 > small/cgroup.procs; exec /share/worker 12 20000 1 200) & 
sleep 0.1; while [ -n "$(cat small/cgroup.procs)" ]; do cat small/memory.current; usleep 100000; done > /tmp/current
wait; sort -n /tmp/current | tail -n 1; for f in swap.current stat events pressure; do cat small/memory.$f; done
"""


@case(timeout=120)
def a_group_keeps_its_maximum():
    """A program of 12 MiB in a group that may have 6, in a machine with plenty: it swaps, and is right."""
    folder = tools("worker")
    expected = boot("--share", folder, "--", "/share/worker", "12", "20000", "1", limit=50)
    result = boot("--memory", "64M", "--swap", "64M", "--share", folder, "--", "sh", "-c", BOUND, limit=100)
    expect_run(result, 0)
    lines = result.out.decode().splitlines()
    expect(expected.out.decode().strip() in lines, f"the sum: {lines}")
    most = max(int(line) for line in lines[:3] if line.isdigit())
    expect((4 << 20) < most <= (6 << 20), f"the most that the group had: {lines}")
    values = {line.split()[0]: line.split()[1] for line in lines if len(line.split()) == 2}
    for name, least in (("max", 100), ("pgsteal", 3000), ("pgscan", 3000), ("pgfault", 3000), ("workingset_refault_anon", 1000), ("pgmajfault", 500)):
        expect(int(values[name]) >= least, f"{name}: {lines}")
    expect_equal(values["oom_kill"], "0", "ended for want of memory")
    stalls = [int(line.rsplit("=", 1)[1]) for line in lines if line.startswith("some ")]
    expect(len(stalls) == 1 and stalls[0] > 1000, f"microseconds of waiting: {lines}")


OUT = """
cd /sys/fs/cgroup; mkdir small; echo 6M > small/memory.max; /share/worker 10 1000 1 0 /tmp/over &
(echo 0 > small/cgroup.procs; exec /share/memhog 12); echo hog $?; >/tmp/over; wait; grep oom_kill small/memory.events
"""


@case(timeout=60)
def out_of_memory_in_a_group():
    """There is no swap: who wants more than his group may have ends, and not the larger program beside it."""
    result = boot("--memory", "64M", "--share", tools("worker", "memhog"), "--", "sh", "-c", OUT, limit=50)
    expect_run(result, 0)
    lines = result.out.decode().splitlines()
    expect(len(lines) == 3 and lines[0] == "hog 137" and "/share/worker" in lines[1] and lines[2] == "oom_kill 1", f"{result!r}")
    expect(b"memhog" in result.err, repr(result))


harness.main()
