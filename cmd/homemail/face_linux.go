package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"homemail/admin"
	"homemail/appliance/client"
	tty "homemail/appliance/console"
	"homemail/appliance/letters"
	"homemail/appliance/move"
	"homemail/appliance/network"
	"homemail/check"
)

// Where the box keeps what the face looks at.
const (
	boxData    = "/data/homemail"
	boxLetters = "/run/homemail/letters"
	boxNotices = "/run/homemail"
)

const (
	faceSoon  = 500 * time.Millisecond // between looks until the page answers
	faceLater = 5 * time.Second
	faceTime  = 4 * time.Second // for homemail to answer
)

// A face shows the box to who stands before it, and hears its keyboards. It is
// homemail's user, and can do no more than ask homemail, and PID 1 for little.
type face struct {
	mode, trouble, detail string

	terms  []*terminal
	screen *tty.Screen
	box    client.Client
	out    io.Writer // PID 1 hears what is written here

	view   tty.View
	menu   tty.Menu
	notice string // of what was done, until the next key
	ready  bool
	owned  bool   // the house is somebody's
	chosen choice // of a language, at the keyboard
	shown  string // what is on the screens now
	status string // what is in the status letter now
	result string // of a set-up by file or a new password, until the next start
	keys   chan rune

	results chan string
}

// A terminal is a console that shows text.
type terminal struct {
	f      *os.File
	screen bool // the machine's own: it has a keyboard, and perhaps a picture
}

// newFace takes what PID 1 has opened: "serial=3", "screen=4", "picture=5".
func newFace(mode, trouble, detail string, given []string) *face {
	c := &face{mode: mode, trouble: trouble, detail: detail, box: client.Client{Socket: client.Socket}, out: os.Stdout, keys: make(chan rune, 64), results: make(chan string, 1), chosen: readChoice(boxChoice)}
	c.view.Lang = c.chosen.lang
	c.menu.Fits = func(address, router string) bool {
		_, err := network.Fixed(address, router, nil)
		return err == nil
	}
	for _, g := range given {
		kind, number, _ := strings.Cut(g, "=")
		fd, err := strconv.Atoi(number)
		if err != nil {
			continue
		}
		f := os.NewFile(uintptr(fd), kind)
		switch kind {
		case "serial", "screen":
			c.terms = append(c.terms, &terminal{f, kind == "screen"})
		case "picture":
			if s, err := tty.OpenScreen(f); err == nil {
				c.screen = s
			}
		}
	}
	return c
}

// run shows what there is until ctx ends.
func (c *face) run(ctx context.Context) error {
	for _, t := range c.terms {
		raw(t.f)
		go c.listen(t.f)
	}
	go c.headless(ctx)
	for pause := time.Duration(0); ; {
		select {
		case <-ctx.Done():
			return nil
		case k := <-c.keys:
			c.press(ctx, k)
		case c.result = <-c.results:
			c.shown = ""
		case <-time.After(pause):
			c.look(ctx)
		}
		if pause = faceLater; !c.ready {
			pause = faceSoon
		}
		c.show()
	}
}

// raw has a terminal hand over each key as it is pressed. What it may not, such as
// a serial line that nobody is on, stays as it is.
func raw(f *os.File) {
	t, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		return
	}
	t.Lflag &^= unix.ICANON | unix.ECHO | unix.ISIG
	t.Iflag &^= unix.ICRNL | unix.IXON
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, t)
	unix.SetNonblock(int(f.Fd()), true) // Fd made it wait
}

// listen hears one keyboard. Only what the menu knows is ASCII.
func (c *face) listen(f *os.File) {
	for b := make([]byte, 64); ; {
		n, err := f.Read(b)
		if err != nil && !errors.Is(err, unix.EAGAIN) {
			return
		}
		if n == 0 { // nobody is there, or not a terminal
			time.Sleep(time.Second)
			continue
		}
		for _, k := range b[:n] {
			select {
			case c.keys <- rune(k):
			default: // somebody leans on it
			}
		}
	}
}

// look finds out what is to be shown.
func (c *face) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, faceTime)
	defer cancel()
	v := tty.View{Lang: c.view.Lang, Trouble: c.trouble, Detail: c.detail}
	address := faceAddress(localAddrs())
	if address.IsValid() {
		v.URL = "https://" + netip.AddrPortFrom(address, 443).String() + "/"
		v.URL = strings.Replace(v.URL, ":443/", "/", 1)
	}
	if b, err := os.ReadFile(filepath.Join(boxNotices, "notice")); err == nil && v.Trouble == "" {
		v.Trouble = strings.TrimSpace(string(b))
	}
	if text, err := os.ReadFile(filepath.Join(boxLetters, letters.Claim)); err == nil {
		if code := greeted(string(text)); code != "" && v.URL != "" {
			v.Code = code
			v.URL += "claim"
		}
	}
	if a, err := admin.Dial(boxData); err == nil {
		var o admin.Overview
		if v.Code == "" && a.Do(ctx, "overview", admin.Empty{}, &o) == nil && o.Accounts > 0 {
			c.owned = true
			for _, l := range o.Lights {
				v.Lights = append(v.Lights, tty.Light{Name: l.Name, State: lightState(l.State)})
			}
		}
	}
	if c.owned && v.Trouble == "" {
		v.Lang = c.chosen.of(func() string { return ownersLang(ctx, v.Lang) })
	}
	if p, err := c.box.Progress(ctx); err == nil && p.Total > 0 && p.Stage != move.Done && p.Stage != move.Failed {
		v.Notice = tty.Load(v.Lang).Say("console.moving", "done", strconv.FormatInt(p.Done*100/p.Total, 10))
	}
	c.view = v
	if !c.ready && address.IsValid() && answers(ctx) {
		c.ready = true
		c.say("homemail: ready " + address.String())
	}
}

// lightState is one of those that the console has words for.
func lightState(s check.State) string {
	switch s {
	case check.Good:
		return "ok"
	case check.Bad:
		return "bad"
	case admin.LightOff:
		return "off"
	}
	return "unknown"
}

// faceAddress is the one that people in the house can reach.
func faceAddress(all []netip.Addr) (best netip.Addr) {
	for _, a := range all {
		a = a.Unmap()
		switch {
		case a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast():
		case a.Is4() && !best.Is4(), !best.IsValid():
			best = a
		}
	}
	return best
}

// answers reports whether the page for people is there.
func answers(ctx context.Context) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1/", nil)
	if err != nil {
		return false
	}
	h := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := h.Do(r)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return true
}

// greeted reads the code from the letter of firstboot, in which it is the second of
// the lines that stand in.
func greeted(text string) (code string) {
	n := 0
	for line := range strings.Lines(text) {
		if w, ok := strings.CutPrefix(strings.TrimRight(line, "\r\n"), "    "); ok {
			if n++; n == 2 {
				return w
			}
		}
	}
	return ""
}

// show draws what has changed.
func (c *face) show() {
	v := c.view
	w := tty.Load(v.Lang)
	if v.Prompt = c.menu.Prompt(w); v.Prompt != "" {
		v.Typed = c.menu.Typed()
	}
	if c.notice != "" {
		v.Notice = c.notice
	}
	if !c.ready && v.Notice == "" && v.Trouble == "" {
		v.Notice = w.Say("console.starting")
	}
	text := v.Text()
	if text == c.shown {
		return
	}
	c.shown = text
	c.letter(v)
	for _, t := range c.terms {
		if t.screen && c.screen != nil {
			continue
		}
		if t.screen {
			io.WriteString(t.f, "\x1b[H\x1b[2J")
		}
		io.WriteString(t.f, "\r\n"+text)
	}
	if c.screen == nil {
		return
	}
	if pic, err := v.Draw(c.screen.W, c.screen.H); err == nil {
		if err := c.screen.Show(pic); err != nil {
			fmt.Fprintln(os.Stderr, "the screen takes no picture:", err)
			c.screen = nil
		}
	}
}

// letter writes how the box is for whoever looks at the boot partition. The code is
// in a letter of its own.
func (c *face) letter(v tty.View) {
	v.Code, v.Notice, v.Prompt = "", c.result, ""
	var b strings.Builder
	for _, lang := range []string{"en", "ja"} {
		b.WriteString(tty.Load(lang).Say("console.status") + "\r\n")
	}
	b.WriteString("\r\nhomemail " + version() + "\r\n\r\n")
	for _, l := range v.Lines() {
		if l.Kind != tty.Dim || l.Text == v.Detail {
			b.WriteString(l.Text + "\r\n")
		}
	}
	if b.String() == c.status {
		return
	}
	c.status = b.String()
	if err := letters.Replace(filepath.Join(boxLetters, letters.Status), []byte(c.status)); err != nil {
		fmt.Fprintln(os.Stderr, "the status was not written:", err)
	}
}

// say writes a line to every console, for people and for programs that wait for it.
func (c *face) say(line string) {
	for _, t := range c.terms {
		if !t.screen || c.screen == nil {
			io.WriteString(t.f, "\r\n"+line+"\r\n")
		}
	}
}

// press takes a key, and does what comes of it.
func (c *face) press(ctx context.Context, k rune) {
	c.notice = ""
	o := c.menu.Press(k)
	w := tty.Load(c.view.Lang)
	switch o.Task {
	case tty.Language:
		c.view.Lang = o.Arg
		c.chosen = choice{lang: o.Arg, owned: c.owned}
		if err := c.chosen.keep(boxChoice); err != nil { // a disk that takes no writes
			fmt.Fprintln(os.Stderr, "the language was not kept:", err)
		}
	case tty.Automatic:
		c.notice = w.Say("console.network.restart")
		fmt.Fprintln(c.out, "network auto")
	case tty.Address:
		c.notice = w.Say("console.network.restart")
		fmt.Fprintln(c.out, "network", o.Arg, o.Router)
	case tty.PowerOff:
		c.notice = w.Say("console.power.off")
		fmt.Fprintln(c.out, "poweroff")
	case tty.NewOwner:
		c.notice = c.newOwner(ctx, w)
		c.menu.Read()
	}
}

// newOwner makes a new password for the owner, and the words that tell it.
func (c *face) newOwner(ctx context.Context, w tty.Words) string {
	ctx, cancel := context.WithTimeout(ctx, 2*faceTime)
	defer cancel()
	a, err := admin.Dial(boxData)
	var p admin.NewPassword
	if err == nil {
		err = a.Do(ctx, "owner.reset", admin.Reset{}, &p)
	}
	if err != nil {
		return w.Say("console.owner.failed", "why", err.Error())
	}
	return w.Say("console.owner.new", "who", string(p.Address)) + " " + p.Password + "\r\n" + w.Say("console.owner.once")
}
