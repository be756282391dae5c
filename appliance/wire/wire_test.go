package wire

import (
	"errors"
	"strings"
	"testing"
)

func TestEach(t *testing.T) {
	for _, tt := range []struct {
		in, want string
		bad      bool
	}{
		{"a\nb c\n", "a|b c", false},
		{"a\nno end", "a", false},
		{"", "", false},
		{"a\n\x1b[2J\nb\n", "a", true},
		{strings.Repeat("x", Max) + "\n", strings.Repeat("x", Max), false},
		{"a\n" + strings.Repeat("x", Max+1) + "\n", "a", true},
		{"stop\nnot read\n", "stop", true},
	} {
		var got []string
		err := Each(strings.NewReader(tt.in), func(l string) error {
			got = append(got, l)
			if l == "stop" {
				return errors.New("stop")
			}
			return nil
		})
		if s := strings.Join(got, "|"); s != tt.want || (err != nil) != tt.bad {
			t.Errorf("%.20q: %.20q, %v", tt.in, s, err)
		}
	}
}

// FuzzEach: every line is one of the input, none is longer than Max, and none has
// a control character.
func FuzzEach(f *testing.F) {
	f.Add("lease 10.0.0.2/24\nx")
	f.Add("\r\n")
	f.Fuzz(func(t *testing.T, in string) {
		n := 0
		Each(strings.NewReader(in), func(l string) error {
			n++
			if len(l) > Max || strings.ContainsFunc(l, func(r rune) bool { return r < ' ' || r == 0x7f }) || !strings.Contains(in, l+"\n") {
				t.Errorf("%q", l)
			}
			return nil
		})
		if most := strings.Count(in, "\n"); n > most {
			t.Errorf("%d lines of %d", n, most)
		}
	})
}
