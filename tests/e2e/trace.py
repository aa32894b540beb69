#!/usr/bin/python3
"""quire trace: convert, info and record; and a reader of our format that was written from docs/TRACE-FORMAT.md."""

import ctypes
import hashlib
import json
import os
import signal
import struct
import subprocess
import time

import harness
from harness import case, expect, expect_equal, expect_run

RECORDED = os.environ.get("QUIRE_RECORDED", os.path.join(harness.BUILD, "tests", "e2e", "recorded"))


def quire(*words, stdin=b"", **more):
    return harness.run([harness.QUIRE, "trace", *[str(word) for word in words]], stdin=stdin, **more)


def path(folder, name, content=None):
    whole = os.path.join(folder, name)
    if content is not None:
        with open(whole, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
    return whole


def info(name, *words):
    result = expect_run(quire("info", "--json", *words, name), 0, err=b"")
    return json.loads(result.out)["traces"][0]


# ------------------------------------------------------------------ our format, read by somebody else

MASK = (1 << 64) - 1
PRIMES = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5)


def xxh64(data, seed=0):
    p1, p2, p3, p4, p5 = PRIMES

    def rotate(value, bits):
        return (value << bits | value >> (64 - bits)) & MASK

    def step(lane, word):
        return rotate((lane + word * p2) & MASK, 31) * p1 & MASK

    at = 0
    if len(data) >= 32:
        lanes = [(seed + p1 + p2) & MASK, (seed + p2) & MASK, seed, (seed - p1) & MASK]
        while at + 32 <= len(data):
            lanes = [step(lane, word) for lane, word in zip(lanes, struct.unpack_from("<4Q", data, at))]
            at += 32
        total = sum(rotate(lane, bits) for lane, bits in zip(lanes, (1, 7, 12, 18))) & MASK
        for lane in lanes:
            total = ((total ^ step(0, lane)) * p1 + p4) & MASK
    else:
        total = (seed + p5) & MASK
    total = (total + len(data)) & MASK
    while at + 8 <= len(data):
        total = (rotate(total ^ step(0, struct.unpack_from("<Q", data, at)[0]), 27) * p1 + p4) & MASK
        at += 8
    if at + 4 <= len(data):
        total = (rotate(total ^ struct.unpack_from("<I", data, at)[0] * p1 & MASK, 23) * p2 + p3) & MASK
        at += 4
    for byte in data[at:]:
        total = rotate(total ^ byte * p5 & MASK, 11) * p1 & MASK
    total = (total ^ total >> 33) * p2 & MASK
    total = (total ^ total >> 29) * p3 & MASK
    return total ^ total >> 32


def unpack_zstd(data, size):
    library = ctypes.CDLL("libzstd.so.1")
    library.ZSTD_decompress.restype = ctypes.c_size_t
    library.ZSTD_decompress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    to = ctypes.create_string_buffer(size + 1)
    expect_equal(library.ZSTD_decompress(to, size, data, len(data)), size, "bytes of a payload")
    return to.raw[:size]


def decode(name):
    """The page size, the names of the pages, and the references of a trace in our format."""
    with open(name, "rb") as file:
        data = file.read()
    expect_equal(data[:8], b"\x89QTR\r\n\x1a\n", "the magic")
    version, head_bytes, page_bytes, _, filter_entries = struct.unpack_from("<IIQII", data, 8)
    expect_equal((version, head_bytes), (1, 64), "version and length")
    expect_equal(struct.unpack_from("<Q", data, 56)[0], xxh64(data[:56]), "the head's sum")
    names, references, at, before = [], [], 64, 64
    while data[at : at + 4] == b"QBLK":
        payload, plain_bytes, count, pages, encoding, said = struct.unpack_from("<6I", data, at + 4)
        expect_equal(said, before, "the length of the record before")
        packed = data[at + 40 : at + 40 + payload]
        expect_equal(struct.unpack_from("<Q", data, at + 32)[0], xxh64(packed, xxh64(data[at : at + 32])), "a sum")
        plain = unpack_zstd(packed, plain_bytes)
        names += struct.unpack_from(f"<{pages}Q", plain)
        rest = plain[8 * pages :]
        if encoding == 1:
            references += struct.unpack(f"<{count}H", rest)
        elif encoding == 2:
            different = struct.unpack_from("<I", rest)[0]
            dictionary, last = [], 0
            for distance in struct.unpack_from(f"<{different}I", rest, 4):
                last += distance
                dictionary.append(last)
            references += [dictionary[place] for place in struct.unpack(f"<{count}H", rest[4 + 4 * different :])]
        else:
            expect_equal(encoding, 3, "the encoding")
            references += struct.unpack(f"<{count}I", rest)
        before = 40 + payload
        at += before
    expect_equal(data[at : at + 4], b"QEND", "the trailer's mark")
    said, total, writes, _, pages = struct.unpack_from("<IQQQI", data, at + 4)
    digest = hashlib.blake2b(struct.pack(f"<{len(references)}I", *references) +
                             struct.pack(f"<{len(names)}Q", *names) + struct.pack("<Q", page_bytes), digest_size=32)
    expect_equal((said, total, writes, pages), (before, len(references), sum(one & 1 for one in references), len(names)),
                 "the trailer's counts")
    expect_equal(data[at + 40 : at + 72], digest.digest(), "the hash")
    expect_equal(struct.unpack_from("<Q", data, at + 88)[0], xxh64(data[at : at + 88]), "the trailer's sum")
    expect_equal(len(data), at + 96, "the file's length")
    return page_bytes, names, references, filter_entries


@case()
def the_documented_format():
    """Each encoding, read by a reader that knows the document only."""
    folder = harness.scratch()
    for pages, count, step in ((100, 3000, 1), (40000, 45000, 3), (40000, 300000, 7)):
        wanted = [page if page < pages else page * 7919 % pages for page in range(count)]
        text = " ".join(f"{page * step + 5}{' w' if i % 3 == 0 else ''}" for i, page in enumerate(wanted))
        name = path(folder, "out.qtrace")
        expect_run(quire("convert", path(folder, "in", text), name), 0, b"", b"")
        page_bytes, names, references, _ = decode(name)
        expect_equal(page_bytes, 4096, "page size")
        expect_equal([(names[one >> 1] - 5) // step for one in references], wanted, "pages")
        expect_equal([one & 1 for one in references], [int(i % 3 == 0) for i in range(count)], "writes")


# ------------------------------------------------------------------ convert and info


@case()
def info_says_what_a_trace_holds():
    folder = harness.scratch()
    name = path(folder, "small", "7 0 1w 2 0 3 0 4\n")
    found = info(name)
    expect_equal((found["format"], found["references"], found["writes"], found["pages"], found["page_size"]),
                 ("text", 8, 1, 6, 4096), "info of text")
    expect_run(quire("convert", "--page-size", "1K", name, path(folder, "out")), 0, b"", b"")
    found = info(path(folder, "out"), "--check")
    expect_equal((found["format"], found["references"], found["writes"], found["pages"], found["page_size"],
                  found["checked"]), ("quire", 8, 1, 6, 1024, True), "info of our own")
    expect_equal(info(path(folder, "out"), "--page-size", "4K")["pages"], 2, "larger pages")
    text = expect_run(quire("info", path(folder, "out")), 0, err=b"").out.decode()
    expect("references                    8" in text, f"got {text}")


@case()
def convert_through_pipes():
    folder = harness.scratch()
    out = expect_run(quire("convert", "-", "-", stdin=b"1 2 3 w 1"), 0, err=b"").out
    name = path(folder, "piped", out)
    expect_equal(decode(name)[2], [0, 2, 5, 0], "references")
    again = expect_run(quire("convert", "-", "-", stdin=out), 0, err=b"").out
    expect_equal(again, out, "our format through a pipe")


@case()
def wrong_input():
    """Exit status 2, one line with the file and the offset, no file, and what was there stays."""
    folder = harness.scratch()
    kept = path(folder, "kept", b"1 2 3")
    good = path(folder, "good")
    expect_run(quire("convert", kept, good), 0)
    with open(good, "rb") as file:
        whole = file.read()
    for content, words, message in (
            (b"", (), ": at byte 0: the file is empty, expected a trace"),
            (b"1 2 three", (), ": at byte 4: line 1: 'three', expected a page number, or 'w' behind one"),
            (whole[:-1], (), "no trailer, expected one at the end of a complete trace"),
            (whole[:70], (), ": at byte 70: the file ends, expected 90 bytes more at least"),
            (whole[:100] + b"!" + whole[101:], (), ": at byte 64: a damaged block: its sum is wrong"),
            (b"\0" * 15, ("--format", "raw64"), ": at byte 8: the file ends after 7 bytes of a page number, expected 8"),
            (b"1 2 99999999", ("--address-bits", "32"),
             ": at byte 4: page 99999999, expected one that an address of 32 bits can reach"),
            (b"I  1000,2\n S 20", ("--format", "lackey"), "the file ends within line 2, expected the rest of it")):
        result = quire("convert", *words, path(folder, "bad", content), kept)
        expect_equal((result.status, result.out), (2, b""), f"of {content!r}")
        line = result.err.decode()
        expect(line.startswith("quire: trace convert: ") and line.count("\n") == 1 and message in line, f"got {line!r}")
        with open(kept, "rb") as file:
            expect_equal(file.read(), b"1 2 3", "the file that was there")
    expect_equal(sorted(os.listdir(folder)), ["bad", "good", "kept"], "files")


@case()
def wrong_words():
    for words, message in (
            ((), "trace: expected convert, info or record"), (("play",), "trace: play: expected convert, info or record"),
            (("convert", "a"), "expected two files, IN and OUT, got 1"), (("info",), "expected a trace"),
            (("info", "--format", "gif", "a"), "--format: expected quire, text, raw64, lackey, oracle, csv or recording, got 'gif'"),
            (("info", "--page-size", "3K", "a"), "--page-size: expected a power of two from 1K to 1G, got 3072"),
            (("info", "--address-bits", "65", "a"), "--address-bits: expected at most 64, got 65"),
            (("info", "/nowhere/a"), "/nowhere/a: No such file or directory"),
            (("record",), "expected a program behind the options"),
            (("record", "--filter", "3", "true"), "--filter: expected 0 or a power of two, at most 4096, got 3"),
            (("record", "-o", "/nowhere/a", "true"), "/nowhere/a: cannot be written: No such file or directory")):
        result = quire(*words)
        expect_equal((result.status, result.out), (2, b""), f"of {words}")
        expect(message in result.err.decode(), f"got {result.err!r}")


@case()
def a_full_disk():
    result = quire("convert", "-", "/dev/full", stdin=b"1 2 3")
    expect_equal(result.status, 2, "status")
    expect(b"/dev/full: cannot be written: No space left on device" in result.err, f"got {result.err!r}")


# ------------------------------------------------------------------ record


def recorded(what, *options, status=3):
    """Records tests/e2e/recorded.c; the pages that it touched, by number, in order, and the whole of the result."""
    folder = harness.scratch()
    name = path(folder, "out.qtrace")
    result = expect_run(quire("record", "-o", name, *options, "--", RECORDED, what), status)
    first = int(result.out.split()[0], 16)
    _, names, references, _ = decode(name)
    pages = [(names[one >> 1] - first, one & 1) for one in references]
    return [one for one in pages if 0 <= one[0] < 256], result, name


# Of the pages that were written last some are still in the filter when they are read.
STILL = range(48, 64)
ONCE = [(i, 1) for i in range(64)] + [(i, 0) for i in range(47, -1, -1)]


def without_still(pages):
    return [one for one in pages if one[1] or one[0] not in STILL]


@case()
def record_a_program():
    pages, result, name = recorded("pages")
    expect_equal(without_still(pages), ONCE, "its references")
    expect(b"references (of " in result.err, f"got {result.err!r}")
    found = info(name, "--check")
    expect_equal(found["filter"], 16, "the filter")
    expect(found["unfiltered"] > found["references"] > 126, f"got {found}")


@case()
def record_every_reference():
    pages, _, name = recorded("pages", "--filter", "0")
    wanted = [(i, 1) for i in range(64)] + [(i, 0) for i in range(63, -1, -1)]
    expect_equal(pages, wanted, "its references")
    expect_equal(info(name)["unfiltered"], info(name)["references"], "references before the filter")


@case()
def record_threads():
    pages, _, _ = recorded("threads")
    for thread in range(4):
        own = [(page - 64 * thread, write) for page, write in pages if page // 64 == thread]
        expect_equal(without_still(own), ONCE, f"of thread {thread}")


@case()
def record_not_the_child():
    pages, _, _ = recorded("child")
    expect_equal(pages, [], "the child's references")


@case()
def record_what_closes_everything():
    expect_equal(without_still(recorded("closed")[0]), ONCE, "its references")


@case()
def record_what_is_killed():
    pages, _, _ = recorded("killed", status=128 + signal.SIGKILL)
    expect_equal(without_still(pages), ONCE, "its references")


@case()
def record_up_to_exec():
    pages, result, _ = recorded("exec")
    expect_equal(pages, [], "its references")
    expect(b"replaced itself by another one (exec)" in result.err, f"got {result.err!r}")


@case()
def record_pages_of_1k():
    pages, _, name = recorded("pages", "--page-size", "1K")
    expect_equal(info(name)["page_size"], 1024, "page size")
    expect(info(name, "--page-size", "4K")["pages"] < info(name)["pages"], "fewer large pages")


@case()
def record_a_script():
    folder = harness.scratch()
    name = path(folder, "script", "#! /bin/sh -e\necho $1 $#\ncat\nexit 5\n")
    os.chmod(name, 0o755)
    result = quire("record", "-o", path(folder, "out"), name, "a b", "c", stdin=b"input")
    expect_run(result, 5, b"a b 2\ninput")
    expect_equal(info(path(folder, "out"))["format"], "quire", "format")


@case()
def record_what_cannot_be_run():
    folder = harness.scratch()
    text = path(folder, "text", "no program\n")
    for name, mode, status in ((text, 0o644, 126), (text, 0o755, 126), (path(folder, "none"), None, 127), ("no-such-thing", None, 127)):
        if mode:
            os.chmod(name, mode)
        result = quire("record", "-o", path(folder, "out"), name)
        expect_equal((result.status, result.out), (status, b""), name)
        expect(name.encode() in result.err, f"got {result.err!r}")
    expect_equal(os.listdir(folder), ["text"], "files")


@case()
def record_until_interrupted():
    """Ctrl-C ends the program, and the trace is there."""
    folder = harness.scratch()
    name = path(folder, "out")
    terminal = harness.Terminal([harness.QUIRE, "trace", "record", "-o", name, "--", "sh", "-c", "echo begun; sleep 100"])
    terminal.wait_for("begun")
    time.sleep(0.3)
    terminal.type("\x03")
    expect_equal(terminal.finish(), 128 + signal.SIGINT, "status")
    terminal.close()
    expect(info(name, "--check")["references"] > 1000, "references")


@case()
def a_recording_that_is_killed_leaves_nothing():
    folder = harness.scratch()
    with subprocess.Popen([harness.QUIRE, "trace", "record", "-o", path(folder, "out"), "--", "sh", "-c", "echo $$; sleep 100"],
                          stdout=subprocess.PIPE) as process:
        pid = int(process.stdout.readline())
        process.kill()
        process.wait()
        for _ in range(100):
            if not os.path.exists(f"/proc/{pid}") or open(f"/proc/{pid}/stat", encoding="ascii").read().split()[2] == "Z":
                break
            time.sleep(0.05)
        else:
            raise harness.Failure("the program goes on")
        process.stdout.close()
    expect_equal(os.listdir(folder), [], "files")


harness.main()
