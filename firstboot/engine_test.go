package firstboot

import (
	"bytes"
	"testing"

	"homemail/admin"
)

const password = "correct horse battery staple"

// TestSetUp goes through the steps of a house with its own domain, as pages do.
func TestSetUp(t *testing.T) {
	w := newWorld(t)
	e := w.engine(t, nil)
	wantStatus(t, submit(t, e, Language, Answers{"language": "ja"}), Done, "")
	wantStatus(t, submit(t, e, Start, Answers{"kind": "new"}), Done, "")
	wantStatus(t, submit(t, e, You, Answers{"name": "山田太郎", "password": password}), Done, "")
	wantStatus(t, submit(t, e, Address, Answers{"kind": "own", "domain": "Example.JP.", "local": "taro"}), Done, "")
	wantStatus(t, submit(t, e, Line, Answers{"mode": "auto"}), Done, "")
	wantStatus(t, submit(t, e, Connection, Answers{"preset": "brevo", "user": "taro", "password": "smarthost secret"}), Done, "")
	v := submit(t, e, DNS, Answers{"kind": "copy"})
	if v.Status != Waiting {
		t.Fatalf("%+v", v)
	}
	t.Log(v.Reason, v.Detail)

	accounts, err := ask[[]admin.Account](t.Context(), w, "account.list", admin.Empty{})
	if err != nil || len(accounts) != 1 || accounts[0].Address != "taro@example.jp" || accounts[0].Language != "ja" || accounts[0].Name != "山田太郎" {
		t.Fatalf("%+v %v", accounts, err)
	}
	if _, err := ask[admin.Empty](t.Context(), w, "password.verify", admin.VerifyPassword{Address: "taro@example.jp", Password: password}); err != nil {
		t.Error("the owner's password:", err)
	}
	routes, err := ask[admin.Routes](t.Context(), w, "route.list", admin.Empty{})
	if err != nil || routes.Domains[0].Smarthost != "brevo" {
		t.Errorf("%+v %v", routes, err)
	}
	for _, id := range []ID{You, Address, Connection} {
		b, err := w.store.State(stepPath + string(id))
		if err != nil || bytes.Contains(b, []byte(`"secrets"`)) || bytes.Contains(b, []byte("secret")) || bytes.Contains(b, []byte("horse")) {
			t.Errorf("%s keeps a secret after use: %s %v", id, b, err)
		}
	}
}
