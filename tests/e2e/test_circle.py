"""The full circle of a bounce: sent to Postfix, accepted, bounced later to our return path, and known everywhere within a second."""
import csv
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "console"))
from harness import *
from terminal import Terminal
from test_inbound import DOMAIN, Inbound, at
from test_webhook import Hook, SECRET

DEAD = "dead@test.example"


def rows_of(path):
    if not os.path.exists(path):
        return []
    with open(path, newline="", encoding="utf-8") as f:
        return list(csv.DictReader(f, strict=True))


def rcpt(m, address):
    c = Smtp("127.0.0.1", m.port)
    c.cmd(f"MAIL FROM:<news@{DOMAIN}>")
    reply = c.cmd(f"RCPT TO:<{address}>")
    c.close()
    return reply


def send(m, *rcpts):
    c = Smtp("127.0.0.1", m.port)
    reply = c.send(f"news@{DOMAIN}", list(rcpts), b"X-Job: spring\r\nFrom: news@test.example\r\nSubject: hi\r\n\r\nhello\r\n")
    c.close()
    expect(reply.startswith("250"), reply)


def bouncing_postfix(s, door):
    return Postfix(s, main=f"transport_maps = inline:{{ {{{DEAD}=error:5.1.1 no such user}}, {{{DOMAIN}=smtp:[127.0.0.1]:{door}}} }}\n"
                   "smtpd_reject_unlisted_recipient = no\n")


def feedback_row(t):
    return re.search(r"^.*bad-mailbox.*$", t.text(), re.M)


@test(alone=True)
def a_late_bounce_is_known_everywhere_within_a_second(full):
    with Scene() as s:
        hook, file = Hook(s).start(), s.path("rb.csv")
        secret = s.write("hook.secret", SECRET + "\n")
        os.chmod(secret, 0o600)
        i = Inbound(s, f"[suppression]\n[accounting late]\nfile = {file}\nrecords = rb\n"
                    f"[webhook list]\nurl = http://127.0.0.1:{hook.port}/in\nsecret = @{secret}\nmax-delay = 100ms\n")
        m = i.stoker
        bouncing_postfix(s, i.door)
        m.start()
        t = Terminal(s, m.socket)
        t.wait("1Queues")
        t.send("7")
        t.wait("Feedback")
        expect(not feedback_row(t), "a bounce before any mail")
        send(m, DEAD, "alive@test.example")
        seen = {}

        def watch(name, there):
            if name not in seen and there():
                seen[name] = time.time()

        def all_there():
            t.pump(0.01)
            watch("refused", lambda: rcpt(m, DEAD).startswith("550 5.1.1"))
            watch("accounting", lambda: rows_of(file))
            watch("webhook", lambda: hook.events("remote-bounced") and hook.events("suppressed"))
            watch("console", lambda: feedback_row(t))
            return len(seen) == 4
        wait_for("the circle", all_there, 20, 0.01)
        arrived = next(x for x in i.events("received") if x.get("job") == "stoker/inbound")
        took = {name: when - at(arrived) for name, when in seen.items()}
        expect(max(took.values()) < SLOW, f"after the bounce's arrival: {took}")
        told, listed = i.events("remote-bounced")[0], i.events("suppressed")[0]
        expect(at(listed) - at(arrived) < SLOW and listed["recipient"] == told["recipient"] == DEAD, f"{told} {listed}")
        rb = rows_of(file)[0]
        expect(rb["type"] == "rb" and rb["rcpt"] == DEAD and rb["bounceCat"] == "bad-mailbox" and rb["jobId"] == "spring", str(rb))
        expect({e["id"] for e in hook.events()} >= {told["id"], listed["id"]}, str(hook.events()))
        found = m.rows("suppress", "list")
        expect([r["address"] for r in found] == [DEAD], str(found))
        expect(rcpt(m, "alive@test.example").startswith("250"), "the other is refused too")
        m.write_conf(m.conf.replace("[suppression]\n", "[suppression]\ncheck = sending\n"))
        m.do("reload")
        send(m, DEAD)
        e = wait_for("it is bounced instead", lambda: next((x for x in i.events("bounced")), None))
        expect(e["recipient"] == DEAD and e["enhanced"] == "5.1.1", str(e))
        return "; ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in took.items()) + " after the bounce came in"
