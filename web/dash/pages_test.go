package dash_test

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"homemail/admin"
	"homemail/check"
	"homemail/store"
	"homemail/web/dash"
	"homemail/web/dash/dashtest"
	"homemail/words"
)

// everyPage are all pages that can be looked at.
func everyPage() []string {
	return []string{
		"/", "/people", "/people/show?address=taro@example.jp", "/people/show?address=ken@example.jp", "/people/remove?address=taro@example.jp",
		"/people/device/remove?address=taro@example.jp&device=d1", "/people/device?address=taro@example.jp", "/people/password?address=taro@example.jp",
		"/security/owner", "/security/tokens", "/security/tokens/remove?name=grafana", "/network/machine", "/network/machine/remove?name=Camera",
		"/dns/name", "/dns/name/remove?host=myhouse.dy.fi", "/sending/bridge/password?id=b1&address=taro@isp.example",
		"/addresses", "/addresses/add", "/addresses/all", "/addresses/remove?address=family@example.jp", "/addresses/forward", "/where", "/where?address=shop&since=day&direction=out", "/where?id=01J8Z1",
		"/queue", "/queue/show?id=01J8Z1", "/queue/remove?id=01J8Z1", "/network", "/network/mute?name=in993", "/sending", "/sending/route", "/sending/route/remove?domain=a.example", "/sending/coach", "/sending/sender", "/sending/sender/remove?address=taro@isp.example", "/sending/smarthost", "/sending/smarthost?preset=sakura",
		"/sending/smarthost/remove?name=ocn", "/sending/bridge", "/sending/bridge/remove?id=b1&address=taro@isp.example",
		"/dns", "/dns/add", "/dns/domain?domain=example.jp", "/dns/domain?domain=example.jp&names=full&texts=quoted", "/dns/remove?domain=example.jp",
		"/dns/plan?domain=example.jp&kind=records", "/dns/plan?domain=example.jp&kind=mx", "/dns/plan?domain=example.jp&kind=undo",
		"/dns/provider?domain=example.jp", "/dns/provider?domain=example.jp&provider=cloudflare", "/dns/provider/remove?zone=example.jp",
		"/dns/certificates", "/dns/reports", "/security", "/security/audit", "/security/owner/remove?address=taro@example.jp",
		"/logs", "/logs?level=warn&text=slow", "/updates", "/updates/install", "/updates/settings", "/updates/file", "/settings", "/settings/change?name=separator", "/settings/change?name=host_name", "/settings/change?name=limits.message_size",
	}
}

type site struct {
	t      *testing.T
	url    string
	client *http.Client
	house  *dashtest.House
	lang   string
}

func serve(t *testing.T, h *dashtest.House, own string) *site {
	t.Helper()
	set, d, err := dashtest.Set(h, own)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(set.Handler(d.Handler()))
	t.Cleanup(func() { set.Close(); d.Close(); s.Close() })
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &site{t, s.URL, &http.Client{Jar: jar, Timeout: 20 * time.Second}, h, "en"}
}

func (s *site) get(path string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodGet, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Accept-Language", s.lang)
	return s.do(req)
}

func (s *site) do(req *http.Request) (int, string) {
	s.t.Helper()
	resp, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// settled gets a page again until nothing is under way on it.
func (s *site) settled(path string) (int, string) {
	s.t.Helper()
	for range 50 {
		status, body := s.get(path)
		if !strings.Contains(body, `class="ring"`) {
			return status, body
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatalf("%s does not come to an end", path)
	return 0, ""
}

var tokenIn = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// post sends a form as from a page.
func (s *site) post(page, path string, fields ...string) (int, string) {
	s.t.Helper()
	_, body := s.settled(page)
	m := tokenIn.FindStringSubmatch(body)
	if m == nil {
		s.t.Fatalf("%s has no token", page)
	}
	form := url.Values{"csrf": {m[1]}}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	return s.postForm(path, form)
}

func (s *site) postForm(path string, form url.Values) (int, string) {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodPost, s.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept-Language", s.lang)
	return s.do(req)
}

func TestPages(t *testing.T) {
	for _, lang := range []string{"en", "ja"} {
		s := serve(t, dashtest.Family(""), "")
		s.lang = lang
		for _, path := range everyPage() {
			status, body := s.settled(path)
			if status != http.StatusOK {
				t.Errorf("%s %s: %d", lang, path, status)
			}
			if key := regexp.MustCompile(`\bdash\.[a-z-]+\.[a-z.-]+`).FindString(body); key != "" && !strings.HasPrefix(key, "dash.cloudflare.") {
				t.Errorf("%s %s shows the key %q", lang, path, key)
			}
			if strings.Contains(body, "ZgotmplZ") || strings.Contains(body, "%!") {
				t.Errorf("%s %s: a value does not fit its place", lang, path)
			}
		}
	}
}

// Whatever comes from outside is shown as text, on every page.
func TestHostileText(t *testing.T) {
	const own = `"'><script>alert(1)</script><img src=x onerror=alert(2)>javascript:alert(3){{.}}{n}`
	for _, lang := range []string{"en", "ja"} {
		s := serve(t, dashtest.Family(own), own)
		s.lang = lang
		seen := 0
		pages := append(everyPage(), "/queue/remove?id="+url.QueryEscape(own), "/sending/smarthost/remove?name="+url.QueryEscape(own),
			"/where?address="+url.QueryEscape(own)+"&subject="+url.QueryEscape(own), "/logs?text="+url.QueryEscape(own), "/dns/provider/remove?zone="+url.QueryEscape(own),
			"/security/owner/remove?address="+url.QueryEscape(own), "/sending/bridge/remove?id="+url.QueryEscape(own)+"&address="+url.QueryEscape(own))
		for _, path := range pages {
			_, body := s.settled(path)
			harmless(t, path, body)
			if strings.Contains(body, "alert(1)") {
				seen++
			}
		}
		if seen < 25 {
			t.Errorf("%s: what is hostile is on %d pages only, so this test shows little", lang, seen)
		}
		for _, form := range [][]string{
			{"/people", "/people/add", "name", own, "address", own},
			{"/people/device?address=taro@example.jp", "/people/device", "address", "taro@example.jp", "device", own},
			{"/addresses/add", "/addresses/add", "address", own, "to", own},
			{"/addresses/all", "/addresses/all", "domain", own, "catcher", own},
			{"/sending/route", "/sending/route", "domain", own, "way", "direct", "smarthost", own},
			{"/sending/sender", "/sending/sender", "address", own, "through", own},
			{"/sending/smarthost", "/sending/smarthost", "name", own, "host", own, "port", "1", "tls", "implicit"},
			{"/sending/bridge", "/sending/bridge", "for", own, "address", own, "kind", "imap", "host", own, "port", "1", "tls", "implicit", "user", own},
			{"/dns/add", "/dns/add", "domain", own},
			{"/dns/name", "/dns/name", "host", own, "service", own, "user", own, "password", own},
			{"/sending/coach", "/sending/coach", "header", "Authentication-Results: x; spf=pass\nReceived: from a by " + own + "\nFrom: x@" + own},
			{"/network/mute?name=in993", "/network/mute", "name", "in993", "for", "30", "reason", own},
			{"/network/machine", "/network/machine", "name", own, "ip", own, "for", own},
			{"/security/tokens", "/security/tokens", "name", own, "scope", own, "days", "30"},
			{"/sending/bridge/password?id=b1", "/sending/bridge/password", "id", own, "address", own, "password", own},
			{"/settings/change?name=separator", "/settings", "name", "separator", "value", own},
			{"/dns/provider?domain=example.jp&provider=cloudflare", "/dns/provider", "domain", "example.jp", "zone", own, "provider", "cloudflare"},
		} {
			s.house.Errors = map[string]error{}
			for _, op := range []string{"account.add", "alias.add", "route.set", "route.sender", "line.mute", "smarthost.save", "bridge.add", "domain.add", "setting.set", "zone.set", "dyndns.add", "machine.add", "token.add", "bridge.password"} {
				s.house.Errors[op] = fmt.Errorf("%w: %s", store.ErrInvalid, own)
			}
			_, body := s.post(form[0], form[1], form[2:]...)
			harmless(t, "POST "+form[1], body)
			s.house.Errors = nil
		}
	}
}

// harmless fails if a page has an element or attribute that is not ours.
func harmless(t *testing.T, where, body string) {
	t.Helper()
	low := strings.ToLower(body)
	for _, bad := range []string{"<script>", "<img src=x", `href="javascript:`, `action="javascript:`} {
		if strings.Contains(low, bad) {
			t.Errorf("%s has %q", where, bad)
		}
	}
	for _, tag := range regexp.MustCompile(`<[a-z][^>]*`).FindAllString(low, -1) {
		if regexp.MustCompile(`\son[a-z]+\s*=\s*[^"]`).MatchString(regexp.MustCompile(`"[^"]*"`).ReplaceAllString(tag, `""`)) {
			t.Errorf("%s has an attribute that runs: %s", where, tag)
		}
	}
}

// Each form asks for its operation with what was typed.
func TestForms(t *testing.T) {
	const taro = "/people/show?address=taro@example.jp"
	s := serve(t, dashtest.Family(""), "")
	for _, tt := range []struct {
		page, path string
		fields     []string
		operation  string
		want       string
		shows      string
	}{
		{"/people", "/people/add", []string{"name", "Ken", "address", "ken@example.jp", "language", "ja", "quota", "5"}, "account.add", `{"address":"ken@example.jp","name":"Ken","language":"ja","quota":5000000000}`, "now has an address"},
		{taro, "/people/change", []string{"address", "taro@example.jp", "name", "T", "language", "en", "quota", "0", "keep_days", "30"}, "account.change", `{"address":"taro@example.jp","name":"T","language":"en","quota":0,"keep_days":30}`, "Saved."},
		{taro, "/people/disable", []string{"address", "taro@example.jp", "off", "1"}, "account.change", `{"address":"taro@example.jp","disabled":true}`, "Switched off."},
		{taro, "/people/disable", []string{"address", "taro@example.jp"}, "account.change", `{"address":"taro@example.jp","disabled":false}`, "Switched on again."},
		{taro, "/people/device", []string{"address", "taro@example.jp", "device", "iPad"}, "device.add", `{"address":"taro@example.jp","name":"iPad"}`, "abcd-efgh-jkmn-pqrs"},
		{taro, "/people/password", []string{"address", "taro@example.jp"}, "password.reset", `{"address":"taro@example.jp","second_factor":false}`, "harbor-violin-maple-trout"},
		{"/people/device/remove?address=taro@example.jp&device=d1", "/people/device/remove", []string{"address", "taro@example.jp", "device", "d1"}, "device.revoke", `{"address":"taro@example.jp","device":"d1"}`, "The device was removed."},
		{"/people/remove?address=taro@example.jp", "/people/remove", []string{"address", "taro@example.jp"}, "account.remove", `{"address":"taro@example.jp"}`, "was removed"},
		{"/addresses/add", "/addresses/add", []string{"address", "all@example.jp", "to", "taro@example.jp\r\nhanako@example.jp"}, "alias.add", `{"address":"all@example.jp","to":["taro@example.jp","hanako@example.jp"]}`, "works from now on"},
		{"/addresses/all", "/addresses/all", []string{"domain", "example.jp", "catcher", "taro@example.jp"}, "alias.add", `{"address":"@example.jp","to":["taro@example.jp"]}`, "works from now on"},
		{"/addresses/forward", "/addresses/forward", []string{"of", "taro@example.jp", "forward_to", "a@b.example, c@d.example", "only", "on"}, "forward", `{"address":"taro@example.jp","to":["a@b.example","c@d.example"],"only":true}`, "Saved."},
		{"/queue/show?id=01J8Z1", "/queue/hold", []string{"id", "01J8Z1"}, "queue.hold", `{"id":"01J8Z1"}`, "It stays here"},
		{"/queue", "/queue/retry", []string{"id", "all"}, "queue.retry", `{"id":"all"}`, "being tried"},
		{"/queue/remove?id=01J8Z1", "/queue/remove", []string{"id", "01J8Z1"}, "queue.remove", `{"id":"01J8Z1","tell":true}`, "its sender is told"},
		{"/sending/route", "/sending/route", []string{"way", "direct-then-smarthost", "smarthost", "ocn"}, "route.set", `{"domain":"default","way":"direct-then-smarthost","smarthost":"ocn","after":2}`, "Saved."},
		{"/sending/route", "/sending/route", []string{"way", "off", "smarthost", "ocn", "domain", "a.example"}, "route.set", `{"domain":"a.example","way":""}`, "Saved."},
		{"/sending/route/remove?domain=a.example", "/sending/route/remove", []string{"domain", "a.example"}, "route.remove", `{"domain":"a.example"}`, "Saved."},
		{"/sending/sender", "/sending/sender", []string{"address", "taro@isp.example", "through", "ocn"}, "route.sender", `{"address":"taro@isp.example","smarthost":"ocn"}`, "Saved."},
		{"/sending/sender/remove?address=taro@isp.example", "/sending/sender/remove", []string{"address", "taro@isp.example"}, "route.sender", `{"address":"taro@isp.example","smarthost":""}`, "Saved."},
		{"/sending", "/sending/smarthost/test", []string{"name", "ocn"}, "smarthost.test", `{"name":"ocn","sender":""}`, "ocn works."},
		{"/sending", "/sending/bridge/act", []string{"id", "b1", "do", "fetch"}, "bridge.fetch", `{"id":"b1"}`, "being fetched"},
		{"/dns/add", "/dns/add", []string{"domain", "new.example"}, "domain.add", `{"address":"new.example"}`, "was added"},
		{"/dns/domain?domain=example.jp", "/dns/policy", []string{"domain", "example.jp", "dmarc", "quarantine", "sts", "testing"}, "dns.policy", `{"domain":"example.jp","dmarc":"quarantine","sts":"testing"}`, ""},
		{"/dns/certificates", "/dns/certificates/retry", nil, "certificate.retry", `{}`, "Looking again"},
		{"/security", "/security/session/end", []string{"address", "taro@example.jp", "id", "s1"}, "session.end", `{"address":"taro@example.jp","id":"s1"}`, "Signed out."},
		{"/security", "/security/resume", []string{"address", "ken@example.jp"}, "sending.resume", `{"address":"ken@example.jp"}`, "can send again"},
		{"/security", "/security/owner", []string{"address", "hanako@example.jp"}, "owner.add", `{"address":"hanako@example.jp"}`, "owner now"},
		{"/security", "/security/ban/lift", []string{"from", "203.0.113.66"}, "ban.lift", `{"address":"203.0.113.66"}`, "203.0.113.66 may try again"},
		{"/security/tokens", "/security/tokens", []string{"name", "grafana", "scope", "metrics", "scope", "read", "days", "0"}, "token.add", `{"name":"grafana","scopes":["metrics","read"]}`, "hm_0123456789"},
		{"/security/tokens/remove?name=grafana", "/security/tokens/remove", []string{"name", "grafana"}, "token.remove", `{"name":"grafana"}`, "not valid any more"},
		{"/dns/domain?domain=example.jp", "/dns/keys/rotate", []string{"domain", "example.jp"}, "dkim.rotate", `{"domain":"example.jp"}`, ""},
		{"/dns/domain?domain=example.jp", "/dns/keys/activate", []string{"domain", "example.jp", "now", "1"}, "dkim.activate", `{"domain":"example.jp","now":true}`, ""},
		{"/dns/name", "/dns/name", []string{"host", "myhouse.dy.fi", "service", "dyfi", "user", "taro", "password", "x y"}, "dyndns.add", `{"host":"myhouse.dy.fi","service":"dyfi","user":"taro","password":"x y"}`, "follows your address"},
		{"/dns/name/remove?host=myhouse.dy.fi", "/dns/name/remove", []string{"host", "myhouse.dy.fi"}, "dyndns.remove", `{"name":"myhouse.dy.fi"}`, "follows no more"},
		{"/dns/reports", "/dns/reports/mine", []string{"domain", "example.jp", "source", "198.51.100.99", "mine", "1"}, "reports.mine", `{"domain":"example.jp","source":"198.51.100.99","mine":true}`, "Saved."},
		{"/network/mute?name=in993", "/network/mute", []string{"name", "in993", "for", "30", "reason", "known"}, "line.mute", `{"name":"in993","days":30,"reason":"known"}`, "Muted."},
		{"/network/mute?name=in993", "/network/mute", []string{"name", "in993", "for", "change"}, "line.mute", `{"name":"in993"}`, "Muted."},
		{"/network", "/network/heard", []string{"name", "in25"}, "line.mute", `{"name":"in25","off":true}`, "hear of it again"},
		{"/network/machine", "/network/machine", []string{"name", "Printer", "ip", "192.168.1.30", "for", "taro@example.jp", "rewrite", "on"}, "machine.add", `{"name":"Printer","address":"192.168.1.30","for":"taro@example.jp","from":"rewrite","local":false}`, "may send now"},
		{"/network/machine/remove?name=Camera", "/network/machine/remove", []string{"name", "Camera"}, "machine.remove", `{"name":"Camera"}`, "no more"},
		{"/sending/bridge/password?id=b1&address=taro@isp.example", "/sending/bridge/password", []string{"id", "b1", "address", "taro@isp.example", "password", "new one"}, "bridge.password", `{"id":"b1","password":"new one","untried":false}`, "was kept"},
		{"/settings/change?name=separator", "/settings", []string{"name", "separator", "value", "-"}, "setting.set", `{"name":"separator","value":"-"}`, "separator was saved"},
		{"/settings/change?name=limits.message_size", "/settings", []string{"name", "limits.message_size", "value", "", "forget", "1"}, "setting.set", `{"name":"limits.message_size"}`, "was saved"},
	} {
		status, body := s.post(tt.page, tt.path, tt.fields...)
		asked := s.house.Asked(tt.operation)
		if status != http.StatusOK || !slices.Contains(asked, tt.want) {
			t.Errorf("%s %v: %d, %s was asked %q", tt.path, tt.fields, status, tt.operation, asked)
		}
		if !strings.Contains(body, tt.shows) {
			t.Errorf("%s: %q is not shown", tt.path, tt.shows)
		}
	}
}

// A search is for what was typed, and shows it again.
func TestSearch(t *testing.T) {
	h := dashtest.Family("")
	s := serve(t, h, "")
	_, body := s.get("/where?address=shop.example&subject=parcel&direction=out&since=day")
	asked := h.Asked("events.where")
	if len(asked) != 1 || !strings.Contains(asked[0], `"address":"shop.example"`) || !strings.Contains(asked[0], `"subject":"parcel"`) || !strings.Contains(asked[0], `"direction":"out"`) || !strings.Contains(asked[0], `"since":"2`) {
		t.Errorf("asked %q", asked)
	}
	if !strings.Contains(body, `value="shop.example"`) || !strings.Contains(body, `<option value="day" selected>`) {
		t.Error("what was searched for is not shown")
	}
	if _, body := s.get("/where?direction=odd"); !strings.Contains(body, "Please choose one") {
		t.Error("an odd direction is taken")
	}
	if _, body := s.get("/logs?level=warn&text=slow"); !strings.Contains(body, "the disk is slow") || strings.Contains(body, "mail taken") {
		t.Error("the log is not filtered")
	}
}

// What does not work is said at the form, with what was typed still in it.
func TestFailuresAreTold(t *testing.T) {
	h := dashtest.Family("")
	s := serve(t, h, "")
	h.Errors = map[string]error{"account.add": store.ErrExists, "queue.hold": errors.New("odd")}
	if status, body := s.post("/people", "/people/add", "name", "Ken", "address", "ken@example.jp"); status != 422 || !strings.Contains(body, "It is there already") || !strings.Contains(body, `value="ken@example.jp"`) {
		t.Errorf("an address twice: %d", status)
	}
	if status, body := s.post("/people", "/people/add", "name", "Ken\nBcc: x", "address", ""); status != 422 || len(h.Asked("account.add")) != 1 || !strings.Contains(body, "Please fill this in") {
		t.Errorf("a line break in a name: %d", status)
	}
	if _, body := s.post("/queue/show?id=01J8Z1", "/queue/hold", "id", "01J8Z1"); !strings.Contains(body, "It did not work this time: odd") {
		t.Error("a failed button says nothing")
	}
	for _, path := range []string{"/people/show?address=nobody@example.jp", "/dns/domain?domain=other.example", "/dns/plan?domain=example.jp&kind=odd", "/settings/change?name=odd", "/odd"} {
		if status, _ := s.get(path); status != http.StatusNotFound {
			t.Errorf("%s: %d", path, status)
		}
	}
}

// A house without an outside has pages, too.
func TestClosedWorld(t *testing.T) {
	h := dashtest.Family("")
	none := fmt.Errorf("%w: this server asks no DNS", store.ErrInvalid)
	h.Errors = map[string]error{"dns.plan": none, "mx.show": none, "line.check": none, "zone.list": none, "publish.plan": none, "mx.plan": none, "mx.restore-plan": none, "dns.policy": none, "reports.show": none}
	h.Home.Lights[0] = admin.Light{Name: "receiving", State: admin.LightOff, Code: "inside"}
	s := serve(t, h, "")
	for _, path := range everyPage() {
		if strings.HasPrefix(path, "/network/mute") {
			continue // there is nothing to mute
		}
		if status, _ := s.settled(path); status != http.StatusOK {
			t.Errorf("%s: %d", path, status)
		}
	}
}

// Every light that admin can show has words.
func TestLights(t *testing.T) {
	for name, codes := range map[string]string{
		"receiving": "good came bridge bridge-failing inside no-domain shut unseen full broken",
		"sending":   "good waiting late blocked paused off",
		"safe":      "good guessed damage hidden listed expired no-certificate self-signed clock",
		"backup":    "later",
		"update":    "no-box no-source unknown current ready fetching trial back trouble",
	} {
		for _, at := range []time.Time{{}, time.Now()} {
			h := dashtest.Family("")
			h.Home.Lights = nil
			for code := range strings.FieldsSeq(codes) {
				if code != "came" || !at.IsZero() {
					h.Home.Lights = append(h.Home.Lights, admin.Light{Name: name, Code: code, State: check.Bad, Who: "x", Count: 1, At: at})
				}
			}
			if status, body := serve(t, h, "").get("/"); status != http.StatusOK || strings.Contains(body, "dash.light") || strings.Contains(body, "came never") {
				t.Errorf("%s: %d", name, status)
			}
		}
	}
}

// What is shown is what is done, once.
func TestPublish(t *testing.T) {
	h := dashtest.Family("")
	s := serve(t, h, "")
	const path = "/dns/plan?domain=example.jp&kind=records"
	s.post("/dns/domain?domain=example.jp", "/dns/plan", "domain", "example.jp", "kind", "records")
	_, body := s.settled(path)
	made := regexp.MustCompile(`name="made" value="([^"]+)"`).FindStringSubmatch(body)
	if made == nil || !strings.Contains(body, "v=spf1 a:mail.example.jp -all") {
		t.Fatalf("no plan is shown")
	}
	if _, body := s.post(path, "/dns/apply", "domain", "example.jp", "kind", "records", "made", "1"); !strings.Contains(body, "nothing was done") || len(h.Asked("publish.apply")) != 0 {
		t.Error("another plan was applied")
	}
	_, body = s.settled(path)
	made = regexp.MustCompile(`name="made" value="([^"]+)"`).FindStringSubmatch(body)
	s.post(path, "/dns/apply", "domain", "example.jp", "kind", "records", "made", made[1])
	if _, body := s.settled(path); !strings.Contains(body, "Not all was done") || !strings.Contains(body, "503") {
		t.Error("what came of it is not shown")
	}
	s.post(path, "/dns/apply", "domain", "example.jp", "kind", "records", "made", made[1])
	if n := len(h.Asked("publish.apply")); n != 1 {
		t.Errorf("it was done %d times", n)
	}
}

func TestProfile(t *testing.T) {
	s := serve(t, dashtest.Family(""), "")
	status, body := s.post("/people/show?address=taro@example.jp", "/people/profile", "address", "taro@example.jp", "password", "abcd-efgh")
	if status != http.StatusOK || !strings.Contains(body, "<plist") || !strings.Contains(body, "abcd-efgh") {
		t.Errorf("profile: %d", status)
	}
}

// The line's progress comes as events.
func TestNetworkLive(t *testing.T) {
	s := serve(t, dashtest.Family(""), "")
	s.post("/network", "/network/check")
	status, body := s.get("/network/live")
	if status != http.StatusOK || !strings.Contains(body, "event: checks") || !strings.Contains(body, "event: end") {
		t.Errorf("%d %.300s", status, body)
	}
}

// A page has at most 40 KB over the wire, with its style and scripts; these have
// 25 KB.
func TestPagesAreSmall(t *testing.T) {
	s := serve(t, dashtest.Family(""), "")
	s.client.Transport = &http.Transport{DisableCompression: true}
	for _, path := range everyPage() {
		_, body := s.settled(path)
		var b strings.Builder
		z := gzip.NewWriter(&b)
		_, _ = z.Write([]byte(body))
		_ = z.Close()
		if b.Len() > 14<<10 {
			t.Errorf("%s has %d octets", path, b.Len())
		}
	}
}

// TestRequire: every page asks whether an owner is there.
func TestRequire(t *testing.T) {
	set, _, err := dashtest.Set(dashtest.Family(""), "")
	if err != nil {
		t.Fatal(err)
	}
	no := func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) })
	}
	d := dash.New(dash.Options{House: dashtest.Family(""), Set: set, Require: no})
	for _, path := range append(everyPage(), "/dns/domain/live?domain=example.jp", "/network/live", "/dns/zone?domain=example.jp", "/odd") {
		w := httptest.NewRecorder()
		d.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != http.StatusTeapot {
			t.Errorf("%s is open: %d", path, w.Code)
		}
	}
}

// Nobody fills in a form and is asked for a password only then.
func TestFreshBeforeForms(t *testing.T) {
	set, _, err := dashtest.Set(dashtest.Family(""), "")
	if err != nil {
		t.Fatal(err)
	}
	fresh := func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) })
	}
	d := dash.New(dash.Options{House: dashtest.Family(""), Set: set, Fresh: fresh})
	for _, path := range everyPage() {
		shown := httptest.NewRecorder()
		d.Handler().ServeHTTP(shown, httptest.NewRequest(http.MethodGet, path, nil))
		if shown.Code == http.StatusTeapot {
			continue
		}
		for _, form := range regexp.MustCompile(`method="post" action="([^"]+)"`).FindAllStringSubmatch(shown.Body.String(), -1) {
			w := httptest.NewRecorder()
			d.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, form[1], nil))
			if w.Code == http.StatusTeapot {
				t.Errorf("%s has a form for %s, which asks for a password", path, form[1])
			}
		}
	}
}

// After a setting the server is away for a moment.
func TestSettingWaitsForTheServer(t *testing.T) {
	s := serve(t, dashtest.Family(""), "")
	_, body := s.get("/settings/change?name=separator")
	form := url.Values{"csrf": {tokenIn.FindStringSubmatch(body)[1]}, "name": {"separator"}, "value": {"-"}}
	resp, err := s.client.PostForm(s.url+"/settings", form)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.StatusCode != http.StatusOK || resp.Request.URL.Path != "/settings" || !strings.Contains(string(b), `href="/settings"`) || resp.Header.Get("Refresh") != "" {
		t.Errorf("%d %v %q", resp.StatusCode, err, resp.Header)
	}
}

// What a provider has written onto a message is read out, each with what to do.
func TestCoach(t *testing.T) {
	s := serve(t, dashtest.Family(""), "")
	const head = "Authentication-Results: mx.big.example; spf=fail; dkim=pass header.d=example.jp; dmarc=pass\r\nReceived: from a.example by mx.big.example with ESMTPS\r\n"
	status, body := s.post("/sending/coach", "/sending/coach", "header", head+"From: Taro <taro@example.jp>\r\n")
	for _, want := range []string{"What mx.big.example says", "does not allow the server", "It is believed", "It was.", "does not say", `href="/dns/domain?domain=example.jp"`} {
		if status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%d, no %q", status, want)
		}
	}
	if strings.Contains(body, "not from an address") {
		t.Error("our own domain is a stranger's")
	}
	if _, body := s.post("/sending/coach", "/sending/coach", "header", head+"From: x@other.example\n"); !strings.Contains(body, "not from an address") {
		t.Error("a stranger's message is ours")
	}
	if status, body := s.post("/sending/coach", "/sending/coach", "header", "Dear Taro,"); status != http.StatusUnprocessableEntity || !strings.Contains(body, "from the very beginning") {
		t.Errorf("a letter is read: %d", status)
	}
}

// What others hold to by MTA-STS is given up only if the owner insists, and is told
// what that means, in their language.
func TestForce(t *testing.T) {
	h := dashtest.Family("")
	s := serve(t, h, "")
	held := words.Because(store.ErrInvalid, "admin.force", "why", words.Say("admin.sts-held", "domain", "example.jp"))
	h.Errors = map[string]error{"route.set": held, "domain.remove": held}
	for lang, want := range map[string]string{"en": "Do it all the same", "ja": "それでも実行します"} {
		s.lang = lang
		for _, form := range [][]string{{"/sending/route", "/sending/route", "way", "off"}, {"/dns/remove?domain=example.jp", "/dns/remove", "domain", "example.jp"}} {
			_, body := s.post(form[0], form[1], form[2:]...)
			if !strings.Contains(body, want) || !strings.Contains(body, `name="force"`) || lang == "ja" && strings.Contains(body, "Only with force") {
				t.Errorf("%s %s: no %q", lang, form[1], want)
			}
		}
	}
	h.Errors = nil
	s.post("/sending/route", "/sending/route", "way", "off", "force", "on")
	s.post("/dns/remove?domain=example.jp", "/dns/remove", "domain", "example.jp", "force", "1")
	if got := h.Asked("route.set"); !strings.Contains(got[len(got)-1], `"force":true`) {
		t.Error(got)
	}
	if got := h.Asked("domain.remove"); !strings.Contains(got[len(got)-1], `"force":true`) {
		t.Error(got)
	}
}
