package firstboot

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"homemail/address"
	"homemail/admin"
	"homemail/bridge"
	"homemail/caps"
	"homemail/certs"
	"homemail/check"
	"homemail/clock"
	"homemail/config"
	"homemail/dnsplan/publish"
	"homemail/internal/mailtest"
	"homemail/lan"
	"homemail/outbound"
	"homemail/queue"
	"homemail/relay"
	"homemail/session"
	"homemail/store"
	"homemail/zones"
)

// A world is a house with the real operations over a real store. What is outside
// are values.
type world struct {
	*admin.House
	store *store.Store
	dns   mailtest.Zone

	asked  []string // changing operations, in their order
	kill   int      // the number of the operation after which the power goes; 0 for none
	before bool     // or before it
	line   admin.Line
	cert   bool
	fail   map[string]error // of operations

	registered bool // the free name

	bug     string // an operation that panics
	bugGone atomic.Bool
}

// errKilled is what an engine sees whose process is gone.
var errKilled = errors.New("killed")

func newWorld(t *testing.T) *world {
	t.Helper()
	s, err := store.Open(t.TempDir(), store.Options{Log: slog.New(slog.DiscardHandler), Reserve: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	book, err := outbound.Open(s)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{store: s, dns: mailtest.Zone{}, fail: map[string]error{}}
	w.line.Recommend.Mode, w.line.Recommend.Code = check.Smarthost, "out-blocked"
	c := clock.New(clock.Options{})
	limits, err := caps.New(s, caps.Options{PerHour: 100, PerDay: 1000, NewPerDay: 100, Trusted: c.Trusted})
	if err != nil {
		t.Fatal(err)
	}
	r := relay.New(relay.Options{Host: "box.test", Resolver: w.dns, Routes: book.Routes})
	w.House = &admin.House{
		Store: s, Book: book, Keys: outbound.NewKeyring(s), Relay: r, Caps: limits, LAN: lan.New(s, lan.Options{}), Clock: c,
		Queue:    queue.New(queue.Options{Store: s, Transport: r, Clock: c, Host: "box.test", Steps: []time.Duration{time.Minute}, GiveUp: time.Hour, Concurrency: 1, PerHop: 1}),
		Bridge:   bridge.New(s, bridge.Options{}),
		Settings: admin.Settings{File: config.Default(), Path: "setting/"},
		Host:     "box.test",
		Publishing: &admin.Publishing{
			Zones: zones.New(s, &http.Client{Transport: mailtest.NewDeSEC(w.dns)}), Publisher: publish.New(publish.Options{Store: s, NotFound: store.ErrNotFound}),
			Addresses: func() address.Addrs { return address.Addrs{V4: netip.MustParseAddr("203.0.113.7")} },
		},
	}
	return w
}

// changing are the operations after which a kill leaves something else behind.
var changing = map[string]bool{
	"domain.add": true, "account.add": true, "account.change": true, "setting.set": true, "route.set": true, "smarthost.save": true,
	"bridge.add": true, "certificate.agree": true, "alert.set": true, "device.add": true, "device.revoke": true, "zone.set": true,
	"publish.apply": true, "mx.switch": true, "freename.register": true, "owner.add": true, "password.reset": true,
}

func (w *world) Do(ctx context.Context, verb string, request json.RawMessage) (any, error) {
	if w.kill < 0 {
		return nil, errKilled
	}
	if changing[verb] {
		w.asked = append(w.asked, verb)
		if len(w.asked) == w.kill {
			defer func() { w.kill = -1 }()
			if w.before {
				return nil, errKilled
			}
			w.do(ctx, verb, request)
			return nil, errKilled
		}
	}
	return w.do(ctx, verb, request)
}

func (w *world) do(ctx context.Context, verb string, request json.RawMessage) (any, error) {
	if err := w.fail[verb]; err != nil {
		return nil, err
	}
	if verb == w.bug && !w.bugGone.Load() {
		panic("a bug in " + verb)
	}
	switch verb {
	case "owner.list":
		ids, err := session.NewOwners(w.store).List()
		list := []admin.Person{}
		for _, id := range ids {
			a, err := w.store.AccountByID(id)
			if err != nil {
				return nil, err
			}
			p, err := a.Profile()
			if err != nil {
				return nil, err
			}
			list = append(list, admin.Person{Address: p.Address})
		}
		return list, err
	case "owner.add":
		var q admin.Address
		if err := json.Unmarshal(request, &q); err != nil {
			return nil, err
		}
		a, err := w.store.Account(q.Address)
		if err != nil {
			return nil, err
		}
		return admin.Empty{}, session.NewOwners(w.store).Add(a.ID)
	case "freename.register":
		if !w.registered {
			return nil, errors.New("nobody registers here")
		}
		return admin.Empty{}, nil
	case "line.check":
		return w.line, nil
	case "certificate.list":
		v, err := w.House.Do(ctx, verb, request)
		c, _ := v.(admin.Certificates)
		c.Host = w.House.Host
		if w.cert {
			c.Names = []certs.Status{{Name: c.Host, Shown: certs.Valid}}
		}
		return c, err
	case "smarthost.save", "bridge.add": // nobody is there to be tried
		var q map[string]any
		if err := json.Unmarshal(request, &q); err != nil {
			return nil, err
		}
		q["untried"] = true
		request, _ = json.Marshal(q)
	}
	return w.House.Do(ctx, verb, request)
}

// state dies with the process: the engine can write nothing any more.
type state struct {
	*store.Store
	w *world
}

func (s state) PutState(path string, v []byte) error {
	if s.w.kill < 0 {
		return errKilled
	}
	return s.Store.PutState(path, v)
}

func (w *world) engine(t *testing.T, with func(*Options)) *Engine {
	t.Helper()
	o := Options{House: w, State: state{w.store, w}}
	if with != nil {
		with(&o)
	}
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// asker is how a face on the other side of the socket asks.
type asker struct{ e *Engine }

func (a asker) Do(ctx context.Context, verb string, request, answer any) error {
	b, err := json.Marshal(request)
	if err != nil {
		return err
	}
	v, err := a.e.Do(ctx, verb, b)
	if err != nil {
		return err
	}
	if b, err = json.Marshal(v); err != nil {
		return err
	}
	return json.Unmarshal(b, answer)
}

func submit(t *testing.T, e *Engine, id ID, a Answers) View {
	t.Helper()
	v, err := e.Submit(t.Context(), id, a)
	if err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	return v
}

func wantStatus(t *testing.T, v View, status Status, reason string) {
	t.Helper()
	if v.Status != status || v.Reason.Key != reason || len(v.Problems) > 0 {
		t.Fatalf("%s: is %s because of %q (%s), problems %v; want %s because of %q", v.ID, v.Status, v.Reason.Key, v.Detail, v.Problems, status, reason)
	}
}
