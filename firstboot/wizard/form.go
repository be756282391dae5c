package wizard

import (
	"cmp"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"homemail/check"
	"homemail/firstboot"
	"homemail/mail"
	"homemail/relay/preset"
	"homemail/web/page"
)

// The forms of the steps. Their fields have the names that the engine gives
// them; what it does not know it leaves out.

type languageForm struct {
	Language string `form:"language,required,one=en|ja"`
}

type startForm struct {
	Kind string `form:"kind,required,one=new|restore|move"`
}

type youForm struct {
	Name     string `form:"name,required,max=100"`
	Password string `form:"password,required,secret,max=200"`
	Again    string `form:"again,required,secret,max=200"`
}

func (in *youForm) check(_ *Wizard, _ *http.Request, f page.Form, a firstboot.Answers) {
	delete(a, "again")
	if in.Password != in.Again {
		f.Fail("again", page.Say("first.you.differ"))
	}
}

// wordsForm takes the password that the page has proposed.
type wordsForm struct {
	Name  string `form:"name,required,max=100"`
	Words string `form:"words,required,max=200"`
}

func (in *wordsForm) check(_ *Wizard, _ *http.Request, _ page.Form, a firstboot.Answers) {
	delete(a, "words")
	a["password"] = in.Words
}

// addressForm is a kind of address; each has fields of its own.
type addressForm struct {
	Kind string `form:"kind,required,one=own|free|keep|inside"`
}

type ownForm struct {
	Kind   string `form:"kind"`
	Domain string `form:"domain,required,max=253"`
	Local  string `form:"local,required,max=64"`
}

type freeForm struct {
	Kind  string `form:"kind"`
	Name  string `form:"name,required,max=63"`
	Token string `form:"token,required,secret,max=200"`
	Local string `form:"local,required,max=64"`
}

type keepForm struct {
	Kind    string `form:"kind"`
	Present string `form:"present,required,max=254"`
}

type insideForm struct {
	Kind  string `form:"kind"`
	Local string `form:"local,required,max=64"`
}

type lineForm struct {
	Mode     string `form:"mode,required,one=auto|direct|smarthost|bridge|inside"`
	Unproven bool   `form:"unproven"`
}

// presetForm chooses a smarthost.
type presetForm struct {
	Preset string `form:"preset,required,max=64"`
}

type smarthostForm struct {
	Host     string `form:"host,max=253"`
	Port     string `form:"port,max=5"`
	TLS      string `form:"tls,one=tls|starttls"`
	User     string `form:"user,required,max=254"`
	Password string `form:"password,required,secret,max=1000"`
	Sender   string `form:"sender,max=254"`
}

// hostForm is of a smarthost that has no name of its own here.
type hostForm struct {
	Host     string `form:"host,required,max=253"`
	Port     string `form:"port,max=5"`
	TLS      string `form:"tls,one=tls|starttls"`
	User     string `form:"user,required,max=254"`
	Password string `form:"password,required,secret,max=1000"`
	Sender   string `form:"sender,max=254"`
}

// bridgeForm is of a provider whose server has to be typed.
type bridgeForm struct {
	FetchPreset   string `form:"fetch_preset,max=64"`
	FetchAddress  string `form:"fetch_address,max=254"`
	FetchHost     string `form:"fetch_host,required,max=253"`
	FetchPassword string `form:"fetch_password,required,secret,max=1000"`
	FetchKind     string `form:"fetch_kind,one=imap|pop3"`
	FetchPort     string `form:"fetch_port,max=5"`
	FetchTLS      string `form:"fetch_tls,one=implicit|starttls"`
	FetchUser     string `form:"fetch_user,max=254"`
	Host          string `form:"host,max=253"`
	User          string `form:"user,max=254"`
	Password      string `form:"password,secret,max=1000"`
}

// mailboxForm is of a provider whose server is known.
type mailboxForm struct {
	FetchPreset   string `form:"fetch_preset,max=64"`
	FetchAddress  string `form:"fetch_address,max=254"`
	FetchPassword string `form:"fetch_password,required,secret,max=1000"`
	FetchUser     string `form:"fetch_user,max=254"`
	User          string `form:"user,max=254"`
	Password      string `form:"password,secret,max=1000"`
}

// mailboxesForm chooses the provider of a mailbox.
type mailboxesForm struct {
	FetchPreset string `form:"fetch_preset,required,max=64"`
}

// providerForm asks for nothing but the company that has the records.
type providerForm struct {
	Provider string `form:"provider,required,max=64"`
}

type dnsForm struct {
	Kind     string `form:"kind,one=self|copy|other"`
	Provider string `form:"provider,max=64"`
	Zone     string `form:"zone,max=253"`
	AgreeCA  bool   `form:"agree_ca"`
	Confirm  string `form:"confirm,max=64"`
}

// partial reports whether the page was the first of two: to have it done for one
// takes an access, but where the name is a free one, whose access we have.
func (in *dnsForm) partial(free bool) bool { return in.Kind == "self" && !free }

// credentialPrefix begins the names of what a provider wants to know.
const credentialPrefix = "credential."

// check adds what the provider wants to know: each has fields of its own.
func (in *dnsForm) check(_ *Wizard, r *http.Request, f page.Form, a firstboot.Answers) {
	for name := range r.PostForm {
		if !strings.HasPrefix(name, credentialPrefix) {
			continue
		}
		value := strings.TrimSpace(r.PostForm.Get(name))
		if strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c == 0x7f }) {
			f.Fail("", page.Say("page.form.characters"))
		} else if value != "" {
			a[name] = value
		}
	}
}

type switchForm struct {
	Confirm  string `form:"confirm,max=64"`
	Untested bool   `form:"untested"`
}

type safeForm struct {
	Alert  string `form:"alert,max=254"`
	First  string `form:"first_code,secret,max=40"`
	Second string `form:"second_code,secret,max=40"`
}

// formOf is the form of a step's page: what is asked for may follow from what was
// answered before.
func formOf(r *http.Request, o firstboot.Overview, id firstboot.ID) any {
	said := func(name string) string {
		if v := r.PostFormValue(name); v != "" || r.PostFormValue("choose") != "" {
			return v
		}
		return find(o, id).Answers[name]
	}
	changes := r.FormValue("change")
	switch id {
	case firstboot.Language:
		return &languageForm{}
	case firstboot.Start:
		return &startForm{Kind: "new"}
	case firstboot.You:
		if r.PostFormValue("use") != "" {
			return &wordsForm{}
		}
		return &youForm{}
	case firstboot.Address:
		if r.PostFormValue("choose") != "" || changes == "kind" {
			return &addressForm{Kind: "own"}
		}
		switch said("kind") {
		case "own":
			return &ownForm{}
		case "free":
			return &freeForm{}
		case "keep":
			return &keepForm{}
		case "inside":
			return &insideForm{}
		}
		return &addressForm{Kind: "own"}
	case firstboot.Line:
		return &lineForm{Mode: "auto"}
	case firstboot.Connection:
		if o.Mode == check.Bridge {
			return fetchForm(r, o, said("fetch_preset"))
		}
		return connectionForm(r, o, said("preset"))
	case firstboot.DNS:
		return &dnsForm{Kind: "self"}
	case firstboot.Switch:
		return &switchForm{}
	case firstboot.Safe:
		return &safeForm{}
	}
	return &struct{}{}
}

func connectionForm(r *http.Request, o firstboot.Overview, id string) any {
	p, ok := preset.Find(id)
	switch {
	case o.Mode == check.Direct:
		return &struct{}{}
	case r.PostFormValue("choose") != "" || !ok || r.FormValue("change") == "preset":
		return &presetForm{}
	case p.Host == "":
		return &hostForm{}
	}
	return &smarthostForm{}
}

// fetchForm is of a mailbox elsewhere: of the provider that was chosen, or that
// has the address.
func fetchForm(r *http.Request, o firstboot.Overview, id string) any {
	in, ok := preset.FindMailbox(fetchPreset(o, id))
	switch {
	case r.PostFormValue("choose") != "" || !ok || r.FormValue("change") == "preset":
		return &mailboxesForm{FetchPreset: preset.MailboxFor(presentDomain(o))}
	case in.Host == "":
		return &bridgeForm{}
	}
	return &mailboxForm{}
}

// fetchPreset is the provider that was chosen, else the one that has the address.
func fetchPreset(o firstboot.Overview, id string) string {
	return cmp.Or(id, preset.MailboxFor(presentDomain(o)))
}

// presentDomain is that of the address that its owner keeps.
func presentDomain(o firstboot.Overview) string {
	return mail.Path(find(o, firstboot.Address).Answers["present"]).Domain()
}

// each calls f with each field of a form and its name.
func each(form any, f func(name string, secret bool, v reflect.Value)) {
	v := reflect.ValueOf(form).Elem()
	for i := range v.NumField() {
		tag, ok := v.Type().Field(i).Tag.Lookup("form")
		if !ok {
			continue
		}
		words := strings.Split(tag, ",")
		secret := false
		for _, w := range words[1:] {
			secret = secret || w == "secret"
		}
		f(words[0], secret, v.Field(i))
	}
}

// fill puts answers into a form. What was not answered stays as it is.
func fill(form any, a firstboot.Answers) {
	each(form, func(name string, _ bool, v reflect.Value) {
		said, ok := a[name]
		switch {
		case !ok:
		case v.Kind() == reflect.Bool:
			v.SetBool(said == "yes")
		default:
			v.SetString(said)
		}
	})
}

// clearStrings takes the defaults of a form away: what was not sent was not
// answered.
func clearStrings(form any) {
	each(form, func(_ string, _ bool, v reflect.Value) { v.SetZero() })
}

// ticksField names the ticks that a page has: browsers send nothing of one that
// is not set.
const ticksField = "ticks"

// answers are what a request has answered, in the engine's words. What is not on
// its page stays as it was answered before, and so does a secret that nobody has
// typed again.
func answers(r *http.Request, form any) firstboot.Answers {
	a := firstboot.Answers{}
	each(form, func(name string, secret bool, v reflect.Value) {
		switch {
		case v.Kind() == reflect.Bool && slices.Contains(r.PostForm[ticksField], name):
			a[name] = ""
			if v.Bool() {
				a[name] = "yes"
			}
		case v.Kind() == reflect.Bool || !r.PostForm.Has(name) || secret && v.String() == "":
		default:
			a[name] = v.String()
		}
	})
	return a
}
