// Package config reads config.toml, which people write and the program never
// does. It knows every setting's name, default and bounds, and nothing of what
// the settings are for.
package config

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// A Config is every setting in force. The zero Config is of no use; begin with
// Default or Load.
type Config struct {
	HostName    string // how this computer names itself to others; "" asks the system
	Data        string // directory of everything that must not be lost
	Separator   string // between a name and its detail in anna+shop@, RFC 5233 §1
	Listen      Listen
	TLS         TLS
	ACME        ACME
	Limits      Limits
	Connections Connections
	DNS         DNS
	Check       Check
	Probe       Probe
	LAN         LAN
	Web         Web
	Inbound     Inbound
	Queue       Queue
	Store       Store
	Log         Log

	file  string            // that was read, "" if none
	lines map[string]int    // of the settings that the file names
	flags map[string]string // settings that a flag of the command line gave

	stored map[string]bool // those that come from the store
}

// Listen has the addresses of each door, "host:port" with an empty host for
// all of the computer's. An empty list closes a door.
type Listen struct {
	SMTP        []string // mail from other servers, RFC 5321
	Submission  []string // mail from our own people, STARTTLS, RFC 6409
	Submissions []string // the same under TLS from the start, RFC 8314 §3.3
	IMAP        []string // STARTTLS, RFC 9051
	IMAPS       []string // RFC 8314 §3.2
	POP3        []string // STLS, RFC 1939 and 2595
	POP3S       []string // RFC 8314 §3.2
	HTTP        []string // challenges of a CA, RFC 8555 §8.3, and the way to HTTPS
	HTTPS       []string // policy of MTA-STS, settings for mail programs
	Status      []string // metrics and /healthz by plain HTTP
	LANOnly     []string // doors, by the names above, for loopback and private addresses only
}

// TLS names the PEM files of a certificate. Both are empty while homemail
// shows the one that it made itself.
type TLS struct {
	Cert string // the chain, our own certificate first
	Key  string
}

// ACME says which CA gives certificates, RFC 8555. None is asked before the owner
// has agreed to that.
type ACME struct {
	Directory string // URL of the CA's directory; "" for Let's Encrypt
	Roots     string // PEM file of those who sign the CA's own certificate; "" for the system's
}

// Limits bound what one sender may do.
type Limits struct {
	MessageSize              Size // of one message, as it travels
	Recipients               int  // of one message
	UnknownRecipientsPerHour int  // from one address, before it has to wait
	SubmissionsPerHour       int  // recipients outside that one account may write to, before the owner is asked
	SubmissionsPerDay        int
	NewRecipientsPerDay      int // of them, such that it has never written to
}

// Connections bound how many are open at once, and how fast one address may
// open new ones.
type Connections struct {
	SMTP, SMTPPerIP         int // on all of smtp, submission and submissions
	IMAP, IMAPPerIP         int
	POP3, POP3PerIP         int
	Web, WebPerIP           int // on http and https
	NewPerSecond, NewAtOnce int // from one address, on each protocol
}

// DNS says who is asked for names.
type DNS struct {
	Server string // "address" or "address:port"; "" for the system's
	Trust  bool   // it checks signatures, and nobody sits between it and us
}

// Check is about the line check.
type Check struct {
	Watch bool // it is repeated when what it found has become old
}

// Probe is about looks from outside: whether the world can reach a house.
type Probe struct {
	URLs  []string // of friends' houses, that may be asked
	Offer bool     // friends may ask us
}

// LAN is about the network of the house.
type LAN struct {
	Name   string // under .local, RFC 6762; "" to stay unseen
	Router bool   // ask it to let mail through: PCP, NAT-PMP or UPnP
}

// Web is about the pages for people.
type Web struct {
	Outside []string // of them, those that are shown outside of the house's own networks too: "me", "admin", "api"
}

// Inbound is about mail that strangers bring.
type Inbound struct {
	TrustedForwarders []string // domains whose ARC seals are believed, RFC 8617
	MailingLists      []string // domains whose lists may break signatures
}

// Queue is about mail that leaves.
type Queue struct {
	Retry           Schedule // waits between tries; the last is repeated
	GiveUp          Duration // RFC 5321 §4.5.4.1
	Notice          Duration // after which the sender is told of the delay
	Concurrency     int      // attempts at once
	PerHop          int      // of them, to one next hop
	PrivateNetworks []string // of 10.0.0.0/8 and the like, that mail for others may go to
}

// Store is about the disk.
type Store struct {
	Reserve         Size // kept free; 0 is the larger of 512 MiB and 5 % of the disk
	MaintenanceHour int  // when the night's work begins, local time
}

// Log is what the program says while it runs.
type Log struct {
	Level  string // debug, info, warn or error
	Format string // text or json
}

const (
	minute = Duration(time.Minute)
	hour   = Duration(time.Hour)
)

// Default is every setting as it is when nobody says otherwise.
func Default() Config {
	return Config{
		Data:      "/var/lib/homemail",
		Separator: "+",
		Listen: Listen{
			SMTP:        []string{":25"},
			Submission:  []string{":587"},
			Submissions: []string{":465"},
			IMAP:        []string{":143"},
			IMAPS:       []string{":993"},
			POP3:        []string{":110"},
			POP3S:       []string{":995"},
			HTTP:        []string{":80"},
			HTTPS:       []string{":443"},
			Status:      []string{"127.0.0.1:8025"},
			LANOnly:     []string{"imap", "pop3"},
		},
		Limits: Limits{
			MessageSize:              50 * MiB,
			Recipients:               100, // RFC 5321 §4.5.3.1.8: at least 100
			UnknownRecipientsPerHour: 20,
			SubmissionsPerHour:       200,
			SubmissionsPerDay:        1000,
			NewRecipientsPerDay:      200,
		},
		Connections: Connections{
			SMTP: 200, SMTPPerIP: 10,
			IMAP: 300, IMAPPerIP: 20,
			POP3: 100, POP3PerIP: 10,
			Web: 200, WebPerIP: 20,
			NewPerSecond: 5, NewAtOnce: 20,
		},
		Queue: Queue{
			Retry:  Schedule{5 * minute, 15 * minute, 30 * minute, hour, 2 * hour, 4 * hour},
			GiveUp: 5 * 24 * hour, Notice: 4 * hour,
			Concurrency: 20, PerHop: 5, PrivateNetworks: []string{},
		},
		Check:   Check{Watch: true},
		Probe:   Probe{URLs: []string{}},
		LAN:     LAN{Name: "homemail", Router: true},
		Web:     Web{Outside: []string{}},
		Inbound: Inbound{TrustedForwarders: []string{}, MailingLists: []string{}},
		Store:   Store{MaintenanceHour: 3},
		Log:     Log{Level: "info", Format: "text"},
	}
}

// Host is the configured host name, or what the system calls this computer.
func (c Config) Host() string {
	if c.HostName != "" {
		return c.HostName
	}
	if h, err := os.Hostname(); err == nil && checkHost(h) == nil {
		return h
	}
	return "localhost"
}

// Level is the lowest level that is logged.
func (c Config) Level() slog.Level {
	var l slog.Level
	_ = l.UnmarshalText([]byte(c.Log.Level)) // Validate has seen it
	return l
}

// UseData takes the data directory from a flag of the command line, which wins
// over the file.
func (c *Config) UseData(dir, flag string) error {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("%s %s: %w", flag, dir, err)
	}
	c.Data = abs
	c.flags = map[string]string{"data": flag}
	return c.Validate()
}

// A Setting is one value in force and where it comes from.
type Setting struct {
	Name  string `json:"name"`  // as in the file: "section.key"
	Value string `json:"value"` // as it would be written there
	From  string `json:"from"`  // "default", "store", "FILE:LINE" or the flag
}

// Sources lists every setting in the order of config.example.toml.
func (c Config) Sources() []Setting {
	var all []Setting
	for _, f := range c.fields() {
		s := Setting{Name: f.name, Value: literal(f.to), From: "default"}
		if where, pinned := c.Pinned(f.name); pinned {
			s.From = where
		} else if c.stored[f.name] {
			s.From = "store"
		}
		all = append(all, s)
	}
	return all
}
