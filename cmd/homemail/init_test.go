//go:build linux

package main

import (
	"net/http"
	"strings"
	"testing"

	"homemail/listen"
)

// TestResetFile: on a box, and nowhere else, who has forgotten the owner's password
// reads which file makes a new one.
func TestResetFile(t *testing.T) {
	for _, box := range []string{"", "/nowhere/box.sock"} {
		t.Setenv("HOMEMAIL_BOX", box)
		status, _, body := newVillage(t).guest(atHome).ask(http.MethodGet, "/enter/forgotten", nil)
		if status != http.StatusOK || strings.Contains(body, "reset-owner") != (box != "") {
			t.Errorf("box %q: %d\n%s", box, status, body)
		}
	}
}

// TestCheckPorts: a box says which ports it has when the settings name another.
func TestCheckPorts(t *testing.T) {
	for _, tt := range []struct {
		box, addr string
		ok        bool
	}{
		{"", ":26", true},
		{"box.sock", ":26", false},
		{"box.sock", "[::1]:1023", false},
		{"box.sock", ":25", true},
		{"box.sock", ":1024", true},
		{"box.sock", ":0", true},
	} {
		t.Setenv("HOMEMAIL_BOX", tt.box)
		err := checkPorts([]listen.Door{{Name: "imaps", Addr: ":993"}, {Name: "smtp", Addr: tt.addr}})
		if (err == nil) != tt.ok || err != nil && !(strings.Contains(err.Error(), "listen.smtp") && strings.Contains(err.Error(), "25 587 465")) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}
