package wizard

import (
	"io"
	"net/url"
)

func copyAll(to io.Writer, from io.Reader) (int64, error) { return io.Copy(to, from) }

// cookies are what a visitor would send.
func cookies(v *visitor) (list []string) {
	u, err := url.Parse(v.URL)
	if err != nil {
		v.t.Fatal(err)
	}
	for _, c := range v.Jar.Cookies(u) {
		list = append(list, c.Name+"="+c.Value)
	}
	return list
}
