//go:build linux

package appliance

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"homemail/appliance/network"
	"homemail/appliance/sandbox"
	"homemail/appliance/supervise"
	"homemail/appliance/timekeeper"
	"homemail/appliance/volume"
)

// world are the files of the root that programs may read: it has no secrets.
func world(more ...string) []string {
	return append([]string{"/etc", "/usr", "/share", "/lib", "/proc", "/sys", "/dev/null", "/dev/urandom", "/run"}, more...)
}

// small keeps the helpers' memory small.
func small(more ...string) []string {
	return append([]string{"GOMEMLIMIT=12MiB", "GOGC=50", "PATH=/bin"}, more...)
}

// connect brings the network up, and asks for addresses and for the time.
func (b *box) connect(background func(string, func(context.Context) error)) {
	settings := b.letters.Network()
	var fixed *network.Lease
	if settings.Address != "" {
		var err error
		if fixed, err = network.Fixed(settings.Address, settings.Router, settings.DNS); err != nil {
			b.log.Error("the address in homemail-network.txt cannot be used; the box asks for one", "err", err)
		}
	}
	n, err := network.New(network.Options{Log: b.log, Client: b.dhcp, Fixed: fixed, Resolver: resolver, Changed: b.connected})
	if err != nil {
		b.step("network", err)
		return
	}
	b.net = n
	background("network", n.Run)
	background("time", b.askTime)
}

// connected tells who asks for the time which servers the network names.
func (b *box) connected() {
	var list []string
	for _, l := range b.net.Leases() {
		for _, a := range l.NTP {
			list = append(list, a.String())
		}
	}
	name := filepath.Join(serversDir, "time")
	text := strings.Join(list, "\n") + "\n"
	if old, err := os.ReadFile(name); err != nil || string(old) != text {
		b.step("time servers", os.WriteFile(name, []byte(text), 0o644))
	}
}

func (b *box) dhcp(ctx context.Context, l network.Link, socket *os.File) (*exec.Cmd, error) {
	name, _ := os.Hostname()
	s := sandbox.Spec{User: netUser, Read: []string{"/sys/kernel/mm"}, Env: small(), Files: []*os.File{socket}}
	c, err := s.Command(ctx, enter(), "init", "dhcp", strconv.Itoa(l.Index), l.MAC.String(), name)
	if err == nil {
		c.Stderr = b.o.Err
	}
	return c, err
}

func (b *box) askTime(ctx context.Context) error {
	s := &supervise.Service{
		Name: "time", Stop: time.Second, Log: b.log,
		Start: func(ctx context.Context) (*exec.Cmd, error) {
			s := sandbox.Spec{User: timeUser, Read: []string{"/etc", "/run", "/share", "/usr"}, Env: small()}
			c, err := s.Command(ctx, enter(), "init", "ntp", filepath.Join(serversDir, "time"))
			if err == nil {
				c.Stderr = b.o.Err
			}
			return c, err
		},
		Told: func(line string) error {
			r, err := timekeeper.ParseReading(line)
			if err != nil {
				return err
			}
			if r.Offset.Abs() > time.Second {
				b.log.Info("the clock is corrected", "by", r.Offset.Round(time.Millisecond), "servers", r.Servers)
			}
			b.step("clock", b.clock.Correct(r))
			return nil
		},
	}
	return s.Run(ctx)
}

// serve opens the doors and starts what people see.
func (b *box) serve(ctx context.Context, background func(string, func(context.Context) error)) {
	var err error
	b.doors, err = openDoors(ctx)
	b.step("doors", err)
	b.mail = &program{box: b, ctx: ctx, dir: b.openData()}
	b.mail.service = &supervise.Service{Name: "homemail", Stop: goodbye, Log: b.log, Start: b.mail.command, Ended: b.mail.ended}
	b.newMover()
	b.mail.start()
	background("homemail", func(ctx context.Context) error { <-ctx.Done(); b.mail.stop(); return nil })
	b.face = &supervise.Service{Name: "console", Stop: 2 * time.Second, Log: b.log, Start: b.console, Told: b.heard}
	background("console", b.face.Run)
	background("revive", b.revive)
	background("letters", b.letters.Run)
	background("controls", b.control)
	if b.clock.Saved != "" {
		background("save the time", b.saveTime)
	}
	if b.o.Slot != nil && b.boot {
		background("updates", b.updates)
	}
	if b.mover.Unfinished() {
		go b.mover.Run(ctx, "")
	}
}

// A program is homemail, which may be stopped for a while.
type program struct {
	box     *box
	ctx     context.Context
	service *supervise.Service

	mu     sync.Mutex
	since  time.Time // of the last start
	dir    string    // of the data; "" to show a page that says what is wrong
	cancel context.CancelFunc
	done   chan struct{}
	early  int
}

// setDir has homemail use another directory from its next start.
func (p *program) setDir(dir string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dir = dir
}

func (p *program) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cancel != nil {
		return
	}
	ctx, cancel := context.WithCancel(p.ctx)
	done := make(chan struct{})
	p.cancel, p.done = cancel, done
	go func() {
		defer close(done)
		p.service.Run(ctx)
	}()
}

func (p *program) stop() {
	p.mu.Lock()
	cancel, done := p.cancel, p.done
	p.cancel = nil
	p.mu.Unlock()
	if cancel != nil {
		cancel()
		<-done
	}
}

func (p *program) running() bool { return p != nil && p.service.PID() != 0 }
func (p *program) Kill()         { p.service.Kill() }

// failing reports whether homemail ends as soon as it is started.
func (p *program) failing() bool {
	if p == nil {
		return true // it has not come so far; the time of grace is over at some point
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.early > 1
}

func (p *program) ended(_ error, early int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.early = early
	p.box.step("notice", notice(noticeFile, early))
}

// well is told that homemail works. One that has lasted is not failing.
func (p *program) well() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.early > 0 && time.Since(p.since) >= lasting {
		p.early = 0
		p.box.step("notice", notice(noticeFile, 0))
	}
}

const (
	lasting  = 45 * time.Second // homemail says that it works at its start, and each minute
	pageTime = 50 * time.Second // less than what counts as lasting for who supervises, or the page would seem a homemail that works
)

// crashes is how many early ends in a row are a trouble that people are told of.
const crashes = 4

// notice has the console say that homemail ends as soon as it is started, until it
// has lasted. The console cannot ask homemail for that.
func notice(name string, early int) error {
	if early < crashes {
		if err := os.Remove(name); !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return nil
	}
	return os.WriteFile(name, []byte("ends\n"), 0o644)
}

// command starts homemail, or what stands in for it. After some early ends in a
// row the page tells of that for a while, and then homemail is tried again.
func (p *program) command(ctx context.Context) (*exec.Cmd, error) {
	b := p.box
	p.mu.Lock()
	early, dir := p.early, p.dir
	p.since = time.Now()
	p.mu.Unlock()
	data := b.data.get()
	if dir == "" {
		return b.page(ctx, string(data.Trouble), data.Detail, 0)
	}
	if early >= crashes && early%2 == 0 {
		return b.page(ctx, "ends", "", pageTime)
	}
	s := sandbox.Spec{
		User: mailUser, Open: 8192, Read: world("/share"), Write: []string{dir, "/tmp", letterDir}, Use: []string{"/dev/null"},
		Env:   []string{"PATH=/bin", "HOME=" + dir, "TMPDIR=/tmp", "HOMEMAIL_BOX=" + controls, "LISTEN_FDS=" + strconv.Itoa(len(b.doors))},
		Files: files(b.doors),
	}
	args := []string{"serve", "-data", dir, "-claim", letterDir, "-plug"}
	if data.Mode == volume.ReadOnly {
		name := runDir + "/rescue.toml"
		// No room is left for mail: it is refused, and what is there can be read.
		if err := os.WriteFile(name, []byte("[store]\nreserve = \""+rescueReserve+"\"\n"), 0o644); err != nil {
			return nil, err
		}
		args = append(args, "-config", name)
	}
	c, err := s.Command(ctx, enter(), args...)
	if err == nil {
		c.Stdout, c.Stderr = b.o.Err, b.o.Err
	}
	return c, err
}

// rescueReserve is more than any disk has.
const rescueReserve = "8000 TB"

// page starts the page that says what is wrong, for some time or until it is
// stopped.
func (b *box) page(ctx context.Context, trouble, detail string, d time.Duration) (*exec.Cmd, error) {
	s := sandbox.Spec{User: mailUser, Open: 256, Read: world(), Env: small("LISTEN_FDS=2"), Files: files(b.doors, 80, 443)}
	c, err := s.Command(ctx, enter(), "init", "trouble", trouble, detail, d.String())
	if err == nil {
		c.Stderr = b.o.Err
	}
	return c, err
}

// console starts what shows the box to who stands before it. It is homemail's user,
// as it asks homemail.
func (b *box) console(ctx context.Context) (*exec.Cmd, error) {
	s := sandbox.Spec{User: mailUser, Read: world(), Write: []string{mailDir, letterDir}, Env: small("GOMEMLIMIT=24MiB")}
	data := b.data.get()
	args := []string{"init", "face", string(data.Mode), string(data.Trouble), data.Detail}
	list := consoles(b.args)
	var screens []*os.File
	for _, name := range list {
		f, err := os.OpenFile("/dev/"+name, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
		if err != nil {
			continue
		}
		s.Files = append(s.Files, f)
		kind := "serial"
		if strings.HasPrefix(name, "tty") && len(name) > 3 && name[3] >= '0' && name[3] <= '9' {
			kind = "screen"
			screens = append(screens, f)
		}
		args = append(args, kind+"="+strconv.Itoa(2+len(s.Files)))
	}
	if f, err := os.OpenFile("/dev/fb0", os.O_RDWR, 0); err == nil {
		for _, t := range screens { // the kernel's text would be drawn over the picture
			if err := unix.IoctlSetInt(int(t.Fd()), kdSetMode, kdGraphics); err != nil {
				b.log.Debug("a console stays one of text", "err", err)
			}
		}
		s.Files = append(s.Files, f)
		args = append(args, "picture="+strconv.Itoa(2+len(s.Files)))
	}
	c, err := s.Command(ctx, enter(), args...)
	if err == nil {
		c.Stderr = b.o.Err
	}
	return c, err
}

// kdSetMode is KDSETMODE of linux/kd.h, which takes a right that the console does
// not have.
const (
	kdSetMode  = 0x4b3a
	kdGraphics = 1
)

// heard does what the console says: there is somebody before the box.
func (b *box) heard(line string) error {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "poweroff":
		b.stop <- PowerOff
	case "restart":
		b.stop <- Restart
	case "network":
		return b.setNetwork(rest)
	default:
		return fmt.Errorf("the console says %q", word)
	}
	return nil
}

// setNetwork keeps an address that was typed at the console: "auto", or address,
// router. It is in force from the next start.
func (b *box) setNetwork(rest string) error {
	settings := b.letters.Network()
	settings.Address, settings.Router, settings.DNS = "", "", nil
	if w := strings.Fields(rest); len(w) == 2 && w[0] != "auto" {
		l, err := network.Fixed(w[0], w[1], nil)
		if err != nil {
			b.log.Warn("an address from the console cannot be used", "err", err)
			return nil
		}
		settings.Address, settings.Router, settings.DNS = l.Address.String(), l.Router.String(), texts(l.DNS)
	}
	if err := b.letters.SetNetwork(settings); err != nil {
		b.log.Error("the network's settings were not kept", "err", err)
		return nil
	}
	b.stop <- Restart
	return nil
}

func texts(list []netip.Addr) (s []string) {
	for _, a := range list {
		s = append(s, a.String())
	}
	return s
}

// errStopped says that the box is going down.
var errStopped = errors.New("the box is stopping")
