package page

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

// What browsers get: our own style, mark and script for passkeys, and htmx with
// its extension for Server-Sent Events as their makers publish them (their
// licences lie beside).
//
//go:embed static/page.css static/mark.svg static/htmx.js static/sse.js static/webauthn.js
var staticFiles embed.FS

// The page's own templates and words.
//
//go:embed ui/*.html ui/*.json
var uiFiles embed.FS

func ownUI() fs.FS { return sub(uiFiles, "ui") }

// sub is for directories that go:embed has seen: they are there.
func sub(f fs.FS, dir string) fs.FS {
	s, err := fs.Sub(f, dir)
	if err != nil {
		panic(err)
	}
	return s
}

const (
	staticPath = "/static/"
	hashChars  = 12 // of a SHA-256 in hex: enough that no two versions meet
)

var kinds = map[string]string{
	".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

// An asset is a file as it is sent.
type asset struct {
	kind        string
	plain, gzip []byte
}

// assets are the static files, by their paths with a hash in them; hrefs leads
// from a plain name to that path.
type assets struct {
	files map[string]asset
	hrefs map[string]string
}

// loadAssets compresses each file once, as small as it gets.
func loadAssets(from fs.FS) (*assets, error) {
	a := &assets{files: map[string]asset{}, hrefs: map[string]string{}}
	names, err := fs.Glob(from, "*")
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	for _, name := range names {
		b, err := fs.ReadFile(from, name)
		if err != nil {
			return nil, fmt.Errorf("page: %w", err)
		}
		ext := path.Ext(name)
		kind, ok := kinds[ext]
		if !ok {
			return nil, errors.New("page: what kind of file is " + name + "?")
		}
		sum := sha256.Sum256(b)
		href := staticPath + strings.TrimSuffix(name, ext) + "." + hex.EncodeToString(sum[:])[:hashChars] + ext
		a.files[href] = asset{kind: kind, plain: b, gzip: squeeze(b, gzip.BestCompression)}
		a.hrefs[name] = href
	}
	return a, nil
}

// squeeze compresses; it writes to memory, which does not fail.
func squeeze(b []byte, level int) []byte {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, level)
	if err != nil {
		panic(err)
	}
	_, _ = z.Write(b)
	_ = z.Close()
	return out.Bytes()
}

// ServeHTTP serves a file for good: another version has another path.
func (a *assets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f, ok := a.files[r.URL.Path]
	if !ok {
		http.Error(w, http.StatusText(http.StatusNotFound), http.StatusNotFound)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Vary", "Accept-Encoding")
	body := f.plain
	if takesGzip(r) {
		h.Set("Content-Encoding", "gzip")
		body = f.gzip
	}
	_, _ = w.Write(body)
}

// takesGzip reports whether a client says that it can read gzip, RFC 9110
// §12.5.3. "gzip;q=0" is the one way to name and refuse it.
func takesGzip(r *http.Request) bool {
	for one := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(one), ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			q := strings.TrimLeft(strings.ReplaceAll(weight, " ", ""), "qQ=")
			return q == "" || strings.Trim(q, "0.") != ""
		}
	}
	return false
}
