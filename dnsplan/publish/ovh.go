package publish

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/libdns/libdns"
)

// ovh is OVHcloud, https://help.ovhcloud.com/csm/en-api-getting-started-ovhcloud-api
// and https://api.ovh.com/console/?section=%2Fdomain.
type ovh struct {
	rest
	appKey, appSecret, consumerKey string

	mu    sync.Mutex
	shift *time.Duration // of their clock against ours, which a board may have wrong
}

// ovhBases are OVHcloud's companies.
var ovhBases = map[string]string{
	"":       "https://eu.api.ovh.com/1.0",
	"ovh-eu": "https://eu.api.ovh.com/1.0",
	"ovh-ca": "https://ca.api.ovh.com/1.0",
	"ovh-us": "https://api.us.ovhcloud.com/1.0",
}

func newOVH(c map[string]string, client *http.Client) (Provider, error) {
	base, ok := ovhBases[c["endpoint"]]
	if !ok {
		return nil, fmt.Errorf("%w: endpoint %q is none of ovh-eu, ovh-ca, ovh-us", ErrCredentials, c["endpoint"])
	}
	o := &ovh{appKey: c["application_key"], appSecret: c["application_secret"], consumerKey: c["consumer_key"]}
	o.rest = rest{base: base, client: client, auth: o.sign}
	return newByRecord(o), nil
}

type ovhRecord struct {
	ID        int64  `json:"id,omitempty"`
	FieldType string `json:"fieldType,omitempty"`
	SubDomain string `json:"subDomain"`
	Target    string `json:"target"`
	TTL       int    `json:"ttl"`
}

// ovhTexts are types of OVH's own, which in the DNS are TXT.
var ovhTexts = map[string]bool{"SPF": true, "DKIM": true, "DMARC": true}

// sign authorises a request as OVH describes it.
func (o *ovh) sign(r *http.Request, body []byte) {
	o.mu.Lock()
	now := time.Now()
	if o.shift != nil {
		now = now.Add(*o.shift)
	}
	o.mu.Unlock()
	stamp := strconv.FormatInt(now.Unix(), 10)
	sum := sha1.Sum([]byte(strings.Join([]string{o.appSecret, o.consumerKey, r.Method, r.URL.String(), string(body), stamp}, "+")))
	r.Header.Set("X-Ovh-Application", o.appKey)
	r.Header.Set("X-Ovh-Consumer", o.consumerKey)
	r.Header.Set("X-Ovh-Timestamp", stamp)
	r.Header.Set("X-Ovh-Signature", "$1$"+hex.EncodeToString(sum[:]))
}

// setClock asks what time it is there, once.
func (o *ovh) setClock(ctx context.Context) error {
	o.mu.Lock()
	known := o.shift != nil
	o.mu.Unlock()
	if known {
		return nil
	}
	var now int64
	if err := o.do(ctx, http.MethodGet, "/auth/time", nil, &now); err != nil {
		return err
	}
	shift := time.Until(time.Unix(now, 0))
	o.mu.Lock()
	o.shift = &shift
	o.mu.Unlock()
	return nil
}

func (o *ovh) path(zone, rest string) string { return "/domain/zone/" + url.PathEscape(zone) + rest }

// list asks for each record by itself: there is no other way.
func (o *ovh) list(ctx context.Context, zone string) ([]item, error) {
	if err := o.setClock(ctx); err != nil {
		return nil, err
	}
	var ids []int64
	if err := o.do(ctx, http.MethodGet, o.path(zone, "/record"), nil, &ids); err != nil {
		return nil, err
	}
	var out []item
	for _, n := range ids {
		id := strconv.FormatInt(n, 10)
		var r ovhRecord
		err := o.do(ctx, http.MethodGet, o.path(zone, "/record/"+id), nil, &r)
		if isStatus(err, http.StatusNotFound) {
			continue // gone meanwhile
		}
		if err != nil {
			return nil, err
		}
		rr := libdns.RR{Name: strings.ToLower(r.SubDomain), Type: r.FieldType, TTL: time.Duration(r.TTL) * time.Second}
		if rr.Name == "" {
			rr.Name = "@"
		}
		if ovhTexts[rr.Type] {
			rr.Type = "TXT"
		}
		rr.Data = spoken(rr.Type, r.Target)
		out = append(out, item{id, rr})
	}
	return out, nil
}

// ovhOf is a record in OVH's form: a text is one string in quotes, however long.
func ovhOf(rr libdns.RR) ovhRecord {
	r := ovhRecord{FieldType: rr.Type, SubDomain: rr.Name, Target: rr.Data, TTL: max(60, seconds(rr.TTL))}
	if r.SubDomain == "@" {
		r.SubDomain = ""
	}
	if rr.Type == "TXT" {
		r.Target = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(rr.Data) + `"`
	}
	return r
}

func (o *ovh) create(ctx context.Context, zone string, rr libdns.RR) error {
	return o.do(ctx, http.MethodPost, o.path(zone, "/record"), ovhOf(rr), nil)
}

func (o *ovh) update(ctx context.Context, zone, id string, rr libdns.RR) error {
	r := ovhOf(rr)
	r.FieldType = "" // it stays
	return o.do(ctx, http.MethodPut, o.path(zone, "/record/"+id), r, nil)
}

func (o *ovh) remove(ctx context.Context, zone, id string) error {
	return o.do(ctx, http.MethodDelete, o.path(zone, "/record/"+id), nil, nil)
}

// refresh lets changes come into force.
func (o *ovh) refresh(ctx context.Context, zone string) error {
	return o.do(ctx, http.MethodPost, o.path(zone, "/refresh"), nil, nil)
}
