package imapd

import (
	"github.com/emersion/go-imap/v2"
)

// getQuota is GETQUOTA, RFC 9208 §4.1.1. Each account has one quota root.
func (s *session) getQuota(*call) error {
	s.l.SP()
	root := s.l.AString()
	if err := s.end(); err != nil {
		return err
	}
	if root != "" {
		return no(imap.ResponseCodeNonExistent, "There is no such quota root")
	}
	return s.writeQuota()
}

// getQuotaRoot is GETQUOTAROOT, RFC 9208 §4.1.2.
func (s *session) getQuotaRoot(*call) error {
	s.l.SP()
	name := s.l.Mailbox()
	if err := s.end(); err != nil {
		return err
	}
	box, err := s.acct.Mailbox(name)
	if err != nil {
		return s.refuse(err, "quota")
	}
	s.w.Raw("* QUOTAROOT ").Mailbox(box.Name).Raw(` ""`).End()
	return s.writeQuota()
}

// writeQuota writes a QUOTA response, RFC 9208 §4.2.1: storage counts in units
// of 1,024 bytes. An account without a limit has no resource in it.
func (s *session) writeQuota() error {
	p, err := s.acct.Profile()
	if err != nil {
		return s.refuse(err, "quota")
	}
	u, err := s.acct.Usage()
	if err != nil {
		return s.refuse(err, "quota")
	}
	s.w.Raw(`* QUOTA "" (`)
	if p.Quota > 0 {
		s.w.Raw("STORAGE ").Number((u.Bytes + 1023) / 1024).Byte(' ').Number(p.Quota / 1024)
	}
	return s.w.Byte(')').End()
}
