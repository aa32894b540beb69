#!/usr/bin/python3
"""The command against a stand-in for QEMU and the kernel: fast, and each case repeats exactly."""

import hashlib
import json
import os
import random
import signal
import subprocess
import termios
import time

import harness
from harness import case, expect, expect_equal, expect_run

FAKE = os.path.join(harness.HERE, "fake-qemu")
ENVIRONMENT = {"QUIRE_QEMU": FAKE, "QUIRE_KERNEL": FAKE}


def fake(*words, options=(), **more):
    """quire boot on the stand-in, which does what `words` say."""
    env = dict(ENVIRONMENT, **more.pop("env", {}))
    return harness.boot("--timeout", "60", *options, "--", "busybox", *words, env=env, **more)


def start(*words, options=(), **more):
    command = [harness.QUIRE, "boot", *options, "--", "busybox", *words]
    return subprocess.Popen(command, env=dict(os.environ, **ENVIRONMENT), **more)


def quire(*words, env=None):
    return harness.run([harness.QUIRE, *words], env=env)


def noise(count):
    return random.Random(7).randbytes(count)


def gone(pid):
    """The process ends within a few seconds."""
    for _ in range(100):
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii") as file:
                if file.read().rsplit(")", 1)[1].split()[0] == "Z":
                    return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


# ------------------------------------------------------------------ the streams


@case()
def input_comes_back_exactly():
    data = noise(50 << 20)
    expect_run(fake("cat", stdin=data), 0, data, b"")


@case()
def input_through_a_small_window():
    data = noise(300000)
    result = fake("count", "100", stdin=data)
    expect_run(result, 0, f"{len(data)} {hashlib.sha256(data).hexdigest()}\n".encode())


@case()
def empty_input_ends():
    expect_run(fake("cat", stdin=b""), 0, b"", b"")


@case()
def closed_input_ends():
    expect_run(fake("cat", stdin=None, preexec_fn=lambda: os.close(0)), 0, b"")


@case()
def input_from_a_file():
    path = os.path.join(harness.scratch(), "file")
    data = noise(1 << 20)
    with open(path, "wb") as file:
        file.write(data)
    with open(path, "rb") as file:
        done = subprocess.run([harness.QUIRE, "boot", "--", "busybox", "cat"], stdin=file, capture_output=True,
                              env=dict(os.environ, **ENVIRONMENT), check=False)
    expect_equal((done.returncode, done.stdout), (0, data), "status and output")


@case()
def both_outputs_arrive_apart():
    count = 20 << 20
    result = fake("fill", str(count))
    expect_run(result, 0, b"a" * count, b"b" * count)


@case()
def slow_reader_loses_nothing():
    process = start("fill", "3000000", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    time.sleep(1)
    total = 0
    while block := process.stdout.read(10000):
        total += len(block)
        if total < 500000:
            time.sleep(0.01)
    expect_equal((process.wait(20), total), (0, 3000000), "status and bytes")


@case()
def reader_that_stops_ends_the_writer():
    process = start("yes", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    expect_equal(process.stdout.read(4), b"y\ny\n", "output")
    process.stdout.close()
    expect_equal(process.wait(20), 141, "status")


@case()
def full_disk_is_an_error():
    with open("/dev/full", "wb") as full:
        process = start("fill", "100", stdin=subprocess.DEVNULL, stdout=full, stderr=subprocess.PIPE)
        _, err = process.communicate(timeout=20)
    expect_equal(process.returncode, 1, "status")
    expect(b"standard output: No space left" in err, f"a message, got {err!r}")


@case()
def shared_descriptors_stay_blocking():
    import fcntl

    reader, writer = os.pipe()
    process = start("exit", "0", stdin=reader, stdout=writer)
    process.wait(20)
    for end in (reader, writer):
        expect(not fcntl.fcntl(end, fcntl.F_GETFL) & os.O_NONBLOCK, "a pipe was left non-blocking")


# ------------------------------------------------------------------ how it ends


@case()
def exit_statuses():
    for status in (0, 1, 2, 77, 127, 143, 255):
        expect_run(fake("exit", str(status)), status, b"", b"")


@case()
def timeout_ends_the_machine():
    began = time.monotonic()
    result = fake("hang", options=["--timeout", "1.5"])
    expect_run(result, 124)
    expect(b"--timeout" in result.err and b"1.5" in result.err, repr(result))
    expect(1.4 < time.monotonic() - began < 10, "it took another time")
    expect(gone(int(result.out)), "QEMU is still there")


@case()
def timeout_before_the_kernel_speaks():
    expect_run(fake("hang-early", options=["--timeout", "0.5"]), 124, b"")


@case()
def panic_shows_the_log():
    result = fake("panic")
    expect_run(result, 125, b"before\n")
    expect(b"the kernel panicked" in result.err and b"at fault_handler+0x12" in result.err, repr(result))


@case()
def qemu_that_fails():
    result = fake("fail")
    expect_run(result, 125, b"")
    expect(b"qemu: something is wrong" in result.err and b"status 1" in result.err, repr(result))


@case()
def qemu_that_crashes():
    result = fake("die")
    expect_run(result, 125, b"")
    expect(b"signal 11" in result.err, repr(result))


@case()
def machine_that_resets():
    result = fake("reset")
    expect_run(result, 125, b"")
    expect(b"reset itself" in result.err, repr(result))


@case()
def nonsense_on_the_link():
    result = fake("nonsense")
    expect_run(result, 125)
    expect(b"protocol" in result.err, repr(result))


@case()
def qemu_that_lingers_is_ended():
    began = time.monotonic()
    expect_run(fake("linger"), 7)
    expect(time.monotonic() - began < 20, "it took too long")


@case()
def signals_are_passed_once():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        process = start("signal", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        expect_equal(process.stdout.read(6), b"ready\n", "output")
        process.send_signal(number)
        expect_equal(process.wait(20), 128 + number, "status")


@case()
def ignored_signals_stay_ignored():
    """As under nohup."""
    ignore = lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)
    process = start("signal", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, preexec_fn=ignore)
    expect_equal(process.stdout.read(6), b"ready\n", "output")
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    expect(process.poll() is None, "SIGHUP has ended it")
    process.send_signal(signal.SIGTERM)
    expect_equal(process.wait(20), 143, "status")


@case()
def signal_to_a_deaf_program():
    process = start("hang", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    qemu = int(process.stdout.readline())
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    expect_equal(process.wait(20), 143, "status")
    expect(time.monotonic() - began > 2, "no time was given to the program")
    expect(gone(qemu), "QEMU is still there")


@case()
def second_signal_ends_at_once():
    process = start("hang", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    qemu = int(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    expect_equal(process.wait(20), 130, "status")
    expect(time.monotonic() - began < 2, "it took too long")
    expect(gone(qemu), "QEMU is still there")


@case()
def killed_command_takes_qemu_along():
    process = start("hang", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    qemu = int(process.stdout.readline())
    process.kill()
    process.wait(20)
    expect(gone(qemu), "QEMU is still there")


@case()
def nothing_is_left_behind():
    runtime = harness.scratch()
    env = dict(ENVIRONMENT, XDG_RUNTIME_DIR=runtime)
    before = set(os.listdir("/dev/shm")) | {name for name in os.listdir("/tmp") if name.startswith("quire-")}
    expect_run(harness.boot("--", "busybox", "exit", "0", env=env), 0)
    expect_run(harness.boot("--timeout", "0.5", "--", "busybox", "hang", env=env), 124)
    expect_equal(os.listdir(runtime), [], "files in the runtime folder")
    after = set(os.listdir("/dev/shm")) | {name for name in os.listdir("/tmp") if name.startswith("quire-")}
    expect(not {name for name in after - before if not name.startswith("quire-case")}, f"left: {after - before}")


# ------------------------------------------------------------------ what the machine gets


def describe(*options, env=None):
    result = harness.boot(*options, env=dict(ENVIRONMENT, **(env or {})))
    expect_run(result, 0)
    return json.loads(result.out)


@case()
def program_and_arguments():
    got = describe("--env", "A=b c", "--env", "HOME=/x", "--", "busybox", "describe", "a b", "", "--memory", env={"TERM": "vt220"})
    expect_equal(got["arguments"], ["/bin/busybox", "describe", "a b", "", "--memory"], "arguments")
    for variable in ("A=b c", "HOME=/x", "TERM=vt220"):
        expect(variable in got["environment"], f"{variable} in {got['environment']}")
    expect_equal(len([one for one in got["environment"] if one.startswith("HOME=")]), 1, "HOMEs")


@case()
def programs_are_found():
    folder = harness.scratch()
    own = os.path.join(folder, "own")
    with open(own, "w", encoding="ascii") as file:
        file.write("#!/bin/sh\n")
    os.chmod(own, 0o755)
    for word, path in (("sort", "/bin/sort"), ("/usr/bin/awk", "/bin/awk"), ("bash", "/bin/bash"), (own, "/bin/own"),
                       ("own", "/bin/own"), ("/share/x", "/share/x")):
        got = describe("--share", folder, "--", word, "describe", env={"PATH": folder + ":" + os.environ["PATH"]})
        expect_equal(got["arguments"][0], path, f"the path of {word}")
        if word.endswith("own"):
            expect_equal(got["files"]["bin/own"]["size"], 10, "the size of the copy")


@case()
def initial_files_are_page_aligned():
    got = describe("--", "busybox", "describe")
    files = got["files"]
    busybox = subprocess.check_output(["sh", "-c", "command -v busybox"]).decode().strip()
    with open(busybox, "rb") as file:
        expect_equal(files["bin/busybox"]["sha"], hashlib.sha256(file.read()).hexdigest(), "busybox")
    for name, one in files.items():
        if one["mode"] & 0o170000 == 0o100000 and one["size"]:
            expect_equal(one["start"] % 4096, 0, f"the place of {name} in its page")
    for name in ("bin/sh", "bin/vi", "bin/awk", "etc/passwd", "tmp", "proc", "dev", "share", "root", "bin/bash"):
        expect(name in files, f"no {name}")
    expect_equal(files["tmp"]["mode"], 0o041777, "the mode of /tmp")


@case()
def small_machine_goes_without_bash():
    expect("bin/bash" not in describe("--memory", "8M", "--", "busybox", "describe")["files"], "bash is there")
    expect("bin/bash" in describe("--memory", "8M", "--", "bash", "describe")["files"], "bash is not there")


@case()
def command_line_of_the_kernel():
    got = describe("--no-aslr", "--check", "--append", "access=recursive x=1", "--", "busybox", "describe")["append"].split()
    for word in ("stdio=pipe,pipe,pipe", "noaslr", "check=1", "access=recursive", "x=1"):
        expect(word in got, f"{word} in {got}")
    expect("share=1" not in got, "a share")


@case()
def command_line_of_qemu():
    folder = os.path.join(harness.scratch(), "a,b")
    os.mkdir(folder)
    got = describe("--memory", "96M", "--icount", "--share", folder, "--", "busybox", "describe")
    line = " ".join(got["qemu"])
    for words in ("-m 98304K", "-icount shift=0,sleep=off", "-cpu max,-erms", "-accel tcg", "-smp 1",
                  "path=" + folder.replace(",", ",,"), "mount_tag=share", "isa-debug-exit"):
        expect(words in line, f"{words} in {line}")
    expect("share=1" in got["append"], "no share for the kernel")
    expect("-cpu qemu64" in " ".join(describe("--cpu", "qemu64", "--", "busybox", "describe")["qemu"]), "the model")


# ------------------------------------------------------------------ the report


@case()
def report_only_when_wanted():
    expect_run(fake("report"), 0, b"", b"")
    table = fake("report", options=["--report", "-"])
    expect_run(table, 0, b"")
    expect(b"frames total" in table.err and b"1,234,567" in table.err, repr(table))
    as_json = fake("report", options=["--json"])
    expect_equal(json.loads(as_json.err)["memory"]["frames_total"], 1234567, "the figure")


@case()
def report_to_a_file():
    path = os.path.join(harness.scratch(), "report")
    expect_run(fake("report", options=["--report", path, "--json"]), 0, b"", b"")
    with open(path, encoding="utf-8") as file:
        expect_equal(json.load(file)["faults"], {"zero": 3}, "the faults")
    bad = fake("report", options=["--report", "/nonexistent/report"])
    expect_run(bad, 2)
    expect(b"--report: /nonexistent/report" in bad.err, repr(bad))


@case()
def report_that_is_none():
    expect_run(fake("bad-report", options=["--json"]), 125)
    missing = fake("exit", "0", options=["--json"])
    expect(b"without a report" in missing.err, repr(missing))


@case()
def kernel_log_is_kept_apart():
    expect_run(fake("log-line"), 0, b"", b"")
    result = fake("log-line", options=["--verbose"])
    expect(result.err.endswith(b"devices are there\n"), repr(result))
    path = os.path.join(harness.scratch(), "log")
    expect_run(fake("log-line", options=["--log", path]), 0, b"", b"")
    with open(path, "rb") as file:
        expect_equal(file.read(), b"devices are there\n", "the log")


# ------------------------------------------------------------------ wrong use


@case()
def wrong_options_name_themselves():
    file = os.path.join(harness.scratch(), "file")
    with open(file, "wb"):
        pass
    for words, wanted in (
        (["--memory", "64Q"], "--memory"),
        (["--memory", ""], "--memory"),
        (["--memory", "-1"], "--memory"),
        (["--memory", "99999999999999999999"], "--memory"),
        (["--memory", "1M"], "--memory"),
        (["--memory"], "--memory"),
        (["--timeout", "0"], "--timeout"),
        (["--timeout", "-3"], "--timeout"),
        (["--timeout", "soon"], "--timeout"),
        (["--timeout", "nan"], "--timeout"),
        (["--share", "/nonexistent"], "--share: /nonexistent"),
        (["--share", file], "--share: " + file),
        (["--env", "novalue"], "--env"),
        (["--env", "=x"], "--env"),
        (["--demo", "nothing"], "--demo: nothing"),
        (["--demo", "paging", "--", "busybox"], "--demo"),
        (["--screenshot", "x", "--", "busybox"], "--screenshot"),
        (["--json=yes"], "--json"),
        (["--kernel", "/nonexistent"], "--kernel: /nonexistent"),
        (["--nonsense"], "--nonsense"),
        (["-x"], "-x"),
        (["--memory", "4M", "--", "bash"], "--memory: 4096K is too little"),
        (["--name", "a/b"], "--name: a/b"),
    ):
        result = harness.boot(*words, env=ENVIRONMENT)
        expect_run(result, 2, b"")
        expect(wanted.encode() in result.err and result.err.count(b"\n") == 1, f"{words}: {result!r}")


@case()
def programs_that_cannot_run():
    folder = harness.scratch()
    for words, status in ((["nonexistent-program"], 127), (["./nonexistent"], 127), ([folder], 126), (["/share/x"], 127), (["/lib/x86_64-linux-gnu/libc.so.6"], 126)):
        result = harness.boot("--", *words, env=ENVIRONMENT)
        expect_run(result, status, b"")
        expect(words[0].encode() in result.err, repr(result))


@case()
def missing_parts():
    result = harness.boot("--", "busybox", "exit", "0", env=dict(ENVIRONMENT, QUIRE_QEMU="no-such-qemu"))
    expect_run(result, 2, b"")
    expect(b"no-such-qemu" in result.err and b"qemu-system-x86" in result.err, repr(result))
    result = harness.boot("--", "busybox", "exit", "0", env=dict(ENVIRONMENT, QUIRE_KERNEL="/nonexistent"))
    expect_run(result, 2, b"")
    expect(b"/nonexistent" in result.err, repr(result))


@case()
def verbs():
    expect_equal(quire("--version").status, 0, "status of --version")
    expect(quire("--version").out.startswith(b"quire "), "the version")
    expect_run(quire(), 2)
    expect_run(quire("nonsense"), 2, b"")
    expect_run(quire("help", "nonsense"), 2, b"")
    for verb in ("boot", "dump", "help"):
        expect(quire("help", verb).out.startswith(b"usage: quire " + verb.encode()), f"help of {verb}")
        expect_equal(quire("help", verb).out, quire(verb, "--help").out, f"{verb} --help")


@case()
def help_and_manual_name_every_option():
    with open(os.path.join(harness.TOP, "docs", "quire.1"), encoding="utf-8") as file:
        manual = file.read().replace("\\-", "-")
    for line in quire("help", "boot").out.decode().splitlines():
        if line.startswith("  --"):
            expect(line.split()[0] in manual, f"{line.split()[0]} is not in the manual page")


# ------------------------------------------------------------------ dump


@case()
def dump_talks_to_the_machine():
    process = start("dump", options=["--name", "first"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    expect_equal(process.stdout.read(6), b"ready\n", "output")
    expect_run(quire("dump", "kernel"), 0, b"".join(b"tree of 'kernel' %d\n" % i for i in range(3)), b"")
    expect_run(quire("dump", "--machine", "first", "12"), 0, b"".join(b"tree of '12' %d\n" % i for i in range(3)))
    expect_run(quire("dump"), 0, b"".join(b"tree of '' %d\n" % i for i in range(3)))
    wrong = quire("dump", "--machine", "second")
    expect_run(wrong, 2, b"")
    expect(b"second" in wrong.err and b"first" in wrong.err, repr(wrong))
    taken = harness.boot("--name", "first", "--", "busybox", "exit", "0", env=ENVIRONMENT)
    expect_run(taken, 2, b"")
    other = start("dump", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    expect_equal(other.stdout.read(6), b"ready\n", "output")
    several = quire("dump", "kernel")
    expect_run(several, 2, b"")
    expect(str(other.pid).encode() in several.err, repr(several))
    for one in (process, other):
        one.send_signal(signal.SIGTERM)
        expect_equal(one.wait(20), 0, "status")


@case()
def dump_without_a_machine():
    result = quire("dump", "kernel", env={"XDG_RUNTIME_DIR": harness.scratch()})
    expect_run(result, 2, b"")
    expect(b"no machine is running" in result.err, repr(result))
    expect_run(quire("dump", "nonsense"), 2, b"")
    expect_run(quire("dump", "1", "2"), 2, b"")


@case()
def dump_of_a_machine_that_was_killed():
    runtime = harness.scratch()
    process = subprocess.Popen([harness.QUIRE, "boot", "--", "busybox", "hang"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, env=dict(os.environ, **ENVIRONMENT, XDG_RUNTIME_DIR=runtime))
    process.stdout.readline()
    process.kill()
    process.wait(20)
    expect_run(quire("dump", "kernel", env={"XDG_RUNTIME_DIR": runtime}), 2, b"")


# ------------------------------------------------------------------ the terminal


def terminal(*words, **more):
    return harness.Terminal([harness.QUIRE, "boot", "--timeout", "30", "--", "busybox", *words], env=ENVIRONMENT, **more)


@case()
def terminal_is_raw_and_restored():
    screen = terminal("typed")
    screen.wait_for("ready\r\n")
    screen.type(b"\x03")
    screen.wait_for(r"b'\\x03'")
    screen.type(b"\r")
    screen.wait_for(r"b'\\r'")
    expect(not termios.tcgetattr(screen.fd)[3] & termios.ECHO, "the host's terminal echoes")
    screen.type(b"q")
    expect_equal(screen.finish(), 0, "status")
    expect_equal(termios.tcgetattr(screen.fd)[:4], screen.attributes[:4], "the terminal's settings")


@case()
def terminal_is_restored_after_a_timeout():
    screen = harness.Terminal([harness.QUIRE, "boot", "--timeout", "1", "--", "busybox", "hang"], env=ENVIRONMENT)
    expect_equal(screen.finish(), 124, "status")
    expect_equal(termios.tcgetattr(screen.fd)[:4], screen.attributes[:4], "the terminal's settings")


@case()
def window_size_is_passed():
    screen = terminal("size", rows=33, columns=101)
    screen.wait_for("ready")
    screen.resize(40, 120)
    screen.wait_for("40 120\r\n")
    expect_equal(screen.finish(), 0, "status")


@case()
def escape_ends_the_machine():
    screen = terminal("typed")
    screen.wait_for("ready\r\n")
    screen.type(b"\x1d\x1d\x1d")
    expect_equal(screen.finish(), 143, "status")


@case()
def terminal_that_goes_away_ends_the_machine():
    screen = terminal("hang")
    qemu = int(screen.wait_for(r"(\d+)\n").group(1))
    screen.close()
    for _ in range(200):
        if os.waitpid(screen.pid, os.WNOHANG)[0]:
            break
        time.sleep(0.05)
    else:
        raise harness.Failure("the command is still there")
    expect(gone(qemu), "QEMU is still there")


@case()
def report_on_a_terminal():
    screen = terminal("report")
    expect_equal(screen.finish(), 0, "status")
    expect(b"1,234,567\r\n" in screen.text, f"the report, got {screen.text!r}")


harness.main()
