package firstboot

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// A Greeting is what the box shows before it is somebody's: where its pages are,
// and the code.
type Greeting struct {
	Code        string       // "K7QM-4T2X"
	Name        string       // by mDNS, such as "homemail.local"; may be empty
	Addresses   []netip.Addr // of the box
	Port        int          // of its pages, HTTPS; 0 is 443
	Fingerprint string       // of its certificate; may be empty
}

// URLs are where the wizard is found, the easiest to type first.
func (g Greeting) URLs() (list []string) {
	hosts := []string{}
	if g.Name != "" {
		hosts = append(hosts, g.Name)
	}
	for _, is4 := range []bool{true, false} {
		for _, a := range g.Addresses {
			if a = a.Unmap(); a.Is4() == is4 && !a.IsLoopback() && !a.IsLinkLocalUnicast() && !a.IsMulticast() {
				hosts = append(hosts, a.String())
			}
		}
	}
	if len(hosts) == 0 {
		hosts = append(hosts, "127.0.0.1")
	}
	for _, h := range hosts {
		if g.Port != 0 && g.Port != 443 {
			h = net.JoinHostPort(h, strconv.Itoa(g.Port))
		} else if strings.Contains(h, ":") {
			h = "[" + h + "]"
		}
		list = append(list, "https://"+h+"/claim")
	}
	return list
}

// Link is where the wizard is found with the code filled in, for a QR code. The
// code is good for nothing any more once it was used, wherever the link is kept.
func (g Greeting) Link() string { return g.URLs()[0] + "?code=" + g.Code }

// Text is the greeting in both languages: nobody has chosen one yet.
func (g Greeting) Text() string {
	var b strings.Builder
	urls := g.URLs()
	for _, lang := range []string{"en", "ja"} {
		fmt.Fprintf(&b, "%s\n    %s\n%s\n    %s\n", Words(lang, Say("firstboot.hello.open")), urls[0], Words(lang, Say("firstboot.hello.code")), g.Code)
		if lang == "en" {
			b.WriteString("\n")
		}
	}
	fmt.Fprintf(&b, "\n%s\n    %s\n", Words("en", Say("firstboot.hello.link")), g.Link())
	if len(urls) > 1 {
		fmt.Fprintf(&b, "\n%s\n", Words("en", Say("firstboot.hello.also")))
		for _, u := range urls[1:] {
			fmt.Fprintf(&b, "    %s\n", u)
		}
	}
	if g.Fingerprint != "" {
		fmt.Fprintf(&b, "\n%s\n    %s\n", Words("en", Say("firstboot.hello.fingerprint")), g.Fingerprint)
	}
	return b.String()
}

// claimFile is on the partition that any computer can read.
const claimFile = "homemail-claim.txt"

// WriteFile puts the greeting into a directory. Its line ends are those that
// every editor knows.
func (g Greeting) WriteFile(dir string) error {
	return replaceFile(filepath.Join(dir, claimFile), []byte(strings.ReplaceAll(g.Text(), "\n", "\r\n")), 0o644)
}

// RemoveFile removes the greeting: the house is somebody's.
func RemoveFile(dir string) error {
	if err := os.Remove(filepath.Join(dir, claimFile)); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// replaceFile writes a file so that there is always the old or the new one, also
// after a power cut.
func replaceFile(name string, b []byte, mode os.FileMode) (err error) {
	f, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(name+".new", name)
	}
	if err != nil {
		os.Remove(name + ".new")
		return err
	}
	if d, err := os.Open(filepath.Dir(name)); err == nil { // FAT has no directories to flush: as far as it goes
		d.Sync()
		d.Close()
	}
	return nil
}
