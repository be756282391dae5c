package publish

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// route53 is Amazon Route 53, https://docs.aws.amazon.com/Route53/latest/APIReference/.
// Its own client would bring some ten megabytes along for four requests.
type route53 struct{ rest }

const (
	r53Path  = "/2013-04-01"
	r53Space = "https://route53.amazonaws.com/doc/2013-04-01/"
	r53Page  = 300
)

func newRoute53(c map[string]string, client *http.Client) (Provider, error) {
	s := signer{keyID: c["access_key_id"], secret: c["secret_access_key"], region: "us-east-1", service: "route53"}
	return newBySet(&route53{rest{
		base: "https://route53.amazonaws.com", client: client, accept: "application/xml",
		auth:   func(r *http.Request, body []byte) { s.sign(r, body, time.Now()) },
		encode: xml.Marshal, decode: xml.Unmarshal,
	}}), nil
}

type r53Set struct {
	Name   string     `xml:"Name"`
	Type   string     `xml:"Type"`
	ID     string     `xml:"SetIdentifier,omitempty"`
	TTL    int        `xml:"TTL"`
	Values []r53Value `xml:"ResourceRecords>ResourceRecord"`
	Alias  *struct {
		DNSName string
	} `xml:"AliasTarget"`
}

type r53Value struct{ Value string }

func r53Values(list []value) (out []r53Value) {
	for _, v := range list {
		out = append(out, r53Value{v.raw})
	}
	return out
}

type r53Change struct {
	XMLName xml.Name  `xml:"ChangeResourceRecordSetsRequest"`
	Space   string    `xml:"xmlns,attr"`
	Changes []r53Step `xml:"ChangeBatch>Changes>Change"`
}

type r53Step struct {
	Action string
	Set    r53Set `xml:"ResourceRecordSet"`
}

// errByHand is of sets that are more than DNS records.
var errByHand = fmt.Errorf("%w: an alias or a set with a routing policy stands there, which only you can change", errRecord)

func (r *route53) zoneID(ctx context.Context, zone string) (string, error) {
	var out struct {
		Zones []struct {
			ID      string `xml:"Id"`
			Name    string
			Private bool `xml:"Config>PrivateZone"`
		} `xml:"HostedZones>HostedZone"`
	}
	if err := r.do(ctx, http.MethodGet, r53Path+"/hostedzonesbyname?dnsname="+url.QueryEscape(zone+".")+"&maxitems=20", nil, &out); err != nil {
		return "", err
	}
	for _, z := range out.Zones {
		if canonical(z.Name) == zone && !z.Private {
			return url.PathEscape(strings.TrimPrefix(z.ID, "/hostedzone/")), nil
		}
	}
	return "", fmt.Errorf("the account has no public hosted zone %s", zone)
}

func (r *route53) sets(ctx context.Context, zone string) ([]set, error) {
	id, err := r.zoneID(ctx, zone)
	if err != nil {
		return nil, err
	}
	query := url.Values{"maxitems": {itoa(r53Page)}}
	var out []set
	for range maxPages {
		var list struct {
			Sets      []r53Set `xml:"ResourceRecordSets>ResourceRecordSet"`
			Truncated bool     `xml:"IsTruncated"`
			Name      string   `xml:"NextRecordName"`
			Type      string   `xml:"NextRecordType"`
			ID        string   `xml:"NextRecordIdentifier"`
		}
		if err := r.do(ctx, http.MethodGet, r53Path+"/hostedzone/"+id+"/rrset?"+query.Encode(), nil, &list); err != nil {
			return nil, err
		}
		for _, s := range list.Sets {
			out = append(out, s.set(zone))
		}
		if !list.Truncated {
			return out, nil
		}
		query = url.Values{"maxitems": {itoa(r53Page)}, "name": {list.Name}, "type": {list.Type}}
		if list.ID != "" {
			query.Set("identifier", list.ID)
		}
	}
	return nil, errPages
}

func (s r53Set) set(zone string) set {
	name := spoken("TXT", `"`+s.Name+`"`) // \052 stands for *, as in RFC 1035 §5.1
	var texts []string
	for _, v := range s.Values {
		texts = append(texts, v.Value)
	}
	out := wireSet(relative(canonical(name), zone), s.Type, s.TTL, texts)
	if s.Alias != nil {
		out.values = []value{{data: "alias of " + canonical(s.Alias.DNSName)}}
	}
	out.byHand = s.Alias != nil || s.ID != ""
	return out
}

// put changes a set in one transaction.
func (r *route53) put(ctx context.Context, zone string, s set, old *set) error {
	if old != nil && old.byHand {
		return errByHand
	}
	id, err := r.zoneID(ctx, zone)
	if err != nil {
		return err
	}
	step := r53Step{"UPSERT", r53Set{Name: absolute(s.name, zone) + ".", Type: s.rtype, TTL: seconds(s.ttl), Values: r53Values(s.values)}}
	if len(s.values) == 0 { // only what is given exactly goes
		step.Action, step.Set.TTL, step.Set.Values = "DELETE", seconds(old.ttl), r53Values(old.values)
	}
	return r.do(ctx, http.MethodPost, r53Path+"/hostedzone/"+id+"/rrset/", r53Change{Space: r53Space, Changes: []r53Step{step}}, nil)
}
