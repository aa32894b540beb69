#!/usr/bin/python3
"""The guest programs: the same static binary prints the same on this host's Linux and in the machine."""

import difflib
import glob
import json
import os
import subprocess

import harness
from harness import boot, case, expect, expect_equal

GUEST = os.path.join(harness.BUILD, "tests", "guest")
TESTS = json.loads(os.environ.get("QUIRE_GUEST_TESTS", "[]"))


def guest_case(name):
    def run():
        program = os.path.join(GUEST, "guest-" + name)
        results = []
        for place in ("here", "there"):
            folder = os.path.join(harness.scratch(), place)
            os.makedirs(folder)
            if place == "here":
                done = subprocess.run([program], cwd=folder, env={"TMPDIR": folder}, stdin=subprocess.DEVNULL,
                                      capture_output=True, timeout=100 * harness.SLOW, check=False)
                results.append((done.returncode if done.returncode >= 0 else 128 - done.returncode, done.stdout))
            else:
                got = boot("--memory", "128M", "--", program, limit=150 * harness.SLOW)
                results.append((got.status, got.out))
        (status, out), (status_there, out_there) = results
        if out != out_there:
            lines = difflib.unified_diff(out.decode(errors="replace").splitlines(), out_there.decode(errors="replace").splitlines(),
                                         "linux", "quire", lineterm="", n=0)
            raise harness.Failure(" / ".join(list(lines)[:30]) + f" (status {status_there}, {harness.shorten(got.err, 400)})")
        expect_equal(status_there, status, "status")
        expect(status == 0, f"status {status} on both")

    case(timeout=280, name=f"guest_{name}")(run)


for _name in TESTS or sorted(os.path.basename(path)[6:] for path in glob.glob(os.path.join(GUEST, "guest-*")) if os.access(path, os.X_OK) and not os.path.isdir(path)):
    guest_case(_name)

harness.main()
