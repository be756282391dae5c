//go:build linux

package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/jsimonetti/rtnetlink/v2"
	"golang.org/x/sys/unix"
)

// TestMain is also the confined process.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "dhcp" {
		l, err := ParseLink(os.Args[2], os.Args[3])
		if err == nil {
			err = Ask(context.Background(), Packets(os.NewFile(3, "socket"), l.Index), l.MAC, "homemail", os.Stdout)
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// inNetwork runs fn in a network of its own, with a cable from "box" to "router",
// and reports whether that can be done here.
func inNetwork(t *testing.T, fn func(k kernel, box, router int)) bool {
	t.Helper()
	if os.Getenv("INSIDE") == "" {
		runtime.LockOSThread() // and never unlocked: the thread ends with the test
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Log("a network of its own takes root:", err)
			return false
		}
	}
	k, err := openKernel()
	if err != nil {
		t.Fatal(err)
	}
	kind := &rtnetlink.LinkMessage{Attributes: &rtnetlink.LinkAttributes{Name: "box", Info: &rtnetlink.LinkInfo{Kind: "veth"}}}
	if err := k.c.Link.New(kind); err != nil {
		t.Log("there is no veth here:", err)
		return false
	}
	links, err := k.links()
	if err != nil || len(links) != 2 {
		t.Fatal(links, err)
	}
	var box, router int
	for _, l := range links {
		if l.Name == "box" {
			box = l.Index
		} else {
			router = l.Index
		}
	}
	fn(k, box, router)
	return true
}

func TestKernel(t *testing.T) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		inNetwork(t, func(k kernel, box, router int) {
			l := Lease{Address: netip.MustParsePrefix("10.9.8.7/24"), Router: netip.MustParseAddr("10.9.8.1")}
			for _, i := range []int{box, router} {
				if err := k.up(i); err != nil {
					t.Error(err)
				}
			}
			for range 2 { // again is no error: a lease was renewed
				if err := k.add(box, l); err != nil {
					t.Error(err)
				}
			}
			if got := addresses(t, k, box); got != "10.9.8.7/24" {
				t.Error(got)
			}
			routes, err := k.c.Route.List()
			found := false
			for _, r := range routes {
				found = found || r.DstLength == 0 && r.Attributes.Gateway.Equal(net.IP{10, 9, 8, 1})
			}
			if err != nil || !found {
				t.Error("no route:", err)
			}
			for range 2 {
				if err := k.remove(box, l); err != nil {
					t.Error(err)
				}
			}
			if got := addresses(t, k, box); got != "" {
				t.Error(got)
			}
		})
	}()
	<-done
}

func addresses(t *testing.T, k kernel, index int) string {
	t.Helper()
	all, err := k.c.Address.List()
	if err != nil {
		t.Error(err)
	}
	var list []string
	for _, a := range all {
		if int(a.Index) == index && a.Family == unix.AF_INET {
			list = append(list, fmt.Sprintf("%s/%d", a.Attributes.Address, a.PrefixLength))
		}
	}
	return strings.Join(list, " ")
}

// TestWhole: a card is turned on, a process asks for an address, the kernel gets
// it, and the name servers are written down. All of it is in another network, and
// so in another process.
func TestWhole(t *testing.T) {
	if os.Getenv("INSIDE") == "" {
		c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestWhole$", "-test.v")
		c.Env, c.SysProcAttr = append(os.Environ(), "INSIDE=1"), &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
		if out, err := c.CombinedOutput(); errors.Is(err, unix.EPERM) {
			t.Log("a network of its own takes root")
		} else if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	inNetwork(t, func(k kernel, box, router int) { whole(t, k, box, router) })
}

func whole(t *testing.T, k kernel, box, router int) {
	if err := k.up(router); err != nil {
		t.Error(err)
		return
	}
	socket, err := serverSocket(router)
	if err != nil {
		t.Error(err)
		return
	}
	defer socket.Close()
	go serveDHCP(socket, router)
	resolver := filepath.Join(t.TempDir(), "resolv.conf")
	changed := make(chan struct{}, 100)
	n, err := New(Options{
		Log: slog.New(slog.DiscardHandler), Resolver: resolver,
		Wanted:  func(l Link) bool { return l.Index == box },
		Changed: func() { changed <- struct{}{} },
		Client: func(ctx context.Context, l Link, socket *os.File) (*exec.Cmd, error) {
			c := exec.CommandContext(ctx, os.Args[0], "dhcp", fmt.Sprint(l.Index), l.MAC.String())
			c.ExtraFiles, c.Stderr = []*os.File{socket}, os.Stderr
			return c, nil
		},
	})
	if err != nil {
		t.Error(err)
		return
	}
	ctx, stop := context.WithTimeout(t.Context(), 8*time.Second)
	defer stop()
	go func() {
		for len(n.Leases()) == 0 && ctx.Err() == nil {
			select {
			case <-changed:
			case <-ctx.Done():
			}
		}
		got, _ := os.ReadFile(resolver)
		if a := addresses(t, k, box); a != "10.0.2.15/24" || string(got) != "nameserver 10.0.2.3\n" {
			t.Errorf("address %q, resolver %q", a, got)
		}
		stop()
	}()
	if err := n.Run(ctx); err != nil {
		t.Error(err)
	}
}

func serverSocket(index int) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK, int(network16(unix.ETH_P_IP)))
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "server"), unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: network16(unix.ETH_P_IP), Ifindex: index})
}

func serveDHCP(f *os.File, index int) {
	s := &server{}
	conn := Packets(f, index)
	for b := make([]byte, 2000); ; {
		n, _, err := conn.ReadFrom(b)
		if err != nil {
			return
		}
		if n > headers && b[9] == 17 && b[23] == 67 {
			if q, err := dhcpv4.FromBytes(b[headers:n]); err == nil {
				conn.WriteTo(datagram(67, 68, s.answer(q).ToBytes()), nil)
			}
		}
	}
}
