package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

// TestLanguage: -lang decides, then the environment, then the house; and a
// refusal speaks the reader's language like everything else.
func TestLanguage(t *testing.T) {
	dir := t.TempDir()
	must(t, "domain", "add", "example.test", "-data", dir)
	for i, tt := range []struct {
		env  string // LANG
		args string
		want string
	}{
		{"", "queue list", "nothing waits\n"},
		{"", "queue list -lang ja", "送信待ちのメールはありません。\n"},
		{"ja_JP.UTF-8", "queue list", "送信待ちのメールはありません。\n"},
		{"ja_JP.UTF-8", "queue list -lang en-GB", "nothing waits\n"},
		{"", "queue retry @example.test -lang ja", "homemail: example.test 宛てで送信を待っているメールはありません。\n"},
		{"", "queue retry @example.test", "homemail: nothing waits for example.test\n"},
		{"", "events -since soon -lang ja", "homemail: 「soon」は時刻として読めません。"},
		{"", "queue list -lang fr", "homemail: there is no language \"fr\"; right would be en or ja\n"},
		{"", "account add anna@example.test -language ja", "anna@example.test を作りました。"}, // the first person of the house
		{"C.UTF-8", "queue list", "送信待ちのメールはありません。\n"},
		{"en_US.UTF-8", "queue list", "nothing waits\n"},
		{"", "account list", "アドレス "},
	} {
		var b bytes.Buffer
		in := &invocation{stdout: &b, stderr: &b, stdin: strings.NewReader(""), getenv: func(name string) string {
			if name == "LANG" {
				return tt.env
			}
			return ""
		}}
		in.run(context.Background(), append(strings.Fields(tt.args), "-data", dir))
		if !strings.HasPrefix(b.String(), tt.want) {
			t.Errorf("%d: %s with %q: %q", i, tt.args, tt.env, b.String())
		}
	}
}
