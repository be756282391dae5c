// Package layers holds the source against the architecture: who may import
// whom, who alone may use a module, and what nobody may call.
package layers

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "homemail"

// layers are our packages, each with those of ours that it may import. Tests
// may import any, and so may what is below cmd, test and internal.
var layers = map[string]string{
	"mail":                     "",
	"mail/message":             "mail",
	"mail/text":                "mail/message",
	"words":                    "",
	"config":                   "mail",
	"store":                    "mail mail/message mail/text",
	"search":                   "mail mail/message mail/text store",
	"signin":                   "mail store",
	"certs":                    "mail store words",
	"listen":                   "mail",
	"metrics":                  "",
	"resolver":                 "mail",
	"clock":                    "",
	"mailauth":                 "mail mail/message mailauth/arc mailauth/dkim mailauth/rfc6376",
	"mailauth/arc":             "mail mail/message mailauth/rfc6376",
	"mailauth/dkim":            "mail mail/message mailauth/rfc6376",
	"mailauth/rfc6376":         "mail mail/message",
	"sign":                     "mail mail/message mailauth/rfc6376",
	"srs":                      "mail",
	"dsn":                      "mail mail/message words",
	"relay":                    "mail resolver relay/client relay/mtasts",
	"relay/client":             "mail",
	"relay/mtasts":             "mail",
	"relay/preset":             "words",
	"outbound":                 "mail store sign relay relay/preset words",
	"dnsplan":                  "mail resolver words",
	"dnsplan/publish":          "mail resolver dnsplan store words",
	"address":                  "mail dnsplan dnsplan/publish",
	"zones":                    "mail store dnsplan/publish address words",
	"check":                    "mail resolver check/probe clock words",
	"check/probe":              "",
	"router":                   "words",
	"mdns":                     "",
	"autoconfig":               "mail",
	"web":                      "mail autoconfig",
	"queue":                    "mail mail/message store dsn clock words",
	"bridge":                   "mail store words",
	"deliver":                  "mail mail/message store",
	"lan":                      "mail store",
	"smtpd":                    "mail mail/message signin lan",
	"imapd":                    "mail mail/message mail/text store signin search imapd/thread imapd/wire",
	"imapd/thread":             "",
	"imapd/wire":               "",
	"pop3d":                    "mail mail/message store signin",
	"caps":                     "mail store words",
	"events":                   "mail store dsn words",
	"reports":                  "mail mail/message store dnsplan words",
	"session":                  "mail store signin words",
	"admin":                    "mail config store certs signin session outbound relay relay/preset queue bridge caps lan check dnsplan dnsplan/publish zones address reports events vacation clock sign words update/agent",
	"web/page":                 "words",
	"vacation":                 "mail mail/message store dsn deliver",
	"web/dash":                 "mail store config certs queue check events dnsplan dnsplan/publish outbound relay relay/preset bridge session admin words web/page web/dash/delivery web/dash/logring autoconfig update update/agent",
	"web/dash/logring":         "",
	"web/dash/delivery":        "",
	"web/dash/dashtest":        "mail store config certs queue check events dnsplan dnsplan/publish outbound relay relay/preset bridge caps reports session zones admin words autoconfig web/page web/dash web/dash/logring update update/agent",
	"web/me":                   "mail store events session signin vacation admin web/page autoconfig",
	"web/enter":                "mail store signin session web/page",
	"web/api":                  "mail store session admin firstboot",
	"firstboot":                "mail store session admin certs bridge outbound relay relay/preset check dnsplan dnsplan/publish zones",
	"appliance/slots":          "",
	"update":                   "appliance/slots",
	"update/agent":             "update store",
	"update/press":             "update update/agent",
	"packaging":                "store update update/press packaging/sbom",
	"packaging/sbom":           "",
	"firstboot/wizard":         "mail store firstboot admin session check dnsplan dnsplan/publish relay/preset web/page autoconfig",
	"appliance":                "internal/disk appliance/slots update appliance/modules appliance/network appliance/volume appliance/timekeeper appliance/sandbox appliance/supervise appliance/watchdog appliance/letters appliance/move appliance/wire",
	"appliance/console":        "",
	"appliance/console/glyphs": "appliance/console",
	"appliance/client":         "appliance/move appliance/volume appliance/wire",
	"appliance/timekeeper":     "",
	"appliance/network":        "appliance/supervise",
	"appliance/supervise":      "appliance/wire",
	"appliance/modules":        "",
	"image":                    "appliance/slots internal/disk image/depmod image/fetch",
	"image/depmod":             "",
	"image/fetch":              "",
	"image/initrd":             "appliance/modules internal/disk",
	"appliance/sandbox":        "",
	"appliance/wire":           "",
	"appliance/volume":         "internal/disk",
	"appliance/watchdog":       "",
	"appliance/letters":        "",
	"appliance/move":           "appliance/volume internal/disk",
}

// A rule names a module or a package of the standard library, and the only
// places that may import it: directories, or files by the start of their names.
type rule struct {
	imports string
	only    string // nobody, if empty
	tests   bool   // may too
}

var rules = []rule{
	{"github.com/dgraph-io/badger", "store", false},
	{"github.com/BurntSushi/toml", "config firstboot", false},
	{"github.com/emersion/go-smtp", "smtpd cmd/homemail", true}, // the command: the client that try shows
	{"github.com/emersion/go-imap", "imapd bridge cmd/homemail search", true},
	{"github.com/go-webauthn", "session", true},
	{"github.com/emersion/go-msgauth", "mailauth sign", true},
	{"blitiri.com.ar/go/spf", "mailauth", true},
	{"github.com/caddyserver/certmagic", "certs", true},
	{"github.com/mholt/acmez", "certs", true},
	{"go.uber.org/zap", "certs", true},
	{"github.com/libdns", "dnsplan/publish certs", true},
	{"github.com/miekg/dns", "resolver internal/mailtest", true},
	{"github.com/prometheus", "metrics", false},
	{"github.com/alecthomas/kong", "cmd", false},
	{"flag", "cmd image packaging", true},
	{"net/http/pprof", "admin", false},
	{"net/textproto", "", true},                    // takes a bare LF for a line's end: SMTP smuggling
	{"os/exec", "image appliance packaging", true}, // no address and no message ever reaches a program
	{"github.com/dlclark/regexp2", "", false},      // backtracks without bound
	{"github.com/insomniacslk/dhcp", "appliance/network", true},
	{"github.com/jsimonetti/rtnetlink", "appliance/network", true},
	{"github.com/beevik/ntp", "appliance/timekeeper", true},
	{"github.com/landlock-lsm/go-landlock", "appliance/sandbox", true},
	{"golang.org/x/image", "appliance/console image", true},
	{"github.com/emersion/go-message", "", true}, // its header reader has no limit
}

// A ban is a name that may not be used outside one directory. An empty package
// bans the name of any package or type.
type ban struct {
	pkg, name string
	only      string
	tests     bool // may too
}

var bans = []ban{
	{"", "WithTTL", "", false}, // Badger's clock is the wall clock: a board that boots in 2036 deletes everything
	{"github.com/dgraph-io/badger/v4", "Open", "store", false},
	{"github.com/dgraph-io/badger/v4", "OpenManaged", "store", false},
	{"net/mail", "ReadMessage", "", true}, // bare LF, and no limits
}

func TestLayers(t *testing.T) {
	root := "../.."
	n := 0
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name := d.Name(); d.IsDir() && p != root && (name == "testdata" || name == "third_party" || strings.HasPrefix(name, ".")) {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(p, ".go") {
			return nil
		}
		src, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		n++
		for _, bad := range check(filepath.ToSlash(rel), src) {
			t.Error(bad)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n < len(layers) {
		t.Errorf("only %d files were read", n)
	}
}

// check returns what a file does that it may not.
func check(file string, src []byte) (bad []string) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, src, parser.SkipObjectResolution)
	if err != nil {
		return []string{err.Error()}
	}
	names := map[string]string{} // of the imports in this file
	report := func(at token.Pos, format string, args ...any) {
		bad = append(bad, fmt.Sprintf("%s: %s", fset.Position(at), fmt.Sprintf(format, args...)))
	}
	for _, imp := range f.Imports {
		p, err := strconv.Unquote(imp.Path.Value)
		if err != nil {
			report(imp.Pos(), "%v", err)
			continue
		}
		names[importName(imp, p)] = p
		if names["."] != "" {
			report(imp.Pos(), "a dot import hides what is used")
		}
		if why := checkImport(file, p); why != "" {
			report(imp.Pos(), "%s", why)
		}
	}
	if pkg := path.Dir(file); !free(file) && !known(pkg) {
		report(f.Package, "package %s is not in the table of layers", pkg)
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if sel, ok := n.(*ast.SelectorExpr); ok {
			if why := checkUse(file, names, sel); why != "" {
				report(sel.Pos(), "%s", why)
			}
		}
		return true
	})
	return bad
}

func checkImport(file, imp string) string {
	if ours, ok := strings.CutPrefix(imp, module+"/"); ok && !free(file) {
		if !slices.Contains(strings.Fields(layers[path.Dir(file)]), ours) {
			return fmt.Sprintf("%s imports %s; it may import only [%s]", path.Dir(file), ours, layers[path.Dir(file)])
		}
	}
	for _, r := range rules {
		if (imp == r.imports || strings.HasPrefix(imp, r.imports+"/")) && !within(file, r.only) && !(r.tests && isTest(file)) {
			return fmt.Sprintf("imports %s; only [%s] may", imp, r.only)
		}
	}
	return ""
}

func checkUse(file string, names map[string]string, sel *ast.SelectorExpr) string {
	for _, b := range bans {
		if sel.Sel.Name != b.name || within(file, b.only) || b.tests && isTest(file) {
			continue
		}
		id, ok := sel.X.(*ast.Ident)
		if b.pkg == "" || ok && names[id.Name] == b.pkg {
			return fmt.Sprintf("uses %s %s; only [%s] may", b.pkg, b.name, b.only)
		}
	}
	return ""
}

// importName is what a file calls an import: its last element, before a major
// version, unless it is renamed.
func importName(imp *ast.ImportSpec, p string) string {
	if imp.Name != nil {
		return imp.Name.Name
	}
	base := path.Base(p)
	if len(base) > 1 && base[0] == 'v' && strings.Trim(base[1:], "0123456789") == "" {
		base = path.Base(path.Dir(p))
	}
	return base
}

func known(pkg string) bool { _, ok := layers[pkg]; return ok }

func isTest(file string) bool {
	return strings.HasSuffix(file, "_test.go") || strings.HasPrefix(file, "test/")
}

// free reports whether a file may import any of our packages.
func free(file string) bool {
	return isTest(file) || strings.HasPrefix(file, "cmd/") || strings.HasPrefix(file, "internal/")
}

// within reports whether a file is in one of the places.
func within(file, places string) bool {
	return slices.ContainsFunc(strings.Fields(places), func(p string) bool {
		return strings.HasPrefix(file, p+"/") || strings.HasPrefix(file, p+".") || strings.HasPrefix(file, p+"_")
	})
}

// TestCheck shows that the check fails where it should, and only there.
func TestCheck(t *testing.T) {
	for _, tt := range []struct{ file, src, want string }{
		{"smtpd/a.go", `import "homemail/mail"`, ""},
		{"smtpd/a.go", `import "homemail/store"`, "smtpd imports store"},
		{"smtpd/a_test.go", `import "homemail/store"`, ""},
		{"mail/a.go", `import "homemail/config"`, "mail imports config"},
		{"store/a.go", `import "homemail/mail/message"`, ""},
		{"store/a.go", `import "homemail/internal/mailtest"`, "store imports internal/mailtest"},
		{"cmd/homemail/a.go", `import "homemail/internal/mailtest"; import "homemail/store"`, ""},
		{"webmail/a.go", ``, "package webmail is not in the table"},
		{"smtpd/sub/a.go", ``, "package smtpd/sub is not in the table"},
		{"a.go", ``, "package . is not in the table"},
		{"test/client/a.go", `import "os/exec"`, ""},

		{"store/a.go", `import "github.com/dgraph-io/badger/v4"; func f() { badger.Open(o) }`, ""},
		{"imapd/a.go", `import "github.com/dgraph-io/badger/v4/options"`, "imports github.com/dgraph-io/badger/v4/options"},
		{"store/a.go", `func f() { e.WithTTL(1) }`, "uses  WithTTL"},
		{"store/a_test.go", `func f() { e.WithTTL(1) }`, "uses  WithTTL"},
		{"test/a_test.go", `import b "github.com/dgraph-io/badger/v4"; func f() { b.Open(o) }`, "uses github.com/dgraph-io/badger/v4 Open"},
		{"test/a_test.go", `import "github.com/dgraph-io/badger/v4"; func f() { badger.Open(o) }`, "uses github.com/dgraph-io/badger/v4 Open"},
		{"pop3d/a.go", `func f() { os.Open(o) }`, ""},
		{"signin/a.go", `import "github.com/BurntSushi/toml"`, "only [config firstboot] may"},
		{"cmd/homemail/a.go", `import "github.com/BurntSushi/toml"`, "only [config firstboot] may"},
		{"config/a.go", `import "github.com/BurntSushi/toml"`, ""},
		{"deliver/a.go", `import "github.com/emersion/go-smtp"`, "only [smtpd cmd/homemail] may"},
		{"deliver/a_test.go", `import "github.com/emersion/go-smtp"`, ""},
		{"cmd/homemail/try.go", `import "github.com/emersion/go-imap/v2/imapclient"`, ""},
		{"pop3d/a.go", `import "github.com/emersion/go-imap/v2"`, "only [imapd bridge cmd/homemail search] may"},
		{"listen/a.go", `import "github.com/prometheus/client_golang/prometheus"`, "only [metrics] may"},
		{"listen/a.go", `import "flag"`, "only [cmd image packaging] may"},
		{"cmd/homemail/main.go", `import "flag"`, ""},
		{"smtpd/a.go", `import "net/textproto"`, "imports net/textproto; only [] may"},
		{"smtpd/a_test.go", `import "net/textproto"`, ""},
		{"smtpd/a.go", `import "os/exec"`, "imports os/exec"},
		{"cmd/homemail/a.go", `import "os/exec"`, "imports os/exec"},
		{"smtpd/a_test.go", `import "os/exec"`, ""},
		{"mail/message/a.go", `import "net/mail"; func f() { mail.ParseDate(s) }`, ""},
		{"mail/message/a.go", `import "net/mail"; func f() { mail.ReadMessage(r) }`, "uses net/mail ReadMessage"},
		{"mail/message/a.go", `import m "net/mail"; func f() { m.ReadMessage(r) }`, "uses net/mail ReadMessage"},
		{"store/a.go", `import "homemail/mail"; func f() { mail.ReadMessage(r) }`, ""},
		{"smtpd/a.go", `import . "net/mail"`, "hides what is used"},
		{"store/a.go", `import`, "missing import path"},
	} {
		got := strings.Join(check(tt.file, []byte("package p\n"+tt.src)), "\n")
		if tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%s with %s: got %q, want %q", tt.file, tt.src, got, tt.want)
		}
	}
}
