package config

import (
	"slices"
	"strings"
	"testing"
)

func TestUseStored(t *testing.T) {
	c, err := parse("config.toml", []byte("[limits]\nrecipients = 50\n"))
	if err != nil {
		t.Fatal(err)
	}
	err = c.UseStored(map[string]string{
		"host_name": `"mail.example.org"`, "limits.recipients": "70", "dns.trust": "true", "lan.name": `"a.b"`,
		"listen.pop3": "[]", "queue.give_up": `"1d"`, "probe.offer": `true # and`, "log.level": `"debug"`, "no.such": "1", "connections.imap": "1\nx = 2",
	})
	if c.HostName != "mail.example.org" || c.Limits.Recipients != 50 || !c.DNS.Trust || len(c.Listen.POP3) != 0 || c.Queue.GiveUp != 24*hour || c.Connections.IMAP != 300 || c.Log.Level != "info" {
		t.Errorf("got %+v", c)
	}
	if c.LAN.Name != "homemail" || err == nil || !strings.Contains(err.Error(), "lan.name") {
		t.Errorf("a setting that is not valid: %q, %v", c.LAN.Name, err)
	}
	from := map[string]string{}
	for _, s := range c.Sources() {
		from[s.Name] = s.From
	}
	if from["host_name"] != "store" || from["limits.recipients"] != "config.toml:2" || from["lan.name"] != "default" {
		t.Errorf("from %v", from)
	}
}

func TestSet(t *testing.T) {
	c, err := parse("config.toml", []byte("separator = \"-\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, value, want, wrong string }{
		{"host_name", "mail.example.org", `"mail.example.org"`, ""},
		{"host_name", `"mail.example.org"`, `"mail.example.org"`, ""},
		{"host_name", "not a name", "", "is not a host name"},
		{"host_name", "a\nb", "", "is not a host name"},
		{"limits.recipients", "20", "20", ""},
		{"limits.recipients", "0", "", "right is a number from"},
		{"limits.message_size", "20 MiB", `"20 MiB"`, ""},
		{"dns.trust", "yes", "", "right is what would stand"},
		{"listen.pop3", ":1100", `[":1100"]`, ""},
		{"listen.pop3", "[]", "[]", ""},
		{"listen.pop3", ":993", "", "is taken by"},
		{"separator", "+", "", "config.toml:1"},
		{"data", "/x", "", "before the store"},
		{"nothing", "1", "", "unknown setting"},
	} {
		got, err := c.Set(tt.name, tt.value)
		if got != tt.want || (err == nil) != (tt.wrong == "") || err != nil && !strings.Contains(err.Error(), tt.wrong) {
			t.Errorf("%s = %s: %q, %v; want %q, %q", tt.name, tt.value, got, err, tt.want, tt.wrong)
		}
	}
	if slices.ContainsFunc(c.Sources(), func(s Setting) bool { return s.From == "store" }) {
		t.Error("trying a value has changed the settings")
	}
}

// What is kept of a stored value is what the file would make of it.
func FuzzStored(f *testing.F) {
	f.Add("host_name", "mail.example.org")
	f.Add("listen.pop3", `[":1", ":2"]`)
	f.Add("queue.retry", "5m")
	f.Add("dns.trust", "true")
	f.Fuzz(func(t *testing.T, name, value string) {
		lit, err := Default().Set(name, value)
		if err != nil {
			return
		}
		c := Default()
		if err := c.UseStored(map[string]string{name: lit}); err != nil {
			t.Fatalf("%s = %q was taken as %q and then refused: %v", name, value, lit, err)
		}
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
	})
}
