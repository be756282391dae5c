package enter

import (
	"net/http"

	"homemail/session"
	"homemail/web/page"
)

// Proven wants a second factor of owners who come from outside: a password alone
// can be read over a shoulder, or tried by the whole world. Inside tells who is at
// home; mine is the page that they may see all the same, and below it all that
// free lets through. It goes between the middleware of the Manager and the pages.
func Proven(set *page.Set, inside func(*http.Request) bool, mine string, free func(path string) bool) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s := session.FromContext(r.Context())
			if s != nil && s.Role == session.Owner && !twice(s.Method) && !free(r.URL.Path) && !inside(r) {
				set.Refuse(w, r, page.Refusal{
					Status: http.StatusForbidden, What: page.Say("enter.outside.title"), Why: page.Say("enter.outside.why"),
					Href: mine, Do: page.Say("enter.outside.do"),
				})
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// twice reports whether a sign-in took more than a password. The claim of a house
// did not: it was made at home, and its browser may be elsewhere by now.
func twice(m session.Method) bool {
	return m == session.ByTOTP || m == session.ByRecovery || m == session.ByPasskey
}

// Hidden is why who looks as if they were at home is turned away, while everybody
// outside looks so, too.
func Hidden() page.Refusal {
	return page.Refusal{
		Status: http.StatusForbidden, What: page.Say("enter.hidden.title"), Why: page.Say("enter.hidden.why"),
		Href: Path, Do: page.Say("enter.hidden.do"),
	}
}
