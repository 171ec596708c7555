"""Mail goes in, is safe on disk, goes out."""
from harness import *


@test()
def one_message_arrives(full):
    with Scene() as s:
        dns = Nsd(s, {"test.example": zone({"": "127.0.2.1"})})
        r = Receiver(s)
        m = Stoker(s, "[virtual-mta v1]\nsmtp-source-host = 127.0.1.1 m1.test.example\n", mta=dns.mta).start()
        c = Smtp("127.0.0.1", m.port)
        reply = c.send("a@source.example", ["b@test.example"], b"Subject: hi\r\n\r\n.dot\r\nhello\r\n")
        expect(reply.startswith("250"), reply)
        wait_for("the message", lambda: r.messages)
        _, ip, sender, rcpts, body = r.messages[0]
        expect(ip == "127.0.1.1", f"came from {ip}")
        expect(body.endswith(b"Subject: hi\r\n\r\n.dot\r\nhello\r\n"), repr(body))
        m.wait_drained()
        st = m.status()
        expect(st["accepted"] == 1 and st["delivered"] == 1, str(st))
        return "sent from 127.0.1.1, received byte for byte"
