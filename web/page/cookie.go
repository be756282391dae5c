package page

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

const (
	langCookie  = "lang"
	flashCookie = "flash"
	flashLife   = 2 * time.Minute // the next page takes it; a lost one is no news by then
	maxFlash    = 1500            // octets of a cookie: words, not documents
)

// cookieName is a cookie's name on the wire. Over HTTPS, "__Host-" keeps other
// hosts of the same domain from setting it.
func cookieName(r *http.Request, name string) string {
	if r.TLS != nil {
		return "__Host-" + name
	}
	return name
}

// SetCookie sets a cookie for this host and all of its paths, out of reach for
// scripts and for requests that other sites make. SameSite is Lax unless it is
// set: a link in a mail then still finds its reader signed in.
func SetCookie(w http.ResponseWriter, r *http.Request, c http.Cookie) {
	c.Name = cookieName(r, c.Name)
	c.Path, c.Domain = "/", ""
	c.HttpOnly, c.Secure = true, r.TLS != nil
	if c.SameSite == 0 {
		c.SameSite = http.SameSiteLaxMode
	}
	http.SetCookie(w, &c)
}

// Cookie returns the value of a cookie that SetCookie has set.
func Cookie(r *http.Request, name string) (string, bool) {
	c, err := r.Cookie(cookieName(r, name))
	if err != nil {
		return "", false
	}
	return c.Value, true
}

// DropCookie takes a cookie away.
func DropCookie(w http.ResponseWriter, r *http.Request, name string) {
	SetCookie(w, r, http.Cookie{Name: name, MaxAge: -1})
}

// sign returns the HMAC of a text for one use of the key.
func (s *Set) sign(use, text string) []byte {
	m := hmac.New(sha256.New, s.o.Key)
	m.Write([]byte(use))
	m.Write([]byte{0})
	m.Write([]byte(text))
	return m.Sum(nil)
}

// A flash is what the next page is to say, in a signed cookie: the server keeps
// nothing.
type flash struct {
	State State  `json:"s"`
	Key   string `json:"k"`
	Args  []any  `json:"a,omitempty"`
	Until int64  `json:"u"`
}

// Flash has the next page say something at its top.
func (s *Set) Flash(w http.ResponseWriter, r *http.Request, state State, m Message) {
	args := make([]any, len(m.Args))
	for i, a := range m.Args {
		if args[i] = a; i%2 == 1 {
			if _, ok := numeral(a); !ok {
				args[i] = s.words.Value(s.Lang(r), a)
			}
		}
	}
	b, err := json.Marshal(flash{state, m.Key, args, time.Now().Add(flashLife).Unix()})
	if err != nil || len(b) > maxFlash {
		s.log.Warn("too much to say on the next page", "key", m.Key, "octets", len(b), "err", err)
		return
	}
	text := base64.RawURLEncoding.EncodeToString(b)
	sum := base64.RawURLEncoding.EncodeToString(s.sign(flashCookie, text))
	SetCookie(w, r, http.Cookie{Name: flashCookie, Value: text + "." + sum, MaxAge: int(flashLife.Seconds())})
}

// takeFlash returns what the page before had to say, once.
func (s *Set) takeFlash(w http.ResponseWriter, r *http.Request) *Notice {
	value, ok := Cookie(r, flashCookie)
	if !ok {
		return nil
	}
	DropCookie(w, r, flashCookie)
	text, sum, _ := strings.Cut(value, ".")
	mac, err := base64.RawURLEncoding.DecodeString(sum)
	if err != nil || !hmac.Equal(mac, s.sign(flashCookie, text)) {
		return nil
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil
	}
	var f flash
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.UseNumber()
	if d.Decode(&f) != nil || time.Now().Unix() > f.Until {
		return nil
	}
	return &Notice{State: f.State, Text: Message{Key: f.Key, Args: f.Args}}
}

// Redirect leads on after a POST, so that loading the page again does not do
// the same again. A path that is not ours becomes "/".
func (s *Set) Redirect(w http.ResponseWriter, r *http.Request, path string) {
	path = local(path)
	if IsPart(r) { // a plain redirect would put the whole page into a part of it
		w.Header().Set("HX-Redirect", path)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	http.Redirect(w, r, path, http.StatusSeeOther)
}

// Done is Flash with good news, and Redirect.
func (s *Set) Done(w http.ResponseWriter, r *http.Request, path string, m Message) {
	s.Flash(w, r, Good, m)
	s.Redirect(w, r, path)
}
