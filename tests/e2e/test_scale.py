"""Many domains and many recipients; every mailbox at capacity 2; what the console costs."""
from harness import *

ONE = "[virtual-mta v1]\nsmtp-source-host = 127.0.1.1 m1.test.example\n"


def wildcard_zone(ip="127.0.2.1"):
    return f"* IN MX 10 mx\nmx IN A {ip}\n"


@test(flavours=("plain",), alone=True)
def a_million_recipients_in_a_hundred_thousand_domains(full):
    domains, per = (100000, 10) if full else (4000, 10)
    with Scene() as s:
        dns = Nsd(s, {"test.example": wildcard_zone()})
        Receiver(s)
        m = Stoker(s, ONE + "[domain *]\nbounce-after = 10d\n", mta=dns.mta).start()
        m.do("pause", "all")

        def feed(k, step):
            c = Smtp("127.0.0.1", m.port)
            for d in range(k, domains, step):
                reply = c.send(f"a{d}@source.example", [f"user{i}@d{d}.test.example" for i in range(per)], b"Subject: x\r\n\r\nbody\r\n")
                expect(reply.startswith("250"), reply)
        threads = [threading.Thread(target=feed, args=(k, 8)) for k in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        n = domains * per
        wait_for("all queued", lambda: m.status()["queued"] == n, 60)
        # What the flood of new mail leaves in malloc is given back within some ten seconds.
        if full:
            wait_for("memory to settle", lambda: m.status()["memory"]["anon"] / n < 450, 25, 1)
        per_rcpt = m.status()["memory"]["anon"] / n
        m.kill9()
        started = time.monotonic()
        m.start(wait=False)
        wait_for("the control socket", lambda: m.cli("status", "--json")[0] == 0, 30, 0.01)
        there = time.monotonic() - started
        wait_for("the load", lambda: m.status()["spool"]["load_progress"] >= 1, 120)
        loaded = time.monotonic() - started
        st = m.status()
        expect(st["queued"] == n, f"{st['queued']} of {n} after the restart")
        per_after = st["memory"]["anon"] / n
        loops = {l["name"]: l["cpu_ms"] for l in st["loops"] if not l["name"].startswith("worker" if full else ("worker", "spool"))}
        worst = max(loops, key=loops.get)
        found = (f"{n} recipients in {domains} domains: {per_rcpt:.0f} bytes anonymous each ({per_after:.0f} after a restart); control "
                f"there {there:.2f} s, all loaded {loaded:.2f} s after a kill; longest pass {loops[worst]} ms ({worst})")
        expect(not full or (max(per_rcpt, per_after) < 450 and there < 1), found)
        return found


@test(flavours=("plain", "tsan"))
def mailboxes_at_capacity_two_do_not_deadlock(full):
    seconds = 60 if full else 5
    with Scene() as s:
        dns = Nsd(s, {"test.example": zone({"": "127.0.2.1", "b": "127.0.2.3"})})
        Sink(s, "127.0.2.1")
        Sink(s, "127.0.2.3")
        m = Stoker(s, ONE, mta=dns.mta + "\nthreads = 2", env={"STOKER_TEST_MAILBOX": "2"}).start()
        until = time.monotonic() + seconds
        n = 0
        while time.monotonic() < until:
            smtp_source(m.port, 200, sessions=10, size=2000, rcpt="u@test.example" if n % 2 else "u@b.test.example")
            n += 200
            m.do("pause", "b.test.example")
            m.do("resume", "b.test.example")
            m.rows("queues")
        m.wait_drained(120)
        st = m.status()
        expect(st["delivered"] == n, f"{st['delivered']} of {n}")
        return f"{n} messages in {seconds} s with every mailbox at capacity 2"
