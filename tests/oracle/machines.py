"""How QEMU is started for each page-table format, and what its monitor is asked."""

import json
import os
import socket
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
MEMORY = 6 << 30  # a file with holes


class Machine:
    """An architecture: how its guest is built and its QEMU started."""

    def __init__(self, target, compile_args, qemu):
        self.target, self.compile_args, self.qemu = target, compile_args, qemu


MACHINES = {
    "x86_64": Machine("x86_64-unknown-none-elf", ["-mno-red-zone", "-mgeneral-regs-only", "-fno-pic"],
                      ["qemu-system-x86_64", "-M", "q35,memory-backend=ram", "-cpu", "max", "-bios", "qboot.rom"]),
    "riscv64": Machine("riscv64-unknown-elf", ["-march=rv64imac", "-mabi=lp64", "-mcmodel=medany", "-mno-relax"],
                       ["qemu-system-riscv64", "-M", "virt,memory-backend=ram", "-cpu", "rv64,svnapot=on,svpbmt=on", "-bios", "none"]),
    "aarch64": Machine("aarch64-unknown-none-elf", ["-mgeneral-regs-only", "-fno-pic", "-mstrict-align"],
                       ["qemu-system-aarch64", "-M", "virt,memory-backend=ram", "-cpu", "max"]),
}

# A format and its machine.
FORMATS = {
    "x86_64": "x86_64",
    "x86_64_5": "x86_64",
    "sv39": "riscv64",
    "sv48": "riscv64",
    "sv57": "riscv64",
    "aarch64": "aarch64",
}


def build_guest(name, path):
    """Compiles the guest's program of a machine with clang and lld, which build for every machine."""
    machine = MACHINES[name]
    folder = os.path.join(HERE, "guest")
    sources = [os.path.join(folder, one) for one in ("main.c", name + ".c", name + ".S")]
    flags = ["-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-nostdlib", "-static", "-fuse-ld=lld",
             "-I", TOP, "-Wl,--build-id=none", "-Wl,-T," + os.path.join(folder, name + ".ld")]
    subprocess.run(["clang", "--target=" + machine.target] + machine.compile_args + flags + ["-o", path] + sources, check=True)


class Qemu:
    """A running machine whose memory is the file `memory`, and its monitor."""

    def __init__(self, name, folder, extra=()):
        self.memory = os.path.join(folder, "memory")
        guest, monitor = os.path.join(folder, "guest.elf"), os.path.join(folder, "monitor")
        with open(self.memory, "wb") as file:
            file.truncate(MEMORY)
        build_guest(name, guest)
        self.process = subprocess.Popen(
            MACHINES[name].qemu +
            ["-accel", "tcg", "-m", str(MEMORY >> 20), "-object",
             f"memory-backend-file,id=ram,size={MEMORY},mem-path={self.memory},share=on", "-nodefaults", "-display", "none",
             "-no-reboot", "-kernel", guest, "-qmp", f"unix:{monitor},server=on,wait=off", *extra],
            stdin=subprocess.DEVNULL)
        self.stream = self._connect(monitor)

    def _connect(self, path):
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        for _ in range(200):
            try:
                link.connect(path)
                break
            except OSError:
                if self.process.poll() is not None:
                    raise RuntimeError(f"QEMU ended with status {self.process.returncode}") from None
                time.sleep(0.05)
        stream = link.makefile("rw", encoding="utf-8")
        stream.readline()  # the greeting
        self._send(stream, {"execute": "qmp_capabilities"})
        return stream

    @staticmethod
    def _send(stream, command):
        stream.write(json.dumps(command) + "\n")
        stream.flush()
        while True:
            line = stream.readline()
            answer = json.loads(line) if line else {"error": "the monitor is gone"}
            if "error" in answer:
                raise RuntimeError(str(answer["error"]))
            if "return" in answer:
                return answer["return"]

    def ask(self, command):
        """A command of the monitor for people, and its text."""
        return self._send(self.stream, {"execute": "human-monitor-command", "arguments": {"command-line": command}})

    def end(self):
        self.process.kill()
        self.process.wait()
        os.unlink(self.memory)
