package box

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"homemail/internal/volatiledisk"
)

// A firmware is how an emulated PC starts.
type firmware int

const (
	bios firmware = iota
	uefi
	secure // UEFI with Secure Boot, and the keys that PCs come with
)

func (f firmware) String() string { return [...]string{"BIOS", "UEFI", "Secure Boot"}[f] }

const ovmf = "/usr/share/OVMF/"

// diskSize is that of an emulated disk: the image, and room for the data.
const diskSize = 4 << 30

// ports of the box that a test reaches, each by one of its own on this computer.
var doors = []int{25, 80, 443, 465, 993, 995}

// A machine is a PC, emulated by QEMU, with one disk.
type machine struct {
	t     *testing.T
	dir   string
	ports map[int]int // by the box's
	began time.Time
	disk  *volatiledisk.Disk
	mount *volatiledisk.Mount
	cmd   *exec.Cmd
	qmp   net.Conn
	ended chan error

	mu     sync.Mutex
	serial bytes.Buffer
}

// newDisk copies an image to a larger disk.
func newDisk(t *testing.T, image string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "disk")
	run(t, "cp", "--sparse=always", image, name)
	if err := os.Truncate(name, diskSize); err != nil {
		t.Fatal(err)
	}
	return name
}

// start switches a machine on. Its disk has a volatile cache: what the box has
// not flushed when the power is cut may be gone.
func start(t *testing.T, f firmware, disk string) *machine {
	t.Helper()
	m := &machine{t: t, dir: t.TempDir(), ports: map[int]int{}, began: time.Now(), ended: make(chan error, 1)}
	file, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	if m.disk, err = volatiledisk.New(file); err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(m.dir, "mount")
	if err := os.Mkdir(at, 0o755); err != nil {
		t.Fatal(err)
	}
	if m.mount, err = m.disk.MountAt(at); err != nil {
		t.Fatal(err)
	}
	m.run(f, filepath.Join(at, volatiledisk.FileName))
	t.Cleanup(m.off)
	return m
}

func (m *machine) run(f firmware, disk string) {
	m.t.Helper()
	forward := "user,id=n0"
	for _, p := range doors {
		m.ports[p] = freePort(m.t)
		forward += fmt.Sprintf(",hostfwd=tcp:127.0.0.1:%d-:%d", m.ports[p], p)
	}
	args := []string{
		"-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "1", "-m", "1024", "-display", "none", "-nodefaults", "-vga", "std", "-no-reboot",
		"-serial", "stdio", "-qmp", "unix:qmp,server=on,wait=off",
		"-drive", "if=virtio,format=raw,cache=writeback,discard=unmap,file=" + disk,
		"-netdev", forward, "-device", "virtio-net-pci,netdev=n0", "-device", "virtio-rng-pci", "-device", "i6300esb",
	}
	args = append(args, f.args(m.t, m.dir)...)
	m.cmd = exec.Command("qemu-system-x86_64", args...)
	m.cmd.Dir = m.dir
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	m.cmd.Stderr = m.cmd.Stdout
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	go func() {
		io.Copy(m, out)
		m.ended <- m.cmd.Wait()
	}()
}

// args are QEMU's for a firmware.
func (f firmware) args(t *testing.T, dir string) []string {
	t.Helper()
	if f == bios {
		return []string{"-machine", "q35"}
	}
	machine, code, vars := "q35", "OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"
	var more []string
	if f == secure {
		machine, code, vars = "q35,smm=on", "OVMF_CODE_4M.secboot.fd", "OVMF_VARS_4M.ms.fd"
		more = []string{"-global", "driver=cfi.pflash01,property=secure,value=on"}
	}
	own := filepath.Join(dir, "vars")
	run(t, "cp", ovmf+vars, own)
	return append(more, "-machine", machine,
		"-drive", "if=pflash,format=raw,readonly=on,file="+ovmf+code, "-drive", "if=pflash,format=raw,file="+own)
}

// Write takes what the serial line says.
func (m *machine) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.serial.Write(p)
}

func (m *machine) said() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.serial.String()
}

// patience is for a machine that shares its processors with other tests.
const patience = 4 * time.Minute

// await waits until the serial line says something, and returns the groups.
func (m *machine) await(pattern string) []string {
	m.t.Helper()
	re := regexp.MustCompile(pattern)
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if found := re.FindStringSubmatch(m.said()); found != nil {
			return found
		}
		select {
		case err := <-m.ended:
			m.ended <- err
			m.t.Fatalf("the machine has ended, and never said %q: %v\n%s", pattern, err, tail(m.said()))
		default:
		}
	}
	m.t.Fatalf("the serial line never says %q:\n%s", pattern, tail(m.said()))
	return nil
}

// tail is the end of what a serial line said, without colours.
func tail(s string) string {
	s = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]|\r").ReplaceAllString(s, "")
	return s[max(0, len(s)-6000):]
}

// cut cuts the power while something is in the disk's cache, which is only for
// moments. A part of it survives.
func (m *machine) cut(seed uint64, keep float64) {
	m.t.Helper()
	for end := time.Now().Add(5 * time.Second); m.disk.Pending() == 0 && time.Now().Before(end); {
		time.Sleep(100 * time.Microsecond)
	}
	if err := m.disk.Cut(seed, keep); err != nil {
		m.t.Error(err)
	}
	m.off()
}

// off ends the machine, however it is.
func (m *machine) off() {
	if m.mount == nil {
		return
	}
	m.cmd.Process.Kill()
	<-m.ended
	if err := m.mount.Close(); err != nil {
		m.t.Error(err)
	}
	m.mount = nil
}

// powerButton asks the box to stop, and waits until it has.
func (m *machine) powerButton() {
	m.t.Helper()
	m.command("qmp_capabilities")
	m.command("system_powerdown")
	select {
	case err := <-m.ended:
		m.ended <- err
		if err != nil {
			m.t.Errorf("QEMU: %v", err)
		}
	case <-time.After(patience):
		m.t.Fatalf("the power button does nothing:\n%s", tail(m.said()))
	}
	if err := m.disk.Flush(); err != nil {
		m.t.Error(err)
	}
	m.off()
}

func (m *machine) command(name string) {
	m.t.Helper()
	if m.qmp == nil {
		c, err := net.Dial("unix", filepath.Join(m.dir, "qmp"))
		if err != nil {
			m.t.Fatal(err)
		}
		m.qmp = c
		m.t.Cleanup(func() { c.Close() })
	}
	if err := json.NewEncoder(m.qmp).Encode(map[string]string{"execute": name}); err != nil {
		m.t.Fatal(err)
	}
}

// freePort is a port that nobody has, just now.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
