package store

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// readAll opens a journal and returns the payloads that it gives back.
func readAll(t testing.TB, dir string) (*journal, []string, []damage) {
	t.Helper()
	var got []string
	j, damaged, err := openJournal(dir, 64<<10, 0, func(_ uint64, p []byte) error {
		if len(p) > 0 {
			got = append(got, string(p))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return j, got, damaged
}

// filled makes a journal with n frames that were acknowledged.
func filled(t testing.TB, n int) string {
	dir := t.TempDir()
	j, _, _ := readAll(t, dir)
	for i := range n {
		if _, err := j.append(bytes.Repeat([]byte{byte('a' + i%26)}, 100+i*300), true); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.note(); err != nil {
		t.Fatal(err)
	}
	if err := j.close(false); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestJournalGivesBackEveryFrame(t *testing.T) {
	dir := filled(t, 60)
	_, got, damaged := readAll(t, dir)
	if len(got) != 60 || len(damaged) != 0 {
		t.Fatalf("%d frames, damage %v", len(got), damaged)
	}
	for i, p := range got {
		if len(p) != 100+i*300 || p[0] != byte('a'+i%26) {
			t.Errorf("frame %d came back changed", i)
		}
	}
}

// TestJournalFlippedBit flips a bit in each place of a journal in turn: every
// other frame comes back, and the loss of an acknowledged one is told.
func TestJournalFlippedBit(t *testing.T) {
	dir := filled(t, 12)
	paths, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	for _, path := range paths {
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for at := segmentHead; at < len(whole); at += 331 {
			b := bytes.Clone(whole)
			b[at] ^= 1 << (at % 8)
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			_, got, damaged := readAll(t, dir)
			if len(got) < 11 || len(got) == 11 && len(damaged) == 0 {
				t.Fatalf("bit at %d: %d of 12 frames, damage %v", at, len(got), damaged)
			}
		}
		os.WriteFile(path, whole, 0o600)
	}
}

func TestJournalTornTailIsNoDamage(t *testing.T) {
	dir := t.TempDir()
	j, _, _ := readAll(t, dir)
	j.append([]byte("acknowledged"), true)
	for range 5 { // written and never flushed
		j.append(make([]byte, 5000), false)
	}
	j.close(false)
	path, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	f, err := os.OpenFile(path[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteAt(make([]byte, frameAlign), segmentHead+frameAlign) // the second frame is lost
	f.Close()
	_, got, damaged := readAll(t, dir)
	if len(got) != 1 || len(damaged) != 0 {
		t.Errorf("%d frames, damage %v", len(got), damaged)
	}
}

func TestJournalUsesFilesAgain(t *testing.T) {
	dir := t.TempDir()
	j, _, _ := readAll(t, dir)
	for i := range 200 {
		if _, err := j.append([]byte(fmt.Sprint(i)), true); err != nil {
			t.Fatal(err)
		}
		j.seal(1)
		if err := j.release(func(s *segment) bool { return s.mem != 0 }); err != nil {
			t.Fatal(err)
		}
	}
	if all, _ := os.ReadDir(dir); len(all) > 2+filesMax {
		t.Errorf("%d files", len(all))
	}
	j.close(false)
	_, got, damaged := readAll(t, dir)
	if len(damaged) != 0 || len(got) == 0 || got[len(got)-1] != "199" {
		t.Errorf("%v, damage %v", got, damaged)
	}
}

// TestJournalTakesNoForgedFrame: a frame within somebody's mail stays mail,
// also when the frame around it is damaged.
func TestJournalTakesNoForgedFrame(t *testing.T) {
	forger := &journal{seq: 41, stable: 41} // of another house, with another salt
	forged := forger.number(append(forger.begin(), "forged"...), 42, frameAlign)
	payload := make([]byte, 3*frameAlign)
	copy(payload[frameAlign-frameHeader:], forged)
	dir := t.TempDir()
	j, _, _ := readAll(t, dir)
	j.append([]byte("first"), true)
	j.append(payload, true)
	j.append([]byte("last"), true)
	j.close(false)
	path, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	f, err := os.OpenFile(path[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteAt([]byte{0xff}, segmentHead+frameAlign+40) // within the second frame
	f.Close()
	_, got, damaged := readAll(t, dir)
	if len(got) != 2 || got[0] != "first" || got[1] != "last" || len(damaged) != 1 {
		t.Errorf("%d frames, damage %v", len(got), damaged)
	}
}

func TestJournalSaltIsFoundAgain(t *testing.T) {
	for name, harm := range map[string]func(dir string) error{
		"lost": func(dir string) error { return os.Remove(filepath.Join(dir, saltName)) },
		"damaged": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, saltName), make([]byte, saltSize), 0o600)
		},
	} {
		dir := filled(t, 5)
		if err := harm(dir); err != nil {
			t.Fatal(err)
		}
		if _, got, damaged := readAll(t, dir); len(got) != 5 || len(damaged) != 0 {
			t.Errorf("%s: %d frames, damage %v", name, len(got), damaged)
		}
	}
}

func FuzzDecodeChanges(f *testing.F) {
	f.Add(appendChange(appendChange(nil, change{[]byte("key"), []byte("value")}), change{[]byte("gone"), nil}))
	f.Add([]byte{3, 'a'})
	f.Fuzz(func(t *testing.T, payload []byte) {
		list, err := decodeChanges(payload)
		if err != nil {
			return
		}
		var again []byte
		for _, c := range list {
			again = appendChange(again, c)
		}
		back, err := decodeChanges(again)
		if err != nil || len(back) != len(list) {
			t.Errorf("%d changes became %d, %v", len(list), len(back), err)
		}
	})
}

// FuzzScanJournal: whatever a segment holds, reading it ends, and every frame
// that it gives back has its sum.
func FuzzScanJournal(f *testing.F) {
	dir := filled(f, 3)
	paths, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	seed, _ := os.ReadFile(paths[0])
	f.Add(seed[:3*frameAlign])
	f.Add([]byte("short"))
	key, err := loadSalt(dir, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "0000000000000001.log")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		scan, err := scanSegments([]string{path}, key)
		if err != nil {
			t.Fatal(err)
		}
		last := uint64(0)
		for _, fr := range scan.frames {
			if fr.seq <= last || fr.offset+frameHeader+int64(fr.size) > int64(len(b)) {
				t.Errorf("frame %d after %d, at %d of %d", fr.seq, last, fr.offset, len(b))
			}
			last = fr.seq
		}
	})
}

// TestJournalEmptySegmentOfACrash: the process was killed after it made a
// segment and before it wrote a frame, so the next start makes it again.
func TestJournalEmptySegmentOfACrash(t *testing.T) {
	dir := t.TempDir()
	j, _, _ := readAll(t, dir)
	if err := j.rotate(frameAlign); err != nil {
		t.Fatal(err)
	}
	j, _, _ = readAll(t, dir)
	if _, err := j.append([]byte("acknowledged"), true); err != nil {
		t.Fatal(err)
	}
	j.seal(1)
	if err := j.release(func(s *segment) bool { return s.mem != 0 }); err != nil {
		t.Fatal(err)
	}
	if _, got, _ := readAll(t, dir); len(got) != 1 {
		t.Errorf("came back: %q", got)
	}
}

// TestJournalForgetsATornTail: what a power cut left behind a gap must not
// turn up when the frames of the gap were written anew, in whatever file.
func TestJournalForgetsATornTail(t *testing.T) {
	for _, frames := range []int{1, 0} { // that were acknowledged in the torn segment
		dir := t.TempDir()
		j, _, _ := readAll(t, dir)
		for range frames {
			j.append([]byte("acknowledged"), true)
		}
		for range 3 {
			j.append([]byte("old"), false)
		}
		path, _ := filepath.Glob(filepath.Join(dir, "*.log"))
		f, err := os.OpenFile(path[0], os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteAt(make([]byte, frameAlign), int64(segmentHead+frames*frameAlign))
		f.Close()
		j, _, _ = readAll(t, dir)
		j.append([]byte("new"), true)
		_, got, damaged := readAll(t, dir)
		if len(got) != frames+1 || got[frames] != "new" || len(damaged) != 0 {
			t.Errorf("%d acknowledged: came back %q, damage %v", frames, got, damaged)
		}
	}
}
