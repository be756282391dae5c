// Package wizard is the pages that set a house up: from the code on the box to
// the first mail, and on to phones and people. Each page is a step of
// firstboot.Engine, which keeps what was answered at once; the pages keep
// nothing but what is under way. They need no JavaScript.
package wizard

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"homemail/admin"
	"homemail/autoconfig"
	"homemail/check"
	"homemail/firstboot"
	"homemail/mail"
	"homemail/web/page"
)

//go:embed pages
var files embed.FS

// Source is what the package brings for a page.Set: its templates and words.
// Those of firstboot.UI have to be among the sources, too.
func Source() fs.FS {
	pages, err := fs.Sub(files, "pages")
	if err != nil {
		panic(err) // the name is a constant
	}
	return pages
}

// Options say what the pages are of. Engine, Claim, House and Set have to be
// there.
type Options struct {
	Engine *firstboot.Engine
	Claim  *firstboot.Claim
	House  firstboot.House // asked what the DNS says, and who is there
	Set    *page.Set       // whose sources have Source and firstboot.UI among them

	// SignIn opens a session for the new owner and gives the browser its cookie.
	SignIn func(w http.ResponseWriter, r *http.Request, owner mail.Path) error
	// Owner reports whether an owner is signed in. Nil is nobody.
	Owner func(*http.Request) bool
	// SignInAt is the page where people sign in; "" is "/enter".
	SignInAt string

	// Fingerprint is that of the certificate, in words or in hex, to be compared
	// with what the box shows; nil, or "", for none.
	Fingerprint func() string
	// Secure is where the same page is found over HTTPS, "" if it is not. Nil
	// serves everything over plain HTTP, too.
	Secure func(*http.Request) string
	// Password proposes a password of some words; nil proposes none.
	Password func() string
	// Checks are the results of the line as they come in; nil shows them at the
	// end.
	Checks func() []check.Result
	// Server says what mail programs have to know for a domain. Nil makes no
	// profiles for phones.
	Server func(domain string) autoconfig.Server
	// Sign signs a profile for Apple's devices; nil leaves it unsigned.
	Sign func(profile []byte) ([]byte, error)

	Log *slog.Logger // nil for the default one
}

// A Wizard is the pages.
type Wizard struct {
	o     Options
	set   *page.Set
	log   *slog.Logger
	jobs  *jobs
	looks *looks
	taken atomic.Bool // the house has an account, and stays somebody's
}

// New makes the pages. It starts nothing; Close ends what they have started.
func New(o Options) *Wizard {
	z := &Wizard{o: o, log: o.Log, looks: newLooks()}
	if z.log == nil {
		z.log = slog.Default()
	}
	z.jobs = newJobs(z.log)
	if z.o.SignInAt == "" {
		z.o.SignInAt = "/enter"
	}
	z.set = o.Set.With(z.frame)
	return z
}

// Close ends what is under way, and returns when it has ended. The engine goes
// on with it at the next start.
func (z *Wizard) Close() { z.jobs.close() }

// Handler serves /first, /claim and /share. It goes into the handler of the Set,
// whose rules hold for it.
func (z *Wizard) Handler() http.Handler {
	m := http.NewServeMux()
	m.HandleFunc("GET /claim", z.toClaim) // as it stands on the box
	m.HandleFunc("GET /first", z.first)
	m.HandleFunc("GET /first/claim", z.askCode)
	m.HandleFunc("POST /first/claim", z.take)
	m.HandleFunc("GET /first/claim/events", z.claimEvents)
	m.HandleFunc("GET "+plugPath, z.mayPlug(z.askPlug))
	m.HandleFunc("POST "+plugPath, z.mayPlug(z.awaitPlug))
	m.HandleFunc("POST "+plugPath+"/take", z.mayPlug(z.takePlug))
	m.HandleFunc("GET "+plugPath+"/events", z.mayPlug(z.plugEvents))
	m.HandleFunc("GET /share/{token}", z.shared)
	m.HandleFunc("GET /share/{token}/events", z.sharedEvents)
	for pattern, h := range map[string]http.HandlerFunc{
		"GET " + eventsPath:          z.events,
		"GET /first/{step}":          z.show,
		"POST /first/{step}":         z.submit,
		"POST /first/{step}/skip":    z.skip,
		"POST /first/line/again":     z.lineAgain,
		"GET /first/dns/zone":        z.zoneFile,
		"POST /first/dns/end-link":   z.endLink,
		"POST /first/switch/undo":    z.undo,
		"POST /first/safe/codes":     z.codes,
		"POST /first/people/add":     z.addPerson,
		"POST /first/people/list":    z.addList,
		"POST /first/people/device":  z.addDevice,
		"POST /first/people/profile": z.profile,
		"POST /first/people/forget":  z.forget,
		"GET /first/done":            z.finished,
	} {
		m.Handle(pattern, z.enter(h))
	}
	m.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { z.set.Error(w, r, http.StatusNotFound) })
	return m
}

// ours are the paths that Handler serves.
func ours(path string) bool {
	return path == "/first" || path == "/claim" || strings.HasPrefix(path, "/first/") || strings.HasPrefix(path, "/share/")
}

// Guide serves the paths of Handler, and all others by next once the house is
// somebody's. Before, whoever comes is led to the wizard.
func (z *Wizard) Guide(next http.Handler) http.Handler {
	own := z.Handler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case ours(r.URL.Path):
			own.ServeHTTP(w, r)
		case z.somebodys(r.Context()):
			next.ServeHTTP(w, r)
		default:
			z.set.Redirect(w, r, "/first")
		}
	})
}

// somebodys reports whether the house has an account. What cannot be known is
// taken for yes: nobody is to be kept from the pages for it.
func (z *Wizard) somebodys(ctx context.Context) bool {
	if z.taken.Load() {
		return true
	}
	list, err := ask[[]admin.Account](ctx, z, "account.list", admin.Empty{})
	if err == nil && len(list) > 0 {
		z.taken.Store(true)
	}
	return err != nil || len(list) > 0
}

// ask does an operation of the house.
func ask[A any](ctx context.Context, z *Wizard, verb string, request any) (a A, err error) {
	b, err := json.Marshal(request)
	if err != nil {
		return a, err
	}
	v, err := z.o.House.Do(ctx, verb, b)
	if err != nil {
		return a, err
	}
	if v, ok := v.(A); ok {
		return v, nil
	}
	if b, err = json.Marshal(v); err != nil {
		return a, err
	}
	return a, json.Unmarshal(b, &a)
}

// claimCookie holds the proof that this browser has claimed the house.
const claimCookie = "claim"

// Session is an id of the browser that has claimed the house, "" for others: for
// page.Options.Session as long as nobody is signed in.
func Session(r *http.Request) string {
	token, ok := page.Cookie(r, claimCookie)
	if !ok || token == "" {
		return ""
	}
	sum := sha256.Sum256([]byte("claim " + token))
	return hex.EncodeToString(sum[:])
}

// say is a word of the engine as pages say it.
func say(w firstboot.Word) page.Message {
	args := make([]any, len(w.Args))
	for i, a := range w.Args {
		args[i] = a
	}
	return page.Say(w.Key, args...)
}

func (z *Wizard) fail(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() == nil {
		z.log.Error("a page of the set-up could not be made", "path", page.Where(r), "err", err)
	}
	z.set.Error(w, r, http.StatusInternalServerError)
}

func path(id firstboot.ID) string { return "/first/" + string(id) }

func with(path string, pairs ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}
