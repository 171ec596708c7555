"""Webhooks to a real HTTP server: what arrives, signed and in order; a far end that refuses, is dead or comes back; kill -9; https."""
import hashlib
import hmac
import http.server
import socketserver
import ssl

from harness import *
from test_accounting import FAST, answer

SECRET = "0123456789abcdef0123456789abcdef"


class Hook:
    """A web server that keeps what it was sent and answers as `status` (a number, or a function of the request) says."""

    def __init__(self, scene, port=None, tls=None, status=200):
        self.scene, self.port, self.tls, self.status = scene, port or free_port(), tls, status
        self.lock = threading.Lock()
        self.requests = []  # (time, path, headers, events) of those that were answered with 200
        self.refused = []   # likewise, of the others
        self.now = self.most = 0
        self.server = None
        scene.enders.append(self.stop)

    def start(self):
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # head and body are two writes: each answer would wait 40 ms for the other's ACK

            def do_POST(self):
                hook.take(self)

            def log_message(self, *args):
                pass

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, request, address):
                pass

        self.server = Server(("127.0.0.1", self.port), Handler)
        if self.tls:
            self.server.socket = self.tls.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def take(self, h):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        body = h.rfile.read(int(h.headers["Content-Length"]))
        one = (time.monotonic(), h.path, dict(h.headers), json.loads(body), body)
        status, more = self.status(one) if callable(self.status) else self.status, {}
        if isinstance(status, tuple):
            status, more = status
        with self.lock:
            self.now -= 1
            (self.requests if status == 200 else self.refused).append(one)
        h.send_response(status)
        for name, value in more.items():
            h.send_header(name, value)
        h.send_header("Content-Length", "2")
        h.end_headers()
        h.wfile.write(b"ok")

    def events(self, kind=None):
        with self.lock:
            return [e for r in self.requests for e in r[3] if kind in (None, e["type"])]


def section(port, name="h", more="", scheme="http", host="127.0.0.1"):
    return f"[webhook {name}]\nurl = {scheme}://{host}:{port}/in?x=1\nsecret = @secret\n{more}\n"


def world(s, sections, env=None):
    dns = Nsd(s, {"test.example": zone({"": "127.0.2.1"})})
    m = Stoker(s, "[virtual-mta v1]\nsmtp-source-host = 127.0.1.1 m1.test.example\n" + sections, mta=dns.mta, defaults=FAST, env=env)
    s.write("stoker/secret", SECRET + "\n")
    os.chmod(s.path("stoker/secret"), 0o600)
    m.receiver = Receiver(s, script=answer)
    m.start()
    return m


def feed(m, rcpts):
    c = Smtp("127.0.0.1", m.port)
    for r in rcpts:
        expect(c.send("", [r], b"Subject: x\r\n\r\ny\r\n").startswith("250"), "refused")
    c.close()


def alarm(m):
    return next((a["text"] for a in m.status()["alarms"] if a["code"] == "webhook" and not a.get("ended")), None)


def verify(request):
    _, path, headers, events, body = request
    expect(path == "/in?x=1" and headers["Content-Type"] == "application/json", f"{path} {headers}")
    stamp = headers["X-Stoker-Timestamp"]
    mac = hmac.new(SECRET.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    expect(headers["X-Stoker-Signature"] == "sha256=" + mac, f"the signature does not verify: {headers}")
    expect(abs(int(stamp) - time.time()) < 300, f"made at {stamp}")
    expect(headers["X-Stoker-Batch"] == f"{events[0]['id']}-{events[-1]['id']}", str(headers))


def in_order(events):
    ids = [e["id"] for e in events]
    expect(ids == sorted(set(ids)), f"out of order, or twice: {ids}")


@test()
def events_arrive_signed_in_order_and_reloads_are_followed(full):
    n = 200 if full else 40
    with Scene() as s:
        hook, second = Hook(s).start(), Hook(s).start()
        m = world(s, section(hook.port, more="events = bounced delivered\nbatch = 7\nmax-delay = 50ms"))
        feed(m, [f"{'bounce' if i % 2 else 'ok'}{i}@test.example" for i in range(n)])
        wait_for("all events", lambda: len(hook.events()) == n)
        for r in hook.requests:
            verify(r)
        in_order(hook.events())
        logged = {e["id"]: e for e in m.events()}
        for e in hook.events():
            expect(e == logged[e["id"]], f"the log has {logged[e['id']]}, the webhook {e}")
        expect(hook.most == 1, f"{hook.most} requests at once")
        expect(max(len(r[3]) for r in hook.requests) <= 7, "a batch was too large")
        one = next(e for e in hook.events("bounced"))
        expect(one["category"] == "bad-mailbox" and one["hard"] is True, str(one))
        # a second one begins now, with three at a time but for the first; the first now wants bounces alone
        m.write_conf(m.conf.replace("bounced delivered", "bounced") + section(second.port, "two", "events = bounced\nbatch = 3\nmax-delay = 1h"))
        m.do("reload")
        feed(m, ["ok@test.example", "bouncea@test.example"])
        wait_for("both have it", lambda: len(hook.events()) == n + 1 and len(second.events()) == 1)
        feed(m, ["bounceb@test.example"])
        wait_for("the first has it", lambda: len(hook.events()) == n + 2)
        m.wait_drained()
        m.write_conf(m.conf.replace(section(hook.port, more="events = bounced\nbatch = 7\nmax-delay = 50ms"), ""))
        m.do("reload")
        m.wait_drained()
        feed(m, ["bouncec@test.example", "bounced@test.example"])
        wait_for("the second has them", lambda: len(second.events()) == 4)
        expect([sorted(e["recipient"][6] for e in r[3]) for r in second.requests] == [["a"], ["b", "c", "d"]], str(second.events()))
        expect(len(hook.events()) == n + 2, "a webhook that is no longer configured was called")
        return f"{n} events in {len(hook.requests)} requests, every signature verifies; one added, changed, taken away by reloads"


@test()
def a_far_end_that_fails_or_is_dead_holds_no_mail(full):
    with Scene() as s:
        hook = Hook(s)  # not started: nobody listens
        m = world(s, section(hook.port, more="max-delay = 20ms"))
        feed(m, ["ok@test.example", "bounce0@test.example"])
        wait_for("an alarm", lambda: "Connection refused" in (alarm(m) or ""))
        feed(m, [f"{'bounce' if i % 2 else 'ok'}{i}@test.example" for i in range(40)])
        m.wait_drained()
        expect(len(m.receiver.messages) == 21 and m.status()["bounced"] == 21, "mail was held")
        answers = iter([(503, {"Retry-After": "1"}), 500, (302, {"Location": f"http://127.0.0.1:{hook.port}/elsewhere"})])
        hook.status = lambda r: next(answers, 200)
        hook.start()
        m.do("reload")  # the wait is over
        wait_for("the redirect is not followed", lambda: "302" in (alarm(m) or ""))
        m.do("reload")
        wait_for("all events", lambda: len(hook.events("bounced")) == 21)
        in_order(hook.events())
        expect({e["recipient"] for e in hook.events()} == {f"bounce{i}@test.example" for i in [0, *range(1, 40, 2)]}, "others")
        expect(len({tuple(e["id"] for e in r[3]) for r in hook.refused + hook.requests[:1]}) == 1, "another batch was sent again")
        expect(all(r[1] == "/in?x=1" for r in hook.requests), "a redirect was followed")
        for r in hook.refused + hook.requests:
            verify(r)
        wait_for("the alarm ends", lambda: alarm(m) is None)
        return "dead, 503, 500 and 302: 21 events, each once and in order; mail was not held"


def dead_dns(s):
    """The machine's name servers are there, and say nothing. Only in a network of our own."""
    with open("/etc/resolv.conf") as f:
        servers = [w[1] for w in map(str.split, f) if len(w) > 1 and w[0] == "nameserver"] or ["127.0.0.1"]
    for a in servers:
        v6 = ":" in a
        if not a.startswith("127."):
            subprocess.run(["ip", "addr", "add", a + ("/128" if v6 else "/32"), "dev", "lo"], check=True)
            s.enders.append(lambda a=a, v6=v6: subprocess.run(["ip", "addr", "del", a + ("/128" if v6 else "/32"), "dev", "lo"], check=True))
        k = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
        k.bind((a, 53))
        s.enders.append(k.close)
        yield k


@test()
def far_ends_that_hang_hold_no_mail_no_other_webhook_and_no_stop(full):
    with Scene() as s:
        asked = list(dead_dns(s)) if os.environ.get("STOKER_TEST_NETNS") else []
        silent, holds, good = socket.create_server(("127.0.0.1", free_port())), Hook(s), Hook(s).start()

        def hold(request):
            time.sleep(600)

        holds.status = hold
        holds.start()
        ports = {"silent": silent.getsockname()[1], "holds": holds.port, "good": good.port}
        sections = "".join(section(port, name, "max-delay = 20ms") for name, port in ports.items())
        m = world(s, sections + section(80, "nameless", "max-delay = 20ms", host="hook.test.invalid"))
        feed(m, [f"{'bounce' if i % 2 else 'ok'}{i}@test.example" for i in range(40)])
        wait_for("the mail", lambda: len(m.receiver.messages) == 20 and m.status()["bounced"] == 20)
        wait_for("the one that works", lambda: len(good.events("bounced")) == 20)
        in_order(good.events())
        connection, _ = silent.accept()
        wait_for("the request that nobody answers", lambda: b"X-Stoker-Batch" in connection.recv(4096, socket.MSG_PEEK))
        wait_for("the one that holds its answer is asked", lambda: holds.now == 1)
        if asked:
            expect(b"hook" in asked[0].recv(512), "the name is not looked up")
        if full:
            wait_for("the dead DNS is told", lambda: "DNS does not answer" in str(m.status()["alarms"]), 20)
            wait_for("the silence is told", lambda: "is connected to, but does not answer" in str(m.status()["alarms"]), 40)
        began = time.monotonic()
        m.stop()
        took = time.monotonic() - began
        expect(took < 2 * SLOW, f"{took:.1f} s to stop")
        return f"one that is silent, one that holds its answer, one without DNS: 20 events to the fourth, 40 mails, stopped in {took:.2f} s"


@test()
def a_kill_repeats_at_most_a_second(full):
    n = 3000 if full else 300
    with Scene() as s:
        hook = Hook(s).start()
        m = world(s, section(hook.port, more="events = bounced delivered\nbatch = 5\nmax-delay = 20ms"))
        expect(not hook.requests, "events before any mail")
        hook.status = lambda r: time.sleep(0.02) or 200  # so that many wait at the kill
        feeder = threading.Thread(target=feed, args=(m, [f"{'bounce' if i % 2 else 'ok'}{i}@test.example" for i in range(n)]))
        feeder.start()
        feeder.join()
        wait_for("some events", lambda: len(hook.events()) > n // 4)
        m.kill9()
        died = time.monotonic()
        hook.status = 200
        before = {e["id"]: (r[0], e) for r in hook.requests for e in r[3]}
        m.start()
        m.wait_drained()
        st = m.status()
        wait_for("all events", lambda: len({e["id"] for e in hook.events()}) == st["delivered"] + st["bounced"])
        again = [(r[0], e) for r in hook.requests for e in r[3] if r[0] > died and e["id"] in before]
        for _, e in again:
            expect(e == before[e["id"]][1], f"event {e['id']} has two contents")
            expect(before[e["id"]][0] > died - 1.5 * SLOW, f"event {e['id']} came {died - before[e['id']][0]:.1f} s before the kill")
        late = [e["id"] for r in hook.requests for e in r[3] if r[0] > died]
        expect(late == sorted(set(late)), "out of order after the kill")
        in_order([e for r in hook.requests if r[0] <= died for e in r[3]])
        return f"{len(before)} events, kill -9, {len(again)} of them again with the same ids, {len(late)} in all after it"


@test()
def https_is_verified(full):
    """A certificate that nobody trusts, one for another name, and one that is right."""
    with Scene() as s:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", s.path("key.pem"),
                        "-out", s.path("cert.pem")], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(s.path("cert.pem"), s.path("key.pem"))
        hook = Hook(s, tls=tls).start()
        m = world(s, section(hook.port, scheme="https", host="localhost", more="max-delay = 20ms"))
        feed(m, ["bounce1@test.example"])
        wait_for("it is not trusted", lambda: "certificate" in (alarm(m) or ""))
        m.stop()
        m.env["SSL_CERT_FILE"] = s.path("cert.pem")
        m.write_conf(m.conf.replace("localhost", "127.0.0.1"))
        m.start()
        wait_for("it is of another name", lambda: "127.0.0.1" in (alarm(m) or "") and "match" in alarm(m))
        expect(not hook.requests and not hook.refused, "something was sent")
        m.write_conf(m.conf.replace("https://127.0.0.1", "https://localhost"))
        m.do("reload")
        wait_for("it arrives", lambda: [e["recipient"] for e in hook.events("bounced")] == ["bounce1@test.example"])
        verify(hook.requests[0])
        return "refused untrusted and under another name; trusted, the event that waited came over a restart"
