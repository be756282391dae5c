package main

import (
	"context"
	"errors"
	"html/template"
	"net"
	"net/http"
	"os"
	"time"

	tty "homemail/appliance/console"
)

// troublePage answers at the box's doors for the web while homemail cannot: in both
// languages, without a certificate, and without asking anything. It ends after some
// time, or never if that is 0.
func troublePage(ctx context.Context, trouble, detail, last string) error {
	d, err := time.ParseDuration(last)
	if err != nil {
		return err
	}
	if d > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, d)
		defer stop()
	}
	l, err := net.FileListener(os.NewFile(3, "http")) // the other is for https, which has no certificate now
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: troubleHandler(trouble, detail), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second, MaxHeaderBytes: 8 << 10}
	stop := context.AfterFunc(ctx, func() { srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

const troubleText = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>homemail</title>
<style>body{font:1.1em/1.6 system-ui,sans-serif;max-width:38em;margin:2em auto;padding:0 1em;color:#1a1a1a;background:#fff}small{color:#5a5a5a}</style></head>
<body><h1>homemail</h1>{{range .Words}}<p lang="{{.Lang}}">{{.Text}}</p>{{end}}{{with .Detail}}<p><small>{{.}}</small></p>{{end}}</body></html>
`

func troubleHandler(trouble, detail string) http.Handler {
	page := template.Must(template.New("").Parse(troubleText))
	type words struct{ Lang, Text string }
	var list []words
	for _, lang := range []string{"en", "ja"} {
		list = append(list, words{lang, tty.Load(lang).Say("console.trouble." + trouble)})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		h.Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusServiceUnavailable)
		page.Execute(w, struct {
			Words  []words
			Detail string
		}{list, detail})
	})
}
