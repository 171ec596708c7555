"""Limits are exact: attempts by the time their RCPT was written, connections by what the receiver had open."""
from harness import *


def window_max(times, span=1.0):
    """The most events in any sliding window."""
    times, best, first = sorted(times), 0, 0
    for i, t in enumerate(times):
        while times[first] <= t - span:
            first += 1
        best = max(best, i - first + 1)
    return best


def run_limit(conf, seconds, domains=("",), stall=None, backlog=None, rate=100):
    with Scene() as s:
        stolen = Stolen(s)
        dns = Nsd(s, {"test.example": zone({d: "127.0.2.1" for d in domains})})
        stalled = {"until": 0.0}

        def script(session, verb, arg):
            wait = stalled["until"] - time.monotonic()
            if wait > 0:
                session.state["behind"] = True
                threading.Event().wait(wait)
            if verb == "RCPT" and session.state.get("behind"):
                # Written before or in the stall, read behind it: its time here is not the time it was written.
                with session.r.lock:
                    session.r.commands[:] = [c for c in session.r.commands if c[2] != "RCPT" or c[3] != arg]
            if verb == "DATA":
                session.state["behind"] = False
            return None
        r = Receiver(s, script=script)
        m = Stoker(s, conf, mta=dns.mta).start()
        m.do("pause", "all")
        want = backlog or int(rate * seconds * 1.3)
        c = Smtp("127.0.0.1", m.port)
        for i in range(want):
            d = domains[i % len(domains)]
            at = f"{d}.test.example" if d else "test.example"
            expect(c.send("a@source.example", [f"u{i}@{at}"], b"Subject: x\r\n\r\ny\r\n").startswith("250"), "refused")
        c.close()
        m.do("resume", "all")
        wait_for("the first attempt", lambda: r.times("RCPT"))
        start = r.times("RCPT")[0]
        if stall:
            threading.Event().wait(seconds / 3)
            stalled["until"] = time.monotonic() + stall
        threading.Event().wait(max(0, start + seconds - time.monotonic()))
        times = [t for t in r.times("RCPT") if t <= start + seconds]
        with r.lock:
            by_domain = collections.Counter(re.search(r"@([^>]*)>", a).group(1) for t, _, v, a in r.commands
                                            if v == "RCPT" and t <= start + seconds)
        # What waited while the machine stood still, for more than a lane's attempts are apart, was not written when it was read.
        gaps = stolen.gaps(0.02)

        def busiest(times):
            return window_max([t for t in times if not any(a <= t <= b + 0.05 for a, b in gaps)])
        by_source = {ip: busiest([t for t in r.times("RCPT", ip) if t <= start + seconds]) for ip in {c[1] for c in r.commands}}
        return len(times), busiest(times), by_source, by_domain, times


LANE = "[virtual-mta v1]\nsmtp-source-host = 127.0.1.1 m1.test.example\n"
FOUR = "".join(f"[virtual-mta v{i}]\nsmtp-source-host = 127.0.1.{i} m{i}.test.example\n" for i in range(1, 5)) + \
       "[virtual-mta-pool p]\nmembers = v1, v2, v3, v4\n[mta]\ndefault-virtual-mta = p\n"


def check_exact(measure, seconds, what, rate=100):
    """Never more, in any measurement; and as much as that, in one of two: what else runs on the machine takes its share."""
    lo, hi = int(rate * seconds * 0.98), int(rate * seconds) + 10
    for _ in range(2):
        count, most, *_ = measure()
        if count >= lo or count > hi or most > rate + 3 + 1:
            break
    expect(lo <= count <= hi, f"{what}: {count} attempts in {seconds} s, wanted {lo} to {hi}")
    # The receiver's clock reads a little after the write: one more is its grain, not ours.
    expect(most <= rate + 3 + 1, f"{what}: {most} attempts in one sliding second")
    return f"{what}: {count} in {seconds} s" + (f", at most {most} in a second" if most else "")


@test(flavours=("plain",), alone=True)
def one_lane_keeps_its_rate(full):
    seconds = 60 if full else 6
    conf = LANE + "[domain *]\nmax-msg-rate = 100/s\n"
    return check_exact(lambda: run_limit(conf, seconds), seconds, "one lane")


@test(flavours=("plain",), alone=True)
def a_stalled_receiver_is_not_made_up_for(full):
    seconds = 60 if full else 8
    count, most, *_ = run_limit(LANE + "[domain *]\nmax-msg-rate = 100/s\n", seconds, stall=2)
    expect(most <= 104, f"{most} attempts in one sliding second after a stall")
    expect(count <= 100 * seconds + 10, f"{count} attempts: the stall was made up for")
    return f"{count} in {seconds} s with a stall of 2 s, at most {most} in a second"


@test(flavours=("plain",), alone=True)
def four_lanes_share_a_provider_rate(full):
    seconds = 60 if full else 6
    conf = FOUR + "[provider big]\nmx = *.test.example\nprovider-max-msg-rate = 100/s\n"
    return check_exact(lambda: run_limit(conf, seconds), seconds, "four lanes under provider-max-msg-rate")


@test(flavours=("plain",), alone=True)
def two_domains_keep_their_own_limits_in_one_lane(full):
    seconds = 60 if full else 6
    conf = LANE + "[provider big]\nmx = *.test.example\n[domain a.test.example]\nmax-msg-rate = 20/s\n[domain b.test.example]\nmax-msg-rate = 50/s\n"
    *_, by_domain, times = run_limit(conf, seconds, domains=("a", "b"), backlog=int(seconds * 140))
    a, b = by_domain["a.test.example"], by_domain["b.test.example"]
    expect(20 * seconds * 0.97 <= a <= 20 * seconds + 3, f"a: {a} in {seconds} s at 20/s")
    expect(50 * seconds * 0.97 <= b <= 50 * seconds + 4, f"b: {b} in {seconds} s at 50/s")
    return f"20/s: {a}, 50/s: {b} in {seconds} s, in one lane"


@test(flavours=("plain",), alone=True)
def a_pool_keeps_its_limit_at_each_virtual_mta(full):
    seconds = 60 if full else 6
    conf = FOUR.replace("members = v1, v2, v3, v4", "members = v1, v2, v3, v4\nmax-msg-rate = 25/s")
    sums, each = [], []

    def measure():
        """It is each virtual MTA's limit: four together may have their 26th within the same second."""
        count, together, by_source, *_ = run_limit(conf, seconds)
        expect(len(by_source) == 4, str(by_source))
        expect(max(by_source.values()) <= 25 + 3, f"attempts in one sliding second: {by_source}, together {together}")
        expect(together <= 4 * 26 + 3, f"{together} attempts together in one sliding second: {by_source}")
        sums.append(together)
        each.append(max(by_source.values()))
        return count, 0
    return check_exact(measure, seconds, "a pool of four at 25/s each") + f", each at most {max(each)} in a second, together {max(sums)}"


@test(flavours=("plain",))
def never_more_connections_than_allowed(full):
    with Scene() as s:
        dns = Nsd(s, {"test.example": zone({"": "127.0.2.1"})})

        def slow(session, verb, arg):
            threading.Event().wait(0.02)
            return None
        r = Receiver(s, script=slow, count_open=True)
        m = Stoker(s, LANE + "[domain *]\nmax-smtp-out = 7\n", mta=dns.mta).start()
        smtp_source(m.port, 2000 if full else 400, size=500)
        m.wait_drained(200)
        expect(r.open_max <= 7, f"{r.open_max} connections at once, 7 are allowed")
        expect(r.open_max >= 5, f"only {r.open_max} of 7 connections were used")
        return f"at most {r.open_max} of 7 connections"
