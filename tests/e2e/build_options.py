#!/usr/bin/python3
"""Kernels that are built otherwise: what can be chosen when building really is chosen."""

import os

import harness
from harness import boot, case, expect, expect_equal, expect_run

OPTIONS = {
    "places": ["-Dphysical_memory_offset=0xffffa00000000000", "-Drecursive_index=510"],
    "checks": ["-Ddebug_checks=true", "-Dslow_checks=true"],
    "nomap": ["-Dmemory_map=none"],
}


def build(name):
    """The folder of the kernels built with these options; quick when nothing has changed."""
    folder = os.path.join(harness.BUILD, "other-" + name)
    if not os.path.exists(os.path.join(folder, "build.ninja")):
        made = harness.run(["meson", "setup", "--wipe", folder, harness.TOP] + OPTIONS[name])
        if made.status:
            made = harness.run(["meson", "setup", folder, harness.TOP] + OPTIONS[name])
        expect_equal(made.status, 0, f"meson: {made.out[-2000:]!r}")
    made = harness.run(["ninja", "-j2", "-C", folder, "kernel/quire-kernel", "kernel/quire-kernel-test"])
    expect_equal(made.status, 0, f"ninja: {made.out[-3000:]!r}")
    return os.path.join(folder, "kernel")


def run_kernel_tests(kernels):
    result = boot("--kernel", os.path.join(kernels, "quire-kernel-test"), "--log", "-", limit=200)
    failures = [line for line in result.out.decode(errors="replace").splitlines() if line.startswith("FAIL")]
    expect(result.status == 0 and not failures, f"{failures} {result!r}")


@case(timeout=400)
def kernel_at_other_places():
    kernels = build("places")
    expect_run(boot("--kernel", os.path.join(kernels, "quire-kernel"), "--", "sh", "-c", "echo $((6 * 7)) | cat", limit=60), 0, b"42\n", b"")
    run_kernel_tests(kernels)


@case(timeout=400)
def kernel_that_checks_itself():
    kernels = build("checks")
    run_kernel_tests(kernels)
    script = "seq 1 3000 | sort -rn | head -n 1; for i in 1 2 3 4 5 6 7 8; do (echo $i); done | tail -n 1; cp /bin/busybox /tmp && cmp /bin/busybox /tmp/busybox && /tmp/busybox echo same"
    expect_run(boot("--kernel", os.path.join(kernels, "quire-kernel"), "--", "sh", "-c", script, limit=150), 0, b"3000\n8\nsame\n", b"")


@case(timeout=400)
def kernel_without_a_memory_map():
    kernels = build("nomap")
    result = boot("--kernel", os.path.join(kernels, "quire-kernel"), "--", "busybox", "true", limit=60)
    expect_run(result, 125, b"")
    expect(b"without a memory map" in result.err, repr(result))


harness.main()
