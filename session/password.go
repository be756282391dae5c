package session

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	_ "embed"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"homemail/mail"
	"homemail/store"
)

// Why a new password is refused. There are no rules of composition: they make
// passwords worse, NIST SP 800-63B §3.1.1.2.
var (
	ErrShort    = fmt.Errorf("%w: a password has at least %d characters, or %d words", store.ErrInvalid, charactersMin, wordsMin)
	ErrLong     = fmt.Errorf("%w: a password has at most %d bytes", store.ErrInvalid, passwordMax)
	ErrCommon   = fmt.Errorf("%w: this password is one of those that are tried first", store.ErrInvalid)
	ErrPersonal = fmt.Errorf("%w: a password is not made of the person's own name or address", store.ErrInvalid)
)

const (
	charactersMin = 12
	wordsMin      = 4
	wordMin       = 2 // characters: かな words are short
)

// CheckPassword says whether a new password will do for somebody with some
// names and addresses: nil, ErrShort, ErrLong, ErrCommon or ErrPersonal.
func CheckPassword(password string, about ...string) error {
	if len(password) > passwordMax {
		return ErrLong
	}
	password = norm.NFC.String(password)
	if utf8.RuneCountInString(password) < charactersMin && countWords(password) < wordsMin {
		return ErrShort
	}
	if simple(password) {
		return ErrCommon
	}
	// What is left without the person's names is all that has to be guessed.
	core := fold(password)
	rest := core
	for _, part := range parts(about) {
		rest = strings.ReplaceAll(rest, part, "")
	}
	if len(rest) < len(core) && utf8.RuneCountInString(rest) < charactersMin/2 {
		return ErrPersonal
	}
	return nil
}

// countWords counts the different words of a phrase.
func countWords(s string) int {
	words := strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsPunct(r) })
	words = slices.DeleteFunc(words, func(w string) bool { return utf8.RuneCountInString(w) < wordMin })
	slices.Sort(words)
	return len(slices.Compact(words))
}

// parts takes names and addresses apart.
func parts(about []string) (list []string) {
	for _, a := range about {
		for _, p := range append(strings.FieldsFunc(a, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }), a) {
			if p = fold(p); utf8.RuneCountInString(p) >= 3 {
				list = append(list, p)
			}
		}
	}
	slices.SortFunc(list, func(a, b string) int { return len(b) - len(a) })
	return list
}

// simple reports whether a password is one of those that every list of guesses
// has, or is made of such a one: repeated, with digits and signs around it,
// with letters written as digits, a run of keys or of the alphabet.
func simple(password string) bool {
	s := strings.ToLower(password)
	if distinct(s) < 5 || running(s) {
		return true
	}
	words := commonWords()
	outer := strings.TrimFunc(s, func(r rune) bool { return !unicode.IsLetter(r) })
	for _, core := range []string{s, fold(s), outer, fold(outer)} {
		whole := core
		if core = period(core); core != whole && len(core) < charactersMin/2 {
			return true
		}
		if _, ok := words[core]; ok {
			return true
		}
		if core = strings.TrimFunc(core, func(r rune) bool { return !unicode.IsLetter(r) }); core == "" {
			continue
		}
		if _, ok := words[period(core)]; ok {
			return true
		}
	}
	return false
}

// fold takes letters that are written as digits and signs for what they mean,
// and leaves out what is neither letter nor digit.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case '0':
			return 'o'
		case '1', '!', '|':
			return 'i'
		case '3':
			return 'e'
		case '4', '@':
			return 'a'
		case '5', '$':
			return 's'
		case '7':
			return 't'
		}
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, s)
}

func distinct(s string) int {
	r := []rune(s)
	slices.Sort(r)
	return len(slices.Compact(r))
}

// period returns what s is a repetition of, or s.
func period(s string) string {
	for n := 1; n <= len(s)/2; n++ {
		if len(s)%n == 0 && strings.Repeat(s[:n], len(s)/n) == s {
			return s[:n]
		}
	}
	return s
}

// keyboards have what hands do by themselves, in both directions.
const keyboards = "abcdefghijklmnopqrstuvwxyz abcdefghijklmnopqrstuvwxyz 01234567890123456789 qwertyuiopasdfghjklzxcvbnm qwertzuiop azertyuiop " +
	"1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol 1q2w3e4r5t6y7u8i9o0p qazwsxedcrfvtgbyhnujmikolp あいうえおかきくけこさしすせそ いろはにほへとちりぬるを"

// running reports whether nearly all of s is runs of at least four keys.
func running(s string) bool {
	const run = 4
	r := []rune(s)
	free := 0 // characters in no run
	for i := 0; i < len(r); {
		n := 1
		for i+n < len(r) && onKeyboard(r[i:i+n+1]) {
			n++
		}
		if n < run {
			free += n
		}
		i += n
	}
	return free < len(r)/3
}

func onKeyboard(r []rune) bool {
	if strings.Contains(keyboards, string(r)) {
		return true
	}
	back := slices.Clone(r)
	slices.Reverse(back)
	return strings.Contains(keyboards, string(back))
}

// common.txt has what is tried first: passwords, and words that passwords are
// made of by those who were told to add a digit. It was written for homemail.
//
//go:embed common.txt.gz
var commonFile []byte

var commonWords = sync.OnceValue(func() map[string]struct{} {
	r, err := gzip.NewReader(bytes.NewReader(commonFile))
	if err != nil {
		panic(err) // a file of ours
	}
	b, err := io.ReadAll(r)
	if err != nil {
		panic(err)
	}
	words := make(map[string]struct{})
	for w := range strings.FieldsSeq(string(b)) {
		words[w] = struct{}{}
	}
	return words
})

// words.txt has English words that can be told apart on the telephone. It was
// written for homemail and is in the public domain.
//
//go:embed words.txt
var wordFile string

// Generate4Words makes a password of four words, such as
// "harbor-violin-maple-trout".
func Generate4Words() string {
	list := strings.Fields(wordFile)
	var words [wordsMin]string
	for i := range words {
		for {
			n, _ := rand.Int(rand.Reader, big.NewInt(int64(len(list)))) // never fails, crypto/rand
			if words[i] = list[n.Int64()]; !slices.Contains(words[:i], words[i]) {
				break
			}
		}
	}
	return strings.Join(words[:], "-")
}

// SetPassword gives an account another password, for an owner, or for who has
// forgotten it. It ends all sessions of the account.
func (m *Manager) SetPassword(ctx context.Context, id mail.AccountID, password string) error {
	_, err := m.setPassword(ctx, id, password)
	return err
}

// setPassword returns the hash. It has a salt of its own, so that all sessions
// are bound to another.
func (m *Manager) setPassword(ctx context.Context, id mail.AccountID, password string) (hash string, err error) {
	a, err := m.store.AccountByID(id)
	if err != nil {
		return "", err
	}
	p, err := a.Profile()
	if err != nil {
		return "", err
	}
	password = norm.NFC.String(password)
	if err := CheckPassword(password, p.Name, string(p.Address)); err != nil {
		return "", err
	}
	if hash, err = m.signin.HashPassword(ctx, password); err != nil {
		return "", err
	}
	if err := a.Update(func(p *store.Profile) error { p.Password = hash; return nil }); err != nil {
		return "", err
	}
	m.dropPending(id)
	return hash, m.recheck()
}

// ChangePassword has a person change the password, who says the old one once
// more. All other sessions end; this one goes on under the token of the result.
func (m *Manager) ChangePassword(ctx context.Context, from From, s *Session, old, password string) (Result, error) {
	if err := CheckPassword(password, s.Name, string(s.Address)); err != nil {
		return Result{}, err
	}
	e := Event{What: Confirmed, Account: s.Account, Name: string(s.Address), Method: ByPassword, From: from}
	p, err := m.own(ctx, from, s, old)
	if m.tell(e, err) != nil {
		return Result{}, err
	}
	m.signin.Right(from.attempt(), s.Account)
	n, err := m.generation(s.Account)
	if err != nil {
		return Result{}, err
	}
	hash, err := m.setPassword(ctx, s.Account, password)
	if err != nil {
		return Result{}, err
	}
	now, err := m.steady.Now()
	if err != nil {
		return Result{}, err
	}
	return m.renew(from, s, bindTo(n, p.Password), bindTo(n, hash), now)
}
