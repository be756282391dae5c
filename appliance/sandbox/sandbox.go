//go:build linux

// Package sandbox starts this program again as somebody who may do little: a user
// of its own without capabilities, who gains none by what it starts, and who sees
// no files but those it was given, where the kernel has Landlock. It decides
// nothing about what runs inside.
package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"github.com/landlock-lsm/go-landlock/landlock"
	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
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
// with the words of enter and a description of the Spec, with which the program
// calls Enter before anything else.
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

// Enter gives everything up that the Spec does not name, in all threads. Nothing may
// have been opened or started before that is not to be inside.
func Enter(spec string) error {
	var s Spec
	if err := json.Unmarshal([]byte(spec), &s); err != nil {
		return err
	}
	if err := s.limit(); err != nil {
		return err
	}
	if err := s.hide(); err != nil {
		return err
	}
	if err := s.drop(); err != nil {
		return err
	}
	if os.Getenv("LISTEN_FDS") == "" {
		return nil
	}
	return os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid())) // sd_listen_fds(3): the number is known only here
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
func (s Spec) hide() error {
	if _, _, e := psx.Syscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); e != 0 {
		return e
	}
	var rules []landlock.Rule
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
		rules = append(rules, landlock.RWDirs(p).WithRefer().IgnoreIfMissing())
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
		if _, _, e := psx.Syscall3(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c, 0); e != 0 && e != unix.EINVAL && e != unix.EPERM {
			return e
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
	if err := syscall.Setresuid(id, id, id); err != nil { // which clears all sets of capabilities, capabilities(7)
		return err
	}
	return unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0) // our own files below /proc are ours again
}
