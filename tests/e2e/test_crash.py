"""What 250 promised survives kill -9; doubles are only those that the design names."""
import bisect
import itertools

from harness import *

CONF = "[virtual-mta v1]\nsmtp-source-host = 127.0.1.1 m1.test.example\n[domain *]\nbounce-after = 4d\n"
FAST = "[domain *]\nallow-private-mx = yes\nretry-recipients-after = 1s\nmin-backoff = 1s\nmax-backoff = 1s\n"
OUTCOMES_S = 0.05  # the design: outcomes are synced within that
GRAIN_S = 0.1      # from the receiver's answer until Stoker, a thread on a busy machine, has read it
READER_S = 1.0     # the log's reader saves its position that often
COMMIT_S = 0.1     # until that is committed


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
            after = [k - t for k in kills if k - t >= -0.05]
            expect(after and after[0] <= OUTCOMES_S + GRAIN_S,
                   f"message {i} came again {got[i][-1] - t:.2f} s later, and no kill is near: {after[:1]} s")
            worst = max(worst, after[0])
    return len(doubles), worst


def check_repeats(m, kills, sizes):
    """An event is repeated with its id and all its words, and only if it was written in the last second before a kill."""
    seen, at = {}, 0
    repeats, worst = 0, 0.0
    grown = list(itertools.accumulate((size for _, size in sizes), max))
    with open(m.dir + "/delivery.log.json", "rb") as f:
        for line in f:
            e = json.loads(line)
            if e["id"] in seen:
                first, event = seen[e["id"]]
                expect(event == e, f"event {e['id']} has two meanings: {event} {e}")
                # When it was first seen in the file, and the first kill after that.
                look = bisect.bisect_right(grown, first)
                written = sizes[look][0] if look < len(sizes) else kills[-1]
                kill = bisect.bisect_left(kills, written)
                if kill < len(kills):
                    worst = max(worst, kills[kill] - written)
                repeats += 1
            seen[e["id"]] = at, e
            at += len(line)
    expect(worst <= READER_S + COMMIT_S, f"an event was repeated that stood in the log for {worst:.2f} s before the kill")
    return repeats, worst


@test(flavours=("plain",), alone=True)
def kill_9_loses_nothing(full):
    rounds = 200 if full else 8
    rng = random.Random(9)
    with Scene() as s:
        dns = Nsd(s, {"test.example": zone({"": "127.0.2.1"})})
        r = Counting(s)
        m = Stoker(s, CONF, mta=dns.mta, defaults=FAST)
        kills = []
        m.start()
        load = Load(m)
        for k in range(rounds):
            # Every fourth lives longer than the log's reader keeps its position to itself.
            load.stop.wait(rng.uniform(1.2, 1.8) if k % 4 == 3 else rng.uniform(0.05, 0.7))
            m.kill9()
            kills.append(time.monotonic())
            m.start()
            m.status()
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
        repeats, age = check_repeats(m, kills, load.sizes)
        return (f"{rounds} kills, {len(load.acked)} acknowledged, 0 lost, {len(load.half)} without their end, none came; {doubles} doubles "
                f"(dot at most {late * 1000:.0f} ms before a kill), {repeats} events repeated with the same id (at most {age:.2f} s old); "
                f"the invariant held in {load.statuses} statuses")
