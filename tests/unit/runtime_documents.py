#!/usr/bin/python3
"""The example of docs/RUNTIME.md: compiled with every warning an error, against the library as it is built; run, and
its output compared. Skipped where the kernel cannot page.

usage: tests/unit/runtime_documents.py LIBRARY CC...
"""

import os
import re
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EXAMPLE = re.compile(r"```c\n/\* (\w+)\.c \*/\n(.*?)```\n.*?prints\n\n```text\n(.*?)```", re.S)


def outcome(folder, name, code, expected, library, compiler):
    source, program = os.path.join(folder, name + ".c"), os.path.join(folder, name)
    with open(source, "w", encoding="utf-8") as file:
        file.write(code)
    done = subprocess.run([*compiler, "-std=gnu17", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-I" + TOP + "/include", source, library,
                           "-luring", "-l:liblz4.a", "-pthread", "-o", program], stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    if done.returncode != 0:
        return "FAIL " + name + ": does not compile: " + done.stderr
    done = subprocess.run([program, os.path.join(folder, "data")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    if done.returncode == 77:
        return "skip " + name + ": " + done.stderr.strip()
    if done.returncode != 0 or done.stdout != expected:
        return f"FAIL {name}: status {done.returncode}, prints {done.stdout!r} {done.stderr!r}, the page says {expected!r}"
    return "ok " + name


def main():
    library, compiler = sys.argv[1], sys.argv[2:]
    with open(os.path.join(TOP, "docs/RUNTIME.md"), encoding="utf-8") as file:
        examples = EXAMPLE.findall(file.read())
    if not examples:
        print("FAIL runtime-documents: no example on the page")
    with tempfile.TemporaryDirectory() as folder:
        for name, code, expected in examples:
            print(outcome(folder, name, code, expected, os.path.abspath(library), compiler))


main()
