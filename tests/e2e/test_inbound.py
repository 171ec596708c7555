"""[inbound DOMAIN]: mail that was accepted and bounces later, complaints, forgeries, and what is none of them. Postfix bounces; tokens are
also made here, from the key, by the words of core/feedback/token.h."""
import base64
import hashlib
import hmac

from harness import *

KEY = "0123456789abcdef0123456789abcdef"
VMTA = "[virtual-mta v1]\nsmtp-source-host = 127.0.1.1 m1.test.example\n"
DOMAIN = "bounces.example"


def mac(use, text, n):
    return base64.b32encode(hmac.new(KEY.encode(), f"{use}:{text}".lower().encode(), hashlib.sha256).digest()[:n]).decode().lower()


def verp(message, rcpt, index=0):
    """The return path of a message that nobody sent."""
    tail = "=" + rcpt.replace("@", "=")
    return f"bounce+{message:x}.{index:x}.{mac('verp', f'{message:x}.{index:x}{tail}@{DOMAIN}', 10)}{tail}@{DOMAIN}"


def bounce_of(rcpt, to, status="5.1.1", words="550 5.1.1 user unknown", returned=""):
    return (f"From: MAILER-DAEMON@mx.far.example\r\nTo: <{to}>\r\nSubject: Undelivered Mail\r\nMIME-Version: 1.0\r\n"
            "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n\r\nIt could not be delivered.\r\n"
            f"--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.far.example\r\n\r\nFinal-Recipient: rfc822; {rcpt}\r\n"
            f"Action: failed\r\nStatus: {status}\r\nDiagnostic-Code: smtp; {words}\r\n\r\n--b\r\nContent-Type: text/rfc822-headers\r\n\r\n"
            f"{returned or 'Message-ID: <x@y.example>'}\r\n--b--\r\n")


def complaint_about(header, to):
    return (f"From: fbl@far.example\r\nTo: <{to}>\r\nSubject: complaint\r\nMIME-Version: 1.0\r\n"
            "Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n--b\r\n\r\nAn abuse report.\r\n--b\r\n"
            "Content-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\nUser-Agent: Loop/1\r\nVersion: 1\r\nSource-IP: 127.0.1.1\r\n\r\n"
            f"--b\r\nContent-Type: message/rfc822\r\n\r\n{header}\r\n\r\nhello\r\n--b--\r\n")


AUTO_REPLY = "From: bob@there.example\r\nSubject: Out of office\r\nAuto-Submitted: auto-replied\r\n\r\nI am away and will answer next week.\r\n"
PLAIN = "From: bob@there.example\r\nTo: news\r\nSubject: a question\r\n\r\nCould you call me?\r\n"


class Inbound:
    def __init__(self, scene, more="", domain=""):
        self.key = scene.write("verp.key", KEY + "\n")
        os.chmod(self.key, 0o600)
        self.door = free_port()
        self.conf = (VMTA + f"[listener 127.0.0.1:{self.door}]\n[source test]\nprocess-x-job = yes\nprocess-x-envid = yes\n"
                     f"[domain *]\nroute = [127.0.2.1]:25\n{domain}[inbound {DOMAIN}]\nverp-key = {self.key}\n{more}")
        self.stoker = Stoker(scene, self.conf)

    def say(self, to, message, sender=""):
        """As a stranger."""
        c = Smtp("127.0.0.1", self.door)
        try:
            c.send(sender, [to], message.encode())
        finally:
            c.close()

    def rcpt(self, address, sender=f"news@{DOMAIN}"):
        """What a sender of that domain is told."""
        c = Smtp("127.0.0.1", self.stoker.port)
        c.cmd(f"MAIL FROM:<{sender}>")
        reply = c.cmd(f"RCPT TO:<{address}>")
        c.close()
        return reply

    def count(self, **wanted):
        def there():
            got = self.stoker.status()["inbound"]
            return got if all(got[k] == v for k, v in wanted.items()) else None
        return wait_for(f"{wanted} in the status ({self.stoker.status()['inbound']})", there, 10, 0.1)

    def events(self, *types):
        seen = {}
        for e in self.stoker.events():
            if e["type"] in types:
                seen[e["id"]] = e  # the last second may be there twice after a kill, with the same ids
        return list(seen.values())

    def kept(self):
        d = f"{self.stoker.spool}/unmatched"
        return sorted(os.listdir(d)) if os.path.isdir(d) else []


def at(e):
    import datetime
    return datetime.datetime.fromisoformat(e["at"].replace("Z", "+00:00")).timestamp()


@test(alone=True)
def what_bounces_after_it_was_accepted_is_known_at_once(full):
    with Scene() as s:
        i = Inbound(s)
        postfix = Postfix(s, main=f"transport_maps = inline:{{ {{dead@test.example=error:5.1.1 no such user}}, {{{DOMAIN}=smtp:[127.0.0.1]:{i.door}}} }}\n"
                          "smtpd_reject_unlisted_recipient = no\n")
        i.stoker.start()
        c = Smtp("127.0.0.1", i.stoker.port)
        c.send(f"news@{DOMAIN}", ["dead@test.example", "alive@test.example"],
               b"X-Job: spring\r\nX-Envid: e+1\r\nFrom: news@test.example\r\nSubject: hi\r\n\r\nhello\r\n")
        c.close()
        e = wait_for("the bounce's event", lambda: (i.events("remote-bounced") or [None])[0], 20, 0.05)
        sent = next(x for x in i.events("delivered") if x["recipient"] == "dead@test.example")
        expect(e["message"] == sent["message"] and e["recipient"] == "dead@test.example" and e["hard"] and e["enhanced"] == "5.1.1"
               and e["category"] == "bad-mailbox" and e["matched"] == "verp" and e["format"] == "rfc3464"
               and e["reporting_mta"] == "mx.test.example", str(e))
        # These come out of the X-Stoker-Ref that Postfix gave back.
        expect(e["sender"] == f"news@{DOMAIN}" and e["job"] == "spring" and e["user"] == "test" and e["virtual_mta"] == "v1"
               and e["envid"] == "e+2B1", str(e))
        arrived = next(x for x in i.events("received") if x.get("job") == "stoker/inbound")
        took = at(e) - at(arrived)
        expect(0 <= took < SLOW, f"the event came {took:.3f} s after the bounce")
        wait_for("the refusal of the next mail", lambda: i.rcpt("dead@test.example").startswith("550 5.1.1"), 1, 0.02)
        told = i.events("suppressed")
        expect(len(told) == 1 and told[0]["recipient"] == "dead@test.example" and told[0]["message"] == sent["message"], str(told))
        st = i.count(received=1, bounces=1, unverified=0, kept=0)
        wait_for("the other copy", lambda: postfix.count() == 1)
        head = next(postfix.messages()).decode().split("\n\n")[0]
        path = re.search(r"^Return-Path: <(.*)>", head, re.M).group(1)
        expect(path == verp(int(sent["message"], 16), "alive@test.example", 1), f"{path} in {head}")
        expect("alive" not in head.split("X-Stoker-Ref:")[1].split("Received:")[0], head)
        # A complaint names nobody: the reference does. Another's words behind it change nothing.
        i.say(f"fbl@{DOMAIN}", complaint_about(re.search(r"^X-Stoker-Ref:.*(?:\n[ \t].*)*", head, re.M).group(0).replace("\n", "\r\n"),
                                               f"fbl@{DOMAIN}"))
        e = wait_for("the complaint's event", lambda: (i.events("complaint") or [None])[0], 10, 0.05)
        expect(e["recipient"] == "alive@test.example" and e["message"] == sent["message"] and e["feedback_type"] == "abuse"
               and e["user_agent"] == "Loop/1" and e["job"] == "spring" and e["matched"] == "ref" and e["source_ip"] == "127.0.1.1", str(e))
        i.count(received=2, complaints=1)
        wait_for("no more mail to who complained", lambda: i.rcpt("alive@test.example").startswith("550 5.1.1"), 1, 0.02)
        expect(not i.kept() and "bounces" in i.stoker.do("status"), str(i.kept()))
        return f"remote-bounced {took * 1000:.0f} ms after the bounce came in; {st}"


@test()
def forgeries_and_automatic_mail_change_nothing_and_people_are_forwarded(full):
    with Scene() as s:
        i = Inbound(s)
        receiver = Receiver(s, script=lambda session, verb, arg: "550 5.1.1 no" if verb == "RCPT" and "gone" in arg else None)
        i.stoker.start()
        c = Smtp("127.0.0.1", i.door)
        expect(c.cmd("MAIL FROM:<>").startswith("250"), "a null sender")
        expect(c.cmd("RCPT TO:<x@test.example>").startswith("550 5.7.1"), "a stranger relays")
        expect(c.cmd(f"RCPT TO:<x@{DOMAIN.upper()}>").startswith("250"), "a stranger's bounce")
        c.close()
        c = Smtp("127.0.0.1", i.stoker.port)
        c.cmd("MAIL FROM:<a@test.example>")
        expect(c.cmd("RCPT TO:<x@test.example>").startswith("250"), "relaying")
        expect(c.cmd(f"RCPT TO:<x@{DOMAIN}>").startswith("452 4.5.3"), "both in one transaction")
        c.close()
        good = verp(0x77, "bob@there.example")
        forged = good.replace("+77.", "+78.")
        i.say(forged, bounce_of("bob@there.example", forged))
        i.say(f"x@{DOMAIN}", bounce_of("bob@there.example", f"x@{DOMAIN}"))
        i.say(good, AUTO_REPLY)
        i.say(good, bounce_of("bob@there.example", good).replace("Action: failed", "Action: delayed").replace("5.1.1", "4.4.1"))
        i.say(f"x@{DOMAIN}", PLAIN)
        i.count(received=5, bounces=0, unverified=2, ignored=2, other=1, kept=3)
        expect(i.rcpt("bob@there.example").startswith("250"), "a forgery suppresses")
        # One who has had mail can turn its token against nobody else.
        i.say(good, bounce_of("victim@there.example", good))
        e = wait_for("the event", lambda: (i.events("remote-bounced") or [None])[0], 10, 0.05)
        expect(e["recipient"] == "bob@there.example" and e["message"] == "77", str(e))
        i.say(good, bounce_of("bob@there.example", good))  # a token counts once, however often it is used
        i.count(repeated=1)
        expect(len(i.events("remote-bounced")) == 1, "one report counted twice")
        wait_for("no more mail to bob", lambda: i.rcpt("bob@there.example").startswith("550 5.1.1"), 2, 0.02)
        expect(i.rcpt("victim@there.example").startswith("250"), "a victim of another's token")
        files = i.kept()
        expect(len(files) == 3, str(files))
        with open(f"{i.stoker.spool}/unmatched/{files[-1]}", newline="") as f:
            text = f.read()
        expect(f"Delivered-To: x@{DOMAIN}\r\n" in text and "X-Stoker-Unmatched: other (mail)\r\n" in text and text.endswith(PLAIN), text)
        i.stoker.write_conf(i.conf + "forward-unmatched = human@test.example\ntrust-unsigned = yes\n")
        i.stoker.do("reload")
        i.say(f"x@{DOMAIN}", PLAIN, sender="bob@there.example")
        got = wait_for("the forwarded mail", lambda: receiver.messages and receiver.messages[0], 10)
        _, _, sender, rcpts, data = got
        expect(sender.startswith("FROM:<>") and len(rcpts) == 1 and rcpts[0].startswith("TO:<human@test.example>")
               and data.endswith(PLAIN.encode()) and b"X-Stoker-Unmatched: other (mail)\r\n" in data, str(got))
        i.say(f"x@{DOMAIN}", bounce_of("carl@there.example", f"x@{DOMAIN}"))
        e = wait_for("the trusted event", lambda: next((x for x in i.events("remote-bounced") if x["matched"] == "message-id"), None), 10, 0.05)
        expect(e["recipient"] == "carl@there.example" and "message" not in e, str(e))
        i.count(forwarded=1, kept=3, bounces=2)
        # What is refused at once is known; a report of our own would come back here.
        c = Smtp("127.0.0.1", i.stoker.port)
        c.send(f"news@{DOMAIN}", ["gone@test.example"], b"Subject: x\r\n\r\ny\r\n")
        c.close()
        wait_for("the bounce", lambda: i.events("bounced"), 10, 0.05)
        i.stoker.wait_drained()
        expect(not [x for x in i.events("received") if x.get("job") == "stoker/reports"] and len(receiver.messages) == 1, "a report was made")
        i.count(received=9)
        return "2 forgeries, an absence, a delay: nothing; a question: kept, then forwarded"


@test()
def reports_survive_a_kill(full):
    n = 400 if full else 80
    with Scene() as s:
        i = Inbound(s)
        i.stoker.start()
        c = Smtp("127.0.0.1", i.door)
        for k in range(n):
            to = verp(0x100 + k, f"u{k}@there.example")
            c.send("", [to], bounce_of(f"u{k}@there.example", to).encode())
        i.stoker.kill9()
        c.close()
        i.stoker.start()
        wait_for("all events", lambda: len(i.events("remote-bounced")) >= n, 20)
        i.stoker.wait_drained()
        i.stoker.stop()
        told = [e["recipient"] for e in i.events("remote-bounced")]
        ended = [e["message"] for e in i.events("removed")]
        expect(sorted(told) == sorted(f"u{k}@there.example" for k in range(n)), f"{len(told)} events of {n}, {len(set(told))} different")
        expect(len(ended) == len(set(ended)) == n, f"{len(ended)} ends of {n}")
        i.stoker.start()
        expect(i.stoker.status()["queued"] == 0, "something waits still")
        return f"{n} reports, killed behind the last 250: each once"


@test(flavours=("plain",))
def what_cannot_be_kept_holds_up_no_report(full):
    """A question waits, with an alarm, as long as unmatched/ can't be written; bounces behind it are read at once."""
    with Scene() as s:
        i = Inbound(s)
        i.stoker.start()
        folder = f"{i.stoker.spool}/unmatched"
        with open(folder, "w"):
            pass  # a file in its place
        for _ in range(5):
            i.say(f"x@{DOMAIN}", PLAIN)
        alarm = wait_for("the alarm", lambda: [a for a in i.stoker.status()["alarms"] if a["code"] == "inbound"])
        expect("unmatched can't be written" in alarm[0]["text"], str(alarm))
        for k in range(5):
            to = verp(0x500 + k, f"u{k}@there.example")
            i.say(to, bounce_of(f"u{k}@there.example", to))
        wait_for("the bounces", lambda: len(i.events("remote-bounced")) == 5, 3)
        i.count(waiting=5, kept=0)
        os.unlink(folder)
        wait_for("all are kept", lambda: len(i.kept()) == 5, 30)
        wait_for("the alarm's end", lambda: not [a for a in i.stoker.status()["alarms"] if a["code"] == "inbound"])
        i.count(waiting=0, kept=5)
        return "5 questions wait with an alarm, 5 bounces behind them are read at once; then all are kept"


@test(flavours=("plain",))
def a_forward_that_the_spool_refuses_is_made_again(full):
    """The mail itself still fits below the limit of a file's size (its segment is at its beginning), the index does not."""
    with Scene() as s:
        i = Inbound(s)
        i.stoker.write_conf(i.conf + "forward-unmatched = human@test.example\n")
        receiver = Receiver(s)
        i.stoker.start()

        def limit(n):
            subprocess.run(["prlimit", "--pid", str(i.stoker.process.pid), f"--fsize={n}:unlimited"], check=True)
        limit(16384)
        i.say(f"x@{DOMAIN}", PLAIN)
        wait_for("the refusal", lambda: [a for a in i.stoker.status()["alarms"] if a["code"] == "spool-poisoned"], 10)
        expect(not receiver.messages, "it was forwarded")
        limit("unlimited")
        wait_for("the forwarded mail", lambda: receiver.messages, 30)
        i.stoker.wait_drained()
        i.count(forwarded=1, waiting=0)
        expect(len(receiver.messages) == 1, f"{len(receiver.messages)} copies")
        return "the commit of a forward failed: it was made again, once, as soon as the disk took it"


@test()
def a_late_bounce_means_what_the_same_reply_would_and_knows_its_provider(full):
    """One provider by its domain, one by the host that refused; the first one's pattern list says that its 550 only means later."""
    with Scene() as s:
        i = Inbound(s, "[provider early]\ndomains = early.example\nsmtp-pattern-list = lenient\n[provider byhost]\nmx = *.far.example\n"
                    "[pattern-list lenient]\nreply = /user unknown/ retry-in=15m\n")
        i.stoker.start()
        for n, rcpt in enumerate(["a@early.example", "b@late.example", "c@other.example"]):
            to = verp(0x90 + n, rcpt)
            host = "Remote-MTA: dns; MX1.far.example\r\n" if "late" in rcpt else ""
            i.say(to, bounce_of(rcpt, to).replace("Diagnostic-Code", host + "Diagnostic-Code"))
        wait_for("the bounces", lambda: len(i.events("remote-bounced")) == 3, 10, 0.05)
        got = {e["recipient"][0]: (e["hard"], e.get("site")) for e in i.events("remote-bounced")}
        expect(got == {"a": (False, "early"), "b": (True, "byhost"), "c": (True, None)}, str(got))
        expect(i.rcpt("a@early.example").startswith("250") and i.rcpt("b@late.example").startswith("550"), "the list")
        to = verp(0x99, "d@early.example")
        i.say(to, complaint_about(f"Return-Path: <{to}>", to))
        e = wait_for("the complaint", lambda: (i.events("complaint") or [None])[0], 10, 0.05)
        expect(e["site"] == "early", str(e))
        return f"hard and provider of each: {got}"
