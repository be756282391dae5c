package firstboot

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"homemail/admin"
	"homemail/check"
	"homemail/internal/mailtest"
	"homemail/outbound"
)

const wholeFile = `
language = "ja"
[you]
name = "山田太郎"
password = "bicycle lantern umbrella 42"
[address]
kind = "own"
domain = "example.jp"
local = "taro"
[line]
mode = "auto"
[connection]
preset = "brevo"
user = "taro"
password = "smarthost secret"
[dns]
kind = "copy"
agree_ca = true
[switch]
confirm = true
[safe]
alert = "taro@example.net"
[people]
people = ["hanako 山田花子", "jiro"]
devices = ["phone", "laptop"]
`

func wholeSetUp(t *testing.T, self bool) *File {
	t.Helper()
	text := wholeFile
	if self {
		text = strings.Replace(text, `kind = "copy"`, "kind = \"self\"\nprovider = \"desec\"\ncredential.token = \"good\"", 1)
	}
	f, err := Parse("homemail.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// end is the state of a house, without what is another one each time.
func end(t *testing.T, w *world, r Result) string {
	t.Helper()
	get := func(verb string, request any) any {
		v, err := ask[any](t.Context(), w, verb, request)
		if err != nil {
			t.Fatalf("%s: %v", verb, err)
		}
		return v
	}
	var accounts []string
	for _, a := range get("account.list", admin.Empty{}).([]admin.Account) {
		var names []string
		for _, d := range a.Devices {
			names = append(names, d.Name)
		}
		p, err := w.store.Account(a.Address)
		if err != nil {
			t.Fatal(err)
		}
		profile, err := p.Profile()
		if err != nil {
			t.Fatal(err)
		}
		accounts = append(accounts, fmt.Sprint(a.Address, a.Name, a.Language, names, profile.Password != ""))
	}
	slices.Sort(accounts)
	var steps []string
	for _, v := range r.Steps {
		steps = append(steps, fmt.Sprint(v.ID, v.Status, v.Reason.Key, v.Answers, v.Sealed))
	}
	var passwords []string
	for _, d := range r.Devices {
		passwords = append(passwords, fmt.Sprint(d.Name, d.Address, len(d.Password) > 10))
	}
	keys, err := outbound.NewKeyring(w.store).Get("example.jp")
	if err != nil || len(keys) == 0 {
		t.Fatalf("no keys for DKIM: %v", err)
	}
	c := get("certificate.list", admin.Empty{}).(admin.Certificates)
	host := ""
	for _, s := range mustAsk[[]setting](t, w, "setting.list", admin.Empty{}) {
		if s.Name == "host_name" {
			host = s.Value
		}
	}
	var records []string
	for key, values := range w.dns {
		if strings.Contains(key, "_domainkey") {
			values = nil // another key each time
		}
		records = append(records, fmt.Sprintf("%s=%s", key, values))
	}
	slices.Sort(records)
	b, err := json.Marshal([]any{get("owner.list", admin.Empty{}), records, accounts, get("domain.list", admin.Empty{}), get("route.list", admin.Empty{}), get("smarthost.list", admin.Empty{}), c.Agreed != nil, len(keys), host, steps, passwords})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func mustAsk[A any](t *testing.T, w *world, verb string, request any) A {
	t.Helper()
	a, err := ask[A](t.Context(), w, verb, request)
	if err != nil {
		t.Fatalf("%s: %v", verb, err)
	}
	return a
}

// TestKilledAnywhere applies a file, with the power going before and after each
// operation, and again to the end: it is always the same house.
func TestKilledAnywhere(t *testing.T) {
	for _, self := range []bool{false, true} {
		t.Run(fmt.Sprintf("self=%v", self), func(t *testing.T) {
			t.Parallel()
			killedAnywhere(t, self)
		})
	}
}

func killedAnywhere(t *testing.T, self bool) {
	whole := func(t *testing.T, kill int, before bool) (string, int) {
		w := newWorld(t)
		w.dns["NS example.jp"] = []string{"ns1.desec.io"}
		w.dns["MX example.jp"] = []string{"10 old.example.net"}
		w.House.DNS = mailtest.NewCounted(w.dns).Resolver
		w.House.Host, w.cert = "mail.example.jp", true
		w.line.Results = []check.Result{{Name: "in25", State: check.Good}}
		w.kill, w.before = kill, before
		r, err := ApplyFile(t.Context(), asker{w.engine(t, nil)}, wholeSetUp(t, self))
		if kill > 0 {
			if err == nil {
				t.Fatalf("the power went at operation %d, and nobody noticed", kill)
			}
			w.kill = 0
			r, err = ApplyFile(t.Context(), asker{w.engine(t, nil)}, wholeSetUp(t, self))
		}
		if err != nil || !r.OK {
			t.Fatalf("%v\n%s", err, r.Text("en"))
		}
		return end(t, w, r), len(w.asked)
	}
	want, n := whole(t, 0, false)
	if n < 10 {
		t.Fatalf("only %d operations in\n%s", n, want)
	}
	if self && !strings.Contains(want, "MX example.jp=[10 mail.example.jp]") {
		t.Errorf("the mail was not switched: %s", want)
	}
	if !strings.Contains(want, `\"mail.example.jp\"`) {
		t.Errorf("the server was not named: %s", want)
	}
	for kill := 1; kill <= n; kill++ {
		before := self // one of the two runs has the power go before the operation, the other after
		if got, _ := whole(t, kill, before); got != want {
			t.Errorf("killed at operation %d (before: %v):\n%s\nwant\n%s", kill, before, got, want)
		}
		if publishing := self && kill > n-4; publishing {
			if got, _ := whole(t, kill, false); got != want {
				t.Errorf("killed after operation %d:\n%s\nwant\n%s", kill, got, want)
			}
		}
	}
}

// TestResumedByItself: what was cut short goes on without anybody, from the
// answers that were kept.
func TestResumedByItself(t *testing.T) {
	w := newWorld(t)
	e := w.engine(t, nil)
	submit(t, e, Language, Answers{"language": "en"})
	submit(t, e, Start, Answers{"kind": "new"})
	submit(t, e, You, Answers{"name": "Taro", "password": password})
	w.kill = 2 // after the account was made
	if _, err := e.Submit(t.Context(), Address, Answers{"kind": "inside", "local": "taro"}); !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	w.kill = 0
	e = w.engine(t, nil)
	if v, _ := e.Step(t.Context(), Address); v.Status != Doing {
		t.Fatalf("%+v", v)
	}
	if _, err := e.pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	v, err := e.Step(t.Context(), Address)
	if err != nil {
		t.Fatal(err)
	}
	wantStatus(t, v, Done, "")
	if !reflect.DeepEqual(mustAsk[[]string](t, w, "domain.list", admin.Empty{}), []string{"home.arpa"}) {
		t.Error("the domain is not there")
	}
}
