"""Python's poplib against a server: the argument is a JSON object that says where it is."""
import json, poplib, ssl, sys

at = json.loads(sys.argv[1])
me = at["accounts"][0]
tls = ssl.create_default_context(cafile=at["cert"])


def connect(implicit):
    if implicit:
        return poplib.POP3_SSL("localhost", at["pop3s"], context=tls)
    c = poplib.POP3("localhost", at["pop3"])
    assert "STLS" in c.capa() and "USER" not in c.capa(), c.capa()
    c.stls(context=tls)
    return c


def refused(do):
    try:
        do()
    except poplib.error_proto as e:
        assert e.args[0].startswith(b"-ERR"), e
    else:
        raise AssertionError("was not refused")


n = at["messages"]
for implicit in (True, False):
    c = connect(implicit)
    assert "PLAIN" in c.capa()["SASL"], c.capa()
    c.user(me["address"])
    refused(lambda: c.pass_(at["wrong"]))
    c.user(me["address"])
    c.pass_(me["password"])

    # One session at a time, RFC 1939 section 8.
    other = connect(True)
    other.user(me["address"])
    refused(lambda: other.pass_(me["password"]))
    other.close()

    count, octets = c.stat()
    assert count == n, (count, n)
    sizes = [int(line.split()[1]) for line in c.list()[1]]
    assert sum(sizes) == octets and len(sizes) == n
    ids = c.uidl()[1]
    assert len({line.split()[1] for line in ids}) == n
    for i in range(1, n + 1):
        _, lines, size = c.retr(i)
        assert size == sizes[i - 1], (i, size, sizes[i - 1])
        head = c.top(i, 0)[1]
        assert lines[: len(head)] == head and head[-1] == b"", i
        part = c.top(i, 2)[1]
        assert lines[: len(part)] == part and len(part) <= len(head) + 2, i

    # What is deleted comes back with RSET, or when the connection is lost.
    c.dele(1)
    refused(lambda: c.retr(1))
    assert c.stat()[0] == n - 1
    c.rset()
    assert c.stat() == (count, octets)
    c.dele(1)
    c.close()

    for attempt in range(100):  # the server may not have seen the end yet
        c = connect(implicit)
        c.user(me["address"])
        try:
            c.pass_(me["password"])
            break
        except poplib.error_proto as e:
            assert b"IN-USE" in e.args[0] and attempt < 99, e
    assert c.stat() == (count, octets)
    c.dele(1)
    c.dele(n)
    c.quit()
    n -= 2
    c = connect(implicit)
    c.user(me["address"])
    c.pass_(me["password"])
    assert c.stat()[0] == n
    assert [line.split()[1] for line in c.uidl()[1]] == [line.split()[1] for line in ids[1:-1]]
    c.quit()
print("ok")
