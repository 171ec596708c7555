"""HTTP for a browser, scripts and Prometheus: what it gives, and above all what it refuses."""
import http.client

from harness import *

from prometheus_client.parser import text_string_to_metric_families

TOKEN = "0123456789abcdef0123456789abcdef"
ACCESS = "http-access = 127.0.0.1 admin, 127.0.0.2 operate, 127.0.0.3 read, 127.0.0.0/8 none\n"
LIMIT = 16 * 1024


class Web:
    """Stoker with the port open, and a client at any loopback address."""

    def __init__(self, s, conf="", access=ACCESS, mta=""):
        self.port = free_port()
        self.m = Stoker(s, "[virtual-mta v1]\nsmtp-source-host = 127.0.1.1 m1.test.example\n" + conf,
                        mta=f"http-mgmt-port = {self.port}\nhttp-token = @token\n{access}{mta}")
        self.token_file = s.write("stoker/token", TOKEN + "\n")
        os.chmod(self.token_file, 0o600)
        self.m.start()

    def ask(self, method, path, body=None, headers=None, source="127.0.0.3", host=None):
        """(status, headers, body) of one request on a connection of its own."""
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20 * SLOW, source_address=(source, 0))
        c.putrequest(method, path, skip_host=True)
        c.putheader("Host", host or f"127.0.0.1:{self.port}")
        for k, v in (headers or {}).items():
            c.putheader(k, v)
        if body is not None:
            c.putheader("Content-Length", str(len(body)))
        c.endheaders()
        if body:
            c.send(body)
        r = c.getresponse()
        text = r.read().decode()
        c.close()
        return r.status, r.headers, text

    def get(self, path, **kw):
        status, _, text = self.ask("GET", path, **kw)
        expect(status == 200, f"GET {path}: {status} {text}")
        return text

    def json(self, path, **kw):
        return json.loads(self.get(path, **kw))

    def command(self, words, source="127.0.0.1", token=TOKEN, **more):
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = "Bearer " + token
        status, _, text = self.ask("POST", "/command", json.dumps({"command": words, **more}).encode(), headers, source)
        return status, json.loads(text)


def some_mail(w):
    """Three queues with a recipient each, held back."""
    w.m.do("pause", "all")
    c = Smtp("127.0.0.1", w.m.port)
    for d in "abc":
        reply = c.send("x@source.example", [f"u@{d}.test.example"], b"Subject: x\r\n\r\ny\r\n")
        expect(reply.startswith("250"), reply)
    c.close()
    wait_for("three queues", lambda: w.json("/queues")["total"] == 3)


@test()
def lists_are_those_of_the_command_line(full):
    with Scene() as s:
        w = Web(s)
        some_mail(w)
        for name in ("queues", "sites", "lanes", "sources", "jobs", "messages", "overrides", "alarms"):
            def same():  # an alarm may come between the two
                here, there = w.json("/" + name), w.m.json(name)
                return here["total"] == there["total"] and [set(r) for r in here["rows"]] == [set(r) for r in there["rows"]]
            wait_for(f"/{name} as the command line has it", same)
        expect(set(w.json("/status")) == set(w.m.json("status")), "status differs")
        one = w.json("/queues?filter=b.test.example&sort=-name&limit=1")
        expect([r["domain"] for r in one["rows"]] == ["b.test.example"], f"filter: {one}")
        page = w.json("/queues?sort=name&limit=1&offset=1")
        expect(page["total"] == 3 and page["rows"][0]["domain"] == "b.test.example", f"offset: {page}")
        expect(w.json("/queue?target=a.test.example")["domain"], "one queue in full")
        for path, status in (("/queues?limit=10001", 400), ("/queues?limit=x", 400), ("/queues?what=1", 400), ("/queues?filter=%2F(%2F", 400),
                             ("/queue?target=--help", 404), ("/queue?target=none.example", 404), ("/pause?target=all", 404), ("/none", 404)):
            got, _, text = w.ask("GET", path)
            expect(got == status and json.loads(text)["error"], f"{path}: {got} {text}")
        return "8 lists and status as from the command line"


@test()
def metrics_pass_a_prometheus_parser(full):
    with Scene() as s:
        dead = free_port()
        w = Web(s, f"[inbound back.test.example]\nverp = no\n[webhook h]\nurl = http://127.0.0.1:{dead}/\nevents = suppressed\nmax-delay = 20ms\n")
        some_mail(w)
        w.m.do("suppress", "add", "bob@there.example")
        c = Smtp("127.0.0.1", w.m.port)
        c.send("", ["x@back.test.example"], b"Subject: hello\r\n\r\nyou\r\n")
        c.close()
        def counted():
            st = w.m.status()
            return st["inbound"]["kept"] == 1 and st["webhooks"]["failed"] and st["queued"] == 3 and st["removed"] == 1
        wait_for("all is counted", counted)
        _, headers, text = w.ask("GET", "/metrics")
        expect(headers["Content-Type"].startswith("text/plain; version=0.0.4"), str(headers))
        found = {f.name: f for f in text_string_to_metric_families(text)}
        samples = {(x.name, tuple(x.labels.items())): x.value for f in found.values() for x in f.samples}
        for f in found.values():
            expect(f.documentation and f.type in ("counter", "gauge"), f"{f.name} has no help or type")
        st = w.m.status()
        for name in ("accepted", "delivered", "bounced"):
            expect(samples[f"stoker_{name}_recipients_total", ()] == st[name], f"{name}: {samples} {st}")
        expect(samples["stoker_queued_recipients", ()] == 3, "queued")
        for key in (("stoker_source_up", (("virtual_mta", "v1"),)), ("stoker_loop_passes_total", (("loop", "http"),)),
                    ("stoker_spool_free_bytes", ()), ("stoker_alarms", (("severity", "red"),)), ("stoker_sites", ())):
            expect(key in samples, f"{key} is not there:\n{text}")
        for name, least, most in (("inbound_messages_total", 1, 1), ("inbound_other_total", 1, 1), ("inbound_kept_total", 1, 1),
                                  ("inbound_waiting", 0, 0), ("suppression_entries", 1, 1), ("webhook_failed_requests_total", 1, 9),
                                  ("webhook_events_total", 0, 0), ("webhook_events_behind", 1, 99)):
            expect(least <= samples[f"stoker_{name}", ()] <= most, f"{name}: {samples[f'stoker_{name}', ()]}")
        return f"{len(found)} metrics, {len(samples)} samples"


@test()
def each_endpoint_refuses_what_it_must(full):
    with Scene() as s:
        w = Web(s)
        paths = ["/", "/status", "/queues", "/metrics", "/command"]
        refused = 0
        for path in paths:
            for host in ("evil.example", f"evil.example:{w.port}", "127.0.0.1.evil.example", "127.0.0.1@evil.example", "mta.test.example.evil", "localhost.evil", "[::1", ""):
                status, _, text = w.ask("POST" if path == "/command" else "GET", path, host=host or " ")
                expect(status in (400, 421), f"Host {host} got {path}: {status} {text}")
                refused += 1
            expect(w.ask("POST" if path == "/command" else "GET", path, source="127.0.0.9")[0] == 403, f"{path} for a stranger")
            expect(w.ask("GET" if path == "/command" else "POST", path)[0] == 405, f"{path} by another method")
            expect(w.ask("OPTIONS", path, headers={"Origin": "http://evil.example"})[0] == 405, f"OPTIONS {path}")
            refused += 3
        for host in ("127.0.0.1", "[::1]:80", "mta.test.example", f"MTA.test.example:{w.port}", "192.0.2.1:1"):
            expect(w.ask("GET", "/status", host=host)[0] == 200, f"Host {host} was refused")
        _, headers, _ = w.ask("GET", "/", headers={"Origin": "http://evil.example"})
        expect(not [h for h in headers if h.lower().startswith("access-control")], f"CORS: {headers}")
        expect(headers["X-Content-Type-Options"] == "nosniff" and "default-src 'none'" in headers["Content-Security-Policy"]
               and "unsafe" not in headers["Content-Security-Policy"], str(headers))
        return f"{refused} refused"


@test()
def commands_need_token_role_and_yes(full):
    with Scene() as s:
        w = Web(s)
        some_mail(w)
        js = {"Content-Type": "application/json", "Authorization": "Bearer " + TOKEN}
        good = b'{"command": "pause a.test.example"}'

        def post(body, headers, source="127.0.0.1"):
            return w.ask("POST", "/command", body, headers, source)[0]
        before = len(w.m.rows("overrides"))
        for token in (None, "x", TOKEN[:-1], TOKEN + "0", TOKEN.upper()):
            expect(w.command("pause a.test.example", token=token)[0] == 401, f"token {token}")
        expect(post(good, {**js, "Authorization": "Basic " + TOKEN}) == 401, "another scheme")
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""):
            expect(post(good, {**js, "Content-Type": kind}) == 415, f"type {kind}")
        for body in (b"", b"[]", b"{}", b'{"command": 1}', b'{"command": "status", "command": "status"}', b'{"command": "x', b'{"command":"status","no":1}',
                     b'{"command": "pause a.test.example", "yes": 1}', b'{"command": "pause \\u0000"}', b'{"command": "pause \\""}', b'{"command": ""}'):
            expect(post(body, js) == 400, f"body {body}: {post(body, js)}")
        expect(w.command("pause a.test.example", source="127.0.0.3")[0] == 403, "a reader acted")
        expect(w.command("drain", source="127.0.0.2")[0] == 403, "an operator drained")
        for words in ("bounce a.test.example", "bounce a.test.example --yes", "delete a.test.example", "shutdown --yes"):
            expect(w.command(words)[0] == 403, f"{words} without yes")
            expect(w.command(words, source="127.0.0.2", yes=True)[0] == 403, f"{words} by an operator")
        expect(w.command("log -f")[0] == 400 and w.command("attach")[0] == 400 and w.command("psuse all")[0] == 400, "odd commands")
        expect(len(w.m.rows("overrides")) == before and w.m.status()["queued"] == 3, "something was done")
        status, answer = w.command('pause a.test.example for 1h because "by a script"', source="127.0.0.2")
        expect(status == 200 and answer["exit"] == 0 and "a.test.example" in answer["text"], f"{status} {answer}")
        made = [r for r in w.m.rows("overrides") if r["target"] == "a.test.example"]
        expect(made[0]["who"] == "http:127.0.0.2" and made[0]["reason"] == "by a script", str(made))
        status, answer = w.command("delete b.test.example", yes=True)
        expect(status == 200, f"{status} {answer}")
        wait_for("two recipients to be left", lambda: w.m.status()["queued"] == 2)
        status, answer = w.command("pause none.example")
        expect(status == 409 and "none.example" in answer["error"], f"{status} {answer}")

        def audited():
            with open(w.m.dir + "/audit.log") as f:
                return "http:127.0.0.2" in (text := f.read()) and "http:127.0.0.1" in text
        wait_for("the acts in the audit log", audited)
        return "refused without token, type, role or yes; done with them, audited"


def raw(w, data, wait=20):
    """What comes back for those bytes until the other side closes, and how long that took."""
    with socket.create_connection(("127.0.0.1", w.port), wait * SLOW, source_address=("127.0.0.3", 0)) as c:
        started = time.monotonic()
        out = b""
        try:
            c.sendall(data)
            while piece := c.recv(65536):
                out += piece
        except ConnectionError:
            pass
        return out, time.monotonic() - started


@test()
def large_slow_and_many_clients_are_bounded(full):
    with Scene() as s:
        w = Web(s)
        host = b"Host: 127.0.0.1\r\n"
        head = b"POST /command HTTP/1.1\r\n" + host + b"Connection: close\r\nContent-Type: application/json\r\nAuthorization: Bearer " + TOKEN.encode()
        out, _ = raw(w, head + b"\r\nContent-Length: 16385\r\n\r\n")
        expect(b" 413 " in out, f"announced: {out[:200]}")
        out, _ = raw(w, head + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1000\r\n" + b" " * 4096 + b"\r\n" + (b"1000\r\n" + b" " * 4096 + b"\r\n") * 4 + b"0\r\n\r\n")
        expect(b" 413 " in out, f"in chunks: {out[:200]}")
        out, _ = raw(w, b"GET /status HTTP/1.1\r\n" + host + b"X: " + b"x" * LIMIT + b"\r\nConnection: close\r\n\r\n")
        expect(b" 431 " in out or b" 413 " in out, f"head: {out[:200]}")
        out, _ = raw(w, b"GET /" + b"x" * 40000 + b" HTTP/1.1\r\n" + host + b"\r\n")
        expect(b" 200 " not in out, f"path: {out[:200]}")
        out, _ = raw(w, b"GET /status HTTP/1.1\r\nConnection: close\r\n\r\n")
        expect(b" 400 " in out or b" 421 " in out, f"no Host: {out[:200]}")
        out, _ = raw(w, b"GET /status HTTP/1.1\r\n" + host + b"Host: evil.example\r\nConnection: close\r\n\r\n")
        expect(b" 400 " in out or b" 421 " in out, f"two Hosts: {out[:200]}")
        slow = [socket.create_connection(("127.0.0.1", w.port), 30 * SLOW, source_address=("127.0.0.3", 0)) for _ in range(3)]
        crowd = [socket.create_connection(("127.0.0.1", w.port), 30 * SLOW, source_address=("127.0.0.3", 0)) for _ in range(60)]
        expect(w.m.do("status"), "the control socket")
        for c in crowd:
            c.close()
        started = time.monotonic()
        wait_for("room for one more", lambda: w.ask("GET", "/status")[0] == 200)
        if not full:
            return "16 KB, 50 connections"
        text = b"GET /status HTTP/1.1\r\n" + host + b"X: " + b"x" * 100
        for i, c in enumerate(text):
            threading.Event().wait(0.5)
            try:
                slow[0].send(bytes([c]))
            except OSError:
                break
        took = time.monotonic() - started
        expect(8 < took < 13, f"a slow client was kept for {took:.1f} s")
        return f"16 KB, 50 connections, a byte every half second ends after {took:.1f} s"


@test()
def a_reload_opens_moves_and_closes_it(full):
    with Scene() as s:
        w = Web(s)
        old, new = w.port, free_port()
        head = w.m.head
        w.m.head = head.replace(f"http-mgmt-port = {old}", f"http-mgmt-port = {new}")
        w.m.write_conf(w.m.conf)
        status, answer = w.command("reload")
        expect(status == 200 and "in force" in answer["text"], f"moved by a command that came through it: {status} {answer}")
        wait_for("the old port to be closed", lambda: not connects("127.0.0.1", old))
        w.port = new
        expect(w.ask("GET", "/status")[0] == 200, "the new port")
        number = w.json("/status")["config"]["number"]
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port2 = free_port()
            w.m.head = head.replace(f"http-mgmt-port = {old}", f"http-mgmt-port = {taken.getsockname()[1]}")
            w.m.write_conf(w.m.conf + f"\n[listener 127.0.0.1:{port2}]\nsource = test\n")
            rc, out, err = w.m.cli("reload")
            expect(rc == 1 and "can't listen on 127.0.0.1:" in out + err and "nothing was changed" in out + err, f"{rc} {out} {err}")
            expect(not connects("127.0.0.1", port2) and w.json("/status")["config"]["number"] == number, "half of it was applied")
            same = head.replace(f"http-mgmt-port = {old}", f"http-mgmt-port = {new}\nhttp-mgmt-address = 0.0.0.0")
            with socket.create_server(("127.0.9.9", new)):
                w.m.head = same
                w.m.write_conf(w.m.conf)
                rc, out, err = w.m.cli("reload")
                expect(rc == 1 and f"can't listen on 0.0.0.0:{new}" in out + err, f"half in use: {rc} {out} {err}")
                expect(w.json("/status")["config"]["number"] == number, "the old address listens no more")
        w.m.do("reload")
        expect(connects("127.0.9.9", new) and w.ask("GET", "/status")[0] == 200, "the wider address of the same port")
        w.m.head = same.replace("0.0.0.0", "127.0.0.1")
        w.m.write_conf(w.m.conf)
        w.m.do("reload")
        expect(not connects("127.0.9.9", new) and w.ask("GET", "/status")[0] == 200, "back to the narrow one")
        os.chmod(w.token_file, 0o644)
        rc, out, err = w.m.cli("reload")
        expect(rc != 0 and "token" in out + err and "chmod" in out + err, f"a token that all can read: {rc} {out} {err}")
        w.m.head = head.replace(f"http-mgmt-port = {old}\nhttp-token = @token", "")
        w.m.write_conf(w.m.conf.split("\n[listener")[0])
        w.m.do("reload")
        wait_for("the port to be closed", lambda: not connects("127.0.0.1", new))
        return "moved, kept when the new port is in use, closed"


CHROMIUM = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync"]


def look(s, url, size, *more):
    """The page's elements after some seconds of its own life in a window of that size."""
    p = subprocess.run([*CHROMIUM, f"--user-data-dir={s.path('chromium')}", f"--window-size={size}", "--virtual-time-budget=2500", *more, url],
                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60)
    return p.stdout.decode("utf-8", "replace")


def seen(dom):
    """(accepted, receivers shown)"""
    expect('data-seen="sites"' in dom and re.search(r'id="lost"[^>]* hidden', dom), f"the page has no data: {dom[-600:]}")
    accepted = re.search(r"of ([\d,]+) accepted", dom)
    return int(accepted.group(1).replace(",", "")), dom.count('class="main"')


@test(flavours=("plain",))
def the_page_moves_in_chromium(full):
    with Scene() as s:
        with open(s.path("demo.out"), "wb") as out:
            s.start([binary(), "demo"], stdout=out, stderr=out, env=dict(os.environ, TMPDIR=s.dir))

        def said():
            with open(s.path("demo.out")) as f:
                return re.search(r"in a browser: +(http://\S+)", f.read())
        url = wait_for("the demo to say where its page is", said).group(1)
        found = [seen(look(s, url, size, "--dump-dom")) for size in ("390,844", "1440,900")]
        expect(found[1][0] > found[0][0] > 0, f"accepted does not grow: {found}")
        expect(min(n for _, n in found) > 5, f"receivers: {found}")
        return f"accepted {found[0][0]}, then {found[1][0]}; {found[1][1]} receivers shown"
