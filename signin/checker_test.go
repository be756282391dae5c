package signin

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/xdg-go/scram"

	"homemail/internal/storetest"
	"homemail/mail"
	"homemail/store"
)

const (
	phonePassword  = "01234-56789-abcde-fghjk-mnpqrs"
	laptopPassword = "zzzzz-zzzzz-zzzzz-zzzzz-zzzzzz"
)

// house is a store with anna, who has two devices, and bert, who has one.
func house(t testing.TB) *store.Store {
	t.Helper()
	s := storetest.Open(t, t.TempDir(), nil)
	must(t, s.AddDomain("example.test"))
	for _, address := range []mail.Path{"anna@example.test", "bert@example.test"} {
		a, err := s.AddAccount(store.Profile{Address: address, KeepDays: -1})
		must(t, err)
		addDevice(t, a, "phone", phonePassword+address.Local()[:1])
		if address.Local() == "anna" {
			addDevice(t, a, "laptop", laptopPassword)
		}
	}
	must(t, s.SetAlias(store.Alias{Address: "postmaster@example.test", To: []mail.Path{"anna@example.test"}}))
	must(t, s.SetAlias(store.Alias{Address: "all@example.test", To: []mail.Path{"anna@example.test", "bert@example.test"}}))
	return s
}

const annaPassword, bertPassword = phonePassword + "a", phonePassword + "b" // as typed: not of our own form

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func addDevice(t testing.TB, a *store.Account, name, password string) {
	t.Helper()
	must(t, a.Update(func(p *store.Profile) error {
		d, err := NewDevice(*p, name, password)
		p.Devices = append(p.Devices, d)
		return err
	}))
}

func newChecker(t testing.TB) *Checker {
	return New(house(t), Options{Log: slog.New(slog.DiscardHandler), FailDelay: -1})
}

var anywhere = Attempt{Remote: netip.MustParseAddr("203.0.113.5"), Protocol: "pop3", TLS: &tls.ConnectionState{}}

func TestPassword(t *testing.T) {
	c := newChecker(t)
	for _, x := range []struct {
		name, password string
		want           mail.Path
	}{
		{"anna@example.test", annaPassword, "anna@example.test"},
		{"ANNA@Example.Test", laptopPassword, "anna@example.test"},
		{"anna", strings.ReplaceAll(strings.ToUpper(laptopPassword), "-", " "), "anna@example.test"},
		{"postmaster@example.test", laptopPassword, "anna@example.test"},
		{"bert@example.test", bertPassword, "bert@example.test"},
		{"bert@example.test", annaPassword, ""},
		{"all@example.test", laptopPassword, ""},
		{"anna@example.test", "", ""},
		{"nobody@example.test", laptopPassword, ""},
		{"anna@elsewhere.test", laptopPassword, ""},
		{"", "", ""}, {"@", "x", ""}, {"\x00\xff\r\n", "x", ""}, {strings.Repeat("a", 5000), "x", ""},
	} {
		c.limits = newLimiter()
		s, err := c.Password(t.Context(), anywhere, x.name, x.password)
		if x.want == "" {
			if !errors.Is(err, ErrDenied) || s != nil {
				t.Errorf("%q %q: %v, %v", x.name, x.password, s, err)
			}
			continue
		}
		if err != nil || s.Address != x.want || s.Device == "" {
			t.Errorf("%q %q: %+v, %v", x.name, x.password, s, err)
			continue
		}
		s.Close()
		s.Close()
	}
	if n := c.Stats().Sessions.Load(); n != 0 {
		t.Errorf("%d sessions open", n)
	}
}

func TestBareNameNeedsOneDomain(t *testing.T) {
	c := newChecker(t)
	must(t, c.store.AddDomain("second.test"))
	if _, err := c.Password(t.Context(), anywhere, "anna", laptopPassword); !errors.Is(err, ErrDenied) {
		t.Error(err)
	}
}

func TestNeverWithoutTLS(t *testing.T) {
	c := newChecker(t)
	at := Attempt{Remote: netip.MustParseAddr("127.0.0.1"), Protocol: "imap"}
	if _, err := c.Password(t.Context(), at, "anna", laptopPassword); !errors.Is(err, ErrDenied) {
		t.Error(err)
	}
	if _, err := c.SASL(t.Context(), at, "PLAIN"); !errors.Is(err, ErrDenied) {
		t.Error(err)
	}
	if len(c.Mechanisms(false)) != 0 || len(c.Mechanisms(true)) != 4 {
		t.Error(c.Mechanisms(false), c.Mechanisms(true))
	}
	if _, err := c.SASL(t.Context(), anywhere, "CRAM-MD5"); !errors.Is(err, ErrMechanism) {
		t.Error(err)
	}
}

func TestBackOff(t *testing.T) {
	var log bytes.Buffer
	c := newChecker(t)
	c.o.Log = slog.New(slog.NewTextHandler(&log, nil))
	for range failures {
		if _, err := c.Password(t.Context(), anywhere, "anna\r\nfake=1", "secretword"); !errors.Is(err, ErrDenied) {
			t.Fatal(err)
		}
	}
	var wait *WaitError
	if _, err := c.Password(t.Context(), anywhere, "anna", laptopPassword); !errors.As(err, &wait) || wait.Wait < firstBan-time.Minute {
		t.Errorf("after %d failures: %v", failures, err)
	}
	if _, err := c.SASL(t.Context(), anywhere, mechScram); !errors.As(err, &wait) {
		t.Error(err)
	}
	other := anywhere
	other.Remote = netip.MustParseAddr("203.0.113.6")
	if s, err := c.Password(t.Context(), other, "anna", laptopPassword); err != nil {
		t.Error("another address is shut out:", err)
	} else {
		s.Close()
	}
	if got := log.String(); strings.Count(got, "\n") != failures+1 || strings.Contains(got, "secretword") || strings.Contains(got, "fake") || strings.Count(got, `name="unknown name"`) != failures {
		t.Errorf("log:\n%s", got)
	}
}

// A wrong name and a wrong password take the same time, which is not short.
func TestFailureTakesItsTime(t *testing.T) {
	c := newChecker(t)
	c.o.FailDelay = 40 * time.Millisecond
	for _, name := range []string{"anna", "nobody"} {
		start := time.Now()
		_, err := c.Password(t.Context(), anywhere, name, "x")
		if took := time.Since(start); !errors.Is(err, ErrDenied) || took < c.o.FailDelay {
			t.Errorf("%s: %v after %v", name, err, took)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Password(ctx, anywhere, "anna", "x"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestTouch(t *testing.T) {
	c := newChecker(t)
	s, err := c.Password(t.Context(), anywhere, "anna", laptopPassword)
	must(t, err)
	defer s.Close()
	use, err := s.Account.LastUse()
	if u := use[s.Device]; err != nil || u.From != "203.0.113.5" || time.Since(u.Time) > time.Minute {
		t.Errorf("%+v, %v", use, err)
	}
}

func revokeDevice(name string) func(*store.Profile) error {
	return func(p *store.Profile) error {
		p.Devices = slices.DeleteFunc(p.Devices, func(d store.Device) bool { return d.Name == name })
		return nil
	}
}

func TestRevocation(t *testing.T) {
	c := newChecker(t)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	signIn := func(name, password string) *Session {
		s, err := c.Password(t.Context(), anywhere, name, password)
		must(t, err)
		return s
	}
	phone, laptop, bert := signIn("anna", annaPassword), signIn("anna", laptopPassword), signIn("bert", bertPassword)

	must(t, phone.Account.Update(revokeDevice("phone")))
	if _, err := c.Password(t.Context(), anywhere, "anna", annaPassword); !errors.Is(err, ErrDenied) {
		t.Error("a revoked device signs in:", err)
	}
	waitDone(t, "revoked device", phone)
	stillOn(t, "the other device", laptop)

	must(t, laptop.Account.Update(func(p *store.Profile) error { p.Disabled = true; return nil }))
	if _, err := c.Password(t.Context(), anywhere, "anna", laptopPassword); !errors.Is(err, ErrDenied) {
		t.Error("a disabled account signs in:", err)
	}
	waitDone(t, "disabled account", laptop)
	stillOn(t, "the other account", bert)

	must(t, c.store.RemoveAccount("bert@example.test"))
	waitDone(t, "removed account", bert)
	if n := c.Stats().Sessions.Load(); n != 0 {
		t.Errorf("%d sessions open", n)
	}
	phone.Close()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func waitDone(t *testing.T, what string, s *Session) {
	t.Helper()
	select {
	case <-s.Done():
	case <-time.After(5 * time.Second):
		t.Fatalf("%s: the session goes on", what)
	}
}

func stillOn(t *testing.T, what string, s *Session) {
	t.Helper()
	select {
	case <-s.Done():
		t.Errorf("%s: the session was ended", what)
	default:
	}
}

// converse plays a SASL client against the checker.
func converse(c *Checker, at Attempt, mech string, client sasl.Client) (*Session, error) {
	x, err := c.SASL(context.Background(), at, mech)
	if err != nil {
		return nil, err
	}
	_, response, err := client.Start()
	for err == nil {
		var challenge []byte
		var done bool
		if challenge, done, err = x.Next(response); done || err != nil {
			break
		}
		response, err = client.Next(challenge)
	}
	if err != nil {
		return nil, err
	}
	if _, _, err := x.Next(nil); err == nil {
		return nil, errors.New("the exchange goes on after its end")
	}
	return x.Session(), nil
}

// scramClient makes a sasl.Client of xdg-go's conversation.
type scramClient struct{ conv *scram.ClientConversation }

func (s scramClient) Start() (string, []byte, error) {
	m, err := s.conv.Step("")
	return "", []byte(m), err
}

func (s scramClient) Next(challenge []byte) ([]byte, error) {
	m, err := s.conv.Step(string(challenge))
	if err == nil && s.conv.Done() && !s.conv.Valid() {
		err = errors.New("the server does not know the password")
	}
	return []byte(m), err
}

func newScramClient(t *testing.T, name, password, authz string, cb scram.ChannelBinding) sasl.Client {
	c, err := scram.SHA256.NewClient(name, password, authz)
	must(t, err)
	if cb.Type == "" {
		return scramClient{c.NewConversation()}
	}
	return scramClient{c.NewConversationWithChannelBinding(cb)}
}

func TestSASL(t *testing.T) {
	c := newChecker(t)
	var none scram.ChannelBinding
	for _, x := range []struct {
		mech   string
		client sasl.Client
		want   mail.Path
	}{
		{"PLAIN", sasl.NewPlainClient("", "anna", annaPassword), "anna@example.test"},
		{"PLAIN", sasl.NewPlainClient("anna@example.test", "anna", annaPassword), "anna@example.test"},
		{"PLAIN", sasl.NewPlainClient("bert@example.test", "anna", annaPassword), ""},
		{"PLAIN", sasl.NewPlainClient("nobody", "nobody", annaPassword), ""},
		{"PLAIN", sasl.NewPlainClient("", "anna", bertPassword), ""},
		{"LOGIN", sasl.NewLoginClient("anna", laptopPassword), "anna@example.test"},
		{"LOGIN", sasl.NewLoginClient("anna", ""), ""},
		{mechScram, newScramClient(t, "anna", annaPassword, "", none), "anna@example.test"},
		{mechScram, newScramClient(t, "Anna@example.test", laptopPassword, "", none), "anna@example.test"},
		{mechScram, newScramClient(t, "anna", laptopPassword, "postmaster@example.test", none), "anna@example.test"},
		{mechScram, newScramClient(t, "anna", laptopPassword, "bert", none), ""},
		{mechScram, newScramClient(t, "anna", bertPassword, "", none), ""},
		{mechScram, newScramClient(t, "nobody", annaPassword, "", none), ""},
		{mechScramPlus, newScramClient(t, "anna", annaPassword, "", none), ""},
	} {
		c.limits = newLimiter()
		s, err := converse(c, anywhere, x.mech, x.client)
		switch {
		case x.want == "":
			if !errors.Is(err, ErrDenied) || s != nil {
				t.Errorf("%s %+v: %v, %v", x.mech, x.client, s, err)
			}
		case err != nil || s.Address != x.want:
			t.Errorf("%s %+v: %+v, %v", x.mech, x.client, s, err)
		default:
			s.Close()
		}
	}
}

// Without an initial response the server begins, with "" or a question.
func TestSASLServerFirst(t *testing.T) {
	c := newChecker(t)
	for mech, want := range map[string]string{"PLAIN": "", "LOGIN": "Username:", mechScram: ""} {
		x, err := c.SASL(t.Context(), anywhere, mech)
		must(t, err)
		got, done, err := x.Next(nil)
		if string(got) != want || got == nil || done || err != nil {
			t.Errorf("%s: %q, %v, %v", mech, got, done, err)
		}
	}
}

// A name that does not exist has a salt, always the same, and fails last.
func TestScramUnknownName(t *testing.T) {
	c := newChecker(t)
	first := func(name string) string {
		x, err := c.SASL(t.Context(), anywhere, mechScram)
		must(t, err)
		reply, _, err := x.Next([]byte("n,,n=" + name + ",r=abc"))
		must(t, err)
		_, salt, _ := strings.Cut(string(reply), ",")
		return salt
	}
	if a, b := first("nobody"), first("NOBODY@example.test"); a != b || len(a) != len(first("anna")) {
		t.Errorf("%q, %q", a, b)
	}
	if first("nobody") == first("anybody") {
		t.Error("one salt for all")
	}
	if c.Stats().Failed.Load() != 0 {
		t.Error("failed before the proof")
	}
}

func TestChannelBinding(t *testing.T) {
	c := newChecker(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		server, client := handshake(t, version)
		c.o.Certificate = func() *x509.Certificate { return client.PeerCertificates[0] }
		at := anywhere
		at.TLS = server
		exporter, err := scram.NewTLSExporterBinding(client)
		must(t, err)
		endPoint, err := scram.NewTLSServerEndpointBinding(client)
		must(t, err)
		for _, cb := range []scram.ChannelBinding{exporter, endPoint} {
			s, err := converse(c, at, mechScramPlus, newScramClient(t, "anna", laptopPassword, "", cb))
			if err != nil {
				t.Errorf("%s on %s: %v", cb.Type, tls.VersionName(version), err)
				continue
			}
			s.Close()
			cb.Data = append([]byte("x"), cb.Data[1:]...)
			if _, err := converse(c, at, mechScramPlus, newScramClient(t, "anna", laptopPassword, "", cb)); !errors.Is(err, ErrDenied) {
				t.Errorf("%s on %s: somebody in between is not seen: %v", cb.Type, tls.VersionName(version), err)
			}
			c.limits = newLimiter()
		}
		// A client that could bind but was told that we cannot.
		x, err := scram.SHA256.NewClient("anna", laptopPassword, "")
		must(t, err)
		if _, err := converse(c, at, mechScram, scramClient{x.NewConversationAdvertisingChannelBinding()}); !errors.Is(err, ErrDenied) {
			t.Error("downgrade:", err)
		}
	}
}

// handshake returns both ends' views of one TLS connection.
func handshake(t *testing.T, version uint16) (server, client *tls.ConnectionState) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail.example.test"}, DNSNames: []string{"mail.example.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	s := tls.Server(a, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MaxVersion: version})
	c := tls.Client(b, &tls.Config{InsecureSkipVerify: true, MaxVersion: version})
	failed := make(chan error, 1)
	go func() {
		failed <- s.Handshake()
		s.Write([]byte("x")) // the client reads session tickets along with it
	}()
	must(t, c.Handshake())
	_, err = c.Read(make([]byte, 1))
	must(t, err)
	must(t, <-failed)
	x, y := s.ConnectionState(), c.ConnectionState()
	return &x, &y
}

// FuzzPlain: nobody is let in who does not say the name and the password.
func FuzzPlain(f *testing.F) {
	for _, s := range []string{"\x00anna\x00" + annaPassword, "bert\x00anna\x00" + annaPassword, "anna\x00anna\x00", "\x00\x00", "a", "\x00anna\x00x\x00"} {
		f.Add([]byte(s))
	}
	c := newChecker(f)
	f.Fuzz(func(t *testing.T, response []byte) {
		c.limits = newLimiter()
		s := finish(t, c, "PLAIN", response)
		if s == nil {
			return
		}
		defer s.Close()
		parts := strings.Split(string(response), "\x00")
		if _, ok := match(devicesOf(t, c, s.Address), parts[2]); !ok || s.Address != addressOf(t, c, parts[1]) || parts[0] != "" && s.Address != addressOf(t, c, parts[0]) {
			t.Errorf("%q is let in as %s", response, s.Address)
		}
	})
}

// FuzzLogin: the same.
func FuzzLogin(f *testing.F) {
	f.Add([]byte("anna"), []byte(annaPassword))
	f.Add([]byte(""), []byte(""))
	f.Add([]byte("bert@EXAMPLE.test"), []byte("\x00"))
	c := newChecker(f)
	f.Fuzz(func(t *testing.T, name, password []byte) {
		c.limits = newLimiter()
		s := finish(t, c, "LOGIN", name, password)
		if s == nil {
			return
		}
		defer s.Close()
		if _, ok := match(devicesOf(t, c, s.Address), string(password)); !ok || s.Address != addressOf(t, c, string(name)) {
			t.Errorf("%q, %q is let in as %s", name, password, s.Address)
		}
	})
}

func finish(t *testing.T, c *Checker, mech string, responses ...[]byte) *Session {
	x, err := c.SASL(t.Context(), anywhere, mech)
	must(t, err)
	for _, r := range responses {
		if r == nil {
			r = []byte{}
		}
		if _, done, err := x.Next(r); err != nil {
			if !errors.Is(err, ErrDenied) {
				t.Errorf("%q: %v", responses, err)
			}
			return nil
		} else if done {
			return x.Session()
		}
	}
	return nil
}

func devicesOf(t *testing.T, c *Checker, address mail.Path) []store.Device {
	a, err := c.store.Account(address)
	must(t, err)
	p, err := a.Profile()
	must(t, err)
	return p.Devices
}

func addressOf(t *testing.T, c *Checker, name string) mail.Path {
	who, err := c.lookup(name)
	must(t, err)
	return who.address
}

func BenchmarkPassword(b *testing.B) {
	c := newChecker(b)
	b.ReportAllocs()
	for b.Loop() {
		s, err := c.Password(b.Context(), anywhere, "anna@example.test", laptopPassword)
		must(b, err)
		s.Close()
	}
}

// What somebody types where the name belongs may be a password: it is kept nowhere
// unless it is a name.
func TestUnknownNamesAreNotKept(t *testing.T) {
	c := newChecker(t)
	var log bytes.Buffer
	var told []Told
	c.o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	c.o.Told = func(e Told) { told = append(told, e) }
	const secret = "correct horse battery"
	for i, name := range []string{secret, secret + "@example.test", "anna"} {
		anywhere := anywhere
		anywhere.Remote = netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}) // or it is shut out
		if _, err := c.Password(t.Context(), anywhere, name, "x"); !errors.Is(err, ErrDenied) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := c.Own(t.Context(), anywhere, name, "x"); !errors.Is(err, ErrDenied) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if strings.Contains(log.String(), secret) || !strings.Contains(log.String(), "name=anna") {
		t.Errorf("log:\n%s", log.String())
	}
	for i, e := range told {
		if want := []string{UnknownName, UnknownName, UnknownName, UnknownName, "anna", "anna"}[i]; e.Name != want {
			t.Errorf("%d: %q, want %q", i, e.Name, want)
		}
	}
	if len(told) != 6 {
		t.Errorf("%d were told", len(told))
	}
}
