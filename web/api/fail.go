package api

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"

	"homemail/admin"
)

// A failure is a kind of answer to what was not done. Programs tell them apart by
// their codes.
type failure struct {
	status int
	code   string
	about  string
}

// The failures.
var (
	badRequest  = failure{http.StatusBadRequest, "bad_request", "The request is no JSON of the right form, or has a field that is not known."}
	noToken     = failure{http.StatusUnauthorized, "unauthorized", "There is no valid token."}
	badScope    = failure{http.StatusForbidden, "scope", "The token may not do this, or no token may."}
	insecure    = failure{http.StatusForbidden, "insecure", "The request did not come over HTTPS."}
	outside     = failure{http.StatusForbidden, "outside", "The API is not open to this address."}
	noVerb      = failure{http.StatusNotFound, "no_operation", "There is no such operation."}
	notFound    = failure{http.StatusNotFound, "not_found", "What the request names is not there."}
	badMethod   = failure{http.StatusMethodNotAllowed, "method", "Operations are asked for by POST."}
	exists      = failure{http.StatusConflict, "exists", "What the request would make is there already."}
	busy        = failure{http.StatusConflict, "changed", "What the request is about is in use, or has changed meanwhile."}
	tooLarge    = failure{http.StatusRequestEntityTooLarge, "too_large", "The request is too long."}
	mediaType   = failure{http.StatusUnsupportedMediaType, "media_type", "The request is not sent as application/json."}
	misdirected = failure{http.StatusMisdirectedRequest, "host", "The request names another server."}
	impossible  = failure{http.StatusUnprocessableEntity, "impossible", "The request was understood, and cannot be done; the error says why."}
	slowDown    = failure{http.StatusTooManyRequests, "slow_down", "There were too many wrong tokens from this address; Retry-After says how long to wait."}
	failed      = failure{http.StatusInternalServerError, "failed", "It did not work; the error says why. Trying again may help."}
	unavailable = failure{http.StatusServiceUnavailable, "unavailable", "It does not work at the moment. Try again later."}
)

// failures are all of them, for the document.
func failures() []failure {
	return []failure{badRequest, noToken, badScope, insecure, outside, noVerb, notFound, badMethod, exists, busy, tooLarge, mediaType, misdirected, impossible, slowDown, failed, unavailable}
}

var (
	errRequest   = errors.New("request")
	errMediaType = errors.New("a request is sent with Content-Type: application/json")
	errPassword  = errors.New("a password is never set by token; use the pages, or: homemail password ADDRESS")
	errBusy      = errors.New("too much is being done at the moment")
)

// failureOf sorts an error. The words are the operation's own, as over the Unix
// socket; only the status is chosen here.
func failureOf(err error) failure {
	var large *http.MaxBytesError
	var network net.Error
	switch {
	case errors.As(err, &large):
		return tooLarge
	case errors.Is(err, errRequest):
		return badRequest
	case errors.Is(err, errMediaType):
		return mediaType
	case errors.Is(err, errPassword):
		return badScope
	case errors.Is(err, errBusy), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return unavailable
	}
	switch admin.KindOf(err) {
	case admin.NotFound:
		return notFound
	case admin.Exists:
		return exists
	case admin.Conflict:
		return busy
	case admin.Impossible:
		return impossible
	case admin.Unavailable:
		return unavailable
	}
	if errors.As(err, &network) {
		return unavailable
	}
	return failed
}

// fail answers that an operation was not done.
func (a *API) fail(w http.ResponseWriter, operation string, t admin.Token, err error) {
	f := failureOf(err)
	if f == failed || f == unavailable {
		a.log.Warn("an operation of the API failed", "operation", operation, "token", t.Name, "err", err)
	}
	a.answer(w, f, Failed{err.Error(), f.code, admin.CodeOf(err)})
}

func (a *API) refuseScope(w http.ResponseWriter, s admin.Scope) {
	why := "no token may do this; use the pages or the command line"
	if s != admin.ScopeNone {
		why = "the token does not have the scope " + string(s)
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="homemail", error="insufficient_scope"`) // RFC 6750 §3.1
	a.refuse(w, badScope, why)
}

// Failed is the answer to what was not done: in English, with the kind of failure,
// and, if the operation itself said no, with the code of its reason. No code is ever
// translated.
type Failed struct {
	Error  string `json:"error"`
	Code   string `json:"code"`
	Reason string `json:"reason,omitempty"`
}

func (a *API) refuse(w http.ResponseWriter, f failure, why string) {
	a.answer(w, f, Failed{Error: why, Code: f.code})
}

func (a *API) answer(w http.ResponseWriter, f failure, what Failed) {
	b, _ := json.Marshal(what) // strings always can be
	if f == unavailable {
		w.Header().Set("Retry-After", "30")
	}
	a.write(w, f.status, append(b, '\n'))
}
