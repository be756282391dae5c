package firstboot

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"homemail/admin"
	"homemail/check"
	"homemail/internal/mailtest"
	"homemail/mail"
	"homemail/relay"
	"homemail/store"
)

// TestKeep keeps an address elsewhere: nothing needs a name or an open port.
func TestKeep(t *testing.T) {
	w := newWorld(t)
	e := w.engine(t, nil)
	upTo(t, e, Address)
	wantStatus(t, submit(t, e, Address, Answers{"kind": "keep", "present": "taro@mail.example.com"}), Done, "")
	wantStatus(t, submit(t, e, Line, Answers{"mode": "auto"}), Done, "")
	v := submit(t, e, Connection, Answers{"fetch_host": "imap.example.com"})
	if v.Problems["fetch_password"].Key == "" {
		t.Errorf("%+v", v)
	}
	wantStatus(t, submit(t, e, Connection, Answers{"fetch_password": "app password", "host": "smtp.example.com", "port": "465", "tls": "tls"}), Done, "")
	list := mustAsk[[]admin.Bridge](t, w, "bridge.list", admin.Empty{})
	if len(list) != 1 || list[0].Address != "taro@mail.example.com" || list[0].For != "taro@home.arpa" || list[0].SendVia != "smarthost" || list[0].Port != 993 || list[0].KeepDays != -1 {
		t.Errorf("%+v", list)
	}
	r := mustAsk[admin.Routes](t, w, "route.list", admin.Empty{})
	if len(r.Senders) != 1 || r.Senders[0].Smarthost != "smarthost" {
		t.Errorf("%+v", r)
	}
	o, err := e.Show(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if o.Mode != check.Bridge || o.Owner != "taro@home.arpa" || o.Host != "" {
		t.Errorf("%+v", o)
	}
	for _, v := range o.Steps {
		if needless := v.ID == DNS || v.ID == Switch; needless != (v.Status == Skipped) {
			t.Errorf("%s is %s", v.ID, v.Status)
		}
	}
	if w.store.IsLocal("mail.example.com") {
		t.Error("mail to everybody at the provider would be taken for ours")
	}
}

// TestFree gets a name, and goes on where it was when the line comes back.
func TestFree(t *testing.T) {
	w := newWorld(t)
	w.House.DNS = mailtest.NewCounted(w.dns).Resolver
	w.dns["NS taro.dedyn.io"] = []string{"ns1.desec.io"}
	e := w.engine(t, nil)
	upTo(t, e, Address)
	a := Answers{"kind": "free", "name": "taro", "token": "good", "local": "me"}
	w.fail["freename.register"] = &net.OpError{Op: "dial", Err: net.ErrClosed}
	v := submit(t, e, Address, a)
	wantStatus(t, v, Waiting, "firstboot.wait.internet")
	if v.Next.IsZero() {
		t.Error("it is not tried again")
	}
	if v := submit(t, e, People, Answers{"people": "x"}); v.Status == Done {
		t.Errorf("people before there is a domain: %+v", v)
	}
	w.fail["freename.register"] = fmt.Errorf("%w (deSEC says: no)", admin.ErrNameTaken)
	wantStatus(t, submit(t, e, Address, nil), Failed, "firstboot.failed.name-taken")
	w.fail["freename.register"] = nil
	w.registered = true
	e.Hurry()
	if _, err := e.pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v, _ := e.Step(t.Context(), Address); v.Status != Failed {
		t.Error("a taken name is asked for again by itself")
	}
	wantStatus(t, submit(t, e, Address, nil), Done, "")
	if list := mustAsk[[]string](t, w, "domain.list", admin.Empty{}); len(list) != 1 || list[0] != "taro.dedyn.io" {
		t.Error(list)
	}
}

// TestRunGoesOn: what waits for the Internet goes on without anybody.
func TestRunGoesOn(t *testing.T) {
	w := newWorld(t)
	e := w.engine(t, nil)
	upTo(t, e, Line)
	w.line.Recommend.Mode, w.line.Recommend.Code = check.Inside, "no-line"
	wantStatus(t, submit(t, e, Line, Answers{"mode": "auto"}), Waiting, "firstboot.wait.internet")
	wantStatus(t, submit(t, e, Connection, Answers{"preset": "brevo", "user": "taro", "password": "x"}), Waiting, "firstboot.wait.line")
	w.line.Recommend.Mode, w.line.Recommend.Code = check.Smarthost, "out-blocked"
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Second)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	for {
		changed := e.Changed()
		v, err := e.Step(ctx, Connection)
		if err != nil {
			t.Fatal(err)
		}
		if v.Status == Done {
			break
		}
		e.Hurry()
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("%+v", v)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestWrong(t *testing.T) {
	w := newWorld(t)
	e := w.engine(t, nil)
	upTo(t, e, You)
	for _, tt := range []struct {
		id    ID
		a     Answers
		field string
		key   string
	}{
		{Start, Answers{"kind": "restore"}, "kind", "later"},
		{You, Answers{"name": "T\r\nBcc: x", "password": password}, "name", "control"},
		{You, Answers{"name": "T", "password": "短い"}, "password", "password-short"},
		{Address, Answers{"kind": "own", "domain": "co.jp", "local": "taro"}, "domain", "domain-suffix"},
		{Address, Answers{"domain": "bad domain"}, "domain", "domain"},
		{Address, Answers{"domain": "[192.0.2.1]"}, "domain", "domain"},
		{Address, Answers{"domain": "example.jp", "local": "a@b"}, "local", "local"},
		{Address, Answers{"kind": "free", "name": "a.b", "token": "x"}, "name", "name"},
		{Address, Answers{"kind": "keep", "present": "nobody"}, "present", "address"},
		{Address, Answers{"kind": "nonsense"}, "kind", "choice"},
		{Line, Answers{"mode": "direct"}, "mode", "direct-locked"},
		{Switch, Answers{"confirm": "\x00"}, "confirm", "control"},
	} {
		p, err := e.Save(t.Context(), tt.id, tt.a)
		if err != nil || p[tt.field].Key != "firstboot.wrong."+tt.key {
			t.Errorf("%s %v: %v %v", tt.id, tt.a, p, err)
		}
	}
	if _, err := e.Save(t.Context(), You, Answers{"name": strings.Repeat("x", answerMax+1)}); err == nil {
		t.Error("an endless answer is kept")
	}
	if _, err := e.Submit(t.Context(), "nonsense", nil); err == nil {
		t.Error("a step that there is not")
	}
}

// TestDirect is locked until the line is proven, or the owner says otherwise.
func TestDirect(t *testing.T) {
	w := newWorld(t)
	e := w.engine(t, nil)
	upTo(t, e, Line)
	if v := submit(t, e, Line, Answers{"mode": "direct"}); v.Problems["mode"].Key == "" {
		t.Errorf("%+v", v)
	}
	w.line.Recommend.Mode = check.Direct
	if _, err := e.Detect(t.Context(), Line); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, submit(t, e, Line, Answers{"mode": "direct"}), Done, "")
	wantStatus(t, submit(t, e, Connection, nil), Done, "")
	if r := mustAsk[admin.Routes](t, w, "route.list", admin.Empty{}); r.Domains[0].Way != "direct" {
		t.Errorf("%+v", r)
	}
}

// TestShare lets somebody see the records for a week, and nobody else.
func TestShare(t *testing.T) {
	w := newWorld(t)
	e := w.engine(t, nil)
	upTo(t, e, Line)
	s, err := e.Share()
	if err != nil {
		t.Fatal(err)
	}
	again, err := e.Share()
	if err != nil || again.Token != s.Token {
		t.Error("each look makes a new link:", err)
	}
	if d, err := e.Shared(s.Token); err != nil || d != "example.jp" {
		t.Errorf("%q %v", d, err)
	}
	if _, err := e.Shared(s.Token + "x"); err == nil {
		t.Error("any link will do")
	}
	if err := e.Unshare(); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Shared(s.Token); err == nil {
		t.Error("the link has not ended")
	}
}

// TestDamagedRow begins a step anew whose row is not to be read.
func TestDamagedRow(t *testing.T) {
	w := newWorld(t)
	e := w.engine(t, nil)
	upTo(t, e, Line)
	for _, id := range []ID{Address, You} {
		if err := w.store.PutState(stepPath+string(id), []byte("{")); err != nil {
			t.Fatal(err)
		}
	}
	upTo(t, e, Line)
	if list := mustAsk[[]admin.Account](t, w, "account.list", admin.Empty{}); len(list) != 1 {
		t.Errorf("%+v", list)
	}
}

// TestSafe sets an alert address outside, and wants two of the codes typed back.
func TestSafe(t *testing.T) {
	w := newWorld(t)
	var asked mail.Path
	e := w.engine(t, func(o *Options) {
		o.Recovery = func(_ context.Context, address mail.Path, _ mail.AccountID) ([]string, error) {
			asked = address
			return []string{"abcd-efgh-jkmn", "npqr-stvw-xyz2", "3456-789a-bcde"}, nil
		}
	})
	upTo(t, e, Line)
	if v := submit(t, e, Safe, Answers{"alert": "me@example.jp"}); v.Problems["alert"].Key != "firstboot.wrong.alert-inside" {
		t.Errorf("%+v", v)
	}
	codes, err := e.Codes(t.Context())
	if err != nil || len(codes) != 3 || asked != "taro@example.jp" {
		t.Errorf("%q %q %v", codes, asked, err)
	}
	v, err := e.Step(t.Context(), Safe)
	if a := v.Found.Asked; err != nil || len(a) != 2 || a[0] < 1 || a[0] >= a[1] || a[1] > 3 {
		t.Fatalf("%v %v", a, err)
	}
	right := Answers{"first_code": strings.ToUpper(codes[v.Found.Asked[0]-1]), "second_code": strings.ReplaceAll(codes[v.Found.Asked[1]-1], "-", " ")}
	for _, wrong := range []Answers{{"alert": "me@example.net"}, {"first_code": right["first_code"]}, {"first_code": right["second_code"], "second_code": right["first_code"]}} {
		if v := submit(t, e, Safe, wrong); v.Problems["second_code"].Key != "firstboot.wrong.code-back" || v.Status == Done {
			t.Errorf("%+v: %+v", wrong, v)
		}
	}
	w.fail["alert.set"] = store.ErrInvalid
	wantStatus(t, submit(t, e, Safe, right), Failed, "firstboot.failed.refused")
	delete(w.fail, "alert.set")
	v = submit(t, e, Safe, Answers{"alert": "me@example.org"}) // once is enough
	wantStatus(t, v, Done, "")
	b, err := w.store.State(stepPath + string(Safe))
	if err != nil || len(v.Sealed) > 0 || bytes.Contains(b, []byte(`"secrets"`)) || bytes.Contains(b, []byte(`"kit"`)) {
		t.Errorf("what was typed back is kept: %s %v", b, err)
	}
	if _, err := e.Codes(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v := submit(t, e, Safe, Answers{}); v.Status == Done {
		t.Error("new codes need not be typed back")
	}
	v, err = e.Skip(t.Context(), Safe)
	if err != nil {
		t.Fatal(err)
	}
	wantStatus(t, v, Skipped, "firstboot.skip.later")
	if _, err := e.Skip(t.Context(), You); err == nil {
		t.Error("there can be a house without anybody")
	}
}

// TestSmarthostTLS: the words of the step are those that sending knows.
func TestSmarthostTLS(t *testing.T) {
	for given, want := range map[string]string{"tls": relay.TLSImplicit, "starttls": relay.TLSStart, "": ""} {
		f := &turn{row: row{Answers: Answers{"preset": "", "port": "", "host": "smtp.example", "tls": given, "user": "u"}}}
		if got := f.smarthost().TLS; got != want {
			t.Errorf("%q is %q, want %q", given, got, want)
		}
	}
}

// TestInvite gives a first password to whom the step has made an account, and to
// nobody else.
func TestInvite(t *testing.T) {
	w := newWorld(t)
	e := w.engine(t, nil)
	upTo(t, e, Line)
	mustAsk[admin.Account](t, w, "account.add", admin.AddAccount{Address: "anna@example.jp"})
	wantStatus(t, submit(t, e, People, Answers{"people": "anna Anna\nhanako Hanako Suzuki\ntaro"}), Done, "")
	list, err := e.Invites()
	if err != nil || len(list) != 1 || list[0].Address != "hanako@example.jp" || list[0].Name != "Hanako Suzuki" {
		t.Fatalf("%+v %v", list, err)
	}
	if _, err := ask[admin.Empty](t.Context(), w, "password.verify", admin.VerifyPassword{Address: "hanako@example.jp", Password: list[0].Password}); err != nil {
		t.Error("the first password:", err)
	}
	b, err := w.store.State(stepPath + string(People))
	if err != nil || bytes.Contains(b, []byte(list[0].Password)) {
		t.Errorf("%s %v", b, err)
	}
	if err := e.Forget(); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, submit(t, e, People, Answers{"people": "anna Anna\nhanako Hanako Suzuki\njiro"}), Done, "")
	if list, err := e.Invites(); err != nil || len(list) != 1 || list[0].Address != "jiro@example.jp" {
		t.Errorf("who was invited is invited again: %+v %v", list, err)
	}
}

func TestReadPeople(t *testing.T) {
	for text, want := range map[string]string{
		"hanako": "hanako", "hanako Hanako  Suzuki": "hanako Hanako  Suzuki", "\ufeffName,E-Mail\r\nHanako Suzuki,hanako@example.jp\r\n": "hanako Hanako Suzuki",
		"hanako;Suzuki": "hanako Suzuki", "jiro\t山田次郎\n\nhanako\t": "jiro 山田次郎\nhanako", "\"Suzuki, Hanako\", hanako@example.jp": "hanako Suzuki, Hanako",
		"メールアドレス,氏名\nhanako@example.jp,鈴木花子,090": "hanako 鈴木花子", "mari@elsewhere.test,Mari": "mari@elsewhere.test Mari", "\"": "\"", ",": "", "": "",
	} {
		if got := ReadPeople(text, "example.jp"); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// FuzzReadPeople: what is read is read as the same again, and no line is two.
func FuzzReadPeople(f *testing.F) {
	for _, seed := range []string{"hanako Hanako", "a,b\nc;d\te", "\"x\ny\",z", "Name,E-Mail\nA,a@example.jp"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := ReadPeople(text, "example.jp")
		if n := len(lines(got)); n > len(lines(strings.TrimPrefix(text, "\ufeff"))) {
			t.Errorf("%q: %d lines of %d", text, n, len(lines(text)))
		}
		for _, line := range lines(got) {
			if line != strings.TrimSpace(line) || strings.HasPrefix(line, " ") {
				t.Errorf("%q", line)
			}
		}
	})
}
