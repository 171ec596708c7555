#!/usr/bin/python3
"""The table of all directives with the test that fails when the reader leaves a directive at its default. Made by running tests:
those that speak of the directive, cheap ones first, with the reader of tests/mutant.c, until one fails. At the end of each list
stands the snapshot's own test (tests/unit/conf/test_directives.c), which knows every directive of the schema.
directives.py [--jobs N] [WORD…]  prints the table of those whose name holds a word."""
import concurrent.futures
import glob
import inspect
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
import harness  # noqa: E402

SNAPSHOT = "conf/test_directives"
TRIES = 6
TIMEOUT_S = 180
# Their default is a place of this machine's own: only tests that start no server may look for them.
PLACES = {"spool", "state", "log-file", "audit-log", "error-log", "control-socket"}
# What every scene's head has (tests/e2e/harness.py) is missed by any of them.
ANY_SCENE = ("import.an_operators_path", "mail.bounces_come_back_as_dsn")
# Tests that take long or measure the machine say nothing of a single directive.
LONG = ("scale.", "crash.", "install.", "console.", "ten_thousand_sections")


def run(argv, **env):
    p = subprocess.Popen(harness.in_own_network(argv), cwd=ROOT, env=dict(os.environ, TZ="UTC", **env), stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        out, _ = p.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        harness.end_process(p)
        return 1, ""
    return p.returncode, out.decode("utf-8", "replace")


def directives():
    """[(kind, name)] of the schema, as the snapshot's test tells them."""
    rc, out = run([os.path.join(ROOT, "build/plain/tests/unit", SNAPSHOT)])
    harness.expect(rc == 0, f"{SNAPSHOT} fails:\n{out[-2000:]}")
    return re.findall(r"^directive: (\S+) (\S+)$", out, re.M)


def unit_tests():
    for path in sorted(glob.glob(os.path.join(ROOT, "tests/unit/*/test_*.c"))):
        with open(path, encoding="utf-8") as f:
            yield os.path.relpath(path[:-2], os.path.join(ROOT, "tests/unit")), f.read()


def e2e_tests():
    harness.use_flavour("plain")
    for name, f in harness.collect([]):
        if any(l in name for l in LONG):
            continue
        yield name, inspect.getsource(f), inspect.getsource(sys.modules[f.__module__])


def speaks(text, name):
    return re.search(r"(?<![\w-])" + re.escape(name) + r"(?![\w-])", text) is not None


def candidates(kind, name, units, e2es):
    """Unit tests, then end-to-end tests that name it, then those whose file does; the snapshot last."""
    found = [("unit", n) for n, text in units if n != SNAPSHOT and speaks(text, name)]
    if name not in PLACES:
        found += [("e2e", n) for n, own, _ in e2es if speaks(own, name)]
        found += [("e2e", n) for n, own, whole in e2es if not speaks(own, name) and speaks(whole, name)]
    if name not in PLACES and speaks(inspect.getsource(harness), name):
        found = found[:TRIES] + [("e2e", n) for n in ANY_SCENE if ("e2e", n) not in found]
        return found + [("unit", SNAPSHOT)]
    return found[:TRIES] + [("unit", SNAPSHOT)]


def fails(where, test, mutant):
    binary = os.path.join(ROOT, "build/mutant", "tests/unit/" + test if where == "unit" else "stoker")
    harness.expect(os.path.exists(binary), f"{binary} is not there: make mutants")
    argv = [binary] if where == "unit" else [sys.executable, os.path.join(ROOT, "tests/run.py"), "--one", "mutant", test]
    return run(argv, STOKER_MUTANT=mutant)[0] != 0


def catch(kind, name, tests):
    for where, test in tests:
        # Not one that fails anyway, of a machine that is too busy.
        if fails(where, test, f"{kind} {name}") and not fails(where, test, "none"):
            return test
    return None


def table(words=(), jobs=2):
    """[(kind, name, test or None)]"""
    units, e2es = list(unit_tests()), list(e2e_tests())
    wanted = [d for d in directives() if not words or any(w in " ".join(d) for w in words)]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        tests = pool.map(lambda d: catch(*d, candidates(*d, units, e2es)), wanted)
        for d, test in zip(wanted, tests):
            print(f"    [{d[0]}] {d[1]}: {test or 'NO TEST'}", flush=True)
            yield (*d, test)


def not_in_the_example():
    """conf/stoker.ini shows every directive, at least in a comment."""
    with open(os.path.join(ROOT, "conf/stoker.ini"), encoding="utf-8") as f:
        text = f.read()
    return [f"[{k}] {n}" for k, n in directives() if not re.search(rf"^(# )?{re.escape(n)} =", text, re.M)]


def line():
    """For accept.py."""
    harness.expect(not not_in_the_example(), f"conf/stoker.ini does not show {', '.join(not_in_the_example())}")
    rows = list(table())
    missed = [f"[{k}] {n}" for k, n, t in rows if not t]
    snapshot = [f"[{k}] {n}" for k, n, t in rows if t == SNAPSHOT]
    harness.expect(rows and not missed, f"no test catches {', '.join(missed)}")
    return (f"{len(rows)} directives, each with a test that fails when it is ignored; {len(rows) - len(snapshot)} by what the server "
            f"does, {len(snapshot)} by what the snapshot holds")


if __name__ == "__main__":
    args = sys.argv[1:]
    at_once = int(args[1]) if args[:1] == ["--jobs"] else 2
    none = [r for r in table(args[2:] if args[:1] == ["--jobs"] else args, at_once) if not r[2]]
    sys.exit(1 if none else 0)
