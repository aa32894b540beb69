#!/usr/bin/python3
"""Wrong values of the options of paging: the command says what it expected, exits with 2, and starts no machine."""

import harness
from harness import boot, case, expect, expect_equal

# The words, and what the message must say beside the option's name.
WRONG = (
    ("--swap 0", "64K to"),
    ("--swap 3K", "64K to"),
    ("--swap x", "SIZE or SIZE:FILE"),
    ("--swap 8M:", "SIZE or SIZE:FILE"),
    ("--swap 8M:/nonexistent/file", "/nonexistent/file"),
    ("--swap-compress zip", "lz4, lz4:SIZE"),
    ("--swap-compress lz4:x", "size such as"),
    ("--swap-compress lz4:0", "64K to the machine's memory"),
    ("--swap-compress lz4:1G", "64K to the machine's memory"),
    ("--policy nosuch", "the name of a policy"),
    ("--policy lru", "needs every reference"),
    ("--policy clock:nosuch=1", "an option of this policy"),
    ("--scope near", "global or local"),
    ("--allocation equal", "--scope local"),
    ("--scope local --allocation fair", "equal, proportional or pff"),
    ("--scope local --allocation pff:low=9,high=1", "low at most as large as high"),
    ("--scope local --allocation pff:window=0", "a window above 0"),
    ("--class x", "PROGRAM=vvip:SIZE"),
    ("--class =vip:1M", "PROGRAM=vvip:SIZE"),
    ("--class x=royal:1M", "PROGRAM=vvip:SIZE"),
    ("--class x=vvip:-1", "PROGRAM=vvip:SIZE"),
    ("--class x=vvip:65G", "at most the machine's memory"),
    ("--load-control", "--swap or --swap-compress"),
    ("--read-ahead 0", "1 (none) to 32"),
    ("--read-ahead 33", "1 (none) to 32"),
    ("--read-ahead x", "a whole number"),
    ("--events /nonexistent/folder/file", "/nonexistent/folder/file"),
    ("--record /nonexistent/folder/file", "/nonexistent/folder/file"),
    ("--record-window 4 --record /dev/null", "8 to 256"),
)


@case(timeout=100)
def wrong_values_say_what_was_expected():
    for words, said in WRONG:
        result = boot(*words.split(), "--", "busybox", "true", timeout=30)
        message = result.err.decode()
        expect_equal((result.status, result.out), (2, b""), f"status and output of {words}: {result!r}")
        option = [word for word in words.split() if word.startswith("--")]
        expect(message.startswith("quire: boot: ") and said in message, f"{words}: expected '{said}' in {message!r}")
        expect(any(word in message for word in option), f"{words}: no option's name in {message!r}")


harness.main()
