package signin

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"time"

	"github.com/xdg-go/scram"

	"homemail/store"
)

// scramExchange puts a scramServer behind sasl.Server and the Checker.
type scramExchange struct {
	e      *Exchange
	server *scramServer
	who    person
	device store.Device
	start  time.Time
	step   int
}

func newScramExchange(e *Exchange, plus bool) *scramExchange {
	x := &scramExchange{e: e}
	x.server = &scramServer{
		plus: plus, offers: true, lookup: x.lookup, bind: x.bind,
		nonce: base64.RawStdEncoding.EncodeToString(randomBytes(18)),
	}
	return x
}

// Next goes from message to message, RFC 5802 §5: client-first, client-final,
// and an empty response to server-final, as none of our protocols can send
// data along with success.
func (x *scramExchange) Next(response []byte) (challenge []byte, done bool, err error) {
	var reply string
	switch x.step++; {
	case x.step == 1 && response == nil:
		x.step = 0
		return []byte{}, false, nil
	case x.step == 1:
		x.start = time.Now()
		reply, err = x.server.first(string(response))
	case x.step == 2:
		reply, err = x.final(string(response))
	case len(response) != 0:
		err = errScramSyntax
	default:
		x.e.judged = true
		x.e.session, err = x.e.c.open(x.e.ctx, x.e.at, x.who, x.device, x.start)
		return nil, err == nil, err
	}
	return []byte(reply), false, err
}

// final checks the proof. A wrong one counts here, with the account's name.
func (x *scramExchange) final(msg string) (string, error) {
	if err := x.e.c.admit(x.e.at); err != nil { // others may have failed since client-first
		x.e.judged = true
		return "", err
	}
	reply, device, err := x.server.final(msg)
	if err == nil && x.who.account == nil {
		err = errScramProof
	}
	if err != nil {
		x.e.judged = true
		return "", x.e.c.fail(x.e.ctx, x.e.at, x.who, x.start)
	}
	x.device = device
	return reply, nil
}

// lookup finds the account's salt; a name that does not exist gets one that is
// always the same for it.
func (x *scramExchange) lookup(name, authz string) (p scramPerson, err error) {
	x.e.name = name
	if x.who, err = x.e.c.person(x.e.ctx, x.e.at, authz, name); err != nil {
		x.e.judged = true
		return p, err
	}
	p = scramPerson{salt: x.who.devices[0].Salt, iter: x.who.devices[0].Iter, devices: sharesSalt(x.who.devices)}
	if p.salt == nil {
		p.salt = mac(x.e.c.o.Secret, x.who.key)[:scramSaltBytes]
	}
	return p, nil
}

// bind returns the channel binding data of the connection. tls-unique is not
// offered: it is broken before TLS 1.3 and undefined there.
func (x *scramExchange) bind(kind string) ([]byte, error) {
	switch scram.ChannelBindingType(kind) {
	case scram.ChannelBindingTLSExporter: // RFC 9266
		b, err := scram.NewTLSExporterBinding(x.e.at.TLS)
		return b.Data, err
	case scram.ChannelBindingTLSServerEndpoint: // RFC 5929 §4
		return x.e.c.endPoint()
	}
	return nil, errScramBinding
}

var errNoCertificate = errors.New("scram: no certificate to bind to")

// endPoint is the hash of the certificate that we show.
func (c *Checker) endPoint() ([]byte, error) {
	if c.o.Certificate == nil {
		return nil, errNoCertificate
	}
	cert := c.o.Certificate()
	if cert == nil {
		return nil, errNoCertificate
	}
	b, err := scram.NewTLSServerEndpointBinding(&tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}})
	return b.Data, err
}
