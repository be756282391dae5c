package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"

	"homemail/admin"
	"homemail/bridge"
	"homemail/caps"
	"homemail/certs"
	"homemail/clock"
	"homemail/config"
	"homemail/deliver"
	"homemail/events"
	"homemail/imapd"
	"homemail/lan"
	"homemail/listen"
	"homemail/mail"
	"homemail/mdns"
	"homemail/outbound"
	"homemail/pop3d"
	"homemail/queue"
	"homemail/relay"
	"homemail/reports"
	"homemail/resolver"
	"homemail/router"
	"homemail/search"
	"homemail/signin"
	"homemail/smtpd"
	"homemail/store"
	"homemail/update/agent"
	"homemail/vacation"
	"homemail/web"
)

// stopTime is how long a server may take to stop: what smtpd gives a message
// that is coming in, and some for it to say goodbye and let go of the store.
const stopTime = 20 * time.Second

// A house is a server that is ready to run: its store is open and its doors
// are bound.
type house struct {
	config config.Config     // in force
	file   config.Config     // without what the store has
	kept   map[string]string // settings in the store, when the house was opened
	again  chan struct{}     // a setting has changed
	log    *slog.Logger
	store  *store.Store
	certs  *certs.Source
	signIn *signin.Checker
	agent  *deliver.Agent
	doors  []*listen.Listener
	socket net.Listener
	gates  map[string]*listen.Gate
	clock  *clock.Clock
	update *agent.Agent
	events *events.Log
	book   *outbound.Book
	keys   *outbound.Keyring
	relay  *relay.Relay
	queue  *queue.Queue
	bridge *bridge.Bridge
	caps   *caps.Caps
	search *search.Index
	lan    *lan.Devices
	dns    *resolver.Resolver // nil in a world of its own

	started time.Time // zero if nothing is served

	mx, msa  *smtpd.Server
	imap     *imapd.Server
	pop3     *pop3d.Server
	web      *web.Server
	people   *people
	line     *line         // nil in a closed world
	address  *addressWatch // nil in a closed world
	reports  *reports.Book
	vacation *vacation.Responder
	alerts   *alerts
	router   *router.Router  // nil if it is not asked
	mdns     *mdns.Responder // nil to stay unseen
}

// openHouse opens the store and binds every door, or fails without a trace.
func openHouse(ctx context.Context, c config.Config, w world, log *slog.Logger) (h *house, err error) {
	limitMemory()
	h = &house{config: c, log: log, again: make(chan struct{}, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.close())
		}
	}()
	h.store, err = store.Open(c.Data, store.Options{Log: log, Reserve: int64(c.Store.Reserve), MaintenanceHour: c.Store.MaintenanceHour})
	if err != nil {
		return h, err
	}
	if err = h.useStored(); err != nil {
		return h, err
	}
	c = h.config
	h.gates = gates(c)
	if err = h.openOutside(); err != nil {
		return h, err
	}
	if err = h.openCerts(w.closed()); err != nil {
		return h, err
	}
	if err = checkPorts(doors(c, h.gates)); err != nil {
		return h, err
	}
	if h.doors, err = w.given.Bind(ctx, doors(c, h.gates), log); err != nil {
		return h, err
	}
	if h.socket, err = admin.Listen(c.Data); err != nil {
		return h, fmt.Errorf("control socket: %w", err)
	}
	key, err := secret(c.Data)
	if err != nil {
		return h, err
	}
	return h, h.build(h.real(w), key)
}

// limitMemory makes Go collect garbage more often rather than let its heap
// grow beyond what a box with 1 GB has to spare.
func limitMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(90 << 20)
	}
}

// close ends what openHouse began; the store goes last.
func (h *house) close() error {
	for _, l := range h.doors {
		l.Close()
	}
	if h.socket != nil {
		h.socket.Close()
	}
	if h.store != nil {
		return errors.Join(h.events.Close(), h.store.Close())
	}
	return nil
}

// build makes the servers of all doors. The key makes salts for unknown names.
func (h *house) build(w world, key []byte) error {
	c := h.config
	outside, err := h.outside()
	if err != nil {
		return err
	}
	h.buildOutside(w)
	h.started = time.Now()
	h.alerts = newAlerts(h)
	h.signIn = signin.New(h.store, signin.Options{Log: h.log, Certificate: h.certs.Leaf, Secret: key, Told: story{h.events}.signedIn})
	h.agent = deliver.New(h.store, deliver.Options{Host: c.Host(), Log: h.log, Separator: c.Separator, Outside: outside, Confirm: h.confirm, Told: h.delivered})
	h.vacation = vacation.New(h.store, h.agent, vacation.Options{Host: c.Host(), Log: h.log, Trusted: h.clock.Trusted})
	door := smtpd.Options{
		Host: c.Host(), Directory: directory{h.agent}, TLS: h.certs.TLSConfig(), Log: h.log, Told: story{h.events}.refused,
		MaxSize: int64(c.Limits.MessageSize), MaxRecipients: c.Limits.Recipients,
		UnknownPerHour: c.Limits.UnknownRecipientsPerHour,
	}
	if door.UnknownPerHour == 0 {
		door.UnknownPerHour = -1 // in config.toml 0 is no limit
	}
	door.Judge, door.Neighbours = h.newJudge(w), smtpd.LAN(h.lan)
	h.mx = smtpd.New(door)
	door.Kind, door.Users, door.Judge = smtpd.Submission, smtpd.SignIn(h.signIn), nil
	h.msa = smtpd.New(door)
	h.search = search.New(h.store, h.log)
	h.imap = imapd.New(imapd.Options{
		Host: c.Host(), Store: h.store, Search: h.search, SignIn: h.signIn, TLS: h.certs.TLSConfig(),
		AppendLimit: int64(c.Limits.MessageSize), Log: h.log,
	})
	h.pop3 = pop3d.New(pop3d.Options{Host: c.Host(), SignIn: h.signIn, TLS: h.certs.TLSConfig(), Log: h.log})
	if h.dns != nil {
		h.buildLAN(key)
	}
	if h.line, err = h.newLine(w); err != nil {
		return err
	}
	if h.update, err = h.newUpdates(); err != nil {
		return err
	}
	h.address = h.newAddressWatch(h.addressOptions(h.line))
	if err := h.buildPeople(w, key); err != nil {
		return err
	}
	return h.buildWeb()
}

// directory lets smtpd see an Agent's Transactions as its own.
type directory struct{ *deliver.Agent }

func (d directory) Begin(from mail.Path, by mail.AccountID) smtpd.Transaction {
	return d.Agent.Begin(from, by)
}

// run serves until ctx ends or something fails, then stops everything in
// order and closes the store.
func (h *house) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	story{h.events}.started()
	for _, part := range h.parts() {
		g.Go(func() error { return part(ctx) })
	}
	for _, l := range h.doors {
		g.Go(func() error { return h.serve(ctx, l) })
		h.log.Info("listening", "door", l.Door().Name, "address", l.Addr())
	}
	done := make(chan error, 1)
	go func() { done <- g.Wait() }()
	select {
	case err := <-done:
		return errors.Join(err, h.close())
	case <-ctx.Done():
	}
	h.log.Info("stopping")
	story{h.events}.stopped()
	select {
	case err := <-done:
		return errors.Join(err, h.close())
	case <-time.After(stopTime):
		return errors.Join(errors.New("some connections did not end in time"), h.close())
	}
}

// parts are all that runs beside the doors.
func (h *house) parts() []func(context.Context) error {
	list := []func(context.Context) error{
		h.rebuild, h.broken, h.store.Run, h.events.Run, h.signIn.Run, h.relay.Run, h.queue.Run, h.bridge.Run, h.caps.Run, h.search.Run,
		h.releaseResumed, h.saveClock, h.completeKeys, h.certs.Run, h.line.Run, h.newReader(h.reports).Run,
		h.people.run, h.vacation.Run, h.alerts.run, h.vouch, h.update.Run, newUpdateNews(h).run,
		func(ctx context.Context) error { return h.admin().Serve(ctx, h.socket) },
	}
	if h.address != nil {
		list = append(list, h.address.run)
	}
	if h.router != nil {
		list = append(list, h.runRouter)
	}
	if h.mdns != nil {
		list = append(list, h.mdns.Run)
	}
	return list
}

// broken ends everything when the disk has failed.
func (h *house) broken(ctx context.Context) error {
	select {
	case <-h.store.BrokenDown():
		return h.store.Broken()
	case <-ctx.Done():
		return nil
	}
}

func (h *house) admin() *admin.House {
	a := &admin.House{
		Store: h.store, SignIn: h.signIn, Book: h.book, Keys: h.keys, Relay: h.relay, Queue: h.queue, Bridge: h.bridge, Caps: h.caps, LAN: h.lan,
		Checker: h.line.Checker(), Reports: h.reports, Events: h.events, CA: h.authority(), Ports: h.dnsPorts(), Settings: h.settings(),
		Host: h.config.Host(), Clock: h.clock, Updates: h.update, Started: h.started, Version: version(),
	}
	if h.dns != nil { // a nil pointer in an interface would be none
		a.DNS = h.dns
	}
	if h.address != nil {
		a.Publishing = h.address.publishing()
	}
	if h.people != nil {
		a.Setup = h.people.engine
	}
	return a
}
