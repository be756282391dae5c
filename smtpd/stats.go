package smtpd

import "sync/atomic"

// Stats are counters since the start.
type Stats struct {
	Connections int64 // taken
	Encrypted   int64 // of them with TLS
	Accepted    int64 // messages stored
	Recipients  int64 // of the messages stored
	Bytes       int64 // of the messages stored
	Temporary   int64 // commands refused with a 4xx
	Permanent   int64 // commands refused with a 5xx
	Unknown     int64 // of them, recipients that do not exist
	AuthFailed  int64 // of them, failed sign-ins
	Forged      int64 // messages whose author's domain disowns them
	Lost        int64 // connections that broke or were given up within a message
}

type counters struct {
	connections, encrypted, accepted, recipients, bytes atomic.Int64
	temporary, permanent, unknown, authFailed, lost     atomic.Int64
	forged                                              atomic.Int64
}

// Stats returns the counters as they are now.
func (s *Server) Stats() Stats {
	c := &s.count
	return Stats{
		Connections: c.connections.Load(), Encrypted: c.encrypted.Load(),
		Accepted: c.accepted.Load(), Recipients: c.recipients.Load(), Bytes: c.bytes.Load(),
		Temporary: c.temporary.Load(), Permanent: c.permanent.Load(),
		Unknown: c.unknown.Load(), AuthFailed: c.authFailed.Load(), Forged: c.forged.Load(), Lost: c.lost.Load(),
	}
}
