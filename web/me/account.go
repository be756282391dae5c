package me

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"homemail/admin"
	"homemail/mail"
	"homemail/store"
	"homemail/vacation"
	"homemail/web/page"
)

// A homeView is the first page.
type homeView struct {
	Name     string
	Mine     admin.Mine
	Used     storageUse
	Away     page.State
	AwayDoes page.Message
	Forward  page.State
	Goes     page.Message
	Devices  page.Message
	Safe     page.State
	SafeIs   page.Message
}

// A storageUse is how much of an account's room is used.
type storageUse struct {
	Bytes, Quota, Messages int64
	Full                   bool // nearly
}

func useOf(m admin.Mine) storageUse {
	return storageUse{m.Used, m.Quota, m.Messages, m.Quota > 0 && m.Used > m.Quota/10*9}
}

func (p *Pages) home(v visit) {
	mine, err := v.mine.Show()
	if err != nil {
		p.fail(v, err)
		return
	}
	factors, err := p.o.Sessions.Factors(v.who.Account)
	if err != nil {
		p.fail(v, err)
		return
	}
	view := homeView{Name: mine.Name, Mine: mine, Used: useOf(mine), Away: page.Off, Forward: page.Off, Safe: page.Good}
	view.Away, view.AwayDoes = p.awayState(v, mine.Vacation)
	view.Goes = page.Say("me.home.forward.none")
	if n := len(mine.Forward); n > 0 {
		view.Forward, view.Goes = page.Good, page.Say("me.home.forward", "n", n, "address", mine.Forward[0])
	}
	view.Devices = page.Say("me.home.devices.none")
	if n := len(mine.Devices); n > 0 {
		view.Devices = page.Say("me.home.devices", "n", n)
	}
	view.SafeIs = page.Say("me.home.safe")
	if !factors.TOTP && len(factors.Passkeys) == 0 {
		view.Safe, view.SafeIs = page.Off, page.Say("me.home.safe.none")
	}
	p.set.Render(v.ResponseWriter, v.Request, "me.home", view, http.StatusOK)
}

// awayState is whether the out-of-office reply is sent, and what there is to say
// of it.
func (p *Pages) awayState(v visit, r vacation.Reply) (page.State, page.Message) {
	today := time.Now().Format(vacation.Day)
	day := func(s string) string {
		at, err := time.ParseInLocation(vacation.Day, s, time.Local)
		if err != nil {
			return s
		}
		return p.set.Words().Day(p.set.Lang(v.Request), at)
	}
	switch {
	case !r.On:
		return page.Off, page.Say("me.home.away.off")
	case r.Until != "" && r.Until < today:
		return page.Off, page.Say("me.home.away.over")
	case r.From > today:
		return page.Waiting, page.Say("me.home.away.later", "day", day(r.From))
	case r.Until != "":
		return page.Good, page.Say("me.home.away.until", "day", day(r.Until))
	}
	return page.Good, page.Say("me.home.away.on")
}

type awayForm struct {
	Subject string `form:"subject,max=200"`
	Text    string `form:"text,required,lines,max=5000"`
	From    string `form:"from,max=10"`
	Until   string `form:"until,max=10"`
	Days    int    `form:"days,required,min=1,max=30"`
}

type awayView struct {
	Form  page.Form
	On    bool
	State page.State
	Does  page.Message
}

func (p *Pages) away(v visit) {
	mine, err := v.mine.Show()
	if err != nil {
		p.fail(v, err)
		return
	}
	r := mine.Vacation
	p.showAway(v, page.Fill(awayForm{r.Subject, r.Text, r.From, r.Until, r.Days}))
}

// showAway shows the form with how it stands, which is not what the form says.
func (p *Pages) showAway(v visit, form page.Form) {
	mine, err := v.mine.Show()
	if err != nil {
		p.fail(v, err)
		return
	}
	state, does := p.awayState(v, mine.Vacation)
	p.show(v, "me.away", awayView{form, mine.Vacation.On, state, does}, form)
}

// endAway keeps the text for the next time.
func (p *Pages) endAway(v visit) {
	mine, err := v.mine.Show()
	if err == nil {
		mine.Vacation.On = false
		err = v.mine.SetVacation(v.ctx, mine.Vacation)
	}
	if err != nil {
		p.fail(v, err)
		return
	}
	p.done(v, "/me/away", page.Say("me.away.saved.off"))
}

func (p *Pages) setAway(v visit) {
	var in awayForm
	form := page.Read(v.Request, &in)
	r := vacation.Reply{On: true, Subject: in.Subject, Text: in.Text, From: in.From, Until: in.Until, Days: in.Days}
	for name, day := range map[string]string{"from": in.From, "until": in.Until} {
		if _, err := time.Parse(vacation.Day, day); day != "" && err != nil {
			form.Fail(name, page.Say("me.away.day"))
		}
	}
	if form.OK() && in.From != "" && in.Until != "" && in.Until < in.From {
		form.Fail("until", page.Say("me.away.order"))
	}
	if form.OK() {
		err := v.mine.SetVacation(v.ctx, r)
		switch {
		case err == nil:
			p.done(v, "/me/away", page.Say("me.away.saved"))
			return
		case !errors.Is(err, store.ErrInvalid):
			p.fail(v, err)
			return
		}
		form.Fail("text", page.Say("me.away.invalid"))
	}
	p.showAway(v, form)
}

type forwardForm struct {
	To   string `form:"to,lines,max=2000"`
	Only bool   `form:"only"`
}

type forwardView struct {
	Form page.Form
	Goes []mail.Path
	Only bool
}

func (p *Pages) forward(v visit) {
	mine, err := v.mine.Show()
	if err != nil {
		p.fail(v, err)
		return
	}
	var lines []string
	for _, to := range mine.Forward {
		lines = append(lines, string(to))
	}
	p.show(v, "me.forward", forwardView{page.Fill(forwardForm{strings.Join(lines, "\n"), mine.Only}), mine.Forward, mine.Only}, page.Form{})
}

const forwardsMost = 10 // as in package admin

func (p *Pages) setForward(v visit) {
	var in forwardForm
	form := page.Read(v.Request, &in)
	var to []mail.Path
	for _, line := range strings.FieldsFunc(in.To, func(r rune) bool { return strings.ContainsRune(" \t\n,;", r) }) {
		path, err := mail.ParsePath(line)
		switch {
		case err != nil || path.Domain() == "":
			form.Fail("to", page.Say("me.forward.bad", "address", line))
		case path.Key() == v.who.Address.Key():
			form.Fail("to", page.Say("me.forward.self"))
		case !slices.Contains(to, path):
			to = append(to, path)
		}
	}
	if len(to) > forwardsMost {
		form.Fail("to", page.Say("me.forward.many", "n", forwardsMost))
	}
	if form.OK() {
		err := v.mine.Forward(v.ctx, to, in.Only)
		switch {
		case err == nil && len(to) == 0:
			p.done(v, "/me/forward", page.Say("me.forward.ended"))
			return
		case err == nil:
			p.done(v, "/me/forward", page.Say("me.forward.saved"))
			return
		case !errors.Is(err, store.ErrInvalid):
			p.fail(v, err)
			return
		}
		form.Fail("to", page.Say("me.forward.unknown"))
	}
	p.show(v, "me.forward", forwardView{Form: form}, form)
}

type nameForm struct {
	Name     string `form:"name,max=100"`
	Language string `form:"language,required,one=en|ja"`
}

type nameView struct {
	Form      page.Form
	Address   mail.Path
	Languages []page.Option
}

func (p *Pages) name(v visit) {
	language := string(page.English)
	for _, l := range page.Langs() {
		if base, _, _ := strings.Cut(v.who.Language, "-"); base == string(l) {
			language = base
		}
	}
	p.showName(v, page.Fill(nameForm{v.who.Name, language}))
}

func (p *Pages) showName(v visit, form page.Form) {
	view := nameView{Form: form, Address: v.who.Address}
	for _, l := range page.Langs() {
		view.Languages = append(view.Languages, page.Option{Value: string(l), Label: "page.lang." + string(l)})
	}
	p.show(v, "me.name", view, form)
}

func (p *Pages) setName(v visit) {
	var in nameForm
	form := page.Read(v.Request, &in)
	if !form.OK() {
		p.showName(v, form)
		return
	}
	if err := v.mine.Rename(v.ctx, in.Name, in.Language); err != nil {
		p.fail(v, err)
		return
	}
	p.done(v, "/me/name", page.Say("me.name.saved"))
}

type storageView struct {
	Used      storageUse
	Mailboxes []mailbox
	KeepDays  int
}

// A mailbox is one as its person knows it.
type mailbox struct {
	Name     page.Message // of those that everybody has
	Own      string       // else
	Messages uint32
	Size     int64
}

func (p *Pages) storage(v visit) {
	mine, err := v.mine.Show()
	if err != nil {
		p.fail(v, err)
		return
	}
	view := storageView{Used: useOf(mine), KeepDays: max(mine.KeepDays, 0)}
	for _, m := range mine.Mailboxes {
		view.Mailboxes = append(view.Mailboxes, mailbox{useName(m.Use), m.Name, m.Messages, m.Size})
	}
	p.set.Render(v.ResponseWriter, v.Request, "me.storage", view, http.StatusOK)
}

func useName(use mail.SpecialUse) page.Message {
	switch use {
	case mail.Inbox:
		return page.Say("me.box.inbox")
	case mail.Drafts:
		return page.Say("me.box.drafts")
	case mail.Sent:
		return page.Say("me.box.sent")
	case mail.Junk:
		return page.Say("me.box.junk")
	case mail.Trash:
		return page.Say("me.box.trash")
	case mail.Archive:
		return page.Say("me.box.archive")
	}
	return page.Message{}
}
