"""What an operator does holds at once, holds over a restart, and can be undone."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "console"))
from harness import *
from terminal import Terminal

LANES = 20


def crowd():
    """Twenty lanes: 5 domains with sites of their own at 4 virtual MTAs of one pool."""
    conf = "".join(f"[virtual-mta v{i}]\nsmtp-source-host = 127.0.1.{i} m{i}.test.example\n" for i in range(1, 5))
    return conf + "[virtual-mta-pool p]\nmembers = v1, v2, v3, v4\n[mta]\nthreads = 2\ndefault-virtual-mta = p\n"


NAMES = ["a", "b", "c", "d", "e"]


def start_crowd(s, extra=""):
    dns = Nsd(s, {"test.example": zone({d: f"127.0.2.{i + 1}" for i, d in enumerate(NAMES)})})
    rs = [Receiver(s, f"127.0.2.{i + 1}") for i in range(len(NAMES))]
    m = Stoker(s, crowd() + extra, mta=dns.mta).start()
    return rs, m


class Feeder:
    """Keeps mail for all domains coming until stopped."""

    def __init__(self, m, sessions=4):
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(m, k), daemon=True) for k in range(sessions)]
        for t in self.threads:
            t.start()

    def run(self, m, k):
        c = Smtp("127.0.0.1", m.port)
        n = 0
        while not self.stopping.is_set():
            n += 1
            try:
                c.send(f"a{k}@source.example", [f"u{n}@{NAMES[n % len(NAMES)]}.test.example"], b"Subject: x\r\n\r\ny\r\n")
            except (OSError, ConnectionError):
                return
            self.stopping.wait(0.002)

    def stop(self):
        self.stopping.set()
        for t in self.threads:
            t.join()


class Cli:
    """An operator with a shell."""
    name = "CLI"

    def __init__(self, m):
        self.m = m

    def do(self, words):
        self.m.do(*words.split())
        return time.monotonic()


class Console:
    """An operator at the console, who types commands on its line."""
    name = "console"
    done = {"pause": "paused", "resume": "resumed", "disable": "disabled", "enable": "enabled", "rate": "rate 1/hour", "undo": "ended override"}

    def __init__(self, s, m):
        self.t = Terminal(s, m.socket, rows=24, columns=110)
        self.t.wait("Queues > all")

    def answered(self, words):
        answer = self.t.screen.display[-2]
        return self.done[words.split()[0]] in answer and not answer.startswith(" :")

    def do(self, words):
        """When the answer was on the screen."""
        self.t.key(":" + words, ":" + words)
        self.t.send("\r")
        if words.startswith("disable"):  # a source is a box: five lanes stop
            self.t.wait("y does it")
            self.t.settle(0.5)
            self.t.send("y")
        self.t.until(lambda: self.answered(words), words)
        return time.monotonic()


def trials(operators, n, act, undo, written, spare=0):
    """n trials, the operators in turn: how late MAIL was written after the answer, in seconds (0: none was). `spare`: so many
    may be written at any time (the one that a rate allows)."""
    lates = {}
    for k in range(n):
        op = operators[k % len(operators)]
        answered = op.do(act)
        threading.Event().wait(0.35)
        late = sorted(t - answered for t in written() if t > answered)
        lates.setdefault(op.name, []).append(late[-1 - spare] if len(late) > spare else 0.0)
        op.do(undo)
    return lates


def judge(lates, what):
    every = [x for one in lates.values() for x in one]
    bad100 = sum(1 for x in every if x > 0.1)
    expect(max(every) <= 0.3, f"{what}: MAIL written {max(every) * 1000:.0f} ms after the answer: {lates}")
    expect(bad100 <= max(1, len(every) // 20), f"{what}: over 100 ms in {bad100} of {len(every)} trials: {lates}")
    return f"{what}: worst " + ", ".join(f"{max(x) * 1000:.0f} ms in {len(x)} from {who}" for who, x in lates.items())


@test(flavours=("plain",), alone=True)
def pause_rate_and_disable_hold_at_once(full):
    """From the command line and from the console in turn: 100 trials each in full."""
    n = 100 if full else 6
    with Scene() as s:
        rs, m = start_crowd(s)
        f = Feeder(m)
        for r in rs:
            wait_for("traffic", lambda r=r: r.times("MAIL"))
        both = [Cli(m), Console(s, m)]

        def of_v2():
            return [t for r in rs for t in r.times("MAIL", "127.0.1.2")]
        found = [
            judge(trials(both, n, "pause a.test.example", "resume a.test.example", lambda: rs[0].times("MAIL")), "pause of a domain"),
            judge(trials(both, n, "rate b.test.example 1/h", "undo", lambda: rs[1].times("MAIL"), spare=1), "rate of a domain"),
            judge(trials(both, n, "disable vmta:v2", "enable vmta:v2", of_v2), "disable of a virtual MTA"),
            # Everything at once asks on the console for a typed answer: the command line only.
            judge(trials(both[:1], n if full else 3, "pause all", "resume all", lambda: [t for r in rs for t in r.times("MAIL")]), "pause all"),
        ]
        f.stop()
        return "; ".join(found)


@test(flavours=("plain",), alone=True)
def a_lower_rate_holds_at_once(full):
    with Scene() as s:
        rs, m = start_crowd(s)
        f = Feeder(m)
        wait_for("traffic", lambda: len(rs[0].times("RCPT")) > 50)
        m.do("rate", "a.test.example", "2/s")
        answered = time.monotonic()
        threading.Event().wait(3)
        late = [t for t in rs[0].times("RCPT") if t > answered + 0.1]
        f.stop()
        expect(len(late) <= 8, f"{len(late)} attempts in 3 s at 2/s together")
        q = m.rows("queues", "--filter", "a.test.example")[0]
        expect(q["why"]["code"] in ("rate", "in-flight"), f"why {q['why']}")
        expect("override" in q["why"].get("origin", "") or q["why"]["code"] == "in-flight", f"origin {q['why']}")
        return f"{len(late)} attempts in 3 s at 2/s"


@test()
def overrides_survive_a_restart_and_undo_ends_them(full):
    with Scene() as s:
        rs, m = start_crowd(s)
        m.do("pause", "all")
        c = Smtp("127.0.0.1", m.port)
        expect(c.send("x@source.example", ["u@a.test.example", "u@b.test.example"], b"Subject: x\r\n\r\ny\r\n").startswith("250"), "refused")
        wait_for("the queues", lambda: len(m.rows("queues")) == 2)
        out = m.do("pause", "a.test.example", "for", "2h", "because", "their MX is being moved")
        expect("a.test.example" in out, out)
        m.do("rate", "b.test.example", "5/min", "for", "ever")
        m.do("disable", "vmta:v3", "because", "ticket 4411")
        wait_for("the alarm", lambda: any(a["code"] == "all-paused" for a in m.status()["alarms"]))
        expect(m.cli("status", "--check")[0] == 1, "status --check says all is well while everything is paused")
        m.do("resume", "all")
        wait_for("its end", lambda: not any(a["code"] == "all-paused" for a in m.status()["alarms"]))
        before = [o for o in m.rows("overrides") if "ended_at" not in o]
        expect(len(before) == 3, f"{len(before)} overrides: {before}")
        m.kill9()
        m.start()
        after = [o for o in m.rows("overrides") if "ended_at" not in o]
        expect([(o["id"], o["what"], o["target"], o.get("reason")) for o in before] ==
               [(o["id"], o["what"], o["target"], o.get("reason")) for o in after], f"{before} became {after}")
        c = Smtp("127.0.0.1", m.port)
        expect(c.send("x@source.example", ["u@a.test.example"], b"Subject: x\r\n\r\ny\r\n").startswith("250"), "refused")
        q = wait_for("the queue", lambda: m.rows("queues", "--filter", "a.test.example"))[0]
        expect(q["state"] == "paused" and q["why"]["code"] == "paused", str(q))
        expect("2h" in q["why"]["text"] or "left" in q["why"]["text"] or "paused" in q["why"]["text"], str(q["why"]))
        rc, out, err = m.cli("pause", "a.test.example")
        expect("already" in out + err, f"pausing twice says: {out}{err}")
        m.do("resume", "a.test.example")
        wait_for("the message", lambda: rs[0].messages)
        m.do("end", str(next(o["id"] for o in after if o["what"] == "disable")))
        live = [o for o in m.rows("overrides") if "ended_at" not in o]
        expect(len(live) == 1, f"{len(live)} left: {live}")
        return "3 overrides with who, why and until over kill -9; resume and end work"


@test()
def bad_words_get_plain_answers(full):
    with Scene() as s:
        rs, m = start_crowd(s)
        for args, word in ((("pause", "gmial.con"), ""), (("rate", "a.test.example", "10"), "10/s"), (("pause",), ""),
                           (("end", "99999"), ""), (("frobnicate",), ""), (("pause", "vmta:nosuch"), "nosuch"),
                           (("queues", "--filter", "queued>abc"), ""), (("settings", "a..b"), "")):
            rc, out, err = m.cli(*args)
            expect(rc in (1, 2) and err.strip(), f"{args}: exit {rc}, {out!r} {err!r}")
            expect(word in err, f"{args}: {err!r} does not say {word!r}")
        rc, out, err = m.cli("status", "--check")
        expect(rc in (0, 1, 2), f"status --check: {rc}")
        p = subprocess.run([binary(), "--socket", s.path("nothing.sock"), "status"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           env=dict(os.environ, ASAN_OPTIONS="detect_leaks=0"))
        expect(p.returncode == 3, f"no running stoker: exit {p.returncode}")
        return "wrong words are refused with a sentence; exit codes 1, 2, 3"


@test()
def every_json_name_is_there(full):
    with Scene() as s:
        rs, m = start_crowd(s)
        c = Smtp("127.0.0.1", m.port)
        for i in range(50):
            c.send("x@source.example", [f"u{i}@a.test.example"], b"Subject: x\r\n\r\ny\r\n")
        m.wait_drained()
        st = m.status()
        for name in ("version hostname uptime state config in out accepted delivered deferred bounced expired removed queued maybe_twice "
                     "queue_limit spool memory loops operators alarms").split():
            expect(name in st or name == "queue_limit", f"status lacks {name}")
        for listing, names in {"queues": "name domain route site state queued due in_flight why rate connections delivered deferred bounced trend",
                               "sites": "name domains lanes state queued", "lanes": "name site virtual_mta source_ip state rate connections delivered",
                               "sources": "virtual_mta source_ip hostname pools state connections rate", "jobs": "name user state queued delivered"}.items():
            row = wait_for(listing, lambda: m.rows(listing))[0]
            for name in names.split():
                expect(name in row, f"{listing} rows lack {name}: {row}")
        return "status and the lists have the names scripts rely on"


@test()
def delete_and_bounce_take_exactly_what_was_shown(full):
    with Scene() as s:
        rs, m = start_crowd(s)
        m.do("pause", "all")
        c = Smtp("127.0.0.1", m.port)
        for i in range(30):
            c.send("x@source.example", [f"u{i}@{NAMES[i % 2]}.test.example"], b"Subject: x\r\n\r\ny\r\n")
        wait_for("30 queued", lambda: m.status()["queued"] == 30)
        rc, out, err = m.cli("delete", "a.test.example")
        expect(rc == 1 and m.status()["queued"] == 30, f"delete without --yes: {rc} {out}{err}")
        m.do("delete", "a.test.example", "--yes")
        wait_for("15 left", lambda: m.status()["queued"] == 15)
        expect(m.status()["removed"] == 15, str(m.status()))
        m.do("bounce", "b.test.example", "--yes")
        wait_for("15 bounced", lambda: m.status()["bounced"] == 15)
        return "15 deleted, 15 bounced; nothing without --yes"


@test()
def a_move_survives_a_crash(full):
    """What an operator moved to another route is sent by that route, also after kill -9."""
    with Scene() as s:
        rs, m = start_crowd(s)
        m.do("pause", "all")
        c = Smtp("127.0.0.1", m.port)
        for i in range(6):
            expect(c.send("x@source.example", [f"u{i}@a.test.example"], b"Subject: x\r\n\r\ny\r\n").startswith("250"), "refused")
        wait_for("the queue", lambda: m.row("queues", "a.test.example/p"))
        m.do("move", "a.test.example/p", "v4", "--yes")
        wait_for("the other queue", lambda: (m.row("queues", "a.test.example/v4") or {}).get("queued") == 6)
        m.kill9()
        m.start()
        wait_for("the load", lambda: m.status()["spool"]["load_progress"] >= 1)
        q = wait_for("the moved queue", lambda: m.rows("queues"))
        expect([(r["name"], r["queued"]) for r in q if r["queued"]] == [("a.test.example/v4", 6)], f"after the crash: {[(r['name'], r['queued']) for r in q]}")
        m.do("resume", "all")
        wait_for("the mail", lambda: len(rs[0].messages) == 6)
        expect({ip for _, ip, *_ in rs[0].messages} == {"127.0.1.4"}, f"sent from {set(ip for _, ip, *_ in rs[0].messages)}")
        return "6 moved recipients leave by their new route after kill -9"
