#!/usr/bin/python3
"""What users of the page-table library cannot get past their compiler: dropped promises, mixed addresses, a way that
the format cannot have. Each case has a twin that compiles, so that a case cannot pass by a typing error.

usage: tests/unit/pt_refusals.py CC...
"""

import os
import re
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FLAGS = ["-std=gnu17", "-Wall", "-Wextra", "-Werror", "-O1", "-c", "-o", "/dev/null", "-x", "c", "-I" + TOP + "/include", "-I" + TOP + "/src"]
BEFORE = """
#include "quire/pt.h"
void f(struct pt *pt, struct pt_map *request, struct pt_batch *batch, const struct pt_flusher *flusher);
void f(struct pt *pt, struct pt_map *request, struct pt_batch *batch, const struct pt_flusher *flusher)
{
    struct vaddr page = vaddr(0x1000);
    struct paddr frame = paddr(0x1000);
    struct pt_flags none = pt_flags(0);
    enum status status = ST_OK;

    (void)page, (void)frame, (void)none, (void)batch, (void)flusher, (void)request, (void)status, (void)pt;
    %s
}
"""
UNUSED = r"unused.result"
PROMISES = {
    "map": "pt_map(pt, request)",
    "map_identity": "pt_map_identity(pt, request)",
    "map_page": "pt_map_page(pt, page, frame, none)",
    "unmap": "pt_unmap(pt, page, PAGE_SIZE, PT_STRICT)",
    "unmap_page": "pt_unmap_page(pt, page)",
    "protect": "pt_protect(pt, page, PAGE_SIZE, none, none, PT_STRICT)",
    "protect_page": "pt_protect_page(pt, page, none, none)",
    "protect_level": "pt_protect_level(pt, page, PAGE_SIZE, 1, none, none, PT_STRICT)",
    "split": "pt_split(pt, page, PT_SIZE_4K)",
    "put_mark": "pt_put_mark(pt, page, PAGE_SIZE, (struct pt_mark){1}, PT_STRICT, 0, 0)",
    "fill_mark": "pt_fill_mark(pt, page, (struct pt_mark){1}, frame, none, 0)",
}
STATUSES = {
    "flush_now": "pt_flush_now(pt_unmap_page(pt, page), flusher)",
    "flush_ignore": "pt_flush_ignore(pt_unmap_page(pt, page))",
    "batch_add": "pt_batch_add(batch, pt_unmap_page(pt, page))",
    "unmap_give": "pt_unmap_give(pt, page, PAGE_SIZE, PT_STRICT, batch)",
    "merge": "pt_merge(pt, page, HUGE_SIZE, PT_SIZE_2M, PT_STRICT, batch)",
    "clean": "pt_clean(pt, page, PAGE_SIZE, batch)",
}
RECURSIVE = "pt->reach = pt_reach_recursive(510, 0, 0);"


def cases():
    """(name, format, what compiles, what does not, what the compiler says)"""
    for name, call in PROMISES.items():
        yield f"promise of {name}", "x86_64", f"status = pt_flush_ignore({call});", f"{call};", UNUSED
    for name, call in STATUSES.items():
        yield f"status of {name}", "x86_64", f"status = {call};", f"{call};", UNUSED
    yield ("a promise is no status", "x86_64", "status = pt_flush_ignore(pt_unmap_page(pt, page));",
           "status = pt_unmap_page(pt, page);", r"incompatible type|assigning to")
    yield ("addresses do not mix", "x86_64", "status = pt_flush_ignore(pt_map_page(pt, page, frame, none));",
           "status = pt_flush_ignore(pt_map_page(pt, frame, page, none));", r"incompatible type")
    yield ("no recursive way on aarch64", "aarch64", "pt->reach = pt_reach_identity();", RECURSIVE, r"static.assert.*access flag")
    for form in ("x86_64", "x86_64_5", "sv39", "sv48", "sv57"):
        yield f"the recursive way on {form}", form, RECURSIVE, "pt->reach = pt_reach_recursive();", r"too few|arguments"


def compile_with(compiler, form, statement):
    return subprocess.run([*compiler.split(), *FLAGS, "-DPT_FORMAT=" + form, "-"], input=BEFORE % statement, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=60)


def fault(compiler, form, good, bad, message):
    done = compile_with(compiler, form, good)
    if done.returncode != 0:
        return "what is right does not compile: " + done.stdout.splitlines()[0]
    done = compile_with(compiler, form, bad)
    if done.returncode == 0:
        return f"compiles: {bad}"
    if not re.search(message, done.stdout, re.S):
        return f"the compiler says something else: {done.stdout.splitlines()[0]}"
    return ""


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    failed = False
    for compiler in sys.argv[1:]:
        for name, *rest in cases():
            why = fault(compiler, *rest)
            print(f"FAIL {name} ({compiler}): {why}" if why else f"ok {name} ({compiler})")
            failed |= bool(why)
    sys.exit(failed)


if __name__ == "__main__":
    main()
