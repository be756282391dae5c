package relay

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"homemail/internal/mailtest"
	"homemail/mail"
)

const (
	relayAddr = "192.168.7.7:587" // in the house: the owner may
	implicit  = "tls\n> 220 mx\n< EHLO box.example.org\n> 250-mx\n> 250-AUTH PLAIN\n> 250 PIPELINING\n"
)

func login() string {
	return "< AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00anna\x00s3cret")) + "\n> 235 2.7.0 welcome\n"
}

func smarthost() Smarthost {
	return Smarthost{Name: "isp", Host: "smtp.isp.test", Port: 587, TLS: TLSStart, User: "anna",
		Secret: func() (string, error) { return "s3cret", nil }}
}

func TestSmarthost(t *testing.T) {
	isp := func(f func(*Smarthost)) Smarthost {
		s := smarthost()
		f(&s)
		return s
	}
	same := func(*Smarthost) {}
	zone := mailtest.Zone{"A smtp.isp.test": {"192.168.7.7"}}
	for name, tt := range map[string]struct {
		zone   mailtest.Zone
		host   Smarthost
		server string
		names  []string
		want   string
		tls    string
	}{
		"STARTTLS":             {zone, isp(same), tlsOn + login() + takes + quit, nil, "relayed", "TLS 1.3, certificate verified"},
		"implicit":             {zone, isp(func(s *Smarthost) { s.TLS = TLSImplicit }), implicit + login() + takes + quit, nil, "relayed", "TLS 1.3, certificate verified"},
		"without login":        {zone, isp(func(s *Smarthost) { s.User = "" }), tlsOn + takes + quit, nil, "relayed", "TLS 1.3, certificate verified"},
		"wrong password":       {zone, isp(same), tlsOn + "< AUTH\n> 535 5.7.8 no\n" + quit, nil, "temporary auth 5.7.8 no", ""},
		"no way to sign in":    {zone, isp(same), greetS + "< STARTTLS\n> 220 go\ntls\n< EHLO\n> 250 mx\n" + quit, nil, "temporary auth 4.7.8", ""},
		"password not read":    {zone, isp(func(s *Smarthost) { s.Secret = func() (string, error) { return "", errors.New("locked") } }), tlsOn + quit, nil, "temporary auth 4.7.8", ""},
		"wants login":          {zone, isp(func(s *Smarthost) { s.User = "" }), tlsOn + "< MAIL\n< RCPT\n< DATA\n> 530 5.7.0 sign in\n> 503 x\n> 503 x\n" + quit, nil, "temporary auth 5.7.0 sign in", "TLS 1.3, certificate verified"},
		"refuses sender":       {zone, isp(same), tlsOn + login() + "< MAIL\n< RCPT\n< DATA\n> 553 5.7.1 not yours\n> 503 x\n> 503 x\n" + quit, nil, "permanent reply 5.7.1 not yours", "TLS 1.3, certificate verified"},
		"no STARTTLS":          {zone, isp(same), greet + quit, nil, "temporary tls 4.7.5", ""},
		"TLS fails":            {zone, isp(same), greetS + "< STARTTLS\n> 220 go\nclose---" + greetS + takes, nil, "temporary tls 4.7.5", ""},
		"other certificate":    {zone, isp(same), tlsOn, []string{"other.test"}, "temporary tls 4.7.5", ""},
		"other pin":            {zone, isp(func(s *Smarthost) { s.Pin = strings.Repeat("AB:", 31) + "AB" }), tlsOn, nil, "temporary tls 4.7.5", ""},
		"implicit, no TLS":     {zone, isp(func(s *Smarthost) { s.TLS = TLSImplicit }), "<octets 5\n> 220 hi\n<all", nil, "temporary tls 4.7.5", ""},
		"not there":            {mailtest.Zone{}, isp(same), "", nil, "temporary not-set-up 4.4.4", ""},
		"DNS down":             {mailtest.Zone{"A smtp.isp.test": {"SERVFAIL"}}, isp(same), "", nil, "temporary dns 4.4.3", ""},
		"cleartext, elsewhere": {zone, isp(func(s *Smarthost) { s.TLS, s.User = TLSNone, "" }), greet + takes, nil, "temporary not-set-up 4.3.5", ""},
		"cleartext, password":  {mailtest.Zone{"A smtp.isp.test": {"127.0.0.1"}}, isp(func(s *Smarthost) { s.TLS = TLSNone }), greet + takes, nil, "temporary not-set-up 4.3.5", ""},
		"no port":              {zone, isp(func(s *Smarthost) { s.Port = 0 }), greet, nil, "temporary not-set-up 4.3.5", ""},
		"no kind of TLS":       {zone, isp(func(s *Smarthost) { s.TLS = "" }), greet, nil, "temporary not-set-up 4.3.5", ""},
		"sender is taken":      {zone, isp(func(s *Smarthost) { s.From = []string{"x@isp.test", "@EXAMPLE.org"} }), tlsOn + login() + takes + quit, nil, "relayed", "TLS 1.3, certificate verified"},
		"sender is not taken":  {zone, isp(func(s *Smarthost) { s.From = []string{"anna@isp.test"} }), tlsOn, nil, "temporary not-set-up 4.7.1", ""},
		"by address":           {nil, isp(func(s *Smarthost) { s.Host = "192.168.7.7" }), tlsOn, nil, "temporary tls 4.7.5", ""}, // no such name in it
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{zone: tt.zone, servers: map[string]string{relayAddr: tt.server}, certs: map[string][]string{relayAddr: {"smtp.isp.test"}}}
			if tt.names != nil {
				w.certs[relayAddr] = tt.names
			}
			w.routes = Routes{Default: Route{Way: Via, Smarthost: "isp"}, Smarthosts: map[string]Smarthost{"isp": tt.host}}
			bubble(t, w, func(t *testing.T) {
				r := w.relay()
				outs := w.send(r, r.Hop("", "example.test", 0), message("bob@example.test"))
				if brief(outs) != tt.want || outs[0].TLS != tt.tls {
					t.Errorf("got %q: %+v", brief(outs), outs)
				}
			})
			if strings.Contains(w.log.String(), "s3cret") {
				t.Error("the password is in the log")
			}
			for _, p := range w.played[relayAddr] {
				if tt.want == "relayed" && p.Err != nil {
					t.Error(p.Err)
				} else if strings.HasPrefix(tt.want, "temporary tls") && (strings.Contains(p.Heard, "AUTH") || strings.Contains(p.Heard, "MAIL")) {
					t.Errorf("said %q", p.Heard)
				}
			}
		})
	}
}

// TestPin: a certificate that no CA has signed will do if it is the right one.
func TestPin(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.issue(t, nil, "other.test")
	host := smarthost()
	host.Pin = hash256(cert.Certificate[0])
	sec := host.security(&security{name: "smtp.isp.test"})
	if err := sec.checkPin(cert.Leaf); err != nil || sec.level != verify {
		t.Error(err)
	}
	if err := sec.checkPin(ca.cert); err == nil {
		t.Error("another certificate passes")
	}
}

// TestCleartextHere: a relay on this machine needs no TLS.
func TestCleartextHere(t *testing.T) {
	w := &world{servers: map[string]string{"127.0.0.1:2525": greetS + takes + quit}}
	w.routes = Routes{Default: Route{Way: Via, Smarthost: "here"}, Smarthosts: map[string]Smarthost{"here": {Name: "here", Host: "127.0.0.1", Port: 2525, TLS: TLSNone}}}
	bubble(t, w, func(t *testing.T) {
		if outs := w.send(w.relay(), "smarthost:here", message("bob@example.test")); brief(outs) != "relayed" || outs[0].TLS != "" {
			t.Error(outs)
		}
	})
}

func TestRoutes(t *testing.T) {
	direct, via := Route{Way: Direct}, Route{Way: Via, Smarthost: "isp"}
	then := Route{Way: DirectThenVia, Smarthost: "isp", After: 3}
	routes := Routes{Default: direct, ByDomain: map[string]Route{
		"outlook.com": via, ".example.test": via, "*.deep.example.test": direct, "retry.test": then, "off.test": {}, "once.test": {Way: DirectThenVia, Smarthost: "isp"},
	}}
	r := New(Options{Routes: func() Routes { return routes }})
	for _, tt := range []struct {
		domain string
		tries  int
		want   string
	}{
		{"gmail.com", 0, "mx:gmail.com"},
		{"Outlook.com", 0, "smarthost:isp"},
		{"sub.outlook.com", 0, "mx:sub.outlook.com"},
		{"example.test", 0, "mx:example.test"},
		{"a.example.test", 0, "smarthost:isp"},
		{"b.a.example.test", 9, "smarthost:isp"},
		{"a.deep.example.test", 0, "mx:a.deep.example.test"},
		{"retry.test", 2, "mx:retry.test"},
		{"retry.test", 3, "smarthost:isp"},
		{"once.test", 0, "mx:once.test"},
		{"once.test", 1, "smarthost:isp"},
		{"off.test", 0, "off:off.test"},
		{"[192.0.2.1]", 0, "mx:[192.0.2.1]"},
	} {
		if got := r.Hop("", tt.domain, tt.tries); got != tt.want {
			t.Errorf("%s after %d tries goes to %s, want %s", tt.domain, tt.tries, got, tt.want)
		}
	}
	if got := New(Options{}).Hop("", "example.test", 0); got != "off:example.test" {
		t.Errorf("without routes mail goes to %s", got)
	}
}

// TestSecondWay: a server that refuses us for our address is not the end if
// there is a smarthost to ask after it.
func TestSecondWay(t *testing.T) {
	for _, tt := range []struct {
		way         Way
		reply, want string
	}{
		{DirectThenVia, "550 5.7.1 listed", "temporary reply 5.7.1 listed"},
		{DirectThenVia, "550 5.1.1 nobody", "permanent reply 5.1.1 nobody"},
		{Direct, "550 5.7.1 listed", "permanent reply 5.7.1 listed"},
	} {
		w := &world{zone: oneMX(), servers: map[string]string{addr: greet + "< MAIL\n< RCPT\n< DATA\n> 250 ok\n> " + tt.reply + "\n> 503 x\n" + quit}}
		w.routes.Default = Route{Way: tt.way, Smarthost: "isp"}
		bubble(t, w, func(t *testing.T) {
			if outs := w.send(w.relay(), "mx:example.test", message("bob@example.test")); brief(outs) != tt.want {
				t.Errorf("%s: %+v", tt.way, outs)
			}
		})
	}
}

// TestNotSetUp: nothing leaves before somebody says how.
func TestNotSetUp(t *testing.T) {
	w := &world{zone: oneMX(), servers: map[string]string{addr: greet + takes}}
	w.options = func(o *Options) { o.Routes = nil }
	bubble(t, w, func(t *testing.T) {
		r := w.relay()
		for _, hop := range []string{r.Hop("", "example.test", 0), "smarthost:gone", "", "x"} {
			if outs := w.send(r, hop, message("bob@example.test", "eve@example.test")); brief(outs) != "temporary not-set-up 4.3.5, temporary not-set-up 4.3.5" {
				t.Errorf("%s: %+v", hop, outs)
			}
		}
		if len(w.dials) != 0 {
			t.Error("something was dialled")
		}
	})
}

func TestCheck(t *testing.T) {
	zone := mailtest.Zone{"A smtp.isp.test": {"192.168.7.7"}}
	for name, tt := range map[string]struct {
		zone         mailtest.Zone
		server       string
		to           mail.Path
		done, failed string
		cause        mail.Cause
	}{
		"all well":       {zone, tlsOn + login() + "< MAIL FROM:<anna@example.org>\n> 250 ok\n< RSET\n> 250 ok\n" + quit, "", "settings connect tls login sender", "", ""},
		"with recipient": {zone, tlsOn + login() + "< MAIL\n> 250 ok\n< RCPT TO:<bob@example.test>\n> 250 ok\n< RSET\n> 250 ok\n" + quit, "bob@example.test", "settings connect tls login sender recipient", "", ""},
		"no such name":   {mailtest.Zone{}, "", "", "", "settings", mail.CauseNotSetUp},
		"nobody there":   {mailtest.Zone{"A smtp.isp.test": {"192.0.2.66"}}, "", "", "settings", "connect", mail.CauseConnect},
		"silent":         {zone, nothing, "", "settings", "connect", mail.CauseTimeout},
		"no STARTTLS":    {zone, greet + quit, "", "settings connect", "tls", mail.CauseTLS},
		"wrong password": {zone, tlsOn + "< AUTH\n> 535 5.7.8 no\n" + quit, "", "settings connect tls", "login", mail.CauseAuth},
		"not my sender":  {zone, tlsOn + login() + "< MAIL\n> 553 5.7.1 no\n" + quit, "", "settings connect tls login", "sender", mail.CauseReply},
		"not there":      {zone, tlsOn + login() + "< MAIL\n> 250 ok\n< RCPT\n> 550 5.1.1 no\n" + quit, "bob@example.test", "settings connect tls login sender", "recipient", mail.CauseReply},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{zone: tt.zone, servers: map[string]string{relayAddr: tt.server}, certs: map[string][]string{relayAddr: {"smtp.isp.test"}}}
			bubble(t, w, func(t *testing.T) {
				rep := w.relay().Check(t.Context(), smarthost(), "anna@example.org", tt.to)
				var done []string
				for _, s := range rep.Done {
					done = append(done, s.Name)
				}
				if strings.Join(done, " ") != tt.done || rep.Failed != tt.failed || rep.Why.Cause != tt.cause || rep.OK != (tt.failed == "") {
					t.Errorf("%+v", rep)
				}
			})
			for _, p := range w.played[relayAddr] {
				if tt.failed == "" && p.Err != nil || strings.Contains(p.Heard, "DATA") {
					t.Errorf("%v, heard %q", p.Err, p.Heard)
				}
			}
		})
	}
}

// TestSenderRoute sends what is written from an address hosted elsewhere through
// the server there, whatever the other routes say.
func TestSenderRoute(t *testing.T) {
	r := New(Options{Routes: func() Routes {
		return Routes{Default: Route{Way: Direct}, BySender: map[mail.Path]string{"anna@isp.test": "isp"}}
	}})
	for from, want := range map[mail.Path]string{"Anna@ISP.test": "smarthost:isp", "": "mx:example.test", "anna@example.test": "mx:example.test"} {
		if got := r.Hop(from, "example.test", 0); got != want {
			t.Errorf("%q: %s, want %s", from, got, want)
		}
	}
}
