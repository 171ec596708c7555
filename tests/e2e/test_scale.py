"""Many domains and many recipients; every mailbox at capacity 2; what the console costs."""
from harness import *

sys.path.insert(0, os.path.join(ROOT, "tests/e2e/console"))
from terminal import Terminal

ONE = "[virtual-mta v1]\nsmtp-source-host = 127.0.1.1 m1.test.example\n"


def wildcard_zone(ip="127.0.2.1"):
    return f"* IN MX 10 mx\nmx IN A {ip}\n"


def inject(m, domains, per):
    """per recipients in each of so many domains."""
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
    wait_for("all queued", lambda: m.status()["queued"] == domains * per, 60)


def frame_cost(s, m):
    """ms of CPU of the costliest frame: finding its page (control's thread) and drawing it (the console's)."""
    t = Terminal(s, m.socket, rows=50, columns=160)
    t.wait("Queues > all")
    for keys in ("jjjj", "G", "g", "/d77\r", "\x1b", "<", ">", "I"):
        t.send(keys)
        t.settle()
    t.close()
    console = m.status()["console"]
    return console["page_cpu_ms"] + console["frame_cpu_ms"]


def copy_share(m, seconds):
    """CPU that the mirror's copies took of the scheduler's thread, in % of the time that went by: so much of a core, not of what
    the thread used of it."""
    def read():
        return time.monotonic(), m.status()["mirror"]["copy_cpu_ms"] / 1e3
    first = read()
    threading.Event().wait(seconds)
    took, copy = (b - a for a, b in zip(first, read()))
    return copy / took * 100


class Restart:
    """After a kill: seconds from the start to the control socket, the console's first frame and the end of loading."""

    def __init__(self, s, m):
        m.kill9()
        self.started = time.monotonic()
        m.start(wait=False)
        wait_for("the control socket", lambda: os.path.exists(m.socket) and m.cli("status", "--json")[0] == 0, 30, 0.01)
        self.control = self.took()
        t = Terminal(s, m.socket)
        t.wait("Queues > all")
        self.console = self.took()
        t.close()
        wait_for("the load", lambda: m.status()["spool"]["load_progress"] >= 1, 120)
        self.loaded = self.took()

    def took(self):
        return time.monotonic() - self.started


def due_mail_flows(m, receiver):
    """Seconds from the start after a kill to the first message at the receiver; it loads a million of them meanwhile."""
    m.do("resume", "all")
    m.kill9()
    before = len(receiver.times("DATA"))
    started = time.monotonic()
    m.start(wait=False)
    wait_for("due mail", lambda: len(receiver.times("DATA")) > before, 60, 0.01)
    took = time.monotonic() - started
    m.wait_ready()
    return took


def million(domains, per, full):
    """One run: (what was found, in words, without the passes; the longest pass of each loop)."""
    with Scene() as s:
        stolen = Stolen(s)
        dns = Nsd(s, {"test.example": wildcard_zone()})
        receiver = Receiver(s)
        m = Stoker(s, ONE + "[domain *]\nbounce-after = 10d\n", mta=dns.mta, env={"STOKER_TEST_PASSES": "2"}).start()
        m.do("pause", "all")
        n = domains * per
        inject(m, domains, per)
        # What the flood of new mail leaves in malloc is given back within some ten seconds.
        if full:
            wait_for("memory to settle", lambda: m.status()["memory"]["anon"] / n < 450, 25, 1)
        per_rcpt = m.status()["memory"]["anon"] / n
        frame = frame_cost(s, m)
        r = Restart(s, m)
        st = m.status()
        expect(st["queued"] == n, f"{st['queued']} of {n} after the restart")
        per_after = st["memory"]["anon"] / n
        due = due_mail_flows(m, receiver)
        # The line asks for a million that are queued, with mail flowing on live lanes; while they are loaded, the mirror gets each
        # row for the first time: that share is told, too.
        filling = copy_share(m, 5 if full else 1)
        wait_for("the load", lambda: m.status()["spool"]["load_progress"] >= 1, 120)
        left = m.status()["queued"]
        share = copy_share(m, 5 if full else 1)
        found = (f"{n} recipients in {domains} domains: {per_rcpt:.0f} bytes anonymous each ({per_after:.0f} after a restart); a frame "
                 f"{frame:.1f} ms of CPU; copies {share:.2f} % of the scheduler's time with {left} queued and mail flowing "
                 f"({filling:.2f} % while they are loaded); after a kill control there in {r.control:.2f} s, "
                 f"first frame {r.console:.2f} s, all loaded {r.loaded:.2f} s, due mail out in {due:.2f} s")
        # The quick run shares its machine with other work and only looks for blunders.
        slack = 1 if full else 4
        expect(not full or max(per_rcpt, per_after) < 450, found)
        expect(frame < 10 * slack and share < 1 * slack, found)
        expect(r.console < 1 * slack and due < 3 * slack, found)
        return found, longest_passes(m, stolen)


@test(flavours=("plain",), alone=True)
def a_million_recipients_in_a_hundred_thousand_domains(full):
    # A machine that stands still for less than stolen.py can see makes any pass of any loop long, now and then. What a loop itself
    # does is the same in each run: with a long pass all is run again, up to twice, and each loop is judged by its best run.
    domains, per, most = (100000, 10, 5) if full else (4000, 10, 20)
    best, told = None, []
    while len(told) < 3:
        found, passes = million(domains, per, full)
        worst = max(passes, key=passes.get, default=None)
        longest, counted = passes.get(worst, (0, 0))
        told.append(f"{longest:.1f} ms ({worst}; {counted:.1f} with what the machine took)")
        best = {k: min(best[k], v[0]) for k, v in passes.items() if k in best} if best is not None else {k: v[0] for k, v in passes.items()}
        if max(best.values(), default=0) <= most:
            break
    found += "; longest pass " + ", run again ".join(told)
    expect(max(best.values(), default=0) <= most, f"{found}; each loop's best: {best}")
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
