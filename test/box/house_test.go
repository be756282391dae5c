package box

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"homemail/internal/torture"
	"homemail/test/wire"
)

// A house is the box of one family: its disk, and who has mail there.
type house struct {
	disk     string
	account  string
	password string // of a device

	ledger *torture.Ledger
}

// ready is what the console says when the landing page answers.
const ready = `homemail: ready ([0-9.]+)`

// first starts a fresh box by UEFI, claims it with the code from the serial line,
// sets it up, and has a letter come in.
func (h *house) first(t *testing.T) {
	m := start(t, uefi, h.disk)
	address := m.await(ready)[1]
	t.Logf("ready after %.1f s", time.Since(m.began).Seconds())
	code := m.await(`this code:\s+([A-Z0-9]{4}-[A-Z0-9]{4})\b`)[1]
	h.setUp(t, m, address, code)
	h.letter(t, m)
	m.powerButton()
}

// A browser is one without JavaScript.
type browser struct {
	t    *testing.T
	base string
	http.Client
	page, path string
}

func newBrowser(t *testing.T, m *machine, address string) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	reach := func(ctx context.Context, _, address string) (net.Conn, error) {
		port := m.ports[80]
		if strings.HasSuffix(address, ":443") {
			port = m.ports[443]
		}
		return new(net.Dialer).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	}
	return &browser{t: t, base: "https://" + address, Client: http.Client{
		Jar: jar, Timeout: time.Minute,
		Transport: &http.Transport{DialContext: reach, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, // its own certificate
	}}
}

func (b *browser) send(r *http.Request, err error) *browser {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Accept-Language", "en")
	res, err := b.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	b.page, b.path = string(body), res.Request.URL.Path
	if res.StatusCode != http.StatusOK {
		b.t.Fatalf("%s answers %d:\n%s", b.path, res.StatusCode, words(b.page))
	}
	return b
}

func (b *browser) get(path string) *browser {
	b.t.Helper()
	return b.send(http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.base+path, nil))
}

var token = regexp.MustCompile(`name="csrf" value="([^"]*)"`)

// post sends a form with the token of the page before, and wants to come to a page.
func (b *browser) post(path, want string, fields ...string) *browser {
	b.t.Helper()
	form := url.Values{}
	if m := token.FindStringSubmatch(b.page); m != nil {
		form.Set("csrf", m[1])
	}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.base+path, strings.NewReader(form.Encode()))
	if err == nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	b.send(r, err)
	for end := time.Now().Add(patience); strings.Contains(b.page, underWay) && time.Now().Before(end); time.Sleep(time.Second) {
		b.get(b.path) // an emulated box is slower than a page waits
	}
	if b.path != want && strings.HasPrefix(b.path, "/first/") {
		b.get(want) // it shows what was under way, which is done meanwhile
	}
	if b.path != want {
		b.t.Fatalf("%s leads to %s, not to %s:\n%s", path, b.path, want, words(b.page))
	}
	return b
}

const underWay = "Something is still under way."

var tags = regexp.MustCompile(`(?s)<(head|svg|nav|style|script).*?</(head|svg|nav|style|script)>|<[^>]*>|\n\s*\n`)

func words(html string) string { return strings.TrimSpace(tags.ReplaceAllString(html, "\n")) }

const ownersPassword = "velvet anchor quiet lantern"

// What the page of a new device shows.
var (
	shownAddress  = regexp.MustCompile(`taro@[a-z0-9.-]+`)
	shownPassword = regexp.MustCompile(`<div class="copyable">.*?<code[^>]*>([^<]+)</code>`)
)

// setUp walks through the wizard for mail inside the home: nothing of it needs
// anybody outside.
func (h *house) setUp(t *testing.T, m *machine, address, code string) {
	b := newBrowser(t, m, address)
	b.get("/")
	b.post("/first/claim", "/first/start", "code", code)
	b.post("/first/start", "/first/you", "kind", "new")
	b.post("/first/you", "/first/address", "name", "Taro", "password", ownersPassword, "again", ownersPassword)
	b.post("/first/address", "/first/address", "choose", "kind", "kind", "inside")
	b.post("/first/address", "/first/safe", "kind", "inside", "local", "taro")
	b.post("/first/safe/skip", "/first/people")
	b.post("/first/people/device", "/first/people", "device", "phone")
	h.account = shownAddress.FindString(b.page)
	shown := shownPassword.FindStringSubmatch(b.page)
	if h.account == "" || shown == nil {
		t.Fatalf("the page shows no address, or no password:\n%s", words(b.page))
	}
	h.password = shown[1]
	b.post("/first/people/forget", "/first/people")
	b.get("/first/done")
	t.Logf("%s is set up", h.account)
}

func (h *house) server(m *machine) *wire.Server {
	return &wire.Server{
		SMTP: m.ports[25], Submissions: m.ports[465], IMAPS: m.ports[993], POP3S: m.ports[995],
		Sender: h.account, Accounts: []string{h.account}, Password: func(string) string { return h.password },
	}
}

// letter delivers mail by SMTP, and reads it by IMAP and by POP3.
func (h *house) letter(t *testing.T, m *machine) {
	text := "From: Mari <mari@friend.example>\r\nTo: " + h.account + "\r\nSubject: hello\r\nMessage-ID: <1@friend.example>\r\n\r\nAre you there?\r\n"
	s := h.server(m)
	conn, err := s.Dial(s.SMTP, false)
	if err != nil {
		t.Fatal(err)
	}
	c := smtp.NewClient(conn)
	defer c.Close()
	if err := c.SendMail("mari@friend.example", []string{h.account}, strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	st, err := s.State()
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, b := range st.Boxes {
		n += len(b.Messages)
	}
	if n != 1 {
		t.Errorf("by IMAP there are %d messages", n)
	}
	if got := popStat(t, s, h); got != 1 {
		t.Errorf("by POP3 there are %d messages", got)
	}
}

// popStat counts the messages by POP3 and looks at the first.
func popStat(t *testing.T, s *wire.Server, h *house) (n int) {
	t.Helper()
	conn, err := s.Dial(s.POP3S, true)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "USER %s\r\nPASS %s\r\nSTAT\r\nRETR 1\r\nQUIT\r\n", h.account, h.password)
	all, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(all), "\r\n")
	if len(lines) < 4 || !strings.Contains(string(all), "Are you there?") {
		t.Fatalf("POP3 says %q", all)
	}
	fmt.Sscanf(lines[3], "+OK %d", &n)
	return n
}

const powerCuts = 8

// cuts lets clients work on the box and cuts its power, again and again. What they
// were told is there when it comes back.
func (h *house) cuts(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 3))
	var pending, dropped int
	for i := range powerCuts {
		m := start(t, bios, h.disk)
		m.await(ready)
		s := h.server(m)
		st, err := s.State()
		if err != nil {
			t.Fatalf("start %d: %v\n%s", i, err, tail(m.said()))
		}
		h.verify(t, i, st)
		h.work(t, m, s, st, uint64(i), time.Duration(2000+r.IntN(4000))*time.Millisecond, []float64{0, 0.3, 0.7, 1}[r.IntN(4)])
		pending, dropped = pending+m.disk.Stats.Pending, dropped+m.disk.Stats.Dropped
	}
	t.Logf("%d power cuts; %d of %d unflushed sectors dropped; %d acknowledged; %s", powerCuts, dropped, pending, h.ledger.Acks, h.ledger.Figures())
	if dropped == 0 || h.ledger.Acks < 20*powerCuts {
		t.Error("that was no test")
	}
}

func (h *house) verify(t *testing.T, i int, st torture.State) {
	t.Helper()
	if h.ledger == nil {
		h.ledger = torture.NewLedger(st)
		return
	}
	for _, wrong := range h.ledger.Verify(st) {
		t.Errorf("start %d: %s", i, wrong)
	}
}

// work lets clients work for a while, and cuts the power.
func (h *house) work(t *testing.T, m *machine, s *wire.Server, st torture.State, seed uint64, d time.Duration, keep float64) {
	t.Helper()
	const workers = 4
	out, in := io.Pipe()
	heard := make(chan error, 1)
	go func() { heard <- torture.ReadLines(out, h.ledger.Hear) }()
	over := make(chan struct{})
	go func() {
		defer close(over)
		torture.Work{
			Driver: wire.NewDriver(s, workers), Out: &torture.Printer{W: in}, Seed: seed, Workers: workers, Messages: 15, Large: 64 << 10, Bare: true, Only: wire.Kinds,
		}.Run(context.Background(), st)
		in.Close()
	}()
	time.Sleep(d)
	m.cut(seed, keep)
	<-over
	if err := <-heard; err != nil {
		t.Error(err)
	}
	h.ledger.Died()
}

// comesBack starts the box by another firmware, reads all, and stops it in order.
func (h *house) comesBack(t *testing.T, f firmware) {
	m := start(t, f, h.disk)
	m.await(ready)
	t.Logf("ready after %.1f s by %v", time.Since(m.began).Seconds(), f)
	if f == secure && !strings.Contains(m.said(), "Secure Boot is enabled") {
		t.Errorf("Secure Boot is off:\n%.3000s", m.said())
	}
	st, err := h.server(m).State()
	if err != nil {
		t.Fatal(err)
	}
	h.verify(t, -1, st)
	m.powerButton()
}

// inspect looks at the disk from outside: tables and file systems are in order.
func (h *house) inspect(t *testing.T) {
	t.Helper()
	if said := run(t, "sgdisk", "-v", h.disk); !strings.Contains(said, "No problems found") {
		t.Error(said)
	}
	boot := part(t, h.disk, 1)
	// A FAT says for ever that its power was cut once, and may have lost clusters.
	said, _ := exec.Command("fsck.vfat", "-a", boot).CombinedOutput()
	run(t, "fsck.vfat", "-n", boot)
	t.Logf("%s", said)
	for _, f := range pcFiles {
		if len(readFAT(t, boot, f)) == 0 {
			t.Errorf("%s is empty", f)
		}
	}
	run(t, "e2fsck", "-fn", part(t, h.disk, 4))
}
