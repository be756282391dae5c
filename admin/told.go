package admin

import (
	"errors"
	"fmt"

	"homemail/dnsplan/publish"
	"homemail/queue"
	"homemail/session"
	"homemail/sign"
	"homemail/signin"
	"homemail/store"
	"homemail/words"
	"homemail/zones"
)

// refusals are errors of packages below that an owner may read, with the keys of
// their words.
var refusals = []struct {
	err error
	key string
}{
	{store.ErrDiskFull, "admin.disk-full"},
	{store.ErrBroken, "admin.disk-broken"},
	{session.ErrShort, "admin.password-short"},
	{session.ErrLong, "admin.password-long"},
	{session.ErrCommon, "admin.password-common"},
	{session.ErrPersonal, "admin.password-personal"},
	{session.ErrLastOwner, "admin.last-owner"},
	{signin.ErrBusy, "admin.sign-in-busy"},
	{queue.ErrBusy, "admin.sending-now"},
	{publish.ErrChanged, "admin.zone-changed"},
	{publish.ErrNoFormer, "admin.no-former"},
	{zones.ErrSealed, "admin.sealed"},
	{sign.ErrRotating, "admin.keys-rotating"},
	{sign.ErrNoNext, "admin.keys-none"},
}

// others are the keys of errors that say nothing but what they say themselves.
var others = map[Kind]string{
	NotFound: "admin.other.missing", Exists: "admin.other.exists", Conflict: "admin.other.busy",
	Unavailable: "admin.other.unavailable", Impossible: "admin.other.impossible", Other: "admin.other.trouble",
}

// impossible is an error that is what was asked for, of a package that knows no
// store: in its own words, if it has some.
func impossible(err error) error {
	of := fmt.Errorf("%w: %w", store.ErrInvalid, err)
	if r := new(words.Reason); errors.As(err, &r) {
		return &words.Reason{Code: r.Code, Text: r.Text, Err: of}
	}
	return of
}

// CodeOf is the code of the reason that an error of Do is; "" of any other.
func CodeOf(err error) string {
	code, _ := words.Of(err)
	return code
}

// Told is an error in words for whoever asked: its code is for programs, its
// text in every language for people. Every error of Do is one.
func Told(err error) *words.Reason {
	if r, ok := err.(*words.Reason); ok {
		return r
	}
	var r *words.Reason
	if errors.As(err, &r) { // with more around it, which only English has
		return &words.Reason{Code: r.Code, Text: words.Text{EN: err.Error(), JA: r.JA}, Err: err}
	}
	for _, one := range refusals {
		if errors.Is(err, one.err) {
			return &words.Reason{Code: one.key, Text: words.Text{EN: err.Error(), JA: words.Say(one.key).In("ja")}, Err: err}
		}
	}
	key := others[KindOf(err)]
	return &words.Reason{Code: key, Text: words.Say(key, "said", err).Text(), Err: err}
}
