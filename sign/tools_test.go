package sign

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"homemail/test/need"
)

// signed writes the corpus with our signatures into a directory of its own. No
// bare line ending ever leaves the house, so those are not among it.
func signedCorpus(t *testing.T, s *Signer) (dir string, names []string) {
	t.Helper()
	dir = t.TempDir()
	even, odd := corpus()
	for _, name := range []string{"NUL", "no blank line"} {
		even[name] = odd[name]
	}
	for name, msg := range even {
		fields, err := signMessage(t, s, "example.test", msg)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		file := filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".eml")
		if err := os.WriteFile(file, append(fields, msg...), 0o600); err != nil {
			t.Fatal(err)
		}
		names = append(names, file)
	}
	return dir, names
}

// tamper writes a message that was changed on the way: the witness has to see
// it, or it is none.
func tamper(t *testing.T, dir string) (file string) {
	t.Helper()
	msg, err := os.ReadFile(filepath.Join(dir, "plain.eml"))
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, "tampered")
	if err := os.WriteFile(file, []byte(strings.Replace(string(msg), "Subject: Hello", "Subject: Hallo", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestDkimpy has dkimpy verify every signature, of both kinds.
func TestDkimpy(t *testing.T) {
	need.Tools(t, "python3")
	dir, files := signedCorpus(t, signer())
	tampered := tamper(t, dir)
	var zone []string
	for name, value := range records(t, testSet().Keys) {
		zone = append(zone, name+" "+value)
	}
	const script = `
import sys, dkim
zone = dict(line.split(b' ', 1) for line in sys.argv[1].encode().split(b'\n'))
for name in sys.argv[2:]:
    d = dkim.DKIM(open(name, 'rb').read())
    for i in (0, 1):
        try:
            ok = d.verify(idx=i, dnsfunc=lambda name, timeout=5: zone.get(name.rstrip(b'.')))
        except Exception as e:
            ok = e
        print(ok, i, name)
`
	args := append([]string{"-c", script, strings.Join(zone, "\n"), tampered}, files...)
	out, err := exec.Command("/usr/bin/python3", args...).CombinedOutput() // Debian's own: it has python3-dkim
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if good := strings.Count("\n"+string(out), "\nTrue "); good != 2*len(files) {
		t.Errorf("%d of %d signatures verify\n%s", good, 2*len(files), out)
	}
}

// TestOpenDKIM has OpenDKIM's library verify every message. It knows no
// Ed25519, so that a first run signs with RSA alone and a second shows that the
// other signature does no harm.
func TestOpenDKIM(t *testing.T) {
	need.Tools(t, "opendkim")
	for name, keys := range map[string][]Key{"rsa": testSet().Keys[:1], "both": testSet().Keys} {
		s := New(Options{Keys: fixed(keys), ClockTrusted: func() bool { return true }})
		dir, files := signedCorpus(t, s)
		var zone strings.Builder
		for name, value := range records(t, testSet().Keys) {
			fmt.Fprintf(&zone, "%s %s\n", name, value)
		}
		keyFile, conf := filepath.Join(dir, "keys"), filepath.Join(dir, "conf")
		if err := os.WriteFile(keyFile, []byte(zone.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		config := "Mode v\nSyslog no\nTestPublicKeys " + keyFile + "\n"
		if err := os.WriteFile(conf, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			switch filepath.Base(file) {
			case "NUL.eml", "no-final-newline.eml":
				continue // its test mode reads a file with fgets and loses what these are about
			}
			if out, ok := openDKIM(conf, file); !ok {
				t.Errorf("%s, %s:\n%s", name, filepath.Base(file), out)
			}
		}
		if out, ok := openDKIM(conf, tamper(t, dir)); ok {
			t.Errorf("%s: OpenDKIM does not see a change:\n%s", name, out)
		}
	}
}

func openDKIM(conf, file string) (out string, ok bool) {
	b, err := exec.Command("opendkim", "-x", conf, "-vv", "-t", file).CombinedOutput()
	out = string(b)
	return out, err == nil && strings.Contains(out, "verification (s=hm") && strings.Contains(out, "succeeded")
}
