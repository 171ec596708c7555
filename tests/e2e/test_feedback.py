"""What receivers say of mail, counted: true to the receiver's own log, over a restart; alarms at a rate; a job that is held."""
import json
import os
import sys
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "console"))
from harness import *
from terminal import Terminal

ALARM = "[bounce-category-patterns]\npattern = /as spam/ spam-related\n[alarm]\nafter = 1s\nbounce-rate = 5%\nhold-job-at = bounce-rate 8%\n"
REPLIES = {"gone": "550 5.1.1 unknown user", "spam": "554 5.7.1 message rejected as spam", "rule": "550 5.7.1 not by our rules"}


def world(s, conf=ALARM):
    """One receiver for mail of two domains; it refuses by the local part and counts."""
    dns = Nsd(s, {"test.example": "a IN MX 10 mx\nb IN MX 10 mx\nmx IN A 127.0.2.1\n"})
    s.http = free_port()
    said = {k: 0 for k in list(REPLIES) + ["ok"]}

    def answer(session, verb, arg):
        if verb == "RCPT":
            kind = next((k for k in REPLIES if k in arg), "ok")
            said[kind] += 1
            return REPLIES.get(kind)
        return None
    m = Stoker(s, "[virtual-mta v1]\nsmtp-source-host = 127.0.1.1 m1.test.example\n"
               "[source test]\nprocess-x-job = yes\n[provider big]\nmx = mx.test.example\n" + conf,
               mta=dns.mta + f"\ndefault-virtual-mta = v1\nhttp-mgmt-port = {s.http}\n")
    s.receiver = Receiver(s, script=answer)
    m.start()
    return m, said


def send(m, job, **kinds):
    """So many recipients of each kind, in one message."""
    c = Smtp("127.0.0.1", m.port)
    rcpts = [f"{kind}{i}@{'ab'[i % 2]}.test.example" for kind, n in kinds.items() for i in range(n)]
    expect(c.send("", rcpts, f"Subject: x\r\nX-Job: {job}\r\n\r\ny\r\n".encode()).startswith("250"), "refused")
    c.close()


def feedback(m):
    return {(r["provider"], r["category"]): (r["hour"], r["day"]) for r in m.rows("feedback")}


def standing(m, name):
    return next((r for r in m.rows("reputation") if r["name"] == name), None)


def seen_by_http(m, port):
    def get(path):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as r:
            return r.read().decode()
    expect(json.loads(get("/feedback"))["rows"] == m.rows("feedback"), get("/feedback"))
    expect({r["name"] for r in json.loads(get("/reputation"))["rows"]} == {"@big", "vmta:v1", "job:news", "job:other"}, get("/reputation"))
    line = 'stoker_feedback_recipients_total{provider="big",category="bad-mailbox"} 22'
    expect(line in get("/metrics").splitlines(), get("/metrics"))


@test()
def numbers_rates_and_a_held_job(full):
    """feedback and reputation hold what the receiver said; bounces over the rate raise alarms and hold the job, no other; a person who
    resumes it is not overruled by the mail that led to it; nothing of it is lost or counted twice by kill -9."""
    with Scene() as s:
        m, said = world(s)
        send(m, "news", gone=22, spam=3, rule=5, ok=220)
        send(m, "other", ok=10)
        held = wait_for("the job is held", lambda: [o for o in m.rows("overrides") if o["what"] == "pause"])
        expect(len(held) == 1 and held[0]["who"] == "stoker" and held[0]["target"] == "job:news" and "until" not in held[0] and
               re.fullmatch(r"hold-job-at: bounce rate \d+\.\d\d%: \d+ of 2\d\d recipients in the last hour \(limit 8%\)", held[0]["reason"]),
               str(held))
        wait_for("all ends", lambda: standing(m, "job:news")["day"]["delivered"] == 220)
        wanted = {("bounce-rate", "job:news", "red"), ("bounce-rate", "@big", "yellow"), ("bounce-rate", "vmta:v1", "yellow")}
        wait_for("the alarms", lambda: {(a["code"], a["target"], a["severity"]) for a in m.rows("alarms")} == wanted)
        expect(feedback(m) == {("big", "bad-mailbox"): (22, 22), ("big", "spam-related"): (3, 3), ("big", "policy-related"): (5, 5)}, str(feedback(m)))
        expect((said["gone"], said["spam"], said["rule"], said["ok"]) == (22, 3, 5, 230), str(said))
        found = m.do("log", "site:big category:bad-mailbox", "--json")
        expect(found.count("bad-mailbox") == 22, found)
        t = Terminal(s, m.socket)
        t.wait("Queues > all")
        t.send("7")
        t.wait("bad-mailbox")
        threading.Event().wait(1.5)  # a row that has just come under the cursor is asked for once more
        t.settle()
        t.send("L")
        t.until(lambda: "site:big" in t.text() and t.text().count(" 550 5.1.1") > 5, "the receiver's bounces in the log")
        expect("there is no field" not in t.text(), t.text())
        t.close()
        row = next(r for r in m.rows("feedback") if r["category"] == "bad-mailbox")
        expect(row["replies"].startswith("22x 550 5.1.1 unknown user (gone"), row["replies"])
        for name, ok in (("job:news", 220), ("@big", 230), ("vmta:v1", 230), ("job:other", 10)):
            day = standing(m, name)["day"]
            bad = 0 if name == "job:other" else 25
            expect(day["delivered"] == ok and day["harmful"] == bad and day["bounced"] == (30 if bad else 0), f"{name}: {day}")
            expect(abs(day["bounce_percent"] - 100 * bad / (ok + day["bounced"])) < 0.001, f"{name}: {day}")

        seen_by_http(m, s.http)
        send(m, "news", ok=5)
        send(m, "other", ok=5)
        wait_for("other jobs go on", lambda: said["ok"] == 235)
        wait_for("its mail waits", lambda: m.row("jobs", "news")["queued"] == 5 and m.row("jobs", "news")["state"] == "paused")
        m.do("resume", "job:news")
        wait_for("the rest", lambda: standing(m, "job:news")["day"]["delivered"] == 225)
        def seen():
            return [feedback(m)] + [standing(m, n)["day"] for n in ("@big", "vmta:v1", "job:news", "job:other") if standing(m, n)]
        wait_for("everything is counted", lambda: standing(m, "@big")["day"]["delivered"] == 240)
        before = seen()
        m.kill9()
        m.start()
        try:
            wait_for("the same again", lambda: seen() == before)
        except Failure as e:
            raise Failure(f"{e}: {before} {seen()}")
        send(m, "news", gone=20, ok=10)  # too few since it was held
        wait_for("these too", lambda: feedback(m).get(("big", "bad-mailbox")) == (42, 42))
        wait_for("judged again", lambda: [a for a in m.rows("alarms") if a["target"] == "@big" and " 45 of " in a["text"]])
        expect(all(o.get("ended_at") for o in m.rows("overrides") if o["what"] == "pause"), str(m.rows("overrides")))


@test(flavours=("plain",))
def without_hold_job_at_nothing_is_held(full):
    """The default: alarms only, which mail-to gets by mail, and thresholds that are off raise none."""
    with Scene() as s:
        m, said = world(s, "[alarm]\nafter = 1s\ncomplaint-rate = off\nmail-to = ops@a.test.example, duty@b.test.example\n")
        send(m, "news", gone=30, ok=170)
        wait_for("the alarm", lambda: [a for a in m.rows("alarms") if a["target"] == "job:news" and a["code"] == "bounce-rate"])
        expect(not m.rows("overrides"), str(m.rows("overrides")))
        mail = wait_for("the mail", lambda: [x for x in s.receiver.messages if "@a.test.example" in str(x[3]) and b"bounce-rate" in x[4]])
        text = mail[0][4].decode()
        expect(("<>" in mail[0][2] or not mail[0][2]) and "Auto-Submitted: auto-generated" in text and "From: Stoker <postmaster@mta.test.example>" in text and
               re.search(r"Subject: \d alarms? at mta.test.example", text) and "bounce rate 15.00%: 30 of 200" in text, f"{mail[0][2]!r} {text}")
        m.write_conf(m.conf.replace("after = 1s", "after = 1s\nbounce-rate = off"))
        m.do("reload")
        wait_for("it ends", lambda: all(a.get("gone") for a in m.rows("alarms") if a["code"] == "bounce-rate"))
