package srs

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"homemail/mail"
)

var (
	secret = []byte("a secret of sixteen octets")
	other  = []byte("another secret of more octets")
)

func always() bool { return true }

func rewriter(t testing.TB, o Options) *Rewriter {
	t.Helper()
	if o.Secrets == nil {
		o.Secrets = [][]byte{secret}
	}
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func forward(t testing.TB, r *Rewriter, from, domain string) mail.Path {
	t.Helper()
	p, err := r.Forward(mail.Path(from), domain)
	if err != nil {
		t.Fatalf("%s: %v", from, err)
	}
	return p
}

func TestForward(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // 2000-01-01 is day 10957: "akwn"
		r := rewriter(t, Options{ClockTrusted: always})
		for _, tt := range []struct{ from, want string }{
			{"", ""},
			{"anna@us.test", "anna@us.test"},
			{"anna@US.test", "anna@US.test"},
			{"Anna+x=y@Example.ORG", "SRS0=HASH=akwn=example.org=Anna+x=y@us.test"},
			{"a..b@docomo.test", `"SRS0=HASH=akwn=docomo.test=a..b"@us.test`},
			{`"a \"b"@x.test`, `"SRS0=HASH=akwn=x.test=a \"b"@us.test`},
			{"a@[192.0.2.1]", `"SRS0=HASH=akwn=[192.0.2.1]=a"@us.test`},
			{"あ@例え.jp", "SRS0=HASH=akwn=xn--r8jz45g.jp=あ@us.test"},
			{"SRS0=abcd=efgh=x.test=anna@first.test", "SRS1=HASH=first.test==abcd=efgh=x.test=anna@us.test"},
			{"srs0+abcd=efgh=x.test=anna@first.test", "SRS1=HASH=first.test=+abcd=efgh=x.test=anna@us.test"},
			{"SRS1=abcd=first.test==efgh=hi=x.test=a@second.test", "SRS1=HASH=first.test==efgh=hi=x.test=a@us.test"},
			{"SRS1=what@second.test", "SRS0=HASH=akwn=second.test=SRS1=what@us.test"},
			{"SRS2=what@second.test", "SRS0=HASH=akwn=second.test=SRS2=what@us.test"},
		} {
			got := string(forward(t, r, tt.from, "Us.test"))
			if _, rest, ok := strings.Cut(got, "SRS"); ok {
				hash := rest[2:][:hashSize]
				got = strings.Replace(got, hash, "HASH", 1)
			}
			if got != tt.want {
				t.Errorf("%s: got %s, want %s", tt.from, got, tt.want)
			}
		}
	})
}

// TestWayBack follows a bounce through three forwarders.
func TestWayBack(t *testing.T) {
	first := rewriter(t, Options{ClockTrusted: always})
	second := rewriter(t, Options{Secrets: [][]byte{other}, ClockTrusted: always})
	third := rewriter(t, Options{Secrets: [][]byte{[]byte("the secret of the third")}})
	p1 := forward(t, first, "Anna@example.org", "first.test")
	p2 := forward(t, second, string(p1), "second.test")
	p3 := forward(t, third, string(p2), "third.test")
	for _, p := range []mail.Path{p3, mail.Path(strings.ToUpper(string(p3))), mail.Path(strings.ToLower(string(p3)))} {
		back, err := third.Reverse(p)
		if err != nil || back.Domain() != "first.test" {
			t.Fatalf("%s: %s, %v", p, back, err)
		}
		if back, err = first.Reverse(back); err != nil || back.Key() != "anna@example.org" {
			t.Errorf("%s: %s, %v", p, back, err)
		}
	}
	for _, r := range []*Rewriter{first, second} {
		if back, err := r.Reverse(p3); !errors.Is(err, ErrForged) {
			t.Errorf("%s is not theirs: %s, %v", p3, back, err)
		}
	}
}

func TestReverseRefuses(t *testing.T) {
	r := rewriter(t, Options{ClockTrusted: always})
	for in, want := range map[string]error{
		"":                                  ErrNotSRS,
		"anna@us.test":                      ErrNotSRS,
		"srs@us.test":                       ErrNotSRS,
		"SRS0@us.test":                      ErrNotSRS,
		"SRS2=a=b=c=d@us.test":              ErrNotSRS,
		"SRS0=@us.test":                     ErrForged,
		"SRS0=a=b=c@us.test":                ErrForged,
		"SRS0=a=b=c=d@us.test":              ErrForged,
		"SRS0====@us.test":                  ErrForged,
		"SRS1=a@us.test":                    ErrForged,
		"SRS1=a=b=c@us.test":                ErrForged,
		"SRS1=a=b==c@us.test":               ErrForged,
		"SRS0=aaaaaa=aaaa=x.test=a@us.test": ErrForged,
	} {
		if p, err := r.Reverse(mail.Path(in)); !errors.Is(err, want) || p != "" {
			t.Errorf("%s: %s, %v, want %v", in, p, err, want)
		}
	}
}

// TestForged changes every octet of what we have made.
func TestForged(t *testing.T) {
	r := rewriter(t, Options{ClockTrusted: always})
	for _, from := range []string{"anna@example.org", "SRS0=abcd=efgh=x.test=anna@first.test"} {
		good := string(forward(t, r, from, "us.test"))
		local := strings.IndexByte(good, '@')
		for i := len("SRS0="); i < local; i++ {
			for _, c := range "az7=." {
				bad := good[:i] + string(c) + good[i+1:]
				if strings.EqualFold(bad, good) {
					continue
				}
				if p, err := r.Reverse(mail.Path(bad)); err == nil {
					t.Errorf("%s is taken for %s", bad, p)
				}
			}
		}
	}
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trusted := false
		r := rewriter(t, Options{ClockTrusted: func() bool { return trusted }})
		timeless := forward(t, r, "anna@example.org", "us.test")
		trusted = true
		p := forward(t, r, "anna@example.org", "us.test")
		time.Sleep(validity * 24 * time.Hour)
		if _, err := r.Reverse(p); err != nil {
			t.Error(err)
		}
		time.Sleep(24 * time.Hour)
		if _, err := r.Reverse(p); !errors.Is(err, ErrExpired) {
			t.Errorf("after %d days: %v", validity+1, err)
		}
		if _, err := r.Reverse(timeless); err != nil {
			t.Errorf("made without a clock: %v", err)
		}
		trusted = false
		if _, err := r.Reverse(p); err != nil {
			t.Errorf("without a clock: %v", err)
		}
	})
}

func TestSecrets(t *testing.T) {
	old := forward(t, rewriter(t, Options{}), "anna@example.org", "us.test")
	both := rewriter(t, Options{Secrets: [][]byte{other, secret}})
	if _, err := both.Reverse(old); err != nil {
		t.Error(err)
	}
	if _, err := rewriter(t, Options{Secrets: [][]byte{other}}).Reverse(old); !errors.Is(err, ErrForged) {
		t.Error(err)
	}
	if p := forward(t, both, "anna@example.org", "us.test"); p == old {
		t.Error("signs with the old secret")
	}
	for _, o := range []Options{{}, {Secrets: [][]byte{[]byte("short")}}, {Secrets: [][]byte{secret, nil}}} {
		if _, err := New(o); err == nil {
			t.Errorf("takes %q", o.Secrets)
		}
	}
}

func TestUnfit(t *testing.T) {
	r := rewriter(t, Options{})
	for _, from := range []string{"postmaster", strings.Repeat("a", 64) + "@x.test", "a@" + strings.Repeat("x", 50) + ".test",
		"SRS1=ab=first.test==efgh=hi=" + strings.Repeat("x", 26) + ".test=anna@second.test"} {
		if _, err := mail.ParsePath(from); err != nil {
			t.Fatal(err)
		}
		if p, err := r.Forward(mail.Path(from), "us.test"); !errors.Is(err, ErrUnfit) {
			t.Errorf("%s: %s, %v", from, p, err)
		}
	}
	if p, err := r.Forward("a@x.test", strings.Repeat("x.", 126)+"test"); !errors.Is(err, ErrUnfit) {
		t.Errorf("long domain: %s, %v", p, err)
	}
}

// FuzzForward: what we rewrite is an address within the limits, comes back as
// it was, and means nothing to anybody with another secret.
func FuzzForward(f *testing.F) {
	for _, s := range []string{"anna@example.org", `"a=b c"@x.test`, `"\"@\\"@x.test`, "a.@x.test", "SRS0=a=b=c=d@x.test", "SRS1=a=b==c=d=e@x.test",
		"SRS1=a=B..c=-d@x.test", "あ@例え.jp", "a@[IPv6:2001:db8::1]", "K@x.test", `"SRS0=\"a"@x.test`} {
		f.Add(s)
	}
	r, stranger := rewriter(f, Options{ClockTrusted: always}), rewriter(f, Options{Secrets: [][]byte{other}})
	f.Fuzz(func(t *testing.T, s string) {
		from, err := mail.ParsePath(s)
		if err != nil {
			return
		}
		p, err := r.Forward(from, "us.test")
		if err != nil || p == from {
			return
		}
		if again, err := mail.ParsePath(string(p)); err != nil || again.Domain() != "us.test" || again.Wire() != string(p) {
			t.Fatalf("%s became %s: %v", from, p, err)
		}
		if local := strings.TrimSuffix(string(p), "@us.test"); len(local) > maxLocal {
			t.Errorf("%s became %s, too long", from, p)
		}
		if forged, err := stranger.Reverse(p); err == nil {
			t.Errorf("%s is taken for %s", p, forged)
		}
		home, err := r.Reverse(p)
		if err != nil {
			t.Fatalf("%s became %s: %v", from, p, err)
		}
		kind, rest := cut(unquote(from.Local()))
		_, first, inner, ok := "", "", "", false
		if kind == '1' {
			if _, first, inner, ok = split1(rest); ok {
				_, err := back("SRS0"+inner, first)
				ok = err == nil
			}
		}
		switch {
		case kind == '1' && ok: // goes straight to the first forwarder
			if want, err := mail.ParsePath(join("SRS0"+inner, first)); err != nil || home.Wire() != want.Wire() {
				t.Errorf("%s came back as %s", from, home)
			}
		case kind == '0':
			if !strings.EqualFold(home.Wire(), from.Wire()) {
				t.Errorf("%s came back as %s", from, home)
			}
		case home.Wire() != from.Wire():
			t.Errorf("%s came back as %s", from, home)
		}
	})
}

// FuzzReverse: only what we have made is taken, in whatever case.
func FuzzReverse(f *testing.F) {
	r := rewriter(f, Options{})
	good := string(forward(f, r, "anna@example.org", "us.test"))
	for _, s := range []string{good, strings.Replace(good, "SRS0=", "srs0+", 1), strings.ToUpper(good), "SRS1=a=b==c@us.test", `"SRS0="@us.test`, "SRS0=@"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		back, err := r.Reverse(mail.Path(s))
		if err != nil {
			if back != "" {
				t.Errorf("%q: %s with %v", s, back, err)
			}
			return
		}
		// The separator after the tag may be any; the hash is of 30 bits, so
		// that an accident is possible, if not here.
		again, err := r.Forward(back, "us.test")
		if err != nil {
			t.Fatalf("%q is taken for %s: %v", s, back, err)
		}
		was, is := unquote(mail.Path(s).Local()), unquote(again.Local())
		if was = was[:4] + "=" + was[5:]; !strings.EqualFold(was, is) {
			t.Errorf("%q is taken for %s, which is %s", s, back, again)
		}
	})
}

func BenchmarkForward(b *testing.B) {
	r := rewriter(b, Options{})
	for b.Loop() {
		p, err := r.Forward("anna@example.org", "us.test")
		if err != nil {
			b.Fatal(err)
		}
		if _, err := r.Reverse(p); err != nil {
			b.Fatal(err)
		}
	}
}
