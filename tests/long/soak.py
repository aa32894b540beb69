#!/usr/bin/python3
"""Random programs in random machines, for as long as one likes.

usage: soak.py [--seconds N | --rounds N] [--seed N] [--counted] [--only SEED...]

A round boots one machine: memory, policy, scope, allocation, load control, classes, read-ahead and swap (a disk, compressed memory, both, a disk
that fails, too little of it, none) at random, and in it several programs at once that need more memory than there is, each of which
looks whether it finds what it wrote; some are killed at random moments, some are in a group with a bound. Each has files of its own for its output, its
errors and its status. Who came to the end has printed what it prints on this host, and no error. Who may be ended otherwise, and by what, depends
on the machine: by SIGBUS where the disk fails, by SIGKILL where memory is out or where it was killed; what it has printed until
then is the beginning of what it prints here. At the end the kernel walks its invariants and looks for frames, tables, slots and records that nobody
has (quire boot --check). A machine that does not end in time, or panics, is a failure.

Commands are written so that their status tells whether all of their programs came to the end, and those whose output says how their
children or handlers fared only run where nobody ends them. Memory is overcommitted: whether a promise is given depends on what
others have at that moment.

All that a round does is drawn from its seed, which is printed; most machines count instructions instead of time, so that they do the same again
(--counted: these only, as `make test` has them).
`--only SEED` repeats one and shows the kernel's log. The last line is `N passed, N failed`.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import disks  # pylint: disable=wrong-import-position
import harness  # pylint: disable=wrong-import-position

LIMIT = 300 * harness.SLOW  # seconds for a machine; mostly it takes a few
SIGBUS, SIGKILL = 128 + 7, 128 + 9
GUESTS = os.path.join(harness.BUILD, "tests", "guest")
TOOLS = ("worker", "memhog", "mapdirty", "mapsum")
TESTS = ("fork_cow", "madvise", "mremap", "mprotect", "munmap", "private_file", "msync", "threads", "sparse", "brk", "memfd", "blocks")
ALONE = ("mremap", "munmap", "msync", "memfd", "blocks")  # of these: without children
QUIET = ("msync", "memfd", "blocks")  # and without a handler for what a page that is lost gives
CHECKED = "quire: all is checked, nothing is left over"
KERNEL_MB, SHELL_MB = 4, 1  # of the machine's memory, for nobody else


def policies():
    text = subprocess.check_output([harness.QUIRE, "policies", "--json"])
    return [one["name"] for one in json.loads(text)["policies"] if one["needs"] == "bits"]


class Job:
    """A program: its command line, when it is killed (None: never), the bound of its group in MiB (None: it is in none). `files`: so many bytes may
    its files in memory have; `ended`: by what its machine may end programs."""

    def __init__(self, number, megabytes, files, ended, rng):
        self.number = number
        self.killed_after = round(rng.uniform(0, 1.5), 2) if rng.random() < 0.25 else None
        self.bound = rng.randrange(2, megabytes + 3) if rng.random() < 0.2 else None
        tests = QUIET if SIGBUS in ended else ALONE if ended or self.bound else TESTS
        lines, place = min(megabytes * 20000, files // 8), rng.choice([("file", files), ("data/file", 1 << 40)])
        self.command = rng.choice([
            f"./guest-worker {megabytes} {rng.randrange(2000, 20000)} {number + 1} {rng.choice([0, 0, 500])}",
            f"./guest-memhog {megabytes}",
            f"./guest-mapdirty {rng.choice(['--sync ', ''])}{place[0]} {min(megabytes << 20, place[1])} {number} && ./guest-mapsum {place[0]}",
            f"set -o pipefail; seq 1 {lines} | sort -r > sorted && md5sum < sorted",
            f"for i in 1 2 3; do ./guest-{rng.choice(tests)} & wait $! || exit; done",
            f"./guest-{rng.choice(tests)}",
        ])

    def script(self):
        """Its output, its errors and its status are files of the share."""
        folder = f"/tmp/{self.number}"
        place = f"mkdir {folder}; cd {folder}; ln -s /share/guest-* .; ln -s /share/data{self.number} data"
        enter = f"echo 0 > /sys/fs/cgroup/g{self.number}/cgroup.procs; " if self.bound else ""
        make = f"mkdir /sys/fs/cgroup/g{self.number}; echo {self.bound}M > /sys/fs/cgroup/g{self.number}/memory.max; " if self.bound else ""
        kill = f"sleep {self.killed_after}; kill -9 $p; " if self.killed_after is not None else ""
        start = "" if any(sign in self.command for sign in ";|&") else "exec "  # so that it is the program that is killed
        files = f"> /share/out{self.number} 2> /share/err{self.number}"
        run = f"sh -c '{enter}{place}; {start}{self.command}' {files}"
        return f"( {make}{run} & p=$!; {kill}wait $p; echo $? > /share/status{self.number} ) &"

    def right(self, folder):
        """What it prints on this host, and what it says of errors."""
        place = os.path.join(folder, str(self.number))
        os.makedirs(os.path.join(place, "data"))
        for name in os.listdir(folder):
            if name.startswith("guest-"):
                os.symlink(os.path.join(folder, name), os.path.join(place, name))
        done = subprocess.run(["busybox", "sh", "-c", self.command], cwd=place, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT, check=True)
        return done.stdout, done.stderr


class Round:
    """What is done in one machine."""

    def __init__(self, seed, names):
        rng = random.Random(seed)
        self.memory = rng.choice([8, 10, 12, 16, 24])
        self.kind = rng.choice(["disk", "disk", "compressed", "both", "failing", "little", "none"])
        self.counted = rng.random() < 0.7
        self.options = ["--memory", f"{self.memory}M", "--check", "--policy", rng.choice(names)]
        self.options += ["--icount", "--no-aslr"] if self.counted else []
        self.choose_scope(rng)
        disk = {"disk": 96, "both": 96, "failing": 96, "little": rng.randrange(2, 6)}.get(self.kind)
        self.options += ["--swap", f"{disk}M"] if disk else []
        if self.kind in ("compressed", "both"):
            self.options += ["--swap-compress", f"lz4:{self.memory // 3}M"]
        self.failure = (rng.choice(["read_aio", "write_aio"]), rng.random() < 0.5, rng.randrange(2, 60)) if self.kind == "failing" else None
        room = (self.memory - KERNEL_MB - SHELL_MB) * {"compressed": 1.0, "little": 1.5, "none": 0.7}.get(self.kind, 4.0)
        count = rng.randrange(2, 5)
        files = ((self.memory - KERNEL_MB) // 2 << 20) // (count + 1)  # of half of memory, in which the tests have theirs, too
        self.jobs = [Job(number, max(1, int(room / count * rng.uniform(0.4, 1.0))), files, self.ended(), rng) for number in range(count)]

    def choose_scope(self, rng):
        scope = rng.choice(["global", "local"])
        self.options += ["--scope", scope]
        if scope == "local":
            self.options += ["--allocation", rng.choice(["equal", "proportional", "pff"])]
        if self.kind != "none" and rng.random() < 0.3:
            self.options += ["--load-control"]
        if rng.random() < 0.3:
            self.options += ["--read-ahead", str(rng.choice([1, 2, 32]))]
        if rng.random() < 0.3:
            self.options += ["--class", f"guest-worker={rng.choice(['vvip', 'vip'])}:2M"]

    def label(self):
        return " ".join(word for word in self.options if word != "--check") + f" ({self.kind}), {len(self.jobs)} programs"

    def script(self):
        return "\n".join(["echo 1 > /proc/sys/vm/overcommit_memory"] + [job.script() for job in self.jobs] + ["wait"])

    def ended(self):
        """What may end any program of this machine."""
        return {"failing": {SIGBUS, SIGKILL}, "little": {SIGKILL}, "none": {SIGKILL}, "compressed": {SIGKILL}}.get(self.kind, set())

    def judge_job(self, job, share, right):
        allowed = self.ended() | ({SIGKILL} if job.killed_after is not None or job.bound else set())
        out, err, status = (read_bytes(os.path.join(share, f"{name}{job.number}")) for name in ("out", "err", "status"))
        came = f"{job.command}: status {status.strip().decode() or 'none'}"
        if not right[0].startswith(out):
            return f"{came}: expected {harness.shorten(right[0])}, got {harness.shorten(out)}"
        if status.strip() == b"0":
            return None if (out, err) == right else f"{came}: expected {harness.shorten(right)}, got {harness.shorten((out, err))}"
        if not status.strip():  # whoever was to write it was ended
            return None if self.kind in ("failing", "little", "none") else came
        return None if int(status) in allowed else f"{came}, {harness.shorten(err)}"

    def judge(self, result, log, share, right):
        shell = {0} | ({SIGBUS, SIGKILL} if self.kind in ("failing", "little", "none") else set())
        if result.status not in shell:
            return f"the machine: {result!r}"
        if CHECKED not in log:
            return "the kernel has not checked itself"
        for job in self.jobs:
            why = self.judge_job(job, share, right[job.number])
            if why:
                return why
        return None


def copy_guests(folder):
    os.makedirs(folder)
    for name in TOOLS + TESTS:
        shutil.copy(os.path.join(GUESTS, "guest-" + name), folder)


def read_bytes(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""


def read_text(path):
    return read_bytes(path).decode(errors="replace")


def run_round(one, folder):
    """Why it failed, or None; and the kernel's log."""
    share, here, log = (os.path.join(folder, name) for name in ("share", "here", "log"))
    copy_guests(share)
    copy_guests(here)
    right = [job.right(here) for job in one.jobs]
    for job in one.jobs:
        os.mkdir(os.path.join(share, f"data{job.number}"))
    event, once, after = one.failure or (None, None, None)
    env = disks.failing_qemu(event, once, after) if event else None
    result = harness.boot(*one.options, "--share", share, "--log", log, "--", "sh", "-c", one.script(), env=env, limit=LIMIT, timeout=LIMIT + 60)
    text = read_text(log) + "".join(f"{name}: {read_text(os.path.join(share, name))}" for name in sorted(os.listdir(share)) if name.startswith("err"))
    return one.judge(result, text, share, right), text


def run_seed(seed, names, show):
    began, one = time.monotonic(), Round(seed, names)
    folder = tempfile.mkdtemp(prefix="quire-soak-")
    os.environ["TMPDIR"] = folder  # of harness.scratch()
    try:
        why, log = run_round(one, folder)
    except subprocess.TimeoutExpired as late:
        why, log = f"no end within {late.timeout} s", ""
    except subprocess.CalledProcessError as wrong:
        why, log = f"{wrong.cmd[-1]}: status {wrong.returncode} on this host", ""
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        del os.environ["TMPDIR"]
    if show:
        print(one.script(), log, sep="\n")
    verdict = f"FAIL seed {seed}" if why else f"ok seed {seed}"
    print(f"{verdict}: {one.label()} ({time.monotonic() - began:.1f} s)" + (f": {why}" if why else ""), flush=True)
    if why and not show:
        print(f"    again: {sys.argv[0]} --only {seed}\n    " + "\n    ".join(log.splitlines()[-30:]), flush=True)
    return not why


def main():
    parser = argparse.ArgumentParser(description="random programs in random machines")
    parser.add_argument("--seconds", type=int, default=1200, help="begin rounds for so long (1200)")
    parser.add_argument("--seed", type=int, default=1, help="of the first round; each has the next (1)")
    parser.add_argument("--rounds", type=int, help="so many rounds, however long they take")
    parser.add_argument("--counted", action="store_true", help="leave out the machines that do not count instructions")
    parser.add_argument("--only", type=int, nargs="+", metavar="SEED", help="these rounds and no others")
    parser.add_argument("--quiet", action="store_true", help="with --only: no logs")
    options = parser.parse_args()
    names, end = policies(), time.monotonic() + options.seconds
    verdicts, seed = [], options.seed
    for number in options.only or []:
        verdicts.append(run_seed(number, names, not options.quiet))
    while not options.only and (len(verdicts) < options.rounds if options.rounds else time.monotonic() < end):
        if Round(seed, names).counted or not options.counted:
            verdicts.append(run_seed(seed, names, False))
        seed += 1
    print(f"{sum(verdicts)} passed, {len(verdicts) - sum(verdicts)} failed")
    sys.exit(0 if all(verdicts) else 1)


main()
