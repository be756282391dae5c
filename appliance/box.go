//go:build linux

package appliance

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"homemail/appliance/letters"
	"homemail/appliance/modules"
	"homemail/appliance/move"
	"homemail/appliance/network"
	"homemail/appliance/supervise"
	"homemail/appliance/timekeeper"
	"homemail/appliance/volume"
	"homemail/appliance/watchdog"
)

// A box is the machine while it runs.
type box struct {
	o    Options
	log  *slog.Logger
	args string // the kernel's command line

	disk string // that the root is on
	boot bool   // the boot partition is mounted
	data guarded

	doors   []door
	net     *network.Network
	clock   *timekeeper.Keeper
	letters *letters.Box
	mover   *move.Mover
	pulse   *watchdog.Pulse // of homemail, for the watchdog
	beat    *watchdog.Pulse // shorter, to start homemail again
	mail    *program
	face    *supervise.Service

	stop chan Ending
}

// guarded is how the data is. A move to another disk changes it while other parts
// of the box look at it.
type guarded struct {
	mu    sync.Mutex
	state volume.State
}

func (g *guarded) get() volume.State {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.state
}

func (g *guarded) set(s volume.State) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.state = s
}

// An Ending is how PID 1 ends.
type Ending int

// The endings.
const (
	PowerOff Ending = iota + 1
	Restart
)

const (
	grace   = 20 * time.Minute // the first start makes a file system and keys, on a slow card
	silence = 8 * time.Minute  // of homemail, until the hardware restarts the machine
	hangs   = 3 * time.Minute  // until homemail alone is started again
	saving  = 10 * time.Minute // between times that are saved
	goodbye = 30 * time.Second // for homemail: it gives a message that comes in 20 s
)

// Run is the life of the machine. It returns when all has been stopped, with what
// is to happen then.
func Run(ctx context.Context, o Options) Ending {
	b := &box{o: o, log: o.Log, stop: make(chan Ending, 8), pulse: watchdog.NewPulse(grace, silence), beat: watchdog.NewPulse(grace, hangs)}
	b.step("mounts", mountAll())
	if line, err := os.ReadFile("/proc/cmdline"); err == nil {
		b.args = strings.TrimSpace(string(line))
	}
	b.step("directories", directories())
	tune(b.log, b.args)
	b.clock = &timekeeper.Keeper{Built: o.Built}
	b.setClock()
	b.letters = letters.New(bootDir, letterDir, mailUser, b.log)

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	background := func(name string, fn func(context.Context) error) {
		wg.Go(func() {
			if err := fn(ctx); err != nil {
				b.log.Error("a part of the box has ended", "part", name, "err", err)
			}
		})
	}
	background("watchdog", b.watch)
	background("signals", b.signals)
	b.devices(background)
	b.prepareBoot(ctx)
	b.letters.Enabled = b.boot
	b.hostName()
	b.step("letters", b.letters.Fetch())
	b.connect(background)
	data := b.prepareData(ctx)
	b.data.set(data)
	if data.Trouble != volume.Fine {
		b.log.Error("the data is not as it should be", "trouble", data.Trouble, "mode", data.Mode, "detail", data.Detail)
	}
	if data.Mode == volume.Normal {
		b.clock.Saved = dataDir + "/clock"
		b.setClock()
	}
	b.serve(ctx, background)
	ending := <-b.stop
	b.log.Info("stopping", "ending", ending)
	cancel()
	wg.Wait()
	b.end()
	return ending
}

// step logs what went wrong and goes on: a box that stands still helps nobody.
func (b *box) step(name string, err error) {
	if err != nil {
		b.log.Error("the start had a problem", "step", name, "err", err)
	}
}

func (b *box) setClock() {
	from, err := b.clock.Begin()
	b.step("clock", err)
	b.log.Info("the clock is set until a time server is heard", "time", time.Now().UTC().Format(time.RFC3339), "from", from)
}

// end leaves the disks as they should be.
func (b *box) end() {
	if b.clock.Saved != "" {
		b.step("save the time", b.clock.Save())
	}
	b.step("letters", b.letters.Deliver())
	unix.Sync()
	b.step("unmount", errors.Join(volume.Unmount(dataDir), volume.Unmount(bootDir)))
	unix.Sync()
}

// devices loads the modules of what is there now, and of what is plugged in later.
func (b *box) devices(background func(string, func(context.Context) error)) {
	set, err := modules.Running("/")
	if err != nil {
		b.step("modules", err)
		return
	}
	for _, m := range []string{"vfat", "nls_cp437", "nls_ascii", "nls_iso8859-1", "nls_utf8", "crc32c", "crypto-crc32c", "ext4", "overlay"} {
		if err := set.Load(m); err != nil { // nobody else loads a file system's
			b.log.Debug("a module was not loaded", "module", m, "err", err)
		}
	}
	background("devices", func(ctx context.Context) error {
		if err := set.Coldplug("/sys"); err != nil {
			b.log.Info("some devices have no driver", "err", err)
		}
		b.buttons(ctx)
		return set.Watch(ctx, b.log, func(e modules.Event) {
			if e.Action == "add" && e.Subsystem == "input" {
				b.buttons(ctx)
			}
		})
	})
}

func (b *box) hostName() {
	name := b.letters.Network().Name
	if name == "" {
		name = "homemail"
	}
	b.step("host name", unix.Sethostname([]byte(name)))
}

// watch feeds the watchdog for as long as homemail proves that it works. One that
// is started again and again does not hang: its owner can read why.
func (b *box) watch(ctx context.Context) error {
	dog, err := watchdog.Open("/dev/watchdog")
	for tries := 0; errors.Is(err, os.ErrNotExist) && tries < 60; tries++ { // its driver is loaded with all others
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(5 * time.Second):
		}
		dog, err = watchdog.Open("/dev/watchdog")
	}
	if err != nil {
		b.log.Info("this machine has no watchdog", "err", err)
		<-ctx.Done()
		return nil
	}
	b.log.Info("the watchdog is fed")
	return dog.Run(ctx, func() bool {
		return b.pulse.Silence() == 0 || b.data.get().Mode == volume.Absent || b.mail.failing()
	})
}

// revive starts homemail again when it has not proved for too long that it works.
func (b *box) revive(ctx context.Context) error {
	tick := time.NewTicker(30 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if b.beat.Silence() > 0 && b.mail.running() {
			b.log.Error("homemail hangs and is started again", "silence", b.beat.Silence().Round(time.Second))
			b.mail.Kill()
			b.face.Kill()
			b.beat.Reset(hangs)
		}
	}
}

// healthy reports whether homemail works, for who watches over an update.
func (b *box) healthy(context.Context) error {
	data := b.data.get()
	switch {
	case data.Trouble != volume.Fine:
		return errors.New("the data is " + string(data.Mode) + ": " + string(data.Trouble))
	case !b.beat.Ever() || b.beat.Silence() > 0:
		return errors.New("homemail has not proved that it works")
	}
	return nil
}

// saveTime writes the time down, for a box without a clock of its own.
func (b *box) saveTime(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(saving):
			b.step("save the time", b.clock.Save())
		}
	}
}

// updates runs what watches over an update.
func (b *box) updates(ctx context.Context) error {
	l, err := unixSocket(b.o.SlotSocket)
	if err != nil {
		return err
	}
	return b.o.Slot(ctx, l, b.healthy)
}

// unixSocket makes a socket that homemail may use.
func unixSocket(name string) (net.Listener, error) {
	os.Remove(name)
	l, err := net.Listen("unix", name)
	if err != nil {
		return nil, err
	}
	return l, errors.Join(os.Chown(name, 0, mailUser), os.Chmod(name, 0o660))
}
