package wizard

import (
	"encoding/json"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"homemail/admin"
	"homemail/check"
	"homemail/firstboot"
	"homemail/mail"
)

// A visitor is a browser without JavaScript, for tests that look at bytes.
type visitor struct {
	*World
	http.Client
	lang   string
	page   string // the last
	path   string
	status int
}

func (w *World) visitor(lang string) *visitor {
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return &visitor{World: w, Client: http.Client{Jar: jar}, lang: lang}
}

func (v *visitor) send(r *http.Request) *visitor {
	v.t.Helper()
	r.Header.Set("Accept-Language", v.lang)
	res, err := v.Client.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer res.Body.Close()
	var b strings.Builder
	if _, err := copyAll(&b, res.Body); err != nil {
		v.t.Fatal(err)
	}
	v.page, v.path, v.status = b.String(), res.Request.URL.RequestURI(), res.StatusCode
	return v
}

func (v *visitor) get(path string) *visitor {
	v.t.Helper()
	r, err := http.NewRequestWithContext(v.t.Context(), http.MethodGet, v.URL+path, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	return v.send(r)
}

var (
	tokenIn  = regexp.MustCompile(`name="csrf" value="([^"]*)"`)
	digestIn = regexp.MustCompile(`name="confirm" value="([^"]*)"`)
)

// post sends a form with the token that the last page had.
func (v *visitor) post(path string, fields ...string) *visitor {
	v.t.Helper()
	form := url.Values{}
	if m := tokenIn.FindStringSubmatch(v.page); m != nil {
		form.Set("csrf", m[1])
	}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	return v.raw(path, form.Encode())
}

func (v *visitor) raw(path, body string) *visitor {
	v.t.Helper()
	r, err := http.NewRequestWithContext(v.t.Context(), http.MethodPost, v.URL+path, strings.NewReader(body))
	if err != nil {
		v.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return v.send(r)
}

func (v *visitor) want(status int, path string) *visitor {
	v.t.Helper()
	if v.status != status || path != "" && v.path != path {
		v.t.Fatalf("at %s with %d, want %s with %d\n%s", v.path, v.status, path, status, words(v.page))
	}
	return v
}

var tags = regexp.MustCompile(`(?s)<(head|svg|nav).*?</(head|svg|nav)>|<[^>]*>|\n\s*\n`)

func words(html string) string { return strings.TrimSpace(tags.ReplaceAllString(html, "\n")) }

func (v *visitor) has(text string) *visitor {
	v.t.Helper()
	if !strings.Contains(v.page, text) {
		v.t.Fatalf("%s does not say %q:\n%s", v.path, text, words(v.page))
	}
	return v
}

// until loads a page until it says something.
func (v *visitor) until(path, text string) *visitor {
	v.t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if v.get(path); strings.Contains(v.page, text) {
			return v
		}
	}
	v.t.Fatalf("%s never says %q:\n%s", path, text, words(v.page))
	return v
}

// claimed is a visitor who has begun.
func (w *World) claimed(lang string) *visitor {
	v := w.visitor(lang)
	v.get("/").want(200, "/first")
	return v.post("/first/claim", "code", Code).want(200, "/first/start")
}

const password = "velvet anchor quiet lantern"

// toAddress answers all that is before the address.
func (v *visitor) toAddress() *visitor {
	v.t.Helper()
	v.post("/first/start", "kind", "new").want(200, "/first/you")
	return v.post("/first/you", "name", "山田太郎", "password", password, "again", password).want(200, "/first/address")
}

// toLine makes the owner of a domain.
func (v *visitor) toLine() *visitor {
	v.t.Helper()
	v.toAddress().post("/first/address", "choose", "kind", "kind", "own").want(200, "/first/address")
	return v.post("/first/address", "kind", "own", "domain", "example.jp", "local", "taro").want(200, "/first/line")
}

// toDNS connects through a smarthost.
func (v *visitor) toDNS() *visitor {
	v.t.Helper()
	return v.toLine().fromLine()
}

// fromLine connects through a smarthost.
func (v *visitor) fromLine() *visitor {
	v.t.Helper()
	v.until("/first/line", "button").until("/first/line", `value="auto"`)
	v.post("/first/line", "mode", "auto", "ticks", "unproven").want(200, "/first/connection")
	v.post("/first/connection", "choose", "preset", "preset", "brevo").want(200, "/first/connection")
	return v.post("/first/connection", "user", "taro", "password", "smarthost secret").want(200, "/first/dns")
}

// TestWalk goes from the code to the last page without JavaScript.
func TestWalk(t *testing.T) {
	for _, lang := range []string{"en", "ja"} {
		t.Run(lang, func(t *testing.T) {
			w := New(t)
			v := w.claimed(lang).toDNS()
			if v.who(&http.Request{Header: http.Header{"Cookie": cookies(v)}}) == nil {
				t.Error("the new owner is not signed in")
			}
			v.post("/first/dns", "choose", "kind", "kind", "self", "ticks", "agree_ca", "agree_ca", "on").want(200, "/first/dns").has("credential.token")
			v.post("/first/dns", "kind", "self", "provider", "desec", "credential.token", "good").want(200, "/first/dns").has("mail.example.jp")
			v.post("/first/dns", "confirm", digestIn.FindStringSubmatch(v.page)[1]).want(200, "/first/switch")
			w.with(func(w *World) {
				w.cert = true
				w.line.Results = []check.Result{{Name: "in25", State: check.Good}}
			})
			w.Engine().Hurry()
			v.until("/first/switch", `name="confirm"`).has("old.example.net")
			v.post("/first/switch", "confirm", digestIn.FindStringSubmatch(v.page)[1]).want(200, "/first/firstmail").has("taro@example.jp")
			w.with(func(w *World) {
				w.in = &firstboot.Letter{From: "mari@example.net", Subject: "<b>hello</b>", SPF: "pass", DKIM: "none", TLS: true, At: time.Now()}
			})
			w.Engine().Hurry()
			v.until("/first/firstmail", "mari@example.net").has("&lt;b&gt;hello&lt;/b&gt;").has("mailto:mari@example.net")
			w.with(func(w *World) { w.out = &firstboot.Letter{To: "mari@example.net"} })
			w.Engine().Hurry()
			v.until("/first/firstmail", "notice good")
			v.get("/first/safe").post("/first/safe/codes").want(200, "/first/safe/codes").has("JKMN-PQRS")
			v.post("/first/safe", "alert", "taro@example.com").want(422, "/first/safe")
			v.post("/first/safe", "alert", "taro@example.com", "first_code", v.code(1), "second_code", v.code(0)).want(422, "/first/safe")
			v.post("/first/safe", "alert", "taro@example.com", "first_code", strings.ToLower(v.code(0)), "second_code", v.code(1)).want(200, "/first/people")
			v.post("/first/people/device", "device", "phone").want(200, "/first/people").has("993")
			v.post("/first/people/profile", "device", "phone").want(200, "").has("com.apple.mail.managed")
			v.get("/first/people").post("/first/people/add", "local", "hanako", "name", "鈴木花子").want(200, "/first/people").has("hanako@example.jp")
			first := passwordIn.FindStringSubmatch(v.page)
			if first == nil {
				t.Fatal("no first password:", words(v.page))
			}
			v.verify("hanako@example.jp", first[1])
			v.post("/first/people/list", "list", "名前,メール\r\n佐藤次郎,jiro@example.jp\r\nmari@elsewhere.test,Mari").want(422, "/first/people/list").has("mari@elsewhere.test")
			v.post("/first/people/list", "list", "名前,メール\r\n佐藤次郎,jiro@example.jp\r\n鈴木花子,hanako@example.jp").want(200, "/first/people").has("jiro@example.jp")
			if n := len(passwordIn.FindAllString(v.page, -1)); n != 2 {
				t.Errorf("%d first passwords", n)
			}
			v.post("/first/people/forget", "what", "invites").want(200, "/first/people")
			if strings.Contains(v.page, first[1]) {
				t.Error("a first password is shown again")
			}
			v.get("/first/done").want(200, "/first/done").has("taro@example.jp")
			if o := w.Show(); !o.Finished {
				t.Errorf("%+v", o)
			}
			v.get("/").has("home")
		})
	}
}

// TestFreeName gets a free name, and has its records and its mail set by itself.
func TestFreeName(t *testing.T) {
	w := New(t)
	w.House.Host = "mail.taro.dedyn.io" // as it is called after the step of the address
	v := w.claimed("en").toAddress()
	v.post("/first/address", "choose", "kind", "kind", "free").want(200, "/first/address")
	v.post("/first/address", "kind", "free", "name", "taro", "token", "bad", "local", "me").want(200, "/first/address").has("token")
	v.post("/first/address", "kind", "free", "name", "taro", "token", "good", "local", "me").want(200, "/first/line").fromLine()
	v.post("/first/dns", "kind", "self", "ticks", "agree_ca", "agree_ca", "on").want(200, "/first/dns").has("mail.taro.dedyn.io")
	if strings.Contains(v.page, "credential.token") {
		t.Error("a token that is known is asked for")
	}
	v.post("/first/dns", "confirm", digestIn.FindStringSubmatch(v.page)[1]).want(200, "/first/switch")
	w.with(func(w *World) {
		w.cert = true
		w.line.Results = []check.Result{{Name: "in25", State: check.Good}}
	})
	w.Engine().Hurry()
	v.until("/first/switch", `name="confirm"`)
	v.post("/first/switch", "confirm", digestIn.FindStringSubmatch(v.page)[1]).want(200, "/first/firstmail").has("me@taro.dedyn.io")
	w.with(func(w *World) {
		w.in, w.out = &firstboot.Letter{From: "mari@example.net", At: time.Now()}, &firstboot.Letter{To: "mari@example.net"}
	})
	w.Engine().Hurry()
	v.until("/first/firstmail", "notice good")
	if mx := w.dns["MX taro.dedyn.io"]; len(mx) != 1 || mx[0] != "10 mail.taro.dedyn.io" {
		t.Errorf("the mail goes to %q", mx)
	}
}

// passwordIn finds first passwords: four words.
var passwordIn = regexp.MustCompile(`>([a-z]+-[a-z]+-[a-z]+-[a-z]+)<`)

// code is the recovery code that is asked for at a place.
func (v *visitor) code(i int) string {
	v.t.Helper()
	s, err := v.Engine().Step(v.t.Context(), firstboot.Safe)
	if err != nil {
		v.t.Fatal(err)
	}
	return recoveryCodes()[s.Found.Asked[i]-1]
}

// verify signs somebody in.
func (v *visitor) verify(address, password string) {
	v.t.Helper()
	b, err := json.Marshal(admin.VerifyPassword{Address: mail.Path(address), Password: password})
	if err != nil {
		v.t.Fatal(err)
	}
	if _, err := v.House.Do(v.t.Context(), "password.verify", b); err != nil {
		v.t.Errorf("%s with %s: %v", address, password, err)
	}
}

// TestRecords shows what people see of records that the box enters, and of those
// that somebody else does.
func TestRecords(t *testing.T) {
	v := New(t).claimed("en").toDNS()
	const byHand = "texts=" // the link to another form of what people copy
	v.post("/first/dns", "choose", "kind", "kind", "other").want(200, "/first/dns")
	v.until("/first/dns", "required records are not seen yet")
	if strings.Contains(v.page, "_domainkey") || strings.Contains(v.page, byHand) {
		t.Error("who has given the work away is shown the records:", words(v.page))
	}
	v.get("/first/dns?change=kind").post("/first/dns", "choose", "kind", "kind", "copy").until("/first/dns", byHand)
	v.get("/first/dns?change=kind").post("/first/dns", "choose", "kind", "kind", "self")
	v.get("/first/dns?change=provider").has(`<option value="desec" selected>`).has("required")
	v.post("/first/dns", "kind", "self", "provider", "desec", "credential.token", "good").until("/first/dns", `name="confirm"`)
	v.post("/first/dns", "confirm", digestIn.FindStringSubmatch(v.page)[1])
	v.until("/first/dns", "All required records are there").has("changes were made")
	if strings.Contains(v.page, byHand) || strings.Contains(v.page, "<details open>") {
		t.Error("what the box has entered is asked for:", words(v.page))
	}
}

// TestOtherHouses sets up those that have no domain of their own.
func TestOtherHouses(t *testing.T) {
	t.Run("inside", func(t *testing.T) {
		v := New(t).claimed("ja").toAddress()
		v.post("/first/address", "choose", "kind", "kind", "inside").want(200, "/first/address")
		v.post("/first/address", "kind", "inside", "local", "taro").want(200, "/first/safe")
		v.post("/first/safe/skip").want(200, "/first/people").has("/first/people/add")
		for _, gone := range []string{`href="/first/dns"`, `href="/first/switch"`, `href="/first/connection"`} {
			if strings.Contains(v.page, gone) {
				t.Errorf("there is %s", gone)
			}
		}
	})
	t.Run("keep", func(t *testing.T) {
		v := New(t).claimed("en").toAddress()
		v.post("/first/address", "choose", "kind", "kind", "keep")
		v.post("/first/address", "kind", "keep", "present", "taro@").want(422, "/first/address").has("taro@example.jp")
		v.post("/first/address", "kind", "keep", "present", "taro@example.com").want(200, "/first/connection").has("taro@example.com")
		v.has("fetch_preset").post("/first/connection", "choose", "preset", "fetch_preset", "custom").want(200, "/first/connection").has("fetch_host")
		v.post("/first/connection", "fetch_preset", "custom", "fetch_host", "imap.example.com", "fetch_password", "secret of elsewhere", "host", "smtp.example.com").want(200, "/first/firstmail")
		if strings.Contains(v.get("/first/connection?change=1").page, "secret of elsewhere") {
			t.Error("a secret came back")
		}
	})
	t.Run("keep at a provider that is known", func(t *testing.T) {
		w := New(t)
		v := w.claimed("ja").toAddress()
		v.post("/first/address", "choose", "kind", "kind", "keep")
		v.post("/first/address", "kind", "keep", "present", "taro@yahoo.co.jp").want(200, "/first/connection").has("Yahoo!メール")
		if strings.Contains(v.page, `name="fetch_host"`) {
			t.Error("a server that is known is asked for")
		}
		v.post("/first/connection", "fetch_preset", "yahoo-jp", "fetch_password", "secret of elsewhere").want(200, "/first/firstmail")
		list, err := w.House.Bridge.List()
		if err != nil || len(list) != 1 || list[0].Host != "imap.mail.yahoo.co.jp" || list[0].Port != 993 || list[0].User != "taro" || list[0].SendVia != "yahoo-jp" {
			t.Errorf("%+v %v", list, err)
		}
		v.get("/first/connection?change=1").post("/first/connection", "fetch_preset", "yahoo-jp", "fetch_password", "another secret").want(200, "/first/firstmail")
		if list, err := w.House.Bridge.List(); err != nil || len(list) != 1 || list[0].Secrets != 1 {
			t.Errorf("once more: %+v %v", list, err)
		}
	})
	t.Run("unknown domain", func(t *testing.T) {
		v := New(t).claimed("en").toAddress()
		v.post("/first/address", "choose", "kind", "kind", "own")
		v.post("/first/address", "kind", "own", "domain", "examlpe.jp", "local", "taro").want(200, "/first/address").has("examlpe.jp").has(`name="sure"`)
		if v.Show().Owner == "" || v.made() {
			t.Error("an account was made of a slip of the pen")
		}
		v.post("/first/address", "kind", "own", "domain", "examlpe.jp", "local", "taro", "sure", "examlpe.jp").want(200, "/first/line")
	})
}

// made reports whether there is an account.
func (w *World) made() bool {
	list, err := w.Store.Accounts()
	if err != nil {
		w.t.Fatal(err)
	}
	return len(list) > 0
}
