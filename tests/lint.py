#!/usr/bin/python3
"""What a machine can see of the house rules: folders include only to their left, curses stays in one file, the scheduler
is pure, forbidden calls, formatting."""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# DESIGN: base → conf → classify → net → sign, spool, sched → smtp → intake, feedback → report → control → tui, sim → main
RANK = {"core/base": 0, "conf": 1, "core/classify": 2, "core/net": 3, "core/sign": 4, "core/spool": 4, "core/sched": 4,
        "core/smtp": 5, "core/intake": 6, "core/feedback": 6, "core/report": 7, "core/control": 8, "tui": 9, "core/sim": 9,
        "core": 10}
CURSES = re.compile(r'#include\s*<(n?curses|ncursesw/)')
FORBIDDEN = re.compile(r'(?<![\w>.])(system|popen|strcpy|strcat|sprintf|gets)\s*\(|setlocale\s*\(\s*LC_ALL')
IMPURE = re.compile(r'#include\s*<(ev|sys/socket|unistd|time|stdio|fcntl|pthread)\.h>|(?<![\w>.])(time|clock_gettime|rand|random|clock_now_us)\s*\(')
OPEN = re.compile(r'\b(TODO|FIXME|XXX)\b')


def folder_of(path):
    return os.path.dirname(path)


def sources():
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.c", "*.h"], cwd=ROOT, stdout=subprocess.PIPE,
                         check=True).stdout.decode().split()
    return [p for p in out if os.path.exists(os.path.join(ROOT, p))]


def check_includes(path, text, problems):
    here = RANK.get(folder_of(path))
    if here is None:
        return
    for n, line in enumerate(text.splitlines(), 1):
        m = re.match(r'#include\s+"([^"]+)"', line)
        if not m:
            continue
        there = folder_of(m.group(1))
        if there == folder_of(path):
            continue
        if there not in RANK:
            problems.append(f"{path}:{n}: include \"{m.group(1)}\": write the path from the top of the tree")
        elif RANK[there] >= here:
            problems.append(f"{path}:{n}: {folder_of(path)} may not include {there} (only what stands to its left)")


def check_lines(path, text, problems):
    for n, line in enumerate(text.splitlines(), 1):
        if path.startswith("tests/"):
            continue
        if FORBIDDEN.search(line):
            problems.append(f"{path}:{n}: a call that this project does not make: {line.strip()}")
        if path.startswith("core/sched/") and IMPURE.search(line):
            problems.append(f"{path}:{n}: the scheduler is pure: {line.strip()}")
        if OPEN.search(line):
            problems.append(f"{path}:{n}: a promise left open: {line.strip()}")


def check_format(paths, problems):
    for i in range(0, len(paths), 40):
        p = subprocess.run(["clang-format", "--dry-run", "-Werror", *paths[i:i + 40]], cwd=ROOT, stderr=subprocess.PIPE)
        for line in p.stderr.decode("utf-8", "replace").splitlines():
            if "error:" in line:
                problems.append(line)


def main():
    problems = []
    paths = sources()
    curses = []
    for path in paths:
        with open(os.path.join(ROOT, path), encoding="utf-8") as f:
            text = f.read()
        check_includes(path, text, problems)
        check_lines(path, text, problems)
        if CURSES.search(text):
            curses.append(path)
    if len(curses) > 1:
        problems.append("curses belongs to one file: " + ", ".join(curses))
    check_format(paths, problems)
    for p in problems[:60]:
        print(p)
    if len(problems) > 60:
        print(f"({len(problems) - 60} more)")
    print(f"lint: {len(paths)} files, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
