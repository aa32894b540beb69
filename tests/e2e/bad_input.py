#!/usr/bin/python3
"""What is wrong: programs that are none, shares that fail, too little memory, a panic, time that runs out."""

import os
import shutil
import sys
import time

import harness
from harness import boot, case, expect, expect_equal, expect_run

sys.path.insert(0, os.path.join(harness.TOP, "tests", "guest"))
from bad_elf import files as elf_files  # pylint: disable=wrong-import-position

FILES = elf_files()
BAD = {name: data for name, data in FILES.items() if name != "good"}
# Programs of which Linux ends the process at its first instruction, or later: any death by a signal will do.
SIGNALS = ("132", "135", "137", "139")
# Linux does not look at these parts of the header, and lets root have page 0.
LINUX_RUNS = ("wrong-class", "wrong-byte-order", "page-zero-segment")


def share_with(name, data):
    folder = harness.scratch()
    path = os.path.join(folder, name)
    with open(path, "wb") as file:
        file.write(data)
    os.chmod(path, 0o755)
    return folder


@case(timeout=90)
def good_program_runs():
    folder = share_with("good", FILES["good"])
    expect_run(boot("--share", folder, "--", "/share/good", limit=60), 42, b"", b"")
    expect_run(boot("--", os.path.join(folder, "good"), limit=60), 42, b"", b"")


@case(timeout=120)
def first_program_that_is_none():
    """The machine says what is wrong and ends with 126."""
    for name in ("empty", "not-elf", "text-cut", "wrong-machine", "overlapping", "kernel-segment"):
        result = boot("--share", share_with(name, BAD[name]), "--", "/share/" + name, limit=60)
        expect_equal(result.status, 126, f"status for {name}: {result!r}")
        expect(name.encode() in result.err, f"no message that names {name}: {result!r}")


@case(timeout=120)
def first_program_that_is_missing():
    result = boot("--share", harness.scratch(), "--", "/share/nonexistent", limit=60)
    expect_equal(result.status, 127, f"status: {result!r}")
    expect(b"/share/nonexistent" in result.err, repr(result))


def shell_statuses(folder, head):
    """What bash says of every file of the folder, by name."""
    script = 'cd "$D"; for f in *; do [ -x $f ] && { ./$f </dev/null >/dev/null 2>&1; echo $f $?; }; done; echo alive'
    result = harness.run(head + [script], env={"D": folder})
    expect(result.out.endswith(b"alive\n"), repr(result))
    return dict(line.split() for line in result.out.decode().splitlines() if " " in line)


@case(timeout=150)
def bad_programs_do_not_run():
    """bash tries each of them, and says of each what it says on this host's Linux, which has seen them all."""
    folder = harness.scratch()
    for name, data in FILES.items():
        path = os.path.join(folder, name)
        with open(path, "wb") as file:
            file.write(data)
        os.chmod(path, 0o755)
    here = shell_statuses(folder, [shutil.which("bash-static"), "-c"])
    there = shell_statuses("/share", [harness.QUIRE, "boot", "--timeout", "140", "--env", "D=/share", "--share", folder, "--",
                                      "bash", "-c"])
    expect_equal(there["good"], "42", "status of the good program")
    for name in BAD:
        fails_late = here[name] in SIGNALS and there[name] in SIGNALS + ("126",)
        expect(there[name] == here[name] or fails_late or name in LINUX_RUNS, f"{name}: {here[name]} here, {there[name]} there")


@case(timeout=60)
def too_little_memory():
    """The command says it where the files do not even fit, the kernel where they do; never a hang."""
    result = boot("--memory", "3M", "--", "busybox", "true", limit=20)
    expect_run(result, 2, b"")
    expect(b"--memory: 3072K is too little" in result.err, repr(result))
    for memory in ("4100K", "4200K", "4300K", "4400K", "4500K"):
        result = boot("--memory", memory, "--", "busybox", "true", limit=20)
        expect(result.status == 0 or b"too little" in result.err or b"out of memory" in result.err, f"{memory}: {result!r}")


@case(timeout=60)
def too_little_memory_to_run():
    """It boots, and the program has not enough."""
    result = boot("--memory", "7M", "--", "bash", "-c", "x=$(printf '%03000000d' 7); echo ${#x}", limit=50)
    expect(result.status in (0, 1, 2, 137), repr(result))
    expect(result.out == b"3000000\n" or result.err, repr(result))


@case(timeout=60)
def share_that_is_missing():
    result = boot("--share", "/nonexistent/folder", "--", "busybox", "true")
    expect_run(result, 2, b"")
    expect(b"--share: /nonexistent/folder" in result.err, repr(result))


@case(timeout=120)
def file_of_the_share_that_shrinks():
    """Another program of the host cuts the file while it is mapped or read."""
    folder = harness.scratch()
    path = os.path.join(folder, "file")
    with open(path, "wb") as file:
        file.write(b"x" * (8 << 20))
    script = """exec 3</share/file; head -c 1000 <&3 | wc -c; echo cut > /share/ready
                while [ ! -e /share/done ]; do sleep 0.1; done; cat <&3 | wc -c; echo alive"""
    process = harness.subprocess.Popen([harness.QUIRE, "boot", "--timeout", "100", "--share", folder, "--", "sh", "-c", script],
                                       stdin=harness.subprocess.DEVNULL, stdout=harness.subprocess.PIPE)
    while not os.path.exists(os.path.join(folder, "ready")):
        expect(process.poll() is None, "the machine has ended")
        time.sleep(0.05)
    os.truncate(path, 500000)
    with open(os.path.join(folder, "done"), "wb"):
        pass
    out, _ = process.communicate(timeout=100)
    expect(out.startswith(b"1000\n") and out.endswith(b"alive\n"), f"output {out!r}")


@case(timeout=120)
def file_of_the_share_that_cannot_be_read():
    """The share's host gives an error in the middle of a file: EIO for read, SIGBUS for a mapping."""
    folder = harness.scratch()
    with open(os.path.join(folder, "failing"), "wb") as file:
        file.write(b"x" * (3 << 20))
    shutil.copy(os.path.join(harness.BUILD, "tests", "guest", "guest-mapsum"), os.path.join(folder, "mapsum"))
    script = """cat /share/failing > /tmp/got; echo $?; head -c 1000000 /share/failing | wc -c; wc -c < /tmp/got
                /share/mapsum /share/failing; echo $?; dd if=/share/failing of=/dev/null bs=4k skip=700 count=1 2>/dev/null; echo $?; echo alive"""
    env = {"LD_PRELOAD": os.path.join(harness.BUILD, "tests", "e2e", "libio_error.so")}
    result = boot("--share", folder, "--", "sh", "-c", script, limit=100, env=env)
    expect_equal(result.status, 0, f"status: {result!r}")
    lines = result.out.decode().split()
    expect_equal((lines[0], lines[1], lines[3:]), ("1", "1000000", ["135", "1", "alive"]), f"{result!r}")
    expect(900000 < int(lines[2]) <= 1 << 20, f"bytes before the error: {lines[2]}")
    expect(b"I/O error" in result.err or b"Input/output error" in result.err, repr(result))


@case(timeout=120)
def missing_and_forbidden_files_of_the_share():
    folder = harness.scratch()
    os.mkdir(os.path.join(folder, "folder"))
    os.symlink("nowhere", os.path.join(folder, "dangling"))
    script = """cd /share; for f in nothing folder dangling folder/x; do cat $f; echo $?; done 2>/dev/null; mkdir folder 2>/dev/null; echo $?
                rmdir nothing 2>/dev/null; echo $?; touch folder/a; rmdir folder 2>/dev/null; echo $?; echo x > no/file 2>/dev/null; echo $?"""
    result = boot("--share", folder, "--", "sh", "-c", script, limit=100)
    expect_run(result, 0, b"1\n1\n1\n1\n1\n1\n1\n1\n")


@case(timeout=60)
def timeout_ends_a_program_that_does_not():
    began = time.monotonic()
    result = boot("--", "sh", "-c", "while :; do :; done", limit=3)
    expect_run(result, 124, b"")
    expect(time.monotonic() - began < 20, "it took too long")
    expect_run(boot("--", "busybox", "sleep", "1000", limit=2), 124, b"")


@case(timeout=60)
def signals_reach_the_program():
    for number, status in ((harness.signal.SIGTERM, 7), (harness.signal.SIGINT, 9)):
        process = harness.subprocess.Popen([harness.QUIRE, "boot", "--timeout", "50", "--", "sh", "-c",
                                            "trap 'exit 7' TERM; trap 'exit 9' INT; echo ready; while :; do sleep 0.1; done"],
                                           stdin=harness.subprocess.DEVNULL, stdout=harness.subprocess.PIPE)
        expect_equal(process.stdout.read(6), b"ready\n", "output")
        process.send_signal(number)
        expect_equal(process.wait(20), status, "status")


@case(timeout=60)
def panic_has_a_backtrace():
    result = boot("--append", "panic=1", "--", "busybox", "true", limit=50)
    expect_run(result, 125)
    text = result.err.decode()
    for word in ("kernel panic", "rip ", "cr3", "backtrace", "kernel_main+0x", "cr2 0x0000000000000008"):
        expect(word in text, f"no {word!r} in {text}")


@case(timeout=60)
def wrong_processor():
    """A processor without what the kernel needs: a message, not a hang."""
    result = boot("--cpu", "qemu32", "--", "busybox", "true", limit=40)
    expect(result.status == 125 and result.err, repr(result))


harness.main()
