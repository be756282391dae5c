package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"homemail/check/probe"
)

// What prober notes of a port, in its data as "4/25" and "6/25".
const (
	ours   = "ours"
	other  = "other"  // somebody answers, but not we
	closed = "closed" // refused
	silent = "silent" // filtered
	mute   = "mute"   // open, but nobody spoke in time
)

// echoes is how many connections show which ports the line gives us; see mapE.
const echoes = 4

// prober asks the probe everything at once, for the checks after it.
func (c *Checker) prober(ctx context.Context, r results) found {
	if c.o.Probe == nil {
		return found{code: codeUnset}
	}
	var mu sync.Mutex
	var errs []error
	data := make(map[string]string)
	note := func(err error, values map[string]string) {
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			errs = append(errs, err)
		}
		for k, v := range values {
			data[k] = v
		}
	}
	var wg sync.WaitGroup
	for _, family := range []string{"4", "6"} {
		if r.data(route, "v"+family) == "false" {
			continue
		}
		wg.Go(func() { c.echo(ctx, family, note) })
		wg.Go(func() { c.reach(ctx, family, note) })
	}
	wg.Wait()
	f := found{code: "answers", data: data}
	if err := errors.Join(errs...); err != nil {
		f.detail = err.Error()
		if errors.Is(err, probe.ErrNone) {
			return found{code: codeUnset}
		}
	}
	if data["echo4"] == "" && data["echo6"] == "" && data["looked4"] == "" && data["looked6"] == "" {
		return found{code: "silent", detail: f.detail}
	}
	return f
}

type noteFunc func(err error, values map[string]string)

// echo learns the address that the world sees, and for IPv4 the ports.
func (c *Checker) echo(ctx context.Context, family string, note noteFunc) {
	n := 1
	if family == "4" {
		n = echoes
	}
	var ports []string
	for range n {
		e, err := c.o.Probe.Echo(ctx, "tcp"+family)
		if err != nil {
			note(err, nil)
			return
		}
		ports = append(ports, strconv.Itoa(int(e.Port)))
		note(nil, map[string]string{
			"echo" + family:  e.Address.Unmap().String(),
			"ports" + family: strings.Join(ports, " "),
			"ahead":          time.Since(e.Time).Round(time.Second).String(), // of our clock, before the probe's
		})
	}
}

// reach learns which ports of ours the world reaches, and whether that is us.
func (c *Checker) reach(ctx context.Context, family string, note noteFunc) {
	rep, err := c.o.Probe.Reach(ctx, "tcp"+family, probe.Ports[:])
	if err != nil {
		note(err, nil)
		return
	}
	data := map[string]string{"looked" + family: rep.Address.String()}
	for _, from := range rep.From {
		data["from"+family] = from.String()
		if !probe.Public(from) { // one such is enough
			break
		}
	}
	for _, port := range probe.Ports {
		seen, ok := rep.Ports[port]
		if !ok {
			continue
		}
		key := family + "/" + strconv.Itoa(int(port))
		data[key] = c.judge(seen, rep.Token)
		data[key+" said"] = seen.Line + seen.Detail
	}
	note(nil, data)
}

// judge says what is behind a port that somebody looked at.
func (c *Checker) judge(seen probe.Seen, token string) string {
	switch {
	case c.identity().Is(seen, token):
		return ours
	case seen.Reached == probe.Open && seen.Line == "" && seen.Key == "":
		return mute
	case seen.Reached == probe.Open:
		return other
	case seen.Reached == probe.Closed:
		return closed
	}
	return silent
}

func (c *Checker) identity() probe.Identity { return probe.Identity{Host: c.o.Host, Keys: c.o.Keys} }

// in reads what the probe saw at a port. IPv4 decides: many senders have no
// IPv6, and then one that is reached by IPv6 only is not reached.
func in(port uint16) func(*Checker, context.Context, results) found {
	return func(c *Checker, _ context.Context, r results) found {
		p := strconv.Itoa(int(port))
		v4, v6 := r.data(prober, "4/"+p), r.data(prober, "6/"+p)
		data := map[string]string{"port": p, "v4": v4, "v6": v6}
		said := strings.TrimSpace(r.data(prober, "4/"+p+" said"))
		f := found{data: data, detail: fmt.Sprintf("IPv4: %s %q; IPv6: %s %q", v4, said, v6, strings.TrimSpace(r.data(prober, "6/"+p+" said")))}
		decides := v4
		if r.data(route, "v4") == "false" {
			decides = v6
		}
		switch {
		case v4 == ours && (v6 == ours || v6 == ""):
			f.code = "open"
		case v4 == ours:
			f.code = "open4"
		case decides == "":
			f.code = codeUnknown
		case v6 == ours:
			f.code = "open6"
		case decides == other, decides == mute:
			f.code = decides
		default:
			f.code = "closed"
		}
		return f
	}
}

// visitors says whether the house can tell strangers from its own people. The
// probe, which is outside, has asked for a page that nobody else knows: if it came
// from an address that is nobody's on the Internet, a router has put its own in the
// place of the stranger's, and everybody outside looks as if they were at home. What
// was found stands until it is seen to be over: a probe that is away proves nothing.
func (c *Checker) visitors(_ context.Context, r results) found {
	told := false
	for _, family := range []string{"4", "6"} {
		from, err := netip.ParseAddr(r.data(prober, "from"+family))
		switch {
		case err != nil:
		case !probe.Public(from):
			return found{code: "hidden", data: map[string]string{"address": from.String()}}
		default:
			told = true
		}
	}
	c.mu.Lock()
	last := c.last[Visitors]
	c.mu.Unlock()
	switch looked := r.data(prober, "looked4") != "" || r.data(prober, "looked6") != ""; {
	case told:
		return found{code: "told"}
	case c.o.Probe == nil:
		return found{code: codeUnset}
	case looked && !c.shown(r):
		return found{code: "nobody"}
	case last.Code == "hidden":
		return found{code: last.Code, data: last.Data}
	}
	return found{code: codeUnknown}
}

// shown reports whether a page of ours may be reached from outside.
func (c *Checker) shown(r results) bool {
	return slices.ContainsFunc([]string{"4/80", "4/443", "6/80", "6/443"}, func(port string) bool {
		how := r.data(prober, port)
		return how == ours || how == mute
	})
}

// A Target is a server of a large provider that shows whether a port is open.
type Target struct {
	Host   string
	MX     bool   // Host is a domain: its first MX is meant
	Banner string // how the names in its greetings end; "" if no greeting is waited for
}

const (
	connectTime  = 6 * time.Second
	greetingTime = 5 * time.Second
	maxGreeting  = 512 // RFC 5321 §4.5.3.1.5
	perTarget    = 2   // addresses that are tried in each family
)

// An attempt is what became of one target over one family.
type attempt struct {
	target, family string
	open           bool   // somebody is there
	right          bool   // and it is whom we meant
	said           string // greeting or error
	looked         bool   // there was an address to connect to
}

// out tries a port of several providers, both families at once. It connects,
// reads the greeting of port 25, and leaves.
func out(port uint16) func(*Checker, context.Context, results) found {
	return func(c *Checker, ctx context.Context, r results) found {
		var mu sync.Mutex
		var all []attempt
		var wg sync.WaitGroup
		for _, t := range c.known.Out[port] {
			wg.Go(func() {
				got := c.try(ctx, t, port, r)
				mu.Lock()
				defer mu.Unlock()
				all = append(all, got...)
			})
		}
		wg.Wait()
		return outFound(port, all)
	}
}

// outFound judges attempts: one that succeeds over IPv4 is enough, for a
// provider may be down; all have to fail before a port is called blocked.
func outFound(port uint16, all []attempt) found {
	slices.SortFunc(all, func(a, b attempt) int { return strings.Compare(a.target+a.family, b.target+b.family) })
	f := found{data: map[string]string{"port": strconv.Itoa(int(port))}}
	right, open, looked := map[string]int{}, 0, map[string]int{}
	var lines []string
	for _, a := range all {
		if a.looked {
			looked[a.family]++
		}
		if a.open {
			open++
		}
		if a.right {
			right[a.family]++
		}
		lines = append(lines, fmt.Sprintf("%s (IPv%s): %s", a.target, a.family, a.said))
	}
	f.detail = strings.Join(lines, "\n")
	f.data["v4"], f.data["v6"] = yes(right["4"] > 0), yes(right["6"] > 0)
	switch {
	case right["4"] > 0:
		f.code = "open"
	case right["6"] > 0:
		f.code = "open6"
	case open > 0:
		f.code = "other"
	case looked["4"] < 2 && looked["6"] < 2: // one alone may be down
		f.code = codeUnknown
	default:
		f.code = "blocked"
	}
	return f
}

// try connects to a target over IPv4 and over IPv6.
func (c *Checker) try(ctx context.Context, t Target, port uint16, r results) []attempt {
	host := t.Host
	if t.MX {
		mx, err := c.o.DNS.MX(ctx, t.Host)
		if err != nil || len(mx.List) == 0 {
			return []attempt{{target: t.Host, family: "4", said: fmt.Sprint("no MX: ", err)}}
		}
		host = mx.List[0].Host
	}
	ips, err := c.o.DNS.IP(ctx, host)
	if err != nil {
		return []attempt{{target: host, family: "4", said: err.Error()}}
	}
	list := []attempt{{target: host, family: "4"}, {target: host, family: "6"}}
	var wg sync.WaitGroup
	for i := range list {
		a := &list[i]
		if r.data(route, "v"+a.family) == "false" {
			a.said = "no route"
			continue
		}
		to := slices.DeleteFunc(slices.Clone(ips.List), func(ip netip.Addr) bool {
			return ip.Unmap().Is4() != (a.family == "4") || !probe.Public(ip)
		})
		if len(to) == 0 {
			a.said = "no public address"
			continue
		}
		a.looked = true
		wg.Go(func() { c.attempt(ctx, a, t, to[:min(len(to), perTarget)], port) })
	}
	wg.Wait()
	return list
}

// attempt tries addresses, all at once, and keeps the best outcome.
func (c *Checker) attempt(ctx context.Context, a *attempt, t Target, to []netip.Addr, port uint16) {
	got := make([]attempt, len(to))
	var wg sync.WaitGroup
	for i, ip := range to {
		wg.Go(func() { got[i] = c.connect(ctx, netip.AddrPortFrom(ip, port), t.Banner) })
	}
	wg.Wait()
	for _, g := range got {
		if better := g.right && !a.right || g.open && !a.open; better || a.said == "" {
			a.open, a.right, a.said = g.open, g.right, g.said
		}
	}
}

// connect says who is at an address, if a name is expected.
func (c *Checker) connect(ctx context.Context, to netip.AddrPort, banner string) (a attempt) {
	dialing, cancel := context.WithTimeout(ctx, connectTime)
	conn, err := c.o.Dial(dialing, "tcp", to.String())
	cancel()
	if err != nil {
		a.said = err.Error()
		return a
	}
	defer conn.Close()
	a.open, a.right, a.said = true, true, "connected to "+to.String()
	if banner == "" {
		return a
	}
	line, err := greeting(ctx, conn)
	a.said = fmt.Sprintf("%s says %q", to, line)
	code, rest, _ := strings.Cut(line, " ")
	name, _, _ := strings.Cut(strings.ToLower(strings.TrimPrefix(rest, "-")), " ")
	a.right = code == "220" && (name == banner || strings.HasSuffix(name, "."+banner))
	if err != nil && line == "" {
		a.open, a.said = false, fmt.Sprintf("%s connects, but says nothing: %v", to, err)
	}
	return a
}

// greeting reads one line, and says goodbye: no mail is sent.
func greeting(ctx context.Context, conn net.Conn) (string, error) {
	conn.SetDeadline(time.Now().Add(greetingTime))
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	var b []byte
	buf := make([]byte, maxGreeting)
	for len(b) < maxGreeting && !strings.Contains(string(b), "\n") {
		n, err := conn.Read(buf[:maxGreeting-len(b)])
		b = append(b, buf[:n]...)
		if err != nil {
			return printable(string(b)), err
		}
	}
	_, err := conn.Write([]byte("QUIT\r\n"))
	line, _, _ := strings.Cut(string(b), "\n")
	return printable(line), err
}

// printable is what a stranger said, fit for a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, s)
}

// hairpin connects to our own public address from inside, as a phone does that
// is in the house and knows only the public name.
func (c *Checker) hairpin(ctx context.Context, r results) found {
	addr, err := netip.ParseAddr(r.data(address4, "address"))
	if err != nil {
		return found{code: codeUnknown}
	}
	var last found
	for _, name := range []string{in993, in465, in25, in443} {
		if !r.good(name) {
			continue
		}
		n, _ := strconv.ParseUint(strings.TrimPrefix(name, "in"), 10, 16)
		home := probe.Look(ctx, c.o.Dial, netip.AddrPortFrom(lo(1), uint16(n)), noToken)
		if c.judge(home, "") != ours {
			continue // who was reached from outside has gone, or listens elsewhere
		}
		seen := probe.Look(ctx, c.o.Dial, netip.AddrPortFrom(addr, uint16(n)), noToken)
		data := map[string]string{"address": addr.String(), "port": strconv.Itoa(int(n))}
		switch how := c.judge(seen, ""); how {
		case ours:
			return found{code: "works", data: data}
		case mute:
			last = found{code: codeUnknown, data: data, detail: seen.Detail}
		case other: // often the router's own pages
			return found{code: "other", data: data, detail: seen.Line}
		default:
			return found{code: "missing", data: data, detail: seen.Detail}
		}
	}
	if last.code == "" {
		return c.because(in25)
	}
	return last
}

// noToken stands where no page with a token is asked for.
const noToken = "00000000000000000000000000000000"
