#!/usr/bin/python3
"""Random programs in random machines, for as long as one likes.

usage: soak.py [--seconds N] [--seed N] [--only SEED...]

A round boots one machine: memory, policy, scope, allocation, load control, classes, read-ahead and swap (a disk, compressed memory, both, a disk
that fails, too little of it, none) at random, and in it several programs at once that need more memory than there is, each of which
looks whether it finds what it wrote; some are killed at random moments, some are in a group with a bound. Who was not killed prints what it prints on this
host. Who may be ended otherwise, and by what, depends on the machine: by SIGBUS where the disk fails, by SIGKILL where memory is out; but
never is what was printed wrong. At the end the kernel walks its invariants and looks for frames, tables, slots and records that nobody
has (quire boot --check). A machine that does not end in time, or panics, is a failure.

All that a round does is drawn from its seed, which is printed; most machines count instructions instead of time, so that they do the same again.
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
TESTS = ("fork_cow", "madvise", "mremap", "mprotect", "munmap", "private_file", "msync", "threads", "sparse", "brk", "memfd")
CHECKED = "quire: all is checked, nothing is left over"
KERNEL_MB, SHELL_MB = 4, 1  # of the machine's memory, for nobody else


def policies():
    text = subprocess.check_output([harness.QUIRE, "policies", "--json"])
    return [one["name"] for one in json.loads(text)["policies"] if one["needs"] == "bits"]


class Job:
    """A program: its command line, when it is killed (None: never), the bound of its group in MiB (None: it is in none)."""

    def __init__(self, number, megabytes, rng):
        self.number = number
        self.command = rng.choice([
            f"./guest-worker {megabytes} {rng.randrange(2000, 20000)} {number + 1} {rng.choice([0, 0, 500])}",
            f"./guest-memhog {megabytes}",
            f"./guest-mapdirty {rng.choice(['--sync ', ''])}file{number} {megabytes << 20} {number}; ./guest-mapsum file{number}",
            f"seq 1 {megabytes * 20000} | sort -r > sorted{number}; md5sum < sorted{number}",
            f"for i in 1 2 3; do ./guest-{rng.choice(TESTS)} & wait $!; done",
            f"./guest-{rng.choice(TESTS)}",
        ])
        self.killed_after = round(rng.uniform(0, 1.5), 2) if rng.random() < 0.25 else None
        self.bound = rng.randrange(2, megabytes + 3) if rng.random() < 0.2 else None

    def script(self):
        """Its output and its status in files of the share; the status is that of the last of its programs."""
        out, status = f"/share/out{self.number}", f"/share/status{self.number}"
        place = f"mkdir /tmp/{self.number}; cd /tmp/{self.number}; ln -s /share/guest-* ."
        enter = f"echo 0 > /sys/fs/cgroup/g{self.number}/cgroup.procs; " if self.bound else ""
        make = f"mkdir /sys/fs/cgroup/g{self.number}; echo {self.bound}M > /sys/fs/cgroup/g{self.number}/memory.max; " if self.bound else ""
        kill = f"sleep {self.killed_after}; kill -9 $p; " if self.killed_after is not None else ""
        start = "" if ";" in self.command or "|" in self.command else "exec "  # so that it is the program that is killed
        run = f"sh -c '{enter}{place}; {start}{self.command}' > {out} 2> {out}.err"
        return f"( {make}{run} & p=$!; {kill}wait $p; echo $? > {status} ) &"

    def right(self, folder):
        """What it prints on this host."""
        place = os.path.join(folder, str(self.number))
        os.mkdir(place)
        for name in os.listdir(folder):
            if name.startswith("guest-"):
                os.symlink(os.path.join(folder, name), os.path.join(place, name))
        return subprocess.run(["busybox", "sh", "-c", self.command], cwd=place, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              timeout=LIMIT, check=False).stdout


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
        self.jobs = [Job(number, max(1, int(room / count * rng.uniform(0.4, 1.0))), rng) for number in range(count)]

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
        return "\n".join([job.script() for job in self.jobs] + ["wait"])

    def may_end(self, job):
        """The statuses that a program may end with when it is not at its own end."""
        allowed = set()
        if job.killed_after is not None or job.bound or self.kind in ("little", "none", "compressed", "failing"):
            allowed.add(SIGKILL)
        if self.kind == "failing":
            allowed.add(SIGBUS)
        return allowed

    def judge_job(self, job, share, right):
        allowed = self.may_end(job)
        try:
            with open(os.path.join(share, f"status{job.number}"), "rb") as file:
                status = int(file.read())
        except (FileNotFoundError, ValueError):
            return None if self.kind in ("failing", "little", "none") else f"{job.command}: it has no status"
        with open(os.path.join(share, f"out{job.number}"), "rb") as file:
            out = file.read()
        if status in allowed:
            return None
        if out != right and not (allowed and "; " in job.command):  # of several programs any may have been ended
            return f"{job.command}: expected {harness.shorten(right)}, got {harness.shorten(out)}, status {status}"
        if status != 0 and not allowed:
            return f"{job.command}: expected status 0, got {status}"
        return None

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


def read_text(path):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def run_round(one, folder):
    """Why it failed, or None; and the kernel's log."""
    share, here, log = (os.path.join(folder, name) for name in ("share", "here", "log"))
    copy_guests(share)
    copy_guests(here)
    right = [job.right(here) for job in one.jobs]
    event, once, after = one.failure or (None, None, None)
    env = disks.failing_qemu(event, once, after) if event else None
    result = harness.boot(*one.options, "--share", share, "--log", log, "--", "sh", "-c", one.script(), env=env, limit=LIMIT, timeout=LIMIT + 60)
    text = read_text(log) + "".join(f"{name}: {read_text(os.path.join(share, name))}" for name in sorted(os.listdir(share)) if name.endswith(".err"))
    return one.judge(result, text, share, right), text


def run_seed(seed, names, show):
    began, one = time.monotonic(), Round(seed, names)
    folder = tempfile.mkdtemp(prefix="quire-soak-")
    os.environ["TMPDIR"] = folder  # of harness.scratch()
    try:
        why, log = run_round(one, folder)
    except subprocess.TimeoutExpired as late:
        why, log = f"no end within {late.timeout} s", ""
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
    parser.add_argument("--only", type=int, nargs="+", metavar="SEED", help="these rounds and no others")
    parser.add_argument("--quiet", action="store_true", help="with --only: no logs")
    options = parser.parse_args()
    names, end = policies(), time.monotonic() + options.seconds
    verdicts, seed = [], options.seed
    for number in options.only or []:
        verdicts.append(run_seed(number, names, not options.quiet))
    while not options.only and time.monotonic() < end:
        verdicts.append(run_seed(seed, names, False))
        seed += 1
    print(f"{sum(verdicts)} passed, {len(verdicts) - sum(verdicts)} failed")
    sys.exit(0 if all(verdicts) else 1)


main()
