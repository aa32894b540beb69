#!/usr/bin/python3
"""The machine on a terminal: a shell with line editing, and the screen of vi compared with this host's."""

import os
import shutil
import termios

import harness
from harness import Terminal, case, expect, expect_equal
from screen import Screen

BUSYBOX = shutil.which("busybox")
PROMPT = r"quire:[^\r\n]*# "


def shell(**more):
    terminal = Terminal([harness.QUIRE, "boot", "--timeout", "110"], env={"TERM": "vt100"}, **more)
    terminal.wait_for(PROMPT, 60)
    return terminal


def command(terminal, text, pattern):
    terminal.type(text + "\r")
    match = terminal.wait_for(pattern)
    terminal.wait_for(PROMPT)
    return match


def leave(terminal, status=0):
    terminal.type(f"exit {status}\r")
    expect_equal(terminal.finish(), status, "status of the shell")
    expect_equal(termios.tcgetattr(terminal.fd)[:4], terminal.attributes[:4], "the terminal's settings afterwards")


@case(timeout=120)
def shell_runs_commands():
    terminal = shell()
    command(terminal, "echo $((6 * 7))", r"\r\n42\r\n")
    command(terminal, "ls / | tr '\\n' ' '", r"bin dev etc proc root sbin share sys tmp usr var")
    command(terminal, "cd /tmp; pwd", r"\r\n/tmp\r\n")
    leave(terminal, 5)


@case(timeout=120)
def shell_edits_lines():
    terminal = shell()
    terminal.type("echo acd\x1b[D\x1b[Db\r")  # arrow left, twice
    terminal.wait_for(r"\r\nabcd\r\n")
    terminal.wait_for(PROMPT)
    terminal.type("echo wrong\x7f\x7f\x7f\x7f\x7fright\r")
    terminal.wait_for(r"\r\nright\r\n")
    terminal.wait_for(PROMPT)
    terminal.type("\x1b[A\x1b[A\r")  # history: two lines up
    terminal.wait_for(r"\r\nabcd\r\n")
    terminal.wait_for(PROMPT)
    terminal.type("one two\x01echo \x05 three\r")  # Ctrl-A, Ctrl-E
    terminal.wait_for(r"\r\none two three\r\n")
    terminal.wait_for(PROMPT)
    terminal.type("echo gone\x15echo kept\r")  # Ctrl-U
    terminal.wait_for(r"\r\nkept\r\n")
    terminal.wait_for(PROMPT)
    terminal.type("ls /pro\t")  # completion
    terminal.wait_for(r"/proc")
    terminal.type("\x15")
    leave(terminal)


@case(timeout=120)
def shell_interrupts_and_ends():
    terminal = shell()
    terminal.type("sleep 100\r")
    terminal.wait_for(r"sleep 100\r\n")
    terminal.settle(0.7)
    terminal.type("\x03")
    terminal.wait_for(PROMPT)
    command(terminal, "echo status $?", r"\r\nstatus 130\r\n")
    terminal.type("unfinished\x03")
    terminal.wait_for(PROMPT)
    terminal.type("cat\r")
    terminal.settle(0.7)
    terminal.type("typed\r")
    terminal.wait_for(r"typed\r\ntyped\r\n")
    terminal.type("\x04")  # the end of the file for cat
    terminal.wait_for(PROMPT)
    terminal.type("\x04")  # and for the shell
    expect_equal(terminal.finish(), 0, "status")


@case(timeout=120)
def shell_stops_and_continues_jobs():
    terminal = shell()
    terminal.type("sleep 50\r")
    terminal.wait_for(r"sleep 50\r\n")
    terminal.settle(0.7)
    terminal.type("\x1a")
    terminal.wait_for(r"Stopped")
    terminal.wait_for(PROMPT)
    command(terminal, "jobs", r"Stopped +sleep 50")
    command(terminal, "bg; kill %1; wait; echo done", r"done\r\n")
    leave(terminal)


@case(timeout=120)
def terminal_has_a_size():
    terminal = shell(rows=31, columns=97)
    command(terminal, "stty size", r"\r\n31 97\r\n")
    terminal.resize(40, 120)
    terminal.settle(0.5)
    command(terminal, "stty size", r"\r\n40 120\r\n")
    command(terminal, "tty; test -t 0 && test -t 1 && echo is one", r"/dev/[a-z0-9]+\r\nis one")
    leave(terminal)


@case(timeout=120)
def terminal_without_echo():
    terminal = shell()
    command(terminal, "stty -echo; echo set", r"\r\nset\r\n")
    terminal.type("read -s x; echo \"<$x>\"\r")
    terminal.settle(0.7)
    terminal.type("secret\r")
    terminal.wait_for(r"<secret>\r\n")
    terminal.wait_for(PROMPT)
    terminal.type("stty sane\r")
    terminal.wait_for(PROMPT)
    leave(terminal)


@case(timeout=120)
def some_streams_are_terminals():
    """Input from the terminal, output into a pipe: each stream is what it is on the host."""
    program = 'for i in 0 1 2; do test -t $i && echo $i is one || echo $i is none; done; read x; echo "<$x>"'
    terminal = Terminal(["sh", "-c", f"{harness.QUIRE} boot --timeout 100 -- sh -c '{program}' | cat"], env={"TERM": "vt100"})
    terminal.wait_for(r"0 is one\r\n1 is none\r\n2 is one\r\n", 60)
    terminal.type("typed\r")
    terminal.wait_for(r"<typed>\r\n")
    expect_equal(terminal.finish(), 0, "status")


VI_KEYS = [":set number\r", "10G", "dd", "p", "oa new line of text\x1b", "/needle\r", "cwfound\x1b", "x", "u", "G", "$", "i the end \x1b",
           "1G", "3yy", "P", ":%s/line/LINE/g\r", "\x06", "\x02", "J", ":w\r"]


def vi_screens(words, file):
    """The screens after each key sequence, and what is in the file at the end."""
    terminal = Terminal(words, rows=24, columns=80, env={"TERM": "vt100"})
    screen, shots = Screen(24, 80), []
    terminal.wait_for(r"~|line", 60)
    for keys in [""] + VI_KEYS:
        if keys:
            terminal.type(keys)
        screen.feed(terminal.settle(0.8).decode(errors="replace"))
        terminal.text = b""
        shots.append(screen.lines())
    terminal.type(":q!\r")
    terminal.finish()
    with open(file, encoding="ascii") as opened:
        return shots, opened.read()


@case(timeout=240)
def vi_draws_the_same_screen():
    folder = harness.scratch()
    results = []
    for place in ("here", "there"):
        os.mkdir(os.path.join(folder, place))
        path = os.path.join(folder, place, "text")
        with open(path, "w", encoding="ascii") as file:
            file.writelines(f"line {i} {'needle' if i == 33 else 'hay' * (i % 9)}\n" for i in range(1, 60))
        if place == "here":
            os.chdir(os.path.join(folder, place))
            results.append(vi_screens([BUSYBOX, "vi", "text"], path))
        else:
            results.append(vi_screens([harness.QUIRE, "boot", "--timeout", "200", "--share", os.path.join(folder, place), "--",
                                       "sh", "-c", "cd /share && exec busybox vi text"], path))
    (here, here_text), (there, there_text) = results
    expect("LINE" in here_text and "found" in here_text, "vi on this host did what was typed")
    for number, keys in enumerate([""] + VI_KEYS):
        if number == 0:
            continue  # the first may still show the machine's own output
        expect_equal(there[number], here[number], f"the screen after {keys!r}")
    expect_equal(there_text, here_text, "the file")


harness.main()
