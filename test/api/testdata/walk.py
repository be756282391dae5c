"""A program that uses the API by token, with nothing but Python's own library: the
argument is a JSON object that says where the house is."""
import json, ssl, sys, urllib.error, urllib.request

at = json.loads(sys.argv[1])
tls = ssl.create_default_context(cafile=at["cert"])
document = {}


def ask(verb, request=None, token=at["token"]):
    """Ask for an operation and return its status and answer."""
    r = urllib.request.Request(at["url"] + "/api/v1/" + verb, method="POST", data=json.dumps(request or {}).encode())
    r.add_header("Authorization", "Bearer " + token)
    r.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(r, context=tls) as w:
            return w.status, json.load(w)
    except urllib.error.HTTPError as e:
        answer = json.load(e)
        assert {"error", "code"} <= set(answer) <= {"error", "code", "reason"}, answer
        return e.code, answer


def get(path, token=None):
    r = urllib.request.Request(at["url"] + path)
    if token:
        r.add_header("Authorization", "Bearer " + token)
    with urllib.request.urlopen(r, context=tls) as w:
        return w.read().decode()


def done(verb, request=None):
    status, answer = ask(verb, request)
    assert status == 200, (verb, request, status, answer)
    return answer


def refused(status, code, verb, request=None, token=at["token"]):
    got, answer = ask(verb, request, token)
    assert (got, answer["code"]) == (status, code), (verb, request, got, answer)


def people():
    anna = {"address": "anna@example.test"}
    done("account.add", anna | {"name": "Anna 安奈", "language": "ja"})
    refused(409, "exists", "account.add", anna)
    refused(422, "impossible", "account.add", {"address": "anna@elsewhere.test"})
    refused(400, "bad_request", "account.add", anna | {"owner": True})
    refused(403, "scope", "account.change", anna | {"password": "a long enough password"})
    done("account.change", anna | {"quota": 10**9})
    done("alias.add", {"address": "family@example.test", "to": ["anna@example.test"]})
    (a,) = done("account.list")
    assert (a["name"], a["language"], a["quota"]) == ("Anna 安奈", "ja", 10**9), a


def devices():
    anna = {"address": "anna@example.test"}
    made = done("device.add", anna | {"name": "Phone"})
    (d,) = done("device.list", anna)
    assert d["id"] == made["id"] and "password" not in d and len(made["password"]) > 20, (d, made)
    done("device.revoke", anna | {"device": made["id"]})
    refused(404, "not_found", "device.revoke", anna | {"device": made["id"]})


def queue():
    assert done("queue.list") == []
    refused(404, "not_found", "queue.show", {"id": "none"})
    assert done("events.where", {"address": "anna@example.test"})["ways"] == []


def names():
    done("domain.add", {"address": "example.test"})
    assert done("domain.list") == ["example.test"]
    done("dns.plan", {"domain": "example.test"})
    done("certificate.list")


def others():
    refused(403, "scope", "status")
    refused(403, "scope", "token.add", {"name": "x", "scopes": ["all"]})
    refused(404, "no_operation", "account.burn")
    refused(401, "unauthorized", "account.list", token="hm_wrong")
    assert "\nhomemail_queue_recipients 0\n" in get("/metrics", at["reader"])
    try:
        get("/metrics")
    except urllib.error.HTTPError as e:
        assert e.code == 401, e
    else:
        raise AssertionError("figures for nobody")


document = json.loads(get("/api/v1/openapi.json"))
assert document["openapi"].startswith("3.1"), document["openapi"]
names()
people()
devices()
queue()
others()
print("ok")
