package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"homemail/update"
)

// Bounds of a download.
const (
	urlMost       = 1000
	redirectsMost = 5
	headTime      = time.Minute     // for a manifest, whole
	stallTime     = time.Minute     // without a byte
	retryMost     = 8               // in a row without a byte
	retryPause    = 5 * time.Second // doubled each time: ten minutes in all
)

// errLine says that the owner's URL, or the way to it, does not do its work.
var errLine = errors.New("the place of updates does not answer as it should")

// transport asks nobody's proxy and keeps no connection: one file a month is
// fetched.
func transport() http.RoundTripper {
	return &http.Transport{
		DialContext:            (&net.Dialer{Timeout: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:    30 * time.Second,
		ResponseHeaderTimeout:  stallTime,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

func redirects(r *http.Request, via []*http.Request) error {
	if len(via) >= redirectsMost {
		return errors.New("too many redirections")
	}
	if via[0].URL.Scheme == "https" && r.URL.Scheme != "https" {
		return errors.New("a redirection away from https")
	}
	return nil
}

// ask fetches the newest manifest of a target.
func (a *Agent) ask(ctx context.Context, base, target string) (*source, error) {
	ctx, cancel := context.WithTimeout(ctx, headTime)
	defer cancel()
	if !strings.HasSuffix(base, "/") {
		base += "/"
	}
	u, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	name := ManifestName(target)
	text, err := a.small(ctx, u.JoinPath(name), update.ManifestMost)
	if err != nil {
		return nil, err
	}
	signature, err := a.small(ctx, u.JoinPath(name+SignatureSuffix), update.SignatureMost)
	if err != nil {
		return nil, err
	}
	s, err := newSource(a.o.Keys, text, signature, base)
	if err != nil {
		return nil, err
	}
	from := u.JoinPath(s.manifest.Payload).String()
	s.opener = func(ctx context.Context, offset int64) (io.ReadCloser, error) {
		return &download{ctx: ctx, client: a.http, url: from, at: offset, end: s.manifest.Size()}, nil
	}
	return s, nil
}

// small fetches a file of at most most bytes.
func (a *Agent) small(ctx context.Context, u *url.URL, most int64) ([]byte, error) {
	r, err := get(ctx, a.http, u.String(), 0)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(io.LimitReader(r.Body, most+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errLine, err)
	}
	if int64(len(b)) > most {
		return nil, fmt.Errorf("%w: %s is too long", errLine, u)
	}
	return b, nil
}

// refused is an answer that would be the same if it were asked for again.
type refused struct{ error }

// get asks for a file from an offset on, RFC 9110 section 14.2. A server that
// knows no ranges sends all of it, and what is before the offset is read over.
func get(ctx context.Context, c *http.Client, u string, offset int64) (*http.Response, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, err
	}
	if offset > 0 {
		q.Header.Set("Range", "bytes="+strconv.FormatInt(offset, 10)+"-")
	}
	r, err := c.Do(q)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errLine, err)
	}
	switch {
	case r.StatusCode == http.StatusOK:
		_, err = io.CopyN(io.Discard, r.Body, offset)
	case r.StatusCode == http.StatusPartialContent && offset > 0:
		if !strings.HasPrefix(r.Header.Get("Content-Range"), "bytes "+strconv.FormatInt(offset, 10)+"-") {
			err = refused{errors.New("it sends another range")}
		}
	default:
		err = errors.New(r.Status)
		if r.StatusCode/100 == 4 && r.StatusCode != http.StatusTooManyRequests && r.StatusCode != http.StatusRequestTimeout {
			err = refused{err}
		}
	}
	if err != nil {
		r.Body.Close()
		return nil, fmt.Errorf("%w: %s: %w", errLine, u, err)
	}
	return r, nil
}

// A download is a file whose server may be away for a while: it goes on where it
// was.
type download struct {
	ctx     context.Context
	client  *http.Client
	url     string
	at, end int64
	failed  int // in a row

	body  io.ReadCloser // nil between tries
	stall *time.Timer
	stop  context.CancelFunc
}

func (d *download) Read(b []byte) (int, error) {
	for {
		if d.at >= d.end {
			return 0, io.EOF
		}
		n, err := d.read(b[:min(int64(len(b)), d.end-d.at)])
		d.at += int64(n)
		if n > 0 {
			d.failed = 0
			return n, nil // an error comes again
		}
		if err == nil {
			continue
		}
		d.Close()
		var no refused
		if d.failed++; d.failed > retryMost || d.ctx.Err() != nil || errors.As(err, &no) {
			return 0, err
		}
		select {
		case <-time.After(retryPause << (d.failed - 1)):
		case <-d.ctx.Done():
			return 0, d.ctx.Err()
		}
	}
}

// read reads once, and connects before if it has to.
func (d *download) read(b []byte) (int, error) {
	if d.body == nil {
		ctx, stop := context.WithCancel(d.ctx)
		d.stop = stop
		d.stall = time.AfterFunc(stallTime, stop)
		r, err := get(ctx, d.client, d.url, d.at)
		if err != nil {
			return 0, err
		}
		d.body = r.Body
	}
	d.stall.Reset(stallTime)
	n, err := d.body.Read(b)
	d.stall.Stop() // the box may be slow, too
	if err == io.EOF && n == 0 {
		err = io.ErrUnexpectedEOF // Read knows the end
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", errLine, err)
	}
	return n, err
}

// Close ends the connection.
func (d *download) Close() error {
	if d.stop != nil {
		d.stall.Stop()
		d.stop()
	}
	if d.body == nil {
		return nil
	}
	defer func() { d.body = nil }()
	return d.body.Close()
}
