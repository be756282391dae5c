// Package api is the owner's operations for programs: JSON over HTTPS, by
// token. What can be asked for, and what it takes and answers, is package
// admin's; who may ask is written in the token. It knows no cookies, so that no
// page elsewhere can make a browser ask in an owner's name.
package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"time"

	"homemail/admin"
	"homemail/firstboot"
)

// A House does what is asked. *admin.House is one.
type House interface {
	Do(ctx context.Context, operation string, request json.RawMessage) (any, error)
}

// Tokens know who may ask. *admin.Tokens are some.
type Tokens interface {
	// Use returns what a token is, or admin.ErrNoToken.
	Use(secret string, from netip.Addr) (admin.Token, error)
}

// Options say what an API is of. House and Tokens have to be there.
type Options struct {
	House  House
	Tokens Tokens

	// Hosts are the names that the house is asked by. Addresses and localhost
	// will always do: no name elsewhere can be pointed at them.
	Hosts func() []string
	// Allowed says who may ask, by address. Nil lets this computer and private
	// networks.
	Allowed func(netip.Addr) bool
	Metrics http.Handler     // of GET /metrics; nil for none
	Refused func(netip.Addr) // is told of each wrong token; nil for nobody
	Log     *slog.Logger     // nil for the default one
}

// The paths that are ours.
const (
	root         = "/api/"
	version      = root + "v1/"
	documentPath = version + "openapi.json"
	metricsPath  = "/metrics"
)

const (
	bodyMax = 64 << 10        // octets; the longest, a plan for some domains, has a third of that
	longest = 5 * time.Minute // of an operation: everything stored is verified in that
	atOnce  = 8               // operations: what is beyond that would only slow mail down
)

// An API answers programs.
type API struct {
	o          Options
	log        *slog.Logger
	operations map[string]admin.Operation
	document   []byte
	guesses    guesses
	places     chan struct{} // one for each operation under way
}

// New returns an API. It starts nothing.
func New(o Options) (*API, error) {
	if o.House == nil || o.Tokens == nil {
		return nil, errors.New("api: it needs a house and its tokens")
	}
	a := &API{o: o, log: o.Log, operations: map[string]admin.Operation{}, places: make(chan struct{}, atOnce)}
	if a.log == nil {
		a.log = slog.Default()
	}
	if a.o.Allowed == nil {
		a.o.Allowed = private
	}
	for _, op := range operations() {
		a.operations[op.Name] = op
	}
	var err error
	a.document, err = Document()
	return a, err
}

// private reports whether an address is this computer's, or of a private network.
func private(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast()
}

// Over answers what is ours, and gives all else on to next.
func (a *API) Over(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == metricsPath && a.o.Metrics != nil || strings.HasPrefix(r.URL.Path, root) {
			a.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	from := remote(r)
	switch {
	case r.TLS == nil:
		// A token that came here has been seen by everybody on the way.
		a.refuse(w, insecure, "this is answered over HTTPS only; take a token back that was sent without it")
	case !a.known(r.Host):
		a.refuse(w, misdirected, "this is not a name of this server")
	case !a.o.Allowed(from):
		a.refuse(w, outside, "the API is not open to this address")
	case r.URL.Path == metricsPath && a.o.Metrics != nil:
		a.metrics(w, r, from)
	case r.URL.Path == documentPath:
		if a.method(w, r, http.MethodGet, http.MethodHead) {
			a.write(w, http.StatusOK, a.document)
		}
	default:
		a.operation(w, r, from)
	}
}

// remote is who is at the other end of the connection, whatever a header says.
func remote(r *http.Request) netip.Addr {
	p, _ := netip.ParseAddrPort(r.RemoteAddr) // of net/http; else the zero Addr, which is nobody's
	return p.Addr().Unmap().WithZone("")
}

// known reports whether a request names this server. A page elsewhere whose name
// is pointed here (DNS rebinding) still sends its own name.
func (a *API) known(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = fold(strings.Trim(host, "[]"))
	if _, err := netip.ParseAddr(host); err == nil || host == "localhost" { // RFC 6761 §6.3: never a name of the DNS
		return true
	}
	return a.o.Hosts != nil && slices.ContainsFunc(a.o.Hosts(), func(h string) bool { return host != "" && fold(h) == host })
}

func fold(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

func (a *API) method(w http.ResponseWriter, r *http.Request, allowed ...string) bool {
	if slices.Contains(allowed, r.Method) {
		return true
	}
	w.Header().Set("Allow", strings.Join(allowed, ", "))
	a.refuse(w, badMethod, "this is asked by "+strings.Join(allowed, " or "))
	return false
}

func (a *API) metrics(w http.ResponseWriter, r *http.Request, from netip.Addr) {
	if !a.method(w, r, http.MethodGet, http.MethodHead) {
		return
	}
	t, ok := a.authorize(w, r, from)
	if !ok {
		return
	}
	if !slices.ContainsFunc(t.Scopes, func(s admin.Scope) bool {
		return s == admin.ScopeRead || s == admin.ScopeMetrics || s == admin.ScopeAll
	}) {
		a.refuseScope(w, admin.ScopeMetrics)
		return
	}
	a.o.Metrics.ServeHTTP(w, r)
}

func (a *API) operation(w http.ResponseWriter, r *http.Request, from netip.Addr) {
	t, ok := a.authorize(w, r, from)
	if !ok {
		return
	}
	name, ours := strings.CutPrefix(r.URL.Path, version)
	op, found := a.operations[name]
	switch {
	case !ours || !found:
		a.refuse(w, noVerb, "there is no such operation; "+documentPath+" lists them all")
		return
	case !a.method(w, r, http.MethodPost):
		return
	case !op.Allowed(t.Scopes):
		a.refuseScope(w, op.Scope)
		return
	}
	body, err := read(w, r, op.Request)
	if err != nil {
		a.fail(w, name, t, err)
		return
	}
	select {
	case a.places <- struct{}{}:
		defer func() { <-a.places }()
	default:
		a.fail(w, name, t, errBusy)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), longest)
	defer cancel()
	end := http.NewResponseController(w)
	_ = end.SetReadDeadline(time.Now().Add(longest)) // else the server's, for pages, would cancel ctx
	_ = end.SetWriteDeadline(time.Now().Add(longest + time.Minute))
	ctx = admin.WithActor(ctx, admin.Actor{Door: "api", Who: t.Name, Remote: from.String()})
	answer, err := a.o.House.Do(ctx, name, body)
	if err != nil {
		a.fail(w, name, t, err)
		return
	}
	b, err := encode(answer)
	if err != nil {
		a.fail(w, name, t, err)
		return
	}
	a.write(w, http.StatusOK, b)
}

// read reads a request and holds it to its type before anything is done. No body
// at all is the request that says nothing.
func read(w http.ResponseWriter, r *http.Request, as reflect.Type) (json.RawMessage, error) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyMax))
	if err != nil {
		return nil, err
	}
	if len(b) == 0 {
		return json.RawMessage("{}"), nil
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, errMediaType
	}
	q := reflect.New(as)
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(q.Interface()); err != nil {
		return nil, fmt.Errorf("%w: %w", errRequest, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("%w: something follows it", errRequest)
	}
	return b, allowed(q.Interface())
}

// allowed refuses what a token may not ask of an operation that it may ask for.
func allowed(request any) error {
	switch q := request.(type) {
	case *admin.Change: // who sets a person's password signs in as that person, perhaps an owner
		if q.Password != nil {
			return errPassword
		}
	case *firstboot.Given: // so does who sets the owner's
		if len(q.Answers) > 0 && (q.Step == firstboot.You || q.Step == firstboot.Address) {
			return errPassword
		}
	}
	return nil
}

// operations are all that there are: those of a house, and those of setting it up.
func operations() []admin.Operation { return slices.Concat(admin.Operations(), firstboot.Operations()) }

// encode writes an answer; a list of nothing is a list.
func encode(answer any) ([]byte, error) {
	if v := reflect.ValueOf(answer); v.Kind() == reflect.Slice && v.IsNil() {
		return []byte("[]\n"), nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(answer)
	return b.Bytes(), err
}

func (a *API) write(w http.ResponseWriter, status int, b []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b) // who asked is gone, or it went
}
