#!/usr/bin/python3
"""How well `stoker classify` judges replies. classify.py FILE [--show]: FILE has tab-separated columns, named in its first line:
receiver, code, enhanced, text (with the code; lines joined by a literal \\n), category, category_alt (others that are right, by |),
hard_soft, backoff (yes: slower or backoff; both may name two that are right). Prints each figure; with --show, or run by hand, also the lines misjudged.
--half 0|1 takes every second line."""
import csv
import json
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STOKER = os.path.join(ROOT, "build", "plain", "stoker")
OWN = os.path.join(ROOT, "tests", "fixtures", "replies.tsv")
SHARED = os.path.join(ROOT, "..", "shared", "data", "smtp-replies.tsv")
LEAST = {"category": 93.0, "hard or soft": 97.0, "lane": 93.0}
MEDIAN_US = 20.0


def judge(replies, receiver="", flags=()):
    argv = [STOKER, "-c", os.path.join(ROOT, "tests", "fixtures", "classify.ini"), "classify", "--json", *flags]
    argv += ["--receiver", receiver] if receiver else []
    p = subprocess.run(argv, input="\n".join(replies) + "\n", capture_output=True, text=True, timeout=120)
    if p.returncode:
        raise RuntimeError(p.stderr)
    return json.loads(p.stdout)["rows"], p.stderr


def read(path, half=None):
    with open(path, encoding="utf-8", newline="") as f:
        rows = list(csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE))
    return rows if half is None else rows[half::2]


def measure(path, half=None):
    """(figures in percent, 4xx that were called hard, median in microseconds, misjudged lines)"""
    rows = read(path, half)
    got = {}
    for receiver in {r["receiver"] for r in rows}:
        texts = [r["text"] for r in rows if r["receiver"] == receiver]
        found, _ = judge(texts, "" if receiver == "local" else receiver)
        got.update(((receiver, t), f) for t, f in zip(texts, found))
    _, words = judge([r["text"] for r in rows], flags=["--time"])
    right = dict.fromkeys(LEAST, 0)
    wrong, soft_hard = [], 0
    for r in rows:
        f = got[r["receiver"], r["text"]]
        ok = {"category": f.get("category") in [r["category"], *(r["category_alt"] or "").split("|")],
              "hard or soft": ("hard" if f["hard"] else "soft") in r["hard_soft"].split("|"),
              "lane": ("yes" if f["lane"] != "none" else "no") in r["backoff"].split("|")}
        for k, v in ok.items():
            right[k] += v
        soft_hard += r["text"].startswith("4") and f["hard"]
        if not all(ok.values()):
            wrong.append(f"{','.join(k for k, v in ok.items() if not v)}: {r['receiver']}: {r['text']}\n"
                         f"    is {f.get('category')} {'hard' if f['hard'] else 'soft'} lane {f['lane']} by {f['rule']}; "
                         f"should be {r['category']}|{r['category_alt']} {r['hard_soft']} backoff {r['backoff']}")
    figures = {k: 100.0 * v / len(rows) for k, v in right.items()}
    median = re.search(r"median ([\d.]+)", words)
    return figures, soft_hard, float(median.group(1)), wrong, len(rows)


def verdict(path, half=None):
    """(text of the figures, all good enough?, misjudged lines)"""
    figures, soft_hard, median, wrong, n = measure(path, half)
    text = f"{n} replies: " + ", ".join(f"{k} {v:.1f} % (at least {LEAST[k]:g})" for k, v in figures.items())
    text += f", {soft_hard} 4xx hard, median {median:.2f} us (under {MEDIAN_US:g})"
    good = all(figures[k] >= LEAST[k] for k in LEAST) and not soft_hard and median < MEDIAN_US
    return text, good, wrong


def line():
    """For accept.py: the fixture of this repository, and the shared file where it is."""
    texts = []
    for path in [OWN] + [p for p in [SHARED] if os.path.exists(p)]:
        text, good, wrong = verdict(path)
        if not good:
            raise RuntimeError(text + "\n" + "\n".join(wrong))
        texts.append(f"{os.path.basename(path)}: {text}")
    return "; ".join(texts)


def main():
    words = [w for w in sys.argv[1:] if not w.startswith("--")]
    half = None
    if "--half" in sys.argv:
        half = int(words.pop())
    text, good, wrong = verdict(words[0] if words else OWN, half)
    print(text)
    print("\n".join(wrong))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
