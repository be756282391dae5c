package router

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Limits of what a router may answer. The largest descriptions seen have 40 KB.
const (
	maxBody     = 256 << 10
	maxHeader   = 16 << 10
	maxDepth    = 24
	maxElements = 8192
	maxText     = 1024 // bytes of one element; the rest is cut
	maxServices = 64
	httpTime    = 5 * time.Second
)

// A service is one of a router's, as its description names it.
type service struct {
	kind    string
	control *url.URL
}

// A igd is an Internet Gateway Device.
type igd struct {
	r        *Router
	hop      Hop
	at       *url.URL // of its description
	model    string
	page     string
	services []service
}

// client goes to the gateway and nowhere else, follows nothing and keeps
// nothing.
func (g *igd) client() *http.Client {
	return &http.Client{
		Timeout: httpTime,
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, hostport string) (net.Conn, error) {
				to, err := g.hop.target(hostport)
				if err != nil {
					return nil, err
				}
				return g.r.o.Dial(ctx, g.hop.Own.Addr(), to)
			},
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxHeader,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (g *igd) do(req *http.Request) (status int, body []byte, err error) {
	res, err := g.client().Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	if err == nil && len(body) > maxBody {
		err = errors.New("UPnP: the answer is too long")
	}
	return res.StatusCode, body, err
}

// read gets the description, UDA §2.
func (g *igd) read(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, g.at.String(), nil)
	if err != nil {
		return err
	}
	status, body, err := g.do(req)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("UPnP: %d", status)
	}
	d, err := parseDescription(body)
	if err != nil {
		return err
	}
	base := g.at
	if u, err := url.Parse(d.base); err == nil && d.base != "" && g.hop.allows(u) == nil {
		base = u
	}
	for _, s := range d.services {
		u, err := base.Parse(s.control)
		if err == nil && g.hop.allows(u) == nil {
			g.services = append(g.services, service{s.kind, u})
		}
	}
	if len(g.services) == 0 {
		return errors.New("UPnP: the description names no service of the router's")
	}
	g.model = d.model()
	if u, err := base.Parse(d.page); err == nil && d.page != "" && g.hop.allows(u) == nil {
		g.page = u.String()
	}
	return nil
}

// A description is what we read of one: the first of each, which is the root's.
type description struct {
	base, maker, name, number, friendly, page string
	services                                  []struct{ kind, control string }
}

func (d description) model() string {
	name := d.name
	if name == "" {
		name = d.friendly
	}
	return printable(strings.Join(strings.Fields(strings.ToValidUTF8(d.maker+" "+name+" "+d.number, "")), " "), 100)
}

func parseDescription(b []byte) (d description, err error) {
	first := map[string]*string{"URLBase": &d.base, "manufacturer": &d.maker, "modelName": &d.name,
		"modelNumber": &d.number, "friendlyName": &d.friendly, "presentationURL": &d.page}
	var s struct{ kind, control string }
	err = scan(b, func(name, text string) {
		switch name {
		case "serviceType":
			s.kind = text
		case "controlURL":
			s.control = text
		case "service":
			if s.kind != "" && s.control != "" && len(d.services) < maxServices {
				d.services = append(d.services, s)
			}
			s.kind, s.control = "", ""
		default:
			if p := first[name]; p != nil && *p == "" {
				*p = text
			}
		}
	})
	return d, err
}

// scan calls each with the local name and the text of every element, at its end.
func scan(b []byte, each func(name, text string)) error {
	dec := xml.NewDecoder(strings.NewReader(strings.ToValidUTF8(string(b), "?")))
	// Only ASCII matters to us, and every encoding that is in use has that.
	dec.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	var text bytes.Buffer
	depth := 0
	for n := 0; ; n++ {
		t, err := dec.RawToken()
		if err == io.EOF {
			if depth != 0 || n == 0 {
				return io.ErrUnexpectedEOF
			}
			return nil
		}
		if err != nil {
			return err
		}
		if n == maxElements*3 {
			return errors.New("UPnP: too many elements")
		}
		switch t := t.(type) {
		case xml.Directive:
			return errors.New("UPnP: a document type") // nobody needs one but who means harm
		case xml.StartElement:
			if depth++; depth > maxDepth {
				return errors.New("UPnP: too deep")
			}
			text.Reset()
		case xml.CharData:
			text.Write(t[:min(len(t), maxText-min(text.Len(), maxText))])
		case xml.EndElement:
			if depth--; depth < 0 {
				return errors.New("UPnP: an end without a start")
			}
			each(t.Name.Local, strings.TrimSpace(text.String()))
			text.Reset()
		}
	}
}

// An upnpError is a fault that a device answered, UDA §3.2.2.
type upnpError struct {
	action string
	code   int
}

func (e *upnpError) Error() string { return fmt.Sprintf("UPnP %s: error %d", e.action, e.code) }

func isFault(err error, code int) bool {
	var e *upnpError
	return errors.As(err, &e) && e.code == code
}

// call calls an action with pairs of names and values, and returns the values
// that came back.
func (g *igd) call(ctx context.Context, s service, action string, args ...string) (map[string]string, error) {
	var b bytes.Buffer
	b.WriteString(`<?xml version="1.0"?>` + "\r\n" +
		`<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>` +
		`<u:` + action + ` xmlns:u="`)
	xml.EscapeText(&b, []byte(s.kind))
	b.WriteString(`">`)
	for i := 0; i+1 < len(args); i += 2 {
		b.WriteString("<" + args[i] + ">")
		xml.EscapeText(&b, []byte(args[i+1]))
		b.WriteString("</" + args[i] + ">")
	}
	b.WriteString("</u:" + action + "></s:Body></s:Envelope>\r\n")
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.control.String(), &b)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", mime.FormatMediaType("text/xml", map[string]string{"charset": "utf-8"}))
	req.Header["SOAPAction"] = []string{`"` + s.kind + "#" + action + `"`} // as it is written in the standard: some routers look at that
	status, body, err := g.do(req)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	if err := scan(body, func(name, text string) { out[name] = text }); err != nil {
		return nil, fmt.Errorf("UPnP %s: %d, %w", action, status, err)
	}
	if code, err := strconv.Atoi(out["errorCode"]); err == nil {
		return nil, &upnpError{action, code}
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("UPnP %s: %d", action, status)
	}
	return out, nil
}
