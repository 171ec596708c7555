"""What 250 promised survives kill -9; doubles are only those that the design names."""
from harness import *

CONF = "[virtual-mta v1]\nsmtp-source-host = 127.0.1.1 m1.test.example\n[domain *]\nbounce-after = 4d\n"


class Counting(Receiver):
    """Counts each message's X-Test number by when its final dot was answered."""

    def __init__(self, scene):
        self.got = collections.defaultdict(list)  # number -> times of the answer
        self.in_dot = 0
        super().__init__(scene, script=self.answer)

    def answer(self, session, verb, arg):
        if verb == "BODY":
            number = int(re.search(rb"X-Test: (\d+)", self.last(session)).group(1))
            with self.lock:
                self.got[number].append(time.monotonic())
        return None

    def last(self, session):
        with self.lock:
            for m in reversed(self.messages):
                if m[2] == session.sender and m[3] == session.rcpts:
                    body = m[4]
                    break
            del self.messages[:-200]
        return body


@test(flavours=("plain",), alone=True)
def kill_9_loses_nothing(full):
    rounds = 200 if full else 8
    rng = random.Random(9)
    with Scene() as s:
        dns = Nsd(s, {"test.example": zone({"": "127.0.2.1"})})
        r = Counting(s)
        m = Stoker(s, CONF, mta=dns.mta, defaults="[domain *]\nallow-private-mx = yes\nretry-recipients-after = 1s\nmin-backoff = 1s\nmax-backoff = 1s\n")
        acked, started, lock = {}, set(), threading.Lock()
        kills = []
        stop = threading.Event()
        counter = iter(range(1, 100000000))

        def feed():
            while not stop.is_set():
                try:
                    c = Smtp("127.0.0.1", m.port, timeout=10)
                    while not stop.is_set():
                        with lock:
                            i = next(counter)
                            started.add(i)
                        if c.send(f"s{i}@source.example", [f"r{i}@test.example"],
                                  b"X-Test: %d\r\n\r\n" % i + b"x" * 70 + b"\r\n" * (1 + i % 50)).startswith("250"):
                            with lock:
                                acked[i] = time.monotonic()
                except (OSError, ConnectionError):
                    stop.wait(0.02)
        m.start()
        threads = [threading.Thread(target=feed, daemon=True) for _ in range(6)]
        for t in threads:
            t.start()
        for _ in range(rounds):
            threading.Event().wait(rng.uniform(0.05, 0.7))
            m.kill9()
            kills.append(time.monotonic())
            m.start()
            m.status()
        stop.set()
        for t in threads:
            t.join()
        st = m.wait_drained(120) and m.status()
        lost = [i for i in acked if i not in r.got]
        expect(not lost, f"{len(lost)} acknowledged messages were lost: {lost[:5]}")
        ghosts = [i for i in r.got if i not in started]
        expect(not ghosts, f"never handed in: {ghosts[:5]}")
        doubles = [i for i in r.got if len(r.got[i]) > 1]
        # A double is excused if a kill came between its dot (or within 50 ms + scheduling grain after its answer).
        unexcused = [i for i in doubles if not all(any(-0.05 <= k - t <= 0.15 for k in kills) for t in r.got[i][:-1])]
        expect(not unexcused, f"doubles that no kill excuses: {[(i, [t - kills[0] for t in r.got[i]]) for i in unexcused[:5]]}")
        ids = collections.defaultdict(list)
        for e in m.events():
            ids[e["id"]].append(e)
        for i, same in ids.items():
            expect(all(x == same[0] for x in same), f"event {i} has two meanings: {same[:2]}")
        repeats = sum(len(v) - 1 for v in ids.values())
        return f"{rounds} kills, {len(acked)} acknowledged, 0 lost, {len(doubles)} doubles (all at a kill), {repeats} events repeated with the same id"
