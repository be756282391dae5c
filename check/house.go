package check

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// What is told of the box itself.
const (
	clockOff    = 30 * time.Second // more, and codes of two-factor sign-ins fail
	expiresSoon = 14 * 24 * time.Hour
	queueMany   = 20
	queueOld    = time.Hour
)

// clock believes the probe before the system, which cannot know that its time
// server is wrong.
func (c *Checker) clock(_ context.Context, r results) found {
	ahead, err := time.ParseDuration(r.data(prober, "ahead"))
	// An old look at the probe says nothing of the clock now.
	fresh := err == nil && time.Since(r[prober].Tested) < often && r.good(prober)
	data := map[string]string{"now": time.Now().UTC().Format("2006-01-02 15:04 MST")}
	switch {
	case fresh && ahead.Abs() > clockOff+connectTime:
		data["off"] = ahead.Abs().String()
		return found{code: "off", data: data, detail: fmt.Sprintf("ahead of the probe by %v", ahead)}
	case c.o.Clock == nil && fresh:
		return found{code: "right", data: data}
	case c.o.Clock == nil:
		return found{code: codeUnset}
	}
	if why := c.o.Clock.Why(); why != "" {
		return found{code: "wrong", data: data, detail: why}
	}
	return found{code: "right", data: data}
}

func (c *Checker) disk(context.Context, results) found {
	if c.o.Disk == nil {
		return found{code: codeUnset}
	}
	free, reserve, err := c.o.Disk()
	if err != nil {
		return found{code: codeUnknown, detail: err.Error()}
	}
	f := found{code: "room", data: map[string]string{"free": megabytes(free), "reserve": megabytes(reserve)}}
	switch {
	case free < reserve:
		f.code = "full"
	case free < 2*reserve:
		f.code = "low"
	}
	return f
}

func megabytes(n int64) string {
	if n >= 10<<30 {
		return fmt.Sprintf("%d GB", n>>30)
	}
	return fmt.Sprintf("%d MB", n>>20)
}

func (c *Checker) certificate(_ context.Context, r results) found {
	if c.o.Cert == nil {
		return found{code: codeUnset}
	}
	cert, err := c.o.Cert()
	if err != nil {
		return found{code: codeUnknown, detail: err.Error()}
	}
	f := found{detail: cert.Trouble.EN, data: map[string]string{"host": c.o.Host, "trouble_en": cert.Trouble.EN, "trouble_ja": cert.Trouble.JA}}
	var left time.Duration
	if cert.Leaf != nil {
		left = time.Until(cert.Leaf.NotAfter)
		f.data["until"] = cert.Leaf.NotAfter.UTC().Format(time.DateOnly)
		f.data["days"] = fmt.Sprint(max(0, int(left.Hours()/24)))
	}
	switch {
	case cert.Leaf == nil && cert.Waiting, cert.Leaf != nil && !cert.Issued && cert.Waiting && cert.Trouble == Text{}:
		f.code = "waiting"
	case cert.Leaf == nil:
		f.code = "none"
	case !cert.Issued:
		f.code = "self"
	case r[clock].State == Bad: // then nothing can be said of days
		return c.because(clock)
	case left <= 0:
		f.code = "expired"
	case left < expiresSoon:
		f.code = "soon"
	case !nameIn(cert, c.o.Host):
		f.code = "name"
		f.detail = strings.Join(cert.Leaf.DNSNames, " ")
	default:
		f.code = "valid"
	}
	return f
}

func nameIn(cert Certificate, host string) bool {
	return host == "" || cert.Leaf.VerifyHostname(host) == nil
}

func (c *Checker) queue(context.Context, results) found {
	if c.o.Queue == nil {
		return found{code: codeUnset}
	}
	n, oldest, err := c.o.Queue()
	if err != nil {
		return found{code: codeUnknown, detail: err.Error()}
	}
	f := found{code: "flows", data: map[string]string{"count": fmt.Sprint(n), "oldest": oldest.Round(time.Minute).String()}}
	if n > queueMany || n > 0 && oldest > queueOld {
		f.code = "stuck"
	}
	return f
}
