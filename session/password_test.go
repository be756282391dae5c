package session

import (
	"errors"
	"math"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCheckPassword(t *testing.T) {
	for password, want := range map[string]error{
		"violin harbor maple trout":       nil,
		"wx9-ruk2-pl04":                   nil,
		"いぬ ねこ とり うま":                     nil,
		"correcthorsebatterystaple":       ErrCommon,
		"short":                           ErrShort,
		"a b c d":                         ErrShort,
		"いぬ いぬ いぬ いぬ":                     ErrShort,
		"password1234":                    ErrCommon,
		"P@ssw0rd2024!":                   ErrCommon,
		"passwordpassword":                ErrCommon,
		"123456789012":                    ErrCommon,
		"qwertyuiop12":                    ErrCommon,
		"aaaaaaaaaaaaaaaa":                ErrCommon,
		"abcdefghijklmnop":                ErrCommon,
		"1q2w3e4r5t6y":                    ErrCommon,
		"Sakura202411":                    ErrCommon,
		"!!!!sunshine!!!!":                ErrCommon,
		"the the the the":                 ErrCommon,
		"harbor-2024-07":                  ErrCommon,
		"anna.maier.2024":                 ErrPersonal,
		"AnnaMaier1234":                   ErrPersonal,
		"anna@example.test":               ErrPersonal,
		"maiermaier123":                   ErrCommon, // a word twice
		"annas violin, harbored":          nil,
		strings.Repeat("violin ", 200):    ErrLong,
		"violin harbor maple trout \x00é": nil,
	} {
		if err := CheckPassword(password, "Anna Maier", "anna@example.test"); !errors.Is(err, want) || (want == nil) != (err == nil) {
			t.Errorf("%.40q: %v, not %v", password, err, want)
		}
	}
}

func TestGenerate4Words(t *testing.T) {
	list := strings.Fields(wordFile)
	if bits := wordsMin * math.Log2(float64(len(list))); bits < 42 {
		t.Errorf("%d words make %.0f bits", len(list), bits)
	}
	seen := map[string]bool{}
	for _, w := range list {
		if len(w) < 3 || len(w) > 11 || seen[w] || strings.Trim(w, "abcdefghijklmnopqrstuvwxyz") != "" {
			t.Errorf("%q", w)
		}
		seen[w] = true
	}
	for range 200 {
		p := Generate4Words()
		if seen[p] || CheckPassword(p, "Anna Maier", "anna@example.test") != nil {
			t.Errorf("%q: %v", p, CheckPassword(p, "Anna Maier", "anna@example.test"))
		}
		seen[p] = true
	}
}

func TestCommonList(t *testing.T) {
	if n := len(commonWords()); n < 2000 || len(commonFile) > 100_000 {
		t.Errorf("%d words in %d bytes", n, len(commonFile))
	}
}

// What is accepted is long enough, whatever it is.
func FuzzCheckPassword(f *testing.F) {
	f.Add("violin harbor maple trout", "Anna")
	f.Add("\xff\xfe1234567890", "\xff")
	f.Fuzz(func(t *testing.T, password, about string) {
		if CheckPassword(password, about) == nil && utf8.RuneCountInString(password) < wordsMin*wordMin+wordsMin-1 {
			t.Errorf("%q is accepted", password)
		}
	})
}
