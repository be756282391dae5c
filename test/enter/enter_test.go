// Package enter signs in as people do: in a browser, with a passkey, without
// JavaScript, with the keyboard alone; and looks at each page.
package enter

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
	"golang.org/x/crypto/argon2"

	"homemail/mail"
	"homemail/session"
	"homemail/signin"
	"homemail/store"
	"homemail/test/pages"
	"homemail/web/enter"
	"homemail/web/page"
)

const password = "violin harbor maple trout"

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

type house struct {
	m      *session.Manager
	anna   mail.AccountID
	secure string // its address, by HTTPS
	plain  string // and without
}

func newHouse(t testing.TB) *house {
	s, err := store.Open(t.TempDir(), store.Options{Log: quiet})
	must(t, err)
	must(t, s.AddDomain("example.test"))
	salt := []byte("0123456789abcdef")
	hash := "$argon2id$v=19$m=64,t=1,p=1$" + base64.RawStdEncoding.EncodeToString(salt) + "$" +
		base64.RawStdEncoding.EncodeToString(argon2.IDKey([]byte(password), salt, 1, 64, 1, 32))
	a, err := s.AddAccount(store.Profile{Address: "anna@example.test", Name: "Anna", Password: hash})
	must(t, err)
	h := &house{anna: a.ID}
	set, err := page.New(page.Options{Sources: []fs.FS{enter.Source()}, Hosts: func() []string { return nil },
		Key: []byte("0123456789abcdef0123456789abcdef"), Session: enter.TokenOf, Log: quiet})
	must(t, err)
	h.m = session.New(s, session.Options{
		Log: quiet, SignIn: signin.New(s, signin.Options{Log: quiet, FailDelay: -1}), Refuse: enter.Refuse(set),
		Passkeys: func() (session.RelyingParty, bool) {
			return session.RelyingParty{ID: "localhost", Origins: []string{h.secure}}, true
		},
	})
	e := enter.New(enter.Options{Manager: h.m, Set: set, Log: quiet, ResetFile: "reset-owner",
		Home:  func(*session.Session) string { return "/home" },
		HTTPS: func(r *http.Request) string { return h.secure + r.URL.Path }})
	mux := http.NewServeMux()
	mux.Handle(enter.Path, e)
	mux.Handle(enter.Path+"/", e)
	mux.Handle(enter.LeavePath, e)
	mux.Handle("/home", h.m.Require(session.Person, 0)(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := session.FromContext(r.Context())
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<html lang="en"><title>home</title><body>%s by %s</body></html>`, s.Address, s.Method)
	})))
	mux.Handle("/owners", h.m.Require(session.Owner, 0)(http.NotFoundHandler()))
	handler := h.m.Middleware(set.Handler(mux))
	tls, plain := httptest.NewTLSServer(handler), httptest.NewServer(handler)
	h.secure = strings.Replace(tls.URL, "127.0.0.1", "localhost", 1)
	h.plain = plain.URL
	t.Cleanup(func() { set.Close(); tls.Close(); plain.Close(); s.Close() })
	return h
}

// call is a command of the browser's protocol as an action.
func call[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

// authenticator is a phone that makes passkeys, and whose owner is at hand.
func authenticator(verified bool) chromedp.Action[chromedp.Void] {
	return chromedp.Steps(
		call(webauthn.Enable, webauthn.EnableParams{}),
		call(webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
			Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
			HasResidentKey: true, HasUserVerification: true, IsUserVerified: verified, AutomaticPresenceSimulation: true,
		}}),
	)
}

// TestPasskey makes a passkey and signs in with it, alone, as a second factor,
// and to say again who one is.
func TestPasskey(t *testing.T) {
	b := pages.Start(t)
	for _, as := range []pages.As{{Lang: "en", Theme: "light", Width: 1200}, {Lang: "ja", Theme: "dark", Width: 320}} {
		passkey(t, b, as)
	}
}

func passkey(t *testing.T, b *pages.Browser, as pages.As) {
	h := newHouse(t)
	tab := b.Open(as)
	defer tab.Close()
	tab.Do(
		authenticator(true),
		chromedp.Navigate(h.secure+enter.NewPasskeyPath+"?to=/home"),
		chromedp.WaitVisible("#f-address"),
		chromedp.SendKeys("#f-address", "anna@example.test"),
		chromedp.Click("#f-remember"),
		chromedp.SendKeys("#f-password", password+"\r"),
		chromedp.WaitVisible("[data-passkey=create]"),
		chromedp.SendKeys("#f-name", "My laptop"),
		chromedp.Click("[data-passkey=create]"),
		chromedp.WaitVisible("pre"),
	)
	look(t, "recovery", as, tab)
	f, err := h.m.Factors(h.anna)
	must(t, err)
	if len(f.Passkeys) != 1 || f.Passkeys[0].Name != "My laptop" || f.Recovery != 10 {
		t.Errorf("%+v", f)
	}
	// The same device again: the page says that it has one, and sends nothing.
	tab.Do(
		chromedp.Navigate(h.secure+enter.NewPasskeyPath),
		chromedp.Click("[data-passkey=create]"),
		chromedp.WaitVisible("[data-wrong=InvalidStateError]"),
	)
	look(t, "known", as, tab)
	for _, way := range []struct {
		from, to   string
		remembered bool
	}{{"/enter/again?to=/home", "/home", true}, {"/enter", "/home", false}} {
		tab.Do(chromedp.Navigate(h.secure+way.from), chromedp.Click("[data-passkey=get]"))
		arrive(t, tab, way.to)
		if got := text(tab); got != "anna@example.test by passkey" {
			t.Errorf("%s: %q", way.from, got)
		}
		list, err := h.m.List(h.anna)
		must(t, err)
		if len(list) != 1 || list[0].Remember != way.remembered {
			t.Errorf("%s: %d sessions, remembered %t", way.from, len(list), list[0].Remember)
		}
		tab.Do(chromedp.Navigate(h.secure+"/enter/again"), chromedp.Click(".account button"))
		arrive(t, tab, "/enter")
	}
	tab.Do(chromedp.SendKeys("#f-address", "anna@example.test"), chromedp.SendKeys("#f-password", password+"\r"))
	arrive(t, tab, "/enter/code")
	look(t, "owed", as, tab)
	tab.Do(chromedp.Click("[data-passkey=get]"))
	arrive(t, tab, "/home")
}

// TestPasskeyRefused: a finger that is not the owner's signs nobody in, and the
// page says what to do.
func TestPasskeyRefused(t *testing.T) {
	b := pages.Start(t)
	h := newHouse(t)
	as := pages.As{Lang: "en", Theme: "light", Width: 320}
	tab := b.Open(as)
	defer tab.Close()
	tab.Do(
		authenticator(false),
		chromedp.Navigate(h.secure+"/enter"),
		chromedp.Click("[data-passkey=get]"),
		chromedp.WaitVisible("[data-wrong=NotAllowedError]"),
	)
	look(t, "stopped", as, tab)
}

func text(tab *pages.Tab) string { return pages.Get(tab, chromedp.TextContent("body")) }

// arrive waits until a tab shows a page.
func arrive(t *testing.T, tab *pages.Tab, path string) {
	t.Helper()
	for range 100 {
		if u, err := url.Parse(pages.Get(tab, chromedp.Location())); err == nil && u.Path == path {
			tab.Do(chromedp.WaitReady("body"))
			return
		}
		tab.Do(chromedp.Sleep(20 * time.Millisecond))
	}
	t.Fatalf("at %s, not %s", pages.Get(tab, chromedp.Location()), path)
}

// enrol has Anna use codes, and returns the present one.
func (h *house) enrol(t *testing.T) (code func(step int64) string) {
	t.Helper()
	res, err := h.m.Open(session.From{}, h.anna, false)
	must(t, err)
	en, err := h.m.BeginTOTP(res.Session)
	must(t, err)
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(en.Secret)
	must(t, err)
	code = func(later int64) string { // RFC 6238
		m := hmac.New(sha1.New, key)
		m.Write(binary.BigEndian.AppendUint64(nil, uint64(time.Now().Unix()/30+later)))
		sum := m.Sum(nil)
		at := sum[len(sum)-1] & 15
		return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[at:])&0x7fffffff%1_000_000)
	}
	_, err = h.m.FinishTOTP(t.Context(), session.From{}, res.Session, code(-1))
	must(t, err)
	return code
}

// TestKeyboardWithoutJavaScript signs in to the last step by keys alone.
func TestKeyboardWithoutJavaScript(t *testing.T) {
	b := pages.Start(t)
	h := newHouse(t)
	code := h.enrol(t)
	for _, lang := range []string{"en", "ja"} {
		tab := b.Open(pages.As{Lang: lang, Theme: "light", Width: 320, NoJS: true})
		tab.Do(chromedp.Navigate(h.plain+"/enter?to=/home%3Fx"), chromedp.WaitReady("#f-address:focus"), chromedp.KeyEvent("anna@example.test\twrong\r"))
		tab.Do(chromedp.WaitReady(".notice.bad:not([data-wrong])"), chromedp.WaitReady("#f-password:focus"), chromedp.KeyEvent(password+"\t \r")) // the address is still there; and be remembered
		arrive(t, tab, "/enter/code")
		later := int64(0)
		if lang == "ja" {
			later = 1 // each code is good once
		}
		tab.Do(chromedp.WaitReady("#f-code:focus"), chromedp.KeyEvent(code(later)+"\r"))
		arrive(t, tab, "/home")
		if got := text(tab); got != "anna@example.test by totp" {
			t.Errorf("%s: %q", lang, got)
		}
		tab.Close()
	}
}

// look looks at a page; its pictures are known by a name, not by its path.
func look(t *testing.T, name string, as pages.As, tab *pages.Tab) {
	t.Helper()
	for range 100 { // a page that a form led to may still be without its style
		if pages.Get(tab, chromedp.Evaluate[bool](`document.readyState == "complete"`)) {
			break
		}
		tab.Do(chromedp.Sleep(20 * time.Millisecond))
	}
	f := tab.Look()
	if f.Shot == "" {
		return
	}
	_, rest, _ := strings.Cut(filepath.Base(f.Shot), "-"+as.Lang+"-")
	must(t, os.Rename(f.Shot, filepath.Join(filepath.Dir(f.Shot), "enter."+name+"-"+as.Lang+"-"+rest)))
}

// TestLook looks at each page as everybody.
func TestLook(t *testing.T) {
	b := pages.Start(t)
	for _, as := range pages.Everybody() {
		h := newHouse(t)
		look := func(name string, tab *pages.Tab) { look(t, name, as, tab) }
		tab := b.Open(as)
		tab.Do(chromedp.Navigate(h.plain + "/enter"))
		look("plain", tab)
		tab.Do(chromedp.Navigate(h.secure + "/enter"))
		look("enter", tab)
		tab.Do(chromedp.WaitReady("#f-address:focus"), chromedp.KeyEvent("anna@example.test\twrong\r"), chromedp.WaitReady(".notice.bad:not([data-wrong])"))
		look("wrong", tab)
		tab.Do(chromedp.Navigate(h.secure + "/enter/forgotten"))
		look("forgotten", tab)
		tab.Do(chromedp.Navigate(h.secure+"/enter?to=/home"), chromedp.WaitReady("#f-address:focus"), chromedp.KeyEvent("anna@example.test\t"+password+"\r"))
		arrive(t, tab, "/home")
		tab.Do(chromedp.Navigate(h.secure + enter.NewPasskeyPath + "?to=/home"))
		look("newpasskey", tab)
		tab.Do(chromedp.Navigate(h.secure + "/owners"))
		look("owners", tab)
		h.enrol(t)
		tab.Do(chromedp.Navigate(h.secure + "/enter/again?to=/home"))
		look("again", tab)
		tab.Close()

		tab = b.Open(as)
		tab.Do(chromedp.Navigate(h.secure+"/enter?to=/home"), chromedp.WaitReady("#f-address:focus"), chromedp.KeyEvent("anna@example.test\t"+password+"\r"))
		arrive(t, tab, "/enter/code")
		look("code", tab)
		tab.Close()
	}
}
