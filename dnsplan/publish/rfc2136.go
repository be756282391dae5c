package publish

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/libdns/libdns"
	"github.com/libdns/rfc2136"
)

// update is a server of one's own that takes dynamic updates (RFC 2136) signed
// by TSIG (RFC 8945), and shows its zone by AXFR to who has the key.
type update struct{ *rfc2136.Provider }

func newUpdate(c map[string]string, _ *http.Client) (Provider, error) {
	server := c["server"]
	if _, _, err := net.SplitHostPort(server); err != nil {
		server = net.JoinHostPort(strings.Trim(server, "[]"), "53")
	}
	alg := strings.ToLower(strings.TrimSuffix(c["algorithm"], "."))
	if alg == "" {
		alg = "hmac-sha256"
	}
	if !slices.Contains([]string{"hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384", "hmac-sha512"}, alg) {
		return nil, fmt.Errorf("%w: algorithm %q is none of TSIG's", ErrCredentials, alg)
	}
	if _, err := base64.StdEncoding.DecodeString(c["key"]); err != nil {
		return nil, fmt.Errorf("%w: the key is not in base64", ErrCredentials)
	}
	return update{&rfc2136.Provider{KeyName: strings.ToLower(c["key_name"]), KeyAlg: alg, Key: c["key"], Server: server}}, nil
}

// GetRecords leaves out what the server makes itself.
func (u update) GetRecords(ctx context.Context, zone string) ([]libdns.Record, error) {
	all, err := u.Provider.GetRecords(ctx, zone)
	return slices.DeleteFunc(all, func(r libdns.Record) bool {
		switch r.RR().Type {
		case "RRSIG", "NSEC", "NSEC3", "NSEC3PARAM", "DNSKEY", "CDS", "CDNSKEY":
			return true
		}
		return false
	}), err
}

// SetRecords replaces a set in one message, unless some of it stays: that is
// others', and stays as it is, byte by byte. Then what comes is added first.
func (u update) SetRecords(ctx context.Context, zone string, records []libdns.Record) ([]libdns.Record, error) {
	all, err := u.GetRecords(ctx, zone)
	if err != nil {
		return nil, err
	}
	for _, group := range groups(records) {
		var there []item
		for _, r := range all {
			if rr := r.RR(); rr.Name == group[0].RR().Name && rr.Type == group[0].RR().Type {
				there = append(there, item{RR: rr})
			}
		}
		missing, extra := compareItems(group, there)
		switch {
		case group[0].RR().Type == "CNAME":
			// To add one replaces the other, RFC 2136 §3.4.2.2. Knot 3.2 has none
			// in the end if it is told to remove and to add.
			_, err = u.AppendRecords(ctx, zone, group)
		case len(extra) == len(there):
			_, err = u.Provider.SetRecords(ctx, zone, group)
		default:
			err = u.exchange(ctx, zone, missing, extra)
		}
		if err != nil {
			return nil, err
		}
	}
	return records, nil
}

func (u update) exchange(ctx context.Context, zone string, missing []libdns.RR, extra []item) error {
	if len(missing) > 0 {
		var in []libdns.Record
		for _, rr := range missing {
			in = append(in, rr)
		}
		if _, err := u.AppendRecords(ctx, zone, in); err != nil {
			return err
		}
	}
	var out []libdns.Record
	for _, it := range extra {
		out = append(out, it.RR)
	}
	if len(out) == 0 {
		return nil
	}
	_, err := u.DeleteRecords(ctx, zone, out)
	return err
}
