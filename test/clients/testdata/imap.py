"""Python's imaplib against a server: the argument is a JSON object that says where it is."""
import email, email.policy, imaplib, json, re, ssl, sys, time

at = json.loads(sys.argv[1])
me = at["accounts"][1]
tls = ssl.create_default_context(cafile=at["cert"])


def ok(answer):
    status, data = answer
    assert status == "OK", answer
    return data


def joined(data):
    """An answer whose literals imaplib keeps apart."""
    return b"".join(b"\r\n".join(d) if isinstance(d, tuple) else d for d in data)


def sign_in(implicit):
    if implicit:
        c = imaplib.IMAP4_SSL("localhost", at["imaps"], ssl_context=tls)
    else:
        c = imaplib.IMAP4("localhost", at["imap"])
        assert "LOGINDISABLED" in c.capabilities, c.capabilities
        ok(c.starttls(ssl_context=tls))
    return c


for implicit in (True, False):
    c = sign_in(implicit)
    try:
        c.login(me["address"], at["wrong"])
    except imaplib.IMAP4.error:
        pass
    else:
        raise AssertionError("signed in with a wrong password")
    ok(c.authenticate("PLAIN", lambda _: b"\0" + me["address"].encode() + b"\0" + me["password"].encode()))
    c.logout()

c = sign_in(True)
ok(c.login(me["address"], me["password"]))
assert b"IMAP4REV1" in ok(c.capability())[0].upper()
count = int(ok(c.select("INBOX"))[0])
assert count == at["messages"], count

# What smtplib has sent is what is read.
for n in range(1, count + 1):
    (_, raw), _ = ok(c.fetch(str(n), "(BODY.PEEK[])"))
    m = email.message_from_bytes(raw, policy=email.policy.default)
    if m.is_multipart():
        assert m["Subject"] == "写真 " + at["canary"], m["Subject"]
        text, photo = m.iter_parts()
        assert text.get_content().splitlines() == ["こんにちは", ".", "Grüße"], text.get_content()
        assert photo.get_content() == bytes(range(256)) * 40
        assert photo.get_filename() == "写真.bin"
assert not ok(c.search(None, "SEEN"))[0]
ok(c.fetch("1", "(BODY[TEXT])"))
assert ok(c.search(None, "SEEN"))[0] == b"1"
ok(c.store("2", "+FLAGS", r"(\Flagged Wichtig)"))
assert ok(c.search(None, "FLAGGED", "KEYWORD", "Wichtig"))[0] == b"2"
c.literal = "写真".encode()
assert len(ok(c.search("UTF-8", "SUBJECT"))[0].split()) == count - 1
structure = joined(ok(c.fetch("1", "(UID RFC822.SIZE ENVELOPE BODYSTRUCTURE INTERNALDATE)")))
assert b'"mixed"' in structure.lower(), structure

# APPEND keeps flags, date and bytes; COPY, MOVE and EXPUNGE.
text = "Subject: Grüße\r\n\r\nこんにちは\r\n".encode()
ok(c.create("&ZeVnLIqe-/2026"))
assert any(b'"&ZeVnLIqe-/2026"' in line for line in ok(c.list()))
ok(c.append("&ZeVnLIqe-/2026", r"(\Seen \Draft)", imaplib.Time2Internaldate(1e9), text))
ok(c.copy("1:2", "&ZeVnLIqe-/2026"))
ok(c.uid("MOVE", "1", "Trash"))
assert int(ok(c.select("&ZeVnLIqe-/2026"))[0]) == 3
head, raw = ok(c.fetch("1", "(FLAGS INTERNALDATE BODY.PEEK[])"))[0]
assert raw == text, raw
assert {b"\\Seen", b"\\Draft"} <= set(imaplib.ParseFlags(head)), head
assert time.mktime(imaplib.Internaldate2tuple(head)) == 1e9, head
ok(c.store("2", "+FLAGS", r"\Deleted"))
assert ok(c.expunge()) == [b"2"]
ok(c.close())
ok(c.rename("&ZeVnLIqe-/2026", "Alt"))
assert ok(c.status("Alt", "(MESSAGES UIDNEXT)"))[0].endswith(b"(MESSAGES 2 UIDNEXT 4)")
ok(c.subscribe("Alt"))
assert any(line.endswith(b'"Alt"') for line in ok(c.lsub())), c.lsub()
ok(c.delete("Alt"))
assert int(ok(c.select("INBOX", readonly=True))[0]) == count - 1
assert c.store("1", "+FLAGS", r"\Seen")[0] == "NO"
assert c.select("Alt")[0] == "NO"
c.logout()
print("ok")
