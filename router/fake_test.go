package router

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	gateway4 = netip.MustParseAddr("192.168.1.1")
	own4     = netip.MustParsePrefix("192.168.1.5/24")
	outside  = netip.MustParseAddr("203.0.113.7")
	gateway6 = netip.MustParseAddr("fe80::1%eth0")
	own6     = netip.MustParsePrefix("2001:db8:1::5/64")
	other    = netip.MustParseAddr("192.168.1.66")
	hop4     = Hop{gateway4, own4}
	hop6     = Hop{gateway6, own6}
	mail     = []Port{{Internal: 25, Name: "SMTP"}, {Internal: 443, Name: "HTTPS"}, {Proto: "udp", Internal: 443}}
)

// A row is one of a router's table.
type row struct {
	client netip.Addr
	inner  uint16
	about  string
	until  time.Time // zero: for ever
	id     int
}

// A fake is a router that speaks what its fields say, and the network around it.
type fake struct {
	mu        sync.Mutex
	pcp, pmp  bool
	igd, fire bool // UPnP: mappings, pinholes
	hops      []Hop
	external  netip.Addr
	booted    time.Time
	life      time.Duration     // longest lease; 0 as asked
	result    int               // if not 0, what every request to map is refused with
	shift     uint16            // of the outer ports that it gives
	permanent bool              // knows no leases
	invalid   bool              // and says that they are invalid
	firewall  string            // "1", or "0"
	rows      map[string]row    // by protocol and outer port
	pages     map[string]string // of its web server
	asked     []string          // requests to map, in order
	dials     []netip.AddrPort
	lies      []lie // answers to SSDP beside its own
	hear      *socket
	ids       int
	noEpoch   bool
}

type lie struct {
	from     netip.AddrPort
	location string
}

func newFake() *fake {
	return &fake{hops: []Hop{hop4}, external: outside, booted: time.Now().Add(-time.Hour), rows: map[string]row{}, firewall: "1", hear: newSocket(nil, netip.AddrPort{})}
}

func (f *fake) options(ports []Port) Options {
	return Options{Ports: ports, Log: slog.New(slog.DiscardHandler), Seed: []byte("seed"),
		Hops: func() ([]Hop, error) { f.mu.Lock(); defer f.mu.Unlock(); return f.hops, nil },
		Listen: func(_ context.Context, own netip.Addr) (net.PacketConn, error) {
			return newSocket(f, netip.AddrPortFrom(own, 40000)), nil
		},
		Dial: f.dial,
		Hear: func(context.Context) (net.PacketConn, error) { return f.hear, nil },
	}
}

// A datagram is one on its way to a socket.
type datagram struct {
	from netip.AddrPort
	b    []byte
}

// A socket is a net.PacketConn whose packets go to a fake.
type socket struct {
	net.PacketConn
	f        *fake
	own      netip.AddrPort
	in       chan datagram
	closed   chan struct{}
	once     sync.Once
	deadline time.Time
}

func newSocket(f *fake, own netip.AddrPort) *socket {
	return &socket{f: f, own: own, in: make(chan datagram, 1000), closed: make(chan struct{})}
}

func (c *socket) Close() error { c.once.Do(func() { close(c.closed) }); return nil }

func (c *socket) SetReadDeadline(t time.Time) error { c.deadline = t; return nil }

func (c *socket) ReadFrom(b []byte) (int, net.Addr, error) {
	var end <-chan time.Time
	if !c.deadline.IsZero() {
		t := time.NewTimer(time.Until(c.deadline))
		defer t.Stop()
		end = t.C
	}
	select {
	case d := <-c.in:
		return copy(b, d.b), net.UDPAddrFromAddrPort(d.from), nil
	case <-end:
		return 0, nil, os.ErrDeadlineExceeded
	case <-c.closed:
		return 0, nil, net.ErrClosed
	}
}

func (c *socket) WriteTo(b []byte, to net.Addr) (int, error) {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	dst := addr(to)
	switch from := netip.AddrPortFrom(dst.Addr(), dst.Port()); {
	case dst.Port() == pcpPort && (dst.Addr() == gateway4 || dst.Addr() == gateway6.WithZone("")):
		if a := c.f.port(c.own.Addr(), b); a != nil {
			c.in <- datagram{netip.AddrPortFrom(other, pcpPort), a} // an echo from another machine
			c.in <- datagram{from, a[:3]}
			c.in <- datagram{from, a}
		}
	case dst.Port() == ssdpPort:
		c.f.ssdp(c, string(b))
	}
	return len(b), nil
}

func (f *fake) epoch() uint32 {
	if f.noEpoch {
		f.ids++
		return uint32(f.ids%2) * 1e6
	}
	return uint32(time.Since(f.booted) / time.Second)
}

func (f *fake) grant(key string, want row, life time.Duration) (code int, got time.Duration) {
	f.asked = append(f.asked, key)
	switch old, taken := f.rows[key]; {
	case f.result != 0:
		return f.result, 0
	case taken && old.client != want.client:
		return -1, 0
	case life == 0 && !f.permanent: // PCP and NAT-PMP name the inner port
		proto, _, _ := strings.Cut(key, " ")
		for k, e := range f.rows {
			if e.client == want.client && e.inner == want.inner && strings.HasPrefix(k, proto) {
				delete(f.rows, k)
			}
		}
		return 0, 0
	}
	if f.life > 0 {
		life = min(life, f.life)
	}
	if life > 0 {
		want.until = time.Now().Add(life)
	}
	f.rows[key] = want
	return 0, life
}

// port answers PCP and NAT-PMP.
func (f *fake) port(from netip.Addr, b []byte) []byte {
	switch {
	case b[0] == pcpVersion && f.pcp:
		return f.answerPCP(from, b)
	case b[0] == pcpVersion && f.pmp:
		return binary.BigEndian.AppendUint32([]byte{0, b[1] | response, 0, 1}, f.epoch())
	case b[0] == 0 && f.pmp:
		return f.answerPMP(from, b)
	}
	return nil
}

func (f *fake) answerPCP(from netip.Addr, b []byte) []byte {
	a := append([]byte{}, b...)
	a[1], a[3] = a[1]|response, 0
	binary.BigEndian.PutUint32(a[8:], f.epoch())
	copy(a[12:24], make([]byte, 12))
	if b[1] != opMap {
		return a[:pcpHeader]
	}
	m := a[pcpHeader:]
	proto := map[byte]string{6: "tcp", 17: "udp"}[m[12]]
	inner, outer := binary.BigEndian.Uint16(m[16:]), binary.BigEndian.Uint16(m[18:])
	life := time.Duration(binary.BigEndian.Uint32(b[4:])) * time.Second
	if life == 0 {
		outer = inner
	} else {
		outer += f.shift
	}
	key := fmt.Sprint(proto, " ", outer)
	if from.Is6() {
		key += " " + from.String()
	}
	code, got := f.grant(key, row{client: from, inner: inner}, life)
	if code == -1 {
		outer, code = outer+1000, 0
		_, got = f.grant(fmt.Sprint(proto, " ", outer), row{client: from, inner: inner}, life)
	}
	a[3] = byte(code)
	binary.BigEndian.PutUint32(a[4:], uint32(got/time.Second))
	binary.BigEndian.PutUint16(m[18:], outer)
	ext := f.external.As16()
	if from.Is6() {
		ext = from.As16()
	}
	copy(m[20:], ext[:])
	return a
}

func (f *fake) answerPMP(from netip.Addr, b []byte) []byte {
	a := binary.BigEndian.AppendUint32([]byte{0, b[1] | response, 0, 0}, f.epoch())
	if b[1] == pmpAddress {
		ext := f.external.As4()
		return append(a, ext[:]...)
	}
	inner, outer := binary.BigEndian.Uint16(b[4:]), binary.BigEndian.Uint16(b[6:])
	life := time.Duration(binary.BigEndian.Uint32(b[8:])) * time.Second
	if life == 0 {
		outer = inner
	}
	code, got := f.grant(fmt.Sprint(map[byte]string{1: "udp", 2: "tcp"}[b[1]], " ", outer), row{client: from, inner: inner}, life)
	a[3] = byte(code)
	if code != 0 {
		return a
	}
	a = append(a, b[4:6]...)
	a = binary.BigEndian.AppendUint16(a, outer)
	return binary.BigEndian.AppendUint32(a, uint32(got/time.Second))
}

func (f *fake) ssdp(c *socket, q string) {
	answer := func(from netip.AddrPort, target, location string) {
		c.in <- datagram{from, []byte("HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nST: " + target + "\r\nUSN: uuid:1::" + target + "\r\nEXT:\r\nLOCATION: " + location + "\r\n\r\n")}
	}
	for _, l := range f.lies {
		answer(l.from, igd2, l.location)
		answer(l.from, igd1, l.location)
	}
	gw, at := gateway4, "http://192.168.1.1:5000/rootDesc.xml"
	if c.own.Addr().Is6() {
		gw, at = gateway6.WithZone(""), "http://[fe80::1]:5000/rootDesc.xml"
		if !f.fire {
			return
		}
	}
	if (f.igd || f.fire) && strings.Contains(q, "ST: "+igd1+"\r\n") {
		answer(netip.AddrPortFrom(gw, 38000), igd1, at)
	}
}

// A pipes is a net.Listener of one connection.
type pipes struct {
	net.Listener
	c    chan net.Conn
	done chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.c:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

type watched struct {
	net.Conn
	closed func()
}

func (c watched) Close() error { c.closed(); return c.Conn.Close() }

func (f *fake) dial(_ context.Context, own netip.Addr, to netip.AddrPort) (net.Conn, error) {
	f.mu.Lock()
	f.dials = append(f.dials, to)
	up := f.igd || f.fire
	f.mu.Unlock()
	if !up || to.Port() != 5000 {
		return nil, fmt.Errorf("connect: refused")
	}
	client, server := net.Pipe()
	p := &pipes{c: make(chan net.Conn, 1), done: make(chan struct{})}
	p.c <- server
	go http.Serve(p, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.web(own, w, r) }))
	return watched{client, sync.OnceFunc(func() { close(p.done) })}, nil
}

const describe = `<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><specVersion><major>1</major></specVersion>
<device><deviceType>` + igd1 + `</deviceType><friendlyName>box</friendlyName><manufacturer>ACME</manufacturer><modelName>Aterm &amp; Co</modelName>
<modelNumber>7</modelNumber><presentationURL>http://192.168.1.1/</presentationURL><deviceList><device><modelName>inner</modelName><serviceList>%s</serviceList></device></deviceList></device></root>`

func serviceXML(kind, at string) string {
	return "<service><serviceType>" + kind + "</serviceType><controlURL>" + at + "</controlURL></service>"
}

func (f *fake) web(own netip.Addr, w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if page, ok := f.pages[r.URL.Path]; ok {
		if to, ok := strings.CutPrefix(page, "-> "); ok {
			http.Redirect(w, r, to, http.StatusFound)
			return
		}
		io.WriteString(w, page)
		return
	}
	if r.Method == http.MethodGet {
		list := ""
		if f.igd {
			list += serviceXML(connections[1], "/ctl/IP")
		}
		if f.fire {
			list += serviceXML(firewall, "/ctl/6")
		}
		fmt.Fprintf(w, describe, list)
		return
	}
	body, _ := io.ReadAll(r.Body)
	arg := map[string]string{}
	scan(body, func(name, text string) { arg[name] = text })
	_, action, _ := strings.Cut(strings.Trim(r.Header.Get("Soapaction"), `"`), "#")
	out, code := f.soap(own, action, arg)
	var b bytes.Buffer
	b.WriteString(`<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>`)
	if code != 0 {
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintf(&b, "<s:Fault><faultcode>s:Client</faultcode><detail><UPnPError><errorCode>%d</errorCode></UPnPError></detail></s:Fault>", code)
	}
	for k, v := range out {
		fmt.Fprintf(&b, "<%s>%s</%s>", k, v, k)
	}
	b.WriteString("</s:Body></s:Envelope>")
	w.Write(b.Bytes())
}

func (f *fake) soap(own netip.Addr, action string, arg map[string]string) (map[string]string, int) {
	key := strings.ToLower(arg["NewProtocol"]) + " " + arg["NewExternalPort"]
	seconds, _ := strconv.Atoi(arg["NewLeaseDuration"] + arg["LeaseTime"] + arg["NewLeaseTime"])
	life := time.Duration(seconds) * time.Second
	switch action {
	case "GetExternalIPAddress":
		return map[string]string{"NewExternalIPAddress": f.external.String()}, 0
	case "GetSpecificPortMappingEntry":
		e, ok := f.rows[key]
		if !ok {
			return nil, 714
		}
		return map[string]string{"NewInternalClient": e.client.String(), "NewInternalPort": strconv.Itoa(int(e.inner)), "NewPortMappingDescription": e.about, "NewEnabled": "1"}, 0
	case "AddPortMapping":
		inner, _ := strconv.Atoi(arg["NewInternalPort"])
		if f.permanent && life > 0 {
			if f.invalid {
				return nil, 402
			}
			return nil, 725
		}
		if arg["NewInternalClient"] != own.String() {
			return nil, 606
		}
		code, _ := f.grant(key, row{client: own, inner: uint16(inner), about: arg["NewPortMappingDescription"]}, life)
		if code == -1 {
			code = 718
		}
		return nil, code
	case "DeletePortMapping":
		if _, ok := f.rows[key]; !ok {
			return nil, 714
		}
		delete(f.rows, key)
		return nil, 0
	case "GetFirewallStatus":
		return map[string]string{"FirewallEnabled": f.firewall, "InboundPinholeAllowed": "1"}, 0
	case "AddPinhole":
		f.ids++
		code, _ := f.grant("hole "+strconv.Itoa(f.ids), row{client: netip.MustParseAddr(arg["InternalClient"]), about: arg["Protocol"] + " " + arg["InternalPort"], id: f.ids}, life)
		return map[string]string{"UniqueID": strconv.Itoa(f.ids)}, code
	case "UpdatePinhole", "DeletePinhole":
		key := "hole " + arg["UniqueID"]
		e, ok := f.rows[key]
		if !ok {
			return nil, 704
		}
		code, _ := f.grant(key, e, life) // none to delete
		return nil, code
	}
	return nil, 401
}

// requests returns how often a port was asked for since the last time.
func (f *fake) requests() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.asked)
	f.asked = nil
	return n
}

func (f *fake) connections() []netip.AddrPort {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.dials)
}

// reboot forgets everything.
func (f *fake) reboot() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.booted, f.rows = time.Now(), map[string]row{}
}

// mapped drops what nobody renewed, and returns what is left, in order.
func (f *fake) mapped() (list []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for k, e := range f.rows {
		if e.client == other {
			continue
		}
		if !e.until.IsZero() && time.Now().After(e.until) {
			delete(f.rows, k)
			continue
		}
		if e.about != "" && strings.HasPrefix(k, "hole") {
			k = "hole " + e.about
		}
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}

// live runs a Router in a bubble, and then what the test does with it.
func live(t *testing.T, ports []Port, change func(f *fake), do func(t *testing.T, f *fake, r *Router)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		change(f)
		r := New(f.options(ports))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		time.Sleep(time.Minute - time.Second)
		synctest.Wait()
		do(t, f, r)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if left := f.mapped(); len(left) > 0 && !f.permanent && f.result == 0 {
			t.Errorf("left behind: %q", left)
		}
	})
}
