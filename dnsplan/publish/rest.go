package publish

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	requestTime = 30 * time.Second
	maxAnswer   = 16 << 20 // bytes; a zone of ten thousand records has some 4 MB
	maxShown    = 300      // of what a provider says is wrong
	maxWait     = time.Minute
	tries       = 5   // of a request that is to be made later
	maxPages    = 200 // of a list; a provider that goes on for ever is not read for ever
)

// A rest is a provider's HTTP interface.
type rest struct {
	base   string
	client *http.Client
	auth   func(r *http.Request, body []byte)

	// encode and decode are of JSON if they are nil.
	encode func(any) ([]byte, error)
	decode func([]byte, any) error
	accept string
}

// An apiError is what a provider says is wrong.
type apiError struct {
	status int
	text   string
}

func (e *apiError) Error() string {
	switch e.status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Sprintf("the DNS host does not accept the credentials for this (%d): %s", e.status, e.text)
	}
	return fmt.Sprintf("the DNS host answers %d: %s", e.status, e.text)
}

func isStatus(err error, status int) bool {
	var e *apiError
	return errors.As(err, &e) && e.status == status
}

// do makes a request; in and out may be nil. A provider that says that it is
// asked too often is asked again when it says, unless that is too long.
func (r *rest) do(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = r.marshal(in); err != nil {
			return err
		}
	}
	for try := 1; ; try++ {
		answer, wait, err := r.once(ctx, method, path, body)
		switch {
		case err == nil && out != nil && len(answer) > 0:
			if err := r.unmarshal(answer, out); err != nil {
				return fmt.Errorf("the DNS host's answer is not understood: %w", err)
			}
			return nil
		case err == nil:
			return nil
		case wait == 0 || wait > maxWait || try == tries:
			return err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return err
		}
	}
}

func (r *rest) marshal(in any) ([]byte, error) {
	if r.encode != nil {
		return r.encode(in)
	}
	return json.Marshal(in)
}

func (r *rest) unmarshal(b []byte, out any) error {
	if r.decode != nil {
		return r.decode(b, out)
	}
	return json.Unmarshal(b, out)
}

// once makes a request. wait is how long to wait before the next try, 0 for none.
func (r *rest) once(ctx context.Context, method, path string, body []byte) (answer []byte, wait time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, r.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, 0, err
	}
	kind := "application/json"
	if r.accept != "" {
		kind = r.accept
	}
	req.Header.Set("Accept", kind)
	req.Header.Set("User-Agent", "homemail")
	if len(body) > 0 {
		req.Header.Set("Content-Type", kind)
	}
	r.auth(req, body)
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, 0, err
	case len(answer) > maxAnswer:
		return nil, 0, errors.New("the DNS host's answer is too long")
	case resp.StatusCode >= 200 && resp.StatusCode < 300:
		return answer, 0, nil
	case resp.StatusCode == http.StatusTooManyRequests: // RFC 6585 §4
		if wait = retryAfter(resp.Header); wait == 0 {
			wait = 2 * time.Second
		}
	}
	text := strings.Join(strings.Fields(string(answer)), " ")
	if len(text) > maxShown {
		text = strings.ToValidUTF8(text[:maxShown], "") + "…"
	}
	return nil, wait, &apiError{resp.StatusCode, text}
}

func retryAfter(h http.Header) time.Duration {
	n, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || n < 0 {
		return 0
	}
	return time.Duration(n)*time.Second + time.Second/10
}

// bearer authorises by a token, RFC 6750 §2.1.
func bearer(token string) func(*http.Request, []byte) {
	return func(r *http.Request, _ []byte) { r.Header.Set("Authorization", "Bearer "+token) }
}
