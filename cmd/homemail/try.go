package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"homemail/admin"
	"homemail/config"
	"homemail/internal/mailtest"
	"homemail/mail"
	"homemail/relay"
	"homemail/signin"
	"homemail/store"
)

// tryOptions are the flags of try.
type tryOptions struct {
	once     bool
	messages int
	users    int
	target   string
	verbose  bool
}

// trySettings are the doors of try: high ports of this computer alone. The
// limits are those of a server whose clients all have one address.
func trySettings(data string) config.Config {
	c := config.Default()
	c.HostName = "localhost"
	c.Data = data
	c.Connections = config.Connections{SMTP: 2000, IMAP: 2000, POP3: 2000, Web: 2000}
	c.Limits.UnknownRecipientsPerHour = 0
	c.Limits.SubmissionsPerHour, c.Limits.SubmissionsPerDay, c.Limits.NewRecipientsPerDay = 0, 0, 0
	c.Store.Reserve = 256 * config.MiB
	return c
}

// tryPorts are the ports that try would like; if one is taken it takes any.
var tryPorts = map[string]int{
	"smtp": 2525, "submission": 2587, "submissions": 2465,
	"imap": 2143, "imaps": 2993, "pop3": 2110, "pop3s": 2995,
	"http": 2080, "https": 2443,
}

func listenOn(c *config.Config, port func(name string) int) {
	at := func(name string) []string { return []string{net.JoinHostPort("127.0.0.1", strconv.Itoa(port(name)))} }
	c.Listen = config.Listen{
		SMTP: at("smtp"), Submission: at("submission"), Submissions: at("submissions"),
		IMAP: at("imap"), IMAPS: at("imaps"), POP3: at("pop3"), POP3S: at("pop3s"),
		HTTP: at("http"), HTTPS: at("https"),
	}
}

func try(in *invocation, f *flag.FlagSet) action {
	var o tryOptions
	f.BoolVar(&o.once, "once", false, "show the main job, then end; the exit code is 0 only if all of it worked")
	f.IntVar(&o.messages, "messages", 16, "fill the first mailbox with `N` messages")
	f.IntVar(&o.users, "users", 0, "make u00@bench.test to uNN@bench.test for load tests, `N` beside u00")
	f.StringVar(&o.target, "target", "", "write the addresses, ports and password to `FILE` for a load tool")
	f.BoolVar(&o.verbose, "v", false, "show the server's log")
	return func(ctx context.Context, _ []string) error { return in.try(ctx, o) }
}

func (in *invocation) try(ctx context.Context, o tryOptions) (err error) {
	data := in.global.data
	if data == "" {
		if data, err = os.MkdirTemp("", "homemail-try-"); err != nil {
			return err
		}
		defer os.RemoveAll(data)
	}
	log := slog.New(slog.NewTextHandler(in.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if o.verbose {
		log = slog.New(slog.NewTextHandler(in.stderr, nil))
	}
	n, err := newNeighbour()
	if err != nil {
		return err
	}
	defer n.l.Close()
	h, err := openTry(ctx, data, n.world(), log)
	if err != nil {
		return err
	}
	people, err := fillTry(h, o)
	if err != nil {
		return errors.Join(err, h.close())
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	served := make(chan error, 1)
	go func() { served <- h.run(ctx) }()
	go n.run(ctx)
	err = in.show(ctx, h, n, people, o)
	if err == nil && !o.once {
		select {
		case <-ctx.Done():
		case err = <-served:
			return err
		}
	}
	stop()
	return errors.Join(err, <-served)
}

// openTry opens the house on the usual ports, or on any that are free.
func openTry(ctx context.Context, data string, w world, log *slog.Logger) (*house, error) {
	c := trySettings(data)
	listenOn(&c, func(name string) int { return tryPorts[name] })
	if h, err := openHouse(ctx, c, w, log); err == nil {
		return h, nil
	}
	listenOn(&c, func(string) int { return 0 })
	return openHouse(ctx, c, w, log)
}

// A person is an account of try, and the password of its mail programs.
type person struct {
	Address  mail.Path `json:"address"`
	Password string    `json:"password"`
}

const (
	tryDomain     = "example.test"
	benchDomain   = "bench.test"
	benchPassword = "bench-pass-1"
)

// fillTry makes the accounts and the mail of the first of them. On data that
// has been used before the accounts get new passwords and keep their mail.
func fillTry(h *house, o tryOptions) ([]person, error) {
	var people []person
	s := h.store
	for _, who := range []struct{ local, name string }{{"anna", "Anna"}, {"bert", "Bert"}} {
		password, err := signin.NewDevicePassword()
		if err != nil {
			return nil, err
		}
		p := person{mail.Path(who.local + "@" + tryDomain), password}
		fresh, err := addPerson(s, p, who.name)
		if err != nil {
			return nil, err
		}
		people = append(people, p)
		if fresh && len(people) == 1 {
			if err := fillMailbox(s, p.Address, o.messages); err != nil {
				return nil, err
			}
		}
	}
	if err := h.book.SetRoute(neighbourDomain, relay.Route{Way: relay.Direct}); err != nil {
		return nil, err
	}
	if err := h.keys.Complete(context.Background(), true); err != nil {
		return nil, err
	}
	for n := range o.users + 1 {
		if o.users == 0 {
			break
		}
		p := person{mail.Path(fmt.Sprintf("u%02d@%s", n, benchDomain)), benchPassword}
		if _, err := addPerson(s, p, ""); err != nil {
			return nil, err
		}
	}
	return people, nil
}

// addPerson makes an account, if it is not there, and a device password.
func addPerson(s *store.Store, p person, name string) (fresh bool, err error) {
	if err := s.AddDomain(p.Address.Domain()); err != nil && !errors.Is(err, store.ErrExists) {
		return false, err
	}
	_, err = s.AddAccount(store.Profile{Address: p.Address, Name: name, KeepDays: -1})
	fresh = err == nil
	if errors.Is(err, store.ErrExists) {
		err = forgetDevices(s, p.Address)
	}
	if err != nil {
		return false, err
	}
	_, err = admin.AddDeviceWith(s, p.Address, "try", p.Password)
	return fresh, err
}

func forgetDevices(s *store.Store, address mail.Path) error {
	a, err := s.Account(address)
	if err != nil {
		return err
	}
	return a.Update(func(p *store.Profile) error { p.Devices = nil; return nil })
}

func fillMailbox(s *store.Store, address mail.Path, n int) error {
	a, err := s.Account(address)
	if err != nil {
		return err
	}
	inbox, err := a.MailboxFor(mail.Inbox)
	if err != nil {
		return err
	}
	for _, m := range mailtest.Samples(string(address), n, time.Now()) {
		if err := fileSample(s, a, inbox, m); err != nil {
			return err
		}
	}
	return nil
}

func fileSample(s *store.Store, a *store.Account, inbox store.Mailbox, m mailtest.Sample) error {
	sp := s.NewSpool()
	defer sp.Discard()
	if _, err := io.WriteString(sp, m.Text); err != nil {
		return err
	}
	d := store.Delivery{Account: a.ID, Mailbox: inbox.ID, Date: m.Date}
	if m.Seen {
		d.Flags = mail.Seen
	}
	_, err := s.Deliver(sp, []store.Delivery{d})
	return err
}

// ports maps the doors to where they are.
func (h *house) ports() map[string]int {
	ports := make(map[string]int)
	for _, l := range h.doors {
		ports[l.Door().Name] = l.Addr().(*net.TCPAddr).Port
	}
	return ports
}

// show tells programs and people where everything is, and for people does the
// main job before their eyes.
func (in *invocation) show(ctx context.Context, h *house, n *neighbour, people []person, o tryOptions) error {
	ports := h.ports()
	if o.target != "" {
		if err := writeTarget(h, ports, o); err != nil {
			return err
		}
	}
	if in.global.json {
		err := json.NewEncoder(in.stdout).Encode(map[string]any{
			"host": "127.0.0.1", "smtp": ports["smtp"], "submission": ports["submission"], "submissions": ports["submissions"],
			"imap": ports["imap"], "imaps": ports["imaps"], "pop3": ports["pop3"], "pop3s": ports["pop3s"],
			"accounts": people, "data": h.config.Data, "pid": os.Getpid(),
		})
		if err != nil || !o.once {
			return err
		}
	}
	d := demo{ports: ports, from: people[1], to: people[0], neighbour: n, out: in.stdout}
	if in.global.json {
		d.out = io.Discard
	}
	if err := d.run(ctx); err != nil {
		return err
	}
	if !o.once && !in.global.json {
		in.tell(h, people)
	}
	return nil
}

// tell prints what to type into a mail program.
func (in *invocation) tell(h *house, people []person) {
	ports := h.ports()
	fmt.Fprintf(in.stdout, `
Your mail program can use it now. The certificate is one that homemail made
itself: the program will ask whether to trust it.

  IMAP   127.0.0.1 port %d (SSL/TLS)   or port %d (STARTTLS)
  POP3   127.0.0.1 port %d (SSL/TLS)   or port %d (STARTTLS)
  SMTP   127.0.0.1 port %d (SSL/TLS)   or port %d (STARTTLS)
  Fingerprint of the certificate, SHA-256: %s

`, ports["imaps"], ports["imap"], ports["pop3s"], ports["pop3"], ports["submissions"], ports["submission"], h.certs.Fingerprint())
	for _, p := range people {
		fmt.Fprintf(in.stdout, "  name %-20s password %s\n", p.Address, p.Password)
	}
	fmt.Fprintf(in.stdout, "\nOther servers would bring mail to port %d. Data is in %s.\nStop with Ctrl-C.\n", ports["smtp"], h.config.Data)
}

// loadedUsers is how many of the accounts a load tool spreads its mail over;
// the others are for what needs a mailbox of its own.
const loadedUsers = 32

// writeTarget writes a file that describes the server to a load tool.
func writeTarget(h *house, ports map[string]int, o tryOptions) error {
	type endpoint struct {
		Port int    `json:"port"`
		TLS  string `json:"tls"`
	}
	data, err := filepath.Abs(h.config.Data)
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(map[string]any{
		"name": "homemail", "host": "127.0.0.1",
		"smtp":       endpoint{ports["smtp"], "none"},
		"submission": endpoint{ports["submissions"], "tls"},
		"imap":       endpoint{ports["imaps"], "tls"}, // there is no sign-in without TLS
		"imaps":      endpoint{ports["imaps"], "tls"},
		"pop3":       endpoint{ports["pop3s"], "tls"},
		"address":    "u%02d@" + benchDomain,
		"users":      min(o.users, loadedUsers), "password": benchPassword,
		"pids": []int{os.Getpid()}, "data_dirs": []string{data}, "source_addresses": 1,
	}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(o.target, append(b, '\n'), 0o600)
}
