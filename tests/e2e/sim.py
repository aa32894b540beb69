#!/usr/bin/python3
"""`quire sim`: tables, curves, working sets, results that are kept, and what it says of bad input."""

import array
import csv
import io
import json
import os
import random
import re
import resource
import sqlite3
import subprocess
import sys
import threading
import xml.etree.ElementTree

import harness
from harness import QUIRE, Terminal, case, expect, expect_equal, expect_run

BELADY = b"1 2 3 4 1 2 5 1 2 3 4 5\n"
TEXTBOOK = b"7 0 1 2 0 3 0 4 2 3 0 3 2 1 2 0 1 7 0 1\n"


def sim(*words, stdin=b"", env=None, keep=False):
    """quire sim, without results that others keep."""
    words = [str(word) for word in words] + ([] if keep else ["--db", "none"])
    return harness.run([QUIRE, "sim"] + words, stdin=stdin, timeout=100 * harness.SLOW, env=env)


def answer(*words, stdin=b"", **more):
    result = expect_run(sim(*words, "--json", stdin=stdin, **more), err=b"")
    return json.loads(result.out)


def runs(*words, stdin=b"", **more):
    """{(policy, frames): run}"""
    return {(run["policy"], run["frames"]): run for run in answer(*words, stdin=stdin, **more)["runs"]}


def random_trace(folder, references=20000, pages=400, seed=1, name="trace.txt"):
    """Text with writes: a hot part, a scan, and the rest."""
    chance, path = random.Random(seed), os.path.join(folder, name)
    words = []
    for i in range(references):
        kind = chance.random()
        page = chance.randrange(pages // 10) if kind < 0.6 else i % pages if kind < 0.75 else chance.randrange(pages)
        words.append(f"{page}w" if chance.random() < 0.2 else str(page))
    with open(path, "w", encoding="ascii") as file:
        file.write(" ".join(words) + "\n")
    return path


def raw_trace(folder, references, pages, seed=1, name="trace.raw64"):
    """Little-endian 64-bit page numbers, more of them small."""
    chance, path = random.Random(seed), os.path.join(folder, name)
    chunk = array.array("Q", (int(chance.random() ** 3 * pages) for _ in range(min(references, 200000))))
    with open(path, "wb") as file:
        while references > 0:
            file.write(chunk[:references].tobytes())
            references -= len(chunk)
    return path


@case()
def the_textbooks_figures():
    got = runs("-", "--policy", "fifo", "--frames", "3,4", stdin=BELADY)
    expect_equal((got["fifo", 3]["faults"], got["fifo", 4]["faults"]), (9, 10), "Belady's anomaly")
    got = runs("-", "--policy", "fifo,opt,lru", "--frames", 3, stdin=TEXTBOOK)
    expect_equal([got[name, 3]["faults"] for name in ("fifo", "opt", "lru")], [15, 9, 12], "7 0 1 2 at 3 frames")
    run = got["lru", 3]
    expect_equal((run["references"], run["pages"], run["trace"], run["write_backs"]), (20, 6, "-", 0), "the run")
    expect_equal(run["miss_ratio"], 0.6, "miss ratio")


@case()
def write_backs_are_counted():
    # 1w goes dirty, comes back clean, goes clean; 2 was never written.
    got = runs("-", "--policy", "fifo", "--frames", 1, stdin=b"1w 2 1 2 1w 1")["fifo", 1]
    expect_equal((got["faults"], got["write_backs"], got["writes"], got["evictions"]), (5, 1, 2, 4), "one frame")


@case()
def sizes_in_any_order():
    path = random_trace(harness.scratch())
    got = answer(path, "--policy", "lru", "--frames", "900,1,900,36", "--memory", "1M,148K,1024K")["runs"]
    expect_equal([run["frames"] for run in got], [256, 37, 900, 1, 36], "each size once, as it was asked for")
    faults = {run["frames"]: run["faults"] for run in got}
    expect(faults[1] >= faults[36] >= faults[37] >= faults[256] >= faults[900], "LRU has inclusion")
    expect_equal(faults[900], got[0]["pages"], "with room for all, each page faults once")
    expect_equal(got[0]["memory"], 256 * 4096, "memory")


@case()
def options_of_policies():
    path = random_trace(harness.scratch())
    got = answer(path, "--policy", "clock:load=clear,lru", "--policy", "clock:load=set,clock", "--frames", 40)["runs"]
    expect_equal([run["policy"] for run in got], ["clock:load=clear", "lru", "clock:load=set"], "clock once, as set is standard")
    expect(got[0]["faults"] != got[2]["faults"], "the option does something")


@case()
def opt_is_never_beaten():
    path = random_trace(harness.scratch())
    got = runs(path, "--policy", "all", "--frames", "1,7,50,200,1000")
    for (policy, frames), run in got.items():
        expect(run["faults"] >= got["opt", frames]["faults"], f"{policy} with {frames} frames")
        expect(run["references"] == 20000 and run["faults"] >= run["pages"], f"{policy}: counts")
    expect(len(got) >= 5 * 24, "all policies")


@case()
def a_table_and_csv_say_the_same():
    path = random_trace(harness.scratch())
    words = [path, "--policy", "fifo,lru", "--frames", "20,90"]
    wanted = answer(*words)["runs"]
    rows = list(csv.DictReader(io.StringIO(sim(*words, "--csv").out.decode())))
    table = sim(*words).out.decode()
    expect_equal(len(rows), 4, "rows")
    for row, run in zip(rows, wanted):
        for name in ("policy", "trace"):
            expect_equal(row[name], run[name], name)
        for name in ("frames", "faults", "references", "write_backs", "pages", "memory"):
            expect_equal(int(row[name]), run[name], name)
        expect(abs(float(row["miss_ratio"]) - run["faults"] / run["references"]) < 1e-9, "miss ratio")
        pattern = rf"{run['policy']} +{run['faults']:,} +{run['miss_ratio']:.6f} +{run['write_backs']:,} "
        expect(re.search(pattern, table), f"the table has {pattern!r}")


@case()
def the_modelled_time():
    got = runs("-", "--policy", "fifo", "--frames", 1, "--costs", "reference=1us,read=8ms,write=2s", stdin=b"1w 2 1")
    seconds = got["fifo", 1]["modelled_seconds"]
    expect(abs(seconds - (3e-6 + 3 * 8e-3 + 2)) < 1e-9, f"3 references, 3 faults, 1 write-back: {seconds}")


@case()
def intervals():
    path = random_trace(harness.scratch())
    faults = {answer(path, "--policy", "nfu", "--frames", 40, "--tick", tick)["runs"][0]["faults"] for tick in (10, 1000, 10**9)}
    expect(len(faults) == 3, f"a tick does something: {faults}")


@case()
def exact_curves_are_the_runs():
    path = random_trace(harness.scratch(), references=6000, pages=90)
    curves = {curve["policy"]: curve for curve in answer(path, "--curve", "--policy", "lru,opt")["curves"]}
    frames = ",".join(str(size) for size in range(1, 91))
    got = runs(path, "--policy", "lru,opt", "--frames", frames)
    for policy, curve in curves.items():
        expect(curve["exact"] and curve["points"][-1]["frames"] == curve["pages"] == 90, "to the end")
        points = {point["frames"]: point for point in curve["points"]}
        point = None
        for size in range(1, 91):
            point = points.get(size, point)  # a size without a point is like the one before
            run = got[policy, size]
            expect_equal(point["faults"], run["faults"], f"{policy} with {size}")
            if policy == "lru":
                expect_equal(point["write_backs"], run["write_backs"], f"write-backs of {policy} with {size}")
            expect(point["error"] == 0 and point["sample"] == 1, "exact")
        ratios = [point["miss_ratio"] for point in curve["points"]]
        expect(ratios == sorted(ratios, reverse=True), "monotone")


@case()
def sampled_curves_are_near():
    path = raw_trace(harness.scratch(), 400000, 30000)
    words = [path, "--format", "raw64", "--policy", "clock,lru", "--frames", "20,3000,8000"]
    truth = runs(*words)
    clock = answer(*words, "--curve", "--sample", "1/8")["curves"][0]
    expect_equal([point["sample"] for point in clock["points"]], [1, 0.125, 0.125], "a small size is not sampled")
    for point in clock["points"]:
        faults = truth["clock", point["frames"]]["faults"]
        expect(abs(point["faults"] - faults) < 0.05 * faults, f"{point} should be near {faults}")
        expect((point["error"] > 0) == (point["sample"] < 1), "the error")
    whole = answer(*words, "--curve", "--sample", "1")["curves"][0]
    for point in whole["points"]:
        expect_equal(point["faults"], truth["clock", point["frames"]]["faults"], "with all pages")


@case()
def pictures():
    folder = harness.scratch()
    path, picture = random_trace(folder), os.path.join(folder, "curve.svg")
    out = expect_run(sim(path, "--curve", "--policy", "lru,opt,clock", "--svg", picture, "--sample", "1/2"), err=b"").out.decode()
    lines = out.splitlines()
    expect(all(len(line) <= 80 for line in lines[1:]), "80 columns in a pipe")
    expect("a lru   b opt   c clock" in out and "miss ratio" in out, "names")
    plot = [line for line in lines if re.match(r"^[ 0-9.e-]{8} \|", line)]
    expect(len(plot) == 20 and any("a" in line for line in plot) and any("b" in line for line in plot), "a plot of 20 rows")
    root = xml.etree.ElementTree.parse(picture).getroot()
    space = "{http://www.w3.org/2000/svg}"
    expect_equal(root.tag, space + "svg", "the root")
    names = [line.find(space + "title").text for line in root.iter(space + "polyline")]
    expect_equal(names, ["lru", "opt", "clock"], "the curves in the SVG")
    for line in root.iter(space + "polyline"):
        points = [tuple(float(part) for part in point.split(",")) for point in line.get("points").split()]
        expect(len(points) > 5 and all(80 <= x <= 741 and 49 <= y <= 481 for x, y in points), "points within the plot")
    expect(any(True for _ in root.iter(space + "polygon")), "the error of what is sampled")
    expect_run(sim(path, "--working-set", "--svg", picture), err=b"")
    expect_equal(len(list(xml.etree.ElementTree.parse(picture).getroot().iter(space + "polyline"))), 4, "windows")


@case()
def working_sets():
    text = b"2 6 1 5 7 7 7 7 5 1 6 2 3 4 1 2 3 4 4 4 3 4 3 4 4 4 1 3 2 3 4 4 4 3 4 4 4"
    got = answer("-", "--working-set", "--tau", "10,2", "--fault-rate", "0.25", stdin=text)["working_sets"][0]
    sizes = {point["time"]: point["pages"] for point in got["windows"][0]["points"]}
    expect_equal((sizes[10], sizes[26]), (5, 2), "W(t, 10) of Silberschatz, Galvin and Gagne at t1 and t2")
    pages = text.split()
    for window in got["windows"]:
        sets = [len(set(pages[max(0, t - window["tau"]):t])) for t in range(1, len(pages) + 1)]
        faults = sum(pages[t] not in pages[max(0, t - window["tau"]):t] for t in range(len(pages)))
        expect_equal([point["pages"] for point in window["points"]], sets, "W over time")
        expect(abs(window["mean_pages"] - sum(sets) / len(sets)) < 1e-9, "the mean")
        expect_equal(window["faults"], faults, "faults")
    need = got["need"]
    frames = need["lru"]["frames"]
    lru = runs("-", "--policy", "lru", "--frames", f"{frames},{frames - 1}", stdin=text)
    expect(lru["lru", frames]["miss_ratio"] <= 0.25 < lru["lru", frames - 1]["miss_ratio"], "the least memory")
    expect(need["working_set"]["miss_ratio"] <= 0.25, "the window")
    out = expect_run(sim("-", "--working-set", "--fault-rate", "1%", stdin=text), err=b"").out
    expect(b"no memory is enough: 7 pages come for the first time" in out, "what cannot be had")
    rows = sim("-", "--working-set", "--tau", 3, "--csv", stdin=text).out.decode().splitlines()
    expect_equal((rows[0], rows[1], len(rows)), ("trace,tau,time,pages", "-,3,1,1", 38), "CSV")


@case()
def several_traces():
    folder = harness.scratch()
    paths = [random_trace(folder, seed=seed, pages=100 * seed, name=f"{seed}.txt") for seed in (1, 2, 3)]
    together = answer(*paths, "--policy", "lru,2q", "--frames", "9,80")["runs"]
    alone = [run for path in paths for run in answer(path, "--policy", "lru,2q", "--frames", "9,80")["runs"]]
    expect_equal(together, alone, "several traces, and each alone")
    expect_equal(together, answer(*paths, "--policy", "lru,2q", "--frames", "9,80", "--jobs", 1)["runs"], "one thread")
    out = sim(*paths, "--policy", "lru", "--frames", 9).out.decode()
    expect(all(f"{path}: 20,000 references" in out for path in paths), "a head for each trace")


@case()
def results_are_kept():
    folder = harness.scratch()
    path, database = random_trace(folder), os.path.join(folder, "new", "results.sqlite")
    words = [path, "--policy", "lru,random,clock", "--frames", "30,60", "--db", database]
    first = answer(*words, keep=True)
    with sqlite3.connect(database) as file:
        expect_equal(file.execute("SELECT count(*) FROM result").fetchone()[0], 6, "rows")
        # What is found is what is shown.
        file.execute("UPDATE result SET faults = 12345 WHERE policy LIKE 'lru%' AND frames = 30")
    again = answer(*words, keep=True)
    expect_equal(again["runs"][0]["faults"], 12345, "kept, not run again")
    first["runs"][0].update(faults=12345, miss_ratio=again["runs"][0]["miss_ratio"],
                            modelled_seconds=again["runs"][0]["modelled_seconds"])
    expect_equal(again, first, "all others")
    answer(*words, "--seed", 2, keep=True)
    with sqlite3.connect(database) as file:
        expect_equal(file.execute("SELECT count(*) FROM result").fetchone()[0], 12, "another seed is another run")
    with open(path, "a", encoding="ascii") as file:
        file.write("1\n")
    expect(answer(*words, keep=True)["runs"][0]["faults"] != 12345, "another trace under the same name")


@case()
def where_results_are_kept():
    folder = harness.scratch()
    path, cache = random_trace(folder), os.path.join(folder, "cache")
    env = {"XDG_CACHE_HOME": cache}
    sim(path, "--frames", 30, env=env)
    expect(not os.path.exists(cache), "--db none keeps nothing")
    expect_run(sim(path, "--frames", 30, env=env, keep=True), err=b"")
    expect(os.path.exists(os.path.join(cache, "quire", "results.sqlite")), "the standard place")
    expect_run(sim(path, "--frames", 31, env={"XDG_CACHE_HOME": "/proc/nowhere"}, keep=True), err=b"")
    with open(os.path.join(folder, "junk"), "wb") as file:
        file.write(b"this is no database, and long enough for its head to be looked at" * 20)
    result = sim(path, "--frames", 30, "--db", os.path.join(folder, "junk"), keep=True)
    expect(result.status == 2 and b"junk: file is not a database" in result.err, f"junk: {result!r}")
    other = os.path.join(folder, "other.sqlite")
    with sqlite3.connect(other) as file:
        file.execute("PRAGMA user_version = 77")
    result = sim(path, "--frames", 30, "--db", other, keep=True)
    expect(result.status == 2 and b"has number 77, expected 2" in result.err, f"another layout: {result!r}")


@case()
def two_at_a_time_in_one_file():
    folder = harness.scratch()
    path, database = random_trace(folder), os.path.join(folder, "results.sqlite")
    results = []
    threads = [threading.Thread(target=lambda: results.append(sim(path, "--policy", "all", "--frames", "9,99", "--db", database, keep=True)))
               for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        expect_run(result, err=b"", out=results[0].out)


@case()
def progress_on_a_terminal_only():
    folder = harness.scratch()
    path = raw_trace(folder, 3000000, 50000)
    words = [QUIRE, "sim", path, "--format", "raw64", "--policy", "lirs,arc,opt,w-tinylfu,lru-2", "--frames", "100,1000,10000", "--db", "none",
             "--jobs", "1"]
    terminal = Terminal(words)
    terminal.wait_for(r"\[#*\.*\] +\d+ %", seconds=60)
    terminal.wait_for(r"\d:\d\d left", seconds=60)
    terminal.wait_for(r"w-tinylfu", seconds=100)
    expect_equal(terminal.finish(), 0, "status")
    terminal.close()


@case()
def memory_does_not_grow_with_the_trace():
    folder, used = harness.scratch(), []
    for references in (300000, 6000000):
        path = raw_trace(folder, references, 20000)
        pid = os.fork()
        if pid == 0:
            os.dup2(os.open("/dev/null", os.O_WRONLY), 1)
            os.execv(QUIRE, [QUIRE, "sim", path, "--format", "raw64", "--policy", "clock,lru,lirs", "--frames", "500,5000", "--db", "none"])
        _, status, usage = os.wait4(pid, 0)
        expect_equal(status, 0, "status")
        used.append(usage.ru_maxrss)
    expect(used[1] < used[0] * 1.3 + 2048, f"KiB for 0.3 and 6 million references: {used}")


@case()
def a_pipe():
    path = random_trace(harness.scratch())
    with open(path, "rb") as file:
        text = file.read()
    wanted = runs(path, "--policy", "lru,opt,clock", "--frames", "9,80")
    got = runs("-", "--policy", "lru,opt,clock", "--frames", "9,80", stdin=text)
    for key, run in wanted.items():
        run["trace"] = "-"
        expect_equal(got[key], run, f"{key} through a pipe")
    curve = answer("-", "--curve", "--policy", "lru,clock", stdin=text)["curves"]
    wanted = answer(path, "--curve", "--policy", "lru,clock")["curves"]
    expect_equal([one["points"] for one in curve], [one["points"] for one in wanted], "curves through a pipe")
    done = subprocess.run(["bash", "-c", f"{QUIRE} sim --curve --policy lru --csv --db none <(cat {path})"], capture_output=True, check=False)
    expect(done.returncode == 0 and done.stdout.count(b"\n") > 100, f"a named pipe: {done.stderr!r}")


@case()
def an_empty_trace_and_one_reference():
    for words in ((), ("--curve",), ("--working-set",)):
        result = sim("-", "--policy", "lru", "--frames", 3, *words, stdin=b"")
        expect(result.status == 2 and b"at byte 0: the file is empty" in result.err and not result.out, f"empty: {result!r}")
        expect(b"/proc" not in result.err, f"the name of the copy: {result!r}")
        result = sim("-", "--policy", "lru,opt,clock", "--frames", 3, *words, stdin=b"9")
        expect_run(result, err=b"")
    got = runs("-", "--policy", "all", "--frames", "1,5", stdin=b"9")
    expect(all(run["faults"] == 1 and run["miss_ratio"] == 1 for run in got.values()), "one reference")


BAD = [
    (["--frames", "3"], "the name of a trace"),
    (["T"], "--memory or --frames"),
    (["T", "--frames", "0"], "--frames: expected numbers of pages from 1"),
    (["T", "--frames", "3,x"], "got 'x'"),
    (["T", "--frames", "99999999999"], "got '99999999999'"),
    (["T", "--memory", "16Q"], "--memory: expected sizes such as 512K,16M, got '16Q'"),
    (["T", "--memory", "2K"], "2K is less than one page of 4K"),
    (["T", "--frames", "3", "--policy", "lru,nosuch"], "'nosuch': expected the name of a policy, one of:"),
    (["T", "--frames", "3", "--policy", "clock:nosuch=3"], "'nosuch=3': expected an option of this policy"),
    (["T", "--frames", "3", "--policy", "clock:load=green"], "clear set"),
    (["T", "--frames", "3", "--policy", ""], "--policy"),
    (["T", "--frames", "3", "--page-size", "3000"], "--page-size: expected a power of two"),
    (["T", "--frames", "3", "--costs", "read=5"], "--costs: 'read=5'"),
    (["T", "--frames", "3", "--costs", "seek=5ms"], "--costs: 'seek=5ms'"),
    (["T", "--frames", "3", "--json", "--csv"], "one of --json and --csv"),
    (["T", "--frames", "3", "--jobs", "9999"], "--jobs: expected at most"),
    (["T", "--frames", "3", "--tick", "often"], "--tick: expected a whole number, got 'often'"),
    (["T", "--frames", "3", "--svg", "x.svg"], "--svg: expected --curve or --working-set"),
    (["T", "--curve", "--working-set"], "one of --curve and --working-set"),
    (["T", "--curve", "--sample", "2"], "--sample: expected a part such as 1/8"),
    (["T", "--curve", "--sample", "1/0"], "--sample"),
    (["T", "--curve", "--seeds", "1"], "--seeds: expected a number from 2"),
    (["T", "--curve", "--svg", "/nosuch/folder/x.svg"], "/nosuch/folder/x.svg: No such file"),
    (["T", "--working-set", "--tau", "0"], "--tau: expected up to 8 numbers"),
    (["T", "--working-set", "--tau", "1,2,3,4,5,6,7,8,9"], "got '9'"),
    (["T", "--working-set", "--fault-rate", "200%"], "--fault-rate"),
    (["T", "--frames", "3", "--format", "nosuch"], "--format: expected"),
    (["T", "--frames", "3", "--address-bits", "65"], "--address-bits: expected at most 64"),
    (["T", "--frames", "3", "--address-bits", "13"], "13 bits"),
    (["T", "--frames", "3", "--nosuch"], "--nosuch: no such option"),
    (["/nosuch/trace", "--frames", "3"], "/nosuch/trace: "),
    (["T", "/nosuch/trace", "--frames", "3"], "/nosuch/trace: "),
    (["/", "--frames", "3"], "/: "),
]


@case()
def bad_words():
    path = random_trace(harness.scratch(), references=100)
    for words, message in BAD:
        result = sim(*[path if word == "T" else word for word in words])
        expect(result.status == 2, f"{words}: expected status 2, got {result!r}")
        expect(message in result.err.decode(), f"{words}: expected {message!r}, got {result!r}")
        expect(b"faults" not in result.out, f"{words}: a result all the same: {result!r}")


@case()
def bad_traces():
    folder = harness.scratch()
    good = random_trace(folder)
    for name, content, place in (("cut.raw64", bytes(8 * 5000 + 3), "at byte 40000"), ("text.txt", b"1 2 3 oops 5", "at byte 6"),
                                 ("half.txt", b"1 2 3 \xff\xfe", "at byte 6")):
        path = os.path.join(folder, name)
        with open(path, "wb") as file:
            file.write(content)
        for words in (["--policy", "all", "--frames", "3,50"], ["--curve", "--policy", "opt,clock"], ["--working-set"]):
            form = "raw64" if name.endswith("raw64") else "text"
            for more in ([], ["--json"], ["--csv"]):
                result = sim(path, "--format", form, *words, *more)
                expect(result.status == 2 and path in result.err.decode() and place in result.err.decode(), f"{name} {words}: {result!r}")
                expect(result.out.count(b"\n") <= 1, f"{name}: no partial result: {result!r}")
    result = sim(good, path, "--frames", 3, "--format", "text")
    expect(result.status == 2 and not result.out, f"one bad trace of two: {result!r}")


@case()
def csv_columns():
    path = os.path.join(harness.scratch(), "t.csv")
    with open(path, "w", encoding="ascii") as file:
        file.write("5,9,1\n5,9,2\n5,9,1\n")
    got = runs(path, "--format", "csv", "--columns", "time-col=1,obj-id-col=3,obj-size-col=2", "--policy", "lru", "--frames", 1)
    expect_equal((got["lru", 1]["faults"], got["lru", 1]["pages"]), (3, 2), "the third column")


@case()
def a_full_disk():
    with open("/dev/full", "wb") as full:
        done = subprocess.run([QUIRE, "sim", "-", "--frames", "3", "--db", "none"], input=BELADY, stdout=full, stderr=subprocess.PIPE, check=False)
    expect(done.returncode == 1 and b"standard output: No space left" in done.stderr, f"{done}")


@case()
def help_names_every_option():
    text = harness.run([QUIRE, "help", "sim"]).out.decode()
    for word in ("--policy", "--memory", "--frames", "--curve", "--sample", "--svg", "--working-set", "--db", "--json"):
        expect(word in text, word)
    expect(all(len(line) <= 120 for line in text.splitlines()), "lines of at most 120 characters")


os.environ["XDG_CACHE_HOME"] = "/dev/null/none"  # no case sees the user's results, or leaves any
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
sys.exit(harness.main())
