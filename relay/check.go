package relay

import (
	"context"
	"slices"
	"time"

	"homemail/mail"
)

// checkTime bounds Check: somebody sits in front of it.
const checkTime = time.Minute

// The steps of a Check, in their order.
const (
	StepSettings  = "settings"  // the name resolves, and the settings go together
	StepConnect   = "connect"   // the server can be reached and greets
	StepTLS       = "tls"       // the connection is encrypted, the certificate good
	StepLogin     = "login"     // it takes the name and password
	StepSender    = "sender"    // it takes mail from this sender
	StepRecipient = "recipient" // it takes mail for this recipient
)

// A Step is a part of a Check that went well.
type Step struct {
	Name string     `json:"name"`
	Said mail.Reply `json:"said,omitzero"` // the server's words
	Text string     `json:"text,omitempty"`
}

// A Report is what a Check has found.
type Report struct {
	OK     bool         `json:"ok"`
	Done   []Step       `json:"done"`
	Failed string       `json:"failed,omitempty"` // the step that went wrong
	Why    mail.Outcome `json:"why,omitzero"`     // and how
}

// Check tries a smarthost that is not in use yet: it connects, signs in, names
// the sender and, unless it is empty, the recipient, and stops before a message
// would be sent. All its addresses are tried until one can be reached.
func (r *Relay) Check(ctx context.Context, s Smarthost, from, to mail.Path) Report {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	var rep Report
	p, err := r.planFor(ctx, s)
	if err != nil {
		return rep.fail(StepSettings, err)
	}
	if !s.takes(from) {
		return rep.fail(StepSettings, blocked(mail.Permanent, mail.CauseNotSetUp, "5.7.1", "the smarthost is set up not to take mail from "+string(from)))
	}
	rep.done(Step{Name: StepSettings})
	ses, err := r.reach(ctx, p)
	if err != nil {
		return rep.fail(stepOf(err), err)
	}
	defer ses.conn.Quit()
	rep.done(Step{Name: StepConnect, Text: ses.remote}, Step{Name: StepTLS, Text: ses.tls})
	if s.User != "" {
		rep.done(Step{Name: StepLogin})
	}
	next := StepSender
	err = ses.conn.Probe(ctx, from, to, func(command string, said mail.Reply) {
		if command != "RSET" {
			rep.done(Step{Name: next, Said: said})
			next = StepRecipient
		}
	})
	if err != nil {
		return rep.fail(next, err)
	}
	rep.OK = true
	return rep
}

// reach opens a session with the first address that can be reached.
func (r *Relay) reach(ctx context.Context, p *plan) (ses *session, err error) {
	h := &p.hosts[0]
	sec, err := r.secure(ctx, p, h, false)
	if err != nil {
		return nil, err
	}
	if err := h.unusable(); err != nil {
		return nil, err
	}
	for _, addr := range h.addrs[:min(len(h.addrs), maxAddresses)] {
		if ses, err = r.open(ctx, p, h, addr, sec); err == nil || outcomeOf(err).Cause != mail.CauseConnect {
			break
		}
	}
	return ses, err
}

// stepOf is the step that an error of opening a session belongs to.
func stepOf(err error) string {
	switch outcomeOf(err).Cause {
	case mail.CauseTLS, mail.CauseNeedsTLS:
		return StepTLS
	case mail.CauseAuth:
		return StepLogin
	case mail.CauseDNS, mail.CauseNotSetUp:
		return StepSettings
	}
	return StepConnect
}

func (rep *Report) done(steps ...Step) { rep.Done = append(rep.Done, steps...) }

// fail ends a report. The steps before the one that failed went well.
func (rep Report) fail(step string, err error) Report {
	opening := []string{StepSettings, StepConnect, StepTLS, StepLogin}
	for _, name := range opening[:max(slices.Index(opening, step), 0)] {
		if !slices.ContainsFunc(rep.Done, func(s Step) bool { return s.Name == name }) {
			rep.done(Step{Name: name})
		}
	}
	rep.Failed, rep.Why = step, outcomeOf(err)
	return rep
}
