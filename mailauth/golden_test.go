package mailauth

import (
	"bytes"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"homemail/internal/mailtest"
	"homemail/mail"
)

var update = flag.Bool("update", false, "write testdata/*.want anew")

// TestGolden judges the mails of testdata. NN-name.eml is the message, with LF;
// NN-name.dns says where it comes from and what the DNS says; NN-name.want is
// the verdict and the field made of it.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.eml")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(file, ".eml")
		t.Run(filepath.Base(name), func(t *testing.T) {
			s := readScene(t, name+".dns")
			k := New(s.options).Begin(t.Context(), s.origin)
			defer k.Close()
			k.Write(bytes.ReplaceAll(readFile(t, file), []byte("\n"), []byte("\r\n")))
			v := k.Verdict()
			got := describeVerdict(v)
			if *update {
				if err := os.WriteFile(name+".want", []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := string(readFile(t, name+".want")); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A scene is where a golden mail comes from, and the world around it.
type scene struct {
	origin  Origin
	options Options
}

// readScene reads lines of a word and its value, or of a record: type, name,
// value.
func readScene(t testing.TB, file string) scene {
	zone := mailtest.Zone{}
	var trusted, lists []string
	s := scene{origin: Origin{Remote: remote, Helo: "mail.example.org"}}
	for line := range strings.Lines(string(readFile(t, file))) {
		line = strings.TrimSpace(line)
		word, value, _ := strings.Cut(line, " ")
		switch word {
		case "", "#":
		case "remote":
			s.origin.Remote = netip.MustParseAddr(value)
		case "helo":
			s.origin.Helo = value
		case "from":
			s.origin.From = mail.Path(value)
		case "trust":
			trusted = append(trusted, value)
		case "list":
			lists = append(lists, value)
		default:
			name, value, _ := strings.Cut(value, " ")
			zone[word+" "+name] = append(zone[word+" "+name], value)
		}
	}
	in := func(list []string) func(string) bool {
		return func(s string) bool { return slices.Contains(list, s) }
	}
	s.options = Options{Host: "mx.example.jp", Resolver: zone, TrustedForwarders: in(trusted), AllowedLists: in(lists)}
	return s
}

func describeVerdict(v mail.Verdict) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", v.Disposition, v.Reason)
	fmt.Fprintf(&b, "spf   %+v\n", v.SPF)
	for _, s := range v.DKIM {
		fmt.Fprintf(&b, "dkim  %+v\n", s)
	}
	fmt.Fprintf(&b, "dmarc %+v\narc   %+v\niprev %+v\n\n%s", v.DMARC, v.ARC, v.IPRev,
		strings.ReplaceAll(string(Results("mx.example.jp", v)), "\r\n", "\n"))
	return b.String()
}
