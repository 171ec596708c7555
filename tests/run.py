#!/usr/bin/python3
"""Runs everything `make test` promises: lint, unit tests (plain and with sanitizers), end-to-end tests (plain and with
sanitizers, reduced counts). Several at a time, each in a network of its own; those marked `alone` measure time or CPU and
have the machine to themselves. Prints what failed, and at the end the plain line "N passed, N failed".
run.py [--asan] NAME…  runs just the end-to-end tests whose name holds one of the words."""
import concurrent.futures
import glob
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
import harness  # noqa: E402

TIMEOUT_S = 600
# End-to-end tests wait more than they work. Without root there are no networks of their own, so one at a time.
AT_ONCE = os.cpu_count() + 2 if os.geteuid() == 0 else 1
# What takes longest begins first, so that the end is not one of them by itself.
LONGEST = ("console.listed_keys_answer_and_others_do_nothing", "spool/test_crash", "sched/test_warmup", "sched/test_random",
           "conf/test_pmta", "tui/test_acts", "http.the_page_moves_in_chromium", "why.paused_resting_and_retry_wait",
           "spool/test_recovery", "tui/test_canvas", "spool/test_memory", "sched/test_dns", "sched/test_adaptive")

ASAN = {
    "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
}


def run(argv, env=None):
    """Runs a program in a network of its own: (exit code, output, seconds). The output goes through a file: a pipe would
    wait for whatever the program left behind."""
    started = time.monotonic()
    with tempfile.TemporaryFile() as out:
        p = subprocess.Popen(harness.in_own_network(argv), cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=out,
                             stderr=subprocess.STDOUT)
        note = ""
        try:
            p.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            note = f"(ended after {TIMEOUT_S} s)\n"
            harness.end_process(p)
        out.seek(0)
        return p.returncode or (1 if note else 0), out.read().decode("utf-8", "replace") + note, time.monotonic() - started


def run_lint():
    rc, out, _ = run([sys.executable, os.path.join(ROOT, "tests/lint.py")])
    return (0, 1, out) if rc else (1, 0, out)


def run_unit(flavour, name):
    env = dict(os.environ, **(ASAN if flavour == "asan" else {}), TZ="UTC")
    rc, out, took = run([os.path.join(ROOT, "build", flavour, name)], env)
    # cmocka prints one PASSED/FAILED block a group; several groups a binary are possible.
    passed = sum(int(n) for n in re.findall(r"\[  PASSED  \] (\d+) test", out))
    failed = sum(int(n) for n in re.findall(r"\[  FAILED  \] .*?(\d+) test", out))
    if rc and not failed:
        failed = 1
        out += f"\n(exit {rc})\n"
    if not passed and not failed:
        failed = 1
        out += "\n(no test ran)\n"
    words = f"{'FAIL' if failed else 'ok  '} {flavour:5} {name}: {passed} passed, {failed} failed ({took:.1f} s)\n"
    return passed, failed, words + (out[-6000:] if failed else "")


def run_e2e(flavour, name):
    rc, out, took = run([sys.executable, os.path.abspath(__file__), "--one", flavour, name])
    if rc and "FAIL" not in out:
        out += f"FAIL {flavour:5} {name}: its process ended with {rc} ({took:.1f} s)\n"
    return (0, 1, out) if rc else (1, 0, out)


def one(flavour, wanted):
    """In a process of its own: that end-to-end test."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the scene ends what it started
    harness.use_flavour(flavour)
    test = next(f for name, f in harness.collect([wanted]) if name == wanted)
    started = time.monotonic()
    try:
        found = test(full=False)
        print(f"ok   {flavour:5} {wanted}: {found} ({time.monotonic() - started:.1f} s)", flush=True)
        return 0
    except Exception as e:
        print(f"FAIL {flavour:5} {wanted}: {e} ({time.monotonic() - started:.1f} s)", flush=True)
        harness.show_failure(e)
        return 1


def units():
    for c in sorted(glob.glob(os.path.join(ROOT, "tests/unit/*/test_*.c"))):
        for flavour in ("plain", "asan"):
            yield run_unit, flavour, os.path.relpath(c[:-2], ROOT)


def e2e(flavours, names, alone):
    """Without times to measure, sanitizers need no machine to themselves."""
    for flavour in flavours:
        harness.use_flavour(flavour)
        for name, f in harness.collect(names):
            if (f.alone and flavour == "plain") == alone:
                yield run_e2e, flavour, name


def longest_first(jobs):
    def place(job):
        return next((i for i, name in enumerate(LONGEST) if len(job) == 3 and job[2].endswith(name)), len(LONGEST))
    return sorted(jobs, key=place)


def run_all(jobs, at_once):
    """Prints each job's words in one piece as it ends; how many passed and failed."""
    passed = failed = 0
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        for done in concurrent.futures.as_completed([pool.submit(*job) for job in jobs]):
            good, bad, words = done.result()
            passed += good
            failed += bad
            print(words, end="", flush=True)
    return passed, failed


def main():
    words = sys.argv[1:]
    if words[:1] == ["--one"]:
        return one(*words[1:])
    flavours = ("plain", "asan")
    if words:
        flavours = ("asan",) if words[0] == "--asan" else ("plain",)
        words = [w for w in words if w != "--asan"]
    together = [] if words else [(run_lint,), *units()]
    together += e2e(flavours, words, False)
    phases = [(longest_first(together), AT_ONCE), (e2e(flavours, words, True), 1)]
    total = [0, 0]
    for jobs, at_once in phases:
        passed, failed = run_all(jobs, at_once)
        total[0] += passed
        total[1] += failed
    print(f"{total[0]} passed, {total[1]} failed", flush=True)
    return 1 if total[1] else 0


if __name__ == "__main__":
    sys.exit(main())
