#!/usr/bin/python3
"""Unmodified programs in the machine: what Debian's busybox and bash print there is what they print on this host."""

import os
import random
import shutil
import subprocess

import harness
from harness import boot, case, expect, expect_equal, expect_run

BUSYBOX = shutil.which("busybox")
BASH = shutil.which("bash-static")


def words(count, seed=1):
    """Lines of a few letters each; many come several times."""
    dice = random.Random(seed)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    return "".join("".join(dice.choices(letters, k=dice.randint(2, 6))) + "\n" for _ in range(count))


def make_tree(folder):
    """Files to work on, the same each time."""
    with open(os.path.join(folder, "words.txt"), "w", encoding="ascii") as file:
        file.write(words(20000))
    with open(os.path.join(folder, "noise.bin"), "wb") as file:
        file.write(random.Random(2).randbytes(300001))
    with open(os.path.join(folder, "table.txt"), "w", encoding="ascii") as file:
        for i in range(500):
            file.write(f"{i}:{i * i % 97}:name{i % 13}:{'x' * (i % 7)}\n")
    for i in range(40):
        sub = os.path.join(folder, "tree", f"d{i % 5}", f"e{i % 3}")
        os.makedirs(sub, exist_ok=True)
        with open(os.path.join(sub, f"f{i}"), "w", encoding="ascii") as file:
            file.write(words(i * 10, i))
    os.symlink("d1/e1", os.path.join(folder, "tree", "link"))
    return folder


def host_tools(folder):
    """A folder with the applets of this host's busybox, for PATH."""
    tools = os.path.join(folder, "tools")
    os.makedirs(tools)
    for name in subprocess.check_output([BUSYBOX, "--list"], text=True).split():
        os.symlink(BUSYBOX, os.path.join(tools, name))
    return tools


def same_as_here(script, status=0, memory="64M", shell="busybox", stdin=b"", limit=120):
    """Runs a shell script on the host and in the machine, each with a copy of the tree at $D and a folder for
    new files at $T; standard output, status and the new files must be the same."""
    folder = harness.scratch()
    results = []
    for place in ("here", "there"):
        share = os.path.join(folder, place)
        os.makedirs(os.path.join(share, "new"))
        make_tree(share)
    head = [BUSYBOX, "sh"] if shell == "busybox" else [BASH]
    here = os.path.join(folder, "here")
    environment = {"PATH": host_tools(folder), "D": here, "T": os.path.join(here, "new"), "HOME": "/root"}
    done = subprocess.run(head + ["-c", script], input=stdin, capture_output=True, env=environment, check=False)
    results.append((done.returncode, done.stdout, new_files(here)))
    there = os.path.join(folder, "there")
    words_there = ["busybox", "sh"] if shell == "busybox" else ["bash"]
    got = boot("--memory", memory, "--share", there, "--env", "D=/share", "--env", "T=/share/new", "--", *words_there,
               "-c", script, stdin=stdin, limit=limit)
    expect(done.returncode == status, f"on this host: {done!r}")
    if got.status != status or got.out != done.stdout:
        raise harness.Failure(f"here {harness.shorten(done.stdout)}, there {got!r}")
    expect_equal(new_files(there), results[0][2], "the files that were made")


def new_files(share):
    found = {}
    for folder, _, names in os.walk(os.path.join(share, "new")):
        for name in names:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                with open(path, "rb") as file:
                    found[os.path.relpath(path, share)] = file.read()
    return found


@case(timeout=180)
def sort_of_many_words():
    folder = harness.scratch()
    with open(os.path.join(folder, "words.txt"), "w", encoding="ascii") as file:
        file.write(words(200000, 3))
    wanted = harness.run([BUSYBOX, "sort", "-u", os.path.join(folder, "words.txt")], env={"LC_ALL": "C"})
    expect_run(boot("--memory", "64M", "--share", folder, "--", "busybox", "sort", "-u", "/share/words.txt", limit=170),
               0, wanted.out, b"")


PIPELINES = {
    "awk": r"""awk '{n[length($1)]++} END {for (i = 0; i < 9; i++) print i, n[i]}' $D/words.txt
               awk -F: '$2 > 50 {sum += $1; printf "%s-%05.1f\n", $3, $1 / 7} END {print sum}' $D/table.txt""",
    "grep": r"""grep -c '^a' $D/words.txt; grep -E '^(ab|ba)+.$' $D/words.txt | head; grep -rl zq $D/tree | wc -l
                grep -v e $D/words.txt | grep -in 'X$' | tail -3; grep -o 'name1[0-2]*' $D/table.txt | sort | uniq -c""",
    "sums": r"""cd $D; sha256sum noise.bin words.txt; md5sum < words.txt; sha1sum table.txt; cksum noise.bin; sha512sum noise.bin""",
    "gzip_and_back": r"""cd $D; gzip -c words.txt > $T/words.gz; gunzip -c $T/words.gz | cmp - words.txt && echo same
                         gzip -1 < noise.bin | gzip -d | sha256sum; bzip2 -c table.txt | bunzip2 | md5sum; rm $T/words.gz""",
    "tar": r"""cd $D; tar -cf - tree | (cd /tmp && rm -rf tree && tar -xf -); cd /tmp/tree && find . -type f | sort | xargs cat | sha256sum
               readlink link; tar -czf - -C $D words.txt | tar -tzf -; rm -r /tmp/tree""",
    "find": r"""cd $D; find tree -type f -size +1k | sort; find tree -name 'f1*' -exec wc -c {} \; | sort; find tree -type l
                find tree -type d | wc -l; find tree -name f3 -o -name f7 | sort""",
    "dd": r"""dd if=$D/noise.bin bs=1000 skip=3 count=7 2>/dev/null | md5sum; dd if=$D/noise.bin of=$T/copy bs=64k 2>/dev/null
              cmp $D/noise.bin $T/copy && echo same; dd if=/dev/zero bs=1M count=5 2>/dev/null | wc -c
              echo abc | dd of=$T/copy bs=1 seek=10 conv=notrunc 2>/dev/null; od -An -tx1 -N 16 $T/copy""",
    "sed": r"""sed -n '5,8p' $D/words.txt; sed 's/\([a-z]\)\1/<\1>/g' $D/words.txt | grep -c '<'; sed -e '/name3/d' -e 's/:/ /2' $D/table.txt | md5sum
               cp $D/table.txt $T/edited; sed -i 's/name/NAME/' $T/edited; tail -n 2 $T/edited""",
    "sort_uniq_tr_cut": r"""cut -d: -f3 $D/table.txt | sort | uniq -c | sort -rn; tr a-z A-Z < $D/words.txt | sort -r | head -3
                            sort -t: -k2,2n -k1,1nr $D/table.txt | md5sum; cut -c2-3 $D/words.txt | sort | uniq -d | wc -l; tr -d aeiou < $D/words.txt | wc""",
    "compare": r"""cd $T; sort $D/words.txt > a; sort -u $D/words.txt > b; diff a b | wc -l; diff -U 1 a b | tail -n 4; cmp a b; echo $?; patch --help >/dev/null 2>&1; echo $?""",
    "text": r"""cd $D; head -c 100 noise.bin | base64; od -c noise.bin | sed -n 3p; fold -w 3 words.txt | head -4; tac words.txt | head -2
                nl table.txt | tail -1; seq 3 4 20 | paste - - ; expand -t 4 table.txt | md5sum; rev words.txt | head -2; printf '%5d|%-5s|%x\n' 42 ab 255""",
    "files": r"""cd $T; mkdir -p a/b/c; echo one > a/x; cp -r a z; mv z/x z/b/y; ln -s ../x a/b/l; cat a/b/l 2>&1; ln a/x hard; stat -c '%h %s %a' a/x
                 chmod 640 a/x; stat -c %A a/x; find . | sort; rm -r z; ls -R; touch -d '2020-02-02 02:02:02' a/x; TZ=UTC date -r a/x; du -a a | wc -l; test -L a/b/l && echo link""",
    "xargs_and_tee": r"""seq 1 100 | xargs -n 7 echo | tail -2; seq 1 1000 | tee $T/one | tail -1; wc -l < $T/one; find $D/tree -type f | xargs -n 4 cat | wc""",
    "calculators": r"""echo '2 ^ 200' | bc; echo '10 k 2 v p' | dc; expr 17 \* 3 + 1; echo $((0x7fffffff * 3 % 1000)); factor 1234567890""",
    "pipes": r"""yes | head -n 100000 | wc -l; cat $D/noise.bin | cat | cat | cat | cat | md5sum; (echo a; sleep 0.2; echo b) | cat; mkfifo /tmp/p; echo through > /tmp/p & cat /tmp/p; rm /tmp/p""",
    "statuses": r"""true && echo t; false || echo f; sh -c 'exit 41'; echo $?; sleep 100 & kill -9 $!; wait $!; echo $?; nonexistent 2>/dev/null; echo $?; sh -c 'kill -TERM $$'; echo $?; sh -c 'kill -SEGV $$' 2>/dev/null; echo $?""",
    "devices": r"""head -c 10 /dev/zero | od -An -tx1; echo x > /dev/null; head -c 100 /dev/urandom | wc -c; echo full 2>/dev/null > /dev/full || echo no; test -c /dev/null && echo char""",
    "append_and_seek": r"""cd $T; for i in 1 2 3; do echo line $i >> log; done; cat log; : > log; echo new > log; cat log; echo abcdef > f; exec 3<> f; head -c 2 <&3; exec 3>&-; truncate -s 3 f; od -c f""",
    "big_file": r"""cd $T; dd if=/dev/zero of=big bs=1M count=20 2>/dev/null; ls -l big | awk '{print $5}'; sha256sum big; rm big""",
    "shell": r"""x='a b  c'; set -- $x; echo $#; case $x in a*) echo yes;; esac; f() { local y=3; echo $((y * $1)); }; f 14; echo "${x#a }" "${#x}" ${x%c}
                 for i in 3 1 2; do echo $i; done | sort; while read a b; do echo "$b-$a"; done < $D/table.txt | tail -1; echo `echo nested $(echo deep)`; cat <<END
here $x
END
""",
}


def pipeline_case(name, script):
    def run():
        same_as_here(script)

    case(timeout=150, name=f"busybox_{name}")(run)


for _name, _script in PIPELINES.items():
    pipeline_case(_name, _script)


BASH_SCRIPTS = {
    "pipes": r"""printf '%s\n' {1..50} | while read -r n; do echo $((n * n)); done | tail -n 3; echo "${PIPESTATUS[@]}"
                 cat $D/words.txt | sort | uniq -c | sort -rn | head -n 5; set -o pipefail; false | true; echo $?; diff <(echo a) <(echo b); echo $?""",
    "forks": r"""for ((i = 0; i < 200; i++)); do (exit $((i % 7))) ; s=$((s + $?)); done; echo $s; for i in {1..200}; do x=$(echo $i); t=$((t + x)); done; echo $t""",
    "here_documents": r"""name=you; cat <<A; cat <<'B'; cat <<-C
hello $name $((1 + 2)) $(echo sub)
A
literal $name
B
	tabs go
	C
cat <<< "a string"; big=$(printf '%010000d' 7); cat <<D | wc -c
$big
D
""",
    "substitution": r"""a=$(echo one; echo two); echo "$a"; echo "$(echo "$(echo deep $(( $(echo 3) + 4 )))")"; arr=(x "y z" w); echo "${#arr[@]} ${arr[1]}"; declare -A m=([k]=v); echo ${m[k]}
                       echo ${a//o/0}; s=abcdef; echo ${s:2:3} ${s^^}; [[ abc123 =~ ([a-z]+)([0-9]+) ]] && echo ${BASH_REMATCH[2]}; printf -v q '%q' 'a b'; echo $q""",
    "background": r"""for i in 3 1 2; do (exit $i) & pids+=($!); done; for p in ${pids[@]}; do wait $p; echo $?; done; sleep 5 & kill %1; wait %1; echo $?
                     (sleep 0.1; exit 9) & wait -n; echo $?; wait nothing 2>/dev/null; echo $?; (sleep 0.2; echo late) & echo early; wait""",
    "trap": r"""trap 'echo usr1' USR1; trap 'echo leaving $?' EXIT; kill -USR1 $$; (trap 'echo sub' EXIT; true); trap 'echo int; ' INT; kill -INT $$; bash -c 'trap "" TERM; kill -TERM $$; echo alive' 2>/dev/null || ${BASH} -c 'trap "" TERM; kill -TERM $$; echo alive'
                trap 'echo child' CHLD; /bin/true; trap - CHLD; sh -c 'kill -USR1 $PPID; sleep 0.1'; set -e; trap 'echo err' ERR; false""",
    "functions": r"""fib() { (( $1 < 2 )) && echo $1 || echo $(( $(fib $(($1 - 1))) + $(fib $(($1 - 2))) )); }; fib 9; f() { return 5; }; f; echo $?; g() { local IFS=,; echo "$*"; }; g 1 2 3""",
    "files": r"""cd $T; for f in a b c; do echo $f > $f; done; echo *; [[ a -nt zzz ]] && echo newer; mapfile -t lines < $D/table.txt; echo ${#lines[@]} ${lines[499]}; exec 5> five; echo five >&5; exec 5>&-; cat five; echo x >> a; cat a; rm b; ls; test -w a && echo writable""",
}


def bash_case(name, script):
    def run():
        same_as_here(script, shell="bash", status=1 if name == "trap" else 0)

    case(timeout=150, name=f"bash_{name}")(run)


for _name, _script in BASH_SCRIPTS.items():
    bash_case(_name, _script)


@case(timeout=120)
def script_of_the_share_runs():
    folder = harness.scratch()
    path = os.path.join(folder, "script")
    with open(path, "w", encoding="ascii") as file:
        file.write('#!/bin/bash\necho "$0 $# $2"\nexit 12\n')
    os.chmod(path, 0o755)
    expect_run(boot("--share", folder, "--", "/share/script", "a", "b c", limit=100), 12, b"/share/script 2 b c\n", b"")


@case(timeout=120)
def exit_status_of_the_program():
    for script, status in (("exit 0", 0), ("exit 3", 3), ("exit 255", 255), ("kill -TERM $$", 143), ("kill -SEGV $$", 139)):
        expect_run(boot("--", "sh", "-c", script, limit=60), status, b"")


@case(timeout=180)
def standard_streams_are_exact():
    data = random.Random(4).randbytes(5 << 20)
    expect_run(boot("--", "busybox", "cat", stdin=data, limit=170), 0, data, b"")
    result = boot("--", "sh", "-c", "cat >&2; echo out", stdin=data[:200000], limit=170)
    expect_run(result, 0, b"out\n", data[:200000])


@case(timeout=120)
def reader_that_stops():
    process = subprocess.Popen([harness.QUIRE, "boot", "--timeout", "100", "--", "busybox", "yes"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE)
    expect_equal(process.stdout.read(4), b"y\ny\n", "output")
    process.stdout.close()
    expect(process.wait(100) in (141, 1), f"status {process.returncode}")


@case(timeout=120)
def input_that_is_not_read_stays():
    """A command in a shell's loop does not eat the loop's input."""
    done = subprocess.run(["sh", "-c", f"while read x; do echo got $x; {harness.QUIRE} boot --timeout 60 -- busybox true; done"],
                          input=b"1\n2\n", capture_output=True, check=False)
    expect_equal(done.stdout, b"got 1\ngot 2\n", "output")


@case(timeout=120)
def small_machine():
    expect_run(boot("--memory", "8M", "--", "busybox", "echo", "small", limit=100), 0, b"small\n", b"")
    expect_run(boot("--memory", "8M", "--", "sh", "-c", "seq 1 2000 | sort -n | tail -1", limit=100), 0, b"2000\n", b"")


@case(timeout=120)
def environment_and_place():
    result = boot("--env", "GREETING=good day", "--", "sh", "-c", "echo $GREETING $HOME $PATH; pwd; uname -s -m; id -u; echo $0 $$", limit=100)
    expect_run(result, 0, b"good day /root /bin:/sbin:/usr/bin:/usr/sbin\n/\nLinux x86_64\n0\nsh 1\n".replace(b"\nsh 1", b"\n/bin/sh 1"), b"")


harness.main()
