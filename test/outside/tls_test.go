package outside

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"

	"homemail/mail"
	"homemail/store"
)

// publish lets a domain have an MTA-STS policy, RFC 8461, on a web server of
// its own.
func publish(t *testing.T, address, domain, policy string) net.Listener {
	t.Helper()
	w := live(t)
	host := "mta-sts." + domain
	w.names.say(t, zone{"TXT _mta-sts." + domain: {"v=STSv1; id=1"}, "A " + host: {address}})
	l, err := tls.Listen("tcp", net.JoinHostPort(address, "443"), &tls.Config{Certificates: []tls.Certificate{w.ca.issue(t, host)}})
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go http.Serve(l, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Host != host || r.URL.Path != "/.well-known/mta-sts.txt" {
			http.NotFound(rw, r)
			return
		}
		rw.Header().Set("Content-Type", "text/plain")
		fmt.Fprint(rw, strings.ReplaceAll(policy, "\n", "\r\n"))
	}))
	return l
}

const enforced = "version: STSv1\nmode: enforce\nmx: mx.%s\nmax_age: 604800\n"

// TestMTASTS: a domain that demands TLS by its policy gets mail by no other
// way; it waits until the server is what it should be.
func TestMTASTS(t *testing.T) {
	w := live(t)
	other := w.ca.issue(t, "mx.elsewhere.test")
	for i, tt := range []struct {
		name string
		cert *tls.Certificate // what is wrong with the server
		mx   string           // or with where the DNS leads
	}{
		{name: "no TLS"},
		{name: "another name", cert: &other},
		{name: "nobody's certificate", cert: strangeCert(t, fmt.Sprintf("mx.sts%d.test", 2))},
		{name: "a server that the policy does not name", mx: "mx.evil.test."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			domain, address := fmt.Sprintf("sts%d.test", i), fmt.Sprintf("192.0.2.%d", 80+i)
			good := w.ca.issue(t, "mx."+domain, "mx.evil.test")
			s := meet(t, address, domain, manners{cert: tt.cert})
			if tt.mx != "" {
				s.become(manners{cert: &good})
				w.names.say(t, zone{"MX " + domain: {"10 " + tt.mx}, "A " + strings.TrimSuffix(tt.mx, "."): {address}})
			}
			publish(t, address, domain, fmt.Sprintf(enforced, domain))
			h := newHouse(t, plan{})
			to := "carl@" + domain
			text := h.letter("in secret", to)
			h.send(text, to)
			r := h.waits(to, 1)
			if last := r.Tries[len(r.Tries)-1]; last.Cause != mail.CauseTLS || last.Fate != mail.Temporary || !strings.Contains(last.Reply.Text+last.Why, "MTA-STS") {
				t.Errorf("%+v", last)
			}
			if clear := s.inTheClear(); len(s.messages()) > 0 || strings.Contains(clear, "MAIL") || strings.Contains(clear, h.anna.Address) {
				t.Errorf("in the clear:\n%s", clear)
			}
			s.become(manners{cert: &good})
			w.names.say(t, zone{"MX " + domain: {"10 mx." + domain + "."}})
			r = h.endsSoon(to, store.Relayed)
			if last := r.Tries[len(r.Tries)-1]; !strings.Contains(last.TLS, "verified by MTA-STS") {
				t.Errorf("%+v", last)
			}
			got := s.messages()
			if len(got) != 1 || !got[0].tls {
				t.Fatalf("%d messages came", len(got))
			}
			if err := same(got[0].text, text); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestMTASTSRemembered: who can block the policy's web server and its DNS cannot
// take a policy away that was seen before, also not by a crash of ours.
func TestMTASTSRemembered(t *testing.T) {
	w := live(t)
	const domain, address = "remember.test", "192.0.2.88"
	cert := w.ca.issue(t, "mx."+domain)
	s := meet(t, address, domain, manners{cert: &cert})
	web := publish(t, address, domain, fmt.Sprintf(enforced, domain))
	h := newHouse(t, plan{})
	to := "carl@" + domain
	h.send(h.letter("first", to), to)
	h.ends(to, store.Relayed)
	h.crash()
	web.Close()
	w.names.say(t, zone{"TXT _mta-sts." + domain: nil, "A mta-sts." + domain: nil})
	s.become(manners{})
	to = "dora@" + domain
	h.send(h.letter("second", to), to)
	if r := h.waits(to, 1); r.Tries[0].Cause != mail.CauseTLS || len(s.messages()) != 1 {
		t.Errorf("%d messages, %+v", len(s.messages()), r.Tries)
	}
}

// TestRequireTLS: a sender can demand what a domain does not, RFC 8689.
func TestRequireTLS(t *testing.T) {
	p := postfix(t)
	h := newHouse(t, plan{})
	to := "carl@demand.postfix.signed" // Postfix 3.7 does not offer REQUIRETLS
	must(t, h.submit(h.anna, h.letter("demanding", to), posting{mail: smtp.MailOptions{RequireTLS: true}}, to))
	h.ends(to, store.Failed)
	h.arrives(h.anna, "INBOX", "multipart/report", "5.7.30")
	if len(p.received(t, to)) > 0 {
		t.Error("it was sent")
	}
}

// strangeCert is a certificate of a CA that nobody trusts.
func strangeCert(t *testing.T, host string) *tls.Certificate {
	t.Helper()
	a, err := newAuthority(t.TempDir() + "/ca.pem")
	must(t, err)
	c := a.issue(t, host)
	return &c
}

// TestDANE: signed TLSA records say which certificate a server has, whoever
// issued it; without DNSSEC they say nothing.
func TestDANE(t *testing.T) {
	p := postfix(t)
	w := live(t)
	own := *strangeCert(t, "whatever.test") // DANE-EE needs neither a CA nor a name
	wrong := "3 1 1 " + strings.Repeat("ab", 32)
	for i, tt := range []struct {
		name, zone, tlsa string
		cert             *tls.Certificate
		by               string // "" if it must wait
	}{
		{"right", "signed", tlsa(own), &own, "verified by DANE"},
		{"wrong", "signed", wrong, &own, ""},
		{"none offered", "signed", tlsa(own), nil, ""},
		{"wrong, not signed", "test", wrong, &own, "not verified"},
		{"no TLS, not signed", "test", tlsa(own), nil, "in the clear"},
		{"signatures broken", "bogus", tlsa(own), &own, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			domain, address := fmt.Sprintf("dane%d.%s", i, tt.zone), fmt.Sprintf("192.0.2.%d", 90+i)
			s := meet(t, address, domain, manners{cert: tt.cert})
			w.names.say(t, zone{"TLSA _25._tcp.mx." + domain: {tt.tlsa}})
			h := newHouse(t, plan{})
			to := "carl@" + domain
			h.send(h.letter("proved", to), to)
			if tt.by == "" {
				h.waits(to, 1)
				if got := s.messages(); len(got) > 0 || strings.Contains(s.inTheClear(), "MAIL") {
					t.Errorf("it was sent: %+v", got)
				}
				if tt.zone == bogusZone {
					return
				}
				s.become(manners{cert: &own})
				w.names.say(t, zone{"TLSA _25._tcp.mx." + domain: {tlsa(own)}})
			}
			r := h.endsSoon(to, store.Relayed)
			last := r.Tries[len(r.Tries)-1]
			switch {
			case tt.by == "in the clear":
				if last.TLS != "" || s.messages()[0].tls {
					t.Errorf("%+v", last)
				}
			case tt.by == "":
				tt.by = "verified by DANE"
				fallthrough
			default:
				if !strings.Contains(last.TLS, tt.by) || !s.messages()[0].tls {
					t.Errorf("%+v", last)
				}
			}
		})
	}
	t.Run("postfix", func(t *testing.T) {
		h := newHouse(t, plan{})
		to := "carl@dane.postfix.signed"
		h.send(h.letter("proved", to), to)
		p.arrives(t, to, "proved")
		if r := h.ends(to, store.Relayed); !strings.Contains(r.Tries[0].TLS, "verified by DANE") {
			t.Errorf("%+v", r.Tries)
		}
	})
}
