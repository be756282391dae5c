package main

import (
	"net/http"
	"strings"

	"homemail/firstboot"
	"homemail/session"
)

// careful has owners say again who they are before pages of the wizard that give
// access away, or change how mail goes: those of phones show passwords and make
// them, others take those of a provider.
func (p *people) careful(next http.Handler) http.Handler {
	fresh := p.sessions.Require(session.Owner, session.Sudo)(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isOwner(r) && p.needsCare(r) { // who sets up the house before it has an owner has no password yet
			fresh.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (p *people) needsCare(r *http.Request) bool {
	id, ok := strings.CutPrefix(r.URL.Path, "/first/")
	switch {
	case !ok:
		return false
	case below(string(firstboot.People), id), id == "events" && r.FormValue("step") == string(firstboot.People):
		return true
	case r.Method == http.MethodPost:
		return !strings.HasSuffix(id, "/skip") && id != string(firstboot.Language) && id != string(firstboot.FirstMail)
	case id == string(firstboot.Connection), id == string(firstboot.DNS):
		return p.asks(r, firstboot.ID(id)) // now, rather than when a secret was typed
	}
	return false
}

// asks reports whether the page of a step is a form now.
func (p *people) asks(r *http.Request, id firstboot.ID) bool {
	v, err := p.engine.Step(r.Context(), id)
	return err != nil || !v.Answered() || v.Status == firstboot.Skipped || r.FormValue("change") != ""
}
