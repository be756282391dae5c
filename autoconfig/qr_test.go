package autoconfig

import (
	"bytes"
	"fmt"
	"image/png"
	"net/url"
	"strings"
	"testing"

	"homemail/mail"
)

func TestProfileURL(t *testing.T) {
	for _, addr := range []mail.Path{"anna@example.test", "a+b&c=d#e@example.test", "\"a b\"@example.test", "花@example.test"} {
		s, err := ProfileURL(home(), addr)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(s)
		if err != nil || u.Host != "mail.example.test" || u.Path != ProfilePath || u.Query().Get("address") != addr.Wire() || u.Fragment != "" {
			t.Errorf("%q: got %s, %v", addr, s, err)
		}
	}
	if _, err := ProfileURL(home(), "a@other.test"); err == nil {
		t.Error("a URL for somebody else's address")
	}
}

func TestAccountText(t *testing.T) {
	s := home()
	s.Submission = s.Submission[:1]
	got, err := AccountText(s, "anna@example.test", "")
	want := "User name: anna@example.test\nServer: mail.example.test\nIMAP: port 993, SSL/TLS\nPOP3: port 995, SSL/TLS\nSMTP: port 587, STARTTLS\n"
	if err != nil || got != want {
		t.Errorf("got %q, %v", got, err)
	}
	s.POP3 = nil
	got, err = AccountText(s, "anna@example.test", "ja")
	want = "ユーザー名: anna@example.test\nサーバー: mail.example.test\nIMAP: ポート 993, SSL/TLS\nSMTP: ポート 587, STARTTLS\n"
	if err != nil || got != want {
		t.Errorf("got %q, %v", got, err)
	}
}

// Both pictures show the modules of the code, and nothing in the quiet zone.
func TestQR(t *testing.T) {
	q, err := NewQR("https://mail.example.test/.mobileconfig?address=anna%40example.test")
	if err != nil {
		t.Fatal(err)
	}
	const scale = 3
	img, err := png.Decode(bytes.NewReader(q.PNG(scale)))
	if err != nil {
		t.Fatal(err)
	}
	if side := (q.Size() + 2*quiet) * scale; img.Bounds().Dx() != side || img.Bounds().Dy() != side {
		t.Fatalf("picture of %v", img.Bounds())
	}
	svg := string(q.SVG())
	drawn := map[[2]int]bool{}
	_, path, _ := strings.Cut(svg, `<path d="`)
	for run := range strings.SplitSeq(strings.Split(path, `"`)[0], "z") {
		var x, y, w, back int
		if run == "" {
			continue
		}
		if _, err := fmt.Sscanf(run, "M%d %dh%dv1h-%d", &x, &y, &w, &back); err != nil || w != back {
			t.Fatalf("%q: %v", run, err)
		}
		for i := range w {
			drawn[[2]int{x + i, y}] = true
		}
	}
	black := 0
	for y := range q.Size() + 2*quiet {
		for x := range q.Size() + 2*quiet {
			want := q.Black(x-quiet, y-quiet)
			r, _, _, _ := img.At(x*scale+1, y*scale+1).RGBA()
			if (r == 0) != want || drawn[[2]int{x, y}] != want {
				t.Fatalf("at %d,%d: black %v, PNG %v, SVG %v", x, y, want, r == 0, drawn[[2]int{x, y}])
			}
			if want {
				black++
			}
		}
	}
	if black < q.Size()*q.Size()/4 {
		t.Errorf("only %d of %d modules are black", black, q.Size()*q.Size())
	}
}

func TestQRLimits(t *testing.T) {
	q, err := NewQR(strings.Repeat("a", maxQR))
	if err != nil || q.Size() != 81 {
		t.Errorf("got %v, %v", q.Size(), err)
	}
	if _, err := NewQR(strings.Repeat("a", maxQR+1)); err == nil {
		t.Error("no limit")
	}
	if n := len(q.PNG(1 << 20)); n > 1<<20 {
		t.Errorf("a picture of %d octets", n)
	}
}
