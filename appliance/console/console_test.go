package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func sample() View {
	return View{URL: "https://192.168.1.23/claim", Code: "K7QM-4T2X", Lights: []Light{{"receiving", "ok"}, {"sending", "bad"}}}
}

// TestWords: both languages have the same words, with the same gaps.
func TestWords(t *testing.T) {
	en, ja := Load("en"), Load("ja")
	gap := regexp.MustCompile(`\{[a-z]+\}`)
	for _, k := range slices.Sorted(maps.Keys(en)) {
		if ja[k] == "" || fmt.Sprint(gap.FindAllString(en[k], -1)) != fmt.Sprint(gap.FindAllString(ja[k], -1)) {
			t.Errorf("%s: %q, %q", k, en[k], ja[k])
		}
	}
	if len(en) != len(ja) {
		t.Error(len(en), len(ja))
	}
	for _, lang := range []string{"en", "ja"} {
		b, _ := catalogues.ReadFile(lang + ".json")
		if n := strings.Count(string(b), `": "`); n != len(Load(lang)) {
			t.Errorf("%s: a key is there twice", lang)
		}
		var w Words
		if err := json.Unmarshal(b, &w); err != nil {
			t.Error(err)
		}
	}
	if got := en.Say("console.owner.new", "who", "anna"); got != "The new password of anna is:" {
		t.Error(got)
	}
}

// TestGlyphs: every character of the words can be drawn.
func TestGlyphs(t *testing.T) {
	fonts, err := Fonts()
	if err != nil || len(fonts) != 2 {
		t.Fatal(len(fonts), err)
	}
	for i, f := range fonts {
		for _, r := range Runes() {
			if g, ok := f.Glyphs[r]; !ok || g.Advance == 0 {
				t.Errorf("font %d has no %q: run go run ./appliance/console/glyphs", i, r)
			}
		}
	}
}

func TestPack(t *testing.T) {
	in := []Font{{Height: 20, Baseline: 15, Glyphs: map[rune]Glyph{'あ': {'あ', 10, -1, -9, 2, 1, []byte{1, 15}}, '?': {'?', 5, 0, 0, 0, 0, []byte{}}}}}
	var b bytes.Buffer
	if err := Pack(&b, in, []rune{'?', 'あ'}); err != nil {
		t.Fatal(err)
	}
	out, err := Unpack(&b)
	if err != nil || fmt.Sprint(out) != fmt.Sprint(in) {
		t.Error(out, err)
	}
	if _, err := Unpack(strings.NewReader("x")); err == nil {
		t.Error("rubbish")
	}
}

func TestText(t *testing.T) {
	got := sample().Text()
	for _, want := range []string{"https://192.168.1.23/claim\r\n", "K7QM-4T2X", "Receiving: good", "受信: 良好", "Sending: needs you", "█", "▀", "▄"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	v := sample()
	v.Lang, v.Code = "ja", ""
	if got := v.Text(); strings.Contains(got, "Receiving") || strings.Contains(got, "K7QM") {
		t.Error(got)
	}
	if got := (View{Lang: "en", Trouble: "damaged"}).Text(); !strings.Contains(got, "damaged and could not be mended") || strings.Contains(got, "█") {
		t.Error(got)
	}
}

// TestMatrix: the code has its margin, and its three corners.
func TestMatrix(t *testing.T) {
	m := matrix(sample().link())
	n := len(m)
	if n < 21+2*quiet {
		t.Fatal(n)
	}
	for i := range n {
		for j := range quiet {
			if m[i][j] || m[j][i] || m[i][n-1-j] || m[n-1-j][i] {
				t.Fatal("no margin")
			}
		}
	}
	if !m[quiet][quiet] || !m[quiet][n-1-quiet] || !m[n-1-quiet][quiet] || m[n-1-quiet][n-1-quiet] && m[quiet+1][quiet+1] {
		t.Error("no corners")
	}
	if rows := strings.Count(Blocks("x"), "\r\n"); rows != (len(matrix("x"))+1)/2 {
		t.Error(rows)
	}
}

// TestDraw: there are words and a code on every size of screen, and nothing beyond
// it.
func TestDraw(t *testing.T) {
	for _, size := range [][2]int{{640, 480}, {800, 600}, {1280, 800}, {1920, 1080}, {3840, 2160}, {320, 200}} {
		for _, v := range []View{sample(), {Lang: "ja", Trouble: "damaged", Detail: "e2fsck: 4"}, {Prompt: "?", Typed: "1"}} {
			c, err := v.Draw(size[0], size[1])
			if err != nil {
				t.Fatal(err)
			}
			dark := 0
			for _, p := range c.Pix {
				if p != white {
					dark++
				}
			}
			if dark < 500 || dark > len(c.Pix)/2 {
				t.Errorf("%v: %d points are drawn", size, dark)
			}
		}
	}
}

func TestWrap(t *testing.T) {
	f := Font{Glyphs: map[rune]Glyph{'?': {Advance: 10}}} // everything is ten wide
	for _, tt := range []struct {
		text string
		want []string
	}{
		{"", []string{""}},
		{"one two three", []string{"one two", "three"}},
		{"unbreakable", []string{"unbreaka", "ble"}},
		{"受信は良好です。次の文", []string{"受信は良好です。", "次の文"}},
		{"受信は良好ですよ。次", []string{"受信は良好です", "よ。次"}},
	} {
		if got := wrap(f, tt.text, 80); !slices.Equal(got, tt.want) {
			t.Errorf("%q: %q", tt.text, got)
		}
	}
}

func TestEncode(t *testing.T) {
	c := &Canvas{W: 1, H: 1, Pix: []uint32{0x8040ff}}
	for _, tt := range []struct {
		form format
		want []byte
	}{
		{format{32, field{16, 8, 0}, field{8, 8, 0}, field{0, 8, 0}, 4}, []byte{0xff, 0x40, 0x80, 0}},
		{format{24, field{0, 8, 0}, field{8, 8, 0}, field{16, 8, 0}, 4}, []byte{0x80, 0x40, 0xff, 0}},
		{format{16, field{11, 5, 0}, field{5, 6, 0}, field{0, 5, 0}, 2}, []byte{0x1f, 0x82}},
	} {
		b := make([]byte, tt.form.line)
		if tt.form.encode(c, b); !bytes.Equal(b, tt.want) {
			t.Errorf("%d bits: %x", tt.form.bits, b)
		}
	}
}

func TestMenu(t *testing.T) {
	fits := func(a, r string) bool { return a == "10.0.0.2/8" && r == "10.0.0.1" }
	for keys, want := range map[string]Order{
		"12":                            {Task: Language, Arg: "ja"},
		"1\x1b4x1":                      {Task: PowerOff},
		"42":                            {},
		"31":                            {Task: NewOwner},
		"21":                            {Task: Automatic},
		"2210.0.0.2/8\r10.0.0.1\r":      {Address, "10.0.0.2/8", "10.0.0.1"},
		"2210.0.0.3\x7f2/8\r10.0.0.1\n": {Address, "10.0.0.2/8", "10.0.0.1"},
		"22x\r\r10.0.0.2/8\r10.0.0.1\r": {Address, "10.0.0.2/8", "10.0.0.1"},
		"22" + strings.Repeat("1", 100): {},
		"9":                             {},
	} {
		m := Menu{Fits: fits}
		var got Order
		for _, k := range keys {
			if o := m.Press(k); o.Task != Nothing {
				got = o
			}
		}
		if got != want {
			t.Errorf("%q: %+v, want %+v", keys, got, want)
		}
		if len(m.Typed()) > typedMax {
			t.Error("endless typing")
		}
	}
	m := Menu{}
	if m.Press('1'); m.Prompt(Load("en")) == "" {
		t.Error("nothing is asked")
	}
	if m.Read(); !m.Reading() || m.Press('1').Task != Nothing || m.Reading() {
		t.Error("what is read stays")
	}
}
