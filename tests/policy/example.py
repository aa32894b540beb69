#!/usr/bin/python3
"""Takes the example of a policy out of docs/HACKING.md, and adds it to a copy of the registry.

usage: example.py HACKING.md SRC_POLICY POLICY.c POLICIES.h REGISTRY.c     (the last three are written)
"""

import os
import re
import sys

MOST_LINES = 60


def main():
    page, source, policy, policies, registry = sys.argv[1:]
    with open(page, encoding="utf-8") as file:
        blocks = re.findall(r"^```c\n(.*?)^```$", file.read(), re.M | re.S)
    lines = [block for block in blocks if block.startswith("POLICY(")]
    files = [block for block in blocks if "const struct policy_type policy_" in block]
    if len(lines) != 1 or len(files) != 1:
        sys.exit(f"{page}: expected one file of a policy and one line of the registry")
    if files[0].count("\n") >= MOST_LINES:
        sys.exit(f"{page}: the example has {files[0].count(chr(10))} lines, expected fewer than {MOST_LINES}")
    with open(policy, "w", encoding="utf-8") as out:
        out.write(files[0])
    with open(os.path.join(source, "policies.h"), encoding="utf-8") as file, open(policies, "w", encoding="utf-8") as out:
        out.write(file.read() + lines[0])
    with open(os.path.join(source, "registry.c"), encoding="utf-8") as file, open(registry, "w", encoding="utf-8") as out:
        out.write(file.read())


main()
