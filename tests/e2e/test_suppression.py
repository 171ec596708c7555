"""The suppression list: what receivers say of an address is remembered within a second, whatever happens, and mail to it stops."""
import time

from harness import *

WAYS = "[virtual-mta v1]\nsmtp-source-host = 127.0.1.1 m1.test.example\n"
SLOW_RETRY = "[domain *]\nallow-private-mx = yes\nretry-recipients-after = 1h\nmin-backoff = 1s\n"
GONE = "550 5.1.1 no such user here"
BODY = b"Subject: x\r\n\r\ny\r\n"


def answer(session, verb, arg):
    if verb == "RCPT" and "gone" in arg.lower():
        return GONE
    if verb == "RCPT" and "full" in arg:
        return "552 5.2.2 mailbox is full"
    if verb == "RCPT" and "spam" in arg:
        return "550 5.7.1 your message looks like spam"
    if verb == "RCPT" and "later" in arg:
        return "451 4.3.0 later"
    return None


def world(s, suppression="", defaults=None):
    dns = Nsd(s, {d: zone({"": "127.0.2.1"}) for d in ("test.example", "source.example", "other.example")})
    m = Stoker(s, WAYS + suppression, mta=dns.mta, **({"defaults": defaults} if defaults else {}))
    m.receiver = Receiver(s, script=answer)
    return m.start()


def rcpt(m, address, sender="a@source.example"):
    """The reply to RCPT."""
    c = Smtp("127.0.0.1", m.port)
    c.cmd(f"MAIL FROM:<{sender}>")
    reply = c.cmd(f"RCPT TO:<{address}>")
    c.close()
    return reply


def send(m, *rcpts, sender="a@source.example"):
    c = Smtp("127.0.0.1", m.port)
    expect(c.send(sender, list(rcpts), BODY).startswith("250"), "refused")
    c.close()


def of_type(m, kind):
    return [e for e in m.events() if e["type"] == kind]


def refused(m, address, **kw):
    return rcpt(m, address, **kw).startswith("550")


@test()
def a_hard_bounce_is_refused_next(full):
    """Refused for the same sender's domain, not for another, not for what receivers said of the mail; after kill -9 too; told once."""
    with Scene() as s:
        m = world(s)
        send(m, "Gone@test.example", "spam@test.example", "ok@test.example")
        wait_for("the bounces", lambda: len(of_type(m, "bounced")) == 2)
        at = time.monotonic()
        wait_for("a refusal", lambda: refused(m, "gone@test.example"), 2)
        took = time.monotonic() - at
        reply = rcpt(m, "\"gone\"@TEST.example")
        expect(reply.startswith("550 5.1.1 This address is on the suppression list (hard since ") and GONE in reply, reply)
        for other in ("ok@test.example", "spam@test.example"):
            expect(rcpt(m, other).startswith("250"), f"{other} is refused")
        expect(rcpt(m, "gone@test.example", "b@other.example").startswith("250"), "refused for another sender's domain")
        expect(refused(m, "gone@test.example", sender="z@Source.Example"), "taken from the same sender's domain")
        wait_for("the refusal in the log", lambda: of_type(m, "rejected"))
        told = of_type(m, "suppressed")
        expect(len(told) == 1 and told[0]["recipient"] == "Gone@test.example" and told[0]["scope"] == "source.example" and
               told[0]["category"] == "bad-mailbox" and told[0]["reply"].startswith("550 5.1.1"), str(told))
        # killed right behind the bounces: each that was told is on the list, and told once
        n = 60 if full else 8
        for i in range(n):
            send(m, f"gone{i}@test.example")
            if i % 4 == 3:
                wait_for("bounces", lambda: len(of_type(m, "bounced")) >= 3 + i)
                m.kill9()
                m.start()
        m.wait_drained()
        wait_for("all on the list", lambda: all(refused(m, f"gone{i}@test.example") for i in range(n)))
        m.stop()
        ids = {e["id"]: e["recipient"] for e in of_type(m, "suppressed")}
        expect(sorted(ids.values()) == sorted(["Gone@test.example"] + [f"gone{i}@test.example" for i in range(n)]), str(ids))
        return f"refused {took * 1000:.0f} ms after the bounce was logged; {n} more over {n // 4} kills, each told once"


@test()
def at_sending_it_bounces(full):
    """check = sending, scope = global: taken at RCPT; bounced with a report in place of an attempt, also what was queued before."""
    with Scene() as s:
        m = world(s, "[suppression]\ncheck = sending\nscope = global\n", SLOW_RETRY)
        m.do("pause", "all")
        send(m, "gone@test.example")
        send(m, "gone@test.example", "ok@test.example", sender="b@other.example")
        m.do("rate", "test.example", "1/s")  # one at a time: the first one's bounce comes before the second is handed out
        m.do("resume", "all")
        wait_for("both", lambda: len(of_type(m, "bounced")) == 2)
        wait_for("the other", lambda: [e for e in of_type(m, "delivered") if "ok@" in e["recipient"]])
        by = {e["sender"]: e for e in of_type(m, "bounced")}
        expect(by["a@source.example"]["reply"] == GONE, str(by))
        second = by["b@other.example"]
        expect(second["reply"].startswith("not sent: the address is on the suppression list (hard since ") and
               second["enhanced"] == "5.1.1" and not second["hard"], str(second))
        expect(len([c for c in m.receiver.commands if c[2] == "RCPT" and "gone@" in c[3]]) == 1, "it was sent all the same")
        report = wait_for("its report", lambda: [t for _, _, _, to, t in m.receiver.messages if "b@other.example" in to[0]])[0]
        expect(b"suppression list" in report and b"Status: 5.1.1" in report and b"Action: failed" in report, str(report))
        expect(rcpt(m, "gone@test.example").startswith("250"), "refused at RCPT")
        expect([e["recipient"] for e in of_type(m, "suppressed")] == ["gone@test.example"], "told twice")
        return "queued mail bounced unsent, with its report"
