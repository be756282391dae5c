package signin

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/xdg-go/scram"

	"homemail/store"
)

// vector is the example of RFC 7677 §3.
func vector(t testing.TB) *scramServer {
	salt, _ := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	first := store.Profile{Devices: []store.Device{{Salt: salt, Iter: 4096}}}
	var devices []store.Device
	for _, password := range []string{"other", "pencil", "third"} {
		d, err := NewDevice(first, password, password)
		if err != nil {
			t.Fatal(err)
		}
		devices = append(devices, d)
	}
	return &scramServer{
		nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
		bind: func(kind string) ([]byte, error) {
			if kind != "tls-exporter" {
				return nil, errScramBinding
			}
			return []byte("channel"), nil
		},
		lookup: func(name, authz string) (scramPerson, error) {
			return scramPerson{salt: salt, iter: 4096, devices: devices}, nil
		},
	}
}

const (
	vectorFirst = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
	vectorFinal = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
)

func TestScramVector(t *testing.T) {
	s := vector(t)
	got, err := s.first(vectorFirst)
	if want := "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"; got != want || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	got, d, err := s.final(vectorFinal)
	if want := "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="; got != want || err != nil || d.Name != "pencil" {
		t.Errorf("%q, %q, %v", got, d.Name, err)
	}
}

func TestScramRefuses(t *testing.T) {
	type change func(first, final string) (string, string)
	for name, c := range map[string]struct {
		change change
		want   error
	}{
		"binding in the plain one": {func(a, b string) (string, string) { return "p=tls-exporter" + a[1:], b }, errScramBinding},
		"downgrade":                {func(a, b string) (string, string) { return "y" + a[1:], b }, errScramDowngrade},
		"extension":                {func(a, b string) (string, string) { return strings.Replace(a, "n=", "m=1,n=", 1), b }, errScramSyntax},
		"bad name":                 {func(a, b string) (string, string) { return strings.Replace(a, "user", "us=er", 1), b }, errScramSyntax},
		"no nonce":                 {func(a, b string) (string, string) { return "n,,n=user,r=", b }, errScramSyntax},
		"other header":             {func(a, b string) (string, string) { return a, strings.Replace(b, "biws", "eSws", 1) }, errScramBinding},
		"other nonce":              {func(a, b string) (string, string) { return a, strings.Replace(b, "k0,", "k1,", 1) }, errScramSyntax},
		"other proof":              {func(a, b string) (string, string) { return a, strings.Replace(b, "p=d", "p=e", 1) }, errScramProof},
		"short proof":              {func(a, b string) (string, string) { return a, b[:len(b)-8] + "VQ==" }, errScramSyntax},
		"more between":             {func(a, b string) (string, string) { return a, strings.Replace(b, ",p=", ",x=1,p=", 1) }, errScramProof},
	} {
		s := vector(t)
		s.offers = true
		first, final := c.change(vectorFirst, vectorFinal)
		_, err := s.first(first)
		if err == nil {
			_, _, err = s.final(final)
		}
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestScramClient(t *testing.T) {
	for _, c := range []struct {
		plus     bool
		kind     scram.ChannelBindingType
		data     string
		password string
		ok       bool
	}{
		{false, "", "", "pencil", true},
		{false, "", "", "third", true},
		{false, "", "", "fourth", false},
		{true, scram.ChannelBindingTLSExporter, "channel", "other", true},
		{true, scram.ChannelBindingTLSExporter, "other channel", "other", false},
		{true, scram.ChannelBindingTLSUnique, "channel", "other", false},
		{true, "", "", "other", false},
	} {
		s := vector(t)
		s.offers, s.plus = true, c.plus
		client, err := scram.SHA256.NewClient("us,e=r", c.password, "")
		if err != nil {
			t.Fatal(err)
		}
		conv := client.NewConversation()
		if c.kind != "" {
			conv = client.NewConversationWithChannelBinding(scram.ChannelBinding{Type: c.kind, Data: []byte(c.data)})
		}
		err = talk(s, conv)
		if (err == nil && conv.Valid()) != c.ok {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func talk(s *scramServer, conv *scram.ClientConversation) error {
	m, err := conv.Step("")
	if err != nil {
		return err
	}
	reply, err := s.first(m)
	if err != nil {
		return err
	}
	if m, err = conv.Step(reply); err != nil {
		return err
	}
	reply, device, err := s.final(m)
	if err != nil {
		return err
	}
	if device.Name == "" {
		return errors.New("no device")
	}
	_, err = conv.Step(reply)
	return err
}

// FuzzScram: whatever a client says that does not know a password, it is
// never let in, and its name comes out as it went in.
func FuzzScram(f *testing.F) {
	f.Add(vectorFirst, vectorFinal, false)
	f.Add("p=tls-exporter,,n=a=2Cb,r=x", "c=cD10bHMtZXhwb3J0ZXIsLGNoYW5uZWw=,r=x,p=AAAA", true)
	f.Add("y,a=b,n==3D,r=~", "c=,r=,p=", false)
	s := vector(f)
	genuine := vectorFinal[strings.Index(vectorFinal, "p="):]
	f.Fuzz(func(t *testing.T, first, final string, plus bool) {
		s := *s
		s.plus, s.offers = plus, true
		reply, err := s.first(first)
		if err != nil {
			return
		}
		if !strings.HasPrefix(reply, "r=") || strings.ContainsAny(reply, "\r\n\x00") {
			t.Errorf("%q was answered %q", first, reply)
		}
		if _, _, err := s.final(final); err == nil && !(first == vectorFirst && strings.HasSuffix(final, genuine)) {
			t.Errorf("%q, %q let somebody in", first, final)
		}
	})
}
