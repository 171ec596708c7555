"""The console on a real terminal: what an operator sees, types and must be able to rely on."""
import os
import random
import re
import signal
import sys
import time
import unicodedata

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "console"))
from harness import *
from terminal import Terminal

DOMAINS = 24
HOSTILE = "451 4.7.1 \x1b[31mred\x1b]0;owned\x07 \u202eevil \u009b31m zero\u200bwidth try later"


def scene_with_queues(s, reply=None, mta="", conf=""):
    """A running Stoker with one queue for each of two dozen domains, all of which a receiver defers."""
    names = {f"d{i:02d}": "127.0.2.1" for i in range(DOMAINS)}
    text = "".join(f"{n} IN MX 10 mx.{n}\nmx.{n} IN A {ip}\n" for n, ip in names.items())
    dns = Nsd(s, {"test.example": text})
    Receiver(s, script=lambda session, verb, arg: reply or "451 4.7.1 please try later" if verb == "RCPT" else None)
    m = Stoker(s, "[virtual-mta v1]\nsmtp-source-host = 127.0.1.1 m1.test.example\n"
               "[virtual-mta v2]\nsmtp-source-host = 127.0.1.2 m2.test.example\n"
               "[virtual-mta-pool both]\nmembers = v1, v2\n" + conf, mta=dns.mta + "\ndefault-virtual-mta = both\n" + mta,
               defaults="[domain *]\nallow-private-mx = yes\nretry-recipients-after = 5m\n").start()
    c = Smtp("127.0.0.1", m.port)
    for i, name in enumerate(names):
        for k in range(1 + i % 3):
            c.send("a@source.example", [f"user{k}@{name}.test.example"], b"Subject: hi\r\n\r\nhello\r\n")
    wait_for("all sites", lambda: len(m.rows("sites", "--limit", "1000")) >= DOMAINS)
    return m


@test()
def the_living_console(full):
    """Attach, all views, drill-down, pause and undo, help, detach."""
    with Scene() as s:
        m = scene_with_queues(s)
        t = Terminal(s, m.socket)
        t.wait("Queues > all")
        t.wait("mx.d00.test.example")
        expect("mta.test.example" in t.screen.display[0], t.screen.display[0])
        for key, words in (("2", "VMTA"), ("3", "FOLLOW"), ("5", "JOB"), ("6", "Overrides > all"), ("4", "Messages"), ("1", "SITE"),
                           ("?", "KEYS IN")):
            t.key(key, words)
        t.key("q", "Queues > all")
        t.key("j")
        name = t.marked()
        t.key("p", "paused")
        wait_for("the override", lambda: [o for o in m.rows("overrides") if o.get("target") == "@" + name and not o.get("ended_at")])
        t.wait("u undo")
        t.key("u")
        wait_for("its end", lambda: not [o for o in m.rows("overrides")
                                         if o.get("target") == "@" + name and o.get("what") == "pause" and not o.get("ended_at")])
        t.key("\r", "LANES")
        t.key("\x1b", "Queues > all")
        t.send("q")
        expect(t.ended() == 0, "exit code")
        expect(b"detached; mail goes on" in t.raw, "no goodbye")
        expect(b"\x1b[?1049l" in t.raw, "the screen was not given back")
        return "views 1 to 6, help, drill-down, pause, undo, detach"


@test()
def an_act_never_hits_another_row(full):
    """Rows reorder, appear and vanish while one acts: each target is the row that the last frame marked."""
    acts = 1000 if full else 60
    with Scene() as s:
        m = scene_with_queues(s)
        t = Terminal(s, m.socket)
        t.wait("mx.d00.test.example")
        rng = random.Random(5)
        stop = threading.Event()

        def churn():
            c = Smtp("127.0.0.1", m.port)
            r = random.Random(6)
            while not stop.is_set():
                c.send("a@source.example", [f"u{r.randrange(99)}@d{r.randrange(DOMAINS):02d}.test.example"], b"Subject: x\r\n\r\nx\r\n")
                stop.wait(0.005)

        thread = threading.Thread(target=churn, daemon=True)
        thread.start()
        hits = gone = 0
        try:
            for i in range(acts):
                t.key(rng.choice("jjk"))
                t.pump(rng.random() * 0.3)
                name = t.marked()
                before = {o["id"] for o in m.rows("overrides", "--limit", "100000")}
                t.send("p")
                made = []

                def answered():
                    made[:] = [o for o in m.rows("overrides", "--limit", "100000") if o["id"] not in before]
                    t.pump(0.01)
                    return made or t.row_with("gone") or t.row_with("rows moved") or t.row_with("already")
                wait_for("an answer to p", answered, 5)
                for o in made:
                    expect(o["target"] == "@" + name, f"act {i} hit {o['target']}, the frame marked {name}")
                hits += len(made)
                gone += not made
                t.send(":theme dark\r")
                t.wait("theme dark")
                if made:
                    m.do("end", str(made[0]["id"]))
        finally:
            stop.set()
            thread.join()
        expect(hits > acts / 2, f"only {hits} of {acts} acts made an override")
        return f"{hits} acts on the marked row, {gone} refused, none on another"


def assert_clean(raw):
    """No byte of a peer in the stream: ESC only as a terminal's own sequences, no C1, no bidi, no zero-width."""
    expect(b"\x1b[31mred" not in raw and b"owned\x07" not in raw, "the receiver's escape reached the terminal")
    for ch in set(raw.decode("utf-8", "replace")):
        if ord(ch) >= 0x80 and ch != "\ufffd":
            expect(unicodedata.category(ch) not in ("Cf", "Cc", "Zl", "Zp"), f"U+{ord(ch):04X} reached the terminal")


@test()
def hostile_replies_are_escaped_everywhere(full):
    with Scene() as s:
        m = scene_with_queues(s, reply=HOSTILE)
        wait_for("a deferral", lambda: m.status()["deferred"] > 5)
        t = Terminal(s, m.socket)
        t.wait("mx.d00.test.example")
        for keys in ("j", "\r", "\t", "\t", "\t", "\x1b", "2", "3", "w", "k", "4", "\x1b", "1"):
            t.key(keys)
            t.settle(0.2)
        t.key("3", "\\x1b[31mred")
        assert_clean(bytes(t.raw))
        rc, out, _ = m.cli("log")
        expect("\\x1b[31mred" in out and "\x1b" not in out, "the CLI shows an escape as it came")
        return f"{len(t.raw)} bytes to the terminal, none of the receiver's making"


@test()
def odd_terminals(full):
    """Unknown TERM, NO_COLOR, ASCII, a dumb one, 40x8 and below."""
    with Scene() as s:
        m = scene_with_queues(s)
        t = Terminal(s, m.socket, term="no-such-terminal")
        t.wait("Queues > all")
        t.send("q")
        t.ended()
        t = Terminal(s, m.socket, env={"NO_COLOR": "1"})
        t.wait("mx.d00.test.example")
        colours = re.findall(rb"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8])(?:;\d+)*m", bytes(t.raw))
        expect(not colours, f"a colour under NO_COLOR: {colours[:3]}")
        t.send("q")
        t.ended()
        t = Terminal(s, m.socket, rows=8, columns=40)
        t.wait("QUEUED")
        t.resize(5, 30)
        t.wait("q ")
        t.resize(24, 80)
        t.wait("Queues > all")
        t.send("q")
        t.ended()
        t = Terminal(s, m.socket, args=("--plain",))
        t.wait("1 queues by site")
        t.send("1\r")
        t.wait("mx.d00.test.example")
        t.send("\r")
        t.wait("1 queues by site")
        expect(b"\x1b" not in bytes(t.raw), "an escape in plain lines")
        t.send("q\r")
        expect(t.ended() == 0, "exit code")
        return "unknown TERM, NO_COLOR, 40x8, 30x5, --plain"


@test()
def keys_as_they_come(full):
    """ESC split over reads, paste is text, ^C is no end, UTF-8 in a filter."""
    with Scene() as s:
        m = scene_with_queues(s)
        t = Terminal(s, m.socket)
        t.wait("mx.d00.test.example")
        first = t.marked()
        for piece in ("\x1b", "[", "B"):
            t.send(piece)
        t.until(lambda: t.marked() and t.marked() != first, "the cursor to move")
        t.send("\x1b[200~pD:shutdown --yes\r\x1b[201~")
        t.settle(0.2)
        t.key("\x03", "q detaches")
        expect(m.process.poll() is None, "a paste ended Stoker")
        expect(not [o for o in m.rows("overrides")], "a paste made an override")
        t.key("/d03", "filter d03")
        t.until(lambda: not t.row_with("mx.d05."), "the filter to work")
        t.key("\x1b")
        t.wait("mx.d05.")
        t.key("/é", "filter")
        t.key("\x03\x03")
        t.key(":", ":")
        t.key("pau\t", "pause")
        t.key("\x03\x03")
        t.send("q")
        t.ended()
        return "split escape, paste, ^C, UTF-8, completion"


@test(flavours=("plain",))
def listed_keys_answer_and_others_do_nothing(full):
    with Scene() as s:
        m = scene_with_queues(s)
        t = Terminal(s, m.socket)
        t.wait("451 4.7.1 please")
        t.wait("conns 0/")

        def body():
            # Title, marks and names, what is said below, keys: what does not move by itself.
            lines = t.screen.display
            title = re.sub(r"live|order held 3s", "", lines[2])
            names = [line[:21] if line[:2].strip() or re.match(r"  \S+ +\S+ +\d", line) else line for line in lines[4:-2]]
            below = re.sub(r"row \d+/\d+", "", lines[-2]) if "row" in lines[-2] and "  " not in lines[-2][:20] else lines[-2]
            return "\n".join([title.strip(), lines[3], *names, below, lines[-1]])
        for key in "xHbB9078acdfhilmostwWXYQEFCIJKLMOSTV~`'\"\\|;,@#$%&*()_{}":
            if key in "fwmaL":  # bound in some views
                continue
            t.settle()
            before = body()
            t.key(key)
            expect(body() == before, f"{key!r} changed the screen")
        for key in "jpPrReLDuyUZ/:<>?2356n=! A":
            t.send("\x1b")
            t.settle()
            t.send("1g")
            t.settle()
            t.send("j")
            t.settle(0.2)
            before = body()
            t.key(key)
            t.settle(0.2)
            expect(body() != before, f"{key!r} changed nothing:\n{t.text()}")
            if key == "Z":
                t.key("Z")
            t.send("\x1b")
            t.settle()
        return "unlisted keys change nothing, listed ones do"


@test()
def sessions_end_in_all_ways(full):
    """Resize storm, a stopped client, kill -9 of it, hang-up, kill -9 of the MTA: mail goes on, the terminal is given back."""
    with Scene() as s:
        m = scene_with_queues(s)
        t = Terminal(s, m.socket)
        t.wait("mx.d00.test.example")
        for i in range(200):
            t.resize(10 + i % 40, 40 + i % 120)
            if i % 10 == 0:
                t.pump(0.001)
        t.resize(30, 100)
        t.key("\x0c")
        t.wait("Queues > all")
        # A stopped client: frames merge; nothing is held up.
        t.child.kill(signal.SIGSTOP)
        c = Smtp("127.0.0.1", m.port)
        before = m.status()["accepted"]
        for i in range(50):
            c.send("a@source.example", ["x@d01.test.example"], b"Subject: x\r\n\r\nx\r\n")
        wait_for("mail behind a stopped client", lambda: m.status()["accepted"] >= before + 50)
        t.child.kill(signal.SIGCONT)
        t.key("j")
        t.wait("Queues > all")
        t.child.kill(signal.SIGKILL)
        gone = Terminal(s, m.socket)
        gone.wait("Queues > all")
        gone.child.close(force=False)  # the terminal is gone: SIGHUP
        last = Terminal(s, m.socket)
        last.wait("mx.d00.test.example")
        wait_for("the others to be forgotten", lambda: (m.json("status").get("operators") or 1) in (1, ["root"]) or
                 len(m.json("status")["operators"]) == 1 if isinstance(m.json("status").get("operators"), list) else True)
        m.kill9()
        rc = last.ended()
        expect(rc != 0, "the client says that all is well")
        expect(b"\x1b[?1049l" in last.raw[-400:], "the terminal was not given back")
        return "resize storm, SIGSTOP, SIGKILL, SIGHUP, dead MTA"


@test()
def several_operators(full):
    """Each has his view; acts of one appear at the other."""
    with Scene() as s:
        m = scene_with_queues(s)
        a, b = Terminal(s, m.socket), Terminal(s, m.socket, rows=24, columns=80)
        a.wait("mx.d00.test.example")
        b.wait("mx.d00.test.example")
        b.key("3", "FOLLOW")
        a.key("j")
        name = a.marked()
        a.key("p", "paused")
        b.until(lambda: b.row_with("pause") and name[:12] in b.text(), "the other's act")
        a.wait("Queues > all")
        a.wait("root root")
        return f"{name} paused by one, seen by the other"


@test()
def boxes_hold(full):
    """Tagged rows ask; a quick y is dropped; Enter means No; delete wants its number; a bare rate is refused."""
    with Scene() as s:
        m = scene_with_queues(s)
        t = Terminal(s, m.socket)
        t.wait("mx.d00.test.example")
        t.key("j")
        t.send("  p")
        t.wait("pause 2 tagged")
        t.key("y", "too fast")
        expect(not m.rows("overrides"), "a dropped key acted")
        t.settle(0.5)
        t.key("\r", "nothing was done")
        expect(not m.rows("overrides"), "Enter acted")
        t.key("U")
        t.key("r", "together over")
        t.settle(0.5)
        t.key("10\r", "10/s, 10/min or 10/h?")
        t.key("/s\r")
        wait_for("the rate", lambda: [o for o in m.rows("overrides") if o.get("what") == "rate"])
        name = t.marked()
        n = m.row("sites", name)["queued"]
        t.key("D", "delete silently")
        t.settle(0.5)
        t.key("d", f"type {n}")
        t.settle(0.5)
        t.key(f"{n + 1}\r", "that is not it")
        t.key("\x7f" * 6 + f"{n}\r")
        wait_for("their removal", lambda: m.status()["removed"] == n)
        return f"{n} recipients of {name} deleted by typing {n}"


@test(flavours=("plain",), alone=True)
def console_costs_nothing(full):
    """Throughput with and without operators whose terminals are stuck, killed or stormed with sizes, in alternating slices."""
    import statistics
    slices, n = (10, 6000) if full else (2, 300)
    with Scene() as s:
        dns = Nsd(s, {"test.example": zone({"": "127.0.2.9"})})
        Sink(s, "127.0.2.9", 25)
        m = Stoker(s, "[virtual-mta v1]\nsmtp-source-host = 127.0.1.1 m1.test.example\n", mta=dns.mta).start()
        rates = {False: [], True: []}
        for k in range(slices * 2):
            operators = []
            if k % 2:
                operators = [Terminal(s, m.socket) for _ in range(3)]
                for t in operators:
                    t.wait("Queues > all")
                os.kill(operators[0].child.pid, signal.SIGSTOP)  # as Ctrl-S or a dead link: nobody reads
            before = m.status()["delivered"]
            started = time.monotonic()
            load = threading.Thread(target=smtp_source, args=(m.port, n), kwargs={"size": 5000})
            load.start()
            while load.is_alive() and operators:
                operators[1].child.setwinsize(10 + k % 40, 40 + int(time.monotonic() * 50) % 100)
                operators[2].pump(0.02)
            load.join()
            wait_for("the slice", lambda: m.status()["delivered"] - before >= n, 120, 0.02)
            rates[bool(k % 2)].append(n / (time.monotonic() - started))
            if operators:
                os.kill(operators[0].child.pid, signal.SIGCONT)
                operators[1].child.kill(signal.SIGKILL)
                for t in operators:
                    t.close()
        loops = {l["name"]: l for l in m.status()["loops"]}
        cpu = loops["console"]["cpu_total_ms"] / 10 / max(1, m.status()["uptime"])
        without, with_them = statistics.median(rates[False]), statistics.median(rates[True])
        found = f"{without:.0f}/s without, {with_them:.0f}/s with three operators ({(with_them / without - 1) * 100:+.1f} %), console thread {cpu:.2f} % CPU"
        expect(cpu < 5, found)
        if full:
            expect(abs(with_them / without - 1) <= 0.05, found)
        return found
