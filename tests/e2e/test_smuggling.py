"""Nothing but CRLF.CRLF ends DATA, over the wire and against the real server."""
from harness import *

VARIANTS = {
    "LF.LF": b"\n.\n", "CRLF.LF": b"\r\n.\n", "LF.CRLF": b"\n.\r\n", "CR.CR": b"\r.\r", "CRLF.CR": b"\r\n.\r",
    "CR.CRLF": b"\r.\r\n", "LF.CR": b"\n.\r", "CRLF.NUL.CRLF": b"\r\n.\0\r\n", "CRLF NUL.CRLF": b"\r\n\0.\r\n", "LF.LF in head": b"\n.\n",
}


@test()
def no_other_line_end_ends_data(full):
    with Scene() as s:
        dns = Nsd(s, {"test.example": zone({"": "127.0.2.1"})})
        r = Receiver(s)
        m = Stoker(s, "[virtual-mta v1]\nsmtp-source-host = 127.0.1.1 m1.test.example\n", mta=dns.mta).start()
        tried = 0
        for name, bad in VARIANTS.items():
            for cut in (None, 1, 2, 3):
                c = Smtp("127.0.0.1", m.port)
                c.cmd("MAIL FROM:<a@source.example>")
                c.cmd("RCPT TO:<victim@test.example>")
                c.cmd("DATA")
                body = b"Subject: x\r\n\r\nbefore" + bad + b"MAIL FROM:<evil@source.example>\r\nRCPT TO:<evil@test.example>\r\nDATA\r\nevil\r\n.\r\n"
                if cut is None:
                    c.s.sendall(body)
                else:
                    for i in range(0, len(body), cut):
                        c.s.sendall(body[i:i + cut])
                reply = ""
                try:
                    reply = c.reply()
                    expect(reply.startswith("5"), f"{name} was answered {reply}")
                    c.reply()
                    raise Failure(f"{name}: the connection stayed open")
                except (ConnectionError, OSError):
                    pass
                tried += 1
        good = Smtp("127.0.0.1", m.port)
        expect(good.send("a@source.example", ["good@test.example"], b"Subject: ok\r\n\r\nfine\r\n").startswith("250"), "refused")
        m.wait_drained()
        expect(len(r.messages) == 1 and b"fine" in r.messages[0][4], f"{len(r.messages)} messages got through")
        expect(m.status()["accepted"] == 1, "something of them was accepted")
        return f"{tried} tries of {len(VARIANTS)} variants: refused, closed, nothing kept"


@test()
def hostile_replies_appear_escaped(full):
    evil = "550 5.1.1 \x1b[31mred\x07 \u202eevil\u200b \x9b31m \xc2\x9d".encode("utf-8", "replace").decode("utf-8")
    with Scene() as s:
        dns = Nsd(s, {"test.example": zone({"": "127.0.2.1"})})
        r = Receiver(s, script=lambda se, v, a: evil if v == "RCPT" else None)
        m = Stoker(s, "[virtual-mta v1]\nsmtp-source-host = 127.0.1.1 m1.test.example\n[domain *]\nsend-dsn = no\n", mta=dns.mta).start()
        c = Smtp("127.0.0.1", m.port)
        c.send("a@source.example", ["victim@test.example"], b"Subject: x\r\n\r\ny\r\n")
        m.wait_drained()
        raw = b""
        wait_for("the log line", lambda: os.path.getsize(m.dir + "/delivery.log") > 50 and b" B " in open(m.dir + "/delivery.log", "rb").read())
        with open(m.dir + "/delivery.log", "rb") as f:
            raw += f.read()
        for args in (("queues",), ("sites",), ("lanes",), ("log",), ("queue", "test.example"), ("log", "--json")):
            rc, out, err = m.cli(*args)
            raw += (out + err).encode()
        for bad in (b"\x1b", b"\x07", "\u202e".encode(), "\u200b".encode(), b"\xc2\x9b", b"\xc2\x9d"):
            if bad in raw:
                at = raw.index(bad)
                raise Failure(f"{bad!r} got through: {raw[max(0, at - 60):at + 20]!r}")
        expect(rb"\x1b" in raw or b"\\u001b" in raw, "the escape is not shown at all")
        return "ESC, BEL, C1, bidi and zero-width of a peer are visible escapes in log and CLI"
