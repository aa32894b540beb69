#!/usr/bin/python3
"""Programs of this host whose memory is far larger than the machine's, with each policy and scope: what they put out is, byte for
byte, what they put out here.

usage: large_programs.py [--quick] [--programs sort,xz] [--policies clock,wsclock] [--scopes local] [--resume FILE] ...

Programs: sort with a buffer larger than memory, sqlite3 that builds an index with a large cache, python3 that holds a large
dictionary and looks all of it up, xz with tables larger than memory and back again, and the four at once. In full size (the
default) each run takes minutes and all of them take hours: `--resume FILE` notes what has passed, and does only the rest the next
time. With --quick everything is a fraction of that, in a machine as much smaller, with a few policies for each program.

Prints one line a run, then tables of the wall times and pages read from swap, and last `N passed, N failed`. With --rounds the times
are medians of so many runs, which take turns; "host" is what the programs take here, without a machine and with all memory.
"""

import argparse
import base64
import collections
import hashlib
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import harness  # pylint: disable=wrong-import-position

SCOPES = ("global", "local")

# Of the sizes: memory and swap of the machine, and of one for all four; then what each program gets. `limit`: seconds, for a machine that is busy as well.
Size = collections.namedtuple("Size", "memory swap memory_together swap_together limit sort_bytes sort_buffer rows cache_kib entries xz_words xz_bytes")
FULL = Size("32M", "256M", "64M", "640M", 7200, 200 << 20, "120M", 400000, 150000, 450000, "-9 --memlimit-compress=96MiB", 12 << 20)
QUICK = Size("12M", "48M", "24M", "96M", 200, 12 << 20, "16M", 20000, 12000, 50000, "-3", 1 << 19)

PYTHON = """
entries = {}
for i in range(%d):
    entries["key %%d" %% i] = ("value %%d " %% (i * i)) * 6
total = 0
for i in range(%d):
    total = (total * 31 + hash(len(entries["key %%d" %% i])) + int(entries["key %%d" %% i].split()[1])) %% 1000000007
print(len(entries), total)
"""

# The index's entries hold all of a row, so that it is as large as the table.
SQL = """pragma cache_size = -%d; pragma temp_store = memory;
create index ordered on rows (name, body, id);
select count(*), sum(length(body)), min(name), max(body) from rows indexed by ordered where name > 'C';
select id, name from rows order by name, body limit 5 offset %d;
select count(*), sum(length(name)) from rows where body < 'D';"""


def random_text(seed, length):
    return base64.b64encode(random.Random(seed).randbytes(length * 3 // 4 + 3))[:length]


def make_lines(path, size):
    """Lines of 60 to 600 bytes, in no order."""
    rng = random.Random(1)
    with open(path, "wb") as file:
        done = 0
        for block in range((size >> 20) + 1):
            text, at = random_text(block, 1 << 20), 0
            while at < len(text) and done < size:
                line = text[at : at + rng.randrange(60, 600)]
                at += len(line)
                done += file.write(line + b"\n")


def make_words(path, size):
    """Text in which passages come again, from anywhere before: whoever looks for them needs all of his tables, a piece at a time."""
    rng = random.Random(2)
    words = [random_text(i, rng.randrange(2, 12)).lower() for i in range(3000)]
    text = bytearray()
    while len(text) < size:
        if text and rng.random() < 0.8:
            start = rng.randrange(len(text))
            text += text[start : start + rng.randrange(1 << 12, 1 << 16)]
        else:
            text += b" ".join(words[int(len(words) * rng.random() ** 3)] for _ in range(1000)) + b"\n"
    with open(path, "wb") as file:
        file.write(text[:size])


def make_database(path, rows):
    import sqlite3  # pylint: disable=import-outside-toplevel  # not everybody's Python has it

    connection = sqlite3.connect(path)
    connection.execute("create table rows (id integer primary key, name text, body text)")
    connection.executemany("insert into rows values (?, ?, ?)",
                           ((i, random_text(i, 40).decode(), random_text(i + rows, 200 + i % 60).decode()) for i in range(rows)))
    connection.commit()
    connection.close()


class Program:
    """What is done in a folder: `steps`, commands for a shell, each in a machine of its own, which leave in `outputs` what is
    compared."""

    def __init__(self, steps, outputs, inputs):
        self.steps, self.outputs, self.inputs = steps, outputs, inputs


def programs(size):
    python = PYTHON % (size.entries, size.entries)
    sql = SQL % (size.cache_kib, size.rows // 2)
    # With exec no shell stands beside the program: in local scope it would get as much memory as the program.
    found = {
        "sort": Program([f"export LC_ALL=C; exec sort -S {size.sort_buffer} -T . -o sorted lines"], ["sorted"], ["lines"]),
        "sqlite": Program([f'exec sqlite3 database "{sql}" > answers'], ["answers", "database"], ["database"]),
        "python": Program([f"export PYTHONHASHSEED=0; exec /usr/bin/python3 -c '{python}' > dictionary"], ["dictionary"], []),
        "xz": Program([f"exec xz -T1 -q {size.xz_words} < words > words.xz", "exec xz -d < words.xz > words.back"],
                      ["words.xz", "words.back"], ["words"]),
    }
    every = list(found.values())
    at_once = "".join("{ " + " ".join(f"({step});" for step in one.steps) + " } & " for one in every)
    found["together"] = Program([at_once + "wait"], [name for one in every for name in one.outputs],
                                [name for one in every for name in one.inputs])
    return found


def digest(path):
    sums = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            sums.update(block)
    return sums.hexdigest()


class Bench:
    """The inputs, and what is right, in a folder of its own."""

    def __init__(self, folder, size, keep):
        self.folder, self.size, self.keep = folder, size, keep
        self.programs = programs(size)
        self.right, self.seconds = {}, {}  # of a program, on this host
        os.mkdir(os.path.join(folder, "inputs"))

    def input(self, name):
        path = os.path.join(self.folder, "inputs", name)
        if not os.path.exists(path):
            {"lines": lambda: make_lines(path, self.size.sort_bytes), "words": lambda: make_words(path, self.size.xz_bytes),
             "database": lambda: make_database(path, self.size.rows)}[name]()
        return path

    def share(self, program):
        """A folder with copies of a program's inputs."""
        share = tempfile.mkdtemp(prefix="share-", dir=self.folder)
        for name in program.inputs:
            shutil.copyfile(self.input(name), os.path.join(share, name))
        return share

    def outputs(self, program, share):
        missing = "is not there"
        return {name: digest(path) if os.path.exists(path := os.path.join(share, name)) else missing for name in program.outputs}

    def expected(self, name):
        """What the programs leave on this host."""
        program = self.programs[name]
        if name not in self.right:
            share = self.share(program)
            began = time.monotonic()
            for step in program.steps:
                subprocess.run(["sh", "-c", step], cwd=share, check=True)
            self.seconds[name] = time.monotonic() - began
            if "words.back" in program.outputs:
                assert digest(os.path.join(share, "words.back")) == digest(self.input("words"))
            self.right[name] = self.outputs(program, share)
            shutil.rmtree(share)
        return self.right[name]

    def boot(self, share, step, words):
        """One machine: why it failed or None, and the report."""
        report = os.path.join(self.folder, "report")
        result = harness.boot("--root", "/", "--share", share, "--json", "--report", report, *words,
                              "--", "sh", "-c", "cd /share; " + step, limit=self.size.limit * harness.SLOW)
        if result.status != 0 or result.out or result.err:
            return f"expected status 0 and no message, got {result!r}", {}
        with open(report, encoding="utf-8") as file:
            return None, json.load(file)

    def run(self, name, policy, scope, words):
        """One run: why it failed or None, and what it cost."""
        program, right = self.programs[name], self.expected(name)
        share = self.share(program)
        swap = self.size.swap_together if name == "together" else self.size.swap
        memory = self.size.memory_together if name == "together" else self.size.memory
        options = ["--memory", memory, "--swap", swap, "--policy", policy, "--scope", scope, *words]
        cost = {"program": name, "policy": policy, "scope": scope, "page_ins": 0, "page_outs": 0, "major": 0}
        began = time.monotonic()
        try:
            for step in program.steps:
                why, report = self.boot(share, step, options)
                cost["seconds"] = round(time.monotonic() - began, 1)
                if why:
                    return why, cost
                cost["page_ins"] += report["swap"]["page_ins"]
                cost["page_outs"] += report["swap"]["page_outs"]
                cost["major"] += report["faults"]["major"]
            got = self.outputs(program, share)
            wrong = [output for output in right if got[output] != right[output]]
            if wrong and self.keep:
                shutil.copytree(share, os.path.join(self.keep, f"{name}-{policy}-{scope}"), dirs_exist_ok=True)
            return f"{', '.join(wrong)}: not as on the host" if wrong else None, cost
        finally:
            shutil.rmtree(share)


def known_policies():
    text = subprocess.check_output([harness.QUIRE, "policies", "--json"])
    return [one["name"] for one in json.loads(text)["policies"] if one["needs"] == "bits"]


def read_notes(path):
    """What passed in earlier runs: one JSON object a line."""
    notes = {}
    if path and os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            for line in file:
                one = json.loads(line)
                notes[one["program"], one["policy"], one["scope"]] = one
    return notes


def print_tables(names, policies, scopes, notes, host):
    for title, key, form in (("seconds", "seconds", "{:>10.1f}"), ("pages read from swap", "page_ins", "{:>10,}")):
        for scope in scopes:
            print(f"\n{title}, {scope} scope\n{'policy':<18}" + "".join(f"{name:>10}" for name in names))
            if key == "seconds":
                print(f"{'host':<18}" + "".join(form.format(host[name]) if name in host else f"{'-':>10}" for name in names))
            for policy in policies:
                cells = [notes.get((name, policy, scope)) for name in names]
                if any(cells):
                    print(f"{policy:<18}" + "".join(form.format(one[key]) if one else f"{'-':>10}" for one in cells))
    print()


def plan(options, names, policies):
    """The runs. In a quick run each policy has its turn with some program, and each program with a few."""
    if not options.quick or options.policies:
        return [(name, policy, scope) for scope in options.scopes for policy in policies for name in names] * options.rounds
    runs, turn = [], 0
    for name in names:
        for _ in range(options.each):
            runs += [(name, policies[turn % len(policies)], scope) for scope in options.scopes]
            turn += 1
    return runs


def choices(word, known, what):
    chosen = word.split(",") if word else list(known)
    for one in chosen:
        if one not in known:
            sys.exit(f"large_programs.py: {one}: expected {what}, of {', '.join(known)}")
    return chosen


def read_options():
    parser = argparse.ArgumentParser(description="large programs of this host in a small machine")
    parser.add_argument("--quick", action="store_true", help="small sizes, and a few policies for each program")
    parser.add_argument("--each", type=int, default=2, help="with --quick: so many policies for each program")
    parser.add_argument("--programs", help="sort, sqlite, python, xz, together")
    parser.add_argument("--policies", help="as `quire policies` calls them, or all")
    parser.add_argument("--rounds", type=int, default=1, help="runs of each kind, whose median is told")
    parser.add_argument("--scopes", default=",".join(SCOPES), help="global, local")
    parser.add_argument("--resume", metavar="FILE", help="notes what passes there; what it says has passed is not run again")
    parser.add_argument("--keep", metavar="FOLDER", help="keeps there what a program left when it is wrong")
    parser.add_argument("words", nargs="*", help="more options of quire boot (behind --)")
    options = parser.parse_args()
    options.scopes = choices(options.scopes, SCOPES, "scopes")
    return options


def main():
    options = read_options()
    size = QUICK if options.quick else FULL
    names = choices(options.programs, programs(size), "programs")
    policies = choices(options.policies if options.policies != "all" else None, known_policies(), "policies that need no more than reference bits")
    notes = read_notes(options.resume)
    rounds, passed, failed = collections.defaultdict(list), 0, 0
    with tempfile.TemporaryDirectory(prefix="quire-large-") as folder:
        bench = Bench(folder, size, options.keep)
        for run in plan(options, names, policies):
            label = "/".join(run)
            if run in notes:
                print(f"ok {label} ({notes[run]['seconds']:.1f} s, of an earlier run)", flush=True)
                passed += 1
                continue
            why, cost = bench.run(*run, options.words)
            if why:
                print(f"FAIL {label}: {why} ({cost['seconds']:.1f} s)", flush=True)
                failed += 1
                continue
            print(f"ok {label} ({cost['seconds']:.1f} s)", flush=True)
            passed += 1
            rounds[run].append(cost)
            if len(rounds[run]) < options.rounds:
                continue
            notes[run] = {**cost, **{key: statistics.median(one[key] for one in rounds[run]) for key in ("seconds", "page_ins")}}
            if options.resume:
                with open(options.resume, "a", encoding="utf-8") as file:
                    file.write(json.dumps(notes[run]) + "\n")
        print_tables(names, policies, options.scopes, notes, bench.seconds)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


main()
