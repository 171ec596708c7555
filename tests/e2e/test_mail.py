"""Mail of every shape arrives byte for byte, each message once, with parts that nobody here wrote: smtp-source and swaks hand it in,
names resolve through NSD, Postfix receives into a mailbox."""
import email.utils

from harness import *

CONF = "[virtual-mta v1]\nsmtp-source-host = 127.0.1.1 m1.test.example\n[virtual-mta v2]\nsmtp-source-host = 127.0.1.2 m2.test.example\n" \
       "[virtual-mta-pool p]\nmembers = v1, v2\n[mta]\ndefault-virtual-mta = p\n"


def original(stored):
    """The message as it was handed in: from the first X-Test header on (everything before it was added on the way)."""
    at = stored.find(b"X-Test: ")
    return stored[at:] if at >= 0 else None


def shapes(rng, i):
    """Varied messages; each begins with an X-Test header that names it."""
    head = b"X-Test: %d\r\nFrom: a@source.example\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <%d@x>\r\nSubject: number %d\r\n" % (i, i, i)
    kind = i % 8
    if kind == 0:
        return head + b"\r\n", False
    if kind == 1:
        return head + b"\r\n.\r\n..\r\n.a\r\n...\r\nend\r\n.\r\n", False
    if kind == 2:
        return head + b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + "äöü – ✓\r\n".encode() * 20, False
    if kind == 3:
        return head + b"\r\n" + bytes(rng.choice(b"abcdefghijklmnopqrstuvwxyz .") for _ in range(900)) + b"\r\n", False
    if kind == 4:
        return head + b"\r\n" + b"line\r\n" * rng.randint(1, 2000), False
    if kind == 5:
        return head + b"\r\n\r\n\r\n   \r\n\t\r\n\r\n", False
    if kind == 6:
        return head + "Subject: Grüße\r\n\r\nutf8 header\r\n".encode(), True
    return head + b"X-Folded: a\r\n b\r\n\tc\r\n\r\nFrom the start\r\n>From quoted\r\n", False


def hand_in(port, first, count, rcpt, seed, sent, lock):
    rng = random.Random(seed)
    c = Smtp("127.0.0.1", port)
    for i in range(first, first + count):
        message, utf8 = shapes(rng, i)
        rcpts = [rcpt % (i, k) for k in range(1 + i % 3)]
        sender = "grüße@source.example" if utf8 else "a@source.example"
        reply = c.send(sender, rcpts, message, " SMTPUTF8 BODY=8BITMIME" if utf8 else " BODY=8BITMIME")
        expect(reply.startswith("250"), f"message {i}: {reply}")
        with lock:
            sent[i] = (message, len(rcpts))
    c.close()


@test()
def varied_mail_arrives_byte_for_byte(full):
    n, sessions = (10000, 20) if full else (240, 8)
    with Scene() as s:
        dns = Nsd(s, {"test.example": zone({"": "127.0.2.1"})})
        # One transaction's recipients end in one file each, named by Delivered-To.
        pf = Postfix(s, domains=("test.example",))
        m = Stoker(s, CONF, mta=dns.mta).start()
        sent, lock, errors = {}, threading.Lock(), []

        def run(k):
            try:
                hand_in(m.port, k * (n // sessions), n // sessions, "u%d-%d@test.example", k, sent, lock)
            except Exception as e:
                errors.append(e)
        threads = [threading.Thread(target=run, args=(k,)) for k in range(sessions)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        expect(not errors, f"handing in: {errors[:3]}")
        expected = sum(r for _, r in sent.values())
        m.wait_drained(120)
        wait_for(f"{expected} messages in the mailbox", lambda: pf.count() >= expected, 300)
        seen = collections.Counter()
        for stored in pf.messages():
            o = original(stored)
            expect(o is not None, "a message without X-Test")
            i = int(o[8:o.index(b"\n")])
            seen[i] += 1
            expect(o == sent[i][0].replace(b"\r\n", b"\n"), f"message {i} changed on the way:\n{o[:300]!r}\n{sent[i][0][:300]!r}")
        wrong = [i for i in sent if seen[i] != sent[i][1]]
        expect(not wrong, f"not exactly once: {[(i, seen[i], sent[i][1]) for i in wrong[:5]]}")
        return f"{len(sent)} messages, {expected} recipients: each once, byte for byte"


@test()
def smtp_source_and_swaks_mail_arrives_once(full):
    n = 10000 if full else 300
    with Scene() as s:
        dns = Nsd(s, {"test.example": zone({"": "127.0.2.1"})})
        pf = Postfix(s)
        m = Stoker(s, CONF, mta=dns.mta).start()
        smtp_source(m.port, n, size=10000)
        rc, out = swaks(m.port, "--from", "a@source.example", "--to", "b@test.example,c@test.example", "--header",
                        "X-Swaks: yes")
        expect(rc == 0, out)
        m.wait_drained(200)
        wait_for("the mail in the mailbox", lambda: pf.count() >= n + 2, 300)
        ids = collections.Counter()
        swaks_seen = 0
        for stored in pf.messages():
            if b"X-Swaks: yes" in stored:
                swaks_seen += 1
                continue
            ids[re.search(rb"(?im)^Message-Id: (.*)$", stored).group(1)] += 1
        expect(swaks_seen == 2, f"swaks: {swaks_seen} of 2")
        expect(len(ids) == n and set(ids.values()) == {1}, f"{len(ids)} different of {n}; doubles {[i for i in ids if ids[i] > 1][:3]}")
        return f"{n} of smtp-source and 2 of swaks, each once"


@test()
def large_mail_flows_beside_small(full):
    large, size, small = (20, 40 * 1024 * 1024, 400) if full else (3, 6 * 1024 * 1024, 100)
    with Scene() as s:
        dns = Nsd(s, {"test.example": zone({"": "127.0.2.1"})})
        pf = Postfix(s)
        m = Stoker(s, CONF, mta=dns.mta).start()
        sums, errors, lock = {}, [], threading.Lock()

        def send_large(k):
            try:
                rng = random.Random(k)
                block = b"".join(bytes(rng.choice(b"abcdefghijklmnopqrstuvwxyz.") for _ in range(70)) + b"\r\n" for _ in range(64))
                message = b"X-Test: %d\r\nSubject: large\r\n\r\n" % k + block * (size // len(block))
                c = Smtp("127.0.0.1", m.port, timeout=120)
                reply = c.send("a@source.example", [f"large{k}@test.example"], message)
                expect(reply.startswith("250"), reply)
                with lock:
                    sums[k] = hashlib.sha256(message.replace(b"\r\n", b"\n")).hexdigest()
            except Exception as e:
                errors.append(e)
        threads = [threading.Thread(target=send_large, args=(k,)) for k in range(large)]
        for t in threads:
            t.start()
        slowest = 0.0
        c = Smtp("127.0.0.1", m.port)
        for i in range(small):
            before = time.monotonic()
            reply = c.send("a@source.example", [f"small{i}@test.example"], b"X-Test: %d\r\n\r\nsmall\r\n" % (1000000 + i))
            expect(reply.startswith("250"), reply)
            slowest = max(slowest, time.monotonic() - before)
        for t in threads:
            t.join()
        expect(not errors, str(errors[:2]))
        m.wait_drained(300)
        wait_for("all mail in the mailbox", lambda: pf.count() >= large + small, 300)
        for stored in pf.messages():
            o = original(stored)
            k = int(o[8:o.index(b"\n")])
            if k in sums:
                expect(hashlib.sha256(o).hexdigest() == sums.pop(k), f"large message {k} changed")
        expect(not sums, f"missing: {list(sums)}")
        anon = m.status()["memory"]["anon"]
        return f"{large} of {size >> 20} MB and {small} small at once; slowest small answer {slowest * 1000:.0f} ms; anonymous memory after it {anon >> 20} MB"


@test()
def bounces_come_back_as_dsn(full):
    with Scene() as s:
        dns = Nsd(s, {"test.example": zone({"": "127.0.2.1", "back": "127.0.2.2"})})

        def script(session, verb, arg):
            if verb == "RCPT" and "bad" in arg:
                return "550 5.1.1 <x>: no such user\r\n" [:-2]
            return None
        r = Receiver(s, "127.0.2.1", script=script)
        back = Receiver(s, "127.0.2.2")
        m = Stoker(s, "[virtual-mta v1]\nsmtp-source-host = 127.0.1.1 m1.test.example\n", mta=dns.mta).start()
        c = Smtp("127.0.0.1", m.port)
        reply = c.send("me@back.test.example", ["good@test.example", "bad1@test.example", "bad2@test.example"],
                       b"Subject: three\r\n\r\nbody\r\n", " RET=HDRS ENVID=abc+2Bdef")
        expect(reply.startswith("250"), reply)
        reply = c.send("", ["bad3@test.example"], b"Subject: null\r\n\r\nbody\r\n")
        expect(reply.startswith("250"), reply)
        c.cmd("MAIL FROM:<me@back.test.example>")
        c.cmd("RCPT TO:<bad4@test.example> NOTIFY=NEVER")
        c.cmd("DATA")
        expect(c.cmd("Subject: never\r\n\r\nx\r\n.").startswith("250"), "NOTIFY=NEVER refused")
        wait_for("the report", lambda: back.messages, 90)
        m.wait_drained(90)
        expect(len(back.messages) == 1, f"{len(back.messages)} reports, wanted one for both failures of one message")
        text = back.messages[0][4].decode()
        expect(back.messages[0][2].startswith("FROM:<>"), f"report's sender {back.messages[0][2]}")
        for piece in ("multipart/report", "Final-Recipient: rfc822; bad1@test.example", "Final-Recipient: rfc822; bad2@test.example",
                      "Status: 5.1.1", "Original-Envelope-Id: abc+def", "Subject: three", "Action: failed"):
            expect(piece in text, f"the report lacks {piece!r}:\n{text}")
        expect("good@test.example" not in text and "body" not in text.split("Subject: three")[1], "the report says too much")
        bounced = [e for e in m.events() if e["type"] == "bounced"]
        expect(bounced and all((e["category"], e["hard"]) == ("bad-mailbox", True) for e in bounced), f"categories: {bounced}")
        shown = m.do("log", "type:bounced", "category:bad-mailbox", "--json")
        expect(shown.count('"hard":true') == len(bounced), f"stoker log lacks the categories: {shown}")
        return "one report for two failures; none for <>, none for NOTIFY=NEVER"


@test()
def success_is_passed_on_or_told_as_relayed(full):
    with Scene() as s:
        dns = Nsd(s, {"test.example": zone({"dsn": "127.0.2.1", "plain": "127.0.2.2", "back": "127.0.2.3"})})
        knows = Receiver(s, "127.0.2.1")
        plain = Receiver(s, "127.0.2.2", script=lambda session, verb, arg: "250-plain.test.example\r\n250 PIPELINING" if verb == "EHLO" else None)
        back = Receiver(s, "127.0.2.3")
        m = Stoker(s, "[virtual-mta v1]\nsmtp-source-host = 127.0.1.1 m1.test.example\n", mta=dns.mta).start()
        c = Smtp("127.0.0.1", m.port)
        c.cmd("MAIL FROM:<me@back.test.example> RET=HDRS ENVID=env+2B1")
        for to in ("a@dsn", "b@plain", "c@plain"):
            c.cmd(f"RCPT TO:<{to}.test.example> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;{to}.first.example")
        c.cmd("DATA")
        expect(c.cmd("Subject: asked\r\n\r\nbody\r\n.").startswith("250"), "refused")
        wait_for("the report", lambda: back.messages, 90)
        m.wait_drained(90)
        expect(len(back.messages) == 1, f"{len(back.messages)} reports")
        text = back.messages[0][4].decode()
        for piece in ("Action: relayed", "Final-Recipient: rfc822; b@plain.test.example", "Final-Recipient: rfc822; c@plain.test.example",
                      "Original-Recipient: rfc822;b@plain.first.example", "Original-Envelope-Id: env+1", "Status: 2."):
            expect(piece in text, f"the report lacks {piece!r}:\n{text}")
        expect("a@dsn" not in text and "\nbody" not in text, f"the report says too much:\n{text}")
        with knows.lock, plain.lock:
            said = " ".join(a for r in (knows, plain) for _, _, v, a in r.commands if v in ("MAIL", "RCPT"))
            expect("RET=HDRS ENVID=env+2B1" in said and said.count("NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;a@dsn.first.example") == 1
                   and said.count("NOTIFY") == 1, said)
        return "one relayed report for two; none where NOTIFY, ORCPT, RET and ENVID were passed on"
