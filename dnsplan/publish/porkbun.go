package publish

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/libdns/libdns"
)

// porkbun is Porkbun, https://porkbun.com/api/json/v3/documentation. All
// requests are posts that carry the keys.
type porkbun struct {
	rest
	key, secret string
}

func newPorkbun(c map[string]string, client *http.Client) (Provider, error) {
	return newByRecord(&porkbun{
		rest: rest{base: "https://api.porkbun.com/api/json/v3", client: client, auth: func(*http.Request, []byte) {}},
		key:  c["api_key"], secret: c["secret_key"],
	}), nil
}

const porkbunMinTTL = 600

type pbRecord struct {
	Key    string `json:"apikey,omitempty"`
	Secret string `json:"secretapikey,omitempty"`

	ID      loose  `json:"id,omitempty"`
	Name    string `json:"name"` // full in answers, below the domain in requests
	Type    string `json:"type,omitempty"`
	Content string `json:"content,omitempty"`
	TTL     loose  `json:"ttl,omitempty"`
	Prio    loose  `json:"prio,omitempty"`
}

// loose is a number that comes as a string, as a number, or as null.
type loose string

// UnmarshalJSON takes the number out of its quotes.
func (l *loose) UnmarshalJSON(b []byte) error {
	*l = loose(strings.Trim(strings.ReplaceAll(string(b), "null", ""), `"`))
	return nil
}

func (p *porkbun) post(ctx context.Context, path string, r pbRecord, out any) error {
	r.Key, r.Secret = p.key, p.secret
	return p.do(ctx, http.MethodPost, path, r, out)
}

func (p *porkbun) list(ctx context.Context, zone string) ([]item, error) {
	var list struct {
		Status  string
		Message string
		Records []pbRecord
	}
	if err := p.post(ctx, "/dns/retrieve/"+url.PathEscape(zone), pbRecord{}, &list); err != nil {
		return nil, err
	}
	if list.Status != "SUCCESS" { // else a zone that was not read would look empty
		return nil, errors.New("the DNS host answers: " + list.Message)
	}
	var out []item
	for _, r := range list.Records {
		ttl, _ := strconv.Atoi(string(r.TTL))
		rr := libdns.RR{Name: relative(canonical(r.Name), zone), Type: r.Type, TTL: time.Duration(ttl) * time.Second, Data: r.Content}
		switch r.Type {
		case "MX", "SRV":
			rr.Data = string(r.Prio) + " " + r.Content
		case "TXT":
			rr.Data = spoken("TXT", r.Content)
		}
		rr.Data = form(rr)
		out = append(out, item{url.PathEscape(string(r.ID)), rr})
	}
	return out, nil
}

func (p *porkbun) send(ctx context.Context, path string, rr libdns.RR) error {
	r := pbRecord{Name: rr.Name, Type: rr.Type, Content: rr.Data, TTL: loose(strconv.Itoa(max(porkbunMinTTL, seconds(rr.TTL))))}
	if r.Name == "@" {
		r.Name = ""
	}
	switch rr.Type {
	case "MX", "SRV":
		prio, rest, _ := strings.Cut(rr.Data, " ")
		r.Prio, r.Content = loose(prio), strings.TrimSuffix(rest, ".")
		if r.Content == "" || strings.HasSuffix(r.Content, " ") { // the root: no such service
			r.Content += "."
		}
	case "CNAME":
		r.Content = strings.TrimSuffix(rr.Data, ".")
	}
	var done struct{ Status, Message string }
	if err := p.post(ctx, path, r, &done); err != nil {
		return err
	}
	if done.Status != "SUCCESS" {
		return errors.New("the DNS host answers: " + done.Message)
	}
	return nil
}

func (p *porkbun) create(ctx context.Context, zone string, rr libdns.RR) error {
	return p.send(ctx, "/dns/create/"+url.PathEscape(zone), rr)
}

func (p *porkbun) update(ctx context.Context, zone, id string, rr libdns.RR) error {
	return p.send(ctx, "/dns/edit/"+url.PathEscape(zone)+"/"+id, rr)
}

func (p *porkbun) remove(ctx context.Context, zone, id string) error {
	var done struct{ Status, Message string }
	if err := p.post(ctx, "/dns/delete/"+url.PathEscape(zone)+"/"+id, pbRecord{}, &done); err != nil {
		return err
	}
	if done.Status != "SUCCESS" {
		return errors.New("the DNS host answers: " + done.Message)
	}
	return nil
}
