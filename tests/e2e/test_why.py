"""Each reason for not sending, made from its real cause, read as JSON and on the screen."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "console"))
from harness import *
from terminal import Terminal

ONE = "[virtual-mta v1]\nsmtp-source-host = 127.0.1.1 m1.test.example\n"


def why(m, name="test.example"):
    return next((r["why"] for r in m.rows("queues") if r["domain"] == name), {})


def send(m, n=5, at="test.example"):
    c = Smtp("127.0.0.1", m.port)
    for i in range(n):
        expect(c.send("a@source.example", [f"u{i}@{at}"], b"Subject: x\r\n\r\ny\r\n").startswith("250"), "refused")
    c.close()


def expect_why(m, code, name="test.example", timeout=20, fields=(), site=True):
    """In JSON, in the list's text and on the console, with what `fields` name; mail whose DNS fails has no site's row."""
    w = {}

    def there():
        nonlocal w
        w = why(m, name)
        return w.get("code") == code and w.get("text") and all(f in w for f in fields)
    try:
        wait_for(code, there, timeout)
    except Failure:
        raise Failure(f"why is {w}, wanted {code} with {fields}")
    words = w["text"].split(",")[0][:14]
    screen = m.do("queues")
    expect(words in screen, f"the list does not show {w['text']!r}:\n{screen}")
    if site:
        read_on_console(m, words, w)
    return w


def read_on_console(m, words, w):
    """The words stand in the row, who set the limit below it, and the end on the site's own page."""
    t = Terminal(m.scene, m.socket, columns=180)
    t.wait("Queues > all")
    t.until(lambda: any(words in line for line in t.screen.display[4:-3]), words)
    if "origin" in w:
        t.wait("by " + w["origin"].rsplit("/", 1)[-1])
    if "until" in w and w["code"] != "rate":
        t.send("\r")
        t.until(lambda: " left" in t.text() and "SITE" not in t.text() or t.row_with("press it again") and t.send("\r"), "its end")
    t.close()


def scene(conf, script=None, zones=None, broken=(), receiver=True, mta="", **kw):
    s = Scene()
    dns = Nsd(s, zones or {"test.example": zone({"": "127.0.2.1"})}, broken)
    r = Receiver(s, script=script) if receiver else None
    m = Stoker(s, conf, mta=dns.mta + "\n" + mta, **kw)
    return s, r, m


@test()
def rate_connections_total_and_flight(full):
    found = []
    answer = threading.Event()

    def slow(se, verb, arg):
        if verb == "BODY":
            answer.wait(30)
        return None

    def check(code, n, conf, script=None, fields=(), mta=""):
        answer.clear()
        s, r, m = scene(ONE + conf, script, mta=mta)
        with s:
            s.enders.append(answer.set)
            m.start()
            send(m, n)
            w = expect_why(m, code, fields=fields)
            expect("limit" not in fields or "stoker.ini:" in w["origin"], str(w))
        found.append(code)
    check("rate", 5, "[domain test.example]\nmax-msg-rate = 6/min\n", fields=("limit", "counts", "origin", "until"))
    check("connections", 20, "[domain *]\nmax-smtp-out = 1\n", slow, fields=("limit", "counts", "origin"))
    check("total", 20, "", slow, fields=("limit", "counts", "origin"), mta="total-max-smtp-out = 1")
    check("in-flight", 1, "", slow)
    return ", ".join(found)


@test()
def backoff(full):
    replies = {"text": "421 4.7.0 [TSS04] Messages from 127.0.1.1 temporarily deferred"}

    def deferring(se, verb, arg):
        return replies["text"] if verb == "RCPT" else None
    s, r, m = scene(ONE + "[pattern-list default]\nreply = /TSS0/ mode=backoff for=30m\n", deferring)
    with s:
        m.start()
        send(m, 30)
        w = expect_why(m, "backoff", fields=("limit", "counts", "origin", "until"))
        rule = next(i for i, l in enumerate(open(m.conf_path), 1) if "TSS0/" in l)
        expect(w["origin"].startswith(f"stoker.ini:{rule}: 421 4.7.0 [TSS04]"), str(w))
        lane = m.rows("lanes")[0]
        expect(lane["state"] == "backoff" and lane["backoff"]["reason"] == f"stoker.ini:{rule}" and
               "[TSS04]" in lane["backoff"]["reply"] and lane["backoff"]["step"] == 1, str(lane))
        expect("BACK" in m.do("lanes"), m.do("lanes"))
        m.stop()
        m.start()
        expect_why(m, "backoff")
        replies["text"] = None
        expect("1 lanes" in m.do("normal", "@" + lane["site"]), "normal")
        wait_for("normal", lambda: why(m).get("code") in ("retry-wait", "idle", None), 10)
        expect("for 1h" in m.do("backoff", lane["name"], "because", "test"), "backoff")
        expect(m.rows("lanes")[0]["backoff"]["reason"].startswith("override"), str(m.rows("lanes")))
    return "backoff by a rule, over a restart, ended; by an operator"


@test()
def warm_up(full):
    """A new virtual MTA: one attempt in 72 s and no more, over a restart and a reload; the lane and its source say so."""
    two = ONE.replace("m1.test.example\n", "m1.test.example\nwarmup = new\n") + "[warmup new]\n"
    s, r, m = scene(two)
    with s:
        m.start()
        send(m, 20)
        w = expect_why(m, "warm-up", fields=("limit", "counts", "origin", "until"))
        line = next(i for i, l in enumerate(open(m.conf_path), 1) if l.startswith("warmup = "))
        expect(w["text"] == "warm-up 50/hour, step 0" and w["origin"].endswith(f"stoker.ini:{line} [virtual-mta v1]"), str(w))
        lane = m.rows("lanes")[0]
        expect(lane["state"] == "warming" and lane["warmup"]["cap"] == 50 and lane["warmup"]["used"] == 1 and
               lane["warmup"]["step"] == 0 and lane["warmup"]["next_step_at"] == w["until"], str(lane))
        expect("WARM" in m.do("lanes") and "WARM" in m.do("sources"), m.do("sources"))
        settings = m.do("settings", "test.example", "via", "v1")
        expect(f"warmup = new   ; {m.conf_path}:{line} [virtual-mta v1], counts each provider" in settings, settings)
        m.stop()
        m.start()
        expect_why(m, "warm-up")
        expect(m.rows("lanes")[0]["warmup"]["used"] == 1 and len(r.messages) == 1, f"{len(r.messages)} messages, {m.rows('lanes')}")
        with open(m.conf_path, "a", encoding="utf-8") as f:
            f.write("start = 100000/h\n")
        m.do("reload")
        wait_for("all is sent", lambda: len(r.messages) == 20, 10)
        wait_for("used", lambda: [m.rows("lanes")[0]["warmup"][k] for k in ("used", "cap", "step")] == [20, 100000, 0], 10)
    return "warm-up with its origin, its step and its end, over a restart; a reload raises the cap"


@test()
def idle_and_draining(full):
    """Nothing waits; `drain` refuses new mail and lets the rest go on, `resume all` ends it; a stop that lets the flight end."""
    answer = threading.Event()
    s, r, m = scene(ONE + "[domain *]\nmax-smtp-out = 1\n", lambda se, v, a: answer.wait(30) and None if v == "BODY" else None)
    with s:
        s.enders.append(answer.set)
        m.start()
        answer.set()
        send(m, 1)
        expect_why(m, "idle")
        answer.clear()
        send(m, 10)
        expect_why(m, "connections")
        inside = Smtp("127.0.0.1", m.port)
        m.do("drain")
        expect(m.status()["state"] == "draining", m.status()["state"])
        expect("draining" in m.do("status"), m.do("status"))
        wait_for("421 at the door", lambda: Smtp("127.0.0.1", m.port, ehlo=None).greeting.startswith("421 4.3.2"), 5)
        reply = inside.cmd("MAIL FROM:<a@source.example>")
        expect(reply.startswith("421 4.3.2"), reply)
        expect_why(m, "connections")
        t = Terminal(m.scene, m.socket, columns=180)
        t.wait("DRAINING, new mail is refused")
        answer.set()
        m.wait_drained()
        expect(len(r.messages) == 11, f"{len(r.messages)} of 11 delivered")
        m.do("resume", "all")
        expect(m.status()["state"] == "running", m.status()["state"])
        t.until(lambda: "DRAINING" not in t.text(), "the end of it")
        t.close()
        answer.clear()
        send(m, 10)
        expect_why(m, "connections")
        m.do("shutdown", "--yes")
        expect_why(m, "draining")
        answer.set()
        expect(m.process.wait(40 * 4) == 0, "exit code")
    return "idle; drain: 421 at the door and inside, what waits goes on; draining at a stop"


@test()
def ready(full):
    """A cold address could take the mail, but the pool's warm one is just connecting and is waited for."""
    greet = threading.Event()
    two = ("[virtual-mta v1]\nsmtp-source-host = 127.0.1.1 m1.test.example\nmax-msg-rate = 10/s\n"
           "[virtual-mta v2]\nsmtp-source-host = 127.0.1.2 m2.test.example\ncold = yes\n"
           "[virtual-mta-pool p]\nmembers = v1, v2\n")
    s = Scene()
    dns = Nsd(s, {"test.example": zone({"": "127.0.2.1"})})
    r = Receiver(s, greeting=lambda se: greet.wait(30) and None or "220 receiver.test.example ESMTP")
    m = Stoker(s, two, mta=dns.mta + "\ndefault-virtual-mta = p")
    with s:
        s.enders.append(greet.set)
        m.start()
        send(m, 20)
        w = expect_why(m, "ready")
        expect("limit" not in w and not r.messages, str(w))
        greet.set()
        m.wait_drained()
        expect(len(r.messages) == 20, f"{len(r.messages)} of 20 delivered")
    return "ready, while the one that should take it connects"


@test()
def loading_after_a_kill(full):
    """A queue that is through while the rest of the spool still loads, made slow enough to be read."""
    s, r, m = scene(ONE, zones={"test.example": zone({"": "127.0.2.1", "big": "127.0.2.1"})}, env={"STOKER_TEST_LOAD": "1"})
    with s:
        m.start()
        m.do("pause", "all")
        send(m, 1)
        send(m, 300, at="big.test.example")
        m.kill9()
        m.start()
        wait_for("the first queue", lambda: m.rows("queues"))
        m.do("resume", "all")
        wait_for("its message", lambda: r.messages)
        expect_why(m, "loading")
        expect(m.status()["spool"]["load_progress"] < 1, "all is loaded")
    return "loading"


@test(flavours=("plain",))
def loading_with_tiny_mailboxes_is_quick(full):
    """The spool's thread is woken when there is room for more of it."""
    s, r, m = scene(ONE, env={"STOKER_TEST_MAILBOX": "2"})
    with s:
        m.start()
        m.do("pause", "all")
        send(m, 200)
        m.kill9()
        m.start()
        begun = time.monotonic()
        wait_for("all of it", lambda: m.status()["spool"]["load_progress"] == 1, 40, 0.05)
        took = time.monotonic() - begun
        expect(took < 10, f"200 messages took {took:.1f} s; asleep until the next figures it is 25 s or more")
    return "200 messages, two at a time"


@test()
def dns_connect_and_no_source(full):
    found = []
    s, r, m = scene(ONE, broken=("broken.example",))
    with s:
        m.start()
        send(m, 2, "broken.example")
        w = expect_why(m, "dns", "broken.example", fields=("until",), site=False)
        expect("SERVFAIL" in w["text"] or "SERVFAIL" in json.dumps(w), str(w))
        found.append("dns (SERVFAIL)")
    s, r, m = scene(ONE, receiver=False, defaults="[domain *]\nallow-private-mx = yes\nmin-backoff = 30s\nretry-recipients-after = 1s\n")
    with s:
        m.start()
        send(m, 2)
        w = expect_why(m, "connect", timeout=30, fields=("until",))
        expect("refused" in w["text"], str(w))
        found.append("connect (closed port)")
    s, r, m = scene("[virtual-mta v1]\nsmtp-source-host = 203.0.113.7 m1.test.example\n")
    with s:
        m.start()
        send(m, 2)
        expect_why(m, "no-source")
        expect(m.rows("sources")[0]["state"] == "down", str(m.rows("sources")))
        found.append("no-source (address not here)")
    return ", ".join(found)


@test()
def paused_resting_and_retry_wait(full):
    found = []
    s, r, m = scene(ONE)
    with s:
        m.start()
        send(m)
        m.wait_drained()
        m.do("pause", "all")
        send(m)
        wait_for("the queue", lambda: m.rows("queues"))
        m.do("pause", "test.example", "for", "1h")
        m.do("resume", "all")
        w = expect_why(m, "paused", fields=("until", "origin"))
        expect("override" in w["origin"], str(w))
        found.append("paused")
        m.do("resume", "test.example")
        m.wait_drained()
    s, r, m = scene(ONE, lambda se, v, a: "450 4.2.1 mailbox busy" if v == "RCPT" else None,
                    defaults="[domain *]\nallow-private-mx = yes\nretry-recipients-after = 1h\n")
    with s:
        m.start()
        send(m, 2)
        expect_why(m, "retry-wait", fields=("until",))
        found.append("retry-wait")
    s, r, m = scene(ONE, lambda se, v, a: "451 4.3.0 system trouble, all of it" if v == "MAIL" else None,
                    defaults="[domain *]\nallow-private-mx = yes\nretry-recipients-after = 1s\nmin-backoff = 1h\nmax-smtp-out = 2\n")
    with s:
        m.start()
        send(m, 30)
        w = expect_why(m, "resting", timeout=60, fields=("until",))
        m.do("retry", "test.example")
        found.append("resting")
    return ", ".join(found)


@test(flavours=("plain",))
def a_full_small_file_system(full):
    with Scene() as s:
        dns = Nsd(s, {"test.example": zone({"": "127.0.2.1"})})
        Receiver(s)
        disk = s.path("disk")
        os.makedirs(disk)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", disk], check=True)
        s.enders.append(lambda: subprocess.run(["umount", "-l", disk], check=True))
        m = Stoker(s, ONE, mta=dns.mta, spool=disk + "/spool").start()
        m.do("pause", "all")
        send(m, 3)
        filler = open(disk + "/filler", "wb", 0)
        while os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize > 9 << 20:
            filler.write(b"\0" * (1 << 20))
        c = Smtp("127.0.0.1", m.port)
        wait_for("452", lambda: c.cmd("MAIL FROM:<a@source.example>").startswith("452") or c.cmd("RSET") and None, 20, 0.2)
        st = m.status()
        expect(any(a["code"] == "disk-floor" for a in st["alarms"]), f"alarms: {st['alarms']}")
        m.do("resume", "all")
        m.wait_drained()
        filler.close()
        os.unlink(disk + "/filler")
        c2 = Smtp("127.0.0.1", m.port)
        wait_for("250 again", lambda: c2.cmd("MAIL FROM:<a@source.example>").startswith("250") or c2.cmd("RSET") and None, 20, 0.2)
        return "below the floor: 452 4.3.1 and an alarm, deliveries go on; above it again: 250"


@test(flavours=("plain",))
def memory_is_full_of_bodies_on_their_way(full):
    """Half of memory-limit is for bodies: 32M, which receivers that do not answer MAIL fill; then the rest waits, untried."""
    answer = threading.Event()
    s, r, m = scene(ONE + "[domain *]\nmax-smtp-out = 200\ncommand-timeout = 60s\n",
                    lambda se, v, a: answer.wait(60) and None if v == "MAIL" else None, mta="memory-limit = 64M")
    with s:
        s.enders.append(answer.set)
        m.start()
        m.do("pause", "all")
        c = Smtp("127.0.0.1", m.port)
        body = b"Subject: x\r\n\r\n" + (b"y" * 76 + b"\r\n") * 3270
        for i in range(150):
            expect(c.send("a@source.example", [f"u{i}@test.example"], body).startswith("250"), "refused")
        c.close()
        m.kill9()
        m.start()
        m.do("resume", "all")
        expect_why(m, "memory")
        expect(not any(x["state"] == "resting" for x in m.rows("lanes")), "a lane rests for it")
        answer.set()
        m.wait_drained()
        expect(len(r.messages) == 150, f"{len(r.messages)} delivered")
    return "150 bodies of 250 KB in 32 MB: the rest waits, untried, and all is delivered"


@test(flavours=("plain",))
def outcomes_can_not_be_recorded(full):
    """The spool's files can't be written (RLIMIT_FSIZE): deliveries stop after those in flight, and go on once they can."""
    answer = threading.Event()
    s, r, m = scene(ONE + "[domain *]\nmax-smtp-out = 1\n", lambda se, v, a: answer.wait(30) and None if v == "BODY" else None)
    with s:
        s.enders.append(answer.set)
        m.start()
        send(m, 200)
        expect_why(m, "connections")

        def limit(n):
            subprocess.run(["prlimit", "--pid", str(m.process.pid), f"--fsize={n}:unlimited"], check=True)
        limit(8192)
        answer.set()
        expect_why(m, "disk")
        alarm = next((a for a in m.status()["alarms"] if a["code"] == "spool-commit"), None)
        expect(alarm, str(m.status()["alarms"]))
        stopped = len(r.messages)
        expect(stopped < 200, "all is delivered")
        limit("unlimited")
        m.wait_drained()
        expect(len(r.messages) == 200, f"{len(r.messages)} delivered")
        expect(not any(a["code"] == "spool-commit" for a in m.status()["alarms"]), "the alarm stays")
    return "LMDB can't be written: disk and an alarm; 10 s later all goes on"


@test()
def dkim(full):
    """A message that must be signed and can't be: its header holds a field that no signature can cover."""
    with Scene() as s:
        key = s.path("k1.pem")
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.chmod(key, 0o600)
        dns = Nsd(s, {"test.example": zone({"": "127.0.2.1"})})
        r = Receiver(s)
        m = Stoker(s, ONE + f"[domain *]\ndkim-sign = yes\n[dkim must.example]\nselector = k1\nkey-file = {key}\n", mta=dns.mta)
        m.start()
        long = "x" * 900 + "\r\n "
        reply = Smtp("127.0.0.1", m.port).send("a@must.example", ["b@test.example"],
                                               f"From: a@must.example\r\nSubject: {long * 80}end\r\n\r\ntext\r\n".encode())
        expect(reply.startswith("250"), reply)
        w = expect_why(m, "dkim", fields=("origin", "until"))
        expect("not signed for must.example" in w["text"] and "stoker.ini:" in w["origin"], str(w))
        expect(not r.messages, "it was sent unsigned")
        return "dkim, with its origin and its next try"
