//go:build linux

package main

import (
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"homemail/admin"
	"homemail/check"
	"homemail/firstboot"
)

// TestGreeted: the console reads the code as firstboot writes it.
func TestGreeted(t *testing.T) {
	g := firstboot.Greeting{Code: "K7QM-4T2X", Name: "homemail.local", Addresses: []netip.Addr{netip.MustParseAddr("10.0.2.15")}, Fingerprint: "ab12"}
	if got := greeted(strings.ReplaceAll(g.Text(), "\n", "\r\n")); got != "K7QM-4T2X" {
		t.Error(got)
	}
	if got := greeted("nothing"); got != "" {
		t.Error(got)
	}
}

func TestFaceAddress(t *testing.T) {
	var all []netip.Addr
	if faceAddress(all).IsValid() {
		t.Error("an address from nowhere")
	}
	for _, a := range []string{"127.0.0.1", "::1", "fe80::1", "2001:db8::1", "192.168.1.23", "10.0.0.1"} {
		all = append(all, netip.MustParseAddr(a))
	}
	if got := faceAddress(all).String(); got != "192.168.1.23" {
		t.Error(got)
	}
	if got := faceAddress(all[:4]).String(); got != "2001:db8::1" {
		t.Error(got)
	}
}

func TestLightState(t *testing.T) {
	for s, want := range map[check.State]string{check.Good: "ok", check.Bad: "bad", check.Waiting: "unknown", admin.LightOff: "off", check.CouldNotTest: "unknown"} {
		if got := lightState(s); got != want {
			t.Error(s, got)
		}
	}
}

// TestTroublePage says what is wrong in both languages, and is no page that anybody
// keeps.
func TestTroublePage(t *testing.T) {
	w := httptest.NewRecorder()
	troubleHandler("detached", "file system <1>").ServeHTTP(w, httptest.NewRequest("GET", "http://10.0.0.1/any", nil))
	body := w.Body.String()
	for _, want := range []string{"USB disk that is not there", "USB ディスクが見つかりません", "file system &lt;1&gt;"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in %s", want, body)
		}
	}
	if w.Code != 503 || w.Header().Get("Cache-Control") != "no-store" {
		t.Error(w.Code, w.Header())
	}
}

func TestAsInit(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want []string
		ok   bool
	}{
		{[]string{"homemail", "init", "ntp", "x"}, []string{"ntp", "x"}, true},
		{[]string{"homemail", "serve"}, nil, false},
		{[]string{"homemail"}, nil, false},
		{[]string{"homemail", "init"}, []string{}, false}, // only PID 1 is the box
		{[]string{"/sbin/init"}, nil, false},
	} {
		if got, ok := asInit(tt.args); ok != tt.ok || ok && !slices.Equal(got, tt.want) {
			t.Error(tt.args, got, ok)
		}
	}
}

// TestChoice: a language from the keyboard outlives a restart, and gives way to the
// owner's if it was chosen before there was one.
func TestChoice(t *testing.T) {
	name := filepath.Join(t.TempDir(), "language")
	if got := readChoice(name); got != (choice{}) {
		t.Error("chosen by nobody:", got)
	}
	house := func() string { return "en" }
	for _, tt := range []struct {
		made choice
		want string
	}{{choice{"ja", false}, "en"}, {choice{"ja", true}, "ja"}, {choice{"en", true}, "en"}} {
		if err := tt.made.keep(name); err != nil {
			t.Fatal(err)
		}
		got := readChoice(name)
		if got != tt.made || got.of(house) != tt.want {
			t.Errorf("%+v: %+v %s", tt.made, got, got.of(house))
		}
	}
	for _, bad := range []string{"", "fr", "ja\nen", " set-up"} {
		if err := os.WriteFile(name, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := readChoice(name); got != (choice{}) {
			t.Errorf("%q is %+v", bad, got)
		}
	}
}
