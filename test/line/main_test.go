// Package line builds lines such as homes have, of network namespaces, and lets
// the line check find out what they are: real routes, real NAT, real filters,
// real connections. Names alone are values: it is the line that is tested.
//
// All of it runs in namespaces that nobody else sees; what is left over at the
// end ends with them, and no packet can leave.
package line

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// The parts that this program plays, by what is in its environment.
const (
	role  = "HOMEMAIL_LINE_ROLE"
	world = "world" // the servers of the Internet
	house = "house" // runs the check
	stage = "stage" // runs the tests

	internet = "internet" // those that homemail itself asks, with a DNS
	knocks   = "knocks"   // waits for a greeting at port 25
)

func TestMain(m *testing.M) {
	if os.Getenv("HOMEMAIL_TOOLS") != "1" || os.Geteuid() != 0 {
		os.Exit(m.Run()) // the test says what it needs
	}
	switch os.Getenv(role) {
	case world:
		must(serveWorld())
	case house:
		must(checkHouse(os.Getenv(says)))
	case internet:
		must(serveInternet())
	case knocks:
		must(knockAt("127.0.0.1:25"))
	case stage:
		must(errors.Join(
			syscall.Mount("", "/", "", syscall.MS_PRIVATE|syscall.MS_REC, ""),
			syscall.Mount("proc", "/proc", "proc", 0, ""),
			syscall.Mount("tmpfs", "/run", "tmpfs", 0, ""), // where the names of namespaces are
		))
		os.Exit(m.Run())
	default:
		os.Exit(enter())
	}
}

// enter runs this program once more, in namespaces of its own.
func enter() int {
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), role+"="+stage)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	err := cmd.Run()
	if e := (*exec.ExitError)(nil); err != nil && !errors.As(err, &e) {
		fmt.Fprintln(os.Stderr, "namespaces of our own:", err)
		return 1
	}
	return cmd.ProcessState.ExitCode()
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, os.Getenv(role)+":", err)
		os.Exit(1)
	}
}
