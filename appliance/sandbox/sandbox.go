// Package sandbox starts this program again as somebody who may do little: a user
// of its own without capabilities, who gains none by what it starts, and who sees
// no files but those it was given, where the kernel has Landlock. It decides
// nothing about what runs inside.
package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"
)

// A Spec says what a process may do.
type Spec struct {
	User  uint32   `json:"user"`            // and group; 0 stays who we are, for tests
	Read  []string `json:"read,omitempty"`  // files and directories, to read and run
	Write []string `json:"write,omitempty"` // directories
	Use   []string `json:"use,omitempty"`   // files that may be written, such as devices
	Open  uint64   `json:"open,omitempty"`  // files and connections at once; 0 is 64

	Env   []string   `json:"-"`
	Files []*os.File `json:"-"` // from descriptor 3

	program string // instead of this one, for tests
}

const fewFiles = 64 // enough for a helper

// Command returns a command that is this program with args, confined. It begins
// as this program with the words of enter and a description of the Spec, for
// which the program calls Enter.
func (s Spec) Command(ctx context.Context, enter []string, args ...string) (*exec.Cmd, error) {
	exe, err := os.Executable()
	if s.program != "" {
		exe = s.program
	}
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	words := append(append(append([]string{}, enter...), string(b)), args...)
	c := exec.CommandContext(ctx, exe, words...)
	c.Env, c.ExtraFiles = append([]string{}, s.Env...), s.Files
	c.Dir = "/"
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no terminal, and no signal that is meant for us
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	return c, nil
}

// Enter gives everything up that the Spec does not name, and becomes this program
// with args. It returns only if it failed.
func Enter(spec string, args ...string) error {
	var s Spec
	if err := json.Unmarshal([]byte(spec), &s); err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	runtime.LockOSThread() // the thread that calls execve(2) leaves its credentials to the program
	if err := s.limit(); err != nil {
		return err
	}
	if err := s.hide(exe); err != nil {
		return err
	}
	if err := s.drop(); err != nil {
		return err
	}
	return fmt.Errorf("%s: %w", exe, unix.Exec(exe, append([]string{"homemail"}, args...), os.Environ()))
}

func (s Spec) limit() error {
	open := s.Open
	if open == 0 {
		open = fewFiles
	}
	return errors.Join(
		unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}), // mail does not lie about as a dump
		unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: open, Max: open}))
}

// hide has the kernel show only what the Spec names, as far as it can: one without
// Landlock shows all that the user may see anyway.
func (s Spec) hide(exe string) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	rules := []landlock.Rule{landlock.ROFiles(exe)}
	for _, p := range s.Read {
		info, err := os.Stat(p)
		switch {
		case err != nil: // not there, and so not seen
		case info.IsDir():
			rules = append(rules, landlock.RODirs(p))
		default:
			rules = append(rules, landlock.ROFiles(p))
		}
	}
	for _, p := range s.Write {
		rules = append(rules, landlock.RWDirs(p).WithRefer())
	}
	for _, p := range s.Use {
		rules = append(rules, landlock.RWFiles(p).WithIoctlDev().IgnoreIfMissing())
	}
	c := landlock.V8.BestEffort()
	return errors.Join(c.RestrictPaths(rules...), c.RestrictScoped())
}

// lastCap is above every capability that there is; the kernel knows fewer.
const lastCap = 63

// drop becomes the user. What a process without privileges never had is not taken.
func (s Spec) drop() error {
	for c := uintptr(0); c <= lastCap; c++ {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EPERM) {
			return err
		}
	}
	if s.User == 0 {
		return nil
	}
	id := int(s.User)
	if err := syscall.Setgroups([]int{}); err != nil {
		return err
	}
	if err := syscall.Setresgid(id, id, id); err != nil {
		return err
	}
	return syscall.Setresuid(id, id, id) // which clears all sets of capabilities, capabilities(7)
}

// Landlocked reports whether this process is confined by Landlock, as far as it
// can see: a process that may not open its own root is.
func Landlocked() bool {
	f, err := os.Open("/")
	if err != nil {
		return errors.Is(err, unix.EACCES)
	}
	f.Close()
	return false
}
