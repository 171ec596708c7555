"""One huge campaign cannot starve a password reset; greylisting receivers see the same source again."""
from harness import *

ONE = "[virtual-mta v1]\nsmtp-source-host = 127.0.1.1 m1.test.example\n"


@test(flavours=("plain",), alone=True)
def a_small_sender_is_not_starved(full):
    backlog = 500000 if full else 20000
    with Scene() as s:
        dns = Nsd(s, {"gmail.com": zone({"": "127.0.2.1"}), "test.example": zone({"": "127.0.2.1"})})
        r = Receiver(s)
        m = Stoker(s, ONE + "[domain gmail.com]\nmax-msg-rate = 20/s\n", mta=dns.mta).start()
        smtp_source(m.port, backlog // 1000, sessions=10, size=200, rcpts=1000, sender="bulk@huge.example", rcpt="user@gmail.com")
        wait_for("the backlog", lambda: m.status()["queued"] > backlog * 0.95, 120)
        wait_for("the campaign to flow", lambda: len(r.times("RCPT")) > 60)
        found = []
        for k, (rate, within) in enumerate((("20/s", 1.0), ("1/s", 2.2))):
            if k:
                m.do("rate", "gmail.com", rate)
            c = Smtp("127.0.0.1", m.port)
            before = time.monotonic()
            expect(c.send("reset@small.example", [f"you{k}@gmail.com"], b"Subject: reset\r\n\r\nx\r\n").startswith("250"), "refused")
            accepted = time.monotonic()

            def attempted():
                with r.lock:
                    return [t for t, _, v, a in r.commands if v == "RCPT" and f"you{k}@" in a]
            t = wait_for("the attempt", attempted, 30)[0]
            expect(t - accepted <= within, f"at {rate} the reset waited {t - accepted:.2f} s behind {backlog}")
            found.append(f"{rate}: {t - accepted:.2f} s")
        m.do("delete", "gmail.com", "--yes", timeout=120)
        return f"behind {backlog} recipients of another sender: " + ", ".join(found)


@test(flavours=("plain",))
def greylisted_mail_arrives_at_its_second_attempt(full):
    n = 40 if full else 8
    with Scene() as s:
        dns = Nsd(s, {"test.example": zone({"": "127.0.2.1"})})
        port = free_port()
        db = s.path("greydb")
        os.makedirs(db)
        s.peer("postgrey", lambda: connects("127.0.0.1", port), [
            "postgrey", f"--inet=127.0.0.1:{port}", "--lookup-by-host", "--delay=2", f"--dbdir={db}", "--user=root",
            "--group=root", "--auto-whitelist-clients=0", "--whitelist-clients=/dev/null",
            "--whitelist-recipients=/dev/null", f"--pidfile={db}/pid"], s.path("postgrey.log"))
        pf = Postfix(s, main=f"smtpd_recipient_restrictions = reject_unauth_destination, check_policy_service inet:127.0.0.1:{port}\n"
                     .replace("smtpd_recipient_restrictions", "smtpd_end_of_data_restrictions = \nsmtpd_client_restrictions = \nsmtpd_recipient_restrictions"))
        conf = "".join(f"[virtual-mta v{i}]\nsmtp-source-host = 127.0.1.{i} m{i}.test.example\n" for i in range(1, 5)) + \
               "[virtual-mta-pool p]\nmembers = v1, v2, v3, v4\n[mta]\ndefault-virtual-mta = p\n[domain test.example]\nretry-recipients-after = 4s\n"
        m = Stoker(s, conf, mta=dns.mta).start()
        c = Smtp("127.0.0.1", m.port)
        for i in range(n):
            expect(c.send(f"a{i}@source.example", [f"u{i}@test.example"], b"Subject: x\r\n\r\ny\r\n").startswith("250"), "refused")
        m.wait_drained(60)
        wait_for("the mail", lambda: pf.count() == n, 30)
        wait_for("the log", lambda: sum(e["type"] == "delivered" for e in m.events()) == n)
        attempts = collections.Counter(e["attempt"] for e in m.events() if e["type"] == "delivered")
        expect(set(attempts) == {2}, f"delivered at attempt: {dict(attempts)}")
        return f"{n} messages through postgrey with 4 source IPs, all at the second attempt"
