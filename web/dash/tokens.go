package dash

import (
	"net/http"
	"time"

	"homemail/admin"
	"homemail/web/page"
)

type tokensView struct {
	Tokens []admin.Token
	Form   page.Form
	Scopes []page.Option
}

// newToken is the form for a program's token.
type newToken struct {
	Name   string   `form:"name,required,max=100"`
	Scopes []string `form:"scope"`
	Days   string   `form:"days,required,one=30|365|0"` // that it lasts; 0 is for ever
}

// ScopeKey is the words for what a token may do.
func (tokensView) ScopeKey(s admin.Scope) string { return "dash.scope." + string(s) }

func (d *Dash) tokens(w http.ResponseWriter, r *http.Request) {
	d.showTokens(w, r, page.Fill(newToken{Scopes: []string{string(admin.ScopeRead)}, Days: "365"}))
}

func (d *Dash) showTokens(w http.ResponseWriter, r *http.Request, form page.Form) {
	list, err := ask[[]admin.Token](d, r, "token.list", admin.Empty{})
	if err != nil {
		d.fail(w, r, err)
		return
	}
	v := tokensView{Tokens: list, Form: form}
	for _, s := range admin.Scopes() {
		v.Scopes = append(v.Scopes, page.Option{Value: string(s), Label: v.ScopeKey(s)})
	}
	d.show(w, r, "dash.tokens", v, form)
}

type tokenView struct{ Name, Secret string }

// addToken shows the token in its answer: it is nowhere else.
func (d *Dash) addToken(w http.ResponseWriter, r *http.Request) {
	var in newToken
	form := page.Read(r, &in)
	if form.OK() && len(in.Scopes) == 0 {
		form = form.Fail("scope", page.Say("page.form.required"))
	}
	if !form.OK() {
		d.showTokens(w, r, form)
		return
	}
	q := admin.AddToken{Name: in.Name}
	for _, s := range in.Scopes {
		q.Scopes = append(q.Scopes, admin.Scope(s))
	}
	switch now := time.Now().UTC().Truncate(time.Second); in.Days {
	case "30":
		q.Expires = now.AddDate(0, 0, 30)
	case "365":
		q.Expires = now.AddDate(1, 0, 0)
	}
	made, err := ask[admin.NewToken](d, r, "token.add", q)
	if err != nil {
		d.showTokens(w, r, form.Fail("", d.why(r, err)))
		return
	}
	d.set.Render(w, r, "dash.token", tokenView{made.Name, made.Secret}, http.StatusOK)
}

func (d *Dash) askRemoveToken(w http.ResponseWriter, r *http.Request) {
	name := page.Line(r, "name")
	d.confirm(w, r, confirm{
		What: page.Say("dash.tokens.remove.what", "name", name), Why: page.Say("dash.tokens.remove.why"),
		Action: "/security/tokens/remove", Fields: []field{{"name", name}}, Do: page.Say("dash.remove"), Back: "/security/tokens",
	})
}

func (d *Dash) removeToken(w http.ResponseWriter, r *http.Request) {
	d.act(w, r, "/security/tokens", page.Say("dash.tokens.removed"), "token.remove", admin.Name{Name: page.Line(r, "name")})
}
