"""Bounces and complaints are understood without a running server."""
import glob
import json
import subprocess

from harness import *

FIXTURES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "fixtures", "reports")


def read(*args):
    p = subprocess.run([binary(), "read-report", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       env=dict(os.environ, ASAN_OPTIONS="detect_leaks=0"))
    return p.returncode, p.stdout.decode(), p.stderr.decode()


@test()
def reports_are_shown_and_change_nothing(full):
    files = sorted(glob.glob(os.path.join(FIXTURES, "*.eml")))
    code, out, err = read("--json", *files)
    expect(code == 0, err)
    found = json.loads(out)
    expect(found["total"] == len(files), f"{found['total']} rows of {len(files)} files")
    bounce = next(r for r in found["rows"] if r["file"].endswith("postfix-remote.eml"))
    first = bounce["recipients"][0]
    expect(bounce["kind"] == "bounce" and first["recipient"] == "bob@there.example" and first["status"] == "5.1.1"
           and first["action"] == "failed" and first["category"] == "bad-mailbox" and first["hard"] and first["suppress"], str(bounce))
    expect(bounce["message_id"] == "20261123.1@news.example" and bounce["matched"] == "unverified", str(bounce))
    neither = [r for r in found["rows"] if r["kind"] not in ("bounce", "feedback")]
    expect(neither and not any(x["suppress"] for r in neither for x in r["recipients"]), "a mail that is neither suppresses")
    code, out, err = read(bounce["file"])
    expect(code == 0 and "bounce" in out and "bob@there.example failed 5.1.1 bad-mailbox hard" in out, out + err)
    return f"{len(files)} files: {sum(r['kind'] == 'bounce' for r in found['rows'])} bounces, {len(neither)} that are neither"


@test()
def read_report_says_what_is_wrong(full):
    with Scene() as s:
        code, out, err = read(s.path("none.eml"))
        expect(code == 1 and "none.eml can't be read: No such file" in err, f"{code} {err}")
        code, out, err = read()
        expect(code == 2 and "which file?" in err, f"{code} {err}")
        mail, key = s.write("a.eml", "From: a@b.example\n\nhi\n"), s.write("key", "short\n")
        os.chmod(key, 0o600)
        code, out, err = read("--key", key, mail)
        expect(code == 2 and "of 16 to 128 bytes" in err, f"{code} {err}")
        os.chmod(key, 0o644)
        code, out, err = read("--key", key, mail)
        expect(code == 2 and "by everybody" in err, f"{code} {err}")
        code, out, err = read(mail)
        expect(code == 0 and "other (mail)" in out, out + err)
        # A key verifies what it signed: this is HMAC-SHA256 over "ref:1f.0", its first 160 bits.
        import base64
        import hashlib
        import hmac
        with open(key, "w") as f:
            f.write("0123456789abcdef\n")
        os.chmod(key, 0o600)
        mac = base64.b32encode(hmac.new(b"0123456789abcdef", b"ref:1f.0", hashlib.sha256).digest()[:20]).decode().lower()
        for given, wanted in ((mac, "ref"), (mac[::-1], "unverified")):
            report = s.write("r.eml", "From: MAILER-DAEMON@x.example\nContent-Type: multipart/report; boundary=b\n\n--b\n"
                             "Content-Type: message/delivery-status\n\nFinal-Recipient: rfc822; bob@there.example\n"
                             "Action: failed\nStatus: 5.1.1\n\n--b\nContent-Type: text/rfc822-headers\n\n"
                             f"X-Stoker-Ref: 1f.0.{given}\n--b--\n")
            code, out, err = read("--json", "--key", key, report)
            expect(json.loads(out)["rows"][0]["matched"] == wanted, f"{wanted}: {out}")
        return "exit codes 0, 1 and 2 with a reason; a token verifies by its key only"
