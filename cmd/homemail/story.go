package main

import (
	"cmp"

	"homemail/bridge"
	"homemail/check"
	"homemail/deliver"
	"homemail/events"
	"homemail/mail"
	"homemail/session"
	"homemail/signin"
	"homemail/smtpd"
	"homemail/store"
)

// A story makes events of what the parts of the house tell. Its methods only
// copy what they are told: a reply waits for them.
type story struct{ log *events.Log }

// delivered is told by deliver.
func (s story) delivered(d deliver.Story) {
	e := events.Event{
		At: d.Trace.Time, ID: d.Trace.ID, MessageID: d.Structure.Envelope.MessageID, From: d.Envelope.From, Subject: d.Structure.Envelope.Subject,
		Size: d.Size, Remote: d.Trace.Remote.Unmap().String(), TLS: d.Trace.TLS, Auth: events.AuthOf(d.Trace.Verdict),
	}
	all := e
	for _, r := range d.Envelope.To {
		all.To = append(all.To, r.Path)
	}
	if d.By == 0 {
		all.Kind, all.Door, all.What = events.Received, "smtp", d.Trace.Helo
	} else {
		all.Kind, all.Door, all.Account, all.Device = events.Submitted, "submission", d.By, d.Trace.Device
	}
	s.log.Add(all)
	if d.Hold != "" {
		all.Kind, all.Detail = events.Held, d.Hold
		s.log.Add(all)
	}
	for _, f := range d.Filed {
		copied := e
		copied.Kind, copied.Account, copied.To, copied.Mailbox = events.Filed, f.Account, []mail.Path{f.Address}, f.Mailbox
		if d.Junk {
			copied.Reason, copied.Domain, copied.Detail = junkReason(d.Trace.Verdict)
		}
		s.log.Add(copied)
	}
	for _, f := range d.Forwarded {
		on := e
		on.Kind, on.Account, on.To, on.What = events.Forwarded, f.Account, []mail.Path{f.To}, string(f.Via)
		s.log.Add(on)
	}
}

// delivered is told by deliver of what has come in. What answers for who is away
// is no news of theirs.
func (h *house) delivered(d deliver.Story) {
	if d.By == 0 || !d.Envelope.From.IsNull() {
		story{h.events}.delivered(d)
	}
	h.vacation.Told(d)
}

// junkReason says why a message is junk.
func junkReason(v *mail.Verdict) (reason events.Reason, domain, detail string) {
	switch {
	case v == nil || v.Disposition != mail.ToJunk:
		return events.Marked, "", ""
	case v.DMARC.Result == mail.ResultFail && v.DMARC.Domain != "":
		return events.Forged, v.DMARC.Domain, v.Reason
	}
	return events.Other, "", v.Reason
}

// refused is told by the doors.
func (s story) refused(r smtpd.Refusal) {
	e := events.Event{
		Kind: events.Refused, ID: r.ID, From: r.From, To: r.To, Size: r.Size, Remote: r.Remote.Unmap().String(), What: r.Helo,
		Reply: r.Reply, Reason: events.Reason(r.Reason), Door: "smtp",
	}
	if r.By != nil {
		e.Account, e.Device, e.Door = r.By.Account, r.By.Device, "submission"
	}
	if r.About != nil {
		e.Domain = cmp.Or(r.About.DMARC.Domain, e.From.Domain())
	}
	s.log.Add(e)
}

// attempted is told by the queue.
func (s story) attempted(it *store.Item, r *store.QueueRecipient, hop string) {
	if len(r.Attempts) == 0 {
		return
	}
	last := r.Attempts[len(r.Attempts)-1]
	e := events.Event{
		At: last.At, ID: it.Trace, Account: it.Account, From: it.Envelope.From, To: []mail.Path{r.Path}, Size: it.Size(),
		Remote: last.Remote, TLS: last.TLS, What: hop, Cause: last.Cause, Reply: last.Reply, Count: r.Tries,
	}
	switch r.State {
	case store.Queued:
		e.Kind, e.Next = events.Deferred, r.Due
	case store.Relayed:
		e.Kind, e.Remote = events.Relayed, cmp.Or(e.Remote, hop)
	default:
		e.Kind = events.Failed
	}
	s.log.Add(e)
}

// fetched is told by the bridge.
func (s story) fetched(f bridge.Fetched) {
	s.log.Add(events.Event{
		Kind: events.Fetched, MessageID: f.MessageID, Account: f.Account.Into, From: f.From, To: []mail.Path{f.Account.Address},
		Subject: f.Subject, Size: f.Size, Mailbox: f.Mailbox, Device: string(f.Account.Address), Remote: f.Account.Host, Door: "bridge",
	})
}

// signedIn is told by who checks sign-ins.
func (s story) signedIn(t signin.Told) {
	e := events.Event{Kind: events.SignedIn, Account: t.Account, Who: t.Name, Device: t.Device, Door: t.Protocol, Remote: t.Remote.Unmap().String()}
	if !t.OK {
		e.Kind, e.Reason = events.SignInFailed, events.WrongPassword
	}
	s.log.Add(e)
}

// entered is told of sign-ins on the web. Of those that fail signedIn is told.
func (s story) entered(t session.Event) {
	if t.What != session.SignedIn || !t.OK {
		return
	}
	s.log.Add(events.Event{
		Kind: events.SignedIn, Account: t.Account, Who: t.Name, Device: t.From.Browser, Door: "web", Remote: t.From.Remote.Unmap().String(),
	})
}

// checked is told of a check that has another state.
func (s story) checked(_, now check.Result) {
	s.log.Add(events.Event{
		Kind: events.Checked, What: now.Name, Detail: now.Title.EN + ": " + now.Means.EN, Details: now.Title.JA + ": " + now.Means.JA,
		Reason: events.Reason(now.State),
	})
}

// started and stopped are told by the house.
func (s story) started() { s.log.Add(events.Event{Kind: events.Started, What: version()}) }
func (s story) stopped() { s.log.Add(events.Event{Kind: events.Stopped, What: version()}) }
