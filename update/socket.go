package update

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"time"
)

// The socket's protocol, the same side always in turn. The client's first byte
// is what it asks for. To askStatus the answer is a line of JSON. After
// askInstall come the manifest and its signature, each after its length as four
// bytes, big end first. The box answers with lines of JSON: from where on it
// wants the payload; then, when it has all of it and has compared it, the end.
const (
	askStatus  = 's'
	askInstall = 'i'
)

// quietTime is how long one side waits for the other's next bytes: a line that
// is down for longer is asked again in another installation, which goes on where
// this one was.
const quietTime = 15 * time.Minute

// answerMost bounds a line of JSON: sixteen records with their notes.
const answerMost = 2 << 20

// An answer is a line from the box.
type answer struct {
	Status *Status `json:"status,omitempty"`
	Offset *int64  `json:"offset,omitempty"`
	Done   bool    `json:"done,omitempty"`
	Error  string  `json:"error,omitempty"`
	Code   string  `json:"code,omitempty"`
}

// codes let errors keep what they are across the socket.
var codes = map[string]error{
	"signature": ErrSignature, "manifest": ErrManifest, "target": ErrTarget, "older": ErrOlder, "schema": ErrSchema,
	"trial": ErrTrial, "busy": ErrBusy, "room": ErrRoom, "damaged": ErrDamaged,
}

// Code is a name for an error of an update, for faces that have words for it;
// "" for one that nobody foresaw.
func Code(err error) string {
	for code, e := range codes {
		if errors.Is(err, e) {
			return code
		}
	}
	return ""
}

// Codes are all of Code.
func Codes() []string { return slices.Collect(maps.Keys(codes)) }

// remote is an error that the box has told.
type remote struct {
	text string
	kind error
}

func (r remote) Error() string { return r.text }
func (r remote) Unwrap() error { return r.kind }

// A Client asks a box over its socket.
type Client struct {
	Path string // of the socket
}

func (c Client) dial(ctx context.Context) (*net.UnixConn, func(), error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.Path)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	return conn.(*net.UnixConn), func() { stop(); conn.Close() }, nil
}

// Status asks what runs and what became of updates.
func (c Client) Status(ctx context.Context) (Status, error) {
	conn, hangUp, err := c.dial(ctx)
	if err != nil {
		return Status{}, err
	}
	defer hangUp()
	if _, err := conn.Write([]byte{askStatus}); err != nil {
		return Status{}, err
	}
	a, err := hear(conn, bufio.NewReader(io.LimitReader(conn, answerMost)))
	if err == nil && a.Status == nil {
		err = errors.New("the box did not tell its status")
	}
	if err != nil {
		return Status{}, err
	}
	return *a.Status, nil
}

// Install hands an update over. It returns nil when the box has it whole and is
// about to restart, and otherwise what the box says, or what open and its reader
// say. Whoever calls it again goes on where it was.
func (c Client) Install(ctx context.Context, manifest, signature []byte, open Opener, size int64, told func(sent int64)) error {
	conn, hangUp, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer hangUp()
	if _, err := conn.Write(request(manifest, signature)); err != nil {
		return err
	}
	lines := bufio.NewReader(io.LimitReader(conn, answerMost))
	a, err := hear(conn, lines)
	if err != nil || a.Done {
		return err
	}
	if a.Offset == nil || *a.Offset < 0 || *a.Offset > size {
		return errors.New("the box asked for what the update does not have")
	}
	if err := send(conn, open, *a.Offset, size, told); err != nil {
		conn.CloseWrite()
		if _, said := hear(conn, lines); Code(said) != "" {
			return said // why it took no more
		}
		return err
	}
	_, err = hear(conn, lines)
	return err
}

func request(manifest, signature []byte) []byte {
	b := []byte{askInstall}
	for _, part := range [][]byte{manifest, signature} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(part)))
		b = append(b, part...)
	}
	return b
}

// send copies the payload's rest.
func send(conn net.Conn, open Opener, offset, size int64, told func(int64)) error {
	if offset == size {
		return nil
	}
	in, err := open(offset)
	if err != nil {
		return err
	}
	defer in.Close()
	buf := make([]byte, 64<<10)
	for offset < size {
		n, err := in.Read(buf[:min(int64(len(buf)), size-offset)])
		if n > 0 {
			conn.SetWriteDeadline(time.Now().Add(quietTime))
			if _, err := conn.Write(buf[:n]); err != nil {
				return err
			}
			offset += int64(n)
			told(offset)
		}
		if err != nil && offset < size {
			return fmt.Errorf("after %d of %d bytes: %w", offset, size, err)
		}
	}
	return nil
}

// hear reads a line from the box. Its error is the box's own, if it has one.
func hear(conn net.Conn, r *bufio.Reader) (a answer, err error) {
	conn.SetReadDeadline(time.Now().Add(quietTime))
	line, err := r.ReadBytes('\n')
	if err != nil {
		return a, fmt.Errorf("the box hung up: %w", err)
	}
	if err := json.Unmarshal(line, &a); err != nil {
		return a, fmt.Errorf("the box: %w", err)
	}
	if a.Error != "" {
		return a, remote{a.Error, codes[a.Code]}
	}
	return a, nil
}

// take reads a part of a request, of at most most bytes.
func take(r io.Reader, most int) ([]byte, error) {
	var n uint32
	if err := binary.Read(r, binary.BigEndian, &n); err != nil {
		return nil, err
	}
	if int64(n) > int64(most) {
		return nil, ErrSignature // no update of ours is so long
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}
