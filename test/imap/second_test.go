// Package imap holds our IMAP server against Dovecot, which is the second
// opinion: the same session with both, and each difference explained.
package imap

import (
	"bufio"
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"homemail/imapd"
	"homemail/search"
	"homemail/signin"
	"homemail/store"
	"homemail/test/need"
)

const (
	user     = "anna@example.test"
	password = "01234-56789-abcde-fghjk-mnpqrs"
)

var update = flag.Bool("update", false, "write what differs, with reasons to be filled in")

// startOurs returns the address of our server.
func startOurs(t testing.TB, cert, key []byte) string {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	s, err := store.Open(t.TempDir(), store.Options{Log: log, Reserve: 1 << 20})
	must(t, err)
	check := signin.New(s, signin.Options{Log: log, FailDelay: -1})
	must(t, s.AddDomain("example.test"))
	a, err := s.AddAccount(store.Profile{Address: user, KeepDays: -1})
	must(t, err)
	must(t, a.Update(func(p *store.Profile) error {
		d, err := signin.NewDevice(*p, "phone", password)
		p.Devices = append(p.Devices, d)
		return err
	}))
	pair, err := tls.X509KeyPair(cert, key)
	must(t, err)
	conf := &tls.Config{Certificates: []tls.Certificate{pair}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	index := search.New(s, log)
	server := imapd.New(imapd.Options{Host: "localhost", Store: s, Search: index, SignIn: check, TLS: conf, Log: log})
	ended := make(chan error, 3)
	go func() { ended <- s.Run(ctx) }()
	go func() { ended <- index.Run(ctx) }()
	go func() { ended <- server.Serve(ctx, tls.NewListener(l, conf)) }()
	t.Cleanup(func() {
		cancel()
		for range 3 {
			must(t, <-ended)
		}
		must(t, s.Close())
	})
	return l.Addr().String()
}

// A client runs a script's commands.
type client struct {
	t testing.TB
	c net.Conn
	r *bufio.Reader
	n int
}

func newClient(t testing.TB, addr string) *client {
	c := &client{t: t, c: dial(t, addr)}
	c.c.SetDeadline(time.Now().Add(time.Minute))
	c.r = bufio.NewReader(c.c)
	c.line()
	_, status := c.run("LOGIN " + user + " " + password)
	if !strings.HasPrefix(status, "OK") {
		t.Fatal(status)
	}
	return c
}

var literal = regexp.MustCompile(`\{(\d+)\}\r\n$`)

// line reads a response with the literals in it.
func (c *client) line() string {
	c.t.Helper()
	var all strings.Builder
	for {
		s, err := c.r.ReadString('\n')
		must(c.t, err)
		all.WriteString(s)
		m := literal.FindStringSubmatch(s)
		if m == nil {
			return strings.TrimSuffix(all.String(), "\r\n")
		}
		n, _ := strconv.Atoi(m[1])
		if _, err := io.CopyN(&all, c.r, int64(n)); err != nil {
			c.t.Fatal(err)
		}
	}
}

// run runs a command, with \n in it for line ends. {} announces a message that is
// the rest.
func (c *client) run(command string) (untagged []string, status string) {
	c.t.Helper()
	c.n++
	tag := fmt.Sprintf("t%d", c.n)
	command = strings.ReplaceAll(command, `\n`, "\r\n")
	if before, message, ok := strings.Cut(command, "{}\r\n"); ok {
		command = fmt.Sprintf("%s{%d+}\r\n%s", before, len(message), message)
	}
	fmt.Fprintf(c.c, "%s %s\r\n", tag, command)
	for {
		s := c.line()
		if rest, ok := strings.CutPrefix(s, tag+" "); ok {
			return untagged, rest
		}
		untagged = append(untagged, s)
	}
}

var (
	statusText = regexp.MustCompile(`^((?:\* )?(?:OK|NO|BAD)(?: \[[^\]]*\])?).*`)
	code       = regexp.MustCompile(`(UIDVALIDITY|APPENDUID|COPYUID|HIGHESTMODSEQ) \d+`)
	modSeq     = regexp.MustCompile(`MODSEQ \(\d+\)`)
	modSeqIs   = regexp.MustCompile(`\(MODSEQ \d+\)| MODSEQ \d+$`)
	esearchTag = regexp.MustCompile(`\(TAG "[^"]*"`)
	flagLists  = regexp.MustCompile(`(\bFLAGS \(|LIST \(|LSUB \(|STATUS "?[\w/]+"? \()([^)]*)\)`)
	ids        = regexp.MustCompile(`(MAILBOXID|EMAILID|THREADID) \([^)]*\)`)
	quotedName = regexp.MustCompile(`^(\* (?:LIST \([^)]*\) "/"|LSUB \([^)]*\) "/"|STATUS|METADATA)) "([\w/]+)"`)
)

// normal takes out what may differ: words for people, moments, the order of
// flags, and the quotes around a name that needs none.
func normal(line string) string {
	line = statusText.ReplaceAllString(line, "$1")
	line = code.ReplaceAllString(line, "$1 N")
	line = modSeq.ReplaceAllString(line, "MODSEQ (N)")
	line = modSeqIs.ReplaceAllString(line, " (MODSEQ N)")
	line = esearchTag.ReplaceAllString(line, `(TAG "T"`)
	line = ids.ReplaceAllString(line, "$1 (ID)")
	line = quotedName.ReplaceAllString(line, "$1 $2")
	line = flagLists.ReplaceAllStringFunc(line, func(s string) string {
		m := flagLists.FindStringSubmatch(s)
		list := strings.Fields(m[2])
		list = slices.DeleteFunc(list, func(f string) bool { return f == `\Recent` }) // we have none, RFC 9051 appendix E
		if strings.HasPrefix(m[1], "STATUS") {                                        // items come in pairs
			var pairs []string
			for pair := range slices.Chunk(list, 2) {
				pairs = append(pairs, strings.Join(pair, " "))
			}
			list = pairs
		}
		slices.Sort(list)
		return m[1] + strings.Join(list, " ") + ")"
	})
	return strings.ReplaceAll(line, "\r\n", `\n`)
}

// answers runs a script and returns what each command brought.
func answers(t testing.TB, addr string, script []string) (all [][]string) {
	sessions := map[string]*client{}
	for _, step := range script {
		name, command, _ := strings.Cut(step, " ")
		if sessions[name] == nil {
			sessions[name] = newClient(t, addr)
		}
		untagged, status := sessions[name].run(command)
		lines := append(untagged, status)
		for i := range lines {
			lines[i] = normal(lines[i])
		}
		all = append(all, lines)
	}
	return all
}

// lines reads a file without its comments.
func lines(t testing.TB, name string) (list []string) {
	text, err := os.ReadFile(name)
	must(t, err)
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimRight(line, "\n"); line != "" && !strings.HasPrefix(line, "#") {
			list = append(list, line)
		}
	}
	return list
}

// TestDovecotSaysTheSame compares the two. What only one of them says is in
// testdata/differences.txt, with the reason.
func TestDovecotSaysTheSame(t *testing.T) {
	need.Tools(t, "dovecot")
	cert, key := certificate(t)
	script := lines(t, "testdata/session.txt")
	theirs := answers(t, startDovecot(t, cert, key), script)
	ours := answers(t, startOurs(t, cert, key), script)
	var found []string
	for i, step := range script {
		only := func(sign string, a, b []string) {
			for _, line := range a {
				line := fmt.Sprintf("%s | %s %s", step, sign, line)
				if !slices.Contains(b, line[len(step)+5:]) && !slices.Contains(found, line) {
					found = append(found, line)
				}
			}
		}
		only("+", ours[i], theirs[i])
		only("-", theirs[i], ours[i])
	}
	explained := make(map[string]string)
	why := ""
	for _, line := range lines(t, "testdata/differences.txt") {
		if reason, ok := strings.CutPrefix(line, "why: "); ok {
			why = reason
			continue
		}
		explained[line] = why
	}
	if *update {
		write(t, found, explained)
		return
	}
	for _, line := range found {
		if explained[line] == "" || explained[line] == "?" {
			t.Errorf("not explained: %s", line)
		}
		delete(explained, line)
	}
	for line := range explained {
		t.Errorf("explained, and not so any more: %s", line)
	}
}

// write writes the differences by their reasons.
func write(t testing.TB, found []string, explained map[string]string) {
	by := map[string][]string{}
	var order []string
	for _, line := range found {
		why := explained[line]
		if why == "" {
			why = "?"
		}
		if by[why] == nil {
			order = append(order, why)
		}
		if !slices.Contains(by[why], line) {
			by[why] = append(by[why], line)
		}
	}
	var out strings.Builder
	out.WriteString("# What we (+) and Dovecot (-) answer differently, and why. go test -update writes it.\n")
	for _, why := range order {
		out.WriteString("\nwhy: " + why + "\n" + strings.Join(by[why], "\n") + "\n")
	}
	must(t, os.WriteFile("testdata/differences.txt", []byte(out.String()), 0o644))
}

// TestStressForTwoMinutes is imapd's stress test for longer, under the race
// detector.
func TestStressForTwoMinutes(t *testing.T) {
	need.Tools(t, "go")
	out, err := exec.Command("go", "test", "-race", "-count=1", "-timeout=10m", "-run=^TestStress$", "-v", "homemail/imapd", "-stress=2m").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
