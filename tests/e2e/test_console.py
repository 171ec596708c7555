"""The console on a real terminal: what an operator sees, types and must be able to rely on."""
import collections
import os
import random
import re
import signal
import sys
import time
import unicodedata

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "console"))
from harness import *
from remote import Sshd, Tmux
from terminal import Terminal
from wire import Wire

DOMAINS = 24
HOSTILE = "451 4.7.1 \x1b[31mred\x1b]0;owned\x07 \u202eevil \u009b31m zero\u200bwidth try later"


def scene_with_queues(s, reply=None, mta="", conf="", retry="5m"):
    """A running Stoker with one queue for each of two dozen domains, all of which a receiver defers. reply: a text, or a function that
    gives one or None (taken)."""
    answer = reply if callable(reply) else lambda: reply or "451 4.7.1 please try later"
    names = {f"d{i:02d}": "127.0.2.1" for i in range(DOMAINS)}
    text = "".join(f"{n} IN MX 10 mx.{n}\nmx.{n} IN A {ip}\n" for n, ip in names.items())
    dns = Nsd(s, {"test.example": text})
    Receiver(s, script=lambda session, verb, arg: answer() if verb == "RCPT" else None)
    m = Stoker(s, "[virtual-mta v1]\nsmtp-source-host = 127.0.1.1 m1.test.example\n"
               "[virtual-mta v2]\nsmtp-source-host = 127.0.1.2 m2.test.example\n"
               "[virtual-mta-pool both]\nmembers = v1, v2\n" + conf, mta=dns.mta + "\ndefault-virtual-mta = both\n" + mta,
               defaults=f"[domain *]\nallow-private-mx = yes\nretry-recipients-after = {retry}\n").start()
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
        for key, words in (("2", "VMTA"), ("3", "FOLLOW"), ("5", "JOB"), ("7", "RATES"), ("6", "Overrides > all"), ("4", "Messages"), ("1", "SITE"),
                           ("?", "KEYS IN")):
            t.key(key, words)
        t.key("q", "Queues > all")
        t.key("j")
        name = t.marked()
        t.act("p", "paused")
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


class Churn:
    """Two hundred messages a second over all domains; the receiver takes half of what it is given, so counts rise and fall, and with
    a filter on them rows appear and vanish."""

    def __init__(self, m):
        self.m, self.stop, self.sent, self.started = m, threading.Event(), 0, time.monotonic()
        self.threads = [threading.Thread(target=self.send, args=(seed,), daemon=True) for seed in (6, 7, 8)]
        for t in self.threads:
            t.start()

    def send(self, seed):
        c, r = Smtp("127.0.0.1", self.m.port), random.Random(seed)
        while not self.stop.wait(0.008):
            c.send("a@source.example", [f"u{r.randrange(99)}@d{r.randrange(DOMAINS):02d}.test.example"], b"Subject: x\r\n\r\nx\r\n")
            self.sent += 1

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join()
        return self.sent / (time.monotonic() - self.started)


class Acts:
    """What Stoker was told, from its audit log: every act, in order, done or refused."""

    def __init__(self, m):
        self.file = open(f"{m.dir}/audit.log", errors="replace")

    def new(self):
        return re.findall(r"\): (pause|resume) (\S+).*? -> (done|refused)", self.file.read())


@test()
def an_act_never_hits_another_row(full):
    """Rows reorder, appear and vanish while one acts, also with tags, filters and keys typed ahead, on a terminal whose frames come late:
    each target is the row that was marked on the terminal when the key went out; a row shown as gone is not acted on."""
    acts = 1000 if full else 6
    coin = random.Random(8)
    with Scene() as s:
        m = scene_with_queues(s, reply=lambda: None if coin.random() < 0.5 else "451 4.7.1 please try later", retry="1s")
        wire = Wire(s, f"{m.dir}/wire.sock", m.socket, delays=(0, 0, 0.05, 0.15))
        t = Terminal(s, wire.path)
        t.wait("mx.d00.test.example")
        a, churn = Actor(t, m, wire), Churn(m)
        try:
            a.vanished_row_is_gone(m)
            t.send(":sort out/s\r")
            a.run(acts)
        finally:
            rate = churn.end()
        n = a.count
        made = {o["id"] for o in m.rows("overrides", "--limit", "5000") if o["what"] == "pause"}
        expect(len(made) <= n["pause"] + 1, f"{len(made)} overrides of {n['pause']} acts")
        expect(n["hit"] > acts / 3, f"only {n['hit']} of {acts} acts were done: {dict(n)}")
        expect(not full or (n["gone"] > acts / 200 and n["ahead"] > acts / 100 and wire.crossed > acts / 100),
               f"not what it was to be: {dict(n)}, {wire.crossed} keys crossed a frame")
        return (f"{n['hit']} acts on the marked row ({n['tagged']} on tagged ones, {n['ahead']} typed ahead), {n['refused']} refused (already so), "
                f"{n['gone'] + 1} on rows that had gone, {n['moved']} where rows had just moved, none on another; {n['places']} times the row had moved; "
                f"{wire.crossed} keys crossed a frame on its way, of {wire.frames}; {rate:.0f} messages a second")


class Actor:
    """An operator who moves, tags, filters and acts as fast as the screen answers. What an act may hit is what the wire saw marked on the
    terminal when its key went out."""

    FILTERS = ("", "queued>2", "mx.d0|mx.d1", "!paused")
    # Not what everybody is told ("root paused ..."): that comes before the answer.
    ANSWER = re.compile(r"paused |resumed |already |@\S+ is not paused|\d+ done")
    REFUSED = {"gone:": "gone", "rows moved just now": "moved", "nothing stands": "none"}

    def __init__(self, t, m, wire):
        self.t, self.wire, self.audit, self.rng, self.count, self.behind = t, wire, Acts(m), random.Random(5), collections.Counter(), "f"

    def echo(self):
        return self.t.screen.display[-2].strip()

    def barrier(self, keys):
        """Types keys and reads the frame that answers all of them: it speaks of a key behind them, each time another one, that does
        nothing here."""
        self.behind = "w" if self.behind == "f" else "f"
        self.t.send(keys + self.behind)
        self.t.until(lambda: self.echo().startswith(f"{self.behind} does nothing"), f"the frame behind {keys!r}")

    def at_key(self, keys):
        """What the terminal showed when these keys went out."""
        found = [k for k in self.wire.keys if k.bytes == keys.encode()]
        return found[-1]

    def vanished_row_is_gone(self, m):
        """The row ends to match the filter while the cursor is on it: p says gone, and nothing is paused."""
        m.do("pause", "@mx.d05.test.example")
        self.t.send("/paused\r")
        self.t.until(lambda: self.t.row_with("paused by root") and not self.t.row_with("mx.d06."), "the paused row alone")
        self.barrier("j")
        m.do("resume", "@mx.d05.test.example")
        self.t.until(lambda: re.search(r"^> ?mx.d05.test.example +gone", self.t.text(), re.M), "the row to be gone")
        self.audit.new()
        self.t.send("p")
        self.t.until(lambda: self.echo().startswith("gone: mx.d05.test.example"), "a refusal")
        self.barrier("")
        expect(self.at_key("p").gone, "the test's own view of the terminal is wrong")
        expect(not self.audit.new() and not live(m, "pause"), "an act on a row that was gone")

    def run(self, acts):
        """Series of acts: at the top, where rows come and go under the cursor; on a row that others overtake, once the order is no longer
        held; on tagged rows; on the move, typed ahead."""
        n, self.series = self.count, 0
        while n["hit"] + n["refused"] + n["gone"] < acts:
            words = self.FILTERS[self.series // 4 % len(self.FILTERS)]
            if words == "!paused" and self.t.text().count(" PAUS ") > 6:
                words = "paused"  # of many rows
            self.t.send("/\x15" + words + "\r")
            self.barrier("")
            self.t.until(self.t.marked, "the filter's rows")  # until then there is nothing to move on
            self.barrier(("g", "jj", "j", "j")[self.series % 4])
            kind = (self.at_top, self.overtaken, self.tagged, self.on_the_move)[self.series % 4]
            kind(12 if acts > 100 else 2)
            self.series += 1

    def at_top(self, acts):
        for _ in range(acts):
            self.watch(0.3)
            self.cross()
            self.act_on_row()
            self.barrier("")

    def overtaken(self, acts):
        """The mark stays on its row, wherever that goes."""
        row, places = self.t.marked(), set()
        self.watch(3.2)
        for _ in range(acts):
            self.cross()
            saw = self.act_on_row()
            expect(saw.marked == row, f"the mark went from {row} to {saw} by itself")
            places.add(saw.names.index(row))
            self.barrier("")
            if self.wire.gone():
                self.act_on_row()
                self.barrier("")
                break
        self.count["places"] += len(places) - 1

    def on_the_move(self, acts):
        for i in range(acts):
            self.barrier(self.rng.choice("jjk"))
            self.watch(self.rng.random() * 0.4)
            self.act_on_row(ahead=i % 2 == 0)

    def tagged(self, acts):
        for _ in range((acts + 3) // 4):
            names = self.tag(2)
            if names:
                self.act_on_tags(names)

    def cross(self):
        """A newer frame is on its way to the terminal."""
        self.watch(0.02)
        self.t.until(lambda: self.wire.late, "a late frame")

    def watch(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.t.pump(0.01)

    def tag(self, n):
        """Space on n rows; the names that are tagged then."""
        names = set()
        for _ in range(n):
            self.watch(0.35)
            self.barrier(" " if not names else "j ")
            found = re.search(r"tagged (\d+)", self.t.screen.display[2])
            tags = int(found[1] if found else 0)
            if tags > len(names):
                names.add(self.tagged_now(names))
            elif tags < len(names):
                names.clear()  # j stayed on the last row: the space took its tag off
        return names

    def tagged_now(self, names):
        rows = [line for line in self.t.screen.display[4:-2] if "*" in line[:2]]
        new = {line[2:].split()[0] for line in rows} - names
        expect(len(new) == 1, f"tagged {names}, then {new} on\n{self.t.text()}")
        return new.pop()

    def answers(self, expected, what):
        """What the audit log says of an act, once all its answers are there; nothing if the console itself refused it."""
        made = []
        refused = tuple(self.REFUSED)
        self.t.until(lambda: made.extend(self.audit.new()) or self.echo().startswith(refused) or
                     (len(made) >= expected and self.ANSWER.match(self.echo())), f"an answer to {what}", 5)
        for verb, _, result in made:
            self.count["hit" if result == "done" else "refused"] += 1
            self.count[verb] += result == "done"
        if not made:
            self.count[next(why for words, why in self.REFUSED.items() if self.echo().startswith(words))] += 1
        expect(len(made) in (0, expected), f"{made} for {what}")
        return [target[1:] for _, target, _ in made]

    def act_on_row(self, ahead=False):
        paused = any(line.startswith("> ") and " PAUS " in line for line in self.t.screen.display[4:-2])
        keys = ("j" if ahead else "") + ("P" if paused else "p")
        self.t.send(keys)
        made = self.answers(1, keys)
        saw = self.at_key(keys)
        meant = saw.marked
        if ahead and saw.marked:
            below = saw.names[saw.names.index(saw.marked) + 1:]
            meant = below[0] if below else saw.marked
        if made:
            expect(made == [meant], f"{keys} hit {made}, the terminal showed {saw}")
            expect(ahead or not saw.gone, f"{keys} hit {made}, shown as gone")
            self.count["ahead"] += ahead
        return saw

    def act_on_tags(self, names):
        self.t.send(self.rng.choice("pP"))
        self.t.wait("y does it")
        for name in names:
            expect(self.t.row_with(f"  {name} "), f"the box does not name {name}:\n{self.t.text()}")
        self.watch(0.7)  # a y within 300 ms of the box's frame is dropped
        self.t.send("y")
        made = self.answers(len(names), f"tags on {names}")
        expect(set(made) == names, f"hit {made}, {names} were tagged")
        self.count["tagged"] += len(made)


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
        for key in "xH908acdfhilmostwWXYQEFCIJKLMOSTV~`'\"\\|;,@#$%&*()_{}":
            if key in "fwmaL":  # bound in some views
                continue
            t.settle()
            before = body()
            t.key(key)
            expect(body() == before, f"{key!r} changed the screen")
        for key in "jpPrRbBeLDuyUZ/:<>?23567n=! A":
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
        wait_for("the others to be forgotten", lambda: m.json("status")["operators"] == 1)
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
        a.act("p", "paused")
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
        t.settle(0.5)  # rows just moved: what came under the cursor is acted on when it has stood there a moment
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


class Operators:
    """Three at once: one whose terminal is stopped (Ctrl-S and nobody reads, or SIGSTOP), one in a storm of sizes who is killed
    with -9, one over ssh whose network goes away."""

    def __init__(self, s, m, sshd, turn):
        self.sshd, self.turn = sshd, turn
        self.stuck, self.storm = Terminal(s, m.socket), Terminal(s, m.socket)
        self.far = Terminal(s, m.socket, argv=sshd.attach(m.socket))
        self.all = [self.stuck, self.storm, self.far]
        for t in self.all:
            t.wait("Queues > all")
        wait_for("three operators", lambda: m.json("status")["operators"] == 3)

    def disturb(self, load):
        if self.turn % 2:
            os.kill(self.stuck.child.pid, signal.SIGSTOP)
        else:
            self.stuck.send("\x13")  # from here on nobody reads this terminal
        started = time.monotonic()
        lost = killed = False
        i = 0
        while load.is_alive():
            i += 1
            if not killed:
                self.storm.child.setwinsize(10 + i % 40, 40 + i * 7 % 100)
                self.storm.drain()
            if not lost:
                self.far.drain()
            if not lost and time.monotonic() - started > 0.5:
                self.sshd.lose()
                lost = True
            if not killed and time.monotonic() - started > 1.5:
                self.storm.child.kill(signal.SIGKILL)
                killed = True
            load.join(0.02)

    def end(self):
        if self.turn % 2:
            os.kill(self.stuck.child.pid, signal.SIGCONT)
        for t in self.all:
            t.close()
        self.sshd.found()
        self.sshd.end_sessions()


@test(flavours=("plain",), alone=True)
def console_costs_nothing(full):
    """Throughput with and without three operators whose terminals are stopped, killed, stormed with sizes or cut off, in alternating
    slices."""
    import statistics
    slices, n = (10, 4000) if full else (1, 300)
    with Scene() as s:
        dns = Nsd(s, {"test.example": zone({"": "127.0.2.9"})})
        Sink(s, "127.0.2.9", 25)
        sshd = Sshd(s)
        m = Stoker(s, "[virtual-mta v1]\nsmtp-source-host = 127.0.1.1 m1.test.example\n", mta=dns.mta).start()
        rates = {False: [], True: []}
        smtp_source(m.port, n, size=5000)  # what is slow once
        m.wait_drained()
        for k in range(slices * 2):
            operators = Operators(s, m, sshd, k // 2) if k % 2 else None
            before = m.status()["delivered"]
            started = time.monotonic()
            load = threading.Thread(target=smtp_source, args=(m.port, n), kwargs={"size": 5000})
            load.start()
            if operators:
                operators.disturb(load)
            load.join()
            wait_for("the slice", lambda: m.status()["delivered"] - before >= n, 120, 0.02)
            rates[bool(k % 2)].append(n / (time.monotonic() - started))
            if operators:
                operators.end()
                wait_for("the operators to be gone", lambda: not m.json("status")["operators"])
        loops = {l["name"]: l for l in m.status()["loops"]}
        cpu = loops["console"]["cpu_total_ms"] / 10 / max(1, m.status()["uptime"])
        without, with_them = statistics.median(rates[False]), statistics.median(rates[True])
        found = f"{without:.0f}/s without, {with_them:.0f}/s with three operators ({(with_them / without - 1) * 100:+.1f} %), console thread {cpu:.2f} % CPU"
        expect(cpu < 5, found)
        if full:
            expect(with_them / without - 1 >= -0.05, found)
        return found


def marked_row(screen):
    for line in screen.split("\n")[3:]:
        if line.startswith("> "):
            return line[2:].split()[0]
    return None


@test()
def the_log_before_a_restart(full):
    """:at finds a time in the log's rotated files, though the ring is empty after a restart."""
    with Scene() as s:
        m = scene_with_queues(s)
        first = wait_for("events", m.events)[0]
        m.do("rotate")
        wait_for("a rotated file", lambda: glob.glob(m.dir + "/delivery.log.json-2*"))
        m.stop()
        m.start()
        t = Terminal(s, m.socket)
        t.wait("Queues > all")
        t.key("3", "Nothing yet")
        t.send(":tz utc\r")
        t.send(f":at {first['at'][11:19]}\r")
        t.wait(f"> {first['at'][11:23]}")
        t.wait(first["recipient"])
        return "found in a rotated file"


@test(flavours=("plain",))
def an_operator_at_night(full):
    """tmux and ssh, the stories of CONSOLE.md: find the worst, read why, pause it, undo; a rate and its override; the log; two
    operators; a reload with its difference."""
    with Scene() as s:
        m = scene_with_queues(s)
        a, b = Tmux(s, Sshd(s).attach(m.socket)), Tmux(s, [binary(), "--socket", m.socket, "attach"], rows=24, columns=80)
        for t in (a, b):
            t.wait("mx.d00.test.example")
        # The largest queue: sort by QUEUED. Why it waits, paused by one key, seen by the other, undone by another.
        a.type(":sort queued")
        a.key("Enter")
        a.wait("sort QUEUED")
        a.type("gg")
        worst = a.until(marked_row, "a cursor")
        a.type("j")
        a.until(lambda screen: marked_row(screen) not in (None, worst), "the cursor to move")
        a.type("k")
        a.until(lambda screen: marked_row(screen) == worst, "the cursor to come back")
        a.again(lambda: a.type("p"), "u undo")
        b.wait(f"paused @{worst}"[:30])
        a.until(lambda screen: "paused by root" in a.row(worst), "WHY of the paused row")
        expect([o for o in m.rows("overrides") if o["target"] == "@" + worst and not o.get("ended_at")], "no override")
        a.type("u")
        a.until(lambda screen: "PAUS" not in a.row(worst), "the end of the pause")
        # A rate, by r; it stands in Overrides and ends there.
        a.type("r")
        a.wait("together over")
        a.again(lambda: a.type("7/min"), "empty in")
        a.key("Enter")
        wait_for("the rate's override", lambda: [o for o in live(m, "rate") if o["target"] == "@" + worst])
        a.type("6")
        a.wait("7/min")
        a.until(lambda screen: marked_row(screen) and "7/min" in [r for r in screen.split("\n") if r[0:1] == ">"][0], "its row")
        a.again(lambda: a.type("P"), lambda screen: not live(m, "rate"))
        # Everything: the box names what it concerns; Enter means no.
        a.type(":pause all")
        a.key("Enter")
        a.wait("Everything: 24 sites")
        a.wait("until ended")
        a.again(lambda: a.key("Enter"), "nothing was done")
        expect(not live(m, "pause"), "pause all was not asked about")
        # The log, filtered, follows.
        b.type("3")
        b.wait("FOLLOW")
        b.type("/d03 type:received")
        b.key("Enter")
        b.until(lambda screen: "d03" in screen and "d05" not in screen, "the filtered log")
        c = Smtp("127.0.0.1", m.port)
        c.send("a@source.example", ["fresh-one@d03.test.example"], b"Subject: x\r\n\r\nx\r\n")
        b.wait("fresh-one@d03")
        # A reload shows its difference and waits for a y.
        number = m.status()["config"]["number"]
        m.write_conf(m.conf + "\n[domain d03.test.example]\nmax-msg-rate = 7/s\n")
        a.type(":reload")
        a.key("Enter")
        a.wait("max-msg-rate")
        expect(m.status()["config"]["number"] == number, "the reload did not wait")
        a.again(lambda: a.type("y"), f"config #{number + 1}")
        for t in (a, b):
            wait_for(f"the end of {t.argv[0]}", lambda: t.ended() or t.type("q"), 10, 0.3)  # back, and back, then detach
        return "worst queue, why, pause, undo; rate; pause all asked; log; two operators, one over ssh; reload with its difference"


def live(m, what):
    return [o for o in m.rows("overrides") if o["what"] == what and not o.get("ended_at")]

