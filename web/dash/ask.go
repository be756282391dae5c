package dash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"homemail/admin"
	"homemail/mail"
	"homemail/store"
	"homemail/web/page"
	"homemail/words"
)

// ask runs an operation in the name of who sent a request.
func ask[A any](d *Dash, r *http.Request, operation string, q any) (A, error) {
	return askFor[A](d, d.actor(r), operation, q)
}

func askFor[A any](d *Dash, ctx context.Context, operation string, q any) (a A, err error) {
	b, err := json.Marshal(q)
	if err != nil {
		return a, fmt.Errorf("%s: %w", operation, err)
	}
	v, err := d.o.House.Do(ctx, operation, b)
	if err != nil {
		return a, err
	}
	a, ok := v.(A)
	if !ok {
		return a, fmt.Errorf("%s answers %T, not %T", operation, v, a)
	}
	return a, nil
}

// actor is the request's context with who asks, for the audit log.
func (d *Dash) actor(r *http.Request) context.Context {
	by := admin.Actor{Door: "web"}
	if d.o.Who != nil {
		by.Who = d.o.Who(r)
	}
	by.Remote, _, _ = net.SplitHostPort(r.RemoteAddr)
	return admin.WithActor(r.Context(), by)
}

// lang is the reader's language as other packages name it.
func (d *Dash) lang(r *http.Request) string { return string(d.set.Lang(r)) }

// in is a list in a language.
func in(lang string, list []words.Text) (out []string) {
	for _, t := range list {
		out = append(out, t.In(lang))
	}
	return out
}

// pick chooses the reader's language of an English and a Japanese text.
func (d *Dash) pick(r *http.Request, en, ja string) string {
	if d.set.Lang(r) == page.Japanese && ja != "" {
		return ja
	}
	return en
}

const detailMost = 400 // octets of an error: it has to fit into a cookie

// why tells an owner why something was not done: in the words that came with the
// error, if any did.
func (d *Dash) why(r *http.Request, err error) page.Message {
	code, said := words.Of(err)
	detail := said.In(d.lang(r))
	if code == "" {
		detail = err.Error()
	}
	if len(detail) > detailMost {
		detail = strings.ToValidUTF8(detail[:detailMost], "") + "…"
	}
	switch {
	case code != "":
		return page.Say("dash.text", "text", detail)
	case errors.Is(err, store.ErrNotFound):
		return page.Say("dash.wrong.missing")
	case errors.Is(err, store.ErrExists):
		return page.Say("dash.wrong.exists")
	case errors.Is(err, store.ErrDiskFull):
		return page.Say("dash.wrong.full")
	case errors.Is(err, context.DeadlineExceeded):
		return page.Say("dash.wrong.slow")
	case errors.Is(err, store.ErrInvalid):
		return page.Say("dash.wrong.invalid", "detail", strings.TrimPrefix(detail, store.ErrInvalid.Error()+": "))
	}
	return page.Say("dash.wrong.other", "detail", detail)
}

// mustForce reports whether something was not done only because others hold to the
// house's policy of MTA-STS.
func mustForce(err error) bool {
	if err == nil {
		return false
	}
	code, _ := words.Of(err)
	return code == "admin.force"
}

// fail answers when what a page is to show cannot be had.
func (d *Dash) fail(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case r.Context().Err() != nil:
	case errors.Is(err, store.ErrNotFound):
		d.set.Error(w, r, http.StatusNotFound)
	case errors.Is(err, store.ErrInvalid):
		d.set.Refuse(w, r, page.Refusal{Status: http.StatusBadRequest, What: page.Say("dash.wrong.title"), Why: d.why(r, err), Href: "/", Do: page.Say("page.error.home")})
	default:
		d.log.Error("a page could not be filled", "path", r.URL.Path, "err", err)
		d.set.Error(w, r, http.StatusInternalServerError)
	}
}

// do runs an operation whose answer says no more than that it was done.
func (d *Dash) do(r *http.Request, operation string, q any) error {
	b, err := json.Marshal(q)
	if err == nil {
		_, err = d.o.House.Do(d.actor(r), operation, b)
	}
	return err
}

// did runs the operation of a form that is right, and leads to a page that says so.
// It reports whether that is the answer; if not, the form says what is wrong.
func (d *Dash) did(w http.ResponseWriter, r *http.Request, form *page.Form, to string, done page.Message, operation string, q any) bool {
	if !form.OK() {
		return false
	}
	if err := d.do(r, operation, q); err != nil {
		*form = form.Fail("", d.why(r, err))
		return false
	}
	d.set.Done(w, r, to, done)
	return true
}

// act runs an operation that a button asks for, and leads back to where the
// button was, which says what became of it.
func (d *Dash) act(w http.ResponseWriter, r *http.Request, back string, done page.Message, operation string, q any) {
	if err := d.do(r, operation, q); err != nil {
		d.set.Flash(w, r, page.Bad, d.why(r, err))
		d.set.Redirect(w, r, back)
		return
	}
	d.set.Done(w, r, back, done)
}

// show renders a page of a form: with what is wrong with it, if anything is.
func (d *Dash) show(w http.ResponseWriter, r *http.Request, name string, view any, form page.Form) {
	status := http.StatusOK
	if len(form.Errors) > 0 {
		status = http.StatusUnprocessableEntity
	}
	d.set.Render(w, r, name, view, status)
}

// query reads the form of a search, which comes in the address of the page.
func query(r *http.Request, into any) page.Form {
	q := r.WithContext(r.Context())
	q.PostForm = r.URL.Query()
	q.Form = q.PostForm
	return page.Read(q, into)
}

// A confirm is a question before what cannot be undone.
type confirm struct {
	What, Why page.Message
	Action    string
	Fields    []field
	Do        page.Message
	Back      string
}

// A field is a hidden one.
type field struct{ Name, Value string }

// Title is the question, too.
func (c confirm) Title() page.Message { return c.What }

func (d *Dash) confirm(w http.ResponseWriter, r *http.Request, c confirm) {
	d.set.Render(w, r, "dash.confirm", c, http.StatusOK)
}

// address is one that a request names in a field of its own or of its query.
func address(r *http.Request) mail.Path { return mail.Path(page.Line(r, "address")) }

// with is a path of ours with an address to show there.
func with(path, name, value string) string {
	return path + "?" + urlQuery(name, value)
}
