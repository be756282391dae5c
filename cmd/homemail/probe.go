package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"

	"homemail/certs"
	"homemail/check/probe"
	"homemail/listen"
)

// probeLimits bound the connections of a probe that serves alone. What each may
// ask for is the Server's to say.
var probeLimits = listen.Limits{Global: 100, PerIP: 10, NewPerSecond: 2, Burst: 20}

// serveProbe looks at the houses of friends from outside, and does nothing else:
// for a rented server, or for somebody whose homemail has no port 443.
func serveProbe(in *invocation, f *flag.FlagSet) action {
	addr := f.String("listen", ":8443", "`ADDRESS` to listen on")
	cert := f.String("cert", "", "`FILE` with a certificate and its chain, PEM; without it the probe shows one of its own making")
	key := f.String("key", "", "`FILE` with the key of the certificate, PEM")
	plain := f.Bool("plain", false, "serve plain HTTP, behind something that does TLS and keeps the addresses of callers; homemail itself asks by HTTPS only")
	return func(ctx context.Context, _ []string) error {
		if (*cert == "") != (*key == "") {
			return errors.New("a certificate and its key belong together; give both -cert and -key, or neither")
		}
		c, err := in.settings()
		if err != nil {
			return err
		}
		log := newLog(in.stderr, c)
		var conf *tls.Config
		hint := "http://" + probeAt(c.Host(), *addr)
		if !*plain {
			if err := os.MkdirAll(c.Data, 0o700); err != nil {
				return err
			}
			source, err := certs.Open(certs.Options{Dir: c.Data, Host: c.Host(), Cert: *cert, Key: *key, Log: log})
			if err != nil {
				return err
			}
			conf = source.TLSConfig()
			hint = "https://" + probeAt(c.Host(), *addr)
			if leaf := source.Leaf(); selfSigned(leaf) {
				hint += probe.Pin(leaf.RawSubjectPublicKeyInfo)
			}
		}
		doors, err := listen.Bind(ctx, []listen.Door{{Name: "probe", Addr: *addr, Gate: listen.NewGate(probeLimits)}}, log)
		if err != nil {
			return err
		}
		fmt.Fprintf(in.stdout, "A friend's homemail asks this probe with these settings; the name has to be one by which this computer is found:\n\n[probe]\nurls = [%q]\n\n", hint)
		return probe.NewServer(probe.ServerOptions{Log: log}).Serve(ctx, doors[0], conf)
	}
}

// probeAt is a host with the port of an address to listen on.
func probeAt(host, addr string) string {
	at, port, err := net.SplitHostPort(addr)
	if err != nil {
		return host
	}
	if ip := net.ParseIP(at); ip != nil && !ip.IsUnspecified() {
		host = at
	}
	return net.JoinHostPort(host, port)
}
