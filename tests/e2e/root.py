#!/usr/bin/python3
"""The host's own root: its dynamic programs, and an overlay that keeps every change away from the host."""

import json
import os
import shutil
import subprocess

import harness
from harness import Skip, boot, case, expect, expect_equal, expect_run

PYTHON = "import hashlib, json, zlib; t = str(list(range(5000))); print(hashlib.sha256(zlib.compress(t.encode())).hexdigest(), json.dumps({'a': len(t)}))"


def same_as_on_the_host(*command, stdin=b""):
    """Runs the command in the machine and on the host, whose output is the right one."""
    if not shutil.which(command[0]):
        raise Skip(f"{command[0]} is not installed")
    right = subprocess.run(command, input=stdin, stdout=subprocess.PIPE, check=True).stdout
    expect_run(boot("--root", "/", "--memory", "128M", "--", *command, stdin=stdin), out=right)


@case(timeout=120)
def dynamic_programs_of_the_host():
    lines = b"".join(b"%d line\n" % (i * 7919 % 1000) for i in range(3000))
    same_as_on_the_host("sort", "-u", "-k", "1n", stdin=lines)
    same_as_on_the_host("python3", "-c", PYTHON)
    same_as_on_the_host("bash", "-c", "for i in 1 2 3; do echo $i | tr 1-3 a-c; done; ls /usr/lib/python3* | sort | md5sum")


@case(timeout=60)
def a_share_beside_the_root():
    share = harness.scratch()
    lines = b"".join(b"%d\n" % (i * 7919 % 1000) for i in range(1000))
    with open(os.path.join(share, "in"), "wb") as file:
        file.write(lines)
    expect_run(boot("--root", "/", "--share", share, "--", "sort", "-n", "/share/in", "-o", "/share/out"))
    with open(os.path.join(share, "out"), "rb") as file:
        expect_equal(file.read(), b"".join(sorted(lines.splitlines(True), key=int)), "the sorted file on the host")


@case(timeout=120)
def text_of_libraries_is_shared():
    """One frame for two programs, evicted from both at once, read once for both, kept when one ends; and the report says so."""
    share = harness.scratch()
    for name, program in (("sharing", "sharing"), ("one", "sharer"), ("two", "sharer")):
        shutil.copy(os.path.join(harness.BUILD, "tests", "guest", "guest-" + program), os.path.join(share, name))
    for policy in ("clock", "wsclock"):
        words = ("--memory", "32M", "--swap", "96M", "--policy", policy, "--root", "/", "--share", share, "--json")
        result = boot(*words, "--", "/share/sharing", "/share/one", "/share/two", limit=50)
        expect_run(result, out=b"shared\nevicted from both\nread once\nkept\n")
        report = json.loads(result.err)
        sharing = report["sharing"]
        shared = {process["name"]: process["shared_pages"] for process in report["over_time"]["processes"]}
        expect(shared["one"] == sharing["pages"] > 100 and shared["two"] == 0, f"pages that they shared when they ended: {shared}")
        expect(sharing["mappings"] == 2 * sharing["pages"], f"each was mapped by two: {sharing}")
        expect(sharing["unmapped_entries"] == 2 * sharing["unmapped_pages"] >= 2 * sharing["pages"], f"each left two at once: {sharing}")


def make_root():
    """A root of its own, so that what is in it is known: busybox and a few files."""
    root = harness.scratch()
    busybox = shutil.which("busybox")
    if not busybox:
        raise Skip("busybox is not installed")
    for folder in ("bin", "dir/sub", "gone", "full"):
        os.makedirs(os.path.join(root, folder))
    shutil.copy(busybox, os.path.join(root, "bin", "busybox"))
    for applet in ("sh", "cat", "ls", "rm", "mv", "mkdir", "rmdir", "ln", "chmod", "stat"):
        os.symlink("busybox", os.path.join(root, "bin", applet))
    for name in ("one", "two", "three", "dir/sub/deep", "full/a", "gone/b"):
        with open(os.path.join(root, name), "w", encoding="utf-8") as file:
            file.write(f"host {name}\n")
    return root


def state(root):
    """Everything below a folder: names, kinds, modes, contents."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = os.path.join(folder, name)
            info = os.lstat(path)
            regular = os.path.isfile(path) and not os.path.islink(path)
            with open(path if regular else os.devnull, "rb") as file:
                found[path] = (info.st_mode, info.st_nlink, info.st_mtime_ns, file.read())
    return found


OVERLAY = [
    ("echo new >> one; cat one", "host one\nnew\n"),
    ("echo made > dir/sub/made; cat dir/sub/made dir/sub/deep; ls dir/sub", "made\nhost dir/sub/deep\ndeep\nmade\n"),
    ("rm two; cat two 2>/dev/null || echo gone; echo again > two; cat two; rm two; ls two 2>/dev/null || echo gone", "gone\nagain\ngone\n"),
    ("mv three moved; cat moved; ls three 2>/dev/null || echo gone", "host three\ngone\n"),
    ("rm -r gone; ls gone 2>/dev/null || echo gone; mkdir gone; ls gone; echo x > gone/x; ls gone", "gone\nx\n"),
    ("rmdir full 2>/dev/null || echo full; rm full/a; rmdir full && echo empty; mkdir full; ls full", "full\nempty\n"),
    ("mkdir -p n/m; echo f > n/m/f; mv n dir/n; cat dir/n/m/f; mv dir/n full/; ls full", "f\nn\n"),
    ("echo l > link1; ln link1 dir/link2; echo more >> dir/link2; cat link1; stat -c %h link1", "l\nmore\n2\n"),
    ("chmod 600 one; stat -c %a one; echo short > one; cat one", "600\nshort\n"),
    ("exec 3< dir/sub/deep; rm dir/sub/deep; cat <&3; ls dir/sub/deep 2>/dev/null || echo gone", "host dir/sub/deep\ngone\n"),
    ("mkdir mine; mv mine dir/sub2; mv dir other; cat other/sub/made; ls other dir 2>/dev/null || echo gone",
     "made\nother:\nlink2\nsub\nsub2\ngone\n"),
]


@case(timeout=240)
def the_host_keeps_what_it_has():
    root = make_root()
    before = state(root)
    script = "cd /\n" + "\n".join(step for step, _ in OVERLAY)
    expect_run(boot("--root", root, "--", "sh", "-c", script), out="".join(right for _, right in OVERLAY).encode())
    expect_equal(state(root), before, "the host's folder")


@case(timeout=60)
def what_is_not_in_the_root():
    root = harness.scratch()
    for status, folder, words in ((127, root, b"boot: cat: no such program: expected one in"),
                                  (2, os.path.join(root, "missing"), b"boot: --root: ")):
        result = boot("--root", folder, "--", "cat")
        expect_equal(result.status, status, "status")
        expect(words in result.err, f"a message with {words}, got {result.err}")


@case(timeout=60)
def a_dynamic_program_without_its_interpreter():
    root = harness.scratch()
    os.mkdir(os.path.join(root, "bin"))
    shutil.copy(shutil.which("sort"), os.path.join(root, "bin", "sort"))
    run = boot("--root", root, "--", "sort")
    expect(run.status in (126, 127), f"status 126 or 127, got {run.status}")


harness.main()
