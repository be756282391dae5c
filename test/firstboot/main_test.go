// Package firstboot sets a real server up as an owner without a screen does, in a
// network of the test's own, and takes the time.
package firstboot

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// The network: the house with its public address, the server of the DNS, and the
// provider that takes the house's mail.
const (
	houseAddress = "203.0.113.25"
	dnsAddress   = "10.77.0.53"
	smartAddress = "10.77.0.25"
)

// inside is set in the environment of the network that is ours alone.
const inside = "HOMEMAIL_FIRSTBOOT_NETWORK"

func TestMain(m *testing.M) {
	if os.Getenv("HOMEMAIL_TOOLS") != "1" || os.Geteuid() != 0 {
		os.Exit(m.Run()) // each test says what it needs
	}
	if os.Getenv(inside) != "" {
		if err := network(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	cmd := exec.Command(os.Args[0], os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	if e := (*exec.ExitError)(nil); err != nil && !errors.As(err, &e) {
		fmt.Fprintln(os.Stderr, "a network of our own:", err)
		os.Exit(1)
	}
	os.Exit(cmd.ProcessState.ExitCode())
}

func network() error {
	for _, line := range []string{
		"link set lo up", "addr add " + dnsAddress + "/32 dev lo", "addr add " + smartAddress + "/32 dev lo",
		"link add home type veth peer name street", "link set street up", "addr add " + houseAddress + "/24 dev home", "link set home up", "route add default via 203.0.113.1",
	} {
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", line, err, out)
		}
	}
	return nil
}
