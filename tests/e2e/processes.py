#!/usr/bin/python3
"""quire sim --mix and --tlb, and quire pagesize: several processes in one memory, TLBs, page sizes."""

import json
import os

import harness
from harness import case, expect, expect_equal, run


def loop(folder, name, pages, times, suffix=""):
    """A text trace: so many pages, one after the other, so many times."""
    path = os.path.join(folder, name + ".txt")
    with open(path, "w", encoding="ascii") as file:
        file.write(" ".join(f"{i % pages}{suffix}" for i in range(pages * times)) + "\n")
    return path


def quire(*words, status=0, what=None):
    result = run([harness.QUIRE, *words], timeout=60)
    expect_equal(result.status, status, f"status of quire {' '.join(words)}: {result!r}")
    if what is not None:
        expect(what in result.err.decode(), f"expected '{what}' on standard error: {result!r}")
        expect_equal(result.out, b"", "output of a command that fails")
    return result.out.decode()


def mix(*words):
    """The runs of `quire sim --mix ... --json`."""
    return json.loads(quire("sim", "--mix", *words, "--json"))["runs"]


@case()
def thrashing_and_load_control_ending_it():
    folder = harness.scratch()
    traces = [loop(folder, name, 40, 250) for name in ("one", "two", "three", "four")]
    words = [*traces, "--frames", "100", "--policy", "clock", "--quantum", "40"]
    (before,) = mix(*words)
    (after,) = mix(*words, "--load-control", "--window", "200", "--turn", "5000")

    # Any two of them fit, all four do not: every reference faults, until load control lets two run at a time.
    expect_equal(before["references"], 40000, "references")
    expect_equal(before["faults"], 40000, "faults without load control")
    expect(after["faults"] < 2000, f"faults with load control: {after['faults']}")
    expect(before["busy"] < 0.01 and after["busy"] > 0.02, f"busy: {before['busy']}, {after['busy']}")
    expect(after["swap_outs"] >= 2, "somebody is swapped out")
    expect_equal(after["swap_ins"], after["swap_outs"], "who goes comes back")
    for process in after["processes"]:
        expect_equal(process["references"], 10000, "everybody runs to the end")


@case()
def classes_protect():
    folder = harness.scratch()
    small, large = loop(folder, "small", 10, 200), loop(folder, "large", 200, 10)
    words = [small, large, "--frames", "60", "--policy", "lru", "--quantum", "100"]
    faults = {}
    for name in ("ordinary", "vip:40K", "vvip:40K"):
        (one,) = mix(*words, "--class", "small=" + name)
        faults[name] = one["processes"][0]["faults"]
    expect(faults["ordinary"] > 100, f"an ordinary process loses its pages: {faults}")
    expect_equal((faults["vip:40K"], faults["vvip:40K"]), (10, 10), "faults of a protected process")


@case()
def allocation_rules():
    folder = harness.scratch()
    small, large = loop(folder, "small", 10, 400), loop(folder, "large", 30, 400)
    words = [small, large, "--frames", "40", "--policy", "fifo", "--scope", "local", "--quantum", "100"]

    def frames(rule):
        (one,) = mix(*words, "--allocation", rule)
        return [process["most_frames"] for process in one["processes"]], one["faults"]

    equal, proportional = frames("equal"), frames("proportional")
    expect_equal(equal[0][0], 10, "frames of the small one")
    expect(equal[1] > 4000, f"20 frames are too few for the large one: {equal}")
    expect_equal(proportional, ([10, 30], 40), "40 frames for processes of 10 and 30 pages")
    pff = frames("pff:low=1000,high=10000,window=500")
    expect(pff[0][1] == 30 and pff[1] < equal[1], f"page-fault frequency gives the large one what it needs: {pff}")


@case()
def global_scope_is_the_interleaved_trace():
    folder = harness.scratch()
    one, two = loop(folder, "one", 7, 30), loop(folder, "two", 10, 21)
    both = os.path.join(folder, "both")
    with open(both, "w", encoding="ascii") as file:
        for i in range(0, 210, 5):
            file.write(" ".join(str(j % 7) for j in range(i, i + 5)) + "\n")
            file.write(" ".join(str(100 + j % 10) for j in range(i, i + 5)) + "\n")
    for policy in ("fifo", "lru", "clock"):
        (mixed,) = mix(one, two, "--frames", "12", "--policy", policy, "--quantum", "5")
        plain = json.loads(quire("sim", both, "--frames", "12", "--policy", policy, "--json", "--db", "none"))["runs"][0]
        expect_equal(mixed["faults"], plain["faults"], f"faults of {policy}")


@case()
def tlb_by_hand():
    folder = harness.scratch()
    trace = loop(folder, "trace", 4, 2)

    def tlb(shape, *more):
        return json.loads(quire("sim", trace, "--tlb", shape, *more, "--json"))["runs"][0]

    # Four faults; each first access walks twice. With four entries the second round hits, with two it walks.
    fits, misses = tlb("entries=4"), tlb("entries=2")
    expect_equal((fits["faults"], fits["walks"], fits["tlb_hits"]), (4, 8, 4), "four entries")
    expect_equal((misses["faults"], misses["walks"], misses["tlb_hits"]), (4, 12, 0), "two entries")
    expect_equal(misses["walk_reads"] - fits["walk_reads"], 16, "four walks of four levels")
    huge = tlb("entries=2", "--huge-pages")
    expect_equal((huge["faults"], huge["tlb_hits"], huge["huge_pages_made"]), (1, 7, 1), "one huge page")
    expect_equal(tlb("entries=2", "--page-size", "2M"), huge, "the same by --page-size")
    limited = tlb("entries=4", "--frames", "3", "--policy", "fifo")
    expect_equal((limited["faults"], limited["evictions"]), (8, 5), "three frames")


@case()
def page_sizes():
    formula = json.loads(quire("pagesize", "--size", "1M", "--entry", "8", "--json"))
    expect_equal((formula["best"], formula["best_page_size"]), (4096.0, 4096), "the best page for 1 MB and 8 bytes")
    expect("4096 bytes; of these sizes 4K." in quire("pagesize", "--size", "1M"), "and in words")

    ranged = json.loads(quire("pagesize", "--size", "1M", "--page-size", "2K..8K,64K", "--json"))
    expect_equal([row["page_size"] for row in ranged["rows"]], [2048, 4096, 8192, 65536], "a range of sizes")

    folder = harness.scratch()
    trace = os.path.join(folder, "lackey")
    with open(trace, "w", encoding="ascii") as file:
        for address in (0x10000, 0x10400, 0x12000, 0x90000):
            file.write(f" L {address:x},8\n S {address:x},8\n")
    found = json.loads(quire("pagesize", trace, "--page-size", "1K,4K,64K", "--memory", "128K", "--json"))
    expect_equal(found["size"], 4 * 64, "bytes used, in pieces of 64")
    rows = {row["page_size"]: row for row in found["rows"]}
    expect_equal([rows[size]["pages"] for size in (1024, 4096, 65536)], [4, 3, 2], "pages")
    expect_equal(rows[4096]["fragmentation"], 3 * 4096 - 256, "unused bytes at 4K")
    expect_equal([rows[size]["faults"] for size in (1024, 4096, 65536)], [4, 3, 2], "faults")
    expect_equal(found["best_measured"], 1024, "the best by measure")


@case()
def bad_options():
    folder = harness.scratch()
    trace = loop(folder, "trace", 4, 2)
    broken = os.path.join(folder, "broken")
    with open(broken, "w", encoding="ascii") as file:
        file.write("1 2 3 x 4")
    mixed = ["sim", "--mix", trace, trace, "--frames", "10"]
    for words, what in (
        (mixed + ["--scope", "here"], "--scope"),
        (mixed + ["--allocation", "equal"], "--scope local"),
        (mixed + ["--scope", "local", "--allocation", "fair"], "--allocation"),
        (mixed + ["--scope", "local", "--allocation", "pff:low=9,high=3"], "low at most as large as high"),
        (mixed + ["--scope", "local", "--allocation", "pff:speed=3"], "'speed=3'"),
        (mixed + ["--class", "nobody=vip:4K"], "trace#2"),
        (mixed + ["--class", "trace=vip"], "--class"),
        (mixed + ["--class", "trace=vvip:40K"], "the memory is too small"),
        (mixed + ["--quantum", "0"], "--quantum"),
        (mixed + ["--policy", "opt"], "future"),
        (mixed + ["--tlb", "entries=4"], "--tlb"),
        (mixed + ["--curve"], "--curve"),
        (["sim", "--mix", trace, "-", "--frames", "10"], "-: "),
        (["sim", "--mix", trace, broken, "--frames", "10"], "at byte 6"),
        (["sim", trace, "--frames", "10", "--load-control"], "--mix"),
        (["sim", trace, "--frames", "10", "--huge-pages"], "--tlb"),
        (["sim", trace, "--tlb", "entries=3,ways=2"], "'entries=3,ways=2'"),
        (["sim", trace, "--tlb", "size=3"], "'size=3'"),
        (["sim", trace, "--tlb", "entries=4", "--page-size", "64K"], "--page-size"),
        (["sim", trace, "--tlb", "entries=4", "--frames", "3", "--policy", "lru"], "every reference"),
        (["sim", trace, "--tlb", "entries=4", "--frames", "3", "--policy", "clock", "--huge-pages"], "huge pages"),
        (["sim", broken, "--tlb", "entries=4"], "at byte 6"),
        (["pagesize"], "--size"),
        (["pagesize", trace, "--size", "1M"], "--size"),
        (["pagesize", trace, "--page-size", "3K"], "--page-size"),
        (["pagesize", trace, "--page-size", "4M"], "--page-size"),
        (["pagesize", trace, "--page-size", "8K..4K"], "--page-size"),
        (["pagesize", trace, "--page-size", "4K.."], "--page-size"),
        (["pagesize", trace, "--page-size", "1K"], "pages of 4K"),
        (["pagesize", trace, "--policy", "best"], "--policy"),
        (["pagesize", trace, "--entry", "7"], "--entry"),
        (["pagesize", trace, "--format", "tape"], "--format"),
        (["pagesize", broken], "at byte 6"),
    ):
        quire(*words, status=2, what=what)


harness.main()
