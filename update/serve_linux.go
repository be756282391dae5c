package update

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// clientsMost at once are enough for one server: a request for the status
// beside an installation.
const clientsMost = 4

// Serve answers at a socket, which only the server's own user may open, until
// ctx ends.
func (b *Box) Serve(ctx context.Context, l net.Listener) error {
	defer context.AfterFunc(ctx, func() { l.Close() })()
	places := make(chan struct{}, clientsMost)
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("socket for updates: %w", err)
		}
		places <- struct{}{}
		go func() {
			defer func() { conn.Close(); <-places }()
			b.answer(ctx, conn)
		}()
	}
}

// answer serves one client.
func (b *Box) answer(ctx context.Context, conn net.Conn) {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	c := patient{conn}
	var ask [1]byte
	if _, err := io.ReadFull(c, ask[:]); err != nil {
		return
	}
	a, err := answer{}, error(nil)
	switch ask[0] {
	case askStatus:
		var s Status
		s, err = b.Status()
		a.Status = &s
	case askInstall:
		err = b.install(ctx, c)
		a.Done = err == nil
	default:
		err = errors.New("that cannot be asked for")
	}
	if err != nil {
		a = answer{Error: clip(err.Error(), detailMost), Code: Code(err)}
		if ask[0] == askInstall {
			b.o.Log.Warn("an update was not installed", "err", err)
		}
	}
	c.say(a)
}

// install reads a request and its payload. Who hears Done has some moments left
// until the restart.
func (b *Box) install(ctx context.Context, c patient) error {
	manifest, err := take(c, ManifestMost)
	if err != nil {
		return err
	}
	signature, err := take(c, SignatureMost)
	if err != nil {
		return err
	}
	return b.Install(ctx, manifest, signature, func(offset int64) (io.ReadCloser, error) {
		return io.NopCloser(c), c.say(answer{Offset: &offset})
	})
}

// patient gives each read and write the same time.
type patient struct{ net.Conn }

func (p patient) Read(b []byte) (int, error) {
	p.SetReadDeadline(time.Now().Add(quietTime))
	return p.Conn.Read(b)
}

func (p patient) say(a answer) error {
	line, err := json.Marshal(a)
	if err != nil {
		return err
	}
	p.SetWriteDeadline(time.Now().Add(quietTime))
	_, err = p.Write(append(line, '\n'))
	return err
}
