package certs

import (
	"context"
	"strings"
	"time"

	"github.com/libdns/libdns"
)

// leftovers remember the records of DNS-01 that are in a zone, or may be: what a
// crash leaves there is taken away at the next start.
type leftovers struct{ state State } // nil remembers nothing

const leftPath = "acme-dns/" // + name of the record + "/" + value, which is base64url

// keep remembers a record, durably, before it is made.
func (l leftovers) keep(name, value string) error {
	if l.state == nil {
		return nil
	}
	return l.state.PutState(leftPath+name+"/"+value, []byte{1})
}

// forget is for a record that is not there any more.
func (l leftovers) forget(name, value string) error {
	if l.state == nil {
		return nil
	}
	return l.state.PutState(leftPath+name+"/"+value, nil)
}

const sweepTime = 30 * time.Second // for all: orders wait, since a CA may ask for the same value again

// sweep takes away what is left. What cannot be taken away now is at the next
// start.
func (k *keeper) sweep(ctx context.Context) {
	var list []string
	err := k.storage.state.States(leftPath, func(path string, _ []byte) bool {
		list = append(list, strings.TrimPrefix(path, leftPath))
		return true
	})
	if err != nil {
		k.log.Warn("records left of a check by the CA cannot be listed", "err", err)
	}
	ctx, cancel := context.WithTimeout(ctx, sweepTime)
	defer cancel()
	left := leftovers{k.storage.state}
	for _, row := range list {
		name, value, _ := strings.Cut(row, "/")
		zone := k.zone(name)
		if zone == nil {
			k.log.Warn("a record is left of a check by the CA, and the DNS host is not known any more: remove it by hand", "record", name)
			continue
		}
		rr := libdns.TXT{Name: libdns.RelativeName(name, zone.Name), Text: value, TTL: challengeTTL}
		_, err := zone.Provider.DeleteRecords(ctx, zone.Name+".", []libdns.Record{rr})
		if err == nil {
			err = left.forget(name, value)
		}
		if err != nil {
			k.log.Warn("a record left of a check by the CA was not removed", "record", name, "err", err)
			continue
		}
		k.log.Info("a record left of a check by the CA is removed", "record", name)
	}
}
