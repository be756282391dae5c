package admin

import (
	"errors"

	"homemail/bridge"
	"homemail/certs"
	"homemail/dnsplan"
	"homemail/dnsplan/publish"
	"homemail/lan"
	"homemail/queue"
	"homemail/signin"
	"homemail/store"
	"homemail/zones"
)

// A Kind is what sort of error an operation returned, for faces that tell
// programs by a number.
type Kind uint8

// The kinds. Other is what nobody foresaw, such as another server's words.
const (
	Other       Kind = iota
	Impossible       // as it was asked for; the words say what would be possible
	NotFound         // what the request names
	Exists           // what the request would make
	Conflict         // with what is under way, or has changed meanwhile
	Unavailable      // for now: a disk that is full, too many at once
)

// kinds are looked through in order: an error may be several.
var kinds = []struct {
	kind Kind
	errs []error
}{
	{Unavailable, []error{store.ErrDiskFull, store.ErrBroken, store.ErrClosed, signin.ErrBusy}},
	{NotFound, []error{store.ErrNotFound, lan.ErrNotFound}},
	{Exists, []error{store.ErrExists, lan.ErrExists}},
	{Conflict, []error{queue.ErrBusy, publish.ErrChanged}},
	{Impossible, []error{
		store.ErrInvalid, store.ErrOverQuota, signin.ErrDenied, bridge.ErrInvalid, lan.ErrInvalid, dnsplan.ErrInput, certs.ErrNoConsent,
		zones.ErrNoZone, zones.ErrSealed, publish.ErrProvider, publish.ErrCredentials, publish.ErrNoFormer,
	}},
}

// KindOf sorts an error of Do.
func KindOf(err error) Kind {
	for _, k := range kinds {
		for _, e := range k.errs {
			if errors.Is(err, e) {
				return k.kind
			}
		}
	}
	return Other
}
