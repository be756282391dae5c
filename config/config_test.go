package config

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// plain is c without the memory of where its values come from.
func plain(c Config) Config {
	c.file, c.lines, c.flags = "", nil, nil
	return c
}

func TestExampleIsTheDefault(t *testing.T) {
	raw, err := os.ReadFile("../config.example.toml")
	if err != nil {
		t.Fatal(err)
	}
	if c, err := parse("config.example.toml", raw); err != nil || len(c.lines) > 0 {
		t.Errorf("as it is: %v, and sets %v; want nothing set", err, c.lines)
	}
	live := regexp.MustCompile(`(?m)^#([a-z0-9_]+ = )`).ReplaceAll(raw, []byte("$1"))
	c, err := parse("config.example.toml", live)
	if err != nil {
		t.Fatal(err)
	}
	if got := plain(c); !reflect.DeepEqual(got, Default()) {
		t.Errorf("the example says\n%+v\nthe default is\n%+v", got, Default())
	}
	last := 0
	for _, f := range c.fields() {
		line := c.lines[f.name]
		if line <= last {
			t.Errorf("%s is at line %d, after line %d; want every setting, in the order of fields", f.name, line, last)
		}
		last = line
	}
	for i, l := range strings.Split(string(raw), "\n") {
		if len(l) > 80 {
			t.Errorf("config.example.toml:%d is longer than 80 characters", i+1)
		}
	}
}

// TestFieldsAreAll holds the table of settings against the struct itself.
func TestFieldsAreAll(t *testing.T) {
	c := Default()
	listed := map[any]bool{}
	for _, f := range c.fields() {
		if listed[f.to] {
			t.Errorf("%s is a place that another setting has", f.name)
		}
		listed[f.to] = true
	}
	var walk func(v reflect.Value, name string)
	walk = func(v reflect.Value, name string) {
		for i := range v.NumField() {
			sf := v.Type().Field(i)
			switch {
			case !sf.IsExported():
			case sf.Type.Kind() == reflect.Struct:
				walk(v.Field(i), name+sf.Name+".")
			case !listed[v.Field(i).Addr().Interface()]:
				t.Errorf("%s%s has no setting", name, sf.Name)
			default:
				delete(listed, v.Field(i).Addr().Interface())
			}
		}
	}
	walk(reflect.ValueOf(&c).Elem(), "")
	if len(listed) > 0 {
		t.Errorf("%d settings are no fields of Config", len(listed))
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.toml")
	const in = `host_name = "mail.example.org"
[listen]
smtp = ["[::1]:2525", "127.0.0.1:2525"]
pop3 = []
[limits]
message_size = "10 MB"
recipients = 500
`
	if err := os.WriteFile(path, []byte(in), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.UseData("mail", "-data"); err != nil {
		t.Fatal(err)
	}
	if c.Host() != "mail.example.org" || len(c.Listen.SMTP) != 2 || len(c.Listen.POP3) != 0 || c.Limits.MessageSize != 10e6 || c.Limits.Recipients != 500 {
		t.Errorf("got %+v", c)
	}
	want := map[string]Setting{
		"host_name":           {"host_name", `"mail.example.org"`, path + ":1"},
		"data":                {"data", `"` + c.Data + `"`, "-data"},
		"listen.smtp":         {"listen.smtp", `["[::1]:2525", "127.0.0.1:2525"]`, path + ":3"},
		"listen.pop3":         {"listen.pop3", `[]`, path + ":4"},
		"limits.message_size": {"limits.message_size", `"10 MB"`, path + ":6"},
		"limits.recipients":   {"limits.recipients", "500", path + ":7"},
		"log.level":           {"log.level", `"info"`, "default"},
	}
	for _, s := range c.Sources() {
		if w, ok := want[s.Name]; ok && s != w {
			t.Errorf("got %v, want %v", s, w)
		}
		delete(want, s.Name)
	}
	if len(want) > 0 {
		t.Errorf("not listed: %v", want)
	}
	if _, err := Load(path + "x"); err == nil {
		t.Error("a missing file was no error")
	}
	if c, err := Load(""); err != nil || !reflect.DeepEqual(plain(c), Default()) {
		t.Errorf("no file: %v", err)
	}
}

func TestMistakes(t *testing.T) {
	tests := []struct{ in, want string }{
		{"x = 1", `f:1: unknown setting "x"; config.example.toml lists them all`},
		{"\n[listen]\nSMTP = []", `f:3: unknown setting "listen.SMTP"`},
		{"[listne]\nsmtp = []", `f:1: unknown setting "listne"`},
		{"[listen.smtp]\nx = 1", "listen.smtp: is a section; right is a list"},
		{"listen = 3", "f:1: listen: is a section; right is a line [listen]"},
		{"[[listen]]\nsmtp = []", "listen: is a section"},
		{"x = = 1", "f:1: "},
		{"host_name = \"a b\"", `f:1: host_name: "a b" is not a host name; right would be "mail.example.org"`},
		{"host_name = \"a..b\"", "is not a host name"},
		{"host_name = 3", "f:1: host_name: is a number; right is text in quotes"},
		{"host_name = 2020-01-01", "host_name: is a date"},
		{"data = \"mail\"", "f:1: data: is \"mail\"; right is a whole path"},
		{"separator = \"++\"", "f:1: separator: is \"++\"; right is one of"},
		{"[listen]\nsmtp = [\"25\"]", `f:2: listen.smtp: "25" is not an address to listen on; right would be ":993"`},
		{"[listen]\nsmtp = [\":70000\"]", "is not an address"},
		{"[listen]\nsmtp = [\":+25\"]", "is not an address"},
		{"[listen]\nsmtp = [\":smtp\"]", "is not an address"},
		{"[listen]\nsmtp = [\"a b:25\"]", `"a b" is neither an IP address nor a host name`},
		{"[listen]\nsmtp = \":25\"", "listen.smtp: is text; right is a list in brackets"},
		{"[listen]\nsmtp = [25]", "listen.smtp: has a number in its list"},
		{"[listen]\nimap = [\":25\"]", `f:2: listen.imap: ":25" is taken by listen.smtp already`},
		{"[listen]\nlan_only = [\"web\"]", `f:2: listen.lan_only: there is no door "web"; right are smtp,`},
		{"[tls]\ncert = \"/c.pem\"", "tls.cert: a certificate and its key belong together"},
		{"[tls]\nkey = \"/c.pem\"", "tls.key: a certificate and its key belong together"},
		{"[limits]\nmessage_size = \"5 XB\"", `f:2: limits.message_size: "5 XB" is not a size; right would be "50 MiB"`},
		{"[limits]\nmessage_size = \"-5 MB\"", "is not a size"},
		{"[limits]\nmessage_size = 5.5", "is a number; right is a size in quotes"},
		{"[limits]\nmessage_size = 10", "is 10 B; right is a size from 64 KiB to 1 GiB"},
		{"[limits]\nmessage_size = \"9223372036854775807 TiB\"", "is not a size"},
		{"[limits]\nrecipients = 0", "f:2: limits.recipients: is 0; right is a number from 1 to 10000"},
		{"[limits]\nrecipients = \"7\"", "is text; right is a whole number without quotes"},
		{"[limits]\nsubmissions_per_hour = 2000", "limits.submissions_per_day: is less than limits.submissions_per_hour"},
		{"[store]\nmaintenance_hour = 24", "is 24; right is a number from 0 to 23"},
		{"[log]\nlevel = \"loud\"", `f:2: log.level: is "loud"; right is one of debug, info, warn, error`},
		{"x = 1\ny = 2\n[log]\nlevel = \"loud\"", "f:4: log.level"},
		{strings.Repeat(" ", maxFile+1), "f: is larger than 1 MiB"},
	}
	for _, tt := range tests {
		if _, err := parse("f", []byte(tt.in)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%.60q: got error %v\nwant %s", tt.in, err, tt.want)
		}
	}
}

func TestSize(t *testing.T) {
	for in, want := range map[string]Size{"0": 0, "1": 1, "50 MiB": 50 << 20, "50MB": 50e6, " 2 GB ": 2e9, "1 kB": 1000, "7 B": 7, "1025 KiB": 1025 << 10} {
		got, err := ParseSize(in)
		if back, err2 := ParseSize(got.String()); got != want || err != nil || back != want || err2 != nil {
			t.Errorf("%q: %d, %v; and %q: %d, %v; want %d", in, got, err, got, back, err2, want)
		}
	}
}

// FuzzLoad states two laws: what loads is valid, and what Sources shows loads
// again as the same settings.
func FuzzLoad(f *testing.F) {
	if raw, err := os.ReadFile("../config.example.toml"); err == nil {
		f.Add(raw)
	}
	for _, s := range []string{
		"", "x", "data = \"/\"", "listen.smtp = [\"[fe80::1%eth0]:25\"]", "log = {level = \"warn\", format = \"json\"}",
		"[limits]\nmessage_size = 52428801\nrecipients = 0x10", "[tls]\ncert = '''\n/a\"\\b'''\nkey = '/ü'", "[[listen]]", "\"listen\".\"smtp\" = []",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		c, err := parse("f", in)
		if err != nil {
			return
		}
		if err := c.Validate(); err != nil {
			t.Fatalf("loads, and is not valid: %v", err)
		}
		var again strings.Builder
		for _, s := range c.Sources() {
			again.WriteString(s.Name + " = " + s.Value + "\n")
		}
		back, err := parse("f", []byte(again.String()))
		if err != nil {
			t.Fatalf("what Sources shows does not load: %v\n%s", err, again.String())
		}
		for i, s := range back.Sources() {
			if was := c.Sources()[i]; was.Value != s.Value {
				t.Errorf("%s was %s, is %s", s.Name, was.Value, s.Value)
			}
		}
	})
}

func TestDuration(t *testing.T) {
	for in, want := range map[string]string{"5m": "5m", "90s": "90s", "60 s": "1m", "24h": "1d", "5 d": "5d", "0s": "0s"} {
		if d, err := ParseDuration(in); err != nil || d.String() != want {
			t.Errorf("%q: %v, %v, want %s", in, d, err, want)
		}
	}
	for _, in := range []string{"", "5", "m", "-5m", "5 min", "1e3s", "99999999d", "5ms"} {
		if d, err := ParseDuration(in); err == nil {
			t.Errorf("%q is taken as %v", in, d)
		}
	}
	for _, in := range []string{`queue.retry = []`, `queue.retry = ["0s"]`, `queue.give_up = "1m"`, `dns.server = "dns"`, `dns.trust = "yes"`,
		`queue.private_networks = ["10.0.0.0"]`, `inbound.mailing_lists = ["a b"]`} {
		if _, err := parse("f", []byte(in)); err == nil {
			t.Errorf("%s is taken", in)
		}
	}
	c, err := parse("f", []byte("[queue]\nretry = [\"1s\", \"2m\"]\nprivate_networks = [\"10.1.2.3/8\"]\n[dns]\nserver = \"127.0.0.1:53\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	if nets, err := c.Queue.Networks(); err != nil || nets[0].String() != "10.0.0.0/8" || len(c.Queue.Retry) != 2 {
		t.Errorf("%v, %v, %v", nets, c.Queue.Retry, err)
	}
}
