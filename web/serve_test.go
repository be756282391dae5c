package web

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/smallstep/pkcs7"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"homemail/autoconfig"
)

// certify makes a certificate for all hosts of the tests, issued by a CA.
func certify(t *testing.T) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	build := func(c, parent *x509.Certificate) *x509.Certificate {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		c, err = x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Test CA"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	ca = build(ca, ca)
	leaf := build(&x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "mail.example.test"}, DNSNames: []string{"mail.example.test", "*.example.test"}}, ca)
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	cert := &tls.Certificate{Certificate: [][]byte{leaf.Raw, ca.Raw}, PrivateKey: key}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert, nil },
		CipherSuites:   []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
	}, pool
}

// start serves until the test ends, and returns where and how to stop it.
func start(t *testing.T, serve func(context.Context, net.Listener) error) (addr string, stop func() error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- serve(ctx, l) }()
	stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(10 * time.Second):
			return fmt.Errorf("it does not stop")
		}
	})
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String(), stop
}

// client reaches every name at one address.
func client(t *testing.T, addr string, pool *x509.CertPool) *http.Client {
	tr := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
		TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true,
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func get(t *testing.T, c *http.Client, url string) (*http.Response, []byte) {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, b
}

// A phone's way: from http to https, and to a profile that is signed by the
// certificate that it has just trusted.
func TestRealTLS(t *testing.T) {
	o := names()
	var pool *x509.CertPool
	o.TLS, pool = certify(t)
	s := server(t, o)
	plain, _ := start(t, s.Serve)
	secure, _ := start(t, s.ServeTLS)

	resp, _ := get(t, client(t, plain, nil), "http://mail.example.test"+autoconfig.ProfilePath+"?address=a%40example.test")
	c := client(t, secure, pool)
	resp, b := get(t, c, resp.Header.Get("Location"))
	if resp.ProtoMajor != 2 || resp.StatusCode != 200 || resp.Header.Get("Content-Type") != autoconfig.AppleType {
		t.Fatalf("got %s %v: %q", resp.Proto, resp.Status, b)
	}
	p7, err := pkcs7.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := p7.VerifyWithChain(pool); err != nil || !bytes.Contains(p7.Content, []byte("<string>a@example.test</string>")) {
		t.Errorf("%v: %s", err, p7.Content)
	}
	if resp, b := get(t, c, "https://mta-sts.example.test"+stsPath); resp.StatusCode != 200 || !strings.HasPrefix(string(b), "version: STSv1\r\n") {
		t.Errorf("got %v: %q", resp.Status, b)
	}
	if len(o.TLS.NextProtos) != 0 {
		t.Error("the caller's TLS configuration was written into")
	}
}

// A CA gets the certificate of its TLS-ALPN-01 challenge (RFC 8737) through us,
// and browsers theirs at the same time.
func TestALPNChallenge(t *testing.T) {
	const acmeTLS = "acme-tls/1"
	o := names()
	own, pool := certify(t)
	challenge, _ := certify(t)
	challenge.NextProtos = []string{acmeTLS}
	own.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		if len(h.SupportedProtos) == 1 && h.SupportedProtos[0] == acmeTLS {
			return challenge, nil
		}
		return nil, nil
	}
	o.TLS = own
	addr, _ := start(t, server(t, o).ServeTLS)
	want, err := challenge.GetCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := tls.Dial("tcp", addr, &tls.Config{ServerName: "mail.example.test", NextProtos: []string{acmeTLS}, InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if at := c.ConnectionState(); at.NegotiatedProtocol != acmeTLS || !bytes.Equal(at.PeerCertificates[0].Raw, want.Certificate[0]) {
		t.Errorf("got %q", at.NegotiatedProtocol)
	}
	if resp, _ := get(t, client(t, addr, pool), "https://mail.example.test/"); resp.StatusCode != 200 {
		t.Errorf("got %v", resp.Status)
	}
}

// Without a certificate that devices trust a profile is given out all the same.
func TestUnsigned(t *testing.T) {
	for _, c := range []*tls.Config{nil, {}, {Certificates: []tls.Certificate{{}}}, {GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, io.EOF }}} {
		o := names()
		o.TLS = c
		w := ask(server(t, o).secure, "GET", "mail.example.test", autoconfig.ProfilePath+"?address=a%40example.test", "")
		if w.Code != 200 || !strings.HasPrefix(w.Body.String(), "<?xml") {
			t.Errorf("got %d %q", w.Code, w.Body)
		}
	}
	o := names()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := server(t, o).ServeTLS(t.Context(), l); err == nil {
		t.Error("HTTPS without a certificate")
	}
	if _, err := l.Accept(); err == nil {
		t.Error("the listener is still open")
	}
}

func TestLimits(t *testing.T) {
	o := names()
	var pool *x509.CertPool
	o.TLS, pool = certify(t)
	s := server(t, o)
	secure, _ := start(t, s.ServeTLS)
	plain, _ := start(t, s.Serve)

	h2 := client(t, secure, pool)
	h1 := client(t, secure, pool)
	h1.Transport.(*http.Transport).ForceAttemptHTTP2 = false
	h1.Transport.(*http.Transport).TLSClientConfig.NextProtos = []string{"http/1.1"}
	for name, c := range map[string]*http.Client{"HTTP/2": h2, "HTTP/1.1": h1} {
		for _, tt := range []struct {
			header, body int
			chunked      bool
			want         int
		}{
			{12 << 10, 0, false, 405},
			{24 << 10, 0, false, 431},
			{0, maxBody, false, 405},
			{0, maxBody + 1, false, 413},
			{0, 4 * maxBody, true, 405}, // the handler reads none of it
		} {
			var body io.Reader = strings.NewReader(strings.Repeat(" ", tt.body))
			if tt.chunked {
				body = io.MultiReader(body) // has no length
			}
			r, err := http.NewRequest("POST", "https://mta-sts.example.test"+stsPath, body)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("X-Long", strings.Repeat("x", tt.header))
			resp, err := c.Do(r)
			if err != nil {
				if tt.want == 431 && strings.Contains(err.Error(), "header list larger than peer's advertised limit") {
					continue // the client has heeded SETTINGS_MAX_HEADER_LIST_SIZE
				}
				t.Errorf("%s %+v: %v", name, tt, err)
				continue
			}
			resp.Body.Close()
			if resp.StatusCode != tt.want {
				t.Errorf("%s %+v: got %v", name, tt, resp.Status)
			}
		}
		resp, err := c.Post("https://mail.example.test"+outlookPath, "text/xml", io.MultiReader(strings.NewReader(outlook("a@example.test")+strings.Repeat(" ", 4*maxBody))))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !bytes.Contains(b, []byte("<ErrorCode>600<")) {
			t.Errorf("%s: a request without end got %s, %v", name, b, err)
		}
	}
	resp, err := client(t, plain, nil).Get("http://mail.example.test/?" + strings.Repeat("x", 24<<10))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 431 {
		t.Errorf("a long query on port 80 got %v", resp.Status)
	}
	srv := s.server(nil)
	if srv.ReadHeaderTimeout <= 0 || srv.ReadTimeout <= 0 || srv.WriteTimeout <= 0 || srv.IdleTimeout <= 0 || srv.HTTP2.SendPingTimeout <= 0 {
		t.Errorf("a timeout is missing in %+v", srv)
	}
}

// A handler can read no more than it may, also of what has no length.
func TestBodyLimit(t *testing.T) {
	more := func(*http.Request) int64 { return maxBody + 10 }
	limited(more, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if b, err := io.ReadAll(r.Body); err == nil || len(b) != maxBody+10 {
			t.Errorf("%d octets of a file were read, %v", len(b), err)
		}
	})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/", io.MultiReader(strings.NewReader(strings.Repeat("x", maxBody+11)))))
	for size, fits := range map[int]bool{maxBody: true, maxBody + 1: false} {
		r := httptest.NewRequest("POST", "/", io.MultiReader(strings.NewReader(strings.Repeat("x", size))))
		limited(nil, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if b, err := io.ReadAll(r.Body); (err == nil) != fits || len(b) > maxBody {
				t.Errorf("of %d octets %d were read, %v", size, len(b), err)
			}
		})).ServeHTTP(httptest.NewRecorder(), r)
	}
}

// HTTP/2 rapid reset (CVE-2023-44487): however many requests are begun and taken
// back, no more than maxStreams are worked on, and the flood ends in a GOAWAY.
func TestRapidReset(t *testing.T) {
	o := names()
	var pool *x509.CertPool
	o.TLS, pool = certify(t)
	var now, most atomic.Int32
	release := make(chan struct{})
	o.MTASTS = func(string) (string, bool) {
		for n, m := now.Add(1), most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		defer now.Add(-1)
		<-release
		return "", true
	}
	addr, _ := start(t, server(t, o).ServeTLS)
	t.Cleanup(sync.OnceFunc(func() { close(release) })) // before the server is stopped
	c, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: pool, ServerName: "mta-sts.example.test", NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(c, http2.ClientPreface)
	fr := http2.NewFramer(c, c)
	fr.WriteSettings()
	go flood(fr)

	streams, ended := uint32(0), false
	for !ended {
		f, err := fr.ReadFrame()
		if err != nil {
			ended = true // cut without a word is an end, too
			break
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if n, ok := f.Value(http2.SettingMaxConcurrentStreams); ok {
				streams = n
			}
		case *http2.GoAwayFrame:
			ended = true
		}
	}
	if streams != maxStreams {
		t.Errorf("%d streams are advertised", streams)
	}
	if n := most.Load(); n < 1 || n > maxStreams {
		t.Errorf("%d requests were worked on at once", n)
	}
}

func flood(fr *http2.Framer) {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "mta-sts.example.test"}, {":path", stsPath}} {
		enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	for id := uint32(1); id < 10000; id += 2 {
		if fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true}) != nil ||
			fr.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
			return
		}
	}
}

// What is under way when we stop comes to its end.
func TestStop(t *testing.T) {
	o := names()
	begun, release := make(chan struct{}), make(chan struct{})
	o.ACME = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		<-release
		io.WriteString(w, "proof")
	})
	addr, stop := start(t, server(t, o).Serve)
	got := make(chan string, 1)
	go func() {
		resp, err := client(t, addr, nil).Get("http://mail.example.test" + challengePath + "x")
		if err != nil {
			got <- err.Error()
			return
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		got <- string(b)
	}()
	<-begun
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	for i := 0; ; i++ { // until the listener is closed
		c, err := net.Dial("tcp", addr)
		if err != nil {
			break
		}
		c.Close()
		if i == 500 {
			t.Fatal("it still listens")
		}
		time.Sleep(2 * time.Millisecond)
	}
	close(release)
	if s := <-got; s != "proof" {
		t.Errorf("got %q", s)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// A listener that fails ends its server with an error.
func TestListenerFails(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := server(t, names()).Serve(t.Context(), l); err == nil {
		t.Error("no error")
	}
}

// A bug costs one request; scanners are logged only for who looks for them.
func TestErrorLog(t *testing.T) {
	var log syncBuffer
	o := names()
	o.TLS, _ = certify(t)
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	o.ACME = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("at the disco") })
	s := server(t, o)
	plain, _ := start(t, s.Serve)
	secure, stop := start(t, s.ServeTLS)
	c := client(t, plain, nil)
	if resp, err := c.Get("http://mail.example.test" + challengePath + "x"); err == nil {
		resp.Body.Close()
		t.Errorf("got %v", resp.Status)
	}
	if resp, _ := get(t, c, "http://mail.example.test/"); resp.StatusCode != 302 {
		t.Errorf("after a panic: got %v", resp.Status)
	}
	if _, err := client(t, secure, x509.NewCertPool()).Get("https://mail.example.test/"); err == nil {
		t.Error("a certificate that nobody trusts")
	}
	stop()
	if s := log.String(); !strings.Contains(s, "level=ERROR") || !strings.Contains(s, "at the disco") || strings.Contains(s, "TLS handshake") {
		t.Errorf("logged %s", s)
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
