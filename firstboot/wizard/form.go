package wizard

import (
	"net/http"
	"reflect"
	"slices"
	"strings"

	"homemail/firstboot"
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
	Password string `form:"password,secret,max=200"`
	Again    string `form:"again,secret,max=200"`
	Words    string `form:"words,max=200"` // a password that was proposed
	Use      bool   `form:"use"`           // that one
}

func (in *youForm) check(_ *Wizard, r *http.Request, f page.Form, a firstboot.Answers) {
	delete(a, "again")
	delete(a, "words")
	delete(a, "use")
	switch {
	case in.Use:
		a["password"] = in.Words
	case in.Password != in.Again:
		f.Fail("again", page.Say("first.you.differ"))
	}
}

type addressForm struct {
	Kind    string `form:"kind,one=own|free|keep|inside"`
	Domain  string `form:"domain,max=253"`
	Name    string `form:"name,max=63"`
	Token   string `form:"token,secret,max=200"`
	Present string `form:"present,max=254"`
	Local   string `form:"local,max=64"`
}

type lineForm struct {
	Mode     string `form:"mode,required,one=auto|direct|smarthost|bridge|inside"`
	Unproven bool   `form:"unproven"`
}

type connectionForm struct {
	Preset        string `form:"preset,max=64"`
	Host          string `form:"host,max=253"`
	Port          string `form:"port,max=5"`
	TLS           string `form:"tls,one=tls|starttls"`
	User          string `form:"user,max=254"`
	Password      string `form:"password,secret,max=1000"`
	Sender        string `form:"sender,max=254"`
	FetchKind     string `form:"fetch_kind,one=imap|pop3"`
	FetchAddress  string `form:"fetch_address,max=254"`
	FetchHost     string `form:"fetch_host,max=253"`
	FetchPort     string `form:"fetch_port,max=5"`
	FetchTLS      string `form:"fetch_tls,one=implicit|starttls"`
	FetchUser     string `form:"fetch_user,max=254"`
	FetchPassword string `form:"fetch_password,secret,max=1000"`
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
	Alert string `form:"alert,max=254"`
	Kept  bool   `form:"kept"`
}

type peopleForm struct {
	People  string `form:"people,lines"`
	Devices string `form:"devices,lines"`
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
