package reports

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
)

var someDay = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func TestParseDMARC(t *testing.T) {
	google := report("google.com", "12345", "example.test", someDay,
		testRow{"192.0.2.1", 3, "pass", "fail", "<dkim><domain>example.test</domain><result>pass</result><selector>a</selector></dkim><spf><domain>list.test</domain><result>pass</result></spf>"})
	for name, in := range map[string][]byte{
		"plain": []byte(google), "mark": []byte("\xef\xbb\xbf\r\n" + google), "gzip": gz(t, google), "zip": zipped(t, "", google),
	} {
		got, err := Parse(in)
		d, ok := got.(*DMARC)
		if err != nil || !ok || len(d.Rows) != 1 {
			t.Fatalf("%s: %+v, %v", name, got, err)
		}
		r := d.Rows[0]
		if d.Org != "google.com" || d.ID != "12345" || d.Domain != "example.test" || !d.Begin.Equal(someDay) || d.Policy != "none" ||
			r.Source.String() != "192.0.2.1" || r.Count != 3 || !r.DKIM || r.SPF || r.From != "example.test" || !reflect.DeepEqual(r.Passed, []string{"example.test", "list.test"}) {
			t.Errorf("%s: %+v", name, d)
		}
	}
}

func TestParseOthers(t *testing.T) {
	for _, tt := range []struct{ name, in, org, want string }{
		{"another order", russian, "Post & Co", "192.0.2.1 20 true false [example.test] [] []"},
		{"old", old, "Café", "2001:db8::1 1 false false [] [example.test] [mailing_list]"},
		{"new", newer, "New", "192.0.2.123 123 true false [example.test] [] []"},
	} {
		got, err := Parse([]byte(tt.in))
		d, ok := got.(*DMARC)
		if err != nil || !ok || len(d.Rows) != 1 {
			t.Fatalf("%s: %+v, %v", tt.name, got, err)
		}
		r := d.Rows[0]
		have := fmt.Sprint(r.Source, r.Count, r.DKIM, r.SPF, r.Passed, r.Unsealed, r.Reasons)
		if strings.ReplaceAll(have, " ", "") != strings.ReplaceAll(tt.want, " ", "") || d.Org != tt.org || d.Domain != "example.test" {
			t.Errorf("%s: %s of %q and %q", tt.name, have, d.Org, d.Domain)
		}
	}
}

func TestParseTLS(t *testing.T) {
	got, err := Parse(gz(t, tlsReport("2026-03-01T00:00:00Z_example.test", "example.test", someDay, 40, 2, "certificate-expired")))
	r, ok := got.(*TLS)
	if err != nil || !ok || len(r.Policies) != 1 || len(r.Policies[0].Failures) != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	p := r.Policies[0]
	f := p.Failures[0]
	if r.Org != "Google Inc." || !r.Begin.Equal(someDay) || p.Type != "sts" || p.Domain != "example.test" || p.Successes != 40 || p.Failed != 2 ||
		f.Type != "certificate-expired" || f.Count != 2 || f.MX != "mx.example.test" || f.From.String() != "192.0.2.9" {
		t.Errorf("%+v", r)
	}
	loose := `{"date-range":{"start-datetime":"2026-03-01T00:00:00Z","end-datetime":"2026-03-01T23:59:59Z"},"report-id":7,"policies":{"policy":{"policy-type":"no-policy-found","policy-domain":"example.test","mx-host":"a"},"summary":{"total-successful-session-count":"5"},"failure-details":null}}`
	if got, err := Parse([]byte(loose)); err != nil || got.(*TLS).Policies[0].Successes != 5 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestParseRefuses(t *testing.T) {
	whole := report("x", "1", "example.test", someDay)
	for name, in := range map[string]string{
		"nothing": "", "blanks": strings.Repeat(" ", 100), "text": "unused\n", "html": "<html><body>Hello</body></html>", "cut": whole[:200],
		"json": `{"a":1}`, "list": `[1]`, "no time": strings.Replace(whole, "<begin>", "<begin>x", 1),
		"a year": strings.Replace(whole, "<end>", "<end>9", 1), "no domain": strings.Replace(whole, "<domain>example.test", "<domain>", 1),
		"gzip": "\x1f\x8b\x08", "zip": "PK\x03\x04xxx", "utf16": `<?xml version="1.0" encoding="UTF-16"?><feedback/>`,
	} {
		if got, err := Parse([]byte(in)); !errors.Is(err, ErrNoReport) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// TestBombs: what is small on the wire and large behind it is given up before
// it costs anything.
func TestBombs(t *testing.T) {
	zeros := strings.Repeat("\x00", 50<<20)
	feedback := "<feedback>"
	entries := zipped(t, make([]string, 5000)...)
	for name, in := range map[string][]byte{
		"gzip": gz(t, " "+zeros), "xml": gz(t, feedback+zeros), "zip": zipped(t, feedback+zeros), "files": entries,
		"text": []byte(feedback + strings.Repeat("a", 900<<10)), "comment": []byte(feedback + "<!--" + strings.Repeat("<", 900<<10)),
		"attribute": []byte(`<feedback a="` + strings.Repeat("a", 900<<10)), "doctype": []byte("<!DOCTYPE " + strings.Repeat("[", 900<<10)),
		"deep": []byte(strings.Repeat("<a>", 300<<10)), "elements": gz(t, feedback+strings.Repeat("<a/>", 2<<20)),
		"policies": gz(t, `{"policies":[`+strings.Repeat("{},", 300<<10)+`{}]}`), "json": gz(t, `{"a":"`+strings.Repeat("a", 5<<20)),
		"ratio": gz(t, feedback+strings.Repeat("<version>1</version>\n", 400<<10)), "packed": make([]byte, maxPacked+1),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got, err := Parse(in)
		runtime.ReadMemStats(&after)
		if err == nil || got != nil && !reflect.ValueOf(got).IsNil() {
			t.Errorf("%s was taken: %v", name, err)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 {
			t.Errorf("%s took %d MB", name, used>>20)
		}
	}
	entity := `<!DOCTYPE feedback [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>` + strings.Replace(report("&b;", "1", "example.test", someDay), "&b=2", "", 1)
	if got, err := Parse([]byte(entity)); err != nil || got.(*DMARC).Org != "&b;" {
		t.Errorf("an entity: %+v, %v", got, err)
	}
}

func TestManyRows(t *testing.T) {
	rows := make([]testRow, maxRows+5)
	for i := range rows {
		rows[i] = testRow{fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255), 1, "fail", "fail", ""}
	}
	got, err := Parse(gz(t, report("x", "1", "example.test", someDay, rows...)))
	if err != nil || len(got.(*DMARC).Rows) != maxRows || got.(*DMARC).Left != 5 {
		t.Fatalf("%v", err)
	}
	var tl tally
	tl.add(got.(*DMARC).Rows, ours{func(string) bool { return false }, nil})
	if len(tl.Sources) != maxSources || tl.More.Failed != maxRows-maxSources {
		t.Errorf("%d sources, %+v", len(tl.Sources), tl.More)
	}
}

// FuzzParse: whatever comes, the result is within the bounds, shows no control
// characters, and is what our own rendering of it reads as.
func FuzzParse(f *testing.F) {
	g := report("google.com", "1", "example.test", someDay, testRow{"192.0.2.1", 3, "pass", "fail", ""})
	t := tlsReport("1", "example.test", someDay, 40, 2, "certificate-expired")
	for _, s := range []string{g, t, russian, old, newer, "", "unused", "<feedback><record></record>", `{"policies":[{"policy":{"policy-domain":"a.b"}}]}`} {
		f.Add([]byte(s))
	}
	f.Add(gz(f, g))
	f.Add(zipped(f, g))
	f.Add(gz(f, t))
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := Parse(in)
		if err != nil {
			if !errors.Is(err, ErrNoReport) && !errors.Is(err, ErrTooBig) {
				t.Fatalf("an error of ours: %v", err)
			}
			return
		}
		if d, ok := got.(*DMARC); ok {
			if len(d.Rows) > maxRows || strings.ContainsAny(d.Org+d.ID+d.Email, "\r\n\x00\x1b") || len(d.Org) > 3*maxText {
				t.Fatalf("out of bounds: %+v", d)
			}
			d.Left = 0
		}
		again, err := Parse(gz(t, string(render(got))))
		if err != nil || !reflect.DeepEqual(got, again) {
			t.Fatalf("%+v\nrendered is\n%+v, %v", got, again, err)
		}
	})
}
