package arc

import (
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"
	"time"

	"homemail/mail"
	"homemail/mailauth/rfc6376"
)

// SealOptions say who seals.
type SealOptions struct {
	Domain, Selector string
	Key              crypto.Signer // RSA or Ed25519
	AuthServID       string        // names us, RFC 8601 §2.5
	ClockTrusted     bool          // else no t= is written
}

// What a Sealer can say.
var (
	errSealKey = errors.New("sealing needs a domain, a selector, a name of ours and a key")
	errResults = errors.New("authentication results have a line that cannot stand in a header")
)

// A Sealer takes one message as it will leave and makes the ARC set that goes
// on top of it, RFC 8617 §5.1.
type Sealer struct {
	o       SealOptions
	divider rfc6376.Divider
	body    *rfc6376.Body
	hash    hash.Hash
}

// NewSealer returns a Sealer for one message.
func NewSealer(o SealOptions) *Sealer {
	s := &Sealer{o: o, hash: sha256.New()}
	s.body = rfc6376.NewBody(s.hash, true)
	s.divider.Body = func([]byte) io.Writer { return s.body }
	return s
}

// Write takes the next bytes of the message. It never fails.
func (s *Sealer) Write(p []byte) (int, error) { return s.divider.Write(p) }

// Seal ends the message and returns three fields to put above it. The chain is
// the outcome of the validation on arrival; results is what follows our name
// in an Authentication-Results field, "spf=pass ...; dkim=pass ...", and may
// be folded.
//
// Nothing is returned where no seal may be added: on a chain that is sealed as
// failed or has 50 sets, and while the validation could not be done: the chain
// below may well hold for the next hop.
func (s *Sealer) Seal(chain Chain, results string) ([]byte, error) {
	if s.o.Domain == "" || s.o.Selector == "" || s.o.AuthServID == "" || s.o.Key == nil {
		return nil, errSealKey
	}
	if err := errors.Join(s.divider.Close(), s.body.Close()); err != nil {
		return nil, err
	}
	header := s.divider.Header()
	if err := rfc6376.CheckTop(header); err != nil {
		return nil, err
	}
	fields := rfc6376.Fields(header)
	sets, bad := collect(fields)
	if failed(sets) || len(sets) >= maxSets || chain.Result == mail.ResultTempError {
		return nil, nil
	}
	cv := "pass"
	switch {
	case bad != nil || chain.Sets != len(sets): // also a chain that is not this message's
		cv = "fail"
	case len(sets) == 0 && chain.Result == mail.ResultNone:
		cv = "none"
	case chain.Result != mail.ResultPass:
		cv = "fail"
	}
	own, err := s.make(fields, sets, cv, results)
	if err != nil {
		return nil, err
	}
	return append(append(own.seal, own.message...), own.results...), nil
}

func (s *Sealer) make(fields []rfc6376.Field, sets []set, cv, results string) (own set, err error) {
	i := strconv.Itoa(len(sets) + 1)
	if own.results, err = s.results(i, results); err != nil {
		return own, err
	}
	if own.message, err = s.message(i, fields); err != nil {
		return own, err
	}
	tags := s.tags(i)
	own.seal = rfc6376.Compose("ARC-Seal", append(tags, rfc6376.Tag{Name: "cv", Value: cv}))
	if cv == "fail" {
		sets = nil // RFC 8617 §5.1.2: as if ours were the only one
	}
	var chosen []rfc6376.Field
	for _, set := range sets {
		chosen = append(chosen, set.results, set.message, set.seal)
	}
	chosen = append(chosen, own.results, own.message)
	b, err := rfc6376.Sign(s.o.Key, rfc6376.Digest(chosen, own.seal, true))
	if err != nil {
		return own, fmt.Errorf("seal: %w", err)
	}
	own.seal = own.seal.Sign(b)
	return own, nil
}

// results is an ARC-Authentication-Results, RFC 8617 §4.1.1.
func (s *Sealer) results(i, results string) (rfc6376.Field, error) {
	if strings.Trim(results, " \t\r\n;") == "" {
		results = "none" // RFC 8601 §2.2
	}
	f := "ARC-Authentication-Results: i=" + i + "; " + s.o.AuthServID + ";\r\n\t" +
		strings.TrimLeft(strings.TrimRight(results, " \t\r\n"), " \t\r\n") + "\r\n"
	return rfc6376.Field(f), checkLines(f)
}

// checkLines makes sure that a field is one field: each line but the first is
// a continuation that is not blank, and none is longer than RFC 5322 §2.1.1
// allows.
func checkLines(field string) error {
	const maxLine = 998
	for n, line := range strings.Split(strings.TrimSuffix(field, "\r\n"), "\r\n") {
		folded := strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")
		if folded != (n > 0) || strings.Trim(line, " \t") == "" || len(line) > maxLine || strings.ContainsAny(line, "\r\n\x00") {
			return errResults
		}
	}
	return nil
}

// message is an ARC-Message-Signature, RFC 8617 §4.1.2.
func (s *Sealer) message(i string, fields []rfc6376.Field) (rfc6376.Field, error) {
	signed := signedFields(fields)
	tags := append(s.tags(i),
		rfc6376.Tag{Name: "c", Value: "relaxed/relaxed"},
		rfc6376.Tag{Name: "h", Value: strings.Join(signed, ":")},
		rfc6376.Tag{Name: "bh", Value: base64.StdEncoding.EncodeToString(s.hash.Sum(nil))})
	f := rfc6376.Compose("ARC-Message-Signature", tags)
	b, err := rfc6376.Sign(s.o.Key, rfc6376.Digest(rfc6376.Select(fields, signed), f, true))
	if err != nil {
		return nil, fmt.Errorf("message signature: %w", err)
	}
	return f.Sign(b), nil
}

func (s *Sealer) tags(i string) []rfc6376.Tag {
	tags := []rfc6376.Tag{{Name: "i", Value: i}, {Name: "a", Value: rfc6376.AlgorithmOf(s.o.Key)},
		{Name: "d", Value: s.o.Domain}, {Name: "s", Value: s.o.Selector}}
	if s.o.ClockTrusted {
		tags = append(tags, rfc6376.Tag{Name: "t", Value: strconv.FormatInt(time.Now().Unix(), 10)})
	}
	return tags
}

// signable are the fields that an ARC-Message-Signature covers where they are
// present. No Authentication-Results and no seal may be among them, RFC 8617
// §4.1.2; fields that are not here may change on the way.
var signable = []string{"from", "to", "cc", "subject", "date", "reply-to", "sender", "message-id", "in-reply-to", "references",
	"mime-version", "content-type", "content-transfer-encoding", "content-id", "content-description", "content-language",
	"list-id", "list-help", "list-post", "list-subscribe", "list-unsubscribe", "list-unsubscribe-post", "list-owner", "list-archive",
	"dkim-signature"}

// signedFields lists the names for h=, From always, each as often as it is
// there, and no more than a verifier such as ours takes.
func signedFields(fields []rfc6376.Field) []string {
	count := make(map[string]int)
	for _, f := range fields {
		count[f.Name()]++
	}
	count["from"] = max(count["from"], 1)
	var names []string
	for _, name := range signable {
		for range count[name] {
			names = append(names, name)
		}
	}
	return names[:min(len(names), maxSigned)]
}
