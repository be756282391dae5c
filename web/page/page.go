// Package page is how every page for people is made: one layout, components,
// words in two languages, static files, and the rules that keep strangers' pages
// away from ours. A package that has pages brings its templates and catalogues
// and gives typed views to a Set. Pages need no JavaScript; htmx makes them
// quicker where there is some. It knows nothing of mail, keeps no state, and
// asks nobody.
package page

import (
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// Options are what a Set is made from. The functions are asked at each request
// and must be quick; all but Hosts may be nil.
type Options struct {
	// Sources are what the packages with pages bring: templates NAME.html, and
	// en.json and ja.json. The template NAME is what its file holds. No name and
	// no key may be in two places.
	Sources []fs.FS

	// Hosts are the names that pages are served under. An address is allowed,
	// too, where it is the one that the connection came to.
	Hosts func() []string

	Key []byte // signs cookies and tokens; at least 32 octets, secret, kept

	Frame   func(*http.Request) Frame    // what is around a page
	Lang    func(*http.Request) Lang     // of the account; "" if it has not said
	Session func(*http.Request) string   // an id of who is signed in, for tokens; "" for nobody
	Zone    func() *time.Location        // where people are
	Body    func(*http.Request) int64    // what a request may carry; 0 for the usual
	Allowed func(*http.Request) *Refusal // further rules, as who may come from where; nil if allowed
	Log     *slog.Logger                 // nil for the default one
}

// A Frame is what is around a page.
type Frame struct {
	Home    string  // where the product's name leads; "/" if empty
	Account string  // who is signed in
	SignOut string  // where a POST ends the session
	Nav     []Link  // the ways to other pages
	Steps   bool    // Nav are the steps of a task, in order
	Notice  *Notice // to be said on every page, above all else
}

// A Link is an entry of the navigation.
type Link struct {
	Href    string // empty for a step that cannot be gone to yet
	Label   Message
	State   State // of a step, or what a page has to report; "" for none
	Current bool
	Count   int // of what waits there; 0 for none
}

// A Notice is said at the top of pages.
type Notice struct {
	State State
	Text  Message
	Href  string  // of what to do about it
	Do    Message // what that is
}

// A Set makes pages. It may be used by any number of requests at once.
type Set struct {
	o       Options
	log     *slog.Logger
	words   *Words
	assets  *assets
	pages   map[Lang]*template.Template
	mark    string // stands for the token in what templates make; nobody can know it
	streams *streams
	cross   *http.CrossOriginProtection
}

const minKey = 32 // octets: as many as of the hash

// New reads the templates and the catalogues. It starts nothing.
func New(o Options) (*Set, error) {
	if o.Hosts == nil {
		return nil, errors.New("page: pages need to know the names of their host")
	}
	if len(o.Key) < minKey {
		return nil, fmt.Errorf("page: the key has %d octets; it needs %d", len(o.Key), minKey)
	}
	s := &Set{o: o, log: o.Log, pages: map[Lang]*template.Template{}, streams: newStreams(), mark: newMark(), cross: http.NewCrossOriginProtection()}
	if s.log == nil {
		s.log = slog.Default()
	}
	var err error
	if s.words, err = LoadWords(o.Zone, o.Sources...); err != nil {
		return nil, err
	}
	if s.assets, err = loadAssets(sub(staticFiles, "static")); err != nil {
		return nil, err
	}
	for _, lang := range Langs() {
		t := template.New("").Option("missingkey=error")
		funcs := s.funcs(lang, t)
		t.Funcs(funcs)
		if err := addTemplates(t, o.Sources, funcs); err != nil {
			return nil, err
		}
		s.pages[lang] = t
	}
	return s, nil
}

// With returns the same set with another frame: each package has its own
// navigation.
func (s *Set) With(frame func(*http.Request) Frame) *Set {
	other := *s
	other.o.Frame = frame
	return &other
}

// Words are the catalogues, for what is said elsewhere than in pages.
func (s *Set) Words() *Words { return s.words }

// Close ends all streams, so that a server that stops need not wait for them.
func (s *Set) Close() { s.streams.close() }

// addTemplates reads the templates of all sources and our own: a file's name is that of
// its template, and it may define others.
func addTemplates(t *template.Template, sources []fs.FS, funcs template.FuncMap) error {
	for _, source := range append([]fs.FS{ownUI()}, sources...) {
		files, err := fs.Glob(source, "*.html")
		if err != nil {
			return fmt.Errorf("page: %w", err)
		}
		for _, file := range files {
			b, err := fs.ReadFile(source, file)
			if err != nil {
				return fmt.Errorf("page: %w", err)
			}
			one, err := template.New(strings.TrimSuffix(file, ".html")).Funcs(funcs).Parse(string(b))
			if err != nil {
				return fmt.Errorf("page: %w", err)
			}
			for _, part := range one.Templates() {
				if t.Lookup(part.Name()) != nil {
					return fmt.Errorf("page: two templates are called %q", part.Name())
				}
				if _, err := t.AddParseTree(part.Name(), part.Tree); err != nil {
					return fmt.Errorf("page: %w", err)
				}
			}
		}
	}
	return nil
}

// Files are those below "pages" of what a package has embedded.
func Files(embedded embed.FS) fs.FS {
	pages, err := fs.Sub(embedded, "pages")
	if err != nil {
		panic(err) // the name is a constant
	}
	return pages
}

// Under reports whether a path is that of a link, or below it; below home is
// everything, so that has to be it.
func (l Link) Under(path, home string) bool {
	return path == l.Href || l.Href != home && strings.HasPrefix(path, l.Href+"/")
}
