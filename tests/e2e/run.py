#!/usr/bin/python3
"""quire run: unmodified programs of this system in a part of their memory, with the right answers."""

import concurrent.futures
import hashlib
import json
import os
import random
import re
import shutil
import socket
import subprocess
import threading
import time

import harness
from harness import case, expect, expect_equal, expect_run

MIB = 1 << 20
PYTHON = "/usr/bin/python3"  # a program itself, where python3 may be a script of a version manager


def quire(*words, **more):
    return harness.run([harness.QUIRE] + [str(word) for word in words], **more)


def need_paging(*options):
    """Skips where no way is there: another C library, say. Or not the one that is asked for: no privilege."""
    result = quire("run", *options, "--memory", "1M", "--store", "lz4:16M", "--space", "16M", "--", "/bin/true")
    if result.status == 125:
        raise harness.Skip(result.err.decode().strip())


NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]


def unprivileged():
    """What takes every privilege away; nothing, where there is none, or others cannot reach the build folder."""
    able = os.geteuid() == 0 and harness.run(NOBODY + [harness.QUIRE, "--version"]).status == 0
    return NOBODY if able else []


UNPRIVILEGED = unprivileged()


def need_nobody():
    """Skips where nothing can be taken away, or is to be had by everybody."""
    need_paging()
    if os.geteuid() != 0:
        raise harness.Skip("not root, so nothing can be taken away")
    with open("/proc/sys/vm/unprivileged_userfaultfd", encoding="ascii") as file:
        if file.read().strip() == "1":
            raise harness.Skip("everybody may have handler threads here")
    if harness.run(NOBODY + [harness.QUIRE, "--version"]).status != 0:
        raise harness.Skip("others cannot reach the build folder")


def scratch_for_all():
    """A folder that nobody can write to as well."""
    folder = harness.scratch()
    os.chmod(os.path.dirname(folder), 0o711)  # the case's own
    os.chmod(folder, 0o777)
    return folder


def memfd_bytes(pid):
    """Pages of regions that are in memory, mapped just now or not."""
    total = 0
    for fd in os.listdir(f"/proc/{pid}/fd"):
        path = f"/proc/{pid}/fd/{fd}"
        try:
            if os.readlink(path).startswith("/memfd:quire"):
                total += os.stat(path).st_blocks * 512
        except OSError:
            pass
    return total


def smaps(pid):
    fields = {}
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as lines:
        for line in lines:
            words = line.split()
            if len(words) == 3 and words[2] == "kB":
                fields[words[0].rstrip(":")] = int(words[1]) * 1024
    return fields


# Who serves faults: threads of ours, or the program's own, which needs no privilege.
THREADS, OWN, PROTECT = "handler threads", "userfaultfd in the faulting thread", "mprotect and SIGSEGV"
WAY_OPTIONS = {THREADS: ["--handlers", "4"], OWN: [], PROTECT: ["--way", "protect"]}


MOST_OTHER = 8 * MIB  # in memory besides what is paged: the program's data and stacks, libquire's tables


class Watched:
    """A program under quire run, whose memory is looked at while it runs."""

    def __init__(self, *words, memory, way, env=None, stdin=None, stdout=subprocess.PIPE):
        need_paging(*WAY_OPTIONS[way])
        self.folder = scratch_for_all()
        self.way = way
        self.report_path = os.path.join(self.folder, "report")
        self.memory = memory
        self.most = self.most_other = 0
        options = [*WAY_OPTIONS[way], "--memory", str(memory), "--store", f"swap:{self.folder}", "--report", self.report_path, "--json"]
        self.process = subprocess.Popen(
            ([] if way == THREADS else UNPRIVILEGED) + [harness.QUIRE, "run", *options, "--", *[str(word) for word in words]],
            stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, env=dict(os.environ, **(env or {})))
        self.watcher = threading.Thread(target=self.watch, daemon=True)
        self.watcher.start()

    def watch(self):
        while self.process.poll() is None:
            try:
                paged, fields = memfd_bytes(self.process.pid), smaps(self.process.pid)
            except OSError:  # it has ended
                continue
            self.most = max(self.most, paged)
            self.most_other = max(self.most_other, fields.get("Pss_Anon", 0))
            time.sleep(0.02)

    def finish(self, stdin=None):
        out, err = self.process.communicate(stdin)
        expect_equal(self.process.returncode, 0, f"status (standard error: {err})")
        self.watcher.join()
        with open(self.report_path, encoding="ascii") as file:
            self.report = json.load(file)
        return out

    def expect_within_budget(self):
        expect(self.most <= self.memory * 1.05, f"{self.most} bytes in memory with a budget of {self.memory}")
        expect(self.most > self.memory // 2, f"the budget of {self.memory} was not used: {self.most}")
        expect(self.report["evictions"] > 0, f"nothing was evicted: {self.report}")
        expect(self.way in self.report["way"], f"the way in use: {self.report}")
        expect(self.most_other <= MOST_OTHER, f"{self.most_other} bytes besides what is paged")


def run_python_array(way):
    program = (
        "import array\n"
        "a = array.array('Q', bytes(128 << 20))\n"
        "for i in range(0, len(a), 64): a[i] = i * i\n"
        "print(sum(a[i] == i * i for i in range(0, len(a), 64)), sum(a[1::512]))\n")
    watched = Watched(PYTHON, "-c", program, memory=16 * MIB, way=way)
    expect_equal(watched.finish(), b"262144 0\n", "what the array held")
    watched.expect_within_budget()


@case(timeout=120)
def python_array():
    """An array of eight times the memory, written and read."""
    run_python_array(THREADS)


@case(timeout=120)
def python_array_unprivileged():
    """The same by the program's own threads, without any privilege."""
    run_python_array(OWN)


@case(timeout=120)
def python_array_by_protection():
    """The same where there is no userfaultfd: by mprotect() and SIGSEGV."""
    run_python_array(PROTECT)


def run_sort(way):
    numbers = list(range(400000))
    random.Random(1).shuffle(numbers)
    text = "".join(f"{number}\n" for number in numbers).encode()
    watched = Watched("sort", "-n", "--parallel=2", "-S", "64M", memory=6 * MIB, way=way,
                      stdin=subprocess.PIPE)
    out = watched.finish(text)
    expect_equal(hashlib.sha256(out).hexdigest(),
                 hashlib.sha256("".join(f"{number}\n" for number in sorted(numbers)).encode()).hexdigest(), "the order")
    watched.expect_within_budget()


@case(timeout=180)
def sort():
    """GNU sort, with threads, in an eighth of what it wants."""
    run_sort(THREADS)


@case(timeout=180)
def sort_unprivileged():
    """The same by the program's own threads, without any privilege."""
    run_sort(OWN)


@case(timeout=60)
def children():
    """Programs that it starts are ordinary; its environment is as it was."""
    need_paging()
    result = quire("run", "--", PYTHON, "-c",
                   "import os, subprocess\n"
                   "print('QUIRE_RUN' in os.environ, 'LD_PRELOAD' in os.environ, flush=True)\n"
                   "x = bytearray(b'abc') * (1 << 20)\n"
                   "os.system('echo system')\n"
                   "print(os.popen('echo popen').read().strip(), flush=True)\n"
                   "print(subprocess.run(['cat'], input=bytes(x), stdout=subprocess.PIPE).stdout == x)\n")
    expect_run(result, out=b"False False\nsystem\npopen\nTrue\n", err=b"")


@case(timeout=180)
def forks():
    """A child, and its child, have the memory of the moment; the parent goes on."""
    need_paging()
    program = (
        "import array, os\n"
        "n = 1 << 19\n"
        "a = array.array('Q', range(n))\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    right = sum(a) == sum(range(n))\n"
        "    for i in range(0, n, 100): a[i] = 0\n"
        "    second = os.fork()\n"
        "    if second == 0:\n"
        "        os._exit(7 if sum(a) == sum(i for i in range(n) if i % 100) else 9)\n"
        "    status = os.waitpid(second, 0)[1]\n"
        "    for i in range(1, n, 100): a[i] = 1\n"
        "    os._exit(5 if right and status == 7 << 8 and a[1] == 1 else 9)\n"
        "for i in range(0, n, 3): a[i] = 7\n"
        "status = os.waitpid(child, 0)[1]\n"
        "print(status == 5 << 8, sum(a) == sum(i if i % 3 else 7 for i in range(n)))\n")
    expect_run(quire("run", "--memory", "2M", "--", PYTHON, "-c", program), out=b"True True\n", err=b"")
    private = quire("run", "--memory", "2M", "--store", "lz4:64M", "--", PYTHON, "-c",
                    "import array, os\n"
                    "a = array.array('Q', range(1 << 19))\n"
                    "child = os.fork()\n"
                    "if child == 0: os._exit(0 if sum(a) == sum(range(1 << 19)) else 9)\n"
                    "print(os.waitpid(child, 0)[1] >> 8, sum(a) == sum(range(1 << 19)))\n")
    expect_run(private, out=b"125 True\n")
    expect(b"programs that fork want swap:FOLDER or file:PATH" in private.err, f"the reason: {private.err}")
    words = quire("run", "--", "sh", "-c", "x=$(seq 1 50000); echo $x | wc -w; (exit 3); echo $?")
    expect_run(words, out=b"50000\n3\n", err=b"")


def build(folder, name, into=None, words=()):
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), f"{name}.c")
    built = harness.run(["cc", "-O1", "-o", f"{folder}/{into or name}", source, "-pthread", *words])
    expect_equal(built.status, 0, f"{name}.c: {built.err}")


@case(timeout=120)
def libraries():
    """Libraries that come by dlopen() and go: their data is Linux's, what they allocate is paged, and they use what is paged."""
    need_paging()
    folder = scratch_for_all()
    build(folder, "run_library", words=["-rdynamic", "-ldl"])
    build(folder, "run_library", "library.so", ["-shared", "-fPIC", "-DLIBRARY"])
    for options in ([], ["--way", "protect"], ["--handlers", 2]):
        result = quire("run", *options, "--memory", "2M", "--store", f"swap:{folder}", "--", f"{folder}/run_library", f"{folder}/library.so")
        if options and result.status == 125:
            continue
        expect_run(result, out=b"right\n", err=b"")


def run_forks(how, deadline=30):
    """A mode of run_forks.c, in each way of serving faults that is to be had, side by side."""
    need_paging()
    folder = scratch_for_all()
    build(folder, "run_forks")

    def run(options):
        return quire("run", *options, "--deadline", deadline, "--memory", "1M", "--store", f"swap:{folder}", "--",
                     f"{folder}/run_forks", how)

    with concurrent.futures.ThreadPoolExecutor() as pool:
        results = list(pool.map(run, (["--handlers", 0], ["--way", "protect"], ["--handlers", 4])))
    if results[0].status == 77:
        raise harness.Skip("this kernel does not tell who the children are")
    return results[:2] if results[2].status == 125 else results


@case(timeout=180)
def forks_while_programs_start():
    """fork() does not wait for the end of programs that other threads start at that moment."""
    for result in run_forks("spawning"):
        expect_run(result, out=b"right\n", err=b"")


@case(timeout=180)
def forks_a_child_that_is_stuck():
    """A child that does not get on with its copy is ended, and fork() fails: the parent never hangs."""
    for result in run_forks("stuck", deadline=8):
        expect_run(result, out=b"right\n")
        expect(b"as long as --deadline says" in result.err, f"the reason: {result.err}")


@case(timeout=180)
def forks_in_a_chain():
    """Children fork as soon as they run, while their parents' threads allocate."""
    for result in run_forks("chain"):
        expect_run(result, out=b"right\n", err=b"")


SQL = """pragma mmap_size=1073741824;
select count(*), sum(length(b)) from t;
select sum(a) from t where b like '%AB%';
begin; update t set b='changed' where a%100=7; commit;
select count(*) from t where b='changed';
insert into t select a+1000000, b from t where a%10=0;
select count(*), sum(a), sum(length(b)) from t;
pragma integrity_check;
"""


def run_sqlite(way):
    folder = scratch_for_all()
    plain, paged = os.path.join(folder, "plain"), os.path.join(folder, "paged")
    harness.run(["sqlite3", plain], stdin=(
        b"pragma synchronous=off; create table t(a integer primary key, b text); with recursive c(x) as "
        b"(select 1 union all select x+1 from c where x<150000) insert into t select x, hex(randomblob(40)) from c;"))
    shutil.copy(plain, paged)
    os.chmod(paged, 0o666)
    wanted = harness.run(["sqlite3", plain], stdin=SQL.encode())
    expect(b"ok" in wanted.out, f"SQLite itself: {wanted}")
    watched = Watched("sqlite3", paged, memory=2 * MIB, way=way, stdin=subprocess.PIPE)
    expect_equal(watched.finish(SQL.encode()), wanted.out, "the answers")
    watched.expect_within_budget()
    with open(plain, "rb") as first, open(paged, "rb") as second:
        expect(first.read()[100:] == second.read()[100:], "the databases differ")


@case(timeout=120)
def sqlite():
    """SQLite that maps its database: what it writes by system calls is seen in the mapping."""
    run_sqlite(THREADS)


@case(timeout=120)
def sqlite_unprivileged():
    """The same by the program's own threads, without any privilege."""
    run_sqlite(OWN)


class Redis:
    """As much of a client as is needed."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        for _ in range(100):
            try:
                self.socket.connect(path)
                break
            except OSError:
                time.sleep(0.1)
        self.file = self.socket.makefile("rb")

    def send(self, *words):
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))

    def answer(self):
        line = self.file.readline()
        if line[:1] == b"$":
            return self.file.read(int(line[1:]) + 2)[:-2]
        return line.strip()

    def ask(self, *words):
        self.send(*words)
        return self.answer()


def run_redis(way, count, memory):
    folder = scratch_for_all()
    values = [b"%010d" % i * 100 for i in range(count)]
    watched = Watched("redis-server", "--port", 0, "--unixsocket", f"{folder}/socket", "--dir", folder, "--save", "",
                      memory=memory, way=way)
    client = Redis(f"{folder}/socket")
    for start in range(0, count, 1000):
        for i in range(start, start + 1000):
            client.send(b"SET", b"key:%d" % i, values[i])
        for _ in range(1000):
            expect_equal(client.answer(), b"+OK", "SET")
    expect_equal(client.ask(b"BGSAVE"), b"+Background saving started", "BGSAVE")
    expect_equal(client.ask(b"SET", b"key:7", b"other"), b"+OK", "SET while a child saves")
    for i in random.Random(2).sample(range(count), count // 10):
        if i != 7:
            expect_equal(client.ask(b"GET", b"key:%d" % i), values[i], f"key {i}")
    while b"rdb_bgsave_in_progress:1" in client.ask(b"INFO", b"persistence"):
        time.sleep(0.1)
    expect(b"rdb_last_bgsave_status:ok" in client.ask(b"INFO", b"persistence"), "the child has not saved")
    client.send(b"SHUTDOWN", b"NOSAVE")
    watched.finish()
    watched.expect_within_budget()
    result = harness.run(["redis-check-rdb", f"{folder}/dump.rdb"])
    expect(f"[info] {count} keys read".encode() in result.out, f"what was saved: {result}")


@case(timeout=180)
def redis():
    """redis-server with eight times the memory, which saves in a child meanwhile."""
    run_redis(THREADS, 40000, 6 * MIB)


@case(timeout=180)
def redis_unprivileged():
    """The same by the program's own threads, without any privilege."""
    run_redis(OWN, 20000, 3 * MIB)


BUSY = ("import array, random, sys, time\n"
        "a = array.array('Q', bytes(32 << 20))\n"
        "print('ready', flush=True)\n"
        "while not __import__('select').select([sys.stdin], [], [], 0)[0]:\n"
        "    for _ in range(1000): a[random.randrange(len(a))] += 1\n")

PARSE = ("import json, sys\n"
         "from prometheus_client.openmetrics.parser import text_string_to_metric_families\n"
         "families = text_string_to_metric_families(sys.stdin.read())\n"
         "print(json.dumps({s.name: s.value for f in families for s in f.samples if len(s.labels) == 1}))\n")


@case(timeout=60)
def top():
    """quire top: a look, JSON, OpenMetrics read by another's parser, and the live view until the process ends."""
    need_paging()
    process = subprocess.Popen([harness.QUIRE, "run", "--memory", "4M", "--", PYTHON, "-c", BUSY],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    expect_equal(process.stdout.readline(), b"ready\n", "the program")
    pid = str(process.pid)
    first = json.loads(expect_run(quire("top", "--json", pid)).out)
    expect_equal((first["pid"], first["policy"], first["memory_bytes"]), (process.pid, "car", 4 * MIB), "JSON")
    expect(0 < first["resident_bytes"] <= 4 * MIB, f"resident: {first}")
    expect(sum(region["resident_bytes"] for region in first["regions"]) <= 4 * MIB, f"regions: {first}")
    expect(any(region["dirty_bytes"] > 0 for region in first["regions"]), f"dirty: {first}")
    expect(first["fault_ns"] >= first["read_ns"] > 0, f"times: {first}")
    metrics = quire("top", "--openmetrics", pid)
    parsed = harness.run([PYTHON, "-c", PARSE], stdin=metrics.out)
    expect_equal(parsed.status, 0, f"the parser: {parsed}")
    values = json.loads(parsed.out)
    expect_equal(values["quire_memory_bytes"], 4 * MIB, "OpenMetrics")
    expect(values["quire_faults_total"] >= first["faults"] > 0, f"faults: {values}")
    expect(b"since start" in expect_run(quire("top", "--once", pid)).out, "--once")
    live = subprocess.Popen([harness.QUIRE, "top", "--interval", "0.2", pid], stdout=subprocess.PIPE)
    time.sleep(1)
    process.communicate(b"end\n")
    out = live.communicate(timeout=20)[0]
    expect_equal(live.returncode, 0, "quire top when the process has ended")
    expect(out.count(b"a second") >= 2, f"the live view: {out}")
    expect_equal(quire("top", pid).status, 1, "quire top of a process that has ended")
    for words in (["x"], ["1", "2"], ["--json", "--openmetrics", "1"], ["--interval", "0", "1"], ["0"]):
        expect_equal(quire("top", *words).status, 2, f"top {words}")


METRICS = ("import json, sys\n"
           "from prometheus_client.openmetrics.parser import text_string_to_metric_families\n"
           "families = text_string_to_metric_families(sys.stdin.read())\n"
           "print(json.dumps([[s.name, s.labels, s.value] for f in families for s in f.samples if 'member' in s.labels]))\n")


@case(timeout=60)
def tenants():
    """quire top of a program with several members: for people, as JSON, and as OpenMetrics with labels."""
    process = subprocess.Popen([os.path.join(harness.BUILD, "tests", "e2e", "tenants")], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    if process.stdout.readline() != b"ready\n":
        raise harness.Skip(f"status {process.wait(20)}")
    pid = str(process.pid)
    look = json.loads(expect_run(quire("top", "--json", pid)).out)
    expect_equal((look["scope"], look["allocation"]), ("local", "equal"), "scope")
    members = {member["name"]: member for member in look["members"]}
    expect_equal(sorted(members), ["default", "scan", "shop"], "members")
    shop, scan = members["shop"], members["scan"]
    expect_equal((shop["class"], shop["guaranteed_bytes"], shop["resident_bytes"], shop["lost"]), ("vvip", MIB, MIB, 0), "shop")
    expect(scan["resident_bytes"] <= scan["maximum_bytes"] == MIB and scan["evictions"] > 1700, f"scan: {scan}")
    expect_equal(sum(member["mapped_bytes"] for member in look["members"]), 17 * MIB, "mapped")
    expect_equal(sorted(region["member"] for region in look["regions"]), ["default", "scan", "shop"], "regions")
    parsed = harness.run([PYTHON, "-c", METRICS], stdin=expect_run(quire("top", "--openmetrics", pid)).out)
    expect_equal(parsed.status, 0, f"the parser: {parsed}")
    values = {(name, labels["member"], labels.get("kind")): value for name, labels, value in json.loads(parsed.out)}
    expect_equal(values["quire_member_bytes", "shop", "guaranteed"], MIB, "OpenMetrics")
    expect(values["quire_member_faults_total", "scan", None] >= scan["faults"] > 0, f"faults: {values}")
    expect(("quire_region_bytes", "default", "resident") in values, f"regions: {values}")
    text = expect_run(quire("top", "--once", pid)).out
    expect(b"scope local, equal\n" in text and b"\nshop               vvip" in text, f"--once: {text}")
    process.communicate(b"e", timeout=20)
    expect_equal(process.returncode, 0, "the program")


@case(timeout=90)
def record():
    """A trace goes into the simulator, whose faults are like those that there were."""
    need_paging()
    folder = harness.scratch()
    program = ("import array, random\n"
               "random.seed(1)\n"
               "a = array.array('Q', bytes(16 << 20))\n"
               "for _ in range(60000): a[int(len(a) * random.random() ** 3)] += 1\n")
    result = harness.run([harness.QUIRE, "run", "--memory", "4M", "--policy", "clock", "--record", "trace", "--report",
                          "report", "--json", "--", PYTHON, "-c", program], cwd=folder)
    expect_run(result, out=b"")
    with open(f"{folder}/report", encoding="ascii") as file:
        report = json.load(file)
    result = expect_run(quire("sim", f"{folder}/trace", "--memory", "4M", "--policy", "clock", "--json", "--db", "none"))
    simulated = json.loads(result.out)["runs"][0]["faults"]
    expect(abs(simulated - report["faults"]) < report["faults"] // 4, f"simulated {simulated}, there were {report}")


PROGRAM = r"""
#include <stdio.h>
#include <quire/quire.h>
int main(void)
{
    struct quire_pager *pager;
    struct store *store;
    unsigned char *memory;
    unsigned sum = 0;

    if (quire_open(&(struct quire_options){.memory_bytes = 1 << 20}, &pager, NULL) != ST_OK ||
        quire_store_open("swap:.", 8 << 20, &store, NULL) != ST_OK ||
        quire_map(pager, &(struct quire_mapping){.store = store, .length = 8 << 20, .flags = QUIRE_FRESH},
                  (void **)&memory, NULL) != ST_OK)
        return 77;
    for (unsigned i = 0; i < 8 << 20; i += 4096)
        memory[i] = 1;
    for (unsigned i = 0; i < 8 << 20; i += 4096)
        sum += memory[i];
    printf("%u\n", sum);
    return quire_close(pager) == ST_OK ? 0 : 1;
}
"""

# The library is loaded when it is wanted, by a program that has threads and a handler of SIGBUS of its own.
LOADER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#include <quire/quire.h>
static sigjmp_buf back;
static unsigned char *memory;
static void on_bus(int signal) { siglongjmp(back, 1); }
static void *write_some(void *from)
{
    for (unsigned i = 0; i < 4 << 20; i += 4096)
        ((unsigned char *)from)[i]++;
    return NULL;
}
int main(int argc, char **argv)
{
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    __typeof__(quire_open) *open = library ? dlsym(library, "quire_open") : NULL;
    __typeof__(quire_store_open) *store_open = library ? dlsym(library, "quire_store_open") : NULL;
    __typeof__(quire_map) *map = library ? dlsym(library, "quire_map") : NULL;
    struct quire_pager *pager;
    struct store *store;
    pthread_t thread;
    FILE *empty = tmpfile();

    signal(SIGBUS, on_bus);
    if (!open || !store_open || !map)
        return 1;
    if (open(&(struct quire_options){.memory_bytes = 1 << 20}, &pager, NULL) != ST_OK)
        return 77;
    if (store_open("swap:.", 8 << 20, &store, NULL) != ST_OK ||
        map(pager, &(struct quire_mapping){.store = store, .length = 8 << 20, .flags = QUIRE_FRESH},
            (void **)&memory, NULL) != ST_OK)
        return 1;
    for (int i = 0; i < 8; i++) /* threads end, and others begin, with faults as all that they do */
        if (pthread_create(&thread, NULL, write_some, memory + (i & 1) * (4 << 20)) != 0 || pthread_join(thread, NULL) != 0)
            return 1;
    if (sigsetjmp(back, 1) == 0) { /* behind the end of a file of its own: SIGBUS is not ours */
        volatile char *file = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fileno(empty), 0);
        printf("%d\n", *file);
        return 1;
    }
    dlclose(library); /* it stays: its memory is still used */
    printf("%d %d\n", memory[0], memory[8188 << 10]);
    return 0;
}
"""


@case(timeout=120)
def installed():
    """What `make install` puts in place suffices to compile against, to be loaded, and for `quire run`."""
    folder = harness.scratch()
    result = harness.run(["meson", "install", "-C", harness.BUILD, "--no-rebuild", "--tags", "devel,runtime",
                          "--destdir", folder])
    expect_equal(result.status, 0, f"meson install: {result.err}")
    places = {name: at for at, _, names in os.walk(folder) for name in names}
    libraries = places["libquire.so.0"]
    env = {"PKG_CONFIG_PATH": places["quire.pc"], "PKG_CONFIG_SYSROOT_DIR": folder, "LD_LIBRARY_PATH": libraries}
    flags = harness.run(["pkg-config", "--cflags", "--libs", "quire"], env=env).out.decode().split()
    for name, text, arguments, printed in (("program", PROGRAM, [], b"2048\n"),
                                           ("loader", LOADER, [f"{libraries}/libquire.so.0"], b"4 4\n")):
        with open(f"{folder}/{name}.c", "w", encoding="ascii") as file:
            file.write(text)
        more = flags if name == "program" else [flag for flag in flags if flag.startswith("-I")]
        built = harness.run(["cc", "-o", f"{folder}/{name}", f"{folder}/{name}.c", "-pthread"] + more, env=env)
        expect_equal(built.status, 0, f"{name}: {built.err}")
        result = harness.run([f"{folder}/{name}"] + arguments, env=env, cwd=folder)
        if result.status == 77:
            raise harness.Skip("no userfaultfd")
        expect_run(result, out=printed)
    need_paging()
    expect_run(harness.run([f"{places['quire']}/quire", "run", "--", "echo", "installed"]), out=b"installed\n", err=b"")


@case(timeout=60)
def usage():
    """Errors name what is wrong; statuses are those of env(1)."""
    for words, status, message in (
            (["--memory", "5", "ls"], 2, "--memory"),
            (["--space", "1", "ls"], 2, "--space"),
            (["--handlers", "33", "ls"], 2, "--handlers"),
            (["--deadline", "0", "ls"], 2, "--deadline"),
            (["--way", "nosuch", "ls"], 2, "userfaultfd or protect"),
            (["--way", "protect", "--handlers", "2", "ls"], 2, "--handlers"),
            (["--policy", "nosuch", "ls"], 2, "nosuch"),
            (["--policy", "opt", "ls"], 2, "future"),
            (["--store", "plain", "ls"], 2, "KIND:REST"),
            (["--store", "nosuch:x", "ls"], 2, "nosuch"),
            (["--store", "file:/nonexistent/x", "ls"], 2, "/nonexistent/x"),
            (["--nosuch", "ls"], 2, "--nosuch"),
            ([], 2, "expected a program"),
            (["/nonexistent/program"], 127, "/nonexistent/program"),
            (["nosuchprogram"], 127, "nosuchprogram"),
            (["/etc/passwd"], 126, "/etc/passwd"),
            ([shutil.which("busybox") or "/bin/busybox"], 126, "expected a dynamic program")):
        result = quire("run", *words)
        expect_equal(result.status, status, f"{words}: {result}")
        expect(message in result.err.decode(), f"{words}: expected {message!r} in {result.err}")


@case(timeout=180)
def calls():
    """System calls on memory that is paged out, in each way, and without any privilege."""
    need_paging()
    folder = scratch_for_all()
    build(folder, "run_calls")
    for words, way in ((["--handlers", "4"], "handler threads"), (["--handlers", "0"], "userfaultfd in the faulting"),
                       (["--way", "protect"], "mprotect and SIGSEGV in the faulting")):
        result = harness.run(
            ([] if "4" in words else UNPRIVILEGED) +
            [harness.QUIRE, "run", *words, "--memory", "1M", "--policy", "fifo", "--store", f"swap:{folder}", "--report",
             f"{folder}/report", "--json", "--", "./run_calls"], cwd=folder)
        if "4" in words and result.status == 125:
            continue
        expect_run(result, out=b"right\n", err=b"")
        with open(f"{folder}/report", encoding="ascii") as file:
            expect(way in json.load(file)["way"], f"the way with {words}")
        os.unlink(f"{folder}/report")


# Its own code, as it is in memory: for each mapping of a file that may be executed, path, place in the file and bytes.
DUMP = ("import json, os\n"
        "found = []\n"
        "with open('/proc/self/mem', 'rb') as memory:\n"
        "    for line in open('/proc/self/maps'):\n"
        "        words = line.split()\n"
        "        name = os.path.basename(words[5]) if len(words) > 5 else ''\n"
        "        if 'x' in words[1] and (name == 'libc.so.6' or name.startswith('ld-linux')):\n"
        "            start, end = (int(word, 16) for word in words[0].split('-'))\n"
        "            memory.seek(start)\n"
        "            found.append([words[5], int(words[2], 16), memory.read(end - start).hex()])\n"
        "print(json.dumps(found))\n")


def disassembled(path):
    """By objdump: where instructions begin, where jumps and calls lead, where system calls are."""
    starts, targets, calls = set(), set(), set()
    code = re.compile(r" *([0-9a-f]+):\t[0-9a-f ]+\t(?:(?:bnd|notrack|cs) )?(\S+) *([0-9a-f]*)")
    for line in harness.run(["objdump", "-d", "-w", path]).out.decode().splitlines():
        found = code.match(line)
        if not found:
            continue
        at = int(found[1], 16)
        starts.add(at)
        if found[2] == "syscall":
            calls.add(at)
        elif found[3] and (found[2][0] == "j" or found[2] in ("call", "loop", "xbegin")):
            targets.add(int(found[3], 16))
    return starts, targets, calls


FUNCTION_JUMP = b"\xff\x25\0\0\0\0"  # and an address: a whole function is ours


def changes(original, now, calls):
    """Jumps that were put in place of calls: from, and behind the last byte that is changed or a nop of it. None: over
    one of them went a function's jump later."""
    at = 0
    while at < len(now):
        if now[at] == original[at]:
            at += 1
            continue
        if now.startswith(FUNCTION_JUMP, at):
            at += 14
            for call in calls.intersection(range(at - 14, at + 5)):
                yield None
                at = max(at, call + 2)
            continue
        expect_equal(now[at], 0xe9, f"what is changed at {at:#x} begins with")
        end = at + 5
        while now[end] == 0x90 and now[end] != original[end]:
            end += 1
        yield at, end
        at = end


@case(timeout=180)
def gate_changes_instructions():
    """What the gate changes in the C library, by objdump's eyes: whole instructions, one system call in each, and
    no jump leads into them."""
    need_paging()
    if not shutil.which("objdump"):
        raise harness.Skip("no objdump")
    result = expect_run(quire("run", "--handlers", "0", "--report", "-", "--", PYTHON, "-c", DUMP))
    seen, known = (int(word) for word in re.search(rb"(\d+) of (\d+) calls of the C library seen", result.err).groups())
    changed = calls_known = 0
    for path, offset, code in json.loads(result.out):
        starts, targets, calls = disassembled(path)
        with open(path, "rb") as file:
            file.seek(offset)
            original = file.read(len(code) // 2)
        found = list(changes(original, bytes.fromhex(code), {call - offset for call in calls}))
        calls_known += len(calls) if found else 0  # libquire's own C library stays as it is
        changed += len(found)
        for change in found:
            if not change:
                continue
            at, end = (place + offset for place in change)
            expect(at in starts and end in starts, f"{path}: {at:#x} to {end:#x} are no whole instructions")
            expect_equal(len([call for call in range(at, end) if call in calls]), 1, f"{path}: calls at {at:#x}")
            expect(not any(target in targets for target in range(at + 1, end)), f"{path}: a jump leads into {at:#x}")
    expect_equal((changed, calls_known), (seen, known), "calls changed, and all that there are")
    expect(seen > known * 0.9, f"only {seen} of {known} calls are seen")


@case(timeout=60)
def handlers_need_a_privilege():
    """Who asks for handler threads and may not have them is told so, and the program does not begin."""
    need_nobody()
    result = harness.run(NOBODY + [harness.QUIRE, "run", "--store", "lz4:16M", "--handlers", "4", "--", "echo", "begun"])
    expect_run(result, status=125, out=b"")
    expect(b"unprivileged_userfaultfd" in result.err, f"the reason: {result.err}")


@case(timeout=60)
def status():
    """The exit status and the signal are the program's."""
    need_paging()
    expect_equal(quire("run", "sh", "-c", "exit 7").status, 7, "the status")
    expect_equal(quire("run", "sh", "-c", "kill -TERM $$").status, 128 + 15, "the signal")


harness.main()
