"""TLS and AUTH both ways with real peers (OpenSSL s_server, Postfix, swaks, Python's ssl): offered, required, verified, injected into."""
import base64
import datetime
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from harness import *
import test_why

ONE = "[virtual-mta v1]\nsmtp-source-host = 127.0.1.1 m1.test.example\n"
QUICK = DEFAULTS.replace("min-backoff = 1s", "min-backoff = 10m")


def expect_why(m, code, name="test.example", fields=(), site=False):
    """On the console only where one site is held: the words below the list are the cursor's row's."""
    return test_why.expect_why(m, code, name, fields=fields, site=site)


class Authority:
    """A certificate authority of the scene, with server certificates: good, expired, of another name, and one that signs itself."""

    def __init__(self, scene):
        self.dir = scene.path("ca")
        os.makedirs(self.dir)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.cert = self.sign("ca.test.example", self.key, None, ca=True)
        self.bundle = self.save("bundle", self.cert, None)[0]

    def sign(self, name, key, issuer, days=(-1, 30), ca=False):
        now = datetime.datetime.utcnow()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        b = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer.subject if issuer else subject)
             .public_key(key.public_key()).serial_number(x509.random_serial_number())
             .not_valid_before(now + datetime.timedelta(days[0])).not_valid_after(now + datetime.timedelta(days[1]))
             .add_extension(x509.BasicConstraints(ca=ca, path_length=None), True)
             .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False))
        return b.sign(self.key if issuer else key, hashes.SHA256())

    def save(self, name, cert, key):
        pem = os.path.join(self.dir, name + ".pem")
        with open(pem, "wb") as f:
            f.write(cert.public_bytes(serialization.Encoding.PEM))
        if key is None:
            return pem, None
        path = os.path.join(self.dir, name + ".key")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as f:
            f.write(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        return pem, path

    def server(self, kind, name="mx.test.example"):
        """Paths of certificate and key."""
        key = ec.generate_private_key(ec.SECP256R1())
        days = (-30, -1) if kind == "expired" else (-1, 30)
        cert = self.sign("other.example" if kind == "name" else name, key, None if kind == "self" else self.cert, days)
        return self.save(f"{kind}-{name}", cert, key)


def starttls(files, versions=(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3), broken=None):
    """A script for Receiver: it offers STARTTLS. broken: what is done instead of a handshake."""
    ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ctx.load_cert_chain(*files)
    ctx.minimum_version, ctx.maximum_version = versions

    def script(se, verb, arg):
        if verb == "EHLO" and not se.state.get("tls"):
            return "250-receiver.test.example\r\n250-PIPELINING\r\n250 STARTTLS"
        if verb == "STAR":
            if broken:
                return broken(se)
            se.send("220 go")
            se.f.detach()
            try:
                se.conn = ctx.wrap_socket(se.conn, server_side=True)
            except (ssl.SSLError, OSError):
                se.conn.close()
                raise OSError("no handshake")
            se.f = se.conn.makefile("rb")
            se.state["tls"] = se.conn.version() + (" resumed" if se.conn.session_reused else "")
            with se.r.lock:
                se.r.tls = getattr(se.r, "tls", []) + [se.state["tls"]]
            return ""
        if verb == "MAIL":
            with se.r.lock:
                se.r.plain = getattr(se.r, "plain", []) + ([] if se.state.get("tls") else [arg])
        return None
    return script


def pump(a, b):
    def run():
        try:
            while True:
                data = a.recv(65536)
                if not data:
                    break
                b.sendall(data)
        except OSError:
            pass
        try:
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass
    threading.Thread(target=run, daemon=True).start()


def behind_s_server(scene, files):
    def script(se, verb, arg):
        if verb == "EHLO" and not se.state.get("tls"):
            return "250-receiver.test.example\r\n250 STARTTLS"
        if verb != "STAR":
            return None
        port = free_port()
        p = subprocess.Popen(["openssl", "s_server", "-quiet", "-naccept", "1", "-accept", f"127.0.0.1:{port}", "-cert", files[0],
                              "-key", files[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        scene.enders.append(lambda: end_process(p))
        inner = wait_for("s_server", lambda: connect_to(port))
        raw = se.conn
        se.send("220 go")
        se.f.detach()
        pump(raw, inner)
        pump(inner, raw)
        se.f, se.state["tls"] = p.stdout, True

        def send(text):
            p.stdin.write(text.encode() + b"\r\n")
            p.stdin.flush()
        se.send = send
        return ""
    return script


def connect_to(port):
    try:
        return socket.create_connection(("127.0.0.1", port), 5)
    except OSError:
        return None


def tls_mta(s, conf, mta_zones=None, bundle=None, **kw):
    dns = Nsd(s, mta_zones or {"test.example": zone({"": "127.0.2.1"})})
    return Stoker(s, ONE + conf, mta=dns.mta, env={"SSL_CERT_FILE": bundle} if bundle else None, **kw)


def hand_in(m, to="user@test.example", sender="a@source.example"):
    c = Smtp("127.0.0.1", m.port)
    reply = c.send(sender, [to], b"Subject: x\r\n\r\ny\r\n")
    c.close()
    expect(reply.startswith("250"), reply)


def listen(files, tls):
    return f"tls = {tls}\ntls-certificate = {files[0]}\ntls-key = {files[1]}\n"


@test()
def mail_comes_in_by_tls(full):
    """starttls, required and implicit: swaks and OpenSSL's client; Received tells; plain is refused where it must be."""
    found = []
    with Scene() as s:
        ca = Authority(s)
        r = Receiver(s)
        files = ca.server("good", "in.test.example")
        required, implicit = free_port(), free_port()
        m = tls_mta(s, f"[listener 127.0.0.1:{required}]\nsource = test\n" + listen(files, "required") +
                    f"[listener 127.0.0.1:{implicit}]\nsource = test\n" + listen(files, "implicit"))
        m.head = m.head.replace("source = test\n", "source = test\n" + listen(files, "starttls"), 1)
        m.write_conf(m.conf)
        m.start()
        mail = ["--from", "a@source.example", "--to", "user@test.example"]
        for port, how in ((m.port, ["-tls"]), (required, ["-tls"]), (implicit, ["-tlsc"]), (m.port, ["-tls", "--tls-protocol", "tlsv1_2"])):
            rc, out = swaks(port, *mail, *how, "--ehlo", "c.test.example")
            expect(rc == 0 and "TLS started with cipher" in out, out)
        m.wait_drained()
        heads = [m_[4].split(b"\r\n\r\n")[0].decode() for m_ in r.messages]
        expect(len(heads) == 4 and all("with ESMTPS (TLSv1." in h for h in heads), str(heads))
        expect(sum("TLSv1.2" in h for h in heads) == 1, str(heads))
        found.append("4 messages over TLS, Received says ESMTPS with version and cipher")
        c = Smtp("127.0.0.1", required)
        expect("STARTTLS" in c.ehlo, c.ehlo)
        expect(c.cmd("MAIL FROM:<a@source.example>").startswith("530 5.7.0"), "mail without TLS")
        expect(c.cmd("NOOP").startswith("250"), "NOOP")
        rc, out = swaks(implicit, *mail, timeout=90) if full else (1, "")
        expect(rc != 0, out)
        p = subprocess.run(["openssl", "s_client", "-starttls", "smtp", "-connect", f"127.0.0.1:{m.port}", "-CAfile", ca.bundle,
                            "-verify_return_error", "-verify_hostname", "in.test.example", "-quiet"], input=b"EHLO x\r\nQUIT\r\n",
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30 * SLOW)
        expect(b"221" in p.stdout and b"STARTTLS" not in p.stdout, p.stdout.decode())
        found.append("required refuses plain mail with 530; s_client verifies; STARTTLS is not offered twice")
        # a new certificate is taken by reload, a bad one refuses the reload and changes nothing
        key = ca.server("good", "new.test.example")
        shutil.copy(key[0], files[0])
        rc, out, err = m.cli("reload")
        expect(rc != 0 and "tls-key" in out + err and "stoker.ini:" in out + err, out + err)
        shutil.copy(key[1], files[1])
        m.do("reload")
        ctx = ssl.create_default_context(cafile=ca.bundle)
        with socket.create_connection(("127.0.0.1", implicit)) as c, ctx.wrap_socket(c, server_hostname="new.test.example") as t:
            expect(t.recv(200).startswith(b"220"), "greeting")
        os.chmod(files[1], 0o644)
        rc, out, err = m.cli("reload")
        expect(rc != 0 and "chmod o-rw" in out + err, out + err)
        found.append("reload swaps certificates, all or nothing; an open key is refused at its line")
    return "; ".join(found)


@test()
def nothing_glued_to_starttls_is_read(full):
    """Injection both ways: commands behind STARTTLS, replies behind its 220."""
    with Scene() as s:
        ca = Authority(s)
        files = ca.server("good")

        def inject(se):
            se.conn.sendall(b"220 go\r\n250-evil\r\n250 AUTH PLAIN\r\n")
            return ""
        r = Receiver(s, script=starttls(files, broken=inject))
        m = tls_mta(s, "[domain test.example]\nsmtp-starttls = required\n", bundle=ca.bundle)
        m.head = m.head.replace("source = test\n", "source = test\n" + listen(files, "starttls"), 1)
        m.write_conf(m.conf)
        m.start()
        for glued in (b"STARTTLS\r\nMAIL FROM:<evil@x.example>\r\n", b"STARTTLS\r\nN", b"EHLO x\r\nSTARTTLS\r\nRSET\r\nNOOP\r\n"):
            c = Smtp("127.0.0.1", m.port)
            c.s.sendall(glued)
            text = c.f.read()
            expect(b"\r\n220" not in b"\r\n" + text and b"554 5.5.2" in text and b"2.1.0" not in text, text)
        hand_in(m)
        wait_for("the client's refusal", lambda: r.times("STAR"))
        row = wait_for("the lane's rest", lambda: [x for x in m.rows("lanes") if x["why"]["code"] in ("connect", "tls")])
        expect("behind the reply" in row[0]["why"]["text"], str(row))
        expect(not r.messages and len(r.times("EHLO")) == 1, "it went on after injected bytes")
    return "3 ways of gluing are closed without a 220; bytes behind the reply end the connection, nothing was sent"


@test()
def certificates_under_each_setting(full):
    """good, expired, self-signed, wrong-name under opportunistic, required and verify, with Python's server; s_server for verify."""
    table = []
    with Scene() as s:
        ca = Authority(s)
        kinds = ("good", "expired", "self", "name")
        settings = ("opportunistic", "required", "verify")
        zones, conf, receivers = {}, "", {}
        for i, kind in enumerate(kinds):
            r = Receiver(s, ip=f"127.0.2.{10 + i}", script=starttls(ca.server(kind, f"mx-{kind}.test.example")))
            receivers[kind] = r
            for how in settings:
                zones[f"{kind}-{how}"] = kind
                conf += f"[domain {kind}-{how}.test.example]\nsmtp-starttls = {how}\n"
        text = "".join(f"{d} IN MX 10 mx-{k}\n" for d, k in zones.items())
        text += "".join(f"mx-{k} IN A 127.0.2.{10 + i}\n" for i, k in enumerate(kinds))
        # a lane each, so that what one rests for does not hold the others
        m = tls_mta(s, conf, {"test.example": text}, ca.bundle, defaults=QUICK)
        for how in settings:
            if not m.process:
                m.start()
            for kind in kinds:
                hand_in(m, f"u@{kind}-{how}.test.example")
            for kind in kinds:
                good = kind == "good" or how != "verify"
                if good:
                    wait_for(f"mail by {how} to {kind}", lambda: any(f"u@{kind}-{how}." in str(x[3]) for x in receivers[kind].messages))
                else:
                    w = expect_why(m, "tls", f"{kind}-{how}.test.example", fields=("until", "origin"))
                    words = {"expired": "expired", "self": "self", "name": "mismatch"}[kind]
                    expect(words in w["text"] and "stoker.ini:" in w["origin"], str(w))
                    lane = [x for x in m.rows("lanes") if x["site"] == f"mx-{kind}.test.example"]
                    expect(lane and lane[0]["state"] == "down", str(lane))
                table.append(f"{how}/{kind} {'sent' if good else 'held'}")
        for kind in kinds:
            expect(not getattr(receivers[kind], "plain", []), f"{kind} got plain mail")
        tls = [e for e in m.events() if e["type"] == "delivered"]
        expect(tls and all(e.get("tls", "").startswith("TLSv1.3 ") for e in tls), str(tls[:2]))
        deferred = [e for e in m.events() if e["type"] == "deferred"]
        expect(deferred and all(e["enhanced"] == "4.7.5" for e in deferred), str(deferred[:2]))
    return ", ".join(table)


@test()
def openssl_and_postfix_as_peers(full):
    """s_server (it speaks no SMTP: a script greets, says 220 and hands it the connection; what it decrypts the script answers) and
    Postfix."""
    found = []
    with Scene() as s:
        ca = Authority(s)
        text, receivers = "", {}
        for i, kind in enumerate(("good", "expired")):
            receivers[kind] = Receiver(s, ip=f"127.0.2.{10 + i}", script=behind_s_server(s, ca.server(kind, f"mx-{kind}.test.example")))
            text += f"{kind} IN MX 10 mx-{kind}\nmx-{kind} IN A 127.0.2.{10 + i}\n"
        m = tls_mta(s, "[domain *]\nsmtp-starttls = verify\n", {"test.example": text}, ca.bundle, defaults=QUICK.replace("[domain *]", "[domain *.test.example]"))
        m.start()
        for kind in receivers:
            hand_in(m, f"u@{kind}.test.example")
        wait_for("mail through s_server", lambda: receivers["good"].messages)
        w = expect_why(m, "tls", "expired.test.example")
        expect("expired" in w["text"] and not receivers["expired"].messages, str(w))
        found.append("s_server: a good certificate took the message, an expired one did not")
    with Scene() as s:
        ca = Authority(s)
        good = ca.server("good", "mx-postfix.test.example")
        tls = f"smtpd_tls_security_level = encrypt\nsmtpd_tls_cert_file = {{0}}\nsmtpd_tls_key_file = {{1}}\nsmtpd_tls_received_header = yes\n"
        p = Postfix(s, domains=("test.example",), main=tls.format(*good))
        m = tls_mta(s, "[domain *.test.example]\nsmtp-starttls = verify\n[domain test.example]\nsmtp-starttls = verify\ntls-min-version = 1.3\n",
                    {"test.example": "@ IN MX 10 mx-postfix\nmx-postfix IN A 127.0.2.1\nother IN MX 10 mx-other\nmx-other IN A 127.0.2.1\n"}, ca.bundle, defaults=QUICK)
        m.start()
        for i in range(3):
            hand_in(m)
        wait_for("Postfix to have them", lambda: p.count() == 3)
        heads = [x for x in p.messages()]
        expect(all(b"using TLSv1.3 with cipher" in x for x in heads), heads[0][:600].decode())
        found.append("3 messages into Postfix, verified, TLS 1.3")
        hand_in(m, "u@other.test.example")
        w = expect_why(m, "tls", "other.test.example")
        expect("mismatch" in w["text"] and p.count() == 3, str(w))
        found.append("by another MX name the same Postfix gets nothing: " + w["text"])
    return "; ".join(found)


@test()
def required_mail_never_goes_in_plain(full):
    """Three domains at an MX that has no TLS, refuses it or breaks it: opportunistic goes in plain, required and use-plaintext = no
    stay, and no connection is shared."""
    found = []

    def refuse(se):
        return "454 4.7.0 TLS not available"

    def breaks(se):
        se.conn.sendall(b"220 go\r\n")
        se.conn.recv(1000)
        se.conn.sendall(b"what is this?\r\n")
        se.close()
        return ""
    with Scene() as s:
        ca = Authority(s)
        files = ca.server("good")
        scripts = {"bare": None, "refused": starttls(files, broken=refuse), "broken": starttls(files, broken=breaks)}
        receivers, text, conf = {}, "", ""
        for i, (name, script) in enumerate(scripts.items()):
            receivers[name] = Receiver(s, ip=f"127.0.2.{10 + i}", script=script)
            text += f"mx.{name} IN A 127.0.2.{10 + i}\n"
            for d in ("may", "must", "no-plain"):  # of one lane
                text += f"{d}.{name} IN MX 10 mx.{name}\n"
            conf += f"[domain must.{name}.test.example]\nsmtp-starttls = required\n"
            conf += f"[domain no-plain.{name}.test.example]\nuse-plaintext = no\n"
        m = tls_mta(s, conf, {"test.example": text}, ca.bundle, defaults=QUICK)
        m.start()
        for name in scripts:
            for i in range(3):
                for d in ("must", "no-plain", "may"):
                    hand_in(m, f"u@{d}.{name}.test.example")
        for name, r in receivers.items():
            wait_for("the plain mail", lambda: len(r.messages) == 3)
            w = expect_why(m, "tls", f"must.{name}.test.example", fields=("until", "origin"))
            expect_why(m, "tls", f"no-plain.{name}.test.example")
            found.append(f"{name}: {w['text']}")
            tried = len(r.times("STAR"))
            hand_in(m, f"u@may.{name}.test.example")
            wait_for("one more", lambda: len(r.messages) == 4)
            expect(name != "broken" or len(r.times("STAR")) == tried, "broken TLS was tried again")
            expect(all("may." in str(x[3]) for x in r.messages), str([x[3] for x in r.messages]))
        expect(m.status()["queued"] == 18, "mail that needs TLS is gone")
        events = [e for e in m.events() if e["type"] == "deferred"]
        expect(events and all(e["enhanced"].startswith("4.7.") for e in events), str(events))
    return "; ".join(found)


@test()
def settings_of_the_client(full):
    """smtp-starttls = no uses none; tls-min-version is kept; sessions are resumed; required and plain mail share no connection."""
    found = []
    with Scene() as s:
        ca = Authority(s)
        old = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2)
        r = Receiver(s, script=starttls(ca.server("good"), old))
        zones = {"test.example": "".join(f"{d} IN MX 10 mx\n" for d in ("none", "any", "new", "must")) + "mx IN A 127.0.2.1\n"}
        m = tls_mta(s, "[domain none.test.example]\nsmtp-starttls = no\n[domain new.test.example]\nsmtp-starttls = required\n"
                    "tls-min-version = 1.3\n[domain must.test.example]\nsmtp-starttls = required\n[domain *]\nidle-timeout = 30s\n",
                    zones, ca.bundle, defaults=DEFAULTS.replace("[domain *]", "[domain *]\nmax-msg-per-connection = 1"))
        m.start()
        hand_in(m, "u@none.test.example")
        wait_for("the mail", lambda: len(r.messages) == 1)
        expect(r.plain == ["FROM:<a@source.example>"] and not r.times("STAR"), str(r.plain))
        for i, d in enumerate(("any", "must", "any", "must", "none")):
            hand_in(m, f"u@{d}.test.example")
            wait_for("the mail", lambda: len(r.messages) == 2 + i)
        expect(len(r.tls) == 4 and r.tls.count("TLSv1.2 resumed") == 2, str(r.tls))
        expect(len(r.plain) == 2, str(r.plain))
        found.append("resumed 2 of 4, one first handshake for each policy")
        hand_in(m, "u@new.test.example")
        w = expect_why(m, "tls", "new.test.example", ("until", "origin"), site=True)
        found.append("1.3 wanted of a 1.2 server: " + w["text"])
        found.append(f"settings: {[l for l in m.do('settings', 'new.test.example').splitlines() if 'tls-min' in l][0].strip()}")
    return "; ".join(found)


def password_line(m, password):
    out = m.do("passwd", user_input=password.encode() + b"\n")
    expect(out.startswith("password = $6$") and password not in out, out)
    return out


def plain(user, password):
    return base64.b64encode(f"\0{user}\0{password}".encode()).decode()


@test()
def logins_come_in(full):
    """swaks by AUTH PLAIN and LOGIN over TLS, right and wrong; AUTH without TLS; whose source holds; bans; nothing leaks into logs."""
    found = []
    with Scene() as s:
        ca = Authority(s)
        r = Receiver(s)
        files = ca.server("good", "in.test.example")
        subprocess.run(["ip", "addr", "add", "192.0.2.1/32", "dev", "lo"], check=False, stderr=subprocess.DEVNULL)
        port, clear = free_port(), free_port()
        m = tls_mta(s, "", listen=False)
        users = "".join(f"[smtp-user {u}]\n" + password_line(m, p) + more for u, p, more in (
            ("ann@example.com", "correct horse", "source = app\npriority = 80\n"), ("bob", "b\u00e4ttery", "")))
        m.write_conf(ONE + f"[listener 192.0.2.1:{port}]\nauthenticate = plain login\n" + listen(files, "starttls") +
                     f"[listener 192.0.2.1:{clear}]\nauthenticate = plain\nallow-unencrypted-auth = yes\nsource = strict\n"
                     "[source app]\nhide-source = yes\n[source strict]\nrequire-auth = yes\nalways-allow-relaying = yes\n" + users)
        m.start()
        rc, out, err = m.cli("check", "-c", m.conf_path)
        expect(rc == 0 and "allow-unencrypted-auth: passwords cross" in err and "nobody may relay" not in err, out + err)

        def try_swaks(*args):
            p = subprocess.run(["swaks", "--server", f"192.0.2.1:{port}", "-tls", "--from", "a@source.example", "--to", "user@test.example",
                                "--ehlo", "c.test.example", *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60 * SLOW)
            return p.returncode, p.stdout.decode("utf-8", "replace")
        for how in ("PLAIN", "LOGIN"):
            rc, out = try_swaks("--auth", how, "--auth-user", "ann@example.com", "--auth-password", "correct horse")
            expect(rc == 0 and "235 2.7.0" in out, out)
        rc, out = try_swaks("--auth", "PLAIN", "--auth-user", "bob", "--auth-password", "b\u00e4ttery")
        expect(rc == 0 and "235 2.7.0" in out, out)
        wait_for("the mail", lambda: len(r.messages) == 3)
        heads = [x[4].split(b"\r\n\r\n")[0].decode() for x in r.messages]
        expect(all("with ESMTPSA (TLSv1.3" in h for h in heads) and sum("192.0.2.1" in h for h in heads) == 1, str(heads))
        wait_for("their events", lambda: len([e for e in m.events() if e["type"] == "delivered"]) == 3)
        users_seen = sorted(e["user"] for e in m.events() if e["type"] == "delivered")
        expect(users_seen == ["ann@example.com", "ann@example.com", "bob"], str(users_seen))
        found.append("PLAIN and LOGIN by TLS: ESMTPSA, the user's own source holds, events name the user")
        started = time.monotonic()
        rc, out = try_swaks("--auth", "LOGIN", "--auth-user", "bob", "--auth-password", "wrong")
        expect(rc != 0 and "535 5.7.8" in out and time.monotonic() - started > 0.9, out)
        wait_for("the refusal's event", lambda: [e for e in m.events() if e["type"] == "rejected" and e["user"] == "bob"])
        with open(m.dir + "/error.log") as f:
            log = f.read()
        expect('login as "bob" failed: 535' in log and "wrong" not in log.replace("failed", ""), log)
        found.append("a wrong password: 535 after a second, an event and a line in the error log")
        c = Smtp("192.0.2.1", port)
        expect("AUTH" not in c.ehlo and "STARTTLS" in c.ehlo, c.ehlo)
        expect(c.cmd("AUTH PLAIN " + plain("bob", "b\u00e4ttery")).startswith("538"), "AUTH in the clear")
        expect(c.send("a@x.example", ["u@test.example"], b"x\r\n").startswith("5"), "relayed without a login")
        c = Smtp("192.0.2.1", clear)
        expect("AUTH PLAIN" in c.ehlo and "LOGIN" not in c.ehlo, c.ehlo)
        expect(c.cmd("MAIL FROM:<a@x.example>").startswith("530"), "require-auth")
        expect(c.cmd("AUTH LOGIN").startswith("504") and c.cmd("AUTH PLAIN !!!").startswith("501"), "mechanism, base64")
        expect(c.cmd("AUTH PLAIN").startswith("334") and c.cmd("*").startswith("501"), "cancel")
        expect(c.cmd("AUTH PLAIN") == "334 " and c.cmd(plain("bob", "b\u00e4ttery")).startswith("235"), "in two steps")
        expect(c.cmd("AUTH PLAIN " + plain("bob", "b\u00e4ttery")).startswith("503"), "twice")
        expect(c.cmd("MAIL FROM:<a@x.example>").startswith("250"), "MAIL after AUTH")
        found.append("not offered in the clear but where it is allowed; require-auth holds mail back")
        guesses = [Smtp("192.0.2.1", clear) for _ in range(10)]
        for i, g in enumerate(guesses):
            g.s.sendall(f"AUTH PLAIN {plain(f'guess{i}', 'x')}\r\n".encode())

        def banned():
            g = Smtp("192.0.2.1", clear)
            g.s.settimeout(0.7 * SLOW)
            try:
                return g.cmd("AUTH PLAIN " + plain("stranger", "x")).startswith("454")
            except OSError:
                return False
        wait_for("the ban", banned)
        c = Smtp("192.0.2.1", clear)
        expect(c.cmd("AUTH PLAIN " + plain("bob", "b\u00e4ttery")).startswith("235"), "a known user is locked out")
        found.append("ten guesses ban strangers of that address, not a user who is known from there")
        m.write_conf(m.conf.replace("[smtp-user bob]", "[smtp-user robert]"))
        m.do("reload")
        expect(c.cmd("MAIL FROM:<a@x.example>").startswith("421"), "a user that is gone goes on")
    return "; ".join(found)


@test()
def login_to_a_smarthost(full):
    """auth-user by PLAIN and LOGIN, only under TLS; a refused login defers with its words and bounces nothing; @path secrets."""
    found = []
    with Scene() as s:
        ca = Authority(s)
        tls = starttls(ca.server("good", "smart.test.example"))

        def smarthost(offer, good):
            def script(se, verb, arg):
                if verb == "EHLO" and se.state.get("tls"):
                    return f"250-smart.test.example\r\n250 AUTH {offer}"
                if verb == "AUTH" and arg.startswith("PLAIN "):
                    se.r.seen = base64.b64decode(arg[6:])
                    return "235 2.7.0 ok" if se.r.seen == good else "535 5.7.8 no such login here"
                if verb == "AUTH":
                    se.send("334 VXNlcm5hbWU6")
                    user = base64.b64decode(se.f.readline())
                    se.send("334 UGFzc3dvcmQ6")
                    se.r.seen = user + b" " + base64.b64decode(se.f.readline())
                    return "235 2.7.0 ok"
                return tls(se, verb, arg)
            return script
        a = Receiver(s, ip="127.0.2.10", script=smarthost("LOGIN PLAIN", b"\0me\0s3 cret"))
        b = Receiver(s, ip="127.0.2.11", script=smarthost("LOGIN", None))
        c = Receiver(s, ip="127.0.2.12", script=smarthost("PLAIN", b"other"))
        d = Receiver(s, ip="127.0.2.13")
        secret = s.write("secret", "s3 cret\n")
        conf = "".join(f"[domain {n}.test.example]\nroute = [{r.listener.getsockname()[0]}]:25\nauth-user = me\nauth-password = @{secret}\n"
                       for n, r in (("a", a), ("b", b), ("c", c), ("d", d)))
        m = tls_mta(s, conf, {"test.example": ""}, defaults=QUICK)
        os.chmod(secret, 0o644)
        rc, out, err = m.cli("check", "-c", m.conf_path)
        expect(rc == 2 and "auth-password" in err and "chmod o-rw" in err, out + err)
        os.chmod(secret, 0o600)
        m.start()
        for n in "abcd":
            hand_in(m, f"u@{n}.test.example")
        wait_for("mail by both", lambda: a.messages and b.messages)
        expect(b.seen == b"me s3 cret", str(b.seen))
        w = expect_why(m, "connect", "c.test.example", fields=("until",))
        expect("AUTH as me is refused: 535 5.7.8" in w["text"], str(w))
        found.append(w["text"])
        w = expect_why(m, "tls", "d.test.example")
        expect(not d.times("AUTH") and not d.messages and not c.messages, "sent without login, or a login without TLS")
        st = m.status()
        expect(st["queued"] == 2 and st["bounced"] == 0, str(st))
        events = [e for e in m.events() if e["type"] == "deferred" and e["enhanced"] == "4.7.8"]
        expect(events, "no deferral tells of the login")
        shown = m.do("settings", "a.test.example") + m.do("reload", "--dry-run")
        expect("auth-password = (hidden)" in shown and "s3 cret" not in shown, shown)
        found.append("without TLS no login is tried: " + w["text"])
    return "; ".join(found)
