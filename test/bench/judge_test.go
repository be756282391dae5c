package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"
	"github.com/emersion/go-smtp"

	"homemail/deliver"
	"homemail/internal/mailtest"
	"homemail/internal/storetest"
	"homemail/mail"
	"homemail/mailauth"
	"homemail/resolver"
	"homemail/smtpd"
	"homemail/store"
)

// A judge lets smtpd see a Checker's Checks as its own, as the program does.
type judge struct {
	c        *mailauth.Checker
	verdicts chan mail.Verdict
}

func (j judge) Begin(ctx context.Context, remote netip.Addr, helo string, from mail.Path) smtpd.Judgement {
	return judgement{j.c.Begin(ctx, mailauth.Origin{Remote: remote, Helo: helo, From: from}), j.verdicts}
}

func (judge) Forged(value []byte) bool { return mailauth.Forged(value, "mail.house.test") }

type judgement struct {
	*mailauth.Check
	verdicts chan mail.Verdict
}

func (k judgement) Verdict() (mail.Verdict, []byte) {
	v := k.Check.Verdict()
	k.verdicts <- v
	return v, mailauth.Results("mail.house.test", v)
}

// A directory lets smtpd see an Agent's Transactions as its own.
type directory struct{ *deliver.Agent }

func (d directory) Begin(from mail.Path, by mail.AccountID) smtpd.Transaction {
	return d.Agent.Begin(from, by)
}

// BenchmarkJudge brings messages of 50 KiB with one signature through a door
// with a judge and, by turns, through one without. The answers of the DNS are
// in the cache. What is told is the median from MAIL to the last reply.
func BenchmarkJudge(b *testing.B) {
	const warm, count = 20, 300
	s := storetest.Open(b, b.TempDir(), nil)
	must(b, s.AddDomain("house.test"))
	_, err := s.AddAccount(store.Profile{Address: anna, Language: "en"})
	must(b, err)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(b, err)
	names := resolver.New(resolver.Options{Server: mailtest.ServeDNS(b, farZone(b, key))})
	j := judge{mailauth.New(mailauth.Options{Host: "mail.house.test", Resolver: names}), make(chan mail.Verdict, 1)}
	doors := []*smtp.Client{door(b, s, nil), door(b, s, j)}
	for b.Loop() {
		var took [2][]time.Duration
		for n := range warm + count {
			for i, c := range doors {
				text := signed(b, key, letterFrom("carl@far.test", 50<<10))
				began := time.Now()
				must(b, client{c}.sendAs("carl@far.test", anna, text))
				if n >= warm {
					took[i] = append(took[i], time.Since(began))
				}
			}
			if v := <-j.verdicts; v.SPF.Result != mail.ResultPass || v.DKIM[0].Result != mail.ResultPass || v.DMARC.Result != mail.ResultPass {
				b.Fatalf("%+v", v)
			}
		}
		slices.Sort(took[0])
		slices.Sort(took[1])
		for _, at := range []int{50, 95} {
			without, with := ms(took[0][count*at/100]), ms(took[1][count*at/100])
			b.ReportMetric(without, fmt.Sprintf("ms-p%d-without", at))
			b.ReportMetric(with, fmt.Sprintf("ms-p%d-judged", at))
			b.ReportMetric(with-without, fmt.Sprintf("ms-p%d-added", at))
		}
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// farZone is the DNS of a domain whose mail comes from this machine.
func farZone(b *testing.B, key *rsa.PrivateKey) mailtest.Zone {
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	must(b, err)
	return mailtest.Zone{
		"TXT far.test":               {"v=spf1 include:spf.far.test -all"},
		"TXT spf.far.test":           {"v=spf1 ip4:127.0.0.1 -all"},
		"TXT _dmarc.far.test":        {"v=DMARC1; p=reject"},
		"TXT s1._domainkey.far.test": {"v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(public)},
		"PTR 127.0.0.1":              {"mx.far.test"},
		"A mx.far.test":              {"127.0.0.1"},
		"MX far.test":                {"10 mx.far.test"},
	}
}

// door opens a door for mail of strangers, and a session there.
func door(b *testing.B, s *store.Store, j smtpd.Judge) *smtp.Client {
	quiet := slog.New(slog.DiscardHandler)
	agent := deliver.New(s, deliver.Options{Host: "mail.house.test", Log: quiet})
	server := smtpd.New(smtpd.Options{Host: "mail.house.test", Directory: directory{agent}, Judge: j, Log: quiet, MaxSize: 1 << 20, MaxRecipients: 10})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(b, err)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { server.Serve(ctx, l) })
	c, err := smtp.Dial(l.Addr().String())
	must(b, err)
	b.Cleanup(func() {
		c.Quit()
		cancel()
		wg.Wait()
	})
	must(b, c.Hello("mx.far.test"))
	return c
}

func signed(b *testing.B, key *rsa.PrivateKey, text string) string {
	var out bytes.Buffer
	must(b, dkim.Sign(&out, strings.NewReader(text), &dkim.SignOptions{Domain: "far.test", Selector: "s1", Signer: key,
		HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed}))
	return out.String()
}
