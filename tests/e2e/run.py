#!/usr/bin/python3
"""quire run: unmodified programs of this system in a part of their memory, with the right answers."""

import hashlib
import json
import os
import random
import shutil
import subprocess
import threading
import time

import harness
from harness import case, expect, expect_equal, expect_run

MIB = 1 << 20
PYTHON = "/usr/bin/python3"  # a program itself, where python3 may be a script of a version manager


def quire(*words, **more):
    return harness.run([harness.QUIRE] + [str(word) for word in words], **more)


def need_userfaultfd():
    """Skips where faults of system calls cannot be served: no privilege, or a kernel without."""
    result = quire("run", "--store", "lz4:16M", "--space", "16M", "--", "/bin/true")
    if result.status == 125:
        raise harness.Skip(result.err.decode().strip())


def memfd_bytes(pid):
    """Pages of regions that are in memory, mapped just now or not."""
    total = 0
    for fd in os.listdir(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{fd}"
        try:
            if os.readlink(path).startswith("/memfd:quire"):
                total += os.stat(path).st_blocks * 512
        except OSError:
            pass
    return total


def smaps(pid):
    fields = {}
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as lines:
        for line in lines:
            words = line.split()
            if len(words) == 3 and words[2] == "kB":
                fields[words[0].rstrip(":")] = int(words[1]) * 1024
    return fields


class Watched:
    """A program under quire run, whose memory is looked at while it runs."""

    def __init__(self, *words, memory, env=None, stdin=None, stdout=subprocess.PIPE):
        self.folder = harness.scratch()
        self.report_path = os.path.join(self.folder, "report")
        self.memory = memory
        self.most = self.most_other = 0
        options = ["--memory", str(memory), "--store", f"swap:{self.folder}", "--report", self.report_path, "--json"]
        self.process = subprocess.Popen(
            [harness.QUIRE, "run", *options, "--", *[str(word) for word in words]],
            stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, env=dict(os.environ, **(env or {})))
        self.watcher = threading.Thread(target=self.watch, daemon=True)
        self.watcher.start()

    def watch(self):
        while self.process.poll() is None:
            try:
                paged, fields = memfd_bytes(self.process.pid), smaps(self.process.pid)
            except OSError:  # it has ended
                continue
            self.most = max(self.most, paged)
            self.most_other = max(self.most_other, fields.get("Pss_Anon", 0))
            time.sleep(0.02)

    def finish(self, stdin=None):
        out, err = self.process.communicate(stdin)
        expect_equal(self.process.returncode, 0, f"status (standard error: {err})")
        self.watcher.join()
        with open(self.report_path, encoding="ascii") as file:
            self.report = json.load(file)
        return out

    def expect_within_budget(self):
        expect(self.most <= self.memory * 1.05, f"{self.most} bytes in memory with a budget of {self.memory}")
        expect(self.most > self.memory // 2, f"the budget of {self.memory} was not used: {self.most}")
        expect(self.report["evictions"] > 0, f"nothing was evicted: {self.report}")


@case(timeout=120)
def python_array():
    """An array of eight times the memory, written and read."""
    need_userfaultfd()
    program = (
        "import array\n"
        "a = array.array('Q', bytes(128 << 20))\n"
        "for i in range(0, len(a), 64): a[i] = i * i\n"
        "print(sum(a[i] == i * i for i in range(0, len(a), 64)), sum(a[1::512]))\n")
    watched = Watched(PYTHON, "-c", program, memory=16 * MIB)
    expect_equal(watched.finish(), b"262144 0\n", "what the array held")
    watched.expect_within_budget()


@case(timeout=180)
def sort():
    """GNU sort, with threads, in an eighth of what it wants."""
    need_userfaultfd()
    numbers = list(range(400000))
    random.Random(1).shuffle(numbers)
    text = "".join(f"{number}\n" for number in numbers).encode()
    watched = Watched("sort", "-n", "--parallel=2", "-S", "64M", memory=6 * MIB, stdin=subprocess.PIPE)
    out = watched.finish(text)
    expect_equal(hashlib.sha256(out).hexdigest(),
                 hashlib.sha256("".join(f"{number}\n" for number in sorted(numbers)).encode()).hexdigest(), "the order")
    watched.expect_within_budget()


@case(timeout=60)
def children():
    """Programs that it starts are ordinary; its environment is as it was."""
    need_userfaultfd()
    result = quire("run", "--", PYTHON, "-c",
                   "import os, subprocess\n"
                   "print('QUIRE_RUN' in os.environ, 'LD_PRELOAD' in os.environ, flush=True)\n"
                   "x = bytearray(b'abc') * (1 << 20)\n"
                   "os.system('echo system')\n"
                   "print(os.popen('echo popen').read().strip(), flush=True)\n"
                   "print(subprocess.run(['cat'], input=bytes(x), stdout=subprocess.PIPE).stdout == x)\n")
    expect_run(result, out=b"False False\nsystem\npopen\nTrue\n", err=b"")


@case(timeout=60)
def usage():
    """Errors name what is wrong; statuses are those of env(1)."""
    for words, status, message in (
            (["--memory", "5", "ls"], 2, "--memory"),
            (["--space", "1", "ls"], 2, "--space"),
            (["--handlers", "33", "ls"], 2, "--handlers"),
            (["--policy", "nosuch", "ls"], 2, "nosuch"),
            (["--policy", "opt", "ls"], 2, "future"),
            (["--store", "plain", "ls"], 2, "KIND:REST"),
            (["--store", "nosuch:x", "ls"], 2, "nosuch"),
            (["--store", "file:/nonexistent/x", "ls"], 2, "/nonexistent/x"),
            (["--nosuch", "ls"], 2, "--nosuch"),
            ([], 2, "expected a program"),
            (["/nonexistent/program"], 127, "/nonexistent/program"),
            (["nosuchprogram"], 127, "nosuchprogram"),
            (["/etc/passwd"], 126, "/etc/passwd"),
            ([shutil.which("busybox") or "/bin/busybox"], 126, "expected a dynamic program")):
        result = quire("run", *words)
        expect_equal(result.status, status, f"{words}: {result}")
        expect(message in result.err.decode(), f"{words}: expected {message!r} in {result.err}")


@case(timeout=60)
def status():
    """The exit status and the signal are the program's."""
    need_userfaultfd()
    expect_equal(quire("run", "sh", "-c", "exit 7").status, 7, "the status")
    expect_equal(quire("run", "sh", "-c", "kill -TERM $$").status, 128 + 15, "the signal")


harness.main()
