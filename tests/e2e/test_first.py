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


@test(flavours=("plain",))
def the_simulator_alone_receives_and_answers_dns(full):
    with Scene() as s:
        with open(s.path("sim.out"), "wb") as out:
            p = s.start([binary(), "sim"], stdout=out, stderr=out)

        def ports():
            with open(s.path("sim.out")) as f:
                return re.search(r"port (\d+), their DNS on 127.0.0.1 port (\d+)", f.read())
        smtp, dns = map(int, wait_for("its ports", ports).groups())
        greeting = Smtp("127.0.2.1", smtp)
        greeting.close()
        question = b"".join(bytes([len(x)]) + x for x in (b"gmail", b"com", b"")) + b"\0\x0f\0\x01"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as u:
            u.settimeout(5)
            u.sendto(b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0" + question, ("127.0.0.1", dns))
            answer = u.recv(4096)
        expect(answer[:2] == b"\x12\x34" and answer[7] > 0 and b"google" in answer, f"gmail.com MX: {answer}")
        expect(end_process(p) == 0 or p.returncode == -signal.SIGTERM, f"it ended with {p.returncode}")
        refused = subprocess.run([binary(), "-c", "x.ini", "sim"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=20)
        expect(refused.returncode == 2 and "-c FILE says nothing to it" in refused.stderr, str(refused))
        return f"receivers on port {smtp}, DNS on {dns}; -c is refused"
