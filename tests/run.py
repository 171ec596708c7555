#!/usr/bin/python3
"""Runs everything `make test` promises: lint, unit tests (plain and with sanitizers), end-to-end tests (plain and with
sanitizers, reduced counts). Prints what failed, and at the end the plain line "N passed, N failed"."""
import concurrent.futures
import glob
import os
import re
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
UNIT_TIMEOUT_S = 600

ASAN = {
    "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
}


def unit(flavour, binary):
    env = dict(os.environ, **(ASAN if flavour == "asan" else {}), TZ="UTC")
    started = time.monotonic()
    try:
        p = subprocess.run([binary], cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, timeout=UNIT_TIMEOUT_S)
        out, rc = p.stdout.decode("utf-8", "replace"), p.returncode
    except subprocess.TimeoutExpired as e:
        out, rc = (e.stdout or b"").decode("utf-8", "replace") + "\n(timed out)", 1
    # cmocka prints one PASSED/FAILED block a group; several groups a binary are possible.
    passed = sum(int(n) for n in re.findall(r"\[  PASSED  \] (\d+) test", out))
    failed = sum(int(n) for n in re.findall(r"\[  FAILED  \] .*?(\d+) test", out))
    if rc and not failed:
        failed = 1
    if not passed and not failed:
        failed = 1
        out += "\n(no test ran)"
    return binary, passed, failed, out, time.monotonic() - started


def unit_binaries(flavour):
    names = [s[:-2] for s in sorted(glob.glob(os.path.join(ROOT, "tests/unit/*/test_*.c")))]
    return [os.path.join(ROOT, "build", flavour, os.path.relpath(n, ROOT)) for n in names]


def run_units(flavour):
    total = [0, 0]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for binary, passed, failed, out, took in pool.map(lambda b: unit(flavour, b), unit_binaries(flavour)):
            total[0] += passed
            total[1] += failed
            print(f"{'ok  ' if not failed else 'FAIL'} {flavour:5} {os.path.relpath(binary, ROOT)}: {passed} passed, "
                  f"{failed} failed, {took:.1f} s", flush=True)
            if failed:
                print(out[-6000:], flush=True)
    return total


def run_lint():
    p = subprocess.run([sys.executable, os.path.join(ROOT, "tests/lint.py")], cwd=ROOT)
    return [0, 1] if p.returncode else [1, 0]


def run_e2e(flavour, names):
    import harness
    harness.use_flavour(flavour)
    passed = failed = 0
    for name, test in harness.collect(names):
        started = time.monotonic()
        try:
            found = test(full=False)
            passed += 1
            print(f"ok   {flavour:5} {name}: {found} ({time.monotonic() - started:.1f} s)", flush=True)
        except Exception as e:  # a failing test must not stop the others
            failed += 1
            print(f"FAIL {flavour:5} {name}: {e} ({time.monotonic() - started:.1f} s)", flush=True)
            harness.show_failure(e)
    return [passed, failed]


def main():
    import harness
    harness.own_network()
    only = sys.argv[1:]  # names of end-to-end tests, to run just these
    total = [0, 0]
    steps = [lambda: run_e2e("plain", only)] if only else [
        run_lint, lambda: run_units("plain"), lambda: run_units("asan"), lambda: run_e2e("plain", None),
        lambda: run_e2e("asan", None)]
    for step in steps:
        passed, failed = step()
        total[0] += passed
        total[1] += failed
    print(f"{total[0]} passed, {total[1]} failed", flush=True)
    return 1 if total[1] else 0


if __name__ == "__main__":
    sys.exit(main())
