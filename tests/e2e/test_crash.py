"""What 250 promised survives kill -9; doubles are only those that the design names."""
import bisect
import itertools
import math

from harness import *

CONF = "[virtual-mta v1]\nsmtp-source-host = 127.0.1.1 m1.test.example\n[domain *]\nbounce-after = 4d\n"
FAST = "[domain *]\nallow-private-mx = yes\nretry-recipients-after = 1s\nmin-backoff = 1s\nmax-backoff = 1s\n"
OUTCOMES_S = 0.05  # the design: outcomes are synced within that
GRAIN_S = 0.1      # from the receiver's answer until Stoker, a thread on a busy machine, has read it
READER_S = 1.0     # the log's reader saves its position that often
COMMIT_S = 0.1     # until that is committed

# One death: when the signal was sent, when the process was gone, and how long the log was then.
Kill = collections.namedtuple("Kill", "sent gone size")


def body_of(i):
    return b"X-Test: %d\r\n\r\n" % i + b"x" * 70 + b"\r\n" * (1 + i % 50)


class Counting(Receiver):
    """Counts each message's X-Test number by when its final dot was answered."""

    def __init__(self, scene):
        self.got = collections.defaultdict(list)  # number -> times of the answer
        self.damaged = []
        super().__init__(scene, script=self.answer)

    def answer(self, session, verb, arg):
        if verb == "BODY":
            body = self.last(session)
            number = int(re.search(rb"X-Test: (\d+)", body).group(1))
            with self.lock:
                self.got[number].append(time.monotonic())
                if not body.endswith(body_of(number)):
                    self.damaged.append(number)
        return None

    def last(self, session):
        with self.lock:
            for m in reversed(self.messages):
                if m[2] == session.sender and m[3] == session.rcpts:
                    body = m[4]
                    break
            del self.messages[:-200]
        return body


class Load:
    """Mail from six sessions, two more whose end of data never comes, `status` and the log's size looked at all the time."""

    def __init__(self, m):
        self.m, self.lock, self.stop = m, threading.Lock(), threading.Event()
        self.acked, self.started, self.half = {}, set(), set()
        self.statuses, self.broken, self.sizes = 0, [], []
        self.counter = iter(range(1, 100000000))
        self.threads = [threading.Thread(target=f, daemon=True)
                        for f in [self.whole] * 6 + [self.without_end] * 2 + [self.ask, self.measure]]
        for t in self.threads:
            t.start()

    def end(self):
        self.stop.set()
        for t in self.threads:
            t.join()

    def number(self, among):
        with self.lock:
            i = next(self.counter)
            among.add(i)
            return i

    def whole(self):
        while not self.stop.is_set():
            try:
                c = Smtp("127.0.0.1", self.m.port, timeout=10)
                while not self.stop.is_set():
                    i = self.number(self.started)
                    if c.send(f"s{i}@source.example", [f"r{i}@test.example"], body_of(i)).startswith("250"):
                        with self.lock:
                            self.acked[i] = time.monotonic()
            except (OSError, ConnectionError):
                self.stop.wait(0.02)

    def without_end(self):
        """The whole message but the last bytes of its end; then the client goes away, or a kill comes first."""
        while not self.stop.is_set():
            try:
                i = self.number(self.half)
                c = Smtp("127.0.0.1", self.m.port, timeout=2)
                c.cmd(f"MAIL FROM:<s{i}@source.example>")
                c.cmd(f"RCPT TO:<r{i}@test.example>")
                if i % 4:
                    c.cmd("DATA")
                    c.s.sendall(body_of(i) + (b"", b".", b".\r")[i % 4 - 1])
                else:
                    c.s.sendall(b"BDAT %d\r\n" % len(body_of(i)) + body_of(i))
                    c.reply()
                self.stop.wait(0.05 * (i % 7))
                c.close()
            except (OSError, ConnectionError):
                self.stop.wait(0.02)

    def ask(self):
        while not self.stop.is_set():
            rc, out, _ = self.m.cli("status", "--json")
            if rc == 0:
                try:
                    self.statuses += 1
                    check_invariant(json.loads(out))
                except Failure as e:
                    self.broken.append(str(e))
            self.stop.wait(0.05)

    def measure(self):
        while not self.stop.is_set():
            try:
                self.sizes.append((time.monotonic(), os.path.getsize(self.m.dir + "/delivery.log.json")))
            except OSError:
                pass
            self.stop.wait(0.01)


def check_doubles(got, kills):
    """A message came twice only if a kill struck between its final dot and its outcome's way to the disk."""
    doubles = [i for i in got if len(got[i]) > 1]
    worst = 0.0
    for i in doubles:
        for t in got[i][:-1]:
            late = next((k.sent - t for k in kills if k.gone - t >= -0.05), None)
            expect(late is not None and late <= OUTCOMES_S + GRAIN_S,
                   f"message {i} came again {got[i][-1] - t:.2f} s later, and no kill is near: {late} s")
            worst = max(worst, late)
    return len(doubles), worst


def check_repeats(m, kills, sizes):
    """An event is repeated with its id and all its words, and what is repeated is at most what one second wrote. Which life
    wrote a line is known by its place: before the end that the log had when that life was gone. (By the time when it was
    first seen there, a line of the last milliseconds could be taken for one of the next life, and be as old as that.) The
    second ends with the life's last line: while a slow disk holds the spool's thread up, neither the log nor its position
    gets on."""
    grown = list(itertools.accumulate((size for _, size in sizes), max))
    ends = list(itertools.accumulate((k.size for k in kills), max))

    def written(at, life):  # when the log was first seen to be longer
        look = bisect.bisect_right(grown, at)
        return min(sizes[look][0] if look < len(sizes) else math.inf, kills[life].sent)

    seen, at = {}, 0
    repeats, worst = 0, 0.0
    with open(m.dir + "/delivery.log.json", "rb") as f:
        for line in f:
            e = json.loads(line)
            if e["id"] in seen:
                first, event = seen[e["id"]]
                expect(event == e, f"event {e['id']} has two meanings: {event} {e}")
                life = bisect.bisect_right(ends, first)
                expect(life < len(kills), f"event {e['id']} is repeated, and no kill followed its first line")
                worst = max(worst, written(ends[life] - 1, life) - written(first, life))
                repeats += 1
            seen[e["id"]] = at, e
            at += len(line)
    expect(worst <= READER_S + COMMIT_S, f"a kill repeated what the log was given over {worst:.2f} s")
    return repeats, worst


def check_quiet(m, kill):
    """An event that was written a second ago is not repeated, though nothing followed it: its position needs no other work."""
    log = m.dir + "/delivery.log.json"
    size, since = os.path.getsize(log), time.monotonic()
    wait_for("a second without an event", lambda: time.monotonic() - since > READER_S + COMMIT_S)
    expect(os.path.getsize(log) == size, "the log grew though no mail was left")
    known = {e["id"] for e in m.events()}
    kill()
    Smtp("127.0.0.1", m.port).send("after@source.example", ["after@test.example"], body_of(0))

    def later():
        with open(log, "rb") as f:
            f.seek(size)
            return [json.loads(line) for line in f if line.endswith(b"\n")]
    wait_for("a later event", lambda: any(e.get("sender") == "after@source.example" for e in later()))
    again = [e for e in later() if e["id"] in known]
    expect(not again, f"{len(again)} events that were older than a second are repeated: {again[:1]}")


@test(flavours=("plain",), alone=True)
def kill_9_loses_nothing(full):
    rounds = 200 if full else 8
    rng = random.Random(9)
    with Scene() as s:
        dns = Nsd(s, {"test.example": zone({"": "127.0.2.1"})})
        r = Counting(s)
        m = Stoker(s, CONF, mta=dns.mta, defaults=FAST)
        kills = []

        def kill():
            sent = time.monotonic()
            m.kill9()
            kills.append(Kill(sent, time.monotonic(), os.path.getsize(m.dir + "/delivery.log.json")))
            m.start()
            m.status()
        m.start()
        load = Load(m)
        for k in range(rounds):
            # Every fourth lives longer than the log's reader keeps its position to itself.
            load.stop.wait(rng.uniform(1.2, 1.8) if k % 4 == 3 else rng.uniform(0.05, 0.7))
            kill()
        load.end()
        m.wait_drained(120)
        lost = [i for i in load.acked if i not in r.got]
        expect(not lost, f"{len(lost)} acknowledged messages were lost: {lost[:5]}")
        ghosts = [i for i in r.got if i not in load.started]
        expect(not ghosts, f"{len(ghosts)} came whose end of data never arrived: {ghosts[:5]}")
        expect(not r.damaged, f"not as handed in: {r.damaged[:5]}")
        expect(not load.broken, f"{len(load.broken)} of {load.statuses} statuses: {load.broken[:1]}")
        doubles, late = check_doubles(r.got, kills)
        wait_for("the log", lambda: {e["recipient"] for e in m.events() if e["type"] == "delivered"} >=
                 {f"r{i}@test.example" for i in load.acked}, every=0.2)
        repeats, worth = check_repeats(m, kills, load.sizes)
        check_quiet(m, kill)
        return (f"{rounds} kills, {len(load.acked)} acknowledged, 0 lost, {len(load.half)} without their end, none came; {doubles} doubles "
                f"(dot at most {late * 1000:.0f} ms before a kill), {repeats} events repeated with the same id (at most {worth:.2f} s' worth); "
                f"the invariant held in {load.statuses} statuses")
