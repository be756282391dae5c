// Package metrics shows the program's figures to Prometheus and answers
// whether it is well. It knows no other package: who has a figure registers a
// function that reads it.
package metrics

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// A Registry is a set of figures.
type Registry struct {
	reg *prometheus.Registry
}

// New returns a Registry that has the figures of Go and of the process.
func New() *Registry {
	r := &Registry{prometheus.NewRegistry()}
	r.reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Gauge registers a figure that goes up and down. The labels are names and
// values in turn; a name with the same labels twice is a mistake of the
// program's and panics.
func (r *Registry) Gauge(name, help string, read func() float64, labels ...string) {
	o := prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: pairs(labels)}
	r.reg.MustRegister(prometheus.NewGaugeFunc(o, read))
}

// Counter registers a figure that only goes up. Its name should end in _total.
func (r *Registry) Counter(name, help string, read func() float64, labels ...string) {
	o := prometheus.CounterOpts{Name: name, Help: help, ConstLabels: pairs(labels)}
	r.reg.MustRegister(prometheus.NewCounterFunc(o, read))
}

func pairs(labels []string) prometheus.Labels {
	m := prometheus.Labels{}
	for i := 0; i+1 < len(labels); i += 2 {
		m[labels[i]] = labels[i+1]
	}
	return m
}

const (
	maxScrapes    = 2                // at once: one Prometheus and one curious person
	healthTimeout = 5 * time.Second  // a store that takes longer is not well
	answerTimeout = 15 * time.Second // for a whole request
	stopTimeout   = 2 * time.Second  // for requests under way when the program ends
)

// Handler serves /metrics, and /healthz with 200 as long as health returns nil.
func (r *Registry) Handler(health func(context.Context) error) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r.reg, promhttp.HandlerOpts{
		DisableCompression:  true, // the other side is on this computer
		MaxRequestsInFlight: maxScrapes,
	}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, q *http.Request) {
		ctx, cancel := context.WithTimeout(q.Context(), healthTimeout)
		defer cancel()
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if err := health(ctx); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			io.WriteString(w, err.Error()+"\n")
			return
		}
		io.WriteString(w, "ok\n")
	})
	return mux
}

// Serve answers on the listener until ctx ends.
func (r *Registry) Serve(ctx context.Context, l net.Listener, health func(context.Context) error) error {
	s := &http.Server{
		Handler:           r.Handler(health),
		ReadHeaderTimeout: healthTimeout,
		ReadTimeout:       answerTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(slog.Default().Handler(), slog.LevelDebug),
	}
	stopped := make(chan struct{})
	defer context.AfterFunc(ctx, func() {
		defer close(stopped)
		end, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if s.Shutdown(end) != nil {
			s.Close()
		}
	})()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	<-stopped
	return nil
}
