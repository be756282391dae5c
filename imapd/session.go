package imapd

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"

	"homemail/imapd/wire"
	"homemail/signin"
	"homemail/store"
)

const (
	loginTries   = 5               // wrong passwords before we hang up
	errorTries   = 20              // commands one after another that are none, before we hang up
	revokedGrace = 2 * time.Second // for the running command when a device was revoked: 5 s in all
	maxCommand   = wire.MaxCommand
)

// A session is one client's connection. Its goroutine has the guard's turn
// whenever it does not wait for the client; all fields belong to who has it.
type session struct {
	s   *Server
	g   *guard
	l   *wire.Lexer
	w   *wire.Writer
	at  signin.Attempt
	log *slog.Logger

	fails    int             // at signing in
	errs     int             // BADs in a row
	signed   *signin.Session // nil until signed in
	left     chan struct{}   // closed when signed is over
	acct     *store.Account
	off      map[string]bool // capabilities that the account does without
	on       enabled
	view     *view  // of the selected mailbox, nil if none
	deflated bool   // RFC 4978
	quit     string // BYE text, for the end of the command
}

// enabled is what the client has asked for by ENABLE (RFC 9051 §6.3.1), or by
// using it.
type enabled struct {
	rev2, utf8, condStore, qresync, uidOnly bool
}

func (s *Server) newSession(g *guard) *session {
	remote := g.RemoteAddr().String()
	ap, _ := netip.ParseAddrPort(remote)
	x := &session{
		s: s, g: g, w: wire.NewWriter(g),
		at:  signin.Attempt{Remote: ap.Addr().Unmap(), Protocol: "imap", TLS: g.tls()},
		log: s.o.Log.With("remote", remote),
	}
	x.l = wire.NewLexer(g.in, x.proceed)
	g.working = true
	g.flush = x.w.Flush
	g.say = func(line string) error {
		x.w.Raw(line)
		return x.w.Flush()
	}
	return x
}

// proceed asks for a synchronising literal, RFC 9051 §4.3. The guard sends it
// before it waits.
func (s *session) proceed() error { return s.w.Raw("+ Ready for literal data").End() }

// serve runs commands to the end of the connection.
func (s *session) serve() {
	s.g.turn.Lock()
	defer s.g.turn.Unlock()
	defer s.close()
	defer func() {
		if v := recover(); v != nil {
			s.log.Error("imap command failed", "panic", v, "stack", string(debug.Stack()))
		}
	}()
	if !s.g.upgraded {
		s.w.Raw("* OK [CAPABILITY " + s.capabilities() + "] " + s.s.o.Host + " IMAP ready").End()
	}
	for s.next() {
	}
}

// close ends the session, however the connection ended.
func (s *session) close() {
	s.deselect()
	s.w.Flush()
	s.g.Close()
	level := slog.LevelDebug // strangers come and go
	if s.signed != nil {
		level = slog.LevelInfo
	}
	s.log.Log(context.Background(), level, "imap session ended", "device", s.device(), "lasted", time.Since(s.g.begun).Round(time.Millisecond))
	s.signOut()
}

func (s *session) device() string {
	if s.signed == nil {
		return ""
	}
	return s.signed.Device
}

// A call is one command that a client gave.
type call struct {
	tag  string
	name string // in upper case, "UID FETCH" for example
	uid  bool   // its numbers are UIDs
	code string // response code of the OK
	text string // of the OK, if not "NAME completed"

	answered bool // there is a tagged response already
	removed  bool // messages are gone, and the client was told
}

// next reads and runs a command. It reports whether to go on.
func (s *session) next() bool {
	s.l.Next()
	if s.l.AtEnd() { // an empty line is nothing
		return s.l.End() || s.over(s.l.Err())
	}
	c := &call{tag: s.l.Tag()}
	s.l.SP()
	c.name = s.l.Word()
	if c.name == "UID" && s.l.SP() {
		c.name, c.uid = "UID "+s.l.Word(), true
	}
	err := s.l.Err()
	if err == nil {
		err = s.run(c)
	}
	if err == errLoggedOut {
		return false
	}
	if bad := s.l.Skip(); bad != nil {
		return s.over(bad)
	}
	if !c.answered || err != nil {
		s.answer(c, err)
	}
	if s.w.Err() == nil && s.quit != "" {
		s.g.farewell(s.quit)
	}
	return s.w.Err() == nil && s.quit == ""
}

// over ends the connection when the stream cannot be read on.
func (s *session) over(err error) bool {
	switch {
	case errors.Is(err, wire.ErrTooLong):
		s.g.farewell("Command or literal is too long")
	case errors.Is(err, wire.ErrRefused):
		s.g.farewell("A literal was refused")
	case errors.Is(err, errBomb):
		s.g.farewell("Compressed too far")
	case !errors.Is(err, io.ErrUnexpectedEOF):
		s.log.Debug("imap connection lost", "err", err)
	}
	return false
}

// answer ends a command with its tagged response.
func (s *session) answer(c *call, err error) {
	var bad wire.SyntaxError
	var ours *imap.Error
	if errors.As(err, &bad) {
		s.bad(c, string(bad))
		return
	}
	s.errs = 0
	if err != nil && !errors.As(err, &ours) {
		err = s.refuse(err, strings.ToLower(c.name))
		errors.As(err, &ours)
	}
	if said := s.poll(c); said != nil && ours == nil {
		errors.As(s.refuse(said, "poll"), &ours)
	}
	if ours == nil {
		if c.removed && s.on.condStore && s.view != nil && c.code == "" { // RFC 7162 §3.2.7
			c.code = "HIGHESTMODSEQ " + strconv.FormatUint(uint64(s.view.since), 10)
		}
		text := c.text
		if text == "" {
			text = c.name + " completed"
		}
		s.tagged(c.tag, "OK", c.code, text)
		return
	}
	s.tagged(c.tag, string(ours.Type), string(ours.Code), ours.Text)
}

// bad answers what is no command. Who sends nothing else is no mail program.
func (s *session) bad(c *call, text string) {
	tag := c.tag
	if tag == "" {
		tag = "*"
	}
	s.tagged(tag, "BAD", "", text)
	if s.errs++; s.errs >= errorTries && s.quit == "" {
		s.quit = "Too many bad commands"
	}
}

func (s *session) tagged(tag, status, code, text string) {
	s.w.Raw(tag).Byte(' ').Raw(status).Byte(' ')
	if code != "" {
		s.w.Byte('[').Raw(code).Raw("] ")
	}
	s.w.Raw(text).End()
}

// untagged writes an untagged status response with a code.
func (s *session) untagged(code, text string) {
	s.w.Raw("* OK [").Raw(code).Raw("] ").Raw(text).End()
}

// poll tells the client what happened meanwhile, before the end of a command,
// RFC 9051 §5.2. EXPUNGE may not come while numbers of messages are in use,
// §7.5.1.
func (s *session) poll(c *call) error {
	if s.view == nil || s.quit != "" {
		return nil
	}
	if err := s.catchUp(); err != nil {
		return s.hear(err)
	}
	s.tell(!inUse(c.name))
	return nil
}

// inUse reports whether numbers of messages are in use during a command.
func inUse(name string) bool {
	switch name {
	case "FETCH", "STORE", "SEARCH", "SORT", "THREAD":
		return true
	}
	return false
}

// hear deals with an error outside of a command's own work. The command itself
// was done, so changes that cannot be read now are left for later.
func (s *session) hear(err error) error {
	if s.quit != "" {
		return err
	}
	s.log.Warn("imap: changes are not told yet", "err", err)
	return nil
}

// end reads the end of the command; its error is one of syntax.
func (s *session) end() error {
	s.l.End()
	return s.l.Err()
}

// hangUp ends the connection behind the command's answer.
func (s *session) hangUp(text string) { s.quit = text }
