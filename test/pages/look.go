// Package pages looks at pages as people get them: in Debian's Chromium, in
// both languages and themes, on a phone and on a desk, with and without
// JavaScript. Tests of other packages use it; it is in no program.
package pages

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"homemail/test/need"
)

// axe-core 4.14.1, axe.min.js as published on npm; its licence lies beside it.
//
//go:embed testdata/axe.min.js
var axe string

const axeSum = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"

const (
	shotsEnv = "HOMEMAIL_SHOTS" // a directory for the screenshots
	maxWire  = 40 << 10         // octets of a page with all that it loads
	patience = 30 * time.Second // for one look; two cores are slow at times
	height   = 900              // of the window
)

// As says as whom to look at a page.
type As struct {
	Lang    string // "en", "ja"
	Theme   string // "light", "dark"
	Width   int    // CSS pixels
	NoJS    bool
	Cookies map[string]string
	Name    string // of the screenshot; from the path if empty
}

// Everybody are the readers that each page is looked at by.
func Everybody() (all []As) {
	for _, lang := range []string{"en", "ja"} {
		for _, theme := range []string{"light", "dark"} {
			for _, width := range []int{320, 1200} {
				all = append(all, As{Lang: lang, Theme: theme, Width: width, NoJS: theme == "dark" && width == 320})
			}
		}
	}
	return all
}

// Findings are what is wrong with a page.
type Findings struct {
	Axe      []Violation // serious and critical ones
	Overflow []string    // what reaches over the right edge
	Console  []string    // errors, and what the CSP has refused
	Wire     int64       // octets, with headers
	Shot     string      // file of the screenshot, if any was asked for
}

// A Violation is what axe-core has found.
type Violation struct {
	ID, Impact, Help string
	Nodes            []string
}

// Bad are the findings that fail a test.
func (f Findings) Bad() (bad []string) {
	for _, v := range f.Axe {
		bad = append(bad, fmt.Sprintf("axe: %s (%s): %s: %s", v.ID, v.Impact, v.Help, strings.Join(v.Nodes, " | ")))
	}
	if len(f.Overflow) > 0 {
		bad = append(bad, "wider than the window: "+strings.Join(f.Overflow, " | "))
	}
	for _, line := range f.Console {
		bad = append(bad, "console: "+line)
	}
	if f.Wire > maxWire {
		bad = append(bad, fmt.Sprintf("%d octets over the wire; %d are allowed", f.Wire, maxWire))
	}
	return bad
}

// A Browser is a running Chromium. Start one for a test with many pages.
type Browser struct {
	t   testing.TB
	ctx context.Context
}

// Start starts a browser that ends with the test. It needs HOMEMAIL_TOOLS=1.
func Start(t testing.TB) *Browser {
	t.Helper()
	need.Tools(t, "chromium")
	if sum := sha256.Sum256([]byte(axe)); hex.EncodeToString(sum[:]) != axeSum {
		t.Fatalf("axe.min.js is %x", sum)
	}
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath("chromium"),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("hide-scrollbars", true),
		chromedp.Flag("ignore-certificate-errors", true), // our own; web has tests of its own for those
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost, EXCLUDE ::1"),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium refuses its sandbox to root
	}
	alloc, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, quit := chromedp.NewContext(alloc)
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil { // and waits until it is gone
			t.Log(err)
		}
		quit()
		stop()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("chromium: %v", err)
	}
	return &Browser{t, ctx}
}

// Look looks at one page as one reader, and fails the test by what is wrong.
func Look(t testing.TB, address, lang, theme string, width int, js bool) Findings {
	t.Helper()
	return Start(t).Look(address, As{Lang: lang, Theme: theme, Width: width, NoJS: !js})
}

// Look opens a page in a tab of its own and fails the test by what is wrong.
func (b *Browser) Look(address string, as As) Findings {
	b.t.Helper()
	tab := b.Open(as)
	defer tab.Close()
	for name, value := range as.Cookies {
		tab.SetCookie(address, name, value)
	}
	tab.Do(chromedp.Navigate(address))
	return tab.Look()
}

// SetCookie gives the tab a cookie for an address, as of who is signed in.
func (tab *Tab) SetCookie(address, name, value string) {
	tab.t.Helper()
	tab.Do(call(network.SetCookie, network.SetCookieParams{Name: name, Value: value, URL: address, Path: "/"}))
}

// A Tab is a window of a reader, with cookies of its own.
type Tab struct {
	t    testing.TB
	as   As
	ctx  context.Context
	stop func()

	mu       sync.Mutex
	console  []string
	document cdp.LoaderID                       // the page that was asked for last
	of       map[network.RequestID]cdp.LoaderID // which page a request belongs to
	wire     map[cdp.LoaderID]int64
}

// Open opens an empty tab.
func (b *Browser) Open(as As) *Tab {
	b.t.Helper()
	ctx, stop := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext())
	tab := &Tab{t: b.t, as: as, ctx: ctx, stop: stop, of: map[network.RequestID]cdp.LoaderID{}, wire: map[cdp.LoaderID]int64{}}
	if err := chromedp.Listen(ctx, tab.hear); err != nil {
		b.t.Fatalf("chromium: %v", err)
	}
	theme := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: as.Theme}}
	window := emulation.SetDeviceMetricsOverrideParams{Width: int64(as.Width), Height: height, DeviceScaleFactor: 1, Mobile: as.Width < 600}
	tab.Do(
		call(network.Enable, network.EnableParams{}),
		call(log.Enable, cdp.Empty{}),
		call(network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: true}),
		call(network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{Headers: network.Headers{"Accept-Language": as.Lang}}),
		call(emulation.SetDeviceMetricsOverride, window),
		call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: theme}),
	)
	tab.scripts(!as.NoJS)
	return tab
}

// call is a command of the browser's protocol as an action.
func call[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

func (tab *Tab) scripts(on bool) {
	tab.t.Helper()
	tab.Do(call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on}))
}

// Close closes the tab.
func (tab *Tab) Close() { tab.stop() }

// Do runs steps of chromedp in the tab, and fails the test if it cannot.
func (tab *Tab) Do(steps ...chromedp.Action[chromedp.Void]) {
	tab.t.Helper()
	Get(tab, chromedp.Steps(steps...))
}

// Get runs an action that returns a value: Get(tab, chromedp.Text("h1")).
func Get[T any](tab *Tab, a chromedp.Action[T]) T {
	tab.t.Helper()
	ctx, cancel := context.WithTimeout(tab.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, a)
	if err != nil {
		tab.t.Fatalf("%s %s %d: %v", tab.as.Lang, tab.as.Theme, tab.as.Width, err)
	}
	return v
}

// hear notes what the browser reports while a page is loaded.
func (tab *Tab) hear(event any) {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		tab.of[e.RequestID] = e.LoaderID
		if string(e.RequestID) == string(e.LoaderID) {
			tab.document = e.LoaderID
		}
	case *network.EventLoadingFinished:
		// What the page before still loads may end after this one has begun.
		tab.wire[tab.of[e.RequestID]] += int64(e.EncodedDataLength)
	case *log.EventEntryAdded:
		// The status of a page that says what is wrong is no error of the page.
		if e.Entry.Level == log.EntryLevelError && e.Entry.Source != log.EntrySourceNetwork {
			tab.console = append(tab.console, e.Entry.Text)
		}
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError {
			var words []string
			for _, a := range e.Args {
				words = append(words, string(a.Value)+a.Description)
			}
			tab.console = append(tab.console, strings.Join(words, " "))
		}
	case *runtime.EventExceptionThrown:
		tab.console = append(tab.console, e.ExceptionDetails.Text)
	}
}

// findOverflow names what is wider than the window, and is not cut off.
const findOverflow = `(() => {
	const w = document.documentElement.clientWidth;
	if (document.documentElement.scrollWidth <= w) return [];
	return [...document.body.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > w + 1)
		.slice(0, 5).map(e => e.outerHTML.slice(0, 120)).concat(['by ' + (document.documentElement.scrollWidth - w) + ' px']);
})()`

const runAxe = `axe.run(document, {resultTypes: ['violations'], rules: {'target-size': {enabled: true}}}).then(r => JSON.stringify(
	r.violations.filter(v => v.impact == 'serious' || v.impact == 'critical')
	.map(v => ({id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.slice(0, 5).map(n => n.html.slice(0, 200) + ' ' + (n.any[0]?.message || ''))}))))`

// Look looks at the page that the tab shows, and fails the test by what is
// wrong with it.
func (tab *Tab) Look() (f Findings) {
	tab.t.Helper()
	tab.Do(chromedp.WaitReady("body"))
	where := Get(tab, chromedp.Location())
	f.Overflow = Get(tab, chromedp.Evaluate[[]string](findOverflow))
	tab.scripts(true) // axe-core needs them; the page has been loaded as it was to be
	Get(tab, chromedp.Evaluate[int](axe+";0"))
	wait := true
	violations := Get(tab, chromedp.Evaluate[string](runAxe, func(p *runtime.EvaluateParams) { p.AwaitPromise = &wait }))
	tab.scripts(!tab.as.NoJS)
	if err := json.Unmarshal([]byte(violations), &f.Axe); err != nil {
		tab.t.Fatalf("axe: %v: %s", err, violations)
	}
	f.Shot = tab.shoot(where)
	tab.mu.Lock()
	f.Console, f.Wire = slices.Clone(tab.console), tab.wire[tab.document]
	tab.mu.Unlock()
	for _, bad := range f.Bad() {
		tab.t.Errorf("%s (%s, %s, %d px, JavaScript %t): %s", where, tab.as.Lang, tab.as.Theme, tab.as.Width, !tab.as.NoJS, bad)
	}
	return f
}

// shoot keeps a picture of the whole page for people, if they want any.
func (tab *Tab) shoot(where string) string {
	dir := os.Getenv(shotsEnv)
	if dir == "" {
		return ""
	}
	b := Get(tab, chromedp.FullScreenshot(100))
	name := tab.as.Name
	if u, err := url.Parse(where); name == "" && err == nil {
		name = strings.Trim(strings.ReplaceAll(u.Path, "/", "-"), "-")
	}
	js := ""
	if tab.as.NoJS {
		js = "-nojs"
	}
	file := filepath.Join(dir, fmt.Sprintf("%s-%s-%s-%d%s.png", name, tab.as.Lang, tab.as.Theme, tab.as.Width, js))
	if err := os.WriteFile(file, b, 0o644); err != nil {
		tab.t.Fatal(err)
	}
	return file
}
