package imapd

import (
	"runtime/debug"
	"strings"

	"homemail/imapd/wire"
)

// idle is IDLE, RFC 9051 §6.3.13. The watch stands since SELECT and is only
// emptied before the mailbox is read, so no change falls between two reads.
func (s *session) idle(*call) error {
	if err := s.end(); err != nil {
		return err
	}
	s.w.Raw("+ idling").End()
	stop := func() {}
	if s.view != nil {
		if err := s.catchUp(); err != nil {
			return err
		}
		s.tell(true)
		stop = s.whileIdle(s.view)
	}
	s.l.Next()
	line := s.l.Line() // sends what was written, and gives the turn away while it waits
	stop()
	if err := s.l.Err(); err != nil {
		return err
	}
	if !strings.EqualFold(line, "DONE") {
		return wire.SyntaxError("Expected DONE")
	}
	return nil
}

// whileIdle tells of changes until stop is called.
func (s *session) whileIdle(v *view) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		defer s.survive()
		for {
			select {
			case <-v.watch.C:
			case <-done:
				return
			}
			if !s.idleOnce(v, done) {
				return
			}
		}
	}()
	return func() {
		close(done)
		s.g.turn.Unlock() // it may be waiting for it
		<-ended
		s.g.turn.Lock()
	}
}

// idleOnce tells what is new, unless IDLE has ended before it had the turn.
func (s *session) idleOnce(v *view, done <-chan struct{}) bool {
	s.g.turn.Lock()
	defer s.g.turn.Unlock()
	select {
	case <-done:
		v.again = true // what the watch said is for the next to read
		return false
	default:
	}
	if err := s.read(); err != nil && s.hear(err) != nil {
		s.g.farewell(s.quit)
		return false
	}
	s.tell(true)
	return s.w.Flush() == nil
}

// survive is the end of a goroutine that a fault of ours has ended: it costs the
// connection, and not the server.
func (s *session) survive() {
	if v := recover(); v != nil {
		s.log.Error("imap: telling of changes failed", "panic", v, "stack", string(debug.Stack()))
		s.g.kill()
	}
}
