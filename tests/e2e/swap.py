#!/usr/bin/python3
"""Swap: programs larger than the machine, on a disk, in compressed memory and in both; disks that fail; swap that is full."""

import os

import harness
from disks import failing_qemu, slow_qemu
from harness import boot, case, expect, expect_equal, expect_run

PYTHON = "/usr/bin/python3"

# A dictionary of about 35 MB, made and looked up.
DICTIONARY = """
d = {}
for i in range(150000):
    d["key%d" % i] = "value %d" % (i * i)
total = 0
for i in range(150000):
    total = (total * 31 + int(d["key%d" % i].split()[1])) % 1000000007
print(len(d), total)
"""

# Pages that no compressor makes smaller, so that they go to the disk; each is read again, several times, in another order. Says
# how far it has come, so that whoever looks knows what was right before the end.
NOISE = """
import os, random, zlib
pages, sums = [], []
for i in range(%d):
    pages.append(bytearray(random.Random(i).randbytes(4096)))
    sums.append(zlib.crc32(pages[i]))
print("made", flush=True)
for turn in range(2):
    for i in range(len(pages)):
        n = i * 1013 %% len(pages)
        if zlib.crc32(pages[n]) != sums[n]:
            print("wrong bytes in page", n, flush=True)
            os._exit(1)
print("right")
"""


def python(*words, program=DICTIONARY, **more):
    return boot("--memory", "32M", "--root", "/", "--env", "PYTHONHASHSEED=0", *words, "--", PYTHON, "-c", program, **more)


def expect_as_host(*words):
    host = harness.run([PYTHON, "-c", DICTIONARY], env={"PYTHONHASHSEED": "0"})
    expect_run(python(*words, limit=170), 0, host.out)


@case(timeout=180)
def dictionary_on_a_disk():
    expect_as_host("--swap", "128M")


@case(timeout=180)
def dictionary_in_compressed_memory():
    expect_as_host("--swap-compress", "lz4:16M")


@case(timeout=180)
def dictionary_in_both():
    expect_as_host("--swap", "128M", "--swap-compress", "lz4:4M", "--policy", "wsclock", "--read-ahead", "4")


@case(timeout=180)
def noise_goes_to_the_disk():
    result = python("--swap", "64M", "--swap-compress", "lz4:4M", program=NOISE % 7000, limit=170)
    expect_run(result, 0, b"made\nright\n")


@case(timeout=60)
def rows_of_the_bench_on_a_ram_disk():
    """The program checks what comes back; larger than memory, and sent out by madvise."""
    program = os.path.join(harness.BUILD, "bench", "vmbench")
    result = boot("--memory", "160M", "--icount", "--swap-compress", "none:88M", "--", program, "swap:", limit=50)
    expect_run(result, 0)
    expect_equal(result.out.count(b"swap:"), 5, "rows in " + repr(result.out))


@case(timeout=120)
def fewer_major_faults_than_linux():
    """Two of the four orders of bench/patterns, by the default policy; the bounds are 1.05 of Linux's."""
    for order, most in (("cyclic", 6145 * 1.05), ("hot-scan", 4128 * 1.05)):
        program = os.path.join(harness.BUILD, "bench", "patterns")
        result = boot("--memory", "78240K", "--icount", "--swap", "256M", "--", program, order, limit=60)
        expect_run(result, 0)
        name, faults, _ = result.out.split()
        expect(name.decode() == order and int(faults) <= most, f"{result.out!r}, expected at most {most:.0f}")


@case(timeout=30)
def memory_for_swap_that_cannot_be():
    for words, wanted in ((["none"], b"none:SIZE"), (["zip:8M"], b"lz4:SIZE or none:SIZE"), (["none:8M", "--swap", "8M"], b"no --swap"),
                          (["none:8G"], b"the machine's memory")):
        result = boot("--swap-compress", *words, "--", "busybox", "true", limit=10)
        expect(result.status == 2 and wanted in result.err, repr(result))


@case(timeout=60)
def file_is_kept_and_checked():
    folder = harness.scratch()
    path = os.path.join(folder, "swap")
    words = ("--swap", "8M:" + path, "--", "busybox", "true")
    expect_run(boot(*words, limit=30), 0)
    expect_equal(os.path.getsize(path), 8 << 20, "size of the file")
    expect_run(boot(*words, limit=30), 0)  # once more: it is ours
    expect_run(boot("--swap", "4M:" + path, "--", "busybox", "true", limit=30), 0)
    result = boot("--swap", "16M:" + path, "--", "busybox", "true", limit=30)
    expect(result.status == 2 and b"smaller" in result.err, repr(result))
    data = os.path.join(folder, "data")
    with open(data, "wb") as file:
        file.write(b"precious" * 1000000)
    result = boot("--swap", "4M:" + data, "--", "busybox", "true", limit=30)
    expect(result.status == 2 and b"other data" in result.err, repr(result))
    with open(data, "rb") as file:
        expect_equal(file.read(), b"precious" * 1000000, "somebody's data")


@case(timeout=60)
def file_belongs_to_one_machine():
    path = os.path.join(harness.scratch(), "swap")
    first = harness.subprocess.Popen([harness.QUIRE, "boot", "--timeout", "50", "--swap", "4M:" + path, "--", "sh", "-c",
                                      "echo up; cat"], stdin=harness.subprocess.PIPE, stdout=harness.subprocess.PIPE)
    expect_equal(first.stdout.read(3), b"up\n", "output")
    result = boot("--swap", "4M:" + path, "--", "busybox", "true", limit=30)
    expect(result.status == 2 and b"another machine" in result.err, repr(result))
    first.stdin.close()
    expect_equal(first.wait(30), 0, "status of the first")


def page_ins(what, **more):
    program = os.path.join(harness.BUILD, "tests", "guest", "guest-pageins")
    expect_run(boot("--memory", "32M", "--swap", "8M", "--", program, what, limit=50, **more), 0, f"{what}: right\n".encode())


@case(timeout=60)
def faults_during_copies():
    page_ins("copies")


@case(timeout=60)
def faults_in_signal_handlers():
    page_ins("handlers")


ENDS_DURING_A_READ = ("killed", "killed, its brother waits for the page", "killed, the page is shared memory", "another thread exits",
                      "another thread executes a program", "another thread unmaps the page")


def midread(what, out):
    program = os.path.join(harness.BUILD, "tests", "guest", "guest-midread")
    words = ("--memory", "32M", "--swap", "8M", "--read-ahead", "1", "--", program, what)
    expect_run(boot(*words, limit=80, env=slow_qemu(4)), 0, out.encode())


@case(timeout=90)
def ends_during_a_read():
    """A process ends while it waits for a page: what it had is free, what others want is right."""
    midread("ends", "".join(f"{ending}: right\n" for ending in ENDS_DURING_A_READ))


@case(timeout=90)
def starving_waits_for_nobody_else():
    """A process out of memory in its group ends at once, though one of another group, that was ended too, stands in a read."""
    midread("starve", "starve: right\n")


@case(timeout=180)
def read_errors_are_sigbus():
    """Whoever needs a page that cannot be read gets SIGBUS, and nobody wrong bytes."""
    result = python("--swap", "64M", program=NOISE % 7000, limit=170, env=failing_qemu("read_aio"))
    expect_equal(result.status, 128 + 7, f"status: {result!r}")
    expect(b"wrong" not in result.out and b"right" not in result.out, repr(result))


@case(timeout=60)
def pages_that_system_calls_cannot_read_are_sigbus():
    """Nor the stack on which a handler is to run, or from which it returns."""
    program = os.path.join(harness.BUILD, "tests", "guest", "guest-lostpages")
    result = boot("--memory", "64M", "--swap", "8M", "--", program, limit=50, env=failing_qemu("read_aio", after=1))
    ways = ("touch", "write", "read", "handle a signal", "return from a handler")
    expect_run(result, 0, "".join(f"{way}: SIGBUS\n" for way in ways).encode())


@case(timeout=180)
def write_errors_cost_no_data():
    """Pages that cannot be written stay in memory; when nothing else can go, memory is out. Never wrong bytes, never a hang."""
    result = python("--swap", "64M", program=NOISE % 7000, limit=170, env=failing_qemu("write_aio"))
    expect(result.status in (1, 137), f"status: {result!r}")  # MemoryError, or ended for lack of memory
    expect(b"wrong" not in result.out and b"right" not in result.out, repr(result))


@case(timeout=180)
def a_single_write_error_is_survived():
    result = python("--swap", "64M", program=NOISE % 7000, limit=170, env=failing_qemu("write_aio", once=True))
    expect_run(result, 0, b"made\nright\n")


def expect_out_of_memory(result, name=b"python3"):
    """Ended within seconds, and said so; never wrong bytes."""
    expect_equal(result.status, 128 + 9, f"status: {result!r}")
    expect(b"out of memory: ended" in result.err and name in result.err, repr(result.err))
    expect(b"wrong" not in result.out and b"right" not in result.out, repr(result))


@case(timeout=180)
def swap_that_is_full_is_out_of_memory():
    """On a disk, in compressed memory (of what does not compress), in both."""
    for words in (("--swap", "4M"), ("--swap-compress", "lz4:4M"), ("--swap", "2M", "--swap-compress", "lz4:1M")):
        expect_out_of_memory(python(*words, program=NOISE % 9500, limit=55))


@case(timeout=120)
def no_swap_is_out_of_memory():
    expect_out_of_memory(boot("--memory", "24M", "--root", "/", "--", PYTHON, "-c", NOISE % 9500, limit=55))
    expect_out_of_memory(python("--scope", "local", program=NOISE % 9500, limit=55))


# The large one is started behind the small one, which goes on when that has ended.
SMALL_AND_LARGE = """
%s -c "$NOISE" & large=$!
turns=0
while kill -0 $large 2>/dev/null; do turns=$((turns + 1)); sleep 0.1; done
wait $large
echo "large: $?"
[ $turns -gt 0 ] && echo "small goes on"
"""


@case(timeout=120)
def only_the_largest_ends():
    for words in (("--swap", "4M"), ()):
        result = boot("--memory", "32M", "--root", "/", *words, "--env", "NOISE=" + NOISE % 9500, "--", "/bin/sh", "-c", SMALL_AND_LARGE % PYTHON,
                      limit=55)
        expect_run(result, 0, b"made\n" * (b"made" in result.out) + b"large: 137\nsmall goes on\n")
        expect_equal(result.err.count(b"out of memory: ended"), 1, "processes ended")


harness.main()
