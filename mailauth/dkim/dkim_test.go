package dkim

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	msgauth "github.com/emersion/go-msgauth/dkim"

	"homemail/mail"
)

// records is a DNS with TXT records only.
type records map[string][]string

func (r records) LookupTXT(_ context.Context, name string) ([]string, error) {
	list, ok := r[name]
	switch {
	case !ok:
		return nil, &net.DNSError{Name: name, IsNotFound: true}
	case list[0] == "SERVFAIL":
		return nil, &net.DNSError{Name: name, IsTemporary: true}
	}
	return list, nil
}

// verify verifies a message that comes in in pieces.
func verify(t testing.TB, dns records, now func() time.Time, message string) []mail.Signature {
	t.Helper()
	v := NewVerifier(t.Context(), Options{LookupTXT: dns.LookupTXT, Now: now})
	header, body := cutMessage(message)
	v.SetHeader([]byte(header), true)
	for b := []byte(body); len(b) > 0; {
		n := min(len(b), 61)
		v.Write(b[:n])
		b = b[n:]
	}
	return v.Results(t.Context())
}

func cutMessage(message string) (header, body string) {
	if i := strings.Index(message, "\r\n\r\n"); i >= 0 {
		return message[:i+4], message[i+4:]
	}
	return message, ""
}

// keys are the same in every process, for the fuzzer's sake.
var keys = sync.OnceValue(func() (k struct {
	rsa *rsa.PrivateKey
	ed  ed25519.PrivateKey
}) {
	b, err := os.ReadFile("testdata/rsa.pem")
	if err != nil {
		panic(err)
	}
	block, _ := pem.Decode(b)
	if k.rsa, err = x509.ParsePKCS1PrivateKey(block.Bytes); err != nil {
		panic(err)
	}
	k.ed = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	return k
})

func spki(pub any) string {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

func rsaRecord() string { return "v=DKIM1; k=rsa; p=" + spki(&keys().rsa.PublicKey) }

// zone has the keys of the tests.
func zone() records {
	return records{
		"rsa._domainkey.example.com": {rsaRecord()},
		"ed._domainkey.example.com":  {"v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(keys().ed.Public().(ed25519.PublicKey))},
	}
}

const (
	testHeader = "From: Joe <joe@example.com>\r\nTo: suzie@example.net\r\nSubject:  Is dinner\r\n\t ready? \r\nDate: Fri, 11 Jul 2003 21:00:37 -0700\r\n"
	testBody   = "Hi.\r\n\r\nWe lost the  game.\t \r\nAre you hungry yet?\r\n\r\n \r\n\r\n"
	testTags   = "v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=rsa; h=from:to:subject:date; "
)

// sign is a signer of few words that shares no code with the verifier. The
// tags are without bh= and b=.
func sign(tags, header, body string) string {
	get := func(name, without string) string {
		if m := regexp.MustCompile(`(?:^|;)\s*` + name + `=([^;]*)`).FindStringSubmatch(tags); m != nil {
			return m[1]
		}
		return without
	}
	c := strings.Split(get("c", "simple")+"/simple", "/")
	canonical := plainBody(c[1], body)
	if l := get("l", ""); l != "" {
		var n int
		fmt.Sscan(l, &n)
		canonical = canonical[:min(n, len(canonical))]
	}
	bh := sha256.Sum256([]byte(canonical))
	field := "DKIM-Signature: " + tags + " bh=" + base64.StdEncoding.EncodeToString(bh[:]) + "; b="
	var signed strings.Builder
	fields := regexp.MustCompile(`(?m)^[^ \t].*\r\n(?:[ \t].*\r\n)*`).FindAllString(header, -1)
	for _, name := range strings.Split(get("h", ""), ":") {
		for i := len(fields) - 1; i >= 0; i-- {
			got, _, _ := strings.Cut(fields[i], ":")
			if strings.EqualFold(strings.TrimSpace(got), strings.TrimSpace(name)) {
				signed.WriteString(plainField(c[0], fields[i]))
				fields = slices.Delete(fields, i, i+1)
				break
			}
		}
	}
	signed.WriteString(strings.TrimSuffix(plainField(c[0], field+"\r\n"), "\r\n"))
	digest := sha256.Sum256([]byte(signed.String()))
	var b []byte
	if strings.HasPrefix(get("a", ""), "ed25519") {
		b = ed25519.Sign(keys().ed, digest[:])
	} else {
		b, _ = rsa.SignPKCS1v15(nil, keys().rsa, crypto.SHA256, digest[:])
	}
	return field + base64.StdEncoding.EncodeToString(b) + "\r\n" + header + "\r\n" + body
}

func plainField(c, field string) string {
	if c == "simple" {
		return field
	}
	name, value, _ := strings.Cut(field, ":")
	return strings.ToLower(strings.TrimRight(name, " \t")) + ":" + strings.Join(strings.Fields(value), " ") + "\r\n"
}

func plainBody(c, body string) string {
	if c == "relaxed" {
		body = regexp.MustCompile(`[ \t]+`).ReplaceAllString(body, " ")
		body = strings.ReplaceAll(body, " \r\n", "\r\n")
	}
	for strings.HasSuffix(body, "\r\n") {
		body = strings.TrimSuffix(body, "\r\n")
	}
	if body == "" && c == "relaxed" {
		return ""
	}
	return body + "\r\n"
}

// TestRFCExamples verifies the examples of the RFCs.
func TestRFCExamples(t *testing.T) {
	dns := records{
		"brisbane._domainkey.example.com":          {"v=DKIM1; p=" + rfc6376Key},
		"test._domainkey.football.example.com":     {"v=DKIM1; k=rsa; p=" + rfc8463Key},
		"brisbane._domainkey.football.example.com": {"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="},
	}
	for file, want := range map[string]string{
		"rfc6376-a2.eml": "[pass example.com brisbane rsa-sha256 AuUoFEfD]",
		"rfc8463-a3.eml": "[pass football.example.com brisbane ed25519-sha256 /gCrinpc pass football.example.com test rsa-sha256 F45dVWDf]",
	} {
		b, err := os.ReadFile("testdata/" + file)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range verify(t, dns, time.Now, string(b)) {
			got = append(got, string(s.Result), s.Domain, s.Selector, s.Algorithm, s.Start)
			if s.Reason != "" {
				t.Errorf("%s: %s", file, s.Reason)
			}
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%s: %v, want %s", file, got, want)
		}
	}
}

// The RSA keys of RFC 6376 appendix C and RFC 8463 appendix A.2.
const rfc8463Key = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutAC" +
	"DfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB"
const rfc6376Key = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYtIxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v" +
	"/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB"

// Short names for the tables.
const (
	pass    = mail.ResultPass
	fail    = mail.ResultFail
	perm    = mail.ResultPermError
	temp    = mail.ResultTempError
	neutral = mail.ResultNeutral
)

// A tagTest is a signature with these tags, and what is to come of it.
type tagTest struct {
	name, tags string
	key        string // for the RSA selector; "" for the usual
	want       mail.Result
}

func change(old, new string) string { return strings.Replace(testTags, old, new, 1) }

// TestTags goes through RFC 6376 §3.5 and §6.1.1 tag by tag.
func TestTags(t *testing.T) {
	runTags(t, []tagTest{
		{"relaxed/relaxed", testTags, "", pass},
		{"simple/simple", change("relaxed/relaxed", "simple/simple"), "", pass},
		{"relaxed/simple", change("relaxed/relaxed", "relaxed"), "", pass},
		{"simple/relaxed", change("relaxed/relaxed", "simple/relaxed"), "", pass},
		{"no c=", change("c=relaxed/relaxed; ", ""), "", pass},
		{"c= unknown", change("relaxed/relaxed", "relaxed/nofws"), "", perm},
		{"ed25519", change("a=rsa-sha256", "a=ed25519-sha256"), "", fail}, // the key is RSA
		{"ed25519 with its key", strings.Replace(change("a=rsa-sha256", "a=ed25519-sha256"), "s=rsa", "s=ed", 1), "", pass},
		{"rsa-sha1", change("rsa-sha256", "rsa-sha1"), "", perm},
		{"ed25519-sha1", change("rsa-sha256", "ed25519-sha1"), "", perm},
		{"no v=", change("v=1; ", ""), "", perm},
		{"v=2", change("v=1", "v=2"), "", perm},
		{"no h=", change("h=from:to:subject:date; ", ""), "", perm},
		{"h= empty", change("h=from:to:subject:date", "h="), "", perm},
		{"h= without From", change("h=from:to:subject:date", "h=to:subject"), "", perm},
		{"h= with an empty name", change("h=from:to:subject:date", "h=from::to"), "", perm},
		{"h= oversigned", change("h=from:to:subject:date", "h=from:from:to:cc:subject:subject:date:date"), "", pass},
		{"h= with spaces", change("h=from:to:subject:date", "h=From : To:\r\n\tSubject : Date"), "", pass},
		{"h= names 50", change("h=from", "h="+strings.Repeat("x:", 46)+"from"), "", pass},
		{"h= names 51", change("h=from", "h="+strings.Repeat("x:", 47)+"from"), "", perm},
		{"tag twice", testTags + "d=evil.test; ", "", perm},
		{"capital tags", change("d=example.com", "D=example.com"), "", perm},
		{"i= within", testTags + "i=joe@sub.example.com; ", "", pass},
		{"i= without local part", testTags + "i=@example.com; ", "", pass},
		{"i= elsewhere", testTags + "i=joe@evil.test; ", "", perm},
		{"i= looks like it", testTags + "i=joe@notexample.com; ", "", perm},
		{"i= without @", testTags + "i=example.com; ", "", perm},
		{"q=dns/txt", testTags + "q=dns/txt; ", "", pass},
		{"q= with a choice", testTags + "q=http:dns/txt; ", "", pass},
		{"q= unknown", testTags + "q=http; ", "", perm},
		{"z= with b=", testTags + "z=Subject:b=3Dx|(hi\\; ", "", pass},
		{"unknown tag", testTags + "zz=1; xb=2; ", "", pass},
		{"d= of one label", change("d=example.com", "d=com"), "", perm},
		{"d= no domain", change("d=example.com", "d=exa mple..com"), "", perm},
		{"s= no name", change("s=rsa", "s=-_!"), "", perm},
		{"no key", change("s=rsa", "s=other"), "", perm},
		{"resolver fails", change("s=rsa", "s=broken"), "", temp},
	})
}

// TestNumbers has the tags that are numbers.
func TestNumbers(t *testing.T) {
	runTags(t, []tagTest{
		{"x= to come", testTags + "x=1767323100; ", "", pass},
		{"x= over", testTags + "x=1767323044; ", "", perm},
		{"x= before t=", testTags + "t=1767323300; x=1767323200; ", "", perm},
		{"t= past", testTags + "t=1; ", "", pass},
		{"t= an hour ahead", testTags + "t=1767326645; ", "", pass},
		{"t= a week ahead", testTags + "t=1767927845; ", "", perm},
		{"t= no number", testTags + "t=now; ", "", perm},
		{"t= negative", testTags + "t=-1; ", "", perm},
		{"x= huge", testTags + "x=99999999999999999999999; ", "", perm},
		{"l= of all", testTags + fmt.Sprintf("l=%d; ", len(plainBody("relaxed", testBody))), "", pass},
		{"l= of a part", testTags + "l=10; ", "", neutral},
		{"l= of nothing", testTags + "l=0; ", "", neutral},
		{"l= over the end", testTags + "l=1000; ", "", perm},
		{"l= no number", testTags + "l=1x; ", "", perm},
	})
}

// TestKeys goes through RFC 6376 §3.6.1.
func TestKeys(t *testing.T) {
	runTags(t, []tagTest{
		{"key without v=", testTags, "p=" + spki(&keys().rsa.PublicKey), pass},
		{"key, bare", testTags, "v=DKIM1; p=" + base64.StdEncoding.EncodeToString(x509.MarshalPKCS1PublicKey(&keys().rsa.PublicKey)), pass},
		{"key, v= not first", testTags, "k=rsa; v=DKIM1; p=" + spki(&keys().rsa.PublicKey), perm},
		{"key, v=dkim1", testTags, strings.Replace(rsaRecord(), "DKIM1", "dkim1", 1), perm},
		{"key revoked", testTags, "v=DKIM1; p=", perm},
		{"key without p=", testTags, "v=DKIM1; k=rsa", perm},
		{"key, p= twice", testTags, rsaRecord() + "; p=", perm},
		{"key with blanks", testTags, strings.Replace(rsaRecord(), "MII", "M I\tI", 1), pass},
		{"key, s=email", testTags, rsaRecord() + "; s=email:other", pass},
		{"key, s=other", testTags, rsaRecord() + "; s=tlsrpt", perm},
		{"key, h=sha256", testTags, rsaRecord() + "; h=sha1:sha256", pass},
		{"key, h=sha1", testTags, rsaRecord() + "; h=sha1", fail},
		{"key, t=s", testTags + "i=@example.com; ", rsaRecord() + "; t=s", pass},
		{"key, t=s and i= below", testTags + "i=@sub.example.com; ", rsaRecord() + "; t=s", perm},
		{"key, t=y", testTags, rsaRecord() + "; t=y", pass},
		{"key unknown", testTags, strings.Replace(rsaRecord(), "k=rsa", "k=dsa", 1), perm},
		{"key of another kind", testTags, "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", fail},
		{"key, notes", testTags, rsaRecord() + "; n=it's (not)\\ bad", pass},
		{"key, too long", testTags, rsaRecord() + "; n=" + strings.Repeat("x", 5000), perm},
	})
}

func runTags(t *testing.T, tests []tagTest) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tt := range tests {
		dns := zone()
		dns["broken._domainkey.example.com"] = []string{"SERVFAIL"}
		if tt.key != "" {
			dns["rsa._domainkey.example.com"] = []string{tt.key}
		}
		got := verify(t, dns, func() time.Time { return now }, sign(tt.tags, testHeader, testBody))
		if len(got) != 1 || got[0].Result != tt.want {
			t.Errorf("%s: got %+v, want %s", tt.name, got, tt.want)
		}
		if partial := tt.want == neutral; len(got) == 1 && got[0].Partial != partial {
			t.Errorf("%s: partial is %v", tt.name, got[0].Partial)
		}
	}
}

// TestUntrustedClock: without a clock nothing is too old or too new.
func TestUntrustedClock(t *testing.T) {
	for _, tags := range []string{"t=1; x=2; ", "t=99999999999; "} {
		if got := verify(t, zone(), nil, sign(testTags+tags, testHeader, testBody)); got[0].Result != mail.ResultPass {
			t.Errorf("%s: %+v", tags, got)
		}
	}
}

// TestIDN: d= and s= may be U-labels, RFC 8616 §5.
func TestIDN(t *testing.T) {
	tags := strings.NewReplacer("d=example.com", "d=Bücher.example", "s=rsa", "s=schlüssel").Replace(testTags) + "i=jürgen@neu.bücher.example; "
	dns := records{"xn--schlssel-95a._domainkey.xn--bcher-kva.example": {rsaRecord()}}
	if got := verify(t, dns, time.Now, sign(tags, testHeader, testBody)); got[0].Result != mail.ResultPass || got[0].Domain != "xn--bcher-kva.example" {
		t.Errorf("got %+v", got)
	}
}

func TestChanges(t *testing.T) {
	good := sign(testTags, testHeader, testBody)
	for _, tt := range []struct {
		old, new string
		want     mail.Result
	}{
		{"", "", mail.ResultPass},
		{"Joe <joe@", "Eve <eve@", mail.ResultFail},
		{"hungry", "thirsty", mail.ResultFail},
		{"Subject:  Is", "subject : Is", mail.ResultPass},                    // relaxed
		{"\r\n\r\nHi", "\r\nCc: eve@example.org\r\n\r\nHi", mail.ResultPass}, // not signed
		{"From: ", "From: eve@evil.test\r\nFrom: ", mail.ResultPass},         // the door refuses two
		{"To: ", "From: eve@evil.test\r\nTo: ", mail.ResultFail},
		{"; b=", "; b=AAAA", mail.ResultFail},
		{"; b=", "; b=!", mail.ResultPermError},
		{" bh=", " bh=AA", mail.ResultPermError},
		{"yet?\r\n", "yet?\r\nP.S.\r\n", mail.ResultFail},
		{"d=example.com", "d=example.net", mail.ResultPermError},
	} {
		got := verify(t, zone(), time.Now, strings.Replace(good, tt.old, tt.new, 1))
		if got[0].Result != tt.want {
			t.Errorf("%q for %q: %+v", tt.new, tt.old, got[0])
		}
	}
	for _, line := range []string{"\xa0, eve@evil.test", "\x0b, eve@evil.test", "\u3000, eve@evil.test", ", eve@evil.test", "x y: eve@evil.test", "From\r\n : eve@evil.test"} {
		got := verify(t, zone(), time.Now, strings.Replace(good, "To: ", line+"\r\nTo: ", 1))
		if got[0].Result != mail.ResultPermError {
			t.Errorf("%q below From: %+v", line, got[0])
		}
	}
	if got := verify(t, zone(), time.Now, ">From joe Fri Jul 11 2003\r\n"+good); got[0].Result != mail.ResultPass {
		t.Errorf("from an mbox: %+v", got[0])
	}
	testing := zone()
	testing["rsa._domainkey.example.com"][0] += "; t=y"
	if got := verify(t, testing, time.Now, strings.Replace(good, "hungry", "thirsty", 1)); got[0].Result != mail.ResultNeutral {
		t.Errorf("a domain that is testing: %+v", got)
	}
}

// TestRow19Bounds is row 19 of the immunity list: 8 signatures, RSA of 1,024 to
// 4,096 bits, 50 ms.
func TestRow19Bounds(t *testing.T) {
	one := sign(testTags, testHeader, testBody)
	field := one[:strings.Index(one, "From:")]
	if got := verify(t, zone(), time.Now, strings.Repeat(field, 20)+one); len(got) != 9 ||
		got[7].Result != mail.ResultPass || got[8].Result != mail.ResultPermError {
		t.Errorf("21 signatures: %+v", got)
	}
	for _, bits := range []int{1023, 4097, 16384, 65536} {
		n := make([]byte, (bits+7)/8)
		n[0], n[len(n)-1] = 1<<uint((bits-1)%8), 1
		pub := &rsa.PublicKey{E: 65537}
		pub.N = new(big.Int).SetBytes(n)
		dns := records{"rsa._domainkey.example.com": {"v=DKIM1; p=" + spki(pub)}}
		best := time.Hour // of a few: other tests run beside
		for range 5 {
			began := time.Now()
			got := verify(t, dns, time.Now, one)
			best = min(best, time.Since(began))
			if got[0].Result != mail.ResultPermError {
				t.Errorf("%d bits: %+v", bits, got)
			}
		}
		if best > slow*50*time.Millisecond {
			t.Errorf("%d bits took %v", bits, best)
		}
	}
	many := records{"rsa._domainkey.example.com": slices.Repeat([]string{rsaRecord()}, 3)}
	if got := verify(t, many, time.Now, one); got[0].Result != mail.ResultPermError {
		t.Errorf("three keys: %+v", got)
	}
	other := records{"rsa._domainkey.example.com": {"hello", rsaRecord()}}
	if got := verify(t, other, time.Now, one); got[0].Result != mail.ResultPass {
		t.Errorf("a record beside the key: %+v", got)
	}
}

// TestRow19CPU: 8 signatures with the largest keys over 50 large fields.
func TestRow19CPU(t *testing.T) {
	key := rsa.PublicKey{N: new(big.Int).SetBytes(bytes.Repeat([]byte{0xab}, 512)), E: 1<<31 - 1} // nobody's
	header := strings.Repeat("X: "+strings.Repeat("a  b ", 800)+"\r\n", 40) + testHeader
	tags := strings.Replace(testTags, "h=", "h="+strings.Repeat("x:", 46), 1)
	one := sign(tags, header, testBody)
	field := one[:strings.Index(one, "X:")]
	wrong := regexp.MustCompile(`b=[A-Za-z0-9+/=]*\r\n$`).ReplaceAllString(field, "b="+base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1}, 512))+"\r\n")
	dns := records{"rsa._domainkey.example.com": {"v=DKIM1; p=" + spki(&key)}}
	best := time.Hour // of a few: other tests run beside
	for range 5 {
		began := time.Now()
		got := verify(t, dns, time.Now, strings.Repeat(wrong, 8)+one[len(field):])
		best = min(best, time.Since(began))
		if len(got) != 8 || got[7].Result != mail.ResultFail {
			t.Fatalf("got %+v", got)
		}
	}
	t.Logf("8 signatures took %v", best)
	if best > slow*50*time.Millisecond {
		t.Errorf("8 signatures took %v", best)
	}
}

// TestMemoryIsFlat verifies bodies of 20 MB that are hard to keep.
func TestMemoryIsFlat(t *testing.T) {
	const size = 20 << 20
	for name, piece := range map[string]string{"blank lines": "\r\n", "spaces": "        ", "text": "hello  world\r\n", "one line": "abcdefgh"} {
		for _, c := range []string{"simple/simple", "relaxed/relaxed"} {
			tags := strings.Replace(testTags, "relaxed/relaxed", c, 1)
			header, _ := cutMessage(sign(tags, testHeader, ""))
			v := NewVerifier(t.Context(), Options{LookupTXT: zone().LookupTXT})
			v.SetHeader([]byte(header), true)
			block := []byte(strings.Repeat(piece, 4096/len(piece)))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			began := time.Now()
			for n := 0; n < size; n += len(block) {
				v.Write(block)
			}
			took := time.Since(began)
			runtime.ReadMemStats(&after)
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
				t.Errorf("%s, %s: %d bytes allocated", name, c, grown)
			}
			if took > 3*time.Second {
				t.Errorf("%s, %s: took %v", name, c, took)
			}
			v.Results(t.Context())
		}
	}
}

// FuzzVerify holds us against go-msgauth: what we let pass, it lets pass too.
func FuzzVerify(f *testing.F) {
	for _, c := range []string{"simple/simple", "relaxed/relaxed", "simple/relaxed", "relaxed/simple"} {
		f.Add(sign(strings.Replace(testTags, "relaxed/relaxed", c, 1), testHeader, testBody), uint16(0), byte(0), "")
		f.Add(sign(strings.Replace(testTags, "relaxed/relaxed", c, 1), testHeader, testBody), uint16(120), byte('x'), "\r\n ")
	}
	f.Add("DKIM-Signature: v=1\r\n\r\n", uint16(3), byte(0), "")
	f.Fuzz(func(t *testing.T, message string, at uint16, c byte, insert string) {
		if i := int(at); i > 0 && i < len(message) {
			message = message[:i] + string(c) + insert + message[i+1:]
		}
		if strings.ContainsAny(strings.ReplaceAll(message, "\r\n", ""), "\r\n") || len(message) > 1<<16 {
			return // the door lets none in
		}
		ours := verify(t, zone(), nil, message)
		theirs, _ := msgauth.VerifyWithOptions(strings.NewReader(message), &msgauth.VerifyOptions{
			LookupTXT: func(name string) ([]string, error) { return zone().LookupTXT(t.Context(), name) }})
		if len(theirs) < len(ours) {
			return // it reads no message without a body
		}
		for i, s := range ours {
			if s.Result == mail.ResultPass && theirs[i].Err != nil && !strings.Contains(theirs[i].Err.Error(), "length tag") &&
				!strings.Contains(theirs[i].Err.Error(), "expired") {
				t.Errorf("passes with us, with go-msgauth %v:\n%q", theirs[i].Err, message)
			}
			if s.Result != mail.ResultPass && theirs[i].Err == nil && s.Reason == "the body was changed" {
				t.Errorf("%s with us (%s), passes with go-msgauth:\n%q", s.Result, s.Reason, message)
			}
		}
	})
}
