package imapd

import (
	"homemail/imapd/wire"
)

// A state is one of RFC 9051 §3. Each command names those in which it may come.
type state int

const (
	notAuthenticated state = 1 << iota
	authenticated
	selected

	signedIn = authenticated | selected
	anyState = notAuthenticated | signedIn
)

// A verb is a command: the states in which it may come, and what it does. It
// reads its arguments to the end of the line before it does anything.
type verb struct {
	in  state
	run func(*session, *call) error
}

// verbs are all commands.
var verbs = map[string]verb{
	"CAPABILITY": {anyState, (*session).capability}, // RFC 9051 §6.1.1
	"NOOP":       {anyState, (*session).noop},       // §6.1.2
	"LOGOUT":     {anyState, (*session).logout},     // §6.1.3
	"ID":         {anyState, (*session).id},         // RFC 2971

	"STARTTLS":     {notAuthenticated, (*session).startTLS},     // §6.2.1
	"AUTHENTICATE": {notAuthenticated, (*session).authenticate}, // §6.2.2
	"LOGIN":        {notAuthenticated, (*session).login},        // §6.2.3

	"UNAUTHENTICATE": {signedIn, (*session).unauthenticate}, // RFC 8437

	"ENABLE":      {signedIn, (*session).enable},      // §6.3.1
	"SELECT":      {signedIn, (*session).selectBox},   // §6.3.2
	"EXAMINE":     {signedIn, (*session).selectBox},   // §6.3.3
	"CREATE":      {signedIn, (*session).create},      // §6.3.4
	"DELETE":      {signedIn, (*session).delete},      // §6.3.5
	"RENAME":      {signedIn, (*session).rename},      // §6.3.6
	"SUBSCRIBE":   {signedIn, (*session).subscribe},   // §6.3.7
	"UNSUBSCRIBE": {signedIn, (*session).unsubscribe}, // §6.3.8
	"LIST":        {signedIn, (*session).list},        // §6.3.9
	"LSUB":        {signedIn, (*session).lsub},        // RFC 3501 §6.3.9
	"NAMESPACE":   {signedIn, (*session).namespace},   // §6.3.10
	"STATUS":      {signedIn, (*session).status},      // §6.3.11
	"APPEND":      {signedIn, (*session).append},      // §6.3.12
	"IDLE":        {signedIn, (*session).idle},        // §6.3.13

	"COMPRESS":     {signedIn, (*session).compress},     // RFC 4978
	"ESEARCH":      {signedIn, (*session).multiSearch},  // RFC 7377
	"GETMETADATA":  {signedIn, (*session).getMetadata},  // RFC 5464
	"SETMETADATA":  {signedIn, (*session).setMetadata},  // RFC 5464
	"GETQUOTA":     {signedIn, (*session).getQuota},     // RFC 9208
	"GETQUOTAROOT": {signedIn, (*session).getQuotaRoot}, // RFC 9208

	"CHECK":       {selected, (*session).noop},     // RFC 3501 §6.4.1
	"CLOSE":       {selected, (*session).closeBox}, // §6.4.1
	"UNSELECT":    {selected, (*session).unselect}, // §6.4.2
	"EXPUNGE":     {selected, (*session).expunge},  // §6.4.3
	"SEARCH":      {selected, (*session).search},   // §6.4.4
	"FETCH":       {selected, (*session).fetch},    // §6.4.5
	"STORE":       {selected, (*session).store},    // §6.4.6
	"COPY":        {selected, (*session).copy},     // §6.4.7
	"MOVE":        {selected, (*session).move},     // §6.4.8
	"REPLACE":     {selected, (*session).replace},  // RFC 8508
	"UID REPLACE": {selected, (*session).replace},
	"SORT":        {selected, (*session).sort}, // RFC 5256
	"THREAD":      {selected, (*session).thread},
	"UID SORT":    {selected, (*session).sort},
	"UID THREAD":  {selected, (*session).thread},
	"UID EXPUNGE": {selected, (*session).expunge}, // §6.4.9
	"UID SEARCH":  {selected, (*session).search},
	"UID FETCH":   {selected, (*session).fetch},
	"UID STORE":   {selected, (*session).store},
	"UID COPY":    {selected, (*session).copy},
	"UID MOVE":    {selected, (*session).move},
}

// run runs a command if it may come now. A capability that the account does
// without has no commands.
func (s *session) run(c *call) error {
	v, ok := verbs[c.name]
	switch {
	case !ok:
		return wire.SyntaxError("Unknown command")
	case v.in&s.state() == 0:
		return wire.SyntaxError(s.stateText(v.in))
	case s.on.uidOnly && numbered(c.name): // RFC 9586 §3.2
		return wire.SyntaxError("[UIDREQUIRED] Message numbers are not in use")
	}
	return v.run(s, c)
}

// numbered reports whether a command has message numbers in it.
func numbered(name string) bool {
	switch name {
	case "FETCH", "STORE", "SEARCH", "COPY", "MOVE", "SORT", "THREAD", "REPLACE":
		return true
	}
	return false
}

func (s *session) state() state {
	switch {
	case s.signed == nil:
		return notAuthenticated
	case s.view == nil:
		return authenticated
	}
	return selected
}

func (s *session) stateText(needs state) string {
	switch {
	case needs&signedIn == 0:
		return "Already signed in"
	case s.signed == nil:
		return "Sign in first"
	}
	return "No mailbox is selected"
}
