"""Swap disks that fail or are slow: a QEMU to be named by $QUIRE_QEMU, with a driver of its own between the disk and its file."""

import os
import shutil
import sys

import harness


def qemu_with(driver, file, more=()):
    """The driver calls its file `file`."""
    wrapper = os.path.join(harness.scratch(), "qemu")
    with open(wrapper, "w", encoding="ascii") as script:
        script.write(f"""#!{sys.executable}
import os, sys
words = [word.replace("driver=file,node-name=swap-file,filename=", "driver={driver},node-name=swap-file,{file}.driver=file,{file}.filename=")
         .replace(",aio=", ",{file}.aio=") for word in sys.argv[1:]]
os.execvp({shutil.which("qemu-system-x86_64")!r}, ["qemu-system-x86_64"] + {list(more)!r} + words)
""")
    os.chmod(wrapper, 0o755)
    return {"QUIRE_QEMU": wrapper}


def failing_qemu(event, once=False, after=20):
    """Its swap disk gives an error from that `event` on (read_aio or write_aio: requests)."""
    config = os.path.join(harness.scratch(), "blkdebug")
    with open(config, "w", encoding="ascii") as file:
        file.write("".join(f'[set-state]\nstate = "{n}"\nevent = "{event}"\nnew_state = "{n + 1}"\n\n' for n in range(1, after)))
        file.write(f'[inject-error]\nstate = "{after}"\nevent = "{event}"\niotype = "{event[:-4]}"\nerrno = "5"\nonce = "{"on" if once else "off"}"\n')
    return qemu_with(f"blkdebug,config={config}", "image")


def slow_qemu(reads):
    """Its swap disk gives so many reads in a second."""
    return qemu_with("throttle,throttle-group=slow", "file", ("-object", f"throttle-group,id=slow,x-iops-read={reads}"))
