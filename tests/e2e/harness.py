"""What the end-to-end suites share: running `quire`, terminals, and a runner with time limits.

A suite is a Python program that marks its cases with @case and ends with harness.main(). Each case runs in a
process group of its own and is killed at its time limit, with all that it started. Output: one line a case,
`ok NAME`, `skip NAME: why` or `FAIL NAME: why`.
"""

import argparse
import errno
import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("QUIRE_BUILD", os.path.join(TOP, "build"))
QUIRE = os.environ.get("QUIRE", os.path.join(BUILD, "quire"))
SLOW = int(os.environ.get("QUIRE_TEST_SLOW", "1"))  # multiplies every time limit

_cases = []


class Failure(Exception):
    """A case did not see what it expected."""


class Skip(Exception):
    """A case cannot run here."""


def case(timeout=60, name=None):
    """Marks a function as a test case."""

    def mark(function):
        _cases.append((name or function.__name__, function, timeout * SLOW))
        return function

    return mark


def expect(condition, message):
    if not condition:
        raise Failure(message)


def expect_equal(got, wanted, what):
    if got != wanted:
        raise Failure(f"{what}: expected {shorten(wanted)}, got {shorten(got)}")


def shorten(value, most=600):
    text = repr(value)
    return text if len(text) <= most else text[: most // 2] + " ... " + text[-most // 2 :]


def scratch():
    """A folder that goes away with the case."""
    return tempfile.mkdtemp(prefix="quire-test-", dir=os.environ.get("TMPDIR", "/tmp"))


class Result:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    def __repr__(self):
        return f"status {self.status}, out {shorten(self.out, 300)}, err {shorten(self.err, 600)}"


def run(words, stdin=b"", timeout=None, env=None, **more):
    """Runs a command of the host; its status is 128 + n when a signal ended it."""
    full = dict(os.environ, **(env or {}))
    done = subprocess.run(words, input=stdin, capture_output=True, timeout=timeout, env=full, check=False, **more)
    status = done.returncode if done.returncode >= 0 else 128 - done.returncode
    return Result(status, done.stdout, done.stderr)


def boot(*words, stdin=b"", timeout=None, env=None, limit=None, **more):
    """quire boot. Without a limit of its own it ends a little before the case's."""
    head = [QUIRE, "boot"]
    if limit is not None:
        head += ["--timeout", str(limit)]
    return run(head + [str(word) for word in words], stdin=stdin, timeout=timeout, env=env, **more)


def expect_run(result, status=0, out=None, err=None):
    """The whole result of a run, compared; None: not compared."""
    if result.status != status:
        raise Failure(f"expected status {status}, got {result!r}")
    if out is not None and result.out != out:
        raise Failure(f"standard output: expected {shorten(out)}, got {shorten(result.out)}; {shorten(result.err)}")
    if err is not None and result.err != err:
        raise Failure(f"standard error: expected {shorten(err)}, got {shorten(result.err)}")
    return result


class Terminal:
    """A command on a pseudo-terminal of its own."""

    def __init__(self, words, rows=24, columns=80, env=None):
        self.text = b""
        looked_at, look = os.pipe()
        try:
            self.pid, self.fd = pty.fork()
        except OSError as why:
            raise Skip(f"this host has no pseudo-terminals: {why}") from why
        if self.pid == 0:
            os.environ.update(env or {})
            try:
                os.close(look)
                os.read(looked_at, 1)  # until the settings before it are known
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
                os.execvp(words[0], words)
            finally:
                os._exit(127)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.attributes = termios.tcgetattr(self.fd)
        os.close(looked_at)
        os.close(look)

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text):
        os.write(self.fd, text if isinstance(text, bytes) else text.encode())

    def pump(self, seconds):
        """Reads for at most so long; False at the end."""
        ready, _, _ = select.select([self.fd], [], [], seconds)
        if not ready:
            return True
        try:
            block = os.read(self.fd, 65536)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return False
        self.text += block
        return bool(block)

    def wait_for(self, pattern, seconds=30):
        """Reads until the pattern appears behind what was matched before; gives the match."""
        deadline = time.monotonic() + seconds * SLOW
        compiled = re.compile(pattern if isinstance(pattern, bytes) else pattern.encode(), re.S)
        while True:
            match = compiled.search(self.text)
            if match:
                self.text = self.text[match.end() :]
                return match
            if time.monotonic() > deadline or not self.pump(0.2):
                raise Failure(f"waited for {pattern!r}, the terminal shows {shorten(self.text)}")

    def settle(self, quiet=1.0, seconds=30):
        """Reads until nothing has come for a while; gives all text that is not matched yet."""
        deadline = time.monotonic() + seconds * SLOW
        while time.monotonic() < deadline:
            before = len(self.text)
            if not self.pump(quiet * SLOW) or len(self.text) == before:
                break
        return self.text

    def finish(self, seconds=30):
        """Waits for the command's end; its exit status."""
        deadline = time.monotonic() + seconds * SLOW
        while time.monotonic() < deadline:
            self.pump(0.1)
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                while self.pump(0) and select.select([self.fd], [], [], 0)[0]:
                    pass
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code
        raise Failure(f"the command did not end; the terminal shows {shorten(self.text)}")

    def close(self):
        os.close(self.fd)


def _run_case(function):
    """In the case's own process: its verdict on a pipe would be lost with the process, so the text is given back
    as the exit's message through stdout of the parent."""
    try:
        function()
    except Skip as why:
        return "skip", str(why)
    except Failure as why:
        return "FAIL", str(why)
    except subprocess.TimeoutExpired as why:
        return "FAIL", f"no end within {why.timeout} s"
    except Exception:  # pylint: disable=broad-except
        return "FAIL", " | ".join(traceback.format_exc().strip().splitlines()[-2:])
    return "ok", ""


class _Running:
    """A case in a process group of its own."""

    def __init__(self, name, function, timeout):
        self.name, self.started, self.deadline = name, time.monotonic(), time.monotonic() + timeout
        self.timeout = timeout
        self.folder = tempfile.mkdtemp(prefix="quire-case-")
        self.reader, writer = os.pipe()
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.setpgid(0, 0)
            os.close(self.reader)
            os.environ["TMPDIR"] = self.folder
            os.environ.setdefault("XDG_RUNTIME_DIR", self.folder)
            tempfile.tempdir = self.folder
            verdict, why = _run_case(function)
            os.write(writer, f"{verdict} {why}".encode()[:60000])
            os._exit(0)
        os.close(writer)

    def poll(self):
        """The verdict and the reason, or None while it runs."""
        done, _ = os.waitpid(self.pid, os.WNOHANG)
        late = time.monotonic() > self.deadline
        if not done and not late:
            return None
        self._kill_group()
        if not done:
            os.waitpid(self.pid, 0)
        text = os.read(self.reader, 65536).decode(errors="replace")
        os.close(self.reader)
        shutil.rmtree(self.folder, ignore_errors=True)
        if late and not done:
            return "FAIL", f"not done within {self.timeout} s"
        verdict, _, why = text.partition(" ")
        return (verdict, why) if verdict else ("FAIL", "the test ended without a word")

    def _kill_group(self):
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def main():
    parser = argparse.ArgumentParser(description="end-to-end tests")
    parser.add_argument("-j", type=int, default=int(os.environ.get("QUIRE_TEST_JOBS", "2")), help="cases at a time")
    parser.add_argument("-l", action="store_true", help="list the cases")
    parser.add_argument("names", nargs="*", help="only cases whose name contains one of these")
    options = parser.parse_args()
    waiting = [one for one in _cases if not options.names or any(part in one[0] for part in options.names)]
    if options.l:
        print("\n".join(one[0] for one in waiting))
        return
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # for our children, whatever we were started with
    running, failed = [], False
    while waiting or running:
        while waiting and len(running) < options.j:
            running.append(_Running(*waiting.pop(0)))
        time.sleep(0.02)
        for one in list(running):
            verdict = one.poll()
            if not verdict:
                continue
            running.remove(one)
            failed = failed or verdict[0] == "FAIL"
            seconds = time.monotonic() - one.started
            why = ": " + verdict[1].replace("\n", " | ") if verdict[1] else ""
            print(f"{verdict[0]} {one.name}{why}" + (f" ({seconds:.1f} s)" if verdict[0] == "ok" else ""), flush=True)
    sys.exit(1 if failed else 0)
