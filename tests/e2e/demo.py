#!/usr/bin/python3
"""The demonstration of paging, with a real picture of the machine's screen."""

import os

import harness
from harness import boot, case, expect, expect_equal, expect_run

CELL_WIDTH, CELL_HEIGHT = 9, 16  # of the VGA's text mode: 720 x 400 pixels, 80 x 25 cells


def read_ppm(path):
    """Width, height and the pixels, three bytes each."""
    with open(path, "rb") as file:
        data = file.read()
    words, at = [], 0
    while len(words) < 4:
        while data[at : at + 1].isspace():
            at += 1
        end = at
        while not data[end : end + 1].isspace():
            end += 1
        words.append(data[at:end])
        at = end
    expect_equal((words[0], words[3]), (b"P6", b"255"), "the picture's format")
    return int(words[1]), int(words[2]), data[at + 1 :]


def cells(path):
    """The picture of each cell: rows of 8 pixels, True where it is not the background of its first pixel."""
    width, height, pixels = read_ppm(path)
    cell_width = width // 80
    expect((width, height) in ((720, 400), (640, 400)), f"the screen is {width} x {height}")
    grid = []
    for row in range(25):
        line = []
        for column in range(80):
            glyph = []
            for y in range(CELL_HEIGHT):
                start = ((row * CELL_HEIGHT + y) * width + column * cell_width) * 3
                pixels_of_row = [pixels[start + 3 * x : start + 3 * x + 3] for x in range(8)]
                glyph.append(tuple(pixels_of_row))
            line.append(tuple(glyph))
        grid.append(line)
    return grid


def font():
    """The glyphs of the standard VGA font that "New!" needs, as rows of bits (8 x 16, code page 437)."""
    rows = {
        "N": "0000c6e6f6fedecec6c6c6c600000000",
        "e": "00000000007cc6fec0c0c67c00000000",
        "w": "0000000000c3c3c3dbdbff6600000000",  # the BIOS's other form, for cells of 9 dots
        "!": "0000183c3c3c18181800181800000000",
    }
    return {letter: bytes.fromhex(text) for letter, text in rows.items()}


def shape(glyph):
    """A cell's picture as bits: 1 where the pixel is the brighter of its two colours."""
    colours = {pixel for row in glyph for pixel in row}
    if len(colours) == 1:
        return bytes(16)
    bright = max(colours, key=sum)
    return bytes(sum(0x80 >> x for x in range(8) if row[x] == bright) for row in glyph)


def wrong_way_round(bits):
    return bytes(~byte & 255 for byte in bits)


@case(timeout=180)
def new_is_on_the_screen():
    """Page 0 is mapped to the frame 0xb8000, and what is written through it is on the screen."""
    path = os.path.join(harness.scratch(), "screen.ppm")
    result = boot("--demo", "paging", "--screenshot", path, limit=170)
    expect_equal(result.status, 0, f"status: {result!r}")
    expect(os.path.exists(path), f"no picture: {result!r}")
    grid = [[shape(glyph) for glyph in line] for line in cells(path)]
    wanted = [font()[letter] for letter in "New!"]
    found = [(row, column) for row in range(25) for column in range(77)
             if all(grid[row][column + i] in (wanted[i], wrong_way_round(wanted[i])) for i in range(4))]
    near = [[grid[row][column].hex() for column in range(80) if any(grid[row][column])][:6] for row in range(25)]
    expect(len(found) == 1, f'"New!" is there {len(found)} times; cells: {[line for line in near if line]}')


@case(timeout=180)
def demonstration_explains_itself():
    result = boot("--demo", "paging", limit=170)
    expect_run(result, 0)
    text = result.out.decode(errors="replace").lower()
    for word in ("identity", "offset", "temporary", "recursive", "0xb8000", "new!", "cr3", "132 kib"):
        expect(word in text, f"no {word!r} in {text}")


@case(timeout=120)
def demonstration_does_not_need_a_terminal():
    expect_run(boot("--demo", "paging", stdin=b"", limit=110, env={"TERM": ""}), 0)


harness.main()
