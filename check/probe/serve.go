package probe

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Limits of a connection to a server that does nothing else.
const (
	headTime  = 5 * time.Second // to be done with the handshake and the header
	idleTime  = 10 * time.Second
	stopTime  = 2 * time.Second // for looks under way, when we stop
	maxHeader = 8 << 10
)

// Serve answers callers until ctx is done: by HTTPS, or by plain HTTP if conf is
// nil. It closes l, which has to bound how many connections there are.
func (s *Server) Serve(ctx context.Context, l net.Listener, conf *tls.Config) error {
	srv := &http.Server{
		Handler: s, TLSConfig: conf,
		ReadHeaderTimeout: headTime, ReadTimeout: 2 * headTime, WriteTimeout: askTime, IdleTimeout: idleTime,
		MaxHeaderBytes: maxHeader, DisableGeneralOptionsHandler: true,
		ErrorLog: log.New(quiet{s.o.Log}, "", 0),
	}
	srv.Protocols = new(http.Protocols)
	srv.Protocols.SetHTTP1(true) // a question each hour needs no streams
	stopped := make(chan struct{})
	end := context.AfterFunc(ctx, func() {
		defer close(stopped)
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
		defer cancel()
		if srv.Shutdown(grace) != nil {
			srv.Close()
		}
	})
	var err error
	if conf == nil {
		err = srv.Serve(l)
	} else {
		err = srv.ServeTLS(l, "", "")
	}
	if end() { // it failed by itself
		return fmt.Errorf("probe: %w", errors.Join(err, srv.Close()))
	}
	<-stopped
	return nil
}

// quiet takes what net/http has to say: that strangers fail at TLS.
type quiet struct{ log *slog.Logger }

func (q quiet) Write(b []byte) (int, error) {
	q.log.Debug("web server", "err", printable(string(b)))
	return len(b), nil
}
