package main

import (
	"encoding/json"
	"strings"
	"testing"

	"homemail/admin"
)

func TestOwnerCommands(t *testing.T) {
	d := "-data=" + t.TempDir()
	must(t, "domain", "add", "example.test", d)
	must(t, "account", "add", "anna@example.test", "-name", "Anna", d)
	if out, code := homemail(t, "", "owner", "reset", d); code != 1 || !strings.Contains(out, "nobody owns this house yet") {
		t.Errorf("%d: %s", code, out)
	}
	must(t, "owner", "add", "anna@example.test", d)
	var p admin.NewPassword
	if err := json.Unmarshal([]byte(must(t, "owner", "reset", "-second-factor", "-json", d)), &p); err != nil || len(strings.Split(p.Password, "-")) != 4 {
		t.Errorf("%+v, %v", p, err)
	}
	if out := must(t, "owner", "reset", "anna@example.test", d); !strings.Contains(out, "Sign in as  anna@example.test") {
		t.Error(out)
	}
	if out := must(t, "owner", "list", d); !strings.Contains(out, "anna@example.test  Anna  active  password") {
		t.Error(out)
	}
	if out, code := homemail(t, "", "owner", "remove", "anna@example.test", d); code != 1 || !strings.Contains(out, "at least one owner") {
		t.Errorf("%d: %s", code, out)
	}
	if out := must(t, "session", "list", d); !strings.HasPrefix(out, "ADDRESS") {
		t.Error(out)
	}
	must(t, "session", "end", "anna@example.test", d)
	if out, code := homemail(t, "", "session", "end", "anna@example.test", "0123", d); code != 1 {
		t.Errorf("%d: %s", code, out)
	}
}
