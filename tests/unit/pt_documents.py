#!/usr/bin/python3
"""The examples of docs/PAGE-TABLES.md: compiled with every warning an error, run, and their output compared.

usage: tests/unit/pt_documents.py CC
"""

import glob
import os
import re
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EXAMPLE = re.compile(r"```c\n/\* (\w+)\.c, PT_FORMAT=(\w+) \*/\n(.*?)```\n\nprints\n\n```text\n(.*?)```", re.S)
FLAGS = ["-std=gnu17", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter"]


def objects(compiler, folder, form):
    """The library for one format."""
    target = os.path.join(folder, form)
    os.makedirs(target, exist_ok=True)
    sources = glob.glob(os.path.join(TOP, "src/pt/*.c")) + [os.path.join(TOP, "src/base/status.c")]
    if not os.listdir(target):
        subprocess.run([*compiler.split(), *FLAGS, "-DPT_FORMAT=" + form, "-I" + TOP + "/include", "-I" + TOP + "/src", "-c", *sources],
                       cwd=target, check=True, timeout=120)
    return glob.glob(os.path.join(target, "*.o"))


def fault(compiler, folder, name, form, code, expected):
    """What is wrong with the example; empty when it prints what the document says."""
    source, program = os.path.join(folder, name + ".c"), os.path.join(folder, name)
    with open(source, "w", encoding="utf-8") as file:
        file.write(code)
    done = subprocess.run([*compiler.split(), *FLAGS, "-DPT_FORMAT=" + form, "-I" + TOP + "/include", "-I" + TOP + "/src", source,
                           *objects(compiler, folder, form), "-o", program],
                          stderr=subprocess.PIPE, text=True, check=False, timeout=120)
    if done.returncode != 0:
        return "does not compile: " + done.stderr.splitlines()[0]
    done = subprocess.run([program], stdout=subprocess.PIPE, text=True, check=False, timeout=20)
    if done.returncode != 0:
        return f"ends with status {done.returncode}"
    for line, (printed, wanted) in enumerate(zip(done.stdout.splitlines() + [""], expected.splitlines() + [""]), 1):
        if printed != wanted:
            return f"line {line} is '{printed}', and the document says '{wanted}'"
    return "" if done.stdout == expected else "prints more or less than the document says"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with open(os.path.join(TOP, "docs/PAGE-TABLES.md"), encoding="utf-8") as file:
        examples = EXAMPLE.findall(file.read())
    failed = len(examples) != 3
    if failed:
        print(f"FAIL examples: {len(examples)} were found in docs/PAGE-TABLES.md, and there are three")
    with tempfile.TemporaryDirectory() as folder:
        for name, form, code, expected in examples:
            why = fault(sys.argv[1], folder, name, form, code, expected)
            print(f"FAIL {name}: {why}" if why else f"ok {name}")
            failed |= bool(why)
    sys.exit(failed)


if __name__ == "__main__":
    main()
