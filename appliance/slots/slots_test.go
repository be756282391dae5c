package slots

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A cutDisk is a boot partition that loses its power. It writes whole sectors,
// of each overwrite in any order, and stops after a number of them.
type cutDisk struct {
	files    map[string][]byte
	left     int  // sectors until the power goes; below 0 it never does
	backward bool // the later sector of an overwrite first
	wrote    int
	widest   int // sectors of one overwrite that it changed
}

var errCut = errors.New("the power went")

func (d *cutDisk) read(name string) ([]byte, error) {
	b, ok := d.files[name]
	if !ok {
		return nil, os.ErrNotExist
	}
	return bytes.Clone(b), nil
}

func (d *cutDisk) overwrite(name string, at int64, b []byte) error {
	old := d.files[name]
	if at+int64(len(b)) > int64(len(old)) {
		return fmt.Errorf("%s would become longer", name)
	}
	after := bytes.Clone(old)
	copy(after[at:], b)
	var todo []int
	changed := 0
	for s := int(at) / sector * sector; s < int(at)+len(b); s += sector {
		todo = append(todo, s)
		if end := min(s+sector, len(old)); !bytes.Equal(old[s:end], after[s:end]) {
			changed++
		}
	}
	d.widest = max(d.widest, changed)
	if d.backward {
		for i, j := 0, len(todo)-1; i < j; i, j = i+1, j-1 {
			todo[i], todo[j] = todo[j], todo[i]
		}
	}
	for _, s := range todo {
		if d.left == 0 {
			return errCut
		}
		d.left--
		d.wrote++
		end := min(s+sector, len(old))
		copy(d.files[name][s:end], after[s:end])
	}
	return nil
}

// A firmware starts what a boot partition says, as the real ones do.
type firmware struct {
	name  string
	image func() map[string][]byte
	open  func(files) loader
	start func(d *cutDisk, restart string) Slot
}

func firmwares() []firmware {
	return []firmware{
		{"grub", func() map[string][]byte { return map[string][]byte{grubEnv: GRUBEnv()} },
			func(f files) loader { return grub{f} }, startGRUB},
		{"pi", func() map[string][]byte {
			return map[string][]byte{
				piConfig: []byte("# longer than a sector\n" + strings.Repeat("#\n", 244) + PiPrefix(A) + "\r\narm_64bit=1\r\n"),
				piTry:    []byte("arm_64bit=1\n" + PiPrefix(B) + "\n"),
			}
		}, func(f files) loader { return pi{f} }, startPi},
	}
}

// startGRUB does what GRUBConfig says, as GRUB's load_env and save_env do it.
func startGRUB(d *cutDisk, _ string) Slot {
	b := d.files[grubEnv]
	if len(b) != 1024 || !bytes.HasPrefix(b, []byte("# GRUB Environment Block\n")) {
		return A
	}
	value := map[string]string{}
	for _, line := range strings.Split(string(b), "\n") {
		if name, v, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			value[name] = v
		}
	}
	slot := value["slot"]
	if slot != "a" && slot != "b" {
		slot = "a"
	}
	if next := value["next_slot"]; next == "a" || next == "b" {
		text := "# GRUB Environment Block\nslot=" + value["slot"] + "\nnext_slot=\n"
		d.files[grubEnv] = []byte(text + strings.Repeat("#", 1024-len(text)))
		slot = next
	}
	return Slot(slot[0])
}

func startPi(d *cutDisk, restart string) Slot {
	name := piConfig
	if restart == "0 tryboot" {
		name = piTry
	}
	_, rest, _ := strings.Cut(string(d.files[name]), "os_prefix=")
	return Slot(rest[0])
}

// TestCut replays the life of an update and cuts the power after every number
// of sectors: the box starts from a slot that is whole, each time.
func TestCut(t *testing.T) {
	for _, f := range firmwares() {
		for _, backward := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s,backward=%v", f.name, backward), func(t *testing.T) {
				total := cutAt(t, f, -1, backward)
				if total < 2 {
					t.Fatalf("only %d sectors were written", total)
				}
				for n := range total {
					cutAt(t, f, n, backward)
				}
			})
		}
	}
}

// cutAt updates from a to b, keeps b, and comes back to b from a try of a,
// until the power goes after n sectors. It returns how many were written.
func cutAt(t *testing.T, f firmware, n int, backward bool) int {
	t.Helper()
	d := &cutDisk{files: f.image(), left: n, backward: backward}
	l := f.open(d)
	may := []Slot{A} // what may start if the power goes now
	cut := func(err error) bool {
		if err == nil {
			return false
		}
		if !errors.Is(err, errCut) {
			t.Fatalf("after %d sectors: %v", n, err)
		}
		d.left = -1
		got := f.start(d, "")
		if !bytes.Contains([]byte{byte(may[0]), byte(may[len(may)-1])}, []byte{byte(got)}) {
			t.Errorf("cut after %d sectors: %s starts, right is one of %s", n, got, may)
		}
		// whatever was going on, the next start is by the rules again
		b := Boot{running: got, loader: l}
		if err := b.Settle(); err != nil {
			t.Errorf("cut after %d sectors: settle: %v", n, err)
		}
		s, err := b.State()
		if err != nil || s.Next != 0 {
			t.Errorf("cut after %d sectors: %+v, %v", n, s, err)
		}
		if again := f.start(d, ""); again != s.Every {
			t.Errorf("cut after %d sectors: %s starts, and the state says %s", n, again, s.Every)
		}
		return true
	}
	if got := f.start(d, ""); got != A {
		t.Fatalf("a new image starts %s", got)
	}
	may = []Slot{A, B} // B is whole before it is tried
	restart, err := (&Boot{A, l}).Try()
	if cut(err) {
		return d.wrote
	}
	if got := f.start(d, restart); got != B {
		t.Fatalf("after Try %s starts", got)
	}
	if s, err := (&Boot{B, l}).State(); err != nil || !s.Trial || s.Every != A {
		t.Fatalf("in the trial: %+v, %v", s, err)
	}
	may = []Slot{A}
	if got := f.start(d, ""); got != A {
		t.Fatalf("after a trial without a commit %s starts", got)
	}
	may = []Slot{A, B}
	if cut((&Boot{B, l}).Commit()) {
		return d.wrote
	}
	for range 2 {
		if got := f.start(d, ""); got != B {
			t.Fatalf("after Commit %s starts", got)
		}
	}
	if s, err := (&Boot{B, l}).State(); err != nil || s.Trial || s.Every != B || s.Next != 0 {
		t.Fatalf("after Commit: %+v, %v", s, err)
	}
	if restart, err = (&Boot{B, l}).Try(); cut(err) {
		return d.wrote
	}
	if got := f.start(d, restart); got != A {
		t.Fatalf("the next update: %s starts", got)
	}
	if got := f.start(d, ""); got != B {
		t.Fatalf("and is not left: %s starts", got)
	}
	if d.widest > 1 {
		t.Errorf("an overwrite changed %d sectors", d.widest)
	}
	return d.wrote
}

// TestSettle takes a try back that GRUB could not take back.
func TestSettle(t *testing.T) {
	d := &cutDisk{files: map[string][]byte{grubEnv: grubBlock(A, B)}, left: -1}
	b := Boot{running: B, loader: grub{d}}
	if err := b.Settle(); err != nil {
		t.Fatal(err)
	}
	if got := startGRUB(d, ""); got != A {
		t.Errorf("%s starts again", got)
	}
}

// TestDamaged: who cannot read the state does not write one.
func TestDamaged(t *testing.T) {
	for _, f := range []map[string][]byte{
		{grubEnv: []byte("short")},
		{},
	} {
		d := &cutDisk{files: f, left: -1}
		if _, err := (grub{d}).try(B); err == nil || d.wrote != 0 {
			t.Errorf("%q: err %v, %d sectors written", f, err, d.wrote)
		}
	}
	d := &cutDisk{files: map[string][]byte{piConfig: []byte("arm_64bit=1\n"), piTry: []byte("os_prefix=c/\n")}, left: -1}
	if err := (pi{d}).commit(B); !errors.Is(err, ErrState) || d.wrote != 0 {
		t.Errorf("err %v, %d sectors written", err, d.wrote)
	}
	if _, err := (pi{d}).try(B); !errors.Is(err, ErrState) || d.wrote != 0 {
		t.Errorf("err %v, %d sectors written", err, d.wrote)
	}
	// GRUB starts a if the block is filled with something else; so do we
	junk := &cutDisk{files: map[string][]byte{grubEnv: bytes.Repeat([]byte{0}, grubSize)}, left: -1}
	every, next, err := (grub{junk}).state()
	if got := startGRUB(junk, ""); err != nil || every != got || next != 0 {
		t.Errorf("%v %v %v; GRUB starts %s", every, next, err, got)
	}
}

func TestOpen(t *testing.T) {
	const cmdline = "root=PARTUUID=1 ro homemail.slot=b quiet\n"
	dir := t.TempDir()
	if _, err := Open(dir, cmdline); !errors.Is(err, ErrState) {
		t.Errorf("an empty directory: %v", err)
	}
	write := func(name string, b []byte) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(piConfig, []byte(PiPrefix(A)+"\n"))
	write(piTry, []byte(PiPrefix(B)+"\n"))
	b, err := Open(dir, cmdline)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := b.State(); err != nil || s != (State{Running: B, Every: A, Trial: true}) {
		t.Errorf("%+v, %v", s, err)
	}
	write(grubEnv, GRUBEnv())
	if b, err = Open(dir, cmdline); err != nil {
		t.Fatal(err)
	}
	if err := b.Commit(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Try(); err != nil {
		t.Fatal(err)
	}
	if s, err := b.State(); err != nil || s != (State{Running: B, Every: B, Next: A}) {
		t.Errorf("%+v, %v", s, err)
	}
	if info, err := os.Stat(filepath.Join(dir, grubEnv)); err != nil || info.Size() != 1024 {
		t.Errorf("%v, %v", info, err)
	}
	for _, bad := range []string{"", "homemail.slot=", "homemail.slot=ab", "homemail.slot=c"} {
		if _, err := Open(dir, bad); !errors.Is(err, ErrState) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// FuzzFind states that a file's other bytes stay as they are.
func FuzzFind(f *testing.F) {
	f.Add([]byte("os_prefix=a/\n"), false)
	f.Add([]byte("arm_64bit=1\r\nos_prefix=b/\r\n[pi4]\r\n"), true)
	f.Add([]byte("#os_prefix=a/\nos_prefix=/\nos_prefix=ab\nos_prefix=a/ "), true)
	f.Fuzz(func(t *testing.T, b []byte, toB bool) {
		want := A
		if toB {
			want = B
		}
		d := &cutDisk{files: map[string][]byte{piConfig: bytes.Clone(b)}, left: -1}
		err := pi{d}.set(piConfig, want)
		after := d.files[piConfig]
		n := 0
		for i := range b {
			if after[i] != b[i] {
				n++
			}
		}
		got, _, err2 := pi{d}.find(piConfig)
		switch {
		case err != nil && n != 0:
			t.Errorf("%q: %v, and %d bytes changed", b, err, n)
		case err == nil && (n > 1 || err2 != nil || got != want):
			t.Errorf("%q: %d bytes changed, then %v, %v", b, n, got, err2)
		}
	})
}
