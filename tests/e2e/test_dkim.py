"""DKIM: what is signed is what arrives. dkimpy and Perl's Mail::DKIM, which share no code with Stoker's library nor with each other,
judge the messages as a receiver got them; keys are published in NSD."""
import base64

import dkim

from harness import *

VMTA = "[virtual-mta v1]\nsmtp-source-host = 127.0.1.1 m1.test.example\n"
SIGN = VMTA + "[domain *]\ndkim-sign = yes\n"


class Keys:
    """Private keys in files, and the records that publish them."""

    def __init__(self, scene):
        self.scene, self.records = scene, {}

    def make(self, selector, domain, kind="rsa", publish=True):
        path = self.scene.path(f"{selector}.{domain}.pem")
        args = ["-algorithm", "ed25519"] if kind == "ed25519" else ["-algorithm", "rsa", "-pkeyopt", "rsa_keygen_bits:2048"]
        subprocess.run(["openssl", "genpkey", *args, "-out", path], check=True, stderr=subprocess.DEVNULL)
        os.chmod(path, 0o600)
        der = subprocess.run(["openssl", "pkey", "-in", path, "-pubout", "-outform", "DER"], check=True, stdout=subprocess.PIPE).stdout
        if publish:
            p = base64.b64encode(der[-32:] if kind == "ed25519" else der).decode()
            self.records[f"{selector}._domainkey.{domain}."] = f"v=DKIM1; k={kind}; p={p}"
        return path

    def zone(self):
        out = ""
        for name, text in self.records.items():
            parts = " ".join(f'"{text[i:i + 200]}"' for i in range(0, len(text), 200))
            out += f"{name} IN TXT {parts}\n"
        return out

    def txt(self, name, timeout=5):
        return self.records.get(name.decode(), "").encode()


def zones(keys):
    return {"test.example": zone({"": "127.0.2.1", "two": "127.0.2.1"}) + keys.zone()}


PERL = r"""
use Mail::DKIM::Verifier; use Mail::DKIM::DNS; use Net::DNS::Resolver;
Mail::DKIM::DNS::resolver(Net::DNS::Resolver->new(nameservers => ['127.0.0.1'], port => $ARGV[0], recurse => 0));
binmode STDIN; $| = 1;
while (defined(my $n = <STDIN>)) {
    read(STDIN, my $m, $n) == $n or die;
    my $v = Mail::DKIM::Verifier->new(); $v->PRINT($m); $v->CLOSE;
    print join(' ', map { $_->algorithm . '=' . $_->result_detail =~ s/ /_/gr } $v->signatures), "\n";
}
"""


def by_mail_dkim(scene, dns, messages):
    """For each message, {algorithm: result} by Perl's Mail::DKIM (which knows RSA only)."""
    script = scene.write("verify.pl", PERL)
    p = subprocess.run(["perl", script, str(dns.port)], input=b"".join(b"%d\n" % len(m) + m for m in messages),
                       stdout=subprocess.PIPE, timeout=600 * SLOW)
    lines = p.stdout.decode().splitlines()
    expect(p.returncode == 0 and len(lines) == len(messages), f"Mail::DKIM: {p.returncode}, {len(lines)} answers")
    return [dict(w.split("=", 1) for w in line.split()) for line in lines]


def by_dkimpy(keys, message, idx=0):
    try:
        return dkim.DKIM(message).verify(idx=idx, dnsfunc=keys.txt)
    except dkim.DKIMException as e:
        return str(e)


def signatures(message):
    """[{tag: value}] of the signatures in front."""
    head = message.split(b"\r\n\r\n")[0].decode("utf-8", "surrogateescape")
    fields = [re.sub(r"\r\n[ \t]", " ", f) for f in re.split(r"\r\n(?![ \t])", head)]
    found = [f.split(":", 1)[1] for f in fields if f.lower().startswith("dkim-signature:")]
    return [{k.strip(): re.sub(r"\s", "", v) for k, _, v in (t.partition("=") for t in f.split(";"))} for f in found]


def shape(rng, i):
    """A message with everything that tells canonicalizations apart; its X-Test header names it."""
    nl = rng.choice(["\r\n ", "\r\n\t", "\r\n   \t "])
    subject = rng.choice(["plain", "two  blanks ", f"folded{nl}over{nl}three lines", "", "grüße – 8 bit", "x" * 900, "a\tb \t c"])
    head = [f"X-Test: {i}", rng.choice(["From", "FROM", "from"]) + rng.choice(
        [": a@test.example", ":a@test.example", f": \"A, B\" <a@test.example>", f": (c <x@y>) Name{nl}<a@test.example>", ": =?utf-8?q?=C3=A4?= <a@test.example>"]),
        f"Subject: {subject}", f"To: {nl if i % 3 else ''}u@test.example,{nl}v@test.example", "Message-ID: <%d@test.example>" % i,
        "Date: Mon, 23 Nov 2026 10:00:00 +0000"]
    head += [f"Received: from h{k}{nl}by x; Mon, 23 Nov 2026 10:00:00 +0000" for k in range(rng.randint(0, 3))]
    head += [f"References: <{k}@x>" for k in range(rng.randint(0, 3))]
    head += [f"Cc: c{k}@test.example" for k in range(rng.randint(0, 2))]
    if i % 7 == 0:
        head.append("DKIM-Signature: v=1; this is; no signature")
    if i % 5 == 0:
        head.append("List-Unsubscribe: <mailto:u@test.example>" + nl + ",<https://test.example/u>")
    rng.shuffle(head)
    body = rng.choice([
        None, "", "\r\n\r\n\r\n", "  \r\n\t\r\n \t \r\n", "text \r\n  indented\t\t x \t\r\n\r\n\r\n", "ä" * 3000 + "\r\n",
        ".\r\n..\r\n.dot\r\n", "z" * rng.randint(990, 70000) + "\r\n", "a  b\r\n" * rng.randint(1, 900),
        "".join(rng.choice("ab \t") for _ in range(5000)) + "\r\n", "no end"])
    text = "\r\n".join(head) + "\r\n"
    if body is not None:
        text += "\r\n" + body
    return text.encode()


def hand_in_all(m, messages):
    c = Smtp("127.0.0.1", m.port)
    for i, message in enumerate(messages):
        reply = c.send("a@test.example", ["u@test.example"], message, " BODY=8BITMIME")
        expect(reply.startswith("250"), f"message {i}: {reply}")
    c.close()


@test()
def varied_messages_verify_with_dkimpy_and_mail_dkim(full):
    n = 10000 if full else 70 if SLOW == 1 else 30
    with Scene() as s:
        keys = Keys(s)
        conf = SIGN + f"[dkim test.example]\nselector = k1\nkey-file = {keys.make('k1', 'test.example')}\n" \
            f"second-selector = k2\nsecond-key-file = {keys.make('k2', 'test.example', 'ed25519')}\n"
        dns = Nsd(s, zones(keys))
        r = Receiver(s)
        m = Stoker(s, conf, mta=dns.mta).start()
        rng = random.Random(7)
        sent = [shape(rng, i) for i in range(n)]
        hand_in_all(m, sent)
        m.wait_drained(300)
        got = [x[4] for x in r.messages]
        expect(len(got) == n, f"{len(got)} of {n} arrived")
        wrong = []
        perl = by_mail_dkim(s, dns, got)
        for message, second in zip(got, perl):
            tags = signatures(message)
            i = int(re.search(rb"X-Test: (\d+)", message).group(1))
            expect([t["a"] for t in tags[:2]] == ["rsa-sha256", "ed25519-sha256"], f"message {i}: signatures {tags}")
            expect([t["d"] for t in tags[:2]] == ["test.example"] * 2, f"message {i}: {tags}")
            results = by_dkimpy(keys, message, 0), by_dkimpy(keys, message, 1), second.get("rsa-sha256")
            if results != (True, True, "pass"):
                wrong.append((i, results, sent[i][:300]))
            expect(message.endswith(sent[i] if sent[i].endswith(b"\r\n") else sent[i] + b"\r\n") or b"Message-ID" not in sent[i],
                   f"message {i} changed on the way")
        expect(not wrong, f"{len(wrong)} of {n} do not verify, as {wrong[:3]}")
        # One more field of an oversigned name, put in on the way, breaks it.
        forged = b"Subject: forged\r\n" + got[0]
        expect(by_dkimpy(keys, forged) is not True and by_dkimpy(keys, got[0]) is True, "a second Subject went through")
        return f"{n} messages: RSA by dkimpy and Mail::DKIM, Ed25519 by dkimpy"


def mail(domain, subject="x", body="text\r\n", more=""):
    return f"From: a@{domain}\r\nTo: u@test.example\r\nSubject: {subject}\r\n{more}\r\n{body}".encode()


@test()
def large_mail_is_signed_and_keys_follow_the_from_domain(full):
    size = 20_000_000 if full else 1_500_000
    with Scene() as s:
        keys = Keys(s)
        conf = SIGN + "[domain two.test.example]\ndkim-sign = no\n" \
            f"[dkim test.example]\nselector = k1\nkey-file = {keys.make('k1', 'test.example')}\nexpire-after = 10d\noversign = From\nheaders = Subject X-A\n" \
            f"[dkim c.test.example]\nselector = k3\nkey-file = {keys.make('k3', 'c.test.example')}\n"
        dns = Nsd(s, zones(keys))
        r = Receiver(s)
        m = Stoker(s, conf, mta=dns.mta).start()
        rng = random.Random(3)
        line = "".join(rng.choice("abcdef  \t") for _ in range(500)) + "\r\n"
        c = Smtp("127.0.0.1", m.port)
        to = ["u@test.example"]
        sizes = 100_000, 255_000, 300_000, size
        for k in sizes:
            expect(c.send("x@y.example", to, mail("test.example", f"size {k}", line * (k // len(line)))).startswith("250"), "refused")
        for domain in "sub.test.example", "c.test.example", "d.c.test.example", "other.example", "xtest.example":
            c.send("x@y.example", to, mail(domain, domain, more="X-A: 1\r\nX-B: 2\r\n"))
        c.send("x@y.example", ["u@two.test.example"], mail("test.example", "not to two"))
        m.wait_drained(100)
        by_subject = {re.search(rb"Subject: (.*)\r\n", x[4]).group(1).decode(): x[4] for x in r.messages}
        for k in sizes:
            expect(by_dkimpy(keys, by_subject[f"size {k}"]) is True, f"size {k}: {by_dkimpy(keys, by_subject[f'size {k}'])}")
        for domain, d in (("sub.test.example", "test.example"), ("c.test.example", "c.test.example"), ("d.c.test.example", "c.test.example"),
                          ("other.example", None), ("xtest.example", None), ("not to two", None)):
            tags = signatures(by_subject[domain])
            expect([t["d"] for t in tags] == ([d] if d else []), f"From {domain}: {tags}")
            expect(not d or by_dkimpy(keys, by_subject[domain]) is True, f"From {domain} does not verify")
        # headers, oversign and expire-after, as written and as they are by default
        t = signatures(by_subject["sub.test.example"])[0]
        expect(sorted(t["h"].lower().split(":")) == ["from", "from", "subject", "x-a"], t["h"])
        expect(int(t["x"]) - int(t["t"]) == 10 * 86400, t)
        t = signatures(by_subject["c.test.example"])[0]
        names = t["h"].lower().split(":")
        expect("x" not in t and names.count("subject") == 2 and names.count("reply-to") == 1 and names.count("to") == 2 and
               "x-a" not in names and "received" not in names, t["h"])
        return f"bodies up to {size} bytes; own, parent's and no key"


@test()
def what_cannot_be_signed_waits_or_goes_unsigned_with_an_alarm(full):
    with Scene() as s:
        keys = Keys(s)
        key = keys.make("k1", "test.example")
        conf = SIGN + f"[dkim must.example]\nselector = k1\nkey-file = {key}\n" \
            f"[dkim may.example]\nselector = k1\nkey-file = {key}\nmust-sign = no\n"
        dns = Nsd(s, zones(keys))
        r = Receiver(s)
        m = Stoker(s, conf, mta=dns.mta).start()
        long = "x" * 900 + "\r\n "
        c = Smtp("127.0.0.1", m.port)
        for domain in "must.example", "may.example":
            c.send("x@y.example", ["u@test.example"], mail(domain, long * 80 + "end"))
            c.send("x@y.example", ["u@test.example"], mail(domain, "good"))
        wait_for("three messages", lambda: len(r.messages) == 3)
        wait_for("the deferral", lambda: any("not signed for must.example" in x.get("last_reply", "") for x in m.rows("messages")))
        row = m.rows("messages")[0]
        expect("Subject has 7" in row["last_reply"] and row["state"] != "gone", f"{row}")
        expect(not any(b"From: a@must.example" in x[4] and not signatures(x[4]) for x in r.messages), "unsigned mail of must.example")
        # The good message of may.example may have ended the alarm already: a bad one raises it.
        c.send("x@y.example", ["u@test.example"], mail("may.example", long * 80 + "end"))
        wait_for("the alarm", lambda: any(a["code"] == "unsigned-mail" and a["target"] == "may.example" for a in m.status()["alarms"]))
        c.send("x@y.example", ["u@test.example"], mail("may.example", "good again"))
        wait_for("its end", lambda: not any(a["code"] == "unsigned-mail" for a in m.status()["alarms"]))
        # A key that others can read: neither check nor reload takes it, and the running one signs on.
        os.chmod(key, 0o644)
        rc, out, err = m.cli("reload")
        out += err
        expect(rc != 0 and "can be read or written by others (mode 0644)" in out and "stoker.ini:" in out, f"reload: {rc} {out}")
        rc, out, err = m.cli("check", "-c", m.conf_path)
        out += err
        expect(rc == 2 and "can be read or written by others" in out, f"check: {rc} {out}")
        return "deferred with its reason; unsigned with an alarm that ends; an open key refused"


@test()
def published_records_are_compared_with_the_keys(full):
    with Scene() as s:
        keys = Keys(s)
        names = {"good": None, "wrong": "another key", "revoked": "revoked", "missing": "does not exist", "kind": "k=ed25519"}
        key = keys.make("k1", "test.example")
        conf = SIGN + "".join(f"[dkim {n}.test.example]\nselector = k1\nkey-file = {key}\n" for n in names)
        record = {n: f"k1._domainkey.{n}.test.example." for n in names}
        right = {r: keys.records["k1._domainkey.test.example."] for r in record.values()}
        keys.records = {r: text for r, text in right.items() if r != record["missing"]}
        keys.make("k2", "other.example")
        keys.records[record["wrong"]] = keys.records.pop("k2._domainkey.other.example.")
        keys.records[record["revoked"]] = "v=DKIM1; p="
        keys.records[record["kind"]] = right[record["kind"]].replace("k=rsa", "k=ed25519")
        # An hour in a receiver's cache would be one here, too.
        dns = Nsd(s, {"test.example": "$TTL 0\n" + zone({"": "127.0.2.1"}) + keys.zone()}, broken=("servfail.example",))
        conf += f"[dkim servfail.example]\nselector = k1\nkey-file = {key}\n"
        m = Stoker(s, conf, mta=dns.mta).start()

        def alarms():
            return {a["target"]: a for a in m.status()["alarms"] if a["code"] == "dkim"}

        wait_for("five verdicts", lambda: m.status()["dkim"]["unknown"] == 1)
        wait_for("four alarms", lambda: len(alarms()) == 4)
        counts = m.status()["dkim"]
        expect(counts == {"keys": 6, "unknown": 1, "good": 1, "missing": 1, "revoked": 1, "other-key": 1, "unusable": 1}, f"{counts}")
        for n, words in names.items():
            a = alarms().get(record[n][:-1])
            expect((a is None) == (words is None) and (a is None or words in a["text"]), f"{n}: {a}")
        rc, out, err = m.cli("status")
        expect("6 keys: 1 unknown 1 good 1 missing" in out and "another key" in out, out)
        rc, out, err = m.cli("status", "--check")
        expect(rc == 1 and "DKIM record" in out, f"{rc} {out}")
        # Published as it should be, and looked at again by a reload.
        keys.records = {k: v for k, v in right.items() if k != record["missing"]}
        text = open(f"{dns.dir}/test.example.zone").read()
        at = text.index("$TTL 0")
        with open(f"{dns.dir}/test.example.zone", "w") as f:
            f.write(text[:at].replace(". 1 3600", ". 2 3600") + "$TTL 0\n" + zone({"": "127.0.2.1"}) + keys.zone())
        dns.process.send_signal(signal.SIGHUP)

        def looked_again():
            m.cli("reload")
            return len(alarms()) == 1
        wait_for("one alarm", looked_again)
        expect(record["missing"][:-1] in alarms(), f"{alarms()}")
        return "right, wrong, revoked, missing, of another kind, no answer; alarms that end"


@test()
def a_message_says_who_will_sign_it(full):
    with Scene() as s:
        keys = Keys(s)
        conf = SIGN + "[virtual-mta v2]\nsmtp-source-host = 127.0.1.2 m2.test.example\n[virtual-mta-pool p]\nmembers = v1, v2\n" \
            "[domain two.test.example]\ndkim-sign = no\n[domain three.test.example via v2]\ndkim-sign = no\n" \
            "[provider slow]\nmx = mx-far.test.example\ndkim-sign = no\n" \
            f"[dkim test.example]\nselector = k1\nkey-file = {keys.make('k1', 'test.example')}\n" \
            f"second-selector = k2\nsecond-key-file = {keys.make('k2', 'test.example', 'ed25519', publish=False)}\n"
        # Nobody listens there: the mail waits.
        dns = Nsd(s, {"test.example": zone({"": "127.0.2.9", "two": "127.0.2.9", "three": "127.0.2.9", "far": "127.0.2.9"}) + keys.zone()})
        m = Stoker(s, conf, mta=dns.mta + "\ndefault-virtual-mta = p").start()
        c = Smtp("127.0.0.1", m.port)
        cases = [("sub.test.example", ["u@test.example"], "will sign d=test.example s=k1 s=k2"),
                 ("test.example", ["u@test.example", "u@two.test.example"], "will sign d=test.example s=k1 s=k2 for 1 of 2 recipients"),
                 ("test.example", ["u@two.test.example"], "will not sign: dkim-sign = no where it goes"),
                 ("test.example", ["u@far.test.example"], "will not sign: dkim-sign = no where it goes"),
                 ("test.example", ["u@three.test.example"], "will sign d=test.example s=k1 s=k2, at some of the pool's virtual MTAs"),
                 ("other.example", ["u@test.example"], "will not sign: no [dkim] section is for other.example")]
        for i, (domain, to, _) in enumerate(cases):
            expect(c.send(f"x{i}@y.example", to, mail(domain)).startswith("250"), "refused")
        wait_for("the provider", lambda: any(q.get("provider") == "slow" for q in m.rows("queues")))
        wait_for("the records", lambda: m.status()["dkim"]["unknown"] == 0)
        ids = {r["sender"]: r["id"] for r in m.rows("messages", "all")}
        for i, (_, _, words) in enumerate(cases):
            j = m.json("message", ids[f"x{i}@y.example"])
            expect(j["dkim"] == words, f"{i}: {j}")
            expect(("dkim_keys" in j) == words.startswith("will sign"), f"{i}: {j}")
        j = m.json("message", ids["x0@y.example"])
        expect(j["dkim_keys"] == [{"selector": "k1", "algorithm": "rsa", "published": "good"},
                                  {"selector": "k2", "algorithm": "ed25519", "published": "missing"}], f"{j}")
        rc, out, err = m.cli("message", ids["x0@y.example"])
        expect("will sign d=test.example s=k1 s=k2\n" in out and "missing" in out, out)
        return "by domain, provider, virtual MTA and From"
