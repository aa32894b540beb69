#!/usr/bin/python3
"""The page-table library as somebody else gets it: installed, as a subproject, in a kernel, for another machine."""

import os
import re
import shutil

import harness
from harness import case, expect, expect_equal

EXAMPLE = os.path.join(harness.TOP, "examples", "pt-consumer")
PRINTED = b"x86-64: 0x400012345678 -> 0x52345678\nSv39: 0xffffffd000003210 -> 0x10003210\n"
FORMATS = ("x86_64", "x86_64_5", "sv39", "sv48", "sv57", "aarch64")
HEADERS = {"quire/pt.h", "quire/pt_cursor.h", "quire/pt_flags.h", "quire/pt_tlb.h", "quire/pt_tlb_x86_64.h", "quire/status.h",
           "quire/types.h", "pt/format.h", "pt/names.h", "pt/quick.h", "pt/fmt/common.h", "pt/fmt/x86_64.h", "pt/fmt/x86_64_5.h",
           "pt/fmt/riscv.h", "pt/fmt/sv39.h", "pt/fmt/sv48.h", "pt/fmt/sv57.h", "pt/fmt/aarch64.h"}
STRICT = ["-std=gnu17", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]


def must(words, **more):
    """Standard output of a command that has to succeed."""
    result = harness.run(words, timeout=200, **more)
    expect_equal(result.status, 0, f"{' '.join(words)}: {result.out[-2000:]!r} {result.err[-2000:]!r}")
    return result.out


def installed():
    """The library, installed below a folder; gives the folder."""
    folder = harness.scratch()
    must(["meson", "install", "-C", harness.BUILD, "--no-rebuild", "--tags", "devel,man", "--destdir", folder])
    return folder


def find(folder, name):
    """The one file of this name below the folder."""
    found = [os.path.join(at, name) for at, _, files in os.walk(folder) if name in files]
    expect_equal(len(found), 1, f"{name} below {folder}")
    return found[0]


def pkg_config(folder):
    """What a compiler is told to use what is installed below the folder."""
    env = dict(os.environ, PKG_CONFIG_LIBDIR=os.path.dirname(find(folder, "quire-pt.pc")), PKG_CONFIG_SYSROOT_DIR=folder)
    return must(["pkg-config", "--cflags", "--libs", "quire-pt"], env=env).decode().split()


def sources():
    return [os.path.join(EXAMPLE, name) for name in sorted(os.listdir(EXAMPLE)) if name.endswith(".c")]


@case()
def what_is_installed_suffices_for_a_program():
    folder = installed()
    top = os.path.dirname(os.path.dirname(find(folder, "pt.h")))
    headers = {os.path.relpath(os.path.join(at, name), top) for at, _, files in os.walk(top) for name in files}
    expect_equal(headers, HEADERS, "installed headers")
    find(folder, "quire-pt.3")
    program = os.path.join(folder, "consumer")
    must(["cc"] + STRICT + ["-o", program] + sources() + pkg_config(folder))
    expect_equal(must([program]), PRINTED, "what the example prints")


@case()
def each_header_needs_only_the_compilers():
    folder = installed()
    flags = [flag for flag in pkg_config(folder) if flag.startswith("-I")]
    for compiler in ("gcc", "clang"):
        own = must([compiler, "-print-file-name=include"]).decode().strip()
        for wanted in FORMATS:
            text = "".join(f'#include "{name}"\n' for name in sorted(HEADERS) if not name.startswith("pt/"))
            must([compiler] + STRICT + ["-ffreestanding", "-nostdinc", "-isystem", own, "-fsyntax-only", f"-DPT_FORMAT={wanted}",
                  "-x", "c", "-"] + flags, stdin=text.encode())


@case()
def an_unknown_format_is_named():
    folder = installed()
    result = harness.run(["cc", "-fsyntax-only", "-DPT_FORMAT=sv49", "-x", "c", "-"] + pkg_config(folder)[:1], stdin=b"#include <quire/pt.h>\n")
    expect(result.status != 0 and b"pt/fmt/sv49.h" in result.err, result)


@case()
def every_symbol_has_its_formats_name():
    lines = must(["nm", "-g", find(installed(), "libquire-pt.a")]).decode().splitlines()
    symbols = [line.split()[-2:] for line in lines if re.search(r" [A-Za-z] \S+$", line)]
    defined = {name for kind, name in symbols if kind not in "Uw"}
    good = re.compile(r"pt_(%s)_\w+|status_name" % "|".join(FORMATS))
    expect_equal([name for name in sorted(defined) if not good.fullmatch(name)], [], "names without a format")
    needed = {name for kind, name in symbols if kind in "Uw"} - defined
    # The last is the linker's own.
    expect_equal(needed - {"memset", "memcpy", "_GLOBAL_OFFSET_TABLE_"}, set(), "names from outside")
    for wanted in FORMATS:
        expect(f"pt_{wanted}_map" in defined, f"no pt_{wanted}_map")


KERNEL = r"""
#define PT_FORMAT FORMAT
#include <quire/pt_cursor.h>
void *memset(void *to, int byte, size_t count) { for (char *at = to; count--;) *at++ = (char)byte; return to; }
void *memcpy(void *to, const void *from, size_t count) { for (size_t i = 0; i < count; i++) ((char *)to)[i] = ((const char *)from)[i]; return to; }
void _start(void);
void _start(void)
{
    struct pt pt = pt_at(paddr(0x1000), pt_reach_identity(), &pt_alloc_none);
    struct pt_cursor cursor = pt_cursor(&pt);
    struct pt_map request = {.start = vaddr(0), .to = paddr(0), .length_bytes = HUGE_SIZE};

    if (pt_flush_ignore(pt_map(&pt, &request)) != ST_OK || pt_check(&pt, NULL, NULL) != ST_OK ||
        pt_flush_ignore(pt_cursor_map(&cursor, vaddr(0), paddr(0), pt_flags(0))) != ST_OK)
        __builtin_trap();
}
"""


@case()
def a_kernel_links_it_at_the_end_of_memory():
    folder = installed()
    for wanted in FORMATS:
        image = os.path.join(folder, "kernel-" + wanted)
        must(["gcc"] + STRICT + ["-O2", "-ffreestanding", "-nostdlib", "-static", "-no-pie", "-fno-pie", "-mcmodel=kernel", "-mno-red-zone",
              "-mgeneral-regs-only", "-fno-stack-protector", "-Wl,-Ttext=0xffffffff80100000,--build-id=none", "-DFORMAT=" + wanted,
              "-o", image, "-x", "c", "-", "-x", "none"] + pkg_config(folder), stdin=KERNEL.encode())
        code = must(["objdump", "-d", "--no-show-raw-insn", image]).decode()
        expect(not re.search(r"%[xyz]mm\d|%fs:", code), f"{wanted}: vector registers, or thread-local storage")


@case(timeout=150)
def as_a_subproject():
    folder = harness.scratch()
    project = os.path.join(folder, "project")
    shutil.copytree(EXAMPLE, project)
    os.mkdir(os.path.join(project, "subprojects"))
    os.symlink(harness.TOP, os.path.join(project, "subprojects", "quire"))
    must(["meson", "setup", "--wrap-mode=forcefallback", os.path.join(project, "build"), project])
    must(["ninja", "-j2", "-C", os.path.join(project, "build")])
    expect_equal(must([os.path.join(project, "build", "pt-consumer")]), PRINTED, "what the example prints")


CROSS = """[binaries]
c = ['clang', '--target={0}-unknown-elf']
ar = '{1}'
[properties]
skip_sanity_check = true
[host_machine]
system = 'none'
cpu_family = '{0}'
cpu = '{0}'
endian = 'little'
"""


@case(timeout=150)
def for_another_machine():
    archiver = next((path for path in map(shutil.which, ("llvm-ar", "llvm-ar-14")) if path), None)
    if not archiver:
        raise harness.Skip("no llvm-ar")
    for machine, wanted in (("riscv64", "sv48"), ("aarch64", "aarch64")):
        folder = harness.scratch()
        cross = os.path.join(folder, "cross")
        with open(cross, "w", encoding="utf-8") as file:
            file.write(CROSS.format(machine, archiver))
        build = os.path.join(folder, "build")
        must(["meson", "setup", "--cross-file", cross, "-Dpt_only=true", f"-Dpt_formats={wanted}", build, harness.TOP])
        must(["ninja", "-j2", "-C", build])
        header = must(["readelf", "-h", find(build, "libquire-pt.a")]).decode()
        expect(("RISC-V" if machine == "riscv64" else "AArch64") in header, header[:400])


harness.main()
