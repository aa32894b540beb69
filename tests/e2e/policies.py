#!/usr/bin/python3
"""quire policies: the table, one policy, JSON, and what is not right."""

import json

import harness
from harness import case, expect, expect_equal, expect_run

NAMES = """fifo second-chance clock two-handed-clock nru nfu aging random working-set wsclock mglru""".split()


def policies(*words):
    return harness.run([harness.QUIRE, "policies", *words])


def parsed(*words):
    return json.loads(expect_run(policies("--json", *words), 0, None, b"").out)["policies"]


@case()
def table_has_every_policy():
    lines = expect_run(policies(), 0, None, b"").out.decode().splitlines()
    listed = [line.split()[0] for line in lines[1 : lines.index("")]]
    expect_equal(listed, [one["name"] for one in parsed()], "names")
    expect(set(NAMES) <= set(listed), f"expected {NAMES}, got {listed}")
    expect_equal(len(set(listed)), len(listed), "each once")


@case()
def json_says_what_a_policy_needs_and_costs():
    for one in parsed():
        expect(one["needs"] in ("bits", "references", "future"), one)
        cost = one["page_bytes"] + one["frame_bytes"]
        expect(0 < cost <= (8 if one["needs"] == "bits" else 24), one)
        expect(one["title"] and one["source"], one)
        for option in one["options"]:
            if "values" in option:
                expect(option["standard"] in option["values"], option)
            else:
                expect(option["least"] <= option["standard"] <= option["most"], option)


@case()
def one_policy_in_words():
    out = expect_run(policies("wsclock", "nru"), 0, None, b"").out.decode()
    for part in ("wsclock: ", "Carr and Hennessy", "tau=100000", "needs: bits", "nru: ", "spares dirty pages"):
        expect(part in out, f"expected '{part}' in {out}")
    expect_equal([one["name"] for one in parsed("nru", "clock")], ["nru", "clock"], "in the order asked for")


@case()
def what_is_not_right_says_so():
    for words, part in ((["lru-1000"], "lru-1000: no such policy"), (["--yaml"], "--yaml: no such option"),
                        (["clock", ""], "no such policy"), (["--json=1"], "takes no value")):
        result = policies(*words)
        expect_equal((result.status, result.out), (2, b""), words)
        expect(part in result.err.decode(), f"expected '{part}', got {result.err}")


harness.main()
