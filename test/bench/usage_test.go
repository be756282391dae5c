package bench

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A usage is what a process and its children have used, ended ones included.
type usage struct {
	cpu     time.Duration
	written int64
}

const tick = 10 * time.Millisecond // of the kernel's clock, USER_HZ

func usageOf(b *testing.B, pid int) (u usage) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	must(b, err)
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		v := strings.Fields(rest) // from the third field of proc_pid_stat(5) on
		n := filepath.Base(filepath.Dir(f))
		if n != strconv.Itoa(pid) && v[1] != strconv.Itoa(pid) {
			continue
		}
		for _, i := range []int{11, 12, 13, 14} { // utime, stime, and those of its children
			ticks, err := strconv.Atoi(v[i])
			must(b, err)
			u.cpu += time.Duration(ticks) * tick
		}
		io, _ := os.ReadFile(filepath.Join("/proc", n, "io"))
		if _, rest, ok := strings.Cut(string(io), "\nwrite_bytes: "); ok {
			line, _, _ := strings.Cut(rest, "\n")
			w, err := strconv.ParseInt(line, 10, 64)
			must(b, err)
			u.written += w
		}
	}
	return u
}

// ownMemory is what a process has in memory that is in no file.
func ownMemory(b *testing.B, pid int) (bytes int64) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	must(b, err)
	_, rest, _ := strings.Cut(string(text), "\nRssAnon:")
	_, err = fmt.Sscanf(rest, "%d kB", &bytes)
	must(b, err)
	return bytes << 10
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func freePort(b *testing.B) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(b, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// answers waits until somebody listens on a port.
func answers(b *testing.B, port int) {
	b.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(end) {
			b.Fatal(err)
		}
	}
}
