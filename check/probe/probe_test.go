package probe

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const token = "0123456789abcdef0123456789abcdef"

// A caller asks a Server from an address of its choice, as TCP would show it.
func call(s *Server, from, method, path, body string, head ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.RemoteAddr = from
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(head); i += 2 {
		r.Header.Set(head[i], head[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// A seeker notes where a server connects to.
type seeker struct {
	mu sync.Mutex
	to []string
}

func (d *seeker) dial(_ context.Context, _, addr string) (net.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.to = append(d.to, addr)
	a, b := net.Pipe()
	go func() { io.WriteString(b, "220 mail.example.test\r\n"); bufio.NewReader(b).ReadString('\n'); b.Close() }()
	return a, nil
}

func ask(ports string) string { return `{"ports":[` + ports + `],"token":"` + token + `"}` }

// TestOnlyTheCaller: nothing that a caller says makes the server connect to
// another address or port than those it may.
func TestOnlyTheCaller(t *testing.T) {
	for _, tt := range []struct {
		name, from, body string
		head             []string
		want             int
		to               string
	}{
		{"a house", "198.51.100.7:4000", ask("25"), nil, 200, "198.51.100.7:25"},
		{"by IPv6", "[2001:db8::7]:4000", ask("25"), nil, 200, "[2001:db8::7]:25"},
		{"mapped", "[::ffff:198.51.100.7]:4000", ask("25"), nil, 200, "198.51.100.7:25"},
		{"says another in a header", "198.51.100.7:4000", ask("25"), []string{"X-Forwarded-For", "192.0.2.1", "Forwarded", "for=192.0.2.1", "X-Real-IP", "192.0.2.1"}, 200, "198.51.100.7:25"},
		{"gives an address", "198.51.100.7:4000", `{"ports":[25],"token":"` + token + `","address":"192.0.2.1"}`, nil, 400, ""},
		{"port 22", "198.51.100.7:4000", ask("22"), nil, 400, ""},
		{"a port twice", "198.51.100.7:4000", ask("25,25"), nil, 400, ""},
		{"too many ports", "198.51.100.7:4000", ask("25,80,443,465,993,25"), nil, 400, ""},
		{"no port", "198.51.100.7:4000", ask(""), nil, 400, ""},
		{"port -1", "198.51.100.7:4000", ask("-1"), nil, 400, ""},
		{"a token that is none", "198.51.100.7:4000", `{"ports":[80],"token":"x HTTP/1.1\r\nHost: b"}`, nil, 400, ""},
		{"a token in capitals", "198.51.100.7:4000", `{"ports":[80],"token":"` + strings.ToUpper(token) + `"}`, nil, 400, ""},
		{"more behind it", "198.51.100.7:4000", ask("25") + ask("80"), nil, 400, ""},
		{"too long", "198.51.100.7:4000", strings.Repeat(" ", maxRequest) + ask("25"), nil, 400, ""},
		{"no JSON", "198.51.100.7:4000", "25", nil, 400, ""},
		{"a form of a web page", "198.51.100.7:4000", ask("25"), []string{"Content-Type", "text/plain"}, 400, ""},
		{"a web page", "198.51.100.7:4000", ask("25"), []string{"Origin", "https://evil.test"}, 403, ""},
		{"a web page of its own", "198.51.100.7:4000", ask("25"), []string{"Sec-Fetch-Site", "same-origin"}, 403, ""},
		{"inside", "192.168.1.1:4000", ask("25"), nil, 403, ""},
		{"loopback", "127.0.0.1:4000", ask("25"), nil, 403, ""},
		{"link-local", "[fe80::1%eth0]:4000", ask("25"), nil, 403, ""},
		{"carrier", "100.64.0.1:4000", ask("25"), nil, 403, ""},
		{"NAT64", "[64:ff9b::c0a8:101]:4000", ask("25"), nil, 403, ""},
		{"6to4", "[2002:c0a8:101::1]:4000", ask("25"), nil, 403, ""},
		{"no address", "@", ask("25"), nil, 403, ""},
	} {
		d := new(seeker)
		w := call(NewServer(ServerOptions{Dial: d.dial}), tt.from, http.MethodPost, ReachPath, tt.body, tt.head...)
		if got := strings.Join(d.to, " "); w.Code != tt.want || got != tt.to {
			t.Errorf("%s: %d, connects to %q; want %d, %q", tt.name, w.Code, got, tt.want, tt.to)
		}
	}
	s := NewServer(ServerOptions{})
	for _, r := range [][2]string{{http.MethodPost, EchoPath}, {http.MethodGet, ReachPath}, {http.MethodGet, "/"}, {http.MethodGet, EchoPath + "/x"}} {
		if w := call(s, "198.51.100.7:4000", r[0], r[1], ""); w.Code != http.StatusNotFound {
			t.Errorf("%v: %d", r, w.Code)
		}
	}
}

// TestOurselves: a caller on the same address is not outside.
func TestOurselves(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, EchoPath, nil)
	r.RemoteAddr = "198.51.100.7:4000"
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.TCPAddrFromAddrPort(netip.MustParseAddrPort("198.51.100.7:443"))))
	w := httptest.NewRecorder()
	NewServer(ServerOptions{}).ServeHTTP(w, r)
	if w.Code != http.StatusForbidden {
		t.Errorf("%d", w.Code)
	}
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(seeker)
		s := NewServer(ServerOptions{Dial: d.dial})
		look := func(from string) int { return call(s, from, http.MethodPost, ReachPath, ask("25")).Code }
		echo := func(from string) int { return call(s, from, http.MethodGet, EchoPath, "").Code }
		for i := range maxLooks {
			if code := look(fmt.Sprintf("198.51.100.%d:1", i)); code != 200 {
				t.Fatalf("look %d: %d", i, code)
			}
			if code := look(fmt.Sprintf("[2001:db8:0:1::%d]:1", i+1)); code != 200 {
				t.Fatalf("look %d by IPv6: %d", i, code)
			}
		}
		if a, b := look("198.51.100.200:1"), look("[2001:db8:0:1:ffff::]:1"); a != 429 || b != 429 {
			t.Errorf("one network too often: %d %d", a, b)
		}
		if a, b := look("198.51.101.1:1"), look("[2001:db8:0:2::1]:1"); a != 200 || b != 200 {
			t.Errorf("others pay for it: %d %d", a, b)
		}
		if code := echo("198.51.100.1:1"); code != 200 {
			t.Errorf("no echo: %d", code)
		}
		for range maxEchoes {
			echo("198.51.100.1:1")
		}
		if code := echo("198.51.100.1:1"); code != 429 {
			t.Errorf("too many echoes: %d", code)
		}
		time.Sleep(window)
		if code := look("198.51.100.1:1"); code != 200 {
			t.Errorf("after an hour: %d", code)
		}
		if len(s.limits.clients) != 1 {
			t.Errorf("%d networks are remembered", len(s.limits.clients))
		}
		for i := range 3 * maxAll {
			look(fmt.Sprintf("%d.%d.1.1:1", 11+i/250, 1+i%250))
		}
		if s.limits.looks != maxAll || s.limits.running != 0 {
			t.Errorf("%d looks for all, %d run", s.limits.looks, s.limits.running)
		}
		time.Sleep(window)
		for i := range maxClients + 10 {
			s.limits.echo(netip.AddrFrom4([4]byte{20, byte(i >> 8), byte(i), 1}))
		}
		if n := len(s.limits.clients); n != maxClients {
			t.Errorf("%d networks are counted", n)
		}
	})
}

func TestIdentity(t *testing.T) {
	id := Identity{Host: "Mail.example.test", Keys: func() []string { return []string{"aa"} }}
	for _, tt := range []struct {
		seen Seen
		want bool
	}{
		{Seen{Reached: Open, Line: "220 mail.example.test ESMTP"}, true},
		{Seen{Reached: Open, Line: "220 MAIL.EXAMPLE.TEST"}, true},
		{Seen{Reached: Open, Line: "* OK [CAPABILITY IMAP4rev1] mail.example.test ready"}, true},
		{Seen{Reached: Open, Line: "220 webmail.example.test ESMTP"}, false},
		{Seen{Reached: Open, Line: "220 mail.example.test.evil.test ESMTP"}, false},
		{Seen{Reached: Open, Line: "HTTP/1.1 200 OK " + token}, true},
		{Seen{Reached: Open, Key: "aa"}, true},
		{Seen{Reached: Open, Key: "bb"}, false},
		{Seen{Reached: Open}, false},
		{Seen{Reached: Silent, Line: "220 mail.example.test"}, false},
	} {
		if got := id.Is(tt.seen, token); got != tt.want {
			t.Errorf("%+v: %v", tt.seen, got)
		}
	}
	if (Identity{}).Is(Seen{Reached: Open, Line: "220  x"}, "") {
		t.Error("nobody is somebody")
	}
}

// A street is a probe and a house on loopback: the house's ports are not those
// of mail, and who connects to 127.0.0.1:25 gets to the one that stands for it.
type street struct {
	mu    sync.Mutex
	ports map[string]string // "25" to the address that listens for it
	srv   *httptest.Server
}

func newStreet(t *testing.T) *street {
	st := &street{ports: make(map[string]string)}
	s := NewServer(ServerOptions{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Dial: st.dial})
	// The caller comes from 127.0.0.1, and the probe is another.
	st.srv = httptest.NewUnstartedServer(s)
	l, err := net.Listen("tcp4", "127.0.0.2:0")
	if err != nil {
		t.Skip("no second loopback address: ", err)
	}
	st.srv.Listener.Close()
	st.srv.Listener = l
	st.srv.Start()
	t.Cleanup(st.srv.Close)
	return st
}

func (st *street) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	_, port, _ := net.SplitHostPort(addr)
	st.mu.Lock()
	to, ok := st.ports[port]
	st.mu.Unlock()
	if !ok {
		to = "127.0.0.1:1" // nobody
	}
	return new(net.Dialer).DialContext(ctx, network, to)
}

func (st *street) listen(network, addr string) (net.Listener, error) {
	_, port, _ := net.SplitHostPort(addr)
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.ports[port] != "" {
		return nil, fmt.Errorf("port %s is taken", port)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err == nil {
		st.ports[port] = l.Addr().String()
	}
	return l, err
}

func (st *street) client(t *testing.T, o ClientOptions) *Client {
	o.URLs = append(o.URLs, st.srv.URL)
	o.Plain = true
	o.Allow = func(a netip.Addr) bool { return true }
	o.Listen = st.listen
	c, err := NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestStreet: the client's stand-in is seen and known, another's greeting is
// seen and not known, and what is closed is closed.
func TestStreet(t *testing.T) {
	st := newStreet(t)
	other, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	go func() {
		for {
			conn, err := other.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, "220 somebody\x1b[2J else\r\n")
			conn.Close()
		}
	}()
	st.ports["25"] = other.Addr().String()
	c := st.client(t, ClientOptions{StandIn: true})
	e, err := c.Echo(t.Context(), "tcp4")
	if err != nil || e.Address.String() != "127.0.0.1" || e.Port == 0 || time.Since(e.Time).Abs() > time.Minute {
		t.Fatalf("%+v %v", e, err)
	}
	rep, err := c.Reach(t.Context(), "tcp4", Ports[:])
	if err != nil {
		t.Fatal(err)
	}
	var id Identity
	for _, p := range Ports {
		if got, want := id.Is(rep.Ports[p], rep.Token), p != 25; got != want {
			t.Errorf("port %d: %v, %+v", p, got, rep.Ports[p])
		}
	}
	if s := rep.Ports[25]; s.Line != "220 somebody[2J else" || s.Reached != Open {
		t.Errorf("port 25: %+v", s)
	}
	if len(c.tokens) != 0 {
		t.Error("a token is left")
	}
	if len(rep.From) != 1 || !rep.From[0].IsLoopback() {
		t.Errorf("the look came from %v", rep.From)
	}
	st.ports = map[string]string{} // all that listened is gone
	none := st.client(t, ClientOptions{})
	if rep, err = none.Reach(t.Context(), "tcp4", []uint16{25, 443}); err != nil || rep.Ports[25].Reached != Closed || rep.Ports[443].Reached != Closed || len(rep.Ports) != 2 {
		t.Errorf("%+v %v", rep, err)
	}
}

// TestPages: the client, mounted in a web server, shows the token while the
// question is out, and no other.
func TestPages(t *testing.T) {
	st := newStreet(t)
	c := st.client(t, ClientOptions{})
	mux := http.NewServeMux()
	mux.Handle(TokenPath, c)
	plain, secure := httptest.NewServer(mux), httptest.NewTLSServer(mux)
	defer plain.Close()
	defer secure.Close()
	st.ports["80"], st.ports["443"] = plain.Listener.Addr().String(), secure.Listener.Addr().String()
	rep, err := c.Reach(t.Context(), "tcp4", []uint16{80, 443})
	if err != nil {
		t.Fatal(err)
	}
	id := Identity{Keys: func() []string { return []string{Key(secure.Certificate().RawSubjectPublicKeyInfo)} }}
	if !id.Is(rep.Ports[80], rep.Token) || !id.Is(rep.Ports[443], rep.Token) || !id.Is(rep.Ports[443], "") {
		t.Errorf("%+v", rep.Ports)
	}
	if len(rep.From) != 1 || !rep.From[0].IsLoopback() {
		t.Errorf("the look came from %v", rep.From)
	}
	w := httptest.NewRecorder()
	c.ServeHTTP(w, httptest.NewRequest(http.MethodGet, TokenPath+rep.Token, nil))
	if w.Code != http.StatusNotFound {
		t.Error("shows a token of the past")
	}
}

// TestBadProbes: the next is asked, and nonsense is not believed.
func TestBadProbes(t *testing.T) {
	st := newStreet(t)
	bad := func(status int, body string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", st.srv.URL+r.URL.Path)
			w.WriteHeader(status)
			io.WriteString(w, body)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	for _, u := range []string{
		"http://127.0.0.1:1", bad(302, ""), bad(500, ""), bad(200, "{"), bad(200, "{}"),
		bad(200, `{"address":"2001:db8::1"}`), bad(200, `{"address":"x"}`), bad(200, strings.Repeat(" ", maxReport)+`{"address":"192.0.2.1"}`),
	} {
		c := st.client(t, ClientOptions{URLs: []string{u}})
		if e, err := c.Echo(t.Context(), "tcp4"); err != nil || e.Address.String() != "127.0.0.1" {
			t.Errorf("%s: %+v %v", u, e, err)
		}
		c.list = c.list[:1]
		if e, err := c.Echo(t.Context(), "tcp4"); err == nil {
			t.Errorf("%s alone: %+v", u, e)
		}
	}
	for _, u := range []string{"mail.example.test", "ftp://x.test", "https://", "https://u:p@x.test", "https://x.test/?a=b", "://", "http://x.test", "https://:443", "https://x.test#sha256=00", "https://x.test#" + strings.Repeat("0", 64), "https://x.test#md5=" + strings.Repeat("0", 64)} {
		if _, err := NewClient(ClientOptions{URLs: []string{u}}); err == nil {
			t.Errorf("%q is taken", u)
		}
	}
	c, err := NewClient(ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Echo(t.Context(), "tcp4"); err != ErrNone {
		t.Error(err)
	}
}

// TestPin: a probe with a certificate of its own making is asked if its key is
// the one that its URL names, and never else. It is served as Serve does.
func TestPin(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.2:0")
	if err != nil {
		t.Skip("no second loopback address: ", err)
	}
	cert, err := passing()
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(ServerOptions{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l, &tls.Config{Certificates: []tls.Certificate{cert}}) }()
	url := "https://" + l.Addr().String()
	pin := Pin(leaf.RawSubjectPublicKeyInfo)
	for _, tt := range []struct {
		url string
		ok  bool
	}{
		{url + pin, true},
		{url + "/" + strings.ToUpper(pin), true},
		{url, false},
		{url + "#sha256=" + strings.Repeat("0", 64), false},
	} {
		c, err := NewClient(ClientOptions{URLs: []string{tt.url}, Allow: func(netip.Addr) bool { return true }})
		if err != nil {
			t.Fatal(tt.url, err)
		}
		if e, err := c.Echo(t.Context(), "tcp4"); (err == nil) != tt.ok {
			t.Errorf("%s: %+v %v", tt.url, e, err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := s.Serve(t.Context(), l, nil); err == nil {
		t.Error("serves a listener that is closed")
	}
}

// FuzzURL: what is taken is HTTPS to a host, with a whole key or none, and what
// the client asks has neither a user nor a fragment.
func FuzzURL(f *testing.F) {
	f.Add("https://mail.example.org")
	f.Add("https://[2001:db8::1]:8443/x#sha256=" + strings.Repeat("aB", 32))
	f.Add("https://a#sha256=%61")
	f.Fuzz(func(t *testing.T, u string) {
		s, err := parseURL(u, false)
		if err != nil {
			return
		}
		p, err := url.Parse(s.url)
		if err != nil || p.Scheme != "https" || p.Hostname() == "" || p.User != nil || p.Fragment != "" || p.RawQuery != "" || len(s.pin) != 0 && len(s.pin) != 64 || strings.ToLower(s.pin) != s.pin {
			t.Errorf("%q: %+v %v", u, s, err)
		}
	})
}

// FuzzRequest: what is accepted asks for ports of the list, each once, with a
// token that may stand in a URL.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(ask("25")))
	f.Add([]byte(ask("25,80,443,465,993")))
	f.Add([]byte(`{"ports":[25,"25"],"token":null}`))
	f.Add([]byte(`{"PORTS":[993],"Token":"` + token + `"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest(http.MethodPost, ReachPath, bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		req, ok := request(httptest.NewRecorder(), r)
		if !ok {
			return
		}
		seen := make(map[uint16]bool)
		for _, p := range req.Ports {
			if !Known(p) || seen[p] {
				t.Errorf("%q: ports %v", body, req.Ports)
			}
			seen[p] = true
		}
		if len(seen) == 0 || strings.Trim(req.Token, "0123456789abcdef") != "" || len(req.Token) != 2*tokenBytes {
			t.Errorf("%q: %+v", body, req)
		}
	})
}

// FuzzGreeting: whatever somebody says, a bounded line that a terminal can show
// comes of it.
func FuzzGreeting(f *testing.F) {
	f.Add([]byte("220 mail.example.test\r\n"), uint16(25))
	f.Add([]byte("HTTP/1.1 200 OK\r\n\r\n"+token), uint16(80))
	f.Add([]byte("\x00\xff\x1b]0;x\a"), uint16(25))
	f.Fuzz(func(t *testing.T, said []byte, port uint16) {
		if port == 443 || port == 465 || port == 993 {
			return // TLS is the library's
		}
		dial := func(context.Context, string, string) (net.Conn, error) {
			a, b := net.Pipe()
			go func() {
				go io.Copy(io.Discard, b)
				b.Write(said)
				b.Close()
			}()
			return a, nil
		}
		s := Look(t.Context(), dial, netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), port), token)
		if s.Reached != Open || len(s.Line) > maxLine+80 || strings.ContainsFunc(s.Line+s.Detail, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q: %+v", said, s)
		}
		if _, err := json.Marshal(s); err != nil {
			t.Error(err)
		}
	})
}

// TestSilentPort: a port that says nothing ends in time.
func TestSilentPort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var far net.Conn
		dial := func(context.Context, string, string) (net.Conn, error) {
			a, b := net.Pipe()
			far = b
			return a, nil
		}
		for _, p := range Ports {
			began := time.Now()
			s := Look(t.Context(), dial, netip.MustParseAddrPort("192.0.2.1:"+strconv.Itoa(int(p))), token)
			if took := time.Since(began); took > lookTime || s.Reached != Open || s.Line != "" || s.Detail == "" {
				t.Errorf("port %d: %v %+v", p, took, s)
			}
			far.Close()
		}
	})
}
