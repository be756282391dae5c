package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
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
	"homemail/firstboot"
	"homemail/imapd"
	"homemail/lan"
	"homemail/listen"
	"homemail/mail"
	"homemail/mdns"
	"homemail/metrics"
	"homemail/outbound"
	"homemail/pop3d"
	"homemail/queue"
	"homemail/relay"
	"homemail/reports"
	"homemail/resolver"
	"homemail/router"
	"homemail/signin"
	"homemail/smtpd"
	"homemail/store"
	"homemail/vacation"
	"homemail/web"
	"homemail/web/dash/logring"
)

// stopTime is how long a server may take to stop: what smtpd gives a message
// that is coming in, and some for it to say goodbye and let go of the store.
const stopTime = 20 * time.Second

func serve(in *invocation, f *flag.FlagSet) action {
	ports := f.String("ports", "", "\"high\" takes ports above 1024, on this computer alone, for trying out without root")
	letters := f.String("claim", "", "write homemail-claim.txt into `DIR`, with the code that makes the house yours")
	return func(ctx context.Context, _ []string) error {
		c, err := in.settings()
		if err != nil {
			return err
		}
		switch *ports {
		case "":
		case "high":
			listenOn(&c, func(name string) int { return tryPorts[name] })
		default:
			return fmt.Errorf("-ports %s: right is high", *ports)
		}
		log := newLog(in.stderr, c)
		if err := os.MkdirAll(c.Data, 0o700); err != nil {
			return err
		}
		return live(ctx, c, log, console{in.stderr, *letters})
	}
}

// A console is where people see what to do: a terminal, and a directory that they
// can read elsewhere, such as the boot partition.
type console struct {
	out io.Writer
	dir string // "" for none
}

// live runs houses, one after the other, until ctx ends or something fails. If
// settings of the store are such that no house can be opened any more, those
// before are taken again.
func live(ctx context.Context, c config.Config, log *slog.Logger, to console) error {
	var good map[string]string // of the last house
	code, err := firstboot.NewCode("")
	if err != nil {
		return err
	}
	w := world{code: code, lines: logring.New()}
	log = slog.New(w.lines.Handler(log.Handler()))
	for {
		h, err := openHouse(ctx, c, w, log)
		if err != nil && good != nil {
			log.Error("homemail cannot start with the new settings and takes those before", "err", err)
			if err := keepSettings(c, good, log); err != nil {
				return err
			}
			good = nil
			continue
		}
		if err != nil {
			return err
		}
		h.hint(ctx, to)
		if err := h.run(ctx); !errors.Is(err, errAgain) {
			return err
		}
		good = h.kept
	}
}

// hint says what is missing before mail can come in. A house that is nobody's
// shows how to claim it.
func (h *house) hint(ctx context.Context, to console) {
	if g, ok := greeting(ctx, h.people.claim, h.config, h.localName(), h.certs.Fingerprint()); ok {
		fmt.Fprint(to.out, g.Text())
		if to.dir == "" {
			return
		}
		if err := g.WriteFile(to.dir); err != nil {
			h.log.Warn("the code for the claim was not written", "err", err)
		}
		return
	}
	if to.dir != "" {
		if err := firstboot.RemoveFile(to.dir); err != nil {
			h.log.Warn("the code of a claim that is over was not removed", "err", err)
		}
	}
	if list, err := h.store.Domains(); err == nil && len(list) == 0 {
		h.log.Warn("no mail is taken for any domain yet", "next", "homemail domain add example.org")
		return
	}
	if list, err := h.store.Accounts(); err == nil && len(list) == 0 {
		h.log.Warn("there is no account yet", "next", "homemail account add anna@example.org")
	}
}

func newLog(w io.Writer, c config.Config) *slog.Logger {
	o := &slog.HandlerOptions{Level: c.Level()}
	if c.Log.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

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
	events *events.Log
	book   *outbound.Book
	keys   *outbound.Keyring
	relay  *relay.Relay
	queue  *queue.Queue
	bridge *bridge.Bridge
	caps   *caps.Caps
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
	if h.doors, err = listen.Bind(ctx, doors(c, h.gates), log); err != nil {
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
	h.imap = imapd.New(imapd.Options{
		Host: c.Host(), Store: h.store, SignIn: h.signIn, TLS: h.certs.TLSConfig(),
		AppendLimit: int64(c.Limits.MessageSize), Log: h.log,
	})
	h.pop3 = pop3d.New(pop3d.Options{Host: c.Host(), SignIn: h.signIn, TLS: h.certs.TLSConfig(), Log: h.log})
	if h.dns != nil {
		h.buildLAN(key)
	}
	if h.line, err = h.newLine(w); err != nil {
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
	g.Go(func() error { return h.rebuild(ctx) })
	g.Go(func() error { return h.store.Run(ctx) })
	g.Go(func() error { return h.events.Run(ctx) })
	story{h.events}.started()
	g.Go(func() error { return h.signIn.Run(ctx) })
	g.Go(func() error { return h.relay.Run(ctx) })
	g.Go(func() error { return h.queue.Run(ctx) })
	g.Go(func() error { return h.bridge.Run(ctx) })
	g.Go(func() error { return h.caps.Run(ctx) })
	g.Go(func() error { return h.releaseResumed(ctx) })
	g.Go(func() error { return h.saveClock(ctx) })
	g.Go(func() error { return h.completeKeys(ctx) })
	g.Go(func() error { return h.certs.Run(ctx) })
	g.Go(func() error { return h.line.Run(ctx) })
	g.Go(func() error { return h.newReader(h.reports).Run(ctx) })
	g.Go(func() error { return h.people.run(ctx) })
	g.Go(func() error { return h.vacation.Run(ctx) })
	g.Go(func() error { return h.alerts.run(ctx) })
	if h.address != nil {
		g.Go(func() error { return h.address.run(ctx) })
	}
	if h.router != nil {
		g.Go(func() error { return h.runRouter(ctx) })
	}
	if h.mdns != nil {
		g.Go(func() error { return h.mdns.Run(ctx) })
	}
	g.Go(func() error { return h.admin().Serve(ctx, h.socket) })
	g.Go(func() error {
		select {
		case <-h.store.BrokenDown():
			return h.store.Broken()
		case <-ctx.Done():
			return nil
		}
	})
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

func (h *house) admin() *admin.House {
	a := &admin.House{Store: h.store, SignIn: h.signIn, Book: h.book, Keys: h.keys, Relay: h.relay, Queue: h.queue, Bridge: h.bridge, Caps: h.caps, LAN: h.lan, Checker: h.line.Checker(), Host: h.config.Host(), Ports: h.dnsPorts(), Settings: h.settings(), CA: h.authority(), Reports: h.reports, Clock: h.clock, Events: h.events, Started: h.started, Version: version()}
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

// serve answers at one door.
func (h *house) serve(ctx context.Context, l *listen.Listener) error {
	switch l.Door().Name {
	case "smtp":
		return h.mx.Serve(ctx, l)
	case "submission":
		return h.msa.Serve(ctx, l)
	case "submissions":
		return h.msa.Serve(ctx, tls.NewListener(l, h.certs.TLSConfig()))
	case "imap":
		return h.imap.Serve(ctx, l)
	case "imaps":
		return h.imap.Serve(ctx, tls.NewListener(l, h.certs.TLSConfig()))
	case "pop3":
		return h.pop3.Serve(ctx, l, false)
	case "pop3s":
		return h.pop3.Serve(ctx, l, true)
	case "http":
		return h.web.Serve(ctx, l)
	case "https":
		return h.web.ServeTLS(ctx, l)
	case "status":
		return h.metrics().Serve(ctx, l, h.health)
	}
	return fmt.Errorf("there is no door %q", l.Door().Name)
}

// health tells whether mail can be taken and read right now.
func (h *house) health(context.Context) error {
	if err := h.store.Broken(); err != nil {
		return err
	}
	if _, err := h.store.Domains(); err != nil {
		return err
	}
	return h.store.Room(0)
}

// gates bounds the connections of each protocol.
func gates(c config.Config) map[string]*listen.Gate {
	gate := func(global, perIP int) *listen.Gate {
		return listen.NewGate(listen.Limits{Global: global, PerIP: perIP, NewPerSecond: c.Connections.NewPerSecond, Burst: c.Connections.NewAtOnce})
	}
	return map[string]*listen.Gate{
		"smtp":   gate(c.Connections.SMTP, c.Connections.SMTPPerIP),
		"imap":   gate(c.Connections.IMAP, c.Connections.IMAPPerIP),
		"pop3":   gate(c.Connections.POP3, c.Connections.POP3PerIP),
		"web":    gate(c.Connections.Web, c.Connections.WebPerIP),
		"status": listen.NewGate(listen.Limits{Global: 20}),
	}
}

// doors lists what the settings want to listen on.
func doors(c config.Config, gates map[string]*listen.Gate) []listen.Door {
	const (
		smtpRefusal = "421 4.7.0 Too many connections; please try again later\r\n"
		imapRefusal = "* BYE [UNAVAILABLE] Too many connections; please try again later\r\n"
		pop3Refusal = "-ERR [SYS/TEMP] Too many connections; please try again later\r\n"
	)
	var list []listen.Door
	for _, d := range []struct {
		name, gate, refusal string
		addresses           []string
	}{
		{"smtp", "smtp", smtpRefusal, c.Listen.SMTP},
		{"submission", "smtp", smtpRefusal, c.Listen.Submission},
		{"submissions", "smtp", "", c.Listen.Submissions},
		{"imap", "imap", imapRefusal, c.Listen.IMAP},
		{"imaps", "imap", "", c.Listen.IMAPS},
		{"pop3", "pop3", pop3Refusal, c.Listen.POP3},
		{"pop3s", "pop3", "", c.Listen.POP3S},
		{"http", "web", "", c.Listen.HTTP},
		{"https", "web", "", c.Listen.HTTPS},
		{"status", "status", "", c.Listen.Status},
	} {
		for _, addr := range d.addresses {
			list = append(list, listen.Door{Name: d.name, Addr: addr, Refusal: d.refusal,
				Gate: gates[d.gate], PrivateOnly: contains(c.Listen.LANOnly, d.name)})
		}
	}
	return list
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// metrics gathers the figures of all parts.
func (h *house) metrics() *metrics.Registry {
	r := metrics.New()
	disk := func(read func(store.Stats) int64) func() float64 {
		return func() float64 { return float64(read(h.store.Stats())) }
	}
	r.Counter("homemail_store_commits_total", "Batches of changes made durable.", disk(func(s store.Stats) int64 { return s.Commits }))
	r.Counter("homemail_store_flushes_total", "Flushes of the journal to the disk.", disk(func(s store.Stats) int64 { return s.Flushes }))
	r.Counter("homemail_store_messages_total", "Copies of messages put into mailboxes.", disk(func(s store.Stats) int64 { return s.Messages }))
	r.Counter("homemail_store_message_bytes_total", "Bytes of messages stored.", disk(func(s store.Stats) int64 { return s.Bytes }))
	r.Gauge("homemail_store_journal_bytes", "Bytes that a crash now would have to be brought in from the journal.", disk(func(s store.Stats) int64 { return s.Journal }))
	r.Gauge("homemail_disk_free_bytes", "Free bytes of the data's disk.", disk(func(s store.Stats) int64 { return s.Free }))
	r.Gauge("homemail_disk_reserve_bytes", "Bytes of it that mail may not use.", disk(func(s store.Stats) int64 { return s.Reserve }))
	for name, s := range map[string]*smtpd.Server{"mx": h.mx, "submission": h.msa} {
		smtpMetrics(r, name, s)
	}
	for name, g := range h.gates {
		r.Gauge("homemail_connections", "Open connections.", func() float64 { return float64(g.Counts().Open) }, "protocol", name)
		r.Counter("homemail_connections_refused_total", "Connections beyond the limits.", func() float64 {
			n := uint64(0)
			for _, k := range g.Counts().Refused {
				n += k
			}
			return float64(n)
		}, "protocol", name)
	}
	h.queueMetrics(r)
	p := h.pop3.Stats()
	r.Counter("homemail_pop3_retrieved_total", "Messages sent by POP3.", func() float64 { return float64(p.Retrieved.Load()) })
	return r
}

func (h *house) queueMetrics(r *metrics.Registry) {
	figure := func(read func(queue.Stats) float64) func() float64 {
		return func() float64 { return read(h.queue.Stats()) }
	}
	r.Gauge("homemail_queue_recipients", "Recipients that mail waits for.", figure(func(s queue.Stats) float64 { return float64(s.Queued) }))
	r.Gauge("homemail_queue_due", "Of them, those whose time has come.", figure(func(s queue.Stats) float64 { return float64(s.Due) }))
	r.Gauge("homemail_queue_oldest_seconds", "How long the one has waited that waits longest.", figure(func(s queue.Stats) float64 { return s.OldestAge.Seconds() }))
	r.Gauge("homemail_queue_active", "Attempts under way.", figure(func(s queue.Stats) float64 { return float64(s.Active) }))
	r.Counter("homemail_queue_relayed_total", "Recipients whose mail has left.", figure(func(s queue.Stats) float64 { return float64(s.Relayed) }))
	r.Counter("homemail_queue_deferred_total", "Attempts after which a recipient waits on.", figure(func(s queue.Stats) float64 { return float64(s.Deferred) }))
	r.Counter("homemail_queue_failed_total", "Recipients that were given up.", figure(func(s queue.Stats) float64 { return float64(s.Failed) }))
}

func smtpMetrics(r *metrics.Registry, door string, s *smtpd.Server) {
	for _, f := range []struct {
		name, help string
		read       func(smtpd.Stats) int64
	}{
		{"homemail_smtp_accepted_total", "Messages stored.", func(s smtpd.Stats) int64 { return s.Accepted }},
		{"homemail_smtp_bytes_total", "Bytes of the messages stored.", func(s smtpd.Stats) int64 { return s.Bytes }},
		{"homemail_smtp_temporary_total", "Commands refused with a 4xx.", func(s smtpd.Stats) int64 { return s.Temporary }},
		{"homemail_smtp_permanent_total", "Commands refused with a 5xx.", func(s smtpd.Stats) int64 { return s.Permanent }},
		{"homemail_smtp_forged_total", "Messages refused because their author's domain disowns them.", func(s smtpd.Stats) int64 { return s.Forged }},
		{"homemail_smtp_auth_failed_total", "Failed sign-ins.", func(s smtpd.Stats) int64 { return s.AuthFailed }},
	} {
		r.Counter(f.name, f.help, func() float64 { return float64(f.read(s.Stats())) }, "door", door)
	}
}
