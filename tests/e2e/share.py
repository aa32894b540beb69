#!/usr/bin/python3
"""The shared folder: the host and the machine at work in it at the same time, many programs at once, a full disk,
a folder that cannot be written, a small machine."""

import os
import random
import shutil
import subprocess

import harness
from harness import Skip, boot, case, expect, expect_equal, expect_run


class Stepped:
    """A script in the machine that says how far it is and waits for a line before it goes on."""

    def __init__(self, folder, script, *options):
        self.process = subprocess.Popen([harness.QUIRE, "boot", "--timeout", "100", *options, "--share", folder, "--", "bash", "-c", script],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def expect(self, line):
        expect_equal(self.process.stdout.readline(), line.encode() + b"\n", "the machine's line")

    def go(self):
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def end(self, status=0):
        self.process.stdin.close()
        expect_equal(self.process.stdout.read(), b"", "output at the end")
        expect_equal(self.process.wait(100), status, "status")


def write(folder, name, text):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        file.write(text)


def read(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return file.read()


@case(timeout=120)
def host_changes_are_seen():
    folder = harness.scratch()
    write(folder, "text", "old\n")
    machine = Stepped(folder, """cd /share; cat text; echo read; read; cat text; stat -c %s text; exec 3<text; echo open; read; cat <&3
                                 ls; echo end; read; cat new; exit 3""")
    machine.expect("old")
    machine.expect("read")
    write(folder, "text", "new and longer\n")
    machine.go()
    machine.expect("new and longer")
    machine.expect("15")
    machine.expect("open")
    os.rename(os.path.join(folder, "text"), os.path.join(folder, "moved"))
    os.mkdir(os.path.join(folder, "folder"))
    machine.go()
    machine.expect("new and longer")
    machine.expect("folder")
    machine.expect("moved")
    machine.expect("end")
    write(folder, "new", "made by the host\n")
    machine.go()
    machine.expect("made by the host")
    machine.end(3)


@case(timeout=120)
def host_sees_a_file_when_it_is_closed():
    folder = harness.scratch()
    machine = Stepped(folder, """cd /share; echo one > a; echo ready; read; exec 3>>a; echo two >&3; exec 3>&-; echo ready
                                 read; mv a b; ln -s b c; chmod 640 b; mkdir d; echo ready; read; rm b; rmdir d; echo ready; read""")
    machine.expect("ready")
    expect_equal(read(folder, "a"), "one\n", "the file")
    machine.go()
    machine.expect("ready")
    expect_equal(read(folder, "a"), "one\ntwo\n", "the file")
    machine.go()
    machine.expect("ready")
    expect_equal(sorted(os.listdir(folder)), ["b", "c", "d"], "the names")
    expect_equal(os.stat(os.path.join(folder, "b")).st_mode & 0o777, 0o640, "the mode")
    expect_equal(os.readlink(os.path.join(folder, "c")), "b", "the link")
    machine.go()
    machine.expect("ready")
    expect_equal(os.listdir(folder), ["c"], "the names")
    machine.go()
    machine.end()


@case(timeout=120)
def host_sees_a_long_write_before_it_ends():
    folder = harness.scratch()
    machine = Stepped(folder, "exec 3>/share/a; head -c 3000000 /dev/zero >&3; echo ready; read")
    machine.expect("ready")
    expect(os.path.getsize(os.path.join(folder, "a")) >= 3000000 - (256 << 10), "the host has too little of it")
    machine.go()
    machine.end()
    expect_equal(os.path.getsize(os.path.join(folder, "a")), 3000000, "the size at the end")


MANY = r"""
mkdir p; cd p
for i in $(seq 1 30); do (
    head -c $((i * 10007)) ../random > f$i
    for k in 1 2 3; do cat f$i >> g$i; done
    mv g$i h$i; sha256sum h$i > m$i; rm f$i
) & done
wait
cat m* | sort -k2; rm m*; ls | wc -l
"""


@case(timeout=180)
def many_programs_at_once():
    there, here = harness.scratch(), harness.scratch()
    for folder in there, here:
        with open(os.path.join(folder, "random"), "wb") as file:
            file.write(random.Random(5).randbytes(400000))
    wanted = harness.run(["bash", "-c", MANY], cwd=here, env={"LC_ALL": "C"})
    expect_run(boot("--memory", "48M", "--share", there, "--", "bash", "-c", "cd /share\n" + MANY, limit=170), 0, wanted.out, b"")
    expect_equal(subprocess.run(["diff", "-r", here, there], check=False).returncode, 0, "the folders")


@case(timeout=180)
def tree_in_a_small_machine():
    folder = harness.scratch()
    for i in range(10):
        os.makedirs(os.path.join(folder, "tree", f"d{i}"))
        for k in range(30):
            write(folder, f"tree/d{i}/file {k}", f"{i} {k}\n" * (k * 50))
    script = "cd /share && cp -r tree copy && tar cf tree.tar tree && mkdir out && tar xf tree.tar -C out && rm -r tree/d3"
    expect_run(boot("--memory", "8M", "--share", folder, "--", "sh", "-c", script, limit=170), 0, b"", b"")
    expect(not os.path.exists(os.path.join(folder, "tree", "d3")), "the folder was not removed")
    for other in "copy", "out/tree":
        shutil.rmtree(os.path.join(folder, other, "d3"))
        same = subprocess.run(["diff", "-r", os.path.join(folder, "tree"), os.path.join(folder, other)], check=False)
        expect_equal(same.returncode, 0, other)


def mounted(kind, *options):
    """A scratch folder with something mounted on it; root only."""
    folder = harness.scratch()
    done = subprocess.run(["mount", *kind, folder, *options], capture_output=True, check=False)
    if done.returncode != 0:
        raise Skip("nothing can be mounted here")
    return folder


@case(timeout=120)
def full_disk():
    folder = mounted(["-t", "tmpfs", "none"], "-o", "size=1M")
    try:
        big = boot("--share", folder, "--", "dd", "if=/dev/zero", "of=/share/big", "bs=64k", "count=40", limit=100)
        expect(big.status == 1 and b"No space left on device" in big.err, f"dd: {big!r}")
        os.remove(os.path.join(folder, "big"))
        copy = boot("--share", folder, "--", "cp", "/bin/busybox", "/share/copy", limit=100)
        expect(copy.status == 1 and b"No space left on device" in copy.err, f"cp: {copy!r}")
        os.remove(os.path.join(folder, "copy"))
        expect_run(boot("--share", folder, "--", "sh", "-c", "echo fits > /share/a && cat /share/a", limit=100), 0, b"fits\n", b"")
    finally:
        subprocess.run(["umount", folder], check=False)


@case(timeout=120)
def folder_that_cannot_be_written():
    source = harness.scratch()
    write(source, "a", "text\n")
    folder = mounted(["--bind", source])
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        result = boot("--share", folder, "--", "sh", "-c", "cat /share/a; echo x > /share/b; rm /share/a; echo x >> /share/a; ls /share", limit=100)
        expect_run(result, 0, b"text\na\n")
        expect_equal(result.err.count(b"Read-only file system"), 3, "refusals")
    finally:
        subprocess.run(["umount", folder], check=False)


@case(timeout=120)
def folder_that_goes_away():
    folder = harness.scratch()
    write(folder, "a", "still here\n")
    machine = Stepped(folder, "exec 3</share/a; echo ready; read; cat <&3; cat /share/a 2>&1; (echo x >/share/b) 2>&1; echo end")
    machine.expect("ready")
    shutil.rmtree(folder)
    machine.go()
    machine.expect("still here")
    machine.expect("cat: can't open '/share/a': No such file or directory")
    machine.expect("/bin/bash: line 1: /share/b: No such file or directory")
    machine.expect("end")
    machine.end()


harness.main()
