package page

import (
	"net/url"
	"slices"
	"strings"
	"testing"
)

type signup struct {
	Name   string   `form:"name,required,max=5"`
	Secret string   `form:"secret,secret,min=3"`
	Text   string   `form:"text,lines"`
	Mode   string   `form:"mode,one=a|b"`
	Days   int      `form:"days,min=1,max=30"`
	On     bool     `form:"on"`
	To     []string `form:"to,max=10"`
	Free   string
}

func TestForm(t *testing.T) {
	for query, want := range map[string]string{
		"name=+Taro+&secret=+a+&days=3&mode=a&on=on&to=x&to=y": "",
		"":       "name page.form.required",
		"name=+": "name page.form.required",
		"name=%E5%A4%AA%E9%83%8E%E3%81%A1%E3%82%83%E3%82%93": "",
		"name=123456":              "name page.form.long",
		"name=a&secret=ab":         "secret page.form.short",
		"name=a%0D%0ABcc:x":        "name page.form.characters",
		"name=a%0Ab":               "name page.form.characters",
		"name=a%00":                "name page.form.characters",
		"name=a%E2%80%A8b":         "name page.form.characters",
		"name=%FF":                 "name page.form.characters",
		"name=a&secret=abc%0A":     "secret page.form.characters",
		"name=a&to=x&to=y%0Az":     "to page.form.characters",
		"name=a&text=one%0D%0Atwo": "",
		"name=a&text=one%00two":    "text page.form.characters",
		"name=a&mode=c":            "mode page.form.choice",
		"name=a&days=31":           "days page.form.between",
		"name=a&days=x":            "days page.form.number",
		"name=a&to=12345678901":    "to page.form.long",
	} {
		var in signup
		form := Read(request("POST", "/?name=notthis", query, "Content-Type", "application/x-www-form-urlencoded"), &in)
		var got []string
		for name, m := range form.Errors {
			got = append(got, name+" "+m.Key)
		}
		if strings.Join(got, ",") != want {
			t.Errorf("%q: %v, want %q", query, got, want)
		}
		if strings.Contains(query, "+Taro+") && (in.Name != "Taro" || in.Secret != " a " || in.Days != 3 || !in.On || !slices.Equal(in.To, []string{"x", "y"}) || form.Value("secret") != "") {
			t.Errorf("%+v %q", in, form.Value("secret"))
		}
		if strings.Contains(query, "text=one%0D") && in.Text != "one\ntwo" {
			t.Errorf("%q", in.Text)
		}
	}
}

// FuzzForm: whatever is sent, what a form without errors gives for a line has
// no line break and no control character, and no more than its length.
func FuzzForm(f *testing.F) {
	for _, s := range []string{"Taro", "a\r\nBcc: x", "\x00", "\u2028", "\xff", "太郎", " \u0085 "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var in signup
		form := Read(request("POST", "/", url.Values{"name": {s}, "text": {s}}.Encode()), &in)
		if !form.OK() {
			return
		}
		for _, r := range in.Name {
			if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' {
				t.Errorf("%q", in.Name)
			}
		}
		if n := len([]rune(in.Name)); n == 0 || n > 5 || strings.ContainsAny(in.Text, "\r\x00") {
			t.Errorf("%q %q", in.Name, in.Text)
		}
	})
}
