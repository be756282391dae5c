"""Python's smtplib against a server: the argument is a JSON object that says where it is."""
import email.policy, json, smtplib, ssl, sys
from email.message import EmailMessage

at = json.loads(sys.argv[1])
anna, bert = at["accounts"]
tls = ssl.create_default_context(cafile=at["cert"])


def refused(codes, do):
    try:
        do()
    except smtplib.SMTPResponseException as e:
        assert e.smtp_code in codes, (e.smtp_code, e.smtp_error)
    except smtplib.SMTPRecipientsRefused as e:
        got = [code for code, _ in e.recipients.values()]
        assert all(c in codes for c in got), got
    else:
        raise AssertionError("was not refused")


def letter():
    m = EmailMessage()
    m["From"], m["To"], m["Subject"] = anna["address"], bert["address"], "写真 " + at["canary"]
    m.set_content("こんにちは\n.\nGrüße\n")
    m.add_attachment(bytes(range(256)) * 40, maintype="application", subtype="octet-stream", filename="写真.bin")
    return m


def raw():
    return letter().as_bytes(policy=email.policy.SMTP)


# Port 25: nobody signs in, mail for those who are here is taken.
with smtplib.SMTP("localhost", at["smtp"]) as c:
    c.ehlo("client.test")
    for word in ("pipelining", "8bitmime", "smtputf8", "chunking", "dsn", "starttls", "enhancedstatuscodes"):
        assert c.has_extn(word), word
    assert not c.has_extn("auth")
    assert int(c.esmtp_features["size"]) >= 10_000_000
    c.starttls(context=tls)
    c.sendmail("a..b.@docomo.ne.jp", [bert["address"]], raw())
    c.sendmail("", [bert["address"]], raw(), mail_options=["BODY=8BITMIME"], rcpt_options=["NOTIFY=NEVER"])
    refused([550], lambda: c.sendmail("x@example.net", ["nobody@example.test"], "x"))
    refused([550], lambda: c.sendmail("x@example.net", ["x@elsewhere.example"], "x"))
    assert c.sendmail("x@example.net", [bert["address"], "nobody@example.test"], "Subject: x\r\n\r\n").keys() == {"nobody@example.test"}
    refused([552], lambda: c.sendmail("x@example.net", [bert["address"]], "x" * (int(c.esmtp_features["size"]) + 1)))
    assert c.verify(bert["address"])[0] in (252, 502)

# The doors for people.
for port, implicit in ((at["submission"], False), (at["submissions"], True)):
    make = (lambda: smtplib.SMTP_SSL("localhost", port, context=tls)) if implicit else (lambda: smtplib.SMTP("localhost", port))
    for mech in ("PLAIN", "LOGIN"):
        with make() as c:
            if not implicit:
                c.ehlo()
                assert not c.has_extn("auth")
                c.starttls(context=tls)
            c.ehlo()
            c.user, c.password = anna["address"], anna["password"]
            c.auth(mech, getattr(c, "auth_" + mech.lower()))
            c.send_message(letter())
            refused([550, 553], lambda: c.sendmail(bert["address"], [bert["address"]], raw()))
            refused([550], lambda: c.sendmail(anna["address"], ["x@elsewhere.example"], raw()))
            c.send_message(letter())
    with make() as c:
        if not implicit:
            c.starttls(context=tls)
        refused([535], lambda: c.login(anna["address"], at["wrong"]))
        c.login(anna["address"], anna["password"])
print("ok")
