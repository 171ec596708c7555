#!/usr/bin/python3
"""make bench: Stoker and Postfix side by side in one run: smtp-source hands 10 KB messages in over 20 sessions, smtp-sink
receives; both are durable before 250. Interleaved rounds; medians; CPU a message of each Stoker thread.
bench.py [ROUNDS] [MESSAGES]"""
import os
import statistics
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from harness import *

SIZE, SESSIONS = 10000, 20


def stoker_round(s, m, n):
    before = m.status()
    started = time.monotonic()
    smtp_source(m.port, n, sessions=SESSIONS, size=SIZE, extra=("-d",))
    wait_for("all to be delivered", lambda: m.status()["delivered"] - before["delivered"] >= n, 300, 0.05)
    took = time.monotonic() - started
    after = m.status()
    expect(after["delivered"] - before["delivered"] == n, "not all were delivered")
    cpu = {}
    for a, b in zip(after["loops"], before["loops"]):
        cpu[a["name"]] = (a["cpu_total_ms"] - b["cpu_total_ms"]) * 1000 / n
    return n / took, cpu


def postfix_round(pf, n):
    started = time.monotonic()
    p = subprocess.run(["smtp-source", "-d", "-s", str(SESSIONS), "-m", str(n), "-l", str(SIZE), "-f", "a@source.example", "-t",
                        "user@test.example", f"{pf.ip}:{pf.port}"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    expect(p.returncode == 0, p.stdout.decode())
    wait_for("Postfix's queue to be empty", lambda: not any(files for d in ("incoming", "active", "deferred", "maildrop")
             for _, _, files in os.walk(f"{pf.dir}/queue/{d}")), 300, 0.05)
    return n / (time.monotonic() - started)


def direct_round(n):
    started = time.monotonic()
    p = subprocess.run(["smtp-source", "-d", "-s", str(SESSIONS), "-m", str(n), "-l", str(SIZE), "-f", "a@source.example", "-t",
                        "user@test.example", "127.0.2.9:25"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    expect(p.returncode == 0, p.stdout.decode())
    return n / (time.monotonic() - started)


def compare(rounds=5, messages=20000, postfix_messages=3000):
    with Scene(base=os.environ.get("BENCH_DIR")) as s:
        dns = Nsd(s, {"test.example": zone({"": "127.0.2.9"})})
        Sink(s, "127.0.2.9", 25)
        pf = Postfix(s, "127.0.2.8", domains=("nowhere.example",),
                     main="relayhost = [127.0.2.9]:25\nrelay_domains = test.example\ndefault_destination_concurrency_limit = 20\n"
                          "smtp_destination_concurrency_limit = 20\ninitial_destination_concurrency = 20\nsmtp_bind_address = 127.0.0.1\n"
                          "maillog_file =\nsmtp_destination_rate_delay = 0s\n")
        m = Stoker(s, "[virtual-mta v1]\nsmtp-source-host = 127.0.1.1 m1.test.example\n[domain *]\nmax-smtp-out = 20\n", mta=dns.mta).start()
        stoker, postfix, direct, cpus = [], [], [], []
        for k in range(rounds):
            rate, cpu = stoker_round(s, m, messages)
            stoker.append(rate)
            cpus.append(cpu)
            postfix.append(postfix_round(pf, postfix_messages))
            direct.append(direct_round(messages))
            print(f"round {k + 1}: Stoker {stoker[-1]:.0f}/s, Postfix {postfix[-1]:.0f}/s, direct {direct[-1]:.0f}/s", flush=True)
        a, b, d = (statistics.median(x) for x in (stoker, postfix, direct))
        cpu = {name: statistics.median(c[name] for c in cpus) for name in cpus[0]}
        print("CPU a message: " + ", ".join(f"{k} {v:.1f} us" for k, v in cpu.items() if v >= 0.05) +
              f"; together {sum(cpu.values()):.1f} us", flush=True)
        print(f"medians: Stoker {a:.0f}/s, Postfix {b:.0f}/s, direct {d:.0f}/s: {a / b:.1f} times Postfix, {a / d * 100:.0f} % of direct",
              flush=True)
        return a, b, d, cpu


if __name__ == "__main__":
    own_network()
    compare(*(int(x) for x in sys.argv[1:]))
