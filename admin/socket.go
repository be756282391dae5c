package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"homemail/words"
)

// socketName is the Unix socket in the data directory. Whoever may write to
// that directory may do everything, so the socket asks for no password.
const socketName = "homemail.sock"

// ErrNotRunning says that no server has the data directory.
var ErrNotRunning = words.Because(nil, "admin.not-running")

// inDir runs fn with a path of the socket that is short enough for a socket
// address, which holds 108 bytes, wherever the directory is.
func inDir(dir string, fn func(path string) error) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return fn(fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), socketName))
}

// Listen makes the socket. The caller holds the store, so that a socket which
// is there already is left over.
func Listen(dir string) (net.Listener, error) {
	if err := os.Remove(filepath.Join(dir, socketName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var l net.Listener
	err := inDir(dir, func(path string) (err error) {
		l, err = net.Listen("unix", path)
		return err
	})
	if err != nil {
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // the path is good only for this moment
	return l, os.Chmod(filepath.Join(dir, socketName), 0o600)
}

const requestMax = 1 << 20

// Serve answers on the socket until ctx ends. It also has Go's profiles, which
// no other door shows.
func (h *House) Serve(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /do/{name}", h.answer)
	mux.HandleFunc("GET /language", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, h.Language()) })
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		srv.Shutdown(ctx)
	})
	defer stop()
	if err := srv.Serve(l); ctx.Err() == nil {
		return fmt.Errorf("control socket: %w", err)
	}
	return nil
}

func (h *House) answer(w http.ResponseWriter, r *http.Request) {
	request, err := io.ReadAll(http.MaxBytesReader(w, r.Body, requestMax))
	var answer any
	if err == nil {
		answer, err = h.Do(r.Context(), r.PathValue("name"), request)
	}
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusUnprocessableEntity)
		r := Told(err)
		answer = failure{err.Error(), r.Code, r.Text}
	}
	json.NewEncoder(w).Encode(answer)
}

type failure struct {
	Error string     `json:"error"`
	Code  string     `json:"code"`
	Said  words.Text `json:"said"`
}

// A Client asks a running server.
type Client struct {
	http http.Client
}

// Dial finds the server of a data directory, or returns ErrNotRunning.
func Dial(dir string) (*Client, error) {
	dial := func(ctx context.Context, _, _ string) (c net.Conn, err error) {
		err = inDir(dir, func(path string) error {
			c, err = (&net.Dialer{}).DialContext(ctx, "unix", path)
			return err
		})
		return c, err
	}
	c, err := dial(context.Background(), "", "")
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, ErrNotRunning
	}
	if err != nil {
		return nil, err
	}
	c.Close()
	return &Client{http.Client{Transport: &http.Transport{DialContext: dial}}}, nil
}

// Language is that of the house, English if it does not say.
func (c *Client) Language(ctx context.Context) string {
	const most = 16 // octets
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://homemail/language", nil)
	if err != nil {
		return string(words.English)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return string(words.English)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(io.LimitReader(resp.Body, most))
	return string(words.For(string(b)))
}

// Do asks for an operation and decodes its answer.
func (c *Client) Do(ctx context.Context, name string, request, answer any) error {
	b, err := json.Marshal(request)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://homemail/do/"+name, bytes.NewReader(b))
	if err != nil {
		return err
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var f failure
		if err := json.NewDecoder(resp.Body).Decode(&f); err != nil {
			return fmt.Errorf("the server said %s", resp.Status)
		}
		return &words.Reason{Code: f.Code, Text: f.Said, Err: errors.New(f.Error)}
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}
