package main

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"homemail/check"
	"homemail/config"
	"homemail/store"
)

// keepFound keeps what checks found, for a house that is opened then.
func keepFound(t *testing.T, dir string, list ...check.Result) {
	t.Helper()
	s, err := store.Open(dir, store.Options{Reserve: int64(config.MiB)})
	if err != nil {
		t.Fatal(err)
	}
	kept, err := json.Marshal(list)
	if err == nil {
		err = s.PutState("check/results", kept)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestMute: a finding that is known is muted and heard again, in both languages.
func TestMute(t *testing.T) {
	dir := t.TempDir()
	keepFound(t, dir, check.Result{Name: "in25", Code: "closed", State: check.Bad, Tested: time.Now()})
	for _, tt := range []struct {
		args string
		want string
		code int
	}{
		{"check mute in25 -lang en -for 30d -reason known", "in25 stays in the list and is told to nobody: until 2", 0},
		{"check in25 -last -lang en", "known", -1},
		{"check in25 -last -lang ja", "お知らせは止めています", -1},
		{"check mute in25 -lang ja", "別のことが見つかるまで", 0},
		{"check unmute in25 -lang en", "in25 is told of again.", 0},
		{"check unmute in25 -lang ja", "再開しました", 0},
		{"check mute in25 -json", "{}", 0},
		{"check mute nosuch -lang en", "there is no check “nosuch”", 1},
		{"check mute nosuch -lang ja", "「nosuch」という確認項目はありません。", 1},
		{"check mute in25 -for 31d -lang ja", "30 日まで", 1},
		{"check mute in25 -for soon -lang en", "right would be 30d", 1},
		{"check mute route -lang ja", "問題が見つかっていません", 1},
	} {
		out, code := homemail(t, "", append(strings.Fields(tt.args), "-data", dir)...)
		if tt.code >= 0 && code != tt.code || !strings.Contains(out, tt.want) {
			t.Errorf("%s: exit %d\n%s", tt.args, code, out)
		}
	}
}

// TestDoubts: while strangers look as if they were at home, nobody at home is believed
// to be there but who is on this computer; doors for the house stay open to its mail
// programs, and shut to the address behind which the strangers are.
func TestDoubts(t *testing.T) {
	line := func(code string) *line {
		r := check.Result{Name: check.Visitors, Code: code, Data: map[string]string{"address": "192.168.7.1"}}
		return &line{checker: check.New(check.Options{Memory: notebook{r}})}
	}
	for from, want := range map[string][2]bool{ // doubted, turned away
		"192.168.7.1": {true, true}, "192.168.7.20": {true, false}, "fd00::5": {true, false},
		"127.0.0.1": {false, false}, "::1": {false, false},
	} {
		a := netip.MustParseAddr(from)
		if l := line("hidden"); l.doubts(a) != want[0] || l.masks(a) != want[1] {
			t.Errorf("%s: doubted %v, turned away %v", from, l.doubts(a), l.masks(a))
		}
		if l := line("told"); l.doubts(a) || l.masks(a) {
			t.Errorf("%s is doubted though strangers are told apart", from)
		}
	}
}
