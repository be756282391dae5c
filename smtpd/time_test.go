package smtpd

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestSlowSenders runs in a bubble, where minutes take no time.
func TestSlowSenders(t *testing.T) {
	for name, test := range map[string]struct {
		pause time.Duration
		piece string
		want  string
		after time.Duration // at the latest
	}{
		"steady but under 500 B/s": {10 * time.Second, strings.Repeat("x", 98) + "\r\n", "421 4.4.2", 80 * time.Second},
		"steady and fast enough":   {10 * time.Second, strings.Repeat("x", 5998) + "\r\n", "250 2.0.0", time.Hour},
		"silent":                   {time.Hour, "x", "421 4.4.2", 61 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDoor(t, Options{Kind: MX, TLS: serverTLS()})
				l := newPipeListener()
				d.serve(l)
				c := greeted(t, l.dial())
				c.say("EHLO client.test")
				c.want("250")
				c.envelope()
				start := time.Now()
				c.nc.SetWriteDeadline(time.Time{})
				var writer sync.WaitGroup
				writer.Go(func() {
					for range 100 {
						if _, err := c.nc.Write([]byte(test.piece)); err != nil {
							return
						}
						time.Sleep(test.pause)
					}
					c.nc.Write([]byte(".\r\nQUIT\r\n"))
				})
				defer writer.Wait()
				c.nc.SetReadDeadline(time.Time{})
				line, err := c.r.ReadString('\n')
				if took := time.Since(start); err != nil || !strings.HasPrefix(line, test.want) || took > test.after {
					t.Errorf("after %v got %q, %v", took, line, err)
				}
				c.nc.Close()
				d.stop()
				if got := len(d.dir.got()); (got == 1) != (test.want == "250 2.0.0") {
					t.Errorf("%d messages stored", got)
				}
			})
		})
	}
}

func TestSilence(t *testing.T) {
	for name, test := range map[string]struct {
		kind Kind
		say  string // before the silence
		want time.Duration
	}{
		"25, nothing":         {MX, "", untilMail},
		"25, NOOPs":           {MX, "NOOP", untilMail},
		"submission, nothing": {Submission, "EHLO x", untilAuth},
		"25, after a message": {MX, "MAIL", idle + 4*time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDoor(t, Options{Kind: test.kind, TLS: serverTLS()})
				l := newPipeListener()
				d.serve(l)
				c := greeted(t, l.dial())
				start := time.Now()
				switch test.say {
				case "":
				case "NOOP":
					time.Sleep(4 * time.Minute)
					c.say("NOOP")
					c.want("250")
				case "MAIL":
					c.say("EHLO x", "MAIL FROM:<>")
					c.want("250", "250")
					time.Sleep(4 * time.Minute)
					c.say("RSET")
					c.want("250")
				default:
					c.say(test.say)
					c.want("250")
				}
				c.nc.SetReadDeadline(time.Time{})
				line, _ := c.r.ReadString('\n')
				if took := time.Since(start); !strings.HasPrefix(line, "421 4.4.2") || took != test.want {
					t.Errorf("after %v got %q, want after %v", took, line, test.want)
				}
				c.nc.Close()
				d.stop()
			})
		})
	}
}

func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(t, Options{Kind: MX, TLS: serverTLS()})
		l := newPipeListener()
		d.serve(l)
		var waiting, sending, stuck *client
		for _, c := range []**client{&waiting, &sending, &stuck} {
			*c = greeted(t, l.dial())
			(*c).say("EHLO x")
			(*c).want("250")
		}
		sending.envelope()
		stuck.envelope()
		synctest.Wait()
		start := time.Now()
		stopped := make(chan time.Duration)
		go func() {
			d.stop()
			stopped <- time.Since(start)
		}()
		waiting.nc.SetReadDeadline(time.Time{})
		waiting.want("421 4.3.2")
		waiting.wantEnd()
		if took := time.Since(start); took > 0 {
			t.Errorf("one who waits was told after %v", took)
		}
		time.Sleep(5 * time.Second)
		sending.send(letter + ".\r\n")
		sending.want("250 2.0.0", "421 4.3.2")
		stuck.nc.SetReadDeadline(time.Time{})
		if line, _ := stuck.r.ReadString('\n'); !strings.HasPrefix(line, "421 4.3.2") {
			t.Errorf("stuck got %q", line)
		}
		if took := <-stopped; took != drainTime {
			t.Errorf("stopped after %v", took)
		}
		if len(d.dir.got()) != 1 {
			t.Error("the message in progress was not stored")
		}
	})
}
